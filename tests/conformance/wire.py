"""The client's side of a connection, byte by byte: answers as they are, and streams that can be left."""

from __future__ import annotations

import http.client
import json
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from dialogue import BOTH
from processes import Served

__all__ = ["Answer", "Line", "Stream", "send", "streaming"]

HANGS_SEC: Final = 20.0
"""A server that is silent for so long will never answer."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer that is over."""

    status: int
    headers: http.client.HTTPMessage
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw) if self.raw else None

    @property
    def code(self) -> tuple[int, int]:
        """HTTP status and JSON-RPC error code."""
        return self.status, self.body["error"]["code"]


class Stream:
    """An open stream of events."""

    def __init__(self, response: http.client.HTTPResponse, sock: socket.socket) -> None:
        self.response, self.pings = response, 0
        self._sock = sock

    def __iter__(self) -> Iterator[Any]:
        """Its messages until it ends; pings are counted."""
        for line in iter(self.response.readline, b""):
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))
            elif line.startswith(b":"):
                self.pings += 1

    def message(self) -> Any:
        """The next message."""
        return next(iter(self))

    def ping(self) -> None:
        """Wait for a ping; no message may come before it."""
        line = b"\n"
        while line == b"\n":
            line = self.response.readline()
        assert line.startswith(b":"), line

    def leave(self, abruptly: bool = False) -> None:
        """Close the connection; `abruptly` as a process does that is killed with data unread."""
        if abruptly and self._sock.fileno() >= 0:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.response.close()
        self._sock.close()


class Line:
    """A connection that is kept between requests."""

    def __init__(self, served: Served, receive_buffer: int | None = None) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=HANGS_SEC)
        self.connection.connect()
        self._sock = self.connection.sock
        if receive_buffer is not None:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)

    def send(
        self, body: Any, headers: Mapping[str, str] | None = None, method: str = "POST"
    ) -> Answer | Stream:
        """One request on the MCP endpoint; `body` is a message, or bytes."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", "Accept": BOTH, **(headers or {})}
        self.connection.request(method, "/mcp", raw, sent)
        response = self.connection.getresponse()
        if response.headers.get_content_type() == "text/event-stream":
            return Stream(response, self._sock)
        return Answer(response.status, response.headers, response.read())

    def close(self) -> None:
        self.connection.close()


def send(served: Served, body: Any, headers: Mapping[str, str] | None = None, method: str = "POST") -> Answer:
    """One request on a connection of its own, which is not answered with a stream."""
    with closing(Line(served)) as line:
        answer = line.send(body, headers, method)
        assert isinstance(answer, Answer), answer.message()
        return answer


@contextmanager
def streaming(
    served: Served, body: Any, headers: Mapping[str, str] | None = None, method: str = "POST"
) -> Iterator[Stream]:
    """The stream that answers one request; it is left at the end."""
    answer = Line(served).send(body, headers, method)
    assert isinstance(answer, Stream), answer
    try:
        yield answer
    finally:
        answer.leave()
