"""Rules over verdicts: actions that lack authority, and templates that nothing can create."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from canton_mcp.daml import tree
from canton_mcp.daml.actions import Action, ActionKind, Entry, Party
from canton_mcp.daml.findings.model import Finding
from canton_mcp.daml.findings.offer import offer
from canton_mcp.daml.findings.view import Code, Owned, finding, listed

__all__ = ["authority"]

_RULES: Mapping[ActionKind, str] = {
    "create": "create-missing-authority",
    "createAndExercise": "create-missing-authority",
    "exercise": "exercise-missing-authority",
    "exerciseByKey": "exercise-missing-authority",
    "archive": "archive-missing-authority",
    "fetch": "fetch-missing-authority",
    "fetchByKey": "fetch-missing-authority",
    "fetchFromInterface": "fetch-missing-authority",
    "fetchNByKey": "fetch-missing-authority",
    "fetchAllByKey": "fetch-missing-authority",
    "lookupByKey": "lookup-missing-authority",
    "visibleByKey": "lookup-missing-authority",
    "lookupNByKey": "lookup-missing-authority",
    "lookupAllByKey": "lookup-missing-authority",
}


def authority(code: Code) -> Iterator[Finding]:
    """Every action that fails unless parties coincide, once for each place."""
    seen: set[tuple[int, str, tuple[str, ...]]] = set()
    templates = {owned.template.name: owned for owned in code.templates}
    for entry in code.analysis.entries:
        for action in entry.actions:
            if action.verdict.status != "fails_unless":
                continue
            place = _place(code, action)
            if place is None:
                continue
            missing = tuple(party.path for party in action.verdict.missing)
            if (place.start, action.kind, missing) in seen:
                continue
            seen.add((place.start, action.kind, missing))
            yield _unauthorized(code, entry, action, place, templates)
    yield from _submitted(code)
    yield from _unreachable(code)


def _submitted(code: Code) -> Iterator[Finding]:
    """Commands of scripts that their submitters may not give; what follows from a command is told at its choice."""
    declared: list[tree.Template | tree.Interface] = [*code.module.templates, *code.module.interfaces]
    extents = [one.extent for one in declared if one.extent is not None]
    seen: set[int] = set()
    for script in code.analysis.scripts:
        for action in script.actions:
            place = action.place
            if action.submission not in ("submit", "submitMulti") or not action.verdict.definite:
                continue
            if action.module != code.module.name or action.via or place.start in seen:
                continue
            if action.verdict.status != "fails_unless" or any(
                one.start <= place.start < one.end for one in extents
            ):
                continue
            seen.add(place.start)
            missing = listed(action.verdict.missing)
            have = [party.path for party in action.available]
            yield finding(
                "submission-missing-authority",
                place,
                None,
                script.name,
                f"{_what(action)} by {listed(have)} {action.verdict.reason}",
                f"submit as {missing} too, or start with a proposal; say submitMustFail if it is meant to fail",
                paste=f"submit (actAs [{', '.join(dict.fromkeys([*have, *(party.path for party in action.verdict.missing)]))}]) do",
            )


def _place(code: Code, action: Action) -> tree.Place | None:
    """Where it stands in this text; the call that leads to it, when it stands in another module that is given."""
    if action.module == code.module.name:
        return action.place
    return action.via[0].place if action.via else None


def _unauthorized(
    code: Code, entry: Entry, action: Action, place: tree.Place, templates: Mapping[str, Owned]
) -> Finding:
    verdict = action.verdict
    missing = listed(verdict.missing)
    owned = templates.get(action.template or "")
    transfer = (
        action.kind == "create"
        and action.template == entry.owner
        and all(party.origin == "argument" for party in verdict.missing)
    )
    rule = "transfer-without-consent" if transfer else _RULES[action.kind]
    milder = not verdict.definite and rule != "fetch-missing-authority"
    message = f"{_what(action)} {verdict.reason}{_where(action)}"
    if transfer and owned is not None and len(verdict.missing) == 1 and owned.signatories_clear:
        fix = f"let {missing} consent first: offer the transfer, and create the new {action.template} when {missing} accepts"
        paste = offer(code, owned, verdict.missing[0], entry, action)
    else:
        fix, paste = _remedy(entry, action, verdict.missing)
    return finding(
        rule, place, entry.owner, entry.name, message, fix, severity="medium" if milder else None, paste=paste
    )


def _what(action: Action) -> str:
    target = action.template or action.contract
    match action.kind:
        case "exercise" | "exerciseByKey":
            return f"{action.kind} of {action.choice or 'a choice'}{f' on {target}' if target else ''}"
        case "createAndExercise":
            return f"createAndExercise of {target}"
        case kind:
            return f"{kind} of {target}" if target else kind


def _where(action: Action) -> str:
    """How it is reached, when the place alone does not say."""
    via = f", reached through {' and '.join(call.name for call in action.via)}" if action.via else ""
    if not action.branch or len(action.branch[-1]) >= 60:
        return via
    branch = action.branch[-1]
    return (
        f"{via} ({branch})"
        if branch.startswith(("if ", "for each ", "when ", "unless ", "either: "))
        else f"{via} (when {branch})"
    )


def _remedy(entry: Entry, action: Action, missing: tuple[Party, ...]) -> tuple[str, str]:
    names = listed(missing)
    simple = all(party.origin in ("field", "argument") and "." not in party.path for party in missing)
    if not action.verdict.definite:
        owner = missing[0].path
        have = [party.path for party in action.available if party.many is False]
        fix = (
            f"it works when {action.verdict.condition}: test that before, so that the reason shows, "
            f"or give the choice the authority of {names}"
        )
        alike = [path for path in have if path.rpartition(".")[2] == owner.rpartition(".")[2]]
        if action.kind == "archive" and not alike:
            target = action.template or "the contract"
            return (
                f"archive needs every signatory: give {target} a consuming choice that {listed(action.available)} may "
                f"exercise, and exercise that one here, or give this choice the authority of {names}",
                "",
            )
        # A party of the same name is most likely the one that is meant.
        by_name = " || ".join(f"{owner} == {path}" for path in (alike if len(alike) == 1 else have[:3]))
        single = (
            len(missing) == 1
            and (len(alike) == 1 or len(have) == len(action.available))
            and " " not in owner
            and "[" not in owner
            and all(" " not in path for path in have)
        )
        paste = f'assertMsg "{owner} takes part" ({by_name})' if by_name and single else ""
        return fix, paste
    if action.kind in ("fetch", "fetchByKey", "fetchFromInterface"):
        return (
            f"make one of {names} a controller of {entry.name}, or pass the data as an argument and compare it",
            "",
        )
    fix = (
        f"make {names} a controller of {entry.name} as well, if all of them submit together; "
        f"else collect the signature before, by a proposal that {names} accepts"
    )
    controllers = [party.path for party in entry.controllers]
    paste = (
        f"controller {', '.join([*controllers, *(party.path for party in missing)])}"
        if simple and controllers
        else ""
    )
    return fix, paste


def _unreachable(code: Code) -> Iterator[Finding]:
    """Templates that several parties sign and that nothing creates, in a text whose other templates are connected."""
    creates = [
        (entry.owner, action.template)
        for entry in (*code.analysis.entries, *code.analysis.scripts)
        for action in entry.actions
        if action.kind in ("create", "createAndExercise")
    ]
    if any(target is None for _, target in creates) or code.foreign:
        return
    if not any(owner and owner != target for owner, target in creates) or any(
        entry.gaps for entry in code.analysis.entries
    ):
        return
    handed = _handed(code)
    part = "." in code.module.name  # of a project, whose other modules may create it
    created = {target for owner, target in creates if owner != target}
    for owned in code.templates:
        name = owned.template.name
        signed = owned.parties.signatories
        if len(signed) < 2 or not owned.clear or name in handed or name in created:
            continue
        yield finding(
            "unreachable-template",
            owned.template.place,
            name,
            None,
            f"{name} needs the signatures of {listed(signed)} together, and no other choice of this text creates it: "
            f"unless {'another module does' if part else 'code elsewhere does'}, it comes about only if all submit at once",
            f"add a proposal that {signed[0].path} signs and {listed(signed[1:])} accepts, and create {name} there",
            severity="high" if code.analysis.scripts and not part else None,
        )


def _handed(code: Code) -> frozenset[str]:
    """Templates whose contracts others hand in, so that they come from elsewhere."""
    return frozenset(
        field.type.arguments[0].head
        for chosen in code.choices
        for field in chosen.choice.parameters
        if field.type.head == "ContractId" and field.type.arguments
    )
