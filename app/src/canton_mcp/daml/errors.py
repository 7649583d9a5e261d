"""Error texts of ledgers, participants, DAML Script, Studio and the compiler to a kind and what they name.

Works on the text alone, in three steps: wrappers are taken off (JSON bodies, escapes, colours, quote marks), the
paste is cut into its errors, and each error is read. Every step is linear in the length of the text.
The wording of authorization errors is the same in SDK 2.x and 3.x.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

Kind = Literal[
    "missing_authorization",
    "fetch_authorization",
    "lookup_authorization",
    "maintainers_not_signatories",
    "no_authorizers",
    "not_visible",
    "contract_not_found",
    "contract_consumed",
    "contention",
    "contract_key",
    "precondition",
    "assertion",
    "effectful_rollback",
    "unexpected_success",
    "access_token",
    "topology",
    "package",
    "wrong_contract_type",
    "invalid_command",
    "ledger_time",
    "system",
    "syntax",
    "unknown",
]
Family = Literal[
    "authorization",
    "visibility",
    "consumed",
    "key",
    "rule",
    "test",
    "token",
    "topology",
    "package",
    "command",
    "system",
    "syntax",
    "unknown",
]
Era = Literal["1.x", "2.x", "3.x"]

FAMILIES: dict[Kind, Family] = {
    "missing_authorization": "authorization",
    "fetch_authorization": "authorization",
    "lookup_authorization": "authorization",
    "maintainers_not_signatories": "authorization",
    "no_authorizers": "authorization",
    "not_visible": "visibility",
    "contract_not_found": "visibility",
    "contract_consumed": "consumed",
    "contention": "consumed",
    "contract_key": "key",
    "precondition": "rule",
    "assertion": "rule",
    "effectful_rollback": "rule",
    "unexpected_success": "test",
    "access_token": "token",
    "topology": "topology",
    "package": "package",
    "wrong_contract_type": "command",
    "invalid_command": "command",
    "ledger_time": "system",
    "system": "system",
    "syntax": "syntax",
    "unknown": "unknown",
}

_MAX_ERRORS = 50
_MAX_NAMES = 200
_MAX_CONTRACTS = 20
_MAX_PLACES = 20
_MAX_TRACE = 50
_MAX_STEPS = 2_000
_MAX_LIST = 100_000
_MAX_LINE = 600
_MAX_BEFORE = 4_000
_MIN_WIDTH = 40
_MAX_MESSAGE = 500
_MAX_JSON_NODES = 20_000
_MAX_JSON_FAILURES = 200
_MAX_LAYERS = 4
_FINGERPRINT = 68  # "1220" and 64 hex digits
_PACKAGE_ID = 64


@dataclass(frozen=True, slots=True)
class Party:
    """A party as an error prints it: the hint before ``::``, and the whole id (the hint alone if no more is said)."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class Location:
    """Module (or file, from the compiler), and line and column (from 1) where known."""

    module: str
    line: int | None
    column: int | None


@dataclass(frozen=True, slots=True)
class Step:
    """A step on the way to the failure, as a trace or a partial transaction names it.

    `action` is create, exercise, fetch, lookup or command; `actors` only where the text has them.
    """

    action: str
    template: str | None = None
    choice: str | None = None
    contract: str | None = None
    actors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """What an error text says.

    `required`, `given` and `missing` hold names: the part before ``::``, or more of the id where two parties share
    it. `parties` has the whole ids. `path` leads from the submitted command down to the failure.
    """

    kind: Kind
    explanation: str
    code: str | None = None
    category: int | None = None
    node: int | None = None
    template: str | None = None
    choice: str | None = None
    action: str | None = None
    required: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    location: Location | None = None
    grpc: str | None = None
    correlation: str | None = None
    template_id: str | None = None
    parties: tuple[Party, ...] = ()
    act_as: tuple[str, ...] = ()
    read_as: tuple[str, ...] = ()
    stakeholders: tuple[str, ...] = ()
    contracts: tuple[str, ...] = ()
    locations: tuple[Location, ...] = ()
    path: tuple[Step, ...] = ()
    message: str | None = None
    exception: str | None = None
    offending: str | None = None
    era: Era | None = None
    others: tuple[Diagnosis, ...] = field(default=(), repr=False)

    @property
    def family(self) -> Family:
        """What sort of problem it is, coarser than the kind."""
        return FAMILIES[self.kind]

    @property
    def enclosing(self) -> Step | None:
        """The exercise in whose body it failed, where the text has the way there."""
        traced = any(step.action == "command" for step in self.path)
        # A partial transaction ends with the action that lacked authority, a trace with the choice around it.
        steps = self.path if traced or self.family != "authorization" else self.path[:-1]
        return next((step for step in reversed(steps) if step.choice), None)

    @property
    def inside_choice(self) -> bool | None:
        """Whether the failing action stands in a choice body (True) or is the submitted command (False).

        A node above 0 is mostly, not always, inside a choice: a submission may hold several commands.
        """
        if self.path:
            return self.enclosing is not None
        return None if self.node is None else self.node > 0


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
    plain = _without_wrappers(text)
    found = _read_all(_with_whole_ids(plain))
    joined = _without_hard_wraps(plain)
    if joined != plain:
        again = _read_all(_with_whole_ids(joined))
        if sum(map(_told, again)) > sum(map(_told, found)):
            return again
    return found


def short_name(identifier: str) -> str:
    """Template name of ``PKG:Mod:T``, ``Mod:T`` or ``Mod:T@PKG``."""
    return identifier.partition("@")[0].rpartition(":")[2]


def party_names(text: str) -> tuple[str, ...]:
    """Party names in a list as error texts print it, without the fingerprint after ``::``."""
    return tuple(dict.fromkeys(party.name for party in _parties(text)))


def explanation(kind: Kind) -> str:
    """What an error of this kind means."""
    return _EXPLANATIONS[kind]


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


# wrappers -----------------------------------------------------------------------------------------------

_COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]")
_ENTITY = {"&quot;": '"', "&#39;": "'", "&apos;": "'", "&lt;": "<", "&gt;": ">", "&amp;": "&"}
_ENTITIES = re.compile("|".join(_ENTITY))
# A quote mark, a table edge, or the name of a container before every line.
_MARGIN = re.compile(
    r"^[ \t]{0,20}(?:(?:>[ \t]?){1,5}|\|[ \t]?(?=[ \t]*\S))|^[A-Za-z][\w.-]{0,60}[ \t]{1,20}\|[ \t]",
    re.MULTILINE,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([\"'\\/nrt]))")
_ESCAPED = {"n": "\n", "r": "\n", "t": "\t"}
_BROKEN_PARTY = re.compile(r"(::[0-9a-f]{1,67})[ \t]{0,20}\n[ \t]{0,40}([0-9a-f]{1,67})(?![0-9a-z])")
_BROKEN_PACKAGE = re.compile(
    r"(?<![0-9a-zA-Z:])([0-9a-f]{8,63})[ \t]{0,20}\n[ \t]{0,40}([0-9a-f]{1,63})(?=:)"
)
_GRPC = {
    1: "CANCELLED",
    2: "UNKNOWN",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    5: "NOT_FOUND",
    6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED",
    8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION",
    10: "ABORTED",
    11: "OUT_OF_RANGE",
    12: "UNIMPLEMENTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
    15: "DATA_LOSS",
    16: "UNAUTHENTICATED",
}
_GRPC_OF_CATEGORY = {
    1: "UNAVAILABLE",
    2: "ABORTED",
    3: "DEADLINE_EXCEEDED",
    4: "INTERNAL",
    5: "INVALID_ARGUMENT",
    6: "UNAUTHENTICATED",
    7: "PERMISSION_DENIED",
    8: "INVALID_ARGUMENT",
    9: "FAILED_PRECONDITION",
    10: "ALREADY_EXISTS",
    11: "NOT_FOUND",
    12: "OUT_OF_RANGE",
    14: "UNIMPLEMENTED",
}
_JSON_START = re.compile(r"\{\s{0,50}\"")
_CODE_WORD = re.compile(r"[A-Z][A-Z0-9_]{5,60}")


def _without_wrappers(text: str) -> str:
    """The text with JSON bodies as lines, without escapes, colours and margins."""
    if "\x1b" in text:
        text = _COLOUR.sub("", text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "&" in text:
        text = _ENTITIES.sub(lambda found: _ENTITY[found[0]], text)
    for _ in range(_MAX_LAYERS):
        before = text
        text = _json_as_lines(text)
        if "\\" in text:
            text = _ESCAPE.sub(_unescaped, text)
        if text == before:
            break
    return _MARGIN.sub("", text)


def _unescaped(found: re.Match[str]) -> str:
    if found[1]:
        return chr(int(found[1], 16))
    return _ESCAPED.get(found[2], found[2])


def _with_whole_ids(text: str) -> str:
    """The text with the ids that a line end broke in two."""
    for _ in range(_MAX_LAYERS):  # a narrow column breaks an id more than once
        before = text
        text = _BROKEN_PARTY.sub(_joined(_FINGERPRINT + 2), text)
        if text == before:
            break
    return _BROKEN_PACKAGE.sub(_joined(_PACKAGE_ID), text)


def _joined(limit: int) -> Callable[[re.Match[str]], str]:
    """Joins the two halves of an id that a line end broke, when together they are not longer than an id."""
    return lambda found: found[1] + found[2] if len(found[1]) + len(found[2]) <= limit else found[0]


def _without_hard_wraps(text: str) -> str:
    """The text with lines of the greatest width joined to the next one, as a terminal had broken them."""
    lines = text.split("\n")
    width = max(map(len, lines))
    if width < _MIN_WIDTH or width == len(text):
        return text
    return "".join(line if len(line) == width else line + "\n" for line in lines)


def _json_as_lines(text: str) -> str:
    """Replaces each JSON object or array of objects by what it says, the error frame first."""
    decoder = json.JSONDecoder()
    parts: list[str] = []
    done = at = failures = 0
    # Every failure costs a look at the whole text before it.
    while failures < _MAX_JSON_FAILURES and (start := _JSON_START.search(text, at)):
        try:
            value, end = decoder.raw_decode(text, start.start())
        except json.JSONDecodeError as problem:
            failures += 1
            at = max(start.end(), problem.pos)  # never back: what was scanned is not scanned again
            continue
        except (RecursionError, ValueError):  # nested too deeply, or a number too long
            break
        parts += [text[done : start.start()], "\n", "\n".join(_json_lines(value)), "\n"]
        done = at = end
    return "".join([*parts, text[done:]]) if parts else text


def _json_lines(root: Any) -> Iterator[str]:
    pending: list[tuple[str, Any]] = [("", root)]
    for _ in range(_MAX_JSON_NODES):
        if not pending:
            return
        name, value = pending.pop()
        if isinstance(value, dict):
            frame, used = _json_frame(value)
            if frame:
                yield frame
            pending += [(key, item) for key, item in reversed(value.items()) if key not in used]
        elif isinstance(value, list):
            if len(value) == 2 and all(isinstance(item, str) for item in value):
                yield f"{_resource(value[0])}: {value[1]}"  # a resource, such as ["TEMPLATE_ID", "p:M:T"]
            elif name.lower() in ("actas", "readas") and all(isinstance(item, str) for item in value):
                yield f"{name}: {', '.join(value)}"
            else:
                pending += [(name, item) for item in reversed(value)]
        elif isinstance(value, (str, int)) and value != "":
            yield f"{name}: {value}" if name else str(value)


def _json_frame(value: dict[str, Any]) -> tuple[str, frozenset[str]]:
    """The error frame of an object that has a code, and the members it was made of."""
    code = next((value[key] for key in ("code", "errorCodeId", "errorCode") if key in value), None)
    text_key = next((key for key in ("cause", "message", "details") if isinstance(value.get(key), str)), None)
    text = value[text_key] if text_key else ""
    context = value.get("context") or value.get("metadata") or {}
    category = value.get("errorCategory")
    if isinstance(context, dict) and not isinstance(category, int):
        category = context.get("category")
    number = value.get("grpcCodeValue", code)
    grpc = f"{_GRPC[number]}: " if isinstance(number, int) and number in _GRPC else ""
    if isinstance(code, str) and _CODE_WORD.fullmatch(code):
        correlation = str(value.get("correlationId") or value.get("traceId") or 0)
        known = str(category) if str(category).isdigit() else "0"
        used = frozenset({"code", "errorCodeId", "errorCode", text_key or ""})
        return f"{grpc}{code}({known},{correlation}): {text}", used
    if grpc and text:
        return f"{grpc}{text}", frozenset({"code", text_key or ""})
    return "", frozenset()


def _resource(name: str) -> str:
    return name.removeprefix("ErrorResource(").removesuffix(")")


# the errors of a paste ----------------------------------------------------------------------------------

_FRAME = re.compile(r"\b([A-Z][A-Z0-9_]{5,60})\((-?\d{1,2})\s{0,5},\s{0,5}([^():,\s]{0,80})")
_CODE_KEY = re.compile(
    r"\b(?:code|errorCodeId|errorCode|error_code)[\"']?\s{0,5}[:=]\s{0,5}[\"']?([A-Z][A-Z0-9_]{5,60})\b"
)
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


def _read_all(text: str) -> tuple[Diagnosis, ...]:
    found: list[Diagnosis] = []
    for part in _split(text):
        new = _read(part)
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
            yield text[start : min(cut, start + _MAX_LIST)]
            count += 1
            if count >= _MAX_ERRORS:
                return
            start, seen = cut, set()
        seen.add(role)
        last = anchor.end()
    yield text[start : start + _MAX_LIST] if seen else text


def _same(one: Diagnosis, other: Diagnosis) -> bool:
    """Whether two texts tell of one error, as wrappers repeat what they wrap."""
    if one.kind != other.kind or (one.code and other.code and one.code != other.code):
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


def _merged(one: Diagnosis, other: Diagnosis) -> Diagnosis:
    names = [name for name in one.__dataclass_fields__ if name not in ("kind", "explanation", "others")]
    return replace(one, **{name: getattr(other, name) for name in names if getattr(one, name) in (None, ())})


# one error ----------------------------------------------------------------------------------------------

_TEMPLATE_ID = r"(?:#?[\w.-]{1,200}:)?[A-Z][\w.']{0,200}:[A-Z][\w']{0,200}(?:@[0-9a-f]{1,64})?"
_NODE = re.compile(r"NodeId\((\d{1,9})\)(?:\s?\(([^()]{1,400})\))?")
_AT = re.compile(
    r"\b([A-Z][\w.]{0,200}):(\d{1,7}):(\d{1,7})\b"
    r"|\bat\s{1,40}(?:[0-9a-f]{8,64}:)?([A-Z][\w.]{0,200}):(\d{1,7})\b(?!:)"
)
_IN_FILE = re.compile(r"(?<![\w./\\-])([\w./\\-]{1,300}\.daml):\(?(\d{1,7})[:,](\d{1,7})")
_RANGE = re.compile(r"\bRange:\s{1,20}(\d{1,7}):(\d{1,7})")
_FILE = re.compile(r"\bFile:\s{1,20}(\S{1,300}\.daml)")
_STUDIO = re.compile(rf"\b(create|fetch|lookup by key) of\s{{1,40}}({_TEMPLATE_ID})\s{{1,40}}at\s")
_STUDIO_EXERCISE = re.compile(
    rf"\bexercise of\s{{1,40}}([\w.]{{1,200}})\s{{1,40}}in\s{{1,40}}({_TEMPLATE_ID})\s{{1,40}}at\s"
)
_TRACE = re.compile(
    rf"\bin (choice|(?:create-and-exercise|exercise-by-key|exercise|create) command)\s{{1,20}}({_TEMPLATE_ID}(?::[A-Z]\w{{0,200}})?)"
    r"(?:\s{1,20}on contract\s{1,20}([0-9a-zA-Z#:]{1,300}))?"
)
_TREE_LINE = re.compile(
    rf"(?P<actors>\S[^\n]{{0,300}}?\s)?(?P<verb>creates?|exercises?|fetch(?:es)?|lookup by key)\s{{1,20}}"
    rf"(?:(?P<choice>[A-Z]\w{{0,200}})(?::(?P<of>{_TEMPLATE_ID}))?\s{{1,20}}on\s{{1,20}}(?P<contract>[#0-9a-f:]{{1,300}})"
    rf"(?:\s{{1,20}}\((?P<on>{_TEMPLATE_ID})\))?|(?P<template>{_TEMPLATE_ID})|(?P<fetched>[#0-9a-f:]{{1,300}})"
    rf"(?:\s{{1,20}}\((?P<type>{_TEMPLATE_ID})\))?)"
)
_ON_CONTRACT = re.compile(rf"\bContract:\s{{0,20}}([#0-9a-f:]{{1,300}})(?:\s{{1,20}}\(({_TEMPLATE_ID})\))?")
_NAMED_CONTRACT = re.compile(
    r"(?:\bid|\bcontract|\bcontract id|CONTRACT_ID|ContractId)[\"'(:=\s]{1,6}(00[0-9a-f]{2,300})\b"
)
_CONTRACT = re.compile(r"\b00[0-9a-f]{64,300}\b")
_TEMPLATE_PLACES = (
    re.compile(rf"TEMPLATE_ID:\s{{0,5}}({_TEMPLATE_ID})"),
    re.compile(rf"precondition violation when creating\s{{1,20}}({_TEMPLATE_ID})"),
    re.compile(rf"precondition violated in:?\s{{1,60}}create\s{{1,20}}({_TEMPLATE_ID})"),
    re.compile(rf"inactive contract\s{{1,20}}[0-9a-f#:]{{1,300}}\s{{0,20}}\(({_TEMPLATE_ID})\)"),
    re.compile(rf"maintainers:?\s{{1,60}}create\s{{1,20}}({_TEMPLATE_ID})"),
    re.compile(rf"\bTemplate:\s{{1,20}}({_TEMPLATE_ID})"),
    re.compile(rf"Expected contract of type\s{{1,20}}({_TEMPLATE_ID})"),
    re.compile(rf"Expected type:\s{{1,20}}({_TEMPLATE_ID})"),
    re.compile(rf"contract (?:with )?key [^\n]{{0,500}}\(({_TEMPLATE_ID})\)"),
    re.compile(rf"upgrade the contract\s{{1,20}}\S{{1,300}}\s{{1,20}}from\s{{1,20}}({_TEMPLATE_ID})"),
)
_CATEGORY = re.compile(r"\b(?:errorC|c)ategory[\"']?\s{0,5}[:=]\s{0,5}[\"']?(\d{1,2})\b")
_GRPC_NAMES = "|".join(sorted(_GRPC.values(), key=len, reverse=True))
_GRPC_CAMEL = {name.replace("_", "").lower(): name for name in _GRPC.values()}
_GRPC_BEFORE = re.compile(rf"\b({_GRPC_NAMES})\b(?!\()")
_GRPC_STATUS = re.compile(r"\b[Cc]ode\s{0,3}[:=]\s{0,3}([A-Z][a-z]{1,12}(?:[A-Z][a-z]{1,12}){0,2})\b")
_GRPC_VALUE = re.compile(r"\b(?:grpcCodeValue|grpc_status)[\"']?\s{0,5}[:=]\s{0,5}(\d{1,2})\b")
_ACT_AS = re.compile(r"\bact_?[aA]s\b[\"']?[ \t]{0,5}[:=][ \t]{0,5}([^\n]{0,4000})")
_READ_AS = re.compile(r"\bread_?[aA]s\b[\"']?[ \t]{0,5}[:=][ \t]{0,5}([^\n]{0,4000})")
_AS_NAME = re.compile(r"\b(?:act|read)_?[aA]s\b")
_EMPTY = re.compile(r"(?:Seq|Set|List|Vector|TreeSet)\(\s{0,5}\)|\[\s{0,5}\]")
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
_LIST_NAME = re.compile(r"[^\s,'\"`‘’(){}\[\];]{1,300}")
_OPENING = re.compile(r"[\s'\"`‘\[{(]{0,20}(?:(?:TreeSet|HashSet|Set\d?|List|Seq|Vector|Some)\(\s{0,5})?")
_COMMA = re.compile(r"['\"`’]{0,2}\s{0,5},\s{0,5}['\"`‘]{0,2}")
_COLLECTION = re.compile(r"\b(?:TreeSet|HashSet|Set\d?|List|Seq|Vector)\(")


def _read(text: str) -> Diagnosis:
    """One error."""
    flat = " ".join(text.split())
    code, category, correlation = _code(text)
    kind_of_code = _kind_of_code(code, text)
    named = _named_parties(flat) if kind_of_code in (None, "missing_authorization") else None
    kind = named.kind if named else _kind(flat, code, category, kind_of_code)
    action, template_id, choice = _place(text)
    node = _NODE.search(flat)
    path = _path(text)
    if template_id is None and node and node[2]:
        template_id = "".join(node[2].split())
    if template_id is None:
        template_id = next((found[1] for place in _TEMPLATE_PLACES if (found := place.search(text))), None)
    contract = _ON_CONTRACT.search(text)
    if template_id is None and contract:
        template_id = contract[2]
    required, given = (named.required, named.given) if named else ((), ())
    missing = _minus(required, given) if named is None or named.missing is None else named.missing
    label = _labels([*required, *given, *missing])
    locations = _locations(text)
    message, exception = _message(text) if FAMILIES[kind] == "rule" else (None, None)
    offending = _OFFENDING.search(text) if kind == "syntax" else None
    read = Diagnosis(
        kind=kind,
        explanation=_EXPLANATIONS[kind],
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
        act_as=_names_in(_ACT_AS, text),
        read_as=_names_in(_READ_AS, text),
        stakeholders=_names_in(_DISCLOSED, text),
        contracts=_contracts(text),
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
    if keyed and keyed[1] not in _GRPC.values():
        category_found = _CATEGORY.search(text)
        return keyed[1], int(category_found[1]) if category_found else None, None
    bare = (word[0] for word in _WORD_CODE.finditer(text, 0, _MAX_LIST))
    known = next((word for word in bare if word not in _GRPC.values() and _kind_by_code(word)), None)
    return known, None, None


def _kind_by_code(code: str) -> Kind | None:
    if code in _CODES:
        return _CODES[code]
    return next((kind for prefix, kind in _CODE_PREFIXES if code.startswith(prefix)), None)


def _kind_of_code(code: str | None, text: str) -> Kind | None:
    """The kind that a code stands for; None when the words have to tell."""
    kind = _kind_by_code(code) if code else None
    if kind == "assertion" and re.search(r"PreconditionFailed|[Tt]emplate precondition violated", text):
        return "precondition"
    return kind


def _kind(flat: str, code: str | None, category: int | None, by_code: Kind | None) -> Kind:
    if by_code is not None:
        return by_code
    by_words = next((kind for kind, pattern in _WORDS if re.search(pattern, flat)), None)
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
    head = text[:_MAX_LIST]
    named = [found[1] for found in islice(_GRPC_BEFORE.finditer(head), _MAX_PLACES)]
    if named:  # clients call any transport error UNKNOWN
        return next((name for name in named if name != "UNKNOWN"), named[0])
    if (found := _GRPC_STATUS.search(head)) and found[1].lower() in _GRPC_CAMEL:
        return _GRPC_CAMEL[found[1].lower()]
    if found := _GRPC_VALUE.search(head):
        return _GRPC.get(int(found[1]))
    return _GRPC_OF_CATEGORY.get(category) if category is not None else None


def _era(text: str, code: str | None) -> Era | None:
    """The line of releases that words its errors like this, where it shows."""
    return next(
        (era for era, pattern in _ERAS if re.search(pattern, text)), "2.x" if code in _CODES_OF_2 else None
    )


def _action_by_words(flat: str, kind: Kind) -> str | None:
    if kind == "no_authorizers":
        return "create" if "signatories" in flat else "exercise" if "controllers" in flat else None
    return None


# parties ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Named:
    kind: Kind
    required: tuple[Party, ...] = ()
    given: tuple[Party, ...] = ()
    missing: tuple[Party, ...] | None = None
    action: str | None = None


def _named_parties(flat: str) -> _Named | None:
    """The parties an authorization error names, by the sentences that ledgers, Studio and logs print."""
    for read in _SENTENCES:
        if found := read(flat):
            return found
    return None


def _between(flat: str, start: str, *ends: str) -> tuple[str, int] | None:
    """What stands after `start`, up to the nearest of `ends` if one is there, and where it ends."""
    at = flat.find(start)
    if at < 0:
        return None
    at += len(start)
    stops = [stop for end in ends if (stop := flat.find(end, at, at + _MAX_LIST)) >= 0]
    stop = min(stops, default=min(len(flat), at + _MAX_LIST))
    return flat[at:stop], stop


def _authorizers(flat: str) -> _Named | None:
    for start, action in (("requires authorizers ", None), ("requires controllers: ", "exercise")):
        required = _between(flat, start, ", but only", " but only", " for lookup by key")
        if required is None:
            continue
        rest = flat[required[1] :]
        if rest.startswith(" for lookup by key"):
            has = _between(rest, "but it only has")
            given = _leading_list(has[0]) if has else ()
            return _Named("lookup_authorization", _parties(required[0]), given, action="lookup")
        has = _between(rest, "but only", "were given", "was given")
        if has is None:
            return _Named("missing_authorization", _leading_list(required[0]), action=action)
        return _Named("missing_authorization", _parties(required[0]), _parties(has[0]), action=action)
    return None


def _fetch(flat: str) -> _Named | None:
    # Any one stakeholder would do, so none of them is "the" missing one.
    for start, end, then in (
        ("requires one of the stakeholders ", " of the fetched contract", "authorizers were"),
        ("since none of the stakeholders ", "in the authorizing set", "in the authorizing set"),
    ):
        if required := _between(flat, start, end):
            has = _between(flat[required[1] :], then)
            stakeholders = _parties(required[0].removesuffix(" is ").removesuffix(" are "))
            return _Named(
                "fetch_authorization", stakeholders, _leading_list(has[0]) if has else (), (), "fetch"
            )
    return None


def _maintainers(flat: str) -> _Named | None:
    if found := _between(flat, "has maintainers ", " which are not a subset"):
        signatories = _between(flat[found[1] :], "of the signatories ")
        given = _leading_list(signatories[0]) if signatories else ()
        return _Named("maintainers_not_signatories", _parties(found[0]), given, action="create")
    if found := _between(flat, "some parties are maintainers but not signatories:"):
        missing = _leading_list(found[0])
        return _Named("maintainers_not_signatories", missing, (), missing, "create")
    return None


def _studio_missing(flat: str) -> _Named | None:
    found = _between(flat, "failed due to a missing authorization from ")
    if found is None:
        return None
    missing = _leading_list(found[0])
    if re.search(r"lookup by key of [^\n]{0,600}failed due to a missing authorization", flat[:_MAX_LIST]):
        return _Named("lookup_authorization", missing, (), missing, "lookup")
    return _Named("missing_authorization", missing, (), missing)


def _log_missing(flat: str) -> _Named | None:
    for start, end in (
        ("Missing authorization for ", " through the submitting parties"),
        ("missing the following acting parties:", "."),
    ):
        if (at := flat.find(start)) >= 0 and (start.startswith("missing") or flat.find(end, at) >= 0):
            missing = _leading_list(flat[at + len(start) : at + len(start) + _MAX_LIST])
            return _Named("missing_authorization", missing, (), missing)
    return None


def _old_commit(flat: str) -> _Named | None:
    at = flat.find(" is not authorized to commit an update")
    if at < 0:
        return None
    # The party that tried, not the one that is missing: the text does not name that one.
    return _Named("missing_authorization", (), _parties(flat[max(0, at - 300) : at].rpartition(" ")[2]))


def _none_at_all(flat: str) -> _Named | None:
    if re.search(
        r"\bhas no (?:signatories|controllers|authorizers)\b|failed due (?:to )?missing (?:signatories|controllers)",
        flat,
    ):
        return _Named("no_authorizers")
    return None


_SENTENCES: tuple[Callable[[str], _Named | None], ...] = (
    _authorizers,
    _fetch,
    _maintainers,
    _studio_missing,
    _log_missing,
    _none_at_all,
    _old_commit,
)


def _parties(text: str) -> tuple[Party, ...]:
    """The parties of a whole list; blanks inside an id come from broken lines."""
    inner = _COLLECTION.sub(" ", text[:_MAX_LIST]).replace(")", " ").replace(" and ", ",")
    parts = (re.sub(r"[\s'\"`‘’\\]", "", part).rstrip(".;]}").lstrip("[{(") for part in inner.split(","))
    return tuple(dict.fromkeys(_party(part) for part in parts if part))[:_MAX_NAMES]


def _leading_list(text: str) -> tuple[Party, ...]:
    """The parties of a list that starts a text and has no end mark: ``A,B``, ``'A', 'B'`` or ``TreeSet(A, B)``."""
    text = text[:_MAX_LIST]
    opening = _OPENING.match(text)
    at = opening.end() if opening else 0
    found: list[Party] = []
    while len(found) < _MAX_NAMES and (name := _LIST_NAME.match(text, at)):
        word = name[0] if "…" in name[0] or "..." in name[0] else name[0].rstrip(".:")
        if word:
            found.append(_party(word))
        rest = _COMMA.match(text, name.end())
        if rest is None or rest.end() == len(text):
            break
        at = rest.end()
    return tuple(dict.fromkeys(found))


def _party(text: str) -> Party:
    return Party(text.partition("::")[0], text)


def _minus(required: Iterable[Party], given: tuple[Party, ...]) -> tuple[Party, ...]:
    return tuple(party for party in required if not any(_is_same_party(party, other) for other in given))


def _is_same_party(one: Party, other: Party) -> bool:
    """By name, and by the rest of the id as far as both have it: the same name may live on another participant."""
    if one.name != other.name:
        return False
    ids = [party.id.rstrip("….").partition("::")[2] for party in (one, other)]
    return not all(ids) or ids[0].startswith(ids[1]) or ids[1].startswith(ids[0])


def _labels(parties: Iterable[Party]) -> Callable[[Party], str]:
    """How to call each party: its name, with some of the id where two share the name."""
    ids: dict[str, list[Party]] = {}
    for party in dict.fromkeys(parties):
        known = ids.setdefault(party.name, [])
        if not any(_is_same_party(party, other) for other in known):
            known.append(party)
    shared = {name for name, known in ids.items() if len(known) > 1}

    def label(party: Party) -> str:
        fingerprint = party.id.partition("::")[2]
        return f"{party.name}::{fingerprint[:12]}…" if party.name in shared and fingerprint else party.name

    return label


def _names_in(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    found = pattern.search(text)
    if found is None:
        return ()
    listed = _AS_NAME.split(found[1], maxsplit=1)[0].rstrip("\"', ")
    if _EMPTY.match(listed):
        return ()
    return tuple(dict.fromkeys(party.name for party in _leading_list(listed)))


# places -------------------------------------------------------------------------------------------------


def _place(text: str) -> tuple[str | None, str | None, str | None]:
    """Action, template id and choice as Studio and DAML Script name them."""
    if found := _STUDIO_EXERCISE.search(text):
        return ("archive" if found[1] == "Archive" else "exercise"), found[2], found[1]
    if found := _STUDIO.search(text):
        return found[1].removesuffix(" by key"), found[2], None
    return None, None, None


def _locations(text: str) -> tuple[Location, ...]:
    found: dict[Location, None] = {}
    for place in _AT.finditer(text, 0, _MAX_LIST):
        module, line, column = (place[1], place[2], place[3]) if place[1] else (place[4], place[5], None)
        if module.endswith(".daml"):
            continue
        found[Location(module, int(line), int(column) if column else None)] = None
        if len(found) >= _MAX_PLACES:
            break
    for place in _IN_FILE.finditer(text, 0, _MAX_LIST):
        if len(found) >= _MAX_PLACES:
            break
        found[Location(place[1], int(place[2]), int(place[3]))] = None
    if not found and (span := _RANGE.search(text)):
        file = _FILE.search(text)
        found[Location(file[1] if file else "", int(span[1]), int(span[2]))] = None
    return tuple(found)


def _contracts(text: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for pattern in (_ON_CONTRACT, _NAMED_CONTRACT, _CONTRACT):
        for match in pattern.finditer(text, 0, _MAX_LIST):
            found[match[1 if match.lastindex else 0].rstrip(":")] = None
            if len(found) >= _MAX_CONTRACTS:
                return tuple(found)
    return tuple(found)


def _path(text: str) -> tuple[Step, ...]:
    """The way from the command to the failure: from trace lines, else from the partial transaction."""
    trace: list[Step] = []
    for found in _TRACE.finditer(text, 0, _MAX_LIST):
        template, choice = _template_and_choice(
            found[2], with_choice=not found[1].startswith("create command")
        )
        action = "exercise" if found[1] == "choice" else "command"
        contract = found[3].rstrip(".:") if found[3] else None
        trace.append(Step(action, template, choice, contract))
        if len(trace) >= _MAX_TRACE:
            break
    if trace:
        return tuple(reversed(trace))  # printed from the inside out
    return _partial_transaction(text)


def _template_and_choice(identifier: str, with_choice: bool) -> tuple[str, str | None]:
    head, _, last = identifier.rpartition(":")
    if with_choice and head.count(":") >= 1:
        return short_name(head), last
    return short_name(identifier), None


def _partial_transaction(text: str) -> tuple[Step, ...]:
    """The last step of the tree and those above it, by indentation."""
    start = text.find("Partial transaction:")
    if start < 0:
        return ()
    end = text.find("Committed transactions", start)
    part = text[start : end if end >= 0 else start + _MAX_LIST]
    tree = part.find("Sub-transactions")
    lines = part[tree if tree >= 0 else 0 :].split("\n", _MAX_STEPS)[1:_MAX_STEPS]
    steps: list[tuple[int, Step]] = []
    for line in lines:
        arrow = line.find("└─>")
        if arrow < 0 and "->" not in line:
            continue
        arrow = arrow if arrow >= 0 else line.find("->")
        found = _TREE_LINE.search(line, arrow + 2, arrow + _MAX_LINE)
        if found:
            steps.append((arrow, _tree_step(found)))
    path: list[tuple[int, Step]] = []
    for depth, step in reversed(steps):
        if not path or depth < path[-1][0]:
            path.append((depth, step))
    return tuple(step for _, step in reversed(path))[-_MAX_TRACE:]


def _tree_step(found: re.Match[str]) -> Step:
    verb = found["verb"]
    action = next(name for name in ("create", "exercise", "fetch", "lookup") if verb.startswith(name))
    template = found["of"] or found["on"] or found["template"] or found["type"]
    actors = tuple(party.name for party in _parties((found["actors"] or "").removeprefix(">")) if party.name)
    return Step(
        action,
        short_name(template) if template else None,
        found["choice"],
        found["contract"] or found["fetched"],
        actors,
    )


def _message(text: str) -> tuple[str | None, str | None]:
    """What the code itself said when it stopped, and the exception it threw."""
    said = next((found[1] for pattern in _MESSAGE if (found := pattern.search(text))), None)
    thrown = next((found[1] for pattern in _EXCEPTION if (found := pattern.search(text))), None)
    if said is not None:
        # A quote in the message may have lost its escape, so the one before the brace or at the end closes it.
        said = re.split(r"\"\s{0,5}[}\n]|\"\s{0,5}$", said, maxsplit=1)[0].strip()
        said = said.removesuffix(")") if said.count(")") > said.count("(") else said
    return (said[:_MAX_MESSAGE] if said else None), (short_name(thrown) if thrown else None)


# kinds --------------------------------------------------------------------------------------------------

_CODES: dict[str, Kind] = {
    "DAML_AUTHORIZATION_ERROR": "missing_authorization",
    "CONTRACT_NOT_FOUND": "contract_not_found",
    "CONTRACT_NOT_ACTIVE": "contract_consumed",
    "LOCAL_VERDICT_INACTIVE_CONTRACTS": "contention",
    "LOCAL_VERDICT_LOCKED_CONTRACTS": "contention",
    "LOCAL_VERDICT_LOCKED_KEYS": "contention",
    "LOCAL_VERDICT_DUPLICATE_KEY": "contention",
    "LOCAL_VERDICT_INCONSISTENT_KEY": "contention",
    "LOCAL_VERDICT_TIMEOUT": "system",
    "INCONSISTENT": "contention",
    "INCONSISTENT_CONTRACTS": "contention",
    "DUPLICATE_COMMAND": "contention",
    "SUBMISSION_ALREADY_IN_FLIGHT": "contention",
    "CONTRACT_KEY_NOT_FOUND": "contract_key",
    "DUPLICATE_CONTRACT_KEY": "contract_key",
    "INCONSISTENT_CONTRACT_KEY": "contract_key",
    "CREATE_EMPTY_CONTRACT_KEY_MAINTAINERS": "contract_key",
    "FETCH_EMPTY_CONTRACT_KEY_MAINTAINERS": "contract_key",
    "CONTRACT_ID_IN_CONTRACT_KEY": "contract_key",
    "TEMPLATE_PRECONDITION_VIOLATED": "precondition",
    "UNHANDLED_EXCEPTION": "assertion",
    "DAML_FAILURE": "assertion",
    "INTERPRETATION_USER_ERROR": "assertion",
    "DAML_EFFECTFUL_ROLLBACK_ERROR": "effectful_rollback",
    "DAML_INTERPRETER_INVALID_ARGUMENT": "invalid_command",
    "COMMAND_PREPROCESSING_FAILED": "invalid_command",
    "NON_COMPARABLE_VALUES": "invalid_command",
    "CONTRACT_ID_COMPARABILITY": "invalid_command",
    "VALUE_NESTING": "invalid_command",
    "INVALID_FIELD": "invalid_command",
    "MISSING_FIELD": "invalid_command",
    "DISCLOSED_CONTRACT_KEY_HASHING_ERROR": "invalid_command",
    "WRONGLY_TYPED_CONTRACT": "wrong_contract_type",
    "CONTRACT_DOES_NOT_IMPLEMENT_INTERFACE": "wrong_contract_type",
    "CONTRACT_DOES_NOT_IMPLEMENT_REQUIRING_INTERFACE": "wrong_contract_type",
    "PERMISSION_DENIED": "access_token",
    "UNAUTHENTICATED": "access_token",
    "UNKNOWN_SUBMITTERS": "topology",
    "UNKNOWN_INFORMEES": "topology",
    "INFORMEES_NOT_ACTIVE": "topology",
    "SUBMITTERS_NOT_ACTIVE": "topology",
    "SUBMITTER_ALWAYS_STAKEHOLDER": "topology",
    "PARTY_NOT_KNOWN_ON_LEDGER": "topology",
    "PARTY_NOT_KNOWN_ON_DOMAIN": "topology",
    "SUBMITTING_PARTY_NOT_KNOWN_ON_LEDGER": "topology",
    "USER_PARTY_NOT_HOSTED": "topology",
    "NOT_CONNECTED_TO_ANY_SYNCHRONIZER": "topology",
    "NOT_CONNECTED_TO_ANY_DOMAIN": "topology",
    "NOT_CONNECTED_TO_SYNCHRONIZER": "topology",
    "UNRESOLVED_PACKAGE_NAME": "package",
    "ALLOWED_LANGUAGE_VERSIONS": "package",
    "TEMPLATES_OR_INTERFACES_NOT_FOUND": "package",
    "UNKNOWN_CONTRACT_SYNCHRONIZERS": "topology",
    "LEDGER_TIME_ERROR": "ledger_time",
    "PARTICIPANT_BACKPRESSURE": "system",
    "SERVICE_NOT_RUNNING": "system",
    "SERVER_IS_SHUTTING_DOWN": "system",
    "REQUEST_TIME_OUT": "system",
    "REQUEST_DEADLINE_EXCEEDED": "system",
    "SEQUENCER_BACKPRESSURE": "system",
    "MEDIATOR_SAYS_TX_TIMED_OUT": "system",
    "THREADPOOL_OVERLOADED": "system",
    "LEDGER_API_INTERNAL_ERROR": "system",
}
# Families of codes that grow from release to release.
_CODE_PREFIXES: tuple[tuple[str, Kind], ...] = (
    ("INTERPRETATION_UPGRADE_ERROR", "package"),
    ("PACKAGE_", "package"),
    ("NO_SYNCHRONIZER_", "topology"),
    ("NO_DOMAIN_", "topology"),
    ("TOPOLOGY_", "topology"),
    ("LOCAL_VERDICT_LEDGER_TIME", "ledger_time"),
    ("LOCAL_VERDICT_SUBMISSION_", "ledger_time"),
    ("SEQUENCER_", "system"),
)
# Kind by words, for texts without a telling code; the first match decides, so the more telling come first.
_WORDS: tuple[tuple[Kind, str], ...] = (
    ("unexpected_success", r"Expected submit to fail but it succeeded|A must-fail commit succeeded"),
    (
        "not_visible",
        r"contract not visible to the (?:reading parties|committer)|key associated with a contract not visible",
    ),
    (
        "contract_consumed",
        r"fetch of an inactive contract|exercise a contract that was consumed|exercise a consumed contract|"
        r"was consumed in same|\bcontractNotActive\b",
    ),
    (
        "contract_key",
        r"couldn't find key|duplicate contract key|unique key violation|no contract with that key|"
        r"due to inconsistent key|inconsistent contract key|did not find a contract with key|"
        r"empty set of maintainers|not supported in contract key|\bcontractKeyNotFound\b",
    ),
    (
        "contract_not_found",
        r"Contract could not be found with id|due to a unknown contract|\bcontractNotFound\b",
    ),
    (
        "precondition",
        r"(?i:template precondition violated|precondition violation)|PreconditionFailed|choice with a failing guard|"
        r"[Cc]hoice guard failed",
    ),
    (
        "wrong_contract_type",
        r"wrongly typed contract|interface that the contract does not implement|does not implement the requiring "
        r"interface|not implementing (?:an|the requiring) interface",
    ),
    (
        "package",
        r"trying to upgrade the contract|during downgrading|[Pp]ackage \S{1,100} (?:is|was) not vetted",
    ),
    ("ledger_time", r"not yet effective"),
    (
        "topology",
        r"not authorized to submit on behalf of|have not ben? ?(?:been )?allocated|cannot submit as the given submitter|"
        r"[Pp]arty already exists|party that already exists|Invalid party name|[Nn]ot connected to (?:any|a) synchronizer",
    ),
    (
        "access_token",
        r"Claims (?:do not authorize|are only valid|were valid)|security-sensitive error|missing a \(valid\) JWT|"
        r"[Tt]oken (?:has )?expired",
    ),
    ("system", r"\bINTERNAL: An error occurred|\bCRASH\b|Evaluation timed out|backpressure|overloaded"),
    (
        "access_token",
        r"\bPERMISSION_DENIED\b|\bUNAUTHENTICATED\b|An error occurred\. Please contact the operator and inquire about "
        r"the request",
    ),
    (
        "assertion",
        r"AssertionFailed|Unhandled (?:Daml )?exception|\bAborted: |\bUser abort:|\bUser failure:|GeneralError|"
        r"ArithmeticError",
    ),
    ("missing_authorization", r"not correctly authorized|missing authorization from"),
    (
        "invalid_command",
        r"Invalid value for: body|[Cc]annot decode|JsonError|Expected \w{1,40} but (?:got|found)",
    ),
    (
        "syntax",
        r"parse error|lexical error at|[Nn]ot in scope|Couldn't match|Couldn’t match|Could not find module|"
        r"No instance for|Fields of .{1,80} not initialised|Multiple declarations|Ambiguous (?:occurrence|type variable)|"
        r"\.daml:[\d:(),-]{3,40}\s{1,5}error|Severity: DsError|expected type|Illegal ",
    ),
)

_EXPLANATIONS: dict[Kind, str] = {
    "missing_authorization": "An action needs the authority of every party in its required set, and at least one was "
    "not there. At the top the authority is that of actAs; inside a choice it is that of the contract's signatories "
    "and the choice's controllers, and nothing flows in from an outer exercise.",
    "fetch_authorization": "A fetch needs one stakeholder of the contract (signatory or observer) among the "
    "authorizing parties. Being able to see the contract is not enough.",
    "lookup_authorization": "A lookup by key needs the authority of all maintainers of the key, whether it finds a "
    "contract or not.",
    "maintainers_not_signatories": "Every maintainer of a contract key must be a signatory of the contract, so this "
    "create fails whoever submits it.",
    "no_authorizers": "The set of parties came out empty when the expression was evaluated; signatories, controllers "
    "and maintainers must not be empty.",
    "not_visible": "This is visibility, not authorization: no party of actAs or readAs is a stakeholder of the "
    "contract, and it was not disclosed to them.",
    "contract_not_found": "The participant knows no active contract with this id that the submitting parties may see: "
    "it was archived, the id is from another ledger, or it is neither visible nor disclosed. No authorizer is missing.",
    "contract_consumed": "The contract had been archived earlier in the same transaction, mostly by a consuming "
    "choice, which archives its contract before its body runs.",
    "contention": "Another transaction used the same contract or key at the same time, or the command was sent twice. "
    "The authorization is fine.",
    "contract_key": "The key was not found, exists already, or was used in a way keys do not allow.",
    "precondition": "The ensure clause of a template was false for the contract to be created. That is a business rule "
    "at work, not a missing authorizer.",
    "assertion": "The DAML code itself stopped the transaction (assertion, abort or exception). That is a business "
    "rule at work, not a missing authorizer.",
    "effectful_rollback": "A try block had created, archived or exercised something when the exception was caught, and "
    "this ledger does not roll back such effects inside a transaction.",
    "unexpected_success": "A test expected the submission to fail, but it succeeded: a guard or a controller is "
    "missing, or the test submits as more parties than it means to.",
    "access_token": "The access token does not let this client act as (or read as) the party. The DAML code was not "
    "even run.",
    "topology": "A party is not hosted where it would have to be: the participant or the synchronizer does not know it, "
    "or may not submit for it.",
    "package": "The packages on the participants do not fit: missing, not vetted, or not compatible after an upgrade.",
    "wrong_contract_type": "The contract id belongs to a contract of another template, or one that does not implement "
    "the interface.",
    "invalid_command": "The command is malformed for the package it names: an argument, a field or a contract id does "
    "not fit its type. It fails before any authority is looked at.",
    "ledger_time": "The ledger time of the transaction does not fit: too far from the clock, or before the contract.",
    "system": "The participant or synchronizer was not able to answer: down, overloaded, too late, or an internal error. "
    "Whether the command took effect has to be looked up.",
    "syntax": "The compiler could not accept the source; the ledger is not involved.",
    "unknown": "The text matches no known error of DAML or Canton.",
}
