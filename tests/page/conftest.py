"""A browser, and hubs for it: one on a stage, whose report the test sets, and the real one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from stage import WIDE, Opened, Stage


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's chromium, as the tests of all pages use it."""
    path = shutil.which("chromium")
    if not path:
        pytest.fail("chromium is missing. Install the Debian packages chromium and fonts-dejavu-core.")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage().running() as running:
        yield running


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opened]:
    """Opens pages in contexts of their own; at the end none may have complained about anything but a lost hub."""
    contexts = []
    complaints: list[str] = []

    def open_(url: str, width: Any = WIDE, theme: Any = "light", **options: Any) -> Page:
        context = browser.new_context(viewport=width, color_scheme=theme, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: complaints.append(f"error: {error}\n{error.stack}"))
        page.on(
            "console",
            lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None,
        )
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on(
            "request",
            lambda request: (
                None if "//127.0.0.1:" in request.url else complaints.append(f"leaves: {request.url}")
            ),
        )
        page.goto(url)
        return page

    yield open_
    for context in contexts:
        context.close()
    # A browser writes of itself that a hub is away or asks for a token; the tests of that make it so.
    lost = (
        "ERR_CONNECTION_REFUSED",
        "ERR_EMPTY_RESPONSE",
        "WebSocket connection to",
        "401 (Unauthorized)",
        "ERR_CONNECTION_RESET",
    )
    assert [text for text in complaints if not any(reason in text for reason in lost)] == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core."""
    path = Path(__file__).parent.parent / "node_modules/axe-core/axe.min.js"
    if not path.is_file():
        pytest.fail(f"axe-core is not at {path}. Run npm ci --prefix tests --ignore-scripts.")
    return path.read_text("utf-8")
