"""Whole modules: each with one flaw that has to be found at its line, mended ones, and sound ones.

`flawed/RULE-N.daml` has the comment ``-- flaw`` on the line of its flaw; `flawed/RULE-N.mended` is the same module
without it. `sound/` holds modules that nothing is wrong with.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from canton_mcp import daml
from canton_mcp.catalogue import RULES

HERE = Path(__file__).parent
MARK = " -- flaw"
FLAWED = sorted((HERE / "flawed").glob("*.daml"))
MENDED = sorted((HERE / "flawed").glob("*.mended"))
SOUND = sorted((HERE / "sound").glob("*.daml"))


def rule_of(path: Path) -> str:
    return path.stem.rpartition("-")[0]


def findings(text: str) -> tuple[daml.Finding, ...]:
    code = daml.judged(text)
    assert code.module.problems == ()
    return code.findings


@pytest.mark.parametrize("path", FLAWED, ids=lambda path: str(path.stem))
def test_a_flaw_is_found_where_it_is(path: Path) -> None:
    marked = path.read_text("utf-8")
    text = marked.replace(MARK, "")
    line = marked[: marked.index(MARK)].count("\n") + 1
    found = [finding for finding in findings(text) if finding.rule == rule_of(path)]
    assert [finding.line for finding in found] == [line]
    source = text.split("\n")[line - 1]
    # The column is that of a word, not the margin and not the inside of one.
    start = found[0].column - 1
    assert source[start : start + 1].strip() and not re.match(r"\w\w", source[max(0, start - 1) : start + 1])


@pytest.mark.parametrize("path", FLAWED, ids=lambda path: str(path.stem))
def test_a_flaw_is_not_drowned(path: Path) -> None:
    found = findings(path.read_text("utf-8").replace(MARK, ""))
    assert len(found) <= 4
    definite = {finding.rule for finding in found if finding.certainty == "definite"}
    assert definite <= {rule_of(path)}


@pytest.mark.parametrize("path", MENDED, ids=lambda path: str(path.stem))
def test_what_is_mended_is_not_found_again(path: Path) -> None:
    assert rule_of(path) not in {finding.rule for finding in findings(path.read_text("utf-8"))}


@pytest.mark.parametrize("path", SOUND, ids=lambda path: str(path.stem))
def test_sound_code_has_no_grave_finding(path: Path) -> None:
    found = findings(path.read_text("utf-8"))
    assert [finding for finding in found if finding.severity in ("critical", "high")] == []
    assert [finding for finding in found if finding.certainty == "definite"] == []
    assert len(found) <= 3


# code to paste -----------------------------------------------------------------------------------


def pasted(text: str, finding: daml.Finding) -> str | None:
    """The text with the code of a finding put where its fix says; None when that takes a decision."""
    lines = text.split("\n")
    at = finding.line - 1
    paste = finding.paste
    first = paste.partition("\n")[0]
    if finding.rule == "commented-out-guard":
        lines[at] = margin(lines[at]) + paste
    elif first.startswith("choice ") and "\n" in paste:
        _, end = extent(lines, finding)
        lines[end:end] = ["", *(f"    {line}".rstrip() for line in paste.splitlines()), ""]
    elif "\n" in paste and finding.rule != "contract-not-checked":
        return None
    elif first.startswith(("ensure ", "observer ", "maintainer ")):
        after(lines, finding, "key" if first.startswith("maintainer") else "signatory", paste)
    elif first.startswith("&& "):
        start, end = extent(lines, finding)
        ensure = next(n for n in range(start, end) if lines[n].strip().startswith("ensure"))
        lines[ensure] += f" {paste}"
    elif first.startswith("signatory "):
        after(lines, finding, "signatory" if "signatory" in text else "where", paste)
    elif first.startswith("controller "):
        start, end = extent(lines, finding)
        choice = next(n for n in range(start, end) if re.search(rf"\bchoice {finding.choice}\b", lines[n]))
        body = next(n for n in range(choice, end) if re.match(r"\s*do\b", lines[n]))
        said = next((n for n in range(choice, body) if lines[n].strip().startswith("controller")), None)
        if said is None:
            lines.insert(body, f"      {paste}")
        else:
            lines[said] = margin(lines[said]) + paste
    elif choice_head := re.fullmatch(r"(?:\w+ )?choice (\w+)", paste):
        head = rf"(?:\w+consuming )?choice {choice_head[1]}\b"
        return re.sub(head, paste, text, count=1)
    elif first.startswith(("assertMsg", "given ")):
        guard(lines, at, paste)
    elif paste == "until : Time":
        start, end = extent(lines, finding)
        lines.insert(next(n for n in range(start, end) if lines[n].strip() == "where"), f"    {paste}")
    elif finding.rule == "deadline-wrong-way":
        lines[at] = re.sub(
            r"[\w'.]+ *(?:<=|>=|<|>) *[\w'.]+|assert\w*Deadline\w* .*", paste, lines[at], count=1
        )
    else:
        return None
    return "\n".join(lines)


def margin(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def extent(lines: list[str], finding: daml.Finding) -> tuple[int, int]:
    """The lines of the finding's template, from its head on."""
    head = re.compile(rf"template {finding.template}\b")
    start = next(n for n, line in enumerate(lines) if head.match(line))
    end = next((n for n in range(start + 1, len(lines)) if re.match(r"\S", lines[n])), len(lines))
    return start, end


def after(lines: list[str], finding: daml.Finding, word: str, paste: str) -> None:
    """Puts it behind the last line of the template that starts with the word."""
    start, end = extent(lines, finding)
    lines.insert(max(n for n in range(start, end) if lines[n].strip().startswith(word)) + 1, f"    {paste}")


def guard(lines: list[str], at: int, paste: str) -> None:
    """Puts statements before the one at a line, behind it when they speak of what it binds, or first in the body."""
    binds = re.match(r"\s*(\w+) <- fetch", lines[at])
    if not re.search(r"<-|\b(?:pure|return|create|exercise|let)\b", lines[at]):
        at = next(n for n in range(at, len(lines)) if re.match(r"\s*do\b", lines[n]))
        if lines[at].strip() == "do":
            at += 1
    one_line = re.match(r"(\s*)do (\S.*)", lines[at])
    if one_line:
        lines[at : at + 1] = [f"{one_line[1]}do", f"{one_line[1]}  {paste}", f"{one_line[1]}  {one_line[2]}"]
        return
    if binds and f"{binds[1]}." in paste:
        at += 1
        lines.insert(at, margin(lines[at - 1]) + paste)
        return
    lines[at:at] = [margin(lines[at]) + line for line in paste.splitlines()]


EXAMPLES = [
    *((rule.id, rule.id, rule.wrong) for rule in RULES if rule.id in daml.KINDS),
    *((path.stem, rule_of(path), path.read_text("utf-8").replace(MARK, "")) for path in FLAWED),
]


@pytest.mark.parametrize(("rule", "text"), [one[1:] for one in EXAMPLES], ids=[one[0] for one in EXAMPLES])
def test_pasted_code_mends(rule: str, text: str) -> None:
    found = daml.judged(text).findings
    finding = next(one for one in found if one.rule == rule)
    mended = pasted(text, finding) if finding.paste else None
    if mended is None:
        assert rule in DECISIONS
        return
    before = {one.rule for one in found}
    later = findings(mended)
    assert finding.message not in {one.message for one in later}
    assert {one.rule for one in later if one.certainty != "advice"} <= before


DECISIONS = frozenset(
    {
        "archive-before-try",
        "constant-assertion",
        "create-missing-authority",
        "contract-id-in-key",
        "duplicate-name",
        "fetch-missing-authority",
        "keys-of-another-version",
        "maintainer-not-in-key",
        "maintainer-without-key",
        "no-negative-test",
        "nonconsuming-double-use",
        "not-a-party",
        "parameter-repeats-field",
        "partial-function",
        "self-after-consumption",
        "submission-missing-authority",
        "tests-act-as-everybody",
        "transfer-without-consent",
        "unknown-party",
        "unreachable-template",
    }
)
"""Rules whose remedy, in one case at least, is no line to paste at a certain place."""
