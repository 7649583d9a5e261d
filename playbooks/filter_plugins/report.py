"""Filters that turn what the nodes say into the tables an operator reads."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

NO_ANSWER = "no answer"
_AB_FIELDS = {
    "requests": r"Complete requests:\s+(\d+)",
    "failed": r"Failed requests:\s+(\d+)",
    "not_2xx": r"Non-2xx responses:\s+(\d+)",
    "per_second": r"Requests per second:\s+([\d.]+)",
    "p50_ms": r"^\s+50%\s+(\d+)",
    "p95_ms": r"^\s+95%\s+(\d+)",
    "p99_ms": r"^\s+99%\s+(\d+)",
    "longest_ms": r"^\s+100%\s+(\d+)",
}


def report_probe(stdout: Any) -> list[dict[str, Any]]:
    """The rows of ``canton-mcp probe --json``; none when it did not run."""
    try:
        rows = json.loads(stdout or "[]")
    except ValueError:
        return []
    return rows if isinstance(rows, list) else []


def report_unfit(hosts: Sequence[str], hostvars: Mapping[str, Any]) -> list[str]:
    """What the preflight found on the machines that answered, a line each."""
    found = {host: (hostvars[host].get("canton_machine") or {}).get("problems") or [] for host in hosts}
    return [f"{host}: {problem}" for host, problems in found.items() for problem in problems]


def report_probes(hosts: Sequence[str], hostvars: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What the probe of every host said, by host."""
    return {host: report_probe((hostvars[host].get("canton_probe") or {}).get("stdout")) for host in hosts}


def report_rotations(hosts: Sequence[str], hostvars: Mapping[str, Any], backend: str) -> list[dict[str, str]]:
    """Per balancer, the status of every server of a backend, from HAProxy's statistics in CSV.

    A balancer that does not answer has one entry, ``{"": "no answer"}``.
    """
    return [
        _rotation_of((hostvars[host].get("canton_statistics") or {}).get("content"), backend)
        for host in hosts
    ]


def _rotation_of(answer: str | None, backend: str) -> dict[str, str]:
    if not answer:
        return {"": NO_ANSWER}
    table = csv.DictReader(io.StringIO(answer.lstrip("# ")))
    return {
        row["svname"]: row["status"]
        for row in table
        if row["pxname"] == backend and row["svname"] != "BACKEND"
    }


def _services(stdout: str) -> list[dict[str, str]]:
    """Units as dictionaries, from the blocks of ``systemctl show``."""
    blocks = (stdout or "").strip().split("\n\n")
    return [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks if block
    ]


def report_status(
    fleet: Sequence[Mapping[str, Any]],
    probes: Mapping[str, Sequence[Mapping[str, Any]]],
    rotations: Sequence[Mapping[str, str]],
    asked: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """One row per server: what systemd, the server itself and every balancer say of it.

    ``asked`` are the hosts that this run is about, all of them by default.
    """
    rows = []
    for server in fleet:
        probed = {row["port"]: row for row in probes.get(server["host"], [])}.get(server["port"], {})
        health = probed.get("health") or {}
        rows.append(
            {
                "server": server["dcap_server_id"],
                "host": server["host"],
                "url": server["url"],
                "unit": _unit(probed.get("active_state"), probed.get("sub_state")),
                "health": "not asked"
                if asked is not None and server["host"] not in asked
                else _health(probed),
                "release": health.get("release"),
                "since": _since(probed.get("since")),
                "memory": _memory(probed.get("memory_bytes")),
                "in_rotation": _rotation(server["dcap_server_id"], rotations),
            }
        )
    return rows


def report_health(servers: Sequence[Mapping[str, Any]], stdout: Any) -> str:
    """Every server's own answer as indented JSON under its name."""
    probed = {row["port"]: row for row in report_probe(stdout)}
    parts = []
    for server in servers:
        row = probed.get(server["port"], {})
        answer = json.dumps(row["health"], indent=2) if row.get("health") else _health(row)
        parts.append(f"{server['dcap_server_id']} ({server['url']})\n{answer}")
    return "\n\n".join(parts)


def report_sick(servers: Sequence[Mapping[str, Any]], stdout: Any) -> list[str]:
    """One line per server that does not answer, with the place to look."""
    probed = {row["port"]: row for row in report_probe(stdout)}
    return [
        f"{server['dcap_server_id']} ({server['url']}) is {_health(row)}; see journalctl -u canton-mcp@{server['port']}"
        for server in servers
        if not (row := probed.get(server["port"], {})).get("health") or row.get("error")
    ]


def report_targets(
    fleet: Sequence[Mapping[str, Any]], balancers: Sequence[str], hostvars: Mapping[str, Any], port: Any
) -> list[dict[str, str]]:
    """Name and endpoint of every server, then of every balancer."""
    targets = [{"name": server["dcap_server_id"], "url": f"{server['url']}/mcp"} for server in fleet]
    return targets + [
        {"name": f"balancer {host}", "url": _balancer_url(hostvars[host], port)} for host in balancers
    ]


def report_scraped_servers(fleet: Sequence[Any]) -> list[dict[str, str]]:
    """Where the metrics of every server are, as the role ``monitoring`` wants it."""
    return [
        {
            "sid": server["dcap_server_id"],
            "host": server["host"],
            "target": urlsplit(server["url"]).netloc,
        }
        for server in fleet
        if isinstance(server, Mapping)
    ]


def report_scraped_balancers(hosts: Sequence[str], hostvars: Mapping[str, Any], here: str) -> list[str]:
    """Where the metrics of every balancer are, seen from the machine ``here``; loopback is seen by itself alone."""
    targets = []
    for host in hosts:
        variables = hostvars[host]
        bind = str(variables.get("haproxy_stats_address") or "127.0.0.1")
        local = bind.startswith("127.") or bind == "::1"
        if local and host != here:
            continue
        address = bind if local else _host(variables)
        shown = f"[{address}]" if address == "::1" else address
        targets.append(f"{shown}:{variables.get('haproxy_stats_port', 8404)}")
    return targets


def _balancer_url(variables: Mapping[str, Any], port: Any) -> str:
    """The endpoint of a balancer."""
    return f"http://{_host(variables)}:{port}/mcp"


def _hub_url(variables: Mapping[str, Any], port: Any) -> str:
    """The page of a hub, on loopback unless it is bound elsewhere."""
    bind = str(variables.get("dcap_hub_bind") or "127.0.0.1")
    host = bind if bind.startswith("127.") or bind == "::1" else _host(variables)
    return f"http://{f'[{host}]' if host == '::1' else host}:{port}/"


def _host(variables: Mapping[str, Any]) -> str:
    """The address by which a host is known to the inventory, as it stands in URLs."""
    local = "127.0.0.1" if variables.get("ansible_connection") == "local" else None
    known = (variables.get("mcp_server_address"), local, variables.get("ansible_host"))
    address = str(next(filter(None, known), variables.get("inventory_hostname")))
    return f"[{address}]" if ":" in address else address


def report_service_table(
    hosts: Sequence[str],
    hostvars: Mapping[str, Any],
    groups: Mapping[str, Sequence[str]],
    balancer_port: Any,
    hub_port: Any,
) -> list[dict[str, Any]]:
    """One row per balancer, tester and hub, from what systemd says on its host."""
    rows = []
    for host in hosts:
        variables = hostvars[host]
        units = {
            unit.get("Id"): unit
            for unit in _services((variables.get("canton_services") or {}).get("stdout", ""))
        }
        parts = (
            ("load_balancers", "haproxy.service", _balancer_url(variables, balancer_port)),
            ("testers", "canton-mcp-tester.service", None),
            ("monitors", "dcap-hub.service", _hub_url(variables, hub_port)),
        )
        rows += [
            _service_row(host, units.get(name, {"Id": name}), url)
            for group, name, url in parts
            if host in groups.get(group, [])
        ]
    return rows


def _service_row(host: str, unit: Mapping[str, str], url: str | None) -> dict[str, Any]:
    return {
        "server": unit["Id"].removesuffix(".service"),
        "host": host,
        "url": url,
        "unit": _unit(unit.get("ActiveState"), unit.get("SubState")),
        "health": "running" if unit.get("ActiveState") == "active" else "DOWN",
        "since": _since(unit.get("ActiveEnterTimestamp")),
        "memory": _memory(unit.get("MemoryCurrent")),
    }


def _unit(active: Any, sub: Any) -> str:
    return f"{active} ({sub})" if active and sub else str(active or "unknown")


def _health(probed: Mapping[str, Any]) -> str:
    if not probed:
        return "DOWN: not installed, or out of reach"
    if not probed.get("health"):
        return f"DOWN: {probed.get('error') or 'no answer'}"
    state = "draining" if probed["health"].get("draining") else probed["health"].get("status", "unknown")
    return f"{state}, STALE ({'; '.join(probed['stale'])})" if probed.get("stale") else str(state)


def _since(stamp: Any) -> str | None:
    """Date and time to the second, from systemd's or ISO form."""
    match = re.search(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)", str(stamp or ""))
    return f"{match[1]} {match[2]}" if match else None


def _memory(value: Any) -> str | None:
    return f"{int(value) / 2**20:.0f} MiB" if str(value or "").isdecimal() and int(value) < 2**60 else None


def _rotation(server: str, rotations: Sequence[Mapping[str, str]]) -> str:
    states = [rotation.get(server) or rotation.get("", "absent") for rotation in rotations]
    if set(states) <= {NO_ANSWER}:
        return "no balancer answers"
    up = sum(state.startswith("UP") for state in states)
    return "yes" if up == len(states) else f"{up} of {len(states)}: {', '.join(sorted(set(states)))}"


def report_ab(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per run of ``ab``: requests, failures, rate and latencies in milliseconds."""
    rows = []
    for result in results:
        text = result.get("stdout", "")
        found = {name: re.search(pattern, text, re.MULTILINE) for name, pattern in _AB_FIELDS.items()}
        values = {name: match[1] if match else None for name, match in found.items()}
        rows.append({"target": result["item"]["name"], **values, "not_2xx": values["not_2xx"] or "0"})
    return rows


class FilterModule:
    """Hands the filters to Ansible."""

    def filters(self) -> dict[str, Any]:
        return {name: value for name, value in globals().items() if name.startswith("report_")}
