"""JSON-RPC 2.0 messages: strict reading, compact writing (MCP "Base Protocol", Messages)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import mcp_types
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR
from pydantic import BaseModel

__all__ = [
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "MAX_BODY_BYTES",
    "METHOD_NOT_FOUND",
    "PARSE_ERROR",
    "Message",
    "Peer",
    "RequestId",
    "RpcError",
    "batch_body",
    "encode",
    "error_body",
    "notification_body",
    "parse",
    "read_message",
    "request_body",
    "result_body",
]

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Larger request bodies are refused with HTTP status 413."""

MAX_DEPTH = 128
"""Deeper values are refused: what can be read just so cannot always be written again."""

RequestId = int | str

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class RpcError(Exception):
    """An answer in the form of a JSON-RPC error object."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


@dataclass(frozen=True)
class Message:
    """A request, or a notification when it has no id."""

    method: str
    params: Any = None
    id: RequestId | None = None

    @property
    def is_notification(self) -> bool:
        """Whether no answer is wanted. An id of 0 or an empty string is an id."""
        return self.id is None

    @property
    def arguments(self) -> dict[str, Any]:
        """The parameters; an absent member counts as an empty object.

        Raises:
            RpcError: they are not an object (-32602).
        """
        if self.params is None:
            return {}
        if not isinstance(self.params, dict):
            raise RpcError(INVALID_PARAMS, "params must be an object")
        return self.params

    @property
    def meta(self) -> Any:
        """``params._meta`` as sent, or None."""
        return self.params.get("_meta") if isinstance(self.params, dict) else None


@dataclass(frozen=True)
class Peer:
    """A message that answers a request of ours: a client's response or error."""

    body: Mapping[str, Any] = field(default_factory=dict)


def parse(body: bytes) -> Any:
    """The JSON value in `body`.

    Raises:
        RpcError: it is not strict JSON in UTF-8, or beyond what can be represented (-32700).
    """
    try:
        text = body.decode("utf-8")
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
        if _SURROGATE_ESCAPE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair cannot be sent back
    except (ValueError, RecursionError):
        raise RpcError(PARSE_ERROR, "The body is not valid JSON in UTF-8") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deep(value):
        raise RpcError(PARSE_ERROR, f"The body is nested deeper than {MAX_DEPTH} levels")
    return value


def read_message(value: Any) -> Message | Peer:
    """The JSON-RPC message that a parsed value stands for.

    Raises:
        RpcError: it is none (-32600).
    """
    if not isinstance(value, dict) or value.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'The message must be an object with "jsonrpc": "2.0"')
    if "method" not in value and ("result" in value or "error" in value):
        return Peer(value)
    method = value.get("method")
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, "method must be a string")
    if "id" not in value:
        return Message(method, value.get("params"))
    identifier = value["id"]
    if isinstance(identifier, bool) or not isinstance(identifier, int | str):
        raise RpcError(INVALID_REQUEST, "id must be a string or an integer")
    return Message(method, value.get("params"), identifier)


def result_body(identifier: RequestId, result: bytes) -> bytes:
    """An encoded response object around a result that is encoded already."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (encode(identifier), result)


def error_body(identifier: RequestId | None, error: RpcError) -> bytes:
    """An encoded error response object; the id is null only when the request's id could not be read."""
    detail: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        detail["data"] = error.data
    return encode({"jsonrpc": "2.0", "id": identifier, "error": detail})


def request_body(identifier: RequestId, request: mcp_types.Request[Any, Any]) -> bytes:
    """An encoded request of ours to the client."""
    return encode({"jsonrpc": "2.0", "id": identifier, **_wire(request)})


def notification_body(notification: mcp_types.Notification[Any, Any]) -> bytes:
    """An encoded notification to the client."""
    return encode({"jsonrpc": "2.0", **_wire(notification)})


def batch_body(answers: Sequence[bytes]) -> bytes:
    """Encoded response objects as one encoded batch."""
    return b"[%b]" % b",".join(answers)


def encode(value: Any, *, sort: bool = False) -> bytes:
    """Compact JSON in UTF-8, on one line; members in order of their names with `sort`."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=sort)
    return text.encode("utf-8")


def _wire(message: BaseModel) -> dict[str, Any]:
    return message.model_dump(mode="json", by_alias=True, exclude_none=True)


def _is_deep(value: Any) -> bool:
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return bool(level)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("number out of range")
    return number
