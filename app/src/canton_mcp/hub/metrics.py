"""The hub's metrics in Prometheus' text format.

Labels come from strangers: the collector's tables are capped, and what went beyond them is counted as ``other``.
Callers, payers, arguments and error texts are never labels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from canton_mcp.hub.collector import BOUNDS_SECONDS, Total

__all__ = ["CONTENT_TYPE", "Snapshot", "render"]

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_ALIVE = frozenset({"up", "idle"})


@dataclass(frozen=True)
class Snapshot:
    """Figures of one moment, taken in the event loop and rendered outside of it."""

    version: str
    release: str
    received_by: Mapping[tuple[str, int], int]
    rejected: Mapping[str, int]
    totals: Sequence[Total]
    servers: Sequence[Mapping[str, Any]]
    """As in the report."""
    costs: Sequence[tuple[str, str, float]]
    """Server id, currency, amount."""
    expected: int
    kernel_drops: int
    datagrams: int
    faults: int
    buffer_bytes: int
    ws_clients: int
    ws_dropped: int
    ws_closed: Mapping[str, int]
    relayed: int
    upstream: Mapping[str, int]
    connections: int
    store_ok: bool
    store_bytes: int
    started: float


def render(snapshot: Snapshot) -> bytes:
    """`snapshot` in the text format 0.0.4."""
    registry = CollectorRegistry()
    registry.register(_Families(snapshot))
    if Path("/proc/self/stat").exists():
        ProcessCollector(namespace="", pid=os.getpid, registry=registry)
    return generate_latest(registry)


class _Families:
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        yield from _messages(self._snapshot)
        yield from _tools(self._snapshot)
        yield from _servers(self._snapshot)
        yield from _hub(self._snapshot)


def _messages(snapshot: Snapshot) -> Iterator[Metric]:
    received = CounterMetricFamily("dcap_messages_received", "Accepted DCAP messages.", labels=["type", "v"])
    for (kind, version), count in sorted(snapshot.received_by.items(), key=str):
        received.add_metric([kind, str(version)], count)
    yield received
    rejected = CounterMetricFamily(
        "dcap_messages_rejected", "Datagrams that were refused, by reason.", labels=["reason"]
    )
    for reason, count in sorted(snapshot.rejected.items()):
        rejected.add_metric([reason], count)
    yield rejected
    yield _counter("dcap_datagrams", "Datagrams read from the UDP sockets.", snapshot.datagrams)
    yield _counter(
        "dcap_udp_kernel_drops",
        "Datagrams that the kernel dropped since the hub did not read them in time.",
        snapshot.kernel_drops,
    )
    yield _gauge("dcap_udp_buffer_bytes", "Receive buffer that the kernel granted.", snapshot.buffer_bytes)


def _tools(snapshot: Snapshot) -> Iterator[Metric]:
    calls = CounterMetricFamily(
        "dcap_tool_calls", "Tool calls told by perf_update.", labels=["sid", "tool", "success"]
    )
    times = HistogramMetricFamily(
        "dcap_tool_exec_seconds",
        "Execution time of tool calls, as the servers measured it.",
        labels=["sid", "tool"],
    )
    edges = [*map(str, map(float, BOUNDS_SECONDS)), "+Inf"]
    for total in snapshot.totals:
        calls.add_metric([total.sid, total.tool, "true"], total.succeeded)
        calls.add_metric([total.sid, total.tool, "false"], total.failed)
        counts = [*total.buckets, total.succeeded + total.failed]
        times.add_metric([total.sid, total.tool], list(zip(edges, counts, strict=True)), total.seconds)
    yield calls
    yield times
    costs = CounterMetricFamily(
        "dcap_cost_paid_units", "Charged amounts in the currency's smallest unit.", labels=["sid", "currency"]
    )
    for sid, currency, amount in snapshot.costs:
        costs.add_metric([sid, currency], amount)
    yield costs


def _servers(snapshot: Snapshot) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "dcap_server_up",
        "1 while a server is heard, 0 when it is silent or has not spoken in time.",
        labels=["sid"],
    )
    seen = GaugeMetricFamily(
        "dcap_server_last_seen_timestamp_seconds", "When the last message came.", labels=["sid"]
    )
    skew = GaugeMetricFamily(
        "dcap_clock_skew_seconds", "Median of receive time less the sender's time.", labels=["sid"]
    )
    loss = GaugeMetricFamily(
        "dcap_loss_ratio", "Share of messages lost on the way, last 5 minutes.", labels=["sid", "method"]
    )
    known = GaugeMetricFamily("dcap_server_expected", "1 for a server of the inventory.", labels=["sid"])
    for server in snapshot.servers:
        sid = str(server["sid"])
        known.add_metric([sid], float(server["expected"]))
        if not server["waited_for"]:
            up.add_metric([sid], float(server["state"] in _ALIVE))
        if server["last_seen"] is not None:
            seen.add_metric([sid], server["last_seen"])
        if server["skew_seconds"] is not None:
            skew.add_metric([sid], server["skew_seconds"])
        if server["loss_ratio"] is not None:
            loss.add_metric([sid, str(server.get("loss_method") or "seq")], server["loss_ratio"])
    yield from (up, known, seen, skew, loss)
    yield _gauge("dcap_servers_expected", "Servers that the inventory names.", snapshot.expected)


def _hub(snapshot: Snapshot) -> Iterator[Metric]:
    yield _gauge("dcap_ws_clients", "WebSocket clients.", snapshot.ws_clients)
    yield _counter("dcap_ws_dropped", "Messages that slow WebSocket clients missed.", snapshot.ws_dropped)
    closed = CounterMetricFamily(
        "dcap_ws_closed", "WebSocket clients that the hub cut off, by reason.", labels=["reason"]
    )
    for reason, count in sorted(snapshot.ws_closed.items()):
        closed.add_metric([reason], count)
    yield closed
    yield _counter(
        "dcap_relayed_messages", "Messages relayed to at least one WebSocket client.", snapshot.relayed
    )
    upstream = CounterMetricFamily(
        "dcap_upstream_datagrams", "Datagrams passed on to other hubs, by outcome.", labels=["outcome"]
    )
    for outcome, count in sorted(snapshot.upstream.items()):
        upstream.add_metric([outcome], count)
    yield upstream
    yield _counter(
        "dcap_hub_faults", "Datagrams that the hub failed to evaluate: a mistake of its own.", snapshot.faults
    )
    yield _gauge("dcap_hub_http_connections", "Open HTTP connections.", snapshot.connections)
    yield _gauge("dcap_hub_history_up", "1 while history is written.", float(snapshot.store_ok))
    yield _gauge("dcap_hub_history_bytes", "Size of the history on disk.", snapshot.store_bytes)
    yield _gauge("dcap_hub_start_time_seconds", "When the hub started.", snapshot.started)
    yield InfoMetricFamily(
        "dcap_hub", "Version of the hub.", value={"version": snapshot.version, "release": snapshot.release}
    )


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
