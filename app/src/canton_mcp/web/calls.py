"""Runs tools for the protocol, and tells the log, the counters and DCAP about each call."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mcp_types
from pydantic import ValidationError

from canton_mcp.dcap import Emitter
from canton_mcp.protocol import (
    Call,
    Cancelled,
    CannotAsk,
    InputRequired,
    InvalidArguments,
    MissingCapability,
    UnknownTool,
    explain,
)
from canton_mcp.tools.base import MAX_ITEM_CHARS, Tool
from canton_mcp.web.metrics import Metrics

__all__ = ["CallCounts", "ToolRunner"]

log = logging.getLogger(__name__)

_ELICIT = "elicitation/create"
_CALLER_HEADER = "x-caller-id"
_MAX_CLAIM = 4096
"""Characters that are looked at; telemetry cuts them further, once it has removed credentials."""


@dataclass(frozen=True)
class CallCounts:
    """Ended calls of known tools since this process started; `total` is the sum of the other two.

    A call that its caller gave up counts as an error, as it does in telemetry.
    """

    total: int = 0
    ok: int = 0
    tool_errors: int = 0


class ToolRunner:
    """The tool set of a server. Safe to use from many threads."""

    def __init__(self, tools: Sequence[Tool], emitter: Emitter, metrics: Metrics | None = None) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._listed = tuple(_describe(tool) for tool in tools)
        self._emitter = emitter
        self._metrics = metrics or Metrics()
        self._metrics.know(self._tools)
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

    def call_tool(self, name: str, arguments: dict[str, Any], call: Call) -> mcp_types.CallToolResult:
        """Run one tool and report the call, whatever comes of it.

        Raises:
            UnknownTool: no tool has this name; such a call is not reported.
            InvalidArguments: the arguments do not fit the tool's parameters.
            InputRequired: the caller is asked, and will call again; the call is neither counted nor sent.
            Cancelled: nobody waits for the result any more.
            MissingCapability: the tool needs to ask what this client cannot answer.
            Exception: what the tool raised.
        """
        tool = self._tools.get(name)
        if tool is None:
            raise UnknownTool(name)
        report = _Report(name, arguments, _caller(call))
        try:
            params = tool.params.model_validate(arguments, by_name=False)
        except ValidationError as error:
            reason = explain(error)
            self._failed(
                report, 0.0, "invalid_params", InvalidArguments.__name__, f"invalid arguments: {reason}"
            )
            raise InvalidArguments(f"Invalid arguments for {name}: {reason}") from None
        client = _CallClient(call)
        started = time.perf_counter()
        try:
            result = tool.run(params, client)
            exec_ms = client.working_ms(started)
            structured = result.model_dump(mode="json", by_alias=True)
            encoded = json.dumps(structured, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            shaped = _call_result([tool.render(result), encoded], structured)
            size = len(encoded.encode())
        except InputRequired:
            log.info("Tool %s asks its caller after %.0f ms", name, client.working_ms(started))
            raise
        except Cancelled:
            exec_ms = client.working_ms(started)
            log.info("Tool %s cancelled after %.0f ms", name, exec_ms)
            self._ended(report, exec_ms, "cancelled", Cancelled.__name__)
            raise
        except BaseException as error:
            exec_ms, kind = client.working_ms(started), type(error).__name__
            self._failed(report, exec_ms, _code(error), kind, kind)
            raise
        log.info("Tool %s completed in %.0f ms", name, exec_ms)
        self._count(name, "ok", exec_ms)
        self._emitter.perf_update(
            name, exec_ms, True, arguments=arguments, result_size=size, caller=report.caller
        )
        return shaped

    def refused(self, name: str, call: Call) -> None:
        """Report a call whose arguments are no object; one of an unknown tool is not reported."""
        if name in self._tools:
            report = _Report(name, {}, _caller(call))
            reason = "invalid arguments: not an object"
            self._failed(report, 0.0, "invalid_params", InvalidArguments.__name__, reason)

    def _failed(self, report: _Report, exec_ms: float, code: str, kind: str, reason: str) -> None:
        log.warning("Tool %s failed in %.0f ms: %s", report.tool, exec_ms, reason)
        self._ended(report, exec_ms, code, kind)

    def _ended(self, report: _Report, exec_ms: float, code: str, kind: str) -> None:
        """Tell the counters and telemetry of a call without a result."""
        self._count(report.tool, code, exec_ms)
        self._emitter.perf_update(
            report.tool,
            exec_ms,
            False,
            arguments=report.arguments,
            error_code=code,
            error_type=kind,
            caller=report.caller,
        )

    def _count(self, tool: str, outcome: str, exec_ms: float) -> None:
        ok = outcome == "ok"
        with self._lock:
            before = self._counts
            self._counts = CallCounts(before.total + 1, before.ok + ok, before.tool_errors + (not ok))
        self._metrics.called(tool, outcome, exec_ms)


@dataclass(frozen=True)
class _Report:
    """What telemetry is told of a call, however it ends."""

    tool: str
    arguments: Mapping[str, Any]
    caller: str | None


def _code(error: BaseException) -> str:
    """The error code of what a tool raised."""
    if isinstance(error, MissingCapability):
        return "missing_capability"
    return "timeout" if isinstance(error, TimeoutError) else "exception"


class _CallClient:
    """The caller of a tool, reached through the running request. Waiting for its answers is no work."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._asked = 0
        self._waited_sec = 0.0

    def working_ms(self, started: float) -> float:
        """Milliseconds since `started` (`time.perf_counter`) without those spent waiting for answers."""
        return round((time.perf_counter() - started - self._waited_sec) * 1000, 3)

    def progress(self, done: float, total: float, message: str) -> None:
        """Progress notifications, to a client that wants them."""
        self._call.progress(done, total, message)

    def ask(self, question: str, fields: Mapping[str, str]) -> dict[str, str] | None:
        """One form, to a client that shows forms (MCP "Elicitation")."""
        if not self._call.can_ask(_ELICIT):
            return None
        # The same question has the same key when the tool runs again with the answers.
        self._asked += 1
        asked_at = time.perf_counter()
        try:
            answer = self._call.ask(f"question-{self._asked}", _form(question, fields))
        except CannotAsk:
            return None
        finally:
            self._waited_sec += time.perf_counter() - asked_at
        return _answers(answer, fields)


def _form(question: str, fields: Mapping[str, str]) -> mcp_types.ElicitRequest:
    properties = {
        name: {
            "type": "string",
            "title": name.replace("_", " ").capitalize(),
            "description": what,
            "maxLength": MAX_ITEM_CHARS,
        }
        for name, what in fields.items()
    }
    schema = {"type": "object", "properties": properties}
    return mcp_types.ElicitRequest(
        params=mcp_types.ElicitRequestFormParams(message=question, requested_schema=schema)
    )


def _answers(answer: mcp_types.InputResponse, fields: Mapping[str, str]) -> dict[str, str] | None:
    if not isinstance(answer, mcp_types.ElicitResult) or answer.action != "accept":
        return None
    given = answer.content or {}
    texts = {name: value.strip() for name in fields if isinstance(value := given.get(name), str)}
    return {name: text[:MAX_ITEM_CHARS] for name, text in texts.items() if text}


def _call_result(texts: Sequence[str], structured: Any) -> mcp_types.CallToolResult:
    """Readable text first, then the structured result once as JSON text and once as an object."""
    return mcp_types.CallToolResult(
        content=[mcp_types.TextContent(type="text", text=text) for text in texts],
        structured_content=structured,
    )


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
    named = (_printable(claim[:_MAX_CLAIM]).strip() for claim in claims)
    return next(filter(None, named), None)


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())
