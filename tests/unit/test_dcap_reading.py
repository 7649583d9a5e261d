"""Reading datagrams: what is refused and why, what is flagged, and that nothing can break it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from canton_mcp.dcap import message as building
from canton_mcp.dcap.message import HARD_LIMIT, Connector, Offer
from canton_mcp.dcap.reading import (
    AGENT_TYPES,
    FLAGS,
    REASONS,
    TYPES,
    ErrorPattern,
    Message,
    Rejected,
    error_pattern,
    read,
)
from hypothesis import given, settings
from hypothesis import strategies as st

Fields = dict[str, Any]

CONNECTOR = {
    "transport": "http",
    "endpoint": "http://192.0.2.1:7284/mcp",
    "auth": {"type": "none", "required": False},
    "protocol": {"type": "mcp", "version": "2025-11-25"},
}
SIGNATURE = {"input": "Text", "output": "JSON", "cost": 1}
GOOD: dict[str, Fields] = {
    "perf_update": {"tool": "t", "exec_ms": 1, "success": True},
    "semantic_discover": {"tool": "t", "does": "x", "when": [], "connector": CONNECTOR},
    "error_pattern": {"tool": "t", "error_type": "E", "frequency": 3},
    "usage_receipt": {"tool": "t", "tool_sid": "canton-mcp-1", "success": True, "exec_ms": 1},
    "composite_capability": {
        "composite_id": "c",
        "chain": [{"tool_sid": "s", "tool": "t", "signature": SIGNATURE}],
        "signature": SIGNATURE,
    },
    "composite_receipt": {"composite_id": "c", "success": True, "exec_ms": 1, "cost_paid": 0, "steps": [{}]},
}
OLD_PATTERN = {"tool": "t", "error": "E", "trigger": "when", "solution": "so"}


def build(kind: str, **changes: Any) -> Fields:
    who = {"agent_id": "agent-7f3a"} if kind in AGENT_TYPES else {"sid": "canton-mcp-1"}
    return {"v": 3, "t": kind, "ts": 1767225600, **who, **GOOD[kind], **changes}


def dump(fields: Any) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode()


def accepted(data: bytes) -> Message:
    message = read(data)
    assert isinstance(message, Message), message
    return message


def refused(data: bytes) -> Rejected:
    answer = read(data)
    assert isinstance(answer, Rejected), answer
    assert answer.reason in REASONS and answer.detail.isprintable()
    return answer


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("version", [2, 3])
def test_every_type_is_read(kind: str, version: int) -> None:
    fields = build(kind, v=version, extra={"any": ["thing"]})
    sender = fields.get("sid") or fields["agent_id"]
    assert accepted(dump(fields)) == Message(kind, sender, fields, (), True)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"x" * (HARD_LIMIT + 1), "oversize"),
        (b"\xff\xfe{\x00}\x00", "not_utf8"),
        ("{}".encode("utf-16-le"), "not_json"),
        ("{}".encode("utf-32-le"), "not_json"),
        ("\ufeff{}".encode(), "not_json"),
        (b"", "not_json"),
        (b"[" * HARD_LIMIT, "not_json"),
        (b'{"a":' * 200, "not_json"),
        (b"[" * 700 + b"]" * 700, "not_json"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "not_json"),
        (b'{"v": NaN}', "not_json"),
        (b'{"v": -Infinity}', "not_json"),
        (b'{"v":2}{"v":2}', "not_json"),
        (b'{"v":"a\nb"}', "not_json"),
        (b"[]", "not_object"),
        (b"null", "not_object"),
        (b'"perf_update"', "not_object"),
        (b"{}", "version"),
    ],
)
def test_what_is_no_message_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    assert refused(data).reason == reason


MISSING = [(kind, name) for kind in TYPES for name in (*GOOD[kind], "ts")]


@pytest.mark.parametrize(("kind", "name"), [*MISSING, ("perf_update", "sid"), ("usage_receipt", "agent_id")])
def test_every_required_field_is_missed(kind: str, name: str) -> None:
    fields = build(kind)
    del fields[name]
    answer = refused(dump(fields))
    assert answer.reason == "missing_field" and answer.detail.startswith(
        "error is missing" if name == "error_type" else f"{name} is missing"
    )


WRONG: dict[str, tuple[Any, ...]] = {
    "ts": (True, "1", None, -1, 10**15, {}, 10**400),
    "sid": ("", "x" * 65, 1, None, []),
    "agent_id": ("", "x" * 65, 1),
    "tool": ("", "x" * 129, 1, None, ["t"]),
    "tool_sid": ("", "x" * 65, 7),
    "exec_ms": (True, "1", -0.5, 86_400_001, None, 10**400),
    "success": (1, 0, "true", None),
    "does": (1, None, []),
    "when": ("text", [1], None, {}),
    "connector": ("http://x", [], 1),
    "error_type": ("", 1, None),
    "frequency": (True, "3", -1),
    "composite_id": ("", "x" * 129, 1),
    "chain": ({}, "x", None),
    "signature": ([], "x", None),
    "cost_paid": (True, -1, "1"),
    "steps": ({}, 1),
}


@pytest.mark.parametrize("kind", TYPES)
def test_every_required_field_has_its_type(kind: str) -> None:
    for name in ("ts", "agent_id" if kind in AGENT_TYPES else "sid", *GOOD[kind]):
        for value in WRONG[name]:
            assert refused(dump(build(kind, **{name: value}))).reason == "bad_field", (name, value)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e309"])
@pytest.mark.parametrize("place", ["exec_ms", "unknown"])
def test_numbers_beyond_all_measure_are_refused_wherever_they_are(number: str, place: str) -> None:
    text = dump(build("perf_update", unknown=1)).replace(
        f'"{place}": 1'.encode(), f'"{place}": {number}'.encode()
    )
    assert refused(text).reason == "bad_field"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"v": True}, "version"),
        ({"v": 4}, "version"),
        ({"v": "2"}, "version"),
        ({"v": [2]}, "version"),
        ({"t": 1}, "type"),
        ({"t": ""}, "type"),
        ({"t": None}, "type"),
        ({"t": "x" * 65}, "type"),
    ],
)
def test_the_envelope_is_strict(changes: Fields, reason: str) -> None:
    assert refused(dump({**build("perf_update"), **changes})).reason == reason


LIMITS: list[tuple[str, Fields, str]] = [
    ("perf_update", {"sid": "short"}, "sid_length"),
    ("perf_update", {"sid": "filesystem-local"}, "sid_length"),
    ("perf_update", {"sid": "canton mcp 1"}, "sender_characters"),
    ("perf_update", {"sid": "cantön-mcp"}, "sender_characters"),
    ("usage_receipt", {"agent_id": "short"}, "agent_id_length"),
    ("perf_update", {"tool": "x" * 33}, "tool_length"),
    ("perf_update", {"ts": 1767225600123}, "ts_milliseconds"),
    ("perf_update", {"cost_paid": "1"}, "optional_field"),
    ("perf_update", {"currency": 5}, "optional_field"),
    ("perf_update", {"ctx": []}, "optional_field"),
    ("perf_update", {"ctx": {"seq": True}}, "optional_field"),
    ("perf_update", {"ctx": {"seq": -1}}, "optional_field"),
    ("perf_update", {"ctx": {"boot": 7}}, "optional_field"),
    ("perf_update", {"ctx": {"args": "x"}}, "optional_field"),
    ("semantic_discover", {"does": "x" * 129}, "does_length"),
    ("semantic_discover", {"when": ["x"] * 6}, "when_limits"),
    ("semantic_discover", {"when": ["x" * 65]}, "when_limits"),
    ("semantic_discover", {"good_at": ["x" * 33]}, "good_at_limits"),
    ("semantic_discover", {"bad_at": ["x"] * 4}, "bad_at_limits"),
    ("semantic_discover", {"proven_by": {"uses": 1, "success_rate": 1.5}}, "optional_field"),
    ("semantic_discover", {"connector": {**CONNECTOR, "protocol": "mcp"}}, "connector_shape"),
    ("semantic_discover", {"connector": {**CONNECTOR, "transport": "carrier-pigeon"}}, "connector_shape"),
    ("semantic_discover", {"connector": {**CONNECTOR, "auth": {"type": "none"}}}, "connector_shape"),
    ("error_pattern", {"sample_args": []}, "optional_field"),
]


@pytest.mark.parametrize(("kind", "changes", "flag"), LIMITS)
def test_what_only_breaks_a_limit_is_accepted_with_a_flag(kind: str, changes: Fields, flag: str) -> None:
    assert accepted(dump(build(kind, **changes))).flags == (flag,)


def test_every_flag_can_be_raised() -> None:
    elsewhere = {
        "connector_missing",
        "control_characters",
        "datagram_size",
        "duplicate_keys",
        "pattern_shape",
    }
    assert {flag for *_, flag in LIMITS} | elsewhere | {"surrogates"} == set(FLAGS)


def test_optional_fields_of_a_wrong_type_are_left_out() -> None:
    fields = build("perf_update", cost_paid=-1, ctx={"caller": 5, "seq": 7, "boot": "b", "own": {"x": 1}})
    message = accepted(dump(fields))
    assert "cost_paid" not in message.fields
    assert dict(message.ctx) == {"seq": 7, "boot": "b", "own": {"x": 1}}


def test_old_discovers_name_their_address_only() -> None:
    fields = build("semantic_discover", connects_to="http://192.0.2.1/mcp")
    del fields["connector"]
    assert accepted(dump(fields)).flags == ("connector_missing",)


def test_both_shapes_of_error_patterns_are_one() -> None:
    old, new, both = (
        accepted(dump(fields))
        for fields in (
            {key: value for key, value in build("error_pattern").items() if key not in GOOD["error_pattern"]}
            | OLD_PATTERN,
            build("error_pattern", mitigation="so", sample_args={"a": "<text:1>"}),
            build("error_pattern", **OLD_PATTERN),
        )
    )
    assert error_pattern(old) == ErrorPattern("t", "E", None, "when", "so")
    assert error_pattern(new) == ErrorPattern("t", "E", 3, "", "so")
    assert error_pattern(both) == ErrorPattern("t", "E", 3, "when", "so")
    short = {"v": 2, "t": "error_pattern", "ts": 1, "sid": "canton-mcp-1", "tool": "t", "error": "E"}
    assert accepted(dump(short)).flags == ("pattern_shape",)


def test_of_a_repeated_key_the_last_value_counts() -> None:
    text = dump(build("perf_update"))[:-1] + b',"exec_ms":9,"ctx":{"seq":1,"seq":2}}'
    message = accepted(text)
    assert (message.fields["exec_ms"], message.ctx["seq"], message.flags) == (9, 2, ("duplicate_keys",))


def test_texts_can_be_stored_and_sent_on() -> None:
    text = dump(build("perf_update", tool="a", ctx={"caller": "b"})).decode()
    text = text.replace('"tool": "a"', r'"tool": "a\u0000\ud800\udbff"').replace(
        '"caller"', r'"\udc00caller"'
    )
    message = accepted(text.encode())
    assert message.tool == "a\ufffd\ufffd\ufffd"
    assert json.dumps(message.fields, ensure_ascii=False).encode()
    assert message.flags == ("control_characters", "surrogates")
    assert accepted(text.replace(r"\u0000\ud800\udbff", r"\ud83d\ude00\n").encode()).tool == "a😀\n"


def test_unknown_types_pass_for_the_counters() -> None:
    ping = accepted(b'{"v":3,"t":"ping","ts":1,"sid":"zoo-server","msg":"x"}')
    assert (ping.type, ping.sender, ping.known) == ("ping", "zoo-server", False)
    assert accepted(b'{"v":3,"t":"pong","ts":1,"agent_id":"agent-7f3a"}').sender == "agent-7f3a"
    assert refused(b'{"v":3,"t":"ping","ts":1}').reason == "missing_field"


def test_a_higher_limit_accepts_and_flags() -> None:
    large = dump(build("perf_update", extra="x" * 2000))
    assert refused(large).reason == "oversize"
    message = read(large, 65_535)
    assert isinstance(message, Message) and message.flags == ("datagram_size",)
    exact = dump(build("perf_update", extra="é"))
    assert isinstance(read(exact, len(exact)), Message) and isinstance(read(exact, len(exact) - 1), Rejected)


def test_times_are_seconds_whatever_they_were_sent_in() -> None:
    assert accepted(dump(build("perf_update", ts=1767225600500))).ts == 1767225600.5
    assert accepted(dump(build("perf_update", ts=1767225600))).ts == 1767225600


def test_what_a_server_builds_is_read_without_a_flag() -> None:
    offer = Offer("t" * 32, "d" * 200, ("w" * 99,) * 9, ("g" * 40,) * 9, ("b" * 40,) * 9)
    own = [
        building.perf_update(
            sid="canton-mcp-1", tool="t", ts=1, exec_ms=1, success=False, seq=1, boot="b", args={"a": "<text:1>"},
            caller="c", result_size=5, error_code="timeout",
        ),
        building.semantic_discover(
            sid="canton-mcp-1", ts=1, offer=offer, connector=Connector("http://192.0.2.1/mcp", ("2026-07-28",)),
            uses=3, succeeded=2,
        ),
        building.error_pattern(
            sid="canton-mcp-1", tool="t", ts=1, error_type="E", frequency=3, trigger="x", mitigation="y"
        ),
    ]  # fmt: skip
    for fields in own:
        data = building.encode(fields)
        assert data is not None and accepted(data) == Message(fields["t"], "canton-mcp-1", fields, (), True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(TYPES), st.data())
@settings(max_examples=300, deadline=None)
def test_any_value_in_any_field_is_read_or_refused(kind: str, data: st.DataObject) -> None:
    names = st.sampled_from([*build(kind), "ctx", "cost_paid", "proven_by", "good_at", "error", "identity"])
    fields = build(kind, **data.draw(st.dictionaries(names, JSON, max_size=4)))
    message = read(json.dumps(fields).encode())
    if isinstance(message, Message):
        json.dumps(message.fields, allow_nan=False, ensure_ascii=False).encode()
        assert message.ts >= 0 and set(message.flags) <= set(FLAGS) and len(message.tool) <= 128
        if kind == "error_pattern":
            assert error_pattern(message).error_type


def test_broken_bytes_never_raise() -> None:
    chance = random.Random(5)
    seeds = [dump(build(kind)) for kind in TYPES]
    for _ in range(20_000):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    data[place] = chance.randrange(256)
                case 1:
                    del data[place : place + chance.randint(1, 20)]
                case 2:
                    data[place:place] = chance.choice(
                        [b"\\u0000", b"\\ud800", b"[[", b"}", b"1e999", b"\xff", b'"']
                    )
                case _:
                    data[place:place] = data[: chance.randint(1, 30)]
            data = data or bytearray(b"{")
        assert isinstance(read(bytes(data)), Message | Rejected)
