"""Reading a long text without the cyclic garbage collector: a tree has no cycles, and walking it again and again costs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

__all__ = ["uncollected"]

_PAUSING = Lock()


@contextmanager
def uncollected() -> Iterator[None]:
    """No collections while the body runs, unless another thread pauses them already or they are off anyway.

    The collector belongs to the whole process, so the body must be short and bounded. Who finds a pause under way
    does not prolong it: it ends with the body that began it, whatever other threads do.
    """
    if not gc.isenabled() or not _PAUSING.acquire(blocking=False):
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        _PAUSING.release()
