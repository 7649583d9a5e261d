"""Alert rules and dashboard: Prometheus' own tools judge the rules, real answers the names of metrics."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = ROOT / "roles" / "monitoring" / "files"
RULES = FILES / "canton-mcp.rules.yml"
CASES = ROOT / "tests" / "monitoring" / "alerts.yml"
DASHBOARD = json.loads((FILES / "grafana-dashboard.json").read_text())
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
SUFFIX = r"_(bucket|sum|count)$"


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


def test_the_rules_are_rules_and_alert_as_they_should() -> None:
    assert promtool("check", "rules", RULES).returncode == 0
    tested = promtool("test", "rules", CASES)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_is_tested_and_says_what_to_do() -> None:
    cases = yaml.safe_load(CASES.read_text())["tests"]
    fired = {c["alertname"] for case in cases for c in case["alert_rule_test"] if c.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in ALERTS}
    assert all(rule["annotations"].keys() == {"summary", "description", "action"} for rule in ALERTS)


@pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])
def test_a_rule_that_never_fires_is_noticed(rule: dict[str, Any], tmp_path: Path) -> None:
    text = CASES.read_text().replace("../../roles/monitoring/files/", "")
    (tmp_path / CASES.name).write_text(text)
    broken = [
        {**other, "expr": f"({other['expr']}) and vector(0) == 1"} if other == rule else other
        for other in ALERTS
    ]
    (tmp_path / RULES.name).write_text(yaml.safe_dump({"groups": [{"name": "broken", "rules": broken}]}))
    assert promtool("test", "rules", tmp_path / CASES.name).returncode == 1


def expressions(panels: list[dict[str, Any]]) -> Iterator[str]:
    for panel in panels:
        yield from (target["expr"] for target in panel.get("targets", []))
        yield from expressions(panel.get("panels", []))


def metrics(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:dcap|mcp|haproxy)_[a-z_]+\b(?!\")", expression))


def test_the_dashboard_can_be_imported() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids) and DASHBOARD["uid"]
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource", "sid", "tool"}
    for panel in DASHBOARD["panels"]:
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}"
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for expression in expressions(DASHBOARD["panels"]):
        asked = expression.replace("$__rate_interval", "5m").replace("$sid", ".*").replace("$tool", ".*")
        asked_file = json.dumps({"groups": [{"name": "g", "rules": [{"record": "r", "expr": asked}]}]})
        checked = subprocess.run(
            ["promtool", "check", "rules", "/dev/stdin"],
            input=asked_file,
            capture_output=True,
            text=True,
            check=False,
        )
        assert checked.returncode == 0, asked
