"""A module and its analysis side by side, as the rules look at them."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeGuard

from canton_mcp.daml import tree
from canton_mcp.daml.actions import Action, Analysis, Entry, Party, TemplateParties
from canton_mcp.daml.expressions import inner
from canton_mcp.daml.findings.model import KINDS, Certainty, Finding, Severity
from canton_mcp.daml.scope import Kind, Scope, collection_of, expanded, is_party, scopes

__all__ = [
    "ACCEPTING",
    "AMOUNT",
    "OFFERING",
    "OWNING",
    "Chosen",
    "Code",
    "Owned",
    "finding",
    "is_amount",
    "listed",
    "name_of",
    "named",
    "walk",
]

AMOUNT = re.compile(
    r"(?:^|[a-z_])(amount|quantity|qty|price|balance|shares|units|notional|nominal|principal|supply|sum|stake)$",
    re.I,
)
OFFERING = re.compile(r"(offer|propos|invit)", re.I)
_ASKING = re.compile(r"(offer|propos|invit|request|quote)", re.I)
ACCEPTING = re.compile(r"(?:^|_)(accept|agree|countersign)", re.I)
REFUSING = re.compile(
    r"(reject|decline|refuse|cancel|withdraw|expire|revoke|dismiss|archive|abort|retract)", re.I
)
OWNING = re.compile(
    r"^(payee|beneficiary|investor|customer|client|user|depositor|creditor|bearer|(?!new|next|old|prev|former|stake|place)"
    r"\w*(owner|holder))$",
    re.I,
)
_NUMBERS = frozenset({"Decimal", "Int", "Numeric", "BigNumeric"})
_TESTING = re.compile(r"^(assert|require|ensure|check|validate|guard|must|verify|when$|unless$)", re.I)
_SAID_BY_A_RULE = "has no controller"
_MAX_TEXT = 80
_MAX_NODES = 200_000


@dataclass(frozen=True, eq=False)
class Owned:
    """A template with its parties."""

    template: tree.Template
    parties: TemplateParties
    scope: Scope

    @cached_property
    def fields(self) -> dict[str, tree.Field]:
        """Its fields by name."""
        return {field.name: field for field in self.template.fields}

    @cached_property
    def signed(self) -> frozenset[str]:
        """The paths of its signatories."""
        return frozenset(party.path for party in self.parties.signatories)

    @cached_property
    def stakeholders(self) -> frozenset[str]:
        """The paths of its signatories and observers."""
        return self.signed | {party.path for party in self.parties.observers}

    @cached_property
    def clear(self) -> bool:
        """Whether all stakeholders are single parties known by name."""
        every = (*self.parties.signatories, *self.parties.observers)
        return all(party.many is False and party.origin == "field" for party in every)

    @cached_property
    def signatories_clear(self) -> bool:
        """Whether all signatories are single parties known by name."""
        return all(party.many is False and party.origin == "field" for party in self.parties.signatories)

    @cached_property
    def amounts(self) -> tuple[tree.Field, ...]:
        """Fields that hold an amount of something."""
        return tuple(field for field in self.template.fields if is_amount(field))

    @cached_property
    def owners(self) -> tuple[str, ...]:
        """Fields of type Party that hold whom a value belongs to."""
        return tuple(
            field.name
            for field in self.template.fields
            if OWNING.match(field.name) and is_party(Kind(field.type, self.scope))
        )

    @cached_property
    def ensured(self) -> frozenset[str]:
        """Names that ``ensure`` speaks of, also through functions of the module."""
        if self.template.ensure is None:
            return frozenset()
        found = set(named(self.template.ensure))
        if any(isinstance(node, tree.Name) and node.name == "this" for node in walk(self.template.ensure)):
            found |= self.fields.keys()  # a function judges the whole contract
        return frozenset(found)

    @cached_property
    def is_offer(self) -> bool:
        """Whether it is called an offer or a request, or has a choice that accepts it."""
        return _ASKING.search(self.template.name) is not None or any(
            ACCEPTING.search(choice.name) for choice in self.template.choices
        )

    @cached_property
    def has_way_out(self) -> bool:
        """Whether a choice ends it without accepting it, by its name."""
        return any(
            choice.consumption != "nonconsuming" and REFUSING.search(choice.name)
            for choice in self.template.choices
        )

    @cached_property
    def consuming_controllers(self) -> Counter[str]:
        """By path, how many of its consuming choices a party controls."""
        return Counter(
            name
            for choice in self.template.choices
            if choice.consumption != "nonconsuming"
            for name in {name_of(item) for clause in choice.controllers for item in clause.items}
        )

    @cached_property
    def timed(self) -> bool:
        """Whether a field holds a time."""
        return any(
            re.search(r"\b(Time|Date|RelTime|Days)\b", field.type.text) for field in self.template.fields
        )


@dataclass(frozen=True, eq=False)
class Chosen:
    """A choice with its template (None in a fragment or an interface) and what was found out about it."""

    owned: Owned | None
    choice: tree.Choice
    entry: Entry | None
    interface: str | None = None

    @property
    def owner(self) -> str | None:
        """The name of its template or interface."""
        return self.owned.template.name if self.owned is not None else self.interface

    @property
    def actions(self) -> tuple[Action, ...]:
        """Its ledger actions."""
        return self.entry.actions if self.entry is not None else ()

    @property
    def followed(self) -> bool:
        """Whether everything in it was followed."""
        return self.entry is not None and not self.entry.gaps

    @property
    def consuming(self) -> bool:
        """Whether it archives its contract before its body runs."""
        return self.choice.consumption in ("consuming", "preconsuming")

    @cached_property
    def nodes(self) -> tuple[tree.Expression, ...]:
        """All expressions of its body."""
        roots = [binding.value for binding in self.choice.bindings]
        if self.choice.body is not None:
            roots.append(self.choice.body)
        return tuple([node for root in roots for node in walk(root)])

    @cached_property
    def applications(self) -> tuple[tree.Application, ...]:
        """All applications of functions in its body."""
        return tuple([node for node in self.nodes if isinstance(node, tree.Application)])

    @cached_property
    def changes(self) -> tuple[tree.FieldValue, ...]:
        """What a copy of its contract is given instead: ``this with f = e``, or ``T with f = e`` of its own template."""
        return tuple(
            entry
            for node in self.nodes
            if (isinstance(node, tree.Record) and name_of(node.subject) == "this") or self._copies(node)
            for entry in node.fields
            if not entry.pun and name_of(entry.value) != entry.path[0]
        )

    @cached_property
    def given(self) -> tuple[tree.FieldValue, ...]:
        """Every field that a record in its body is given."""
        return tuple(entry for node in self.nodes if isinstance(node, tree.Record) for entry in node.fields)

    def _copies(self, node: tree.Expression) -> TypeGuard[tree.Record]:
        return (
            isinstance(node, tree.Record)
            and isinstance(node.subject, tree.Name)
            and self.owned is not None
            and node.subject.name == self.owned.template.name
        )

    @cached_property
    def controllers(self) -> frozenset[str]:
        """The paths of its controllers."""
        return (
            frozenset(party.path for party in self.entry.controllers)
            if self.entry is not None
            else frozenset()
        )

    @cached_property
    def parameters(self) -> dict[str, tree.Field]:
        """Its arguments by name."""
        return {field.name: field for field in self.choice.parameters}

    @cached_property
    def tested(self) -> frozenset[str]:
        """Names that something in the body tests: in an assertion, a condition, a case, a comparison."""
        found: set[str] = set()
        for node in self.nodes:
            if isinstance(node, tree.Name):  # half of them
                continue
            match node:
                case tree.If(condition=condition):
                    found.update(named(condition))
                case tree.Case(subject=subject, alternatives=arms):
                    found.update(named(subject))
                    found.update(name for arm in arms for guard in arm.guards for name in named(guard))
                case tree.Application(function=tree.Name(name=name), arguments=arguments) if _TESTING.match(
                    name
                ):
                    found.update(name for argument in arguments for name in named(argument))
                case tree.Application(
                    function=tree.Name(name="fetchByKey" | "exerciseByKey"), arguments=arguments
                ):
                    keys = [one for one in arguments if not isinstance(one, tree.TypeArgument)]
                    found.update(named(keys[0]) if keys else ())  # it fails for whoever has no such contract
                case tree.Operation(operator="==="):
                    found.update(named(node))
        if self.owned is not None:
            found |= self.owned.ensured
        if self.entry is not None:
            for test in self.entry.tests:
                for path in test.paths:
                    found.update(part.removesuffix("[*]") for part in re.findall(r"[\w'\[\]*]+", path))
        return frozenset(found)


class Code:
    """A module, its analysis, and its templates and choices with both."""

    def __init__(self, module: tree.Module, analysis: Analysis) -> None:
        self.module = module
        self.analysis = analysis
        self.scope = scopes([module])[0]
        entries: dict[tuple[str, str, int], Entry] = {}
        for entry in analysis.entries:
            if entry.kind == "choice":
                entries.setdefault((entry.owner, entry.name, entry.place.start), entry)
        parties = {entry.place.start: entry for entry in analysis.templates}
        self.templates = tuple(
            Owned(template, parties[template.place.start], self.scope)
            for template in module.templates
            if template.place.start in parties
        )
        chosen = [
            Chosen(owned, choice, entries.get((owned.template.name, choice.name, choice.place.start)))
            for owned in self.templates
            for choice in owned.template.choices
        ]
        by_place = {
            (entry.name, entry.place.start): entry for entry in analysis.entries if entry.kind == "choice"
        }
        chosen += [
            Chosen(None, choice, by_place.get((choice.name, choice.place.start)), interface.name)
            for interface in module.interfaces
            for choice in interface.choices
        ]
        chosen += [
            Chosen(None, choice, by_place.get((choice.name, choice.place.start)))
            for choice in module.loose_choices
        ]
        self.choices = tuple(chosen)

    def choice_at(self, entry: Entry) -> Chosen | None:
        """The choice of a template or interface that an entry is the analysis of."""
        found = self._by_place.get(entry.place.start)
        return found if found is not None and found.owner == entry.owner else None

    @cached_property
    def _by_place(self) -> dict[int, Chosen]:
        return {chosen.choice.place.start: chosen for chosen in self.choices}

    @cached_property
    def foreign(self) -> bool:
        """Whether it imports modules that are not of the standard library."""
        standard = ("DA.", "Daml.", "Prelude", "GHC.")
        return any(not entry.module.startswith(standard) for entry in self.module.imports)

    @cached_property
    def preprocessed(self) -> bool:
        """Whether lines of a preprocessor stand in it, so that declarations may appear in versions."""
        return re.search(r"^#\s*if", self.module.text, re.M) is not None

    def text(self, place: tree.Place) -> str:
        """The source text at a place, on one line."""
        words = " ".join(self.module.text[place.start : place.end].split())
        return words if len(words) <= _MAX_TEXT else words[: _MAX_TEXT - 1] + "…"

    def troubled(self, extent: tree.Place | None) -> bool:
        """Whether something inside could not be read, so that what seems to be missing may be there."""
        troubles = self._troubles
        if extent is None:
            return bool(troubles)
        at = bisect_left(troubles, extent.start)
        return at < len(troubles) and troubles[at] <= extent.end

    @cached_property
    def _troubles(self) -> list[int]:
        """Where problems are that no rule tells."""
        return sorted(
            problem.place.start
            for problem in self.module.problems
            if not problem.message.endswith(_SAID_BY_A_RULE)
        )

    @cached_property
    def granting(self) -> frozenset[str]:
        """Templates with a choice that creates another template: requests, offers, services."""
        return frozenset(
            chosen.owner
            for chosen in self.choices
            if chosen.owner
            and any(action.kind == "create" and action.template != chosen.owner for action in chosen.actions)
        )

    def party(self, written: tree.Type) -> bool | None:
        """Whether a value of the type is a party or a collection of parties; None when this text does not tell."""
        kind = expanded(Kind(written, self.scope))
        if kind is None:
            return None
        if kind.type.head in ("Party", "Set", "NonEmpty", "Optional", "Map", "TextMap", "[]", "NonEmptySet"):
            inner = collection_of(kind)
            return (
                is_party(kind) or (inner is not None and self.party(inner.type) is not False) or inner is None
            )
        return (
            False
            if kind.type.head in ("Text", "Int", "Decimal", "Bool", "Time", "Date", "Numeric", "()")
            else None
        )


def finding(
    rule: str,
    place: tree.Place,
    template: str | None,
    choice: str | None,
    message: str,
    fix: str,
    *,
    severity: Severity | None = None,
    certainty: Certainty | None = None,
    paste: str = "",
) -> Finding:
    """A finding of a rule, as grave and sure as that rule usually is."""
    kind = KINDS[rule]
    return Finding(
        rule,
        severity or kind.severity,
        certainty or kind.certainty,
        place.line,
        place.column,
        template or None,
        choice or None,
        message,
        fix,
        paste,
    )


def is_amount(field: tree.Field) -> bool:
    """Whether a field or argument holds an amount of something, by its type and name."""
    return field.type.head in _NUMBERS and AMOUNT.search(field.name) is not None


def walk(root: tree.Expression) -> list[tree.Expression]:
    """An expression and all expressions in it, in the order of the text."""
    return inner(root, _MAX_NODES)


def named(root: tree.Expression) -> Iterator[str]:
    """The names of variables and fields in an expression."""
    for node in inner(root, _MAX_NODES):
        if isinstance(node, tree.Name):
            yield node.name
        elif isinstance(node, tree.FieldAccess):
            yield node.field


def name_of(expression: tree.Expression) -> str:
    """The path ``a.b`` of a plain variable or field, without ``this``; empty for anything else."""
    match expression:
        case tree.Name(name=name) if not expression.is_constructor:
            return name
        case tree.FieldAccess(value=value, field=field) if value is not None:
            base = name_of(value)
            return field if base == "this" else f"{base}.{field}" if base else ""
        case tree.Typed(value=value) | tree.TupleOf(items=(value,)):
            return name_of(value)
        case _:
            return ""


def listed(names: Iterable[str | Party]) -> str:
    """Names in a row, as a sentence has them."""
    words = [name if isinstance(name, str) else name.path for name in names]
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
