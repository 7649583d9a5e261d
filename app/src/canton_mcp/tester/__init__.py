"""A caller that spreads tool calls over several servers and reports what came back."""

from canton_mcp.tester.runner import run

__all__ = ["run"]
