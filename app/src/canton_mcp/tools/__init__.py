"""The tools this server offers. A new tool is one module here and one entry in `TOOLS`."""

from canton_mcp.tools.base import Tool
from canton_mcp.tools.canonical_overview import TOOL as GET_CANONICAL_RESOURCE_OVERVIEW
from canton_mcp.tools.debug_authorization import TOOL as DEBUG_AUTHORIZATION_FAILURE
from canton_mcp.tools.recommend_resources import TOOL as RECOMMEND_CANONICAL_RESOURCES
from canton_mcp.tools.suggest_pattern import TOOL as SUGGEST_AUTHORIZATION_PATTERN
from canton_mcp.tools.validate_daml import TOOL as VALIDATE_DAML_BUSINESS_LOGIC

TOOLS: tuple[Tool, ...] = (
    VALIDATE_DAML_BUSINESS_LOGIC,
    DEBUG_AUTHORIZATION_FAILURE,
    SUGGEST_AUTHORIZATION_PATTERN,
    GET_CANONICAL_RESOURCE_OVERVIEW,
    RECOMMEND_CANONICAL_RESOURCES,
)

__all__ = ["TOOLS", "Tool"]
