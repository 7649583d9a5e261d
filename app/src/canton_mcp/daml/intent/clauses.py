"""A text of plain words as clauses, and the nouns of a clause as parties."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from canton_mcp.daml.intent.code import LITTLE, Code, Named
from canton_mcp.daml.words import words

__all__ = [
    "EITHER",
    "LIST",
    "MODAL",
    "NOT",
    "WHO",
    "all_of",
    "clauses_of",
    "jointly",
    "located",
    "one_of",
    "parties_of",
]

_MAX_CLAUSES = 200
_MAX_CLAUSE = 400
_ADVERBS = frozenset(
    words(
        "both either neither only together alone jointly himself herself itself themselves separately also exclusively solely"
    )
)
EITHER = re.compile(r"^(?:either|any|each|every|both)(?: of the| of)? (?:party|side|parties|sides)$", re.I)
_SENTENCE = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\bNo)[.;!?](?=\s|$)|\n+|\s[-*•]\s|\b\d+[.)]\s")
_SPLIT = re.compile(
    r",?\s+(?:and|but|(?<!only )while|whereas)\s+(?=(?:(?:only|the|an?|no|neither|nobody|both|all|any|each|every|it"
    r"|they|he|she|its|their)\s+)?"
    r"(?:\w+\s+){0,3}?(?:can|may|must|cannot|can't|should|shall|will|is|are|has|have|needs?|requires?"
    r"|expires?|never)\b)|,\s+(?=only\b|but\b)",
    re.I,
)
MODAL = (
    r"(?:can|may|shall|should|must|will|is allowed to|are allowed to|is able to|are able to"
    r"|shall be able to|should be able to|must be able"
    r" to|will be able to|has the right to|have the right to|is entitled to|are entitled to"
    r"|is authori[sz]ed to|are authori[sz]ed to"
    r"|is permitted to|are permitted to|gets to|could)"
)
NOT = (
    r"(?:(?:must|should|shall|may|can) (?:not|never) be (?:able|allowed) to|cannot|can't|can not|may not"
    r"|must not|mustn't|must never|can never|may never|shall not|should not|should never|shouldn't|will not"
    r"|won't|is not allowed to|are not allowed to|isn't allowed to|is not able to|are not able to"
    r"|is unable to|has no right to|never)"
)
WHO = r"((?:(?:the|an?|any|each|every|all|both|its|their) )?(?:[\w']+ ){0,2}?[\w']+(?: (?:of|in) (?:the )?[\w']+)?)"
LIST = (
    r"((?:(?:the|an?|its|their|any|all|both|either) )?[\w']+(?: [\w']+){0,2}?"
    r"(?:(?:,? (?:and|or|nor)|,) (?:the |an? |its |their )?[\w']+(?: [\w']+){0,1}?){0,6})"
)
_VERB = re.compile(
    rf"\b(?:{MODAL}|{NOT}|is|are|was|were|has|have|needs?|requires?|expires?|signs?|approves?|accepts?|pays?|transfers?|creates?"
    r"|issues?|receives?|owns?|holds?|controls?|gets?|sends?|proposes?|stays?|remains?|works?|wants?|makes?|happens?)\b",
    re.I,
)


def clauses_of(text: str) -> Iterator[str]:
    """Sentences and parts of sentences that can stand alone."""
    count = 0
    for sentence in _SENTENCE.split(text):
        plain = " ".join(sentence.split())
        for clause in _parts(plain[: _MAX_CLAUSE * 4]):
            part = clause.strip(" ,:")[:_MAX_CLAUSE]
            if part:
                yield part
                count += 1
            if count >= _MAX_CLAUSES:
                return


def _parts(sentence: str) -> Iterator[str]:
    """The parts of a sentence; what has no verb yet belongs to the next part: 'buyer and seller must ..'."""
    start = 0
    for found in _SPLIT.finditer(sentence):
        if _VERB.search(sentence, start, found.start()):
            yield sentence[start : found.start()]
            start = found.end()
    yield sentence[start:]


def parties_of(phrase: str, code: Code) -> tuple[list[str], list[str]]:
    """The parties that a list of nouns names, and the nouns that name none."""
    known: list[str] = []
    unknown: list[str] = []
    for noun in re.split(r",| and | or | nor |/|&|\bas well as\b", phrase):
        plain = " ".join(word for word in words(noun) if word.lower() not in LITTLE | _ADVERBS)
        if not plain:
            continue
        found = code.party(plain)
        if found:
            known += found
        else:
            unknown.append(plain)
    return list(dict.fromkeys(known)), unknown


def one_of(names: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(names)) or "nobody"


def jointly(names: Iterable[str]) -> str:
    *first, last = dict.fromkeys(names) or ["nobody"]
    return f"{', '.join(first)} and {last}" if first else last


def all_of(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names)) or "nobody"


def located(entries: Sequence[Named]) -> str:
    return all_of(entry.name for entry in entries[:4]) + (" .." if len(entries) > 4 else "")
