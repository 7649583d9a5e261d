"""What Prometheus and Grafana ask for is what servers, hub and balancer really say."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from balancing import fleet_config, running
from hubs import RunningHub, discover, spawn_hub
from processes import Served

FILES = Path(__file__).parents[2] / "roles" / "monitoring" / "files"
NAME = re.compile(r"\b(?:dcap|mcp|haproxy)_[a-z_]+\b(?=[\[{)\s=><*]|$)")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> object:
    started = spawn_hub(tmp_path_factory.mktemp("hub"))
    try:
        yield started.wait_ready()
    finally:
        started.stop()


def asked_for() -> set[str]:
    """Every metric that a rule or a panel names."""
    rules = yaml.safe_load((FILES / "canton-mcp.rules.yml").read_text())
    panels = json.loads((FILES / "grafana-dashboard.json").read_text())["panels"]
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    expressions += [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return {name for expression in expressions for name in NAME.findall(expression)}


def told(text: str) -> set[str]:
    return set(re.findall(r"^([a-z_]+)(?=[{ ])", text, re.MULTILINE))


def read(url: str) -> set[str]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return told(answer.read().decode())


def test_every_metric_that_is_asked_for_is_told(
    hub: RunningHub, live_server: Served, start_server: Callable[..., Served], tmp_path: Path
) -> None:
    sender = start_server(DCAP_MULTICAST_IP="127.0.0.1", DCAP_PORT=str(hub.udp_port)).wait_ready()
    sender.call("validate_daml_business_logic", {"businessIntent": "x", "damlCode": "module M where"})
    hub.send(
        discover("canton-mcp-1", "validate"),
        hub.call(cost_paid=5, currency="USDC"),
        hub.call(success=False),
        b"{",
    )
    hub.until(lambda: b"dcap_loss_ratio{" in hub.ask("/metrics").body)
    own = told(hub.ask("/metrics").body.decode())
    servers = read(f"http://127.0.0.1:{sender.port}/metrics")
    with running(tmp_path / "balancer", fleet_config(tmp_path, {"port": live_server.port}), 1) as balancer:
        balancers = read(f"http://127.0.0.1:{balancer.statistics_port}/metrics")
    wanted = asked_for()
    assert {"dcap_server_up", "mcp_open_streams", "haproxy_backend_active_servers"} <= wanted
    assert wanted <= own | servers | balancers, wanted - own - servers - balancers
