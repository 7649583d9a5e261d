"""Takes every datagram to exactly one end: counted into the statistics, or refused for a reason that is counted.

No input and no output: whoever reads the sockets calls `receive`, and the store and the report read what it keeps.
Everything here is bounded, since all of it comes from strangers. What takes the most is the statistics: 200 servers,
2,000 tools of theirs and an `other` for each server, usually 10 to 30 kB each and never more than about 125 kB
(`Series`), which is 300 MB if every one is filled with all durations and marks there are, all day long. What is kept
of servers besides (numbers 60 kB, announcements 1.5 kB a tool) is 15 MB, the senders' table 5 MB.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any, Final
from urllib.parse import urlsplit

from canton_mcp.dcap import composites
from canton_mcp.dcap.message import clean_text
from canton_mcp.dcap.reading import AGENT_TYPES, REASONS, Message, Rejected, error_pattern, read
from canton_mcp.hub import histogram
from canton_mcp.hub.expected import Expected
from canton_mcp.hub.limits import Limits, Source
from canton_mcp.hub.servers import Pattern, Server, Tool
from canton_mcp.hub.settings import HubSettings
from canton_mcp.hub.statistics import SLOT_SECONDS

__all__ = ["BOUNDS_SECONDS", "MAX_SIDS", "MAX_TOOLS", "OTHER", "REJECTIONS", "Collector", "Total"]

REJECTIONS: Final = (*REASONS, "rate_limited", "sid_cap", "composite", "duplicate")
"""Every reason for which a datagram is refused."""

BOUNDS_SECONDS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)
"""Upper ends of the durations that `Total.buckets` counts."""

OTHER: Final = "other"
MAX_SIDS: Final = 200
MAX_TOOLS: Final = 100
_MAX_PAIRS = 2000
"""Tools of all servers together: 200 servers with 100 tools each would be more than the unit may take."""
_ROOM_FOR_STRANGERS = 20
_NEW_SIDS_OF_ADDRESS = 20
"""Server ids that one address outside the trusted networks may bring up."""
_MAX_AGENTS = 200
_MAX_PATTERNS = 500
_MAX_IDS = 10_000
_GONE_SEC = 900.0
_MAX_TEXT = 200
_BOUNDS_MS = tuple(bound * 1000 for bound in BOUNDS_SECONDS)


@dataclass(frozen=True, slots=True)
class Total:
    """The calls of a tool since the process started."""

    sid: str
    tool: str
    succeeded: int
    failed: int
    seconds: float
    buckets: list[int]
    """Calls that took at most each of `BOUNDS_SECONDS`."""


class Agent:
    """What is known of an agent: that it speaks, and how well."""

    __slots__ = ("flags", "last_seen", "messages")

    def __init__(self) -> None:
        self.messages = 0
        self.last_seen = 0.0
        self.flags: dict[str, int] = {}


class Collector:
    """All statistics of one hub. `now` is Unix time everywhere."""

    def __init__(
        self, settings: HubSettings, expected: Sequence[Expected] = (), now: float | None = None
    ) -> None:
        self.started = time.time() if now is None else now
        self.since = self.started
        """Where the statistics begin: earlier than `started` once stored calls were read."""
        self.listening_since = self.started
        """Since when silence is silence: earlier than `started` after a short restart."""
        self.servers: dict[str, Server] = {}
        self.agents: dict[str, Agent] = {}
        self.received = 0
        self.rejected: dict[str, int] = dict.fromkeys(REJECTIONS, 0)
        self.received_by: dict[tuple[str, int], int] = {}
        """Accepted messages by type (`other` for unknown ones) and version."""
        self.unknown_types = 0
        self.websocket_clients = 0
        self.websocket_dropped = 0
        self.sid_cap_at = 0.0
        self.kernel_drops_at = 0.0
        self.store_problem: str | None = None
        self.store_state: dict[str, Any] = {"bytes": None, "oldest": None, "committed_until": None}
        self.limits = Limits(settings.rate, settings.trusted_rate, settings.trusted_networks)
        self._max_datagram = settings.max_datagram
        self._kernel_drops = 0
        self._pairs = 0
        self._patterns = 0
        self._brought: dict[str, int] = {}
        self._ids: OrderedDict[int, None] = OrderedDict()
        self._advertised: dict[tuple[str, str], composites.Signature] = {}
        self._evict_again_at = 0.0
        self._expected_count = 0
        self._latest_slot = 0
        self.expect(expected, self.started)

    @property
    def accepted(self) -> int:
        """Datagrams that were counted into the statistics."""
        return self.received - sum(self.rejected.values())

    @property
    def kernel_drops(self) -> int:
        """Datagrams that the kernel threw away before the hub could read them; set by whoever knows."""
        return self._kernel_drops

    @kernel_drops.setter
    def kernel_drops(self, total: int) -> None:
        if total > self._kernel_drops:
            self.kernel_drops_at = time.time()
        self._kernel_drops = total

    @property
    def has_inventory(self) -> bool:
        """Whether it is known which servers there should be."""
        return self._expected_count > 0

    def expect(self, expected: Sequence[Expected], now: float | None = None) -> None:
        """Take over the inventory's list; servers that left it and never spoke are forgotten."""
        now = time.time() if now is None else now
        slot = int(self.started) // SLOT_SECONDS
        named = {server.sid: server for server in expected}
        for sid, server in list(self.servers.items()):
            server.expected = named.get(sid)
            if server.expected is None and server.last_seen is None:
                del self.servers[sid]
        for sid, entry in named.items():
            if sid not in self.servers:
                self.servers[sid] = Server(sid, slot, entry)
                self.servers[sid].expected_since = now
        self._expected_count = len(named)
        homes = {sid: address for sid, entry in named.items() if (address := _address_of(entry))}
        self.limits.expect(homes)

    def receive(self, data: bytes, address: str, now: float) -> Message | Rejected:
        """Counts one datagram from an IP address; says what it was."""
        self.received += 1
        limits = self.limits
        if not limits.stranger_allowed(address, now):
            source = limits.source(address, None, now)
            source.received += 1
            return self._limited(source, now)
        message = read(data, self._max_datagram)
        if isinstance(message, Rejected):
            source = limits.source(address, None, now)
            source.received += 1
            return self._reject(source, message, now)
        kind = message.type
        source = limits.source(address, message.sender, now)
        source.received += 1
        if not limits.admit(source, kind == "semantic_discover", now):
            self._note_limited(message, data, now)
            return self._limited(source, now)
        if kind in AGENT_TYPES or "sid" not in message.fields:
            refused = self._agent(message, now)
        else:
            refused = self._server(message, data, source, now)
        if refused is not None:
            return self._reject(source, refused, now)
        key = (kind if message.known else OTHER, int(message.fields["v"]))
        self.received_by[key] = self.received_by.get(key, 0) + 1
        return message

    def discovers(self) -> list[bytes]:
        """The last announcement of each tool of each server, as it came."""
        return [
            tool.discover
            for server in self.servers.values()
            for tool in server.tools.values()
            if tool.discover is not None
        ]

    def totals(self) -> Iterator[Total]:
        """The calls of each tool since the process started; at most 2,000 tools and `other` of each server."""
        for server in self.servers.values():
            for name, tool in server.tools.items():
                cell = tool.series.everything()
                yield Total(
                    sid=server.sid,
                    tool=name,
                    succeeded=cell.calls - cell.errors,
                    failed=cell.errors,
                    seconds=cell.total_ms / 1000,
                    buckets=histogram.cumulative(cell.buckets, _BOUNDS_MS),
                )

    def costs(self) -> Iterator[tuple[str, str, float]]:
        """What calls cost since the process started: sid, currency, amount in its smallest unit."""
        for server in self.servers.values():
            for name, amount in server.series.everything().marks.items():
                if name.startswith("cost:"):
                    yield server.sid, name[5:], amount

    def advance(self, now: float) -> float:
        """Brings all windows up to the present; drops tools and strangers of which nothing is left.

        Returns the present: later than `now` when the clock has stepped back, until it catches up.
        """
        slot = int(now) // SLOT_SECONDS
        if slot < self._latest_slot:
            slot = self._latest_slot
            now = float(slot * SLOT_SECONDS)
        self._latest_slot = slot
        for sid, server in list(self.servers.items()):
            server.series.advance(slot)
            for name, tool in list(server.tools.items()):
                tool.series.advance(slot)
                if tool.series.empty() and not tool.series.finished and now - tool.discovered_at > 86400:
                    del server.tools[name]
                    self._advertised.pop((sid, name), None)
                    self._pairs -= 1
            if (
                server.expected is None
                and not server.tools
                and not server.series.finished
                and (server.last_seen is None or now - server.last_seen > 86400)
            ):
                self._drop(server)
        return now

    def server(self, sid: str, now: float) -> Server:
        """The entry of a server, made without asking for room; for reading stored calls."""
        found = self.servers.get(sid)
        if found is None:
            found = self.servers[sid] = Server(sid, int(now) // SLOT_SECONDS)
        return found

    def tool(self, server: Server, name: str, slot: int) -> Tool:
        """The entry of a tool, or of `other` when there are too many."""
        found = server.tools.get(name)
        if found is not None:
            return found
        if len(server.tools) >= MAX_TOOLS or self._pairs >= _MAX_PAIRS:
            name = OTHER
            if (found := server.tools.get(OTHER)) is not None:
                return found
        found = server.tools[name] = Tool(slot)
        self._pairs += 1
        return found

    def _server(self, message: Message, data: bytes, source: Source, now: float) -> Rejected | None:
        sid = message.sender
        if not sid.isprintable():
            sid = _shown(sid, 64)
        server = self.servers.get(sid)
        if server is None:
            server = self._new_server(sid, source, now)
            if server is None:
                self.sid_cap_at = now
                return Rejected("sid_cap", f"too many server ids, {sid} is not counted")
        fields = message.fields
        context = (fields.get("ctx") or {}) if message.known else {}  # of unknown types nothing was checked
        slot = int(now) // SLOT_SECONDS
        series = server.series
        if series.slot != slot:
            self._latest_slot = max(self._latest_slot, slot)
            series.advance(slot)
        number, boot = context.get("seq"), context.get("boot")
        if number is not None and boot is not None:
            lost = server.number(boot, number, hash(data), now)
            if lost is None:
                return Rejected("duplicate", f"number {number} of this process came before")
            marks = series.open.marks
            marks["numbered"] = marks.get("numbered", 0) + 1
            if lost:
                marks["lost"] = marks.get("lost", 0) + lost
        elif (identity := context.get("invocation_id")) is not None and self._known_id(message, identity):
            return Rejected("duplicate", "this invocation_id came before")
        server.seen(source.address, now)
        if message.flags:
            server.nonconformant += 1
            _count(server.flags, message.flags)
        ts = fields["ts"]
        # Whole seconds are cut off, half a second on average.
        server.skews.append(now - (ts + 0.5 if type(ts) is int and ts < 10**11 else message.ts))
        if message.type == "perf_update":
            self._call(server, fields, context, slot, now)
        elif message.type == "semantic_discover":
            self._discover(server, message, data, slot, now)
        elif message.type == "error_pattern":
            self._pattern(server, message, now)
        else:
            self.unknown_types += 1
        return None

    def _call(
        self, server: Server, fields: dict[str, Any], context: dict[str, Any], slot: int, now: float
    ) -> None:
        name = fields["tool"]
        tool = server.tools.get(name)
        if tool is None:
            tool = self.tool(server, _shown(name, 64), slot)
        server.last_call = now
        tool.called += 1
        milliseconds = fields["exec_ms"]
        place = histogram.bucket(milliseconds)
        failed = not fields["success"]
        series = tool.series
        if series.slot != slot:
            series.advance(slot)
        for cell in (server.series.open, series.open):
            cell.calls += 1
            cell.errors += failed
            cell.total_ms += milliseconds
            buckets = cell.buckets
            buckets[place] = buckets.get(place, 0) + 1
        if failed:
            code = tool.code(_shown(context.get("error_code") or "none", 48), now)
            series.open.mark(intern(f"code:{code}"))
        if (paid := fields.get("cost_paid")) and isinstance(paid, int | float):
            currency = server.currency(_shown(fields.get("currency") or "?", 12))
            name = intern(f"cost:{currency}")
            server.series.open.mark(name, paid)
            series.open.mark(name, paid)

    def _discover(self, server: Server, message: Message, data: bytes, slot: int, now: float) -> None:
        name = _shown(message.tool, 64)
        tool = self.tool(server, name, slot)
        if server.tools.get(name) is not tool:
            return  # it has no room of its own, and the last of several would stand for all
        server.announced(tool, data, now)
        told = message.ctx.get("discover_interval_sec")
        if isinstance(told, int | float) and not isinstance(told, bool) and 1 <= told <= 86400:
            server.told_interval = float(told)
        if (signature := composites.signature_of(message)) is not None:
            self._advertised[server.sid, name] = signature
        proven = message.fields.get("proven_by")
        uses = proven.get("uses") if isinstance(proven, dict) else None
        if not isinstance(uses, int | float) or isinstance(uses, bool):
            return
        if tool.uses is not None and 0 < uses - tool.uses[0] <= 1_000_000:
            counted = tool.called - tool.uses[1]
            server.series.open.mark("used", uses - tool.uses[0])
            server.series.open.mark("used_seen", counted)
        tool.uses = (uses, tool.called)

    def _pattern(self, server: Server, message: Message, now: float) -> None:
        told = error_pattern(message)
        key = (_shown(told.tool, 64), _shown(told.error_type, 64))
        if key not in server.patterns:
            if len(server.patterns) >= 20 or self._patterns >= _MAX_PATTERNS:
                if not server.patterns:
                    return
                del server.patterns[min(server.patterns, key=lambda one: server.patterns[one].last_seen)]
                self._patterns -= 1
            self._patterns += 1
        server.patterns[key] = Pattern(
            *key, told.frequency, _shown(told.trigger), _shown(told.mitigation), now
        )

    def _agent(self, message: Message, now: float) -> Rejected | None:
        verdict = composites.judge(message, self._advertised)
        if verdict.problems:
            return Rejected("composite", verdict.problems[0])
        identity = message.fields.get("invocation_id")
        if isinstance(identity, str) and self._known_id(message, identity):
            return Rejected("duplicate", "this invocation_id came before")
        name = _shown(message.sender, 64)
        if name not in self.agents and len(self.agents) >= _MAX_AGENTS:
            name = OTHER
        agent = self.agents.setdefault(name, Agent())
        agent.messages += 1
        agent.last_seen = now
        _count(agent.flags, (*message.flags, *verdict.flags))
        if not message.known:
            self.unknown_types += 1
        return None

    def _known_id(self, message: Message, identity: str) -> bool:
        key = hash((message.type, message.sender, identity))  # of the text a stranger could send much
        if key in self._ids:
            return True
        self._ids[key] = None
        if len(self._ids) > _MAX_IDS:
            self._ids.popitem(last=False)
        return False

    def _new_server(self, sid: str, source: Source, now: float) -> Server | None:
        """Room for a server nobody has told of, None when there is none."""
        if not source.trusted:
            brought = self._brought.get(source.address, 0)
            if brought >= _NEW_SIDS_OF_ADDRESS:
                return None
            if len(self._brought) >= 4096:
                self._brought.clear()
            self._brought[source.address] = brought + 1
        strangers = len(self.servers) - self._expected_count
        room = max(_ROOM_FOR_STRANGERS, MAX_SIDS - self._expected_count)
        if strangers >= room and not self._evict(now):
            return None
        server = self.servers[sid] = Server(sid, int(now) // SLOT_SECONDS)
        return server

    def _evict(self, now: float) -> bool:
        """Makes room by forgetting the stranger with the fewest calls that has said nothing for long."""
        if now < self._evict_again_at:
            return False
        gone = [
            server
            for server in self.servers.values()
            if server.expected is None and now - (server.last_seen or 0.0) > _GONE_SEC
        ]
        if not gone:
            self._evict_again_at = now + 1.0
            return False
        self._drop(min(gone, key=lambda server: server.series.lifetime.calls))
        return True

    def _drop(self, server: Server) -> None:
        del self.servers[server.sid]
        self._pairs -= len(server.tools)
        self._patterns -= len(server.patterns)
        for name in server.tools:
            self._advertised.pop((server.sid, name), None)

    def _note_limited(self, message: Message, data: bytes, now: float) -> None:
        """A message that was refused for its sender's rate has arrived: it is not lost on the way."""
        server = self.servers.get(message.sender)
        context = (message.fields.get("ctx") or {}) if message.known else {}
        boot, number = context.get("boot"), context.get("seq")
        if server is None or number is None or boot not in server.boots:
            return
        lost = server.number(boot, number, hash(data), now)
        if lost is not None:
            server.series.open.mark("numbered")
            if lost:
                server.series.open.mark("lost", lost)

    def _limited(self, source: Source, now: float) -> Rejected:
        source.limited += 1
        source.limited_at = now
        self.rejected["rate_limited"] += 1
        return Rejected("rate_limited", "the sender's rate is spent")

    def _reject(self, source: Source, rejected: Rejected, now: float) -> Rejected:
        source.rejected += 1
        source.rejected_at = now
        self.rejected[rejected.reason] += 1
        return rejected


def _shown(text: str, limit: int = _MAX_TEXT) -> str:
    """Text of a stranger as it is kept and shown."""
    if len(text) <= limit and text.isprintable():
        return text
    return clean_text(text, limit) or "?"


def _count(counts: dict[str, int], names: Sequence[str]) -> None:
    for name in names:
        counts[name] = counts.get(name, 0) + 1


def _address_of(entry: Expected) -> str:
    """The IP address at which the inventory has a server, empty when it names no address."""
    try:
        host = urlsplit(entry.url).hostname or entry.host
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""
