"""Who may send how much: token buckets for each address and sid, in a table that cannot grow without end.

What an unknown sender may do is small and shared; what a trusted one may do does not depend on it, so that a
flood from outside takes nothing from the fleet.
"""

from __future__ import annotations

import heapq
import ipaddress
from collections.abc import Iterator, Sequence

from canton_mcp.hub.settings import Network

__all__ = ["Limits", "Source"]

_MAX_SOURCES = 4096
"""Of each kind, trusted and unknown."""
_MAX_ADDRESSES = 8192
_DISCOVERS_PER_MIN = 120
"""One message for each tool, 100 tools at most, in two rounds a minute."""
_STRANGERS_PER_SEC = 2000.0
"""All unknown senders together: beyond that their datagrams are not even read."""
_BURST_SEC = 10.0
"""A trusted sender may save up this much: it answers for a hub that was busy, not for a flood."""
_KEPT_OF_FULL = 0.75


class Source:
    """One sender at one address: its budget and what became of its datagrams."""

    __slots__ = (
        "address",
        "discover_tokens",
        "last_at",
        "limited",
        "limited_at",
        "received",
        "rejected",
        "rejected_at",
        "sid",
        "tokens",
        "tokens_at",
        "trusted",
    )

    def __init__(self, address: str, sid: str | None, trusted: bool, tokens: float, now: float) -> None:
        self.address = address
        self.sid = sid
        """None for datagrams that could not be read."""
        self.trusted = trusted
        self.tokens = tokens
        self.discover_tokens = float(_DISCOVERS_PER_MIN)
        self.tokens_at = now
        self.last_at = now
        self.received = self.rejected = self.limited = 0
        self.rejected_at = self.limited_at = 0.0


class Limits:
    """The budgets of all senders. Times are Unix seconds and may step back."""

    def __init__(self, rate: int, trusted_rate: int, networks: Sequence[Network]) -> None:
        self._rate = rate / 60
        self._capacity = float(max(rate, 1))
        self._trusted_rate = trusted_rate / 60
        self._trusted_capacity = max(1.0, self._trusted_rate * _BURST_SEC)
        self._networks = tuple(networks)
        self._addresses: dict[str, bool] = {}
        self._homes: dict[str, str] = {}
        self._tables: tuple[dict[tuple[str, str | None], Source], ...] = ({}, {})
        self._strangers = _STRANGERS_PER_SEC * 2
        self._strangers_at = 0.0
        self.others = Source("other", None, False, 0.0, 0.0)
        """The counts of senders that had to leave the table."""

    def expect(self, homes: dict[str, str]) -> None:
        """Trust each of these sids at the address where the inventory has it."""
        self._homes = dict(homes)
        self._addresses.clear()
        for table in self._tables:
            for source in list(table.values()):
                trusted = self._is_trusted(source.address, source.sid)
                if trusted != source.trusted:
                    del table[source.address, source.sid]
                    self._forget(source)

    def stranger_allowed(self, address: str, now: float) -> bool:
        """Whether a datagram from `address` is worth reading at all; always for known addresses."""
        known = self._addresses.get(address)
        if known is None:
            known = self._learn(address)
        if known:
            return True
        passed = now - self._strangers_at
        self._strangers_at = now
        if passed > 0:
            self._strangers = min(_STRANGERS_PER_SEC * 2, self._strangers + passed * _STRANGERS_PER_SEC)
        if self._strangers < 1:
            return False
        self._strangers -= 1
        return True

    def source(self, address: str, sid: str | None, now: float) -> Source:
        """The entry of a sender, made when it is new."""
        key = (address, sid)
        found = self._tables[1].get(key) or self._tables[0].get(key)
        if found is not None:
            found.last_at = now
            return found
        trusted = self._is_trusted(address, sid)
        table = self._tables[trusted]
        if len(table) >= _MAX_SOURCES:
            self._shrink(table)
        found = Source(address, sid, trusted, self._trusted_capacity if trusted else self._capacity, now)
        table[key] = found
        return found

    def admit(self, source: Source, discover: bool, now: float) -> bool:
        """Takes one message from the sender's budget; False when it is spent.

        What a server can do comes out of a budget of its own, so that calls cannot starve it.
        """
        rate = self._trusted_rate if source.trusted else self._rate
        passed = now - source.tokens_at
        if passed > 0:
            capacity = self._trusted_capacity if source.trusted else self._capacity
            source.tokens = min(capacity, source.tokens + passed * rate)
            source.discover_tokens = min(
                float(_DISCOVERS_PER_MIN), source.discover_tokens + passed * _DISCOVERS_PER_MIN / 60
            )
        source.tokens_at = now
        # A trusted sender may have more tools than the budget for strangers foresees.
        if discover and not source.trusted:
            if source.discover_tokens < 1:
                return False
            source.discover_tokens -= 1
            return True
        if source.tokens < 1:
            return False
        source.tokens -= 1
        return True

    def sources(self) -> Iterator[Source]:
        """Every sender in the table, then the sum of those that left it."""
        for table in self._tables:
            yield from table.values()
        if self.others.received:
            yield self.others

    def _is_trusted(self, address: str, sid: str | None) -> bool:
        return self._in_networks(address) or (sid is not None and self._homes.get(sid) == address)

    def _learn(self, address: str) -> bool:
        if len(self._addresses) >= _MAX_ADDRESSES:
            self._addresses.clear()
        known = self._in_networks(address) or address in self._homes.values()
        self._addresses[address] = known
        return known

    def _in_networks(self, address: str) -> bool:
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(ip in network for network in self._networks)

    def _shrink(self, table: dict[tuple[str, str | None], Source]) -> None:
        leaving = heapq.nsmallest(
            int(len(table) * (1 - _KEPT_OF_FULL)), table.values(), key=lambda one: one.last_at
        )
        for source in leaving:
            del table[source.address, source.sid]
            self._forget(source)

    def _forget(self, source: Source) -> None:
        others = self.others
        others.received += source.received
        others.rejected += source.rejected
        others.limited += source.limited
        others.last_at = max(others.last_at, source.last_at)
        others.limited_at = max(others.limited_at, source.limited_at)
        others.rejected_at = max(others.rejected_at, source.rejected_at)
