"""Requirements in plain words, compared with an outline.

Only a few forms are understood (who may do what, who must sign, bounds, times). What is not
understood is said to be so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from canton_mcp.daml.authority import Action, stakeholders
from canton_mcp.daml.syntax import Choice, Outline, Template

Status = Literal["met", "not_met", "not_found"]
Actions = dict[tuple[str, str], list[Action]]

_SENTENCE = re.compile(r"[.;\n]+(?:\s|$)|,\s+(?:and|but)\s+")
_MAX_SENTENCES = 60
_MODAL = (
    r"(?:can|may|is allowed to|are allowed to|is able to|shall be able to|should be able to|must be able to)"
)
_ONLY = re.compile(rf"\bonly (?:the |an? )?(\w+)(?: (?:or|and) (?:the |an? )?(\w+))? {_MODAL} (\w+)", re.I)
_NEVER = re.compile(
    r"\b(?:the |an? )?(\w+) (?:cannot|can't|can not|may not|must not|must never|can never) (\w+)", re.I
)
_MAY = re.compile(rf"\b(?:the |an? )?(\w+) {_MODAL} (\w+)", re.I)
_JOINT = re.compile(
    r"\b(?:both|all|each|every|jointly|together)\b.*\b(?:sign|approv|agree|consent|accept)", re.I
)
_CONSENT = re.compile(
    r"\b(?:consent|without (?:the )?(?:agreement|approval))\b|\bmust (?:accept|agree|approve)\b", re.I
)
_POSITIVE = re.compile(
    r"\bpositive\b|\bnon-?negative\b|\b(?:greater|more|larger|bigger) than (?:zero|0)\b|\babove (?:zero|0)\b|> ?0",
    re.I,
)
_BOUND = re.compile(r"\bat most\b|\bno more than\b|\bmaxim\w+|\blimit\w*|\bexceed\w*|\bcap(?:ped)?\b", re.I)
_TIME = re.compile(
    r"\bexpir\w+|\bdeadline\b|\buntil\b|\bwithin \d+|\b(?:hours?|days?|weeks?)\b|\bmaturity\b", re.I
)
_SUFFIX = re.compile(r"(?:ations?|ments?|ing|ions?|ers?|ors?|ees?|ed|es|s|e)\Z")
_ISSUE = frozenset({"creat", "issu", "mint"})
_NUMBERS = frozenset({"Decimal", "Int", "Numeric", "Date", "Time", "RelTime"})
_TESTS = frozenset(
    {
        "assert",
        "assertMsg",
        "require",
        "when",
        "unless",
        "if",
        "case",
        "assertWithinDeadline",
        "assertDeadlineExceeded",
    }
)
_CLOCK = frozenset(
    {
        "now",
        "getTime",
        "isLedgerTimeLT",
        "isLedgerTimeLE",
        "isLedgerTimeGT",
        "isLedgerTimeGE",
        "assertWithinDeadline",
        "assertDeadlineExceeded",
    }
)


@dataclass(frozen=True)
class Requirement:
    """One requirement, its status, and the line that decides it."""

    text: str
    status: Status
    line: int | None
    detail: str


def requirements(text: str, outline: Outline, actions: Actions) -> list[Requirement]:
    """The requirements understood in `text`, each with what the outline says about it."""
    found: list[Requirement] = []
    for sentence in _SENTENCE.split(text)[:_MAX_SENTENCES]:
        plain = " ".join(sentence.split())
        for alternatives in _RECOGNISERS:
            answers = (recognise(plain, outline, actions) for recognise in alternatives)
            answer = next((answer for answer in answers if answer is not None), None)
            if answer is not None:
                found.append(Requirement(plain[:300], *answer))
    return found


_Answer = tuple[Status, int | None, str]


def _only(sentence: str, outline: Outline, actions: Actions) -> _Answer | None:
    found = _ONLY.search(sentence)
    if found is None:
        return None
    who = [word for word in found.group(1, 2) if word]
    verb = found.group(3)
    choices = list(_choices(outline, verb))
    if not choices:
        return _only_issue(outline, who, verb)
    for template, choice in choices:
        controllers = [expr.text.removeprefix("this.") for expr in choice.controllers]
        strangers = [name for name in controllers if not any(_same(word, name) for word in who)]
        if strangers or not controllers:
            controlled = ", ".join(controllers) or "nobody"
            return "not_met", choice.line, f"{template.name}.{choice.name} is controlled by {controlled}"
    names = ", ".join(f"{template.name}.{choice.name}" for template, choice in choices)
    return "met", choices[0][1].line, f"{names}: controlled by {' or '.join(who)} alone"


def _only_issue(outline: Outline, who: list[str], verb: str) -> _Answer:
    if _stem(verb) not in _ISSUE:
        return "not_found", None, f"no choice is named like '{verb}'"
    for template in outline.templates:
        signed = [atom.text for atom in stakeholders(outline, template, template.signatories)]
        if any(_same(word, name) for word in who for name in signed):
            return (
                "met",
                template.line,
                f"creating {template.name} needs the signature of {', '.join(signed)}",
            )
    return "not_met", None, f"{' or '.join(who)} signs no template"


def _never(sentence: str, outline: Outline, actions: Actions) -> _Answer | None:
    found = _NEVER.search(sentence)
    if found is None:
        return None
    who, verb = found.groups()
    choices = list(_choices(outline, verb))
    if not choices:
        return "not_found", None, f"no choice is named like '{verb}'"
    for template, choice in choices:
        if any(_same(who, expr.text) for expr in choice.controllers):
            return "not_met", choice.line, f"{template.name}.{choice.name} is controlled by {who}"
    return "met", choices[0][1].line, f"no choice named like '{verb}' is controlled by {who}"


def _may(sentence: str, outline: Outline, actions: Actions) -> _Answer | None:
    found = _MAY.search(sentence)
    if found is None:
        return None
    who, verb = found.groups()
    choices = list(_choices(outline, verb))
    if not choices:
        return "not_found", None, f"no choice is named like '{verb}'"
    for template, choice in choices:
        if any(_same(who, expr.text) for expr in choice.controllers):
            return "met", choice.line, f"{template.name}.{choice.name} is controlled by {who}"
    template, choice = choices[0]
    controlled = ", ".join(expr.text for expr in choice.controllers) or "nobody"
    return (
        "not_met",
        choice.line,
        f"{template.name}.{choice.name} is controlled by {controlled}, not by {who}",
    )


def _consent(sentence: str, outline: Outline, actions: Actions) -> _Answer | None:
    if not (_CONSENT.search(sentence) or _JOINT.search(sentence)):
        return None
    for found in actions.values():
        for action in found:
            if action.kind == "create" and action.status == "fails_unless":
                missing = ", ".join(atom.text for atom in action.missing)
                return "not_met", action.line, f"the create of {action.target} lacks the consent of {missing}"
    for template in outline.templates:
        signed = stakeholders(outline, template, template.signatories)
        if len(signed) > 1 or any(atom.many for atom in signed):
            names = ", ".join(atom.text for atom in signed)
            return "met", template.line, f"{template.name} is signed by {names}"
    line = outline.templates[0].line if outline.templates else None
    return "not_met", line, "no template has more than one signatory"


def _positive(sentence: str, outline: Outline, actions: Actions) -> _Answer | None:
    return _bounded(outline, sentence) if _POSITIVE.search(sentence) else None


def _limited(sentence: str, outline: Outline, actions: Actions) -> _Answer | None:
    return _bounded(outline, sentence) if _BOUND.search(sentence) else None


def _bounded(outline: Outline, sentence: str) -> _Answer:
    words = [word for word in re.findall(r"\w+", sentence) if len(word) > 2]
    named = {
        entry.name: entry.line
        for template in outline.templates
        for fields in (template.fields, *(choice.parameters for choice in template.choices))
        for entry in fields
        if entry.type.strip("() ").split(" ")[0] in _NUMBERS
        and any(_same(word, entry.name) for word in words)
    }
    if not named:
        return "not_found", None, "no number field is named in this sentence"
    for line, texts in _guards(outline):
        plain = {text.removeprefix("this.") for text in texts}
        if plain & {">", ">=", "<", "<="} and plain & set(named):
            return "met", line, "a comparison of that field is there; its bound was not evaluated"
    name, line = next(iter(named.items()))
    return "not_met", line, f"nothing compares {name} with a bound"


def _timed(sentence: str, outline: Outline, actions: Actions) -> _Answer | None:
    if not _TIME.search(sentence):
        return None
    for line, texts in _guards(outline):
        if _CLOCK & set(texts):
            return "met", line, "a test of the ledger time is there; its direction was not evaluated"
    return "not_found", None, "no choice tests the ledger time"


def _guards(outline: Outline) -> Iterator[tuple[int, list[str]]]:
    """Line and words of every ensure clause and every testing statement."""
    tokens = outline.source.tokens
    for template in outline.templates:
        if template.ensure is not None:
            yield template.ensure.line, [tokens[index].text for index in range(*template.ensure.span)]
        for choice in template.choices:
            for start, end in choice.statements:
                texts = [tokens[index].text for index in range(start, end)]
                if _TESTS & set(texts):
                    yield tokens[start].line, texts


def _choices(outline: Outline, verb: str) -> Iterator[tuple[Template, Choice]]:
    return (
        (template, choice)
        for template in outline.templates
        for choice in template.choices
        if any(_stem(verb) == _stem(word) for word in _parts(choice.name))
    )


def _parts(name: str) -> list[str]:
    return re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)


def _stem(word: str) -> str:
    plain = word.lower()
    cut = _SUFFIX.sub("", plain)
    return cut if len(cut) >= 3 else plain


def _same(word: str, name: str) -> bool:
    """Whether a word of a sentence names a field: by the whole name, or by its last part."""
    return _stem(word) in {_stem(name), *(_stem(part) for part in _parts(name)[-1:])}


# Of each group the first that understands a sentence answers; one sentence may hold several requirements.
_RECOGNISERS: tuple[tuple[Callable[[str, Outline, Actions], _Answer | None], ...], ...] = (
    (_only, _never, _may),
    (_consent,),
    (_positive, _limited),
    (_timed,),
)
