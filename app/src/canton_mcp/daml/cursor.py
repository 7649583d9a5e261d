"""A place in a token stream with layout: where it is, what is wrong there, and how blocks are stepped through."""

from __future__ import annotations

from collections.abc import Iterator

from canton_mcp.daml.layout import CLOSE, END, OPEN, SEPARATOR, Stream
from canton_mcp.daml.lexer import MAX_PROBLEMS
from canton_mcp.daml.tree import Place, Problem, placed

__all__ = ["ENDS", "HOLES", "MAX_DEPTH", "Cursor"]

MAX_DEPTH = 80
"""How deeply expressions nest before one becomes `Unread`."""
ENDS = frozenset(
    {SEPARATOR, CLOSE, END, ")", "]", "}", ",", ";", "=", "->", "<-", "|"}
    | {"then", "else", "of", "in", "where", "can", "catch", "deriving", "import", "template"}
)
"""Kinds that no expression goes beyond."""
HOLES = frozenset({"hole", "elided"})


class Cursor:
    """A stream and the token `at` that is looked at."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.text = stream.text
        self.kinds = stream.kinds
        self.texts = stream.texts
        self.starts = stream.starts
        self.ends = stream.ends
        self.lines = stream.lines
        self.line_starts = stream.line_starts
        self.jumps = stream.jumps
        self.marks = stream.marks
        self.problems = stream.problems
        self.at = 0
        self.depth = 0
        self.deepest = 0
        self.tallest = 0
        self.fixities: dict[str, tuple[int, str]] = {}
        self.in_choice_head = False
        self.colons = False

    # Places and problems

    def place(self, first: int, last: int) -> Place:
        """The place of the tokens `first` to `last`."""
        line = self.lines[first]
        start = self.starts[first]
        return placed((line, start - self.line_starts[line] + 1, start, self.ends[last]))

    def since(self, first: int) -> Place:
        """The place of the tokens from `first` to the one before the current."""
        last = self.at - 1
        line = self.lines[first]
        start = self.starts[first]
        end = self.ends[last if last > first else first]
        return placed((line, start - self.line_starts[line] + 1, start, end))

    def problem(self, index: int, message: str) -> None:
        """Notes a problem at the token `index`."""
        problems = self.problems
        if len(problems) < MAX_PROBLEMS:
            place = self.place(index, index)
            if not problems or problems[-1].place != place:
                problems.append(Problem(place, message))

    def double_colon(self, index: int) -> None:
        """Notes ``::`` before a type, once for a text: who writes it once writes it everywhere."""
        if not self.colons:
            self.colons = True
            self.problem(index, "a type follows ':' in DAML, here and everywhere; '::' prepends to a list")

    def words(self, first: int, end: int) -> str:
        """The source of the tokens `first` to `end` (exclusive) on one line."""
        if end <= first:
            return ""
        return " ".join(self.text[self.starts[first] : self.ends[end - 1]].split())

    def unexpected(self, index: int) -> None:
        """Notes that nothing can be made of the token `index`."""
        kind, text = self.kinds[index], self.texts[index]
        if kind in (SEPARATOR, CLOSE, END):
            message = "something is missing here: the line or the block ends too early"
        elif kind == "=":
            message = "unexpected '=': '==' compares, '=' defines a name or sets a field"
        elif kind == "<-":
            message = "unexpected '<-': it binds a result at the start of a statement in a 'do' block"
        elif kind == "then" or kind == "else" or kind == "of" or kind == "in":
            opener = {"then": "if", "else": "if", "of": "case", "in": "let"}[kind]
            message = f"unexpected '{text}': there is no '{opener}' that it belongs to"
        elif kind == ":":
            message = "unexpected ':': it stands before a type; '::' prepends to a list"
        elif kind == "hole" or kind == "elided":
            message = f"'{text}' stands for code that is left out: what it does is not judged"
        elif kind == "where":
            message = "unexpected 'where'"
        elif text[:2] == "//" or text == "#":
            message = f"unexpected '{text[:40]}': comments start with '--'"
        else:
            message = f"unexpected '{text[:40]}'"
        self.problem(index, message)

    # Blocks

    def items(self, opened: int) -> Iterator[tuple[int, int, int]]:
        """Of the block that opens at `opened`, for every item that is not empty: separator before, start, end."""
        jumps, kinds = self.jumps, self.kinds
        at = opened
        while True:
            end = jumps[at]
            if end > at + 1:
                yield at, at + 1, end
            at = end
            if kinds[at] == CLOSE:
                self.at = at + 1
                return

    def block_end(self, opened: int) -> int:
        """The token that closes the block that opens at `opened`."""
        at = self.jumps[opened]
        while self.kinds[at] != CLOSE:
            at = self.jumps[at]
        return at

    def step(self) -> None:
        """Moves behind the current token, or behind the group or the block that it opens."""
        kind = self.kinds[self.at]
        if kind in ("(", "[", "{"):
            self.at = self.jumps[self.at] + 1
        elif kind == OPEN:
            self.at = self.block_end(self.at) + 1
        else:
            self.at += 1
