"""What the hub is told: its environment, its token and the servers of the inventory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from canton_mcp.hub import expected
from canton_mcp.hub.settings import HubSettings
from canton_mcp.settings import SettingsError

TOKEN = "0123456789abcdef0123"


def test_an_empty_environment_is_the_default() -> None:
    settings = HubSettings.from_env({})
    assert settings == HubSettings()
    assert (settings.bind, settings.port, settings.udp_port) == ("127.0.0.1", 10191, 10191)
    assert settings.upstreams == () and settings.token == ""


def test_all_variables(tmp_path: Path) -> None:
    (tmp_path / "hub-token").write_text(f"{TOKEN}\n")
    settings = HubSettings.from_env(
        {
            "DCAP_HUB_BIND": "192.0.2.9",
            "DCAP_HUB_ALLOWED_HOSTS": "Hub.Example,192.0.2.9",
            "DCAP_HUB_TRUSTED_NETWORKS": "10.0.0.5/24, 2001:db8::/64",
            "DCAP_HUB_UPSTREAMS": "hub.example:10191,[2001:db8::1]:9",
            "DCAP_HUB_MULTICAST_GROUP": "239.255.0.1",
            "DCAP_HUB_MAX_DATAGRAM": "8192",
            "CREDENTIALS_DIRECTORY": str(tmp_path),
            "STATE_DIRECTORY": "/var/lib/dcap-hub",
        }
    )
    assert settings.allowed_hosts == ("hub.example", "192.0.2.9")
    assert [str(network) for network in settings.trusted_networks] == ["10.0.0.0/24", "2001:db8::/64"]
    assert settings.upstreams == (("hub.example", 10191), ("2001:db8::1", 9))
    assert (settings.state_dir, settings.max_datagram) == ("/var/lib/dcap-hub", 8192)
    assert settings.token == TOKEN and TOKEN not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DCAP_HUB_BIND", "localhost"),
        ("DCAP_HUB_PORT", "0"),
        ("DCAP_HUB_UDP_PORT", "65536"),
        ("DCAP_HUB_TRUSTED_NETWORKS", "10.0.0.0/33"),
        ("DCAP_HUB_RATE", "0"),
        ("DCAP_HUB_MAX_DATAGRAM", "70000"),
        ("DCAP_HUB_RETENTION_DAYS", "-1"),
        ("DCAP_HUB_UPSTREAMS", "hub.example"),
        ("DCAP_HUB_MULTICAST_GROUP", "192.0.2.1"),
        ("DCAP_HUB_MULTICAST_GROUP", "ff02::dca"),
        ("DCAP_HUB_SERVERS_FILE", "servers.json"),
        ("DCAP_HUB_STATE_DIR", "here"),
    ],
)
def test_wrong_values_are_named_with_a_remedy(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        HubSettings.from_env({name: value})
    (problem,) = refused.value.problems
    assert problem.startswith(f"{name}={value}: ") and "\n" not in problem
    assert any(word in problem for word in ("Use ", "remove", "Name the interface"))


@pytest.mark.parametrize(
    "content", [b"", b"short", b"two words in it, long enough", b"\xff" * 20, b"x" * 600]
)
def test_a_token_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        HubSettings.from_env({"DCAP_HUB_TOKEN_FILE": str(tmp_path / "token")})
    assert "token" in str(refused.value) and (
        not content or content.decode("latin-1") not in str(refused.value)
    )


def test_a_token_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        HubSettings.from_env({"DCAP_HUB_TOKEN_FILE": str(tmp_path / "none")})


def written(path: Path, content: Any) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_servers_of_the_inventory(tmp_path: Path) -> None:
    entry = {
        "sid": "canton-mcp-1",
        "name": "n",
        "host": "demo-1",
        "port": 7284,
        "url": "http://192.0.2.1:7284",
    }
    path = written(tmp_path / "servers.json", [entry, {"sid": "x", "more": 1, "discover_interval_sec": 60}])
    first, second = expected.read(path)
    assert (first.host, first.port, first.discover_interval_sec) == ("demo-1", 7284, None)
    assert (second.sid, second.port, second.discover_interval_sec) == ("x", None, 60)
    assert expected.read("") == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[1]",
        "[{}]",
        "[" * 100_000,
        [{"sid": ""}],
        [{"sid": "a\x1b"}],
        [{"sid": "a", "port": "x"}],
        [{"sid": "a", "port": True}],
        [{"sid": "a", "name": 5}],
        [{"sid": "a", "discover_interval_sec": 0}],
        [{"sid": "a"}, {"sid": "a"}],
    ],
)
def test_a_servers_file_that_is_none(tmp_path: Path, content: Any) -> None:
    path = written(tmp_path / "servers.json", content)
    with pytest.raises(SettingsError) as refused:
        expected.read(path)
    assert path in str(refused.value) and "\n" not in str(refused.value)


def test_a_changed_servers_file_is_read_again_and_a_broken_one_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    path = written(tmp_path / "servers.json", [{"sid": "a"}])
    watch = expected.Watch(path, said.append)
    assert watch.changed() is None
    written(tmp_path / "new", [{"sid": "a"}, {"sid": "b"}])
    (tmp_path / "new").rename(path)
    assert [server.sid for server in watch.changed() or []] == ["a", "b"]
    written(tmp_path / "servers.json", "broken")
    assert watch.changed() is None and watch.changed() is None
    assert len(said) == 1 and "stays in force" in said[0]
    written(tmp_path / "servers.json", [{"sid": "c"}])
    assert [server.sid for server in watch.changed() or []] == ["c"]
