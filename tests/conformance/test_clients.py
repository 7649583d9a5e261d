"""Official clients work unmodified through the balancer, in both eras, whichever server a request comes to."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from balancing import Balancer
from processes import request

DRIVER: Final = Path(__file__).parent / "clients" / "drive.py"
HANGS_SEC: Final = 300.0
"""A client that takes as long as this will never end."""

VERSIONS: Final = {"modern": "2026-07-28", "legacy": "2025-11-25"}
CONNECTIONS: Final = {"sdk": 3, "fastmcp": 3, "typescript": 3, "inspector": 1}
"""How often a client does everything. The Inspector connects anew for every step."""

MANY: Final = 24
"""So many connections that their sessions will not all come to the same server."""

ASKABLE: Final = ("sdk", "fastmcp", "typescript")
"""The clients that let their user answer a server. The Inspector's command line has nobody to ask."""

ANSWERS: Final = {
    "form": {
        "name": "Ada",
        "username": "ada",
        "email": "ada@example.com",
        "color": "blue",
        "context": "a test",
        "ok": True,
    },
    "model": "Paris",
    "roots": ["file:///srv/daml"],
}


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"method": "tools/call", "params": {"name": tool, "arguments": arguments}}


def read(uri: str) -> dict[str, Any]:
    return {"method": "resources/read", "params": {"uri": uri}}


def prompt(name: str, **arguments: str) -> dict[str, Any]:
    return {"method": "prompts/get", "params": {"name": name, "arguments": arguments}}


def complete(ref: Mapping[str, str], argument: str, value: str) -> dict[str, Any]:
    return {
        "method": "completion/complete",
        "params": {"ref": ref, "argument": {"name": argument, "value": value}},
    }


LISTS: Final = ("tools/list", "resources/list", "resources/templates/list", "prompts/list")

STEPS: Final[dict[str, dict[str, Any]]] = {
    **{method: {"method": method} for method in LISTS},
    "text": call("test_simple_text"),
    "kinds of content": call("test_multiple_content_types"),
    "tool that fails": call("test_error_handling"),
    "argument in a header": call("test_x_mcp_header", region="Zürich"),
    "progress": {**call("test_tool_with_progress"), "progress": True},
    "resource": read("test://static-text"),
    "binary resource": read("test://static-binary"),
    "resource of a template": read("test://template/123/data"),
    "prompt": prompt("test_prompt_with_arguments", arg1="one", arg2="zwölf"),
    "prompt with a resource": prompt("test_prompt_with_embedded_resource", resourceUri="test://example"),
    "completion for a prompt": complete(
        {"type": "ref/prompt", "name": "test_prompt_with_arguments"}, "arg1", "test"
    ),
    "completion for a template": complete(
        {"type": "ref/resource", "uri": "test://template/{id}/data"}, "id", "19"
    ),
    "unknown tool": call("no_such_tool"),
    "unknown resource": read("test://no-such-resource"),
    "unknown prompt": prompt("no_such_prompt"),
    "roots": call("test_input_required_result_list_roots"),
    "form": call("test_elicitation", message="Who are you?"),
    "model": call("test_sampling", prompt="What is the capital of France?"),
    "three questions": call("test_input_required_result_multiple_inputs"),
    "two rounds of questions": call("test_input_required_result_multi_round"),
    "question of a prompt": prompt("test_input_required_result_prompt"),
}

FORM: Final = "elicitation/create"
MODEL: Final = "sampling/createMessage"
ROOTS: Final = "roots/list"

SEEN: Final[dict[str, Any]] = {
    "text": ["This is a simple text response for testing."],
    "kinds of content": ["Multiple content types test:", "image/png", '{"test":"data","value":123}'],
    "tool that fails": ["error", "This tool intentionally returns an error for testing"],
    "argument in a header": ["Routed"],
    "progress": ["Progress told"],
    "resource": ["This is the content of the static text resource."],
    "binary resource": ["image/png"],
    "resource of a template": ['{"id": "123", "templateTest": true, "data": "Data for ID: 123"}'],
    "prompt": ["Prompt with arguments: arg1='one', arg2='zwölf'"],
    "prompt with a resource": [
        "Embedded resource content for testing.",
        "Please process the embedded resource above.",
    ],
    "completion for a prompt": ["testValue1", "testing"],
    "completion for a template": ["19", *(str(number) for number in range(190, 200))],
    "unknown tool": -32602,
    "unknown resource": -32602,
    "unknown prompt": -32602,
    "roots": ["file:///srv/daml"],
    "form": ['User response: action=accept, content={"username": "ada", "email": "ada@example.com"}'],
    "model": ["LLM response: Paris"],
    "three questions": ['action=accept, content={"name": "Ada"}; Paris; file:///srv/daml'],
    "two rounds of questions": [
        'action=accept, content={"name": "Ada"}; action=accept, content={"color": "blue"}'
    ],
    "question of a prompt": ['action=accept, content={"context": "a test"}'],
}
"""What every client sees, but for what `expected` says."""

ASKED: Final[dict[str, list[str]]] = {
    "roots": [ROOTS],
    "form": [FORM],
    "model": [MODEL],
    "three questions": [FORM, ROOTS, MODEL],
    "two rounds of questions": [FORM, FORM],
    "question of a prompt": [FORM],
}
"""What the user is asked in a step: nothing twice. Nothing in all the others."""


def expected(client: str, era: str) -> dict[str, Any]:
    """What a client sees in an era."""
    if client == "inspector":
        return {**SEEN, **INSPECTOR, **refused(era, shows_codes=False)}
    # The code for an unknown resource has changed between the eras. The TypeScript client always shows the new one.
    changed = {"unknown resource": -32002} if era == "legacy" and client != "typescript" else {}
    return {**SEEN, **changed}


def refused(era: str, shows_codes: bool = True) -> dict[str, Any]:
    """What comes of questions to a client that has not declared that it answers them.

    In the legacy era there is no code for that: a tool's result says it, and for a prompt an internal error does.
    """
    wanted = {step: "elicitation" for step in ASKED if FORM in ASKED[step]} | {"model": "sampling"}
    texts = {step: f"The client did not declare the capability {what}" for step, what in wanted.items()}
    prompts = {"question of a prompt"}
    if era == "modern":
        return {step: -32021 if shows_codes else text for step, text in texts.items()}
    return {
        step: (-32603 if shows_codes else text) if step in prompts else ["error", text]
        for step, text in texts.items()
    }


INSPECTOR: Final[dict[str, Any]] = {
    "progress": "lacks",
    "completion for a prompt": "lacks",
    "completion for a template": "lacks",
    "unknown tool": "Tool 'no_such_tool' not found on server.",
    "unknown resource": "Resource not found",
    "unknown prompt": "Unknown prompt: no_such_prompt",
}
"""The Inspector's command line shows the text of an error, not its code."""


# -- driving a client ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """What a client did with some steps on each of its connections."""

    client: str
    era: str
    steps: Mapping[str, dict[str, Any]]
    accounts: list[dict[str, Any]]
    calls: dict[str, list[int]]
    """How many requests came to each server meanwhile, by the balancer's ways."""

    def outcomes(self) -> Iterator[dict[str, dict[str, Any]]]:
        """By step, for one connection after the other."""
        for account in self.accounts:
            yield dict(zip(self.steps, account["steps"], strict=True))

    @property
    def calls_of_servers(self) -> list[int]:
        """How many requests came to each server, by whichever way."""
        return [sum(counts) for counts in zip(*self.calls.values(), strict=True)]


def run(
    fleet: Balancer,
    client: str,
    era: str,
    *,
    answers: Mapping[str, Any] | None = ANSWERS,
    connections: int = 1,
    steps: Mapping[str, dict[str, Any]] = STEPS,
) -> Run:
    before = calls(fleet)
    plan = {"steps": list(steps.values()), "answers": answers, "rounds": connections}
    done = subprocess.run(
        [sys.executable, DRIVER, client, era, f"http://127.0.0.1:{fleet.port}/mcp"],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        timeout=HANGS_SEC,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    accounts = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(accounts) == connections
    meanwhile = {
        way: [now - then for then, now in zip(before[way], counts, strict=True)]
        for way, counts in calls(fleet).items()
    }
    return Run(client, era, steps, accounts, meanwhile)


def calls(fleet: Balancer) -> dict[str, list[int]]:
    """How many requests each server has had so far, by the balancer's ways."""
    return {way: list(map(int, counts)) for way, counts in fleet.statuses("stot").items()}


def seen(outcome: Mapping[str, Any]) -> Any:
    """An outcome in short: the texts of a result (of images their type), the names in a list, the code of an error."""
    if outcome.get("lacks"):
        return "lacks"
    if "error" in outcome:
        error = outcome["error"]
        return error["code"] if isinstance(error["code"], int) else error["message"]
    match outcome["result"]:
        case {"content": content, **more}:
            return (["error"] if more.get("isError") else []) + [said(item) for item in content]
        case {"contents": contents}:
            return [said(item) for item in contents]
        case {"messages": messages}:
            return [said(message["content"]) for message in messages]
        case {"completion": completion}:
            return completion["values"]
        case {"tools": listed} | {"resources": listed} | {"prompts": listed} | {"resourceTemplates": listed}:
            return [entry["name"] for entry in listed]
    raise AssertionError(outcome)


def said(item: Mapping[str, Any]) -> str:
    resource = item.get("resource", item)
    words: str = resource.get("text") or resource["mimeType"]
    return words


@pytest.fixture(scope="module")
def lists(fleet: Balancer) -> dict[str, list[str]]:
    """The names in every list, as the fleet tells them without a client in between."""
    found = {}
    for method in LISTS:
        message = {"jsonrpc": "2.0", "id": 1, "method": method}
        _, answer = request(f"http://127.0.0.1:{fleet.port}/mcp", message)
        found[method] = seen(answer)
        assert len(found[method]) >= 1
    return found


@pytest.fixture(
    scope="module", params=[(client, era) for client in CONNECTIONS for era in VERSIONS], ids="-".join
)
def everything(request: pytest.FixtureRequest, fleet: Balancer) -> Run:
    """All steps by one client in one era, whose user answers every question."""
    client, era = request.param
    return run(fleet, client, era, connections=CONNECTIONS[client])


# -- what they see ---------------------------------------------------------------------------------------


def test_every_operation_works_on_every_connection(everything: Run, lists: dict[str, list[str]]) -> None:
    client, era = everything.client, everything.era
    assert {account["version"] for account in everything.accounts} == {VERSIONS[era]}
    for outcomes in everything.outcomes():
        assert {step: seen(outcome) for step, outcome in outcomes.items()} == {
            **lists,
            **expected(client, era),
        }


def test_progress_arrives_in_order(everything: Run) -> None:
    for outcomes in everything.outcomes():
        told = {step: outcome["progress"] for step, outcome in outcomes.items() if outcome.get("progress")}
        steps = [[done, 100, f"Completed step {done} of 100"] for done in (0, 50, 100)]
        assert told == ({} if everything.client == "inspector" else {"progress": steps})


def test_the_user_is_asked_each_question_once(everything: Run) -> None:
    for outcomes in everything.outcomes():
        asked = {step: outcome["asked"] for step, outcome in outcomes.items() if outcome.get("asked")}
        assert asked == (ASKED if everything.client in ASKABLE else {})


def test_every_server_took_part(everything: Run) -> None:
    counts = everything.calls_of_servers
    assert len(counts) == 3
    assert min(counts) > 0, counts
    if (
        everything.era == "modern"
    ):  # where one request goes here and the next one there, but for streams of changes
        for way, each in everything.calls.items():
            assert way.endswith("_listen") or max(each) - min(each) <= 1, everything.calls


@pytest.mark.parametrize("era", VERSIONS)
@pytest.mark.parametrize("client", ASKABLE)
def test_what_a_user_answers_reaches_whichever_server_asked(fleet: Balancer, client: str, era: str) -> None:
    steps = {step: STEPS[step] for step in ("form", "two rounds of questions")}
    many = run(fleet, client, era, connections=MANY, steps=steps)
    for outcomes in many.outcomes():
        assert {step: seen(outcome) for step, outcome in outcomes.items()} == {
            step: SEEN[step] for step in steps
        }
    ways = [counts for way, counts in many.calls.items() if way.endswith("_session") == (era == "legacy")]
    asking = [sum(counts) > 0 for counts in zip(*ways, strict=True)]
    assert sum(asking) > 1, many.calls


@pytest.mark.parametrize("era", VERSIONS)
@pytest.mark.parametrize("client", ASKABLE)
def test_a_client_that_cannot_be_asked_is_told_so(
    fleet: Balancer, lists: dict[str, list[str]], client: str, era: str
) -> None:
    once = run(fleet, client, era, answers=None)
    told = {**lists, **expected(client, era), **refused(era)}
    told["roots"] = (
        -32021 if era == "modern" else ["error", "The client did not declare the capability roots"]
    )
    for outcomes in once.outcomes():
        assert {step: seen(outcome) for step, outcome in outcomes.items()} == told


@pytest.mark.parametrize("era", VERSIONS)
@pytest.mark.parametrize("client", ASKABLE)
def test_a_user_may_decline(fleet: Balancer, client: str, era: str) -> None:
    steps = {step: STEPS[step] for step in ("form", "model")}
    once = run(fleet, client, era, answers={**ANSWERS, "form": None}, steps=steps)
    for outcomes in once.outcomes():
        assert seen(outcomes["form"]) == ["User response: action=decline, content=null"]
        assert outcomes["form"]["asked"] == [FORM]
        assert seen(outcomes["model"]) == SEEN["model"]
