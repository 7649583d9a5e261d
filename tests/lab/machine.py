"""The machine that a lab runs on: running its programs, what was found on it, what is missing."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class LabError(Exception):
    """Something the operator can put right; the text names the reason and the remedy."""


def say(text: str) -> None:
    """One line of progress, at once, on standard error: standard output is for results."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def run(*command: str, stdin: str | None = None, timeout: float | None = 120, check: bool = True) -> str:
    """Run a program of this machine and return its standard output.

    Raises LabError with the program's last words when it fails (unless ``check`` is false), is absent, or
    takes longer than ``timeout`` seconds.
    """
    done = attempt(*command, stdin=stdin, timeout=timeout)
    if check and done.returncode != 0:
        words = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise LabError(f"`{shlex.join(command[:4])} ...` failed: {words[-1] if words else 'no message'}")
    return done.stdout


def attempt(
    *command: str, stdin: str | None = None, timeout: float | None = 120
) -> subprocess.CompletedProcess[str]:
    """As ``run``, but a failing program is an answer, not an error."""
    try:
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL if stdin is None else None,
        )
    except FileNotFoundError:
        raise LabError(f"{command[0]} is not installed; run `tests/lab/lab.py deps`") from None
    except subprocess.TimeoutExpired:
        raise LabError(
            f"`{shlex.join(command[:4])} ...` gave no answer in {timeout:.0f} s; is the machine overloaded?"
        ) from None


@dataclass(frozen=True)
class Machine:
    """What was found on this machine and what follows from it."""

    system: str
    """``ID`` of os-release, for example debian."""
    like_debian: bool
    root: bool
    cgroups: str
    """``v2`` or ``v1`` (which includes hybrid)."""
    runtimes: tuple[str, ...]
    """OCI runtimes installed."""
    nofile: int
    """Hard limits of this process; -1 is no limit."""
    nproc: int
    root_shared: bool
    network: str
    """``netavark``, ``cni`` or ``none``."""
    apparmor: bool
    missing: tuple[str, ...]
    """Debian packages that the lab needs and this machine lacks."""

    @property
    def runtime(self) -> str:
        """The OCI runtime that can boot systemd here, or none: crun refuses cgroups v1 and hybrid."""
        wanted = "crun" if self.cgroups == "v2" and "crun" in self.runtimes else "runc"
        return wanted if wanted in self.runtimes else ""

    @property
    def ulimits(self) -> tuple[str, ...]:
        """podman's ulimit flags, never above the hard limit: a runtime that gets more refuses to start."""
        return tuple(
            f"--ulimit={name}={value}:{value}"
            for name, value in (
                ("nofile", capped(self.nofile, 1_048_576)),
                ("nproc", capped(self.nproc, 16_384)),
            )
        )

    @property
    def apt_line(self) -> str:
        """The command that installs what is missing."""
        return f"apt-get update && apt-get install --no-install-recommends -y {' '.join(self.missing)}"


def capped(limit: int, ceiling: int) -> int:
    """A resource limit for nodes: the hard limit, or the ceiling where there is none or more.

    podman lowers its own limits to what it takes from the kernel (``pid_max`` processes): hence a ceiling.
    """
    return ceiling if limit == resource.RLIM_INFINITY else min(limit, ceiling)


def detect() -> Machine:
    """Look at this machine. Never fails, changes nothing."""
    release = os_release(Path("/etc/os-release"))
    cgroups = "v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "v1"
    family = {release.get("ID", "unknown"), *release.get("ID_LIKE", "").split()}
    apparmor = Path("/sys/module/apparmor/parameters/enabled")
    return Machine(
        system=release.get("ID", "unknown"),
        like_debian="debian" in family,
        root=os.geteuid() == 0,
        cgroups=cgroups,
        runtimes=tuple(name for name in ("crun", "runc") if program(name)),
        nofile=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        nproc=resource.getrlimit(resource.RLIMIT_NPROC)[1],
        root_shared=root_is_shared(Path("/proc/self/mountinfo")),
        network=network_backend(),
        apparmor=apparmor.exists() and apparmor.read_text().startswith("Y"),
        missing=tuple(missing_packages(cgroups)),
    )


def with_programs(machine: Machine, names: Sequence[str]) -> Machine:
    """The machine, with packages of the same name missing for programs that are not there."""
    absent = [name for name in names if not program(name)]
    return replace(machine, missing=(*machine.missing, *absent))


def os_release(path: Path) -> dict[str, str]:
    """The fields of an os-release file; empty where there is none."""
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines() if "=" in line)
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}


def root_is_shared(mountinfo: Path) -> bool:
    """Whether mounts below / propagate (``shared:`` among the optional fields of its last mountinfo line)."""
    if not mountinfo.exists():
        return False
    roots = [line.split(" - ")[0] for line in mountinfo.read_text().splitlines() if line.split()[4] == "/"]
    return bool(roots) and "shared:" in roots[-1]


def program(name: str) -> str | None:
    """Where a program is; sbin counts even if an operator's PATH omits it."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")


def network_backend() -> str:
    """Which of podman's two network backends is usable."""
    if any((Path(base) / "netavark").exists() for base in ("/usr/lib/podman", "/usr/libexec/podman")):
        return "netavark"
    if any((Path(base) / "bridge").exists() for base in ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")):
        return "cni"
    return "none"


def missing_packages(cgroups: str) -> Iterator[str]:
    """Debian names of what the lab needs and does not find."""
    if not program("podman"):
        yield "podman"
    if cgroups == "v1" and not program("runc"):
        yield "runc"
    if cgroups == "v2" and not (program("crun") or program("runc")):
        yield "crun"
    if network_backend() == "none":
        # podman 5 dropped CNI; before that netavark was young.
        yield "netavark" if podman_major() >= 5 else "containernetworking-plugins"
    for name, package in (
        ("iptables", "iptables"),
        ("mmdebstrap", "mmdebstrap"),
        ("ssh", "openssh-client"),
        ("ip", "iproute2"),
    ):
        if not program(name):
            yield package
    if podman_major() >= 5 and not program("nft"):
        yield "nftables"
    if not KEYRING.exists():
        yield "debian-archive-keyring"
    if importlib.util.find_spec("ensurepip") is None:  # Debian's own Python cannot make a venv without it
        yield "python3-venv"


def podman_major() -> int:
    """Major version of podman, installed or as apt would install it; 0 if unknown."""
    if program("podman"):
        text = attempt("podman", "--version").stdout
    elif program("apt-cache"):
        text = attempt("apt-cache", "policy", "podman").stdout
    else:
        text = ""
    found = re.search(r"(?:version|Candidate:)\s+(\d+)", text)
    return int(found[1]) if found else 0


def require_root(root: bool) -> None:
    """LabError unless this is root."""
    if not root:
        raise LabError("the lab needs root, because its nodes boot systemd; run it again with sudo")


def require(machine: Machine) -> Machine:
    """The machine, if a lab can run on it; else LabError says what is missing and how to get it."""
    require_root(machine.root)
    if machine.missing:
        how = (
            f"run `{machine.apt_line}`" if machine.like_debian else "install their equivalents of your system"
        )
        raise LabError(f"missing packages: {' '.join(machine.missing)}; {how}")
    if not machine.runtime:
        raise LabError(f"no OCI runtime boots systemd on cgroup {machine.cgroups} here; install runc")
    if not Path("/sys/fs/cgroup").is_mount() or not any(Path("/sys/fs/cgroup").iterdir()):
        raise LabError(
            "/sys/fs/cgroup is not mounted, so no systemd can start; mount the cgroup hierarchy first"
        )
    return machine


def install_dependencies(also: Sequence[str] = ()) -> None:
    """Install the Debian packages that are missing: the lab's own, and those of the programs in ``also``.

    Says what to do where that is not possible.
    """
    machine = with_programs(detect(), also)
    if not machine.missing:
        say("every package is there")
        return
    names = " ".join(machine.missing)
    if not machine.like_debian:
        raise LabError(
            f"missing: {names}; {machine.system} is not Debian or Ubuntu: install their equivalents by hand"
        )
    if not machine.root:
        raise LabError(f"missing: {names}; installing needs root: run this again with sudo")
    say(f"installing {names}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *machine.missing],
    ):
        if subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode != 0:
            raise LabError(f"`{shlex.join(command)}` failed (see above); correct that and run `deps` again")
    if left := with_programs(detect(), also).missing:
        raise LabError(f"still missing after installation: {' '.join(left)}")


def cache_directory() -> Path:
    """Where images are kept between labs; $CANTON_LAB_CACHE moves it."""
    return Path(os.environ.get("CANTON_LAB_CACHE") or Path.home() / ".cache" / "canton-mcp-lab")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time do something; the others wait. Released even if the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
