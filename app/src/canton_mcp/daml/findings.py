"""Rules over an outline: what is wrong, what is wrong unless, and what deserves a look."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from canton_mcp.daml.authority import Action, is_party, own_lookup, parties, stakeholders
from canton_mcp.daml.syntax import Choice, Expr, Field, Outline, Template

Severity = Literal["critical", "high", "medium", "low", "info"]
Certainty = Literal["definite", "conditional", "advice"]
Actions = dict[tuple[str, str], list[Action]]

_ORDER: dict[Severity, int] = {"critical": 0, "high": 1, "medium": 2, "low": 3, "info": 4}
_AMOUNT = re.compile(r"(?:^|[a-z_])(amount|quantity|price|balance|shares|units|notional|principal)$", re.I)
_ONCE = re.compile(r"(accept|approve|settle|redeem|claim|execute|finali[sz]e|mint|spend|pay)", re.I)
_REFUSE = re.compile(r"(reject|decline|refuse|cancel|withdraw|expire|revoke|dismiss|archive)", re.I)
_ACCEPT = re.compile(r"(accept|agree|countersign)", re.I)
_OWNING = frozenset({"owner", "holder", "payee", "beneficiary"})
_PARTIAL = frozenset({"fromSome", "head", "last", "tail", "init", "foldl1", "foldr1"})


@dataclass(frozen=True)
class Finding:
    """One problem.

    `definite` findings are wrong whatever the data; `conditional` ones unless the named parties
    coincide; `advice` marks what correct code may do on purpose.
    """

    rule: str
    severity: Severity
    certainty: Certainty
    line: int
    column: int
    template: str | None
    choice: str | None
    message: str
    fix: str


def findings(outline: Outline, actions: Actions) -> list[Finding]:
    """All findings, the gravest first, then by place."""
    found: list[Finding] = []
    for template in outline.templates:
        for rule in _TEMPLATE_RULES:
            found += rule(outline, template)
        for choice in template.choices:
            for choice_rule in _CHOICE_RULES:
                found += choice_rule(outline, template, choice, actions[template.name, choice.name])
    found += _duplicates(outline)
    found.sort(key=lambda finding: (_ORDER[finding.severity], finding.line, finding.column))
    return found


# templates --------------------------------------------------------------------------------------


def _no_signatory(outline: Outline, template: Template) -> Iterator[Finding]:
    if not template.signatories:
        yield _of_template(
            template,
            "no-signatory",
            "critical",
            "definite",
            f"template {template.name} has no signatory, so it does not compile",
            "name the parties that are bound by the contract: 'signatory <party>'",
        )
    elif all(clause.text == "[]" for clause in template.signatories):
        clause = template.signatories[0]
        yield _at(
            clause,
            template,
            "no-signatory",
            "critical",
            "definite",
            "the list of signatories is empty, so every create fails",
            "name at least one party that is bound by the contract",
        )


def _unknown_names(outline: Outline, template: Template) -> Iterator[Finding]:
    """Party clauses that name something undeclared, or something that is no party."""
    for clause in (*template.signatories, *template.observers):
        yield from _check_name(outline, template, None, clause, template.fields)
    for choice in template.choices:
        for clause in (*choice.controllers, *choice.observers):
            yield from _check_name(outline, template, choice, clause, [*choice.parameters, *template.fields])


def _check_name(
    outline: Outline, template: Template, choice: Choice | None, clause: Expr, fields: list[Field]
) -> Iterator[Finding]:
    token = outline.source.tokens[clause.span[0]]
    if clause.span[1] - clause.span[0] != 1 or token.kind == "op":
        return
    name = token.text.removeprefix("this.")
    field = next((entry for entry in fields if entry.name == name.partition(".")[0]), None)
    if token.kind in ("string", "number"):
        yield _at(
            clause,
            template,
            "not-a-party",
            "critical",
            "definite",
            f"{token.text[:40]} is no party: parties come from fields of type Party",
            "declare a field of type Party and name it here",
            choice,
        )
    elif field is not None and "." not in name and is_party(field.type) is False:
        yield _at(
            clause,
            template,
            "not-a-party",
            "critical",
            "definite",
            f"{name} has type {field.type}, but parties are needed here",
            f"give {name} the type Party, or name a field that has it",
            choice,
        )
    elif field is None and token.kind == "var" and not _may_be_elsewhere(outline, template, name):
        yield _at(
            clause,
            template,
            "unknown-party",
            "critical",
            "definite",
            f"{name} is neither a field of {template.name}"
            + (" nor a parameter of the choice" if choice else ""),
            f"add '{name} : Party' to the fields" + (" or to the choice's parameters" if choice else ""),
            choice,
        )


def _may_be_elsewhere(outline: Outline, template: Template, name: str) -> bool:
    root = name.partition(".")[0]
    foreign = any(
        not module.startswith(("DA.", "Daml.Script", "Prelude", "GHC.")) for module in outline.imports
    )
    let_bound = any(
        outline.source.tokens[index].text == root for span in template.lets for index in range(*span)
    )
    return foreign or let_bound or root in outline.functions or root in ("this", "self", "arg")


def _key(outline: Outline, template: Template) -> Iterator[Finding]:
    if template.key is None:
        if template.maintainers:
            yield _at(
                template.maintainers[0],
                template,
                "maintainer-without-key",
                "critical",
                "definite",
                "there is a maintainer but no key",
                "add 'key <expression> : <type>', or remove the maintainer",
            )
        return
    if not template.maintainers:
        yield _at(
            template.key,
            template,
            "key-without-maintainer",
            "critical",
            "definite",
            "the key has no maintainer, so the template does not compile",
            "add 'maintainer key' or a part of the key such as 'maintainer key._1'",
        )
        return
    lookup = own_lookup(outline, template)
    signed = {atom.text for atom in stakeholders(outline, template, template.signatories)}
    opaque = any(
        atom.origin == "opaque" or atom.many for atom in stakeholders(outline, template, template.signatories)
    )
    for clause in template.maintainers:
        missing = [
            atom.text
            for atom in parties(outline, clause.span, lookup)
            if atom.origin == "field" and "." not in atom.text and atom.text not in signed
        ]
        if missing and not opaque:
            yield _at(
                clause,
                template,
                "maintainer-not-signatory",
                "critical",
                "definite",
                f"maintainer {', '.join(missing)} is no signatory, so every create fails",
                f"add 'signatory {', '.join(missing)}', or choose a maintainer among the signatories",
            )


def _amount_without_ensure(outline: Outline, template: Template) -> Iterator[Finding]:
    ensured = set(_words(outline, template.ensure.span)) if template.ensure else set()
    for field in template.fields:
        number = field.type.strip("() ").split(" ")[0] in ("Decimal", "Int", "Numeric")
        if number and _AMOUNT.search(field.name) and not ensured & {field.name, f"this.{field.name}"}:
            yield Finding(
                "amount-without-ensure",
                "medium",
                "advice",
                field.line,
                template.column,
                template.name,
                None,
                f"nothing keeps {field.name} from being zero or negative",
                f"add 'ensure {field.name} > 0{'.0' if not field.type.startswith('Int') else ''}'",
            )


def _owner_only_observes(outline: Outline, template: Template) -> Iterator[Finding]:
    signed = {atom.text for atom in stakeholders(outline, template, template.signatories)}
    seen = {atom.text for atom in stakeholders(outline, template, template.observers)}
    value = any(_AMOUNT.search(field.name) for field in template.fields)
    for field in template.fields:
        if value and field.name in _OWNING and field.name in seen and field.name not in signed:
            yield Finding(
                "owner-only-observes",
                "low",
                "advice",
                field.line,
                template.column,
                template.name,
                None,
                f"{field.name} only observes: {', '.join(sorted(signed)) or 'the signatory'} can archive the contract alone",
                f"make {field.name} a signatory when the contract is an asset of {field.name}",
            )


def _possibly_empty(outline: Outline, template: Template) -> Iterator[Finding]:
    atoms = stakeholders(outline, template, template.signatories)
    if template.ensure is None and len(atoms) == 1 and atoms[0].many and atoms[0].origin == "field":
        yield _at(
            template.signatories[0],
            template,
            "possibly-no-signatory",
            "medium",
            "advice",
            f"a create with an empty {atoms[0].text} fails with 'has no signatories'",
            f"add 'ensure not (null {atoms[0].text})', or a signatory of type Party",
        )


def _proposal_without_exit(outline: Outline, template: Template) -> Iterator[Finding]:
    signed = {atom.text for atom in stakeholders(outline, template, template.signatories)}
    for choice in template.choices:
        controllers = {expr.text for expr in choice.controllers}
        if not (_ACCEPT.match(choice.name) and controllers and not controllers & signed):
            continue
        ways_out = [
            other
            for other in template.choices
            if other is not choice
            and other.consuming
            and (_REFUSE.search(other.name) or {expr.text for expr in other.controllers} & controllers)
        ]
        if not ways_out:
            yield _of_choice(
                template,
                choice,
                "proposal-without-reject",
                "low",
                "advice",
                f"{', '.join(sorted(controllers))} can accept but not reject, and nothing lets the offer expire",
                "add a consuming choice Reject for the same controller, and a Withdraw or an expiry for the proposer",
            )


# choices ----------------------------------------------------------------------------------------


def _no_controller(
    outline: Outline, template: Template, choice: Choice, actions: list[Action]
) -> Iterator[Finding]:
    if not choice.controllers:
        yield _of_choice(
            template,
            choice,
            "no-controller",
            "critical",
            "definite",
            f"choice {choice.name} has no controller, so it does not compile",
            "add 'controller <party>' before 'do'",
        )


def _shadowed_field(
    outline: Outline, template: Template, choice: Choice, actions: list[Action]
) -> Iterator[Finding]:
    names = {field.name for field in template.fields}
    for parameter in choice.parameters:
        if parameter.name in names:
            yield Finding(
                "parameter-repeats-field",
                "medium",
                "advice",
                parameter.line,
                choice.column,
                template.name,
                choice.name,
                f"parameter {parameter.name} has the name of a field of {template.name}",
                f"rename the parameter, for example to new{parameter.name[:1].upper()}{parameter.name[1:]}",
            )


def _unauthorized(
    outline: Outline, template: Template, choice: Choice, actions: list[Action]
) -> Iterator[Finding]:
    for action in actions:
        if action.status != "fails_unless":
            continue
        missing = ", ".join(atom.text for atom in action.missing)
        transfer = action.kind == "create" and action.updates_this
        rule = "transfer-without-consent" if transfer else f"{action.kind}-missing-authority"
        fix = (
            f"let {missing} consent first: create a transfer proposal that {missing} accepts, "
            f"or make {missing} a controller of {choice.name} as well"
            if transfer
            else f"make {missing} a controller of {choice.name}, or a signatory of {template.name} through a proposal"
        )
        what = {"create": f"create of {action.target}", "exercise": f"exercise of {action.target}"}
        yield Finding(
            rule,
            "critical",
            "conditional",
            action.line,
            action.column,
            template.name,
            choice.name,
            f"{what.get(action.kind, f'{action.kind} of {action.target}')} {action.reason}",
            fix,
        )


def _used_after_archive(
    outline: Outline, template: Template, choice: Choice, actions: list[Action]
) -> Iterator[Finding]:
    if choice.consumption not in ("consuming", "preconsuming"):
        return
    for action in actions:
        if action.own_contract:
            yield Finding(
                "self-after-consumption",
                "high",
                "definite",
                action.line,
                action.column,
                template.name,
                choice.name,
                f"{action.kind} of self in a consuming choice: the contract is archived before the body runs",
                "use 'this' for its data, remove the action, or make the choice nonconsuming",
            )


def _repeatable(
    outline: Outline, template: Template, choice: Choice, actions: list[Action]
) -> Iterator[Finding]:
    if choice.consuming or any(action.kind == "archive" and action.own_contract for action in actions):
        return
    copies = [action for action in actions if action.updates_this]
    once = _ONCE.match(choice.name) is not None and any(action.kind == "create" for action in actions)
    # A choice that archives one of its arguments is limited by that contract.
    if (copies or once) and not any(action.kind in ("archive", "exercise") for action in actions):
        what = "creates a changed copy of its contract" if copies else "creates a contract"
        yield _of_choice(
            template,
            choice,
            "nonconsuming-double-use",
            "high",
            "advice",
            f"nonconsuming choice {choice.name} {what} and leaves the old one active, so it can be repeated",
            "remove 'nonconsuming' unless repeating it is the point",
        )


def _invisible_controller(
    outline: Outline, template: Template, choice: Choice, actions: list[Action]
) -> Iterator[Finding]:
    if choice.implicit_observer or template.instances:
        return
    stake = stakeholders(outline, template, [*template.signatories, *template.observers])
    if any(atom.origin == "opaque" or atom.many for atom in stake):
        return
    seen = {atom.text for atom in stake}
    parameters = {field.name for field in choice.parameters}
    for clause in choice.controllers:
        name = clause.text.removeprefix("this.")
        field = next((entry for entry in template.fields if entry.name == name), None)
        if field is not None and field.type == "Party" and name not in seen and name not in parameters:
            yield _at(
                clause,
                template,
                "controller-cannot-see",
                "medium",
                "advice",
                f"{name} controls {choice.name} but is neither signatory nor observer, so it cannot see the contract",
                f"add 'observer {name}', unless the contract is disclosed to {name} explicitly",
                choice,
            )


def _unguarded_parameter(
    outline: Outline, template: Template, choice: Choice, actions: list[Action]
) -> Iterator[Finding]:
    names = {field.name for field in choice.parameters}
    if any(expr.text not in names for expr in choice.controllers) or not actions or choice.body is None:
        return
    for clause in choice.controllers:
        if not _guards(outline, choice, clause.text):
            yield _at(
                clause,
                template,
                "unguarded-parameter-controller",
                "info",
                "advice",
                f"anybody who sees the contract can name itself {clause.text} and run {choice.name} with the authority "
                f"of the signatories",
                f"assert who {clause.text} may be, unless any party is meant",
                choice,
            )


def _guards(outline: Outline, choice: Choice, name: str) -> bool:
    words = {"assert", "assertMsg", "require", "when", "unless", "if", "elem", "member", "==="}
    return any(
        {name} & set(texts) and words & set(texts)
        for texts in (list(_words(outline, span)) for span in choice.statements)
    )


def _risky_expressions(
    outline: Outline, template: Template, choice: Choice, actions: list[Action]
) -> Iterator[Finding]:
    if choice.body is None:
        return
    tokens = outline.source.tokens
    start, end = choice.body
    tested = {word for span in choice.statements for word in _tested(outline, span)}
    for index in range(start, end - 1):
        token = tokens[index]
        after = tokens[index + 1]
        if token.kind == "var" and token.text.rpartition(".")[2] in _PARTIAL:
            yield _risk(
                template,
                choice,
                token.line,
                token.column,
                "partial-function",
                f"{token.text} aborts the transaction on an empty value",
                "match on the value, or assert first that it is not empty",
            )
        elif token.text in ("/", "`") and _divides(outline, index) and (divisor := _divisor(outline, index)):
            if divisor not in tested:
                yield _risk(
                    template,
                    choice,
                    token.line,
                    token.column,
                    "division-unguarded",
                    f"the division aborts when {divisor} is zero",
                    f"assert that {divisor} is not zero, or 'ensure' it",
                )
        elif token.text in ("assert", "assertMsg"):
            constant = after if token.text == "assert" else tokens[min(index + 2, end - 1)]
            if constant.text == "True":
                yield _risk(
                    template,
                    choice,
                    token.line,
                    token.column,
                    "constant-assertion",
                    "the assertion is always true, so it guards nothing",
                    "state the condition, or remove it",
                )


def _divides(outline: Outline, index: int) -> bool:
    tokens = outline.source.tokens
    return tokens[index].text == "/" or tokens[index + 1].text == "div"


def _divisor(outline: Outline, index: int) -> str | None:
    tokens = outline.source.tokens
    at = index + (1 if tokens[index].text == "/" else 3)
    return tokens[at].text if at < len(tokens) and tokens[at].kind == "var" else None


def _tested(outline: Outline, span: tuple[int, int]) -> list[str]:
    words = list(_words(outline, span))
    return words if {"assert", "assertMsg", "require", "when", "unless", "if", "case"} & set(words) else []


# helpers ----------------------------------------------------------------------------------------


def _duplicates(outline: Outline) -> Iterator[Finding]:
    templates: set[str] = set()
    choices: dict[str, str] = {}
    for template in outline.templates:
        if template.name in templates:
            yield _of_template(
                template,
                "duplicate-name",
                "critical",
                "definite",
                f"template {template.name} is declared twice",
                "rename one of them",
            )
        templates.add(template.name)
        for choice in template.choices:
            if choice.name in choices:
                yield _of_choice(
                    template,
                    choice,
                    "duplicate-name",
                    "critical",
                    "definite",
                    f"choice {choice.name} is declared in {choices[choice.name]} already; "
                    "choice names are unique in a module",
                    f"rename it, for example to {template.name}_{choice.name}",
                )
            choices.setdefault(choice.name, template.name)


def _words(outline: Outline, span: tuple[int, int]) -> Iterator[str]:
    return (outline.source.tokens[index].text for index in range(*span))


def _risk(
    template: Template, choice: Choice, line: int, column: int, rule: str, message: str, fix: str
) -> Finding:
    return Finding(rule, "low", "advice", line, column, template.name, choice.name, message, fix)


def _of_template(
    template: Template, rule: str, severity: Severity, certainty: Certainty, message: str, fix: str
) -> Finding:
    return Finding(
        rule, severity, certainty, template.line, template.column, template.name, None, message, fix
    )


def _of_choice(
    template: Template,
    choice: Choice,
    rule: str,
    severity: Severity,
    certainty: Certainty,
    message: str,
    fix: str,
) -> Finding:
    return Finding(
        rule, severity, certainty, choice.line, choice.column, template.name, choice.name, message, fix
    )


def _at(
    expr: Expr,
    template: Template,
    rule: str,
    severity: Severity,
    certainty: Certainty,
    message: str,
    fix: str,
    choice: Choice | None = None,
) -> Finding:
    name = choice.name if choice else None
    return Finding(rule, severity, certainty, expr.line, expr.column, template.name, name, message, fix)


_TEMPLATE_RULES: tuple[Callable[[Outline, Template], Iterator[Finding]], ...] = (
    _no_signatory,
    _unknown_names,
    _key,
    _amount_without_ensure,
    _owner_only_observes,
    _possibly_empty,
    _proposal_without_exit,
)
_CHOICE_RULES: tuple[Callable[[Outline, Template, Choice, list[Action]], Iterator[Finding]], ...] = (
    _no_controller,
    _shadowed_field,
    _unauthorized,
    _used_after_archive,
    _repeatable,
    _invisible_controller,
    _unguarded_parameter,
    _risky_expressions,
)
