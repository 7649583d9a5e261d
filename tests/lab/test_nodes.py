"""A node behaves like the machine it stands in for. Starts real nodes; needs root."""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Iterator

import pytest
from lab import Lab, LabError, Node

SANDBOX = (
    "DynamicUser=yes",
    "ProtectSystem=strict",
    "PrivateTmp=yes",
    "CapabilityBoundingSet=",
    "SystemCallFilter=~mkdir mkdirat",
    "SystemCallErrorNumber=EPERM",
    "LoadCredential=secret:/root/secret",
)

# Hands its listening socket to systemd, and says how many it was given back.
HOLDER = """\
import os, signal, socket
given = int(os.environ.get("LISTEN_FDS", "0"))
print("given", given, flush=True)
listener = socket.socket(fileno=3) if given else socket.create_server(("0.0.0.0", 7999))
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
if not given:
    socket.send_fds(notify, [b"FDSTORE=1"], [listener.fileno()])
notify.send(b"READY=1")
signal.pause()
"""
HOLDER_UNIT = """\
[Service]
Type=notify
FileDescriptorStoreMax=1
ExecStart=/usr/bin/python3 /root/holder.py
[Install]
WantedBy=multi-user.target
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two nodes, gone afterwards whatever happens."""
    lab = Lab.up("selftest", nodes=2)
    try:
        yield lab
    finally:
        lab.down()


@pytest.fixture
def node(lab: Lab) -> Node:
    """The first of them."""
    return lab.nodes[0]


def put(node: Node, path: str, text: str) -> None:
    """Write a file in a node."""
    node.run("tee", path, stdin=text)


def over_ssh(node: Node, command: str) -> str:
    """The output of a command that was run over SSH."""
    return subprocess.run(node.ssh_command(command), capture_output=True, text=True, check=True).stdout


def test_systemd_is_up_and_nothing_failed(lab: Lab) -> None:
    for node in lab.nodes:
        assert node.wait() == []
        assert node.run("systemctl", "is-system-running").strip() == "running"
        assert over_ssh(node, "hostname").strip() == node.name


def test_nodes_know_and_reach_each_other_and_this_machine_reaches_them(lab: Lab) -> None:
    first, second = lab.nodes
    assert first.run("getent", "hosts", second.name).split() == [second.address, second.name]
    first.run("systemd-run", "--unit=web", "--working-directory=/etc", "python3", "-m", "http.server", "7998")
    second.run("sh", "-c", f"until python3 -c '{fetch(first.name)}'; do sleep 0.1; done", timeout=20)
    with urllib.request.urlopen(f"http://{first.address}:7998/hostname", timeout=5) as reply:
        assert reply.read().decode().strip() == first.name


def fetch(name: str) -> str:
    """A line of Python that fetches the host name a node serves."""
    return f'import urllib.request as r; r.urlopen("http://{name}:7998/hostname", timeout=5)'


def test_unit_sandboxes_and_credentials_take_effect(node: Node) -> None:
    put(node, "/root/secret", "swordfish")
    options = [f"--property={value}" for value in SANDBOX]
    script = (
        "cat $CREDENTIALS_DIRECTORY/secret; id -u; touch /etc/x; mkdir /tmp/x; grep CapBnd /proc/self/status"
    )
    done = node.attempt("systemd-run", "--quiet", "--wait", "--pipe", *options, "sh", "-c", script)
    assert done.stdout.startswith("swordfish")
    assert int(done.stdout.removeprefix("swordfish").split()[0]) >= 61184, "a dynamic user"
    assert "CapBnd:\t0000000000000000" in done.stdout
    assert "Read-only file system" in done.stderr
    assert "Operation not permitted" in done.stderr


def test_a_socket_survives_the_restart_of_its_service_and_the_journal_a_reboot(node: Node) -> None:
    put(node, "/root/holder.py", HOLDER)
    put(node, "/etc/systemd/system/holder.service", HOLDER_UNIT)
    node.run("systemctl", "enable", "--quiet", "--now", "holder")
    node.run("systemctl", "restart", "holder")
    boot, key = node.run("cat", "/proc/sys/kernel/random/boot_id"), node.lab.known_hosts.read_text()
    node.reboot()
    assert node.run("cat", "/proc/sys/kernel/random/boot_id") != boot
    assert sorted(node.lab.known_hosts.read_text().splitlines()) == sorted(key.splitlines())
    lines = node.run("journalctl", "--quiet", "--output=cat", "--unit=holder").splitlines()
    assert [line for line in lines if line.startswith("given")] == ["given 0", "given 1", "given 0"]
    assert node.address in over_ssh(node, "ip -brief -4 address show scope global")


def test_a_killed_node_is_gone_until_it_is_started(node: Node) -> None:
    node.kill()
    assert node.state == "exited"
    assert subprocess.run(node.ssh_command("true"), capture_output=True, check=False).returncode == 255
    node.start()
    assert over_ssh(node, "systemctl is-active holder").strip() == "active"


def test_up_again_keeps_what_runs_starts_what_does_not_and_removes_what_is_too_much(lab: Lab) -> None:
    first, second = lab.nodes
    pid = first.run("systemctl", "show", "--property=MainPID", "--value", "ssh")
    second.kill()
    assert Lab.up("selftest") == lab
    assert first.run("systemctl", "show", "--property=MainPID", "--value", "ssh") == pid
    assert second.state == "running"
    Lab.up("selftest", nodes=1)
    assert second.state == "absent"
    with pytest.raises(LabError, match="runs bookworm, not trixie"):
        Lab.up("selftest", release="trixie")
