"""What telemetry tells of arguments and callers: the policies, and what no policy lets pass."""

from __future__ import annotations

import json
from typing import Any

import pytest
from canton_mcp.dcap.privacy import POLICIES, sanitise, scrub, shape
from canton_mcp.tools import TOOLS
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import plant

KNOWN = {
    name: frozenset[str]()
    for name in (
        "note",
        "apiKey",
        "password",
        "userEmail",
        "partyId",
        "damlCode",
        "count",
        "flag",
        "list",
        "object",
    )
} | {"level": frozenset({"high"})}

VOCABULARIES = [tool.vocabulary for tool in TOOLS]


def truncated(**arguments: Any) -> dict[str, Any]:
    return sanitise(arguments, KNOWN, "truncate")


def test_types_tell_shapes_and_enumerated_words() -> None:
    arguments = {
        "note": "hello",
        "count": 7,
        "flag": True,
        "list": [1, 2],
        "object": {"a": 1},
        "level": "high",
    }
    assert sanitise(arguments, KNOWN) == {
        "note": "<text:5>",
        "count": "<number>",
        "flag": True,
        "list": "<list:2>",
        "object": "<object:1>",
        "level": "high",
    }
    assert sanitise({"level": "low", "note": None}, KNOWN) == {"level": "<text:3>", "note": None}
    assert shape(object()) == "<value>"


def test_truncate_tells_the_beginning_of_harmless_text() -> None:
    assert truncated(note="hello", level="high", count=7, flag=False, list=[1], object={"a": 1}) == {
        "note": "hello",
        "level": "high",
        "count": 7,
        "flag": False,
        "list": "<list:1>",
        "object": "<object:1>",
    }
    cut = truncated(note="a sentence of many small words")["note"]
    assert cut == "a sentence of many s..." and len(cut) <= 32


@pytest.mark.parametrize("name", ["apiKey", "password", "userEmail"])
@pytest.mark.parametrize("value", ["x", 1234, ["x"], {"a": "x"}])
def test_truncate_redacts_by_name_whatever_the_value(name: str, value: Any) -> None:
    assert truncated(**{name: value}) == {name: "[REDACTED]"}


def test_truncate_tells_no_business_data() -> None:
    assert truncated(partyId="alice", damlCode="x = 1") == {"partyId": "<text:5>", "damlCode": "<text:5>"}


@pytest.mark.parametrize(
    "text",
    [
        "Bearer abc",
        "the password is x",
        "secret=x",
        "alice@bank.example",
        "/etc/passwd",
        "C:\\Users\\x",
        "https://x.example",
        "Alice::12",
        "4111 1111 1111 1111",
        "template Iou with",
        "hunter2",
        "deadbeefdeadbeef",
    ],
)
def test_truncate_redacts_by_pattern(text: str) -> None:
    assert truncated(note=text) == {"note": "[REDACTED]"}


@pytest.mark.parametrize("text", ["naïve", "a\u200bb", "a\nb", "<b>", "\u202ea"])
def test_what_patterns_cannot_judge_is_told_as_a_shape(text: str) -> None:
    assert truncated(note=text) == {"note": f"<text:{len(text)}>"}


def test_none_tells_nothing() -> None:
    assert sanitise({"note": "x", "flag": True}, KNOWN, "none") == {}


@pytest.mark.parametrize("policy", POLICIES)
def test_names_come_from_the_tool_and_are_ten_at_most(policy: Any) -> None:
    many = {f"n{index}": True for index in range(30)}
    known = dict.fromkeys(many, frozenset[str]())
    assert len(sanitise(many, known, policy)) == (0 if policy == "none" else 10)
    assert sanitise({"mySecretWord": True}, KNOWN, policy) == {}


@pytest.mark.parametrize("policy", POLICIES)
@given(text=st.text(min_size=1))
@settings(deadline=None)
def test_no_text_argument_of_our_tools_is_ever_told(policy: Any, text: str) -> None:
    for known in VOCABULARIES:
        for name, words in known.items():
            told = sanitise({name: text}, known, policy).get(name, "")
            assert told in {"", "[REDACTED]", f"<text:{len(text)}>"} | words


@pytest.mark.parametrize("policy", POLICIES)
def test_planted_secrets_stay(policy: Any) -> None:
    for secret in plant(1000):
        # A password of letters only is a word like any other, unless its argument's name says what it is.
        names = ["damlCode", "password"] if secret.text.isalpha() and secret.text.isascii() else list(KNOWN)
        arguments = dict.fromkeys(names, secret.text) | {secret.text: True}
        nested = {name: {"a": [secret.text], secret.text: 1} for name in names}
        told = json.dumps(
            [sanitise(given, KNOWN, policy) for given in (arguments, nested)], ensure_ascii=False
        )
        assert not secret.found_in(told), (secret.text, told)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("canton-mcp-tester", "canton-mcp-tester"),
        ("agent-7f3a", "agent-7f3a"),
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
        ("0b8f6f0e-3f0a-4f5e-9a43-0d2f5f6f7a11", "0b8f6f0e-3f0a-4f5e-9a43-0d2f5f6f7a11"),
        ("me, Bearer abc.def", "me, [REDACTED]"),
        ("sk_live_51Hx9abcdef", "[REDACTED]"),
        ("token: 123", "[REDACTED]"),
        ("x eyJhbGciOiJIUzI1NiJ9.e30.abc", "x [REDACTED]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc", "[REDACTED]"),
        ("https://me:pw@x.example", "[REDACTED]"),
        ("AKIAIOSFODNN7EXAMPLE", "[REDACTED]"),
    ],
)
def test_callers_keep_their_names_but_not_their_credentials(said: str, told: str) -> None:
    assert scrub(said) == told
