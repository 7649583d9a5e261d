"""The Flask application: the MCP endpoint and what operators and balancers ask for."""

from canton_mcp.web.app import create_app

__all__ = ["create_app"]
