"""Bounds: 'must be positive', 'at most 100', 'must not exceed the balance', 'at least one document'."""

from __future__ import annotations

import re
from typing import Literal

from canton_mcp.daml.guards import Guard
from canton_mcp.daml.intent.code import Code
from canton_mcp.daml.intent.counts import COUNTED
from canton_mcp.daml.intent.model import Answer
from canton_mcp.daml.intent.times import TIMED
from canton_mcp.daml.words import name_stems, same_meaning, stem, words

__all__ = ["BOUND", "bounded"]

BOUND = re.compile(
    r"\bpositive\b|\bnon-?negative\b|\bnegative\b|\bnon-?zero\b|\bzero\b|\babove\b|\bbelow\b|\bat most\b"
    r"|\bat least\b|\bno more than\b"
    r"|\bno less than\b|\bnot more than\b|\bmaxim\w+|\bminim\w+|\blimit(?:s|ed)?\b|\bexceed\w*"
    r"|\bcap(?:ped)?\b|\bup to\b|\bbetween (?:-?\d|zero\b)"
    r"|\b(?:greater|more|larger|bigger|higher|less|smaller|lower|fewer) than\b|[<>]=? ?\d|\boverdr\w+"
    r"|\bbeyond\b|\bsufficient\b",
    re.I,
)
_COUNTS = {"no": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "ten": 10}
_AMOUNTS = re.compile(r"\d[\d_,]*(?:\.\d+)?")
_NUMBERS = frozenset({"Decimal", "Int", "Numeric"})


def bounded(clause: str, code: Code) -> list[Answer] | None:
    bound = BOUND.search(clause)
    if bound is None or COUNTED.search(clause):
        return None
    fields = _numbers(clause, code)
    if not fields:
        sized = _sized(clause, code)
        if sized is not None:
            return [sized]
        if TIMED.search(clause):
            return None
        return [("not_found", None, "no number of the code is named in this sentence")]
    kind = _bound_kind(clause)
    related = _related(clause, kind, code)
    if related is not None:
        return [related]
    answers: list[Answer] = []
    near: tuple[Guard, str] | None = None
    for guard in code.guards:
        for name in fields:
            fits = _fits(guard, name, kind, clause, code)
            if fits is None:
                continue
            if fits:
                where = (
                    f"{guard.template}.{guard.choice}"
                    if guard.choice
                    else f"every create of {guard.template}"
                )
                answers.append(("met", guard.line, f"{where} tests {guard.text}"))
            else:
                near = near or (guard, name)
    if answers:
        ensured = [answer for answer in answers if "every create" in answer[2]]
        return [(ensured or answers)[0]]
    limit = next((guard for guard in code.guards if _limits(guard, set(fields), bound, clause, code)), None)
    if kind == "upper" and limit is not None:
        where = f"{limit.template}.{limit.choice}" if limit.choice else f"every create of {limit.template}"
        return [("met", limit.line, f"{where} tests {limit.text}")]
    if near is not None:
        return [("not_met", near[0].line, f"'{near[0].text}' is another bound than '{bound.group(0)}'")]
    name, line = next(iter(fields.items()))
    if kind == "lower" and not _AMOUNTS.search(clause):
        return [("not_found", line, f"no test was found that keeps something at or above {name}")]
    return [("not_met", line, f"nothing compares {name} with a bound")]


def _limits(guard: Guard, fields: set[str], bound: re.Match[str], clause: str, code: Code) -> bool:
    """Whether a guard keeps something below a field that is the limit itself, as in 'up to the agreed limit'."""
    if guard.right not in fields or guard.operator not in ("<", "<=") or _AMOUNTS.search(clause):
        return False
    return _number(guard.left) is None and guard.right not in _numbers(clause[: bound.start()], code)


def _sized(clause: str, code: Code) -> Answer | None:
    """'At least one document', 'at most 50 members': how long a list may be."""
    heard = {stem(word) for word in words(clause)}
    lists = {
        entry.name: entry.place.line
        for template in code.module.templates
        for fields in (template.fields, *(choice.parameters for choice in template.choices))
        for entry in fields
        if entry.type.head in ("[]", "Set", "NonEmpty", "Map", "TextMap") and stem(entry.name) in heard
    }
    spoken = {word.lower() for word in words(clause)}
    lists = {name: line for name, line in lists.items() if name.lower() in spoken} or lists
    kind = _bound_kind(clause)
    if not lists or kind not in ("lower", "upper"):
        return None
    stated = {value for value in map(_number, _AMOUNTS.findall(clause)) if value is not None}
    stated |= {float(_COUNTS[word.lower()]) for word in words(clause) if word.lower() in _COUNTS}
    for guard in code.guards:
        if guard.left.partition(" ")[2] not in lists and guard.left not in lists:
            continue
        where = f"{guard.template}.{guard.choice}" if guard.choice else f"every create of {guard.template}"
        number = 0.0 if guard.right == "empty" else _number(guard.right)
        step = {">": 1, "/=": 1, "<": -1}.get(guard.operator, 0)
        right_way = (">", ">=", "/=") if kind in ("lower", "positive") else ("<", "<=")
        if number is None or guard.operator not in right_way:
            continue
        if not stated or number + step in stated:
            return "met", guard.line, f"{where} tests {guard.text}"
        return "not_met", guard.line, f"'{guard.text}' is another bound than the sentence states"
    name, line = next(iter(lists.items()))
    return "not_met", line, f"nothing tests how many {name} there are"


def _related(clause: str, kind: str, code: Code) -> Answer | None:
    """'must not exceed the balance': something is compared with the field that the words after the bound name."""
    found = BOUND.search(clause)
    if found is None or kind not in ("upper", "lower"):
        return None
    others = (
        set(_numbers(clause[found.end() :], code))
        if _AMOUNTS.search(clause[found.end() :]) is None
        else set()
    )
    if not others:
        return None
    upper = {"<", "<="} if kind == "upper" else {">", ">="}
    lower = {">", ">="} if kind == "upper" else {"<", "<="}
    named = set(_numbers(clause[: found.start()], code)) - others
    hits = [
        guard
        for guard in code.guards
        if (guard.right in others and guard.operator in upper and guard.left and guard.left not in others)
        or (
            guard.left in others
            and guard.operator in lower
            and guard.right
            and guard.right not in others
            and _number(guard.right) is None
        )
    ]
    best = [guard for guard in hits if not named or {guard.left, guard.right} & named] or hits
    told = {(entry.template.name, entry.choice.name) for word in words(clause) for entry in code.doing(word)}
    best.sort(key=lambda guard: bool(told) and not named and (guard.template, guard.choice) not in told)
    if best:
        where = (
            f"{best[0].template}.{best[0].choice}"
            if best[0].choice
            else f"every create of {best[0].template}"
        )
        return "met", best[0].line, f"{where} tests {best[0].text}"
    return None


def _numbers(clause: str, code: Code) -> dict[str, int]:
    """Number fields and arguments that the clause names, with their lines; the only one there is, if it says 'amount'."""
    spoken = words(clause)
    heard = {stem(word) for word in spoken}
    every = {
        entry.name: entry.place.line
        for template in code.module.templates
        for fields in (template.fields, *(choice.parameters for choice in template.choices))
        for entry in fields
        if entry.type.head in _NUMBERS
    } | {
        entry.name: entry.place.line
        for data in code.module.types
        for _, fields in data.constructors
        for entry in fields
        if entry.type.head in _NUMBERS and not entry.name.startswith("_")
    }
    limits = {stem("limit"), stem("maximum"), stem("minimum"), stem("threshold")}
    exact = {
        name: line
        for name, line in every.items()
        if stem(name) in heard or set(name_stems(name)) <= heard or (name_stems(name)[-1] in heard - limits)
    }
    if exact:
        without = {name: line for name, line in exact.items() if not limits & set(name_stems(name))}
        return without or exact
    partly = {
        name: line
        for name, line in every.items()
        if name_stems(name)[:1] and name_stems(name)[0] in heard - limits
    }
    return partly or {
        name: line
        for name, line in every.items()
        if any(same_meaning(name_stems(name)[-1], word) for word in heard - limits)
        and len(name_stems(name)[-1]) > 2
    }


def _bound_kind(clause: str) -> Literal["positive", "nonnegative", "upper", "lower", "nonzero"]:
    if re.search(
        r"\bnon-?negative\b|\b(?:not|never|n't|cannot) (?:\w+ ){0,2}negative\b|\bat least (?:zero|0)\b|>= ?0\b"
        r"|\bbelow (?:zero|0)\b|\boverdr",
        clause,
        re.I,
    ):
        return "nonnegative"
    if re.search(r"\bnon-?zero\b|\bnot (?:be )?zero\b", clause, re.I):
        return "nonzero"
    if re.search(
        r"\bpositive\b|\b(?:greater|more|larger|bigger|higher) than (?:zero|0)\b|\babove (?:zero|0)\b|> ?0(?!\.?\d*[1-9])",
        clause,
        re.I,
    ):
        return "positive"
    lower = r"\bat least\b|\bno less than\b|\bminim\w+|\babove\b|>=? ?\d|\bsufficient\b"
    if re.search(lower, clause, re.I) or (
        re.search(r"\b(?:greater|more|larger|bigger|higher) than\b", clause, re.I)
        and not re.search(
            r"\b(?:no|not|never|n't|cannot|can not) (?:\w+ ){0,4}(?:greater|more|larger|bigger|higher) than\b",
            clause,
            re.I,
        )
    ):
        return "lower"
    return "upper"


def _fits(guard: Guard, name: str, kind: str, clause: str, code: Code) -> bool | None:
    """Whether a guard on that name sets the bound; None when it is not about that name."""
    if guard.left == name:
        operator, other = guard.operator, guard.right
    elif guard.right == name:
        operator, other = (
            {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(guard.operator, guard.operator),
            guard.left,
        )
    else:
        return None
    if operator not in ("<", "<=", ">", ">=", "/=", "=="):
        return None
    zero = re.fullmatch(r"-?0+(?:\.0+)?", other) is not None
    number = _number(other)
    stated = [value for value in map(_number, _AMOUNTS.findall(clause)) if value is not None and value != 0]
    if re.search(r"%|\bper ?cent\b", clause):
        stated += [value / 100 for value in stated]
    match kind:
        case "positive":
            return (operator == ">" and number is not None and number >= 0) or (
                operator == ">=" and number is not None and number > 0
            )
        case "nonnegative":
            return (
                operator in (">", ">=")
                and number is not None
                and (number >= 0 or (number == -1 and operator == ">"))
            )
        case "nonzero":
            return (operator in ("/=", ">") and zero) or None
        case "upper":
            if operator not in ("<", "<="):
                return None if operator in (">", ">=") else False
            return not stated or number is None or number in stated
        case _:
            if operator not in (">", ">="):
                return None if operator in ("<", "<=") else False
            if zero:
                return False if stated else None  # 'at least the reserve' is not a bound of the reserve
            return not stated or number is None or number in stated


def _number(text: str) -> float | None:
    try:
        return float(text.replace("_", "").replace(",", ""))
    except ValueError:
        return None
