"""DCAP telemetry: the message a server sends after each tool call, its sender, and a listener."""

from canton_mcp.dcap.emitter import Emitter
from canton_mcp.dcap.listener import listen

__all__ = ["Emitter", "listen"]
