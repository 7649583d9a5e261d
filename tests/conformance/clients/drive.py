"""Lets an official MCP client work through a plan, unmodified, against a running server.

    python drive.py sdk|fastmcp|typescript|inspector modern|legacy http://HOST:PORT/mcp < plan.json

Prints the account of each round on a line of its own; plan.py says what plans and accounts are.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import inspector_client
from node import MODULES, program
from plan import Account, Era, Plan

Drive = Callable[[str, Era, Plan], Iterator[Account]]


def main() -> int:
    """Do as the arguments say; 2 when they are wrong."""
    match sys.argv[1:]:
        case [name, ("modern" | "legacy") as era, url] if name in CLIENTS and url.startswith("http"):
            for account in CLIENTS[name](url, era, json.load(sys.stdin)):
                print(json.dumps(account), flush=True)
            return 0
    print(
        f"Usage: drive.py {'|'.join(CLIENTS)} modern|legacy http://HOST:PORT/mcp < plan.json", file=sys.stderr
    )
    return 2


def _sdk(url: str, era: Era, plan: Plan) -> Iterator[Account]:
    import sdk_client  # a second's work, which other clients need not wait for

    for _ in range(plan["rounds"]):
        yield asyncio.run(sdk_client.drive(url, era, plan))


def _fastmcp(url: str, era: Era, plan: Plan) -> Iterator[Account]:
    import fastmcp_client  # as above

    for _ in range(plan["rounds"]):
        yield asyncio.run(fastmcp_client.drive(url, era, plan))


def _typescript(url: str, era: Era, plan: Plan) -> Iterator[Account]:
    script = Path(__file__).with_name("typescript_client.mjs")
    command = [str(program()), str(script), url, era]
    done = subprocess.run(command, input=json.dumps(plan), stdout=subprocess.PIPE, text=True, check=True)
    yield from map(json.loads, done.stdout.splitlines())


def _inspector(url: str, era: Era, plan: Plan) -> Iterator[Account]:
    launcher = MODULES / "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
    for _ in range(plan["rounds"]):
        yield inspector_client.drive([str(program()), str(launcher), "--cli"], url, era, plan)


CLIENTS: Final[dict[str, Drive]] = {
    "sdk": _sdk,
    "fastmcp": _fastmcp,
    "typescript": _typescript,
    "inspector": _inspector,
}

if __name__ == "__main__":
    sys.exit(main())
