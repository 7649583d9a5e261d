"""One computation of the report a second for everybody who asks with the same filter."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from canton_mcp.hub.relay import Client, Clients, text_frame
from canton_mcp.hub.statistics import WINDOWS

__all__ = ["BadFilter", "Filter", "Pushes", "Reports", "read_filter"]

_log = logging.getLogger(__name__)

Compute = Callable[[float, str, frozenset[str], frozenset[str]], dict[str, Any]]
"""Takes Unix time, window, sids and tools."""

_FRESH_SEC = 1.0
_MAX_KEPT = 64
_MAX_NAMES = 200
_MAX_NAME = 128


class BadFilter(ValueError):
    """A filter cannot be used; the text names value, reason and remedy."""


class Filter(NamedTuple):
    """What a report is about; empty sets stand for all."""

    window: str = "5m"
    sids: frozenset[str] = frozenset()
    tools: frozenset[str] = frozenset()


def read_filter(given: Mapping[str, Any]) -> Filter:
    """The filter in ``{"window", "sid", "tool"}``, names as a comma-separated text or a list.

    Raises:
        BadFilter: a value cannot be used.
    """
    window = given.get("window") or "5m"
    if not isinstance(window, str) or window not in WINDOWS:
        raise BadFilter(f"window is {str(window)[:20]!r}. Use one of {', '.join(WINDOWS)}.")
    return Filter(window, _names(given, "sid"), _names(given, "tool"))


class Reports:
    """Computes reports in the event loop, takes at most half of its time, and keeps each for a second."""

    def __init__(self, compute: Compute) -> None:
        self.computed = 0
        self.last_seconds = 0.0
        self._compute = compute
        self._kept: OrderedDict[Filter, tuple[float, bytes]] = OrderedDict()
        self._turn = asyncio.Lock()

    async def get(self, chosen: Filter, at_most: float = _FRESH_SEC) -> bytes:
        """The report as JSON (ASCII), at most so many seconds old."""
        if (kept := self._fresh(chosen, at_most)) is not None:
            return kept
        async with self._turn:
            if (kept := self._fresh(chosen, at_most)) is not None:  # computed while we waited
                return kept
            begun = time.perf_counter()
            report = self._compute(time.time(), chosen.window, chosen.sids, chosen.tools)
            data = json.dumps(report, separators=(",", ":"), allow_nan=False).encode("ascii")
            self.last_seconds = time.perf_counter() - begun
            self.computed += 1
            self._kept[chosen] = (time.monotonic(), data)
            self._kept.move_to_end(chosen)
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
            await asyncio.sleep(self.last_seconds)  # the next computation waits, receiving does not
            return data

    def _fresh(self, chosen: Filter, at_most: float) -> bytes | None:
        at, data = self._kept.get(chosen, (0.0, b""))
        return data if data and time.monotonic() - at < at_most else None


class Pushes:
    """Sends every client of ``/ws/stats`` its report once a second."""

    def __init__(self, clients: Clients, reports: Reports) -> None:
        self._clients = clients
        self._reports = reports
        self._members: dict[Client, Filter] = {}
        self._last: dict[Client, bytes] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: set[Client] = set()
        """Clients whose first report, or first one with a new filter, is on its way."""
        self._told = ""

    def join(self, client: Client, chosen: Filter) -> None:
        """Add a client, or change its filter; it gets a report at once."""
        self._members[client] = chosen
        if client in self._waiting:
            return  # its turn comes, and then the newest filter counts
        self._waiting.add(client)
        task = asyncio.create_task(self._first(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def leave(self, client: Client) -> None:
        """Remove a client; unknown ones are ignored."""
        self._members.pop(client, None)
        self._last.pop(client, None)

    async def run(self) -> None:
        """Push until cancelled. With many different filters a round takes longer than a second."""
        while True:
            begun = time.monotonic()
            for chosen in set(self._members.values()):
                await self._push(chosen, _FRESH_SEC / 2)
            await asyncio.sleep(max(0.05, begun + _FRESH_SEC - time.monotonic()))

    async def _first(self, client: Client) -> None:
        served: Filter | None = None
        while (chosen := self._members.get(client)) is not None and chosen != served:
            served = chosen
            await self._push(chosen)
        self._waiting.discard(client)

    async def _push(self, chosen: Filter, at_most: float = _FRESH_SEC) -> None:
        try:
            self._send(chosen, await self._reports.get(chosen, at_most))
        except Exception as error:
            if (text := repr(error)) != self._told:
                self._told = text
                _log.exception("the report failed, and will be tried again")

    def _send(self, chosen: Filter, report: bytes) -> None:
        # Who has not taken the last report needs no further one now, but the newest one later.
        ready = [
            client
            for client, own in self._members.items()
            if own == chosen and not client.behind and self._last.get(client) is not report
        ]
        self._last.update(dict.fromkeys(ready, report))
        self._clients.send(ready, text_frame(report), 1)


def _names(given: Mapping[str, Any], key: str) -> frozenset[str]:
    value = given.get(key) or ()
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not all(isinstance(name, str) for name in listed):
        raise BadFilter(f"{key} is no list of names. Use for example {key}=a,b.")
    names = frozenset(name.strip() for name in listed) - {""}
    if len(names) > _MAX_NAMES or any(len(name) > _MAX_NAME for name in names):
        raise BadFilter(
            f"{key} has too many or too long names. Use at most {_MAX_NAMES} of {_MAX_NAME} characters."
        )
    return names
