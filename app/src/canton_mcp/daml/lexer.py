"""DAML source text to tokens (Daml lexical rules: Haskell's, with its own keywords and dots).

Places are offsets into the text as it was sent: nothing is cut out or moved, Markdown fences and preprocessor
lines are stepped over.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate

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
    rf"""(\s*+)
    (   [a-z_][\w']*+
      | [(),:=\[\]](?![{_SYMBOLS}])
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
      | [^\W\dA-Z][\w']*+
      | .
      | \Z
    )""",
    re.X | re.S,
)
"""White space and the token after it, which may be a character that belongs to none. The frequent ones come first;
something fits at every place, so that no text takes more than linear time."""
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
    **{"'": "chr?", '"': "str?", "-": "-?", ".": ".?", "@": "@?", "{": "comment"},
}
_GUESSES = frozenset({"con?", "str?", "chr?", "-?", ".?", "@?"})
"""What a first character leaves open, and the rest of the token tells."""
_UNCLEAR = frozenset({"str", "unclosed", "comment", "odd", "hole", ".?", "@?"})
"""Kinds that hang on the place of the token, or that change the line."""
_NARROW = frozenset({"", " "})
"""Gaps in which nothing is to be seen."""
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


class _Kinds(dict[str, str]):
    """Kinds by the text of a token, worked out once for each text; those of `_UNCLEAR` hang on more than that."""

    def __missing__(self, token: str) -> str:
        head = token[0]
        kind = _HEADS.get(head) or ("var" if head.isalpha() else "op" if head.isalnum() else "odd")
        if kind in _GUESSES:
            kind = _resolved(kind, token)
        self[token] = kind
        return kind


def _scan(tokens: Tokens, columns: Columns, start: int, end: int) -> int:
    """Reads tokens from `start`; returns where it stopped: `end`, or behind a comment that nests very deeply."""
    text, lines, indents = tokens.text, tokens.lines, tokens.indents
    line_starts, code_starts = tokens.line_starts, tokens.code_starts
    tabs = "\t" in text
    line = bisect_right(line_starts, start, 1) - 1
    first = not lines or lines[-1] != line
    pieces = _TOKEN.split(text if end - start == len(text) else text[start:end])
    gaps, texts = pieces[1::3], pieces[2::3]
    while texts and not texts[-1]:  # the end of the text
        texts.pop()
    starts = list(accumulate(map(len, pieces), initial=start))[2::3]
    kinds = list(map(_Kinds(_RESERVED).__getitem__, texts))
    # Most tokens follow another one on a line and are what they look like: those are taken over in runs. `at` is
    # the first one that has no line yet, `kept` the first one that is not among the tokens yet.
    count = len(texts)
    at = kept = 0
    stops = [
        index
        for index, (gap, kind) in enumerate(zip(gaps, kinds, strict=False))
        if gap not in _NARROW or kind in _UNCLEAR
    ]
    for index in (*stops, count):
        if index > at:
            lines += [line] * (index - at)
            indents += [0] * (index - at)
            if first:
                start = starts[at]
                column = columns.at(code_starts[line], start) if tabs else start - code_starts[line] + 1
                indents[at - index] = column
                first = False
            at = index
        if index == count:
            break
        gap, kind, token, position = gaps[index], kinds[index], texts[index], starts[index]
        if gap not in _NARROW:
            newlines = gap.count("\n")
            if newlines:
                line += newlines
                first = True
        if kind == "odd":
            _keep(tokens, kinds, texts, starts, kept, index)
            at = kept = index + 1
            _odd(tokens, token, position)
        elif kind == "comment":
            _keep(tokens, kinds, texts, starts, kept, index)
            at = kept = index + 1
            if token == "{-":
                closed = _comment_end(text, position, end)
                if closed is None:
                    tokens.problem(position, position + 2, "the comment that starts here is never closed")
                tokens.comments.append(tokens.place(position, closed or end))
                return closed or end
            tokens.comments.append(
                Place(line, position - line_starts[line] + 1, position, position + len(token))
            )
            newlines = token.count("\n")
            if newlines:
                line += newlines
                first = True
        elif kind in _UNCLEAR:
            if kind == "unclosed":
                tokens.problem(position, position + len(token), "the text that starts here is never closed")
            if kind == "hole":
                kinds[index] = "elided" if first else "hole"
            else:
                kinds[index] = _placed(kind, text, position)
            if "\n" in token:  # a text in several lines is of its first one
                lines.append(line)
                indents.append(columns.at(code_starts[line], position) if first else 0)
                first = False
                line += token.count("\n")
                at = index + 1
    _keep(tokens, kinds, texts, starts, kept, count)
    return end


def _keep(
    tokens: Tokens, kinds: list[str], texts: list[str], starts: list[int], first: int, last: int
) -> None:
    """Takes the tokens from `first` up to `last` over."""
    tokens.kinds += kinds[first:last]
    tokens.texts += texts[first:last]
    tokens.starts += starts[first:last]


def _resolved(kind: str, token: str) -> str:
    """The kind of a token whose first character leaves it open, among them those that hang on its place."""
    if kind == "con?":
        if "." not in token:
            return "con"
        last = token[token.rindex(".") + 1 :][:1] if token[-1] not in _SYMBOL_SET else ""
        return "op" if not last else "con" if "A" <= last <= "Z" else "var"
    if kind == "chr?":
        return "chr" if len(token) > 1 else "odd"
    if kind == "str?":
        body = token[:-1]
        escaped = (len(body) - len(body.rstrip("\\"))) % 2
        return "str" if len(token) > 1 and token[-1] == '"' and not escaped else "unclosed"
    if kind == "@?":
        return "@?" if token == "@" else "op"
    if kind == ".?":
        return ".?" if token[1:2].isalpha() or token[1:2] == "_" else "op"
    dashes = token.lstrip("-")
    return "op" if len(token) - len(dashes) < 2 or dashes[:1] in _SYMBOL_SET else "comment"


def _placed(kind: str, text: str, position: int) -> str:
    """The kind of a token that hangs on what stands around it."""
    if kind == "@?":
        before, after = text[position - 1 : position], text[position + 1 : position + 2]
        glued = before.isalnum() or (before != "" and before in "_')]}")
        return "@" if glued or not after.strip() else "@T"
    if kind == ".?":
        return "(.f" if text[position - 1 : position] == "(" else ".f"
    return "str"


def _odd(tokens: Tokens, character: str, position: int) -> None:
    """Notes a character that is neither white space nor part of a token."""
    if character in _BLANK:
        return
    if character in _QUOTES:
        message = f"typographic quote {character!r}: DAML needs straight quotes"
    elif character == "'":
        message = "unexpected quote: a character literal holds one character, texts need double quotes"
    else:
        message = f"unexpected character {character!r}"
    tokens.problem(position, position + 1, message)


def _comment_end(text: str, position: int, end: int) -> int | None:
    depth = 0
    for mark in _NESTED.finditer(text, position, end):
        depth += 1 if mark.group() == "{-" else -1
        if depth == 0:
            return mark.end()
    return None
