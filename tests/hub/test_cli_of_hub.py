"""`canton-mcp hub`, `dcap stats` and `dcap simulate`: starting, stopping, refusing, and what they print."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from canton_mcp.cli import main
from canton_mcp.dcap import simulate
from canton_mcp.dcap.reading import Message, read
from canton_mcp.hub import terminal
from click.testing import CliRunner
from hubs import RunningHub, free_ports, hub_environment, spawn_hub

TOKEN = "a-token-of-the-tests-0123456789"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    running = spawn_hub(tmp_path_factory.mktemp("hub"), TOKEN)
    try:
        yield running.wait_ready()
    finally:
        running.stop()


@pytest.fixture
def quiet_udp() -> Iterator[socket.socket]:
    """A socket that takes what is sent to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


def received(sock: socket.socket) -> list[bytes]:
    got = []
    while True:
        try:
            got.append(sock.recv(65535))
        except BlockingIOError:
            return got


def start(**extra: str) -> subprocess.CompletedProcess[str]:
    """A hub that is not expected to start."""
    port, udp_port = free_ports()
    command = [sys.executable, "-m", "canton_mcp.cli", "hub"]
    env = hub_environment(port, udp_port, **extra)
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("command", [["hub"], ["dcap", "stats"], ["dcap", "simulate"]])
def test_every_command_has_help_with_an_example(command: list[str]) -> None:
    done = CliRunner().invoke(main, [*command, "--help"])
    assert done.exit_code == 0
    assert "Example" in done.output
    assert f"canton-mcp {' '.join(command)}" in done.output


@pytest.mark.parametrize("option", ["--seconds", "--rate", "--discover-interval", "--silent-after"])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_what_is_no_number_is_no_number(option: str, value: str) -> None:
    done = CliRunner().invoke(main, ["dcap", "simulate", "--target", "no target", option, value])
    assert done.exit_code == 2
    assert option in done.output


# Starting and stopping


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"DCAP_HUB_PORT": "http"}, "DCAP_HUB_PORT=http"),
        ({"DCAP_HUB_BIND": "0.0.0.0"}, "DCAP_HUB_BIND=0.0.0.0: can be reached from other machines"),
        ({"DCAP_HUB_BIND": "::"}, "DCAP_HUB_BIND=::: can be reached from other machines"),
        ({"DCAP_HUB_SERVERS_FILE": "/nowhere/servers.json"}, "DCAP_HUB_SERVERS_FILE=/nowhere/servers.json"),
        ({"DCAP_HUB_TOKEN_FILE": "/nowhere/token"}, "/nowhere/token"),
    ],
)
def test_settings_that_do_not_fit_end_with_2_and_one_line(env: dict[str, str], told: str) -> None:
    done = start(**env)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {told}")
    assert len(done.stderr.splitlines()) == 1


def test_check_looks_into_the_list_of_servers() -> None:
    done = CliRunner().invoke(
        main, ["hub", "--check"], env={"DCAP_HUB_SERVERS_FILE": "/nowhere/servers.json"}
    )
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: DCAP_HUB_SERVERS_FILE=/nowhere/servers.json")


def test_the_port_on_other_addresses_needs_a_token(tmp_path: Path) -> None:
    running = spawn_hub(tmp_path, TOKEN, DCAP_HUB_BIND="::")
    try:
        running.wait_ready()
        assert running.ask("/api/tail", Authorization="none").status == 401
        assert TOKEN not in running.log
    finally:
        assert running.stop() == 0


@pytest.mark.parametrize(
    ("kind", "name"), [(socket.SOCK_STREAM, "DCAP_HUB_PORT"), (socket.SOCK_DGRAM, "DCAP_HUB_UDP_PORT")]
)
def test_a_port_that_is_taken_ends_with_1_and_one_line(kind: socket.SocketKind, name: str) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        done = start(**{name: str(taken.getsockname()[1])})
    assert done.returncode == 1
    assert f"{taken_port(done.stderr)} on 127.0.0.1 is taken" in done.stderr
    assert name in done.stderr
    assert len(done.stderr.splitlines()) == 1


def taken_port(text: str) -> str:
    return next(word for word in text.split() if word.isdigit())


def test_check_reads_the_settings_without_listening(hub: RunningHub) -> None:
    env = {"DCAP_HUB_PORT": str(hub.port), "DCAP_HUB_UDP_PORT": str(hub.udp_port)}
    done = CliRunner(env=env).invoke(main, ["hub", "--check"])
    assert done.exit_code == 0
    assert str(hub.port) in done.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_and_nothing_that_came_is_lost(tmp_path: Path, number: int) -> None:
    state = {"DCAP_HUB_STATE_DIR": str(tmp_path / "state")}
    (tmp_path / "state").mkdir()
    running = spawn_hub(tmp_path, **state).wait_ready()
    running.send(*(running.call() for _ in range(30)))
    assert running.stop(number) == 0
    assert "Stopped after 30 datagrams." in running.log
    assert "Traceback" not in running.log
    again = spawn_hub(tmp_path, **state).wait_ready()
    try:
        assert again.report("window=1h")["fleet"]["calls"] == 30
    finally:
        again.stop()


def test_systemd_is_told_and_keeps_the_socket(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(20)
        running = spawn_hub(tmp_path, NOTIFY_SOCKET=address, WATCHDOG_USEC="200000")
        try:
            told, kept = heard(manager, "WATCHDOG=1")
            assert "READY=1" in told
            assert f"http://127.0.0.1:{running.port}/" in told
            assert "FDSTORE=1\nFDNAME=dcap" in told
            assert [sock.getsockname() for sock in kept] == [("127.0.0.1", running.udp_port)]
            running.process.terminate()
            assert "STOPPING=1" in heard(manager, "STOPPING=1")[0]
        finally:
            assert running.stop() == 0
        restarted_with(kept[0], running)


def restarted_with(kept: socket.socket, before: RunningHub) -> None:
    """What comes while no hub runs is taken by the next one, which systemd hands the socket to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(json.dumps(before.call("canton-mcp-9")).encode(), ("127.0.0.1", before.udp_port))
    code = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
        "os.execv(sys.executable, [sys.executable, '-m', 'canton_mcp.cli', 'hub'])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(kept.fileno())],
        env=hub_environment(before.port, before.udp_port, LISTEN_FDNAMES="dcap"),
        pass_fds=[kept.fileno(), 3] if kept.fileno() != 3 else [3],
        stdout=before.log_path.open("ab"),
        stderr=subprocess.STDOUT,
    )
    running = RunningHub(before.port, before.udp_port, process, before.log_path)
    try:
        running.wait_ready()
        running.until(lambda: running.health()["datagrams"] == 1)
    finally:
        running.stop()


def heard(manager: socket.socket, last: str) -> tuple[str, list[socket.socket]]:
    """All that the manager is told until a message with `last`, and the sockets that came along."""
    told, kept = "", []
    while last not in told:
        data, descriptors, _, _ = socket.recv_fds(manager, 4096, 4)
        told += f"{data.decode()}\n\n"
        kept += [socket.socket(fileno=descriptor) for descriptor in descriptors]
    return told, kept


def test_a_changed_list_of_servers_needs_no_restart(tmp_path: Path) -> None:
    servers = tmp_path / "servers.json"
    servers.write_text("[]")
    running = spawn_hub(tmp_path, DCAP_HUB_SERVERS_FILE=str(servers)).wait_ready()
    try:
        servers.write_text(
            json.dumps([{"sid": "canton-mcp-5", "name": "five", "host": "h", "port": 7288, "url": ""}])
        )
        running.until(lambda: running.report()["fleet"]["expected"] == 1)
        servers.write_text("nonsense")
        running.until(lambda: "DCAP_HUB_SERVERS_FILE" in running.log)
        assert running.report("window=1h")["fleet"]["expected"] == 1
    finally:
        running.stop()


# dcap stats


def stats(hub: RunningHub, *arguments: str) -> Any:
    return CliRunner().invoke(main, ["dcap", "stats", "--url", hub.url, *arguments])


def test_stats_shows_the_tables(hub: RunningHub, tmp_path: Path) -> None:
    hub.send(*(hub.call("canton-mcp-1", "validate") for _ in range(3)))
    hub.send(hub.call("canton-mcp-2", "\x1b[31mevil", success=False, ctx={"error_code": "timeout"}))
    done = stats(hub, "--token-file", str(token_file(tmp_path)))
    assert done.exit_code == 0, done.output
    for title in ("Fleet", "The same tool on every server", "Errors"):
        assert title in done.output
    assert "canton-mcp-1" in done.output
    assert "timeout" in done.output
    assert "\x1b" not in done.output


def test_stats_prints_json_for_one_server(hub: RunningHub, tmp_path: Path) -> None:
    hub.send(hub.call("canton-mcp-3"))
    done = stats(
        hub, "--token-file", str(token_file(tmp_path)), "--json", "--sid", "canton-mcp-3", "--window", "1h"
    )
    report = json.loads(done.output)
    assert (report["window"], report["filters"]["sid"]) == ("1h", ["canton-mcp-3"])


def test_stats_takes_the_address_that_the_page_has(hub: RunningHub) -> None:
    done = stats(hub, "--url", f"{hub.url}/#token={TOKEN}", "--json")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "a token is needed"),
        (["--token-file", "/nowhere"], "--token-file /nowhere: cannot be read"),
        (["--url", "http://127.0.0.1:1"], "no answer (connection refused)"),
        (["--url", "ftp://h"], "is no http or https URL"),
        (["--url", "http://[::1"], "is no http or https URL"),
        (["--url", "http://127.0.0.1:99999"], "is no http or https URL"),
        (["--url", "http://127.0.0.1:1#token=a%0Ab"], "the token is not a line of printable ASCII"),
    ],
)
def test_stats_says_what_is_wrong_in_one_line(hub: RunningHub, arguments: list[str], told: str) -> None:
    done = stats(hub, *arguments)
    assert done.exit_code == 1
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_watching_goes_on_while_the_hub_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    out, asked = io.StringIO(), []

    def ask() -> dict[str, Any]:
        asked.append(1)
        if len(asked) == 3:
            raise KeyboardInterrupt
        raise terminal.HubError("it is away")

    monkeypatch.setattr(terminal, "WATCH_SEC", 0)
    with pytest.raises(KeyboardInterrupt):
        terminal.watch(ask, False, out)
    assert out.getvalue() == "it is away\nit is away\n"


def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


# dcap simulate


def simulated(sock: socket.socket, *arguments: str) -> Any:
    target = f"127.0.0.1:{sock.getsockname()[1]}"
    return CliRunner().invoke(main, ["dcap", "simulate", "--target", target, *arguments])


def test_made_up_messages_are_valid_and_counted(quiet_udp: socket.socket) -> None:
    done = simulated(quiet_udp, "--servers", "5", "--rate", "400", "--seconds", "1.5", "--seed", "3")
    assert done.exit_code == 0, done.output
    read_back = [read(data) for data in received(quiet_udp)]
    assert all(isinstance(message, Message) and not message.flags for message in read_back)
    kinds = Counter(message.type for message in read_back if isinstance(message, Message))
    assert kinds["perf_update"] > 200
    assert kinds["semantic_discover"] == 25
    assert f"{len(read_back)} messages sent" in done.output
    assert {m.sender for m in read_back if isinstance(m, Message)} == {f"sim-mcp-{n}" for n in range(1, 6)}


@pytest.mark.parametrize("profile", simulate.PROFILES)
def test_every_profile_sends_what_a_hub_takes(quiet_udp: socket.socket, profile: str) -> None:
    done = simulated(quiet_udp, "--rate", "300", "--seconds", "0.5", "--profile", profile)
    assert done.exit_code == 0, done.output
    assert all(isinstance(read(data), Message) for data in received(quiet_udp))


def test_a_mixed_fleet_has_one_of_each_trouble() -> None:
    assert [server.role for server in simulate.fleet(5, "mixed")] == [
        "healthy",
        "healthy",
        "slow",
        "failing",
        "silent",
    ]
    assert [server.role for server in simulate.fleet(1, "mixed")] == ["healthy"]
    assert [server.role for server in simulate.fleet(3, "silent")] == ["healthy", "healthy", "silent"]


def test_the_same_seed_makes_the_same_calls() -> None:
    def calls(seed: int) -> list[tuple[float, str, str]]:
        steps = simulate.schedule(simulate.fleet(4, "mixed", seed), 50, 20, 5)
        return [(at, server.sid, what) for (at, server, what, _), _ in zip(steps, range(200), strict=False)]

    assert calls(1) == calls(1) != calls(2)


def test_the_silent_one_falls_silent_and_the_lossy_ones_lose() -> None:
    servers = simulate.fleet(4, "mixed", 1)
    last = {}
    for at, server, what, number in simulate.schedule(servers, 100, 20, 5):
        if at > 30:
            break
        last[server.role] = at
        assert what == "discover" or number == 0
    assert last["silent"] < 5 < 29 < last["healthy"]
    lossy = simulate.fleet(1, "lossy", 1)[0]
    lost = sum(lossy.call(0.0) is None for _ in range(2000))
    assert 60 < lost < 140
    assert lost == lossy.withheld


def test_ctrl_c_ends_with_a_summary(quiet_udp: socket.socket) -> None:
    command = [sys.executable, "-m", "canton_mcp.cli", "dcap", "simulate", "--target"]
    process = subprocess.Popen(
        [*command, f"127.0.0.1:{quiet_udp.getsockname()[1]}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ},
    )
    deadline = time.monotonic() + 20
    while not received(quiet_udp) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0, output
    assert "messages sent" in output
    assert "Traceback" not in output


def test_nobody_listening_is_told() -> None:
    _, port = free_ports()
    arguments = ["dcap", "simulate", "--target", f"127.0.0.1:{port}", "--rate", "100", "--seconds", "0.5"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "canton-mcp hub" in done.output


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("127.0.0.1", True),
        ("localhost:10191", True),
        ("10.1.2.3:1", True),
        ("192.168.7.7:10191", True),
        ("[::1]:10191", True),
        ("[fd00::1]:10191", True),
        ("239.255.0.1:10191", True),
        ("8.8.8.8:10191", False),
        ("159.89.110.236:10191", False),
        ("100.64.0.1:10191", False),
        ("224.0.0.1:10191", False),
        ("[::ffff:8.8.8.8]:10191", False),
        ("[2001:4860:4860::8888]:10191", False),
        ("[64:ff9b::808:808]:10191", False),
        ("127.0.0.1:0", False),
        ("127.0.0.1:x", False),
        (":10191", False),
    ],
)
def test_strangers_get_nothing(target: str, allowed: bool) -> None:
    if allowed:
        simulate.read_target(target)
        return
    done = CliRunner().invoke(main, ["dcap", "simulate", "--target", target, "--seconds", "0.1"])
    assert done.exit_code == 2
    assert f"--target {target}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_hub_of_this_machine_is_found_by_its_own_settings(tmp_path: Path) -> None:
    assert terminal.installed(tmp_path) == ("http://127.0.0.1:10191", "")
    (tmp_path / "hub.token").write_text(TOKEN)
    for bind, host in (("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("192.0.2.31", "192.0.2.31")):
        (tmp_path / "hub.env").write_text(f'# by hand\nDCAP_HUB_BIND="{bind}"\nDCAP_HUB_PORT=10201\n')
        assert terminal.installed(tmp_path) == (f"http://{host}:10201", str(tmp_path / "hub.token"))


def test_a_check_finds_what_would_fail_later(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    for variables, words in (
        (
            {"DCAP_HUB_BIND": "192.0.2.77", "DCAP_HUB_TOKEN_FILE": str(tmp_path / "token")},
            "DCAP_HUB_BIND=192.0.2.77: cannot be listened on",
        ),
        ({"DCAP_HUB_RAET": "5"}, "DCAP_HUB_RAET: nothing reads it. Did you mean DCAP_HUB_RATE?"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "canton_mcp.cli", "hub", "--check"],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
