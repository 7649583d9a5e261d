"""The names of a module as sentences use them: parties, choices, templates, fields."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from canton_mcp.daml import tree
from canton_mcp.daml.guards import Guard, guards, inside, said
from canton_mcp.daml.intent.model import Shortfall
from canton_mcp.daml.words import alike, name_parts, name_stems, same_meaning, stem, stems, words

__all__ = [
    "EMPTY_VERBS",
    "LITTLE",
    "Code",
    "Named",
    "fields_named",
    "free_actor",
    "free_list",
    "guarded_actor",
    "party_names",
]

LITTLE = frozenset(
    words(
        "the a an any each every all both its their his her this that these those one of to by it them "
        "they he she and or "
        "respective such some same current existing"
    )
)
EMPTY_VERBS = stems("be have do get need use make take become able happen work say know want file lodge")
_ABOUT = stems(
    "close cancel reject decline refuse withdraw request expire dispute abort end count tally undo retract recall"
)
_PARTICLES = frozenset({"back", "out", "off", "over", "up", "down", "in"})
_DOES = re.compile(
    r"\b(?:an?|the|one|each) (?:\w+ )?(\w+) (?:who |that |which |may |can |shall )?(\w+s?)\b", re.I
)
_APPOSED = re.compile(
    r"\b(\w+)(?:,? (?:the |as (?:the )?|acting as |called |named )| \((?:the |called )?)(\w+)\b", re.I
)


@dataclass(frozen=True)
class Named:
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

    @property
    def own(self) -> str:
        """The choice's name without the name of its template in front: ``Bond_Redeem`` is Redeem."""
        return self.choice.name.removeprefix(self.template.name).lstrip("_") or self.choice.name

    @property
    def parties(self) -> frozenset[str]:
        """The names of its fields and arguments."""
        return frozenset(item.name for item in (*self.template.fields, *self.choice.parameters))


@dataclass(frozen=True)
class Code:
    module: tree.Module
    lacking: tuple[Shortfall, ...]
    choices: tuple[Named, ...]
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
    def of(module: tree.Module, lacking: tuple[Shortfall, ...], text: str) -> Code:
        choices = tuple(
            Named(template, choice, *party_names(template, choice.controllers))
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
        signed = {
            template.name: party_names(template, template.signatories)[0] for template in module.templates
        }
        seen = {template.name: party_names(template, template.observers)[0] for template in module.templates}
        parties += [name for names in (*signed.values(), *seen.values()) for name in names]
        code = Code(module, lacking, choices, guards(module), tuple(dict.fromkeys(parties)), signed, seen)
        code.aliases.update(_introduced(text, code))
        return code

    def party(self, phrase: str) -> tuple[str, ...]:
        """The parties of the code that a phrase like 'the new owner' names, the best matches only."""
        spoken = [word for word in words(phrase.split(" of ")[0]) if word.lower() not in LITTLE][-3:]
        if not spoken:
            return ()
        rated = [(max(alike(spoken, name), _plural(spoken, name)), name) for name in self.parties]
        best = max((rate for rate, _ in rated), default=0)
        alias = self.aliases.get(stem(spoken[-1]))
        if best < 2 and alias is not None:
            return (alias,)
        return tuple(name for rate, name in rated if rate == best) if best else ()

    def doing(self, verb: str, rest: str = "") -> tuple[Named, ...]:
        """The choices that a verb names, narrowed by the words after it; by like meaning if none bears its name."""
        wanted = stem(verb)
        if wanted in EMPTY_VERBS:
            return ()
        following = words(rest)[:1]
        if following and following[0].lower() in _PARTICLES:
            both = f"{verb}{following[0]}".lower()
            compound = [entry for entry in self.choices if both in "".join(name_parts(entry.own)).lower()]
            if compound:
                return tuple(compound)
        named = [entry for entry in self.choices if wanted in name_stems(entry.own)]
        # CloseVote ends a vote, and nobody votes by it.
        doers = [
            entry
            for entry in named
            if name_stems(entry.own)[0] == wanted or not _about(name_stems(entry.own)[0])
        ]
        named = doers or named
        by_name = bool(named)
        if not named:
            named = [
                entry
                for entry in self.choices
                if any(
                    same_meaning(wanted, part)
                    for part in (*name_stems(entry.own)[:1], stem("".join(name_parts(entry.own)[:2])))
                )
            ]
        others = {stem(word) for word in words(rest) if word.lower() not in LITTLE}
        narrowed = [
            entry
            for entry in named
            if others & {*name_stems(entry.own)[1:], *name_stems(entry.template.name)}
        ]
        if not narrowed and not by_name and self.template(rest):
            return ()  # a choice of another name, on something else
        return tuple(narrowed or named)

    def template(self, phrase: str) -> tuple[tree.Template, ...]:
        """Templates whose name's last part, or whole name, is among the words."""
        spoken = {stem(word) for word in words(phrase)}
        return tuple(
            template
            for template in self.module.templates
            if template.name and (name_stems(template.name)[-1] in spoken or stem(template.name) in spoken)
        )


def _about(verb: str) -> bool:
    """Whether a choice whose name begins so does something to a deed, and not the deed itself."""
    return verb in _ABOUT


def party_names(
    template: tree.Template, clauses: Iterable[tree.Clause]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The last names, and the whole paths, of party clauses; ``signatory this`` stands for the signatories."""
    names: list[str] = []
    shown: list[str] = []
    for clause in clauses:
        for item in clause.items:
            bases = {id(node.value) for node in inside(item) if isinstance(node, tree.FieldAccess)}
            whole = [node for node in inside(item) if isinstance(node, tree.Name) and id(node) not in bases]
            if isinstance(item, tree.Application) and said(item.function) in ("signatory", "observer"):
                inner = template.signatories if said(item.function) == "signatory" else template.observers
                more = party_names(template, inner) if inner is not clauses else ((), ())
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
    if type_.head in ("Party", "Parties"):
        return True
    inner = type_.arguments if type_.head in ("[]", "Set", "Optional", "NonEmpty", "NonEmptySet") else ()
    return any(map(_is_party, inner))


def _plural(spoken: list[str], name: str) -> int:
    """'member' and 'directors' name the lists `members` and `directors`."""
    return 2 if stem(spoken[-1]) == stem(name) else 0


def _introduced(text: str, code: Code) -> Iterator[tuple[str, str]]:
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


def guarded_actor(entry: Named, code: Code) -> tuple[list[str], int] | None:
    """The parties that an argument which controls the choice is compared with, and the line."""
    for guard in code.guards:
        if (guard.template, guard.choice) != (entry.template.name, entry.choice.name):
            continue
        if guard.left in entry.controllers and guard.operator in ("==", "elem"):
            return [name.strip() for name in guard.right.split(",")], guard.line
        if guard.right in entry.controllers and guard.operator == "==":
            return [guard.left], guard.line
    return None


def free_actor(entry: Named) -> str | None:
    """The controller that is an argument of the choice."""
    arguments = {parameter.name for parameter in entry.choice.parameters}
    return next((name for name in entry.controllers if name in arguments), None)


def free_list(entry: Named) -> str | None:
    lists = {
        item.name for item in (*entry.template.fields, *entry.choice.parameters) if item.type.head != "Party"
    }
    return next((name for name in entry.controllers if name in lists), None)


def fields_named(phrase: str, code: Code) -> list[str]:
    spoken = [word for word in words(phrase) if word.lower() not in LITTLE]
    names = [
        entry.name
        for template in code.module.templates
        for fields in (template.fields, *(choice.parameters for choice in template.choices))
        for entry in fields
    ]
    return [name for name in dict.fromkeys(names) if spoken and alike(spoken[-2:], name) >= 2]
