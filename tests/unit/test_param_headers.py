"""Arguments that travel in headers as well: which schemas may ask for it, and when header and argument agree."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from canton_mcp.protocol import Dispatcher, Features
from canton_mcp.protocol.param_headers import declared
from dialogue import Tools, code, legacy, modern, says, serving

Schema = dict[str, Any]


def marked(kind: Any, header: Any = "X", **members: Any) -> Schema:
    return {"type": kind, "x-mcp-header": header, **members}


def having(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


SCHEMA = having(
    region=marked("string", "Region"),
    count=marked("integer", "Count"),
    dry=marked("boolean", "Dry-Run"),
    place=having(zone=having(name=marked("string", "Zone"))),
    free={"type": "string"},
)
LOCAL = {"$ref": "#/$defs/a"}


@pytest.fixture
def tools() -> Tools:
    return Tools({"route": lambda call, arguments: says("routed")}, SCHEMA)


@pytest.fixture
def server(tools: Tools) -> Dispatcher:
    return serving(Features(tools=tools))


def wrapped(text: str) -> str:
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


def answer(server: Dispatcher, arguments: Any, headers: dict[str, str]) -> tuple[int, Any]:
    sent = {f"mcp-param-{name}": value for name, value in headers.items()}
    return modern(server, "tools/call", {"name": "route", "arguments": arguments}, **sent)


def zone(name: Any) -> Any:
    return {"place": {"zone": {"name": name}}}


AGREE: list[tuple[Any, dict[str, str]]] = [
    ({}, {}),
    ({"region": None, "count": None, "place": None}, {}),
    ({"region": "eu"}, {"region": "eu"}),
    ({"region": "eu"}, {"region": " eu\t"}),
    ({"region": "eu"}, {"region": wrapped("eu")}),
    ({"region": " eu "}, {"region": wrapped(" eu ")}),
    ({"region": "Zürich 😀"}, {"region": wrapped("Zürich 😀")}),
    ({"region": ""}, {"region": ""}),
    ({"region": ""}, {"region": wrapped("")}),
    ({"region": "=?base64?"}, {"region": "=?base64?"}),
    ({"region": "ZXU=?="}, {"region": "ZXU=?="}),
    ({"region": "42.0"}, {"region": "42.0"}),
    ({"count": 42}, {"count": "42"}),
    ({"count": 42}, {"count": "42.0"}),
    ({"count": 42.0}, {"count": "42"}),
    ({"count": 42}, {"count": wrapped("42")}),
    ({"count": -1}, {"count": "-1"}),
    ({"count": 0}, {"count": "0"}),
    ({"count": 2**53 - 1}, {"count": "9007199254740991"}),
    ({"dry": True}, {"dry-run": "true"}),
    ({"dry": False}, {"dry-run": "false"}),
    (zone("a"), {"zone": "a"}),
    ({"place": {"zone": {}}}, {}),
    ({"place": "no object"}, {}),
    ({"free": "f"}, {"unknown": "u", "free": "other"}),
    ({"region": "eu", "count": 1, "dry": True, **zone("a")},
     {"region": "eu", "count": "1", "dry-run": "true", "zone": "a"}),
]  # fmt: skip
DISAGREE: list[tuple[Any, dict[str, str]]] = [
    ({"region": "eu"}, {}),
    ({"region": ""}, {}),
    ({"count": 0}, {}),
    ({"dry": False}, {}),
    (zone("a"), {}),
    ({}, {"region": "eu"}),
    ({}, {"region": ""}),
    ({"region": None}, {"region": "null"}),
    ({"region": "eu"}, {"region": "us"}),
    ({"region": "eu"}, {"region": "EU"}),
    ({"region": "42.0"}, {"region": "42"}),
    ({"region": "eu"}, {"region": "eu,eu"}),
    ({"region": "eu"}, {"region": "eu, us"}),
    ({"region": "eu"}, {"region": '"eu"'}),
    ({"region": "Zürich"}, {"region": "Zürich"}),
    ({"region": "Zürich"}, {"region": "Zürich".encode().decode("latin-1")}),
    ({"region": "eu"}, {"region": "=?base64?ZXU?="}),
    ({"region": "eu"}, {"region": "=?base64?ZXU=="}),
    ({"region": "eu"}, {"region": "ZXU=?="}),
    ({"region": "eu"}, {"region": "=?base64?Z%U=?="}),
    ({"region": "eu"}, {"region": "=?base64?Z XU=?="}),
    ({"region": "eu"}, {"region": "=?BASE64?ZXU=?="}),
    ({"region": "a?b"}, {"region": "=?base64?YT9i_w==?="}),
    ({"region": "eu"}, {"region": "=?base64?/w==?="}),
    ({"count": 42}, {"count": "43"}),
    ({"count": 42}, {"count": "42.5"}),
    ({"count": 42}, {"count": "4.2e1"}),
    ({"count": 42}, {"count": "+42"}),
    ({"count": 42}, {"count": "0x2a"}),
    ({"count": 42}, {"count": "4_2"}),
    ({"count": 42}, {"count": wrapped("４２")}),
    ({"count": 42}, {"count": "42,42"}),
    ({"count": 42.5}, {"count": "42"}),
    ({"count": 1}, {"count": "true"}),
    ({"dry": True}, {"dry-run": "True"}),
    ({"dry": True}, {"dry-run": "1"}),
    ({"dry": True}, {"dry-run": "false"}),
    (zone("a"), {"zone": "b"}),
    ({"place": {"name": "a"}}, {"zone": "a"}),
]


@pytest.mark.parametrize(("arguments", "headers"), AGREE)
def test_they_agree(server: Dispatcher, tools: Tools, arguments: Any, headers: dict[str, str]) -> None:
    assert answer(server, arguments, headers)[0] == 200
    assert tools.calls[-1][1] == arguments


@pytest.mark.parametrize(("arguments", "headers"), DISAGREE)
def test_they_disagree(server: Dispatcher, tools: Tools, arguments: Any, headers: dict[str, str]) -> None:
    assert code(answer(server, arguments, headers)) == (400, -32020)
    assert tools.calls == []


def test_only_modern_calls_of_the_tool_are_looked_at(server: Dispatcher) -> None:
    assert legacy(server, "tools/call", {"name": "route", "arguments": {"region": "eu"}})[0] == 200
    assert modern(server, "tools/list", mcp_param_region="eu")[0] == 200
    assert code(modern(server, "tools/call", {"name": "other"}, mcp_param_region="eu")) == (400, -32602)


def test_the_mark_stays_in_the_schema_that_clients_see(server: Dispatcher) -> None:
    listed = modern(server, "tools/list")[1]["result"]["tools"]
    assert listed[0]["inputSchema"] == SCHEMA


BAD = {
    "empty": having(a=marked("string", "")),
    "no string": having(a=marked("string", 5)),
    "null": having(a=marked("string", None)),
    "no token: blank": having(a=marked("string", "My Region")),
    "no token: colon": having(a=marked("string", "Region:")),
    "no token: line": having(a=marked("string", "Region\n")),
    "no token: letter": having(a=marked("string", "Région")),
    "number": having(a=marked("number")),
    "object": having(a=marked("object")),
    "array": having(a=marked("array")),
    "two types": having(a=marked(["string", "null"])),
    "no type": having(a={"x-mcp-header": "X"}),
    "twice": having(a=marked("string", "Region"), b=marked("string", "REGION")),
    "twice, nested": having(a=marked("string"), b=having(c=marked("string"))),
    "root": {**having(), "x-mcp-header": "X"},
    "items": having(a={"type": "array", "items": marked("string")}),
    "object in items": having(a={"type": "array", "items": having(b=marked("string"))}),
    "additionalProperties": {"type": "object", "additionalProperties": marked("string")},
    "patternProperties": {"type": "object", "patternProperties": {"a": marked("string")}},
    **{word: {**having(), word: [having(a=marked("string"))]} for word in ("anyOf", "allOf", "oneOf")},
    **{word: {**having(), word: having(a=marked("string"))} for word in ("not", "if", "then", "else")},
    "$defs": {**having(a=LOCAL), "$defs": {"a": marked("string")}},
    "beside a good one": having(a=marked("string", "A"), b={"anyOf": [marked("string", "B")]}),
}


@pytest.mark.parametrize("schema", BAD.values(), ids=BAD.keys())
def test_a_schema_that_clients_would_drop_is_refused_at_once(schema: Schema) -> None:
    with pytest.raises(ValueError, match="x-mcp-header"):
        serving(Features(tools=Tools({"route": lambda call, arguments: says("routed")}, schema)))


def test_a_schema_without_marks_asks_for_nothing() -> None:
    assert declared({"type": "object"}) == declared(having(a={"type": "string"}, b=True)) == ()  # type: ignore[arg-type]
