"""Error texts as people paste them, and what each says."""

from __future__ import annotations

import json
from typing import Any

from canton_mcp.daml.errors import Location, Step

PACKAGE = "e5411f3d75f072b944bd88e652112a14a3d409c491fd9a51f5f6eede6d3a3348"
CONTRACT = "00" + "4f" * 33 + "ca101220" + "7b" * 32
OTHER_CONTRACT = "00" + "9c" * 33 + "ca101220" + "1d" * 32


def party(name: str, digit: str = "") -> str:
    """A party id as participants print it."""
    return f"{name}::1220{(digit or name[0].lower()).encode().hex() * 32}"


ALICE, BOB, BANK, CAROL, OTHER_BOB = (
    party("Alice"),
    party("Bob"),
    party("Bank"),
    party("Carol"),
    party("Bob", "x"),
)
MISSING = (
    f"Interpretation error: Error: node NodeId(2) ({PACKAGE}:Main.Iou:Iou) requires authorizers {BANK},{BOB}, "
    f"but only {ALICE},{BANK} were given"
)
FRAMED = f"DAML_AUTHORIZATION_ERROR(8,5a1b09cd): {MISSING}"
SAID: dict[str, Any] = {
    "kind": "missing_authorization",
    "node": 2,
    "template": "Iou",
    "template_id": f"{PACKAGE}:Main.Iou:Iou",
    "required": ("Bank", "Bob"),
    "given": ("Alice", "Bank"),
    "missing": ("Bob",),
}
WITH_FRAME = {**SAID, "code": "DAML_AUTHORIZATION_ERROR", "category": 8, "grpc": "INVALID_ARGUMENT"}
WITH_ID = {**WITH_FRAME, "correlation": "5a1b09cd"}

GIVEN_TWICE: dict[str, Any] = {
    "required": ("Lender", "Borrower"),
    "given": ("Lender",),
    "missing": ("Borrower",),
}
NODE = "node NodeId(3) (#iou-model:Main.Iou:Iou)"
# name, text, what is expected of the diagnosis
AUTHORIZATION: list[tuple[str, str, dict[str, Any]]] = [
    (
        "a",
        f"{NODE} requires authorizers {ALICE},{BOB}, but only {ALICE} were given",
        {"kind": "missing_authorization", "missing": ("Bob",), "template": "Iou", "node": 3, "action": None},
    ),
    (
        "a-brackets",
        "requires authorizers [Borrower, Lender] but only [Lender] were given",
        {**GIVEN_TWICE, "required": ("Borrower", "Lender")},
    ),
    (
        "a-told-by-a-colleague",
        "DAML_AUTHORIZATION_ERROR: node LoanRules requires authorizers: Borrower\nbut only given: Lender",
        {
            "kind": "missing_authorization",
            "required": ("Borrower",),
            "given": ("Lender",),
            "missing": ("Borrower",),
        },
    ),
    (
        "a-template-without-node",
        "REJECTED: DAML_AUTHORIZATION_ERROR … Loan.Config:Terms requires authorizers …",
        {"kind": "missing_authorization", "template": "Terms", "template_id": "Loan.Config:Terms"},
    ),
    (
        "a-cut-at-both-ends",
        "...:Terms) requires authorizers\n  lender-eu-1::1220c096…, but only app_borrower-localnet-1… were given",
        {"template": "Terms", "required": ("lender-eu-1",), "given": ("app_borrower-localnet-1",)},
    ),
    (
        "a-line-breaks-of-html",
        "DAML_AUTHORIZATION_ERROR(8,0): Interpretation error:<br/>Error: node NodeId(0) (#loan:Loan:Note) "
        "requires authorizers Lender,Borrower,<br>but only <b>Lender</b> were given",
        {**GIVEN_TWICE, "template": "Note"},
    ),
    (
        "a-page-in-html",
        "<pre>node NodeId(0) (#loan:Loan:Note) requires authorizers Lender,Borrower, but only Lender were given</pre>",
        GIVEN_TWICE,
    ),
    (
        "a-ends-early",
        f"DAML_AUTHORIZATION_ERROR(8,5a): Interpretation error: Error: {NODE} requires authorizers {ALICE},{CAROL}, but onl",
        {"kind": "missing_authorization", "required": ("Alice", "Carol"), "node": 3},
    ),
    ("a-ends-in-an-id", f"{NODE} requires authorizers {ALICE[:30]}", {"required": ("Alice",), "given": ()}),
    (
        "a-placeholders",
        "INVALID_ARGUMENT: DAML_AUTHORIZATION_ERROR: ... requires authorizers <party-id> but only <other-id> were given",
        {"required": ("party-id",), "given": ("other-id",), "missing": ("party-id",)},
    ),
    (
        "a-names-of-two-words",
        f"{NODE} requires authorizers Seller A,Buyer B, but only Seller A were given",
        {"required": ("Seller A", "Buyer B"), "missing": ("Buyer B",)},
    ),
    (
        "a-console-of-javascript",
        "Error: {\n  code: 'DAML_AUTHORIZATION_ERROR',\n  cause: 'Interpretation error: Error: node NodeId(3) "
        "(#m:Main:Coin) requires authorizers Lender,Borrower, but only Lender were given',\n  context: { category: '8' },\n"
        "  grpcCodeValue: 3,\n}",
        {**GIVEN_TWICE, "node": 3, "category": 8, "grpc": "INVALID_ARGUMENT"},
    ),
    (
        "a-nobody-given",
        f"{NODE} requires authorizers {ALICE}, but only  were given",
        {"required": ("Alice",), "given": (), "missing": ("Alice",)},
    ),
    (
        "a-same-name-of-another-participant",
        f"{NODE} requires authorizers {BOB}, but only {OTHER_BOB} were given",
        {
            "required": ("Bob::122062626262…",),
            "given": ("Bob::122078787878…",),
            "missing": ("Bob::122062626262…",),
        },
    ),
    (
        "a-shortened-ids",
        f"{NODE} requires authorizers {BOB[:14]}..., but only {BOB[:12]}... were given",
        {"required": ("Bob",), "given": ("Bob",), "missing": ()},
    ),
    (
        "b",
        f"node NodeId(3) requires one of the stakeholders TreeSet({ALICE}, {BANK}) of the fetched contract to be an "
        f"authorizer, but authorizers were TreeSet({CAROL})",
        {
            "kind": "fetch_authorization",
            "required": ("Alice", "Bank"),
            "given": ("Carol",),
            "missing": (),
            "action": "fetch",
            "node": 3,
        },
    ),
    (
        "b-two-given",
        f"node NodeId(3) requires one of the stakeholders TreeSet({ALICE}) of the fetched contract to be an "
        f"authorizer, but authorizers were TreeSet({BOB}, {CAROL}) and more text, of no use",
        {"kind": "fetch_authorization", "required": ("Alice",), "given": ("Bob", "Carol")},
    ),
    (
        "c",
        f"{NODE} requires authorizers TreeSet({BANK}) for lookup by key, but it only has TreeSet({BOB})",
        {
            "kind": "lookup_authorization",
            "required": ("Bank",),
            "given": ("Bob",),
            "missing": ("Bank",),
            "action": "lookup",
            "template": "Iou",
        },
    ),
    (
        "c-of-3.5",
        f"{NODE} requires authorizers {BANK} for lookup by key, but it only has {BOB}",
        {"kind": "lookup_authorization", "missing": ("Bank",), "given": ("Bob",)},
    ),
    (
        "d",
        f"{NODE} has maintainers TreeSet({BANK}) which are not a subset of the signatories TreeSet({ALICE}, {BOB})",
        {
            "kind": "maintainers_not_signatories",
            "required": ("Bank",),
            "given": ("Alice", "Bob"),
            "missing": ("Bank",),
            "action": "create",
        },
    ),
    (
        "d-of-3.5",
        f"{NODE} has maintainers {BANK} which are not a subset of the signatories TreeSet({ALICE})",
        {"kind": "maintainers_not_signatories", "missing": ("Bank",), "given": ("Alice",)},
    ),
    ("e-signatories", f"{NODE} has no signatories", {"kind": "no_authorizers", "action": "create"}),
    ("e-controllers", f"{NODE} has no controllers", {"kind": "no_authorizers", "action": "exercise"}),
    ("e-authorizers", f"{NODE} has no authorizers", {"kind": "no_authorizers", "action": None}),
    (
        "f",
        f"node 2 (Main:Iou) requires controllers: {BOB}, but only {ALICE} were given",
        {"kind": "missing_authorization", "missing": ("Bob",), "action": "exercise", "era": "1.x"},
    ),
    (
        "g",
        "Script execution failed on commit at Main:31:3:\n"
        "  #2: create of Main.Iou:Iou at DA.Internal.Template.Functions:242:3\n"
        "      failed due to a missing authorization from 'Bank', 'Bob'\n",
        {
            "kind": "missing_authorization",
            "action": "create",
            "template": "Iou",
            "template_id": "Main.Iou:Iou",
            "missing": ("Bank", "Bob"),
            "given": (),
            "location": Location("Main", 31, 3),
            "locations": (Location("Main", 31, 3), Location("DA.Internal.Template.Functions", 242, 3)),
        },
    ),
    (
        "g-unknown-source",
        "Script execution failed:\n  #0: create of CreateAuthFailure:Example at unknown source\n"
        "      failed due to a missing authorization from 'Bob'\n\nLedger time: 1970-01-01T00:00:00Z\n\n"
        "Partial transaction:\n  Sub-transactions:\n     #0\n     └─> 'Alice' creates CreateAuthFailure:Example\n"
        "         with\n           party1 = 'Alice'; party2 = 'Bob'\n",
        {
            "kind": "missing_authorization",
            "template": "Example",
            "missing": ("Bob",),
            "location": None,
            "path": (Step("create", "Example", None, None, ("Alice",)),),
            "inside_choice": False,
        },
    ),
    (
        "g-names-of-two-words",
        "#3: create of Trade:Deal at Trade:21:9\n  failed due to a missing authorization from 'Broker', 'Seller A'",
        {"missing": ("Broker", "Seller A"), "template": "Deal"},
    ),
    (
        "h-lookup-cut-short",
        "lookup by key of Main:Asset...\n     failed due to a missing authorization from 'issuer'",
        {"kind": "lookup_authorization", "missing": ("issuer",), "template": "Asset"},
    ),
    (
        "h-exercise",
        "exercise of Transfer in Main.Iou:Iou at Main:20:5\n   failed due to a missing authorization from 'Alice'",
        {"kind": "missing_authorization", "action": "exercise", "choice": "Transfer", "missing": ("Alice",)},
    ),
    (
        "h-archive",
        "exercise of Archive in Main:Iou at Main:20:5\n   failed due to a missing authorization from 'Alice'",
        {"kind": "missing_authorization", "action": "archive", "template": "Iou"},
    ),
    (
        "h-lookup",
        "lookup by key of Main:Account at Main:20:5\n   failed due to a missing authorization from 'Bank'",
        {"kind": "lookup_authorization", "action": "lookup", "template": "Account", "missing": ("Bank",)},
    ),
    (
        "i",
        "fetch of Main:Iou at Main:20:5\n  failed since none of the stakeholders 'Alice', 'Bank'\n"
        "  is in the authorizing set 'Carol'\n\nLedger time: 1970-01-01T00:00:00Z",
        {
            "kind": "fetch_authorization",
            "required": ("Alice", "Bank"),
            "given": ("Carol",),
            "missing": (),
            "template": "Iou",
            "action": "fetch",
        },
    ),
    (
        "j-maintainers",
        "create of Main:Account at Main:5:1\n"
        "  failed due to that some parties are maintainers but not signatories:  'Bank'",
        {"kind": "maintainers_not_signatories", "missing": ("Bank",), "template": "Account"},
    ),
    (
        "j-signatories",
        "create of Main:Account at Main:5:1\n  failed due missing signatories",
        {"kind": "no_authorizers", "action": "create", "template": "Account"},
    ),
    (
        "j-controllers",
        "exercise of Go in Main:Account at Main:5:1\n  failed due missing controllers",
        {"kind": "no_authorizers", "action": "exercise", "choice": "Go"},
    ),
    (
        "partial-transaction",
        "Script execution failed on commit at Test:40:8:\n"
        "  #2: create of Main:Iou at Main:17:12\n      failed due to a missing authorization from 'Bob'\n\n"
        "Partial transaction:\n  Failed exercise:\n    exercises Transfer on #1:0 (Main:Iou)\n    with\n"
        "      newOwner = 'Bob'\n  Sub-transactions:\n    0\n    └─> 'Alice' exercises Settle on #0:0 (Main:Deal)\n"
        "        children:\n        1\n        └─> 'Alice' and 'Bank' exercise Transfer on #1:0 (Main:Iou)\n"
        "            children:\n            2\n            └─> 'Bank' and 'Bob' create Main:Iou\n\n"
        "Committed transactions:\n  TX #0 1970-01-01T00:00:00Z (Test:31:5)\n  #0:0\n"
        "  └─> 'Alice' creates Main:Deal\n",
        {
            "path": (
                Step("exercise", "Deal", "Settle", "#0:0", ("Alice",)),
                Step("exercise", "Iou", "Transfer", "#1:0", ("Alice", "Bank")),
                Step("create", "Iou", None, None, ("Bank", "Bob")),
            ),
            "choice": "Transfer",
            "template": "Iou",
            "inside_choice": True,
            "location": Location("Test", 40, 8),
        },
    ),
    (
        "trace",
        f"DAML_AUTHORIZATION_ERROR(8,ab12cd34): {NODE} requires authorizers {BOB}, but only {ALICE} were given\n"
        f"    in choice {PACKAGE}:Main.Iou:Iou:Transfer on contract {CONTRACT} (#1)\n"
        f"    in choice {PACKAGE}:Main:Deal:Settle on contract {OTHER_CONTRACT} (#0)\n"
        f"    in exercise command {PACKAGE}:Main:Deal:Settle on contract {OTHER_CONTRACT}.",
        {
            "missing": ("Bob",),
            "choice": "Transfer",
            "path": (
                Step("command", "Deal", "Settle", OTHER_CONTRACT),
                Step("exercise", "Deal", "Settle", OTHER_CONTRACT),
                Step("exercise", "Iou", "Transfer", CONTRACT),
            ),
            "contracts": (CONTRACT, OTHER_CONTRACT),
            "inside_choice": True,
        },
    ),
    (
        "participant-log",
        "LOCAL_VERDICT_MALFORMED_REQUEST(4,82a1d2f0): Rejected transaction due to malformed request within views "
        "Received a request with id RequestId(2026-03-02T10:11:12Z) with a view that is not correctly authorized. "
        f"Rejecting request...\nMissing authorization for {BOB} through the submitting parties.",
        {"kind": "missing_authorization", "missing": ("Bob",), "category": 4},
    ),
    (
        "participant-log-set",
        f"a view that is not correctly authorized. Rejecting request...\nMissing authorization for Set({BOB}, {CAROL}) "
        "through the submitting parties.",
        {"kind": "missing_authorization", "missing": ("Bob", "Carol")},
    ),
    (
        "external-party",
        f"An externally signed transaction is missing the following acting parties: Set({BOB}).",
        {"kind": "missing_authorization", "missing": ("Bob",)},
    ),
    (
        "old-faq",
        "Alice is not authorized to commit an update",
        {"kind": "missing_authorization", "given": ("Alice",), "missing": ()},
    ),
]

ELSE: list[tuple[str, str, dict[str, Any]]] = [
    (
        "not-visible",
        "Script execution failed on commit at Main:33:3:\n"
        "  Attempt to fetch or exercise a contract not visible to the reading parties.\n"
        "  Contract:  #0:0 (Main:Iou)\n  actAs: 'Bob', 'Carol'\n  readAs:\n  Disclosed to: 'Alice', 'Bank'\n",
        {
            "kind": "not_visible",
            "template": "Iou",
            "contracts": ("#0:0",),
            "act_as": ("Bob", "Carol"),
            "read_as": (),
            "stakeholders": ("Alice", "Bank"),
            "location": Location("Main", 33, 3),
        },
    ),
    (
        "not-visible-1.x",
        "Scenario execution failed:\n  Attempt to fetch or exercise a contract not visible to the committer.\n"
        "  Contract:  #0:0 (Main:Iou)\n  Committer: 'Bob'\n  Disclosed to: 'Alice'",
        {"kind": "not_visible", "era": "1.x", "stakeholders": ("Alice",)},
    ),
    (
        "key-not-visible",
        "Attempt to fetch, lookup or exercise a key associated with a contract not visible to the committer.\n"
        "Contract:  #0:0 (Main:Account)\nKey:  'Bank'\nactAs: 'Bob'\nreadAs:\nStakeholders: 'Bank'",
        {"kind": "not_visible", "template": "Account", "act_as": ("Bob",), "stakeholders": ("Bank",)},
    ),
    (
        "contract-not-found",
        f"NOT_FOUND: CONTRACT_NOT_FOUND(11,82a1d2f0): Contract could not be found with id {CONTRACT}",
        {"kind": "contract_not_found", "category": 11, "grpc": "NOT_FOUND", "contracts": (CONTRACT,)},
    ),
    (
        "contract-not-found-v2",
        json.dumps(
            {
                "code": "CONTRACT_NOT_FOUND",
                "cause": f"Contract could not be found with id {CONTRACT}",
                "resources": [["ErrorResource(CONTRACT_ID)", CONTRACT]],
                "errorCategory": 11,
                "grpcCodeValue": 5,
            }
        ),
        {"kind": "contract_not_found", "grpc": "NOT_FOUND", "contracts": (CONTRACT,), "era": "3.x"},
    ),
    (
        "unknown-contract",
        f"Update failed due to a unknown contract {CONTRACT}",
        {"kind": "contract_not_found", "contracts": (CONTRACT,)},
    ),
    (
        "contract-not-active",
        f"CONTRACT_NOT_ACTIVE(11,0): Interpretation error: Error: Update failed due to fetch of an inactive contract "
        f"{CONTRACT} (Main:Iou@e5411f3d).\nThe contract had been consumed in sub-transaction #NodeId(0):",
        {"kind": "contract_consumed", "template": "Iou", "contracts": (CONTRACT,), "category": 11},
    ),
    (
        "consumed-same",
        "Attempt to exercise a contract that was consumed in same transaction.\nContract: #0:0 (Main:Iou)",
        {"kind": "contract_consumed", "template": "Iou", "contracts": ("#0:0",)},
    ),
    (
        "consumed-before",
        "Attempt to exercise a consumed contract #0:0 (Main:Iou)\nConsumed by: #1:0",
        {"kind": "contract_consumed"},
    ),
    (
        "inactive-verdict",
        "LOCAL_VERDICT_INACTIVE_CONTRACTS(11,82a1d2f0): Rejected transaction is referring to inactive contracts "
        f"Seq({CONTRACT})",
        {"kind": "contention", "contracts": (CONTRACT,), "grpc": "NOT_FOUND"},
    ),
    (
        "locked-verdict",
        f"ABORTED: LOCAL_VERDICT_LOCKED_CONTRACTS(2,82a1d2f0): Rejected transaction is referring to locked contracts "
        f"{CONTRACT}",
        {"kind": "contention", "grpc": "ABORTED", "category": 2},
    ),
    ("inconsistent", "INCONSISTENT(9,0): Inconsistent: Contract was archived", {"kind": "contention"}),
    ("duplicate-key-verdict", "LOCAL_VERDICT_DUPLICATE_KEY(10,0): key", {"kind": "contention", "era": "2.x"}),
    ("inconsistent-key-verdict", "LOCAL_VERDICT_INCONSISTENT_KEY(9,0): key", {"kind": "contention"}),
    ("locked-keys", "LOCAL_VERDICT_LOCKED_KEYS(2,0): key", {"kind": "contention"}),
    (
        "duplicate-command",
        "DUPLICATE_COMMAND(10,0): A command with the given command id has already been successfully processed",
        {"kind": "contention", "grpc": "ALREADY_EXISTS"},
    ),
    (
        "in-flight",
        "SUBMISSION_ALREADY_IN_FLIGHT(2,0): The submission is already in-flight",
        {"kind": "contention"},
    ),
    (
        "key-not-found",
        "CONTRACT_KEY_NOT_FOUND(11,0): Interpretation error: Error: dependency error: couldn't find key: Main:Account",
        {"kind": "contract_key"},
    ),
    (
        "key-not-found-words",
        "Update failed due to fetch-by-key or exercise-by-key which did not find a contract with key 'Bank' "
        "(Main:Account@e5411f3d)",
        {"kind": "contract_key", "template": "Account"},
    ),
    (
        "key-script",
        "Attempt to fetch or exercise by key but no contract with that key was found.",
        {"kind": "contract_key"},
    ),
    (
        "key-duplicate",
        "DUPLICATE_CONTRACT_KEY(10,0): Interpretation error: Error: Update failed due to a duplicate contract key",
        {"kind": "contract_key", "grpc": "ALREADY_EXISTS"},
    ),
    (
        "key-unique",
        "Commit error due to unique key violation for key\n  'Bank' for Main:Account",
        {"kind": "contract_key"},
    ),
    ("key-inconsistent", "INCONSISTENT_CONTRACT_KEY(9,0): contract key", {"kind": "contract_key"}),
    ("key-no-maintainers", "CREATE_EMPTY_CONTRACT_KEY_MAINTAINERS(8,0): none", {"kind": "contract_key"}),
    ("key-no-maintainers-fetch", "FETCH_EMPTY_CONTRACT_KEY_MAINTAINERS(8,0): none", {"kind": "contract_key"}),
    (
        "key-no-maintainers-script",
        "Attempt to create a contract key with an empty set of maintainers:\n  create Main:Account\n  with\n",
        {"kind": "contract_key", "template": "Account"},
    ),
    (
        "key-contract-id",
        "CONTRACT_ID_IN_CONTRACT_KEY(9,0): Contract IDs are not supported",
        {"kind": "contract_key"},
    ),
    (
        "precondition",
        "TEMPLATE_PRECONDITION_VIOLATED(9,0): Interpretation error: Error: Update failed due to precondition violation "
        "when creating Main.Iou:Iou@e5411f3d with Main.Iou:Iou@e5411f3d{ amount = -1.0 }",
        {"kind": "precondition", "template": "Iou"},
    ),
    (
        "precondition-script",
        "Template precondition violated in:\n  create Main:Iou\n  with\n    amount = -1.0",
        {"kind": "precondition", "template": "Iou"},
    ),
    (
        "precondition-exception",
        "UNHANDLED_EXCEPTION(9,0): Interpretation error: Error: Unhandled Daml exception: "
        'DA.Exception.PreconditionFailed:PreconditionFailed@4cb6{ message = "Main:Iou precondition failed" }',
        {
            "kind": "precondition",
            "exception": "PreconditionFailed",
            "message": "Main:Iou precondition failed",
        },
    ),
    (
        "precondition-3.x",
        "DAML_FAILURE(9,0): Interpretation error: Error: User failure: UNHANDLED_EXCEPTION/DA.Exception."
        "PreconditionFailed:PreconditionFailed (error category 9): Template precondition violated: Iou",
        {"kind": "precondition", "era": "3.x", "message": "Template precondition violated: Iou"},
    ),
    (
        "assertion-2.x",
        "FAILED_PRECONDITION: UNHANDLED_EXCEPTION(9,0): Interpretation error: Error: Unhandled Daml exception: "
        'DA.Exception.AssertionFailed:AssertionFailed@3f4d{ message = "amount must be \\"positive\\"" }',
        {
            "kind": "assertion",
            "exception": "AssertionFailed",
            "message": 'amount must be "positive"',
            "grpc": "FAILED_PRECONDITION",
        },
    ),
    (
        "assertion-3.x",
        "DAML_FAILURE(9,82a1d2f0): Interpretation error: Error: User failure: UNHANDLED_EXCEPTION/DA.Exception."
        "AssertionFailed:AssertionFailed (error category 9): Not authorized: actor is not the owner\n"
        f"    in choice {PACKAGE}:Main.Iou:Iou:Transfer on contract {CONTRACT} (#0)\n"
        f"    in exercise command {PACKAGE}:Main.Iou:Iou:Transfer on contract {CONTRACT}.",
        {
            "kind": "assertion",
            "message": "Not authorized: actor is not the owner",
            "exception": "AssertionFailed",
            "template": "Iou",
            "choice": "Transfer",
            "missing": (),
            "path": (
                Step("command", "Iou", "Transfer", CONTRACT),
                Step("exercise", "Iou", "Transfer", CONTRACT),
            ),
        },
    ),
    (
        "failure-with-an-id",
        "DAML_FAILURE(9,0): Interpretation error: Error: User failure: acme.example/too-late (error category 9): late\n"
        f"    in create-and-exercise command {PACKAGE}:Main:Offer:Accept.",
        {"kind": "assertion", "message": "late", "exception": "acme.example/too-late", "choice": "Accept"},
    ),
    (
        "create-command",
        "DAML_FAILURE(9,0): Interpretation error: Error: User failure: UNHANDLED_EXCEPTION/DA.Exception.ArithmeticError:"
        f"ArithmeticError (error category 9): division by zero\n    in create command {PACKAGE}:Main:Offer.",
        {"kind": "assertion", "exception": "ArithmeticError", "path": (Step("command", "Offer"),)},
    ),
    (
        "abort",
        "Script execution failed:\n  Unhandled exception:  DA.Exception.GeneralError:GeneralError with\n"
        '                          message = "stop"\n\nLedger time: 1970-01-01T00:00:00Z',
        {"kind": "assertion", "message": "stop", "exception": "GeneralError"},
    ),
    (
        "aborted",
        "Scenario execution failed:\n  Aborted:  stop",
        {"kind": "assertion", "message": "stop", "era": "1.x"},
    ),
    (
        "user-error",
        "INTERPRETATION_USER_ERROR(9,0): Interpretation error: Error: User abort: not yet",
        {"kind": "assertion", "message": "not yet"},
    ),
    (
        "interpretation",
        "DAML_INTERPRETATION_ERROR(9,0): Interpretation error: Error: whatever",
        {"kind": "assertion"},
    ),
    (
        "interpretation-key",
        "DAML_INTERPRETATION_ERROR(9,0): Interpretation error: Error: Update failed due to a duplicate contract key",
        {"kind": "contract_key"},
    ),
    ("rollback", "DAML_EFFECTFUL_ROLLBACK_ERROR(8,0): effects", {"kind": "effectful_rollback"}),
    ("invalid-argument", "DAML_INTERPRETER_INVALID_ARGUMENT(8,0): bad", {"kind": "invalid_command"}),
    (
        "preprocessing",
        "COMMAND_PREPROCESSING_FAILED(8,0): mismatching type: Party and value: ValueInt64(1)",
        {"kind": "invalid_command"},
    ),
    (
        "decoding",
        "Invalid value for: body (Missing required field at 'commands')",
        {"kind": "invalid_command"},
    ),
    (
        "wrong-type",
        f"WRONGLY_TYPED_CONTRACT(9,0): Interpretation error: Error: Update failed due to wrongly typed contract id "
        f"{CONTRACT}\nExpected contract of type Main:Iou@e5411f3d but got Main:Offer@e5411f3d",
        {"kind": "wrong_contract_type", "template": "Iou", "contracts": (CONTRACT,)},
    ),
    (
        "wrong-type-script",
        "Attempt to fetch or exercise a wrongly typed contract.\nContract:  #0:0 (Main:Offer)\nExpected type:  Main:Iou",
        {"kind": "wrong_contract_type"},
    ),
    ("interface", "CONTRACT_DOES_NOT_IMPLEMENT_INTERFACE(8,0): no", {"kind": "wrong_contract_type"}),
    (
        "interface-requires",
        "CONTRACT_DOES_NOT_IMPLEMENT_REQUIRING_INTERFACE(8,0): no",
        {"kind": "wrong_contract_type"},
    ),
    (
        "interface-script",
        "Attempt to use a contract via an interface that the contract does not implement\nContract:  #0:0 (Main:Iou)",
        {"kind": "wrong_contract_type", "template": "Iou"},
    ),
    (
        "upgrade",
        "INTERPRETATION_UPGRADE_ERROR_VALIDATION_FAILED(8,0): Interpretation error: Error: Validation fails when trying "
        f"to upgrade the contract {CONTRACT} from Main:Iou@e5411f3d to Main:Iou@9c81ab20\nVerify that neither the "
        "signatories, nor the observers, nor the contract key, nor the key's maintainers have changed",
        {"kind": "package", "template": "Iou", "contracts": (CONTRACT,)},
    ),
    ("upgrade-downgrade", "INTERPRETATION_UPGRADE_ERROR_DOWNGRADE_FAILED(9,0): no", {"kind": "package"}),
    (
        "upgrade-field",
        "INTERPRETATION_UPGRADE_ERROR_DOWNGRADE_DROP_DEFINED_FIELD(9,0): no",
        {"kind": "package"},
    ),
    ("upgrade-view", "INTERPRETATION_UPGRADE_ERROR_VIEW_MISMATCH(9,0): no", {"kind": "package"}),
    ("upgrade-translation", "INTERPRETATION_UPGRADE_ERROR_TRANSLATION_FAILED(9,0): no", {"kind": "package"}),
    (
        "upgrade-authentication",
        "INTERPRETATION_UPGRADE_ERROR_AUTHENTICATION_FAILED(9,0): no",
        {"kind": "package"},
    ),
    ("not-vetted", "PACKAGE_NOT_VETTED_BY_RECIPIENTS(9,0): package", {"kind": "package"}),
    ("selection", "PACKAGE_SELECTION_FAILED(9,0): No synchronizers satisfy", {"kind": "package"}),
    ("package-name", "UNRESOLVED_PACKAGE_NAME(11,0): iou", {"kind": "package"}),
    ("package-names", "PACKAGE_NAMES_NOT_FOUND(11,0): iou", {"kind": "package"}),
    (
        "token-hidden",
        "PERMISSION_DENIED: An error occurred. Please contact the operator and inquire about the request 82a1d2f0 with "
        "tid 82a1d2f0",
        {"kind": "access_token", "grpc": "PERMISSION_DENIED"},
    ),
    (
        "token-json",
        '{"code":"NA","cause":"A security-sensitive error has been received","correlationId":"38bfe924","context":{},'
        '"resources":[],"errorCategory":-1,"grpcCodeValue":7}',
        {"kind": "access_token", "grpc": "PERMISSION_DENIED"},
    ),
    (
        "token-log",
        "PERMISSION_DENIED(7,82a1d2f0): Claims do not authorize to act as party 'Alice::1220aa'",
        {"kind": "access_token", "category": 7, "missing": ()},
    ),
    (
        "token-missing",
        "UNAUTHENTICATED(6,0): The command is missing a (valid) JWT token",
        {"kind": "access_token", "grpc": "UNAUTHENTICATED"},
    ),
    ("submitters", "UNKNOWN_SUBMITTERS(11,0): unknown", {"kind": "topology"}),
    ("informees", "UNKNOWN_INFORMEES(11,0): The participant is not connected", {"kind": "topology"}),
    (
        "synchronizer",
        "NOT_FOUND/NO_SYNCHRONIZER_ON_WHICH_ALL_SUBMITTERS_CAN_SUBMIT(11,b1ac1e04): This participant cannot submit as "
        "the given submitter on any connected synchronizer",
        {"kind": "topology", "grpc": "NOT_FOUND", "era": "3.x"},
    ),
    (
        "synchronizer-object",
        "{\n  code: 'NO_SYNCHRONIZER_FOR_SUBMISSION',\n  errorCategory: 9\n}",
        {"kind": "topology"},
    ),
    ("domain", "NO_DOMAIN_ON_WHICH_ALL_SUBMITTERS_CAN_SUBMIT(9,0): no", {"kind": "topology", "era": "2.x"}),
    (
        "hosting",
        f"The submitting participant PAR::participant2::1220ab is not authorized to submit on behalf of the submitting "
        f"parties Vector({BOB}).",
        {"kind": "topology"},
    ),
    (
        "party-exists",
        "INVALID_ARGUMENT(8,0): Party already exists: party Bob is already allocated",
        {"kind": "topology"},
    ),
    (
        "not-allocated",
        "Tried to submit a command for parties that have not ben allocated:\n  'Zoe'",
        {"kind": "topology"},
    ),
    ("not-effective", "Attempt to fetch or exercise a contract not yet effective.", {"kind": "ledger_time"}),
    ("time", "LOCAL_VERDICT_LEDGER_TIME_OUT_OF_BOUND(2,0): time", {"kind": "ledger_time"}),
    ("unavailable", "UNAVAILABLE: io exception", {"kind": "system", "grpc": "UNAVAILABLE"}),
    ("deadline", "DEADLINE_EXCEEDED: deadline exceeded after 9.99s", {"kind": "system"}),
    (
        "internal",
        "INTERNAL: An error occurred. Please contact the operator and inquire about the request 82a1d2f0",
        {"kind": "system", "grpc": "INTERNAL"},
    ),
    ("backpressure", "PARTICIPANT_BACKPRESSURE(2,0): the participant is overloaded", {"kind": "system"}),
    ("unknown-system-code", "SOMETHING_OF_NEXT_YEAR(1,0): down", {"kind": "system", "grpc": "UNAVAILABLE"}),
    (
        "must-fail",
        "Script execution failed on commit at Main:9:3:\n  A must-fail commit succeeded.",
        {"kind": "unexpected_success"},
    ),
    (
        "must-fail-script",
        "Main:t FAILURE (com.digitalasset.daml.lf.engine.script.Script$FailedCmd: Command Submit failed: "
        "SErrorDamlException(UserError(Expected submit to fail but it succeeded)",
        {"kind": "unexpected_success"},
    ),
    (
        "parse",
        "daml/Main.daml:12:5: error: parse error on input ‘controller’",
        {"kind": "syntax", "offending": "controller", "location": Location("daml/Main.daml", 12, 5)},
    ),
    (
        "parse-range",
        "File:     daml/Main.daml\nHidden:   no\nRange:    12:5-12:15\nSource:   parser\nSeverity: DsError\n"
        "Message: \n  daml/Main.daml:(12,5)-(13,9): error:\n    parse error on input `can'",
        {"kind": "syntax", "offending": "can", "location": Location("daml/Main.daml", 12, 5)},
    ),
    (
        "indentation",
        "Main.daml:3:1: error:\n    parse error (possibly incorrect indentation or mismatched brackets)",
        {"kind": "syntax", "offending": None},
    ),
    (
        "scope",
        "Main.daml:3:1: error: Variable not in scope: lookupByKey :: (Party, Text) -> Update a0",
        {"kind": "syntax", "offending": "lookupByKey"},
    ),
    (
        "types",
        "Main.daml:3:1: error:\n    • Couldn't match expected type ‘Party’ with actual type ‘[Party]’",
        {"kind": "syntax"},
    ),
    (
        "package-of-an-upgrade",
        "DAR_NOT_VALID_UPGRADE(8,0): The uploaded DAR contains a package that is not a valid upgrade",
        {"kind": "package"},
    ),
    (
        "package-known",
        "KNOWN_PACKAGE_VERSION(8,0): Tried to upload another package of the same name",
        {"kind": "package"},
    ),
    (
        "token-http",
        "HTTP 401 Unauthorized from http://localhost:7575/v2/commands/submit-and-wait",
        {"kind": "access_token"},
    ),
    ("token-status", "Request failed with status code 403", {"kind": "access_token"}),
    (
        "system-refused",
        "Error: 14 UNAVAILABLE: No connection established. Last error: connect ECONNREFUSED",
        {"kind": "system"},
    ),
    (
        "types-of-a-template",
        "error type checking template Main.Coin signatories:\n  type mismatch",
        {"kind": "syntax"},
    ),
    (
        "security-of-javascript",
        "{\n  code: 'NA',\n  cause: 'A security-sensitive error has been received',\n  grpcCodeValue: 7,\n}",
        {"kind": "access_token"},
    ),
    ("bare-code", "what is LOCAL_VERDICT_LOCKED_CONTRACTS?", {"kind": "contention"}),
    ("nothing", "it does not work", {"kind": "unknown", "code": None, "grpc": None}),
    ("empty", "", {"kind": "unknown"}),
    ("white", " \n\t ", {"kind": "unknown"}),
    ("prose", "Alice is not authorized to do this, says my boss", {"kind": "unknown"}),
]
