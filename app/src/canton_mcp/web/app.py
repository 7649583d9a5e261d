"""The application factory and its routes."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mcp_types
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from canton_mcp import __version__
from canton_mcp.dcap import Announcer, Connector, Emitter, Offer
from canton_mcp.protocol import MAX_BODY_BYTES, Dispatcher, Features, Reply, Seals
from canton_mcp.protocol.eras import LEGACY_VERSIONS, MODERN_VERSION
from canton_mcp.settings import Settings, fleet_secrets, release_id
from canton_mcp.tools import TOOLS, Tool
from canton_mcp.web.calls import ToolRunner
from canton_mcp.web.catalogue import CatalogueCompleter, CataloguePrompts, CatalogueResources
from canton_mcp.web.metrics import CONTENT_TYPE, Metrics
from canton_mcp.web.rollout import RolloutWatch

__all__ = ["Server", "create_app"]

log = logging.getLogger(__name__)

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_INSTRUCTIONS = (
    "Tools for authorization in DAML contracts on Canton: check code against a business intent, explain an "
    "authorization failure, and suggest a pattern. Send whole DAML modules rather than fragments. The patterns, "
    "rules and guides behind the answers are resources (canton://...); recommend_canonical_resources finds them."
)


@dataclass(frozen=True)
class Server:
    """One running server and the parts that work for it; found in ``app.extensions["canton_mcp"]``."""

    settings: Settings
    release: str
    emitter: Emitter
    announcer: Announcer
    metrics: Metrics
    runner: ToolRunner
    dispatcher: Dispatcher
    rollout: RolloutWatch
    started: float
    """`time.monotonic` at creation."""

    def start(self) -> None:
        """Start what needs threads; call it in the process that serves, after any fork."""
        self.emitter.start()
        self.announcer.start()
        self.rollout.start()

    def stop(self) -> None:
        """End what would otherwise go on for as long as its client likes; requests are still answered."""
        self.announcer.stop()
        self.rollout.stop()
        self.dispatcher.close()

    def close(self) -> None:
        """Send what is still queued, for at most two seconds."""
        self.announcer.stop()
        self.emitter.close(2.0)

    def health(self) -> dict[str, Any]:
        """What `GET /health` says."""
        settings = self.settings
        return {
            "status": "healthy",
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "server": {
                "id": settings.server_id,
                "name": settings.mcp_name,
                "display_name": settings.server_name,
                "url": settings.server_url,
            },
            "version": __version__,
            "release": self.release,
            "config_digest": settings.digest,
            "pid": os.getpid(),
            "uptime_seconds": round(time.monotonic() - self.started, 1),
            "draining": settings.draining,
            "calls": asdict(self.runner.counts),
            "streams": {"open": self.dispatcher.open_streams, "limit": settings.streams},
            "dcap": self.emitter.stats(),
        }


def create_app(settings: Settings | None = None, features: Features | None = None) -> Flask:
    """The WSGI application of one server; without `settings` the environment decides.

    With `features` these are served in place of the product's own.

    Raises:
        SettingsError: the environment holds values that cannot be used.
    """
    chosen = Settings.from_env(os.environ) if settings is None else settings
    _log_to_stdout()
    for warning in chosen.warnings:
        log.warning("%s", warning)
    server = _server(chosen, features)
    app = Flask("canton_mcp", static_folder=None)
    app.extensions["canton_mcp"] = server
    # A body without a length is cut at this number without a word, so the dispatcher must see one byte too many.
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES + 1
    _add_routes(app, server)
    return app


def _server(settings: Settings, features: Features | None) -> Server:
    emitter = Emitter(
        settings.server_id,
        settings.dcap_host,
        settings.dcap_port,
        enabled=settings.dcap_enabled,
        default_caller=settings.dcap_default_caller,
        vocabulary={tool.name: tool.vocabulary for tool in TOOLS},
        policy=settings.dcap_arguments,
        multicast_ttl=settings.dcap_multicast_ttl,
    )
    metrics = Metrics()
    runner = ToolRunner(TOOLS, emitter, metrics)
    identity = mcp_types.Implementation(
        name=settings.mcp_name, title=settings.server_name, version=__version__
    )
    dispatcher = Dispatcher(
        identity,
        features or _features(runner),
        seals=_seals(),
        instructions=None if features else _INSTRUCTIONS,
        max_streams=settings.streams,
        threads=settings.threads,
    )
    release = release_id()
    metrics.build_info(version=__version__, release=release, sid=settings.server_id)
    metrics.watch("mcp_open_streams", "Streams that are open now", lambda: dispatcher.open_streams)
    metrics.watch("mcp_streams_limit", "Streams that may be open at a time", lambda: settings.streams)
    metrics.watch("mcp_draining", "1 while the server is to leave rotation", lambda: settings.draining)
    metrics.watch_emitter(emitter)
    return Server(
        settings=settings,
        release=release,
        emitter=emitter,
        announcer=_announcer(settings, emitter),
        metrics=metrics,
        runner=runner,
        dispatcher=dispatcher,
        rollout=RolloutWatch(settings.rollout_file, lambda: _announce_lists(dispatcher)),
        started=time.monotonic(),
    )


def _announcer(settings: Settings, emitter: Emitter) -> Announcer:
    """Tells DCAP of every tool, and how this server is really reached."""
    connector = Connector(settings.server_url, versions=(MODERN_VERSION, LEGACY_VERSIONS[0]))
    # Processes of one server share it; two servers of one machine do not, whatever their ids.
    lock = Path(tempfile.gettempdir()) / f"canton-mcp-{os.getuid()}-{settings.port}-dcap.lock"
    return Announcer(
        emitter, [_offer(tool) for tool in TOOLS], connector, settings.dcap_discover_interval_sec, lock
    )


def _offer(tool: Tool) -> Offer:
    return Offer(tool.name, tool.description, tool.when or (tool.title,), tool.good_at, tool.bad_at)


def _features(runner: ToolRunner) -> Features:
    """What the product offers."""
    return Features(
        tools=runner,
        resources=CatalogueResources(),
        prompts=CataloguePrompts(),
        completer=CatalogueCompleter(),
        asks=("elicitation/create",),
        list_changes=True,
    )


def _announce_lists(dispatcher: Dispatcher) -> None:
    log.info("A rollout is over: clients are told to fetch the lists again")
    for kind in ("tools", "prompts", "resources"):
        dispatcher.publish(kind)


def _seals() -> Seals | None:
    secrets = fleet_secrets(os.environ)
    if secrets:
        return Seals(secrets)
    log.warning(
        "There is no fleet secret: other servers cannot read what this one seals. See `mcp_server_secret`."
    )
    return None


def _add_routes(app: Flask, server: Server) -> None:
    @app.route("/mcp", methods=_METHODS, provide_automatic_options=False)
    def mcp() -> Response:
        if not _host_allowed(request.host, server.settings.allowed_hosts):
            return _json({"error": "This host name is not served here"}, 421)
        if not _origin_allowed(request.headers.get("Origin"), server.settings.allowed_origins):
            return _json({"error": "This origin is not allowed"}, 403)
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            body = request.get_data(cache=False) if request.method == "POST" else b""
        except HTTPException:
            raise
        # HTTP servers raise what they like when the chunks of a body make no sense.
        except Exception as error:
            return _json({"error": f"The body cannot be read: {type(error).__name__}"}, 400)
        return _http(server.dispatcher.handle(request.method, headers, body, _connection(request.environ)))

    @app.get("/health")
    def health() -> Response:
        return _json(server.health())

    @app.get("/readyz")
    def readyz() -> Response:
        return _json({"status": "draining"}, 404) if server.settings.draining else _json({"status": "ready"})

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(server.metrics.text(), content_type=CONTENT_TYPE)

    @app.get("/")
    def index() -> Response:
        return _json(
            {
                "name": server.settings.mcp_name,
                "version": __version__,
                "endpoints": {
                    "mcp": "/mcp",
                    "health": "/health",
                    "readiness": "/readyz",
                    "metrics": "/metrics",
                },
                "tools": list(server.runner.names),
            }
        )

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        response = _json({"error": error.name}, error.code or 500)
        allowed = getattr(error, "valid_methods", None)
        if allowed:
            response.headers["Allow"] = ", ".join(sorted(allowed))
        return response


def _origin_allowed(origin: str | None, allowed: tuple[str, ...]) -> bool:
    """Whether a request with this Origin header is served (MCP "Transports", Security).

    Programs send none. Browsers do, and a page must not reach a server on its visitor's machine or network
    unless it comes from that machine or was allowed by name.
    """
    if origin is None:
        return True
    if allowed:
        return origin.lower() in allowed
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.hostname in _LOOPBACK


def _host_allowed(host: str, allowed: tuple[str, ...]) -> bool:
    """Whether requests addressed to this host name, with or without a port, are served."""
    if not allowed:
        return True
    try:
        return urlsplit(f"//{host}").hostname in allowed
    except ValueError:
        return False


def _connection(environ: Mapping[str, Any]) -> int | None:
    """The descriptor of the client's connection, where the HTTP server shows it."""
    connection = environ.get("gunicorn.socket")
    return connection.fileno() if isinstance(connection, socket.socket) else None


def _http(reply: Reply) -> Response:
    response = Response(reply.events or reply.body or b"", status=reply.status)
    del response.headers["Content-Type"]
    response.headers.update(reply.headers)
    return response


def _json(value: Any, status: int = 200) -> Response:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Response(f"{body}\n", status=status, content_type="application/json")


def _log_to_stdout() -> None:
    """Plain lines on standard output, once; the journal adds time and unit."""
    logger = logging.getLogger("canton_mcp")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
