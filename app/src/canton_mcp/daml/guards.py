"""What a module tests: comparisons of ``ensure`` and of choice bodies, said positively, each with its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from canton_mcp.daml import tree

__all__ = ["CLOCK", "Guard", "creates", "guards", "inside", "said"]

CLOCK = "now"
"""What a side of a guard is called when it is the ledger time."""

_MAX_NODES = 60_000
_MAX_GUARDS = 2_000
_OPPOSITE = {
    "<": ">=",
    "<=": ">",
    ">": "<=",
    ">=": "<",
    "==": "/=",
    "/=": "==",
    "elem": "notElem",
    "notElem": "elem",
}
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "/=": "/="}
_FAILING = frozenset({"abort", "error", "throw", "assertFail", "fail", "failWithStatus", "throwPure"})
_TIMES = {
    "assertWithinDeadline": "<",
    "isLedgerTimeLT": "<",
    "isLedgerTimeLE": "<=",
    "assertDeadlineExceeded": ">=",
    "isLedgerTimeGT": ">",
    "isLedgerTimeGE": ">=",
}
_MEMBER = {"elem": "elem", "notElem": "notElem", "member": "elem", "notMember": "notElem"}
_TESTS = ("assert", "require", "check", "ensure", "validate", "guard", "must", "verify")
_PARTS: dict[type, tuple[str, ...]] = {
    kind: tuple(
        field.name
        for field in reversed(fields(kind))
        if field.type not in ("str", "bool", "Place", "Place | None")
    )
    for kind in vars(tree).values()
    if isinstance(kind, type) and is_dataclass(kind)
}
"""By class of the tree, the fields that may hold nodes, the last one first."""


@dataclass(frozen=True)
class Guard:
    """``left operator right`` has to hold, or the template's create or the choice fails.

    A side is a field or variable by its last name, a literal, `CLOCK`, or ``length xs``; `full` sides are as written.
    """

    template: str
    choice: str | None
    line: int
    left: str
    operator: str
    right: str
    text: str


def guards(module: tree.Module, wanted: Callable[[str], object] | None = None) -> tuple[Guard, ...]:
    """The guards of all templates and their choices, in order; of the choices whose name is `wanted`, if that is given."""
    helpers = {function.name: function for function in module.functions}
    found: list[Guard] = []
    for template in module.templates:
        if template.ensure is not None:
            found += _Reader(template.name, None, helpers, module.text).conditions(template.ensure, True)
        for choice in template.choices:
            if wanted is not None and not wanted(choice.name):
                continue
            if choice.body is not None and len(found) < _MAX_GUARDS:
                found += _Reader(template.name, choice.name, helpers, module.text).body(choice.body)
    return tuple(found[:_MAX_GUARDS])


def creates(choice: tree.Choice) -> Iterator[tree.Application]:
    """The creates in a choice's body."""
    for node in inside(choice.body):
        if (
            isinstance(node, tree.Application)
            and isinstance(node.function, tree.Name)
            and node.function.name == "create"
        ):
            yield node


def inside(node: Any) -> Iterator[Any]:
    """A node of the tree and all nodes in it, outermost first, in order."""
    stack = [node]
    for _ in range(_MAX_NODES):
        if not stack:
            return
        current = stack.pop()
        if type(current) is tuple:
            stack.extend(reversed(current))
            continue
        parts = _PARTS.get(type(current))
        if parts is not None:
            yield current
            for name in parts:
                stack.append(getattr(current, name))


def said(expression: tree.Expression | None) -> str:
    """An expression by its last name: ``asset.owner`` is owner, ``length xs`` stays, anything else is empty."""
    match expression:
        case tree.Name(name=name):
            return name
        case tree.FieldAccess(field=name):
            return name
        case tree.Literal_(text=text):
            return text
        case tree.Section(operator="-", left=None, right=tree.Literal_(text=text)):
            return f"-{text}"
        case tree.Typed(value=value):
            return said(value)
        case tree.TupleOf(items=(single,)):
            return said(single)
        case tree.Application(function=tree.Name(name=name), arguments=(argument,)) if name in (
            "length",
            "size",
            "Some",
        ):
            inner = said(argument)
            return f"{name} {inner}" if inner and name != "Some" else inner
        case _:
            return ""


@dataclass
class _Reader:
    template: str
    choice: str | None
    helpers: Mapping[str, tree.Function]
    text: str
    depth: int = 0

    def body(self, body: tree.Expression) -> Iterator[Guard]:
        """Guards of a choice body, wherever they stand in it."""
        clocks = _clocks(body)
        for node in inside(body):
            if isinstance(node, tree.Application):
                yield from self._application(node, clocks)
            elif isinstance(node, tree.If):
                if _fails(node.then):
                    yield from self.conditions(node.condition, False, clocks)
                elif node.otherwise is not None and _fails(node.otherwise):
                    yield from self.conditions(node.condition, True, clocks)
            elif isinstance(node, tree.Case):
                yield from self._looked_up(node)
            elif isinstance(node, tree.Operation) and node.operator == "===":
                yield from self._comparison(node, "==", True, clocks)

    def _application(self, node: tree.Application, clocks: frozenset[str]) -> Iterator[Guard]:
        name = said(node.function)
        if name in ("when", "unless") and len(node.arguments) > 1:
            if any(_fails(argument) for argument in node.arguments[1:]):
                yield from self.conditions(node.arguments[0], name == "unless", clocks)
        elif name.startswith("assert") and name in _TIMES and node.arguments:
            yield self._guard(node, CLOCK, _TIMES[name], said(node.arguments[-1]))
        elif name.lower().startswith(_TESTS):
            helper = self.helpers.get(name)
            if helper is not None and self.depth == 0:
                yield from self._helper(helper, node, clocks)
                return
            for argument in node.arguments:
                yield from self.conditions(argument, True, clocks)
        elif name in self.helpers and self.depth == 0:
            yield from self._helper(self.helpers[name], node, clocks)

    def _looked_up(self, node: tree.Case) -> Iterator[Guard]:
        """What the arms of ``case lookup x m of`` say of x being in m, where one of them fails."""
        subject = node.subject
        if not (
            isinstance(subject, tree.Application)
            and said(subject.function) == "lookup"
            and len(subject.arguments) == 2
        ):
            return
        for arm in node.alternatives:
            operator = {"Some": "notElem", "None": "elem"}.get(arm.pattern.name)
            if operator is not None and not arm.guards and _fails(arm.body):
                yield self._guard(subject, said(subject.arguments[0]), operator, said(subject.arguments[1]))

    def _helper(
        self, helper: tree.Function, call: tree.Application, clocks: frozenset[str]
    ) -> Iterator[Guard]:
        """Guards in a function of the same module, with its parameters named by the arguments."""
        for equation in helper.equations[:1]:
            names = {
                parameter.name: said(argument)
                for parameter, argument in zip(equation.parameters, call.arguments, strict=False)
                if parameter.kind == "name"
            }
            inner = _Reader(self.template, self.choice, self.helpers, self.text, 1)
            times = frozenset(name for name, value in names.items() if value in clocks)
            conditions = {
                parameter.name: argument
                for parameter, argument in zip(equation.parameters, call.arguments, strict=False)
                if parameter.kind == "name" and not said(argument)
            }
            found = (
                inner.body(equation.value)
                if isinstance(equation.value, tree.Do | tree.Application | tree.If)
                else iter(())
            )
            for guard in (*found, *inner.conditions(equation.value, True, times)):
                # The helper tests a condition that its caller states: require what condition = unless condition ..
                stated = conditions.get(guard.left) if guard.right == "True" else None
                if stated is not None:
                    yield from self.conditions(stated, guard.operator == "==", clocks)
                    continue
                left = CLOCK if guard.left in times else names.get(guard.left) or guard.left
                right = CLOCK if guard.right in times else names.get(guard.right) or guard.right
                if _is_literal(left) and right == "True":
                    continue  # the text that a helper passes on
                yield Guard(
                    guard.template, guard.choice, call.place.line, left, guard.operator, right, guard.text
                )

    def conditions(
        self, condition: tree.Expression, holds: bool, clocks: frozenset[str] = frozenset()
    ) -> Iterator[Guard]:
        """The comparisons that must hold when `condition` holds, or when it does not."""
        stack = [(condition, holds)]
        while stack:
            node, positive = stack.pop()
            match node:
                case tree.Operation(operator=operator, left=left, right=right) if operator == (
                    "&&" if positive else "||"
                ):
                    stack += [(right, positive), (left, positive)]
                case tree.Operation(operator="||") if positive and (one_of := _one_of(node)) is not None:
                    yield self._guard(node, one_of[0], "elem", ", ".join(one_of[1]))
                case tree.Operation(operator=operator) if operator in _TURNED or operator == "===":
                    yield from self._comparison(node, operator.replace("===", "=="), positive, clocks)
                case tree.Operation(operator="$", left=tree.Name(name="not"), right=inner):
                    stack.append((inner, not positive))
                case tree.TupleOf(items=(single,)):
                    stack.append((single, positive))
                case tree.Application(function=tree.Name(name="not"), arguments=(inner,)):
                    stack.append((inner, not positive))
                case tree.Application(function=tree.Name(name="null"), arguments=(inner,)):
                    yield self._guard(node, f"length {said(inner)}", "==" if positive else ">", "0")
                case tree.Application(function=tree.Name(name=name), arguments=(left, right)) if (
                    name in _MEMBER
                ):
                    operator = _MEMBER[name] if positive else _OPPOSITE[_MEMBER[name]]
                    yield self._guard(node, said(left), operator, said(right) or _items(right))
                case tree.Application(function=tree.Name(name=name), arguments=(left,)) if name in _TIMES:
                    operator = _TIMES[name] if positive else _OPPOSITE[_TIMES[name]]
                    yield self._guard(node, CLOCK, operator, said(left))
                case (
                    tree.Application(
                        function=tree.Name(name="any"),
                        arguments=(tree.Section(operator="==", left=one, right=other), inner),
                    )
                    | tree.Application(
                        function=tree.Name(name="any"),
                        arguments=(
                            tree.TupleOf(items=(tree.Section(operator="==", left=one, right=other),)),
                            inner,
                        ),
                    )
                ):
                    yield self._guard(
                        node, said(one or other), "elem" if positive else "notElem", said(inner)
                    )
                case tree.Application(function=tree.Name(name="unique"), arguments=(inner,)) if positive:
                    yield self._guard(node, said(inner), "unique", "")
                case tree.Name(name=name) if name not in ("True", "otherwise"):
                    yield self._guard(node, name, "==" if positive else "/=", "True")
                case tree.FieldAccess(field=name):
                    yield self._guard(node, name, "==" if positive else "/=", "True")
                case _:
                    pass

    def _comparison(
        self, node: tree.Operation, operator: str, positive: bool, clocks: frozenset[str]
    ) -> Iterator[Guard]:
        left = CLOCK if _is_clock(node.left, clocks) else said(node.left)
        right = CLOCK if _is_clock(node.right, clocks) else said(node.right)
        if left or right:
            yield self._guard(node, left, operator if positive else _OPPOSITE[operator], right)

    def _guard(self, node: Any, left: str, operator: str, right: str) -> Guard:
        place: tree.Place = node.place
        if (right == CLOCK and left != CLOCK) or _is_literal(left):
            left, operator, right = right, _TURNED.get(operator, operator), left
        text = " ".join(self.text[place.start : place.end].split())
        return Guard(self.template, self.choice, place.line, left, operator, right, text[:120])


def _one_of(node: tree.Expression) -> tuple[str, list[str]] | None:
    """``x == a || x == b`` is x and what it may be; None for any other alternative."""
    pairs: list[tuple[str, str]] = []
    waiting = [node]
    while waiting:
        match waiting.pop():
            case tree.Operation(operator="||", left=left, right=right):
                waiting += [right, left]
            case tree.TupleOf(items=(single,)):
                waiting.append(single)
            case tree.Operation(operator="==", left=left, right=right) if said(left) and said(right):
                pairs.append((said(left), said(right)))
            case _:
                return None
    common = set.intersection(*({*pair} for pair in pairs))
    if len(pairs) < 2 or len(common) != 1:
        return None
    (name,) = common
    return name, [right if left == name else left for left, right in pairs]


def _items(expression: tree.Expression) -> str:
    """The names of a list literal, with commas."""
    if isinstance(expression, tree.ListOf):
        return ", ".join(filter(None, (said(item) for item in expression.items)))
    return ""


def _is_literal(text: str) -> bool:
    return text[:1].isdigit() or text[:1] in ('"', "-")


def _is_clock(expression: tree.Expression, clocks: frozenset[str]) -> bool:
    return any(
        isinstance(node, tree.Name) and (node.name in clocks or node.name == "getTime")
        for node in inside(expression)
    )


def _clocks(body: tree.Expression) -> frozenset[str]:
    """Names in a body that stand for the ledger time, or for something made of it alone."""
    found: set[str] = set()
    for node in inside(body):
        if isinstance(node, tree.Bind | tree.Binding) and node.pattern.kind == "name":
            names = {part.name for part in inside(node.value) if isinstance(part, tree.Name)}
            if "getTime" in names or names & found:
                found.add(node.pattern.name)
    return frozenset(found)


def _fails(node: Any) -> bool:
    return any(isinstance(part, tree.Name) and part.name in _FAILING for part in inside(node))
