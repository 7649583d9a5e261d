"""Rules over values and times: amounts, divisions, partial functions, dead guards, growth, deadlines."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from canton_mcp.daml import tree
from canton_mcp.daml.findings.model import Finding
from canton_mcp.daml.findings.view import Chosen, Code, Owned, finding, is_amount, name_of, named, walk
from canton_mcp.daml.guards import CLOCK, Guard, guards

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
_COMMENTED = re.compile(
    r"^(?:--+|\{-)\s*(?:(assert|assertMsg|ensure|require)\b\s+[\w(\"'].*"
    r"|(when|unless)\s.*\b(?:abort|error|throw|assertFail|failWithStatus)\b.*)$"
)
_SENTENCE = re.compile(r"[.!?]\s*$|\b(the|that|this is|must|should|if|we|which|because)\b", re.I)
_GROWING = frozenset({"[]", "Text", "Set", "Map", "TextMap"})
_LOCK = re.compile(r"^Lock(ed)?($|[A-Z_])|(Lock|Escrow)$")
_LATE = re.compile(r"(expire|timeout|clawback|reclaim|refund)", re.I)
_SOON = re.compile(r"(accept|approve)", re.I)
_CLOCKS = re.compile(r"getTime|LedgerTime|Deadline")
_UNTIL = re.compile(
    r"(expir\w*|deadline|until|due|maturity|clos(?:es|ing)|ends|end|cut_?off|lapses)(?:_?(?:at|on|by|time|date))?$",
    re.I,
)
_OPPOSITE = {
    **{"<": ">=", "<=": ">", ">": "<=", ">=": "<"},
    **{"assertWithinDeadline": "assertDeadlineExceeded", "assertDeadlineExceeded": "assertWithinDeadline"},
    **{"isLedgerTimeLT": "isLedgerTimeGE", "isLedgerTimeGE": "isLedgerTimeLT"},
    **{"isLedgerTimeLE": "isLedgerTimeGT", "isLedgerTimeGT": "isLedgerTimeLE"},
}
"""What says the contrary of a comparison: operators, and the functions of the standard library."""
_CONVERTING = frozenset({"intToDecimal", "intToNumeric", "castAndRound", "decimalToNumeric"})
_COUNTING = frozenset({"length", "size"})


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
        for node in chosen.applications:
            yield from _constant(node, chosen.owner, chosen.choice.name)
        yield from _growth(chosen)
        yield from _unbounded_argument(code, chosen)
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


def _unbounded_argument(code: Code, chosen: Chosen) -> Iterator[Finding]:
    """Amounts that the caller picks and that a copy of the contract adds or takes off, whatever their sign."""
    if chosen.owned is None:
        return
    for parameter in chosen.choice.parameters:
        if parameter.name in chosen.tested or not is_amount(parameter):
            continue
        bare = {name_of(entry.value) or entry.path[-1] for entry in chosen.given}
        told = next(
            (
                entry
                for entry in chosen.changes
                if entry.path[0] in chosen.owned.fields and _offsets(entry.value, parameter.name)
            ),
            None,
        )
        if told is None or parameter.name in bare:
            continue  # not used so, or a contract takes it as it is and can refuse it
        zero = "0" if parameter.type.head == "Int" else "0.0"
        yield finding(
            "amount-without-ensure",
            parameter.place,
            chosen.owner,
            chosen.choice.name,
            f"nothing keeps the argument {parameter.name} from being negative, which turns what {chosen.choice.name} "
            f"does to {told.path[0]} round",
            "test it before it is used",
            paste=f'assertMsg "{parameter.name} must be positive" ({parameter.name} > {zero})',
        )


def _offsets(value: tree.Expression, name: str) -> bool:
    """Whether a sum or difference has the name as a side."""
    return any(
        isinstance(node, tree.Operation)
        and node.operator in ("+", "-")
        and name in (name_of(node.left), name_of(node.right))
        for node in walk(value)
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
        if isinstance(node, tree.Operation) and node.operator == "/":
            divisor = node.right
        elif (
            isinstance(node, tree.Application)
            and isinstance(node.function, tree.Name)
            and node.function.name in _DIVIDING
            and len(node.arguments) == 2
        ):
            divisor = node.arguments[1]
        else:
            continue
        name, counted = _divisor(divisor)
        if not name or name.rpartition(".")[2] in chosen.tested:
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
            f"the division aborts when {name} is {'empty' if counted else 'zero'}",
            "test it first, or 'ensure' it",
            paste=f'assertMsg "{name} is not empty" (not (null {name}))'
            if counted
            else f'assertMsg "{name} is not zero" ({name} /= {zero})',
        )


def _divisor(expression: tree.Expression) -> tuple[str, bool]:
    """The path that a division divides by, behind conversions, and whether it is the size of that."""
    match expression:
        case tree.TupleOf(items=(inner,)) | tree.Typed(value=inner):
            return _divisor(inner)
        case tree.Application(function=tree.Name(name=called), arguments=(argument,)) if (
            called in _CONVERTING
        ):
            return _divisor(argument)
        case tree.Application(function=tree.Name(name=called), arguments=(argument,)) if called in _COUNTING:
            return name_of(argument), True
        case _:
            return name_of(expression), False


def _partial(code: Code, chosen: Chosen) -> Iterator[Finding]:
    fields = chosen.owned.fields if chosen.owned else {}

    def local(name: str) -> bool:
        return name in chosen.parameters or name in fields or name in code.scope.functions

    for node in chosen.nodes:
        if isinstance(node, tree.Application) and isinstance(node.function, tree.Name):
            called = node.function
            if called.name not in _PARTIAL or local(called.name) or called.qualifier not in _PARTIAL_HOMES:
                continue
            argument = name_of(node.arguments[0]) if node.arguments else ""
            if any(name in chosen.tested for part in node.arguments for name in named(part) if local(name)):
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
    if _always(tested):
        yield finding(
            "constant-assertion",
            node.place,
            template,
            choice,
            "the condition is always true, so it guards nothing",
            "state what must hold, or remove it",
        )


def _always(tested: tree.Expression) -> bool:
    """Whether a condition is true whatever the data."""
    match tested:
        case tree.TupleOf(items=(inner,)) | tree.Typed(value=inner):
            return _always(inner)
        case tree.Name(name=name):
            return name == "True"
        case tree.Operation(operator="||", left=left, right=right):
            return _always(left) or _always(right)
        case tree.Operation(operator="&&", left=left, right=right):
            return _always(left) and _always(right)
        case tree.Operation(operator="==" | ">=" | "<=", left=left, right=right):
            both = [side.text if isinstance(side, tree.Literal_) else name_of(side) for side in (left, right)]
            return both[0] != "" and both[0] == both[1]
        case _:
            return False


def _growth(chosen: Chosen) -> Iterator[Finding]:
    """``this with xs = x :: xs`` without a bound on the length."""
    if chosen.owned is None:
        return
    for entry in chosen.changes:
        field = chosen.owned.fields.get(entry.path[0])
        if field is None or field.type.head not in _GROWING or field.name in chosen.tested:
            continue
        if not any(_adds(part, field.name) for part in walk(entry.value)):
            continue
        size = {"Set": "Set.size", "Map": "Map.size", "Text": "T.length"}.get(field.type.head, "length")
        yield finding(
            "unbounded-growth",
            entry.place,
            chosen.owner,
            chosen.choice.name,
            f"every {chosen.choice.name} makes {field.name} longer, and each copy of the contract carries all of it",
            "cap it, or keep one contract for each entry",
            paste=f'assertMsg "{field.name} is full" ({size} {field.name} < 100)',
        )


def _adds(part: tree.Expression, name: str) -> bool:
    """Whether an expression is the field with something more in it."""
    if isinstance(part, tree.Operation):
        return part.operator in ("::", "<>", "++") and name in (name_of(part.left), name_of(part.right))
    return (
        isinstance(part, tree.Application)
        and name_of(part.function).rpartition(".")[2] in ("insert", "union", "append")
        and name in map(name_of, part.arguments)
    )


def _deadlines(code: Code) -> Iterator[Finding]:
    """Times that are compared the wrong way round for what the choice is called."""
    if not _CLOCKS.search(code.module.text):
        return
    by_name = {(chosen.owner, chosen.choice.name): chosen.choice.place for chosen in code.choices}
    for guard in guards(code.module, lambda choice: _LATE.search(choice) or _SOON.search(choice)):
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
            place._replace(line=guard.line, column=_column(code, guard)),
            guard.template,
            guard.choice,
            f"{guard.choice} works only {'before' if late else 'after'} {guard.right}, going by '{guard.text}'",
            "turn the comparison round",
            paste=_turned(guard.text) or f"now {right_way} {guard.right}",
        )


def _column(code: Code, guard: Guard) -> int:
    """Where the first word of a guard stands in its line; 1 when it does not stand there."""
    line = code.module.text.split("\n")[guard.line - 1]
    return line.find(guard.text.split(" ")[0]) + 1 or 1


def _turned(text: str) -> str:
    """A comparison with the opposite operator or function, as it is written; empty for anything else."""
    called, _, rest = text.partition(" ")
    if called in _OPPOSITE:
        return f"{_OPPOSITE[called]} {rest}"
    match = re.fullmatch(r"([\w'.]+) *(<=|>=|<|>) *([\w'.]+)", text)
    return f"{match[1]} {_OPPOSITE[match[2]]} {match[3]}" if match else ""


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
            paste=text.lstrip("-{ ").removesuffix("-}").rstrip(),
        )
