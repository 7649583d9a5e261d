"""The methods of MCP, one function each, for both eras."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeVar

import mcp_types
from pydantic import BaseModel, ValidationError

from canton_mcp.protocol import jsonrpc, param_headers
from canton_mcp.protocol.call import LOG_LEVELS, Call, Cancelled, CannotAsk, InputRequired, MissingCapability
from canton_mcp.protocol.eras import SERVED_VERSIONS, Era, Modern, negotiate
from canton_mcp.protocol.features import (
    Features,
    InvalidArguments,
    UnknownPrompt,
    UnknownResource,
    UnknownTool,
)
from canton_mcp.protocol.jsonrpc import INTERNAL_ERROR, INVALID_PARAMS, Message, RequestId, RpcError
from canton_mcp.protocol.listening import SUBSCRIPTION_ID_META_KEY
from canton_mcp.protocol.problems import explain
from canton_mcp.protocol.rounds import Rounds
from canton_mcp.protocol.seals import BrokenSeal
from canton_mcp.protocol.sessions import SESSION_HEADER, Session, Sessions

__all__ = ["Exchange", "Methods"]

log = logging.getLogger(__name__)

T = TypeVar("T", bound=BaseModel)
Handler = Callable[["Exchange"], bytes]
"""Returns the encoded result in the form of the exchange's era."""

PAGE_SIZE: Final = 50
MAX_COMPLETIONS: Final = 100
"""The protocol allows no more in one answer."""

_TTL_MS: Final = 60_000
_CURSOR: Final = "cursor"
_MAX_NAMED: Final = 128
_RESOURCE_NOT_FOUND: Final = -32002
"""What the handshake era says; the modern one says "invalid params"."""


@dataclass(frozen=True)
class Exchange:
    """One request on its way to its handler."""

    message: Message
    era: Era
    call: Call
    session: Session | None = None
    rounds: Rounds | None = None
    reply_headers: dict[str, str] = field(default_factory=dict)
    """Headers for the answer; a handler may add some."""

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the request."""
        return self.message.arguments

    def text(self, member: str) -> str:
        """A parameter that must be a string (-32602)."""
        value = self.params.get(member)
        if not isinstance(value, str):
            raise RpcError(INVALID_PARAMS, f"params.{member} must be a string")
        return value

    def object(self, member: str) -> dict[str, Any]:
        """A parameter that must be an object, or be absent (-32602)."""
        value = self.params.get(member)
        if value is not None and not isinstance(value, dict):
            raise RpcError(INVALID_PARAMS, f"params.{member} must be an object")
        return value or {}

    def read(self, model: type[T]) -> T:
        """The parameters as one of the protocol's models (-32602)."""
        try:
            return model.model_validate(self.params, by_name=False)
        except ValidationError as error:
            raise RpcError(INVALID_PARAMS, f"{self.message.method}: {explain(error)}") from None


class Methods:
    """Answers requests from what a server offers."""

    def __init__(
        self,
        features: Features,
        server_info: mcp_types.Implementation,
        instructions: str | None,
        sessions: Sessions,
    ) -> None:
        self._features = features
        self._server_info = server_info
        self._server_info_wire = server_info.model_dump(mode="json", by_alias=True, exclude_none=True)
        self._instructions = instructions
        self._sessions = sessions
        self._seals = sessions.seals
        self._encoded_lists: dict[tuple[str, type[Era], int], bytes] = {}
        self._param_headers = {
            tool.name: param_headers.declared(tool.input_schema)
            for tool in (features.tools.list_tools() if features.tools else ())
        }
        shared = self._shared()
        self.legacy: Mapping[str, Handler] = {
            **shared,
            "initialize": self._initialize,
            "ping": self._empty,
            **({"logging/setLevel": self._set_level} if features.logging else {}),
            **(
                {"resources/subscribe": self._subscribe, "resources/unsubscribe": self._unsubscribe}
                if features.subscribable
                else {}
            ),
        }
        """Handlers by method, for the handshake era."""
        self.modern: Mapping[str, Handler] = {**shared, "server/discover": self._discover}
        """Handlers by method, for 2026-07-28. Streams are none of their business."""

    def _shared(self) -> dict[str, Handler]:
        features = self._features
        handlers: dict[str, Handler] = {}
        if features.tools:
            handlers |= {"tools/list": self._list_tools, "tools/call": self._call_tool}
        if features.resources:
            handlers |= {
                "resources/list": self._list_resources,
                "resources/templates/list": self._list_templates,
                "resources/read": self._read_resource,
            }
        if features.prompts:
            handlers |= {"prompts/list": self._list_prompts, "prompts/get": self._get_prompt}
        if features.completer:
            handlers |= {"completion/complete": self._complete}
        return handlers

    def forget_lists(self) -> None:
        """Build the lists anew for the next request that asks."""
        self._encoded_lists = {}  # a new one: what is being built from the old lists goes into the old one

    def last_of_stream(self, identifier: RequestId) -> bytes:
        """The encoded result that ends a stream of changes (MCP 2026-07-28 "Subscriptions")."""
        meta = {SUBSCRIPTION_ID_META_KEY: identifier}
        result = mcp_types.SubscriptionsListenResult.model_validate({"_meta": meta})
        return jsonrpc.result_body(identifier, jsonrpc.encode(Modern().shape(result, self._server_info_wire)))

    def check_param_headers(self, message: Message, headers: Mapping[str, str]) -> None:
        """Refuse a modern tool call whose arguments and ``Mcp-Param-*`` headers disagree (-32020)."""
        if message.method != "tools/call":
            return
        name, arguments = message.arguments.get("name"), message.arguments.get("arguments")
        wanted = self._param_headers.get(name, ()) if isinstance(name, str) else ()
        param_headers.check(wanted, arguments if isinstance(arguments, dict) else {}, headers)

    # The handshake, and what stands for it in the modern era

    def _initialize(self, exchange: Exchange) -> bytes:
        params = exchange.read(mcp_types.InitializeRequestParams)
        version = negotiate(params.protocol_version)
        session = self._sessions.open(version, params.client_info.name, params.capabilities)
        # A session costs the client a header and the balancer its freedom: only where it serves a purpose.
        features = self._features
        if features.logging or features.subscribable or (session.answers(features.asks)):
            exchange.reply_headers[SESSION_HEADER] = session.id
        result = mcp_types.InitializeResult(
            protocol_version=version,
            capabilities=self._capabilities(modern=False),
            server_info=self._server_info,
            instructions=self._instructions,
        )
        return self._encoded(exchange, result)

    def _discover(self, exchange: Exchange) -> bytes:
        result = mcp_types.DiscoverResult(
            supported_versions=list(SERVED_VERSIONS),
            capabilities=self._capabilities(modern=True),
            instructions=self._instructions,
            ttl_ms=_TTL_MS,
            cache_scope="public",
        )
        return self._encoded(exchange, result)

    def _capabilities(self, *, modern: bool) -> mcp_types.ServerCapabilities:
        """What is served. Changes reach modern clients alone, on streams that they open for them."""
        features = self._features
        changes = True if features.list_changes and modern else None
        watched = True if features.subscribable else None
        return mcp_types.ServerCapabilities(
            tools=mcp_types.ToolsCapability(list_changed=changes) if features.tools else None,
            resources=mcp_types.ResourcesCapability(subscribe=watched, list_changed=changes)
            if features.resources
            else None,
            prompts=mcp_types.PromptsCapability(list_changed=changes) if features.prompts else None,
            completions=mcp_types.CompletionsCapability() if features.completer else None,
            logging=mcp_types.LoggingCapability() if features.logging else None,
        )

    def _empty(self, exchange: Exchange) -> bytes:
        return self._encoded(exchange, mcp_types.EmptyResult())

    def _set_level(self, exchange: Exchange) -> bytes:
        level = exchange.text("level")
        if level not in LOG_LEVELS:
            raise RpcError(INVALID_PARAMS, f"params.level must be one of {', '.join(LOG_LEVELS)}")
        if exchange.session is not None:
            self._sessions.set_level(exchange.session, level)
        return self._empty(exchange)

    def _subscribe(self, exchange: Exchange) -> bytes:
        return self._subscription(exchange, wanted=True)

    def _unsubscribe(self, exchange: Exchange) -> bytes:
        return self._subscription(exchange, wanted=False)

    def _subscription(self, exchange: Exchange, *, wanted: bool) -> bytes:
        uri = exchange.text("uri")
        if exchange.session is None:
            raise RpcError(INVALID_PARAMS, "Subscriptions need a session; none was opened for this client")
        self._sessions.subscribe(exchange.session, uri, wanted=wanted)
        return self._empty(exchange)

    # Lists

    def _list_tools(self, exchange: Exchange) -> bytes:
        assert self._features.tools
        return self._page(exchange, self._features.tools.list_tools, mcp_types.ListToolsResult, "tools")

    def _list_resources(self, exchange: Exchange) -> bytes:
        assert self._features.resources
        listed = self._features.resources.list_resources
        return self._page(exchange, listed, mcp_types.ListResourcesResult, "resources")

    def _list_templates(self, exchange: Exchange) -> bytes:
        assert self._features.resources
        listed = self._features.resources.list_templates
        return self._page(exchange, listed, mcp_types.ListResourceTemplatesResult, "resourceTemplates")

    def _list_prompts(self, exchange: Exchange) -> bytes:
        assert self._features.prompts
        listed = self._features.prompts.list_prompts
        return self._page(exchange, listed, mcp_types.ListPromptsResult, "prompts")

    def _page(
        self,
        exchange: Exchange,
        listed: Callable[[], Sequence[BaseModel]],
        model: type[mcp_types.PaginatedResult],
        member: str,
    ) -> bytes:
        """One page of a list: encoded for the first who asks, kept for the others of the era."""
        method = exchange.message.method
        start = self._start(method, exchange.params)
        key = method, type(exchange.era), start
        known = self._encoded_lists
        if key not in known:
            items = listed()
            end = start + PAGE_SIZE
            more = {} if end >= len(items) else {"nextCursor": self._seals.seal(_CURSOR, [method, end])}
            page = {member: items[start:end], "ttlMs": _TTL_MS, "cacheScope": "public", **more}
            result = model.model_validate(page)
            known[key] = self._encoded(exchange, result)
        return known[key]

    def _start(self, method: str, params: Mapping[str, Any]) -> int:
        """Where the wanted page begins, on whichever server the page before it was fetched."""
        if params.get("cursor") is None:
            return 0
        cursor = params["cursor"]
        try:
            made_for, start = self._seals.open(_CURSOR, cursor if isinstance(cursor, str) else "")
        except (BrokenSeal, TypeError, ValueError):  # another release may seal other things
            raise RpcError(INVALID_PARAMS, "Unknown cursor; fetch the list from its beginning") from None
        if made_for != method:
            raise RpcError(INVALID_PARAMS, f"This cursor belongs to {made_for}")
        return int(start)

    # Work

    def _call_tool(self, exchange: Exchange) -> bytes:
        assert self._features.tools
        name = exchange.text("name")
        try:
            arguments = exchange.object("arguments")
        except RpcError:
            self._features.tools.refused(name, exchange.call)  # it counts as a call that failed
            raise
        result: mcp_types.Result
        try:
            result = self._features.tools.call_tool(name, arguments, exchange.call)
        except UnknownTool:
            raise RpcError(INVALID_PARAMS, f"Unknown tool: {name[:_MAX_NAMED]}") from None
        except InvalidArguments as error:
            if not exchange.era.invalid_arguments_are_results:
                raise RpcError(INVALID_PARAMS, str(error)) from None
            result = _failed(str(error))
        except (InputRequired, CannotAsk) as error:
            result = self._asked(exchange, error)
        except (Cancelled, RpcError):
            raise
        except Exception:
            log.exception("Tool %s raised", name)
            result = _failed("The tool failed because of an internal error.")
        return self._encoded(exchange, result)

    def _read_resource(self, exchange: Exchange) -> bytes:
        assert self._features.resources
        uri = exchange.text("uri")
        result: mcp_types.Result
        try:
            contents = self._features.resources.read_resource(uri, exchange.call)
            # An answer to a request that took several rounds is nobody else's.
            shared = not ("inputResponses" in exchange.params or "requestState" in exchange.params)
            result = mcp_types.ReadResourceResult(
                contents=list(contents),
                ttl_ms=_TTL_MS if shared else 0,
                cache_scope="public" if shared else "private",
            )
        except UnknownResource:
            code = INVALID_PARAMS if isinstance(exchange.era, Modern) else _RESOURCE_NOT_FOUND
            raise RpcError(code, "Resource not found", {"uri": uri}) from None
        except (InputRequired, CannotAsk) as error:
            result = self._asked(exchange, error)
        return self._encoded(exchange, result)

    def _get_prompt(self, exchange: Exchange) -> bytes:
        assert self._features.prompts
        name, arguments = exchange.text("name"), exchange.object("arguments")
        if any(not isinstance(value, str) for value in arguments.values()):
            raise RpcError(INVALID_PARAMS, "Arguments of prompts are strings")
        result: mcp_types.Result
        try:
            result = self._features.prompts.get_prompt(name, arguments, exchange.call)
        except UnknownPrompt:
            raise RpcError(INVALID_PARAMS, f"Unknown prompt: {name[:_MAX_NAMED]}") from None
        except InvalidArguments as error:
            raise RpcError(INVALID_PARAMS, str(error)) from None
        except (InputRequired, CannotAsk) as error:
            result = self._asked(exchange, error)
        return self._encoded(exchange, result)

    def _complete(self, exchange: Exchange) -> bytes:
        assert self._features.completer
        params = exchange.read(mcp_types.CompleteRequestParams)
        known = (params.context and params.context.arguments) or {}
        try:
            values = self._features.completer.complete(
                params.ref, params.argument.name, params.argument.value, known
            )
        except UnknownPrompt:
            raise RpcError(INVALID_PARAMS, "Unknown prompt") from None
        except UnknownResource:
            raise RpcError(INVALID_PARAMS, "Unknown resource template") from None
        completion = mcp_types.Completion(
            values=list(values[:MAX_COMPLETIONS]), total=len(values), has_more=len(values) > MAX_COMPLETIONS
        )
        return self._encoded(exchange, mcp_types.CompleteResult(completion=completion))

    def _asked(self, exchange: Exchange, problem: InputRequired | CannotAsk) -> mcp_types.Result:
        """The answer to a request whose handler had questions that were not answered."""
        if isinstance(problem, InputRequired):
            assert exchange.rounds is not None
            return exchange.rounds.result(problem)
        if isinstance(problem, MissingCapability) and isinstance(exchange.era, Modern):
            _refuse_capability(problem)
        if exchange.message.method == "tools/call":
            return _failed(str(problem))
        raise RpcError(INTERNAL_ERROR, str(problem))

    def _encoded(self, exchange: Exchange, result: mcp_types.Result) -> bytes:
        return jsonrpc.encode(exchange.era.shape(result, self._server_info_wire))


def _refuse_capability(problem: MissingCapability) -> NoReturn:
    code = mcp_types.MISSING_REQUIRED_CLIENT_CAPABILITY
    raise RpcError(code, str(problem), {"requiredCapabilities": problem.required})


def _failed(text: str) -> mcp_types.CallToolResult:
    return mcp_types.CallToolResult(content=[mcp_types.TextContent(type="text", text=text)], is_error=True)
