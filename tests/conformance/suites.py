"""The official suites of MCP: which of them are run, how, and what they found."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from node import MODULES, program

__all__ = ["SUITES", "Report", "Reports", "Suite", "run", "table"]

PACKAGE: Final = "@modelcontextprotocol/conformance"
STABLE: Final = "conformance-stable"
STATES: Final = ("SUCCESS", "FAILURE", "WARNING", "SKIPPED", "INFO")
HANGS_SEC: Final = 120.0
"""A suite takes seconds. One that takes as long as this is ended, and has failed."""


class Suite(NamedTuple):
    """One run of a suite. `modern` tells by which era of the protocol it speaks."""

    name: str
    package: str
    arguments: tuple[str, ...]
    scenarios: int
    """How many scenarios count. A suite that runs fewer has not looked."""
    modern: bool = False
    revision: str | None = None
    """Where only what this revision of the protocol requires counts."""

    @property
    def scored(self) -> frozenset[str] | None:
        """The scenarios that count, by the suite's own list; None where all of them do."""
        if self.revision is None:
            return None
        listed = yaml.safe_load(
            (MODULES / self.package / "requirements" / f"{self.revision}.yaml").read_text()
        )
        return frozenset(listed["server"])


def _required(revision: str, scenarios: int, modern: bool = False) -> Suite:
    arguments = ("--requirements", revision)
    return Suite(f"required by {revision}", PACKAGE, arguments, scenarios, modern, revision)


def _every(version: str, scenarios: int, modern: bool = False) -> Suite:
    arguments = ("--suite", "all", "--spec-version", version)
    return Suite(f"all of {version}", PACKAGE, arguments, scenarios, modern)


SUITES: Final = (
    _required("2025-11-25", 30),
    _every("2025-11-25", 33),
    _every("2025-06-18", 27),
    _every("2025-03-26", 1),
    Suite("all of the stable release", STABLE, ("--suite", "all"), 32),
    _required("2026-07-28", 37, modern=True),
    _every("2026-07-28", 40, modern=True),
)


class Check(NamedTuple):
    """What a suite says of one thing it looked at."""

    scenario: str
    name: str
    status: str
    message: str
    details: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.status} {self.scenario} / {self.name}: {self.message}"


@dataclass(frozen=True)
class Report:
    """What came of one run of a suite."""

    suite: Suite
    status: int
    """The suite's own verdict: 0 is passed."""
    checks: Sequence[Check]
    seconds: float
    output: str

    @property
    def counting(self) -> Sequence[Check]:
        """The checks of the scenarios that count."""
        scored = self.suite.scored
        return [check for check in self.checks if scored is None or check.scenario in scored]

    @property
    def scenarios(self) -> frozenset[str]:
        """The scenarios that count and were run."""
        return frozenset(check.scenario for check in self.counting)

    @property
    def silent(self) -> frozenset[str]:
        """Those in which nothing was found to be right, whatever else was found."""
        return self.scenarios - {check.scenario for check in self.counting if check.status == "SUCCESS"}

    @property
    def complaints(self) -> list[str]:
        """Failures and warnings that count."""
        return [str(check) for check in self.counting if check.status in ("FAILURE", "WARNING")]

    @property
    def counts(self) -> Mapping[str, int]:
        """How often each verdict was given, where it counts."""
        return Counter(check.status for check in self.counting)


Reports = Mapping[Suite, Report]


def run(suite: Suite, url: str, directory: Path) -> Report:
    """Let a suite judge the server at `url`; its results stay in `directory`."""
    command = [
        *(str(program()), str(MODULES / suite.package / "dist" / "index.js")),
        *("server", "--url", url, *suite.arguments, "--output-dir", str(directory)),
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "NO_COLOR": "1"}
    directory.mkdir()
    said = directory / "output.txt"
    started = time.monotonic()
    with (
        said.open("w") as output,
        subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            process.wait(HANGS_SEC)
        except subprocess.TimeoutExpired:
            process.kill()
    checks = [check for path in sorted(directory.glob("*/checks.json")) for check in _read(path)]
    return Report(suite, process.returncode, checks, time.monotonic() - started, said.read_text())


def _read(path: Path) -> list[Check]:
    """The checks of one scenario, from a directory that is named by it and the time."""
    scenario = re.sub(r"^server-|-\d{4}-\d\d-\d\dT[-\dA-Z]+$", "", path.parent.name)
    return [
        Check(
            scenario,
            check["id"],
            check["status"],
            check.get("errorMessage") or check["description"],
            check.get("details") or {},
        )
        for check in json.loads(path.read_text())
    ]


def table(judged: Sequence[tuple[str, Report]]) -> list[str]:
    """A line for each report, with what it is about; the verdicts are of what counts."""
    heading = ("judged", "suite", "scenarios", *(state.lower() for state in STATES), "seconds")
    rows = [
        (
            *(who, report.suite.name, str(len(report.scenarios))),
            *(str(report.counts.get(state, 0)) for state in STATES),
            f"{report.seconds:.0f}",
        )
        for who, report in judged
    ]
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number < 2 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (heading, *rows)
    ]
