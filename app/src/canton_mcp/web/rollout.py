"""Tells clients that a rollout is over, so that they fetch the lists of tools, resources and prompts again.

Lists change with the release, and while a release rolls out two neighbours may answer differently. Whoever
rolls it out writes a file on each node when the last server runs it; every server of the node then tells its
own streams, so all streams of the fleet hear of it although no server knows another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["RolloutWatch"]

_INTERVAL_SEC: Final = 1.0


class RolloutWatch(threading.Thread):
    """Calls `announce` whenever the file that tells of the last finished rollout appears or changes."""

    def __init__(self, file: str, announce: Callable[[], None]) -> None:
        super().__init__(name="rollout-watch", daemon=True)
        self._file = Path(file)
        self._announce = announce
        self._stopping = threading.Event()
        self._seen = self._read()

    def run(self) -> None:
        """Look every second until `stop`."""
        while not self._stopping.wait(_INTERVAL_SEC):
            found = self._read()
            if found is not None and found != self._seen:
                self._announce()
            self._seen = found

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    def _read(self) -> bytes | None:
        try:
            return self._file.read_bytes()
        except OSError:
            return None
