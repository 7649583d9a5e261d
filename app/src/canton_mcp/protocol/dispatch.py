"""From one HTTP exchange to one answer: transport rules, then the era's envelope, then the method."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import mcp_types
from pydantic import ValidationError

from canton_mcp.protocol import jsonrpc
from canton_mcp.protocol.eras import (
    BATCH_VERSION,
    SERVED_VERSIONS,
    Era,
    Legacy,
    Modern,
    choose_era,
    header_era,
    negotiate,
)
from canton_mcp.protocol.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    Message,
    Peer,
    RpcError,
)
from canton_mcp.protocol.problems import explain
from canton_mcp.protocol.toolset import Call, InvalidArguments, ToolOutcome, ToolSet, UnknownTool

__all__ = ["Dispatcher", "Reply"]

log = logging.getLogger(__name__)

MAX_BATCH: Final = 100
"""A batch runs on one thread, so its length is bounded."""

_LIST_TTL_MS: Final = 60_000
_JSON: Final = {"Content-Type": "application/json"}

Handler = Callable[["_Exchange"], bytes]
"""Returns the encoded result in the form of the exchange's era."""


@dataclass(frozen=True)
class Reply:
    """The parts of an HTTP answer. `body` is None where the protocol wants an empty one."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True)
class _Exchange:
    """One request on its way to its handler."""

    message: Message
    era: Era
    headers: Mapping[str, str]


class Dispatcher:
    """Serves both eras of MCP for one set of tools, without sessions: any server can answer any request."""

    def __init__(
        self, server_info: mcp_types.Implementation, tools: ToolSet, instructions: str | None = None
    ) -> None:
        self._server_info = server_info
        self._server_info_wire = server_info.model_dump(mode="json", by_alias=True, exclude_none=True)
        self._tools = tools
        self._instructions = instructions
        self._constant: dict[tuple[str, type[Era]], bytes] = {}
        shared: dict[str, Handler] = {"tools/list": self._list_tools, "tools/call": self._call_tool}
        self._legacy: dict[str, Handler] = {"initialize": self._initialize, "ping": self._ping, **shared}
        self._modern: dict[str, Handler] = {"server/discover": self._discover, **shared}

    def handle(self, method: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer one HTTP request on the MCP endpoint.

        `method` is the HTTP method, `headers` have lower-case names, `body` is as received. Never raises.
        The Origin header is the caller's business, since only it knows which origins are allowed.
        """
        if method != "POST":
            return Reply(405, {"Allow": "POST"})
        refusal = _refuse_transport(headers, body)
        if refusal is not None:
            return refusal
        try:
            value = jsonrpc.parse(body)
            return self._batch(value, headers) if isinstance(value, list) else self._single(value, headers)
        except RpcError as error:
            return _error_reply(None, error, 400)
        except Exception:  # a defect of ours: the client gets an answer, the log the details
            log.exception("Unexpected failure while answering a request")
            return _error_reply(None, RpcError(INTERNAL_ERROR, "Internal error"), 500)

    def _single(self, value: Any, headers: Mapping[str, str]) -> Reply:
        message = jsonrpc.read_message(value)
        if isinstance(message, Peer):
            if isinstance(header_era(headers), Modern):
                raise RpcError(INVALID_REQUEST, "A response was sent, but no request is open")
            return Reply(202)
        try:
            era = choose_era(message, headers)
        except RpcError as error:
            return _error_reply(message.id, error, 400)
        try:
            if message.is_notification:
                if isinstance(era, Modern):
                    era.check_notification(headers)
                return Reply(202)
            result = self._answer(_Exchange(message, era, headers))
        except RpcError as error:
            return _error_reply(message.id, error, era.status(error.code))
        return Reply(200, _JSON, result)

    def _batch(self, values: list[Any], headers: Mapping[str, str]) -> Reply:
        """A JSON-RPC batch, which 2025-03-26 alone knows."""
        if header_era(headers) != Legacy(BATCH_VERSION):
            raise RpcError(INVALID_REQUEST, "Batches exist only in protocol version 2025-03-26")
        if not 0 < len(values) <= MAX_BATCH:
            raise RpcError(INVALID_REQUEST, f"A batch holds 1 to {MAX_BATCH} messages")
        answers = [answer for value in values if (answer := self._batch_item(value, headers)) is not None]
        return Reply(200, _JSON, jsonrpc.batch_body(answers)) if answers else Reply(202)

    def _batch_item(self, value: Any, headers: Mapping[str, str]) -> bytes | None:
        identifier: jsonrpc.RequestId | None = None
        try:
            message = jsonrpc.read_message(value)
            if isinstance(message, Peer) or message.is_notification:
                return None
            identifier = message.id
            era = choose_era(message, headers)
            if isinstance(era, Modern) or message.method == "initialize":
                raise RpcError(INVALID_REQUEST, "This request cannot be part of a batch")
            return self._answer(_Exchange(message, era, headers))
        except RpcError as error:
            return jsonrpc.error_body(identifier, error)

    def _answer(self, exchange: _Exchange) -> bytes:
        """The encoded response object for a request."""
        message, era = exchange.message, exchange.era
        assert message.id is not None
        era.check(message, exchange.headers)
        handlers = self._modern if isinstance(era, Modern) else self._legacy
        handler = handlers.get(message.method)
        if handler is None:
            raise RpcError(METHOD_NOT_FOUND, "Method not found")
        try:
            result = handler(exchange)
        except RpcError:
            raise
        except Exception:
            log.exception("Unexpected failure in %s", message.method)
            raise RpcError(INTERNAL_ERROR, "Internal error") from None
        return jsonrpc.result_body(message.id, result)

    def _encoded(self, era: Era, result: mcp_types.Result) -> bytes:
        return jsonrpc.encode(era.shape(result, self._server_info_wire))

    def _encoded_once(self, exchange: _Exchange, build: Callable[[], mcp_types.Result]) -> bytes:
        """An answer that no request changes: encoded for the first one, kept for the others of its era."""
        key = exchange.message.method, type(exchange.era)
        if key not in self._constant:
            self._constant[key] = self._encoded(exchange.era, build())
        return self._constant[key]

    def _initialize(self, exchange: _Exchange) -> bytes:
        try:
            sent = exchange.message.arguments
            params = mcp_types.InitializeRequestParams.model_validate(sent, by_name=False)
        except ValidationError as error:
            raise RpcError(INVALID_PARAMS, f"initialize: {explain(error)}") from None
        result = mcp_types.InitializeResult(
            protocol_version=negotiate(params.protocol_version),
            capabilities=_capabilities(),
            server_info=self._server_info,
            instructions=self._instructions,
        )
        return self._encoded(exchange.era, result)

    def _ping(self, exchange: _Exchange) -> bytes:
        return self._encoded(exchange.era, mcp_types.EmptyResult())

    def _discover(self, exchange: _Exchange) -> bytes:
        return self._encoded_once(exchange, self._discovery)

    def _discovery(self) -> mcp_types.DiscoverResult:
        return mcp_types.DiscoverResult(
            supported_versions=list(SERVED_VERSIONS),
            capabilities=_capabilities(),
            instructions=self._instructions,
            ttl_ms=_LIST_TTL_MS,
            cache_scope="public",
        )

    def _list_tools(self, exchange: _Exchange) -> bytes:
        if "cursor" in exchange.message.arguments:  # the list is one page, so no cursor was ever handed out
            raise RpcError(INVALID_PARAMS, "Unknown cursor")
        return self._encoded_once(exchange, self._tool_list)

    def _tool_list(self) -> mcp_types.ListToolsResult:
        return mcp_types.ListToolsResult(
            tools=list(self._tools.list_tools()), ttl_ms=_LIST_TTL_MS, cache_scope="public"
        )

    def _call_tool(self, exchange: _Exchange) -> bytes:
        params = exchange.message.arguments
        name, arguments = params.get("name"), params.get("arguments")
        if not isinstance(name, str):
            raise RpcError(INVALID_PARAMS, "params.name must be a string")
        if arguments is not None and not isinstance(arguments, dict):
            raise RpcError(INVALID_PARAMS, "params.arguments must be an object")
        call = Call(exchange.headers, exchange.era.client_name(exchange.message))
        try:
            outcome = self._tools.call_tool(name, arguments or {}, call)
        except UnknownTool:
            raise RpcError(INVALID_PARAMS, f"Unknown tool: {name[:128]}") from None
        except InvalidArguments as error:
            if not exchange.era.invalid_arguments_are_results:
                raise RpcError(INVALID_PARAMS, str(error)) from None
            outcome = ToolOutcome(str(error), is_error=True)
        except Exception:
            log.exception("Tool %s raised", name)
            outcome = ToolOutcome("The tool failed because of an internal error.", is_error=True)
        return self._encoded(exchange.era, _call_result(outcome))


def _capabilities() -> mcp_types.ServerCapabilities:
    return mcp_types.ServerCapabilities(tools=mcp_types.ToolsCapability())


def _call_result(outcome: ToolOutcome) -> mcp_types.CallToolResult:
    """Readable text first, then the structured result once as JSON text and once as an object."""
    texts = [outcome.text]
    if outcome.structured is not None:
        texts.append(jsonrpc.encode(outcome.structured).decode("utf-8"))
    return mcp_types.CallToolResult(
        content=[mcp_types.TextContent(type="text", text=text) for text in texts],
        structured_content=outcome.structured,
        is_error=outcome.is_error,
    )


def _refuse_transport(headers: Mapping[str, str], body: bytes) -> Reply | None:
    """The answer to a POST that cannot carry a message, or None."""
    if len(body) > jsonrpc.MAX_BODY_BYTES:
        return _error_reply(None, RpcError(INVALID_REQUEST, "The body is larger than 4 MiB"), 413)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        return _error_reply(None, RpcError(INVALID_REQUEST, "Content-Type must be application/json"), 415)
    if not _accepts_json(headers.get("accept")):
        return _error_reply(None, RpcError(INVALID_REQUEST, "Accept must allow application/json"), 406)
    return None


def _accepts_json(accept: str | None) -> bool:
    if accept is None or not accept.strip():
        return True
    ranges = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return not ranges.isdisjoint({"application/json", "application/*", "*/*"})


def _error_reply(identifier: jsonrpc.RequestId | None, error: RpcError, status: int) -> Reply:
    return Reply(status, _JSON, jsonrpc.error_body(identifier, error))
