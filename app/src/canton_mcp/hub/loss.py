"""What was lost on the way, by the numbers that a sender gives its messages (`ctx.seq` within `ctx.boot`)."""

from __future__ import annotations

from array import array

__all__ = ["Numbers"]

_REMEMBERED = 256
"""Latest messages whose content is known: a repeated number with other content is no duplicate."""
_BEHIND = 4096
"""A missing number that is further behind will not come any more."""
_JUMP = 4096
"""A longer gap is believed only when the next message confirms it."""
_MOST_LOST = 1_000_000
_EARLY = 64


class Numbers:
    """The numbering of one process of a sender.

    Numbers may arrive in any order and more than once. A sender that starts again under the same name is
    recognised by content, and its numbering taken up anew. At most 7 kB, however large the gaps.
    """

    __slots__ = ("_digests", "_highest", "_lowest", "_missing", "_suspect", "first_at", "last_at")

    def __init__(self, number: int, digest: int, now: float) -> None:
        self.first_at = self.last_at = now
        self._digests = array("q", bytes(8 * _REMEMBERED))
        self._missing: bytearray | None = None
        """1 for each number not further behind than `_BEHIND` that has not come; made with the first gap."""
        self._suspect: int | None = None
        self._lowest = self._highest = number
        self._begin(number, digest)

    def take(self, number: int, digest: int, now: float) -> int | None:
        """By how much the count of lost messages changes (a late one lowers it); None for a duplicate.

        `digest` is a hash of the whole datagram.
        """
        self.last_at = now
        ahead = number - self._highest
        if ahead == 1:
            self._highest = number
            self._digests[number % _REMEMBERED] = digest
            if self._missing is not None:
                self._missing[number % _BEHIND] = 0
            return 0
        if 1 < ahead <= _JUMP:
            self._miss(self._highest + 1, number)
            self._highest = number
            self._digests[number % _REMEMBERED] = digest
            return ahead - 1
        if self._missing is not None and -_BEHIND < ahead < 0 and self._missing[number % _BEHIND]:
            self._missing[number % _BEHIND] = 0
            self._digests[number % _REMEMBERED] = digest
            return -1
        if -_REMEMBERED < ahead <= 0 and self._digests[number % _REMEMBERED] == digest:
            return None
        if 0 < self._lowest - number <= _EARLY and self._highest - self._lowest < _REMEMBERED:
            return self._before_first(number, digest)
        return self._doubtful(number, digest)

    def _begin(self, number: int, digest: int) -> None:
        self._lowest = self._highest = number
        self._missing = None
        self._digests[number % _REMEMBERED] = digest

    def _before_first(self, number: int, digest: int) -> int:
        """The first messages came in the wrong order."""
        skipped = self._lowest - number - 1
        self._miss(number + 1, self._lowest)
        self._lowest = number
        self._digests[number % _REMEMBERED] = digest
        return skipped

    def _doubtful(self, number: int, digest: int) -> int:
        """A number far from all others: garbage, a long silence, or a sender that counts anew."""
        confirmed = self._suspect is not None and 0 < number - self._suspect <= _EARLY
        if not confirmed:
            self._suspect = number
            return 0
        gap = number - self._highest - 2
        self._suspect = None
        if not 0 < gap <= _MOST_LOST:
            self._begin(number, digest)
            return 0
        self._highest = number
        # What is missing before is too far behind.
        self._missing = None
        self._digests[number % _REMEMBERED] = digest
        return gap

    def _miss(self, first: int, behind: int) -> None:
        """Notes as missing what is from `first` up to `behind`, which has come."""
        if self._missing is None:
            self._missing = bytearray(_BEHIND)
        begin, end = first % _BEHIND, behind % _BEHIND
        if begin <= end:
            self._missing[begin:end] = b"\x01" * (end - begin)
        else:
            self._missing[begin:] = b"\x01" * (_BEHIND - begin)
            self._missing[:end] = b"\x01" * end
        self._missing[end] = 0
