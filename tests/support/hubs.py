"""Real hubs on loopback, as the tests start, feed, ask and stop them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

START_SEC = 30.0


@dataclass
class Answer:
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class RunningHub:
    """A process of ``canton-mcp hub``, and its log."""

    port: int
    udp_port: int
    process: subprocess.Popen[bytes]
    log_path: Path
    token: str = ""
    seq: dict[str, int] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """One request; header names with ``_`` for ``-``. The token is sent unless there is another header for it."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token and "Authorization" not in named and "Cookie" not in named:
            named["Authorization"] = f"Bearer {self.token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def report(self, query: str = "") -> Any:
        """The report, never older than this moment: each asks with a filter that nobody asked with."""
        answer = self.ask(f"/api/report?{query}")
        assert answer.status == 200, answer.body
        return answer.json

    def health(self) -> Any:
        return self.ask("/healthz").json

    def send(self, *datagrams: bytes | dict[str, Any]) -> None:
        """Send datagrams from one address, and wait until the hub has read them all."""
        before = self.counted()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for number, data in enumerate(datagrams, 1):
                sock.sendto(encoded(data), ("127.0.0.1", self.udp_port))
                if number % 50 == 0:
                    time.sleep(0.002)
        self.until(lambda: self.counted() >= before + len(datagrams))

    def counted(self) -> int:
        """Datagrams that the hub or the kernel accounts for."""
        health = self.health()
        return int(health["datagrams"]) + int(health["kernel_drops"])

    def call(self, sid: str = "canton-mcp-1", tool: str = "validate", **fields: Any) -> dict[str, Any]:
        """A perf_update with the next number of its server."""
        self.seq[sid] = self.seq.get(sid, 0) + 1
        ctx = {"seq": self.seq[sid], "boot": "b00t", **fields.pop("ctx", {})}
        return perf_update(sid, tool, ctx=ctx, **fields)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that must come true; a hub that has died ends the wait at once."""
        deadline = time.monotonic() + START_SEC
        while time.monotonic() < deadline:
            try:
                if condition():
                    return
            except OSError:
                pass
            if self.process.poll() is not None:
                pytest.fail(f"the hub ended with status {self.process.returncode}:\n{self.log}")
            time.sleep(0.02)
        pytest.fail(f"it never came true; the hub's log:\n{self.log}")

    def wait_ready(self) -> RunningHub:
        self.until(lambda: self.ask("/healthz").status == 200)
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=START_SEC)


def perf_update(sid: str, tool: str, **fields: Any) -> dict[str, Any]:
    """A perf_update that is right, but for what `fields` make of it."""
    return {
        "v": 2,
        "t": "perf_update",
        "ts": int(time.time()),
        "sid": sid,
        "tool": tool,
        "exec_ms": 12.5,
        "success": True,
        **fields,
    }


def discover(sid: str, tool: str, **fields: Any) -> dict[str, Any]:
    """A semantic_discover that is right, but for what `fields` make of it."""
    return {
        "v": 2,
        "t": "semantic_discover",
        "ts": int(time.time()),
        "sid": sid,
        "tool": tool,
        "does": "Checks DAML",
        "when": ["review"],
        "connector": {
            "transport": "http",
            "endpoint": "http://127.0.0.1:7284/mcp",
            "auth": {"type": "none", "required": False},
            "protocol": {"type": "mcp"},
        },
        **fields,
    }


def encoded(message: bytes | Mapping[str, Any]) -> bytes:
    if isinstance(message, bytes):
        return message
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def free_ports() -> tuple[int, int]:
    """A TCP and a UDP port of loopback that nobody uses now."""
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", 0))
        return tcp.getsockname()[1], udp.getsockname()[1]


def hub_environment(port: int, udp_port: int, **extra: str) -> dict[str, str]:
    """The environment of a hub that only loopback reaches."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
    own = {
        "DCAP_HUB_BIND": "127.0.0.1",
        "DCAP_HUB_PORT": str(port),
        "DCAP_HUB_UDP_BIND": "127.0.0.1",
        "DCAP_HUB_UDP_PORT": str(udp_port),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return {**keep, **own, **extra}


def spawn_hub(tmp: Path, token: str = "", **extra: str) -> RunningHub:
    """Start a hub; the caller stops it. With a `token` it asks for that."""
    port, udp_port = free_ports()
    if token:
        path = tmp / "hub-token"
        path.write_text(f"{token}\n")
        extra["DCAP_HUB_TOKEN_FILE"] = str(path)
    environment = hub_environment(port, udp_port, **extra)
    port, udp_port = int(environment["DCAP_HUB_PORT"]), int(environment["DCAP_HUB_UDP_PORT"])
    log_path = tmp / f"hub-{port}.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "canton_mcp.cli", "hub"],
            env=environment,
            cwd=tmp,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    return RunningHub(port, udp_port, process, log_path, token)
