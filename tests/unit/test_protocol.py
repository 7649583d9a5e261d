"""The protocol with a tool set of its own: both eras, the order of the checks, and every answer's shape."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import mcp_types
import pytest
from canton_mcp.protocol import MAX_BODY_BYTES, Call, Dispatcher, Features, InvalidArguments, Reply
from dialogue import (
    ASKS,
    LEGACY,
    META,
    MODERN,
    K,
    Tools,
    code,
    declaring,
    initialize,
    legacy,
    message,
    modern,
    post,
    send,
    serving,
)
from mcp_types.methods import validate_server_result

SERVED = {MODERN, *LEGACY}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"text": {"$ref": "#/$defs/word"}},
    "$defs": {"word": {"type": "string"}},
    "additionalProperties": False,
}


def echo(call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
    return mcp_types.CallToolResult(
        content=[mcp_types.TextContent(type="text", text="readable")],
        structured_content={"arguments": arguments, "nothing": None, "ünï": "ø"},
    )


def refuse(call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
    raise InvalidArguments("text: Field required")


def fail(call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
    raise RuntimeError("secret detail")


@pytest.fixture
def tools() -> Tools:
    handlers = {"echo": echo, "refuse": refuse, "break": fail, "naïve, «tool»": echo}
    return Tools(handlers, SCHEMA)


@pytest.fixture
def server(tools: Tools) -> Dispatcher:
    return serving(Features(tools=tools), instructions="Read me.")


# --- transport -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD"])
def test_only_post_is_served(server: Dispatcher, method: str) -> None:
    assert server.handle(method, {}, b"") == Reply(405, {"Allow": "POST"})


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"]
)
def test_other_content_types_are_refused(server: Dispatcher, content_type: str) -> None:
    assert code(post(server, message("ping"), {"content-type": content_type})) == (415, -32600)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_content_type_may_have_parameters(server: Dispatcher, content_type: str) -> None:
    assert post(server, message("ping"), {"content-type": content_type})[0] == 200


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json, text/event-stream", 200),
        ("*/*", 200),
        ("application/*;q=0.5", 200),
        ("", 200),
        ("text/event-stream", 406),
        ("text/html,image/*", 406),
    ],
)
def test_accept(server: Dispatcher, accept: str, status: int) -> None:
    assert post(server, message("ping"), {"accept": accept})[0] == status


def test_body_limit(server: Dispatcher) -> None:
    padded = json.dumps(message("ping")).encode().ljust(MAX_BODY_BYTES)
    assert post(server, padded)[0] == 200
    assert post(server, padded + b" ")[0] == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":-Infinity}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":1e999}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":' + b"9" * 5000 + b"}}",
        b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}',
        b"[" * 100_000 + b"]" * 100_000,
        b"[" * 129 + b"]" * 129,
        b'{"a":' * 129 + b"[" * 129 + b'"]}"' + b"]" * 129 + b"}" * 129,
        '{"jsonrpc":"2.0","id":1,"method":"ping"}'.encode("utf-16"),
    ],
    ids=[
        "empty",
        "cut",
        "not utf-8",
        "NaN",
        "Infinity",
        "overflow",
        "huge integer",
        "surrogate",
        "deep",
        "rather deep",
        "rather deep, with text",
        "utf-16",
    ],
)
def test_what_is_not_json_is_a_parse_error(server: Dispatcher, body: bytes) -> None:
    status, answer = post(server, body)
    assert (status, answer["error"]["code"], answer["id"]) == (400, -32700, None)


@pytest.mark.parametrize(
    "body",
    [
        1,
        "ping",
        None,
        {},
        {"id": 1, "method": "ping"},
        {"jsonrpc": "1.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1},
        {"jsonrpc": "2.0", "id": 1, "method": 5},
        {"jsonrpc": "2.0", "id": None, "method": "ping"},
        {"jsonrpc": "2.0", "id": True, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1.5, "method": "ping"},
        {"jsonrpc": "2.0", "id": [1], "method": "ping"},
        [],
    ],
)
@pytest.mark.parametrize("version", [None, "2025-11-25", MODERN])
def test_what_is_no_message_is_an_invalid_request(server: Dispatcher, body: Any, version: str | None) -> None:
    status, answer = post(server, body, {"mcp-protocol-version": version} if version else {})
    assert (status, answer["error"]["code"], answer["id"]) == (400, -32600, None)


@pytest.mark.parametrize("identifier", [0, -1, 1_700_000_000_000, 2**80, "", "0", "ü"])
def test_ids_come_back_as_they_were(server: Dispatcher, identifier: Any) -> None:
    status, answer = post(server, message("ping", id=identifier))
    assert status == 200
    assert answer["id"] == identifier and type(answer["id"]) is type(identifier)


@pytest.mark.parametrize("depth", [1, 50, 120])
def test_what_is_not_too_deep_comes_back(server: Dispatcher, depth: int) -> None:
    """Deeper values could be read, but not always be written."""
    nested: Any = "[{" * 1000  # brackets in a text do not count
    for _ in range(depth):
        nested = [nested]
    meta = declaring({"experimental": {"e": {"deep": nested}}})
    called = {"name": "echo", "arguments": {"a": nested}}
    result = modern(server, "tools/call", called, meta=meta)[1]["result"]
    assert result["structuredContent"]["arguments"] == {"a": nested}


def test_an_emoji_written_as_a_surrogate_pair_is_fine(server: Dispatcher) -> None:
    assert post(server, b'{"jsonrpc":"2.0","id":"\\ud83d\\ude00","method":"ping"}')[1]["id"] == "😀"


def test_answers_are_compact_utf8_on_one_line(server: Dispatcher) -> None:
    body = json.dumps(message("tools/call", {"name": "echo", "arguments": {}})).encode()
    reply = server.handle("POST", {"content-type": "application/json"}, body)
    assert reply.body is not None and b"\n" not in reply.body and b'": ' not in reply.body
    assert "ünï".encode() in reply.body


# --- legacy ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "agreed"),
    [
        *((version, version) for version in LEGACY),
        (MODERN, "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
        ("x", "2025-11-25"),
    ],
)
@pytest.mark.parametrize("header", [None, "2025-11-25"])
def test_initialize_negotiates(server: Dispatcher, asked: str, agreed: str, header: str | None) -> None:
    body = initialize(asked, {"roots": {}})
    status, answer = post(server, body, {"mcp-protocol-version": header} if header else {})
    assert (status, answer["result"]["protocolVersion"]) == (200, agreed)
    assert answer["result"]["capabilities"] == {"tools": {}}
    assert answer["result"]["serverInfo"] == {"name": "fixture", "version": "9"}
    assert not {"resultType", "ttlMs", "cacheScope", "_meta"} & answer["result"].keys()
    validate_server_result("initialize", agreed, answer["result"])


@pytest.mark.parametrize(
    "params", [None, {}, {"protocolVersion": 1, "capabilities": {}, "clientInfo": {}}, []]
)
def test_initialize_needs_its_parameters(server: Dispatcher, params: Any) -> None:
    assert code(post(server, message("initialize", params))) == (200, -32602)


@pytest.mark.parametrize("version", LEGACY)
def test_legacy_results_are_free_of_modern_members(server: Dispatcher, version: str) -> None:
    assert legacy(server, "ping", version=version) == (200, {"jsonrpc": "2.0", "id": 1, "result": {}})
    listed = legacy(server, "tools/list", version=version)[1]["result"]
    called = legacy(server, "tools/call", {"name": "echo", "arguments": {}}, version=version)[1]["result"]
    assert listed.keys() == {"tools"}
    assert called.keys() == {"content", "structuredContent", "isError"}
    validate_server_result("tools/list", version, listed)
    validate_server_result("tools/call", version, called)


@pytest.mark.parametrize(
    "method",
    [
        "server/discover",
        "resources/list",
        "prompts/get",
        "logging/setLevel",
        "tasks/get",
        "subscriptions/listen",
        "x",
    ],
)
def test_legacy_unknown_methods_are_errors_under_status_200(server: Dispatcher, method: str) -> None:
    assert code(legacy(server, method)) == (200, -32601)


@pytest.mark.parametrize("version", [None, *LEGACY])
@pytest.mark.parametrize(
    "body",
    [
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}},
        {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "echo"}},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": [1]},
    ],
)
def test_what_wants_no_answer_gets_none(
    server: Dispatcher, tools: Tools, body: Any, version: str | None
) -> None:
    assert post(server, body, {"mcp-protocol-version": version} if version else {}) == (202, None)
    assert tools.calls == []


def test_handshake_versions_that_are_not_served(server: Dispatcher) -> None:
    status, answer = legacy(server, "ping", version="2024-11-05")
    assert (status, answer["id"]) == (400, 1)
    assert "2025-11-25" in answer["error"]["message"]


def test_header_values_are_trimmed(server: Dispatcher) -> None:
    assert legacy(server, "ping", version=" 2025-11-25\t")[0] == 200


@pytest.mark.parametrize(("asked", "members"), [("2025-03-26", set()), ("2025-06-18", {"title"})])
def test_the_handshake_of_old_versions(asked: str, members: set[str]) -> None:
    """What newer versions added may be ignored by an old client, but must fit what it knows."""
    identity = mcp_types.Implementation(name="fixture", version="9", title="Fixture")
    server = Dispatcher(identity, Features(tools=Tools({"echo": echo})))
    result = post(server, initialize(asked))[1]["result"]
    validate_server_result("initialize", asked, result)
    assert members <= result["serverInfo"].keys()
    assert "instructions" not in result


@pytest.mark.parametrize(("version", "status"), [("2025-03-26", -32602), ("2025-11-25", None)])
def test_the_version_agreed_in_a_session_holds_without_a_header(version: str, status: int | None) -> None:
    """2025-03-26 knows no version header; unfit arguments tell which version an exchange speaks."""
    server = serving(Features(tools=Tools({"refuse": refuse}), asks=ASKS))
    opened = send(server, initialize(version, {"roots": {}}))
    session = {"mcp-session-id": opened.headers["mcp-session-id"]}
    answer = post(server, message("tools/call", {"name": "refuse"}), session)[1]
    assert answer.get("error", {}).get("code") == status
    batch = post(server, [message("ping")], session)[0]
    assert batch == (200 if version == "2025-03-26" else 400)


# --- batches ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"mcp-protocol-version": "2025-03-26"}])
def test_batch(server: Dispatcher, headers: dict[str, str]) -> None:
    batch = [
        message("ping", id="a"),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 9, "result": {}},
        message("tools/call", {"name": "echo"}, id=2),
        message("initialize", {}, id=3),
        message("tools/list", {"_meta": META}, id=4),
        5,
        message("nope", id=6),
    ]
    status, answers = post(server, batch, headers)
    outcome = [(answer["id"], answer.get("error", {}).get("code")) for answer in answers]
    assert status == 200
    assert outcome == [("a", None), (2, None), (3, -32600), (4, -32600), (None, -32600), (6, -32601)]


def test_a_batch_without_requests_gets_no_body(server: Dispatcher) -> None:
    assert post(server, [{"jsonrpc": "2.0", "method": "notifications/initialized"}]) == (202, None)


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25", MODERN, "2024-11-05"])
def test_batches_belong_to_one_version(server: Dispatcher, version: str) -> None:
    assert code(post(server, [message("ping")], {"mcp-protocol-version": version})) == (400, -32600)


def test_batches_are_bounded(server: Dispatcher) -> None:
    assert len(post(server, [message("ping")] * 100)[1]) == 100
    assert code(post(server, [message("ping")] * 101)) == (400, -32600)


# --- modern envelope -------------------------------------------------------------------------------------


def test_discover(server: Dispatcher) -> None:
    status, answer = modern(server, "server/discover")
    result = answer["result"]
    assert status == 200
    assert set(result["supportedVersions"]) == SERVED
    assert result["capabilities"] == {"tools": {}}
    assert result["_meta"][f"{K}serverInfo"] == {"name": "fixture", "version": "9"}
    assert (result["resultType"], result["cacheScope"]) == ("complete", "public") and result["ttlMs"] >= 0
    validate_server_result("server/discover", MODERN, result)


def test_modern_results_carry_type_hints_and_server(server: Dispatcher) -> None:
    listed = modern(server, "tools/list")[1]["result"]
    called = modern(server, "tools/call", {"name": "echo", "arguments": {}})[1]["result"]
    assert listed.keys() == {"tools", "resultType", "ttlMs", "cacheScope", "_meta"}
    assert called.keys() == {"content", "structuredContent", "isError", "resultType", "_meta"}
    validate_server_result("tools/list", MODERN, listed)
    validate_server_result("tools/call", MODERN, called)


@pytest.mark.parametrize(
    "meta",
    [
        None,
        [],
        "x",
        {},
        {f"{K}protocolVersion": MODERN},
        {f"{K}clientCapabilities": {}},
        {**META, f"{K}protocolVersion": 5},
        {**META, f"{K}clientCapabilities": []},
        {**META, f"{K}clientInfo": {"name": "only"}},
        {**META, f"{K}clientInfo": None},
        {**META, f"{K}logLevel": "loud"},
        {**META, f"{K}logLevel": {}},
    ],
)
def test_meta_must_be_complete(server: Dispatcher, meta: Any) -> None:
    answer = modern(server, "tools/list", meta=meta, identifier="m")
    assert code(answer) == (400, -32602)
    assert answer[1]["id"] == "m"


@pytest.mark.parametrize("params", [None, [], {}])
def test_a_modern_header_without_meta_is_still_modern(server: Dispatcher, params: Any) -> None:
    assert code(post(server, message("initialize", params), {"mcp-protocol-version": MODERN})) == (
        400,
        -32602,
    )


def test_client_info_is_optional_and_capabilities_are_open(server: Dispatcher) -> None:
    meta = {
        f"{K}protocolVersion": MODERN,
        f"{K}clientCapabilities": {"roots": {"listChanged": True}, "new": {}},
    }
    assert modern(server, "tools/list", meta=meta)[0] == 200
    assert modern(server, "tools/list", meta={**META, f"{K}logLevel": "debug"})[0] == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"mcp_protocol_version": None},
        {"mcp_protocol_version": "2025-11-25"},
        {"mcp_protocol_version": "2099-01-01"},
        {"mcp_method": None},
        {"mcp_method": "Tools/Call"},
        {"mcp_method": "tools/call,tools/call"},
        {"mcp_name": None},
        {"mcp_name": "Echo"},
        {"mcp_name": "=?base64?ZWNobw=?="},
        {"mcp_name": "=?base64?%%%%?="},
        {"mcp_name": "=?base64?/w==?="},
        {"mcp_name": "=?BASE64?ZWNobw==?="},
        {"mcp_name": "=?base64?="},
    ],
)
def test_headers_must_agree_with_the_body(
    server: Dispatcher, tools: Tools, changes: dict[str, str | None]
) -> None:
    answer = modern(server, "tools/call", {"name": "echo"}, identifier=7, **changes)
    assert code(answer) == (400, -32020)
    assert answer[1]["id"] == 7
    assert tools.calls == []


@pytest.mark.parametrize("name", ["echo", "naïve, «tool»"])
def test_names_may_travel_in_base64(server: Dispatcher, name: str) -> None:
    wrapped = f"=?base64?{base64.b64encode(name.encode()).decode()}?="
    assert modern(server, "tools/call", {"name": name}, mcp_name=wrapped)[0] == 200
    assert (
        modern(server, "tools/call", {"name": "echo"}, mcp_name=" echo\t", mcp_method="tools/call ")[0] == 200
    )


@pytest.mark.parametrize("method", ["prompts/get", "resources/read"])
def test_the_name_header_is_checked_before_the_method(server: Dispatcher, method: str) -> None:
    params = {"name": "a", "uri": "a"}
    assert code(modern(server, method, params)) == (404, -32601)
    assert code(modern(server, method, params, mcp_name="b")) == (400, -32020)


def test_unsupported_versions_come_after_disagreement(server: Dispatcher) -> None:
    meta = {**META, f"{K}protocolVersion": "2099-01-01"}
    status, answer = modern(server, "tools/list", meta=meta, mcp_protocol_version="2099-01-01")
    assert (status, answer["error"]["code"]) == (400, -32022)
    assert answer["error"]["data"]["requested"] == "2099-01-01"
    assert set(answer["error"]["data"]["supported"]) == SERVED
    assert code(modern(server, "tools/list", meta=meta)) == (400, -32020)


def test_a_legacy_version_in_the_modern_envelope_is_refused(server: Dispatcher) -> None:
    meta = {**META, f"{K}protocolVersion": "2025-11-25"}
    assert code(modern(server, "tools/list", meta=meta, mcp_protocol_version="2025-11-25")) == (400, -32022)


@pytest.mark.parametrize(
    "method",
    ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe", "prompts/list",
     "subscriptions/listen", "resources/list", "completion/complete", "tasks/list", "unknown/method"],
)  # fmt: skip
def test_modern_unknown_methods_are_not_found(server: Dispatcher, method: str) -> None:
    answer = modern(server, method, identifier="x")
    assert code(answer) == (404, -32601)
    assert answer[1]["id"] == "x"


def test_modern_notifications(server: Dispatcher) -> None:
    body = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    assert post(server, body, {"mcp-protocol-version": MODERN}) == (202, None)
    assert code(post(server, body, {"mcp-protocol-version": "2099-01-01"})) == (400, -32022)


def test_modern_responses_are_refused(server: Dispatcher) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert code(post(server, body, {"mcp-protocol-version": MODERN})) == (400, -32600)


# --- tools -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", LEGACY)
def test_schemas_keep_every_keyword(server: Dispatcher, version: str) -> None:
    for answer in (legacy(server, "tools/list", version=version), modern(server, "tools/list")):
        assert [tool["inputSchema"] for tool in answer[1]["result"]["tools"]] == [SCHEMA] * 4


def test_a_result_passes_through_whole(server: Dispatcher) -> None:
    result = modern(server, "tools/call", {"name": "echo", "arguments": {"a": [1, None]}})[1]["result"]
    assert result["content"] == [{"type": "text", "text": "readable"}]
    assert result["structuredContent"] == {"arguments": {"a": [1, None]}, "nothing": None, "ünï": "ø"}
    assert result["isError"] is False


@pytest.mark.parametrize(
    "params", [{"name": "nope"}, {"name": 5}, {"arguments": {}}, {"name": "echo", "arguments": []}]
)
def test_unknown_tools_and_malformed_calls_are_protocol_errors(
    server: Dispatcher, params: dict[str, Any]
) -> None:
    for version in LEGACY:
        assert code(legacy(server, "tools/call", params, version)) == (200, -32602)
    header = params["name"] if isinstance(params.get("name"), str) else "any"
    assert code(modern(server, "tools/call", params, mcp_name=header)) == (400, -32602)


@pytest.mark.parametrize("version", ["2025-03-26", "2025-06-18"])
def test_unfit_arguments_were_protocol_errors(server: Dispatcher, version: str) -> None:
    answer = legacy(server, "tools/call", {"name": "refuse"}, version)
    assert code(answer) == (200, -32602)
    assert answer[1]["error"]["message"] == "text: Field required"


def test_unfit_arguments_are_results_that_a_model_can_read(server: Dispatcher) -> None:
    for answer in (
        legacy(server, "tools/call", {"name": "refuse"}, "2025-11-25"),
        modern(server, "tools/call", {"name": "refuse"}),
    ):
        assert answer[0] == 200
        assert answer[1]["result"]["isError"] is True
        assert answer[1]["result"]["content"] == [{"type": "text", "text": "text: Field required"}]


@pytest.mark.parametrize("version", LEGACY)
def test_exceptions_of_a_tool_stay_inside(
    server: Dispatcher, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    for answer in (
        legacy(server, "tools/call", {"name": "break"}, version),
        modern(server, "tools/call", {"name": "break"}),
    ):
        assert answer[0] == 200
        assert answer[1]["result"]["isError"] is True
        assert "secret" not in json.dumps(answer[1])
    assert "secret detail" in caplog.text


def test_null_arguments_count_as_none(server: Dispatcher, tools: Tools) -> None:
    assert modern(server, "tools/call", {"name": "echo", "arguments": None})[0] == 200
    assert tools.calls[-1][:2] == ("echo", {})


@pytest.mark.parametrize("arguments", [[], "x", 5, True])
def test_arguments_that_are_no_object_are_refused_and_reported(
    server: Dispatcher, tools: Tools, arguments: Any
) -> None:
    params = {"name": "echo", "arguments": arguments}
    assert code(legacy(server, "tools/call", params)) == (200, -32602)
    assert code(modern(server, "tools/call", params)) == (400, -32602)
    assert tools.refusals == ["echo", "echo"]
    assert tools.calls == []


def test_the_client_is_named_where_it_names_itself(server: Dispatcher, tools: Tools) -> None:
    modern(server, "tools/call", {"name": "echo"}, x_caller_id="me")
    legacy(server, "tools/call", {"name": "echo"})
    assert [call.client_name for _, _, call in tools.calls] == ["t", None]
    assert tools.calls[0][2].headers["x-caller-id"] == "me"


def test_a_defect_of_ours_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Tools):
        def list_tools(self) -> Sequence[mcp_types.Tool]:
            if self.calls:
                raise KeyError("secret detail")
            return super().list_tools()

    tools = Broken({"echo": echo})
    server = serving(Features(tools=tools))
    modern(server, "tools/call", {"name": "echo"})
    for answer, status in ((legacy(server, "tools/list"), 200), (modern(server, "tools/list"), 500)):
        assert code(answer) == (status, -32603)
        assert answer[1]["id"] == 1
        assert "secret" not in json.dumps(answer[1])
    assert "secret detail" in caplog.text
