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
from typing import Any, Final

from canton_mcp.dcap import message as dcap_message
from canton_mcp.dcap.failures import Failures, advice, safe_kind
from canton_mcp.dcap.message import Connector, Fields, Offer
from canton_mcp.dcap.privacy import Policy, Vocabulary, sanitise, scrub

__all__ = ["ERROR_REASONS", "SENT_TYPES", "Emitter"]

_log = logging.getLogger(__name__)

SENT_TYPES: Final = ("perf_update", "semantic_discover", "error_pattern")
ERROR_REASONS: Final = ("unresolved", "send", "oversize", "build")
"""Why a message was not sent: the target's name is unknown, the system refused it, it is too long, or a defect."""

_RESOLVED_SECONDS = 60.0
_UNRESOLVED_SECONDS = 10.0
_LOG_SECONDS = 60.0
_MAX_CALLER_READ = 4096
"""Characters of what a caller says of itself; credentials are looked for in them before they are cut."""

_Address = tuple[socket.AddressFamily, Any]


class _NotSent(Exception):
    """A message did not leave; `reason` is one of `ERROR_REASONS`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Emitter:
    """Emitter of one server process.

    Construct it anywhere; call `start` in the process that serves (after a fork), since threads and
    sockets do not survive one. Without a host, or with `enabled=False`, nothing is ever sent.

    `vocabulary` names the arguments of each tool and their enumerated values; without it no argument is told.
    `policy` says how much of them, see `privacy`. `multicast_ttl` is the number of networks that a message to a
    multicast group may cross: DCAP names none, and 1 keeps telemetry within the network it comes from.
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
        policy: Policy = "types",
        multicast_ttl: int = 1,
    ) -> None:
        self._sid = sid
        self._host = host
        self._port = port
        self._enabled = enabled
        self._default_caller = default_caller
        self._queue_size = queue_size
        self._vocabulary: Vocabulary = vocabulary or {}
        self._policy: Policy = policy
        self._multicast_ttl = multicast_ttl
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._address: _Address | None = None
        self._resolve_again_at = 0.0
        self._log_again_at = 0.0
        self._begin()

    def _begin(self) -> None:
        """What every process has for itself."""
        self._lock = threading.Lock()
        self._queue: queue.Queue[Fields | None] = queue.Queue(self._queue_size)
        self._thread = None
        self._sockets: dict[socket.AddressFamily, socket.socket] = {}
        self._boot = secrets.token_hex(4)
        self._seq = self._dropped = 0
        self._sent = dict.fromkeys(SENT_TYPES, 0)
        self._errors = dict.fromkeys(ERROR_REASONS, 0)
        self._last_error: str | None = None
        self._failures = Failures()
        self._uses: dict[str, tuple[int, int]] = {}

    @property
    def active(self) -> bool:
        """Whether messages go out at all."""
        return self._enabled and bool(self._host)

    def start(self) -> None:
        """Starts the sender thread of this process; does nothing when it runs already."""
        if not self.active:
            return
        if self._pid not in (0, os.getpid()):
            # A copy of the parent's state: a lock may be held, and its messages are the parent's to send.
            self._begin()
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
        error_type: str | None = None,
        caller: str | None = None,
    ) -> None:
        """Queues one `perf_update`; never blocks and never raises.

        A full queue drops the message and counts it. Arguments are sanitised before they are queued, so no
        content waits in memory. `error_type` is the class of a failure; when it recurs, an `error_pattern`
        follows.
        """
        if not self.active:
            return
        try:
            args = sanitise(arguments or {}, self._vocabulary.get(tool, {}), self._policy)
            said = scrub(caller[:_MAX_CALLER_READ]) if caller else self._default_caller
            # seq and queue order belong together, or a hub would see the numbers run backwards.
            with self._lock:
                self._seq += 1
                uses, succeeded = self._uses.get(tool, (0, 0))
                self._uses[tool] = (uses + 1, succeeded + success)
                self._put(
                    dcap_message.perf_update(
                        sid=self._sid,
                        tool=tool,
                        ts=int(time.time()),
                        exec_ms=exec_ms,
                        success=success,
                        seq=self._seq,
                        boot=self._boot,
                        args=args,
                        caller=said,
                        result_size=result_size,
                        error_code=error_code,
                    )
                )
                if not success:
                    self._note_failure(tool, error_code, error_type, args)
        except Exception as error:
            self._note("build", f"message not built: {type(error).__name__}")

    def discover(self, offer: Offer, connector: Connector, interval_sec: float | None = None) -> None:
        """Queues the `semantic_discover` of one tool, due again after `interval_sec`; never blocks, never raises."""
        if not self.active:
            return
        try:
            with self._lock:
                uses, succeeded = self._uses.get(offer.tool, (0, 0))
                self._put(
                    dcap_message.semantic_discover(
                        sid=self._sid,
                        ts=int(time.time()),
                        offer=offer,
                        connector=connector,
                        uses=uses,
                        succeeded=succeeded,
                        interval_sec=interval_sec,
                        boot=self._boot,
                    )
                )
        except Exception as error:
            self._note("build", f"message not built: {type(error).__name__}")

    def stats(self) -> dict[str, Any]:
        """Counters since the process started; `queued` is the number waiting now."""
        return {
            "enabled": self._enabled,
            "target": self._target() if self._host else None,
            "sent": sum(self._sent.values()),
            "sent_by_type": dict(self._sent),
            "queued": self._queue.qsize(),
            "dropped": self._dropped,
            "errors": sum(self._errors.values()),
            "errors_by_reason": dict(self._errors),
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

    def _put(self, message: Fields) -> None:
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            self._dropped += 1

    def _note_failure(
        self, tool: str, error_code: str | None, error_type: str | None, args: Mapping[str, Any]
    ) -> None:
        kind = safe_kind(error_type or error_code or "Error")
        frequency = self._failures.note(tool, kind, time.monotonic())
        if frequency is None:
            return
        known = advice(error_code)
        self._put(
            dcap_message.error_pattern(
                sid=self._sid,
                tool=tool,
                ts=int(time.time()),
                error_type=kind,
                frequency=frequency,
                trigger=known.trigger,
                mitigation=known.mitigation,
                args=args,
            )
        )

    def _work(self) -> None:
        while (message := self._queue.get()) is not None:
            try:
                self._send(message)
            except _NotSent as problem:
                self._note(problem.reason, f"{self._target()}: {problem}")
            except Exception as error:
                self._note("build", f"{self._target()}: {_reason(error)}")
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()

    def _send(self, message: Fields) -> None:
        data = dcap_message.encode(message)
        if data is None:
            tool, most = message["tool"][:64], dcap_message.HARD_LIMIT
            raise _NotSent("oversize", f"message of tool {tool} exceeds {most} bytes, not sent")
        try:
            family, address = self._resolve()
        except (OSError, UnicodeError) as error:
            raise _NotSent("unresolved", _reason(error)) from None
        try:
            self._socket(family).sendto(data, address)
        except OSError as error:
            raise _NotSent("send", _reason(error)) from None
        self._sent[message["t"]] += 1

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
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, self._multicast_ttl)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, self._multicast_ttl)
            self._sockets[family] = sock
        return self._sockets[family]

    def _note(self, reason: str, detail: str) -> None:
        self._errors[reason] += 1
        self._last_error = detail
        now = time.monotonic()
        if now >= self._log_again_at:
            self._log_again_at = now + _LOG_SECONDS
            _log.warning("DCAP message not sent (%d so far): %s", sum(self._errors.values()), detail)

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
