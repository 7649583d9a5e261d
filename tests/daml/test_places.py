"""From an error to the places in the code that can raise it, and to the ways out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from canton_mcp.daml import places, repair
from canton_mcp.daml.errors import Location, classify
from canton_mcp.daml.places import Site
from canton_mcp.daml.survey import survey
from canton_mcp.tools.base import SILENT
from canton_mcp.tools.debug_authorization import TOOL, DebugResult
from error_texts import ALICE, AUTHORIZATION, BANK, BOB, CONTRACT, ELSE, FRAMED, OTHER_BOB, PACKAGE, party

IOU = """\
module Main where

template Iou
  with
    issuer : Party
    owner : Party
    amount : Decimal
  where
    signatory issuer, owner
    ensure amount > 0.0

    choice Transfer : ContractId Iou
      with newOwner : Party
      controller owner
      do create this with owner = newOwner

    choice Split : ContractId Iou
      with part : Decimal
      controller owner
      do
        assertMsg "the part must be smaller" (part < amount)
        create this with amount = part

template Asset
  with
    registrar : Party
    holder : Party
  where
    signatory registrar
    observer holder

    choice Move : ContractId Asset
      with to : Party
      controller holder
      do create this with holder = to

    choice Again : ContractId Asset
      controller holder
      do
        exercise self Move with to = holder

template Deal
  with
    seller : Party
    buyer : Party
    asset : ContractId Asset
  where
    signatory seller, buyer

    choice Settle : ContractId Asset
      controller buyer
      do exercise asset Move with to = buyer
"""


def fits(text: str, code: str = IOU) -> tuple[Site, ...]:
    return places.places(classify(text), survey(code))


def needs(node: int, template: str, required: str, given: str) -> str:
    return (
        f"DAML_AUTHORIZATION_ERROR(8,0): Interpretation error: Error: node NodeId({node}) (#m:Main:{template}) requires "
        f"authorizers {required}, but only {given} were given"
    )


def debug(text: str, code: str = "", context: str = "") -> DebugResult:
    params = TOOL.params.model_validate({"errorMessage": text, "damlCode": code, "context": context})
    result = TOOL.run(params, SILENT)
    assert isinstance(result, DebugResult)
    assert TOOL.render(result).strip()
    return result


def test_the_place_in_a_choice_and_who_plays_which_role() -> None:
    (site,) = fits(needs(2, "Iou", f"{BANK},{BOB}", f"{ALICE},{BANK}"))
    assert (site.template, site.choice, site.line, site.command) == ("Iou", "Transfer", 15, False)
    assert dict(site.parties) == {"newOwner": "Bob", "issuer": "Bank", "owner": "Alice"}
    assert (site.missing, site.source) == (("newOwner",), "create this with owner = newOwner")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # nothing is shared, so it cannot be the create, which shares the issuer
        (needs(2, "Iou", "Bank,Bob", "Alice,Carol"), []),
        # one party is the issuer and the old owner
        (needs(2, "Iou", "Bank,Bob", "Bank"), [("Iou", "Transfer")]),
        # one party is the issuer and the new owner, and acts; the missing one has no role left
        (needs(2, "Iou", "Bank,Bob,Carol", "Alice,Bank"), []),
        (needs(1, "Asset", "Carol", "Alice,Bob"), [("Deal", "Settle")]),
        # more parties acted than Deal and Settle have
        (needs(1, "Asset", "Carol", "Alice,Bob,Dave"), []),
        ("exercise of Move in Main:Asset at Main:50:10\n failed due to a missing authorization from 'Carol'", [("Deal", "Settle")]),
    ],
)  # fmt: skip
def test_places_by_the_number_of_parties(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(site.template, site.choice) for site in fits(text) if not site.command] == expected


def test_the_trace_decides_between_places() -> None:
    code = IOU.replace("    choice Split", "    choice Give : ContractId Iou\n      with to : Party\n      controller owner\n      "
                       "do create this with owner = to\n\n    choice Split")  # fmt: skip
    text = needs(2, "Iou", "Bank,Bob", "Alice,Bank")
    assert {site.choice for site in fits(text, code)} == {"Transfer", "Give"}
    step = f"{PACKAGE}:Main:Iou:Give on contract {CONTRACT}"
    traced = f"{text}\n    in choice {step} (#0)\n    in exercise command {step}."
    assert [site.choice for site in fits(traced, code)] == ["Give"]


def test_the_submitted_command() -> None:
    found = fits(needs(0, "Iou", BOB, ALICE))
    assert [(site.choice, site.line, site.command) for site in found[:2]] == [
        ("Transfer", 14, True),
        ("Split", 19, True),
    ]
    assert dict(found[0].parties) == {"owner": "Bob"}
    (create,) = fits(needs(0, "Iou", f"{BOB},{BANK}", ALICE))
    assert (create.choice, create.kind, create.command) == (None, "create", True)


LOAN = """\
module Main where
import Daml.Script

template Note
  with
    lender : Party
    borrower : Party
  where
    signatory lender, borrower
    choice Assign : ContractId Note
      with newLender : Party
      controller lender
      do create this with lender = newLender
    choice Ask : ()
      controller borrower
      do pure ()

agree : Party -> Party -> Script (ContractId Note)
agree lender borrower =
  submit lender do
    createCmd Note with lender; borrower

test = script do
  l <- allocateParty "Larry"
  b <- allocateParty "Betty"
  submitMustFail b do createCmd Note with lender = l; borrower = b
  note <- submit (actAs [l, b]) $ createCmd Note with lender = l; borrower = b
  submit l $ exerciseCmd note Ask
  submit b $ exerciseCmd note Assign with newLender = b
  _ <- agree l b
  submit l $ createAndExerciseCmd (Note l l) Ask
  submit l $ createAndExerciseCmd (Note with lender = l; borrower = b) Ask
"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (needs(0, "Note", "Larry,Betty", "Larry"), 21),  # through a function; not the one that must fail
        (needs(0, "Note", "Betty", "Larry"), 28),
        (needs(0, "Note", "Larry", "Betty"), 29),
        (needs(0, "Note", f"{party('Larry')},{party('Betty')}", party("Larry")), 21),
        ("Script execution failed on commit at Main:32:3:\n #0: create of Main:Note at unknown source\n"
         "  failed due to a missing authorization from 'Betty'", 32),
    ],
)  # fmt: skip
def test_the_command_in_a_script(text: str, line: int) -> None:
    result = debug(text, LOAN)
    site = result.sites[0]
    assert (site.line, site.script, site.command) == (line, True, True)
    assert f"line {line}" in result.summary and f"line {line}" in result.fixes[0].title
    assert not any("what was submitted" in need for need in result.need)


DESK = """\
module Main where
import Daml.Script

template Licence
  with
    vendor, client : Party
    seats : Int
  where
    signatory vendor, client
    key (vendor, client) : (Party, Party)
    maintainer key._1
    choice Extend : ContractId Licence
      controller vendor, client
      do create this with seats = seats + 1

template Desk
  with
    vendor, reseller : Party
  where
    signatory vendor
    observer reseller
    nonconsuming choice Sell : ContractId Licence
      with client : Party
      controller reseller
      do create Licence with vendor; client; seats = 1
    nonconsuming choice Bump : ContractId Licence
      with client : Party
      controller reseller
      do exerciseByKey @Licence (vendor, client) Extend
    nonconsuming choice Drop : ()
      with licence : ContractId Licence
      controller reseller
      do archive licence

run : Script ()
run = do
  v <- allocateParty "Vera"
  r <- allocateParty "Rex"
  c <- allocateParty "Clara"
  submit v do
    createCmd Desk with vendor = v; reseller = r
    createCmd Licence with vendor = v; client = c; seats = 3
  pure ()
"""


@pytest.mark.parametrize(
    ("text", "line", "choice"),
    [
        (needs(1, "Licence", "Vera,Clara", "Vera,Rex"), 25, "Sell"),
        (f"{needs(2, 'Licence', 'Vera,Clara', 'Vera,Rex')}\n    in choice {PACKAGE}:Main:Desk:Bump on contract 00ab (#0)",
         29, "Bump"),
        ("exercise of Archive in Main:Licence at Main:33:10\n failed due to a missing authorization from 'Clara'", 33, "Drop"),
        ("exercise of Extend in Main:Licence at Main:29:10\n failed due to a missing authorization from 'Clara'", 29, "Bump"),
        # the second command of a submission has a node number above 0, too
        (needs(1, "Licence", "Vera,Clara", "Vera"), 42, "run"),
        ("requires authorizers Vera,Clara, but only Vera,Rex were given", 25, "Sell"),
    ],
)  # fmt: skip
def test_the_line_among_many(text: str, line: int, choice: str) -> None:
    site = debug(text, DESK).sites[0]
    assert (site.line, site.choice) == (line, choice)


def test_a_command_is_named_with_the_variables_of_its_script() -> None:
    result = debug(needs(0, "Note", "Larry", "Betty"), LOAN)
    assert result.sites[0].parties == {"l": "Larry", "b": "Betty"}
    assert result.fixes[0].code == "submit (actAs [l]) do ..."


def test_a_place_in_a_choice_goes_before_scripts_above_node_0() -> None:
    result = debug(needs(1, "Note", "Zoe,Betty", "Larry,Betty"), LOAN)
    assert (result.sites[0].line, result.sites[0].script) == (13, False)


def test_code_that_cannot_have_raised_the_error() -> None:
    code = survey(IOU)
    more = classify(needs(1, "Iou", "Bank,Bob,Carol", "Alice,Bank"))
    assert "asked for 3 parties" in (places.disagreement(more, code) or "")
    gone = classify(
        f"{needs(1, 'Iou', 'Bank,Bob', 'Alice,Bank')}\n    in choice {PACKAGE}:Main:Iou:Donate on contract {CONTRACT} (#0)\n"
        f"    in exercise command {PACKAGE}:Main:Iou:Donate on contract {CONTRACT}."
    )
    assert "Donate" in (places.disagreement(gone, code) or "")
    covered = IOU.replace(
        "controller owner\n      do create this with owner = newOwner",
        "controller owner, newOwner\n      do create this with owner = newOwner",
    )
    fixed = classify(needs(1, "Iou", "Bank,Bob", "Alice,Bank"))
    assert "has the authority it needs" in (places.disagreement(fixed, survey(covered)) or "")
    assert (
        debug(needs(1, "Iou", "Bank,Bob", "Alice,Bank"), covered)
        .fixes[0]
        .title.startswith("Compare the package")
    )
    assert places.disagreement(fixed, code) is None
    assert places.disagreement(classify(needs(1, "Other", "Bank,Bob,Carol", "Alice")), code) is None


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("Template precondition violated in:\n  create Main:Iou\n  with\n    amount = -1.0", 10, "ensure amount > 0.0"),
        ("DAML_FAILURE(9,0): Error: User failure: UNHANDLED_EXCEPTION/DA.Exception.AssertionFailed:AssertionFailed "
         "(error category 9): the part must be smaller", 21, "smaller"),
        ("CONTRACT_NOT_ACTIVE(11,0): Update failed due to fetch of an inactive contract 00ab (Main:Asset@e5411f3d).", 40, "consuming"),
        ("Attempt to fetch or exercise a contract not visible to the reading parties.\nContract:  #0:0 (Main:Asset)", 24, "holder"),
    ],
)  # fmt: skip
def test_places_of_other_errors(text: str, line: int, word: str) -> None:
    site = fits(text)[0]
    assert (site.line, word in site.reason) == (line, True)


def test_clauses_that_raise_errors_whoever_submits() -> None:
    keyed = (
        "template Account\n  with\n    bank : Party\n    owner : Party\n  where\n    signatory owner\n"
        "    key (bank, owner) : (Party, Party)\n    maintainer key._1\n"
    )
    (site,) = fits(
        "node NodeId(0) (p:M:Account) has maintainers Bank which are not a subset of the signatories Alice",
        keyed,
    )
    assert (site.line, site.missing) == (7, ("bank",))
    many = "template Club\n  with\n    members : [Party]\n  where\n    signatory members\n"
    (site,) = fits("node NodeId(0) (p:M:Club) has no signatories", many)
    assert "can be empty" in site.reason
    assert fits("node NodeId(0) (p:M:Iou) has no signatories") == ()


HOLDING = """\
module Main where

interface Holding where
  viewtype View
  getOwner : Party
  give : Party -> Update (ContractId Holding)
  choice Transfer : ContractId Holding
    with to : Party
    controller getOwner this
    do give this to

template Coin
  with
    issuer, owner : Party
  where
    signatory issuer, owner
    interface instance Holding for Coin where
      view = View
      getOwner = owner
      give to = toInterfaceContractId <$> moved this to

template Vault
  with
    keeper : Party
  where
    signatory keeper
    choice Release : ContractId Coin
      with coin : Coin
      controller keeper
      do
        moved coin keeper
    choice Sweep : ()
      with coins : [ContractId Coin]
      controller keeper
      do
        forA_ coins $ \\one -> archive one

moved : Coin -> Party -> Update (ContractId Coin)
moved c p =
  create c with
    owner = p

minted : Party -> Party -> Update (ContractId Coin)
minted a b = create Coin with issuer = a; owner = b
"""


def traced(text: str, template: str, choice: str) -> str:
    step = f"{PACKAGE}:Main:{template}:{choice} on contract {CONTRACT}"
    return f"{text}\n    in choice {step} (#0)\n    in exercise command {step}."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # the choice of an interface, through a method of its instance and a helper
        (needs(2, "Coin", "Bank,Bob", "Alice,Bank"), ("Coin", "Transfer", 40, ("to",))),
        (traced(needs(2, "Coin", "Bank,Bob", "Alice,Bank"), "Coin", "Transfer"), ("Coin", "Transfer", 40, ("to",))),
        (traced(needs(2, "Coin", "Bank,Bob", "Alice,Bank"), "Holding", "Transfer"), ("Coin", "Transfer", 40, ("to",))),
        # the same line, reached from a choice
        (traced(needs(1, "Coin", "Bank,Keeper", "Keeper"), "Vault", "Release"), ("Vault", "Release", 40, ("coin.issuer",))),
        # in a loop
        ("exercise of Archive in Main:Coin at Main:36:33\n failed due to a missing authorization from 'Bank', 'Bob'",
         ("Vault", "Sweep", 36, ("issuer of coins[*]", "owner of coins[*]"))),
    ],
)  # fmt: skip
def test_places_in_helpers_and_instances(text: str, expected: tuple[str, str, int, tuple[str, ...]]) -> None:
    site = fits(text, HOLDING)[0]
    assert (site.template, site.choice, site.line, site.missing) == expected


def test_a_place_in_a_helper_names_the_way_there_and_who_plays_which_role() -> None:
    text = traced(needs(2, "Coin", "Bank,Bob", "Alice,Bank"), "Coin", "Transfer")
    (site,) = fits(text, HOLDING)
    assert "give, called in line 10" in site.reason and "moved, called in line 20" in site.reason
    assert dict(site.parties) == {"to": "Bob", "issuer": "Bank", "owner": "Alice"}
    assert site.source == "create c with owner = p"
    called = places.places(replace(classify(needs(2, "Coin", "Bank,Bob", "Alice,Bank")), locations=(Location("Main", 20, 50),)),
                           survey(HOLDING))[0]  # fmt: skip
    assert called.score > site.score and called.line == 40


def test_a_function_that_no_choice_calls_is_a_place_but_no_choice() -> None:
    alone = HOLDING[HOLDING.index("minted :") :]
    coin = HOLDING[HOLDING.index("template Coin") : HOLDING.index("    interface instance")]
    result = debug(needs(2, "Coin", "Bank,Bob", "Alice,Bank"), f"{coin}\n{alone}")
    (site,) = [site for site in result.sites if not site.command]
    assert (site.template, site.choice, site.decided) == ("", "minted", False)
    assert "function minted" in site.action and "in function minted (line" in result.summary
    assert "minted is a function" in result.explanation
    assert not any("minted" in fix.title for fix in result.fixes)


def test_choices_of_interfaces_are_choices_of_their_templates() -> None:
    code = survey(HOLDING)
    coin = code.template("Coin")
    assert coin is not None and [choice.name for choice in coin.choices] == ["Transfer"]
    assert [role.path for role in coin.choices[0].controllers] == ["owner"]
    submitted = fits(needs(0, "Coin", "Bob", "Alice"), HOLDING)[0]
    assert (submitted.choice, submitted.line, submitted.command) == ("Transfer", 9, True)
    asked = classify(traced(needs(1, "Coin", "Bank,Bob", "Alice,Bank"), "Coin", "Burn"))
    assert "Burn" in (places.disagreement(asked, code) or "")
    # an instance of an interface that is not here may have any choice
    elsewhere = HOLDING.replace("interface instance Holding", "interface instance Other.Burnable")
    assert places.disagreement(asked, survey(elsewhere)) is None


VAULT = """\
module Main where

template Vault
  with
    house : Party
    guest : Party
  where
    signatory house
    observer guest

    nonconsuming choice Clear : ()
      with slips : [ContractId Slip]
      controller house
      do
        forA_ slips \\c -> do
          slip <- fetch c
          assertMsg "house" (slip.house == house)
          archive c

    choice Leave : ()
      controller guest
      do pure ()

template Slip
  with
    house : Party
    guest : Party
  where
    signatory house, guest
"""


def test_an_archive_of_what_others_signed_becomes_a_choice() -> None:
    found = debug(needs(2, "Slip", "Gina,House", "House"), VAULT)
    assert (
        found.fixes[0].title
        == "Give Slip a consuming choice for house, and exercise it in place of the archive"
    )
    assert "slip.guest" in found.summary
    assert "slip.house" not in " ".join(f"{fix.title} {fix.detail}" for fix in found.fixes)


def test_a_command_names_the_choices_that_it_may_be() -> None:
    text = TOOL.render(debug(needs(0, "Vault", "Gina", "House"), VAULT))
    assert "Vault.Leave: needs controller guest" in text


PARTIAL = """\
Script execution failed on commit at Main:40:3:
  create of Main:Slip at Main:15:9
  failed due to a missing authorization from 'Gina'

Partial transaction:
  Sub-transactions:
     0
     └─> 'House' exercises Clear on #0:0 (Main:Vault)
"""


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        (PARTIAL, "Clear"),
        (PARTIAL.replace("create of Main:Slip", "exercise of Leave in Main:Vault"), "Clear"),
        (PARTIAL.replace("create of Main:Slip", "exercise of Clear in Main:Vault"), None),
        (PARTIAL.replace("'House' exercises Clear on #0:0 (Main:Vault)", "'House' creates Main:Slip"), None),
    ],
)
def test_a_partial_transaction_may_end_around_what_failed(text: str, inside: str | None) -> None:
    found = classify(text)
    assert found.inside_choice is (inside is not None)
    assert (found.enclosing.choice if found.enclosing else None) == inside


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "PERMISSION_DENIED(7,1): Claims do not authorize to act as party 'Alice'",
            "does not allow acting as Alice",
        ),
        ("DUPLICATE_CONTRACT_KEY(10,1): Update failed due to a duplicate contract key X", "exists already"),
        (
            "CONTRACT_KEY_NOT_FOUND(11,1): dependency error: couldn't find key: X",
            "There is no active contract",
        ),
        ("INTERPRETATION_UPGRADE_ERROR_VALIDATION_FAILED(8,1): Validation fails", "does not take over"),
        ('PreconditionFailed@1{ message = "Template precondition violated: Slip {..}" }', "on Slip"),
        (
            "CONTRACT_NOT_ACTIVE(11,1): Update failed due to fetch of an inactive contract ContractId(00ab) (p1:Main:Slip)",
            "consumed earlier",
        ),
    ],
)
def test_the_first_line_says_what_happened(text: str, said: str) -> None:
    assert said in debug(text).summary


def test_a_failed_upgrade_is_first_of_all_a_matter_of_the_code() -> None:
    found = debug("INTERPRETATION_UPGRADE_ERROR_VALIDATION_FAILED(8,1): Validation fails")
    assert found.fixes[0].title == "Check the upgrade"


def test_the_check_of_a_contract_can_be_pasted() -> None:
    text = needs(1, "Asset", "Carol", "Alice,Bob")
    fix = debug(text, IOU).fixes[0]
    assert fix.title == "Check which contract was passed as asset"
    assert fix.code == 'assetData <- fetch asset\nassertMsg "wrong contract" (assetData.holder == seller)'
    fetched = IOU.replace(
        "do exercise asset Move", "do\n        held <- fetch asset\n        exercise asset Move"
    )
    assert debug(text, fetched).fixes[0].code == 'assertMsg "wrong contract" (held.holder == seller)'
    lines = "\n".join(f"        {line}" for line in fix.code.split("\n"))
    pasted = IOU.replace("do exercise asset Move", f"do\n{lines}\n        exercise asset Move")
    (exercise,) = [
        action for action in survey(pasted).actions if (action.choice, action.kind) == ("Settle", "exercise")
    ]
    assert exercise.proved


KINDS_OF_FIXES = [
    ("inside", needs(2, "Iou", "Bank,Bob", "Alice,Bank"), IOU,
     ["consent", "controller", "signatory", "delegation", "observer"]),
    ("inside-without-code", needs(2, "Iou", "Bank,Bob", "Alice,Bank"), "",
     ["consent", "controller", "signatory", "delegation", "observer"]),
    ("contract-of-others", needs(1, "Asset", "Carol", "Alice,Bob"), IOU, ["contract", "signatory", "delegation"]),
    ("command-create", needs(0, "Iou", "Bank,Bob", "Bank"), IOU, ["submit", "consent", "delegation", "observer"]),
    ("command-exercise", "exercise of Transfer in Main:Iou at unknown source\n failed due to a missing authorization from 'Bob'\n"
     "Partial transaction:\n  Sub-transactions:\n    0\n    └─> 'Bob' exercises Transfer on #0:0 (Main:Iou)\n", IOU,
     ["submit", "delegation", "controller"]),
    ("token", "PERMISSION_DENIED(7,0): Claims do not authorize to act as party 'Alice'", IOU, ["operate", "operate"]),
    ("contention", "LOCAL_VERDICT_LOCKED_CONTRACTS(2,0): locked", "", ["retry", "look", "code"]),
    ("syntax", "Main.daml:3:5: error: parse error on input ‘controller’", "", ["code", "code"]),
    ("unknown", "what?", IOU, []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code", "kinds"), [row[1:] for row in KINDS_OF_FIXES], ids=[row[0] for row in KINDS_OF_FIXES]
)
def test_ways_out_by_where_it_failed(text: str, code: str, kinds: list[str]) -> None:
    found, seen = classify(text), survey(code) if code else None
    sites = places.places(found, seen) if seen else ()
    ways = repair.fixes(found, sites, seen)
    assert [fix.kind for fix in ways] == kinds
    assert all(fix.reason and fix.detail for fix in ways)


def test_every_kind_has_ways_out() -> None:
    for _, text, expected in AUTHORIZATION + ELSE:
        found = classify(text)
        ways = repair.fixes(found, (), None)
        assert bool(ways) == (found.kind != "unknown"), expected
        assert not any("{" in f"{fix.title}{fix.detail}{fix.reason}" for fix in ways)


def test_sketches_hold_what_they_promise() -> None:
    inside = debug(needs(2, "Iou", "Bank,Bob", "Alice,Bank"), IOU).fixes[0]
    command = next(
        fix for fix in debug(needs(0, "Iou", "Issuer,Owner", "Owner"), IOU).fixes if "Propose" in fix.title
    )
    for sketch in (inside.code, command.code):
        assert sketch
        code = survey(f"{IOU}\n{sketch}")
        assert code.problems == ()
        creates = [action for action in code.actions if action.template == "IouProposal"]
        assert creates and all(action.proved for action in creates)


def test_answers_in_the_users_own_names() -> None:
    result = debug(needs(2, "Iou", f"{BANK},{BOB}", f"{ALICE},{BANK}"), IOU)
    assert result.summary == (
        "Authorization: an action on Iou, probably in Iou.Transfer (line 15), needs Bank and Bob, but only Alice and Bank "
        "were there: Bob (newOwner) is missing."
    )
    assert result.sites[0].parties == {"newOwner": "Bob", "issuer": "Bank", "owner": "Alice"}
    assert {party.id for party in result.parties} == {ALICE, BOB, BANK}
    assert result.need == []
    submitted = debug(needs(0, "Iou", BOB, ALICE), IOU)
    assert submitted.fixes[0].title == "Submit as Bob, not as Alice" and submitted.need
    hidden = debug(ELSE[0][1], IOU)
    assert hidden.summary == (
        "Visibility, not authorization: Bob and Carol cannot see this Iou contract, only Alice and Bank can."
    )
    twin = debug(needs(0, "Iou", BOB, OTHER_BOB))
    assert "same name" in twin.fixes[0].title


def test_no_answer_calls_another_problem_authorization() -> None:
    for _, text, _ in ELSE:
        result = debug(text)
        assert result.family != "authorization" and result.missing == []
        assert not result.summary.startswith("Authorization")


@pytest.mark.parametrize(
    "code", ["", "}{", "template", IOU[:200], "module Main where\n", "template Iou\n" * 300]
)
@pytest.mark.parametrize("text", [FRAMED, *(row[1] for row in AUTHORIZATION[:6])])
def test_any_code_with_any_error_gives_an_answer(text: str, code: str) -> None:
    result = debug(text, code)
    assert result.fixes and len(result.sites) <= places.MAX_SITES
