"""Fixtures of all tests that need a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from processes import Served, spawn


@pytest.fixture(scope="session")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One real server for all tests that only talk to it."""
    served = spawn(tmp_path_factory.mktemp("live"))
    try:
        yield served.wait_ready()
    finally:
        served.stop()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start servers of one's own: ``start_server(NAME="value", ...)``; all end with the test."""
    started: list[Served] = []

    def start(
        port: int | None = None, command: list[str] | None = None, passed: Sequence[int] = (), **extra: str
    ) -> Served:
        started.append(spawn(tmp_path, port, command, passed, **extra))
        return started[-1]

    yield start
    for served in started:
        if served.process.poll() is None:
            served.process.kill()
            served.process.wait()
