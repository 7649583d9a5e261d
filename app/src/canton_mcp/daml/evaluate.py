"""Expressions to values: names, records, functions and the collection functions that parties pass through."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from canton_mcp.daml import tree
from canton_mcp.daml.paths import (
    BOTTOM,
    UNIT,
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
    Part,
    PartySet,
    Rec,
    Term,
    Terms,
    Tuple_,
    Unknown,
    Value,
    many,
)
from canton_mcp.daml.scope import Kind, Owner, Scope, collection_of, expanded

__all__ = [
    "ABORTS",
    "ACTIONS",
    "COMMANDS",
    "EFFECTS",
    "PARTIES",
    "SUBMISSIONS",
    "Budget",
    "Evaluator",
    "children",
    "kind_of",
    "operands",
    "spine",
]

ACTIONS = frozenset(
    {
        "create",
        "createAndExercise",
        "exercise",
        "exerciseByKey",
        "archive",
        "fetch",
        "fetchByKey",
        "fetchFromInterface",
        "lookupByKey",
        "visibleByKey",
        "lookupNByKey",
        "lookupAllByKey",
        "fetchNByKey",
        "fetchAllByKey",
    }
)
COMMANDS = {
    "createCmd": "create",
    "createExactCmd": "create",
    "exerciseCmd": "exercise",
    "exerciseExactCmd": "exercise",
    "exerciseByKeyCmd": "exerciseByKey",
    "createAndExerciseCmd": "createAndExercise",
    "archiveCmd": "archive",
}
"""Commands of scripts, with the action that each one is."""
SUBMISSIONS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("submit", "submitMustFail", "trySubmit", "submitTree", "submitUser"), (0, 2)),
    **dict.fromkeys(("submitMulti", "submitMultiMustFail", "trySubmitMulti", "submitTreeMulti"), (0, 3)),
    **dict.fromkeys(("submitWithDisclosures", "submitWithDisclosuresMustFail"), (0, 3)),
    **dict.fromkeys(("submitWithError", "trySubmitTree", "submitWithOptions"), (0, 2)),
}
"""Functions of scripts that submit commands: the position of who acts, and how many arguments there are."""
PARTIES = frozenset(
    {"allocateParty", "allocatePartyWithHint", "allocatePartyOn", "allocatePartyByHint", "getParty"}
    | {"allocatePartyWithHintOn", "allocatePartyByHintOn"}
)
ABORTS = frozenset(
    {"abort", "error", "assertFail", "fail", "throw", "throwPure", "failWithStatus", "undefined"}
)
_LOOPS = frozenset(
    {
        "forA",
        "forA_",
        "forM",
        "forM_",
        "mapA",
        "mapA_",
        "mapM",
        "mapM_",
        "traverse",
        "traverse_",
        "for",
        "for_",
    }
)
EFFECTS = (
    ACTIONS
    | frozenset(COMMANDS)
    | frozenset(SUBMISSIONS)
    | PARTIES
    | _LOOPS
    | frozenset({"when", "unless", "void", "foldlA", "foldrA", "foldlM", "foldM", "filterA", "zipWithA"})
    | frozenset({"zipWithA_", "sequence", "sequence_", "whenSome", "forOptional", "assert", "assertMsg"})
    | frozenset(
        {
            "require",
            "pure",
            "return",
            "join",
            "replicateA",
            "replicateA_",
            "discard",
            "getTime",
            "script",
            "scenario",
        }
    )
)
_SAME = frozenset(
    {
        "fromList",
        "toList",
        "dedup",
        "sort",
        "unique",
        "nub",
        "reverse",
        "optionalToList",
        "dedupSort",
        "elems",
        "toNonEmpty",
        "id",
        "identity",
        "force",
    }
)
"""Functions whose result has the same elements as their last argument."""
_FEWER = frozenset(
    {"delete", "filter", "take", "drop", "takeWhile", "dropWhile", "tail", "init", "difference"}
)
_FEWER_FIRST = frozenset({"difference", "intersection", "\\\\", "intersect"})
_ONE_OF = frozenset({"head", "last", "find", "foldl1", "foldr1", "maximum", "minimum"})
_CAST = frozenset(
    {
        "toInterfaceContractId",
        "fromInterfaceContractId",
        "coerceContractId",
        "coerceInterfaceContractId",
        "fromInterface",
    }
)
_SUBMITTERS = frozenset({"actAs", "readAs", "disclose", "discloseMany"})
_KNOWN = (
    EFFECTS
    | ABORTS
    | _SAME
    | _FEWER
    | _FEWER_FIRST
    | _ONE_OF
    | _CAST
    | frozenset(
        {"signatory", "observer", "view", "toInterface", "key", "fst", "snd", "map", "fmap", "concat"}
    )
    | frozenset({"singleton", "insert", "union", "unions", "mconcat", "fromSome", "fromSomeNote", "optional"})
    | frozenset({"maybe", "const", "concatMap", "catOptionals", "mapOptional", "append", "show", "flip"})
    | frozenset({"fromOptional", "fromMaybe", "cons", "elem", "member", "Some", "None", "concatSet"})
    | frozenset({"not", "notElem", "notMember", "isSubsetOf", "all", "any", "null", "and", "or", "either"})
    | frozenset({"isSome", "isNone", "allUnique", "zip"})
    | _SUBMITTERS
)
_ARITY: dict[str, int] = {
    **dict.fromkeys(("map", "fmap", "filter", "delete", "insert", "union", "append", "elem", "notElem"), 2),
    **dict.fromkeys(
        ("member", "notMember", "isSubsetOf", "all", "any", "find", "take", "drop", "takeWhile"), 2
    ),
    **dict.fromkeys(("dropWhile", "const", "difference", "intersection", "intersect", "fromOptional"), 2),
    **dict.fromkeys(("fromMaybe", "concatMap", "mapOptional", "fromSomeNote", "cons", "zip"), 2),
    **dict.fromkeys(("optional", "maybe", "either", "flip"), 3),
}
_EFFECT_ARITY: dict[str, int] = {
    **dict.fromkeys(("exercise", "exerciseByKey", "createAndExercise", "when", "unless", "assertMsg"), 2),
    **dict.fromkeys(("require", "forOptional", "whenSome", "filterA", "replicateA", "replicateA_"), 2),
    **dict.fromkeys(("foldlA", "foldrA", "foldlM", "foldM", "zipWithA", "zipWithA_"), 3),
    **dict.fromkeys(_LOOPS, 2),
    **dict.fromkeys(("exerciseCmd", "exerciseExactCmd", "exerciseByKeyCmd", "createAndExerciseCmd"), 2),
    **{name: count for name, (_, count) in SUBMISSIONS.items()},
    "getTime": 0,
}
_EMPTY = frozenset({"mempty", "empty"})
_JOIN = frozenset({"<>", "++"})
_MAX_DEPTH = 60
_MAX_CALLS = 5
_MAX_FLAT = 400
_MAX_MENTIONS = 60


@dataclass(slots=True)
class Budget:
    """How many steps may still be taken; every expression that is looked at costs one."""

    steps: int

    def take(self) -> bool:
        """Takes a step if there is one."""
        self.steps -= 1
        return self.steps >= 0


Match = Literal["yes", "maybe", "no"]


def spine(expression: tree.Expression) -> tuple[tree.Expression, list[tree.Expression]]:
    """The function that is applied and all arguments of nested applications, in order."""
    groups: list[tuple[tree.Expression, ...]] = []
    while isinstance(expression, tree.Application):
        groups.append(expression.arguments)
        expression = expression.function
        if isinstance(expression, tree.TupleOf) and len(expression.items) == 1:
            expression = expression.items[0]
    return expression, [argument for group in reversed(groups) for argument in group]


def operands(expression: tree.Expression, operators: frozenset[str]) -> list[tree.Expression]:
    """The operands of a chain of these operators, however it nests, in order."""
    found: list[tree.Expression] = []
    waiting = [expression]
    while waiting:
        one = waiting.pop()
        if isinstance(one, tree.Operation) and one.operator in operators:
            waiting += [one.right, one.left]
        else:
            found.append(one)
    return found


class Evaluator:
    """Gives expressions their values; what costs too much or is not understood becomes `Unknown`."""

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

    # expressions ----------------------------------------------------------------------------

    def value(self, expression: tree.Expression, env: Env) -> Value:
        """The value of an expression; actions in it are not run."""
        if not self.budget.take() or self._depth > _MAX_DEPTH:
            return Unknown("an expression beyond the bounds of the analysis")
        self._depth += 1
        try:
            return self._value(expression, env)
        finally:
            self._depth -= 1

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

    def _value(self, expression: tree.Expression, env: Env) -> Value:
        match expression:
            case tree.Name():
                return self._name(expression, env)
            case tree.FieldAccess(value=None, field=name):
                return Builtin(f".{name}")
            case tree.FieldAccess(value=inner, field=name):
                assert inner is not None
                return self.get(self.value(inner, env), name)
            case tree.Application():
                return self._application(expression, env)
            case tree.Record():
                return self._record(expression, env)
            case tree.TupleOf(items=items):
                if len(items) == 1:
                    return self.value(items[0], env)
                return Tuple_(tuple(Lazy(item, env) for item in items)) if items else UNIT
            case tree.ListOf(items=items):
                return Collection(tuple(Part(Lazy(item, env), False) for item in items))
            case tree.Operation():
                return self._operation(expression, env)
            case tree.Section(operator=operator, left=left, right=right):
                return Builtin(
                    operator,
                    left=Lazy(left, env) if left else None,
                    right=Lazy(right, env) if right else None,
                )
            case tree.Lambda():
                binding = tree.Binding(
                    expression.place,
                    tree.Pattern(expression.place, "wildcard"),
                    expression.parameters,
                    expression.body,
                )
                return Closure("a function", (binding,), env)
            case tree.If(then=then, otherwise=otherwise):
                values = [self.value(arm, env) for arm in (then, otherwise) if arm is not None]
                result = self.one_of(values, (expression.condition,), env)
                if isinstance(result, Choices) and result.term is not None and len(values) == 2:
                    self.conditions[result.term.number] = (expression.condition, env, values[0], values[1])
                return result
            case tree.Case():
                return self._case(expression, env)
            case tree.Let(bindings=bindings, body=body):
                return self.value(body, self.bound(bindings, env))
            case tree.Do(statements=statements):
                if len(statements) == 1 and isinstance(statements[0], tree.Run):
                    return self.value(statements[0].value, env)
                return Deferred(expression, env)
            case tree.Try():
                return Deferred(expression, env)
            case tree.Literal_(text=text):
                return self.terms.make("literal", text)
            case tree.Typed(value=inner, type=written):
                assert inner is not None
                return _retyped(self.value(inner, env), env.kind(written))
            case tree.TypeArgument():
                return UNIT
            case tree.Unread(text=text, parts=parts):
                inside = tuple(self.term(self.value(part, env)) for part in parts[:_MAX_MENTIONS])
                return self.terms.make("apply", " ".join(text.split())[:200], inside)

    def _name(self, name: tree.Name, env: Env) -> Value:
        if not name.qualifier:
            found = env.find(name.name)
            if found is not None:
                return self.force(found)
        if name.is_constructor:
            made = env.scope.constructor(name.name, name.qualifier)
            if made is None and name.name == "Some":
                return Builtin("Some")
            if made is not None and made.fields:
                return Builtin(name.name, made=made)
            return Rec(name.name, {}, made=made, kind=Kind(made.type, made.scope) if made else None)
        declared = env.scope.function(name.name, name.qualifier)
        if declared is not None:
            return self._declared(*declared)
        operator = not name.name[:1].isalpha() and name.name[:1] != "_"
        if operator or env.scope.method(name.name, name.qualifier) is not None or name.name in _KNOWN:
            return Builtin(name.name, place=name.place)
        if name.name in _EMPTY:
            return Collection(())
        return self.terms.make("apply", name.name)

    def _declared(self, function: tree.Function, scope: Scope) -> Value:
        env = Env(scope)
        if not function.equations:
            return self.terms.make("apply", function.name)
        kind = Kind(function.type, scope) if function.type is not None else None
        first = function.equations[0]
        if first.parameters:
            return Closure(function.name, function.equations, env, signature=kind, place=function.place)
        if self._calls >= _MAX_CALLS:
            return self.terms.make("apply", function.name)
        self._calls += 1
        try:
            return self.value(_guarded(function.equations), env)
        finally:
            self._calls -= 1

    def _application(self, expression: tree.Application, env: Env) -> Value:
        head, arguments = spine(expression)
        function = self.value(head, env)
        given, kinds = self.arguments(arguments, env)
        acts = isinstance(function, Builtin) and function.name in EFFECTS and not function.given
        if acts and isinstance(function, Builtin) and len(given) >= _EFFECT_ARITY.get(function.name, 1):
            return Deferred(expression, env)
        return self.apply(function, given, kinds)

    def arguments(
        self, arguments: Iterable[tree.Expression], env: Env
    ) -> tuple[tuple[Value | Lazy, ...], tuple[Kind, ...]]:
        """The value arguments, not evaluated yet, and the type arguments."""
        values: list[Value | Lazy] = []
        kinds: list[Kind] = []
        for argument in arguments:
            if isinstance(argument, tree.TypeArgument):
                kinds.append(env.kind(argument.type))
            else:
                values.append(Lazy(argument, env))
        return tuple(values), tuple(kinds)

    def _operation(self, expression: tree.Operation, env: Env) -> Value:
        operator = expression.operator
        if operator in _JOIN:
            parts = operands(expression, _JOIN)
            if len(parts) > _MAX_FLAT:
                return Unknown("a very long expression")
            return Collection(tuple(Part(Lazy(part, env), True) for part in parts))
        if operator == "::":
            items: list[Part] = []
            rest: tree.Expression = expression
            while isinstance(rest, tree.Operation) and rest.operator == "::" and len(items) < _MAX_FLAT:
                items.append(Part(Lazy(rest.left, env), False))
                rest = rest.right
            return Collection((*items, Part(Lazy(rest, env), True)))
        if operator in (">>=", ">>", "*>", "<*", "=<<", "<*>", "===", "=/=", "<$", "$>"):
            return Deferred(expression, env)
        left, right = Lazy(expression.left, env), Lazy(expression.right, env)
        if operator == "<$>":
            inner = self.force(right)
            if isinstance(inner, Deferred):
                return Deferred(expression, env)
            return self.apply(Builtin("fmap"), (left, inner), ())
        if operator == ".":
            return Builtin(".", (left, right))
        if operator == "$":
            return self.apply(self.force(left), (right,), ())
        if operator == "&":
            return self.apply(self.force(right), (left,), ())
        found = env.find(operator) or (
            self._declared(*declared) if (declared := env.scope.function(operator)) else None
        )
        if found is not None:
            return self.apply(self.force(found), (left, right), ())
        return self._applied(operator, (left, right))

    def _case(self, expression: tree.Case, env: Env) -> Value:
        subject = self.value(expression.subject, env)
        values: list[Value] = []
        for alternative in expression.alternatives:
            outcome, names = self.match(alternative.pattern, subject)
            if outcome == "no":
                continue
            values.append(self.value(alternative.body, Env(env.scope, env, names)))
            if outcome == "yes" and not alternative.guards:
                break
        return self.one_of(values, (expression.subject,), env)

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

    # records --------------------------------------------------------------------------------

    def _record(self, record: tree.Record, env: Env) -> Value:
        subject = record.subject
        if isinstance(subject, tree.TupleOf) and len(subject.items) == 1:
            subject = subject.items[0]
        fields: dict[str, Value | Lazy] = {}
        nested: list[tree.FieldValue] = []
        for entry in record.fields:
            if len(entry.path) == 1:
                fields[entry.path[0]] = Lazy(entry.value, env)
            elif entry.path:
                nested.append(entry)
        if isinstance(subject, tree.Name) and subject.is_constructor:
            made = env.scope.constructor(subject.name, subject.qualifier)
            if record.rest and made is not None:
                for entry_field in made.fields:
                    if entry_field.name not in fields:
                        found = env.find(entry_field.name)
                        if found is not None:
                            fields[entry_field.name] = found
            return Rec(
                subject.name,
                fields,
                kind=Kind(made.type, made.scope) if made is not None else None,
                made=made,
            )
        base = self.value(subject, env)
        for entry in nested:
            value: Value | Lazy = Lazy(entry.value, env)
            for depth in range(len(entry.path) - 1, 0, -1):
                inner = base
                for name in entry.path[:depth]:
                    inner = self.get(inner, name)
                value = Rec("", {entry.path[depth]: value}, base=inner, kind=kind_of(inner))
            fields[entry.path[0]] = value
        if isinstance(base, Bottom | Unknown):
            return base
        return Rec(
            base.constructor if isinstance(base, Rec) else "",
            fields,
            base=base,
            kind=kind_of(base),
            made=base.made if isinstance(base, Rec) else None,
        )

    def get(self, value: Value, name: str) -> Value:
        """A field of a value."""
        for _ in range(_MAX_FLAT):
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
                return self.terms.make("get", name, (value,), self._field_kind(value.kind, name))
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

    # functions ------------------------------------------------------------------------------

    def apply(self, function: Value, given: tuple[Value | Lazy, ...], kinds: tuple[Kind, ...]) -> Value:
        """A function with arguments; actions are deferred."""
        if not given and not kinds:
            return function
        if not self.budget.take():
            return Unknown("an expression beyond the bounds of the analysis")
        match function:
            case Closure():
                return self._call(
                    replace(function, given=function.given + given, types=function.types + kinds)
                )
            case Builtin():
                return self._builtin(
                    replace(function, given=function.given + given, types=function.types + kinds)
                )
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
        if self._calls >= _MAX_CALLS:
            return self._applied(_identity(closure), closure.given)
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

    def _builtin(self, function: Builtin) -> Value:
        name, given = function.name, function.given
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
        if len(given) < _ARITY.get(name, 1):
            return function
        if name in ABORTS:
            return BOTTOM
        if name in EFFECTS:
            return Deferred(function=function) if len(given) >= _EFFECT_ARITY.get(name, 1) else function
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
        if name in _JOIN:
            return Collection(tuple(Part(one, True) for one in both))
        if name == "::":
            return Collection((Part(both[0], False), Part(both[1], True)))
        if name[:1] == "," and len(both) == len(name) + 1:
            return Tuple_(tuple(both))
        if name[:1].isalpha():  # (`f` x)
            return self.apply(self._name_or_builtin(name), tuple(both), ())
        return self._applied(name, both)

    def _name_or_builtin(self, name: str) -> Value:
        return Builtin(name) if name in _KNOWN else self.terms.make("apply", name)

    def _library(self, function: Builtin) -> Value | None:
        """Functions that parties, contracts and collections pass through; None for others."""
        name, given = function.name, function.given
        last = given[-1]
        match name, len(given):
            case _, 1 if name in _SAME:
                inner = self.force(last)
                return (
                    inner
                    if isinstance(inner, Term | Collection | Unknown | Choices)
                    else Collection((Part(inner, True),))
                )
            case _, 1 if name in _SUBMITTERS:
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
            case _, 1 if name in _CAST:
                inner = self.force(last)
                if name == "fromInterface":
                    inner = inner.value if isinstance(inner, Face) else inner
                    made: Value = _retyped(inner, function.types[-1] if function.types else None)
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
                applied = self.apply(self.force(given[1]), (self.some(inner),), ())
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
            case _, 1 | 2 if name in _FEWER or name in _FEWER_FIRST:
                whole = self.force(given[0] if name in _FEWER_FIRST else last)
                return self._applied(name, given, within=whole)
            case _, 1 | 2 if name in _ONE_OF:
                return self._one(name, given)
        return None

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

    def match(self, pattern: tree.Pattern, value: Value) -> tuple[Match, dict[str, Value | Lazy]]:
        """Whether a pattern fits, and the names it binds."""
        if not self.budget.take() or self._depth > _MAX_DEPTH:
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

    # bindings -------------------------------------------------------------------------------

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
                inner.names[name] = Lazy(_guarded(tuple(equations)), inner)
        for binding in others:
            _, names = self.match(binding.pattern, self.value(binding.value, inner))
            inner.names.update(names)
        return inner

    # contracts ------------------------------------------------------------------------------

    def payload(self, contract: Value) -> Value:
        """What a contract id stands for."""
        match contract:
            case Contract(payload=payload):
                return payload
            case Term():
                known = self.payloads.get(contract.number)
                if known is not None:
                    return known
                kind = expanded(contract.kind)
                inner = None
                if kind is not None and kind.type.head == "ContractId" and kind.type.arguments:
                    inner = Kind(kind.type.arguments[0], kind.scope)
                return self.terms.make("payload", "", (contract,), inner)
            case Choices(values=values):
                return Choices(
                    tuple(self.payload(one) for one in values),
                    self.terms.make("payload", "", (self.term(contract),)),
                )
            case Bottom():
                return BOTTOM
        return Unknown("a contract that is not followed")

    def owner_of(self, payload: Value) -> Owner | None:
        """The template (or interface) of a payload, if this text tells."""
        while isinstance(payload, Face):
            payload = payload.value
        if isinstance(payload, Choices):
            owners = [self.owner_of(one) for one in payload.values]
            return owners[0] if owners and all(owner is owners[0] for owner in owners) else None
        kind = kind_of(payload)
        return self._owner(kind) if kind is not None else None

    def _owner(self, kind: Kind) -> Owner | None:
        return kind.scope.owner(kind.name)

    def template_env(self, owner: Owner, payload: Value) -> Env:
        """The names in the clauses of a template: its fields, what its ``let`` binds, and `this`."""
        template = owner.template
        fields = {entry.name for entry in template.fields} if template else set()

        def field_value(name: str) -> Value | None:
            return self.get(payload, name) if name in fields else None

        env = Env(owner.scope, None, {"this": payload}, field_value, owner if owner.interface else None)
        if template is not None and template.bindings:
            env = self.bound(template.bindings, env)
        return env

    def clause_parties(self, clauses: Iterable[tree.Clause], env: Env, how: str = "") -> PartySet:
        """The parties of clauses such as ``signatory``."""
        found = PartySet()
        for clause in clauses:
            for item in clause.items:
                inner = self.parties(self.value(item, env))
                found.join(inner)
        if how:
            found.atoms = [replace(atom, how=how) for atom in found.atoms]
        return found

    def signatories(self, payload: Value) -> PartySet:
        """The signatories of a contract."""
        return self.parties(self._clause("signatory", payload))

    def observers(self, payload: Value) -> PartySet:
        """The observers of a contract, those of ``controller .. can`` included."""
        return self.parties(self._clause("observer", payload))

    def _clause(self, name: str, payload: Value) -> Value:
        """``signatory x`` or ``observer x`` as a collection."""
        while isinstance(payload, Face):
            payload = payload.value
        owner = self.owner_of(payload)
        term = self.term(payload)
        asked = (name, term.number)
        if owner is None or owner.template is None or asked in self._asked:
            kind = Kind(_PARTIES, self._every[0]) if self._every else None
            return self.terms.make("apply", name, (term,), kind)
        self._asked.add(asked)
        try:
            env = self.template_env(owner, payload)
            clauses = owner.template.signatories if name == "signatory" else owner.template.observers
            items = [item for clause in clauses for item in clause.items]
            if name == "observer":
                items += [
                    item
                    for choice in owner.template.choices
                    if choice.in_controller_can
                    for clause in choice.controllers
                    for item in clause.items
                ]
            return Collection(tuple(Part(self.value(item, env), True) for item in items[:_MAX_FLAT]))
        finally:
            self._asked.discard(asked)

    def key(self, payload: Value) -> Value | None:
        """The key of a contract, None when its template is not known or has none."""
        owner = self.owner_of(payload)
        if owner is None or owner.template is None or owner.template.key is None:
            return None
        term = self.term(payload)
        if ("key", term.number) in self._asked:
            return None
        self._asked.add(("key", term.number))
        try:
            return self.value(owner.template.key.value, self.template_env(owner, payload))
        finally:
            self._asked.discard(("key", term.number))

    def maintainers(self, owner: Owner, key: Value) -> PartySet:
        """The maintainers of a key of the template."""
        template = owner.template
        if template is None:
            return PartySet()
        return self.clause_parties(template.maintainers, Env(owner.scope, None, {"key": key}), "maintainer")

    def view(self, value: Value) -> Value:
        """``view x``: that of the instance where the template is known."""
        if isinstance(value, Face):
            binding = self.implementation(value, "view")
            if binding is not None:
                closure, env = binding
                if not closure.equations[0].parameters:
                    return self.value(closure.equations[0].value, env)
            return self.terms.make(
                "view", value.interface.name, (self.term(value.value),), _view_kind(value.interface)
            )
        owner = self.owner_of(value)
        name = owner.name if owner is not None and owner.interface is not None else ""
        kind = _view_kind(owner) if name and owner is not None else None
        return self.terms.make("view", name, (self.term(value),), kind)

    def implementation(self, face: Face, method: str) -> tuple[Closure, Env] | None:
        """A method of the instance that belongs to a contract of a known template."""
        owner = self.owner_of(face.value)
        if owner is None or owner.template is None:
            return None
        found = self.instance(owner, face.interface)
        if found is None:
            return None
        instance, scope = found
        equations = tuple(
            binding for entry in instance.methods if entry.name == method for binding in entry.bindings
        )
        if not equations:
            return None
        inner = self.template_env(Owner(owner.declaration, owner.scope), face.value)
        env = Env(scope, inner, {"this": face.value})
        return Closure(method, equations, env, place=equations[0].place), env

    def instance(self, template: Owner, interface: Owner) -> tuple[tree.Instance, Scope] | None:
        """The instance of the interface for the template."""
        for scope in self._every:
            for instance in scope.instances:
                if instance.template.rpartition(".")[2] != template.name and instance.template:
                    continue
                owner = scope.owner(instance.template) if instance.template else None
                if owner is not None and owner.declaration is not template.declaration:
                    continue
                face = scope.owner(instance.interface)
                named = instance.interface.rpartition(".")[2] == interface.name
                if face.declaration is interface.declaration if face is not None else named:
                    return instance, scope
        return None

    def _method_owner(self, name: str, given: tuple[Value | Lazy, ...]) -> Value | None:
        """An interface method applied to a contract: inlined if the instance is known."""
        face = self.face(name, given[0]) if given else None
        if face is None:
            return None
        found = self.implementation(face, name)
        if found is None:
            return None
        closure, env = found
        if closure.equations[0].parameters:
            return self.apply(closure, given[1:], ())
        if self._calls >= _MAX_CALLS:
            return None
        self._calls += 1
        try:
            return self.apply(self.value(_guarded(closure.equations), env), given[1:], ())
        finally:
            self._calls -= 1

    def face(self, method: str, first: Value | Lazy) -> Face | None:
        """The contract of a method call as its interface sees it."""
        value = self.force(first)
        if isinstance(value, Face):
            if any(entry.name == method for entry in _methods(value.interface)):
                return value
            value = value.value
        for scope in self._every:
            owner = scope.methods.get(method)
            if owner is not None and isinstance(value, Term | Rec):
                known = self.owner_of(value)
                if known is not None and known.template is not None and self.instance(known, owner):
                    return Face(value, owner)
        return None

    def _retyped_id(self, value: Value, kind: Kind | None) -> Value:
        if not isinstance(value, Term) or kind is None:
            return value
        inner = Kind(kind.type.arguments[0], kind.scope)
        target = self._owner(inner)
        known = self.owner_of(self.payload(value))
        if (
            known is not None
            and known.template is not None
            and target is not None
            and target.interface is not None
        ):
            return value  # the template says more than the interface
        return replace(value, kind=kind)

    # parties --------------------------------------------------------------------------------

    def parties(self, value: Value | Lazy) -> PartySet:
        """The parties that a party expression stands for."""
        found = PartySet()
        atoms: dict[int, Atom] = {}
        waiting: list[Value | Lazy] = [value]
        while waiting:
            if len(atoms) + len(waiting) > _MAX_FLAT or not self.budget.take():
                found.opaque.append(Unknown("more parties than are followed"))
                break
            one = self.force(waiting.pop())
            while isinstance(one, Face):
                one = one.value
            match one:
                case Term():
                    if one.head == "literal":
                        found.opaque.append(Unknown(one.name))
                    else:
                        atoms.setdefault(one.number, Atom(one, many(one.kind)))
                case Collection(parts=parts):
                    waiting += [part.value for part in reversed(parts)]
                case Choices(values=values):
                    sets = [self.parties(inner) for inner in values]
                    if one.term is not None and any(inner.atoms or inner.opaque for inner in sets):
                        atoms.setdefault(one.term.number, Atom(one.term, None))
                        self.alternatives[one.term.number] = sets
                case Rec(constructor="Some" | "None" | "NonEmpty"):
                    waiting += list(one.fields.values())
                case Bottom():
                    pass
                case Unknown():
                    found.opaque.append(one)
                case _:
                    atoms.setdefault(self.term(one).number, Atom(self.term(one), None))
        found.atoms = list(atoms.values())
        return found

    # terms ----------------------------------------------------------------------------------

    def term(self, value: Value) -> Term:
        """A term for any value: equal for equal structure."""
        match value:
            case Term():
                return value
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
        return self.terms.make("apply", _identity(value), given)

    def mentions(self, expression: tree.Expression, env: Env) -> frozenset[int]:
        """The paths that occur in an expression."""
        found: set[int] = set()
        waiting: list[tree.Expression] = [expression]
        steps = 0
        while waiting and steps < _MAX_FLAT:
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


_VARIABLE = re.compile(r"\b[a-z]")
_FORALL = re.compile(r"[\w']+\s*:\s*forall\s+([\w\s']{1,400}?)\s*\.")
_PARTIES = tree.Type("[]", (tree.Type("Party", (), "Party"),), "[Party]")


def children(expression: tree.Expression) -> list[tree.Expression]:
    """The expressions directly inside an expression; statements give theirs."""
    match expression:
        case tree.FieldAccess(value=value):
            return [value] if value is not None else []
        case tree.Typed(value=inner):
            return [inner]
        case tree.Application(function=function, arguments=arguments):
            return [function, *arguments]
        case tree.Operation(left=left, right=right):
            return [left, right]
        case tree.Section(left=before, right=after):
            return [one for one in (before, after) if one is not None]
        case tree.Record(subject=subject, fields=fields):
            return [subject, *(entry.value for entry in fields)]
        case tree.TupleOf(items=items) | tree.ListOf(items=items):
            return list(items)
        case tree.Lambda(body=body):
            return [body]
        case tree.If(condition=condition, then=then, otherwise=otherwise):
            return [condition, then, *([otherwise] if otherwise is not None else [])]
        case tree.Case(subject=subject, alternatives=alternatives):
            return [subject, *(one for arm in alternatives for one in (*arm.guards, arm.body))]
        case tree.Let(bindings=bindings, body=body):
            return [*(binding.value for binding in bindings), body]
        case tree.Do(statements=statements):
            found: list[tree.Expression] = []
            for statement in statements:
                if isinstance(statement, tree.LetStatement):
                    found += [binding.value for binding in statement.bindings]
                else:
                    found.append(statement.value)
            return found
        case tree.Try(body=body, alternatives=alternatives):
            return [body, *(arm.body for arm in alternatives)]
        case tree.Unread(parts=parts):
            return list(parts)
    return []


def _identity(closure: Closure) -> str:
    """A name that two different functions do not share."""
    module = closure.env.scope.module.name
    return closure.name if closure.place else f"{closure.name} {module}:{closure.equations[0].place.start}"


def kind_of(value: Value) -> Kind | None:
    """The type of a value, if it is known."""
    if isinstance(value, Face):
        value = value.value
    if isinstance(value, Term | Rec):
        return value.kind
    return None


def _retyped(value: Value, kind: Kind | None) -> Value:
    known = isinstance(value, Term) and kind is not None
    return replace(value, kind=kind) if known and isinstance(value, Term) else value


def _guarded(equations: tuple[tree.Binding, ...]) -> tree.Expression:
    """The value of a binding; several guarded ones become nested conditions."""
    result: tree.Expression | None = None
    for equation in reversed(equations[:_MAX_DEPTH]):
        value = equation.value
        for guard in reversed(equation.guards):
            if isinstance(guard, tree.Name) and guard.name in ("otherwise", "True"):
                continue
            value = tree.If(equation.place, guard, value, result)
        result = value
    assert result is not None
    return result


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


def _view_kind(owner: Owner) -> Kind | None:
    interface = owner.interface
    if interface is None or not interface.view:
        return None
    return Kind(tree.Type(interface.view, (), interface.view), owner.scope)


def _methods(owner: Owner) -> tuple[tree.Method, ...]:
    return owner.interface.methods if owner.interface is not None else ()
