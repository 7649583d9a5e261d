"""The hub's page in a browser: how soon it shows something, and how soon it shows what is new."""

from __future__ import annotations

import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "page"))

import reports
from figures import Figure
from playwright.sync_api import Browser, Page, sync_playwright
from stage import WIDE, Stage

__all__ = ["figures"]

FEW, MANY = 3, 200
RUNS = 7
PUSH_SEC = 1.0
"""As often as a hub sends a report."""
_PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
_WATCH_TASKS = """() => {
    window.longest = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration);
    }).observe({type: "longtask"});
}"""


def opened(browser: Browser, stage: Stage) -> Page:
    """The page in a context of its own, once a report is on it."""
    page = browser.new_context(viewport=WIDE).new_page()
    page.goto(stage.url)
    page.locator("#sentence", has_text="servers are well").wait_for()
    return page


def first_paint(browser: Browser, stage: Stage, count: int) -> float:
    """Median milliseconds from the start of loading to the first content, with a cold cache."""
    stage.show(reports.crowd(count) if count > FEW else reports.well(count))
    samples = []
    for _ in range(RUNS):
        page = opened(browser, stage)
        samples.append(float(page.evaluate(_PAINTED)))
        page.context.close()
    return statistics.median(samples)


def updates(browser: Browser, stage: Stage, count: int) -> tuple[float, float]:
    """Median milliseconds from a change in the hub to the page, all rows shown; and the longest that the page was busy."""
    stage.show(reports.crowd(count))
    page = opened(browser, stage)
    page.get_by_role("button", name=f"Show all {count} servers").first.click()
    page.evaluate(_WATCH_TASKS)
    samples = []
    for turn in range(1, RUNS + 1):
        told = reports.crowd(count, turn)
        told["servers"][0]["calls_per_minute"] = 70.5 + turn
        time.sleep(PUSH_SEC * turn / RUNS)  # at another moment between two reports each time
        begun = time.monotonic()
        stage.show(told)
        page.locator("#fleet-body tbody tr", has_text=f"{70.5 + turn}").first.wait_for()
        samples.append((time.monotonic() - begun) * 1000)
    longest = float(page.evaluate("window.longest"))
    page.context.close()
    return statistics.median(samples), longest


def figures() -> Iterator[Figure]:
    """First paint with few and with many servers, and updates with many."""
    path = shutil.which("chromium")
    if not path:
        raise SystemExit("chromium is missing. Install it: make browser")
    with sync_playwright() as playwright, Stage().running() as stage:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        stage.every = PUSH_SEC
        first_paint(browser, stage, FEW)
        many, few = first_paint(browser, stage, MANY), first_paint(browser, stage, FEW)
        yield Figure(f"first paint, {MANY} servers : {FEW}", f"{many:.0f} ms", f"{few:.0f} ms", many / few)
        lag, longest = updates(browser, stage, MANY)
        every = PUSH_SEC * 1000
        yield Figure(f"update lag, {MANY} servers : push", f"{lag:.0f} ms", f"{every:.0f} ms", lag / every)
        yield Figure(
            f"longest task, {MANY} servers : push", f"{longest:.0f} ms", f"{every:.0f} ms", longest / every
        )
        browser.close()
