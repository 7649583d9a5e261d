"""The tools this server offers. A new tool is one module here and one entry in `TOOLS`."""

from canton_mcp.tools.base import Tool
from canton_mcp.tools.debug_authorization import TOOL as DEBUG_AUTHORIZATION_FAILURE
from canton_mcp.tools.suggest_pattern import TOOL as SUGGEST_AUTHORIZATION_PATTERN
from canton_mcp.tools.validate_daml import TOOL as VALIDATE_DAML_BUSINESS_LOGIC

TOOLS: tuple[Tool, ...] = (
    VALIDATE_DAML_BUSINESS_LOGIC,
    DEBUG_AUTHORIZATION_FAILURE,
    SUGGEST_AUTHORIZATION_PATTERN,
)

__all__ = ["TOOLS", "Tool"]
