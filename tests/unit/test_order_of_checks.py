"""A modern request with two faults is answered for the first: the order of the checks is part of the protocol."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from canton_mcp.protocol import MAX_BODY_BYTES, Call, Dispatcher, Features
from dialogue import META, MODERN, K, Tools, message, parsed, says, serving
from mcp_types import CallToolResult

FUTURE = "2099-01-01"
SCHEMA = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}


@dataclass
class Sent:
    """A modern call in which nothing is wrong yet."""

    http_method: str = "POST"
    headers: dict[str, str] = field(
        default_factory=lambda: {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": MODERN,
            "mcp-method": "tools/call",
            "mcp-name": "needs sampling",
            "mcp-param-region": "eu",
        }
    )
    body: dict[str, Any] = field(
        default_factory=lambda: message(
            "tools/call",
            {"name": "needs sampling", "arguments": {"region": "eu"}, "_meta": {**META}},
            id="kept",
        )
    )
    tail: bytes = b""

    @property
    def params(self) -> dict[str, Any]:
        params: dict[str, Any] = self.body["params"]
        return params

    @property
    def meta(self) -> dict[str, Any]:
        meta: dict[str, Any] = self.params["_meta"]
        return meta


@dataclass(frozen=True)
class Fault:
    """Something wrong with a request, and how it is answered."""

    name: str
    make: Callable[[Sent], object]
    status: int
    code: int | None
    words: str = ""
    id_known: bool = True


def unknown_version(sent: Sent) -> None:
    """Named in the body, and in the header unless something is wrong with that already."""
    sent.meta[f"{K}protocolVersion"] = FUTURE
    if sent.headers["mcp-protocol-version"] == MODERN:
        sent.headers["mcp-protocol-version"] = FUTURE


def unknown_method(sent: Sent) -> None:
    """Named in the body, and in the header unless something is wrong with that already."""
    sent.body["method"] = "no/such"
    if sent.headers["mcp-method"] == "tools/call":
        sent.headers["mcp-method"] = "no/such"


def header(name: str, value: str) -> Callable[[Sent], None]:
    return lambda sent: sent.headers.update({name: value})


def tail(more: bytes) -> Callable[[Sent], None]:
    """Behind the message."""
    return lambda sent: setattr(sent, "tail", more)


META_MISSING = "params._meta must hold"
OLD = "2025-11-25"
LADDER = [
    Fault("HTTP method", lambda sent: setattr(sent, "http_method", "PUT"), 405, None),
    Fault("size", tail(b" " * MAX_BODY_BYTES), 413, -32600, "4 MiB", False),
    Fault("content type", header("content-type", "text/plain"), 415, -32600, "", False),
    Fault("accepted type", header("accept", "text/html"), 406, -32600, "", False),
    Fault("JSON", tail(b"}"), 400, -32700, "", False),
    Fault("JSON-RPC", lambda sent: sent.body.update(jsonrpc="1.0"), 400, -32600, "", False),
    Fault("_meta", lambda sent: sent.meta.pop(f"{K}clientCapabilities"), 400, -32602, META_MISSING),
    Fault("version header", header("mcp-protocol-version", OLD), 400, -32020, "MCP-Protocol-Version"),
    Fault("method header", header("mcp-method", "tools/list"), 400, -32020, "Mcp-Method"),
    Fault("name header", header("mcp-name", "other"), 400, -32020, "Mcp-Name"),
    Fault("version", unknown_version, 400, -32022),
    Fault("parameter header", header("mcp-param-region", "us"), 400, -32020, "Mcp-Param-Region"),
    Fault("value in _meta", lambda sent: sent.meta.update({f"{K}clientInfo": 5}), 400, -32602, "clientInfo"),
    Fault("method", unknown_method, 404, -32601),
    Fault("parameters", lambda sent: sent.params.update(requestState="x"), 400, -32602, "requestState"),
    Fault("capability", lambda sent: None, 400, -32021),
]
"""In the order in which they are looked for; the last one is in every request that has no other."""
NEIGHBOURS = list(pairwise(LADDER))


def needs_sampling(call: Call, arguments: dict[str, Any]) -> CallToolResult:
    call.require(sampling={})
    return says("sampled")


@pytest.fixture
def tools() -> Tools:
    return Tools({"needs sampling": needs_sampling}, SCHEMA)


@pytest.fixture
def server(tools: Tools) -> Dispatcher:
    return serving(Features(tools=tools))


def answer(server: Dispatcher, *faults: Fault) -> tuple[int, int | None, str, Any]:
    """Status, code, message and id of the answer to a request with these faults."""
    sent = Sent()
    for fault in faults:
        fault.make(sent)
    body = json.dumps(sent.body).encode() + sent.tail
    reply = server.handle(sent.http_method, sent.headers, body)
    told = parsed(reply)
    if told is None:
        return reply.status, None, "", None
    return reply.status, told["error"]["code"], told["error"]["message"], told["id"]


@pytest.mark.parametrize("fault", LADDER, ids=lambda fault: fault.name)
def test_each_fault_has_its_answer(server: Dispatcher, fault: Fault) -> None:
    status, code, words, identifier = answer(server, fault)
    assert (status, code) == (fault.status, fault.code)
    assert fault.words in words
    assert identifier == ("kept" if fault.id_known and fault.code else None)


@pytest.mark.parametrize(
    ("first", "second"), NEIGHBOURS, ids=[f"{a.name}, then {b.name}" for a, b in NEIGHBOURS]
)
def test_the_first_of_two_faults_is_answered(server: Dispatcher, first: Fault, second: Fault) -> None:
    assert answer(server, first, second) == answer(server, first)
    assert answer(server, second, first) == answer(server, first)
    assert answer(server, first)[:3] != answer(server, second)[:3]


def test_no_fault_but_the_last_reaches_the_tool(server: Dispatcher, tools: Tools) -> None:
    for fault in LADDER[:-1]:
        answer(server, fault)
    assert tools.calls == []
    answer(server, LADDER[-1])
    assert len(tools.calls) == 1
