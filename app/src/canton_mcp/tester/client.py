"""One MCP server (protocol 2026-07-28) as the tester sees it: list its tools, call one."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, ReadTimeoutError

from canton_mcp import __version__

PROTOCOL_VERSION = "2026-07-28"
CALLER_ID = "canton-mcp-tester"

_META = "io.modelcontextprotocol/"
_CONNECT_SECONDS = 3.0
_READ_SECONDS = 10.0
_MAX_PAGES = 50
_MAX_REASON = 160
_DEFAULT_TTL_SECONDS = 300.0
_HEADER_SAFE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?\Z")


class CallFailed(Exception):
    """The call brought no usable answer; the text says why, short enough for a log line."""


@dataclass(frozen=True)
class ToolSpec:
    """What is known of a tool: its name and schemas as the server lists them."""

    name: str
    input_schema: Mapping[str, Any]
    has_output_schema: bool


@dataclass(frozen=True)
class ToolReply:
    """An answer to tools/call; `error_text` is set when the tool itself reported an error."""

    error_text: str | None


class Server:
    """Client of one server. Every request uses a connection of its own, as independent callers do."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._name: str | None = None
        self._next_id = 0
        self._tools: tuple[ToolSpec, ...] = ()
        self._tools_until = 0.0
        self._session = requests.Session()
        # The fleet is near; a proxy or netrc of the environment is meant for something else.
        self._session.trust_env = False

    @property
    def name(self) -> str:
        """Name the server gives itself; host:port until it has answered once."""
        return self._name or urlsplit(self.url).netloc

    def tools(self) -> tuple[ToolSpec, ...]:
        """The server's tools, fetched again when the list has expired or `forget_tools` was called."""
        now = time.monotonic()
        if now >= self._tools_until:
            self._tools, ttl = self._fetch_tools()
            self._tools_until = now + ttl
        return self._tools

    def forget_tools(self) -> None:
        """Makes the next `tools` ask the server again."""
        self._tools_until = 0.0

    def call(self, tool: ToolSpec, arguments: Mapping[str, Any]) -> ToolReply:
        """Calls `tool`. Raises CallFailed when there is no answer, or none that the protocol allows."""
        result = self._request(
            "tools/call", {"name": tool.name, "arguments": dict(arguments)}, name=tool.name
        )
        content = result.get("content")
        if not isinstance(content, list):
            raise CallFailed("protocol error: tools/call result without content")
        if result.get("isError") is True:
            texts = [item.get("text") for item in content if isinstance(item, dict)]
            text = next((text for text in texts if isinstance(text, str) and text.strip()), "no reason given")
            return ToolReply(_short(text))
        if tool.has_output_schema and not isinstance(result.get("structuredContent"), dict):
            raise CallFailed("protocol error: the tool has an output schema but sent no structuredContent")
        return ToolReply(None)

    def _fetch_tools(self) -> tuple[tuple[ToolSpec, ...], float]:
        found: list[ToolSpec] = []
        params: dict[str, Any] = {}
        ttl = _DEFAULT_TTL_SECONDS
        for _ in range(_MAX_PAGES):
            result = self._request("tools/list", params)
            listed = result.get("tools")
            if not isinstance(listed, list):
                raise CallFailed("protocol error: tools/list result without tools")
            found += [_tool_spec(entry) for entry in listed]
            if isinstance(result.get("ttlMs"), int):
                ttl = min(ttl, max(0.0, result["ttlMs"] / 1000))
            if not isinstance(result.get("nextCursor"), str):
                break
            params = {"cursor": result["nextCursor"]}
        if not found:
            raise CallFailed("the server lists no tools")
        return tuple(found), ttl

    def _request(self, method: str, params: Mapping[str, Any], name: str | None = None) -> dict[str, Any]:
        self._next_id += 1
        body = {
            "jsonrpc": "2.0",
            "id": self._next_id,
            "method": method,
            "params": {**params, "_meta": _request_meta()},
        }
        headers = {
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            "Connection": "close",
            "MCP-Protocol-Version": PROTOCOL_VERSION,
            "Mcp-Method": method,
            "User-Agent": f"{CALLER_ID}/{__version__}",
            "X-Caller-ID": CALLER_ID,
        }
        if name is not None:
            headers["Mcp-Name"] = _header_value(name)
        data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        try:
            response = self._session.post(
                self.url,
                data=data,
                headers=headers,
                timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise CallFailed(_transport_reason(error)) from None
        result = _result_of(response, self._next_id)
        self._learn_name(result)
        return result

    def _learn_name(self, result: Mapping[str, Any]) -> None:
        meta = result.get("_meta")
        info = meta.get(f"{_META}serverInfo") if isinstance(meta, dict) else None
        name = info.get("name") if isinstance(info, dict) else None
        if isinstance(name, str) and name.strip():
            self._name = _short(name)


def _request_meta() -> dict[str, Any]:
    return {
        f"{_META}protocolVersion": PROTOCOL_VERSION,
        f"{_META}clientCapabilities": {},
        f"{_META}clientInfo": {"name": CALLER_ID, "version": __version__},
    }


def _header_value(text: str) -> str:
    # Text that a header cannot carry, or that looks wrapped itself, travels in base64.
    if _HEADER_SAFE.match(text) and not text.startswith("=?base64?"):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


def _tool_spec(entry: Any) -> ToolSpec:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise CallFailed("protocol error: tools/list holds a tool without a name")
    schema = entry.get("inputSchema")
    if not isinstance(schema, dict):
        raise CallFailed(f"protocol error: tool {_short(entry['name'])} has no inputSchema")
    return ToolSpec(entry["name"], schema, isinstance(entry.get("outputSchema"), dict))


def _result_of(response: requests.Response, request_id: int) -> dict[str, Any]:
    message = _message(response, request_id)
    error = message.get("error") if message is not None else None
    if response.status_code != 200:
        detail = f": {_rpc_error(error)}" if error else ""
        raise CallFailed(f"HTTP {response.status_code} {_short(response.reason or '')}".rstrip() + detail)
    if message is None:
        kind = response.headers.get("Content-Type", "no content type")
        raise CallFailed(f"protocol error: not a JSON-RPC message ({_short(kind)})")
    if error is not None:
        raise CallFailed(f"protocol error: {_rpc_error(error)}")
    if message.get("jsonrpc") != "2.0" or message.get("id") != request_id:
        raise CallFailed("protocol error: the answer belongs to another request")
    result = message.get("result")
    if not isinstance(result, dict):
        raise CallFailed("protocol error: the answer has neither result nor error")
    if result.get("resultType", "complete") != "complete":
        raise CallFailed(f"protocol error: unexpected result type {_short(str(result['resultType']))}")
    return result


def _message(response: requests.Response, request_id: int) -> dict[str, Any] | None:
    try:
        text = response.content.decode("utf-8")
        if response.headers.get("Content-Type", "").startswith("text/event-stream"):
            return _from_event_stream(text, request_id)
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _from_event_stream(text: str, request_id: int) -> dict[str, Any] | None:
    for event in re.split(r"\r?\n\r?\n", text):
        data = "\n".join(line[5:].lstrip() for line in event.splitlines() if line.startswith("data:"))
        message = json.loads(data) if data else None
        if isinstance(message, dict) and message.get("id") == request_id:
            return message
    return None


def _rpc_error(error: Any) -> str:
    if not isinstance(error, dict):
        return "malformed error object"
    return _short(f"{error.get('code', '')} {error.get('message', '')}".strip())


def _transport_reason(error: requests.RequestException) -> str:
    """Short reason, dug out of the layers that wrap the system error."""
    chain = _causes(error)
    if any(isinstance(cause, NameResolutionError) for cause in chain):
        return "host name does not resolve"
    # urllib3 counts a refused connection as a kind of connect timeout, so the system's own error comes first.
    for cause in chain:
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException) and cause.strerror:
            return _short(cause.strerror.lower())
    for cause in chain:
        if isinstance(cause, ConnectTimeoutError):
            return f"no connection within {_CONNECT_SECONDS:.0f} s"
        if isinstance(cause, ReadTimeoutError | requests.ReadTimeout):
            return f"no answer within {_READ_SECONDS:.0f} s"
    return _short(str(chain[-1]) or type(chain[-1]).__name__)


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    todo: list[object] = [error]
    while todo:
        item = todo.pop(0)
        if isinstance(item, BaseException) and item not in found:
            found.append(item)
            todo += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
    return found


def _short(text: str) -> str:
    line = " ".join(text.split())
    line = "".join(character for character in line if character.isprintable())
    return line if len(line) <= _MAX_REASON else line[: _MAX_REASON - 1] + "…"
