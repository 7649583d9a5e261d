"""Conversations with a dispatcher: requests of both eras, and tables of things to serve."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import mcp_types
from canton_mcp.protocol import (
    Call,
    Dispatcher,
    Features,
    Reply,
    Seals,
    UnknownPrompt,
    UnknownResource,
    UnknownTool,
)

K: Final = "io.modelcontextprotocol/"
MODERN: Final = "2026-07-28"
LEGACY: Final = ("2025-03-26", "2025-06-18", "2025-11-25")
SECRET: Final = "known to the servers of these tests and to nobody else"
CLIENT: Final = {"name": "t", "version": "1"}
META: Final = {
    f"{K}protocolVersion": MODERN,
    f"{K}clientCapabilities": {},
    f"{K}clientInfo": CLIENT,
}
BOTH: Final = "application/json, text/event-stream"
ASKS: Final = ("elicitation/create", "sampling/createMessage", "roots/list")
ANSWERS_ALL: Final[dict[str, Any]] = {"elicitation": {}, "sampling": {}, "roots": {}}

Handler = Callable[[Call, dict[str, Any]], mcp_types.CallToolResult]


# -- things to serve -------------------------------------------------------------------------------------


def says(words: str) -> mcp_types.CallToolResult:
    return mcp_types.CallToolResult(content=[mcp_types.TextContent(type="text", text=words)])


class Tools:
    """A table of tools; what is called is remembered."""

    def __init__(self, handlers: Mapping[str, Handler], schema: Mapping[str, Any] | None = None) -> None:
        self.handlers = dict(handlers)
        self.schema = dict(schema or {"type": "object"})
        self.calls: list[tuple[str, dict[str, Any], Call]] = []
        self.refusals: list[str] = []

    def list_tools(self) -> Sequence[mcp_types.Tool]:
        return [mcp_types.Tool(name=n, description="d", input_schema=self.schema) for n in self.handlers]

    def call_tool(self, name: str, arguments: dict[str, Any], call: Call) -> mcp_types.CallToolResult:
        self.calls.append((name, arguments, call))
        if name not in self.handlers:
            raise UnknownTool(name)
        return self.handlers[name](call, arguments)

    def refused(self, name: str, call: Call) -> None:
        self.refusals.append(name)


class Resources:
    """A table of texts; with `asks`, each read asks that first."""

    def __init__(
        self,
        texts: Mapping[str, str],
        templates: Sequence[str] = (),
        asks: mcp_types.InputRequest | None = None,
    ) -> None:
        self.texts, self.templates, self.asks = dict(texts), templates, asks

    def list_resources(self) -> Sequence[mcp_types.Resource]:
        return [mcp_types.Resource(name=uri, uri=uri) for uri in self.texts]

    def list_templates(self) -> Sequence[mcp_types.ResourceTemplate]:
        return [mcp_types.ResourceTemplate(name=uri, uri_template=uri) for uri in self.templates]

    def read_resource(self, uri: str, call: Call) -> Sequence[mcp_types.TextResourceContents]:
        if uri not in self.texts:
            raise UnknownResource(uri)
        if self.asks:
            call.ask("asked", self.asks)
        return [mcp_types.TextResourceContents(uri=uri, text=self.texts[uri])]


class Prompts:
    """A table of prompts, each a function of its arguments."""

    def __init__(self, prompts: Mapping[str, Callable[[Call, dict[str, str]], str]]) -> None:
        self.prompts = prompts

    def list_prompts(self) -> Sequence[mcp_types.Prompt]:
        return [mcp_types.Prompt(name=name, description="d") for name in self.prompts]

    def get_prompt(self, name: str, arguments: dict[str, str], call: Call) -> mcp_types.GetPromptResult:
        if name not in self.prompts:
            raise UnknownPrompt(name)
        content = mcp_types.TextContent(type="text", text=self.prompts[name](call, arguments))
        return mcp_types.GetPromptResult(messages=[mcp_types.PromptMessage(role="user", content=content)])


def form(kind: str = "string", **members: Any) -> mcp_types.ElicitRequest:
    """A form with one field, `value`, that must be filled in."""
    schema = {"type": "object", "properties": {"value": {"type": kind, **members}}, "required": ["value"]}
    params = mcp_types.ElicitRequestFormParams(message="Please", requested_schema=schema)
    return mcp_types.ElicitRequest(params=params)


def sampling(**members: Any) -> mcp_types.CreateMessageRequest:
    said = mcp_types.SamplingMessage(role="user", content=mcp_types.TextContent(type="text", text="?"))
    params = mcp_types.CreateMessageRequestParams(messages=[said], max_tokens=9, **members)
    return mcp_types.CreateMessageRequest(params=params)


def roots() -> mcp_types.ListRootsRequest:
    return mcp_types.ListRootsRequest(params=mcp_types.RequestParams())


def filled_in(value: Any) -> dict[str, Any]:
    """A client's answer to `form`."""
    return {"action": "accept", "content": {"value": value}}


SAMPLED: Final = {"role": "assistant", "content": {"type": "text", "text": "Paris"}, "model": "m"}
ROOTS: Final = {"roots": [{"uri": "file:///home"}]}


def serving(features: Features, secret: str | None = SECRET, **options: Any) -> Dispatcher:
    """A server of a fleet with this secret."""
    seals = None if secret is None else Seals([secret])
    return Dispatcher(mcp_types.Implementation(name="fixture", version="9"), features, seals=seals, **options)


# -- requests --------------------------------------------------------------------------------------------


def message(method: str, params: Any = None, **members: Any) -> dict[str, Any]:
    given = {} if params is None else {"params": params}
    return {"jsonrpc": "2.0", "id": 1, "method": method, **given, **members}


def notification(method: str, params: Any = None) -> dict[str, Any]:
    sent = message(method, params)
    del sent["id"]
    return sent


def send(server: Dispatcher, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """POST a message, or bytes."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return server.handle("POST", {"content-type": "application/json", **(headers or {})}, raw)


def parsed(reply: Reply) -> Any:
    assert reply.events is None
    assert (reply.body is None) == ("Content-Type" not in reply.headers)
    return None if reply.body is None else json.loads(reply.body)


def post(server: Dispatcher, body: Any, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
    """POST a message that is not answered with a stream; status and parsed body."""
    reply = send(server, body, headers)
    return reply.status, parsed(reply)


def legacy(
    server: Dispatcher, method: str, params: Any = None, version: str = "2025-11-25", **headers: str
) -> tuple[int, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return post(server, message(method, params), {"mcp-protocol-version": version, **named})


def modern_request(
    method: str,
    params: Mapping[str, Any] | None = None,
    *,
    meta: Any = META,
    identifier: Any = 1,
    **changes: str | None,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Body and headers of a modern request; `changes` replaces (or with None removes) some of the headers."""
    headers: dict[str, str | None] = {"mcp-protocol-version": MODERN, "mcp-method": method}
    name = (params or {}).get("name") or (params or {}).get("uri")
    if isinstance(name, str) and name.isascii():
        headers["mcp-name"] = name
    headers |= {key.replace("_", "-"): value for key, value in changes.items()}
    sent = {key: value for key, value in headers.items() if value is not None}
    return message(method, {"_meta": meta, **(params or {})}, id=identifier), sent


def modern(
    server: Dispatcher,
    method: str,
    params: Mapping[str, Any] | None = None,
    *,
    meta: Any = META,
    identifier: Any = 1,
    **changes: str | None,
) -> tuple[int, Any]:
    return post(server, *modern_request(method, params, meta=meta, identifier=identifier, **changes))


def declaring(capabilities: Any, **members: Any) -> dict[str, Any]:
    """`_meta` of a client with these capabilities; further members go in under their own names."""
    return {**META, f"{K}clientCapabilities": capabilities, **members}


def code(answer: tuple[int, Any]) -> tuple[int, int]:
    """HTTP status and JSON-RPC error code."""
    return answer[0], answer[1]["error"]["code"]


def initialize(version: str = "2025-11-25", capabilities: Any = None, name: str = "c") -> dict[str, Any]:
    info = {"name": name, "version": "1"}
    return message(
        "initialize",
        {"protocolVersion": version, "capabilities": capabilities or {}, "clientInfo": info},
    )


# -- streams ---------------------------------------------------------------------------------------------


def messages(chunks: Iterator[bytes]) -> Iterator[Any]:
    """The messages of a stream, without its pings."""
    for chunk in chunks:
        for event in filter(None, chunk.decode().split("\n\n")):
            if not event.startswith(":"):
                assert event.startswith("data: ") and "\n" not in event
                yield json.loads(event.removeprefix("data: "))


@contextmanager
def stream(
    server: Dispatcher, body: Any, headers: Mapping[str, str] | None = None, method: str = "POST"
) -> Iterator[Iterator[Any]]:
    """The messages of the stream that answers a request; it is closed afterwards, as an HTTP server would."""
    sent = {"content-type": "application/json", "accept": BOTH, **(headers or {})}
    reply = server.handle(method, sent, json.dumps(body).encode())
    assert reply.events is not None, reply
    assert reply.status == 200 and reply.headers["Content-Type"] == "text/event-stream"
    try:
        yield messages(iter(reply.events))
    finally:
        reply.events.close()  # type: ignore[attr-defined]  # as Reply promises
