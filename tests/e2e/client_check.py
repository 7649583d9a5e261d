"""Drive a running server, or a fleet behind its balancer, with unmodified official MCP clients.

    python tests/e2e/client_check.py http://127.0.0.1:7280/mcp [sdk|fastmcp|typescript|inspector ...]

Every client, or each one named, does all that it can with the product's tools, resources, prompts and completions, in
both eras of the protocol. Prints one line for each client and step. Exit status: 0 all well, 1 a step failed, 2 wrong usage.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

DRIVER: Final = Path(__file__).parents[1] / "conformance" / "clients" / "drive.py"
TIMEOUT_SEC: Final = 300.0
AT_A_TIME: Final = 2
VERSIONS: Final = {"modern": "2026-07-28", "legacy": "2025-11-25"}
INVALID_PARAMS: Final = -32602

VALIDATE: Final = "validate_daml_business_logic"
SUGGEST: Final = "suggest_authorization_pattern"
TOOLS: Final = {
    VALIDATE,
    "debug_authorization_failure",
    SUGGEST,
    "get_canonical_resource_overview",
    "recommend_canonical_resources",
}
PROMPTS: Final = {"review-template", "debug-failure", "design-workflow"}
TEMPLATES: Final = {f"canton://{name}" for name in ("patterns/{name}", "rules/{id}", "guides/{name}")}
READ: Final = (
    "canton://patterns/propose-accept",
    "canton://rules/transfer-without-consent",
    "canton://guides/authorization",
)
CODE: Final = "module Iou where\n\ntemplate Iou\n  with\n    issuer : Party\n  where\n    signatory issuer\n"

UNDECIDED: Final = {"workflowDescription": "we do something with contracts"}
FORM: Final = "elicitation/create"
ANSWERS: Final = {
    "form": {
        "bound": "the new owner is bound, and must accept before that",
        "actors": "the owner proposes a transfer, the new owner accepts or rejects it",
    },
    "model": "",
    "roots": [],
}

Outcome = Mapping[str, Any]
Judge = Callable[[Outcome], str]
"""Says in a few words what it saw; raises StepFailed when that is wrong."""


class StepFailed(Exception):
    """The server did something else than it should have; the text says what."""


@dataclass(frozen=True)
class Case:
    """One client in one era."""

    client: str
    era: str

    @property
    def has_a_terminal_only(self) -> bool:
        """Whether it is the Inspector: slow, with nobody to ask, and without progress and completion."""
        return self.client == "inspector"

    def __str__(self) -> str:
        return f"{self.client} {self.era}"


CLIENTS: Final = ("sdk", "fastmcp", "typescript", "inspector")


@dataclass(frozen=True)
class Check:
    """A request, and who judges what came of it."""

    name: str
    step: Mapping[str, Any]
    judge: Judge


# -- driving ---------------------------------------------------------------------------------------------


def drive(case: Case, url: str, steps: Sequence[Mapping[str, Any]], answers: Any = ANSWERS) -> list[Outcome]:
    """What came of `steps` on one connection.

    Raises:
        StepFailed: the client ended before it was through, or agreed on another version.
    """
    plan = {"steps": steps, "answers": answers, "rounds": 1}
    done = subprocess.run(
        [sys.executable, DRIVER, case.client, case.era, url],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SEC,
        check=False,
    )
    if done.returncode:
        raise StepFailed(done.stderr.strip())
    account = json.loads(done.stdout)
    require(account["version"] == VERSIONS[case.era], f"agreed on {account['version']}")
    outcomes: list[Outcome] = account["steps"]
    return outcomes


def require(condition: object, complaint: str) -> None:
    if not condition:
        raise StepFailed(complaint)


def call(tool: str, arguments: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"method": "tools/call", "params": {"name": tool, "arguments": arguments}, **more}


# -- judging ---------------------------------------------------------------------------------------------


def result(outcome: Outcome) -> Mapping[str, Any]:
    """The result of a step that has one."""
    require("result" in outcome, f"gave {json.dumps(outcome)[:300]}")
    found: Mapping[str, Any] = outcome["result"]
    return found


def lists(member: str, key: str, wanted: set[str]) -> Judge:
    def judge(outcome: Outcome) -> str:
        listed = {entry[key] for entry in result(outcome)[member]}
        require(
            wanted <= listed, f"{', '.join(sorted(wanted - listed))} is not among {', '.join(sorted(listed))}"
        )
        return str(len(listed))

    return judge


def is_structured(outcome: Outcome) -> str:
    """A result with text and structure; the client itself checks the structure against the tool's schema."""
    found = result(outcome)
    require(not found.get("isError"), f"was refused: {found['content']}")
    require(isinstance(found.get("structuredContent"), dict), "has no structured result")
    require(len(found["content"]) == 2, f"has {len(found['content'])} texts, not 2")
    return "text and structure"


def is_refused(outcome: Outcome) -> str:
    """A result that a model can read."""
    require(result(outcome).get("isError"), "was accepted")
    return "refused"


def is_unknown(outcome: Outcome) -> str:
    """A protocol error. The Inspector looks at the list itself, and shows no codes of errors."""
    error = outcome.get("error", {})
    known = (INVALID_PARAMS, "tool_not_found")
    require(error.get("code") in known, f"gave {json.dumps(outcome)[:300]}")
    return "refused"


def is_document(outcome: Outcome) -> str:
    """One text in Markdown."""
    contents = result(outcome)["contents"]
    require(len(contents) == 1 and contents[0]["text"].startswith("# "), f"gave {contents}"[:300])
    return f"{len(contents[0]['text']):,} characters"


def holds(words: str) -> Judge:
    """Messages for a model, with what was given to the prompt in them."""

    def judge(outcome: Outcome) -> str:
        messages = result(outcome)["messages"]
        texts = [message["content"].get("text", "") for message in messages]
        require(any(words in text for text in texts), f"{words!r} is not in {texts}"[:300])
        return f"{len(messages)} messages"

    return judge


def completes(*values: str) -> Judge:
    def judge(outcome: Outcome) -> str:
        found = result(outcome)["completion"]["values"]
        require(found == list(values), f"proposed {found}")
        return ", ".join(found)

    return judge


def tells_progress(outcome: Outcome) -> str:
    """Values that rise to the total, each with a word on what was done."""
    is_structured(outcome)
    told = outcome["progress"]
    done = [value for value, _, _ in told]
    require(len(told) >= 3 and done == sorted(set(done)), f"told {told}")
    require(done[-1] == told[-1][1] and all(words for _, _, words in told), f"told {told}")
    return f"{len(told)} messages"


def chooses(asked: int) -> Judge:
    """A pattern, once the user has said more."""

    def judge(outcome: Outcome) -> str:
        is_structured(outcome)
        pattern = result(outcome)["structuredContent"]["pattern"]
        require(outcome["asked"] == [FORM] * asked, f"asked {outcome['asked']}")
        require(pattern, "chose nothing, whatever the user said")
        return f"{pattern['id']}, after a question"

    return judge


def leaves_open(asked: int) -> Judge:
    """Questions in place of a pattern, as nobody has said more."""

    def judge(outcome: Outcome) -> str:
        is_structured(outcome)
        found = result(outcome)["structuredContent"]
        require(outcome["asked"] == [FORM] * asked, f"asked {outcome['asked']}")
        require(found["pattern"] is None and found["questions"], f"chose {found['pattern']}")
        return f"open, {len(found['questions'])} questions"

    return judge


# -- what is done ----------------------------------------------------------------------------------------


def checks(case: Case, tools: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    """All that a client can do here."""
    yield Check("list tools", {"method": "tools/list"}, lists("tools", "name", TOOLS))
    for tool in tools:
        examples = tool["inputSchema"].get("examples") or []
        require(examples, f"{tool['name']} has no examples in its input schema")
        for example in examples[:1] if case.has_a_terminal_only else examples:
            yield Check(f"call {tool['name']}", call(tool["name"], example), is_structured)
    yield Check("call with wrong arguments", call(VALIDATE, {"noSuchArgument": True}), is_refused)
    yield Check("call of an unknown tool", call("no_such_tool", {}), is_unknown)
    yield Check("list resources", {"method": "resources/list"}, lists("resources", "uri", set(READ)))
    yield Check(
        "list templates",
        {"method": "resources/templates/list"},
        lists("resourceTemplates", "uriTemplate", TEMPLATES),
    )
    for uri in READ:
        yield Check(f"read {uri}", {"method": "resources/read", "params": {"uri": uri}}, is_document)
    yield Check("list prompts", {"method": "prompts/list"}, lists("prompts", "name", PROMPTS))
    for name, arguments, words in (
        ("review-template", {"code": CODE}, "template Iou"),
        ("debug-failure", {"error": "requires authorizers Bob"}, "requires authorizers Bob"),
        ("design-workflow", {"description": "Ann pays Bob", "level": "high"}, "Ann pays Bob"),
    ):
        step = {"method": "prompts/get", "params": {"name": name, "arguments": arguments}}
        yield Check(f"get {name}", step, holds(words))
    if case.has_a_terminal_only:
        yield Check("suggest for an open description", call(SUGGEST, UNDECIDED), leaves_open(asked=0))
        return
    arguments = {"businessIntent": "An issuer issues an IOU", "damlCode": CODE}
    yield Check("progress of a validation", call(VALIDATE, arguments, progress=True), tells_progress)
    yield Check(
        "complete a name",
        completion({"type": "ref/resource", "uri": "canton://patterns/{name}"}, "name", "propose"),
        completes("propose-accept"),
    )
    yield Check(
        "complete a level",
        completion({"type": "ref/prompt", "name": "design-workflow"}, "level", "e"),
        completes("enhanced"),
    )
    yield Check("suggest for an open description", call(SUGGEST, UNDECIDED), chooses(asked=1))


def completion(ref: Mapping[str, str], argument: str, value: str) -> dict[str, Any]:
    return {
        "method": "completion/complete",
        "params": {"ref": ref, "argument": {"name": argument, "value": value}},
    }


def check(case: Case, url: str) -> list[tuple[str, str]]:
    """Steps, and how they went.

    Raises:
        StepFailed: with the step that failed in its text.
    """
    tools = result(drive(case, url, [{"method": "tools/list"}])[0])["tools"]
    planned = list(checks(case, tools))
    lines = list(judged(planned, drive(case, url, [entry.step for entry in planned])))
    if not case.has_a_terminal_only:
        declined = [Check("suggest, and the user declines", call(SUGGEST, UNDECIDED), leaves_open(asked=1))]
        steps = [entry.step for entry in declined]
        lines += judged(declined, drive(case, url, steps, {**ANSWERS, "form": None}))
    return lines


def judged(planned: Sequence[Check], outcomes: Sequence[Outcome]) -> Iterator[tuple[str, str]]:
    for entry, outcome in zip(planned, outcomes, strict=True):
        try:
            words = entry.judge(outcome)
        except StepFailed as failure:
            raise StepFailed(f"{entry.name}: {failure}") from None
        yield entry.name, f"ok ({words})"


def attempt(case: Case, url: str) -> tuple[bool, list[tuple[str, str]]]:
    """Whether all went well, and what to print."""
    try:
        return True, check(case, url)
    except (StepFailed, subprocess.TimeoutExpired) as failure:
        return False, [("FAILED", str(failure))]


def main(url: str, clients: Sequence[str]) -> int:
    """Let every client try everything; 1 when one of them failed."""
    passed = True
    cases = [Case(client, era) for client in clients for era in VERSIONS]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for case, (well, lines) in zip(cases, pool.map(lambda case: attempt(case, url), cases), strict=True):
            passed = passed and well
            for (step, outcome), alike in groupby(lines):
                times = len(list(alike))
                repeated = f" {times} times" if times > 1 else ""
                print(f"{case!s:<18} {step:<48} {outcome}{repeated}", flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    match sys.argv[1:]:
        case [url, *named] if url.startswith("http") and set(named) <= set(CLIENTS):
            sys.exit(main(url, named or CLIENTS))
    print(f"Usage: client_check.py http://HOST:PORT/mcp [{'|'.join(CLIENTS)} ...]", file=sys.stderr)
    sys.exit(2)
