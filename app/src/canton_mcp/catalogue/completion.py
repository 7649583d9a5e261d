"""Values that complete what a user has begun to type."""

from __future__ import annotations

from collections.abc import Iterable

from canton_mcp.catalogue.documents import LEVELS, SHELVES
from canton_mcp.catalogue.prompts import PROMPTS


def of_template(uri_template: str, variable: str, begun: str) -> tuple[str, ...]:
    """Ids of documents that begin so.

    Raises:
        LookupError: there is no such template.
    """
    shelf = next((shelf for shelf in SHELVES if shelf.uri_template == uri_template), None)
    if shelf is None:
        raise LookupError(uri_template)
    return _beginning((entry.id for entry in shelf.documents), begun) if variable == shelf.variable else ()


def of_prompt(name: str, argument: str, begun: str) -> tuple[str, ...]:
    """Values of a prompt's argument that begin so; none for free text.

    Raises:
        LookupError: there is no such prompt.
    """
    prompt = next((prompt for prompt in PROMPTS if prompt.name == name), None)
    if prompt is None:
        raise LookupError(name)
    levels = any(entry.name == argument and entry.form == "level" for entry in prompt.arguments)
    return _beginning(LEVELS, begun) if levels else ()


def _beginning(values: Iterable[str], begun: str) -> tuple[str, ...]:
    start = begun.strip().lower()
    return tuple(value for value in values if value.startswith(start))
