"""From a diagnosed error to the places in the code that can raise it.

An authorization error says how many parties an action needed and how many were there. A place fits when its symbolic
parties can be those: the shared ones shared, the missing one not available. Names help to tell places apart and
to say which role each party plays; they never rule a place out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from canton_mcp.daml.errors import Diagnosis
from canton_mcp.daml.survey import Body, Code, CodeAction, CodeTemplate, Role

MAX_SITES = 20
_SHARED_NAME = 3
_MAX_NAMED = 20
_NEAR = 12
"""Lines from a submit to its command, at most."""
_NAMED_LINE = 20
"""A command in the code goes before one that is only possible."""


@dataclass(frozen=True)
class Site:
    """A place that can raise the error: an action in a choice, a command on a template, or a clause.

    `parties` says which role each party plays, as far as that follows; `missing` are the roles that lack authority.
    """

    template: str
    choice: str | None
    line: int
    action: str
    required: tuple[Role, ...]
    available: tuple[Role, ...]
    reason: str
    parties: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    kind: str = ""
    target: str | None = None
    source: str = ""
    command: bool = False
    decided: bool = True
    score: int = 0
    body: Body = "choice"
    interface: str | None = None

    @property
    def where(self) -> str:
        """What the place belongs to, for a sentence."""
        return _where(self.body, self.template, self.choice)

    def role(self, party: str) -> str | None:
        """The path of a party in the code."""
        return next((path for path, name in self.parties if name == party), None)


def _where(body: Body, template: str, choice: str | None) -> str:
    name = ".".join(part for part in (template, choice) if part)
    if body == "script":
        return f"script {choice}"
    return name if body == "choice" else f"{body} {name}"


def places(diagnosis: Diagnosis, code: Code) -> tuple[Site, ...]:
    """The places in the code that can raise the error, the likeliest first."""
    by_kind = {
        "missing_authorization": _authority_places,
        "fetch_authorization": _authority_places,
        "lookup_authorization": _authority_places,
        "maintainers_not_signatories": _key_places,
        "no_authorizers": _empty_places,
        "not_visible": _stakeholder_places,
        "contract_not_found": _stakeholder_places,
        "contract_consumed": _consumed_places,
        "contract_key": _key_places,
        "precondition": _ensure_places,
        "assertion": _message_places,
    }
    find = by_kind.get(diagnosis.kind)
    found = sorted(find(diagnosis, code), key=lambda site: (-site.score, site.line)) if find else []
    return tuple(found[:MAX_SITES])


def disagreement(diagnosis: Diagnosis, code: Code) -> str | None:
    """Why this code cannot have raised this error, where that shows: then another version of it is on the ledger."""
    if diagnosis.family not in ("authorization", "rule") or not code.templates:
        return None
    template = code.template(diagnosis.template)
    if diagnosis.template and template is None:
        return None  # it is merely not here
    enclosing = diagnosis.enclosing
    around = code.template(enclosing.template) if enclosing else None
    if enclosing and around and around.choices and not around.open and not around.choice(enclosing.choice):
        return f"the error names choice {enclosing.choice} of {around.name}, which this code does not have"
    if diagnosis.kind != "missing_authorization" or template is None or not diagnosis.required:
        return None
    if any(not site.command for site in _authority_places(diagnosis, code)):
        return None
    asked = len(diagnosis.required)
    groups = [
        template.signatories,
        *(choice.controllers for choice in template.choices),
        *(action.required for action in code.actions if _owner(action, code) in (None, template.name)),
    ]
    most = max((len(roles) for roles in groups if roles), default=0)
    if (
        groups
        and all(role.known and not role.many for roles in groups for role in roles)
        and asked > most > 0
    ):
        return (
            f"the ledger asked for {asked} parties ({', '.join(diagnosis.required)}), but nothing on {template.name} in "
            f"this code needs more than {most}"
        )
    if diagnosis.inside_choice:
        same = [action for action in code.actions if _concerns(diagnosis, action, code)]
        if same and all(action.proved for action in same):
            where = ", ".join(
                sorted(
                    {
                        f"{_where(action.body, action.template, action.choice)} line {action.line}"
                        for action in same
                    }
                )[:5]
            )
            return f"every matching action in this code has the authority it needs ({where})"
    return None


def _authority_places(diagnosis: Diagnosis, code: Code) -> list[Site]:
    inside = [
        site
        for action in code.actions
        if not action.proved and _concerns(diagnosis, action, code) and (site := _fitting(diagnosis, action))
    ]
    submitted = _submitted(diagnosis, code)
    enclosing = diagnosis.enclosing
    if enclosing:
        inside = [
            site
            for site in inside
            if site.choice == enclosing.choice and enclosing.template in (site.template, site.interface)
        ] or inside
    if diagnosis.inside_choice is True and inside:
        exact = any(_is_exact(site, diagnosis) for site in inside)
        # A later command of a submission has a node number above 0, too.
        later = () if exact or diagnosis.path else [site for site in submitted if _is_exact(site, diagnosis)]
        return [*inside, *later]
    commands = [*submitted, *_commands(diagnosis, code)]
    return commands if diagnosis.inside_choice is False and commands else [*inside, *commands]


def _is_exact(site: Site, diagnosis: Diagnosis) -> bool:
    """Whether as many parties were needed and there as the place has."""
    counts = [(diagnosis.required, site.required), (diagnosis.given, site.available)]
    return all(len(names) == len({role.path for role in roles}) for names, roles in counts)


def _submitted(diagnosis: Diagnosis, code: Code) -> list[Site]:
    """The commands of scripts that lack the authority, the nearest to where the error says it failed first."""
    found: list[Site] = []
    for action in code.submissions:
        if any(site.line == action.line and site.source == action.source for site in found):
            continue  # a create and an exercise in one
        if action.proved or not _concerns(diagnosis, action, code):
            continue
        site = _fitting(diagnosis, action)
        if site is None or not _may_be(site, diagnosis):
            continue
        near = [place.line for place in diagnosis.locations if place.line and place.line <= action.line]
        score = site.score + 2 * (max(near, default=-_NEAR) > action.line - _NEAR)
        found.append(
            replace(
                site,
                action=f"{action.kind}{f' of {action.target}' if action.target else ''}, submitted in script {action.choice}",
                target=action.on if action.kind != "exercise" else action.target,
                command=True,
                score=score + _NAMED_LINE,
            )
        )
    return found


def _may_be(site: Site, diagnosis: Diagnosis) -> bool:
    """Whether the variables of a script can be the parties of the error, by their names."""
    named = {name for names in (diagnosis.required, diagnosis.given, diagnosis.missing) for name in names}
    known = dict(site.parties)
    for roles, names in (
        (site.required, diagnosis.required or diagnosis.missing),
        (site.available, diagnosis.given),
    ):
        for role in roles:
            other = next((name for _, name in _by_name([role], sorted(named))), None)
            if names and other is not None and other not in names and known.get(role.path) != other:
                return False
    return True


def _concerns(diagnosis: Diagnosis, action: CodeAction, code: Code) -> bool:
    kinds = {
        "missing_authorization": ("create", "exercise", "archive"),
        "fetch_authorization": ("fetch",),
        "lookup_authorization": ("lookup",),
    }.get(diagnosis.kind, ())
    if action.kind not in kinds or diagnosis.action not in (None, action.kind):
        return False
    if diagnosis.action == "exercise" and diagnosis.choice and action.target not in (None, diagnosis.choice):
        return False
    name = _owner(action, code)
    owner = code.template(name)
    return diagnosis.template is None or name in (None, diagnosis.template) or bool(owner and owner.interface)


def _owner(action: CodeAction, code: Code) -> str | None:
    """The template of the contract that an action works on, where it is known."""
    if action.on or action.kind != "exercise":
        return action.on
    owners = [entry.name for entry in code.templates if entry.choice(action.target)]
    return owners[0] if len(owners) == 1 else None


def _fitting(diagnosis: Diagnosis, action: CodeAction) -> Site | None:
    """The action as a place of this error, if its parties can be those that the error names."""
    one_is_enough = diagnosis.kind == "fetch_authorization"
    assigned = (
        _assigned(diagnosis, (), action.available)
        if one_is_enough
        else _assigned(diagnosis, action.required, action.available)
    )
    held = {role.path for role in action.available}
    if assigned is None and action.combined:
        lacking = [role for role in action.required if role.path not in held]
        assigned = _assigned(diagnosis, lacking, action.available)
    if assigned is None:
        return None
    parties, score = assigned
    lines = {action.line, *action.calls}
    score += 4 * action.decided + 2 * any(place.line in lines for place in diagnosis.locations)
    target = f" of {action.target}" if action.target else ""
    return Site(
        action.template,
        action.choice,
        action.line,
        f"{action.kind}{target} in {_where(action.body, action.template, action.choice)}",
        action.required,
        action.available,
        action.reason,
        parties,
        tuple(role.path for role in action.required if role.path not in held),
        action.kind,
        action.target,
        action.source,
        decided=action.decided,
        score=score,
        body=action.body,
        interface=action.interface,
    )


def _assigned(
    diagnosis: Diagnosis, required: Sequence[Role], available: Sequence[Role]
) -> tuple[tuple[tuple[str, str], ...], int] | None:
    """Which role each party plays, and how well that fits; None if the parties cannot be these roles.

    Several roles may be one party, but never several parties one role, unless it is a group.
    """
    wanted, given, missing = (
        list(dict.fromkeys(names)) for names in (diagnosis.required, diagnosis.given, diagnosis.missing)
    )
    held = {role.path for role in available}
    lacking = [role for role in required if role.path not in held]
    shared = [role for role in required if role.path in held]
    extra = [role for role in available if role.path not in {role.path for role in required}]
    exact = not any(role.many or not role.known for role in (*required, *available))
    if required and exact:
        common = [name for name in wanted if name in given]
        if len(missing) > len(lacking) or (missing and not lacking):
            return None
        if wanted and given and (bool(shared) > bool(common) or len(wanted) > len(required)):
            return None
        if wanted and given and len([name for name in given if name not in wanted]) > len(extra):
            return None
    if exact and len(given) > len(available) > 0:
        return None
    score = (len(wanted) == len(required)) + (len(given) == len(available))
    parties: dict[str, str] = {}
    groups = (
        (lacking, missing),
        (shared, [name for name in wanted if name in given]),
        (extra, [name for name in given if name not in wanted]),
    )
    for roles, names in groups:
        named = [role for role in roles if role.known and not role.many]
        single = [role.path for role in named]
        for path, name in _by_name(named, names):
            parties[path] = name
            score += 3
        rest = [path for path in single if path not in parties]
        left = [name for name in names if name not in parties.values()]
        if len(rest) == len(left) == 1 and len(single) == len(roles):
            parties[rest[0]] = left[0]
    return tuple(parties.items()), score


def _by_name(roles: Iterable[Role], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pairs of a role and a party whose names are alike, such as ``issuer`` and ``Issuer`` or ``bank`` and ``Bank1``."""
    taken: set[str] = set()
    known = [(name, re.sub(r"\W|_", "", name).lower()) for name in names[:_MAX_NAMED]]
    for role in islice(roles, _MAX_NAMED):
        word = re.sub(r"\W|_", "", role.name).lower()
        for name, plain in known:
            alike = plain == word or (len(word) >= _SHARED_NAME and plain.startswith(word))
            if alike and name not in taken:
                taken.add(name)
                yield role.path, name
                break


def _commands(diagnosis: Diagnosis, code: Code) -> list[Site]:
    """Commands on the template of the error that need the parties it names, with actAs as all that is given."""
    if diagnosis.kind != "missing_authorization":
        return []
    asked = diagnosis.required or diagnosis.missing
    found: list[Site] = []
    for template in code.templates:
        if template.name != diagnosis.template and (diagnosis.template is not None or template.interface):
            continue
        offers = [
            ("create", None, template.clause, template.signatories),
            *(("exercise", choice.name, choice.clause, choice.controllers) for choice in template.choices),
            ("archive", None, template.clause, template.signatories),
        ]
        for kind, choice, line, roles in offers:
            if diagnosis.action not in (None, kind) or (choice and diagnosis.choice not in (None, choice)):
                continue
            if kind == "archive" and diagnosis.action is None:
                continue  # needs the same as the create, and is rarer
            assigned = _assigned(replace(diagnosis, given=(), missing=asked), roles, ())
            exact = all(role.known and not role.many for role in roles)
            if assigned is None or not roles or (exact and len(diagnosis.required) > len(roles)):
                continue
            what = (
                f"{kind} of {template.name}" if choice is None else f"exercise of {choice} on {template.name}"
            )
            clause = "controller" if choice else "signatory"
            found.append(
                Site(
                    template.name,
                    choice,
                    line,
                    f"{what}, submitted as a command",
                    roles,
                    (),
                    f"needs {clause} {sentence(role.path for role in roles)} in actAs"
                    + (
                        "; an archive needs the same" if kind == "create" and diagnosis.action is None else ""
                    ),
                    assigned[0],
                    tuple(path for path, name in assigned[0] if name in diagnosis.missing),
                    kind,
                    template.name if choice is None else choice,
                    command=True,
                    score=assigned[1],
                )
            )
    return found


def _key_places(diagnosis: Diagnosis, code: Code) -> list[Site]:
    found = []
    for template in _named(diagnosis, code):
        if template.key is None:
            continue
        line, text = template.key
        held = {role.path for role in template.signatories}
        lacking = tuple(role.path for role in template.maintainers if role.path not in held)
        if diagnosis.kind == "maintainers_not_signatories" and not lacking:
            continue
        keepers = sentence(role.path for role in template.maintainers) or "nobody"
        signers = sentence(role.path for role in template.signatories) or "nobody"
        found.append(
            Site(
                template.name,
                None,
                line,
                f"key of {template.name}",
                template.maintainers,
                template.signatories,
                f"key {text}: maintained by {keepers}, signed by {signers}",
                missing=lacking,
                kind="key",
            )
        )
    return found


def _empty_places(diagnosis: Diagnosis, code: Code) -> list[Site]:
    found = []
    for template in _named(diagnosis, code):
        clauses: list[tuple[str, str | None, int, tuple[Role, ...]]] = [
            ("signatory", None, template.clause, template.signatories)
        ]
        clauses += [("controller", entry.name, entry.clause, entry.controllers) for entry in template.choices]
        for clause, choice, line, roles in clauses:
            if diagnosis.choice and choice not in (None, diagnosis.choice):
                continue
            if (diagnosis.action == "create") > (clause == "signatory"):
                continue
            if (diagnosis.action == "exercise") > (clause == "controller"):
                continue
            if roles and all(role.many or not role.known for role in roles):
                text = sentence(role.path for role in roles)
                reason = f"{clause} {text} is a collection only, so it can be empty"
                found.append(
                    Site(
                        template.name,
                        choice,
                        line,
                        f"{clause} of {choice or template.name}",
                        roles,
                        (),
                        reason,
                        kind=clause,
                    )
                )
    return found


def _stakeholder_places(diagnosis: Diagnosis, code: Code) -> list[Site]:
    found = []
    for template in _named(diagnosis, code) if diagnosis.template else ():
        observers = sentence(role.path for role in template.observers)
        signers = sentence(role.path for role in template.signatories) or "nobody"
        found.append(
            Site(
                template.name,
                None,
                template.line,
                f"stakeholders of {template.name}",
                (*template.signatories, *template.observers),
                (),
                f"is seen by signatory {signers}{f' and observer {observers}' if observers else ''} only; controllers are not "
                "added by themselves",
                kind="stakeholders",
            )
        )
    return found


def _consumed_places(diagnosis: Diagnosis, code: Code) -> list[Site]:
    found = []
    for action in code.actions:
        template = code.template(action.template)
        choice = template.choice(action.choice) if template else None
        if choice is None or not choice.consuming or not action.own_contract:
            continue
        if diagnosis.template not in (None, action.template):
            continue
        found.append(
            Site(
                action.template,
                action.choice,
                action.line,
                f"{action.kind} of self in {action.template}.{action.choice}",
                (),
                (),
                f"{action.choice} is consuming, so self is archived before this line runs",
                kind=action.kind,
                source=action.source,
            )
        )
    return found


def _ensure_places(diagnosis: Diagnosis, code: Code) -> list[Site]:
    return [
        Site(
            template.name,
            None,
            template.ensure[0],
            f"ensure of {template.name}",
            (),
            (),
            f"ensure {template.ensure[1]} was false",
            kind="ensure",
        )
        for template in _named(diagnosis, code)
        if template.ensure
    ]


def _message_places(diagnosis: Diagnosis, code: Code) -> list[Site]:
    """Lines whose text literal is the message of the assertion, or a part of it."""
    message = diagnosis.message
    if not message:
        return []
    found = []
    for line, text in code.strings:
        plain = text.replace('\\"', '"').replace("\\n", "\n")
        if plain != message and not (len(plain.strip()) >= 8 and plain.strip() in message):
            continue
        template, choice = code.at(line)
        same = bool(diagnosis.choice and choice and choice.name == diagnosis.choice)
        where = f"{template.name}{f'.{choice.name}' if choice else ''}" if template else "a function"
        found.append(
            Site(
                template.name if template else "",
                choice.name if choice else None,
                line,
                f"assertion in {where}",
                (),
                (),
                f'holds the text "{plain}"',
                kind="assertion",
                score=4 * (plain == message) + 2 * same,
            )
        )
    return found


def _named(diagnosis: Diagnosis, code: Code) -> tuple[CodeTemplate, ...]:
    template = code.template(diagnosis.template)
    if diagnosis.template:
        return (template,) if template and not template.interface else ()
    return tuple(entry for entry in code.templates if not entry.interface)


def sentence(names: Iterable[str]) -> str:
    """Names in a sentence."""
    listed = list(dict.fromkeys(names))
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}" if listed else ""
