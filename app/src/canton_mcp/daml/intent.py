"""Requirements in plain words, compared with what a module says.

A sentence is taken apart into forms that are understood: who alone may do what, who must not, whose consent or
signature is needed, bounds, times, what stays as it is, who sees, what happens once. Its words are matched by
stems with the names of the code. What the code does not settle is *not found*, never *met*.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from canton_mcp.daml import tree
from canton_mcp.daml.actions import Analysis
from canton_mcp.daml.guards import CLOCK, Guard, creates, guards, inside, said
from canton_mcp.daml.words import alike, name_stems, same_meaning, stem, stems, words

__all__ = ["Requirement", "Shortfall", "Status", "read_intent", "requirements", "shortfalls"]

Status = Literal["met", "not_met", "not_found"]

MAX_TEXT = 20_000
_MAX_CLAUSES = 200
_MAX_CLAUSE = 400
_MAX_FOUND = 100
_MAX_SHOWN = 300


@dataclass(frozen=True)
class Requirement:
    """One requirement, its status, and the line that decides it."""

    text: str
    status: Status
    line: int | None
    detail: str


@dataclass(frozen=True)
class Shortfall:
    """An action that lacks authority: in `choice` of `template`, for the parties `missing`."""

    template: str
    choice: str
    kind: str
    target: str | None
    line: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """What was made of a text: the requirements, and sentences that demand something in a form not understood."""

    requirements: tuple[Requirement, ...]
    unclear: tuple[str, ...]


def shortfalls(analysis: Analysis) -> tuple[Shortfall, ...]:
    """The actions of an analysis that fail, whatever the data of other contracts."""
    return tuple(
        Shortfall(
            entry.owner,
            entry.name,
            action.kind,
            action.template,
            action.place.line,
            tuple(party.path for party in action.verdict.missing),
        )
        for entry in analysis.entries
        for action in entry.actions
        if action.verdict.status == "fails_unless" and action.verdict.definite
    )


def requirements(text: str, module: tree.Module, lacking: Iterable[Shortfall] = ()) -> list[Requirement]:
    """The requirements understood in `text`, each with what the module says about it."""
    return list(read_intent(text, module, lacking).requirements)


def read_intent(text: str, module: tree.Module, lacking: Iterable[Shortfall] = ()) -> Reading:
    """Requirements and unclear demands of `text`, in its order; bounded in the length of the text."""
    code = _Code.of(module, tuple(lacking), text[:MAX_TEXT])
    found: list[Requirement] = []
    unclear: list[str] = []
    for clause in _clauses(text[:MAX_TEXT]):
        plain = _BRACKET.sub("", clause)
        answers = [answer for group in _FORMS for answer in _first(group, plain, code)]
        found += [Requirement(clause[:_MAX_SHOWN], *answer) for answer in answers]
        if not answers and _DEMAND.search(clause):
            unclear.append(clause[:_MAX_SHOWN])
        if len(found) >= _MAX_FOUND:
            break
    return Reading(tuple(dict.fromkeys(found))[:_MAX_FOUND], tuple(dict.fromkeys(unclear)))


# the code ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Named:
    """A choice with its template, and who controls it by the names of the code."""

    template: tree.Template
    choice: tree.Choice
    controllers: tuple[str, ...]
    shown: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.template.name}.{self.choice.name}"

    @property
    def line(self) -> int:
        return self.choice.place.line


@dataclass(frozen=True)
class _Code:
    module: tree.Module
    lacking: tuple[Shortfall, ...]
    choices: tuple[_Named, ...]
    guards: tuple[Guard, ...]
    parties: tuple[str, ...]
    """Names of fields and arguments that are parties."""
    signed: dict[str, tuple[str, ...]]
    """By template, its signatories' names."""
    seen: dict[str, tuple[str, ...]]
    """By template, its observers' names."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Stem of a noun of the text to the party it introduces: in 'a bank issues bonds' the bank is the issuer."""

    @staticmethod
    def of(module: tree.Module, lacking: tuple[Shortfall, ...], text: str) -> _Code:
        choices = tuple(
            _Named(template, choice, *_parties(template, choice.controllers))
            for template in module.templates
            for choice in template.choices
        )
        parties = [
            entry.name
            for template in module.templates
            for fields in (template.fields, *(choice.parameters for choice in template.choices))
            for entry in fields
            if _is_party(entry.type)
        ]
        parties += [name for named in choices for name in named.controllers]
        signed = {template.name: _parties(template, template.signatories)[0] for template in module.templates}
        seen = {template.name: _parties(template, template.observers)[0] for template in module.templates}
        parties += [name for names in (*signed.values(), *seen.values()) for name in names]
        code = _Code(module, lacking, choices, guards(module), tuple(dict.fromkeys(parties)), signed, seen)
        code.aliases.update(_introduced(text, code))
        return code

    def party(self, phrase: str) -> tuple[str, ...]:
        """The parties of the code that a phrase like 'the new owner' names, the best matches only."""
        spoken = [word for word in words(phrase.split(" of ")[0]) if word.lower() not in _LITTLE][-3:]
        if not spoken:
            return ()
        rated = [(max(alike(spoken, name), _plural(spoken, name)), name) for name in self.parties]
        best = max((rate for rate, _ in rated), default=0)
        alias = self.aliases.get(stem(spoken[-1]))
        if best < 2 and alias is not None:
            return (alias,)
        return tuple(name for rate, name in rated if rate == best) if best else ()

    def doing(self, verb: str, rest: str = "") -> tuple[_Named, ...]:
        """The choices that a verb names, narrowed by the words after it; by like meaning if none bears its name."""
        wanted = stem(verb)
        if wanted in _EMPTY_VERBS:
            return ()
        named = [entry for entry in self.choices if wanted in name_stems(entry.choice.name)]
        if not named:
            named = [
                entry
                for entry in self.choices
                if any(same_meaning(wanted, part) for part in name_stems(entry.choice.name)[:1])
            ]
        others = {stem(word) for word in words(rest) if word.lower() not in _LITTLE}
        narrowed = [
            entry
            for entry in named
            if others & {*name_stems(entry.choice.name)[1:], *name_stems(entry.template.name)}
        ]
        return tuple(narrowed or named)

    def template(self, phrase: str) -> tuple[tree.Template, ...]:
        """Templates whose name's last part, or whole name, is among the words."""
        spoken = {stem(word) for word in words(phrase)}
        return tuple(
            template
            for template in self.module.templates
            if template.name and (name_stems(template.name)[-1] in spoken or stem(template.name) in spoken)
        )


def _parties(
    template: tree.Template, clauses: Iterable[tree.Clause]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The last names, and the whole paths, of party clauses; ``signatory this`` stands for the signatories."""
    names: list[str] = []
    shown: list[str] = []
    for clause in clauses:
        for item in clause.items:
            whole = [node for node in inside(item) if isinstance(node, tree.Name)]
            if isinstance(item, tree.Application) and said(item.function) in ("signatory", "observer"):
                inner = template.signatories if said(item.function) == "signatory" else template.observers
                more = _parties(template, inner) if inner is not clauses else ((), ())
                names += more[0]
                shown += more[1]
                continue
            if said(item):
                names.append(said(item))
                shown.append(_path(item))
                continue
            for node in inside(item):
                if isinstance(node, tree.FieldAccess) or (node in whole and node.name[:1].islower()):
                    name = said(node)
                    if any(entry.name == name for entry in template.fields) or isinstance(
                        node, tree.FieldAccess
                    ):
                        names.append(name)
                        shown.append(name)
    return tuple(dict.fromkeys(names)), tuple(dict.fromkeys(shown))


def _path(expression: tree.Expression) -> str:
    if isinstance(expression, tree.FieldAccess) and expression.value is not None:
        before = _path(expression.value)
        return f"{before}.{expression.field}" if before and before != "this" else expression.field
    return said(expression)


def _is_party(type_: tree.Type) -> bool:
    return type_.head in ("Party", "Parties") or any(_is_party(argument) for argument in type_.arguments)


def _plural(spoken: list[str], name: str) -> int:
    """'member' and 'directors' name the lists `members` and `directors`."""
    return 2 if stem(spoken[-1]) == stem(name) else 0


def _introduced(text: str, code: _Code) -> Iterator[tuple[str, str]]:
    """Nouns that a text introduces by what they do, or by a bracket: 'the bank (issuer)'."""
    agents = {stem(name).removesuffix("er").removesuffix("or"): name for name in code.parties}
    for found in _DOES.finditer(text):
        noun, verb = found.groups()
        name = agents.get(stem(verb))
        if name is not None and not code.party(noun):
            yield stem(noun), name
    for found in _APPOSED.finditer(text):
        noun, name = found.groups()
        known = code.party(name)
        if known and not code.party(noun):
            yield stem(noun), known[0]


# the text ---------------------------------------------------------------------------------------

_LITTLE = frozenset(
    words(
        "the a an any each every all both its their his her this that these those one of to by it them "
        "they he she and or "
        "respective such some same current existing"
    )
)
_ADVERBS = frozenset(
    words(
        "both either neither only together alone jointly himself herself itself themselves separately also exclusively solely"
    )
)
_EMPTY_VERBS = stems("be have do get need use make take become able happen work say know want")
_DOES = re.compile(
    r"\b(?:an?|the|one|each) (?:\w+ )?(\w+) (?:who |that |which |may |can |shall )?(\w+s?)\b", re.I
)
_APPOSED = re.compile(
    r"\b(\w+)(?:,? (?:the |as (?:the )?|acting as |called |named )| \((?:the |called )?)(\w+)\b", re.I
)
_SENTENCE = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\bNo)[.;!?](?=\s|$)|\n+|\s[-*•]\s|\b\d+[.)]\s")
_SPLIT = re.compile(
    r",?\s+(?:and|but|while|whereas)\s+(?=(?:(?:only|the|an?|no|neither|nobody|both|all|any|each|every|it"
    r"|they|he|she|its|their)\s+)?"
    r"(?:\w+\s+){0,3}?(?:can|may|must|cannot|can't|should|shall|will|is|are|has|have|needs?|requires?"
    r"|expires?|never)\b)|,\s+(?=only\b|but\b)",
    re.I,
)
_MODAL = (
    r"(?:can|may|shall|should|must|will|is allowed to|are allowed to|is able to|are able to"
    r"|shall be able to|should be able to|must be able"
    r" to|will be able to|has the right to|have the right to|is entitled to|are entitled to"
    r"|is authori[sz]ed to|are authori[sz]ed to"
    r"|is permitted to|are permitted to|gets to|could)"
)
_NOT = (
    r"(?:(?:must|should|shall|may|can) (?:not|never) be (?:able|allowed) to|cannot|can't|can not|may not"
    r"|must not|mustn't|must never|can never|may never|shall not|should not|should never|shouldn't|will not"
    r"|won't|is not allowed to|are not allowed to|isn't allowed to|is not able to|are not able to"
    r"|is unable to|has no right to|never)"
)
_WHO = r"((?:(?:the|an?|any|each|every|all|both|its|their) )?(?:[\w']+ ){0,2}?[\w']+(?: (?:of|in) (?:the )?[\w']+)?)"
_LIST = (
    r"((?:(?:the|an?|its|their|any|all|both|either) )?[\w']+(?: [\w']+){0,2}?"
    r"(?:(?:,? (?:and|or|nor)|,) (?:the |an? |its |their )?[\w']+(?: [\w']+){0,1}?){0,6})"
)
_BRACKET = re.compile(r"\s*\([^()]{0,80}\)")
_DEMAND = re.compile(
    r"\b(?:must|only|never|cannot|can't|may not|shall|should|required?|requires|needs?|has to|have to"
    r"|at most|at least|no one|nobody"
    r"|ensure|prevent|forbid\w*|not allowed)\b",
    re.I,
)

_VERB = re.compile(
    rf"\b(?:{_MODAL}|{_NOT}|is|are|was|were|has|have|needs?|requires?|expires?|signs?|approves?|accepts?|pays?|transfers?|creates?"
    r"|issues?|receives?|owns?|holds?|controls?|gets?|sends?|proposes?|stays?|remains?|works?|wants?|makes?|happens?)\b",
    re.I,
)

_Answer = tuple[Status, int | None, str]
_Form = Callable[[str, _Code], "list[_Answer] | None"]


def _clauses(text: str) -> Iterator[str]:
    """Sentences and parts of sentences that can stand alone."""
    count = 0
    for sentence in _SENTENCE.split(text):
        plain = " ".join(sentence.split())
        for clause in _parts(plain[: _MAX_CLAUSE * 4]):
            part = clause.strip(" ,:")[:_MAX_CLAUSE]
            if part:
                yield part
                count += 1
            if count >= _MAX_CLAUSES:
                return


def _parts(sentence: str) -> Iterator[str]:
    """The parts of a sentence; what has no verb yet belongs to the next part: 'buyer and seller must ..'."""
    start = 0
    for found in _SPLIT.finditer(sentence):
        if _VERB.search(sentence, start, found.start()):
            yield sentence[start : found.start()]
            start = found.end()
    yield sentence[start:]


def _first(group: Sequence[_Form], clause: str, code: _Code) -> list[_Answer]:
    for form in group:
        answer = form(clause, code)
        if answer is not None:
            return answer
    return []


def _names(phrase: str, code: _Code) -> tuple[list[str], list[str]]:
    """The parties that a list of nouns names, and the nouns that name none."""
    known: list[str] = []
    unknown: list[str] = []
    for noun in re.split(r",| and | or | nor |/|&|\bas well as\b", phrase):
        plain = " ".join(word for word in words(noun) if word.lower() not in _LITTLE | _ADVERBS)
        if not plain:
            continue
        found = code.party(plain)
        if found:
            known += found
        else:
            unknown.append(plain)
    return list(dict.fromkeys(known)), unknown


def _or(names: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(names)) or "nobody"


def _and(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names)) or "nobody"


def _at(entries: Sequence[_Named]) -> str:
    return _and(entry.name for entry in entries[:4]) + (" .." if len(entries) > 4 else "")


# who may do what --------------------------------------------------------------------------------

_ONLY = (
    re.compile(rf"\bonly {_LIST} (?:{_MODAL}|(?:is|are) \w+ to) (?:be )?(?:also )?(\w+)(.*)", re.I),
    re.compile(rf"\b(?:nobody|no one|no-one|no other party|no party|none)(?: else)? (?:but|except|other than|besides) {_LIST} "
               rf"(?:{_MODAL} )?(\w+)(.*)", re.I),
    re.compile(r"\bonly (?:the |an? )?([\w']+(?: (?:or|and) (?:the |an? )?[\w']+)?) (\w+s)\b(.*)", re.I),
)  # fmt: skip
_ONLY_BY = re.compile(
    rf"\b(?:{_MODAL} only be|{_MODAL} be|is|are) (\w+) (?:only |solely |exclusively )by (?:the "
    rf"|an? )?{_LIST}(?:[,.]|$|\s(?:and|when|if|after|before|once)\b)"
    rf"|\b(?:can|may|must|is|are)(?: only)? (?:be )?(?:only )?(\w+) by {_LIST} (?:only|alone)\b"
    rf"|\bonly be (\w+) by {_LIST}(?:[,.]|$|\s(?:and|when|if|after|before|once)\b)"
    rf"|\b(\w+) (?:is|are) (?:reserved for|limited to|restricted to|only for|up to) {_LIST}(?:[,.]|$)",
    re.I,
)
_NEVER = re.compile(rf"\b{_WHO} {_NOT} (?:also |ever )?(?!be\b)(\w+)(.*)", re.I)
_NO_ONE = re.compile(
    rf"\b(?:nobody|no one|no-one|no party|no other party)(?: else)? {_MODAL} (?:ever )?(?!be\b)(\w+)(.*)",
    re.I,
)
_NEVER_BY = re.compile(rf"\b{_NOT} be (\w+)\b(?:[^,.]*?) by (?:the |an? )?{_LIST}(?:[,.]|$)", re.I)
_MAY = re.compile(
    rf"\b{_WHO} {_MODAL} (?:also |then |always |alone )?(?!be\b|not\b|never\b|only\b)(\w+)(.*)", re.I
)
_MAY_BY = re.compile(rf"\b{_MODAL} be (\w+)\b(?:[^,.]*?) by (?:the |an? )?{_LIST}(?:[,.]|$)", re.I)
_PLAIN = re.compile(r"\b(?:the|an?|each|any|every) (\w+(?: \w+)?) (\w+s)\b(.*)", re.I)
_CREATION = stems("create issue mint establish open set")
_CONSENTS = stems("consent agree sign approve authorize authorise co-sign confirm accept")
_SEEING = stems("see view observe read look inspect monitor audit")


def _only(clause: str, code: _Code) -> list[_Answer] | None:
    for pattern in _ONLY:
        found = pattern.search(clause)
        if found is not None:
            who, verb, rest = found.groups()
            if stem(verb) in _SEEING:
                return None
            return _restricted(who, verb, rest, code)
    found = _ONLY_BY.search(clause)
    if found is None:
        return None
    verb, who = next(
        (verb, who) for verb, who in zip(found.groups()[::2], found.groups()[1::2], strict=True) if verb
    )
    return _restricted(who, verb, clause[: found.start()], code)


def _restricted(who: str, verb: str, rest: str, code: _Code) -> list[_Answer] | None:
    """Every choice of that name is controlled by those parties and nobody else."""
    known, unknown = _names(who, code)
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
                f"no party is named like '{_and(unknown) if unknown else who}'; {_at(choices)} is "
                f"controlled by {_or(choices[0].shown)}",
            )
        ]
    for entry in choices:
        guard = _guarded_actor(entry, code)
        if guard is not None and set(guard[0]) <= set(known):
            continue
        strangers = [
            shown for name, shown in zip(entry.controllers, entry.shown, strict=False) if name not in known
        ]
        if not entry.controllers:
            return [("not_met", entry.line, f"{entry.name} has no controller")]
        if strangers and not (set(entry.controllers) & set(known)):
            free = _free(entry)
            more = (
                f": its argument {free} is whoever exercises it, and nothing compares it"
                if free and guard is None
                else ""
            )
            return [
                (
                    "not_met",
                    entry.line,
                    f"{entry.name} is controlled by {_or(entry.shown)}, not by {_or(known)}{more}",
                )
            ]
    if unknown:
        return [
            (
                "not_found",
                choices[0].line,
                f"{_at(choices)}: controlled by {_or(choices[0].shown)}; no party is named like '{_and(unknown)}'",
            )
        ]
    joint = [entry for entry in choices if set(entry.controllers) - set(known)]
    detail = f"{_at(choices)}: controlled by {_or(known)}"
    detail += (
        f", together with {_and(name for entry in joint for name in entry.shown if name not in known)}"
        if joint
        else " alone"
    )
    return [("met", choices[0].line, detail)]


def _creation(known: list[str], unknown: list[str], rest: str, code: _Code) -> _Answer:
    """Creating needs the signatories, so whoever shall create alone has to be one."""
    templates = code.template(rest) or code.module.templates
    for template in templates:
        signed = code.signed[template.name]
        if set(known) & set(signed):
            return (
                "met",
                template.place.line,
                f"creating {template.name} needs the signature of {_and(signed)}",
            )
    if not known:
        return "not_found", None, f"no party is named like '{_and(unknown)}'"
    template = templates[0]
    return (
        "not_met",
        template.place.line,
        f"{_or(known)} does not sign {template.name}, which {_and(code.signed[template.name])} can create",
    )


def _guarded_actor(entry: _Named, code: _Code) -> tuple[list[str], int] | None:
    """The parties that an argument which controls the choice is compared with, and the line."""
    for guard in code.guards:
        if (guard.template, guard.choice) != (entry.template.name, entry.choice.name):
            continue
        if guard.left in entry.controllers and guard.operator in ("==", "elem"):
            return [name.strip() for name in guard.right.split(",")], guard.line
        if guard.right in entry.controllers and guard.operator == "==":
            return [guard.left], guard.line
    return None


def _free(entry: _Named) -> str | None:
    """The controller that is an argument of the choice."""
    arguments = {parameter.name for parameter in entry.choice.parameters}
    return next((name for name in entry.controllers if name in arguments), None)


def _never(clause: str, code: _Code) -> list[_Answer] | None:
    if _CONSENT.search(clause) or _ALONE.search(clause):
        return None
    found = _NO_ONE.search(clause)
    if found is not None:
        verb, rest = found.groups()
        choices = code.doing(verb, rest)
        if stem(verb) in _SEEING or _CHANGING & {stem(verb)}:
            return None
        if not choices:
            return [("met", None, f"no choice is named like '{verb}'; only the signatories can archive")]
        return [("not_met", choices[0].line, f"{_at(choices)} lets {_or(choices[0].shown)} do it")]
    found = _NEVER.search(clause)
    if found is not None:
        who, verb, rest = found.groups()
    else:
        found = _NEVER_BY.search(clause)
        if found is None:
            return None
        (verb, who), rest = found.groups(), clause[: found.start()]
    known, _ = _names(who, code)
    if not known or stem(verb) in _SEEING or _BOUND.search(rest):
        return None
    if _TIMED.search(clause):
        return None
    choices = code.doing(verb, rest)
    if not choices:
        return [
            (
                "not_found",
                None,
                f"no choice is named like '{verb}'; check choices of another name that {_or(known)} controls",
            )
        ]
    for entry in choices:
        guard = _guarded_actor(entry, code)
        allowed = guard[0] if guard else list(entry.controllers)
        hit = [name for name in known if name in allowed]
        if hit:
            together = [name for name in entry.shown if name not in known] if guard is None else []
            if together:
                return [("met", entry.line, f"{entry.name} needs {_and(together)} besides {_or(hit)}")]
            return [
                ("not_met", guard[1] if guard else entry.line, f"{entry.name} is controlled by {_or(hit)}")
            ]
        free = _free(entry)
        if free is not None and guard is None:
            return [
                (
                    "not_met",
                    entry.line,
                    f"{entry.name} is controlled by its argument {free}, which may be {_or(known)}",
                )
            ]
    return [
        (
            "met",
            choices[0].line,
            f"no choice named like '{verb}' is controlled by {_or(known)}: {_at(choices)} by {_or(choices[0].shown)}",
        )
    ]


def _may(clause: str, code: _Code) -> list[_Answer] | None:
    if _ALONE.search(clause):
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
    known, unknown = _names(who, code)
    choices = code.doing(verb, rest)
    if stem(verb) in _EMPTY_VERBS:  # 'can get a refund'
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
                    f"no party is named like '{_and(unknown) or who}'; {_at(choices)} is controlled by {_or(choices[0].shown)}",
                )
            ]
        )
    if not choices:
        if stem(verb) in _CREATION:
            return [_creation(known, unknown, rest, code)]
        if stem(verb) in _CONSENTS | _EMPTY_VERBS:
            return None
        return [("not_found", None, f"no choice is named like '{verb}'")]
    answers: list[_Answer] = []
    for name in known:
        mine = [
            entry
            for entry in choices
            if name in entry.controllers or name in (_guarded_actor(entry, code) or ([],))[0]
        ]
        free = next(
            (entry for entry in choices if _free(entry) and _guarded_actor(entry, code) is None), None
        )
        if mine:
            also = [
                shown
                for shown in mine[0].shown
                if shown != name and name in mine[0].controllers and not shown.endswith(f".{name}")
            ]
            more = f", together with {_and(also)}" if also else ""
            answers.append(
                (
                    "met",
                    mine[0].line,
                    f"{mine[0].name} is controlled by {_or(mine[0].shown if also == [] else [name])}{more}",
                )
            )
        elif free is not None:
            answers.append(
                (
                    "met",
                    free.line,
                    f"{free.name} is controlled by its argument {_free(free)}, so {name} may exercise it, like anybody who sees it",
                )
            )
        elif strict:
            answers.append(
                (
                    "not_met",
                    choices[0].line,
                    f"{_at(choices[:1])} is controlled by {_or(choices[0].shown)}, not by {name}",
                )
            )
    return answers or None


# signatures and consent -------------------------------------------------------------------------

_CONSENT = re.compile(
    rf"\b(?:needs?|requires?|requiring|with|without|has|have|subject to|upon|after|get|gets|given"
    rf"|obtain\w*)? ?(?:the |an? )?(?:explicit |prior |written )?"
    rf"(?:consent|approval|agreement|authori[sz]ation|signatures?|sign-off|permission|acceptance) (?:of|from"
    rf"|by) (?:both |all )?{_LIST}"
    rf"(?:[,.]|$|\s(?:to|before|for|is|are|when|and|in)\b)"
    rf"|\bwithout (?:the |an? )?([\w]+(?: [\w]+)?)(?:'s|s'|') (?:explicit |prior )?(?:consent|approval"
    rf"|agreement|authori[sz]ation|signature|permission|acceptance)"
    rf"|\b(?:needs?|requires?) (?:the |an? )?([\w]+(?: [\w]+)?)(?:'s|s'|') (?:explicit |prior )?(?:consent"
    rf"|approval|agreement|authori[sz]ation|signature|permission|acceptance)",
    re.I,
)
_JOINT = re.compile(
    rf"\b(?:both |all of |all )?{_LIST} (?:{_MODAL}|has to|have to|needs? to|both|all|each|jointly"
    rf"|together)(?: (?:both|all|each|jointly|together|first|explicitly))? "
    r"(consent|agree|sign|approve|authori[sz]e|co-?sign|confirm|accept)\w*\b(.*)",
    re.I,
)
_EVERYONE = re.compile(
    r"\b(?:both|all|each|every|jointly|together|everyone|everybody)\b[^.]*\b(?:sign|approv|agree|consent|accept|authori[sz])\w*",
    re.I,
)
_SIGNS = re.compile(
    rf"\b(?:is|are|be|must be|has to be) (?:signed|authori[sz]ed|approved) by (?:both |all )?{_LIST}(?:[,.]"
    rf"|$|\s(?:before|to|and|when|in)\b)"
    rf"|\b{_LIST} (?:is|are|must be|has to be|shall be) (?:an? |the |both |all )?(?:signator(?:y|ies)|bound"
    rf"|signers?)\b"
    r"|\b(?:the |an? )?(\w+(?: \w+)?) (?:co-?)?signs\b",
    re.I,
)
_ALL_OF_THEM = re.compile(
    r"\b(?:parties|sides|both|all|everyone|everybody|each other|stakeholders|signatories)\b", re.I
)
_WHO_MUST = re.compile(
    r"\b([\w']+(?: [\w']+)?),? (?:who|which) (?:must|has to|have to|needs? to|should|shall) (?:first |also )?"
    r"(agree|accept|consent|approve|confirm|sign)\b",
    re.I,
)
_ALONE = re.compile(
    rf"\b(?:neither )?{_LIST} (?:{_NOT}|{_MODAL}) (\w+)\b([^.]*?)\b(?:alone|on (?:its|his|her|their) own"
    rf"|by (?:it|him|her)self|unilaterally|single-?handedly)\b",
    re.I,
)


def _alone(clause: str, code: _Code) -> list[_Answer] | None:
    """'Neither can do it alone', 'each may do it alone'."""
    found = _ALONE.search(clause)
    if found is None:
        return None
    who, verb, rest = found.groups()
    denied = re.search(rf"{_NOT}|\bneither\b|\bnobody\b|\bno one\b|\bno\b", found.group(0), re.I) is not None
    choices = code.doing(verb, rest)
    known, _unknown = _names(who, code)
    if not choices:
        return [("not_found", None, f"no choice is named like '{verb}'")]
    for entry in choices:
        single = len(set(entry.controllers)) < 2 and _free_list(entry) is None
        mine = not known or set(known) & set(entry.controllers)
        if denied and single and mine:
            return [("not_met", entry.line, f"{entry.name} is controlled by {_or(entry.shown)} alone")]
        if not denied and not single:
            return [("not_met", entry.line, f"{entry.name} needs {_and(entry.shown)} together")]
    if denied:
        return [
            (
                "met",
                choices[0].line,
                f"{choices[0].name} needs {_and(choices[0].shown)}"
                + (" together" if len(choices[0].shown) > 1 else ""),
            )
        ]
    return [("met", choices[0].line, f"{_at(choices)}: controlled by {_or(choices[0].shown)}")]


def _free_list(entry: _Named) -> str | None:
    lists = {
        item.name for item in (*entry.template.fields, *entry.choice.parameters) if item.type.head != "Party"
    }
    return next((name for name in entry.controllers if name in lists), None)


def _consent(clause: str, code: _Code) -> list[_Answer] | None:
    found = _CONSENT.search(clause)
    if found is not None:
        who = next(group for group in found.groups() if group)
        about = clause[: found.start()] + clause[found.end() :]
        if _names(who, code)[0]:
            return _agreed(who, about, code)
        if _ALL_OF_THEM.search(who):
            return [_everyone(clause, code)]
        if not code.template(who) and not any(code.doing(word) for word in words(who)):
            return _agreed(who, about, code)
    found = _JOINT.search(clause)
    if found is not None and (
        " and " in found.group(1) or re.search(r"\bmust|has to|have to|needs? to", found.group(0), re.I)
    ):
        who, verb, rest = found.groups()
        known, _ = _names(who, code)
        if known:
            return _agreed(who, f"{rest} {clause[: found.start()]}", code, verb)
    found = _SIGNS.search(clause)
    if found is not None:
        who = next(group for group in found.groups() if group)
        known, unknown = _names(who, code)
        if known:
            return [_signs(known, unknown, clause, code)]
    if _EVERYONE.search(clause) and not re.search(r"\b(?:at least|of the|\d+ of)\b", clause, re.I):
        return [_everyone(clause, code)]
    return None


def _who_must(clause: str, code: _Code) -> list[_Answer] | None:
    """'.. to another holder, who must agree': a second demand within a sentence."""
    found = _WHO_MUST.search(clause)
    if found is None:
        return None
    for shortfall in code.lacking:
        if shortfall.kind == "create":
            where = f"in {shortfall.template}.{shortfall.choice} the create of {shortfall.target}"
            return [("not_met", shortfall.line, f"{where} lacks the consent of {_and(shortfall.missing)}")]
    who, verb = found.groups()
    return _agreed(who, clause[: found.start()], code, verb) if _names(who, code)[0] else None


def _agreed(who: str, about: str, code: _Code, verb: str = "") -> list[_Answer]:
    """Whether each party's authority is part of what the sentence is about."""
    known, unknown = _names(who, code)
    if not known:
        return [("not_found", None, f"no party is named like '{_and(unknown) or who}'")]
    if verb and stem(verb) == "sign" and code.template(about):
        return [_signs(known, unknown, about, code)]
    topic = [
        entry
        for word in words(about)
        for entry in code.doing(word)
        if same_meaning(stem(word), name_stems(entry.choice.name)[0])
    ]
    for shortfall in code.lacking:
        lacking = [path for path in shortfall.missing if path.split(".")[-1] in known]
        if lacking and (not topic or any(_is(entry, shortfall) for entry in topic) or len(code.lacking) == 1):
            what = (
                f"the {shortfall.kind} of {shortfall.target}" if shortfall.target else f"the {shortfall.kind}"
            )
            return [
                (
                    "not_met",
                    shortfall.line,
                    f"in {shortfall.template}.{shortfall.choice} {what} lacks the consent of {_and(lacking)}",
                )
            ]
    answers: list[_Answer] = []
    for name in known:
        involved = [
            entry for entry in topic if name in (*entry.controllers, *code.signed[entry.template.name])
        ]
        controlled = [entry for entry in code.choices if name in entry.controllers]
        signing = [template for template in code.module.templates if name in code.signed[template.name]]
        acting = [entry for entry in topic if name in entry.controllers]
        accepted = [
            entry
            for entry in controlled
            if any(
                any(same_meaning(part, word) for word in ("accept", "sign"))
                for part in name_stems(entry.choice.name)[:1]
            )
            or (verb and stem(verb) in name_stems(entry.choice.name))
        ]
        if acting:
            answers.append(
                ("met", acting[0].line, f"{acting[0].name} is controlled by {_and(acting[0].shown)}")
            )
        elif accepted:
            answers.append(("met", accepted[0].line, f"{name} gives its consent by {accepted[0].name}"))
        elif involved:
            entry = involved[0]
            answers.append(
                (
                    "not_met",
                    entry.line,
                    f"{name} signed {entry.template.name} before, but {_or(entry.shown)} exercises "
                    f"{entry.choice.name} without asking {name} again",
                )
            )
        elif signing and not topic:
            answers.append(
                (
                    "met",
                    signing[0].place.line,
                    f"{signing[0].name} is signed by {_and(code.signed[signing[0].name])}",
                )
            )
        elif topic:
            answers.append(
                (
                    "not_met",
                    topic[0].line,
                    f"{topic[0].name} is controlled by {_or(topic[0].shown)}; {name} takes no part in it",
                )
            )
        else:
            place = controlled[0].line if controlled else None
            status: Status = "met" if controlled else "not_met"
            detail = (
                f"{name} controls {controlled[0].name}"
                if controlled
                else f"{name} neither signs a template nor controls a choice"
            )
            answers.append((status, place, detail))
    return answers


def _is(entry: _Named, shortfall: Shortfall) -> bool:
    return (entry.template.name, entry.choice.name) == (shortfall.template, shortfall.choice)


def _signs(known: list[str], unknown: list[str], clause: str, code: _Code) -> _Answer:
    templates = code.template(clause) or code.module.templates
    for template in templates:
        if set(known) <= set(code.signed[template.name]):
            return (
                "met",
                template.place.line,
                f"{template.name} is signed by {_and(code.signed[template.name])}",
            )
    choices = [
        entry
        for entry in code.choices
        if "sign" in name_stems(entry.choice.name) and set(known) & set(entry.controllers)
    ]
    if choices:
        return "met", choices[0].line, f"{choices[0].name} is controlled by {_or(choices[0].shown)}"
    best = max(
        templates, key=lambda template: len(set(known) & set(code.signed[template.name])), default=None
    )
    if best is None:
        return "not_found", None, "there is no template"
    lacking = [name for name in known if name not in code.signed[best.name]]
    return (
        "not_met",
        best.place.line,
        f"{best.name} is signed by {_and(code.signed[best.name])}, not by {_and(lacking)}",
    )


def _everyone(clause: str, code: _Code) -> _Answer:
    """'Both must agree': no create lacks anybody, and something is signed or controlled by more than one."""
    for shortfall in code.lacking:
        if shortfall.kind == "create" and not code.template(clause):
            return (
                "not_met",
                shortfall.line,
                f"the create of {shortfall.target} lacks the consent of {_and(shortfall.missing)}",
            )
    lists = {
        item.name
        for template in code.module.templates
        for item in template.fields
        if item.type.head in ("[]", "Set", "NonEmpty")
    }
    templates = code.template(clause) or code.module.templates
    for template in templates:
        signed = code.signed[template.name]
        if len(signed) > 1 or lists & set(signed):
            return "met", template.place.line, f"{template.name} is signed by {_and(signed)}"
    for entry in code.choices:
        if len(set(entry.controllers)) > 1:
            return "met", entry.line, f"{entry.name} needs {_and(entry.shown)} together"
    line = templates[0].place.line if templates else None
    return "not_met", line, "no template has more than one signatory, and no choice more than one controller"


# bounds -----------------------------------------------------------------------------------------

_BOUND = re.compile(
    r"\bpositive\b|\bnon-?negative\b|\bnegative\b|\bnon-?zero\b|\bzero\b|\babove\b|\bbelow\b|\bat most\b"
    r"|\bat least\b|\bno more than\b"
    r"|\bno less than\b|\bnot more than\b|\bmaxim\w+|\bminim\w+|\blimit(?:s|ed)?\b|\bexceed\w*"
    r"|\bcap(?:ped)?\b|\bup to\b|\bbetween (?:-?\d|zero\b)"
    r"|\b(?:greater|more|larger|bigger|higher|less|smaller|lower|fewer) than\b|[<>]=? ?\d|\boverdr\w+"
    r"|\bbeyond\b|\bsufficient\b",
    re.I,
)
_AMOUNTS = re.compile(r"\d[\d_,]*(?:\.\d+)?")
_NUMBERS = frozenset({"Decimal", "Int", "Numeric"})


def _bounded(clause: str, code: _Code) -> list[_Answer] | None:
    bound = _BOUND.search(clause)
    if bound is None or _COUNTED.search(clause):
        return None
    fields = _numbers(clause, code)
    if not fields:
        if _TIMED.search(clause):
            return None
        return [("not_found", None, "no number of the code is named in this sentence")]
    kind = _bound_kind(clause)
    related = _related(clause, kind, code)
    if related is not None:
        return [related]
    answers: list[_Answer] = []
    near: tuple[Guard, str] | None = None
    for guard in code.guards:
        for name in fields:
            fits = _fits(guard, name, kind, clause, code)
            if fits is None:
                continue
            if fits:
                where = (
                    f"{guard.template}.{guard.choice}"
                    if guard.choice
                    else f"every create of {guard.template}"
                )
                answers.append(("met", guard.line, f"{where} tests {guard.text}"))
            else:
                near = near or (guard, name)
    if answers:
        ensured = [answer for answer in answers if "every create" in answer[2]]
        return [(ensured or answers)[0]]
    if near is not None:
        return [("not_met", near[0].line, f"'{near[0].text}' is another bound than '{bound.group(0)}'")]
    name, line = next(iter(fields.items()))
    return [("not_met", line, f"nothing compares {name} with a bound")]


def _related(clause: str, kind: str, code: _Code) -> _Answer | None:
    """'must not exceed the balance': something is compared with the field that the words after the bound name."""
    found = _BOUND.search(clause)
    if found is None or kind not in ("upper", "lower"):
        return None
    others = (
        set(_numbers(clause[found.end() :], code))
        if _AMOUNTS.search(clause[found.end() :]) is None
        else set()
    )
    if not others:
        return None
    upper = {"<", "<="} if kind == "upper" else {">", ">="}
    lower = {">", ">="} if kind == "upper" else {"<", "<="}
    named = set(_numbers(clause[: found.start()], code)) - others
    hits = [
        guard
        for guard in code.guards
        if (guard.right in others and guard.operator in upper and guard.left and guard.left not in others)
        or (
            guard.left in others
            and guard.operator in lower
            and guard.right
            and guard.right not in others
            and _number(guard.right) is None
        )
    ]
    best = [guard for guard in hits if not named or {guard.left, guard.right} & named] or hits
    if best:
        where = (
            f"{best[0].template}.{best[0].choice}"
            if best[0].choice
            else f"every create of {best[0].template}"
        )
        return "met", best[0].line, f"{where} tests {best[0].text}"
    return None


def _numbers(clause: str, code: _Code) -> dict[str, int]:
    """Number fields and arguments that the clause names, with their lines; the only one there is, if it says 'amount'."""
    spoken = words(clause)
    heard = {stem(word) for word in spoken}
    every = {
        entry.name: entry.place.line
        for template in code.module.templates
        for fields in (template.fields, *(choice.parameters for choice in template.choices))
        for entry in fields
        if entry.type.head in _NUMBERS
    }
    limits = {stem("limit"), stem("maximum"), stem("minimum"), stem("threshold")}
    exact = {
        name: line
        for name, line in every.items()
        if stem(name) in heard or set(name_stems(name)) <= heard or (name_stems(name)[-1] in heard - limits)
    }
    if exact:
        without = {name: line for name, line in exact.items() if not limits & set(name_stems(name))}
        return without or exact
    return {
        name: line
        for name, line in every.items()
        if any(same_meaning(name_stems(name)[-1], word) for word in heard - limits)
        and len(name_stems(name)[-1]) > 2
    }


def _bound_kind(clause: str) -> Literal["positive", "nonnegative", "upper", "lower", "nonzero"]:
    if re.search(
        r"\bnon-?negative\b|\b(?:not|never|n't|cannot) (?:\w+ ){0,2}negative\b|\bat least (?:zero|0)\b|>= ?0\b"
        r"|\bbelow (?:zero|0)\b|\boverdr",
        clause,
        re.I,
    ):
        return "nonnegative"
    if re.search(r"\bnon-?zero\b|\bnot (?:be )?zero\b", clause, re.I):
        return "nonzero"
    if re.search(
        r"\bpositive\b|\b(?:greater|more|larger|bigger|higher) than (?:zero|0)\b|\babove (?:zero|0)\b|> ?0(?!\.?\d*[1-9])",
        clause,
        re.I,
    ):
        return "positive"
    lower = r"\bat least\b|\bno less than\b|\bminim\w+|\babove\b|>=? ?\d|\bsufficient\b"
    if re.search(lower, clause, re.I) or (
        re.search(r"\b(?:greater|more|larger|bigger|higher) than\b", clause, re.I)
        and not re.search(
            r"\b(?:no|not|never|n't|cannot|can not) (?:\w+ ){0,4}(?:greater|more|larger|bigger|higher) than\b",
            clause,
            re.I,
        )
    ):
        return "lower"
    return "upper"


def _fits(guard: Guard, name: str, kind: str, clause: str, code: _Code) -> bool | None:
    """Whether a guard on that name sets the bound; None when it is not about that name."""
    if guard.left == name:
        operator, other = guard.operator, guard.right
    elif guard.right == name:
        operator, other = (
            {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(guard.operator, guard.operator),
            guard.left,
        )
    else:
        return None
    if operator not in ("<", "<=", ">", ">=", "/=", "=="):
        return None
    zero = re.fullmatch(r"-?0+(?:\.0+)?", other) is not None
    number = _number(other)
    stated = [value for value in map(_number, _AMOUNTS.findall(clause)) if value is not None and value != 0]
    match kind:
        case "positive":
            return (operator == ">" and number is not None and number >= 0) or (
                operator == ">=" and number is not None and number > 0
            )
        case "nonnegative":
            return (
                operator in (">", ">=")
                and number is not None
                and (number >= 0 or (number == -1 and operator == ">"))
            )
        case "nonzero":
            return (operator in ("/=", ">") and zero) or None
        case "upper":
            if operator not in ("<", "<="):
                return None if operator in (">", ">=") else False
            return not stated or number is None or number in stated
        case _:
            if operator not in (">", ">="):
                return None if operator in ("<", "<=") else False
            if zero and stated:
                return False
            return not stated or number is None or number in stated


def _number(text: str) -> float | None:
    try:
        return float(text.replace("_", "").replace(",", ""))
    except ValueError:
        return None


# times ------------------------------------------------------------------------------------------

_TIMED = re.compile(
    r"\bexpir\w+|\bdeadlines?\b|\bbefore (?:the )?\w+ (?:closes|ends|starts|begins|expires|matures"
    r"|is over)\b|\buntil\b|\bwithin (?:\d+|an?|one|two|three|the)\b|\b\d+ (?:hours?|days?|weeks?|months?"
    r"|minutes?|years?)\b"
    r"|\bmaturit\w+|\bmatures?\b|\bdue date\b|\bno later than\b|\bbefore (?:the )?(?:\w+ )?(?:date|time"
    r"|deadline|end|expir\w+|maturity|cliff|close|closing)\b"
    r"|\bafter (?:the )?(?:\w+ )?(?:date|time|deadline|end|expir\w+|maturity|cliff|close|closing|period"
    r"|lock)\b|\btime-?outs?\b|\btime limit\b"
    r"|\b(?:vesting|lock-?up|waiting|cooling|grace|notice) (?:period|time|date)\b|\blapses?\b|\boverdue\b",
    re.I,
)
_NOT_AFTER = re.compile(
    r"\b(?:no|not|never|cannot|nobody|no one|none)\b[^.]*\bafter\b|n't\b[^.]*\bafter\b", re.I
)
_AFTERWARDS = re.compile(
    r"\bafter\b|\bonce\b[^.]*\b(?:passed|over|reached|expired)\b|\bnot (?:\w+ ){0,4}before\b|\b(?:cannot"
    r"|can't|may not|must not|not|never|no one|nobody|locked)\b[^.]*"
    r"\b(?:until|before|till)\b|\bonly (?:from|at|on|when)\b|\bat maturity\b|\bwhen (?:it "
    r"|the \w+ )?(?:matures|expires|expired|has passed)\b|\boverdue\b",
    re.I,
)


def _timed(clause: str, code: _Code) -> list[_Answer] | None:
    if _TIMED.search(clause) is None:
        return None
    tests = [guard for guard in code.guards if CLOCK in (guard.left, guard.right)]
    fields = [
        (entry.name, entry.place.line)
        for template in code.module.templates
        for entry in template.fields
        if entry.type.head in ("Time", "Date")
    ]
    if not tests:
        if fields:
            return [("not_met", fields[0][1], f"no choice compares {fields[0][0]} with the ledger time")]
        return [("not_found", None, "no choice tests the ledger time, and no field is a time")]
    after = _AFTERWARDS.search(clause) is not None and _NOT_AFTER.search(clause) is None
    spoken = words(clause)
    topic = {
        (entry.template.name, entry.choice.name)
        for word in spoken
        for entry in code.doing(word)
        if stem(word) != "expir"
    }
    near = [guard for guard in tests if (guard.template, guard.choice) in topic]
    if topic and not near and not any(_mentions(guard, spoken) for guard in tests):
        template, choice = sorted(topic)[0]
        line = next(
            entry.line
            for entry in code.choices
            if (entry.template.name, entry.choice.name) == (template, choice)
        )
        return [("not_met", line, f"{template}.{choice} does not test the ledger time")]
    relevant = near or [guard for guard in tests if _mentions(guard, spoken)] or tests
    wanted = (">", ">=") if after else ("<", "<=")
    right = next((guard for guard in relevant if _from_clock(guard) in wanted), None)
    if right is not None:
        return [("met", right.line, f"{right.template}.{right.choice or 'ensure'} tests {right.text}")]
    wrong = relevant[0]
    if near or len(relevant) == 1:
        way = "only after that time" if _from_clock(wrong) in (">", ">=") else "only before that time"
        return [
            (
                "not_met",
                wrong.line,
                f"{wrong.template}.{wrong.choice} tests {wrong.text}, which allows it {way}",
            )
        ]
    return [
        ("not_found", wrong.line, f"the ledger time is tested ('{wrong.text}'), but not in this direction")
    ]


def _from_clock(guard: Guard) -> str:
    if guard.left == CLOCK:
        return guard.operator
    return {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(guard.operator, guard.operator)


def _mentions(guard: Guard, spoken: list[str]) -> bool:
    other = guard.right if guard.left == CLOCK else guard.left
    heard = {stem(word) for word in spoken}
    return bool(other) and any(
        part in heard or any(same_meaning(part, word) for word in heard)
        for part in name_stems(other)
        if len(part) > 2
    )


# what stays, who sees, how often, how many ------------------------------------------------------

_FIXED = re.compile(
    r"\b(?:the |an? )?([\w' ,]+?) (?:cannot|can't|can not|may not|must not|must never|can never|may never"
    r"|shall not|should not|should never|will not|never)"
    r" (?:be |get )?(?:chang|modif|edit|alter|amend|updat|adjust|tamper|overwrit|manipulat)\w*"
    r"|\b(?:the |an? )?([\w' ,]+?) (?:is|are|stays?|remains?|must be|must stay|must remain|has to stay"
    r"|shall be|should be|stay) "
    r"(?:fixed|immutable|constant|unchanged|unchangeable|final|the same|read-only|unaltered|preserved)\b"
    r"|\b(?:nobody|no one|no party|neither \w+) (?:can|may) (?:chang|modif|edit|alter|amend|updat)\w* (?:the "
    r"|an? )?([\w' ]+)",
    re.I,
)
_CHANGING = stems("change modify edit alter amend update")
_SEES = re.compile(
    rf"\b{_LIST} (?P<not>{_NOT} )?(?:{_MODAL} )?(?:(?:be able to|also|always|only|at least) )*(?:see|view"
    rf"|observe|read|look at|inspect|monitor|audit)s?\b"
    rf"|\b(?P<hidden>not )?(?:visible|shown|disclosed) (?:only )?to {_LIST}(?:[,.]|$|\s(?:and|when|but"
    rf"|only)\b)"
    rf"|\b{_LIST} (?:is|are|must be|shall be|should be) (?:an? )?observers?\b",
    re.I,
)
_EXCLUSIVE = re.compile(
    r"\bonly\b|\b(?:nobody|no one|no-one|no other party|no party)(?: else)?(?: but| except| other than| besides|\b)",
    re.I,
)
_ONCE = re.compile(
    r"\bonly once\b|\b(?:exactly|at most) once\b|\bnot (?:\w+ ){0,4}(?:twice|more than once|again)\b"
    r"|\b(?:cannot|can't|may not|must not|never|no)\b[^.]*"
    r"\b(?:twice|more than once|double)\b|\bone[- ]time\b|\bsingle[- ]use\b|\bdouble[- ]spen\w+"
    r"|\bis (?:consumed|used up)\b",
    re.I,
)
_COUNTED = re.compile(
    r"\b(?:at least |minimum |min\. )?(\d+|two|three|four|five|six|seven) (?:out )?(?:of"
    r"|from) (?:the )?(\d+|two|three|four|five|six|seven|n)\b"
    r"|\bat least (\d+|two|three|four|five|six|seven) (?:\w+ ){0,3}(?:approv|sign|vot|endors|confirm|member"
    r"|director|must)\w*"
    r"|\b(?:\d+|two|three|four|five) (?:approvals|signatures|votes)\b|\bmajority\b|\bquorum\b|\bthreshold\b",
    re.I,
)
_DISTINCT = re.compile(
    r"\b(?:the )?(\w+(?: \w+)?) (?:and|or) (?:the )?(\w+(?: \w+)?) (?:must|should|cannot|can't|may not"
    r"|must not|have to|shall|are)(?: \w+){0,2} "
    r"(different|distinct|the same|identical|equal)\b"
    r"|\b(?:the |an? )?(\w+(?: \w+)?) (?:must not|cannot|may not|must|should"
    r"|has to) (?:be )?(?:different from |the same (?:\w+ )?as |equal to |equal "
    r"|match )(?:the )?(\w+(?: \w+)?)",
    re.I,
)
_EMPTY = re.compile(
    r"\b(?:the |an? )?(\w+(?: \w+)?) (?:must|may|can|should|cannot)(?:not| not|n't)? (?:be )?(?:left )?"
    r"(?:empty|blank|missing)\b|\bnon-?empty (\w+)",
    re.I,
)
_POSSIBLE = re.compile(rf"\b(?:the |an? )?(\w+(?: \w+)?) {_MODAL} be (\w+)\b", re.I)


def _fixed(clause: str, code: _Code) -> list[_Answer] | None:
    found = _FIXED.search(clause)
    if found is None:
        return None
    what = next(group for group in found.groups() if group)
    if re.search(r"\bwithout\b|\bunless\b|\bexcept\b", clause, re.I):
        return None
    spoken = [word for word in words(what) if word.lower() not in _LITTLE]
    wanted = [
        (template, entry)
        for template in code.module.templates
        for entry in template.fields
        if any(alike([word], entry.name) >= 2 for word in spoken[-4:]) or alike(spoken[-3:], entry.name) >= 2
    ]
    if not wanted:
        templates = code.template(what)
        changes = [change for template in templates for change in _changes(template)]
        if not templates:
            return [("not_found", None, f"no field is named like '{' '.join(spoken) or what}'")]
        if changes:
            name, line, choice = changes[0]
            return [
                ("not_met", line, f"{templates[0].name}.{choice} re-creates the contract with another {name}")
            ]
        return [
            (
                "met",
                templates[0].place.line,
                f"no choice of {templates[0].name} re-creates it with other data",
            )
        ]
    for template, entry in wanted:
        for name, line, choice in _changes(template):
            if name == entry.name:
                return [
                    ("not_met", line, f"{template.name}.{choice} re-creates the contract with another {name}")
                ]
    names = _and(f"{template.name}.{entry.name}" for template, entry in wanted)
    return [
        ("met", wanted[0][1].place.line, f"no choice re-creates the contract with another value of {names}")
    ]


def _changes(template: tree.Template) -> Iterator[tuple[str, int, str]]:
    """(field, line, choice) of what a template's choices change when they re-create the contract."""
    own = {entry.name for entry in template.fields}
    for choice in template.choices:
        arguments = {parameter.name for parameter in choice.parameters}
        for create in creates(choice):
            for record in inside(create.arguments):
                if not isinstance(record, tree.Record):
                    continue
                subject = said(record.subject)
                if subject not in ("this", template.name):
                    continue
                for value in record.fields:
                    name = value.path[0] if value.path else ""
                    same = said(value.value) == name and name not in arguments
                    if name in own and not same:
                        yield name, value.place.line, choice.name
                break


def _sees(clause: str, code: _Code) -> list[_Answer] | None:
    found = _SEES.search(clause)
    if found is None:
        return None
    who = found.group(1) or found.group(4) or found.group(5)
    known, unknown = _names(who or "", code)
    denied = (
        bool(found.group("not") or found.group("hidden"))
        or re.search(rf"\b{_NOT} (?:be )?(?:see|seen|visible|shown)", clause, re.I) is not None
    )
    if not known:
        if denied or not unknown:
            return None
        return [("not_found", None, f"no party is named like '{_and(unknown)}'")]
    templates = code.template(clause) or code.module.templates
    if not denied and _EXCLUSIVE.search(clause):
        return [_seen_by_others(known, templates, code)]
    answers: list[_Answer] = []
    for name in known:
        seeing = [
            template
            for template in templates
            if name in (*code.signed[template.name], *code.seen[template.name])
        ]
        watched = [
            entry for entry in code.choices if name in _parties(entry.template, entry.choice.observers)[0]
        ]
        if denied:
            status: Status = "not_met" if seeing else "met"
            detail = (
                f"{name} is a stakeholder of {_and(template.name for template in seeing)}"
                if seeing
                else f"{name} is no stakeholder of {_and(template.name for template in templates)}"
            )
            answers.append((status, seeing[0].place.line if seeing else None, detail))
        elif seeing:
            how = "signatory" if name in code.signed[seeing[0].name] else "observer"
            answers.append(
                (
                    "met",
                    seeing[0].place.line,
                    f"{name} is {how} of {_and(template.name for template in seeing)}",
                )
            )
        elif watched:
            answers.append(("met", watched[0].line, f"{name} observes {watched[0].name}"))
        else:
            line = templates[0].place.line if templates else None
            answers.append(
                (
                    "not_met",
                    line,
                    f"{name} is neither signatory nor observer of {_and(template.name for template in templates)}",
                )
            )
    return answers


def _seen_by_others(known: list[str], templates: Sequence[tree.Template], code: _Code) -> _Answer:
    """'Only a and b may see it': nobody else is a stakeholder."""
    for template in templates:
        others = [
            name for name in (*code.signed[template.name], *code.seen[template.name]) if name not in known
        ]
        if others:
            return (
                "not_met",
                template.place.line,
                f"{_and(others)} sees {template.name} as well, as a stakeholder",
            )
    names = _and(template.name for template in templates)
    return "met", templates[0].place.line if templates else None, f"{names}: no stakeholder but {_and(known)}"


def _once(clause: str, code: _Code) -> list[_Answer] | None:
    if _ONCE.search(clause) is None:
        return None
    choices = [entry for word in words(clause) for entry in code.doing(word)]
    unique = [guard for guard in code.guards if guard.operator in ("notElem", "unique")]
    if not choices:
        if unique:
            return [("met", unique[0].line, f"{unique[0].template} tests {unique[0].text}")]
        return [("not_found", None, "no choice is named in this sentence")]
    for entry in choices:
        guard = next(
            (one for one in unique if one.choice == entry.choice.name and one.operator == "notElem"), None
        )
        if guard is not None:
            return [("met", guard.line, f"{entry.name} tests {guard.text}")]
    for entry in choices:
        if entry.choice.consumption == "nonconsuming":
            return [("not_met", entry.line, f"{entry.name} is nonconsuming, so it can be repeated")]
    again = next((entry for entry in choices if any(True for _ in _recreates(entry))), None)
    if again is not None:
        return [
            (
                "not_found",
                again.line,
                f"{again.name} archives the contract, but creates it anew, so it can be exercised on the new one",
            )
        ]
    return [("met", choices[0].line, f"{choices[0].name} is consuming: the contract is gone afterwards")]


def _recreates(entry: _Named) -> Iterator[tree.Application]:
    for create in creates(entry.choice):
        for node in inside(create.arguments):
            if isinstance(node, tree.Name) and node.name in ("this", entry.template.name):
                yield create
                break


def _counted(clause: str, code: _Code) -> list[_Answer] | None:
    if _COUNTED.search(clause) is None:
        return None
    counts = [
        guard
        for guard in code.guards
        if guard.left.startswith(("length ", "size ")) and guard.operator in (">", ">=", "==")
    ]
    counts = [guard for guard in counts if guard.right not in ("0", "")] or []
    turned = [
        guard
        for guard in code.guards
        if guard.right.startswith(("length ", "size "))
        and guard.operator in ("<", "<=", "==")
        and guard.choice
    ]
    for guard in (*counts, *turned):
        if guard.choice is None:
            continue
        what = guard.left.split(" ", 1)[-1] if guard in counts else guard.right.split(" ", 1)[-1]
        signed = any(what in names for names in code.signed.values())
        note = (
            f"; {what} are signatories"
            if signed
            else f"; {what} is data that whoever creates the contract can fill in, not signatures"
        )
        return [
            (
                "met" if signed else "not_met",
                guard.line,
                f"{guard.template}.{guard.choice} tests {guard.text}{note}",
            )
        ]
    return (
        [("not_met", code.choices[0].line, "no choice counts approvals")]
        if code.choices
        else [("not_found", None, "there is no choice")]
    )


def _distinct(clause: str, code: _Code) -> list[_Answer] | None:
    found = _DISTINCT.search(clause)
    if found is None:
        return None
    left, right = (found.group(1), found.group(2)) if found.group(1) else (found.group(4), found.group(5))
    text = found.group(0).lower()
    same_wanted = re.search(r"\bthe same\b|\bidentical\b|\bequal\b|\bmatch\b", text) is not None
    if re.search(r"\b(?:not|cannot|can't|never|n't)\b", text):
        same_wanted = not same_wanted
    one, other = _field(left, code), _field(right, code)
    if not one or not other:
        return None
    for guard in code.guards:
        pair = {guard.left, guard.right}
        if pair & set(one) and pair & set(other) and guard.left != guard.right:
            right_way = guard.operator == ("==" if same_wanted else "/=")
            return [("met" if right_way else "not_met", guard.line, f"{guard.template} tests {guard.text}")]
    line = code.module.templates[0].place.line if code.module.templates else None
    return [("not_met", line, f"nothing compares {one[0]} with {other[0]}")]


def _field(phrase: str, code: _Code) -> list[str]:
    spoken = [word for word in words(phrase) if word.lower() not in _LITTLE]
    names = [
        entry.name
        for template in code.module.templates
        for fields in (template.fields, *(choice.parameters for choice in template.choices))
        for entry in fields
    ]
    return [name for name in dict.fromkeys(names) if spoken and alike(spoken[-2:], name) >= 2]


def _nonempty(clause: str, code: _Code) -> list[_Answer] | None:
    found = _EMPTY.search(clause)
    if found is None:
        return None
    names = _field(found.group(1) or found.group(2), code)
    if not names:
        return None
    for guard in code.guards:
        if guard.left in names and guard.operator == "/=" and guard.right in ('""', "None", "empty"):
            return [("met", guard.line, f"{guard.template} tests {guard.text}")]
        if guard.left.removeprefix("length ") in names and guard.operator in (">", ">="):
            return [("met", guard.line, f"{guard.template} tests {guard.text}")]
    return [("not_met", None, f"nothing tests that {names[0]} is not empty")]


def _possible(clause: str, code: _Code) -> list[_Answer] | None:
    """'The offer can be withdrawn': somebody controls a choice for it."""
    found = _POSSIBLE.search(clause)
    if found is None or re.search(rf"{_NOT}", clause, re.I):
        return None
    subject, verb = found.groups()
    if stem(verb) in _CREATION | _CONSENTS | _EMPTY_VERBS | {
        stem("positive"),
        stem("empty"),
        stem("different"),
    }:
        return None
    choices = code.doing(verb, subject)
    if not choices:
        return None
    return [("met", choices[0].line, f"{choices[0].name} is controlled by {_or(choices[0].shown)}")]


# Of each group the first that understands a clause answers; one clause may hold several requirements.
_FORMS: tuple[tuple[_Form, ...], ...] = (
    (_alone, _counted, _only, _once, _consent, _fixed, _never, _distinct, _nonempty, _sees, _may, _possible),
    (_who_must,),
    (_bounded,),
    (_timed,),
)
