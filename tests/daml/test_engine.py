"""Reading DAML: outline, authority, findings, error texts, patterns."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import pytest
from canton_mcp import daml
from canton_mcp.daml.pause import uncollected

IOU = """\
module Iou where

-- signatory nobody
template Iou
  with
    issuer, owner : Party
    amount : Decimal
  where
    signatory issuer, owner
    ensure amount > 0.0
    key (issuer, owner) : (Party, Party)
    maintainer key._1

    choice Transfer : ContractId Iou
      with newOwner : Party
      controller owner
      do create this with owner = newOwner

    nonconsuming choice Look : Iou
      with
        viewer : Party
      controller viewer
      do pure this
"""


def template(members: str, fields: str = "a, b : Party") -> str:
    """A template around members that are indented by four."""
    return f"module M where\n\ntemplate T\n  with\n    {fields}\n  where\n{members}"


def choice(body: str, controller: str = "b", parameters: str = "", head: str = "choice") -> str:
    given = f"      with {parameters}\n" if parameters else ""
    return template(
        f"    signatory a\n    observer b\n    {head} Go : ()\n{given}      controller {controller}\n      do\n"
        + "".join(f"        {line}\n" for line in body.splitlines())
    )


def found(text: str) -> list[daml.Finding]:
    module = daml.read(text)
    assert [one for one in module.problems if "no controller" not in one.message] == []
    return daml.findings(module, daml.analyse(module))


def rules(text: str) -> set[str]:
    return {finding.rule for finding in found(text)}


def only_action(text: str) -> daml.Action:
    module = daml.read(text)
    assert module.problems == ()
    (entry,) = [entry for entry in daml.analyse(module).entries if entry.actions]
    return entry.actions[-1]


def test_controller_can_form_of_daml_1() -> None:
    text = template(
        "    signatory a\n    controller b can\n      Take : ()\n        with x : Int\n        do return ()\n"
        "      nonconsuming Peek : ()\n        do return ()\n"
    )
    module = daml.read(text)
    assert module.problems == ()
    take, peek = module.templates[0].choices
    assert take.in_controller_can and take.controllers
    assert peek.consumption == "nonconsuming"
    assert "controller-cannot-see" not in rules(text)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("template T with\n  a : Party\n where\n  signatory (a", "never closed"),
        ('template T with\n  a : Party\n where\n  signatory a\n  ensure a == "x', "never closed"),
        ("{- template T", "never closed"),
        ("template T with\n  a : Party\n where\n  signatory a\n  signature b", "unexpected 'signature'"),
        ("template T with\n  a : Party\n", "no 'where'"),
        ("template", "needs a name"),
        ("please check my contract", "outside any declaration"),
        (
            "template T with\n  a : Party\n where\n  signatory a\n  choice Go : ()\n    controller a\n",
            "has no body",
        ),
    ],
)
def test_unreadable_text_is_said_to_be_so(text: str, word: str) -> None:
    assert any(word in problem.message for problem in daml.read(text).problems)


@pytest.mark.parametrize("text", ["", "-- template T", "{- template T\n{- nested -} -}", 'x = "template T"'])
def test_comments_and_strings_hold_no_template(text: str) -> None:
    module = daml.read(text)
    assert module.templates == () and module.problems == ()


def test_markdown_fence_keeps_line_numbers() -> None:
    module = daml.read(f"Here it is:\n```daml\n{IOU}```\nThanks!\n")
    assert module.problems == ()
    assert module.templates[0].place.line == daml.read(IOU).templates[0].place.line + 2


def test_windows_line_ends_and_tabs() -> None:
    text = IOU.replace("    signatory", "\tsignatory").replace("\n", "\r\n")
    assert [template.name for template in daml.read(text).templates] == ["Iou"]


def test_transfer_without_consent_is_found() -> None:
    finding = next(finding for finding in found(IOU) if finding.certainty != "advice")
    assert (finding.rule, finding.line, finding.severity) == ("transfer-without-consent", 17, "critical")
    assert "newOwner" in finding.message


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("create this with a = b; b = a", "proved"),
        ("create T with a, b", "proved"),
        ("create T with ..", "proved"),
        ("create T { a = b, b = a }", "proved"),
        ("create (T b a)", "proved"),
        ("create $ T b a", "proved"),
        ("let c = b\ncreate this with a = c", "proved"),
        ("create this with a = c", "fails_unless"),
        ("create (T c a)", "fails_unless"),
        ("assert (c == b)\ncreate this with a = c", "proved"),
        ('assertMsg "same" (c == b && c /= a)\ncreate this with a = c', "proved"),
        ("assert (c == b || True)\ncreate this with a = c", "fails_unless"),
        ("create this with a = lookupOwner c", "unknown"),
        ("a <- pick\ncreate T with ..", "unknown"),
        ("create Elsewhere with a = c", "unknown"),
        ("archive cid", "fails_unless"),
        ("t <- fetch cid\nassert (t.a == b)\narchive cid", "proved"),
        ("exercise cid Archive", "fails_unless"),
        ("forA_ [c] \\x -> create this with a = x", "fails_unless"),
    ],
)
def test_authority_of_actions(body: str, status: str) -> None:
    text = choice(body, parameters="c : Party; cid : ContractId T")
    assert only_action(text).verdict.status == status


def test_authority_of_an_outer_exercise_does_not_flow_in() -> None:
    text = template(
        "    signatory a\n    observer b\n"
        "    choice Inner : ContractId T\n      controller a\n      do create this with a = b; b = a\n"
        "    nonconsuming choice Outer : ContractId T\n      with cid : ContractId T\n      controller b\n"
        "      do exercise cid Inner\n"
    )
    entry = daml.analyse(daml.read(text)).entry("T", "Inner")
    assert entry is not None
    verdict = entry.actions[0].verdict
    assert (verdict.status, [party.path for party in verdict.missing]) == ("fails_unless", ["b"])
    assert verdict.definite


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (template("    observer a\n"), "no-signatory"),
        (template("    signatory []\n"), "no-signatory"),
        (template("    signatory c\n"), "unknown-party"),
        (template("    signatory n\n", "n : Text"), "not-a-party"),
        (template('    signatory "Alice"\n'), "not-a-party"),
        (template("    signatory a\n    key b : Party\n"), "key-without-maintainer"),
        (template("    signatory a\n    maintainer a\n"), "maintainer-without-key"),
        (
            template("    signatory a\n    key (a, b) : (Party, Party)\n    maintainer key._2\n"),
            "maintainer-not-signatory",
        ),
        (template("    signatory a\n", "a : Party\n    amount : Decimal"), "amount-without-ensure"),
        (template("    signatory a\n", "a : [Party]"), "possibly-no-signatory"),
        (template("    signatory a\n    choice Go : ()\n      do pure ()\n"), "no-controller"),
        (
            template("    signatory a\n    choice Go : ()\n      controller b\n      do pure ()\n"),
            "controller-cannot-see",
        ),
        (
            template(
                "    signatory a\n    observer b\n    choice Accept : ()\n      controller b\n      do pure ()\n"
            ),
            "proposal-without-reject",
        ),
        (choice("pure ()", parameters="a : Int"), "parameter-repeats-field"),
        (choice("archive self"), "self-after-consumption"),
        (choice("create this with b = a", head="nonconsuming choice"), "nonconsuming-double-use"),
        (choice("create this", controller="x", parameters="x : Party"), "unguarded-parameter-controller"),
        (choice("pure (1 / n)", parameters="n : Decimal"), "division-unguarded"),
        (choice("pure (head xs)", parameters="xs : [Int]"), "partial-function"),
        (choice("assert True"), "constant-assertion"),
        (
            template("    signatory a\n") + "\ntemplate T\n  with\n    a : Party\n  where\n    signatory a\n",
            "duplicate-name",
        ),
    ],
)
def test_rules(text: str, rule: str) -> None:
    assert rule in rules(text)


@pytest.mark.parametrize(
    "text",
    [
        template("    signatory a, b\n    key (a, b) : (Party, Party)\n    maintainer key._2\n"),
        template("    signatory a\n    ensure amount > 0.0\n", "a : Party\n    amount : Decimal"),
        choice("archive self", head="nonconsuming choice"),
        choice("assert (n /= 0.0)\npure (1.0 / n)", parameters="n : Decimal"),
        choice("create this", controller="x", parameters="x : Party").replace(
            "      do\n", '      do\n        assertMsg "who" (x `elem` [a, b])\n'
        ),
        "import Roles\n\n" + template("    signatory operatorOf a\n")[len("module M where\n\n") :],
    ],
)
def test_correct_code_has_no_findings(text: str) -> None:
    assert rules(text) == set()


@pytest.mark.parametrize("pattern", daml.PATTERNS, ids=lambda pattern: str(pattern.id))
def test_skeletons_are_read_without_findings(pattern: daml.Pattern) -> None:
    assert daml.read(pattern.skeleton).templates
    assert [finding for finding in found(pattern.skeleton) if finding.severity not in ("low", "info")] == []
    assert {role.bound_as for role in pattern.roles} & {"signatory"}
    assert pattern.traps and pattern.flow and pattern.enhanced and pattern.high


def test_at_least_eight_patterns_with_ids_of_their_own() -> None:
    assert len({pattern.id for pattern in daml.PATTERNS}) == len(daml.PATTERNS) >= 8


ALICE, BOB = f"Alice::1220{'a' * 64}", f"Bob::1220{'b' * 64}"


@pytest.mark.parametrize(
    ("text", "kind", "missing"),
    [
        (f"DAML_AUTHORIZATION_ERROR(8,ab12cd34): Interpretation error: Error: node NodeId(2) (#p:M:T) requires "
         f"authorizers {ALICE},{BOB}, but only {ALICE} were given", "missing_authorization", ("Bob",)),
        ("node NodeId(0) (p:M:T) requires authorizers Alice, but only  were given", "missing_authorization", ("Alice",)),
        ("node NodeId(3) requires one of the stakeholders TreeSet(A, B) of the fetched contract to be an authorizer, "
         "but authorizers were TreeSet(C)", "fetch_authorization", ()),
        ("node NodeId(1) (p:M:T) requires authorizers A for lookup by key, but it only has C", "lookup_authorization", ("A",)),
        ("node NodeId(0) (p:M:T) has maintainers M which are not a subset of the signatories TreeSet(S)",
         "maintainers_not_signatories", ("M",)),
        ("node NodeId(0) (p:M:T) has no controllers", "no_authorizers", ()),
        ("requires controllers: Bob, but only Alice were given", "missing_authorization", ("Bob",)),
        ("create of M:T at DA.Internal.Prelude:381:26\n  failed due to a missing authorization from 'A', 'B'",
         "missing_authorization", ("A", "B")),
        ("exercise of Go in M:T at M:3:4\n  failed due to a missing authorization from 'A'", "missing_authorization", ("A",)),
        ("fetch of M:T at M:3:4\n  failed since none of the stakeholders 'A' is in the authorizing set 'B'",
         "fetch_authorization", ()),
        ("failed due to that some parties are maintainers but not signatories: 'P'", "maintainers_not_signatories", ("P",)),
        ("Attempt to fetch or exercise a contract not visible to the reading parties.", "not_visible", ()),
        ("Attempt to exercise a contract that was consumed in same transaction.", "contract_consumed", ()),
        ("CONTRACT_NOT_FOUND(11,0): Contract could not be found with id 00", "contract_not_found", ()),
        ("LOCAL_VERDICT_LOCKED_CONTRACTS(2,ab): locked", "contention", ()),
        ("DUPLICATE_CONTRACT_KEY(10,ab): Update failed due to a duplicate contract key", "contract_key", ()),
        ("Template precondition violated in: create M:T", "precondition", ()),
        ("DAML_FAILURE(9,ab): User failure: UNHANDLED_EXCEPTION/DA.Exception.AssertionFailed:AssertionFailed: no",
         "assertion", ()),
        ("Expected submit to fail but it succeeded", "unexpected_success", ()),
        ("Claims do not authorize to act as party 'P'", "access_token", ()),
        ("UNKNOWN_INFORMEES(11,0): the participant does not know", "topology", ()),
        ("PACKAGE_SELECTION_FAILED(9,ab): none", "package", ()),
        ("WRONGLY_TYPED_CONTRACT(9,ab): contract", "wrong_contract_type", ()),
        ("M.daml:3:5: error: parse error on input ‘controller’", "syntax", ()),
        ("it does not work", "unknown", ()),
        ("", "unknown", ()),
    ],
)  # fmt: skip
def test_error_texts(text: str, kind: str, missing: tuple[str, ...]) -> None:
    diagnosis = daml.classify(text)
    assert (diagnosis.kind, diagnosis.missing) == (kind, missing)


def test_error_details() -> None:
    diagnosis = daml.classify(
        "Script execution failed on commit at Main:12:3:\n"
        "  exercise of Transfer in Main:Iou at Main:20:5\n  failed due to a missing authorization from 'Bob'"
    )
    assert (diagnosis.action, diagnosis.template, diagnosis.choice) == ("exercise", "Iou", "Transfer")
    assert diagnosis.location == daml.classify("at Main:12:3").location
    json_body = (
        '{"code":"DAML_AUTHORIZATION_ERROR","cause":"node NodeId(4) (p:M:T) requires authorizers B, but only A '
        'were given","context":{"category":"8"}}'
    )
    from_json = daml.classify(json_body)
    assert (from_json.code, from_json.category, from_json.node, from_json.template) == (
        "DAML_AUTHORIZATION_ERROR",
        8,
        4,
        "T",
    )


@pytest.mark.parametrize(
    ("sentence", "status"),
    [
        ("Only the owner can transfer the IOU.", "met"),
        ("Only the issuer can transfer the IOU.", "not_met"),
        ("Only the owner can split the IOU.", "not_found"),
        ("The issuer cannot transfer the IOU.", "met"),
        ("The amount must be positive.", "met"),
        ("A transfer needs the consent of the new owner.", "not_met"),
        ("The IOU expires after a year or 30 days.", "not_found"),
    ],
)
def test_requirements(sentence: str, status: str) -> None:
    module = daml.read(IOU)
    (requirement,) = daml.requirements(sentence, module, daml.shortfalls(daml.analyse(module)))
    assert requirement.status == status


def test_one_sentence_may_hold_several_requirements() -> None:
    text = "Only the owner can transfer it, and the amount must be positive."
    assert [item.status for item in daml.requirements(text, daml.read(IOU))] == ["met", "met"]


def test_a_parameter_that_hides_a_field_is_not_that_field() -> None:
    text = choice("create T with ..", controller="b", parameters="a : Party")
    assert only_action(text).verdict.status != "proved"


@pytest.mark.parametrize(
    "body",
    [
        "let x = y\nlet y = x\ncreate x\ncreate T with a = x; b",
        "x <- create y with a = y.a\ny <- create x with a = x.a\ncreate T with a = x.a; b",
        "\n".join(f"let x{number} = x{number - 1}" for number in range(1, 2000))
        + "\ncreate T with a = x1999; b",
    ],
    ids=["aliases", "contracts", "a long chain"],
)
def test_names_that_lead_nowhere_are_unknown(body: str) -> None:
    assert only_action(choice(body)).verdict.status == "unknown"


@pytest.mark.parametrize(
    ("first", "step", "value", "far"),
    [
        ("let x0 = a", "let x{to} = [x{at}, x{at}]", "x{}", "unknown"),
        (
            "c0 <- fetch self",
            "x{to} <- create T with a = [c{at}.a, c{at}.a]; b\nc{to} <- fetch x{to}",
            "c{}.a",
            "proved",  # every create on the way was followed already
        ),
    ],
    ids=["aliases", "contracts"],
)
def test_names_used_twice_at_every_step_do_not_double_the_work(
    first: str, step: str, value: str, far: str
) -> None:
    def last_create(length: int) -> daml.Action:
        steps = [step.format(to=number + 1, at=number) for number in range(length)]
        return only_action(choice("\n".join([first, *steps, f"create T with a = {value.format(length)}; b"])))

    assert [party.path for party in last_create(10).required] == ["a"]  # within reach the answer is exact
    assert last_create(60).verdict.status == far


def test_clauses_that_name_each_other_cost_their_sum() -> None:
    members = "    signatory observer this, a\n" + "    observer signatory this\n" * 8000
    assert rules(template(members)) == set()
    key = "(" + "a, " * 20000 + "b)"
    maintainers = "".join("    maintainer key._1\n" for _ in range(4000))
    assert rules(template(f"    signatory a\n    key {key} : X\n{maintainers}")) == set()


def test_a_pause_of_the_garbage_collector_ends_with_the_one_that_began_it() -> None:
    def inner() -> None:
        with uncollected(True):
            assert not gc.isenabled(), "it ends with the one that began it"

    with pytest.raises(RuntimeError), uncollected(True) as sweep:
        assert not gc.isenabled()
        sweep()
        with ThreadPoolExecutor(4) as pool:
            for other in [pool.submit(inner) for _ in range(20)]:
                other.result()
        assert not gc.isenabled()
        raise RuntimeError
    assert gc.isenabled()
    with uncollected(False):
        assert gc.isenabled()
    gc.disable()  # somebody's choice, which a pause leaves alone
    try:
        with uncollected(True):
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
