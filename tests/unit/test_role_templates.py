"""What the roles write: every template and every generated file, rendered by Ansible, judged by the program it is for.

The roles are the real ones but for their tasks: defaults, variables, templates, filters and argument specs apply, and
one task writes what they come to into a directory of the test's own.
"""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from canton_mcp.probe import parse_environment
from canton_mcp.settings import Settings
from canton_mcp.settings import TesterSettings as CallerSettings
from processes import free_port, request, until

ROOT = Path(__file__).resolve().parents[2]
HAPROXY = "/usr/sbin/haproxy"
NASTY = 'say "hi" $HOME `id` \\ it\'s # ü'


class Lossy:
    """A server that is healthy, but takes every request only to close the connection without an answer."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)  # ends the wait for the next connection
        self.socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                head = iter(lines.readline, b"\r\n")
                path = next(head, b"? ?").split()[1].decode()
                for line in head:
                    if not line:
                        break
                if path == "/readyz":
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                elif path != "?":
                    self.requests.append(path)


class Rendered(NamedTuple):
    """What the roles come to, by case and file, and what the balancer of the case ``fleet`` is to reach."""

    texts: dict[str, dict[str, Any]]
    balancer_port: int
    statistics_port: int
    servers: list[Lossy]


def stand_in(roles: Path, name: str, result: str) -> None:
    """A role that has everything of the real one but its tasks; it adds ``result`` to what is rendered."""
    (roles / name / "tasks").mkdir(parents=True)
    for part in (ROOT / "roles" / name).iterdir():
        if part.name in ("defaults", "vars", "templates", "meta", "filter_plugins", "library"):
            (roles / name / part.name).symlink_to(part)
    fact = "{{ rendered | default({}) | combine({case: " + result + "}) }}"
    step = {"name": "Render", "ansible.builtin.set_fact": {"rendered": fact}}
    (roles / name / "tasks" / "main.yml").write_text(json.dumps([step]))


def role(name: str, case: str, **variables: Any) -> dict[str, Any]:
    return {
        "name": f"{name}, {case}",
        "ansible.builtin.include_role": {"name": name},
        "vars": {"case": case, **variables},
    }


def lookup(name: str) -> str:
    return f"'{name}': lookup('ansible.builtin.template', '{name}.j2')"


RESULTS = {
    "haproxy": "{" + lookup("haproxy.cfg") + ", " + lookup("keep-server-state.conf") + ", 'digest': __haproxy_digest}",
    "mcp_server": "{'files': __mcp_server_files, 'environments': __mcp_server_environments}",
    "mcp_tester": "{" + lookup("canton-mcp-tester.service") + ", " + lookup("tester.env")
    + ", 'problems': __mcp_tester_problems, 'digest': __mcp_tester_digest}",
}  # fmt: skip
FULL_FRONTEND = {
    "name": "full", "port": 9000, "address": "::1", "path": "/mcp", "health_path": "/health", "backend": "full",
    "rules": ["http-request set-header X-Front yes"],
}  # fmt: skip
FULL_BACKEND = {
    "name": "full", "balance": "leastconn", "check_path": "/ready", "rules": ["option http-buffer-request"],
    "servers": [
        {"name": "a.b:c_d-E", "address": "127.0.0.1", "port": 1, "parameters": "weight 50"},
        {"name": "six", "address": "2001:db8::1", "port": 7284},
    ],
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


def play() -> dict[str, Any]:
    """Every role with every branch of its templates."""
    more = {
        "mcp_server_instances": INSTANCES,
        "mcp_server_environment": SHARED,
        "mcp_server_hot_reload": True,
    }
    true = {"mcp_server_command": "/bin/true"}
    fleet = {"haproxy_frontends": "{{ canton_frontends }}", "haproxy_backends": "{{ canton_backends }}"}
    return {
        "name": "Render",
        "hosts": "here",
        "gather_facts": False,
        "vars_files": [str(ROOT / f"playbooks/vars/{name}.yml") for name in ("fleet", "balancer")],
        "tasks": [
            role("haproxy", "fleet", **fleet),
            role("haproxy", "full", haproxy_frontends=[FULL_FRONTEND], haproxy_backends=[FULL_BACKEND]),
            role("haproxy", "bare", haproxy_frontends=BARE["frontends"], haproxy_backends=BARE["backends"]),
            role("mcp_server", "plain", **true),
            role(
                "mcp_server",
                "source",
                **true,
                **more,
                mcp_server_source="/srv/source",
                mcp_server_user="other",
            ),
            role("mcp_tester", "tester", mcp_tester_urls=URLS, mcp_tester_command="/bin/true"),
            role("mcp_tester", "tester as other", mcp_tester_urls=URLS, mcp_tester_user="other"),
            role("mcp_tester", "wrong tester", mcp_tester_urls=["192.0.2.1:7284"], mcp_tester_min_interval=9),
            role("mcp_tester", "idle tester", mcp_tester_urls=[]),
            {
                "name": "Tell it",
                "ansible.builtin.debug": {"msg": "<{{ rendered | to_json | b64encode }}>"},
            },
        ],
    }


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rendered]:
    """One run of Ansible over everything."""
    base = tmp_path_factory.mktemp("render")
    for name, result in RESULTS.items():
        stand_in(base / "roles", name, result)
    servers, balancer_port, statistics_port = [Lossy(), Lossy()], free_port(), free_port()
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "mcp_servers": [{"port": server.port} for server in servers],
        "mcp_balancer_port": balancer_port,
        "haproxy_stats_port": statistics_port,
    }
    group = {"hosts": {"here": {}}}
    inventory = {"all": {"hosts": {"here": host}, "children": {"mcp_hosts": group, "load_balancers": group}}}
    (base / "hosts.yml").write_text(json.dumps(inventory))
    (base / "render.yml").write_text(json.dumps([play()]))
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
    texts = json.loads(base64.b64decode(told))
    yield Rendered(texts, balancer_port, statistics_port, servers)
    for server in servers:
        server.close()


# -- HAProxy ---------------------------------------------------------------------------------------------

BALANCERS = ("fleet", "full", "bare")


def directives(text: str, section: str) -> list[str]:
    """The lines of a section of HAProxy's configuration, without their indentation."""
    _, _, rest = text.partition(f"\n{section}\n")
    return [line.strip() for line in re.split(r"\n(?=\S)", rest)[0].splitlines()]


@pytest.mark.parametrize("case", BALANCERS)
def test_haproxy_accepts_its_configuration(rendered: Rendered, tmp_path: Path, case: str) -> None:
    path = tmp_path / "haproxy.cfg"
    path.write_text(rendered.texts[case]["haproxy.cfg"])
    done = subprocess.run([HAPROXY, "-c", "-q", "-f", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_setting_of_a_frontend_and_a_backend_lands_in_its_place(rendered: Rendered) -> None:
    text = rendered.texts["full"]["haproxy.cfg"]
    frontend, backend = directives(text, "frontend full"), directives(text, "backend full")
    assert frontend[0] == "bind ::1:9000" and "default_backend full" in frontend
    assert sum("path /health" in line for line in frontend) == 2
    assert any(line.endswith("unless { path /mcp } or { path_beg /mcp/ }") for line in frontend)
    assert "http-request set-header X-Front yes" in frontend
    assert backend[0] == "balance leastconn" and "http-check disable-on-404" in backend
    assert "http-check send meth GET uri /ready ver HTTP/1.1 hdr Host localhost" in backend
    assert backend[-2:] == ["server a.b:c_d-E 127.0.0.1:1 weight 50", "server six 2001:db8::1:7284"]


def test_what_is_not_set_is_not_there(rendered: Rendered) -> None:
    text = rendered.texts["bare"]["haproxy.cfg"]
    assert directives(text, "frontend bare") == ["bind *:9001", "default_backend bare"]
    assert directives(text, "backend bare") == ["balance roundrobin"]


def test_the_configuration_carries_a_digest_of_its_own(rendered: Rendered) -> None:
    digests = [rendered.texts[case]["digest"] for case in BALANCERS]
    assert len(set(digests)) == len(digests)
    for case, digest in zip(BALANCERS, digests, strict=True):
        assert re.fullmatch(r"[0-9a-f]{12}", digest)
        assert f"\n    description config-{digest}\n" in rendered.texts[case]["haproxy.cfg"]


@pytest.fixture(scope="module")
def balancer(rendered: Rendered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rendered]:
    """HAProxy with the configuration of the fleet, but for what belongs to a machine: account, socket, state."""
    path = tmp_path_factory.mktemp("balancer") / "haproxy.cfg"
    machine = r"^    (user|group|stats socket|server-state-file|load-server-state-from-file) .*\n"
    path.write_text(re.sub(machine, "", rendered.texts["fleet"]["haproxy.cfg"], flags=re.MULTILINE))
    with subprocess.Popen(
        [HAPROXY, "-db", "-f", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        health = f"http://127.0.0.1:{rendered.balancer_port}/health"
        try:
            until(lambda: request(health)[1] == {"status": "healthy", "servers_up": 2})
            yield rendered
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("headers", "replayed"),
    [
        ({}, False),
        ({"Mcp-Method": "tools/list"}, True),
        ({"Mcp-Method": "server/discover"}, True),
        ({"Mcp-Method": "initialize"}, False),
        ({"Mcp-Method": "tools/call"}, False),
        ({"Mcp-Method": "tools/call", "Mcp-Name": "validate_daml_business_logic"}, True),
        ({"Mcp-Method": "tools/call", "Mcp-Name": "transfer_money"}, False),
        ({"Mcp-Name": "validate_daml_business_logic"}, False),
        ({"Mcp-Method": "notifications/cancelled", "Mcp-Name": "validate_daml_business_logic"}, False),
    ],
)
def test_a_lost_answer_is_asked_for_again_only_where_that_is_safe(
    balancer: Rendered, headers: dict[str, str], replayed: bool
) -> None:
    for server in balancer.servers:
        server.requests.clear()
    status, _ = post(f"http://127.0.0.1:{balancer.balancer_port}/mcp", headers)
    received = sum(len(server.requests) for server in balancer.servers)
    assert status == 502
    assert received == (4 if replayed else 1)  # `retries 3` after the first


def post(url: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """Status and body of a JSON-RPC request, whatever the body is."""
    call = urllib.request.Request(url, b'{"jsonrpc": "2.0"}', {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(call, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_other_paths_are_refused_by_the_balancer_itself(balancer: Rendered) -> None:
    for server in balancer.servers:
        server.requests.clear()
    base = f"http://127.0.0.1:{balancer.balancer_port}"
    assert request(f"{base}/mcpx") == (404, {"error": "not found here; this balancer serves /mcp"})
    assert [server.requests for server in balancer.servers] == [[], []]
    assert post(f"{base}/mcp/sub", {})[0] == 502
    assert sorted(path for server in balancer.servers for path in server.requests) == ["/mcp/sub"]


def test_statistics_and_metrics_are_on_their_port(balancer: Rendered) -> None:
    for path, word in (("metrics", b"haproxy_backend_status"), (";csv", b"mcp_servers,canton-mcp-2,")):
        with urllib.request.urlopen(
            f"http://127.0.0.1:{balancer.statistics_port}/{path}", timeout=10
        ) as answer:
            assert word in answer.read()


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
    ports = list(rendered.texts[case]["environments"])
    for name, text in rendered.texts[case]["files"].items():
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
    (tmp_path / name).write_text(rendered.texts["tester"][name])
    assert verified(tmp_path, name) == ""


def test_systemd_accepts_the_drop_in_of_haproxy(rendered: Rendered, tmp_path: Path) -> None:
    drop_in = tmp_path / "haproxy.service.d/keep-server-state.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(rendered.texts["fleet"]["keep-server-state.conf"])
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
        rendered.texts[case]["files"]["/etc/systemd/system/canton-mcp@.service"]
        for case in ("plain", "source")
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
    files = rendered.texts[case]["files"]
    for port, expected in rendered.texts[case]["environments"].items():
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
    environment = rendered.texts["source"]["environments"]["7290"]
    assert (environment["OTHER"], environment["DCAP_DEFAULT_CALLER"]) == (NASTY, NASTY)
    assert "DCAP_DEFAULT_CALLER" not in rendered.texts["source"]["environments"]["7284"]
    limits = "/etc/systemd/system/canton-mcp@{}.service.d/limits.conf"
    files = rendered.texts["source"]["files"]
    assert directive(files[limits.format(7284)], "MemoryMax") == ["512M"]
    assert directive(files[limits.format(7290)], "MemoryMax") == ["1G"]


def test_a_changed_unit_makes_servers_stale(rendered: Rendered) -> None:
    digests = {
        rendered.texts[case]["environments"]["7284"]["CANTON_MCP_UNIT_DIGEST"] for case in ("plain", "source")
    }
    assert len(digests) == 2


def test_a_role_without_a_list_runs_the_three_default_servers(rendered: Rendered) -> None:
    environments = rendered.texts["plain"]["environments"]
    assert [environment["DCAP_SERVER_ID"] for environment in environments.values()] == [
        "canton-mcp-1", "canton-mcp-2", "canton-mcp-3",
    ]  # fmt: skip
    assert list(environments) == ["7284", "7285", "7286"]


# -- tester ----------------------------------------------------------------------------------------------


def test_the_tester_reads_what_was_declared(rendered: Rendered) -> None:
    text = rendered.texts["tester"]
    environment = parse_environment(text["tester.env"])
    read = CallerSettings.from_env(environment)
    assert (list(read.urls), read.min_interval, read.max_interval) == (URLS, 1, 5)
    assert environment["CANTON_MCP_TESTER_DIGEST"] == text["digest"]
    assert text["digest"] != rendered.texts["tester as other"]["digest"]  # only the unit differs
    assert text["problems"] == rendered.texts["tester as other"]["problems"] == []


def test_wrong_settings_of_the_tester_are_told(rendered: Rendered) -> None:
    assert rendered.texts["wrong tester"]["problems"] == [
        "mcp_tester_urls: 192.0.2.1:7284 is not an MCP endpoint; write http://HOST:PORT/mcp",
        "mcp_tester_max_interval: 5 is less than mcp_tester_min_interval 9; make it the same or more",
    ]
    assert rendered.texts["idle tester"]["problems"] == [
        "mcp_tester_urls: there is no server to call; list at least one URL such as http://192.0.2.11:7284/mcp"
    ]
