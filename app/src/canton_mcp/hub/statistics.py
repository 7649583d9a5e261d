"""Counts over the last five minutes, hour and day, kept ready so that a report never adds up messages.

Calls are counted in slots of ten seconds. When a slot is over it is added to each window, and what is older than
the window is taken away again: a window costs the same however many calls it holds.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from canton_mcp.hub import histogram
from canton_mcp.hub.histogram import Buckets, Counts

__all__ = [
    "PIECES",
    "POINTS",
    "SLOTS_PER_MINUTE",
    "SLOT_SECONDS",
    "WINDOWS",
    "Cell",
    "Drawn",
    "Piece",
    "Reading",
    "Series",
    "Tally",
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
_NEGLIGIBLE = 50
"""Percentiles are calculated anew only when more than one call in so many is new."""
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
        _add_marks(self.marks, other.marks)

    def subtract(self, other: Cell) -> None:
        """Takes away what was added before."""
        self.calls -= other.calls
        self.errors -= other.errors
        # The sum of nothing is nothing, whatever rounding has left of it.
        self.total_ms = max(0.0, self.total_ms - other.total_ms) if self.calls else 0.0
        histogram.subtract(self.buckets, other.buckets)
        _subtract_marks(self.marks, other.marks)

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


class Tally:
    """A sum of cells: what cells add up to over a longer time, in less memory."""

    __slots__ = ("calls", "counts", "errors", "marks", "total_ms")

    def __init__(self, cell: Cell | None = None) -> None:
        if cell is None:
            self.calls, self.errors, self.total_ms = 0, 0, 0.0
            self.counts: Counts = 0
            self.marks: dict[str, float] = {}
        else:
            self.calls, self.errors, self.total_ms = cell.calls, cell.errors, cell.total_ms
            self.counts = histogram.counts(cell.buckets)
            self.marks = cell.marks

    def __bool__(self) -> bool:
        return bool(self.calls or self.marks)

    @property
    def buckets(self) -> Buckets:
        """The durations, as a cell has them."""
        return histogram.counted(self.counts)

    def add(self, other: Tally) -> None:
        """Adds what happened in another span."""
        self.calls += other.calls
        self.errors += other.errors
        self.total_ms += other.total_ms
        self.counts += other.counts
        if other.marks:
            _add_marks(self.marks, other.marks)

    def subtract(self, other: Tally) -> None:
        """Takes away what was added before."""
        self.calls -= other.calls
        self.errors -= other.errors
        if self.calls:
            self.total_ms = max(0.0, self.total_ms - other.total_ms)
        else:
            # The sum of nothing is nothing, whatever rounding has left of it.
            self.total_ms = 0.0
        self.counts -= other.counts
        _subtract_marks(self.marks, other.marks)

    def copy(self) -> Tally:
        """A tally of the same content."""
        copied = Tally.__new__(Tally)
        copied.calls, copied.errors, copied.total_ms = self.calls, self.errors, self.total_ms
        copied.counts, copied.marks = self.counts, self.marks.copy()
        return copied

    def cell(self) -> Cell:
        """The same as a cell."""
        cell = Cell()
        cell.calls, cell.errors, cell.total_ms = self.calls, self.errors, self.total_ms
        cell.buckets, cell.marks = self.buckets, self.marks.copy()
        return cell


class Reading(Tally):
    """The total of a window at one moment, with the percentiles (ms) that are shown."""

    __slots__ = ("p50", "p95", "p99")

    def __init__(self, parts: Iterable[Tally], rest: Cell | None = None) -> None:
        self.calls, self.errors, self.total_ms, self.counts, self.marks = 0, 0, 0.0, 0, {}
        for part in parts:
            self.add(part)
        if rest is not None and rest.calls:
            self.calls += rest.calls
            self.errors += rest.errors
            self.total_ms += rest.total_ms
            self.counts += histogram.counts(rest.buckets)
        if rest is not None and rest.marks:
            _add_marks(self.marks, rest.marks)
        self.p50, self.p95, self.p99 = histogram.shown(self.counts, POINTS)


class Piece(NamedTuple):
    """A part of a window that is over."""

    number: int
    calls: int
    errors: int
    p95_ms: float | None
    total_ms: float
    counts: Counts
    marks: dict[str, float]

    def tally(self) -> Tally:
        """The content, to calculate with; it shares the marks."""
        tally = Tally.__new__(Tally)
        tally.calls, tally.errors, tally.total_ms = self.calls, self.errors, self.total_ms
        tally.counts, tally.marks = self.counts, self.marks
        return tally

    def cell(self) -> Cell:
        """The content as a cell."""
        return self.tally().cell()


class Drawn(NamedTuple):
    """What a chart shows of a window: a value for each of its pieces, 0 or None where nothing happened."""

    calls: list[int]
    errors: list[int]
    p95_ms: list[float | None]


_HEAD = struct.Struct("=IQQdhHHB")
"""Of a piece: number, calls, errors, total_ms, bucket of the 95th percentile, lowest bucket, bytes of the counts,
bytes of each. The counts and the marks follow."""
_MARK = struct.Struct("=Hd")
"""Place of its name, amount."""


class Series:
    """The counts of one thing, such as a tool of a server, in all windows.

    Whoever counts calls `advance` when `slot` is not the present one, and then writes to `open`.

    Usually 10 to 30 kB. At most about 125 kB, when every duration and 35 marks occur in every piece: 90 pieces of
    0.8 to 1.2 kB, and eight running totals of 6 kB.
    """

    __slots__ = (
        "_carried",
        "_changes",
        "_drawn",
        "_names",
        "_parts",
        "_reading",
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
        self.lifetime = Tally()
        """Since the process started, without `minute` and `open`."""
        self.minute_number = slot // SLOTS_PER_MINUTE
        self.minute = Tally()
        """The minute under way, without `open`."""
        self.finished: list[tuple[int, Tally]] = []
        """Minutes that are over and that nobody has fetched, oldest first."""
        self._carried: Tally | None = None
        """What another process counted in the minute under way."""
        self._changes = 0
        """How often a total has changed."""
        self._reading: tuple[int, int, int, Reading] | None = None
        """The last one, with window, changes and calls that it is of."""
        self._drawn: dict[int, tuple[int, Drawn]] = {}
        self._names: list[str] = []
        """Of marks; pieces hold their places."""
        self._totals = (Tally(), Tally(), Tally())
        """Of the windows, the longer ones without `minute`, all without `open`."""
        self._parts = [Tally(), Tally()]
        """The pieces under way of the longer windows, without `minute` and `open`."""
        self._rings: tuple[list[bytes], ...] = ([], [], [])

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
            for window in (1, 2):
                slots = _SLOTS[window]
                if slot // slots != before // slots:
                    self._turn(window, before // slots, slot // slots)
        self._forget(0, slot)

    def empty(self) -> bool:
        """Whether nothing happened in the longest window."""
        return not self.open and not self.minute and not self._totals[-1]

    def total(self, window: Window) -> Cell:
        """Everything in a window, as a cell of its own; call `advance` first."""
        return self.reading(window).cell()

    def reading(self, window: Window) -> Reading:
        """Everything in a window, not to be changed. Call `advance` first.

        All numbers are exact; the durations may lack one call in fifty until the slot is over.
        """
        number, cell, known = window.number, self.open, self._reading
        total = self._totals[number]
        if known and known[0] == number and known[1] == self._changes:
            reading, fresh = known[3], cell.calls - known[2]
            if fresh * _NEGLIGIBLE <= reading.calls:
                if fresh or cell.marks:  # which come without calls, too
                    self._update(reading, number)
                return reading
        reading = Reading((total, self.minute) if number else (total,), cell)
        self._reading = (number, self._changes, cell.calls, reading)
        return reading

    def before(self, recent: Tally, window: Window) -> float | None:
        """The 95th percentile (ms) in a window without what is in `recent`; None when nothing is left."""
        everything = self._totals[window.number].counts + self.minute.counts
        before = everything + histogram.counts(self.open.buckets) - recent.counts
        return histogram.shown(before, (0.95,))[0]

    def calls(self, window: Window) -> int:
        """The number of calls in a window; call `advance` first."""
        calls = self._totals[window.number].calls + self.open.calls
        return calls + self.minute.calls if window.number else calls

    def pieces(self, window: Window) -> list[Piece]:
        """The pieces of a window that are over and hold something, oldest first."""
        return [self._piece(data) for data in self._rings[window.number]]

    def drawn(self, window: Window) -> Drawn:
        """The pieces of a window for a chart, up to now; call `advance` first."""
        number = self.slot // window.slots
        known = self._drawn.get(window.number)
        if known is None or known[0] != number:
            over = Drawn([0] * PIECES, [0] * PIECES, [None] * PIECES)
            for data in self._rings[window.number]:
                at, calls, errors, _, p95 = _HEAD.unpack_from(data)[:5]
                place = at - number + PIECES - 1
                over.calls[place] += calls
                over.errors[place] += errors
                over.p95_ms[place] = None if p95 < 0 else round(histogram.middle(p95), 2)
            known = self._drawn[window.number] = (number, over)
        calls, errors, p95_ms = known[1].calls.copy(), known[1].errors.copy(), known[1].p95_ms.copy()
        part = self.part(window)
        calls[-1] += part.calls
        errors[-1] += part.errors
        if part.calls:
            (p95,) = histogram.ranks(part.counts, (0.95,))
            p95_ms[-1] = round(histogram.middle(p95), 2)
        return Drawn(calls, errors, p95_ms)

    def part(self, window: Window) -> Tally:
        """The piece of a window under way."""
        if not window.number:
            return Tally(self.open)
        part = self._parts[window.number - 1].copy()
        part.add(self.minute)
        part.add(Tally(self.open))
        return part

    def everything(self) -> Tally:
        """What was counted since the process started."""
        tally = self.lifetime.copy()
        tally.add(self.minute)
        tally.add(Tally(self.open))
        return tally

    def present_minute(self) -> Tally:
        """The minute under way up to now."""
        tally = self.minute.copy()
        tally.add(Tally(self.open))
        if self._carried is not None:
            tally.add(self._carried)
        return tally

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
                tally = Tally(part)
                self._totals[place].add(tally)
                if place and number == self.slot // _SLOTS[place]:
                    self._parts[place - 1].add(tally)
                else:
                    self._rings[place].append(self._packed(number, tally))
        self._carried = None if present is None else Tally(present)

    def _update(self, reading: Reading, window: int) -> None:
        """Brings a reading up to the present but for its durations."""
        parts = (self._totals[window], self.minute, self.open) if window else (self._totals[0], self.open)
        reading.calls = reading.errors = 0
        reading.total_ms, reading.marks = 0.0, {}
        for part in parts:
            reading.calls += part.calls
            reading.errors += part.errors
            reading.total_ms += part.total_ms
            if part.marks:
                _add_marks(reading.marks, part.marks)

    def _close(self) -> None:
        tally, self.open = Tally(self.open), Cell()
        self._changes += 1
        # A slot is a piece of the shortest window; the others take whole minutes.
        self._totals[0].add(tally)
        self._rings[0].append(self._packed(self.slot, tally))
        if self.minute:
            self.minute.add(tally)
        else:
            self.minute = tally

    def _end_minute(self) -> None:
        minute, carried = self.minute, self._carried
        if minute:
            self._changes += 1
            for tally in (self.lifetime, *self._totals[1:], *self._parts):
                tally.add(minute)
            self.minute = Tally()
        if carried is not None:
            minute.add(carried)
            self._carried = None
        if minute:
            self.finished.append((self.minute_number, minute))

    def _turn(self, window: int, before: int, number: int) -> None:
        part = self._parts[window - 1]
        if part:
            self._rings[window].append(self._packed(before, part))
            self._parts[window - 1] = Tally()
        self._forget(window, number)

    def _forget(self, window: int, number: int) -> None:
        """Takes what is older than the window out of its total."""
        ring, over = self._rings[window], 0
        while over < len(ring) and _HEAD.unpack_from(ring[over])[0] <= number - PIECES:
            self._totals[window].subtract(self._piece(ring[over]).tally())
            over += 1
        if over:
            del ring[:over]
            self._changes += 1

    def _packed(self, number: int, tally: Tally) -> bytes:
        """A piece in little memory."""
        low, size, counts = histogram.squeeze(tally.counts)
        (p95,) = histogram.ranks(tally.counts, (0.95,)) or (-1,)
        data = _HEAD.pack(number, tally.calls, tally.errors, tally.total_ms, p95, low, len(counts), size)
        data += counts
        if tally.marks:
            data += b"".join(_MARK.pack(self._place(name), amount) for name, amount in tally.marks.items())
        return data

    def _place(self, name: str) -> int:
        """Where a mark's name is in the list of names."""
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name)

    def _piece(self, data: bytes) -> Piece:
        number, calls, errors, total_ms, p95, low, length, size = _HEAD.unpack_from(data)
        end = _HEAD.size + length
        counts = histogram.unsqueeze(low, size, data[_HEAD.size : end])
        marks = {
            self._names[place]: int(amount) if amount.is_integer() else amount
            for place, amount in _MARK.iter_unpack(data[end:])
        }
        p95_ms = None if p95 < 0 else histogram.middle(p95)
        return Piece(number, calls, errors, p95_ms, total_ms, counts, marks)


def _add_marks(to: dict[str, float], marks: Mapping[str, float]) -> None:
    for name, amount in marks.items():
        to[name] = to.get(name, 0) + amount


def _subtract_marks(whole: dict[str, float], marks: Mapping[str, float]) -> None:
    for name, amount in marks.items():
        left = whole.get(name, 0) - amount
        if abs(left) < 1e-9:
            whole.pop(name, None)
        else:
            whole[name] = left


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
