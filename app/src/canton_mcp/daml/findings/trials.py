"""Rules over the scripts that come with the code: what they do not try."""

from __future__ import annotations

from collections.abc import Iterator

from canton_mcp.daml import tree
from canton_mcp.daml.findings.model import Finding
from canton_mcp.daml.findings.view import Code, finding, listed, name_of, walk

__all__ = ["trials"]

_REFUSED = frozenset(
    {"submitMustFail", "submitMultiMustFail", "trySubmit", "trySubmitMulti", "submitWithError"}
)
_MULTI = frozenset({"submitMulti", "submitMultiMustFail", "trySubmitMulti"})
_SINGLE = frozenset({"submit", "submitMustFail", "trySubmit"})


def trials(code: Code) -> Iterator[Finding]:
    """Findings about the tests of this text, at the first of them."""
    scripts = code.analysis.scripts
    if not scripts:
        return
    together, alone, refused = _submissions(code.module)
    place = scripts[0].place
    if together >= 2 and not alone:
        yield finding(
            "tests-act-as-everybody",
            place,
            None,
            None,
            f"all {together} submissions act as several parties at once, so a missing authority cannot show",
            "submit each step as the one party that takes it in production",
            paste="submit alice do …",
        )
    if refused:
        return
    moving = sorted(
        {
            f"{owned.template.name}.{action.choice}"
            for owned in code.templates
            if owned.amounts
            for script in scripts
            for action in script.actions
            if action.template == owned.template.name and action.choice and action.kind.startswith("exercise")
        }
    )
    if moving:
        yield finding(
            "no-negative-test",
            place,
            None,
            None,
            f"no test tries what must fail: {listed(moving[:3])} {'is' if len(moving) == 1 else 'are'} only tried by those "
            "who may",
            "add a submission by the wrong party, and one with a wrong amount",
            paste=f"submitMustFail mallory do exerciseCmd cid {moving[0].partition('.')[2]}",
        )


def _submissions(module: tree.Module) -> tuple[int, int, int]:
    """How many submissions act as several parties, as one, and how many are expected to fail."""
    together = alone = refused = 0
    for function in module.functions:
        for equation in function.equations:
            for node in walk(equation.value):
                if isinstance(node, tree.Name):
                    refused += node.name in _REFUSED
                if not isinstance(node, tree.Application):
                    continue
                called = name_of(node.function)
                first = node.arguments[0] if node.arguments else None
                if called in _MULTI:
                    if isinstance(first, tree.ListOf) and len(first.items) == 1:
                        alone += 1
                    else:
                        together += 1
                elif called in _SINGLE:
                    if first is not None and _acting(first) > 1:
                        together += 1
                    else:
                        alone += 1
    return together, alone, refused


def _acting(expression: tree.Expression) -> int:
    """How many parties ``actAs a <> actAs b`` and ``actAs [a, b]`` name."""
    found = 0
    for node in walk(expression):
        if isinstance(node, tree.Application) and name_of(node.function) == "actAs":
            argument = node.arguments[0] if node.arguments else None
            found += len(argument.items) if isinstance(argument, tree.ListOf) else 1
    return found
