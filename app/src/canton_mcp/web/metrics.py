"""What `GET /metrics` says to Prometheus; each application counts for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from canton_mcp.dcap import Emitter

__all__ = ["CONTENT_TYPE", "OUTCOMES", "Metrics"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OUTCOMES: Final = ("ok", "invalid_params", "exception", "timeout", "cancelled", "missing_capability")
"""How a call ends; all but the first are the error codes of telemetry."""
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds."""


class Metrics:
    """The counters of one server in a registry of its own. Safe to use from many threads."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._calls = Counter(
            "mcp_tool_calls",
            "Ended calls of known tools, by how they ended",
            ["tool", "outcome"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "mcp_tool_duration_seconds",
            "How long tools worked, without waiting for their callers",
            ["tool"],
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def know(self, tools: Iterable[str]) -> None:
        """Show these tools from the beginning: a rate needs the zero that it starts from."""
        for tool in tools:
            self._seconds.labels(tool)
            for outcome in OUTCOMES:
                self._calls.labels(tool, outcome)

    def called(self, tool: str, outcome: str, exec_ms: float) -> None:
        """Count one call; `outcome` is one of `OUTCOMES`."""
        self._calls.labels(tool, outcome).inc()
        self._seconds.labels(tool).observe(exec_ms / 1000)

    def build_info(self, **labels: str) -> None:
        """Say once what runs here."""
        Gauge("mcp_build_info", "What runs here; always 1", list(labels), registry=self._registry).labels(
            **labels
        ).set(1)

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A value that is looked up whenever somebody asks."""
        Gauge(name, text, registry=self._registry).set_function(value)

    def watch_emitter(self, emitter: Emitter) -> None:
        """The emitter's own counters, so that they agree with `/health` at any time."""
        self._registry.register(_EmitterCollector(emitter))

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)


class _EmitterCollector(Collector):
    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter

    def collect(self) -> Iterator[CounterMetricFamily]:
        stats = self._emitter.stats()
        yield _family("dcap_sent", "DCAP messages that left, by type", "type", stats["sent_by_type"])
        yield _family(
            "dcap_send_errors", "DCAP messages that did not leave", "reason", stats["errors_by_reason"]
        )
        dropped = CounterMetricFamily(
            "dcap_queue_dropped", "DCAP messages dropped because the queue was full"
        )
        dropped.add_metric([], stats["dropped"])
        yield dropped


def _family(name: str, text: str, label: str, counts: dict[str, Any]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family
