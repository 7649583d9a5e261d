"""The command line: ``canton-mcp serve | test | hub | dcap listen, stats, simulate | probe | lint``.

Parts are imported inside the commands that need them, so that each starts quickly.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from canton_mcp import __version__
from canton_mcp.settings import Settings, SettingsError, TesterSettings

__all__ = ["main"]

_USAGE_ERROR = 2
_QUIET_SEC = 1.0
_STEP_SEC = 0.1


class _Number(click.FloatRange):
    """A number within bounds. `nan` compares as being within all of them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


def _fail(message: str, status: int = 1) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(status)


def _refuse_settings(error: SettingsError) -> NoReturn:
    _fail("\n".join(f"Error: {problem}" for problem in error.problems), _USAGE_ERROR)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="canton-mcp")
def main() -> None:
    """MCP servers for Canton and DAML: run one, call many, watch their telemetry."""


@main.command()
@click.option("--check", is_flag=True, help="Load everything without listening; 0 if it would start.")
def serve(check: bool) -> None:
    """Run one server, as the environment describes it.

    \b
    Example:
      CANTON_MCP_PORT=7285 DCAP_SERVER_ID=canton-mcp-2 canton-mcp serve
    """
    from canton_mcp import serving

    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        _refuse_settings(error)
    try:
        if check:
            serving.check(settings)
            click.echo(f"canton-mcp {__version__} loads; it would listen on {settings.listen_address}.")
        else:
            serving.run(settings)
    except serving.StartError as error:
        _fail(f"Error: {error}")


@main.command()
@click.option("--count", type=click.IntRange(min=1), help="Stop after this many calls; without it, never.")
@click.option("--seed", type=int, help="Make the choice of servers and tools repeatable.")
@click.option("--urls", help="Comma-separated MCP URLs; default: MCP_SERVER_URLS.")
@click.option("--min-interval", help="Shortest pause between calls in seconds; default: MIN_INTERVAL or 1.")
@click.option("--max-interval", help="Longest pause between calls in seconds; default: MAX_INTERVAL or 5.")
def test(
    count: int | None, seed: int | None, urls: str | None, min_interval: str | None, max_interval: str | None
) -> None:
    """Call random tools of random servers and report how they fare.

    SIGUSR1 prints the summary; it also ends every run. Exit status 1 means that a call failed.

    \b
    Example:
      canton-mcp test --count 30 --min-interval 0 --max-interval 0.1 \\
        --urls http://localhost:7284/mcp,http://localhost:7285/mcp
    """
    options = {"MCP_SERVER_URLS": urls, "MIN_INTERVAL": min_interval, "MAX_INTERVAL": max_interval}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        settings = TesterSettings.from_env({**os.environ, **given})
    except SettingsError as error:
        _refuse_settings(error)
    if not settings.urls:
        _fail(
            "Error: MCP_SERVER_URLS: no server to call. Set it, or pass --urls http://localhost:7284/mcp.",
            _USAGE_ERROR,
        )
    from canton_mcp import tester

    sys.exit(
        tester.run(
            list(settings.urls),
            min_interval=settings.min_interval,
            max_interval=settings.max_interval,
            count=count,
            seed=seed,
        )
    )


@main.group()
def dcap() -> None:
    """DCAP telemetry."""


@dcap.command()
@click.option("--bind", default="0.0.0.0", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=10191, show_default=True, help="UDP port.")
@click.option("--count", type=click.IntRange(min=1), help="Stop after this many messages.")
@click.option("--seconds", type=_Number(min=0), help="Stop after this time.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def listen(bind: str, port: int, count: int | None, seconds: float | None, as_json: bool) -> None:
    """Print the DCAP messages that arrive.

    \b
    Example:
      canton-mcp dcap listen --bind 127.0.0.1 --count 10
    """
    from canton_mcp.dcap import listener

    sys.exit(listener.run(bind, port, count, seconds, as_json))


@dcap.command()
@click.option(
    "--url",
    envvar="DCAP_HUB_URL",
    help="The hub, by default that of this machine; #token=… at its end signs in.",
)
@click.option("--token-file", default="", envvar="DCAP_HUB_TOKEN_FILE", help="File with the hub's token.")
@click.option("--window", type=click.Choice(["5m", "1h", "24h"]), default="5m", show_default=True)
@click.option("--sid", "sids", multiple=True, help="Only this server; repeatable.")
@click.option("--tool", "tools", multiple=True, help="Only this tool; repeatable.")
@click.option("--watch", is_flag=True, help="Again every two seconds, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, one object a line.")
def stats(
    url: str | None,
    token_file: str,
    window: str,
    sids: tuple[str, ...],
    tools: tuple[str, ...],
    watch: bool,
    as_json: bool,
) -> None:
    """Show what the hub knows of the fleet: the page's tables, in a terminal.

    \b
    Examples:
      canton-mcp dcap stats
      canton-mcp dcap stats --window 1h --sid canton-mcp-2 --watch
      canton-mcp dcap stats --json | jq .fleet
    """
    import json

    from canton_mcp.hub import terminal

    try:
        own_url, own_token = terminal.installed()
        hub_at = terminal.Hub(url or own_url, token_file or ("" if url else own_token))
        if watch:
            terminal.watch(lambda: hub_at.report(window, sids, tools), as_json, sys.stdout)
        report = hub_at.report(window, sids, tools)
        click.echo(json.dumps(report) if as_json else terminal.as_text(report))
    except terminal.HubError as error:
        _fail(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit(0)


@dcap.command()
@click.option("--servers", type=click.IntRange(1, 1000), default=4, show_default=True, help="How many.")
@click.option(
    "--rate",
    type=_Number(0.1, 50000),
    default=10.0,
    show_default=True,
    help="Calls a second, of all.",
)
@click.option("--target", default="127.0.0.1:10191", show_default=True, help="HOST:PORT of the hub.")
@click.option("--seed", type=int, help="Make it repeatable.")
@click.option(
    "--profile",
    type=click.Choice(["mixed", "healthy", "slow", "failing", "silent", "lossy", "hostile"]),
    default="mixed",
    show_default=True,
    help="mixed: one slow, one failing, one that falls silent; lossy and hostile: all of them.",
)
@click.option(
    "--discover-interval",
    type=_Number(1, 86400),
    default=20.0,
    show_default=True,
    help="In seconds.",
)
@click.option("--silent-after", type=_Number(0), default=20.0, show_default=True, help="In seconds.")
@click.option("--seconds", type=_Number(0), help="Stop after this time; without it, never.")
@click.option(
    "--allow-public", is_flag=True, help="Send to addresses that are neither loopback nor private, too."
)
def simulate(
    servers: int,
    rate: float,
    target: str,
    seed: int | None,
    profile: str,
    discover_interval: float,
    silent_after: float,
    seconds: float | None,
    allow_public: bool,
) -> None:
    """Send what a fleet would send, to try a hub and its page without one.

    Ctrl-C ends it with a summary. Exit status 1: hardly anything was delivered, 2: wrong usage.

    \b
    Examples:
      canton-mcp dcap simulate
      canton-mcp dcap simulate --servers 200 --rate 400 --seed 7
    """
    from canton_mcp.dcap import simulate as simulation

    try:
        chosen = simulation.read_target(target, allow_public)
        made_up = simulation.fleet(servers, simulation.profile(profile), seed)
        status = simulation.run(
            made_up, chosen, rate=rate, interval=discover_interval, seconds=seconds, silent_after=silent_after
        )
    except simulation.TargetError as error:
        _fail(f"Error: {error}", _USAGE_ERROR)
    sys.exit(status)


@main.command()
@click.option("--check", is_flag=True, help="Read the settings without listening; 0 if they fit.")
def hub(check: bool) -> None:
    """Run the DCAP hub: collect what servers send, and show it on a page.

    The environment describes it (DCAP_HUB_*). Exit status: 2 wrong settings, 1 an address is taken.

    \b
    Example:
      DCAP_HUB_PORT=10191 DCAP_HUB_STATE_DIR=/var/lib/dcap-hub canton-mcp hub
    """
    from canton_mcp.hub import expected
    from canton_mcp.hub import run as running
    from canton_mcp.hub.settings import HubSettings

    try:
        settings = HubSettings.from_env(os.environ)
        if check:
            running.check(settings)
            expected.read(settings.servers_file)
            click.echo(f"The settings fit; the hub would listen on {settings.bind} port {settings.port}.")
        else:
            running.run(settings)
    except SettingsError as error:
        _refuse_settings(error)
    except running.StartError as error:
        _fail(f"Error: {error}")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")
@click.option(
    "--config-dir",
    type=click.Path(path_type=Path),
    default=Path("/etc/canton-mcp"),
    show_default=True,
    help="Where fleet.env and servers/PORT.env are.",
)
@click.option("--expect", help="JSON file with expected release and environments; - reads input.")
@click.option("--release", help="Release that should run; default: the one that `current` points at.")
@click.argument("targets", nargs=-1, metavar="[PORT|URL]...")
def probe(
    as_json: bool, config_dir: Path, expect: str | None, release: str | None, targets: tuple[str, ...]
) -> None:
    """Show the servers of this machine: unit, health, and whether they run what is installed.

    Exit status: 0 all healthy, 1 some not, 2 wrong usage.

    \b
    Examples:
      canton-mcp probe
      canton-mcp probe --json 7284 7285
      canton-mcp probe http://192.0.2.10:7284
    """
    from canton_mcp import probe as probing

    try:
        expectation = probing.read_expectation(expect)
        states = probing.probe(config_dir, targets, expectation=expectation, release=release)
    except probing.UsageError as error:
        _fail(f"Error: {error}", _USAGE_ERROR)
    click.echo(probing.as_json(states) if as_json else probing.as_table(states))
    sys.exit(0 if all(state.healthy for state in states) else 1)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--sarif", "as_sarif", is_flag=True, help="Print a SARIF 2.1.0 log, as code scanning takes it.")
@click.option(
    "--fail-on",
    type=click.Choice(["critical", "high", "medium", "low", "info", "never"]),
    default="high",
    show_default=True,
    help="Exit with 1 from this severity on.",
)
@click.option(
    "--rule", "rules", multiple=True, metavar="ID", help="Apply this rule only; repeatable, or a,b."
)
@click.option(
    "--ignore", "ignored", multiple=True, metavar="ID", help="Leave this rule out; repeatable, or a,b."
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
def lint(
    as_json: bool,
    as_sarif: bool,
    fail_on: str,
    rules: tuple[str, ...],
    ignored: tuple[str, ...],
    paths: tuple[str, ...],
) -> None:
    """Check DAML files and projects without a compiler: authority, visibility, keys, common mistakes.

    PATH is a file, a directory (its *.daml, hidden directories left out), or - for the input. Modules of one run
    see each other. Exit status: 0 nothing from --fail-on on, 1 something, 2 wrong usage or nothing to read.
    What cannot be parsed is a critical finding of the rule syntax, whatever --rule names.

    \b
    Examples:
      canton-mcp lint daml/
      canton-mcp lint --fail-on medium --ignore no-negative-test .
      canton-mcp lint --sarif . > lint.sarif
      git show HEAD:daml/Main.daml | canton-mcp lint -
    """
    from canton_mcp import lint as linter
    from canton_mcp import lint_report as report

    if as_json and as_sarif:
        raise click.UsageError("--json and --sarif: choose one.")
    progress = _progress() if sys.stderr.isatty() else None
    try:
        applied = linter.chosen(rules, ignored)
        sources = linter.collect(paths, sys.stdin.buffer.read, progress)
        checked = linter.check(sources, applied, progress=progress)
    except linter.UsageError as error:
        _fail(f"Error: {error}", _USAGE_ERROR)
    for line in report.notices(checked):
        click.echo(line, err=True)
    if as_json or as_sarif:
        click.echo(report.as_json(checked) if as_json else report.as_sarif(checked, applied))
    else:
        click.echo("\n\n".join(part for part in (report.as_text(checked), report.summary(checked)) if part))
    sys.exit(1 if linter.reaches(checked, fail_on) else 0)


def _progress() -> Callable[[str, int, int], None]:
    """Shows the state of a run that takes longer than a moment in one line, which is gone at the end of a stage."""
    started = shown = time.monotonic()

    def show(stage: str, done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - started < _QUIET_SEC or (now - shown < _STEP_SEC and done < total):
            return
        shown = now
        text = f"{stage} {done} of {total} files" if done < total else ""
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    return show


if __name__ == "__main__":
    main()
