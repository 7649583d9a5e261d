"""A clock that was ahead and is set back, under a running hub and between two."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from canton_mcp.hub.run import Hub
from canton_mcp.hub.settings import HubSettings
from hubs import discover, encoded, free_ports, perf_update
from test_store import NOW, call, rows
from test_store import Hub as Stored

HOUR = 3600.0


def with_hub(directory: Path, use: Callable[[Hub], Awaitable[None]]) -> None:
    port, udp_port = free_ports()
    settings = HubSettings(port=port, udp_bind="127.0.0.1", udp_port=udp_port, state_dir=str(directory))

    async def work() -> None:
        hub = Hub(settings, {})
        await hub.start()
        try:
            await use(hub)
        finally:
            await hub.stop()

    asyncio.run(work())


def was_ahead(hub: Hub, seconds: float) -> None:
    """What a hub has seen whose clock was ahead until a moment ago."""
    hub._clock += seconds


def states(told: dict[str, Any]) -> dict[str, str]:
    return {server["sid"]: server["state"] for server in told["servers"]}


def test_a_clock_that_is_set_back_silences_nobody(tmp_path: Path) -> None:
    async def use(hub: Hub) -> None:
        ahead = time.time() + HOUR
        for number in range(30):
            hub._take(encoded(perf_update("canton-mcp-1", "t", exec_ms=number)), "127.0.0.1", ahead + number)
        hub._take(b"rubbish", "127.0.0.1", ahead)
        assert hub._report(ahead + 30, "5m")["fleet"]["calls"] == 30
        was_ahead(hub, HOUR)
        hub._tick()
        for _ in range(5):
            hub._take(encoded(perf_update("canton-mcp-1", "t")), "127.0.0.1", time.time())
        hub._take(encoded(discover("canton-mcp-1", "t")), "127.0.0.1", time.time())
        now = time.time()
        told = hub._report(now, "5m")
        assert told["at"] == pytest.approx(now, abs=10)
        assert states(told) == {"canton-mcp-1": "up"}
        assert told["servers"][0]["age_seconds"] < 10
        assert told["fleet"]["calls"] == 5
        assert not [line for line in told["headlines"] if line["severity"] != "info"]
        # No datagram is forgotten, and who joins gets what this collector knows.
        assert (told["quality"]["received"], told["quality"]["rejected"]["not_json"]) == (37, 1)
        assert len(list(hub.relay._replay())) == 1
        assert hub._history(2, frozenset(), frozenset()).get("problem") is None

    with_hub(tmp_path, use)


def test_small_corrections_change_nothing(tmp_path: Path) -> None:
    async def use(hub: Hub) -> None:
        before = hub.collector
        was_ahead(hub, 20)
        hub._tick()
        assert hub.collector is before
        # Many of them are one large one.
        was_ahead(hub, 20)
        hub._tick()
        assert hub.collector is not before

    with_hub(tmp_path, use)


def test_time_that_comes_twice_is_in_the_history_twice(tmp_path: Path) -> None:
    first = Stored(tmp_path, NOW)
    for minute in range(20):
        first.collector.receive(call(ms=minute), "127.0.0.1", NOW + minute * 60)
    first.store.close(first.collector, NOW + 19 * 60)
    # It was ten minutes less.
    back = NOW + 9 * 60 + 30
    second = Stored(tmp_path, back)
    server = second.collector.servers["canton-mcp-1"]
    assert server.last_seen == server.last_call == back
    for minute in range(10):
        second.collector.receive(call(ms=minute), "127.0.0.1", back + minute * 60)
    end = back + 11 * 60
    second.save(end)
    second.store.close(second.collector, end)
    sums = dict(
        rows(tmp_path, "SELECT step, sum(calls) FROM calls WHERE sid = '' AND tool = '' GROUP BY step")
    )
    assert sums[3600] == sums[86400] == 30
    # Minutes that came again hold what came then.
    assert rows(tmp_path, f"SELECT max(calls) FROM calls WHERE step = 60 AND start >= {NOW + 600:.0f}") == [
        (1,)
    ]
