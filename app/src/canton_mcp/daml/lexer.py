"""DAML source text to tokens (Daml lexical rules: Haskell's, with its own keywords and dots).

Places are offsets into the text as it was sent: nothing is cut out or moved, Markdown fences and preprocessor
lines are stepped over.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field

from canton_mcp.daml.paste import unescaped, unwrapped
from canton_mcp.daml.tree import Place, Problem

__all__ = ["KEYWORDS", "MAX_PROBLEMS", "Tokens", "scan"]

KEYWORDS = frozenset(
    {
        "module",
        "import",
        "where",
        "with",
        "do",
        "let",
        "in",
        "if",
        "then",
        "else",
        "case",
        "of",
        "try",
        "catch",
    }
    | {"data", "type", "newtype", "class", "instance", "deriving", "template", "can", "controller"}
)
"""Hard keywords; ``interface``, ``exception``, ``viewtype`` and ``requires`` are told by where they stand."""
MAX_PROBLEMS = 100
_MAX_RESTARTS = 50
_TAB = 8

# A comment in which others nest up to five levels deep; deeper ones are followed by hand.
_COMMENT = r"\{-(?:[^{-]++|-(?!\})|\{(?!-))*+-\}"
for _ in range(4):
    _COMMENT = r"\{-(?:[^{-]++|-(?!\})|\{(?!-)|" + _COMMENT + r")*+-\}"
_SYMBOLS = r"!#$%&*+./<=>?@\\^|~:\-"
_TOKEN = re.compile(
    rf"""(   [^\W\dA-Z][\w']*+
      | [A-Z][\w']*+(?:\.[A-Z][\w']*+)*+(?:\.(?:[a-z_][\w']*+|(?!\.)[{_SYMBOLS}]++))?+
      | --+(?![{_SYMBOLS}])[^\n]*+
      | {_COMMENT}
      | \{{-
      | [()\[\]{{}},;`]
      | (?<=[\w')\]}}(])\.[a-z_][\w']*+
      | \\(?![{_SYMBOLS}])
      | [{_SYMBOLS}]++
      | "[^"\\\n]*+(?:\\(?:\S|\s++\\)[^"\\\n]*+)*+"
      | \d(?:[xX][0-9a-fA-F_]++|[\d_]*+(?:\.\d[\d_]*+)?+(?:[eE][+-]?\d++)?+)
      | '(?:[^'\\\n]|\\[^\n']{{1,8}}|\\')'
      | "[^\n]*+
      | [←→⇒∷…]
    )""",
    re.X,
)
_RESERVED = {
    **{text: text for text in KEYWORDS},
    **{text: text for text in ("(", ")", "[", "]", "{", "}", ",", ";", "`", "\\")},
    **{text: text for text in ("=", "->", "<-", "|", ":", "..", "=>")},
    "_": "var",
    "...": "hole",
    "…": "hole",
    "→": "->",
    "←": "<-",
    "⇒": "=>",
    "∷": "op",
}
_SYMBOL_SET = frozenset("!#$%&*+./<=>?@\\^|~:-")
_HEADS = {
    **dict.fromkeys("abcdefghijklmnopqrstuvwxyz_", "var"),
    **dict.fromkeys("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "con?"),
    **dict.fromkeys("0123456789", "num"),
    **dict.fromkeys("!#$%&*+/<=>?\\^|~:", "op"),
    **{"'": "chr", '"': "str?", "-": "-?", ".": ".?", "@": "@?", "{": "{?"},
}
_OTHER = {True: "var", False: "op"}
_UNCLEAR = frozenset({"con?", "str?", "-?", ".?", "@?", "{?"})
_CPP = re.compile(
    r"^(?:#(?:if|ifdef|ifndef|else|elif|endif|define|undef|include)\b[^\n]*|daml 1\.[0-9]+[ \t]*$)", re.M
)
"""Lines that are not code: those of the preprocessor, and the version of the language in files of Daml 1."""
_NESTED = re.compile(r"\{-|-\}")
_FENCE = re.compile(r"^[ \t>]*(?:```+|~~~+)[ \t]*([\w+#.-]*)[^\n]*$", re.M)
_FENCE_LANGUAGES = frozenset({"", "daml", "haskell", "hs"})
_BLANK = frozenset("\ufeff\u200b\u200c\u200d\u2060\x00")
_QUOTES = frozenset("\u201c\u201d\u2018\u2019")


@dataclass(slots=True)
class Tokens:
    """Tokens in parallel lists; `indents` has the layout column of a token that is the first of its line, else 0.

    Kinds: "var", "con", "op", "num", "str", "chr", ".f" (``.field`` after a value), "(.f" (a selector), "@T" (a type
    argument follows), "@" (in an as-pattern), "hole" (``...`` for code that is left out), "elided" (the same as the
    first of a line); keywords, brackets and reserved operators are kinds themselves.
    """

    text: str
    kinds: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    indents: list[int] = field(default_factory=list)
    line_starts: list[int] = field(default_factory=lambda: [0, 0])
    """Offset of the start of each line; index 0 is not used."""
    code_starts: list[int] = field(default_factory=list)
    """The same, behind what a paste has put in front of the lines: columns of the layout count from here."""
    incomplete: str = ""
    """Why not all of the text was read; empty if it was."""
    comments: list[Place] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def place(self, start: int, end: int) -> Place:
        """The place of the offsets `start` to `end`."""
        line = bisect_right(self.line_starts, start, 1) - 1
        return Place(line, start - self.line_starts[line] + 1, start, end)

    def problem(self, start: int, end: int, message: str) -> None:
        """Notes a problem, unless there are too many already."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(self.place(start, end), message))


class Columns:
    """Layout columns of offsets that only grow, in linear time however many tabs there are."""

    __slots__ = ("_column", "_offset", "_tabs", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._tabs = "\t" in text
        self._offset = 0
        self._column = 1

    def at(self, line_start: int, offset: int) -> int:
        """The column of `offset` in the line that starts at `line_start`; tabs stop at every eighth column."""
        if not self._tabs:
            return offset - line_start + 1
        if line_start >= self._offset or offset < self._offset:
            self._offset, self._column = line_start, 1
        pieces = self._text[self._offset : offset].split("\t")
        column = self._column
        for piece in pieces[:-1]:
            column = (column + len(piece) - 1) // _TAB * _TAB + _TAB + 1
        self._offset, self._column = offset, column + len(pieces[-1])
        return self._column


def scan(text: str) -> Tokens:
    """The tokens of `text`; never raises."""
    # Replacements of equal length: offsets stay those of the text as it was sent.
    plain = unescaped(text.replace("\r\n", " \n").replace("\r", "\n") if "\r" in text else text)
    regions = _fenced(plain) if "```" in plain or "~~~" in plain else [(0, len(plain))]
    plain, margins = unwrapped(plain, regions)
    tokens = Tokens(plain)
    line_starts = tokens.line_starts
    position = plain.find("\n")
    while position >= 0:
        line_starts.append(position + 1)
        position = plain.find("\n", position + 1)
    tokens.code_starts = [margins.get(start, start) for start in line_starts] if margins else line_starts
    columns = Columns(plain)
    restarts = 0
    for start, end in _without_directives(plain, regions):
        while start < end:
            start = _scan(tokens, columns, start, end)
            restarts += 1
            if restarts > _MAX_RESTARTS and start < end:
                line = bisect_right(line_starts, start, 1) - 1
                tokens.incomplete = f"comments nest too deeply and too often: read up to line {line}"
                tokens.problem(start, end, tokens.incomplete)
                return tokens
    return tokens


def _without_directives(text: str, regions: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The parts of the regions between preprocessor lines."""
    if "#" not in text and "daml 1." not in text:
        return regions
    parts: list[tuple[int, int]] = []
    for start, end in regions:
        for directive in _CPP.finditer(text, start, end):
            parts.append((start, directive.start()))
            start = directive.end()
        parts.append((start, end))
    return parts


def _fenced(text: str) -> list[tuple[int, int]]:
    """What stands inside Markdown fences, if there are any."""
    fences = list(_FENCE.finditer(text))
    if not fences or text.count("{-", 0, fences[0].start()) != text.count("-}", 0, fences[0].start()):
        return [(0, len(text))]
    blocks: list[tuple[str, int, int]] = []
    for index in range(0, len(fences), 2):
        end = fences[index + 1].start() if index + 1 < len(fences) else len(text)
        blocks.append((fences[index].group(1).lower(), fences[index].end(), end))
    named = [block for block in blocks if block[0] == "daml"]
    chosen = named or [block for block in blocks if block[0] in _FENCE_LANGUAGES] or blocks
    return [(start, end) for _, start, end in chosen]


def _scan(tokens: Tokens, columns: Columns, start: int, end: int) -> int:
    """Reads tokens from `start`; returns where it stopped: `end`, or behind a comment that nests very deeply."""
    text = tokens.text
    kinds, texts, starts, lines, indents = (
        tokens.kinds,
        tokens.texts,
        tokens.starts,
        tokens.lines,
        tokens.indents,
    )
    line_starts, code_starts = tokens.line_starts, tokens.code_starts
    line = bisect_right(line_starts, start, 1) - 1
    first = not lines or lines[-1] != line
    reserved = _RESERVED
    heads = _HEADS
    position = start
    pieces = iter(_TOKEN.split(text if end - start == len(text) else text[start:end]))
    for gap, token in zip(pieces, pieces, strict=False):
        if gap:
            position += len(gap)
            if gap != " ":
                newlines = gap.count("\n")
                if newlines:
                    line += newlines
                    first = True
                if not gap.isspace():
                    _odd(tokens, gap, position - len(gap))
        kind = reserved.get(token) or heads.get(token[0]) or _OTHER[token[0].isalpha()]
        if kind in _UNCLEAR:
            kind = _resolved(kind, token, text, position)
            if kind == "comment":
                if token == "{-":
                    closed = _comment_end(text, position, end)
                    if closed is None:
                        tokens.problem(position, position + 2, "the comment that starts here is never closed")
                    tokens.comments.append(tokens.place(position, closed or end))
                    return closed or end
                tokens.comments.append(
                    Place(line, position - line_starts[line] + 1, position, position + len(token))
                )
                position += len(token)
                newlines = token.count("\n")
                if newlines:
                    line += newlines
                    first = True
                continue
            if kind == "unclosed":
                kind = "str"
                tokens.problem(position, position + len(token), "the text that starts here is never closed")
        kinds.append(kind)
        texts.append(token)
        starts.append(position)
        lines.append(line)
        if first:
            if kind == "hole":
                kinds[-1] = "elided"
            indents.append(columns.at(code_starts[line], position))
            first = False
        else:
            indents.append(0)
        position += len(token)
        if kind == "str":
            line += token.count("\n")
    trailing = text[position:end]
    if trailing and not trailing.isspace():
        _odd(tokens, trailing, position)
    return end


def _resolved(kind: str, token: str, text: str, position: int) -> str:
    """The kind of a token whose first character leaves it open, "comment" and "unclosed" (a text) among them."""
    if kind == "con?":
        if "." not in token:
            return "con"
        last = token[token.rindex(".") + 1 :][:1] if token[-1] not in _SYMBOL_SET else ""
        return "op" if not last else "con" if "A" <= last <= "Z" else "var"
    if kind == "str?":
        body = token[:-1]
        escaped = (len(body) - len(body.rstrip("\\"))) % 2
        return "str" if len(token) > 1 and token[-1] == '"' and not escaped else "unclosed"
    before = text[position - 1] if position else " "
    if kind == "@?":
        if token != "@":
            return "op"
        after = text[position + 1 : position + 2]
        glued = before.isalnum() or before in "_')]}"
        return "@" if glued or not after.strip() else "@T"
    if kind == ".?":
        if not (token[1:2].isalpha() or token[1:2] == "_"):
            return "op"
        return "(.f" if before == "(" else ".f"
    if kind == "{?":
        return "comment"
    dashes = token.lstrip("-")
    return "op" if len(token) - len(dashes) < 2 or dashes[:1] in _SYMBOL_SET else "comment"


def _odd(tokens: Tokens, gap: str, position: int) -> None:
    """Notes what is neither white space nor part of a token."""
    for index, character in enumerate(gap):
        if character.isspace() or character in _BLANK:
            continue
        if character in _QUOTES:
            message = f"typographic quote {character!r}: DAML needs straight quotes"
        elif character == "'":
            message = "unexpected quote: a character literal holds one character, texts need double quotes"
        else:
            message = f"unexpected character {character!r}"
        tokens.problem(position + index, position + index + 1, message)
        if len(tokens.problems) >= MAX_PROBLEMS:
            return


def _comment_end(text: str, position: int, end: int) -> int | None:
    depth = 0
    for mark in _NESTED.finditer(text, position, end):
        depth += 1 if mark.group() == "{-" else -1
        if depth == 0:
            return mark.end()
    return None
