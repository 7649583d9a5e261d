"""Composite capabilities and their receipts: whether a chain of tools fits together (DCAP 3.1, 4.6)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from canton_mcp.dcap.message import MAX_EXEC_MS, clean_text
from canton_mcp.dcap.reading import MAX_SENDER, MAX_TOOL, Message

__all__ = ["COMPOSITE_FLAGS", "MAX_CHAIN", "Signature", "Verdict", "judge", "signature_of"]

COMPOSITE_FLAGS: Final = (
    "composite_cost",
    "composite_identity_cost",
    "composite_signature",
    "composite_steps_after_failure",
    "composite_success",
    "composite_unknown_type",
)
"""What may be odd about a composite that is accepted."""

MAX_CHAIN: Final = 16
"""Steps. About ten fit into a datagram; hubs may cap the length (3.1, "composition bombs")."""

_MAX_TYPE: Final = 128
_MAX_COST: Final = 2**63
_PLAIN_TYPES: Final = frozenset(
    [
        "Text",
        "JSON",
        "Image",
        "Audio",
        "Video",
        "Binary",
        "URL",
        "HTML",
        "Markdown",
        "PDF",
        "Bool",
        "Number",
        "Void",
    ]
)
_WRAPPED: Final = re.compile(r"(List|Maybe|IO)<(.+)>")
_CUSTOM: Final = re.compile(r"[a-z0-9][A-Za-z0-9.-]*:[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Signature:
    """What a tool takes and gives, and its price in the smallest unit of the currency."""

    input: str
    output: str
    cost: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a composite. With `problems` it has to be rejected (reason `composite`)."""

    problems: tuple[str, ...] = ()
    """For people; free of control characters."""
    flags: tuple[str, ...] = ()
    """Of `COMPOSITE_FLAGS`; each at most once."""


class _Unfit(Exception):
    """A part is missing or of the wrong kind."""


def judge(
    message: Message,
    advertised: Mapping[tuple[str, str], Signature] | None = None,
    *,
    strict: bool = False,
    max_chain: int = MAX_CHAIN,
) -> Verdict:
    """Whether a `composite_capability` or a `composite_receipt` keeps the rules; other types always do.

    `advertised` holds the signatures that servers announced, by (sid, tool). With `strict` types have to be
    equal, as the rules are written. Otherwise a step may take the `T` of a `Maybe<T>` before it, and the whole
    may be declared as `T` or `Maybe<T>` once a step may fail, as the specification's own examples have it.
    """
    try:
        if message.type == "composite_capability":
            return _judge_capability(message.fields, advertised or {}, strict, max_chain)
        if message.type == "composite_receipt":
            return _judge_receipt(message.fields, max_chain)
    except _Unfit as problem:
        return Verdict((str(problem),))
    return Verdict()


def signature_of(message: Message) -> Signature | None:
    """The signature that a `semantic_discover` announces, None without a well-formed one."""
    try:
        return _signature(message.fields.get("signature"), "signature")
    except _Unfit:
        return None


def _judge_capability(
    fields: Mapping[str, Any],
    advertised: Mapping[tuple[str, str], Signature],
    strict: bool,
    max_chain: int,
) -> Verdict:
    steps = _steps(fields["chain"], "chain", max_chain)
    signatures = [
        _signature(step.get("signature"), f"chain[{index}].signature") for index, step in enumerate(steps)
    ]
    whole = _signature(fields["signature"], "signature")
    problems = [*_links(signatures, strict), *_ends(signatures, whole, strict)]
    total = sum(signature.cost for signature in signatures)
    if whole.cost != total:
        problems.append(f"signature.cost is {whole.cost}, the steps cost {total}")
    flags = set()
    names = [(step["tool_sid"], step["tool"]) for step in steps]
    if any(
        advertised.get(name, signature) != signature
        for name, signature in zip(names, signatures, strict=True)
    ):
        flags.add("composite_signature")
    if not all(_is_type(part) for one in (*signatures, whole) for part in (one.input, one.output)):
        flags.add("composite_unknown_type")
    if any(
        step.get("identity") is True and (one.input != one.output or one.cost != 0)
        for step, one in zip(steps, signatures, strict=True)
    ):
        flags.add("composite_identity_cost")
    return Verdict(tuple(problems), tuple(sorted(flags)))


def _judge_receipt(fields: Mapping[str, Any], max_chain: int) -> Verdict:
    steps = _steps(fields["steps"], "steps", max_chain)
    for index, step in enumerate(steps):
        if not isinstance(step.get("success"), bool):
            raise _Unfit(f"steps[{index}].success is not true or false")
        for name, most in (("exec_ms", MAX_EXEC_MS), ("cost_paid", _MAX_COST)):
            value = step.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
                raise _Unfit(f"steps[{index}].{name} is not a number from 0 on")
    flags = set()
    outcomes = [step["success"] for step in steps]
    if fields["success"] != all(outcomes):
        flags.add("composite_success")
    # Steps are listed up to the one that failed.
    if not all(outcomes[:-1]):
        flags.add("composite_steps_after_failure")
    if fields["cost_paid"] != sum(step["cost_paid"] for step in steps):
        flags.add("composite_cost")
    return Verdict((), tuple(sorted(flags)))


def _links(signatures: Sequence[Signature], strict: bool) -> list[str]:
    """Rule 1: what a step gives is what the next one takes."""
    problems = []
    for index, (before, after) in enumerate(itertools.pairwise(signatures)):
        accepted = {before.output} if strict else {before.output, _unwrapped(before.output)}
        if after.input not in accepted:
            problems.append(
                f"chain[{index}] gives {_show(before.output)}, chain[{index + 1}] takes {_show(after.input)}"
            )
    return problems


def _ends(signatures: Sequence[Signature], whole: Signature, strict: bool) -> list[str]:
    """Rule 2: the whole takes what the first step takes, and gives what the last one gives."""
    problems = []
    first, last = signatures[0], signatures[-1]
    if whole.input != first.input:
        problems.append(f"signature.input is {_show(whole.input)}, the first step takes {_show(first.input)}")
    accepted = {last.output}
    if not strict and any(one.output != _unwrapped(one.output) for one in signatures):
        plain = _unwrapped(last.output)
        accepted |= {plain, f"Maybe<{plain}>"}
    if whole.output not in accepted:
        problems.append(
            f"signature.output is {_show(whole.output)}, the last step gives {_show(last.output)}"
        )
    return problems


def _steps(value: Any, name: str, most: int) -> list[dict[str, Any]]:
    """The steps of a chain, at least one (rule 4), each with the server and tool it names."""
    if not isinstance(value, list) or not value:
        raise _Unfit(f"{name} is empty")
    if len(value) > most:
        raise _Unfit(f"{name} has {len(value)} steps, at most {most} are accepted")
    for index, step in enumerate(value):
        if not isinstance(step, dict):
            raise _Unfit(f"{name}[{index}] is not an object")
        for part, longest in (("tool_sid", MAX_SENDER), ("tool", MAX_TOOL)):
            text = step.get(part)
            if not isinstance(text, str) or not 1 <= len(text) <= longest:
                raise _Unfit(f"{name}[{index}].{part} is not text of 1 to {longest} characters")
    return value


def _signature(value: Any, name: str) -> Signature:
    if not isinstance(value, dict):
        raise _Unfit(f"{name} is not an object of input, output and cost")
    for part in ("input", "output"):
        text = value.get(part)
        if not isinstance(text, str) or not 1 <= len(text) <= _MAX_TYPE:
            raise _Unfit(f"{name}.{part} is not the name of a type")
    cost = value.get("cost")
    # JSON knows one kind of number, so 1.0 is as whole as 1.
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost < _MAX_COST or cost % 1:
        raise _Unfit(f"{name}.cost is not a whole number from 0 on")
    return Signature(_spaceless(value["input"]), _spaceless(value["output"]), int(cost))


def _spaceless(type_name: str) -> str:
    return type_name.replace(" ", "")


def _unwrapped(type_name: str) -> str:
    """`T` of `Maybe<T>`, one level; other types as they are."""
    wrapped = _WRAPPED.fullmatch(type_name)
    return wrapped[2] if wrapped and wrapped[1] == "Maybe" else type_name


def _is_type(type_name: str) -> bool:
    while wrapped := _WRAPPED.fullmatch(type_name):
        type_name = wrapped[2]
    return type_name in _PLAIN_TYPES or bool(_CUSTOM.fullmatch(type_name))


def _show(type_name: str) -> str:
    return clean_text(type_name, 40)
