"""Real servers on loopback, as the tests start, ask and stop them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

STARTUP_SEC = 30.0


@dataclass
class Served:
    """A server process started by ``canton-mcp serve``, and its log."""

    port: int
    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON body; raises OSError while nothing answers."""
        return request(f"{self.url}{path}")

    def call(self, tool: str, arguments: Any, **headers: str) -> Any:
        """The JSON-RPC answer to a legacy `tools/call`."""
        params = {"name": tool, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        return request(f"{self.url}/mcp", message, **headers)[1]

    def wait_ready(self) -> Served:
        until(lambda: self.get("/health")[0] == 200, self)
        return self

    def stop(self) -> int:
        """End it as systemd would, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=STARTUP_SEC)


def request(url: str, message: Any = None, **headers: str) -> tuple[int, Any]:
    """GET, or POST of a JSON message; status and parsed body (None if empty)."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {"Content-Type": "application/json", **named}
    body = None if message is None else json.dumps(message).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, sent), timeout=10) as answer:
            status, raw = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, raw = error.code, error.read()
    return status, json.loads(raw) if raw else None


def until(condition: Callable[[], bool], served: Served | None = None) -> None:
    """Wait for something that must come true; a server that has died ends the wait at once."""
    deadline = time.monotonic() + STARTUP_SEC
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        if served is not None and served.process.poll() is not None:
            pytest.fail(f"the server ended with status {served.process.returncode}:\n{served.log}")
        time.sleep(0.03)
    pytest.fail("it never came true" + (f"; the server's log:\n{served.log}" if served else ""))


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_environment(tmp: Path, port: int, **extra: str) -> dict[str, str]:
    """The environment of a server on loopback whose telemetry stays at home."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    own = {
        "CANTON_MCP_BIND": "127.0.0.1",
        "CANTON_MCP_PORT": str(port),
        "CANTON_MCP_DRAIN_DIR": str(tmp / "drain"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return {**keep, **own, **extra}


def spawn(
    tmp: Path,
    port: int | None = None,
    command: list[str] | None = None,
    passed: Sequence[int] = (),
    **extra: str,
) -> Served:
    """Start a server that inherits the descriptors in `passed`; the caller waits for it and stops it."""
    chosen = port or free_port()
    log_path = tmp / f"server-{chosen}.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            command or [sys.executable, "-m", "canton_mcp.cli", "serve"],
            env=server_environment(tmp, chosen, **extra),
            cwd=tmp,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=passed,
        )
    return Served(chosen, process, log_path)
