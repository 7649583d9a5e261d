"""Requirements in plain words, compared with what a module says.

A sentence is taken apart into forms that are understood: who alone may do what, who must not, whose consent or
signature is needed, bounds, times, what stays as it is, who sees, what happens once. Its words are matched by
stems with the names of the code. What the code does not settle is *not found*, never *met*.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from canton_mcp.daml import tree
from canton_mcp.daml.intent.bounds import bounded
from canton_mcp.daml.intent.changes import fixed
from canton_mcp.daml.intent.clauses import clauses_of
from canton_mcp.daml.intent.code import Code
from canton_mcp.daml.intent.comparisons import distinct, nonempty, same_field
from canton_mcp.daml.intent.consent import alone, consent, who_must
from canton_mcp.daml.intent.counts import counted, once
from canton_mcp.daml.intent.deeds import may, never, only, possible
from canton_mcp.daml.intent.model import Answer, Reading, Requirement, Shortfall, Status, shortfalls
from canton_mcp.daml.intent.sight import sees
from canton_mcp.daml.intent.times import timed

__all__ = ["Requirement", "Shortfall", "Status", "read_intent", "requirements", "shortfalls"]

MAX_TEXT = 20_000
_MAX_FOUND = 100
_MAX_SHOWN = 300
_Form = Callable[[str, Code], "list[Answer] | None"]
_BRACKET = re.compile(r"\s*\([^()]{0,80}\)")
_DEMAND = re.compile(
    r"\b(?:must|only|never|cannot|can't|may not|shall|should|required?|requires|needs?|has to|have to"
    r"|at most|at least|no one|nobody|\d+"
    r"|ensure|prevent|forbid\w*|not allowed|no \w+ (?:\w+ ){0,3}(?:while|when|during|if|unless|until|after|before|once))\b",
    re.I,
)


def requirements(text: str, module: tree.Module, lacking: Iterable[Shortfall] = ()) -> list[Requirement]:
    """The requirements understood in `text`, each with what the module says about it."""
    return list(read_intent(text, module, lacking).requirements)


def read_intent(text: str, module: tree.Module, lacking: Iterable[Shortfall] = ()) -> Reading:
    """Requirements and unclear demands of `text`, in its order; bounded in the length of the text."""
    code = Code.of(module, tuple(lacking), text[:MAX_TEXT])
    found: list[Requirement] = []
    unclear: list[str] = []
    for clause in clauses_of(text[:MAX_TEXT]):
        plain = _BRACKET.sub("", clause)
        answers = [answer for group in _FORMS for answer in _first(group, plain, code)]
        found += [Requirement(clause[:_MAX_SHOWN], *answer) for answer in answers]
        if not answers and _DEMAND.search(clause):
            unclear.append(clause[:_MAX_SHOWN])
        if len(found) >= _MAX_FOUND:
            break
    return Reading(tuple(dict.fromkeys(found))[:_MAX_FOUND], tuple(dict.fromkeys(unclear)))


def _first(group: Sequence[_Form], clause: str, code: Code) -> list[Answer]:
    for form in group:
        answer = form(clause, code)
        if answer is not None:
            return answer
    return []


# Of each group the first that understands a clause answers; one clause may hold several requirements.
_FORMS: tuple[tuple[_Form, ...], ...] = (
    (
        alone,
        counted,
        only,
        once,
        consent,
        fixed,
        never,
        distinct,
        same_field,
        nonempty,
        sees,
        may,
        possible,
    ),
    (who_must,),
    (bounded,),
    (timed,),
)
