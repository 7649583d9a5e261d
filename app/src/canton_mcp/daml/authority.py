"""Which authority a ledger action needs, and whether its choice has it.

Rules of the ledger model: inside a choice the available authority is that of the contract's
signatories and the choice's controllers. A create needs the new contract's signatories, an exercise the
choice's controllers, an archive the signatories, a fetch one stakeholder, a key lookup the maintainers.
Party expressions are compared by access path; what cannot be compared is unknown, never fine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from canton_mcp.daml.syntax import (
    ACTIONS,
    OPENERS,
    Choice,
    Expr,
    Field,
    Outline,
    Span,
    Template,
    block,
    find,
    split,
)

Origin = Literal["field", "argument", "contract", "local", "opaque"]
Status = Literal["proved", "fails_unless", "unknown"]
ActionKind = Literal["create", "exercise", "fetch", "archive", "lookup"]

MAX_ACTIONS = 500
_MAX_STATEMENTS = 500
_MAX_PARTIES = 200
_MAX_BLOCK = 1000
_MAX_DEPTH = 12
_MAX_FOLLOWED = 16
_COLLECT = frozenset(
    {"fromList", "toList", "singleton", "insert", "union", "concat", "dedup", "sort", "unions", "append"}
)
_UNITE = ("++", "<>", "::")
_ASSERTS = frozenset({"assert", "assertMsg", "require"})
_GUARDS = frozenset({*_ASSERTS, "when", "unless", "if", "case", "abort", "assertWithinDeadline", "guard"})
_KINDS: dict[str, ActionKind] = {
    "create": "create",
    "createAndExercise": "create",
    "exercise": "exercise",
    "exerciseByKey": "exercise",
    "fetch": "fetch",
    "fetchByKey": "fetch",
    "archive": "archive",
    "lookupByKey": "lookup",
    "visibleByKey": "lookup",
}


@dataclass(frozen=True, slots=True)
class Atom:
    """A party or a collection of parties, by the path that leads to it."""

    text: str
    origin: Origin
    many: bool = False


@dataclass(frozen=True)
class Action:
    """A ledger action in a choice body and the verdict on its authority."""

    kind: ActionKind
    target: str | None
    line: int
    column: int
    status: Status
    required: tuple[Atom, ...]
    available: tuple[Atom, ...]
    missing: tuple[Atom, ...]
    reason: str
    updates_this: bool = False
    own_contract: bool = False


@dataclass
class Record:
    """How a contract's fields are given: by name, positionally, from another record, or from names in scope."""

    template: Template | None
    bindings: dict[str, Span] = field(default_factory=dict)
    base: str | None = None
    wildcard: bool = False
    readable: bool = True


Lookup = Callable[[str], tuple[Atom, ...] | None]
"""Parties that a path such as `owner` or `this.owner` stands for; None when the name is not known."""


def is_party(kind: str) -> bool | None:
    """Whether a type carries parties: True, False for built-in types that cannot, None when it depends."""
    if "Party" in kind.replace("(", " ").replace(")", " ").replace("[", " ").replace("]", " ").split():
        return True
    plain = kind.strip("()[] ").split(" ")[0]
    return (
        False
        if plain
        in (
            "Text",
            "Int",
            "Decimal",
            "Numeric",
            "Bool",
            "Date",
            "Time",
            "RelTime",
            "ContractId",
            "BigNumeric",
        )
        else None
    )


def parties(outline: Outline, span: Span, lookup: Lookup, depth: int = 0) -> tuple[Atom, ...]:
    """The parties a party expression stands for; unreadable parts come back as opaque atoms."""
    source, tokens = outline.source, outline.source.tokens
    start, end = span
    if depth > _MAX_DEPTH or not 0 < end - start <= _MAX_BLOCK:
        return (Atom(source.text(start, min(end, start + 12)) or "?", "opaque", True),)
    opaque = (Atom(source.text(start, min(end, start + 40)), "opaque", True),)
    whole = source.mates.get(start) == end - 1
    if whole and tokens[start].text == "(":
        inner = (start + 1, end - 1)
        return opaque if len(split(source, inner, ",")) != 1 else parties(outline, inner, lookup, depth + 1)
    if whole and tokens[start].text == "[":
        inner = (start + 1, end - 1)
        if find(source, inner, lambda index: tokens[index].text in ("|", "..")) < end - 1:
            return opaque
        return _united(parties(outline, part, lookup, depth + 1) for part in split(source, inner, ","))
    for operator in _UNITE:
        operands = split(source, span, operator)
        if len(operands) > 1:
            return _united(parties(outline, part, lookup, depth + 1) for part in operands)
    if end - start == 1:
        if tokens[start].kind == "var":
            return lookup(tokens[start].text) or opaque
        return opaque
    head = tokens[start].text.rpartition(".")[2]
    if head in _COLLECT and tokens[start].kind == "var":
        return _united(
            parties(outline, part, lookup, depth + 1) for part in _arguments(outline, (start + 1, end))
        )
    if head in ("signatory", "observer") and end - start == 2:
        return lookup(f"{head} {tokens[start + 1].text}") or opaque
    return opaque


def analyse(outline: Outline) -> dict[tuple[str, str], list[Action]]:
    """The ledger actions of every choice, by (template, choice)."""
    found: dict[tuple[str, str], list[Action]] = {}
    budget = MAX_ACTIONS
    for template in outline.templates:
        for choice in template.choices:
            actions = _ChoiceReader(outline, template, choice).actions(budget)
            budget -= len(actions)
            found[template.name, choice.name] = actions
    return found


def stakeholders(outline: Outline, template: Template, clauses: Iterable[Expr]) -> tuple[Atom, ...]:
    """Parties of clauses of a template, as paths over its own fields."""
    lookup = own_lookup(outline, template)
    return _united(parties(outline, clause.span, lookup) for clause in clauses)


def own_lookup(outline: Outline, template: Template) -> Lookup:
    """Names in a template's own clauses: its fields, `this`, `key`, and `signatory this`."""
    return _record_lookup(
        outline, template, lambda name, rest: _path(name, rest, template.fields, "field"), ()
    )


def _record_lookup(
    outline: Outline,
    template: Template,
    value: Callable[[str, str], tuple[Atom, ...] | None],
    active: tuple[str, ...],
) -> Lookup:
    """Names in a template's clauses, when `value` tells what each field holds."""
    known: dict[str, tuple[Atom, ...] | None] = {}

    def lookup(path: str) -> tuple[Atom, ...] | None:
        if path not in known:  # clauses that name each other, or the key, would cost their product
            known[path] = resolve(path)
        return known[path]

    def resolve(path: str) -> tuple[Atom, ...] | None:
        if path in ("signatory this", "observer this"):
            if path in active:
                return None
            clauses = template.signatories if path == "signatory this" else template.observers
            inner = _record_lookup(outline, template, value, (*active, path))
            return _united(parties(outline, clause.span, inner) for clause in clauses)
        root, _, rest = path.removeprefix("this.").partition(".")
        if root == "key" and not any(entry.name == "key" for entry in template.fields):
            span = _key_part(outline, template, rest)
            return (
                None
                if span is None or "key" in active
                else parties(outline, span, _record_lookup(outline, template, value, (*active, "key")))
            )
        return value(root, rest)

    return lookup


def _key_part(outline: Outline, template: Template, rest: str) -> Span | None:
    """The part of the key expression that `key`, `key._1` or `key.name` selects."""
    if template.key is None:
        return None
    start, end = template.key.span
    if not rest:
        return start, end
    source = outline.source
    if rest.startswith("_") and rest[1:].isdigit() and source.mates.get(start) == end - 1:
        parts = split(source, (start + 1, end - 1), ",")
        number = int(rest[1:])
        return parts[number - 1] if 1 <= number <= len(parts) else None
    bindings, _, _ = _bindings(outline, (start, end))
    return bindings.get(rest)


def _path(
    name: str, rest: str, fields: Iterable[Field], origin: Origin, prefix: str = ""
) -> tuple[Atom, ...] | None:
    for entry in fields:
        if entry.name == name:
            many = not rest and entry.type.strip("() ") != "Party"
            return (Atom(f"{prefix}{name}" + (f".{rest}" if rest else ""), origin, many),)
    return None


def _united(groups: Iterable[tuple[Atom, ...]]) -> tuple[Atom, ...]:
    """The parties of all groups; what exceeds a bound counts as unreadable, so that no input costs much."""
    atoms = dict.fromkeys(atom for group in groups for atom in group)
    if len(atoms) > _MAX_PARTIES:
        return (*list(atoms)[:_MAX_PARTIES], Atom("and more parties", "opaque", True))
    return tuple(atoms)


def _arguments(outline: Outline, span: Span) -> list[Span]:
    """Arguments of an application: single tokens and bracket groups."""
    found: list[Span] = []
    index, end = span
    while index < end:
        after = min(outline.source.mates.get(index, index) + 1, end)
        if outline.source.tokens[index].text != "$":
            found.append((index, after))
        index = after
    return found


def _bindings(outline: Outline, span: Span) -> tuple[dict[str, Span], bool, int]:
    """Field bindings of the record syntax in `span`, whether it has `..`, and where it ends.

    A pun is bound to its own token. Without record syntax the end is the start of the span.
    """
    source, tokens = outline.source, outline.source.tokens
    start, end = span
    end = min(end, start + _MAX_BLOCK)
    for index in range(start, end):
        if tokens[index].text == "with":
            items, after = block(source, index + 1, end, lambda at: tokens[at].text in ("then", "else", "of"))
            break
        if tokens[index].text == "{" and index in source.mates:
            after = min(source.mates[index] + 1, end)
            items = split(source, (index + 1, after - 1), ";")
            break
    else:
        return {}, False, start
    bindings: dict[str, Span] = {}
    wildcard = False
    for item in items:
        for part_start, part_end in _fields_of(outline, item):
            if tokens[part_start].text == "..":
                wildcard = True
                continue
            at_value = part_start + 2 if _text(outline, part_start + 1) == "=" else part_start
            if at_value < part_end:
                bindings[tokens[part_start].text] = (at_value, part_end)
    return bindings, wildcard, after


def _fields_of(outline: Outline, item: Span) -> list[Span]:
    """Splits `a = x, b, ..` at commas, but keeps the commas of a value that has none of its own fields after."""
    return split(outline.source, item, ",")


def _text(outline: Outline, index: int) -> str:
    tokens = outline.source.tokens
    return tokens[index].text if 0 <= index < len(tokens) else ""


class _ChoiceReader:
    """Reads one choice body: names in scope, facts, and the actions with their verdicts."""

    def __init__(self, outline: Outline, template: Template, choice: Choice) -> None:
        self._outline = outline
        self._tokens = outline.source.tokens
        self._template = template
        self._choice = choice
        self._locals: set[str] = set()
        self._aliases: dict[str, Span] = {}
        self._fetched: dict[str, str] = {}
        self._created: dict[str, Record] = {}
        self._types: dict[str, str] = {entry.name: entry.type for entry in template.fields}
        self._types |= {entry.name: entry.type for entry in choice.parameters}
        self._resolved: dict[str, tuple[Atom, ...] | None] = {}
        self._following = 0
        self._names()

    def actions(self, budget: int) -> list[Action]:
        """At most `budget` actions, in the order of the text."""
        if self._choice.body is None:
            return []
        start, end = self._choice.body
        found: list[Action] = []
        for index in range(start, end):
            if len(found) >= budget:
                break
            if self._is_action(index):
                found.append(self._action(index, self._statement_end(index)))
        return found

    # names ----------------------------------------------------------------------------------

    def _names(self) -> None:
        """Collects names bound in the body: what is bound in a way we cannot follow becomes local."""
        if self._choice.body is None:
            return
        start, end = self._choice.body
        bound: dict[str, int] = {}
        for index in range(start, end):
            text = self._tokens[index].text
            if text in ("<-", "->"):
                names = self._pattern_names(index, start)
                for name in names:
                    bound[name] = bound.get(name, 0) + 1
                single = text == "<-" and len(names) == 1 and self._tokens[index - 1].text == names[0]
                simple = single and (
                    self._tokens[index - 1].first or _text(self._outline, index - 2) in ("do", ";")
                )
                if not simple or not self._bind_action(names[0], index + 1, end):
                    self._locals.update(names)
            elif text == "let":
                items, _ = block(
                    self._outline.source, index + 1, end, lambda at: self._tokens[at].text == "in"
                )
                for item_start, item_end in items:
                    self._bind_let(item_start, item_end, bound)
        twice = {name for name, count in bound.items() if count > 1}
        for name in twice:
            self._aliases.pop(name, None)
            self._fetched.pop(name, None)
            self._created.pop(name, None)
        self._locals |= twice

    def _pattern_names(self, arrow: int, start: int) -> list[str]:
        names: list[str] = []
        for index in range(arrow - 1, max(start - 1, arrow - 60), -1):
            token = self._tokens[index]
            if token.text in ("\\", "of", "do", ";", "->", "<-", "="):
                break
            if token.kind == "var":
                names.append(token.text)
            if token.first:
                break
        return names

    def _bind_action(self, name: str, index: int, end: int) -> bool:
        """`name <- fetch cid` and `name <- create ..`: remembers what the name stands for."""
        text = _text(self._outline, index)
        if text == "fetch":
            target = index + (2 if _text(self._outline, index + 1) == "$" else 1)
            if target < end and self._tokens[target].kind == "var":
                self._fetched[name] = self._tokens[target].text
                return True
        if text == "create":
            record = self._record(index + 1, self._statement_end(index))
            if record.template is not None and record.readable:
                self._created[name] = record
                return True
        return False

    def _bind_let(self, start: int, end: int, bound: dict[str, int]) -> None:
        equals = find(self._outline.source, (start, end), lambda at: self._tokens[at].text == "=")
        names = [self._tokens[i].text for i in range(start, equals) if self._tokens[i].kind == "var"]
        for name in names:
            bound[name] = bound.get(name, 0) + 1
        if len(names) == 1 and equals == start + 1 and equals < end:
            self._aliases[names[0]] = (equals + 1, end)
        else:
            self._locals.update(names)

    def _lookup(self, path: str) -> tuple[Atom, ...] | None:
        """Parties of a path in the choice body.

        Each path is followed once, and names that stand for names only so far: a name that is used twice
        by the next one, and so on, would double the work at every step. What leads to itself stays local.
        """
        local = (Atom(f"{path} (local)", "local"),)
        if path in self._resolved:
            return self._resolved[path]
        if self._following >= _MAX_FOLLOWED:
            return local
        self._resolved[path] = local
        self._following += 1
        try:
            self._resolved[path] = self._follow(path)
        finally:
            self._following -= 1
        return self._resolved[path]

    def _follow(self, path: str) -> tuple[Atom, ...] | None:
        if path in ("signatory this", "observer this"):
            return own_lookup(self._outline, self._template)(path)
        if path.startswith(("signatory ", "observer ")):
            return None
        root, _, rest = path.partition(".")
        if root == "this" and rest:
            root, _, rest = rest.partition(".")
            return _path(root, rest, self._template.fields, "field")
        if root == "arg" and rest:
            root, _, rest = rest.partition(".")
            return self._argument(root, rest)
        if root in self._fetched and rest and root not in self._locals:
            return self._contract(self._fetched[root], rest)
        if root in self._locals:
            # Marked, since it may have the name of a field without being that field.
            return (Atom(f"{path} (local)", "local"),)
        if root in self._aliases:
            return self._alias(root, rest)
        return self._argument(root, rest) or _path(root, rest, self._template.fields, "field")

    def _argument(self, name: str, rest: str) -> tuple[Atom, ...] | None:
        hides_field = any(entry.name == name for entry in self._template.fields)
        return _path(name, rest, self._choice.parameters, "argument", "arg." if hides_field else "")

    def _alias(self, name: str, rest: str) -> tuple[Atom, ...]:
        if not rest:
            return parties(self._outline, self._aliases[name], self._lookup)
        atoms = self._lookup(name) or ()
        if len(atoms) == 1 and atoms[0].origin != "opaque":
            return (replace(atoms[0], text=f"{atoms[0].text}.{rest}", many=False),)
        return (Atom(f"{name}.{rest} (local)", "local"),)

    def _contract(self, cid: str, rest: str) -> tuple[Atom, ...]:
        """A field of the contract that a contract id names."""
        record = self._created.get(cid)
        if record is not None and record.template is not None:
            name, _, inner = rest.partition(".")
            return self._record_value(record)(name, inner) or (Atom(f"{cid}.{rest}", "contract"),)
        if cid == "self":
            name, _, inner = rest.partition(".")
            return _path(name, inner, self._template.fields, "field") or (Atom(f"self.{rest}", "contract"),)
        template = self._template_of(cid)
        many = template is not None and any(
            entry.name == rest and entry.type.strip("() ") != "Party" for entry in template.fields
        )
        return (Atom(f"{cid}→{rest}", "contract", many),)

    def _template_of(self, cid: str) -> Template | None:
        """The template of a contract id by its declared type or its creation."""
        if cid == "self":
            return self._template
        if cid in self._created:
            return self._created[cid].template
        if cid in self._locals:
            return None
        words = self._types.get(cid, "").strip("() ").split()
        if len(words) == 2 and words[0].rpartition(".")[2] == "ContractId":
            return self._outline.template(words[1])
        return None

    # records --------------------------------------------------------------------------------

    def _record(self, start: int, end: int, followed: int = 0) -> Record:
        """The record expression at `start`: what a create gets as its argument."""
        named: str | None = None
        while start < end and self._tokens[start].text in ("$", "@"):
            if self._tokens[start].text == "@":
                named = _text(self._outline, start + 1)
                start += 1
            start += 1
        depth = 0
        while start < end and self._tokens[start].text == "(" and depth < _MAX_DEPTH:
            end = min(self._outline.source.mates.get(start, end), end)
            start += 1
            depth += 1
        if start >= end:
            return Record(None, readable=False)
        head = self._tokens[start]
        if head.kind == "con":
            template = self._outline.template(head.text)
            bindings, wildcard, after = _bindings(
                self._outline, (start + 1, self._record_end(start + 1, end))
            )
            if after > start + 1 or template is None or not template.fields:
                return Record(template, bindings, None, wildcard)
            values = _arguments(self._outline, (start + 1, end))
            names = [entry.name for entry in template.fields]
            return Record(
                template, dict(zip(names, values, strict=False)), readable=len(values) == len(names)
            )
        if head.kind == "var":
            bindings, wildcard, after = _bindings(
                self._outline, (start + 1, self._record_end(start + 1, end))
            )
            template = self._base_template(head.text) or self._outline.template(named or "")
            plain = after > start + 1 or start + 1 >= end or self._tokens[start + 1].first
            if head.text in self._aliases and not bindings:
                span = self._aliases[head.text]
                return self._record(*span, followed + 1) if followed < _MAX_FOLLOWED else Record(None)
            return Record(template, bindings, head.text, wildcard, readable=plain)
        return Record(None, readable=False)

    def _record_end(self, start: int, end: int) -> int:
        """The record syntax must follow its head at once; another `with` on the way belongs to something else."""
        return end if start < end and self._tokens[start].text in ("with", "{") else start

    def _base_template(self, name: str) -> Template | None:
        if name == "this":
            return self._template
        if name in self._fetched and name not in self._locals:
            return self._template_of(self._fetched[name])
        if name in self._locals:
            return None
        return self._outline.template(self._types.get(name, "").strip("() "))

    def _record_value(self, record: Record) -> Callable[[str, str], tuple[Atom, ...] | None]:
        """What a field of a record given in this body holds."""

        def value(name: str, rest: str) -> tuple[Atom, ...] | None:
            if name in record.bindings:
                start, end = record.bindings[name]
                if rest and end - start == 1 and self._tokens[start].kind == "var":
                    return self._lookup(f"{self._tokens[start].text}.{rest}")
                atoms = parties(self._outline, (start, end), self._lookup)
                if not rest:
                    return atoms
                if len(atoms) == 1 and atoms[0].origin != "opaque":
                    return (replace(atoms[0], text=f"{atoms[0].text}.{rest}", many=False),)
                return None
            path = f"{name}.{rest}" if rest else name
            if record.base is not None:
                return self._lookup(f"{record.base}.{path}")
            return self._lookup(path) if record.wildcard else None

        return value

    # actions --------------------------------------------------------------------------------

    def _is_action(self, index: int) -> bool:
        token = self._tokens[index]
        if token.kind != "var" or token.text not in ACTIONS:
            return False
        return (
            _text(self._outline, index + 1) not in ("=", "<-", ":") and _text(self._outline, index - 1) != "`"
        )

    def _statement_end(self, index: int) -> int:
        """Where the expression that holds `index` ends: its line block, an outer bracket, or the body."""
        assert self._choice.body is not None
        end = min(self._choice.body[1], index + _MAX_BLOCK)
        line_start = index
        while line_start > self._choice.body[0] and not self._tokens[line_start].first:
            line_start -= 1
        column = self._tokens[line_start].column
        mates = self._outline.source.mates
        at = index
        nested = False
        while at < end:
            token = self._tokens[at]
            if at > index and token.first and token.column <= column:
                break
            nested = nested or token.text in OPENERS
            if token.text in (")", "]", "}", "then", "else") or (token.text == ";" and not nested):
                break
            at = mates[at] + 1 if at in mates else at + 1
        return min(at, end)

    def _action(self, index: int, end: int) -> Action:
        word = self._tokens[index].text
        kind = _KINDS[word]
        if word in ("create", "createAndExercise"):
            if word == "createAndExercise":
                groups = _arguments(self._outline, (index + 1, end))
                end = groups[0][1] if groups else end
            return self._create(index, end)
        if word == "exercise":
            return self._exercise(index, end)
        if word == "archive":
            return self._archive(index, end)
        if word == "fetch":
            return self._fetch(index, end)
        target = _text(self._outline, index + 2) if _text(self._outline, index + 1) == "@" else None
        return self._result(
            index, kind, target, None, "the contract is found by its key, so its parties are not known"
        )

    def _create(self, index: int, end: int) -> Action:
        record = self._record(index + 1, end)
        if record.template is None:
            named = _text(self._outline, index + 1)
            why = (
                f"template {named} is not in this text"
                if named[:1].isupper()
                else "which template is created cannot be told from this text"
            )
            return self._result(index, "create", named if named[:1].isupper() else None, None, why)
        name = record.template.name
        if not record.readable:
            return self._result(
                index, "create", name, None, "the fields given to the create cannot be told apart"
            )
        required = self._substituted(record, record.template.signatories)
        action = self._result(index, "create", name, required, "")
        return replace(action, updates_this=record.base == "this")

    def _substituted(self, record: Record, clauses: Iterable[Expr]) -> tuple[Atom, ...]:
        assert record.template is not None
        lookup = _record_lookup(self._outline, record.template, self._record_value(record), ())
        return _united(parties(self._outline, clause.span, lookup) for clause in clauses)

    def _target(self, index: int, end: int) -> tuple[str | None, int]:
        """The contract id at `index` when it is a plain name, and where the next argument starts."""
        while index < end and self._tokens[index].text == "$":
            index += 1
        if index >= end:
            return None, end
        if self._tokens[index].text == "@":
            return self._target(index + 2, end)
        after = self._outline.source.mates.get(index, index) + 1
        if self._tokens[index].text == "(" and after - index == 3:
            index += 1
        token = self._tokens[index]
        return (token.text if token.kind == "var" and "." not in token.text else None), after

    def _of_contract(self, cid: str, template: Template, clauses: Iterable[Expr]) -> tuple[Atom, ...]:
        def value(name: str, rest: str) -> tuple[Atom, ...] | None:
            return self._contract(cid, f"{name}.{rest}" if rest else name)

        lookup = _record_lookup(self._outline, template, value, ())
        return _united(parties(self._outline, clause.span, lookup) for clause in clauses)

    def _exercise(self, index: int, end: int) -> Action:
        cid, after = self._target(index + 1, end)
        while after < end and self._tokens[after].text in ("$", "("):
            after += 1
        name = _text(self._outline, after) if after < end else ""
        plain = name.rpartition(".")[2]
        if not plain[:1].isupper():
            return self._result(
                index, "exercise", None, None, "which choice is exercised cannot be told from this text"
            )
        template = self._template_of(cid) if cid else None
        own = cid == "self"
        if plain == "Archive" and template is not None and cid is not None:
            required = self._of_contract(cid, template, template.signatories)
            return replace(self._result(index, "archive", template.name, required, ""), own_contract=own)
        owners = [template] if template else self._outline.templates
        candidates = [(t, c) for t in owners for c in t.choices if c.name == plain]
        if len(candidates) != 1:
            why = (
                f"choice {plain} is not in this text"
                if not candidates
                else f"several templates have a choice {plain}"
            )
            return replace(self._result(index, "exercise", plain, None, why), own_contract=own)
        template, choice = candidates[0]
        bindings, wildcard, _ = _bindings(self._outline, (after + 1, self._record_end(after + 1, end)))
        if not bindings and not wildcard:
            values = _arguments(self._outline, (after + 1, end))
            bindings = dict(zip((entry.name for entry in choice.parameters), values, strict=False))
        arguments = Record(template, bindings, None, wildcard)
        own_names = {entry.name for entry in choice.parameters}

        def value(field_name: str, rest: str) -> tuple[Atom, ...] | None:
            if field_name in own_names:
                return self._record_value(arguments)(field_name, rest)
            path = f"{field_name}.{rest}" if rest else field_name
            return self._contract(cid, path) if cid else (Atom(f"target→{path}", "contract"),)

        lookup = _record_lookup(self._outline, template, value, ())
        required = _united(parties(self._outline, clause.span, lookup) for clause in choice.controllers)
        return replace(self._result(index, "exercise", plain, required, ""), own_contract=own)

    def _archive(self, index: int, end: int) -> Action:
        cid, _ = self._target(index + 1, end)
        template = self._template_of(cid) if cid else None
        if template is None or cid is None:
            return self._result(
                index, "archive", None, None, "the template of the contract id is not in this text"
            )
        required = self._of_contract(cid, template, template.signatories)
        return replace(
            self._result(index, "archive", template.name, required, ""), own_contract=cid == "self"
        )

    def _fetch(self, index: int, end: int) -> Action:
        cid, _ = self._target(index + 1, end)
        template = self._template_of(cid) if cid else None
        if template is None or cid is None:
            return self._result(
                index, "fetch", None, None, "the template of the contract id is not in this text"
            )
        clauses = [*template.signatories, *template.observers]
        required = self._of_contract(cid, template, clauses)
        available = self._available
        own = cid == "self"
        # A comparison after the fetch serves as well: where it would not hold, the choice fails anyway.
        same = self._same(len(self._tokens))
        held = {same(atom.text) for atom in available if atom.origin != "opaque"}
        if own or any(same(atom.text) in held for atom in required if atom.origin != "opaque"):
            status: Status = "proved"
            reason = "a stakeholder of the fetched contract is available"
        else:
            status = "unknown"
            reason = (
                f"needs one stakeholder of {cid} to be among the available parties, which depends on its data"
            )
        token = self._tokens[index]
        return Action(
            "fetch",
            template.name,
            token.line,
            token.column,
            status,
            required,
            available,
            (),
            reason,
            own_contract=own,
        )

    # verdicts -------------------------------------------------------------------------------

    @cached_property
    def _available(self) -> tuple[Atom, ...]:
        if self._choice.authority:
            return _united(
                parties(self._outline, expr.span, self._controller_name) for expr in self._choice.authority
            )
        signatories = stakeholders(self._outline, self._template, self._template.signatories)
        controllers = (
            parties(self._outline, expr.span, self._controller_name) for expr in self._choice.controllers
        )
        return _united([signatories, *controllers])

    def _controller_name(self, path: str) -> tuple[Atom, ...] | None:
        """Names in a controller clause: arguments before fields, never names of the body."""
        if path.startswith(("signatory ", "observer ")) or path.partition(".")[0] in ("this", "key"):
            return own_lookup(self._outline, self._template)(path)
        root, _, rest = path.partition(".")
        return self._argument(root, rest) or _path(root, rest, self._template.fields, "field")

    def _result(
        self, index: int, kind: ActionKind, target: str | None, required: tuple[Atom, ...] | None, why: str
    ) -> Action:
        token = self._tokens[index]
        available = self._available
        if required is None:
            return Action(kind, target, token.line, token.column, "unknown", (), available, (), why)
        status, missing, reason = self._decide(index, required, available)
        return Action(kind, target, token.line, token.column, status, required, available, missing, reason)

    def _decide(
        self, index: int, required: tuple[Atom, ...], available: tuple[Atom, ...]
    ) -> tuple[Status, tuple[Atom, ...], str]:
        if not required:
            return "unknown", (), "the parties it needs could not be read"
        same = self._same(index)
        held = {same(atom.text) for atom in available if atom.origin != "opaque"}
        held_texts = {atom.text for atom in available}
        missing = tuple(
            atom
            for atom in required
            if atom.text not in held_texts and (atom.origin == "opaque" or same(atom.text) not in held)
        )
        if not missing:
            return "proved", (), "every party it needs is available"
        unclear = next((atom for atom in missing if atom.origin == "opaque"), None)
        if unclear is not None:
            return "unknown", missing, f"the parties of '{unclear.text}' cannot be told from this text"
        vague = next((atom for atom in available if atom.origin == "opaque" or atom.many), None)
        if vague is not None:
            return "unknown", missing, f"'{vague.text}' may or may not hold {_and(missing)}"
        for atom in missing:
            if atom.origin in ("contract", "local"):
                return (
                    "unknown",
                    missing,
                    f"whether {atom.text} is among {_names(available)} depends on data at run time",
                )
            if "." in atom.text:
                return "unknown", missing, f"whether {atom.text} is among {_names(available)} cannot be told"
            line = self._guarded(index, atom.text)
            if line is not None:
                return "unknown", missing, f"line {line} tests {atom.text} in a way that is not followed here"
        return (
            "fails_unless",
            missing,
            f"needs {_and(missing)}, but only {_names(available)} is available: "
            f"fails unless {_and(missing)} is one of them",
        )

    def _same(self, index: int) -> Callable[[str], str]:
        """Representative of a path under the equalities asserted before `index` and in `ensure`."""
        parent: dict[str, str] = {}

        def root(text: str) -> str:
            while text in parent:
                text = parent[text]
            return text

        for start, left, right in self._asserted:
            if start >= index:
                continue
            a, b = root(left), root(right)
            if a != b:
                parent[a] = b
        return root

    @cached_property
    def _asserted(self) -> list[tuple[int, str, str]]:
        """Equal paths, each with the token index from which on the equality holds."""
        found: list[tuple[int, str, str]] = []
        if self._template.ensure is not None:
            lookup = own_lookup(self._outline, self._template)
            found += [(-1, *pair) for pair in self._equal_pairs(self._template.ensure.span, lookup)]
        for start, end in self._choice.statements[:_MAX_STATEMENTS]:
            if self._tokens[start].text in _ASSERTS or any(
                self._tokens[at].text == "===" for at in range(start, min(end, start + 4))
            ):
                found += [(start, *pair) for pair in self._equal_pairs((start, end), self._lookup)]
        return found

    @cached_property
    def _tests(self) -> list[tuple[int, int, frozenset[str]]]:
        """Token index, line and words of the ensure clause and of every statement that tests something."""
        found: list[tuple[int, int, frozenset[str]]] = []
        if self._template.ensure is not None:
            found.append((-1, self._template.ensure.line, self._words(self._template.ensure.span)))
        for span in self._choice.statements[:_MAX_STATEMENTS]:
            words = self._words(span)
            if words & _GUARDS:
                found.append((span[0], self._tokens[span[0]].line, words))
        return found

    def _words(self, span: Span) -> frozenset[str]:
        return frozenset(self._tokens[at].text.removeprefix("this.") for at in range(*span))

    def _equal_pairs(self, span: Span, lookup: Lookup) -> list[tuple[str, str]]:
        texts = [self._tokens[at].text for at in range(*span)]
        if any(text in ("||", "not", "if", "any") for text in texts):
            return []
        found: list[tuple[str, str]] = []
        for at in range(span[0] + 1, span[1] - 1):
            if self._tokens[at].text not in ("==", "==="):
                continue
            sides = [
                lookup(self._tokens[side].text)
                for side in (at - 1, at + 1)
                if self._tokens[side].kind == "var"
            ]
            atoms = [side[0] for side in sides if side is not None and len(side) == 1]
            if len(atoms) == 2:
                found.append((atoms[0].text, atoms[1].text))
        return found

    def _guarded(self, index: int, name: str) -> int | None:
        """Line of a test before `index` that mentions `name`, which is then no longer known to be arbitrary."""
        return next((line for start, line, words in self._tests if start < index and name in words), None)


def _and(atoms: Iterable[Atom]) -> str:
    return " and ".join(atom.text for atom in atoms)


def _names(atoms: Iterable[Atom]) -> str:
    return ", ".join(atom.text for atom in atoms) or "nobody"
