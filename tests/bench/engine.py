"""The speed of the DAML engine: reading and judging modules of one, ten and a hundred times the usual length."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

from canton_mcp.daml.judged import Judged
from canton_mcp.daml.reader import read
from figures import Figure
from source import module

__all__ = ["figures"]

SIZES = (1, 10, 100)
RUNS = 15


def seconds(work: Callable[[], object], runs: int) -> float:
    """Median processor seconds of `work`, after one run that warms up."""
    work()
    samples = []
    for _ in range(runs):
        gc.collect()
        started = time.process_time()
        work()
        samples.append(time.process_time() - started)
    return statistics.median(samples)


def judge(text: str) -> object:
    """Everything a tool asks for: what a text declares, which actions have their authority, what is wrong."""
    judged = Judged(text)
    return judged.analysis, judged.findings


def figures() -> Iterator[Figure]:
    """Times of a usual module, and how they grow with its length."""
    texts = {size: module(size) for size in SIZES}
    lines = {size: text.count("\n") for size, text in texts.items()}
    reading = {size: seconds(partial(read, texts[size]), max(RUNS // size, 3)) for size in SIZES}
    judging = {size: seconds(partial(judge, texts[size]), max(RUNS // size, 3)) for size in SIZES}
    usual = SIZES[0]
    yield Figure(
        f"a module of {lines[usual]} lines, judged : read",
        f"{judging[usual] * 1000:.1f} ms",
        f"{reading[usual] * 1000:.1f} ms",
        judging[usual] / reading[usual],
    )
    size = len(texts[usual].encode())
    yield Figure(
        f"files of {size / 1000:.1f} kB, read : judged",
        f"{1 / reading[usual]:.0f}/s",
        f"{1 / judging[usual]:.0f}/s",
        judging[usual] / reading[usual],
    )
    yield Figure(
        "text, read : judged",
        f"{size / reading[usual] / 1e6:.2f} MB/s",
        f"{size / judging[usual] / 1e6:.2f} MB/s",
        judging[usual] / reading[usual],
    )
    for what, took in (("reading", reading), ("judging", judging)):
        for size in SIZES[1:]:
            each, first = took[size] / lines[size], took[usual] / lines[usual]
            yield Figure(
                f"{what}, per line, {lines[size]} lines : {lines[usual]}",
                f"{each * 1e6:.1f} µs",
                f"{first * 1e6:.1f} µs",
                each / first,
            )
