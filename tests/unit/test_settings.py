"""Settings: defaults, what is refused and how, and the digest."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from canton_mcp.settings import Settings, SettingsError, fleet_secrets, release_id
from canton_mcp.settings import TesterSettings as CallerSettings

# One effective change of every field, as an environment.
CHANGES = {
    "server_id": {"DCAP_SERVER_ID": "canton-mcp-2"},
    "server_name": {"DCAP_SERVER_NAME": "Canton MCP Server 2"},
    "server_url": {"DCAP_SERVER_URL": "http://192.0.2.1:7284/mcp"},
    "public_url": {"MCP_SERVER_URL": "http://192.0.2.1:7284", "DCAP_SERVER_URL": "http://localhost:7284/mcp"},
    "mcp_name": {"CANTON_MCP_NAME": "canton-mcp-server-2"},
    "bind": {"CANTON_MCP_BIND": "127.0.0.1"},
    "port": {"CANTON_MCP_PORT": "7285", "MCP_SERVER_URL": "http://localhost:7284"},
    "threads": {"CANTON_MCP_THREADS": "17"},
    "streams": {"CANTON_MCP_STREAMS": "3"},
    "dcap_enabled": {"DCAP_ENABLED": "false"},
    "dcap_host": {"DCAP_MULTICAST_IP": "192.0.2.10"},
    "dcap_port": {"DCAP_PORT": "10192"},
    "dcap_discover_interval_sec": {"DCAP_DISCOVER_INTERVAL_SEC": "60"},
    "dcap_default_caller": {"DCAP_DEFAULT_CALLER": "lab"},
    "dcap_arguments": {"DCAP_ARGUMENTS": "none"},
    "dcap_multicast_ttl": {"DCAP_MULTICAST_TTL": "2"},
    "hot_reload": {"CANTON_HOT_RELOAD": "true"},
    "drain_dir": {"CANTON_MCP_DRAIN_DIR": "/tmp/drain"},
    "rollout_file": {"CANTON_MCP_ROLLOUT_FILE": "/tmp/rollout"},
    "own_digest": {"CANTON_MCP_OWN_DIGEST": "f00"},
    "unit_digest": {"CANTON_MCP_UNIT_DIGEST": "abc"},
    "allowed_hosts": {"CANTON_MCP_ALLOWED_HOSTS": "mcp.example.net"},
    "allowed_origins": {"CANTON_MCP_ALLOWED_ORIGINS": "https://tools.example.net"},
}

REFUSED = [
    ("CANTON_MCP_PORT", "0", "from 1 to 65535"),
    ("CANTON_MCP_PORT", "70000", "from 1 to 65535"),
    ("CANTON_MCP_PORT", "७२८४", "from 1 to 65535"),
    ("DCAP_PORT", "10191.5", "from 1 to 65535"),
    ("CANTON_MCP_THREADS", "0", "from 1 to 512"),
    ("CANTON_MCP_STREAMS", "16", "from 0 to 15"),
    ("CANTON_MCP_ALLOWED_HOSTS", "a/b", "nor a host name"),
    ("DCAP_DISCOVER_INTERVAL_SEC", "-1", "from 1 to 86400"),
    ("DCAP_ENABLED", "maybe", "true or false"),
    ("DCAP_ARGUMENTS", "all", "types, truncate or none"),
    ("DCAP_MULTICAST_TTL", "256", "from 0 to 255"),
    ("CANTON_HOT_RELOAD", "2", "true or false"),
    ("DCAP_MULTICAST_IP", "10.0.0.256", "192.0.2.10"),
    ("DCAP_MULTICAST_IP", "hub example", "192.0.2.10"),
    ("DCAP_MULTICAST_IP", "-hub.example", "192.0.2.10"),
    ("CANTON_MCP_BIND", "localhost", "0.0.0.0"),
    ("DCAP_SERVER_ID", "canton mcp", "1 to 64"),
    ("DCAP_SERVER_ID", "x" * 65, "1 to 64"),
    ("CANTON_MCP_NAME", "a/b", "1 to 64"),
    ("MCP_SERVER_URL", "http://localhost:7284/mcp", "a host and a port"),
    ("MCP_SERVER_URL", "ftp://localhost", "http"),
    ("DCAP_SERVER_URL", "localhost:7284", "http"),
    ("DCAP_SERVER_NAME", "a\x07b", "printable"),
    ("CANTON_MCP_DRAIN_DIR", "run", "/run/canton-mcp"),
    ("CANTON_MCP_ALLOWED_ORIGINS", "https://a.example,null", "'null'"),
    ("X402_ENABLED", "true", "not available yet"),
]


def test_an_empty_environment_is_the_first_server() -> None:
    settings = Settings.from_env({})
    assert (settings.server_id, settings.server_name) == ("canton-mcp-1", "Canton MCP Server 1")
    assert (settings.mcp_name, settings.port, settings.threads) == ("canton-mcp-server", 7284, 16)
    assert settings.server_url == "http://localhost:7284/mcp"
    assert (settings.dcap_enabled, settings.dcap_host, settings.dcap_port) == (True, "", 10191)
    assert (settings.hot_reload, settings.allowed_origins, settings.warnings) == (False, (), ())


def test_blank_values_count_as_unset() -> None:
    assert Settings.from_env(
        {"CANTON_MCP_PORT": "  ", "DCAP_SERVER_ID": "", "X402_ENABLED": ""}
    ) == Settings.from_env({})


@pytest.mark.parametrize(("name", "value", "remedy"), REFUSED)
def test_a_refusal_names_variable_value_and_remedy(name: str, value: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({name: value})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{name}={value}: ")
    assert remedy in problem
    assert "\n" not in problem


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"DCAP_PORT": "x", "X402_ENABLED": "yes", "CANTON_MCP_PORT": "0"})
    assert sorted(problem.partition("=")[0] for problem in caught.value.problems) == [
        "CANTON_MCP_PORT",
        "DCAP_PORT",
        "X402_ENABLED",
    ]


@pytest.mark.parametrize("word", ["true", "TRUE", "1", "yes", "on", " true "])
def test_words_for_yes(word: str) -> None:
    assert Settings.from_env({"CANTON_HOT_RELOAD": word}).hot_reload is True


@pytest.mark.parametrize("word", ["false", "0", "No", "off"])
def test_words_for_no(word: str) -> None:
    assert Settings.from_env({"DCAP_ENABLED": word, "X402_ENABLED": word}).dcap_enabled is False


@pytest.mark.parametrize(
    "host", ["192.0.2.10", "239.255.0.1", "fd00::1", "hub", "hub.example.net", "hub_1.example."]
)
def test_telemetry_targets(host: str) -> None:
    assert Settings.from_env({"DCAP_MULTICAST_IP": host}).dcap_host == host


def test_every_field_has_its_part_in_the_digest() -> None:
    digests = {name: Settings.from_env(change).digest for name, change in CHANGES.items()}
    digests["(none)"] = Settings.from_env({}).digest
    assert set(CHANGES) == {field.name for field in fields(Settings)}
    assert len(set(digests.values())) == len(digests)
    assert all(len(digest) == 12 and int(digest, 16) >= 0 for digest in digests.values())


def test_the_digest_is_the_same_everywhere_and_ignores_what_has_no_effect() -> None:
    spelled_out = {
        "DCAP_ENABLED": "yes",
        "CANTON_MCP_PORT": "7284",
        "PATH": "/bin",
        "MCP_SERVER_URLS": "http://a/mcp",
    }
    assert Settings.from_env(spelled_out).digest == Settings.from_env({}).digest == "b6cfa1c81a5e"


def test_streams_leave_threads_for_calls() -> None:
    chosen = [Settings.from_env({"CANTON_MCP_THREADS": str(threads)}).streams for threads in (1, 2, 5, 16)]
    assert chosen == [0, 1, 2, 8]


SECRET = "0123456789abcdef0123456789abcdef"


def test_secrets_come_from_the_credential_newest_first(tmp_path: Path) -> None:
    assert fleet_secrets({}) == fleet_secrets({"CREDENTIALS_DIRECTORY": str(tmp_path)}) == ()
    (tmp_path / "fleet-secret").write_text(f"{SECRET}-new\n\n{SECRET}-old\n")
    assert fleet_secrets({"CREDENTIALS_DIRECTORY": str(tmp_path)}) == (f"{SECRET}-new", f"{SECRET}-old")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is empty"),
        (f"{SECRET}\nshort\n".encode(), "line 2 is shorter"),
        (b"\xff" * 40, "ASCII text"),
    ],
)
def test_unusable_secrets_are_refused_without_being_told(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "fleet-secret").write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        fleet_secrets({"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert told in str(refused.value) and str(tmp_path) in str(refused.value)
    assert SECRET not in str(refused.value) and "short\n" not in str(refused.value)


@pytest.mark.parametrize(("length", "warned"), [(7, True), (8, False), (12, False), (13, True), (64, True)])
def test_ids_of_an_unusual_length_work_with_a_warning(length: int, warned: bool) -> None:
    warnings = Settings.from_env({"DCAP_SERVER_ID": "c" * length}).warnings
    assert len(warnings) == warned and all(f"{length} characters" in line for line in warnings)


@pytest.mark.parametrize(
    ("target", "url", "warned"),
    [
        ("192.0.2.10", "http://localhost:7284/mcp", True),
        ("hub.example", "http://[::1]:7284/mcp", True),
        ("127.0.0.1", "http://localhost:7284/mcp", False),
        ("192.0.2.10", "http://192.0.2.1:7284/mcp", False),
        ("", "http://localhost:7284/mcp", False),
    ],
)
def test_an_address_that_leads_nowhere_is_not_announced_in_silence(
    target: str, url: str, warned: bool
) -> None:
    warnings = Settings.from_env({"DCAP_MULTICAST_IP": target, "DCAP_SERVER_URL": url}).warnings
    assert len(warnings) == warned and all(line.startswith(f"DCAP_SERVER_URL={url}: ") for line in warnings)


@pytest.mark.parametrize(
    ("bind", "listen", "local"),
    [
        ("0.0.0.0", "0.0.0.0:7284", "http://127.0.0.1:7284"),
        ("::", "[::]:7284", "http://[::1]:7284"),
        ("[::1]", "[::1]:7284", "http://[::1]:7284"),
        ("192.0.2.1", "192.0.2.1:7284", "http://192.0.2.1:7284"),
    ],
)
def test_addresses(bind: str, listen: str, local: str) -> None:
    settings = Settings.from_env({"CANTON_MCP_BIND": bind})
    assert (settings.listen_address, settings.local_url) == (listen, local)


@pytest.mark.parametrize(("flag", "draining"), [("drain", True), ("drain-7284", True), ("drain-7285", False)])
def test_draining_flags(tmp_path: Path, flag: str, draining: bool) -> None:
    settings = Settings.from_env({"CANTON_MCP_DRAIN_DIR": str(tmp_path)})
    assert settings.draining is False
    (tmp_path / flag).touch()
    assert settings.draining is draining


def test_release_id(tmp_path: Path) -> None:
    assert release_id(tmp_path) == "dev"
    (tmp_path / "RELEASE").write_text("0.1.0-abc\n")
    assert release_id(tmp_path) == "0.1.0-abc"


def test_tester_settings() -> None:
    settings = CallerSettings.from_env(
        {"MCP_SERVER_URLS": "http://a:1/mcp, http://b:2/mcp,", "MIN_INTERVAL": "0.5"}
    )
    assert settings == CallerSettings(("http://a:1/mcp", "http://b:2/mcp"), 0.5, 5.0)


@pytest.mark.parametrize(
    ("env", "problem"),
    [
        ({"MCP_SERVER_URLS": "a:1"}, "MCP_SERVER_URLS=a:1"),
        ({"MIN_INTERVAL": "nan"}, "MIN_INTERVAL=nan"),
        ({"MIN_INTERVAL": "3", "MAX_INTERVAL": "2"}, "MAX_INTERVAL=2"),
    ],
)
def test_tester_refusals(env: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        CallerSettings.from_env(env)
