"""How much memory the hub's tables can take: what strangers send must never reach what the unit may have."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable

from canton_mcp.hub.collector import MAX_SIDS
from canton_mcp.hub.loss import Numbers
from canton_mcp.hub.statistics import WINDOWS, Series

MAX_SERIES = 2 * MAX_SIDS + 2000
"""Servers, their `other`, and all tools that have a place of their own."""
ALL_SERIES_BYTES = 350_000_000
"""Of the 512 MiB that the unit may take."""
FIRST_SLOT = 288 * 20_000
BUCKETS = 394


def size(make: Callable[[], object], count: int) -> float:
    """Bytes that one of `count` takes."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        made = [make() for _ in range(count)]
        after, _ = tracemalloc.get_traced_memory()
        return (after - before) / len(made)
    finally:
        tracemalloc.stop()


def filled(buckets: int, marks: int, every: int) -> Series:
    """A series of more than a day, with calls in one slot of `every`, none of them stored yet forgotten."""
    series = Series(FIRST_SLOT)
    names = [f"code:{number:02d}{'x' * 46}" for number in range(marks)]
    for slot in range(FIRST_SLOT, FIRST_SLOT + 288 * 31, every):
        series.advance(slot)
        series.finished.clear()
        cell = series.open
        cell.buckets = dict.fromkeys(range(120, 120 + buckets) if buckets < 200 else range(buckets), 1)
        cell.calls, cell.total_ms = len(cell.buckets), 1e6
        cell.marks = dict.fromkeys(names, 1.5)
    for window in WINDOWS.values():
        series.reading(window)
    return series


def test_statistics_filled_to_the_brim_leave_room() -> None:
    assert size(lambda: filled(BUCKETS, 35, 3), 2) * MAX_SERIES < ALL_SERIES_BYTES


def test_statistics_of_usual_calls_are_small() -> None:
    assert size(lambda: filled(60, 1, 3), 3) < 30_000


def test_numbers_with_gaps_are_small() -> None:
    def gaps() -> Numbers:
        numbers, number = Numbers(1, 1, 0.0), 1
        for step in itertools.islice(itertools.cycle((1, 4096, 2, 3000)), 40):
            number += step
            numbers.take(number, number, 0.0)
        return numbers

    assert size(gaps, 20) < 8000


def test_a_late_number_is_found_again_however_the_gaps_lie() -> None:
    for start in (1, 4000, 4095, 4096, 8191):
        numbers = Numbers(start, start, 0.0)
        assert numbers.take(start + 3000, 1, 0.0) == 2999
        assert numbers.take(start + 1500, 2, 0.0) == -1
        assert numbers.take(start + 1, 3, 0.0) == -1
        assert numbers.take(start + 3000 + 1, 4, 0.0) == 0
        # Beyond 4,096 nobody waits any more.
        assert numbers.take(start + 3000 + 4000, 5, 0.0) == 3998
        assert numbers.take(start + 2500, 6, 0.0) == 0
