"""WebSocket clients: frames, queues that cannot grow, pings, and the relay of the original bytes.

A frame is built once for all clients and written straight to their connections; no client is ever awaited. What
a client does not take in time waits in a queue of its own, which drops its oldest part when it is full.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import WSMsgType, web

__all__ = ["Client", "Clients", "Relay", "text_frame"]

SUBPROTOCOL = "dcap-v2"
MAX_CLIENTS = 200
PING_SEC = 30.0
STALL_SEC = 10.0
"""A client that has taken nothing for so long is disconnected."""
_MISSED_PONGS = 2
_WRITE_AHEAD = 256 * 1024
"""Bytes handed to the connection at a time; the rest waits in the queue."""
_MAX_PENDING = 1024 * 1024
_BATCH_BYTES = 256 * 1024
_BATCH_SEC = 0.02
_MAX_INCOMING = 16 * 1024
_INCOMING_PER_WINDOW = 60
_INCOMING_WINDOW_SEC = 10.0
_CLOSE_SEC = 2.0
_GOING_AWAY, _POLICY = 1001, 1008


def text_frame(payload: bytes) -> bytes:
    """`payload`, which must be UTF-8, as one unmasked WebSocket text frame (RFC 6455, 5.2)."""
    return _frame(0x81, payload)


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65_536:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


_PING = _frame(0x89, b"")


class Client:
    """One WebSocket connection and what it has not taken yet."""

    def __init__(self, ws: web.WebSocketResponse, transport: asyncio.Transport, now: float) -> None:
        self.ws = ws
        self.dropped = 0
        self.missed_pongs = 0
        self.next_ping = now
        self.stalled_since: float | None = None
        self._transport = transport
        self._pending: deque[tuple[bytes, int]] = deque()
        self._pending_bytes = 0
        self._incoming = 0
        self._incoming_until = 0.0

    @property
    def open(self) -> bool:
        """Whether frames may still be written."""
        return not (self.ws.closed or self._transport.is_closing())

    @property
    def behind(self) -> bool:
        """Whether something that was sent has not left yet."""
        return bool(self._pending) or self._transport.get_write_buffer_size() > _WRITE_AHEAD

    def send(self, frames: bytes, messages: int, now: float) -> int:
        """Queue whole frames that hold `messages` messages; returns how many older ones were dropped for it."""
        if not self.open:
            return 0
        self._pending.append((frames, messages))
        self._pending_bytes += len(frames)
        self.flush(now)
        dropped = 0
        while self._pending_bytes > _MAX_PENDING and len(self._pending) > 1:
            oldest, lost = self._pending.popleft()
            self._pending_bytes -= len(oldest)
            dropped += lost
        self.dropped += dropped
        return dropped

    def flush(self, now: float) -> None:
        """Write what the connection takes."""
        while self._pending and self.open and self._transport.get_write_buffer_size() <= _WRITE_AHEAD:
            frames, _ = self._pending.popleft()
            self._pending_bytes -= len(frames)
            self._transport.write(frames)
        if not self.behind:
            self.stalled_since = None
        elif self.stalled_since is None:
            self.stalled_since = now

    def ping(self) -> None:
        """Ask for a PONG; one that cannot be written counts as missed as well."""
        self.missed_pongs += 1
        if self.open and not self.behind:
            self._transport.write(_PING)

    def too_talkative(self, now: float) -> bool:
        """Count one incoming frame; true when there are more than anyone needs."""
        if now >= self._incoming_until:
            self._incoming, self._incoming_until = 0, now + _INCOMING_WINDOW_SEC
        self._incoming += 1
        return self._incoming > _INCOMING_PER_WINDOW

    def abort(self) -> None:
        """Cut the connection, without waiting for what was not taken."""
        self._transport.abort()


class Clients:
    """All WebSocket clients of the hub: their limit, their pings, their end."""

    def __init__(
        self, limit: int = MAX_CLIENTS, ping_sec: float = PING_SEC, stall_sec: float = STALL_SEC
    ) -> None:
        self.limit = limit
        self.dropped = 0
        """Messages that clients missed since they were too slow."""
        self.closed_slow = 0
        self.closed_silent = 0
        self._ping_sec = ping_sec
        self._stall_sec = stall_sec
        self._open: set[Client] = set()
        self._reserved = 0
        self._closing = False

    def __len__(self) -> int:
        return len(self._open)

    async def serve(
        self,
        request: web.Request,
        joined: Callable[[Client], None],
        left: Callable[[Client], None],
        said: Callable[[Client, str], None] | None = None,
    ) -> web.StreamResponse:
        """Upgrade `request` and stay until the client leaves.

        `joined` and `left` are called around its stay, `said` with each text that it sends.
        """
        if self._closing or len(self._open) + self._reserved >= self.limit:
            return web.json_response(
                {"error": f"{self.limit} WebSocket clients are connected, and no more are served."},
                status=503,
                headers={"Retry-After": "10"},
            )
        ws = web.WebSocketResponse(
            # aiohttp names it in the answer only when the client has offered it; browsers insist on both.
            protocols=(SUBPROTOCOL,),
            timeout=_CLOSE_SEC,  # for the client's part of the goodbye
            autoping=False,
            compress=False,  # a small message could unpack into a huge one
            max_msg_size=_MAX_INCOMING,
        )
        self._reserved += 1
        try:
            await ws.prepare(request)
        finally:
            self._reserved -= 1
        transport = request.transport
        if transport is None:
            return ws
        client = Client(ws, transport, time.monotonic() + self._ping_sec)
        self._open.add(client)
        try:
            joined(client)
            await self._listen(client, said)
        finally:
            self._open.discard(client)
            left(client)
        return ws

    def send(self, clients: Iterable[Client], frames: bytes, messages: int) -> None:
        """Send the same frames to `clients`; a slow one delays nobody."""
        now = time.monotonic()
        for client in tuple(clients):
            self.dropped += client.send(frames, messages, now)

    def tend(self, now: float) -> None:
        """Ping, and cut off who is slow or gone. Call it about once a second with monotonic seconds."""
        for client in tuple(self._open):
            client.flush(now)
            if client.stalled_since is not None and now - client.stalled_since >= self._stall_sec:
                self.closed_slow += 1
                client.abort()
            elif now >= client.next_ping:
                if client.missed_pongs >= _MISSED_PONGS:
                    self.closed_silent += 1
                    client.abort()
                else:
                    client.next_ping = now + self._ping_sec
                    client.ping()

    async def close(self) -> None:
        """Say goodbye to all (1001) and cut off who does not answer."""
        self._closing = True
        clients = tuple(self._open)
        goodbyes = [
            asyncio.create_task(client.ws.close(code=_GOING_AWAY, message=b"the hub stops"))
            for client in clients
        ]
        if goodbyes:
            await asyncio.wait(goodbyes, timeout=_CLOSE_SEC)
        for client in clients:
            client.abort()
        for goodbye in goodbyes:
            goodbye.cancel()
        await asyncio.gather(*goodbyes, return_exceptions=True)

    async def _listen(self, client: Client, said: Callable[[Client, str], None] | None) -> None:
        ws = client.ws
        while True:
            message = await ws.receive()
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG):
                return  # closed, by either side, or broken
            if client.too_talkative(time.monotonic()):
                await ws.close(code=_POLICY, message=b"too many messages")
                return
            if message.type == WSMsgType.PONG:
                client.missed_pongs = 0
            elif message.type == WSMsgType.PING and client.open and not client.behind:
                await ws.pong(message.data)
            elif message.type == WSMsgType.TEXT and said is not None:
                said(client, message.data)


class Relay:
    """Sends the bytes of every valid message, as they came, to the clients of ``/`` and ``/raw``."""

    def __init__(self, clients: Clients, replay: Callable[[], Iterable[bytes]]) -> None:
        self.relayed = 0
        self._clients = clients
        self._replay = replay
        self._members: set[Client] = set()
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def join(self, client: Client) -> None:
        """Add a client; it first gets the last discover message of every tool (history for late joiners)."""
        self._flush()  # what came before it joined is not for it
        known = [text_frame(data) for data in self._replay()]
        if known:
            self._clients.send((client,), b"".join(known), len(known))
        self._members.add(client)

    def leave(self, client: Client) -> None:
        """Remove a client; unknown ones are ignored."""
        self._members.discard(client)

    def offer(self, data: bytes) -> None:
        """Relay one datagram, within 20 ms; `data` must be UTF-8."""
        if not self._members:
            return
        frame = text_frame(data)
        self.relayed += 1
        self._batch.append(frame)
        self._batch_bytes += len(frame)
        if self._batch_bytes >= _BATCH_BYTES:
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_BATCH_SEC, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._batch:
            self._clients.send(self._members, b"".join(self._batch), len(self._batch))
            self._batch, self._batch_bytes = [], 0


def websocket_wanted(request: web.Request) -> bool:
    """Whether `request` asks for a WebSocket."""
    headers: Any = request.headers
    return (
        "websocket" in headers.get("Upgrade", "").lower()
        and "upgrade" in headers.get("Connection", "").lower()
    )
