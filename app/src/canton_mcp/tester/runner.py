"""The tester's loop: a random server, a random tool, a log line, its outcome, a pause."""

from __future__ import annotations

import math
import os
import random
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, Self, TextIO
from urllib.parse import urlsplit

from canton_mcp.tester.arguments import arguments_for
from canton_mcp.tester.client import CallFailed, Server
from canton_mcp.tester.report import Tally, summary

_EXAMPLE_URL = "http://127.0.0.1:7284/mcp"


class UsageError(Exception):
    """A setting the tester cannot work with; the text names it, its value, the reason and the remedy."""


def run(
    urls: str | Sequence[str],
    *,
    min_interval: float,
    max_interval: float,
    count: int | None = None,
    seed: int | None = None,
    out: TextIO | None = None,
) -> int:
    """Calls random tools of random servers until `count` calls, SIGTERM or SIGINT.

    `urls` are full endpoint URLs (or one comma list of them), intervals are seconds between calls.
    SIGUSR1 prints the summary at once. Returns the exit status: 0, 1 when a call failed (an error
    reported by a tool is no failed call), 2 when a setting is unusable.
    """
    try:
        servers = [Server(url) for url in parse_urls(urls)]
        _check_intervals(min_interval, max_interval)
    except UsageError as error:
        print(f"canton-mcp test: {error}", file=sys.stderr)
        return 2
    stream = out if out is not None else sys.stdout
    rng = random.Random(seed)
    tallies = [Tally() for _ in servers]
    number = 0

    def report() -> None:
        rows = [(server.name, server.url, tally) for server, tally in zip(servers, tallies, strict=True)]
        print(f"\nSummary after {number} calls\n{summary(rows)}\n", file=stream, flush=True)

    with _Signals() as signals:
        while not signals.stop and (count is None or number < count):
            number += 1
            chosen = rng.randrange(len(servers))
            _call_once(number, servers[chosen], tallies[chosen], rng, stream)
            pause = rng.uniform(min_interval, max_interval) if number != count else 0.0
            for _ in signals.reports_during(pause):
                report()
    report()
    return 1 if any(tally.failures for tally in tallies) else 0


def parse_urls(urls: str | Sequence[str]) -> list[str]:
    """Endpoint URLs of the servers to call; raises UsageError naming the first bad one."""
    listed = urls.split(",") if isinstance(urls, str) else list(urls)
    found = [url.strip() for url in listed if url.strip()]
    if not found:
        raise UsageError(f"MCP_SERVER_URLS is empty; list the servers to call, for example {_EXAMPLE_URL}")
    for position, url in enumerate(found):
        if problem := _url_problem(url):
            raise UsageError(f"MCP_SERVER_URLS has {url!r}: {problem}; write it like {_EXAMPLE_URL}")
        if url in found[:position]:
            raise UsageError(f"MCP_SERVER_URLS has {url!r} twice; list every server once")
    return found


def _url_problem(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"not a URL ({error})"
    if parts.scheme not in ("http", "https"):
        return "it does not start with http:// or https://"
    if not parts.hostname or any(character.isspace() for character in url):
        return "it has no usable host name"
    if port == 0:
        return "port 0 cannot be called"
    if parts.path in ("", "/"):
        return "it has no path"
    return None


def _check_intervals(shortest: float, longest: float) -> None:
    for name, value in (("MIN_INTERVAL", shortest), ("MAX_INTERVAL", longest)):
        if not math.isfinite(value) or value < 0:
            raise UsageError(f"{name} is {value}: not a pause; give seconds, 0 or more")
    if shortest > longest:
        raise UsageError(
            f"MIN_INTERVAL is {shortest}, above MAX_INTERVAL {longest}; swap them or raise the latter"
        )


def _call_once(number: int, server: Server, tally: Tally, rng: random.Random, stream: TextIO) -> None:
    """One call and its two log lines; exactly one outcome is counted."""
    announced = "tools/list"
    error: str | None = None
    try:
        tool = rng.choice(server.tools())
        arguments = arguments_for(tool.input_schema, rng)
        announced = tool.name
        _say(stream, number, server, announced)
        begun = time.perf_counter()
        reply = server.call(tool, arguments)
        tally.times_ms.append((time.perf_counter() - begun) * 1000)
        if reply.error_text is None:
            tally.ok += 1
        else:
            tally.tool_errors += 1
            error = f"Tool error: {reply.error_text}"
    except CallFailed as failure:
        if announced == "tools/list":
            _say(stream, number, server, announced)
        server.forget_tools()
        tally.failures += 1
        error = f"Call failed: {failure}"
    print("   ✅ Tool executed successfully" if error is None else f"   ❌ {error}", file=stream, flush=True)


def _say(stream: TextIO, number: int, server: Server, what: str) -> None:
    print(f"[#{number}] Calling {server.name} → {what}", file=stream, flush=True)


class _Signals:
    """SIGTERM and SIGINT end the loop after the running call, SIGUSR1 asks for a summary.

    Handlers only set flags and wake the pause by a pipe. A second SIGINT interrupts at once.
    Outside the main thread, where Python takes no handlers, it is inert.
    """

    def __init__(self) -> None:
        self.stop = False
        self._report = False
        self._before: dict[int, Any] = {}
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)

    def reports_during(self, seconds: float) -> Iterator[None]:
        """Sleeps `seconds`, less when told to stop, and yields each time a summary is asked for."""
        end = time.monotonic() + seconds
        while not self.stop:
            if self._report:
                self._report = False
                yield
            left = end - time.monotonic()
            if left <= 0:
                return
            if select.select([self._reader], [], [], left)[0]:
                os.read(self._reader, 512)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGUSR1:
            self._report = True
        else:
            self.stop = True
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            os.write(self._writer, b".")
        except BlockingIOError:
            return
