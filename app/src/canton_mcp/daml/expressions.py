"""Taking expressions apart: applications, chains of operators, and what stands inside."""

from __future__ import annotations

from canton_mcp.daml import tree

__all__ = ["children", "guarded", "operands", "spine"]

_MAX_EQUATIONS = 60


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


def guarded(equations: tuple[tree.Binding, ...]) -> tree.Expression:
    """The value of a binding; several guarded ones become nested conditions."""
    result: tree.Expression | None = None
    for equation in reversed(equations[:_MAX_EQUATIONS]):
        value = equation.value
        for guard in reversed(equation.guards):
            if isinstance(guard, tree.Name) and guard.name in ("otherwise", "True"):
                continue
            value = tree.If(equation.place, guard, value, result)
        result = value
    assert result is not None
    return result
