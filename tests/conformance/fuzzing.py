"""Requests of every kind for fuzzing: nearly right ones, since what is all wrong is refused at the first look."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dialogue import ANSWERS_ALL, BOTH, LEGACY, META, MODERN, K
from hypothesis import strategies as st

__all__ = ["Sent", "World", "garbage", "requests"]

PARAM_HEADER: Final = "Mcp-Param-Region"
_SHARED_METHODS: Final = (
    *("tools/call",) * 4,
    *("tools/list", "resources/list", "resources/templates/list", "prompts/list"),
    *("resources/read", "prompts/get", "completion/complete"),
)
_MODERN_METHODS: Final = ("server/discover", "subscriptions/listen", *_SHARED_METHODS)
_LEGACY_METHODS: Final = (
    *("ping", "initialize", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"),
    *_SHARED_METHODS,
)
_METHODS: Final = (
    *dict.fromkeys((*_MODERN_METHODS, *_LEGACY_METHODS)),
    *("tasks/list", "rpc.discover", "__init__", "", "tools/call ", "TOOLS/LIST", "ü"),
)
_NOTIFICATIONS: Final = (
    "notifications/initialized",
    "notifications/cancelled",
    "notifications/no-such",
    "ping",
)
_NAMED_BY: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


@dataclass(frozen=True)
class World:
    """What a server knows, so that requests can be meant for it."""

    calls: Sequence[Mapping[str, Any]]
    """Names and arguments of calls that succeed."""
    uris: Sequence[str]
    prompts: Sequence[Mapping[str, Any]]
    references: Sequence[Mapping[str, Any]]
    cursors: Sequence[str]
    states: Sequence[str]
    sessions: Sequence[str]
    """Of sealed texts there are good ones, forged, expired and misplaced ones."""


@dataclass(frozen=True)
class Sent:
    """One HTTP request on the endpoint."""

    method: str
    headers: dict[str, str]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header without the blanks around it."""
        found = [value for key, value in self.headers.items() if key.lower() == name]
        return found[0].strip(" \t") if found else None


# -- values ----------------------------------------------------------------------------------------------


def _nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


_TEXTS: Final = st.one_of(
    st.text(max_size=8),
    st.text(st.characters(), max_size=4),
    st.sampled_from(["", "\ud800", "\x00", "a" * 3000]),
)
_LEAVES: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([2**31, 2**53 + 1, -(2**63), 2**64, 10**400, -1.5, 1e300, 0.1]),
    st.sampled_from([float("nan"), float("inf"), float("-inf")]),
    _TEXTS,
)  # fmt: skip
_JUNK: Final = st.one_of(
    _LEAVES,
    st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3), max_leaves=5),
    st.sampled_from([10, 100, 127, 128, 129, 300, 900, 980]).map(_nested),
)  # fmt: skip
_IDS: Final = st.one_of(st.sampled_from([1, 0, -1, "1", "", "ü", 2**70]), _JUNK)


def _once_in(odds: int) -> st.SearchStrategy[bool]:
    """True in one of so many cases, and never in the simplest one."""
    return st.sampled_from([False] * (odds - 1) + [True])


def _mostly(right: Any, wrong: st.SearchStrategy[Any], odds: int = 10) -> st.SearchStrategy[Any]:
    """The right value, but for one of so many cases."""
    return _once_in(odds).flatmap(lambda spoiled: wrong if spoiled else st.just(right))


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to everything inside a value."""
    found = [path] if path else []
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        found += _places(inner, (*path, step))
    return found


def _spoiled(draw: st.DrawFn, value: Any) -> Any:
    """A copy with up to two members replaced, removed or added."""
    changed = copy.deepcopy(value)
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 1, 2]))):
        places = _places(changed)
        if not places:
            break
        *path, last = draw(st.sampled_from(places))
        inner = changed
        for step in path:
            inner = inner[step]
        kind = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if kind == "replace":
            inner[last] = draw(_JUNK)
        elif kind == "remove":
            del inner[last]
        elif isinstance(inner, dict):
            inner[draw(_TEXTS)] = draw(_JUNK)
    return changed


# -- messages --------------------------------------------------------------------------------------------


def _params(draw: st.DrawFn, world: World, method: str) -> dict[str, Any]:
    """Parameters that are right for a method."""
    match method:
        case "initialize":
            info = {"name": draw(_mostly("fuzz", _TEXTS)), "version": "1"}
            version = draw(st.sampled_from([*LEGACY, MODERN, "2024-11-05", "1"]))
            return {"protocolVersion": version, "capabilities": draw(_CAPABILITIES), "clientInfo": info}
        case "tools/call":
            params = dict(draw(st.sampled_from(world.calls)))
        case "prompts/get":
            params = dict(draw(st.sampled_from(world.prompts)))
        case "resources/read" | "resources/subscribe" | "resources/unsubscribe":
            params = {"uri": draw(_mostly(draw(st.sampled_from(world.uris)), _TEXTS))}
        case "completion/complete":
            argument = {"name": draw(st.sampled_from(["id", "arg1", "name"])), "value": draw(_TEXTS)}
            return {"ref": draw(st.sampled_from(world.references)), "argument": argument}
        case "logging/setLevel":
            return {"level": draw(st.sampled_from(["debug", "info", "emergency", "loud"]))}
        case "subscriptions/listen":
            return {"notifications": {"toolsListChanged": True, "resourceSubscriptions": ["test://a"]}}
        case _ if method.endswith("/list"):
            return draw(st.sampled_from([{}, {}, *({"cursor": cursor} for cursor in world.cursors)]))
        case _:
            return {}
    if draw(_once_in(5)):
        params["requestState"] = draw(st.sampled_from(world.states))
    if draw(_once_in(5)):
        params["inputResponses"] = draw(_RESPONSES)
    return params


_CAPABILITIES: Final = st.sampled_from(
    [
        {},
        ANSWERS_ALL,
        ANSWERS_ALL,
        {"elicitation": {}},
        {"sampling": {"tools": {}}},
        {"roots": {"listChanged": True}},
    ]
)
_RESPONSES: Final = st.dictionaries(
    st.sampled_from(["user_name", "confirm", "step1", "step2", "question-1", "x"]),
    st.one_of(
        st.just({"action": "accept", "content": {"name": "a", "ok": True, "color": "b"}}),
        st.just({"action": "decline"}),
        _JUNK,
    ),
    max_size=3,
)


def _message(draw: st.DrawFn, world: World, modern: bool) -> Any:
    """A request, or now and then a notification or a response."""
    kind = draw(st.sampled_from(["request"] * 20 + ["notification", "response", "junk"]))
    if kind == "junk":
        return draw(_JUNK)
    if kind == "response":
        outcome: dict[str, Any] = draw(
            st.sampled_from([{"result": {}}, {"error": {"code": 1, "message": "m"}}, {"result": None}])
        )
        return _spoiled(draw, {"jsonrpc": "2.0", "id": draw(_IDS), **outcome})
    served = st.sampled_from(_MODERN_METHODS if modern else _LEGACY_METHODS)
    method = draw(
        _mostly(draw(served), st.sampled_from(_METHODS))
        if kind == "request"
        else st.sampled_from(_NOTIFICATIONS)
    )
    params = _params(draw, world, method)
    meta: dict[str, Any] = {"progressToken": draw(_mostly("token", _IDS))} if draw(st.booleans()) else {}
    if modern:
        level = {f"{K}logLevel": "debug"} if draw(st.booleans()) else {}
        meta |= {**META, f"{K}clientCapabilities": draw(_CAPABILITIES), **level}
    if meta:
        params["_meta"] = meta
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    if kind == "request":
        message["id"] = draw(_mostly(1, _IDS))
    return _spoiled(draw, message)


# -- bytes -----------------------------------------------------------------------------------------------


def _encoded(draw: st.DrawFn, message: Any) -> bytes:
    text = json.dumps(message, ensure_ascii=draw(st.booleans()))
    raw = text.encode("utf-8", "surrogatepass")
    match draw(
        st.sampled_from([None] * 60 + ["BOM", "UTF-16", "cut", "flip", "insert", "twice", "blanks", "digits"])
    ):
        case "BOM":
            return b"\xef\xbb\xbf" + raw
        case "UTF-16":
            return text.encode("utf-16", "surrogatepass")
        case "cut":
            return raw[: draw(st.integers(0, len(raw)))]
        case "flip":
            place = draw(st.integers(0, len(raw) - 1))
            return raw[:place] + bytes([draw(st.integers(0, 255))]) + raw[place + 1 :]
        case "insert":
            place = draw(st.integers(0, len(raw)))
            return raw[:place] + draw(st.binary(max_size=6)) + raw[place:]
        case "twice":
            return raw + raw
        case "blanks":
            return b" \r\n\t" + raw + b"\n" * 1000
        case "digits":
            return raw.replace(b"1", b"1" * draw(st.sampled_from([20, 4300, 4301, 20_000])))
    return raw


# -- headers ---------------------------------------------------------------------------------------------

_VALUES: Final = st.text(
    st.characters(max_codepoint=0xFF, categories=["L", "N", "P", "S", "Zs"]), max_size=12
)
_CONTENT_TYPES: Final = st.sampled_from(
    ["application/json; charset=utf-8", "text/plain", "application/jsonx", "", None]
)
_ACCEPTED: Final = st.sampled_from(
    ["application/json", "*/*", "text/event-stream", "text/html", "", ",;", None]
)
_ORIGINS: Final = st.sampled_from(["http://localhost:1", "null", "http://evil.example", "", "http://["])
_VERSIONS: Final = st.sampled_from(
    [*LEGACY, MODERN, "2024-11-05", "2099-01-01", "", "x", f"{MODERN},{MODERN}", None]
)


def _wrapped(draw: st.DrawFn, text: str) -> str:
    packed = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()
    return f"=?base64?{draw(_mostly(packed, _VALUES))}?="


def _as_header(draw: st.DrawFn, text: Any, *, wraps: bool = True) -> str | None:
    """How a value may travel in a header; latin-1 at the worst, since more cannot be sent."""
    if not isinstance(text, str) or draw(_once_in(15)):
        return draw(st.one_of(st.none(), _VALUES))
    plain = text.isascii() and text.isprintable()
    return _wrapped(draw, text) if not plain or (wraps and draw(_once_in(4))) else text


def _headers(draw: st.DrawFn, world: World, message: Any, modern: bool) -> dict[str, str]:
    params = message.get("params") if isinstance(message, dict) else None
    params = params if isinstance(params, dict) else {}
    method = message.get("method") if isinstance(message, dict) else None
    named = params.get(_NAMED_BY.get(method, "")) if isinstance(method, str) else None
    arguments = params.get("arguments")
    region = arguments.get("region") if isinstance(arguments, dict) else None
    agreed = MODERN if modern else draw(st.sampled_from([*LEGACY, None]))
    sessions = st.one_of(st.sampled_from(world.sessions), _VALUES)
    chosen: dict[str, str | None] = {
        "Content-Type": draw(_mostly("application/json", _CONTENT_TYPES, 40)),
        "Accept": draw(_mostly(BOTH, _ACCEPTED, 15)),
        "MCP-Protocol-Version": draw(_mostly(agreed, _VERSIONS, 15)),
        "Mcp-Method": _as_header(draw, method, wraps=False) if modern or draw(_once_in(8)) else None,
        "Mcp-Name": _as_header(draw, named) if named is not None or draw(_once_in(10)) else None,
        PARAM_HEADER: _as_header(draw, region) if region is not None or draw(_once_in(15)) else None,
        "Mcp-Session-Id": draw(_mostly(None, sessions, 6 if modern else 2)),
        "Origin": draw(_mostly(None, _ORIGINS, 40)),
        "X-Caller-ID": draw(_mostly(None, _VALUES)),
        "Last-Event-ID": draw(_mostly(None, _VALUES)),
    }
    return {name: value for name, value in chosen.items() if value is not None}


@st.composite
def requests(draw: st.DrawFn, world: World) -> Sent:
    """An HTTP request that a client might have meant, in either era or between them."""
    modern = draw(st.booleans())
    message = _message(draw, world, modern)
    headers = _headers(draw, world, message, modern)
    if draw(_once_in(20)):
        more = [_message(draw, world, draw(_once_in(5))) for _ in range(draw(st.integers(0, 3)))]
        message = [message, *more]
        if not draw(_once_in(4)):
            headers.pop("MCP-Protocol-Version", None)
    http_method = draw(
        _mostly("POST", st.sampled_from(["GET", "DELETE", "PUT", "OPTIONS", "HEAD", "PATCH"]), 25)
    )
    return Sent(http_method, headers, _encoded(draw, message))


# -- what is hardly HTTP ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Garbage:
    """Bytes for a connection, and nothing after them."""

    raw: bytes


@st.composite
def garbage(draw: st.DrawFn) -> Garbage:
    """A request that is damaged below the protocol: its first line, its headers, its length."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}).encode()
    line = draw(_mostly(b"POST /mcp HTTP/1.1", st.sampled_from([
        b"POST /mcp HTTP/1.0", b"POST /mcp HTTP/9.9", b"POST /mcp", b"POST", b"", b"G\xffT /mcp HTTP/1.1",
        b"POST http://evil/mcp HTTP/1.1", b"POST /mcp%00?a=%zz HTTP/1.1", b"POST /" + b"a" * 9000 + b" HTTP/1.1",
        b"CONNECT mcp:80 HTTP/1.1", b"PRI * HTTP/2.0", b"\x16\x03\x01\x02\x00\x01",
    ])))  # fmt: skip
    length = draw(_mostly(b"Content-Length: %d" % len(body), st.sampled_from([
        b"", b"Content-Length: 0", b"Content-Length: -1", b"Content-Length: 5", b"Content-Length: 1e3",
        b"Content-Length: 99999999999999999999", b"Content-Length: 40\r\nContent-Length: 41",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: x",
        b"Transfer-Encoding: chunked\r\nContent-Length: 40",
    ])))  # fmt: skip
    extra = draw(st.lists(st.one_of(
        st.sampled_from([
            b"Host: a\r\nHost: b", b"Host: [", b"Host:", b"NoColon", b": empty", b" folded: x", b"A b: c",
            b"X: " + b"a" * 9000, b"Mcp-Method: a\r\nMcp-Method: a", b"Mcp_Method: a", b"X: a\x00b", b"X: \xff\xfe",
            b"Expect: 100-continue", b"Connection: upgrade\r\nUpgrade: h2c", b"Connection: close",
            b"Mcp-Session-Id: a\tb", b"Accept: \x7f",
        ]),
        st.binary(max_size=20).map(lambda value: b"X-Any: " + value),
    ), max_size=3))  # fmt: skip
    sent = draw(
        st.sampled_from(
            [body, body, b"", body[:10], b'5\r\n{"a":\r\n0\r\n\r\n', b"zz\r\n", b"fffffffffffffffff\r\n"]
        )
    )
    head = [line, b"Host: localhost", b"Content-Type: application/json", length, *extra]
    return Garbage(b"\r\n".join(part for part in head if part or part is line) + b"\r\n\r\n" + sent)
