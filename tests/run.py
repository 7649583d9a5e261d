"""Runs the parts of the proof one after the other, shows progress, and ends with a summary.

Usage: run.py [check|page|conformance|molecule|e2e ...]; all of them by default. The log of every part is kept in .lab/logs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
LOGS = ROOT / ".lab" / "logs"
TAIL = 60
HEARTBEAT_SEC = 60


class Part(NamedTuple):
    """One command of the proof."""

    group: str
    name: str
    command: tuple[str, ...]
    directory: Path = ROOT


def parts() -> list[Part]:
    """Everything there is to prove, quick parts first."""
    roles = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
    return [
        Part("check", "lint", ("make", "--no-print-directory", "lint")),
        Part("check", "unit tests", ("make", "--no-print-directory", "unit")),
        Part("check", "services", ("pytest", "tests/services")),
        Part("check", "DAML engine", ("pytest", "tests/daml")),
        Part("check", "hub", ("pytest", "tests/hub")),
        Part("page", "page in a browser", ("pytest", "tests/page")),
        Part("conformance", "conformance", ("pytest", "tests/conformance")),
        *(Part("molecule", f"role {role}", ("molecule", "test"), ROOT / "roles" / role) for role in roles),
        Part("molecule", "fleet", ("molecule", "test", "-s", "fleet"), ROOT / "tests"),
        Part("e2e", "end to end", ("pytest", "tests/lab", "tests/e2e", "--durations=5")),
    ]


def run(part: Part) -> tuple[bool, float]:
    """Run one part; its output goes to its log, a sign of life to the screen."""
    log = LOGS / f"{part.name.replace(' ', '-')}.log"
    started = time.monotonic()
    print(f"▶ {part.name}", flush=True)
    with log.open("w") as output:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1", "PY_COLORS": "0"}
        process = subprocess.Popen(
            part.command,
            cwd=part.directory,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        done = threading.Event()
        threading.Thread(target=_heartbeat, args=(done, part.name, started), daemon=True).start()
        passed = process.wait() == 0
        done.set()
    elapsed = time.monotonic() - started
    print(f"  {'ok' if passed else 'FAILED'} after {elapsed:.0f} s", flush=True)
    if not passed:
        print(
            "".join(f"    {line}\n" for line in log.read_text(errors="replace").splitlines()[-TAIL:]),
            end="",
            flush=True,
        )
    return passed, elapsed


def _heartbeat(done: threading.Event, name: str, started: float) -> None:
    while not done.wait(HEARTBEAT_SEC):
        print(f"  … {name}, {time.monotonic() - started:.0f} s so far", flush=True)


def main() -> int:
    """Run the chosen groups; 1 when a part failed, 2 when a group is unknown."""
    wanted = sys.argv[1:]
    known = list(dict.fromkeys(part.group for part in parts()))
    if unknown := [word for word in wanted if word not in known]:
        print(f"{unknown[0]!r} is not a part of the proof; use {', '.join(known)}", file=sys.stderr)
        return 2
    LOGS.mkdir(parents=True, exist_ok=True)
    results = [(part, *run(part)) for part in parts() if not wanted or part.group in wanted]
    print("\nSummary")
    for part, passed, elapsed in results:
        print(f"  {'passed' if passed else 'FAILED'}  {elapsed:5.0f} s  {part.name}")
    failed = [part.name for part, passed, _ in results if not passed]
    total = sum(elapsed for _, _, elapsed in results)
    print(
        f"  {len(results) - len(failed)} of {len(results)} passed in {total / 60:.1f} min; logs in {LOGS.relative_to(ROOT)}"
    )
    return min(len(failed), 1)


if __name__ == "__main__":
    sys.exit(main())
