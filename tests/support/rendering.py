"""The files that the roles write, as Ansible renders them, without a node to write them to.

The roles are the real ones but for their tasks: defaults, variables, templates, filters and argument specs apply, and
one task hands over what they come to.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def _lookup(name: str) -> str:
    return f"'{name}': lookup('ansible.builtin.template', '{name}.j2')"


RESULTS = {
    "haproxy": "{" + _lookup("haproxy.cfg") + ", " + _lookup("keep-server-state.conf") + ", 'digest': __haproxy_digest}",
    "mcp_server": "{'files': __mcp_server_files, 'environments': __mcp_server_environments}",
    "mcp_tester": "{" + _lookup("canton-mcp-tester.service") + ", " + _lookup("tester.env")
    + ", 'problems': __mcp_tester_problems, 'digest': __mcp_tester_digest}",
}  # fmt: skip
FLEET = {"haproxy_frontends": "{{ canton_frontends }}", "haproxy_backends": "{{ canton_backends }}"}


def role(name: str, case: str, **variables: Any) -> dict[str, Any]:
    """A task that adds what a role comes to with these settings, under the name of a case."""
    return {
        "name": f"{name}, {case}",
        "ansible.builtin.include_role": {"name": name},
        "vars": {"case": case, **variables},
    }


def render(base: Path, host: dict[str, Any], *tasks: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """One run of Ansible on a machine with the variables ``host``, which serves and balances; results by case."""
    for name, result in RESULTS.items():
        _stand_in(base / "roles", name, result)
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    group: dict[str, Any] = {"hosts": {"here": {}}}
    inventory = {
        "all": {
            "hosts": {"here": {**local, **host}},
            "children": {"mcp_hosts": group, "load_balancers": group},
        }
    }
    tell = {"name": "Tell it", "ansible.builtin.debug": {"msg": "<{{ rendered | to_json | b64encode }}>"}}
    play = {
        "name": "Render",
        "hosts": "here",
        "gather_facts": False,
        "vars_files": [str(ROOT / f"playbooks/vars/{name}.yml") for name in ("fleet", "balancer")],
        "tasks": [*tasks, tell],
    }
    (base / "hosts.yml").write_text(json.dumps(inventory))
    (base / "render.yml").write_text(json.dumps([play]))
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", base / "hosts.yml", base / "render.yml"],
        cwd=ROOT,
        env={
            **os.environ,
            "ANSIBLE_ROLES_PATH": str(base / "roles"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (told,) = re.findall(r"<([A-Za-z0-9+/=]+)>", done.stdout)
    results: dict[str, dict[str, Any]] = json.loads(base64.b64decode(told))
    return results


def _stand_in(roles: Path, name: str, result: str) -> None:
    """A role that has everything of the real one but its tasks; it adds ``result`` to what is rendered."""
    (roles / name / "tasks").mkdir(parents=True)
    for part in (ROOT / "roles" / name).iterdir():
        if part.name in ("defaults", "vars", "templates", "meta", "filter_plugins", "library"):
            (roles / name / part.name).symlink_to(part)
    fact = "{{ rendered | default({}) | combine({case: " + result + "}) }}"
    step = {"name": "Render", "ansible.builtin.set_fact": {"rendered": fact}}
    (roles / name / "tasks" / "main.yml").write_text(json.dumps([step]))
