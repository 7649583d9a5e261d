"""Error texts as people paste them: what each says, whatever it is wrapped in; and what it takes to read them."""

from __future__ import annotations

import json
import textwrap
from dataclasses import replace
from typing import Any

import pytest
from canton_mcp.daml import errors, places, repair
from canton_mcp.daml.errors import Diagnosis, Location, Step, classify, diagnoses
from canton_mcp.daml.places import Site, survey
from canton_mcp.tools.base import SILENT
from canton_mcp.tools.debug_authorization import TOOL, DebugResult

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

PYTHON = f"""\
Traceback (most recent call last):
  File "app.py", line 31, in <module>
    stub.SubmitAndWait(request)
grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated with:
\tstatus = StatusCode.INVALID_ARGUMENT
\tdetails = "{FRAMED}"
\tdebug_error_string = "UNKNOWN:Error received from peer  {{grpc_message:"{FRAMED}", grpc_status:3, \
created_time:"2026-03-02T10:11:12.013+00:00"}}"
>"""
JAVA = f"""\
io.grpc.StatusRuntimeException: INVALID_ARGUMENT: {FRAMED}
\tat io.grpc.stub.ClientCalls.toStatusRuntimeException(ClientCalls.java:271)
\tat io.grpc.stub.ClientCalls.getUnchecked(ClientCalls.java:252)"""
JSON_V1 = json.dumps(
    {
        "errors": [f"io.grpc.StatusRuntimeException: INVALID_ARGUMENT: {FRAMED}"],
        "ledgerApiError": {
            "code": 3,
            "details": [
                {
                    "@type": "ErrorInfoDetail",
                    "errorCodeId": "DAML_AUTHORIZATION_ERROR",
                    "metadata": {"category": "8", "definite_answer": "false", "participant": "participant1"},
                },
                {"@type": "RequestInfoDetail", "correlationId": "5a1b09cd"},
            ],
            "message": FRAMED,
        },
        "status": 400,
    }
)
V2_BODY: dict[str, Any] = {
    "code": "DAML_AUTHORIZATION_ERROR",
    "cause": MISSING,
    "correlationId": "5a1b09cd",
    "traceId": "82a1d2f0",
    "context": {"participant": "p1", "tid": "82a1d2f0", "category": "8", "definite_answer": "false"},
    "resources": [],
    "errorCategory": 8,
    "grpcCodeValue": 3,
    "retryInfo": None,
    "definiteAnswer": False,
}
JSON_V2 = json.dumps(V2_BODY)
CONSOLE = f"""\
@ participant1.ledger_api.commands.submit(Seq(alice), Seq(command))
ERROR com.digitalasset.canton.integration.EnvironmentDefinition$$anon$3 - Request failed for participant1.
  GrpcClientError: INVALID_ARGUMENT/{FRAMED}
  Request: SubmitAndWaitTransactionTree(actAs = Alice::12208eeea597..., readAs = Seq(), commandId = '')
  DecodedCantonError(code = 'DAML_AUTHORIZATION_ERROR', category = InvalidIndependentOfSystemState, cause = "{MISSING}")
  Command LedgerApiCommands.submit invoked from cmd10000012.sc:1"""
LOG = f"""\
2026-03-02 10:11:12,013 [daml.index.db.threadpool.connection-11] INFO  c.d.c.p.a.s.c.CommandSubmissionServiceImpl:\
participant=participant1 tid:82a1d2f0 - {FRAMED}, context: {{participant: "participant1", submissionId: "s-1"}}"""

WRAPPED = [
    ("raw", MISSING, SAID),
    ("framed", FRAMED, WITH_ID),
    ("grpc", f"INVALID_ARGUMENT: {FRAMED}", WITH_ID),
    ("java", JAVA, WITH_ID),
    ("kotlin-cause", f"Caused by: java.util.concurrent.ExecutionException: {JAVA}", WITH_ID),
    ("python", PYTHON, WITH_ID),
    (
        "node",
        f"Error: 3 INVALID_ARGUMENT: {FRAMED}\n    at callErrorFromStatus (/app/call.js:31:19)",
        WITH_ID,
    ),
    ("node-object", f"{{\n  code: 3,\n  details: '{FRAMED}',\n  metadata: Metadata {{ }}\n}}", WITH_ID),
    ("go", f"rpc error: code = InvalidArgument desc = {FRAMED}", WITH_ID),
    ("rust", f'Status {{ code: InvalidArgument, message: "{FRAMED}", details: b"", source: None }}', WITH_ID),
    ("grpcurl", f"ERROR:\n  Code: InvalidArgument\n  Message: {FRAMED}", WITH_ID),
    (
        "script-3",
        'Exception in thread "main" com.digitalasset.daml.lf.engine.script.Script$FailedCmd: Command Submit failed: '
        f"INVALID_ARGUMENT: {FRAMED}\nDaml stacktrace:\nsubmit at {PACKAGE}:Main:18",
        {**WITH_ID, "era": "3.x", "location": Location("Main", 18, None)},
    ),
    (
        "script-2",
        "Main:test FAILURE (com.daml.lf.engine.script.Script$FailedCmd: Command submit failed: INVALID_ARGUMENT: "
        f"{FRAMED})",
        {**WITH_ID, "era": "2.x"},
    ),
    ("json-v1", JSON_V1, WITH_ID),
    ("json-v2", JSON_V2, {**WITH_ID, "era": "3.x"}),
    ("json-v2-sorted", json.dumps(V2_BODY, sort_keys=True, indent=2), WITH_ID),
    ("json-v2-response", f"HTTP/1.1 400 Bad Request\ncontent-type: application/json\n\n{JSON_V2}", WITH_ID),
    ("json-v2-escaped", json.dumps({"level": "error", "msg": f"ledger said {JSON_V2}"}), WITH_ID),
    ("json-v2-escaped-twice", json.dumps(json.dumps({"msg": JSON_V2})), WITH_ID),
    ("json-v2-cut", JSON_V2[: JSON_V2.index('"context"')], {**SAID, "code": "DAML_AUTHORIZATION_ERROR"}),
    (
        "javascript-object",
        JSON_V2.replace('"', "'"),
        {**SAID, "code": "DAML_AUTHORIZATION_ERROR", "category": 8},
    ),
    ("console", CONSOLE, {**WITH_ID, "act_as": ("Alice",), "read_as": ()}),
    ("log", LOG, WITH_ID),
    ("log-json", json.dumps({"timestamp": "2026-03-02T10:11:12Z", "message": LOG, "level": "INFO"}), WITH_ID),
    ("compose", "\n".join(f"participant1  | {line}" for line in textwrap.wrap(FRAMED, 100)), WITH_ID),
    ("quoted", "\n".join(f"> {line}" for line in textwrap.wrap(FRAMED, 70)), WITH_ID),
    ("fenced", f"I get this:\n```\n{FRAMED}\n```\nwhat now?", WITH_ID),
    ("words-wrapped", "\n".join(textwrap.wrap(FRAMED, 60, break_long_words=False)), WITH_ID),
    ("hard-wrapped", "\n".join(FRAMED[at : at + 80] for at in range(0, len(FRAMED), 80)), WITH_ID),
    ("hard-wrapped-narrow", "\n".join(FRAMED[at : at + 47] for at in range(0, len(FRAMED), 47)), WITH_ID),
    ("windows", FRAMED.replace(" but ", "\r\nbut "), WITH_ID),
    (
        "coloured",
        f"\x1b[31mERROR\x1b[0m {FRAMED.replace('requires', chr(27) + '[1mrequires' + chr(27) + '[0m')}",
        WITH_ID,
    ),
    ("html", FRAMED.replace(", but", ", but").replace("node", "&quot;node"), WITH_ID),
    ("escaped-lines", FRAMED.replace(", but", ",\\n but"), WITH_ID),
]


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in WRAPPED], ids=[row[0] for row in WRAPPED])
def test_wrappers_do_not_hide_the_error(text: str, expected: dict[str, Any]) -> None:
    found = classify(text)
    assert {name: getattr(found, name) for name in expected} == expected
    assert {item.id for item in found.parties} == {ALICE, BOB, BANK}
    assert found.others == ()


NODE = "node NodeId(3) (#iou-model:Main.Iou:Iou)"
# name, text, what is expected of the diagnosis
AUTHORIZATION: list[tuple[str, str, dict[str, Any]]] = [
    (
        "a",
        f"{NODE} requires authorizers {ALICE},{BOB}, but only {ALICE} were given",
        {"kind": "missing_authorization", "missing": ("Bob",), "template": "Iou", "node": 3, "action": None},
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
    ("bare-code", "what is LOCAL_VERDICT_LOCKED_CONTRACTS?", {"kind": "contention"}),
    ("nothing", "it does not work", {"kind": "unknown", "code": None, "grpc": None}),
    ("empty", "", {"kind": "unknown"}),
    ("white", " \n\t ", {"kind": "unknown"}),
    ("prose", "Alice is not authorized to do this, says my boss", {"kind": "unknown"}),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [row[1:] for row in AUTHORIZATION + ELSE],
    ids=[row[0] for row in AUTHORIZATION + ELSE],
)
def test_texts(text: str, expected: dict[str, Any]) -> None:
    found = classify(text)
    assert {name: getattr(found, name) for name in expected} == expected
    assert found.explanation == errors.explanation(found.kind)


@pytest.mark.parametrize("row", AUTHORIZATION + ELSE, ids=[row[0] for row in AUTHORIZATION + ELSE])
@pytest.mark.parametrize("wrap", ["json", "json-in-json", "log", "soft", "quote"])
def test_every_text_in_every_wrapper(row: tuple[str, str, dict[str, Any]], wrap: str) -> None:
    _, text, expected = row
    wrapped = {
        "json": lambda: json.dumps({"level": "error", "message": text}),
        "json-in-json": lambda: json.dumps({"log": json.dumps({"error": text})}),
        "log": lambda: f"2026-03-02 10:11:12,013 [main] ERROR c.d.app.Main - {text}",
        "soft": lambda: "\n".join(
            part
            for line in text.split("\n")
            for part in textwrap.wrap(line, 90, break_long_words=False) or [""]
        ),
        "quote": lambda: "\n".join(f"> {line}" for line in text.split("\n")),
    }[wrap]()
    found = classify(wrapped)
    names = ("kind", "code", "node", "required", "given", "missing", "category")
    assert {name: getattr(found, name) for name in names if name in expected} == {
        name: expected[name] for name in names if name in expected
    }


def test_kinds_and_families_are_complete() -> None:
    kinds = set(errors.Kind.__args__)  # type: ignore[attr-defined]
    assert set(errors.FAMILIES) == kinds == {row[2].get("kind") for row in AUTHORIZATION + ELSE} - {None}
    assert all(errors.explanation(kind) for kind in kinds)


def test_several_errors_are_told_apart() -> None:
    script = "\n".join(
        [
            "Main:transfer FAILURE (com.daml.lf.engine.script.Script$FailedCmd: Command submit failed: NOT_FOUND: "
            f"CONTRACT_NOT_FOUND(11,XXXXXXXX): Contract could not be found with id {CONTRACT}",
            "Main:setup SUCCESS",
            f"Main:accept FAILURE (com.daml.lf.engine.script.Script$FailedCmd: Command submit failed: INVALID_ARGUMENT: {FRAMED}",
            "Main:limits FAILURE (com.daml.lf.engine.script.Script$FailedCmd: Command submit failed: FAILED_PRECONDITION: "
            "DAML_FAILURE(9,XXXXXXXX): Interpretation error: Error: User failure: UNHANDLED_EXCEPTION/"
            "DA.Exception.AssertionFailed:AssertionFailed (error category 9): too much",
            f"    in choice {PACKAGE}:Main:Limit:Check on contract {CONTRACT} (#0)",
        ]
    )
    assert [item.kind for item in diagnoses(script)] == [
        "contract_not_found",
        "missing_authorization",
        "assertion",
    ]
    main = classify(script)
    assert (main.kind, main.missing, main.path) == ("missing_authorization", ("Bob",), ())
    assert [(item.kind, item.choice) for item in main.others] == [
        ("contract_not_found", None),
        ("assertion", "Check"),
    ]


def test_what_is_repeated_counts_once() -> None:
    assert len(diagnoses("\n".join([PYTHON, JAVA, JSON_V1, CONSOLE]))) == 1
    again = FRAMED.replace("NodeId(2)", "NodeId(4)")
    assert [item.node for item in diagnoses(f"{FRAMED}\n{again}\n{FRAMED}")] == [2, 4]


def test_hostile_text_is_read_once() -> None:
    # Each of these would take very long, or fail, if some part were read again and again.
    size = 20_000
    unit = [
        "{", '{"', '{"a":', '{"code":1,', "[", "[[", "(", "requires authorizers ", "but only ", "NodeId(1) (", "TreeSet(",
        "A", "a::", "at A.", "A.", "A:A", "in choice A:A:", "Partial transaction:\n", "└─> a creates ", "├─> ' ",
        "└─> exercises A on ", '\\"', "\\\\", "> ", "| ", "x | ", "\n", " ", "\x1b[", "&quot;", "::1a\n", "0123456789abcdef\n",
        "00", "actAs: ", "message = \"", "message = \"\\", "lookup by key of ", "contract key (", "AAAAAA(1,",
        "AAAAAA(1,b): node NodeId(1) (a:B:C) has no controllers\n", "x.daml:", "/", ".daml:1:1: error ", "error category 9): ",
        "User failure: ", "parse error on input ", "not in scope: ", "of the signatories ", "create of A:A at ", "code = ",
        "failed due to a missing authorization from 'A', ", "'A', ", "A,", "Attempt to fetch\n", "DA.Exception.", "_A_",
        "FAILURE (", "is not authorized to commit an update ", "Missing authorization for ",
    ]  # fmt: skip
    for text in unit:
        found = classify(text * (size // len(text)))
        assert isinstance(found, Diagnosis)
        assert len(found.others) <= 50 and len(found.parties) <= 1000
    nested = '{"a":' * 100_000 + "1" + "}" * 100_000
    assert classify(nested + FRAMED).missing == ("Bob",)
    assert classify("x" * 1_000_000 + FRAMED + "y" * 1_000_000).missing == ("Bob",)
    log = "2026-03-02 10:11:12,013 [main] INFO c.d.App - a quiet line, node by node\n" * 14_000
    assert classify(log + FRAMED + "\n" + log).missing == ("Bob",)


# places in code, and ways out ---------------------------------------------------------------------------

IOU = """\
module Main where

template Iou
  with
    issuer : Party
    owner : Party
    amount : Decimal
  where
    signatory issuer, owner
    ensure amount > 0.0

    choice Transfer : ContractId Iou
      with newOwner : Party
      controller owner
      do create this with owner = newOwner

    choice Split : ContractId Iou
      with part : Decimal
      controller owner
      do
        assertMsg "the part must be smaller" (part < amount)
        create this with amount = part

template Asset
  with
    registrar : Party
    holder : Party
  where
    signatory registrar
    observer holder

    choice Move : ContractId Asset
      with to : Party
      controller holder
      do create this with holder = to

    choice Again : ContractId Asset
      controller holder
      do
        exercise self Move with to = holder

template Deal
  with
    seller : Party
    buyer : Party
    asset : ContractId Asset
  where
    signatory seller, buyer

    choice Settle : ContractId Asset
      controller buyer
      do exercise asset Move with to = buyer
"""


def fits(text: str, code: str = IOU) -> tuple[Site, ...]:
    return places.places(classify(text), survey(code))


def needs(node: int, template: str, required: str, given: str) -> str:
    return (
        f"DAML_AUTHORIZATION_ERROR(8,0): Interpretation error: Error: node NodeId({node}) (#m:Main:{template}) requires "
        f"authorizers {required}, but only {given} were given"
    )


def debug(text: str, code: str = "", context: str = "") -> DebugResult:
    params = TOOL.params.model_validate({"errorMessage": text, "damlCode": code, "context": context})
    result = TOOL.run(params, SILENT)
    assert isinstance(result, DebugResult)
    assert TOOL.render(result).strip()
    return result


def test_the_place_in_a_choice_and_who_plays_which_role() -> None:
    (site,) = fits(needs(2, "Iou", f"{BANK},{BOB}", f"{ALICE},{BANK}"))
    assert (site.template, site.choice, site.line, site.command) == ("Iou", "Transfer", 15, False)
    assert dict(site.parties) == {"newOwner": "Bob", "issuer": "Bank", "owner": "Alice"}
    assert (site.missing, site.source) == (("newOwner",), "create this with owner = newOwner")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # nothing is shared, so it cannot be the create, which shares the issuer
        (needs(2, "Iou", "Bank,Bob", "Alice,Carol"), []),
        # one party is the issuer and the old owner
        (needs(2, "Iou", "Bank,Bob", "Bank"), [("Iou", "Transfer")]),
        # one party is the issuer and the new owner, and acts; the missing one has no role left
        (needs(2, "Iou", "Bank,Bob,Carol", "Alice,Bank"), []),
        (needs(1, "Asset", "Carol", "Alice,Bob"), [("Deal", "Settle")]),
        # more parties acted than Deal and Settle have
        (needs(1, "Asset", "Carol", "Alice,Bob,Dave"), []),
        ("exercise of Move in Main:Asset at Main:50:10\n failed due to a missing authorization from 'Carol'", [("Deal", "Settle")]),
    ],
)  # fmt: skip
def test_places_by_the_number_of_parties(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(site.template, site.choice) for site in fits(text) if not site.command] == expected


def test_the_trace_decides_between_places() -> None:
    code = IOU.replace("    choice Split", "    choice Give : ContractId Iou\n      with to : Party\n      controller owner\n      "
                       "do create this with owner = to\n\n    choice Split")  # fmt: skip
    text = needs(2, "Iou", "Bank,Bob", "Alice,Bank")
    assert {site.choice for site in fits(text, code)} == {"Transfer", "Give"}
    step = f"{PACKAGE}:Main:Iou:Give on contract {CONTRACT}"
    traced = f"{text}\n    in choice {step} (#0)\n    in exercise command {step}."
    assert [site.choice for site in fits(traced, code)] == ["Give"]


def test_the_submitted_command() -> None:
    found = fits(needs(0, "Iou", BOB, ALICE))
    assert [(site.choice, site.line, site.command) for site in found[:2]] == [
        ("Transfer", 12, True),
        ("Split", 17, True),
    ]
    assert dict(found[0].parties) == {"owner": "Bob"}
    (create,) = fits(needs(0, "Iou", f"{BOB},{BANK}", ALICE))
    assert (create.choice, create.kind, create.command) == (None, "create", True)


def test_code_that_cannot_have_raised_the_error() -> None:
    code = survey(IOU)
    more = classify(needs(1, "Iou", "Bank,Bob,Carol", "Alice,Bank"))
    assert "asked for 3 parties" in (places.disagreement(more, code) or "")
    gone = classify(
        f"{needs(1, 'Iou', 'Bank,Bob', 'Alice,Bank')}\n    in choice {PACKAGE}:Main:Iou:Donate on contract {CONTRACT} (#0)\n"
        f"    in exercise command {PACKAGE}:Main:Iou:Donate on contract {CONTRACT}."
    )
    assert "Donate" in (places.disagreement(gone, code) or "")
    covered = IOU.replace(
        "controller owner\n      do create this with owner = newOwner",
        "controller owner, newOwner\n      do create this with owner = newOwner",
    )
    fixed = classify(needs(1, "Iou", "Bank,Bob", "Alice,Bank"))
    assert "has the authority it needs" in (places.disagreement(fixed, survey(covered)) or "")
    assert (
        debug(needs(1, "Iou", "Bank,Bob", "Alice,Bank"), covered)
        .fixes[0]
        .title.startswith("Compare the package")
    )
    assert places.disagreement(fixed, code) is None
    assert places.disagreement(classify(needs(1, "Other", "Bank,Bob,Carol", "Alice")), code) is None


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("Template precondition violated in:\n  create Main:Iou\n  with\n    amount = -1.0", 10, "ensure amount > 0.0"),
        ("DAML_FAILURE(9,0): Error: User failure: UNHANDLED_EXCEPTION/DA.Exception.AssertionFailed:AssertionFailed "
         "(error category 9): the part must be smaller", 21, "smaller"),
        ("CONTRACT_NOT_ACTIVE(11,0): Update failed due to fetch of an inactive contract 00ab (Main:Asset@e5411f3d).", 40, "consuming"),
        ("Attempt to fetch or exercise a contract not visible to the reading parties.\nContract:  #0:0 (Main:Asset)", 24, "holder"),
    ],
)  # fmt: skip
def test_places_of_other_errors(text: str, line: int, word: str) -> None:
    site = fits(text)[0]
    assert (site.line, word in site.reason) == (line, True)


def test_clauses_that_raise_errors_whoever_submits() -> None:
    keyed = (
        "template Account\n  with\n    bank : Party\n    owner : Party\n  where\n    signatory owner\n"
        "    key (bank, owner) : (Party, Party)\n    maintainer key._1\n"
    )
    (site,) = fits(
        "node NodeId(0) (p:M:Account) has maintainers Bank which are not a subset of the signatories Alice",
        keyed,
    )
    assert (site.line, site.missing) == (7, ("bank",))
    many = "template Club\n  with\n    members : [Party]\n  where\n    signatory members\n"
    (site,) = fits("node NodeId(0) (p:M:Club) has no signatories", many)
    assert "can be empty" in site.reason
    assert fits("node NodeId(0) (p:M:Iou) has no signatories") == ()


HOLDING = """\
module Main where

interface Holding where
  viewtype View
  getOwner : Party
  give : Party -> Update (ContractId Holding)
  choice Transfer : ContractId Holding
    with to : Party
    controller getOwner this
    do give this to

template Coin
  with
    issuer, owner : Party
  where
    signatory issuer, owner
    interface instance Holding for Coin where
      view = View
      getOwner = owner
      give to = toInterfaceContractId <$> moved this to

template Vault
  with
    keeper : Party
  where
    signatory keeper
    choice Release : ContractId Coin
      with coin : Coin
      controller keeper
      do
        moved coin keeper
    choice Sweep : ()
      with coins : [ContractId Coin]
      controller keeper
      do
        forA_ coins $ \\one -> archive one

moved : Coin -> Party -> Update (ContractId Coin)
moved c p =
  create c with
    owner = p

minted : Party -> Party -> Update (ContractId Coin)
minted a b = create Coin with issuer = a; owner = b
"""


def traced(text: str, template: str, choice: str) -> str:
    step = f"{PACKAGE}:Main:{template}:{choice} on contract {CONTRACT}"
    return f"{text}\n    in choice {step} (#0)\n    in exercise command {step}."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # the choice of an interface, through a method of its instance and a helper
        (needs(2, "Coin", "Bank,Bob", "Alice,Bank"), ("Coin", "Transfer", 40, ("to",))),
        (traced(needs(2, "Coin", "Bank,Bob", "Alice,Bank"), "Coin", "Transfer"), ("Coin", "Transfer", 40, ("to",))),
        (traced(needs(2, "Coin", "Bank,Bob", "Alice,Bank"), "Holding", "Transfer"), ("Coin", "Transfer", 40, ("to",))),
        # the same line, reached from a choice
        (traced(needs(1, "Coin", "Bank,Keeper", "Keeper"), "Vault", "Release"), ("Vault", "Release", 40, ("coin.issuer",))),
        # in a loop
        ("exercise of Archive in Main:Coin at Main:36:33\n failed due to a missing authorization from 'Bank', 'Bob'",
         ("Vault", "Sweep", 36, ("issuer of coins[*]", "owner of coins[*]"))),
    ],
)  # fmt: skip
def test_places_in_helpers_and_instances(text: str, expected: tuple[str, str, int, tuple[str, ...]]) -> None:
    site = fits(text, HOLDING)[0]
    assert (site.template, site.choice, site.line, site.missing) == expected


def test_a_place_in_a_helper_names_the_way_there_and_who_plays_which_role() -> None:
    text = traced(needs(2, "Coin", "Bank,Bob", "Alice,Bank"), "Coin", "Transfer")
    (site,) = fits(text, HOLDING)
    assert "give, called in line 10" in site.reason and "moved, called in line 20" in site.reason
    assert dict(site.parties) == {"to": "Bob", "issuer": "Bank", "owner": "Alice"}
    assert site.source == "create c with owner = p"
    called = places.places(replace(classify(needs(2, "Coin", "Bank,Bob", "Alice,Bank")), locations=(Location("Main", 20, 50),)),
                           survey(HOLDING))[0]  # fmt: skip
    assert called.score > site.score and called.line == 40


def test_a_function_that_no_choice_calls_is_a_place_but_no_choice() -> None:
    alone = HOLDING[HOLDING.index("minted :") :]
    coin = HOLDING[HOLDING.index("template Coin") : HOLDING.index("    interface instance")]
    result = debug(needs(2, "Coin", "Bank,Bob", "Alice,Bank"), f"{coin}\n{alone}")
    (site,) = [site for site in result.sites if not site.command]
    assert (site.template, site.choice, site.decided) == ("", "minted", False)
    assert "function minted" in site.action and "in function minted (line" in result.summary
    assert "minted is a function" in result.explanation
    assert not any("minted" in fix.title for fix in result.fixes)


def test_choices_of_interfaces_are_choices_of_their_templates() -> None:
    code = survey(HOLDING)
    coin = code.template("Coin")
    assert coin is not None and [choice.name for choice in coin.choices] == ["Transfer"]
    assert [role.path for role in coin.choices[0].controllers] == ["owner"]
    submitted = fits(needs(0, "Coin", "Bob", "Alice"), HOLDING)[0]
    assert (submitted.choice, submitted.line, submitted.command) == ("Transfer", 7, True)
    asked = classify(traced(needs(1, "Coin", "Bank,Bob", "Alice,Bank"), "Coin", "Burn"))
    assert "Burn" in (places.disagreement(asked, code) or "")
    # an instance of an interface that is not here may have any choice
    elsewhere = HOLDING.replace("interface instance Holding", "interface instance Other.Burnable")
    assert places.disagreement(asked, survey(elsewhere)) is None


def test_the_check_of_a_contract_can_be_pasted() -> None:
    text = needs(1, "Asset", "Carol", "Alice,Bob")
    fix = debug(text, IOU).fixes[0]
    assert fix.title == "Check which contract was passed as asset"
    assert fix.code == 'assetData <- fetch asset\nassertMsg "wrong contract" (assetData.holder == seller)'
    fetched = IOU.replace(
        "do exercise asset Move", "do\n        held <- fetch asset\n        exercise asset Move"
    )
    assert debug(text, fetched).fixes[0].code == 'assertMsg "wrong contract" (held.holder == seller)'
    lines = "\n".join(f"        {line}" for line in fix.code.split("\n"))
    pasted = IOU.replace("do exercise asset Move", f"do\n{lines}\n        exercise asset Move")
    (exercise,) = [
        action for action in survey(pasted).actions if (action.choice, action.kind) == ("Settle", "exercise")
    ]
    assert exercise.proved


KINDS_OF_FIXES = [
    ("inside", needs(2, "Iou", "Bank,Bob", "Alice,Bank"), IOU,
     ["consent", "controller", "signatory", "delegation", "observer"]),
    ("inside-without-code", needs(2, "Iou", "Bank,Bob", "Alice,Bank"), "",
     ["consent", "controller", "signatory", "delegation", "observer"]),
    ("contract-of-others", needs(1, "Asset", "Carol", "Alice,Bob"), IOU, ["contract", "signatory", "delegation"]),
    ("command-create", needs(0, "Iou", "Bank,Bob", "Bank"), IOU, ["submit", "consent", "delegation", "observer"]),
    ("command-exercise", "exercise of Transfer in Main:Iou at unknown source\n failed due to a missing authorization from 'Bob'\n"
     "Partial transaction:\n  Sub-transactions:\n    0\n    └─> 'Bob' exercises Transfer on #0:0 (Main:Iou)\n", IOU,
     ["submit", "delegation", "controller"]),
    ("token", "PERMISSION_DENIED(7,0): Claims do not authorize to act as party 'Alice'", IOU, ["operate", "operate"]),
    ("contention", "LOCAL_VERDICT_LOCKED_CONTRACTS(2,0): locked", "", ["retry", "look", "code"]),
    ("syntax", "Main.daml:3:5: error: parse error on input ‘controller’", "", ["code", "code"]),
    ("unknown", "what?", IOU, []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code", "kinds"), [row[1:] for row in KINDS_OF_FIXES], ids=[row[0] for row in KINDS_OF_FIXES]
)
def test_ways_out_by_where_it_failed(text: str, code: str, kinds: list[str]) -> None:
    found, seen = classify(text), survey(code) if code else None
    sites = places.places(found, seen) if seen else ()
    ways = repair.fixes(found, sites, seen)
    assert [fix.kind for fix in ways] == kinds
    assert all(fix.reason and fix.detail for fix in ways)


def test_every_kind_has_ways_out() -> None:
    for _, text, expected in AUTHORIZATION + ELSE:
        found = classify(text)
        ways = repair.fixes(found, (), None)
        assert bool(ways) == (found.kind != "unknown"), expected
        assert not any("{" in f"{fix.title}{fix.detail}{fix.reason}" for fix in ways)


def test_sketches_hold_what_they_promise() -> None:
    inside = debug(needs(2, "Iou", "Bank,Bob", "Alice,Bank"), IOU).fixes[0]
    command = next(
        fix for fix in debug(needs(0, "Iou", "Issuer,Owner", "Owner"), IOU).fixes if "Propose" in fix.title
    )
    for sketch in (inside.code, command.code):
        assert sketch
        code = survey(f"{IOU}\n{sketch}")
        assert code.problems == ()
        creates = [action for action in code.actions if action.template == "IouProposal"]
        assert creates and all(action.proved for action in creates)


def test_answers_in_the_users_own_names() -> None:
    result = debug(needs(2, "Iou", f"{BANK},{BOB}", f"{ALICE},{BANK}"), IOU)
    assert result.summary == (
        "Authorization: an action on Iou, probably in Iou.Transfer (line 15), needs Bank and Bob, but only Alice and Bank "
        "were there: Bob (newOwner) is missing."
    )
    assert result.sites[0].parties == {"newOwner": "Bob", "issuer": "Bank", "owner": "Alice"}
    assert {party.id for party in result.parties} == {ALICE, BOB, BANK}
    assert result.need == []
    submitted = debug(needs(0, "Iou", BOB, ALICE), IOU)
    assert submitted.fixes[0].title == "Submit as Bob, not as Alice" and submitted.need
    hidden = debug(ELSE[0][1], IOU)
    assert hidden.summary == (
        "Visibility, not authorization: Bob and Carol cannot see this Iou contract, only Alice and Bank can."
    )
    twin = debug(needs(0, "Iou", BOB, OTHER_BOB))
    assert "same name" in twin.fixes[0].title


def test_no_answer_calls_another_problem_authorization() -> None:
    for _, text, _ in ELSE:
        result = debug(text)
        assert result.family != "authorization" and result.missing == []
        assert not result.summary.startswith("Authorization")


@pytest.mark.parametrize(
    "code", ["", "}{", "template", IOU[:200], "module Main where\n", "template Iou\n" * 300]
)
@pytest.mark.parametrize("text", [FRAMED, *(row[1] for row in AUTHORIZATION[:6])])
def test_any_code_with_any_error_gives_an_answer(text: str, code: str) -> None:
    result = debug(text, code)
    assert result.fixes and len(result.sites) <= places.MAX_SITES
