"""The hub's core: what is counted, what is refused, and what the report makes of it."""

from __future__ import annotations

import json
import math
import random
import socket
from dataclasses import replace
from typing import Any

import pytest
from canton_mcp.dcap.reading import Message, Rejected
from canton_mcp.hub import histogram
from canton_mcp.hub.collector import MAX_SIDS, MAX_TOOLS, Collector
from canton_mcp.hub.expected import Expected
from canton_mcp.hub.loss import Numbers
from canton_mcp.hub.report import report
from canton_mcp.hub.settings import HubSettings
from canton_mcp.hub.statistics import WINDOWS, Cell, Series, wilson
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = 1_800_000_000.0
HOME = "127.0.0.1"
STRANGER = "198.51.100.7"
FLEET = tuple(
    Expected(
        f"canton-mcp-{n}", f"canton-mcp-server-{n}", f"demo-{n}", 7283 + n, f"http://192.0.2.{n}:{7283 + n}"
    )
    for n in (1, 2, 3)
)


def call(sid: str = "canton-mcp-1", tool: str = "t", ms: float = 5, ok: bool = True, **more: Any) -> bytes:
    """A perf_update; further arguments go into its context, or over its fields when they are in capitals."""
    fields = {name.lower(): value for name, value in more.items() if name.isupper()}
    context = {name: value for name, value in more.items() if not name.isupper()}
    message = {
        "v": 2,
        "t": "perf_update",
        "ts": int(NOW),
        "sid": sid,
        "tool": tool,
        "exec_ms": ms,
        "success": ok,
    }
    return json.dumps(message | fields | ({"ctx": context} if context else {})).encode()


def discover(sid: str = "canton-mcp-1", tool: str = "t", **more: Any) -> bytes:
    message = {
        "v": 2,
        "t": "semantic_discover",
        "ts": int(NOW),
        "sid": sid,
        "tool": tool,
        "does": "x",
        "when": ["y"],
    }
    connector: dict[str, Any] = {"transport": "http", "endpoint": "http://192.0.2.1:7284/mcp"}
    connector |= {"auth": {"type": "none", "required": False}, "protocol": {"type": "mcp"}}
    return json.dumps(message | {"connector": connector} | more).encode()


def hub(expected: tuple[Expected, ...] = (), **options: Any) -> Collector:
    return Collector(HubSettings(**options), expected, NOW)


def feed(collector: Collector, data: bytes, at: float = NOW, address: str = HOME) -> str:
    """Sends one datagram; "" when it was accepted, else the reason."""
    answer = collector.receive(data, address, at)
    return answer.reason if isinstance(answer, Rejected) else ""


def whats(shown: dict[str, Any]) -> list[str]:
    return [one["what"] for one in shown["headlines"]]


# --- histograms and windows ------------------------------------------------------------------------------


@given(st.lists(st.floats(0.0101, 86_400_000), min_size=1, max_size=200), st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_quantiles_are_within_three_percent(values: list[float], point: float) -> None:
    buckets: histogram.Buckets = {}
    for value in values:
        histogram.add(buckets, {histogram.bucket(value): 1})
    true = sorted(values)[max(1, math.ceil(len(values) * point)) - 1]
    (shown,) = histogram.quantiles(buckets, (point,))
    assert shown is not None and abs(shown - true) <= 0.03 * true


counts = st.dictionaries(st.integers(0, 393), st.integers(1, 10**9), max_size=60)


@given(counts, counts)
@settings(max_examples=200, deadline=None)
def test_histograms_add_subtract_and_pack(one: dict[int, int], other: dict[int, int]) -> None:
    both = dict(one)
    histogram.add(both, other)
    assert both == histogram.merged([one, other])
    assert sum(both.values()) == sum(one.values()) + sum(other.values())
    assert histogram.unpack(histogram.pack(both)) == both
    histogram.subtract(both, other)
    assert both == one


@pytest.mark.parametrize("packed", [b"\x01", b"\x81", b"\x01\x81", b"\xff\xff\x7f\x01"])
def test_bytes_that_are_no_histogram(packed: bytes) -> None:
    with pytest.raises(ValueError, match="histogram"):
        histogram.unpack(packed)


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 5000)), max_size=60))
@settings(max_examples=100, deadline=None)
def test_a_window_holds_exactly_its_pieces(calls: list[tuple[int, int]]) -> None:
    """Against a plain list of all calls, with gaps of any length and a slot 100,000 slots in."""
    series, slot, made = Series(100_000), 100_000, []
    for gap, ms in calls:
        slot += gap
        series.advance(slot)
        cell = series.open
        cell.calls += 1
        cell.total_ms += ms
        histogram.add(cell.buckets, {histogram.bucket(ms): 1})
        made.append((slot, ms))
    for window in WINDOWS.values():
        first = slot // window.slots - 29
        inside = [(at, ms) for at, ms in made if at // window.slots >= first]
        total = series.total(window)
        assert total.calls == len(inside) == sum(total.buckets.values())
        assert total.total_ms == pytest.approx(sum(ms for _, ms in inside))
        pieces = sum(piece.calls for piece in series.pieces(window)) + series.part(window).calls
        assert pieces == len(inside)
    assert series.everything().calls == len(made)


@given(
    st.dictionaries(st.integers(0, 393), st.integers(1, 50), max_size=30),
    st.integers(100_000, 200_000),
    st.integers(1, 4000),
)
@settings(max_examples=100, deadline=None)
def test_stored_calls_are_spread_without_gain_or_loss(
    buckets: dict[int, int], start: int, seconds: int
) -> None:
    cell = Cell()
    cell.buckets, cell.calls = dict(buckets), sum(buckets.values())
    cell.errors, cell.total_ms, cell.marks = cell.calls // 3, cell.calls * 1.5, {"code:x": 7, "cost:E": 1.5}
    now = start + seconds
    for window in WINDOWS.values():
        series = Series(now // 10)
        series.restore([(window, start, now, cell)], None)
        total = series.total(window)
        if seconds > window.seconds * 0.9:
            continue  # it reaches beyond the window
        assert (total.calls, total.errors, total.buckets, total.marks) == (
            cell.calls,
            cell.errors,
            cell.buckets,
            cell.marks,
        )
        assert total.total_ms == pytest.approx(cell.total_ms)
        assert all(piece.calls == sum(piece.cell().buckets.values()) for piece in series.pieces(window))
    assert cell.calls == sum(buckets.values())


def test_wilson_tells_three_of_three_from_many() -> None:
    assert wilson(1, 3)[0] < 0.07 and wilson(300, 900)[0] > 0.30
    assert wilson(0, 0) == (0.0, 1.0)


# --- accounting ------------------------------------------------------------------------------------------

TRAPS = (
    b"",
    b"\xff",
    b"[1]",
    b"[" * 1472,
    b"{" * 100,
    b'{"v":1}',
    b'{"v":2}',
    b'{"v":2,"t":"perf_update"}',
    b"x" * 1500,
    call(ms=1e400),
    call(EXEC_MS=True),
    call(SID=5),
    call(sid="\x1b[31mred"),
    call(tool="<script>"),
    call(seq=1, boot="b"),
    call(seq=-1, boot="b"),
    call(seq=7, boot=9),
    call(invocation_id="one"),
    call(COST_PAID=-5),
    call(COST_PAID=5, CURRENCY="\u202eUSDC"),
    discover(),
    discover(proven_by={"uses": "many"}),
    b'{"v":3,"t":"ping","ts":1,"sid":"zoo-server-1"}',
    b'{"v":3,"t":"ping","ts":1,"agent_id":"agent-12"}',
    b'{"v":3,"t":"error_pattern","ts":1,"sid":"canton-mcp-9","tool":"t","error_type":"E","frequency":4}',
    b'{"v":3,"t":"composite_capability","ts":1,"agent_id":"agent-12","composite_id":"c","chain":[],"signature":{}}',
    b'{"v":3,"t":"usage_receipt","ts":1,"agent_id":"agent-12","tool":"t","tool_sid":"s","success":true,"exec_ms":1}',
)


@given(
    st.lists(
        st.tuples(
            st.one_of(st.sampled_from(TRAPS), st.binary(max_size=60)),
            st.sampled_from([HOME, STRANGER, "2001:db8::1", "nonsense"]),
            st.floats(-5, 900),
        ),
        max_size=120,
    )
)
@settings(max_examples=150, deadline=None)
def test_every_datagram_is_in_exactly_one_count(sent: list[tuple[bytes, str, float]]) -> None:
    collector = hub(rate=7)
    refused: dict[str, int] = {}
    accepted = 0
    for data, address, after in sent:
        if reason := feed(collector, data, NOW + after, address):
            refused[reason] = refused.get(reason, 0) + 1
        else:
            accepted += 1
    assert collector.received == len(sent)
    assert {name: n for name, n in collector.rejected.items() if n} == refused
    assert collector.accepted == accepted == sum(collector.received_by.values())
    sources = list(collector.limits.sources())
    assert sum(one.received for one in sources) == len(sent)
    assert sum(one.rejected + one.limited for one in sources) == sum(refused.values())
    for window in WINDOWS:
        json.dumps(report(collector, NOW + 900, window), allow_nan=False)


def test_identical_calls_both_count_and_repeated_datagrams_once() -> None:
    collector = hub()
    assert [feed(collector, call(ms=2)) for _ in range(2)] == ["", ""]
    numbered = call(ms=2, seq=5, boot="b")
    assert [feed(collector, numbered) for _ in range(2)] == ["", "duplicate"]
    named = call(invocation_id="0b8f")
    assert [feed(collector, named) for _ in range(2)] == ["", "duplicate"]
    assert report(collector, NOW)["fleet"]["calls"] == 4


def test_text_from_the_wire_is_scrubbed() -> None:
    collector = hub()
    feed(collector, call(sid="\x1b[31mred", tool="a\u202eb", ok=False, error_code="x\x07y"))
    shown = report(collector, NOW)
    assert shown["servers"][0]["sid"] == "[31mred"
    assert shown["errors"][0]["tool"] == "ab" and shown["errors"][0]["error_code"] == "xy"


# --- limits ----------------------------------------------------------------------------------------------


def test_unknown_senders_are_limited_and_trusted_ones_are_not() -> None:
    collector = hub()
    outcomes = [feed(collector, call(ms=n), NOW + n * 0.001, STRANGER) for n in range(300)]
    assert outcomes.count("") == 100 and outcomes.count("rate_limited") == 200
    assert all(feed(collector, call(ms=n), NOW + n * 0.001) == "" for n in range(3000))
    minute_later = [feed(collector, call(ms=n), NOW + 61, STRANGER) for n in range(150)]
    assert minute_later.count("") == 100
    assert [s for s in report(collector, NOW + 61)["quality"]["sources"] if s["address"] == STRANGER] == [
        {"address": STRANGER, "sid": "canton-mcp-1", "received": 450, "rejected": 0, "rate_limited": 250}
    ]


@pytest.mark.parametrize("trusted", [True, False])
def test_three_servers_behind_one_address_have_their_shares_or_their_drops_shown(trusted: bool) -> None:
    """A thousand calls a minute together, two of four by the first."""
    collector, address = hub(), "127.0.0.1" if trusted else STRANGER
    order = ["canton-mcp-1", "canton-mcp-2", "canton-mcp-1", "canton-mcp-3"]
    for n in range(1000):
        feed(collector, call(sid=order[n % 4], ms=n), NOW + n * 0.06, address)
    shown = report(collector, NOW + 60)
    counted = {server["sid"]: server["calls"] for server in shown["servers"]}
    dropped = {source["sid"]: source["rate_limited"] for source in shown["quality"]["sources"]}
    sent = {"canton-mcp-1": 500, "canton-mcp-2": 250, "canton-mcp-3": 250}
    assert {sid: counted[sid] + dropped[sid] for sid in sent} == sent
    if trusted:
        assert {server["sid"]: server["load_share"] for server in shown["servers"]} == {
            "canton-mcp-1": 0.5, "canton-mcp-2": 0.25, "canton-mcp-3": 0.25,
        }  # fmt: skip
    else:
        assert min(dropped.values()) > 0
        assert sum("sends more than it may" in line["what"] for line in shown["headlines"]) == 3


def test_announcements_have_a_budget_of_their_own() -> None:
    collector = hub()
    for n in range(300):
        feed(collector, call(ms=n), NOW, STRANGER)
    assert feed(collector, discover(), NOW, STRANGER) == ""


def test_a_server_at_its_own_address_is_trusted_and_elsewhere_it_is_not() -> None:
    collector = hub(FLEET)
    at_home = [feed(collector, call(ms=n), NOW, "192.0.2.1") for n in range(500)]
    forged = [feed(collector, call(ms=n), NOW, "192.0.2.99") for n in range(500)]
    assert at_home.count("") == 500 and forged.count("") == 100


def test_a_flood_of_invented_sids_takes_nothing_from_the_fleet() -> None:
    collector = hub(FLEET)
    now = NOW
    for n in range(30_000):
        now += 0.0001
        feed(collector, call(sid=f"made-up-{n}"), now, f"203.0.113.{n % 250}")
        if n % 100 == 0:
            assert feed(collector, call(ms=n), now, "192.0.2.1") == ""
    assert len(collector.servers) <= MAX_SIDS
    assert report(collector, now)["servers"][0]["expected"]
    assert collector.servers["canton-mcp-1"].series.everything().calls == 300
    assert collector.rejected["rate_limited"] > 0 and collector.rejected["sid_cap"] > 0
    assert len(list(collector.limits.sources())) < 8400


def test_tables_stay_bounded() -> None:
    collector = hub(trusted_rate=100_000_000)
    for n in range(MAX_SIDS + 50):
        feed(collector, call(sid=f"server-{n:03d}"), NOW)
    for n in range(MAX_TOOLS + 50):
        feed(collector, call(sid="server-000", tool=f"tool-{n}"), NOW)
        feed(
            collector,
            call(sid="server-001", ok=False, error_code=f"code-{n}", COST_PAID=1, CURRENCY=f"C{n}"),
            NOW,
        )
        feed(collector, call(sid="server-002", seq=1, boot=f"boot-{n}"), NOW)
        pattern = json.loads(call(sid="server-003")) | {"t": "error_pattern", "error": f"E{n}"}
        feed(collector, json.dumps(pattern).encode(), NOW)
    assert collector.rejected["sid_cap"] == 50
    assert len(collector.servers["server-000"].tools) == MAX_TOOLS + 1
    assert collector.servers["server-000"].tools["other"].series.everything().calls == 51
    codes = [one for one in report(collector, NOW)["errors"] if one["sid"] == "server-001"]
    assert len(codes) == 17 and sum(one["count"] for one in codes) == MAX_TOOLS + 50
    assert len([one for one in report(collector, NOW)["cost"] if one["sid"] == "server-001"]) == 17
    assert len(collector.servers["server-002"].boots) == 8
    assert len(collector.servers["server-003"].patterns) == 20
    # Room is made by strangers that went silent, not by those that speak.
    assert feed(collector, call(sid="server-late"), NOW + 60) == "sid_cap"
    assert feed(collector, call(sid="server-late"), NOW + 1000) == ""


# --- loss ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.20])
def test_injected_loss_is_reported(share: float) -> None:
    """Two boots, reordering and duplicates; the figure is within half a point of what was taken away."""
    dice = random.Random(7)
    collector = hub(trusted_rate=100_000_000)
    sent = kept = 0
    for boot in ("aaaa", "bbbb"):
        arriving = []
        for seq in range(1, 5001):
            sent += 1
            if dice.random() >= share:
                kept += 1
                place = seq + dice.choice((0, 0, 0, 3.5))
                arriving.append((place, call(ms=seq, seq=seq, boot=boot)))
                if dice.random() < 0.05:
                    arriving.append((place + 1, arriving[-1][1]))
        for _, data in sorted(arriving):
            feed(collector, data)
    shown = report(collector, NOW)
    true = 1 - kept / sent
    assert shown["fleet"]["calls"] == kept and collector.rejected["duplicate"] > 0
    assert abs(shown["servers"][0]["loss_ratio"] - true) < 0.005
    assert any("do not arrive" in what for what in whats(shown)) == (share >= 0.05 or true > 0.01)


def test_loss_is_unknown_without_numbers() -> None:
    collector = hub()
    feed(collector, call())
    assert report(collector, NOW)["servers"][0]["loss_ratio"] is None


def test_loss_by_the_servers_own_count() -> None:
    collector = hub()
    feed(collector, discover(proven_by={"uses": 10}))
    for n in range(90):
        feed(collector, call(ms=n))
    feed(collector, discover(proven_by={"uses": 110}), NOW + 60)
    assert report(collector, NOW + 60)["servers"][0]["loss_ratio"] == 0.1


def test_refused_messages_are_not_lost() -> None:
    collector = hub(rate=10)
    for seq in range(1, 101):
        feed(collector, call(seq=seq, boot="b"), NOW, STRANGER)
    shown = report(collector, NOW)
    assert shown["quality"]["rejected"]["rate_limited"] == 90
    assert shown["servers"][0]["loss_ratio"] == 0 and shown["servers"][0]["calls"] == 10


def test_numbers_that_begin_anew_are_no_loss() -> None:
    numbers = Numbers(1, hash("1"), NOW)
    assert sum(numbers.take(n, hash(str(n)), NOW) or 0 for n in range(2, 1000)) == 0
    again = [numbers.take(n, hash(f"again {n}"), NOW) for n in range(1, 1000)]
    assert None not in again and sum(filter(None, again)) == 0
    wrapped = Numbers(2**53 - 1, 1, NOW)
    assert [wrapped.take(n, n, NOW) for n in (0, 1, 2, 3)] == [0, 0, 0, 0]
    garbage = Numbers(1, 1, NOW)
    assert [garbage.take(n, n, NOW) for n in (2, 10**15, 3, 4)] == [0, 0, 0, 0]
    silence = Numbers(1, 1, NOW)
    assert sum(silence.take(n, n, NOW) or 0 for n in (2, 50_002, 50_003)) == 50_000 - 1


# --- the report ------------------------------------------------------------------------------------------


def test_states_and_who_is_missed() -> None:
    entries = [Expected(e.sid, e.name, e.host, e.port, e.url, 60.0) for e in FLEET]
    collector = hub(tuple(entries))
    for second in range(0, 340, 10):
        feed(collector, call("canton-mcp-1"), NOW + second)
        if second < 200:
            feed(collector, call("canton-mcp-2"), NOW + second)
    shown = report(collector, NOW + 339)
    assert [(one["sid"], one["state"]) for one in shown["servers"]] == [
        ("canton-mcp-3", "never"),  # for longer than it may be quiet
        ("canton-mcp-1", "up"),
        ("canton-mcp-2", "up"),
    ]
    shown = report(collector, NOW + 341)
    assert {one["sid"]: one["state"] for one in shown["servers"]}["canton-mcp-2"] == "silent"
    silent = next(one for one in shown["headlines"] if one["sid"] == "canton-mcp-2")
    assert (silent["severity"], silent["what"]) == ("critical", "canton-mcp-2 is silent")
    assert silent["do"].startswith("systemctl status canton-mcp@7285 on demo-2")
    assert shown["fleet"] | {"servers": 3, "expected": 3, "up": 1, "silent": 1, "never": 1} == shown["fleet"]


def test_a_hub_that_just_started_accuses_nobody() -> None:
    collector = hub(FLEET)
    shown = report(collector, NOW + 1)
    assert {one["severity"] for one in shown["headlines"]} == {"info"}
    assert {one["state"] for one in shown["servers"]} == {"never"}
    assert {one["severity"] for one in report(collector, NOW + 800)["headlines"]} == {"critical"}


def test_the_period_is_learnt_from_announcements() -> None:
    collector = hub()
    for round_ in range(6):
        for tool in ("a", "b"):
            feed(collector, discover(tool=tool), NOW + round_ * 20)
    server = report(collector, NOW + 101)["servers"][0]
    assert (server["state"], server["silent_after_seconds"]) == ("idle", 60)
    assert report(collector, NOW + 161)["servers"][0]["state"] == "silent"


def test_small_numbers_make_no_headline() -> None:
    collector = hub()
    for sid in ("canton-mcp-1", "canton-mcp-2", "canton-mcp-3"):
        for n in range(3):
            feed(collector, call(sid, ms=900 if sid.endswith("3") else 3, ok=n > 0))
    assert report(collector, NOW + 5)["headlines"] == []


def test_a_failing_server_is_named_with_its_tool_and_code() -> None:
    collector = hub(FLEET)
    for n in range(200):
        for entry in FLEET:
            bad = entry.sid == "canton-mcp-2" and n % 2 == 0
            feed(
                collector,
                call(entry.sid, "daml_reason", ms=10, ok=not bad, error_code="timeout" if bad else "-"),
            )
    shown = report(collector, NOW + 5)
    first = shown["headlines"][0]
    assert (first["severity"], first["sid"]) == ("critical", "canton-mcp-2")
    assert first["what"] == "50 % of calls to canton-mcp-2 fail"
    assert "daml_reason, timeout" in first["detail"] and "canton-mcp@7285" in first["do"]
    assert shown["servers"][0]["sid"] == "canton-mcp-2"
    assert shown["servers"][0]["error_low"] < 0.5 < shown["servers"][0]["error_high"]
    assert len(shown["headlines"]) == 1


def test_slow_uneven_skewed_and_lossy_servers() -> None:
    collector = hub()
    for n in range(400):
        for sid, times in (("canton-mcp-1", 4), ("canton-mcp-2", 1), ("canton-mcp-3", 1)):
            for _ in range(times):
                ms = 40 + n % 20 + (200 if sid.endswith("2") else 0)
                feed(collector, call(sid, "slow", ms=ms, TS=int(NOW) - (90 if sid.endswith("3") else 0)))
    shown = report(collector, NOW + 2)
    assert "slow is slow on canton-mcp-2" in whats(shown)
    assert "canton-mcp-1 gets 67 % of the calls" in whats(shown)
    assert "The clock of canton-mcp-3 is 90 s behind" in whats(shown)
    assert shown["fleet"]["imbalance"] == 2.0
    kinds = {one["kind"] for one in shown["bottlenecks"]}
    assert {"slow_on_server", "top_tool"} <= kinds
    assert {one["sid"] for one in shown["bottlenecks"] if one["kind"] == "slow_on_server"} == {"canton-mcp-2"}


def test_a_tool_that_became_slow() -> None:
    collector = hub()
    for n in range(1000):
        feed(collector, call(ms=50 + n % 10), NOW + n)
    for n in range(100):
        feed(collector, call(ms=500 + n % 10), NOW + 5000 + n)
    shown = report(collector, NOW + 5100)
    assert "t on canton-mcp-1 became slow" in whats(shown)
    assert [one["kind"] for one in shown["bottlenecks"]] == ["slower_than_before", "top_tool"]


def test_a_server_whose_tools_are_all_slow_is_one_line() -> None:
    collector = hub()
    for n in range(200):
        for sid in ("canton-mcp-1", "canton-mcp-2", "canton-mcp-3"):
            for tool in ("a", "b", "c"):
                feed(collector, call(sid, tool, ms=(500 if sid.endswith("2") else 50) + n % 7))
    shown = report(collector, NOW + 2)
    assert whats(shown) == ["3 tools are slow on canton-mcp-2"]
    assert shown["servers"][0]["sid"] == "canton-mcp-2"


def test_a_fault_of_all_servers_does_not_fill_the_page() -> None:
    fleet = tuple(Expected(f"canton-mcp-{n}", port=7000 + n, host="demo-1") for n in range(1, 51))
    shown = report(hub(fleet), NOW + 1000)
    assert len(shown["headlines"]) == 6
    assert shown["headlines"][-1]["what"].startswith("45 more of the same: canton-mcp-6, canton-mcp-7")


def test_two_processes_under_one_sid_and_restarts() -> None:
    collector = hub()
    for n in range(60):
        feed(collector, call(seq=n + 1, boot="aaaa", ms=n), NOW + n)
        feed(collector, call(seq=n + 1, boot="bbbb", ms=n), NOW + n, "127.0.0.2")
    assert "2 processes send as canton-mcp-1" in whats(report(collector, NOW + 60))
    restarted = hub()
    for boot in range(5):
        for n in range(10):
            feed(
                restarted,
                call(seq=n + 1, boot=f"boot{boot}", ms=n, TS=int(NOW) + boot * 30 + n),
                NOW + boot * 30 + n,
            )
    told = whats(report(restarted, NOW + 140))
    assert told == ["canton-mcp-1 started 4 times in 5 min"]


def test_filters_choose_what_is_shown_but_compare_with_all() -> None:
    collector = hub()
    for n in range(60):
        for sid in ("canton-mcp-1", "canton-mcp-2"):
            for tool in ("a", "b"):
                feed(collector, call(sid, tool, ms=10 if tool == "a" else 30), NOW + n)
    shown = report(collector, NOW + 60, "5m", frozenset({"canton-mcp-2"}), frozenset({"b"}))
    assert [one["sid"] for one in shown["servers"]] == ["canton-mcp-2"]
    assert (shown["servers"][0]["calls"], shown["servers"][0]["load_share"]) == (60, 0.5)
    assert shown["servers"][0]["p95_ms"] == pytest.approx(30, rel=0.03)
    assert [one["tool"] for one in shown["compare"]] == ["b"]
    assert sum(shown["series"]["calls"]["canton-mcp-2"]) == 60 == sum(shown["servers"][0]["spark"])
    assert {p for p in shown["series"]["p95_ms"]["canton-mcp-2"] if p is not None} == {
        shown["servers"][0]["p95_ms"]
    }
    assert shown["known"] == {"sids": ["canton-mcp-1", "canton-mcp-2"], "tools": ["a", "b"]}


def test_cost_is_summed_per_currency() -> None:
    collector = hub()
    for currency, paid in (("USDC", 2500), ("USDC", 100), ("ETH", 10**18), ("CC", 7)):
        feed(collector, call(COST_PAID=paid, CURRENCY=currency))
    assert {(one["currency"], one["amount"], one["decimals"]) for one in report(collector, NOW)["cost"]} == {
        ("USDC", 2600, 6),
        ("ETH", 10**18, 18),
        ("CC", 7, None),
    }


def test_a_new_inventory_takes_effect_at_once() -> None:
    collector = hub(FLEET[:1])
    feed(collector, call("canton-mcp-2"))
    assert [one["expected"] for one in report(collector, NOW)["servers"]] == [True, False]
    collector.expect(FLEET)
    assert report(collector, NOW)["fleet"]["expected"] == 3
    collector.expect(FLEET[1:2])
    assert [one["sid"] for one in report(collector, NOW)["servers"]] == ["canton-mcp-2"]


def test_announcements_are_kept_as_they_came() -> None:
    collector = hub()
    first, second = discover(does="first é"), discover(does="second")
    feed(collector, first)
    feed(collector, discover(tool="u"))
    feed(collector, second, NOW + 60)
    assert collector.discovers() == [second, discover(tool="u")]


def test_composites_that_do_not_fit_are_refused() -> None:
    collector = hub()
    step = {"tool_sid": "s1", "tool": "a", "signature": {"input": "Text", "output": "JSON", "cost": 1}}
    message = {"v": 3, "t": "composite_capability", "ts": 1, "agent_id": "agent-7f3a", "composite_id": "c"}
    good = message | {"chain": [step], "signature": step["signature"]}
    bad = message | {"chain": [step], "signature": {"input": "Text", "output": "JSON", "cost": 2}}
    assert [feed(collector, json.dumps(one).encode()) for one in (good, bad)] == ["", "composite"]
    assert collector.servers == {}


def test_messages_over_a_real_socket() -> None:
    collector = hub()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inbox,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outbox,
    ):
        inbox.bind((HOME, 0))
        inbox.settimeout(5)
        for data in (call(ms=7), b"\x00" * 9000):
            outbox.sendto(data, inbox.getsockname())
            received, source = inbox.recvfrom(65535)
            collector.receive(received, source[0], NOW)
    assert collector.accepted == 1 and collector.rejected["oversize"] == 1


def test_a_clock_that_steps_back_breaks_nothing() -> None:
    collector = hub()
    for second in (0, 500, 20, 510):
        feed(collector, call(ms=second), NOW + second)
        shown = report(collector, NOW + second)
    assert shown["fleet"]["calls"] == 3 == sum(shown["servers"][0]["spark"])


def test_cells_forget_what_rounding_leaves() -> None:
    cell, part = Cell(), Cell()
    for value in (0.1, 0.2, 0.3):
        part.calls, part.total_ms, part.marks = 1, value, {"cost:X": value}
        cell.add(part)
    for value in (0.1, 0.2, 0.3):
        part.total_ms, part.marks = value, {"cost:X": value}
        cell.subtract(part)
    assert not cell and cell.total_ms == 0 and isinstance(hub().receive(call(), HOME, NOW), Message)


def test_a_server_that_left_the_inventory_is_no_longer_missed() -> None:
    collector = hub(FLEET[:2])
    for sid in ("canton-mcp-1", "canton-mcp-2"):
        feed(collector, discover(sid))
    collector.expect(FLEET[:1], NOW)
    later = NOW + 3600
    feed(collector, discover("canton-mcp-1"), later)
    found = report(collector, later)
    assert [one["sid"] for one in found["servers"]] == ["canton-mcp-1"]
    assert (found["fleet"]["servers"], found["fleet"]["silent"]) == (1, 0)
    assert not any("canton-mcp-2" in one["what"] for one in found["headlines"])


def test_a_server_that_was_just_declared_has_its_time_to_speak() -> None:
    collector = hub(FLEET[:1])
    later = NOW + 86_400
    collector.expect(FLEET[:2], later)
    bound = next(one for one in report(collector, later)["servers"] if one["sid"] == "canton-mcp-2")
    assert bound["waited_for"] and bound["state"] == "never"
    told = {
        after: [
            one["severity"]
            for one in report(collector, later + after)["headlines"]
            if one["sid"] == "canton-mcp-2"
        ]
        for after in (1, bound["silent_after_seconds"] + 1)
    }
    assert list(told.values()) == [["info"], ["critical"]]


def test_no_message_stretches_the_bound_that_the_inventory_sets() -> None:
    collector = hub((replace(FLEET[0], discover_interval_sec=20),))
    feed(collector, discover("canton-mcp-1", ctx={"discover_interval_sec": 86_400, "boot": "b"}))
    assert report(collector, NOW)["servers"][0]["silent_after_seconds"] == 60
