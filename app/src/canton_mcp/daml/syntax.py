"""Tokens to an outline: templates, fields, clauses, choices and the extent of their bodies.

Layout is read by columns: a block starts at the token after its opener; a line that starts in the
block's column is a new item, a line that starts left of it ends the block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from canton_mcp.daml.tokens import Problem, Source, scan

Consumption = Literal["consuming", "nonconsuming", "preconsuming", "postconsuming"]
Span = tuple[int, int]
"""Token indexes, end exclusive."""

CONSUMPTION: dict[str, Consumption] = {
    "nonconsuming": "nonconsuming",
    "preconsuming": "preconsuming",
    "postconsuming": "postconsuming",
}
ACTIONS = frozenset(
    {
        "create",
        "exercise",
        "exerciseByKey",
        "createAndExercise",
        "fetch",
        "fetchByKey",
        "lookupByKey",
        "visibleByKey",
        "archive",
    }
)
OPENERS = frozenset({"with", "let", "do", "of"})
_MAX_PROBLEMS = 200
_MAX_CLAUSES = 500
_CONTINUES = frozenset({"then", "else", "of", "catch", "in", "where"})
_CHOICE_PARTS = frozenset({"with", "controller", "observer", "authority", "where", "do"})
_OTHER_DECLARATIONS = frozenset(
    {
        "class",
        "instance",
        "deriving",
        "exception",
        "infix",
        "infixl",
        "infixr",
        "type",
        "newtype",
        "data",
        "import",
    }
)


@dataclass(frozen=True)
class Expr:
    """An expression: its tokens and its text on one line."""

    span: Span
    text: str
    line: int
    column: int


@dataclass(frozen=True)
class Field:
    """A declared field and the text of its type."""

    name: str
    type: str
    line: int


@dataclass
class Choice:
    """A choice; `implicit_observer` marks the 1.x form, whose controllers observe the contract."""

    name: str
    line: int
    column: int
    consumption: Consumption
    parameters: list[Field] = field(default_factory=list)
    controllers: list[Expr] = field(default_factory=list)
    observers: list[Expr] = field(default_factory=list)
    authority: list[Expr] = field(default_factory=list)
    statements: list[Span] = field(default_factory=list)
    body: Span | None = None
    implicit_observer: bool = False

    @property
    def consuming(self) -> bool:
        """Whether an exercise archives the contract."""
        return self.consumption != "nonconsuming"


@dataclass
class Template:
    """A template and its members; clauses that may repeat are united."""

    name: str
    line: int
    column: int
    fields: list[Field] = field(default_factory=list)
    signatories: list[Expr] = field(default_factory=list)
    observers: list[Expr] = field(default_factory=list)
    ensure: Expr | None = None
    key: Expr | None = None
    key_type: str | None = None
    maintainers: list[Expr] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    instances: list[Expr] = field(default_factory=list)
    lets: list[Span] = field(default_factory=list)


@dataclass(frozen=True)
class Function:
    """A top-level name that has a definition, and whether ledger actions stand in it."""

    name: str
    line: int
    acts: bool
    script: bool


@dataclass
class Outline:
    """What a text declares, as far as it was read."""

    source: Source
    problems: list[Problem]
    templates: list[Template] = field(default_factory=list)
    interfaces: list[Expr] = field(default_factory=list)
    functions: dict[str, Function] = field(default_factory=dict)
    imports: list[str] = field(default_factory=list)

    def template(self, name: str) -> Template | None:
        """The template of that name, qualified or not."""
        plain = name.rpartition(".")[2]
        return next((template for template in self.templates if template.name == plain), None)


def read(text: str) -> Outline:
    """The outline of a DAML text; never raises. What cannot be read is in `problems`."""
    source = scan(text)
    return _Reader(source).outline()


def find(source: Source, span: Span, stop: Callable[[int], bool]) -> int:
    """Index of the first token of `span` outside brackets that satisfies `stop`, or the end of the span."""
    index, end = span
    while index < end:
        if stop(index):
            return index
        index = source.mates[index] + 1 if index in source.mates else index + 1
    return end


def split(source: Source, span: Span, separator: str) -> list[Span]:
    """Non-empty parts of `span` between separators that stand outside brackets."""
    parts: list[Span] = []
    start, end = span
    while start < end:
        stop = find(source, (start, end), lambda index: source.tokens[index].text == separator)
        if stop > start:
            parts.append((start, stop))
        start = stop + 1
    return parts


def block(
    source: Source, start: int, end: int, stop: Callable[[int], bool] = lambda index: False
) -> tuple[list[Span], int]:
    """Items of the layout block whose first token is `start`, and the index after the block.

    The block also ends at a bracket that closes an outer group, at `stop`, and at `end`.
    """
    tokens, mates = source.tokens, source.mates
    if start >= end:
        return [], start
    if tokens[start].text == "{" and start in mates:
        close = min(mates[start], end)
        return split(source, (start + 1, close), ";"), close + 1
    column = tokens[start].column
    items: list[Span] = []
    begun = index = start
    nested = False
    while index < end:
        token = tokens[index]
        if token.first and index > start:
            if token.column < column:
                break
            if token.column == column and token.text not in _CONTINUES:
                items.append((begun, index))
                begun = index
                nested = False
        if token.text in (")", "]", "}") or stop(index):
            break
        # On one line a semicolon belongs to the innermost block.
        nested = nested or token.text in OPENERS
        if token.text == ";" and not nested:
            items.append((begun, index))
            begun = index + 1
        index = mates[index] + 1 if index in mates else index + 1
    index = min(index, end)
    items.append((begun, index))
    return [item for item in items if item[0] < item[1]], index


class _Reader:
    """Reads one source; collects problems as it goes."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._tokens = source.tokens
        self._outline = Outline(source, list(source.problems))

    def outline(self) -> Outline:
        for span in self._declarations():
            self._declaration(span)
        self._outline.problems.sort(key=lambda problem: (problem.line, problem.column))
        return self._outline

    def _problem(self, index: int, message: str) -> None:
        token = self._tokens[min(index, len(self._tokens) - 1)]
        if len(self._outline.problems) >= _MAX_PROBLEMS:
            return
        self._outline.problems.append(Problem(token.line, token.column, message))

    def _expr(self, span: Span) -> Expr:
        token = self._tokens[span[0]]
        return Expr(span, self._source.text(*span), token.line, token.column)

    def _is(self, index: int, *texts: str) -> bool:
        return index < len(self._tokens) and self._tokens[index].text in texts

    def _kind(self, index: int, kind: str) -> bool:
        return index < len(self._tokens) and self._tokens[index].kind == kind

    def _declarations(self) -> list[Span]:
        start = 0
        if self._is(0, "module"):
            start = find(self._source, (0, len(self._tokens)), lambda index: self._is(index, "where")) + 1
            if start > len(self._tokens):
                self._problem(0, "the module header has no 'where'")
                return []
        if start >= len(self._tokens):
            return []
        base = self._tokens[start].column
        starts = [
            index
            for index in range(start, len(self._tokens))
            if index == start
            or (
                self._tokens[index].first
                and self._tokens[index].column <= base
                and self._tokens[index].text
                not in (")", "]", "}", "where", "deriving", "then", "else", "of", "|")
            )
        ]
        return list(zip(starts, [*starts[1:], len(self._tokens)], strict=True))

    def _declaration(self, span: Span) -> None:
        start, end = span
        word = self._tokens[start].text
        if word == "template" and self._kind(start + 1, "con"):
            self._template(span)
        elif word == "template":
            self._problem(start, "'template' is not followed by a template name")
        elif word == "interface":
            self._outline.interfaces.append(self._expr((start, min(start + 2, end))))
        elif word == "import":
            names = [self._tokens[i].text for i in range(start + 1, end) if self._tokens[i].kind == "con"]
            self._outline.imports += names[:1]
        elif word == "choice" or (word in CONSUMPTION and self._is(start + 1, "choice")):
            self._problem(start, "a choice stands outside of a template")
        elif word not in _OTHER_DECLARATIONS:
            self._function(span)

    def _function(self, span: Span) -> None:
        start, end = span
        at = find(self._source, span, lambda index: self._is(index, "=", ":", "|"))
        if at == end:
            self._problem(start, f"'{self._source.text(start, min(end, start + 4))}' is not a declaration")
            return
        name = self._tokens[start].text
        words = {self._tokens[index].text for index in range(start, end)}
        before = self._outline.functions.get(name)
        acts = bool(words & ACTIONS) or (before is not None and before.acts)
        script = bool(words & {"Script", "Scenario", "submit", "scenario", "script"})
        script = script or (before is not None and before.script)
        self._outline.functions[name] = Function(name, self._tokens[start].line, acts, script)

    def _template(self, span: Span) -> None:
        start, end = span
        token = self._tokens[start]
        template = Template(self._tokens[start + 1].text, token.line, token.column)
        self._outline.templates.append(template)
        index = start + 2
        if self._is(index, "with") and index < end:
            items, index = block(self._source, index + 1, end, lambda at: self._is(at, "where"))
            template.fields = self._fields(items)
        if not (index < end and self._is(index, "where")):
            at = min(index, end - 1)
            self._problem(at, f"template {template.name} has no 'where' after its fields")
            return
        items, index = block(self._source, index + 1, end)
        if index < end:
            self._problem(index, f"the indentation does not fit the members of template {template.name}")
        for item in items:
            self._member(template, item)

    def _member(self, template: Template, span: Span) -> None:
        start, end = span
        word = self._tokens[start].text
        match word:
            case "signatory":
                template.signatories += self._parties((start + 1, end))
            case "observer":
                template.observers += self._parties((start + 1, end))
            case "maintainer":
                template.maintainers += self._parties((start + 1, end))
            case "ensure" if start + 1 < end:
                template.ensure = self._expr((start + 1, end))
            case "key" if start + 1 < end:
                colon = find(self._source, (start + 1, end), lambda index: self._is(index, ":"))
                template.key = self._expr((start + 1, colon)) if colon > start + 1 else None
                template.key_type = self._source.text(colon + 1, end) or None
            case "choice" | "nonconsuming" | "preconsuming" | "postconsuming":
                self._choice(template, span)
            case "controller":
                self._controller_can(template, span)
            case "interface":
                template.instances.append(self._expr(span))
            case "let":
                template.lets.append(span)
            case "agreement":
                pass
            case _:
                self._problem(start, f"'{word}' cannot start a member of template {template.name}")

    def _fields(self, items: list[Span]) -> list[Field]:
        found: list[Field] = []
        for start, end in items:
            colon = find(self._source, (start, end), lambda index: self._is(index, ":"))
            names = [self._tokens[i] for i in range(start, colon) if self._tokens[i].text != ","]
            if colon >= end - 1 or not names or any(name.kind != "var" for name in names):
                self._problem(
                    start, f"'{self._source.text(start, min(end, start + 4))}' is not a field declaration"
                )
                continue
            kind = self._source.text(colon + 1, end)
            found += [Field(name.text, kind, name.line) for name in names]
        return found

    def _parties(self, span: Span) -> list[Expr]:
        parts = split(self._source, span, ",")
        if not parts:
            self._problem(span[0] - 1, f"'{self._tokens[span[0] - 1].text}' names no party")
        if len(parts) > _MAX_CLAUSES:
            self._problem(span[0], f"more than {_MAX_CLAUSES} parties in one clause")
        return [self._expr(part) for part in parts[:_MAX_CLAUSES]]

    def _part(self, index: int) -> bool:
        """Whether a part of a choice starts here: `observer` and its like are also legal field names."""
        return self._is(index, *_CHOICE_PARTS) and not self._is(index + 1, ":", ",")

    def _choice(self, template: Template, span: Span) -> None:
        start, end = span
        token = self._tokens[start]
        kind = CONSUMPTION.get(token.text, "consuming")
        name_at = start + 1 if token.text == "choice" else start + 2
        if token.text in CONSUMPTION and not self._is(start + 1, "choice"):
            self._problem(start, f"'{token.text}' is not followed by 'choice'")
            return
        choice = self._choice_head(name_at, end, kind)
        if choice is not None:
            template.choices.append(choice)

    def _controller_can(self, template: Template, span: Span) -> None:
        start, end = span
        can = find(self._source, span, lambda index: self._is(index, "can"))
        if can == end:
            self._problem(start, "'controller' here needs 'can', or belongs into a choice")
            return
        controllers = self._parties((start + 1, can))
        items, _ = block(self._source, can + 1, end)
        for item_start, item_end in items:
            kind = CONSUMPTION.get(self._tokens[item_start].text, "consuming")
            name_at = item_start + (self._tokens[item_start].text in CONSUMPTION)
            choice = self._choice_head(name_at, item_end, kind)
            if choice is not None:
                choice.controllers = list(controllers)
                choice.implicit_observer = True
                template.choices.append(choice)

    def _choice_head(self, name_at: int, end: int, kind: Consumption) -> Choice | None:
        if not (name_at < end and self._kind(name_at, "con")):
            self._problem(min(name_at, end - 1), "a choice needs a name that starts with a capital letter")
            return None
        token = self._tokens[name_at]
        choice = Choice(token.text, token.line, token.column, kind)
        if not self._is(name_at + 1, ":"):
            self._problem(name_at, f"choice {choice.name} has no ': Type' after its name")
        index = find(self._source, (name_at + 1, end), self._part)
        while index < end:
            index = self._choice_part(choice, index, end)
        if choice.body is None:
            self._problem(name_at, f"choice {choice.name} has no 'do' block")
        return choice

    def _choice_part(self, choice: Choice, index: int, end: int) -> int:
        """Reads the part of a choice that starts at `index`; returns where the next one starts."""
        word = self._tokens[index].text
        match word:
            case "with":
                if self._part(index + 1):
                    return index + 1
                items, after = block(self._source, index + 1, end, self._part)
                choice.parameters += self._fields(items)
            case "controller" | "observer" | "authority":
                after = find(self._source, (index + 1, end), self._part)
                self._add_parties(choice, (index, after))
            case "where":
                items, after = block(self._source, index + 1, end, lambda at: self._is(at, "do"))
                for item in items:
                    self._add_parties(choice, item)
            case "do":
                choice.statements, after = block(self._source, index + 1, end)
                choice.body = (index + 1, after)
                if not choice.statements:
                    self._problem(index, f"the body of choice {choice.name} is empty")
                if after < end:
                    self._problem(after, f"the indentation does not fit the body of choice {choice.name}")
                return end
            case _:
                self._problem(index, f"unexpected '{word}' in choice {choice.name}")
                return find(self._source, (index + 1, end), self._part)
        return after

    def _add_parties(self, choice: Choice, span: Span) -> None:
        word = self._tokens[span[0]].text
        if word not in ("controller", "observer", "authority"):
            self._problem(span[0], f"unexpected '{word}' in choice {choice.name}")
            return
        parties = self._parties((span[0] + 1, span[1]))
        if word == "controller":
            choice.controllers += parties
        elif word == "observer":
            choice.observers += parties
        else:
            choice.authority += parties
