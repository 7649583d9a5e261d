"""What is wrong and what to do about it, in an operator's words, the worst first.

Nothing here follows from small numbers: shares have to be wrong even at the lower end of their interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from canton_mcp.dcap.message import clean_text
from canton_mcp.hub import histogram
from canton_mcp.hub.collector import Collector
from canton_mcp.hub.limits import Source
from canton_mcp.hub.servers import Server
from canton_mcp.hub.statistics import wilson
from canton_mcp.hub.view import FEW, SLOWER, Fleet, Pair

__all__ = ["Headline", "headlines"]

Headline = dict[str, Any]
Severity = Literal["critical", "warning", "info"]

_RANK = {"critical": 0, "warning": 1, "info": 2}
_MOST = 30
_MOST_OF_KIND = 5
"""A fault that all servers share is one fault: the rest of its lines become a number."""
_ERRORS_WARN = 0.05
_ERRORS_CRITICAL = 0.25
_IMBALANCE = 1.5
_LOSS = 0.01
_SKEW_SEC = 30.0
_LEAST_SKEWS = 5
_RESTARTS = 3
_RECENT_SEC = 300.0
_MANY_REJECTED = 20
_NOTABLE_MS = 20.0
"""Nobody waits for less, however many times as slow it is."""


def headlines(collector: Collector, fleet: Fleet) -> list[Headline]:
    """The news of a window; empty when all is well."""
    groups = (
        _absent(collector, fleet),
        _failing(fleet),
        _hub(collector, fleet),
        _twins(fleet),
        _lossy(fleet),
        _slow(fleet),
        _uneven(fleet),
        _restarting(fleet),
        _skewed(fleet),
        _limited(collector, fleet),
        _rejected(collector, fleet),
        _unexpected(collector, fleet),
        _nonconformant(fleet),
    )
    found = [headline for group in groups for headline in _shortened(list(group))]
    found.sort(key=lambda one: _RANK[one["severity"]])  # stable: the groups are in order of weight
    return found[:_MOST]


def _shortened(group: list[Headline]) -> list[Headline]:
    """The worst of one kind, and how many more there are."""
    group.sort(key=lambda one: _RANK[one["severity"]])
    if len(group) <= _MOST_OF_KIND:
        return group
    kept, rest = group[:_MOST_OF_KIND], group[_MOST_OF_KIND:]
    names = [one["sid"] for one in rest if one["sid"]]
    listed = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    more = _headline(rest[0]["severity"], f"{len(rest)} more of the same: {listed or rest[0]['what']}")
    more["do"] = "Look for what these have in common: a host, a network, a release."
    return [*kept, more]


def _headline(
    severity: Severity,
    what: str,
    detail: str = "",
    do: str = "",
    sid: str | None = None,
    tool: str | None = None,
) -> Headline:
    return {"severity": severity, "sid": sid, "tool": tool, "what": what, "detail": detail, "do": do}


def _absent(collector: Collector, fleet: Fleet) -> Iterator[Headline]:
    for row in fleet.rows:
        server = row.server
        if row.state == "silent" and server.last_seen is not None:
            # Nobody has to look after a stranger.
            severity: Severity = "critical" if server.expected else "info"
            yield _headline(
                severity,
                f"{server.sid} is silent",
                f"Last heard {_ago(fleet.now - server.last_seen)}; "
                f"it should speak at least every {_span(server.silent_after)}.",
                _look_at(server),
                server.sid,
            )
        elif row.state == "never":
            waiting = row.waited_for
            yield _headline(
                "info" if waiting else "critical",
                f"{server.sid} has not spoken yet" if waiting else f"{server.sid} has never spoken",
                f"The inventory has it; this hub has listened for {_span(fleet.now - collector.listening_since)}.",
                _look_at(
                    server, "and see that DCAP_ENABLED and DCAP_MULTICAST_IP in its environment name this hub"
                ),
                server.sid,
            )


def _failing(fleet: Fleet) -> Iterator[Headline]:
    by_sid: dict[str, list[Pair]] = {}
    for pair in fleet.pairs:
        by_sid.setdefault(pair.sid, []).append(pair)
    found = []
    for row in fleet.rows:
        cell = row.cell
        low = wilson(cell.errors, cell.calls)[0]
        if cell.calls < FEW or low <= _ERRORS_WARN:
            # One broken tool drowns among others that are called more often.
            found += [
                (pair_low, _failed(row.server, pair, pair.cell.calls, pair.cell.errors, pair_low))
                for pair in by_sid.get(row.server.sid, [])
                if pair.cell.calls >= FEW
                and (pair_low := wilson(pair.cell.errors, pair.cell.calls)[0]) > _ERRORS_WARN
            ]
            continue
        worst = max(by_sid[row.server.sid], key=lambda pair: pair.cell.errors, default=None)
        found.append((low, _failed(row.server, worst, cell.calls, cell.errors, low, whole=True)))
    found.sort(key=lambda one: -one[0])
    yield from (headline for _, headline in found)


def _failed(
    server: Server, pair: Pair | None, calls: int, errors: int, low: float, whole: bool = False
) -> Headline:
    sid = server.sid
    name = pair.name if pair else "calls"
    codes = {
        mark[5:]: count
        for mark, count in (pair.cell.marks if pair else {}).items()
        if mark.startswith("code:")
    }
    code = max(codes, key=lambda one: codes[one], default="")
    subject = f"of calls to {sid} fail" if whole else f"of {name} calls on {sid} fail"
    most = f" Most of them: {name}{f', {code}' if code and code != 'none' else ''}." if whole else ""
    if not whole and code and code != "none":
        most = f" Most often: {code}."
    return _headline(
        "critical" if low > _ERRORS_CRITICAL else "warning",
        f"{_percent(errors / calls)} {subject}",
        f"{errors} of {calls} calls.{most}",
        _journal(server),
        sid,
        None if whole else name,
    )


def _hub(collector: Collector, fleet: Fleet) -> Iterator[Headline]:
    now = fleet.now
    if collector.kernel_drops and now - collector.kernel_drops_at < _RECENT_SEC:
        yield _headline(
            "warning",
            "The hub loses messages before it can read them",
            f"The kernel dropped {collector.kernel_drops} datagrams since the hub started.",
            "sysctl -w net.core.rmem_max=8388608, then systemctl restart dcap-hub; see that the host is not overloaded.",
        )
    if collector.store_problem:
        yield _headline(
            "warning",
            "History is not stored",
            clean_text(collector.store_problem, 300),
            "Check DCAP_HUB_STATE_DIR, its owner and free space: df -h; journalctl -u dcap-hub",
        )
    if collector.sid_cap_at and now - collector.sid_cap_at < _RECENT_SEC:
        yield _headline(
            "warning",
            "There are more server ids than the hub keeps",
            f"{collector.rejected['sid_cap']} messages of further ids were not counted.",
            "See the sources below: somebody may invent ids. Servers of the inventory are not affected.",
        )


def _twins(fleet: Fleet) -> Iterator[Headline]:
    for row in fleet.rows:
        server = row.server
        if (twins := server.twins(fleet.now)) > 1:
            places = sorted(place for place, at in server.addresses.items() if fleet.now - at < 60)
            yield _headline(
                "warning",
                f"{twins} processes send as {server.sid}",
                f"They send from {', '.join(places)}; their figures are mixed up here.",
                "Give each server its own id: grep DCAP_SERVER_ID /etc/canton-mcp/servers/*.env on these hosts",
                server.sid,
            )


def _lossy(fleet: Fleet) -> Iterator[Headline]:
    for row in fleet.rows:
        lost = max(0.0, row.cell.marks.get("lost", 0))
        sent = row.cell.marks.get("numbered", 0) + lost
        if sent and lost / sent > _LOSS and wilson(lost, sent)[0] > _LOSS / 2:
            yield _headline(
                "warning",
                f"{_percent(lost / sent)} of the messages of {row.server.sid} do not arrive",
                f"{lost:.0f} of {sent:.0f} are missing: the figures shown for it are too low.",
                "Check the network between its host and the hub, and dropped packets: nstat -az UdpRcvbufErrors",
                row.server.sid,
            )


def _slow(fleet: Fleet) -> Iterator[Headline]:
    """Tools that are slow against the other servers, else against their own past; one line for each server."""
    slow: dict[str, list[tuple[float, Pair, float, bool]]] = {}
    for pair in fleet.pairs:
        for against, elsewhere in ((fleet.others_p95(pair), True), (fleet.p95_before(pair), False)):
            if against is not None and _slower(pair, against):
                ratio = (pair.p95 or 0.0) / max(against, 0.01)
                slow.setdefault(pair.sid, []).append((ratio, pair, against, elsewhere))
                break
    servers = {row.server.sid: row.server for row in fleet.rows}
    for sid, found in sorted(slow.items(), key=lambda item: -max(one[0] for one in item[1])):
        ratio, pair, against, elsewhere = max(found, key=lambda one: one[0])
        server = servers[sid]
        subject = pair.name if len(found) == 1 else f"{len(found)} tools"
        verb = "is" if len(found) == 1 else "are"
        first = "" if len(found) == 1 else f"The worst is {pair.name}: "
        compared = "on the other servers" if elsewhere else "over the last day"
        yield _headline(
            "warning",
            f"{subject} {verb} slow on {sid}" if elsewhere else f"{subject} on {sid} became slow",
            f"{first}95 % within {_ms(pair.p95)}, {compared} within {_ms(against)} ({ratio:.1f} times).",
            f"Look at load and memory{_on(server)}: top; systemd-cgtop. {_journal(server)}",
            sid,
            pair.name if len(found) == 1 else None,
        )


def _slower(pair: Pair, against: float) -> bool:
    """Whether more than one call in twenty surely takes longer than the other's slowest twentieth, and then some."""
    limit = SLOWER * against
    if pair.p95 is None or pair.p95 <= limit or pair.p95 - against < _NOTABLE_MS:
        return False
    beyond = histogram.above(pair.cell.buckets, limit)
    return wilson(beyond, pair.cell.calls)[0] > 0.05


def _uneven(fleet: Fleet) -> Iterator[Headline]:
    count = len(fleet.sharing)
    imbalance = fleet.imbalance
    if imbalance is None or imbalance <= _IMBALANCE:
        return
    most = max(fleet.sharing, key=lambda row: row.cell.calls)
    calls = sum(row.cell.calls for row in fleet.sharing)
    if calls < FEW * count or wilson(most.cell.calls, calls)[0] * count <= _IMBALANCE:
        return
    yield _headline(
        "warning",
        f"{most.server.sid} gets {_percent(most.cell.calls / calls)} of the calls",
        f"An even share among {count} servers is {_percent(1 / count)}.",
        "See that all servers are in rotation: canton-mcp probe; echo 'show stat' at HAProxy's socket.",
        most.server.sid,
    )


def _restarting(fleet: Fleet) -> Iterator[Headline]:
    begin = fleet.now - fleet.window.seconds
    for row in fleet.rows:
        starts = sum(at >= begin for at in row.server.starts)
        if starts >= _RESTARTS:
            yield _headline(
                "warning",
                f"{row.server.sid} started {starts} times in {_span(fleet.window.seconds)}",
                f"The last time was {_ago(fleet.now - row.server.starts[-1])}.",
                _journal(row.server),
                row.server.sid,
            )


def _skewed(fleet: Fleet) -> Iterator[Headline]:
    for row in fleet.rows:
        skew = row.server.skew
        if skew is None or abs(skew) <= _SKEW_SEC or len(row.server.skews) < _LEAST_SKEWS:
            continue
        way = "behind" if skew > 0 else "ahead"
        yield _headline(
            "warning",
            f"The clock of {row.server.sid} is {_span(abs(skew))} {way}",
            "Against the hub's own clock, in the middle of its last messages.",
            f"timedatectl{_on(row.server)}, and on the hub",
            row.server.sid,
        )


def _limited(collector: Collector, fleet: Fleet) -> Iterator[Headline]:
    for source in _recent(collector, fleet.now, "limited"):
        sid = clean_text(source.sid, 64) if source.sid else None
        server = collector.servers.get(sid) if sid else None
        expected = server is not None and server.expected is not None
        yield _headline(
            "warning" if expected else "info",
            f"{sid or 'Somebody'} at {source.address} sends more than it may",
            f"{source.limited} messages were not counted since the hub started.",
            f"If it is one of yours, add its network to DCAP_HUB_TRUSTED_NETWORKS, for example {source.address}",
            sid if server is not None else None,
        )


def _rejected(collector: Collector, fleet: Fleet) -> Iterator[Headline]:
    for source in _recent(collector, fleet.now, "rejected"):
        sid = clean_text(source.sid, 64) if source.sid else None
        if source.rejected < _MANY_REJECTED or source.rejected < 0.01 * source.received:
            continue
        yield _headline(
            "info",
            f"{sid or 'Somebody'} at {source.address} sends what is no DCAP message",
            f"{source.rejected} of {source.received} datagrams were refused.",
            "canton-mcp dcap listen shows the reason for each, as does the live tail.",
            sid if sid in collector.servers else None,
        )


def _recent(collector: Collector, now: float, what: Literal["limited", "rejected"]) -> list[Source]:
    """The senders with the most such datagrams, of those with any in the last minutes."""
    found = [
        source
        for source in collector.limits.sources()
        if getattr(source, what) and now - getattr(source, f"{what}_at") < _RECENT_SEC
    ]
    return sorted(found, key=lambda source: -int(getattr(source, what)))


def _unexpected(collector: Collector, fleet: Fleet) -> Iterator[Headline]:
    if not collector.has_inventory:
        return  # without an inventory nobody is a stranger
    strangers = [row.server.sid for row in fleet.rows if row.server.expected is None and row.server.heard]
    if strangers:
        listed = ", ".join(sorted(strangers)[:5]) + (", …" if len(strangers) > 5 else "")
        yield _headline(
            "info",
            f"{listed}: not in the inventory",
            f"{len(strangers)} server ids that nobody declared send to this hub.",
            "Declare them in mcp_servers, or turn off what sends them.",
        )


def _nonconformant(fleet: Fleet) -> Iterator[Headline]:
    for row in fleet.rows:
        server = row.server
        # Names a little too long are common, and nobody has to act on them.
        serious = {flag: n for flag, n in server.flags.items() if not flag.endswith("_length")}
        if sum(serious.values()) >= _MANY_REJECTED:
            flag = max(serious, key=lambda one: serious[one])
            yield _headline(
                "info",
                f"{server.sid} does not keep to DCAP",
                f"{sum(serious.values())} messages beyond its limits, most often: {flag}.",
                "They are counted all the same. Tell its author.",
                server.sid,
            )


def _look_at(server: Server, more: str = "") -> str:
    expected = server.expected
    if expected is None:
        places = ", ".join(sorted(server.addresses))
        return f"It is not in the inventory{f'; it sent from {places}' if places else ''}."
    if expected.port is None:
        return f"See whether it runs{_on(server)}{f', {more}' if more else ''}."
    unit = f"canton-mcp@{expected.port}"
    return f"systemctl status {unit}{_on(server)}; journalctl -u {unit} -n 50{f'; {more}' if more else ''}"


def _journal(server: Server) -> str:
    expected = server.expected
    if expected is None or expected.port is None:
        return f"Look at the log of {server.sid}{_on(server)}."
    return f"journalctl -u canton-mcp@{expected.port} -n 50{_on(server)}"


def _on(server: Server) -> str:
    return f" on {server.expected.host}" if server.expected and server.expected.host else ""


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %" if share < 0.1 else f"{share * 100:.0f} %"


def _ms(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:.0f} ms" if value < 10_000 else f"{value / 1000:.0f} s"


def _ago(seconds: float) -> str:
    return f"{_span(seconds)} ago"


def _span(seconds: float) -> str:
    """A duration in the unit that people would use."""
    seconds = max(0.0, seconds)
    for unit, size in (("s", 1), ("min", 60), ("h", 3600), ("days", 86400)):
        limit = {"s": 120, "min": 7200, "h": 172_800}.get(unit, float("inf"))
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return ""
