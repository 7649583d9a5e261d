"""Which failures recur often enough to be worth an `error_pattern`."""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Advice", "Failures", "advice", "safe_kind"]

WINDOW_SEC: Final = 300.0
THRESHOLD: Final = 3
"""Failures of one kind within the window before they are a pattern."""
REPEAT_SEC: Final = 60.0
"""A pattern is told once in this time at most."""
_MAX_PAIRS: Final = 200
_MAX_TIMES: Final = 1000
_KIND: Final = re.compile(r"-?[A-Za-z0-9_]{1,64}")


@dataclass(frozen=True)
class Advice:
    """When a kind of failure comes up, and what helps against it. Fixed sentences: they quote nobody."""

    trigger: str
    mitigation: str


_ADVICE: Final = {
    "invalid_params": Advice(
        "the arguments do not fit the tool's input schema",
        "compare the arguments with the schema that tools/list gives",
    ),
    "cancelled": Advice(
        "the caller gave up or its connection ended", "raise the caller's timeout, or send less at a time"
    ),
    "timeout": Advice("the tool took too long", "send less at a time"),
    "missing_capability": Advice(
        "the tool asks something that the client cannot answer", "use a client that declares the capability"
    ),
}
_OTHER: Final = Advice(
    "the tool raised an exception",
    "look up the exception in the server's log (journalctl -u canton-mcp@PORT)",
)


def advice(error_code: str | None) -> Advice:
    """What to say of failures with this code."""
    return _ADVICE.get(error_code or "", _OTHER)


def safe_kind(name: str) -> str:
    """A class name or a code as it is; anything else could be a message, and becomes `Error`."""
    return name if _KIND.fullmatch(name) else "Error"


@dataclass
class _Pair:
    times: deque[float] = field(default_factory=lambda: deque(maxlen=_MAX_TIMES))
    told_at: float | None = None


class Failures:
    """The failures of the last five minutes by tool and kind; bounded in memory. Not safe for several threads."""

    def __init__(self) -> None:
        self._pairs: OrderedDict[tuple[str, str], _Pair] = OrderedDict()

    def note(self, tool: str, kind: str, now: float) -> int | None:
        """Count one failure at `now` (monotonic seconds).

        Returns how many of this kind fell into the window when that is to be told, else None.
        """
        pair = self._pairs.setdefault((tool, kind), _Pair())
        self._pairs.move_to_end((tool, kind))
        if len(self._pairs) > _MAX_PAIRS:
            self._pairs.popitem(last=False)
        pair.times.append(now)
        while pair.times[0] < now - WINDOW_SEC:
            pair.times.popleft()
        recently = pair.told_at is not None and now - pair.told_at < REPEAT_SEC
        if len(pair.times) < THRESHOLD or recently:
            return None
        pair.told_at = now
        return len(pair.times)
