"""Hostile datagrams, HTTP and WebSocket clients against a real hub: nothing stops it, everything is counted.

A hundred thousand generated datagrams by default; HUB_FUZZ_DATAGRAMS=1000000 for the long run.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import struct
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from canton_mcp.hub.relay import Clients, Relay
from hubs import RunningHub, discover, encoded, perf_update, spawn_hub

DATAGRAMS = int(os.environ.get("HUB_FUZZ_DATAGRAMS", "100000"))
SEED = int(os.environ.get("HUB_FUZZ_SEED", "20491"))
IN_FLIGHT = 1500


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    running = spawn_hub(tmp_path)
    try:
        yield running.wait_ready()
        assert running.process.poll() is None, running.log
        assert "Traceback" not in running.log, running.log
    finally:
        running.stop()
    assert running.process.returncode == 0


class Watch:
    """Asks /healthz all the time; every question must be answered."""

    def __init__(self, hub: RunningHub) -> None:
        self.answers = 0
        self.problems: list[str] = []
        self._hub = hub
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        assert self.problems == []
        assert self.answers > 0

    def _ask(self) -> None:
        while not self._end.is_set():
            try:
                with urllib.request.urlopen(f"{self._hub.url}/healthz", timeout=10) as answer:
                    assert json.load(answer)["faults"] == 0
                self.answers += 1
            except Exception as error:
                self.problems.append(repr(error))
                return
            time.sleep(0.05)


# Datagrams


class Fuzz:
    """Datagrams that are right, nearly right, and far from it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.number = 0

    def next(self) -> bytes:
        make = self.rng.choice(
            (
                self.right,
                self.right,
                self.wrong_value,
                self.wrong_value,
                self.mutated,
                self.raw,
                self.nested,
                self.agent,
            )
        )
        self.number += 1
        return make()[:65_000]

    def right(self) -> bytes:
        sid, tool = f"fuzz-{self.rng.randrange(400)}", f"tool-{self.rng.randrange(30)}"
        if self.rng.random() < 0.2:
            return encoded(discover(sid, tool))
        return encoded(perf_update(sid, tool, ctx={"seq": self.number, "boot": f"b{self.rng.randrange(4)}"}))

    def wrong_value(self) -> bytes:
        message = json.loads(self.right())
        for _ in range(self.rng.randrange(1, 3)):
            name = self.rng.choice([*message, "ctx", "cost_paid", "currency", "signature", "proven_by"])
            message[name] = self.value()
        text = json.dumps(message, ensure_ascii=self.rng.random() < 0.5, allow_nan=True)
        for mark, raw in (
            ('"@nan"', "NaN"),
            ('"@inf"', "1e400"),
            ('"@long"', "9" * 900),
            ('"@dup"', '1,"v":3,"v":2,"t":"ping"'),
        ):
            text = text.replace(mark, raw)
        return text.encode("utf-8", "surrogatepass")

    def value(self) -> Any:
        rng = self.rng
        return rng.choice(
            (
                None, True, False, 0, -1, 1e308, 2**63, 2**64, -0.0, 1767225600000, "", "x" * rng.randrange(1500),
                "\x00", "\ud800", "\u202e", "\x1b[2J", "<script>alert(1)</script>", '"}\n', [], {}, [[]], {"": {}},
                "@nan", "@inf", "@long", "@dup", [1] * 200, {"a": {"b": {"c": [None]}}}, 1.5, float("nan"), "é" * 700,
            )
        )  # fmt: skip

    def mutated(self) -> bytes:
        data = bytearray(self.right())
        for _ in range(self.rng.randrange(1, 6)):
            data[self.rng.randrange(len(data))] = self.rng.randrange(256)
        return bytes(data[: self.rng.randrange(len(data) + 1)] if self.rng.random() < 0.3 else data)

    def raw(self) -> bytes:
        rng = self.rng
        return rng.choice(
            (
                lambda: rng.randbytes(rng.randrange(1600)),
                lambda: b"[" * rng.randrange(1, 1473),
                lambda: b'{"a":' * rng.randrange(1, 290),
                lambda: (
                    self.right().decode().encode(rng.choice(("utf-16", "utf-32", "utf-8-sig", "utf-16-le")))
                ),
                lambda: self.right() + b" " * rng.randrange(2000),
                lambda: self.right() * 2,
                lambda: b"",
                lambda: b"\x00" * rng.randrange(60),
                lambda: b"1" * rng.randrange(1, 1472),
                lambda: rng.choice((b"null", b"true", b"[]", b'""', b"0", b"NaN", b"-", b"{}", b'{"v":2}')),
                lambda: rng.randbytes(8000),
            )
        )()

    def nested(self) -> bytes:
        depth = self.rng.randrange(1, 400)
        return (
            b'{"v":2,"t":"perf_update","ts":1,"sid":"fuzz-n","tool":"t","exec_ms":1,"success":true,"ctx":'
            + (b'{"a":' * depth + b"1" + b"}" * depth + b"}")
        )

    def agent(self) -> bytes:
        rng = self.rng
        kind = rng.choice(
            ("usage_receipt", "composite_capability", "composite_receipt", "error_pattern", "ping", "x" * 70)
        )
        link = {
            "tool_sid": "fuzz-1",
            "tool": "t",
            "signature": {"input": "Text", "output": "Text", "cost": 1},
        }
        step = {"tool_sid": "fuzz-1", "tool": "t", "success": True, "exec_ms": 1, "cost_paid": 1}
        message: dict[str, Any] = {
            "v": rng.choice((2, 3)), "t": kind, "ts": int(time.time()), "agent_id": f"agent-{rng.randrange(300)}",
            "sid": "fuzz-2", "tool": "t", "tool_sid": "fuzz-1", "success": True, "exec_ms": 3, "composite_id": "c",
            "chain": [link] * rng.randrange(12), "steps": [step] * rng.randrange(12), "cost_paid": 1,
            "signature": {"input": "Text", "output": rng.choice(("Text", "HTML", "Maybe<Text>")), "cost": rng.randrange(12)},
            "error_type": "E", "frequency": rng.choice((3, -1, True)),
        }  # fmt: skip
        if rng.random() < 0.4:
            message[rng.choice(list(message))] = self.value()
        return json.dumps(message).encode()


def test_every_generated_datagram_is_counted_and_nothing_stalls(hub: RunningHub) -> None:
    fuzz = Fuzz(SEED)
    started = rss(hub)
    with Watch(hub) as watch, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sent = 0
        while sent < DATAGRAMS:
            for _ in range(min(IN_FLIGHT, DATAGRAMS - sent)):
                sock.sendto(fuzz.next(), ("127.0.0.1", hub.udp_port))
                sent += 1
            hub.until(lambda: hub.counted() >= sent)  # noqa: B023
    quality = hub.report("window=24h")["quality"]
    health = hub.health()
    rejected = sum(quality["rejected"].values())
    print(
        f"\n{sent} sent, {quality['accepted']} accepted, {quality['rejected']}, {watch.answers} answers meanwhile"
    )
    assert health["datagrams"] + health["kernel_drops"] == sent
    assert quality["accepted"] + rejected == quality["received"] == health["datagrams"]
    assert health["faults"] == 0
    assert quality["accepted"] > 0
    assert (
        min(
            quality["rejected"].get(reason, 0)
            for reason in ("oversize", "not_utf8", "not_json", "not_object")
        )
        > 0
    )
    # A report and the metrics over all that, and no more memory than the caps allow, however many there were.
    assert hub.ask("/metrics").status == 200
    assert len(hub.ask("/api/tail?n=500").json["messages"]) == 500
    grown = (rss(hub) - started) / 2**20
    print(f"{grown:.0f} MiB more memory")
    assert grown < 150


def rss(hub: RunningHub) -> int:
    """Bytes of memory in use."""
    return int(Path(f"/proc/{hub.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# HTTP


def talk(hub: RunningHub, *parts: bytes) -> bytes:
    """What comes back until the hub closes, or 3 seconds of silence."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=3) as sock:
        got = b""
        try:
            for part in parts:
                sock.sendall(part)
            while more := sock.recv(65536):
                got += more
        except OSError:
            pass
        return got


HOST = b"Host: 127.0.0.1\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"".join(b"X%d: y\r\n" % n for n in range(5000)) + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST /session HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x",
        b"POST /session HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        b"POST /session HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"POST /session HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999\r\n\r\n",
        b"POST /session HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n",
        b"POST /session HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"Host: rebound.example\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"X : y\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b" folded: y\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n" + HOST + b"\r\n",
        b"GET http://rebound.example/healthz HTTP/1.1\r\nHost: rebound.example\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00" * 5000,
    ],
)  # fmt: skip
def test_malformed_requests_are_refused(hub: RunningHub, request_bytes: bytes) -> None:
    answer = talk(hub, request_bytes)
    first = answer.split(b"\r\n", 1)[0]
    assert not first or first.split()[1][:1] == b"4", first
    assert answer.count(b"HTTP/1.") <= 1  # nothing was smuggled behind it
    assert hub.ask("/healthz").status == 200


def test_slow_senders_are_cut_off_and_delay_nobody(hub: RunningHub) -> None:
    slow = [socket.create_connection(("127.0.0.1", hub.port), timeout=40) for _ in range(150)]
    heads = (b"", b"GET /healthz HTT", b"POST /session HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\n{")
    for number, sock in enumerate(slow):
        sock.sendall(heads[number % 3])
    with Watch(hub):
        for number, sock in enumerate(slow):
            answer = b""
            while more := sock.recv(4096):  # ends when the hub hangs up
                answer += more
            # A body that does not come, or one attempt to sign in too many.
            assert (answer[9:12] in (b"408", b"429")) == (number % 3 == 2), answer
            sock.close()


def test_more_connections_than_there_are_places_harm_nobody_for_long(hub: RunningHub) -> None:
    crowd = []
    for _ in range(1300):
        try:
            crowd.append(socket.create_connection(("127.0.0.1", hub.port), timeout=5))
        except OSError:
            break
    for sock in crowd:
        sock.close()
    hub.until(lambda: hub.ask("/healthz").status == 200)


# WebSocket


def websocket(hub: RunningHub, path: str = "/raw") -> socket.socket:
    """A connection that has been upgraded."""
    sock = socket.create_connection(("127.0.0.1", hub.port), timeout=20)
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    sock.sendall(f"{head}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += sock.recv(1)
    assert answer.startswith(b"HTTP/1.1 101"), answer
    assert b"permessage-deflate" not in answer
    return sock


def frame(opcode: int, payload: bytes, *, first: int | None = None, length: int | None = None) -> bytes:
    """A masked frame, honest or not."""
    size = len(payload) if length is None else length
    head = bytes([0x80 | opcode if first is None else first])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += struct.pack("!BH", 0x80 | 126, size)
    else:
        head += struct.pack("!BQ", 0x80 | 127, size)
    return head + b"\x00\x00\x00\x00" + payload


@pytest.mark.parametrize("path", ["/raw", "/ws/stats", "/ws/tail"])
@pytest.mark.parametrize(
    "data",
    [
        frame(1, b"x", length=2**62),
        frame(1, b"x" * 20_000),
        frame(1, b"\xff\xfe"),
        frame(1, b"x", first=0x01) + frame(0, b"\xff", first=0x80),
        b"".join(frame(0, b"x" * 1000, first=0x01 if n == 0 else 0x00) for n in range(100)),
        frame(1, b"x", first=0xC1),  # compressed, which was not agreed on
        frame(1, b"x", first=0xF1),
        frame(3, b""),
        frame(9, b"x" * 126),
        frame(8, b"\x00"),
        frame(8, struct.pack("!H", 1) + b"x"),
        b"".join(frame(9, b"ping") for _ in range(20_000)),
        b"".join(frame(1, b"{}") for _ in range(20_000)),
        frame(1, b"[" * 10_000) * 100,
        frame(1, b'{"sid":[' + b'"a",' * 3000 + b'"b"]}') * 100,
    ],
    ids=[
        "huge", "too long", "bad UTF-8", "bad UTF-8 in pieces", "too long in pieces", "compressed", "reserved bits",
        "unknown opcode", "long ping", "short close", "bad close", "ping flood", "text flood", "nested",
        "long filter",
    ],
)  # fmt: skip
def test_hostile_frames_end_their_own_connection_only(hub: RunningHub, path: str, data: bytes) -> None:
    with websocket(hub, "/raw") as witness, websocket(hub, path) as sock, Watch(hub):
        try:
            sock.sendall(data)
            while sock.recv(65536):
                pass  # the hub hangs up in the end
        except ConnectionError:
            pass
        hub.send(perf_update("canton-mcp-1", "witnessed"))
        assert b"witnessed" in witness.recv(65536)


def test_clients_that_die_in_the_middle_of_a_frame_are_forgotten(hub: RunningHub) -> None:
    for number in range(40):
        sock = websocket(hub, ("/raw", "/ws/stats", "/ws/tail")[number % 3])
        sock.sendall(frame(1, b"x" * 500)[:100])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()  # a reset, not a goodbye
    hub.send(perf_update("canton-mcp-1", "t"))
    hub.until(lambda: "dcap_ws_clients 0.0" in hub.ask("/metrics").body.decode())


def test_a_client_that_reads_nothing_delays_nobody_and_is_cut_off(hub: RunningHub) -> None:
    message = encoded(perf_update("canton-mcp-1", "t", pad="x" * 1200))

    async def work() -> tuple[int, float]:
        lazy = websocket(hub)  # never read
        got = 0
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{hub.url}/raw") as quick:
            for _ in range(20):
                sending = asyncio.create_task(asyncio.to_thread(hub.send, *[message] * 1000))
                for _ in range(1000):
                    assert (await quick.receive_str(timeout=20)).encode() == message
                    got += 1
                await sending
        before = rss(hub)
        await asyncio.to_thread(hub.until, lambda: 'dcap_ws_closed_total{reason="slow"} 1.0' in metrics(hub))
        lazy.close()
        return got, before

    started = rss(hub)
    got, later = asyncio.run(work())
    assert got == 20_000
    assert later - started < 64 * 1024 * 1024
    assert float(metrics(hub).partition("\ndcap_ws_dropped_total ")[2].split()[0]) > 0


def metrics(hub: RunningHub) -> str:
    return hub.ask("/metrics").body.decode()


def test_there_is_a_limit_of_clients_and_places_become_free(hub: RunningHub) -> None:
    crowd = [websocket(hub, "/ws/tail") for _ in range(200)]
    head = b"GET /raw HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    head += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: close\r\n\r\n"
    assert talk(hub, head).startswith(b"HTTP/1.1 503")
    for sock in crowd:
        sock.close()
    hub.until(lambda: "dcap_ws_clients 0.0" in metrics(hub))
    websocket(hub).close()


def test_clients_that_answer_no_ping_are_cut_off_and_others_stay() -> None:
    async def work() -> tuple[int, int]:
        clients = Clients(ping_sec=0.1)
        relay = Relay(clients, list)

        async def serve(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
            return await clients.serve(request, relay.join, relay.leave)

        app = aiohttp.web.Application()
        app.router.add_get("/", serve)
        runner = aiohttp.web.AppRunner(app)
        await runner.setup()
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
        url = "http://{}:{}/".format(*runner.addresses[0])
        try:
            async with aiohttp.ClientSession() as session:
                mute = await session.ws_connect(url, autoping=False)
                polite = await session.ws_connect(url)
                reading = asyncio.create_task(polite.receive())
                async with asyncio.timeout(20):
                    while clients.closed_silent == 0 or len(clients) > 1:
                        clients.tend(time.monotonic())
                        await asyncio.sleep(0.01)
                left, closed = len(clients), clients.closed_silent
                reading.cancel()
                await mute.close()
                await clients.close()
                return left, closed
        finally:
            await runner.cleanup()

    assert asyncio.run(work()) == (1, 1)
