"""Error texts of ledgers, DAML Script and Studio to a kind and the parties they name.

Works on the text alone. The wording of authorization errors is the same in SDK 2.x and 3.x.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

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
    "unexpected_success",
    "access_token",
    "topology",
    "package",
    "wrong_contract_type",
    "syntax",
    "unknown",
]

_SPAN = r"[\s\S]{0,4000}?"
_CODE = re.compile(r"\b([A-Z][A-Z0-9_]{5,})\((\d{1,2})\s*,")
_JSON_CODE = re.compile(r"\"code\"\s*:\s*\"([A-Z][A-Z0-9_]{5,})\"")
_JSON_CATEGORY = re.compile(r"\"category\"\s*:\s*\"?(\d{1,2})\b")
_NODE = re.compile(r"\bNodeId\((\d{1,9})\)")
_NODE_TEMPLATE = re.compile(r"NodeId\(\d+\)\s*\(([^()\s]{1,300})\)")
_AT = re.compile(r"\bat\s+([A-Z][\w.]*):(\d{1,7})(?::(\d{1,7}))?")
_TRACE_CHOICE = re.compile(r"\bin choice\s+([^\s]{1,300})")

_AUTHORIZERS = re.compile(rf"requires authorizers\s+({_SPAN}),?\s+but only\s*({_SPAN})\s*were given")
_LOOKUP = re.compile(
    rf"requires authorizers\s+({_SPAN})\s+for lookup by key,?\s+but it only has\s*([^\n]{{0,2000}})"
)
_FETCH = re.compile(
    rf"requires one of the stakeholders\s+({_SPAN})\s+of the fetched contract to be an authorizer,?"
    r"\s+but authorizers were\s+(TreeSet\([^)]{0,2000}\)|[^\n]{0,2000})"
)
_MAINTAINERS = re.compile(
    rf"has maintainers\s+({_SPAN})\s+which are not a subset of the signatories\s+"
    r"(TreeSet\([^)]{0,2000}\)|[^\n]{0,2000})"
)
_NONE = re.compile(
    r"has no (signatories|controllers|authorizers)\b|failed due (?:to )?missing (signatories|controllers)"
)
_OLD_CONTROLLERS = re.compile(rf"requires controllers:\s+({_SPAN}),?\s+but only\s*({_SPAN})\s*were given")
_OLD_COMMIT = re.compile(r"(\S{1,200}) is not authorized to commit an update")
_STUDIO = re.compile(r"\b(create|fetch|lookup by key) of\s+([\w.:#-]+)\s+at\s")
_STUDIO_EXERCISE = re.compile(r"\bexercise of\s+([\w.]+)\s+in\s+([\w.:#-]+)\s+at\s")
_STUDIO_MISSING = re.compile(r"failed due to a missing authorization from\s+([^\n]{1,2000})")
_STUDIO_FETCH = re.compile(
    r"none of the stakeholders\s+([^\n]{1,2000}?)\s+(?:is|are) in the authorizing set\s+([^\n]{1,2000})"
)
_STUDIO_MAINTAINERS = re.compile(r"some parties are maintainers but not signatories:\s*([^\n]{1,2000})")
_LOG_MISSING = re.compile(r"Missing authorization for\s+(\S{1,300})\s+through the submitting parties")

# Kind by words, for texts that name no parties; the first match decides, so the more telling come first.
_WORDS: tuple[tuple[Kind, str], ...] = (
    ("syntax", r"parse error on input|parse error \(possibly incorrect indentation|lexical error at"),
    ("unexpected_success", r"Expected submit to fail but it succeeded|A must-fail commit succeeded"),
    (
        "access_token",
        r"Claims do not authorize to act as|\bPERMISSION_DENIED\b|\bUNAUTHENTICATED\b|An error occurred\. Please contact "
        r"the operator and inquire about the request",
    ),
    (
        "not_visible",
        r"contract not visible to the (?:reading parties|committer)|key associated with a contract not visible",
    ),
    (
        "contract_consumed",
        r"\bCONTRACT_NOT_ACTIVE\b|fetch of an inactive contract|(?:was|a) consumed (?:in same|contract)",
    ),
    (
        "contention",
        r"LOCAL_VERDICT_(?:INACTIVE|LOCKED)_|\bINCONSISTENT\(|SUBMISSION_ALREADY_IN_FLIGHT|DUPLICATE_COMMAND|"
        r"LOCAL_VERDICT_(?:DUPLICATE|INCONSISTENT)_KEY",
    ),
    (
        "contract_key",
        r"CONTRACT_KEY|couldn't find key|duplicate contract key|unique key violation|no contract with that key|"
        r"CONTRACT_ID_IN_CONTRACT_KEY|empty set of maintainers",
    ),
    ("contract_not_found", r"\bCONTRACT_NOT_FOUND\b|Contract could not be found with id"),
    (
        "precondition",
        r"(?i:template precondition violated|precondition violation)|TEMPLATE_PRECONDITION_VIOLATED|"
        r"PreconditionFailed",
    ),
    (
        "package",
        r"INTERPRETATION_UPGRADE_ERROR|PACKAGE_NOT_VETTED|PACKAGE_SELECTION_FAILED|UNRESOLVED_PACKAGE_NAME",
    ),
    ("topology", r"UNKNOWN_SUBMITTERS|UNKNOWN_INFORMEES|NO_(?:SYNCHRONIZER|DOMAIN)_"),
    (
        "wrong_contract_type",
        r"WRONGLY_TYPED_CONTRACT|wrongly typed contract|DOES_NOT_IMPLEMENT_|interface that the contract does not implement",
    ),
    (
        "assertion",
        r"AssertionFailed|UNHANDLED_EXCEPTION|\bDAML_FAILURE\b|Unhandled (?:Daml )?exception|\bAborted: |"
        r"INTERPRETATION_USER_ERROR|GeneralError|ArithmeticError",
    ),
    ("missing_authorization", r"not correctly authorized"),
)

_EXPLANATIONS: dict[Kind, str] = {
    "missing_authorization": "The ledger found that an action needs the authority of parties that nobody gave. "
    "At the top the authority is that of actAs; inside a choice it is that of the contract's signatories and the "
    "choice's controllers, and the authority of an outer exercise does not flow in.",
    "fetch_authorization": "A fetch needs one stakeholder of the contract (signatory or observer) among the "
    "authorizing parties. Being able to see the contract is not enough.",
    "lookup_authorization": "A lookup by key needs the authority of all maintainers of the key, whether it finds a "
    "contract or not.",
    "maintainers_not_signatories": "Every maintainer of a contract key must be a signatory of the contract.",
    "no_authorizers": "The set of parties came out empty when the expression was evaluated; signatories, controllers "
    "and maintainers must not be empty.",
    "not_visible": "This is visibility, not authorization: no party of actAs or readAs is a stakeholder of the "
    "contract, and it was not disclosed.",
    "contract_not_found": "The participant does not know an active contract with this id: it was archived, the id is "
    "wrong, or no party of actAs or readAs can see it. This is not a missing authorizer.",
    "contract_consumed": "The contract had been archived earlier in the same transaction, mostly by a consuming "
    "choice (which archives its contract before its body runs).",
    "contention": "Another transaction used the same contract or key at the same time, or the command was sent twice. "
    "The authorization is fine.",
    "contract_key": "The key was not found, exists already, or was used in a way keys do not allow.",
    "precondition": "The ensure clause of a template was false for the contract to be created.",
    "assertion": "The DAML code itself stopped the transaction (assertion, abort or exception). That is a business "
    "rule at work, not a missing authorizer.",
    "unexpected_success": "A test expected the submission to fail, but it succeeded: a guard or a controller is "
    "missing, or the test submits as more parties than it means to.",
    "access_token": "The access token does not let this client act as (or read as) the party. The DAML code was not "
    "even run.",
    "topology": "A party is not hosted where it would have to be: the participants or synchronizers do not know it.",
    "package": "The packages on the participants do not fit: missing, not vetted, or not compatible after an upgrade.",
    "wrong_contract_type": "The contract id belongs to a contract of another template, or one that does not implement "
    "the interface.",
    "syntax": "The compiler could not read the source; the ledger is not involved.",
    "unknown": "The text matches no known error of DAML or Canton.",
}


@dataclass(frozen=True)
class Location:
    """Module, and line and column (from 1) where known."""

    module: str
    line: int | None
    column: int | None


@dataclass(frozen=True)
class Diagnosis:
    """What an error text says; parties by the name before `::`."""

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


@dataclass(frozen=True)
class _Parties:
    kind: Kind
    required: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    missing: tuple[str, ...] | None = None
    action: str | None = None


def classify(text: str) -> Diagnosis:
    """The diagnosis of an error text; kind `unknown` when nothing in it is known."""
    code, category = _code(text)
    named = _named_parties(text)
    kind = named.kind if named else _kind_by_words(text, code)
    action, template, choice = _studio_place(text)
    node = _NODE.search(text)
    node_template = _NODE_TEMPLATE.search(text)
    trace = _TRACE_CHOICE.search(text)
    if template is None and node_template:
        template = short_name(node_template.group(1))
    if choice is None and trace:
        parts = trace.group(1).rstrip(",").split(":")
        choice, template = parts[-1], template or (parts[-2] if len(parts) > 1 else None)
    required = named.required if named else ()
    given = named.given if named else ()
    missing = named.missing if named and named.missing is not None else _minus(required, given)
    return Diagnosis(
        kind=kind,
        explanation=_EXPLANATIONS[kind],
        code=code,
        category=category,
        node=int(node.group(1)) if node else None,
        template=template,
        choice=choice,
        action=action or (named.action if named else None),
        required=required,
        given=given,
        missing=missing,
        location=_location(text),
    )


def short_name(identifier: str) -> str:
    """Template name of `PKG:Mod:T`."""
    return identifier.rpartition(":")[2]


def party_names(text: str) -> tuple[str, ...]:
    """Party names in a list as error texts print it, without the fingerprint after `::`."""
    inner = re.sub(r"\b(?:TreeSet|HashSet|Set|List)\(", " ", text).replace(")", " ")
    parts = (re.sub(r"[\s'\"`‘’\\]", "", part).rstrip(".;]}").lstrip("[{") for part in inner.split(","))
    return tuple(dict.fromkeys(part.partition("::")[0] for part in parts if part))


def _minus(required: tuple[str, ...], given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in required if name not in given)


def _code(text: str) -> tuple[str | None, int | None]:
    if found := _CODE.search(text):
        return found.group(1), int(found.group(2))
    if found := _JSON_CODE.search(text):
        category = _JSON_CATEGORY.search(text)
        return found.group(1), int(category.group(1)) if category else None
    return None, None


def _named_parties(text: str) -> _Parties | None:
    for pattern, build in _PARTY_PATTERNS:
        if found := pattern.search(text):
            return build(found)
    return None


def _two(kind: Kind, action: str | None = None) -> Callable[[re.Match[str]], _Parties]:
    return lambda found: _Parties(kind, party_names(found[1]), party_names(found[2]), action=action)


def _one_of(found: re.Match[str]) -> _Parties:
    # Any one stakeholder would do, so none of them is "the" missing one.
    return _Parties("fetch_authorization", party_names(found[1]), party_names(found[2]), (), "fetch")


def _only_missing(kind: Kind) -> Callable[[re.Match[str]], _Parties]:
    return lambda found: _Parties(kind, party_names(found[1]), (), party_names(found[1]))


_PARTY_PATTERNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], _Parties]], ...] = (
    (_LOOKUP, _two("lookup_authorization", "lookup")),
    (_AUTHORIZERS, _two("missing_authorization")),
    (_OLD_CONTROLLERS, _two("missing_authorization", "exercise")),
    (_FETCH, _one_of),
    (_STUDIO_FETCH, _one_of),
    (_MAINTAINERS, _two("maintainers_not_signatories", "create")),
    (_STUDIO_MAINTAINERS, _only_missing("maintainers_not_signatories")),
    (_STUDIO_MISSING, _only_missing("missing_authorization")),
    (_LOG_MISSING, _only_missing("missing_authorization")),
    (_OLD_COMMIT, lambda found: _Parties("missing_authorization", (), party_names(found[1]))),
    (_NONE, lambda found: _Parties("no_authorizers")),
)


def _kind_by_words(text: str, code: str | None) -> Kind:
    if code == "DAML_AUTHORIZATION_ERROR":
        return "missing_authorization"
    return next((kind for kind, pattern in _WORDS if re.search(pattern, text)), "unknown")


def _studio_place(text: str) -> tuple[str | None, str | None, str | None]:
    """Action, template and choice as Studio and DAML Script name them."""
    if found := _STUDIO_EXERCISE.search(text):
        return "exercise", short_name(found[2]), found[1]
    if found := _STUDIO.search(text):
        return found[1].removesuffix(" by key"), short_name(found[2]), None
    return None, None, None


def _location(text: str) -> Location | None:
    found = _AT.search(text)
    if found is None:
        return None
    return Location(found[1], int(found[2]), int(found[3]) if found[3] else None)
