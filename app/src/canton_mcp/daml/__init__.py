"""Reading DAML without a compiler: outline, authority, findings, error texts, patterns."""

from canton_mcp.daml.authority import MAX_ACTIONS, Action, Atom, analyse
from canton_mcp.daml.errors import Diagnosis, classify
from canton_mcp.daml.errors import Kind as ErrorKind
from canton_mcp.daml.findings import Actions, Finding, findings
from canton_mcp.daml.intent import Requirement, requirements
from canton_mcp.daml.patterns import PATTERNS, Pattern
from canton_mcp.daml.syntax import Choice, Outline, Template, read
from canton_mcp.daml.tokens import Problem

__all__ = [
    "MAX_ACTIONS",
    "PATTERNS",
    "Action",
    "Actions",
    "Atom",
    "Choice",
    "Diagnosis",
    "ErrorKind",
    "Finding",
    "Outline",
    "Pattern",
    "Problem",
    "Requirement",
    "Template",
    "analyse",
    "classify",
    "findings",
    "read",
    "requirements",
]
