"""A real HAProxy on loopback with the configuration of the fleet, and small real servers behind it."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from processes import free_port, request, until
from rendering import FLEET, render, role

HAPROXY = os.environ.get("HAPROXY", "/usr/sbin/haproxy")


class Backend(ThreadingHTTPServer):
    """A server that says what it was told to say, and remembers what it was asked.

    ``mode`` is what becomes of a request: ``answer`` it, ``refuse`` it with 503, ``lose`` it by closing the connection,
    or answer it with a stream of events that comes to an end when the client leaves. It is ``silent`` after its first
    event, or goes on to ``ping``.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.daemon_threads = True
        self.port: int = self.server_address[1]
        self.mode = "answer"
        self.ready = 200
        self.requests: list[list[tuple[str, str]]] = []
        """The headers of every request, names in lower case."""
        self.left = 0
        """How many clients of streams have left."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Backend

    def do_GET(self) -> None:
        if self.path == "/readyz":
            self._say(self.server.ready, {})
        else:
            self.do_POST()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append([(name.lower(), value) for name, value in self.headers.items()])
        if self.server.mode == "answer":
            self._say(200, {"port": self.server.port})
        elif self.server.mode == "refuse":
            self._say(503, {"port": self.server.port})
        elif self.server.mode in ("silent", "ping"):
            self._stream(self.server.mode == "ping")
            self.server.left += 1
        self.close_connection = True

    do_DELETE = do_POST

    def _say(self, status: int, answer: Any) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, pinging: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._event(f"data: {self.server.port}\n\n".encode())
        # A connection that can be read is one that was closed: the request is complete.
        while not select.select([self.connection], [], [], 0.1 if pinging else None)[0]:
            self._event(b": ping\n\n")

    def _event(self, event: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class Balancer(NamedTuple):
    """A running HAProxy."""

    port: int
    statistics_port: int
    admin: Path

    @property
    def health(self) -> tuple[int, Any]:
        return request(f"http://127.0.0.1:{self.port}/health")

    def send(
        self, *headers: tuple[str, str], body: bytes = b"{}", method: str = "POST", path: str = "/mcp"
    ) -> tuple[int, Any]:
        """Status and JSON body of the answer to one request, on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.putrequest(method, path)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(text) if is_json else None

    def statuses(self, column: str = "status") -> dict[str, list[str]]:
        """A column of the statistics, by backend, in the order of the servers."""
        rows = csv.DictReader(io.StringIO(self.ask("show stat").lstrip("# ")))
        found: dict[str, list[str]] = {}
        for row in rows:
            if row["svname"] not in ("FRONTEND", "BACKEND"):
                found.setdefault(row["pxname"], []).append(row[column])
        return found

    def ask(self, command: str) -> str:
        """What the administration socket says."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self.admin))
            admin.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: admin.recv(65536), b"")).decode()


def fleet_config(base: Path, *servers: dict[str, Any], **host: Any) -> str:
    """HAProxy's configuration for servers of this machine, declared as in ``mcp_servers``."""
    variables = {"mcp_servers": list(servers), **host}
    text: str = render(base, variables, role("haproxy", "fleet", **FLEET))["fleet"]["haproxy.cfg"]
    return text


@contextmanager
def running(base: Path, text: str, up: int) -> Iterator[Balancer]:
    """HAProxy with a configuration, but for what belongs to a machine: account, addresses, places of socket and state."""
    base.mkdir(exist_ok=True)
    port, statistics_port = free_port(), free_port()
    for pattern, new in {
        r"^    (user|group) .*\n": "",
        r"^    stats socket \S+": f"    stats socket {base}/admin.sock",
        r"^    server-state-file .*": f"    server-state-file {base}/state",
        r"(?<=^frontend statistics\n    bind )\S+": f"127.0.0.1:{statistics_port}",
        r"(?<=^frontend mcp\n    bind )\S+": f"127.0.0.1:{port}",
    }.items():
        text = re.sub(pattern, new, text, flags=re.MULTILINE)
    config = base / "haproxy.cfg"
    config.write_text(text)
    balancer = Balancer(port, statistics_port, base / "admin.sock")
    with subprocess.Popen(
        [HAPROXY, "-db", "-f", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            until(lambda: balancer.health[1] == {"status": "healthy", "servers_up": up})
            yield balancer
        finally:
            process.kill()
