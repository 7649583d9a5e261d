"""The hub's one process: UDP in, HTTP and WebSockets out, all in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from canton_mcp import __version__
from canton_mcp.dcap.reading import Message
from canton_mcp.hub import expected, intake, metrics, notify
from canton_mcp.hub.auth import Gate
from canton_mcp.hub.collector import Collector
from canton_mcp.hub.relay import PING_SEC, STALL_SEC, Clients, Relay
from canton_mcp.hub.report import report
from canton_mcp.hub.reports import Pushes, Reports
from canton_mcp.hub.settings import HubSettings
from canton_mcp.hub.store import Store
from canton_mcp.hub.tail import Tail
from canton_mcp.hub.upstream import Upstreams
from canton_mcp.hub.web import Site, application
from canton_mcp.listening import why_not
from canton_mcp.settings import SettingsError, release_id

__all__ = ["Hub", "StartError", "run"]

_log = logging.getLogger(__name__)

MAX_CONNECTIONS = 1000
_BACKLOG = 512
_IDLE_SEC = 15.0
"""A connection that has not sent a whole request head in that time is closed."""
_USER_TIMEOUT_MS = 30_000
_TCP_USER_TIMEOUT = 18
_SHUTDOWN_SEC = 3.0
_TICK_SEC, _WATCH_SEC, _SAVE_SEC, _ALIVE_SEC = 1.0, 2.0, 5.0, 10.0
_OPEN_FILES = 8192
_CLOCK_STEP_SEC = 30.0
"""A clock that went back by more would stop the windows, and make all servers look silent, until it is that late again."""
_NOTHING: frozenset[str] = frozenset()


class StartError(Exception):
    """The hub cannot listen; the text says why and what to do."""


def run(settings: HubSettings) -> None:
    """Run the hub until SIGTERM or Ctrl-C.

    Raises:
        SettingsError: the settings do not fit together, or a file that they name cannot be used.
        StartError: an address cannot be listened on.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s: %(message)s")
    # What strangers send is no event worth a line each; what fails in our handlers is logged by them.
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    _allow_open_files()
    asyncio.run(_serve(settings))


async def _serve(settings: HubSettings) -> None:
    hub = Hub(settings, os.environ)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await hub.start()
    print(f"canton-mcp {__version__} hub: {hub.summary}", flush=True)
    try:
        await stop.wait()
    finally:
        await hub.stop()
        for number in (signal.SIGTERM, signal.SIGINT):  # a second one must not kill what is as good as over
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
    print(f"Stopped after {hub.intake.received} datagrams.", flush=True)


class Hub:
    """Everything that makes a hub, wired together. Build it, `start` it and `stop` it in one event loop."""

    def __init__(
        self,
        settings: HubSettings,
        environ: Mapping[str, str],
        *,
        ping_sec: float = PING_SEC,
        stall_sec: float = STALL_SEC,
    ) -> None:
        check(settings)
        self.settings = settings
        servers = expected.read(settings.servers_file)
        self.collector = Collector(settings, servers)
        self.clients = Clients(ping_sec=ping_sec, stall_sec=stall_sec)
        self.relay = Relay(self.clients, lambda: self.collector.discovers())
        self.tail = Tail(self.clients)
        self.upstreams = Upstreams(settings.upstreams, settings.udp_port)
        self.reports = Reports(self._report)
        self.pushes = Pushes(self.clients, self.reports)
        self.intake: intake.Intake
        self.url = ""
        self._expected = servers
        self._watch = expected.Watch(settings.servers_file, _log.warning)
        self._store: Store | None = None
        self._systemd = notify.Systemd(environ)
        self._passed = notify.passed_sockets(environ)
        self._release = environ.get("DCAP_HUB_RELEASE") or release_id()
        self._started = time.time()
        self._clock = _clock()
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def summary(self) -> str:
        """One line: where it listens and what the kernel granted."""
        udp = _at(self.settings.udp_bind, self.udp_port)
        group = f" and group {self.settings.multicast_group}" if self.settings.multicast_group else ""
        granted = self.intake.buffer_bytes
        note = (
            ""
            if granted >= intake.WANTED_BUFFER
            else (
                f" of {intake.WANTED_BUFFER >> 10} KiB wanted: raise it by sysctl net.core.rmem_max={intake.WANTED_BUFFER}"
            )
        )
        return f"page {self.url}, DCAP on udp {udp}{group} (receive buffer {granted >> 10} KiB{note})"

    async def start(self) -> None:
        """Listen and serve.

        Raises:
            StartError: an address cannot be listened on.
        """
        settings = self.settings
        name = intake.kept_name(settings.multicast_group)
        kept = self._passed.pop(name, [])
        for others in self._passed.values():
            for sock in others:
                sock.close()
        listener = listening(settings.bind, settings.port)
        try:
            sockets = intake.open_sockets(
                settings.udp_bind, settings.udp_port, settings.multicast_group, kept
            )
        except intake.IntakeError as error:
            listener.close()
            raise StartError(str(error)) from None
        self.udp_port = int(sockets[0].getsockname()[1])
        self.url = f"http://{_at(_reachable(settings.bind), int(listener.getsockname()[1]))}/"
        self.intake = intake.Intake(sockets, self._take)
        self._store = Store.open(settings)
        self._store.restore(self.collector, time.time())
        gc.collect()
        gc.freeze()  # what was loaded stays; looking through it again and again would only cost time
        for fresh in (intake.kept_name(""), name):
            self._systemd.forget(fresh)
        self._systemd.keep(name, sockets)
        self.intake.start()
        await self._listen(listener)
        self._tasks = [
            asyncio.create_task(_every(_TICK_SEC, self._tick)),
            asyncio.create_task(_every(_WATCH_SEC, self._look_at_servers)),
            asyncio.create_task(_every(_SAVE_SEC, self._save)),
            asyncio.create_task(
                _every(min(_ALIVE_SEC, self._systemd.watchdog_sec or _ALIVE_SEC), self._alive)
            ),
            asyncio.create_task(self.pushes.run()),
            asyncio.create_task(self.upstreams.keep_resolved()),
        ]
        self._systemd.ready(self._status())

    async def stop(self) -> None:
        """Take in what has arrived, say goodbye, commit."""
        self._systemd.stopping()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.intake.close()
        self._tick()
        await self.clients.close()
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self.upstreams.close()
        if self._store is not None:
            self._store.close(self.collector, time.time())

    async def _listen(self, listener: socket.socket) -> None:
        site = Site(
            gate=Gate(
                self.settings.token,
                int(listener.getsockname()[1]),
                self.settings.allowed_hosts,
                self.settings.allowed_origins,
            ),
            clients=self.clients,
            relay=self.relay,
            tail=self.tail,
            reports=self.reports,
            pushes=self.pushes,
            history=self._history,
            health=self._health,
            snapshot=self._snapshot,
        )
        self._runner = web.AppRunner(
            application(site),
            access_log=None,
            handle_signals=False,
            keepalive_timeout=_IDLE_SEC,
            shutdown_timeout=_SHUTDOWN_SEC,
        )
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, sock=listener, backlog=_BACKLOG)

    def _protocol(self) -> asyncio.BaseProtocol:
        server = self._runner.server if self._runner is not None else None
        if server is None or len(server.connections) >= MAX_CONNECTIONS:
            return _Refusing()
        return server()

    def _take(self, data: bytes, address: str, now: float) -> None:
        result = self.collector.receive(data, address, now)
        if isinstance(result, Message):
            self.relay.offer(data)
            if self.upstreams:
                self.upstreams.offer(data, address, now)
        self.tail.add(now, address, len(data), result)

    def _report(
        self, now: float, window: str, sids: frozenset[str] = _NOTHING, tools: frozenset[str] = _NOTHING
    ) -> dict[str, Any]:
        self._tell_collector()
        return report(self.collector, now, window, sids, tools)

    def _history(self, hours: int, sids: frozenset[str], tools: frozenset[str]) -> dict[str, Any]:
        assert self._store is not None
        return self._store.history(hours, sids, tools)

    def _tell_collector(self) -> None:
        self.collector.kernel_drops = self.intake.drops()
        self.collector.websocket_clients = len(self.clients)
        self.collector.websocket_dropped = self.clients.dropped

    def _tick(self) -> None:
        self._follow_clock()
        self._tell_collector()
        self.tail.tick()
        self.clients.tend(time.monotonic())

    def _follow_clock(self) -> None:
        clock = _clock()
        if (back := self._clock - clock) > _CLOCK_STEP_SEC:
            _log.warning("The clock went back by %.0f s: the statistics begin again with the history.", back)
            self._clock = clock
            self._begin_again(time.time())
        self._clock = max(self._clock, clock)

    def _begin_again(self, now: float) -> None:
        """What a restart would do, without losing a datagram, a client or a count of datagrams."""
        before, fresh = self.collector, Collector(self.settings, self._expected, now)
        if self._store is not None:
            self._store.close(before, now)
            self._store = Store.open(self.settings)
            self._store.restore(fresh, now)
        fresh.received, fresh.unknown_types = before.received, before.unknown_types
        fresh.rejected, fresh.received_by = before.rejected, before.received_by
        fresh.kernel_drops = before.kernel_drops
        fresh.kernel_drops_at = 0.0  # these are no news
        self.collector = fresh

    def _look_at_servers(self) -> None:
        if (servers := self._watch.changed()) is not None:
            self.collector.expect(servers)
            self._expected = servers

    def _save(self) -> None:
        if self._store is not None:
            self._store.save(self.collector, time.time())

    def _alive(self) -> None:
        self._systemd.alive(self._status())

    def _status(self) -> str:
        return f"{self.intake.received} datagrams, {len(self.clients)} WebSocket clients, {self.url}"

    def _health(self) -> dict[str, Any]:
        return {
            "release": self._release,
            "uptime_seconds": round(time.time() - self._started, 1),
            "datagrams": self.intake.received,
            "kernel_drops": self.intake.drops(),
            "faults": self.intake.faults,
            "history": "ok" if self._store is not None and self._store.problem is None else "not written",
        }

    def _snapshot(self) -> metrics.Snapshot:
        told = self._report(time.time(), "5m")
        clients, upstreams = self.clients, self.upstreams
        server = self._runner.server if self._runner is not None else None
        return metrics.Snapshot(
            version=__version__,
            release=self._release,
            received_by=dict(self.collector.received_by),
            rejected=dict(self.collector.rejected),
            totals=list(self.collector.totals()),
            servers=told["servers"],
            costs=[(sid, currency, amount) for sid, currency, amount in self.collector.costs()],
            expected=len(self._expected),
            kernel_drops=self.intake.drops(),
            datagrams=self.intake.received,
            faults=self.intake.faults,
            buffer_bytes=self.intake.buffer_bytes,
            ws_clients=len(clients),
            ws_dropped=clients.dropped,
            ws_closed={"slow": clients.closed_slow, "silent": clients.closed_silent},
            relayed=self.relay.relayed,
            upstream={"sent": upstreams.sent, "failed": upstreams.failed, "held_back": upstreams.held_back},
            connections=len(server.connections) if server is not None else 0,
            store_ok=self._store is not None and self._store.problem is None,
            store_bytes=int(told["quality"]["store"]["bytes"] or 0),
            started=self._started,
        )


class _Refusing(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


def _clock() -> float:
    """By how much Unix time is ahead of a clock that nobody sets, seconds."""
    return time.time() - time.monotonic()


def check(settings: HubSettings) -> None:
    """Refuse what could not work, and to show the fleet to whoever can reach this machine.

    Raises:
        SettingsError: it would listen beyond this machine without a token, or on an address of another machine.
    """
    if not ipaddress.ip_address(settings.bind).is_loopback and not settings.token:
        raise SettingsError(
            f"DCAP_HUB_BIND={settings.bind}: can be reached from other machines, and no token is set. "
            "Name a file with one in DCAP_HUB_TOKEN_FILE (openssl rand -hex 32), or use 127.0.0.1."
        )
    for name, address in (("DCAP_HUB_BIND", settings.bind), ("DCAP_HUB_UDP_BIND", settings.udp_bind)):
        try:
            family, _, _, _, at = socket.getaddrinfo(address, 0, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.bind(at)
        except OSError as error:
            raise SettingsError(
                f"{name}={address}: cannot be listened on here ({error.strerror}). Use 127.0.0.1, or an address of this machine."
            ) from None


def listening(host: str, port: int) -> socket.socket:
    """A TCP socket that listens.

    Raises:
        StartError: the address cannot be listened on.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # connections inherit it: who takes nothing for so long is gone
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
        if sock.family == socket.AF_INET6:
            only = 0 if ipaddress.ip_address(host).is_unspecified else 1
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        sock.bind(intake.with_scope(host, port))
        sock.listen(_BACKLOG)  # only listening proves that nobody else does
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise StartError(why_not(error, host, port, prefix="DCAP_HUB", usual="127.0.0.1")) from None
    return sock


async def _every(seconds: float, work: Callable[[], None]) -> None:
    """Call `work` again and again until cancelled; a failure is logged and does not end it."""
    told = ""
    while True:
        try:
            work()
        except Exception as error:
            if (text := repr(error)) != told:
                told = text
                _log.exception("%s failed, and will be tried again", getattr(work, "__name__", "a task"))
        await asyncio.sleep(seconds)


def _reachable(bind: str) -> str:
    address = ipaddress.ip_address(bind)
    return ("127.0.0.1" if address.version == 4 else "::1") if address.is_unspecified else bind


def _at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _allow_open_files() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
