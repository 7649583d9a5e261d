"""Histograms of durations: logarithmic buckets that can be added, subtracted and stored in few bytes.

A histogram is a plain ``dict`` from bucket to count, so that counting one more costs next to nothing. What is
added up often is one large number instead, in which each bucket has 64 bits: histograms are added by adding these
numbers, and taken away by taking them away.
Bucket 0 holds everything up to 0.01 ms; bucket n ends 6 % above bucket n - 1, so the middle of a bucket is
within 3 % of every value in it.
"""

from __future__ import annotations

import math
import operator
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain

__all__ = [
    "Buckets",
    "Counts",
    "above",
    "add",
    "bucket",
    "counted",
    "counts",
    "cumulative",
    "merged",
    "middle",
    "pack",
    "quantiles",
    "ranks",
    "shown",
    "squeeze",
    "subtract",
    "unpack",
    "unsqueeze",
]

Buckets = dict[int, int]
Counts = int
"""A histogram as one number, with 64 bits for each bucket; at most 3.4 kB."""
_LANE = 8

_GROWTH = 1.06
_LEAST_MS = 0.01
_SCALE = 1 / math.log(_GROWTH)
_LAST = 393
"""Holds one day, the longest duration that a message may tell."""
_ENDS = [_LEAST_MS * _GROWTH**number for number in range(_LAST + 1)]
_MIDDLES = [0.0, *(2 * end / (1 + _GROWTH) for end in _ENDS[1:])]


def bucket(milliseconds: float) -> int:
    """The bucket of a duration."""
    if milliseconds <= _LEAST_MS:
        return 0
    return min(_LAST, int(math.log(milliseconds / _LEAST_MS) * _SCALE) + 1)


def middle(number: int) -> float:
    """The milliseconds that a bucket is shown as."""
    return _MIDDLES[number]


def add(to: Buckets, other: Mapping[int, int]) -> None:
    """Adds `other` to the histogram `to`."""
    get = to.get
    for number, count in other.items():
        to[number] = get(number, 0) + count


def subtract(whole: Buckets, part: Mapping[int, int]) -> None:
    """Takes away what was added before; empty buckets go."""
    for number, count in part.items():
        left = whole.get(number, 0) - count
        if left > 0:
            whole[number] = left
        else:
            whole.pop(number, None)


def quantiles(buckets: Mapping[int, int], points: Sequence[float]) -> list[float | None]:
    """Nearest-rank quantiles in milliseconds for ascending `points` (0 to 1); None for each when empty."""
    numbers = sorted(buckets)
    reached = list(accumulate(map(buckets.__getitem__, numbers)))
    if not reached or not reached[-1]:
        return [None] * len(points)
    count = reached[-1]
    return [_MIDDLES[numbers[bisect_left(reached, max(1, math.ceil(count * point)))]] for point in points]


def merged(parts: Iterable[Mapping[int, int]]) -> Buckets:
    """The sum of many histograms."""
    counts = [0] * (_LAST + 1)
    for part in parts:
        for number, count in part.items():
            counts[number] += count
    return {number: count for number, count in enumerate(counts) if count}


def above(buckets: Mapping[int, int], milliseconds: float) -> int:
    """How many durations are in buckets beyond the one of `milliseconds`."""
    limit = bucket(milliseconds)
    return sum(count for number, count in buckets.items() if number > limit)


def cumulative(buckets: Mapping[int, int], edges: Sequence[float]) -> list[int]:
    """For each of the ascending `edges` (ms) how many durations are at most that long, to within a bucket."""
    counts = [0] * len(edges)
    for number, count in buckets.items():
        middle = _MIDDLES[number]
        for position, edge in enumerate(edges):
            if middle <= edge:
                counts[position] += count
    return counts


def pack(buckets: Mapping[int, int]) -> bytes:
    """A histogram as bytes: distance to the bucket before and count, each seven bits a byte."""
    numbers = sorted(buckets)
    distances = map(operator.sub, numbers, [0, *numbers])
    values = list(chain.from_iterable(zip(distances, map(buckets.__getitem__, numbers), strict=True)))
    if max(values, default=0) < 128:
        return bytes(values)
    packed = bytearray()
    for value in values:
        while value > 127:
            packed.append(value & 127 | 128)
            value >>= 7
        packed.append(value)
    return bytes(packed)


def unpack(packed: bytes) -> Buckets:
    """The histogram that `pack` made bytes of.

    Raises ValueError when the bytes are no histogram.
    """
    values: Sequence[int] = packed
    if max(packed, default=0) > 127:
        values = _long(packed)
    numbers = list(accumulate(values[::2]))
    if len(values) % 2 or (numbers and numbers[-1] > _LAST):
        raise ValueError("not a histogram")
    return dict(zip(numbers, values[1::2], strict=True))


def _long(packed: bytes) -> list[int]:
    """Numbers of any size, seven bits a byte."""
    values: list[int] = []
    value = shift = 0
    for byte in packed:
        value |= (byte & 127) << shift
        if byte > 127:
            shift += 7
        else:
            values.append(value)
            value = shift = 0
    if shift:
        raise ValueError("the histogram is cut off")
    return values


def counts(buckets: Mapping[int, int]) -> Counts:
    """The same histogram to calculate with."""
    if not buckets:
        return 0
    lanes = array("Q", bytes(_LANE * (max(buckets) + 1)))
    for number, count in buckets.items():
        lanes[number] = count
    return int.from_bytes(_little(lanes).tobytes(), "little")


def counted(sums: Counts) -> Buckets:
    """The same histogram as buckets."""
    return {number: count for number, count in enumerate(_lanes(sums)) if count}


def ranks(sums: Counts, points: Sequence[float]) -> list[int]:
    """The buckets in which the nearest-rank quantiles lie, for ascending `points`; none when empty."""
    if not sums:
        return []
    # What is empty at the lower end need not be walked through.
    low = ((sums & -sums).bit_length() - 1) // (8 * _LANE)
    reached = list(accumulate(_lanes(sums >> (8 * _LANE * low))))
    count = reached[-1]
    return [low + bisect_left(reached, math.ceil(count * point) or 1) for point in points]


def shown(sums: Counts, points: Sequence[float]) -> list[float | None]:
    """As `quantiles` of buckets."""
    return [_MIDDLES[number] for number in ranks(sums, points)] or [None] * len(points)


def squeeze(sums: Counts) -> tuple[int, int, bytes]:
    """The lowest bucket, bytes to a count, and the counts; 0 bytes to a count stand for `pack`, where most are empty."""
    data = sums.to_bytes(_width(sums), "little")
    low = (len(data) - len(data.lstrip(b"\x00"))) // _LANE
    data = data[low * _LANE :]
    lanes = data[::_LANE]
    size = 1 if not any(data[n::_LANE].strip(b"\x00") for n in range(1, _LANE)) else 2
    if size == 2 and any(data[n::_LANE].strip(b"\x00") for n in range(2, _LANE)):
        return low, _LANE, data
    if size == 2:
        both = bytearray(2 * len(lanes))
        both[::2], both[1::2] = lanes, data[1::_LANE]
        return low, 2, bytes(both)
    if len(lanes) > 2 * (len(lanes) - lanes.count(0)):
        return low, 0, pack({number: count for number, count in enumerate(lanes, low) if count})
    return low, 1, lanes


def unsqueeze(low: int, size: int, data: bytes) -> Counts:
    """What `squeeze` made bytes of."""
    if not size:
        return counts(unpack(data))
    lanes = bytearray(len(data) // size * _LANE)
    for place in range(size):
        lanes[place::_LANE] = data[place::size]
    return int.from_bytes(lanes, "little") << (8 * _LANE * low)


def _lanes(sums: Counts) -> array[int]:
    """The count of each bucket, from 0 on."""
    lanes = array("Q", sums.to_bytes(_width(sums), "little"))
    return _little(lanes)


def _width(sums: Counts) -> int:
    """Bytes that hold all lanes."""
    return (sums.bit_length() + 8 * _LANE - 1) // (8 * _LANE) * _LANE


def _little(lanes: array[int]) -> array[int]:
    """Between the order of the lanes and that of the machine."""
    if sys.byteorder == "big":
        lanes.byteswap()
    return lanes
