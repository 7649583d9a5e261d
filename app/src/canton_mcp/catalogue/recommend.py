"""From a description to the documents that fit it, with the words that led there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from canton_mcp.catalogue.documents import DOCUMENTS, Document

_ENOUGH = 2
_FOR_USE_CASE = 2
_MAX_READ = 30_000
"""Characters of a request that are searched; each costs every cue a step."""

USE_CASES: dict[str, str] = {
    "asset_management": "assets are transferred to a new owner, locked, held in escrow",
    "basic_templates": "one party offers, the other accepts; signatories, controllers, observers",
    "financial_instruments": "settlement of delivery versus payment, transfer of ownership, collateral is pledged",
    "governance": "members vote, a quorum approves, all parties sign",
    "identity_management": "kyc, credentials, certified identity, onboarding of customers",
    "supply_chain": "an offer is accepted, goods against payment, an agent acts on behalf of another, auditors observe",
}
"""Names of use cases, each with what such workflows are about, in words that the cues know."""


@dataclass(frozen=True)
class Recommendation:
    """A document, how strongly it fits, and why."""

    document: Document
    score: int
    reason: str


def recommend(
    description: str, *, use_case: str = "", excluded: Collection[str] = (), limit: int = 5
) -> tuple[Recommendation, ...]:
    """The documents that fit best, the best first; empty when nothing fits.

    Words of the description count by the weight of the cue that they match; a known use case adds a
    little to what is common there. `excluded` holds ids. The same input gives the same answer, whoever
    gives it.
    """
    subject = use_case.strip().lower().replace("-", "_").replace(" ", "_")
    topic = USE_CASES.get(subject, "")
    text = f"{subject.replace('_', ' ')}. {description}"[:_MAX_READ]
    found: list[Recommendation] = []
    for document in DOCUMENTS:
        if document.id in excluded:
            continue
        words = document.matches(text)
        common = bool(topic) and document.category != "rules" and _score(document.matches(topic)) >= _ENOUGH
        score = _score(words) + (_FOR_USE_CASE if common else 0)
        if score >= _ENOUGH:
            found.append(Recommendation(document, score, _reason(words, subject if common else "")))
    # Sorting keeps the catalogue's order among equals: patterns before rules before guides.
    return tuple(sorted(found, key=lambda entry: -entry.score)[:limit])


def _score(words: list[tuple[int, str]]) -> int:
    return sum(weight for weight, _ in words)


def _reason(words: list[tuple[int, str]], use_case: str) -> str:
    parts = []
    if words:
        named = ", ".join(f"'{word[:60]}'" for _, word in words)
        parts.append(f"the request says {named}")
    if use_case:
        parts.append(f"it is common in {use_case.replace('_', ' ')}")
    return " and ".join(parts)
