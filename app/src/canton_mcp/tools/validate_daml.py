"""Tool `validate_daml_business_logic`: does this DAML code do what the business asked for?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from canton_mcp import daml
from canton_mcp.tools.base import (
    MAX_CODE_CHARS,
    MAX_ITEM_CHARS,
    MAX_ITEMS,
    MAX_TEXT_CHARS,
    SILENT,
    Client,
    ParamsModel,
    ResultModel,
    Tool,
)

Requirement = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_ITEM_CHARS)
]
Verdict = Literal["valid", "invalid", "incomplete", "unknown"]

_STAGES = 4
_RENDERED = 20
_MAX_LIMITS = 50
_MAX_LISTED = 200


class ValidateParams(ParamsModel):
    """Arguments of `validate_daml_business_logic`."""

    business_intent: str = Field(
        min_length=1,
        max_length=MAX_TEXT_CHARS,
        description="What the contract is for, in plain words: who may do what, limits, deadlines.",
    )
    daml_code: str = Field(
        max_length=MAX_CODE_CHARS,
        description="DAML source text: a module or a fragment that holds at least one template.",
    )
    security_requirements: list[Requirement] = Field(
        default_factory=list,
        max_length=MAX_ITEMS,
        description="Further requirements to look for, one sentence each.",
    )


class FieldInfo(ResultModel):
    """A declared field of a template or choice."""

    name: str
    type: str


class ActionInfo(ResultModel):
    """A ledger action in a choice body and whether the choice has the authority for it."""

    kind: Literal["create", "exercise", "fetch", "archive", "lookup"]
    target: str | None = Field(description="Template, or choice of an exercise; null when unclear.")
    line: int
    status: Literal["proved", "fails_unless", "unknown"]
    required: list[str] = Field(description="Parties whose authority the action needs.")
    available: list[str] = Field(description="Parties whose authority the choice has.")
    missing: list[str] = Field(description="Required parties that are not provably available.")
    reason: str


class ChoiceInfo(ResultModel):
    """One choice of a template."""

    name: str
    line: int
    consuming: bool
    kind: Literal["consuming", "nonconsuming", "preconsuming", "postconsuming"]
    controllers: list[str]
    observers: list[str]
    parameters: list[FieldInfo]
    actions: list[ActionInfo]


class TemplateInfo(ResultModel):
    """One template as the validator read it."""

    name: str
    line: int
    fields: list[FieldInfo]
    signatories: list[str]
    observers: list[str]
    ensure: str | None
    key: str | None
    maintainers: list[str]
    choices: list[ChoiceInfo]


class FindingInfo(ResultModel):
    """One problem in the code, with its place and remedy."""

    rule: str = Field(description="Stable rule id, for example create-missing-signatory.")
    severity: Literal["critical", "high", "medium", "low", "info"]
    certainty: Literal["definite", "conditional", "advice"] = Field(
        description="definite: always wrong; conditional: wrong unless the named condition holds; "
        "advice: worth a look, may be meant."
    )
    line: int
    column: int
    template: str | None
    choice: str | None
    message: str
    fix: str


class IntentItem(ResultModel):
    """One requirement taken from the business intent, and what the code says about it."""

    requirement: str
    source: Literal["business_intent", "security_requirements"]
    status: Literal["met", "not_met", "not_found"]
    line: int | None
    detail: str


class ValidateResult(ResultModel):
    """Result of `validate_daml_business_logic`."""

    valid: bool = Field(description="True only for the verdict valid.")
    verdict: Verdict = Field(
        description="valid: every checked action is authorized and every requirement understood was found; "
        "invalid: no DAML template, unreadable, or an action that lacks authority; "
        "incomplete: a stated requirement is not met or was not found; "
        "unknown: something could not be decided from this text."
    )
    summary: str
    templates: list[TemplateInfo]
    findings: list[FindingInfo]
    intent: list[IntentItem]
    limits: list[str] = Field(description="What was not checked, or could not be decided, and why.")


def run(params: ValidateParams, client: Client = SILENT) -> ValidateResult:
    """Reads the code and reports findings, requirements and what stayed open; tells its stages."""
    outline = daml.read(params.daml_code)
    client.progress(1, _STAGES, f"{_count(len(outline.templates), 'template')} read")
    actions = daml.analyse(outline)
    client.progress(
        2, _STAGES, f"authority of {_count(sum(map(len, actions.values())), 'ledger action')} judged"
    )
    found = [_finding(finding) for finding in daml.findings(outline, actions)]
    found = [*(_unreadable(problem) for problem in outline.problems), *found]
    if not outline.templates:
        found.insert(0, _no_template())
    client.progress(3, _STAGES, f"{_count(len(found), 'finding')} made")
    intent = _intent(params, outline, actions) if outline.templates else []
    client.progress(4, _STAGES, f"{_count(len(intent), 'requirement')} compared")
    limits = _limits(params, outline, actions, intent)
    undecided = [action for group in actions.values() for action in group if action.status == "unknown"]
    verdict = _verdict(found, intent, bool(undecided) or _unread_code(outline, actions))
    return ValidateResult(
        valid=verdict == "valid",
        verdict=verdict,
        summary=_summary(verdict, outline, found, intent, len(undecided)),
        templates=[_template(template, actions) for template in outline.templates[:_MAX_LISTED]],
        findings=found[:_MAX_LISTED],
        intent=intent,
        limits=limits,
    )


def render(result: ValidateResult) -> str:
    """Verdict, findings, requirements and limits as text."""
    lines = [result.summary]
    for finding in result.findings[:_RENDERED]:
        lines.append(f"- line {finding.line}: [{finding.severity}] {finding.message}. Fix: {finding.fix}.")
    if len(result.findings) > _RENDERED:
        lines.append(f"- and {len(result.findings) - _RENDERED} more findings")
    for item in result.intent:
        lines.append(f"- {item.status.replace('_', ' ')}: {item.requirement} ({item.detail})")
    lines += [f"- not checked: {limit}" for limit in result.limits[:_RENDERED]]
    return "\n".join(lines)


def _verdict(found: list[FindingInfo], intent: list[IntentItem], undecided: bool) -> Verdict:
    if any(finding.certainty != "advice" for finding in found):
        return "invalid"
    if any(item.status != "met" for item in intent):
        return "incomplete"
    return "unknown" if undecided else "valid"


def _summary(
    verdict: Verdict,
    outline: daml.Outline,
    found: list[FindingInfo],
    intent: list[IntentItem],
    undecided: int,
) -> str:
    if not outline.templates:
        return "Invalid: the text holds no DAML template."
    choices = sum(len(template.choices) for template in outline.templates)
    read = f"{_count(len(outline.templates), 'template')} and {_count(choices, 'choice')} read"
    wrong = [finding for finding in found if finding.certainty != "advice"]
    advice = len(found) - len(wrong)
    notes = f"; {_count(advice, 'advisory finding')}" if advice else ""
    open_items = [item for item in intent if item.status != "met"]
    match verdict:
        case "invalid":
            return f"Invalid: {wrong[0].message} (line {wrong[0].line}). {_count(len(wrong), 'error')}{notes}; {read}."
        case "incomplete":
            named = _count(len(open_items), "stated requirement")
            return f"Incomplete: {named} not met or not found; no authorization error found{notes}; {read}."
        case "unknown":
            which = (
                f"{_count(undecided, 'ledger action')} could not be decided"
                if undecided
                else "some code was not read"
            )
            return f"Unknown: {which} from this text; no authorization error found{notes}; {read}."
        case _:
            return f"Valid as far as checked: every ledger action read has the authority it needs{notes}; {read}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _intent(params: ValidateParams, outline: daml.Outline, actions: daml.Actions) -> list[IntentItem]:
    items = [
        IntentItem(
            requirement=item.text,
            source="business_intent",
            status=item.status,
            line=item.line,
            detail=item.detail,
        )
        for item in daml.requirements(params.business_intent, outline, actions)
    ]
    for text in params.security_requirements:
        understood = daml.requirements(text, outline, actions)
        worst = min(
            understood, key=lambda item: ("not_met", "not_found", "met").index(item.status), default=None
        )
        items.append(
            IntentItem(
                requirement=text[:300],
                source="security_requirements",
                status=worst.status if worst else "not_found",
                line=worst.line if worst else None,
                detail=worst.detail
                if worst
                else "this form of requirement is not understood; check it by hand",
            )
        )
    return items


def _unread_code(outline: daml.Outline, actions: daml.Actions) -> bool:
    """Whether something that may hold ledger actions was passed over."""
    return (
        sum(map(len, actions.values())) >= daml.MAX_ACTIONS
        or bool(outline.interfaces)
        or any(template.instances for template in outline.templates)
        or any(function.acts and not function.script for function in outline.functions.values())
    )


def _limits(
    params: ValidateParams, outline: daml.Outline, actions: daml.Actions, intent: list[IntentItem]
) -> list[str]:
    limits = [
        f"line {action.line}: {action.kind}{f' of {action.target}' if action.target else ''} in {template}.{choice}: "
        f"{action.reason}"
        for (template, choice), group in actions.items()
        for action in group
        if action.status == "unknown"
    ][:_MAX_LIMITS]
    if sum(map(len, actions.values())) >= daml.MAX_ACTIONS:
        limits.append(
            f"only the first {daml.MAX_ACTIONS} ledger actions were checked; send fewer templates at once"
        )
    if len(outline.templates) > _MAX_LISTED:
        limits.append(f"only the first {_MAX_LISTED} templates and findings are listed")
    for interface in outline.interfaces[:_MAX_LIMITS]:
        limits.append(f"line {interface.line}: {interface.text} was not analysed")
    for template in outline.templates:
        limits += [
            f"line {instance.line}: an interface instance of {template.name} was not analysed"
            for instance in template.instances
        ]
    helpers = [function for function in outline.functions.values() if function.acts and not function.script]
    if helpers:
        named = ", ".join(f"{function.name} (line {function.line})" for function in helpers[:10])
        limits.append(f"ledger actions in helper functions were not followed: {named}")
    if any(function.script for function in outline.functions.values()):
        limits.append("DAML Script tests were not run")
    if outline.templates and not any(item.source == "business_intent" for item in intent):
        limits.append(
            "the business intent holds no statement that could be checked; "
            "say for example 'only the owner can transfer' or 'the amount must be positive'"
        )
    if outline.templates:
        limits.append(
            "the code was read, not compiled: types, imports and values at run time were not checked"
        )
    return limits


def _no_template() -> FindingInfo:
    return FindingInfo(
        rule="no-template",
        severity="critical",
        certainty="definite",
        line=1,
        column=1,
        template=None,
        choice=None,
        message="the text holds no DAML template (comments and strings do not count)",
        fix="send the module that declares the template: 'template Name with ... where signatory ...'",
    )


def _unreadable(problem: daml.Problem) -> FindingInfo:
    return FindingInfo(
        rule="unreadable",
        severity="high",
        certainty="definite",
        line=problem.line,
        column=problem.column,
        template=None,
        choice=None,
        message=problem.message,
        fix="compare the place with the DAML grammar, then compile with 'daml build' or 'dpm build'",
    )


def _finding(finding: daml.Finding) -> FindingInfo:
    return FindingInfo(**asdict(finding))


def _template(template: daml.Template, actions: daml.Actions) -> TemplateInfo:
    return TemplateInfo(
        name=template.name,
        line=template.line,
        fields=[FieldInfo(name=field.name, type=field.type) for field in template.fields],
        signatories=[expr.text for expr in template.signatories],
        observers=[expr.text for expr in template.observers],
        ensure=template.ensure.text if template.ensure else None,
        key=template.key.text if template.key else None,
        maintainers=[expr.text for expr in template.maintainers],
        choices=[
            _choice(choice, actions.get((template.name, choice.name), [])) for choice in template.choices
        ],
    )


def _choice(choice: daml.Choice, actions: list[daml.Action]) -> ChoiceInfo:
    return ChoiceInfo(
        name=choice.name,
        line=choice.line,
        consuming=choice.consuming,
        kind=choice.consumption,
        controllers=[expr.text for expr in choice.controllers],
        observers=[expr.text for expr in choice.observers],
        parameters=[FieldInfo(name=field.name, type=field.type) for field in choice.parameters],
        actions=[_action(action) for action in actions],
    )


def _action(action: daml.Action) -> ActionInfo:
    return ActionInfo(
        kind=action.kind,
        target=action.target,
        line=action.line,
        status=action.status,
        required=[atom.text for atom in action.required],
        available=[atom.text for atom in action.available],
        missing=[atom.text for atom in action.missing],
        reason=action.reason,
    )


_IOU_INTENT = (
    "A bank issues an IOU to an owner. Only the owner can transfer it, and the amount must be positive."
)
_IOU_UNSAFE = """\
module Iou where

template Iou
  with
    issuer : Party
    owner : Party
    amount : Decimal
  where
    signatory issuer, owner

    choice Transfer : ContractId Iou
      with newOwner : Party
      controller owner
      do create this with owner = newOwner
"""
_IOU = """\
module Iou where

template Iou
  with
    issuer : Party
    owner : Party
    amount : Decimal
  where
    signatory issuer, owner
    ensure amount > 0.0

    choice Transfer : ContractId IouTransfer
      with newOwner : Party
      controller owner
      do create IouTransfer with iou = this; newOwner

template IouTransfer
  with
    iou : Iou
    newOwner : Party
  where
    signatory iou.issuer, iou.owner
    observer newOwner

    choice Accept : ContractId Iou
      controller newOwner
      do create iou with owner = newOwner

    choice Reject : ContractId Iou
      controller newOwner
      do create iou
"""
_ACCESS = """\
module Access where

template Grant
  with
    admin : Party
    user : Party
    resource : Text
  where
    signatory admin
    observer user

    choice Revoke : ()
      controller user
      do pure ()
"""

EXAMPLES: tuple[dict[str, Any], ...] = (
    {"businessIntent": _IOU_INTENT, "damlCode": _IOU},
    {
        "businessIntent": _IOU_INTENT,
        "damlCode": _IOU_UNSAFE,
        "securityRequirements": ["No transfer without the consent of the new owner"],
    },
    {
        "businessIntent": "An administrator grants a user access to a resource. Only the admin can revoke it.",
        "damlCode": _ACCESS,
    },
)

TOOL = Tool(
    name="validate_daml_business_logic",
    title="Validate DAML business logic",
    description="Reads DAML source text and checks who must sign, who may act and whether each choice has "
    "the authority for what it does. Reports findings with line, reason and remedy, and compares the code "
    "with the stated business intent. Says what it could not decide.",
    params=ValidateParams,
    result=ValidateResult,
    run=run,
    render=render,
    examples=EXAMPLES,
    tags=("daml", "authorization", "validation"),
)
