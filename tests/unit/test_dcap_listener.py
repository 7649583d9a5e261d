"""The live listener: one line a message of any type, and the summary."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from canton_mcp.dcap.listener import listen, run
from canton_mcp.dcap.reading import TYPES
from test_dcap_reading import build

CALL = build("perf_update")


@pytest.fixture
def hub() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


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
    bad = build(
        "perf_update", success=False, sid="evil\x1b[2J", ctx={"error_code": "timeout", "caller": "me\u202e"}
    )
    out = heard(False, [json.dumps(CALL).encode(), json.dumps(bad).encode(), b"garbage"])
    assert "\x1b" not in out and "\u202e" not in out
    assert "1 ms  ok" in out and "FAILED timeout  caller=me" in out and "rejected (not_json)" in out
    assert "! control_characters, sender_characters" in out
    summary = out.partition("SENDER ")[2].splitlines()
    assert [line.split()[:5] for line in summary[1:3]] == [
        ["canton-mcp-1", "1", "0", "1", "0"],
        ["evil[2J", "1", "0", "1", "1"],
    ]
    assert summary[3:] == [
        "types: perf_update 2",
        "flags: control_characters 1, sender_characters 1",
        "rejected: not_json 1",
    ]


def test_every_type_has_its_line() -> None:
    step = {"tool_sid": "canton-mcp-1", "tool": "t", "success": False, "exec_ms": 1, "cost_paid": 0}
    changes: dict[str, dict[str, Any]] = {
        "semantic_discover": {"proven_by": {"uses": 7, "success_rate": 0.5}, "does": "Does things"},
        "error_pattern": {"trigger": "too much", "mitigation": "less"},
        "usage_receipt": {"cost_paid": 5, "currency": "USDC", "error_observed": "none"},
        "composite_receipt": {"steps": [step], "success": False, "exec_ms": 7},
    }
    messages = [build(kind, **changes.get(kind, {})) for kind in TYPES]
    wrong = build("composite_capability", chain=[])
    sent = [*messages, wrong, {"v": 2, "t": "ping", "ts": 1, "sid": "zoo-server"}]
    out = heard(False, [json.dumps(message).encode() for message in sent])
    for said in (
        "http://192.0.2.1:7284/mcp  7 uses, 50.0% ok  Does things",
        "E x 3  too much; less",
        "of canton-mcp-1         1 ms  ok  5 USDC",
        "t@s",
        "7 ms  FAILED  0  t@canton-mcp-1",
        "rejected (composite): chain is empty",
        "zoo-server      ping",
        "unknown type 1",
    ):
        assert said in out, (said, out)


def test_listener_prints_json_lines() -> None:
    out = heard(True, [json.dumps(CALL).encode(), b"garbage"])
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["message"], line["flags"]) for line in lines if "message" in line] == [(CALL, [])]
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
