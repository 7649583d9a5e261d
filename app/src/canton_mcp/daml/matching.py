"""Patterns and bindings: whether a value fits, and the names that this gives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from canton_mcp.daml import tree
from canton_mcp.daml.expressions import guarded
from canton_mcp.daml.paths import (
    Choices,
    Closure,
    Collection,
    Deferred,
    Env,
    Face,
    Lazy,
    Rec,
    Term,
    Unknown,
    Value,
)
from canton_mcp.daml.scope import collection_of, expanded
from canton_mcp.daml.values import MAX_DEPTH, Values, kind_of

__all__ = ["Match", "Matching"]

Match = Literal["yes", "maybe", "no"]


class Matching(Values):
    """Values that can be taken apart."""

    def match(self, pattern: tree.Pattern, value: Value) -> tuple[Match, dict[str, Value | Lazy]]:
        """Whether a pattern fits, and the names it binds."""
        if not self.budget.take() or self._depth > MAX_DEPTH:
            return "maybe", {}
        self._depth += 1
        try:
            return self._match(pattern, value)
        finally:
            self._depth -= 1

    def _match(self, pattern: tree.Pattern, value: Value) -> tuple[Match, dict[str, Value | Lazy]]:
        if isinstance(value, Deferred) and pattern.kind not in ("name", "wildcard"):
            value = Unknown("an action")
        match pattern.kind:
            case "name":
                return "yes", {pattern.name: value}
            case "wildcard":
                return "yes", {}
            case "as":
                outcome, names = self.match(pattern.parts[0], value) if pattern.parts else ("yes", {})
                return outcome, {**names, pattern.name: value}
            case "tuple":
                found = [
                    self.match(part, self.get(value, f"_{number}"))
                    for number, part in enumerate(pattern.parts, 1)
                ]
                if len(pattern.parts) == 1:
                    found = [self.match(pattern.parts[0], value)]
                return _all(found)
            case "constructor":
                return self._match_constructor(pattern, value)
            case "cons" if len(pattern.parts) == 2:
                first, rest = self._uncons(value)
                outcome, names = _all(
                    [self.match(pattern.parts[0], first), self.match(pattern.parts[1], rest)]
                )
                known = isinstance(value, Collection) and value.parts and not value.parts[0].many
                empty = isinstance(value, Collection) and not value.parts
                return "no" if empty else outcome if known else "maybe", names
            case "list":
                return self._match_list(pattern, value)
            case "literal":
                same = isinstance(value, Term) and value.head == "literal"
                if same and isinstance(value, Term):
                    return "yes" if value.name == pattern.name else "no", {}
                return "maybe", {}
        return "maybe", {}

    def _match_list(self, pattern: tree.Pattern, value: Value) -> tuple[Match, dict[str, Value | Lazy]]:
        if isinstance(value, Collection) and not any(part.many for part in value.parts):
            if len(value.parts) != len(pattern.parts):
                return "no", {}
            return _all(
                [
                    self.match(one, self.force(part.value))
                    for one, part in zip(pattern.parts, value.parts, strict=True)
                ]
            )
        term, kind = self.term(value), collection_of(kind_of(value))
        _, names = _all(
            [
                self.match(one, self.terms.make("apply", f"element {number} of", (term,), kind, within=value))
                for number, one in enumerate(pattern.parts, 1)
            ]
        )
        return "maybe", names

    def _match_constructor(
        self, pattern: tree.Pattern, value: Value
    ) -> tuple[Match, dict[str, Value | Lazy]]:
        name = pattern.name.rpartition(".")[2]
        while isinstance(value, Face):
            value = value.value
        outcome: Match = "maybe"
        names: list[str]
        if isinstance(value, Choices):
            fitting = [one for one in value.values if self.match(pattern, one)[0] != "no"]
            if not fitting:
                return "no", {}
            if len(fitting) == 1:
                return "maybe", self.match(pattern, fitting[0])[1]
        if isinstance(value, Rec) and value.constructor:
            if value.constructor.rpartition(".")[2] != name:
                return "no", {}
            outcome = "yes"
        kind = expanded(kind_of(value))
        made = value.made if isinstance(value, Rec) else None
        if made is None and kind is not None:
            made = kind.scope.constructor(name)
        if made is not None and made.alone:
            outcome = "yes"
        names = [entry.name for entry in made.fields] if made else []
        found: list[tuple[Match, dict[str, Value | Lazy]]] = []
        for number, part in enumerate(pattern.parts):
            if name == "Some":
                inner = self.some(value)
            elif number < len(names):
                inner = self.get(value, names[number])
            else:
                inner = self.get(value, f"{name}{number + 1}")
            found.append(self.match(part, inner))
        found += [self.match(part, self.get(value, field)) for field, part in pattern.fields]
        if pattern.rest:
            given = {field for field, _ in pattern.fields}
            found.append(("yes", {field: self.get(value, field) for field in names if field not in given}))
        inside, bound = _all(found)
        return inside if outcome == "yes" else "no" if inside == "no" else "maybe", bound

    def _uncons(self, value: Value) -> tuple[Value, Value]:
        if isinstance(value, Collection) and value.parts and not value.parts[0].many:
            return self.force(value.parts[0].value), Collection(value.parts[1:])
        term, kind = self.term(value), kind_of(value)
        return (
            self.terms.make("apply", "head", (term,), collection_of(kind), within=value),
            self.terms.make("apply", "tail", (term,), kind, within=value),
        )

    def bound(self, bindings: Iterable[tree.Binding], env: Env) -> Env:
        """The environment with the names of a ``let`` or ``where``."""
        inner = Env(env.scope, env)
        groups: dict[str, list[tree.Binding]] = {}
        others: list[tree.Binding] = []
        for binding in bindings:
            if binding.pattern.kind == "name":
                groups.setdefault(binding.pattern.name, []).append(binding)
            else:
                others.append(binding)
        for name, equations in groups.items():
            if equations[0].parameters:
                inner.names[name] = Closure(name, tuple(equations), inner)
            else:
                inner.names[name] = Lazy(guarded(tuple(equations)), inner)
        for binding in others:
            _, names = self.match(binding.pattern, self.value(binding.value, inner))
            inner.names.update(names)
        return inner


def _all(
    found: list[tuple[Match, dict[str, Value | Lazy]]],
) -> tuple[Match, dict[str, Value | Lazy]]:
    names: dict[str, Value | Lazy] = {}
    outcomes = [outcome for outcome, _ in found]
    for _, inner in found:
        names |= inner
    if "no" in outcomes:
        return "no", names
    return "maybe" if "maybe" in outcomes else "yes", names
