"""The Model Context Protocol over HTTP exchanges, without a web framework and without knowing any tool.

`Dispatcher.handle` takes the parts of an HTTP request and returns the parts of its answer. Tools reach it
through the `ToolSet` interface.
"""

from canton_mcp.protocol.dispatch import Dispatcher, Reply
from canton_mcp.protocol.eras import SERVED_VERSIONS
from canton_mcp.protocol.jsonrpc import MAX_BODY_BYTES
from canton_mcp.protocol.problems import explain
from canton_mcp.protocol.toolset import Call, InvalidArguments, ToolOutcome, ToolSet, UnknownTool

__all__ = [
    "MAX_BODY_BYTES",
    "SERVED_VERSIONS",
    "Call",
    "Dispatcher",
    "InvalidArguments",
    "Reply",
    "ToolOutcome",
    "ToolSet",
    "UnknownTool",
    "explain",
]
