"""The official conformance suites of MCP pass: on one server, and on a fleet behind the balancer."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import urllib.request
from collections import Counter
from typing import Any

import pytest
from balancing import Balancer
from processes import Served
from suites import SUITES, Reports, Suite

SILENT = {"server-sse-polling"}
"""Scenarios without a verdict: no tool here breaks off its stream to be polled, which is optional."""
SKIPPED = {"server-session-delete-accepted", "server-session-terminated-returns-404"}
"""Checks that do not apply: a session that no server has to remember cannot be ended."""


@pytest.fixture(params=["server", "fleet"])
def reports(request: pytest.FixtureRequest) -> Reports:
    """What was found on one server, and on three behind the balancer."""
    found: Reports = request.getfixturevalue(f"{request.param}_reports")
    return found


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name.replace(" ", "-"))
def test_a_suite_looks_at_everything_and_finds_nothing_wrong(reports: Reports, suite: Suite) -> None:
    report = reports[suite]
    assert not report.complaints, "\n".join(report.complaints)
    assert report.status == 0, report.output
    assert len(report.scenarios) == suite.scenarios, report.output
    assert report.silent <= SILENT
    assert {check.name for check in report.counting if check.status == "SKIPPED"} <= SKIPPED


def test_every_server_of_the_fleet_took_part(fleet_reports: Reports, fleet: Balancer) -> None:
    rows = csv.DictReader(fleet.ask("show stat").removeprefix("# ").splitlines())
    calls = Counter[str]()
    for row in rows:
        if row["svname"] not in ("FRONTEND", "BACKEND"):
            calls[row["svname"]] += int(row["stot"])
    assert len(calls) == 3
    assert min(calls.values()) > max(calls.values()) / 10, calls


# -- what the suites look at too lightly -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ("tools-call-sampling", "LLM response: This is a test response from the client"),
        ("tools-call-elicitation", "testuser"),
    ],
)
def test_what_a_legacy_client_answers_reaches_the_tool(reports: Reports, scenario: str, words: str) -> None:
    told = [
        check.details["result"]["content"][0]["text"]
        for report in reports.values()
        for check in report.checks
        if check.name == scenario
    ]
    assert len(told) == 4  # twice in the present release, and once in 2025-06-18 and the stable one
    assert all(words in text for text in told), told


K = "io.modelcontextprotocol/"


def call(server: Served, tool: str, **meta: Any) -> list[Any]:
    """All messages of the answer to a modern call, from JSON or from an event stream."""
    known = {f"{K}protocolVersion": "2026-07-28", f"{K}clientCapabilities": {"elicitation": {}}}
    params = {
        "name": tool,
        "arguments": {},
        "_meta": {**known, **{f"{K}{key}": value for key, value in meta.items()}},
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }
    sent = urllib.request.Request(f"{server.url}/mcp", json.dumps(message).encode(), headers)
    with urllib.request.urlopen(sent, timeout=20) as answer:
        body = answer.read().decode()
    events = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]
    return [json.loads(part) for part in events or [body]]


def test_a_tool_that_logs_does_so_where_that_is_wanted(server: Served) -> None:
    *logged, result = call(server, "test_logging_tool", logLevel="info")
    assert [message["method"] for message in logged] == ["notifications/message"] * 3
    assert result["result"]["resultType"] == "complete"
    assert len(call(server, "test_logging_tool", logLevel="error")) == 1


def test_a_tool_speaks_on_the_stream_on_which_it_asks(server: Served) -> None:
    spoken, asked = call(server, "test_streaming_elicitation", logLevel="debug")
    assert spoken["method"] == "notifications/message"
    assert asked["result"]["resultType"] == "input_required"
    assert [request["method"] for request in asked["result"]["inputRequests"].values()] == [
        "elicitation/create"
    ]


# -- what no suite sees -------------------------------------------------------------------------------


def test_the_protocol_knows_neither_tools_nor_flask() -> None:
    parts = ("tools", "daml", "dcap", "web", "tester", "settings")
    foreign = [*(f"canton_mcp.{part}" for part in parts), "flask", "werkzeug", "gunicorn"]
    program = f"import sys, canton_mcp.protocol; print([name for name in {foreign} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
