"""What stays as it is, and who cannot change it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from canton_mcp.daml import tree
from canton_mcp.daml.guards import creates, inside, said
from canton_mcp.daml.intent.clauses import LIST, MODAL, NOT, WHO, all_of, jointly, one_of, parties_of
from canton_mcp.daml.intent.code import LITTLE, Code, free_actor, guarded_actor
from canton_mcp.daml.intent.model import Answer
from canton_mcp.daml.words import alike, name_stems, stem, stems, words

__all__ = ["CHANGING", "fixed"]

_FIXED = re.compile(
    r"\b(?:the |an? )?([\w' ,]+?) (?:cannot|can't|can not|may not|must not|must never|can never|may never"
    r"|shall not|should not|should never|will not|never)"
    r" (?:be |get )?(?:chang|modif|edit|alter|amend|updat|adjust|tamper|overwrit|manipulat)\w*"
    r"|\b(?:the |an? )?([\w' ,]+?) (?:is|are|stays?|remains?|must be|must stay|must remain|has to stay"
    r"|shall be|should be|stay) "
    r"(?:fixed|immutable|constant|unchanged|unchangeable|final|the same|read-only|unaltered|preserved)\b"
    r"|\b(?:nobody|no one|no party|neither \w+) (?:can|may) (?:chang|modif|edit|alter|amend|updat)\w* (?:the "
    r"|an? )?([\w' ]+)",
    re.I,
)
_CHANGES_BY = re.compile(
    rf"\b(?:{WHO} {NOT}|neither {LIST} {MODAL}) (?:change|modify|edit|alter|amend|update|adjust|overwrite|manipulate)"
    rf" (?:the |an? |its |any )?([\w' ]+)",
    re.I,
)
_ANY_DATA = stems("anything something data contract contracts state")
CHANGING = stems("change modify edit alter amend update")


def fixed(clause: str, code: Code) -> list[Answer] | None:
    active = _CHANGES_BY.search(clause)
    if active is not None:
        who = parties_of(active.group(1) or active.group(2), code)[0]
        if who:
            return _changed_by(who, active.group(3), code)
    found = _FIXED.search(clause)
    if found is None:
        return None
    what = next(group for group in found.groups() if group)
    if re.search(r"\bwithout\b|\bunless\b|\bexcept\b", clause, re.I):
        return None
    spoken = [word for word in words(what) if word.lower() not in LITTLE]
    wanted = [
        (template, entry)
        for template in code.module.templates
        for entry in template.fields
        if any(alike([word], entry.name) >= 2 for word in spoken[-4:]) or alike(spoken[-3:], entry.name) >= 2
    ]
    if not wanted:
        templates = code.template(what)
        changes = [change for template in templates for change in _changes(template)]
        if not templates:
            return [("not_found", None, f"no field is named like '{' '.join(spoken) or what}'")]
        if changes:
            name, line, choice = changes[0]
            return [
                ("not_met", line, f"{templates[0].name}.{choice} re-creates the contract with another {name}")
            ]
        return [
            (
                "met",
                templates[0].place.line,
                f"no choice of {templates[0].name} re-creates it with other data",
            )
        ]
    for template, entry in wanted:
        for name, line, choice in _changes(template):
            if name == entry.name:
                return [
                    ("not_met", line, f"{template.name}.{choice} re-creates the contract with another {name}")
                ]
    names = all_of(f"{template.name}.{entry.name}" for template, entry in wanted)
    return [
        ("met", wanted[0][1].place.line, f"no choice re-creates the contract with another value of {names}")
    ]


def _changed_by(known: list[str], what: str, code: Code) -> list[Answer]:
    """'The merchant cannot change the fee': whether a choice that changes it is controlled by those."""
    spoken = [word for word in words(what) if word.lower() not in LITTLE][-3:]
    heard = {stem(word) for word in spoken}
    wanted = [
        (template, entry.name)
        for template in code.module.templates
        for entry in template.fields
        if spoken and (alike(spoken, entry.name) >= 2 or name_stems(entry.name)[0] in heard)
    ]
    if not wanted and heard <= _ANY_DATA:
        return [_changes_nothing(known, code)]
    if not wanted:
        return [("not_found", None, f"no field is named like '{' '.join(spoken) or what.strip()}'")]
    others: list[tuple[str, int]] = []
    for entry in code.choices:
        for name, line, choice in _changes(entry.template):
            if choice != entry.choice.name or (entry.template, name) not in wanted:
                continue
            free = free_actor(entry)
            if set(known) & set(entry.controllers):
                return [
                    (
                        "not_met",
                        line,
                        f"{entry.name} changes {name} and is controlled by {jointly(entry.shown)}",
                    )
                ]
            if free is not None and guarded_actor(entry, code) is None:
                return [
                    ("not_met", line, f"{entry.name} changes {name} and is controlled by its argument {free}")
                ]
            others.append(
                (f"{entry.name}, which changes {name}, is controlled by {jointly(entry.shown)}", line)
            )
    if others:
        return [("met", others[0][1], others[0][0])]
    fields = all_of(f"{template.name}.{name}" for template, name in wanted)
    return [("met", None, f"no choice re-creates the contract with another value of {fields}")]


def _changes_nothing(known: list[str], code: Code) -> Answer:
    """'The auditor cannot change anything': it controls no choice that archives or creates."""
    for entry in code.choices:
        if entry.choice.consumption == "nonconsuming" and not any(True for _ in creates(entry.choice)):
            continue
        guard = guarded_actor(entry, code)
        free = free_actor(entry)
        if set(known) & set(guard[0] if guard else entry.controllers):
            return "not_met", entry.line, f"{entry.name} is controlled by {jointly(entry.shown)}"
        if free is not None and guard is None:
            return (
                "not_met",
                entry.line,
                f"{entry.name} is controlled by its argument {free}, whoever that is",
            )
    return "met", None, f"{one_of(known)} controls no choice that archives or creates a contract"


def _changes(template: tree.Template) -> Iterator[tuple[str, int, str]]:
    """(field, line, choice) of what a template's choices change when they re-create the contract."""
    own = {entry.name for entry in template.fields}
    for choice in template.choices:
        arguments = {parameter.name for parameter in choice.parameters}
        for create in creates(choice):
            for record in inside(create.arguments):
                if not isinstance(record, tree.Record):
                    continue
                subject = said(record.subject)
                if subject not in ("this", template.name):
                    continue
                for value in record.fields:
                    name = value.path[0] if value.path else ""
                    same = said(value.value) == name and name not in arguments
                    if name in own and not same:
                        yield name, value.place.line, choice.name
                break
