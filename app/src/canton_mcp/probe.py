"""The state of this machine's servers: what systemd says, what each says, and what differs from disk."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from canton_mcp.settings import Settings, SettingsError, release_id
from canton_mcp.tables import aligned

__all__ = [
    "Expectation",
    "ServerState",
    "UsageError",
    "as_json",
    "as_table",
    "parse_environment",
    "probe",
    "read_expectation",
]

_HEALTH_TIMEOUT_SEC = 3.0
_SYSTEMCTL_TIMEOUT_SEC = 10.0
_MAX_THREADS = 16
_MAX_HEALTH_BYTES = 1 << 20
_PROPERTIES = (
    "Id",
    "ActiveState",
    "SubState",
    "ActiveEnterTimestamp",
    "MainPID",
    "MemoryCurrent",
    "NRestarts",
)
_NO_MEMORY = 1 << 63  # systemd prints 2**64-1 where nothing is measured
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class UsageError(ValueError):
    """What was asked for makes no sense; the text says what to change."""


@dataclass(frozen=True)
class ServerState:
    """One server. Fields that nobody could tell are None."""

    port: int | None
    unit: str | None = None
    active_state: str | None = None
    sub_state: str | None = None
    since: str | None = None
    """When the unit became active, ISO 8601 in UTC."""
    pid: int | None = None
    memory_bytes: int | None = None
    """The unit's memory; where systemd does not measure it, that of its processes, shared pages divided."""
    restarts: int | None = None
    health: dict[str, Any] | None = None
    error: str | None = None
    """Why there is no usable health answer."""
    stale: list[str] = field(default_factory=list)
    """How the running server differs from what is installed and configured."""

    @property
    def healthy(self) -> bool:
        """Whether it answers and says that it is well."""
        return self.error is None and self.health is not None


@dataclass(frozen=True)
class Expectation:
    """What should run, when it is not (yet) on disk: a release, and the whole environment of each port."""

    release: str | None
    environments: Mapping[int, Mapping[str, str]]


@dataclass(frozen=True)
class _Target:
    """Where to ask, and what to expect."""

    url: str
    port: int | None
    settings: Settings | None = None
    problem: str | None = None
    """Why the settings on disk cannot be used."""


def probe(
    config_dir: Path,
    targets: Sequence[str] = (),
    *,
    expectation: Expectation | None = None,
    release: str | None = None,
) -> list[ServerState]:
    """The state of the servers in `targets` (ports, or base URLs, not both), ordered by port.

    Without targets these are the servers of `expectation`, else all that have a file in `config_dir`/servers.
    URLs are asked over HTTP only: no unit, nothing to compare with.

    Raises:
        UsageError: a target is neither a port nor a URL, or the two are mixed.
    """
    if targets and all("://" in target for target in targets):
        return _ask_all([_Target(_checked_url(target), None) for target in targets])
    ports = [_checked_port(target) for target in targets]
    if not ports:
        ports = sorted(expectation.environments) if expectation else _configured_ports(config_dir)
    ports = list(dict.fromkeys(ports))
    wanted = [_target(config_dir, port, expectation) for port in ports]
    expected_release = release or (expectation.release if expectation else None) or current_release()
    units = _units(ports)
    answered = _ask_all(wanted)
    return [
        _with_unit(_with_stale(state, target, expected_release), units.get(port, {}))
        for port, target, state in zip(ports, wanted, answered, strict=True)
    ]


def read_expectation(source: str | None) -> Expectation | None:
    """Read ``{"release": ID, "servers": {PORT: {VARIABLE: VALUE}}}`` from a file, or from input for ``-``.

    Raises:
        UsageError: it cannot be read or has another form.
    """
    if source is None:
        return None
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        document = json.loads(text)
        environments = {
            _checked_port(port): {str(name): str(value) for name, value in variables.items()}
            for port, variables in document["servers"].items()
        }
        release = document.get("release")
    except OSError as error:
        raise UsageError(f"--expect {source}: {error.strerror}. Name a file, or - for input.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        form = '{"release": "ID", "servers": {"7284": {"VARIABLE": "value"}}}'
        raise UsageError(f"--expect {source}: is not of the form {form}.") from None
    return Expectation(str(release) if release else None, environments)


def current_release() -> str:
    """The release that ``current`` points at, also when this program runs from another release."""
    prefix = Path(sys.prefix)
    current = prefix.parent.parent / "current"
    return release_id(current if prefix.parent.name == "releases" and current.exists() else prefix)


def parse_environment(text: str) -> dict[str, str]:
    """The variables in a file, as ``EnvironmentFile=`` reads it (systemd.exec(5)); the last one wins."""
    variables: dict[str, str] = {}
    position = 0
    while position < len(text):
        position = _skip_blank(text, position)
        if text[position : position + 1] in ("#", ";"):
            position = _end_of_comment(text, position)
            continue
        end = _first_of(text, position, "=\n")
        if end == len(text) or text[end] == "\n":
            position = end + 1
            continue
        key = text[position:end].strip()
        value, position = _read_value(text, end + 1)
        if _KEY.fullmatch(key):
            variables[key] = value
    return variables


def as_json(states: Iterable[ServerState]) -> str:
    """A JSON list with one object for each server."""
    return json.dumps([asdict(state) for state in states], indent=2, ensure_ascii=False)


def as_table(states: Sequence[ServerState]) -> str:
    """An aligned table for people, one line a server, and below it what is wrong with whom."""
    if not states:
        return "No servers are configured on this machine."
    head = (
        "SERVER",
        "PORT",
        "UNIT",
        "HEALTH",
        "RELEASE",
        "SINCE",
        "PID",
        "MEMORY",
        "RESTARTS",
        "CALLS",
        "STALE",
    )
    rows = [head, *(_row(state) for state in states)]
    lines = [aligned(rows)]
    for state in states:
        remarks = [*([state.error] if state.error else []), *state.stale]
        lines += [f"{state.port or _label(state)}: {remark}" for remark in remarks]
    return "\n".join(lines)


def _checked_port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5 or not 1 <= int(text) <= 65535:
        raise UsageError(
            f"{text!r} is not a port. Give ports such as 7284, or URLs such as http://192.0.2.10:7284."
        )
    return int(text)


def _checked_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        valid = parts.scheme == "http" and parts.hostname and parts.port != 0 and parts.path in ("", "/")
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"{text!r} is not a server's URL. Give it as http://host:port.")
    return text.rstrip("/")


def _configured_ports(config_dir: Path) -> list[int]:
    directory = config_dir / "servers"
    if not directory.is_dir():
        raise UsageError(f"there is no directory {directory}. Name the right --config-dir, or ports or URLs.")
    stems = [path.stem for path in directory.glob("*.env")]
    return sorted(int(stem) for stem in stems if stem.isascii() and stem.isdigit())


def _target(config_dir: Path, port: int, expectation: Expectation | None) -> _Target:
    try:
        environment = _environment(config_dir, port, expectation)
        settings = Settings.from_env(environment) if environment is not None else None
    except SettingsError as error:
        return _Target(f"http://127.0.0.1:{port}", port, problem=error.problems[0])
    except (OSError, UnicodeDecodeError) as error:
        return _Target(f"http://127.0.0.1:{port}", port, problem=str(error))
    if settings is None:
        return _Target(f"http://127.0.0.1:{port}", port)
    return _Target(replace(settings, port=port).local_url, port, settings)


def _environment(config_dir: Path, port: int, expectation: Expectation | None) -> Mapping[str, str] | None:
    """The environment that a server on `port` should have; None if there is no such server."""
    if expectation is not None:
        return expectation.environments.get(port)
    own = config_dir / "servers" / f"{port}.env"
    if not own.exists():
        return None
    shared = config_dir / "fleet.env"
    files = [shared, own] if shared.exists() else [own]
    merged: dict[str, str] = {}
    for path in files:
        merged.update(parse_environment(path.read_text(encoding="utf-8")))
    return merged


def _ask_all(targets: Sequence[_Target]) -> list[ServerState]:
    if not targets:
        return []
    with ThreadPoolExecutor(min(_MAX_THREADS, len(targets))) as pool:
        return list(pool.map(_ask, targets))


def _ask(target: _Target) -> ServerState:
    """What a server says on /health. No proxy is used, and no redirect followed."""
    parts = urlsplit(target.url)
    port = target.port or parts.port or 80
    host, at = parts.hostname or "", parts.port or 80
    connection = http.client.HTTPConnection(host, at, timeout=_HEALTH_TIMEOUT_SEC)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        body = answer.read(_MAX_HEALTH_BYTES)
        if answer.status != 200:
            return ServerState(port, error=f"/health answered with HTTP status {answer.status}")
        health = json.loads(body)
    except TimeoutError:
        return ServerState(port, error=f"no answer within {_HEALTH_TIMEOUT_SEC:g} s")
    except OSError as error:
        return ServerState(port, error=(error.strerror or str(error)).lower())
    except (http.client.HTTPException, ValueError):
        return ServerState(port, error="/health answered with something that is not a health report")
    finally:
        connection.close()
    if not isinstance(health, dict) or "status" not in health:
        return ServerState(port, error="/health answered with something that is not a health report")
    if health["status"] != "healthy":
        return ServerState(port, health=health, error=f"it says that it is {health['status']}")
    return ServerState(port, health=health)


def _with_stale(state: ServerState, target: _Target, release: str) -> ServerState:
    """Add how a running server differs from what should run; one that does not run has nothing to compare."""
    if state.health is None:
        return state
    reasons: list[str] = []
    running = state.health.get("release")
    if running != release:
        reasons.append(f"release {running}, expected {release}")
    if target.problem is not None:
        reasons.append(f"configuration on disk cannot be used: {target.problem}")
    digest = state.health.get("config_digest")
    if target.settings is not None and digest != target.settings.digest:
        reasons.append(f"configuration {digest}, expected {target.settings.digest}")
    return replace(state, stale=reasons)


def _units(ports: Sequence[int]) -> dict[int, dict[str, str]]:
    """What systemd knows about the servers' units, in one call; empty where there is no systemd."""
    if not ports:
        return {}
    names = {f"canton-mcp@{port}.service": port for port in ports}
    properties = f"--property={','.join(_PROPERTIES)}"
    try:
        shown = subprocess.run(
            ["systemctl", "show", "--timestamp=unix", properties, "--", *names],
            capture_output=True,
            text=True,
            timeout=_SYSTEMCTL_TIMEOUT_SEC,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    blocks = [_assignments(block) for block in shown.split("\n\n")]
    return {names[block["Id"]]: block for block in blocks if block.get("Id") in names}


def _assignments(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _with_unit(state: ServerState, unit: Mapping[str, str]) -> ServerState:
    pid = _number(unit.get("MainPID")) or None
    memory = _number(unit.get("MemoryCurrent"))
    if memory is None or memory >= _NO_MEMORY:
        memory = _memory_of_processes(pid) if pid else None
    return replace(
        state,
        unit=f"canton-mcp@{state.port}.service",
        active_state=unit.get("ActiveState"),
        sub_state=unit.get("SubState"),
        since=_since(unit.get("ActiveEnterTimestamp", "")),
        pid=pid,
        memory_bytes=memory,
        restarts=_number(unit.get("NRestarts")),
    )


def _memory_of_processes(pid: int) -> int | None:
    """Bytes that a process and its descendants hold (proc(5)); None when they have gone meanwhile."""
    amounts: list[int] = []
    todo = [pid]
    while todo:
        process = Path("/proc", str(todo.pop()))
        try:
            todo += [
                int(child) for task in process.glob("task/*/children") for child in task.read_text().split()
            ]
            amounts.append(_memory_of_process(process))
        except (OSError, ValueError):
            continue
    return sum(amounts) if amounts else None


def _memory_of_process(process: Path) -> int:
    """Its proportional share of memory, or, where that may not be read, all that is resident."""
    try:
        rollup = (process / "smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
    except (OSError, StopIteration):
        return int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _since(stamp: str) -> str | None:
    seconds = _number(stamp.removeprefix("@"))
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else None


def _label(state: ServerState) -> str:
    server = (state.health or {}).get("server")
    return str(server.get("name", "-")) if isinstance(server, dict) else "-"


def _row(state: ServerState) -> tuple[str, ...]:
    health = state.health or {}
    calls = health.get("calls")
    unit = f"{state.active_state} ({state.sub_state})" if state.active_state else "-"
    word = "draining" if health.get("draining") else "healthy"
    return (
        _label(state),
        str(state.port),
        unit,
        word if state.healthy else "DOWN",
        str(health.get("release", "-")),
        (state.since or "-").removesuffix("+00:00"),
        str(state.pid or health.get("pid", "-")),
        f"{state.memory_bytes / 2**20:.0f}M" if state.memory_bytes is not None else "-",
        "-" if state.restarts is None else str(state.restarts),
        str(calls.get("total", "-")) if isinstance(calls, dict) else "-",
        "yes" if state.stale else "no" if state.healthy else "-",
    )


def _skip_blank(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _first_of(text: str, position: int, wanted: str) -> int:
    while position < len(text) and text[position] not in wanted:
        position += 1
    return position


def _end_of_comment(text: str, position: int) -> int:
    """Behind a comment line; a backslash at its end carries it on to the next line."""
    while position < len(text) and text[position] != "\n":
        position += 2 if text[position] == "\\" else 1
    return position + 1


def _read_value(text: str, position: int) -> tuple[str, int]:
    """A value with its quotes and escapes resolved, and the position behind its line.

    Quotes count where the value begins and behind a closing quote; blanks there, and at the end, are no part
    of the value. Outside quotes a backslash takes the next character as it is, inside double quotes only
    before a double quote, backslash, backtick or dollar sign. Before a line end it joins the lines.
    """
    value: list[str] = []
    solid = 0  # length without trailing blanks
    quote = ""
    fresh = True
    while position < len(text):
        character = text[position]
        position += 1
        if not quote and character in "\r\n":
            break
        if quote and character == quote:
            quote, fresh = "", True
        elif character == "\\" and quote != "'" and position < len(text):
            following = text[position]
            position += 1
            if following == "\n":
                continue
            value += [following] if not quote or following in '"\\`$' else ["\\", following]
            fresh = False
        elif quote:
            value.append(character)
        elif fresh and character in "\"'":
            quote = character
        elif character in " \t":
            value += [] if fresh else [character]
            continue
        else:
            value.append(character)
            fresh = False
        solid = len(value)
    return "".join(value[:solid]), position
