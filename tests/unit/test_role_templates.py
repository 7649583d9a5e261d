"""What the roles write: every template and every generated file, rendered by Ansible, judged by the program it is for."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from balancing import HAPROXY
from canton_mcp.probe import parse_environment
from canton_mcp.settings import Settings
from canton_mcp.settings import TesterSettings as CallerSettings
from rendering import FLEET, render, role

NASTY = 'say "hi" $HOME `id` \\ it\'s # ü'
Rendered = dict[str, dict[str, Any]]

FULL_FRONTEND = {
    "name": "full", "port": 9000, "address": "::1", "path": "/mcp", "health_path": "/health", "backend": "full",
    "parameters": "tcp-ut 30s", "rules": ["http-request set-header X-Front yes"],
}  # fmt: skip
SERVERS = [
    {"name": "a.b:c_d-E", "address": "127.0.0.1", "port": 1, "parameters": "weight 50"},
    {"name": "six", "address": "2001:db8::1", "port": 7284},
]
FULL_BACKEND = {
    "name": "full", "balance": "leastconn", "check_path": "/ready", "rules": ["option http-buffer-request"],
    "servers": SERVERS,
}  # fmt: skip
TRACKING_BACKEND = {
    "name": "tracking", "track": "full", "servers": [{**server, "parameters": "id 7"} for server in SERVERS[1:]],
}  # fmt: skip
BARE = {
    "frontends": [{"name": "bare", "port": 9001, "backend": "bare"}],
    "backends": [{"name": "bare", "servers": []}],
}

INSTANCES = [
    {"port": 7284},
    {
        "port": 7290,
        "dcap_server_id": "audit",
        "memory_max": "1G",
        "environment": {"DCAP_DEFAULT_CALLER": NASTY},
    },
]
SHARED = {"CANTON_MCP_ALLOWED_ORIGINS": "https://tools.example", "OTHER": NASTY}
URLS = ["http://192.0.2.1:7284/mcp", "http://[2001:db8::1]:7284/mcp"]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Every role with every branch of its templates."""
    more = {
        "mcp_server_instances": INSTANCES,
        "mcp_server_environment": SHARED,
        "mcp_server_hot_reload": True,
        "mcp_server_threads": 9,
        "mcp_server_source": "/srv/source",
        "mcp_server_user": "other",
    }
    true = {"mcp_server_command": "/bin/true"}
    full = [FULL_BACKEND, TRACKING_BACKEND]
    return render(
        tmp_path_factory.mktemp("render"),
        {"mcp_server_address": "hosts.example"},
        role("haproxy", "fleet", **FLEET),
        role("haproxy", "full", haproxy_frontends=[FULL_FRONTEND], haproxy_backends=full),
        role("haproxy", "bare", haproxy_frontends=BARE["frontends"], haproxy_backends=BARE["backends"]),
        role("mcp_server", "plain", **true),
        role("mcp_server", "source", **true, **more),
        role("mcp_server", "another secret", **true, __mcp_server_secret={"digest": "0123456789ab"}),
        role("mcp_tester", "tester", mcp_tester_urls=URLS, mcp_tester_command="/bin/true"),
        role("mcp_tester", "tester as other", mcp_tester_urls=URLS, mcp_tester_user="other"),
        role("mcp_tester", "wrong tester", mcp_tester_urls=["192.0.2.1:7284"], mcp_tester_min_interval=9),
        role("mcp_tester", "idle tester", mcp_tester_urls=[]),
    )


# -- HAProxy ---------------------------------------------------------------------------------------------

BALANCERS = ("fleet", "full", "bare")


def directives(text: str, section: str) -> list[str]:
    """The lines of a section of HAProxy's configuration, without their indentation."""
    _, _, rest = text.partition(f"\n{section}\n")
    return [line.strip() for line in re.split(r"\n(?=\S)", rest)[0].splitlines()]


@pytest.mark.parametrize("case", BALANCERS)
def test_haproxy_accepts_its_configuration(rendered: Rendered, tmp_path: Path, case: str) -> None:
    path = tmp_path / "haproxy.cfg"
    path.write_text(rendered[case]["haproxy.cfg"])
    done = subprocess.run([HAPROXY, "-c", "-q", "-f", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_setting_of_a_frontend_and_a_backend_lands_in_its_place(rendered: Rendered) -> None:
    text = rendered["full"]["haproxy.cfg"]
    frontend, backend = directives(text, "frontend full"), directives(text, "backend full")
    assert frontend[0] == "bind ::1:9000 tcp-ut 30s" and "default_backend full" in frontend
    assert sum("path /health" in line for line in frontend) == 2
    assert any(line.endswith("unless { path /mcp } or { path_beg /mcp/ }") for line in frontend)
    assert "http-request set-header X-Front yes" in frontend
    assert backend[0] == "balance leastconn" and "http-check disable-on-404" in backend
    assert "http-check send meth GET uri /ready ver HTTP/1.1 hdr Host localhost" in backend
    assert backend[-2:] == ["server a.b:c_d-E 127.0.0.1:1 weight 50", "server six 2001:db8::1:7284"]
    tracking = directives(text, "backend tracking")
    assert "http-check disable-on-404" in tracking  # else HAProxy does not let it track
    assert tracking[-1] == "server six 2001:db8::1:7284 no-check track full/six id 7"


def test_what_is_not_set_is_not_there(rendered: Rendered) -> None:
    text = rendered["bare"]["haproxy.cfg"]
    assert directives(text, "frontend bare") == ["bind *:9001", "default_backend bare"]
    assert directives(text, "backend bare") == ["balance roundrobin"]


def test_the_configuration_carries_a_digest_of_its_own(rendered: Rendered) -> None:
    digests = [rendered[case]["digest"] for case in BALANCERS]
    assert len(set(digests)) == len(digests)
    for case, digest in zip(BALANCERS, digests, strict=True):
        assert re.fullmatch(r"[0-9a-f]{12}", digest)
        assert f"\n    description config-{digest}\n" in rendered[case]["haproxy.cfg"]


# -- systemd ---------------------------------------------------------------------------------------------


def verified(directory: Path, *units: str) -> str:
    """What systemd has to say of units in a directory, each of them loaded with its drop-ins."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(directory / unit for unit in units)],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{directory}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if str(directory) in line or "canton" in line]
    return "\n".join([*ours, *([done.stderr] if done.returncode else [])])


@pytest.mark.parametrize("case", ["plain", "source"])
def test_systemd_accepts_the_units_of_the_servers(rendered: Rendered, tmp_path: Path, case: str) -> None:
    ports = list(rendered[case]["environments"])
    for name, text in rendered[case]["files"].items():
        if name.startswith("/etc/systemd/system/"):
            path = tmp_path / name.removeprefix("/etc/systemd/system/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    units = [f"canton-mcp@{port}.service" for port in ports]
    assert verified(tmp_path, "canton-mcp.target", "canton-mcp.slice", *units) == ""
    drop_in = tmp_path / f"{units[0]}.d/limits.conf"
    drop_in.write_text(drop_in.read_text().replace("MemoryMax=", "MemoryMax=lots of "))
    assert "lots of 512M" in verified(tmp_path, units[0])  # it does look at the drop-ins


def test_systemd_accepts_the_unit_of_the_tester(rendered: Rendered, tmp_path: Path) -> None:
    name = "canton-mcp-tester.service"
    (tmp_path / name).write_text(rendered["tester"][name])
    assert verified(tmp_path, name) == ""


def test_systemd_accepts_the_drop_in_of_haproxy(rendered: Rendered, tmp_path: Path) -> None:
    drop_in = tmp_path / "haproxy.service.d/keep-server-state.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(rendered["fleet"]["keep-server-state.conf"])
    (tmp_path / "haproxy.service").write_text(
        "[Service]\nType=exec\nExecStart=/bin/true\nExecReload=/bin/false\n"
    )
    assert verified(tmp_path, "haproxy.service") == ""
    reloads = re.findall(r"^ExecReload=(.*)$", drop_in.read_text(), re.MULTILINE)
    assert (
        reloads[0] == ""
        and "-c" in reloads[1]
        and reloads[2].startswith("/bin/rm")
        and reloads[3].startswith("-")
        and reloads[4].endswith("$MAINPID")
    )


def directive(unit: str, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)


def test_source_and_account_of_the_servers_are_in_their_unit(rendered: Rendered) -> None:
    plain, source = (
        rendered[case]["files"]["/etc/systemd/system/canton-mcp@.service"] for case in ("plain", "source")
    )
    assert (directive(plain, "User"), directive(source, "User")) == (["canton-mcp"], ["other"])
    assert directive(plain, "BindReadOnlyPaths") == directive(plain, "Environment") == []
    assert directive(source, "BindReadOnlyPaths") == ["/srv/source:/run/canton-mcp-source"]
    assert directive(source, "Environment") == ["PYTHONPATH=/run/canton-mcp-source"]
    assert directive(plain, "EnvironmentFile") == [
        "/etc/canton-mcp/fleet.env",
        "/etc/canton-mcp/servers/%i.env",
    ]


@pytest.mark.parametrize("case", ["plain", "source"])
def test_environment_files_hold_what_a_server_is_expected_to_have(rendered: Rendered, case: str) -> None:
    files = rendered[case]["files"]
    for port, expected in rendered[case]["environments"].items():
        shared, own = (files[f"/etc/canton-mcp/{name}.env"] for name in ("fleet", f"servers/{port}"))
        merged = {**parse_environment(shared), **parse_environment(own)}
        assert merged == expected
        read = Settings.from_env(merged)
        assert (read.port, read.bind, read.dcap_host, read.hot_reload) == (
            int(port),
            "0.0.0.0",
            "",
            case == "source",
        )


def test_values_of_an_operator_arrive_as_they_are(rendered: Rendered) -> None:
    environment = rendered["source"]["environments"]["7290"]
    assert (environment["OTHER"], environment["DCAP_DEFAULT_CALLER"]) == (NASTY, NASTY)
    assert "DCAP_DEFAULT_CALLER" not in rendered["source"]["environments"]["7284"]
    limits = "/etc/systemd/system/canton-mcp@{}.service.d/limits.conf"
    files = rendered["source"]["files"]
    assert directive(files[limits.format(7284)], "MemoryMax") == ["512M"]
    assert directive(files[limits.format(7290)], "MemoryMax") == ["1G"]


def test_a_changed_unit_or_secret_makes_servers_stale(rendered: Rendered) -> None:
    cases = ("plain", "source", "another secret")
    digests = {rendered[case]["environments"]["7284"]["CANTON_MCP_UNIT_DIGEST"] for case in cases}
    assert len(digests) == len(cases)


def test_the_secret_comes_as_a_credential_alone(rendered: Rendered) -> None:
    files = rendered["another secret"]["files"]
    credentials = directive(files["/etc/systemd/system/canton-mcp@.service"], "LoadCredential")
    assert credentials == ["fleet-secret:/etc/canton-mcp/fleet.secret"]
    assert "/etc/canton-mcp/fleet.secret" not in files
    assert not any("0123456789ab" in text for text in files.values())


def test_half_of_the_threads_may_be_streams(rendered: Rendered) -> None:
    for case, threads, streams in (("plain", 16, 8), ("source", 9, 4)):
        read = Settings.from_env(rendered[case]["environments"]["7284"])
        assert (read.threads, read.streams) == (threads, streams)


def test_a_role_without_a_list_runs_the_three_default_servers(rendered: Rendered) -> None:
    environments = rendered["plain"]["environments"]
    assert [environment["DCAP_SERVER_ID"] for environment in environments.values()] == [
        "canton-mcp-1", "canton-mcp-2", "canton-mcp-3",
    ]  # fmt: skip
    assert list(environments) == ["7284", "7285", "7286"]


# -- tester ----------------------------------------------------------------------------------------------


def test_the_tester_reads_what_was_declared(rendered: Rendered) -> None:
    text = rendered["tester"]
    environment = parse_environment(text["tester.env"])
    read = CallerSettings.from_env(environment)
    assert (list(read.urls), read.min_interval, read.max_interval) == (URLS, 1, 5)
    assert environment["CANTON_MCP_TESTER_DIGEST"] == text["digest"]
    assert text["digest"] != rendered["tester as other"]["digest"]  # only the unit differs
    assert text["problems"] == rendered["tester as other"]["problems"] == []


def test_wrong_settings_of_the_tester_are_told(rendered: Rendered) -> None:
    assert rendered["wrong tester"]["problems"] == [
        "mcp_tester_urls: 192.0.2.1:7284 is not an MCP endpoint; write http://HOST:PORT/mcp",
        "mcp_tester_max_interval: 5 is less than mcp_tester_min_interval 9; make it the same or more",
    ]
    assert rendered["idle tester"]["problems"] == [
        "mcp_tester_urls: there is no server to call; list at least one URL such as http://192.0.2.11:7284/mcp"
    ]
