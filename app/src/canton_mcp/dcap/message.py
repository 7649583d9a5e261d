"""The `perf_update` message (DCAP 2.4, 3.0): building, sanitising, fitting into a datagram."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

DEFAULT_PORT = 10191
SOFT_LIMIT = 1400
"""Bytes; a longer message loses optional parts."""
HARD_LIMIT = 1472
"""Bytes; 1500 less the IPv4 and UDP headers. A longer message is never sent."""
MAX_EXEC_MS = 86_400_000.0
"""One day; hubs refuse longer times."""

Vocabulary = Mapping[str, Mapping[str, frozenset[str]]]
"""Tool name -> argument name -> the values of that argument that are no secret (its enumeration)."""

_MAX_ARGS = 10
_MAX_CALLER = 64
_MAX_CODE = 48
_MAX_COUNT = 2**53 - 1
_ARGUMENT_NAME = re.compile(r"[A-Za-z_]{1,32}\Z")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_TRIM_ORDER = ("args", "error_code", "result_size")


def clean_text(text: str, limit: int) -> str:
    """`text` without control characters, direction marks and lone surrogates, at most `limit` characters."""
    return _UNSAFE.sub("", text[: limit * 4])[:limit].strip()


def shape(value: Any, plain: frozenset[str] = frozenset()) -> Any:
    """What may be told of an argument: its type and size, never its content.

    Booleans, null and the values listed in `plain` pass as they are; everything else
    becomes a marker such as `<text:1832>`.
    """
    match value:
        case None | bool():
            return value
        case int() | float():
            return "<number>"
        case str():
            return value if value in plain else f"<text:{len(value)}>"
        case list() | tuple():
            return f"<list:{len(value)}>"
        case Mapping():
            return f"<object:{len(value)}>"
        case _:
            return "<value>"


def shapes(arguments: Mapping[str, Any], known: Mapping[str, frozenset[str]] | None = None) -> dict[str, Any]:
    """Shapes of at most ten arguments.

    A caller can put anything into an argument *name*, too. With `known` only the names in it
    pass; without it, names that are plain words do.
    """
    told: dict[str, Any] = {}
    for name, value in arguments.items():
        allowed = name in known if known is not None else bool(_ARGUMENT_NAME.match(name))
        if allowed and len(told) < _MAX_ARGS:
            told[name] = shape(value, known[name] if known is not None else frozenset())
    return told


def perf_update(
    *,
    sid: str,
    tool: str,
    ts: int,
    exec_ms: float,
    success: bool,
    seq: int,
    boot: str,
    args: Mapping[str, Any] | None = None,
    caller: str | None = None,
    result_size: int | None = None,
    error_code: str | None = None,
) -> dict[str, Any]:
    """A `perf_update` message.

    `ts` is Unix time in seconds, `exec_ms` milliseconds, `result_size` bytes. `seq` counts the
    messages of one process and `boot` names that process, so that a hub can tell loss.
    """
    ctx: dict[str, Any] = {}
    if cleaned := clean_text(caller or "", _MAX_CALLER):
        ctx["caller"] = cleaned
    if args:
        ctx["args"] = dict(args)
    if result_size is not None:
        ctx["result_size"] = max(0, min(int(result_size), _MAX_COUNT))
    if error_code and not success:
        ctx["error_code"] = clean_text(error_code, _MAX_CODE)
    ctx["seq"] = seq
    ctx["boot"] = boot
    return {
        "v": 2,
        "t": "perf_update",
        "ts": ts,
        "sid": sid,
        "tool": tool,
        "exec_ms": _milliseconds(exec_ms),
        "success": bool(success),
        "ctx": ctx,
    }


def encode(message: Mapping[str, Any]) -> bytes | None:
    """`message` as compact UTF-8 JSON of at most 1400 bytes where trimming allows.

    Arguments go first, then the error code and the result size, at last the whole context; caller, seq
    and boot stay as long as possible. None when even the bare message exceeds 1472 bytes.
    """
    data = _dump(message)
    ctx = dict(message.get("ctx", {}))
    for name in _TRIM_ORDER:
        if len(data) <= SOFT_LIMIT:
            return data
        if name in ctx:
            del ctx[name]
            data = _dump({**message, "ctx": ctx})
    if len(data) > SOFT_LIMIT:
        data = _dump({key: value for key, value in message.items() if key != "ctx"})
    return data if len(data) <= HARD_LIMIT else None


def _milliseconds(value: float) -> int | float:
    if not math.isfinite(value):
        return 0
    rounded = round(min(max(float(value), 0.0), MAX_EXEC_MS), 2)
    return int(rounded) if rounded.is_integer() else rounded


def _dump(message: Mapping[str, Any]) -> bytes:
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", errors="replace")
