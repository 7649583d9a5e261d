"""Drive a running server with unmodified official MCP clients: list the tools, call each with its examples.

    python tests/e2e/client_check.py http://127.0.0.1:7284/mcp

Prints one line for each client and step. Exit status: 0 all well, 1 a step failed, 2 wrong usage.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Literal

import fastmcp
import mcp
import mcp_types

TIMEOUT_SEC = 30.0
MODERN = "2026-07-28"
LEGACY = "2025-11-25"


class StepFailed(Exception):
    """The server did something else than it should have; the text says what."""


@dataclass(frozen=True)
class Case:
    """One client library in one mode, and the protocol version the two must agree on."""

    name: str
    package: Literal["mcp", "fastmcp"]
    mode: Literal["auto", "legacy"]
    version: str


CASES = (
    Case("mcp auto", "mcp", "auto", MODERN),
    Case("mcp legacy", "mcp", "legacy", LEGACY),
    Case("fastmcp auto", "fastmcp", "auto", MODERN),
    Case("fastmcp legacy", "fastmcp", "legacy", LEGACY),
)


@dataclass(frozen=True)
class Answer:
    """The result of a call, alike for both libraries."""

    is_error: bool
    structured: Any
    texts: Sequence[str]


class Connection:
    """A connected client of either library."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def version(self) -> str:
        """The protocol version that client and server agreed on."""
        return str(self._client.protocol_version)

    async def list_tools(self) -> list[mcp_types.Tool]:
        listed = await self._client.list_tools()
        return list(listed if isinstance(listed, list) else listed.tools)

    async def call(self, name: str, arguments: dict[str, Any]) -> Answer:
        options = {} if isinstance(self._client, mcp.Client) else {"raise_on_error": False}
        result = await self._client.call_tool(name, arguments, **options)
        texts = [item.text for item in result.content if isinstance(item, mcp_types.TextContent)]
        return Answer(result.is_error, result.structured_content, texts)


def report(case: Case, step: str, outcome: str) -> None:
    print(f"{case.name:<15} {step:<48} {outcome}", flush=True)


def require(condition: object, complaint: str) -> None:
    if not condition:
        raise StepFailed(complaint)


async def check_tool(case: Case, connection: Connection, tool: mcp_types.Tool) -> None:
    """Every example gives a result with text and structure; the library itself checks the schema."""
    examples = tool.input_schema.get("examples") or []
    require(examples, f"{tool.name} has no examples in its input schema")
    for number, example in enumerate(examples, 1):
        answer = await connection.call(tool.name, example)
        require(not answer.is_error, f"example {number} of {tool.name} was refused: {answer.texts}")
        require(
            isinstance(answer.structured, dict), f"example {number} of {tool.name} has no structured result"
        )
        require(
            len(answer.texts) == 2, f"example {number} of {tool.name} has {len(answer.texts)} texts, not 2"
        )
    report(case, f"call {tool.name}", f"ok ({len(examples)} examples)")


async def check_refusals(case: Case, connection: Connection, tool: mcp_types.Tool) -> None:
    """Wrong arguments are an answer that a model can read; an unknown tool is a protocol error."""
    answer = await connection.call(tool.name, {"noSuchArgument": True})
    require(answer.is_error, f"{tool.name} accepted an argument that it does not have")
    report(case, "call with wrong arguments", "ok (refused)")
    try:
        await connection.call("no_such_tool", {})
    except mcp.MCPError as error:
        require(error.code == mcp_types.INVALID_PARAMS, f"an unknown tool gave error code {error.code}")
        report(case, "call of an unknown tool", "ok (refused)")
    else:
        raise StepFailed("an unknown tool gave a result")


async def check(case: Case, url: str) -> None:
    async with AsyncExitStack() as stack:
        make = mcp.Client if case.package == "mcp" else fastmcp.Client
        connection = Connection(await stack.enter_async_context(make(url, mode=case.mode)))
        require(connection.version == case.version, f"agreed on {connection.version}, not {case.version}")
        report(case, "connect", f"ok ({connection.version})")
        tools = await connection.list_tools()
        require(tools, "the server lists no tools")
        report(case, "list tools", f"ok ({len(tools)})")
        for tool in tools:
            await check_tool(case, connection, tool)
        await check_refusals(case, connection, tools[0])


def root_causes(error: BaseException) -> list[BaseException]:
    """The exceptions inside exception groups, which clients built on task groups raise."""
    if isinstance(error, BaseExceptionGroup):
        return [cause for inner in error.exceptions for cause in root_causes(inner)]
    return [error]


async def main(url: str) -> int:
    failed = 0
    for case in CASES:
        try:
            async with asyncio.timeout(TIMEOUT_SEC):
                await check(case, url)
        except Exception as error:
            failed += 1
            for cause in root_causes(error):
                report(case, "FAILED", f"{type(cause).__name__}: {cause}")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].startswith("http"):
        print("Usage: client_check.py http://HOST:PORT/mcp", file=sys.stderr)
        sys.exit(2)
    sys.exit(asyncio.run(main(sys.argv[1])))
