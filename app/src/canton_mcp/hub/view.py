"""The totals of one window that a report and its headlines are made from."""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

from canton_mcp.hub.servers import Server, Tool
from canton_mcp.hub.statistics import WINDOWS, Reading, Window

__all__ = ["FEW", "SLOWER", "Fleet", "Pair", "Row", "natural"]

FEW = 20
"""Calls; percentiles of fewer say little."""
SLOWER = 1.5
"""Times as slow as what it is compared with."""
_BASELINE = 100
"""Calls in the past that a comparison with it takes."""
_BASELINE_SLOTS = 6
_UNKNOWN = float("nan")
_PART = re.compile(r"\d{1,9}|\D+|\d+")


@dataclass(slots=True)
class Pair:
    """A tool of a server that was called in the window."""

    sid: str
    name: str
    tool: Tool
    cell: Reading
    p50: float | None
    p95: float | None
    p99: float | None
    others: float | None = _UNKNOWN
    """What `Fleet.others_p95` says, once it was asked."""


@dataclass(slots=True)
class Row:
    """A server, whether or not it was called."""

    server: Server
    state: str
    waited_for: bool
    """It never spoke, and has not had the time to."""
    cell: Reading
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass
class Fleet:
    """All servers and tools in one window."""

    now: float
    window: Window
    elapsed: float
    """Seconds of the window that the statistics cover."""
    rows: list[Row]
    pairs: list[Pair]

    @cached_property
    def calls(self) -> int:
        """Calls of all servers."""
        return sum(row.cell.calls for row in self.rows)

    @cached_property
    def total_ms(self) -> float:
        """Working time of all servers."""
        return sum(row.cell.total_ms for row in self.rows)

    @cached_property
    def sharing(self) -> list[Row]:
        """The servers that the load should spread over: those that are there."""
        return [
            row
            for row in self.rows
            if row.state in ("up", "idle") and (row.server.expected or row.cell.calls)
        ]

    @property
    def imbalance(self) -> float | None:
        """The largest share of calls against an even one: 1 when all get the same."""
        calls: list[int] = [row.cell.calls for row in self.sharing]
        total = sum(calls)
        return len(calls) * max(calls) / total if len(calls) > 1 and total else None

    @cached_property
    def _by_tool(self) -> dict[str, list[Pair]]:
        found: dict[str, list[Pair]] = {}
        for pair in self.pairs:
            if pair.cell.calls >= FEW and pair.p95 is not None:
                found.setdefault(pair.name, []).append(pair)
        return found

    @cached_property
    def _medians(self) -> dict[str, list[float]]:
        return {name: sorted(pair.p95 or 0.0 for pair in pairs) for name, pairs in self._by_tool.items()}

    def others_p95(self, pair: Pair) -> float | None:
        """The median of the 95th percentiles of the same tool on the other servers; None without enough calls."""
        if pair.others is _UNKNOWN:
            pair.others = self._others_p95(pair)
        return pair.others

    def _others_p95(self, pair: Pair) -> float | None:
        if pair.cell.calls < FEW or pair.p95 is None:
            return None
        values = self._medians.get(pair.name, [])
        if len(values) < 2:
            return None
        # The median of all but one, from the sorted list of all.
        count = len(values) - 1
        own = bisect.bisect_left(values, pair.p95)
        low, high = (count - 1) // 2, count // 2
        return (values[low + (low >= own)] + values[high + (high >= own)]) / 2

    def p95_before(self, pair: Pair) -> float | None:
        """The 95th percentile of the last 24 hours without this window; None without enough calls."""
        day = WINDOWS["24h"]
        if self.window is day or pair.cell.calls < FEW:
            return None
        # The past changes slowly: once a minute will do, and not for all tools in the same second.
        series = pair.tool.series
        known = pair.tool.baselines.get(self.window.number)
        if known is None or series.slot >= known[0]:
            until = series.slot + _BASELINE_SLOTS + pair.cell.calls % _BASELINE_SLOTS
            known = pair.tool.baselines[self.window.number] = (until, self._baseline(pair, day))
        return known[1]

    def _baseline(self, pair: Pair, day: Window) -> float | None:
        if pair.tool.series.calls(day) - pair.cell.calls < _BASELINE:
            return None
        return pair.tool.series.before(pair.cell, day)


@lru_cache(4096)
def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """For sorting: canton-mcp-2 before canton-mcp-10."""
    return tuple(
        (0, int(part), "") if part.isascii() and part.isdigit() and len(part) < 10 else (1, 0, part)
        for part in _PART.findall(text)
    )
