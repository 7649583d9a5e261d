"""Whole modules whose ledger answers are known: each marked line says what its actions must come to.

``-- ! proved``, ``-- ! unknown``, ``-- ! fails x, y`` (whatever the data; x and y are missing) and ``-- ! conditional x``
(unless data of other contracts agrees). Where entries differ, each is named: ``-- ! Give: proved; Sell: fails buyer``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from canton_mcp.daml import Action, Entry, analyse, read

MARK = "-- ! "
MODULES = sorted((Path(__file__).parent / "authority").glob("*.daml"))


def told(action: Action) -> str:
    """A verdict in the words of the marks."""
    verdict = action.verdict
    if verdict.status != "fails_unless":
        return verdict.status
    word = "fails" if verdict.definite else "conditional"
    return f"{word} {', '.join(party.path for party in verdict.missing)}"


def marked(line: str) -> dict[str, set[str]]:
    """What a marked line expects, by entry; under the empty name what every entry must come to."""
    wanted: dict[str, set[str]] = {}
    for part in line.partition(MARK)[2].split(";"):
        name, colon, answer = part.strip().rpartition(": ")
        wanted.setdefault(name if colon else "", set()).add(answer)
    return wanted


def found(entries: tuple[Entry, ...], line: int) -> dict[str, set[str]]:
    """What the actions of a line come to, by entry."""
    answers: dict[str, set[str]] = {}
    for entry in entries:
        for action in entry.actions:
            if action.place.line == line:
                answers.setdefault(entry.name, set()).add(told(action))
    return answers


def test_there_are_modules() -> None:
    assert len(MODULES) > 50


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_module(path: Path) -> None:
    text = path.read_text()
    module = read(text)
    assert not module.problems, module.problems
    analysis = analyse(module)
    entries = (*analysis.entries, *analysis.scripts)
    for number, line in enumerate(text.splitlines(), 1):
        answers = found(entries, number)
        if MARK in line:
            wanted = marked(line)
            assert answers, f"line {number}: no action"
            if "" in wanted:
                assert all(answer == wanted[""] for answer in answers.values()), (number, line, answers)
            else:
                assert answers == wanted, (number, line)
        else:  # what is not marked is fine, or not told
            said = {answer for group in answers.values() for answer in group}
            assert said <= {"proved", "unknown"}, (number, line, said)
