"""What the hub promises of a fleet, on a real node. Runs before the fleet is changed and torn down."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from driver import BALANCER, GOOD, HUB, PORTS, Fleet, Load, legacy_call, until

IDS = ["canton-mcp-1", "canton-mcp-2", "canton-mcp-3"]
TESTER = "canton-mcp-tester.service"
CLIENTS = 4
CALLS = 10_000


def states(report: dict[str, Any]) -> dict[str, str]:
    return {server["sid"]: server["state"] for server in report["servers"]}


def calls(report: dict[str, Any]) -> Counter[str]:
    return Counter({server["sid"]: server["calls"] for server in report["servers"]})


@pytest.fixture
def quiet(fleet: Fleet) -> Any:
    """The fleet without the tester's calls, all of them counted."""
    fleet.node.run("systemctl", "stop", TESTER)
    until(lambda: fleet.up() == 3, "three servers in rotation")
    yield fleet
    fleet.node.run("systemctl", "start", TESTER)


def test_the_fleet_is_on_the_page_from_the_first_run(fleet: Fleet) -> None:
    assert re.search(rf"dcap-hub +\S+ +http://\S+:{HUB}/ +active \(running\)", fleet.first_run.output)
    report = until(lambda: (r := fleet.report())["fleet"]["up"] == 3 and r, "three servers on the page")
    assert sorted(states(report)) == IDS and report["fleet"]["expected"] == 3
    assert [s["port"] for s in sorted(report["servers"], key=lambda s: s["sid"])] == list(PORTS)
    assert all(server["host"] == fleet.node.name for server in report["servers"])
    assert [h for h in report["headlines"] if h["severity"] == "critical"] == []
    assert report["quality"]["rejected"] == {} or not any(report["quality"]["rejected"].values())


def test_every_server_announces_every_tool_with_a_connector_that_works(fleet: Fleet) -> None:
    def announced() -> dict[tuple[str, str], dict[str, Any]]:
        found = {(m["sid"], m["tool"]): m for m in fleet.dcap.others if m["t"] == "semantic_discover"}
        return found if len(found) >= 3 * 5 else {}

    for (_, tool), message in until(announced, "every tool of every server", 60).items():
        connector = message["connector"]
        assert connector["transport"] == "http" and connector["auth"] == {"type": "none", "required": False}
        answer = requests.post(
            connector["endpoint"],
            json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
            headers={"Accept": "application/json, text/event-stream"},
            timeout=10,
        )
        assert tool in {known["name"] for known in answer.json()["result"]["tools"]}


def test_the_page_wants_the_token_and_nothing_else_opens_it(fleet: Fleet) -> None:
    token = fleet.node.run("cat", "/etc/canton-mcp/hub.token").strip()
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Bearer {token}"}, 200),
        ({"Authorization": f"Bearer {token}", "Host": "evil.example"}, 421),
        ({"Authorization": f"Bearer {token}", "Origin": "http://evil.example"}, 403),
    ):
        answer = requests.get(fleet.url(HUB, "/api/report"), headers=headers, timeout=5)
        assert answer.status_code == status, (headers, answer.text)


def test_a_stopped_server_is_silent_within_its_bound_and_named_first(quiet: Fleet) -> None:
    bound = next(s for s in quiet.report()["servers"] if s["sid"] == "canton-mcp-2")["silent_after_seconds"]
    assert bound == 60, "twenty seconds between announcements, and never less than a minute"
    quiet.node.run("systemctl", "stop", "canton-mcp@7285")
    report = until(
        lambda: states(r := quiet.report())["canton-mcp-2"] == "silent" and r, "silence", bound + 5
    )
    first = report["headlines"][0]
    assert (first["severity"], first["sid"]) == ("critical", "canton-mcp-2")
    assert "systemctl status canton-mcp@7285" in first["do"] and quiet.node.name in first["do"]
    assert report["servers"][0]["sid"] == "canton-mcp-2"
    quiet.node.run("systemctl", "start", "canton-mcp@7285")
    until(lambda: states(quiet.report())["canton-mcp-2"] != "silent", "it is heard again")


def test_its_totals_agree_with_the_balancer(quiet: Fleet) -> None:
    until(lambda: quiet.balanced() == quiet.balanced(), "nobody else calls")
    balanced, told = Counter(quiet.balanced()), calls(quiet.report())

    def work(count: int) -> int:
        with requests.Session() as session:
            url = quiet.url(BALANCER, "/mcp")
            return sum(
                legacy_call(session, url, "validate_daml_business_logic", GOOD).ok for _ in range(count)
            )

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert sum(pool.map(work, [CALLS // CLIENTS] * CLIENTS)) == CALLS
    sent = Counter(quiet.balanced()) - balanced
    assert sum(sent.values()) == CALLS
    heard = until(
        lambda: (found := calls(quiet.report()) - told).total() >= CALLS * 0.999 and found, "the hub's totals"
    )
    assert all(abs(heard[sid] - sent[sid]) <= sent[sid] * 0.001 for sid in IDS), (sent, heard)
    shares = {server["sid"]: server["load_share"] for server in quiet.report("5m")["servers"]}
    assert all(abs(share - 1 / 3) < 0.05 for share in shares.values()), shares


def test_a_restart_of_the_hub_loses_no_message_and_a_kill_no_committed_minute(quiet: Fleet) -> None:
    before, balanced = calls(quiet.report()), Counter(quiet.balanced())
    with Load(quiet.url(BALANCER, "/mcp")) as load:
        quiet.node.run("systemctl", "restart", "dcap-hub")
        until(lambda: quiet.report(), "the hub is back")
    assert load.failures == []
    sent = (Counter(quiet.balanced()) - balanced).total()
    until(lambda: (calls(quiet.report()) - before).total() == sent, f"all {sent} calls")

    known, at = calls(quiet.report()), quiet.report()["at"]
    until(lambda: (quiet.report()["quality"]["store"]["committed_until"] or 0) > at, "a commit")
    quiet.node.run("systemctl", "kill", "--signal=KILL", "dcap-hub")
    assert until(lambda: calls(quiet.report()), "the hub is back") == known
