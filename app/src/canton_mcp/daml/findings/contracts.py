"""Rules over contracts in use: used twice, used up, not compared with what was agreed, lost in a rollback."""

from __future__ import annotations

import re
from collections.abc import Iterator

from canton_mcp.daml import tree
from canton_mcp.daml.actions import Action
from canton_mcp.daml.findings.model import Finding
from canton_mcp.daml.findings.view import OFFERING, Chosen, Code, Owned, finding, listed, name_of, named, walk

__all__ = ["contracts"]

_ONCE = re.compile(r"(?:^|_)(accept|mint|spend|redeem|claim|settle|payout)", re.I)
_COMPARING = frozenset({"==", "/=", "===", "=/=", "<", "<=", ">", ">="})
_MEMBERSHIP = frozenset({"elem", "notElem", "member", "notMember", "isSubsetOf", "assertEq"})
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
    agreed = (
        [] if copies or once else [action for action in creates if _concludes(chosen, chosen.owned, action)]
    )
    if not copies and not once and not agreed:
        return
    what = "a changed copy of its contract" if copies else ((once or agreed)[0].template or "a contract")
    yield finding(
        "nonconsuming-double-use",
        choice.place,
        chosen.owner,
        choice.name,
        f"nonconsuming choice {choice.name} creates {what} and leaves the old contract active, so "
        f"{listed(sorted(chosen.controllers))} can repeat it without end",
        "remove 'nonconsuming', unless repeating it is the point",
        severity="medium" if agreed else None,
        paste="" if choice.in_controller_can else f"choice {choice.name}",
    )


def _concludes(chosen: Chosen, owned: Owned, action: Action) -> bool:
    """Whether it makes the agreement that its contract offers: nothing is chosen, and the actor's signature is added."""
    made = {party.path for party in action.required}
    return (
        OFFERING.search(owned.template.name) is not None
        and not chosen.choice.parameters
        and bool(owned.signed)
        and not chosen.controllers & owned.signed
        and made == owned.signed | chosen.controllers
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
            yield from _fetched(chosen, fetched, same)
        else:
            yield from _exercised(chosen, action)


def _tied(chosen: Chosen, action: Action) -> bool:
    """Whether its parties are proved to be parties at hand, or something else says which contract it is."""
    return (
        action.verdict.status == "proved"
        and action.kind in ("fetch", "archive")
        and any(party.origin in ("field", "argument") for party in action.required)
    )


def _fetched(chosen: Chosen, action: Action, others: list[Action]) -> Iterator[Finding]:
    contract = action.contract
    owned = chosen.owned
    if owned is None or owned.signed <= chosen.controllers:
        return  # whoever is bound by this contract picks it
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
    if not used or passed or contract in chosen.tested or _compared(chosen, bound.name, contract):
        return
    uses = [other for other in others if other.kind in ("archive", "exercise")]
    if any(len(other.available) == 1 for other in uses):
        return  # the ledger lets only this one party's contract pass
    fields = sorted({node.field for node in used if isinstance(node, tree.FieldAccess)})
    if not any(other.kind in _MAKING for other in chosen.actions):
        return
    what = f"{bound.name}.{fields[0]}"
    yield finding(
        "contract-not-compared",
        action.place,
        chosen.owner,
        chosen.choice.name,
        f"{listed(sorted(chosen.controllers))} picks {contract}, and {what} is used without a test that ties {bound.name} "
        "to this contract: any other contract of that type will do",
        f"compare the parties (or the terms) of {bound.name} with what was agreed",
        severity="medium" if uses else None,  # then the ledger compares parties, though not the terms
        paste=f'assertMsg "{contract} belongs here" ({_comparison(owned, action, bound.name)})',
    )


def _comparison(owned: Owned, action: Action, name: str) -> str:
    """What ties a contract to this one: the parties that both have; else its first signatory to the first of this."""
    target = owned.scope.owner(action.template) if action.template else None
    template = target.template if target is not None else None
    fields = template.fields if template is not None else ()
    parties = [field.name for field in fields if field.type.head == "Party"]
    shared = [party for party in parties if party in owned.fields]
    if shared:
        return " && ".join(f"{name}.{party} == {party}" for party in shared)
    mine = next(iter(sorted(owned.signed)), "<party>")
    return f"{name}.{parties[0] if parties else '<party>'} == {mine}"


def _compared(chosen: Chosen, name: str, contract: str) -> bool:
    """Whether something of the fetched contract is set against something else than itself and constants."""
    for node in chosen.nodes:
        if isinstance(node, tree.Operation) and node.operator in _COMPARING:
            sides = (set(named(node.left)), set(named(node.right)))
        elif isinstance(node, tree.Application) and name_of(node.function).rpartition(".")[2] in _MEMBERSHIP:
            parts = [set(named(argument)) for argument in node.arguments]
            sides = (parts[0], set[str]().union(*parts[1:])) if len(parts) > 1 else (set(), set())
        else:
            continue
        if any(
            name in one and any(not part[:1].isupper() for part in other)
            for one, other in (sides, sides[::-1])
        ):
            return True
    tests = chosen.entry.tests if chosen.entry is not None else ()
    return any(
        path.partition(".")[0] == name or path.endswith(f" of {contract}")
        for test in tests
        if test.kind in ("equal", "member", "subset") and len(test.paths) > 1
        for path in test.paths
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
        paste=f"given <- fetch {action.contract}\n"
        f'assertMsg "{action.contract} is what was agreed" ({_comparison(chosen.owned, action, "given")})'
        if chosen.owned is not None
        else "",
    )


def _before_try(chosen: Chosen) -> Iterator[Finding]:
    """An archive outside of a try, and what replaces it inside: an exception undoes only the second.

    A consuming choice archives its contract before its body; what replaces that one is a copy.
    """
    for node in chosen.nodes:
        if not isinstance(node, tree.Do):
            continue
        archived: tree.Statement | None = None
        own = chosen.consuming and node is chosen.choice.body
        for statement in node.statements:
            if isinstance(statement, tree.LetStatement):
                continue
            value = statement.value
            if isinstance(value, tree.Try):
                replaces = _makes(value.body) if archived is not None else own and _copies(chosen, value.body)
                if (
                    replaces
                    and not any(_mends(arm.body) for arm in value.alternatives)
                    and not _makes_after(node, statement)
                ):
                    first = (
                        f"line {archived.place.line} archives"
                        if archived is not None
                        else f"{chosen.choice.name} is consuming, so its contract is archived"
                    )
                    yield finding(
                        "archive-before-try",
                        value.place,
                        chosen.owner,
                        chosen.choice.name,
                        f"{first} before this 'try': when the body fails, its create is undone and the archive is "
                        "not, so the contract is lost",
                        "create the contract again in the 'catch'"
                        if archived is None
                        else "move the archive into the 'try', or create the contract again in the 'catch'",
                    )
            elif _is_archive(value):
                archived = statement


def _copies(chosen: Chosen, body: tree.Expression) -> bool:
    """Whether it creates the contract of the choice again."""
    own = {"this", chosen.owner}
    return _makes(body) and any(
        (isinstance(node, tree.Record) and isinstance(node.subject, tree.Name) and node.subject.name in own)
        or (
            isinstance(node, tree.Application)
            and name_of(node.function) == "create"
            and name_of(node.arguments[-1]) == "this"
        )
        for node in walk(body)
    )


def _mends(arm: tree.Expression) -> bool:
    """Whether an arm of a catch makes something, or fails in its turn."""
    return _makes(arm) or not {"throw", "abort", "error", "assertFail", "failWithStatus"}.isdisjoint(
        named(arm)
    )


def _makes_after(block: tree.Do, statement: tree.Statement) -> bool:
    """Whether something is made behind a statement of a block, whatever became of it."""
    at = block.statements.index(statement)
    return any(
        _makes(later.value)
        for later in block.statements[at + 1 :]
        if not isinstance(later, tree.LetStatement)
    )


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
