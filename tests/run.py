"""Runs the parts of the proof, shows progress, and ends with a summary.

What needs the machine for itself runs one after the other; then containers are built, deployed to and torn down in two lanes, most of
whose time is waiting.

Usage: run.py [check|page|conformance|molecule|e2e ...]; all of them by default. The log of every part is kept in .lab/logs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
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
    lane: int = 0
    """Parts of a lane follow each other; lane 0 is alone and first."""


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
        *(Part("molecule", f"role {role}", ("molecule", "test"), ROOT / "roles" / role, 1) for role in roles),
        Part("molecule", "fleet", ("molecule", "test", "-s", "fleet"), ROOT / "tests", 1),
        Part("e2e", "end to end", ("pytest", "tests/lab", "tests/e2e", "--durations=5"), lane=2),
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
    print(f"  {part.name}: {'ok' if passed else 'FAILED'} after {elapsed:.0f} s", flush=True)
    if not passed:
        print(
            "".join(f"    {line}\n" for line in log.read_text(errors="replace").splitlines()[-TAIL:]),
            end="",
            flush=True,
        )
    return passed, elapsed


def in_lanes(chosen: list[Part]) -> list[tuple[Part, bool, float]]:
    """Run the parts; what came of each, in their order."""
    found = {part: run(part) for part in chosen if part.lane == 0}
    lanes = [
        [part for part in chosen if part.lane == lane]
        for lane in sorted({part.lane for part in chosen} - {0})
    ]
    with ThreadPoolExecutor(max(1, len(lanes))) as pool:
        for results in pool.map(lambda lane: {part: run(part) for part in lane}, lanes):
            found |= results
    return [(part, *found[part]) for part in chosen]


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
    started = time.monotonic()
    results = in_lanes([part for part in parts() if not wanted or part.group in wanted])
    print("\nSummary")
    for part, passed, elapsed in results:
        print(f"  {'passed' if passed else 'FAILED'}  {elapsed:5.0f} s  {part.name}")
    failed = [part.name for part, passed, _ in results if not passed]
    total = time.monotonic() - started
    print(
        f"  {len(results) - len(failed)} of {len(results)} passed in {total / 60:.1f} min; logs in {LOGS.relative_to(ROOT)}"
    )
    return min(len(failed), 1)


if __name__ == "__main__":
    sys.exit(main())
