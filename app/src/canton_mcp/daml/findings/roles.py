"""Rules over who may do what: control, sight, ownership, offers, exits."""

from __future__ import annotations

import re
from collections.abc import Iterator

from canton_mcp.daml import tree
from canton_mcp.daml.actions import Action
from canton_mcp.daml.findings.model import Finding
from canton_mcp.daml.findings.view import (
    ACCEPTING,
    OFFERING,
    Chosen,
    Code,
    Owned,
    finding,
    listed,
    named,
    walk,
)

__all__ = ["roles"]

_TELLING = re.compile(
    r"(statement|report|notice|notification|receipt|confirmation|calculation|event|log|summary|result)$", re.I
)
_PATH = re.compile(r"[a-z_][\w']*(\.[a-z_][\w']*)*")
_OPERATOR = re.compile(
    r"(operator|admin|bank|custodian|provider|platform|exchange|registrar|agent|issuer|depository)", re.I
)
"""Who keeps books for others; anybody else may change a promise that is its own."""


def roles(code: Code) -> Iterator[Finding]:
    """Findings about controllers, observers and the parties that a contract is worth something to."""
    for owned in code.templates:
        yield from _owner_only_observes(owned)
        yield from _possibly_empty(owned)
    for chosen in code.choices:
        if chosen.owned is None or chosen.entry is None:
            continue
        yield from _possibly_uncontrolled(chosen, chosen.owned)
        yield from _invisible_controller(code, chosen, chosen.owned)
        yield from _unguarded_parameter(chosen, chosen.owned)
        yield from _proposal_without_exit(chosen, chosen.owned)
        yield from _destroyed(code, chosen, chosen.owned)
        yield from _operator_moves(chosen, chosen.owned)
        yield from _observers_from_argument(chosen, chosen.owned)
        yield from _divulged(chosen, chosen.owned)


def _owner_only_observes(owned: Owned) -> Iterator[Finding]:
    if not owned.amounts or not owned.clear or not owned.signed or owned.is_offer:
        return
    if _TELLING.search(owned.template.name):
        return  # it says something about a value, and is none itself
    for name in owned.owners:
        if name in owned.stakeholders and name not in owned.signed:
            yield finding(
                "owner-only-observes",
                owned.fields[name].place,
                owned.template.name,
                None,
                f"{name} only observes: {listed(sorted(owned.signed))} can archive the contract, "
                f"and with it the {owned.amounts[0].name}, without {name}",
                f"make {name} a signatory when the contract is an asset of {name}",
                paste=f"signatory {', '.join([*sorted(owned.signed), name])}",
            )


def _possibly_empty(owned: Owned) -> Iterator[Finding]:
    signed = owned.parties.signatories
    if len(signed) != 1 or signed[0].many is not True or signed[0].origin != "field":
        return
    path = signed[0].path
    field = owned.fields.get(path.partition(".")[0])
    if field is None or path.partition(".")[0] in owned.ensured or "NonEmpty" in field.type.text:
        return
    empty = "Set.null" if field.type.head == "Set" else "null"
    yield finding(
        "possibly-no-signatory",
        owned.template.signatories[0].place,
        owned.template.name,
        None,
        f"a create with an empty {path} fails with 'has no signatories'",
        "require at least one, or add a signatory of type Party",
        paste=f"ensure not ({empty} {path})",
    )


def _possibly_uncontrolled(chosen: Chosen, owned: Owned) -> Iterator[Finding]:
    """A choice whose controllers are all in one collection of the contract, which may be empty."""
    controllers = chosen.entry.controllers if chosen.entry is not None else ()
    if len(controllers) != 1 or controllers[0].many is not True or controllers[0].origin != "field":
        return
    path = controllers[0].path
    field = owned.fields.get(path)
    if field is None or path in owned.ensured or path in owned.signed or "NonEmpty" in field.type.text:
        return
    yield finding(
        "possibly-no-signatory",
        chosen.choice.controllers[0].place,
        chosen.owner,
        chosen.choice.name,
        f"with an empty {path} nobody can exercise {chosen.choice.name}: it fails with 'has no controllers'",
        "require at least one, or add a controller of type Party",
        severity="low",
        paste=f"ensure not ({'Set.null' if field.type.head == 'Set' else 'null'} {path})",
    )


def _invisible_controller(code: Code, chosen: Chosen, owned: Owned) -> Iterator[Finding]:
    entry = chosen.entry
    if chosen.choice.in_controller_can or owned.template.instances or not owned.clear or entry is None:
        return
    if code.troubled(owned.template.extent):
        return  # what could not be read may be an observer
    if not entry.controllers or not all(
        party.origin == "field"
        and party.many is False
        and _PATH.fullmatch(party.path)
        and party.path.partition(".")[0] in owned.fields
        and not _tied(owned, party.path)
        for party in entry.controllers
    ):
        return
    blind = sorted(chosen.controllers - owned.stakeholders)
    if not blind or chosen.controllers & owned.stakeholders:
        return
    disclosed = "disclos" in code.module.text.lower()
    yield finding(
        "controller-cannot-see",
        chosen.choice.controllers[0].place,
        chosen.owner,
        chosen.choice.name,
        f"{listed(blind)} controls {chosen.choice.name} but is neither signatory nor observer, so it cannot see the "
        "contract",
        f"make {listed(blind)} an observer, unless the contract is disclosed to it explicitly",
        severity="medium" if disclosed else None,
        paste=f"observer {', '.join(blind)}",
    )


def _tied(owned: Owned, path: str) -> bool:
    """Whether ``ensure`` may say that a party in a record is one of the stakeholders: it names it, or judges the whole."""
    head, _, rest = path.partition(".")
    ensure = owned.template.ensure
    if not rest or ensure is None:
        return False
    nodes = walk(ensure)
    apart = {id(node.value) for node in nodes if isinstance(node, tree.FieldAccess)}
    return path.rpartition(".")[2] in owned.ensured or any(
        isinstance(node, tree.Name) and (node.name == "this" or (node.name == head and id(node) not in apart))
        for node in nodes
    )


def _unguarded_parameter(chosen: Chosen, owned: Owned) -> Iterator[Finding]:
    entry = chosen.entry
    if entry is None or not entry.controllers or not entry.actions:
        return
    if any(party.origin != "argument" for party in entry.controllers):
        return
    names = {party.path.partition(".")[0] for party in entry.controllers}
    if names & chosen.tested or any(gap for gap in entry.gaps):
        return
    if any(names & {part for path in _paths(action) for part in path.split(".")} for action in entry.actions):
        return  # it acts for itself: it signs, pays, or is asked for its own authority
    if _passed_on(chosen, names) and not chosen.consuming:
        return
    actor = listed(sorted(names))
    owners = [name for name in owned.owners if name in owned.stakeholders]
    grave = chosen.consuming and bool(owned.amounts) and bool(owners)
    allowed = owners or sorted(owned.signed)
    yield finding(
        "unguarded-parameter-controller",
        chosen.choice.controllers[0].place,
        chosen.owner,
        chosen.choice.name,
        f"anybody who sees the contract can name itself {actor} and run {chosen.choice.name} with the authority of "
        f"{listed(sorted(owned.signed)) or 'the signatories'}"
        + (
            f": the {owned.amounts[0].name} of {listed(owners)} is at stake, unless any party is meant"
            if grave
            else ""
        ),
        f"test who {actor} may be, unless any party is meant",
        severity="critical" if grave else None,
        certainty="conditional" if grave else None,
        paste=f'assertMsg "{actor} may act" ({actor} `elem` [{", ".join(allowed)}])' if allowed else "",
    )


def _paths(action: Action) -> Iterator[str]:
    for party in action.required:
        yield party.path


def _passed_on(chosen: Chosen, names: set[str]) -> bool:
    """Whether an actor goes into what the choice creates or exercises."""
    return any(
        isinstance(node, tree.Record)
        and any(
            (entry.pun and entry.path[0] in names) or names & set(named(entry.value)) for entry in node.fields
        )
        for node in chosen.nodes
    )


def _proposal_without_exit(chosen: Chosen, owned: Owned) -> Iterator[Finding]:
    if not chosen.controllers or chosen.controllers & owned.signed:
        return
    if not ACCEPTING.search(chosen.choice.name) and not _is_accept(chosen, owned):
        return
    if not owned.signatories_clear or not chosen.consuming or owned.timed:
        return
    if owned.has_way_out or any(owned.consuming_controllers[name] > 1 for name in chosen.controllers):
        return
    name = owned.template.name
    who = listed(sorted(chosen.controllers))
    signers = listed(sorted(owned.signed))
    yield finding(
        "proposal-without-reject",
        chosen.choice.place,
        chosen.owner,
        chosen.choice.name,
        f"{who} can accept but not reject, the offer never expires, and "
        + (
            f"{signers} can withdraw it by a bare Archive alone"
            if len(owned.signed) == 1
            else f"only {signers} together can withdraw it"
        ),
        "give both sides a way out",
        paste=f"""\
choice {name}_Reject : ()
  controller {", ".join(sorted(chosen.controllers))}
  do pure ()

choice {name}_Withdraw : ()
  controller {", ".join(sorted(owned.signed))}
  do pure ()
""",
    )


def _is_accept(chosen: Chosen, owned: Owned) -> bool:
    """Whether it is the only way on of an offer and adds the actor's signature to it, whatever its name is."""
    if not OFFERING.search(owned.template.name):
        return False
    ending = [choice for choice in owned.template.choices if choice.consumption != "nonconsuming"]
    made = [
        action for action in chosen.actions if action.kind == "create" and action.template != chosen.owner
    ]
    paid = any("ContractId" in field.type.text for field in chosen.choice.parameters)
    return (
        len(ending) == 1
        and not paid
        and len(made) == 1
        and {party.path for party in made[0].required} == owned.signed | chosen.controllers
    )


def _destroyed(code: Code, chosen: Chosen, owned: Owned) -> Iterator[Finding]:
    """A consuming choice on a value that creates nothing, by somebody whom the value does not belong to."""
    entry = chosen.entry
    if entry is None or not chosen.consuming or entry.actions or entry.gaps or chosen.choice.body is None:
        return
    owners = set(owned.owners)
    if not owned.amounts or not owners or owned.is_offer or chosen.controllers & owners:
        return
    if owned.signed <= owners:
        return  # nobody owes it: a request or an order of the owner
    if owned.signed <= chosen.controllers:
        return  # they can archive it in any case, which another rule tells
    if chosen.owner in code.granting:
        return  # a request: the value comes about when it is granted
    if chosen.tested - owned.ensured or any(party.many is not False for party in entry.controllers):
        return
    yield finding(
        "value-destroyed-by-other",
        chosen.choice.place,
        chosen.owner,
        chosen.choice.name,
        f"{listed(sorted(chosen.controllers))} can end the contract by {chosen.choice.name}, which creates nothing: "
        f"the {owned.amounts[0].name} of {listed(sorted(owners))} is gone",
        f"let {listed(sorted(owners))} control it as well, or create what replaces the value",
        paste=f"controller {', '.join([*sorted(chosen.controllers), *sorted(owners)])}",
    )


def _operator_moves(chosen: Chosen, owned: Owned) -> Iterator[Finding]:
    """The only signatory changes whom a value belongs to or how much it is, by itself."""
    if not owned.signatories_clear or len(owned.signed) != 1 or owned.is_offer:
        return
    worth = owned.amounts or any(field.type.head in ("Decimal", "Numeric") for field in owned.template.fields)
    if not worth:
        return
    (operator,) = owned.signed
    owners = {name for name in owned.owners if name not in owned.signed}
    if not owners or chosen.controllers != owned.signed:
        return
    watched = owners | {field.name for field in owned.amounts}
    if not chosen.consuming:
        return  # another contract beside this one
    changed = sorted({entry.path[0] for entry in chosen.changes} & watched)
    if changed:
        yield finding(
            "operator-moves-assets",
            chosen.choice.place,
            chosen.owner,
            chosen.choice.name,
            f"{operator} alone can change {listed(changed)} of every {chosen.owner}: its one key moves what belongs to "
            f"{listed(sorted(owners))}",
            f"make {listed(sorted(owners))} a signatory and a controller of {chosen.choice.name}",
            severity=None if owners & set(changed) or _OPERATOR.search(operator) else "medium",
            paste=f"controller {', '.join([operator, *sorted(owners)])}",
        )


def _observers_from_argument(chosen: Chosen, owned: Owned) -> Iterator[Finding]:
    """One of several signatories writes observers from an argument."""
    if not owned.signatories_clear or len(owned.signed) < 2 or owned.signed <= chosen.controllers:
        return
    if chosen.controllers & set(owned.owners):
        return  # whose data it is may show it
    seen = {party.path for party in owned.parties.observers if party.path in owned.fields}
    for entry in chosen.changes:
        if entry.path[0] in seen and set(named(entry.value)) & (chosen.parameters.keys() - chosen.tested):
            silent = sorted(owned.signed - chosen.controllers)
            yield finding(
                "observers-from-argument",
                entry.place,
                chosen.owner,
                chosen.choice.name,
                f"{_decides(sorted(chosen.controllers))} alone who sees a contract that {listed(silent)} "
                f"signed too: {entry.path[0]} comes from an argument",
                f"let {listed(silent)} agree, or test who may be added",
                paste=f"controller {', '.join([*sorted(chosen.controllers), *silent])}",
            )
            return


def _decides(names: list[str]) -> str:
    return f"{listed(names)} decide{'s' if len(names) == 1 else ''}"


def _divulged(chosen: Chosen, owned: Owned) -> Iterator[Finding]:
    """Other people's contracts used inside of a choice that many observers are told of."""
    crowd = [party.path for party in owned.parties.observers if party.many is True]
    if not crowd or not chosen.consuming:
        return
    for action in chosen.actions:
        if action.kind in ("fetch", "exercise") and not action.own_contract and not action.via:
            parameter = chosen.parameters.get(action.contract)
            if (
                parameter is not None
                and parameter.type.head == "ContractId"
                and action.template != chosen.owner
            ):
                what = parameter.type.arguments[0].text if parameter.type.arguments else "contract"
                yield finding(
                    "divulged-to-observers",
                    action.place,
                    chosen.owner,
                    chosen.choice.name,
                    f"all of {listed(crowd)} observe this consuming choice, so they learn of the {what} that it "
                    f"{'reads' if action.kind == 'fetch' else 'uses'}",
                    "make the choice nonconsuming and archive at its end, or move the step to a contract that only the "
                    "parties concerned see",
                    paste=f"postconsuming choice {chosen.choice.name}",
                )
                return
