"""Servers on loopback as `canton-mcp serve` starts them: with the suite's features, the workshop's, or the product's."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import canton_mcp
from canton_mcp.settings import Settings
from processes import Served, free_port, spawn

__all__ = ["PRODUCT", "SECRET", "SUITE", "WORKSHOP", "servers"]

SECRET: Final = "known to the servers of these tests and to nobody else"
SUITE: Final = "fixtures:create_app()"
WORKSHOP: Final = "workshop:create_app()"
PRODUCT: Final = "canton_mcp.web:create_app()"


@contextlib.contextmanager
def servers(
    directory: Path, count: int = 1, *, application: str = WORKSHOP, secret: str = SECRET, **environment: str
) -> Iterator[list[Served]]:
    """Servers that share a secret, and hear of each other's changes."""
    siblings, credentials = directory / "siblings", directory / "credentials"
    siblings.mkdir(parents=True)
    credentials.mkdir()
    (credentials / "fleet-secret").write_text(f"{secret}\n")
    given: dict[str, Any] = {
        "PYTHONPATH": str(Path(__file__).parent),
        "CREDENTIALS_DIRECTORY": str(credentials),
        "CONFORMANCE_SIBLINGS": str(siblings),
        "CANTON_MCP_ROLLOUT_FILE": str(directory / "rollout"),
        "DCAP_ENABLED": "false",
        **environment,
    }
    started: list[Served] = []
    try:
        for _ in range(count):
            port = free_port()
            command = [
                *(sys.executable, "-m", "gunicorn"),
                *("--config", str(Path(canton_mcp.__file__).parent / "gunicorn.conf.py")),
                *("--bind", f"127.0.0.1:{port}"),
                *("--threads", str(Settings.from_env({}).threads)),
                application,
            ]
            started.append(spawn(directory, port, command, **given))
        yield [served.wait_ready() for served in started]
    finally:
        for served in started:
            served.stop()
