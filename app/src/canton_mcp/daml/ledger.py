"""Which ledger actions a choice takes, which authority each needs, and whether it is there.

The rules: inside a choice the available authority is that of the contract's signatories and of the choice's
controllers, or that of its `authority` clause; what was available outside does not flow in. A create needs the
new contract's signatories, an exercise the choice's controllers, an archive the signatories, a fetch one
stakeholder, a lookup by key all maintainers. Parties are compared by access path and by what the text has
tested before; what cannot be compared is unknown, never fine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from canton_mcp.daml import tree
from canton_mcp.daml.actions import (
    Action,
    ActionKind,
    Analysis,
    Call,
    Entry,
    Gap,
    Party,
    Status,
    TemplateParties,
    Test,
    Verdict,
)
from canton_mcp.daml.pause import LONG, uncollected
from canton_mcp.daml.plans import plans
from canton_mcp.daml.scope import Owner, Scope, scopes
from canton_mcp.daml.values import Budget
from canton_mcp.daml.walk import Walk

__all__ = [
    "Action",
    "ActionKind",
    "Analysis",
    "Call",
    "Entry",
    "Gap",
    "Party",
    "Status",
    "TemplateParties",
    "Test",
    "Verdict",
    "analyse",
]

MAX_ENTRIES = 5000
_STEPS_PER_TOKEN = 30
_MIN_STEPS = 20_000
_MAX_STEPS = 3_000_000
_ENTRY_STEPS = 30_000
_SCRIPT_STEPS = 60_000
_SWEEP = 8
"""After so many walks the cycles that they leave behind are collected: few, so that they are still in the cache."""


def analyse(module: tree.Module, others: Iterable[tree.Module] = ()) -> Analysis:
    """The actions of every choice of the module; `others` are modules that it imports."""
    every = scopes([module, *others])
    own = every[0]
    allowed = min(_MAX_STEPS, _MIN_STEPS + _STEPS_PER_TOKEN * module.tokens)
    budget = Budget(allowed)
    entries: list[Entry] = []
    scripts: list[Entry] = []
    reached: set[int] = set()
    incomplete = ""
    with uncollected(module.tokens > LONG) as sweep:
        for number, plan in enumerate(plans(own, every)):
            if number % _SWEEP == 0:
                sweep()
            if budget.steps <= 0 or len(entries) + len(scripts) >= MAX_ENTRIES:
                incomplete = "the text is larger than what is analysed at once: paste fewer templates"
                break
            part = Budget(min(_SCRIPT_STEPS if plan.kind == "script" else _ENTRY_STEPS, budget.steps))
            before = part.steps
            found = Walk(every, part, reached).entry(plan)
            budget.steps -= before - max(part.steps, 0)
            if found is not None:
                (scripts if found.kind == "script" else entries).append(found)
        templates = tuple(
            _template_parties(Owner(template, own), every, budget)
            for template in module.templates[:MAX_ENTRIES]
        )
    return Analysis(templates, tuple(entries), tuple(scripts), incomplete, allowed - budget.steps)


def _template_parties(owner: Owner, every: Sequence[Scope], budget: Budget) -> TemplateParties:
    """The parties of a template, and whether its maintainers sign."""
    template = owner.template
    assert template is not None
    part = Budget(min(_ENTRY_STEPS, max(budget.steps, 1000)))
    walk = Walk(every, part, set())
    return walk.template_parties(owner, template)
