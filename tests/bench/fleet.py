"""The speed and the memory of a fleet on one lab node."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from driver import BALANCER, GOOD, PORTS, Fleet, Listener, Run, call, play, until
from figures import Figure
from lab import Lab

__all__ = ["figures"]

FEW, MANY = 3, 30


def timed_play(fleet: Fleet, count: int) -> float:
    """Seconds of an unchanged run over `count` servers: the median of three, after one that makes it so."""
    fleet.site(mcp_server_count=count, mcp_server_memory_max="256M").ok()
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        run = fleet.site(mcp_server_count=count, mcp_server_memory_max="256M").ok()
        seconds.append(time.monotonic() - started)
        assert run.changed == 0, run.output
    return statistics.median(seconds)


def latency(url: str, requests: int) -> float:
    """Median milliseconds of one call, one after the other."""
    samples = []
    for _ in range(requests):
        started = time.perf_counter()
        assert call(url, "validate_daml_business_logic", GOOD).ok
        samples.append((time.perf_counter() - started) * 1000)
    return statistics.median(samples)


def rates(run: Run) -> dict[str, float]:
    """Requests per second by target, from the load test's table."""
    rows = [line.split() for line in run.output.splitlines() if " 0 " in line]
    return {
        row[0]: float(row[-5]) for row in rows if row[0].startswith("canton-mcp-") or row[0] == "balancer"
    }


def measured(fleet: Fleet, requests: int) -> Iterator[Figure]:
    """Measure everything, one figure at a time."""
    few, many = timed_play(fleet, FEW), timed_play(fleet, MANY)
    memory = {
        row["port"]: row["memory_bytes"]
        for row in json.loads(fleet.node.run("canton-mcp", "probe", "--json"))
    }
    fleet.site().ok()
    until(lambda: fleet.up() == FEW, "three servers in rotation")
    yield Figure(f"unchanged site.yml, {MANY} servers : {FEW}", f"{many:.1f} s", f"{few:.1f} s", many / few)

    load = play(fleet.inventory, "playbooks/loadtest.yml", requests=requests, concurrency=10).ok()
    rate = rates(load)
    direct, balanced = rate["canton-mcp-1"], rate["balancer"]
    yield Figure(
        "requests/s, balancer : one server", f"{balanced:.0f}/s", f"{direct:.0f}/s", balanced / direct
    )

    through = latency(fleet.url(BALANCER, "/mcp"), requests // 5)
    straight = latency(fleet.url(PORTS[0], "/mcp"), requests // 5)
    yield Figure(
        "latency, through balancer : direct", f"{through:.1f} ms", f"{straight:.1f} ms", through / straight
    )

    fleet.site(mcp_server_dcap_target="nobody.invalid").ok()
    dead = latency(fleet.url(PORTS[0], "/mcp"), requests // 5)
    fleet.site(mcp_server_dcap_target="").ok()
    off = latency(fleet.url(PORTS[0], "/mcp"), requests // 5)
    yield Figure("latency, DCAP target dead : DCAP off", f"{dead:.1f} ms", f"{off:.1f} ms", dead / off)

    used = [value / 2**20 for value in memory.values() if value]
    if used:
        worst, usual = max(used), statistics.median(used)
        yield Figure("memory, largest server : median", f"{worst:.0f} MiB", f"{usual:.0f} MiB", worst / usual)


def figures(requests: int) -> Iterator[Figure]:
    """Starts a node, measures with `requests` for each target, and removes the node."""
    lab = Lab.up("bench")
    try:
        with tempfile.TemporaryDirectory() as scratch:
            inventory = Path(scratch)
            (inventory / "hosts.yml").write_text(lab.inventory.read_text())
            fleet = Fleet(lab.nodes[0], inventory, Listener("127.0.0.1"), Run(0, ""), Run(0, ""))
            yield from measured(fleet, requests)
    finally:
        lab.down()
