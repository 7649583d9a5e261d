"""Functions with arguments: those of the text, methods of classes, and the library's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from canton_mcp.daml import tree
from canton_mcp.daml.contracts import Contracts
from canton_mcp.daml.expressions import guarded
from canton_mcp.daml.matching import Match
from canton_mcp.daml.paths import (
    BOTTOM,
    Bottom,
    Builtin,
    Choices,
    Closure,
    Collection,
    Contract,
    Deferred,
    Env,
    Face,
    Lazy,
    Part,
    Rec,
    Term,
    Tuple_,
    Unknown,
    Value,
)
from canton_mcp.daml.prelude import (
    ABORTS,
    ARITY,
    CAST,
    EFFECT_ARITY,
    EFFECTS,
    FEWER,
    FEWER_FIRST,
    JOIN,
    KNOWN,
    ONE_OF,
    SAME,
    SUBMITTERS,
)
from canton_mcp.daml.scope import Kind, Scope, collection_of, expanded
from canton_mcp.daml.values import MAX_CALLS, identity, kind_of

__all__ = ["Functions", "retyped"]

_VARIABLE = re.compile(r"\b[a-z]")

_FORALL = re.compile(r"[\w']+\s*:\s*forall\s+([\w\s']{1,400}?)\s*\.")


class Functions(Contracts):
    """What functions give; what is not followed gives equal results for equal arguments."""

    def apply(self, function: Value, given: tuple[Value | Lazy, ...], kinds: tuple[Kind, ...]) -> Value:
        """A function with arguments; actions are deferred."""
        if not given and not kinds:
            return function
        if not self.budget.take():
            return Unknown("an expression beyond the bounds of the analysis")
        match function:
            case Closure():
                return self._call(function.with_given(function.given + given, function.types + kinds))
            case Builtin():
                return self._builtin(function.with_given(function.given + given, function.types + kinds))
            case Choices(values=values):
                return Choices(tuple(self.apply(one, given, kinds) for one in values))
            case Deferred():
                return Deferred(function=function, given=given)
            case Term():
                return self._applied(function.name, (*function.parts, *given), function)
            case Rec():
                fields = dict(function.fields)
                for number, one in enumerate(given, len(fields) + 1):
                    fields[f"_{number}"] = one
                return Rec(function.constructor, fields, kind=function.kind)
            case Bottom():
                return BOTTOM
        return Unknown("a function that is not followed", self._mentions(given))

    def _applied(
        self,
        name: str,
        given: Iterable[Value | Lazy],
        function: Term | None = None,
        within: Value | None = None,
    ) -> Value:
        """A function that is not followed: equal arguments give equal results."""
        parts = tuple(self.term(self.force(one)) for one in given)
        if function is not None and function.head != "apply":
            return self.terms.make("apply", "apply", (function, *parts))
        return self.terms.make("apply", name, parts, within=within)

    def _call(self, closure: Closure) -> Value:
        arity = len(closure.equations[0].parameters)
        if len(closure.given) < arity:
            return closure
        if self._calls >= MAX_CALLS:
            return self._applied(identity(closure), closure.given)
        self._calls += 1
        try:
            values = [self.value(body, env) for body, env, _ in self.entered(closure)]
        finally:
            self._calls -= 1
        if not values:
            return BOTTOM
        result: Value
        if len(values) == 1:
            result = values[0]
        elif any(isinstance(value, Deferred | Closure | Builtin) for value in values):
            result = Choices(tuple(values))
        else:
            terms = [self.term(value) for value in values]
            given = [self.term(self.force(one)) for one in closure.given[:arity]]
            same = all(term.number == terms[0].number for term in terms)
            result = (
                values[0]
                if same
                else Choices(tuple(values), self.terms.make("apply", closure.name, tuple(given)))
            )
        return self.apply(result, closure.given[arity:], ())

    def entered(
        self, closure: Closure
    ) -> list[tuple[tree.Expression, Env, tuple[tuple[tree.Expression, ...], tuple[tree.Expression, ...]]]]:
        """The bodies that a call may come to, with their names, and the guards that hold and fail there."""
        found: list[
            tuple[tree.Expression, Env, tuple[tuple[tree.Expression, ...], tuple[tree.Expression, ...]]]
        ] = []
        refused: tuple[tree.Expression, ...] = ()
        outer = self._with_kinds(closure)
        for equation in closure.equations:
            names: dict[str, Value | Lazy] = {}
            outcome: Match = "yes"
            for parameter, given in zip(equation.parameters, closure.given, strict=False):
                if parameter.kind == "name":
                    names[parameter.name] = given
                    continue
                if parameter.kind == "wildcard":
                    continue
                one, inner = self.match(parameter, self.force(given))
                names |= inner
                outcome = "no" if "no" in (one, outcome) else "maybe" if "maybe" in (one, outcome) else "yes"
            if outcome == "no":
                continue
            found.append((equation.value, Env(outer.scope, outer, names), (equation.guards, refused)))
            if outcome == "yes" and not equation.guards:
                break
            if outcome == "yes" and len(equation.guards) == 1:
                refused = (*refused, equation.guards[0])
        return found

    def _with_kinds(self, closure: Closure) -> Env:
        """The environment of a function that is called, with its type variables as far as they are told."""
        signature = closure.signature
        if signature is None or not _VARIABLE.search(signature.type.text):
            return closure.env
        kinds: dict[str, Kind] = {}
        if closure.types and closure.place is not None:
            named = _FORALL.match(signature.scope.module.text, closure.place.start)
            kinds.update(zip(named[1].split() if named else (), closure.types, strict=False))
        arguments = signature.type.arguments if signature.type.head == "->" else ()
        for written, given in zip(arguments[:-1], closure.given, strict=False):
            self._learn_kind(written, given, kinds)
        if not kinds:
            return closure.env
        env = Env(closure.env.scope, closure.env)
        env.kinds = kinds
        return env

    def _learn_kind(self, written: tree.Type, given: Value | Lazy, kinds: dict[str, Kind]) -> None:
        inside = written.arguments[0] if written.head == "ContractId" and written.arguments else written
        if not inside.head[:1].islower() or inside.arguments or inside.head in kinds:
            return
        value = self.force(given)
        if written is inside:
            kind = kind_of(value)
        else:
            owner = self.owner_of(self.payload(value)) if isinstance(value, Term | Contract) else None
            kind = Kind(tree.Type(owner.name, (), owner.name), owner.scope) if owner is not None else None
        if kind is not None:
            kinds[inside.head] = kind

    def dispatched(self, function: Builtin) -> Value | None:
        """What the instance that is meant makes of a method of a class; None if that cannot be told."""
        self.budget.steps -= len(function.methods)
        if self.budget.steps < 0:
            return None
        declared = next((one for one, _ in function.methods if one.of and _general(one.of)), None)
        known: dict[str, Kind] = {}
        if declared is not None and declared.of is not None:
            for one, kind in zip(declared.of.arguments, function.types, strict=False):
                known[one.head] = expanded(kind) or kind
            written = declared.type.arguments[:-1] if declared.type and declared.type.head == "->" else ()
            for one, given in zip(written, function.given, strict=False):
                self._learn_kind(one, given, known)
        instances = [
            (one, scope)
            for one, scope in function.methods
            if one.equations and one.of and not _general(one.of)
        ]
        if declared is not None and declared.of is not None and (known or len(instances) > 1):
            names = [one.head for one in declared.of.arguments]
            instances = [pair for pair in instances if self._instance_of(pair, names, known)]
        elif declared is None:  # a class of a library: its signature is not known
            kinds = [
                kind for kind in (kind_of(self.force(one)) for one in function.given) if kind is not None
            ]
            instances = [
                pair for pair in instances if any(self._instance_of(pair, [""], {"": one}) for one in kinds)
            ]
        if len(instances) != 1 or not (known or declared is None or function.given):
            if instances or not known or declared is None or not declared.equations:
                return None
            home = next(scope for one, scope in function.methods if one is declared)
            instances = [(declared, home)]  # what the class itself says
        chosen, scope = instances[0]
        env = Env(scope)
        if chosen is declared:
            env.kinds = known
        if chosen.equations[0].parameters:
            return Closure(chosen.name, chosen.equations, env, place=chosen.place)
        if self._calls >= MAX_CALLS:
            return None
        self._calls += 1
        try:
            return self.value(guarded(chosen.equations), env)
        finally:
            self._calls -= 1

    def _instance_of(
        self, candidate: tuple[tree.Function, Scope], names: Sequence[str], known: dict[str, Kind]
    ) -> bool:
        """Whether an instance is for types that are known, as far as they are."""
        function, scope = candidate
        assert function.of is not None
        pairs = list(zip(names, function.of.arguments, strict=False))
        return any(name in known for name, _ in pairs) and all(
            name not in known or self._fits(known[name], Kind(written, scope)) for name, written in pairs
        )

    def _fits(self, one: Kind, other: Kind) -> bool:
        """Whether two types are the same, or a template is known where its interface is meant."""
        if _same_type(one, other):
            return True
        template, face = self._owner(one), self._owner(other)
        if template is None or face is None or template.template is None or face.interface is None:
            return False
        return self.instance(template, face) is not None

    def _builtin(self, function: Builtin) -> Value:
        name, given = function.name, function.given
        if function.methods:
            method = self.dispatched(function)
            if method is not None:
                return self.apply(method, given, ())
        if function.made is not None or name == "Some":
            made = function.made
            names = [entry.name for entry in made.fields] if made else ["_1"]
            if len(given) < len(names):
                return function
            return Rec(
                name,
                dict(zip(names, given, strict=False)),
                kind=Kind(made.type, made.scope) if made else None,
                made=made,
            )
        if name.startswith(".") and len(name) > 1:
            selected = self.force(given[0])
            for part in name[1:].split("."):
                selected = self.get(selected, part)
            return self.apply(selected, given[1:], ())
        if name == ".":
            if len(given) < 3:
                return function
            inner = self.apply(self.force(given[1]), (given[2],), ())
            return self.apply(self.force(given[0]), (inner, *given[3:]), ())
        if function.left is not None or function.right is not None or not name[:1].isalpha():
            return self._section(function)
        if len(given) < ARITY.get(name, 1):
            return function
        if name in ABORTS:
            return BOTTOM
        if name in EFFECTS:
            return Deferred(function=function) if len(given) >= EFFECT_ARITY.get(name, 1) else function
        found = self._library(function)
        if found is not None:
            return found
        interface = self._method_owner(name, given)
        if interface is not None:
            return interface
        return self._applied(name, given)

    def _section(self, function: Builtin) -> Value:
        both = [one for one in (function.left, *function.given, function.right) if one is not None]
        if len(both) < 2:
            return function
        name = function.name
        if name in JOIN:
            return Collection(tuple(Part(one, True) for one in both))
        if name == "::":
            return Collection((Part(both[0], False), Part(both[1], True)))
        if name[:1] == "," and len(both) == len(name) + 1:
            return Tuple_(tuple(both))
        if name[:1].isalpha():  # (`f` x)
            return self.apply(self._name_or_builtin(name), tuple(both), ())
        return self._applied(name, both)

    def _name_or_builtin(self, name: str) -> Value:
        return Builtin(name) if name in KNOWN else self.terms.make("apply", name)

    def _library(self, function: Builtin) -> Value | None:
        """Functions that parties, contracts and collections pass through; None for others."""
        name, given = function.name, function.given
        last = given[-1]
        match name, len(given):
            case _, 1 if name in SAME:
                inner = self.force(last)
                return (
                    inner
                    if isinstance(inner, Term | Collection | Unknown | Choices)
                    else Collection((Part(inner, True),))
                )
            case _, 1 if name in SUBMITTERS:
                return Rec(name, {"_1": last})
            case ("singleton", 1):
                return Collection((Part(last, False),))
            case ("insert" | "cons", 2):
                return Collection((Part(given[0], False), Part(last, True)))
            case ("union" | "append", 2):
                return Collection((Part(given[0], True), Part(last, True)))
            case ("concat" | "mconcat" | "unions" | "concatSet" | "catOptionals", 1):
                inner = self.force(last)
                if isinstance(inner, Collection) and not any(part.many for part in inner.parts):
                    return Collection(tuple(Part(part.value, True) for part in inner.parts))
                return self._applied(name, given)
            case ("signatory" | "observer", 1):
                return self._clause(name, self.force(last))
            case ("key", 1):
                found = self.key(self.force(last))
                return found if found is not None else self._applied(name, given)
            case ("view", 1):
                return self.view(self.force(last))
            case ("toInterface", 1):
                inner = self.force(last)
                owner = self._owner(function.types[0]) if function.types else None
                return Face(inner, owner) if owner is not None else inner
            case _, 1 if name in CAST:
                inner = self.force(last)
                if name == "fromInterface":
                    inner = inner.value if isinstance(inner, Face) else inner
                    made: Value = retyped(inner, function.types[-1] if function.types else None)
                    return Rec("Some", {"_1": made})
                kind = function.types[-1] if function.types else None
                if kind is not None:
                    kind = Kind(
                        tree.Type("ContractId", (kind.type,), f"ContractId {kind.type.text}"), kind.scope
                    )
                return self._retyped_id(inner, kind)
            case ("fromSome", 1) | ("fromSomeNote", 2):
                return self.some(self.force(last))
            case ("fst", 1):
                return self.get(self.force(last), "_1")
            case ("snd", 1):
                return self.get(self.force(last), "_2")
            case ("const", 2):
                return self.force(given[0])
            case ("flip", 3):
                return self.apply(self.force(given[0]), (given[2], given[1]), ())
            case ("fromOptional" | "fromMaybe", 2):
                return self._either(given[0], self.some(self.force(last)), name, given)
            case ("optional" | "maybe", 3):
                inner = self.force(last)
                if isinstance(inner, Rec) and inner.constructor == "None":
                    return self.force(given[0])
                applied = self._listed(self.apply(self.force(given[1]), (self.some(inner),), ()))
                if isinstance(inner, Rec) and inner.constructor == "Some":
                    return applied
                default = self.force(given[0])
                if isinstance(default, Collection) and not default.parts and isinstance(inner, Term):
                    made_set = Collection((Part(applied, True),))
                    return made_set
                return self._either(default, applied, name, given)
            case ("map" | "fmap", 2):
                return self._map(self.force(given[0]), self.force(last))
            case (("mapOptional" | "concatMap"), 2):
                return self._applied(name, given)
            case _, 1 | 2 if name in FEWER or name in FEWER_FIRST:
                whole = self.force(given[0] if name in FEWER_FIRST else last)
                return self._applied(name, given, within=whole)
            case _, 1 | 2 if name in ONE_OF:
                return self._one(name, given)
        return None

    def _listed(self, value: Value) -> Value:
        """What ``pure x`` is where a value is wanted and no action: a list of one."""
        match value:
            case Deferred(function=Builtin(name="pure" | "return", given=(one,)), given=()):
                return Collection((Part(one, False),))
        return value

    def _one(self, name: str, given: tuple[Value | Lazy, ...]) -> Value:
        whole = self.force(given[-1])
        if name in ("head", "last") and isinstance(whole, Collection) and whole.parts:
            part = whole.parts[0 if name == "head" else -1]
            if not part.many:
                return self.force(part.value)
        kind = collection_of(kind_of(whole))
        parts = tuple(self.term(self.force(one)) for one in given)
        if name == "find" and len(given) == 2:
            found = self.terms.make("apply", "find", parts)
            return Rec("Some", {"_1": self.terms.make("get", "Some", (found,), kind, within=whole)})
        return self.terms.make("apply", name, parts, kind, within=whole)

    def _either(self, one: Value | Lazy, other: Value, name: str, given: tuple[Value | Lazy, ...]) -> Value:
        first = self.force(one)
        parts = tuple(self.term(self.force(part)) for part in given)
        if isinstance(first, Bottom):
            return other
        if self.term(first).number == self.term(other).number:
            return first
        return Choices((first, other), self.terms.make("apply", name, parts))

    def _map(self, function: Value, over: Value) -> Value:
        if isinstance(over, Deferred):
            return Deferred(function=Builtin("fmap", (function,)), given=(over,))
        if isinstance(over, Collection):
            return Collection(
                tuple(
                    Part(self._map(function, self.force(part.value)), True)
                    if part.many
                    else Part(self.apply(function, (part.value,), ()), False)
                    for part in over.parts
                )
            )
        if isinstance(over, Rec) and over.constructor == "Some":
            return Rec("Some", {"_1": self.apply(function, (self.some(over),), ())})
        if isinstance(over, Rec) and over.constructor == "None":
            return over
        one = self.element(over)
        return self.terms.make("apply", "map", (self.term(over), self.term(self.apply(function, (one,), ()))))


def retyped(value: Value, kind: Kind | None) -> Value:
    known = isinstance(value, Term) and kind is not None
    return replace(value, kind=kind) if known and isinstance(value, Term) else value


def _general(of: tree.Type) -> bool:
    """Whether this is the head of a class rather than of an instance."""
    return all(one.head[:1].islower() for one in of.arguments)


def _same_type(one: Kind, other: Kind) -> bool:
    """Whether two types have the same head, by declaration if the text has it; a variable may be any type."""
    left, right = expanded(one), expanded(other)
    if left is None or right is None or left.type.head[:1].islower() or right.type.head[:1].islower():
        return True
    if left.type.head != right.type.head:
        return False
    owners = [kind.scope.owner(kind.name) for kind in (left, right)]
    if owners[0] is not None and owners[1] is not None:
        return owners[0].declaration is owners[1].declaration
    pairs = zip(left.type.arguments, right.type.arguments, strict=False)
    return all(_same_type(Kind(mine, left.scope), Kind(its, right.scope)) for mine, its in pairs)
