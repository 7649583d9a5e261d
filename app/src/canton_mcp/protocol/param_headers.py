"""Arguments of tools that travel in ``Mcp-Param-*`` headers as well (MCP 2026-07-28, "Streamable HTTP").

A tool marks a property of its input schema with ``x-mcp-header``; balancers may then route by its value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from canton_mcp.protocol.eras import agree, decoded, header

__all__ = ["ParamHeader", "check", "declared"]

MARK: Final = "x-mcp-header"
PREFIX: Final = "Mcp-Param-"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TYPES: Final = ("string", "integer", "boolean")
_MAX_INTEGER: Final = 2**53 - 1
_INTEGER: Final = re.compile(r"-?[0-9]{1,16}(\.0{1,16})?")


@dataclass(frozen=True)
class ParamHeader:
    """One property that is repeated in a header."""

    name: str
    """The header's name, as the schema writes it, with the prefix."""
    path: tuple[str, ...]
    """Names of properties from the root of the arguments."""
    type: str


def declared(schema: Mapping[str, Any]) -> tuple[ParamHeader, ...]:
    """The marked properties of an input schema.

    Raises:
        ValueError: a mark breaks the rules; clients would drop the whole tool.
    """
    found = tuple(_marked(schema, ()))
    if len(found) != _count_marks(schema):
        raise ValueError(f"{MARK} stands where clients do not look for it: outside nested properties")
    names = [entry.name.lower() for entry in found]
    if len(set(names)) != len(names):
        raise ValueError(f"two properties share a value of {MARK}")
    return found


def check(wanted: tuple[ParamHeader, ...], arguments: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    """Refuse a call whose headers and arguments disagree.

    Raises:
        RpcError: -32020.
    """
    for entry in wanted:
        sent = header(headers, entry.name.lower())
        expected = _written(_at(arguments, entry.path))
        if expected is None and sent is None:
            continue
        value = decoded(entry.name, sent)
        if entry.type == "integer" and value is not None and expected is not None:
            value, expected = _number(value), _number(expected)
        agree(entry.name, value, expected)


def _marked(schema: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[ParamHeader]:
    properties = schema.get("properties")
    for name, entry in properties.items() if isinstance(properties, dict) else ():
        if not isinstance(entry, dict):
            continue
        place = (*path, name)
        if MARK in entry:
            suffix, kind = entry[MARK], entry.get("type")
            if not isinstance(suffix, str) or not _TOKEN.fullmatch(suffix):
                raise ValueError(f"{'.'.join(place)}: {MARK} must be a token of RFC 9110")
            if kind not in _TYPES:
                raise ValueError(f"{'.'.join(place)}: {MARK} is for {', '.join(_TYPES)}")
            yield ParamHeader(PREFIX + suffix, place, kind)
        yield from _marked(entry, place)


def _count_marks(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_count_marks, value))
    if not isinstance(value, dict):
        return 0
    return (MARK in value) + sum(map(_count_marks, value.values()))


def _at(arguments: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        arguments = arguments.get(name) if isinstance(arguments, dict) else None
    return arguments


def _written(value: Any) -> str | None:
    """A value as its header has it; None for one that has no header."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_INTEGER:
        return str(int(value))
    return str(value)


def _number(text: str) -> str:
    """Integers compare by value: 42 is 42.0."""
    return str(int(text.partition(".")[0])) if _INTEGER.fullmatch(text) else text
