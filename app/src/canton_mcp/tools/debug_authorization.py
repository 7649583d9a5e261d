"""Tool `debug_authorization_failure`: what does this error mean, and what removes it?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import Field

from canton_mcp.daml.errors import Diagnosis, Family, Kind, classify
from canton_mcp.daml.places import Site, disagreement, places, sentence
from canton_mcp.daml.repair import fixes
from canton_mcp.daml.survey import Code, survey
from canton_mcp.tools.base import (
    MAX_CODE_CHARS,
    MAX_TEXT_CHARS,
    SILENT,
    Client,
    ParamsModel,
    ResultModel,
    Tool,
)


class DebugParams(ParamsModel):
    """Arguments of `debug_authorization_failure`."""

    error_message: str = Field(
        max_length=MAX_CODE_CHARS,
        description="The whole error text of the ledger, the participant log, DAML Script, Studio or the compiler, "
        "with whatever is wrapped around it.",
    )
    daml_code: str = Field(
        default="", max_length=MAX_CODE_CHARS, description="The DAML source the error comes from, if at hand."
    )
    context: str = Field(
        default="",
        max_length=MAX_TEXT_CHARS,
        description="What was submitted, and by whom (actAs, readAs).",
    )


class LocationInfo(ResultModel):
    """A place named by the error."""

    module: str
    line: int | None
    column: int | None


class PartyInfo(ResultModel):
    """A party that the error names."""

    name: str
    id: str = Field(description="The whole id, with the fingerprint after `::` where the text has it.")


class StepInfo(ResultModel):
    """A step from the submitted command down to the failure, as the error's trace or transaction shows it."""

    action: str
    template: str | None
    choice: str | None
    contract: str | None
    actors: list[str]


class OtherInfo(ResultModel):
    """Another error in the same text."""

    kind: Kind
    code: str | None
    summary: str


class SiteInfo(ResultModel):
    """A place in the given code that can raise this error."""

    template: str
    choice: str | None
    line: int
    action: str
    required: list[str]
    available: list[str]
    reason: str
    source: str = Field(description="The text of the action, on one line.")
    parties: dict[str, str] = Field(
        description="Roles in the code, and the parties that play them in this error."
    )
    command: bool = Field(
        description="The place is what a submitted command needs, not an action in a choice."
    )
    script: bool = Field(description="The place is a command that a script in the code submits.")
    decided: bool = Field(
        description="False where the code alone does not settle whether authority is missing."
    )


class FixInfo(ResultModel):
    """One way out, the best first."""

    title: str
    detail: str
    code: str | None = None
    reason: str = Field(description="Why it stands at this rank.")


class DebugResult(ResultModel):
    """Result of `debug_authorization_failure`."""

    kind: Kind
    family: Family = Field(
        description="Authorization, visibility, key, token and so on: what sort of refusal it is."
    )
    summary: str
    code: str | None = Field(description="Error code in the message, for example DAML_AUTHORIZATION_ERROR.")
    category: int | None = Field(description="Error category number that follows the code.")
    grpc: str | None = Field(description="gRPC status, as said or as it follows from the category.")
    correlation: str | None = Field(
        description="Correlation or trace id, to find the entry in the participant's log."
    )
    node: int | None = Field(description="Number in NodeId(N); 0 is the submitted command.")
    inside_choice: bool | None = Field(
        description="Whether it failed in the body of a choice; null if not known."
    )
    template: str | None
    template_id: str | None = Field(description="Package, module and name, as printed.")
    choice: str | None
    action: str | None = Field(description="create, exercise, fetch, archive or lookup, where named.")
    required: list[str]
    given: list[str]
    missing: list[str] = Field(description="Required minus given, by the name before `::`.")
    parties: list[PartyInfo]
    act_as: list[str]
    read_as: list[str]
    contracts: list[str]
    location: LocationInfo | None
    path: list[StepInfo]
    message: str | None = Field(description="What the code itself said when it stopped the transaction.")
    explanation: str
    sites: list[SiteInfo]
    disagreement: str | None = Field(
        description="Why the code sent cannot have raised this error, where that shows."
    )
    fixes: list[FixInfo]
    others: list[OtherInfo] = Field(description="Further errors in the same text.")
    need: list[str] = Field(description="What to send for a better answer.")
    limits: list[str] = Field(description="What was not checked, and why.")


def run(params: DebugParams, client: Client = SILENT) -> DebugResult:
    """Classifies the error and, with code, names the places that can raise it; tells its stages."""
    stages = 3 if params.daml_code.strip() else 1
    found = classify(params.error_message)
    client.progress(1, stages, f"error classified: {found.kind.replace('_', ' ')}")
    code: Code | None = None
    sites: tuple[Site, ...] = ()
    if stages > 1:
        code = survey(params.daml_code)
        client.progress(2, stages, "code read")
        sites = places(found, code)
        client.progress(3, stages, "error and code compared")
    odd = disagreement(found, code) if code else None
    return DebugResult(
        kind=found.kind,
        family=found.family,
        summary=_with_disagreement(_summary(found, sites), odd),
        code=found.code,
        category=found.category,
        grpc=found.grpc,
        correlation=found.correlation,
        node=found.node,
        inside_choice=found.inside_choice,
        template=found.template,
        template_id=found.template_id,
        choice=found.choice,
        action=found.action,
        required=list(found.required),
        given=list(found.given),
        missing=list(found.missing),
        parties=[PartyInfo(name=party.name, id=party.id) for party in found.parties],
        act_as=list(found.act_as),
        read_as=list(found.read_as),
        contracts=list(found.contracts),
        location=LocationInfo(
            module=found.location.module, line=found.location.line, column=found.location.column
        )
        if found.location
        else None,
        path=[
            StepInfo(
                action=step.action,
                template=step.template,
                choice=step.choice,
                contract=step.contract,
                actors=list(step.actors),
            )
            for step in found.path
        ],
        message=found.message,
        explanation=_explanation(found, sites),
        sites=[_site(site) for site in sites],
        disagreement=odd,
        fixes=[
            FixInfo(title=fix.title, detail=fix.detail, code=fix.code, reason=fix.reason)
            for fix in fixes(found, sites, code, odd)[: _FIXES_OF_OTHER_CODE if odd else None]
        ],
        others=[
            OtherInfo(kind=other.kind, code=other.code, summary=_summary(other, ())) for other in found.others
        ],
        need=_need(found, params, sites),
        limits=_limits(found, code, sites, odd),
    )


def render(result: DebugResult) -> str:
    """Summary, explanation, places and fixes as text."""
    lines = [result.summary, result.explanation]
    lines += [_site_line(site) for site in result.sites[:_MAX_SHOWN]]
    sketched = next((number for number, fix in enumerate(result.fixes) if fix.code), None)
    for number, fix in enumerate(result.fixes[:_MAX_FIXES]):
        lines.append(f"{number + 1}. {fix.title}: {fix.detail}{'' if fix.detail.endswith('?') else '.'}")
        lines += ["```daml", fix.code.rstrip(), "```"] if fix.code and number == sketched else []
    further = [
        f"{number}. {fix.title}" for number, fix in enumerate(result.fixes[_MAX_FIXES:], _MAX_FIXES + 1)
    ]
    lines += [f"Further: {'; '.join(further)}."] if further else []
    lines += [f"- also in this text: {other.summary}" for other in result.others[:_MAX_SHOWN]]
    lines += [f"- please send: {item}" for item in result.need]
    lines += [f"- not checked: {limit}" for limit in result.limits]
    return "\n".join(lines)


def _site_line(site: SiteInfo) -> str:
    where = (
        f"script {site.choice}"
        if site.script
        else ".".join(part for part in (site.template, site.choice) if part)
    )
    source = f": `{site.source}`" if site.source else ""
    who = ", ".join(f"{role} = {party}" for role, party in site.parties.items())
    return f"- line {site.line}, {where}{source}: {site.reason}{f' (here {who})' if who else ''}"


def _names(parties: Iterable[str]) -> str:
    return sentence(parties) or "nobody"


def _with_disagreement(summary: str, odd: str | None) -> str:
    """That the code is not what ran matters more than any way out, so it is said at once."""
    return f"{summary} But the code sent cannot have raised this: {odd}." if odd else summary


def _summary(found: Diagnosis, sites: Sequence[Site]) -> str:
    """What happened, in one or two sentences."""
    of = f" of {found.template}" if found.template else ""
    if found.kind == "missing_authorization" and found.missing:
        return _missing(found, sites)
    if found.kind == "missing_authorization" and found.required:
        return (
            f"Authorization: the text names {_names(found.required)} as required and the same names as given; the ids "
            "behind them must differ, but are cut off here."
        )
    if found.kind == "fetch_authorization" and found.required:
        return (
            f"Authorization: the fetch{of} needs one stakeholder of the contract, {_either(found.required)}; only "
            f"{_names(found.given)} acted."
        )
    if found.kind == "lookup_authorization" and found.required:
        has = f"; only {_names(found.given)} acted" if found.given else ""
        return f"Authorization: the key lookup{of} needs all maintainers, and {_names(found.missing)} is missing{has}."
    if found.kind == "maintainers_not_signatories" and found.missing:
        return f"Authorization: {_names(found.missing)} maintains the key{of} but does not sign the contract."
    if found.kind == "not_visible" and found.act_as:
        seen = f", only {_names(found.stakeholders)} can" if found.stakeholders else ""
        which = f"this {found.template} contract" if found.template else "the contract"
        return f"Visibility, not authorization: {_names(found.act_as)} cannot see {which}{seen}."
    if found.family == "rule" and found.message:
        on = f" on {found.template}" if found.template else ""
        where = f" in {found.template}.{found.choice}" if found.template and found.choice else on
        return f'A rule of the code itself stopped it{where}: "{found.message}". No authorizer is missing.'
    if found.kind == "syntax" and found.location:
        what = f" at '{found.offending}'" if found.offending else ""
        line = f"line {found.location.line}, column {found.location.column}"
        return f"The source does not compile: {line}{what}. The ledger is not involved."
    named = f" ({found.code})" if found.code else ""
    if found.kind == "access_token" and found.act_as:
        who = _names(found.act_as)
        return f"The access token does not allow acting as {who}; the DAML code was not run{named}."
    title = next((title for code, title in _BY_CODE.items() if (found.code or "").startswith(code)), None)
    if title is not None:
        return f"{title}{of}{named}."
    return f"{_TITLES[found.kind]}{named}."


def _missing(found: Diagnosis, sites: Sequence[Site]) -> str:
    enclosing = found.enclosing
    best = sites[0] if sites and not sites[0].command and found.inside_choice is not False else None
    submitted = sites[0] if sites and sites[0].body == "script" else None
    of = f" of {found.template}" if found.template else ""
    choice = f" of {found.choice}" if found.action == "exercise" and found.choice else ""
    on = f" on {found.template}" if found.template else ""
    what = f"the {found.action}{choice}{on if choice else of}" if found.action else f"an action{on}"
    if found.inside_choice is False and not found.action:
        what = f"the submitted command{on}"
    verb = "are" if len(found.missing) > 1 else "is"
    place = (
        f" in {enclosing.template}.{enclosing.choice}{f' (line {best.line})' if best else ''}"
        if enclosing
        else f", probably in {best.where} (line {best.line}),"
        if best
        else f" in script {submitted.choice} (line {submitted.line})"
        if submitted
        else ""
    )
    best = best or submitted
    role = (
        f" ({best.role(found.missing[0])})"
        if best
        and len(found.missing) == 1
        and best.role(found.missing[0]) not in (None, "", found.missing[0])
        else ""
    )
    if not found.given and found.node is None:  # Studio and logs name the missing parties alone
        return f"Authorization: {what}{place} lacks the authority of {_names(found.missing)}{role}."
    had = (
        f"only {_names(found.given)} {'were' if len(found.given) > 1 else 'was'}"
        if found.given
        else "nobody was"
    )
    return (
        f"Authorization: {what}{place} needs {_names(found.required)}, but {had} there: "
        f"{_names(found.missing)}{role} {verb} missing."
    )


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else "".join(names)


def _explanation(found: Diagnosis, sites: Sequence[Site]) -> str:
    if found.family != "authorization" or found.inside_choice is None:
        return found.explanation
    node = f"Node {found.node}" if found.node is not None else "It"
    if found.kind in ("maintainers_not_signatories", "no_authorizers"):
        return found.explanation
    if sites and sites[0].body == "script":
        return (
            f"{node} is what the script submits, so its authority is exactly that of actAs; readAs adds none."
        )
    if not found.inside_choice:
        return f"{node} is the submitted command itself, so its authority is exactly that of actAs; readAs adds none."
    best = next((site for site in sites if not site.command), None)
    if best is None:
        return (
            f"{found.explanation} {node} was reached inside a choice (or by a later command of the same submission): "
            "look at the signatories of its contract and at its controllers."
        )
    if best.body == "function":
        return (
            f"{node} was reached inside a choice. {best.choice} is a function: it has the authority of the choice that calls "
            "it, that is of the signatories and controllers there, whatever actAs holds."
        )
    return (
        f"{node} was reached inside a choice. In {best.where} the authority is that of "
        f"{_names(role.path for role in best.available)} (the signatories and the controllers), whatever actAs holds and "
        "whatever an outer choice had."
    )


def _site(site: Site) -> SiteInfo:
    undecided = "" if site.decided else "undecided: "
    return SiteInfo(
        template=site.template,
        choice=site.choice,
        line=site.line,
        action=site.action,
        required=[role.path for role in site.required],
        available=[role.path for role in site.available],
        reason=f"{undecided}{site.reason}",
        source=site.source,
        parties=dict(site.parties),
        command=site.command,
        script=site.body == "script",
        decided=site.decided,
    )


def _limits(found: Diagnosis, code: Code | None, sites: Sequence[Site], odd: str | None) -> list[str]:
    """What was not looked at."""
    if code is None or found.family != "authorization":
        return []
    limits = [f"line {line}: {message}" for line, message in code.problems[:5]]
    if not code.templates:
        return [*limits, "the code sent holds no template"]
    if found.template and code.template(found.template) is None:
        limits.append(f"template {found.template} of the error is not in this code")
    if odd:
        limits.append(
            "another version of the package may be on the ledger: compare its package id with this code"
        )
    elif not sites:
        limits.append(
            "no place in this code lacks that authority inside a choice: the submitted command itself, "
            "code that was not sent, or another version of the package may be the cause"
        )
    told = any(site.decided and (site.body == "script" or not site.command) for site in sites)
    if found.node and not found.path and not told:
        limits.append(
            "whether the submission held several commands: a later one has a node number above 0 as well"
        )
    return limits


def _need(found: Diagnosis, params: DebugParams, sites: Sequence[Site]) -> list[str]:
    need: list[str] = []
    if found.kind == "unknown":
        need.append("the complete error text, from its code (such as DAML_AUTHORIZATION_ERROR) to the end")
    if found.kind == "maintainers_not_signatories" and sites:
        return need  # it fails whoever submits it
    if found.family in ("authorization", "unknown"):
        if not params.daml_code.strip():
            need.append("the DAML code of the template and choice involved")
        scripted = any(site.body == "script" for site in sites)
        if not params.context.strip() and not found.act_as and not found.inside_choice and not scripted:
            need.append("what was submitted, and with which actAs and readAs")
    return need


_MAX_SHOWN = 5
_MAX_FIXES = 3
"""Ways out that the text tells at length; the structure has them all."""
_FIXES_OF_OTHER_CODE = 3
_TITLES: dict[Kind, str] = {
    "missing_authorization": "Authorization: a party did not authorize the action",
    "fetch_authorization": "Authorization: a fetch without a stakeholder among those who act",
    "lookup_authorization": "Authorization: a key lookup without its maintainers",
    "maintainers_not_signatories": "Authorization: key maintainers that are not signatories",
    "no_authorizers": "Authorization: an empty set of signatories, controllers or authorizers",
    "not_visible": "Visibility, not authorization: the submitting parties cannot see the contract",
    "contract_not_found": "Contract not found: archived, unknown, or not visible to the submitter",
    "contract_consumed": "The contract was consumed earlier in the same transaction",
    "contention": "Contention with another transaction, or a repeated command; the authorization is fine",
    "contract_key": "A contract key was missing, duplicate or misused",
    "precondition": "A rule of the code: the ensure clause of a template was false",
    "assertion": "A rule of the code itself stopped the transaction; no authorizer is missing",
    "effectful_rollback": "A caught exception would have to roll back ledger effects, which this ledger refuses",
    "unexpected_success": "A submission that had to fail succeeded",
    "access_token": "The access token does not allow it; the DAML code was not run",
    "topology": "Topology: a party is not hosted where it would have to be",
    "package": "The packages on the participants do not fit",
    "wrong_contract_type": "The contract is of another type",
    "invalid_command": "The command does not fit the package it names",
    "ledger_time": "The ledger time does not fit",
    "system": "The participant or synchronizer could not answer",
    "syntax": "The source does not compile; the ledger is not involved",
    "unknown": "The message is not recognised",
}

_BY_CODE = {
    "DUPLICATE_CONTRACT_KEY": "An active contract with this key exists already",
    "CONTRACT_KEY_NOT_FOUND": "There is no active contract with this key that the submitter may see",
    "CONTRACT_ID_IN_CONTRACT_KEY": "A contract id stands in a key, which no ledger allows",
    "CREATE_EMPTY_CONTRACT_KEY_MAINTAINERS": "The key of a new contract has an empty set of maintainers",
    "FETCH_EMPTY_CONTRACT_KEY_MAINTAINERS": "The key asked for has an empty set of maintainers",
    "INTERPRETATION_UPGRADE_ERROR": "The package version that was used does not take over the old contract",
}
"""Titles of codes, or of what they begin with, that say more than their kind."""

EXAMPLES: tuple[dict[str, Any], ...] = (
    {
        "errorMessage": "DAML_AUTHORIZATION_ERROR(8,5a1b09cd): Interpretation error: Error: node NodeId(2) "
        "(#iou:Iou:Iou) requires authorizers Bank,Bob, but only Alice,Bank were given",
        "damlCode": "module Iou where\n\ntemplate Iou\n  with\n    issuer : Party\n    owner : Party\n  where\n"
        "    signatory issuer, owner\n\n    choice Transfer : ContractId Iou\n      with newOwner : Party\n"
        "      controller owner\n      do create this with owner = newOwner\n",
        "context": "Alice exercises Transfer to Bob, actAs Alice",
    },
    {
        "errorMessage": "CONTRACT_NOT_FOUND(11,0): Contract could not be found with id 00ab12",
        "context": "Carol exercises Accept on a proposal that Alice made to Bob",
    },
    {
        "errorMessage": "node NodeId(3) requires one of the stakeholders TreeSet(Alice, Bank) of the fetched contract "
        "to be an authorizer, but authorizers were TreeSet(Carol)"
    },
)

TOOL = Tool(
    name="debug_authorization_failure",
    title="Debug an authorization failure",
    description="Explains a DAML or Canton error message: its kind, the parties whose authority was "
    "required, given and missing, the places in the code that can raise it, and ranked fixes. Tells "
    "authorization apart from visibility, contention, keys, assertions and access tokens.",
    params=DebugParams,
    result=DebugResult,
    run=run,
    render=render,
    examples=EXAMPLES,
    tags=("daml", "authorization", "errors"),
    when=(
        "explain a DAML or Canton error message",
        "a command fails with DAML_AUTHORIZATION_ERROR",
        "find out whose authority is missing, and where",
        "tell visibility or contention from authorization",
    ),
    good_at=("missing authorizers", "ranked fixes with code"),
    bad_at=("network and deployment faults",),
)
