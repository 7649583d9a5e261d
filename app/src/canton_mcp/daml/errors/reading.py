"""Reads one error text."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice

from canton_mcp.daml.errors.kinds import (
    FAMILIES,
    GRPC,
    GRPC_OF_CATEGORY,
    WORDS,
    Kind,
    explanation,
    kind_by_code,
)
from canton_mcp.daml.errors.model import Diagnosis, Era, short_name
from canton_mcp.daml.errors.named import MAX_READ, labels, minus, named_parties, names_in
from canton_mcp.daml.errors.traces import (
    ON_CONTRACT,
    TEMPLATE_PLACES,
    contracts_in,
    locations_in,
    path_in,
    place_of,
)

_MAX_MESSAGE = 500
_MAX_STATUSES = 20
_FRAME = re.compile(r"\b([A-Z][A-Z0-9_]{5,60})\((-?\d{1,2})\s{0,5},\s{0,5}([^():,\s]{0,80})")
_CODE_KEY = re.compile(
    r"\b(?:code|errorCodeId|errorCode|error_code)[\"']?\s{0,5}[:=]\s{0,5}[\"']?([A-Z][A-Z0-9_]{5,60})\b"
)
_NODE = re.compile(r"NodeId\((\d{1,9})\)(?:\s?\(([^()]{1,400})\))?")
_CATEGORY = re.compile(r"\b(?:errorC|c)ategory[\"']?\s{0,5}[:=]\s{0,5}[\"']?(\d{1,2})\b")
_GRPC_NAMES = "|".join(sorted(GRPC.values(), key=len, reverse=True))
_GRPC_CAMEL = {name.replace("_", "").lower(): name for name in GRPC.values()}
_GRPC_BEFORE = re.compile(rf"\b({_GRPC_NAMES})\b(?!\()")
_GRPC_STATUS = re.compile(r"\b[Cc]ode\s{0,3}[:=]\s{0,3}([A-Z][a-z]{1,12}(?:[A-Z][a-z]{1,12}){0,2})\b")
_GRPC_VALUE = re.compile(r"\b(?:grpcCodeValue|grpc_status)[\"']?\s{0,5}[:=]\s{0,5}(\d{1,2})\b")
_ACT_AS = re.compile(r"\bact_?[aA]s\b[\"']?[ \t]{0,5}[:=][ \t]{0,5}([^\n]{0,4000})")
_READ_AS = re.compile(r"\bread_?[aA]s\b[\"']?[ \t]{0,5}[:=][ \t]{0,5}([^\n]{0,4000})")
_CLAIM = re.compile(r"\bact as part(?:y|ies) ([^\n]{1,4000})")
_DISCLOSED = re.compile(r"\b(?:Disclosed to|Stakeholders):[ \t]{0,5}([^\n]{0,4000})")
_MESSAGE = (
    re.compile(r"\(error category \d{1,2}\):\s{0,5}([^\n]{1,2000})"),
    re.compile(r"\bmessage\s{0,5}=\s{0,5}\"([^\n]{0,2000})"),
    re.compile(r"\bUser abort:\s{0,5}([^\n]{1,2000})"),
    re.compile(r"\bAborted:\s{1,5}([^\n]{1,2000})"),
    re.compile(r"\b(?:AssertionFailed|GeneralError)(?:@[0-9a-f]{1,64})?:\s{1,5}([^\n]{1,2000})"),
)
_EXCEPTION = (
    re.compile(r"\bUser failure:\s{1,5}(?:UNHANDLED_EXCEPTION/)?([\w./:-]{1,300}?)(?=:?\s|@|$)"),
    re.compile(r"\bUnhandled (?:Daml )?exception:\s{1,20}([\w.]{1,200}:[\w.]{1,200})"),
    re.compile(r"\b(DA\.Exception\.\w{1,60}:\w{1,60})"),
)
_OFFENDING = re.compile(
    r"(?:parse error on input|not in scope:(?: type constructor or class)?(?: data constructor)?|not in scope: data constructor)"
    r"\s{0,5}[‘'`\"]?([^\s’'`\"]{1,80})"
)
_ERAS: tuple[tuple[Era, str], ...] = (
    (
        "1.x",
        r"[Ss]cenario execution failed|requires controllers:|exercise a contract not visible to the committer",
    ),
    ("3.x", r"com\.digitalasset\.daml\.lf|[Ss]ynchronizer|SYNCHRONIZER|\bDAML_FAILURE\b|\bgrpcCodeValue\b"),
    ("2.x", r"com\.daml\.lf|NO_DOMAIN_|ON_DOMAIN\b|Unhandled Daml exception:"),
)
_CODES_OF_2 = ("UNHANDLED_EXCEPTION", "TEMPLATE_PRECONDITION_VIOLATED", "LOCAL_VERDICT_DUPLICATE_KEY")
_WORD_CODE = re.compile(r"\b[A-Z][A-Z0-9]{1,30}_[A-Z0-9_]{1,60}\b")


def read_one(text: str) -> Diagnosis:
    """One error."""
    flat = " ".join(text.split())
    code, category, correlation = _code(text)
    kind_of_code = _kind_of_code(code, text)
    named = named_parties(flat) if kind_of_code in (None, "missing_authorization") else None
    kind = named.kind if named else _kind(flat, code, category, kind_of_code)
    action, template_id, choice = place_of(text)
    node = _NODE.search(flat)
    path = path_in(text)
    if template_id is None and node and node[2]:
        template_id = "".join(node[2].split())
    if template_id is None:
        template_id = next((found[1] for place in TEMPLATE_PLACES if (found := place.search(text))), None)
    contract = ON_CONTRACT.search(text)
    if template_id is None and contract:
        template_id = contract[2]
    required, given = (named.required, named.given) if named else ((), ())
    missing = minus(required, given) if named is None or named.missing is None else named.missing
    label = labels([*required, *given, *missing])
    locations = locations_in(text)
    message, exception = _message(text) if FAMILIES[kind] == "rule" else (None, None)
    offending = _OFFENDING.search(text) if kind == "syntax" else None
    read = Diagnosis(
        kind=kind,
        explanation=explanation(kind),
        code=code,
        category=category,
        node=int(node[1]) if node else None,
        template=short_name(template_id) if template_id else None,
        choice=choice,
        action=action or (named.action if named else None) or _action_by_words(flat, kind),
        required=tuple(map(label, required)),
        given=tuple(map(label, given)),
        missing=tuple(map(label, missing)),
        location=next(
            (place for place in locations if not place.module.startswith(("DA.", "GHC."))),
            locations[0] if locations else None,
        ),
        grpc=_grpc(text, category),
        correlation=correlation,
        template_id=template_id,
        parties=tuple(dict.fromkeys([*required, *given, *missing])),
        act_as=names_in(_ACT_AS, text) or (names_in(_CLAIM, text) if kind == "access_token" else ()),
        read_as=names_in(_READ_AS, text),
        stakeholders=names_in(_DISCLOSED, text),
        contracts=contracts_in(text),
        locations=locations,
        path=path,
        message=message,
        exception=exception,
        offending=offending[1].rstrip(".,") if offending else None,
        era=_era(text, code),
    )
    around = read.enclosing
    if around is None:
        return read
    # An authorization error names its own template; the others stopped in the choice that they name last.
    return replace(
        read,
        choice=choice or around.choice,
        template=read.template or (None if read.family == "authorization" else around.template),
    )


def _code(text: str) -> tuple[str | None, int | None, str | None]:
    """Code, category and correlation id."""
    if found := _FRAME.search(text):
        category = int(found[2])
        correlation = found[3].rstrip(".")
        return found[1], category if category > 0 else None, None if correlation in ("", "0") else correlation
    keyed = _CODE_KEY.search(text)
    if keyed and keyed[1] not in GRPC.values():
        category_found = _CATEGORY.search(text)
        return keyed[1], int(category_found[1]) if category_found else None, None
    bare = (word[0] for word in _WORD_CODE.finditer(text, 0, MAX_READ))
    known = next((word for word in bare if word not in GRPC.values() and kind_by_code(word)), None)
    return known, None, None


def _kind_of_code(code: str | None, text: str) -> Kind | None:
    """The kind that a code stands for; None when the words have to tell."""
    kind = kind_by_code(code) if code else None
    if kind == "assertion" and re.search(r"PreconditionFailed|[Tt]emplate precondition violated", text):
        return "precondition"
    return kind


def _kind(flat: str, code: str | None, category: int | None, by_code: Kind | None) -> Kind:
    if by_code is not None:
        return by_code
    by_words = next((kind for kind, pattern in WORDS if re.search(pattern, flat)), None)
    if by_words is not None:
        return by_words
    if code == "DAML_INTERPRETATION_ERROR":
        return "assertion"
    by_category: dict[int, Kind] = {
        1: "system",
        2: "contention",
        3: "system",
        4: "system",
        6: "access_token",
        7: "access_token",
        8: "invalid_command",
    }
    if code and category in by_category:
        return by_category[category]
    status = _grpc(flat, None)
    by_status: dict[str | None, Kind] = {
        "UNAVAILABLE": "system",
        "DEADLINE_EXCEEDED": "system",
        "INTERNAL": "system",
        "RESOURCE_EXHAUSTED": "system",
        "UNAUTHENTICATED": "access_token",
        "PERMISSION_DENIED": "access_token",
    }
    return by_status.get(status, "unknown")


def _grpc(text: str, category: int | None) -> str | None:
    """The gRPC status, as far as it is said or follows from the category."""
    head = text[:MAX_READ]
    named = [found[1] for found in islice(_GRPC_BEFORE.finditer(head), _MAX_STATUSES)]
    if named:  # clients call any transport error UNKNOWN
        return next((name for name in named if name != "UNKNOWN"), named[0])
    if (found := _GRPC_STATUS.search(head)) and found[1].lower() in _GRPC_CAMEL:
        return _GRPC_CAMEL[found[1].lower()]
    if found := _GRPC_VALUE.search(head):
        return GRPC.get(int(found[1]))
    return GRPC_OF_CATEGORY.get(category) if category is not None else None


def _era(text: str, code: str | None) -> Era | None:
    """The line of releases that words its errors like this, where it shows."""
    return next(
        (era for era, pattern in _ERAS if re.search(pattern, text)), "2.x" if code in _CODES_OF_2 else None
    )


def _action_by_words(flat: str, kind: Kind) -> str | None:
    if kind == "no_authorizers":
        return "create" if "signatories" in flat else "exercise" if "controllers" in flat else None
    return None


def _message(text: str) -> tuple[str | None, str | None]:
    """What the code itself said when it stopped, and the exception it threw."""
    said = next((found[1] for pattern in _MESSAGE if (found := pattern.search(text))), None)
    thrown = next((found[1] for pattern in _EXCEPTION if (found := pattern.search(text))), None)
    if said is not None:
        # A quote in the message may have lost its escape, so the one before the brace or at the end closes it.
        said = re.split(r"\"\s{0,5}[}\n]|\"\s{0,5}$", said, maxsplit=1)[0].strip()
        said = said.removesuffix(")") if said.count(")") > said.count("(") else said
    return (said[:_MAX_MESSAGE] if said else None), (short_name(thrown) if thrown else None)
