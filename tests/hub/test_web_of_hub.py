"""The hub over HTTP and WebSocket: gate, relay, tail, reports, metrics; one real process, real clients."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType
from canton_mcp.hub.auth import COOKIE_SEC, Attempts, Gate
from canton_mcp.hub.relay import Clients, text_frame
from canton_mcp.hub.reports import BadFilter, Filter, Pushes, Reports, read_filter
from canton_mcp.hub.upstream import Upstreams
from hubs import RunningHub, discover, encoded, perf_update, spawn_hub

TOKEN = "a-token-of-the-tests-0123456789"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub that all who reach it may use."""
    running = spawn_hub(tmp_path_factory.mktemp("hub"))
    try:
        yield running.wait_ready()
    finally:
        running.stop()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub that asks for a token."""
    names = {"DCAP_HUB_ALLOWED_HOSTS": "hub.example", "DCAP_HUB_ALLOWED_ORIGINS": "https://tools.example"}
    running = spawn_hub(tmp_path_factory.mktemp("guarded"), TOKEN, **names)
    try:
        yield running.wait_ready()
    finally:
        running.stop()


def connected(
    hub: RunningHub,
    path: str,
    use: Callable[[aiohttp.ClientWebSocketResponse], Awaitable[Any]],
    **options: Any,
) -> Any:
    """What `use` makes of a WebSocket to `path`."""

    async def work() -> Any:
        headers = {"Authorization": f"Bearer {hub.token}"} if hub.token else {}
        async with aiohttp.ClientSession(headers=headers) as session:
            async with asyncio.timeout(20):
                async with session.ws_connect(f"{hub.url}{path}", **options) as ws:
                    return await use(ws)

    return asyncio.run(work())


async def sent(hub: RunningHub, *datagrams: bytes | dict[str, Any]) -> None:
    await asyncio.to_thread(hub.send, *datagrams)


# The gate


@pytest.mark.parametrize(
    "path",
    ["/api/report", "/api/history", "/api/tail", "/metrics", "/raw", "/ws/stats", "/ws/tail", "/nothing"],
)
@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Authorization": "Bearer wrong"}, False),
        ({"Authorization": f"Basic {TOKEN}"}, False),
        ({"Authorization": f"Bearer {TOKEN}x"}, False),
        ({"Authorization": ""}, False),
        ({"Cookie": f"canton-mcp-hub={TOKEN}"}, False),
        ({"Authorization": f"Bearer {TOKEN}"}, True),
        ({"Authorization": f"bearer   {TOKEN} "}, True),
    ],
)
def test_data_needs_the_token(guarded: RunningHub, path: str, headers: dict[str, str], allowed: bool) -> None:
    answer = guarded.ask(path, **headers)
    assert (answer.status != 401) == allowed
    if not allowed:
        assert "token" in answer.json["error"]


def test_a_session_stands_for_the_token(guarded: RunningHub) -> None:
    signed_in = guarded.ask("/session", "POST", encoded({"token": TOKEN}), Authorization="none")
    assert signed_in.status == 204
    cookie = signed_in.headers["set-cookie"]
    assert TOKEN not in cookie
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    value = cookie.partition(";")[0]
    assert guarded.ask("/api/tail", Cookie=value).status == 200
    assert guarded.ask("/", Cookie=value).status == 200
    name, _, content = value.partition("=")
    until, _, seal = content.partition(".")
    for forged in (f"{int(until) + 1}.{seal}", f"{until}.{seal[:-1]}", f"{until}.", ".", "x.y", f"{until}.é"):
        assert guarded.ask("/api/tail", Cookie=f"{name}={forged}".encode().decode("latin-1")).status == 401


def test_a_session_ends_after_a_week() -> None:
    gate = Gate(TOKEN, 1)
    value = gate.session(1_000_000.0)
    assert gate.session_valid(value, 1_000_000.0 + COOKIE_SEC - 1)
    assert not gate.session_valid(value, 1_000_000.0 + COOKIE_SEC)
    assert not Gate("another-token-0123456789", 1).session_valid(value, 1_000_000.0)


def test_what_needs_no_token_holds_no_data(guarded: RunningHub) -> None:
    guarded.send(guarded.call("canton-mcp-77"))
    health = guarded.ask("/healthz", Authorization="none")
    page = guarded.ask("/", Authorization="none")
    assert health.status == 200
    assert page.status == 401
    assert page.headers["content-type"].startswith("text/html")
    assert b"canton-mcp-77" not in health.body + page.body


def test_a_sign_in_that_is_none_is_told(tmp_path: Path) -> None:
    running = spawn_hub(tmp_path, TOKEN).wait_ready()
    bodies = [b"", b"{}", b'{"token":1}', b'["token"]', b"[" * 3000, b"\xff", b'"x"', b"x" * 5000]
    try:
        statuses = [running.ask("/session", "POST", body, Authorization="none").status for body in bodies]
    finally:
        running.stop()
    assert statuses == [400] * 7 + [413]


def test_guessing_is_slowed_down_and_never_logged(tmp_path: Path) -> None:
    running = spawn_hub(tmp_path, TOKEN).wait_ready()
    try:
        guess = encoded({"token": "guess-that-nobody-should-read"})
        statuses = [running.ask("/session", "POST", guess, Authorization="none").status for _ in range(12)]
        late = running.ask("/session", "POST", encoded({"token": TOKEN}), Authorization="none")
    finally:
        running.stop()
    assert statuses == [401] * 10 + [429] * 2
    assert late.status == 429
    assert int(late.headers["retry-after"]) > 0
    assert TOKEN not in running.log
    assert "guess-that" not in running.log


def test_attempts_are_counted_by_address_and_forgotten() -> None:
    attempts = Attempts(limit=2, seconds=60)
    assert [attempts.wait("a", 0.0) for _ in range(3)] == [0, 0, 61]
    assert attempts.wait("b", 0.0) == 0
    assert attempts.wait("a", 60.0) == 0


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:9", True),
        ("[::1]:10191", True),
        ("192.0.2.7:10191", True),
        ("localhost:10191", True),
        ("LOCALHOST", True),
        (socket.gethostname(), True),
        ("hub.example:443", True),
        ("hub.example.", True),
        ("rebound.example", False),
        ("127.0.0.1.rebound.example", False),
        ("127.0.0.1@rebound.example", False),
        ("localhost:x", False),
        ("localhost/x", False),
        ("0x7f000001", False),
        ("2130706433", False),
        ("", False),
    ],
)
def test_names_that_anyone_may_point_here_are_refused(guarded: RunningHub, host: str, allowed: bool) -> None:
    assert guarded.ask("/healthz", Host=host).status == (200 if allowed else 421)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://127.0.0.1:{port}", True),
        ("https://tools.example", True),
        ("http://127.0.0.1:1", False),
        ("http://rebound.example", False),
        ("null", False),
        ("", False),
        ("file://", False),
        ("http://127.0.0.1:{port}.rebound.example", False),
        ("http://[", False),
    ],
)
@pytest.mark.parametrize("path", ["/healthz", "/raw", "/ws/stats", "/ws/tail", "/"])
def test_pages_of_others_are_refused(guarded: RunningHub, path: str, origin: str, allowed: bool) -> None:
    upgrade = {} if path == "/healthz" else WEBSOCKET
    answer = upgraded_status(guarded, path, {**upgrade, "Origin": origin.format(port=guarded.port)})
    assert answer == ((101 if upgrade else 200) if allowed else 403)


WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def upgraded_status(hub: RunningHub, path: str, headers: dict[str, str]) -> int:
    """The status of a request that may upgrade."""
    own = {"Host": f"127.0.0.1:{hub.port}", "Authorization": f"Bearer {hub.token}", **headers}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in own.items()), "", ""]
    with socket.create_connection(("127.0.0.1", hub.port), timeout=10) as sock:
        sock.sendall("\r\n".join(lines).encode())
        return int(sock.recv(4096).split()[1])


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/static/none.js", "/api/report", "/api/report?window=x", "/metrics"]
)
def test_every_answer_is_hardened(hub: RunningHub, path: str) -> None:
    headers = hub.ask(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] in ("no-store", "no-cache")
    assert "aiohttp" not in headers["server"].lower()
    assert "access-control-allow-origin" not in headers


def test_static_files_are_served_with_their_type_and_only_they(hub: RunningHub) -> None:
    page = hub.ask("/")
    assert page.headers["content-type"].startswith("text/html")
    links = re.findall(r'(?:src|href)="(static/[^"]+)"', page.body.decode())
    assert links
    for link in links:
        found = hub.ask(f"/{link}")
        assert found.status == 200, link
        again = hub.ask(f"/{link}", If_None_Match=found.headers["etag"])
        assert (again.status, again.body) == (304, b"")
    for outside in (
        "../web.py",
        "%2e%2e/web.py",
        "..%2fweb.py",
        "/etc/passwd",
        "%00",
        "js/../../web.py",
        ".",
    ):
        assert hub.ask(f"/static/{outside}").status == 404


@pytest.mark.parametrize(
    "query",
    [
        "window=2m",
        "window=5m%00",
        "sid=" + "x" * 200,
        "sid=" + ",".join(map(str, range(300))),
        "tool=" + "y" * 129,
    ],
)
def test_filters_that_cannot_be_used_are_told(hub: RunningHub, query: str) -> None:
    answer = hub.ask(f"/api/report?{query}")
    assert answer.status == 400
    assert "Use" in answer.json["error"]


@pytest.mark.parametrize(
    "path", ["/api/tail?n=0", "/api/tail?n=501", "/api/tail?n=x", "/api/history?hours=99999"]
)
def test_numbers_that_cannot_be_used_are_told(hub: RunningHub, path: str) -> None:
    assert hub.ask(path).status == 400


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/report"), ("DELETE", "/"), ("PUT", "/session")])
def test_other_methods_are_refused(hub: RunningHub, method: str, path: str) -> None:
    answer = hub.ask(path, method)
    assert answer.status == 405
    assert answer.headers["allow"]


def test_filters_come_as_text_or_as_lists() -> None:
    wanted = Filter("1h", frozenset({"a", "b"}), frozenset({"x"}))
    assert read_filter({"window": "1h", "sid": "a, b,", "tool": ["x"]}) == wanted
    assert read_filter({}) == Filter()
    for wrong in ({"sid": 1}, {"sid": [1]}, {"window": ["5m"]}, {"window": 5}):
        with pytest.raises(BadFilter):
            read_filter(wrong)


# What the hub shows


def test_the_report_tells_what_came(hub: RunningHub) -> None:
    sid = "canton-mcp-r1"
    hub.send(*(hub.call(sid, "validate", exec_ms=20) for _ in range(4)))
    hub.send(hub.call(sid, "validate", success=False, ctx={"error_code": "timeout"}))
    hub.until(lambda: shown(hub, sid).get("calls") == 5)
    server = shown(hub, sid)
    assert (server["state"], server["errors"], server["lost"]) == ("up", 1, 0)
    report = hub.report(f"sid={sid}")
    assert report["errors"][0]["error_code"] == "timeout"


def shown(hub: RunningHub, sid: str) -> dict[str, Any]:
    return next((server for server in hub.report(f"sid={sid}")["servers"] if server["sid"] == sid), {})


def test_every_datagram_is_in_one_count(hub: RunningHub) -> None:
    before = hub.report("window=24h")["quality"]
    good = [perf_update("canton-mcp-q1", "validate") for _ in range(7)]
    bad = [
        b"",
        b"\xff\xfe",
        b"[" * 1400,
        b"[]",
        b"{}",
        b'{"v":2}',
        b"x" * 1473,
        encoded({**good[0], "exec_ms": True}),
    ]
    hub.send(*good, *bad)
    hub.until(lambda: hub.report("window=1h")["quality"]["received"] >= before["received"] + 15)
    time.sleep(1.1)  # the next report is a new one
    after = hub.report("window=24h")["quality"]
    rejected = sum(after["rejected"].values()) - sum(before["rejected"].values())
    assert (after["received"] - before["received"], after["accepted"] - before["accepted"]) == (15, 7)
    assert rejected == 8


def test_metrics_have_the_agreed_names_and_agree_with_the_report(hub: RunningHub) -> None:
    sid = "canton-mcp-m1"
    hub.send(
        discover(sid, "validate"),
        *(hub.call(sid, "validate", exec_ms=40, cost_paid=5, currency="USDC") for _ in range(3)),
    )
    text = hub.ask("/metrics").body.decode()
    for name in (
        "dcap_messages_received_total",
        "dcap_messages_rejected_total",
        "dcap_tool_calls_total",
        "dcap_tool_exec_seconds_bucket",
        "dcap_cost_paid_units_total",
        "dcap_server_last_seen_timestamp_seconds",
        "dcap_server_up",
        "dcap_clock_skew_seconds",
        "dcap_loss_ratio",
        "dcap_udp_kernel_drops_total",
        "dcap_ws_clients",
        "dcap_ws_dropped_total",
        "dcap_hub_info",
        "process_resident_memory_bytes",
    ):
        assert re.search(rf"^{name}[ {{]", text, re.MULTILINE), name
    assert f'dcap_tool_calls_total{{sid="{sid}",success="true",tool="validate"}} 3.0' in text
    assert f'dcap_tool_exec_seconds_count{{sid="{sid}",tool="validate"}} 3.0' in text
    assert f'dcap_tool_exec_seconds_bucket{{le="0.05",sid="{sid}",tool="validate"}} 3.0' in text
    assert f'dcap_cost_paid_units_total{{currency="USDC",sid="{sid}"}} 15.0' in text
    assert f'dcap_server_up{{sid="{sid}"}} 1.0' in text


def test_hostile_names_are_inert_everywhere(hub: RunningHub) -> None:
    sid = f'"}}\n{HOSTILE}'
    hub.send(
        hub.call(sid, HOSTILE, ctx={"caller": f"\x1b[2J{HOSTILE}\u202e"}),
        discover(sid, HOSTILE, does=f"\x00{HOSTILE}"),
    )
    report = hub.ask("/api/report?window=1h")
    tail = hub.ask("/api/tail?n=5")
    metrics = hub.ask("/metrics")
    for answer in (report, tail, metrics):
        assert not answer.headers["content-type"].startswith("text/html")
        assert answer.headers["x-content-type-options"] == "nosniff"
    for text in (report.body.decode(), tail.body.decode()):
        assert not re.search(r"\\u00[01][0-9a-f]|\\n|\\u202e|[^\x20-\x7e]", text)
    for line in metrics.body.decode().splitlines():
        assert re.fullmatch(r'#.*|[a-z_]+(\{([a-z_]+="([^"\\]|\\.)*",?)*\})? \S+', line), line


def test_the_tail_hides_arguments_unless_asked(hub: RunningHub) -> None:
    sid = "canton-mcp-t1"
    hub.send(hub.call(sid, ctx={"args": {"damlCode": "party-secret"}}), b"rubbish")
    hidden = hub.ask(f"/api/tail?n=5&sid={sid}")
    assert b"party-secret" not in hidden.body
    assert hidden.json["messages"][0]["message"]["ctx"]["args"] == "hidden"
    assert b"party-secret" in hub.ask(f"/api/tail?n=5&sid={sid}&args=1").body
    rejected = hub.ask("/api/tail?n=1").json["messages"][0]
    assert rejected["rejected"]["reason"] == "not_json"
    assert (rejected["source"], rejected["size"]) == ("127.0.0.1", 7)


def test_history_is_told(hub: RunningHub) -> None:
    assert hub.ask("/api/history?hours=1").status == 200


# WebSockets


@pytest.mark.parametrize("path", ["/", "/raw"])
@pytest.mark.parametrize(
    ("offered", "chosen"),
    [((), None), (("dcap-v2",), "dcap-v2"), (("other", "dcap-v2"), "dcap-v2"), (("other",), None)],
)
def test_clients_with_and_without_the_subprotocol_get_the_original_bytes(
    hub: RunningHub, path: str, offered: tuple[str, ...], chosen: str | None
) -> None:
    odd = b'{ "t":"perf_update", "v":2,"ts":1767225600, "sid":"canton-mcp-o1","tool":"t","exec_ms":1e1,'
    odd += b'"success":true,"x":"\xc3\xa9\\u00e9" }'

    async def use(ws: aiohttp.ClientWebSocketResponse) -> tuple[str | None, str, bool]:
        await sent(hub, odd)
        while True:
            message = await ws.receive()
            assert message.type == WSMsgType.TEXT
            if "canton-mcp-o1" in message.data:
                return ws.protocol, message.data, bool(ws.compress)

    protocol, text, compressed = connected(hub, path, use, protocols=offered, compress=15)
    assert (protocol, compressed) == (chosen, False)
    assert text.encode() == odd


def test_what_is_relayed_and_what_is_not(hub: RunningHub) -> None:
    flagged = discover("canton-mcp-v1", "t", does="x" * 300)
    unknown = {"v": 3, "t": "ping", "ts": 1767225600, "sid": "canton-mcp-v1", "msg": "hello"}
    signature = {"input": "Text", "output": "Text", "cost": 1}
    broken = {
        "v": 3,
        "t": "composite_capability",
        "ts": 1767225600,
        "agent_id": "agent-7f3a",
        "composite_id": "c",
        "chain": [],
        "signature": signature,
    }
    end = perf_update("canton-mcp-v1", "end")

    async def use(ws: aiohttp.ClientWebSocketResponse) -> list[str]:
        await sent(hub, flagged, unknown, broken, b"rubbish", end)
        got: list[str] = []
        while not got or '"tool":"end"' not in got[-1]:
            got.append((await ws.receive()).data)
        return [text for text in got if "-v1" in text or "agent-7f3a" in text]

    assert connected(hub, "/raw", use) == [encoded(m).decode() for m in (flagged, unknown, end)]


def test_late_joiners_get_the_last_discover_of_each_tool(hub: RunningHub) -> None:
    old, new = discover("canton-mcp-l1", "t", does="old"), discover("canton-mcp-l1", "t", does="new")
    hub.send(old, new)

    async def use(ws: aiohttp.ClientWebSocketResponse) -> list[str]:
        await sent(hub, perf_update("canton-mcp-l1", "end"))
        got: list[str] = []
        while not got or '"tool":"end"' not in got[-1]:
            got.append((await ws.receive()).data)
        return [text for text in got if "canton-mcp-l1" in text and "semantic" in text]

    assert connected(hub, "/raw", use) == [encoded(new).decode()]


def test_reports_are_pushed_and_follow_a_new_filter(hub: RunningHub) -> None:
    hub.send(hub.call("canton-mcp-s1"), hub.call("canton-mcp-s2"))

    async def use(ws: aiohttp.ClientWebSocketResponse) -> list[Any]:
        first = json.loads((await ws.receive()).data)
        second = json.loads((await ws.receive()).data)
        await ws.send_str("nonsense")
        await ws.send_json({"window": "9m"})
        await ws.send_json({"window": "1h", "sid": ["canton-mcp-s2"], "tool": []})
        while True:
            last = json.loads((await ws.receive()).data)
            if last.get("window") == "1h":
                return [first, second, last]

    first, second, last = connected(hub, "/ws/stats?window=5m&sid=canton-mcp-s1", use)
    assert first["filters"]["sid"] == ["canton-mcp-s1"]
    assert second["at"] > first["at"]
    assert last["filters"]["sid"] == ["canton-mcp-s2"]


def test_clients_with_the_same_filter_share_one_computation() -> None:
    made: list[str] = []

    def compute(now: float, window: Any, sids: frozenset[str], tools: frozenset[str]) -> dict[str, Any]:
        made.append(window)
        return {"window": window}

    async def work() -> list[bytes]:
        reports = Reports(compute)
        same = [reports.get(Filter("5m")) for _ in range(20)]
        return await asyncio.gather(*same, reports.get(Filter("1h")))

    answers = asyncio.run(work())
    assert sorted(made) == ["1h", "5m"]
    assert len(set(answers)) == 2


def test_a_client_that_keeps_changing_its_filter_waits_in_one_place() -> None:
    made: list[str] = []

    def compute(now: float, window: Any, sids: frozenset[str], tools: frozenset[str]) -> dict[str, Any]:
        made.append(*sids)
        return {"sids": [*sids]}

    async def work() -> int:
        clients = Clients()
        pushes = Pushes(clients, Reports(compute))
        client: Any = object()
        pushes._send = lambda *sent: None  # type: ignore[method-assign,assignment]
        for number in range(500):
            pushes.join(client, Filter("5m", frozenset({f"s{number}"})))
        waiting = len(pushes._tasks)
        while pushes._tasks:
            await asyncio.sleep(0)
        return waiting

    assert asyncio.run(work()) == 1
    assert made == ["s499"]


def test_the_live_tail_starts_with_the_last_lines_and_follows(hub: RunningHub) -> None:
    sid = "canton-mcp-w1"
    hub.send(hub.call(sid, "first", ctx={"args": {"a": "secret"}}), hub.call("canton-mcp-w2", "other"))

    async def use(ws: aiohttp.ClientWebSocketResponse) -> list[Any]:
        got = [json.loads((await ws.receive()).data)]
        await sent(hub, hub.call("canton-mcp-w2", "other"), b"rubbish", hub.call(sid, "second"))
        return [*got, json.loads((await ws.receive()).data)]

    lines = connected(hub, f"/ws/tail?sid={sid}", use)
    assert [line["message"]["tool"] for line in lines] == ["first", "second"]
    assert lines[0]["message"]["ctx"]["args"] == "hidden"


def test_a_flood_is_told_to_the_tail_as_a_number(hub: RunningHub) -> None:
    sid = "canton-mcp-f1"

    async def use(ws: aiohttp.ClientWebSocketResponse) -> tuple[int, int]:
        await sent(hub, *(hub.call(sid) for _ in range(400)))
        lines = skipped = 0
        while lines + skipped < 400:
            line = json.loads((await ws.receive()).data)
            skipped += line.get("skipped", 0)
            lines += "message" in line
        return lines, skipped

    lines, skipped = connected(hub, f"/ws/tail?sid={sid}", use)
    assert lines + skipped == 400
    assert skipped >= 100


def test_a_ping_of_the_client_is_answered(hub: RunningHub) -> None:
    async def use(ws: aiohttp.ClientWebSocketResponse) -> Any:
        await ws.ping(b"are you there")
        while True:
            message = await ws.receive()
            if message.type == WSMsgType.PONG:
                return message.data

    assert connected(hub, "/raw", use, autoping=False) == b"are you there"


def test_a_hub_that_stops_says_so(tmp_path: Path) -> None:
    running = spawn_hub(tmp_path).wait_ready()

    async def use(ws: aiohttp.ClientWebSocketResponse) -> int | None:
        running.process.terminate()
        while (await ws.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING):
            pass
        return ws.close_code

    try:
        assert connected(running, "/raw", use) == 1001
        assert running.process.wait(timeout=20) == 0
    finally:
        running.stop()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 70_000])
def test_frames_of_every_length_are_read_as_they_were(size: int) -> None:
    payload = b"x" * size

    async def work() -> list[bytes]:
        async def serve(request: aiohttp.web.Request) -> aiohttp.web.WebSocketResponse:
            ws = aiohttp.web.WebSocketResponse(compress=False)
            await ws.prepare(request)
            assert request.transport is not None
            request.transport.write(text_frame(payload) * 2)
            await ws.receive()
            return ws

        app = aiohttp.web.Application()
        app.router.add_get("/", serve)
        runner = aiohttp.web.AppRunner(app)
        await runner.setup()
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(f"http://{runner.addresses[0][0]}:{runner.addresses[0][1]}/") as ws,
            ):
                return [(await ws.receive_str()).encode(), (await ws.receive_str()).encode()]
        finally:
            await runner.cleanup()

    assert asyncio.run(work()) == [payload, payload]


# Other hubs


def test_valid_messages_go_upstream_unmodified_and_to_nobody_else(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
        upstream.bind(("127.0.0.1", 0))
        upstream.settimeout(10)
        target = f"127.0.0.1:{upstream.getsockname()[1]}"
        running = spawn_hub(tmp_path, DCAP_HUB_UPSTREAMS=target).wait_ready()
        odd = b' {"v":2, "t":"perf_update","ts":1,"sid":"canton-mcp-u","tool":"t","exec_ms":1,"success":true}'
        try:
            running.send(b"rubbish", odd)
            assert upstream.recv(2048) == odd
        finally:
            running.stop()


def test_an_address_is_in_use_from_the_first_message_on() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
        upstream.bind(("127.0.0.1", 0))
        upstream.settimeout(10)
        upstreams = Upstreams([("127.0.0.1", upstream.getsockname()[1])], 1)
        upstreams.offer(b"first", "192.0.2.1", 0.0)
        assert upstream.recv(2048) == b"first"
        upstreams.close()


def test_a_hub_never_sends_to_itself_nor_round_in_circles() -> None:
    async def resolved(targets: list[tuple[str, int]], own_port: int) -> Upstreams:
        upstreams = Upstreams(targets, own_port)
        await upstreams.resolve()
        return upstreams

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        itself = asyncio.run(resolved([("127.0.0.1", port)], port))
        itself.offer(b"x", "127.0.0.1", 0.0)
        assert (itself.sent, itself.held_back) == (0, 0)
        neighbour = asyncio.run(resolved([("127.0.0.1", port)], 1))
        for _ in range(50):
            neighbour.offer(b"the same", "192.0.2.1", 0.0)
        assert (neighbour.sent, neighbour.held_back) == (20, 30)
        neighbour.offer(b"the same", "192.0.2.1", 11.0)
        assert neighbour.sent == 21
        neighbour.close()


def test_an_upstream_without_an_address_holds_up_no_other() -> None:
    async def work() -> Upstreams:
        targets = [("no-such-hub.invalid", 9), ("127.0.0.1", port), ("localhost", port), ("x" * 64, 9)]
        upstreams = Upstreams(targets, 1)
        await upstreams.resolve()
        upstreams.offer(b"x", "192.0.2.1", 0.0)
        return upstreams

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(10)
        port = other.getsockname()[1]
        upstreams = asyncio.run(work())
        assert other.recv(10) == b"x"
        assert upstreams.failed == 0
        upstreams.close()


def test_what_came_from_an_upstream_is_not_sent_back() -> None:
    upstreams = Upstreams([("192.0.2.1", 10191)], 1)
    upstreams._addresses = [("192.0.2.1", 10191)]
    upstreams.offer(b"x", "192.0.2.1", 0.0)
    assert (upstreams.sent, upstreams.failed, upstreams.held_back) == (0, 0, 1)
