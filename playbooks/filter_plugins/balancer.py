"""Filters over the ports of a balancer, given by the variable that sets each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_PURPOSE = {
    "mcp_balancer_port": "the balancer (mcp_balancer_port)",
    "haproxy_stats_port": "the statistics of HAProxy (haproxy_stats_port)",
}


def balancer_problems(ports: Mapping[str, Any]) -> list[str]:
    """What is wrong with the ports: a line each, with the value, the reason and the remedy."""
    problems = [
        f"{name}: {port!r} is not a TCP port; use one from 1 to 65535"
        for name, port in ports.items()
        if not str(port).isdecimal() or not 1 <= int(port) <= 65535
    ]
    if len({str(port) for port in ports.values()}) < len(ports):
        same = " and ".join(ports)
        problems.append(f"{same}: both are {next(iter(ports.values()))}; give each a port of its own")
    return problems


def balancer_taken(hosts: Iterable[str], ports: Mapping[str, Any]) -> dict[str, dict[int, str]]:
    """What uses which port of the hosts that balance."""
    taken = {int(port): _PURPOSE[name] for name, port in ports.items() if str(port).isdecimal()}
    return dict.fromkeys(hosts, taken)


class FilterModule:
    """Hands the filters to Ansible."""

    def filters(self) -> dict[str, Any]:
        return {name: value for name, value in globals().items() if name.startswith("balancer_")}
