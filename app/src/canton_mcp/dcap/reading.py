"""What a datagram says: strict about the envelope, tolerant about the rest, never trusting (DCAP 2.0 to 3.1).

A message is refused when its envelope or a required field is wrong. Anything beyond a limit of the
specification is accepted and flagged. After `read`, every field that the specification names has the type it
asks for: an optional one that has not is left out of `Message.fields`, and flagged. Relays send the bytes on as
they came, so nothing is lost by that.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeGuard, get_args

from canton_mcp.dcap.message import HARD_LIMIT, MAX_EXEC_MS, clean_text

__all__ = [
    "AGENT_TYPES",
    "FLAGS",
    "REASONS",
    "TOOL_TYPES",
    "TYPES",
    "ErrorPattern",
    "Message",
    "Reason",
    "Rejected",
    "error_pattern",
    "read",
]

Reason = Literal[
    "oversize", "not_utf8", "not_json", "not_object", "version", "type", "missing_field", "bad_field"
]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
"""Every reason that `read` knows."""

TOOL_TYPES: Final = ("perf_update", "semantic_discover", "error_pattern")
"""Sent by servers; the sender is `sid`."""
AGENT_TYPES: Final = ("usage_receipt", "composite_capability", "composite_receipt")
"""Sent by agents; the sender is `agent_id`."""
TYPES: Final = TOOL_TYPES + AGENT_TYPES

FLAGS: Final = (
    "agent_id_length",
    "bad_at_limits",
    "connector_missing",
    "connector_shape",
    "control_characters",
    "datagram_size",
    "does_length",
    "duplicate_keys",
    "good_at_limits",
    "optional_field",
    "pattern_shape",
    "sender_characters",
    "sid_length",
    "surrogates",
    "tool_length",
    "ts_milliseconds",
    "when_limits",
)
"""What may be wrong with a message that is accepted all the same."""

MAX_SENDER: Final = 64
MAX_TOOL: Final = 128
"""Characters. The specification says 32 (`tool_length`); names are kept in tables, so there has to be an end."""
_TOOL_CHARS: Final = 32
_DOES_CHARS: Final = 128
_MAX_TYPE: Final = 64
_MAX_WHOLE: Final = 2**63
_MAX_DEPTH: Final = 64
_MILLISECONDS_FROM: Final = 10**11
_LATEST: Final = 10**14
_SENDER: Final = re.compile(r"[A-Za-z0-9._:-]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_UNSTORABLE: Final = re.compile(r"[\x00\ud800-\udfff]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_TRANSPORTS: Final = frozenset({"stdio", "sse", "http", "passthrough"})


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a datagram is no DCAP message. `detail` is for people and free of control characters."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Message:
    """An accepted message."""

    type: str
    """One of `TYPES`, or another text."""
    sender: str
    """`sid` or `agent_id`, as sent; 1 to 64 characters."""
    fields: dict[str, Any]
    """The parsed object without malformed optional fields. NUL and lone surrogates are replaced by U+FFFD."""
    flags: tuple[str, ...]
    """Which of `FLAGS` apply, each at most once."""
    known: bool
    """Whether the type is one of `TYPES`; others are counted, never aggregated."""

    @property
    def ts(self) -> float:
        """Time of creation, Unix seconds, whatever unit it was sent in."""
        sent = self.fields["ts"]
        return float(sent) / 1000 if sent >= _MILLISECONDS_FROM else float(sent)

    @property
    def tool(self) -> str:
        """The tool's name, empty for types without one."""
        named = self.fields.get("tool")
        return named if isinstance(named, str) else ""

    @property
    def ctx(self) -> Mapping[str, Any]:
        """The context, empty when there is none."""
        context = self.fields.get("ctx")
        return context if isinstance(context, dict) else {}


@dataclass(frozen=True, slots=True)
class ErrorPattern:
    """An `error_pattern` of either shape in one form; absent texts are empty, an absent count is None."""

    tool: str
    error_type: str
    frequency: float | None
    trigger: str
    mitigation: str


class _Repeated(ValueError):
    """An object holds a key twice."""


class _Infinite(ValueError):
    """A number does not fit."""


class _Refused(Exception):
    """A field makes the message useless."""

    def __init__(self, fields: Mapping[str, Any], name: str, expected: str) -> None:
        super().__init__(name)
        if name in fields:
            detail = f"{name} is {_show(fields[name])}, expected {expected}"
            self.rejected = Rejected("bad_field", detail)
        else:
            self.rejected = Rejected("missing_field", f"{name} is missing, expected {expected}")


def read(data: bytes, limit: int = HARD_LIMIT) -> Message | Rejected:
    """The message in a datagram of at most `limit` bytes, or why there is none; never raises."""
    if len(data) > limit:
        return Rejected("oversize", f"{len(data)} bytes, at most {limit} are allowed")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return Rejected("not_utf8", f"byte {error.start} is not UTF-8")
    flags: set[str] = set()
    if len(data) > HARD_LIMIT:
        flags.add("datagram_size")
    try:
        value = _parsed(text, flags)
        # Both walks cost as much as all the rest; few messages give a reason for them.
        if data.count(b"[") + data.count(b"{") > _MAX_DEPTH and _depth(value) > _MAX_DEPTH:
            return Rejected("not_json", f"nested deeper than {_MAX_DEPTH} levels")
        if b"\\" in data or b"\x7f" in data:
            value = _storable(value, flags)
    except _Infinite as error:
        return Rejected("bad_field", str(error))
    except (ValueError, RecursionError) as error:
        return Rejected("not_json", clean_text(str(error), 100) or type(error).__name__)
    if not isinstance(value, dict):
        return Rejected("not_object", f"a JSON {_kind(value)}, not an object")
    return _message(value, flags)


def error_pattern(message: Message) -> ErrorPattern:
    """The content of an `error_pattern`: 2.x says error, trigger and solution, 3.x error_type, frequency, mitigation."""
    fields = message.fields
    return ErrorPattern(
        tool=message.tool,
        error_type=fields.get("error_type") or fields.get("error") or "",
        frequency=fields.get("frequency"),
        trigger=fields.get("trigger") or "",
        mitigation=fields.get("mitigation") or fields.get("solution") or "",
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Repeated
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Infinite(f"the number {text[:20]} is out of range")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_UNIQUE: Final = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant, object_pairs_hook=_unique)
_LAST_WINS: Final = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant)


def _parsed(text: str, flags: set[str]) -> Any:
    """The value of a JSON text. Of a repeated key the last value counts, as most readers have it."""
    try:
        return _UNIQUE.decode(text)
    except _Repeated:
        flags.add("duplicate_keys")
        return _LAST_WINS.decode(text)


def _depth(value: Any) -> int:
    """Levels of nesting, found without recursion; counting ends just beyond the allowed ones."""
    level, depth = [value], 0
    while level and depth <= _MAX_DEPTH:
        depth += 1
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        level = inner
    return depth


def _storable(value: Any, flags: set[str]) -> Any:
    """The value without NUL and lone surrogates, which neither UTF-8 nor databases can hold."""
    if isinstance(value, str):
        if _CONTROL.search(value):
            flags.add("control_characters")
        if _SURROGATE.search(value):
            flags.add("surrogates")
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_storable(name, flags): _storable(item, flags) for name, item in value.items()}
    if isinstance(value, list):
        return [_storable(item, flags) for item in value]
    return value


def _message(fields: dict[str, Any], flags: set[str]) -> Message | Rejected:
    version = fields.get("v")
    if isinstance(version, bool) or version not in (2, 3):
        return Rejected("version", f"v is {_show(version)}, expected 2 or 3")
    kind = fields.get("t")
    if not isinstance(kind, str) or not 1 <= len(kind) <= _MAX_TYPE:
        return Rejected("type", f"t is {_show(kind)}, expected a message type")
    check = _CHECKS.get(kind)
    try:
        _check_time(fields, flags)
        sender = _sender(kind, fields, flags)
        if check is not None:
            check(fields, flags)
    except _Refused as refusal:
        return refusal.rejected
    return Message(kind, sender, fields, tuple(sorted(flags)) if flags else (), check is not None)


def _check_time(fields: dict[str, Any], flags: set[str]) -> None:
    ts = fields.get("ts")
    if not _is_amount(ts) or ts > _LATEST:
        raise _Refused(fields, "ts", "Unix time in seconds")
    if ts >= _MILLISECONDS_FROM:
        flags.add("ts_milliseconds")


def _sender(kind: str, fields: dict[str, Any], flags: set[str]) -> str:
    name = "agent_id" if kind in AGENT_TYPES else "sid"
    if kind not in TYPES and "sid" not in fields and "agent_id" in fields:
        name = "agent_id"
    sender = fields.get(name)
    if not isinstance(sender, str) or not 1 <= len(sender) <= MAX_SENDER:
        raise _Refused(fields, name, f"text of 1 to {MAX_SENDER} characters")
    if not 8 <= len(sender) <= (12 if name == "sid" else 32):
        flags.add(f"{name}_length")
    if not _SENDER.fullmatch(sender):
        flags.add("sender_characters")
    return sender


def _check_perf_update(fields: dict[str, Any], flags: set[str]) -> None:
    _check_tool(fields, flags)
    _check_outcome(fields)
    _check_optional(fields, flags)


def _check_discover(fields: dict[str, Any], flags: set[str]) -> None:
    _check_tool(fields, flags)
    if not isinstance(fields.get("does"), str):
        raise _Refused(fields, "does", "text")
    if not _is_texts(fields.get("when")):
        raise _Refused(fields, "when", "a list of texts")
    connector, target = fields.get("connector"), fields.get("connects_to")
    if "connector" in fields and not isinstance(connector, dict):
        raise _Refused(fields, "connector", "an object")
    if connector is None and not isinstance(target, str):
        raise _Refused(fields, "connector", "an object")
    if connector is None:
        flags.add("connector_missing")
    elif not _connector_fits(connector):
        flags.add("connector_shape")
    if len(fields["does"]) > _DOES_CHARS:
        flags.add("does_length")
    if not _within(fields["when"], 5, 64):
        flags.add("when_limits")
    _check_optional(fields, flags)
    if not _within(fields.get("good_at", ()), 5, 32):
        flags.add("good_at_limits")
    if not _within(fields.get("bad_at", ()), 3, 32):
        flags.add("bad_at_limits")


def _check_pattern(fields: dict[str, Any], flags: set[str]) -> None:
    _check_tool(fields, flags)
    newer = "error_type" in fields
    name = "error_type" if newer else "error"
    if not isinstance(fields.get(name), str) or not fields[name]:
        raise _Refused(fields, name, "the kind of error")
    if newer and not _is_amount(fields.get("frequency")):
        raise _Refused(fields, "frequency", "a number")
    if not newer and not (isinstance(fields.get("trigger"), str) and isinstance(fields.get("solution"), str)):
        flags.add("pattern_shape")
    _check_optional(fields, flags)


def _check_receipt(fields: dict[str, Any], flags: set[str]) -> None:
    _check_tool(fields, flags)
    sid = fields.get("tool_sid")
    if not isinstance(sid, str) or not 1 <= len(sid) <= MAX_SENDER:
        raise _Refused(fields, "tool_sid", f"text of 1 to {MAX_SENDER} characters")
    _check_outcome(fields)
    _check_optional(fields, flags)


def _check_composite(fields: dict[str, Any], flags: set[str]) -> None:
    _check_composite_id(fields)
    if not isinstance(fields.get("chain"), list):
        raise _Refused(fields, "chain", "a list of steps")
    if not isinstance(fields.get("signature"), dict):
        raise _Refused(fields, "signature", "an object of input, output and cost")


def _check_composite_receipt(fields: dict[str, Any], flags: set[str]) -> None:
    _check_composite_id(fields)
    _check_outcome(fields)
    if not _is_amount(fields.get("cost_paid")):
        raise _Refused(fields, "cost_paid", "a number, 0 or more")
    if not isinstance(fields.get("steps"), list):
        raise _Refused(fields, "steps", "a list of steps")
    _check_optional(fields, flags)


_Check = Callable[[dict[str, Any], set[str]], None]
_CHECKS: Final[Mapping[str, _Check]] = {
    "perf_update": _check_perf_update,
    "semantic_discover": _check_discover,
    "error_pattern": _check_pattern,
    "usage_receipt": _check_receipt,
    "composite_capability": _check_composite,
    "composite_receipt": _check_composite_receipt,
}


def _check_tool(fields: dict[str, Any], flags: set[str]) -> None:
    tool = fields.get("tool")
    if not isinstance(tool, str) or not 1 <= len(tool) <= MAX_TOOL:
        raise _Refused(fields, "tool", f"a tool name of 1 to {MAX_TOOL} characters")
    if len(tool) > _TOOL_CHARS:
        flags.add("tool_length")


def _check_outcome(fields: dict[str, Any]) -> None:
    if not _is_amount(fields.get("exec_ms")) or fields["exec_ms"] > MAX_EXEC_MS:
        raise _Refused(fields, "exec_ms", f"milliseconds from 0 to {MAX_EXEC_MS:.0f}")
    if not isinstance(fields.get("success"), bool):
        raise _Refused(fields, "success", "true or false")


def _check_composite_id(fields: dict[str, Any]) -> None:
    name = fields.get("composite_id")
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_TOOL:
        raise _Refused(fields, "composite_id", f"text of 1 to {MAX_TOOL} characters")


def _check_optional(fields: dict[str, Any], flags: set[str]) -> None:
    """Leave out optional fields of a wrong type, also within the context."""
    _keep_fitting(fields, _OPTIONAL, flags)
    context = fields.get("ctx")
    if context:
        _keep_fitting(context, _CONTEXT, flags)


def _keep_fitting(
    fields: dict[str, Any], known: Mapping[str, Callable[[Any], bool]], flags: set[str]
) -> None:
    wrong = [name for name, value in fields.items() if (fits := known.get(name)) and not fits(value)]
    for name in wrong:
        del fields[name]
        flags.add("optional_field")


def _is_amount(value: Any) -> TypeGuard[float]:
    """A number from 0 on that counters and databases can hold; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value < _MAX_WHOLE


def _is_whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MAX_WHOLE


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= MAX_TOOL


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_claim(value: Any) -> bool:
    """`{"uses": n, "success_rate": 0..1}`, each optional."""
    if not isinstance(value, dict) or not _is_amount(value.get("uses", 0)):
        return False
    return _is_amount(value.get("success_rate", 0)) and value.get("success_rate", 0) <= 1


_OPTIONAL: Final[Mapping[str, Callable[[Any], bool]]] = {
    "cost_paid": _is_amount,
    "currency": _is_name,
    "ctx": _is_object,
    "invocation_id": _is_name,
    "good_at": _is_texts,
    "bad_at": _is_texts,
    "proven_by": _is_claim,
    "signature": _is_object,
    "identity": _is_bool,
    "connects_to": _is_text,
    "error": _is_text,
    "error_type": _is_text,
    "trigger": _is_text,
    "solution": _is_text,
    "mitigation": _is_text,
    "frequency": _is_amount,
    "sample_args": _is_object,
    "blockchain_registrations": _is_list,
    "used_with": _is_list,
    "error_observed": _is_text,
}
_CONTEXT: Final[Mapping[str, Callable[[Any], bool]]] = {
    "args": _is_object,
    "result_size": _is_amount,
    "cache_hit": _is_bool,
    "error_code": _is_text,
    "payer": _is_text,
    "caller": _is_text,
    "auth_method": _is_text,
    "invocation_id": _is_name,
    "seq": _is_whole,
    "boot": _is_name,
}


def _within(texts: list[str] | tuple[str, ...], items: int, characters: int) -> bool:
    return len(texts) <= items and all(len(text) <= characters for text in texts)


def _connector_fits(connector: Mapping[str, Any]) -> bool:
    """Whether a connector has the required parts of 2.5 and later."""
    auth, protocol = connector.get("auth"), connector.get("protocol")
    transport, endpoint = connector.get("transport"), connector.get("endpoint", "")
    return (
        isinstance(transport, str)
        and transport in _TRANSPORTS
        and isinstance(endpoint, str)
        and (bool(endpoint) or transport == "passthrough")
        and isinstance(auth, dict)
        and isinstance(auth.get("type"), str)
        and isinstance(auth.get("required"), bool)
        and isinstance(protocol, dict)
        and isinstance(protocol.get("type"), str)
    )


def _show(value: Any) -> str:
    if isinstance(value, dict | list):  # deep ones have no repr
        return f"a JSON {_kind(value)}"
    return clean_text(repr(value)[:200], 40)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return "list"
        case _:
            return "object"
