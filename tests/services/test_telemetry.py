"""Telemetry of real servers under gunicorn, as it leaves their sockets."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import textwrap
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import canton_mcp
import pytest
from canton_mcp.dcap.reading import Message, read
from canton_mcp.tools import TOOLS
from planted import Planted, plant
from processes import Served, free_port, request, until

Start = Callable[..., Served]

SOURCE = Path(canton_mcp.__file__).parent.parent
SECRETS = 1000
MODERN = "2026-07-28"

SLOW_TOOLS = """
    import time
    from pydantic import BaseModel
    from canton_mcp.tools.base import Tool

    class Params(BaseModel):
        how: str

    class Result(BaseModel):
        text: str

    def run(params, client):
        if params.how == "break":
            raise RuntimeError("of a secret")
        if params.how == "late":
            raise TimeoutError("of a secret")
        for step in range(3000):
            client.progress(step, 3000, "working")
            time.sleep(0.01)
        return Result(text="done")

    TOOLS = (Tool("work", "Work", "Works.", Params, Result, run, str, ({},)),)
"""


class Hub:
    """Takes and keeps every datagram that comes to a port of its own."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self.port = int(self._socket.getsockname()[1])
        self.datagrams: list[bytes] = []
        self.ports: list[int] = []
        """Where each of them came from; every process of a server sends from one port of its own."""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._receive)
        self._thread.start()

    def _receive(self) -> None:
        while not self._closing.is_set():
            try:
                data, (_, port) = self._socket.recvfrom(65535)
            except TimeoutError:
                continue
            self.ports.append(port)
            self.datagrams.append(data)

    @property
    def messages(self) -> list[Message]:
        """Everything so far; all of it keeps every rule."""
        read_all = [read(data) for data in list(self.datagrams)]
        good = [message for message in read_all if isinstance(message, Message) and not message.flags]
        assert len(good) == len(read_all), read_all
        return good

    def of(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message.type == kind]

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._socket.close()


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    yield made
    made.close()


def reporting(start_server: Start, hub: Hub, **extra: str) -> Served:
    """A ready server whose telemetry goes to `hub`."""
    target = {"DCAP_MULTICAST_IP": "127.0.0.1", "DCAP_PORT": str(hub.port), "PYTHONPATH": str(SOURCE)}
    served = start_server(**{"DCAP_SERVER_ID": "canton-mcp-2", **target, **extra})
    return served.wait_ready()


def test_identity_comes_from_a_bare_environment(start_server: Start, hub: Hub) -> None:
    served = reporting(start_server, hub, DCAP_SERVER_URL="http://192.0.2.2:7285/mcp")
    served.call(TOOLS[0].name, TOOLS[0].examples[0])
    until(lambda: len(hub.of("perf_update")) == 1 and len(hub.of("semantic_discover")) == len(TOOLS))
    assert {message.sender for message in hub.messages} == {"canton-mcp-2"}
    announced = hub.of("semantic_discover")
    assert {message.tool for message in announced} == {tool.name for tool in TOOLS}
    for message in announced:
        connector = message.fields["connector"]
        assert (connector["transport"], connector["endpoint"]) == ("http", "http://192.0.2.2:7285/mcp")
        assert connector["auth"] == {"type": "none", "required": False}
        assert connector["protocol"]["versions"] == [connector["protocol"]["version"], "2025-11-25"]
        assert connector["protocol"]["version"] == MODERN and message.fields["when"]
        assert message.ctx["discover_interval_sec"] == 300


def test_what_a_connector_says_is_true(start_server: Start, hub: Hub) -> None:
    served = reporting(start_server, hub)
    until(lambda: bool(hub.of("semantic_discover")))
    protocol = hub.of("semantic_discover")[0].fields["connector"]["protocol"]
    legacy = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": protocol["versions"][1], "capabilities": {}, "clientInfo": {"name": "t", "version": "1"},
    }}  # fmt: skip
    assert request(f"{served.url}/mcp", legacy)[1]["result"]["protocolVersion"] == protocol["versions"][1]
    for method in protocol["methods"]:
        assert modern(served, method, TOOLS[3].name, {})["result"]


def modern(served: Served, method: str, tool: str, arguments: dict[str, Any]) -> Any:
    """The answer to a request of the stateless version."""
    status, answer = request(
        f"{served.url}/mcp", modern_message(method, tool, arguments), **modern_headers(method, tool)
    )
    assert status == 200, answer
    return answer


def modern_message(method: str, tool: str, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
    key = "io.modelcontextprotocol/"
    meta = {f"{key}protocolVersion": MODERN, f"{key}clientCapabilities": {}, **more}
    named = {"name": tool, "arguments": arguments} if method == "tools/call" else {}
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**named, "_meta": meta}}


def modern_headers(method: str, tool: str) -> dict[str, str]:
    named = {"Mcp_Name": tool} if method == "tools/call" else {}
    return {"MCP_Protocol_Version": MODERN, "Mcp_Method": method, **named}


def test_one_process_announces_through_a_reload(start_server: Start, hub: Hub) -> None:
    served = reporting(start_server, hub, DCAP_DISCOVER_INTERVAL_SEC="1")
    until(lambda: len(hub.of("semantic_discover")) >= len(TOOLS), served)
    with slow_call(served):  # the old process has something to end, so that both live for a while
        old = served.get("/health")[1]["pid"]
        served.process.send_signal(signal.SIGHUP)
        until(lambda: served.get("/health")[1]["pid"] != old, served)
        until(lambda: announced_by(hub)[-1] != announced_by(hub)[0], served)
        so_far = len(announced_by(hub))
        until(lambda: len(announced_by(hub)) >= so_far + 3 * len(TOOLS), served)
        assert Path(f"/proc/{old}").exists()
    ports = announced_by(hub)
    first, second = ports[0], ports[-1]
    assert ports == [first] * ports.count(first) + [second] * ports.count(second)
    told = [message.tool for message in hub.of("semantic_discover")][ports.count(first) :]
    order = [tool.name for tool in TOOLS]
    assert told[: 3 * len(order)] == order * 3
    assert served.stop() == 0


def announced_by(hub: Hub) -> list[int]:
    """The port behind each announcement so far; the telemetry of calls does not count."""
    return [
        port
        for port, data in zip(hub.ports, list(hub.datagrams), strict=False)
        if b"semantic_discover" in data
    ]


def slow_call(served: Served) -> socket.socket:
    """A connection whose request is not complete, which its process waits for."""
    connection = socket.create_connection(("127.0.0.1", served.port), timeout=10)
    connection.sendall(b"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
    return connection


def test_two_workers_announce_once(start_server: Start, hub: Hub) -> None:
    served = reporting(start_server, hub, DCAP_DISCOVER_INTERVAL_SEC="1", GUNICORN_CMD_ARGS="--workers 2")
    until(lambda: len({served.get("/health")[1]["pid"] for _ in range(10)}) == 2, served)
    until(lambda: len(hub.of("semantic_discover")) >= 3 * len(TOOLS), served)
    assert len(set(announced_by(hub))) == 1


@pytest.fixture
def slow_source(tmp_path: Path) -> Path:
    """A copy of the package whose only tool works until its caller has gone, or fails; put it on PYTHONPATH."""
    package = tmp_path / "src" / "canton_mcp"
    shutil.copytree(SOURCE / "canton_mcp", package)
    (package / "tools" / "__init__.py").write_text(textwrap.dedent(SLOW_TOOLS))
    return package.parent


def test_calls_that_fail_are_reported_as_failed(start_server: Start, hub: Hub, slow_source: Path) -> None:
    served = reporting(start_server, hub, PYTHONPATH=str(slow_source))
    served.call("work", {"how": 5})
    served.call("work", ["no object"])
    served.call("nobody", ["no object"])
    served.call("work", {"how": "break"})
    served.call("work", {"how": "late"})
    body = json.dumps(modern_message("tools/call", "work", {"how": "slowly"}, progressToken="p")).encode()
    headers = {name.replace("_", "-"): value for name, value in modern_headers("tools/call", "work").items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(
            f"POST /mcp HTTP/1.1\r\nHost: x\r\nAccept: application/json, text/event-stream\r\n{head}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        assert connection.recv(1000)  # it has begun; and now its caller leaves
    until(lambda: len(hub.of("perf_update")) == 5, served)
    told = [(message.fields["success"], message.ctx.get("error_code")) for message in hub.of("perf_update")]
    assert told == [
        (False, "invalid_params"),
        (False, "invalid_params"),
        (False, "exception"),
        (False, "timeout"),
        (False, "cancelled"),
    ]
    assert served.get("/health")[1]["calls"] == {"total": 5, "ok": 0, "tool_errors": 5}
    assert [message.ctx["seq"] for message in hub.of("perf_update")] == [1, 2, 3, 4, 5]
    assert b"of a secret" not in b"".join(hub.datagrams)


@pytest.mark.parametrize("target", ["127.0.0.1", "no-such-hub.invalid"])
def test_a_hub_that_is_not_there_costs_no_call(start_server: Start, target: str) -> None:
    served = start_server(
        DCAP_MULTICAST_IP=target, DCAP_PORT=str(free_port()), PYTHONPATH=str(SOURCE)
    ).wait_ready()
    for number in range(50):
        answer = served.call(TOOLS[3].name, {})
        assert "result" in answer, number
    dcap = served.get("/health")[1]["dcap"]
    assert dcap["dropped"] == 0
    assert served.stop() == 0


def test_health_and_metrics_count_what_arrives(start_server: Start, hub: Hub) -> None:
    served = reporting(start_server, hub)
    for _ in range(20):
        served.call(TOOLS[3].name, {})
    until(lambda: len(hub.of("semantic_discover")) == len(TOOLS), served)
    until(lambda: len(hub.of("perf_update")) == 20, served)
    sent = served.get("/health")[1]["dcap"]["sent_by_type"]
    assert sent == {"perf_update": 20, "semantic_discover": len(TOOLS), "error_pattern": 0}
    with urllib.request.urlopen(f"{served.url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    assert 'dcap_sent_total{type="perf_update"} 20.0' in lines
    assert f'mcp_tool_calls_total{{outcome="ok",tool="{TOOLS[3].name}"}} 20.0' in lines


@pytest.mark.parametrize("policy", ["types", "truncate"])
def test_planted_secrets_never_leave(start_server: Start, hub: Hub, policy: str) -> None:
    served = reporting(start_server, hub, DCAP_ARGUMENTS=policy)
    secrets = plant(SECRETS)
    for number, secret in enumerate(secrets):
        tool, arguments = hiding(secret, number)
        answer = served.call(tool, arguments, **callers(secret, number))
        assert "result" in answer or "error" in answer
    until(lambda: len(hub.of("perf_update")) == SECRETS, served)
    assert hub.of("error_pattern")  # wrong arguments came often enough
    captured = b"\n".join(hub.datagrams).decode()
    leaked = [secret.text for secret in secrets if secret.found_in(captured)]
    assert leaked == []
    reported = hub.of("perf_update")
    assert {message.fields["success"] for message in reported} == {True, False}
    assert sum("args" in message.ctx for message in reported) > SECRETS / 2


def hiding(secret: Planted, number: int) -> tuple[str, dict[str, Any]]:
    """A call that carries a secret, in one of many places."""
    text = secret.text
    daml = f'module M where\n-- {text}\ntemplate T\n  with\n    p : Party\n  where\n    signatory p\n    ensure "{text}" /= ""\n'
    places: list[tuple[str, dict[str, Any]]] = [
        ("validate_daml_business_logic", {"businessIntent": text, "damlCode": daml}),
        (
            "validate_daml_business_logic",
            {"businessIntent": "x", "damlCode": text, "securityRequirements": [text]},
        ),
        ("validate_daml_business_logic", {"businessIntent": "x", "damlCode": daml, text: text}),
        ("validate_daml_business_logic", {"businessIntent": {"deep": [{text: text}]}, "damlCode": [text]}),
        (
            "debug_authorization_failure",
            {"errorMessage": f"DAML_AUTHORIZATION_ERROR: requires authorizers {text}"},
        ),
        ("debug_authorization_failure", {"errorMessage": text, "context": text, "damlCode": daml}),
        ("suggest_authorization_pattern", {"workflowDescription": text, "constraints": [text]}),
        ("suggest_authorization_pattern", {"workflowDescription": "x", "securityLevel": text}),
        ("get_canonical_resource_overview", {"category": text}),
        ("recommend_canonical_resources", {"useCase": text, "description": text, "existingPatterns": [text]}),
        ("recommend_canonical_resources", {"useCase": "x", "complexityLevel": text}),
    ]
    return places[number % len(places)]


def callers(secret: Planted, number: int) -> dict[str, str]:
    """Headers that give away a credential; the caller may name itself as it likes otherwise."""
    text = secret.text
    if not text.isascii() or not text.isprintable():
        return {}
    lines = [
        {"Authorization": f"Bearer {text}"},
        {"X_Caller_ID": f"Bearer {text}"},
        {"X_Caller_ID": f"me token={text}"},
        {"User_Agent": f"password: {text}"},
        {"Cookie": f"session={text}"},
    ]
    return lines[number % len(lines)]
