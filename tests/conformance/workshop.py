"""The suite's features and some more tools: enough for two pages, some that take their time, one that changes a resource."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import canton_mcp.web
from canton_mcp.protocol import Call, Cancelled, Features, InvalidArguments
from fixtures import Completer, Handler, Prompts, Resources, Tool, Tools, constant, says, text, tools
from flask import Flask
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from mcp_types import CallToolResult
from siblings import Siblings

__all__ = ["create_app"]

BIG: Final = "x" * 64 * 1024
WATCHED: Final = "test://watched-resource"


def works(speaks: bool = False, shouts: bool = False) -> Handler:
    """A tool that works for some seconds, alone or while it speaks; the log tells how that ended."""

    def run(call: Call, arguments: dict[str, Any]) -> CallToolResult:
        name = arguments.get("name", "somebody")
        ends = time.monotonic() + arguments.get("seconds", 60)
        print(f"{name} began", flush=True)
        try:
            steps = 0
            while time.monotonic() < ends:
                steps += 1
                if shouts:
                    call.log("info", BIG)
                elif speaks:
                    call.progress(steps)
                call.check()
                time.sleep(0.001 if shouts else 0.02)
        except Cancelled:
            print(f"{name} was cancelled", flush=True)
            raise
        print(f"{name} finished", flush=True)
        return says(text(f"{name} finished"))

    return run


def changes(announce: Callable[[str], None], uri: str) -> Handler:
    def run(call: Call, arguments: dict[str, Any]) -> CallToolResult:
        announce(f"resource {uri}")
        return says(text("Changed"))

    return run


class Checked(Tools):
    """Tools whose arguments fit their schemas; nobody promises that to those of the suite."""

    def __init__(self, table: Mapping[str, Tool]) -> None:
        super().__init__(table)
        self._schemas = {name: Draft202012Validator(tool.schema) for name, tool in table.items()}

    def call_tool(self, name: str, arguments: dict[str, Any], call: Call) -> CallToolResult:
        if name in self._schemas and not self._schemas[name].is_valid(arguments):
            raise InvalidArguments(f"{name}: the arguments do not fit the schema")
        return super().call_tool(name, arguments, call)


def create_app() -> Flask:
    """The product's application with these features; gunicorn calls it in each worker."""
    directory = os.environ.get("CONFORMANCE_SIBLINGS") or tempfile.mkdtemp(prefix="siblings-")
    siblings = Siblings(Path(directory), str(os.getpid()))
    table = {
        **tools(siblings.announce),
        "work": Tool("Works", works()),
        "speak": Tool("Works and says so", works(speaks=True)),
        "shout": Tool("Says more than anybody can read", works(shouts=True)),
        "change": Tool("Changes the watched resource", changes(siblings.announce, WATCHED)),
        **{f"page_{number:02}": Tool("Fills pages", constant(text("Listed"))) for number in range(50)},
    }
    features = Features(
        tools=Checked(table),
        resources=Resources(),
        prompts=Prompts(),
        completer=Completer(),
        logging=True,
        asks=("elicitation/create", "sampling/createMessage", "roots/list"),
        list_changes=True,
        subscribable=True,
    )
    app = canton_mcp.web.create_app(features=features)
    publish = app.extensions["canton_mcp"].dispatcher.publish
    siblings.listen(lambda words: publish(*words.split()))
    return app
