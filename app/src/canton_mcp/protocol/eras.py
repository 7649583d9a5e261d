"""The two eras of MCP that share one URL: how to tell them apart, and what each asks of an exchange.

*Legacy* is 2025-03-26 to 2025-11-25: a handshake, and errors under HTTP status 200. *Modern* is 2026-07-28:
every request describes itself in ``params._meta`` and in headers, and error codes decide the HTTP status.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import mcp_types
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    HEADER_MISMATCH,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    SERVER_INFO_META_KEY,
    UNSUPPORTED_PROTOCOL_VERSION,
)
from pydantic import BaseModel, ValidationError

from canton_mcp.protocol.call import LOG_LEVELS
from canton_mcp.protocol.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Message,
    RpcError,
)
from canton_mcp.protocol.problems import explain

__all__ = [
    "BATCH_VERSION",
    "LEGACY_VERSIONS",
    "SERVED_VERSIONS",
    "VERSION_HEADER",
    "Era",
    "Legacy",
    "Modern",
    "agree",
    "choose_era",
    "decoded",
    "header",
    "header_era",
    "negotiate",
]

MODERN_VERSION: Final = "2026-07-28"
LEGACY_VERSIONS: Final = ("2025-11-25", "2025-06-18", "2025-03-26")
SERVED_VERSIONS: Final = (MODERN_VERSION, *LEGACY_VERSIONS)
"""Every served protocol version, newest first."""

BATCH_VERSION: Final = "2025-03-26"
"""The only version with JSON-RPC batches, and the one assumed when a legacy request names none."""

VERSION_HEADER: Final = "mcp-protocol-version"
_METHOD_HEADER: Final = "mcp-method"
_NAME_HEADER: Final = "mcp-name"
_NAMED_BY: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_HANDSHAKE_VERSIONS: Final = frozenset({*LEGACY_VERSIONS, "2024-11-05"})
_LEGACY_MISSING: Final = ("resultType", "ttlMs", "cacheScope")
_META_MODELS: Final[Mapping[str, type[BaseModel]]] = {
    CLIENT_CAPABILITIES_META_KEY: mcp_types.ClientCapabilities,
    CLIENT_INFO_META_KEY: mcp_types.Implementation,
}
_BASE64_PREFIX: Final = "=?base64?"
_BASE64_SUFFIX: Final = "?="


@dataclass(frozen=True)
class Legacy:
    """One exchange of a handshake version (2025-03-26, 2025-06-18, 2025-11-25)."""

    version: str

    def client_name(self, message: Message) -> str | None:
        """Unknown: the client introduced itself in `initialize` only, and no session remembers it."""
        return None

    def check(self, message: Message, headers: Mapping[str, str]) -> None:
        """Refuse a request whose envelope is wrong; the legacy envelope has no rules."""

    def status(self, code: int) -> int:
        """HTTP status for a JSON-RPC error code: legacy clients take any non-2xx as a failed transport."""
        return 400 if code in (PARSE_ERROR, INVALID_REQUEST) else 200

    def shape(self, result: mcp_types.Result, server_info: Mapping[str, Any]) -> dict[str, Any]:
        """A result as this era writes it: without any member that later versions added."""
        wire = _dump(result)
        for member in _LEGACY_MISSING:
            wire.pop(member, None)
        return wire

    @property
    def invalid_arguments_are_results(self) -> bool:
        """Whether unfit arguments are answered with a result that a model can read (from 2025-11-25)."""
        return self.version == LEGACY_VERSIONS[0]


@dataclass(frozen=True)
class Modern:
    """One exchange of a stateless version (2026-07-28), or of an unknown one that is about to be refused."""

    version: str = MODERN_VERSION
    invalid_arguments_are_results: bool = True

    def client_name(self, message: Message) -> str | None:
        """``clientInfo.name`` of this request, if it was sent."""
        info = message.meta.get(CLIENT_INFO_META_KEY) if isinstance(message.meta, dict) else None
        name = info.get("name") if isinstance(info, dict) else None
        return name if isinstance(name, str) else None

    def check(self, message: Message, headers: Mapping[str, str]) -> None:
        """Refuse a request whose envelope is wrong. The order of the checks is part of the protocol.

        Raises:
            RpcError: -32602 (``_meta``), then -32020 (headers and body disagree), then -32022 (version).
        """
        meta = message.arguments.get("_meta")
        if not isinstance(meta, dict):
            raise RpcError(INVALID_PARAMS, "params._meta must be an object")
        version = meta.get(PROTOCOL_VERSION_META_KEY)
        if not isinstance(version, str):
            raise RpcError(INVALID_PARAMS, f"params._meta must hold {PROTOCOL_VERSION_META_KEY}")
        if CLIENT_CAPABILITIES_META_KEY not in meta:
            raise RpcError(INVALID_PARAMS, f"params._meta must hold {CLIENT_CAPABILITIES_META_KEY}")
        _check_headers(message, version, headers)
        if version != MODERN_VERSION:
            raise _unsupported(version)

    def check_values(self, message: Message) -> None:
        """Refuse a request whose ``_meta`` holds values of the wrong kind (-32602)."""
        _check_meta_values(message.meta)

    def capabilities(self, message: Message) -> mcp_types.ClientCapabilities:
        """What the client declares with this request, once `check_values` has passed."""
        return mcp_types.ClientCapabilities.model_validate(message.meta[CLIENT_CAPABILITIES_META_KEY])

    def log_level(self, message: Message) -> str | None:
        """From which level on this request wants log messages; None for no messages at all."""
        level: str | None = message.meta.get(LOG_LEVEL_META_KEY)
        return level

    def check_notification(self, headers: Mapping[str, str]) -> None:
        """Refuse a notification whose version header names a version that is not served (-32022)."""
        named = header(headers, VERSION_HEADER)
        if named is not None and named not in SERVED_VERSIONS:
            raise _unsupported(named)

    def status(self, code: int) -> int:
        """HTTP status for a JSON-RPC error code."""
        return {METHOD_NOT_FOUND: 404, INTERNAL_ERROR: 500}.get(code, 400)

    def shape(self, result: mcp_types.Result, server_info: Mapping[str, Any]) -> dict[str, Any]:
        """A result as this era writes it: with its type, its caching hints and the server's name."""
        wire = _dump(result)
        wire["_meta"] = {**wire.get("_meta", {}), SERVER_INFO_META_KEY: server_info}
        return wire


Era = Legacy | Modern


def choose_era(message: Message, headers: Mapping[str, str]) -> Era:
    """The era of one message: its body decides, then its version header.

    Raises:
        RpcError: a legacy message whose header names a handshake version that is not served (-32600).
    """
    if isinstance(message.meta, dict) and PROTOCOL_VERSION_META_KEY in message.meta:
        return Modern()
    return header_era(headers)


def header_era(headers: Mapping[str, str]) -> Era:
    """The era that the version header alone speaks for; no header means 2025-03-26.

    Raises:
        RpcError: it names a handshake version that is not served (-32600).
    """
    version = header(headers, VERSION_HEADER)
    if version is None:
        return Legacy(BATCH_VERSION)
    if version in LEGACY_VERSIONS:
        return Legacy(version)
    if version in _HANDSHAKE_VERSIONS:
        served = ", ".join(SERVED_VERSIONS)
        raise RpcError(INVALID_REQUEST, f"MCP-Protocol-Version {version} is not served. Use one of: {served}")
    return Modern()


def negotiate(requested: str) -> str:
    """The version to answer `initialize` with: the requested one if served, else the newest legacy one."""
    return requested if requested in LEGACY_VERSIONS else LEGACY_VERSIONS[0]


def _dump(result: BaseModel) -> dict[str, Any]:
    return result.model_dump(mode="json", by_alias=True, exclude_none=True)


def _unsupported(version: str) -> RpcError:
    data = {"supported": list(SERVED_VERSIONS), "requested": version}
    return RpcError(UNSUPPORTED_PROTOCOL_VERSION, "Unsupported protocol version", data)


def header(headers: Mapping[str, str], name: str) -> str | None:
    """A header without the blanks around it."""
    value = headers.get(name)
    return None if value is None else value.strip(" \t")


def _check_headers(message: Message, version: str, headers: Mapping[str, str]) -> None:
    agree("MCP-Protocol-Version", header(headers, VERSION_HEADER), version)
    agree("Mcp-Method", header(headers, _METHOD_HEADER), message.method)
    member = _NAMED_BY.get(message.method)
    if member is None:
        return
    sent = header(headers, _NAME_HEADER)
    named = message.arguments.get(member)
    if sent is None or isinstance(named, str):  # a missing name in the body is a matter of parameters
        agree("Mcp-Name", decoded("Mcp-Name", sent), named)


def agree(name: str, sent: str | None, expected: Any) -> None:
    """Refuse a header that is missing or says something else than the body (-32020)."""
    if sent is None:
        raise RpcError(HEADER_MISMATCH, f"The {name} header is missing")
    if sent != expected:
        raise RpcError(HEADER_MISMATCH, f"The {name} header does not match the body")


def decoded(name: str, value: str | None) -> str | None:
    """A header value with its base64 wrapping removed, if it has one.

    Raises:
        RpcError: the wrapping holds no base64 of UTF-8 text, or the value is not ASCII (-32020).
    """
    if value is not None and not value.isascii():  # it could be read in more than one way
        raise RpcError(HEADER_MISMATCH, f"The {name} header must be ASCII; wrap other text in base64")
    if value is None or not (
        value.startswith(_BASE64_PREFIX)
        and value.endswith(_BASE64_SUFFIX)
        and len(value) >= len(_BASE64_PREFIX) + len(_BASE64_SUFFIX)
    ):
        return value
    try:
        packed = value[len(_BASE64_PREFIX) : -len(_BASE64_SUFFIX)]
        return base64.b64decode(packed.encode("ascii"), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeError):
        raise RpcError(HEADER_MISMATCH, f"The {name} header is not valid base64 of UTF-8 text") from None


def _check_meta_values(meta: Mapping[str, Any]) -> None:
    for key, model in _META_MODELS.items():
        if key not in meta:
            continue
        try:
            model.model_validate(meta[key], by_name=False)
        except ValidationError as error:
            raise RpcError(INVALID_PARAMS, f"{key}: {explain(error)}") from None
    level = meta.get(LOG_LEVEL_META_KEY)
    if LOG_LEVEL_META_KEY in meta and not (isinstance(level, str) and level in LOG_LEVELS):
        raise RpcError(INVALID_PARAMS, f"{LOG_LEVEL_META_KEY} is not a log level")
