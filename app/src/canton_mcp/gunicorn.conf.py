"""gunicorn's side of a server: one worker with threads, systemd notification, careful reloads.

The master process runs this file and must not import canton_mcp: what the master has loaded, its workers
would inherit, and no reload could ever replace it. ``canton-mcp serve`` adds address and threads.
"""

import array
import contextlib
import errno
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gunicorn.errors import AppImportError  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

# gunicorn reports READY=1 as soon as it listens. A server is ready when its application has loaded, so the
# notification socket is kept out of gunicorn's sight.
_NOTIFY = "CANTON_MCP_NOTIFY_SOCKET"
if "NOTIFY_SOCKET" in os.environ:
    os.environ[_NOTIFY] = os.environ.pop("NOTIFY_SOCKET")

_STORED_NAME = "listen"
_CHECK_TIMEOUT_SEC = 60
_WATCH_INTERVAL_SEC = 0.25
_CLIENT_SILENCE_SEC = 15
_CLIENT_STALL_SEC = 5
_HOT_RELOAD = os.environ.get("CANTON_HOT_RELOAD") == "true"  # `canton-mcp serve` writes it in this form

if _HOT_RELOAD:  # two edits within one second must not meet a stale .pyc file
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


class Watcher(threading.Thread):
    """Asks the master for a reload whenever a source file changes, appears or goes.

    What it compares with is taken before the application loads, so an edit made meanwhile is seen as well.
    """

    def __init__(self, master_pid: int) -> None:
        super().__init__(name="source-watcher", daemon=True)
        self._master_pid = master_pid
        self._seen = _snapshot()

    def run(self) -> None:
        """Compare several times a second, for as long as the worker lives."""
        while True:
            time.sleep(_WATCH_INTERVAL_SEC)
            found = _snapshot()
            if found != self._seen:
                self._seen = found
                if os.getppid() == self._master_pid:  # else the master is gone, and its number may be reused
                    os.kill(self._master_pid, signal.SIGHUP)


class ClientSocket(socket.socket):
    """A client's connection that does not wait for a silent peer for ever.

    gunicorn reads and writes without a limit, so a few clients that stop in the middle of a request would
    keep every thread. The kernel's limit is used, since gunicorn resets the one of Python's sockets.
    """

    @classmethod
    def of(cls, accepted: socket.socket, silence: float, stall: float) -> "ClientSocket":
        """Take over an accepted connection.

        A single receive may last `silence` seconds, a single send `stall` seconds; a peer that acknowledges
        nothing for `silence` seconds is gone, as one is that was switched off in the middle of a stream.
        """
        taken = cls(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(silence))
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(stall))
        with contextlib.suppress(OSError):  # not a TCP socket
            taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(silence * 1000))
        return taken

    def recv(self, *arguments: Any) -> bytes:
        """What the client sends; silence counts as the end of it."""
        try:
            return super().recv(*arguments)
        except BlockingIOError:
            if self.getblocking():
                return b""
            raise

    def sendall(self, *arguments: Any) -> None:
        """Send everything; a client that takes nothing counts as gone."""
        try:
            super().sendall(*arguments)
        except BlockingIOError:
            if self.getblocking():
                raise BrokenPipeError(errno.EPIPE, "the client takes no more") from None
            raise


def _timeval(seconds: float) -> bytes:
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A threaded worker that turns an application that does not load into one clear line."""

    loaded = False

    def enqueue_req(self, conn: Any) -> None:
        """Hand a connection that has something to say to a thread."""
        if not isinstance(conn.sock, ClientSocket):
            conn.sock = ClientSocket.of(conn.sock, _CLIENT_SILENCE_SEC, _CLIENT_STALL_SEC)
        super().enqueue_req(conn)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop: streams would otherwise hold the worker until it is killed."""
        if self.loaded:  # not in the signal handler itself, whose thread may hold the locks that are needed
            threading.Thread(target=self.wsgi.extensions["canton_mcp"].stop, daemon=True).start()
        super().handle_exit(sig, frame)

    def load_wsgi(self) -> None:
        """Load the application; with hot reload, do not give up but answer 503 until it is mended."""
        if _HOT_RELOAD:
            Watcher(self.ppid).start()
        try:
            self.wsgi = self.app.wsgi()
            self.loaded = True
        except Exception as error:
            problem = _describe(error)
            if not _HOT_RELOAD:
                raise AppImportError(f"Error: the application does not load. {problem}") from error
            self.log.error("The application does not load; waiting for a change. %s", problem)
            self.wsgi = _unavailable


worker_class = Worker
workers = 1
keepalive = 30  # longer than a balancer keeps idle connections, so that the balancer closes them first
timeout = 60
graceful_timeout = 30
control_socket_disable = True  # all servers of a user would share one path


def when_ready(server: Any) -> None:
    """Give the listening socket to systemd to keep (sd_pid_notify_with_fds(3)), and take over two signals."""
    _notify("FDSTOREREMOVE=1", f"FDNAME={_STORED_NAME}")  # whatever an earlier start stored
    _notify("FDSTORE=1", f"FDNAME={_STORED_NAME}", descriptors=[sock.fileno() for sock in server.LISTENERS])
    reload, terminate = server.handle_hup, server.handle_term
    server.handle_hup = lambda: _checked_reload(server, reload)
    server.handle_term = lambda: _announced_stop(terminate)


def post_worker_init(worker: Any) -> None:
    """In the worker, when the application has loaded: start its threads and tell systemd."""
    if worker.loaded:
        worker.wsgi.extensions["canton_mcp"].start()
        _notify("READY=1", "STATUS=Serving")


def worker_exit(server: Any, worker: Any) -> None:
    """In the worker, before it ends: let queued telemetry leave."""
    if getattr(worker, "loaded", False) and worker.pid == os.getpid():
        worker.wsgi.extensions["canton_mcp"].close()


def _checked_reload(server: Any, reload: Callable[[], None]) -> None:
    """Reload only what loads: gunicorn would replace a good worker by a broken one and then give up."""
    _notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
    problem = _load_problem()
    if problem is None:
        reload()
    else:
        server.log.error("Reload refused, the running code goes on serving. %s", problem)
        _notify("READY=1", "STATUS=Serving; the last reload was refused")


def _load_problem() -> str | None:
    """What keeps the source on disk from loading, found in a process of its own."""
    command = [sys.executable, "-m", "canton_mcp.cli", "serve", "--check"]
    try:
        checked = subprocess.run(
            command, capture_output=True, text=True, timeout=_CHECK_TIMEOUT_SEC, check=False
        )
    except subprocess.TimeoutExpired:
        return f"Loading took longer than {_CHECK_TIMEOUT_SEC} s."
    if checked.returncode == 0:
        return None
    lines = checked.stderr.strip().splitlines()
    return lines[-1] if lines else f"The check ended with status {checked.returncode}."


def _announced_stop(terminate: Callable[[], None]) -> None:
    _notify("STOPPING=1")
    terminate()


def _notify(*assignments: str, descriptors: Iterable[int] = ()) -> None:
    """Send one message to the service manager, if there is one (sd_notify(3))."""
    address = os.environ.get(_NOTIFY)
    if not address:
        return
    passed = array.array("i", descriptors)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)] if passed else []
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            sender.sendmsg(["\n".join(assignments).encode()], ancillary)
    except OSError as error:
        print(f"systemd was not notified of {assignments[0]}: {error}", file=sys.stderr, flush=True)


def _snapshot() -> dict[str, tuple[int, int]]:
    """Time of change and size of every source file of this package."""
    found = {}
    for path in Path(__file__).parent.rglob("*.py"):
        with contextlib.suppress(OSError):  # gone between listing and looking
            status = path.stat()
            found[str(path)] = (status.st_mtime_ns, status.st_size)
    return found


def _describe(error: Exception) -> str:
    try:
        from canton_mcp.serving import one_line
    except Exception:  # the source is broken as far up as that
        return f"{type(error).__name__}: {error}"
    return one_line(error)


def _unavailable(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    body = json.dumps({"error": "The source does not load; see the log. Mend it, and it reloads."}).encode()
    start_response(
        "503 Service Unavailable",
        [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Retry-After", "1")],
    )
    return [body]
