"""Filters over the ports of what runs beside the servers, each given by the variable that sets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

# Who listens, and on the machines of which group.
_PARTS = {
    "mcp_balancer_port": ("load_balancers", "the balancer"),
    "haproxy_stats_port": ("load_balancers", "the statistics of HAProxy"),
    "dcap_hub_port": ("monitors", "the hub's page"),
    "monitoring_prometheus_address": ("monitors", "Prometheus"),
    "monitoring_alertmanager_address": ("monitors", "Alertmanager"),
}


def ports_problems(ports: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """What is wrong with the ports: a line each, with the value, the reason and the remedy."""
    problems = [
        f"{name}: {port!r} is not a TCP port; use one from 1 to 65535"
        for name, port in ports.items()
        if not _is_port(port)
    ]
    for (one, port), (other, same) in combinations(ports.items(), 2):
        together = set(_hosts(one, groups)) & set(_hosts(other, groups))
        if together and str(port) == str(same):
            problems.append(f"{one} and {other}: both are {port}; give each a port of its own")
    return problems


def ports_taken(ports: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> dict[str, dict[int, str]]:
    """What uses which port, by host."""
    taken: dict[str, dict[int, str]] = {}
    for name, port in ports.items():
        for host in _hosts(name, groups) if _is_port(port) else ():
            taken.setdefault(host, {})[int(port)] = f"{_PARTS[name][1]} ({name})"
    return taken


def _hosts(name: str, groups: Mapping[str, Sequence[str]]) -> Sequence[str]:
    return groups.get(_PARTS[name][0], ())


def _is_port(port: Any) -> bool:
    return str(port).isdecimal() and 1 <= int(port) <= 65535


class FilterModule:
    """Hands the filters to Ansible."""

    def filters(self) -> dict[str, Any]:
        return {name: value for name, value in globals().items() if name.startswith("ports_")}
