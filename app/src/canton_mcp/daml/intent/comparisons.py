"""What must be the same, different, or not empty."""

from __future__ import annotations

import re

from canton_mcp.daml.intent.clauses import located
from canton_mcp.daml.intent.code import Code, fields_named
from canton_mcp.daml.intent.model import Answer

__all__ = ["distinct", "nonempty", "same_field"]

_DISTINCT = re.compile(
    r"\b(?:the )?(\w+(?: \w+)?) (?:and|or) (?:the )?(\w+(?: \w+)?) (?:must|should|cannot|can't|may not"
    r"|must not|have to|shall|are)(?: \w+){0,2} "
    r"(different|distinct|the same|identical|equal)\b"
    r"|\b(?:the |an? )?(\w+(?: \w+)?) (?:must not|cannot|may not|must|should"
    r"|has to) (?:be )?(?:different from |the same (?:\w+ )?as |equal to |equal "
    r"|match )(?:the )?(\w+(?: \w+)?)",
    re.I,
)
_IS_NOT = re.compile(
    r"^(?:the |an? )?(\w+(?: \w+)?) (?:must not|must never|cannot|can't|may not|should not|shall not) (?:also )?be "
    r"(?:also )?(?:the |an? |(?:his|her|its|their) own )(\w+)$",
    re.I,
)
_SAME = re.compile(r"^(?:the |an? )?(\w+)(?: [\w ]+?)? (?:requires?|needs?) the same (\w+)", re.I)
_EMPTY = re.compile(
    r"\b(?:the |an? )?(\w+(?: \w+)?) (?:must|may|can|should|cannot)(?:not| not|n't)? (?:be )?(?:left )?"
    r"(?:empty|blank|missing)\b|\bnon-?empty (\w+)",
    re.I,
)


def distinct(clause: str, code: Code) -> list[Answer] | None:
    found = _IS_NOT.search(clause)
    if found is not None:
        one, other = fields_named(found.group(1), code), fields_named(found.group(2), code)
        if not one or not other:
            return None
        for guard in code.guards:
            if guard.operator == "/=" and guard.left in one + other and guard.right in one + other:
                return [("met", guard.line, f"{guard.template} tests {guard.text}")]
        return [("not_met", None, f"nothing tests that {one[0]} is not {other[0]}")]
    found = _DISTINCT.search(clause)
    if found is None:
        return None
    left, right = (found.group(1), found.group(2)) if found.group(1) else (found.group(4), found.group(5))
    text = found.group(0).lower()
    same_wanted = re.search(r"\bthe same\b|\bidentical\b|\bequal\b|\bmatch\b", text) is not None
    if re.search(r"\b(?:not|cannot|can't|never|n't)\b", text):
        same_wanted = not same_wanted
    one, other = fields_named(left, code), fields_named(right, code)
    if not one or not other:
        return None
    for guard in code.guards:
        pair = {guard.left, guard.right}
        if pair & set(one) and pair & set(other) and guard.left != guard.right:
            right_way = guard.operator == ("==" if same_wanted else "/=")
            return [("met" if right_way else "not_met", guard.line, f"{guard.template} tests {guard.text}")]
    line = code.module.templates[0].place.line if code.module.templates else None
    return [("not_met", line, f"nothing compares {one[0]} with {other[0]}")]


def same_field(clause: str, code: Code) -> list[Answer] | None:
    """'Merging requires the same owner': two contracts are compared by that field."""
    found = _SAME.search(clause)
    if found is None:
        return None
    choices, names = code.doing(found.group(1)), fields_named(found.group(2), code)
    if not choices or not names:
        return None
    for guard in code.guards:
        if guard.operator != "==" or guard.left != guard.right or guard.left not in names:
            continue
        if any(
            (entry.template.name, entry.choice.name) == (guard.template, guard.choice) for entry in choices
        ):
            return [("met", guard.line, f"{guard.template}.{guard.choice} tests {guard.text}")]
    return [("not_met", choices[0].line, f"{located(choices)} does not compare {names[0]} with {names[0]}")]


def nonempty(clause: str, code: Code) -> list[Answer] | None:
    found = _EMPTY.search(clause)
    if found is None:
        return None
    names = fields_named(found.group(1) or found.group(2), code)
    if not names:
        return None
    for guard in code.guards:
        if guard.left in names and guard.operator == "/=" and guard.right in ('""', "None", "empty"):
            return [("met", guard.line, f"{guard.template} tests {guard.text}")]
        if guard.left.removeprefix("length ") in names and guard.operator in (">", ">="):
            return [("met", guard.line, f"{guard.template} tests {guard.text}")]
    return [("not_met", None, f"nothing tests that {names[0]} is not empty")]
