"""What the protocol needs to know about the things it serves, and nothing more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import mcp_types

from canton_mcp.protocol.call import Call

__all__ = [
    "Completer",
    "Features",
    "InvalidArguments",
    "PromptSet",
    "ResourceSet",
    "ToolSet",
    "UnknownPrompt",
    "UnknownResource",
    "UnknownTool",
]


class UnknownTool(LookupError):
    """No tool has the called name."""


class UnknownResource(LookupError):
    """No resource has the URI."""


class UnknownPrompt(LookupError):
    """No prompt has the name."""


class InvalidArguments(ValueError):
    """The arguments do not fit; the text tells a model what to change."""


class ToolSet(Protocol):
    """The tools of a server (MCP "Tools")."""

    def list_tools(self) -> Sequence[mcp_types.Tool]:
        """All tools, in a stable order."""
        ...

    def call_tool(self, name: str, arguments: dict[str, Any], call: Call) -> mcp_types.CallToolResult:
        """Run one tool.

        Raises:
            UnknownTool: no tool has this name.
            InvalidArguments: `arguments` do not fit.
            Exception: what `call` raises passes through; anything else is the tool's own failure, whose text
                stays inside.
        """
        ...

    def refused(self, name: str, call: Call) -> None:
        """A call of `name` was refused since its arguments are no object; there may be no such tool."""
        ...


class ResourceSet(Protocol):
    """The resources of a server (MCP "Resources")."""

    def list_resources(self) -> Sequence[mcp_types.Resource]:
        """All resources that can be listed, in a stable order."""
        ...

    def list_templates(self) -> Sequence[mcp_types.ResourceTemplate]:
        """All templates of resource addresses, in a stable order."""
        ...

    def read_resource(
        self, uri: str, call: Call
    ) -> Sequence[mcp_types.TextResourceContents | mcp_types.BlobResourceContents]:
        """The contents of one resource.

        Raises:
            UnknownResource: there is none with this address.
        """
        ...


class PromptSet(Protocol):
    """The prompts of a server (MCP "Prompts")."""

    def list_prompts(self) -> Sequence[mcp_types.Prompt]:
        """All prompts, in a stable order."""
        ...

    def get_prompt(self, name: str, arguments: dict[str, str], call: Call) -> mcp_types.GetPromptResult:
        """One prompt with its arguments filled in.

        Raises:
            UnknownPrompt: no prompt has this name.
            InvalidArguments: an argument is missing or does not fit.
        """
        ...


class Completer(Protocol):
    """Proposes values for arguments of prompts and of resource templates (MCP "Completion")."""

    def complete(
        self,
        ref: mcp_types.PromptReference | mcp_types.ResourceTemplateReference,
        argument: str,
        value: str,
        context: Mapping[str, str],
    ) -> Sequence[str]:
        """All values that may follow `value`, best first; `context` holds arguments that are known already.

        Raises:
            UnknownPrompt: `ref` names no prompt.
            UnknownResource: `ref` names no template.
        """
        ...


@dataclass(frozen=True)
class Features:
    """All that a server offers. A capability is declared when, and only when, its part is here."""

    tools: ToolSet | None = None
    resources: ResourceSet | None = None
    prompts: PromptSet | None = None
    completer: Completer | None = None
    logging: bool = False
    """Handlers send log messages."""
    asks: tuple[str, ...] = ()
    """What handlers ask the client, by method. A legacy client that answers one of these gets a session."""
    list_changes: bool = False
    """Somebody calls `Dispatcher.publish` whenever a list changes."""
    subscribable: bool = False
    """Somebody calls `Dispatcher.publish` whenever a resource changes."""
