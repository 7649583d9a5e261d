"""Business intent: requirements in plain words against what the code says."""

from __future__ import annotations

import pytest
from canton_mcp.daml import tree
from canton_mcp.daml.guards import CLOCK, guards
from canton_mcp.daml.intent import Shortfall, read_intent, requirements, shortfalls
from canton_mcp.daml.ledger import analyse
from canton_mcp.daml.reader import read
from canton_mcp.daml.words import alike, same_meaning, stem
from hypothesis import given
from hypothesis import strategies as st

ESCROW = """\
module Escrow where

import DA.Time

template Escrow
  with
    buyer : Party
    seller : Party
    arbiter : Party
    amount : Decimal
    fee : Decimal
    releaseDeadline : Time
  where
    signatory buyer, seller
    observer arbiter
    ensure amount > 0.0 && fee >= 0.0 && fee < amount && buyer /= seller

    choice Release : ContractId Payment
      controller arbiter
      do
        now <- getTime
        assertMsg "too late" (now <= releaseDeadline)
        create Payment with payer = buyer; payee = seller; amount = amount - fee

    choice Refund : ()
      controller buyer
      do
        now <- getTime
        assertMsg "too early" (now > releaseDeadline)
        pure ()

    nonconsuming choice Inspect : Decimal
      with viewer : Party
      controller viewer
      do
        assertMsg "stakeholders only" (viewer `elem` [buyer, seller, arbiter])
        pure amount

    choice ChangeFee : ContractId Escrow
      with newFee : Decimal
      controller buyer, seller
      do create this with fee = newFee

template Payment
  with
    payer : Party
    payee : Party
    amount : Decimal
  where
    signatory payer, payee
    ensure amount > 0.0
"""
VOTE = """\
module Vote where

import DA.List (unique)

template Motion
  with
    chair : Party
    members : [Party]
    votes : [Party]
    title : Text
    closesAt : Time
  where
    signatory chair, votes
    observer members
    ensure unique votes && title /= ""

    choice CastVote : ContractId Motion
      with voter : Party
      controller voter
      do
        now <- getTime
        assertMsg "closed" (now < closesAt)
        assertMsg "member" (voter `elem` members)
        assertMsg "once" (voter `notElem` votes)
        create this with votes = voter :: votes

    choice Adopt : ()
      controller chair
      do assertMsg "three" (length votes >= 3)

    choice Retitle : ContractId Motion
      with newTitle : Text
      controller chair
      do create this with title = newTitle
"""
ACCOUNT = """\
module Account where

template Account
  with
    bank : Party
    owner : Party
    balance : Decimal
    overdraft : Decimal
    currency : Text
  where
    signatory bank, owner
    ensure balance >= 0.0 - overdraft

    choice Withdraw : ContractId Account
      with amount : Decimal
      controller owner
      do
        assertMsg "positive" (amount > 0.0)
        assertMsg "balance" (amount <= balance)
        create this with balance = balance - amount

    choice Deposit : ContractId Account
      with sum : Decimal
      controller owner, bank
      do create this with balance = balance + sum

    choice Freeze : ContractId FrozenAccount
      with reason : Text
      controller bank
      do create FrozenAccount with account = this; reason

    choice GiveTo : ContractId Account
      with newOwner : Party
      controller owner
      do create this with owner = newOwner

    choice Close : ()
      controller bank
      do
        assertMsg "empty" (balance == 0.0)

template FrozenAccount
  with
    account : Account
    reason : Text
  where
    signatory account.bank, account.owner

    choice Unfreeze : ContractId Account
      controller account.bank
      do create account
"""
LOAN = """\
module Loan where

template LoanRequest
  with
    borrower : Party
    lender : Party
    principal : Decimal
    rate : Decimal
    validUntil : Time
  where
    signatory borrower
    observer lender
    ensure principal > 0.0 && rate >= 0.0

    choice ApproveLoan : ContractId Loan
      controller lender
      do
        now <- getTime
        assertMsg "request expired" (now < validUntil)
        create Loan with borrower; lender; principal; rate; repaid = 0.0

    choice DeclineLoan : ()
      controller lender
      do pure ()

    choice WithdrawRequest : ()
      controller borrower
      do pure ()

template Loan
  with
    borrower : Party
    lender : Party
    principal : Decimal
    rate : Decimal
    repaid : Decimal
  where
    signatory borrower, lender

    choice Repay : ContractId Loan
      with payment : Decimal
      controller borrower
      do
        assertMsg "positive" (payment > 0.0)
        create this with repaid = repaid + payment

    choice AssignLoan : ContractId Loan
      with newLender : Party
      controller lender
      do create this with lender = newLender

    choice RaiseRate : ContractId Loan
      with newRate : Decimal
      controller lender
      do create this with rate = newRate

    nonconsuming choice Statement : Decimal
      with reader : Party
      controller reader
      do pure (principal - repaid)
"""


def judged(code: str) -> tuple[tree.Module, tuple[Shortfall, ...]]:
    module = read(code)
    return module, shortfalls(analyse(module))


@pytest.mark.parametrize(
    ("code", "text", "statuses"),
    [
        (ESCROW, "Only the arbiter can release the money.", ["met"]),
        (ESCROW, "Only the buyer may release the escrow", ["not_met"]),
        (ESCROW, "The release must happen before the release deadline.", ["met"]),
        (ESCROW, "The buyer can get a refund only after the deadline has passed.", ["met", "met"]),
        (ESCROW, "The buyer may refund before the deadline", ["met", "not_met"]),
        (ESCROW, "The seller can never release the payment himself", ["met"]),
        (ESCROW, "The arbiter cannot refund.", ["met"]),
        (ESCROW, "The amount is always positive", ["met"]),
        (ESCROW, "The fee must not be negative.", ["met"]),
        (ESCROW, "The fee must be positive.", ["not_met"]),
        (ESCROW, "The fee must be less than the amount.", ["met"]),
        (ESCROW, "Buyer and seller must be different.", ["met"]),
        (ESCROW, "Both buyer and seller have to sign the escrow.", ["met"]),
        (ESCROW, "The escrow is signed by buyer, seller and arbiter.", ["not_met"]),
        (ESCROW, "The amount cannot be changed.", ["met"]),
        (ESCROW, "The fee is fixed.", ["not_met"]),
        (ESCROW, "The fee can only be changed by buyer and seller together.", ["met"]),
        (ESCROW, "Neither buyer nor seller can change the fee alone.", ["met"]),
        (ESCROW, "The arbiter can see the escrow.", ["met"]),
        (ESCROW, "The arbiter must not see the payment.", ["met"]),
        (ESCROW, "Money can be released only once.", ["met"]),
        (ESCROW, "The arbiter may release, and the buyer may refund.", ["met", "met"]),
        (ESCROW, "Nobody can change the amount.", ["met"]),
        (ESCROW, "Nobody except the arbiter may release.", ["met"]),
        (ESCROW, "A regulator can view the escrow", ["not_found"]),
        (ESCROW, "The amount must be at most 1000", ["not_met"]),
        (ESCROW, "The seller can dispute the delivery.", ["not_found"]),
        (ESCROW, "Release requires the approval of the arbiter.", ["met"]),
        (ESCROW, "Release requires the seller's consent.", ["not_met"]),
        (ESCROW, "No refund without the consent of the arbiter", ["not_met"]),
        (VOTE, "Only members can vote.", ["met"]),
        (VOTE, "A member cannot vote twice.", ["met"]),
        (VOTE, "Voting closes at the closing time; no votes after the deadline.", ["met"]),
        (VOTE, "At least three members must approve before the motion is adopted.", ["met"]),
        (VOTE, "The chair alone can adopt the motion.", ["met"]),
        (VOTE, "The title must not be empty.", ["met"]),
        (VOTE, "The title cannot be changed.", ["not_met"]),
        (VOTE, "Only the chair may adopt.", ["met"]),
        (VOTE, "Members can adopt the motion", ["not_met"]),
        (VOTE, "All members can see the motion", ["met"]),
        (VOTE, "Votes must be cast before the motion closes", ["met", "met"]),
        (ACCOUNT, "Only the owner can withdraw.", ["met"]),
        (ACCOUNT, "The withdrawal must not exceed the balance.", ["met"]),
        (ACCOUNT, "The amount withdrawn must be positive", ["met"]),
        (ACCOUNT, "The owner cannot withdraw more than the balance.", ["met"]),
        (ACCOUNT, "The balance can never be negative.", ["not_met"]),
        (ACCOUNT, "Deposits need the consent of the bank.", ["met"]),
        (ACCOUNT, "The bank can freeze the account.", ["met"]),
        (ACCOUNT, "Only the bank can unfreeze it.", ["met"]),
        (ACCOUNT, "The owner may close the account.", ["not_met"]),
        (ACCOUNT, "An account can be closed by the bank only", ["met"]),
        (ACCOUNT, "The account cannot change hands without the consent of the new owner.", ["not_met"]),
        (ACCOUNT, "The currency never changes.", ["met"]),
        (ACCOUNT, "The owner cannot freeze", ["met"]),
        (ACCOUNT, "The bank must not be able to withdraw", ["met"]),
        (ACCOUNT, "The bank can withdraw", ["not_met"]),
        (ACCOUNT, "The new owner must accept the transfer", ["not_met"]),
        (ACCOUNT, "Account holders can withdraw money.", ["met"]),
        (ACCOUNT, "The deposited sum must be positive", ["not_met"]),
        (LOAN, "The lender approves or declines the request.", ["met"]),
        (LOAN, "Only the lender can approve a loan request.", ["met"]),
        (LOAN, "The borrower can withdraw the request at any time.", ["met"]),
        (LOAN, "A request cannot be approved after it has expired.", ["met"]),
        (LOAN, "Loan requests expire.", ["met"]),
        (LOAN, "The principal must be greater than zero.", ["met"]),
        (LOAN, "The interest rate may not be negative.", ["met"]),
        (LOAN, "The interest rate is fixed for the life of the loan.", ["not_met"]),
        (LOAN, "The lender cannot raise the rate without the borrower's consent.", ["not_met"]),
        (LOAN, "Both borrower and lender must sign the loan.", ["met"]),
        (LOAN, "The lender may assign the loan to another lender, who must agree.", ["met", "not_met"]),
        (LOAN, "Assignment requires the consent of the new lender.", ["not_met"]),
        (LOAN, "Only the borrower may repay.", ["met"]),
        (LOAN, "Each payment must be positive.", ["met"]),
        (LOAN, "The borrower cannot pay back more than the principal.", ["not_met"]),
        (LOAN, "Nobody other than lender and borrower can see the loan.", ["met"]),
        (LOAN, "Only the lender and borrower may read the statement.", ["met"]),
        (LOAN, "The principal never changes.", ["met"]),
        (LOAN, "The borrower must not be able to approve its own request.", ["met"]),
        (LOAN, "The lender can forgive the loan.", ["not_found"]),
        (LOAN, "The request must not exceed 1000000.", ["not_found"]),
        (LOAN, "The lender is a signatory of the loan.", ["met"]),
        (LOAN, "An auditor observes every loan", ["not_found"]),
        (LOAN, "No loan without the approval of the lender.", ["met"]),
        (LOAN, "The lender must approve within 7 days.", ["met", "met"]),
        (LOAN, "Borrower and lender must be different parties.", ["not_met"]),
        (LOAN, "The rate must be at most 20.", ["not_met"]),
        (LOAN, "Neither party can change the principal.", ["met"]),
        (LOAN, "A loan can only be created with the signatures of both parties.", ["met"]),
        (ESCROW, "Only the arbiter can release the money, and the fee must be positive.", ["met", "not_met"]),
    ],
)
def test_requirements(code: str, text: str, statuses: list[str]) -> None:
    module, lacking = judged(code)
    found = read_intent(text, module, lacking).requirements
    assert [item.status for item in found] == statuses
    assert all(item.detail and item.text in text for item in found)
    assert all(item.line is None or 1 <= item.line <= code.count("\n") for item in found)


@pytest.mark.parametrize(
    ("code", "text", "line", "told"),
    [
        (
            ACCOUNT,
            "The account cannot change hands without the consent of the new owner.",
            "create this with owner = newOwner",
            "newOwner",
        ),
        (LOAN, "The interest rate is fixed.", "create this with rate = newRate", "RaiseRate"),
        (ESCROW, "The release must happen before the release deadline.", "now <= releaseDeadline", "Release"),
        (ESCROW, "The fee must be positive.", "fee >= 0.0", "fee >= 0.0"),
        (VOTE, "A member cannot vote twice.", "voter `notElem` votes", "CastVote"),
        (ESCROW, "Only the buyer may release the escrow.", "choice Release", "arbiter"),
    ],
)
def test_the_deciding_line_and_the_names_of_the_code(code: str, text: str, line: str, told: str) -> None:
    module, lacking = judged(code)
    (item,) = requirements(text, module, lacking)
    assert item.line is not None and line in code.splitlines()[item.line - 1]
    assert told in item.detail


def test_parties_that_a_text_introduces_by_what_they_do() -> None:
    code = (
        "template Note\n  with\n    issuer : Party\n    holder : Party\n  where\n    signatory issuer\n    observer holder\n"
        "    choice Cancel : ()\n      controller issuer\n      do pure ()\n"
    )
    (item,) = requirements("A bank issues notes. Only the bank can cancel a note.", read(code))
    assert (item.status, item.line) == ("met", 8)
    (item,) = requirements("The broker (holder) may cancel.", read(code))
    assert item.status == "not_met"


@pytest.mark.parametrize(
    "text", ["The system must be quantum proof.", "Every user needs to feel safe.", "It should never break."]
)
def test_demands_in_a_form_not_understood_are_told(text: str) -> None:
    found = read_intent(text, read(ESCROW))
    assert found.requirements == () and [text.rstrip(".")] == list(found.unclear)


@pytest.mark.parametrize("text", ["", "Keeps a record.", "An escrow between a buyer and a seller."])
def test_what_demands_nothing_is_no_requirement(text: str) -> None:
    found = read_intent(text, read(ESCROW))
    assert found.requirements == () and found.unclear == ()


@pytest.mark.parametrize("code", ["", "hello", "template", "template T where"])
def test_code_without_templates(code: str) -> None:
    text = "Only the owner can transfer. The amount must be positive. Both must sign. It expires. a cannot see it."
    assert all(item.status != "met" for item in requirements(text, read(code)))


@pytest.mark.parametrize(
    "piece",
    [
        "a ", "only the ", "buyer and ", "the buyer, the seller, and ", "x", "consent of the buyer and ",
        "The arbiter may release. ", "must not be ", "2 of the ", "a, b, ", "before the deadline ", "(",
    ],
)  # fmt: skip
def test_long_texts_are_bounded(piece: str) -> None:
    found = read_intent((piece * 20_000)[:20_000], read(ESCROW))
    assert len(found.requirements) <= 100


_SPOKEN = st.lists(
    st.sampled_from(
        [
            "only", "the", "buyer", "seller", "arbiter", "can", "may", "must", "not", "never", "release", "refund", "without",
            "consent", "of", "and", "or", "both", "positive", "amount", "fee", "deadline", "before", "after", "10", "days",
            "change", "see", "once", "at", "least", "two", ",", ".", "\n", "nobody", "is", "signed", "by", "(owner)", "who", "agree",
        ]
    ),
    max_size=25,
).map(" ".join)  # fmt: skip


@given(text=st.one_of(_SPOKEN, st.text(max_size=80)))
def test_any_text_is_answered(text: str) -> None:
    module = read(ESCROW)
    found = read_intent(text, module)
    assert found == read_intent(text, module)
    assert {item.status for item in found.requirements} <= {"met", "not_met", "not_found"}


# guards -----------------------------------------------------------------------------------------


def compared(body: str, helpers: str = "") -> list[tuple[str, str, str]]:
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    code = (
        "module M where\n\ntemplate T\n  with\n    a : Party\n    n : Int\n    due : Time\n  where\n    signatory a\n\n"
        f"    choice Go : ()\n      with m : Int\n      controller a\n      do\n{lines}        pure ()\n{helpers}"
    )
    return [(guard.left, guard.operator, guard.right) for guard in guards(read(code))]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("assert (n > 0)", [("n", ">", "0")]),
        ('assertMsg "m" $ n > 0 && m <= n', [("n", ">", "0"), ("m", "<=", "n")]),
        ("assert (0 < n)", [("n", ">", "0")]),
        ("assert (not (n < 0))", [("n", ">=", "0")]),
        ("assert (n > 0 || m > 0)", []),
        ('when (n <= 0) $ abort "no"', [("n", ">", "0")]),
        ('when (n <= 0 || m <= 0) do\n  abort "no"', [("n", ">", "0"), ("m", ">", "0")]),
        ('unless (n > 0) (abort "no")', [("n", ">", "0")]),
        ("when (n > 0) $ pure ()", []),
        ('if n > 0 then pure () else abort "no"', [("n", ">", "0")]),
        ('if n > 0 then abort "no" else pure ()', [("n", "<=", "0")]),
        ("n === m", [("n", "==", "m")]),
        ("now <- getTime\nassert (now < due)", [(CLOCK, "<", "due")]),
        ("now <- getTime\nassert (due >= now)", [(CLOCK, "<=", "due")]),
        ("t <- getTime\nlet today = toDateUTC t\nassert (today > limit)", [(CLOCK, ">", "limit")]),
        ('assertWithinDeadline "due" due', [(CLOCK, "<", "due")]),
        ('assertDeadlineExceeded "due" due', [(CLOCK, ">=", "due")]),
        ("assert (a `elem` [a, b])", [("a", "elem", "a, b")]),
        ("assert (not $ null xs)", [("length xs", ">", "0")]),
        ("assert (length xs >= 3)", [("length xs", ">=", "3")]),
        ("assert (any (== a) xs)", [("a", "elem", "xs")]),
        ('case Map.lookup a m of\n  None -> abort "no"\n  Some _ -> pure ()', [("a", "elem", "m")]),
        ('case Map.lookup a m of\n  None -> pure ()\n  Some _ -> abort "no"', [("a", "notElem", "m")]),
        ("case Map.lookup a m of\n  None -> pure ()\n  Some _ -> pure ()", []),
    ],
)
def test_guards(body: str, found: list[tuple[str, str, str]]) -> None:
    assert compared(body) == found


def test_guards_in_helpers_take_the_arguments_names() -> None:
    helper = '\npositive x = assertMsg "positive" (x > 0)\n'
    assert compared("positive m", helper) == [("m", ">", "0")]


@pytest.mark.parametrize(
    ("helper", "found"),
    [
        ("require m c = if c then pure () else assertFail m", [("n", ">", "0")]),
        ("require m c = unless c (abort m)", [("n", ">", "0")]),
        ("require m c = assertMsg m c", [("n", ">", "0")]),
        ("require m c = when c (abort m)", [("n", "<=", "0")]),
    ],
)
def test_guards_that_a_helper_is_given(helper: str, found: list[tuple[str, str, str]]) -> None:
    assert compared('require "positive" (n > 0)', f"\n{helper}\n") == found


SIGNERS = """\
module M where

template Bill
  with
    vendor, customer, insurer : Party
  where
    signatory vendor
    observer customer, insurer

    choice Pay : ContractId Receipt
      controller customer
      do create Receipt with parties = [vendor, customer]

template Receipt
  with
    parties : [Party]
  where
    signatory parties
    ensure not (null parties)
"""


@pytest.mark.parametrize(
    ("code", "status", "line"),
    [
        # who is in the list is no matter of the template
        (SIGNERS, "not_found", "template Receipt"),
        (SIGNERS.replace("[vendor, customer]", "[vendor, insurer]"), "not_met", "create Receipt"),
    ],
)
def test_signatures_of_the_members_of_a_list(code: str, status: str, line: str) -> None:
    module, lacking = judged(code)
    (found,) = requirements("Insurer and vendor must both sign the receipt.", module, lacking)
    assert found.status == status
    assert found.line and line in code.split("\n")[found.line - 1]


# words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("transfers", "Transfer"), ("transferring", "Transfer"), ("approval", "Approve"), ("cancelled", "Cancel"),
        ("revocation", "Revoke"), ("settlement", "Settle"), ("paid", "Pay"), ("closing", "Close"), ("signature", "sign"),
    ],
)  # fmt: skip
def test_forms_of_a_word_have_one_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


def test_an_agent_is_not_its_deed() -> None:
    assert stem("owner") != stem("own") and stem("issuer") != stem("issue")
    assert same_meaning(stem("approve"), stem("accept")) and not same_meaning(stem("approve"), stem("reject"))


@pytest.mark.parametrize(
    ("spoken", "name", "rate"),
    [
        (["owner"], "owner", 3), (["owner"], "bondOwner", 2), (["owner"], "newOwner", 0), (["new", "owner"], "newOwner", 3),
        (["new", "owner"], "owner", 0), (["recipient"], "receiver", 1), (["buyer"], "seller", 0), ([], "owner", 0),
    ],
)  # fmt: skip
def test_how_well_words_name_a_name(spoken: list[str], name: str, rate: int) -> None:
    assert alike(spoken, name) == rate
