"""Choosing an authorization pattern: by the words of a description, by what it denies, and by what excludes a pattern.

Fixed cues and the likeness to fixed examples decide, so the same text always gives the same answer, with the words that
led to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from canton_mcp.daml.likeness import MOST, Likeness, likeness
from canton_mcp.daml.patterns import PATTERNS, Pattern, pattern

__all__ = ["Candidate", "Decision", "choose"]

MAX_READ = 10_000
"""Characters of a description that are read."""
_MAX_QUOTE = 60
_MAX_SENTENCE = 500
_MAX_COMMON = 3
"""How many common words may count for one pattern."""
_ENOUGH = 2
"""Points from which on a pattern is chosen at all."""
_CLEAR = 4
"""Points of cues from which on a pattern is surely a part of the workflow."""

_CLOSE = 1.0
"""A lead below this is no clear choice."""
_SURE = 3.0
"""The same where no cue speaks for the pattern, only its likeness to the examples."""
_MAX_TOLD = 4
_SMALL_LEAD = 0.5
_FEW_WORDS = 6
"""Words that the examples have, below which a likeness says nothing."""

_SENTENCE = re.compile(r"(?<!\be\.g)(?<!\bi\.e)[.;!?](?=\s|$)|\n+|\s[-*•]\s")
_CLAUSE = re.compile(r"[,:]? (?:and|but|while|whereas|although) |, ")
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
_DENIED_BEFORE = re.compile(
    r"(?:\b(?:no|not|without|never|nor|neither|avoid(?:ing)?|instead of|rather than|no need (?:for|of|to)"
    r"|lacks?)"
    r"|n't (?:need|want|have|use|require|like))\s+(?:(?:an?|any|the|to|be|use|have|having|getting|need|want|yet|another"
    r"|\w+ each \w+ as)\s+){0,3}\Z",
    re.I,
)
_DENIED_AFTER = re.compile(
    r"\A-(?:less|free)\b|\A\w*(?:\s+\w+){0,2}?\s+(?:is|are|was|were)(?:\s+not|n't)\s+"
    r"(?:needed|necessary|required|wanted|possible|used|involved|an option)",
    re.I,
)
_AFFIRMED = re.compile(r"\b(?:without|unless|until|before|except|other than)\b", re.I)
_NEGATIVE = re.compile(r"\b(?:no|not|never|nobody|nor|neither|none|without|cannot|un\w+)\b|n't\b", re.I)
_APART = re.compile(
    r"\b(?:different|separate|several|distinct|various|another|their own|its own"
    r"|other) (?:\w+ )?(?:participants?|nodes?|validators?|hosts?|servers?|systems?)\b"
    r"|\b(?:not|never|nor|n't)\b[^.;]{0,40}\b(?:same (?:participant|node|validator|server)"
    r"|submit (?:\w+ )?together|online at the same time)"
    r"|\b(?:different|separate) (?:\w+ )?(?:times|moments|days|time zones)\b|\basynchron\w+",
    re.I,
)
_SEVERAL = re.compile(
    r"\b(?:three|four|five|six|seven|eight|nine|ten|[3-9]|\d\d+) "
    r"(?!(?:\w+ )?(?:seconds|minutes|hours|days|weeks|months|years|percent|times)\b)(?:\w+ ){0,2}\w+s\b"
    r"|\bevery ?(?:one|body)\b|\w+, (?:the )?\w+ and (?:the )?\w+",
    re.I,
)
_INCLUDES: dict[str, tuple[str, ...]] = {
    "bot-delegation": (
        "delegation",
        "propose-accept",
        "role-contract",
        "delegated-settlement",
        "locking",
        "transfer-with-consent",
    ),
    "threshold-approval": ("multi-party-agreement", "any-of-control", "propose-accept", "joint-control"),
    "delegated-settlement": ("transfer-with-consent", "propose-accept"),
    "token-standard": (
        "delegated-settlement",
        "transfer-with-consent",
        "locking",
        "role-contract",
        "delegation",
    ),
    "transfer-with-consent": ("propose-accept",),
    "locking": ("transfer-with-consent", "propose-accept"),
    "multi-party-agreement": ("propose-accept",),
    "role-contract": ("propose-accept",),
    "credential": ("propose-accept",),
    "admin-pause-upgrade": ("transfer-with-consent", "propose-accept"),
    "delegation": ("transfer-with-consent", "any-of-control"),
    "flexible-controller": ("propose-accept", "transfer-with-consent"),
    "joint-control": ("multi-party-agreement",),
    "any-of-control": ("joint-control", "multi-party-agreement"),
}
"""What a pattern has inside, or is a special case of: those are put behind it where it is clear."""
_SPECIAL = frozenset(
    {"bot-delegation", "threshold-approval", "delegated-settlement", "token-standard", "admin-pause-upgrade"}
)
"""Patterns that are meant even where more words speak for what they have inside."""
_BEHIND = 3


@dataclass(frozen=True)
class Candidate:
    """A pattern with its points, the words that speak for it, and those by which the description denies it."""

    pattern: Pattern
    points: int
    words: tuple[str, ...]
    denied: tuple[str, ...]
    note: str = ""
    """Why it was put behind or before others, beyond its own words."""
    behind: float = 0.0
    """How far its examples are behind the likest ones: 0 or less."""

    @property
    def score(self) -> float:
        """What the order goes by."""
        return self.points + self.behind


@dataclass(frozen=True)
class Decision:
    """What was chosen; `ranked` holds every pattern, the best first."""

    chosen: Candidate | None
    also: tuple[Candidate, ...]
    """Further patterns that the workflow asks for by other words."""
    ranked: tuple[Candidate, ...]
    close: bool
    """Whether the second is as good as the first."""


@dataclass(frozen=True)
class _Cue:
    """A cue that was found: where, and in which clause of the description."""

    weight: int
    words: str
    clause: tuple[int, int]
    start: int
    end: int

    def overlaps(self, other: _Cue) -> bool:
        """Whether both rest on the same words."""
        return self.clause[0] == other.clause[0] and self.start < other.end and other.start < self.end


@dataclass(frozen=True)
class _Said:
    cues: tuple[_Cue, ...]
    denied: tuple[str, ...]

    @property
    def points(self) -> int:
        return sum(cue.weight for cue in self.cues)

    @property
    def clear(self) -> bool:
        return sum(cue.weight for cue in self.cues if cue.weight > 1) >= _CLEAR - 1


@dataclass(frozen=True)
class _Weighed:
    """By pattern: points of cues, how far its examples are behind, and what is to be said of its place."""

    points: dict[str, int]
    behind: dict[str, float]
    notes: dict[str, str]


def choose(description: str, constraints: Sequence[str] = ()) -> Decision:
    """The pattern that fits the description best; constraints count where the description alone is not enough."""
    text = description[:MAX_READ]
    ranked, clear = _ranked(text, constraints)
    if ranked[0].points < _ENOUGH and not clear and constraints:
        ranked, clear = _ranked("\n".join([text, *constraints])[:MAX_READ], constraints)
    best = ranked[0]
    if best.points < _ENOUGH and not clear:
        return Decision(None, (), ranked, False)
    included = _INCLUDES.get(best.pattern.id, ())
    also = tuple(
        entry
        for entry in ranked[1:]
        if entry.points >= _CLEAR and entry.pattern.id not in included and not {*entry.words} <= {*best.words}
    )
    lead = best.score - ranked[1].score
    return Decision(best, also[:2], ranked, lead < _CLOSE or (best.points < _ENOUGH and lead < _SURE))


def _ranked(text: str, constraints: Sequence[str]) -> tuple[tuple[Candidate, ...], bool]:
    """Every pattern, the best first, and whether the best one may be chosen for its likeness alone."""
    sentences = list(_sentences(text))
    found = {entry.id: _evidence(entry, sentences) for entry in PATTERNS}
    alike = likeness(text, [words for said in found.values() for words in said.denied])
    weighed = _Weighed({name: said.points for name, said in found.items()}, dict(alike.behind), {})
    for name, inner in _INCLUDES.items():
        for other in inner if found[name].clear else ():
            if weighed.points[other] and found[name].points >= found[other].points - (
                _BEHIND if name in _SPECIAL else 1
            ):
                weighed.points[other] = max(weighed.points[other] - _BEHIND, 0)
                weighed.behind[other] = min(weighed.behind[other], weighed.behind[name])
                weighed.notes[other] = f"it is a part or a wider form of {_name(name)}"
    _onlookers(found, weighed)
    _apart(text, constraints, weighed)
    made = [
        Candidate(
            entry,
            weighed.points[entry.id],
            _quoted(found[entry.id].cues) or _telling(alike, entry.id, weighed.behind[entry.id]),
            found[entry.id].denied,
            weighed.notes.get(entry.id, ""),
            weighed.behind[entry.id],
        )
        for entry in PATTERNS
    ]
    # Sorting keeps the catalogue's order among equals.
    ranked = tuple(sorted(made, key=lambda entry: -entry.score))
    likest = ranked[0].behind == 0 and alike.known >= _FEW_WORDS
    return ranked, likest and (ranked[0].points > 0 or alike.lead >= _SMALL_LEAD)


def _telling(alike: Likeness, name: str, behind: float) -> tuple[str, ...]:
    return alike.telling[name][:_MAX_TOLD] if behind > -MOST else ()


def _sentences(text: str) -> Iterator[str]:
    """The sentences of a text on one line each; endless ones in pieces, so that no cue has far to look."""
    for part in _SENTENCE.split(text):
        plain = " ".join(part.split()) if part else ""
        while len(plain) > _MAX_SENTENCE:
            end = plain.rfind(" ", 1, _MAX_SENTENCE)
            end = end if end > 0 else _MAX_SENTENCE
            yield plain[:end]
            plain = plain[end:].strip()
        if plain:
            yield plain


def _onlookers(found: dict[str, _Said], weighed: _Weighed) -> None:
    """Those who only look on do not decide the pattern where others act."""
    clauses = {cue.clause for cue in found["read-access"].cues}
    acting = [
        name
        for name, said in found.items()
        if name != "read-access"
        and sum(cue.weight for cue in said.cues if cue.clause not in clauses) >= _CLEAR
    ]
    points = weighed.points
    if acting and points["read-access"]:
        best = max(acting, key=lambda name: points[name])
        if points[best] >= _CLEAR:
            points["read-access"] = min(points["read-access"], points[best] - 1)
            weighed.behind["read-access"] = min(weighed.behind["read-access"], weighed.behind[best])
            weighed.notes["read-access"] = "those who look on become observers; what the others do decides"


def _apart(text: str, constraints: Sequence[str], weighed: _Weighed) -> None:
    """Parties on different participants cannot submit together, so joint control alone is never the answer."""
    where, apart = next(
        ((part, found) for part in (text, *constraints) if (found := _APART.search(part[:MAX_READ]))),
        (text, None),
    )
    points, behind, notes = weighed.points, weighed.behind, weighed.notes
    if apart is None or not points["joint-control"]:
        return
    for name in _INCLUDES["joint-control"]:
        notes.pop(name, None)
    instead = "multi-party-agreement" if _SEVERAL.search(f"{text}\n{where}") else "propose-accept"
    points[instead] = max(points[instead], points["joint-control"])
    behind[instead] = max(behind[instead], behind["joint-control"])
    notes[instead] = f"you say '{apart.group(0)}', so the consent of the two is collected step by step"
    points["joint-control"], behind["joint-control"] = min(points["joint-control"], 1), -MOST
    notes["joint-control"] = (
        f"you say '{apart.group(0)}', and parties that are apart cannot submit one command together"
    )


def _name(name: str) -> str:
    found = pattern(name)
    return found.name if found else name


def _quoted(cues: Sequence[_Cue]) -> tuple[str, ...]:
    """The words of cues, the weightiest first; what is said within others already is left out."""
    kept: list[str] = []
    for cue in sorted(cues, key=lambda cue: -cue.weight):
        if not any(cue.words in other or other in cue.words for other in kept):
            kept.append(cue.words)
    return tuple(kept)


def _evidence(entry: Pattern, sentences: list[str]) -> _Said:
    """The cues that are said, and the words that are denied. What rests on words already counted adds one point."""
    said: list[_Cue] = []
    denied: list[str] = []
    for weight, cue in sorted(entry.cues, key=lambda item: -item[0]):
        compiled = re.compile(cue, re.I)
        for match, sentence, number in _matches(compiled, sentences):
            found = _cue(weight, match, sentence, number)
            if _is_denied(match, sentence):
                denied.append(found.words)
                continue
            said.append(replace(found, weight=1) if any(found.overlaps(other) for other in said) else found)
            break
    common = _common(entry, sentences)
    said += [cue for cue in common if not any(cue.overlaps(other) for other in said)][:_MAX_COMMON]
    return _Said(tuple(said), tuple(dict.fromkeys(denied)))


def _common(entry: Pattern, sentences: list[str]) -> list[_Cue]:
    """One point for each word that is common in such workflows."""
    found: dict[str, _Cue] = {}
    for number, sentence in enumerate(sentences):
        for match in _WORD.finditer(sentence):
            word = match.group(0).lower().replace("-", "").replace("'", "")
            stem = next((word[:end] for end in range(len(word), 1, -1) if word[:end] in entry.stems), None)
            if stem is None or stem in found or (len(stem) <= 4 and len(word) > len(stem) + 3):
                continue
            if not _is_denied(match, sentence):
                found[stem] = _cue(1, match, sentence, number)
    return list(found.values())


def _cue(weight: int, match: re.Match[str], sentence: str, number: int) -> _Cue:
    clause = sum(1 for found in _CLAUSE.finditer(sentence) if found.end() <= match.start())
    return _Cue(weight, _shortened(match.group(0)), (number, clause), match.start(), match.end())


def _shortened(text: str) -> str:
    plain = text.strip(" ,:")
    return plain if len(plain) <= _MAX_QUOTE else plain[: _MAX_QUOTE - 2].rsplit(" ", 1)[0] + " .."


def _matches(cue: re.Pattern[str], sentences: list[str]) -> Iterator[tuple[re.Match[str], str, int]]:
    for number, sentence in enumerate(sentences):
        match = cue.search(sentence)
        if match is not None:
            yield match, sentence, number


def _is_denied(match: re.Match[str], sentence: str) -> bool:
    if _NEGATIVE.search(match.group(0)):
        return False  # the negation is part of what the cue looks for
    before, after = sentence[max(match.start() - 60, 0) : match.start()], sentence[match.end() :][:60]
    if _DENIED_AFTER.search(after):
        return True
    return _DENIED_BEFORE.search(before) is not None and _AFFIRMED.search(after) is None
