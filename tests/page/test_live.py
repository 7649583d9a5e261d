"""The page of a real hub, fed over UDP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hubs import RunningHub, discover, spawn_hub
from playwright.sync_api import Page, expect
from stage import Opened

EXPECTED = [
    {
        "sid": f"canton-mcp-{number}",
        "name": f"Canton MCP Server {number}",
        "host": "demo-1",
        "port": 7283 + number,
        "url": f"http://10.0.0.11:{7283 + number}",
        "discover_interval_sec": 20,
    }
    for number in (1, 2, 3)
]
SILENT_MS = 60_000
HOSTILE = '<img src=x onerror="alert(1)">'
Simulated = Callable[..., None]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    """A hub that expects three servers."""
    servers = tmp_path / "servers.json"
    servers.write_text(json.dumps(EXPECTED))
    state = tmp_path / "state"
    state.mkdir()
    running = spawn_hub(
        tmp_path,
        DCAP_HUB_SERVERS_FILE=str(servers),
        DCAP_HUB_STATE_DIR=str(state),
        DCAP_HUB_TRUSTED_NETWORKS="127.0.0.0/8",
    )
    try:
        yield running.wait_ready()
    finally:
        running.stop()


@pytest.fixture
def simulate(hub: RunningHub) -> Iterator[Simulated]:
    """Starts ``canton-mcp dcap simulate`` against the hub."""
    started = []

    def start(*options: str) -> None:
        command = [
            sys.executable,
            "-m",
            "canton_mcp.cli",
            "dcap",
            "simulate",
            "--target",
            f"127.0.0.1:{hub.udp_port}",
        ]
        started.append(
            subprocess.Popen(
                [*command, *options],
                env=dict(os.environ),
                stdout=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
            )
        )

    yield start
    for process in started:
        process.terminate()
        process.wait(10)


def speaking(hub: RunningHub, *numbers: int) -> list[dict[str, Any]]:
    """A discover and a call of each server."""
    sids = [f"canton-mcp-{number}" for number in numbers]
    return [discover(sid, "validate") for sid in sids] + [hub.call(sid) for sid in sids for _ in range(30)]


def sentence(page: Page) -> Any:
    return page.locator("#sentence")


def test_servers_appear_as_they_speak(hub: RunningHub, open_page: Opened) -> None:
    page = open_page(hub.url)
    expect(page.locator("#fleet-body .card")).to_have_count(3)
    expect(page.locator("#fleet-body .card").first).to_contain_text("never heard")
    hub.send(*speaking(hub, 1, 2, 3))
    expect(sentence(page)).to_have_text("All 3 servers are well.")
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#now .figures")).to_contain_text("90 calls")
    hub.send(hub.call("canton-mcp-1"))
    expect(page.locator("#now .figures")).to_contain_text("91 calls")


def test_filters_work_on_the_figures(hub: RunningHub, open_page: Opened) -> None:
    hub.send(*speaking(hub, 1, 2, 3), hub.call("canton-mcp-2", "reason"))
    page = open_page(f"{hub.url}/?sid=canton-mcp-2")
    expect(page.locator("#now .figures")).to_contain_text("31 calls")
    page.locator("#pick-tool summary").click()
    page.get_by_role("checkbox", name="reason").check()
    expect(page.locator("#now .figures")).to_contain_text(" 1 call ")
    page.get_by_text("24 h", exact=True).click()
    expect(page.locator("#now .figures")).to_contain_text("Last 24 h")
    page.get_by_role("button", name="Show all", exact=True).click()
    expect(page.locator("#now .figures")).to_contain_text("91 calls")


def test_a_server_that_stops_is_silent_within_its_bound_and_named_first(
    hub: RunningHub, open_page: Opened
) -> None:
    page = open_page(hub.url)
    hub.send(*speaking(hub, 1, 2, 3))
    expect(sentence(page)).to_have_text("All 3 servers are well.")
    done = threading.Event()

    def others() -> None:
        while not done.wait(5):
            hub.send(*speaking(hub, 1, 3))

    thread = threading.Thread(target=others)
    thread.start()
    try:
        expect(sentence(page)).to_contain_text(
            "2 of 3 servers are well; canton-mcp-2 is silent since", timeout=SILENT_MS * 1.5
        )
    finally:
        done.set()
        thread.join()
    assert page.locator("#fleet-body h3").first.inner_text() == "canton-mcp-2"
    expect(page.locator(".headline code").first).to_have_text("systemctl status canton-mcp@7285")


def test_names_from_the_wire_are_inert(hub: RunningHub, open_page: Opened) -> None:
    hub.send(
        *(
            hub.call(
                HOSTILE,
                HOSTILE,
                ctx={"caller": HOSTILE, "args": {HOSTILE: HOSTILE}, "error_code": HOSTILE},
                success=False,
            )
            for _ in range(40)
        ),
        discover(HOSTILE, HOSTILE[:32], does=HOSTILE),
        HOSTILE.encode(),
    )
    page = open_page(hub.url)
    expect(page.locator("#fleet-body")).to_contain_text("<img")
    page.locator("#tail").scroll_into_view_if_needed()
    expect(page.locator("#tail-body")).to_contain_text("<img")
    page.get_by_label("arguments").check()
    expect(page.locator("#tail-body tbody tr").first).to_be_visible()
    assert page.locator("img[src=x]").count() == 0


def test_a_restarted_hub_is_found_again_with_its_figures(
    hub: RunningHub, tmp_path: Path, open_page: Opened
) -> None:
    hub.send(*speaking(hub, 1, 2, 3))
    page = open_page(hub.url)
    expect(page.locator("#now .figures")).to_contain_text("90 calls")
    hub.stop()
    expect(page.locator("#connection")).to_contain_text("The hub does not answer")
    again = spawn_hub(
        tmp_path,
        DCAP_HUB_PORT=str(hub.port),
        DCAP_HUB_UDP_PORT=str(hub.udp_port),
        DCAP_HUB_SERVERS_FILE=str(tmp_path / "servers.json"),
        DCAP_HUB_STATE_DIR=str(tmp_path / "state"),
    )
    try:
        again.wait_ready()
        expect(page.locator("#connection")).to_have_text("Live", timeout=15_000)
        expect(page.locator("#now .figures")).to_contain_text("90 calls")
    finally:
        page.close()
        again.stop()


def test_a_token_opens_the_page(tmp_path: Path, open_page: Opened) -> None:
    running = spawn_hub(tmp_path, token="a-token-of-the-tests-0123456789")
    try:
        running.wait_ready()
        page = open_page(f"{running.url}/")
        page.get_by_label("Token of this hub").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("That is not the hub's token.")
        page.goto(f"{running.url}/#token={running.token}")
        expect(sentence(page)).to_contain_text("No message has come yet")
        assert page.evaluate("location.hash") == ""
        page.close()
    finally:
        running.stop()


@pytest.mark.parametrize(("offered", "chosen"), [("", ""), ("dcap-v2", "dcap-v2"), ("x,dcap-v2", "dcap-v2")])
def test_a_browser_gets_the_raw_stream_with_and_without_the_subprotocol(
    hub: RunningHub, open_page: Opened, offered: str, chosen: str
) -> None:
    hub.send(discover("canton-mcp-1", "validate"))
    page = open_page(f"{hub.url}/")
    told = page.evaluate(
        """offered => new Promise((resolve, reject) => {
            const url = new URL("raw", document.baseURI.replace("http", "ws"));
            const socket = offered ? new WebSocket(url, offered.split(",")) : new WebSocket(url);
            socket.onerror = () => reject(new Error("the handshake failed"));
            socket.onmessage = (event) => resolve([socket.protocol, JSON.parse(event.data).t]);
        })""",
        offered,
    )
    assert told == [chosen, "semantic_discover"]


def test_two_hundred_simulated_servers(hub: RunningHub, simulate: Simulated, open_page: Opened) -> None:
    simulate("--servers", "190", "--rate", "400", "--seed", "7", "--profile", "healthy")
    hub.until(lambda: len(hub.report()["servers"]) == 193)
    page = open_page(hub.url)
    expect(sentence(page)).to_contain_text("of 193 servers")
    page.get_by_role("button", name="Show all 193 servers").first.click()
    expect(page.locator("#fleet-body tbody tr")).to_have_count(193)
    page.locator("#tail").scroll_into_view_if_needed()
    expect(page.locator("#tail-body tbody tr")).to_have_count(100)
    # What is sent now is seen on the page, all else going on.
    hub.send(hub.call("newcomer"))
    expect(sentence(page)).to_contain_text("of 194 servers")
