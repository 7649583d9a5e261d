"""Tool `suggest_authorization_pattern`: which authorization pattern fits this workflow?"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from canton_mcp import daml
from canton_mcp.daml.choosing import Candidate, Decision, choose
from canton_mcp.daml.constraints import Considered, consider
from canton_mcp.daml.patterns import Level
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
    """Another pattern, and why it was not chosen, or what it is needed for besides."""

    id: str
    name: str
    reason: str


class ConstraintInfo(ResultModel):
    """A given constraint and what the suggestion does about it."""

    constraint: str
    status: Literal["addressed", "yours_to_add", "not_understood"]
    detail: str
    code: str = Field(description="DAML to add where the skeleton does nothing about it yet; else empty.")


class SuggestResult(ResultModel):
    """Result of `suggest_authorization_pattern`."""

    pattern: PatternInfo | None = Field(description="The choice; null when the description does not decide.")
    level: Level
    summary: str
    reason: str
    roles: list[RoleInfo]
    flow: list[str] = Field(description="Steps in order: who does what, and whose authority it uses.")
    skeleton: str = Field(
        description="A DAML module of the level to start from, with a script that tests it; empty without a pattern."
    )
    hardening: list[str] = Field(description="What the security level asks for, in or beyond the skeleton.")
    traps: list[str]
    constraints: list[ConstraintInfo]
    combine: list[AlternativeInfo] = Field(description="Further patterns that parts of the workflow ask for.")
    alternatives: list[AlternativeInfo] = Field(
        description="Patterns not chosen, each with the reason against it."
    )
    questions: list[str] = Field(description="What to say for a better choice.")


def run(params: SuggestParams, client: Client = SILENT) -> SuggestResult:
    """Chooses the pattern that the description speaks for; asks once when it speaks for none."""
    text = params.workflow_description
    decision = choose(text, params.constraints)
    if decision.chosen is None:
        answers = client.ask("Which pattern fits is not clear yet. Please say:", _open_questions(text))
        text = "\n".join([text, *(answers or {}).values()])
        decision = choose(text, params.constraints)
    considered = consider(params.constraints, decision, params.security_level)
    constraints = [
        ConstraintInfo(constraint=item.constraint, status=item.status, detail=item.detail, code=item.code)
        for item in considered
    ]
    if decision.chosen is None:
        return _undecided(params, text, constraints)
    best = decision.chosen.pattern
    return SuggestResult(
        pattern=PatternInfo(id=best.id, name=best.name, when=best.when),
        level=params.security_level,
        summary=f"{best.name}: when {best.when}.",
        reason=_reason(decision.chosen),
        roles=[RoleInfo(name=role.name, bound_as=role.bound_as, duty=role.duty) for role in best.roles],
        flow=list(best.flow),
        skeleton=best.code(params.security_level),
        hardening=_hardening(best, params.security_level),
        traps=list(best.traps),
        constraints=constraints,
        combine=[
            _info(entry, f"{_quoted(entry)} asks for it besides: it is for when {entry.pattern.when}")
            for entry in decision.also
        ]
        + _asked_by_constraints(considered, decision),
        alternatives=_alternatives(decision),
        questions=_questions(text) if decision.close else [],
    )


def render(result: SuggestResult) -> str:
    """Choice, reason, steps, skeleton and traps as text."""
    lines = [result.summary, result.reason]
    lines += [f"{number}. {step}" for number, step in enumerate(result.flow, 1)]
    if result.skeleton:
        lines += ["", "```daml", result.skeleton.rstrip(), "```"]
    lines += [f"- {result.level}: {item}" for item in result.hardening]
    lines += [f"- trap: {trap}" for trap in result.traps]
    for item in result.constraints:
        lines.append(f"- {item.constraint}: {item.status.replace('_', ' ')} ({item.detail})")
        lines += ["```daml", item.code.rstrip(), "```"] if 0 < len(item.code) <= _MAX_SHOWN_CODE else []
    lines += [f"- combine with {item.name}: {item.reason}" for item in result.combine]
    lines += [f"- instead of {item.name}: {item.reason}" for item in result.alternatives]
    lines += [f"- please say: {question}" for question in result.questions]
    return "\n".join(lines)


def _reason(chosen: Candidate) -> str:
    """Why this pattern, in the caller's words."""
    said = f" You say {_quoted(chosen)}." if chosen.words else ""
    note = f" {chosen.note[:1].upper()}{chosen.note[1:]}." if chosen.note else ""
    return f"{chosen.pattern.reason}{said}{note}"


def _quoted(entry: Candidate) -> str:
    return ", ".join(f"'{word}'" for word in entry.words[:_QUOTES])


def _info(entry: Candidate, reason: str) -> AlternativeInfo:
    return AlternativeInfo(id=entry.pattern.id, name=entry.pattern.name, reason=reason)


def _asked_by_constraints(considered: list[Considered], decision: Decision) -> list[AlternativeInfo]:
    """Patterns that constraints ask for besides the chosen one, each once."""
    by_id = {entry.pattern.id: entry for entry in decision.ranked}
    known = {entry.pattern.id for entry in decision.also}
    asked = {item.besides: item.constraint for item in reversed(considered) if item.besides}
    return [
        _info(by_id[name], f"the constraint '{text}' asks for it: it is for when {by_id[name].pattern.when}")
        for name, text in reversed(asked.items())
        if name not in known
    ]


def _alternatives(decision: Decision) -> list[AlternativeInfo]:
    """What comes next by the words, then what the chosen pattern is commonly confused with, then what is ruled out."""
    chosen = decision.chosen
    assert chosen is not None
    combined = {entry.pattern.id for entry in (chosen, *decision.also)}
    others = [entry for entry in decision.ranked if entry.pattern.id not in combined]
    conditions = dict(chosen.pattern.alternatives)
    next_best = [entry for entry in others if entry.points > 1 or entry.note or entry.denied]
    usual = [entry for entry in others if entry.pattern.id in conditions]
    picked = list(dict.fromkeys(entry.pattern.id for entry in (*next_best[:_ALTERNATIVES], *usual)))[
        : _ALTERNATIVES + 1
    ]
    by_id = {entry.pattern.id: entry for entry in others}
    return [_info(by_id[name], _against(by_id[name], conditions.get(name, ""))) for name in picked]


def _against(entry: Candidate, condition: str) -> str:
    parts: list[str] = []
    if entry.denied:
        parts.append(f"the description rules it out ('{entry.denied[0]}' is denied)")
    if entry.note:
        parts.append(entry.note)
    elif entry.words and entry.points > 1:
        parts.append(f"fewer or weaker words point to it ({_quoted(entry)})")
    elif not entry.denied:
        parts.append(f"{entry.pattern.against}, as far as the description says")
    parts.append(f"it is right if {condition}" if condition else f"it is for when {entry.pattern.when}")
    return "; ".join(parts)


def _undecided(params: SuggestParams, text: str, constraints: list[ConstraintInfo]) -> SuggestResult:
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
        constraints=constraints,
        combine=[],
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


_ALTERNATIVES = 3
_QUOTES = 4
_MAX_SHOWN_CODE = 800
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
    "locking, threshold approval and twelve others) and gives roles, steps, a DAML skeleton, what the security "
    "level asks for, traps, and the alternatives with the reason against each.",
    params=SuggestParams,
    result=SuggestResult,
    run=run,
    render=render,
    examples=EXAMPLES,
    tags=("daml", "authorization", "design"),
    when=(
        "design who signs what in a new DAML workflow",
        "choose between propose-accept, delegation and roles",
        "start from a DAML skeleton with the right signatories",
    ),
    good_at=("authorization patterns", "skeletons with a test", "alternatives with reasons"),
    bad_at=("workflows told in one vague line",),
)
