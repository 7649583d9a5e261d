"""Requirements in fresh words over whole modules: what is met, not met, not found, and at which line."""

from __future__ import annotations

from pathlib import Path

import pytest
from canton_mcp import daml

SOUND = Path(__file__).parent / "sound"

# module, sentence, (status, a part of the line that decides)..; no answer at all means: check it by hand
SENTENCES: list[tuple[str, str, list[tuple[str, str]]]] = [
    ("Escrow", "Only the buyer can withdraw the offer.", [("met", "choice PullBack")]),
    ("Escrow", "The buyer gets a refund only after the due date.", [("met", "now >= dueBy")]),
    (
        "Escrow",
        "The price must be positive and the buyer and seller must be different.",
        [("met", "terms.price > 0.0"), ("met", "buyer /= seller")],
    ),
    ("Escrow", "The bank must not be able to release the escrow.", [("not_found", "")]),
    ("Escrow", "A split may not exceed the amount held.", [("met", "part <= amount")]),
    ("Escrow", "The seller must not be able to take the money without the agent.", []),
    ("Bond", "Only the bearer may pledge the bond.", [("met", "choice Bond_Pledge")]),
    ("Bond", "Only the registrar may pledge the bond.", [("not_met", "choice Bond_Pledge")]),
    ("Bond", "Redemption needs both issuer and bearer.", [("met", "choice Bond_Redeem")] ),
    ("Bond", "Redemption needs both lender and bearer.", [("not_met", "choice Bond_Redeem"), ("met", "choice Bond_Redeem")]),
    ("Bond", "Redemption is only possible at maturity.", [("met", "today >= matures")]),
    ("Bond", "The investor may decline the tranche.", [("met", "choice TrancheOffer_Decline")]),
    ("Kyc", "At least one document must be supplied.", [("met", "null documents")]),
    ("Kyc", "At least three documents must be supplied.", [("not_met", "null documents")]),
    ("Kyc", "The client must not certify itself.", [("met", "choice Certify")]),
    ("Voting", "At most 50 members.", [("met", "<= 50")]),
    ("Voting", "At most 20 members.", [("not_met", "<= 50")]),
    ("Voting", "Votes are not accepted after the closing time.", [("met", "now < closes")]),
    ("Voting", "The chair cannot tally before the vote closes.", [("met", "now >= closes")]),
    ("Voting", "All supporters sign the adopted motion.", [("met", "template Adopted")]),
    ("Config", "The fee must be less than 100 percent.", [("met", "feeRate < 1.0")]),
    ("Config", "The fee must be less than 50 percent.", [("not_met", "feeRate < 1.0")]),
    ("Config", "A merchant cannot change the fee.", [("met", "feeRate = feeRate'")]),
    ("Config", "The administrator cannot change the fee.", [("not_met", "feeRate = feeRate'")]),
    ("Config", "No sales while paused.", []),
    ("Token", "Merging requires the same owner.", [("met", "other.owner == owner")]),
    ("Token", "The registry alone cannot burn tokens.", [("met", "choice Token_Burn")]),
    ("Token", "Transfers stop after the preapproval expires.", [("met", "now < limit")]),
    ("Lock", "The owner can claw back after the lock expires.", [("met", "choice LockedAsset_Clawback"), ("met", "now >= freeAfter")]),
    ("Lease", "Neither the landlord nor the tenant can change the deposit.", [("met", "")]),
    ("Lease", "Neither the landlord nor the tenant can change the rent.", [("not_met", "rent = newRent")]),
    ("Lease", "Tenants can report damages; the landlord must not be able to report them.",
     [("met", "ReportDamage"), ("met", "ReportDamage")]),
    ("Fund", "The fund can be closed only by manager and trustee together.", [("met", "choice CloseFund")]),
    ("Fund", "Holdings are frozen only by manager and trustee together.", [("not_met", "choice Freeze")]),
    ("Fund", "Only admitted investors may subscribe, and only before the cut-off.",
     [("met", "choice Subscribe"), ("met", "now < cutOff")]),
    ("Fund", "Any investor can admit others.", [("not_met", "choice Admit")]),
    ("Fund", "No subscription after the fund is closed.", []),
    ("Grant", "The officer must not be the applicant.", [("met", "applicant /= officer")]),
    ("Grant", "The director must not be the applicant.", [("not_met", "")]),
    ("Grant", "A director cannot award without an endorsement by the officer.", [("met", "choice Endorse")]),
    ("Grant", "The applicant can draw only once.", [("not_met", "choice Draw")]),
    ("Grant", "Nobody may apply for more than 50,000.", [("not_found", "")]),
    ("Policy", "A claim can never exceed the cover.", [("met", "amount <= cover")]),
    ("Policy", "The insurer may not refuse a claim.", [("not_met", "choice Deny")]),
    ("Policy", "The insurer cannot end the policy before it expires.", [("met", "now > endsOn")]),
    ("Mandate", "The agent may pay on behalf of the principal up to the agreed limit.",
     [("met", "choice Mandate_Pay"), ("met", "part <= upTo")]),
    ("Mandate", "Payments after the end date are impossible.", [("met", "now < until")]),
    ("Mandate", "Only money of the principal may be spent.", []),
    ("Auction", "No more than 100 bids.", [("met", "length bids <= 100")]),
    ("Auction", "Nobody but the seller closes the auction, and only after the closing time.",
     [("met", "choice CloseAuction"), ("met", "now >= closes")]),
    ("Auction", "All bidders can see the auction.", [("met", "template Auction")]),
    ("Loan", "The lender can forgive the loan.", [("met", "choice Forgive")]),
    ("Loan", "Neither party may change the principal.", [("met", "principal : Decimal")]),
    ("Governance", "Only members may vote.", [("met", "choice CastVote")]),
    ("Governance", "Nobody can vote twice.", [("met", "M.lookup voter votes")]),
    ("Governance", "The dao can close a vote only after its deadline.",
     [("met", "choice CloseVote"), ("met", "request.deadline <= now")]),
    ("Governance", "Members can cancel the membership.", [("not_found", "")]),
    ("Lending", "The auditor may never change anything.", [("met", "")]),
    ("Lending", "The bank may never change anything.", [("not_met", "choice DeclineApplication")]),
    ("Lending", "Loans are limited to 1 million.", [("not_found", "")]),
    ("Lending", "A loan never expires.", []),
    ("Wallet", "Locked coins can be unlocked by the owner after the lock expired.",
     [("met", "choice LockedCoin_Unlock"), ("met", "expiresAt < now")]),
    ("Wallet", "All amounts must be positive.", [("met", "amount > 0.0")]),
    ("Voting", "Votes must reach at least the quorum.", [("not_met", "")]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "sentence", "expected"), SENTENCES, ids=[one[1] for one in SENTENCES])
def test_sentence(name: str, sentence: str, expected: list[tuple[str, str]]) -> None:
    text = (SOUND / f"{name}.daml").read_text("utf-8")
    code = daml.judged(text)
    reading = daml.read_intent(sentence, code.module, daml.shortfalls(code.analysis))
    lines = text.split("\n")
    assert [one.status for one in reading.requirements] == [status for status, _ in expected]
    for answer, (_, part) in zip(reading.requirements, expected, strict=True):
        assert part in (lines[answer.line - 1] if answer.line else "")
    assert bool(reading.unclear) == (not expected)
