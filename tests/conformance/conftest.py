"""One run of every suite against one server and against a balanced fleet, for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
from balancing import Balancer, fleet_config, running
from fleet import SUITE, servers
from processes import Served
from suites import SUITES, Report, Reports, run, table

TABLE: Final = pytest.StashKey[list[tuple[str, Report]]]()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A single server."""
    with servers(tmp_path_factory.mktemp("server"), application=SUITE) as (only,):
        yield only


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balancer]:
    """Three servers behind HAProxy, which is configured as it is for every fleet."""
    directory = tmp_path_factory.mktemp("fleet")
    with servers(directory, 3, application=SUITE) as three:
        config = fleet_config(directory, *({"port": served.port} for served in three))
        with running(directory, config, up=len(three)) as balancer:
            yield balancer


@pytest.fixture(scope="session")
def server_reports(
    server: Served, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Reports:
    """What every suite says of a single server."""
    return _judge("server", server.port, tmp_path_factory.mktemp("results"), pytestconfig)


@pytest.fixture(scope="session")
def fleet_reports(
    fleet: Balancer, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Reports:
    """What every suite says of the fleet."""
    return _judge("fleet", fleet.port, tmp_path_factory.mktemp("results"), pytestconfig)


def _judge(who: str, port: int, results: Path, config: pytest.Config) -> Reports:
    """Run every suite. Of two at a time, one speaks the legacy era and one the modern: so neither sees the other."""

    def lane(modern: bool) -> list[Report]:
        return [
            run(suite, f"http://localhost:{port}/mcp", results / suite.name.replace(" ", "-"))
            for suite in SUITES
            if suite.modern is modern
        ]

    with ThreadPoolExecutor(2) as pool:
        reports = [report for lane_reports in pool.map(lane, (False, True)) for report in lane_reports]
    config.stash.setdefault(TABLE, []).extend((who, report) for report in reports)
    return {report.suite: report for report in reports}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the table of all runs."""
    judged: list[tuple[str, Report]] = config.stash.get(TABLE, [])
    for line in table(judged):
        terminalreporter.write_line(line)
