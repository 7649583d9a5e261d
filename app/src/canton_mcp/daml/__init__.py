"""Reading DAML without a compiler: source text, authority, findings, requirements, error texts, patterns."""

from canton_mcp.daml.actions import Action, Analysis, Entry, Gap, Party, TemplateParties, Verdict
from canton_mcp.daml.era import Era, era
from canton_mcp.daml.errors import Diagnosis, classify
from canton_mcp.daml.errors import Kind as ErrorKind
from canton_mcp.daml.findings import KINDS, Certainty, Finding, Severity, findings
from canton_mcp.daml.intent import Requirement, Shortfall, read_intent, requirements, shortfalls
from canton_mcp.daml.judged import Judged, judged
from canton_mcp.daml.ledger import analyse
from canton_mcp.daml.patterns import PATTERNS, Pattern
from canton_mcp.daml.reader import read
from canton_mcp.daml.tree import Choice, Clause, Expression, Field, Module, Problem, Template

__all__ = [
    "KINDS",
    "PATTERNS",
    "Action",
    "Analysis",
    "Certainty",
    "Choice",
    "Clause",
    "Diagnosis",
    "Entry",
    "Era",
    "ErrorKind",
    "Expression",
    "Field",
    "Finding",
    "Gap",
    "Judged",
    "Module",
    "Party",
    "Pattern",
    "Problem",
    "Requirement",
    "Severity",
    "Shortfall",
    "Template",
    "TemplateParties",
    "Verdict",
    "analyse",
    "classify",
    "era",
    "findings",
    "judged",
    "read",
    "read_intent",
    "requirements",
    "shortfalls",
]
