"""Rules over contracts in use: used twice, used up, not compared with what was agreed, lost in a rollback."""

from __future__ import annotations

import re
from collections.abc import Iterator

from canton_mcp.daml import tree
from canton_mcp.daml.actions import Action
from canton_mcp.daml.findings.model import Finding
from canton_mcp.daml.findings.view import Chosen, Code, finding, listed, name_of, named, walk

__all__ = ["contracts"]

_ONCE = re.compile(r"(?:^|_)(accept|mint|spend|redeem|claim|settle|payout)", re.I)
_MAKING = frozenset({"create", "exercise", "createAndExercise", "exerciseByKey"})


def contracts(code: Code) -> Iterator[Finding]:
    """Findings about contracts that choices act on."""
    for chosen in code.choices:
        if chosen.entry is None:
            continue
        yield from _after_consumption(code, chosen)
        yield from _repeatable(chosen)
        yield from _not_compared(chosen)
        yield from _before_try(chosen)


def _after_consumption(code: Code, chosen: Chosen) -> Iterator[Finding]:
    if not chosen.consuming:
        return
    for action in chosen.actions:
        if action.own_contract and action.module == code.module.name:
            yield finding(
                "self-after-consumption",
                action.place,
                chosen.owner,
                chosen.choice.name,
                f"{action.kind} of self in a consuming choice: the contract is archived before the body runs, so this "
                "fails with CONTRACT_NOT_ACTIVE",
                "use 'this' for its data, remove the line, or make the choice nonconsuming",
                paste=f"nonconsuming choice {chosen.choice.name}" if action.kind != "archive" else "",
            )


def _repeatable(chosen: Chosen) -> Iterator[Finding]:
    choice = chosen.choice
    if choice.consumption != "nonconsuming" or chosen.owned is None or not chosen.followed:
        return
    if any(action.kind == "archive" for action in chosen.actions) or any(
        action.own_contract for action in chosen.actions if action.kind in ("archive", "exercise")
    ):
        return
    creates = [action for action in chosen.actions if action.kind == "create"]
    copies = [action for action in creates if action.updates_this]
    outside = chosen.controllers - chosen.owned.signed
    spends = (
        bool(_ONCE.search(choice.name))
        and bool(outside)
        and not any(
            action.kind in ("exercise", "exerciseByKey", "lookupByKey", "fetchByKey")
            for action in chosen.actions
        )
    )
    contract_given = any("ContractId" in field.type.text for field in choice.parameters)
    once = [action for action in creates if spends and not contract_given]
    if not copies and not once:
        return
    what = "a changed copy of its contract" if copies else f"{(once[0].template or 'a contract')}"
    yield finding(
        "nonconsuming-double-use",
        choice.place,
        chosen.owner,
        choice.name,
        f"nonconsuming choice {choice.name} creates {what} and leaves the old contract active, so "
        f"{listed(sorted(chosen.controllers))} can repeat it without end",
        "remove 'nonconsuming', unless repeating it is the point",
        paste=f"choice {choice.name}",
    )


def _not_compared(chosen: Chosen) -> Iterator[Finding]:
    """Contract ids that the caller picks and that nothing ties to this contract or to other arguments."""
    if not chosen.followed or chosen.owned is None:
        return
    mine = {field.name for field in chosen.choice.parameters if field.type.head == "ContractId"}
    given = [action for action in chosen.actions if action.contract in mine and not action.via]
    if not given:
        return
    done: set[str] = set()
    for action in given:
        contract = action.contract
        if contract in done:
            continue
        done.add(contract)
        same = [other for other in given if other.contract == contract]
        if any(_tied(chosen, other) for other in same):
            continue
        fetched = next((other for other in same if other.kind in ("fetch", "fetchFromInterface")), None)
        if fetched is not None:
            yield from _fetched(chosen, fetched)
        else:
            yield from _exercised(chosen, action)


def _tied(chosen: Chosen, action: Action) -> bool:
    """Whether its parties are proved to be parties at hand, or something else says which contract it is."""
    return (
        action.verdict.status == "proved"
        and action.kind in ("fetch", "archive")
        and any(party.origin in ("field", "argument") for party in action.required)
    )


def _fetched(chosen: Chosen, action: Action) -> Iterator[Finding]:
    contract = action.contract
    bound = _bound_to(chosen, contract)
    if bound is None or bound.kind != "name":
        return  # taken apart in a pattern, or not bound here: what happens to its parts is not followed
    used = [node for node in chosen.nodes if _takes(node, bound.name)]
    passed = any(
        isinstance(node, tree.Application)
        and any(
            isinstance(argument, tree.Name) and argument.name == bound.name for argument in node.arguments
        )
        for node in chosen.nodes
    )
    if not used or passed or bound.name in chosen.tested or contract in chosen.tested:
        return
    assert chosen.entry is not None
    if any(
        path.partition(".")[0] == bound.name or path.endswith(f" of {contract}")
        for test in chosen.entry.tests
        for path in test.paths
    ):
        return
    fields = sorted({node.field for node in used if isinstance(node, tree.FieldAccess)})
    if not any(other.kind in _MAKING for other in chosen.actions):
        return
    mine = sorted(chosen.owned.signed) if chosen.owned is not None else []
    what = f"{bound.name}.{fields[0]}"
    yield finding(
        "contract-not-compared",
        action.place,
        chosen.owner,
        chosen.choice.name,
        f"{listed(sorted(chosen.controllers))} picks {contract}, and {what} is used without a test that ties {bound.name} "
        "to this contract: any other contract of that type will do",
        f"compare the parties (or the terms) of {bound.name} with what was agreed",
        paste=f'assertMsg "{contract} belongs here" ({bound.name}.<party> == {mine[0] if mine else "<party>"})',
    )


def _takes(node: tree.Expression, name: str) -> bool:
    return (
        isinstance(node, tree.FieldAccess) and isinstance(node.value, tree.Name) and node.value.name == name
    )


def _bound_to(chosen: Chosen, contract: str) -> tree.Pattern | None:
    """What ``p <- fetch contract`` binds."""
    for node in chosen.nodes:
        if not isinstance(node, tree.Do):
            continue
        for statement in node.statements:
            if isinstance(statement, tree.Bind) and isinstance(statement.value, tree.Application):
                call = statement.value
                arguments = [name_of(argument) for argument in call.arguments]
                if name_of(call.function) == "fetch" and contract in arguments:
                    return statement.pattern
    return None


def _exercised(chosen: Chosen, action: Action) -> Iterator[Finding]:
    """Exercised unseen, while the choice gives something for it."""
    if action.kind != "exercise" or action.verdict.status == "proved" or action.contract in chosen.tested:
        return
    gives = [
        other
        for other in chosen.actions
        if other.kind == "create" and not other.via and other.template != chosen.owner
    ]
    if not chosen.consuming or not gives or action.branch:
        return
    target = action.template or "its template"
    yield finding(
        "contract-not-checked",
        action.place,
        chosen.owner,
        chosen.choice.name,
        f"{listed(sorted(chosen.controllers))} picks {action.contract}, and {chosen.choice.name} creates "
        f"{gives[0].template or gives[0].contract} for it without a look at whose {target} it is and what it is worth",
        f"fetch {action.contract} and compare its parties and amount before the exercise",
        paste=f'given <- fetch {action.contract}\nassertMsg "{action.contract} is what was agreed" (given.<field> == <field>)',
    )


def _before_try(chosen: Chosen) -> Iterator[Finding]:
    """An archive outside of a try, and what replaces it inside: an exception undoes only the second."""
    for node in chosen.nodes:
        if not isinstance(node, tree.Do):
            continue
        archived: tree.Statement | None = None
        for statement in node.statements:
            if isinstance(statement, tree.LetStatement):
                continue
            value = statement.value
            if isinstance(value, tree.Try):
                if (
                    archived is not None
                    and _makes(value.body)
                    and not any(
                        _makes(arm.body) or "throw" in set(named(arm.body)) or "abort" in set(named(arm.body))
                        for arm in value.alternatives
                    )
                ):
                    yield finding(
                        "archive-before-try",
                        value.place,
                        chosen.owner,
                        chosen.choice.name,
                        f"line {archived.place.line} archives before this 'try': when the body fails, its create is "
                        "undone and the archive is not, so the contract is lost",
                        "move the archive into the 'try', or create the contract again in the 'catch'",
                    )
            elif _is_archive(value):
                archived = statement


def _is_archive(value: tree.Expression) -> bool:
    if not isinstance(value, tree.Application):
        return False
    called = name_of(value.function)
    last = value.arguments[-1] if value.arguments else None
    return called == "archive" or (
        called == "exercise" and isinstance(last, tree.Name) and last.name == "Archive"
    )


def _makes(expression: tree.Expression) -> bool:
    return any(
        isinstance(node, tree.Application) and name_of(node.function) in _MAKING for node in walk(expression)
    )
