"""Filters over the one list that declares a fleet: who the servers are, what is wrong, what to show.

A *server* is a dictionary with every key of ``DEFAULTS`` plus ``host``, ``address``, ``number``, ``port``, ``name``,
``dcap_server_id``, ``dcap_server_name`` and ``url``. Operators write ``port`` alone; the rest follows from it.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import hashlib
import ipaddress
import json
import re
import secrets
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit

from ansible.errors import AnsibleFilterError

FIRST_PORT = 7284
COUNT = 3
DEFAULTS: dict[str, Any] = {"memory_max": None, "tasks_max": None, "cpu_weight": None, "environment": {}}
IDENTITY = ("port", "number", "name", "dcap_server_id", "dcap_server_name", "url")
KEYS = (*IDENTITY, *DEFAULTS)
DERIVED = ("host", "address")

_SID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LIMITS = {
    "memory_max": (re.compile(r"\d+(\.\d+)?[KMGT%]?|infinity"), "a systemd size such as 512M"),
    "tasks_max": (re.compile(r"\d+%?|infinity"), "a number of tasks such as 64"),
    "cpu_weight": (re.compile(r"idle|[1-9]\d{0,3}|10000"), "a weight from 1 to 10000"),
}
_DIRECTIVES = {"memory_max": "MemoryMax", "tasks_max": "TasksMax", "cpu_weight": "CPUWeight"}
_TRUE = ("1", "true", "yes", "on")
_MAX_THREADS = 512
_OWN_TASKS = 16  # what a server needs beside the threads that serve
# One secret of several, each on a line of its own; the module mcp_server_secret has the same.
_SECRET = re.compile(r"[!-~](?:[ -~]{30,}[!-~])")
_MIN_SECRET = 32
_MAX_PORT = 65535
_MAX_DISCOVER_SEC = 86400
_MAX_ID = 2**31 - 2
# systemd drops a variable whose value holds one of these, and says so in its log alone.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# Variables that follow from a key of the server's entry, which alone is checked for uniqueness.
_IDENTITY_VARIABLES = {
    "CANTON_MCP_PORT": "port",
    "CANTON_MCP_NAME": "name",
    "MCP_SERVER_URL": "url",
    "DCAP_SERVER_ID": "dcap_server_id",
    "DCAP_SERVER_NAME": "dcap_server_name",
}
# Variables that come from the role, with the setting that they follow from if there is one.
_ROLE_VARIABLES = {
    "CANTON_MCP_BIND": "mcp_server_bind",
    "CANTON_MCP_THREADS": "mcp_server_threads",
    "CANTON_MCP_STREAMS": "mcp_server_streams",
    "CANTON_MCP_DRAIN_DIR": "",
    "CANTON_MCP_UNIT_DIGEST": "",
    "CANTON_MCP_OWN_DIGEST": "",
    "CREDENTIALS_DIRECTORY": "mcp_server_secret",
}


def _declared(entries: Any, count: Any, first_port: Any) -> list[Any]:
    """The operator's entries, or ``count`` of them on consecutive ports from ``first_port``."""
    if entries is not None:
        return list(entries) if isinstance(entries, Sequence) and not isinstance(entries, str) else [entries]
    try:
        ports = range(int(first_port), int(first_port) + int(count))
    except (TypeError, ValueError):
        return [f"{count} servers from port {first_port}"]
    return [{"port": port} for port in ports] if int(count) <= _MAX_PORT else [f"{count} servers"]


def mcp_server_list(
    entries: Any = None,
    count: Any = COUNT,
    first_port: Any = FIRST_PORT,
    first_number: Any = 1,
    address: str = "127.0.0.1",
    host: str = "",
) -> list[Any]:
    """Give every declared server its number, name, DCAP identity and URL.

    Entries that are not dictionaries are passed on as they are: ``mcp_server_problems`` names them.
    """
    if not str(first_number).isdecimal() or int(first_number) < 1:
        raise AnsibleFilterError(
            f"{host and f'{host}: '}mcp_server_first_number: {first_number!r} is not a number; use 1 or more"
        )
    servers: list[Any] = []
    for position, entry in enumerate(_declared(entries, count, first_port)):
        if not isinstance(entry, Mapping):
            servers.append(entry)
            continue
        number = entry.get("number")
        number = int(first_number) + position if number is None else number
        derived = {
            "host": host,
            "address": address,
            "number": number,
            "name": "canton-mcp-server" if number == 1 else f"canton-mcp-server-{number}",
            "dcap_server_id": f"canton-mcp-{number}",
            "dcap_server_name": f"Canton MCP Server {number}",
            "url": f"http://{_in_url(address)}:{entry.get('port')}",
        }
        servers.append({**DEFAULTS, **derived, **{k: v for k, v in entry.items() if v is not None}})
    return servers


def mcp_server_fleet(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    """Every server of ``hosts``, numbered through the whole fleet.

    Per host it reads ``mcp_servers`` (or ``mcp_server_count`` and ``mcp_server_first_port``), ``mcp_server_first_number``
    to pin a host's numbers, and ``mcp_server_address``, which is how the other machines reach it.
    """
    fleet: list[Any] = []
    for host in hosts:
        variables = hostvars[host]
        fleet += mcp_server_list(
            variables.get("mcp_servers"),
            variables.get("mcp_server_count", COUNT),
            variables.get("mcp_server_first_port", FIRST_PORT),
            variables.get("mcp_server_first_number", len(fleet) + 1),
            mcp_server_address(variables),
            host,
        )
    return fleet


def mcp_server_address(variables: Mapping[str, Any]) -> str:
    """The address by which other machines of the fleet reach a host."""
    local = variables.get("ansible_connection") == "local"
    known = [
        variables.get("mcp_server_address"),
        "127.0.0.1" if local else None,
        variables.get("ansible_host"),
    ]
    return str(next((address for address in known if address), variables.get("inventory_hostname")))


def mcp_server_problems(
    servers: Sequence[Any], taken: Mapping[str, Mapping[Any, str]] | None = None
) -> list[str]:
    """Everything wrong with declared servers: a line each, with the place, the value, the reason and the remedy.

    ``taken`` names ports that other parts of the fleet use, as ``{host: {port: by what}}``.
    """
    problems = [] if servers else ["mcp_servers: there are no servers; set mcp_server_count to 1 or more"]
    known = [server for server in servers if isinstance(server, Mapping)]
    problems += [
        f"mcp_servers: {server!r} is not a server; write an entry such as {{port: {FIRST_PORT}}}"
        for server in servers
        if not isinstance(server, Mapping)
    ]
    for server in known:
        problems += _entry_problems(server, taken or {})
    problems += _duplicates(known, ("host", "port"), "port", "give each server of a host a port of its own")
    problems += _duplicates(known, ("dcap_server_id",), "dcap_server_id", "ids are unique in the whole fleet")
    problems += _duplicates(known, ("name",), "name", "names are unique in the whole fleet")
    return problems


def mcp_server_settings_problems(variables: Mapping[str, Any]) -> list[str]:
    """Everything wrong with what the servers of a host share; ``variables`` are the role's, absent ones are at default."""
    problems = _target_problems(
        variables.get("mcp_server_dcap_target", ""), variables.get("mcp_server_dcap_port", 10191)
    )
    interval = variables.get("mcp_server_dcap_discover_interval", 60)
    if not str(interval).isdecimal() or not 1 <= int(interval) <= _MAX_DISCOVER_SEC:
        problems.append(
            f"mcp_server_dcap_discover_interval: {interval!r} is not a number of seconds; use one from 1 to {_MAX_DISCOVER_SEC}"
        )
    bind = variables.get("mcp_server_bind", "0.0.0.0")
    if not _is_address(bind):
        problems.append(
            f"mcp_server_bind: {bind!r} is not an IP address; use 0.0.0.0 or one of the machine's own"
        )
    problems += _thread_problems(variables)
    problems += _secret_problems(variables.get("mcp_server_secret", ""))
    problems += _limit_problems(variables, "mcp_server_")
    shared = variables.get("mcp_server_environment", {})
    return problems + _environment_problems("mcp_server_environment", shared)


def _thread_problems(variables: Mapping[str, Any]) -> list[str]:
    """What is wrong with the numbers of threads, streams and tasks."""
    threads = variables.get("mcp_server_threads", 16)
    if not str(threads).isdecimal() or not 2 <= int(threads) <= _MAX_THREADS:
        return [
            f"mcp_server_threads: {threads!r} is not a number of threads; use one from 2 to {_MAX_THREADS}"
        ]
    most = int(threads) - 1  # a stream keeps its thread, and something has to answer the balancer
    streams = variables.get("mcp_server_streams", int(threads) // 2)
    if not str(streams).isdecimal() or not 1 <= int(streams) <= most:
        return [
            f"mcp_server_streams: {streams!r} is not a number of streams for {threads} threads; use one from 1 to {most}"
        ]
    tasks = variables.get("mcp_server_tasks_max", 128)
    # A request may have its work done by a second thread, and during a reload there are two workers.
    enough = 4 * int(threads) + _OWN_TASKS
    if str(tasks).isdecimal() and int(tasks) < enough:
        return [f"mcp_server_tasks_max: {tasks} is too few for {threads} threads; use {enough} or more"]
    return []


def _secret_problems(secret: Any) -> list[str]:
    """What is wrong with a secret, which is never shown."""
    if secret in ("", None):
        return []
    if not isinstance(secret, str):
        return [
            "mcp_server_secret: is not text; write one secret a line, in quotes if it looks like a number"
        ]
    remedy = f"use {_MIN_SECRET} or more printable ASCII characters a line, such as: openssl rand -hex 32"
    return [
        f"mcp_server_secret: line {number} {_why_no_secret(line)}; {remedy}"
        for number, line in enumerate(secret.strip("\n").split("\n"), 1)
        if not _SECRET.fullmatch(line)
    ]


def _why_no_secret(line: str) -> str:
    if line != line.strip(" "):
        return "begins or ends with a blank"
    if len(line) < _MIN_SECRET:
        return f"has {len(line)} characters"
    return "holds characters that are not printable ASCII"


def mcp_server_secret_problems(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is wrong with a secret that is to be the whole fleet's, but is set for each host."""
    given = {str(hostvars[host].get("mcp_server_secret") or "").strip("\n") for host in hosts}
    if len(given) < 2:
        return []
    return ["mcp_server_secret: differs between hosts of mcp_hosts; set it once, in group_vars/all.yml"]


def mcp_server_agreed_secret(files: Iterable[str]) -> str:
    """The secret of a fleet whose nodes have these files, in base64: what most of them have, else a new one.

    Of those that equally many have it is the first.
    """
    kept = [text for text in map(_secret_in, files) if text]
    return Counter(kept).most_common(1)[0][0] if kept else secrets.token_urlsafe(48)


def mcp_server_has_secret(files: Iterable[str]) -> bool:
    """Whether one of these files, in base64, holds a secret that servers accept."""
    return any(map(_secret_in, files))


def _secret_in(file: str) -> str:
    """The secret in a file; empty when it is none that servers accept."""
    try:
        text = base64.b64decode(file).decode("ascii").strip("\n")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return "" if _secret_problems(text) else text


def _is_address(value: Any) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return isinstance(value, str)


def _entry_problems(server: Mapping[str, Any], taken: Mapping[str, Mapping[Any, str]]) -> list[str]:
    where = f"{server['host']}: " if server.get("host") else ""
    label = f"{where}mcp_servers, port {server.get('port', '?')}"
    problems = []
    for key in server:
        if key not in KEYS and key not in DERIVED:
            guess = difflib.get_close_matches(str(key), KEYS, 1)
            meant = f"did you mean {guess[0]!r}?" if guess else f"known keys are {', '.join(KEYS)}"
            problems.append(f"{label}: unknown key {key!r}; {meant}")
    port = server.get("port")
    port_counts = isinstance(port, int) and not isinstance(port, bool) and 1024 <= port <= _MAX_PORT
    if isinstance(port, bool) or not isinstance(port, int):
        problems.append(f"{label}: port {port!r} is not a number; use one from 1024 to 65535")
    elif not port_counts:
        problems.append(f"{label}: port {port} is out of range; use one from 1024 to 65535")
    elif port in taken.get(server.get("host", ""), {}):
        used_by = taken[server["host"]][port]
        problems.append(f"{label}: port {port} is used by {used_by}; choose another port for one of them")
    number = server.get("number")
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        problems.append(f"{label}: number {number!r} is not a number of a server; use 1 or more")
    sid = server.get("dcap_server_id")
    if not isinstance(sid, str) or not _SID.fullmatch(sid):
        problems.append(f"{label}: dcap_server_id {sid!r} is malformed; use 1 to 64 of A-Z a-z 0-9 . _ : -")
    problems += [f"{label}: {problem}" for problem in _limit_problems(server, "")]
    name, shown, url = (server.get(key) for key in ("name", "dcap_server_name", "url"))
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problems.append(f"{label}: name {name!r} is malformed; use 1 to 64 of A-Z a-z 0-9 . _ -")
    if not isinstance(shown, str) or not shown.strip() or len(shown) > 128 or not shown.isprintable():
        problems.append(
            f"{label}: dcap_server_name {shown!r} is not a line of text; use 1 to 128 printable characters"
        )
    # Without a port that counts, a derived URL would be wrong for the same reason once more.
    if port_counts and not (isinstance(url, str) and _is_base_url(url)):
        problems.append(f"{label}: url {url!r} is not a server's URL; use http://HOST:PORT, without /mcp")
    problems += _environment_problems(f"{label}: environment", server.get("environment"))
    return problems


def _limit_problems(variables: Mapping[str, Any], prefix: str) -> list[str]:
    return [
        f"{prefix}{key} {variables[f'{prefix}{key}']!r} is not valid; use {wanted}"
        for key, (pattern, wanted) in _LIMITS.items()
        if variables.get(f"{prefix}{key}") is not None
        and not pattern.fullmatch(str(variables[f"{prefix}{key}"]))
    ]


def _is_base_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return False
    return bool(known) and text == f"{parts.scheme}://{parts.netloc}" and not re.search(r"\s", text)


def _duplicates(
    servers: Sequence[Mapping[str, Any]], by: tuple[str, ...], key: str, remedy: str
) -> list[str]:
    def identity(server: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(str(server.get(part)) for part in by)

    problems = []
    for _value, same in groupby(sorted(servers, key=identity), key=identity):
        twins = list(same)
        if len(twins) > 1:
            places = ", ".join(f"{twin.get('host') or 'this host'}:{twin.get('port')}" for twin in twins)
            problems.append(
                f"mcp_servers: {key} {twins[0].get(key)!r} is declared {len(twins)} times ({places}); {remedy}"
            )
    return problems


def _target_problems(target: Any, port: Any) -> list[str]:
    problems = []
    if target not in ("", None) and not (isinstance(target, str) and _is_host(target)):
        problems.append(
            f"mcp_server_dcap_target: {target!r} is neither an IP address nor a host name; "
            "use one, or '' to send nothing"
        )
    if not str(port).isdecimal() or not 1 <= int(port) <= 65535:
        problems.append(f"mcp_server_dcap_port: {port!r} is not a UDP port; use one from 1 to 65535")
    return problems


def _is_host(text: str) -> bool:
    if _is_address(text):
        return True
    labels = text.removesuffix(".").split(".")
    # A name made of digits and dots alone is an address with a slip in it.
    return len(text) <= 253 and all(map(_HOST_LABEL.fullmatch, labels)) and not labels[-1].isdecimal()


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _environment_problems(label: str, environment: Any) -> list[str]:
    if not isinstance(environment, Mapping):
        return [f"{label} {environment!r} is not a mapping; write NAME: value pairs"]
    problems = []
    for name, value in environment.items():
        if not _VARIABLE.fullmatch(str(name)):
            problems.append(f"{label}: {name!r} is not a variable name; use letters, digits and _")
        elif "\n" in str(value):
            problems.append(f"{label}: {name} holds a line break; write the value on one line")
        elif _CONTROL.search(str(value)):
            problems.append(f"{label}: {name} holds a control character; remove it")
        elif name in _IDENTITY_VARIABLES:
            problems.append(
                f"{label}: {name}={value} belongs to one server's entry; set its {_IDENTITY_VARIABLES[name]} instead"
            )
        elif name in _ROLE_VARIABLES:
            setting = _ROLE_VARIABLES[name]
            remedy = f"set {setting} instead" if setting else "remove it"
            problems.append(f"{label}: {name} comes from the role; {remedy}")
        elif name == "X402_ENABLED" and str(value).strip().lower() in _TRUE:
            problems.append(
                f"{label}: X402_ENABLED={value} asks for payments, which are not available yet; remove it"
            )
    return problems


def mcp_server_environment(server: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, str]:
    """The complete environment of one server: its identity over what all servers share."""
    identity = {
        "CANTON_MCP_PORT": server["port"],
        "CANTON_MCP_NAME": server["name"],
        "MCP_SERVER_URL": server["url"],
        "DCAP_SERVER_ID": server["dcap_server_id"],
        "DCAP_SERVER_NAME": server["dcap_server_name"],
        "DCAP_SERVER_URL": f"{server['url']}/mcp",
    }
    own = server["environment"]
    # As for the shared ones: a variable that the application does not know must make it stale as well.
    if own:
        identity["CANTON_MCP_OWN_DIGEST"] = mcp_server_digest(json.dumps(own, sort_keys=True, default=str))
    merged = {**shared, **identity, **own}
    return {name: _text(value) for name, value in merged.items()}


def mcp_server_env_file(environment: Mapping[str, Any]) -> str:
    """An environment file as systemd reads it: one quoted ``NAME="value"`` a line."""

    def quoted(value: Any) -> str:
        return re.sub(r'(["\\$`])', r"\\\1", _text(value))

    return "".join(f'{name}="{quoted(value)}"\n' for name, value in environment.items())


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def mcp_server_environments(
    servers: Sequence[Mapping[str, Any]], shared: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """The complete environment of every server, by port."""
    return {str(server["port"]): mcp_server_environment(server, shared) for server in servers}


def mcp_server_own_files(
    servers: Sequence[Mapping[str, Any]], config_dir: str, limits: Mapping[str, Any]
) -> dict[str, str]:
    """The two files that each server has to itself, by path: its identity and its resource limits.

    ``limits`` holds the node's ``memory_max``, ``tasks_max`` and ``cpu_weight``; a server's own come first. They stand in
    drop-ins, not in the environment: systemd applies them to running servers.
    """
    files = {}
    for server in servers:
        port = server["port"]
        own = [f"{name}={server.get(key) or limits[key]}\n" for key, name in _DIRECTIVES.items()]
        files[f"{config_dir}/servers/{port}.env"] = mcp_server_env_file(mcp_server_environment(server, {}))
        files[f"/etc/systemd/system/canton-mcp@{port}.service.d/limits.conf"] = "[Service]\n" + "".join(own)
    return files


def mcp_server_select(fleet: Sequence[Mapping[str, Any]], wanted: Any) -> list[Mapping[str, Any]]:
    """The servers that ``wanted`` names by DCAP id, name or port (comma-separated); ``all`` is every one."""
    words = [word.strip() for word in str(wanted).split(",") if word.strip()]
    if words == ["all"]:
        return list(fleet)

    def named(server: Mapping[str, Any]) -> set[str]:
        return {server["dcap_server_id"], server["name"], str(server["port"])}

    known = ", ".join(server["dcap_server_id"] for server in fleet)
    if not words:
        raise AnsibleFilterError(
            f"server: nothing is named; use a DCAP id, a name, a port or all. Known: {known}"
        )
    for word in words:
        if not any(word in named(server) for server in fleet):
            raise AnsibleFilterError(f"server: {word!r} is not in the inventory; use one of {known}, or all")
    return [server for server in fleet if named(server) & set(words)]


def mcp_server_units(servers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The unit that owns each server's port, by port."""
    return {str(server["port"]): f"canton-mcp@{server['port']}.service" for server in servers}


def mcp_server_rows(fleet: Sequence[Mapping[str, Any]], pinned: bool = False) -> list[dict[str, Any]]:
    """The fleet as the servers of a balancer's backend, named by DCAP id.

    ``pinned`` gives each the number that HAProxy hashes it by. It follows from the DCAP id alone, so that a server more
    or less moves few sessions; HAProxy's own is the place in the list.
    """
    rows = [
        {"name": server["dcap_server_id"], "address": server["address"], "port": server["port"]}
        for server in fleet
    ]
    if pinned:
        for row, number in zip(rows, _numbers(row["name"] for row in rows), strict=True):
            row["parameters"] = f"id {number}"
    return rows


def _numbers(names: Iterable[str]) -> list[int]:
    """A number from 1 to 2^31-1 for each name, all different."""
    numbers: list[int] = []
    for name in names:
        number = zlib.crc32(name.encode()) % _MAX_ID + 1
        while number in numbers:
            number = number % _MAX_ID + 1
        numbers.append(number)
    return numbers


def mcp_server_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Rows as an aligned text table, its head taken from ``columns`` or the first row's keys."""
    if not rows:
        return "(nothing to show)"
    names = list(columns or rows[0])
    cells = [[name.upper().replace("_", " ") for name in names]]
    cells += [["-" if row.get(name) in (None, "") else str(row[name]) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def mcp_server_digest(text: str) -> str:
    """Twelve hexadecimal digits that change when ``text`` does."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class FilterModule:
    """Hands the filters to Ansible."""

    def filters(self) -> dict[str, Any]:
        return {name: value for name, value in globals().items() if name.startswith("mcp_server_")}
