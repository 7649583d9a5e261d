"""What the README promises, on a real node: real systemd, HAProxy, gunicorn and datagrams. Tests run in order."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests
from driver import BALANCER, BIN, GOOD, PORTS, Fleet, Load, call, play, until

IDS = {"canton-mcp-1", "canton-mcp-2", "canton-mcp-3"}
NAMES = {"canton-mcp-server", "canton-mcp-server-2", "canton-mcp-server-3"}
TESTER = "canton-mcp-tester.service"
HUB_PID = ("systemctl", "show", "--property=MainPID", "--value", "dcap-hub.service")


def test_a_dry_run_on_a_bare_node_tells_what_will_happen(fleet: Fleet) -> None:
    output = fleet.bare_check.ok().output
    assert fleet.bare_check.changed > 0
    assert "+canton-mcp@7286.service: started" in output
    assert "haproxy would be installed" in output
    assert '+DCAP_SERVER_ID="canton-mcp-3"' in output
    assert re.search(r"server canton-mcp-2 [0-9.]+:7285", output)


def test_the_first_run_ends_with_a_table(fleet: Fleet) -> None:
    table = fleet.first_run.output
    for sid in IDS:
        assert re.search(rf"{sid} .*active \(running\) +healthy .* yes$", table, re.MULTILINE), table[-3000:]
    assert re.search(r"haproxy +\S+ +http://\S+:7280/mcp +active \(running\)", table)
    assert re.search(r"canton-mcp-tester .*active \(running\)", table)


def test_every_address_answers(fleet: Fleet) -> None:
    assert {fleet.health(port)["server"]["id"] for port in PORTS} == IDS
    for port in (*PORTS, BALANCER):
        answer = requests.post(
            fleet.url(port, "/mcp"),
            json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
            headers={"Accept": "application/json, text/event-stream"},
            timeout=10,
        )
        assert len(answer.json()["result"]["tools"]) >= 3
    served = Counter(
        call(fleet.url(BALANCER, "/mcp"), "validate_daml_business_logic", GOOD).json()["result"]["_meta"][
            "io.modelcontextprotocol/serverInfo"
        ]["name"]
        for _ in range(9)
    )
    assert served == dict.fromkeys(NAMES, 3), "round robin"


def test_a_second_run_changes_nothing_and_restarts_nothing(fleet: Fleet) -> None:
    pids = fleet.pids()
    run = fleet.site().ok()
    assert run.changed == 0, run.output
    dry = fleet.site("--check", "--diff").ok()
    assert dry.changed == 0, dry.output
    assert fleet.pids() == pids


def test_every_server_has_an_identity_of_its_own_on_the_wire(fleet: Fleet) -> None:
    fleet.node.run("systemctl", "stop", TESTER)
    fleet.dcap.messages.clear()
    for port in PORTS:
        assert call(fleet.url(port, "/mcp"), "validate_daml_business_logic", GOOD).ok
        broken = call(fleet.url(port, "/mcp"), "validate_daml_business_logic", {"damlCode": 7}).json()
        assert broken["result"]["isError"] is True
    until(lambda: len(fleet.dcap.messages) >= 6, "six DCAP messages")
    seen = [(message["sid"], message["success"]) for message in fleet.dcap.messages]
    assert sorted(seen) == sorted((sid, success) for sid in IDS for success in (True, False))
    assert 0 < fleet.dcap.largest <= 1472
    for message in fleet.dcap.messages:
        assert (message["v"], message["t"], message["tool"]) == (
            2,
            "perf_update",
            "validate_daml_business_logic",
        )
        assert isinstance(message["ts"], int) and message["exec_ms"] >= 0
        assert "Party" not in str(message), "business data stays at home"
    fleet.node.run("systemctl", "start", TESTER)


def test_the_tester_spreads_its_calls_and_agrees_with_the_telemetry(fleet: Fleet) -> None:
    fleet.node.run("systemctl", "stop", TESTER)
    before = fleet.node.run("journalctl", "--unit", TESTER, "--output=cat", "--no-pager")
    assert set(re.findall(r"Calling (\S+) →", before)) == NAMES
    fleet.dcap.messages.clear()
    summary = run_tester(fleet, 90, 0)
    until(lambda: len(fleet.dcap.messages) >= 90, "as many messages as calls")
    sent = Counter(message["sid"] for message in fleet.dcap.messages)
    good = Counter(message["sid"] for message in fleet.dcap.messages if message["success"])
    sids = {name: fleet.health(port)["server"]["id"] for name, port in zip(sorted(NAMES), PORTS, strict=True)}
    assert {sids[name]: row["calls"] for name, row in summary.items()} == sent
    assert {sids[name]: row["ok"] for name, row in summary.items()} == good
    assert all(row["failures"] == 0 for row in summary.values())
    fleet.node.run("systemctl", "start", TESTER)


def run_tester(fleet: Fleet, count: int, status: int) -> dict[str, dict[str, int]]:
    """Calls from this machine; the rows of the summary by server."""
    urls = ",".join(fleet.url(port, "/mcp") for port in PORTS)
    command = [BIN / "canton-mcp", "test", "--count", str(count), "--seed", "7", "--urls", urls]
    command += ["--min-interval", "0", "--max-interval", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout[-3000:] + done.stderr
    rows = re.findall(r"^(\S+) +(\d+) +(\d+) +(\d+) +(\d+) +[\d.]+%", done.stdout, re.MULTILINE)
    keys = ("calls", "ok", "tool_errors", "failures")
    return {
        name: dict(zip(keys, map(int, numbers), strict=True)) for name, *numbers in rows if name != "TOTAL"
    }


@pytest.mark.parametrize(
    ("port", "clients", "took_part"), [(PORTS[0], ["sdk", "fastmcp"], {"canton-mcp-1"}), (BALANCER, [], IDS)]
)
def test_official_clients_work_unmodified(
    fleet: Fleet, port: int, clients: list[str], took_part: set[str]
) -> None:
    fleet.node.run("systemctl", "stop", TESTER)
    fleet.dcap.messages.clear()
    checker = Path(__file__).with_name("client_check.py")
    done = subprocess.run(
        [sys.executable, checker, fleet.url(port, "/mcp"), *clients],
        capture_output=True,
        text=True,
        check=False,
    )
    fleet.node.run("systemctl", "start", TESTER)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {message["sid"] for message in fleet.dcap.messages} == took_part


def test_a_stopped_server_leaves_rotation_and_comes_back(fleet: Fleet) -> None:
    fleet.node.run("systemctl", "stop", "canton-mcp@7285")
    with pytest.raises(requests.ConnectionError):
        fleet.health(7285)
    until(lambda: fleet.up() == 2, "two servers in rotation")
    for _ in range(20):
        assert call(fleet.url(BALANCER, "/mcp"), "validate_daml_business_logic", GOOD).ok
    summary = run_tester(fleet, 40, 1)
    failed = {name for name, row in summary.items() if row["failures"]}
    assert len(summary) == 3 and len(failed) == 1 and "canton-mcp-server" not in failed
    status = play(fleet.inventory, "playbooks/status.yml").ok().output
    assert re.search(r"canton-mcp-2 .*inactive \(dead\) +DOWN", status)
    health = play(fleet.inventory, "playbooks/health.yml")
    assert health.status != 0 and "see journalctl -u canton-mcp@7285" in health.output
    fleet.node.run("systemctl", "start", "canton-mcp@7285")
    until(lambda: fleet.up() == 3, "three servers in rotation")


def test_a_new_setting_restarts_every_server_and_loses_no_request(fleet: Fleet) -> None:
    before = fleet.pids()
    with Load(fleet.url(BALANCER, "/mcp")) as balanced, Load(fleet.url(7284, "/mcp")) as direct:
        plan = fleet.site("--check", "--diff", mcp_server_threads=12).ok()
        assert fleet.pids() == before, "a dry run touches nothing"
        fleet.site(mcp_server_threads=12).ok()
    after = fleet.pids()
    assert '+CANTON_MCP_THREADS="12"' in plan.output and "+canton-mcp@7284.service: restarted" in plan.output
    assert not set(before.values()) & set(after.values())
    assert balanced.failures == [] and direct.failures == []
    assert balanced.answered > 100 and direct.answered > 100
    fleet.site().ok()


def test_a_killed_server_costs_no_call_that_may_be_repeated(fleet: Fleet) -> None:
    with Load(fleet.url(BALANCER, "/mcp"), legacy=0) as load:
        for port in PORTS:
            fleet.node.run("systemctl", "kill", "--signal=KILL", f"canton-mcp@{port}")
            until(lambda port=port: fleet.health(port), f"{port} back by itself")
            until(lambda: fleet.up() == 3, "three servers in rotation")
    assert load.failures == []


def test_control_of_single_servers(fleet: Fleet) -> None:
    before = fleet.pids()
    with Load(fleet.url(BALANCER, "/mcp")) as load:
        play(fleet.inventory, "playbooks/stop.yml", server="canton-mcp-3").ok()
        assert fleet.up() == 2
        play(fleet.inventory, "playbooks/start.yml", server="7286").ok()
        play(fleet.inventory, "playbooks/restart.yml", server="canton-mcp-server-2").ok()
    assert load.failures == []
    after = fleet.pids()
    assert after[7284] == before[7284] and after[7285] != before[7285] and after[7286] != before[7286]
    logs = play(fleet.inventory, "playbooks/logs.yml", server="canton-mcp-2", lines=5).ok().output
    assert len(re.findall(r"canton-mcp@7285\[\d+\]|systemd\[\d+\]", logs)) == 5
    unknown = play(fleet.inventory, "playbooks/restart.yml", server="canton-mcp-9")
    assert unknown.status != 0
    assert (
        "'canton-mcp-9' is not in the inventory; use one of canton-mcp-1, canton-mcp-2, canton-mcp-3"
        in unknown.output
    )


def test_a_fourth_server_joins_and_the_rest_goes(fleet: Fleet) -> None:
    before = fleet.pids()
    plan = fleet.site("--check", "--diff", mcp_server_count=4).ok().output
    assert "+canton-mcp@7287.service: started" in plan and "+    server canton-mcp-4 " in plan
    assert fleet.node.attempt("test", "-e", "/etc/canton-mcp/servers/7287.env").returncode != 0

    hub = fleet.node.run(*HUB_PID)
    fleet.site(mcp_server_count=4).ok()
    assert fleet.health(7287)["server"]["id"] == "canton-mcp-4"
    assert fleet.pids() == before
    until(
        lambda: (
            (report := fleet.report())["fleet"]["expected"] == 4
            and {server["sid"]: server["state"] for server in report["servers"]}["canton-mcp-4"]
            in ("idle", "up")
        ),
        "the hub hears the fourth",
    )
    until(lambda: fleet.up() == 4, "four servers in rotation")
    assert ":7287/mcp" in fleet.node.run("cat", "/etc/canton-mcp/tester.env")
    until(
        lambda: (
            "Calling canton-mcp-server-4 →"
            in fleet.node.run("journalctl", "-u", TESTER, "--no-pager", "-o", "cat")
        ),
        "the tester calls the fourth server",
    )

    with Load(fleet.url(BALANCER, "/mcp")) as load:
        fleet.site(mcp_server_count=1).ok()
    assert load.failures == []
    assert fleet.pids()[7284] == before[7284]
    until(lambda: fleet.report()["fleet"]["expected"] == 1, "the hub expects one")
    assert fleet.node.run(*HUB_PID) == hub, "a change of the fleet does not restart the hub"
    left = fleet.node.run(
        "sh", "-c", "ls /etc/canton-mcp/servers /etc/systemd/system/canton-mcp.target.wants"
    )
    assert "7284" in left and not re.search("728[567]", left)
    assert "7285" not in fleet.shell("ls -d /etc/systemd/system/canton-mcp@*")
    units = fleet.node.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "canton-mcp@*")
    assert re.findall(r"canton-mcp@(\d+)", units) == ["7284"]
    fleet.site().ok()


def test_ports_move_without_losing_a_request(fleet: Fleet) -> None:
    with Load(fleet.url(BALANCER, "/mcp")) as load:
        fleet.site(mcp_server_first_port=7294).ok()
        assert fleet.up() == 3
        assert fleet.health(7294)["server"]["id"] == "canton-mcp-1"
        with pytest.raises(requests.ConnectionError):
            fleet.health(7284)
        fleet.site().ok()
    assert load.failures == []
    assert fleet.health(7284)["server"]["id"] == "canton-mcp-1"


def test_a_run_that_died_half_way_is_healed_by_the_next(fleet: Fleet) -> None:
    environment = "/etc/canton-mcp/fleet.env"
    fleet.shell(
        f"cp {environment} /root/declared && sed -i 's/^CANTON_MCP_THREADS=.*/CANTON_MCP_THREADS=24/' {environment}"
    )
    fleet.node.run("systemctl", "restart", "canton-mcp@7285")
    fleet.shell(
        f"mv /root/declared {environment}; mkdir -p /run/canton-mcp; echo 'by hand' > /run/canton-mcp/drain-7286"
    )
    before = fleet.pids()
    assert fleet.site().ok().changed > 0, "the files are as declared, the running server is not"
    after = fleet.pids()
    assert after[7285] != before[7285] and after[7284] == before[7284] and after[7286] == before[7286]
    assert fleet.health(7286)["draining"] is True, "an operator's drain stays"
    fleet.shell("rm /run/canton-mcp/drain-7286")
    assert fleet.site().ok().changed == 0
    until(lambda: fleet.up() == 3, "three servers in rotation")


def test_a_dead_machine_does_not_hold_up_the_others(fleet: Fleet) -> None:
    address = ".".join([*fleet.node.address.split(".")[:3], "250"])  # of the lab's network, and nobody's
    quick = "-o ConnectTimeout=2 -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    host = {"ansible_host": address, "ansible_ssh_common_args": quick, "mcp_server_count": 1}
    extra = fleet.inventory / "later.yml"
    extra.write_text(json.dumps({"all": {"children": {"mcp_hosts": {"hosts": {"dead": host}}}}}))
    try:
        run = fleet.site(mcp_tester_max_interval=0.5)
    finally:
        extra.unlink()
    assert run.status == 4, run.output
    assert re.search(r"canton-mcp-4 +dead .*DOWN: not installed, or out of reach", run.output)
    assert 'MAX_INTERVAL="0.5"' in fleet.node.run("cat", "/etc/canton-mcp/tester.env")
    assert fleet.up() == 3
    fleet.site().ok()


def test_hot_reload_reaches_all_servers(fleet: Fleet) -> None:
    installed = "/opt/canton-mcp/current/lib/python3*/site-packages/canton_mcp"
    fleet.shell(f"rm -rf /srv/source && mkdir -p /srv/source && cp -r {installed} /srv/source/")
    fleet.site(mcp_server_hot_reload=True, mcp_server_source="/srv/source").ok()
    pids = fleet.pids()
    for version in ("7.7.7", "8.8.8"):
        change = f's/^__version__ = .*/__version__ = "{version}"/'
        fleet.node.run("sed", "-i", change, "/srv/source/canton_mcp/__init__.py")
        for port in PORTS:
            until(
                lambda port=port, version=version: fleet.health(port)["version"] == version,
                f"{version} on {port}",
            )
    assert fleet.pids() == pids
    fleet.site().ok()


def test_everything_comes_back_after_a_reboot(fleet: Fleet) -> None:
    fleet.node.reboot()
    until(lambda: fleet.up() == 3, "three servers in rotation", 60)
    until(lambda: fleet.node.run("systemctl", "is-active", TESTER).strip() == "active", "the tester runs")
    run = fleet.site().ok()
    assert run.changed == 0, run.output


def test_the_load_test_compares_servers_and_balancer(fleet: Fleet) -> None:
    output = play(fleet.inventory, "playbooks/loadtest.yml", requests=200, concurrency=4).ok().output
    rows = re.findall(r"^ +(canton-mcp-\d|balancer \S+) +200 +0 +0 +([\d.]+)", output, re.MULTILINE)
    assert [name for name, _ in rows] == [*sorted(IDS), f"balancer {fleet.node.name}"]
    assert all(float(rate) > 0 for _, rate in rows)


class TestRefusals:
    """What a node can be wrong about stops the play before anything is touched."""

    @pytest.fixture(autouse=True)
    def untouched(self, fleet: Fleet) -> Any:
        before = fleet.pids()
        yield
        assert fleet.pids() == before

    def test_a_port_that_something_else_has(self, fleet: Fleet) -> None:
        fleet.node.run("systemd-run", "--unit=thief", "python3", "-m", "http.server", "7287")
        until(lambda: requests.get(fleet.url(7287), timeout=5).ok, "the thief listens")
        run = fleet.site(mcp_server_count=4)
        fleet.node.run("systemctl", "stop", "thief")
        assert run.status != 0
        taken = r"port 7287: taken by python3 \(pid \d+, thief.service\), wanted for canton-mcp@7287.service; stop it"
        assert re.search(taken, run.output)

    def test_an_operating_system_that_is_not_supported(self, fleet: Fleet) -> None:
        fleet.shell(
            "rm /etc/os-release; printf 'ID=fedora\\nVERSION_ID=45\\nPRETTY_NAME=\"Fedora 45\"\\n' > /etc/os-release"
        )
        run = fleet.site()
        fleet.node.run("ln", "-sf", "../usr/lib/os-release", "/etc/os-release")
        assert run.status != 0
        assert "Fedora 45 is not supported; use Debian 12 or later, or Ubuntu 24.04 or later" in run.output

    def test_a_python_that_is_too_old(self, fleet: Fleet) -> None:
        fleet.shell("printf '#!/bin/sh\\necho 3 9\\n' > /root/python3.9; chmod +x /root/python3.9")
        run = fleet.site(canton_release_python="/root/python3.9")
        assert run.status != 0
        assert (
            "canton_release_python: /root/python3.9 is Python 3.9; name an interpreter of 3.11 or later"
            in run.output
        )

    def test_a_teardown_by_mistake(self, fleet: Fleet) -> None:
        run = play(fleet.inventory, "playbooks/teardown.yml")
        assert run.status != 0 and "Say so with -e teardown=yes" in run.output


def test_teardown_leaves_nothing(fleet: Fleet) -> None:
    play(fleet.inventory, "playbooks/teardown.yml", teardown="yes").ok()
    left = fleet.node.run(
        "sh",
        "-c",
        "ls -d /opt/canton-mcp /etc/canton-mcp /etc/haproxy /usr/local/bin/canton-mcp /usr/local/sbin/haproxy*"
        " /run/canton-mcp* /run/haproxy* /etc/systemd/system/*canton* /etc/systemd/system/*dcap* /var/lib/*/dcap-hub 2>/dev/null;"
        "getent passwd canton-mcp; systemctl list-units --all --plain --no-legend 'canton-mcp*' 'haproxy*' 'dcap-hub*'; true",
    )
    assert left == ""
