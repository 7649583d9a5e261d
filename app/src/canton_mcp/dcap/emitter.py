"""Sends DCAP messages from a bounded queue, so that telemetry never delays a tool call."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import queue
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

from canton_mcp.dcap import message as dcap_message
from canton_mcp.dcap.message import Vocabulary

_log = logging.getLogger(__name__)

_RESOLVED_SECONDS = 60.0
_UNRESOLVED_SECONDS = 10.0
_LOG_SECONDS = 60.0
_MULTICAST_TTL = 2
"""Hops; DCAP names none, this is what deployed emitters use."""

_Address = tuple[socket.AddressFamily, Any]


class Emitter:
    """Emitter of one server process.

    Construct it anywhere; call `start` in the process that serves (after a fork), since threads and
    sockets do not survive one. Without a host, or with `enabled=False`, nothing is ever sent.

    `vocabulary` names the arguments of each tool and their enumerated values; only those names and
    values are told as they are. It is optional: without it no text value leaves at all.
    """

    def __init__(
        self,
        sid: str,
        host: str,
        port: int,
        enabled: bool = True,
        default_caller: str = "",
        queue_size: int = 1000,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self._sid = sid
        self._host = host
        self._port = port
        self._enabled = enabled
        self._default_caller = default_caller
        self._queue_size = queue_size
        self._vocabulary = vocabulary
        self._lock = threading.Lock()
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(queue_size)
        self._thread: threading.Thread | None = None
        self._sockets: dict[socket.AddressFamily, socket.socket] = {}
        self._pid = 0
        self._boot = secrets.token_hex(4)
        self._seq = 0
        self._sent = self._dropped = self._errors = 0
        self._last_error: str | None = None
        self._address: _Address | None = None
        self._resolve_again_at = 0.0
        self._log_again_at = 0.0

    @property
    def active(self) -> bool:
        """Whether messages go out at all."""
        return self._enabled and bool(self._host)

    def start(self) -> None:
        """Starts the sender thread of this process; does nothing when it runs already."""
        if not self.active:
            return
        if self._pid not in (0, os.getpid()):
            self._forget_parent()
        with self._lock:
            self._pid = os.getpid()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="dcap-emitter", daemon=True)
                self._thread.start()

    def perf_update(
        self,
        tool: str,
        exec_ms: float,
        success: bool,
        *,
        arguments: Mapping[str, Any] | None = None,
        result_size: int | None = None,
        error_code: str | None = None,
        caller: str | None = None,
    ) -> None:
        """Queues one `perf_update`; never blocks and never raises.

        A full queue drops the message and counts it. Arguments are reduced to their shapes before they
        are queued, so no content waits in memory.
        """
        if not self.active:
            return
        try:
            known = self._vocabulary.get(tool, {}) if self._vocabulary is not None else None
            args = dcap_message.shapes(arguments, known) if arguments else None
            # seq and queue order belong together, or a hub would see the numbers run backwards.
            with self._lock:
                self._seq += 1
                message = dcap_message.perf_update(
                    sid=self._sid,
                    tool=tool,
                    ts=int(time.time()),
                    exec_ms=exec_ms,
                    success=success,
                    seq=self._seq,
                    boot=self._boot,
                    args=args,
                    caller=caller or self._default_caller,
                    result_size=result_size,
                    error_code=error_code,
                )
                try:
                    self._queue.put_nowait(message)
                except queue.Full:
                    self._dropped += 1
        except Exception as error:
            self._note(f"message not built: {type(error).__name__}")

    def stats(self) -> dict[str, Any]:
        """Counters since the process started; `queued` is the number waiting now."""
        return {
            "enabled": self._enabled,
            "target": self._target() if self._host else None,
            "sent": self._sent,
            "queued": self._queue.qsize(),
            "dropped": self._dropped,
            "errors": self._errors,
            "last_error": self._last_error,
        }

    def close(self, timeout: float = 2.0) -> None:
        """Sends what is queued, then ends the thread; gives up after `timeout` seconds."""
        thread = self._thread
        if thread is None or self._pid != os.getpid():
            return
        deadline = time.monotonic() + timeout
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=timeout)
        thread.join(max(0.0, deadline - time.monotonic()))
        if not thread.is_alive():
            self._thread = None

    def _forget_parent(self) -> None:
        # The copy of the parent's state: a lock may be held, and its messages are the parent's to send.
        self._lock = threading.Lock()
        self._queue = queue.Queue(self._queue_size)
        self._thread = None
        self._sockets = {}
        self._boot = secrets.token_hex(4)
        self._seq = self._sent = self._dropped = self._errors = 0
        self._last_error = None

    def _work(self) -> None:
        while (message := self._queue.get()) is not None:
            try:
                self._send(message)
            except Exception as error:
                self._note(f"{self._target()}: {_reason(error)}")
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()

    def _send(self, message: dict[str, Any]) -> None:
        data = dcap_message.encode(message)
        if data is None:
            self._note(
                f"message of tool {message['tool'][:64]} exceeds {dcap_message.HARD_LIMIT} bytes, not sent"
            )
            return
        family, address = self._resolve()
        self._socket(family).sendto(data, address)
        self._sent += 1

    def _resolve(self) -> _Address:
        now = time.monotonic()
        if now >= self._resolve_again_at:
            try:
                self._address = _lookup(self._host, self._port)
            except (OSError, UnicodeError):
                # A name that stopped resolving may come back; the last known address is the best guess.
                self._resolve_again_at = time.monotonic() + _UNRESOLVED_SECONDS
                if self._address is None:
                    raise
            else:
                self._resolve_again_at = time.monotonic() + _RESOLVED_SECONDS
        if self._address is None:
            raise OSError("name does not resolve")
        return self._address

    def _socket(self, family: socket.AddressFamily) -> socket.socket:
        if family not in self._sockets:
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.settimeout(1.0)
            if family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, _MULTICAST_TTL)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _MULTICAST_TTL)
            self._sockets[family] = sock
        return self._sockets[family]

    def _note(self, reason: str) -> None:
        self._errors += 1
        self._last_error = reason
        now = time.monotonic()
        if now >= self._log_again_at:
            self._log_again_at = now + _LOG_SECONDS
            _log.warning("DCAP message not sent (%d so far): %s", self._errors, reason)

    def _target(self) -> str:
        host = f"[{self._host}]" if _is_ipv6(self._host) else self._host
        return f"{host}:{self._port}"


def _lookup(host: str, port: int) -> _Address:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    # IPv4 first: collectors listen there, and it holds the larger datagram.
    best = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return best[0], best[4]


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
