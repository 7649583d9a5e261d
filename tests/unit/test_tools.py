"""The three tools: interface, examples, and answers that are never nonsense."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from canton_mcp.tools import TOOLS, Tool
from pydantic import ValidationError

BY_NAME = {tool.name: tool for tool in TOOLS}
EXAMPLES = [
    pytest.param(tool, example, id=f"{tool.name}-{number}")
    for tool in TOOLS
    for number, example in enumerate(tool.examples)
]


def call(name: str, **arguments: Any) -> dict[str, Any]:
    tool = BY_NAME[name]
    result = tool.run(tool.params.model_validate(arguments))
    return result.model_dump(by_alias=True, mode="json")


def validate(code: str, intent: str = "Keeps a record.", **more: Any) -> dict[str, Any]:
    return call("validate_daml_business_logic", businessIntent=intent, damlCode=code, **more)


def test_names() -> None:
    assert [tool.name for tool in TOOLS] == [
        "validate_daml_business_logic",
        "debug_authorization_failure",
        "suggest_authorization_pattern",
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
    result = tool.run(tool.params.model_validate(example))
    jsonschema.validate(result.model_dump(by_alias=True, mode="json"), tool.output_schema)
    assert tool.render(result).strip()
    assert result == tool.run(tool.params.model_validate(example))


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
