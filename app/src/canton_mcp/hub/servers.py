"""What the hub knows of one server: its calls by tool, what it announced, and the signs of its life."""

from __future__ import annotations

import statistics
from collections import deque
from typing import NamedTuple

from canton_mcp.hub.expected import Expected
from canton_mcp.hub.loss import Numbers
from canton_mcp.hub.statistics import Series

__all__ = ["DEFAULT_INTERVAL", "Pattern", "Server", "Tool"]

DEFAULT_INTERVAL = 300.0
"""Seconds between two rounds of discovers; what DCAP servers do unless they are told otherwise."""
_SILENT_INTERVALS = 2.5
_LEAST_SILENCE = 60.0
_MAX_BOOTS = 8
_MAX_ADDRESSES = 8
_MAX_NAMES = 16
_SHORTEST_INTERVAL = 5.0
_ALIVE_TOGETHER = 60.0


class Pattern(NamedTuple):
    """The last `error_pattern` of a tool and kind of error."""

    tool: str
    error_type: str
    frequency: float | None
    trigger: str
    mitigation: str
    last_seen: float


class Tool:
    """A tool of one server."""

    __slots__ = ("baselines", "called", "codes", "discover", "discovered_at", "series", "unsaved", "uses")

    def __init__(self, slot: int) -> None:
        self.series = Series(slot)
        self.called = 0
        """Calls received since the process started."""
        self.discover: bytes | None = None
        """The last announcement, as it came."""
        self.discovered_at = 0.0
        self.unsaved = False
        self.uses: tuple[float, int] | None = None
        """What the server said it had counted, and `called` at that moment."""
        self.baselines: dict[int, tuple[int, float | None]] = {}
        """By window: until which slot it holds, and the 95th percentile of the day before the window."""
        self.codes: dict[str, float] = {}
        """Error codes with the time of the last one."""

    def code(self, text: str, now: float) -> str:
        """The name to count an error code under: a stranger may invent no end of them."""
        if text not in self.codes and len(self.codes) >= _MAX_NAMES:
            text = "other"
        self.codes[text] = now
        return text


class Server:
    """One sid."""

    __slots__ = (
        "_currencies",
        "addresses",
        "boots",
        "expected",
        "expected_since",
        "first_seen",
        "flags",
        "heard",
        "intervals",
        "last_call",
        "last_seen",
        "nonconformant",
        "patterns",
        "series",
        "sid",
        "skews",
        "starts",
        "told_interval",
        "tools",
        "unsaved",
    )

    def __init__(self, sid: str, slot: int, expected: Expected | None = None) -> None:
        self.sid = sid
        self.expected = expected
        self.series = Series(slot)
        """All tools together."""
        self.tools: dict[str, Tool] = {}
        self.first_seen: float | None = None
        self.last_seen: float | None = None
        self.last_call: float | None = None
        self.heard = False
        """Whether it spoke since this process started."""
        self.unsaved = False
        self.addresses: dict[str, float] = {}
        """Where it sends from, with the time of the last message."""
        self.boots: dict[str, Numbers] = {}
        self.starts: deque[float] = deque(maxlen=64)
        """When it was seen to start again."""
        self.skews: deque[float] = deque(maxlen=61)
        self.intervals: deque[float] = deque(maxlen=15)
        self.told_interval: float | None = None
        self.expected_since = 0.0
        """When the inventory was first seen to name it."""
        self.flags: dict[str, int] = {}
        self.nonconformant = 0
        self.patterns: dict[tuple[str, str], Pattern] = {}
        self._currencies: set[str] = set()

    def seen(self, address: str, now: float) -> None:
        """Notes a sign of life."""
        if self.first_seen is None:
            self.first_seen = now
        self.last_seen = now
        self.heard = True
        self.unsaved = True
        if address not in self.addresses and len(self.addresses) >= _MAX_ADDRESSES:
            del self.addresses[min(self.addresses, key=self.addresses.__getitem__)]
        self.addresses[address] = now

    def number(self, boot: str, number: int, digest: int, now: float) -> int | None:
        """Notes the number of a message; as `Numbers.take`."""
        numbers = self.boots.get(boot)
        if numbers is not None:
            return numbers.take(number, digest, now)
        if len(self.boots) >= _MAX_BOOTS:
            del self.boots[min(self.boots, key=lambda name: self.boots[name].last_at)]
        if self.boots:
            self.starts.append(now)
        self.boots[boot] = Numbers(number, digest, now)
        return 0

    def announced(self, tool: Tool, data: bytes, now: float) -> None:
        """Notes an announcement, and the time since the one before."""
        since = now - tool.discovered_at
        if tool.discover is not None and since >= _SHORTEST_INTERVAL:
            self.intervals.append(since)
        tool.discover = data
        tool.discovered_at = now
        tool.unsaved = True

    def currency(self, text: str) -> str:
        """The name to count a currency under."""
        if text not in self._currencies:
            if len(self._currencies) >= _MAX_NAMES:
                return "other"
            self._currencies.add(text)
        return text

    @property
    def interval(self) -> float | None:
        """Seconds between two rounds of announcements as observed, None before that."""
        return statistics.median(self.intervals) if self.intervals else None

    @property
    def silent_after(self) -> float:
        """Seconds without any message after which the server counts as silent.

        The longer of what was observed and what is known: a server that was started several times in a row
        announces itself more often than it will.
        """
        # The inventory knows better than a message, which anybody can send.
        told = (self.expected and self.expected.discover_interval_sec) or self.told_interval
        known = [value for value in (told, self.interval) if value]
        return max(_SILENT_INTERVALS * max(known, default=DEFAULT_INTERVAL), _LEAST_SILENCE)

    @property
    def skew(self) -> float | None:
        """Seconds that messages are older on arrival than they say; None without any."""
        return statistics.median(self.skews) if self.skews else None

    def state(self, window_start: float, now: float, listening_since: float) -> str:
        """up, idle, silent or never.

        Silence counts only while the hub listens.
        """
        if self.last_seen is None:
            return "never"
        if now - max(self.last_seen, listening_since) > self.silent_after:
            return "silent"
        return "up" if self.last_call is not None and self.last_call >= window_start else "idle"

    def waited_for(self, now: float, listening_since: float) -> bool:
        """Whether it never spoke, and has not had the time to either."""
        return self.last_seen is None and now - max(self.expected_since, listening_since) <= self.silent_after

    def twins(self, now: float) -> int:
        """How many processes send under this sid at the same time, 1 in all normal cases."""
        alive = [numbers for numbers in self.boots.values() if now - numbers.last_at <= _ALIVE_TOGETHER]
        youngest = max((numbers.first_at for numbers in alive), default=now)
        # A restart shows two names, but the old one falls silent when the new one begins.
        return max(1, sum(numbers.last_at > youngest + _SHORTEST_INTERVAL for numbers in alive))
