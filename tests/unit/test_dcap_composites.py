"""Composites: the four rules, the tolerance for Maybe, and what is only flagged."""

from __future__ import annotations

from typing import Any

import pytest
from canton_mcp.dcap.composites import COMPOSITE_FLAGS, MAX_CHAIN, Signature, Verdict, judge, signature_of
from canton_mcp.dcap.reading import Message

Steps = list[tuple[str, str, Any]]


def signature(takes: str, gives: str, cost: Any = 1) -> dict[str, Any]:
    return {"input": takes, "output": gives, "cost": cost}


def capability(steps: Steps, whole: tuple[str, str, Any] | None = None, **changes: Any) -> Message:
    chain = [
        {"tool_sid": "canton-mcp-1", "tool": f"t{index}", "signature": signature(*step), **changes}
        for index, step in enumerate(steps)
    ]
    total = whole or (steps[0][0], steps[-1][1], sum(step[2] for step in steps))
    return Message(
        "composite_capability", "agent-7f3a", {"chain": chain, "signature": signature(*total)}, (), True
    )


def receipt(outcomes: list[bool], **changes: Any) -> Message:
    steps = [
        {"tool_sid": "s", "tool": "t", "success": ok, "exec_ms": 1, "cost_paid": int(ok)} for ok in outcomes
    ]
    fields = {"success": all(outcomes), "exec_ms": 5, "cost_paid": sum(outcomes), "steps": steps, **changes}
    return Message("composite_receipt", "agent-7f3a", fields, (), True)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    "steps",
    [
        [("HTML", "Text", 1)],
        [("HTML", "Text", 1), ("Text", "Maybe<JSON>", 100_000)],
        [("Text", "org.example:Invoice", 0), ("org.example:Invoice", "List<Text>", 0)],
        [("Text", "Text", 0)] * MAX_CHAIN,
    ],
)
def test_chains_that_fit(steps: Steps, strict: bool) -> None:
    assert judge(capability(steps), strict=strict) == Verdict()


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("steps", "whole", "problem"),
    [
        ([("A:x", "B:x", 1), ("C:x", "D:x", 1)], None, "chain[0] gives B:x, chain[1] takes C:x"),
        ([("Text", "Maybe<Maybe<URL>>", 1), ("URL", "Text", 1)], None, "chain[0] gives"),
        ([("Text", "JSON", 1)], ("HTML", "JSON", 1), "signature.input is HTML"),
        ([("Text", "JSON", 1)], ("Text", "HTML", 1), "signature.output is HTML"),
        ([("Text", "JSON", 1)], ("Text", "Maybe<JSON>", 1), "signature.output is Maybe<JSON>"),
        (
            [("Text", "JSON", 1), ("JSON", "PDF", 2)],
            ("Text", "PDF", 4),
            "signature.cost is 4, the steps cost 3",
        ),
    ],
)
def test_chains_that_do_not_fit(steps: Steps, whole: Any, problem: str, strict: bool) -> None:
    (told,) = judge(capability(steps, whole), strict=strict).problems
    assert told.startswith(problem)


@pytest.mark.parametrize(
    ("steps", "whole"),
    [
        ([("URL", "Maybe<HTML>", 1), ("HTML", "Text", 1)], ("URL", "Text", 2)),
        ([("URL", "Maybe<HTML>", 1), ("HTML", "Text", 1)], ("URL", "Maybe<Text>", 2)),
        ([("Text", "Maybe<JSON>", 1)], ("Text", "JSON", 1)),
    ],
)
def test_maybe_is_unwrapped_unless_the_rules_are_taken_literally(steps: Steps, whole: Any) -> None:
    assert judge(capability(steps, whole)) == Verdict()
    assert judge(capability(steps, whole), strict=True).problems


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"chain": []}, "chain is empty"),
        ({"chain": [1]}, "chain[0] is not an object"),
        ({"chain": [{"tool_sid": "", "tool": "t"}]}, "chain[0].tool_sid is not text"),
        ({"chain": [{"tool_sid": "s", "tool": 1}]}, "chain[0].tool is not text"),
        ({"chain": [{"tool_sid": "s", "tool": "t"}]}, "chain[0].signature is not an object"),
        ({"chain": [{"tool_sid": "s", "tool": "t"}] * 17}, "chain has 17 steps"),
        ({"signature": signature("Text", "", 1)}, "signature.output is not"),
        ({"signature": signature("Text", "Text", -1)}, "signature.cost is not"),
        ({"signature": signature("Text", "Text", True)}, "signature.cost is not"),
        ({"signature": signature("Text", "Text", 0.5)}, "signature.cost is not"),
    ],
)
def test_malformed_chains_are_refused_in_words(change: dict[str, Any], problem: str) -> None:
    message = capability([("Text", "Text", 1)])
    told = judge(Message(message.type, message.sender, {**message.fields, **change}, (), True))
    assert len(told.problems) == 1 and told.problems[0].startswith(problem)


def test_what_is_odd_is_flagged() -> None:
    advertised = {("canton-mcp-1", "t0"): Signature("Text", "JSON", 5)}
    assert judge(capability([("Text", "JSON", 5)]), advertised).flags == ()
    assert judge(capability([("Text", "JSON", 4)]), advertised).flags == ("composite_signature",)
    assert judge(capability([("Strange", "JSON", 1)])).flags == ("composite_unknown_type",)
    assert judge(capability([("Text", "JSON", 1)], identity=True)).flags == ("composite_identity_cost",)
    assert judge(receipt([True, True])) == judge(receipt([True, False])) == Verdict()
    assert judge(receipt([True], success=False)).flags == ("composite_success",)
    assert judge(receipt([False, True], success=False)).flags == ("composite_steps_after_failure",)
    assert judge(receipt([True], cost_paid=9)).flags == ("composite_cost",)
    assert len(COMPOSITE_FLAGS) == 6


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"steps": []}, "steps is empty"),
        ({"steps": [{"tool_sid": "s", "tool": "t", "success": 1}]}, "steps[0].success is not"),
        ({"steps": [{"tool_sid": "s", "tool": "t", "success": True}]}, "steps[0].exec_ms is not"),
    ],
)
def test_malformed_receipts_are_refused(change: dict[str, Any], problem: str) -> None:
    (told,) = judge(receipt([True], **change)).problems
    assert told.startswith(problem)


def test_other_types_are_none_of_its_business() -> None:
    discover = Message(
        "semantic_discover", "s", {"signature": signature("Text", " List< URL >", 2.0)}, (), True
    )
    assert judge(discover) == Verdict()
    assert signature_of(discover) == Signature("Text", "List<URL>", 2)
    assert signature_of(Message("semantic_discover", "s", {}, (), True)) is None
