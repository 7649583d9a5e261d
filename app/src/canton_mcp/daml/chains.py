"""Chains of operators: how tightly each binds, and long chains as trees that are not high."""

from __future__ import annotations

import dataclasses

from canton_mcp.daml import tree
from canton_mcp.daml.tree import Expression

__all__ = ["DEFAULT_FIXITY", "FIXITIES", "MAX_CHAIN", "Operand", "flattened", "unqualified"]

MAX_CHAIN = 16
"""How many levels a chain of operators may add to the tree."""
FIXITIES: dict[str, tuple[int, str]] = {
    name: (level, side)
    for level, side, names in (
        (9, "r", "."),
        (9, "l", "!! !"),
        (8, "r", "^ ^^ **"),
        (7, "l", "* / % div mod rem quot"),
        (6, "l", "+ -"),
        (6, "r", "<>"),
        (5, "r", "++ ::"),
        (4, "l", "== /= < <= > >= === =/= elem notElem <$> <$ $> <*> <* *>"),
        (3, "l", "<|>"),
        (3, "r", "&& &&& ***"),
        (2, "r", "||"),
        (1, "l", ">> >>= & <&>"),
        (1, "r", "=<< >=> <=<"),
        (0, "r", "$ $! seq"),
    )
    for name in names.split()
}
DEFAULT_FIXITY = (9, "l")
_ASSOCIATIVE = frozenset({"<>", "++", "&&", "||", "+", "*", ".", ">>"})


class Operand:
    """An operand of a chain while it is put together: the expression, its first and last token, its height."""

    __slots__ = ("first", "height", "last", "node")

    def __init__(self, node: Expression, first: int, last: int, height: int = 0) -> None:
        self.node = node
        self.first = first
        self.last = last
        self.height = height


def unqualified(operator: str) -> str:
    """``!`` of ``DA.Map.!``."""
    while operator[:1].isalpha() and "." in operator:
        operator = operator.partition(".")[2]
    return operator


def flattened(node: Expression, inner: set[int], level: int = 0) -> Expression | None:
    """A chain whose long runs of one operator are balanced; None if that does not make it flat enough.

    `inner` are the ids of the nodes that make up the chain: others are its operands, and are not looked into.
    """
    if id(node) not in inner:
        return node
    if level > MAX_CHAIN:
        return None
    if isinstance(node, tree.Operation) and (node.operator in _ASSOCIATIVE or node.operator == "::"):
        run: list[Expression] = []
        waiting: list[Expression] = [node]
        while waiting:
            part = waiting.pop()
            if isinstance(part, tree.Operation) and part.operator == node.operator and id(part) in inner:
                waiting += (part.right, part.left)
            else:
                run.append(part)
        flat = [flattened(part, inner, level + 5) for part in run]
        parts = [part for part in flat if part is not None]
        if len(parts) != len(flat):
            return None
        if node.operator != "::":
            return _balanced(node.operator, parts)
        last = parts.pop()
        place = parts[0].place._replace(end=parts[-1].place.end)
        return tree.Operation(node.place, "++", tree.ListOf(place, tuple(parts)), last)
    if isinstance(node, tree.Operation):
        left = flattened(node.left, inner, level + 1)
        right = flattened(node.right, inner, level + 1)
        return None if left is None or right is None else dataclasses.replace(node, left=left, right=right)
    if isinstance(node, tree.Application):
        arguments = [flattened(part, inner, level + 1) for part in node.arguments]
        whole = tuple(part for part in arguments if part is not None)
        return dataclasses.replace(node, arguments=whole) if len(whole) == len(arguments) else None
    return node


def _balanced(operator: str, parts: list[Expression]) -> Expression:
    """Operands of an associative operator as a tree of logarithmic height."""
    while len(parts) > 1:
        paired: list[Expression] = []
        for left, right in zip(parts[::2], parts[1::2], strict=False):
            place = left.place._replace(end=right.place.end)
            paired.append(tree.Operation(place, operator, left, right))
        if len(parts) % 2:
            paired.append(parts[-1])
        parts = paired
    return parts[0]
