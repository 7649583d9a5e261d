"""Prompts for what DAML developers ask again and again: review, debug, design."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from canton_mcp import daml
from canton_mcp.catalogue.documents import LEVELS, Document, document
from canton_mcp.catalogue.recommend import recommend

_MAX_EMBEDDED = 3


@dataclass(frozen=True)
class Argument:
    """An argument of a prompt. `form` says how long its value may be, and which values a level has."""

    name: str
    title: str
    description: str
    form: Literal["code", "text", "level"]
    required: bool = False


@dataclass(frozen=True)
class Prompt:
    """A prompt. `build` takes the arguments that were given, checked, and returns what the user says.

    What it returns is text and whole documents, in the order in which the model is to read them.
    """

    name: str
    title: str
    description: str
    arguments: tuple[Argument, ...]
    build: Callable[[Mapping[str, str]], tuple[str | Document, ...]]


def _review(given: Mapping[str, str]) -> tuple[str | Document, ...]:
    intent = given.get("intent")
    purpose = (
        f"What it is for, in the words of its owner:\n\n{_fenced(intent)}"
        if intent
        else "Nobody said what it is for. Work that out from the code, state it in two sentences before anything "
        "else, use it as businessIntent, and mark it as your assumption."
    )
    task = f"""\
Review this DAML code for authorization: who is bound, who may act, who sees what, and whether each choice can do \
what it says.

{_fenced(given["code"], "daml")}

{purpose}

Proceed like this:
1. Call the tool validate_daml_business_logic with this code as damlCode and the purpose as businessIntent.
2. Make a table of every choice: who can exercise it, what it does, whose authority it uses.
3. Report the findings, the gravest first, with line, reason and remedy. Keep three things apart: what is wrong, \
what fails unless two parties coincide, and what is only worth a look. What a rule means is in canton://rules/ID.
4. Think beyond the tool: can a signatory be bound against its will, a contract be used twice, a value go \
negative, an offer stay open for ever, a contract id be swapped for another one?
5. Say what could not be decided from this text, and what you would need to see.
6. Give the corrected code and call the tool again with it. Stop when nothing is left that is wrong.
Never call the code secure: say what was checked, and how it came out."""
    return (task, *_documents("rules", _broken_rules(given["code"])))


def _debug(given: Mapping[str, str]) -> tuple[str | Document, ...]:
    code = given.get("code")
    source = (
        f"The code that it comes from:\n\n{_fenced(code, 'daml')}"
        if code
        else "The code is not at hand. If the answer depends on it, ask for the template and the choice involved."
    )
    task = f"""\
A Canton ledger, DAML Script or Studio gave this error. Find its cause and the smallest change that removes it.

{_fenced(given["error"])}

{source}

Proceed like this:
1. Call the tool debug_authorization_failure with the error as errorMessage{" and the code as damlCode" if code else ""}.
2. Say in one sentence what kind of refusal it is: authorization, visibility, contention, key, assertion, access \
token, package or syntax. Do not treat one kind with the remedy of another.
3. If authority is missing: who, at which action, inside which choice, and which parties were at hand there.
4. Offer the ways out with their consequences: who is bound afterwards, and who has to act once more than before. \
Recommend one. Prefer consent over more power for one party.
5. If you change code, check it with validate_daml_business_logic before you show it.
6. Add a test that submits as the party that must not succeed, and expects the failure."""
    guide = document("guides", "ledger-errors")
    rules = _documents("rules", _broken_rules(code, advice=False)) if code else ()
    return (task, *((guide,) if guide else ()), *rules)


def _design(given: Mapping[str, str]) -> tuple[str | Document, ...]:
    level = given.get("level", LEVELS[0])
    task = f"""\
Design the contracts for this workflow in DAML.

{_fenced(given["description"])}

The security level is {level}: {_LEVEL_TEXTS[level]}.

Proceed like this:
1. List the parties, and for each: is it bound (signatory), does it decide a step (controller), or does it only \
look on (observer)? Ask about what the description leaves open, rather than guess.
2. Call the tool suggest_authorization_pattern with the description as workflowDescription and the security level \
"{level}". Say why the pattern fits, and why the nearest alternative does not.
3. Write the templates from its skeleton, in the words of this workflow. For each step state whose authority is at \
hand and whose is needed.
4. Call validate_daml_business_logic with the code and the rules of the workflow as businessIntent. Repair what it \
finds, and repeat.
5. Write a script that plays the workflow, and for each step a submission by the wrong party that must fail.
6. Name what is left to decide: deadlines, who may leave, what happens if a party goes silent."""
    fitting = (entry.document for entry in recommend(given["description"], limit=50))
    patterns = [entry for entry in fitting if entry.category == "patterns"]
    guide = document("guides", "authorization")
    return (task, *patterns[:1], *((guide,) if guide else ()))


def _broken_rules(code: str, *, advice: bool = True) -> list[str]:
    """Rules that the code breaks, the gravest first; with or without what may be meant."""
    found = daml.judged(code).findings
    return list(dict.fromkeys(finding.rule for finding in found if advice or finding.certainty != "advice"))


def _documents(
    category: Literal["patterns", "rules", "guides"], names: Iterable[str]
) -> tuple[Document, ...]:
    found = (document(category, name) for name in names)
    return tuple(entry for entry in found if entry is not None)[:_MAX_EMBEDDED]


def _fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any in the text, so that the text cannot end it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.strip(chr(10))}\n{fence}"


_LEVEL_TEXTS = {
    "basic": "the right signatories, controllers and observers",
    "enhanced": "also guards on arguments, expiry of offers, and a way out for every party",
    "high": "also joint control or a threshold where value moves, and no party that alone can move what others own",
}
_CODE = "DAML source text: a module, or a fragment with at least one template."

PROMPTS: tuple[Prompt, ...] = (
    Prompt(
        name="review-template",
        title="Review a DAML template",
        description="Checks templates and choices for authorization, against what they are meant for.",
        arguments=(
            Argument("code", "DAML code", _CODE, "code", required=True),
            Argument(
                "intent", "Purpose", "What the contract is for: who may do what, limits, deadlines.", "text"
            ),
        ),
        build=_review,
    ),
    Prompt(
        name="debug-failure",
        title="Debug a ledger failure",
        description="Explains an error of a ledger, DAML Script or Studio, and finds the smallest fix.",
        arguments=(
            Argument(
                "error",
                "Error text",
                "The whole error text, from its code to the end.",
                "text",
                required=True,
            ),
            Argument("code", "DAML code", f"The code the error comes from. {_CODE}", "code"),
        ),
        build=_debug,
    ),
    Prompt(
        name="design-workflow",
        title="Design a workflow",
        description="From a description in plain words to parties, a pattern, templates and tests.",
        arguments=(
            Argument(
                "description",
                "Workflow",
                "Who takes part, who is bound by what, who acts when, what moves, what only may be seen.",
                "text",
                required=True,
            ),
            Argument(
                "level", "Security level", f"One of {', '.join(LEVELS)}; {LEVELS[0]} by default.", "level"
            ),
        ),
        build=_design,
    ),
)
