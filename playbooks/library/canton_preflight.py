#!/usr/bin/python
"""Ansible module: is this machine fit for its part in the fleet? Reads only."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: canton_preflight
short_description: Check operating system, Python, systemd and ports of a node
description:
  - Returns one line per problem, with the value, the reason and the remedy. Changes nothing.
options:
  ports:
    description: The unit that is to listen, by TCP port. A port that something else listens on is a problem.
    type: dict
    default: {}
  python:
    description: The interpreter for the application; empty when the node does not run it.
    type: str
    default: ""
author: Canton MCP Fleet
"""

RETURN = r"""
problems: {description: One line each., type: list, returned: always}
"""

SYSTEMS = {"debian": 12, "ubuntu": 24.04}
PYTHON = (3, 11)
LISTEN = "0A"
SERVICE = re.compile(r"/([^/]+\.(?:service|scope|socket))(?=/|$)", re.MULTILINE)


class Owner(NamedTuple):
    """Who listens on a port."""

    pid: int
    program: str
    unit: str


def operating_system() -> dict[str, str]:
    """The fields of os-release."""
    lines = Path("/etc/os-release").read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {key: value.strip("\"'") for key, value in pairs}


def system_problems(release: dict[str, str]) -> list[str]:
    name, version = release.get("ID", "unknown"), release.get("VERSION_ID", "0")
    least = SYSTEMS.get(name)
    number = float(version) if re.fullmatch(r"\d+(\.\d+)?", version) else 0.0
    if least is None or number < least:
        shown = release.get("PRETTY_NAME", name)
        return [
            f"operating system: {shown} is not supported; use Debian 12 or later, or Ubuntu 24.04 or later"
        ]
    return []


def python_problems(python: str) -> list[str]:
    question = "import sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", question], capture_output=True, text=True, check=True)
        version = tuple(map(int, done.stdout.split()))
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        return [
            f"canton_release_python: {python} does not run ({error}); install python3 or name another interpreter"
        ]
    if version < PYTHON:
        shown = ".".join(map(str, version))
        return [f"canton_release_python: {python} is Python {shown}; name an interpreter of 3.11 or later"]
    return []


def listeners(ports: set[int]) -> dict[str, int]:
    """Socket inodes that listen on the given TCP ports."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except FileNotFoundError:
            continue  # no IPv6 on this machine
        for fields in map(str.split, rows):
            port = int(fields[1].rsplit(":", 1)[1], 16)
            if fields[3] == LISTEN and port in ports:
                found[fields[9]] = port
    return found


def sockets(process: Path) -> list[str]:
    """Inodes of the sockets that a process holds."""
    links = []
    for entry in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since; a busy process does so all the time
            links.append(os.readlink(entry))
    return [link[len("socket:[") : -1] for link in links if link.startswith("socket:[")]


def owners(inodes: dict[str, int]) -> dict[int, list[Owner]]:
    """The processes that hold the given sockets, by port."""
    found: dict[int, list[Owner]] = {port: [] for port in inodes.values()}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            held = {inodes[inode] for inode in sockets(process) if inode in inodes}
            if held:
                units = SERVICE.findall((process / "cgroup").read_text())
                owner = Owner(
                    int(process.name),
                    (process / "comm").read_text(errors="replace").strip(),
                    units[-1] if units else "",
                )
                for port in held:
                    found[port].append(owner)
        except OSError:
            continue  # the process has ended
    return found


def port_problems(wanted: dict[int, str]) -> list[str]:
    """Ports that something other than the wanted unit listens on."""
    problems = []
    for port, holders in sorted(owners(listeners(set(wanted))).items()):
        unit = wanted[port]
        # systemd itself holds a socket between two lives of the server that it belongs to.
        strangers = [owner for owner in holders if owner.unit != unit and owner.pid != 1]
        if not strangers and (any(owner.unit == unit for owner in holders) or runs(unit)):
            continue
        problems.append(
            f"port {port}: taken by {shown(strangers or holders)}, wanted for {unit}; stop it or choose another port"
        )
    return problems


def shown(holders: list[Owner]) -> str:
    """The first of the processes that hold a port, in words."""
    if not holders:
        return "a process that this account may not see"
    owner = holders[0]
    return f"{owner.program} (pid {owner.pid}{', ' + owner.unit if owner.unit else ''})"


def runs(unit: str) -> bool:
    """Whether systemd runs a unit, or holds sockets for it."""
    command = ["systemctl", "show", "--property=ActiveState,NFileDescriptorStore", unit]
    try:
        out = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return False  # no systemd here, which is a problem of its own
    fields = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    return (
        fields.get("ActiveState") in ("active", "activating", "reloading")
        or fields.get("NFileDescriptorStore", "0") != "0"
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={"ports": {"type": "dict", "default": {}}, "python": {"type": "str", "default": ""}},
        supports_check_mode=True,
    )
    problems = system_problems(operating_system())
    if not Path("/run/systemd/system").is_dir():
        problems.append(
            "init: systemd does not run this machine; use a machine or VM that it does, or the lab (`make up`)"
        )
    if module.params["python"]:
        problems += python_problems(module.params["python"])
    problems += port_problems({int(port): unit for port, unit in module.params["ports"].items()})
    module.exit_json(changed=False, problems=problems)


if __name__ == "__main__":
    main()
