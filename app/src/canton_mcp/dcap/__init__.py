"""DCAP telemetry: the messages of a server and their sender, a reader of everybody's messages, a listener."""

from canton_mcp.dcap.discover import Announcer
from canton_mcp.dcap.emitter import Emitter
from canton_mcp.dcap.listener import listen
from canton_mcp.dcap.message import Connector, Offer
from canton_mcp.dcap.reading import Message, Rejected, read

__all__ = ["Announcer", "Connector", "Emitter", "Message", "Offer", "Rejected", "listen", "read"]
