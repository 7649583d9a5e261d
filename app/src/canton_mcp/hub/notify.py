"""Talking to systemd: readiness, the watchdog, and sockets that outlive a restart (sd_notify(3))."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Iterable, Mapping

__all__ = ["Systemd", "passed_sockets"]

_FIRST_PASSED_FD = 3


class Systemd:
    """The service manager, if there is one; without it nothing happens."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self.watchdog_sec = _watchdog(environ)
        """How often to call `alive`, at least; None when nobody waits for it."""

    def ready(self, status: str) -> None:
        """The hub serves."""
        self._send("READY=1", f"STATUS={status}")

    def alive(self, status: str) -> None:
        """The event loop still turns."""
        self._send("WATCHDOG=1", f"STATUS={status}")

    def stopping(self) -> None:
        """The hub is about to end."""
        self._send("STOPPING=1")

    def keep(self, name: str, sockets: Iterable[socket.socket]) -> None:
        """Give `sockets` to the manager, which passes them to the next process."""
        self._send("FDSTORE=1", f"FDNAME={name}", descriptors=[sock.fileno() for sock in sockets])

    def forget(self, name: str) -> None:
        """Take back what was kept under `name`."""
        self._send("FDSTOREREMOVE=1", f"FDNAME={name}")

    def _send(self, *assignments: str, descriptors: Iterable[int] = ()) -> None:
        if not self._address:
            return
        passed = array.array("i", descriptors)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)] if passed else []
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)  # a manager that does not read must not stop the hub
                sender.connect(address)
                sender.sendmsg(["\n".join(assignments).encode()], ancillary)
        except OSError:
            return  # it will find out by itself, and act as its unit says


def passed_sockets(environ: Mapping[str, str]) -> dict[str, list[socket.socket]]:
    """The sockets that systemd passed to this process, by name; they are the caller's to close."""
    found: dict[str, list[socket.socket]] = {}
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return found
    count = int(environ.get("LISTEN_FDS") or 0)
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    for number in range(count):
        try:
            sock = socket.socket(fileno=_FIRST_PASSED_FD + number)
        except OSError:  # not a socket
            continue
        sock.set_inheritable(False)
        found.setdefault(names[number] if number < len(names) else "", []).append(sock)
    return found


def _watchdog(environ: Mapping[str, str]) -> float | None:
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    raw = environ.get("WATCHDOG_USEC", "")
    return int(raw) / 2e6 if raw.isascii() and raw.isdigit() and int(raw) > 0 else None
