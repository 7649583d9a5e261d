#!/usr/bin/python
"""Ansible module, run on the controller: pack one release of the application for one kind of node."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: canton_release_bundle
short_description: Build the application wheel and a wheelhouse for a node's interpreter, as one archive
description:
  - The release id is the version and a digest of the source, so the same input is the same release everywhere.
  - The newest archives are kept in C(cache); one that is there already is used as it is.
  - In check mode it tells the id and builds nothing.
options:
  source: {description: Directory of the application, with pyproject.toml and requirements.lock., type: path, required: true}
  cache: {description: Where archives are kept., type: path, required: true}
  python: {description: The node's Python version, such as 3.11., type: str, required: true}
  machine: {description: The node's machine, such as x86_64., type: str, required: true}
author: Canton MCP Fleet
"""

RETURN = r"""
id: {description: The release id., type: str, returned: always}
archive: {description: Path of the archive on the controller., type: str, returned: always}
"""

KEEP = 5
# manylinux tags that a node with glibc 2.36 or later takes; pip wants each one named.
GLIBC = (17, 28, 34)


class BundleError(Exception):
    """A reason for which no bundle can be made, with its remedy."""


def release_id(source: Path) -> str:
    """The version and a digest over every file that goes into a release."""
    pyproject = source / "pyproject.toml"
    lock = source / "requirements.lock"
    for needed in (pyproject, lock):
        if not needed.is_file():
            raise BundleError(
                f"{needed} is missing; point canton_release_source at the application's directory"
            )
    files = [
        pyproject,
        lock,
        *(path for path in (source / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts),
    ]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(source)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    try:
        version = tomllib.loads(pyproject.read_text())["project"]["version"]
    except (ValueError, KeyError) as error:
        raise BundleError(f"{pyproject} names no version ({error}); restore the file") from None
    return f"{version}-{digest.hexdigest()[:12]}"


def pip(*arguments: str) -> None:
    """Run the controller's own pip; its last lines become the error."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise BundleError(
            f"pip {arguments[0]} failed on the controller:\n{tail}\nCheck its access to a package index and run again."
        )


def wheelhouse(source: Path, cache: Path, python: str, machine: str) -> Path:
    """The locked dependencies, and pip itself, as wheels for one kind of node; kept until the lock changes."""
    lock = source / "requirements.lock"
    wheels = cache / f"wheels-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}-py{python}-{machine}"
    if not wheels.is_dir():
        platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in GLIBC]
        target = [f"--python-version={python}", "--implementation=cp", "--only-binary=:all:", *platforms]
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            draft = Path(scratch) / "wheels"
            pip(
                "download", "--quiet", "--require-hashes", f"--requirement={lock}", f"--dest={draft}", *target
            )
            pip("download", "--quiet", "--no-deps", f"--dest={draft}", *target, "pip")
            draft.rename(wheels)
    return wheels


def build(source: Path, archive: Path, python: str, machine: str) -> None:
    """Pack wheelhouse and application; the archive appears under its name only when it is complete."""
    wheels = wheelhouse(source, archive.parent, python, machine)
    with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
        own, draft = Path(scratch) / "own", Path(scratch) / "bundle.tar.gz"
        pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", f"--wheel-dir={own}", str(source))
        with tarfile.open(draft, "w:gz", compresslevel=1) as bundle:
            bundle.add(wheels, "wheels")
            for wheel in own.iterdir():
                bundle.add(wheel, f"wheels/{wheel.name}")
            bundle.add(source / "requirements.lock", "requirements.lock")
        draft.rename(archive)


def tidy(cache: Path, kind: str) -> None:
    """Keep the newest archives and wheelhouses for one kind of node."""
    for pattern, keep in ((f"canton-mcp-*-{kind}.tar.gz", KEEP), (f"wheels-*-{kind}", 1)):
        for old in sorted(cache.glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)[keep:]:
            shutil.rmtree(old) if old.is_dir() else old.unlink()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "path", "required": True},
            "cache": {"type": "path", "required": True},
            "python": {"type": "str", "required": True},
            "machine": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    source, cache = Path(module.params["source"]), Path(module.params["cache"])
    python, machine = module.params["python"], module.params["machine"]
    try:
        name = release_id(source)
        archive = cache / f"canton-mcp-{name}-py{python}-{machine}.tar.gz"
        if not module.check_mode and not archive.exists():
            cache.mkdir(parents=True, exist_ok=True)
            with (cache / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # several nodes of one kind ask at the same time
                if not archive.exists():
                    build(source, archive, python, machine)
                    tidy(cache, f"py{python}-{machine}")
    except (BundleError, OSError) as error:
        module.fail_json(msg=str(error))
    # The cache is the controller's own affair: no node has changed yet.
    module.exit_json(changed=False, id=name, archive=str(archive))


if __name__ == "__main__":
    main()
