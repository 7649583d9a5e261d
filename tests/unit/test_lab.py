"""The lab's decisions, without starting a container: what it detects, refuses and writes."""

from __future__ import annotations

import ipaddress
import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import image as node_image
import lab as lab_module
import machine as host
import pytest
import yaml
from lab import Lab, LabError

LAB = Path(__file__).resolve().parents[1] / "lab"


DEMO = Lab("demo", "bookworm", ipaddress.IPv4Network("10.89.7.0/24"), 3, {"load_balancers": (1, 2)})
MACHINE = host.Machine(
    system="debian",
    like_debian=True,
    root=True,
    cgroups="v2",
    runtimes=("crun", "runc"),
    nofile=resource.RLIM_INFINITY,
    nproc=4096,
    root_shared=True,
    network="netavark",
    apparmor=False,
    missing=(),
)


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the lab's command line as an operator does."""
    return subprocess.run(
        [sys.executable, str(LAB / "lab.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("cgroups", "runtimes", "chosen"),
    [
        ("v2", ("crun", "runc"), "crun"),
        ("v2", ("runc",), "runc"),
        ("v1", ("crun", "runc"), "runc"),
        ("v1", ("crun",), ""),
    ],
)
def test_runtime_fits_the_cgroups(cgroups: str, runtimes: tuple[str, ...], chosen: str) -> None:
    assert replace(MACHINE, cgroups=cgroups, runtimes=runtimes).runtime == chosen


def test_ulimits_stay_below_the_hard_limits() -> None:
    assert replace(MACHINE, nofile=20_000, nproc=5_000).ulimits == (
        "--ulimit=nofile=20000:20000",
        "--ulimit=nproc=5000:5000",
    )
    assert replace(MACHINE, nofile=resource.RLIM_INFINITY, nproc=resource.RLIM_INFINITY).ulimits == (
        "--ulimit=nofile=1048576:1048576",
        "--ulimit=nproc=16384:16384",
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"root": False}, ["root", "sudo"]),
        ({"missing": ("podman", "runc")}, ["podman runc", "apt-get install", "-y podman runc"]),
        ({"missing": ("podman",), "like_debian": False}, ["podman", "equivalents"]),
        ({"cgroups": "v1", "runtimes": ("crun",)}, ["cgroup v1", "install runc"]),
    ],
)
def test_a_machine_that_will_not_do_is_told_why(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(LabError) as caught:
        host.require(replace(MACHINE, **change))
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


def test_os_release_is_read_with_and_without_quotes(tmp_path: Path) -> None:
    path = tmp_path / "os-release"
    path.write_text("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n\n# comment\nNAME='Mint'\n")
    assert host.os_release(path) == {"ID": "linuxmint", "ID_LIKE": "ubuntu debian", "NAME": "Mint"}
    assert host.os_release(tmp_path / "absent") == {}


@pytest.mark.parametrize(
    ("lines", "shared"),
    [
        (["22 1 254:0 / / rw shared:1 - ext4 /dev/vda rw"], True),
        (["22 1 254:0 / / rw - ext4 /dev/vda rw", "30 22 0:5 / /dev rw shared:2 - devtmpfs dev rw"], False),
        (["1 1 0:1 / / rw - rootfs rootfs rw", "22 1 254:0 / / rw shared:1 - ext4 /dev/vda rw"], True),
    ],
)
def test_the_root_mount_that_counts_is_the_last_one(tmp_path: Path, lines: list[str], shared: bool) -> None:
    path = tmp_path / "mountinfo"
    path.write_text("\n".join(lines) + "\n")
    assert host.root_is_shared(path) is shared


def test_an_image_is_named_by_its_recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CANTON_LAB_CACHE", str(tmp_path))
    bookworm, trixie = node_image.Image("bookworm"), node_image.Image("trixie")
    before = bookworm.archive
    assert before.parent == tmp_path
    assert bookworm.digest != trixie.digest
    monkeypatch.setattr(node_image, "NODE_PACKAGES", (*node_image.NODE_PACKAGES, "tree"))
    assert bookworm.archive != before
    with pytest.raises(LabError, match=r"'woody'.*bookworm, trixie"):
        node_image.Image("woody")


def test_a_failed_build_shows_the_end_of_its_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "build.log"
    script = "echo 'I: downloading packages...'; seq 1 50; echo 'E: no route' >&2; exit 7"
    with pytest.raises(LabError) as caught:
        node_image.follow(["sh", "-c", script], log)
    assert "E: no route" in str(caught.value)
    assert "    45\n" not in str(caught.value), "the log's end, not all of it"
    assert len(log.read_text().splitlines()) == 52
    assert "downloading packages..." in capsys.readouterr().err


def test_a_failing_program_is_quoted_and_an_absent_one_named() -> None:
    with pytest.raises(LabError, match="disk full"):
        host.run("sh", "-c", "echo hint >&2; echo disk full >&2; exit 3")
    with pytest.raises(LabError, match=r"no-such-program.*lab\.py deps"):
        host.run("no-such-program")
    assert host.attempt("cat", stdin="text").stdout == "text"


def test_groups_follow_the_size_unless_chosen() -> None:
    assert replace(DEMO, chosen={}, size=1).groups == dict.fromkeys(lab_module.GROUPS, (1,))
    assert DEMO.groups == {
        "mcp_hosts": (1, 2, 3),
        "load_balancers": (1, 2),
        "testers": (1,),
        "monitors": (1,),
    }


def test_what_is_not_asked_for_stays() -> None:
    assert lab_module.planned(DEMO, "demo", None, None, None, None) == DEMO
    grown = lab_module.planned(DEMO, "demo", 5, "bookworm", {"testers": ()}, "10.89.7.0/24")
    assert grown.groups["mcp_hosts"] == (1, 2, 3, 4, 5)
    assert grown.groups["load_balancers"] == (1, 2)
    assert grown.groups["testers"] == ()
    assert grown.nodes[0].address == DEMO.nodes[0].address == "10.89.7.11"


@pytest.mark.parametrize(
    ("size", "release", "groups", "subnet", "words"),
    [
        (None, "trixie", None, None, "runs bookworm, not trixie"),
        (None, None, None, "10.89.8.0/24", "is on 10.89.7.0/24, not 10.89.8.0/24"),
        (0, None, None, None, "--nodes 0 is out of range"),
        (51, None, None, None, "1 to 50"),
        (None, None, {"testers": (4,)}, None, "testers names node 4, but the lab has 3"),
        (1, None, None, None, "load_balancers names node 2, but the lab has 1"),
    ],
)
def test_what_cannot_be_had_is_refused(
    size: int | None,
    release: str | None,
    groups: dict[str, tuple[int, ...]] | None,
    subnet: str | None,
    words: str,
) -> None:
    with pytest.raises(LabError, match=words):
        lab_module.planned(DEMO, "demo", size, release, groups, subnet)


def test_subnets_do_not_clash() -> None:
    used = [ipaddress.IPv4Network("10.89.1.0/24"), ipaddress.IPv4Network("10.89.2.128/25")]
    assert str(lab_module.free_subnet(None, used)) == "10.89.3.0/24"
    assert str(lab_module.free_subnet("10.89.9.0/24", used)) == "10.89.9.0/24"
    for wanted, words in (
        ("10.89.0.0/16", "overlaps 10.89.1.0/24"),
        ("10.89.9.1/24", "host bits set"),
        ("10.89.9.0/26", "too small"),
    ):
        with pytest.raises(LabError, match=words):
            lab_module.free_subnet(wanted, used)
    with pytest.raises(LabError, match="--subnet"):
        lab_module.free_subnet(None, [ipaddress.IPv4Network("10.0.0.0/8")])


def test_a_new_host_key_replaces_the_old_one_of_its_address() -> None:
    text = lab_module.with_host_key("", "10.89.7.1", "ssh-ed25519 ONE")
    text = lab_module.with_host_key(text, "10.89.7.11", "ssh-ed25519 OTHER")
    text = lab_module.with_host_key(text, "10.89.7.1", "ssh-ed25519 TWO")
    assert text == "10.89.7.11 ssh-ed25519 OTHER\n10.89.7.1 ssh-ed25519 TWO\n"


def test_ansible_reads_the_inventory(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yml"
    path.write_text(
        lab_module.render_inventory(replace(DEMO, chosen={"testers": (), "load_balancers": (2,)}))
    )
    tree = yaml.safe_load(path.read_text())
    assert tree["all"]["hosts"]["demo-2"] == {"ansible_host": "10.89.7.12"}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-inventory"), "-i", str(path), "--list"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    listed = json.loads(done.stdout)
    assert listed["mcp_hosts"]["hosts"] == ["demo-1", "demo-2", "demo-3"]
    assert listed["load_balancers"]["hosts"] == ["demo-2"]
    assert "hosts" not in listed.get("testers", {})
    seen = listed["_meta"]["hostvars"]["demo-3"]
    assert seen["ansible_host"] == "10.89.7.13"
    assert seen["ansible_user"] == "root"
    assert seen["ansible_ssh_private_key_file"] == str(DEMO.key)
    assert f"UserKnownHostsFile={DEMO.known_hosts}" in seen["ansible_ssh_common_args"]
    assert "StrictHostKeyChecking=yes" in seen["ansible_ssh_common_args"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["up", "Bad_Name"], "bad lab name 'Bad_Name'"),
        (["down"], "lab.py down NAME"),
        (["ssh", "nowhere-1"], "there is no lab 'nowhere'"),
        (["reboot", "nowhere"], "there is no lab 'nowhere'"),
    ],
)
def test_an_error_is_one_line_and_no_traceback(arguments: list[str], words: str) -> None:
    done = command(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


def test_a_malformed_group_is_explained() -> None:
    done = command("up", "demo", "--group", "load_balancers:1")
    assert done.returncode == 2
    assert "write it like load_balancers=1,2" in done.stderr


def test_the_doctor_needs_nothing_and_names_what_is_missing(tmp_path: Path) -> None:
    done = command("doctor", PATH=str(tmp_path), CANTON_LAB_CACHE=str(tmp_path))
    assert "Traceback" not in done.stderr
    assert done.returncode == 1
    report = done.stdout.splitlines()
    assert any(line.startswith("image cache") and line.endswith(str(tmp_path)) for line in report)
    assert any(line.startswith("missing packages") and "podman" in line for line in report)
