"""A live view of DCAP messages on the wire, for people and for scripts."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import math
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TextIO

from canton_mcp.dcap.message import DEFAULT_PORT, HARD_LIMIT, MAX_EXEC_MS, clean_text
from canton_mcp.tables import aligned, percentile

Reason = Literal[
    "oversize", "not_utf8", "not_json", "not_object", "version", "type", "missing_field", "bad_field"
]

_RECEIVE_BUFFER = 4 * 1024 * 1024
_POLL_SECONDS = 0.25
_SID_MAX = 64
_MAX_TIMES = 10_000
"""Per server id; percentiles are of the latest ones."""
_AGENT_TYPES = frozenset({"usage_receipt", "composite_capability", "composite_receipt"})


@dataclass(frozen=True)
class Rejected:
    """Why a datagram is no DCAP message."""

    reason: Reason
    detail: str


@dataclass(frozen=True)
class Datagram:
    """One received datagram: when (Unix time), from where, and its message or the reason against it."""

    at: float
    source: str
    size: int
    content: dict[str, Any] | Rejected


def parse(data: bytes) -> dict[str, Any] | Rejected:
    """The message in a datagram, or why there is none; never raises.

    Checks the envelope and, for a `perf_update`, its fields. Unknown types and extra fields pass.
    """
    if len(data) > HARD_LIMIT:
        return Rejected("oversize", f"{len(data)} bytes, at most {HARD_LIMIT} are allowed")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return Rejected("not_utf8", f"byte {error.start} is not UTF-8")
    try:
        message = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return Rejected("not_json", clean_text(str(error), 100))
    if not isinstance(message, dict):
        return Rejected("not_object", f"a JSON {type(message).__name__}, not an object")
    return _check(message) or message


def listen(
    bind: str = "0.0.0.0",
    port: int = DEFAULT_PORT,
    *,
    seconds: float | None = None,
    ready: Any = None,
) -> Iterator[Datagram]:
    """Yields datagrams as they come, for `seconds` or for ever.

    A multicast `bind` joins that group. `ready` is called with the bound port once the socket is open.
    Raises OSError when the address cannot be bound.
    """
    end = math.inf if seconds is None else time.monotonic() + seconds
    with contextlib.closing(_open(bind, port)) as sock:
        if ready is not None:
            ready(sock.getsockname()[1])
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(min(left, _POLL_SECONDS) if left < math.inf else None)
            try:
                data, source = sock.recvfrom(65535)
            except TimeoutError:
                continue
            yield Datagram(time.time(), f"{source[0]}:{source[1]}", len(data), parse(data))


@dataclass
class _Sender:
    """What is known of one sid."""

    messages: int = 0
    calls: int = 0
    failed: int = 0
    times: deque[float] = field(default_factory=lambda: deque(maxlen=_MAX_TIMES))
    seen: dict[str, list[int]] = field(default_factory=dict)

    def add(self, message: dict[str, Any]) -> None:
        self.messages += 1
        if message["t"] != "perf_update":
            return
        self.calls += 1
        self.failed += not message["success"]
        self.times.append(float(message["exec_ms"]))
        ctx = message.get("ctx")
        if isinstance(ctx, dict) and type(ctx.get("seq")) is int and isinstance(ctx.get("boot"), str):
            low, high, count = self.seen.get(ctx["boot"], [ctx["seq"], ctx["seq"], 0])
            self.seen[ctx["boot"]] = [min(low, ctx["seq"]), max(high, ctx["seq"]), count + 1]

    def lost(self) -> str:
        if not self.seen:
            return "?"
        return str(sum(max(0, high - low + 1 - count) for low, high, count in self.seen.values()))


def run(
    bind: str = "0.0.0.0",
    port: int = DEFAULT_PORT,
    count: int | None = None,
    seconds: float | None = None,
    as_json: bool = False,
    out: TextIO | None = None,
) -> int:
    """Prints one line per datagram until `count`, `seconds` or Ctrl-C, then a summary by server id.

    Returns the exit status: 0, or 1 when the address cannot be bound. With `as_json` every line is a
    JSON object and the summary goes to stderr, so the output can be piped.
    """
    stream = out if out is not None else sys.stdout
    notes = sys.stderr if as_json else stream
    senders: dict[str, _Sender] = {}
    rejected: dict[str, int] = {}
    received = 0

    def announce(bound: int) -> None:
        print(
            f"Listening for DCAP on {bind}:{bound}/udp; Ctrl-C ends it with a summary", file=notes, flush=True
        )

    try:
        for datagram in listen(bind, port, seconds=seconds, ready=announce):
            received += 1
            content = datagram.content
            if isinstance(content, Rejected):
                rejected[content.reason] = rejected.get(content.reason, 0) + 1
            else:
                senders.setdefault(_sender_id(content), _Sender()).add(content)
            print(_json_line(datagram) if as_json else _text_line(datagram), file=stream, flush=True)
            if count is not None and received >= count:
                break
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # whoever read the output has left, which is no fault of the address
        raise
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        hint = (
            "stop the other listener, or choose another --port"
            if "in use" in why
            else "check --bind and --port"
        )
        print(f"canton-mcp dcap listen: cannot listen on {bind}:{port}: {why}; {hint}", file=sys.stderr)
        return 1
    print(_summary(senders, rejected), file=notes, flush=True)
    return 0


def _open(bind: str, port: int) -> socket.socket:
    info = socket.getaddrinfo(bind, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)[0]
    family, address = info[0], info[4]
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        group = ipaddress.ip_address(str(address[0]).partition("%")[0])
        if group.is_multicast:
            # Several listeners may share a group; on a unicast port that would split the packets unseen.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            if family == socket.AF_INET:
                member = struct.pack("4s4s", group.packed, socket.inet_aton("0.0.0.0"))
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            else:
                member = group.packed + struct.pack("@I", int(address[3]) if len(address) > 3 else 0)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
        else:
            sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _check(message: dict[str, Any]) -> Rejected | None:
    if message.get("v") not in (2, 3) or isinstance(message.get("v"), bool):
        return Rejected("version", f"v is {_show(message.get('v'))}, expected 2 or 3")
    kind = message.get("t")
    if not isinstance(kind, str) or not kind:
        return Rejected("type", f"t is {_show(kind)}, expected a message type")
    if not _is_number(message.get("ts")):
        return _bad(message, "ts", "Unix time")
    who = "agent_id" if kind in _AGENT_TYPES else "sid"
    sid = message.get(who)
    if not isinstance(sid, str) or not 1 <= len(sid) <= _SID_MAX:
        return _bad(message, who, f"text of 1 to {_SID_MAX} characters")
    return _check_perf_update(message) if kind == "perf_update" else None


def _check_perf_update(message: dict[str, Any]) -> Rejected | None:
    if not isinstance(message.get("tool"), str) or not message["tool"]:
        return _bad(message, "tool", "a tool name")
    if not _is_number(message.get("exec_ms")) or not 0 <= message["exec_ms"] <= MAX_EXEC_MS:
        return _bad(message, "exec_ms", "milliseconds, 0 or more")
    if not isinstance(message.get("success"), bool):
        return _bad(message, "success", "true or false")
    return None


def _bad(message: dict[str, Any], name: str, expected: str) -> Rejected:
    if name not in message:
        return Rejected("missing_field", f"{name} is missing, expected {expected}")
    return Rejected("bad_field", f"{name} is {_show(message[name])}, expected {expected}")


def _is_number(value: Any) -> bool:
    # Integers of any length are JSON; float() of a huge one overflows.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 2**63


def _show(value: Any) -> str:
    return clean_text(repr(value)[:200], 40)


def _sender_id(message: dict[str, Any]) -> str:
    return clean_text(str(message.get("sid") or message.get("agent_id")), _SID_MAX) or "?"


def _clock(at: float) -> str:
    return f"{time.strftime('%H:%M:%S', time.localtime(at))}.{int(at % 1 * 1000):03d}"


def _text_line(datagram: Datagram) -> str:
    content = datagram.content
    head = f"{_clock(datagram.at)}  "
    if isinstance(content, Rejected):
        return f"{head}{datagram.source}  rejected ({content.reason}): {content.detail}"
    head += f"{_sender_id(content):<14}  {clean_text(content['t'], 24)}"
    if content["t"] != "perf_update":
        return f"{head}  {clean_text(str(content.get('tool', '')), 64)}".rstrip()
    ctx = content.get("ctx")
    ctx = ctx if isinstance(ctx, dict) else {}
    outcome = (
        "ok" if content["success"] else f"FAILED {clean_text(str(ctx.get('error_code', '')), 48)}".rstrip()
    )
    caller = f"  caller={clean_text(str(ctx['caller']), 64)}" if ctx.get("caller") else ""
    return f"{head}  {clean_text(content['tool'], 64):<31}  {content['exec_ms']:>8} ms  {outcome}{caller}"


def _json_line(datagram: Datagram) -> str:
    content = datagram.content
    line: dict[str, Any] = {
        "received": round(datagram.at, 3),
        "from": datagram.source,
        "bytes": datagram.size,
    }
    if isinstance(content, Rejected):
        line |= {"rejected": content.reason, "detail": content.detail}
    else:
        line["message"] = content
    # ASCII only: escaped control characters and surrogates cannot harm a terminal or a pipe.
    return json.dumps(line, ensure_ascii=True)


def _summary(senders: dict[str, _Sender], rejected: dict[str, int]) -> str:
    rows = [("SERVER ID", "MESSAGES", "CALLS", "FAILED", "LOST", "P50 MS", "P95 MS")]
    for sid in sorted(senders):
        sender = senders[sid]
        rows.append(
            (
                sid,
                str(sender.messages),
                str(sender.calls),
                str(sender.failed),
                sender.lost(),
                _milliseconds(percentile(sender.times, 50)),
                _milliseconds(percentile(sender.times, 95)),
            )
        )
    lines = [aligned(rows, right=range(1, len(rows[0]))) if senders else "No messages received"]
    if rejected:
        lines.append("rejected: " + ", ".join(f"{reason} {n}" for reason, n in sorted(rejected.items())))
    return "\n".join(lines)


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
