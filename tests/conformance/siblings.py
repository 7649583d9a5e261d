"""News between the servers of one test fleet: what one announces, all of them hear."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path

__all__ = ["Siblings"]

_LONGEST = 64


class Siblings:
    """The servers that have a datagram socket in the same directory, this one included."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        address = directory / f"{name}.sock"
        address.unlink(missing_ok=True)  # of a worker that was replaced
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(address))

    def announce(self, word: str) -> None:
        """Tell all of them; one that has gone does not matter."""
        for address in self._directory.glob("*.sock"):
            with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):
                self._socket.sendto(word.encode(), str(address))

    def listen(self, heard: Callable[[str], None]) -> None:
        """Call `heard` with every word announced from now on, in a thread of its own."""
        threading.Thread(target=self._listen, args=(heard,), name="siblings", daemon=True).start()

    def _listen(self, heard: Callable[[str], None]) -> None:
        while True:
            heard(self._socket.recv(_LONGEST).decode())
