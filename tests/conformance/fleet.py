"""Servers with the suite's features as they run in production: gunicorn with its shipped configuration."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import canton_mcp
from canton_mcp.settings import Settings
from processes import Served, free_port, spawn

__all__ = ["servers"]

SECRET: Final = "known to the servers of this test and to nobody else"


@contextlib.contextmanager
def servers(count: int, directory: Path) -> Iterator[list[Served]]:
    """Servers on loopback that share a secret and tell each other what changes."""
    siblings, credentials = directory / "siblings", directory / "credentials"
    siblings.mkdir()
    credentials.mkdir()
    (credentials / "fleet-secret").write_text(f"{SECRET}\n")
    environment: dict[str, Any] = {
        "PYTHONPATH": str(Path(__file__).parent),
        "CREDENTIALS_DIRECTORY": str(credentials),
        "CONFORMANCE_SIBLINGS": str(siblings),
    }
    started: list[Served] = []
    try:
        for _ in range(count):
            port = free_port()
            started.append(spawn(directory, port, _gunicorn(port), **environment))
        yield [served.wait_ready() for served in started]
    finally:
        for served in started:
            served.stop()


def _gunicorn(port: int) -> list[str]:
    """The command that `canton-mcp serve` ends in, but for the application."""
    return [
        *(sys.executable, "-m", "gunicorn"),
        *("--config", str(Path(canton_mcp.__file__).parent / "gunicorn.conf.py")),
        *("--bind", f"127.0.0.1:{port}"),
        *("--threads", str(Settings.from_env({}).threads)),
        "profile:create_app()",
    ]
