"""Contracts: payloads, their clauses and keys, interfaces and their instances, and the parties of it all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from canton_mcp.daml import tree
from canton_mcp.daml.expressions import guarded
from canton_mcp.daml.matching import Matching
from canton_mcp.daml.paths import (
    BOTTOM,
    Atom,
    Bottom,
    Choices,
    Closure,
    Collection,
    Contract,
    Env,
    Face,
    Lazy,
    Part,
    PartySet,
    Rec,
    Term,
    Unknown,
    Value,
    many,
)
from canton_mcp.daml.scope import Kind, Owner, Scope, expanded
from canton_mcp.daml.values import MAX_CALLS, MAX_FLAT, kind_of

__all__ = ["Contracts"]

_PARTIES = tree.Type("[]", (tree.Type("Party", (), "Party"),), "[Party]")


class Contracts(Matching):
    """Values, and the contracts that they stand for."""

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
        if isinstance(payload, Term):
            kind = payload.kind
            return kind.scope.owner(kind.name) if kind is not None else None
        if isinstance(payload, Choices):
            owners = [self.owner_of(one) for one in payload.values]
            return owners[0] if owners and all(owner is owners[0] for owner in owners) else None
        kind = kind_of(payload)
        return self._owner(kind) if kind is not None else None

    def _owner(self, kind: Kind) -> Owner | None:
        return kind.scope.owner(kind.name)

    def template_env(self, owner: Owner, payload: Value) -> Env:
        """The names in the clauses of a template: its fields, what its ``let`` binds, and `this`.

        They are the same ones each time a contract is asked for, so that its fields are looked up once.
        """
        asked = (id(owner.declaration), id(payload))
        known = self._envs.get(asked)
        if known is None:  # with the payload, for its id is its own only as long as it is there
            known = self._envs[asked] = (payload, self._template_env(owner, payload))
        return known[1]

    def _template_env(self, owner: Owner, payload: Value) -> Env:
        template = owner.template
        fields = owner.scope.names_of(template) if template else frozenset()

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
            found.name(how)
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
            return Collection(tuple(Part(self.value(item, env), True) for item in items[:MAX_FLAT]))
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
        if self._calls >= MAX_CALLS:
            return None
        self._calls += 1
        try:
            return self.apply(self.value(guarded(closure.equations), env), given[1:], ())
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

    def parties(self, value: Value | Lazy) -> PartySet:
        """The parties that a party expression stands for."""
        found = PartySet()
        atoms: dict[int, Atom] = {}
        waiting: list[Value | Lazy] = [value]
        while waiting:
            if len(atoms) + len(waiting) > MAX_FLAT or not self.budget.take():
                found.opaque.append(Unknown("more parties than are followed"))
                break
            last = waiting.pop()
            one = self.force(last) if isinstance(last, Lazy) else last
            while isinstance(one, Face):
                one = one.value
            if isinstance(one, Term):  # most are one
                if one.head == "literal":
                    found.opaque.append(Unknown(one.name))
                elif one.number not in atoms:
                    atom = self._atoms.get(id(one))
                    if atom is None:  # it holds the term, whose id is its own only as long as it is there
                        atom = self._atoms[id(one)] = Atom(one, many(one.kind))
                    atoms[one.number] = atom
                continue
            match one:
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


def _view_kind(owner: Owner) -> Kind | None:
    interface = owner.interface
    if interface is None or not interface.view:
        return None
    return Kind(tree.Type(interface.view, (), interface.view), owner.scope)


def _methods(owner: Owner) -> tuple[tree.Method, ...]:
    return owner.interface.methods if owner.interface is not None else ()
