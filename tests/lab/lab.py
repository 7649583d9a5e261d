#!/usr/bin/env python3
"""The lab: systemd containers with SSH and addresses of their own, to try and test a fleet on one machine.

A node of the lab stands in for a virtual machine: it boots systemd as PID 1, is reached by SSH with a key and
a known host key, has a fixed address on a bridge of the lab's own, and can install Debian packages.

Run it (``lab.py --help``) or import it::

    from lab import Lab
    lab = Lab.up("demo", nodes=2)
    lab.nodes[0].run("systemctl", "is-system-running")
    lab.down()

Only the standard library is used, so that the lab can install what the rest needs. Needs root: systemd in a
container wants cgroups and mounts of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import ipaddress
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from image import RELEASES, Image
from machine import (
    LabError,
    Machine,
    attempt,
    cache_directory,
    detect,
    install_dependencies,
    locked,
    require,
    require_root,
    run,
    say,
)

__all__ = ["Lab", "LabError", "Node", "main"]

REPOSITORY = Path(__file__).resolve().parents[2]
STATE = REPOSITORY / ".lab"
GROUPS = ("mcp_hosts", "load_balancers", "testers", "monitors")
MAX_NODES = 50
FIRST_HOST = 10  # node I has the host number FIRST_HOST + I in the lab's /24
LABEL = "canton.lab"  # on containers and networks: the lab's name
LABEL_ROOT = "canton.lab.root"  # ... and the checkout it belongs to
BOOT_SECONDS = 90.0

# SYS_ADMIN lets systemd mount and sandbox, NET_ADMIN and NET_RAW let keepalived move addresses.
CAPABILITIES = ("AUDIT_WRITE", "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_CHROOT")

# What a machine has before systemd starts, and a container lacks. Without a shared root mount LoadCredential=
# stays empty; podman's tmpfs would forget the journal at a reboot; a boot id of its own tells boots apart.
START = (
    "sh",
    "-c",
    "mount --make-rshared / && { umount /var/log/journal; true; } 2>/dev/null"
    " && cat /proc/sys/kernel/random/uuid > /run/boot_id"
    " && mount --bind /run/boot_id /proc/sys/kernel/random/boot_id"
    " && exec /lib/systemd/systemd",
)


# -- a lab and its nodes ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """One container of a lab."""

    lab: Lab
    number: int

    @property
    def name(self) -> str:
        """Name of the container, host name and inventory name."""
        return f"{self.lab.name}-{self.number}"

    @property
    def address(self) -> str:
        """Its IPv4 address, the same for the life of the lab."""
        return str(self.lab.subnet[FIRST_HOST + self.number])

    @property
    def hardware_address(self) -> str:
        """Its MAC address, made from the IPv4 address: after a reboot with another one, neighbours would
        send to the old one for half a minute.
        """
        return "02:ca:" + ":".join(f"{octet:02x}" for octet in ipaddress.IPv4Address(self.address).packed)

    @property
    def state(self) -> str:
        """podman's word for it (running, exited, created, ...), or ``absent``."""
        found = attempt("podman", "container", "inspect", "--format", "{{.State.Status}}", self.name)
        return found.stdout.strip() if found.returncode == 0 else "absent"

    def attempt(
        self, *command: str, stdin: str | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the node, whatever state its network is in; failing is an answer."""
        return attempt(
            "podman",
            "exec",
            *(["--interactive"] if stdin is not None else []),
            self.name,
            *command,
            stdin=stdin,
            timeout=timeout,
        )

    def run(self, *command: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run a command in the node and return its standard output; LabError if it fails."""
        done = self.attempt(*command, stdin=stdin, timeout=timeout)
        if done.returncode != 0:
            words = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            raise LabError(f"{self.name}: `{shlex.join(command)}` ended with {done.returncode}: {words}")
        return done.stdout

    def ssh_command(self, *command: str) -> list[str]:
        """The command line that reaches the node over SSH; the shell there gets the words joined."""
        return ["ssh", *self.lab.ssh_options, f"root@{self.address}", *command]

    def start(self) -> None:
        """Boot a node that is stopped or was killed, and wait until it answers."""
        run("podman", "start", self.name)
        self.wait()

    def reboot(self) -> None:
        """Shut systemd down in order and boot it again; address, host key and disk stay."""
        self.lab.forget_connections()
        run("podman", "restart", "--time", "30", self.name)
        self.wait()

    def kill(self) -> None:
        """End the whole node at once, as a power failure does. ``start`` brings it back."""
        run("podman", "kill", "--signal", "KILL", self.name)
        run("podman", "wait", self.name)  # `kill` returns before the end is on record
        self.lab.forget_connections()

    def wait(self) -> list[str]:
        """Wait for systemd and SSH; return the units that failed. LabError if the node does not come up."""
        deadline = time.monotonic() + BOOT_SECONDS
        while (state := self.attempt("systemctl", "is-system-running", "--wait").stdout.strip()) not in (
            "running",
            "degraded",
        ):
            if time.monotonic() > deadline or self.state != "running":
                raise LabError(
                    f"{self.name} did not boot (systemd: {state or 'no answer'}); {self._last_words()}"
                )
            time.sleep(0.2)
        self.lab.trust(self)
        while (reply := attempt(*self.ssh_command("true"), timeout=30)).returncode != 0:
            if time.monotonic() > deadline:
                raise LabError(f"{self.name}: SSH does not answer: {reply.stderr.strip().splitlines()[-1:]}")
            time.sleep(0.2)
        if state == "running":
            return []
        failed = self.run("systemctl", "list-units", "--failed", "--plain", "--no-legend")
        return [line.split()[0] for line in failed.splitlines() if line.strip()]

    def _last_words(self) -> str:
        lines = [
            line for line in attempt("podman", "logs", "--tail", "3", self.name).stdout.splitlines() if line
        ]
        return f"its last words: {' / '.join(lines)}" if lines else "it left no message; see `lab.py doctor`"


@dataclass(frozen=True)
class Lab:
    """A named set of nodes on a network of its own; on record in its state directory and in podman."""

    name: str
    release: str
    subnet: ipaddress.IPv4Network
    size: int
    chosen: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Groups whose nodes were chosen; the others are as in ``default_groups``."""

    # - what it consists of

    @property
    def nodes(self) -> list[Node]:
        """Its nodes, in order."""
        return [Node(self, number) for number in range(1, self.size + 1)]

    @property
    def groups(self) -> dict[str, tuple[int, ...]]:
        """Inventory groups and the numbers of their nodes."""
        return {**default_groups(self.size), **self.chosen}

    def node(self, name: str) -> Node:
        """The node of that name or number; LabError if there is none."""
        for node in self.nodes:
            if name in (node.name, str(node.number)):
                return node
        raise LabError(
            f"lab {self.name} has no node {name!r}; it has {', '.join(n.name for n in self.nodes)}"
        )

    @property
    def directory(self) -> Path:
        """State of this lab: keys, known hosts, inventory."""
        return STATE / self.name

    @property
    def network(self) -> str:
        """podman's name of its network."""
        return f"canton-lab-{self.name}"

    @property
    def key(self) -> Path:
        """Private key that opens every node."""
        return self.directory / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """Host keys, fetched from the nodes themselves and not over the network."""
        return self.directory / "known_hosts"

    @property
    def inventory(self) -> Path:
        """The Ansible inventory."""
        return self.directory / "inventory.yml"

    @property
    def control_directory(self) -> Path:
        """Where SSH keeps shared connections. A socket's path is limited to 108 bytes, a checkout's not."""
        tag = hashlib.sha256(str(self.directory).encode()).hexdigest()[:8]
        return Path("/run") / f"canton-lab-{tag}"

    @property
    def ssh_options(self) -> list[str]:
        """Options of ssh: this lab's key, this lab's host keys, nothing asked."""
        return [
            "-i",
            str(self.key),
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=5",
            *shlex.split(self.ssh_common_args),
        ]

    @property
    def ssh_common_args(self) -> str:
        """The part of the options that Ansible does not have names for."""
        return (
            f"-o UserKnownHostsFile={shlex.quote(str(self.known_hosts))} -o GlobalKnownHostsFile=/dev/null "
            "-o StrictHostKeyChecking=yes -o IdentitiesOnly=yes "
            "-o ServerAliveInterval=5 -o ServerAliveCountMax=2"
        )

    # - life

    @classmethod
    def up(
        cls,
        name: str,
        nodes: int | None = None,
        release: str | None = None,
        groups: Mapping[str, tuple[int, ...]] | None = None,
        subnet: str | None = None,
    ) -> Lab:
        """Have a lab of that name running, and its inventory written.

        What is not given stays as it is, or for a new lab is one node of the first release, groups as in
        ``default_groups`` and a free subnet. What runs is kept, what is stopped is started, what is missing
        is made, what is too many is removed. LabError when the machine cannot do it, the name belongs to
        another checkout, or the release or subnet differs.
        """
        check_name(name)
        machine = require(detect())
        with locked(STATE / f"{name}.lock"):
            refuse_foreign(name)
            with locked(cache_directory() / "network.lock"):  # two labs must not take the same free subnet
                lab = planned(cls.find(name), name, nodes, release, groups, subnet)
                lab._prepare()
            image = Image(lab.release)
            image.ensure()
            with ThreadPoolExecutor(max_workers=4) as pool:
                failed = list(pool.map(lambda node: lab._ensure(node, machine, image), lab.nodes))
            for node, units in zip(lab.nodes, failed, strict=True):
                note = f", degraded by {' '.join(units)}" if units else ""
                say(f"{node.name} is up at {node.address}{note}")
            lab.write_inventory(lab.inventory)
        return lab

    @classmethod
    def find(cls, name: str) -> Lab | None:
        """The lab on record under that name, if any."""
        record = STATE / name / "lab.json"
        if not record.exists():
            return None
        data: dict[str, Any] = json.loads(record.read_text())
        groups = {group: tuple(numbers) for group, numbers in data["groups"].items()}
        return cls(data["name"], data["release"], ipaddress.IPv4Network(data["subnet"]), data["size"], groups)

    @classmethod
    def load(cls, name: str) -> Lab:
        """The lab on record under that name; LabError names the labs there are."""
        if lab := cls.find(name):
            return lab
        names = ", ".join(lab.name for lab in cls.all()) or "none"
        raise LabError(f"there is no lab {name!r} (there is: {names}); make one with `lab.py up {name}`")

    @classmethod
    def all(cls) -> list[Lab]:
        """Every lab on record in this checkout."""
        found = (cls.find(record.parent.name) for record in sorted(STATE.glob("*/lab.json")))
        return [lab for lab in found if lab]

    def down(self) -> None:
        """Remove the nodes, the network and the state. Leaves the image in the cache."""
        with locked(STATE / f"{self.name}.lock"):
            self.forget_connections()
            remove(self.name)
            shutil.rmtree(self.control_directory, ignore_errors=True)
            shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def _record(self) -> Path:
        return self.directory / "lab.json"

    def _as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "release": self.release,
            "subnet": str(self.subnet),
            "size": self.size,
            "groups": self.chosen,
        }

    def _prepare(self) -> None:
        """Record, network, key and host table; nodes that are too many go."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if attempt("podman", "network", "exists", self.network).returncode != 0:
            labels = (f"--label={LABEL}={self.name}", f"--label={LABEL_ROOT}={REPOSITORY}")
            run(
                "podman",
                "network",
                "create",
                "--disable-dns",
                f"--subnet={self.subnet}",
                *labels,
                self.network,
            )
        self._record.write_text(json.dumps(self._as_dict(), indent=2) + "\n")
        expected = {node.name for node in self.nodes}
        for name in containers(self.name, "{{.Names}}"):
            if name not in expected:
                say(f"removing {name}: the lab is to have {self.size} node(s)")
                run("podman", "rm", "--force", "--time", "0", name)
        if not self.key.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"lab {self.name}", "-f", str(self.key))
        lines = ["127.0.0.1 localhost", *(f"{node.address} {node.name}" for node in self.nodes)]
        # Written in place: nodes mount this very file, and would not see a new one.
        with (self.directory / "hosts").open("w") as table:
            table.write("\n".join(lines) + "\n")

    def _ensure(self, node: Node, machine: Machine, image: Image) -> list[str]:
        """Have one node running; return its failed units."""
        state = node.state
        if state == "absent":
            self._create(node, machine, image)
        elif state != "running":
            run("podman", "start", node.name)
        return node.wait()

    def _create(self, node: Node, machine: Machine, image: Image) -> None:
        done = attempt(
            "podman", f"--runtime={machine.runtime}", "run", "--detach",
            f"--name={node.name}", f"--hostname={node.name}",
            f"--network={self.network}", f"--ip={node.address}", f"--mac-address={node.hardware_address}",
            f"--label={LABEL}={self.name}", f"--label={LABEL_ROOT}={REPOSITORY}",
            "--systemd=always", "--no-hosts", "--pids-limit=-1",
            f"--cap-add={','.join(CAPABILITIES)}", *machine.ulimits,
            *(["--security-opt=apparmor=unconfined"] if machine.apparmor else []),
            f"--volume={self.directory}/hosts:/etc/hosts:ro",
            f"--volume={self.key}.pub:/root/.ssh/authorized_keys:ro",
            image.tag, *START,
        )  # fmt: skip
        if done.returncode != 0:
            words = done.stderr.strip().splitlines()
            if node.name in containers(self.name, "{{.Names}}"):  # not one that had the name before us
                attempt("podman", "rm", "--force", "--time", "0", node.name)
            reason = words[-1] if words else "no message"
            raise LabError(
                f"{node.name} could not be started: {reason}; `lab.py doctor` shows what was detected"
            )

    # - reaching it

    def trust(self, node: Node) -> None:
        """Put the node's present host key among the known ones, in place of older ones of its address."""
        key = " ".join(node.run("cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[:2])
        with locked(self.directory / "known_hosts.lock"):
            known = self.known_hosts.read_text() if self.known_hosts.exists() else ""
            self.known_hosts.write_text(with_host_key(known, node.address, key))

    def forget_connections(self) -> None:
        """Close shared SSH connections: one to a dead node would hang whoever uses its address next."""
        for socket in self.control_directory.glob("*"):
            attempt("ssh", "-o", f"ControlPath={socket}", "-O", "exit", "lab", timeout=5)
            socket.unlink(missing_ok=True)

    def write_inventory(self, path: Path) -> None:
        """Write the Ansible inventory of this lab."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render_inventory(self))


def render_inventory(lab: Lab) -> str:
    """The inventory as YAML text. Strings are written as JSON, which YAML includes."""
    lines = [
        f"# Lab {lab.name}: {lab.size} node(s) of Debian {lab.release}. Written by lab.py; changes are lost.",
        "all:",
    ]
    lines += ["  hosts:"]
    for node in lab.nodes:
        lines += [f"    {node.name}:", f"      ansible_host: {node.address}"]
    lines += ["  vars:"]
    lines += [
        f"    {name}: {json.dumps(value)}"
        for name, value in (
            ("ansible_user", "root"),
            ("ansible_ssh_private_key_file", str(lab.key)),
            ("ansible_ssh_common_args", lab.ssh_common_args),
            ("ansible_control_path_dir", str(lab.control_directory)),
            ("ansible_python_interpreter", "/usr/bin/python3"),
        )
    ]
    lines += ["  children:"]
    for group, numbers in lab.groups.items():
        lines += [f"    {group}:", "      hosts:" if numbers else "      hosts: {}"]
        lines += [f"        {lab.name}-{number}:" for number in numbers]
    return "\n".join(lines) + "\n"


def default_groups(size: int) -> dict[str, tuple[int, ...]]:
    """Every node runs servers; the first one also balances, tests and monitors."""
    return {group: tuple(range(1, size + 1)) if group == "mcp_hosts" else (1,) for group in GROUPS}


def check_name(name: str) -> None:
    """Refuse a lab name that could not be part of a host name."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,50}", name) or name.endswith("-"):
        raise LabError(
            f"bad lab name {name!r}; use small letters, digits and hyphens, at most 51, for example demo"
        )


def planned(
    known: Lab | None,
    name: str,
    size: int | None,
    release: str | None,
    groups: Mapping[str, tuple[int, ...]] | None,
    subnet: str | None,
) -> Lab:
    """The lab to have: the known one with its changes, or a new one; LabError for what cannot be had."""
    if known and release not in (None, known.release):
        raise LabError(f"lab {name} runs {known.release}, not {release}; `lab.py down {name}` first")
    if known and subnet not in (None, str(known.subnet)):
        raise LabError(f"lab {name} is on {known.subnet}, not {subnet}; `lab.py down {name}` first")
    if size is None:
        size = known.size if known else 1
    if not 1 <= size <= MAX_NODES:
        raise LabError(f"--nodes {size} is out of range; a lab has 1 to {MAX_NODES} nodes")
    chosen = {**(known.chosen if known else {}), **(groups or {})}
    for group, numbers in chosen.items():
        if outside := [number for number in numbers if not 1 <= number <= size]:
            raise LabError(
                f"group {group} names node {outside[0]}, but the lab has {size}; correct --group or --nodes"
            )
    return Lab(
        name=name,
        release=release or (known.release if known else RELEASES[0]),
        subnet=known.subnet if known else free_subnet(subnet, used_networks()),
        size=size,
        chosen=chosen,
    )


def with_host_key(known_hosts: str, address: str, key: str) -> str:
    """The text of a known_hosts file with this key as the only one of this address."""
    kept = [line for line in known_hosts.splitlines() if line and line.split()[0] != address]
    return "\n".join([*kept, f"{address} {key}"]) + "\n"


def containers(name: str, field_format: str) -> list[str]:
    """One field of every container of a lab, running or not, in podman's template language."""
    return run("podman", "ps", "--all", "--filter", f"label={LABEL}={name}", "--format", field_format).split()


def refuse_foreign(name: str) -> None:
    """Refuse a name under which containers exist that are not of this checkout."""
    fields = '{{.Names}} {{index .Labels "' + LABEL_ROOT + '"}}'
    for line in run("podman", "ps", "--all", "--format", fields).splitlines():
        container, _, root = line.partition(" ")
        if re.fullmatch(rf"{name}-\d+", container) and root != str(REPOSITORY):
            owner = f"the checkout {root}: run `lab.py down {name}` there" if root else "somebody else"
            raise LabError(f"container {container} exists and belongs to {owner}, or take another name")


def free_subnet(wanted: str | None, used: Iterable[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    """The wanted network if nothing overlaps it, or the first free 10.89.x.0/24."""
    used = list(used)
    if wanted is None:
        for third in range(1, 255):
            candidate = ipaddress.IPv4Network(f"10.89.{third}.0/24")
            if not any(candidate.overlaps(network) for network in used):
                return candidate
        raise LabError("every 10.89.x.0/24 is in use; give another network with --subnet")
    try:
        subnet = ipaddress.IPv4Network(wanted)
    except ValueError as error:
        raise LabError(f"--subnet {wanted}: {error}; write it like 10.89.7.0/24") from None
    if subnet.prefixlen > 25:
        raise LabError(f"--subnet {wanted} is too small for {MAX_NODES} nodes; use a /24")
    for network in used:
        if subnet.overlaps(network):
            raise LabError(
                f"--subnet {wanted} overlaps {network}, which this machine uses; choose another one"
            )
    return subnet


def used_networks() -> set[ipaddress.IPv4Network]:
    """Networks that podman or the routes of this machine already use; the default route does not count."""
    routes = json.loads(run("ip", "-4", "-json", "route", "show", "table", "all") or "[]")
    used = {
        ipaddress.IPv4Network(route["dst"], strict=False)
        for route in routes
        if route.get("dst", "default") != "default"
    }
    names = run("podman", "network", "ls", "--quiet").split()
    for network in json.loads(run("podman", "network", "inspect", *names)) if names else []:
        for subnet in network.get("subnets") or []:
            if ":" not in subnet["subnet"]:
                used.add(ipaddress.IPv4Network(subnet["subnet"]))
    return used


def remove(name: str) -> None:
    """Remove what podman has of a lab, on record or not."""
    if ids := containers(name, "{{.ID}}"):
        run("podman", "rm", "--force", "--time", "0", "--volumes", *ids)
    for network in run("podman", "network", "ls", "--quiet", "--filter", f"label={LABEL}={name}").split():
        run("podman", "network", "rm", "--force", network)


# -- command line ----------------------------------------------------------------------------------------


def parse_group(text: str) -> tuple[str, tuple[int, ...]]:
    """``load_balancers=1,2`` as a group and node numbers; nothing after ``=`` empties the group."""
    group, equals, members = text.partition("=")
    if not equals or not re.fullmatch(r"[a-z_][a-z0-9_]*", group) or not re.fullmatch(r"[\d,]*", members):
        raise argparse.ArgumentTypeError(f"{text!r}: write it like load_balancers=1,2")
    return group, tuple(int(number) for number in members.split(",") if number)


def lab_of(node: str) -> Node:
    """The node of that full name, in whichever lab, for root to do something to it."""
    name, _, number = node.rpartition("-")
    found = Lab.load(name).node(number) if name else Lab.load(node).nodes[0]
    require_root(os.geteuid() == 0)
    return found


def command_deps(arguments: argparse.Namespace) -> int:
    install_dependencies(arguments.also)
    return 0


def command_doctor(_: argparse.Namespace) -> int:
    machine = detect()
    for label, value in doctor_lines(machine):
        print(f"{label:<18} {value}")
    if machine.missing and not machine.like_debian:
        print(f"\n{machine.system} is not Debian or Ubuntu: install the equivalents of these by hand.")
    return 0 if machine.root and machine.runtime and not machine.missing else 1


def doctor_lines(machine: Machine) -> Iterator[tuple[str, str]]:
    """What the doctor says, label and value."""
    yield "system", f"{machine.system}, {'root' if machine.root else 'not root: run it with sudo'}"
    yield (
        "cgroups",
        machine.cgroups + (" (or hybrid): crun refuses it, runc works" if machine.cgroups == "v1" else ""),
    )
    yield (
        "runtime",
        f"{machine.runtime or 'none that fits'} (installed: {', '.join(machine.runtimes) or 'none'})",
    )
    for name, value in (("nofile", machine.nofile), ("nproc", machine.nproc)):
        yield f"hard {name}", "unlimited" if value == resource.RLIM_INFINITY else str(value)
    yield "ulimit flags", " ".join(machine.ulimits)
    yield (
        "/ shared",
        "yes" if machine.root_shared else "no (nodes make their own root shared, so this is fine)",
    )
    yield "network", machine.network
    yield "AppArmor", "on: nodes run unconfined" if machine.apparmor else "off"
    yield "image cache", str(cache_directory())
    yield (
        "missing packages",
        f"{' '.join(machine.missing)}: {machine.apt_line}" if machine.missing else "none",
    )


def command_image(arguments: argparse.Namespace) -> int:
    require(detect())
    image = Image(arguments.release)
    image.ensure(rebuild=arguments.rebuild)
    print(image.tag)
    return 0


def command_up(arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    lab = Lab.up(arguments.name, arguments.nodes, arguments.release, dict(arguments.group), arguments.subnet)
    if arguments.inventory:
        lab.write_inventory(arguments.inventory)
    say(f"lab {lab.name} is ready after {time.monotonic() - started:.1f} s")
    print(arguments.inventory or lab.inventory)
    return 0


def command_down(arguments: argparse.Namespace) -> int:
    if bool(arguments.name) == arguments.all:
        raise LabError("say which lab is to go: `lab.py down NAME`, or `lab.py down --all`")
    require_root(os.geteuid() == 0)
    labs = Lab.all() if arguments.all else [lab] if (lab := Lab.find(arguments.name)) else []
    if not labs and arguments.name:
        refuse_foreign(arguments.name)
        remove(arguments.name)
    for lab in labs:
        lab.down()
        say(f"lab {lab.name} is gone")
    return 0


def command_status(_: argparse.Namespace) -> int:
    require_root(os.geteuid() == 0)
    rows = [("NODE", "ADDRESS", "STATE", "RELEASE", "GROUPS")]
    for lab in Lab.all():
        for node in lab.nodes:
            groups = " ".join(group for group, numbers in lab.groups.items() if node.number in numbers)
            rows.append((node.name, node.address, node.state, lab.release, groups))
    if len(rows) == 1:
        print("no lab; make one with `lab.py up NAME`")
        return 0
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print(
            "  ".join(
                [*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]
            ).rstrip()
        )
    return 0


def command_ssh(arguments: argparse.Namespace) -> int:
    node = lab_of(arguments.node)
    command = node.ssh_command(*arguments.command)
    if not arguments.command and sys.stdin.isatty():
        command.insert(1, "-t")
    return subprocess.run(command, check=False).returncode


def command_exec(arguments: argparse.Namespace) -> int:
    node = lab_of(arguments.node)
    terminal = ["--tty"] if sys.stdin.isatty() else []
    command = ["podman", "exec", "--interactive", *terminal, node.name, *(arguments.command or ["bash"])]
    return subprocess.run(command, check=False).returncode


def on_node(action: Callable[[Node], object]) -> Callable[[argparse.Namespace], int]:
    """A subcommand that does one thing to one node."""

    def command(arguments: argparse.Namespace) -> int:
        node = lab_of(arguments.node)
        if node.state == "absent":
            raise LabError(f"{node.name} does not exist any more; `lab.py up {node.lab.name}` makes it again")
        action(node)
        say(f"{node.name} is {node.state} at {node.address}")
        return 0

    return command


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="lab.py", description="Systemd containers to try and test a fleet on one machine."
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(function=function)
        return sub

    deps = add(
        "deps", command_deps, "install the system packages that are missing (Debian and Ubuntu, as root)"
    )
    deps.add_argument(
        "also", nargs="*", metavar="PROGRAM", help="a program to install as well, if it is missing"
    )
    add("doctor", command_doctor, "show what was detected on this machine and what is missing")
    image = add("image", command_image, "build the node image, unless it is in the cache")
    image.add_argument("--rebuild", action="store_true", help="build it again, for the newest packages")
    up = add(
        "up",
        command_up,
        "start a lab, or bring the one there is to what is asked; prints the inventory's path",
    )
    up.add_argument("name", metavar="NAME")
    up.add_argument(
        "--nodes", type=int, metavar="N", help="how many nodes (default: as many as it has, else 1)"
    )
    up.add_argument(
        "--group", type=parse_group, action="append", default=[], metavar="GROUP=1,2",
        help="nodes of an inventory group (default: mcp_hosts has all, the other groups the first)",
    )  # fmt: skip
    up.add_argument("--inventory", type=Path, metavar="FILE", help="write the inventory there as well")
    up.add_argument(
        "--subnet", metavar="CIDR", help="network of the lab (default: the first free 10.89.x.0/24)"
    )
    up.add_argument(
        "--release", choices=RELEASES, help=f"Debian release of the nodes (default {RELEASES[0]})"
    )
    image.add_argument("--release", choices=RELEASES, default=RELEASES[0], help="Debian release of the nodes")
    down = add("down", command_down, "remove a lab and all that belongs to it")
    down.add_argument("name", metavar="NAME", nargs="?")
    down.add_argument("--all", action="store_true", help="every lab of this checkout")
    add("status", command_status, "show every node with its address, state and groups")
    for name, function, text in (
        ("ssh", command_ssh, "open a shell on a node, or run a command there, over SSH"),
        ("exec", command_exec, "the same without SSH, for a node whose network is broken"),
    ):
        sub = add(name, function, text)
        sub.add_argument("node", metavar="NODE")
        sub.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER)
    for name, action, text in (
        ("start", Node.start, "boot a node that is stopped or was killed"),
        ("reboot", Node.reboot, "shut a node down in order and boot it again"),
        ("kill", Node.kill, "end a node at once, as a power failure does"),
    ):
        add(name, on_node(action), text).add_argument("node", metavar="NODE")
    return top


def main(arguments: Iterable[str] | None = None) -> int:
    """Run one subcommand; an error is a line on standard error and exit status 1."""
    options = parser().parse_args(None if arguments is None else list(arguments))
    try:
        status: int = options.function(options)
    except LabError as error:
        print(f"lab: error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"lab: error: {error.filename or 'this machine'}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
