"""The live tail: the last messages, and those that come, in a form that is safe to show."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from canton_mcp.dcap.message import clean_text
from canton_mcp.dcap.reading import Message, Rejected
from canton_mcp.hub.relay import Client, Clients, text_frame

__all__ = ["KEPT", "Tail", "TailFilter"]

KEPT = 500
FIRST_LINES = 50
LINES_PER_SEC = 100
"""Nobody reads faster; more would only keep browsers busy. The rest is told as a number."""
_MAX_TEXT = 512
_MAX_ITEMS = 64
_MAX_DEPTH = 6
_HIDDEN = "hidden"


class TailFilter(NamedTuple):
    """Which messages a client wants to see; empty sets stand for all."""

    sids: frozenset[str] = frozenset()
    tools: frozenset[str] = frozenset()
    args: bool = False

    def takes(self, content: Message | Rejected) -> bool:
        """Whether a message passes; rejected datagrams have no sid and pass only without a filter."""
        if isinstance(content, Rejected):
            return not self.sids and not self.tools
        return (not self.sids or content.sender in self.sids) and (
            not self.tools or content.fields.get("tool") in self.tools
        )


Entry = tuple[float, str, int, Message | Rejected]
"""Time of receipt (Unix), the sender's address, bytes, and what it said."""


class _Watcher:
    """A client of the tail and the lines that it may still get in this second."""

    __slots__ = ("chosen", "left", "skipped")

    def __init__(self, chosen: TailFilter) -> None:
        self.chosen = chosen
        self.left = LINES_PER_SEC
        self.skipped = 0


class Tail:
    """Keeps the last 500 datagrams and sends new ones to the clients of ``/ws/tail``."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._kept: deque[Entry] = deque(maxlen=KEPT)
        self._watchers: dict[Client, _Watcher] = {}

    def add(self, at: float, source: str, size: int, content: Message | Rejected) -> None:
        """Take note of one datagram."""
        entry = (at, source, size, content)
        self._kept.append(entry)
        for client, watcher in self._watchers.items():
            if not watcher.chosen.takes(content):
                continue
            if watcher.left > 0:
                watcher.left -= 1
                self._clients.send((client,), text_frame(_line(entry, watcher.chosen.args)), 1)
            else:
                watcher.skipped += 1

    def last(self, count: int, chosen: TailFilter) -> list[dict[str, Any]]:
        """The last `count` datagrams that pass, oldest first."""
        return [_shown(entry, chosen.args) for entry in reversed(list(self._newest(count, chosen)))]

    def join(self, client: Client, chosen: TailFilter) -> None:
        """Add a client; it first gets the last 50 lines."""
        entries = reversed(list(self._newest(FIRST_LINES, chosen)))
        first = [text_frame(_line(entry, chosen.args)) for entry in entries]
        if first:
            self._clients.send((client,), b"".join(first), len(first))
        self._watchers[client] = _Watcher(chosen)

    def choose(self, client: Client, chosen: TailFilter) -> None:
        """Change what a client gets from now on."""
        if client in self._watchers:
            self._watchers[client].chosen = chosen

    def leave(self, client: Client) -> None:
        """Remove a client; unknown ones are ignored."""
        self._watchers.pop(client, None)

    def tick(self) -> None:
        """Tell who missed lines in the last second, and allow the next ones. Call it once a second."""
        for client, watcher in self._watchers.items():
            if watcher.skipped:
                self._clients.send((client,), text_frame(b'{"skipped":%d}' % watcher.skipped), 1)
            watcher.left, watcher.skipped = LINES_PER_SEC, 0

    def _newest(self, count: int, chosen: TailFilter) -> Iterator[Entry]:
        for entry in reversed(self._kept):
            if count <= 0:
                return
            if chosen.takes(entry[3]):
                count -= 1
                yield entry


def _line(entry: Entry, args: bool) -> bytes:
    return json.dumps(_shown(entry, args), separators=(",", ":")).encode("ascii")


def _shown(entry: Entry, args: bool) -> dict[str, Any]:
    at, source, size, content = entry
    line: dict[str, Any] = {"at": round(at, 3), "source": source, "size": size}
    if isinstance(content, Rejected):
        line["rejected"] = {"reason": content.reason, "detail": clean_text(content.detail, _MAX_TEXT)}
    else:
        line["message"] = scrubbed(content.fields if args else _without_args(content.fields))
        if content.flags:
            line["flags"] = list(content.flags)
    return line


def _without_args(fields: dict[str, Any]) -> dict[str, Any]:
    shown = dict(fields)
    if "sample_args" in shown:
        shown["sample_args"] = _HIDDEN
    ctx = shown.get("ctx")
    if isinstance(ctx, dict) and "args" in ctx:
        shown["ctx"] = {**ctx, "args": _HIDDEN}
    return shown


def scrubbed(value: Any, depth: int = 0) -> Any:
    """`value` from the wire with its texts free of control characters, and no deeper or longer than people read."""
    match value:
        case str():
            return clean_text(value, _MAX_TEXT)
        case dict():
            if depth >= _MAX_DEPTH:
                return "…"
            return {
                clean_text(str(name), _MAX_TEXT): scrubbed(item, depth + 1)
                for name, item in list(value.items())[:_MAX_ITEMS]
            }
        case list():
            return "…" if depth >= _MAX_DEPTH else [scrubbed(item, depth + 1) for item in value[:_MAX_ITEMS]]
        case int() if not isinstance(value, bool) and abs(value) >= 2**63:
            return "…"  # printing a number of a thousand digits takes long, and shows nothing
        case _:
            return value
