"""UDP intake: the sockets, their buffers, and reading them without holding up the event loop.

All numbers here are the kernel's and the socket's own: what was received, and what the kernel threw away before
anyone could read it. With the collector's counts they account for every datagram that reached this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Handle", "Intake", "IntakeError", "kept_name", "kernel_drops", "open_sockets", "with_scope"]

Handle = Callable[[bytes, str, float], None]
"""Takes one datagram, the sender's IP address, and the time of receipt (Unix seconds)."""

_log = logging.getLogger(__name__)

WANTED_BUFFER = 4 * 1024 * 1024
"""Bytes; about 3,000 datagrams of 450 bytes, as the kernel counts them."""
_MAX_DATAGRAM = 65_535
_PER_TURN = 128
"""Datagrams read before the loop may serve others: 4 ms at 30 us each."""
_DRAIN_AT_END = 100_000
_LOG_SEC = 60.0
_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_MEMINFO_DROPS = 8  # the ninth of its 32-bit words
_MAPPED = "::ffff:"


class IntakeError(Exception):
    """UDP cannot be received; the text names value, reason and remedy in one line."""


def kept_name(group: str) -> str:
    """What the sockets are called while systemd keeps them; others are of no use for another group."""
    return f"dcap-{group.replace(':', '_')}" if group else "dcap"


def open_sockets(
    bind: str, port: int, group: str = "", kept: Iterable[socket.socket] = ()
) -> list[socket.socket]:
    """Non-blocking sockets for the address, and for the multicast `group` if there is one.

    ``::`` receives IPv4 as well. A group needs a socket of its own unless the first takes any address. Sockets of
    an earlier process in `kept` are used again where their address fits, with what has come meanwhile.

    Raises:
        IntakeError: an address cannot be bound, or the group cannot be joined.
    """
    opened: list[socket.socket] = []
    waiting = _usable(kept, {(bind, port), (group, port)})
    try:
        opened.append(waiting.get((bind, port)) or _bound(bind, port))
        if group:
            port = int(opened[0].getsockname()[1])
            takes = bind == "::" or (bind == "0.0.0.0" and ":" not in group)
            if not takes:
                opened.append(waiting.get((group, port)) or _bound(group, port))
            _join(opened[-1], group)
    except BaseException:
        for sock in opened:
            sock.close()
        raise
    return opened


def with_scope(address: str, port: int) -> Any:
    """What to bind to; a mere pair would lose the interface of ``fe80::1%eth0``.

    Raises:
        OSError: there is no such interface.
    """
    return socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0][4]


def granted_buffer(sock: socket.socket) -> int:
    """Bytes of the receive buffer that the kernel granted; it reports twice that, for its bookkeeping."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def kernel_drops(sock: socket.socket) -> int | None:
    """Datagrams for `sock` that the kernel dropped since it was opened; None when it does not tell."""
    try:
        words = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 64)
        return int(struct.unpack_from("=I", words, 4 * _MEMINFO_DROPS)[0])
    except (OSError, struct.error):
        return _drops_listed(os.fstat(sock.fileno()).st_ino, sock.family)


class Intake:
    """Reads datagrams in the event loop, a bounded number at a turn, and hands each to `handle`."""

    def __init__(self, sockets: Sequence[socket.socket], handle: Handle) -> None:
        self.received = 0
        self.faults = 0
        """Datagrams on which `handle` failed: a mistake of ours, counted and logged."""
        self._sockets = list(sockets)
        self._handle = handle
        self._buffer = memoryview(bytearray(_MAX_DATAGRAM))
        # A socket of an earlier process brings its past along, which is not ours to count.
        self._seen_drops = [kernel_drops(sock) or 0 for sock in self._sockets]
        self._drops = 0
        self._log_again_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def buffer_bytes(self) -> int:
        """The smallest receive buffer granted."""
        return min(map(granted_buffer, self._sockets))

    def start(self) -> None:
        """Begin to read; call it in the event loop."""
        self._loop = asyncio.get_running_loop()
        for sock in self._sockets:
            self._loop.add_reader(sock, self._turn, sock)

    def drops(self) -> int:
        """Datagrams that the kernel dropped so far, over all sockets."""
        for index, sock in enumerate(self._sockets):
            if (now := kernel_drops(sock)) is not None:
                # The kernel's counter has 32 bits.
                self._drops += (now - self._seen_drops[index]) % 2**32
                self._seen_drops[index] = now
        return self._drops

    def close(self) -> None:
        """Read what has arrived, then stop."""
        for sock in self._sockets:
            if self._loop is not None:
                self._loop.remove_reader(sock)
                self._read(sock, _DRAIN_AT_END)
        self.drops()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    def _turn(self, sock: socket.socket) -> None:
        self._read(sock, _PER_TURN)

    def _read(self, sock: socket.socket, most: int) -> None:
        buffer, handle, receive = self._buffer, self._handle, sock.recvfrom_into
        now = time.time()
        for _ in range(most):
            try:
                size, source = receive(buffer)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # such as a pending ICMP error: it belongs to no datagram
                self._complain("reading from the UDP socket failed: %s", error)
                return
            self.received += 1
            address = source[0]
            if address.startswith(_MAPPED):
                address = address[len(_MAPPED) :]
            try:
                handle(bytes(buffer[:size]), address, now)
            except Exception as error:
                self.faults += 1
                self._complain("a datagram from %s was counted but not evaluated: %r", address, error)

    def _complain(self, text: str, *details: object) -> None:
        if (now := time.monotonic()) >= self._log_again_at:
            self._log_again_at = now + _LOG_SEC
            _log.error(text, *details)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _bound(address: str, port: int) -> socket.socket:
    sock = socket.socket(_family(address), socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        _enlarge_buffer(sock)
        if sock.family == socket.AF_INET6:
            only = 0 if ipaddress.ip_address(address).is_unspecified else 1
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        # Without SO_REUSEADDR a second hub on this port fails, instead of taking half of the messages unseen.
        sock.bind(with_scope(address, port))
    except OSError as error:
        sock.close()
        raise IntakeError(_why_not(error, address, port)) from None
    return sock


def _usable(
    kept: Iterable[socket.socket], wanted: set[tuple[str, int]]
) -> dict[tuple[str, int], socket.socket]:
    """The UDP sockets in `kept` by their address, if it is wanted; all others are closed."""
    usable: dict[tuple[str, int], socket.socket] = {}
    for sock in kept:
        name = sock.getsockname()
        at = (str(name[0]), int(name[1])) if isinstance(name, tuple) else ("", 0)
        if sock.type == socket.SOCK_DGRAM and at in wanted and at not in usable:
            sock.setblocking(False)
            _enlarge_buffer(sock)
            usable[at] = sock
        else:
            sock.close()
    return usable


def _enlarge_buffer(sock: socket.socket) -> None:
    for option in (_SO_RCVBUFFORCE, socket.SO_RCVBUF):  # the first one needs CAP_NET_ADMIN
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, option, WANTED_BUFFER)
            if granted_buffer(sock) >= WANTED_BUFFER:
                return


def _join(sock: socket.socket, group: str) -> None:
    """Join `group` on every interface that can: a hub listens to all of its networks."""
    packed = ipaddress.ip_address(group).packed
    joined, reason = 0, "there is no interface"
    for index, name in socket.if_nameindex():
        try:
            if ":" not in group:  # also for a socket of version 6 that takes version 4
                member = struct.pack("@4s4si", packed, bytes(4), index)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            else:
                member = packed + struct.pack("@I", index)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
            joined += 1
        except OSError as error:
            joined += error.errno == errno.EADDRINUSE  # by the process that had this socket before
            reason = f"{name}: {error.strerror}"
    if not joined:
        raise IntakeError(
            f"DCAP_HUB_MULTICAST_GROUP={group}: cannot be joined on any interface ({reason}). "
            "Enable multicast on one: ip link set dev NAME multicast on. Or remove the setting."
        )


def _why_not(error: OSError, address: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"UDP port {port} on {address} is taken by another process. "
            f"See which with: ss -lnup 'sport = :{port}'. Stop it, or set another DCAP_HUB_UDP_PORT."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address} is no address of this machine (UDP port {port}). Set DCAP_HUB_UDP_BIND=0.0.0.0 or one that is."
    if error.errno == errno.EACCES:
        return f"UDP port {port} on {address} needs privileges. Set DCAP_HUB_UDP_PORT to 1024 or more."
    reason = error.strerror or str(error)
    return f"UDP port {port} on {address} cannot be opened: {reason}. Check DCAP_HUB_UDP_BIND and DCAP_HUB_UDP_PORT."


def _drops_listed(inode: int, family: int) -> int | None:
    """The drops that the kernel's table of UDP sockets has for `inode`."""
    table = Path("/proc/self/net", "udp6" if family == socket.AF_INET6 else "udp")
    try:
        for line in table.read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if int(fields[9]) == inode:
                return int(fields[-1])
    except (OSError, ValueError, IndexError):
        pass
    return None
