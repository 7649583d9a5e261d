"""How like a description is to the examples of each pattern, by the words that they share.

Cues find what they were written for; this weighs all words, so that an odd wording is not lost. Each pattern's examples
are counted once, and a description is as likely to be of a pattern as its words are in them (naive Bayes).
"""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

__all__ = ["Likeness", "examples", "likeness"]

MOST = 10.0
"""How far behind the likest pattern another one can be."""
_LETTERS = 6
"""Words are compared by their beginnings."""
_UNSEEN = 0.2
"""What a word counts for in examples that do not have it."""
_MAX_TOLD = 8
_TELLS_NOTHING = 3
"""Words of so few letters are never told as a reason."""
_WORD = re.compile(r"[a-z']+")


@dataclass(frozen=True)
class Likeness:
    """`behind` has for each pattern how far it is behind the likest one, from -MOST to 0.

    `known` is how many words of the description the examples have, `lead` how far the second is behind.
    """

    behind: Mapping[str, float]
    known: int
    lead: float
    telling: Mapping[str, tuple[str, ...]]
    """The words of the description that speak most for each pattern."""


@dataclass(frozen=True)
class _Counted:
    texts: int
    words: Counter[str]

    def chance(self, word: str) -> float:
        """The logarithm of how often an example has the word."""
        return math.log((self.words[word] + _UNSEEN) / (self.texts + 2 * _UNSEEN))


@cache
def examples() -> dict[str, tuple[str, ...]]:
    """Descriptions of workflows by the pattern that fits them best."""
    read = tomllib.loads((resources.files(__package__) / "examples.toml").read_text("utf-8"))
    return {name: tuple(texts) for name, texts in read.items()}


def likeness(text: str, without: Iterable[str] = ()) -> Likeness:
    """Compares a description with the examples; the words of `without` are left out."""
    counted = _counted()
    left_out = {start for words in without for start in _beginnings(words)}
    said = {start: word for start, word in _beginnings(text).items() if start not in left_out}
    known = [start for start in said if any(start in entry.words for entry in counted.values())]
    sums = {name: sum(map(entry.chance, known)) for name, entry in counted.items()}
    best, second, *_ = sorted(sums.values(), reverse=True)
    average = {
        start: sum(entry.chance(start) for entry in counted.values()) / len(counted) for start in known
    }
    telling = {
        name: tuple(
            said[start]
            for start in sorted(known, key=lambda start: average[start] - entry.chance(start))[:_MAX_TOLD]
            if entry.words[start] and len(said[start]) > _TELLS_NOTHING
        )
        for name, entry in counted.items()
    }
    behind = {name: max(value - best, -MOST) for name, value in sums.items()}
    return Likeness(behind, len(known), best - second, telling)


@cache
def _counted() -> dict[str, _Counted]:
    return {
        name: _Counted(len(texts), Counter(start for text in texts for start in _beginnings(text)))
        for name, texts in examples().items()
    }


def _beginnings(text: str) -> dict[str, str]:
    """The beginnings of the words of a text, with the first word that begins so."""
    found: dict[str, str] = {}
    for word in _WORD.findall(text.lower()):
        found.setdefault(word[:_LETTERS], word)
    return found
