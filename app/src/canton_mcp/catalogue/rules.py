"""What the engine finds in DAML code: why it is wrong, what it looks like, and the way out.

The words are in `rules.toml`, the examples in `examples/ID/`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from canton_mcp.daml.findings import KINDS, Certainty, Severity

__all__ = ["RULES", "Rule"]


@dataclass(frozen=True)
class Rule:
    """One finding, by the id that the validator reports.

    `wrong` raises it and `right` does not; both are whole modules. `patterns` are ids of patterns
    that avoid it. `cues` are (weight, regular expression) pairs over a question or a description.
    """

    id: str
    title: str
    severity: Severity
    certainty: Certainty
    finds: str
    why: str
    wrong: str
    right: str
    fix: str
    patterns: tuple[str, ...] = ()
    cues: tuple[tuple[int, str], ...] = ()


def _rules() -> tuple[Rule, ...]:
    text = (resources.files(__package__) / "rules.toml").read_text("utf-8")
    return tuple(map(_rule, tomllib.loads(text)["rule"]))


def _rule(entry: Mapping[str, Any]) -> Rule:
    name = entry["id"]
    kind = KINDS.get(name)
    return Rule(
        id=name,
        title=entry["title"],
        severity=kind.severity if kind else entry["severity"],
        certainty=kind.certainty if kind else entry["certainty"],
        finds=_paragraph(entry["finds"]),
        why=_paragraph(entry["why"]),
        wrong=_example(name, "wrong"),
        right=_example(name, "right"),
        fix=_paragraph(entry["fix"]),
        patterns=tuple(entry.get("patterns", ())),
        cues=tuple((weight, cue) for weight, cue in entry.get("cues", ())),
    )


def _paragraph(text: str) -> str:
    """Without the line breaks that the file has for its readers."""
    return " ".join(text.split())


def _example(name: str, which: str) -> str:
    return (resources.files(__package__) / "examples" / name / f"{which}.daml").read_text("utf-8")


RULES: tuple[Rule, ...] = _rules()
