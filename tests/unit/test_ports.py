"""Filters over the ports of balancer, hub and monitoring."""

from __future__ import annotations

from typing import Any

import ports
import pytest

GROUPS = {"load_balancers": ["lb", "all"], "monitors": ["mon", "all"], "mcp_hosts": ["a", "all"]}
FINE = {"mcp_balancer_port": 7280, "haproxy_stats_port": "8404", "dcap_hub_port": 10191}


def test_ports_of_their_own_are_fine() -> None:
    assert ports.ports_problems(FINE, GROUPS) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"dcap_hub_port": 7280},
            "mcp_balancer_port and dcap_hub_port: both are 7280; give each a port of its own",
        ),
        ({"haproxy_stats_port": "7280"}, "mcp_balancer_port and haproxy_stats_port: both are 7280"),
        ({"dcap_hub_port": "ten"}, "dcap_hub_port: 'ten' is not a TCP port; use one from 1 to 65535"),
        (
            {"monitoring_prometheus_address": "10191"},
            "dcap_hub_port and monitoring_prometheus_address: both are 10191",
        ),
    ],
)
def test_a_clash_is_told(change: dict[str, Any], line: str) -> None:
    (problem,) = ports.ports_problems(FINE | change, GROUPS)
    assert problem.startswith(line)


def test_different_machines_do_not_clash() -> None:
    apart = {"load_balancers": ["lb"], "monitors": ["mon"]}
    assert ports.ports_problems(FINE | {"dcap_hub_port": 7280}, apart) == []


def test_what_uses_a_port_is_known_by_host() -> None:
    taken = ports.ports_taken(FINE | {"dcap_hub_port": "no port"}, GROUPS)
    assert taken == {
        host: {
            7280: "the balancer (mcp_balancer_port)",
            8404: "the statistics of HAProxy (haproxy_stats_port)",
        }
        for host in ("lb", "all")
    }
    assert ports.ports_taken({"dcap_hub_port": 10191}, GROUPS)["mon"] == {
        10191: "the hub's page (dcap_hub_port)"
    }
    assert ports.ports_taken(FINE, {}) == {}
