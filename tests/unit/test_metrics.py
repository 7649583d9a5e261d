"""What a server tells Prometheus: its own numbers, the same as in /health, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from canton_mcp.protocol import Call, InvalidArguments, UnknownTool
from canton_mcp.settings import Settings
from canton_mcp.tools import TOOLS
from canton_mcp.web import create_app
from canton_mcp.web.metrics import OUTCOMES
from flask import Flask
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

OVERVIEW = "get_canonical_resource_overview"


@pytest.fixture
def apps() -> Iterator[list[Flask]]:
    made = [
        create_app(Settings.from_env({"DCAP_SERVER_ID": sid})) for sid in ("canton-mcp-1", "canton-mcp-2")
    ]
    yield made
    for app in made:
        app.extensions["canton_mcp"].close()


def scraped(app: Flask) -> dict[tuple[str, ...], float]:
    """Every sample by its name and its labels' values."""
    answer = app.test_client().get("/metrics")
    assert (answer.status_code, answer.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_calls_are_counted_by_tool_and_outcome(apps: list[Flask]) -> None:
    server = apps[0].extensions["canton_mcp"]
    before = scraped(apps[0])
    for _ in range(3):
        server.runner.call_tool(OVERVIEW, {}, Call({}))
    with pytest.raises(InvalidArguments):
        server.runner.call_tool(OVERVIEW, {"category": 5}, Call({}))
    with pytest.raises(UnknownTool):
        server.runner.call_tool("no_such_tool", {}, Call({}))
    told = scraped(apps[0])
    calls = {key[1:]: value for key, value in told.items() if key[0] == "mcp_tool_calls_total"}
    assert calls[("ok", OVERVIEW)] == 3 and calls[("invalid_params", OVERVIEW)] == 1
    assert sum(calls.values()) == server.runner.counts.total == 4
    assert set(calls) == {(outcome, tool.name) for outcome in OUTCOMES for tool in TOOLS}
    assert told[("mcp_tool_duration_seconds_count", OVERVIEW)] == 4
    assert (
        before.keys() == told.keys()
    )  # everything is there from the start, or a rate would miss the first call


def test_every_server_counts_for_itself(apps: list[Flask]) -> None:
    apps[0].extensions["canton_mcp"].runner.call_tool(OVERVIEW, {}, Call({}))
    own, other = map(scraped, apps)
    assert own[("mcp_tool_calls_total", "ok", OVERVIEW)] == 1
    assert other[("mcp_tool_calls_total", "ok", OVERVIEW)] == 0
    assert own[("mcp_build_info", "dev", "canton-mcp-1", own_version(own))] == 1
    assert other[("mcp_build_info", "dev", "canton-mcp-2", own_version(other))] == 1
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith(("mcp_", "dcap_"))]


def own_version(told: dict[tuple[str, ...], float]) -> str:
    return next(key[3] for key in told if key[0] == "mcp_build_info")


def test_telemetry_counters_are_those_of_health(apps: list[Flask]) -> None:
    told = scraped(apps[0])
    health = apps[0].test_client().get("/health").get_json()["dcap"]
    assert {key[1]: value for key, value in told.items() if key[0] == "dcap_sent_total"} == health[
        "sent_by_type"
    ]
    reasons = {key[1]: value for key, value in told.items() if key[0] == "dcap_send_errors_total"}
    assert reasons == health["errors_by_reason"]
    assert told[("dcap_queue_dropped_total",)] == health["dropped"] == 0
    assert (told[("mcp_open_streams",)], told[("mcp_streams_limit",)], told[("mcp_draining",)]) == (0, 8, 0)


def test_the_first_page_lists_it(apps: list[Flask]) -> None:
    endpoints = apps[0].test_client().get("/").get_json()["endpoints"]
    assert endpoints["metrics"] == "/metrics"
