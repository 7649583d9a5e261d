"""Values: their fields and elements, what makes two of them equal, and how much work may be spent on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from canton_mcp.daml import tree
from canton_mcp.daml.expressions import children
from canton_mcp.daml.paths import (
    BOTTOM,
    Atom,
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
    PartySet,
    Rec,
    Term,
    Terms,
    Tuple_,
    Unknown,
    Value,
)
from canton_mcp.daml.scope import Kind, Scope, collection_of, expanded

__all__ = ["MAX_CALLS", "MAX_DEPTH", "MAX_FLAT", "Budget", "Values", "identity", "kind_of"]

MAX_DEPTH = 60
MAX_CALLS = 5
MAX_FLAT = 400
_MAX_MENTIONS = 60


@dataclass(slots=True)
class Budget:
    """How many steps may still be taken; every expression that is looked at costs one."""

    steps: int

    def take(self) -> bool:
        """Takes a step if there is one."""
        self.steps -= 1
        return self.steps >= 0


class Values(ABC):
    """What can be said of values once `value` and `apply` say what expressions and functions come to."""

    def __init__(self, every: Sequence[Scope], budget: Budget) -> None:
        self.terms = Terms()
        self.budget = budget
        self.payloads: dict[int, Value] = {}
        """What the ids of contracts stand for whose payload is known, by the number of the id."""
        self.alternatives: dict[int, list[PartySet]] = {}
        """For terms that are one of several party sets, by their numbers: those sets."""
        self.conditions: dict[int, tuple[tree.Expression, Env, Value, Value]] = {}
        """For terms that are one of two values: the condition, and the value if it holds and if not."""
        self._every = every
        self._depth = 0
        self._calls = 0
        self._asked: set[tuple[str, int]] = set()
        self._looping: dict[int, int] = {}
        self._envs: dict[tuple[int, int], tuple[Value, Env]] = {}
        self._atoms: dict[int, Atom] = {}

    @abstractmethod
    def value(self, expression: tree.Expression, env: Env) -> Value:
        """The value of an expression; actions in it are not run."""

    @abstractmethod
    def apply(self, function: Value, given: tuple[Value | Lazy, ...], kinds: tuple[Kind, ...]) -> Value:
        """A function with arguments; actions are deferred."""

    def force(self, value: Value | Lazy) -> Value:
        """The value itself."""
        if not isinstance(value, Lazy):
            return value
        if value.value is None:
            if value.busy:
                return Unknown("a value that is defined by itself")
            value.busy = True
            value.value = self.value(value.expression, value.env)
            value.busy = False
        return value.value

    def get(self, value: Value, name: str) -> Value:
        """A field of a value."""
        for _ in range(MAX_FLAT):
            if isinstance(value, Face):
                value = value.value
            elif isinstance(value, Rec):
                found = value.fields.get(name)
                if found is not None:
                    return self.force(found)
                if value.base is None:
                    break
                value = value.base
            else:
                break
        match value:
            case Term():
                known = self.terms.field(value, name)
                if known is not None:
                    return known
                inside = value if name == "Some" else None
                return self.terms.make("get", name, (value,), self._field_kind(value.kind, name), inside)
            case Rec(made=made):
                kind = None
                for entry in made.fields if made else ():
                    if entry.name == name and made is not None:
                        kind = Kind(entry.type, made.scope)
                return self.terms.make("get", name, (self.term(value),), kind)
            case Tuple_(items=items):
                number = int(name[1:]) if name[:1] == "_" and name[1:].isdigit() and len(name) < 4 else 0
                return self.force(items[number - 1]) if 1 <= number <= len(items) else Unknown(name)
            case Choices(values=values):
                inner = tuple(self.get(one, name) for one in values)
                return Choices(inner, self.terms.make("get", name, (self.term(value),)))
            case Bottom():
                return BOTTOM
            case Builtin(name=selector, given=()) if selector.startswith(".") and len(selector) > 1:
                return Builtin(f"{selector}.{name}")  # the selector (.a.b)
        return self.terms.make("get", name, (self.term(value),))

    def _field_kind(self, kind: Kind | None, name: str) -> Kind | None:
        plain = expanded(kind)
        if plain is None:
            return None
        if name == "Some":
            return collection_of(plain)
        if name[:1] == "_" and name[1:].isdigit() and plain.type.head.startswith("("):
            arguments = plain.type.arguments
            number = int(name[1:]) if len(name) < 4 else 0
            return Kind(arguments[number - 1], plain.scope) if 1 <= number <= len(arguments) else None
        fields, scope = self.fields_of(plain)
        return next((Kind(entry.type, scope) for entry in fields if entry.name == name), None)

    def fields_of(self, kind: Kind) -> tuple[tuple[tree.Field, ...], Scope]:
        """The fields that all values of a record type have, and the module of their types."""
        head = kind.name
        found = kind.scope.data(head)
        if found is not None:
            data, scope = found
            if len(data.constructors) == 1:
                return data.constructors[0][1], scope
            return (), scope
        owner = kind.scope.owner(head)
        if owner is not None and owner.template is not None:
            return owner.template.fields, owner.scope
        qualifier, _, plain = head.rpartition(".")
        made = kind.scope.constructor(plain, qualifier)
        return (made.fields, made.scope) if made is not None else ((), kind.scope)

    def some(self, value: Value) -> Value:
        """What an optional holds."""
        if isinstance(value, Rec) and value.constructor == "Some":
            return self.force(next(iter(value.fields.values())))
        if isinstance(value, Rec) and value.constructor == "None":
            return BOTTOM
        if isinstance(value, Choices):
            inside = [one for one in map(self.some, value.values) if not isinstance(one, Bottom)]
            if len(inside) == 1:
                return inside[0]
        return self.get(value, "Some")

    def element(self, over: Value) -> Value:
        """Any one element of a collection: what holds for it holds for all of them."""
        if isinstance(over, Collection) and len(over.parts) == 1:
            part = over.parts[0]
            return self.element(self.force(part.value)) if part.many else self.force(part.value)
        term = self.term(over)
        if term.head == "apply" and term.name == "map" and len(term.parts) == 2:
            return term.parts[1]
        if term.head == "apply" and term.name == "zip" and len(term.parts) == 2:
            return Tuple_(tuple(self._zipped(term, part) for part in term.parts))
        kind = collection_of(kind_of(over))
        number = self._looping.get(term.number, 0)
        return self.terms.make("element", str(number or ""), (term,), kind, within=over)

    def _zipped(self, pairs: Term, side: Term) -> Term:
        """An element of one of two lists that are walked in step: not just any element of that list."""
        number = self._looping.get(pairs.number, 0)
        return self.terms.make(
            "element", f"{pairs.number}.{number}", (side,), collection_of(side.kind), within=side
        )

    def looping(self, over: Value, step: int) -> None:
        """Enters (1) or leaves (-1) a loop, so that a loop inside over the same collection has another element."""
        number = self.term(over).number
        self._looping[number] = self._looping.get(number, 0) + step

    def one_of(self, values: Sequence[Value], conditions: Sequence[tree.Expression], env: Env) -> Value:
        """One of the values, by conditions: equal choices by equal conditions are equal."""
        plain = [value for value in values if not isinstance(value, Bottom)]
        if not plain:
            return BOTTOM
        if len(plain) == 1 or all(plain[0] is other for other in plain):
            return plain[0]
        if any(isinstance(value, Deferred | Closure | Builtin) for value in plain):
            return Choices(tuple(plain))
        terms = [self.term(value) for value in plain]
        if all(term.number == terms[0].number for term in terms):
            return plain[0]
        tests = [self.term(self.value(condition, env)) for condition in conditions]
        return Choices(tuple(plain), self.terms.make("apply", "if", (*tests, *terms)))

    def term(self, value: Value) -> Term:
        """A term for any value: equal for equal structure."""
        if isinstance(value, Term):
            return value
        match value:
            case Rec():
                if value.term is None:
                    value.term = self._rec_term(value)
                return value.term
            case Collection(parts=parts):
                if value.term is None:
                    inner = tuple(
                        self.terms.make(
                            "made", "*" if part.many else "1", (self.term(self.force(part.value)),)
                        )
                        for part in parts
                    )
                    value.term = (
                        inner[0].parts[0]
                        if len(parts) == 1 and parts[0].many
                        else self.terms.make("made", "collection", inner)
                    )
                return value.term
            case Tuple_(items=()):  # shared by all analyses
                return self.terms.make("made", "tuple")
            case Tuple_(items=items):
                if value.term is None:
                    value.term = self.terms.make(
                        "made", "tuple", tuple(self.term(self.force(item)) for item in items)
                    )
                return value.term
            case Contract(payload=payload):
                return self.terms.make("made", "contract", (self.term(payload),))
            case Face(value=inner_value):
                return self.term(inner_value)
            case Choices(values=values):
                if value.term is None:
                    value.term = self.terms.make("made", "either", tuple(self.term(one) for one in values))
                return value.term
            case Builtin(name=name, given=given):
                sides = [one for one in (value.left, value.right) if one is not None]
                inside = tuple(self.term(self.force(one)) for one in (*given, *sides))
                return self.terms.make("apply", name, inside)
            case Closure():
                return self._closure_term(value)
            case Unknown(text=text):
                return self.terms.fresh(text)
            case Bottom():
                return self.terms.make("apply", "error")
            case Deferred():
                return self.terms.fresh("an action")

    def _rec_term(self, value: Rec) -> Term:
        value.term = self.terms.fresh(value.constructor or "a record")  # for records that contain themselves
        parts = [
            self.terms.make("made", name, (self.term(self.force(field)),))
            for name, field in sorted(value.fields.items())
        ]
        if value.base is not None:
            parts.append(self.terms.make("made", "with", (self.term(value.base),)))
        return self.terms.make("made", value.constructor, tuple(parts), value.kind)

    def _closure_term(self, value: Closure) -> Term:
        """Functions are equal if they do the same to the same argument."""
        arity = len(value.equations[0].parameters) - len(value.given)
        if self._calls < 2 and 0 < arity <= 2 and not value.place:
            blank = tuple(self.terms.make("apply", f"argument {number}") for number in range(arity))
            result = self.apply(value, blank, ())
            if not isinstance(result, Deferred | Closure):
                return self.terms.make("made", "function", (self.term(result),))
        given = tuple(self.term(self.force(one)) for one in value.given)
        return self.terms.make("apply", identity(value), given)

    def mentions(self, expression: tree.Expression, env: Env) -> frozenset[int]:
        """The paths that occur in an expression."""
        found: set[int] = set()
        waiting: list[tree.Expression] = [expression]
        steps = 0
        while waiting and steps < MAX_FLAT:
            steps += 1
            one = waiting.pop()
            match one:
                case tree.Name(name=name) if name[:1].islower() or name[:1] == "_":
                    if env.find(name) is not None:
                        found.update(self._numbers(self.value(one, env)))
                case tree.FieldAccess(value=inner) if inner is not None:
                    found.update(self._numbers(self.value(one, env)))
                    if not isinstance(inner, tree.Name | tree.FieldAccess):
                        waiting.append(inner)
                case _:
                    waiting += children(one)
        return frozenset(found)

    def _mentions(self, given: Iterable[Value | Lazy]) -> frozenset[int]:
        return frozenset(number for one in given for number in self._numbers(self.force(one)))

    def _numbers(self, value: Value) -> set[int]:
        term = self.term(value) if not isinstance(value, Deferred | Closure | Unknown) else None
        if term is None:
            return set()
        found: set[int] = set()
        waiting = [term]
        while waiting and len(found) < _MAX_MENTIONS:
            one = waiting.pop()
            if one.number not in found:
                found.add(one.number)
                if one.head in ("apply", "made"):
                    waiting += one.parts
        return found


def kind_of(value: Value) -> Kind | None:
    """The type of a value, if it is known."""
    if isinstance(value, Face):
        value = value.value
    if isinstance(value, Term | Rec):
        return value.kind
    return None


def identity(closure: Closure) -> str:
    """A name that two different functions do not share."""
    module = closure.env.scope.module.name
    return closure.name if closure.place else f"{closure.name} {module}:{closure.equations[0].place.start}"
