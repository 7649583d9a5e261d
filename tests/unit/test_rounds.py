"""Requests that take several rounds: questions, answers, and the state that carries them from server to server."""

from __future__ import annotations

import json
import secrets
import time
from types import SimpleNamespace
from typing import Any

import mcp_types
import pytest
from canton_mcp.protocol import Call, Dispatcher, Features, seals
from dialogue import (
    ANSWERS_ALL,
    ASKS,
    META,
    MODERN,
    ROOTS,
    SAMPLED,
    K,
    Prompts,
    Resources,
    Tools,
    code,
    declaring,
    filled_in,
    form,
    initialize,
    legacy,
    modern,
    roots,
    sampling,
    says,
    send,
    serving,
)
from mcp_types.methods import validate_server_result

ASKABLE = declaring(ANSWERS_ALL)
REFUSED = (400, -32602)


def twice(call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
    """Two questions, one after the other."""
    told = [call.ask(key, form()) for key in ("first", "second")]
    return says(json.dumps([answer.model_dump(exclude_none=True) for answer in told]))


def at_once(call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
    """Three questions at the same time."""
    asked: dict[str, mcp_types.InputRequest] = {"name": form(), "capital": sampling(), "places": roots()}
    answers = call.ask_all(asked)
    assert list(answers) == list(asked)
    return says(" ".join(type(answer).__name__ for answer in answers.values()))


def tool_use(call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
    tool = mcp_types.Tool(name="t", description="d", input_schema={"type": "object"})
    call.ask("a", sampling(tools=[tool]))
    return says("used")


def web_page(call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
    params = mcp_types.ElicitRequestURLParams(message="Go", url="https://localhost/", elicitation_id="e")
    call.ask("a", mcp_types.ElicitRequest(params=params))
    return says("gone")


def what_is_possible(call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
    kinds = ("elicitation/create", "sampling/createMessage", "roots/list")
    return says(" ".join(kind for kind in kinds if call.can_ask(kind)))


def one(request: mcp_types.InputRequest) -> Any:
    def run(call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
        return says(call.ask("a", request).model_dump_json(by_alias=True, exclude_none=True))

    return run


FORMS: dict[str, mcp_types.ElicitRequest] = {
    "text": form(),
    "whole number": form("integer"),
    "number": form("number"),
    "yes or no": form("boolean"),
    "choice": form(enum=["a", "b"]),
    "titled choice": form(oneOf=[{"const": "a", "title": "A"}]),
    "choices": form("array", items={"type": "string", "enum": ["a", "b"]}),
}


def features() -> Features:
    handlers = {
        "twice": twice,
        "other": twice,
        "at once": at_once,
        "roots": one(roots()),
        "sampling": one(sampling()),
        "tool use": tool_use,
        "web page": web_page,
        "possible": what_is_possible,
        **{name: one(request) for name, request in FORMS.items()},
    }
    return Features(
        tools=Tools(handlers),
        resources=Resources({"test://asks": "secret", "test://other": "secret"}, asks=form()),
        prompts=Prompts(
            {name: lambda call, arguments: repr(call.ask("a", form())) for name in ("asks", "text")}
        ),
        asks=ASKS,
    )


@pytest.fixture
def server() -> Dispatcher:
    return serving(features())


def ask(server: Dispatcher, name: str = "twice", *, meta: Any = ASKABLE, **params: Any) -> tuple[int, Any]:
    return modern(server, "tools/call", {"name": name, "arguments": {"n": 1, "m": [2]}, **params}, meta=meta)


def state(answer: tuple[int, Any]) -> str:
    result = answer[1]["result"]
    assert answer[0] == 200 and result["resultType"] == "input_required"
    validate_server_result("tools/call", MODERN, result)
    return str(result["requestState"])


def wanted(answer: tuple[int, Any]) -> list[str]:
    """The keys of what is asked."""
    state(answer)
    return list(answer[1]["result"]["inputRequests"])


def told(answer: tuple[int, Any]) -> str:
    assert answer[1]["result"]["resultType"] == "complete", answer
    return str(answer[1]["result"]["content"][0]["text"])


# -- a whole exchange ------------------------------------------------------------------------------------


def test_every_round_may_be_served_by_another_server() -> None:
    first, second, third = (serving(features()) for _ in range(3))
    one = ask(first)
    assert wanted(one) == ["first"]
    two = ask(second, inputResponses={"first": filled_in("a")}, requestState=state(one))
    assert wanted(two) == ["second"]
    assert state(two) != state(one)
    three = ask(third, inputResponses={"second": filled_in("b")}, requestState=state(two))
    assert [answer["content"]["value"] for answer in json.loads(told(three))] == ["a", "b"]


def test_all_answers_may_come_without_a_state(server: Dispatcher) -> None:
    answers = {"first": filled_in("a"), "second": filled_in("b")}
    assert "b" in told(ask(server, inputResponses=answers))


def test_a_later_answer_replaces_an_earlier_one(server: Dispatcher) -> None:
    two = ask(server, inputResponses={"first": filled_in("a")})
    answers = {"first": filled_in("c"), "second": filled_in("b")}
    three = ask(server, inputResponses=answers, requestState=state(two))
    assert [answer["content"]["value"] for answer in json.loads(told(three))] == ["c", "b"]


def test_the_requests_are_as_the_protocol_writes_them(server: Dispatcher) -> None:
    asked = ask(server, "at once")[1]["result"]
    assert {key: request["method"] for key, request in asked["inputRequests"].items()} == {
        "name": "elicitation/create",
        "capital": "sampling/createMessage",
        "places": "roots/list",
    }
    assert not any({"id", "jsonrpc"} & request.keys() for request in asked["inputRequests"].values())
    assert not {"ttlMs", "cacheScope", "content", "isError"} & asked.keys()
    assert asked["_meta"][f"{K}serverInfo"]["name"] == "fixture"


def test_only_what_is_missing_is_asked_again(server: Dispatcher) -> None:
    one = ask(server, "at once")
    two = ask(server, "at once", inputResponses={"capital": SAMPLED}, requestState=state(one))
    assert wanted(two) == ["name", "places"]
    rest = {"name": filled_in("a"), "places": ROOTS}
    three = ask(server, "at once", inputResponses=rest, requestState=state(two))
    assert told(three) == "ElicitResult CreateMessageResult ListRootsResult"


@pytest.mark.parametrize("answer", [{"action": "decline"}, {"action": "cancel"}])
def test_a_refusal_is_an_answer(server: Dispatcher, answer: Any) -> None:
    assert json.loads(told(ask(server, "text", inputResponses={"a": answer}))) == answer


def test_large_answers_are_carried_too(server: Dispatcher) -> None:
    text = secrets.token_hex(100_000)
    two = ask(server, inputResponses={"first": filled_in(text)}, requestState=state(ask(server)))
    three = ask(server, inputResponses={"second": filled_in("b")}, requestState=state(two))
    assert text in told(three)


# -- answers that are none -------------------------------------------------------------------------------


@pytest.mark.parametrize("answers", [{}, {"unknown": filled_in("a")}, {"First": filled_in("a")}])
def test_other_keys_are_ignored(server: Dispatcher, answers: dict[str, Any]) -> None:
    assert wanted(ask(server, inputResponses=answers, requestState=state(ask(server)))) == ["first"]


@pytest.mark.parametrize("answers", [None, [], "a", 5, True, [["first", filled_in("a")]]])
def test_answers_are_an_object(server: Dispatcher, answers: Any) -> None:
    assert code(ask(server, inputResponses=answers)) == REFUSED


UNFIT: list[tuple[str, Any]] = [
    *[("text", none) for none in (None, 5, "a", {}, {"action": "maybe"}, {"action": None})],
    ("text", []),
    ("text", {"action": "accept"}),
    ("text", {"action": "accept", "content": {}}),
    ("text", {"action": "accept", "content": {"value": None}}),
    ("text", {"action": "accept", "content": {"Value": "a"}}),
    ("text", {"action": "accept", "content": "a"}),
    ("text", filled_in(5)),
    ("text", filled_in(["a"])),
    ("text", SAMPLED),
    ("whole number", filled_in("5")),
    ("whole number", filled_in(5.5)),
    ("whole number", filled_in(True)),
    ("number", filled_in("5")),
    ("number", filled_in(False)),
    ("yes or no", filled_in("true")),
    ("yes or no", filled_in(1)),
    ("choice", filled_in("c")),
    ("titled choice", filled_in("A")),
    ("choices", filled_in("a")),
    ("sampling", filled_in("a")),
    ("sampling", {"role": "assistant"}),
    ("roots", {"roots": "file:///home"}),
    ("roots", {"roots": [{"uri": "https://localhost"}]}),
    ("roots", {}),
]


@pytest.mark.parametrize(("name", "answer"), UNFIT)
def test_what_does_not_fit_is_asked_again(server: Dispatcher, name: str, answer: Any) -> None:
    one = ask(server, name)
    assert wanted(ask(server, name, inputResponses={"a": answer}, requestState=state(one))) == wanted(one)


FIT: list[tuple[str, Any]] = [
    ("text", filled_in("a")),
    ("text", filled_in("")),
    ("text", {"action": "accept", "content": {"value": "a", "more": "ignored"}}),
    ("whole number", filled_in(5)),
    ("number", filled_in(5)),
    ("number", filled_in(5.5)),
    ("yes or no", filled_in(False)),
    ("choice", filled_in("b")),
    ("titled choice", filled_in("a")),
    ("choices", filled_in(["a", "b"])),
    ("sampling", SAMPLED),
    ("roots", ROOTS),
    ("roots", {"roots": []}),
]


@pytest.mark.parametrize(("name", "answer"), FIT)
def test_what_fits_is_taken(server: Dispatcher, name: str, answer: Any) -> None:
    assert told(ask(server, name, inputResponses={"a": answer}, requestState=state(ask(server, name))))


# -- the state -------------------------------------------------------------------------------------------


def test_a_state_belongs_to_one_request(server: Dispatcher) -> None:
    """To its method, what it names and its arguments; not to its id or to what is said about it."""
    given = state(ask(server))
    answers: dict[str, Any] = {"inputResponses": {"first": filled_in("a")}, "requestState": given}
    assert code(ask(server, "other", **answers)) == REFUSED
    for arguments in ({"n": 2, "m": [2]}, {"n": 1}, {"n": 1, "m": [2], "o": None}, {"n": "1", "m": [2]}, {}):
        assert code(ask(server, arguments=arguments, **answers)) == REFUSED
    assert code(modern(server, "tools/call", {"name": "twice", **answers}, meta=ASKABLE)) == REFUSED
    assert code(modern(server, "prompts/get", {"name": "asks", **answers}, meta=ASKABLE)) == REFUSED
    assert code(modern(server, "resources/read", {"uri": "test://asks", **answers}, meta=ASKABLE)) == REFUSED
    same = {"name": "twice", "arguments": {"m": [2], "n": 1}, **answers}
    other_meta = declaring({"elicitation": {}}, progressToken="p")
    assert wanted(modern(server, "tools/call", same, meta=other_meta, identifier="new")) == ["second"]


def test_the_state_of_a_tool_is_not_that_of_a_prompt_with_its_name(server: Dispatcher) -> None:
    given = state(modern(server, "tools/call", {"name": "text"}, meta=ASKABLE))
    params = {"name": "text", "requestState": given, "inputResponses": {"a": filled_in("a")}}
    assert code(modern(server, "prompts/get", params, meta=ASKABLE)) == REFUSED
    assert modern(server, "tools/call", params, meta=ASKABLE)[0] == 200


def test_the_state_of_a_resource_belongs_to_it(server: Dispatcher) -> None:
    given = modern(server, "resources/read", {"uri": "test://asks"}, meta=ASKABLE)[1]["result"][
        "requestState"
    ]
    params = {"inputResponses": {"asked": filled_in("a")}, "requestState": given}
    assert modern(server, "resources/read", {"uri": "test://asks", **params}, meta=ASKABLE)[0] == 200
    assert code(modern(server, "resources/read", {"uri": "test://other", **params}, meta=ASKABLE)) == REFUSED


def test_a_state_is_believed_from_the_fleet_alone(server: Dispatcher) -> None:
    given = state(ask(server))
    assert wanted(ask(serving(features()), requestState=given)) == ["first"]
    for stranger in (serving(features(), "another secret " * 3), serving(features(), None)):
        assert code(ask(stranger, requestState=given)) == REFUSED


def test_no_character_of_a_state_can_be_changed(server: Dispatcher) -> None:
    given = state(ask(server))
    for place, found in enumerate(given):
        changed = given[:place] + ("A" if found != "A" else "B") + given[place + 1 :]
        assert code(ask(server, requestState=changed)) == REFUSED, place


@pytest.mark.parametrize(
    "given", [None, "", 5, [], {}, True, "x", "a.b", "ü", "{0}-TAMPERED", " {0}", "{0}{0}"]
)
def test_what_is_no_state_is_refused(server: Dispatcher, given: Any) -> None:
    sent = given.format(state(ask(server))) if isinstance(given, str) else given
    status, answer = ask(server, requestState=sent, inputResponses={"first": filled_in("a")})
    assert code((status, answer)) == REFUSED
    assert answer["error"]["message"] == "Invalid or expired requestState"


def test_a_state_expires(server: Dispatcher, monkeypatch: pytest.MonkeyPatch) -> None:
    given = state(ask(server))
    for later, accepted in ((600, True), (700, False)):
        monkeypatch.setattr(seals, "time", SimpleNamespace(time=lambda later=later: time.time() + later))
        answer = ask(server, requestState=given)
        assert answer[0] == (200 if accepted else 400)
        if not accepted:
            assert answer[1]["error"]["message"] == "Invalid or expired requestState"


def test_sealed_texts_are_not_interchangeable(server: Dispatcher) -> None:
    given = state(ask(server))
    session = send(server, initialize(capabilities=ANSWERS_ALL)).headers["mcp-session-id"]
    assert code(ask(server, requestState=session)) == REFUSED
    assert code(modern(server, "tools/list", {"cursor": given})) == REFUSED
    assert code(legacy(server, "ping", mcp_session_id=given)) == (404, -32600)


def test_legacy_requests_have_no_state(server: Dispatcher) -> None:
    params = {"name": "possible", "requestState": "x", "inputResponses": None}
    assert legacy(server, "tools/call", params)[1]["result"]["isError"] is False


# -- what the client can answer --------------------------------------------------------------------------

NEEDED: list[tuple[str, Any, Any]] = [
    ("text", {}, {"elicitation": {"form": {}}}),
    ("text", {"elicitation": {"url": {}}}, {"elicitation": {"form": {}}}),
    ("web page", {"elicitation": {}}, {"elicitation": {"url": {}}}),
    ("web page", {"elicitation": {"form": {}}}, {"elicitation": {"url": {}}}),
    ("sampling", {"elicitation": {}, "roots": {}}, {"sampling": {}}),
    ("tool use", {"sampling": {}}, {"sampling": {"tools": {}}}),
    ("roots", {"sampling": {}}, {"roots": {}}),
    ("at once", {"elicitation": {}, "sampling": {}}, {"roots": {}}),
]


@pytest.mark.parametrize(("name", "declared", "needed"), NEEDED)
def test_what_the_client_cannot_answer_is_not_asked(
    server: Dispatcher, name: str, declared: Any, needed: Any
) -> None:
    answer = ask(server, name, meta=declaring(declared))
    assert code(answer) == (400, -32021)
    assert answer[1]["error"]["data"] == {"requiredCapabilities": needed}


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("text", {"elicitation": {}}),
        ("text", {"elicitation": {"form": {}, "url": {}}}),
        ("web page", {"elicitation": {"url": {}}}),
        ("sampling", {"sampling": {"context": {}}}),
        ("tool use", {"sampling": {"tools": {}}}),
        ("roots", {"roots": {"listChanged": True}}),
    ],
)
def test_what_the_client_can_answer_is_asked(server: Dispatcher, name: str, declared: Any) -> None:
    assert wanted(ask(server, name, meta=declaring(declared))) == ["a"]


def test_capabilities_are_those_of_this_request(server: Dispatcher) -> None:
    given = state(ask(server))
    answers: dict[str, Any] = {"inputResponses": {"first": filled_in("a")}, "requestState": given}
    assert code(ask(server, meta=META, **answers)) == (400, -32021)


@pytest.mark.parametrize(
    ("declared", "possible"),
    [
        ({}, ""),
        ({"sampling": {}}, "sampling/createMessage"),
        ({"elicitation": {"url": {}}, "roots": {}}, "roots/list"),
        (ANSWERS_ALL, "elicitation/create sampling/createMessage roots/list"),
    ],
)
def test_a_handler_can_look_before_it_asks(server: Dispatcher, declared: Any, possible: str) -> None:
    assert told(ask(server, "possible", meta=declaring(declared))) == possible


# -- resources and prompts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "params"), [("resources/read", {"uri": "test://asks"}), ("prompts/get", {"name": "asks"})]
)
def test_resources_and_prompts_may_ask_as_well(
    server: Dispatcher, method: str, params: dict[str, Any]
) -> None:
    one = modern(server, method, params, meta=ASKABLE)[1]["result"]
    validate_server_result(method, MODERN, one)
    assert one["resultType"] == "input_required"
    assert not {"ttlMs", "cacheScope"} & one.keys()
    (key,) = one["inputRequests"]
    answers = {"inputResponses": {key: filled_in("a")}, "requestState": one["requestState"]}
    two = modern(serving(features()), method, {**params, **answers}, meta=ASKABLE)[1]["result"]
    validate_server_result(method, MODERN, two)
    assert two["resultType"] == "complete"
    assert code(modern(server, method, params)) == (400, -32021)


def test_what_was_read_with_answers_is_nobody_elses() -> None:
    plain = serving(Features(resources=Resources({"test://plain": "for all", "test://asks": "no more"})))
    asked = modern(serving(features()), "resources/read", {"uri": "test://asks"}, meta=ASKABLE)[1]["result"]
    hints = [
        modern(server, "resources/read", {"uri": uri, **params}, meta=ASKABLE)[1]["result"]
        for server, uri, params in (
            (plain, "test://plain", {}),
            (serving(features()), "test://asks", {"inputResponses": {"asked": filled_in("a")}}),
            (plain, "test://plain", {"inputResponses": {}}),
            (plain, "test://asks", {"requestState": asked["requestState"]}),
        )
    ]
    assert [(hint["cacheScope"], hint["ttlMs"] > 0) for hint in hints] == [
        ("public", True),
        *[("private", False)] * 3,
    ]


@pytest.mark.parametrize("method", ["tools/list", "resources/list", "prompts/list", "server/discover"])
def test_other_methods_have_no_rounds(server: Dispatcher, method: str) -> None:
    answer = modern(server, method, {"requestState": "x", "inputResponses": None})
    assert answer[1]["result"]["resultType"] == "complete"
