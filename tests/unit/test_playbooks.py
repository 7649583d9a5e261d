"""Playbooks, roles and inventories as a whole: they parse, describe themselves, and keep to the design."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mcp_server as declare
import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.vars.manager import VariableManager

ROOT = Path(__file__).resolve().parents[2]


PLAYBOOKS = [*sorted((ROOT / "playbooks").glob("*.yml")), ROOT / "site.yml"]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if (path / "tasks").is_dir())
SECRET = re.compile(r"\b(mcp_server_secret|canton_(own_|other_)?secrets?)\b|fleet\.secret")
TASK_FILES = [path for role in ROLES for path in sorted((role / "tasks").glob("*.yml"))]
INVENTORIES = ("example-fleet", "local")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def tasks(block: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every task of a list, those inside blocks as well."""
    for task in block:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks(task.get(part, []))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def options(role: Path) -> dict[str, Any]:
    """The entry points that a role describes."""
    specs: dict[str, Any] = load(role / "meta/argument_specs.yml")["argument_specs"]
    return specs


def included(role: Path) -> set[str]:
    """Files of tasks that other tasks of the role bring in."""
    names = set()
    for path in (role / "tasks").glob("*.yml"):
        for task in tasks(load(path)):
            for verb in ("include_tasks", "import_tasks"):
                file = task.get(f"ansible.builtin.{verb}", "")
                names.add(file.get("file", "") if isinstance(file, dict) else file)
    return names


def test_every_playbook_parses_against_every_inventory() -> None:
    program = Path(sys.executable).parent / "ansible-playbook"
    runs = {
        inventory: subprocess.Popen(
            [program, "--syntax-check", "-i", f"inventory/{inventory}", *map(named, PLAYBOOKS)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for inventory in INVENTORIES
    }
    for inventory, run in runs.items():
        output, _ = run.communicate()
        assert run.returncode == 0, f"{inventory}: {output}"
        assert re.findall(r"^playbook: (.*)$", output, re.MULTILINE) == [named(path) for path in PLAYBOOKS]
        assert "WARNING" not in output and "DEPRECATION" not in output, f"{inventory}: {output}"


def test_every_inventory_declares_a_fleet_without_mistakes() -> None:
    fleets = {}
    init_plugin_loader()
    for inventory in INVENTORIES:
        loader = DataLoader()
        known = InventoryManager(loader, [str(ROOT / f"inventory/{inventory}")])
        variables = VariableManager(loader, known)
        hostvars = {name: variables.get_vars(host=host) for name, host in known.hosts.items()}
        hosts = known.get_groups_dict()["mcp_hosts"]
        fleets[inventory] = declare.mcp_server_fleet(hosts, hostvars)
        assert declare.mcp_server_problems(fleets[inventory]) == []
        assert all("mcp_server_dcap_target" in hostvars[host] for host in hosts)
    ids = {name: [server["dcap_server_id"] for server in fleet] for name, fleet in fleets.items()}
    assert ids["local"] == ["canton-mcp-1", "canton-mcp-2", "canton-mcp-3"]
    assert ids["example-fleet"] == [
        *(f"canton-mcp-{number}" for number in (1, 2, 3, 101, 102, 103, 201, 202)), "audit-mcp-1",
    ]  # fmt: skip


def groups(node: Any) -> set[str]:
    """Names of groups in an inventory."""
    children = (node or {}).get("children", {})
    return {"all", *children, *(name for child in children.values() for name in groups(child))}


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=named)
def test_every_play_is_for_groups_that_inventories_have(playbook: Path) -> None:
    known = set.intersection(
        *(groups(load(ROOT / f"inventory/{name}/hosts.yml")["all"]) for name in INVENTORIES)
    )
    for play in load(playbook):
        if "ansible.builtin.import_playbook" not in play:
            assert set(play["hosts"].split(":")) <= known
            assert play["gather_facts"] is False


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=named)
def test_a_play_loads_the_variables_that_it_uses(playbook: Path) -> None:
    for play in load(playbook):
        words = set(re.findall(r"\bcanton_\w+", yaml.safe_dump(play)))
        for file in ("vars/fleet.yml", "vars/balancer.yml"):
            own = {name for task in tasks(play.get("tasks", [])) for name in task.get("vars", {})}
            used = (words & set(load(ROOT / "playbooks" / file))) - own
            assert not used or file in play.get("vars_files", []), f"{sorted(used)} in {play['name']}"


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=named)
def test_roles_get_settings_that_they_describe(playbook: Path) -> None:
    for play in load(playbook):
        for task in tasks(play.get("tasks", [])):
            for verb in ("import_role", "include_role"):
                if chosen := task.get(f"ansible.builtin.{verb}"):
                    entry = options(ROOT / "roles" / chosen["name"])[chosen.get("tasks_from", "main")][
                        "options"
                    ]
                    assert set(task.get("vars", {})) <= set(entry)
                    assert {name for name, option in entry.items() if option.get("required")} <= set(
                        task.get("vars", {})
                    )


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=named)
def test_what_handles_the_secret_shows_nothing(playbook: Path) -> None:
    for play in load(playbook):
        for task in tasks(play.get("tasks", [])):
            if SECRET.search(yaml.safe_dump(task)) and "ansible.builtin.import_role" not in task:
                assert task.get("no_log") is True, task["name"]


def test_the_role_takes_its_secret_without_showing_it() -> None:
    role = ROOT / "roles/mcp_server"
    for entry, spec in options(role).items():
        assert "mcp_server_secret" not in spec["options"] or spec["options"]["mcp_server_secret"]["no_log"], (
            entry
        )
    uses = [
        task
        for path in sorted((role / "tasks").glob("*.yml"))
        for task in tasks(load(path))
        if "{{ mcp_server_secret }}" in str(task)
    ]
    assert [next(name for name in task if name != "name") for task in uses] == [
        "mcp_server_secret",
        "ansible.builtin.assert",
    ]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_entry_point_describes_its_settings(role: Path) -> None:
    files = {path.stem for path in (role / "tasks").glob("*.yml") if path.name not in included(role)}
    assert files <= set(options(role)) <= {path.stem for path in (role / "tasks").glob("*.yml")}
    for entry, spec in options(role).items():
        assert spec["short_description"] and (spec["options"] or entry == "remove"), entry
        for name, option in spec["options"].items():
            assert name.startswith(f"{role.name}_") and option["type"] and option["description"], name


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_setting_means_the_same_at_every_entry_point(role: Path) -> None:
    described: dict[str, Any] = {}
    for spec in options(role).values():
        for name, option in spec["options"].items():
            facts = (option["type"], option.get("default"), option.get("required", False))
            assert described.setdefault(name, facts) == facts, name


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_setting_is_used(role: Path) -> None:
    places = [path for part in ("tasks", "vars", "templates") for path in (role / part).glob("*")]
    text = "\n".join(path.read_text() for path in [*places, role / "defaults/main.yml"])
    for spec in options(role).values():
        for name in spec["options"]:
            assert len(re.findall(rf"\b{name}\b(?! *:)", text)) > 0, name


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_role_names_no_inventory_group(role: Path) -> None:
    inventory_words = re.compile(
        r"\b(groups|group_names|hostvars|mcp_hosts|load_balancers|testers|monitors)\b"
    )
    for path in [*(role / "tasks").glob("*"), *(role / "templates").glob("*"), *(role / "vars").glob("*")]:
        assert not inventory_words.search(path.read_text()), named(path)


@pytest.mark.parametrize("path", TASK_FILES, ids=named)
def test_the_number_of_tasks_does_not_depend_on_the_number_of_servers(path: Path) -> None:
    for task in tasks(load(path)):
        assert not [key for key in task if key.startswith("with_")], task["name"]
        loop = task.get("loop", [])
        declared = re.compile(
            r"instances|servers }}|environments|ports|urls|backends|frontends|hosts|query|lookup"
        )
        assert isinstance(loop, list) or not declared.search(loop), (
            f"{task['name']} runs once for each of {loop}"
        )
        assert all("{{" not in str(item) or not declared.search(str(item)) for item in loop), task["name"]
