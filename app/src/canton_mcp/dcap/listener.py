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
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from canton_mcp.dcap import composites
from canton_mcp.dcap.message import DEFAULT_PORT, clean_text
from canton_mcp.dcap.reading import Message, Rejected, error_pattern, read
from canton_mcp.tables import aligned, percentile

__all__ = ["Datagram", "listen", "run"]

_RECEIVE_BUFFER = 4 * 1024 * 1024
_POLL_SECONDS = 0.25
_MAX_SENDERS = 1000
"""Anybody can send under any name."""
_MAX_BOOTS = 100
_MAX_TIMES = 10_000
"""Per sender; percentiles are of the latest ones."""
_OTHERS = "(others)"


@dataclass(frozen=True)
class Datagram:
    """One received datagram: when (Unix time), from where, and its message or the reason against it."""

    at: float
    source: str
    size: int
    content: Message | Rejected
    flags: tuple[str, ...] = ()
    """What is odd about the message, see `reading.FLAGS` and `composites.COMPOSITE_FLAGS`."""


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
            yield _datagram(data, f"{source[0]}:{source[1]}")


@dataclass
class _Sender:
    """What is known of one server or agent."""

    messages: int = 0
    calls: int = 0
    failed: int = 0
    tools: set[str] = field(default_factory=set)
    flagged: int = 0
    times: deque[float] = field(default_factory=lambda: deque(maxlen=_MAX_TIMES))
    seen: dict[str, list[int]] = field(default_factory=dict)

    def add(self, message: Message) -> None:
        """Count a message."""
        self.messages += 1
        self.flagged += bool(message.flags)
        if message.type == "semantic_discover" and len(self.tools) < _MAX_SENDERS:
            self.tools.add(message.tool)
        if message.type != "perf_update":
            return
        self.calls += 1
        self.failed += not message.fields["success"]
        self.times.append(float(message.fields["exec_ms"]))
        seq, boot = message.ctx.get("seq"), message.ctx.get("boot")
        if seq is not None and boot is not None and (boot in self.seen or len(self.seen) < _MAX_BOOTS):
            low, high, count = self.seen.get(boot, [seq, seq, 0])
            self.seen[boot] = [min(low, seq), max(high, seq), count + 1]

    def lost(self) -> str:
        """How many calls were not heard of, by their numbers."""
        if not self.seen:
            return "?"
        return str(sum(max(0, high - low + 1 - count) for low, high, count in self.seen.values()))


@dataclass
class _Tally:
    """All that a summary tells."""

    received: int = 0
    senders: dict[str, _Sender] = field(default_factory=dict)
    types: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)

    def add(self, datagram: Datagram) -> None:
        """Count a datagram."""
        self.received += 1
        content = datagram.content
        if isinstance(content, Rejected):
            self.rejected[content.reason] += 1
            return
        name = clean_text(content.sender, 64) or "?"
        if name not in self.senders and len(self.senders) >= _MAX_SENDERS:
            name = _OTHERS
        self.senders.setdefault(name, _Sender()).add(content)
        self.types[content.type if content.known else "unknown type"] += 1
        self.flags.update(datagram.flags)


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
    tally = _Tally()

    def announce(bound: int) -> None:
        print(
            f"Listening for DCAP on {_at(bind, bound)}/udp; Ctrl-C ends it with a summary",
            file=notes,
            flush=True,
        )

    try:
        for datagram in listen(bind, port, seconds=seconds, ready=announce):
            tally.add(datagram)
            print(_json_line(datagram) if as_json else _text_line(datagram), file=stream, flush=True)
            if count is not None and tally.received >= count:
                break
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # whoever read the output has left, which is no fault of the address
        raise
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        hint = (
            "stop the other listener (a hub, perhaps), or choose another --port"
            if "in use" in why
            else "check --bind and --port"
        )
        print(f"canton-mcp dcap listen: cannot listen on {_at(bind, port)}: {why}; {hint}", file=sys.stderr)
        return 1
    print(_summary(tally), file=notes, flush=True)
    return 0


def _at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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


def _clock(at: float) -> str:
    return f"{time.strftime('%H:%M:%S', time.localtime(at))}.{int(at % 1 * 1000):03d}"


def _datagram(data: bytes, source: str) -> Datagram:
    """What came, read and judged as a hub does it."""
    content = read(data)
    if isinstance(content, Rejected):
        return Datagram(time.time(), source, len(data), content)
    verdict = composites.judge(content)
    if verdict.problems:
        return Datagram(time.time(), source, len(data), Rejected("composite", verdict.problems[0]))
    return Datagram(time.time(), source, len(data), content, content.flags + verdict.flags)


def _text_line(datagram: Datagram) -> str:
    content = datagram.content
    head = f"{_clock(datagram.at)}  "
    if isinstance(content, Rejected):
        return f"{head}{datagram.source}  rejected ({content.reason}): {content.detail}"
    flags = f"  ! {', '.join(datagram.flags)}" if datagram.flags else ""
    name = clean_text(content.sender, 64) or "?"
    return f"{head}{name:<14}  {clean_text(content.type, 24):<17}  {_said(content)}".rstrip() + flags


def _said(message: Message) -> str:
    """The content of a message in one line."""
    fields, tool = message.fields, clean_text(message.tool, 64)
    match message.type:
        case "perf_update" | "usage_receipt":
            of = f"  of {clean_text(fields['tool_sid'], 64)}" if "tool_sid" in fields else ""
            caller = clean_text(message.ctx.get("caller", ""), 64)
            return f"{tool:<31}{of}  {_outcome(message)}" + (f"  caller={caller}" if caller else "")
        case "semantic_discover":
            return f"{tool:<31}  {_offered(fields)}"
        case "error_pattern":
            pattern = error_pattern(message)
            times = "" if pattern.frequency is None else f" x {pattern.frequency:g}"
            texts = [clean_text(text, 128) for text in (pattern.trigger, pattern.mitigation)]
            return (
                f"{tool:<31}  {clean_text(pattern.error_type, 64)}{times}  {'; '.join(filter(None, texts))}"
            )
        case "composite_capability":
            return f"{clean_text(fields['composite_id'], 64):<31}  {_chain(fields['chain'])}"
        case "composite_receipt":
            name = clean_text(fields["composite_id"], 64)
            return f"{name:<31}  {_outcome(message)}  {_chain(fields['steps'])}"
        case _:
            return tool


def _outcome(message: Message) -> str:
    fields = message.fields
    code = clean_text(message.ctx.get("error_code") or fields.get("error_observed", ""), 48)
    outcome = "ok" if fields["success"] else f"FAILED {code}".rstrip()
    currency = clean_text(fields.get("currency", ""), 12)
    cost = f"  {fields['cost_paid']} {currency}".rstrip() if "cost_paid" in fields else ""
    return f"{fields['exec_ms']:>8} ms  {outcome}{cost}"


def _offered(fields: Mapping[str, Any]) -> str:
    connector = fields.get("connector") or {}
    where = connector.get("endpoint") or fields.get("connects_to") or "-"
    claim = fields.get("proven_by", {})
    uses = f"  {claim['uses']} uses" if "uses" in claim else ""
    rate = f", {claim['success_rate']:.1%} ok" if "success_rate" in claim else ""
    return f"{clean_text(str(where), 64)}{uses}{rate}  {clean_text(fields['does'], 128)}"


def _chain(steps: list[dict[str, Any]]) -> str:
    return " > ".join(f"{clean_text(step['tool'], 32)}@{clean_text(step['tool_sid'], 32)}" for step in steps)


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
        line |= {"flags": list(datagram.flags), "message": content.fields}
    # ASCII only: escaped control characters and surrogates cannot harm a terminal or a pipe.
    return json.dumps(line, ensure_ascii=True)


def _summary(tally: _Tally) -> str:
    rows = [("SENDER", "MESSAGES", "TOOLS", "CALLS", "FAILED", "LOST", "P50 MS", "P95 MS", "FLAGGED")]
    for name, sender in sorted(tally.senders.items()):
        rows.append(
            (
                name,
                str(sender.messages),
                str(len(sender.tools)),
                str(sender.calls),
                str(sender.failed),
                sender.lost(),
                _milliseconds(percentile(sender.times, 50)),
                _milliseconds(percentile(sender.times, 95)),
                str(sender.flagged),
            )
        )
    lines = [aligned(rows, right=range(1, len(rows[0]))) if tally.senders else "No messages received"]
    for title, counts in (("types", tally.types), ("flags", tally.flags), ("rejected", tally.rejected)):
        if counts:
            lines.append(f"{title}: " + ", ".join(f"{name} {n}" for name, n in sorted(counts.items())))
    return "\n".join(lines)


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
