"""``canton-mcp probe``: environment files, real health answers, systemd's view, and what counts as stale."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from canton_mcp import probe as probing
from canton_mcp.cli import main
from canton_mcp.probe import Expectation, ServerState, UsageError, parse_environment, probe
from click.testing import CliRunner
from processes import Served, free_port, server_environment

SYSTEMCTL = """#!{python}
import sys
assert sys.argv[1] == "show", sys.argv
with open({calls!r}, "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
blocks = []
for name in sys.argv[sys.argv.index("--") + 1:]:
    up = name != "canton-mcp@{stopped}.service"
    blocks.append("\\n".join([
        f"Id={{name}}", f"ActiveState={{'active' if up else 'inactive'}}",
        f"SubState={{'running' if up else 'dead'}}",
        f"ActiveEnterTimestamp={{'@1795420800' if up else ''}}",
        f"MainPID={{{pid} if up else 0}}",
        f"MemoryCurrent={{'{memory}' if up else '[not set]'}}",
        "NRestarts=2",
    ]))
print("\\n\\n".join(blocks))
"""


@pytest.fixture
def config(tmp_path: Path, live_server: Served) -> Path:
    """The configuration that the live server was started with, as files."""
    directory = tmp_path / "etc"
    (directory / "servers").mkdir(parents=True)
    environment = server_environment(live_server.log_path.parent, live_server.port)
    own = {name: value for name, value in environment.items() if name.startswith("CANTON_MCP_")}
    shared = "# shared\nCANTON_MCP_THREADS=16\nCANTON_MCP_BIND=192.0.2.1\n"
    (directory / "fleet.env").write_text(shared)
    lines = "".join(f'{name}="{value}"\n' for name, value in own.items())
    (directory / "servers" / f"{live_server.port}.env").write_text(lines)
    return directory


@pytest.fixture
def fake_systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl on PATH that knows every unit; the file it returns lists its calls."""
    calls = tmp_path / "systemctl-calls"
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    _write_systemctl(program, calls, pid=4711, memory="52428800")
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return calls


def _write_systemctl(program: Path, calls: Path, pid: int, memory: str) -> None:
    text = SYSTEMCTL.format(python=sys.executable, calls=str(calls), stopped=1, pid=pid, memory=memory)
    program.write_text(text)
    program.chmod(0o755)


@pytest.fixture
def no_systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("A=1\nB = 2 \n", {"A": "1", "B": "2"}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("# A=1\n; B=2\n  # C=3\nD=4", {"D": "4"}),
        ("# goes on \\\nA=1\nB=2", {"B": "2"}),
        ("A=\"two words\"\nB='it is'\nC=two words\n", {"A": "two words", "B": "it is", "C": "two words"}),
        ("A=\nB=''\n", {"A": "", "B": ""}),
        ("A=x # y\n", {"A": "x # y"}),
        ('A="a # b"\n', {"A": "a # b"}),
        ("A=one\\\ntwo\n", {"A": "onetwo"}),
        ('A="one\\\ntwo"\n', {"A": "onetwo"}),
        ("A='one\\\ntwo'\n", {"A": "one\\\ntwo"}),
        ('A="a\\"b\\\\c\\nd"\n', {"A": 'a"b\\c\\nd'}),
        ("A=a\\b\\\\c\n", {"A": "ab\\c"}),
        ("A='a\\b'\n", {"A": "a\\b"}),
        ("A=http://h:1/mcp?x=y\r\nB=2\r\n", {"A": "http://h:1/mcp?x=y", "B": "2"}),
        ("nonsense\n1A=2\nA B=3\nC=4\n", {"C": "4"}),
        ("A=it's\n", {"A": "it's"}),
        ('A="trailing "  \n', {"A": "trailing "}),
        ("A=\"two\" 'parts' x y \n", {"A": "twopartsx y"}),
        ("", {}),
    ],
)
def test_environment_files(text: str, variables: dict[str, str]) -> None:
    assert parse_environment(text) == variables


def test_a_running_server_is_healthy_and_current(
    config: Path, no_systemctl: None, live_server: Served
) -> None:
    (state,) = probe(config)
    assert (state.port, state.unit) == (live_server.port, f"canton-mcp@{live_server.port}.service")
    assert (state.healthy, state.error, state.stale) == (True, None, [])
    assert (state.active_state, state.since, state.pid, state.memory_bytes, state.restarts) == (None,) * 5
    assert (
        state.health is not None
        and state.health["config_digest"] == live_server.get("/health")[1]["config_digest"]
    )


def test_another_configuration_or_release_is_stale(
    config: Path, no_systemctl: None, live_server: Served
) -> None:
    own = config / "servers" / f"{live_server.port}.env"
    own.write_text(own.read_text() + "DCAP_SERVER_ID=canton-mcp-9\n")
    (state,) = probe(config, release="0.2.0-new")
    release, configuration = state.stale
    assert release == "release dev, expected 0.2.0-new"
    assert configuration.startswith("configuration ") and state.healthy
    own.write_text("CANTON_MCP_PORT=x\nCANTON_MCP_BIND=127.0.0.1\n")
    (state,) = probe(config, [str(live_server.port)])
    assert state.stale == ["configuration on disk cannot be used: " + state.stale[0].split(": ", 1)[1]]
    assert "CANTON_MCP_PORT=x" in state.stale[0]


def test_what_should_run_may_come_from_elsewhere(
    config: Path, no_systemctl: None, live_server: Served
) -> None:
    environment = server_environment(live_server.log_path.parent, live_server.port)
    down = free_port()
    wanted = Expectation("dev", {live_server.port: environment, down: {}})
    states = {state.port: state for state in probe(config, expectation=wanted)}
    assert states.keys() == {live_server.port, down}
    assert states[live_server.port].stale == []
    changed = Expectation("r2", {live_server.port: {**environment, "DCAP_PORT": "1"}})
    assert len(probe(config, expectation=changed)[0].stale) == 2


def test_a_server_that_is_down_is_not_stale(config: Path, no_systemctl: None) -> None:
    port = free_port()
    (state,) = probe(config, [str(port)], release="other")
    assert (state.healthy, state.health, state.stale) == (False, None, [])
    assert state.error == "connection refused"


def test_units_come_from_one_call(config: Path, fake_systemctl: Path, live_server: Served) -> None:
    running, stopped = probe(config, [str(live_server.port), "1"])
    assert len(fake_systemctl.read_text().splitlines()) == 1
    assert (running.active_state, running.sub_state, running.pid) == ("active", "running", 4711)
    assert (running.memory_bytes, running.restarts) == (52428800, 2)
    assert running.since == "2026-11-23T08:00:00+00:00"
    assert (stopped.active_state, stopped.since, stopped.pid, stopped.memory_bytes) == (
        "inactive",
        None,
        None,
        None,
    )


@pytest.mark.parametrize("unmeasured", ["[not set]", "18446744073709551615"])
def test_memory_that_systemd_does_not_measure_is_that_of_the_processes(
    config: Path, fake_systemctl: Path, live_server: Served, unmeasured: str
) -> None:
    master, worker = live_server.process.pid, live_server.get("/health")[1]["pid"]
    assert master != worker
    _write_systemctl(fake_systemctl.parent / "bin" / "systemctl", fake_systemctl, master, unmeasured)
    (state,) = probe(config)
    page = os.sysconf("SC_PAGE_SIZE")
    resident = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for pid in (master, worker)]
    # The worker holds nearly all of it, and shared pages count once.
    assert state.memory_bytes is not None
    assert resident[0] < state.memory_bytes <= sum(resident)


def test_memory_of_a_process_that_has_gone(config: Path, fake_systemctl: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    _write_systemctl(fake_systemctl.parent / "bin" / "systemctl", fake_systemctl, gone.pid, "[not set]")
    (state,) = probe(config)
    assert (state.pid, state.memory_bytes) == (gone.pid, None)


def test_urls_are_asked_over_http_only(fake_systemctl: Path, live_server: Served, tmp_path: Path) -> None:
    (state,) = probe(tmp_path / "missing", [f"{live_server.url}/"])
    assert (state.healthy, state.unit, state.stale, state.port) == (True, None, [], live_server.port)
    assert not fake_systemctl.exists()


@pytest.mark.parametrize(
    "targets", [["x"], ["0"], ["70000"], ["http://h:1/mcp"], ["7284", "http://h:1"], ["https://h"]]
)
def test_targets_that_make_no_sense(config: Path, targets: list[str]) -> None:
    with pytest.raises(UsageError):
        probe(config, targets)


def test_the_current_release_is_the_one_that_the_link_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("old", "new"):
        (tmp_path / "releases" / name).mkdir(parents=True)
        (tmp_path / "releases" / name / "RELEASE").write_text(f"{name}\n")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "releases" / "old"))
    assert probing.current_release() == "old"
    (tmp_path / "current").symlink_to("releases/new")
    assert probing.current_release() == "new"
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "current"))
    assert probing.current_release() == "new"


def test_json_output_and_status(config: Path, no_systemctl: None, live_server: Served) -> None:
    done = CliRunner().invoke(main, ["probe", "--json", "--config-dir", str(config)])
    (told,) = json.loads(done.stdout)
    assert done.exit_code == 0
    assert list(told) == [
        "port", "unit", "active_state", "sub_state", "since", "pid", "memory_bytes", "restarts",
        "health", "error", "stale",
    ]  # fmt: skip
    down = free_port()
    done = CliRunner().invoke(
        main, ["probe", "--json", "--config-dir", str(config), str(live_server.port), str(down)]
    )
    assert done.exit_code == 1
    assert [item["error"] for item in json.loads(done.stdout)] == [None, "connection refused"]


def test_expectations_from_standard_input(config: Path, no_systemctl: None, live_server: Served) -> None:
    document = json.dumps(
        {"release": "r9", "servers": {str(live_server.port): {"CANTON_MCP_BIND": "127.0.0.1"}}}
    )
    done = CliRunner().invoke(
        main, ["probe", "--json", "--config-dir", str(config), "--expect", "-"], input=document
    )
    assert done.exit_code == 0
    assert len(json.loads(done.stdout)[0]["stale"]) == 2


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["--expect", "/nonexistent.json"], "Name a file"),
        (["--expect", "-"], '{"release": "ID"'),
        (["nonsense"], "Give ports"),
        (["--config-dir", "/nonexistent"], "--config-dir"),
    ],
)
def test_wrong_usage(arguments: list[str], remedy: str) -> None:
    done = CliRunner().invoke(main, ["probe", *arguments], input="[]")
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ") and remedy in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_table(config: Path, no_systemctl: None, live_server: Served) -> None:
    down = free_port()
    arguments = ["probe", "--config-dir", str(config), "--release", "r2", str(live_server.port), str(down)]
    done = CliRunner().invoke(main, arguments)
    head, up, gone, *remarks = done.stdout.splitlines()
    assert done.exit_code == 1
    assert up[head.index("HEALTH") :].startswith("healthy") and gone[head.index("HEALTH") :].startswith(
        "DOWN"
    )
    assert up.startswith("canton-mcp-server ") and up.endswith("yes")
    assert remarks == [f"{live_server.port}: release dev, expected r2", f"{down}: connection refused"]


def test_health_that_is_none() -> None:
    states = [
        ServerState(1, health={"status": "healthy", "server": 5, "calls": []}),
        ServerState(2, error="gone"),
    ]
    assert len(probing.as_table(states).splitlines()) == 4
    assert probing.as_table([]) == "No servers are configured on this machine."
