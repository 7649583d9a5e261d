"""The kinds of errors: codes, words and explanations."""

from __future__ import annotations

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
    ("DAR_", "package"),
    ("INVALID_DAR", "package"),
    ("KNOWN_DAR", "package"),
    ("KNOWN_PACKAGE", "package"),
    ("NOT_VALID_UPGRADE", "package"),
    ("NO_SYNCHRONIZER_", "topology"),
    ("NO_DOMAIN_", "topology"),
    ("TOPOLOGY_", "topology"),
    ("LOCAL_VERDICT_LEDGER_TIME", "ledger_time"),
    ("LOCAL_VERDICT_SUBMISSION_", "ledger_time"),
    ("SEQUENCER_", "system"),
)
# Kind by words, for texts without a telling code; the first match decides, so the more telling come first.
WORDS: tuple[tuple[Kind, str], ...] = (
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
    (
        "system",
        r"\bINTERNAL: An error occurred|\bCRASH\b|Evaluation timed out|backpressure|overloaded|ECONNREFUSED|message larger than max",
    ),
    (
        "access_token",
        r"\bPERMISSION_DENIED\b|\bUNAUTHENTICATED\b|\b40[13] (?:Unauthorized|Forbidden)\b|status code:? 40[13]\b|"
        r"An error occurred\. Please contact the operator and inquire about "
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
        r"\.daml:[\d:(),-]{3,40}\s{1,5}error|Severity: DsError|expected type|Illegal |error type checking",
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
GRPC = {
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
GRPC_OF_CATEGORY = {
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


def explanation(kind: Kind) -> str:
    """What an error of this kind means."""
    return _EXPLANATIONS[kind]


def kind_by_code(code: str) -> Kind | None:
    if code in _CODES:
        return _CODES[code]
    return next((kind for prefix, kind in _CODE_PREFIXES if code.startswith(prefix)), None)
