"""Filters over the settings of a hub: what is wrong with them, and the servers that it is to expect."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_SID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_TOKEN = re.compile(r"[!-~]{16,}")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIZE = re.compile(r"\d+(\.\d+)?[KMGT%]?|infinity")
_UPSTREAM = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>\d{1,5})")
_KEYS = ("sid", "name", "host", "port", "url", "discover_interval_sec")
_DISCOVER_SEC = 60  # what the role mcp_server has by itself


def dcap_hub_problems(variables: Mapping[str, Any]) -> list[str]:
    """Everything wrong with the role's settings, absent ones being at default: a line each, with value, reason and remedy."""
    problems = [
        f"{name}: {value!r} is not an IP address; use 127.0.0.1, 0.0.0.0 or one of the machine's own"
        for name in ("dcap_hub_bind", "dcap_hub_listen")
        if _address(value := variables.get(name, "0.0.0.0")) is None
    ]
    problems += _number(variables, "dcap_hub_port", 1024, 65535, "a port that an ordinary account may open")
    problems += _number(variables, "dcap_hub_retention_days", 1, 3650, "a number of days")
    token = variables.get("dcap_hub_token", "")
    if token and not (isinstance(token, str) and _TOKEN.fullmatch(token)):  # the value is never shown
        problems.append(
            "dcap_hub_token: is too short, or holds spaces or letters beyond ASCII; use 16 or more, as from openssl rand -hex 16"
        )
    if not _SIZE.fullmatch(str(variables.get("dcap_hub_memory_max", "512M"))):
        problems.append(
            f"dcap_hub_memory_max: {variables['dcap_hub_memory_max']!r} is not a size; use one of systemd's, such as 512M"
        )
    problems += _each(variables, "dcap_hub_trusted_networks", _is_network, "a network such as 192.0.2.0/24")
    problems += _each(variables, "dcap_hub_upstreams", _is_upstream, "another hub; write HOST:PORT")
    problems += _each(variables, "dcap_hub_allowed_hosts", _is_host, "a host name; write it without a port")
    problems += _server_problems(variables.get("dcap_hub_servers", []))
    return problems + _environment_problems(variables.get("dcap_hub_environment", {}))


def dcap_hub_servers(fleet: Iterable[Any], hostvars: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the hub is to expect of a fleet, as ``mcp_server_fleet`` describes it."""
    return [
        {
            "sid": server["dcap_server_id"],
            "name": server["dcap_server_name"],
            "host": server["host"],
            "port": server["port"],
            "url": server["url"],
            "discover_interval_sec": int(
                hostvars[server["host"]].get("mcp_server_dcap_discover_interval", _DISCOVER_SEC)
            ),
        }
        for server in fleet
        if isinstance(server, Mapping)
    ]


def dcap_hub_networks(fleet: Iterable[Any], more: Sequence[str] = ()) -> list[str]:
    """Where the servers of a fleet send from, as far as they are known by address, and ``more``."""
    addresses = (_address(server.get("address")) for server in fleet if isinstance(server, Mapping))
    return list(dict.fromkeys([*(str(address) for address in addresses if address), *more]))


def dcap_hub_guarded(bind: Any, token: Any) -> bool:
    """Whether the page wants a token: one is set, or others than this machine can reach it."""
    address = _address(bind)
    return bool(token) or address is None or not address.is_loopback


def dcap_hub_target(bind: Any, port: Any) -> str:
    """How programs on the hub's own machine reach its page, as ADDRESS:PORT."""
    address = _address(bind)
    if address is None or address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address is None or address.version == 4 else "::1")
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _address(value: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(str(value))
    except ValueError:
        return None


def _number(variables: Mapping[str, Any], name: str, least: int, most: int, meaning: str) -> list[str]:
    value = variables.get(name, least)
    if str(value).isdecimal() and least <= int(value) <= most:
        return []
    return [f"{name}: {value!r} is not {meaning}; use one from {least} to {most}"]


def _each(variables: Mapping[str, Any], name: str, fits: Any, meaning: str) -> list[str]:
    values = variables.get(name) or []
    if isinstance(values, str) or not isinstance(values, Sequence):
        return [f"{name}: {values!r} is not a list; write [{values}]"]
    return [f"{name}: {value!r} is not {meaning}" for value in values if not fits(str(value))]


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _is_upstream(text: str) -> bool:
    match = _UPSTREAM.fullmatch(text)
    if match is None or not 0 < int(match["port"]) <= 65535:
        return False
    return match["six"] is None or _address(match["six"]) is not None


def _is_host(text: str) -> bool:
    return bool(_HOST.fullmatch(text)) or _address(text) is not None


def _server_problems(servers: Any) -> list[str]:
    known = [server for server in servers if isinstance(server, Mapping) and set(server) <= set(_KEYS)]
    problems = [
        f"dcap_hub_servers: {server!r} is not a server; write an entry with {', '.join(_KEYS)}"
        for server in servers
        if server not in known
    ]
    sids = Counter(str(server.get("sid", "")) for server in known)
    problems += [
        f"dcap_hub_servers: sid {sid!r} is malformed; use 1 to 64 of A-Z a-z 0-9 . _ : -"
        for sid in sids
        if not _SID.fullmatch(sid)
    ]
    return problems + [
        f"dcap_hub_servers: sid {sid!r} is listed {count} times; list each server once"
        for sid, count in sids.items()
        if count > 1
    ]


def _environment_problems(environment: Any) -> list[str]:
    if not isinstance(environment, Mapping):
        return [f"dcap_hub_environment: {environment!r} is not a dictionary; write {{NAME: value}}"]
    odd = [name for name in environment if not _VARIABLE.fullmatch(str(name))]
    broken = [name for name, value in environment.items() if re.search(r'[\x00-\x1f\x7f"\\$]', str(value))]
    return [
        f"dcap_hub_environment: {name!r} is not a variable name; use letters, digits and _" for name in odd
    ] + [
        f"dcap_hub_environment: the value of {name} holds a quote, a backslash, a dollar or a line break; leave it out"
        for name in broken
    ]


class FilterModule:
    """Hands the filters to Ansible."""

    def filters(self) -> dict[str, Any]:
        return {name: value for name, value in globals().items() if name.startswith("dcap_hub_")}
