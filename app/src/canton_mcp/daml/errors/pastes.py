"""From a paste to its errors: each once, and the one that matters most."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from canton_mcp.daml.errors.model import Diagnosis
from canton_mcp.daml.errors.named import MAX_READ
from canton_mcp.daml.errors.reading import read_one
from canton_mcp.daml.errors.wrappers import with_whole_ids, without_hard_wraps, without_wrappers

_MAX_ERRORS = 50
_MAX_BEFORE = 4_000
_ANCHOR = re.compile(
    r"(?P<code>\b[A-Z][A-Z0-9_]{5,60}\(-?\d{1,2}\s{0,5},"
    r"|\b(?:code|errorCodeId|errorCode|error_code)[\"']?\s{0,5}[:=]\s{0,5}[\"']?[A-Z][A-Z0-9_]{5,60}\b)"
    r"|(?P<head>\b(?:Script|Scenario) execution failed|\bFAILURE \()"
    r"|(?P<body>\bnode\s{1,40}NodeId\(|\bAttempt to\s{1,40}(?:fetch|exercise|create|use)\b|\bUnhandled (?:Daml )?exception:"
    r"|\bA must-fail commit succeeded|\bExpected submit to fail|\bTemplate precondition violated in"
    r"|\bCommit error due to|\bAborted: "
    r"|\b(?:create|fetch|lookup by key) of [\w.]{1,200}:[\w.]{1,200} at |\bexercise of [\w.]{1,200} in "
    r"|\.daml:[\d:(),-]{3,40}\s{1,5}error)"
)


def classify(text: str) -> Diagnosis:
    """The error that matters most in `text`, with the rest as `others`; kind `unknown` when nothing is known."""
    found = diagnoses(text)
    main = next(
        (item for wanted in (_is_authority, _is_telling, _is_known) for item in found if wanted(item)),
        found[0],
    )
    others = tuple(item for item in found if item is not main and item.kind != "unknown")
    return replace(main, others=others)


def diagnoses(text: str) -> tuple[Diagnosis, ...]:
    """The errors in `text`, in their order, each once; at least one, which may be of kind `unknown`."""
    plain = without_wrappers(text)
    found = _read_all(with_whole_ids(plain))
    joined = without_hard_wraps(plain)
    if joined != plain:
        again = _read_all(with_whole_ids(joined))
        if sum(map(_told, again)) > sum(map(_told, found)):
            return again
    return found


def _is_authority(diagnosis: Diagnosis) -> bool:
    return diagnosis.family == "authorization"


def _is_telling(diagnosis: Diagnosis) -> bool:
    return diagnosis.family not in ("unknown", "system")


def _is_known(diagnosis: Diagnosis) -> bool:
    return diagnosis.kind != "unknown"


def _told(diagnosis: Diagnosis) -> int:
    """How much an error says: words that are broken over lines say less."""
    plain = (getattr(diagnosis, name) for name in diagnosis.__dataclass_fields__ if name != "explanation")
    return sum(value not in (None, (), "unknown") for value in plain)


def _read_all(text: str) -> tuple[Diagnosis, ...]:
    found: list[Diagnosis] = []
    for part in _split(text):
        new = read_one(part)
        if new.kind == "unknown" and found:
            continue
        same = next((at for at, old in enumerate(found) if _same(old, new)), None)
        if same is None:
            found.append(new)
        else:
            found[same] = _merged(found[same], new)
    return tuple(found)


def _split(text: str) -> Iterator[str]:
    """The errors of a paste: a new one starts where a code or a message comes that the current one has already."""
    start = last = count = 0
    seen: set[str] = set()
    for anchor in _ANCHOR.finditer(text):
        role = anchor.lastgroup or "body"
        if not seen:
            start = max(start, anchor.start() - _MAX_BEFORE)
        # A code comes before its message, and a heading before both.
        if role in seen or (role == "code" and "body" in seen) or (role == "head" and seen):
            cut = max(last, text.rfind("\n", last, anchor.start()) + 1)
            yield text[start : min(cut, start + MAX_READ)]
            count += 1
            if count >= _MAX_ERRORS:
                return
            start, seen = cut, set()
        seen.add(role)
        last = anchor.end()
    yield text[start : start + MAX_READ] if seen else text


def _same(one: Diagnosis, other: Diagnosis) -> bool:
    """Whether two texts tell of one error, as wrappers repeat what they wrap."""
    if one.code and other.code and one.code != other.code:
        return False
    if one.kind != other.kind and not (one.family == other.family and (_bare(one) or _bare(other))):
        return False
    pairs = (
        (one.node, other.node),
        (one.template, other.template),
        (one.choice, other.choice),
        (one.required, other.required),
        (one.given, other.given),
        (one.missing, other.missing),
        (one.message, other.message),
        (one.location, other.location),
        (one.contracts[:1], other.contracts[:1]),
        (one.correlation, other.correlation),
    )
    return all(a == b or a in (None, ()) or b in (None, ()) for a, b in pairs)


def _bare(diagnosis: Diagnosis) -> bool:
    """Whether it is the authorization code alone, which stands for several kinds, as in the ``code`` of a JSON body."""
    return diagnosis.kind == "missing_authorization" and not (
        diagnosis.required or diagnosis.given or diagnosis.missing or diagnosis.node is not None
    )


def _merged(one: Diagnosis, other: Diagnosis) -> Diagnosis:
    if _bare(one):
        one = replace(one, kind=other.kind, explanation=other.explanation)
    names = [name for name in one.__dataclass_fields__ if name not in ("kind", "explanation", "others")]
    return replace(one, **{name: getattr(other, name) for name in names if getattr(one, name) in (None, ())})
