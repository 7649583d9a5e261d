"""Times: deadlines, maturities, what is possible before and after them."""

from __future__ import annotations

import re

from canton_mcp.daml.guards import CLOCK, Guard
from canton_mcp.daml.intent.clauses import MODAL
from canton_mcp.daml.intent.code import Code
from canton_mcp.daml.intent.model import Answer
from canton_mcp.daml.words import name_stems, same_meaning, stem, stems, words

__all__ = ["TIMED", "timed"]

TIMED = re.compile(
    r"\bexpir\w+|\bdeadlines?\b|\bbefore (?:the )?\w+ (?:closes|ends|starts|begins|expires|matures"
    r"|is over)\b|\buntil\b|\bwithin (?:\d+|an?|one|two|three|the)\b|\b\d+ (?:hours?|days?|weeks?|months?"
    r"|minutes?|years?)\b"
    r"|\bcut-?offs?\b|\bmaturit\w+|\bmatures?\b|\bdue date\b|\bno later than\b|\bbefore (?:the )?(?:\w+ )?(?:date|time"
    r"|deadline|end|expir\w+|maturity|cliff|close|closing)\b"
    r"|\bafter (?:the )?(?:\w+ )?(?:date|time|deadline|end|expir\w+|maturity|cliff|close|closing|period"
    r"|lock)\b|\btime-?outs?\b|\btime limit\b"
    r"|\b(?:vesting|lock-?up|waiting|cooling|grace|notice) (?:period|time|date)\b|\blapses?\b|\boverdue\b",
    re.I,
)
_NOT_AFTER = re.compile(
    r"\b(?:no|not|never|cannot|nobody|no one|none)\b[^.]*\bafter\b|n't\b[^.]*\bafter\b"
    r"|\b(?:stop|end|cease|halt|close|lapse)s?\b[^.]*\bafter\b"
    r"|\bafter\b[^.]*\b(?:impossible|refused|rejected|forbidden|invalid)\b",
    re.I,
)
_AFTERWARDS = re.compile(
    r"\bafter\b|\bonce\b[^.]*\b(?:passed|over|reached|expired)\b|\bnot (?:\w+ ){0,4}before\b|\b(?:cannot"
    r"|can't|may not|must not|not|never|no one|nobody|locked)\b[^.]*"
    r"\b(?:until|before|till)\b|\bonly (?:from|at|on|when)\b|\bat maturity\b|\bwhen (?:it "
    r"|the \w+ )?(?:matures|expires|expired|has passed)\b|\boverdue\b",
    re.I,
)
_ONLY_AFTER = re.compile(r"\bonly after\b", re.I)
_MOVED = re.compile(
    r"\b(?:chang|modif|alter|amend|extend|postpon|updat)\w* (?:the |its |any )?(?:\w+ )?(?:date|deadline|maturity|expiry)\b"
    r"|\b(?:date|deadline|maturity|expiry) (?:\w+ ){1,3}(?:changed|modified|altered|amended|extended|postponed|updated)\b",
    re.I,
)
"""Where a time is what changes, and not when something happens."""
_ENDLESS = re.compile(r"\b(?:never|not|n't|no) (?:ever )?(?:expir\w+|laps\w+|deadlines?|time limit)\b", re.I)
_ACT = re.compile(rf"\b{MODAL} (?:only )?(?:be )?(?:only )?(\w+)", re.I)
_ENDING = stems("expire stop end cease halt close lapse")


def timed(clause: str, code: Code) -> list[Answer] | None:
    if (
        TIMED.search(clause) is None
        or _MOVED.search(clause) is not None
        or _ENDLESS.search(clause) is not None
    ):
        return None
    tests = [guard for guard in code.guards if CLOCK in (guard.left, guard.right)]
    fields = [
        (entry.name, entry.place.line)
        for template in code.module.templates
        for entry in template.fields
        if entry.type.head in ("Time", "Date")
    ]
    if not tests:
        if fields:
            return [("not_met", fields[0][1], f"no choice compares {fields[0][0]} with the ledger time")]
        return [("not_found", None, "no choice tests the ledger time, and no field is a time")]
    after = _AFTERWARDS.search(clause) is not None and (
        _NOT_AFTER.search(clause) is None or _ONLY_AFTER.search(clause) is not None
    )
    spoken = words(clause)
    asked = _ACT.search(clause)
    act = asked.group(1) if asked else None
    topic = {
        (entry.template.name, entry.choice.name)
        for word in spoken
        for entry in code.doing(word)
        if stem(word) not in _ENDING or word == act
    }
    near = [guard for guard in tests if (guard.template, guard.choice) in topic]
    if not near:
        told = {template.name for template in code.template(clause)}
        near = [guard for guard in tests if guard.template in told]
    if topic and not near and not any(_mentions(guard, spoken) for guard in tests):
        template, choice = sorted(topic)[0]
        line = next(
            entry.line
            for entry in code.choices
            if (entry.template.name, entry.choice.name) == (template, choice)
        )
        return [("not_met", line, f"{template}.{choice} does not test the ledger time")]
    relevant = near or [guard for guard in tests if _mentions(guard, spoken)] or tests
    wanted = (">", ">=") if after else ("<", "<=")
    right = next((guard for guard in relevant if _from_clock(guard) in wanted), None)
    if right is not None:
        return [("met", right.line, f"{right.template}.{right.choice or 'ensure'} tests {right.text}")]
    wrong = relevant[0]
    if near or len(relevant) == 1:
        way = "only after that time" if _from_clock(wrong) in (">", ">=") else "only before that time"
        return [
            (
                "not_met",
                wrong.line,
                f"{wrong.template}.{wrong.choice} tests {wrong.text}, which allows it {way}",
            )
        ]
    return [
        ("not_found", wrong.line, f"the ledger time is tested ('{wrong.text}'), but not in this direction")
    ]


def _from_clock(guard: Guard) -> str:
    if guard.left == CLOCK:
        return guard.operator
    return {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(guard.operator, guard.operator)


def _mentions(guard: Guard, spoken: list[str]) -> bool:
    other = guard.right if guard.left == CLOCK else guard.left
    heard = {stem(word) for word in spoken}
    return bool(other) and any(
        part in heard or any(same_meaning(part, word) for word in heard)
        for part in name_stems(other)
        if len(part) > 2
    )
