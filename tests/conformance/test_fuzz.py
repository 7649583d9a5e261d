"""Whatever a client sends, it gets an answer that the protocol names, and the server goes on.

The same requests every time. To look further: ``FUZZ_EXAMPLES=50000 pytest tests/conformance/test_fuzz.py``
makes so many of each kind, others every time.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import pytest
from canton_mcp.protocol import Seals
from canton_mcp.tools import TOOLS
from dialogue import ANSWERS_ALL, LEGACY, MODERN, K, declaring, initialize, modern_request
from fleet import PRODUCT, SECRET, WORKSHOP, servers
from fuzzing import Garbage, Sent, World, garbage, requests
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from processes import Served, until
from wire import HANGS_SEC, send

WANTED: Final = os.environ.get("FUZZ_EXAMPLES")
EXAMPLES: Final = int(WANTED or 1500)
FUZZ: Final = settings(
    max_examples=EXAMPLES,
    derandomize=WANTED is None,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    print_blob=WANTED is not None,
)
UNREADABLE: Final = object()
TRANSPORT: Final = frozenset({406, 413, 415})
FORBIDDEN: Final = frozenset({403})
"""Refused before the protocol is asked."""

STATUS: Final[dict[bool, dict[int, set[int]]]] = {
    True: {-32700: {400}, -32600: {400, *TRANSPORT}, -32601: {404}, -32602: {400}, -32603: {503},
           -32020: {400}, -32021: {400}, -32022: {400}},
    False: {-32700: {400}, -32600: {400, 404, *TRANSPORT}, -32601: {200}, -32602: {200}, -32603: {200, 503},
            -32002: {200}},
}  # fmt: skip
"""HTTP statuses by era (modern or not) and error code."""


class Target:
    """A server, a kept connection to it, and an eye on its log."""

    def __init__(self, served: Served, world: World) -> None:
        self.served, self.world = served, world
        self.process_id = served.get("/health")[1]["pid"]
        self._connection: http.client.HTTPConnection | None = None
        self._read = 0

    def ask(self, sent: Sent) -> tuple[int, http.client.HTTPMessage, list[Any]]:
        """Status, headers and messages of the answer; of a stream those up to the first that counts."""
        kept = self._connection is not None
        connection = self._connection or http.client.HTTPConnection(
            "127.0.0.1", self.served.port, timeout=HANGS_SEC
        )
        try:
            connection.request(sent.method, "/mcp", sent.body, sent.headers)
            response = connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):
            self._connection = None
            connection.close()
            if not kept:
                raise
            return self.ask(sent)
        if response.headers.get_content_type() == "text/event-stream":
            messages = list(_until_it_counts(response))
            response.close()
            connection.close()
            self._connection = None
            return response.status, response.headers, messages
        raw = response.read()
        self._connection = connection
        return response.status, response.headers, [json.loads(raw)] if raw else []

    def new_log(self) -> str:
        """What the server has logged since the last time."""
        with self.served.log_path.open("rb") as log:
            log.seek(self._read)
            text = log.read()
        self._read += len(text)
        return text.decode(errors="replace")


def _until_it_counts(response: http.client.HTTPResponse) -> Iterator[Any]:
    """Messages of a stream up to its result, a question, an acknowledgement or a ping."""
    for line in iter(response.readline, b""):
        if line.startswith(b":"):
            return
        if line.startswith(b"data: "):
            message = json.loads(line.removeprefix(b"data: "))
            yield message
            if "id" in message or message["method"] == "notifications/subscriptions/acknowledged":
                return


# -- the two servers -------------------------------------------------------------------------------------


def sealed(served: Served, *good: str) -> list[str]:
    """Good texts with changed, cut, expired and misplaced ones."""
    expired = [
        Seals([SECRET]).seal(purpose, ["tools/list", 1], -10_000)
        for purpose in ("cursor", "session", "requestState")
    ]
    stranger = Seals(["another secret " * 3]).seal("cursor", ["tools/list", 1])
    return [*good, *good, good[0][:-1], good[0] + "A", "A" + good[0][1:], *expired, stranger, "x", ".", ""]


def world(
    served: Served, calls: list[Any], uris: list[str], prompts: list[Any], references: list[Any], asks: Any
) -> World:
    state = _modern(served, "tools/call", asks)["requestState"]
    cursor = _modern(served, "tools/list", {}).get("nextCursor") or Seals([SECRET]).seal(
        "cursor", ["tools/list", 1]
    )
    session = send(served, initialize(capabilities=ANSWERS_ALL)).headers["Mcp-Session-Id"]
    return World(
        calls=[*calls, asks, {"name": "no_such_tool"}],
        uris=uris,
        prompts=[*prompts, {"name": "no_such_prompt"}],
        references=references,
        cursors=sealed(served, cursor, state),
        states=sealed(served, state, cursor),
        sessions=sealed(served, session, session, session, state),
    )


def _modern(served: Served, method: str, params: Any) -> Any:
    body, headers = modern_request(method, params, meta=declaring(ANSWERS_ALL))
    return send(served, body, headers).body["result"]


def workshop_world(served: Served) -> World:
    plain = ("test_simple_text", "test_multiple_content_types", "test_error_handling", "json_schema_2020_12_tool",
             "test_tool_with_progress", "test_missing_capability", "test_streaming_elicitation",
             "test_input_required_result_elicitation", "test_input_required_result_multiple_inputs",
             "test_input_required_result_capabilities", "test_trigger_tool_change")  # fmt: skip
    return world(
        served,
        calls=[
            *({"name": name, "arguments": {}} for name in plain),
            *[
                {"name": "test_x_mcp_header", "arguments": {"region": region}}
                for region in ("eu", "ü", "", 5)
            ],
            {"name": "test_sampling", "arguments": {"prompt": "p"}},
            {"name": "test_elicitation", "arguments": {"message": "m"}},
        ],
        uris=[
            "test://static-text",
            "test://static-binary",
            "test://template/5/data",
            "test://template//data",
        ],
        prompts=[
            {"name": "test_simple_prompt"},
            {"name": "test_prompt_with_arguments", "arguments": {"arg1": "a", "arg2": "b"}},
            {"name": "test_input_required_result_prompt"},
        ],
        references=[
            {"type": "ref/prompt", "name": "test_prompt_with_arguments"},
            {"type": "ref/resource", "uri": "test://template/{id}/data"},
        ],
        asks={"name": "test_input_required_result_multi_round", "arguments": {}},
    )


def product_world(served: Served) -> World:
    listed = {kind: _modern(served, f"{kind}/list", {})[kind] for kind in ("resources", "prompts")}
    templates = _modern(served, "resources/templates/list", {})["resourceTemplates"]
    return world(
        served,
        calls=[{"name": tool.name, "arguments": dict(tool.examples[0])} for tool in TOOLS],
        uris=[resource["uri"] for resource in listed["resources"]],
        prompts=[
            {"name": prompt["name"], "arguments": {argument["name"]: "basic" for argument in prompt["arguments"]}}
            for prompt in listed["prompts"]
        ],
        references=[
            *({"type": "ref/prompt", "name": prompt["name"]} for prompt in listed["prompts"]),
            *({"type": "ref/resource", "uri": template["uriTemplate"]} for template in templates),
        ],
        asks={"name": "suggest_authorization_pattern", "arguments": {"workflowDescription": "we do something with contracts"}},
    )  # fmt: skip


@pytest.fixture(scope="module", params=["workshop", "product"])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    application, described = {
        "workshop": (WORKSHOP, workshop_world),
        "product": (PRODUCT, product_world),
    }[request.param]
    with servers(tmp_path_factory.mktemp("fuzz") / "s", application=application) as (served,):
        yield Target(served, described(served))


# -- what must hold --------------------------------------------------------------------------------------


def well_formed(message: Any) -> None:
    """An answer, a notification or a question as JSON-RPC has them."""
    assert message["jsonrpc"] == "2.0"
    if "method" in message:
        assert isinstance(message["method"], str) and not {"result", "error"} & message.keys()
        return
    assert ("result" in message) != ("error" in message)
    assert message.keys() == {"jsonrpc", "id", "result" if "result" in message else "error"}
    assert message["id"] is None or type(message["id"]) in (int, str)
    if "error" in message:
        assert type(message["error"]["code"]) is int and isinstance(message["error"]["message"], str)
        assert message["error"].keys() <= {"code", "message", "data"}
    else:
        assert isinstance(message["result"], dict)


def understood(sent: Sent) -> Any:
    """What the body says to a lenient reader."""
    try:
        return json.loads(sent.body.decode("utf-8"))
    except (ValueError, RecursionError):
        return UNREADABLE


def is_request(message: Any) -> bool:
    return (
        isinstance(message, dict)
        and message.get("jsonrpc") == "2.0"
        and isinstance(message.get("method"), str)
        and type(message.get("id")) in (int, str)
    )


def is_modern(sent: Sent, message: Any) -> bool:
    """The era by the body, else by the header."""
    params = message.get("params") if isinstance(message, dict) else None
    meta = params.get("_meta") if isinstance(params, dict) else None
    if isinstance(meta, dict) and f"{K}protocolVersion" in meta:
        return True
    return sent.header("mcp-protocol-version") not in (None, *LEGACY, "2024-11-05")


def judge(sent: Sent, status: int, headers: http.client.HTTPMessage, messages: list[Any]) -> None:
    """The answer fits the request."""
    if status in FORBIDDEN:
        assert sent.header("origin") is not None
    elif sent.method not in ("POST", "GET") or (sent.method == "GET" and status == 405):
        assert (status, messages) == (405, [])
        assert "POST" in headers["Allow"]
    elif sent.method == "GET":
        assert status in {200, 400, 404, 406, 503}
        assert "Mcp-Session-Id" not in headers
    else:
        judge_post(sent, status, headers, messages)


def judge_post(sent: Sent, status: int, headers: http.client.HTTPMessage, messages: list[Any]) -> None:
    """The answer to a message fits it."""
    said = understood(sent)
    modern = is_modern(sent, said)
    assert headers["Mcp-Session-Id"] is None or (not modern and said["method"] == "initialize")
    streamed = headers.get_content_type() == "text/event-stream"
    if status == 202:
        assert messages == [] and not streamed and not is_request(said)
        return
    if isinstance(said, list) and isinstance(messages[0], list):
        assert status == 200 and not modern
        (answers,) = messages
        wanted = [item["id"] for item in said if is_request(item)]
        assert [answer["id"] for answer in answers if answer["id"] is not None] == wanted
        for answer in answers:
            well_formed(answer)
        return
    for message in messages:
        well_formed(message)
    last: Any = messages[-1] if messages else {"method": "only a ping"}
    code = last.get("error", {}).get("code")
    if code is not None:
        assert status in ({200} if streamed else STATUS[modern][code]), (status, last)
    if said is UNREADABLE:
        assert code == -32700 or status in TRANSPORT
    if not is_request(said):
        assert status != 200, "only requests have results"
    elif code != -32700 and status not in TRANSPORT and "method" not in last:
        assert last["id"] == said["id"] and type(last["id"]) is type(said["id"])
    if "result" in last:
        assert ("resultType" in last["result"]) is modern
    if "result" in last and modern:  # then nothing was wrong with the envelope
        assert sent.header("mcp-protocol-version") == MODERN == said["params"]["_meta"][f"{K}protocolVersion"]
        assert sent.header("mcp-method") == said["method"]


def healthy(target: Target) -> None:
    """It serves, it is the same process still, and no stream stays open."""
    assert "Traceback" not in target.new_log()
    until(lambda: target.served.get("/health")[1]["streams"]["open"] == 0, target.served)
    assert target.served.get("/health")[1]["pid"] == target.process_id
    assert _modern(target.served, "server/discover", {})["resultType"] == "complete"


def test_every_request_is_answered_as_the_protocol_says(target: Target) -> None:
    @FUZZ
    @given(data=st.data())
    def holds(data: st.DataObject) -> None:
        sent = data.draw(requests(target.world))
        judge(sent, *target.ask(sent))
        log = target.new_log()
        assert "Traceback" not in log, log

    holds()
    healthy(target)


def test_bytes_that_are_no_http_harm_nothing(target: Target) -> None:
    @settings(FUZZ, max_examples=EXAMPLES // 3)
    @given(sent=garbage())
    @example(Garbage(b"POST /mcp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"))
    def holds(sent: Garbage) -> None:
        with socket.create_connection(("127.0.0.1", target.served.port), timeout=HANGS_SEC) as connection:
            with suppress(ConnectionError):  # refused before all was sent
                connection.sendall(sent.raw)
                connection.shutdown(socket.SHUT_WR)
            heard = b""
            with suppress(ConnectionError):
                while part := connection.recv(65536):
                    heard += part
        for line in heard.split(b"\r\n"):
            if line.startswith(b"HTTP/1."):
                assert line.split(b" ")[1] not in (b"500", b"502", b"504"), heard
        log = target.new_log()
        assert "Traceback" not in log, log

    holds()
    healthy(target)
