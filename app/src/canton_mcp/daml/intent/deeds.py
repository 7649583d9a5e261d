"""Who may do what: 'only the owner can', 'the bank must not', 'the offer can be withdrawn'."""

from __future__ import annotations

import re

from canton_mcp.daml.intent.bounds import BOUND
from canton_mcp.daml.intent.changes import CHANGING
from canton_mcp.daml.intent.clauses import (
    EITHER,
    LIST,
    MODAL,
    NOT,
    WHO,
    all_of,
    jointly,
    located,
    one_of,
    parties_of,
)
from canton_mcp.daml.intent.code import EMPTY_VERBS, Code, free_actor, guarded_actor
from canton_mcp.daml.intent.consent import ALONE, CONSENT
from canton_mcp.daml.intent.model import Answer
from canton_mcp.daml.intent.times import TIMED
from canton_mcp.daml.words import stem, stems, words

__all__ = ["may", "never", "only", "possible"]

_ONLY = (
    re.compile(rf"\bonly {LIST} (?:{MODAL}|(?:is|are) \w+ to) (?:be )?(?:also )?(\w+)(.*)", re.I),
    re.compile(rf"\b(?:nobody|no one|no-one|no other party|no party|none)(?: else)? (?:but|except|other than|besides) {LIST} "
               rf"(?:{MODAL} )?(\w+)(.*)", re.I),
    re.compile(r"\bonly (?:the |an? )?([\w']+(?: (?:or|and) (?:the |an? )?[\w']+)?) (\w+s)\b(.*)", re.I),
)  # fmt: skip
_ONLY_BY = re.compile(
    rf"\b(?:{MODAL} only be|{MODAL} be|is|are) (\w+) (?:only |solely |exclusively )by (?:the "
    rf"|an? )?{LIST}(?:[,.]|$|\s(?:and|when|if|after|before|once)\b)"
    rf"|\b(?:can|may|must|is|are)(?: only)? (?:be )?(?:only )?(\w+) by {LIST} (?:only|alone)\b"
    rf"|\bonly be (\w+) by {LIST}(?:[,.]|$|\s(?:and|when|if|after|before|once)\b)"
    rf"|\b(\w+) (?:is|are) (?:reserved for|limited to|restricted to|only for|up to) {LIST}(?:[,.]|$)",
    re.I,
)
_NEVER = re.compile(rf"\b{WHO} {NOT} (?:also |ever )?(?!be\b)(\w+)(.*)", re.I)
_NEITHER = re.compile(rf"\bneither {LIST} {MODAL} (\w+)(.*)", re.I)
_TOGETHER = re.compile(r"\b(?:together|jointly|both)\b", re.I)
_NO_ONE = re.compile(
    rf"\b(?:nobody|no one|no-one|no party|no other party)(?: else)? {MODAL} (?:ever )?(?!be\b)(\w+)(.*)",
    re.I,
)
_NEVER_BY = re.compile(rf"\b{NOT} be (\w+)\b(?:[^,.]*?) by (?:the |an? )?{LIST}(?:[,.]|$)", re.I)
_MAY = re.compile(
    rf"\b{WHO} {MODAL} (?:also |then |always |alone )?(?!be\b|not\b|never\b|only\b)(\w+)(.*)", re.I
)
_MAY_BY = re.compile(rf"\b{MODAL} be (\w+)\b(?:[^,.]*?) by (?:the |an? )?{LIST}(?:[,.]|$)", re.I)
_PLAIN = re.compile(r"\b(?:the|an?|each|any|every) (\w+(?: \w+)?) (\w+s)\b(.*)", re.I)
_CREATION = stems("create issue mint establish open set")
_CONSENTS = stems("consent agree sign approve authorize authorise co-sign confirm accept")
_WHEN = frozenset(
    {"after", "before", "until", "if", "when", "once", "while", "during", "for", "with", "within"}
)
_SEEING = stems("see view observe read look inspect monitor audit")
_POSSIBLE = re.compile(rf"\b(?:the |an? )?(\w+(?: \w+)?) {MODAL} be (\w+)\b", re.I)


def only(clause: str, code: Code) -> list[Answer] | None:
    for pattern in _ONLY:
        found = pattern.search(clause)
        if found is not None:
            who, verb, rest = found.groups()
            if stem(verb) in _SEEING:
                return None
            if who.split()[0].lower() in _WHEN:
                continue
            return _restricted(who, verb, rest, code, _TOGETHER.search(clause) is not None)
    found = _ONLY_BY.search(clause)
    if found is None:
        return None
    verb, who = next(
        (verb, who) for verb, who in zip(found.groups()[::2], found.groups()[1::2], strict=True) if verb
    )
    if not parties_of(who, code)[0] and not code.doing(verb, clause[: found.start()]):
        return None  # 'loans are limited to 1 million' is a bound
    return _restricted(who, verb, clause[: found.start()], code, _TOGETHER.search(clause) is not None)


def _restricted(who: str, verb: str, rest: str, code: Code, together: bool) -> list[Answer] | None:
    """Every choice of that name is controlled by those parties and nobody else, by all of them if `together`."""
    known, unknown = parties_of(who, code)
    choices = code.doing(verb, rest)
    if not choices:
        if stem(verb) in _CREATION:
            return [_creation(known, unknown, rest, code)]
        return [("not_found", None, f"no choice is named like '{verb}'")]
    if not known:
        return [
            (
                "not_found",
                choices[0].line,
                f"no party is named like '{all_of(unknown) if unknown else who}'; {located(choices)} is "
                f"controlled by {jointly(choices[0].shown)}",
            )
        ]
    for entry in choices:
        guard = guarded_actor(entry, code)
        if guard is not None and set(guard[0]) <= set(known):
            continue
        strangers = [
            shown for name, shown in zip(entry.controllers, entry.shown, strict=False) if name not in known
        ]
        if not entry.controllers:
            return [("not_met", entry.line, f"{entry.name} has no controller")]
        absent = (
            [name for name in known if name not in entry.controllers] if together and len(known) > 1 else []
        )
        if absent and set(entry.controllers) & set(known):
            detail = f"{entry.name} is controlled by {all_of(entry.shown)} without {all_of(absent)}"
            return [("not_met", entry.line, detail)]
        if strangers and not (set(entry.controllers) & set(known)):
            free = free_actor(entry)
            more = (
                f": its argument {free} is whoever exercises it, and nothing compares it"
                if free and guard is None
                else ""
            )
            return [
                (
                    "not_met",
                    entry.line,
                    f"{entry.name} is controlled by {jointly(entry.shown)}, not by {one_of(known)}{more}",
                )
            ]
    if unknown:
        return [
            (
                "not_found",
                choices[0].line,
                f"{located(choices)}: controlled by {jointly(choices[0].shown)}; no party is named like '{all_of(unknown)}'",
            )
        ]
    joint = [
        entry
        for entry in choices
        if set(entry.controllers) - set(known) and guarded_actor(entry, code) is None
    ]
    if len(known) > 1 and all(set(known) <= set(entry.controllers) for entry in choices) and not joint:
        return [("met", choices[0].line, f"{located(choices)}: controlled by {all_of(known)} together")]
    detail = f"{located(choices)}: controlled by {one_of(known)}"
    detail += (
        f", together with {all_of(name for entry in joint for name in entry.shown if name not in known)}"
        if joint
        else " alone"
    )
    return [("met", choices[0].line, detail)]


def _creation(known: list[str], unknown: list[str], rest: str, code: Code) -> Answer:
    """Creating needs the signatories, so whoever shall create alone has to be one."""
    templates = code.template(rest) or code.module.templates
    for template in templates:
        signed = code.signed[template.name]
        if set(known) & set(signed):
            return (
                "met",
                template.place.line,
                f"creating {template.name} needs the signature of {all_of(signed)}",
            )
    if not known:
        return "not_found", None, f"no party is named like '{all_of(unknown)}'"
    template = templates[0]
    return (
        "not_met",
        template.place.line,
        f"{one_of(known)} does not sign {template.name}, which {all_of(code.signed[template.name])} can create",
    )


def never(clause: str, code: Code) -> list[Answer] | None:
    if CONSENT.search(clause) or ALONE.search(clause):
        return None
    found = _NO_ONE.search(clause)
    if found is not None and BOUND.search(clause):
        return None
    if found is not None:
        verb, rest = found.groups()
        choices = code.doing(verb, rest)
        if stem(verb) in _SEEING or CHANGING & {stem(verb)}:
            return None
        if not choices:
            return [("met", None, f"no choice is named like '{verb}'; only the signatories can archive")]
        return [("not_met", choices[0].line, f"{located(choices)} lets {jointly(choices[0].shown)} do it")]
    found = _NEITHER.search(clause) or _NEVER.search(clause)
    if found is not None:
        who, verb, rest = found.groups()
    else:
        found = _NEVER_BY.search(clause)
        if found is None:
            return None
        (verb, who), rest = found.groups(), clause[: found.start()]
    known, _ = parties_of(who, code)
    if not known or stem(verb) in _SEEING or BOUND.search(f"{verb} {rest}"):
        return None
    if TIMED.search(clause) or re.search(r"\bwithout\b", rest, re.I):
        return None
    choices = code.doing(verb, rest)
    if not choices:
        return [
            (
                "not_found",
                None,
                f"no choice is named like '{verb}'; check choices of another name that {one_of(known)} controls",
            )
        ]
    for entry in choices:
        guard = guarded_actor(entry, code)
        allowed = guard[0] if guard else list(entry.controllers)
        hit = [name for name in known if name in allowed]
        if hit:
            pairs = zip(entry.controllers, entry.shown, strict=False) if guard is None else ()
            together = [shown for name, shown in pairs if name not in known]
            if together:
                return [("met", entry.line, f"{entry.name} needs {all_of(together)} besides {one_of(hit)}")]
            return [
                ("not_met", guard[1] if guard else entry.line, f"{entry.name} is controlled by {one_of(hit)}")
            ]
        free = free_actor(entry)
        if free is not None and guard is None:
            return [
                (
                    "not_met",
                    entry.line,
                    f"{entry.name} is controlled by its argument {free}, which may be {one_of(known)}",
                )
            ]
    return [
        (
            "met",
            choices[0].line,
            f"no choice named like '{verb}' is controlled by {one_of(known)}: {located(choices)} by {jointly(choices[0].shown)}",
        )
    ]


def may(clause: str, code: Code) -> list[Answer] | None:
    if ALONE.search(clause) or re.search(r"\bneither\b", clause, re.I):
        return None
    found = _MAY.search(clause)
    strict = True
    if found is not None:
        who, verb, rest = found.groups()
    elif (found := _MAY_BY.search(clause)) is not None:
        (verb, who), rest = found.groups(), clause[: found.start()]
    elif (found := _PLAIN.search(clause)) is not None:
        who, verb, rest = found.groups()
        strict = False
    else:
        return None
    if stem(verb) in _SEEING:
        return None
    known, unknown = parties_of(who, code)
    choices = code.doing(verb, rest)
    if EITHER.match(who.strip()) and choices:
        known, unknown = list(code.signed[choices[0].template.name]), []
    if stem(verb) in EMPTY_VERBS:  # 'can get a refund'
        choices = next(filter(None, (code.doing(word) for word in words(rest)[:4])), ())
        strict = strict and bool(known)
    if not known or (not choices and not strict):
        return (
            None
            if not (strict and choices)
            else [
                (
                    "not_found",
                    choices[0].line,
                    f"no party is named like '{all_of(unknown) or who}'; {located(choices)} is controlled by "
                    f"{jointly(choices[0].shown)}",
                )
            ]
        )
    if not choices:
        if stem(verb) in _CREATION:
            return [_creation(known, unknown, rest, code)]
        if stem(verb) in _CONSENTS | EMPTY_VERBS:
            return None
        return [("not_found", None, f"no choice is named like '{verb}'")]
    answers: list[Answer] = []
    for name in known:
        mine = [
            entry
            for entry in choices
            if name in entry.controllers or name in (guarded_actor(entry, code) or ([],))[0]
        ]
        free = next(
            (entry for entry in choices if free_actor(entry) and guarded_actor(entry, code) is None), None
        )
        if mine:
            also = [
                shown
                for shown in mine[0].shown
                if shown != name and name in mine[0].controllers and not shown.endswith(f".{name}")
            ]
            more = f", together with {all_of(also)}" if also else ""
            answers.append(
                (
                    "met",
                    mine[0].line,
                    f"{mine[0].name} is controlled by {one_of(mine[0].shown if also == [] else [name])}{more}"
                    + ("" if name in mine[0].controllers else f", which is tested to be {name}"),
                )
            )
        elif free is not None:
            answers.append(
                (
                    "met",
                    free.line,
                    f"{free.name} is controlled by its argument {free_actor(free)}, so {name} may exercise it, like "
                    "anybody who sees it",
                )
            )
        elif strict:
            answers.append(
                (
                    "not_met",
                    choices[0].line,
                    f"{located(choices[:1])} is controlled by {jointly(choices[0].shown)}, not by {name}",
                )
            )
    return answers or None


def possible(clause: str, code: Code) -> list[Answer] | None:
    """'The offer can be withdrawn': somebody controls a choice for it."""
    found = _POSSIBLE.search(clause)
    if found is None or re.search(rf"{NOT}", clause, re.I):
        return None
    subject, verb = found.groups()
    if stem(verb) in _CREATION | _CONSENTS | EMPTY_VERBS | {
        stem("positive"),
        stem("empty"),
        stem("different"),
    }:
        return None
    choices = code.doing(verb, subject)
    if not choices:
        return None
    return [("met", choices[0].line, f"{choices[0].name} is controlled by {jointly(choices[0].shown)}")]
