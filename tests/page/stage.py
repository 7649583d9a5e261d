"""A hub whose report is set by the test: it serves the real page, with the real headers, and counts what is asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web
from canton_mcp import hub
from canton_mcp.hub.auth import SECURITY_HEADERS
from playwright.sync_api import Page

NARROW = {"width": 390, "height": 844}
WIDE = {"width": 1440, "height": 900}
Opened = Callable[..., Page]
"""Opens a page: address, width, theme, options of the browser's context."""
STATIC = Path(hub.__file__).parent / "static"
Report = Callable[[dict[str, Any]], dict[str, Any]]


class Stage:
    """Runs in a thread of its own. `show` sets the report; `streams`, `token` and `awake` what the hub lets one do."""

    def __init__(self) -> None:
        self.report: Report = lambda _filters: {}
        self.streams = True
        self.token = ""
        self.every = 0.2
        self.filters: list[dict[str, Any]] = []
        self.tails: list[dict[str, str]] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._sockets: set[web.WebSocketResponse] = set()
        self._tail_sockets: set[web.WebSocketResponse] = set()
        self._runner: web.AppRunner | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def show(self, report: dict[str, Any] | Report) -> None:
        """What clients are given from now on."""
        self.report = report if callable(report) else lambda _filters: report

    def say(self, line: dict[str, Any]) -> None:
        """Send a line to every live tail."""

        async def send() -> None:
            for socket in list(self._tail_sockets):
                await socket.send_str(json.dumps(line))

        asyncio.run_coroutine_threadsafe(send(), self._loop).result(5)

    @contextlib.contextmanager
    def running(self) -> Iterator[Stage]:
        self._thread.start()
        self.wake()
        try:
            yield self
        finally:
            self.sleep()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)

    def wake(self) -> None:
        """Listen, on the port of before."""
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)

    def sleep(self) -> None:
        """Stop listening and drop everyone, as a hub that is stopped."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)

    def hang_up(self) -> None:
        """Close the streams, as after a change of `streams` or `token`."""

        async def close() -> None:
            for socket in list(self._sockets | self._tail_sockets):
                await socket.close(code=WSCloseCode.GOING_AWAY)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(10)

    async def _start(self) -> None:
        app = web.Application()
        app.on_response_prepare.append(_harden)
        app.router.add_get("/", self._index)
        app.router.add_get("/api/report", self._report)
        app.router.add_post("/session", self._sign_in)
        app.router.add_get("/ws/stats", self._stats)
        app.router.add_get("/ws/tail", self._tail)
        app.router.add_static("/static", STATIC)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        for socket in list(self._sockets | self._tail_sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    def _allowed(self, request: web.Request) -> bool:
        return not self.token or request.cookies.get("session") == self.token

    async def _index(self, request: web.Request) -> web.StreamResponse:
        name = "index.html" if self._allowed(request) else "signin.html"
        return web.Response(text=(STATIC / name).read_text("utf-8"), content_type="text/html")

    async def _report(self, request: web.Request) -> web.StreamResponse:
        if not self._allowed(request):
            return web.json_response({"error": "a token is needed"}, status=401)
        return web.json_response(self.report(_filters(request)))

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        if (await request.json()).get("token") != self.token:
            return web.json_response({"error": "the token is not right"}, status=401)
        answer = web.Response(status=204)
        answer.set_cookie("session", self.token, httponly=True, samesite="Strict")
        return answer

    async def _stats(self, request: web.Request) -> web.StreamResponse:
        if not self._allowed(request) or not self.streams:
            return web.json_response({"error": "no"}, status=503 if self._allowed(request) else 401)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        filters = _filters(request)
        self.filters.append(filters)
        self._sockets.add(socket)
        try:
            while not socket.closed:
                await socket.send_str(json.dumps(self.report(filters)))
                with contextlib.suppress(TimeoutError):
                    message = await socket.receive(timeout=self.every)
                    if message.type is not WSMsgType.TEXT:
                        break
                    filters = json.loads(message.data)
                    self.filters.append(filters)
        except ConnectionError:
            pass
        finally:
            self._sockets.discard(socket)
        return socket

    async def _tail(self, request: web.Request) -> web.StreamResponse:
        if not self._allowed(request):
            return web.json_response({"error": "no"}, status=401)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.tails.append(dict(request.query))
        self._tail_sockets.add(socket)
        async for _message in socket:
            pass
        self._tail_sockets.discard(socket)
        return socket


def _filters(request: web.Request) -> dict[str, Any]:
    return {
        "window": request.query.get("window", "5m"),
        "sid": [sid for sid in request.query.get("sid", "").split(",") if sid],
        "tool": [tool for tool in request.query.get("tool", "").split(",") if tool],
    }


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SECURITY_HEADERS)
