"""Sessions of the handshake era: ids that every server can read, questions, cancellation, levels, subscriptions."""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import mcp_types
import pytest
from canton_mcp.protocol import Call, Cancelled, Dispatcher, Features, seals, sessions
from dialogue import (
    ANSWERS_ALL,
    ASKS,
    BOTH,
    MODERN,
    ROOTS,
    SAMPLED,
    Prompts,
    Resources,
    Tools,
    code,
    filled_in,
    form,
    initialize,
    legacy,
    message,
    modern_request,
    notification,
    parsed,
    post,
    roots,
    sampling,
    says,
    send,
    serving,
    stream,
)

PATIENCE_SEC = 20.0
WATCHED = "test://watched"


class Workshop:
    """Tools that ask, log and wait; what became of a call is told through a queue."""

    def __init__(self) -> None:
        self.ended: queue.Queue[str] = queue.Queue()
        self.looks = threading.Semaphore(0)
        """Released whenever the waiting tool has looked whether it is cancelled."""
        self.features = Features(
            tools=Tools(
                {
                    "form": self.asking(form()),
                    "sampling": self.asking(sampling()),
                    "roots": self.asking(roots()),
                    "twice": self.asking(form(), form()),
                    "log": self.log,
                    "wait": self.wait,
                    "version": self.version,
                }
            ),
            resources=Resources({WATCHED: "w", "test://other": "o"}),
            prompts=Prompts({"asks": lambda call, arguments: repr(call.ask("a", form()))}),
            logging=True,
            asks=ASKS,
            subscribable=True,
        )

    def asking(self, *requests: mcp_types.InputRequest) -> Any:
        def run(call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
            try:
                answers = [call.ask(str(key), request) for key, request in enumerate(requests)]
            except Exception as error:
                self.ended.put(type(error).__name__)
                raise
            return says("; ".join(answer.model_dump_json(exclude_none=True) for answer in answers))

        return run

    def log(self, call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
        for level in ("debug", "info", "error"):
            call.log(level, {"at": level})
        return says("logged")

    def wait(self, call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
        """Until it is cancelled; it says first that it has begun, in the log and to a client that wants progress."""
        call.progress(1)
        self.ended.put("begun")
        try:
            for _ in range(int(PATIENCE_SEC / 0.01)):
                call.check()
                self.looks.release()
                time.sleep(0.01)
        except Cancelled:
            self.ended.put("cancelled")
            raise
        return says("never cancelled")

    def version(self, call: Call, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
        return says(f"{call.client_name} {call.capabilities.model_dump(exclude_none=True)}")

    def told(self) -> str:
        return self.ended.get(timeout=PATIENCE_SEC)

    def goes_on(self) -> bool:
        """Whether the waiting tool looks for a cancellation two times more, and finds none."""
        while self.looks.acquire(blocking=False):
            pass
        return all(self.looks.acquire(timeout=PATIENCE_SEC / 10) for _ in range(2))


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


@pytest.fixture
def server(workshop: Workshop) -> Iterator[Dispatcher]:
    made = serving(workshop.features)
    yield made
    made.close()


def opened(server: Dispatcher, capabilities: Any = ANSWERS_ALL, **options: Any) -> dict[str, str]:
    """The header that names a new session."""
    return {
        "mcp-session-id": send(server, initialize(capabilities=capabilities, **options)).headers[
            "mcp-session-id"
        ]
    }


def calling(tool: str, identifier: Any = 1, **meta: Any) -> dict[str, Any]:
    return message("tools/call", {"name": tool, "_meta": meta}, id=identifier)


def result(answer: Any) -> str:
    assert answer["result"]["isError"] is False, answer
    return str(answer["result"]["content"][0]["text"])


def failure(answer: Any) -> str:
    assert answer["result"]["isError"] is True, answer
    return str(answer["result"]["content"][0]["text"])


# -- who gets one ----------------------------------------------------------------------------------------

ECHO = Tools({"echo": lambda call, arguments: says("e")})


@pytest.mark.parametrize(
    ("features", "capabilities", "minted"),
    [
        (Features(tools=ECHO), ANSWERS_ALL, False),
        (Features(tools=ECHO, list_changes=True), ANSWERS_ALL, False),
        (Features(tools=ECHO, asks=ASKS), {}, False),
        (Features(tools=ECHO, asks=ASKS), {"experimental": {"x": {}}}, False),
        *((Features(tools=ECHO, asks=ASKS), {kind: {}}, True) for kind in ANSWERS_ALL),
        (Features(tools=ECHO, logging=True), {}, True),
        (Features(resources=Resources({}), subscribable=True), {}, True),
    ],
)
def test_a_session_is_opened_where_it_serves_a_purpose(
    features: Features, capabilities: Any, minted: bool
) -> None:
    assert (
        "mcp-session-id" in send(serving(features), initialize(capabilities=capabilities)).headers
    ) is minted


@pytest.mark.parametrize(
    "name", ["c", "ü" * 500, "😀\n\x00" * 100, "x" * 100_000, secrets.token_hex(2000)], ids=len
)
def test_an_id_is_short_and_visible_ascii(server: Dispatcher, name: str) -> None:
    """Whatever the client says of itself: gunicorn and HAProxy take header lines of several thousand bytes."""
    capabilities = {
        **ANSWERS_ALL,
        "sampling": {"junk": "j" * 10_000},
        "experimental": {"x": {"y": "z" * 10_000}},
    }
    header = opened(server, capabilities, name=name)
    assert all(0x21 <= ord(character) <= 0x7E for character in header["mcp-session-id"])
    assert len(header["mcp-session-id"]) < 1000
    assert legacy(server, "ping", **header)[0] == 200


def test_every_session_has_its_own_id(server: Dispatcher) -> None:
    assert len({opened(server)["mcp-session-id"] for _ in range(50)}) == 50


def test_failed_handshakes_open_nothing(server: Dispatcher) -> None:
    reply = send(server, message("initialize", {"protocolVersion": "2025-11-25"}))
    assert "mcp-session-id" not in reply.headers
    batch = send(server, [initialize(capabilities=ANSWERS_ALL)])
    assert "mcp-session-id" not in batch.headers and parsed(batch)[0]["error"]["code"] == -32600


def test_modern_requests_have_no_session(server: Dispatcher) -> None:
    body, headers = modern_request("tools/list")
    for session in ({}, {"mcp-session-id": "forged"}, opened(server)):
        reply = send(server, body, {**headers, **session})
        assert reply.status == 200 and "mcp-session-id" not in reply.headers
        for other in ([body], {"jsonrpc": "2.0", "id": 1, "result": {}}):
            assert code(post(server, other, {**headers, **session})) == (400, -32600)


# -- which ones are believed -----------------------------------------------------------------------------


def test_every_server_of_the_fleet_knows_what_the_client_declared(server: Dispatcher) -> None:
    header = opened(server, {"roots": {"listChanged": True}}, name="Inspector")
    told = legacy(serving(Workshop().features), "tools/call", {"name": "version"}, **header)[1]
    assert result(told).startswith("Inspector {'roots': ")


@pytest.mark.parametrize(
    "what", ["ping", "tools/call", "no/such", "notifications/initialized", "batch", "GET", "answer"]
)
def test_an_unknown_session_is_not_found(server: Dispatcher, what: str) -> None:
    stranger = serving(Workshop().features, "another secret " * 3)
    known = opened(server)["mcp-session-id"]
    bodies: dict[str, Any] = {
        "notifications/initialized": notification(what),
        "batch": [message("ping")],
        "answer": {"jsonrpc": "2.0", "id": "x", "result": {}},
    }
    for forged in (
        "",
        "x",
        "a.b",
        "ü",
        known + "A",
        known[:-1],
        f" {known}.",
        opened(stranger)["mcp-session-id"],
    ):
        header = {"mcp-session-id": forged, "accept": BOTH}
        if what == "GET":
            reply = server.handle("GET", header, b"")
            answer = reply.status, parsed(reply)
        else:
            answer = post(server, bodies.get(what, message(what, {"name": "log"})), header)
        assert code(answer) == (404, -32600), forged


def test_no_character_of_an_id_can_be_changed(server: Dispatcher) -> None:
    known = opened(server)["mcp-session-id"]
    for place, found in enumerate(known):
        changed = known[:place] + ("A" if found != "A" else "B") + known[place + 1 :]
        assert legacy(server, "ping", mcp_session_id=changed)[0] == 404, place


def test_a_session_expires(server: Dispatcher, monkeypatch: pytest.MonkeyPatch) -> None:
    header, week = opened(server), 7 * 24 * 3600
    for later, status in ((week, 200), (week + 100, 404)):
        monkeypatch.setattr(seals, "time", SimpleNamespace(time=lambda later=later: time.time() + later))
        assert legacy(server, "ping", **header)[0] == status


def test_a_new_handshake_needs_no_valid_session(server: Dispatcher) -> None:
    assert post(server, initialize(), {"mcp-session-id": "expired"})[0] == 200


def test_a_session_is_not_ended_on_request(server: Dispatcher) -> None:
    header = opened(server)
    assert server.handle("DELETE", header, b"").status == 405
    assert legacy(server, "ping", **header)[0] == 200


# -- questions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "method", "answer", "words"),
    [
        ("form", "elicitation/create", filled_in("Ada"), "Ada"),
        ("form", "elicitation/create", {"action": "decline"}, "decline"),
        ("sampling", "sampling/createMessage", SAMPLED, "Paris"),
        ("roots", "roots/list", ROOTS, "file:///home"),
    ],
)
@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
def test_a_question_and_its_answer(
    server: Dispatcher, version: str, tool: str, method: str, answer: Any, words: str
) -> None:
    header = {**opened(server, version=version), "mcp-protocol-version": version}
    with stream(server, calling(tool, "call"), header) as told:
        asked = next(told)
        assert (asked["jsonrpc"], asked["method"]) == ("2.0", method)
        assert post(server, {"jsonrpc": "2.0", "id": asked["id"], "result": answer}, header) == (202, None)
        last = next(told)
        assert last["id"] == "call" and words in result(last)
        assert list(told) == []


def test_questions_are_put_one_after_the_other(server: Dispatcher) -> None:
    header = opened(server)
    with stream(server, calling("twice"), header) as told:
        first = next(told)
        post(server, {"jsonrpc": "2.0", "id": first["id"], "result": filled_in("a")}, header)
        second = next(told)
        assert second["id"] != first["id"]
        post(server, {"jsonrpc": "2.0", "id": second["id"], "result": filled_in("b")}, header)
        assert '"a"' in result(answer := next(told)) and '"b"' in result(answer)


def test_prompts_ask_as_well(server: Dispatcher) -> None:
    header = opened(server)
    with stream(server, message("prompts/get", {"name": "asks"}), header) as told:
        post(server, {"jsonrpc": "2.0", "id": next(told)["id"], "result": filled_in("Ada")}, header)
        assert "Ada" in next(told)["result"]["messages"][0]["content"]["text"]


def test_an_answer_may_come_in_a_batch(server: Dispatcher) -> None:
    header = {
        **opened(server, version="2025-03-26", capabilities=ANSWERS_ALL),
        "mcp-protocol-version": "2025-03-26",
    }
    with stream(server, calling("form"), header) as told:
        answer = {"jsonrpc": "2.0", "id": next(told)["id"], "result": filled_in("Ada")}
        assert post(server, [answer, message("ping", id=5)], header)[1] == [
            {"jsonrpc": "2.0", "id": 5, "result": {}}
        ]
        assert "Ada" in result(next(told))


def test_only_its_own_session_answers_a_question(server: Dispatcher) -> None:
    header, other = opened(server), opened(server)
    with stream(server, calling("form"), header) as told:
        answer = {"jsonrpc": "2.0", "id": next(told)["id"], "result": filled_in("mine")}
        forged = {**answer, "result": filled_in("forged")}
        for sent in (other, {}, {**header, "mcp-protocol-version": MODERN}):
            assert code(post(server, forged, sent)) == (400, -32600)
        for identifier in ("x", 1, None, [answer["id"]], answer["id"].lower() + "x"):
            assert code(post(server, {**forged, "id": identifier}, header)) == (400, -32600)
        assert code(post(serving(Workshop().features), forged, header)) == (400, -32600)
        assert post(server, answer, header) == (202, None)
        assert "mine" in result(next(told))
    assert code(post(server, answer, header)) == (400, -32600)  # nobody waits any more


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"code": -1, "message": "secret of the client"}},
        {"result": {"action": "maybe"}},
        {"result": None},
        {"result": filled_in(5)},
    ],
)
def test_an_answer_that_is_none_fails_the_call(server: Dispatcher, workshop: Workshop, answer: Any) -> None:
    header = opened(server)
    with stream(server, calling("form"), header) as told:
        assert post(server, {"jsonrpc": "2.0", "id": next(told)["id"], **answer}, header)[0] == 202
        assert "secret" not in failure(next(told))
    assert workshop.told() == "CannotAsk"


@pytest.mark.parametrize("tool", ["form", "sampling", "roots"])
def test_who_did_not_say_so_is_not_asked(server: Dispatcher, tool: str) -> None:
    for header in ({}, opened(server, {})):
        answer = post(server, calling(tool), {"accept": BOTH, **header})[1]
        assert "did not declare the capability" in failure(answer)


def test_who_accepts_no_stream_is_not_asked(server: Dispatcher) -> None:
    for accept in ({}, {"accept": "application/json"}):
        assert "text/event-stream" in failure(post(server, calling("form"), {**opened(server), **accept})[1])
    batch = post(server, [calling("form")], {**opened(server, version="2025-03-26"), "accept": BOTH})[1]
    assert "text/event-stream" in failure(batch[0])


def test_a_client_that_hangs_up_is_not_waited_for(server: Dispatcher, workshop: Workshop) -> None:
    header = opened(server)
    with stream(server, calling("form"), header) as told:
        asked = next(told)
    assert workshop.told() == "CannotAsk"
    assert server.open_streams == 0
    late = {"jsonrpc": "2.0", "id": asked["id"], "result": filled_in("late")}
    assert code(post(server, late, header)) == (400, -32600)


def test_a_client_that_does_not_answer_is_not_waited_for_for_ever(
    server: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "ANSWER_TIMEOUT_SEC", 0.05)
    with stream(server, calling("form"), opened(server)) as told:
        next(told)
        assert "did not answer elicitation/create" in failure(next(told))


def test_a_server_that_stops_gives_up_its_questions(server: Dispatcher, workshop: Workshop) -> None:
    with stream(server, calling("form"), opened(server)) as told:
        next(told)
        server.close()
        (last,) = list(told)
    assert last["result"]["isError"] is True and "being restarted" in last["result"]["content"][0]["text"]
    assert workshop.told() == "CannotAsk"


def test_a_server_that_has_stopped_asks_nobody(server: Dispatcher) -> None:
    header = opened(server)
    server.close()
    _, answer = post(server, calling("form"), {**header, "accept": BOTH})
    assert "being restarted" in answer["result"]["content"][0]["text"]


# -- cancellation ----------------------------------------------------------------------------------------


def test_a_request_is_cancelled_by_its_own_session_alone(server: Dispatcher, workshop: Workshop) -> None:
    header, other = opened(server), opened(server)
    with stream(server, calling("wait", 1, progressToken="p"), header) as told:
        assert next(told)["params"]["progressToken"] == "p"
        assert workshop.told() == "begun"
        for who, identifier in (
            (other, 1),
            ({}, 1),
            (header, "1"),
            (header, 2),
            (header, None),
            (header, True),
        ):
            cancel = notification("notifications/cancelled", {"requestId": identifier})
            assert post(server, cancel, who) == (202, None)
        modern_cancel = notification("notifications/cancelled", {"requestId": 1})
        assert post(server, modern_cancel, {**header, "mcp-protocol-version": MODERN}) == (202, None)
        assert legacy(server, "ping", **header)[0] == 200
        assert workshop.goes_on()
        assert post(server, notification("notifications/cancelled", {"requestId": 1}), header) == (202, None)
        assert workshop.told() == "cancelled"
        assert list(told) == []


@pytest.mark.parametrize(
    "params", [None, {}, [], [1], "x", {"requestId": {}}, {"requestId": [1]}, {"requestId": 1.0}]
)
def test_a_cancellation_of_nothing_is_ignored(server: Dispatcher, params: Any) -> None:
    header = opened(server)
    assert post(server, notification("notifications/cancelled", params), header) == (202, None)
    batch = {**opened(server, version="2025-03-26"), "mcp-protocol-version": "2025-03-26"}
    assert post(server, [notification("notifications/cancelled", params)], batch) == (202, None)


def test_a_lost_connection_cancels_nothing(server: Dispatcher, workshop: Workshop) -> None:
    header = opened(server)
    with stream(server, calling("wait", progressToken="p"), header) as told:
        next(told)
        assert workshop.told() == "begun"
    assert server.open_streams == 0
    assert legacy(server, "ping", **header)[0] == 200
    assert workshop.goes_on()
    post(server, notification("notifications/cancelled", {"requestId": 1}), header)
    assert workshop.told() == "cancelled"


def test_a_question_can_be_cancelled(server: Dispatcher, workshop: Workshop) -> None:
    header = opened(server)
    with stream(server, calling("form"), header) as told:
        next(told)
        post(server, notification("notifications/cancelled", {"requestId": 1}), header)
        assert list(told) == []
    assert workshop.told() == "Cancelled"


# -- logging ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        (None, ["info", "error"]),
        ("debug", ["debug", "info", "error"]),
        ("notice", ["error"]),
        ("error", ["error"]),
        ("critical", []),
    ],
)
def test_log_messages_from_the_level_that_a_session_wants(
    server: Dispatcher, level: str | None, heard: list[str]
) -> None:
    header, other = opened(server), opened(server)
    if level:
        assert legacy(server, "logging/setLevel", {"level": level}, **header)[1]["result"] == {}
    assert _heard(server, header) == heard
    assert _heard(server, other) == ["info", "error"]


def _heard(server: Dispatcher, header: dict[str, str]) -> list[str]:
    reply = send(server, calling("log"), {"accept": BOTH, **header})
    if reply.events is None:
        return []
    lines = b"".join(reply.events).decode().split("\n\n")
    reply.events.close()  # type: ignore[attr-defined]
    return [level for level in ("debug", "info", "error") if any(f'"at":"{level}"' in line for line in lines)]


@pytest.mark.parametrize(
    "params", [None, {}, {"level": "loud"}, {"level": 5}, {"level": None}, {"level": "INFO"}]
)
def test_unknown_levels(server: Dispatcher, params: Any) -> None:
    assert code(legacy(server, "logging/setLevel", params, **opened(server))) == (200, -32602)


def test_without_a_session_nothing_is_logged(server: Dispatcher) -> None:
    assert legacy(server, "logging/setLevel", {"level": "debug"})[1]["result"] == {}
    assert _heard(server, {}) == []


# -- the stream of a session -----------------------------------------------------------------------------


def changed(told: Iterator[Any], server: Dispatcher, *uris: str) -> list[str]:
    """Which of these changes a stream tells; something that it does tell must come last."""
    for uri in uris:
        server.publish("resource", uri)
    heard: list[str] = []
    while not heard or heard[-1] != uris[-1]:
        update = next(told)
        assert update["method"] == "notifications/resources/updated"
        assert update["params"].keys() == {"uri"}
        heard.append(update["params"]["uri"])
    return heard


def test_a_session_hears_of_what_it_has_subscribed_to(server: Dispatcher) -> None:
    header, other = opened(server), opened(server)
    for uri in ("test://other", WATCHED):
        assert legacy(server, "resources/subscribe", {"uri": uri}, **header)[1]["result"] == {}
    legacy(server, "resources/subscribe", {"uri": WATCHED}, **other)
    with stream(server, {}, header, "GET") as told, stream(server, {}, other, "GET") as told_other:
        assert server.open_streams == 2
        assert changed(told, server, "test://nobody", "test://other", WATCHED) == ["test://other", WATCHED]
        assert legacy(server, "resources/unsubscribe", {"uri": "test://other"}, **header)[1]["result"] == {}
        server.publish("tools")
        assert changed(told, server, "test://other", WATCHED) == [WATCHED]
        assert changed(told_other, server, WATCHED)[-1] == WATCHED
    assert server.open_streams == 0


def test_the_stream_ends_with_the_server(server: Dispatcher) -> None:
    with stream(server, {}, opened(server), "GET") as told:
        server.close()
        assert list(told) == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"accept": BOTH}, 400),
        ({"accept": BOTH, "mcp-protocol-version": MODERN}, 405),
        ({"accept": BOTH, "mcp-protocol-version": "2024-11-05"}, 400),
        ({"accept": "application/json", "mcp-session-id": "good"}, 406),
        ({"mcp-session-id": "good"}, 406),
    ],
)
def test_who_gets_no_stream(server: Dispatcher, headers: dict[str, str], status: int) -> None:
    given = {**headers, **(opened(server) if "mcp-session-id" in headers else {})}
    assert server.handle("GET", given, b"").status == status
    assert server.open_streams == 0


def test_subscriptions_need_a_session_and_are_bounded(server: Dispatcher) -> None:
    assert code(legacy(server, "resources/subscribe", {"uri": WATCHED})) == (200, -32602)
    header = opened(server)
    assert code(legacy(server, "resources/subscribe", {}, **header)) == (200, -32602)
    for number in range(100):
        assert legacy(server, "resources/subscribe", {"uri": f"test://{number}"}, **header)[1]["result"] == {}
    assert code(legacy(server, "resources/subscribe", {"uri": "test://100"}, **header)) == (200, -32602)
    assert legacy(server, "resources/subscribe", {"uri": "test://99"}, **header)[1]["result"] == {}
    legacy(server, "resources/unsubscribe", {"uri": "test://0"}, **header)
    assert legacy(server, "resources/subscribe", {"uri": "test://100"}, **header)[1]["result"] == {}
