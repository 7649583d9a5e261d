"""What expressions stand for: access paths, records, collections, contract ids; and the parties among them.

A `Term` is a value that is known by the way that leads to it: ``this.owner``, an argument, a field of a fetched
contract, a function applied to terms. Terms are numbered by structure, so two ways of writing one path give
one number, and so does a path after substitution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from canton_mcp.daml import tree
from canton_mcp.daml.record import record
from canton_mcp.daml.scope import Kind, Owner, Scope, collection_of, expanded, is_party

if TYPE_CHECKING:
    from canton_mcp.daml.scope import Constructor

__all__ = [
    "BOTTOM",
    "UNIT",
    "Atom",
    "Bottom",
    "Builtin",
    "Choices",
    "Closure",
    "Collection",
    "Contract",
    "Deferred",
    "Env",
    "Face",
    "Head",
    "Lazy",
    "Origin",
    "Part",
    "PartySet",
    "Rec",
    "Term",
    "Terms",
    "Tuple_",
    "Unknown",
    "Value",
]

Head = Literal[
    "this",
    "self",
    "argument",
    "get",
    "payload",
    "view",
    "element",
    "apply",
    "local",
    "literal",
    "party",
    "by_key",
    "made",
]
Origin = Literal["field", "argument", "contract", "element", "local", "party", "expression"]
"""Where a path starts: this contract's fields, the choice's arguments, data of another contract, an element of a
collection, a result that is not followed, a party that a script allocates, an expression that is not taken apart."""

_MAX_SHOWN = 80
_MAX_SHOW_DEPTH = 8
_NAMED = frozenset({"local", "argument", "literal", "party"})
"""Heads of terms that are shown by their name alone."""


@record(eq=False)
class Term:
    """A value by the way that leads to it; `number` is equal for equal ways."""

    number: int
    head: Head
    name: str
    parts: tuple[Term, ...]
    origin: Origin
    kind: Kind | None = None
    within: Value | None = None
    """A collection that has this value as an element, or holds all of its elements."""


@dataclass(slots=True, eq=False)
class Lazy:
    """An expression with the names that it is to be understood in; `value` once it was needed."""

    expression: tree.Expression
    env: Env
    value: Value | None = None
    busy: bool = False


@dataclass(slots=True, eq=False)
class Rec:
    """A constructor with fields, or `base` with some fields replaced."""

    constructor: str
    fields: dict[str, Value | Lazy]
    base: Value | None = None
    kind: Kind | None = None
    made: Constructor | None = None
    term: Term | None = None


@record(eq=False)
class Part:
    """Elements of a collection: one value, or all elements of another collection."""

    value: Value | Lazy
    many: bool


@dataclass(slots=True, eq=False)
class Collection:
    """A list or set, by its parts."""

    parts: tuple[Part, ...]
    term: Term | None = None


@dataclass(slots=True, eq=False)
class Tuple_:
    """A tuple."""

    items: tuple[Value | Lazy, ...]
    term: Term | None = None


@record(eq=False)
class Contract:
    """The id of a contract whose payload is known, because it was created in sight."""

    payload: Value


@record(eq=False)
class Face:
    """A contract's payload seen through an interface."""

    value: Value
    interface: Owner


@record(eq=False)
class Closure:
    """A function: equations with parameters, and arguments given so far."""

    name: str
    equations: tuple[tree.Binding, ...]
    env: Env
    given: tuple[Value | Lazy, ...] = ()
    types: tuple[Kind, ...] = ()
    signature: Kind | None = None
    place: tree.Place | None = None
    """Where a named helper is declared; None for lambdas and local functions."""

    def with_given(self, given: tuple[Value | Lazy, ...], types: tuple[Kind, ...]) -> Closure:
        """The same function with these arguments."""
        return Closure(self.name, self.equations, self.env, given, types, self.signature, self.place)


@record(eq=False)
class Builtin:
    """A function of the standard library, a constructor, a selector or a section, with arguments given so far.

    `name` of a selector is ``.f``; of a section the operator, with `left` and `right` as far as they are given.
    """

    name: str
    given: tuple[Value | Lazy, ...] = ()
    made: Constructor | None = None
    left: Value | Lazy | None = None
    right: Value | Lazy | None = None
    types: tuple[Kind, ...] = ()
    place: tree.Place | None = None
    methods: tuple[tuple[tree.Function, Scope], ...] = ()
    """Of a method of a class: its declaration and what instances make of it."""

    def with_given(self, given: tuple[Value | Lazy, ...], types: tuple[Kind, ...]) -> Builtin:
        """The same function with these arguments."""
        return Builtin(self.name, given, self.made, self.left, self.right, types, self.place, self.methods)


@record(eq=False)
class Deferred:
    """An action that is named but not run yet: an expression, or a function with its arguments."""

    expression: tree.Expression | None = None
    env: Env | None = None
    function: Value | None = None
    given: tuple[Value | Lazy, ...] = ()


@dataclass(slots=True, eq=False)
class Choices:
    """One of several values, depending on a condition."""

    values: tuple[Value, ...]
    term: Term | None = None


@record(eq=False)
class Unknown:
    """Something that is not followed: its text, and the paths that occur in it."""

    text: str
    mentions: frozenset[int] = frozenset()


@record(eq=False)
class Bottom:
    """No value: what led here aborts."""


Value = (
    Term
    | Rec
    | Collection
    | Tuple_
    | Contract
    | Face
    | Closure
    | Builtin
    | Deferred
    | Choices
    | Unknown
    | Bottom
)

BOTTOM = Bottom()
UNIT = Tuple_(())


class Env:
    """Names in scope: those of the innermost block, then those around it, then the module's."""

    __slots__ = ("fallback", "interface", "kinds", "names", "parent", "scope")

    def __init__(
        self,
        scope: Scope,
        parent: Env | None = None,
        names: dict[str, Value | Lazy] | None = None,
        fallback: Callable[[str], Value | Lazy | None] | None = None,
        interface: Owner | None = None,
    ) -> None:
        self.scope = scope
        self.parent = parent
        self.names = {} if names is None else names
        self.fallback = fallback
        self.interface: Owner | None = interface
        if interface is None and parent is not None:
            self.interface = parent.interface
        self.kinds: dict[str, Kind] | None = None
        """What type variables stand for."""

    def kind(self, written: tree.Type) -> Kind:
        """The type, with a variable replaced by what it stands for here."""
        if written.head[:1].islower():
            env: Env | None = self
            while env is not None:
                if env.kinds is not None and written.head in env.kinds:
                    return env.kinds[written.head]
                env = env.parent
        return Kind(written, self.scope)

    def find(self, name: str) -> Value | Lazy | None:
        """What the name stands for here, None if only the module or a library can know."""
        env: Env | None = self
        while env is not None:
            names = env.names
            if name in names:
                return names[name]
            if env.fallback is not None:
                found = env.fallback(name)
                if found is not None:
                    names[name] = found
                    return found
            env = env.parent
        return None

    def with_names(self, names: dict[str, Value | Lazy]) -> Env:
        """This environment and some names: the same one unless a name would be hidden."""
        if not names:
            return self
        if (
            self.fallback is None
            and self.parent is not None
            and all(self.find(name) is None for name in names)
        ):
            self.names.update(names)
            return self
        return Env(self.scope, self, dict(names))


class Terms:
    """The terms of one analysis."""

    def __init__(self) -> None:
        self._table: dict[tuple[str, str, tuple[int, ...]], Term] = {}
        self._every: list[Term] = []
        self._aliases: dict[int, str] = {}
        self._locals = 0

    def __len__(self) -> int:
        return len(self._table)

    def make(
        self,
        head: Head,
        name: str = "",
        parts: tuple[Term, ...] = (),
        kind: Kind | None = None,
        within: Value | None = None,
    ) -> Term:
        """The term of that structure; a kind that was not known before is kept."""
        structure = (head, name, tuple([part.number for part in parts]) if parts else ())
        found = self._table.get(structure)
        if found is None:
            found = Term(len(self._table), head, name, parts, _origin(head, parts), kind, within)
            self._table[structure] = found
            self._every.append(found)
        elif (found.kind is None and kind is not None) or (found.within is None and within is not None):
            found = replace(found, kind=found.kind or kind, within=found.within or within)
            self._table[structure] = found
        return found

    def field(self, term: Term, name: str) -> Term | None:
        """The term of a field whose type is known, if there is one already."""
        found = self._table.get(("get", name, (term.number,)))
        return found if found is not None and found.kind is not None else None

    def fresh(self, name: str, kind: Kind | None = None) -> Term:
        """A term that equals no other."""
        self._locals += 1
        term = self.make("local", f"{name}#{self._locals}", (), kind)
        self._aliases.setdefault(term.number, name)
        return term

    def party(self, name: str, kind: Kind) -> Term:
        """A party that a script allocates: it equals no other."""
        self._locals += 1
        return self.make("party", f"{name}#{self._locals}", (), kind)

    def canonical(self, term: Term, of: Callable[[Term], Term]) -> Term:
        """The term with its parts replaced by what `of` gives for them."""
        if not term.parts:
            return term
        parts = tuple(of(part) for part in term.parts)
        if all(new is old or new.number == old.number for new, old in zip(parts, term.parts, strict=True)):
            return term
        return self.make(term.head, term.name, parts, term.kind, term.within)

    def call(self, term: Term, name: str) -> None:
        """Lets the term be shown under a name that the user gave it; the first one stays."""
        if term.head in ("payload", "element", "view", "apply", "local", "by_key", "party"):
            self._aliases.setdefault(term.number, name)

    def show(self, term: Term, depth: int = 0) -> str:
        """The path in the words of the source text."""
        alias = self._aliases.get(term.number)
        if alias is not None:
            return alias
        if depth > _MAX_SHOW_DEPTH:
            return "…"
        if term.head in _NAMED:
            text = term.name.partition("#")[0]
            return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"
        if term.head == "get" and term.parts[0].head == "this" and term.parts[0].name == "this":
            text = term.name
            return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"
        inner = [self.show(part, depth + 1) for part in term.parts[:4]]
        match term.head:
            case "this" | "self":
                text = term.name or term.head
            case "get":
                base = term.parts[0]
                if base.head in ("payload", "by_key") and base.number not in self._aliases:
                    text = f"{term.name} of {inner[0]}"
                elif term.name == "Some":
                    text = inner[0]
                else:
                    text = f"{inner[0]}.{term.name}"
            case "payload":
                text = inner[0]
            case "view":
                text = f"(view {inner[0]})"
            case "element":
                text = f"{inner[0]}[*]"
            case "apply":
                text = " ".join([term.name, *(f"({part})" if " " in part else part for part in inner)])
            case "by_key":
                text = f"the {term.name} found by key"
            case "made":
                text = f"{term.name} …"
        return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"

    def shown(self, numbers: Iterable[int]) -> list[str]:
        """The paths of terms by their numbers."""
        return [self.show(self._every[number]) for number in sorted(numbers)]

    def roots(self, term: Term) -> Iterator[Term]:
        """The term and what it is a part of: ``a.b.c``, ``a.b``, ``a``."""
        while True:
            yield term
            if term.head not in ("get", "payload", "view", "element") or not term.parts:
                return
            term = term.parts[0]


_ORIGINS: dict[str, Origin] = {
    "this": "field",
    "argument": "argument",
    "self": "contract",
    "party": "party",
    "local": "local",
    "by_key": "contract",
    "apply": "expression",
    "literal": "expression",
    "made": "expression",
}
"""By their head, the origins of terms whose parts do not matter."""


def _origin(head: Head, parts: tuple[Term, ...]) -> Origin:
    known = _ORIGINS.get(head)
    if known is not None:
        return known
    match head:
        case "payload":
            return "local" if parts[0].origin in ("local", "expression") else "contract"
        case "element":
            return "element" if parts[0].origin in ("field", "argument", "element") else parts[0].origin
    return parts[0].origin  # of a field, or of a view


@record
class Atom:
    """A party, or all parties of a collection (`many`; None when the type does not tell)."""

    term: Term
    many: bool | None
    how: str = ""


@dataclass(slots=True)
class PartySet:
    """Parties that are known by path, and texts of what is not followed."""

    atoms: list[Atom] = field(default_factory=list)
    opaque: list[Unknown] = field(default_factory=list)
    sometimes: bool = False
    """Whether some of them belong to it only under a condition."""

    def add(self, atoms: Iterable[Atom]) -> None:
        """Adds atoms that are not there yet."""
        known = {atom.term.number for atom in self.atoms}
        for atom in atoms:
            if atom.term.number not in known:
                known.add(atom.term.number)
                self.atoms.append(atom)

    def name(self, how: str) -> None:
        """Says of all atoms what makes them parties."""
        self.atoms = [Atom(atom.term, atom.many, how) for atom in self.atoms]

    def join(self, other: PartySet) -> None:
        """Adds all of another set."""
        self.add(other.atoms)
        self.opaque += other.opaque
        self.sometimes = self.sometimes or other.sometimes

    @property
    def clear(self) -> bool:
        """Whether it consists of single parties known by path, and of nothing else."""
        return (
            not self.opaque
            and not self.sometimes
            and all(atom.many is False and atom.term.origin != "expression" for atom in self.atoms)
        )


def many(kind: Kind | None) -> bool | None:
    """Whether a value of this type stands for several parties; None when the type does not tell."""
    if kind is None:
        return None
    if is_party(kind):
        return False
    if collection_of(kind) is not None:
        return True
    plain = expanded(kind)
    return True if plain is not None and plain.type.head in ("Map", "TextMap") else None
