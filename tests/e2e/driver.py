"""Drives a fleet from outside: plays, calls, load, telemetry. Used by the end-to-end tests and the benchmark."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from lab import Node

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


MODERN = "2026-07-28"
PORTS = (7284, 7285, 7286)
BALANCER = 7280
HUB = 10191
GOOD = {
    "businessIntent": "An issuer gives an IOU to an owner",
    "damlCode": "module Iou where\n\ntemplate Iou\n  with\n    issuer : Party\n    owner : Party\n"
    "  where\n    signatory issuer\n    observer owner\n",
}


@dataclass(frozen=True)
class Run:
    """A finished ansible-playbook."""

    status: int
    output: str

    @property
    def changed(self) -> int:
        """Changed tasks on all hosts, from the recap."""
        return sum(map(int, re.findall(r"ok=\d+ +changed=(\d+)", self.output)))

    def ok(self) -> Run:
        """This run, which has to have succeeded."""
        assert self.status == 0, self.output[-4000:]
        return self


def play(inventory: Path, playbook: str, *flags: str, **variables: Any) -> Run:
    """Run a playbook the way an operator does."""
    command = [
        str(BIN / "ansible-playbook"),
        "-i",
        str(inventory),
        playbook,
        *flags,
        "-e",
        json.dumps(variables),
    ]
    environment = {**os.environ, "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    return Run(done.returncode, done.stdout + done.stderr)


def until(condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    """Wait for something to become true; the bound only ends a hopeless wait."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except (requests.RequestException, subprocess.SubprocessError, AssertionError):
            pass  # not yet
        time.sleep(0.2)
    raise AssertionError(f"{what} did not come true within {seconds:g} s")


def legacy_call(
    session: requests.Session, url: str, tool: str, arguments: dict[str, Any]
) -> requests.Response:
    """One tools/call of the handshake era on a kept connection: nothing tells a balancer that it may be repeated."""
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": tool, "arguments": arguments},
    }
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
    return session.post(url, json=body, headers=headers, timeout=20)


def call(url: str, tool: str, arguments: dict[str, Any], **kwargs: Any) -> requests.Response:
    """One tools/call of the modern era."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": tool, "arguments": arguments, "_meta": meta},
    }
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }
    return requests.post(url, json=body, headers=headers, timeout=20, **kwargs)


class Listener:
    """Receives DCAP datagrams on the lab's network until it is closed; `messages` are those about calls."""

    def __init__(self, address: str) -> None:
        self.messages: list[dict[str, Any]] = []
        self.others: list[dict[str, Any]] = []
        self.largest = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        self._socket.settimeout(0.2)
        self.port: int = self._socket.getsockname()[1]
        self._open = True
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        while self._open:
            try:
                datagram = self._socket.recv(65535)
            except TimeoutError:
                continue
            self.largest = max(self.largest, len(datagram))
            message = json.loads(datagram)
            (self.messages if message["t"] == "perf_update" else self.others).append(message)

    def close(self) -> None:
        self._open = False
        self._thread.join()
        self._socket.close()


@dataclass
class Load:
    """Steady requests from several clients; counts what was answered and keeps what was not.

    Clients of the modern era connect for each call, and the balancer may repeat it. Those of the legacy era keep
    their connection, and nothing may be repeated.
    """

    url: str
    modern: int = 2
    legacy: int = 2
    answered: int = 0
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        eras = [True] * self.modern + [False] * self.legacy
        self._threads = [threading.Thread(target=self._run, args=(era,), daemon=True) for era in eras]
        for thread in self._threads:
            thread.start()
        until(lambda: self.answered > 20, f"load on {self.url}")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, modern: bool) -> None:
        tool, session = "validate_daml_business_logic", requests.Session()
        while not self._stop.is_set():
            try:
                answer = call(self.url, tool, GOOD) if modern else legacy_call(session, self.url, tool, GOOD)
                problem = (
                    None
                    if answer.ok and "result" in answer.json()
                    else f"{answer.status_code} {answer.text[:200]}"
                )
            except (requests.RequestException, ValueError) as error:
                problem = repr(error)
            with self._lock:
                if problem:
                    self.failures.append(f"{'modern' if modern else 'legacy'}: {problem}")
                else:
                    self.answered += 1
            self._stop.wait(0.05)


@dataclass
class Fleet:
    """One lab node with servers, balancer and tester, and a listener for their telemetry."""

    node: Node
    inventory: Path
    dcap: Listener
    bare_check: Run
    first_run: Run

    def site(self, *flags: str, **variables: Any) -> Run:
        """Run site.yml with the fleet's own settings under the given ones."""
        return play(self.inventory, "site.yml", *flags, **variables)

    def shell(self, script: str) -> str:
        """Run a shell script on the node; its output."""
        return self.node.run("sh", "-c", script)

    def url(self, port: int, path: str = "") -> str:
        return f"http://{self.node.address}:{port}{path}"

    def health(self, port: int) -> dict[str, Any]:
        answer = requests.get(self.url(port, "/health"), timeout=5)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def pids(self) -> dict[int, str]:
        """Main process of every declared server's unit."""
        units = [f"canton-mcp@{port}.service" for port in PORTS]
        values = self.node.run("systemctl", "show", "--property=MainPID", "--value", *units).split()
        return dict(zip(PORTS, values, strict=True))

    def report(self, window: str = "1h") -> dict[str, Any]:
        """What the hub's page would show."""
        token = self.node.run("cat", "/etc/canton-mcp/hub.token").strip()
        answer = requests.get(
            self.url(HUB, "/api/report"),
            params={"window": window},
            headers={"Authorization": f"Bearer {token}"},
            timeout=5,
        )
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def balanced(self) -> dict[str, int]:
        """How many requests HAProxy has sent to each server."""
        page = self.node.run(
            "python3",
            "-c",
            "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8404/;csv').read().decode())",
        )
        rows = csv.DictReader(io.StringIO(page.lstrip("# ")))
        return {
            row["svname"]: int(row["stot"])
            for row in rows
            if row["pxname"] == "mcp_servers" and row["svname"].startswith("canton")
        }

    def up(self) -> int:
        """How many servers the balancer has in rotation."""
        found: int = requests.get(self.url(BALANCER, "/health"), timeout=5).json()["servers_up"]
        return found
