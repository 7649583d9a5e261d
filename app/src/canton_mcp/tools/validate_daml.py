"""Tool `validate_daml_business_logic`: does this DAML code do what the business asked for?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
_STATUSES = ("not_met", "not_found", "met")
_RENDERED = 20
_MAX_LIMITS = 50
_MAX_LISTED = 200
_MENDINGS = (
    ("never closed", "add what closes it, or remove it"),
    (
        "unexpected",
        "look at this line and the one before it: an operator, a bracket or the indentation is missing",
    ),
    ("missing", "complete the line or the block"),
    ("keyword", "give it another name"),
    ("has no body", "add 'do' and what it does"),
)
_SEVERITIES = ("critical", "high", "medium", "low", "info")
_KIND: Mapping[str, Literal["create", "exercise", "fetch", "archive", "lookup"]] = {
    "create": "create",
    "createAndExercise": "create",
    "exercise": "exercise",
    "exerciseByKey": "exercise",
    "archive": "archive",
    "lookupByKey": "lookup",
    "visibleByKey": "lookup",
    "lookupNByKey": "lookup",
    "lookupAllByKey": "lookup",
}


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
    """A ledger action and whether the authority for it is there."""

    kind: Literal["create", "exercise", "fetch", "archive", "lookup"]
    action: str = Field(description="The function that is called, for example exerciseByKey.")
    target: str | None = Field(description="Template, or choice of an exercise; null when unclear.")
    line: int
    column: int
    status: Literal["proved", "fails_unless", "unknown"]
    required: list[str] = Field(description="Parties whose authority the action needs.")
    available: list[str] = Field(description="Parties whose authority the choice has.")
    missing: list[str] = Field(description="Required parties that are not provably available.")
    condition: str | None = Field(description="What has to hold for it to succeed, for fails_unless.")
    certain: bool = Field(
        description="For fails_unless: the condition involves nothing but arguments and fields of the own contract."
    )
    reason: str
    branch: list[str] = Field(description="Conditions and loops around it, outermost first.")
    via: list[str] = Field(description="Helper functions and methods that it is reached through.")


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


class PartInfo(ResultModel):
    """A choice of an interface, a method, a helper function: what acts on the ledger outside of templates."""

    name: str
    kind: Literal["choice", "method", "helper"]
    owner: str | None = Field(description="The template or interface that it belongs to.")
    interface: str | None
    line: int
    available: list[str]
    actions: list[ActionInfo]


class UnreadInfo(ResultModel):
    """A place that could not be read or followed."""

    line: int
    column: int
    reason: str


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
    paste: str = Field(description="Code to put in its place; empty when the fix is a matter of design.")


class IntentItem(ResultModel):
    """One requirement taken from the business intent, and what the code says about it."""

    requirement: str
    source: Literal["business_intent", "security_requirements"]
    status: Literal["met", "not_met", "not_found"]
    line: int | None
    detail: str


class ValidateResult(ResultModel):
    """Result of `validate_daml_business_logic`."""

    valid: bool = Field(
        description="True only for the verdict valid: nothing wrong found as far as the text tells, which is no proof "
        "of security."
    )
    verdict: Verdict = Field(
        description="valid: every checked action is authorized, every requirement understood was found, and no "
        "finding is critical or high; "
        "invalid: no DAML template, unreadable, or something that fails whatever other contracts hold; "
        "incomplete: a stated requirement is not met or was not found; "
        "unknown: something could not be decided from this text, or a grave finding may be meant."
    )
    summary: str
    templates: list[TemplateInfo]
    findings: list[FindingInfo]
    intent: list[IntentItem]
    limits: list[str] = Field(description="What was not checked, or could not be decided, and why.")
    parts: list[PartInfo] = Field(
        description="What acts on the ledger outside of the templates' own choices."
    )
    era: str | None = Field(
        description="Versions of Daml that the code was written for; null when it does not show."
    )
    unread: list[UnreadInfo] = Field(description="Places that could not be read or followed.")


def run(params: ValidateParams, client: Client = SILENT) -> ValidateResult:
    """Reads the code and reports findings, requirements and what stayed open; tells its stages."""
    code = daml.judged(params.daml_code)
    module = code.module
    client.progress(1, _STAGES, f"{_count(len(module.templates), 'template')} read")
    actions = code.analysis.actions()
    client.progress(2, _STAGES, f"authority of {_count(len(actions), 'ledger action')} judged")
    made = [_finding(finding) for finding in code.findings]
    told = {finding.line for finding in made if finding.certainty == "definite"}
    problems = [problem for problem in module.problems if not _of_a_rule(problem, told)]
    found = [*map(_unreadable, problems), *made]
    found.sort(key=lambda one: _SEVERITIES.index(one.severity))
    if not _judgeable(module):
        found = [
            _no_template(params.daml_code)
        ]  # where prose or another language fails to be DAML helps nobody
    client.progress(3, _STAGES, f"{_count(len(found), 'finding')} made")
    intent, unclear = _intent(params, code) if _judgeable(module) else ([], ())
    client.progress(4, _STAGES, f"{_count(len(intent), 'requirement')} compared")
    open_actions = [action for action in actions if _is_open(action)]
    verdict = _verdict(found, intent, bool(open_actions) or _incomplete(code))
    return ValidateResult(
        valid=verdict == "valid",
        verdict=verdict,
        summary=_summary(verdict, code, found, intent, open_actions),
        templates=[_template(template, code) for template in module.templates[:_MAX_LISTED]],
        findings=found[:_MAX_LISTED],
        intent=intent,
        limits=_limits(params, code, found, intent, unclear),
        parts=_parts(code),
        era=f"{code.era.name}, going by {code.era.because}" if code.era else None,
        unread=_unread(code),
    )


def render(result: ValidateResult) -> str:
    """Verdict, findings, verdicts of actions, requirements and limits as text."""
    lines = [_headline(result)]
    shown: set[str] = set()
    for finding, places in _grouped(result.findings[:_RENDERED]):
        if finding.rule == "no-template":  # the headline says it
            lines.append(f"- fix: {finding.fix}")
            continue
        lines.append(f"- {places}: [{finding.severity}] {finding.message}. Fix: {finding.fix}.")
        if "\n" in finding.paste and finding.rule in shown:
            lines.append(f"    -- as above, for {finding.template}: its code is in the structured result")
        elif finding.paste and finding.certainty != "advice":
            shown.add(finding.rule)
            lines += [f"    {line}".rstrip() for line in finding.paste.splitlines()]
        elif finding.paste and "\n" not in finding.paste:
            lines[-1] += f" Code: {finding.paste}"
    if len(result.findings) > _RENDERED:
        lines.append(f"- and {len(result.findings) - _RENDERED} more findings")
    told = {finding.line for finding in result.findings}
    actions = [
        *(
            action
            for template in result.templates
            for choice in template.choices
            for action in choice.actions
        ),
        *(action for part in result.parts for action in part.actions),
    ]
    proved = sum(action.status == "proved" for action in actions)
    if actions:
        lines.append(f"- authority: {proved} of {_count(len(actions), 'ledger action')} proved")
    lines += [
        f"- line {action.line}: {action.action}{f' of {action.target}' if action.target else ''}: {_in_words(action)}"
        for action in actions
        if action.status == "fails_unless" and action.line not in told
    ][:_RENDERED]
    for item in sorted(result.intent, key=lambda item: _STATUSES.index(item.status)):
        place = f"line {item.line}: " if item.line else ""
        lines.append(f"- {item.status.replace('_', ' ')}: {item.requirement} ({place}{item.detail})")
    lines += [f"- not checked: {limit}" for limit in result.limits[:_RENDERED]]
    if result.era:
        lines.append(f"- written for Daml {result.era}")
    return "\n".join(lines)


def _grouped(findings: Iterable[FindingInfo]) -> list[tuple[FindingInfo, str]]:
    """Each finding with its line; with all their lines those that say the same."""
    groups: dict[tuple[str, str, str], list[FindingInfo]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.message, finding.fix), []).append(finding)
    return [
        (same[0], f"line{'s' if len(same) > 1 else ''} {', '.join(str(one.line) for one in same)}")
        for same in groups.values()
    ]


def _headline(result: ValidateResult) -> str:
    """The summary without the message of a finding, which follows in full."""
    first = next((finding for finding in result.findings if _grave(finding)), None)
    if first is None:
        return result.summary
    start = result.summary.find(f" {first.message} (")
    end = result.summary.find(f"{_line(first)}). ", start)
    return (
        result.summary[:start] + result.summary[end + len(f"{_line(first)}).") :]
        if 0 <= start < end
        else result.summary
    )


def _line(finding: FindingInfo) -> str:
    return f"line {finding.line}"


def _of_a_rule(problem: daml.Problem, told: set[int]) -> bool:
    """Whether a rule says the same, or has looked and found it in order."""
    outside = "stands outside its 'controller" in problem.message  # a fragment: the limits tell it
    return outside or problem.place.line in told or problem.message.endswith("has no controller")


def _in_words(action: ActionInfo) -> str:
    if action.status == "fails_unless":
        return f"fails unless {action.condition}"
    return "proved" if action.status == "proved" else f"unknown because {action.reason}"


def _judgeable(module: daml.Module) -> bool:
    """Whether there is anything to judge: a template, an interface, or a choice of a pasted fragment."""
    named = any(template.name or template.choices for template in module.templates)
    return bool(named or module.interfaces or module.loose_choices)


def _is_open(action: daml.Action) -> bool:
    """Whether it may fail for want of authority, for all that this text tells."""
    return action.verdict.status != "proved" and not (
        action.verdict.status == "fails_unless" and action.verdict.definite
    )


def _incomplete(code: daml.Judged) -> bool:
    """Whether something that may act on the ledger was passed over."""
    return bool(
        code.module.incomplete
        or code.analysis.incomplete
        or any(entry.gaps for entry in code.analysis.entries)
        or any(not choice.controllers for choice in code.module.loose_choices)
    )


def _wrong(finding: FindingInfo) -> bool:
    """Whether it fails whatever other contracts hold."""
    return finding.certainty == "definite" or (
        finding.certainty == "conditional" and finding.severity in ("critical", "high")
    )


def _grave(finding: FindingInfo) -> bool:
    """Whether it has to be looked at before anything is called valid."""
    return finding.severity in ("critical", "high")


def _verdict(found: list[FindingInfo], intent: list[IntentItem], undecided: bool) -> Verdict:
    if any(map(_wrong, found)):
        return "invalid"
    if any(item.status != "met" for item in intent):
        return "incomplete"
    return (
        "unknown"
        if undecided or any(one.certainty == "conditional" or _grave(one) for one in found)
        else "valid"
    )


def _summary(
    verdict: Verdict,
    code: daml.Judged,
    found: list[FindingInfo],
    intent: list[IntentItem],
    open_actions: list[daml.Action],
) -> str:
    module = code.module
    if not _judgeable(module):
        return f"Invalid: {found[0].message}."
    choices = len(module.loose_choices)
    choices += sum(len(template.choices) for template in module.templates)
    choices += sum(len(interface.choices) for interface in module.interfaces)
    read = f"{_count(len(module.templates), 'template')} and {_count(choices, 'choice')} read"
    wrong = [finding for finding in found if _wrong(finding)]
    others = len(found) - len(wrong)
    notes = f"; {_count(others, 'finding')} to look at" if others else ""
    match verdict:
        case "invalid":
            more = f" {_count(len(wrong), 'error')}{notes}; {read}."
            return f"Invalid: {wrong[0].message} ({_place(wrong[0])}).{more}"
        case "incomplete":
            named = _count(sum(item.status != "met" for item in intent), "stated requirement")
            return f"Incomplete: {named} not met or not found; no authorization error found{notes}; {read}."
        case "unknown":
            if grave := [finding for finding in found if _grave(finding)]:
                others = len(found) - len(grave)
                more = f"; {_count(others, 'further finding')}" if others else ""
                return (
                    f"Unknown: {grave[0].message} ({_place(grave[0])}). {_count(len(grave), 'grave finding')} that "
                    f"may be meant; no authorization error found{more}; {read}."
                )
            if not open_actions:
                return f"Unknown: some code was not read or followed; no authorization error found{notes}; {read}."
            first = open_actions[0]
            named = _count(len(open_actions), "ledger action")
            return (
                f"Unknown: {named} could not be proved from this text, first line {first.place.line} "
                f"({_verdict_words(first)}); no authorization error found{notes}; {read}."
            )
        case _:
            said = "" if intent else "; no stated requirement was understood"
            what = (
                "every ledger action read has the authority it needs"
                if code.analysis.actions()
                else "nothing wrong found, and there is no ledger action to authorize"
            )
            return f"Valid as far as checked: {what}{said}{notes}; {read}."


def _place(finding: FindingInfo) -> str:
    owner = f"{finding.template}.{finding.choice}, " if finding.template and finding.choice else ""
    return f"{owner}{_line(finding)}"


def _verdict_words(action: daml.Action) -> str:
    verdict = action.verdict
    name = action.template if action.kind == "archive" else action.choice or action.template
    target = f" of {name}" if name else ""
    if verdict.status == "fails_unless":
        return f"{action.kind}{target} fails unless {verdict.condition}"
    return f"{action.kind}{target} is unknown because {verdict.reason}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _intent(params: ValidateParams, code: daml.Judged) -> tuple[list[IntentItem], tuple[str, ...]]:
    """What became of each requirement, and sentences of the intent that are not understood."""
    lacking = daml.shortfalls(code.analysis)
    reading = daml.read_intent(params.business_intent, code.module, lacking)
    items = [
        IntentItem(
            requirement=item.text,
            source="business_intent",
            status=item.status,
            line=item.line,
            detail=item.detail,
        )
        for item in reading.requirements
    ]
    for text in params.security_requirements:
        understood = daml.requirements(text, code.module, lacking)
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
    return items, reading.unclear


def _limits(
    params: ValidateParams,
    code: daml.Judged,
    found: list[FindingInfo],
    intent: list[IntentItem],
    unclear: tuple[str, ...],
) -> list[str]:
    module, analysis = code.module, code.analysis
    limits = [
        f"line {action.place.line}: {_verdict_words(action)} (in {_owner(entry)})"
        for entry in analysis.entries
        for action in entry.actions
        if action.verdict.status == "unknown"
    ][:_MAX_LIMITS]
    limits += [
        f"line {gap.place.line}: {gap.name} is not followed: {gap.reason}"
        for entry in analysis.entries
        for gap in entry.gaps
    ][:_MAX_LIMITS]
    limits = list(dict.fromkeys(limits))
    if module.incomplete:
        limits.append(f"reading ended early: {module.incomplete}")
    if analysis.incomplete:
        limits.append(f"the analysis ended early: {analysis.incomplete}")
    if len(module.templates) > _MAX_LISTED or len(found) > _MAX_LISTED:
        limits.append(f"only the first {_MAX_LISTED} templates and findings are listed")
    limits += [f"not understood, check it by hand: '{clause}'" for clause in unclear[:10]]
    limits += [
        f"line {choice.place.line}: who controls {choice.name} stands outside of this fragment"
        for choice in module.loose_choices[:10]
        if not choice.controllers
    ]
    if analysis.scripts:
        limits.append("DAML Script tests were read, not run")
    if _judgeable(module) and not unclear and not any(item.source == "business_intent" for item in intent):
        limits.append(
            "the business intent holds no statement that could be checked; "
            "say for example 'only the owner can transfer' or 'the amount must be positive'"
        )
    if _judgeable(module):
        limits.append(
            "the code was read, not compiled: types, imports and values at run time were not checked"
        )
    return limits


def _owner(entry: daml.Entry) -> str:
    return f"{entry.owner}.{entry.name}" if entry.owner else entry.name


def _unread(code: daml.Judged) -> list[UnreadInfo]:
    places = [
        *((problem.place, problem.message) for problem in code.module.problems),
        *((gap.place, f"{gap.name}: {gap.reason}") for entry in code.analysis.entries for gap in entry.gaps),
    ]
    unique = dict.fromkeys((place.line, place.column, reason) for place, reason in places)
    return [
        UnreadInfo(line=line, column=column, reason=reason)
        for line, column, reason in list(unique)[:_MAX_LIMITS]
    ]


def _no_template(text: str) -> FindingInfo:
    return FindingInfo(
        rule="no-template",
        severity="critical",
        certainty="definite",
        line=1,
        column=1,
        template=None,
        choice=None,
        message="the text holds no DAML template (comments and strings do not count)"
        if text.strip()
        else "the code is empty",
        fix="send the module that declares the template: 'template Name with .. where signatory ..'",
        paste="",
    )


def _unreadable(problem: daml.Problem) -> FindingInfo:
    return FindingInfo(
        rule="unreadable",
        severity="high",
        certainty="definite",
        line=problem.place.line,
        column=problem.place.column,
        template=None,
        choice=None,
        message=problem.message,
        fix=f"{_mending(problem.message)}, then compile with 'daml build' or 'dpm build'",
        paste="",
    )


def _mending(message: str) -> str:
    """What to do about a place that could not be read; many messages say it themselves behind a colon."""
    found = (mending for word, mending in _MENDINGS if word in message)
    return next(
        found, "do as the message says" if ": " in message else "write it as the DAML grammar wants it"
    )


def _finding(finding: daml.Finding) -> FindingInfo:
    return FindingInfo(**asdict(finding))


def _template(template: daml.Template, code: daml.Judged) -> TemplateInfo:
    return TemplateInfo(
        name=template.name,
        line=template.place.line,
        fields=_fields(template.fields),
        signatories=_items(template.signatories, code),
        observers=_items(template.observers, code),
        ensure=_said(template.ensure, code) if template.ensure is not None else None,
        key=_said(template.key.value, code) if template.key is not None else None,
        maintainers=_items(template.maintainers, code),
        choices=[_choice(template, choice, code) for choice in template.choices],
    )


def _choice(template: daml.Template, choice: daml.Choice, code: daml.Judged) -> ChoiceInfo:
    entry = code.entry(template.name, choice)
    return ChoiceInfo(
        name=choice.name,
        line=choice.place.line,
        consuming=choice.consumption != "nonconsuming",
        kind=choice.consumption,
        controllers=_items(choice.controllers, code),
        observers=_items(choice.observers, code),
        parameters=_fields(choice.parameters),
        actions=[_action(action) for action in entry.actions] if entry is not None else [],
    )


def _parts(code: daml.Judged) -> list[PartInfo]:
    own = {
        (template.name, choice.name, choice.place.start)
        for template in code.module.templates
        for choice in template.choices
    }
    return [
        PartInfo(
            name=entry.name,
            kind=entry.kind,
            owner=entry.owner or None,
            interface=entry.interface,
            line=entry.place.line,
            available=[party.path for party in entry.available],
            actions=[_action(action) for action in entry.actions],
        )
        for entry in code.analysis.entries
        if entry.kind != "script" and (entry.owner, entry.name, entry.place.start) not in own
    ][:_MAX_LISTED]


def _fields(fields: Iterable[daml.Field]) -> list[FieldInfo]:
    return [FieldInfo(name=field.name, type=field.type.text) for field in fields]


def _items(clauses: Iterable[daml.Clause], code: daml.Judged) -> list[str]:
    return [_said(item, code) for clause in clauses for item in clause.items]


def _said(expression: daml.Expression, code: daml.Judged) -> str:
    """The source text of an expression, on one line."""
    return " ".join(code.text[expression.place.start : expression.place.end].split())


def _action(action: daml.Action) -> ActionInfo:
    exercised = action.kind in ("exercise", "exerciseByKey", "createAndExercise")
    return ActionInfo(
        kind=_KIND.get(action.kind, "fetch"),
        action=action.kind,
        target=(action.choice if exercised else None) or action.template,
        line=action.place.line,
        column=action.place.column,
        status=action.verdict.status,
        required=[party.path for party in action.required],
        available=[party.path for party in action.available],
        missing=[party.path for party in action.verdict.missing],
        condition=action.verdict.condition or None,
        certain=action.verdict.definite,
        reason=action.verdict.reason,
        branch=list(action.branch),
        via=[call.name for call in action.via],
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
    when=(
        "review DAML code before it is deployed",
        "check that every choice has the authority it needs",
        "compare a DAML contract with the business intent",
        "find out who must sign and who may act",
    ),
    good_at=(
        "authorization of ledger actions",
        "signatories and controllers",
        "saying what it cannot decide",
    ),
    bad_at=("type checking and compiling", "performance"),
)
