"""DAML source text to tokens with positions (Daml lexical rules: Haskell's, with its own keywords)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["var", "con", "number", "string", "op", "punct"]

_TAB = 8
_FENCE = re.compile(r"^[ \t]*```[^\n]*$", re.M)
_TOKEN = re.compile(
    r"""(?P<space>[ \n]+)
      | (?P<comment>--+(?![!#$%&*+./<=>?@\\^|~:])[^\n]*)
      | (?P<string>"(?:[^"\\\n]|\\[^\s]|\\\s+\\)*")
      | (?P<char>'(?:[^'\\\n]|\\[^\n']+|\\')')
      | (?P<con>(?:[A-Z][\w']*\.)*[A-Z][\w']*(?!\.[a-z_]))
      | (?P<var>(?:[A-Z][\w']*\.)*[^\W\dA-Z][\w']*(?:\.[a-z_][\w']*)*)
      | (?P<number>0[xX][0-9a-fA-F_]+|\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?)
      | (?P<punct>[()\[\]{},;`\\])
      | (?P<op>[!#$%&*+./<=>?@^|~:-]+)
    """,
    re.X,
)
_KINDS: dict[str, Kind | None] = {
    "space": None,
    "comment": None,
    "string": "string",
    "char": "string",
    "con": "con",
    "var": "var",
    "number": "number",
    "punct": "punct",
    "op": "op",
}
_CPP = re.compile(r"#(?:if|ifdef|ifndef|else|elif|endif|define|undef|include)\b[^\n]*")
_NESTED = re.compile(r"\{-|-\}")
_MAX_UNCLOSED = 5
_MAX_PROBLEMS = 100
_CLOSER = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Token:
    """One token. `line` and `column` count from 1; `first` marks the first token of its line."""

    kind: Kind
    text: str
    line: int
    column: int
    first: bool


@dataclass(frozen=True, slots=True)
class Problem:
    """A place where the text cannot be DAML, or cannot be read."""

    line: int
    column: int
    message: str


@dataclass(frozen=True)
class Source:
    """Tokens of a text, its brackets (index of the opening one -> index of the closing one), its problems."""

    tokens: tuple[Token, ...]
    mates: dict[int, int]
    problems: tuple[Problem, ...]

    def text(self, start: int, end: int) -> str:
        """The tokens `start` to `end` (exclusive) on one line, spaced as in the source."""
        parts: list[str] = []
        for index in range(start, end):
            token = self.tokens[index]
            if parts:
                before = self.tokens[index - 1]
                adjacent = before.line == token.line and before.column + len(before.text) == token.column
                parts.append("" if adjacent else " ")
            parts.append(token.text)
        return "".join(parts)


def scan(text: str) -> Source:
    """Tokens of `text`; never raises. A Markdown fence around the code is accepted."""
    tokens, problems = _tokens(_unfenced(text.replace("\r\n", "\n").replace("\r", "\n").expandtabs(_TAB)))
    mates, unbalanced = _mates(tokens)
    return Source(tuple(tokens), mates, (*problems, *unbalanced))


def _unfenced(text: str) -> str:
    """Blanks everything outside a Markdown fence, so that line numbers stay right."""
    fences = list(_FENCE.finditer(text))
    if not fences:
        return text
    kept: list[str] = []
    inside = False
    for line in text.split("\n"):
        if line.lstrip().startswith("```"):
            inside = not inside
            kept.append("")
        else:
            kept.append(line if inside else "")
    return "\n".join(kept)


def _tokens(text: str) -> tuple[list[Token], list[Problem]]:
    tokens: list[Token] = []
    problems: list[Problem] = []
    position, line, line_start, last_line = 0, 1, 0, 0
    while position < len(text):
        column = position - line_start + 1
        kind, end, problem = _next(text, position, column)
        if problem and len(problems) < _MAX_PROBLEMS:
            problems.append(Problem(line, column, problem))
        if kind is not None:
            tokens.append(Token(kind, text[position:end], line, column, line != last_line))
            last_line = line
        newlines = text.count("\n", position, end)
        if newlines:
            line += newlines
            line_start = text.rfind("\n", position, end) + 1
        position = end
    return tokens, problems


def _next(text: str, position: int, column: int) -> tuple[Kind | None, int, str | None]:
    """Kind (None for what is skipped), end and problem of what stands at `position`."""
    if text.startswith("{-", position):
        end = _comment_end(text, position)
        if end is None:
            return None, len(text), "the comment that starts here is never closed"
        return None, end, None
    if column == 1 and (cpp := _CPP.match(text, position)):
        return None, cpp.end(), None
    found = _TOKEN.match(text, position)
    if found is None:
        character = text[position]
        if character == '"':
            end = text.find("\n", position)
            return "string", len(text) if end < 0 else end, "the string that starts here is never closed"
        # No-break spaces and the like come with pasted code.
        known = character.isspace() or character == "\ufeff"
        return None, position + 1, None if known else f"unexpected character {character!r}"
    return _KINDS[found.lastgroup or ""], found.end(), None


def _comment_end(text: str, position: int) -> int | None:
    depth = 0
    for mark in _NESTED.finditer(text, position):
        depth += 1 if mark.group() == "{-" else -1
        if depth == 0:
            return mark.end()
    return None


def _mates(tokens: list[Token]) -> tuple[dict[int, int], list[Problem]]:
    mates: dict[int, int] = {}
    problems: list[Problem] = []
    stack: list[int] = []
    base = tokens[0].column if tokens else 1

    def give_up() -> Iterator[Problem]:
        for index in stack[:_MAX_UNCLOSED]:
            opened = tokens[index]
            yield Problem(opened.line, opened.column, f"'{opened.text}' is never closed")

    for index, token in enumerate(tokens):
        if token.first and token.column <= base and token.text not in ")]}":
            # A new declaration starts whatever is still open: report it here, read on there.
            problems += give_up()
            stack.clear()
        if token.kind != "punct":
            continue
        if token.text in _CLOSER:
            stack.append(index)
        elif token.text in ")]}":
            if stack and _CLOSER[tokens[stack[-1]].text] == token.text:
                mates[stack.pop()] = index
            elif len(problems) < _MAX_PROBLEMS:
                problems.append(Problem(token.line, token.column, f"'{token.text}' closes nothing"))
    problems += give_up()
    return mates, problems
