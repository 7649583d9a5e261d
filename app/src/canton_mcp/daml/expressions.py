"""Taking expressions apart: applications, chains of operators, and what stands inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from canton_mcp.daml import tree

__all__ = ["children", "guarded", "inner", "operands", "spine"]

_MAX_EQUATIONS = 60


def spine(expression: tree.Expression) -> tuple[tree.Expression, list[tree.Expression]]:
    """The function that is applied and all arguments of nested applications, in order."""
    if not isinstance(expression, tree.Application):
        return expression, []
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


def _of_do(block: tree.Do) -> list[tree.Expression]:
    found: list[tree.Expression] = []
    for statement in block.statements:
        if isinstance(statement, tree.LetStatement):
            found += [binding.value for binding in statement.bindings]
        else:
            found.append(statement.value)
    return found


def _of_if(node: tree.If) -> list[tree.Expression]:
    arms = [node.condition, node.then]
    return arms if node.otherwise is None else [*arms, node.otherwise]


_CHILDREN: dict[type, Callable[[Any], Sequence[tree.Expression]]] = {
    tree.FieldAccess: lambda node: (node.value,) if node.value is not None else (),
    tree.Typed: lambda node: (node.value,),
    tree.Application: lambda node: (node.function, *node.arguments),
    tree.Operation: lambda node: (node.left, node.right),
    tree.Section: lambda node: [side for side in (node.left, node.right) if side is not None],
    tree.Record: lambda node: (node.subject, *[entry.value for entry in node.fields]),
    tree.TupleOf: lambda node: node.items,
    tree.ListOf: lambda node: node.items,
    tree.Lambda: lambda node: (node.body,),
    tree.If: _of_if,
    tree.Case: lambda node: [
        node.subject,
        *(one for arm in node.alternatives for one in (*arm.guards, arm.body)),
    ],
    tree.Let: lambda node: [*(binding.value for binding in node.bindings), node.body],
    tree.Do: _of_do,
    tree.Try: lambda node: [node.body, *(arm.body for arm in node.alternatives)],
    tree.Unread: lambda node: node.parts,
}
"""By the class of an expression: one look-up, where a match would try class after class for each node there is."""


def children(expression: tree.Expression) -> Sequence[tree.Expression]:
    """The expressions directly inside an expression; statements give theirs."""
    inside = _CHILDREN.get(type(expression))
    return inside(expression) if inside is not None else ()


def inner(root: tree.Expression, most: int) -> list[tree.Expression]:
    """An expression and all expressions in it, in the order of the text: the first `most` of them."""
    found: list[tree.Expression] = []
    waiting = [root]
    by_class = _CHILDREN
    while waiting and len(found) < most:
        node = waiting.pop()
        found.append(node)
        inside = by_class.get(type(node))
        if inside is not None:
            waiting += inside(node)[::-1]
    return found


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
