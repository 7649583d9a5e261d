"""Rules over values and times: amounts, divisions, partial functions, dead guards, growth, deadlines."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from canton_mcp.daml import tree
from canton_mcp.daml.findings.model import Finding
from canton_mcp.daml.findings.view import Chosen, Code, Owned, finding, name_of, walk
from canton_mcp.daml.guards import CLOCK, guards

__all__ = ["values"]

_PARTIAL = frozenset(
    {
        "fromSome",
        "head",
        "last",
        "tail",
        "init",
        "foldl1",
        "foldr1",
        "maximum",
        "minimum",
        "fromRight",
        "fromLeft",
    }
)
_PARTIAL_HOMES = frozenset({"", "L", "List", "DA.List", "O", "Optional", "DA.Optional", "Prelude"})
_DIVIDING = frozenset({"div", "mod", "rem", "quot"})
_COMMENTED = re.compile(r"^(?:--+|\{-)\s*(assert|assertMsg|ensure|require)\b\s+[\w(\"'].*$")
_SENTENCE = re.compile(r"[.!?]\s*$|\b(the|that|this is|must|should|if|we|which|because)\b", re.I)
_LOCK = re.compile(r"^Lock(ed)?($|[A-Z_])|(Lock|Escrow)$")
_LATE = re.compile(r"(expire|timeout|clawback|reclaim|refund)", re.I)
_SOON = re.compile(r"(accept|approve)", re.I)
_CLOCKS = re.compile(r"getTime|LedgerTime|Deadline")
_UNTIL = re.compile(r"(expir\w*|deadline|valid_?until|expires_?at|until|due|maturity)$", re.I)


def values(code: Code) -> Iterator[Finding]:
    """Findings about what is computed, tested and bounded."""
    for owned in code.templates:
        yield from _unbounded_amount(owned)
        yield from _lock(owned)
        if owned.template.ensure is not None:
            yield from _constant(owned.template.ensure, owned.template.name, None, alone=True)
    for chosen in code.choices:
        yield from _divisions(code, chosen)
        yield from _partial(code, chosen)
        for node in chosen.nodes:
            yield from _constant(node, chosen.owner, chosen.choice.name)
        yield from _growth(chosen)
    yield from _deadlines(code)
    yield from _commented_out(code)


def _unbounded_amount(owned: Owned) -> Iterator[Finding]:
    for field in owned.amounts:
        if field.name in owned.ensured:
            continue
        zero = "0" if field.type.head == "Int" else "0.0"
        bound = f"{field.name} > {zero}"
        ensure = owned.template.ensure is not None
        yield finding(
            "amount-without-ensure",
            field.place,
            owned.template.name,
            None,
            f"nothing keeps {field.name} of {owned.template.name} from being zero or negative",
            "add it to the ensure clause" if ensure else "add an ensure clause",
            paste=f"&& {bound}" if ensure else f"ensure {bound}",
        )


def _lock(owned: Owned) -> Iterator[Finding]:
    template = owned.template
    if not _LOCK.search(template.name) or not owned.parties.signatories or owned.timed:
        return
    if any(
        re.search(r"\b(Time|Date|RelTime)\b", field.type.text)
        for choice in template.choices
        for field in choice.parameters
    ):
        return
    if not template.choices or any(
        field.type.head[:1].isupper() and _own_type(field.type) for field in template.fields
    ):
        return
    yield finding(
        "lock-without-deadline",
        template.place,
        template.name,
        None,
        f"{template.name} holds something fast and has no deadline: if one side goes silent, it stays so",
        "add a deadline, and a choice for after it",
        paste="until : Time",
    )


def _own_type(written: tree.Type) -> bool:
    """Whether a type is a record of the user's own, which may hold a time."""
    return written.head not in (
        "Party", "Text", "Int", "Decimal", "Numeric", "Bool", "ContractId", "Set", "Map", "Optional", "Time", "Date"
    )  # fmt: skip


def _divisions(code: Code, chosen: Chosen) -> Iterator[Finding]:
    for node in chosen.nodes:
        divisor: tree.Expression | None = None
        match node:
            case tree.Operation(operator="/", right=right):
                divisor = right
            case tree.Application(function=tree.Name(name=name), arguments=(_, right)) if name in _DIVIDING:
                divisor = right
        name = name_of(divisor) if divisor is not None else ""
        if not name or divisor is None or name.rpartition(".")[2] in chosen.tested:
            continue
        if name.partition(".")[0] not in {*chosen.parameters, *(chosen.owned.fields if chosen.owned else ())}:
            continue  # a constant, or something computed: what it may be is not followed
        kind = chosen.parameters.get(name) or (chosen.owned.fields.get(name) if chosen.owned else None)
        zero = "0" if kind is not None and kind.type.head == "Int" else "0.0"
        yield finding(
            "division-unguarded",
            node.place,
            chosen.owner,
            chosen.choice.name,
            f"the division aborts when {name} is zero",
            "test it first, or 'ensure' it",
            paste=f'assertMsg "{name} is not zero" ({name} /= {zero})',
        )


def _partial(code: Code, chosen: Chosen) -> Iterator[Finding]:
    local = {*chosen.parameters, *(chosen.owned.fields if chosen.owned else ()), *code.scope.functions}
    for node in chosen.nodes:
        if isinstance(node, tree.Application) and isinstance(node.function, tree.Name):
            called, argument = node.function, name_of(node.arguments[0]) if node.arguments else ""
            if called.name not in _PARTIAL or called.name in local or called.qualifier not in _PARTIAL_HOMES:
                continue
            if argument and argument.rpartition(".")[2] in chosen.tested:
                continue
            yield finding(
                "partial-function",
                node.place,
                chosen.owner,
                chosen.choice.name,
                f"{called.name} aborts the transaction when {argument or 'its argument'} is empty",
                "match on the value and say in the message what is missing",
                paste=f'case {argument} of\n  Some value -> …\n  None -> abort "{argument} is missing"'
                if called.name == "fromSome" and argument
                else "",
            )
        elif isinstance(node, tree.Do):
            for statement in node.statements:
                pattern = statement.pattern if isinstance(statement, tree.Bind) else None
                if pattern is None or pattern.kind not in ("list", "cons"):
                    continue
                yield finding(
                    "partial-function",
                    pattern.place,
                    chosen.owner,
                    chosen.choice.name,
                    "this pattern aborts the transaction when the list has another length",
                    "use 'case .. of' with an arm for every length",
                )


def _constant(
    node: tree.Expression, template: str | None, choice: str | None, alone: bool = False
) -> Iterator[Finding]:
    called = name_of(node.function) if isinstance(node, tree.Application) else ""
    tested: tree.Expression | None = None
    if alone:
        tested = node
    elif (
        isinstance(node, tree.Application) and called in ("assert", "assertMsg", "require") and node.arguments
    ):
        tested = node.arguments[-1]
    elif isinstance(node, tree.Application) and called == "when" and node.arguments:
        never = node.arguments[0]
        if isinstance(never, tree.Name) and never.name == "False":
            tested = tree.Name(node.place, "True")
    if tested is None:
        return
    while isinstance(tested, tree.TupleOf) and len(tested.items) == 1:
        tested = tested.items[0]
    itself = (
        isinstance(tested, tree.Operation)
        and tested.operator in ("==", ">=", "<=")
        and name_of(tested.left) != ""
        and name_of(tested.left) == name_of(tested.right)
    )
    if itself or (isinstance(tested, tree.Name) and tested.name == "True"):
        yield finding(
            "constant-assertion",
            node.place,
            template,
            choice,
            "the condition is always true, so it guards nothing",
            "state what must hold, or remove it",
        )


def _growth(chosen: Chosen) -> Iterator[Finding]:
    """``this with xs = x :: xs`` without a bound on the length."""
    if chosen.owned is None:
        return
    for node in chosen.nodes:
        if not isinstance(node, tree.Record) or name_of(node.subject) != "this":
            continue
        for entry in node.fields:
            field = chosen.owned.fields.get(entry.path[0])
            if field is None or field.type.head not in ("[]", "Text") or field.name in chosen.tested:
                continue
            grows = any(
                isinstance(part, tree.Operation)
                and part.operator in ("::", "<>", "++")
                and field.name in (name_of(part.left), name_of(part.right))
                for part in walk(entry.value)
            )
            if grows:
                yield finding(
                    "unbounded-growth",
                    entry.place,
                    chosen.owner,
                    chosen.choice.name,
                    f"every {chosen.choice.name} makes {field.name} longer, and each copy of the contract carries all of it",
                    "cap it, or keep one contract for each entry",
                    paste=f'assertMsg "{field.name} is full" (length {field.name} < 100)',
                )


def _deadlines(code: Code) -> Iterator[Finding]:
    """Times that are compared the wrong way round for what the choice is called."""
    if not _CLOCKS.search(code.module.text):
        return
    by_name = {(chosen.owner, chosen.choice.name): chosen.choice.place for chosen in code.choices}
    for guard in guards(code.module):
        if guard.left != CLOCK or guard.choice is None or not _UNTIL.search(guard.right):
            continue
        late = _LATE.search(guard.choice) and guard.operator in ("<", "<=")
        soon = (
            _SOON.search(guard.choice)
            and guard.operator in (">", ">=")
            and not re.search(r"until|due|matur", guard.right, re.I)
        )
        if not late and not soon:
            continue
        place = by_name.get((guard.template, guard.choice))
        if place is None:
            continue
        right_way = ">=" if late else "<"
        yield finding(
            "deadline-wrong-way",
            place._replace(line=guard.line, column=1),
            guard.template,
            guard.choice,
            f"{guard.choice} works only {'before' if late else 'after'} {guard.right}, going by '{guard.text}'",
            "turn the comparison round",
            paste=f"now {right_way} {guard.right}",
        )


def _commented_out(code: Code) -> Iterator[Finding]:
    owners = sorted(
        (chosen.choice.extent.start, chosen.choice.extent.end, chosen.owner or "", chosen.choice.name)
        for chosen in code.choices
        if chosen.choice.extent is not None
    )
    for place in code.module.comments:
        text = code.module.text[place.start : min(place.end, place.start + 200)].split("\n")[0].rstrip()
        match = _COMMENTED.match(text)
        if match is None or _SENTENCE.search(text):
            continue
        at = bisect_right(owners, place.start, key=lambda owner: owner[0]) - 1
        inside = owners[at] if at >= 0 and place.start < owners[at][1] else None
        if match.group(1) != "ensure" and inside is None:
            continue
        yield finding(
            "commented-out-guard",
            place,
            inside[2] if inside else None,
            inside[3] if inside else None,
            f"a guard is commented out: {text.lstrip('-{ ')[:60]}",
            "put it back, or remove the line",
            paste=text.lstrip("-{ "),
        )
