"""A text with everything that is found out about it, kept for the next question about the same text."""

from __future__ import annotations

from functools import cached_property, lru_cache

from canton_mcp.daml import tree
from canton_mcp.daml.actions import Analysis, Entry
from canton_mcp.daml.era import Era, era
from canton_mcp.daml.findings import Finding, findings
from canton_mcp.daml.ledger import analyse
from canton_mcp.daml.reader import read

__all__ = ["Judged", "judged"]

_KEPT = 16
_MAX_KEPT_CHARS = 100_000


class Judged:
    """What a text says, each part worked out when it is first asked for."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def module(self) -> tree.Module:
        """What is declared."""
        return read(self.text)

    @cached_property
    def analysis(self) -> Analysis:
        """Which actions have the authority that they need."""
        return analyse(self.module)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong, or deserves a look, the gravest first."""
        return tuple(findings(self.module, self.analysis))

    @cached_property
    def _entries(self) -> dict[tuple[str, str, int], Entry]:
        return {
            (entry.owner, entry.name, entry.place.start): entry for entry in reversed(self.analysis.entries)
        }

    def entry(self, template: str, choice: tree.Choice) -> Entry | None:
        """The analysis of a choice of a template."""
        return self._entries.get((template, choice.name, choice.place.start))

    @cached_property
    def era(self) -> Era | None:
        """Which versions it was written for."""
        return era(self.module)


def judged(text: str) -> Judged:
    """The text and what is known of it. Texts beyond a size are worked out anew each time, to bound the memory."""
    return _kept(text) if len(text) <= _MAX_KEPT_CHARS else Judged(text)


@lru_cache(maxsize=_KEPT)
def _kept(text: str) -> Judged:
    return Judged(text)
