"""Who sees a contract, and who does not."""

from __future__ import annotations

import re
from collections.abc import Sequence

from canton_mcp.daml import tree
from canton_mcp.daml.intent.clauses import LIST, MODAL, NOT, all_of, parties_of
from canton_mcp.daml.intent.code import Code, party_names
from canton_mcp.daml.intent.model import Answer, Status

__all__ = ["sees"]

_SEES = re.compile(
    rf"\b{LIST} (?P<not>{NOT} )?(?:{MODAL} )?(?:(?:be able to|also|always|only|at least) )*(?:see|view"
    rf"|observe|read|look at|inspect|monitor|audit)s?\b"
    rf"|\b(?P<hidden>not )?(?:visible|shown|disclosed) (?:only )?to {LIST}(?:[,.]|$|\s(?:and|when|but"
    rf"|only)\b)"
    rf"|\b{LIST} (?:is|are|must be|shall be|should be) (?:an? )?observers?\b",
    re.I,
)
_EXCLUSIVE = re.compile(
    r"\bonly\b|\b(?:nobody|no one|no-one|no other party|no party)(?: else)?(?: but| except| other than| besides|\b)",
    re.I,
)


def sees(clause: str, code: Code) -> list[Answer] | None:
    found = _SEES.search(clause)
    if found is None:
        return None
    who = found.group(1) or found.group(4) or found.group(5)
    known, unknown = parties_of(who or "", code)
    denied = (
        bool(found.group("not") or found.group("hidden"))
        or re.search(rf"\b{NOT} (?:be )?(?:see|seen|visible|shown)", clause, re.I) is not None
    )
    if not known:
        if denied or not unknown:
            return None
        return [("not_found", None, f"no party is named like '{all_of(unknown)}'")]
    templates = code.template(clause) or code.module.templates
    if not denied and _EXCLUSIVE.search(clause):
        return [_seen_by_others(known, templates, code)]
    answers: list[Answer] = []
    for name in known:
        seeing = [
            template
            for template in templates
            if name in (*code.signed[template.name], *code.seen[template.name])
        ]
        watched = [
            entry for entry in code.choices if name in party_names(entry.template, entry.choice.observers)[0]
        ]
        if denied:
            status: Status = "not_met" if seeing else "met"
            detail = (
                f"{name} is a stakeholder of {all_of(template.name for template in seeing)}"
                if seeing
                else f"{name} is no stakeholder of {all_of(template.name for template in templates)}"
            )
            answers.append((status, seeing[0].place.line if seeing else None, detail))
        elif seeing:
            how = "signatory" if name in code.signed[seeing[0].name] else "observer"
            answers.append(
                (
                    "met",
                    seeing[0].place.line,
                    f"{name} is {how} of {all_of(template.name for template in seeing)}",
                )
            )
        elif watched:
            answers.append(("met", watched[0].line, f"{name} observes {watched[0].name}"))
        else:
            line = templates[0].place.line if templates else None
            answers.append(
                (
                    "not_met",
                    line,
                    f"{name} is neither signatory nor observer of {all_of(template.name for template in templates)}",
                )
            )
    return answers


def _seen_by_others(known: list[str], templates: Sequence[tree.Template], code: Code) -> Answer:
    """'Only a and b may see it': nobody else is a stakeholder."""
    for template in templates:
        others = [
            name for name in (*code.signed[template.name], *code.seen[template.name]) if name not in known
        ]
        if others:
            return (
                "not_met",
                template.place.line,
                f"{all_of(others)} sees {template.name} as well, as a stakeholder",
            )
    names = all_of(template.name for template in templates)
    return (
        "met",
        templates[0].place.line if templates else None,
        f"{names}: no stakeholder but {all_of(known)}",
    )
