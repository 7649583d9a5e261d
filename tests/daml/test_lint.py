"""``canton-mcp lint``: what it reads, what it tells, in which form, and how it exits."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from canton_mcp import cli, lint, lint_report
from canton_mcp.catalogue import RULES
from canton_mcp.cli import main
from canton_mcp.daml.findings import KINDS
from click.testing import CliRunner, Result

SAFE = """\
module Notes where

template Note
  with
    author : Party
    text : Text
  where
    signatory author

    choice Reword : ContractId Note
      with newText : Text
      controller author
      do create this with text = newText
"""
GIVEN_AWAY = """\
module Bonds where

template Bond
  with
    issuer : Party
    owner : Party
  where
    signatory issuer, owner

    choice Transfer : ContractId Bond
      with newOwner : Party
      controller owner
      do create this with owner = newOwner
"""
HELPERS = """\
module Helpers where

import Bonds

reissue : Bond -> Party -> Update (ContractId Bond)
reissue bond someone = create bond with owner = someone
"""
USER = """\
module Desk where

import Bonds
import Helpers

template Desk
  with
    clerk : Party
    bond : Bond
  where
    signatory clerk

    choice Hand : ContractId Bond
      controller clerk
      do reissue bond clerk
"""


def run(*arguments: str, text: bytes = b"") -> Result:
    return CliRunner().invoke(main, ["lint", *arguments], input=text)


def as_json(*arguments: str, text: bytes = b"") -> dict[str, Any]:
    result = run("--json", *arguments, text=text)
    assert result.exit_code in (0, 1), result.output
    document = json.loads(result.stdout)
    assert isinstance(document, dict)
    return document


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "daml/Notes.daml": SAFE,
        "daml/deep/Bonds.daml": GIVEN_AWAY,
        ".daml/dist/Old.daml": GIVEN_AWAY,
        "daml/.hidden/Old.daml": GIVEN_AWAY,
        "daml/.Swap.daml": GIVEN_AWAY,
        "daml/README.md": GIVEN_AWAY,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_finding_has_its_place_its_line_and_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "Bonds.daml"
    path.write_text(GIVEN_AWAY)
    result = run(str(path), "--rule", "transfer-without-consent")
    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert (
        lines[0].startswith(f"{path}:13:10: critical transfer-without-consent: ") and "newOwner" in lines[0]
    )
    assert lines[1] == "     13 |       do create this with owner = newOwner"
    assert lines[2] == "        |          ^"
    assert lines[3].startswith("     fix: ")
    assert lines[-1].startswith(
        "1 file, 1 template, 1 choice: 1 finding (1 critical); authority of 1 action: "
    )
    assert "secure" not in result.stdout.lower()


def test_code_without_findings_is_told_in_one_line() -> None:
    result = run("-", text=SAFE.encode())
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)
    assert "1 file, 1 template, 1 choice: 0 findings; authority of 1 action: 1 proved" in result.stdout


def test_directories_give_their_daml_files_each_once(project: Path) -> None:
    twice = as_json(str(project), str(project / "daml"), str(project / "daml" / "Notes.daml"))
    assert [Path(entry["path"]).name for entry in twice["files"]] == ["Notes.daml", "Bonds.daml"]
    assert {Path(entry["path"]).name for entry in twice["findings"]} == {"Bonds.daml"}
    # what is named is read, whatever it is called
    assert len(as_json(str(project / "daml" / "README.md"))["findings"]) == len(twice["findings"])


def test_links_in_circles_end(project: Path) -> None:
    (project / "daml" / "again").symlink_to(project)
    assert len(as_json(str(project))["files"]) == 2


def test_modules_of_a_project_see_each_other(tmp_path: Path) -> None:
    for name, text in {"Bonds": GIVEN_AWAY, "Helpers": HELPERS, "Desk": USER}.items():
        (tmp_path / f"{name}.daml").write_text(text)
    together = as_json(str(tmp_path))
    by_file = {Path(entry["path"]).stem: entry["actions"] for entry in together["files"]}
    assert sum(by_file["Desk"].values()) == 1 and by_file["Desk"]["unknown"] == 0
    alone = as_json(str(tmp_path / "Desk.daml"))
    assert alone["summary"]["actions"]["failsUnless"] == 0
    places = {(Path(entry["path"]).stem, entry["line"]) for entry in together["findings"]}
    ends = {"Bonds": 13, "Helpers": 6, "Desk": 16}
    assert all(line <= ends[name] for name, line in places)


def test_the_nearest_of_two_modules_of_one_name_is_meant(tmp_path: Path) -> None:
    signed = GIVEN_AWAY.replace("signatory issuer, owner", "signatory owner")
    for folder, bonds in {"one": GIVEN_AWAY, "two": signed}.items():
        (tmp_path / folder).mkdir()
        for name, text in {"Bonds": bonds, "Helpers": HELPERS, "Desk": USER}.items():
            (tmp_path / folder / f"{name}.daml").write_text(text)
    desks = [
        entry["actions"] for entry in as_json(str(tmp_path))["files"] if entry["path"].endswith("Desk.daml")
    ]
    assert [desk["proved"] for desk in desks] == [0, 1]


def test_a_template_that_another_module_creates_is_reachable(tmp_path: Path) -> None:
    both = GIVEN_AWAY.replace(
        "\n    choice", "\n    choice Keep : ()\n      controller owner\n      do pure ()\n\n    choice"
    )
    (tmp_path / "Bonds.daml").write_text(both)
    (tmp_path / "Offers.daml").write_text(
        "module Offers where\n\nimport Bonds\n\ntemplate Offer\n  with\n    issuer : Party\n    owner : Party\n  where\n"
        "    signatory issuer\n    observer owner\n\n    choice Accept : ContractId Bond\n      controller owner\n"
        "      do create Bond with ..\n"
    )  # fmt: skip
    rules = {
        entry["rule"] for entry in as_json(str(tmp_path))["findings"] if entry["path"].endswith("Bonds.daml")
    }
    assert "unreachable-template" not in rules


@pytest.mark.parametrize(
    ("severity", "status"), [("critical", 1), ("high", 1), ("info", 1), ("never", 0)]
)  # fmt: skip
def test_the_severity_decides_the_exit_status(severity: str, status: int) -> None:
    assert run("-", "--fail-on", severity, text=GIVEN_AWAY.encode()).exit_code == status


def test_milder_findings_than_asked_for_do_not_fail() -> None:
    milder = SAFE.replace("text : Text", "amount : Decimal").replace("text = newText", "amount = 1.0")
    findings = as_json("-", text=milder.encode())["findings"]
    assert {entry["severity"] for entry in findings} <= {"medium", "low", "info"} and findings
    assert run("-", text=milder.encode()).exit_code == 0
    assert run("-", "--fail-on", "medium", text=milder.encode()).exit_code == 1


def test_rules_are_chosen_by_id() -> None:
    every = {entry["rule"] for entry in as_json("-", text=GIVEN_AWAY.encode())["findings"]}
    assert "transfer-without-consent" in every
    left = as_json("--ignore", "transfer-without-consent", "-", text=GIVEN_AWAY.encode())["findings"]
    assert {entry["rule"] for entry in left} == every - {"transfer-without-consent"}
    assert run("--rule", "no-signatory,no-controller", "-", text=GIVEN_AWAY.encode()).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--rule", "transfer-without-consentt", "-"], "did you mean transfer-without-consent"),
        (["--ignore", "zzzz", "-"], "zzzz: no such rule; known are"),
        (["--rule", "no-signatory", "--ignore", "no-signatory", "-"], "no rule is left"),
        (["/nowhere/at/all.daml"], "/nowhere/at/all.daml: no such file or directory"),
        (["--json", "--sarif", "-"], "choose one"),
        (["--fail-on", "grave", "-"], "--fail-on"),
        ([], "PATH"),
    ],
)
def test_wrong_usage(arguments: list[str], told: str) -> None:
    result = run(*arguments, text=SAFE.encode())
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr and "Traceback" not in result.stderr


def test_a_project_file_is_not_read_as_code(tmp_path: Path) -> None:
    (tmp_path / "daml.yaml").write_text("sdk-version: 2.9.0\nsource: daml\n")
    result = run(str(tmp_path / "daml.yaml"))
    assert result.exit_code == 2
    assert "name the directory of the project instead" in result.stderr


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no code")
    result = run(str(tmp_path))
    assert (
        result.exit_code == 2
        and f"nothing to read: no DAML file could be read from {tmp_path}" in result.stderr
    )


def test_what_cannot_be_read_is_told_and_the_rest_is_checked(tmp_path: Path) -> None:
    (tmp_path / "Bonds.daml").write_text(GIVEN_AWAY)
    (tmp_path / "Gone.daml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "Latin.daml").write_bytes(SAFE.replace("module", "-- é\nmodule").encode("latin-1"))
    (tmp_path / "Wide.daml").write_bytes(SAFE.encode("utf-16"))
    (tmp_path / "Pipe.daml").mkdir()
    (tmp_path / "Broken.daml").write_text(SAFE + "\ntemplate\n  ) where\n")
    result = run(str(tmp_path))
    assert result.exit_code == 1 and "transfer-without-consent" in result.stdout
    assert f"{tmp_path}/Gone.daml: not checked: " in result.stderr
    assert f"{tmp_path}/Latin.daml:1:4: not checked: byte 0xe9 is not UTF-8" in result.stderr
    assert f"{tmp_path}/Wide.daml: not checked: it is no UTF-8 text" in result.stderr
    assert f"{tmp_path}/Broken.daml:15:" not in result.stderr  # a finding says it
    assert f"\n{tmp_path}/Broken.daml:15:" in f"\n{result.stdout}"
    document = as_json(str(tmp_path))
    assert (document["summary"]["files"], document["summary"]["unreadable"]) == (3, 2)
    assert {Path(entry["path"]).name: entry["read"] for entry in document["files"]}["Wide.daml"] is False


BROKEN = SAFE.replace("  where\n    sig", "  whre\n    sig")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([], 1),
        (["--fail-on", "critical"], 1),
        (["--fail-on", "info"], 1),
        (["--fail-on", "never"], 0),
        (["--rule", "no-signatory"], 1),
        (["--rule", "syntax"], 1),
        (["--ignore", "no-signatory"], 1),
        (["--ignore", "syntax"], 0),
    ],
)
def test_what_cannot_be_parsed_fails_the_run(arguments: list[str], status: int) -> None:
    result = run("-", *arguments, text=BROKEN.encode())
    told = "<stdin>:7:3: critical syntax: unexpected 'whre': did you mean 'where'?"
    assert result.exit_code == status
    assert (told in result.stdout) == ("syntax" not in arguments[1:] or arguments[0] == "--rule")
    assert ("<stdin>:7:3: not checked: " in result.stderr) == (arguments == ["--ignore", "syntax"])


def test_what_cannot_be_parsed_is_a_result_in_every_form() -> None:
    (finding,) = as_json("-", text=BROKEN.encode())["findings"]
    assert (finding["rule"], finding["severity"], finding["certainty"]) == ("syntax", "critical", "definite")
    assert (finding["line"], finding["column"]) == (7, 3)
    found = sarif("-", text=BROKEN.encode())
    (result,) = found["results"]
    rule = found["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert (result["ruleId"], rule["id"], result["level"]) == ("syntax", "syntax", "error")
    assert found["invocations"][0]["toolExecutionNotifications"] == []


@pytest.mark.parametrize(
    "expression",
    [
        "mystery newText",
        "[x | x <- newText]",
        "foo @Int (\\case 1 -> newText)",
        "(" * 300 + "newText" + ")" * 300,
    ],
)
def test_expressions_that_are_not_followed_are_no_syntax_problem(expression: str) -> None:
    text = SAFE.replace("text = newText", f"text = {expression}")
    assert text != SAFE
    assert run("-", "--fail-on", "info", text=text.encode()).exit_code == 0


def test_only_unreadable_files_are_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "Wide.daml").write_bytes(SAFE.encode("utf-16"))
    result = run(str(tmp_path))
    assert result.exit_code == 2 and "Wide.daml: it is no UTF-8 text" in result.stderr


def test_very_large_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "Notes.daml").write_text(SAFE)
    with (tmp_path / "Large.daml").open("wb") as file:
        file.truncate(9_000_000)
    result = run(str(tmp_path))
    assert result.exit_code == 0 and "Large.daml: not checked: it has 9000000 bytes" in result.stderr


def test_a_terminal_obeys_nothing_that_files_say(tmp_path: Path) -> None:
    text = GIVEN_AWAY.replace("do create", "do {- \x1b[31m\x9b\u202e -} create")
    path = tmp_path / "a\x1b[2Jb.daml"
    path.write_text(text)
    result = run(str(tmp_path))
    assert result.exit_code == 1
    assert not {"\x1b", "\x9b", "\u202e"} & set(result.stdout + result.stderr)
    mark = result.stdout.splitlines()
    shown = next(line for line in mark if " 13 | " in line)
    assert mark[mark.index(shown) + 1].index("^") == shown.index("create")


def test_tabs_and_long_lines_are_shown_with_their_mark() -> None:
    tabbed = GIVEN_AWAY.replace("      do create", "\tdo\tcreate")
    lines = run("-", "--rule", "transfer-without-consent", text=tabbed.encode()).stdout.splitlines()
    assert lines[2].index("^") == lines[1].index("create")
    padded = GIVEN_AWAY.replace("do create", f"do {{- {'x' * 5000} -}} create")
    lines = run("-", "--rule", "transfer-without-consent", text=padded.encode()).stdout.splitlines()
    assert lines[2].index("^") == lines[1].index("create") and len(lines[1]) < 300 and "…" in lines[1]


def test_file_names_that_are_no_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xffd.daml"))
    path.write_text(GIVEN_AWAY)
    for form in ([], ["--json"], ["--sarif"]):
        done = subprocess.run(
            [sys.executable, "-m", "canton_mcp.cli", "lint", *form, str(tmp_path)], capture_output=True
        )
        assert done.returncode == 1, done.stderr
        assert b"Traceback" not in done.stderr and done.stdout.decode()
    assert "b%FFd.daml" in done.stdout.decode()


def test_json_is_one_document() -> None:
    document = as_json("-", text=GIVEN_AWAY.encode())
    assert set(document) == {"tool", "summary", "files", "findings"}
    finding = next(entry for entry in document["findings"] if entry["rule"] == "transfer-without-consent")
    assert (finding["path"], finding["line"], finding["column"]) == (lint.STDIN, 13, 10)
    assert (finding["template"], finding["choice"], finding["severity"]) == ("Bond", "Transfer", "critical")
    assert finding["message"] and finding["fix"]
    assert document["summary"]["bySeverity"]["critical"] == 1
    assert document["summary"]["findings"] == len(document["findings"])


# What the SARIF 2.1.0 schema requires of the objects in use, and the properties that it knows of them.
SARIF: dict[str, tuple[set[str], set[str]]] = {
    "log": ({"version", "runs"}, {"$schema"}),
    "run": ({"tool"}, {"columnKind", "invocations", "results"}),
    "driver": ({"name"}, {"version", "rules"}),
    "rule": (
        {"id"},
        {"name", "shortDescription", "fullDescription", "help", "defaultConfiguration", "properties"},
    ),
    "invocation": ({"executionSuccessful"}, {"toolExecutionNotifications"}),
    "notification": ({"message"}, {"level", "locations"}),
    "result": (
        {"message"},
        {"ruleId", "ruleIndex", "level", "locations", "partialFingerprints", "properties"},
    ),
    "location": (set(), {"physicalLocation", "logicalLocations"}),
    "physical": ({"artifactLocation"}, {"region"}),
    "region": (set(), {"startLine", "startColumn", "snippet"}),
}


def fits(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    required, known = SARIF[kind]
    assert required <= set(value) <= required | known, kind
    return value


def sarif(*arguments: str, text: bytes = b"") -> dict[str, Any]:
    log = fits("log", json.loads(run("--sarif", *arguments, text=text).stdout))
    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-schema-2.1.0.json")
    (found,) = log["runs"]
    assert isinstance(found, dict)
    return fits("run", found)


def test_sarif_has_what_its_schema_asks_for(project: Path) -> None:
    (project / "daml" / "with space é.daml").write_text(GIVEN_AWAY + "\ntemplate\n  ) where\n")
    (project / "Wide.daml").write_bytes(SAFE.encode("utf-16"))
    log = sarif(str(project))
    rules = fits("driver", log["tool"]["driver"])["rules"]
    assert [rule["id"] for rule in rules] == sorted([*KINDS, lint.SYNTAX])
    for rule in rules:
        fits("rule", rule)
        assert rule["defaultConfiguration"]["level"] in ("note", "warning", "error")
        assert rule["shortDescription"]["text"]
    explained = {rule["id"]: rule for rule in rules if "help" in rule}
    assert set(explained) == {rule.id for rule in RULES if rule.id in KINDS}
    assert all(rule["help"]["text"] and "```daml" in rule["help"]["markdown"] for rule in explained.values())
    (invocation,) = log["invocations"]
    notes = fits("invocation", invocation)["toolExecutionNotifications"]
    assert any("no UTF-8 text" in fits("notification", note)["message"]["text"] for note in notes)
    assert len(log["results"]) >= 2
    for result in log["results"]:
        fits("result", result)
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("note", "warning", "error") and "Fix: " in result["message"]["text"]
        physical = fits("physical", fits("location", result["locations"][0])["physicalLocation"])
        region = fits("region", physical["region"])
        assert region["startLine"] >= 1 and region["startColumn"] >= 1 and region["snippet"]["text"]
        uri = physical["artifactLocation"]["uri"]
        assert uri.startswith("file:///") and uri.isascii() and " " not in uri
    prints = [result["partialFingerprints"]["findingHash/v1"] for result in log["results"]]
    by_path = [
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in log["results"]
    ]
    assert len(set(zip(prints, by_path, strict=True))) == len(prints)


def test_sarif_describes_the_applied_rules_only_and_keeps_prints_when_lines_move() -> None:
    here = sarif("--rule", "transfer-without-consent", "-", text=GIVEN_AWAY.encode())
    moved = sarif("--rule", "transfer-without-consent", "-", text=f"-- more\n\n{GIVEN_AWAY}".encode())
    assert [rule["id"] for rule in here["tool"]["driver"]["rules"]] == [
        lint.SYNTAX,
        "transfer-without-consent",
    ]
    (one,), (other,) = here["results"], moved["results"]
    assert one["partialFingerprints"] == other["partialFingerprints"]
    assert one["locations"][0]["physicalLocation"]["region"]["startLine"] == 13
    assert other["locations"][0]["physicalLocation"]["region"]["startLine"] == 15


def test_paths_stay_relative_where_they_are_given_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    uris = {
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for result in sarif(".")["results"]
    }
    assert uris == {"daml/deep/Bonds.daml"}


def test_processes_find_what_one_process_finds(tmp_path: Path) -> None:
    for number in range(12):
        for name, text in {"Bonds": GIVEN_AWAY, "Helpers": HELPERS, "Desk": USER, "Notes": SAFE}.items():
            folder = tmp_path / str(number)
            folder.mkdir(exist_ok=True)
            (folder / f"{name}.daml").write_text(text)
    sources = lint.collect([str(tmp_path)], lambda: b"")
    rules = lint.chosen((), ())
    told: list[tuple[str, int, int]] = []
    alone = lint.check(sources, rules, 1)
    shared = lint.check(sources, rules, 3, lambda *state: told.append(state))
    assert lint_report.as_json(alone) == lint_report.as_json(shared)
    assert told[-1] == ("checking", 48, 48) and sum(len(entry.findings) for entry in alone) >= 12


def test_a_fault_in_one_file_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [lint.Source("a.daml", SAFE), lint.Source("b.daml", GIVEN_AWAY)]
    modules = [lint.daml.read(GIVEN_AWAY), lint.daml.read(GIVEN_AWAY)]
    broken = lint.Project(sources, modules)
    monkeypatch.setattr(broken, "seen_by", lambda number: [][number])
    checked, _ = lint.checked_one(broken, 0, lint.chosen((), ()))
    assert checked.findings == () and "fault of this linter" in checked.notes[0].message


def test_progress_is_for_terminals_only(project: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "canton_mcp.cli", "lint", str(project)]
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs)
        os.close(theirs)
        try:
            seen = terminal.read(10_000)
        except OSError:  # the other side is closed and nothing was written
            seen = b""
    assert done.returncode == 1 and b"Traceback" not in seen
    piped = subprocess.run(command, capture_output=True)
    assert (piped.stderr, piped.stdout) == (b"", done.stdout)


def test_long_runs_show_their_state_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = cli._progress()
    quiet("reading", 1, 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(cli, "_QUIET_SEC", -1.0)
    monkeypatch.setattr(cli, "_STEP_SEC", 0.0)
    show = cli._progress()
    show("checking", 1, 2)
    assert capsys.readouterr().err == "\r\x1b[Kchecking 1 of 2 files"
    show("checking", 2, 2)
    assert capsys.readouterr().err == "\r\x1b[K"


def test_help_has_an_example() -> None:
    result = run("--help")
    assert result.exit_code == 0 and "canton-mcp lint daml/" in result.output
