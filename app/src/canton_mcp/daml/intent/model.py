"""What is asked and answered: requirements, shortfalls of authority, and readings of a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from canton_mcp.daml.actions import Analysis

__all__ = ["Answer", "Reading", "Requirement", "Shortfall", "Status", "shortfalls"]

Status = Literal["met", "not_met", "not_found"]


@dataclass(frozen=True)
class Requirement:
    """One requirement, its status, and the line that decides it."""

    text: str
    status: Status
    line: int | None
    detail: str


@dataclass(frozen=True)
class Shortfall:
    """An action that lacks authority: in `choice` of `template`, for the parties `missing`."""

    template: str
    choice: str
    kind: str
    target: str | None
    line: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """What was made of a text: the requirements, and sentences that demand something in a form not understood."""

    requirements: tuple[Requirement, ...]
    unclear: tuple[str, ...]


def shortfalls(analysis: Analysis) -> tuple[Shortfall, ...]:
    """The actions of an analysis that fail, whatever the data of other contracts."""
    return tuple(
        Shortfall(
            entry.owner,
            entry.name,
            action.kind,
            action.template,
            action.place.line,
            tuple(party.path for party in action.verdict.missing),
        )
        for entry in analysis.entries
        for action in entry.actions
        if action.verdict.status == "fails_unless" and action.verdict.definite
    )


Answer = tuple[Status, int | None, str]
