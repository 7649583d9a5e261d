"""The messages of a server (DCAP 2.4 to 3.1): building them, and fitting them into a datagram."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

DEFAULT_PORT = 10191
SOFT_LIMIT = 1400
"""Bytes; a longer message loses optional parts."""
HARD_LIMIT = 1472
"""Bytes; 1500 less the IPv4 and UDP headers. A longer message is never sent."""
MAX_EXEC_MS = 86_400_000.0
"""One day; hubs refuse longer times."""

_VERSION = 2
"""On the wire; minor versions are not sent, and 3.x keeps the number."""
_MAX_CALLER = 64
_MAX_CODE = 48
_MAX_COUNT = 2**53 - 1
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

Fields = dict[str, Any]


@dataclass(frozen=True)
class Offer:
    """What a server says of one of its tools. Longer texts and lists are cut to what DCAP allows."""

    tool: str
    does: str
    when: tuple[str, ...] = ()
    good_at: tuple[str, ...] = ()
    bad_at: tuple[str, ...] = ()


@dataclass(frozen=True)
class Connector:
    """How to reach a server: MCP over Streamable HTTP, open to all."""

    endpoint: str
    versions: tuple[str, ...]
    """MCP versions, the newest first."""
    methods: tuple[str, ...] = ("tools/list", "tools/call")


def clean_text(text: str, limit: int) -> str:
    """`text` without control characters, direction marks and lone surrogates, at most `limit` characters."""
    return _UNSAFE.sub("", text[: limit * 4])[:limit].strip()


def words_within(text: str, limit: int) -> str:
    """As much of `text` as fits into `limit` characters: whole sentences, else whole clauses, else whole words."""
    flat = " ".join(clean_text(text.replace("\n", " "), 10_000).split())
    if len(flat) <= limit:
        return flat
    start = flat[: limit + 1]
    if (end := start.rfind(". ")) > 0:
        return flat[: end + 1]
    cut = start.rpartition(" ")[0] or flat[:limit]
    if cut.count("(") > cut.count(")"):  # a parenthesis that never closes says little
        cut = cut[: cut.rindex("(")] or cut
    clause = max(cut.rfind(mark) for mark in (", ", "; ", ": "))
    return cut[: clause if clause > limit / 2 else None].rstrip(" ,;:-")


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
) -> Fields:
    """The `perf_update` of one call.

    `ts` is Unix time in seconds, `exec_ms` milliseconds, `result_size` bytes. `seq` counts the
    calls of one process and `boot` names that process, so that a hub can tell loss.
    """
    ctx: Fields = {}
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
    told = {"tool": tool, "exec_ms": _milliseconds(exec_ms), "success": bool(success), "ctx": ctx}
    return {**_envelope("perf_update", ts, sid), **told}


def semantic_discover(
    *,
    sid: str,
    ts: int,
    offer: Offer,
    connector: Connector,
    uses: int = 0,
    succeeded: int = 0,
    interval_sec: float | None = None,
    boot: str | None = None,
) -> Fields:
    """The `semantic_discover` of one tool.

    `uses` calls were reported so far by the process `boot`, `succeeded` of them went well. `interval_sec` says when
    to expect the next announcement, so that a hub need not learn it before it can tell silence.
    """
    message = {
        **_envelope("semantic_discover", ts, sid),
        "tool": offer.tool,
        "does": words_within(offer.does, 128),
        "when": [words_within(text, 64) for text in offer.when[:5]],
    }
    for name, texts, most in (("good_at", offer.good_at, 5), ("bad_at", offer.bad_at, 3)):
        if texts:
            message[name] = [words_within(text, 32) for text in texts[:most]]
    message["connector"] = {
        "transport": "http",
        "endpoint": connector.endpoint,
        "auth": {"type": "none", "required": False},
        "protocol": {
            "type": "mcp",
            "version": connector.versions[0],
            "versions": list(connector.versions),
            "methods": list(connector.methods),
        },
        "session": {"required": False},
    }
    if uses > 0:
        message["proven_by"] = {"uses": uses, "success_rate": round(succeeded / uses, 4)}
    ctx = {"discover_interval_sec": interval_sec, "boot": boot}
    if known := {name: value for name, value in ctx.items() if value is not None}:
        message["ctx"] = known
    return message


def error_pattern(
    *,
    sid: str,
    tool: str,
    ts: int,
    error_type: str,
    frequency: int,
    trigger: str,
    mitigation: str,
    args: Mapping[str, Any] | None = None,
) -> Fields:
    """The `error_pattern` of failures that recur, in the words of both 2.x and 3.x.

    `error_type` names a class or a code and never quotes a message, which could hold anything. `frequency` counts
    the failures of the last minutes, `args` are the sanitised arguments of the latest one.
    """
    kind = clean_text(error_type, 64)
    message = {
        **_envelope("error_pattern", ts, sid),
        "tool": tool,
        "error": kind,
        "trigger": trigger,
        "solution": mitigation,
        "error_type": kind,
        "frequency": frequency,
        "mitigation": mitigation,
    }
    if args:
        message["sample_args"] = dict(args)
    return message


def encode(message: Mapping[str, Any]) -> bytes | None:
    """`message` as compact UTF-8 JSON of at most 1400 bytes where trimming allows.

    Optional parts go one by one, the least telling first. None when what is left exceeds 1472 bytes.
    """
    data = _dump(message)
    trimmed = _TRIMMED.get(str(message.get("t")), _nothing)
    if len(data) > SOFT_LIMIT:
        for smaller in trimmed(dict(message)):
            data = _dump(smaller)
            if len(data) <= SOFT_LIMIT:
                break
    return data if len(data) <= HARD_LIMIT else None


def _nothing(message: Fields) -> Iterator[Fields]:
    return iter(())


def _trimmed_perf_update(message: Fields) -> Iterator[Fields]:
    """Arguments first, at last the whole context; caller, seq and boot stay as long as possible."""
    for name in ("args", "error_code", "result_size"):
        message = {**message, "ctx": _without(message.get("ctx", {}), name)}
        yield message
    yield _without(message, "ctx")


def _trimmed_discover(message: Fields) -> Iterator[Fields]:
    """How to connect and what the tool does stay; the rest goes in the order of 3.x, then what is advice."""
    message = _without(message, "ctx")
    yield message
    connector = message["connector"]
    for name in ("session", "headers"):
        connector = _without(connector, name)
        yield {**message, "connector": connector}
    for name in ("methods", "versions"):
        connector = {**connector, "protocol": _without(connector["protocol"], name)}
        yield {**message, "connector": connector}
    message = {**message, "connector": connector}
    for name in ("proven_by", "bad_at", "good_at"):
        message = _without(message, name)
        yield message
    for count in range(len(message["when"]) - 1, 0, -1):
        yield {**message, "when": message["when"][:count]}


def _trimmed_pattern(message: Fields) -> Iterator[Fields]:
    """The example first; what failed and how often stays."""
    message = _without(message, "sample_args")
    yield message
    for names in (("solution", "mitigation"), ("trigger",)):
        message = {**message, **dict.fromkeys(names, "")}
        yield message


_TRIMMED: Final[Mapping[str, Callable[[Fields], Iterator[Fields]]]] = {
    "perf_update": _trimmed_perf_update,
    "semantic_discover": _trimmed_discover,
    "error_pattern": _trimmed_pattern,
}


def _envelope(kind: str, ts: int, sid: str) -> Fields:
    return {"v": _VERSION, "t": kind, "ts": ts, "sid": sid}


def _without(fields: Mapping[str, Any], *names: str) -> Fields:
    return {name: value for name, value in fields.items() if name not in names}


def _milliseconds(value: float) -> int | float:
    if not math.isfinite(value):
        return 0
    rounded = round(min(max(float(value), 0.0), MAX_EXEC_MS), 2)
    return int(rounded) if rounded.is_integer() else rounded


def _dump(message: Mapping[str, Any]) -> bytes:
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", errors="replace")
