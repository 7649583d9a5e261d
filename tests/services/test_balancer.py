"""The fleet's balancer: a real HAProxy with the configuration that the roles write, and real servers behind it."""

from __future__ import annotations

import ctypes
import re
import secrets
import socket
import struct
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import report
from balancing import Backend, Balancer, fleet_config, running
from processes import until

MODERN = ("MCP-Protocol-Version", "2026-07-28")
LEGACY = ("MCP-Protocol-Version", "2025-11-25")
LISTEN = ("Mcp-Method", "subscriptions/listen")
BACKENDS = ("mcp_servers", "mcp_servers_listen", "mcp_servers_session")
SESSIONS = [secrets.token_urlsafe(90) for _ in range(120)]


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Backend]]:
    started = [Backend() for _ in range(3)]
    yield started
    for server in started:
        server.close()


@pytest.fixture(scope="module")
def text(servers: list[Backend], tmp_path_factory: pytest.TempPathFactory) -> str:
    return fleet_config(tmp_path_factory.mktemp("fleet"), *({"port": server.port} for server in servers))


@pytest.fixture(scope="module")
def shared(servers: list[Backend], text: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balancer]:
    with running(tmp_path_factory.mktemp("balancer"), text, len(servers)) as balancer:
        yield balancer


@pytest.fixture
def balancer(shared: Balancer, servers: list[Backend]) -> Iterator[Balancer]:
    """The balancer with all servers up, which answer every request."""
    for server in servers:
        server.requests.clear()
    yield shared
    for server in servers:
        server.mode, server.ready = "answer", 200
    shared.ask("set server mcp_servers/canton-mcp-1 state ready")
    until(lambda: shared.statuses()["mcp_servers"] == ["UP"] * len(servers))


def served(balancer: Balancer, *headers: tuple[str, str]) -> int:
    """The port of the server that answers a request."""
    status, answer = balancer.send(*headers)
    assert status == 200
    port: int = answer["port"]
    return port


# -- what may be sent twice ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "replayed"),
    [
        ([MODERN], False),
        ([MODERN, ("Mcp-Method", "server/discover")], True),
        ([MODERN, ("Mcp-Method", "tools/list")], True),
        ([MODERN, ("Mcp-Method", "resources/list")], True),
        ([MODERN, ("Mcp-Method", "resources/templates/list")], True),
        ([MODERN, ("Mcp-Method", "resources/read")], True),
        ([MODERN, ("Mcp-Method", "prompts/list")], True),
        ([MODERN, ("Mcp-Method", "prompts/get")], True),
        ([MODERN, ("Mcp-Method", "completion/complete")], True),
        ([MODERN, LISTEN], True),
        ([MODERN, ("Mcp-Method", "tools/list,tools/call")], False),
        ([MODERN, ("Mcp-Method", "tools/call")], False),
        ([MODERN, ("Mcp-Method", "tools/call"), ("Mcp-Name", "validate_daml_business_logic")], True),
        ([MODERN, ("Mcp-Method", "tools/call"), ("Mcp-Name", "transfer_money")], False),
        ([MODERN, ("Mcp-Name", "validate_daml_business_logic")], False),
        ([MODERN, ("Mcp-Method", "notifications/x"), ("Mcp-Name", "validate_daml_business_logic")], False),
        # Servers of other versions do not compare these headers with the body.
        ([("Mcp-Method", "tools/list")], False),
        ([LEGACY, ("Mcp-Method", "tools/list")], False),
        ([LEGACY, LISTEN], False),
        ([("MCP-Protocol-Version", "2026-07-27"), ("Mcp-Method", "tools/list")], False),
        ([("MCP-Protocol-Version", "2027-01-05"), ("Mcp-Method", "tools/list")], True),
        ([("MCP-Protocol-Version", "99999999"), ("Mcp-Method", "tools/list")], False),
        ([("MCP-Protocol-Version", "2026-07-28, 2025-11-25"), ("Mcp-Method", "tools/list")], False),
        ([LEGACY, ("Mcp-Session-Id", "abc"), ("Mcp-Method", "tools/list")], False),
    ],
)
def test_a_lost_answer_is_asked_for_again_only_where_that_is_safe(
    balancer: Balancer, servers: list[Backend], headers: list[tuple[str, str]], replayed: bool
) -> None:
    for server in servers:
        server.mode = "lose"
    status, _ = balancer.send(*headers)
    assert status == 502
    assert sum(len(server.requests) for server in servers) == (4 if replayed else 1)  # `retries 3`


# -- streams ---------------------------------------------------------------------------------------------


def test_a_listener_goes_to_a_server_that_has_a_stream_left(
    balancer: Balancer, servers: list[Backend]
) -> None:
    servers[0].mode = servers[1].mode = "refuse"
    assert {served(balancer, MODERN, LISTEN) for _ in range(9)} == {servers[2].port}
    assert servers[0].requests and servers[1].requests


def test_a_listener_is_told_when_all_streams_are_in_use(balancer: Balancer, servers: list[Backend]) -> None:
    for server in servers:
        server.mode = "refuse"
    status, answer = balancer.send(MODERN, LISTEN)
    assert status == 503 and answer["port"] in [server.port for server in servers]
    assert sum(len(server.requests) for server in servers) == 4


@pytest.mark.parametrize("headers", [[MODERN, ("Mcp-Method", "tools/list")], [LEGACY, LISTEN], [LISTEN]])
def test_nothing_else_is_sent_on_because_a_server_refused(
    balancer: Balancer, servers: list[Backend], headers: list[tuple[str, str]]
) -> None:
    for server in servers:
        server.mode = "refuse"
    assert balancer.send(*headers)[0] == 503
    assert sum(len(server.requests) for server in servers) == 1


def opened(balancer: Balancer, *headers: tuple[str, str]) -> tuple[socket.socket, int]:
    """A stream whose first event has come, and the server that sends it."""
    client = socket.create_connection(("127.0.0.1", balancer.port), timeout=20)
    lines = ["POST /mcp HTTP/1.1", "Host: x", "Content-Length: 2", *(f"{n}: {v}" for n, v in headers)]
    client.sendall("\r\n".join([*lines, "", "{}"]).encode())
    received = b""
    while b"\n\n" not in received:
        received += client.recv(4096)
    found = re.search(rb"data: (\d+)", received)
    assert found is not None, received
    return client, int(found[1])


def test_streams_are_spread_by_the_number_of_those_that_are_open(
    balancer: Balancer, servers: list[Backend]
) -> None:
    for server in servers:
        server.mode = "silent"
    streams = [opened(balancer, MODERN, LISTEN) for _ in range(6)]
    assert sorted(Counter(port for _, port in streams).values()) == [2, 2, 2]
    ends = [stream for stream in streams if stream[1] == streams[0][1]]
    streams = [stream for stream in streams if stream not in ends]
    left = sum(server.left for server in servers)
    for client, _ in ends:
        client.close()
    until(lambda: sum(server.left for server in servers) == left + len(ends))
    until(lambda: sum(map(int, balancer.statuses("scur")["mcp_servers_listen"])) == len(streams))
    streams += [opened(balancer, MODERN, LISTEN) for _ in ends]
    assert sorted(Counter(port for _, port in streams).values()) == [2, 2, 2]
    for client, _ in streams:
        client.close()


@pytest.mark.parametrize(
    "headers",
    [[MODERN, LISTEN], [MODERN, ("Mcp-Method", "tools/call")], [LEGACY, ("Mcp-Session-Id", "abc")]],
    ids=BACKENDS[1:] + BACKENDS[:1],
)
def test_a_client_that_leaves_is_noticed_by_a_server_that_says_nothing(
    balancer: Balancer, servers: list[Backend], headers: list[tuple[str, str]]
) -> None:
    for server in servers:
        server.mode = "silent"
    client, port = opened(balancer, *headers)
    (server,) = (server for server in servers if server.port == port)
    before = server.left
    client.close()
    until(lambda: server.left == before + 1)


def deaf(client: socket.socket) -> None:
    """The machine of this client has gone: nothing that arrives is acknowledged any more (socket(7))."""
    nothing = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # return 0: keep no byte of it
    so_attach_filter = 26
    program = struct.pack("HL", 1, ctypes.addressof(nothing))
    client.setsockopt(socket.SOL_SOCKET, so_attach_filter, program)


def test_a_client_that_vanishes_gives_its_stream_back(
    servers: list[Backend], text: str, tmp_path: Path
) -> None:
    hasty = text.replace(" tcp-ut 30s", " tcp-ut 1s")
    assert hasty != text
    for server in servers:
        server.mode = "ping"
    try:
        with running(tmp_path / "hasty", hasty, len(servers)) as balancer:
            client, port = opened(balancer, MODERN, LISTEN)
            (server,) = (server for server in servers if server.port == port)
            before = server.left
            deaf(client)
            until(lambda: server.left == before + 1)
            client.close()
    finally:
        for server in servers:
            server.mode = "answer"


def test_events_are_not_held_back(text: str) -> None:
    for name in BACKENDS:
        _, _, backend = text.partition(f"\nbackend {name}\n")
        assert "    option http-no-delay\n" in backend.split("\n\n")[0]  # else up to 0.2 s, measured


# -- sessions --------------------------------------------------------------------------------------------


def test_a_session_stays_with_a_server_on_every_balancer(
    balancer: Balancer, servers: list[Backend], text: str, tmp_path: Path
) -> None:
    pinned = {session: served(balancer, LEGACY, ("Mcp-Session-Id", session)) for session in SESSIONS}
    assert set(Counter(pinned.values())) == {server.port for server in servers}
    with running(tmp_path / "other", text, len(servers)) as other:
        for _ in range(2):
            assert pinned == {session: served(other, ("Mcp-Session-Id", session)) for session in SESSIONS}
        assert pinned == {session: served(balancer, ("Mcp-Session-Id", session)) for session in SESSIONS}


def test_a_server_more_moves_only_the_sessions_that_it_takes(
    balancer: Balancer, servers: list[Backend], tmp_path: Path
) -> None:
    pinned = {session: served(balancer, ("Mcp-Session-Id", session)) for session in SESSIONS}
    fourth = Backend()
    declared = [{"port": server.port, "number": number} for number, server in enumerate(servers, 1)]
    (tmp_path / "render").mkdir()
    wider = fleet_config(tmp_path / "render", {"port": fourth.port, "number": 4}, *declared)
    with running(tmp_path / "wider", wider, 4) as other:
        now = {session: served(other, ("Mcp-Session-Id", session)) for session in SESSIONS}
    fourth.close()
    moved = {port for session, port in now.items() if port != pinned[session]}
    assert moved == {fourth.port}
    assert Counter(now.values())[fourth.port] < len(SESSIONS) / 2


def test_a_modern_request_has_no_session(balancer: Balancer, servers: list[Backend]) -> None:
    ports = {served(balancer, MODERN, ("Mcp-Session-Id", "abc")) for _ in range(6)}
    assert ports == {server.port for server in servers}


def test_a_session_whose_server_is_lost_is_served_by_another(
    balancer: Balancer, servers: list[Backend]
) -> None:
    before = {session: served(balancer, ("Mcp-Session-Id", session)) for session in SESSIONS}
    servers[0].ready = 500
    until(lambda: balancer.statuses()["mcp_servers"][0] == "DOWN")
    after = {session: served(balancer, ("Mcp-Session-Id", session)) for session in SESSIONS}
    stayed = {session for session, port in before.items() if port != servers[0].port}
    assert {session for session in SESSIONS if before[session] == after[session]} == stayed


@pytest.mark.parametrize("kind", [[MODERN], [MODERN, LISTEN], [LEGACY]], ids=BACKENDS)
def test_a_server_that_has_just_died_costs_no_request(
    servers: list[Backend], text: str, tmp_path: Path, kind: list[tuple[str, str]]
) -> None:
    doomed = Backend()
    text = text.replace(f":{servers[0].port}", f":{doomed.port}")
    blind = text.replace("inter 1s fastinter 500ms", "inter 1h fastinter 1h")  # no check finds it out
    assert blind != text
    with running(tmp_path / "other", blind, len(servers)) as other:
        until(lambda: other.statuses("check_status")["mcp_servers"][0] == "L7OK")  # once, and no more
        doomed.close()
        answered = {served(other, *kind, ("Mcp-Session-Id", session)) for session in SESSIONS[:40]}
        assert other.health[1]["servers_up"] == len(servers)
    assert answered == {server.port for server in servers[1:]}


# -- headers ---------------------------------------------------------------------------------------------

MANY = [(f"Mcp-Param-{'x' * 150}{number}", "1") for number in range(80)]


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ([MODERN, MODERN], "mcp-protocol-version"),
        ([MODERN, LEGACY], "mcp-protocol-version"),
        ([MODERN, ("Mcp-Method", "tools/list"), ("mcp-method", "tools/call")], "mcp-method"),
        ([MODERN, ("Mcp-Name", "a"), ("X-Other", "1"), ("Mcp-Name", "b")], "mcp-name"),
        ([("Mcp-Session-Id", "a"), ("Mcp-Session-Id", "a")], "mcp-session-id"),
        ([("Mcp-Param-Region", "eu"), ("MCP-PARAM-REGION", "us"), ("Z", "1")], "mcp-param-region"),
        ([("Mcp-Param-", "eu"), ("Mcp-Param-", "us")], "mcp-param-"),
        ([*MANY, ("A", "1"), MANY[0]], MANY[0][0].lower()),
        ([*MANY, MANY[-1]], MANY[-1][0].lower()),
    ],
)
def test_a_header_that_comes_twice_is_refused(
    balancer: Balancer, servers: list[Backend], headers: list[tuple[str, str]], name: str
) -> None:
    status, answer = balancer.send(*headers)
    message = f"Header mismatch: {name} is sent more than once"
    assert status == 400
    assert answer == {"jsonrpc": "2.0", "id": None, "error": {"code": -32020, "message": message}}
    assert [server.requests for server in servers] == [[], [], []]


def test_other_headers_arrive_as_they_were_sent(balancer: Balancer, servers: list[Backend]) -> None:
    sent = [
        MODERN,
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", "a, b"),
        ("Mcp-Param-Region", "=?base64?4oKs?="),
        ("Mcp-Param-Region-2", "x, y"),
        ("Mcp-Param-Reg", "\xff"),
        ("X-Mcp-Name", "one"),
        ("X-Mcp-Name", "two"),
        *MANY,
    ]
    status, answer = balancer.send(*sent)
    assert status == 200
    (headers,) = (server.requests for server in servers if server.port == answer["port"])
    for name, value in sent:
        assert (name.lower(), value) in headers[0]


def test_long_headers_arrive(balancer: Balancer, servers: list[Backend]) -> None:
    longest = "x" * 8100  # a line of 8190 is what servers take
    sent = [MODERN, *((f"Mcp-{name}", longest) for name in ("Name", "Param-A", "Param-B"))]
    status, answer = balancer.send(*sent)
    (headers,) = (server.requests for server in servers if server.port == answer["port"])
    assert status == 200 and headers[0].count(("mcp-param-b", longest)) == 1
    assert balancer.send(*sent, ("Mcp-Param-C", longest))[0] == 400


def test_a_request_that_fits_into_a_buffer_can_be_sent_again(
    balancer: Balancer, servers: list[Backend]
) -> None:
    servers[0].mode = servers[1].mode = "lose"
    read = [MODERN, ("Mcp-Method", "tools/list")]
    assert [balancer.send(*read, body=b"x" * 30_000)[0] for _ in range(6)] == [200] * 6
    assert 502 in [balancer.send(*read, body=b"x" * 40_000)[0] for _ in range(6)]


# -- health ----------------------------------------------------------------------------------------------


def test_a_server_is_checked_once_for_all_backends(balancer: Balancer) -> None:
    tracked = [f"mcp_servers/canton-mcp-{number}" for number in (1, 2, 3)]
    assert balancer.statuses("tracked") == dict(zip(BACKENDS, [["", "", ""], tracked, tracked], strict=True))
    checks = balancer.statuses("check_status")
    assert set(checks["mcp_servers"]) == {"L7OK"}
    assert checks["mcp_servers_listen"] == checks["mcp_servers_session"] == ["", "", ""]
    assert balancer.health == (200, {"status": "healthy", "servers_up": 3})


@pytest.mark.parametrize(("answer", "status"), [(404, "NOLB"), (500, "DOWN")])
def test_a_server_that_is_not_ready_is_left_alone_by_all_backends(
    balancer: Balancer, servers: list[Backend], answer: int, status: str
) -> None:
    servers[0].ready = answer
    until(lambda: balancer.statuses()["mcp_servers"][0] == status)
    assert balancer.statuses() == {name: [status, "UP", "UP"] for name in BACKENDS}
    assert left_alone(balancer) == {servers[0].port}
    assert balancer.health == (200, {"status": "healthy", "servers_up": 2})


@pytest.mark.parametrize("state", ["drain", "maint"])
def test_an_operator_takes_a_server_out_of_all_backends_even_over_a_reload(
    balancer: Balancer, servers: list[Backend], text: str, tmp_path: Path, state: str
) -> None:
    balancer.ask(f"set server mcp_servers/canton-mcp-1 state {state}")
    assert left_alone(balancer) == {servers[0].port}
    (tmp_path / "next").mkdir()
    (tmp_path / "next/state").write_text(balancer.ask("show servers state"))
    with running(tmp_path / "next", text, 2) as reloaded:
        statuses = reloaded.statuses().values()
        assert [[word.split()[0] for word in backend] for backend in statuses] == 3 * [
            [state.upper(), "UP", "UP"]
        ]
        assert left_alone(reloaded) == {servers[0].port}
        reloaded.ask("set server mcp_servers/canton-mcp-1 state ready")
        until(lambda: left_alone(reloaded) == set())


def left_alone(balancer: Balancer) -> set[int]:
    """The servers that get no request, whatever its kind."""
    kinds = [[MODERN], [MODERN, LISTEN], *([("Mcp-Session-Id", session)] for session in SESSIONS)]
    answered = [{served(balancer, *kind) for _ in range(6)} for kind in kinds[:2]]
    answered.append({served(balancer, *kind) for kind in kinds[2:]})
    rows = re.findall(r"^\d+ mcp_servers .* (\d+) - 0 ", balancer.ask("show servers state"), re.MULTILINE)
    assert answered[0] == answered[1] == answered[2]
    return set(map(int, rows)) - answered[0]


def test_the_health_counts_each_server_once(balancer: Balancer, servers: list[Backend]) -> None:
    for number, server in enumerate(servers, 1):
        server.ready = 500
        up = len(servers) - number
        until(lambda up=up: balancer.health[1]["servers_up"] == up)  # type: ignore[misc]
    assert balancer.health == (503, {"status": "unhealthy", "servers_up": 0})
    assert [balancer.send(*headers)[0] for headers in ([], [MODERN, LISTEN], [("Mcp-Session-Id", "a")])] == [
        503
    ] * 3


def test_the_table_of_the_fleet_shows_each_server_once(balancer: Balancer) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{balancer.statistics_port}/;csv", timeout=10) as answer:
        content = answer.read().decode()
    hostvars = {"lb": {"canton_statistics": {"content": content}}}
    assert report.report_rotations(["lb"], hostvars, "mcp_servers") == [
        {"canton-mcp-1": "UP", "canton-mcp-2": "UP", "canton-mcp-3": "UP"}
    ]


# -- the rest --------------------------------------------------------------------------------------------


def test_other_paths_are_refused_by_the_balancer_itself(balancer: Balancer, servers: list[Backend]) -> None:
    refusal = {"error": "not found here; this balancer serves /mcp"}
    assert balancer.send(path="/mcpx") == (404, refusal)
    assert [server.requests for server in servers] == [[], [], []]
    assert balancer.send(path="/mcp/sub")[0] == 200


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_every_method_reaches_the_servers(balancer: Balancer, method: str) -> None:
    assert balancer.send(("Mcp-Session-Id", "abc"), method=method)[0] == 200


def test_statistics_and_metrics_are_on_their_port(balancer: Balancer) -> None:
    for path, word in (("metrics", b"haproxy_backend_status"), (";csv", b"mcp_servers,canton-mcp-2,")):
        url = f"http://127.0.0.1:{balancer.statistics_port}/{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert word in answer.read()
