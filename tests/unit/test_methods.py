"""Resources, prompts and completion in both eras; what is declared, and what is served without being declared."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import mcp_types
import pytest
from canton_mcp.protocol import (
    Call,
    Dispatcher,
    Features,
    InvalidArguments,
    UnknownPrompt,
    UnknownResource,
)
from dialogue import (
    ASKS,
    LEGACY,
    MODERN,
    K,
    Prompts,
    Resources,
    Tools,
    code,
    initialize,
    legacy,
    modern,
    post,
    says,
    serving,
)
from mcp_types.methods import validate_server_result

TEMPLATE = "test://{id}"


class Completer:
    """Numbers for every argument named `id`."""

    def complete(
        self,
        ref: mcp_types.PromptReference | mcp_types.ResourceTemplateReference,
        argument: str,
        value: str,
        context: Mapping[str, str],
    ) -> Sequence[str]:
        if isinstance(ref, mcp_types.PromptReference):
            if ref.name != "greet":
                raise UnknownPrompt(ref.name)
        elif ref.uri != TEMPLATE:
            raise UnknownResource(ref.uri)
        numbers = [str(number) for number in range(int(context.get("limit", "101")))]
        return [number for number in numbers if argument == "id" and number.startswith(value)]


def greet(call: Call, arguments: dict[str, str]) -> str:
    if "name" not in arguments:
        raise InvalidArguments("name: Field required")
    return f"Hello {arguments['name']}"


def fail(call: Call, arguments: dict[str, str]) -> str:
    raise RuntimeError("secret detail")


TOOLS = Tools({"echo": lambda call, arguments: says("e")})
RESOURCES = Resources({"test://a": "text of a", "test://ü b": "ü"}, templates=[TEMPLATE])
PROMPTS = Prompts({"greet": greet, "fail": fail})
ALL = Features(tools=TOOLS, resources=RESOURCES, prompts=PROMPTS, completer=Completer())


@pytest.fixture
def server() -> Dispatcher:
    return serving(ALL)


# -- what is declared ------------------------------------------------------------------------------------

SERVED_BY = {
    "tools": ["tools/list", "tools/call"],
    "resources": ["resources/list", "resources/templates/list", "resources/read"],
    "prompts": ["prompts/list", "prompts/get"],
    "completions": ["completion/complete"],
}
PARTS: list[tuple[Features, dict[str, Any], dict[str, Any]]] = [
    (Features(), {}, {}),
    (Features(tools=TOOLS), {"tools": {}}, {"tools": {}}),
    (Features(resources=RESOURCES), {"resources": {}}, {"resources": {}}),
    (Features(prompts=PROMPTS), {"prompts": {}}, {"prompts": {}}),
    (Features(completer=Completer()), {"completions": {}}, {"completions": {}}),
    (Features(logging=True), {"logging": {}}, {"logging": {}}),
    (Features(tools=TOOLS, asks=ASKS), {"tools": {}}, {"tools": {}}),
    (
        Features(tools=TOOLS, prompts=PROMPTS, list_changes=True),
        {"tools": {}, "prompts": {}},
        {"tools": {"listChanged": True}, "prompts": {"listChanged": True}},
    ),
    (
        Features(resources=RESOURCES, subscribable=True),
        {"resources": {"subscribe": True}},
        {"resources": {"subscribe": True}},
    ),
]


@pytest.mark.parametrize(("features", "old", "new"), PARTS)
def test_what_is_declared_is_served_and_nothing_else(
    features: Features, old: dict[str, Any], new: dict[str, Any]
) -> None:
    server = serving(features)
    assert post(server, initialize())[1]["result"]["capabilities"] == old
    assert modern(server, "server/discover")[1]["result"]["capabilities"] == new
    for part, methods in SERVED_BY.items():
        for method in methods:
            params = {"name": "x", "uri": "x"}
            for answer in (legacy(server, method, params), modern(server, method, params, mcp_name="x")):
                unknown = answer[1].get("error", {}).get("code") == -32601
                assert unknown is (part not in old), (method, answer)
    assert (code_of(legacy(server, "logging/setLevel", {"level": "info"})) == -32601) is not features.logging
    for method in ("resources/subscribe", "resources/unsubscribe"):
        assert (code_of(legacy(server, method, {"uri": "x"})) == -32601) is not features.subscribable
        assert code(modern(server, method, {"uri": "x"})) == (404, -32601)


def code_of(answer: tuple[int, Any]) -> int | None:
    found: int | None = answer[1].get("error", {}).get("code")
    return found


# -- the shape of results per version --------------------------------------------------------------------

REQUESTS: list[tuple[str, dict[str, Any], set[str], bool]] = [
    ("tools/list", {}, {"tools"}, True),
    ("tools/call", {"name": "echo"}, {"content", "isError"}, False),
    ("resources/list", {}, {"resources"}, True),
    ("resources/templates/list", {}, {"resourceTemplates"}, True),
    ("resources/read", {"uri": "test://a"}, {"contents"}, True),
    ("prompts/list", {}, {"prompts"}, True),
    ("prompts/get", {"name": "greet", "arguments": {"name": "Ada"}}, {"messages"}, False),
    (
        "completion/complete",
        {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "id", "value": "1"}},
        {"completion"},
        False,
    ),
]


@pytest.mark.parametrize(("method", "params", "members", "hinted"), REQUESTS)
@pytest.mark.parametrize("version", LEGACY)
def test_legacy_results(
    server: Dispatcher, version: str, method: str, params: Any, members: set[str], hinted: bool
) -> None:
    modern(server, method, params)  # must leave no trace
    status, answer = legacy(server, method, params, version)
    assert (status, answer["result"].keys()) == (200, members)
    validate_server_result(method, version, answer["result"])


@pytest.mark.parametrize(("method", "params", "members", "hinted"), REQUESTS)
def test_modern_results(
    server: Dispatcher, method: str, params: Any, members: set[str], hinted: bool
) -> None:
    legacy(server, method, params)  # must leave no trace
    status, answer = modern(server, method, params)
    result = answer["result"]
    assert status == 200
    assert result.keys() == members | {"resultType", "_meta"} | ({"ttlMs", "cacheScope"} if hinted else set())
    assert result["resultType"] == "complete"
    assert result["_meta"] == {f"{K}serverInfo": {"name": "fixture", "version": "9"}}
    if hinted:
        assert result["cacheScope"] == "public" and result["ttlMs"] >= 0 and isinstance(result["ttlMs"], int)
    validate_server_result(method, MODERN, result)


# -- resources -------------------------------------------------------------------------------------------


def test_a_resource_is_read(server: Dispatcher) -> None:
    for answer in (
        legacy(server, "resources/read", {"uri": "test://a"}),
        modern(server, "resources/read", {"uri": "test://a"}),
    ):
        assert answer[1]["result"]["contents"] == [{"uri": "test://a", "text": "text of a"}]


@pytest.mark.parametrize("uri", ["test://nope", "", "not a uri", "test://Ü\x00", "file:///etc/passwd"])
def test_a_resource_that_is_not_there(server: Dispatcher, uri: str) -> None:
    """Each era has its code; the address comes back in both."""
    header = (
        {} if uri.isascii() and uri.isprintable() and uri else {"mcp_name": "=?base64?" + _base64(uri) + "?="}
    )
    for answer, expected in (
        *((legacy(server, "resources/read", {"uri": uri}, version), (200, -32002)) for version in LEGACY),
        (modern(server, "resources/read", {"uri": uri}, **header), (400, -32602)),
    ):
        assert code(answer) == expected
        assert answer[1]["error"]["data"] == {"uri": uri}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("uri", [None, 5, [], {"a": 1}])
def test_an_address_is_a_string(server: Dispatcher, uri: Any) -> None:
    assert code(legacy(server, "resources/read", {"uri": uri})) == (200, -32602)
    assert code(modern(server, "resources/read", {"uri": uri}, mcp_name="x")) == (400, -32602)


# -- prompts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {"name": "nope"},
        {"name": "Greet", "arguments": {"name": "Ada"}},
        {"name": "greet"},
        {"name": "greet", "arguments": {}},
        {"name": "greet", "arguments": {"name": 5}},
        {"name": "greet", "arguments": {"name": None}},
        {"name": "greet", "arguments": {"name": ["Ada"]}},
        {"name": "greet", "arguments": []},
        {"name": "greet", "arguments": "Ada"},
    ],
)
def test_unknown_prompts_and_unfit_arguments_are_protocol_errors(server: Dispatcher, params: Any) -> None:
    for version in LEGACY:
        assert code(legacy(server, "prompts/get", params, version)) == (200, -32602)
    assert code(modern(server, "prompts/get", params)) == (400, -32602)


def test_a_prompt_that_fails_keeps_its_reason(server: Dispatcher, caplog: pytest.LogCaptureFixture) -> None:
    params = {"name": "fail"}
    for answer, status in (
        (legacy(server, "prompts/get", params), 200),
        (modern(server, "prompts/get", params), 500),
    ):
        assert code(answer) == (status, -32603)
        assert "secret" not in str(answer)
    assert "secret detail" in caplog.text


# -- completion ------------------------------------------------------------------------------------------


def completed(server: Dispatcher, value: str = "", ref: Any = None, **params: Any) -> dict[str, Any]:
    sent = {
        "ref": ref or {"type": "ref/resource", "uri": TEMPLATE},
        "argument": {"name": "id", "value": value},
        **params,
    }
    eras = (legacy, modern)
    one, other = (era(server, "completion/complete", sent)[1]["result"]["completion"] for era in eras)
    assert one == other
    return dict(one)


@pytest.mark.parametrize(
    ("limit", "shown", "more"),
    [("0", 0, False), ("1", 1, False), ("100", 100, False), ("101", 100, True), ("5000", 100, True)],
)
def test_at_most_a_hundred_values(server: Dispatcher, limit: str, shown: int, more: bool) -> None:
    told = completed(server, context={"arguments": {"limit": limit}})
    assert told["values"] == [str(number) for number in range(shown)]
    assert (told["total"], told["hasMore"]) == (int(limit), more)


def test_values_follow_what_is_typed(server: Dispatcher) -> None:
    assert completed(server, "9")["values"] == ["9", *map(str, range(90, 100))]
    assert completed(server, "x")["values"] == []
    assert completed(server, "9", {"type": "ref/prompt", "name": "greet"})["total"] == 11
    assert completed(server, argument={"name": "other", "value": ""})["values"] == []


@pytest.mark.parametrize(
    "params",
    [
        {"ref": {"type": "ref/prompt", "name": "nope"}},
        {"ref": {"type": "ref/resource", "uri": "test://nope"}},
        {"ref": {"type": "ref/other", "name": "greet"}},
        {"ref": {"type": "ref/prompt"}},
        {"ref": None},
        {"argument": {"name": "id"}},
        {"argument": {"name": "id", "value": 5}},
        {"argument": None},
        {"context": {"arguments": {"limit": 5}}},
        {"context": []},
    ],
)
def test_completion_of_nothing(server: Dispatcher, params: dict[str, Any]) -> None:
    sent = {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "id", "value": ""}, **params}
    assert code(legacy(server, "completion/complete", sent)) == (200, -32602)
    assert code(modern(server, "completion/complete", sent)) == (400, -32602)
