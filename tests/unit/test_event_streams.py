"""Answers in the form of streams: when there is one, what is on it, and how it ends."""

from __future__ import annotations

import errno
import json
import os
import queue
import socket
import threading
from collections.abc import Iterator
from typing import Any

import mcp_types
import pytest
from canton_mcp.protocol import Call, Cancelled, Dispatcher, Features, dispatch, streams
from canton_mcp.protocol.streams import MAX_WAITING, EventStream, Slots, Way
from dialogue import (
    ASKS,
    BOTH,
    META,
    MODERN,
    K,
    Prompts,
    Resources,
    Tools,
    code,
    declaring,
    form,
    legacy,
    message,
    modern,
    modern_request,
    parsed,
    post,
    says,
    send,
    serving,
    stream,
)
from mcp_types.methods import validate_server_result

WAIT_SEC = 20.0
LIMIT = 2
PING = b": ping\n\n"
EVERYTHING = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True,
              "resourceSubscriptions": ["test://a"]}  # fmt: skip
ALL_CHANGES: list[tuple[Any, ...]] = [
    ("tools",),
    ("prompts",),
    ("resources",),
    ("resource", "test://a"),
    ("resource", "test://b"),
]


class Workshop:
    """Tools that speak, hold on and fail; `go` lets those go on that hold on."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.ended: queue.Queue[str] = queue.Queue()
        tools = {
            "speak": self.speak,
            "hold": self.hold,
            "quiet": self.quiet,
            "fail": self.fail,
            "ask": self.ask,
            "exit": self.exit,
        }
        self.features = Features(
            tools=Tools(tools),
            resources=Resources({"test://a": "a"}),
            prompts=Prompts({"p": lambda call, arguments: "p"}),
            asks=ASKS,
            list_changes=True,
            subscribable=True,
        )

    def speak(self, call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
        for done in (1, 2, 2, 1, 3):
            call.progress(done, 3, f"step {done}")
        for level in ("debug", "info", "error"):
            call.log(level, {"at": level}, "logger")
        return says("spoken")

    def hold(self, call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
        call.progress(1)
        try:
            for _ in range(int(WAIT_SEC / 0.01)):
                if self.go.wait(0.01):
                    break
                call.check()
        except Cancelled:
            self.ended.put("cancelled")
            raise
        self.ended.put("finished")
        return says("held")

    def quiet(self, call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
        self.go.wait(WAIT_SEC)
        return says("quiet")

    def fail(self, call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
        call.progress(1)
        raise RuntimeError("secret detail")

    def exit(self, call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
        raise SystemExit(1)

    def ask(self, call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
        call.progress(1)
        call.ask("a", form())
        return says("asked")


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    made = Workshop()
    yield made
    made.go.set()


@pytest.fixture
def server(workshop: Workshop) -> Iterator[Dispatcher]:
    made = serving(workshop.features, max_streams=LIMIT)
    yield made
    made.close()


def calling(tool: str, identifier: Any = 1, **meta: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return modern_request("tools/call", {"name": tool}, meta={**META, **meta}, identifier=identifier)


def listening(wanted: Any = EVERYTHING, identifier: Any = 1) -> tuple[dict[str, Any], dict[str, str]]:
    return modern_request("subscriptions/listen", {"notifications": wanted}, identifier=identifier)


# -- answers of calls ------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["t", "", 0, 7, 2**60])
def test_progress_rises_and_carries_the_token(server: Dispatcher, token: Any) -> None:
    with stream(server, *calling("speak", "id", progressToken=token)) as told:
        *spoken, last = told
    assert [note["params"]["progress"] for note in spoken] == [1, 2, 3]
    for note in spoken:
        assert note["method"] == "notifications/progress" and "id" not in note
        found = note["params"]["progressToken"]
        assert found == token and type(found) is type(token)
    assert last["id"] == "id" and last["result"]["resultType"] == "complete"
    assert server.open_streams == 0


@pytest.mark.parametrize("token", [None, True, 1.5, [], {}])
def test_without_a_token_there_is_no_progress(server: Dispatcher, token: Any) -> None:
    reply = send(server, *_accepting(calling("speak", progressToken=token)))
    assert parsed(reply)["result"]["content"][0]["text"] == "spoken"


@pytest.mark.parametrize(
    ("level", "heard"),
    [("debug", ["debug", "info", "error"]), ("warning", ["error"]), ("error", ["error"]), ("alert", None)],
)
def test_log_messages_only_from_the_level_of_the_request(
    server: Dispatcher, level: str, heard: list[str] | None
) -> None:
    sent = calling("speak", **{f"{K}logLevel": level})
    if heard is None:
        assert parsed(send(server, *_accepting(sent)))["result"]
        return
    with stream(server, *sent) as told:
        *logged, last = told
    assert [note["params"] for note in logged] == [
        {"level": one, "data": {"at": one}, "logger": "logger"} for one in heard
    ]
    assert "result" in last


@pytest.mark.parametrize("accept", [None, "application/json", "application/*"])
def test_a_client_that_accepts_no_stream_gets_none(server: Dispatcher, accept: str | None) -> None:
    body, headers = calling("speak", progressToken="t")
    assert parsed(send(server, body, headers if accept is None else {**headers, "accept": accept}))["result"]


@pytest.mark.parametrize(
    "accept", [BOTH, "*/*", "text/*, application/*", "TEXT/Event-Stream;q=0.1, application/json"]
)
def test_a_client_that_accepts_one_gets_it(server: Dispatcher, accept: str) -> None:
    body, headers = calling("speak", progressToken="t")
    with stream(server, body, {**headers, "accept": accept}) as told:
        assert len(list(told)) == 4


def test_the_headers_of_a_stream(server: Dispatcher) -> None:
    reply = send(server, *_accepting(calling("speak", progressToken="t")))
    assert dict(reply.headers) == {
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-cache, no-transform",
        "X-Accel-Buffering": "no",
    }
    reply.events.close()  # type: ignore[union-attr]


def test_a_failure_after_the_first_word_is_the_last_event(
    server: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    with stream(server, *calling("fail", 5, progressToken="t")) as told:
        *_, last = told
    assert last["id"] == 5 and last["result"]["isError"] is True
    assert "secret" not in json.dumps(last)
    with stream(server, *calling("ask", 6, progressToken="t")) as told:
        *_, last = told
    assert (last["id"], last["error"]["code"]) == (6, -32021)


def test_a_question_of_the_modern_era_ends_the_stream(server: Dispatcher) -> None:
    body, headers = modern_request(
        "tools/call", {"name": "ask"}, meta=declaring({"elicitation": {}}, progressToken=1)
    )
    with stream(server, body, headers) as told:
        spoken, last = told
    assert spoken["method"] == "notifications/progress"
    assert last["result"]["resultType"] == "input_required"


def test_a_call_that_takes_long_becomes_a_stream(
    server: Dispatcher, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it is noticed when the client leaves, and no balancer gives up on it."""
    monkeypatch.setattr(dispatch, "PATIENCE_SEC", 0.02)
    monkeypatch.setattr(streams, "PING_SEC", 0.02)
    body, headers = _accepting(calling("quiet"))
    reply = send(server, body, headers)
    assert reply.events is not None and server.open_streams == 1
    chunks = iter(reply.events)
    assert [next(chunks) for _ in range(3)] == [PING] * 3
    workshop.go.set()
    rest = b"".join(chunks).removeprefix(PING)
    assert json.loads(rest.removeprefix(b"data: "))["result"]["content"][0]["text"] == "quiet"
    reply.events.close()  # type: ignore[attr-defined]
    assert server.open_streams == 0


def test_a_client_that_leaves_cancels_its_modern_call(server: Dispatcher, workshop: Workshop) -> None:
    with stream(server, *calling("hold", progressToken="t")) as told:
        assert next(told)["method"] == "notifications/progress"
    assert workshop.ended.get(timeout=WAIT_SEC) == "cancelled"
    assert server.open_streams == 0


def test_a_client_that_leaves_does_not_cancel_its_legacy_call(server: Dispatcher, workshop: Workshop) -> None:
    params = {"name": "hold", "_meta": {"progressToken": "t"}}
    with stream(server, message("tools/call", params)) as told:
        next(told)
    workshop.go.set()
    assert workshop.ended.get(timeout=WAIT_SEC) == "finished"


def test_stopping_does_not_cut_a_running_call(server: Dispatcher, workshop: Workshop) -> None:
    with stream(server, *calling("hold", progressToken="t")) as told:
        next(told)
        server.close()
        workshop.go.set()
        assert next(told)["result"]["content"][0]["text"] == "held"


# -- streams of changes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("identifier", [1, "1", 0, "", 2**60])
def test_the_first_message_says_what_is_subscribed(server: Dispatcher, identifier: Any) -> None:
    with stream(server, *listening(identifier=identifier)) as told:
        first = next(told)
        assert first["method"] == "notifications/subscriptions/acknowledged"
        assert first["params"]["notifications"] == EVERYTHING
        server.publish("tools")
        second = next(told)
        server.close()
        last = next(told)
        assert list(told) == []
    assert last["id"] == identifier and last["result"]["resultType"] == "complete"
    validate_server_result("subscriptions/listen", MODERN, last["result"])
    for meta in (first["params"]["_meta"], second["params"]["_meta"], last["result"]["_meta"]):
        found = meta[f"{K}subscriptionId"]
        assert found == identifier and type(found) is type(identifier)
    assert type(last["id"]) is type(identifier)


@pytest.mark.parametrize(
    ("wanted", "subscribed", "heard"),
    [
        ({}, {}, []),
        ({"toolsListChanged": True}, {"toolsListChanged": True}, ["tools/list_changed"]),
        ({"toolsListChanged": False, "promptsListChanged": True}, {"promptsListChanged": True}, ["prompts/list_changed"]),
        ({"resourcesListChanged": True}, {"resourcesListChanged": True}, ["resources/list_changed"]),
        ({"resourceSubscriptions": ["test://a"]}, {"resourceSubscriptions": ["test://a"]}, ["resources/updated"]),
        ({"toolsListChanged": True, "somethingNew": True}, {"toolsListChanged": True}, ["tools/list_changed"]),
    ],
)  # fmt: skip
def test_only_what_was_asked_for_is_told(
    server: Dispatcher, wanted: Any, subscribed: Any, heard: list[str]
) -> None:
    with stream(server, *listening(wanted)) as told:
        assert next(told)["params"]["notifications"] == subscribed
        for change in ALL_CHANGES:
            server.publish(*change)
        server.close()
        *changes, last = told
    assert [change["method"].removeprefix("notifications/") for change in changes] == heard
    assert "result" in last


@pytest.mark.parametrize(
    ("offered", "subscribed"),
    [
        ({"tools": Tools({}), "list_changes": True}, {"toolsListChanged": True}),
        ({"resources": Resources({}), "subscribable": True}, {"resourceSubscriptions": ["test://a"]}),
        ({"prompts": Prompts({}), "resources": Resources({}), "list_changes": True},
         {"promptsListChanged": True, "resourcesListChanged": True}),
    ],
)  # fmt: skip
def test_only_what_is_offered_is_subscribed(offered: dict[str, Any], subscribed: Any) -> None:
    with stream(serving(Features(**offered)), *listening()) as told:
        assert next(told)["params"]["notifications"] == subscribed


def test_where_nothing_changes_there_is_nothing_to_listen_to() -> None:
    server = serving(Features(tools=Tools({})))
    assert code(modern(server, "subscriptions/listen", {"notifications": EVERYTHING}, accept=BOTH)) == (
        404,
        -32601,
    )


@pytest.mark.parametrize("params", [{}, {"notifications": None}, {"notifications": []}, {"notifications": "tools"},
                                    {"notifications": {"resourceSubscriptions": "test://a"}},
                                    {"notifications": {"toolsListChanged": {}}}])  # fmt: skip
def test_what_to_listen_to_must_be_said(server: Dispatcher, params: Any) -> None:
    assert code(modern(server, "subscriptions/listen", params, accept=BOTH)) == (400, -32602)
    assert server.open_streams == 0


@pytest.mark.parametrize("accept", [None, "application/json"])
def test_listening_needs_a_client_that_accepts_a_stream(server: Dispatcher, accept: str | None) -> None:
    answer = modern(server, "subscriptions/listen", {"notifications": {}}, accept=accept)
    assert code(answer) == (406, -32600)
    assert answer[1]["id"] == 1


def test_listening_belongs_to_the_modern_era(server: Dispatcher) -> None:
    assert code(legacy(server, "subscriptions/listen", {"notifications": {}}, accept=BOTH)) == (200, -32601)


def test_news_that_waits_is_not_repeated(server: Dispatcher) -> None:
    with stream(server, *listening()) as told:
        for _ in range(2_000):
            server.publish("tools")
            server.publish("resource", "test://a")
        server.close()
        assert len(list(told)) == 4  # acknowledgement, one of each kind, the end


# -- how many --------------------------------------------------------------------------------------------


def test_streams_are_limited_and_calls_go_on(server: Dispatcher, workshop: Workshop) -> None:
    with stream(server, *listening()) as one, stream(server, *calling("hold", progressToken=1)) as two:
        next(one)
        next(two)
        assert server.open_streams == LIMIT
        reply = send(server, *_accepting(listening(identifier="x")))
        assert reply.status == 503 and int(reply.headers["Retry-After"]) > 0
        refused = parsed(reply)
        assert (refused["id"], refused["error"]["code"]) == ("x", -32603)
        plain = send(server, *_accepting(calling("speak", progressToken=1)))
        assert (plain.status, plain.headers["Content-Type"]) == (200, "application/json")
        assert parsed(plain)["result"]["content"][0]["text"] == "spoken"
        assert server.open_streams == LIMIT
    assert server.open_streams == 0
    with stream(server, *listening()) as told:
        next(told)


def test_a_server_that_stops_opens_no_stream(server: Dispatcher) -> None:
    server.close()
    reply = send(server, *_accepting(listening()))
    assert (reply.status, server.open_streams) == (503, 0)
    assert modern(server, "tools/list")[0] == 200


def _accepting(request: tuple[dict[str, Any], dict[str, str]]) -> tuple[dict[str, Any], dict[str, str]]:
    return request[0], {**request[1], "accept": BOTH}


# -- the parts -------------------------------------------------------------------------------------------


class Closed:
    """Counts how often a stream told that it was over."""

    times = 0

    def __call__(self) -> None:
        self.times += 1


def test_a_stream_that_was_never_read_is_closed_too() -> None:
    closed = Closed()
    opened = EventStream(Way(), None, closed)
    opened.close()
    opened.close()
    assert closed.times == 1


@pytest.mark.parametrize(
    "leave", [socket.socket.close, lambda end: end.shutdown(socket.SHUT_RDWR)], ids=["close", "shutdown"]
)
def test_a_connection_that_ends_ends_the_stream_at_once(leave: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the next ping, which is far away here."""
    monkeypatch.setattr(streams, "PING_SEC", 3600.0)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        opened = EventStream(Way(), ours.fileno(), Closed())
        assert next(opened) == PING
        threading.Timer(0.01, leave, (theirs,)).start()
        assert list(opened) == []
        opened.close()


def test_something_is_written_at_once() -> None:
    """Else the client would wait for the headers of its answer. A message does as well."""
    silent, telling = Way(), Way()
    telling.send(b"1")
    for way, first in ((silent, PING), (telling, b"data: 1\n\n")):
        opened = EventStream(way, None, Closed())
        assert next(opened) == first
        opened.close()


def test_what_is_sent_wakes_the_stream_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PING_SEC", 3600.0)
    way = Way()
    opened = EventStream(way, None, Closed())
    assert next(opened) == PING
    threading.Timer(0.01, way.send, (b"1",)).start()
    assert next(opened) == b"data: 1\n\n"
    threading.Timer(0.01, way.finish, (b"2",)).start()
    assert list(opened) == [b"data: 2\n\n"]
    opened.close()
    way.send(b"3")  # to nobody


def test_a_stream_expires() -> None:
    way = Way()
    opened = EventStream(way, None, Closed(), lifetime=0.01, expire=lambda: way.finish(b"last"))
    assert list(opened) == [PING, b"data: last\n\n"]
    opened.close()


def test_messages_come_in_order_and_the_result_last() -> None:
    way = Way()
    for number in range(5):
        way.send(b"%d" % number)
    way.finish(b"end")
    way.finish(b"too late")
    way.send(b"too late")
    assert way.take() == [b"0", b"1", b"2", b"3", b"4", b"end"]
    assert way.take() is None


def test_what_a_slow_reader_is_kept_for_is_bounded() -> None:
    way = Way()
    note = mcp_types.ToolListChangedNotification()
    for _ in range(10 * MAX_WAITING):
        way.notify(note)
    way.finish(b"result")
    taken = way.take()
    assert taken is not None and len(taken) == MAX_WAITING + 1 and taken[-1] == b"result"


def test_slots_are_counted_from_many_threads() -> None:
    slots = Slots(5)
    taken: queue.Queue[bool] = queue.Queue()
    threads = [threading.Thread(target=lambda: taken.put(slots.take())) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken.get() for _ in threads) == slots.open == 5
    slots.give_back()
    assert slots.take() and not slots.take()


def test_a_stream_that_cannot_be_opened_leaves_nothing_behind(
    server: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*arguments: Any) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(os, "eventfd", exhausted)
        for request in (listening(), calling("hold", progressToken=1)):
            body, headers = _accepting(request)
            assert send(server, body, headers).status == 500
    assert server.open_streams == 0
    with stream(server, *listening()) as told:
        assert next(told)["method"] == "notifications/subscriptions/acknowledged"


def test_work_that_tries_to_end_its_thread_ends_itself(server: Dispatcher, workshop: Workshop) -> None:
    body, headers = _accepting(calling("exit"))
    assert code(post(server, body, headers)) == (500, -32603)
