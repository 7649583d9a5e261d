"""What has been read of declarations while they are read, and the bound on how high their trees are."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

from canton_mcp.daml import tree
from canton_mcp.daml.tree import Expression, Place, Problem, Type

__all__ = ["ChoiceHead", "Found", "Members", "lowered"]

_EXPRESSIONS = get_args(Expression)


class Members:
    """What has been read of the body of a template or an interface."""

    def __init__(self) -> None:
        self.name = ""
        self.place = Place(1, 1, 0, 0)
        self.extent = self.place
        self.fields: list[tree.Field] = []
        self.signatories: list[tree.Clause] = []
        self.observers: list[tree.Clause] = []
        self.maintainers: list[tree.Clause] = []
        self.choices: list[tree.Choice] = []
        self.instances: list[tree.Instance] = []
        self.bindings: list[tree.Binding] = []
        self.methods: list[tree.Method] = []
        self.ensure: Expression | None = None
        self.agreement: Expression | None = None
        self.key: tree.Key | None = None
        self.view = ""
        self.clauses = 0
        """How many clauses there are beside choices and instances."""

    def template(self) -> tree.Template:
        """The template."""
        return tree.Template(
            place=self.place,
            name=self.name,
            fields=tuple(self.fields),
            signatories=tuple(self.signatories),
            observers=tuple(self.observers),
            ensure=self.ensure,
            agreement=self.agreement,
            key=self.key,
            maintainers=tuple(self.maintainers),
            choices=tuple(self.choices),
            instances=tuple(self.instances),
            bindings=tuple(self.bindings),
            extent=self.extent if self.name else None,
        )


class ChoiceHead:
    """What has been read of a choice behind its name."""

    def __init__(self) -> None:
        self.result: Type | None = None
        self.parameters: list[tree.Field] = []
        self.clauses: dict[str, list[tree.Clause]] = {"controller": [], "observer": [], "authority": []}
        self.body: Expression | None = None
        self.bindings: list[tree.Binding] = []


class Found:
    """Declarations that have been read."""

    def __init__(self) -> None:
        self.imports: list[tree.Import] = []
        self.templates: list[Members] = []
        self.template: Members | None = None
        """The template that was read last, unless something else came after it."""
        self.interfaces: list[tree.Interface] = []
        self.exceptions: list[tree.Exception_] = []
        self.types: list[tree.DataType] = []
        self.loose_choices: list[tree.Choice] = []
        self.statements: list[tree.Statement] = []
        self.members = Members()
        """Members that stand outside any template."""
        self.finished: list[tree.Function] = []
        self._name = ""
        self._place: Place | None = None
        self._type: Type | None = None
        self._equations: list[tree.Binding] = []
        self._signatures: dict[str, tuple[Type, Place]] = {}

    def signature(self, name: str, type_: Type, place: Place) -> None:
        """Takes the signature of a function; its equations follow."""
        self._signatures[name] = (type_, place)

    def equation(self, binding: tree.Binding) -> None:
        """Takes an equation; those of one function stand together."""
        name = binding.pattern.name if binding.pattern.kind == "name" else ""
        if not name or name != self._name:
            self._finish()
            self._name = name
        self._equations.append(binding)

    def _finish(self) -> None:
        if self._equations:
            first = self._equations[0]
            type_, place = self._signatures.pop(self._name, (None, first.pattern.place))
            self.finished.append(tree.Function(place, self._name, type_, tuple(self._equations)))
        self._equations = []

    def functions(self) -> list[tree.Function]:
        """All functions, those with a signature alone last."""
        self._finish()
        alone = [tree.Function(place, name, type_, ()) for name, (type_, place) in self._signatures.items()]
        self._signatures = {}
        return [*self.finished, *alone]


def lowered(node: Any, left: int, text: str) -> Any:
    """The same tree without what stands more than `left` levels down: that becomes `Unread`."""
    if isinstance(node, tuple):
        if isinstance(node, Place):
            return node
        parts = tuple(lowered(part, left, text) for part in node)
        return node if all(new is old for new, old in zip(parts, node, strict=True)) else parts
    if not dataclasses.is_dataclass(node) or isinstance(node, (Type, Problem, type)):
        return node
    if left <= 0 and isinstance(node, _EXPRESSIONS):
        return tree.Unread(node.place, " ".join(text[node.place.start : node.place.end].split()))
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        part = lowered(value, left - 1, text)
        if part is not value:
            changes[field.name] = part
    return dataclasses.replace(node, **changes) if changes else node
