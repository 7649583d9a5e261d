"""The command line: help, versions, and how wrong usage is told."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from canton_mcp import __version__
from canton_mcp.cli import main
from click.testing import CliRunner
from processes import Served


@pytest.mark.parametrize("command", [["serve"], ["test"], ["dcap", "listen"], ["probe"]])
def test_every_command_has_help_with_an_example(command: list[str]) -> None:
    done = CliRunner().invoke(main, [*command, "--help"])
    assert done.exit_code == 0
    assert "Example" in done.output
    assert f"canton-mcp {' '.join(command)}" in done.output


def test_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"canton-mcp, version {__version__}\n"


def test_the_installed_command_is_this_one() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "canton_mcp.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert __version__ in done.stdout


@pytest.mark.parametrize(
    ("env", "arguments", "told"),
    [
        ({}, [], "MCP_SERVER_URLS: no server to call"),
        ({"MCP_SERVER_URLS": "localhost:7284"}, [], "MCP_SERVER_URLS=localhost:7284"),
        ({"MCP_SERVER_URLS": "http://h:1/mcp"}, ["--urls", "x"], "MCP_SERVER_URLS=x"),
        (
            {"MCP_SERVER_URLS": "http://h:1/mcp"},
            ["--min-interval", "9", "--max-interval", "1"],
            "MAX_INTERVAL=1",
        ),
    ],
)
def test_the_tester_refuses_wrong_settings(env: dict[str, str], arguments: list[str], told: str) -> None:
    unset: dict[str, str | None] = dict.fromkeys(("MCP_SERVER_URLS", "MIN_INTERVAL", "MAX_INTERVAL"))
    done = CliRunner(env={**unset, **env}).invoke(main, ["test", *arguments])
    assert done.exit_code == 2
    assert done.stderr.startswith(f"Error: {told}")
    assert len(done.stderr.splitlines()) == 1


def test_the_tester_calls_a_server(live_server: Served) -> None:
    arguments = ["test", "--urls", f"{live_server.url}/mcp", "--count", "3", "--seed", "1"]
    done = CliRunner().invoke(main, [*arguments, "--min-interval", "0", "--max-interval", "0"])
    assert done.exit_code == 0, done.output
    assert "[#3] Calling canton-mcp-server → " in done.output


def test_the_listener_ends_after_its_time() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        taken = CliRunner().invoke(main, ["dcap", "listen", "--bind", "127.0.0.1", "--port", str(port)])
    assert taken.exit_code == 1
    done = CliRunner().invoke(
        main, ["dcap", "listen", "--bind", "127.0.0.1", "--port", str(port), "--seconds", "0.05"]
    )
    assert done.exit_code == 0, done.output


def test_check_tells_where_it_would_listen(live_server: Served) -> None:
    env = {
        "CANTON_MCP_BIND": "127.0.0.1",
        "CANTON_MCP_PORT": str(live_server.port),
    }  # taken, and never touched
    done = CliRunner(env=env).invoke(main, ["serve", "--check"])
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"127.0.0.1:{live_server.port}" in done.stdout


def test_check_refuses_wrong_settings() -> None:
    done = CliRunner(env={"X402_ENABLED": "true", "DCAP_PORT": "0"}).invoke(main, ["serve", "--check"])
    assert done.exit_code == 2
    assert [line.split("=")[0] for line in done.stderr.splitlines()] == [
        "Error: X402_ENABLED",
        "Error: DCAP_PORT",
    ]
