"""The catalogue as documents with addresses: patterns, rules and guides, written from their data."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from canton_mcp import daml
from canton_mcp.catalogue.guides import GUIDES, Guide
from canton_mcp.catalogue.rules import RULES, Rule

Category = Literal["patterns", "rules", "guides"]
Complexity = Literal["beginner", "intermediate", "advanced"]

LEVELS: tuple[str, ...] = ("basic", "enhanced", "high")
"""Security levels, each with all that the one before asks for."""

_SCHEME = "canton://"
_NAMED = 6
_BEGINNER_LINES = 30
_INTERMEDIATE_LINES = 45


@dataclass(frozen=True)
class Document:
    """One resource: Markdown under an address. `cues` are (weight, regular expression) pairs over a text."""

    category: Category
    id: str
    title: str
    summary: str
    text: str
    cues: tuple[tuple[int, str], ...]
    pattern: daml.Pattern | None = None

    @property
    def uri(self) -> str:
        """`canton://CATEGORY/ID`."""
        return f"{_SCHEME}{self.category}/{self.id}"

    def matches(self, text: str) -> list[tuple[int, str]]:
        """(weight, matched words) of every cue found in `text`."""
        found = ((weight, re.search(cue, text, re.I)) for weight, cue in (*self.cues, *self._names))
        return [(weight, " ".join(match.group(0).split())) for weight, match in found if match]

    @property
    def _names(self) -> tuple[tuple[int, str], ...]:
        """Address and id as a cue. An id of one word may be any word, so that is left to the cues."""
        words = rf"|(?<![\w-]){self.id.replace('-', '[ _-]')}(?![\w-])" if "-" in self.id else ""
        return ((_NAMED, rf"{self.uri}(?![\w-]){words}"),)


@dataclass(frozen=True)
class Shelf:
    """All documents of a category, and the template of their addresses."""

    category: Category
    title: str
    about: str
    variable: str
    documents: tuple[Document, ...]

    @property
    def uri_template(self) -> str:
        """RFC 6570, with one variable."""
        return f"{_SCHEME}{self.category}/{{{self.variable}}}"


def find(uri: str) -> Document | None:
    """The document with this address."""
    return _BY_URI.get(uri)


def document(category: Category, name: str) -> Document | None:
    """The document of a category with this id."""
    return _BY_URI.get(f"{_SCHEME}{category}/{name}")


def complexity(pattern: daml.Pattern) -> Complexity:
    """How much there is to a pattern, by the length of its skeleton."""
    lines = pattern.skeleton.count("\n")
    if lines <= _BEGINNER_LINES:
        return "beginner"
    return "intermediate" if lines <= _INTERMEDIATE_LINES else "advanced"


def _of_pattern(pattern: daml.Pattern) -> Document:
    return Document(
        "patterns",
        pattern.id,
        pattern.name,
        f"For when {pattern.when}.",
        _pattern_text(pattern),
        pattern.cues,
        pattern,
    )


def _of_rule(rule: Rule) -> Document:
    return Document("rules", rule.id, rule.title, rule.finds, _rule_text(rule), rule.cues)


def _of_guide(guide: Guide) -> Document:
    return Document("guides", guide.id, guide.title, guide.summary, guide.text, guide.cues)


def _pattern_text(pattern: daml.Pattern) -> str:
    roles = (f"**{role.name}** ({role.bound_as}): {role.duty}" for role in pattern.roles)
    avoided = (f"`{_SCHEME}rules/{rule.id}`: {rule.title}" for rule in RULES if pattern.id in rule.patterns)
    return _page(
        f"# {pattern.name}",
        f"Use it when {pattern.when}. It is the wrong choice if {pattern.against}.",
        pattern.reason,
        "## Roles",
        _bullets(roles),
        "## Flow",
        "\n".join(f"{number}. {step}" for number, step in enumerate(pattern.flow, 1)),
        "## Skeleton",
        _fenced(pattern.skeleton),
        "## What a higher security level adds",
        _bullets(
            [*(f"enhanced: {item}" for item in pattern.enhanced), *(f"high: {item}" for item in pattern.high)]
        ),
        "## Traps",
        _bullets(pattern.traps),
        "## See also",
        _bullets(
            [*avoided, f"`{_SCHEME}guides/authorization`: which authority a choice has, what an action needs"]
        ),
    )


def _rule_text(rule: Rule) -> str:
    patterns = {pattern.id: pattern for pattern in daml.PATTERNS}
    also = [
        f"`{_SCHEME}patterns/{name}`: {patterns[name].name}, for when {patterns[name].when}"
        for name in rule.patterns
        if name in patterns
    ]
    return _page(
        f"# {rule.title}",
        f"Rule `{rule.id}`, severity {rule.severity}, {_CERTAINTIES[rule.certainty]}.",
        "## What it finds",
        rule.finds,
        "## Why it matters",
        rule.why,
        "## Wrong",
        _fenced(rule.wrong),
        "## Right",
        _fenced(rule.right),
        "## How to fix it",
        rule.fix,
        "## See also",
        _bullets([*also, f"`{_SCHEME}guides/authorization`: which authority a choice has"]),
    )


def _page(*parts: str) -> str:
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _fenced(code: str) -> str:
    return f"```daml\n{code}```"


_CERTAINTIES = {
    "definite": "definite: wrong whatever the data",
    "conditional": "conditional: wrong unless the named parties coincide",
    "advice": "advice: correct code may do it on purpose",
}

SHELVES: tuple[Shelf, ...] = (
    Shelf(
        "patterns",
        "Authorization patterns",
        "When to use it, who is bound, the flow, a skeleton in DAML, traps.",
        "name",
        tuple(map(_of_pattern, daml.PATTERNS)),
    ),
    Shelf(
        "rules",
        "Rules of the validator",
        "What a finding means, why it matters, a wrong and a right example, the fix.",
        "id",
        tuple(map(_of_rule, RULES)),
    ),
    Shelf(
        "guides",
        "Guides",
        "How authority works, and how to read what a ledger says.",
        "name",
        tuple(map(_of_guide, GUIDES)),
    ),
)
DOCUMENTS: tuple[Document, ...] = tuple(entry for shelf in SHELVES for entry in shelf.documents)
_BY_URI = {entry.uri: entry for entry in DOCUMENTS}
