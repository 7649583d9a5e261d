"""Filters over the settings of the hub."""

from __future__ import annotations

from typing import Any

import dcap_hub as hub
import pytest
import report

SERVER = {
    "sid": "canton-mcp-1",
    "name": "One",
    "host": "mcp-a",
    "port": 7284,
    "url": "http://192.0.2.11:7284",
}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dcap_hub_bind": "::", "dcap_hub_listen": "239.255.0.1", "dcap_hub_port": "10191"},
        {
            "dcap_hub_token": "0123456789abcdef",
            "dcap_hub_trusted_networks": ["192.0.2.0/24", "2001:db8::/32", "192.0.2.7"],
        },
        {
            "dcap_hub_upstreams": ["hub.example.net:10191", "[2001:db8::1]:10191"],
            "dcap_hub_allowed_hosts": ["hub.example.net"],
        },
        {
            "dcap_hub_servers": [SERVER, SERVER | {"sid": "canton-mcp-2"}],
            "dcap_hub_environment": {"DCAP_HUB_RATE": 200},
        },
    ],
)
def test_what_fits_passes(settings: dict[str, Any]) -> None:
    assert hub.dcap_hub_problems(settings) == []


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"dcap_hub_bind": "monitor"}, "dcap_hub_bind: 'monitor' is not an IP address; use 127.0.0.1, 0.0.0.0 or one of"),
        ({"dcap_hub_listen": None}, "dcap_hub_listen: None is not an IP address"),
        ({"dcap_hub_port": 80}, "dcap_hub_port: 80 is not a port that an ordinary account may open; use one from 1024 to 65535"),
        ({"dcap_hub_port": "many"}, "dcap_hub_port: 'many' is not a port"),
        ({"dcap_hub_retention_days": 0}, "dcap_hub_retention_days: 0 is not a number of days; use one from 1 to 3650"),
        ({"dcap_hub_memory_max": "much"}, "dcap_hub_memory_max: 'much' is not a size; use one of systemd's, such as 512M"),
        ({"dcap_hub_trusted_networks": ["192.0.2.1/24"]}, "dcap_hub_trusted_networks: '192.0.2.1/24' is not a network such as"),
        ({"dcap_hub_trusted_networks": "192.0.2.0/24"}, "dcap_hub_trusted_networks: '192.0.2.0/24' is not a list; write [192"),
        ({"dcap_hub_upstreams": ["hub.example.net"]}, "dcap_hub_upstreams: 'hub.example.net' is not another hub; write HOST:PORT"),
        ({"dcap_hub_upstreams": ["hub:70000"]}, "dcap_hub_upstreams: 'hub:70000' is not another hub"),
        ({"dcap_hub_upstreams": ["[::x]:1"]}, "dcap_hub_upstreams: '[::x]:1' is not another hub"),
        ({"dcap_hub_allowed_hosts": ["hub:80"]}, "dcap_hub_allowed_hosts: 'hub:80' is not a host name; write it without a port"),
        ({"dcap_hub_servers": ["canton-mcp-1"]}, "dcap_hub_servers: 'canton-mcp-1' is not a server; write an entry with sid"),
        ({"dcap_hub_servers": [{"id": "x"}]}, "dcap_hub_servers: {'id': 'x'} is not a server"),
        ({"dcap_hub_servers": [SERVER | {"sid": "a b"}]}, "dcap_hub_servers: sid 'a b' is malformed; use 1 to 64 of"),
        ({"dcap_hub_servers": [SERVER, SERVER]}, "dcap_hub_servers: sid 'canton-mcp-1' is listed 2 times; list each server once"),
        ({"dcap_hub_environment": ["A"]}, "dcap_hub_environment: ['A'] is not a dictionary"),
        ({"dcap_hub_environment": {"A-B": 1}}, "dcap_hub_environment: 'A-B' is not a variable name"),
        ({"dcap_hub_environment": {"A": 'b"c'}}, "dcap_hub_environment: the value of A holds a quote"),
    ],
)  # fmt: skip
def test_what_does_not_is_told_with_a_remedy(settings: dict[str, Any], line: str) -> None:
    (problem,) = hub.dcap_hub_problems(settings)
    assert problem.startswith(line)


@pytest.mark.parametrize("token", ["sesame", "with some spaces in it", 1234567890123456])
def test_a_token_that_is_refused_is_not_shown(token: Any) -> None:
    (problem,) = hub.dcap_hub_problems({"dcap_hub_token": token})
    assert problem.startswith("dcap_hub_token: is too short") and str(token) not in problem


@pytest.mark.parametrize(
    ("bind", "token", "guarded"),
    [
        ("127.0.0.1", "", False), ("127.0.0.53", "", False), ("::1", "", False), ("127.0.0.1", "t", True),
        ("0.0.0.0", "", True), ("::", "", True), ("192.0.2.1", "", True),
    ],
)  # fmt: skip
def test_others_than_this_machine_need_a_token(bind: str, token: str, guarded: bool) -> None:
    assert hub.dcap_hub_guarded(bind, token) is guarded


def test_the_fleet_is_what_the_hub_expects_and_trusts() -> None:
    server = {
        "dcap_server_id": "canton-mcp-1",
        "dcap_server_name": "One",
        "memory_max": None,
        "number": 1,
        **SERVER,
    }
    fleet = [server | {"address": "192.0.2.11"}, server | {"address": "mcp-b.example.net"}, "no server"]
    hostvars = {"mcp-a": {"mcp_server_dcap_discover_interval": "20"}}
    assert hub.dcap_hub_servers(fleet, hostvars)[0] == SERVER | {"discover_interval_sec": 20}
    assert hub.dcap_hub_servers(fleet, {"mcp-a": {}})[0]["discover_interval_sec"] == 60
    assert hub.dcap_hub_networks(fleet, ["198.51.100.0/24"]) == ["192.0.2.11", "198.51.100.0/24"]


@pytest.mark.parametrize(
    ("bind", "target"),
    [
        ("0.0.0.0", "127.0.0.1:10191"), ("127.0.0.1", "127.0.0.1:10191"), ("192.0.2.31", "192.0.2.31:10191"),
        ("::", "[::1]:10191"), ("2001:db8::1", "[2001:db8::1]:10191"),
    ],
)  # fmt: skip
def test_programs_beside_the_hub_know_its_address(bind: str, target: str) -> None:
    assert hub.dcap_hub_target(bind, 10191) == target


def test_prometheus_reads_every_server_and_the_balancers_that_it_can_reach() -> None:
    fleet = [SERVER | {"dcap_server_id": "canton-mcp-1"}]
    assert report.report_scraped_servers(fleet) == [
        {"sid": "canton-mcp-1", "host": "mcp-a", "target": "192.0.2.11:7284"}
    ]
    hostvars = {
        "m": {"ansible_host": "192.0.2.31"},
        "lb-1": {"ansible_host": "192.0.2.21"},
        "lb-2": {
            "ansible_host": "192.0.2.22",
            "haproxy_stats_address": "0.0.0.0",
            "haproxy_stats_port": 8405,
        },
    }
    assert report.report_scraped_balancers(["m", "lb-1", "lb-2"], hostvars, "m") == [
        "127.0.0.1:8404", "192.0.2.22:8405",
    ]  # fmt: skip
