"""Reports as the hub gives them, of fleets that are made up: what the page has to show, without waiting for it."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

TOOLS = (
    "validate_daml_business_logic",
    "daml_reason",
    "debug_authorization_failure",
    "suggest_authorization_pattern",
    "daml_automater",
)
NOW = 1_767_225_600.0
"""The time of all reports, Unix."""
_SLOTS = 30


def server(number: int, **changed: Any) -> dict[str, Any]:
    """One well server."""
    return {
        "sid": f"canton-mcp-{number}",
        "name": f"Canton MCP Server {number}",
        "host": "demo-1",
        "port": 7283 + number,
        "url": f"http://10.0.0.11:{7283 + number}",
        "expected": True,
        "state": "up",
        "last_seen": NOW - 2,
        "age_seconds": 2.0,
        "silent_after_seconds": 150.0,
        "calls": 400,
        "calls_per_minute": 80.0,
        "errors": 2,
        "error_ratio": 0.005,
        "error_low": 0.0014,
        "error_high": 0.018,
        "p50_ms": 12.4,
        "p95_ms": 43.0,
        "p99_ms": 88.0,
        "load_share": 0.0,
        "time_share": 0.0,
        "concurrency": 0.05,
        "loss_ratio": 0.0,
        "lost": 0,
        "skew_seconds": 0.2,
        "nonconformant": 0,
        "spark": [12 + (number * 7 + slot * 5) % 4 for slot in range(_SLOTS)],
    } | changed


def silent(number: int, seconds: float = 310.0) -> dict[str, Any]:
    """A server that has stopped."""
    gone = server(number, state="silent", last_seen=NOW - seconds, age_seconds=seconds)
    return gone | {"calls": 20, "calls_per_minute": 4.0, "spark": [14] * 8 + [0] * (_SLOTS - 8)}


def silence(number: int, minutes: int = 5) -> dict[str, Any]:
    """What the hub says of it."""
    return {
        "severity": "critical",
        "sid": f"canton-mcp-{number}",
        "tool": None,
        "what": f"canton-mcp-{number} is silent",
        "detail": f"last heard {minutes} min ago",
        "do": f"systemctl status canton-mcp@{7283 + number} on demo-1",
    }


def slowness(number: int, ratio: float = 4.2) -> dict[str, Any]:
    """A server that is slow with one tool."""
    return {
        "severity": "warning",
        "sid": f"canton-mcp-{number}",
        "tool": TOOLS[1],
        "what": f"canton-mcp-{number} is {ratio} times slower than the others with {TOOLS[1]}",
        "detail": "p95 790 ms against 188 ms",
        "do": f"journalctl -u canton-mcp@{7283 + number} --since -15min on demo-1",
    }


def report(
    servers: Iterable[dict[str, Any]] = (),
    headlines: Iterable[dict[str, Any]] = (),
    tools: Iterable[str] = TOOLS,
    slow: int | None = None,
    **changed: Any,
) -> dict[str, Any]:
    """The report of these servers, in the order given; server number `slow` is slow with the second tool."""
    shown = [dict(each) for each in servers]
    tools = tuple(tools)
    calls = sum(each["calls"] for each in shown)
    errors = sum(each["errors"] for each in shown)
    for each in shown:
        if calls:
            each["load_share"] = each["time_share"] = each["calls"] / calls
    sids = [each["sid"] for each in shown]
    states = [each["state"] for each in shown]
    fleet = {
        "servers": len(shown),
        "expected": sum(each["expected"] for each in shown),
        **{state: states.count(state) for state in ("up", "idle", "silent", "never")},
        "calls": calls,
        "calls_per_minute": calls / 5,
        "errors": errors,
        "error_ratio": errors / calls if calls else None,
        "p50_ms": 12.4 if calls else None,
        "p95_ms": 43.0 if calls else None,
        "p99_ms": 88.0 if calls else None,
        "imbalance": len(shown) * max((each["load_share"] for each in shown), default=0) if calls else None,
        "loss_ratio": 0.0 if calls else None,
    }
    return {
        "at": NOW,
        "since": NOW - 90_000,
        "window": "5m",
        "window_seconds": 300,
        "filters": {"sid": [], "tool": []},
        "known": {"sids": sids, "tools": list(tools)},
        "headlines": list(headlines),
        "fleet": fleet,
        "servers": shown,
        "compare": [
            {"tool": tool, "cells": [_cell(each, tool, at, slow) for each in shown if each["calls"]]}
            for at, tool in enumerate(tools)
        ],
        "tools": [
            {
                "tool": tool,
                "calls": calls // len(tools),
                "errors": 1,
                "error_ratio": 0.004,
                "total_ms": 40_000.0 / (at + 1),
                "time_share": 0.44 / (at + 1),
                "p95_ms": 43.0 * (at + 1),
            }
            for at, tool in enumerate(tools)
            if calls
        ],
        "bottlenecks": [],
        "errors": [],
        "patterns": [],
        "quality": {
            "received": calls + 40,
            "accepted": calls + 40,
            "rejected": {},
            "kernel_drops": 0,
            "sources": [
                {"address": "10.0.0.11", "sid": sid, "received": 420, "rejected": 0, "rate_limited": 0}
                for sid in sids
            ],
            "flags": [],
            "unknown_types": 0,
            "websocket": {"clients": 1, "dropped": 0},
            "store": {"bytes": 4_200_000, "oldest": NOW - 90_000, "committed_until": NOW - 4},
        },
        "cost": [],
        "series": _series(shown),
    } | changed


def trouble() -> dict[str, Any]:
    """Three servers, of which one has stopped and one is slow, with something in every section."""
    servers = [
        silent(2),
        server(
            3,
            errors=31,
            error_ratio=0.077,
            error_low=0.055,
            error_high=0.107,
            p95_ms=310.0,
            loss_ratio=0.021,
            lost=9,
        ),
        server(1, skew_seconds=41.0, nonconformant=3),
    ]
    quality = report(servers)["quality"]
    quality["rejected"] = {"not_json": 12, "rate_limited": 340, "oversize": 1}
    quality["kernel_drops"] = 17
    quality["flags"] = [{"sid": "canton-mcp-1", "flag": "does_length", "count": 3}]
    return report(
        servers,
        [
            silence(2),
            slowness(3),
            {
                **slowness(1),
                "severity": "info",
                "what": "the clock of canton-mcp-1 is 41 s off",
                "tool": None,
                "detail": "",
                "do": "timedatectl on demo-1",
            },
        ],
        slow=3,
        quality=quality,
        bottlenecks=[
            {
                "kind": "slow_on_server",
                "sid": "canton-mcp-3",
                "tool": TOOLS[1],
                "value": 790.0,
                "against": 188.0,
                "what": f"{TOOLS[1]} takes 790 ms (p95) on canton-mcp-3, 188 ms on the others",
                "do": "compare the load and the release of its node with the others",
            }
        ],
        errors=[
            {
                "sid": "canton-mcp-3",
                "tool": TOOLS[1],
                "error_code": "timeout",
                "count": 29,
                "ratio": 0.3,
                "last_seen": NOW - 3,
            },
            {
                "sid": "canton-mcp-1",
                "tool": TOOLS[0],
                "error_code": "invalid_params",
                "count": 2,
                "ratio": 0.02,
                "last_seen": NOW - 90,
            },
        ],
        patterns=[
            {
                "sid": "canton-mcp-3",
                "tool": TOOLS[1],
                "error_type": "CompilerTimeout",
                "frequency": 4,
                "trigger": "source text above 200 KB",
                "mitigation": "split the module and retry",
                "last_seen": NOW - 30,
            }
        ],
        cost=[{"sid": "canton-mcp-1", "currency": "USDC", "amount": 2_512_500, "decimals": 6}],
    )


def well(count: int = 3) -> dict[str, Any]:
    """So many servers, all of them well."""
    return report(server(number) for number in range(1, count + 1))


def crowd(count: int = 200, turn: int = 0) -> dict[str, Any]:
    """Many servers; figures change with each turn."""
    chance = random.Random(turn)
    servers = [silent(7), silent(99)] + [
        server(
            number,
            calls=400 + chance.randrange(40),
            calls_per_minute=80 + chance.random() * 8,
            p95_ms=40 + chance.random() * 9,
        )
        for number in range(1, count + 1)
        if number not in (7, 99)
    ]
    return report(servers, [silence(7), silence(99), slowness(42)], slow=42)


def _cell(each: dict[str, Any], tool: str, at: int, slow: int | None) -> dict[str, Any]:
    factor = (at + 1) * (4.2 if slow is not None and at == 1 and each["sid"] == f"canton-mcp-{slow}" else 1.0)
    calls = each["calls"] // 5
    return {
        "sid": each["sid"],
        "calls": calls,
        "errors": each["errors"] // 5,
        "error_ratio": each["errors"] / max(1, each["calls"]),
        "p50_ms": 12.4 * factor,
        "p95_ms": 43.0 * factor + len(each["sid"]),
        "p99_ms": 88.0 * factor,
        "few": calls < 20,
    }


def _series(servers: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "start": NOW - 300,
        "step_seconds": 10,
        "calls": {each["sid"]: list(each["spark"]) for each in servers},
        "errors": {each["sid"]: [0] * _SLOTS for each in servers},
        "p95_ms": {
            each["sid"]: [
                each["p95_ms"] * (0.8 + (slot * 7 % 5) / 10) if calls else None
                for slot, calls in enumerate(each["spark"])
            ]
            for each in servers
        },
    }
