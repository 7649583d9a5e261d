"""Passing valid messages on to other hubs by UDP, unmodified, to configured addresses only."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Sequence

__all__ = ["Upstreams"]

_log = logging.getLogger(__name__)

_RESOLVE_SEC = 60.0
_COPIES = 20
_COPIES_SEC = 10.0
_MAX_REMEMBERED = 50_000


class Upstreams:
    """Sends datagrams to every configured address that is not this hub itself.

    Three guards keep a message from going in circles: an address of ours with our port is left out, what came from
    an upstream is not sent to it again, and the same bytes pass at most 20 times in ten seconds.
    """

    def __init__(self, targets: Sequence[tuple[str, int]], own_port: int) -> None:
        self.sent = 0
        self.failed = 0
        self.held_back = 0
        """Copies that the guards stopped."""
        self._targets = tuple(targets)
        self._own_port = own_port
        self._known: dict[tuple[str, int], tuple[str, int]] = {}
        self._addresses: list[tuple[str, int]] = []
        self._sockets: dict[int, socket.socket] = {}
        self._copies: dict[int, int] = {}
        self._forget_at = 0.0
        self._told: set[str] = set()
        # An address needs no looking up: it is in use from the first message on.
        for host, port in self._targets:
            with contextlib.suppress(ValueError):
                self._learn(host, port, str(ipaddress.ip_address(host)))

    def __bool__(self) -> bool:
        return bool(self._targets)

    async def keep_resolved(self) -> None:
        """Look the addresses up now and every minute; runs until it is cancelled."""
        while self._targets:
            await self.resolve()
            await asyncio.sleep(_RESOLVE_SEC)

    async def resolve(self) -> None:
        """Look the addresses up once; where that fails the old one stays in use, and no other waits for it."""
        for host, port in self._targets:
            try:
                answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            except (OSError, UnicodeError) as error:
                reason = (error.strerror if isinstance(error, OSError) else None) or error
                self._tell(f"upstream {host}:{port} cannot be resolved: {reason}")
                continue
            self._learn(host, port, str(answers[0][4][0]))

    def _learn(self, host: str, port: int, address: str) -> None:
        """Use `address` for a target from now on, unless that is this hub itself."""
        if port == self._own_port and is_own_address(address):
            self._tell(f"upstream {host}:{port} is this hub itself and is left out")
            self._known.pop((host, port), None)
        else:
            self._known[host, port] = address, port
        # Two names of one address would count each message twice there.
        self._addresses = list(dict.fromkeys(self._known.values()))

    def offer(self, data: bytes, source: str, now: float) -> None:
        """Send `data`, which came from the IP address `source`; never blocks."""
        if not self._addresses:
            return
        if self._circling(data, now):
            self.held_back += 1
            return
        for address, port in self._addresses:
            if address == source and not ipaddress.ip_address(address).is_loopback:
                self.held_back += 1
                continue
            try:
                self._socket(address).sendto(data, (address, port))
                self.sent += 1
            except OSError:
                self.failed += 1

    def close(self) -> None:
        """Close the sockets."""
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()
        self._addresses = []

    def _circling(self, data: bytes, now: float) -> bool:
        if now >= self._forget_at or len(self._copies) >= _MAX_REMEMBERED:
            self._copies.clear()
            self._forget_at = now + _COPIES_SEC
        mark = hash(data)  # salted anew in every process, so nobody can aim at a collision
        count = self._copies.get(mark, 0) + 1
        self._copies[mark] = count
        return count > _COPIES

    def _socket(self, address: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if family not in self._sockets:
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.setblocking(False)
            self._sockets[family] = sock
        return self._sockets[family]

    def _tell(self, problem: str) -> None:
        if problem not in self._told:
            self._told.add(problem)
            _log.warning("%s", problem)


def is_own_address(address: str) -> bool:
    """Whether this machine has `address`: only then a socket can be bound to it."""
    with contextlib.closing(
        socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    ) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
