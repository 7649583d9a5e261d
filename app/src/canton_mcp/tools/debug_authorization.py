"""Tool `debug_authorization_failure`: what does this error mean, and what removes it?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from canton_mcp import daml
from canton_mcp.daml import ErrorKind as Kind
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
        max_length=MAX_TEXT_CHARS,
        description="The whole error text of the ledger, the participant log, DAML Script or Studio.",
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


class SiteInfo(ResultModel):
    """A place in the given code that can raise this error."""

    template: str
    choice: str | None
    line: int
    action: str
    required: list[str]
    available: list[str]
    reason: str


class FixInfo(ResultModel):
    """One way out, the best first."""

    title: str
    detail: str
    code: str | None = None


class DebugResult(ResultModel):
    """Result of `debug_authorization_failure`."""

    kind: Kind
    summary: str
    code: str | None = Field(description="Error code in the message, for example DAML_AUTHORIZATION_ERROR.")
    category: int | None = Field(description="Error category number that follows the code.")
    node: int | None = Field(description="Number in NodeId(N); 0 is the submitted command.")
    template: str | None
    choice: str | None
    action: str | None = Field(description="create, exercise, fetch, archive or lookup, where named.")
    required: list[str]
    given: list[str]
    missing: list[str] = Field(description="Required minus given, by the name before `::`.")
    location: LocationInfo | None
    explanation: str
    sites: list[SiteInfo]
    fixes: list[FixInfo]
    need: list[str] = Field(description="What to send for a better answer.")
    limits: list[str] = Field(description="What was not checked, and why.")


def run(params: DebugParams, client: Client = SILENT) -> DebugResult:
    """Classifies the error and, with code, names the places that can raise it; tells its stages."""
    stages = 3 if params.daml_code.strip() else 1
    diagnosis = daml.classify(params.error_message)
    client.progress(1, stages, f"error classified: {diagnosis.kind.replace('_', ' ')}")
    outline: daml.Outline | None = None
    if stages > 1:
        outline = daml.read(params.daml_code)
        client.progress(2, stages, "code read")
    sites, limits = _sites(diagnosis, outline)
    if stages > 1:
        client.progress(3, stages, "error and code compared")
    location = diagnosis.location
    return DebugResult(
        kind=diagnosis.kind,
        summary=_summary(diagnosis),
        code=diagnosis.code,
        category=diagnosis.category,
        node=diagnosis.node,
        template=diagnosis.template,
        choice=diagnosis.choice,
        action=diagnosis.action,
        required=list(diagnosis.required),
        given=list(diagnosis.given),
        missing=list(diagnosis.missing),
        location=LocationInfo(module=location.module, line=location.line, column=location.column)
        if location
        else None,
        explanation=_explanation(diagnosis),
        sites=sites,
        fixes=_fixes(diagnosis, sites),
        need=_need(diagnosis, params),
        limits=limits,
    )


def render(result: DebugResult) -> str:
    """Summary, explanation, places and fixes as text."""
    lines = [result.summary, result.explanation]
    lines += [f"- line {site.line}: {site.action}: {site.reason}" for site in result.sites]
    lines += [f"{number}. {fix.title}: {fix.detail}" for number, fix in enumerate(result.fixes, 1)]
    lines += [f"- please send: {item}" for item in result.need]
    lines += [f"- not checked: {limit}" for limit in result.limits]
    return "\n".join(lines)


def _names(parties: Iterable[str]) -> str:
    return ", ".join(parties) or "nobody"


def _summary(diagnosis: daml.Diagnosis) -> str:
    where = f" of {diagnosis.template}" if diagnosis.template else ""
    what = f"{diagnosis.action or 'an action'}{where}"
    if diagnosis.kind == "missing_authorization" and diagnosis.missing:
        given = f"; given: {_names(diagnosis.given)}" if diagnosis.given else ""
        return f"Missing authorization of {_names(diagnosis.missing)} for {what}{given}."
    if diagnosis.kind == "fetch_authorization" and diagnosis.required:
        return (
            f"No stakeholder ({_names(diagnosis.required)}) is among the authorizing parties "
            f"({_names(diagnosis.given)}) of a fetch{where}."
        )
    named = f" ({diagnosis.code})" if diagnosis.code else ""
    return f"{_TITLES[diagnosis.kind]}{named}."


def _explanation(diagnosis: daml.Diagnosis) -> str:
    if diagnosis.node is None or diagnosis.kind not in _AUTHORITY_KINDS:
        return diagnosis.explanation
    if diagnosis.node == 0:
        return f"{diagnosis.explanation} Node 0 is the submitted command itself: look at actAs first."
    return (
        f"{diagnosis.explanation} Node {diagnosis.node} was reached inside a choice: "
        "look at the signatories of its contract and at its controllers."
    )


def _sites(diagnosis: daml.Diagnosis, outline: daml.Outline | None) -> tuple[list[SiteInfo], list[str]]:
    """Actions in the code that fit the error, and what was not looked at."""
    if outline is None or diagnosis.kind not in _AUTHORITY_KINDS:
        return [], []
    limits = [f"line {problem.line}: {problem.message}" for problem in outline.problems[:5]]
    if not outline.templates:
        return [], [*limits, "the code sent holds no template"]
    sites: list[SiteInfo] = []
    for (template, choice), actions in daml.analyse(outline).items():
        for action in actions:
            if action.status != "proved" and _fits(diagnosis, action, template, choice):
                sites.append(_site(template, choice, action))
    sites.sort(key=lambda site: site.reason.startswith("undecided"))
    if not sites:
        limits.append(
            "no place in this code lacks that authority inside a choice: the submitted command itself, "
            "code that was not sent, or another version of the package may be the cause"
        )
    return sites[:_MAX_SITES], limits


def _fits(diagnosis: daml.Diagnosis, action: daml.Action, template: str, choice: str) -> bool:
    if diagnosis.kind == "fetch_authorization" and action.kind != "fetch":
        return False
    if diagnosis.kind == "lookup_authorization" and action.kind != "lookup":
        return False
    if diagnosis.kind == "missing_authorization" and action.kind in ("fetch", "lookup"):
        return False
    if diagnosis.action is not None and diagnosis.action != action.kind:
        return False
    if diagnosis.template is None or action.target is None:
        return True
    # An exercise is shown by its choice, the error by the template of its contract.
    return action.kind == "exercise" or action.target == diagnosis.template


def _site(template: str, choice: str, action: daml.Action) -> SiteInfo:
    undecided = "undecided: " if action.status == "unknown" else ""
    return SiteInfo(
        template=template,
        choice=choice,
        line=action.line,
        action=f"{action.kind}{f' of {action.target}' if action.target else ''} in {template}.{choice}",
        required=[atom.text for atom in action.required],
        available=[atom.text for atom in action.available],
        reason=f"{undecided}{action.reason}",
    )


def _fixes(diagnosis: daml.Diagnosis, sites: list[SiteInfo]) -> list[FixInfo]:
    missing = _names(diagnosis.missing) if diagnosis.missing else "the missing party"
    if diagnosis.kind != "missing_authorization":
        return [FixInfo(title=title, detail=detail) for title, detail in _FIXES[diagnosis.kind]]
    submit = FixInfo(
        title=f"Submit as {missing}, too",
        detail=f"add {missing} to actAs, if one participant may act for all of these parties",
    )
    propose = FixInfo(
        title="Let the party consent first (propose and accept)",
        detail=f"create a proposal that {missing} accepts: controlling Accept gives its authority",
        code="choice Accept : ContractId Agreement\n  controller counterparty\n"
        "  do create Agreement with proposer; counterparty; terms",
    )
    control = FixInfo(
        title="Make it a controller of the choice",
        detail=f"with {missing} among the controllers of {sites[0].choice if sites else 'the enclosing choice'}, "
        "its authority is available in the body; all controllers then submit together",
    )
    sign = FixInfo(
        title="Make it a signatory of the enclosing contract",
        detail=f"a contract that {missing} signed earlier lends its authority to its choices "
        "(role contract, delegation)",
    )
    observe = FixInfo(
        title="Turn it from signatory into observer",
        detail=f"right only if {missing} is to see the contract but is not bound by it",
    )
    inside = bool(sites) or bool(diagnosis.node)
    return [propose, control, sign, submit, observe] if inside else [submit, propose, sign, observe]


def _need(diagnosis: daml.Diagnosis, params: DebugParams) -> list[str]:
    need: list[str] = []
    if diagnosis.kind == "unknown":
        need.append("the complete error text, from its code (such as DAML_AUTHORIZATION_ERROR) to the end")
    if diagnosis.kind in (*_AUTHORITY_KINDS, "unknown"):
        if not params.daml_code.strip():
            need.append("the DAML code of the template and choice involved")
        if not params.context.strip() and (diagnosis.node in (0, None)):
            need.append("what was submitted, and with which actAs and readAs")
    return need


_MAX_SITES = 20
_AUTHORITY_KINDS = (
    "missing_authorization",
    "fetch_authorization",
    "lookup_authorization",
    "maintainers_not_signatories",
    "no_authorizers",
)
_TITLES: dict[Kind, str] = {
    "missing_authorization": "Missing authorization",
    "fetch_authorization": "A fetch without the authority of a stakeholder",
    "lookup_authorization": "A key lookup without the authority of the maintainers",
    "maintainers_not_signatories": "Key maintainers that are not signatories",
    "no_authorizers": "An empty set of signatories, controllers or authorizers",
    "not_visible": "The contract is not visible to the submitting parties",
    "contract_not_found": "Contract not found: archived, unknown or not visible",
    "contract_consumed": "The contract was consumed earlier in the same transaction",
    "contention": "Contention with another transaction, or a repeated command",
    "contract_key": "A contract key was missing, duplicate or misused",
    "precondition": "The precondition (ensure) of a template was false",
    "assertion": "The DAML code stopped the transaction itself",
    "unexpected_success": "A submission that had to fail succeeded",
    "access_token": "The access token does not allow it",
    "topology": "A party or synchronizer is not reachable as needed",
    "package": "The packages do not fit",
    "wrong_contract_type": "The contract is of another type",
    "syntax": "The source does not parse",
    "unknown": "The message is not recognised",
}
_FIXES: dict[Kind, tuple[tuple[str, str], ...]] = {
    "missing_authorization": (),
    "fetch_authorization": (
        (
            "Fetch where a stakeholder acts",
            "make a signatory or observer of the contract a controller of the choice",
        ),
        ("Add the acting party as observer", "an observer is a stakeholder, and one stakeholder is enough"),
    ),
    "lookup_authorization": (
        ("Look up as the maintainers", "move the lookup to a choice the maintainers control or have signed"),
        ("Pass the contract id", "use fetch with a contract id, which needs one stakeholder only"),
    ),
    "maintainers_not_signatories": (
        ("Add the maintainer as signatory", "every maintainer of the key must sign the contract"),
        ("Choose another maintainer", "take it from the signatories"),
    ),
    "no_authorizers": (
        (
            "Keep the collection from being empty",
            "add 'ensure not (null parties)', or a signatory of type Party",
        ),
    ),
    "not_visible": (
        ("Make the party an observer", "stakeholders see the contract"),
        ("Disclose the contract", "pass it as a disclosed contract with the command"),
        ("Submit with readAs", "add a stakeholder to readAs, if the token allows it"),
    ),
    "contract_not_found": (
        ("Look at the contract's fate", "was it archived? use the id of its successor"),
        (
            "Check visibility",
            "a party of actAs or readAs must be a stakeholder, or the contract be disclosed",
        ),
        ("Check participant and synchronizer", "the id must come from the same ledger"),
    ),
    "contract_consumed": (
        ("Use the data, not the contract", "inside a consuming choice read 'this' instead of fetching self"),
        ("Make the choice nonconsuming", "if the contract is to stay active"),
        ("Use the new contract id", "after an archive and create, go on with the id the create returned"),
    ),
    "contention": (
        (
            "Retry with fresh contract ids",
            "read the active contracts again, then submit with a new command id",
        ),
        ("Spread the load", "split the contract that many commands consume"),
    ),
    "contract_key": (
        (
            "Check the key and its maintainers",
            "is there one active contract with that key, visible to the submitter?",
        ),
        ("Check the version", "keys are not unique in every ledger version, and absent in some 3.x versions"),
    ),
    "precondition": (
        ("Check the arguments of the create", "compare them with the ensure clause of the template"),
    ),
    "assertion": (("Read the assertion's message", "find it in the code and satisfy its condition"),),
    "unexpected_success": (
        ("Check the test", "submit as the one party that must not be able to do it"),
        ("Check the choice", "is there a guard on a controller that comes from an argument?"),
    ),
    "access_token": (
        ("Check the user's rights", "grant CanActAs (or CanReadAs) for the party, or use another token"),
        ("Check the audience and expiry of the token", "the participant log names the claim that is missing"),
    ),
    "topology": (
        (
            "Check where the parties are hosted",
            "every informee needs a participant connected to the synchronizer",
        ),
    ),
    "package": (
        ("Upload and vet the package on every participant involved", "then submit again"),
        ("Check the upgrade", "signatories, observers and keys must not change under the new version"),
    ),
    "wrong_contract_type": (
        ("Check the contract id", "it must come from the expected template or interface instance"),
    ),
    "syntax": (
        ("Look at the indentation around the place named", "blocks open after where, with, do and of"),
        (
            "Check the order in the choice",
            "in current DAML 'controller' follows 'with' and comes before 'do'",
        ),
    ),
    "unknown": (),
}

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
)
