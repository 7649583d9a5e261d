"""Rules over declarations: what does not compile, or fails at every create."""

from __future__ import annotations

import re
from collections.abc import Iterator

from canton_mcp.daml import tree
from canton_mcp.daml.era import era
from canton_mcp.daml.findings.model import Finding
from canton_mcp.daml.findings.view import Chosen, Code, Owned, finding, listed, name_of
from canton_mcp.daml.scope import Kind

__all__ = ["declarations"]

_MAX_DEPTH = 3


def declarations(code: Code) -> Iterator[Finding]:
    """Missing and impossible clauses, undeclared parties, keys, names that are taken."""
    for owned in code.templates:
        yield from _signatories(code, owned)
        yield from _key(code, owned)
        template = owned.template
        for clause in (*template.signatories, *template.observers):
            yield from _clause(code, owned, None, clause)
    for chosen in code.choices:
        yield from _controllers(code, chosen)
        yield from _parameters(chosen)
    yield from _duplicates(code)
    yield from _key_version(code)


def _signatories(code: Code, owned: Owned) -> Iterator[Finding]:
    template = owned.template
    if not template.name or code.troubled(template.extent):
        return
    parties = [field.name for field in template.fields if code.party(field.type)]
    if not template.signatories:
        yield finding(
            "no-signatory",
            template.place,
            template.name,
            None,
            f"template {template.name} has no signatory, so it does not compile",
            "name the parties that the contract binds",
            paste=f"signatory {parties[0] if parties else '<party>'}",
        )
        return
    items = [item for clause in template.signatories for item in clause.items]
    if items and all(isinstance(item, tree.ListOf) and not item.items for item in items):
        yield finding(
            "no-signatory",
            template.signatories[0].place,
            template.name,
            None,
            "the list of signatories is empty, so every create fails with 'has no signatories'",
            "name at least one party that the contract binds",
            paste=f"signatory {parties[0] if parties else '<party>'}",
        )


def _clause(code: Code, owned: Owned, chosen: Chosen | None, clause: tree.Clause) -> Iterator[Finding]:
    """Items that name something undeclared, or something that is no party."""
    template = owned.template
    choice = chosen.choice if chosen is not None else None
    fields = {**owned.fields, **(chosen.parameters if chosen is not None else {})}
    if code.troubled(template.extent):
        return
    told: set[str] = set()
    for item in clause.items:
        name = name_of(item)
        if name and name in told:
            continue
        told.add(name)
        root = name.partition(".")[0]
        if isinstance(item, tree.Literal_):
            yield finding(
                "not-a-party",
                item.place,
                template.name,
                choice.name if choice else None,
                f"{code.text(item.place)} is no party: parties come from fields of type Party",
                "declare a field of type Party and name it here",
            )
        elif not name or root in ("this", "self", "arg"):
            continue
        elif root in fields:
            field = fields[root]
            if root == name and code.party(field.type) is False:
                yield finding(
                    "not-a-party",
                    item.place,
                    template.name,
                    choice.name if choice else None,
                    f"{name} has type {field.type.text}, but parties are needed here",
                    f"give {name} the type Party, or name a field that has it",
                    paste=f"{name} : Party",
                )
        elif root == name and template.name and not _elsewhere(code, owned, choice, name):
            yield finding(
                "unknown-party",
                item.place,
                template.name,
                choice.name if choice else None,
                f"{name} is neither a field of {template.name}"
                + (" nor an argument of the choice" if choice else ""),
                f"add it to the fields of {template.name}"
                + (" or to the arguments of the choice" if choice else ""),
                paste=f"{name} : Party",
            )


def _elsewhere(code: Code, owned: Owned, choice: tree.Choice | None, name: str) -> bool:
    bindings = (*owned.template.bindings, *(choice.bindings if choice else ()))
    return (
        code.foreign
        or name in code.scope.functions
        or name in code.scope.methods
        or any(function.name == name for function in code.module.functions)
        or any(name in _bound(binding.pattern) for binding in bindings)
        or _in_record_pattern(owned)
    )


def _in_record_pattern(owned: Owned) -> bool:
    """Whether ``let T {..} = x`` may bring names that are not seen here."""
    return any(binding.pattern.rest for binding in owned.template.bindings)


def _bound(pattern: tree.Pattern) -> Iterator[str]:
    waiting = [pattern]
    while waiting:
        one = waiting.pop()
        if one.name:
            yield one.name
        waiting += [*one.parts, *(part for _, part in one.fields)]
        yield from (name for name, _ in one.fields)


def _controllers(code: Code, chosen: Chosen) -> Iterator[Finding]:
    choice = chosen.choice
    owned = chosen.owned
    if not choice.controllers:
        if owned is None and chosen.interface is None and not _says_choice(code, choice):
            return  # pasted out of a 'controller .. can' group, which names the controller above it
        if not code.troubled(choice.extent) and (owned is None or not code.troubled(owned.template.extent)):
            signed = sorted(owned.signed)[:1] if owned is not None else []
            yield finding(
                "no-controller",
                choice.place,
                chosen.owner,
                choice.name,
                f"choice {choice.name} has no controller, so it does not compile",
                "name who may exercise it, before 'do'",
                paste=f"controller {signed[0] if signed else '<party>'}",
            )
        return
    if owned is not None:
        for clause in (*choice.controllers, *choice.observers):
            yield from _clause(code, owned, chosen, clause)


def _says_choice(code: Code, choice: tree.Choice) -> bool:
    start = choice.extent.start if choice.extent is not None else choice.place.start
    return "choice" in code.module.text[start : choice.place.start].split()


def _parameters(chosen: Chosen) -> Iterator[Finding]:
    if chosen.owned is None:
        return
    for parameter in chosen.choice.parameters:
        if parameter.name in chosen.owned.fields:
            better = f"new{parameter.name[:1].upper()}{parameter.name[1:]}"
            yield finding(
                "parameter-repeats-field",
                parameter.place,
                chosen.owner,
                chosen.choice.name,
                f"argument {parameter.name} hides the field {parameter.name} of {chosen.owner}; "
                "newer compilers refuse it",
                "rename the argument",
                paste=f"{better} : {parameter.type.text}",
            )


def _key(code: Code, owned: Owned) -> Iterator[Finding]:
    template = owned.template
    if code.troubled(template.extent) or not template.name:
        return
    if template.key is None:
        if template.maintainers:
            yield finding(
                "maintainer-without-key",
                template.maintainers[0].place,
                template.name,
                None,
                "there is a maintainer but no key, so the template does not compile",
                "add 'key <expression> : <type>', or remove the maintainer",
            )
        return
    if not template.maintainers:
        yield finding(
            "key-without-maintainer",
            template.key.place,
            template.name,
            None,
            "the key has no maintainer, so the template does not compile",
            "name the part of the key that is a signatory",
            paste="maintainer key"
            if template.key.type and template.key.type.head == "Party"
            else "maintainer key._1",
        )
        return
    outside = [
        item
        for clause in template.maintainers
        for item in clause.items
        if (name := name_of(item)) and name.partition(".")[0] in owned.fields and not name.startswith("key")
    ]
    for item in outside:
        yield finding(
            "maintainer-not-in-key",
            item.place,
            template.name,
            None,
            f"maintainer {code.text(item.place)} is a field; maintainers are computed from the key alone",
            f"make {code.text(item.place)} a part of the key and take it from there, for example 'maintainer key._1'",
        )
    verdict = owned.parties.maintained
    if not outside and verdict is not None and verdict.status == "fails_unless" and verdict.definite:
        missing = listed(verdict.missing)
        yield finding(
            "maintainer-not-signatory",
            template.maintainers[0].place,
            template.name,
            None,
            f"maintainer {missing} is no signatory, so every create fails",
            f"add {missing} to the signatories, or choose a maintainer among {listed(sorted(owned.signed)) or 'them'}",
            paste=f"signatory {', '.join(party.path for party in verdict.missing)}",
        )
    if template.key.type is not None and _holds_contract_id(Kind(template.key.type, code.scope)):
        yield finding(
            "contract-id-in-key",
            template.key.place,
            template.name,
            None,
            f"the key of {template.name} has the type {template.key.type.text}: a contract id in a key makes every "
            "create fail (CONTRACT_ID_IN_CONTRACT_KEY)",
            "key by parties and a text or number of your own instead",
        )


def _holds_contract_id(kind: Kind, depth: int = _MAX_DEPTH) -> bool:
    """Whether a contract id is part of a type, also inside of records of this text."""
    if re.search(r"\bContractId\b", kind.type.text):
        return True
    if not depth:
        return False
    declared = kind.scope.data(kind.name)
    inner = [field.type for _, fields in declared[0].constructors for field in fields] if declared else []
    if declared and declared[0].synonym is not None:
        inner.append(declared[0].synonym)
    home = declared[1] if declared else kind.scope
    return any(_holds_contract_id(Kind(part, home), depth - 1) for part in (*inner, *kind.type.arguments))


def _key_version(code: Code) -> Iterator[Finding]:
    """Keys in code that other parts date to a version without keys, or without unique ones."""
    found = era(code.module)
    if found is None or found.keys == "unique":
        return
    for owned in code.templates:
        key = owned.template.key
        if key is not None:
            what = (
                "keys are not unique from 3.5 on, so two active contracts may have the same key"
                if found.keys == "several"
                else "keys are missing (3.3, 3.4) or not unique (from 3.5 on)"
            )
            yield finding(
                "keys-of-another-version",
                key.place,
                owned.template.name,
                None,
                f"{found.because} dates this code to {found.name}, where {what}",
                "keep the contract id, or a registry contract that one party guards, instead of relying on the key",
            )


def _duplicates(code: Code) -> Iterator[Finding]:
    if code.preprocessed:
        return
    seen: set[str] = set()
    for owned in code.templates:
        template = owned.template
        if template.name and template.name in seen:
            yield finding(
                "duplicate-name",
                template.place,
                template.name,
                None,
                f"template {template.name} is declared twice",
                "rename one of them",
            )
        seen.add(template.name)
    homes: dict[str, str] = {}
    for chosen in code.choices:
        name = chosen.choice.name
        home = chosen.owner or "this text"
        if name in homes and name != "Archive" and (chosen.owner or len(code.choices) == 1):
            yield finding(
                "duplicate-name",
                chosen.choice.place,
                chosen.owner,
                name,
                f"choice {name} is declared in {homes[name]} already; choice names are unique in a module",
                f"rename it, for example to {chosen.owner}_{name}",
            )
        homes.setdefault(name, home)
