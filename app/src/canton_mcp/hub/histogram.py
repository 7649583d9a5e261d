"""Histograms of durations: logarithmic buckets that can be added, subtracted and stored in few bytes.

A histogram is a plain ``dict`` from bucket to count, so that counting one more costs next to nothing.
Bucket 0 holds everything up to 0.01 ms; bucket n ends 6 % above bucket n - 1, so the middle of a bucket is
within 3 % of every value in it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain
from operator import sub

__all__ = [
    "Buckets",
    "above",
    "add",
    "bucket",
    "cumulative",
    "merged",
    "pack",
    "quantiles",
    "subtract",
    "unpack",
]

Buckets = dict[int, int]

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
    distances = map(sub, numbers, [0, *numbers])
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
