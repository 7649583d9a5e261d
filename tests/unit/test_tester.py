"""The tester against a real server and real failures."""

from __future__ import annotations

import io
import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jsonschema
import pytest
from canton_mcp import tester
from canton_mcp.tables import percentile
from canton_mcp.tester.arguments import arguments_for
from canton_mcp.tester.client import CallFailed, Server
from canton_mcp.tester.report import Tally, summary
from canton_mcp.tools import TOOLS
from processes import Served


def run(urls: str | list[str], count: int = 4, seed: int = 1) -> tuple[int, str]:
    out = io.StringIO()
    status = tester.run(urls, min_interval=0, max_interval=0, count=count, seed=seed, out=out)
    return status, out.getvalue()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def row(output: str, name: str) -> list[str]:
    """Cells of the last summary row of `name`."""
    return [
        re.split(r"\s{2,}", line)
        for line in output.splitlines()
        if re.match(rf"{re.escape(name)}\s{{2,}}", line)
    ][-1]


class Scripted(ThreadingHTTPServer):
    """Answers tools/list properly and tools/call as `mode` says."""

    daemon_threads = True
    mode = "ok"
    seen: list[dict[str, str]]


class Handler(BaseHTTPRequestHandler):
    server: Scripted

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append({name.lower(): value for name, value in self.headers.items()})
        meta = {"io.modelcontextprotocol/serverInfo": {"name": "scripted", "version": "1"}}
        status, answer = 200, {"jsonrpc": "2.0", "id": asked["id"]}
        if asked["method"] == "tools/list":
            tools = [
                {
                    "name": "echo ü",
                    "inputSchema": {"type": "object", "examples": [{"a": 1}]},
                    "outputSchema": {},
                }
            ]
            answer["result"] = {"resultType": "complete", "tools": tools, "_meta": meta}
        elif self.server.mode == "error":
            status, answer["error"] = 400, {"code": -32602, "message": "no\nsuch tool"}
        elif self.server.mode == "tool error":
            answer["result"] = {"isError": True, "content": [{"type": "text", "text": "bad amount"}]}
        elif self.server.mode == "unstructured":
            answer["result"] = {"content": []}
        elif self.server.mode == "wrong id":
            answer |= {"id": -1, "result": {"content": [], "structuredContent": {}}}
        else:
            answer["result"] = {"content": [], "structuredContent": {}}
        data = (
            b"<html>"
            if self.server.mode == "html" and asked["method"] == "tools/call"
            else json.dumps(answer).encode()
        )
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with Scripted(("127.0.0.1", 0), Handler) as server:
        server.seen = []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        yield server
        server.shutdown()


def url_of(server: Scripted) -> str:
    return f"http://127.0.0.1:{server.server_port}/mcp"


def test_a_long_run_does_not_grow() -> None:
    tally = Tally()
    tally.times_ms.extend(float(number) for number in range(100_000))
    assert len(tally.times_ms) == 10_000 and tally.times_ms[-1] == 99_999.0
    first, second = Tally(ok=1), Tally(ok=1)
    first.times_ms.extend([1.0] * 10_000)
    second.times_ms.extend([9.0] * 9_999)
    total = row(summary([("a", "u", first), ("b", "u", second)]), "TOTAL")
    assert total[6] == "1.0"  # the median of all, not of the latest alone


def test_every_tool_of_a_real_server(live_server: Served) -> None:
    status, out = run(f"{live_server.url}/mcp", count=40)
    assert status == 0, out
    for tool in TOOLS:
        pattern = rf"^\[#\d+\] Calling \S+ → {tool.name}\n   ✅ Tool executed successfully$"
        assert re.search(pattern, out, re.M), tool.name
    total = row(out, "TOTAL")
    assert total[1:5] == ["40", "40", "0", "0"]


def test_a_dead_server_fails_and_the_others_go_on(live_server: Served) -> None:
    dead = free_port()
    status, out = run([f"{live_server.url}/mcp", f"http://127.0.0.1:{dead}/mcp"], count=10)
    assert status == 1
    assert f"Calling 127.0.0.1:{dead} → tools/list\n   ❌ Call failed: connection refused\n" in out
    calls, ok, tool_errors, failures = row(out, f"127.0.0.1:{dead}")[1:5]
    assert (ok, tool_errors) == ("0", "0") and calls == failures != "0"
    assert row(out, "TOTAL")[2] == str(10 - int(failures)) != "0"


def test_same_seed_same_calls(scripted: Scripted) -> None:
    first, second = (re.findall(r"^\[.*", run(url_of(scripted), seed=7)[1], re.M) for _ in range(2))
    assert first == second and len(first) == 4


def test_name_is_kept_while_the_server_is_down(scripted: Scripted) -> None:
    server = Server(url_of(scripted))
    (tool,) = server.tools()
    assert server.name == "scripted" and tool.name == "echo ü"
    scripted.shutdown()
    scripted.server_close()
    server.forget_tools()
    with pytest.raises(CallFailed, match="connection refused"):
        server.tools()
    assert server.name == "scripted"


@pytest.mark.parametrize(
    ("mode", "status", "line"),
    [
        ("ok", 0, "   ✅ Tool executed successfully"),
        ("tool error", 0, "   ❌ Tool error: bad amount"),
        ("error", 1, "   ❌ Call failed: HTTP 400 Bad Request: -32602 no such tool"),
        (
            "unstructured",
            1,
            "   ❌ Call failed: protocol error: the tool has an output schema but sent no structuredContent",
        ),
        ("wrong id", 1, "   ❌ Call failed: protocol error: the answer belongs to another request"),
        ("html", 1, "   ❌ Call failed: protocol error: not a JSON-RPC message (application/json)"),
    ],
)
def test_outcomes(scripted: Scripted, mode: str, status: int, line: str) -> None:
    scripted.mode = mode
    found, out = run(url_of(scripted), count=1)
    assert found == status
    assert out.startswith(f"[#1] Calling scripted → echo ü\n{line}\n")


def test_headers_of_a_call(scripted: Scripted) -> None:
    run(url_of(scripted), count=1)
    listing, call = scripted.seen
    assert listing["mcp-method"] == "tools/list" and "mcp-name" not in listing
    assert call["mcp-method"] == "tools/call" and call["mcp-protocol-version"] == "2026-07-28"
    assert call["mcp-name"] == "=?base64?ZWNobyDDvA==?="
    assert call["x-caller-id"] == "canton-mcp-tester"


@pytest.mark.parametrize(
    ("urls", "word"),
    [
        ("", "is empty"),
        (" , ", "is empty"),
        ("localhost:7284/mcp", "http://"),
        ("http:///mcp", "no usable host name"),
        ("http://127.0.0.1:7284", "no path"),
        ("http://127.0.0.1:99999/mcp", "not a URL"),
        ("http://h/mcp,http://h/mcp", "twice"),
    ],
)
def test_bad_urls_stop_at_once(urls: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(urls) == (2, "")
    error = capsys.readouterr().err
    assert word in error and "MCP_SERVER_URLS" in error and error.count("\n") == 1


@pytest.mark.parametrize(("shortest", "longest"), [(-1.0, 1.0), (2.0, 1.0), (0.0, float("nan"))])
def test_bad_intervals_stop_at_once(
    shortest: float, longest: float, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tester.run("http://h/mcp", min_interval=shortest, max_interval=longest) == 2
    assert "_INTERVAL" in capsys.readouterr().err


def test_signals_print_summaries(scripted: Scripted) -> None:
    code = f"import sys; from canton_mcp import tester; sys.exit(tester.run({url_of(scripted)!r}, min_interval=60, max_interval=60))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "[#1] Calling scripted → echo ü\n"
        assert process.stdout.readline() == "   ✅ Tool executed successfully\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGUSR1)
        lines = [process.stdout.readline() for _ in range(6)]
        assert (
            lines[1] == "Summary after 1 calls\n"
            and lines[2].startswith("SERVER")
            and lines[3].startswith("scripted")
        )
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(10) == 0 and "TOTAL" in rest


def test_arguments_prefer_examples() -> None:
    assert arguments_for({"examples": [{"a": 1}], "required": ["b"]}, random.Random(1)) == {"a": 1}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {"a": {"type": "string", "minLength": 12}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"enum": ["x", "y"]}, "b": {"const": 3}}, "required": ["a", "b"]},
        {"type": "object", "properties": {"a": {"type": "integer", "exclusiveMinimum": 4}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "number"}, "minItems": 2}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"anyOf": [{"type": "null"}, {"type": "boolean"}]}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "required": ["a"],
         "$defs": {"A": {"type": "object", "properties": {"n": {"type": "number", "minimum": 2}}, "required": ["n"]}}},
    ],
)  # fmt: skip
def test_arguments_fit_the_schema(schema: dict[str, Any]) -> None:
    jsonschema.validate(arguments_for(schema, random.Random(1)), schema)


def test_percentiles_and_share() -> None:
    assert percentile([], 50) is None
    assert percentile([float(n) for n in range(1, 101)], 95) == 95
    text = summary([("a", "u", Tally(ok=3, times_ms=[1.0])), ("b", "v", Tally(failures=1))])
    assert row(text, "a")[1:7] == ["3", "3", "0", "0", "75.0%", "1.0"]
    assert row(text, "b")[1:7] == ["1", "0", "0", "1", "25.0%", "-"]
