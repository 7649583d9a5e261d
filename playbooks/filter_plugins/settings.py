"""Filters that find misspelt settings and groups in an inventory."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).parents[2] / "roles"
# What the playbooks read beside the roles' settings, and what the roles tell each other.
PLAYBOOKS = (
    "mcp_servers",
    "mcp_server_first_number",
    "mcp_server_address",
    "mcp_balancer_port",
    "mcp_balancer_read_only_tools",
    "monitoring_enabled",
    "canton_release_id",
    "canton_release_command",
)
GROUPS = ("mcp_hosts", "load_balancers", "testers", "monitors")


@cache
def known_settings() -> frozenset[str]:
    """Every name that a role describes or a playbook reads."""
    specs = [yaml.safe_load(path.read_text()) for path in ROLES.glob("*/meta/argument_specs.yml")]
    entries = [entry for spec in specs for entry in spec["argument_specs"].values()]
    return frozenset(PLAYBOOKS).union(*(entry["options"] for entry in entries))


def settings_unknown(names: Iterable[str]) -> list[str]:
    """Variables that look like settings, but that nothing reads: a line each, with the remedy."""
    return [f"{name}: is not a setting; {_meant(name)}" for name in sorted(set(names) - known_settings())]


def _meant(name: str) -> str:
    near = difflib.get_close_matches(name, known_settings(), 1)
    return f"did you mean {near[0]!r}?" if near else "see the README's tables, or remove it"


def settings_groups(groups: Iterable[str]) -> list[str]:
    """Groups that were meant to be one of ours: a line each, with the remedy."""
    missing = set(GROUPS) - set(groups)
    return [
        f"group {group}: is not one of {', '.join(GROUPS)}; did you mean {near[0]!r}?"
        for group in sorted(set(groups) - set(GROUPS))
        if (near := difflib.get_close_matches(group, missing, 1, 0.8))
    ]


class FilterModule:
    """Hands the filters to Ansible."""

    def filters(self) -> dict[str, Any]:
        return {"settings_unknown": settings_unknown, "settings_groups": settings_groups}
