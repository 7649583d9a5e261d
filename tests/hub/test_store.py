"""The hub's history: what is committed survives, what is old goes, and a bad disk stops nothing."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from canton_mcp.hub.collector import Collector
from canton_mcp.hub.report import report
from canton_mcp.hub.settings import HubSettings
from canton_mcp.hub.store import FILE_NAME, Store

NOW = 1_800_000_000.0 // 86400 * 86400 + 43_200.0
"""Noon, so that hours and days are where one expects them."""


def call(sid: str = "canton-mcp-1", tool: str = "t", ms: float = 5, ok: bool = True, **more: Any) -> bytes:
    message = {"v": 2, "t": "perf_update", "ts": 1, "sid": sid, "tool": tool, "exec_ms": ms, "success": ok}
    return json.dumps(message | more).encode()


DISCOVER = json.dumps(
    {"v": 2, "t": "semantic_discover", "ts": 1, "sid": "canton-mcp-1", "tool": "t", "does": "é", "when": []}
    | {"connects_to": "http://192.0.2.1:7284/mcp"}
).encode()


class Hub:
    """A collector and its store, as the hub's process joins them."""

    def __init__(self, directory: Path, now: float, **options: Any) -> None:
        self.said: list[str] = []
        settings = HubSettings(state_dir=str(directory), trusted_rate=100_000_000, **options)
        self.collector = Collector(settings, (), now)
        self.store = Store.open(settings, self.said.append)
        self.store.restore(self.collector, now)

    def calls(self, now: float, window: str = "24h") -> int:
        calls = report(self.collector, now, window)["fleet"]["calls"]
        assert isinstance(calls, int)
        return calls

    def save(self, now: float) -> None:
        """Saves, and waits until it is committed or has failed."""
        failed = self.store.problem
        self.store.save(self.collector, now)
        until(lambda: self.store.state()["committed_until"] == int(now) or self.store.problem != failed)


def until(reached: Callable[[], Any], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def rows(directory: Path, query: str) -> list[Any]:
    database = sqlite3.connect(directory / FILE_NAME)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def test_windows_go_on_after_a_restart(tmp_path: Path) -> None:
    first = Hub(tmp_path, NOW)
    first.collector.receive(DISCOVER, "127.0.0.1", NOW)
    for second in range(0, 2000, 5):
        ok = second % 50 > 0
        error: dict[str, Any] = {} if ok else {"ctx": {"error_code": "timeout"}}
        first.collector.receive(
            call(ms=second % 97, ok=ok, cost_paid=3, currency="USDC", **error), "127.0.0.1", NOW + second
        )
    now = NOW + 2000
    before = {window: report(first.collector, now, window) for window in ("1h", "24h")}
    first.store.close(first.collector, now)
    second_hub = Hub(tmp_path, now)
    for window, shown in before.items():
        again = report(second_hub.collector, now, window)
        for part in ("fleet", "compare", "tools", "cost"):
            assert again[part] == shown[part], (window, part)
        assert [e["count"] for e in again["errors"]] == [e["count"] for e in shown["errors"]] == [40]
        assert again["servers"][0]["last_seen"] == shown["servers"][0]["last_seen"]
    assert second_hub.collector.discovers() == [DISCOVER]
    # A window of five minutes is right to within the minute at its beginning.
    assert abs(second_hub.calls(now, "5m") - first.calls(now, "5m")) <= 12
    # What others have counted does not count as this process's own.
    assert next(iter(second_hub.collector.totals())).succeeded == 0
    second_hub.store.close(second_hub.collector, now)


def test_who_was_silent_before_a_short_restart_is_silent_after_it(tmp_path: Path) -> None:
    first = Hub(tmp_path, NOW)
    for round_ in range(4):
        first.collector.receive(DISCOVER, "127.0.0.1", NOW + round_ * 30)
    assert report(first.collector, NOW + 160)["servers"][0]["state"] == "idle"
    now = NOW + 170
    assert report(first.collector, now)["servers"][0]["state"] == "silent"
    first.store.close(first.collector, now)
    short = Hub(tmp_path, now + 3)
    server = report(short.collector, now + 3)["servers"][0]
    assert (server["state"], server["silent_after_seconds"]) == ("silent", 75)
    short.store.close(short.collector, now + 3)
    # After a long one nobody can know; it gets the time that it has to speak again.
    long = Hub(tmp_path, now + 3600)
    states = [report(long.collector, now + 3600 + after)["servers"][0]["state"] for after in (1, 70, 80)]
    assert states == ["idle", "idle", "silent"]
    long.store.close(long.collector, now + 3600)


def test_restored_calls_are_spread_over_their_minute_and_hour(tmp_path: Path) -> None:
    first = Hub(tmp_path, NOW)
    for second in range(7 * 3600):
        if second % 10 == 0:
            first.collector.receive(call(ms=second % 7 + 1), "127.0.0.1", NOW + second)
        if second % 600 == 0:
            first.save(NOW + second)
    now = NOW + 7 * 3600
    first.store.close(first.collector, now)
    again = Hub(tmp_path, now)
    assert report(again.collector, now)["since"] == NOW
    assert set(report(again.collector, now)["servers"][0]["spark"][1:-1]) == {1}
    day = report(again.collector, now, "24h")["servers"][0]["spark"]
    assert set(day[-8:-1]) == {288} and sum(day) == 2520
    assert again.store.state()["oldest"] == NOW
    again.store.close(again.collector, now)


def test_a_minute_that_two_processes_share_is_counted_once(tmp_path: Path) -> None:
    for number in range(4):
        now = NOW + 10 * number
        hub = Hub(tmp_path, now)
        hub.collector.receive(call(ms=number), "127.0.0.1", now)
        hub.store.close(hub.collector, now)
    hub = Hub(tmp_path, NOW + 90)
    hub.save(NOW + 90)
    assert hub.calls(NOW + 90) == 4
    hub.store.close(hub.collector, NOW + 90)
    assert rows(tmp_path, "SELECT step, calls FROM calls WHERE sid = '' AND tool = ''") == [
        (60, 4),
        (3600, 4),
        (86400, 4),
    ]


CHILD = """
import json, os, signal, sys, time
from canton_mcp.hub.collector import Collector
from canton_mcp.hub.settings import HubSettings
from canton_mcp.hub.store import Store
directory, now, count = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
settings = HubSettings(state_dir=directory, trusted_rate=100_000_000)
collector = Collector(settings, (), now)
store = Store.open(settings)
store.restore(collector, now)
for number in range(count):
    message = {"v": 2, "t": "perf_update", "ts": 1, "sid": "canton-mcp-1", "tool": "t", "exec_ms": number, "success": True}
    collector.receive(json.dumps(message).encode(), "127.0.0.1", now)
store.save(collector, now)
while store.state()["committed_until"] != int(now):
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_kill_9_loses_no_committed_minute(tmp_path: Path) -> None:
    """Killed four times: within one minute, at its end, and with minutes that were never added to their hour."""
    sent = 0
    for after, count in ((0, 100), (20, 50), (59, 7), (600, 11)):
        child = subprocess.run(
            [sys.executable, "-c", CHILD, str(tmp_path), str(NOW + after), str(count)],
            timeout=60,
            capture_output=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert child.returncode == -signal.SIGKILL, child.stderr
        sent += count
    hub = Hub(tmp_path, NOW + 700)
    assert hub.calls(NOW + 700) == sent == 168
    hub.store.close(hub.collector, NOW + 700)
    sums = dict(
        rows(tmp_path, "SELECT step, sum(calls) FROM calls WHERE sid = '' AND tool = '' GROUP BY step")
    )
    assert sums == {60: sent, 3600: sent, 86400: sent}


def test_old_minutes_become_hours_and_days(tmp_path: Path) -> None:
    hub = Hub(tmp_path, NOW, retention_days=5)
    for minute in range(0, 10 * 1440, 30):
        now = NOW + minute * 60
        hub.collector.receive(call(ms=minute % 50 + 1), "127.0.0.1", now)
        if minute % 600 == 0:
            hub.save(now)
    now = NOW + 10 * 86400
    hub.save(now)
    steps = {
        step: (count, calls, now - oldest)
        for step, count, calls, oldest in rows(
            tmp_path,
            "SELECT step, count(*), sum(calls), min(start) FROM calls WHERE sid = '' AND tool = '' GROUP BY step",
        )
    }
    assert steps[60][2] <= 3 * 3600 + 660 and steps[60][0] <= 8
    assert steps[86400][2] <= 6 * 86400 and steps[3600][2] <= 6 * 86400
    month = hub.store.history(24 * 30, now=now)
    assert month["step_seconds"] == 86400
    assert [point["calls"] for point in month["points"]] == [48, 48, 48, 48, 48, 24]
    assert month["servers"][0]["sid"] == "canton-mcp-1"
    day = hub.store.history(24, ["canton-mcp-1"], ["t"], now)
    assert (day["step_seconds"], sum(point["calls"] for point in day["points"])) == (3600, 46)
    assert max(point["p95_ms"] for point in day["points"]) == pytest.approx(41, rel=0.03)
    assert min(point["p50_ms"] for point in day["points"]) == pytest.approx(1, rel=0.03)
    assert hub.store.history(24, ["nobody"], (), now)["points"] == []
    hub.store.close(hub.collector, now)


def test_a_broken_file_is_moved_aside(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database at all" * 500)
    hub = Hub(tmp_path, NOW)
    assert len(hub.said) == 1 and "moved to" in hub.said[0] and hub.store.problem is None
    hub.collector.receive(call(), "127.0.0.1", NOW)
    hub.store.close(hub.collector, NOW)
    assert Hub(tmp_path, NOW + 1).calls(NOW + 1) == 1
    assert len(list(tmp_path.glob("*.broken-*"))) == 1


def test_pages_overwritten_with_rubbish(tmp_path: Path) -> None:
    hub = Hub(tmp_path, NOW)
    for n in range(200):
        hub.collector.receive(call(sid=f"server-{n}", ms=n), "127.0.0.1", NOW)
    hub.store.close(hub.collector, NOW)
    data = bytearray((tmp_path / FILE_NAME).read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    (tmp_path / FILE_NAME).write_bytes(data)
    again = Hub(tmp_path, NOW)
    assert len(again.said) == 1 and again.store.problem is None
    again.collector.receive(call(), "127.0.0.1", NOW)
    again.save(NOW)
    assert again.store.problem is None
    again.store.close(again.collector, NOW)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("CREATE TABLE somebody (s TEXT)", "belongs to another program"),
        ("PRAGMA user_version=99", "a newer release wrote it"),
    ],
)
def test_a_file_of_others_is_left_alone(tmp_path: Path, statement: str, reason: str) -> None:
    if "user_version" in statement:
        Hub(tmp_path, NOW).store.close(Collector(HubSettings(), (), NOW), NOW)
    database = sqlite3.connect(tmp_path / FILE_NAME)
    database.execute(statement)
    database.commit()
    database.close()
    before = (tmp_path / FILE_NAME).read_bytes()
    hub = Hub(tmp_path, NOW)
    hub.collector.receive(call(), "127.0.0.1", NOW)
    hub.store.save(hub.collector, NOW)
    shown = report(hub.collector, NOW)
    assert len(hub.said) == 1 and reason in hub.said[0]
    assert [one["what"] for one in shown["headlines"]] == ["History is not stored"]
    assert shown["fleet"]["calls"] == 1 and (tmp_path / FILE_NAME).read_bytes() == before
    assert hub.store.history(1, now=NOW)["problem"]
    hub.store.close(hub.collector, NOW)


def test_a_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    hub = Hub(tmp_path / "file" / "state", NOW)
    hub.collector.receive(call(), "127.0.0.1", NOW)
    hub.store.save(hub.collector, NOW)
    assert hub.calls(NOW) == 1 and len(hub.said) == 1 and "\n" not in hub.said[0]
    hub.store.close(hub.collector, NOW)


def test_no_directory_means_no_history() -> None:
    collector = Collector(HubSettings(), (), NOW)
    store = Store.open(HubSettings())
    store.restore(collector, NOW)
    store.save(collector, NOW)
    assert store.problem is None and store.state()["bytes"] is None
    assert "DCAP_HUB_STATE_DIR" in store.history(1)["problem"]
    store.close(collector, NOW)


def test_a_full_disk_delays_but_loses_nothing(tmp_path: Path) -> None:
    """No file may grow for a while, as on a full disk; afterwards everything is there."""
    hub = Hub(tmp_path, NOW)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        for minute in range(5):
            for n in range(40):
                hub.collector.receive(call(sid=f"server-{n}", ms=n), "127.0.0.1", NOW + 60 * minute)
            hub.store.save(hub.collector, NOW + 60 * minute)
        until(lambda: hub.store.problem is not None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert hub.said and len(set(hub.said)) == len(hub.said) <= 3
    hub.save(NOW + 400)
    assert hub.store.problem is None
    hub.store.close(hub.collector, NOW + 400)
    assert rows(tmp_path, "SELECT sum(calls) FROM calls WHERE step = 3600 AND sid = '' AND tool = ''") == [
        (200,)
    ]
    assert Hub(tmp_path, NOW + 401).calls(NOW + 401) == 200
