"""The page in a browser, with reports that the test sets."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import reports
from playwright.sync_api import Page, expect
from stage import NARROW, STATIC, WIDE, Opened, Stage

HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>'
DISGUISED = "canton-mcp-1\u202e\u200b\u0007"
SERIOUS = ("serious", "critical")
SCENES = {
    "empty": lambda: reports.report(),
    "well": lambda: reports.well(),
    "trouble": lambda: reports.trouble(),
    "crowd": lambda: reports.crowd(),
}


def sentence(page: Page) -> Any:
    return page.locator("#sentence")


def shown_ids(page: Page) -> list[str]:
    return page.locator("#fleet-body h3, #fleet-body tbody th").all_inner_texts()


def test_all_well_is_said_in_one_sentence(stage: Stage, open_page: Opened) -> None:
    stage.show(reports.well())
    page = open_page(stage.url)
    expect(sentence(page)).to_have_text("All 3 servers are well.")
    expect(page).to_have_title("Canton MCP fleet")
    expect(page.locator(".headlines").first).to_be_hidden()
    assert shown_ids(page) == ["canton-mcp-1", "canton-mcp-2", "canton-mcp-3"]


def test_a_silent_server_is_named_first_with_what_to_do(stage: Stage, open_page: Opened) -> None:
    stage.show(reports.well())
    page = open_page(stage.url, timezone_id="UTC", permissions=["clipboard-read", "clipboard-write"])
    expect(sentence(page)).to_have_text("All 3 servers are well.")
    stage.show(
        reports.report([reports.silent(2), reports.server(1), reports.server(3)], [reports.silence(2)])
    )
    expect(sentence(page)).to_have_text("2 of 3 servers are well; canton-mcp-2 is silent since 23:54.")
    expect(page).to_have_title("(1) Canton MCP fleet")
    expect(page.locator("#announce")).to_contain_text("canton-mcp-2 is silent")
    assert shown_ids(page)[0] == "canton-mcp-2"
    first = page.locator(".headline").first
    expect(first).to_contain_text("Critical")
    expect(first.locator("code")).to_have_text("systemctl status canton-mcp@7285")
    expect(first.locator(".do")).to_contain_text("on demo-1")
    first.get_by_role("button", name="Copy").click()
    expect(page.locator("#announce")).to_contain_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "systemctl status canton-mcp@7285"
    box = sentence(page).bounding_box()
    assert box and box["y"] + box["height"] < WIDE["height"] / 2


def test_servers_that_have_yet_to_speak_are_neither_well_nor_an_alarm(
    stage: Stage, open_page: Opened
) -> None:
    waiting = {**reports.silence(1), "severity": "info", "what": "canton-mcp-1 has not spoken yet"}
    stage.show(
        reports.report(
            [reports.server(1, state="never", last_seen=None, calls=0), reports.server(2)], [waiting]
        )
    )
    page = open_page(stage.url)
    expect(sentence(page)).to_have_text("1 of 2 servers is well; canton-mcp-1 has not spoken yet.")
    expect(sentence(page)).to_have_class("sentence calm")
    expect(page).to_have_title("Canton MCP fleet")


def test_every_section_has_its_figures(stage: Stage, open_page: Opened) -> None:
    stage.show(reports.trouble())
    page = open_page(stage.url)
    expect(page.locator("#compare td.warn, #compare td.bad")).to_have_count(1)
    expect(page.locator("#compare td.bad")).to_contain_text("× the others")
    expect(page.locator("#compare td.few").first).to_contain_text("only 4 calls")
    expect(page.locator("#load")).to_contain_text("Imbalance")
    expect(page.locator("#bottlenecks")).to_contain_text("Slow on one server")
    expect(page.locator("#errors")).to_contain_text("5.5 % to 11 %")
    expect(page.locator("#errors")).to_contain_text("CompilerTimeout")
    expect(page.locator("#quality")).to_contain_text("rate_limited")
    expect(page.locator("#cost")).to_contain_text("2.5125")
    expect(page.locator("#fleet")).to_contain_text("2.1 % lost")
    titles = page.locator("#sections h2").all_inner_texts()
    assert titles[0] == "Fleet" and titles[-1] == "Live tail" and len(titles) == 8


def test_filters_are_kept_in_the_address(stage: Stage, open_page: Opened) -> None:
    stage.show(reports.well())
    page = open_page(stage.url)
    page.get_by_text("1 h", exact=True).click()
    page.locator("#pick-sid summary").click()
    page.get_by_role("checkbox", name="canton-mcp-2").check()
    page.get_by_role("checkbox", name="canton-mcp-3").check()
    page.locator("#pick-tool summary").click()
    page.get_by_role("checkbox", name="daml_reason").check()
    wanted = {"window": "1h", "sid": ["canton-mcp-2", "canton-mcp-3"], "tool": ["daml_reason"]}
    query = "?window=1h&sid=canton-mcp-2&sid=canton-mcp-3&tool=daml_reason"
    assert page.evaluate("location.search") == query
    expect(page.locator("#pick-sid summary")).to_contain_text("2 of 3")
    page.wait_for_timeout(3 * stage.every * 1000)
    assert stage.filters[-1] == wanted
    for expected in (query.replace("&tool=daml_reason", ""), "?window=1h&sid=canton-mcp-2", "?window=1h", ""):
        page.go_back()
        assert page.evaluate("location.search") == expected
    expect(page.get_by_role("radio", name="5 min")).to_be_checked()
    again = open_page(stage.url + query)
    expect(again.get_by_role("radio", name="1 h", exact=True)).to_be_checked()
    expect(sentence(again)).to_be_visible()
    assert stage.filters[-1] == wanted
    again.get_by_role("button", name="Show all", exact=True).click()
    assert again.evaluate("location.search") == "?window=1h"


def test_a_filter_from_the_address_is_only_text(stage: Stage, open_page: Opened) -> None:
    stage.show(reports.report())
    page = open_page(f"{stage.url}?window=9y&sid={HOSTILE}")
    expect(sentence(page)).to_contain_text("No message has come yet")
    expect(page.locator("#pick-sid summary")).to_contain_text("<img")
    assert stage.filters[-1]["window"] == "5m"


def test_figures_change_without_taking_focus_selection_or_nodes(stage: Stage, open_page: Opened) -> None:
    stage.show(reports.well())
    page = open_page(stage.url)
    name = page.get_by_role("button", name="canton-mcp-3")
    name.focus()
    page.evaluate("window.kept = document.activeElement; window.card = kept.closest('li')")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#load h2'))")
    stage.show(
        reports.report([reports.server(3, calls_per_minute=93.5), reports.server(1), reports.server(2)])
    )
    expect(page.locator(".card").first).to_contain_text("93.5")
    assert shown_ids(page)[0] == "canton-mcp-3"
    assert page.evaluate("document.activeElement === kept && document.querySelector('.card') === card")
    assert page.evaluate("getSelection().toString()") == "Share of calls and of time"


def test_open_pickers_and_details_stay_open(stage: Stage, open_page: Opened) -> None:
    turns = itertools.count(1)
    stage.show(lambda _filters: reports.report([reports.server(1, calls=400 + next(turns))]))
    page = open_page(stage.url)
    page.locator("#pick-sid summary").click()
    page.locator("#chart-calls summary").click()
    before = page.locator("#load tbody td").first.inner_text()
    expect(page.locator("#load tbody td").first).not_to_have_text(before)
    expect(page.locator("#chart-calls table")).to_be_visible()
    page.locator("#pick-sid summary").click()
    expect(page.get_by_role("checkbox", name="canton-mcp-1")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("checkbox", name="canton-mcp-1")).to_be_hidden()
    expect(page.locator("#pick-sid summary")).to_be_focused()


def test_nothing_is_drawn_while_nobody_looks_but_the_title_tells(stage: Stage, open_page: Opened) -> None:
    stage.show(reports.well())
    page = open_page(stage.url)
    expect(sentence(page)).to_have_text("All 3 servers are well.")
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {get: () => window.away, configurable: true}); window.away = true"
    )
    stage.show(reports.trouble())
    expect(page).to_have_title("(2) Canton MCP fleet")
    expect(sentence(page)).to_have_text("All 3 servers are well.")
    page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    expect(sentence(page)).to_contain_text("canton-mcp-2 is silent")


def test_the_page_says_since_when_its_figures_are_old_and_comes_back(stage: Stage, open_page: Opened) -> None:
    stage.show(reports.well())
    page = open_page(stage.url)
    expect(page.locator("#connection")).to_have_text("Live")
    stage.sleep()
    expect(page.locator("#connection")).to_have_text(
        re.compile(r"The hub does not answer; figures are of \d\d:\d\d:\d\d, \d+ s old")
    )
    expect(page.locator("body")).to_have_class("stale")
    stage.show(reports.trouble())
    stage.wake()
    expect(page.locator("#connection")).to_have_text("Live")
    expect(sentence(page)).to_contain_text("canton-mcp-2 is silent")


def test_without_streams_the_page_asks(stage: Stage, open_page: Opened) -> None:
    stage.streams = False
    stage.show(reports.well())
    page = open_page(stage.url)
    expect(page.locator("#connection")).to_contain_text("No live stream")
    stage.show(reports.trouble())
    expect(sentence(page)).to_contain_text("canton-mcp-2 is silent")


def test_a_token_behind_the_address_signs_in_and_is_taken_out(stage: Stage, open_page: Opened) -> None:
    stage.show(reports.well())
    stage.token = "correct"
    page = open_page(f"{stage.url}?window=1h#token=correct")
    expect(sentence(page)).to_have_text("All 3 servers are well.")
    assert page.evaluate("location.href") == f"{stage.url}?window=1h"
    assert "correct" not in page.evaluate("JSON.stringify([history.state, Object.entries(localStorage)])")


def test_a_wrong_token_is_told_and_a_right_one_lets_in(stage: Stage, open_page: Opened) -> None:
    stage.show(reports.well())
    stage.token = "correct"
    page = open_page(stage.url)
    field = page.get_by_label("Token of this hub")
    expect(field).to_be_focused()
    field.fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("That is not the hub's token.")
    field.fill("correct")
    page.get_by_role("button", name="Sign in").click()
    expect(sentence(page)).to_have_text("All 3 servers are well.")


def test_a_session_that_ends_asks_for_the_token_in_place(stage: Stage, open_page: Opened) -> None:
    stage.show(reports.well())
    page = open_page(stage.url)
    expect(page.locator("#connection")).to_have_text("Live")
    stage.token = "renewed"
    stage.hang_up()
    expect(page.locator("#connection")).to_contain_text("Signed out")
    expect(page.get_by_label("Token of this hub")).to_be_focused()
    page.get_by_label("Token of this hub").fill("renewed")
    page.keyboard.press("Enter")
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#signin")).to_be_hidden()


def test_texts_from_the_wire_are_inert(stage: Stage, open_page: Opened) -> None:
    names = {"sid": HOSTILE, "name": HOSTILE, "host": HOSTILE}
    evil = reports.report(
        [reports.server(1, **names), reports.server(2, sid=DISGUISED)],
        [{**reports.silence(1), "sid": HOSTILE, "what": HOSTILE, "detail": HOSTILE, "do": HOSTILE}],
        tools=[HOSTILE, "__proto__", "constructor"],
        errors=[
            {
                "sid": HOSTILE,
                "tool": HOSTILE,
                "error_code": HOSTILE,
                "count": 1,
                "ratio": 1,
                "last_seen": reports.NOW,
            }
        ],
        patterns=[
            {
                "sid": HOSTILE,
                "tool": HOSTILE,
                "error_type": HOSTILE,
                "frequency": 1,
                "trigger": HOSTILE,
                "mitigation": HOSTILE,
                "last_seen": reports.NOW,
            }
        ],
        bottlenecks=[
            {
                "kind": HOSTILE,
                "sid": HOSTILE,
                "tool": HOSTILE,
                "value": 1,
                "against": 1,
                "what": HOSTILE,
                "do": HOSTILE,
            }
        ],
        cost=[{"sid": HOSTILE, "currency": HOSTILE, "amount": 1, "decimals": None}],
    )
    evil["quality"]["rejected"] = {HOSTILE: 3}
    evil["quality"]["flags"] = [{"sid": HOSTILE, "flag": HOSTILE, "count": 1}]
    evil["quality"]["sources"] = [
        {"address": HOSTILE, "sid": HOSTILE, "received": 1, "rejected": 1, "rate_limited": 1}
    ]
    stage.show(evil)
    page = open_page(stage.url)
    expect(page.locator("#fleet-body")).to_contain_text("<img")
    page.locator("#tail").scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    stage.say(
        {
            "at": reports.NOW,
            "source": HOSTILE,
            "size": 1,
            "message": {"t": HOSTILE, "sid": HOSTILE, "tool": HOSTILE, "does": HOSTILE},
        }
    )
    stage.say(
        {"at": reports.NOW, "source": HOSTILE, "size": 1, "rejected": {"reason": HOSTILE, "detail": HOSTILE}}
    )
    expect(page.locator("#tail-body tbody tr")).to_have_count(2)
    assert page.locator("img[src=x], main script").count() == 0
    assert not re.search("[\u202e\u200b\u0007]", page.inner_text("body"))


def test_two_things_of_one_name_come_and_go(stage: Stage, open_page: Opened) -> None:
    """Names are made unique by the hub; if it ever failed to, the page must not pile up."""
    stage.show(reports.report([reports.server(1), reports.server(1), reports.server(1)]))
    page = open_page(stage.url)
    expect(page.locator(".card")).to_have_count(3)
    stage.show(reports.report([reports.server(2), reports.server(1)]))
    expect(page.locator(".card")).to_have_count(2)


def test_the_tail_hides_arguments_pauses_and_filters(stage: Stage, open_page: Opened) -> None:
    stage.show(reports.well())
    page = open_page(stage.url)
    expect(sentence(page)).to_be_visible()
    page.locator("#tail").scroll_into_view_if_needed()
    page.wait_for_timeout(500)

    def call(tool: str, **more: Any) -> dict[str, Any]:
        message = {
            "v": 2,
            "t": "perf_update",
            "sid": "canton-mcp-1",
            "tool": tool,
            "exec_ms": 41,
            "success": True,
            **more,
        }
        return {"at": reports.NOW, "source": "10.0.0.11", "size": 200, "message": message}

    rows = page.locator("#tail-body tbody tr")
    stage.say(call("one", ctx={"args": {"damlCode": "planted"}}))
    stage.say(call("two", success=False, ctx={"error_code": "timeout"}))
    stage.say({"skipped": 1234})
    expect(rows).to_have_count(2)
    expect(page.locator("#tail-body")).to_contain_text("1,234 more came too fast to show")
    expect(rows.first).to_contain_text("two 41 ms failed (timeout)")
    rows.nth(1).locator("summary").click()
    expect(rows.nth(1).locator("pre")).to_contain_text('"hidden"')
    assert "planted" not in page.content()
    page.get_by_role("combobox").select_option("failed")
    expect(rows).to_have_count(1)
    page.get_by_role("combobox").select_option("")
    page.get_by_label("containing").fill("one")
    expect(rows).to_have_count(1)
    page.get_by_label("containing").fill("")
    page.get_by_role("button", name="Pause").click()
    stage.say(call("three"))
    expect(page.get_by_role("button", name="Go on (1 not shown)")).to_be_visible()
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("arguments").check()
    page.wait_for_timeout(500)
    assert stage.tails[-1].get("args") == "1"
    stage.say(call("four", ctx={"args": {"damlCode": "planted"}}))
    rows.first.locator("summary").click()
    expect(rows.first.locator("pre")).to_contain_text("planted")


def test_the_keyboard_reaches_everything(stage: Stage, open_page: Opened) -> None:
    stage.show(reports.trouble())
    page = open_page(stage.url)
    expect(sentence(page)).to_be_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "now"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Copy"
    page.reload()
    expect(sentence(page)).to_be_visible()
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("location.search") == "?window=1h"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.evaluate("location.search") == "?window=1h&sid=canton-mcp-1"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        assert page.evaluate(outline) != "none", page.evaluate("document.activeElement.outerHTML")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [NARROW, WIDE], ids=["390", "1440"])
@pytest.mark.parametrize("scene", SCENES)
def test_accessible_and_within_its_width(
    scene: str, width: dict[str, int], theme: str, stage: Stage, open_page: Opened, axe: str, tmp_path: Path
) -> None:
    stage.show(SCENES[scene]())
    page = open_page(stage.url, width, theme, reduced_motion="reduce")
    expect(sentence(page)).to_be_visible()
    page.locator("#pick-sid summary").click()
    assert serious(page, axe) == []
    page.keyboard.press("Escape")
    assert page.evaluate("document.documentElement.scrollWidth") <= width["width"]
    page.screenshot(path=tmp_path / f"{scene}-{theme}-{width['width']}.png", full_page=True)
    levels = [
        int(tag[1])
        for tag in page.evaluate(
            "[...document.querySelectorAll('h1,h2,h3')].filter(e => e.checkVisibility()).map(e => e.tagName)"
        )
    ]
    assert levels[0] == 1 and all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_sign_in_page_is_accessible(theme: str, stage: Stage, open_page: Opened, axe: str) -> None:
    stage.token = "correct"
    page = open_page(stage.url, NARROW, theme)
    assert serious(page, axe) == []


def serious(page: Page, axe: str) -> list[str]:
    """What axe-core finds that keeps people out."""
    # The page's policy forbids scripts in the document, so it comes in by the debugger.
    page.evaluate(f"(() => {{ {axe}\n }})()")
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


def test_two_hundred_servers(stage: Stage, open_page: Opened) -> None:
    """Rows on demand, and new figures in them."""
    turns = [reports.crowd(turn=turn) for turn in range(4)]
    cycle = itertools.cycle(turns)
    stage.every = 1.0
    stage.show(lambda _filters: next(cycle))
    page = open_page(stage.url)
    expect(sentence(page)).to_contain_text("197 of 200 servers are well; canton-mcp-7 is silent since")
    assert len(shown_ids(page)) == 25
    page.get_by_role("button", name="Show all 200 servers").first.click()
    assert len(shown_ids(page)) == 200
    marker = reports.crowd(turn=9)
    marker["servers"][0]["calls_per_minute"] = 77.7
    stage.show(marker)
    expect(page.locator("#fleet-body tbody tr").first).to_contain_text("77.7")
    page.locator("#pick-sid summary").click()
    page.get_by_label("Search servers").fill("p-17")
    expect(page.locator("#pick-sid input[type=checkbox]")).to_have_count(11)


def test_print_and_narrow_text_hold(stage: Stage, open_page: Opened) -> None:
    stage.show(reports.trouble())
    page = open_page(stage.url)
    page.emulate_media(media="print")
    expect(sentence(page)).to_be_visible()
    expect(page.locator("#filters")).to_be_hidden()


def sources() -> Iterator[Path]:
    yield from sorted(STATIC.glob("js/*.js"))


def test_nothing_parses_markup_or_leaves_the_hub() -> None:
    for path in [*sources(), STATIC / "page.css", STATIC / "index.html", STATIC / "signin.html"]:
        text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        for forbidden in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "://",
            "style=",
            "onclick=",
        ):
            assert forbidden not in text, f"{path.name} has {forbidden}"


@pytest.mark.parametrize("name", ["uPlot.esm.js", "uPlot.min.css", "LICENSE"])
def test_the_chart_library_is_the_published_one(name: str) -> None:
    package = Path(__file__).parent.parent / "node_modules/uplot"
    assert json.loads((package / "package.json").read_text())["version"] == "1.6.32"
    published = package / name if name == "LICENSE" else package / "dist" / name
    assert (STATIC / "vendor/uplot" / name).read_bytes() == published.read_bytes()
