"""The hub's UDP intake: sockets, accounting, turns, multicast; real sockets on loopback."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Iterator

import pytest
from canton_mcp.hub import intake
from canton_mcp.hub.intake import Intake, IntakeError, kernel_drops, open_sockets

LOOPBACK = "127.0.0.1"
GROUP = "239.255.77.77"


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        yield sock


class Taken:
    """What the intake handed over."""

    def __init__(self) -> None:
        self.all: list[tuple[bytes, str]] = []

    def __call__(self, data: bytes, address: str, now: float) -> None:
        self.all.append((data, address))


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def drain(sockets: list[socket.socket], handle: intake.Handle, reading: Intake | None = None) -> Intake:
    """An intake that has read all that waits in `sockets`."""
    reading = reading or Intake(sockets, handle)

    async def work() -> Intake:
        reading.start()
        await asyncio.sleep(0)
        reading.close()
        return reading

    return asyncio.run(work())


def test_datagrams_come_with_their_bytes_and_address(sender: socket.socket) -> None:
    sockets, taken = open_sockets(LOOPBACK, 0), Taken()
    largest = os.urandom(65_507)
    for data in (b"", b"one", largest):
        sender.sendto(data, (LOOPBACK, port_of(sockets[0])))
    reading = drain(sockets, taken)
    assert taken.all == [(b"", LOOPBACK), (b"one", LOOPBACK), (largest, LOOPBACK)]
    assert (reading.received, reading.faults, reading.drops()) == (3, 0, 0)


def test_any_address_of_version_6_takes_version_4_as_well(sender: socket.socket) -> None:
    sockets, taken = open_sockets("::", 0), Taken()
    sender.sendto(b"four", (LOOPBACK, port_of(sockets[0])))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six:
        six.sendto(b"six", ("::1", port_of(sockets[0])))
    drain(sockets, taken)
    assert sorted(taken.all) == [(b"four", LOOPBACK), (b"six", "::1")]


def test_what_the_kernel_drops_is_counted_to_the_last(sender: socket.socket) -> None:
    sockets, taken = open_sockets(LOOPBACK, 0), Taken()
    sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
    reading = Intake(sockets, taken)
    for number in range(1000):
        sender.sendto(b"%d" % number + bytes(400), (LOOPBACK, port_of(sockets[0])))
    drain(sockets, taken, reading)
    assert reading.drops() > 500
    assert reading.received + reading.drops() == 1000
    assert len(taken.all) == reading.received


def test_both_ways_to_learn_of_drops_agree(sender: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    sock = open_sockets(LOOPBACK, 0)[0]
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
    for _ in range(300):
        sender.sendto(bytes(400), (LOOPBACK, port_of(sock)))
    by_socket = kernel_drops(sock)
    monkeypatch.setattr(intake, "_SO_MEMINFO", 9999)  # as on a kernel that does not know it
    assert by_socket == kernel_drops(sock) != 0
    sock.close()


def test_a_flood_leaves_the_loop_its_turns(sender: socket.socket) -> None:
    sockets, taken = open_sockets(LOOPBACK, 0), Taken()
    for _ in range(1000):
        sender.sendto(b"x", (LOOPBACK, port_of(sockets[0])))

    async def work() -> list[int]:
        reading = Intake(sockets, taken)
        reading.start()
        seen = []
        while len(taken.all) < 1000:
            await asyncio.sleep(0)
            seen.append(len(taken.all))
        reading.close()
        return seen

    steps = asyncio.run(work())
    assert max(after - before for before, after in zip([0, *steps], steps, strict=False)) <= 128


def test_a_failure_of_ours_is_counted_and_the_next_datagram_is_taken(sender: socket.socket) -> None:
    sockets, taken = open_sockets(LOOPBACK, 0), Taken()

    def handle(data: bytes, address: str, now: float) -> None:
        if data == b"bad":
            raise RuntimeError("a mistake")
        taken(data, address, now)

    for data in (b"bad", b"good"):
        sender.sendto(data, (LOOPBACK, port_of(sockets[0])))
    reading = drain(sockets, handle)
    assert (reading.received, reading.faults, taken.all) == (2, 1, [(b"good", LOOPBACK)])


def test_a_buffer_of_four_mebibytes_is_asked_for() -> None:
    sock = open_sockets(LOOPBACK, 0)[0]
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    assert intake.granted_buffer(sock) > intake.granted_buffer(plain)
    sock.close()
    plain.close()


@pytest.mark.parametrize("bind", ["0.0.0.0", LOOPBACK, "::"])
def test_a_multicast_group_is_heard_beside_the_address(sender: socket.socket, bind: str) -> None:
    sockets, taken = open_sockets(bind, 0, GROUP), Taken()
    assert len(sockets) == (2 if bind == LOOPBACK else 1)
    port = port_of(sockets[0])
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, struct.pack("b", 0))  # never leaves
    sender.sendto(b"to all", (GROUP, port))
    sender.sendto(b"to one", (LOOPBACK, port))
    drain(sockets, taken)
    assert sorted(taken.all) == [(b"to all", LOOPBACK), (b"to one", LOOPBACK)]


def test_a_group_of_one_network_is_heard_on_its_interface() -> None:
    index, name = socket.if_nameindex()[0]
    group = f"ff11::77:77%{name}"  # of this machine alone
    sockets = open_sockets(LOOPBACK, 0, group)
    assert sockets[1].getsockname()[3] == index
    assert len(sockets) == 2
    for sock in sockets:
        sock.close()
    with pytest.raises(IntakeError, match="Check DCAP_HUB_UDP_BIND"):
        open_sockets("fe80::1%nosuchif", 0)


def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    first = open_sockets(LOOPBACK, 0)[0]
    with pytest.raises(IntakeError) as caught:
        open_sockets(LOOPBACK, port_of(first))
    first.close()
    assert f"UDP port {port_of_closed(caught)} on 127.0.0.1 is taken" in str(caught.value)
    assert "DCAP_HUB_UDP_PORT" in str(caught.value)
    assert "\n" not in str(caught.value)


def port_of_closed(caught: pytest.ExceptionInfo[IntakeError]) -> str:
    return str(caught.value).split()[2]


def test_a_foreign_address_is_told_in_one_line() -> None:
    with pytest.raises(IntakeError, match=r"192\.0\.2\.1 is no address of this machine"):
        open_sockets("192.0.2.1", 10191)


def test_sockets_of_an_earlier_process_are_used_again(sender: socket.socket) -> None:
    before = open_sockets(LOOPBACK, 0)
    port = port_of(before[0])
    sender.sendto(b"came between", (LOOPBACK, port))
    stray = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    after, taken = open_sockets(LOOPBACK, port, kept=[stray, *before]), Taken()
    assert after == before
    assert stray.fileno() == -1
    drain(after, taken)
    assert taken.all == [(b"came between", LOOPBACK)]


def test_sockets_for_another_address_are_not() -> None:
    before = open_sockets(LOOPBACK, 0)
    after = open_sockets(LOOPBACK, 0, kept=before)
    assert before[0].fileno() == -1
    after[0].close()


def test_drops_of_an_earlier_process_are_not_ours(sender: socket.socket) -> None:
    sock = open_sockets(LOOPBACK, 0)[0]
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 5_000)
    for _ in range(200):
        sender.sendto(bytes(400), (LOOPBACK, port_of(sock)))
    assert kernel_drops(sock)
    assert drain([sock], Taken()).drops() == 0
