"""The tools: interface, examples, answers that are never nonsense, and what they say and ask while they run."""

from __future__ import annotations

import json
import logging
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jsonschema
import mcp_types
import pytest
from canton_mcp import catalogue
from canton_mcp.dcap import Emitter
from canton_mcp.protocol import Call, Cancelled, CannotAsk, InputRequired, MissingCapability
from canton_mcp.tools import TOOLS, Tool
from canton_mcp.tools.base import MAX_ITEM_CHARS, SILENT, Client
from canton_mcp.web.calls import ToolRunner
from pydantic import BaseModel, ValidationError

BY_NAME = {tool.name: tool for tool in TOOLS}
EXAMPLES = [
    pytest.param(tool, example, id=f"{tool.name}-{number}")
    for tool in TOOLS
    for number, example in enumerate(tool.examples)
]


def call(name: str, client: Client = SILENT, **arguments: Any) -> dict[str, Any]:
    tool = BY_NAME[name]
    result = tool.run(tool.params.model_validate(arguments), client)
    return result.model_dump(by_alias=True, mode="json")


def validate(code: str, intent: str = "Keeps a record.", **more: Any) -> dict[str, Any]:
    return call("validate_daml_business_logic", businessIntent=intent, damlCode=code, **more)


def test_names() -> None:
    assert [tool.name for tool in TOOLS] == [
        "validate_daml_business_logic",
        "debug_authorization_failure",
        "suggest_authorization_pattern",
        "get_canonical_resource_overview",
        "recommend_canonical_resources",
    ]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: str(tool.name))
def test_schemas(tool: Tool) -> None:
    for schema in (tool.input_schema, tool.output_schema):
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
    assert tool.input_schema["additionalProperties"] is False
    assert tool.input_schema["examples"] == list(tool.examples)
    assert set(tool.vocabulary) == set(tool.input_schema["properties"])


@pytest.mark.parametrize(("tool", "example"), EXAMPLES)
def test_examples_fit_the_schemas(tool: Tool, example: dict[str, Any]) -> None:
    jsonschema.validate(example, tool.input_schema)
    result = tool.run(tool.params.model_validate(example), SILENT)
    jsonschema.validate(result.model_dump(by_alias=True, mode="json"), tool.output_schema)
    assert tool.render(result).strip()
    assert result == tool.run(tool.params.model_validate(example), SILENT)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("validate_daml_business_logic", {"businessIntent": "x"}),
        ("validate_daml_business_logic", {"businessIntent": "x", "damlCode": "y", "extra": 1}),
        ("validate_daml_business_logic", {"businessIntent": "x", "damlCode": "y" * 500_001}),
        ("validate_daml_business_logic", {"businessIntent": "x", "damlCode": 7}),
        ("debug_authorization_failure", {}),
        ("debug_authorization_failure", {"errorMessage": None}),
        ("suggest_authorization_pattern", {"workflowDescription": ""}),
        ("suggest_authorization_pattern", {"workflowDescription": "x", "securityLevel": "secure"}),
        ("suggest_authorization_pattern", {"workflowDescription": "x", "constraints": [" "]}),
        ("get_canonical_resource_overview", {"category": "everything"}),
        ("recommend_canonical_resources", {"useCase": "governance"}),
        ("recommend_canonical_resources", {"description": "x" * 20_001}),
        ("recommend_canonical_resources", {"description": "x", "securityLevel": "total"}),
    ],
)
def test_unusable_arguments_are_refused(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BY_NAME[name].params.model_validate(arguments)


def test_null_means_absent() -> None:
    answer = call(
        "suggest_authorization_pattern", workflowDescription="x", securityLevel=None, constraints=None
    )
    assert answer["level"] == "basic"


@pytest.mark.parametrize(
    "code",
    [
        "",
        "signatory controller choice",
        "-- template T where signatory a",
        "hello",
        '"template T"',
        "x = 1",
        "}{",
    ],
)
def test_text_without_a_template_is_invalid(code: str) -> None:
    answer = validate(code)
    assert (answer["valid"], answer["verdict"]) == (False, "invalid")
    assert answer["findings"][0]["rule"] == "no-template"


SAFE = "template T\n  with\n    a : Party\n  where\n    signatory a\n"


def test_verdicts() -> None:
    assert validate(SAFE)["verdict"] == "valid"
    assert validate(SAFE.replace("signatory", "observer"))["verdict"] == "invalid"
    assert validate(SAFE + "    oops\n")["verdict"] == "invalid"
    assert validate(SAFE, "Only a can close it.")["verdict"] == "incomplete"
    body = "    choice Go : ()\n      controller a\n      do create Other with a\n"
    unknown = validate(SAFE + body)
    assert (unknown["verdict"], unknown["valid"]) == ("unknown", False)
    assert any("Other" in limit for limit in unknown["limits"])


def test_actions_of_helpers_are_not_called_fine() -> None:
    helper = "\nmake a = create T with a\n"
    assert validate(SAFE + helper)["verdict"] == "unknown"


def test_requirement_that_is_not_understood_is_said_to_be_so() -> None:
    (item,) = validate(SAFE, securityRequirements=["Be quantum proof"])["intent"]
    assert (item["status"], item["source"]) == ("not_found", "security_requirements")


def test_no_verdict_claims_security() -> None:
    assert "secure" not in validate(SAFE)["summary"].lower()


def test_debug_names_parties_and_place() -> None:
    example = BY_NAME["debug_authorization_failure"].examples[0]
    answer = call("debug_authorization_failure", **example)
    assert (answer["kind"], answer["missing"], answer["node"]) == ("missing_authorization", ["Bob"], 2)
    (site,) = answer["sites"]
    assert (site["template"], site["choice"], site["line"]) == ("Iou", "Transfer", 13)
    assert answer["fixes"] and answer["need"] == []


@pytest.mark.parametrize("text", ["", "   ", "it is broken"])
def test_debug_of_an_unknown_message_asks_for_more(text: str) -> None:
    answer = call("debug_authorization_failure", errorMessage=text)
    assert answer["kind"] == "unknown" and answer["need"] and answer["fixes"] == []


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("A landlord makes an offer to a tenant, who accepts or declines.", "propose-accept"),
        ("The owner transfers its token to a new owner.", "transfer-with-consent"),
        ("A broker places orders on behalf of the investor.", "delegation"),
        ("Money is held in escrow until delivery.", "locking"),
        ("Three out of five directors must approve by vote.", "threshold-approval"),
        ("Atomic settlement: bond against payment, delivery versus payment.", "delegated-settlement"),
        ("Only investors with KYC may enter.", "credential"),
        ("A customer subscribes to a service and sends many requests, an ongoing relation.", "role-contract"),
        ("All parties of the consortium sign, in any order.", "multi-party-agreement"),
        ("Auditors get read-only access as observers.", "read-access"),
        ("Any one of the two deputies may amend the record alone.", "any-of-control"),
    ],
)
def test_suggestion_follows_the_description(text: str, pattern: str) -> None:
    answer = call("suggest_authorization_pattern", workflowDescription=text, securityLevel="high")
    assert answer["pattern"]["id"] == pattern
    assert answer["skeleton"] and answer["hardening"] and answer["alternatives"]
    assert all(other["id"] != pattern and other["reason"] for other in answer["alternatives"])


def test_no_suggestion_for_a_description_that_says_nothing() -> None:
    answer = call("suggest_authorization_pattern", workflowDescription="blue bananas", constraints=["ripe"])
    assert answer["pattern"] is None and answer["questions"] and answer["skeleton"] == ""


def test_levels_add_up() -> None:
    text = BY_NAME["suggest_authorization_pattern"].examples[0]["workflowDescription"]
    counts = [
        len(call("suggest_authorization_pattern", workflowDescription=text, securityLevel=level)["hardening"])
        for level in ("basic", "enhanced", "high")
    ]
    assert counts[0] < counts[1] < counts[2]


def test_constraints_are_answered_one_by_one() -> None:
    example = BY_NAME["suggest_authorization_pattern"].examples[0]
    answer = call(
        "suggest_authorization_pattern", **{**example, "constraints": ["It expires after 3 days", "Be blue"]}
    )
    assert [item["status"] for item in answer["constraints"]] == ["addressed", "not_understood"]


def test_overview_lists_every_resource_once() -> None:
    answer = call("get_canonical_resource_overview")
    listed = [entry["uri"] for group in answer["groups"] for entry in group["resources"]]
    assert listed == [entry.uri for entry in catalogue.DOCUMENTS]
    (rules,) = call("get_canonical_resource_overview", category="rules")["groups"]
    assert rules["uriTemplate"] == "canton://rules/{id}"
    assert {entry["uri"] for entry in rules["resources"]} < set(listed)


RECOMMEND = "recommend_canonical_resources"


@pytest.mark.parametrize(
    ("arguments", "best"),
    [
        # What the reference's tester sends.
        (
            {
                "useCase": "asset_transfer",
                "description": "Building a digital asset management system with transfer capabilities",
                "securityLevel": "basic",
            },
            "canton://patterns/transfer-with-consent",
        ),
        (
            {"description": "Three of five directors approve each payment"},
            "canton://patterns/threshold-approval",
        ),
        ({"description": "DAML_AUTHORIZATION_ERROR: what now?"}, "canton://guides/ledger-errors"),
        ({"description": "The amount must never be negative"}, "canton://rules/amount-without-ensure"),
        ({"useCase": "identity_management", "description": "x"}, "canton://patterns/credential"),
    ],
)
def test_recommendations_follow_the_request(arguments: dict[str, Any], best: str) -> None:
    answer = call(RECOMMEND, **arguments)
    first, *others = answer["recommendations"]
    assert first["uri"] == best and first["reason"]
    assert all(first["score"] >= other["score"] for other in others)


@pytest.mark.parametrize("text", ["blue bananas", "x", "asset", "my_snake_case variable"])
def test_nothing_is_recommended_for_a_request_that_says_nothing(text: str) -> None:
    answer = call(RECOMMEND, description=text)
    assert answer["recommendations"] == [] and "No resource" in answer["summary"]
    assert answer["useCases"]


@pytest.mark.parametrize(
    "named", ["transfer-with-consent", "TRANSFER_WITH_CONSENT", "canton://patterns/transfer-with-consent"]
)
def test_patterns_in_use_are_left_out(named: str) -> None:
    text = "The owner transfers an asset to a new owner."
    assert call(RECOMMEND, description=text)["recommendations"][0]["id"] == "transfer-with-consent"
    answer = call(RECOMMEND, description=text, existingPatterns=[named])
    assert answer["recommendations"]
    assert all(entry["id"] != "transfer-with-consent" for entry in answer["recommendations"])


def test_recommended_hardening_grows_with_the_level() -> None:
    told = [
        len(call(RECOMMEND, description="a vote", securityLevel=level)["recommendations"][0]["hardening"])
        for level in ("basic", "enhanced", "high", "enterprise")
    ]
    assert told[0] == 0 < told[1] < told[2] == told[3]


def test_what_is_too_complex_comes_last() -> None:
    text = "an ongoing subscription service with onboarding; either the owner or the clerk may amend"
    ids = [entry["id"] for entry in call(RECOMMEND, description=text)["recommendations"]]
    simple = [
        entry["id"]
        for entry in call(RECOMMEND, description=text, complexityLevel="beginner")["recommendations"]
    ]
    assert ids.index("any-of-control") > ids.index("role-contract")
    assert simple.index("any-of-control") < simple.index("role-contract")


# speaking while running -------------------------------------------------------------------------


class Told:
    """A caller that notes what it hears, and answers as it was told to."""

    def __init__(self, answers: dict[str, str] | None = None) -> None:
        self.heard: list[tuple[float, float, str]] = []
        self.asked: list[dict[str, str]] = []
        self.answers = answers

    def progress(self, done: float, total: float, message: str) -> None:
        self.heard.append((done, total, message))

    def ask(self, question: str, fields: Mapping[str, str]) -> dict[str, str] | None:
        self.asked.append(dict(fields))
        return self.answers


@pytest.mark.parametrize(
    ("name", "arguments", "stages"),
    [
        ("validate_daml_business_logic", {"businessIntent": "x", "damlCode": SAFE}, 4),
        ("validate_daml_business_logic", {"businessIntent": "x", "damlCode": "hello"}, 4),
        ("debug_authorization_failure", {"errorMessage": "x", "damlCode": SAFE}, 3),
        ("debug_authorization_failure", {"errorMessage": "x"}, 1),
    ],
)
def test_progress_rises_to_its_total_by_stages(name: str, arguments: dict[str, Any], stages: int) -> None:
    client = Told()
    call(name, client, **arguments)
    assert [done for done, _, _ in client.heard] == list(range(1, stages + 1))
    assert {total for _, total, _ in client.heard} == {stages}
    assert len({message for _, _, message in client.heard}) == stages
    assert client.asked == []


def test_progress_may_end_the_call() -> None:
    class Gone(Told):
        def progress(self, done: float, total: float, message: str) -> None:
            super().progress(done, total, message)
            raise Cancelled

    client = Gone()
    with pytest.raises(Cancelled):
        call("validate_daml_business_logic", client, businessIntent="x", damlCode=SAFE)
    assert len(client.heard) == 1


SUGGEST = "suggest_authorization_pattern"


def test_a_description_that_decides_asks_nothing() -> None:
    client = Told({"actors": "an agent on behalf of its principal"})
    answer = call(SUGGEST, client, workflowDescription="Money is held in escrow until delivery.")
    assert client.asked == [] and answer["pattern"]["id"] == "locking"


def test_answers_decide_what_the_description_does_not() -> None:
    client = Told({"actors": "An agent places orders on behalf of its principal."})
    answer = call(SUGGEST, client, workflowDescription="blue bananas")
    assert len(client.asked) == 1
    assert list(client.asked[0].values()) == call(SUGGEST, workflowDescription="blue bananas")["questions"]
    assert answer["pattern"]["id"] == "delegation"


@pytest.mark.parametrize("answers", [None, {}, {"actors": "yellow"}])
def test_without_useful_answers_nothing_is_chosen(answers: dict[str, str] | None) -> None:
    client = Told(answers)
    answer = call(SUGGEST, client, workflowDescription="blue bananas")
    assert len(client.asked) == 1
    assert answer["pattern"] is None and answer["questions"]
    if not answers:
        assert answer == call(SUGGEST, workflowDescription="blue bananas")


# through the runner -----------------------------------------------------------------------------


FORMS = mcp_types.ClientCapabilities(elicitation=mcp_types.ElicitationCapability())
BLUE = {"workflowDescription": "blue bananas"}


@pytest.fixture
def hub() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(10)
        yield made


@pytest.fixture
def runner(hub: socket.socket) -> Iterator[ToolRunner]:
    emitter = Emitter("s", "127.0.0.1", hub.getsockname()[1])
    emitter.start()
    yield ToolRunner(TOOLS, emitter)
    emitter.close(2)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    logger = logging.getLogger("canton_mcp")
    before = logger.level
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.INFO)
    yield lambda: caplog.messages
    logger.removeHandler(caplog.handler)
    logger.setLevel(before)


class Form:
    """Answers every form as told; notes the forms."""

    def __init__(self, answer: mcp_types.ElicitResult | Exception, seconds: float = 0) -> None:
        self.answer = answer
        self.seconds = seconds
        self.waited = 0.0
        self.forms: list[tuple[str, mcp_types.ElicitRequestFormParams]] = []

    def __call__(
        self, requests: Mapping[str, mcp_types.InputRequest]
    ) -> Mapping[str, mcp_types.InputResponse]:
        started = time.perf_counter()
        ((key, request),) = requests.items()
        assert isinstance(request.params, mcp_types.ElicitRequestFormParams)
        self.forms.append((key, request.params))
        time.sleep(self.seconds)
        self.waited += time.perf_counter() - started
        if isinstance(self.answer, Exception):
            raise self.answer
        return {key: self.answer}


def accepted(**content: Any) -> mcp_types.ElicitResult:
    return mcp_types.ElicitResult(action="accept", content=content)


def told_by(result: mcp_types.CallToolResult) -> Any:
    readable, encoded = result.content
    assert isinstance(readable, mcp_types.TextContent) and isinstance(encoded, mcp_types.TextContent)
    assert readable.text and json.loads(encoded.text) == result.structured_content
    assert result.is_error is False
    return result.structured_content


def test_a_result_is_text_then_json_then_an_object(runner: ToolRunner) -> None:
    assert told_by(runner.call_tool(SUGGEST, BLUE, Call({})))["pattern"] is None


def test_a_form_is_shown_and_its_answers_are_used(runner: ToolRunner) -> None:
    client = Form(accepted(actors=" An agent acts on behalf of others. ", forged="a vote", value=7))
    answer = told_by(runner.call_tool(SUGGEST, BLUE, Call({}, capabilities=FORMS, asker=client)))
    assert answer["pattern"]["id"] == "delegation"
    ((_, form),) = client.forms
    schema = form.requested_schema
    assert schema["type"] == "object" and form.message
    assert all(field["type"] == "string" and field["description"] for field in schema["properties"].values())
    assert runner.counts.ok == 1


def test_long_answers_are_cut(runner: ToolRunner) -> None:
    client = Form(accepted(actors="x" * MAX_ITEM_CHARS + " on behalf of"))
    answer = told_by(runner.call_tool(SUGGEST, BLUE, Call({}, capabilities=FORMS, asker=client)))
    assert answer["pattern"] is None


@pytest.mark.parametrize(
    ("capabilities", "answer", "asked"),
    [
        (None, accepted(actors="on behalf of"), 0),
        (
            mcp_types.ClientCapabilities(
                elicitation=mcp_types.ElicitationCapability(url=mcp_types.UrlElicitationCapability())
            ),
            accepted(actors="on behalf of"),
            0,
        ),
        (FORMS, mcp_types.ElicitResult(action="decline"), 1),
        (FORMS, mcp_types.ElicitResult(action="cancel"), 1),
        (FORMS, CannotAsk("no"), 1),
        (FORMS, accepted(), 1),
    ],
)
def test_who_does_not_answer_gets_the_open_questions(
    runner: ToolRunner, capabilities: mcp_types.ClientCapabilities | None, answer: Any, asked: int
) -> None:
    client = Form(answer)
    told = told_by(runner.call_tool(SUGGEST, BLUE, Call({}, capabilities=capabilities, asker=client)))
    assert len(client.forms) == asked
    assert told == call(SUGGEST, **BLUE)
    assert runner.counts.ok == 1


def test_a_round_that_ends_with_a_question_is_no_finished_call(
    runner: ToolRunner, hub: socket.socket, lines: Callable[[], list[str]]
) -> None:
    for _ in range(2):  # the same question has the same key, so that its answer is found again
        client = Form(InputRequired({}))
        with pytest.raises(InputRequired):
            runner.call_tool(SUGGEST, BLUE, Call({}, capabilities=FORMS, asker=client))
        assert [key for key, _ in client.forms] == ["question-1"]
    assert re.fullmatch(rf"Tool {SUGGEST} asks its caller after \d+ ms", lines()[-1])
    assert runner.counts.total == 0
    runner.call_tool("get_canonical_resource_overview", {}, Call({}))
    assert json.loads(hub.recv(2048))["tool"] == "get_canonical_resource_overview"  # the first message of all


class Gone:
    """A client that has left."""

    cancelled = True

    def notify(self, notification: Any) -> None:
        raise AssertionError("nobody is there")


def test_a_cancelled_call_is_told_as_one_that_did_not_succeed(
    runner: ToolRunner, hub: socket.socket, lines: Callable[[], list[str]]
) -> None:
    name = "validate_daml_business_logic"
    with pytest.raises(Cancelled):
        runner.call_tool(name, {"businessIntent": "x", "damlCode": SAFE}, Call({}, channel=Gone()))
    assert re.fullmatch(rf"Tool {name} cancelled after \d+ ms", lines()[-1])
    assert (runner.counts.total, runner.counts.tool_errors) == (1, 1)
    told = json.loads(hub.recv(2048))
    assert (told["tool"], told["success"], told["ctx"]["error_code"]) == (name, False, "cancelled")


class Nothing(BaseModel):
    pass


def needy(params: Nothing, client: Client) -> Nothing:
    raise MissingCapability(mcp_types.ClientCapabilities(roots=mcp_types.RootsCapability()))


def late(params: Nothing, client: Client) -> Nothing:
    raise TimeoutError("of a secret")


@pytest.mark.parametrize(
    ("run", "raised", "code"),
    [(needy, MissingCapability, "missing_capability"), (late, TimeoutError, "timeout")],
)
def test_calls_without_a_result_say_why(
    hub: socket.socket, run: Any, raised: type[Exception], code: str
) -> None:
    tool = Tool("needy", "Needy", "Needs.", Nothing, Nothing, run, str, ({},))
    emitter = Emitter("s", "127.0.0.1", hub.getsockname()[1])
    emitter.start()
    runner = ToolRunner([tool], emitter)
    with pytest.raises(raised):
        runner.call_tool("needy", {}, Call({}))
    told = json.loads(hub.recv(2048))
    emitter.close(2)
    assert (told["success"], told["ctx"]["error_code"], runner.counts.tool_errors) == (False, code, 1)
    assert "secret" not in json.dumps(told)


def test_waiting_for_answers_is_no_execution(runner: ToolRunner, hub: socket.socket) -> None:
    client = Form(accepted(actors="on behalf of"), seconds=0.1)
    started = time.perf_counter()
    runner.call_tool(SUGGEST, BLUE, Call({}, capabilities=FORMS, asker=client))
    elsewhere_ms = (time.perf_counter() - started - client.waited) * 1000
    assert 0 <= json.loads(hub.recv(2048))["exec_ms"] <= elsewhere_ms + 0.001
