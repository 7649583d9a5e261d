"""Wrong settings stop site.yml in its first task, with value, reason and remedy on one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from driver import Run, play

CASES = {
    "duplicate port": (
        {"mcp_servers": [{"port": 7284}, {"port": 7284}]},
        "mcp_servers: port 7284 is declared 2 times (a:7284, a:7284); give each server of a host a port of its own",
    ),
    "port out of range": (
        {"mcp_servers": [{"port": 70000}]},
        "a: mcp_servers, port 70000: port 70000 is out of range; use one from 1024 to 65535",
    ),
    "port not a number": (
        {"mcp_servers": [{"port": "many"}]},
        "a: mcp_servers, port many: port 'many' is not a number; use one from 1024 to 65535",
    ),
    "duplicate id": (
        {"mcp_servers": [{"port": 7284}, {"port": 7285, "dcap_server_id": "canton-mcp-1"}]},
        "mcp_servers: dcap_server_id 'canton-mcp-1' is declared 2 times (a:7284, a:7285); ids are unique in the whole fleet",
    ),
    "malformed id": (
        {"mcp_servers": [{"port": 7284, "dcap_server_id": "my server"}]},
        "a: mcp_servers, port 7284: dcap_server_id 'my server' is malformed; use 1 to 64 of A-Z a-z 0-9 . _ : -",
    ),
    "unknown key": (
        {"mcp_servers": [{"port": 7284, "memory": "1G"}]},
        "a: mcp_servers, port 7284: unknown key 'memory'; did you mean 'memory_max'?",
    ),
    "not a server": (
        {"mcp_servers": [7284]},
        "mcp_servers: 7284 is not a server; write an entry such as {port: 7284}",
    ),
    "no servers": (
        {"mcp_server_count": 0},
        "mcp_servers: there are no servers; set mcp_server_count to 1 or more",
    ),
    "count not a number": (
        {"mcp_server_count": "three"},
        "mcp_servers: 'three servers from port 7284' is not a server; write an entry such as {port: 7284}",
    ),
    "bad DCAP address": (
        {"mcp_server_dcap_target": "192.0.2.300"},
        "mcp_server_dcap_target: '192.0.2.300' is neither an IP address nor a host name; use one, or '' to send nothing",
    ),
    "bad DCAP name": (
        {"mcp_server_dcap_target": "my hub"},
        "mcp_server_dcap_target: 'my hub' is neither an IP address nor a host name; use one, or '' to send nothing",
    ),
    "bad DCAP port": (
        {"mcp_server_dcap_port": 99999},
        "mcp_server_dcap_port: 99999 is not a UDP port; use one from 1 to 65535",
    ),
    "payments for all": (
        {"mcp_server_environment": {"X402_ENABLED": True}},
        "mcp_server_environment: X402_ENABLED=True asks for payments, which are not available yet; remove it",
    ),
    "payments for one": (
        {"mcp_servers": [{"port": 7284, "environment": {"X402_ENABLED": "true"}}]},
        "a: mcp_servers, port 7284: environment: X402_ENABLED=true asks for payments, which are not available yet; remove it",
    ),
    "balancer port clash": (
        {"mcp_balancer_port": 7285},
        "a: mcp_servers, port 7285: port 7285 is used by the balancer (mcp_balancer_port); choose another port for one of them",
    ),
    "one port for balancer and statistics": (
        {"mcp_balancer_port": 8404},
        "mcp_balancer_port and haproxy_stats_port: both are 8404; give each a port of its own",
    ),
    "balancer port not a number": (
        {"mcp_balancer_port": "web"},
        "mcp_balancer_port: 'web' is not a TCP port; use one from 1 to 65535",
    ),
    "address to listen on": (
        {"mcp_server_bind": "localhost"},
        "mcp_server_bind: 'localhost' is not an IP address; use 0.0.0.0 or one of the machine's own",
    ),
    "threads": (
        {"mcp_server_threads": 0},
        "mcp_server_threads: 0 is not a number of threads; use one from 2 to 512",
    ),
    "misspelt setting": (
        {"mcp_server_cuont": 4},
        "mcp_server_cuont: is not a setting; did you mean 'mcp_server_count'?",
    ),
    "memory of all servers": (
        {"mcp_server_memory_max": "lots"},
        "mcp_server_memory_max 'lots' is not valid; use a systemd size such as 512M",
    ),
    "fewer tasks than threads": (
        {"mcp_server_threads": 100},
        "mcp_server_tasks_max: 128 is too few for 100 threads; use 416 or more",
    ),
    "a variable of the role": (
        {"mcp_server_environment": {"CANTON_MCP_BIND": "127.0.0.1"}},
        "mcp_server_environment: CANTON_MCP_BIND comes from the role; set mcp_server_bind instead",
    ),
    "limit": (
        {"mcp_servers": [{"port": 7284, "memory_max": "lots"}]},
        "a: mcp_servers, port 7284: memory_max 'lots' is not valid; use a systemd size such as 512M",
    ),
}


def site(tmp_path: Path, hosts: dict[str, Any], variables: dict[str, Any]) -> Run:
    """site.yml against hosts that are never reached: every one is this machine, and the first task fails."""
    group: dict[str, Any] = {"hosts": {name: {} for name in hosts}}
    inventory = {
        "all": {
            "hosts": {name: {"ansible_connection": "local", **own} for name, own in hosts.items()},
            "vars": variables,
            "children": {"mcp_hosts": group, "load_balancers": {"hosts": {"a": {}}}},
        }
    }
    path = tmp_path / "hosts.yml"
    path.write_text(json.dumps(inventory))
    return play(path, "site.yml")


@pytest.mark.parametrize("case", CASES)
def test_wrong_setting(tmp_path: Path, case: str) -> None:
    variables, message = CASES[case]
    run = site(tmp_path, {"a": {}}, variables)
    assert run.status != 0
    assert message in run.output
    assert run.output.count("TASK [") == 1 and "Traceback" not in run.output


def test_ids_are_unique_over_all_machines(tmp_path: Path) -> None:
    server = {"mcp_servers": [{"port": 7284, "dcap_server_id": "same"}]}
    run = site(tmp_path, {"a": server, "b": server}, {})
    assert run.status != 0
    assert "dcap_server_id 'same' is declared 2 times (a:7284, b:7284)" in run.output


def test_a_misspelt_group(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    host = {"hosts": {"a": {"ansible_connection": "local"}}}
    path.write_text(json.dumps({"all": {"children": {"mcp_hosts": host, "load_balancer": host}}}))
    run = play(path, "site.yml")
    assert run.status != 0
    expected = "group load_balancer: is not one of mcp_hosts, load_balancers, testers, monitors; did you mean 'load_balancers'?"
    assert expected in run.output


def test_an_inventory_that_is_not_there(tmp_path: Path) -> None:
    run = play(tmp_path / "nothere", "site.yml")
    assert run.status != 0 and "PLAY [" not in run.output


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    variables = {"mcp_servers": [{"port": 80}, {"prot": 7284}], "mcp_server_dcap_port": 0}
    output = site(tmp_path, {"a": {}}, variables).output
    assert "port 80 is out of range" in output
    assert "unknown key 'prot'; did you mean 'port'?" in output
    assert "mcp_server_dcap_port: 0 is not a UDP port" in output
