"""The Model Context Protocol over HTTP exchanges, without a web framework and without knowing any tool.

`Dispatcher.handle` takes the parts of an HTTP request and returns the parts of its answer. What it serves
reaches it as `Features`; what a running request may tell or ask its client is a `Call`.
"""

from canton_mcp.protocol.call import Call, Cancelled, CannotAsk, InputRequired, MissingCapability
from canton_mcp.protocol.dispatch import Dispatcher, Reply
from canton_mcp.protocol.eras import SERVED_VERSIONS
from canton_mcp.protocol.features import (
    Completer,
    Features,
    InvalidArguments,
    PromptSet,
    ResourceSet,
    ToolSet,
    UnknownPrompt,
    UnknownResource,
    UnknownTool,
)
from canton_mcp.protocol.jsonrpc import MAX_BODY_BYTES
from canton_mcp.protocol.problems import explain
from canton_mcp.protocol.seals import Seals

__all__ = [
    "MAX_BODY_BYTES",
    "SERVED_VERSIONS",
    "Call",
    "Cancelled",
    "CannotAsk",
    "Completer",
    "Dispatcher",
    "Features",
    "InputRequired",
    "InvalidArguments",
    "MissingCapability",
    "PromptSet",
    "Reply",
    "ResourceSet",
    "Seals",
    "ToolSet",
    "UnknownPrompt",
    "UnknownResource",
    "UnknownTool",
    "explain",
]
