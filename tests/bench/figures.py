"""What a bench measures, and how it is shown."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Figure", "heading"]


class Figure(NamedTuple):
    """One line of the result: two quantities of one run, and their ratio."""

    what: str
    first: str
    second: str
    ratio: float

    def __str__(self) -> str:
        """The line of the table."""
        return f"{self.what:48} {self.first:>12} {self.second:>12} {self.ratio:7.2f}"


def heading() -> str:
    """The first line of the table."""
    return f"{'WHAT':48} {'FIRST':>12} {'SECOND':>12} {'RATIO':>7}"
