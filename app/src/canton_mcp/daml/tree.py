"""What DAML source text means to us: declarations, statements and expressions, each with its place.

Everything is immutable. What could not be read is there as well, as `Unread`, so that no reader of the tree
mistakes a gap for an empty place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from functools import partial
from typing import Literal, NamedTuple

from canton_mcp.daml.record import record

__all__ = [
    "Alternative",
    "Application",
    "Bind",
    "Binding",
    "Case",
    "Choice",
    "Clause",
    "Consumption",
    "DataType",
    "Do",
    "Exception_",
    "Expression",
    "Field",
    "FieldAccess",
    "FieldValue",
    "Function",
    "If",
    "Import",
    "Instance",
    "Interface",
    "Key",
    "Lambda",
    "Let",
    "LetStatement",
    "ListOf",
    "Literal_",
    "Method",
    "Module",
    "Name",
    "Operation",
    "Pattern",
    "Place",
    "Problem",
    "Record",
    "Run",
    "Section",
    "Statement",
    "Template",
    "Try",
    "TupleOf",
    "Type",
    "TypeArgument",
    "Typed",
    "Unread",
    "placed",
]

Consumption = Literal["consuming", "nonconsuming", "preconsuming", "postconsuming"]


class Place(NamedTuple):
    """Where something stands: line and column from 1 (of the text as it was sent), and offsets into it."""

    line: int
    column: int
    start: int
    end: int


placed: Callable[[tuple[int, int, int, int]], Place] = partial(tuple.__new__, Place)
"""A `Place` of line, column, start and end: half the price of a call by name, for each token counts."""


@record
class Problem:
    """Something that the reader stumbled over: what, and what to do about it."""

    place: Place
    message: str


@record
class Type:
    """A type: its head, the arguments, and its text on one line. ``[Party]`` has the head ``[]``, a tuple ``()``.

    The head stands without its qualifier: ``Set`` for ``DA.Set.Set``.
    """

    head: str
    arguments: tuple[Type, ...]
    text: str


# Patterns


@record
class Pattern:
    """What a value is taken apart with.

    `kind` and the rest: "name" (`name`), "wildcard", "literal" (`name` is its text), "constructor" (`name`, with
    `parts`, or `fields` for ``T {a; b = x}``, `rest` for ``..``), "tuple" and "list" (`parts`), "cons" (two
    `parts`), "as" (`name` and one part), "unread".
    """

    place: Place
    kind: Literal["name", "wildcard", "literal", "constructor", "tuple", "list", "cons", "as", "unread"]
    name: str = ""
    parts: tuple[Pattern, ...] = ()
    fields: tuple[tuple[str, Pattern], ...] = ()
    rest: bool = False
    type: Type | None = None
    """Of ``p : T <- ..``, ``(p : T)``, and of a local name that has a signature."""


# Expressions


@record
class Name:
    """A variable, function, constructor or operator in parentheses; `qualifier` is ``A.B`` of ``A.B.c``, else empty."""

    place: Place
    name: str
    qualifier: str = ""

    @property
    def is_constructor(self) -> bool:
        """Whether it starts with a capital letter."""
        return self.name[:1].isupper()


@record
class Literal_:
    """A number, a text or a character, as written."""

    place: Place
    kind: Literal["number", "text", "character"]
    text: str


@record
class FieldAccess:
    """``value.field``; with `value` None the selector ``(.field)``."""

    place: Place
    value: Expression | None
    field: str


@record
class TypeArgument:
    """``@T`` as an argument."""

    place: Place
    type: Type


@record
class Typed:
    """``value : T`` as an expression."""

    place: Place
    value: Expression
    type: Type


@record
class Application:
    """A function and its arguments. ``f $ x`` and ``x `f` y`` read as applications too.

    `function` is never an application itself: ``exercise cid $ C with ..`` has two arguments.
    """

    place: Place
    function: Expression
    arguments: tuple[Expression, ...]


@record
class Operation:
    """Two operands and an operator, by the usual fixities. Negation has an empty left side: see `Section`."""

    place: Place
    operator: str
    left: Expression
    right: Expression


@record
class Section:
    """An operator with one operand or none: ``(x +)``, ``(+ x)``, ``-x``; ``(x,)`` has the operator ``,``."""

    place: Place
    operator: str
    left: Expression | None
    right: Expression | None


@record
class FieldValue:
    """One member of a record expression; ``f`` alone (a pun) has the value `Name` f and `pun` set.

    `path` has several names for the nested update ``f.g = e``.
    """

    place: Place
    path: tuple[str, ...]
    value: Expression
    pun: bool = False


@record
class Record:
    """``T with ..`` (`subject` is the constructor) or the update ``x with ..``; `rest` stands for ``..``."""

    place: Place
    subject: Expression
    fields: tuple[FieldValue, ...]
    rest: bool = False


@record
class TupleOf:
    """``(a, b)``; without items the unit."""

    place: Place
    items: tuple[Expression, ...]


@record
class ListOf:
    """``[a, b]``. Ranges and comprehensions are `Unread`, with what they contain in `parts`."""

    place: Place
    items: tuple[Expression, ...]


@record
class Lambda:
    """``\\x y -> body``; ``\\case`` is a lambda with one parameter and a `Case` over it."""

    place: Place
    parameters: tuple[Pattern, ...]
    body: Expression


@record
class If:
    """``if c then a else b``; multi-way ``if`` nests. `otherwise` is None where it is missing."""

    place: Place
    condition: Expression
    then: Expression
    otherwise: Expression | None


@record
class Alternative:
    """An arm of a case, or of a catch; `guards` are conditions after ``|``, all of which must hold.

    An arm with several guarded bodies appears once for each. The guard ``p <- e`` is the operation ``<-``, with
    the pattern read as an expression.
    """

    place: Place
    pattern: Pattern
    guards: tuple[Expression, ...]
    body: Expression


@record
class Case:
    """``case x of`` with its arms."""

    place: Place
    subject: Expression
    alternatives: tuple[Alternative, ...]


@record
class Let:
    """``let .. in body``, and a body with ``where`` bindings."""

    place: Place
    bindings: tuple[Binding, ...]
    body: Expression


@record
class Do:
    """A block of statements."""

    place: Place
    statements: tuple[Statement, ...]


@record
class Try:
    """``try body catch arms``."""

    place: Place
    body: Expression
    alternatives: tuple[Alternative, ...]


@record
class Unread:
    """Source text that is no expression to us, with the expressions that could be read inside it."""

    place: Place
    text: str
    parts: tuple[Expression, ...] = ()


Expression = (
    Name
    | Literal_
    | FieldAccess
    | TypeArgument
    | Typed
    | Application
    | Operation
    | Section
    | Record
    | TupleOf
    | ListOf
    | Lambda
    | If
    | Case
    | Let
    | Do
    | Try
    | Unread
)


# Statements


@record
class Binding:
    """``pattern = value`` or ``f x y = value`` (then `pattern` is the name and `parameters` are there).

    `guards` of ``f x | c = value``; a binding with several guarded values appears once for each.
    """

    place: Place
    pattern: Pattern
    parameters: tuple[Pattern, ...]
    value: Expression
    guards: tuple[Expression, ...] = ()


@record
class Bind:
    """``pattern <- value``."""

    place: Place
    pattern: Pattern
    value: Expression


@record
class LetStatement:
    """``let`` without ``in``."""

    place: Place
    bindings: tuple[Binding, ...]


@record
class Run:
    """An expression as a statement."""

    place: Place
    value: Expression


Statement = Bind | LetStatement | Run


# Declarations


@record
class Field:
    """A field with its type."""

    place: Place
    name: str
    type: Type


@record
class Clause:
    """``signatory``, ``observer``, ``controller``, ``authority`` or ``maintainer``: its items, as they are separated by commas."""

    place: Place
    items: tuple[Expression, ...]


@record
class Key:
    """``key value : type``."""

    place: Place
    value: Expression
    type: Type | None


@record
class Choice:
    """A choice of a template or an interface; `body` is None when it is missing or could not be found."""

    place: Place
    """Of its name."""
    name: str
    consumption: Consumption
    parameters: tuple[Field, ...]
    result: Type | None
    controllers: tuple[Clause, ...]
    observers: tuple[Clause, ...]
    authority: tuple[Clause, ...]
    body: Expression | None
    bindings: tuple[Binding, ...] = ()
    """Of a ``where`` or ``let`` around the body."""
    in_controller_can: bool = False
    """Declared by ``controller p can``, which makes p an observer."""
    extent: Place | None = None
    """All of its text."""


@record
class Method:
    """A method of an interface (`type` is there), or its implementation in an instance (`bindings` are there)."""

    place: Place
    name: str
    type: Type | None = None
    bindings: tuple[Binding, ...] = ()


@record
class Instance:
    """``interface instance I for T``, inside T or I. Class instances are ordinary declarations, not this."""

    place: Place
    interface: str
    template: str
    methods: tuple[Method, ...]


@record
class Template:
    """A template; clauses that may repeat are all there, in order."""

    place: Place
    """Of its name."""
    name: str
    fields: tuple[Field, ...] = ()
    signatories: tuple[Clause, ...] = ()
    observers: tuple[Clause, ...] = ()
    ensure: Expression | None = None
    agreement: Expression | None = None
    key: Key | None = None
    maintainers: tuple[Clause, ...] = ()
    choices: tuple[Choice, ...] = ()
    instances: tuple[Instance, ...] = ()
    bindings: tuple[Binding, ...] = ()
    """Of ``let`` in its body."""
    extent: Place | None = None


@record
class Interface:
    """An interface."""

    place: Place
    name: str
    requires: tuple[str, ...] = ()
    view: str = ""
    methods: tuple[Method, ...] = ()
    choices: tuple[Choice, ...] = ()
    instances: tuple[Instance, ...] = ()
    extent: Place | None = None


@record
class Exception_:
    """An exception type."""

    place: Place
    name: str
    fields: tuple[Field, ...] = ()
    message: Expression | None = None


@record
class DataType:
    """``data``, ``newtype`` or ``type``: constructors with their fields (positional ones are named ``_1`` and so on)."""

    place: Place
    name: str
    constructors: tuple[tuple[str, tuple[Field, ...]], ...] = ()
    synonym: Type | None = None


@record
class Function:
    """A top-level function or value, or a method of a class instance: signature and equations."""

    place: Place
    name: str
    type: Type | None
    """With ``->`` as the head: arguments first, result last."""
    equations: tuple[Binding, ...]
    of: Type | None = None
    """Of a method: the class, or the instance of a class, that it stands in, as ``Owned a`` or ``Owned Asset``."""


@record
class Import:
    """``import qualified A.B as C``."""

    place: Place
    module: str
    alias: str = ""
    qualified: bool = False


@record
class Module:
    """One source text. Names are resolved by those who read the tree."""

    text: str
    name: str = ""
    imports: tuple[Import, ...] = ()
    templates: tuple[Template, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    exceptions: tuple[Exception_, ...] = ()
    types: tuple[DataType, ...] = ()
    functions: tuple[Function, ...] = ()
    loose_choices: tuple[Choice, ...] = ()
    """Choices of a pasted fragment, outside any template."""
    loose_statements: tuple[Statement, ...] = ()
    """Statements of a pasted fragment, outside any declaration."""
    problems: tuple[Problem, ...] = ()
    comments: tuple[Place, ...] = field(default=(), repr=False)
    tokens: int = 0
    """How many tokens were read."""
    incomplete: str = ""
    """Why reading ended early, for example a text beyond the bounds; empty when it did not."""
