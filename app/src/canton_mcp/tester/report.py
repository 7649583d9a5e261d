"""Counting outcomes and laying them out as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Outcomes of the calls to one server; times in milliseconds, of answered calls only."""

    ok: int = 0
    tool_errors: int = 0
    failures: int = 0
    times_ms: list[float] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """Attempted calls; each has exactly one outcome."""
        return self.ok + self.tool_errors + self.failures


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Nearest-rank percentile, None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def summary(rows: Sequence[tuple[str, str, Tally]]) -> str:
    """Table of (name, URL, tally) by server, with a total line."""
    total = Tally()
    for _, _, tally in rows:
        total.ok += tally.ok
        total.tool_errors += tally.tool_errors
        total.failures += tally.failures
        total.times_ms += tally.times_ms
    header = ("SERVER", "CALLS", "OK", "TOOL ERRORS", "FAILURES", "SHARE", "P50 MS", "P95 MS", "URL")
    lines = [header, *(_row(name, url, tally, total.calls) for name, url, tally in rows)]
    lines.append(_row("TOTAL", "", total, total.calls))
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    last = len(header) - 1
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, last) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


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
