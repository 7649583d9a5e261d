"""What the linter found, as text for people, as one JSON document, and as SARIF 2.1.0."""

from __future__ import annotations

import hashlib
import json
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from canton_mcp import __version__
from canton_mcp.daml.findings import KINDS, Finding, Severity
from canton_mcp.daml.findings.model import ORDER
from canton_mcp.lint import STDIN, SYNTAX, SYNTAX_KIND, Checked, Note

__all__ = ["as_json", "as_sarif", "as_text", "notices", "summary"]

_WIDTH = 110
_CONTEXT = 80
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: dict[Severity, str] = {
    "critical": "error",
    "high": "error",
    "medium": "warning",
    "low": "note",
    "info": "note",
}
_SCORES: dict[Severity, str] = {
    "critical": "9.5",
    "high": "8.0",
    "medium": "5.5",
    "low": "3.0",
    "info": "1.0",
}
"""Of a rule as code-scanning services sort them: 9 and more is critical, 7 high, 4 medium, all else low."""


# text ---------------------------------------------------------------------------------------------------


def as_text(checked: Iterable[Checked]) -> str:
    """Every finding with its place, the line of source and the way out; empty without findings."""
    return "\n".join(
        line
        for entry in checked
        if entry.findings
        for lines in [(entry.source.text or "").split("\n")]
        for finding in entry.findings
        for line in _told(entry.source.path, finding, lines)
    )


def _told(path: str, finding: Finding, lines: Sequence[str]) -> Iterator[str]:
    yield _plain(
        f"{path}:{finding.line}:{finding.column}: {finding.severity} {finding.rule}: {finding.message}"
    )
    yield from _excerpt(finding, lines)
    fix = textwrap.wrap(_plain(finding.fix), _WIDTH - 10, break_on_hyphens=False) or ["-"]
    yield f"     fix: {fix[0]}"
    yield from (f"          {line}" for line in fix[1:])
    yield from (f"        | {_plain(line)}" for line in finding.paste.splitlines())


def _excerpt(finding: Finding, lines: Sequence[str]) -> Iterator[str]:
    """The line of the finding and a mark under its column; a part of it when it is very long."""
    if not 0 < finding.line <= len(lines):
        return
    text = lines[finding.line - 1].rstrip("\r")
    start = max(0, finding.column - 1 - _CONTEXT)
    before, behind = text[start : finding.column - 1], text[finding.column - 1 : finding.column + _CONTEXT]
    shown = "…" * (start > 0) + _plain(before.expandtabs(8))
    more = "…" * (len(text) > finding.column + _CONTEXT)
    yield f"{finding.line:>7} | {shown}{_plain(behind.expandtabs(8))}{more}".rstrip()
    yield f"        | {' ' * _cells(shown)}^"


def _cells(text: str) -> int:
    """How wide a terminal shows it."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def _plain(text: str) -> str:
    """Without characters that a terminal would obey, or that it cannot show."""
    if text.isascii() and text.isprintable():
        return text
    return "".join("�" if unicodedata.category(letter) in ("Cc", "Cs", "Cf") else letter for letter in text)


def notices(checked: Iterable[Checked]) -> Iterator[str]:
    """What was not checked, and why, one line each; without what a finding says."""
    for entry in checked:
        for note in (note for note in entry.notes if not note.told):
            place = f":{note.line}:{note.column}" if note.line else ""
            yield _plain(f"{entry.source.path}{place}: not checked: {note.message}")


def summary(checked: Sequence[Checked]) -> str:
    """One line: what was read, what was found, and how much of the authority is proved."""
    read = [entry for entry in checked if entry.source.text is not None]
    severities = Counter(finding.severity for entry in checked for finding in entry.findings)
    found = sum(severities.values())
    by_severity = ", ".join(f"{severities[name]} {name}" for name in ORDER if severities[name])
    proved, failing, unknown = _verdicts(checked)
    notes = sum(len(entry.notes) for entry in checked)
    left = f"; {_count(notes, 'place')} not checked" if notes else ""
    return (
        f"{_count(len(read), 'file')}, {_count(sum(entry.templates for entry in read), 'template')}, "
        f"{_count(sum(entry.choices for entry in read), 'choice')}: "
        f"{_count(found, 'finding')}{f' ({by_severity})' if by_severity else ''}; "
        f"authority of {_count(proved + failing + unknown, 'action')}: {proved} proved, {failing} fail unless .., "
        f"{unknown} unknown{left}."
    )


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' if number != 1 else ''}"


def _verdicts(checked: Iterable[Checked]) -> tuple[int, int, int]:
    every = [entry.verdicts for entry in checked]
    return (
        sum(entry.proved for entry in every),
        sum(entry.fails_unless for entry in every),
        sum(entry.unknown for entry in every),
    )


# JSON ---------------------------------------------------------------------------------------------------


def as_json(checked: Sequence[Checked]) -> str:
    """One document: tool, summary, files, findings."""
    proved, failing, unknown = _verdicts(checked)
    severities = Counter(finding.severity for entry in checked for finding in entry.findings)
    document = {
        "tool": {"name": "canton-mcp lint", "version": __version__},
        "summary": {
            "files": sum(entry.source.text is not None for entry in checked),
            "unreadable": sum(entry.source.text is None for entry in checked),
            "templates": sum(entry.templates for entry in checked),
            "choices": sum(entry.choices for entry in checked),
            "findings": sum(severities.values()),
            "bySeverity": {name: severities[name] for name in ORDER},
            "actions": {"proved": proved, "failsUnless": failing, "unknown": unknown},
        },
        "files": [
            {
                "path": entry.source.path,
                "read": entry.source.text is not None,
                "notChecked": [
                    {"line": note.line or None, "column": note.column or None, "message": note.message}
                    for note in entry.notes
                ],
                "actions": {
                    "proved": entry.verdicts.proved,
                    "failsUnless": entry.verdicts.fails_unless,
                    "unknown": entry.verdicts.unknown,
                },
            }
            for entry in checked
        ],
        "findings": [
            {
                "path": entry.source.path,
                "line": finding.line,
                "column": finding.column,
                "rule": finding.rule,
                "severity": finding.severity,
                "certainty": finding.certainty,
                "template": finding.template,
                "choice": finding.choice,
                "message": finding.message,
                "fix": finding.fix,
                "code": finding.paste or None,
            }
            for entry in checked
            for finding in entry.findings
        ],
    }
    return json.dumps(document, indent=2)


# SARIF --------------------------------------------------------------------------------------------------


def as_sarif(checked: Sequence[Checked], rules: Iterable[str]) -> str:
    """One SARIF 2.1.0 log with one run; every rule that was applied is described in it."""
    described = [_rule(name) for name in sorted(rules)]
    index = {rule["id"]: number for number, rule in enumerate(described)}
    run = {
        "tool": {"driver": {"name": "canton-mcp lint", "version": __version__, "rules": described}},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [
                    _notification(entry.source.path, note)
                    for entry in checked
                    for note in entry.notes
                    if not note.told
                ],
            }
        ],
        "results": [result for entry in checked for result in _results(entry, index)],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _rule(name: str) -> dict[str, Any]:
    """What the catalogue says of a rule."""
    from canton_mcp.catalogue.rules import RULES

    if name == SYNTAX:
        return {
            "id": name,
            "name": "Syntax",
            "shortDescription": {"text": "What cannot be parsed"},
            "fullDescription": {
                "text": "The text is no DAML here, so that no rule could be applied to this place."
            },
            "defaultConfiguration": {"level": _LEVELS[SYNTAX_KIND.severity]},
            "properties": {
                "tags": ["daml"],
                "severity": SYNTAX_KIND.severity,
                "certainty": SYNTAX_KIND.certainty,
            },
        }
    kind = KINDS[name]
    rule = next((entry for entry in RULES if entry.id == name), None)
    described: dict[str, Any] = {
        "id": name,
        "name": "".join(word.capitalize() for word in name.split("-")),
        "shortDescription": {"text": name.replace("-", " ")},
        "defaultConfiguration": {"level": _LEVELS[kind.severity]},
        "properties": {
            "tags": ["security", "daml"],
            "severity": kind.severity,
            "certainty": kind.certainty,
            "precision": {"definite": "very-high", "conditional": "high", "advice": "medium"}[kind.certainty],
            "security-severity": _SCORES[kind.severity],
        },
    }
    if rule is None:
        return described
    return described | {
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.finds},
        "help": {
            "text": f"{rule.why}\n\nFix: {rule.fix}",
            "markdown": f"{rule.why}\n\nWrong:\n\n```daml\n{rule.wrong.rstrip()}\n```\n\n"
            f"Right:\n\n```daml\n{rule.right.rstrip()}\n```\n\n**Fix:** {rule.fix}",
        },
    }


def _results(entry: Checked, index: dict[str, int]) -> Iterator[dict[str, Any]]:
    lines = (entry.source.text or "").split("\n")
    seen: Counter[str] = Counter()
    for finding in entry.findings:
        line = lines[finding.line - 1].strip() if 0 < finding.line <= len(lines) else ""
        # The same finding keeps its print when lines are added above it.
        same = "\0".join((finding.rule, finding.template or "", finding.choice or "", line))
        seen[same] += 1
        location = _location(entry.source.path, finding.line, finding.column)
        if line:
            location["physicalLocation"]["region"]["snippet"] = {"text": lines[finding.line - 1].rstrip("\r")}
        owner = ".".join(part for part in (finding.template, finding.choice) if part)
        if owner:
            kind = "member" if finding.choice else "type"
            location["logicalLocations"] = [{"fullyQualifiedName": owner, "kind": kind}]
        paste = f"\n\n{finding.paste}" if finding.paste else ""
        yield {
            "ruleId": finding.rule,
            "ruleIndex": index[finding.rule],
            "level": _LEVELS[finding.severity],
            "message": {"text": f"{finding.message}\n\nFix: {finding.fix}{paste}"},
            "locations": [location],
            "partialFingerprints": {
                "findingHash/v1": hashlib.sha256(
                    f"{same}\0{seen[same]}".encode("utf-8", "replace")
                ).hexdigest()
            },
            "properties": {"severity": finding.severity, "certainty": finding.certainty},
        }


def _notification(path: str, note: Note) -> dict[str, Any]:
    return {
        "level": "warning",
        "message": {"text": f"not checked: {note.message}"},
        "locations": [_location(path, note.line, note.column)],
    }


def _location(path: str, line: int, column: int) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(path)}}
    if line > 0:
        physical["region"] = {"startLine": line, "startColumn": max(column, 1)}
    return {"physicalLocation": physical}


def _uri(path: str) -> str:
    """A path as a URI: relative to where the linter was started, unless it is absolute."""
    if path == STDIN:
        return "stdin"
    pure = PurePath(path)
    text = quote(pure.as_posix().encode("utf-8", "surrogateescape"), safe="/~")
    return f"file://{text}" if pure.is_absolute() else text
