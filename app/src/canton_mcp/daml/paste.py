"""What surrounds pasted code on its lines: diff marks, line numbers, quote marks, escapes of a web page.

All of it becomes blanks of equal length, so that every offset stays that of the text as it was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

__all__ = ["unescaped", "unwrapped"]

_MARK = r"(?:[+>]|-(?!-)|--- [^ ]|[ \t]*\d|[ \t]+>)"
_FIRST_MARKED, _MARKED = re.compile(_MARK), re.compile(rf"\n{_MARK}")
"""A line that a paste may have marked; behind a line break, which is found faster than the start of a line."""
_QUOTED = re.compile(r"[ \t]*>(?: ?>)*")
_NUMBERED = re.compile(r"[ \t]*(\d{1,6})(?:[ \t]*[|\u2502]|[:.)](?=[ \t]|$)|:(?=\D)|(?=[ \t]|$))")
_GUTTER = re.compile(r"[ \t]*[|\u2502][ \t^~\-]*$")
_DIFF_HEAD = re.compile(
    r"(?:diff --git |index [0-9a-f]+\.\.|--- [^ ]|\+\+\+ [^ ]|@@ |(?:new|deleted) file mode |similarity |rename |\\ No newline)"
)
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|apos|nbsp|#0?39|#x27|#34|#60|#62);")
_ENTITIES = {
    **{"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'", "nbsp": " "},
    **{"#39": "'", "#039": "'", "#x27": "'", "#34": '"', "#60": "<", "#62": ">"},
}
_ESCAPED = re.compile(rf"(?:[!#$%&*+./<=>?@\\^|~:-]*{_ENTITY.pattern})+[!#$%*+./<=>?@\\^|~:-]*")

Line = tuple[int, int]


def unwrapped(text: str, regions: Iterable[tuple[int, int]]) -> tuple[str, dict[int, int]]:
    """The text, blank where the lines of its regions hold no code, and where code begins on them, by line start."""
    blanks: list[Line] = []
    margins: dict[int, int] = {}
    for start, end in regions:
        first = start == 0 and _FIRST_MARKED.match(text, 0, end)
        if not first and not _MARKED.search(text, max(start - 1, 0), end):
            continue
        lines = list(_lines(text, start, end))
        found = _quoted(text, lines) or _numbered(text, lines) or _changed(text, lines)
        if found is not None:
            blanks += found[0]
            margins |= found[1]
    return (_blanked(text, blanks) if blanks else text), margins


def unescaped(text: str) -> str:
    """``&lt;-`` as ``<-`` and blanks; each operator begins where it was."""
    if ";" not in text or "&" not in text or not _ENTITY.search(text):
        return text

    def plain(match: re.Match[str]) -> str:
        decoded = _ENTITY.sub(lambda entity: _ENTITIES[entity.group()[1:-1]], match.group())
        return decoded.ljust(len(match.group()))

    return _ESCAPED.sub(plain, text)


def _lines(text: str, start: int, end: int) -> Iterator[Line]:
    """Start and end of the lines that are not blank."""
    while start < end:
        stop = text.find("\n", start, end)
        stop = end if stop < 0 else stop
        if text[start:stop].strip():
            yield start, stop
        start = stop + 1


def _quoted(text: str, lines: list[Line]) -> tuple[list[Line], dict[int, int]] | None:
    """Every line starts with ``>``, as in a quoted mail."""
    blanks: list[Line] = []
    for start, stop in lines:
        match = _QUOTED.match(text, start, stop)
        if match is None:
            return None
        blanks.append((start, match.end()))
    return (blanks, dict(blanks)) if len(blanks) > 1 else None


def _numbered(text: str, lines: list[Line]) -> tuple[list[Line], dict[int, int]] | None:
    """Every line starts with its number, and the numbers grow."""
    blanks: list[Line] = []
    margins: dict[int, int] = {}
    last = -1
    for start, stop in lines:
        match = _NUMBERED.match(text, start, stop)
        if match is None:
            if not margins or not _GUTTER.match(text, start, stop):
                return None
            blanks.append((start, stop))
            continue
        if int(match.group(1)) <= last:
            return None
        last = int(match.group(1))
        blanks.append((start, match.end()))
        margins[start] = match.end()
    return (blanks, margins) if len(margins) > 1 else None


def _changed(text: str, lines: list[Line]) -> tuple[list[Line], dict[int, int]] | None:
    """Lines of a diff: those taken away are blank; in an excerpt only the changed ones may be marked."""
    heads = [line for line in lines if _DIFF_HEAD.match(text, *line)]
    known = set(heads)
    marked = [
        line
        for line in lines
        if line not in known and text[line[0]] in "+-" and not text.startswith("--", line[0])
    ]
    added = [line for line in marked if text[line[0]] == "+"]
    if not marked or not (added or heads or len(marked) > 1):
        return None
    if any(not re.match(r"[+-](?:[ \t]|[A-Za-z]|--|\{-|$)", text[start:stop]) for start, stop in marked):
        return None
    plain = [line for line in lines if line not in known and text[line[0]] not in "+-"]
    whole = all(text[start] in " \t" for start, _ in plain)  # a whole diff marks its context with a blank
    if not whole and not any(not text[start].isspace() for start, _ in plain):
        return None
    if whole and not heads and not added:
        return None
    # In a whole diff a line that starts with '--' has lost a '-' as well.
    removed = [line for line in (lines if whole else marked) if text[line[0]] == "-" and line not in known]
    blanks = [*heads, *removed, *((start, start + 1) for start, _ in added)]
    margins: dict[int, int] = {}
    if not whole:
        # The mark was put before the line, or took the place of a blank: the columns of the other lines tell.
        columns = {_indent(text, start, stop) for start, stop in plain}
        for start, stop in added:
            indent = _indent(text, start + 1, stop)
            if indent + 1 not in columns and indent in columns:
                margins[start] = start + 1
    return blanks, margins


def _indent(text: str, start: int, stop: int) -> int:
    line = text[start:stop]
    return len(line) - len(line.lstrip())


def _blanked(text: str, blanks: list[Line]) -> str:
    pieces: list[str] = []
    at = 0
    for start, stop in sorted(blanks):
        pieces += (text[at:start], " " * (stop - start))
        at = stop
    return "".join((*pieces, text[at:]))
