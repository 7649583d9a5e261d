"""Servers with one secret are one server: what one of them began, any other goes on with, and no stranger does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import cycle
from typing import Any, Final

import pytest
from dialogue import ANSWERS_ALL, ROOTS, SAMPLED, declaring, initialize, message, modern_request
from fleet import servers
from processes import Served
from wire import Answer, send, streaming

FEW: Final = 5
"""No request takes more rounds."""

VALUES: Final = {"string": "Ada", "boolean": True, "integer": 5, "number": 5.5}
MULTI_ROUND: Final = {
    "test_input_required_result_elicitation": 2,
    "test_input_required_result_sampling": 2,
    "test_input_required_result_list_roots": 2,
    "test_input_required_result_request_state": 2,
    "test_input_required_result_tampered_state": 2,
    "test_input_required_result_multiple_inputs": 2,
    "test_input_required_result_multi_round": 3,
    "test_input_required_result_capabilities": 2,
    "test_streaming_elicitation": 2,
}
"""Rounds by tool."""


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Served], Served]]:
    """Two servers of one fleet, and one of another."""
    with ExitStack() as stack:
        base = tmp_path_factory.mktemp("fleets")
        two = stack.enter_context(servers(base / "ours", 2))
        (stranger,) = stack.enter_context(servers(base / "theirs", secret="another secret " * 3))
        yield two, stranger


@pytest.fixture
def fleet(everybody: tuple[list[Served], Served]) -> list[Served]:
    return everybody[0]


@pytest.fixture
def stranger(everybody: tuple[list[Served], Served]) -> Served:
    return everybody[1]


def modern(served: Served, method: str, params: Mapping[str, Any]) -> Answer:
    body, headers = modern_request(method, params, meta=declaring(ANSWERS_ALL))
    return send(served, body, headers)


def answer_to(request: Any) -> Any:
    """What a helpful client answers."""
    if request["method"] == "sampling/createMessage":
        return SAMPLED
    if request["method"] == "roots/list":
        return ROOTS
    fields = request["params"]["requestedSchema"]["properties"]
    return {"action": "accept", "content": {name: VALUES[field["type"]] for name, field in fields.items()}}


def rounds(fleet: Sequence[Served], method: str, params: dict[str, Any]) -> list[Any]:
    """The results of all rounds of a request, each from the next server."""
    results: list[Any] = []
    more: dict[str, Any] = {}
    for served in cycle(fleet):
        result = modern(served, method, {**params, **more}).body["result"]
        results.append(result)
        if result["resultType"] == "complete" or len(results) > FEW:
            return results
        answers = {key: answer_to(request) for key, request in result["inputRequests"].items()}
        more = {"inputResponses": answers, "requestState": result["requestState"]}
    raise AssertionError("a cycle ends")


def changes(text: str) -> list[str]:
    """A sealed text with one character changed, at places all over it, and one added."""
    places = {*range(0, len(text), 7), *range(len(text) - 3, len(text))}
    swapped = [text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :] for at in sorted(places)]
    return [*swapped, text + "A", text[:-1]]


# -- rounds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tool", "expected"), MULTI_ROUND.items())
@pytest.mark.parametrize("first", [0, 1])
def test_every_tool_that_asks_completes_on_alternating_servers(
    fleet: list[Served], tool: str, expected: int, first: int
) -> None:
    results = rounds([fleet[first], fleet[1 - first]], "tools/call", {"name": tool, "arguments": {}})
    assert [result["resultType"] for result in results] == ["input_required"] * (expected - 1) + ["complete"]
    assert results[-1]["isError"] is False
    states = [result["requestState"] for result in results[:-1]]
    assert len(set(states)) == len(states)


def test_a_prompt_that_asks_completes_on_alternating_servers(fleet: list[Served]) -> None:
    results = rounds(fleet, "prompts/get", {"name": "test_input_required_result_prompt"})
    assert [result["resultType"] for result in results] == ["input_required", "complete"]
    assert "Ada" in results[-1]["messages"][0]["content"]["text"]


def test_a_state_is_worth_nothing_elsewhere_or_changed(fleet: list[Served], stranger: Served) -> None:
    params = {"name": "test_input_required_result_request_state", "arguments": {}}
    state = modern(fleet[0], "tools/call", params).body["result"]["requestState"]
    theirs = modern(stranger, "tools/call", params).body["result"]["requestState"]
    assert modern(fleet[1], "tools/call", {**params, "requestState": state}).status == 200
    refused = [(stranger, state), *((served, theirs) for served in fleet)]
    refused += [(served, changed) for changed in changes(state) for served in fleet]
    for served, sent in refused:
        assert modern(served, "tools/call", {**params, "requestState": sent}).code == (400, -32602), sent


# -- cursors ---------------------------------------------------------------------------------------------


def test_pages_come_from_any_server(fleet: list[Served], stranger: Served) -> None:
    whole = []
    for order in (fleet, fleet[::-1], [stranger, stranger]):
        first = modern(order[0], "tools/list", {}).body["result"]
        second = modern(order[1], "tools/list", {"cursor": first["nextCursor"]}).body["result"]
        assert "nextCursor" not in second
        whole.append([tool["name"] for tool in (*first["tools"], *second["tools"])])
    assert whole[0] == whole[1] == whole[2] and len(set(whole[0])) == len(whole[0]) > 50


def test_a_cursor_is_worth_nothing_elsewhere_or_changed(fleet: list[Served], stranger: Served) -> None:
    cursor, theirs = (
        modern(served, "tools/list", {}).body["result"]["nextCursor"] for served in (fleet[0], stranger)
    )
    assert cursor == modern(fleet[1], "tools/list", {}).body["result"]["nextCursor"]
    refused = [(stranger, cursor), *((served, theirs) for served in fleet)]
    refused += [(served, changed) for changed in changes(cursor) for served in fleet]
    for served, sent in refused:
        assert modern(served, "tools/list", {"cursor": sent}).code == (400, -32602), sent


# -- sessions --------------------------------------------------------------------------------------------


def session(served: Served) -> dict[str, str]:
    opened = send(served, initialize(capabilities=ANSWERS_ALL))
    return {"Mcp-Session-Id": opened.headers["Mcp-Session-Id"], "MCP-Protocol-Version": "2025-11-25"}


@pytest.mark.parametrize("opens", [0, 1])
def test_a_session_goes_on_at_another_server(fleet: list[Served], opens: int) -> None:
    """With what the client declared when it was opened: so it can be asked there."""
    header, other = session(fleet[opens]), fleet[1 - opens]
    call = message("tools/call", {"name": "test_elicitation", "arguments": {"message": "Who?"}})
    with streaming(other, call, header) as stream:
        asked = stream.message()
        answer = {"jsonrpc": "2.0", "id": asked["id"], "result": answer_to(asked)}
        assert send(fleet[opens], answer, header).code == (400, -32600)  # where nobody has asked
        assert send(other, answer, header).status == 202
        assert "Ada" in stream.message()["result"]["content"][0]["text"]


def test_a_session_is_worth_nothing_elsewhere_or_changed(fleet: list[Served], stranger: Served) -> None:
    header, theirs = session(fleet[0]), session(stranger)
    refused = [
        (stranger, header["Mcp-Session-Id"]),
        *((served, theirs["Mcp-Session-Id"]) for served in fleet),
    ]
    refused += [(served, changed) for changed in changes(header["Mcp-Session-Id"]) for served in fleet]
    for served, sent in refused:
        answer = send(served, message("ping"), {**header, "Mcp-Session-Id": sent})
        assert answer.code == (404, -32600), sent
    for served in fleet:
        assert send(served, message("ping"), header).status == 200


# -- everything else -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", ["server/discover", "tools/list", "resources/list", "resources/templates/list", "prompts/list"]
)
def test_all_servers_say_the_same(fleet: list[Served], method: str) -> None:
    assert modern(fleet[0], method, {}).raw == modern(fleet[1], method, {}).raw


def test_news_reaches_the_streams_of_every_server(fleet: list[Served]) -> None:
    body, headers = modern_request("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
    with streaming(fleet[0], body, headers) as here, streaming(fleet[1], body, headers) as there:
        for stream in (here, there):
            assert stream.message()["method"] == "notifications/subscriptions/acknowledged"
        assert modern(fleet[0], "tools/call", {"name": "test_trigger_tool_change"}).status == 200
        for stream in (here, there):
            assert stream.message()["method"] == "notifications/tools/list_changed"
