"""The transfer offer to paste: a template whose Accept creates what the choice created without consent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from canton_mcp.daml import tree
from canton_mcp.daml.actions import Action, Entry, Party
from canton_mcp.daml.expressions import spine
from canton_mcp.daml.findings.view import Chosen, Code, Owned, name_of

__all__ = ["offer"]


@dataclass(slots=True)
class _Sketch:
    """What the offer holds beside the contract and its receiver, and how the choice fills it."""

    code: Code
    owned: Owned
    chosen: Chosen
    receiver: str
    new: str
    value: str
    local: frozenset[str]
    """Names that the choice binds in its body: the offer does not know them."""
    fields: dict[str, str] = field(default_factory=dict)
    """By name, the types."""
    given: list[str] = field(default_factory=list)
    """As the choice gives them: ``f = e``, or a pun."""


def offer(code: Code, owned: Owned, receiver: Party, entry: Entry, action: Action) -> str:
    """A transfer offer for a template, and what the choice creates instead."""
    name = owned.template.name
    offered = f"{name}TransferOffer"
    chosen = code.choice_at(entry)
    parameters = chosen.parameters if chosen is not None else {}
    value = f"{name[:1].lower()}{name[1:]}"
    new = receiver.path.rpartition(".")[2]
    if value in parameters or value == new:
        value = f"present{name}"
    signed = sorted(owned.signed)
    givers = sorted({party.path for party in entry.controllers if party.origin == "field"} & owned.signed)
    back = (
        givers[0] if givers else signed[0]
    )  # somebody who signs the offer, so that it can be seen and ended
    fields, given, created = _accepted(code, owned, chosen, receiver.path, new, value, action)
    filled = [f"{value} = this", new if receiver.path == new else f"{new} = {receiver.path}", *given]
    held = "".join(f"    {label} : {type_}\n" for label, type_ in fields.items())
    # Nothing is to be given back where the contract stays active beside its offer.
    kept = chosen is not None and chosen.choice.consumption == "nonconsuming"
    result, ending = ("()", "pure ()") if kept else (f"ContractId {name}", f"create {value}")
    return f"""\
-- in {entry.name}: do create {offered} with {"; ".join(filled)}
template {offered}
  with
    {value} : {name}
    {new} : Party
{held}  where
    signatory {", ".join(f"{value}.{path}" for path in signed)}
    observer {new}

    choice {offered}_Accept : ContractId {name}
      controller {new}
      do create {created}

    choice {offered}_Reject : {result}
      controller {new}
      do {ending}

    choice {offered}_Withdraw : {result}
      controller {value}.{back}
      do {ending}
"""


def _accepted(
    code: Code, owned: Owned, chosen: Chosen | None, receiver: str, new: str, value: str, action: Action
) -> tuple[dict[str, str], list[str], str]:
    """More fields of the offer, how the choice fills them, and what Accept creates; ``…`` where that is not seen."""
    changes = _changes(owned, chosen, action) if chosen is not None and not action.via else None
    if changes is None or chosen is None:
        return {}, [], f"{value} with …"
    sketch = _Sketch(code, owned, chosen, receiver, new, value, _local(chosen))
    told = [_told(sketch, change) for change in changes]
    if not all(told):
        return {}, [], f"{value} with …"
    return sketch.fields, sketch.given, f"{value} with {'; '.join(told)}"


def _changes(owned: Owned, chosen: Chosen, action: Action) -> list[tuple[str, tree.Expression]] | None:
    """What the new contract has other than the old one, by field; None when the record is not seen."""
    call = next(
        (
            node
            for node in chosen.applications
            if node.place.start == action.place.start and name_of(node.function) == "create"
        ),
        None,
    )
    arguments = [one for one in spine(call)[1] if not isinstance(one, tree.TypeArgument)] if call else []
    if len(arguments) != 1:
        return None
    record = _bound(chosen, arguments[0])
    name = owned.template.name
    labels = [one.name for one in owned.template.fields]
    if isinstance(record, tree.Application) and _is_constructor(record.function, name):
        if len(record.arguments) != len(labels):
            return None
        pairs = list(zip(labels, record.arguments, strict=True))
    elif isinstance(record, tree.Record) and (
        name_of(record.subject) == "this" or _is_constructor(record.subject, name)
    ):
        if any(len(one.path) != 1 for one in record.fields):
            return None
        if record.rest and labels and chosen.parameters.keys() & set(labels):
            return None  # the arguments fill these fields
        pairs = [(one.path[0], one.value) for one in record.fields]
    else:
        return None
    own = owned.fields.keys() - chosen.parameters.keys() - _local(chosen)
    return [
        (label, made)
        for label, made in pairs
        if not (name_of(made) == label and (label in own or not isinstance(made, tree.Name)))
    ] or None


def _bound(chosen: Chosen, expression: tree.Expression) -> tree.Expression:
    """Without parentheses; of a name that the choice defines once, what it stands for."""
    while isinstance(expression, tree.TupleOf) and len(expression.items) == 1:
        expression = expression.items[0]
    if isinstance(expression, tree.Name):
        meant = [
            binding.value
            for binding in _bindings(chosen)
            if binding.pattern.kind == "name" and binding.pattern.name == expression.name
        ]
        if len(meant) == 1 and isinstance(meant[0], tree.Record):
            return meant[0]
    return expression


def _bindings(chosen: Chosen) -> Iterator[tree.Binding]:
    yield from chosen.choice.bindings
    for node in chosen.nodes:
        if isinstance(node, tree.Let):
            yield from node.bindings
        elif isinstance(node, tree.Do):
            for statement in node.statements:
                if isinstance(statement, tree.LetStatement):
                    yield from statement.bindings


def _local(chosen: Chosen) -> frozenset[str]:
    """Names that the body of a choice binds, wherever."""
    patterns = [binding.pattern for binding in _bindings(chosen)]
    for node in chosen.nodes:
        if isinstance(node, tree.Lambda):
            patterns += node.parameters
        elif isinstance(node, tree.Case | tree.Try):
            patterns += [arm.pattern for arm in node.alternatives]
        elif isinstance(node, tree.Do):
            patterns += [one.pattern for one in node.statements if isinstance(one, tree.Bind)]
    found: set[str] = set()
    while patterns:
        pattern = patterns.pop()
        patterns += [*pattern.parts, *(part for _, part in pattern.fields)]
        found.add(pattern.name)
        found.update(label for label, _ in pattern.fields)
    return frozenset(found)


def _is_constructor(expression: tree.Expression, name: str) -> bool:
    return isinstance(expression, tree.Name) and expression.name == name


def _told(sketch: _Sketch, change: tuple[str, tree.Expression]) -> str:
    """``f = e`` in the names of the offer; where these do not say it, the offer holds the value. Empty if neither."""
    label, made = change
    moved = _moved(sketch, made)
    if moved is not None:
        return label if moved == label else f"{label} = {moved}"
    kept = sketch.owned.fields.get(label)
    if kept is None or label in (sketch.new, sketch.value) or label in sketch.fields:
        return ""
    sketch.fields[label] = kept.type.text
    text = sketch.code.module.text[made.place.start : made.place.end]
    written = "…" if "\n" in text else text
    sketch.given.append(label if written == label else f"{label} = {written}")
    return label


def _moved(sketch: _Sketch, made: tree.Expression) -> str | None:
    """The text of an expression as the offer has to say it; None if it cannot."""
    text = sketch.code.module.text
    start, end = made.place.start, made.place.end
    if "\n" in text[start:end]:
        return None
    parameters = sketch.chosen.parameters
    changes: list[tuple[int, int, str]] = []
    needed: list[str] = []
    waiting = [made]
    while waiting:
        node = waiting.pop()
        if name_of(node) == sketch.receiver and sketch.receiver.partition(".")[0] not in sketch.local:
            changes.append((node.place.start, node.place.end, sketch.new))
        elif isinstance(node, tree.Name):
            if node.is_constructor:
                continue
            if node.qualifier or node.name in sketch.local:
                return None
            if node.name in parameters:
                needed.append(node.name)
            elif node.name == "this":
                changes.append((node.place.start, node.place.end, sketch.value))
            elif node.name in sketch.owned.fields:
                changes.append((node.place.start, node.place.end, f"{sketch.value}.{node.name}"))
            elif node.name[:1].isalpha() or node.name[:1] == "_":
                return None  # whatever it is, the choice knows it
        elif isinstance(node, tree.FieldAccess) and node.value is not None:
            waiting.append(node.value)
        elif isinstance(node, tree.Operation):
            waiting += [node.left, node.right]
        elif isinstance(node, tree.Application):
            waiting += [node.function, *node.arguments]
        elif isinstance(node, tree.TupleOf | tree.ListOf):
            waiting += node.items
        elif not isinstance(node, tree.Literal_):
            return None
    for one in needed:
        if one in (sketch.new, sketch.value) or sketch.fields.get(one, parameters[one].type.text) != (
            parameters[one].type.text
        ):
            return None
    for one in needed:
        if one not in sketch.fields:
            sketch.fields[one] = parameters[one].type.text
            sketch.given.append(one)
    result = text[start:end]
    for first, last, word in sorted(changes, reverse=True):
        result = result[: first - start] + word + result[last - start :]
    return result
