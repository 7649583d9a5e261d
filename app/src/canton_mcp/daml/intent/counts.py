"""How often and by how many: 'only once', 'two of three'."""

from __future__ import annotations

import re
from collections.abc import Iterator

from canton_mcp.daml import tree
from canton_mcp.daml.guards import creates, inside
from canton_mcp.daml.intent.code import Code, Named
from canton_mcp.daml.intent.model import Answer
from canton_mcp.daml.words import words

__all__ = ["COUNTED", "counted", "once"]

_ONCE = re.compile(
    r"\bonly once\b|\b(?:exactly|at most) once\b|\bnot (?:\w+ ){0,4}(?:twice|more than once|again)\b"
    r"|\b(?:cannot|can't|may not|must not|never|no|nobody|no one|none)\b[^.]*"
    r"\b(?:twice|more than once|double)\b|\bone[- ]time\b|\bsingle[- ]use\b|\bdouble[- ]spen\w+"
    r"|\bis (?:consumed|used up)\b",
    re.I,
)
COUNTED = re.compile(
    r"\b(?:at least |minimum |min\. )?(\d+|two|three|four|five|six|seven) (?:out )?(?:of"
    r"|from) (?:the )?(\d+|two|three|four|five|six|seven|n)\b"
    r"|\bat least (\d+|two|three|four|five|six|seven) (?:\w+ ){0,3}(?:approv|sign|vot|endors|confirm|member"
    r"|director|must (?:\w+ )?(?:approv|sign|vot|agree|consent|endors|confirm))\w*"
    r"|\b(?:\d+|two|three|four|five) (?:approvals|signatures|votes)\b|\bmajority\b|\bquorum\b|\bthreshold\b",
    re.I,
)


def once(clause: str, code: Code) -> list[Answer] | None:
    if _ONCE.search(clause) is None:
        return None
    choices = [entry for word in words(clause) for entry in code.doing(word)]
    unique = [guard for guard in code.guards if guard.operator in ("notElem", "unique")]
    if not choices:
        if unique:
            return [("met", unique[0].line, f"{unique[0].template} tests {unique[0].text}")]
        return [("not_found", None, "no choice is named in this sentence")]
    for entry in choices:
        guard = next(
            (one for one in unique if one.choice == entry.choice.name and one.operator == "notElem"), None
        )
        if guard is not None:
            return [("met", guard.line, f"{entry.name} tests {guard.text}")]
    for entry in choices:
        if entry.choice.consumption == "nonconsuming":
            return [("not_met", entry.line, f"{entry.name} is nonconsuming, so it can be repeated")]
    again = next((entry for entry in choices if any(True for _ in _recreates(entry))), None)
    if again is not None:
        return [
            (
                "not_found",
                again.line,
                f"{again.name} archives the contract, but creates it anew, so it can be exercised on the new one",
            )
        ]
    return [("met", choices[0].line, f"{choices[0].name} is consuming: the contract is gone afterwards")]


def _recreates(entry: Named) -> Iterator[tree.Application]:
    for create in creates(entry.choice):
        for node in inside(create.arguments):
            if isinstance(node, tree.Name) and node.name in ("this", entry.template.name):
                yield create
                break


def _collections(code: Code) -> set[str]:
    return {
        field.name
        for template in code.module.templates
        for field in template.fields
        if field.type.head in ("[]", "Set", "NonEmpty", "NonEmptySet", "Map")
    }


def counted(clause: str, code: Code) -> list[Answer] | None:
    if COUNTED.search(clause) is None:
        return None
    counts = [
        guard
        for guard in code.guards
        if guard.left.startswith(("length ", "size ")) and guard.operator in (">", ">=", "==")
    ]
    counts = [guard for guard in counts if guard.right not in ("0", "")] or []
    turned = [
        guard
        for guard in code.guards
        if guard.right.startswith(("length ", "size "))
        and guard.operator in ("<", "<=", "==")
        and guard.choice
    ]
    for guard in (*counts, *turned):
        if guard.choice is None:
            continue
        what = guard.left.split(" ", 1)[-1] if guard in counts else guard.right.split(" ", 1)[-1]
        signed = any(what in names for names in code.signed.values())
        lists = _collections(code)
        holder = next(
            (
                template.name
                for template in code.module.templates
                if any(field.name == what for field in template.fields)
                and lists & set(code.signed[template.name])
            ),
            None,
        )
        note = (
            f"; {what} are signatories"
            if signed
            else f"; {what} is data, but all of {', '.join(code.signed[holder])} sign {holder}"
            if holder
            else f"; {what} is data that whoever creates the contract can fill in, not signatures"
        )
        return [
            (
                "met" if signed or holder else "not_met",
                guard.line,
                f"{guard.template}.{guard.choice} tests {guard.text}{note}",
            )
        ]
    return (
        [("not_met", code.choices[0].line, "no choice counts approvals")]
        if code.choices
        else [("not_found", None, "there is no choice")]
    )
