"""The servers that the inventory knows, so that one that never spoke is missed, too."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canton_mcp.settings import SettingsError

__all__ = ["Expected", "Watch", "read"]

_MAX_BYTES = 4 * 1024 * 1024
_REMEDY = (
    'Write a JSON list such as [{"sid": "canton-mcp-1", "name": "…", "host": "…", "port": 7284, "url": "…"}].'
)


@dataclass(frozen=True, slots=True)
class Expected:
    """One server of the inventory."""

    sid: str
    name: str = ""
    host: str = ""
    port: int | None = None
    url: str = ""
    discover_interval_sec: float | None = None
    """How often it was told to say what it can do; None when the inventory does not say."""


def read(path: str) -> list[Expected]:
    """The servers in the file `path`; none for an empty path.

    Raises:
        SettingsError: the file is missing or does not hold such a list; one line that says why.
    """
    if not path:
        return []
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ValueError(f"it is larger than {_MAX_BYTES} bytes")
        entries = json.loads(content.decode("utf-8"))
        if not isinstance(entries, list):
            raise ValueError("it holds no list")
        servers = [_server(number, entry) for number, entry in enumerate(entries, 1)]
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SettingsError(f"DCAP_HUB_SERVERS_FILE={path}: {reason}. {_REMEDY}") from None
    sids = [server.sid for server in servers]
    twice = sorted({sid for sid in sids if sids.count(sid) > 1}) if len(set(sids)) < len(sids) else []
    if twice:
        raise SettingsError(
            f"DCAP_HUB_SERVERS_FILE={path}: sid {twice[0]!r} is there twice. Give each server its own."
        )
    return servers


class Watch:
    """Reads the file again when it has changed, so that a new inventory needs no restart."""

    def __init__(self, path: str, say: Callable[[str], None]) -> None:
        self._path = path
        self._say = say
        self._seen = self._stamp()

    def changed(self) -> list[Expected] | None:
        """The new list after a change; None without one, or when the new file cannot be used (it is said)."""
        stamp = self._stamp()
        if stamp == self._seen:
            return None
        self._seen = stamp
        try:
            return read(self._path)
        except SettingsError as error:
            self._say(f"{error} The former list stays in force.")
            return None

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            status = Path(self._path).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def _server(number: int, entry: Any) -> Expected:
    if not isinstance(entry, dict):
        raise ValueError(f"entry {number} is no object")
    sid = entry.get("sid")
    if not isinstance(sid, str) or not 1 <= len(sid) <= 64 or not sid.isprintable():
        raise ValueError(f"entry {number} has no sid of 1 to 64 printable characters")
    port = entry.get("port")
    if port is not None and (not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535):
        raise ValueError(f"port of {sid} is not a number from 1 to 65535")
    interval = entry.get("discover_interval_sec")
    if interval is not None and (
        not isinstance(interval, int | float) or isinstance(interval, bool) or not 1 <= interval <= 86400
    ):
        raise ValueError(f"discover_interval_sec of {sid} is not a number from 1 to 86400")
    texts = {name: entry.get(name) or "" for name in ("name", "host", "url")}
    for name, text in texts.items():
        if not isinstance(text, str) or len(text) > 255 or not text.isprintable():
            raise ValueError(f"{name} of {sid} is no printable text of at most 255 characters")
    return Expected(sid=sid, port=port, discover_interval_sec=interval, **texts)
