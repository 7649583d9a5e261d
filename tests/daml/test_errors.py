"""Error texts: what each says, whatever it is wrapped in; and what it takes to read them."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import pytest
from canton_mcp.daml import errors
from canton_mcp.daml.errors import Diagnosis, Location, classify, diagnoses
from error_texts import (
    ALICE,
    AUTHORIZATION,
    BANK,
    BOB,
    CONTRACT,
    ELSE,
    FRAMED,
    MISSING,
    PACKAGE,
    SAID,
    WITH_ID,
)

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


def test_a_text_from_a_form_is_decoded() -> None:
    text = "DAML_AUTHORIZATION_ERROR%288%2Cab%29%3A+node+NodeId%281%29+requires+authorizers+Ann%2CBen%2C+but+only+Ben+were+given"
    found = classify(text)
    assert (found.missing, found.node, found.code) == (("Ann",), 1, "DAML_AUTHORIZATION_ERROR")


def test_a_name_that_the_paste_cuts_is_completed() -> None:
    text = "node NodeId(1) (#m:Main:Note) requires authorizers Lender,Borrower, but only Lend"
    assert classify(text).missing == ("Borrower",)
    assert classify(text.replace("Lend", "Xenia")[:-1]).given != ("Lender",)


def test_a_trace_without_its_last_line_is_a_trace() -> None:
    step = f"{PACKAGE}:Main:Iou:Transfer on contract {CONTRACT}"
    found = classify(f"{FRAMED}\n    in choice {step} (#0)")
    assert found.inside_choice is True and found.enclosing and found.enclosing.choice == "Transfer"


def test_numbers_of_lines_are_no_part_of_the_text() -> None:
    text = "12: node NodeId(0) (#loan:Loan:Note) requires authorizers Lender,\n13: Borrower, but only Lender were given"
    assert classify(text).missing == ("Borrower",)
    assert classify(text.replace("13:", "15:")).missing != ("Borrower",)  # not the numbers of lines


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


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        ("node NodeId(3) (p:M:T) requires authorizers Ann for lookup by key, but it only has Bob", "lookup_authorization"),
        ("node NodeId(3) (p:M:T) has maintainers Ann which are not a subset of the signatories TreeSet(Bob)",
         "maintainers_not_signatories"),
        ("node NodeId(3) (p:M:T) has no controllers", "no_authorizers"),
        ("node NodeId(3) requires one of the stakeholders TreeSet(Ann) of the fetched contract to be an authorizer, but "
         "authorizers were TreeSet(Bob)", "fetch_authorization"),
    ],
)  # fmt: skip
def test_a_code_that_is_told_twice_is_one_error(cause: str, kind: str) -> None:
    code = "DAML_AUTHORIZATION_ERROR"
    found = classify(
        f'{{"code":"{code}","cause":"{code}(8,ab): Interpretation error: Error: {cause}","grpcCodeValue":3}}'
    )
    assert (found.kind, found.code, found.node, found.others) == (kind, code, 3, ())
