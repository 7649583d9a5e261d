"""Announces a server's tools at its start and again and again, from one process of the server only."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import random
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from canton_mcp.dcap.emitter import Emitter
from canton_mcp.dcap.message import Connector, Offer

__all__ = ["Announcer"]

_log = logging.getLogger(__name__)

_JITTER: Final = 0.1
"""Servers that start together must not speak together for ever."""
_SPACING_SEC: Final = (0.02, 0.05)
"""Between the messages of a round, so that a round overruns nobody's receive buffer."""
_TURN_SEC: Final = 0.5


class Announcer(threading.Thread):
    """Queues a `semantic_discover` for every tool at the start and every `interval_sec`, a tenth more or less.

    While a server reloads, its old and its new process run side by side; with several workers they always do.
    The one that holds `lock` speaks, and the others wait for their turn. A lock that cannot be had at all, for
    instance in a directory that is not writable, keeps nobody quiet.
    """

    def __init__(
        self,
        emitter: Emitter,
        offers: Sequence[Offer],
        connector: Connector,
        interval_sec: float,
        lock: Path | None = None,
    ) -> None:
        super().__init__(name="dcap-announcer", daemon=True)
        self._emitter = emitter
        self._offers = tuple(offers)
        self._connector = connector
        self._interval_sec = interval_sec
        self._lock = lock
        self._random = random.Random()
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start, if the emitter sends anything at all."""
        if self._emitter.active and self._offers:
            super().start()

    def run(self) -> None:
        """Announce until `stop`."""
        self._random.seed()  # not the same as in a process that this one was forked from
        with contextlib.ExitStack() as held:
            if self._lock is not None and not self._wait_for_turn(self._lock, held):
                return
            while not self._stopping.is_set():
                self._round()
                self._stopping.wait(self._interval_sec * self._random.uniform(1 - _JITTER, 1 + _JITTER))

    def stop(self) -> None:
        """Announce no more; another process may."""
        self._stopping.set()

    def _round(self) -> None:
        for offer in self._offers:
            self._emitter.discover(offer, self._connector, self._interval_sec)
            if self._stopping.wait(self._random.uniform(*_SPACING_SEC)):
                return

    def _wait_for_turn(self, path: Path, held: contextlib.ExitStack) -> bool:
        """Wait until this process is the one that speaks; False when `stop` came first."""
        try:
            descriptor = _open(path)
        except OSError as error:
            _log.debug("%s cannot be locked: %s", path, error)
            return True
        held.callback(os.close, descriptor)
        while not self._stopping.is_set():
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._stopping.wait(_TURN_SEC)
            except OSError:
                return True
            else:
                return True
        return False


def _open(path: Path) -> int:
    """The lock file; refuses one that somebody else has put there.

    Raises:
        OSError: it cannot be had.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    if os.fstat(descriptor).st_uid != os.geteuid():
        os.close(descriptor)
        raise PermissionError(f"{path} belongs to another user")
    return descriptor
