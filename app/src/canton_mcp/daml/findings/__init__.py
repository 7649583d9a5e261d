"""Rules over a module and its analysis: what is wrong, what is wrong unless, and what deserves a look."""

from __future__ import annotations

from canton_mcp.daml import tree
from canton_mcp.daml.actions import Analysis
from canton_mcp.daml.findings.authority import authority
from canton_mcp.daml.findings.contracts import contracts
from canton_mcp.daml.findings.declarations import declarations
from canton_mcp.daml.findings.model import KINDS, ORDER, Certainty, Finding, Severity
from canton_mcp.daml.findings.roles import roles
from canton_mcp.daml.findings.trials import trials
from canton_mcp.daml.findings.values import values
from canton_mcp.daml.findings.view import Code
from canton_mcp.daml.pause import LONG, uncollected

__all__ = ["KINDS", "Certainty", "Finding", "Severity", "findings"]

_THEMES = (declarations, authority, roles, contracts, values, trials)


def findings(module: tree.Module, analysis: Analysis) -> list[Finding]:
    """All findings, the gravest first, then by place."""
    with uncollected(module.tokens > LONG):
        code = Code(module, analysis)
        found = [one for theme in _THEMES for one in theme(code)]
    return sorted(
        dict.fromkeys(found),
        key=lambda one: (ORDER[one.severity], one.line, one.column, one.rule, one.message),
    )
