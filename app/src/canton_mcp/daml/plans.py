"""What is walked through: the choices of a module, and methods, helpers and scripts besides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from canton_mcp.daml import tree
from canton_mcp.daml.expressions import spine
from canton_mcp.daml.record import record
from canton_mcp.daml.scope import Owner, Scope

__all__ = ["Plan", "plans"]

_MAX_INSTANCES = 40


@record
class Plan:
    """One thing to walk through: a choice, or a method or helper that is not reached otherwise."""

    kind: Literal["choice", "method", "helper", "script"]
    owner: Owner | None
    scope: Scope
    choice: tree.Choice | None = None
    interface: Owner | None = None
    bindings: tuple[tree.Binding, ...] = ()
    name: str = ""
    bare: bool = False
    """Whether the choice stands alone, without its template."""


def plans(own: Scope, every: Sequence[Scope]) -> Iterable[Plan]:
    """Everything in a module that is walked through, choices first: they reach most methods and helpers."""
    module = own.module
    for template in module.templates:
        owner = own.owners.get(template.name)
        owner = owner if owner is not None and owner.declaration is template else Owner(template, own)
        for choice in template.choices:
            yield Plan("choice", owner, own, choice)
    for interface in module.interfaces:
        face = Owner(interface, own)
        templates = _implementing(face, every)
        for choice in interface.choices:
            for owner in templates:
                yield Plan("choice", owner, own, choice, face)
            if not templates:
                yield Plan("choice", face, own, choice, face)
    for choice in module.loose_choices:
        yield Plan("choice", None, own, choice, bare=True)
    for template in module.templates:  # choices of interfaces that other modules declare
        for instance in template.instances:
            face_owner = own.owner(instance.interface)
            if face_owner is None or face_owner.interface is None or face_owner.scope is own:
                continue
            for choice in face_owner.interface.choices:
                yield Plan("choice", Owner(template, own), face_owner.scope, choice, face_owner)
    for template in module.templates:
        for instance in template.instances:
            yield from _methods(Owner(template, own), instance, own)
    for interface in module.interfaces:
        for instance in interface.instances:
            target = own.owner(instance.template) if instance.template else None
            if target is not None:
                yield from _methods(target, instance, own)
    for function in own.functions.values():
        if not function.equations:
            continue
        if _is_script(function):
            if not function.equations[0].parameters:
                yield Plan("script", None, own, bindings=function.equations, name=function.name)
        elif _may_act(function):
            yield Plan("helper", None, own, bindings=function.equations, name=function.name)
    for function in module.functions:
        if function.of is not None and function.equations and _may_act(_declared(function, own)):
            yield Plan("helper", None, own, bindings=function.equations, name=function.name)


def _methods(owner: Owner, instance: tree.Instance, own: Scope) -> Iterable[Plan]:
    face = own.owner(instance.interface)
    for method in instance.methods:
        if method.bindings and method.name != "view":
            yield Plan("method", owner, own, interface=face, bindings=method.bindings, name=method.name)


def _implementing(interface: Owner, every: Sequence[Scope]) -> list[Owner]:
    found: list[Owner] = []
    for scope in every:
        for template in scope.module.templates:
            for instance in template.instances:
                face = scope.owner(instance.interface)
                if face is not None and face.declaration is interface.declaration:
                    found.append(Owner(template, scope))
        for other in scope.module.interfaces:
            for instance in other.instances:
                face = scope.owner(instance.interface) if instance.interface else Owner(other, scope)
                target = scope.owner(instance.template) if instance.template else None
                if face is not None and face.declaration is interface.declaration and target is not None:
                    found.append(target)
    return found[:_MAX_INSTANCES]


def _declared(method: tree.Function, own: Scope) -> tree.Function:
    """The method with its signature, which its class has."""
    signed = (one for one, _ in own.class_methods.get(method.name, ()) if one.type is not None)
    return method if method.type is not None else next(signed, method)


def _may_act(function: tree.Function) -> bool:
    """Whether a function may act on the ledger, by the type it declares."""
    result = function.type
    while result is not None and result.head == "->" and result.arguments:
        result = result.arguments[-1]
    return result is None or result.head in ("Update", "m", "f") or not result.head[:1].isalpha()


def _is_script(function: tree.Function) -> bool:
    if function.type is not None:
        return "Script" in function.type.text or "Scenario" in function.type.text
    return any(_submits(equation.value) for equation in function.equations)


def _submits(expression: tree.Expression) -> bool:
    """Whether an untyped function without arguments looks like a test."""
    if isinstance(expression, tree.Application):
        head, _ = spine(expression)
        return isinstance(head, tree.Name) and head.name in ("script", "scenario")
    if isinstance(expression, tree.Do):
        for statement in expression.statements:
            if isinstance(statement, tree.LetStatement):
                continue
            head, _ = spine(statement.value)
            if isinstance(head, tree.Name) and head.name.startswith(
                ("allocateParty", "getParty", "submit", "createUser", "passTime", "setTime")
            ):
                return True
    return False
