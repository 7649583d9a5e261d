"""``canton-mcp serve`` as systemd and operators meet it: real processes, sockets and signals."""

from __future__ import annotations

import array
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import canton_mcp
import pytest
from processes import STARTUP_SEC, Served, free_port, until

Start = Callable[..., Served]
MESSAGE_BYTES = 4096

# A tool set that tells which source is running, and how long to take.
SMALL_TOOLS = """
    import time
    from pydantic import BaseModel
    from canton_mcp.tools.base import Tool
    from canton_mcp.tools.text import TEXT

    class Params(BaseModel):
        seconds: float = 0

    class Result(BaseModel):
        text: str

    def run(params, client):
        time.sleep(params.seconds)
        return Result(text=TEXT)

    TOOLS = (Tool("tell", "Tell", "Tells.", Params, Result, run, lambda result: result.text, ({},)),)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the package that a test may change, with a small tool set; put it on PYTHONPATH."""
    package = tmp_path / "src" / "canton_mcp"
    shutil.copytree(Path(canton_mcp.__file__).parent, package)  # what is compiled stays valid, and saves time
    (package / "tools" / "__init__.py").write_text(textwrap.dedent(SMALL_TOOLS))
    (package / "tools" / "text.py").write_text('TEXT = "first"\n')
    return package


def told(served: Served, seconds: float = 0) -> str:
    return str(served.call("tell", {"seconds": seconds})["result"]["structuredContent"]["text"])


class Manager:
    """The service manager's end of the notification socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.settimeout(STARTUP_SEC)

    def receive(self) -> tuple[str, list[int]]:
        """The next message and the descriptors that came with it."""
        size = socket.CMSG_SPACE(4 * array.array("i").itemsize)
        data, ancillary, _, _ = self._socket.recvmsg(MESSAGE_BYTES, size)
        passed = array.array("i")
        for level, kind, content in ancillary:
            assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            passed.frombytes(content)
        return data.decode(), passed.tolist()

    def receive_all(self) -> list[str]:
        """What is waiting now, without its descriptors."""
        self._socket.setblocking(False)
        waiting = []
        try:
            while True:
                waiting.append(self._socket.recv(MESSAGE_BYTES).decode())
        except BlockingIOError:
            return waiting
        finally:
            self._socket.settimeout(STARTUP_SEC)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    made = Manager(str(tmp_path_factory.mktemp("manager") / "notify"))
    yield made
    made.close()


@pytest.fixture
def abstract_manager() -> Iterator[Manager]:
    made = Manager(f"@canton-mcp-test-{os.getpid()}")
    yield made
    made.close()


def with_passed_sockets(descriptors: Sequence[int]) -> list[str]:
    """A command that starts the server as systemd does: sockets from descriptor 3 on, the pid announced."""
    script = f"""
        import fcntl
        import os
        import sys
        passed = {list(descriptors)}
        aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 100) for descriptor in passed]
        for descriptor in passed:
            os.close(descriptor)
        for place, descriptor in enumerate(aside, 3):
            os.dup2(descriptor, place)
        os.environ.update(LISTEN_FDS=str(len(passed)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="listen")
        os.execv(sys.executable, [sys.executable, "-m", "canton_mcp.cli", "serve"])
    """
    return [sys.executable, "-c", textwrap.dedent(script)]


@pytest.fixture
def other_socket() -> Iterator[socket.socket]:
    """A listening socket of another address than any server's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=STARTUP_SEC)


def ask_health(connection: socket.socket) -> str:
    """The status line of an answer on a connection that may have been waiting for its server."""
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    return connection.recv(4096).decode().partition("\r\n")[0]


def test_systemd_is_told_the_truth_and_keeps_the_socket(
    start_server: Start, manager: Manager, abstract_manager: Manager, other_socket: socket.socket
) -> None:
    wanted, other = free_port(), other_socket.fileno()

    # Started with nothing but a socket of another address: it is let go, the right one opened and stored.
    first = start_server(
        wanted, with_passed_sockets([other]), passed=[other], NOTIFY_SOCKET=abstract_manager.address
    )
    assert abstract_manager.receive() == ("FDSTOREREMOVE=1\nFDNAME=listen", [])
    stored, (kept,) = abstract_manager.receive()
    assert stored == "FDSTORE=1\nFDNAME=listen"
    assert abstract_manager.receive()[0].splitlines()[0] == "READY=1"
    before = first.get("/health")[1]["pid"]  # ready means that it answers

    first.process.send_signal(signal.SIGHUP)
    reloading, _ = abstract_manager.receive()
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", reloading)
    assert abstract_manager.receive()[0].splitlines()[0] == "READY=1"
    assert first.get("/health")[1]["pid"] != before

    assert first.stop() == 0
    assert abstract_manager.receive_all() == ["STOPPING=1"]

    # Restarted with both: nobody served for a while, yet a connection was not refused.
    with connect(wanted) as waiting:
        again = start_server(
            wanted, with_passed_sockets([other, kept]), passed=[other, kept], NOTIFY_SOCKET=manager.address
        )
        assert ask_health(waiting) == "HTTP/1.1 200 OK"
    sent = [manager.receive()[0].splitlines()[0] for _ in range(3)]
    assert sent == ["FDSTOREREMOVE=1", "FDSTORE=1", "READY=1"]
    os.close(kept)
    other_port = other_socket.getsockname()[1]
    other_socket.close()
    with pytest.raises(ConnectionRefusedError):  # the server does not hold it open
        connect(other_port)
    assert again.stop() == 0


def test_without_a_service_manager_nothing_is_missed(live_server: Served) -> None:
    assert "Traceback" not in live_server.log
    assert "notified" not in live_server.log


def test_a_source_that_does_not_load_is_never_ready(
    start_server: Start, source: Path, manager: Manager
) -> None:
    fault = source / "tools" / "text.py"
    fault.write_text("TEXT = undefined\n")
    served = start_server(PYTHONPATH=str(source.parent), NOTIFY_SOCKET=manager.address)
    assert served.process.wait(STARTUP_SEC) not in (0, None)
    assert not any("READY=1" in sent for sent in manager.receive_all())
    assert "'undefined' is not defined" in served.log and f"{fault}, line 1" in served.log
    assert "Traceback" not in served.log


def test_a_taken_port_ends_the_start_with_one_line(live_server: Served, start_server: Start) -> None:
    served = start_server(live_server.port)
    assert served.process.wait(STARTUP_SEC) == 1
    own_lines = served.log.splitlines()
    assert len(own_lines) == 1
    assert own_lines[0].startswith(f"Error: port {live_server.port} on 127.0.0.1 is taken")


def test_an_address_of_another_machine(start_server: Start) -> None:
    served = start_server(CANTON_MCP_BIND="192.0.2.1")
    assert served.process.wait(STARTUP_SEC) == 1
    assert "192.0.2.1 is no address of this machine" in served.log


def test_refused_settings_end_the_start_with_status_2(start_server: Start) -> None:
    served = start_server(X402_ENABLED="true", DCAP_PORT="0")
    assert served.process.wait(STARTUP_SEC) == 2
    assert [line.split("=")[0] for line in served.log.splitlines()] == [
        "Error: X402_ENABLED",
        "Error: DCAP_PORT",
    ]


def busy(served: Served) -> bool:
    """Whether a worker thread holds a connection: one established socket on the server's port."""
    wanted = f":{served.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(wanted) and row[3] == "01" for row in rows)


def test_hot_reload_follows_every_module_and_survives_broken_source(
    start_server: Start, source: Path
) -> None:
    text = source / "tools" / "text.py"
    text.write_text('TEXT = "broken"\ndef (:\n')  # from the start: it waits to be mended
    served = start_server(PYTHONPATH=str(source.parent), CANTON_HOT_RELOAD="yes")
    until(lambda: served.get("/readyz")[0] == 503, served)
    with (source / "__init__.py").open(
        "a"
    ) as module:  # the package itself, which no process may hold from before
        module.write('\n__version__ = "9.9"\n')
    text.write_text('TEXT = "mended"\n')
    until(lambda: served.get("/readyz")[0] == 200, served)
    until(lambda: (told(served), served.get("/health")[1]["version"]) == ("mended", "9.9"), served)
    refusals = served.log.count("Reload refused")
    text.write_text("TEXT = undefined\n")
    until(lambda: served.log.count("Reload refused") > refusals, served)
    assert told(served) == "mended"

    answers: list[str] = []  # and at last: what is running when it ends is still answered
    caller = threading.Thread(target=lambda: answers.append(told(served, seconds=0.4)))
    caller.start()
    until(lambda: busy(served), served)
    assert served.stop() == 0
    caller.join()
    assert answers == ["mended"]


@pytest.fixture
def client_socket() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection as the worker's threads see it, impatient for the test's sake, and the client's end."""
    module = runpy.run_path(str(Path(canton_mcp.__file__).parent / "gunicorn.conf.py"))
    accepted, client = socket.socketpair()
    with client, module["ClientSocket"].of(accepted, 0.05, 0.05) as taken:
        yield taken, client


def test_a_silent_client_keeps_no_thread(client_socket: tuple[socket.socket, socket.socket]) -> None:
    taken, client = client_socket
    client.sendall(b"POST /mcp HT")
    assert taken.recv(100) == b"POST /mcp HT"
    assert taken.recv(100) == b""
    with pytest.raises(BrokenPipeError):
        taken.sendall(b"x" * 16_000_000)  # more than the kernel holds, and nobody reads
    taken.setblocking(False)  # between requests gunicorn polls, and then nothing has ended
    with pytest.raises(BlockingIOError):
        taken.recv(100)
    with pytest.raises(BlockingIOError):
        taken.sendall(b"x" * 16_000_000)


def test_a_client_that_stops_in_mid_request_holds_up_nobody_for_long(
    start_server: Start, source: Path
) -> None:
    configuration = source / "gunicorn.conf.py"
    impatient = configuration.read_text().replace("_CLIENT_SILENCE_SEC = 15\n", "_CLIENT_SILENCE_SEC = 0.2\n")
    assert impatient != configuration.read_text()
    configuration.write_text(impatient)
    served = start_server(PYTHONPATH=str(source.parent), CANTON_MCP_THREADS="1").wait_ready()
    with connect(served.port) as stalled:
        stalled.sendall(b"POST /mcp HTTP/1.1\r\nContent-Length: 9\r\n")
        until(lambda: busy(served), served)
        assert served.get("/health")[0] == 200
    with connect(served.port) as stalled:
        head = "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        stalled.sendall(head.encode())
        assert stalled.recv(4096).startswith(b"HTTP/1.1 400 ")
    assert "Traceback" not in served.log


def test_check_finds_parts_that_no_server_loads(source: Path, tmp_path: Path) -> None:
    (source / "probe.py").write_text("import nothing_of_that_name\n")
    command = [sys.executable, "-m", "canton_mcp.cli", "serve", "--check"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(source.parent)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "nothing_of_that_name" in done.stderr and f"{source / 'probe.py'}, line 1" in done.stderr
