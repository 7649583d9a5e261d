"""Work on a long text while the cyclic garbage collector leaves what is already there alone.

A tree has no cycles and lives until the end of the work, and the collector would walk all of it again each time that
results have piled up: for a long text that takes as long as the work itself.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

__all__ = ["LONG", "uncollected"]

LONG = 10_000
"""From so many tokens on, a pause is worth its while."""
_PAUSING = Lock()


@contextmanager
def uncollected(wanted: bool) -> Iterator[Callable[[], object]]:
    """No collections while the body runs, if they are `wanted` to pause; gives what collects young garbage meanwhile.

    The collector belongs to the whole process, so the body must be bounded, and sweep now and then if it makes
    cycles. A body that finds a pause of another thread under way does not prolong it: it ends with the one that
    began it.
    """
    if not wanted or not gc.isenabled() or not _PAUSING.acquire(blocking=False):
        yield lambda: None
        return
    gc.disable()
    try:
        yield lambda: gc.collect(0)
    finally:
        gc.enable()
        _PAUSING.release()
