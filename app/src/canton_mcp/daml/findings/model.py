"""What a finding is, and which there are: each rule with its usual severity and certainty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from canton_mcp.daml.record import record

__all__ = ["KINDS", "ORDER", "Certainty", "Finding", "Kind", "Severity"]

Severity = Literal["critical", "high", "medium", "low", "info"]
Certainty = Literal["definite", "conditional", "advice"]

ORDER: Mapping[Severity, int] = {"critical": 0, "high": 1, "medium": 2, "low": 3, "info": 4}


class Kind(NamedTuple):
    """How grave a finding is as a rule, and how sure it is."""

    severity: Severity
    certainty: Certainty


@record
class Finding:
    """One problem.

    `definite` findings are wrong whatever the data; `conditional` ones unless the condition in their message
    holds; `advice` marks what correct code may do on purpose. `paste` is code that puts it right, if there is any.
    """

    rule: str
    severity: Severity
    certainty: Certainty
    line: int
    column: int
    template: str | None
    choice: str | None
    message: str
    fix: str
    paste: str = ""


KINDS: Mapping[str, Kind] = {
    # what does not compile, or fails at every create
    "no-signatory": Kind("critical", "definite"),
    "no-controller": Kind("critical", "definite"),
    "not-a-party": Kind("critical", "definite"),
    "unknown-party": Kind("critical", "definite"),
    "key-without-maintainer": Kind("critical", "definite"),
    "maintainer-without-key": Kind("critical", "definite"),
    "maintainer-not-in-key": Kind("critical", "definite"),
    "maintainer-not-signatory": Kind("critical", "definite"),
    "duplicate-name": Kind("critical", "definite"),
    "parameter-repeats-field": Kind("medium", "advice"),
    "contract-id-in-key": Kind("medium", "advice"),
    "keys-of-another-version": Kind("medium", "advice"),
    # authority
    "transfer-without-consent": Kind("critical", "conditional"),
    "create-missing-authority": Kind("critical", "conditional"),
    "exercise-missing-authority": Kind("critical", "conditional"),
    "archive-missing-authority": Kind("critical", "conditional"),
    "lookup-missing-authority": Kind("high", "conditional"),
    "fetch-missing-authority": Kind("medium", "conditional"),
    "submission-missing-authority": Kind("high", "conditional"),
    "unreachable-template": Kind("medium", "advice"),
    # who may do what
    "controller-cannot-see": Kind("high", "advice"),
    "unguarded-parameter-controller": Kind("info", "advice"),
    "owner-only-observes": Kind("medium", "advice"),
    "proposal-without-reject": Kind("low", "advice"),
    "value-destroyed-by-other": Kind("high", "advice"),
    "operator-moves-assets": Kind("high", "advice"),
    "observers-from-argument": Kind("medium", "advice"),
    "divulged-to-observers": Kind("medium", "advice"),
    "possibly-no-signatory": Kind("medium", "advice"),
    # contracts in use
    "nonconsuming-double-use": Kind("high", "advice"),
    "self-after-consumption": Kind("high", "definite"),
    "contract-not-compared": Kind("high", "advice"),
    "contract-not-checked": Kind("medium", "advice"),
    "archive-before-try": Kind("high", "advice"),
    # values
    "amount-without-ensure": Kind("medium", "advice"),
    "division-unguarded": Kind("low", "advice"),
    "partial-function": Kind("low", "advice"),
    "constant-assertion": Kind("medium", "advice"),
    "commented-out-guard": Kind("medium", "advice"),
    "unbounded-growth": Kind("low", "advice"),
    "lock-without-deadline": Kind("low", "advice"),
    "deadline-wrong-way": Kind("medium", "advice"),
    # tests
    "tests-act-as-everybody": Kind("low", "advice"),
    "no-negative-test": Kind("low", "advice"),
}
"""By id. A finding may be graver or milder where its place says more."""
