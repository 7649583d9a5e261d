"""A fleet on a lab node of its own, deployed once by the same site.yml that operators run."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from driver import Fleet, Listener, play
from lab import Lab


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fresh node, looked at in check mode first, then deployed."""
    if old := Lab.find("e2e"):
        old.down()
    inventory = tmp_path_factory.mktemp("inventory")
    lab = Lab.up("e2e")
    try:
        node = lab.nodes[0]
        (inventory / "hosts.yml").write_text(lab.inventory.read_text())
        gateway = node.run("sh", "-c", "ip route show default | cut -d' ' -f3").strip()
        dcap = Listener(gateway)
        (inventory / "group_vars").mkdir()
        (inventory / "group_vars" / "all.yml").write_text(
            json.dumps(
                {
                    "mcp_server_dcap_target": node.address,
                    "mcp_server_dcap_discover_interval": 20,
                    "dcap_hub_bind": "0.0.0.0",
                    # What the hub passes on is what came, byte by byte.
                    "dcap_hub_upstreams": [f"{gateway}:{dcap.port}"],
                    "mcp_tester_min_interval": 0.2,
                    "mcp_tester_max_interval": 0.4,
                }
            )
        )
        bare = play(inventory, "site.yml", "--check", "--diff")
        first = play(inventory, "site.yml").ok()
        yield Fleet(node, inventory, dcap, bare, first)
        dcap.close()
    finally:
        lab.down()
