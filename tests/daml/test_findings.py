"""Findings: every rule on code that breaks it and on code that does not, beyond the catalogue's examples."""

from __future__ import annotations

import pytest
from canton_mcp import daml
from canton_mcp.catalogue import RULES, Rule
from canton_mcp.tools.base import MAX_CODE_CHARS, SILENT
from canton_mcp.tools.validate_daml import ValidateParams, ValidateResult, render, run

EXPLAINED = [rule for rule in RULES if rule.id in daml.KINDS]


def template(members: str, fields: str = "a, b : Party", name: str = "T") -> str:
    """A template; members are indented by four, fields separated by ';'."""
    given = "".join(f"    {field.strip()}\n" for field in fields.split(";"))
    return f"template {name}\n  with\n{given}  where\n{members}\n"


def module(*templates: str) -> str:
    return "module M where\n\n" + "\n".join(templates)


def choice(
    body: str, controller: str = "b", given: str = "", head: str = "choice", name: str = "Go", to: str = "()"
) -> str:
    arguments = f"      with {given}\n" if given else ""
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    return f"    {head} {name} : {to}\n{arguments}      controller {controller}\n      do\n{lines}"


SIGNED = "    signatory a\n    observer b\n"


def findings(text: str) -> list[daml.Finding]:
    return list(daml.judged(text).findings)


def rules(text: str) -> set[str]:
    return {finding.rule for finding in findings(text)}


def validate(code: str, intent: str = "Keeps a record.") -> ValidateResult:
    return run(ValidateParams(business_intent=intent, daml_code=code), SILENT)


VALUE = "issuer : Party; owner : Party; amount : Decimal"
BOTH = "    signatory issuer, owner\n    ensure amount > 0.0\n"

# rule, code that breaks it, code that does not
CASES: list[tuple[str, str, str]] = [
    (
        "transfer-without-consent",
        module(template(SIGNED + choice("create T with a = c; b", "a", "c : Party"))),
        module(template(SIGNED + choice("create T with a = c; b", "a, c", "c : Party"))),
    ),
    (
        "create-missing-authority",
        module(
            template(SIGNED + choice("create U with p = b", "a")),
            template("    signatory p\n", "p : Party", "U"),
        ),
        module(
            template(SIGNED + choice("create U with p = b", "b")),
            template("    signatory p\n", "p : Party", "U"),
        ),
    ),
    (
        "create-missing-authority",
        module(
            template(SIGNED + choice("make b", "a")),
            template("    signatory p\n", "p : Party", "U"),
            "make : Party -> Update (ContractId U)\nmake p = create U with p\n",
        ),
        module(
            template(SIGNED + choice("make a", "a")),
            template("    signatory p\n", "p : Party", "U"),
            "make : Party -> Update (ContractId U)\nmake p = create U with p\n",
        ),
    ),
    (
        "exercise-missing-authority",
        module(
            template(
                SIGNED
                + choice("pure ()", "b", name="Inner", head="nonconsuming choice")
                + choice("exercise self Inner", "a", head="nonconsuming choice")
            )
        ),
        module(
            template(
                SIGNED
                + choice("pure ()", "b", name="Inner", head="nonconsuming choice")
                + choice("exercise self Inner", "b", head="nonconsuming choice")
            )
        ),
    ),
    (
        "archive-missing-authority",
        module(
            template(SIGNED + choice("archive cid", "b", "cid : ContractId U")),
            template("    signatory p, q\n", "p, q : Party", "U"),
        ),
        module(
            template(
                SIGNED
                + choice(
                    "u <- fetch cid\nassert (u.p == a && u.q == b)\narchive cid", "b", "cid : ContractId U"
                )
            ),
            template("    signatory p, q\n", "p, q : Party", "U"),
        ),
    ),
    (
        "lookup-missing-authority",
        module(
            template(SIGNED + choice("_ <- lookupByKey @K b\npure ()", "a")),
            template("    signatory p\n    key p : Party\n    maintainer key\n", "p : Party", "K"),
        ),
        module(
            template(SIGNED + choice("_ <- lookupByKey @K b\npure ()", "b")),
            template("    signatory p\n    key p : Party\n    maintainer key\n", "p : Party", "K"),
        ),
    ),
    (
        "fetch-missing-authority",
        module(
            template(SIGNED + choice("u <- fetch cid\npure ()", "b", "cid : ContractId U")),
            template("    signatory p\n", "p : Party", "U"),
        ),
        module(
            template(
                SIGNED + choice("u <- fetch cid\nassert (u.p == a)\npure ()", "b", "cid : ContractId U")
            ),
            template("    signatory p\n", "p : Party", "U"),
        ),
    ),
    (
        "maintainer-not-signatory",
        module(template("    signatory a\n    key (a, b) : (Party, Party)\n    maintainer key._2\n")),
        module(template("    signatory a, b\n    key (a, b) : (Party, Party)\n    maintainer key._2\n")),
    ),
    (
        "maintainer-not-in-key",
        module(template("    signatory a\n    key (a, b) : (Party, Party)\n    maintainer a\n")),
        module(template("    signatory a\n    key a : Party\n    maintainer key\n")),
    ),
    (
        "contract-id-in-key",
        module(
            template(
                "    signatory a\n    key (a, c) : (Party, ContractId T)\n    maintainer key._1\n",
                "a : Party; c : ContractId T",
            )
        ),
        module(
            template(
                "    signatory a\n    key (a, c) : (Party, Text)\n    maintainer key._1\n",
                "a : Party; c : Text",
            )
        ),
    ),
    (
        "controller-cannot-see",
        module(template("    signatory a\n" + choice("pure ()"))),
        module(template("    signatory a\n    controller b can\n      Go : ()\n        do pure ()\n")),
    ),
    (
        "controller-cannot-see",
        module(template("    signatory a\n" + choice("pure ()", "c"), "a, b, c : Party")),
        module(template("    signatory a\n" + choice("pure ()", "a, c"), "a, b, c : Party")),
    ),
    (
        "unguarded-parameter-controller",
        module(template(SIGNED + choice("create this with b = a", "who", "who : Party"))),
        module(template(SIGNED + choice("assert (who == b)\ncreate this with b = a", "who", "who : Party"))),
    ),
    (
        "unguarded-parameter-controller",
        module(template(SIGNED + choice("create this with b = a", "who", "who : Party"))),
        module(
            template(
                SIGNED + choice("create U with p = who; a", "who", "who : Party", "nonconsuming choice")
            ),
            template("    signatory a, p\n", "a, p : Party", "U"),
        ),
    ),
    (
        "owner-only-observes",
        module(template("    signatory issuer\n    observer owner\n    ensure amount > 0.0\n", VALUE)),
        module(template(BOTH, VALUE)),
    ),
    (
        "proposal-without-reject",
        module(template(SIGNED + choice("pure ()", name="T_Accept"))),
        module(
            template(SIGNED + choice("pure ()", name="T_Accept") + choice("pure ()", "a", name="T_Withdraw"))
        ),
    ),
    (
        "value-destroyed-by-other",
        module(template(BOTH + choice("pure ()", "issuer", name="Settle"), VALUE)),
        module(template(BOTH + choice("pure ()", "issuer, owner", name="Settle"), VALUE)),
    ),
    (
        "operator-moves-assets",
        module(
            template(
                "    signatory bank\n    ensure amount > 0.0\n"
                + choice("create this with owner = to", "bank", "to : Party"),
                "bank, owner : Party; amount : Decimal",
            )
        ),
        module(
            template(
                "    signatory bank, owner\n    ensure amount > 0.0\n"
                + choice("create this with owner = to", "owner, to", "to : Party"),
                "bank, owner : Party; amount : Decimal",
            )
        ),
    ),
    (
        "observers-from-argument",
        module(
            template(
                "    signatory a, b\n    observer xs\n"
                + choice("create this with xs = x :: xs", "a", "x : Party"),
                "a, b : Party; xs : [Party]",
            )
        ),
        module(
            template(
                "    signatory a, b\n    observer xs\n"
                + choice("create this with xs = x :: xs", "a, b", "x : Party"),
                "a, b : Party; xs : [Party]",
            )
        ),
    ),
    (
        "possibly-no-signatory",
        module(template("    signatory xs\n", "xs : [Party]")),
        module(template("    signatory xs\n    ensure not (null xs)\n", "xs : [Party]")),
    ),
    (
        "nonconsuming-double-use",
        module(template(SIGNED + choice("create this with b = a", head="nonconsuming choice"))),
        module(
            template(SIGNED + choice("archive self\ncreate this with b = a", "a", head="nonconsuming choice"))
        ),
    ),
    (
        "self-after-consumption",
        module(template(SIGNED + choice("x <- fetch self\npure ()"))),
        module(template(SIGNED + choice("x <- fetch self\npure ()", head="postconsuming choice"))),
    ),
    (
        "contract-not-compared",
        module(
            template(SIGNED + choice("u <- fetch cid\ncreate V with a; n = u.n", "b", "cid : ContractId U")),
            template("    signatory p\n", "p : Party; n : Int", "U"),
            template("    signatory a\n", "a : Party; n : Int", "V"),
        ),
        module(
            template(
                SIGNED
                + choice(
                    "u <- fetch cid\nassert (u.p == a)\ncreate V with a; n = u.n", "b", "cid : ContractId U"
                )
            ),
            template("    signatory p\n", "p : Party; n : Int", "U"),
            template("    signatory a\n", "a : Party; n : Int", "V"),
        ),
    ),
    (
        "amount-without-ensure",
        module(template("    signatory a\n    ensure a /= b\n", "a, b : Party; quantity : Int")),
        module(template("    signatory a\n    ensure this.quantity > 0\n", "a, b : Party; quantity : Int")),
    ),
    (
        "division-unguarded",
        module(template(SIGNED + choice("pure (1 `div` n)", given="n : Int", to="Int"))),
        module(template(SIGNED + choice("assert (n > 0)\npure (1 `div` n)", given="n : Int", to="Int"))),
    ),
    (
        "partial-function",
        module(template(SIGNED + choice("[x, y] <- mapA pure xs\npure ()", given="xs : [Int]"))),
        module(
            template(
                SIGNED
                + choice("case xs of\n  [] -> pure 0\n  _ -> pure (head xs)", given="xs : [Int]", to="Int")
            )
        ),
    ),
    (
        "constant-assertion",
        module(template(SIGNED + choice("assert (a == a)"))),
        module(template(SIGNED + choice("assert (a == b)"))),
    ),
    (
        "commented-out-guard",
        module(template(SIGNED + choice('-- assertMsg "x" (a == b)\npure ()'))),
        module(template(SIGNED + choice("-- assert that this must hold before\npure ()"))),
    ),
    (
        "unbounded-growth",
        module(
            template(
                "    signatory a\n" + choice("create this with xs = xs <> [n]", "a", "n : Int"),
                "a : Party; xs : [Int]",
            )
        ),
        module(
            template(
                "    signatory a\n"
                + choice("assert (length xs < 9)\ncreate this with xs = xs <> [n]", "a", "n : Int"),
                "a : Party; xs : [Int]",
            )
        ),
    ),
    (
        "deadline-wrong-way",
        module(
            template(
                "    signatory a\n    observer b\n"
                + choice("now <- getTime\nassert (now > expiry)", name="Accept"),
                "a, b : Party; expiry : Time",
            )
        ),
        module(
            template(
                "    signatory a\n    observer b\n"
                + choice("now <- getTime\nassert (now <= expiry)", name="Accept"),
                "a, b : Party; expiry : Time",
            )
        ),
    ),
    (
        "keys-of-another-version",
        "module M where\nimport DA.Fail\n\n"
        + template("    signatory a\n    key a : Party\n    maintainer key\n"),
        module(template("    signatory a\n    key a : Party\n    maintainer key\n")),
    ),
    (
        "parameter-repeats-field",
        module(template(SIGNED + choice("pure ()", given="a : Int"))),
        module(template(SIGNED + choice("pure ()", given="c : Int"))),
    ),
]


@pytest.mark.parametrize(("rule", "wrong", "right"), CASES, ids=[case[0] for case in CASES])
def test_rule(rule: str, wrong: str, right: str) -> None:
    assert daml.read(wrong).problems == daml.read(right).problems == ()
    assert rule in rules(wrong)
    assert rule not in rules(right)


@pytest.mark.parametrize("rule", EXPLAINED, ids=lambda rule: str(rule.id))
def test_a_finding_says_where_why_and_what_to_do(rule: Rule) -> None:
    found = [finding for finding in findings(rule.wrong) if finding.rule == rule.id]
    assert found
    lines = rule.wrong.split("\n")
    for finding in found:
        assert 1 <= finding.line <= len(lines)
        assert 1 <= finding.column <= len(lines[finding.line - 1]) + 1
        assert finding.message and finding.fix and not finding.fix.endswith(".")


@pytest.mark.parametrize("rule", EXPLAINED, ids=lambda rule: str(rule.id))
def test_right_code_has_nothing_wrong_for_sure(rule: Rule) -> None:
    assert [finding for finding in findings(rule.right) if finding.certainty != "advice"] == []


# how grave and how sure -------------------------------------------------------------------------


def test_what_hangs_on_other_contracts_is_milder_and_names_its_condition() -> None:
    text = module(
        template(SIGNED + choice("exercise cid Take", "b", "cid : ContractId U")),
        template("    signatory p\n" + choice("pure ()", "p", name="Take"), "p : Party", "U"),
    )
    (finding,) = [one for one in findings(text) if one.rule == "exercise-missing-authority"]
    assert (finding.severity, finding.certainty) == ("medium", "conditional")
    assert "fails unless p of cid is among a and b" in finding.message
    answer = validate(text)
    assert answer.verdict == "unknown"
    assert "fails unless p of cid is among a and b" in answer.summary


def test_an_unguarded_actor_is_grave_when_the_value_of_another_is_at_stake() -> None:
    taken = choice("create this with owner = issuer", "who", "who : Party")
    (finding,) = [
        one
        for one in findings(module(template(BOTH + taken, VALUE)))
        if one.rule == "unguarded-parameter-controller"
    ]
    assert (finding.severity, finding.certainty) == ("critical", "conditional")
    assert "owner" in finding.message
    assert finding.paste == 'assertMsg "who may act" (who `elem` [owner])'


def test_a_mentioned_disclosure_makes_an_unseen_controller_milder() -> None:
    text = module(template("    signatory a\n" + choice("pure ()")))
    assert [one.severity for one in findings(text)] == ["high"]
    assert [one.severity for one in findings("-- used by disclosure\n" + text)] == ["medium"]


def test_a_transfer_comes_with_the_offer_to_paste() -> None:
    text = module(
        template(
            BOTH + choice("create this with owner = to", "owner", "to : Party", to="ContractId Iou"),
            VALUE,
            "Iou",
        )
    )
    (finding,) = [one for one in findings(text) if one.rule == "transfer-without-consent"]
    offer = text.replace("create this with owner = to", "create IouTransferOffer with iou = this; to")
    offer = offer.replace("ContractId Iou\n", "ContractId IouTransferOffer\n")
    better = offer + "\n" + finding.paste
    assert daml.read(better).problems == ()
    assert rules(better) == set()
    assert all(action.verdict.status == "proved" for action in daml.judged(better).analysis.actions())


def _offered(body: str, controller: str = "owner", given: str = "to : Party", signed: str = "issuer") -> str:
    text = module(
        "import DA.Time\n",
        template(
            f"    signatory {signed}\n    observer owner\n    ensure amount > 0.0\n"
            + choice(body, controller, given, to="ContractId Iou"),
            f"{VALUE}; since : Time",
            "Iou",
        ),
    )
    (finding,) = [one for one in findings(text) if one.rule == "transfer-without-consent"]
    alone = text.replace(choice(body, controller, given, to="ContractId Iou"), "")
    pasted = alone + "\n" + finding.paste
    assert alone != text and daml.read(pasted).problems == ()
    actions = daml.judged(pasted).analysis.actions()
    assert actions and {action.verdict.status for action in actions} == {"proved"}
    assert "controller-cannot-see" not in rules(pasted)
    return finding.paste


@pytest.mark.parametrize(
    ("body", "given", "filled", "created"),
    [
        (
            "create Iou with issuer = to, owner = to, amount, since",
            "to : Party",
            "to",
            "iou with issuer = to; owner = to",
        ),
        ("create this with issuer = to; owner = to", "to : Party", "to", "iou with issuer = to; owner = to"),
        (
            "create this with\n  issuer = to\n  owner = to",
            "to : Party",
            "to",
            "iou with issuer = to; owner = to",
        ),
        ("create Iou with issuer = to, ..", "to : Party", "to", "iou with issuer = to"),
        (
            "create $ Iou to owner (amount / 2.0) since",
            "to : Party",
            "to",
            "iou with issuer = to; amount = iou.amount / 2.0",
        ),
        (
            "create this with issuer = to; owner = this.issuer; amount = amount - fee",
            "to : Party; fee : Decimal",
            "to; fee",
            "iou with issuer = to; owner = iou.issuer; amount = iou.amount - fee",
        ),
        (
            "now <- getTime\nlet made = this with issuer = to; since = now\ncreate made",
            "to : Party",
            "to; since = now",
            "iou with issuer = to; since",
        ),
    ],
)
def test_accept_creates_what_the_choice_created(body: str, given: str, filled: str, created: str) -> None:
    paste = _offered(body, given=given)
    assert paste.startswith(f"-- in Go: do create IouTransferOffer with iou = this; {filled}\n")
    assert f"      do create {created}\n" in paste


def test_a_record_that_is_not_seen_is_left_to_the_reader() -> None:
    text = module(
        template(
            BOTH + choice("create (changed this to)", "owner", "to : Party", to="ContractId Iou"),
            VALUE,
            "Iou",
        )
        + "\n\nchanged : Iou -> Party -> Iou\nchanged iou to = iou with owner = to; issuer = to\n"
    )
    (finding,) = [one for one in findings(text) if one.rule == "transfer-without-consent"]
    assert "do create iou with …\n" in finding.paste


@pytest.mark.parametrize(
    ("controller", "signed", "withdraws"),
    [
        ("owner", "issuer", "issuer"),
        ("owner", "issuer, owner", "owner"),
        ("issuer", "issuer, owner", "issuer"),
    ],
)
def test_who_withdraws_signs_the_offer(controller: str, signed: str, withdraws: str) -> None:
    paste = _offered("create this with issuer = to; owner = to", controller, signed=signed)
    assert f"      controller iou.{withdraws}\n" in paste


def test_an_offer_of_a_nonconsuming_choice_gives_nothing_back() -> None:
    text = module(
        template(
            BOTH + choice("create this with owner = to", "owner", "to : Party", "nonconsuming choice"),
            VALUE,
            "Iou",
        )
    )
    (finding,) = [one for one in findings(text) if one.rule == "transfer-without-consent"]
    assert finding.paste.count("do create iou with owner = to\n") == 1
    assert finding.paste.count("do pure ()\n") == 2 and "do create iou\n" not in finding.paste


INNER = template("    signatory issuer\n", "issuer, owner : Party; amount : Decimal", "B")


@pytest.mark.parametrize(
    ("members", "seen"),
    [
        ("    signatory bond.issuer\n    observer n\n", False),
        ("    signatory bond.issuer\n    observer n, bond.owner\n", True),
        ("    signatory bond.issuer\n    observer n\n    ensure bond.owner == n\n", True),
        ("    signatory bond.issuer\n    observer n\n    ensure valid this\n", True),
        ("    signatory bond.issuer\n    observer n\n    ensure valid bond\n", True),
        ("    signatory bond.issuer\n    observer n\n    ensure bond.amount > 0.0\n", False),
        ("    signatory signatory bond\n    observer observer bond\n", False),
        ("    signatory bond.issuer\n    observer n, stakeholders bond\n", True),
    ],
)
def test_a_controller_in_a_record_has_to_see_the_contract(members: str, seen: bool) -> None:
    text = module(INNER, template(members + choice("pure ()", "bond.owner"), "bond : B; n : Party", "O"))
    found = [one for one in findings(text) if one.rule == "controller-cannot-see"]
    assert [one.paste for one in found] == ([] if seen else ["observer bond.owner"])


def test_a_part_that_was_not_read_may_hold_the_observer() -> None:
    text = module(template("    signatory a\n    obsrver b\n" + choice("pure ()")))
    assert daml.read(text).problems and "controller-cannot-see" not in rules(text)


def test_a_helper_of_another_module_is_told_at_its_call() -> None:
    lib = daml.read(
        "module Lib where\n\n"
        + template("    signatory p\n", "p : Party", "U")
        + "\n\nmake : Party -> Update (ContractId U)\nmake p = create U with p\n"
    )
    own = daml.read("module M where\n\nimport Lib\n\n" + template(SIGNED + choice("make b", "a")))
    found = daml.findings(own, daml.analyse(own, [lib]))
    (finding,) = [one for one in found if one.rule == "create-missing-authority"]
    assert own.text.split("\n")[finding.line - 1].strip() == "make b"


def test_tests_are_looked_at() -> None:
    script = (
        "import Daml.Script\n\n"
        + template(BOTH + choice("pure ()", "owner", name="Cash"), VALUE)
        + "\nplay = script do\n  x <- allocateParty \"x\"\n  y <- allocateParty \"y\"\n"
        "  c <- submitMulti [x, y] [] do createCmd T with issuer = x; owner = y; amount = 1.0\n"
        "  submitMulti [x, y] [] do exerciseCmd c Cash\n"
    )  # fmt: skip
    assert {"tests-act-as-everybody", "no-negative-test"} <= rules(script)
    assert rules(script + "  submitMustFail x do exerciseCmd c Cash\n").isdisjoint(
        {"tests-act-as-everybody", "no-negative-test"}
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (module(template("    signatory a\n    agreement \"x\"\n")), "1.x or 2.x"),
        (module(template("    signatory a\n    controller b can\n      Go : ()\n        do pure ()\n")), "1.x or early 2.x"),
        (module(template("    signatory a\n    key a : Party\n    maintainer key\n")), "2.x, or 3.5 and later"),
        ("module M where\nimport DA.Fail\n\n" + template("    signatory a\n"), "3.3 or later"),
        (module(template(SIGNED + choice("_ <- lookupNByKey @T 2 a\npure ()"))), "3.5 or later"),
    ],
)  # fmt: skip
def test_the_era_of_code_is_told(text: str, name: str) -> None:
    found = daml.era(daml.read(text))
    assert found is not None and found.name == name
    assert (validate(text).era or "").startswith(name)


def test_code_of_any_era_has_none() -> None:
    text = module("-- lookupNByKey, scenario\n", template("    signatory a\n"))
    assert daml.era(daml.read(text)) is None


# the tool ---------------------------------------------------------------------------------------


def test_an_answer_has_a_verdict_for_each_action() -> None:
    text = module(
        template(SIGNED + choice("create this with b = a\ncreate Other with a\nexercise cid Take", "b", "cid : ContractId U")),
        template("    signatory p\n" + choice("pure ()", "p", name="Take"), "p : Party", "U"),
    )  # fmt: skip
    answer = validate(text)
    actions = answer.templates[0].choices[0].actions
    assert [(one.action, one.status) for one in actions] == [
        ("create", "proved"),
        ("create", "unknown"),
        ("exercise", "fails_unless"),
    ]
    assert actions[2].condition == "p of cid is among a and b" and not actions[2].certain
    told = render(answer)
    assert "1 of 3 ledger actions proved" in told and "Other is not in this text" in told


def test_what_is_outside_of_templates_is_listed() -> None:
    text = module(
        template("    signatory a\n", "a : Party"),
        "make : Party -> Update (ContractId T)\nmake p = create T with a = p\n",
    )
    (part,) = validate(text).parts
    assert (part.kind, part.name, [action.action for action in part.actions]) == (
        "helper",
        "make",
        ["create"],
    )


def test_a_choice_out_of_a_controller_group_is_not_called_wrong() -> None:
    answer = validate("      nonconsuming Peek : Int\n        with n : Int\n        do return n\n")
    assert answer.verdict == "unknown"
    assert any("who controls Peek stands outside" in limit for limit in answer.limits)
    assert validate("choice Peek : Int\n  do return 1\n").findings[0].rule == "no-controller"


def test_the_same_code_is_judged_once() -> None:
    text = module(template("    signatory a\n"))
    assert daml.judged(text) is daml.judged(text)
    large = text + "-- " + "x" * 150_000
    assert daml.judged(large) is not daml.judged(large)


@pytest.mark.parametrize(
    "text",
    [
        "module M where\n"
        + template(SIGNED + "".join(choice("pure ()", name=f"Accept{n}") for n in range(5000))),
        "module M where\n" + "".join(template("    signatory a, b\n", name=f"T{n}") for n in range(7000)),
        "module M where\n" + template(SIGNED + choice("-- assert (a == b)\n" * 20000 + "pure ()")),
        "}{ ( do ) where = ,, " * 24000,
        "template T\n  with\n    a : Party\n  where\n    signatory " + "(" * 200_000,
    ],
    ids=["choices", "templates", "comments", "garbage", "nesting"],
)
def test_hostile_input_gets_an_answer(text: str) -> None:
    answer = validate(text[:MAX_CODE_CHARS], "Only a can go.")
    assert len(answer.findings) <= 200 and len(render(answer)) < 50_000
    assert answer.verdict != "valid"


def test_a_grave_advice_is_not_called_valid() -> None:
    unseen = module(template("    signatory a\n" + choice("pure ()")))
    answer = validate(unseen)
    assert (answer.verdict, answer.valid) == ("unknown", False)
    assert "b controls Go" in answer.summary and "may be meant" in answer.summary
    mild = module(template("    signatory a\n", "a : Party; amount : Decimal"))
    assert validate(mild).verdict == "valid"


def test_an_answer_says_a_thing_once() -> None:
    text = module(
        template(SIGNED + choice("create this with a = c", "b", "c : Party")),
        template(
            "    signatory p\n    observer q\n"
            + choice("create this with p = r", "q", "r : Party", name="Pass"),
            "p, q : Party",
            "U",
        ),
    )
    told = render(validate(text))
    assert told.count("needs the authority of c") == 1
    assert told.count("_Accept : ContractId") == 1 and "as above, for U" in told
    assert told.startswith("Invalid: 2 errors; ")


def test_the_same_at_several_lines_is_one_line_of_the_answer() -> None:
    text = module(
        template(
            SIGNED
            + choice("exercise held Take", "a", name="One")
            + choice("exercise held Take", "a", name="Two"),
            "a, b : Party; held : ContractId U",
        ),
        template("    signatory p\n" + choice("pure ()", "p", name="Take"), "p : Party", "U"),
    )
    answer = validate(text)
    lines = [one.line for one in answer.findings if one.rule == "exercise-missing-authority"]
    assert len(lines) == 2
    assert f"- lines {lines[0]}, {lines[1]}: [medium]" in render(answer)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "the code is empty"),
        (" \n\t\n", "the code is empty"),
        ("Please write a contract where the owner can sell a house.", "no DAML template"),
        ("function f(a) {\n  const x = a => a.b;\n  return x(1);\n}\n", "no DAML template"),
        ("pragma solidity ^0.8.0;\ncontract A { function f() public {} }", "no DAML template"),
    ],
)
def test_what_is_no_daml_is_told_once(text: str, word: str) -> None:
    answer = validate(text)
    assert answer.verdict == "invalid" and word in answer.summary
    assert [one.rule for one in answer.findings] == ["no-template"]
    assert render(answer).count(word) == 1


def test_an_intent_that_is_not_understood_is_not_called_checked() -> None:
    answer = validate(module(template("    signatory a\n")), "Stores things. The platform keeps 2 percent.")
    assert "no stated requirement was understood" in answer.summary
    assert any("The platform keeps 2 percent" in limit for limit in answer.limits)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (module(template("    signatory (a\n")), "add what closes it"),
        (module(template("    signatory a\n    signature b\n")), "look at this line"),
    ],
)
def test_what_cannot_be_read_comes_with_a_remedy(text: str, remedy: str) -> None:
    found = [one for one in validate(text).findings if one.rule == "unreadable"]
    assert found and remedy in found[0].fix


CONDITIONAL = """\
module M where

template Slip
  with
    house, guest : Party
  where
    signatory house, guest
    choice Use : ()
      controller guest
      do pure ()

template Desk
  with
    house : Party
    guest : Party
  where
    signatory house, guest

    nonconsuming choice Go : ()
      with slips : [ContractId Slip]
      controller house
      do
        forA_ slips \\c -> do
          slip <- fetch c
          assertMsg "house" (slip.house == house)
          exercise c Use
"""


def test_the_check_compares_with_the_party_of_the_same_name() -> None:
    (found,) = (one for one in findings(CONDITIONAL) if one.rule == "exercise-missing-authority")
    assert found.paste == 'assertMsg "slip.guest takes part" (slip.guest == guest)'
    assert "(for each of slips)" in found.message


def test_an_archive_that_lacks_a_signatory_becomes_a_choice() -> None:
    code = (
        CONDITIONAL.replace("exercise c Use", "archive c")
        .replace("    guest : Party\n", "")
        .replace("    signatory house, guest\n\n    nonconsuming", "    signatory house\n\n    nonconsuming")
    )
    (found,) = (one for one in findings(code) if one.rule == "archive-missing-authority")
    assert "give Slip a consuming choice that house may exercise" in found.fix
    assert "archive of Slip" in found.message
    answer = run(ValidateParams(business_intent="Desk", daml_code=code), SILENT)
    assert "archive of Slip fails unless" in answer.summary


def test_a_key_that_holds_the_argument_is_a_guard() -> None:
    code = module(
        template("    signatory a, b\n    key (a, b) : (Party, Party)\n    maintainer key._1\n", name="Pass"),
        template(
            "    signatory a\n"
            + choice("_ <- fetchByKey @Pass (a, guest)\ncreate Note with a", "guest", "guest : Party"),
            "a : Party",
            "Gate",
        ),
        template("    signatory a\n", "a : Party", "Note"),
    )
    assert "unguarded-parameter-controller" not in rules(code)
    assert "unguarded-parameter-controller" in rules(code.replace("(a, guest)", "(a, a)"))
