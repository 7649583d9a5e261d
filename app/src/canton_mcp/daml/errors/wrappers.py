"""Takes off what is wrapped around an error text: JSON bodies, escapes, colours, quote marks, broken lines."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, unquote_plus

from canton_mcp.daml.errors.kinds import GRPC

_MIN_WIDTH = 40
_MAX_JSON_NODES = 20_000
_MAX_JSON_FAILURES = 200
_MAX_LAYERS = 4
_FINGERPRINT = 68  # "1220" and 64 hex digits
_PACKAGE_ID = 64
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]")
_ENTITY = {"&quot;": '"', "&#39;": "'", "&apos;": "'", "&lt;": "<", "&gt;": ">", "&amp;": "&"}
_ENTITIES = re.compile("|".join(_ENTITY))
# A quote mark, a table edge, or the name of a container before every line.
_MARGIN = re.compile(
    r"^[ \t]{0,20}(?:(?:>[ \t]?){1,5}|\|[ \t]?(?=[ \t]*\S))|^[A-Za-z][\w.-]{0,60}[ \t]{1,20}\|[ \t]",
    re.MULTILINE,
)
# Brackets, commas and colons that a URL or a form holds.
_PERCENT = re.compile(r"%28\d|%2C|%3A", re.IGNORECASE)
_TAG = re.compile(
    r"<(/?)(br|p|div|li|ul|ol|tr|td|pre|code|span|b|i|em|strong|blockquote|a)\b[^<>\n]{0,200}>", re.IGNORECASE
)
_LINES_APART = ("br", "p", "div", "li", "tr", "pre", "blockquote")
_NUMBERED = re.compile(r"^[ \t]{0,8}(\d{1,6})[:|][ \t]", re.MULTILINE)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([\"'\\/nrt]))")
_ESCAPED = {"n": "\n", "r": "\n", "t": "\t"}
_BROKEN_PARTY = re.compile(r"(::[0-9a-f]{1,67})[ \t]{0,20}\n[ \t]{0,40}([0-9a-f]{1,67})(?![0-9a-z])")
_BROKEN_PACKAGE = re.compile(
    r"(?<![0-9a-zA-Z:])([0-9a-f]{8,63})[ \t]{0,20}\n[ \t]{0,40}([0-9a-f]{1,63})(?=:)"
)
_JSON_START = re.compile(r"\{\s{0,50}\"")
_CODE_WORD = re.compile(r"[A-Z][A-Z0-9_]{5,60}")


def without_wrappers(text: str) -> str:
    """The text with JSON bodies as lines, without escapes, colours and margins."""
    if "\x1b" in text:
        text = _COLOUR.sub("", text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "&" in text:
        text = _ENTITIES.sub(lambda found: _ENTITY[found[0]], text)
    if _PERCENT.search(text):
        text = unquote(text) if " " in text else unquote_plus(text)
    if "<" in text:
        text = _TAG.sub(lambda tag: "\n" if tag[2].lower() in _LINES_APART else "", text)
    for _ in range(_MAX_LAYERS):
        before = text
        text = _json_as_lines(text)
        if "\\" in text:
            text = _ESCAPE.sub(_unescaped, text)
        if text == before:
            break
    return _without_line_numbers(_MARGIN.sub("", text))


def _without_line_numbers(text: str) -> str:
    """The text without the numbers that an editor or a listing put before every line."""
    numbers = [int(found[1]) for found in _NUMBERED.finditer(text)]
    lines = sum(bool(line.strip()) for line in text.split("\n"))
    consecutive = all(one + 1 == other for one, other in itertools.pairwise(numbers))
    return _NUMBERED.sub("", text) if len(numbers) == lines > 1 and consecutive else text


def _unescaped(found: re.Match[str]) -> str:
    if found[1]:
        return chr(int(found[1], 16))
    return _ESCAPED.get(found[2], found[2])


def with_whole_ids(text: str) -> str:
    """The text with the ids that a line end broke in two."""
    for _ in range(_MAX_LAYERS):  # a narrow column breaks an id more than once
        before = text
        text = _BROKEN_PARTY.sub(_joined(_FINGERPRINT + 2), text)
        if text == before:
            break
    return _BROKEN_PACKAGE.sub(_joined(_PACKAGE_ID), text)


def _joined(limit: int) -> Callable[[re.Match[str]], str]:
    """Joins the two halves of an id that a line end broke, when together they are not longer than an id."""
    return lambda found: found[1] + found[2] if len(found[1]) + len(found[2]) <= limit else found[0]


def without_hard_wraps(text: str) -> str:
    """The text with lines of the greatest width joined to the next one, as a terminal had broken them."""
    lines = text.split("\n")
    width = max(map(len, lines))
    if width < _MIN_WIDTH or width == len(text):
        return text
    return "".join(line if len(line) == width else line + "\n" for line in lines)


def _json_as_lines(text: str) -> str:
    """Replaces each JSON object or array of objects by what it says, the error frame first."""
    decoder = json.JSONDecoder()
    parts: list[str] = []
    done = at = failures = 0
    # Every failure costs a look at the whole text before it.
    while failures < _MAX_JSON_FAILURES and (start := _JSON_START.search(text, at)):
        try:
            value, end = decoder.raw_decode(text, start.start())
        except json.JSONDecodeError as problem:
            failures += 1
            at = max(start.end(), problem.pos)  # never back: what was scanned is not scanned again
            continue
        except (RecursionError, ValueError):  # nested too deeply, or a number too long
            break
        parts += [text[done : start.start()], "\n", "\n".join(_json_lines(value)), "\n"]
        done = at = end
    return "".join([*parts, text[done:]]) if parts else text


def _json_lines(root: Any) -> Iterator[str]:
    pending: list[tuple[str, Any]] = [("", root)]
    for _ in range(_MAX_JSON_NODES):
        if not pending:
            return
        name, value = pending.pop()
        if isinstance(value, dict):
            frame, used = _json_frame(value)
            if frame:
                yield frame
            pending += [(key, item) for key, item in reversed(value.items()) if key not in used]
        elif isinstance(value, list):
            if len(value) == 2 and all(isinstance(item, str) for item in value):
                yield f"{_resource(value[0])}: {value[1]}"  # a resource, such as ["TEMPLATE_ID", "p:M:T"]
            elif name.lower() in ("actas", "readas") and all(isinstance(item, str) for item in value):
                yield f"{name}: {', '.join(value)}"
            else:
                pending += [(name, item) for item in reversed(value)]
        elif isinstance(value, (str, int)) and value != "":
            yield f"{name}: {value}" if name else str(value)


def _json_frame(value: dict[str, Any]) -> tuple[str, frozenset[str]]:
    """The error frame of an object that has a code, and the members it was made of."""
    code = next((value[key] for key in ("code", "errorCodeId", "errorCode") if key in value), None)
    text_key = next((key for key in ("cause", "message", "details") if isinstance(value.get(key), str)), None)
    text = value[text_key] if text_key else ""
    context = value.get("context") or value.get("metadata") or {}
    category = value.get("errorCategory")
    if isinstance(context, dict) and not isinstance(category, int):
        category = context.get("category")
    number = value.get("grpcCodeValue", code)
    grpc = f"{GRPC[number]}: " if isinstance(number, int) and number in GRPC else ""
    if isinstance(code, str) and _CODE_WORD.fullmatch(code):
        correlation = str(value.get("correlationId") or value.get("traceId") or 0)
        known = str(category) if str(category).isdigit() else "0"
        used = frozenset({"code", "errorCodeId", "errorCode", text_key or ""})
        return f"{grpc}{code}({known},{correlation}): {text}", used
    if grpc and text:
        return f"{grpc}{text}", frozenset({"code", text_key or ""})
    return "", frozenset()


def _resource(name: str) -> str:
    return name.removeprefix("ErrorResource(").removesuffix(")")
