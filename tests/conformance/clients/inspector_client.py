"""The Inspector on the command line: a process of its own, with a connection of its own, for every step."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from plan import Account, Era, Outcome, Plan, Step

__all__ = ["drive"]

_AT_A_TIME: Final = 2
_LACKS: Final = frozenset({"completion/complete"})


def drive(command: Sequence[str], url: str, era: Era, plan: Plan) -> Account:
    """Work through a plan. Of what a server may ask, the Inspector's command line answers where its roots are."""
    with tempfile.TemporaryDirectory(prefix="inspector-") as home, ThreadPoolExecutor(_AT_A_TIME) as pool:
        config = Path(home) / "servers.json"
        roots = [{"uri": root} for root in plan["answers"]["roots"]] if plan["answers"] else []
        server = {"type": "streamable-http", "url": url, "protocolEra": era, "roots": roots}
        config.write_text(json.dumps({"mcpServers": {"fleet": server}}))
        inspector = _Inspector([*command, "--config", str(config), "--server", "fleet"], home)
        hello = inspector.run("--method", "initialize")
        return {
            "version": hello["result"]["protocolVersion"],
            "steps": list(pool.map(lambda step: _outcome(inspector, step), plan["steps"])),
        }


class _Inspector:
    """Runs it with files of its own, and asks for JSON."""

    def __init__(self, command: Sequence[str], home: str) -> None:
        self._command = [*command, "--format", "json", "--quiet"]
        self._environment = {"PATH": os.environ["PATH"], "HOME": home}

    def run(self, *arguments: str) -> Any:
        """What it prints: an object with the result on standard output, or else with the error on standard error."""
        done = subprocess.run(
            [*self._command, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return json.loads(done.stdout or done.stderr)


def _outcome(inspector: _Inspector, step: Step) -> Outcome:
    if step["method"] in _LACKS or step.get("progress"):
        return {"lacks": True}
    said = inspector.run("--method", step["method"], *_options(step["method"], step.get("params", {})))
    if "error" in said:
        return {"error": said["error"]}
    return {"result": said["result"], "progress": [], "asked": []}


def _options(method: str, params: Mapping[str, Any]) -> list[str]:
    """The parameters of a request as the command line has them."""
    given = params.get("arguments", {})
    match method:
        case "tools/call":
            return ["--tool-name", params["name"], "--tool-args-json", json.dumps(given)]
        case "resources/read":
            return ["--uri", params["uri"]]
        case "prompts/get":
            pairs = ["--prompt-args", *(f"{name}={value}" for name, value in given.items())] if given else []
            return ["--prompt-name", params["name"], *pairs]
    return []
