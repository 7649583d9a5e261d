"""The node image: a Debian root file system with systemd and SSH, built once and named by its recipe."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from machine import KEYRING, LabError, attempt, cache_directory, locked, program, run, say

MIRROR = "http://deb.debian.org"
RELEASES = ("bookworm", "trixie")

# What a node needs to be managed, and no more: a play has to bring the rest, as on a real machine.
NODE_PACKAGES = (
    "ca-certificates",
    "curl",
    "dbus",
    "iproute2",
    "openssh-server",
    "procps",
    "python3",
    "systemd",
    "systemd-sysv",
)

# Runs in the new root directory. Timers of apt are masked: a background upgrade would hold the package lock
# at a random moment of a test.
NODE_SETUP = """\
install -d -m 0700 /root/.ssh
install -d -m 2755 -g systemd-journal /var/log/journal
echo LANG=C.UTF-8 > /etc/default/locale
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id /etc/ssh/ssh_host_* /etc/resolv.conf /etc/hostname
cat > /etc/ssh/sshd_config.d/lab.conf <<'END'
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
END
cat > /etc/systemd/system/ssh-host-key.service <<'END'
[Unit]
Description=SSH host key of this node, made at its first boot
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key
[Install]
WantedBy=ssh.service
END
systemctl --quiet enable ssh.service ssh-host-key.service
systemctl --quiet mask getty.target console-getty.service apt-daily.timer \\
    apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer dpkg-db-backup.timer
"""


@dataclass(frozen=True)
class Image:
    """The root file system of a node, named by what it is made from: a changed recipe is another image."""

    release: str

    def __post_init__(self) -> None:
        if self.release not in RELEASES:
            raise LabError(f"unknown release {self.release!r}; choose one of {', '.join(RELEASES)}")

    @property
    def sources(self) -> tuple[str, ...]:
        """One-line apt sources; they stay in the node, so that plays can install packages there."""
        signed = f"[signed-by={KEYRING}]"
        return (
            f"deb {signed} {MIRROR}/debian {self.release} main",
            f"deb {signed} {MIRROR}/debian-security {self.release}-security main",
        )

    @property
    def options(self) -> tuple[str, ...]:
        """Options of mmdebstrap. No documentation and no fsync, neither while building nor in the nodes."""
        excluded = ("man", "doc", "locale", "info")
        return (
            "--mode=root",
            "--variant=minbase",
            "--format=tar",
            f"--include={','.join(NODE_PACKAGES)}",
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in excluded),
            "--dpkgopt=force-unsafe-io",
            '--aptopt=APT::Install-Recommends "false"',
            '--aptopt=Acquire::Languages "none"',
            *host_proxy(),
        )

    @property
    def digest(self) -> str:
        """12 hex digits over everything that decides the content, apart from the date."""
        recipe = json.dumps([self.release, self.sources, self.options, NODE_SETUP])
        return hashlib.sha256(recipe.encode()).hexdigest()[:12]

    @property
    def tag(self) -> str:
        """Name of the image in podman."""
        return f"localhost/canton-lab-node:{self.release}-{self.digest}"

    @property
    def archive(self) -> Path:
        """The cached root file system."""
        return cache_directory() / f"node-{self.release}-{self.digest}.tar"

    def ensure(self, rebuild: bool = False) -> None:
        """Have the image in podman: build it if it was never built, import it if podman lacks it."""
        with locked(cache_directory() / "image.lock"):
            present = attempt("podman", "image", "exists", self.tag).returncode == 0
            if present and not rebuild:
                return
            if rebuild or not self.archive.exists():
                self._build()
            say(f"importing {self.tag}")
            run("podman", "import", "--quiet", str(self.archive), self.tag, timeout=600)

    def _build(self) -> None:
        started = time.monotonic()
        say(f"building the {self.release} node image (once, about 40 s)")
        partial = self.archive.with_suffix(".partial")
        with tempfile.TemporaryDirectory(prefix="canton-lab-", dir=scratch_space()) as scratch:
            setup = Path(scratch) / "setup.sh"
            setup.write_text(NODE_SETUP)
            hook = f'--customize-hook=chroot "$1" sh -eu -s < {shlex.quote(str(setup))}'
            follow(
                ["mmdebstrap", *self.options, hook, self.release, str(partial), *self.sources],
                log=self.archive.with_suffix(".log"),
                environment={**os.environ, "TMPDIR": scratch},
            )
        partial.replace(self.archive)
        size = self.archive.stat().st_size >> 20
        say(f"built {self.archive.name}, {size} MiB, in {time.monotonic() - started:.0f} s")


def scratch_space(needed: int = 2 << 30) -> str | None:
    """Memory to unpack in, where there is plenty (saves 5 s of a build); else None: the usual place."""
    memory = Path("/dev/shm")
    meminfo = Path("/proc/meminfo")
    found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text()) if meminfo.exists() else None
    plenty = (
        found
        and int(found[1]) * 1024 > 2 * needed
        and memory.is_dir()
        and shutil.disk_usage(memory).free > needed
    )
    return str(memory) if plenty else None


def follow(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run a long build, show its steps as they come, keep its log; on failure raise with the log's end."""
    with (
        log.open("w") as sink,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            env=environment,
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            sink.write(line)
            if line.startswith("I: ") and line.rstrip().endswith("..."):
                say("  " + line[3:].rstrip())
    if process.returncode != 0:
        end = "\n".join(f"    {line}" for line in log.read_text().splitlines()[-6:])
        raise LabError(f"the image build failed; is {MIRROR} reachable? The end of {log}:\n{end}")


def host_proxy() -> tuple[str, ...]:
    """The apt proxy of this machine as an option for mmdebstrap: build and nodes use it too."""
    if not program("apt-config"):
        return ()
    text = run("apt-config", "dump", "Acquire::http::Proxy")
    found = re.search(r'^Acquire::http::Proxy "(.+)";', text, re.MULTILINE)
    return (f'--aptopt=Acquire::http::Proxy "{found[1]}"',) if found else ()
