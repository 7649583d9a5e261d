"""What the protocol needs to know about tools, and nothing more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import mcp_types

__all__ = ["Call", "InvalidArguments", "ToolOutcome", "ToolSet", "UnknownTool"]


class UnknownTool(LookupError):
    """No tool has the called name."""


class InvalidArguments(ValueError):
    """The arguments do not fit the tool's input schema; the text tells a model what to change."""


@dataclass(frozen=True)
class Call:
    """Who calls, as far as the request tells: for statistics and logs, never for decisions."""

    headers: Mapping[str, str]
    """HTTP headers, names in lower case."""
    client_name: str | None = None
    """``clientInfo.name`` where the era sends it with every request."""


@dataclass(frozen=True)
class ToolOutcome:
    """What a tool has to say: readable text, and an object for the tool's output schema."""

    text: str
    structured: dict[str, Any] | None = None
    is_error: bool = False


class ToolSet(Protocol):
    """The tools of a server."""

    def list_tools(self) -> Sequence[mcp_types.Tool]:
        """All tools; the same answer for as long as the server runs."""
        ...

    def call_tool(self, name: str, arguments: dict[str, Any], call: Call) -> ToolOutcome:
        """Run one tool.

        Raises:
            UnknownTool: no tool has this name.
            InvalidArguments: `arguments` do not fit.
            Exception: anything else is the tool's own failure; its text stays inside.
        """
        ...
