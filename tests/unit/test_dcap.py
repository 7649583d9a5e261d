"""DCAP on the wire: real datagrams on loopback."""

from __future__ import annotations

import io
import json
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from canton_mcp.dcap import Emitter, message
from canton_mcp.dcap.listener import Rejected, listen, parse, run

SECRET = "sk_live_51Hx9"


@pytest.fixture
def hub() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        yield sock


def emitter_to(hub: socket.socket, **options: Any) -> Emitter:
    return Emitter("canton-mcp-2", "127.0.0.1", hub.getsockname()[1], **options)


def received(hub: socket.socket) -> dict[str, Any]:
    answer = json.loads(hub.recv(65535))
    assert isinstance(answer, dict)
    return answer


def test_message_on_the_wire(hub: socket.socket) -> None:
    emitter = emitter_to(hub)
    emitter.start()
    emitter.perf_update(
        "debug_authorization_failure", 15.004, True, result_size=77, caller="agent\x1b[31m\n7"
    )
    emitter.perf_update("debug_authorization_failure", 2, False, error_code="exception")
    first, second = received(hub), received(hub)
    emitter.close(5)
    assert {key: first[key] for key in ("v", "t", "sid", "tool", "exec_ms", "success")} == {
        "v": 2,
        "t": "perf_update",
        "sid": "canton-mcp-2",
        "tool": "debug_authorization_failure",
        "exec_ms": 15,
        "success": True,
    }
    assert type(first["ts"]) is int
    assert first["ctx"]["caller"] == "agent[31m7" and first["ctx"]["result_size"] == 77
    assert (second["success"], second["ctx"]["error_code"]) == (False, "exception")
    assert (first["ctx"]["seq"], second["ctx"]["seq"]) == (1, 2)
    assert first["ctx"]["boot"] == second["ctx"]["boot"]
    assert emitter.stats() == {
        "enabled": True,
        "target": f"127.0.0.1:{hub.getsockname()[1]}",
        "sent": 2,
        "queued": 0,
        "dropped": 0,
        "errors": 0,
        "last_error": None,
    }


def test_arguments_leave_as_shapes_only(hub: socket.socket) -> None:
    known = {"t": {"damlCode": frozenset[str](), "level": frozenset({"high"}), "flag": frozenset[str]()}}
    emitter = emitter_to(hub, vocabulary=known)
    emitter.start()
    emitter.perf_update(
        "t", 1, True, arguments={"damlCode": SECRET, "level": "high", "flag": True, SECRET: 1}
    )
    emitter.perf_update(
        "t", 1, False, arguments={"level": SECRET, "damlCode": [SECRET], "flag": {SECRET: SECRET}}
    )
    datagrams = [hub.recv(65535).decode() for _ in range(2)]
    emitter.close(5)
    assert json.loads(datagrams[0])["ctx"]["args"] == {"damlCode": "<text:13>", "level": "high", "flag": True}
    assert json.loads(datagrams[1])["ctx"]["args"] == {
        "level": "<text:13>",
        "damlCode": "<list:1>",
        "flag": "<object:1>",
    }
    assert SECRET not in "".join(datagrams)


def test_without_a_vocabulary_no_text_leaves() -> None:
    told = message.shapes({"securityLevel": "high", "n": 3, SECRET: "x", "none": None})
    assert told == {"securityLevel": "<text:4>", "n": "<number>", "none": None}


@pytest.mark.parametrize(("host", "enabled"), [("", True), ("127.0.0.1", False)])
def test_nothing_is_sent_without_host_or_when_disabled(hub: socket.socket, host: str, enabled: bool) -> None:
    emitter = Emitter("s", host, hub.getsockname()[1], enabled=enabled)
    emitter.start()
    emitter.perf_update("t", 1, True)
    emitter.close(1)
    hub.setblocking(False)
    with pytest.raises(BlockingIOError):
        hub.recv(10)
    assert emitter.stats()["sent"] == emitter.stats()["queued"] == 0


def test_full_queue_drops_and_counts() -> None:
    emitter = Emitter("s", "127.0.0.1", 9, queue_size=3)
    for _ in range(5):
        emitter.perf_update("t", 1, True)
    assert (emitter.stats()["queued"], emitter.stats()["dropped"]) == (3, 2)


def test_unresolvable_target_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    emitter = Emitter("s", "no such host", 10191)
    emitter.start()
    for _ in range(20):
        emitter.perf_update("t", 1, True)
    emitter.close(10)
    stats = emitter.stats()
    assert (stats["sent"], stats["errors"]) == (0, 20) and stats["last_error"]
    assert len(caplog.records) == 1


def test_start_twice_makes_one_thread(hub: socket.socket) -> None:
    emitter = emitter_to(hub)
    emitter.start()
    before = threading.active_count()
    emitter.start()
    assert threading.active_count() == before
    emitter.close(5)


def test_child_process_has_a_boot_and_numbers_of_its_own(hub: socket.socket) -> None:
    emitter = emitter_to(hub)
    emitter.start()
    emitter.perf_update("t", 1, True)
    parent = received(hub)
    pid = os.fork()
    if pid == 0:
        emitter.start()
        emitter.perf_update("t", 1, True)
        emitter.close(5)
        os._exit(0)
    child = received(hub)
    os.waitpid(pid, 0)
    emitter.close(5)
    assert child["ctx"]["seq"] == 1 and child["ctx"]["boot"] != parent["ctx"]["boot"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -5.0])
def test_impossible_durations_become_legal(hub: socket.socket, value: float) -> None:
    emitter = emitter_to(hub)
    emitter.start()
    emitter.perf_update("t", value, True)
    assert received(hub)["exec_ms"] == 0
    emitter.close(5)


def build(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "sid": "s", "tool": "t", "ts": 1, "exec_ms": 1.0, "success": False, "seq": 1, "boot": "ab", "caller": "c",
        "error_code": "timeout",
    }  # fmt: skip
    return message.perf_update(**{**given, **changes})


def test_trimming_drops_arguments_first_and_keeps_the_caller() -> None:
    data = message.encode(build(args={"text": "é" * 700}))
    assert data is not None and len(data) <= message.SOFT_LIMIT
    assert json.loads(data)["ctx"] == {"caller": "c", "error_code": "timeout", "seq": 1, "boot": "ab"}


def test_limits_count_bytes() -> None:
    room = message.SOFT_LIMIT - len(message.encode(build(args={"text": ""})) or b"")
    exact = message.encode(build(args={"text": "é" * (room // 2) + "x" * (room % 2)}))
    assert exact is not None and len(exact) == message.SOFT_LIMIT and "args" in json.loads(exact)["ctx"]
    over = message.encode(build(args={"text": "é" * (room // 2 + 1)}))
    assert over is not None and "args" not in json.loads(over)["ctx"]


def test_a_message_that_cannot_fit_is_never_sent(hub: socket.socket) -> None:
    bare = message.encode(build(tool="t" * 1350))
    assert bare is not None and "ctx" not in json.loads(bare)
    assert message.encode(build(tool="t" * 1472)) is None
    emitter = emitter_to(hub)
    emitter.start()
    emitter.perf_update("t" * 1472, 1, True)
    emitter.close(5)
    assert (emitter.stats()["sent"], emitter.stats()["errors"]) == (0, 1)


GOOD = {"v": 2, "t": "perf_update", "ts": 1, "sid": "s", "tool": "t", "exec_ms": 1, "success": True}


def test_listener_accepts_what_the_emitter_builds() -> None:
    data = message.encode(build())
    assert data is not None and parse(data) == build()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"x" * 1473, "oversize"),
        (b"\xff\xfe", "not_utf8"),
        (b"", "not_json"),
        (b"[" * 1472, "not_json"),
        (b'{"v": NaN}', "not_json"),
        (b"[]", "not_object"),
        (json.dumps({**GOOD, "v": True}).encode(), "version"),
        (json.dumps({**GOOD, "v": 4}).encode(), "version"),
        (json.dumps({**GOOD, "t": 1}).encode(), "type"),
        (json.dumps({**GOOD, "sid": ""}).encode(), "bad_field"),
        (json.dumps({**GOOD, "exec_ms": True}).encode(), "bad_field"),
        (json.dumps(GOOD).replace(' "exec_ms": 1,', ' "exec_ms": 1e400,').encode(), "bad_field"),
        (json.dumps({**GOOD, "exec_ms": -1}).encode(), "bad_field"),
        (json.dumps({**GOOD, "success": "yes"}).encode(), "bad_field"),
        (json.dumps({key: value for key, value in GOOD.items() if key != "ts"}).encode(), "missing_field"),
    ],
)
def test_garbage_is_rejected_with_its_reason(data: bytes, reason: str) -> None:
    answer = parse(data)
    assert isinstance(answer, Rejected) and answer.reason == reason and answer.detail


def test_unknown_types_pass() -> None:
    assert parse(b'{"v":3,"t":"ping","ts":1,"sid":"s","msg":"x"}') == {
        "v": 3,
        "t": "ping",
        "ts": 1,
        "sid": "s",
        "msg": "x",
    }


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def send_until_done(port: int, datagrams: list[bytes], done: threading.Event) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        while not done.wait(0.05):
            for data in datagrams:
                sock.sendto(data, ("127.0.0.1", port))


def heard(as_json: bool, datagrams: list[bytes]) -> str:
    """Output of the listener for one round of datagrams (it may start before the sender or after it)."""
    port, out, done = free_port(), io.StringIO(), threading.Event()
    sender = threading.Thread(target=send_until_done, args=(port, datagrams, done))
    sender.start()
    try:
        assert run("127.0.0.1", port, count=len(datagrams), as_json=as_json, out=out) == 0
    finally:
        done.set()
        sender.join()
    return out.getvalue()


def test_listener_prints_lines_and_a_summary() -> None:
    bad = json.dumps(
        {**GOOD, "success": False, "sid": "evil\x1b[2J", "ctx": {"error_code": "timeout"}}
    ).encode()
    out = heard(False, [json.dumps(GOOD).encode(), bad, b"garbage"])
    assert "\x1b" not in out
    assert "1 ms  ok" in out and "FAILED timeout" in out and "rejected (not_json)" in out
    assert "SERVER ID" in out and "rejected: not_json 1" in out


def test_listener_prints_json_lines() -> None:
    out = heard(True, [json.dumps(GOOD).encode(), b"garbage"])
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["message"] for line in lines if "message" in line] == [GOOD]
    assert [line["rejected"] for line in lines if "rejected" in line] == ["not_json"]


def test_listener_on_a_taken_port_says_so(hub: socket.socket, capsys: pytest.CaptureFixture[str]) -> None:
    port = hub.getsockname()[1]
    assert run("127.0.0.1", port, seconds=0.1) == 1
    error = capsys.readouterr().err
    assert str(port) in error and "in use" in error and error.count("\n") == 1


def test_a_reader_that_leaves_is_not_blamed_on_the_address(capsys: pytest.CaptureFixture[str]) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run("127.0.0.1", 0, seconds=0.05, out=Closed())
    assert capsys.readouterr().err == ""


def test_listener_ends_after_its_time() -> None:
    assert list(listen("127.0.0.1", 0, seconds=0.05)) == []
