"""Server-sent events on WSGI: the way between the thread that works and the one that writes (MCP "Transports").

WSGI cannot wake a response that waits, so the work runs in a thread of its own and the response drains what
it sends. It watches the client's connection as well, where the HTTP server shows it; a client that vanished
without a word is noticed by writing to it, hence the comment lines every few seconds.
"""

from __future__ import annotations

import math
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import mcp_types

from canton_mcp.protocol import jsonrpc

__all__ = ["HEADERS", "PING_SEC", "EventStream", "Slots", "Way"]

PING_SEC: Final = 3.0
MAX_WAITING: Final = 256
"""Notifications that wait for a slow reader; further ones are dropped."""

HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
_PING: Final = b": ping\n\n"


class Slots:
    """How many streams may be open at a time. Each one holds a thread, and calls need threads too.

    Listeners stay for an hour, so a quarter of the slots is not for them: progress and questions go on.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.for_listeners = limit - limit // 4
        self._lock = threading.Lock()
        self._open = 0

    @property
    def open(self) -> int:
        """Streams that are open now."""
        return self._open

    def take(self, *, to_listen: bool = False) -> bool:
        """Take one if there is one left."""
        with self._lock:
            if self._open >= (self.for_listeners if to_listen else self.limit):
                return False
            self._open += 1
            return True

    def give_back(self) -> None:
        """Return one that was taken."""
        with self._lock:
            self._open -= 1


class Way:
    """The way from the work on one request to its client. Safe to use from many threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[object, bytes] = {}
        self._result: bytes | None = None
        self._finished = False
        self._cut = False
        self._cancelled = False
        self._descriptor: int | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the work is for nobody any more."""
        return self._cancelled

    @property
    def is_open(self) -> bool:
        """Whether something sent now can still reach the client."""
        return not (self._cut or self._cancelled or self._finished)

    def notify(self, notification: mcp_types.Notification[Any, Any]) -> None:
        """Send a notification, unless nobody listens or too many wait already."""
        self.send(jsonrpc.notification_body(notification), droppable=True)

    def send(self, message: bytes, *, key: object = None, droppable: bool = False) -> None:
        """Send one encoded message. While one with the same `key` waits, another would say nothing new."""
        with self._changed:
            if self.is_open and not (droppable and len(self._waiting) >= MAX_WAITING):
                self._waiting.setdefault(object() if key is None else key, message)
                self._tell()

    def finish(self, result: bytes | None) -> None:
        """Send the last message, or end without one. Only the first call counts."""
        with self._changed:
            if not self._finished:
                self._finished, self._result = True, result
                self._tell()

    def cut(self) -> None:
        """Nothing that is sent from now on reaches the client, except the result if it still waits for that."""
        with self._changed:
            self._cut = True
            self._waiting.clear()
            self._tell()

    def cancel(self) -> None:
        """The work is for nobody any more."""
        with self._changed:
            self._cancelled = True
            self._tell()

    def wait(self, done: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait until `done`, which is asked again after every change and `wake`; what it said last."""
        with self._changed:
            return self._changed.wait_for(done, seconds)

    def wake(self) -> None:
        """Let `wait` ask again."""
        with self._changed:
            self._tell()

    def settled(self, seconds: float) -> bool:
        """Wait until the work is finished or sends something; whether it finished without sending anything."""
        self.wait(lambda: self._finished or bool(self._waiting), seconds)
        return self._finished and not self._waiting

    def result(self) -> bytes | None:
        """Wait for the end of the work; its last message."""
        self.wait(lambda: self._finished)
        return self._result

    def take(self) -> list[bytes] | None:
        """Messages that wait, in order; None after the last one."""
        with self._changed:
            messages = list(self._waiting.values())
            self._waiting.clear()
            if self._finished and self._result is not None:
                messages.append(self._result)
                self._result = None
            return None if self._finished and not messages else messages

    def wakes(self, descriptor: int | None) -> None:
        """Write to this event descriptor (eventfd(2)) whenever there may be something to take."""
        with self._changed:
            self._descriptor = descriptor
            self._tell()

    def _tell(self) -> None:
        self._changed.notify_all()
        if self._descriptor is not None:
            os.eventfd_write(self._descriptor, 1)


class EventStream:
    """The body of a response in the form of server-sent events; after `lifetime` seconds `expire` ends it.

    An object rather than a generator, because one that was never started would not notice that it is closed.
    """

    def __init__(
        self,
        way: Way,
        connection: int | None,
        closed: Callable[[], None],
        *,
        lifetime: float = float("inf"),
        expire: Callable[[], None] = lambda: None,
    ) -> None:
        self._way = way
        self._closed: Callable[[], None] | None = closed
        self._ping = time.monotonic()  # at once: with it the client gets the headers of the answer
        self._ends = time.monotonic() + lifetime
        self._expire = expire
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._events = select.poll()
        self._events.register(self._wake, select.POLLIN)
        if connection is not None:
            self._events.register(connection, select.POLLRDHUP)
        way.wakes(self._wake)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while True:
            messages, now = self._way.take(), time.monotonic()
            if messages is None:
                raise StopIteration
            if messages:
                self._ping = now + PING_SEC
                return b"".join(b"data: %b\n\n" % message for message in messages)
            if now >= self._ends:
                self._ends = float("inf")
                self._expire()
            elif now >= self._ping:
                self._ping = now + PING_SEC
                return _PING
            elif not self._wait(min(self._ping, self._ends) - now):
                raise StopIteration

    def _wait(self, seconds: float) -> bool:
        """Wait until there may be something to take; False when the client has hung up."""
        for descriptor, _ in self._events.poll(math.ceil(seconds * 1000)):
            if descriptor != self._wake:
                return False
            os.eventfd_read(self._wake)
        return True

    def close(self) -> None:
        """Called by the HTTP server when the response is over, also when the client has gone."""
        closed, self._closed = self._closed, None
        if closed is not None:
            self._way.wakes(None)
            os.close(self._wake)
            closed()
