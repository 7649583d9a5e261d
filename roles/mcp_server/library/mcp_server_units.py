#!/usr/bin/python
"""Ansible module: make the running servers of a node the declared ones, restarting only what is stale."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: mcp_server_units
short_description: Start, stop, restart and prune the MCP servers of a node
description:
  - With C(state=running) it enables and starts the declared servers that do not run, and restarts, one after the other,
    those whose release or configuration is not the one on disk.
  - It stops at the first server that does not come up and shows its last log lines; the others keep serving.
  - With C(state=started), C(stopped) or C(restarted) it acts on the named ports alone.
  - A server is drained before it is stopped for good, so that balancers stop sending requests to it first.
  - With C(state=pruned) it stops and disables the servers that are not among C(ports), and nothing else.
options:
  environments:
    description: The complete environment of every declared server, by port. Needed for C(state=running).
    type: dict
    default: {}
  ports:
    description: The servers to act on; with C(state=pruned) those to keep.
    type: list
    elements: int
    default: []
  state: {type: str, choices: [running, pruned, started, stopped, restarted], default: running}
  command:
    description: The console command of the installed release.
    type: path
    required: true
  release:
    description: The release that servers have to run; empty means the one in use on the node.
    type: str
    default: ""
  drain_dir: {description: Where drain flags are set., type: path, required: true}
  drain_seconds: {description: How long balancers get to notice a drain., type: float, default: 3}
  timeout: {description: Seconds a server may take to become healthy., type: float, default: 60}
author: Canton MCP Fleet
"""

RETURN = r"""
started: {description: Ports that were or would be started., type: list, returned: always}
restarted: {description: Ports that were or would be restarted, with the reasons., type: dict, returned: always}
stopped: {description: Ports that were or would be stopped., type: list, returned: always}
"""

UNITS = Path("/etc/systemd/system")
TARGET = "canton-mcp.target"
INSTANCE = re.compile(r"canton-mcp@(\d+)\.service")
LOG_LINES = 12
PATIENCE = 5
# What a flag holds that this module has set, as opposed to one that an operator has.
OWN_FLAG = "set while the server is stopped\n"


def unit(port: int) -> str:
    """The systemd unit of the server on a port."""
    return f"canton-mcp@{port}.service"


class Node:
    """The servers of this machine, seen through systemd and the installed release's probe."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params = module.params

    def run(self, *command: str, check: bool = True, data: str | None = None) -> tuple[int, str, str]:
        code, out, err = self.module.run_command(list(command), data=data)
        if check and code:
            self.module.fail_json(msg=f"{' '.join(command)} failed: {err.strip() or out.strip() or code}")
        return code, out, err

    def systemctl(self, verb: str, ports: list[int], *flags: str, check: bool = True) -> int:
        return self.run("systemctl", verb, *flags, *map(unit, ports), check=check)[0] if ports else 0

    def enabled(self) -> set[int]:
        wants = UNITS / f"{TARGET}.wants"
        names = os.listdir(wants) if wants.is_dir() else []
        return {int(match[1]) for name in names if (match := INSTANCE.fullmatch(name))}

    def loaded(self) -> set[int]:
        _, out, _ = self.run(
            "systemctl", "list-units", "--all", "--plain", "--no-legend", "canton-mcp@*.service"
        )
        return {int(port) for port in re.findall(INSTANCE, out)}

    def active(self, ports: list[int]) -> list[int]:
        """Those of the ports whose unit runs."""
        _, out, _ = (
            self.run("systemctl", "is-active", *map(unit, ports), check=False) if ports else (0, "", "")
        )
        return [port for port, state in zip(ports, out.split(), strict=False) if state == "active"]

    def reload_if_needed(self) -> None:
        """Make systemd read changed unit files; a run that died before this step is healed here."""
        names = [TARGET, *map(unit, sorted(self.loaded()))]
        _, out, _ = self.run(
            "systemctl", "show", "--property=NeedDaemonReload,LoadState", *names, check=False
        )
        if "NeedDaemonReload=yes" in out or "LoadState=not-found" in out:
            self.run("systemctl", "daemon-reload")

    def probe(self, ports: list[int]) -> dict[int, dict[str, Any]]:
        """What runs on each port, and why it is stale if it is; nothing when no release is installed yet."""
        command = self.params["command"]
        if not ports or not os.access(command, os.X_OK):
            return {}
        arguments, data = [command, "probe", "--json"], None
        if self.params["environments"]:
            # What will be on disk: in check mode the files are not written yet.
            arguments += ["--expect", "-"]
            data = json.dumps({"servers": self.params["environments"]})
        if self.params["release"]:
            arguments += ["--release", self.params["release"]]
        arguments += map(str, ports)
        code, out, err = self.run(*arguments, check=False, data=data)
        try:
            rows = {row["port"]: row for row in json.loads(out)}
            silent = [port for port in ports if not rows[port]["active_state"]]
        except (ValueError, TypeError, KeyError):
            lines = (err.strip() or out.strip() or "no output").splitlines()[-LOG_LINES:]
            self.module.fail_json(msg="\n".join([f"{' '.join(arguments)} ended with status {code}:", *lines]))
            raise AssertionError from None
        if silent:  # not knowing must never look like not running
            self.module.fail_json(
                msg=f"systemd did not tell the state of {unit(silent[0])}; run the play again"
            )
        return rows

    def patient_probe(self, ports: list[int]) -> dict[int, dict[str, Any]]:
        """A probe that asks running servers again that did not answer: busy is not stale."""
        rows = self.probe(ports)
        for _ in range(PATIENCE):
            busy = [port for port, row in rows.items() if row["active_state"] == "active" and row["error"]]
            if not busy:
                break
            time.sleep(1)
            rows.update(self.probe(busy))
        return rows

    def last_lines(self, port: int) -> str:
        """The last log lines of a server, indented."""
        _, out, _ = self.run(
            "journalctl", "-u", unit(port), "-n", str(LOG_LINES), "--no-pager", "-o", "cat", check=False
        )
        return "\n".join(f"  {line}" for line in out.strip().splitlines()) or "  (the journal has nothing)"

    def give_up(self, port: int, reason: str, **result: Any) -> None:
        self.module.fail_json(
            msg=f"{unit(port)} {reason}; its last log lines:\n{self.last_lines(port)}\n"
            f"The other servers were left as they are. Mend the cause, then run the play again.",
            **result,
        )

    def await_healthy(self, ports: list[int]) -> tuple[int, str] | None:
        """Wait until every port answers with what is expected; the first that does not, with the reason."""
        deadline = time.monotonic() + self.params["timeout"]
        while True:
            rows = self.probe(ports)
            bad = {port: fault(rows.get(port)) for port in ports if fault(rows.get(port))}
            if not bad:
                return None
            port, reason = next(iter(bad.items()))
            if time.monotonic() > deadline or rows.get(port, {}).get("active_state") == "failed":
                return port, str(reason)
            time.sleep(0.3)

    def bring_up(self, verb: str, ports: list[int]) -> tuple[int, str] | None:
        """Start or restart units in one call and wait for their health."""
        for port in ports:
            self.clear_own_flag(port)
        self.systemctl("reset-failed", ports, check=False)
        code = self.systemctl(verb, ports, check=False)
        failed = self.await_healthy(ports) if not code else None
        if code:
            rows = self.probe(ports)
            down = [port for port in ports if rows.get(port, {}).get("active_state") != "active"]
            return (down or ports)[0], "did not start"
        return failed

    def flag(self, port: int) -> Path:
        """The file that drains the server on a port."""
        return Path(self.params["drain_dir"]) / f"drain-{port}"

    def clear_own_flag(self, port: int) -> None:
        """Undo the drain of a run that died while it stopped a server; an operator's drain stays."""
        flag = self.flag(port)
        if flag.exists() and flag.read_text() == OWN_FLAG:
            flag.unlink()

    def take_down(self, ports: list[int], *, disable: bool) -> None:
        """Drain, then stop; the flags go afterwards so that a later start serves at once."""
        if not ports:
            return
        running = self.active(ports)
        flags = [self.flag(port) for port in running if not self.flag(port).exists()]
        try:
            for flag in flags:
                flag.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                flag.write_text(OWN_FLAG)
            if running:
                time.sleep(self.params["drain_seconds"])
            self.systemctl("stop", ports)
        finally:
            for flag in flags:
                flag.unlink(missing_ok=True)
        if disable:
            self.systemctl("disable", ports, "--quiet", check=False)
        self.systemctl("reset-failed", ports, check=False)


def fault(row: dict[str, Any] | None) -> str:
    """Why a probed server is not as declared; empty when it is."""
    if row is None:
        return "is unknown to the probe"
    if row.get("active_state") != "active":
        return f"is {row.get('active_state') or 'not loaded'}"
    if row.get("error"):
        return f"is not healthy ({row['error']})"
    return f"still runs the old {'; '.join(row['stale'])}" if row.get("stale") else ""


def reconcile(node: Node) -> None:
    """The declared servers run as declared."""
    module, wanted = node.module, sorted(map(int, node.params["environments"]))
    enabled = node.enabled()
    if not module.check_mode:
        node.reload_if_needed()
    rows = node.patient_probe(wanted)
    missing = [port for port in wanted if rows.get(port, {}).get("active_state") != "active"]
    stale = {port: fault(rows[port]) for port in wanted if port not in missing and fault(rows[port])}
    unwanted = sorted(set(wanted) - enabled)
    result: dict[str, Any] = {
        "started": missing,
        "restarted": {str(port): reason for port, reason in stale.items()},
        "stopped": [],
        "changed": bool(missing or stale or unwanted),
        "diff": difference(rows, missing, stale),
    }
    if module.check_mode:
        module.exit_json(**result)
    node.systemctl("enable", unwanted, "--quiet")
    if missing and (failed := node.bring_up("restart", missing)):
        node.give_up(*failed, **result)
    for port in stale:
        if failed := node.bring_up("restart", [port]):
            node.give_up(*failed, **result)
    for port in wanted:
        node.clear_own_flag(port)
    module.exit_json(**result)


def prune(node: Node) -> None:
    """Servers that are not to be kept are drained, stopped and disabled."""
    gone = sorted((node.enabled() | node.loaded()) - set(node.params["ports"]))
    if not node.module.check_mode:
        node.take_down(gone, disable=True)
    node.module.exit_json(
        started=[],
        restarted={},
        stopped=gone,
        changed=bool(gone),
        diff={
            "before": "".join(f"{unit(port)}: enabled\n" for port in gone),
            "after": "".join(f"{unit(port)}: stopped and disabled\n" for port in gone),
        },
    )


def difference(rows: dict[int, dict[str, Any]], missing: list[int], stale: dict[int, str]) -> dict[str, str]:
    """What a run does to the units, as a before and an after."""
    states = {port: rows.get(port, {}).get("active_state") or "not there" for port in missing}
    before = [f"{unit(port)}: {states[port]}" for port in missing]
    before += [f"{unit(port)}: {reason}" for port, reason in stale.items()]
    after = [f"{unit(port)}: started" for port in missing]
    after += [f"{unit(port)}: restarted" for port in stale]
    return {
        "before": "".join(f"{line}\n" for line in before),
        "after": "".join(f"{line}\n" for line in after),
    }


def act(node: Node, state: str) -> None:
    """Start, stop or restart the named servers and nothing else."""
    module, ports = node.module, node.params["ports"]
    if ports and not (UNITS / "canton-mcp@.service").exists():
        module.fail_json(
            msg=f"{unit(ports[0])}: no servers are installed on this machine; run site.yml first"
        )
    active = node.active(ports)
    idle = [port for port in ports if port not in active]
    result: dict[str, Any] = {"started": [], "restarted": {}, "stopped": []}
    if state == "stopped":
        result.update(stopped=active, changed=bool(active))
        if not module.check_mode:
            node.take_down(active, disable=False)
    elif state == "started":
        result.update(started=idle, changed=bool(idle))
        if idle and not module.check_mode and (failed := node.bring_up("start", idle)):
            node.give_up(*failed, **result)
    else:
        result.update(restarted={str(port): "asked for" for port in ports}, changed=bool(ports))
        for port in [] if module.check_mode else ports:
            if failed := node.bring_up("restart", [port]):
                node.give_up(*failed, **result)
    module.exit_json(**result)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "environments": {"type": "dict", "default": {}},
            "ports": {"type": "list", "elements": "int", "default": []},
            "state": {
                "type": "str",
                "choices": ["running", "pruned", "started", "stopped", "restarted"],
                "default": "running",
            },
            "command": {"type": "path", "required": True},
            "release": {"type": "str", "default": ""},
            "drain_dir": {"type": "path", "required": True},
            "drain_seconds": {"type": "float", "default": 3},
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    node = Node(module)
    os.umask(0o022)
    if module.params["state"] == "running":
        reconcile(node)
    elif module.params["state"] == "pruned":
        prune(node)
    else:
        act(node, module.params["state"])


if __name__ == "__main__":
    main()
