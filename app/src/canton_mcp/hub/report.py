"""The report that the page, the terminal and the interface show: the fleet at a glance, for one window."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from typing import Any

from canton_mcp.dcap.message import clean_text
from canton_mcp.hub import histogram
from canton_mcp.hub.collector import Collector
from canton_mcp.hub.headlines import headlines
from canton_mcp.hub.histogram import Counts
from canton_mcp.hub.limits import Source
from canton_mcp.hub.servers import Pattern, Server
from canton_mcp.hub.statistics import (
    PIECES,
    POINTS,
    SLOT_SECONDS,
    WINDOWS,
    Drawn,
    Reading,
    Series,
    Tally,
    Window,
    wilson,
)
from canton_mcp.hub.view import FEW, SLOWER, Fleet, Pair, Row, natural

__all__ = ["report"]

_DECIMALS = {"USDC": 6, "ETH": 18}
"""Digits after the point of a currency; others are shown in their smallest unit."""
_MAX_BOTTLENECKS = 20
_MAX_SOURCES = 50
_FAILING = 0.05
_MAX_ERRORS = 200
_BUSY = 1.5
"""Times the even share."""
_BUSY_CALLS = 1.0
"""Calls under way on average: below that nobody waits."""
_SEVERITY = {"critical": 1, "warning": 2, "info": 3}
_NONE = 4


def report(
    collector: Collector,
    now: float,
    window: str = "5m",
    sids: frozenset[str] = frozenset(),
    tools: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Everything for one window: "5m", "1h" or "24h". Empty `sids` and `tools` stand for all.

    Servers are always compared with all others, whatever is shown of them. Times are milliseconds unless
    named, numbers null when unknown. Raises KeyError for another window.
    """
    span = WINDOWS[window]
    now = collector.advance(now)
    fleet = _fleet(collector, now, span, tools)
    news = [
        one for one in headlines(collector, fleet) if not sids or one["sid"] in sids or one["sid"] is None
    ]
    worst: dict[str, int] = {}
    for one in news:
        if one["sid"] is not None:
            worst[one["sid"]] = min(worst.get(one["sid"], 9), _SEVERITY[one["severity"]])
    rows = [row for row in fleet.rows if not sids or row.server.sid in sids]
    rows.sort(key=lambda row: (*_trouble(row, worst.get(row.server.sid, _NONE)), natural(row.server.sid)))
    pairs = [pair for pair in fleet.pairs if not sids or pair.sid in sids]
    durations = _durations(pairs)
    per_tool = _tools(pairs, durations)
    drawn = _series(fleet, rows, tools)
    return {
        "at": now,
        "since": collector.since,
        "window": window,
        "window_seconds": span.seconds,
        "filters": {"sid": sorted(sids), "tool": sorted(tools)},
        "known": {
            "sids": sorted(collector.servers, key=natural),
            "tools": sorted({name for server in collector.servers.values() for name in server.tools}),
        },
        "headlines": news,
        "fleet": _summary(fleet, rows, durations),
        "servers": [_server(row, fleet, drawn["calls"][row.server.sid]) for row in rows],
        "compare": _compare(pairs),
        "tools": per_tool,
        "bottlenecks": _bottlenecks(fleet, rows, pairs, per_tool),
        "errors": _errors(pairs),
        "patterns": _patterns(rows, tools),
        "quality": _quality(collector, sids),
        "cost": _cost(rows),
        "series": drawn,
    }


def _fleet(collector: Collector, now: float, span: Window, tools: frozenset[str]) -> Fleet:
    """The totals of all servers and their tools in the window."""
    begin = max(span.start(now), collector.since)
    elapsed = max(float(SLOT_SECONDS), now - begin)
    rows, pairs = [], []
    for server in collector.servers.values():
        own = []
        for name, tool in server.tools.items():
            if tools and name not in tools:
                continue
            if tool.series.calls(span):
                cell = tool.series.reading(span)
                own.append(Pair(server.sid, name, tool, cell, cell.p50, cell.p95, cell.p99))
        pairs += own
        whole = server.series.reading(span)
        if tools:
            # What belongs to the server and to no tool stays: numbers and losses.
            rest = whole.marks
            whole = Reading([pair.cell for pair in own])
            whole.marks = {name: n for name, n in whole.marks.items() if name.startswith("cost:")} | {
                name: n for name, n in rest.items() if not name.startswith("cost:")
            }
        state = server.state(span.start(now), now, collector.listening_since)
        if state == "silent" and server.expected is None and collector.has_inventory:
            continue  # it was taken out of the fleet, or was a stranger: nobody waits for it
        waited_for = server.waited_for(now, collector.listening_since)
        rows.append(Row(server, state, waited_for, whole, whole.p50, whole.p95, whole.p99))
    return Fleet(now, span, elapsed, rows, pairs)


def _trouble(row: Row, worst: int) -> tuple[int, float]:
    """For sorting: the missing first, then those with the worst news, then those that surely fail most."""
    missing = row.state in ("silent", "never") and worst < _SEVERITY["info"]
    low = wilson(row.cell.errors, row.cell.calls)[0]
    return (0 if missing else worst, -low if low > _FAILING else 0.0)


def _durations(pairs: list[Pair]) -> dict[str, Counts]:
    """The histogram of each tool over all servers shown."""
    found: dict[str, Counts] = {}
    for pair in pairs:
        found[pair.name] = found.get(pair.name, 0) + pair.cell.counts
    return found


def _summary(fleet: Fleet, rows: list[Row], durations: dict[str, Counts]) -> dict[str, Any]:
    calls = sum(row.cell.calls for row in rows)
    errors = sum(row.cell.errors for row in rows)
    p50, p95, p99 = histogram.shown(sum(durations.values()), POINTS)
    states = [row.state for row in rows]
    return {
        "servers": len(rows),
        "expected": sum(row.server.expected is not None for row in rows),
        **{state: states.count(state) for state in ("up", "idle", "silent", "never")},
        "calls": calls,
        "calls_per_minute": _rounded(calls * 60 / fleet.elapsed),
        "errors": errors,
        "error_ratio": _ratio(errors, calls),
        "p50_ms": _ms(p50),
        "p95_ms": _ms(p95),
        "p99_ms": _ms(p99),
        "imbalance": _rounded(fleet.imbalance),
        "loss_ratio": _loss([row.cell for row in rows])[0],
    }


def _server(row: Row, fleet: Fleet, spark: list[int]) -> dict[str, Any]:
    server, cell = row.server, row.cell
    expected = server.expected
    low, high = wilson(cell.errors, cell.calls)
    loss, lost = _loss([cell])
    seen = server.last_seen
    return {
        "sid": server.sid,
        "name": expected.name if expected else "",
        "host": expected.host if expected else "",
        "port": expected.port if expected else None,
        "url": expected.url if expected else "",
        "expected": expected is not None,
        "waited_for": row.waited_for,
        "state": row.state,
        "last_seen": seen,
        "age_seconds": None if seen is None else _rounded(max(0.0, fleet.now - seen)),
        "silent_after_seconds": _rounded(server.silent_after),
        "calls": cell.calls,
        "calls_per_minute": _rounded(cell.calls * 60 / fleet.elapsed),
        "errors": cell.errors,
        "error_ratio": _ratio(cell.errors, cell.calls),
        "error_low": _rounded(low, 4) if cell.calls else None,
        "error_high": _rounded(high, 4) if cell.calls else None,
        "p50_ms": _ms(row.p50),
        "p95_ms": _ms(row.p95),
        "p99_ms": _ms(row.p99),
        "load_share": _ratio(cell.calls, fleet.calls),
        "time_share": _ratio(cell.total_ms, fleet.total_ms),
        "concurrency": _rounded(cell.total_ms / 1000 / fleet.elapsed, 3),
        "loss_ratio": loss,
        "lost": lost,
        "skew_seconds": _rounded(server.skew, 1),
        "nonconformant": server.nonconformant,
        "spark": spark,
    }


def _series_of(server: Server, tools: frozenset[str]) -> list[Series]:
    if not tools:
        return [server.series]
    return [tool.series for name, tool in server.tools.items() if name in tools]


def _series(fleet: Fleet, rows: list[Row], tools: frozenset[str]) -> dict[str, Any]:
    calls: dict[str, list[int]] = {}
    errors: dict[str, list[int]] = {}
    p95: dict[str, list[float | None]] = {}
    for row in rows:
        sid = row.server.sid
        several = _series_of(row.server, tools)
        drawn = several[0].drawn(fleet.window) if len(several) == 1 else _drawn(several, fleet)
        calls[sid], errors[sid], p95[sid] = drawn
    return {
        "start": fleet.window.start(fleet.now),
        "step_seconds": fleet.window.step,
        "calls": calls,
        "errors": errors,
        "p95_ms": p95,
    }


def _drawn(several: list[Series], fleet: Fleet) -> Drawn:
    """Some tools of a server in one chart."""
    first = fleet.window.start(fleet.now) // fleet.window.step
    sums = [Tally() for _ in range(PIECES)]
    for series in several:
        for piece in series.pieces(fleet.window):
            sums[piece.number - first].add(piece.tally())
        sums[-1].add(series.part(fleet.window))
    return Drawn(
        [one.calls for one in sums],
        [one.errors for one in sums],
        [_ms(histogram.shown(one.counts, (0.95,))[0]) for one in sums],
    )


def _compare(pairs: list[Pair]) -> list[dict[str, Any]]:
    by_tool: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_tool.setdefault(pair.name, []).append(pair)
    return [
        {"tool": name, "cells": [_compared(pair) for pair in sorted(own, key=lambda one: natural(one.sid))]}
        for name, own in sorted(by_tool.items())
    ]


def _compared(pair: Pair) -> dict[str, Any]:
    cell = pair.cell
    return {
        "sid": pair.sid,
        "calls": cell.calls,
        "errors": cell.errors,
        "error_ratio": _ratio(cell.errors, cell.calls),
        "p50_ms": _ms(pair.p50),
        "p95_ms": _ms(pair.p95),
        "p99_ms": _ms(pair.p99),
        "few": cell.calls < FEW,
    }


def _tools(pairs: list[Pair], durations: dict[str, Counts]) -> list[dict[str, Any]]:
    by_tool: dict[str, list[Reading]] = {}
    for pair in pairs:
        by_tool.setdefault(pair.name, []).append(pair.cell)
    whole = sum(pair.cell.total_ms for pair in pairs)
    rows = [_tool(name, cells, durations[name], whole) for name, cells in by_tool.items()]
    return sorted(rows, key=lambda row: -(row["total_ms"] or 0))


def _tool(name: str, cells: list[Reading], counts: Counts, whole: float) -> dict[str, Any]:
    calls = sum(cell.calls for cell in cells)
    errors = sum(cell.errors for cell in cells)
    total_ms = sum(cell.total_ms for cell in cells)
    (p95,) = histogram.shown(counts, (0.95,))
    return {
        "tool": name,
        "calls": calls,
        "errors": errors,
        "error_ratio": _ratio(errors, calls),
        "total_ms": _rounded(total_ms),
        "time_share": _ratio(total_ms, whole),
        "p95_ms": _ms(p95),
    }


def _bottlenecks(
    fleet: Fleet, rows: list[Row], pairs: list[Pair], per_tool: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    found = [*_slow(fleet, pairs), *_busy(fleet, rows)]
    found.sort(key=lambda one: -(one["value"] / one["against"] if one["against"] else 0))
    del found[_MAX_BOTTLENECKS:]
    if per_tool and per_tool[0]["total_ms"]:
        top = per_tool[0]
        share = top["time_share"]
        found.append(
            {
                "kind": "top_tool",
                "sid": None,
                "tool": top["tool"],
                "value": top["total_ms"],
                "against": None,
                "what": f"{top['tool']} takes {_percent(share)} of all working time",
                "do": "Work on this tool first: what it saves counts most.",
            }
        )
    return found


def _slow(fleet: Fleet, pairs: list[Pair]) -> list[dict[str, Any]]:
    found = []
    for pair in pairs:
        others = fleet.others_p95(pair)
        if others and pair.p95 and pair.p95 / others > SLOWER and pair.cell.calls >= FEW:
            found.append(
                _bottleneck(
                    "slow_on_server",
                    pair,
                    others,
                    f"{pair.name} is {pair.p95 / others:.1f} times as slow on {pair.sid} as elsewhere",
                    f"Compare load and host of {pair.sid} with the others.",
                )
            )
        before = fleet.p95_before(pair)
        if before and pair.p95 and pair.p95 / before > SLOWER and pair.cell.calls >= FEW:
            found.append(
                _bottleneck(
                    "slower_than_before",
                    pair,
                    before,
                    f"{pair.name} on {pair.sid} is {pair.p95 / before:.1f} times as slow as before",
                    "Look for a release, larger requests or a busy host since then.",
                )
            )
    return found


def _bottleneck(kind: str, pair: Pair, against: float, what: str, do: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "sid": pair.sid,
        "tool": pair.name,
        "value": _ms(pair.p95),
        "against": _ms(against),
        "what": what,
        "do": do,
    }


def _busy(fleet: Fleet, rows: list[Row]) -> Iterable[dict[str, Any]]:
    count = len(fleet.sharing)
    if count < 2 or not fleet.total_ms:
        return
    for row in rows:
        under_way = row.cell.total_ms / 1000 / fleet.elapsed
        even = fleet.total_ms / 1000 / fleet.elapsed / count
        if row.cell.calls >= FEW and under_way > _BUSY * even and under_way > _BUSY_CALLS:
            sid = row.server.sid
            share = row.cell.total_ms / fleet.total_ms
            yield {
                "kind": "busy_server",
                "sid": sid,
                "tool": None,
                "value": _rounded(under_way),
                "against": _rounded(even),
                "what": f"{sid} does {_percent(share)} of all work, {under_way:.1f} calls at a time",
                "do": "Check the balancer's weights and connection affinity, or add a server.",
            }


def _errors(pairs: list[Pair]) -> list[dict[str, Any]]:
    found = [
        (int(count), pair, name[5:])
        for pair in pairs
        for name, count in pair.cell.marks.items()
        if name.startswith("code:")
    ]
    return [
        {
            "sid": pair.sid,
            "tool": pair.name,
            "error_code": code,
            "count": count,
            "ratio": _ratio(count, pair.cell.calls),
            "last_seen": pair.tool.codes.get(code),
        }
        for count, pair, code in heapq.nlargest(_MAX_ERRORS, found, key=lambda one: one[0])
    ]


def _patterns(rows: list[Row], tools: frozenset[str]) -> list[dict[str, Any]]:
    found: list[tuple[str, Pattern]] = [
        (row.server.sid, pattern)
        for row in rows
        for pattern in row.server.patterns.values()
        if not tools or pattern.tool in tools
    ]
    found.sort(key=lambda one: -one[1].last_seen)
    return [{"sid": sid, **pattern._asdict()} for sid, pattern in found[:_MAX_ERRORS]]


def _quality(collector: Collector, sids: frozenset[str]) -> dict[str, Any]:
    sources = heapq.nlargest(
        _MAX_SOURCES,
        (source for source in collector.limits.sources() if not sids or source.sid in sids),
        key=lambda source: (source.limited + source.rejected, source.received),
    )
    speakers = [(server.sid, server.flags) for server in collector.servers.values()]
    speakers += [(name, agent.flags) for name, agent in collector.agents.items()]
    flags = [
        (count, sid, flag)
        for sid, counts in speakers
        for flag, count in counts.items()
        if not sids or sid in sids
    ]
    return {
        "received": collector.received,
        "accepted": collector.accepted,
        "rejected": dict(collector.rejected),
        "kernel_drops": collector.kernel_drops,
        "sources": [_source(source) for source in sources],
        "flags": [
            {"sid": sid, "flag": flag, "count": count}
            for count, sid, flag in heapq.nlargest(_MAX_ERRORS, flags)
        ],
        "unknown_types": collector.unknown_types,
        "websocket": {"clients": collector.websocket_clients, "dropped": collector.websocket_dropped},
        "store": collector.store_state,
    }


def _source(source: Source) -> dict[str, Any]:
    return {
        "address": clean_text(source.address, 64),
        "sid": None if source.sid is None else clean_text(source.sid, 64),
        "received": source.received,
        "rejected": source.rejected,
        "rate_limited": source.limited,
    }


def _cost(rows: list[Row]) -> list[dict[str, Any]]:
    return [
        {
            "sid": row.server.sid,
            "currency": name[5:],
            "amount": amount,
            "decimals": _DECIMALS.get(name[5:]),
        }
        for row in rows
        for name, amount in row.cell.marks.items()
        if name.startswith("cost:")
    ]


def _loss(cells: Iterable[Tally]) -> tuple[float | None, int | None]:
    """The share and number of messages lost on the way; None when senders give no way to tell.

    By their numbers where messages have them, else by the difference between what servers say they counted
    and what arrived.
    """
    numbered = lost = used = used_seen = 0.0
    for cell in cells:
        numbered += cell.marks.get("numbered", 0)
        lost += cell.marks.get("lost", 0)
        if not cell.marks.get("numbered"):
            used += cell.marks.get("used", 0)
            used_seen += cell.marks.get("used_seen", 0)
    sent = numbered + max(0.0, lost) + used
    if not sent:
        return None, None
    missing = max(0.0, lost) + max(0.0, used - used_seen)
    return _rounded(missing / sent, 4), int(missing)


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def _rounded(value: float | None, digits: int = 2) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)


def _ms(value: float | None) -> float | None:
    return _rounded(value)


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{share * 100:.0f} %"
