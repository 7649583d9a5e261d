#!/usr/bin/python
"""Ansible module, run on a node: install a release from its bundle, switch to it, keep the last few."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: canton_release
short_description: Install a release of the application and make it the current one
description:
  - A release is a virtual environment of its own under C(root)/releases/ID; C(root)/current points at the one in use.
  - It counts as installed once its file RELEASE is there, which is written last; a half-made one is made anew.
  - A release that cannot load the application is refused before anything is switched.
options:
  root: {description: Directory of the releases., type: path, required: true}
  id: {description: The release to use., type: str, required: true}
  archive: {description: The bundle, on this node. Needed only when the release is not installed yet., type: path, default: ""}
  python: {description: Interpreter for the virtual environment., type: path, required: true}
  keep: {description: How many releases to keep., type: int, default: 3}
  command_link: {description: Where to link the console command; empty means nowhere., type: str, default: ""}
author: Canton MCP Fleet
"""

RETURN = r"""
previous: {description: The release in use before., type: str, returned: always}
removed: {description: Releases that were or would be removed., type: list, returned: always}
"""


class ReleaseError(Exception):
    """A reason for which a release cannot be used, with its remedy."""


def run(*command: str, environment: dict[str, str] | None = None) -> None:
    """Run a step of the installation; its last lines become the error."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})}
    )
    if done.returncode:
        tail = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-12:])
        raise ReleaseError(
            f"{Path(command[0]).name} {' '.join(command[1:3])} ended with status {done.returncode}:\n{tail}"
        )


def install(release: Path, archive: Path, python: str) -> None:
    """Build the virtual environment of a release from its wheels alone, and prove that it loads."""
    if release.exists():
        shutil.rmtree(release)
    release.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        run(python, "-m", "venv", "--without-pip", str(release))
        bundle = release / "bundle"
        unpack(archive, bundle)
        wheels = bundle / "wheels"
        interpreter = str(release / "bin" / "python")
        # pip runs from its own wheel: nodes need neither python3-venv nor a package index.
        pip = {"PYTHONPATH": str(wheel(wheels, "pip"))}
        offline = (
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-index",
            f"--find-links={wheels}",
            "--no-cache-dir",
            "--isolated",
        )
        run(
            interpreter,
            *offline,
            "--require-hashes",
            f"--requirement={bundle / 'requirements.lock'}",
            environment=pip,
        )
        run(interpreter, *offline, "--no-deps", str(wheel(wheels, "canton_mcp")), environment=pip)
        shutil.rmtree(bundle)
        run(str(release / "bin" / "canton-mcp"), "serve", "--check")
    except (ReleaseError, OSError):
        shutil.rmtree(release, ignore_errors=True)
        raise
    (release / "RELEASE").write_text(f"{release.name}\n")


def unpack(archive: Path, directory: Path) -> None:
    """Extract a bundle; one that is cut off or was no archive at all becomes an error with its remedy."""
    try:
        with tarfile.open(archive) as packed:
            if sys.version_info >= (3, 12):
                packed.extractall(directory, filter="data")
            else:
                packed.extractall(directory)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        reason = str(error).splitlines()[0]
        raise ReleaseError(
            f"its archive is damaged ({reason}); remove it from canton_release_cache on the controller and run again"
        ) from None


def wheel(wheels: Path, name: str) -> Path:
    """The one wheel of a distribution in the bundle."""
    for path in wheels.glob(f"{name}-*.whl"):
        return path
    raise ReleaseError(
        f"its archive holds no wheel of {name}; remove it from canton_release_cache on the controller and run again"
    )


def switch(link: Path, target: str) -> None:
    """Point a link at a target in one step."""
    draft = link.with_name(f".{link.name}.new")
    draft.unlink(missing_ok=True)
    link.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft.symlink_to(target)
    draft.replace(link)


def used(releases: Path) -> set[str]:
    """Releases that some process still runs from."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            program = path.read_bytes().split(b"\0", 1)[0].decode(errors="replace")
        except OSError:
            continue  # the process has ended
        if program.startswith(f"{releases}/"):
            found.add(program[len(str(releases)) + 1 :].split("/", 1)[0])
    return found


def installed(release: Path, python: str) -> bool:
    """Whether a release is complete and made for this interpreter, which an upgrade of the system may have changed."""
    try:
        done = subprocess.run(
            [python, "-c", "import sys; print('python%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise ReleaseError(f"{python} does not run ({error}); set canton_release_python to another") from None
    return (release / "RELEASE").is_file() and (release / "lib" / done.stdout.strip()).is_dir()


def check_command(path: Path) -> None:
    """Refuse to replace a file that somebody else has put where the command is to be linked."""
    if path.exists() and not path.is_symlink():
        raise ReleaseError(
            f"{path} exists and is not a link; move it away or set canton_release_command_link"
        )


def surplus(releases: Path, current: str, keep: int) -> list[str]:
    """Half-made releases and those beyond the newest ``keep``, never the current one nor one that still runs."""
    complete = [path.parent for path in releases.glob("*/RELEASE")]
    newest = sorted(complete, key=lambda path: (path / "RELEASE").stat().st_mtime, reverse=True)
    others = [path.name for path in newest if path.name != current]
    broken = {path.name for path in releases.glob("*") if path not in complete} - {current}
    return sorted((set(others[max(keep - 1, 0) :]) | broken) - used(releases))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "id": {"type": "str", "required": True},
            "archive": {"type": "path", "default": ""},
            "python": {"type": "path", "required": True},
            "keep": {"type": "int", "default": 3},
            "command_link": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    params = module.params
    if params["keep"] < 2:
        module.fail_json(
            msg=f"canton_release_keep: {params['keep']} leaves nothing to go back to; use 2 or more"
        )
    root, wanted = Path(params["root"]), params["id"]
    current, releases = root / "current", root / "releases"
    release = releases / wanted
    previous = Path(os.readlink(current)).name if current.is_symlink() else ""
    command = Path(params["command_link"]) if params["command_link"] else None
    program = str(current / "bin" / "canton-mcp")
    linked = command is None or (command.is_symlink() and os.readlink(command) == program)
    os.umask(0o022)
    try:
        if command is not None:
            check_command(command)
        fresh = not installed(release, params["python"])
        if fresh and not module.check_mode:
            install(release, Path(params["archive"]), params["python"])
        if not module.check_mode and previous != wanted:
            switch(current, f"releases/{wanted}")
        if not module.check_mode and command is not None and not linked:
            switch(command, program)
        removed = surplus(releases, wanted, params["keep"])
        for name in [] if module.check_mode else removed:
            shutil.rmtree(releases / name)
    except (ReleaseError, OSError) as error:
        module.fail_json(
            msg=f"release {wanted} is not usable on this node: {error}\nThe node stays on {previous or 'no release'}."
        )
    module.exit_json(
        changed=fresh or previous != wanted or not linked or bool(removed),
        previous=previous,
        removed=removed,
        diff={"before": f"current: {previous or 'none'}\n", "after": f"current: {wanted}\n"},
    )


if __name__ == "__main__":
    main()
