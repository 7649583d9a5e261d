"""Counts over the last five minutes, hour and day, kept ready so that a report never adds up messages.

Calls are counted in slots of ten seconds. When a slot is over it is added to each window, and what is older than
the window is taken away again: a window costs the same however many calls it holds.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from canton_mcp.hub import histogram
from canton_mcp.hub.histogram import Buckets

__all__ = [
    "PIECES",
    "POINTS",
    "SLOTS_PER_MINUTE",
    "SLOT_SECONDS",
    "WINDOWS",
    "Cell",
    "Piece",
    "Series",
    "Window",
    "wilson",
]

SLOT_SECONDS = 10
SLOTS_PER_MINUTE = 6
PIECES = 30
"""A window is kept, and drawn, in that many pieces."""


class Window(NamedTuple):
    """A span of time that reports are made for."""

    number: int
    seconds: int
    slots: int
    """Slots in one of its pieces."""

    @property
    def step(self) -> int:
        """Seconds of a piece."""
        return self.slots * SLOT_SECONDS

    def start(self, now: float) -> int:
        """Unix time where the window begins: whole pieces, the last one not yet over."""
        return (int(now // self.step) - PIECES + 1) * self.step


WINDOWS = {
    "5m": Window(0, 300, 1),
    "1h": Window(1, 3600, 12),
    "24h": Window(2, 86400, 288),
}
POINTS = (0.5, 0.95, 0.99)
"""The percentiles that are shown."""
_SLOTS = tuple(window.slots for window in WINDOWS.values())


class Cell:
    """What happened in some span of time.

    `marks` holds the rarer counts by name: ``code:timeout``, ``cost:USDC``, ``numbered``, ``lost`` and so on.
    """

    __slots__ = ("buckets", "calls", "errors", "marks", "total_ms")

    def __init__(self) -> None:
        self.calls = 0
        self.errors = 0
        self.total_ms = 0.0
        self.buckets: Buckets = {}
        self.marks: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self.calls or self.marks)

    def mark(self, name: str, amount: float = 1) -> None:
        """Adds to a count."""
        self.marks[name] = self.marks.get(name, 0) + amount

    def add(self, other: Cell) -> None:
        """Adds what happened in another span."""
        self.calls += other.calls
        self.errors += other.errors
        self.total_ms += other.total_ms
        histogram.add(self.buckets, other.buckets)
        for name, amount in other.marks.items():
            self.marks[name] = self.marks.get(name, 0) + amount

    def subtract(self, other: Cell) -> None:
        """Takes away what was added before."""
        self.calls -= other.calls
        self.errors -= other.errors
        # The sum of nothing is nothing, whatever rounding has left of it.
        self.total_ms = max(0.0, self.total_ms - other.total_ms) if self.calls else 0.0
        histogram.subtract(self.buckets, other.buckets)
        for name, amount in other.marks.items():
            left = self.marks.get(name, 0) - amount
            if abs(left) < 1e-9:
                self.marks.pop(name, None)
            else:
                self.marks[name] = left

    def divide(self, part: int, whole: int) -> tuple[Cell, Cell]:
        """Two cells that add up to this one, the first about `part` of `whole` of it."""
        first, rest = Cell(), Cell()
        carried = 0
        for number, count in self.buckets.items():
            carried += count * part
            taken = min(count, carried // whole)
            carried -= taken * whole
            if taken:
                first.buckets[number] = taken
            if taken < count:
                rest.buckets[number] = count - taken
            first.calls += taken
        rest.calls = self.calls - first.calls
        first.errors = self.errors * part // whole
        rest.errors = self.errors - first.errors
        first.total_ms = self.total_ms * first.calls / self.calls if self.calls else 0.0
        rest.total_ms = self.total_ms - first.total_ms
        for name, amount in self.marks.items():
            # Whole amounts stay whole.
            taken = int(amount) * part // whole if amount == int(amount) else 0
            if taken:
                first.marks[name] = taken
            if amount != taken:
                rest.marks[name] = amount - taken
        return first, rest

    def copy(self) -> Cell:
        """A cell of the same content."""
        copied = Cell()
        copied.calls, copied.errors, copied.total_ms = self.calls, self.errors, self.total_ms
        copied.buckets, copied.marks = self.buckets.copy(), self.marks.copy()
        return copied


class Piece(NamedTuple):
    """A part of a window that is over."""

    number: int
    calls: int
    errors: int
    total_ms: float
    p95_ms: float | None
    packed: bytes
    marks: dict[str, float] | None

    @classmethod
    def of(cls, number: int, cell: Cell) -> Piece:
        """The cell in little memory; it shares the marks."""
        (p95_ms,) = histogram.quantiles(cell.buckets, (0.95,))
        packed = histogram.pack(cell.buckets)
        return cls(number, cell.calls, cell.errors, cell.total_ms, p95_ms, packed, cell.marks or None)

    def cell(self) -> Cell:
        """The content, to calculate with."""
        cell = Cell()
        cell.calls, cell.errors, cell.total_ms = self.calls, self.errors, self.total_ms
        cell.buckets = histogram.unpack(self.packed)
        cell.marks = self.marks or {}
        return cell


class Series:
    """The counts of one thing, such as a tool of a server, in all windows.

    Whoever counts calls `advance` when `slot` is not the present one, and then writes to `open`.
    """

    __slots__ = (
        "_carried",
        "_changes",
        "_known",
        "_parts",
        "_rings",
        "_totals",
        "finished",
        "lifetime",
        "minute",
        "minute_number",
        "open",
        "slot",
    )

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.open = Cell()
        self.lifetime = Cell()
        """Since the process started, without `minute` and `open`."""
        self.minute_number = slot // SLOTS_PER_MINUTE
        self.minute = Cell()
        """The minute under way, without `open`."""
        self.finished: list[tuple[int, Cell]] = []
        """Minutes that are over and that nobody has fetched, oldest first."""
        self._carried: Cell | None = None
        """What another process counted in the minute under way."""
        self._changes = 0
        """How often a total has changed."""
        self._known: dict[int, tuple[int, int, list[float | None]]] = {}
        self._totals = (Cell(), Cell(), Cell())
        self._parts = [Cell(), Cell(), Cell()]
        self._rings: tuple[deque[Piece], ...] = (deque(), deque(), deque())

    def advance(self, slot: int) -> None:
        """Brings the windows up to the present; a clock that stepped back changes nothing."""
        before = self.slot
        if slot <= before:
            return
        if self.open:
            self._close()
        self.slot = slot
        minute = slot // SLOTS_PER_MINUTE
        if minute != self.minute_number:
            self._end_minute()
            self.minute_number = minute
        for window, slots in enumerate(_SLOTS):
            number = slot // slots
            if number != before // slots:
                self._turn(window, before // slots, number)

    def empty(self) -> bool:
        """Whether nothing happened in the longest window."""
        return not self.open and not self._totals[-1]

    def total(self, window: Window) -> Cell:
        """Everything in a window, as a cell of its own; call `advance` first."""
        total = self._totals[window.number].copy()
        if self.open:
            total.add(self.open)
        return total

    def quantiles(self, window: Window, total: Cell) -> list[float | None]:
        """The 50th, 95th and 99th percentile (ms) of what `total` said; kept as long as nothing happens."""
        known = self._known.get(window.number)
        if known is None or known[0] != self._changes or known[1] != self.open.calls:
            known = (self._changes, self.open.calls, histogram.quantiles(total.buckets, POINTS))
            self._known[window.number] = known
        return known[2]

    def calls(self, window: Window) -> int:
        """The number of calls in a window; call `advance` first."""
        return self._totals[window.number].calls + self.open.calls

    def pieces(self, window: Window) -> list[Piece]:
        """The pieces of a window that are over and hold something, oldest first."""
        return list(self._rings[window.number])

    def part(self, window: Window) -> Cell:
        """The piece of a window under way."""
        part = self._parts[window.number].copy()
        if window.number:
            part.add(self.minute)
        part.add(self.open)
        return part

    def everything(self) -> Cell:
        """What was counted since the process started."""
        cell = self.lifetime.copy()
        cell.add(self.minute)
        cell.add(self.open)
        return cell

    def present_minute(self) -> Cell:
        """The minute under way up to now."""
        cell = self.minute.copy()
        cell.add(self.open)
        if self._carried is not None:
            cell.add(self._carried)
        return cell

    def restore(self, stored: Iterable[tuple[Window, int, int, Cell]], present: Cell | None) -> None:
        """Fills a new series with what another process counted: for a window, from when until when (Unix), what.

        It is in the windows, but not in what this process counted. `present` is what is stored of the minute
        under way: it has to be stored again with what is still to come.
        """
        pieces: tuple[dict[int, Cell], ...] = ({}, {}, {})
        for window, start, end, cell in stored:
            now, found = self.slot // window.slots, pieces[window.number]
            for number, part in _spread(cell, start, end, window.step):
                number = min(number, now)
                if number <= now - PIECES:
                    continue
                if number in found:
                    found[number].add(part)
                else:
                    found[number] = part
        for place, found in enumerate(pieces):
            for number, part in sorted(found.items()):
                self._totals[place].add(part)
                if number == self.slot // _SLOTS[place]:
                    self._parts[place] = part
                else:
                    self._rings[place].append(Piece.of(number, part))
        self._carried = present

    def _close(self) -> None:
        cell, self.open = self.open, Cell()
        self._changes += 1
        self.minute.add(cell)
        for total in self._totals:
            total.add(cell)
        # A slot is a piece of the shortest window; the others take whole minutes.
        self._parts[0].add(cell)

    def _end_minute(self) -> None:
        minute, carried = self.minute, self._carried
        if minute:
            self.lifetime.add(minute)
            for part in self._parts[1:]:
                part.add(minute)
            self.minute = Cell()
        if carried is not None:
            minute.add(carried)
            self._carried = None
        if minute:
            self.finished.append((self.minute_number, minute))

    def _turn(self, window: int, before: int, number: int) -> None:
        total, part, ring = self._totals[window], self._parts[window], self._rings[window]
        if part:
            ring.append(Piece.of(before, part))
            # A new cell, since the marks of the old one went into the piece.
            self._parts[window] = Cell()
        while ring and ring[0].number <= number - PIECES:
            total.subtract(ring.popleft().cell())
            self._changes += 1


def _spread(cell: Cell, start: int, end: int, step: int) -> Iterator[tuple[int, Cell]]:
    """What happened from `start` to `end`, evenly over the pieces of `step` seconds that this touches.

    When in its time a stored call was is not known.
    """
    while (cut := (start // step + 1) * step) < end:
        first, cell = cell.divide(cut - start, end - start)
        yield start // step, first
        start = cut
    yield start // step, cell.copy()


def wilson(hits: float, count: float) -> tuple[float, float]:
    """The 95 % interval of a share after `hits` of `count` (Wilson's score); 0 to 1 when nothing is known."""
    if count <= 0:
        return 0.0, 1.0
    share, z = min(1.0, max(0.0, hits / count)), 1.96
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    middle = share + z * z / (2 * count)
    scale = 1 + z * z / count
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
