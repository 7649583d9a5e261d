"""The modules of the roles and playbooks, run as Ansible runs them on a node, and their decisions one by one."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import canton_preflight as preflight
import canton_release as release
import canton_release_bundle as bundle
import mcp_server as declare
import mcp_server_files as files
import mcp_server_secret as secret
import mcp_server_units as units
import pytest
from ansible.module_utils import basic
from processes import until

ROOT = Path(__file__).resolve().parents[2]


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a module with options, ``check=True`` for check mode; what it says of the run."""

    def run(file: ModuleType, *, check: bool = False, **options: Any) -> dict[str, Any]:
        arguments = {"ANSIBLE_MODULE_ARGS": {**options, "_ansible_check_mode": check, "_ansible_diff": True}}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps(arguments).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy")
        with pytest.raises(SystemExit) as end:
            file.main()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert bool(answer.get("failed")) == bool(end.value.code)
        return answer

    return run


# -- mcp_server_files ------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with a declared file, an undeclared one of ours, and one of somebody else."""
    for name in (
        "servers/7284.env",
        "servers/7299.env",
        "7299.d/limits.conf",
        "fleet.env",
        "servers/notes.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"old {name}\n")
        path.chmod(0o644)
    return tmp_path


def declared(tree: Path) -> dict[str, Any]:
    """Options that keep one file, write two and remove two of the tree."""
    return {
        "files": {
            str(tree / "fleet.env"): "old fleet.env\n",
            str(tree / "servers/7284.env"): 'NEW="ü"\r\n',
            str(tree / "7284.d/limits.conf"): "[Service]\n",
        },
        "prune": [f"{tree}/servers/*.env", f"{tree}/*.d/limits.conf", f"{tree}/nothing/*"],
    }


def content(tree: Path) -> dict[str, bytes]:
    return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def test_files_become_what_is_declared_and_stay_so(tree: Path, module: Run) -> None:
    untouched = (tree / "fleet.env").stat().st_mtime_ns
    said = module(files, **declared(tree))
    assert said["written"] == [f"{tree}/7284.d/limits.conf", f"{tree}/servers/7284.env"]
    assert said["removed"] == [f"{tree}/7299.d/limits.conf", f"{tree}/servers/7299.env"]
    assert content(tree) == {
        "fleet.env": b"old fleet.env\n",
        "servers/7284.env": 'NEW="ü"\r\n'.encode(),
        "7284.d/limits.conf": b"[Service]\n",
        "servers/notes.txt": b"old servers/notes.txt\n",
    }
    assert not (tree / "7299.d").exists()  # its last file went
    assert (tree / "fleet.env").stat().st_mtime_ns == untouched
    again = module(files, **declared(tree))
    assert (again["changed"], again["written"], again["removed"], again["diff"]) == (False, [], [], [])


def test_pruning_alone_writes_nothing(tree: Path, module: Run) -> None:
    said = module(files, prune_only=True, **declared(tree))
    assert said["written"] == [] and not (tree / "7284.d").exists()
    assert said["removed"] == [f"{tree}/7299.d/limits.conf", f"{tree}/servers/7299.env"]


def test_check_mode_tells_the_same_and_touches_nothing(tree: Path, module: Run) -> None:
    before = content(tree)
    foreseen = module(files, check=True, **declared(tree))
    assert content(tree) == before and not (tree / "7284.d").exists()
    done = module(files, **declared(tree))
    assert [foreseen[key] for key in ("changed", "written", "removed", "diff")] == [
        done[key] for key in ("changed", "written", "removed", "diff")
    ]


def test_diff_shows_old_and_new_text(tree: Path, module: Run) -> None:
    diff = {part["after_header"]: part for part in module(files, check=True, **declared(tree))["diff"]}
    shown = {path: (part["before"], part["after"]) for path, part in diff.items()}
    assert shown == {
        f"{tree}/7284.d/limits.conf": ("", "[Service]\n"),
        f"{tree}/servers/7284.env": ("old servers/7284.env\n", 'NEW="ü"\r\n'),
        f"{tree}/7299.d/limits.conf": ("old 7299.d/limits.conf\n", ""),
        f"{tree}/servers/7299.env": ("old servers/7299.env\n", ""),
    }


def test_a_wrong_mode_is_a_change(tree: Path, module: Run) -> None:
    path = tree / "fleet.env"
    wanted = {"files": {str(path): "old fleet.env\n"}, "mode": "0600"}
    assert module(files, **wanted)["written"] == [str(path)]
    assert path.stat().st_mode & 0o7777 == 0o600
    assert not module(files, **wanted)["changed"]


def test_a_reader_keeps_the_old_text_while_the_new_one_lands(tree: Path, module: Run) -> None:
    path = tree / "servers/7284.env"
    with path.open() as reader:
        module(files, **declared(tree))
        assert reader.read() == "old servers/7284.env\n"
    assert sorted(path.name for path in (tree / "servers").iterdir()) == ["7284.env", "notes.txt"]


def test_a_file_that_cannot_be_written_is_named(tree: Path, module: Run) -> None:
    said = module(files, files={f"{tree}/fleet.env/7284.env": "x"})
    assert said["msg"].startswith(f"{tree}/fleet.env") and "directory" in said["msg"]
    assert module(files, files={str(tree / "servers"): "x"})["msg"].startswith(
        f"{tree}/servers: Is a directory"
    )


# -- mcp_server_secret -----------------------------------------------------------------------------------

GIVEN = "given " * 8 + "!\n" + "former " * 8 + "!"


def permissions(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_node_makes_its_secret_once(tmp_path: Path, module: Run) -> None:
    path = tmp_path / "etc/fleet.secret"
    said = module(secret, path=str(path))
    kept = path.read_text()
    assert said["changed"] and permissions(path) == 0o600
    assert len(kept.strip()) >= 64 and declare.mcp_server_settings_problems({"mcp_server_secret": kept}) == []
    again = module(secret, path=str(path))
    assert (again["changed"], again["digest"], path.read_text()) == (False, said["digest"], kept)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_given_secret_replaces_what_the_node_has(tmp_path: Path, module: Run) -> None:
    path = tmp_path / "fleet.secret"
    made = module(secret, path=str(path))
    said = module(secret, path=str(path), secret=GIVEN)
    assert said["changed"] and said["digest"] != made["digest"] and path.read_text() == f"{GIVEN}\n"
    assert module(secret, path=str(path), secret=f"{GIVEN}\n")["changed"] is False
    assert module(secret, path=str(path))["changed"] is False  # kept once it is no longer given
    assert re.fullmatch("[0-9a-f]{12}", said["digest"])


@pytest.mark.parametrize("options", [{}, {"secret": GIVEN}])
def test_a_secret_is_never_told(tmp_path: Path, module: Run, options: dict[str, str]) -> None:
    path = tmp_path / "fleet.secret"
    for check in (True, False):
        answer = json.dumps(module(secret, check=check, path=str(path), **options))
        for line in (path.read_text() if path.exists() else GIVEN).split("\n")[:2]:
            assert not line or line not in answer
        assert "diff" not in json.loads(answer)


def test_check_mode_makes_no_secret(tmp_path: Path, module: Run) -> None:
    path = tmp_path / "etc/fleet.secret"
    assert module(secret, check=True, path=str(path)) | {"invocation": 0} == {
        "changed": True, "digest": "", "invocation": 0,
    }  # fmt: skip
    foreseen = module(secret, check=True, path=str(path), secret=GIVEN)
    assert not path.parent.exists()
    assert foreseen["digest"] == module(secret, path=str(path), secret=GIVEN)["digest"]
    assert module(secret, check=True, path=str(path))["changed"] is False


@pytest.mark.parametrize("text", ["", "\n", "short\n", "s" * 31, "ü" * 40, f"{'s' * 40}\n\n{'s' * 40}\n"])
def test_a_file_that_no_server_accepts_is_replaced(tmp_path: Path, module: Run, text: str) -> None:
    path = tmp_path / "fleet.secret"
    path.write_text(text)
    assert module(secret, path=str(path))["changed"]
    assert declare.mcp_server_settings_problems({"mcp_server_secret": path.read_text()}) == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o400, 0o4600])
def test_a_file_that_others_may_read_is_mended(tmp_path: Path, module: Run, mode: int) -> None:
    path = tmp_path / "fleet.secret"
    path.write_text(f"{GIVEN}\n")
    path.chmod(mode)
    assert module(secret, check=True, path=str(path))["changed"] and permissions(path) == mode
    assert module(secret, path=str(path))["changed"] and permissions(path) == 0o600
    assert path.read_text() == f"{GIVEN}\n"


def test_what_a_dead_run_left_open_is_not_written_to(tmp_path: Path, module: Run) -> None:
    path, draft = tmp_path / "fleet.secret", tmp_path / ".fleet.secret.new"
    draft.write_text("old")
    draft.chmod(0o666)
    with draft.open() as somebody:
        module(secret, path=str(path), secret=GIVEN)
        assert somebody.read() == "old"
    assert permissions(path) == 0o600 and not draft.exists()


def test_a_secret_that_cannot_be_written_is_named_by_its_place(tmp_path: Path, module: Run) -> None:
    (tmp_path / "file").write_text("")
    said = module(secret, path=str(tmp_path / "file/fleet.secret"), secret=GIVEN)
    assert said["msg"].startswith(str(tmp_path / "file")) and "mend that and run again" in said["msg"]
    assert "given" not in json.dumps(said)


def test_node_and_controller_accept_the_same_secrets() -> None:
    assert secret.LINE.pattern == declare._SECRET.pattern


# -- mcp_server_units ------------------------------------------------------------------------------------

RUNNING = {"active_state": "active", "error": None, "stale": []}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (RUNNING, ""),
        (None, "is unknown to the probe"),
        ({**RUNNING, "active_state": "failed", "error": "connection refused"}, "is failed"),
        ({**RUNNING, "active_state": None}, "is not loaded"),
        ({**RUNNING, "error": "no answer within 3 s"}, "is not healthy (no answer within 3 s)"),
        (
            {**RUNNING, "stale": ["release a, expected b", "configuration c, expected d"]},
            "still runs the old release a, expected b; configuration c, expected d",
        ),
    ],
)
def test_fault_says_why_a_server_is_not_as_declared(row: dict[str, Any] | None, reason: str) -> None:
    assert units.fault(row) == reason


def test_difference_shows_what_happens_to_every_unit() -> None:
    rows = {7285: {**RUNNING, "active_state": "inactive"}}
    diff = units.difference(rows, missing=[7284, 7285], stale={7286: "still runs the old x"})
    assert diff == {
        "before": "canton-mcp@7284.service: not there\ncanton-mcp@7285.service: inactive\n"
        "canton-mcp@7286.service: still runs the old x\n",
        "after": "canton-mcp@7284.service: started\ncanton-mcp@7285.service: started\n"
        "canton-mcp@7286.service: restarted\n",
    }
    assert units.difference({}, [], {}) == {"before": "", "after": ""}


# -- canton_release_bundle -------------------------------------------------------------------------------


def application(directory: Path, version: str = "1.2.3") -> Path:
    """The source of a small application."""
    package = directory / "src/canton_mcp/deep"
    package.mkdir(parents=True)
    (directory / "pyproject.toml").write_text(f'[project]\nname = "canton-mcp"\nversion = "{version}"\n')
    (directory / "requirements.lock").write_text("click==8.2.0\n")
    (package / "part.py").write_text("x = 1\n")
    (package.parent / "__init__.py").write_text("")
    return directory


def test_a_release_is_named_by_its_content_alone(tmp_path: Path) -> None:
    one, two = application(tmp_path / "one"), application(tmp_path / "elsewhere" / "two")
    name = bundle.release_id(one)
    assert name.startswith("1.2.3-") and len(name) == len("1.2.3-") + 12
    for path in two.rglob("*"):
        os.utime(path, (1, 1))
    (two / "src/canton_mcp/__pycache__").mkdir()
    (two / "src/canton_mcp/__pycache__/part.pyc").write_bytes(b"\0")
    (two / "notes.txt").write_text("no part of the release")
    assert bundle.release_id(two) == name


@pytest.mark.parametrize(
    "change", ["pyproject.toml", "requirements.lock", "src/canton_mcp/deep/part.py", "src/canton_mcp/new.py"]
)
def test_every_change_of_content_is_another_release(tmp_path: Path, change: str) -> None:
    source = application(tmp_path)
    before = bundle.release_id(source)
    with (source / change).open("a") as file:
        file.write("# more\n")
    assert bundle.release_id(source) != before


def test_a_moved_file_is_another_release(tmp_path: Path) -> None:
    source = application(tmp_path)
    before = bundle.release_id(source)
    (source / "src/canton_mcp/deep/part.py").rename(source / "src/canton_mcp/part.py")
    assert bundle.release_id(source) != before


@pytest.fixture
def bundled(module: Run) -> Run:
    """Ask for the bundle of a source in a cache."""
    kind = {"python": "3.11", "machine": "x86_64"}
    return lambda source, cache, **more: module(bundle, source=str(source), cache=str(cache), **kind, **more)


def test_check_mode_names_the_archive_and_builds_nothing(tmp_path: Path, bundled: Run) -> None:
    source, cache = application(tmp_path / "app"), tmp_path / "cache"
    said = bundled(source, cache, check=True)
    name = bundle.release_id(source)
    assert (said["changed"], said["id"]) == (False, name)
    assert said["archive"] == f"{cache}/canton-mcp-{name}-py3.11-x86_64.tar.gz"
    assert not cache.exists()


def test_an_archive_that_is_there_is_used_as_it_is(tmp_path: Path, bundled: Run) -> None:
    source, cache = application(tmp_path / "app"), tmp_path / "cache"
    archive = Path(bundled(source, cache, check=True)["archive"])
    cache.mkdir()
    archive.write_bytes(b"kept")
    assert bundled(source, cache)["archive"] == str(archive)
    assert [path.name for path in cache.iterdir()] == [archive.name] and archive.read_bytes() == b"kept"


@pytest.mark.parametrize("lost", ["pyproject.toml", "requirements.lock"])
def test_a_source_that_is_none_is_told(tmp_path: Path, lost: str, bundled: Run) -> None:
    source = application(tmp_path / "app")
    (source / lost).unlink()
    said = bundled(source, tmp_path / "cache")
    assert (
        said["msg"]
        == f"{source / lost} is missing; point canton_release_source at the application's directory"
    )


@pytest.mark.parametrize("text", ["[project", "[project]\nname = 'x'\n", ""])
def test_a_source_without_a_version_is_told(tmp_path: Path, text: str) -> None:
    source = application(tmp_path / "app")
    (source / "pyproject.toml").write_text(text)
    with pytest.raises(
        bundle.BundleError, match=r"pyproject\.toml names no version \(.*\); restore the file"
    ):
        bundle.release_id(source)


def test_a_package_index_that_does_not_answer_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundled: Run
) -> None:
    source, cache = application(tmp_path / "app"), tmp_path / "cache"
    (source / "requirements.lock").write_text(f"nowhere==1.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    said = bundled(source, cache)
    first, *_, last = said["msg"].splitlines()
    assert first == "pip download failed on the controller:" and "nowhere==1.0" in said["msg"]
    assert last == "Check its access to a package index and run again."
    assert [path.name for path in cache.iterdir()] == [".lock"]


# -- canton_release --------------------------------------------------------------------------------------


def installed(root: Path, *names: str) -> Path:
    """Releases that look installed, the first one oldest."""
    for age, name in enumerate(reversed(names)):
        mark = root / "releases" / name / "RELEASE"
        mark.parent.mkdir(parents=True)
        mark.write_text(f"{name}\n")
        (mark.parent / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}").mkdir(parents=True)
        os.utime(mark, (10**9 - age, 10**9 - age))
    return root / "releases"


@pytest.mark.parametrize(
    ("current", "keep", "gone"),
    [("e", 3, ["a", "b"]), ("e", 5, []), ("a", 2, ["b", "c", "d"]), ("new", 2, ["a", "b", "c", "d"])],
)
def test_the_newest_releases_are_kept_and_the_current_one(
    tmp_path: Path, current: str, keep: int, gone: list[str]
) -> None:
    releases = installed(tmp_path, "a", "b", "c", "d", "e")
    (releases / "half-made").mkdir()
    assert release.surplus(releases, current, keep) == [*gone, "half-made"]


@pytest.fixture
def held(tmp_path: Path) -> Iterator[str]:
    """A release that a process runs from."""
    interpreter = tmp_path / "releases/held/bin/python"
    interpreter.parent.mkdir(parents=True)
    interpreter.symlink_to(shutil.which("sleep") or "/bin/sleep")
    with subprocess.Popen([interpreter, "60"]) as process:
        until(lambda: Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(str(interpreter).encode()))
        yield "held"
        process.kill()


def test_a_release_that_still_runs_is_kept(tmp_path: Path, held: str) -> None:
    releases = tmp_path / "releases"
    assert release.used(releases) == {held}
    assert release.used(tmp_path / "other") == set()
    (releases / held / "RELEASE").write_text("held\n")
    os.utime(releases / held / "RELEASE", (1, 1))
    installed(tmp_path, "a", "b", "c")
    assert release.surplus(releases, "c", 2) == ["a"]


def test_a_link_is_switched_in_one_step(tmp_path: Path) -> None:
    link = tmp_path / "opt" / "current"
    release.switch(link, "releases/a")
    (link.parent / ".current.new").symlink_to("left/behind")
    release.switch(link, "releases/b")
    assert str(Path(link).readlink()) == "releases/b"
    assert [path.name for path in link.parent.iterdir()] == ["current"]


@pytest.fixture
def use(module: Run) -> Run:
    """Use a release below a root."""
    return lambda root, name, **more: module(release, root=str(root), id=name, python=sys.executable, **more)


def test_an_installed_release_is_switched_to_and_back(tmp_path: Path, use: Run) -> None:
    installed(tmp_path, "a", "b", "c", "d")
    command = tmp_path / "bin" / "canton-mcp"
    options = {"keep": 2, "command_link": str(command)}
    use(tmp_path, "a", keep=9)
    foreseen = use(tmp_path, "d", check=True, **options)
    assert str(Path(tmp_path / "current").readlink()) == "releases/a" and not command.is_symlink()
    done = use(tmp_path, "d", **options)
    assert {**foreseen, "invocation": None} == {**done, "invocation": None}
    assert (done["changed"], done["previous"], done["removed"]) == (True, "a", ["a", "b"])
    assert str(Path(tmp_path / "current").readlink()) == "releases/d"
    assert str(Path(command).readlink()) == f"{tmp_path}/current/bin/canton-mcp"
    assert sorted(path.name for path in (tmp_path / "releases").iterdir()) == ["c", "d"]
    again = use(tmp_path, "d", **options)
    assert (again["changed"], again["removed"]) == (False, [])
    assert use(tmp_path, "c", **options)["diff"] == {"before": "current: d\n", "after": "current: c\n"}


def archive(path: Path, damage: str) -> Path:
    """A bundle that is no archive, is cut off, or lacks its wheels."""
    with tarfile.open(path, "w:gz") as packed:
        packed.add(__file__, "requirements.lock")
    whole = path.read_bytes()
    path.write_bytes(
        {"not an archive": b"hello", "cut off": whole[: len(whole) // 2], "no wheels": whole}[damage]
    )
    return path


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("not an archive", "its archive is damaged (file could not be opened successfully:"),
        (
            "cut off",
            "its archive is damaged (Compressed file ended before the end-of-stream marker was reached)",
        ),
        ("no wheels", "its archive holds no wheel of pip"),
    ],
)
def test_a_release_that_cannot_be_installed_leaves_the_node_as_it_is(
    tmp_path: Path, use: Run, damage: str, reason: str
) -> None:
    installed(tmp_path, "a")
    use(tmp_path, "a")
    said = use(tmp_path, "b", archive=str(archive(tmp_path / "bundle.tar.gz", damage)))
    first, last = said["msg"].splitlines()
    assert first.startswith(f"release b is not usable on this node: {reason}")
    assert first.endswith("remove it from canton_release_cache on the controller and run again")
    assert last == "The node stays on a."
    assert str((tmp_path / "current").readlink()) == "releases/a" and not (tmp_path / "releases/b").exists()


def test_keeping_one_release_alone_is_refused(tmp_path: Path, use: Run) -> None:
    assert (
        use(tmp_path, "a", keep=1)["msg"]
        == "canton_release_keep: 1 leaves nothing to go back to; use 2 or more"
    )


# -- canton_preflight ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "version", "fits"),
    [
        ("debian", "12", True), ("debian", "13", True), ("debian", "11", False), ("ubuntu", "24.04", True),
        ("ubuntu", "25.10", True), ("ubuntu", "22.04", False), ("fedora", "43", False), ("debian", "", False),
    ],
)  # fmt: skip
def test_operating_systems(name: str, version: str, fits: bool) -> None:
    fields = {"ID": name, "VERSION_ID": version, "PRETTY_NAME": f"{name.title()} {version}"}
    told = f"operating system: {name.title()} {version} is not supported; use Debian 12 or later, or Ubuntu 24.04 or later"
    assert preflight.system_problems(fields) == ([] if fits else [told])
    assert len(preflight.system_problems({})) == 1


def test_fields_of_the_operating_system_carry_no_quotes() -> None:
    expected = platform.freedesktop_os_release()
    fields = preflight.operating_system()
    assert {key: fields.get(key) for key in ("ID", "PRETTY_NAME")} == {
        key: expected.get(key) for key in ("ID", "PRETTY_NAME")
    }


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_interpreters(tmp_path: Path) -> None:
    assert preflight.python_problems(sys.executable) == []
    old = program(tmp_path / "old", "echo 3 9")
    assert preflight.python_problems(old) == [
        f"canton_release_python: {old} is Python 3.9; name an interpreter of 3.11 or later"
    ]
    for broken in (
        "/nowhere/python3",
        program(tmp_path / "broken", "exit 1"),
        program(tmp_path / "odd", "echo hello"),
    ):
        (line,) = preflight.python_problems(broken)
        assert line.startswith(f"canton_release_python: {broken} does not run (")
        assert line.endswith("install python3 or name another interpreter")


def test_a_port_that_something_else_listens_on_is_told_with_its_owner(module: Run) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as four,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
    ):
        ports = [four.getsockname()[1], six.getsockname()[1]]
        said = module(preflight, ports={str(port): f"canton-mcp@{port}.service" for port in ports})
        found = [line for line in said["problems"] if line.startswith("port ")]
    me = Path("/proc/self/comm").read_text().strip()
    assert len(found) == 2 and not said["changed"]
    for port, line in zip(sorted(ports), found, strict=True):
        assert line.startswith(f"port {port}: taken by {me} (pid {os.getpid()}")
        assert line.endswith(f", wanted for canton-mcp@{port}.service; stop it or choose another port")


def test_a_port_that_only_clients_use_is_free() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        port = client.getsockname()[1]
        assert preflight.port_problems({port: "canton-mcp@1.service"}) == []


def test_a_port_that_its_own_unit_holds_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    own = preflight.Owner(7, "gunicorn", "canton-mcp@7284.service")
    systemd = preflight.Owner(1, "systemd", "init.scope")
    thief = preflight.Owner(9, "nginx", "nginx.service")
    wanted = {7284: "canton-mcp@7284.service"}
    for holders, runs, line in (
        ([own], True, None),
        ([own, systemd], True, None),
        ([systemd], True, None),
        ([systemd], False, "port 7284: taken by systemd (pid 1, init.scope), wanted for"),
        ([own, thief], True, "port 7284: taken by nginx (pid 9, nginx.service), wanted for"),
        ([], False, "port 7284: taken by a process that this account may not see, wanted for"),
    ):
        monkeypatch.setattr(preflight, "owners", lambda _, holders=holders: {7284: holders})
        monkeypatch.setattr(preflight, "runs", lambda _, runs=runs: runs)
        found = preflight.port_problems(wanted)
        assert bool(found) == bool(line) and all(told.startswith(str(line)) for told in found)


def test_unit_of_a_process_is_the_innermost_one() -> None:
    text = "12:pids:/\n1:name=systemd:/canton.slice/canton-mcp.slice/canton-mcp@7284.service\n0::/init.scope/x.service/sub\n"
    assert preflight.SERVICE.findall(text) == ["canton-mcp@7284.service", "init.scope", "x.service"]


def test_a_machine_without_systemd_is_told(module: Run) -> None:
    said = module(preflight, python=sys.executable)
    init = [line for line in said["problems"] if line.startswith("init: ")]
    assert bool(init) == (not Path("/run/systemd/system").is_dir())
    assert all("use a machine or VM that it does, or the lab (`make up`)" in line for line in init)
