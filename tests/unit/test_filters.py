"""The filters behind the inventory and the operator's tables: who the servers are, what is wrong, what is shown."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import mcp_server as declare
import pytest
import report
from ansible.errors import AnsibleFilterError
from canton_mcp.probe import parse_environment
from canton_mcp.settings import Settings, fleet_secrets
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import free_port, until

ROOT = Path(__file__).resolve().parents[2]


SEED = [
    (7284, "canton-mcp-server", "canton-mcp-1", "Canton MCP Server 1"),
    (7285, "canton-mcp-server-2", "canton-mcp-2", "Canton MCP Server 2"),
    (7286, "canton-mcp-server-3", "canton-mcp-3", "Canton MCP Server 3"),
]


def fleet(**hosts: dict[str, Any]) -> list[Any]:
    """The servers of hosts given as ``name=variables``."""
    hostvars = {name: {"inventory_hostname": name, **own} for name, own in hosts.items()}
    return declare.mcp_server_fleet(list(hosts), hostvars)


def ids(servers: list[Any]) -> list[str]:
    return [server["dcap_server_id"] for server in servers]


def problems(*entries: Any) -> list[str]:
    """What is wrong with servers declared one by one on the host ``a``."""
    return declare.mcp_server_problems(fleet(a={"mcp_servers": list(entries)}))


# -- who the servers are ---------------------------------------------------------------------------------


def test_a_host_without_settings_has_the_three_default_servers() -> None:
    servers = fleet(a={"ansible_host": "192.0.2.11"})
    keys = ("port", "name", "dcap_server_id", "dcap_server_name")
    assert [tuple(server[key] for key in keys) for server in servers] == SEED
    assert [server["url"] for server in servers] == [
        f"http://192.0.2.11:{port}" for port in (7284, 7285, 7286)
    ]
    assert declare.mcp_server_problems(servers) == []


def test_numbers_run_through_the_fleet() -> None:
    servers = fleet(a={"mcp_server_count": 2}, b={"mcp_server_count": 1}, c={"mcp_server_count": "2"})
    assert ids(servers) == [f"canton-mcp-{number}" for number in (1, 2, 3, 4, 5)]
    assert [server["host"] for server in servers] == ["a", "a", "b", "c", "c"]


def test_a_pinned_host_keeps_its_numbers_whatever_comes_before() -> None:
    pinned = {"mcp_server_count": 2, "mcp_server_first_number": 101}
    assert ids(fleet(a={"mcp_server_count": 1}, b=pinned))[1:] == ["canton-mcp-101", "canton-mcp-102"]
    assert ids(fleet(a={"mcp_server_count": 9}, b=pinned))[9:] == ["canton-mcp-101", "canton-mcp-102"]


def test_a_pin_that_meets_another_number_is_told() -> None:
    found = declare.mcp_server_problems(fleet(a={}, b={"mcp_server_first_number": 3}))
    assert [
        line for line in found if "dcap_server_id 'canton-mcp-3' is declared 2 times (a:7286, b:7284)" in line
    ]


@pytest.mark.parametrize("value", ["first", 0, -1, 1.5, True])
def test_a_pin_that_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match=r"a: mcp_server_first_number: .* use 1 or more"):
        fleet(a={"mcp_server_first_number": value})


def test_an_entry_sets_what_it_wants_and_derives_the_rest() -> None:
    servers = fleet(
        a={
            "ansible_host": "192.0.2.11",
            "mcp_servers": [
                {"port": 7300},
                {"port": 7301, "number": 9, "memory_max": "1G"},
                {"port": 7302, "name": "audit", "dcap_server_id": "audit-1", "url": "https://audit.example"},
                {"port": 7303, "number": None, "name": None},
            ],
        }
    )
    assert [server["name"] for server in servers] == [
        "canton-mcp-server", "canton-mcp-server-9", "audit", "canton-mcp-server-4",
    ]  # fmt: skip
    assert ids(servers) == ["canton-mcp-1", "canton-mcp-9", "audit-1", "canton-mcp-4"]
    assert servers[2]["url"] == "https://audit.example"
    assert [server["memory_max"] for server in servers] == [None, "1G", None, None]


def test_completing_twice_changes_nothing() -> None:
    servers = fleet(a={"ansible_host": "192.0.2.11"}, b={"ansible_host": "192.0.2.12"})
    assert declare.mcp_server_list(servers[3:]) == servers[3:]


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"ansible_host": "2001:db8::1"}, "http://[2001:db8::1]:7284"),
        ({"ansible_host": "192.0.2.1", "mcp_server_address": "10.0.0.1"}, "http://10.0.0.1:7284"),
        ({"ansible_connection": "local"}, "http://127.0.0.1:7284"),
        ({"ansible_connection": "local", "ansible_host": "192.0.2.1"}, "http://127.0.0.1:7284"),
        ({}, "http://a:7284"),
    ],
)
def test_url_is_on_the_address_that_others_reach(variables: dict[str, Any], url: str) -> None:
    assert fleet(a=variables)[0]["url"] == url
    balancer = report.report_targets([], ["a"], {"a": {"inventory_hostname": "a", **variables}}, 7284)
    assert balancer == [{"name": "balancer a", "url": f"{url}/mcp"}]


def test_rows_units_and_environments_follow_from_the_list() -> None:
    servers = fleet(a={"ansible_host": "192.0.2.11", "mcp_server_count": 2})
    assert declare.mcp_server_rows(servers)[1] == {
        "name": "canton-mcp-2", "address": "192.0.2.11", "port": 7285,
    }  # fmt: skip
    assert declare.mcp_server_units(servers) == {
        "7284": "canton-mcp@7284.service", "7285": "canton-mcp@7285.service",
    }  # fmt: skip
    assert list(declare.mcp_server_environments(servers, {})) == ["7284", "7285"]


def test_a_server_is_hashed_by_a_number_that_follows_from_its_id_alone() -> None:
    def numbers(*servers: Any) -> dict[str, int]:
        rows = declare.mcp_server_rows(servers, pinned=True)
        return {row["name"]: int(row["parameters"].removeprefix("id ")) for row in rows}

    servers = fleet(a={"mcp_server_count": 200})
    known = numbers(*servers)
    assert len(set(known.values())) == len(servers)
    assert all(0 < number < 2**31 for number in known.values())
    assert numbers(*reversed(servers[50:])).items() <= known.items()


def test_numbers_stay_different_when_names_collide() -> None:
    twins = ("plumless", "buckeroo")  # one CRC-32 for both
    first, second = declare._numbers(twins)
    assert second == first + 1


# -- what is wrong ---------------------------------------------------------------------------------------

A = "a: mcp_servers, port 7284"
WRONG_ENTRIES = {
    "no number": (
        {"port": "x"},
        "a: mcp_servers, port x: port 'x' is not a number; use one from 1024 to 65535",
    ),
    "boolean": ({"port": True}, "port True is not a number; use one from 1024 to 65535"),
    "no port": ({}, "a: mcp_servers, port ?: port None is not a number; use one from 1024 to 65535"),
    "too low": ({"port": 1023}, "port 1023 is out of range; use one from 1024 to 65535"),
    "too high": ({"port": 65536}, "port 65536 is out of range; use one from 1024 to 65535"),
    "near key": ({"port": 7284, "memmory_max": 1}, f"{A}: unknown key 'memmory_max'; did you mean 'memory_max'?"),
    "far key": ({"port": 7284, "zzz": 1}, f"{A}: unknown key 'zzz'; known keys are port, number, name,"),
    "number": ({"port": 7284, "number": 0}, f"{A}: number 0 is not a number of a server; use 1 or more"),
    "id blank": ({"port": 7284, "dcap_server_id": "a b"}, f"{A}: dcap_server_id 'a b' is malformed; use 1 to 64 of"),
    "id long": ({"port": 7284, "dcap_server_id": "x" * 65}, "is malformed; use 1 to 64 of"),
    "id number": ({"port": 7284, "dcap_server_id": 7}, "dcap_server_id 7 is malformed; use 1 to 64 of"),
    "name": ({"port": 7284, "name": "my server"}, f"{A}: name 'my server' is malformed; use 1 to 64 of"),
    "name sign": ({"port": 7284, "name": "-x"}, f"{A}: name '-x' is malformed; use 1 to 64 of"),
    "shown": (
        {"port": 7284, "dcap_server_name": "two\nlines"},
        f"{A}: dcap_server_name 'two\\nlines' is not a line of text; use 1 to 128 printable characters",
    ),
    "shown long": ({"port": 7284, "dcap_server_name": "x" * 129}, "use 1 to 128 printable characters"),
    "url": (
        {"port": 7284, "url": "10.0.0.1:7284"},
        f"{A}: url '10.0.0.1:7284' is not a server's URL; use http://HOST:PORT, without /mcp",
    ),
    "url path": ({"port": 7284, "url": "http://h:1/mcp"}, "use http://HOST:PORT, without /mcp"),
    "url slash": ({"port": 7284, "url": "http://h:1/"}, "use http://HOST:PORT, without /mcp"),
    "url port": ({"port": 7284, "url": "http://h:99999"}, "use http://HOST:PORT, without /mcp"),
    "memory": ({"port": 7284, "memory_max": "lots"}, f"{A}: memory_max 'lots' is not valid; use a systemd size such as"),
    "tasks": ({"port": 7284, "tasks_max": "many"}, f"{A}: tasks_max 'many' is not valid; use a number of tasks"),
    "weight": ({"port": 7284, "cpu_weight": 10001}, f"{A}: cpu_weight 10001 is not valid; use a weight from 1 to 10000"),
    "environment": (
        {"port": 7284, "environment": ["A=1"]},
        f"{A}: environment ['A=1'] is not a mapping; write NAME: value pairs",
    ),
    "variable": (
        {"port": 7284, "environment": {"A-B": 1}},
        f"{A}: environment: 'A-B' is not a variable name; use letters, digits and _",
    ),
    "line break": (
        {"port": 7284, "environment": {"A": "x\ny"}},
        f"{A}: environment: A holds a line break; write the value on one line",
    ),
    "control": (
        {"port": 7284, "environment": {"A": "x\x1b[1m"}},
        f"{A}: environment: A holds a control character; remove it",
    ),
    "identity": (
        {"port": 7284, "environment": {"DCAP_SERVER_ID": "canton-mcp-2"}},
        f"{A}: environment: DCAP_SERVER_ID=canton-mcp-2 belongs to one server's entry; set its dcap_server_id instead",
    ),
    "payments": (
        {"port": 7284, "environment": {"X402_ENABLED": True}},
        f"{A}: environment: X402_ENABLED=True asks for payments, which are not available yet; remove it",
    ),
    "no mapping": (7284, "mcp_servers: 7284 is not a server; write an entry such as {port: 7284}"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_ENTRIES)
def test_a_wrong_entry_is_one_line_with_value_reason_and_remedy(case: str) -> None:
    entry, message = WRONG_ENTRIES[case]
    (line,) = problems(entry)
    assert message in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "entry",
    [
        {"memory_max": "1.5G"}, {"memory_max": "50%"}, {"memory_max": "infinity"}, {"memory_max": 536870912},
        {"tasks_max": 64}, {"tasks_max": "10%"}, {"cpu_weight": "idle"}, {"cpu_weight": 10000},
        {"url": "https://mcp.example"}, {"url": "http://[2001:db8::1]:7284"}, {"dcap_server_id": "a.b:c_d-E9"},
        {"dcap_server_name": "Prüfserver → 1"}, {"environment": {"A": "tab\there", "B": "", "X402_ENABLED": "no"}},
        {"environment": {"DCAP_SERVER_URL": "https://mcp.example/mcp"}}, {"number": 7},
    ],
)  # fmt: skip
def test_a_right_entry_is_accepted(entry: dict[str, Any]) -> None:
    assert problems({"port": 7284, **entry}) == []


def test_duplicates_are_told_with_their_places() -> None:
    entry = {"port": 7284, "dcap_server_id": "same", "name": "one"}
    servers = fleet(a={"mcp_servers": [entry, entry]}, b={"mcp_servers": [{"port": 7284, "name": "two"}]})
    assert declare.mcp_server_problems(servers) == [
        "mcp_servers: port 7284 is declared 2 times (a:7284, a:7284); give each server of a host a port of its own",
        "mcp_servers: dcap_server_id 'same' is declared 2 times (a:7284, a:7284); ids are unique in the whole fleet",
        "mcp_servers: name 'one' is declared 2 times (a:7284, a:7284); names are unique in the whole fleet",
    ]


@pytest.mark.parametrize("count", ["three", None, 0, -2, 10**30])
def test_a_wrong_count_is_told(count: Any) -> None:
    (line,) = declare.mcp_server_problems(fleet(a={"mcp_server_count": count}))
    assert line.startswith("mcp_servers: ")
    assert "set mcp_server_count to 1 or more" in line or "write an entry such as {port: 7284}" in line


def test_a_port_that_the_balancer_of_the_same_host_uses() -> None:
    servers = fleet(a={"mcp_server_count": 1}, b={"mcp_server_count": 1})
    taken = {"a": {7284: "the balancer (mcp_balancer_port)"}}
    assert declare.mcp_server_problems(servers, taken=taken) == [
        f"{A}: port 7284 is used by the balancer (mcp_balancer_port); choose another port for one of them"
    ]


@pytest.mark.parametrize(
    "target", ["192.0.2.300", "my hub", "a..b", "hub..", "-hub", "x" * 254, 5, ["a"], "1.2.3"]
)
def test_a_wrong_target_is_told(target: Any) -> None:
    (line,) = declare.mcp_server_settings_problems({"mcp_server_dcap_target": target})
    assert line.startswith(
        f"mcp_server_dcap_target: {target!r} is neither an IP address nor a host name; use one"
    )


@pytest.mark.parametrize("port", [0, 65536, "", "x", -1, 10191.5])
def test_a_wrong_target_port_is_told(port: Any) -> None:
    (line,) = declare.mcp_server_settings_problems({"mcp_server_dcap_port": port})
    assert line == f"mcp_server_dcap_port: {port!r} is not a UDP port; use one from 1 to 65535"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"mcp_server_threads": 1}, "mcp_server_threads: 1 is not a number of threads; use one from 2 to 512"),
        ({"mcp_server_threads": 513}, "mcp_server_threads: 513 is not a number of threads; use one from 2 to 512"),
        ({"mcp_server_threads": "many"}, "mcp_server_threads: 'many' is not a number of threads; use one from 2 to 512"),
        ({"mcp_server_streams": 0}, "mcp_server_streams: 0 is not a number of streams for 16 threads; use one from 1 to 15"),
        ({"mcp_server_streams": 16}, "mcp_server_streams: 16 is not a number of streams for 16 threads; use one from 1 to 15"),
        (
            {"mcp_server_threads": "4", "mcp_server_streams": "x"},
            "mcp_server_streams: 'x' is not a number of streams for 4 threads; use one from 1 to 3",
        ),
        ({"mcp_server_threads": 50}, "mcp_server_tasks_max: 128 is too few for 50 threads; use 216 or more"),
        (
            {"mcp_server_tasks_max": "79", "mcp_server_streams": 15},
            "mcp_server_tasks_max: 79 is too few for 16 threads; use 80 or more",
        ),
    ],
)  # fmt: skip
def test_numbers_of_threads_that_do_not_fit_are_told(variables: dict[str, Any], message: str) -> None:
    assert declare.mcp_server_settings_problems(variables) == [message]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"mcp_server_threads": 2},
        {"mcp_server_threads": "16", "mcp_server_streams": "15", "mcp_server_tasks_max": "80"},
        {"mcp_server_threads": 512, "mcp_server_tasks_max": "infinity"},
    ],
)
def test_numbers_of_threads_that_fit_are_accepted(variables: dict[str, Any]) -> None:
    assert declare.mcp_server_settings_problems(variables) == []
    environment = {
        name: variables[setting]
        for name, setting in (("CANTON_MCP_THREADS", "mcp_server_threads"), ("CANTON_MCP_STREAMS", "mcp_server_streams"))
        if setting in variables
    }  # fmt: skip
    assert Settings.from_env({name: str(value) for name, value in environment.items()}).streams >= 1


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("CANTON_MCP_STREAMS", "set mcp_server_streams instead"),
        ("CREDENTIALS_DIRECTORY", "set mcp_server_secret instead"),
        ("CANTON_MCP_UNIT_DIGEST", "remove it"),
    ],
)
def test_variables_of_the_role_are_left_to_it(name: str, remedy: str) -> None:
    told = declare.mcp_server_settings_problems({"mcp_server_environment": {name: "/x"}})
    assert told == [f"mcp_server_environment: {name} comes from the role; {remedy}"]


# -- the secret ------------------------------------------------------------------------------------------

GOOD = ["s" * 32, "s" * 31 + "~\n", "one secret " * 4 + "!\n" + "another one, " * 3 + "!", "!" * 500]


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("Tooshort0123456789abcdefghijklm", "line 1 has 31 characters; use 32 or more"),
        ("g" * 32 + "\nTooshort0123456789abcdefghijklm", "line 2 has 31 characters; use 32 or more"),
        ("g" * 32 + "\n\n" + "g" * 32, "line 2 has 0 characters; use 32 or more"),
        (" " + "Blank0" * 8, "line 1 begins or ends with a blank; use 32 or more"),
        ("Ümlaut" * 8, "line 1 holds characters that are not printable ASCII; use 32 or more"),
        ("Return" * 8 + "\r\n", "line 1 holds characters that are not printable ASCII; use 32 or more"),
        (["Listed" * 8], "is not text; write one secret a line, in quotes"),
        (int("7" * 40), "is not text; write one secret a line, in quotes"),
    ],
)
def test_a_wrong_secret_is_told_but_not_shown(secret: Any, reason: str) -> None:
    (line,) = declare.mcp_server_settings_problems({"mcp_server_secret": secret})
    assert line.startswith(f"mcp_server_secret: {reason}")
    for word in ("Tooshort", "gggg", "Blank0", "mlaut", "Return", "Listed", "7777"):
        assert word not in line


@pytest.mark.parametrize("secret", ["", None, *GOOD])
def test_a_good_secret_is_accepted(secret: Any, tmp_path: Path) -> None:
    assert declare.mcp_server_settings_problems({"mcp_server_secret": secret}) == []
    if secret:
        (tmp_path / "fleet-secret").write_text(secret)
        read = fleet_secrets({"CREDENTIALS_DIRECTORY": str(tmp_path)})
        assert read == tuple(secret.strip("\n").split("\n"))


def test_a_secret_is_one_for_all_hosts() -> None:
    def told(*given: Any) -> list[str]:
        hostvars = {
            str(n): {} if secret is None else {"mcp_server_secret": secret} for n, secret in enumerate(given)
        }
        return declare.mcp_server_secret_problems(list(hostvars), hostvars)

    assert told() == told(None) == told(None, "") == told(GOOD[1], GOOD[1].strip()) == []
    differs = "mcp_server_secret: differs between hosts of mcp_hosts; set it once, in group_vars/all.yml"
    assert told(GOOD[0], GOOD[1]) == told(GOOD[0], None) == [differs]


def stored(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_fleet_agrees_on_the_secret_that_most_nodes_have() -> None:
    a, b, c = ("a" * 40, "b" * 40 + "\n" + "a" * 40, "c" * 40)
    agreed = declare.mcp_server_agreed_secret
    assert agreed([stored(f"{a}\n")]) == a
    assert agreed(map(stored, [c, b, b, a])) == b
    assert agreed(map(stored, [c, b, a])) == c  # the first of equals
    assert agreed(map(stored, ["", "weak", "weak", "weak", "ü" * 40, a])) == a
    assert agreed(["no base64!", stored(a)]) == a


def test_a_file_without_a_usable_secret_is_none() -> None:
    assert declare.mcp_server_has_secret([stored(""), stored("a" * 40)])
    assert not declare.mcp_server_has_secret([stored(""), stored("weak"), "no base64!", ""])


def test_a_fleet_without_a_secret_gets_a_new_one() -> None:
    made = {declare.mcp_server_agreed_secret(kept) for kept in ([], [""], [stored("weak")])}
    assert len(made) == 3
    for secret in made:
        assert len(secret) >= 64
        assert declare.mcp_server_settings_problems({"mcp_server_secret": secret}) == []


# -- what the server makes of it -------------------------------------------------------------------------

TARGETS = ["", "192.0.2.9", "239.1.2.3", "ff02::1", "hub", "hub.example.", "a-b.c_d"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.text("aZ9._:-", min_size=1, max_size=66)


@settings(max_examples=100, deadline=None)
@given(
    port=st.integers(1000, 65600),
    identity=st.fixed_dictionaries(
        {}, optional={"name": NAMES | TEXT, "dcap_server_id": NAMES | TEXT, "dcap_server_name": TEXT}
    ),
    url=st.none() | st.text("ah0.:/ []?@", max_size=8).map("http://{}".format),
    target=st.sampled_from(TARGETS) | st.text("az09._:-", max_size=12),
)
def test_what_is_accepted_here_is_accepted_by_the_server(
    port: int, identity: dict[str, Any], url: str | None, target: str
) -> None:
    servers = fleet(a={"mcp_servers": [{"port": port, "url": url, **identity}], "ansible_host": "192.0.2.1"})
    shared = {"mcp_server_dcap_target": target}
    if declare.mcp_server_problems(servers) or declare.mcp_server_settings_problems(shared):
        return
    read = Settings.from_env(declare.mcp_server_environment(servers[0], {"DCAP_MULTICAST_IP": target}))
    assert (read.port, read.server_id, read.mcp_name) == (
        port, servers[0]["dcap_server_id"], servers[0]["name"],
    )  # fmt: skip


# -- files -----------------------------------------------------------------------------------------------

NASTY = ['say "hi"', "it's", "$HOME `id` \\", "\\n", "a # b", "; c", "  edges  ", "", "tab\t", "=", "ü→☃", "\\\\$\\\""]  # fmt: skip


@pytest.mark.parametrize("value", NASTY)
def test_a_nasty_value_comes_back_from_its_file(value: str) -> None:
    text = declare.mcp_server_env_file({"BEFORE": "1", "NASTY": value, "AFTER": "2"})
    assert parse_environment(text) == {"BEFORE": "1", "NASTY": value, "AFTER": "2"}


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text("AZ_9", min_size=1, max_size=4), st.text("\"'\\$` #;=\tnü") | TEXT))
def test_what_is_accepted_comes_back_from_its_file(environment: dict[str, str]) -> None:
    if declare.mcp_server_settings_problems({"mcp_server_environment": environment}):
        return
    assert parse_environment(declare.mcp_server_env_file(environment)) == environment


def test_values_that_are_no_text_are_written_as_a_server_reads_them() -> None:
    environment = {"A": True, "B": False, "C": 3, "D": None}
    assert declare.mcp_server_env_file(environment) == 'A="true"\nB="false"\nC="3"\nD=""\n'


def test_every_server_has_its_identity_and_its_limits() -> None:
    entry = {"port": 7285, "memory_max": "1G", "environment": {"DCAP_DEFAULT_CALLER": "me"}}
    servers = fleet(a={"mcp_servers": [{"port": 7284}, entry], "ansible_host": "192.0.2.1"})
    limits = {"memory_max": "512M", "tasks_max": 64, "cpu_weight": 100}
    files = declare.mcp_server_own_files(servers, "/etc/x", limits)
    drop_in = "/etc/systemd/system/canton-mcp@{}.service.d/limits.conf"
    assert sorted(files) == sorted(
        ["/etc/x/servers/7284.env", "/etc/x/servers/7285.env", drop_in.format(7284), drop_in.format(7285)]
    )
    assert files[drop_in.format(7284)] == "[Service]\nMemoryMax=512M\nTasksMax=64\nCPUWeight=100\n"
    assert files[drop_in.format(7285)] == "[Service]\nMemoryMax=1G\nTasksMax=64\nCPUWeight=100\n"
    assert parse_environment(files["/etc/x/servers/7285.env"]) == {
        "CANTON_MCP_PORT": "7285",
        "CANTON_MCP_NAME": "canton-mcp-server-2",
        "MCP_SERVER_URL": "http://192.0.2.1:7285",
        "DCAP_SERVER_ID": "canton-mcp-2",
        "DCAP_SERVER_NAME": "Canton MCP Server 2",
        "DCAP_SERVER_URL": "http://192.0.2.1:7285/mcp",
        "DCAP_DEFAULT_CALLER": "me",
        "CANTON_MCP_OWN_DIGEST": declare.mcp_server_digest('{"DCAP_DEFAULT_CALLER": "me"}'),
    }


def test_the_two_files_together_are_the_environment_that_is_expected() -> None:
    servers = fleet(a={"mcp_servers": [{"port": 7284, "environment": {"DCAP_PORT": 5}}]})
    shared = {"DCAP_PORT": 10191, "DCAP_ENABLED": True, "X402_ENABLED": False}
    own = declare.mcp_server_own_files(
        servers, "", dict.fromkeys(("memory_max", "tasks_max", "cpu_weight"), 1)
    )
    merged = {
        **parse_environment(declare.mcp_server_env_file(shared)),
        **parse_environment(own["/servers/7284.env"]),
    }
    assert merged == declare.mcp_server_environments(servers, shared)["7284"]
    assert (merged["DCAP_PORT"], merged["DCAP_ENABLED"]) == ("5", "true")


# -- choosing and showing --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("all", [1, 2, 3, 4]), ("canton-mcp-2", [2]), ("canton-mcp-server", [1]), (7285, [2, 4]),
        (" canton-mcp-3 ,7284", [1, 3]), ("canton-mcp-1,canton-mcp-1", [1]),
    ],
)  # fmt: skip
def test_servers_are_chosen_by_id_name_or_port(wanted: Any, chosen: list[int]) -> None:
    servers = fleet(a={"mcp_server_count": 2}, b={"mcp_servers": [{"port": 7300}, {"port": 7285}]})
    assert [server["number"] for server in declare.mcp_server_select(servers, wanted)] == chosen


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("canton-mcp-9", "server: 'canton-mcp-9' is not in the inventory; use one of canton-mcp-1, canton-mcp-2, or all"),
        ("canton-mcp-1,x", "server: 'x' is not in the inventory"),
        (" , ", "server: nothing is named; use a DCAP id, a name, a port or all. Known: canton-mcp-1, canton-mcp-2"),
    ],
)  # fmt: skip
def test_a_server_that_is_not_there_is_told_with_those_that_are(wanted: str, message: str) -> None:
    with pytest.raises(AnsibleFilterError) as refused:
        declare.mcp_server_select(fleet(a={"mcp_server_count": 2}), wanted)
    assert message in str(refused.value)


def test_table_is_aligned_and_shows_what_is_missing() -> None:
    rows = [{"server": "canton-mcp-1", "in_rotation": "yes"}, {"server": "x", "in_rotation": None}, {}]
    assert declare.mcp_server_table(rows).splitlines() == [
        "SERVER        IN ROTATION",
        "canton-mcp-1  yes",
        "x             -",
        "-             -",
    ]
    assert declare.mcp_server_table(rows, ["in_rotation"]).splitlines()[0] == "IN ROTATION"
    assert declare.mcp_server_table([]) == "(nothing to show)"


# -- what the nodes say ----------------------------------------------------------------------------------


AB = """\
This is ApacheBench, Version 2.3 <$Revision$>
Benchmarking 127.0.0.1 (be patient).....done


Server Software:        SimpleHTTP/0.6
Server Hostname:        127.0.0.1
Server Port:            18099

Document Path:          /mcp
Document Length:        Variable

Concurrency Level:      2
Time taken for tests:   0.023 seconds
Complete requests:      20
Failed requests:        3
   (Connect: 0, Receive: 0, Length: 3, Exceptions: 0)
Non-2xx responses:      17
Total transferred:      11100 bytes
Total body sent:        2820
HTML transferred:       7140 bytes
Requests per second:    867.90 [#/sec] (mean)
Time per request:       2.304 [ms] (mean)
Time per request:       1.152 [ms] (mean, across all concurrent requests)
Transfer rate:          470.40 [Kbytes/sec] received
                        119.51 kb/s sent
                        589.90 kb/s total

Connection Times (ms)
              min  mean[+/-sd] median   max
Connect:        0    0   0.1      0       0
Processing:     1    2   0.9      2       4
Waiting:        0    2   1.0      2       3
Total:          1    2   0.9      2       4

Percentage of the requests served within a certain time (ms)
  50%      2
  66%      3
  75%      4
  80%      5
  90%      6
  95%      7
  98%      8
  99%      9
 100%     10 (longest request)
"""


def test_rows_of_the_load_test_come_from_what_ab_prints() -> None:
    good = re.sub("Non-2xx.*\n", "", AB).replace("Failed requests:        3", "Failed requests:        0")
    runs = [
        {"item": {"name": name}, "stdout": text} for name, text in (("canton-mcp-1", AB), ("balancer", good))
    ]
    bad, well = report.report_ab(runs)
    assert bad == {
        "target": "canton-mcp-1", "requests": "20", "failed": "3", "not_2xx": "17", "per_second": "867.90",
        "p50_ms": "2", "p95_ms": "7", "p99_ms": "9", "longest_ms": "10",
    }  # fmt: skip
    assert well == {**bad, "target": "balancer", "failed": "0", "not_2xx": "0"}


def test_a_load_test_without_numbers_is_shown_as_such() -> None:
    (row,) = report.report_ab(
        [{"item": {"name": "x"}, "stdout": "apr_socket_recv: Connection refused (111)"}]
    )
    assert declare.mcp_server_table([row]).splitlines()[1].split() == [
        "x",
        "-",
        "-",
        "0",
        "-",
        "-",
        "-",
        "-",
        "-",
    ]


HAPROXY = """
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend statistics
    bind 127.0.0.1:{port}
    stats enable
    stats uri /
backend other
    server canton-mcp-1 127.0.0.1:{up}
backend mcp_servers
    server canton-mcp-1 127.0.0.1:{up}
    server canton-mcp-2 127.0.0.1:{up} disabled
"""


def test_rotation_comes_from_the_statistics_of_haproxy(tmp_path: Path) -> None:
    config, port = tmp_path / "haproxy.cfg", free_port()
    config.write_text(HAPROXY.format(port=port, up=free_port()))
    with subprocess.Popen(["/usr/sbin/haproxy", "-db", "-f", config], stderr=subprocess.DEVNULL) as balancer:
        try:
            until(lambda: bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/;csv").read()))
            csv = urllib.request.urlopen(f"http://127.0.0.1:{port}/;csv").read().decode()
        finally:
            balancer.kill()
    hostvars = {
        "lb-1": {"canton_statistics": {"content": csv}},
        "lb-2": {"canton_statistics": {"status": -1}},
    }
    assert report.report_rotations(["lb-1", "lb-2"], hostvars, "mcp_servers") == [
        {"canton-mcp-1": "no check", "canton-mcp-2": "MAINT"},
        {"": "no answer"},
    ]


def probe_row(port: int, **more: Any) -> dict[str, Any]:
    health = {"status": "healthy", "release": "0.1.0-abc", "draining": False}
    return {
        "port": port, "active_state": "active", "sub_state": "running", "since": "2026-11-23T08:00:00+00:00",
        "memory_bytes": 50 * 2**20, "health": health, "error": None, "stale": [], **more,
    }  # fmt: skip


def test_status_joins_unit_health_and_rotation() -> None:
    servers = fleet(a={"mcp_server_count": 4})
    down = {"health": None, "error": "connection refused", "active_state": "failed", "sub_state": "failed"}
    rows = [
        probe_row(7284, stale=["release x, expected y"]),
        probe_row(7285, **down),
        probe_row(7286, health={"status": "healthy", "draining": True}),
    ]
    rotations = [
        {"canton-mcp-1": "UP", "canton-mcp-2": "DOWN", "canton-mcp-3": "NOLB"},
        {"canton-mcp-1": "UP 1/2", "canton-mcp-2": "UP", "canton-mcp-3": "NOLB"},
    ]
    table = report.report_status(servers, {"a": rows}, rotations)
    assert [row["health"] for row in table] == [
        "healthy, STALE (release x, expected y)", "DOWN: connection refused", "draining", "DOWN: not installed, or out of reach",
    ]  # fmt: skip
    assert [row["in_rotation"] for row in table] == [
        "yes",
        "1 of 2: DOWN, UP",
        "0 of 2: NOLB",
        "0 of 2: absent",
    ]
    assert [row["unit"] for row in table] == [
        "active (running)",
        "failed (failed)",
        "active (running)",
        "unknown",
    ]
    assert (table[0]["release"], table[0]["since"], table[0]["memory"]) == (
        "0.1.0-abc",
        "2026-11-23 08:00:00",
        "50 MiB",
    )
    assert report.report_status(servers[:1], {}, [])[0]["in_rotation"] == "no balancer answers"
    half = [{"canton-mcp-1": "UP"}, {"": "no answer"}]
    assert report.report_status(servers[:1], {}, half)[0]["in_rotation"] == "1 of 2: UP, no answer"
    assert report.report_status(servers[:1], {}, [], asked=["b"])[0]["health"] == "not asked"


def test_health_shows_every_answer_and_names_the_sick() -> None:
    servers = fleet(a={"mcp_server_count": 3, "ansible_host": "192.0.2.1"})
    ill = {"health": {"status": "unhealthy"}, "error": "it says that it is unhealthy"}
    out = json.dumps(
        [probe_row(7284), probe_row(7285, health=None, error="no answer within 3 s"), probe_row(7286, **ill)]
    )
    shown = report.report_health(servers, out)
    assert 'canton-mcp-1 (http://192.0.2.1:7284)\n{\n  "status": "healthy"' in shown
    assert "canton-mcp-2 (http://192.0.2.1:7285)\nDOWN: no answer within 3 s" in shown
    assert report.report_sick(servers, out) == [
        "canton-mcp-2 (http://192.0.2.1:7285) is DOWN: no answer within 3 s; see journalctl -u canton-mcp@7285",
        "canton-mcp-3 (http://192.0.2.1:7286) is unhealthy; see journalctl -u canton-mcp@7286",
    ]


@pytest.mark.parametrize("stdout", [None, "", "bash: canton-mcp: not found", '{"port": 1}'])
def test_a_probe_that_did_not_run_leaves_every_server_down(stdout: Any) -> None:
    servers = fleet(a={"mcp_server_count": 2})
    assert report.report_probes(["a"], {"a": {"canton_probe": {"stdout": stdout}}}) == {"a": []}
    assert [line.split(" is ")[1].split(";")[0] for line in report.report_sick(servers, stdout)] == 2 * [
        "DOWN: not installed, or out of reach"
    ]


SYSTEMCTL = """\
Id=haproxy.service
ActiveState=active
SubState=running
ActiveEnterTimestamp=Mon 2026-11-23 08:14:47 UTC
MemoryCurrent=[not set]

Id=canton-mcp-tester.service
ActiveState=failed
SubState=failed
ActiveEnterTimestamp=
MemoryCurrent=18446744073709551615

Id=dcap-hub.service
ActiveState=active
SubState=running
ActiveEnterTimestamp=Mon 2026-11-23 08:14:47 UTC
MemoryCurrent=[not set]
"""


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        (None, "http://127.0.0.1:10191/"),
        ("::1", "http://[::1]:10191/"),
        ("0.0.0.0", "http://192.0.2.31:10191/"),
        ("192.0.2.31", "http://192.0.2.31:10191/"),
    ],
)
def test_the_page_of_a_hub_is_where_it_is_bound(bind: str | None, url: str) -> None:
    variables = {"inventory_hostname": "m", "ansible_host": "192.0.2.31", "dcap_hub_bind": bind}
    (hub,) = report.report_service_table(["m"], {"m": variables}, {"monitors": ["m"]}, 7280, 10191)
    assert hub["url"] == url


def test_services_are_shown_where_they_belong() -> None:
    said = {"inventory_hostname": "m", "ansible_host": "192.0.2.31", "canton_services": {"stdout": SYSTEMCTL}}
    groups = {"load_balancers": ["m"], "testers": ["m", "t"], "monitors": ["m"]}
    hosts = {"m": said, "t": {}}
    balancer, tester, hub, silent = report.report_service_table(["m", "t"], hosts, groups, 7280, 10191)
    assert balancer == {
        "server": "haproxy", "host": "m", "url": "http://192.0.2.31:7280/mcp", "unit": "active (running)",
        "health": "running", "since": "2026-11-23 08:14:47", "memory": None,
    }  # fmt: skip
    assert (tester["server"], tester["url"], tester["unit"]) == ("canton-mcp-tester", None, "failed (failed)")
    assert (tester["health"], tester["since"], tester["memory"]) == ("DOWN", None, None)
    assert (hub["server"], hub["health"], hub["url"]) == ("dcap-hub", "running", "http://127.0.0.1:10191/")
    assert (silent["host"], silent["unit"], silent["health"]) == ("t", "unknown", "DOWN")
