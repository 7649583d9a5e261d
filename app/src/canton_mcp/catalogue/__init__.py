"""What this server knows, to read: patterns, rules and guides, prompts over them, and which of them fits."""

from canton_mcp.catalogue import completion
from canton_mcp.catalogue.documents import (
    DOCUMENTS,
    LEVELS,
    SHELVES,
    Category,
    Complexity,
    Document,
    Shelf,
    complexity,
    document,
    find,
)
from canton_mcp.catalogue.prompts import PROMPTS, Argument, Prompt
from canton_mcp.catalogue.recommend import USE_CASES, Recommendation, recommend
from canton_mcp.catalogue.rules import RULES, Rule

__all__ = [
    "DOCUMENTS",
    "LEVELS",
    "PROMPTS",
    "RULES",
    "SHELVES",
    "USE_CASES",
    "Argument",
    "Category",
    "Complexity",
    "Document",
    "Prompt",
    "Recommendation",
    "Rule",
    "Shelf",
    "completion",
    "complexity",
    "document",
    "find",
    "recommend",
]
