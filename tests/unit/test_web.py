"""The application: its routes, who may call, and what each call leaves in log, counters and telemetry."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import re
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from canton_mcp import __version__
from canton_mcp.dcap import Emitter
from canton_mcp.protocol import MAX_BODY_BYTES, Call, InvalidArguments, UnknownTool
from canton_mcp.settings import Settings
from canton_mcp.tools import TOOLS, Tool
from canton_mcp.tools.base import Client
from canton_mcp.web import create_app
from canton_mcp.web.calls import ToolRunner
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from mcp_types import CLIENT_CAPABILITIES_META_KEY, PROTOCOL_VERSION_META_KEY
from processes import Served, request
from pydantic import BaseModel, Field
from werkzeug.test import TestResponse as Answer

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}


class Hub:
    """A telemetry target on loopback."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(10)
        self.port = int(self._socket.getsockname()[1])

    def receive(self, kind: str = "perf_update") -> dict[str, Any]:
        """The next message of a kind; others are passed over."""
        while True:
            message: dict[str, Any] = json.loads(self._socket.recv(2048))
            if message["t"] == kind:
                return message

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    yield made
    made.close()


@pytest.fixture
def drain_dir(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def app(hub: Hub, drain_dir: Path) -> Iterator[Flask]:
    made = create_app(
        Settings.from_env(
            {
                "DCAP_MULTICAST_IP": "127.0.0.1",
                "DCAP_PORT": str(hub.port),
                "DCAP_SERVER_ID": "canton-mcp-2",
                "DCAP_SERVER_NAME": "Canton MCP Server 2",
                "CANTON_MCP_NAME": "canton-mcp-server-2",
                "CANTON_MCP_DRAIN_DIR": str(drain_dir),
                "CANTON_MCP_ROLLOUT_FILE": str(drain_dir / "rollout"),
                "CANTON_MCP_PORT": "7285",
            }
        )
    )
    server = made.extensions["canton_mcp"]
    server.start()
    yield made
    server.stop()
    server.close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def call(client: FlaskClient, name: str, arguments: Any, **headers: str) -> Any:
    sent = {
        "MCP-Protocol-Version": "2025-11-25",
        **{key.replace("_", "-"): value for key, value in headers.items()},
    }
    return client.post(
        "/mcp", json={**CALL, "params": {"name": name, "arguments": arguments}}, headers=sent
    ).json


def body(response: Answer) -> Any:
    assert response.content_type == "application/json"
    return json.loads(response.data)


def test_health(client: FlaskClient, hub: Hub) -> None:
    response = client.get("/health")
    told = body(response)
    assert response.status_code == 200
    assert told["status"] == "healthy"
    assert datetime.fromisoformat(told["timestamp"]).utcoffset() is not None
    assert told["server"] == {
        "id": "canton-mcp-2",
        "name": "canton-mcp-server-2",
        "display_name": "Canton MCP Server 2",
        "url": "http://localhost:7285/mcp",
    }
    assert (told["version"], told["release"], told["draining"]) == (__version__, "dev", False)
    assert re.fullmatch("[0-9a-f]{12}", told["config_digest"])
    assert told["uptime_seconds"] >= 0 and told["pid"] > 0
    assert told["calls"] == {"total": 0, "ok": 0, "tool_errors": 0}
    dcap = told["dcap"]  # the server is announcing its tools at this moment
    assert (dcap["enabled"], dcap["target"]) == (True, f"127.0.0.1:{hub.port}")
    assert dcap["sent"] == dcap["sent_by_type"]["semantic_discover"] <= len(TOOLS)
    assert (dcap["dropped"], dcap["errors"], dcap["last_error"]) == (0, 0, None)
    assert dcap["errors_by_reason"] == {"unresolved": 0, "send": 0, "oversize": 0, "build": 0}


@pytest.mark.parametrize(("flag", "status"), [("drain", 404), ("drain-7285", 404), ("drain-7284", 200)])
def test_draining_takes_readiness_away_and_nothing_else(
    client: FlaskClient, drain_dir: Path, flag: str, status: int
) -> None:
    assert client.get("/readyz").status_code == 200
    (drain_dir / flag).touch()
    assert client.get("/readyz").status_code == status
    assert body(client.get("/health"))["draining"] is (status == 404)
    assert body(client.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"}))["result"] == {}
    (drain_dir / flag).unlink()
    assert client.get("/readyz").status_code == 200


def test_index_names_endpoints_and_tools(client: FlaskClient) -> None:
    told = body(client.get("/"))
    assert (told["name"], told["version"]) == ("canton-mcp-server-2", __version__)
    assert told["tools"] == [tool.name for tool in TOOLS]
    assert all(client.get(path).status_code != 404 for path in told["endpoints"].values())


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nope", 404), ("POST", "/health", 405)])
def test_http_errors_are_json(client: FlaskClient, method: str, path: str, status: int) -> None:
    response = client.open(path, method=method)
    assert response.status_code == status
    assert "error" in body(response)
    assert ("Allow" in response.headers) == (status == 405)


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD"])
def test_the_endpoint_takes_post_only(client: FlaskClient, method: str) -> None:
    response = client.open("/mcp", method=method)
    assert (response.status_code, response.headers["Allow"], response.data) == (405, "POST", b"")


def test_defects_are_json_without_detail(app: Flask) -> None:
    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError("secret detail")

    response = app.test_client().get("/broken")
    assert response.status_code == 500
    assert "secret" not in response.text and "error" in body(response)


def test_large_bodies_are_refused(client: FlaskClient) -> None:
    padded = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}).encode().ljust(MAX_BODY_BYTES)
    headers = {"Content-Type": "application/json"}
    assert client.post("/mcp", data=padded, headers=headers).status_code == 200
    refused = client.post("/mcp", data=padded + b" ", headers=headers)
    assert refused.status_code == 413
    assert "error" in body(refused)


@pytest.mark.parametrize(("excess", "status"), [(0, 200), (1, 413), (70_000, 413)])
def test_large_bodies_without_a_length_are_refused_not_cut(
    live_server: Served, excess: int, status: int
) -> None:
    padded = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}).encode().ljust(MAX_BODY_BYTES + excess)
    chunks = (padded[at : at + 65536] for at in range(0, len(padded), 65536))
    connection = http.client.HTTPConnection("127.0.0.1", live_server.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", "/mcp", chunks, {"Content-Type": "application/json"}, encode_chunked=True)
        response = connection.getresponse()
        assert response.status == status
        assert ("error" in json.loads(response.read())) is (status != 200)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://localhost:6274", 200),
        ("http://127.0.0.1", 200),
        ("http://[::1]:3000", 200),
        ("null", 403),
        ("", 403),
        ("http://evil.example.com", 403),
        ("http://localhost.evil.example", 403),
        ("http://[", 403),
        ("file://localhost", 403),
    ],
)
def test_origins(client: FlaskClient, origin: str | None, status: int) -> None:
    headers = {} if origin is None else {"Origin": origin}
    response = client.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers=headers)
    assert response.status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://tools.example.net", 200),
        ("https://TOOLS.example.net", 200),
        ("http://localhost", 403),
        (None, 200),
    ],
)
def test_allowed_origins_replace_the_default(origin: str | None, status: int) -> None:
    app = create_app(Settings.from_env({"CANTON_MCP_ALLOWED_ORIGINS": "https://tools.example.net"}))
    headers = {} if origin is None else {"Origin": origin}
    answer = app.test_client().post(
        "/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers=headers
    )
    assert answer.status_code == status


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_every_example_gives_what_the_tool_promises(client: FlaskClient, tool: Tool) -> None:
    answer = body(client.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}))
    listed = answer["result"]["tools"]
    (described,) = [item for item in listed if item["name"] == tool.name]
    assert described["annotations"]["readOnlyHint"] is True
    assert described["inputSchema"]["type"] == described["outputSchema"]["type"] == "object"
    assert described["inputSchema"]["examples"]
    for example in described["inputSchema"]["examples"]:
        Draft202012Validator(described["inputSchema"]).validate(example)
        result = call(client, tool.name, example)["result"]
        assert result["isError"] is False
        Draft202012Validator(described["outputSchema"]).validate(result["structuredContent"])
        assert json.loads(result["content"][1]["text"]) == result["structuredContent"]


def test_a_good_call_is_logged_counted_and_sent(
    client: FlaskClient, hub: Hub, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("canton_mcp").addHandler(caplog.handler)
    tool = TOOLS[0]
    call(client, tool.name, tool.examples[0], X_Caller_ID="me")
    logging.getLogger("canton_mcp").removeHandler(caplog.handler)
    sent = hub.receive()
    assert (sent["v"], sent["t"], sent["sid"]) == (2, "perf_update", "canton-mcp-2")
    assert (sent["tool"], sent["success"]) == (tool.name, True)
    assert sent["exec_ms"] >= 0 and isinstance(sent["ts"], int)
    assert sent["ctx"]["caller"] == "me"
    assert body(client.get("/health"))["calls"] == {"total": 1, "ok": 1, "tool_errors": 0}
    assert re.search(rf"^Tool {tool.name} completed in \d+ ms$", caplog.messages[-1])


def test_refused_arguments_are_logged_counted_and_sent(
    client: FlaskClient, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("canton_mcp").addHandler(caplog.handler)
    tool = TOOLS[0]
    answer = call(client, tool.name, {"forged\nTool x completed in 1 ms": "value-that-is-secret"})
    logging.getLogger("canton_mcp").removeHandler(caplog.handler)
    assert answer["result"]["isError"] is True
    sent = hub.receive()
    assert (sent["tool"], sent["success"], sent["exec_ms"]) == (tool.name, False, 0)
    assert "invalid_params" in json.dumps(sent)
    assert "secret" not in json.dumps(sent) + json.dumps(answer) + caplog.text
    assert re.match(rf"Tool {tool.name} failed in 0 ms: invalid arguments: ", caplog.messages[-1])
    assert "\n" not in caplog.messages[-1]
    assert body(client.get("/health"))["calls"] == {"total": 1, "ok": 0, "tool_errors": 1}


def test_unknown_tools_leave_no_trace(client: FlaskClient, hub: Hub) -> None:
    assert call(client, "no_such_tool", {})["error"]["code"] == -32602
    call(client, TOOLS[0].name, TOOLS[0].examples[0])
    assert hub.receive()["tool"] == TOOLS[0].name  # the first message of all
    assert body(client.get("/health"))["calls"]["total"] == 1


@pytest.mark.parametrize(
    ("headers", "client_name", "caller"),
    [
        ({"x-caller-id": "me", "user-agent": "curl/8"}, "cli", "me"),
        ({"x-caller-id": " ", "user-agent": "curl/8"}, "cli", "cli"),
        ({"user-agent": "curl/8.1 (x)"}, None, "curl"),
        ({"x-caller-id": "a\x1b[31mb"}, None, "a[31mb"),
        ({}, None, "house"),
    ],
)
def test_who_called(hub: Hub, headers: dict[str, str], client_name: str | None, caller: str) -> None:
    emitter = Emitter("s", "127.0.0.1", hub.port, default_caller="house")
    emitter.start()
    ToolRunner([SMALL], emitter).call_tool("small", {"word": "on"}, Call(headers, client_name=client_name))
    assert hub.receive()["ctx"]["caller"] == caller
    emitter.close(2)


class SmallParams(BaseModel):
    word: str = Field(json_schema_extra={"enum": ["on", "off"]})
    free: str | None = None


class SmallResult(BaseModel):
    text: str


def run_small(params: SmallParams, client: Client) -> SmallResult:
    if params.free == "break":
        raise RuntimeError("secret detail")
    return SmallResult(text=params.word)


SMALL = Tool(
    "small", "Small", "Small.", SmallParams, SmallResult, run_small, lambda result: result.text, ({},)
)


def test_a_failing_tool_is_reported_and_raised(hub: Hub) -> None:
    emitter = Emitter("s", "127.0.0.1", hub.port)
    emitter.start()
    runner = ToolRunner([SMALL], emitter)
    with pytest.raises(RuntimeError):
        runner.call_tool("small", {"word": "on", "free": "break"}, Call({}))
    sent = json.dumps(hub.receive())
    assert '"success": false' in sent and "exception" in sent and "secret" not in sent
    assert (runner.counts.total, runner.counts.ok, runner.counts.tool_errors) == (1, 0, 1)
    with pytest.raises(InvalidArguments, match="word: Field required"):
        runner.call_tool("small", {}, Call({}))
    with pytest.raises(UnknownTool):
        runner.call_tool("Small", {}, Call({}))
    assert runner.counts.total == 2
    emitter.close(2)


def test_only_enumerated_words_are_in_the_vocabulary() -> None:
    assert SMALL.vocabulary == {"word": {"on", "off"}, "free": set()}
    words = next(tool for tool in TOOLS if tool.name == "suggest_authorization_pattern").vocabulary
    assert words["securityLevel"] == {"basic", "enhanced", "high"}
    assert words["workflowDescription"] == frozenset()


def test_a_dead_target_changes_no_answer(drain_dir: Path) -> None:
    app = create_app(Settings.from_env({"DCAP_MULTICAST_IP": "no-such-host.invalid"}))
    server = app.extensions["canton_mcp"]
    server.start()
    answer = call(app.test_client(), TOOLS[0].name, TOOLS[0].examples[0])
    assert answer["result"]["isError"] is False
    server.close()


def test_a_real_server_serves_all_of_it(live_server: Served) -> None:
    assert request(f"{live_server.url}/health")[1]["status"] == "healthy"
    assert request(f"{live_server.url}/readyz") == (200, {"status": "ready"})
    assert request(f"{live_server.url}/nope") == (404, {"error": "Not Found"})
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    message = {"jsonrpc": "2.0", "id": 5, "method": "server/discover", "params": {"_meta": meta}}
    headers = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "server/discover"}
    status, answer = request(f"{live_server.url}/mcp", message, **headers)
    assert (status, answer["id"]) == (200, 5)
    assert "2026-07-28" in answer["result"]["supportedVersions"]
    assert live_server.call(TOOLS[0].name, TOOLS[0].examples[0])["result"]["isError"] is False
    assert re.search(rf"^Tool {TOOLS[0].name} completed in \d+ ms$", live_server.log, re.MULTILINE)


def test_the_end_of_a_rollout_is_told_on_every_stream(app: Flask, drain_dir: Path) -> None:
    meta = {PROTOCOL_VERSION_META_KEY: "2026-07-28", CLIENT_CAPABILITIES_META_KEY: {}}
    params = {"_meta": meta, "notifications": {"toolsListChanged": True, "resourcesListChanged": True}}
    listen = {"jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen", "params": params}
    headers = {
        "content-type": "application/json",
        "accept": "text/event-stream, application/json",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "subscriptions/listen",
    }
    reply = app.extensions["canton_mcp"].dispatcher.handle("POST", headers, json.dumps(listen).encode())
    stream = iter(reply.events)
    assert b"notifications/subscriptions/acknowledged" in next(stream)
    (drain_dir / "rollout").write_text("0.2.0-f00\n")
    told = b""
    for _ in range(4):  # there is a comment line every few seconds, if nothing else
        told += next(stream)
        if told.count(b"list_changed") == 2:
            break
    assert told.count(b"notifications/tools/list_changed") == 1
    assert told.count(b"notifications/resources/list_changed") == 1
    assert b"prompts" not in told
    reply.events.close()
