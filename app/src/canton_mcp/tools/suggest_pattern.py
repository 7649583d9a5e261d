"""Tool `suggest_authorization_pattern`: which authorization pattern fits this workflow?"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from canton_mcp import daml
from canton_mcp.tools.base import (
    MAX_ITEM_CHARS,
    MAX_ITEMS,
    MAX_TEXT_CHARS,
    SILENT,
    Client,
    ParamsModel,
    ResultModel,
    Tool,
)

Constraint = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_ITEM_CHARS)]
Level = Literal["basic", "enhanced", "high"]


class SuggestParams(ParamsModel):
    """Arguments of `suggest_authorization_pattern`."""

    workflow_description: str = Field(
        min_length=1,
        max_length=MAX_TEXT_CHARS,
        description="Who takes part, who is bound by what, who acts when, what moves, what only may be seen.",
    )
    security_level: Level = Field(
        default="basic",
        description="basic: right signatories and visibility; enhanced: also guards, expiry and ways out; "
        "high: also joint control of value moves and no lone administrator.",
    )
    constraints: list[Constraint] = Field(
        default_factory=list,
        max_length=MAX_ITEMS,
        description="Things the solution must respect, one sentence each.",
    )


class PatternInfo(ResultModel):
    """A pattern of the catalogue."""

    id: str
    name: str
    when: str


class RoleInfo(ResultModel):
    """A party of the skeleton and how it takes part."""

    name: str
    bound_as: Literal["signatory", "observer", "controller"]
    duty: str


class AlternativeInfo(ResultModel):
    """A pattern considered and not chosen."""

    id: str
    name: str
    reason: str


class ConstraintInfo(ResultModel):
    """A given constraint and what the suggestion does about it."""

    constraint: str
    status: Literal["addressed", "yours_to_add", "not_understood"]
    detail: str


class SuggestResult(ResultModel):
    """Result of `suggest_authorization_pattern`."""

    pattern: PatternInfo | None = Field(description="The choice; null when the description does not decide.")
    level: Level
    summary: str
    reason: str
    roles: list[RoleInfo]
    flow: list[str] = Field(description="Steps in order: who does what, and whose authority it uses.")
    skeleton: str = Field(description="DAML text to start from; empty without a pattern.")
    hardening: list[str] = Field(description="What the security level asks for, in or beyond the skeleton.")
    traps: list[str]
    constraints: list[ConstraintInfo]
    alternatives: list[AlternativeInfo]
    questions: list[str] = Field(description="What to say for a better choice.")


def run(params: SuggestParams, client: Client = SILENT) -> SuggestResult:
    """Chooses the pattern whose cues weigh most in the description; asks once when none weighs enough."""
    text = params.workflow_description
    ranked = _ranked(text)
    if ranked[0][0] < _ENOUGH:
        answers = client.ask("Which pattern fits is not clear yet. Please say:", _open_questions(text))
        text = "\n".join([text, *(answers or {}).values()])
        ranked = _ranked(text)
    best_score, best, words = ranked[0]
    if best_score < _ENOUGH:
        return _undecided(params, text)
    named = ", ".join(f"'{word}'" for word in words)
    return SuggestResult(
        pattern=PatternInfo(id=best.id, name=best.name, when=best.when),
        level=params.security_level,
        summary=f"{best.name}: when {best.when}.",
        reason=f"{best.reason} Chosen by the words {named}.",
        roles=[RoleInfo(name=role.name, bound_as=role.bound_as, duty=role.duty) for role in best.roles],
        flow=list(best.flow),
        skeleton=best.skeleton,
        hardening=_hardening(best, params.security_level),
        traps=list(best.traps),
        constraints=[_constraint(text, best, ranked) for text in params.constraints],
        alternatives=[
            _alternative(score, pattern, found) for score, pattern, found in ranked[1 : 1 + _ALTERNATIVES]
        ],
        questions=_questions(text) if ranked[1][0] == best_score else [],
    )


def render(result: SuggestResult) -> str:
    """Choice, reason, steps, skeleton and traps as text."""
    lines = [result.summary, result.reason]
    lines += [f"{number}. {step}" for number, step in enumerate(result.flow, 1)]
    if result.skeleton:
        lines += ["", result.skeleton]
    lines += [f"- {result.level}: {item}" for item in result.hardening]
    lines += [f"- trap: {trap}" for trap in result.traps]
    lines += [
        f"- {item.constraint}: {item.status.replace('_', ' ')} ({item.detail})" for item in result.constraints
    ]
    lines += [f"- instead of {item.name}: {item.reason}" for item in result.alternatives]
    lines += [f"- please say: {question}" for question in result.questions]
    return "\n".join(lines)


def _ranked(text: str) -> list[tuple[int, daml.Pattern, list[str]]]:
    """Score, pattern and matched words; the best first, the catalogue's order among equals."""
    scored: list[tuple[int, daml.Pattern, list[str]]] = []
    for pattern in daml.PATTERNS:
        found = pattern.matches(text)
        scored.append(
            (sum(weight for weight, _ in found), pattern, [" ".join(word.split()) for _, word in found])
        )
    return sorted(scored, key=lambda entry: -entry[0])


def _undecided(params: SuggestParams, text: str) -> SuggestResult:
    return SuggestResult(
        pattern=None,
        level=params.security_level,
        summary="No pattern chosen: the description does not say who is bound, who acts and what moves.",
        reason="Too few words of the description point to any pattern; a guess would be worth nothing.",
        roles=[],
        flow=[],
        skeleton="",
        hardening=[],
        traps=[],
        constraints=[
            ConstraintInfo(
                constraint=text, status="not_understood", detail="no pattern was chosen to compare it with"
            )
            for text in params.constraints
        ],
        alternatives=[],
        questions=list(_open_questions(text).values()),
    )


def _questions(text: str) -> list[str]:
    return list(_unsaid(text).values()) or ["which of the alternatives comes nearest to the workflow?"]


def _open_questions(text: str) -> dict[str, str]:
    """What to ask when nothing is chosen: never empty."""
    return _unsaid(text) or {"steps": "step by step, who does what, and with whose consent?"}


def _unsaid(text: str) -> dict[str, str]:
    """Questions that the description does not answer, by their names."""
    return {name: question for name, cue, question in _QUESTIONS if not re.search(cue, text, re.I)}


def _hardening(pattern: daml.Pattern, level: Level) -> list[str]:
    if level == "basic":
        return []
    return [*pattern.enhanced, *(pattern.high if level == "high" else ())]


def _constraint(
    text: str, chosen: daml.Pattern, ranked: list[tuple[int, daml.Pattern, list[str]]]
) -> ConstraintInfo:
    for cue, in_skeleton, addressed, todo in _CONSTRAINTS:
        if re.search(cue, text, re.I):
            met = re.search(in_skeleton, chosen.skeleton) is not None
            return ConstraintInfo(
                constraint=text,
                status="addressed" if met else "yours_to_add",
                detail=addressed if met else todo,
            )
    other = next(
        (pattern for _, pattern, _ in ranked if pattern is not chosen and pattern.matches(text)), None
    )
    if other is not None:
        return ConstraintInfo(
            constraint=text,
            status="yours_to_add",
            detail=f"combine the skeleton with the pattern '{other.name}', which is for when {other.when}",
        )
    if chosen.matches(text):
        return ConstraintInfo(constraint=text, status="addressed", detail=f"it is what {chosen.name} is for")
    return ConstraintInfo(
        constraint=text, status="not_understood", detail="compare the skeleton with this constraint by hand"
    )


def _alternative(score: int, pattern: daml.Pattern, words: list[str]) -> AlternativeInfo:
    if score:
        named = ", ".join(f"'{word}'" for word in words)
        reason = f"fewer or weaker words point to it ({named}); it is for when {pattern.when}"
    else:
        reason = f"{pattern.against}, as far as the description says"
    return AlternativeInfo(id=pattern.id, name=pattern.name, reason=reason)


_ENOUGH = 2
_ALTERNATIVES = 3
_QUESTIONS = (
    ("bound", r"\bsign|\bbound\b|\boblig|\bagree", "who is bound by the contract and must sign it?"),
    (
        "actors",
        r"\bcan\b|\bmay\b|\bmust\b|\baccept|\bapprov|\btransfer",
        "who acts, when, and may others do the same?",
    ),
    ("watchers", r"\bsee\b|\bvisib|\bobserv|\baudit", "who only looks on?"),
    (
        "value",
        r"\basset|\btoken|\bmoney|\bpay|\bamount|\bcoin|\bbond|\bshare",
        "does anything of value move?",
    ),
    (
        "timing",
        r"\bonce\b|\brepeat|\bongoing|\bevery\b|\bdeadline|\buntil\b|\bexpir",
        "does it happen once or often, and is there a deadline?",
    ),
)
# (words of a constraint, what the skeleton has when it is addressed, that case, the other case)
_CONSTRAINTS = (
    (
        r"\bexpir|\bdeadline|\btime-?out|\bwithin \d|\bdays?\b|\bhours?\b",
        r"getTime",
        "the skeleton tests the ledger time",
        "add a field of type Time and assert in the choice that now is before it",
    ),
    (
        r"\brevo[ck]|\bwithdraw|\bcancel|\bterminat",
        r"choice (?:Revoke|Withdraw|Cancel|Terminate|Abandon|Unshare)",
        "the skeleton has a choice for it",
        "add a consuming choice for the party that may end it",
    ),
    (
        r"\breject|\bdeclin|\brefus",
        r"choice Reject",
        "the skeleton has a choice Reject",
        "add a consuming choice Reject for the party asked",
    ),
    (
        r"\blimit|\bmaxim|\bat most|\bcap\b|\bexceed",
        r"<=",
        "the skeleton compares with a bound",
        "add a bound as a field and assert it in the choice",
    ),
    (r"\bpositive|\bzero|\bnegative", r"> 0", "the skeleton ensures it", "add an ensure clause"),
    (
        r"\bconsent|\bboth\b|\bagree",
        r"signatory \w[\w.]*, \w",
        "the resulting contract carries the signatures of both",
        "make both parties signatories of the resulting contract",
    ),
)

EXAMPLES: tuple[dict[str, Any], ...] = (
    {
        "workflowDescription": "A supplier offers goods to a buyer. The buyer accepts or rejects the offer, "
        "and then both are bound by the agreement.",
        "constraints": ["An offer expires after 30 days"],
    },
    {
        "workflowDescription": "An owner transfers a tokenized bond to a new owner, who must agree before becoming "
        "its owner.",
        "securityLevel": "enhanced",
    },
    {
        "workflowDescription": "A payment from the treasury needs the approval of at least two of the five directors.",
        "securityLevel": "high",
        "constraints": ["No director approves twice"],
    },
)

TOOL = Tool(
    name="suggest_authorization_pattern",
    title="Suggest an authorization pattern",
    description="Chooses an authorization pattern for a workflow (propose-accept, delegation, role contract, "
    "locking, threshold approval and others) and gives roles, steps, a DAML skeleton, what the security "
    "level asks for, traps, and the alternatives with the reason against each.",
    params=SuggestParams,
    result=SuggestResult,
    run=run,
    render=render,
    examples=EXAMPLES,
    tags=("daml", "authorization", "design"),
)
