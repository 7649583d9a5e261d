"""DCAP on the wire: real datagrams on loopback."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from canton_mcp.dcap import Announcer, Connector, Emitter, Offer, message
from canton_mcp.dcap.failures import Failures, safe_kind

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
        "sent_by_type": {"perf_update": 2, "semantic_discover": 0, "error_pattern": 0},
        "queued": 0,
        "dropped": 0,
        "errors": 0,
        "errors_by_reason": {"unresolved": 0, "send": 0, "oversize": 0, "build": 0},
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


def test_without_a_vocabulary_no_argument_leaves(hub: socket.socket) -> None:
    emitter = emitter_to(hub)
    emitter.start()
    emitter.perf_update("t", 1, True, arguments={"securityLevel": "high", SECRET: "x"})
    assert "args" not in received(hub)["ctx"]
    emitter.close(5)


def test_a_caller_keeps_its_credentials(hub: socket.socket) -> None:
    emitter = emitter_to(hub, default_caller="house")
    emitter.start()
    token = "eyJ" + "x" * 80  # longer than a caller may be: cut first, it would not be recognised any more
    for caller in (f"me Bearer {token}", token * 2, "z" * 100, None):
        emitter.perf_update("t", 1, True, caller=caller)
    told = [received(hub)["ctx"]["caller"] for _ in range(4)]
    emitter.close(5)
    assert told == ["me [REDACTED]", "[REDACTED]", "z" * 64, "house"]


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
    assert (stats["sent"], stats["errors_by_reason"]["unresolved"]) == (0, 20) and stats["last_error"]
    assert len(caplog.records) == 1


def test_a_name_that_takes_for_ever_to_resolve_delays_no_call(
    hub: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = threading.Event(), threading.Event()
    resolve = socket.getaddrinfo

    def hang(*arguments: Any, **named: Any) -> Any:
        asked.set()
        assert answer.wait(30)
        return resolve("127.0.0.1", *arguments[1:], **named)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    emitter = Emitter("canton-mcp-2", "hub.example", hub.getsockname()[1], queue_size=50)
    emitter.start()
    emitter.perf_update("t", 1, True)
    assert asked.wait(10)
    for _ in range(500):
        emitter.perf_update("t", 1, True)
    stats = emitter.stats()  # all calls are over, and the name is still being looked up
    assert (stats["sent"], stats["queued"], stats["dropped"]) == (0, 50, 450)
    answer.set()
    assert [received(hub)["ctx"]["seq"] for _ in range(51)] == list(range(1, 52))
    emitter.close(5)


def test_a_hub_that_is_down_costs_nothing(hub: socket.socket) -> None:
    port = hub.getsockname()[1]
    hub.close()
    emitter = Emitter("canton-mcp-2", "127.0.0.1", port)
    emitter.start()
    for _ in range(100):
        emitter.perf_update("t", 1, True)
    emitter.close(10)
    assert (emitter.stats()["sent"], emitter.stats()["dropped"], emitter.stats()["queued"]) == (100, 0, 0)


@pytest.mark.parametrize("ttl", [0, 1, 2])
def test_multicast_goes_as_far_as_it_is_told(
    hub: socket.socket, monkeypatch: pytest.MonkeyPatch, ttl: int
) -> None:
    options: list[tuple[int, int, Any]] = []
    sent: list[tuple[int, Any]] = []

    class Recorder(socket.socket):
        def setsockopt(self, *arguments: Any) -> None:
            options.append(arguments)
            super().setsockopt(*arguments)

        def sendto(self, data: Any, address: Any) -> int:  # type: ignore[override]
            sent.append((self.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL), address))
            return len(data)  # it never leaves

    monkeypatch.setattr(socket, "socket", Recorder)
    emitter = Emitter("canton-mcp-2", "239.255.0.1", 10191, multicast_ttl=ttl)
    emitter.start()
    emitter.perf_update("t", 1, True)
    emitter.close(5)
    assert sent == [(ttl, ("239.255.0.1", 10191))]
    assert (socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl) in options


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


# -- what a server offers ----------------------------------------------------------------------------------

OFFER = Offer("t", "Does things.", ("one", "two"), ("good",), ("bad",))
CONNECTOR = Connector("http://192.0.2.1:7284/mcp", ("2026-07-28", "2025-11-25"))


def test_discover_tells_tool_address_and_experience(hub: socket.socket) -> None:
    emitter = emitter_to(hub)
    emitter.start()
    emitter.discover(OFFER, CONNECTOR, 60)
    for success in (True, True, False):
        emitter.perf_update("t", 1, success)
    emitter.perf_update("other", 1, False)
    emitter.discover(OFFER, CONNECTOR)
    first, *_, last = [received(hub) for _ in range(6)]
    emitter.close(5)
    assert {key: value for key, value in first.items() if key != "ts"} == {
        "v": 2,
        "t": "semantic_discover",
        "sid": "canton-mcp-2",
        "tool": "t",
        "does": "Does things.",
        "when": ["one", "two"],
        "good_at": ["good"],
        "bad_at": ["bad"],
        "connector": {
            "transport": "http",
            "endpoint": "http://192.0.2.1:7284/mcp",
            "auth": {"type": "none", "required": False},
            "protocol": {
                "type": "mcp",
                "version": "2026-07-28",
                "versions": ["2026-07-28", "2025-11-25"],
                "methods": ["tools/list", "tools/call"],
            },
            "session": {"required": False},
        },
        "ctx": {"discover_interval_sec": 60, "boot": last["ctx"]["boot"]},
    }
    assert last["proven_by"] == {"uses": 3, "success_rate": 0.6667}
    assert emitter.stats()["sent_by_type"] == {"perf_update": 4, "semantic_discover": 2, "error_pattern": 0}


def test_texts_are_cut_to_the_limits_at_the_end_of_a_word() -> None:
    offer = Offer("t", "word " * 60, ("when " * 30,) * 9, ("good " * 20,) * 9, ("bad " * 20,) * 9)
    told = message.semantic_discover(sid="s", ts=1, offer=offer, connector=CONNECTOR)
    assert (len(told["when"]), len(told["good_at"]), len(told["bad_at"])) == (5, 5, 3)
    texts = {"does": (128, [told["does"]])} | {
        name: (limit, told[name]) for name, limit in (("when", 64), ("good_at", 32), ("bad_at", 32))
    }
    for limit, cut in texts.values():
        for text in cut:
            assert limit - 5 <= len(text) <= limit and text.endswith(("word", "when", "good", "bad"))


@pytest.mark.parametrize(
    ("text", "limit", "cut"),
    [
        ("short", 8, "short"),
        ("One. Two and three.", 12, "One."),
        ("One two. Three", 8, "One two."),
        ("uses patterns (a, b and c)", 20, "uses patterns"),
        ("reads code, checks it", 18, "reads code"),
        ("x" * 20, 8, "x" * 8),
        ("line\none", 20, "line one"),
    ],
)
def test_where_a_text_ends(text: str, limit: int, cut: str) -> None:
    assert message.words_within(text, limit) == cut


def test_a_long_discover_loses_advice_before_the_address() -> None:
    letters = "é" * 300
    offer = Offer("t" * 32, letters, ("w" * 64,) * 5, (letters,) * 5, (letters,) * 3)
    full = message.semantic_discover(
        sid="s" * 64, ts=1, offer=offer, connector=CONNECTOR, uses=1, succeeded=1, boot="b"
    )
    assert len(json.dumps(full, ensure_ascii=False, separators=(",", ":")).encode()) > message.HARD_LIMIT
    data = message.encode(full)
    assert data is not None and len(data) <= message.SOFT_LIMIT
    told = json.loads(data)
    assert told["connector"] == {
        "transport": "http",
        "endpoint": CONNECTOR.endpoint,
        "auth": {"type": "none", "required": False},
        "protocol": {"type": "mcp", "version": "2026-07-28"},
    }
    assert (
        "ctx" not in told
        and "proven_by" not in told
        and told["good_at"] == full["good_at"]
        and told["when"] == full["when"]
    )
    far = Connector("http://192.0.2.1/" + "x" * 600, CONNECTOR.versions)
    told = json.loads(
        message.encode(message.semantic_discover(sid="s", ts=1, offer=offer, connector=far)) or b"{}"
    )
    assert "good_at" not in told and 1 <= len(told["when"]) < 5 and told["does"] == full["does"]
    endless = Connector("http://192.0.2.1/" + "x" * 1400, CONNECTOR.versions)
    assert message.encode(message.semantic_discover(sid="s", ts=1, offer=offer, connector=endless)) is None


# -- failures that recur -----------------------------------------------------------------------------------


def test_three_failures_of_a_kind_are_a_pattern(hub: socket.socket) -> None:
    emitter = emitter_to(hub, vocabulary={"t": {"word": frozenset[str]()}})
    emitter.start()
    for _ in range(4):
        emitter.perf_update(
            "t",
            1,
            False,
            error_code="invalid_params",
            error_type="InvalidArguments",
            arguments={"word": SECRET},
        )
    emitter.perf_update("t", 1, False, error_code="exception", error_type=f"Broken: {SECRET}")
    sent = [received(hub) for _ in range(6)]
    emitter.close(5)
    patterns = [told for told in sent if told["t"] == "error_pattern"]
    assert [told["t"] for told in sent].index("error_pattern") == 3  # at once after the third failure
    (told,) = patterns
    assert (told["tool"], told["error"], told["error_type"], told["frequency"]) == (
        "t",
        "InvalidArguments",
        "InvalidArguments",
        3,
    )
    assert told["solution"] == told["mitigation"] and "schema" in told["mitigation"] and told["trigger"]
    assert told["sample_args"] == {"word": f"<text:{len(SECRET)}>"}
    assert SECRET not in json.dumps(sent)


def test_patterns_are_told_once_a_minute_of_the_last_five() -> None:
    failures = Failures()
    told = [failures.note("t", "E", float(second)) for second in range(130)]
    assert [index for index, count in enumerate(told) if count] == [2, 62, 122]
    assert (told[2], told[62], told[122]) == (3, 63, 123)
    assert failures.note("t", "E", 1000.0) is None  # the old ones are over
    assert failures.note("other", "E", 1001.0) is None and failures.note("t", "F", 1001.0) is None


def test_failures_need_no_more_than_so_much_memory() -> None:
    failures = Failures()
    for number in range(10_000):
        failures.note("t", f"E{number}", 1.0)
        failures.note("t", "same", 1.0 + number / 1e6)
    held = sum(len(pair.times) for pair in failures._pairs.values())
    assert len(failures._pairs) <= 200 and held <= 1_200


@pytest.mark.parametrize("name", ["ValueError", "-32602", "E_1"])
def test_kinds_are_names_or_codes(name: str) -> None:
    assert safe_kind(name) == name
    assert safe_kind(f"{name}: {SECRET}") == safe_kind("") == safe_kind("x" * 65) == "Error"


# -- who announces -----------------------------------------------------------------------------------------


def rounds(hub: socket.socket, count: int) -> list[list[str]]:
    """The tools of the next rounds of two messages each."""
    return [[received(hub)["tool"] for _ in range(2)] for _ in range(count)]


def test_tools_are_announced_again_and_again_until_it_is_over(hub: socket.socket, tmp_path: Path) -> None:
    emitter = emitter_to(hub)
    emitter.start()
    announcer = Announcer(emitter, [OFFER, Offer("u", "x")], CONNECTOR, 0.05, tmp_path / "lock")
    announcer.start()
    assert rounds(hub, 3) == [["t", "u"]] * 3
    announcer.stop()
    announcer.join(10)
    emitter.close(5)
    assert not announcer.is_alive()


def test_of_two_processes_of_a_server_one_announces(hub: socket.socket, tmp_path: Path) -> None:
    lock, ready = tmp_path / "lock", os.pipe()
    first = os.fork()
    if first == 0:
        emitter = emitter_to(hub)
        emitter.start()
        announcer = Announcer(emitter, [OFFER], CONNECTOR, 0.05, lock)
        announcer.start()
        os.read(ready[0], 1)  # until it is told to end, without a word of farewell
        os._exit(0)
    assert received(hub)["tool"] == "t"
    emitter = emitter_to(hub)
    emitter.start()
    second = Announcer(emitter, [Offer("u", "x")], CONNECTOR, 0.05, lock)
    second.start()
    assert {received(hub)["tool"] for _ in range(30)} == {"t"}
    assert emitter.stats()["sent"] == 0
    os.write(ready[1], b"x")
    os.waitpid(first, 0)
    while received(hub)["tool"] != "u":
        pass
    second.stop()
    second.join(10)
    emitter.close(5)


@pytest.mark.parametrize("kind", ["missing", "link"])
def test_a_lock_that_cannot_be_had_keeps_nobody_quiet(hub: socket.socket, tmp_path: Path, kind: str) -> None:
    lock = tmp_path / "none" / "lock" if kind == "missing" else tmp_path / "lock"
    if kind == "link":
        lock.symlink_to(tmp_path / "elsewhere")
    emitter = emitter_to(hub)
    emitter.start()
    announcer = Announcer(emitter, [OFFER], CONNECTOR, 60, lock)
    announcer.start()
    assert received(hub)["tool"] == "t"
    announcer.stop()
    announcer.join(10)
    emitter.close(5)
    assert not (tmp_path / "elsewhere").exists()


def test_who_sends_nothing_announces_nothing() -> None:
    announcer = Announcer(Emitter("s", "", 1), [OFFER], CONNECTOR, 60)
    announcer.start()
    assert not announcer.is_alive()
    announcer.stop()
