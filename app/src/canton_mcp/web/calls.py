"""Runs tools for the protocol, and tells the log, the counters and DCAP about each call."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mcp_types
from pydantic import ValidationError

from canton_mcp.dcap import Emitter
from canton_mcp.protocol import Call, InvalidArguments, ToolOutcome, UnknownTool, explain
from canton_mcp.tools import Tool

__all__ = ["CallCounts", "ToolRunner"]

log = logging.getLogger(__name__)

_CALLER_HEADER = "x-caller-id"
_MAX_CALLER = 64


@dataclass(frozen=True)
class CallCounts:
    """Calls of known tools since this process started; `total` is the sum of the other two."""

    total: int = 0
    ok: int = 0
    tool_errors: int = 0


class ToolRunner:
    """The tool set of a server. Safe to use from many threads."""

    def __init__(self, tools: Sequence[Tool], emitter: Emitter) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._listed = tuple(_describe(tool) for tool in tools)
        self._emitter = emitter
        self._lock = threading.Lock()
        self._counts = CallCounts()

    @property
    def counts(self) -> CallCounts:
        """A consistent snapshot."""
        return self._counts

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all tools, in the order of the list."""
        return tuple(self._tools)

    def list_tools(self) -> Sequence[mcp_types.Tool]:
        """All tools as MCP describes them (MCP "Tools", Listing Tools)."""
        return self._listed

    def call_tool(self, name: str, arguments: dict[str, Any], call: Call) -> ToolOutcome:
        """Run one tool and report the call, whatever comes of it.

        Raises:
            UnknownTool: no tool has this name; such a call is not reported.
            InvalidArguments: the arguments do not fit the tool's parameters.
            Exception: what the tool raised.
        """
        tool = self._tools.get(name)
        if tool is None:
            raise UnknownTool(name)
        caller = _caller(call)
        try:
            params = tool.params.model_validate(arguments, by_name=False)
        except ValidationError as error:
            reason = explain(error)
            told = f"invalid arguments: {reason}"
            self._failed(name, 0.0, code="invalid_params", reason=told, arguments=arguments, caller=caller)
            raise InvalidArguments(f"Invalid arguments for {name}: {reason}") from None
        started = time.perf_counter()
        try:
            result = tool.run(params)
            exec_ms = _milliseconds_since(started)
            outcome = ToolOutcome(tool.render(result), result.model_dump(mode="json", by_alias=True))
        except Exception as error:
            exec_ms = _milliseconds_since(started)
            told = type(error).__name__
            self._failed(name, exec_ms, code="exception", reason=told, arguments=arguments, caller=caller)
            raise
        self._count(ok=True)
        log.info("Tool %s completed in %.0f ms", name, exec_ms)
        size = len(result.model_dump_json(by_alias=True).encode())
        self._emitter.perf_update(name, exec_ms, True, arguments=arguments, result_size=size, caller=caller)
        return outcome

    def _failed(
        self,
        tool: str,
        exec_ms: float,
        *,
        code: str,
        reason: str,
        arguments: Mapping[str, Any],
        caller: str | None,
    ) -> None:
        self._count(ok=False)
        log.warning("Tool %s failed in %.0f ms: %s", tool, exec_ms, reason)
        self._emitter.perf_update(tool, exec_ms, False, arguments=arguments, error_code=code, caller=caller)

    def _count(self, *, ok: bool) -> None:
        with self._lock:
            before = self._counts
            self._counts = CallCounts(before.total + 1, before.ok + ok, before.tool_errors + (not ok))


def _describe(tool: Tool) -> mcp_types.Tool:
    return mcp_types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=mcp_types.ToolAnnotations(
            title=tool.title,
            read_only_hint=True,
            destructive_hint=False,
            idempotent_hint=True,
            open_world_hint=False,
        ),
    )


def _caller(call: Call) -> str | None:
    """Who to name in telemetry: what the caller says of itself, else its MCP client, else its HTTP client."""
    product = call.headers.get("user-agent", "").partition("/")[0]
    claims = (call.headers.get(_CALLER_HEADER, ""), call.client_name or "", product)
    named = (_printable(claim).strip()[:_MAX_CALLER] for claim in claims)
    return next(filter(None, named), None)


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())


def _milliseconds_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
