"""Expressions to values: names, records, operators and conditions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from canton_mcp.daml import tree
from canton_mcp.daml.expressions import guarded, operands, spine
from canton_mcp.daml.functions import Functions, retyped
from canton_mcp.daml.paths import (
    UNIT,
    Bottom,
    Builtin,
    Choices,
    Closure,
    Collection,
    Deferred,
    Env,
    Lazy,
    Part,
    Rec,
    Tuple_,
    Unknown,
    Value,
)
from canton_mcp.daml.prelude import EFFECT_ARITY, EFFECTS, EMPTY, JOIN, KNOWN
from canton_mcp.daml.scope import Kind, Scope
from canton_mcp.daml.values import MAX_CALLS, MAX_DEPTH, MAX_FLAT, kind_of

__all__ = ["Evaluator"]


_MAX_PARTS = 60


class Evaluator(Functions):
    """Gives expressions their values; what costs too much or is not understood becomes `Unknown`."""

    def value(self, expression: tree.Expression, env: Env) -> Value:
        """The value of an expression; actions in it are not run."""
        budget = self.budget
        budget.steps -= 1  # `take`, and the way to names: this is asked for each expression
        if budget.steps < 0 or self._depth > MAX_DEPTH:
            return Unknown("an expression beyond the bounds of the analysis")
        self._depth += 1
        try:
            if isinstance(expression, tree.Name):
                return self._name(expression, env)
            return self._value(expression, env)
        finally:
            self._depth -= 1

    def _value(self, expression: tree.Expression, env: Env) -> Value:
        match expression:
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
            case tree.If(condition=condition, then=then, otherwise=otherwise):
                holds = self.decided(condition, env)
                if holds is not None and (holds or otherwise is not None):
                    return self.value(then if holds or otherwise is None else otherwise, env)
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
                return retyped(self.value(inner, env), env.kind(written))
            case tree.TypeArgument():
                return UNIT
            case tree.Unread(text=text, parts=parts):
                inside = tuple(self.term(self.value(part, env)) for part in parts[:_MAX_PARTS])
                return self.terms.make("apply", " ".join(text.split())[:200], inside)
            case tree.Name():
                return self._name(expression, env)

    def _name(self, name: tree.Name, env: Env) -> Value:
        if not name.qualifier:
            found = env.find(name.name)
            if found is not None:
                return self.force(found) if isinstance(found, Lazy) else found
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
        methods = env.scope.class_methods.get(name.name)
        if methods and name.name not in EMPTY and self._of_class(name, methods, env):
            return Builtin(name.name, place=name.place, methods=tuple(methods))
        operator = not name.name[:1].isalpha() and name.name[:1] != "_"
        if operator or name.name in KNOWN or env.scope.method(name.name, name.qualifier) is not None:
            return Builtin(name.name, place=name.place)
        if name.name in EMPTY:
            return Collection(())
        return self.terms.make("apply", name.name)

    def _of_class(self, name: tree.Name, methods: Sequence[tuple[tree.Function, Scope]], env: Env) -> bool:
        """Whether a name means the method of a class, where interfaces may have one of that name too."""
        if name.name in env.scope.methods:
            return False
        return any(scope is env.scope for _, scope in methods) or not env.scope.method(
            name.name, name.qualifier
        )

    def _declared(self, function: tree.Function, scope: Scope) -> Value:
        env = Env(scope)
        if not function.equations:
            return self.terms.make("apply", function.name)
        kind = Kind(function.type, scope) if function.type is not None else None
        first = function.equations[0]
        if first.parameters:
            return Closure(function.name, function.equations, env, signature=kind, place=function.place)
        if self._calls >= MAX_CALLS:
            return self.terms.make("apply", function.name)
        self._calls += 1
        try:
            return self.value(guarded(function.equations), env)
        finally:
            self._calls -= 1

    def _application(self, expression: tree.Application, env: Env) -> Value:
        head, arguments = spine(expression)
        function = self.value(head, env)
        given, kinds = self.arguments(arguments, env)
        acts = isinstance(function, Builtin) and function.name in EFFECTS and not function.given
        if acts and isinstance(function, Builtin) and len(given) >= EFFECT_ARITY.get(function.name, 1):
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
        if operator in JOIN:
            parts = operands(expression, JOIN)
            if len(parts) > MAX_FLAT:
                return Unknown("a very long expression")
            return Collection(tuple(Part(Lazy(part, env), True) for part in parts))
        if operator == "::":
            items: list[Part] = []
            rest: tree.Expression = expression
            while isinstance(rest, tree.Operation) and rest.operator == "::" and len(items) < MAX_FLAT:
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

    def decided(self, condition: tree.Expression, env: Env) -> bool | None:
        """Whether a condition holds that compares constructors without fields, or is one; None if data decides."""
        if isinstance(condition, tree.TupleOf) and len(condition.items) == 1:
            condition = condition.items[0]
        if isinstance(condition, tree.Name | tree.FieldAccess):
            found = self.value(condition, env)
            word = found.constructor if isinstance(found, Rec) and not found.fields else ""
            return word == "True" if word in ("True", "False") else None
        if not isinstance(condition, tree.Operation) or condition.operator not in ("==", "/="):
            return None
        sides = [self.value(side, env) for side in (condition.left, condition.right)]
        words = [
            side.constructor
            for side in sides
            if isinstance(side, Rec) and side.constructor and not side.fields
        ]
        if len(words) != 2:
            return None
        plain = [word.rpartition(".")[2] for word in words]
        return (plain[0] == plain[1]) == (condition.operator == "==")

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
