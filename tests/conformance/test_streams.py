"""Streams on a real server: how they begin, what they hold, how they end, and what they leave to others."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

import pytest
from canton_mcp.settings import Settings
from dialogue import META, K, initialize, message, modern_request, notification
from fleet import PRODUCT, servers
from processes import STARTUP_SEC, Served, until
from wire import Answer, Line, Stream, send, streaming

LIMIT: Final = Settings.from_env({}).streams
LISTENERS: Final = LIMIT - LIMIT // 4
"""How many of the streams listeners may take."""
ALL: Final = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}
CALLS: Final = 200
CALLERS: Final = 50
LINGERS_SEC: Final = 600
ROLLOUT: Final = "rollout"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with servers(tmp_path_factory.mktemp("streams") / "s") as (only,):
        yield only


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    base = tmp_path_factory.mktemp("product")
    rollout = str(base / ROLLOUT)
    with servers(base / "s", application=PRODUCT, CANTON_MCP_ROLLOUT_FILE=rollout) as (only,):
        yield only


@pytest.fixture(autouse=True)
def nothing_stays_open(server: Served) -> Iterator[None]:
    yield
    until(lambda: open_streams(server) == 0, server)


def open_streams(served: Served) -> int:
    return int(served.get("/health")[1]["streams"]["open"])


def calling(tool: str, arguments: Any = None, **meta: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return modern_request("tools/call", {"name": tool, "arguments": arguments or {}}, meta={**META, **meta})


def listening(identifier: Any = 1, **wanted: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return modern_request("subscriptions/listen", {"notifications": wanted or ALL}, identifier=identifier)


def acknowledged(stream: Stream) -> Any:
    first = stream.message()
    assert first["method"] == "notifications/subscriptions/acknowledged"
    return first["params"]


def logged(served: Served, line: str) -> bool:
    return line in served.log.splitlines()


# -- a client that leaves --------------------------------------------------------------------------------


@pytest.mark.parametrize("abruptly", [False, True], ids=["closes", "resets"])
def test_leaving_cancels_a_modern_call(server: Served, abruptly: bool) -> None:
    name = f"modern {abruptly}"
    with streaming(
        server, *calling("speak", {"name": name, "seconds": LINGERS_SEC}, progressToken=1)
    ) as stream:
        assert stream.message()["method"] == "notifications/progress"
        assert open_streams(server) == 1
        stream.leave(abruptly)
        until(lambda: logged(server, f"{name} was cancelled"), server)
        until(lambda: open_streams(server) == 0, server)


def test_leaving_cancels_a_modern_call_that_says_nothing(server: Served) -> None:
    line = Line(server)
    body, headers = calling("work", {"name": "silent", "seconds": LINGERS_SEC})
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(line.send, body, headers)
        until(lambda: logged(server, "silent began"), server)
        stream = answer.result()
    assert isinstance(stream, Stream)  # so that it can be noticed
    stream.leave()
    until(lambda: logged(server, "silent was cancelled"), server)


@pytest.mark.parametrize("abruptly", [False, True], ids=["closes", "resets"])
def test_leaving_does_not_cancel_a_legacy_call(server: Served, abruptly: bool) -> None:
    name = f"legacy {abruptly}"
    arguments = {"name": name, "seconds": 1}
    call = message("tools/call", {"name": "speak", "arguments": arguments, "_meta": {"progressToken": 1}})
    with streaming(server, call) as stream:
        assert stream.message()["method"] == "notifications/progress"
        stream.leave(abruptly)
    until(lambda: open_streams(server) == 0, server)
    until(lambda: logged(server, f"{name} finished"), server)
    assert not logged(server, f"{name} was cancelled")


def test_only_its_own_session_cancels_a_legacy_call(server: Served) -> None:
    header, other = session(server), session(server)
    call = message(
        "tools/call", {"name": "speak", "arguments": {"name": "cancel me"}, "_meta": {"progressToken": 1}}
    )
    cancel = notification("notifications/cancelled", {"requestId": 1})
    with streaming(server, call, header) as stream:
        stream.message()
        assert send(server, cancel, other).status == 202
        assert {stream.message()["method"] for _ in range(10)} == {"notifications/progress"}
        assert send(server, cancel, header).status == 202
        until(lambda: logged(server, "cancel me was cancelled"), server)
        assert all("method" in rest for rest in stream)


@pytest.mark.parametrize("abruptly", [False, True], ids=["close", "reset"])
def test_listeners_that_leave_free_their_slots(server: Served, abruptly: bool) -> None:
    for _ in range(2):  # as many again find a place
        with ExitStack() as stack:
            streams = [stack.enter_context(streaming(server, *listening())) for _ in range(LISTENERS)]
            assert [acknowledged(stream)["notifications"] for stream in streams] == [ALL] * LISTENERS
            assert open_streams(server) == LISTENERS
            for stream in streams:
                stream.leave(abruptly)
        until(lambda: open_streams(server) == 0, server)


def test_clients_that_stop_reading_free_their_slots(server: Served) -> None:
    """They keep their connections, but take nothing more from them."""
    modern = calling("shout", {"name": "modern", "seconds": LINGERS_SEC}, **{f"{K}logLevel": "info"})
    params = {"name": "shout", "arguments": {"name": "legacy", "seconds": 5}}
    legacy = message("tools/call", params), session(server)
    streams = [Line(server, receive_buffer=4096).send(*request) for request in (modern, legacy)]
    assert all(isinstance(stream, Stream) for stream in streams) and open_streams(server) == 2
    until(lambda: open_streams(server) == 0, server)
    until(lambda: logged(server, "modern was cancelled"), server)
    until(lambda: logged(server, "legacy finished"), server)
    for stream in streams:
        assert isinstance(stream, Stream)
        stream.leave()


def session(served: Served) -> dict[str, str]:
    return {"Mcp-Session-Id": send(served, initialize()).headers["Mcp-Session-Id"]}


# -- what is on a stream ---------------------------------------------------------------------------------


@pytest.mark.parametrize("identifier", [1, "1", 0, "naïve"])
def test_the_acknowledgement_comes_first_and_at_once(server: Served, identifier: Any) -> None:
    """Before anything happens, and before the first ping."""
    with streaming(server, *listening(identifier)) as stream:
        params = acknowledged(stream)
        assert stream.pings == 0
        assert params["notifications"] == ALL
        assert send(server, *calling("test_trigger_tool_change")).status == 200
        news = stream.message()
        assert news["method"] == "notifications/tools/list_changed"
        for meta in (params["_meta"], news["params"]["_meta"]):
            found = meta[f"{K}subscriptionId"]
            assert found == identifier and type(found) is type(identifier)


def test_only_what_was_asked_for_is_told(server: Served) -> None:
    uri = "test://watched-resource"
    with (
        streaming(server, *listening(promptsListChanged=True)) as prompts,
        streaming(server, *listening(resourceSubscriptions=[uri], toolsListChanged=False)) as watched,
        streaming(server, *listening(resourceSubscriptions=["test://other"], toolsListChanged=True)) as tools,
    ):
        kept = [acknowledged(stream)["notifications"] for stream in (prompts, watched, tools)]
        assert kept[:2] == [{"promptsListChanged": True}, {"resourceSubscriptions": [uri]}]
        for tool in ("test_trigger_tool_change", "change", "test_trigger_prompt_change"):
            assert send(server, *calling(tool)).status == 200
        assert prompts.message()["method"] == "notifications/prompts/list_changed"
        news = watched.message()
        assert (news["method"], news["params"]["uri"]) == ("notifications/resources/updated", uri)
        assert tools.message()["method"] == "notifications/tools/list_changed"
        for stream in (prompts, watched, tools):
            stream.ping()  # and nothing else until then


def test_a_session_hears_of_its_subscriptions(server: Served) -> None:
    header, uri = session(server), "test://watched-resource"
    assert send(server, message("resources/subscribe", {"uri": uri}), header).body["result"] == {}
    with streaming(server, b"", header, "GET") as stream:
        for tool in ("test_trigger_tool_change", "change"):
            assert send(server, *calling(tool)).status == 200
        news = stream.message()
        assert (news["method"], news["params"]) == ("notifications/resources/updated", {"uri": uri})


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH", "OPTIONS"])
def test_the_modern_era_only_posts(server: Served, method: str) -> None:
    answer = send(server, b"", {"MCP-Protocol-Version": "2026-07-28"}, method)
    assert (answer.status, answer.raw) == (405, b"")
    assert "POST" in answer.headers["Allow"]


def test_a_stream_says_that_it_must_not_be_kept(server: Served) -> None:
    with streaming(server, *listening()) as stream:
        headers = stream.response.headers
        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "no-cache, no-transform"
        assert "Mcp-Session-Id" not in headers and "Content-Length" not in headers


# -- how many --------------------------------------------------------------------------------------------


def test_calls_go_on_while_all_streams_are_open(server: Served) -> None:
    """None of them waits for a stream to end, and none of the streams does."""
    with ExitStack() as stack:
        streams = [stack.enter_context(streaming(server, *listening(number))) for number in range(LISTENERS)]
        for stream in streams:
            acknowledged(stream)
        refused = send(server, *listening("one too many"))
        assert refused.code == (503, -32603) and refused.body["id"] == "one too many"
        assert int(refused.headers["Retry-After"]) > 0
        for number in range(LIMIT - LISTENERS):  # what listeners leave is for calls that speak
            speaking = calling("speak", {"name": f"full {number}", "seconds": LINGERS_SEC}, progressToken=1)
            assert (
                stack.enter_context(streaming(server, *speaking)).message()["method"]
                == "notifications/progress"
            )
        plain = send(server, *calling("test_tool_with_progress", progressToken=1))
        assert plain.headers["Content-Type"] == "application/json"
        assert plain.body["result"]["isError"] is False

        def call(number: int) -> Answer:
            body, headers = calling("test_simple_text")
            return send(server, {**body, "id": number}, headers)

        with ThreadPoolExecutor(CALLERS) as pool:
            answers = list(pool.map(call, range(CALLS)))
        assert [answer.status for answer in answers] == [200] * CALLS
        assert [answer.body["id"] for answer in answers] == list(range(CALLS))
        assert {answer.body["result"]["content"][0]["text"] for answer in answers} == {
            "This is a simple text response for testing."
        }
        assert open_streams(server) == LIMIT
        assert send(server, *calling("test_trigger_tool_change")).status == 200
        for stream in streams:
            assert stream.message()["method"] == "notifications/tools/list_changed"


def test_calls_beyond_the_threads_wait_their_turn(server: Served) -> None:
    """More of them at a time than there are threads, each of them long enough to meet all others."""
    with ExitStack() as stack:
        for _ in range(LISTENERS):
            acknowledged(stack.enter_context(streaming(server, *listening())))
        with ThreadPoolExecutor(CALLERS) as pool:
            work = calling("work", {"name": "one of many", "seconds": 0.2})
            answers = list(pool.map(lambda _: send(server, *work), range(CALLERS)))
        assert [answer.status for answer in answers] == [200] * CALLERS


# -- the end of a server ---------------------------------------------------------------------------------


def test_a_server_that_stops_ends_its_streams_and_finishes_its_calls(tmp_path: Path) -> None:
    with servers(tmp_path / "s") as (server,), ExitStack() as stack:
        header = session(server)
        listeners = [stack.enter_context(streaming(server, *listening(number))) for number in (5, "five")]
        for stream in listeners:
            acknowledged(stream)
        legacy = stack.enter_context(streaming(server, b"", header, "GET"))
        call = stack.enter_context(streaming(server, *calling("speak", {"seconds": 1}, progressToken=1)))
        ask = message("tools/call", {"name": "test_elicitation", "arguments": {"message": "?"}})
        can_answer = send(server, initialize(capabilities={"elicitation": {}})).headers["Mcp-Session-Id"]
        asked = stack.enter_context(streaming(server, ask, {"Mcp-Session-Id": can_answer}))
        assert asked.message()["method"] == "elicitation/create"
        assert call.message()["method"] == "notifications/progress"
        server.process.send_signal(signal.SIGTERM)
        for stream, identifier in zip(listeners, (5, "five"), strict=True):
            *_, last = stream
            assert last["id"] == identifier and type(last["id"]) is type(identifier)
            assert last["result"]["resultType"] == "complete"
            assert last["result"]["_meta"][f"{K}subscriptionId"] == identifier
        assert list(legacy) == []
        (unasked,) = asked  # the tool goes on without an answer
        assert unasked["result"]["isError"] and "restarted" in unasked["result"]["content"][0]["text"]
        *_, result = call
        assert result["result"]["content"][0]["text"] == "somebody finished"
        assert server.process.wait(STARTUP_SEC) == 0
        assert "Traceback" not in server.log
        assert "exited with code" not in server.log and "SIGKILL" not in server.log


# -- the product's own -----------------------------------------------------------------------------------


def test_the_product_tells_of_a_rollout(product: Served, server: Served) -> None:
    with streaming(product, *listening("mine")) as stream:
        assert acknowledged(stream)["notifications"] == ALL
        (product.log_path.parents[1] / ROLLOUT).write_text("1.0")
        heard = {stream.message()["method"] for _ in ALL}
        assert heard == {f"notifications/{kind}/list_changed" for kind in ("tools", "prompts", "resources")}
    until(lambda: open_streams(product) == 0, product)


def test_the_product_is_not_watched(product: Served) -> None:
    """Its resources change with the release alone."""
    with streaming(product, *listening(resourceSubscriptions=["canton://guides/x"])) as stream:
        assert acknowledged(stream)["notifications"] == {}
    assert send(product, message("resources/subscribe", {"uri": "x"})).code == (200, -32601)
    assert send(product, b"", method="GET").status == 405


def test_a_connection_is_kept_after_a_plain_answer(server: Served) -> None:
    with closing(Line(server)) as line:
        for _ in range(3):
            answer = line.send(*calling("test_simple_text"))
            assert isinstance(answer, Answer) and answer.status == 200
        assert isinstance(line.connection.sock, socket.socket)
