"""Servers that do not exist: DCAP traffic to try a hub with, and to look at its page without a fleet."""

from __future__ import annotations

import heapq
import ipaddress
import json
import math
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TextIO, get_args

from canton_mcp.dcap.message import DEFAULT_PORT
from canton_mcp.tables import aligned

__all__ = ["PROFILES", "FakeServer", "TargetError", "fleet", "profile", "read_target", "run", "schedule"]

Profile = Literal["mixed", "healthy", "slow", "failing", "silent", "lossy", "hostile"]
PROFILES: tuple[Profile, ...] = get_args(Profile)
Role = Literal["healthy", "slow", "failing", "silent", "lossy", "hostile"]

_MIXED: tuple[Role, ...] = ("slow", "failing", "silent")
_TOOLS: tuple[tuple[str, float, str], ...] = (
    ("validate_daml_business_logic", 45.0, "Checks DAML templates against known authorization patterns"),
    ("debug_authorization_failure", 90.0, "Explains why a command was not authorized"),
    ("suggest_authorization_pattern", 30.0, "Suggests an authorization pattern for a workflow"),
    ("recommend_canonical_resources", 18.0, "Finds documentation and examples for a task"),
    ("get_canonical_resource_overview", 8.0, "Lists what documentation there is"),
)
"""Name, median milliseconds, what it does."""
_WEIGHTS = (5, 3, 3, 2, 1)
_CALLERS = ("agent-7f3a", "agent-b210", "ci-pipeline", "canton-mcp-tester")
_CODES = ("timeout", "exception", "invalid_params", "CompilerTimeout")
_HOSTILE_TOOL = "<script>alert('tool')</script>"
_HOSTILE_CALLER = '\x1b]0;owned\x07"><img src=x onerror=alert(1)>\u202egpj'
_SLOWER = 6.0
_SPREAD = 0.45
_ERROR_RATIO = 0.004
_FAILING_RATIO = 0.3
_LOST_RATIO = 0.05
_SILENT_AFTER_SEC = 20.0
_PATTERN_SEC = 30.0
_SPACING_SEC = 0.03


class TargetError(ValueError):
    """Nothing may or can be sent there; the text says why and what to do, in one line."""


@dataclass
class FakeServer:
    """One fake server: what it is like, and what it has sent."""

    sid: str
    role: Role
    rng: random.Random
    boot: str
    seq: int = 0
    calls: int = 0
    failed: int = 0
    others: int = 0
    withheld: int = 0
    refused: int = 0
    uses: dict[str, int] = field(default_factory=dict)

    def call(self, now: float) -> bytes | None:
        """The message after one tool call; None for one that is lost on purpose."""
        name, median, _ = self.rng.choices(_TOOLS, _WEIGHTS)[0]
        failed = self.rng.random() < (_FAILING_RATIO if self.role == "failing" else _ERROR_RATIO)
        slower = _SLOWER if self.role == "slow" else 1.0
        took = median * slower * math.exp(self.rng.gauss(0.0, _SPREAD))
        hostile = self.role == "hostile" and self.rng.random() < 0.5
        self.seq += 1
        self.calls += 1
        self.failed += failed
        self.uses[name] = self.uses.get(name, 0) + 1
        ctx: dict[str, Any] = {
            "caller": _HOSTILE_CALLER if hostile else self.rng.choice(_CALLERS),
            "args": {"damlCode": f"<text:{self.rng.randrange(200, 6000)}>"},
            "result_size": self.rng.randrange(200, 9000),
        }
        if failed:
            ctx["error_code"] = self.rng.choice(_CODES)
        ctx |= {"seq": self.seq, "boot": self.boot}
        message = {
            **self._head("perf_update", now),
            "tool": _HOSTILE_TOOL if hostile else name,
            "exec_ms": round(took, 2),
            "success": not failed,
            "ctx": ctx,
        }
        if self.role == "lossy" and self.rng.random() < _LOST_RATIO:
            self.withheld += 1
            return None
        return _encoded(message)

    def discover(self, now: float, number: int, interval: float) -> bytes:
        """What the tool `number` can do; the interval is told as servers of this product tell it."""
        name, _, does = _TOOLS[number]
        self.others += 1
        endpoint = (
            f"http://192.0.2.{int(self.sid.rpartition('-')[2]) % 250 + 1}:7284/mcp"  # for documentation
        )
        connector = {
            "transport": "http",
            "endpoint": endpoint,
            "auth": {"type": "none", "required": False},
            "protocol": {"type": "mcp", "version": "2025-11-25"},
        }
        return _encoded(
            {
                **self._head("semantic_discover", now),
                "tool": name,
                "does": does,
                "when": [does[:64]],
                "connector": connector,
                "proven_by": {
                    "uses": self.uses.get(name, 0),
                    "success_rate": 1 - round(self.failed / max(1, self.calls), 3),
                },
                "ctx": {"discover_interval_sec": interval, "boot": self.boot},
            }
        )

    def pattern(self, now: float) -> bytes:
        """A recurring failure."""
        self.others += 1
        return _encoded(
            {
                **self._head("error_pattern", now),
                "tool": _TOOLS[0][0],
                "error": "CompilerTimeout",
                "trigger": "source text above 200 KB",
                "solution": "split the module and retry",
                "error_type": "CompilerTimeout",
                "frequency": max(3, self.failed // 4),
                "mitigation": "split the module and retry",
            }
        )

    def _head(self, kind: str, now: float) -> dict[str, Any]:
        return {"v": 2, "t": kind, "ts": int(now), "sid": self.sid}


def profile(name: str) -> Profile:
    """`name` as a profile; raises ValueError for any other text."""
    return PROFILES[PROFILES.index(name)]


def fleet(count: int, profile: Profile, seed: int | None = None) -> list[FakeServer]:
    """`count` servers. A mixed fleet has one that is slow, one that fails often and one that falls silent."""
    rng = random.Random(seed)
    servers = []
    for number in range(1, count + 1):
        role: Role = "healthy"
        if profile == "mixed":
            # The troubled ones come last, so that a fleet of four has a healthy one to compare with.
            place = number - 1 - max(0, count - len(_MIXED))
            role = _MIXED[place] if place >= 0 and count > 1 else "healthy"
        elif profile in ("lossy", "hostile") or number == count:
            role = profile
        own = random.Random(rng.getrandbits(64))
        servers.append(FakeServer(f"sim-mcp-{number}", role, own, f"{own.getrandbits(32):08x}"))
    return servers


def schedule(
    servers: list[FakeServer], rate: float, interval: float, silent_after: float
) -> Iterator[tuple[float, FakeServer, str, int]]:
    """What happens when, for ever: seconds from the start, the server, ``call``/``discover``/``pattern``, a number."""
    due: list[tuple[float, int, str, int]] = []
    mean = len(servers) / rate
    for index, server in enumerate(servers):
        for number in range(len(_TOOLS)):
            due.append(
                (
                    server.rng.random() * min(1.0, interval / 4) + number * _SPACING_SEC,
                    index,
                    "discover",
                    number,
                )
            )
        due.append((server.rng.expovariate(1 / mean), index, "call", 0))
        if server.role == "failing":
            due.append((_PATTERN_SEC / 3, index, "pattern", 0))
    heapq.heapify(due)
    while due:
        at, index, what, number = heapq.heappop(due)
        server = servers[index]
        if server.role == "silent" and at >= silent_after:
            continue
        yield at, server, what, number
        if what == "call":
            pause = server.rng.expovariate(1 / mean)
        elif what == "discover":
            pause = interval * server.rng.uniform(0.9, 1.1)
        else:
            pause = _PATTERN_SEC
        heapq.heappush(due, (at + pause, index, what, number))


def read_target(raw: str, allow_public: bool = False) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """The address of ``HOST:PORT``, ``HOST`` or ``[IPV6]:PORT``.

    Raises:
        TargetError: it is none, or one that strangers may own and `allow_public` is not given.
    """
    host, port = _split(raw)
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise TargetError(
            f"--target {raw}: cannot be resolved ({error.strerror or error}). Check the name."
        ) from None
    family, address = answers[0][0], str(answers[0][4][0])
    if not allow_public and not _own_ground(address):
        raise TargetError(
            f"--target {raw}: {address} is neither loopback nor private, and made-up telemetry is a nuisance to others. "
            "Use 127.0.0.1:10191, or --allow-public if the address is yours."
        )
    return family, (address, port)


def run(
    servers: list[FakeServer],
    target: tuple[socket.AddressFamily, tuple[str, int]],
    *,
    rate: float,
    interval: float,
    seconds: float | None = None,
    silent_after: float = _SILENT_AFTER_SEC,
    out: TextIO | None = None,
) -> int:
    """Send until `seconds` have passed or Ctrl-C, then print what was sent.

    Returns the exit status: 0, or 1 when nothing could be delivered.
    """
    stream = out if out is not None else sys.stdout
    family, address = target
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(
        f"{len(servers)} made-up servers send about {rate:g} calls a second to {_shown(address)}; Ctrl-C ends it.",
        file=stream,
        flush=True,
    )
    begun = time.monotonic()
    sockets = {server.sid: _connected(family, address) for server in servers}
    try:
        for at, server, what, number in schedule(servers, rate, interval, silent_after):
            if seconds is not None and at >= seconds:
                time.sleep(max(0.0, begun + seconds - time.monotonic()))
                break
            if (early := begun + at - time.monotonic()) > 0:
                time.sleep(early)
            _send(sockets[server.sid], server, what, number, interval)
    except KeyboardInterrupt:
        pass
    finally:
        for sock in sockets.values():
            sock.close()
    print(_summary(servers, time.monotonic() - begun, address), file=stream, flush=True)
    attempted = sum(server.calls + server.others - server.withheld for server in servers)
    refused = sum(server.refused for server in servers)
    # Nobody tells of the last message of each server.
    return 1 if refused and refused + len(servers) >= attempted else 0


def _send(sock: socket.socket, server: FakeServer, what: str, number: int, interval: float) -> None:
    now = time.time()
    if what == "call":
        data = server.call(now)
    else:
        data = server.discover(now, number, interval) if what == "discover" else server.pattern(now)
    if data is None:
        return
    for _ in range(2):
        try:
            sock.send(data)
            return
        except OSError:  # mostly the answer "nobody listens" to the message before; this one was not sent yet
            server.refused += 1


def _summary(servers: list[FakeServer], seconds: float, address: tuple[str, int]) -> str:
    rows = [("SERVER ID", "ROLE", "CALLS", "FAILED", "OTHER", "WITHHELD", "REFUSED")]
    rows += [
        (s.sid, s.role, str(s.calls), str(s.failed), str(s.others), str(s.withheld), str(s.refused))
        for s in servers
    ]
    sent = sum(s.calls + s.others - s.withheld - s.refused for s in servers)
    lines = [aligned(rows, right=range(2, len(rows[0]))), f"{sent} messages sent in {seconds:.1f} s."]
    if sum(s.refused for s in servers):
        lines.append(
            f"Nobody listened on {_shown(address)} for some of them: start the hub with canton-mcp hub."
        )
    return "\n".join(lines)


def _connected(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.connect(address)
    except OSError as error:
        sock.close()
        raise TargetError(
            f"--target {_shown(address)}: {error.strerror or error}. Check the address."
        ) from None
    return sock


def _split(raw: str) -> tuple[str, int]:
    host, port = raw, str(DEFAULT_PORT)
    if raw.startswith("["):
        host, _, rest = raw[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif raw.count(":") == 1:
        host, _, port = raw.partition(":")
    if not host or not port.isascii() or not port.isdigit() or len(port) > 5 or not 1 <= int(port) <= 65535:
        raise TargetError(f"--target {raw}: is no address with a port. Use for example 127.0.0.1:10191.")
    return host, int(port)


def _own_ground(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_multicast:
        return ip in ipaddress.ip_network("239.0.0.0/8") if ip.version == 4 else False
    return ip.is_loopback or ip.is_private or ip.is_link_local


def _shown(address: tuple[str, int]) -> str:
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def _encoded(message: dict[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
