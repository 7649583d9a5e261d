"""Lists in pages: cursors that every server of a fleet understands, and nobody can forge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any

import mcp_types
import pytest
from canton_mcp.protocol import Dispatcher, Features
from dialogue import (
    ANSWERS_ALL,
    ASKS,
    Prompts,
    Resources,
    Tools,
    code,
    initialize,
    legacy,
    modern,
    says,
    send,
    serving,
)

MANY = 120
NAMES = [f"n{number:03}" for number in range(MANY)]
LISTS = {
    "tools/list": ("tools", "name"),
    "resources/list": ("resources", "uri"),
    "resources/templates/list": ("resourceTemplates", "uriTemplate"),
    "prompts/list": ("prompts", "name"),
}


def features(count: int = MANY, **more: Any) -> Features:
    names = NAMES[:count]
    return Features(
        tools=Tools({name: lambda call, arguments: says("x") for name in names}),
        resources=Resources(dict.fromkeys(names, "text"), templates=names),
        prompts=Prompts({name: lambda call, arguments: "x" for name in names}),
        **more,
    )


@pytest.fixture
def server() -> Dispatcher:
    return serving(features())


def pages(method: str, servers: Sequence[Dispatcher], era: Any) -> Iterator[dict[str, Any]]:
    """All pages of a list, each from the next of these servers."""
    params: dict[str, Any] = {}
    for turn in range(MANY):
        result = era(servers[turn % len(servers)], method, params)[1]["result"]
        yield result
        if "nextCursor" not in result:
            return
        params = {"cursor": result["nextCursor"]}


def cursor(server: Dispatcher, method: str = "tools/list") -> str:
    return str(modern(server, method)[1]["result"]["nextCursor"])


@pytest.mark.parametrize("era", [modern, legacy])
@pytest.mark.parametrize("method", LISTS)
def test_all_pages_together_are_the_list(method: str, era: Any) -> None:
    """Whichever server gives a page."""
    member, name = LISTS[method]
    found = list(pages(method, [serving(features()), serving(features())], era))
    assert [len(page[member]) for page in found] == [50, 50, 20]
    assert [item[name] for page in found for item in page[member]] == NAMES
    if era is modern:
        assert {(page["cacheScope"], page["resultType"]) for page in found} == {("public", "complete")}
    else:
        assert all(page.keys() <= {member, "nextCursor"} for page in found)


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100])
def test_the_last_page_says_so(count: int) -> None:
    found = list(pages("tools/list", [serving(features(count))], modern))
    assert sum(len(page["tools"]) for page in found) == count
    assert len(found) == max(1, -(-count // 50))


def test_an_era_has_its_own_shape_whoever_asks_first(server: Dispatcher) -> None:
    for _ in range(2):
        assert legacy(server, "tools/list")[1]["result"].keys() == {"tools", "nextCursor"}
        assert "resultType" in modern(server, "tools/list")[1]["result"]


@pytest.mark.parametrize(("made_for", "used_for"), list(permutations(LISTS, 2)))
def test_a_cursor_belongs_to_its_list(server: Dispatcher, made_for: str, used_for: str) -> None:
    sent = {"cursor": cursor(server, made_for)}
    assert code(modern(server, used_for, sent)) == (400, -32602)
    assert code(legacy(server, used_for, sent)) == (200, -32602)
    assert modern(server, made_for, sent)[0] == 200


@pytest.mark.parametrize("sent", ["", "x", "50", "NTA=", "a.b", "ü", "\x00", 0, 5, True, [], {}, 1.5])
@pytest.mark.parametrize("method", LISTS)
def test_what_is_no_cursor_is_refused(server: Dispatcher, method: str, sent: Any) -> None:
    assert code(modern(server, method, {"cursor": sent})) == (400, -32602)
    assert code(legacy(server, method, {"cursor": sent})) == (200, -32602)


def test_null_is_no_cursor(server: Dispatcher) -> None:
    assert len(modern(server, "tools/list", {"cursor": None})[1]["result"]["tools"]) == 50


def test_no_character_of_a_cursor_can_be_changed(server: Dispatcher) -> None:
    known = cursor(server)
    for place, found in enumerate(known):
        changed = known[:place] + ("A" if found != "A" else "B") + known[place + 1 :]
        assert code(modern(server, "tools/list", {"cursor": changed})) == (400, -32602), place
    for changed in (known + "A", known[:-1], f" {known}"):
        assert code(modern(server, "tools/list", {"cursor": changed})) == (400, -32602)


def test_a_cursor_is_believed_from_the_fleet_alone(server: Dispatcher) -> None:
    sent = {"cursor": cursor(server)}
    assert modern(serving(features()), "tools/list", sent)[0] == 200
    for stranger in (serving(features(), "another secret " * 3), serving(features(), None)):
        assert code(modern(stranger, "tools/list", sent)) == (400, -32602)


def test_other_sealed_texts_are_no_cursors() -> None:
    server = serving(features(asks=ASKS))
    session = send(server, initialize(capabilities=ANSWERS_ALL)).headers["mcp-session-id"]
    assert code(modern(server, "tools/list", {"cursor": session})) == (400, -32602)
    assert code(legacy(server, "ping", mcp_session_id=cursor(server)))[0] == 404


def test_a_cursor_into_a_list_that_has_become_shorter(server: Dispatcher) -> None:
    """The rest of it, which is nothing, rather than an error."""
    result = modern(serving(features(3)), "tools/list", {"cursor": cursor(server)})[1]["result"]
    assert result["tools"] == [] and "nextCursor" not in result


def test_lists_are_built_once_and_again_after_a_change() -> None:
    tools = Counting({"first": lambda call, arguments: says("x")})
    server = serving(Features(tools=tools, list_changes=True))
    before = tools.listed
    for _ in range(3):
        modern(server, "tools/list")
    assert tools.listed == before + 1
    tools.handlers["second"] = tools.handlers["first"]
    server.publish("tools")
    assert [tool["name"] for tool in modern(server, "tools/list")[1]["result"]["tools"]] == [
        "first",
        "second",
    ]


def test_a_list_that_changes_while_it_is_built_is_not_kept() -> None:
    class Changing(Counting):
        def list_tools(self) -> Sequence[mcp_types.Tool]:
            listed = super().list_tools()
            if self.listed == 2:  # the first request; the dispatcher itself has looked before
                self.handlers["second"] = self.handlers["first"]
                changing.publish("tools")
            return listed

    changing = serving(
        Features(tools=Changing({"first": lambda call, arguments: says("x")}), list_changes=True)
    )
    told = [len(modern(changing, "tools/list")[1]["result"]["tools"]) for _ in range(2)]
    assert told == [1, 2]


class Counting(Tools):
    """Remembers how often it was listed."""

    listed = 0

    def list_tools(self) -> Sequence[mcp_types.Tool]:
        self.listed += 1
        return super().list_tools()
