"""The hub's HTTP side: the page, the JSON API, the WebSockets and the metrics, behind one gate."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from aiohttp import web

from canton_mcp import __version__
from canton_mcp.hub import metrics
from canton_mcp.hub.auth import COOKIE_SEC, SECURITY_HEADERS, Attempts, Gate
from canton_mcp.hub.relay import Client, Clients, Relay, text_frame, websocket_wanted
from canton_mcp.hub.reports import BadFilter, Filter, Pushes, Reports, read_filter
from canton_mcp.hub.tail import KEPT, Tail, TailFilter

__all__ = ["Site", "application"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
History = Callable[[int, frozenset[str], frozenset[str]], dict[str, Any]]

_log = logging.getLogger(__name__)

_MAX_BODY = 4096
_BODY_SEC = 5.0
_MAX_HOURS = 24 * 366
_HISTORIES_AT_A_TIME = 2
_LOG_SEC = 60.0
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


@dataclass
class Site:
    """What the handlers need."""

    gate: Gate
    clients: Clients
    relay: Relay
    tail: Tail
    reports: Reports
    pushes: Pushes
    history: History
    """Hours, sids, tools -> JSON; runs in a thread."""
    health: Callable[[], dict[str, Any]]
    snapshot: Callable[[], metrics.Snapshot]
    attempts: Attempts = field(default_factory=Attempts)
    histories: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_HISTORIES_AT_A_TIME))
    log_again_at: float = 0.0


@dataclass(frozen=True)
class _File:
    data: bytes
    etag: str
    content_type: str


_SITE = web.AppKey("site", Site)
_FILES = web.AppKey("files", dict[str, _File])


def application(site: Site) -> web.Application:
    """The hub's application. Its static files are read once, so no path of a request reaches the disk."""
    app = web.Application(middlewares=[_guard], client_max_size=_MAX_BODY)
    app[_SITE] = site
    app[_FILES] = dict(_static_files(resources.files("canton_mcp.hub") / "static", ""))
    app.on_response_prepare.append(_harden)
    app.router.add_get("/", _index)
    app.router.add_get("/raw", _raw)
    app.router.add_get("/static/{path:.+}", _static)
    app.router.add_get("/api/report", _report)
    app.router.add_get("/api/history", _history)
    app.router.add_get("/api/tail", _tail)
    app.router.add_get("/ws/stats", _stats_socket)
    app.router.add_get("/ws/tail", _tail_socket)
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/healthz", _healthz)
    app.router.add_post("/session", _sign_in)
    app.router.add_delete("/session", _sign_out)
    return app


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SECURITY_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    site = request.app[_SITE]
    if (refusal := _refusal(site.gate, request)) is not None:
        return refusal
    try:
        return await handler(request)
    except BadFilter as error:
        return _error(400, str(error))
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return _error(error.status, error.reason, headers)
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception as error:
        if (now := time.monotonic()) >= site.log_again_at:
            site.log_again_at = now + _LOG_SEC
            _log.exception("%s %s failed", request.method, request.path)
        return _error(500, f"the hub failed to answer ({type(error).__name__}); its log says why.")


def _refusal(gate: Gate, request: web.Request) -> web.Response | None:
    host = request.headers.get("Host", "")
    if len(request.headers.getall("Host", ())) != 1 or not gate.host_allowed(host):
        return _error(
            421,
            "this Host is not served. Use the machine's address, or list the name in DCAP_HUB_ALLOWED_HOSTS.",
        )
    if not gate.origin_allowed(request.headers.get("Origin"), host):
        return _error(403, "this Origin is not served. List it in DCAP_HUB_ALLOWED_ORIGINS if it should be.")
    if _is_open(request) or _signed_in(gate, request):
        return None
    return _error(401, "a token is needed: sign in on the page, or send Authorization: Bearer TOKEN.")


def _is_open(request: web.Request) -> bool:
    """Whether a request needs no token: what it gets is in every copy of this software."""
    if request.path == "/":
        return not websocket_wanted(request)
    return request.path in ("/healthz", "/session") or request.path.startswith("/static/")


def _signed_in(gate: Gate, request: web.Request) -> bool:
    if not gate.wants_token or gate.bearer_matches(request.headers.get("Authorization", "")):
        return True
    return gate.session_valid(request.cookies.get(gate.cookie, ""), time.time())


def _error(status: int, reason: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": reason}, status=status, headers=headers)


async def _index(request: web.Request) -> web.StreamResponse:
    if websocket_wanted(request):
        return await _raw(request)
    if _signed_in(request.app[_SITE].gate, request):
        return _file(request, "index.html")
    return _file(request, "signin.html", 401)


async def _static(request: web.Request) -> web.StreamResponse:
    return _file(request, request.match_info["path"])


def _file(request: web.Request, path: str, status: int = 200) -> web.Response:
    found = request.app[_FILES].get(path)
    if found is None:
        return _error(404, "there is no such file.")
    # The same addresses serve every release, so a browser has to ask each time.
    headers = {"Cache-Control": "no-cache", "ETag": f'"{found.etag}"'}
    if status == 200 and any(tag.value == found.etag for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(
        status=status, body=found.data, content_type=found.content_type, charset="utf-8", headers=headers
    )


def _static_files(directory: Traversable, prefix: str) -> Iterator[tuple[str, _File]]:
    if not directory.is_dir():
        return
    for entry in directory.iterdir():
        name = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _static_files(entry, f"{name}/")
        else:
            data = entry.read_bytes()
            kind = _TYPES.get(f".{entry.name.rpartition('.')[2]}", "text/plain")
            yield name, _File(data, hashlib.sha256(data).hexdigest()[:16], kind)


async def _report(request: web.Request) -> web.StreamResponse:
    data = await request.app[_SITE].reports.get(_filter(request))
    return web.Response(body=data, content_type="application/json", charset="utf-8")


async def _history(request: web.Request) -> web.StreamResponse:
    site, chosen = request.app[_SITE], _filter(request)
    hours = _whole(request, "hours", 24, _MAX_HOURS)
    async with site.histories:
        answer = await asyncio.to_thread(site.history, hours, chosen.sids, chosen.tools)
    return web.json_response(answer)


async def _tail(request: web.Request) -> web.StreamResponse:
    lines = request.app[_SITE].tail.last(_whole(request, "n", 100, KEPT), _tail_filter(request))
    return web.json_response({"messages": lines})


async def _metrics(request: web.Request) -> web.StreamResponse:
    snapshot = request.app[_SITE].snapshot()
    text = await asyncio.to_thread(metrics.render, snapshot)  # it may be long; receiving goes on meanwhile
    return web.Response(body=text, headers={"Content-Type": metrics.CONTENT_TYPE})


async def _healthz(request: web.Request) -> web.StreamResponse:
    return web.json_response({"status": "ok", "version": __version__, **request.app[_SITE].health()})


async def _sign_in(request: web.Request) -> web.StreamResponse:
    site = request.app[_SITE]
    if wait := site.attempts.wait(request.remote or "", time.monotonic()):
        return _error(429, f"too many attempts; try again in {wait} s.", {"Retry-After": str(wait)})
    try:
        async with asyncio.timeout(_BODY_SEC):
            given = json.loads(await request.read())
    except TimeoutError:
        return _error(408, "the body did not arrive in time.", {"Connection": "close"})
    except (ValueError, RecursionError):
        given = None
    token = given.get("token") if isinstance(given, dict) else None
    if not isinstance(token, str):
        return _error(400, 'send {"token": "…"} as JSON.')
    if not site.gate.token_matches(token):
        return _error(401, "the token is not right. It is in the hub's token file on its node.")
    answer = web.Response(status=204)
    answer.set_cookie(
        site.gate.cookie,
        site.gate.session(time.time()),
        max_age=COOKIE_SEC,
        httponly=True,
        samesite="Strict",
        secure=request.secure,
    )
    return answer


async def _sign_out(request: web.Request) -> web.StreamResponse:
    answer = web.Response(status=204)
    answer.del_cookie(request.app[_SITE].gate.cookie, httponly=True, samesite="Strict")
    return answer


async def _raw(request: web.Request) -> web.StreamResponse:
    site = request.app[_SITE]
    if not websocket_wanted(request):
        return _error(426, "this is a WebSocket.", {"Upgrade": "websocket"})
    return await site.clients.serve(request, site.relay.join, site.relay.leave)


async def _stats_socket(request: web.Request) -> web.StreamResponse:
    site, chosen = request.app[_SITE], _filter(request)
    if not websocket_wanted(request):
        return _error(426, "this is a WebSocket.", {"Upgrade": "websocket"})

    def joined(client: Client) -> None:
        site.pushes.join(client, chosen)

    def said(client: Client, text: str) -> None:
        if (given := _object(text)) is not None:
            try:
                site.pushes.join(client, read_filter(given))
            except BadFilter as error:
                site.clients.send((client,), _json_frame({"error": str(error)}), 1)

    return await site.clients.serve(request, joined, site.pushes.leave, said)


async def _tail_socket(request: web.Request) -> web.StreamResponse:
    site, chosen = request.app[_SITE], _tail_filter(request)
    if not websocket_wanted(request):
        return _error(426, "this is a WebSocket.", {"Upgrade": "websocket"})

    def joined(client: Client) -> None:
        site.tail.join(client, chosen)

    def said(client: Client, text: str) -> None:
        if (given := _object(text)) is not None:
            try:
                named = read_filter({"sid": given.get("sid"), "tool": given.get("tool")})
                site.tail.choose(client, TailFilter(named.sids, named.tools, given.get("args") is True))
            except BadFilter as error:
                site.clients.send((client,), _json_frame({"error": str(error)}), 1)

    return await site.clients.serve(request, joined, site.tail.leave, said)


def _json_frame(message: dict[str, Any]) -> bytes:
    return text_frame(json.dumps(message).encode("ascii"))


def _object(text: str) -> dict[str, Any] | None:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return given if isinstance(given, dict) else None


def _filter(request: web.Request) -> Filter:
    query = request.query
    return read_filter(
        {
            "window": query.get("window"),
            "sid": ",".join(query.getall("sid", ())),
            "tool": ",".join(query.getall("tool", ())),
        }
    )


def _tail_filter(request: web.Request) -> TailFilter:
    named = _filter(request)
    return TailFilter(named.sids, named.tools, request.query.get("args") == "1")


def _whole(request: web.Request, name: str, default: int, most: int) -> int:
    raw = request.query.get(name, "") or str(default)
    if not raw.isascii() or not raw.isdigit() or len(raw) > 6 or not 1 <= int(raw) <= most:
        raise BadFilter(f"{name} is {raw[:20]!r}. Use a whole number from 1 to {most}.")
    return int(raw)
