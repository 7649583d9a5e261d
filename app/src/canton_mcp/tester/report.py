"""Counting outcomes and laying them out as a table."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from canton_mcp.tables import aligned, percentile

_MAX_TIMES = 10_000
"""A tester may run for months, so only the latest times count."""


@dataclass
class Tally:
    """Outcomes of the calls to one server; times in milliseconds, of the latest answered calls only."""

    ok: int = 0
    tool_errors: int = 0
    failures: int = 0
    times_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_MAX_TIMES))

    @property
    def calls(self) -> int:
        """Attempted calls; each has exactly one outcome."""
        return self.ok + self.tool_errors + self.failures


def summary(rows: Sequence[tuple[str, str, Tally]]) -> str:
    """Table of (name, URL, tally) by server, with a total line."""
    tallies = [tally for _, _, tally in rows]
    total = Tally(
        ok=sum(tally.ok for tally in tallies),
        tool_errors=sum(tally.tool_errors for tally in tallies),
        failures=sum(tally.failures for tally in tallies),
        times_ms=deque(time for tally in tallies for time in tally.times_ms),
    )
    header = ("SERVER", "CALLS", "OK", "TOOL ERRORS", "FAILURES", "SHARE", "P50 MS", "P95 MS", "URL")
    lines = [header, *(_row(name, url, tally, total.calls) for name, url, tally in rows)]
    lines.append(_row("TOTAL", "", total, total.calls))
    return aligned(lines, right=range(1, len(header) - 1))


def _row(name: str, url: str, tally: Tally, all_calls: int) -> tuple[str, ...]:
    share = f"{100 * tally.calls / all_calls:.1f}%" if all_calls else "-"
    return (
        name,
        str(tally.calls),
        str(tally.ok),
        str(tally.tool_errors),
        str(tally.failures),
        share,
        _number(percentile(tally.times_ms, 50)),
        _number(percentile(tally.times_ms, 95)),
        url,
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
