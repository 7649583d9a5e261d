"""The page's tables in a terminal: ``canton-mcp dcap stats``."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qs, urlsplit, urlunsplit

import requests

from canton_mcp.dcap.message import clean_text
from canton_mcp.probe import parse_environment
from canton_mcp.tables import aligned

__all__ = ["Hub", "HubError", "as_text", "watch"]

WATCH_SEC = 2.0
_TIMEOUT_SEC = 10.0
_MAX_CELL = 48
_MAX_ROWS = 40
_MARKS = {"critical": "CRITICAL", "warning": "WARNING ", "info": "INFO    "}
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


class HubError(Exception):
    """The hub cannot be asked; the text says why and what to do, in one line."""


def installed(directory: Path = Path("/etc/canton-mcp")) -> tuple[str, str]:
    """URL and token file of the hub that this machine runs, as far as this account may read its settings."""
    variables: dict[str, str] = {}
    with contextlib.suppress(OSError):
        variables = parse_environment((directory / "hub.env").read_text(encoding="utf-8"))
    bind = variables.get("DCAP_HUB_BIND", "127.0.0.1")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)
    token_file = directory / "hub.token"
    readable = str(token_file) if os.access(token_file, os.R_OK) else ""
    return (
        f"http://{f'[{host}]' if ':' in host else host}:{variables.get('DCAP_HUB_PORT', '10191')}",
        readable,
    )


class Hub:
    """A hub that answers over HTTP. A token in the URL's fragment (``#token=…``) is used and not shown."""

    def __init__(self, url: str, token_file: str = "") -> None:
        try:
            parts = urlsplit(url if "//" in url else f"http://{url}")
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # half a bracket, or a port that is none
            usable = False
        if not usable:
            raise HubError(
                f"--url {url.partition('#')[0]}: is no http or https URL. Use http://127.0.0.1:10191."
            )
        self.url = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
        token = "".join(parse_qs(parts.fragment).get("token", [])) or _read_token(token_file)
        self._session = requests.Session()
        self._session.trust_env = False  # a password file of the user must not take the place of the token
        if token:
            if not token.isascii() or not token.isprintable():
                raise HubError(
                    f"{self.url}: the token is not a line of printable ASCII characters. Copy it anew."
                )
            self._session.headers["Authorization"] = f"Bearer {token}"

    def report(self, window: str, sids: Iterable[str], tools: Iterable[str]) -> dict[str, Any]:
        """The report as the page gets it.

        Raises:
            HubError: there is no answer, or it is a refusal.
        """
        query = {"window": window, "sid": ",".join(sids), "tool": ",".join(tools)}
        try:
            answer = self._session.get(
                f"{self.url}/api/report", params=query, timeout=_TIMEOUT_SEC, allow_redirects=False
            )
        except requests.RequestException as error:
            raise HubError(
                f"{self.url}: no answer ({_reason(error)}). Is the hub running? systemctl status dcap-hub"
            ) from None
        if answer.status_code == 401:
            raise HubError(
                f"{self.url}: a token is needed. Name its file with --token-file or DCAP_HUB_TOKEN_FILE; "
                "on the hub's machine root finds it in /etc/canton-mcp/hub.token."
            )
        try:
            told = answer.json()
        except ValueError:
            told = None
        if answer.status_code != 200 or not isinstance(told, dict) or "servers" not in told:
            reason = told.get("error", "") if isinstance(told, dict) else "no hub answers there"
            raise HubError(f"{self.url}: status {answer.status_code}: {clean_text(str(reason), 200)}")
        return told


def watch(ask: Callable[[], dict[str, Any]], as_json: bool, out: TextIO) -> None:
    """Print the report every two seconds until Ctrl-C; a hub that is away for a while is told in its place."""
    while True:
        try:
            text = json.dumps(ask()) if as_json else as_text(ask())
        except HubError as error:
            text = json.dumps({"error": str(error)}) if as_json else str(error)
        clear = _CLEAR if out.isatty() and not as_json else ""
        print(f"{clear}{text}", file=out, flush=True)
        time.sleep(WATCH_SEC)


def as_text(report: Mapping[str, Any]) -> str:
    """The report as tables for a terminal; nothing from the wire can move its cursor."""
    parts = [
        _head(report),
        _headlines(report),
        _servers(report),
        _compare(report),
        _bottlenecks(report),
        _errors(report),
        _quality(report),
    ]
    return "\n\n".join(part for part in parts if part)


def _head(report: Mapping[str, Any]) -> str:
    fleet = report["fleet"]
    states = [f"{fleet[state]} {state}" for state in ("up", "idle", "silent", "never") if fleet.get(state)]
    clock = time.strftime("%H:%M:%S", time.localtime(report["at"]))
    chosen = [f"{key} {', '.join(map(_cell, report['filters'].get(key) or ()))}" for key in ("sid", "tool")]
    narrowed = [text for text, key in zip(chosen, ("sid", "tool"), strict=True) if report["filters"].get(key)]
    return "\n".join(
        [
            f"{clock}  window {' · '.join([_cell(report['window']), *narrowed])}",
            f"{fleet['servers']} servers ({', '.join(states) or 'none heard'}), {fleet['expected']} expected",
            f"{fleet['calls']} calls ({_number(fleet['calls_per_minute'])}/min), "
            f"{_percent(fleet['error_ratio'])} % errors, p50 {_ms(fleet['p50_ms'])}, p95 {_ms(fleet['p95_ms'])}, "
            f"p99 {_ms(fleet['p99_ms'])}, imbalance {_number(fleet['imbalance'])}, "
            f"loss {_percent(fleet['loss_ratio'])} %",
        ]
    )


def _headlines(report: Mapping[str, Any]) -> str:
    if not report["headlines"]:
        return "All is well." if report["fleet"]["servers"] else "No message has come yet."
    return "\n".join(
        f"{_MARKS.get(line['severity'], 'INFO    ')}  {_long(line['what'])}"
        + (f" ({_long(line['detail'])})" if line.get("detail") else "")
        + (f"\n          → {_long(line['do'])}" if line.get("do") else "")
        for line in report["headlines"][:_MAX_ROWS]
    )


def _servers(report: Mapping[str, Any]) -> str:
    head = (
        "SERVER",
        "STATE",
        "LAST",
        "CALLS",
        "/MIN",
        "ERR %",
        "P50",
        "P95",
        "P99",
        "LOAD %",
        "TIME %",
        "LOST %",
    )
    rows = [
        (
            _cell(server["sid"]),
            _cell(server["state"]),
            _age(server["age_seconds"]),
            str(server["calls"]),
            _number(server["calls_per_minute"]),
            _percent(server["error_ratio"]),
            _ms(server["p50_ms"]),
            _ms(server["p95_ms"]),
            _ms(server["p99_ms"]),
            _percent(server["load_share"]),
            _percent(server["time_share"]),
            _percent(server["loss_ratio"]),
        )
        for server in report["servers"]
    ]
    return _table("Fleet", head, rows, right=range(2, len(head)))


def _compare(report: Mapping[str, Any]) -> str:
    head = ("TOOL", "SERVER", "CALLS", "ERR %", "P50", "P95", "P99", "")
    rows = [
        (
            _cell(row["tool"]),
            _cell(cell["sid"]),
            str(cell["calls"]),
            _percent(cell["error_ratio"]),
            _ms(cell["p50_ms"]),
            _ms(cell["p95_ms"]),
            _ms(cell["p99_ms"]),
            "few" if cell["few"] else "",
        )
        for row in report["compare"]
        for cell in row["cells"]
    ]
    return _table("The same tool on every server", head, rows, right=range(2, 7))


def _bottlenecks(report: Mapping[str, Any]) -> str:
    lines = [
        f"  {_long(item['what'])}" + (f"\n    → {_long(item['do'])}" if item.get("do") else "")
        for item in report["bottlenecks"][:_MAX_ROWS]
    ]
    return "\n".join(["Bottlenecks", *lines]) if lines else ""


def _errors(report: Mapping[str, Any]) -> str:
    head = ("SERVER", "TOOL", "ERROR", "COUNT", "OF CALLS %", "LAST")
    rows = [
        (
            _cell(error["sid"]),
            _cell(error["tool"]),
            _cell(error["error_code"]),
            str(error["count"]),
            _percent(error["ratio"]),
            _age(None if error["last_seen"] is None else report["at"] - error["last_seen"]),
        )
        for error in report["errors"]
    ]
    return _table("Errors", head, rows, right=range(3, 6))


def _quality(report: Mapping[str, Any]) -> str:
    quality = report["quality"]
    rejected = ", ".join(
        f"{_cell(reason)} {count}" for reason, count in sorted(quality["rejected"].items()) if count
    )
    return (
        f"Received {quality['received']}, accepted {quality['accepted']}, "
        f"rejected {rejected or 'none'}, dropped by the kernel {quality['kernel_drops']}"
    )


def _table(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]], right: Iterable[int]) -> str:
    if not rows:
        return ""
    more = (
        f"\n… {len(rows) - _MAX_ROWS} more; narrow it with --sid or --tool" if len(rows) > _MAX_ROWS else ""
    )
    return f"{title}\n{aligned([head, *rows[:_MAX_ROWS]], right=tuple(right))}{more}"


def _cell(value: Any) -> str:
    return clean_text("-" if value is None else str(value), _MAX_CELL)


def _long(value: Any) -> str:
    return clean_text(str(value), 300)


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return (
        f"{value / 1000:.2f} s"
        if value >= 10_000
        else f"{value:.1f} ms"
        if value < 100
        else f"{value:.0f} ms"
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.1f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    seconds = max(0, int(seconds))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def _read_token(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not ASCII text"
        raise HubError(
            f"--token-file {path}: cannot be read ({reason}). Give its path, or run as its owner."
        ) from None


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return f"nothing within {_TIMEOUT_SEC:g} s"
    text = str(error)
    for known in (
        "Connection refused",
        "Name or service not known",
        "No route to host",
        "Network is unreachable",
    ):
        if known in text:
            return known.lower()
    return type(error).__name__
