"""Names to declarations: what a name in a module stands for, there or in a module it imports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from canton_mcp.daml import tree
from canton_mcp.daml.record import record

__all__ = ["Constructor", "Kind", "Owner", "Scope", "collection_of", "expanded", "is_party", "scopes"]

_MAX_SYNONYMS = 8
_MAX_IMPORT_DEPTH = 1
_KNOWN_MODULES = frozenset({"Daml.Script", "Prelude"})
"""Modules whose functions are known by what they do, also where a project brings the text of its own."""
_COLLECTIONS = frozenset({"[]", "Set", "Optional", "NonEmpty", "NonEmptySet", "Maybe"})


@record
class Owner:
    """A template or an interface with the module that declares it."""

    declaration: tree.Template | tree.Interface
    scope: Scope
    name: str = field(init=False, repr=False, compare=False)
    """Its name, unqualified."""
    template: tree.Template | None = field(init=False, repr=False, compare=False)
    """The template, if it is one."""
    interface: tree.Interface | None = field(init=False, repr=False, compare=False)
    """The interface, if it is one."""

    def __post_init__(self) -> None:
        declared = self.declaration
        set_ = object.__setattr__  # they are asked for far more often than made
        set_(self, "name", declared.name)
        set_(self, "template", declared if isinstance(declared, tree.Template) else None)
        set_(self, "interface", declared if isinstance(declared, tree.Interface) else None)

    def choice(self, name: str) -> tree.Choice | None:
        """Its choice of that name."""
        return self.scope.choices_of(self.declaration).get(name)


@record
class Kind:
    """A type and the module in which its names are to be understood."""

    type: tree.Type
    scope: Scope

    @property
    def name(self) -> str:
        """The head of the type with its qualifier, as it is written."""
        head, text = self.type.head, self.type.text
        if head == text:
            return head
        word = text.partition(" ")[0].strip("()")
        return word if word.endswith(f".{head}") else head


@record
class Constructor:
    """A constructor of a template, a choice, an exception or a data type, with its fields in order."""

    name: str
    fields: tuple[tree.Field, ...]
    scope: Scope
    type: tree.Type
    alone: bool = True
    """Whether its type has no other constructor, so that its fields belong to every value of the type."""


@dataclass(eq=False, slots=True)
class Scope:
    """One module and what it sees of others."""

    module: tree.Module
    imports: list[tuple[tree.Import, Scope]] = field(default_factory=list)
    owners: dict[str, Owner] = field(default_factory=dict)
    constructors: dict[str, Constructor] = field(default_factory=dict)
    types: dict[str, tree.DataType] = field(default_factory=dict)
    functions: dict[str, tree.Function] = field(default_factory=dict)
    methods: dict[str, Owner] = field(default_factory=dict)
    """Interface methods by name."""
    choices: dict[str, list[tuple[Owner, tree.Choice]]] = field(default_factory=dict)
    instances: list[tree.Instance] = field(default_factory=list)
    class_methods: dict[str, list[tuple[tree.Function, Scope]]] = field(default_factory=dict)
    """Methods of classes by name, as classes declare and instances implement them in all modules at hand."""
    _choices_of: dict[int, dict[str, tree.Choice]] = field(default_factory=dict)
    _names_of: dict[int, frozenset[str]] = field(default_factory=dict)
    _found: dict[tuple[str, str, str], list[Scope]] = field(default_factory=dict)
    _owners: dict[str, Owner | None] = field(default_factory=dict)
    plain: dict[tuple[str, str], Kind] = field(default_factory=dict)
    """Types behind synonyms that were asked for, by head and text."""

    @property
    def foreign(self) -> bool:
        """Whether it imports modules that are not at hand, libraries apart."""
        known = {entry.module for entry, _ in self.imports}
        return any(
            entry.module not in known and entry.module.partition(".")[0] not in ("DA", "Daml", "Prelude")
            for entry in self.module.imports
        )

    def owner(self, name: str) -> Owner | None:
        """The template or interface of a possibly qualified name, also through a type synonym."""
        try:
            return self._owners[name]
        except KeyError:
            found = self._owners[name] = self._owner(name)
            return found

    def _owner(self, name: str) -> Owner | None:
        for _ in range(_MAX_SYNONYMS):
            qualifier, _dot, plain = name.rpartition(".")
            found = self._find("owners", plain, qualifier)
            if isinstance(found, Owner):
                return found
            synonym = self._find("types", plain, qualifier)
            if not isinstance(synonym, tree.DataType) or synonym.synonym is None:
                return None
            home = self.home(name)
            name = Kind(synonym.synonym, self).name
            if home is not None and home is not self:
                return home.owner(name)
        return None

    def constructor(self, name: str, qualifier: str = "") -> Constructor | None:
        """The constructor of that name."""
        found = self._find("constructors", name, qualifier)
        return found if isinstance(found, Constructor) else None

    def function(self, name: str, qualifier: str = "") -> tuple[tree.Function, Scope] | None:
        """The top-level function of that name, with its module."""
        for scope in self._homes("functions", name, qualifier):
            return scope.functions[name], scope
        return None

    def method(self, name: str, qualifier: str = "") -> Owner | None:
        """The interface that has a method of that name."""
        found = self._find("methods", name, qualifier)
        return found if isinstance(found, Owner) else None

    def choices_named(self, name: str) -> list[tuple[Owner, tree.Choice]]:
        """Every choice of that name which this module can see."""
        found: list[tuple[Owner, tree.Choice]] = []
        seen: set[int] = set()
        for scope in self._homes("choices", name, ""):
            for owner, choice in scope.choices[name]:
                if id(choice) not in seen:
                    seen.add(id(choice))
                    found.append((owner, choice))
        return found

    def choices_of(self, declaration: tree.Template | tree.Interface) -> dict[str, tree.Choice]:
        """The choices of a declaration by name."""
        found = self._choices_of.get(id(declaration))
        if found is None:
            found = {choice.name: choice for choice in declaration.choices}
            self._choices_of[id(declaration)] = found
        return found

    def names_of(self, template: tree.Template) -> frozenset[str]:
        """The names of a template's fields."""
        found = self._names_of.get(id(template))
        if found is None:
            found = self._names_of[id(template)] = frozenset(entry.name for entry in template.fields)
        return found

    def data(self, name: str) -> tuple[tree.DataType, Scope] | None:
        """The data type or synonym of a possibly qualified name, with its module."""
        qualifier, _, plain = name.rpartition(".")
        for scope in self._homes("types", plain, qualifier):
            return scope.types[plain], scope
        return None

    def home(self, name: str) -> Scope | None:
        """The module that declares a type name."""
        found = self.data(name)
        return found[1] if found else None

    def _find(self, table: str, name: str, qualifier: str) -> object:
        for scope in self._homes(table, name, qualifier):
            entries: Mapping[str, object] = getattr(scope, table)
            return entries[name]
        return None

    def _homes(self, table: str, name: str, qualifier: str) -> list[Scope]:
        """The modules whose `table` has the name, the nearest first."""
        asked = (table, name, qualifier)
        try:
            return self._found[asked]
        except KeyError:
            found = self._found[asked] = list(self._search(table, name, qualifier, _MAX_IMPORT_DEPTH))
            return found

    def _search(self, table: str, name: str, qualifier: str, depth: int) -> Iterator[Scope]:
        if (not qualifier or qualifier == self.module.name) and name in getattr(self, table):
            yield self
            return
        near = [
            scope
            for entry, scope in self.imports
            if (qualifier in (entry.alias, entry.module) if qualifier else not entry.qualified)
        ]
        found = [scope for scope in near if name in getattr(scope, table)]
        yield from found
        if not found and depth:
            for scope in near:  # what the module sees may be exported again
                further = list(scope._search(table, name, "", depth - 1)) if scope is not self else []
                if further:
                    yield from further
                    return


def scopes(modules: Iterable[tree.Module]) -> list[Scope]:
    """A scope for each module, with imports among them resolved."""
    found = [_scope(module) for module in modules]
    by_name = {scope.module.name: scope for scope in found if scope.module.name}
    for scope in found:
        for entry in scope.module.imports:
            imported = by_name.get(entry.module)
            if imported is not None and imported is not scope and entry.module not in _KNOWN_MODULES:
                scope.imports.append((entry, imported))
    methods: dict[str, list[tuple[tree.Function, Scope]]] = {}
    for scope in found:
        for function in scope.module.functions:
            if function.of is not None:
                methods.setdefault(function.name, []).append((function, scope))
    for scope in found:
        scope.class_methods = methods
    return found


def expanded(kind: Kind | None) -> Kind | None:
    """The type behind synonyms; a newtype stays what it is."""
    if kind is None:
        return None
    known, asked = kind.scope.plain, (kind.type.head, kind.type.text)
    plain = known.get(asked)
    if plain is None:
        plain = kind
        for _ in range(_MAX_SYNONYMS):
            found = plain.scope.data(plain.name)
            if found is None or found[0].synonym is None:
                break
            plain = Kind(found[0].synonym, found[1])
        known[asked] = plain
    return plain


def is_party(kind: Kind | None) -> bool:
    """Whether the type is Party."""
    plain = expanded(kind)
    return plain is not None and plain.type.head == "Party"


def collection_of(kind: Kind | None) -> Kind | None:
    """The element type of a list, set or optional; None for any other type."""
    plain = expanded(kind)
    if plain is None or plain.type.head not in _COLLECTIONS or not plain.type.arguments:
        return None
    return Kind(plain.type.arguments[0], plain.scope)


def _scope(module: tree.Module) -> Scope:
    scope = Scope(module)
    for template in module.templates:
        owner = Owner(template, scope)
        scope.owners.setdefault(template.name, owner)
        _construct(scope, template.name, template.fields, template.name)
        scope.instances += template.instances
        for choice in template.choices:
            _add_choice(scope, owner, choice)
    for interface in module.interfaces:
        owner = Owner(interface, scope)
        scope.owners.setdefault(interface.name, owner)
        scope.instances += interface.instances
        for method in interface.methods:
            scope.methods.setdefault(method.name, owner)
        for choice in interface.choices:
            _add_choice(scope, owner, choice)
    for exception in module.exceptions:
        _construct(scope, exception.name, exception.fields, exception.name)
    for data in module.types:
        scope.types.setdefault(data.name, data)
        for name, fields in data.constructors:
            _construct(scope, name, fields, data.name, len(data.constructors) == 1)
    groups: dict[str, list[tree.Function]] = {}
    for function in module.functions:
        if function.of is None:
            groups.setdefault(function.name, []).append(function)
    for name, group in groups.items():  # both branches of a conditional compilation may declare it
        signed = [function for function in group if function.type is not None] if len(group) > 1 else group
        if len(signed) == 1:
            scope.functions[name] = signed[0]
    return scope


def _add_choice(scope: Scope, owner: Owner, choice: tree.Choice) -> None:
    scope.choices.setdefault(choice.name, []).append((owner, choice))
    _construct(scope, choice.name, choice.parameters, choice.name)


def _construct(
    scope: Scope, name: str, fields: tuple[tree.Field, ...], type_name: str, alone: bool = True
) -> None:
    made = Constructor(name, fields, scope, tree.Type(type_name, (), type_name), alone)
    scope.constructors.setdefault(name, made)
