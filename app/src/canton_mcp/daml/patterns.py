"""Authorization patterns: when each fits, who is bound, a skeleton, and what goes wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Bound = Literal["signatory", "observer", "controller"]


@dataclass(frozen=True)
class Role:
    """A party of a skeleton: how it is bound, and what it does."""

    name: str
    bound_as: Bound
    duty: str


@dataclass(frozen=True)
class Pattern:
    """One pattern.

    `cues` are (weight, regular expression) pairs over a workflow description; `against` says what
    must be missing from a description for which the pattern is the wrong choice.
    """

    id: str
    name: str
    when: str
    reason: str
    roles: tuple[Role, ...]
    flow: tuple[str, ...]
    skeleton: str
    enhanced: tuple[str, ...]
    high: tuple[str, ...]
    traps: tuple[str, ...]
    against: str
    cues: tuple[tuple[int, str], ...]

    def matches(self, text: str) -> list[tuple[int, str]]:
        """(weight, matched words) of every cue found in `text`."""
        found = ((weight, re.search(cue, text, re.I)) for weight, cue in self.cues)
        return [(weight, match.group(0)) for weight, match in found if match]


PROPOSE_ACCEPT = Pattern(
    id="propose-accept",
    name="Propose and accept",
    when="two parties shall be bound by one contract, and one of them starts",
    reason="The agreement needs both signatures, and no party can sign for the other. The proposer signs the proposal; "
    "the other party gives its authority by controlling Accept.",
    roles=(
        Role("proposer", "signatory", "signs the proposal, may withdraw it"),
        Role(
            "counterparty", "controller", "sees the proposal, accepts or rejects it, then signs the agreement"
        ),
    ),
    flow=(
        "proposer creates the Proposal with its own authority",
        "counterparty exercises Accept: proposer's signature and counterparty's control together create the Agreement",
        "or counterparty exercises Reject, or proposer exercises Withdraw: the proposal is gone",
    ),
    skeleton="""\
module Agreement where

template Agreement
  with
    proposer : Party
    counterparty : Party
    terms : Text
  where
    signatory proposer, counterparty

template Proposal
  with
    proposer : Party
    counterparty : Party
    terms : Text
    expiresAt : Time
  where
    signatory proposer
    observer counterparty

    choice Accept : ContractId Agreement
      controller counterparty
      do
        now <- getTime
        assertMsg "the proposal has expired" (now < expiresAt)
        create Agreement with proposer; counterparty; terms

    choice Reject : ()
      controller counterparty
      do pure ()

    choice Withdraw : ()
      controller proposer
      do pure ()
""",
    enhanced=("an expiry that Accept checks", "Reject for the counterparty and Withdraw for the proposer"),
    high=("tie the terms to an agreed document (hash) so that neither side can swap them before Accept",),
    traps=(
        "the counterparty is not an observer and never sees the proposal",
        "a nonconsuming Accept can be repeated",
        "no Reject, Withdraw or expiry leaves offers open for ever",
    ),
    against="no single party makes an offer to one other",
    cues=(
        (3, r"\bpropos\w+"),
        (3, r"\boffer(?:s|ed)?\b"),
        (2, r"\baccept\w*"),
        (1, r"\breject\w*|\bdeclin\w+"),
        (2, r"\binvit\w+"),
        (1, r"\bcounter-?part\w+"),
        (1, r"\bboth (?:parties|sides)\b"),
        (1, r"\bagree\w*"),
    ),
)

MULTI_PARTY = Pattern(
    id="multi-party-agreement",
    name="Multiple-party agreement",
    when="three or more parties must all sign, in any order",
    reason="Signatures must be collected one by one. Each Sign adds the authority of one more party to a pending "
    "contract, until Finalize has all of them.",
    roles=(
        Role("parties", "signatory", "sign the pending contract one by one, then the final one together"),
        Role("signer", "controller", "must be one of the parties that has not signed yet"),
    ),
    flow=(
        "one party creates the Pending contract, signed by itself alone",
        "each other party exercises Sign, which re-creates Pending with one more signatory",
        "when all have signed, any of them exercises Finalize",
    ),
    skeleton="""\
module MultiPartyAgreement where

import DA.List (sort, unique)

template Agreement
  with
    parties : [Party]
    terms : Text
  where
    signatory parties
    ensure unique parties && not (null parties)

template Pending
  with
    agreement : Agreement
    signed : [Party]
  where
    signatory signed
    observer agreement.parties
    ensure unique signed && not (null signed)

    choice Sign : ContractId Pending
      with signer : Party
      controller signer
      do
        assertMsg "only a party to the agreement signs" (signer `elem` agreement.parties)
        assertMsg "a party signs once" (signer `notElem` signed)
        create this with signed = signer :: signed

    choice Finalize : ContractId Agreement
      with signer : Party
      controller signer
      do
        assertMsg "only a party to the agreement finalizes" (signer `elem` signed)
        assertMsg "every party has signed" (sort signed == sort agreement.parties)
        create agreement
""",
    enhanced=(
        "a deadline after which the pending contract can be dropped",
        "a choice to leave before Finalize",
    ),
    high=("compare the set of signers with the set of parties in Finalize, never their number",),
    traps=(
        "an unguarded signer adds strangers",
        "the order of the two lists decides their equality: sort both",
        "starting with other parties in 'signed' needs their authority and fails",
        "many signers at once contend for the same contract",
    ),
    against="no group of three or more signs together",
    cues=(
        (3, r"\ball (?:of the )?(?:parties|members|participants|signers|sides|partners)\b"),
        (
            3,
            r"\b(?:three|four|five|several|multiple|many) (?:parties|signers|companies|banks|partners|signatories)\b",
        ),
        (3, r"\bmulti-?part(?:y|ies)\b"),
        (2, r"\beveryone\b|\beach party\b|\bevery party\b|\bunanim\w+"),
        (1, r"\bsign\w*"),
        (1, r"\bconsortium\b|\bsyndicat\w+"),
    ),
)

DELEGATION = Pattern(
    id="delegation",
    name="Delegation (power of attorney)",
    when="an agent shall act for a principal, within limits",
    reason="The principal signs a mandate once; its authority is then available inside the mandate's choices, which "
    "the agent controls and the body limits.",
    roles=(
        Role("principal", "signatory", "grants the mandate and may revoke it"),
        Role("agent", "controller", "acts within scope, limit and time"),
    ),
    flow=(
        "principal creates the Mandate",
        "agent exercises Act: the body checks limit and expiry, then acts with the principal's authority",
        "principal exercises Revoke when the mandate shall end",
    ),
    skeleton="""\
module Delegation where

template Order
  with
    principal : Party
    venue : Party
    amount : Decimal
  where
    signatory principal
    observer venue
    ensure amount > 0.0

template Mandate
  with
    principal : Party
    agent : Party
    venue : Party
    limit : Decimal
    expiresAt : Time
  where
    signatory principal
    observer agent
    ensure limit > 0.0

    nonconsuming choice PlaceOrder : ContractId Order
      with orderAmount : Decimal
      controller agent
      do
        now <- getTime
        assertMsg "the mandate has expired" (now < expiresAt)
        assertMsg "the amount exceeds the mandate" (orderAmount <= limit)
        create Order with principal; venue; amount = orderAmount

    choice Revoke : ()
      controller principal
      do pure ()
""",
    enhanced=("scope, limit and expiry checked in every choice", "Revoke for the principal"),
    high=("a total limit that each use lowers (a consuming choice that re-creates the mandate)",),
    traps=(
        "the agent cannot see the contract it shall act on",
        "no scope or expiry: the agent can do everything for ever",
        "the touched contract's owner is never compared with the principal",
    ),
    against="nobody acts in another party's name",
    cues=(
        (4, r"\bon behalf of\b|\bin (?:the )?name of\b"),
        (4, r"\bdelegat\w+"),
        (3, r"\bpower of attorney\b|\bmandate\w*"),
        (2, r"\bagent\b|\bbroker\b|\btrustee\b|\bcustodian acts\b"),
        (2, r"\bbot\b|\bautomat\w+ (?:on|for)\b"),
    ),
)

CREDENTIAL = Pattern(
    id="credential",
    name="Authorization token (credential)",
    when="a third party vouches for somebody (KYC, licence, role) before it may act",
    reason="The vouching party signs a credential that only it can issue and revoke. The guarded choice fetches it and "
    "compares issuer, holder and expiry.",
    roles=(
        Role("issuer", "signatory", "issues and revokes the credential"),
        Role("holder", "observer", "shows it when acting"),
        Role("operator", "signatory", "signs the service that demands the credential"),
    ),
    flow=(
        "issuer creates the Credential for the holder",
        "holder exercises Enter with the credential's id; the body fetches and compares it",
        "issuer exercises Revoke to end it",
    ),
    skeleton="""\
module Credential where

template Credential
  with
    issuer : Party
    holder : Party
    claim : Text
    expiresAt : Time
  where
    signatory issuer
    observer holder

    choice Revoke : ()
      controller issuer
      do pure ()

template Membership
  with
    operator : Party
    member : Party
  where
    signatory operator, member

template Service
  with
    operator : Party
    issuer : Party
    customer : Party
  where
    signatory operator
    observer customer

    nonconsuming choice Enter : ContractId Membership
      with credentialCid : ContractId Credential
      controller customer
      do
        credential <- fetch credentialCid
        now <- getTime
        assertMsg "another issuer" (credential.issuer == issuer)
        assertMsg "another holder" (credential.holder == customer)
        assertMsg "another claim" (credential.claim == "kyc")
        assertMsg "expired" (now < credential.expiresAt)
        create Membership with operator; member = customer
""",
    enhanced=("issuer, holder, claim and expiry all compared", "Revoke for the issuer"),
    high=("the trusted issuer is a field that two parties sign for, not one administrator",),
    traps=(
        "the credential is fetched but never compared",
        "the issuer is taken from the credential itself, so anybody can issue one",
        "a Bool field instead of a contract: nobody vouches for it",
    ),
    against="no third party has to vouch for anybody",
    cues=(
        (4, r"\bkyc\b|\bcredential\w*|\baccredit\w+"),
        (3, r"\blicen[cs]e\w*|\bcertificat\w+|\bcertif(?:y|ied)\b|\bwhitelist\w*"),
        (3, r"\bvouch\w*|\bverif(?:y|ies|ied)\b.{0,40}\b(?:identity|investor|customer|user)"),
        (2, r"\btoken that (?:allows|authori[sz]es)\b|\bpermission(?:s|ed)?\b"),
        (1, r"\brevok\w+"),
    ),
)

ROLE_CONTRACT = Pattern(
    id="role-contract",
    name="Role contract (service)",
    when="two parties keep working together, with many operations over time",
    reason="Both sides sign the relation once. Each operation is then a nonconsuming choice, which has the authority "
    "of both, so nobody has to propose and accept every time.",
    roles=(
        Role("provider", "signatory", "offers the service and acts on requests"),
        Role("customer", "signatory", "uses the service"),
    ),
    flow=(
        "provider offers the service; customer exercises AcceptService, and both are bound",
        "customer exercises Request as often as it likes",
        "either side exercises Terminate",
    ),
    skeleton="""\
module RoleContract where

template ServiceOffer
  with
    provider : Party
    customer : Party
  where
    signatory provider
    observer customer

    choice AcceptService : ContractId Service
      controller customer
      do create Service with provider; customer

    choice RejectService : ()
      controller customer
      do pure ()

template Service
  with
    provider : Party
    customer : Party
  where
    signatory provider, customer

    nonconsuming choice SubmitRequest : ContractId Request
      with details : Text
      controller customer
      do create Request with provider; customer; details

    choice TerminateByCustomer : ()
      controller customer
      do pure ()

    choice TerminateByProvider : ()
      controller provider
      do pure ()

template Request
  with
    provider : Party
    customer : Party
    details : Text
  where
    signatory provider, customer

    choice Complete : ()
      controller provider
      do pure ()

    choice CancelRequest : ()
      controller customer
      do pure ()
""",
    enhanced=("Terminate for both sides", "limits on what one operation may do"),
    high=("value-moving operations as joint choices, not on the standing signature alone",),
    traps=(
        "too much power rests on one signature",
        "no termination",
        "growing lists of users in one contract: use one contract per customer",
    ),
    against="the parties meet once, not again and again",
    cues=(
        (3, r"\bservice\b|\bsubscri\w+"),
        (3, r"\bongoing\b|\blong-?(?:term|lived|running)\b|\brepeated(?:ly)?\b|\bregularly\b|\brecurring\b"),
        (3, r"\bonboard\w*"),
        (2, r"\bcustomer\w*.{0,60}\brequest\w*|\bclient\w*.{0,60}\brequest\w*"),
        (2, r"\bmany (?:operations|requests|orders)\b|\bany number of\b|\bevery (?:day|month|week)\b"),
    ),
)

LOCKING = Pattern(
    id="locking",
    name="Locking (escrow)",
    when="an asset must stand still until something happens",
    reason="The asset is archived into a locked form that no ordinary choice touches. The locker can release it, and "
    "the owner gets it back after the deadline, so it cannot be stuck.",
    roles=(
        Role("issuer", "signatory", "issued the asset"),
        Role("owner", "signatory", "owns the asset and may claw it back after the deadline"),
        Role("locker", "signatory", "holds the lock and releases it"),
    ),
    flow=(
        "owner and locker exercise Lock: the asset is archived, the locked form created",
        "locker exercises Release: the asset is re-created for the same owner",
        "after the deadline owner exercises Clawback",
    ),
    skeleton="""\
module Locking where

template Asset
  with
    issuer : Party
    owner : Party
    amount : Decimal
  where
    signatory issuer, owner
    ensure amount > 0.0

    choice Lock : ContractId LockedAsset
      with
        locker : Party
        until : Time
      controller owner, locker
      do create LockedAsset with asset = this; locker; until

template LockedAsset
  with
    asset : Asset
    locker : Party
    until : Time
  where
    signatory asset.issuer, asset.owner, locker

    choice Release : ContractId Asset
      controller locker
      do create asset

    choice Clawback : ContractId Asset
      controller asset.owner
      do
        now <- getTime
        assertMsg "still locked" (now >= until)
        create asset
""",
    enhanced=("a deadline and Clawback", "Release re-creates the very payload that was locked"),
    high=("release only to a destination fixed when the asset was locked, or by locker and owner together",),
    traps=(
        "a lock flag, but one choice without the guard",
        "no deadline: the asset is stuck when the locker is gone",
        "the locker can archive the locked form and so destroy the asset",
    ),
    against="nothing has to stand still until an event or a time",
    cues=(
        (4, r"\bescrow\w*"),
        (4, r"\block(?:s|ed|ing|up)?\b"),
        (3, r"\bcollateral\w*|\bpledg\w+|\bfreez\w+|\bfrozen\b|\breserv\w+"),
        (2, r"\bheld until\b|\bhold(?:s)? .{0,30}until\b|\breleas\w+"),
        (1, r"\bdeposit\w*"),
    ),
)

TRANSFER = Pattern(
    id="transfer-with-consent",
    name="Transfer with consent of the receiver",
    when="an asset changes its owner, and the owner is a signatory",
    reason="The new owner becomes a signatory, so its authority is needed. The asset turns into a transfer proposal, "
    "which the receiver accepts; a plain re-creation under the old owner's authority fails.",
    roles=(
        Role("issuer", "signatory", "issued the asset and stands behind it"),
        Role("owner", "signatory", "starts the transfer, may cancel it"),
        Role("receiver", "controller", "accepts or rejects, then signs as the new owner"),
    ),
    flow=(
        "owner exercises ProposeTransfer: the asset is archived into a TransferProposal",
        "receiver exercises AcceptTransfer: issuer, owner and receiver together create the asset for the receiver",
        "or receiver rejects, or owner cancels: the asset is back with the owner",
    ),
    skeleton="""\
module Transfer where

template Asset
  with
    issuer : Party
    owner : Party
    amount : Decimal
  where
    signatory issuer, owner
    ensure amount > 0.0

    choice ProposeTransfer : ContractId TransferProposal
      with receiver : Party
      controller owner
      do create TransferProposal with asset = this; receiver

template TransferProposal
  with
    asset : Asset
    receiver : Party
  where
    signatory asset.issuer, asset.owner
    observer receiver

    choice AcceptTransfer : ContractId Asset
      controller receiver
      do create asset with owner = receiver

    choice RejectTransfer : ContractId Asset
      controller receiver
      do create asset

    choice CancelTransfer : ContractId Asset
      controller asset.owner
      do create asset
""",
    enhanced=("Reject and Cancel that give the asset back", "an expiry of the proposal"),
    high=(
        "a preapproval contract of the receiver, or a joint choice of owner and issuer, for regulated assets",
    ),
    traps=(
        "re-creating the asset with a new owner under the old owner's authority: the most common failure",
        "the asset stays active while the proposal is open and is spent twice",
        "the receiver is no observer and cannot see the proposal",
    ),
    against="no asset changes hands",
    cues=(
        (4, r"\btransfer\w*"),
        (3, r"\bnew owner\b|\bchange\w* (?:of )?owner\w*|\bownership\b"),
        (3, r"\bsend\w* (?:the )?(?:asset|token|money|coin|bond|share)"),
        (2, r"\bsell\w*|\bbuys?\b|\bbuyer\b|\bseller\b"),
        (1, r"\basset\w*|\btoken\w*|\biou\b|\bbond\w*|\bshares?\b|\bcoins?\b"),
    ),
)

ANY_OF = Pattern(
    id="any-of-control",
    name="Control by any one of several parties",
    when="each of a few parties alone may do the same thing",
    reason="One choice takes the acting party as a parameter that controls it, and the body asserts that the party is "
    "one of those allowed.",
    roles=(
        Role("owner", "signatory", "is bound, and may act"),
        Role("deputy", "observer", "may act in the same way"),
        Role("actor", "controller", "must be owner or deputy"),
    ),
    flow=(
        "owner creates the contract and names its deputy",
        "owner or deputy exercises the choice as actor; the guard refuses everybody else",
    ),
    skeleton="""\
module AnyOf where

template Record
  with
    owner : Party
    deputy : Party
    note : Text
  where
    signatory owner
    observer deputy

    choice Amend : ContractId Record
      with
        actor : Party
        newNote : Text
      controller actor
      do
        assertMsg "only owner or deputy" (actor `elem` [owner, deputy])
        create this with note = newNote
""",
    enhanced=("the guard on the actor in every such choice",),
    high=("value moves by both together instead of either alone",),
    traps=("the guard is missing: anybody who sees the contract acts with the signatories' authority",),
    against="no two parties may do the same thing each alone",
    cues=(
        (4, r"\bany (?:one )?of\b|\bany one\b"),
        (3, r"\beither\b.{0,60}\bor\b"),
        (3, r"\bdeput\w+|\bsubstitut\w+"),
        (1, r"\balone\b|\bindependently\b"),
    ),
)

THRESHOLD = Pattern(
    id="threshold-approval",
    name="Threshold approval (multisig, voting)",
    when="m of n members must approve before something happens",
    reason="Each approval adds the approving member's signature to the proposal, so approvals cannot be invented. "
    "Execute counts them.",
    roles=(
        Role("host", "signatory", "opens the proposal and executes it once enough members approved"),
        Role("members", "observer", "see the proposal and may approve it"),
        Role("approver", "controller", "a member that has not approved yet; signs from then on"),
    ),
    flow=(
        "host creates the MultisigProposal without approvals",
        "each member exercises Approve, which re-creates it with one more signatory",
        "host exercises Execute when the threshold is reached",
    ),
    skeleton="""\
module Threshold where

import DA.List (unique)

template Decision
  with
    host : Party
    approvals : [Party]
    action : Text
  where
    signatory host, approvals

template MultisigProposal
  with
    host : Party
    members : [Party]
    approvals : [Party]
    threshold : Int
    action : Text
    deadline : Time
  where
    signatory host, approvals
    observer members
    ensure unique members && unique approvals && threshold > 0 && threshold <= length members

    choice Approve : ContractId MultisigProposal
      with approver : Party
      controller approver
      do
        now <- getTime
        assertMsg "the vote is closed" (now < deadline)
        assertMsg "only members approve" (approver `elem` members)
        assertMsg "one approval per member" (approver `notElem` approvals)
        create this with approvals = approver :: approvals

    choice Execute : ContractId Decision
      controller host
      do
        assertMsg "not enough approvals" (length approvals >= threshold)
        create Decision with host; approvals; action

    choice Abandon : ()
      controller host
      do pure ()
""",
    enhanced=("a deadline, one approval per member, and a way to abandon",),
    high=("members and threshold come from a contract that the members sign, not from the host",),
    traps=(
        "approvals as plain data: the host alone vouches for them",
        "the payload can be edited after approvals were given",
        "a member approves twice",
    ),
    against="no number of approvals out of a group is asked for",
    cues=(
        (4, r"\bmulti-?sig\w*|\bthreshold\b|\bquorum\b"),
        (
            4,
            r"\b(?:\d+|two|three|m) (?:out )?of (?:the )?(?:\d+|three|five|n|them|members|approvers|directors)\b",
        ),
        (3, r"\bvot(?:e|es|ing)\b|\bmajority\b"),
        (3, r"\bat least (?:\d+|two|three|four)\b"),
        (2, r"\bapprov\w+"),
        (1, r"\bcommittee\b|\bboard\b"),
    ),
)

READ_ACCESS = Pattern(
    id="read-access",
    name="Observers (read-only access)",
    when="somebody shall see data without being bound and without acting",
    reason="Observers see a contract and its archival but give no authority. The data owner alone decides who is added "
    "and removed.",
    roles=(
        Role("owner", "signatory", "owns the data and decides who sees it"),
        Role("readers", "observer", "see the data; they neither sign nor act"),
    ),
    flow=(
        "owner creates the Report with its readers",
        "owner exercises Share or Unshare, which re-creates it with other readers",
    ),
    skeleton="""\
module ReadAccess where

import DA.List (delete, unique)

template Report
  with
    owner : Party
    readers : [Party]
    content : Text
  where
    signatory owner
    observer readers
    ensure unique readers && length readers <= 100

    choice Share : ContractId Report
      with reader : Party
      controller owner
      do create this with readers = reader :: readers

    choice Unshare : ContractId Report
      with reader : Party
      controller owner
      do create this with readers = delete reader readers
""",
    enhanced=("a cap on the readers", "removal of readers (what they have seen stays seen)"),
    high=("a separate report contract for regulators, so that they never see the working contract",),
    traps=(
        "a party other than the data owner sets the observers",
        "nonconsuming exercises are not shown to plain observers: use choice observers",
        "readers cannot be made to forget",
    ),
    against="nobody is to look on without acting",
    cues=(
        (4, r"\bread-?only\b|\bobserv\w+"),
        (3, r"\baudit\w*|\bregulator\w*|\bsupervis\w+"),
        (3, r"\bvisib\w+|\bsee (?:the|all|it|them)\b|\bview\w*|\bmonitor\w*"),
        (2, r"\breport(?:s|ing)?\b|\bprivacy\b|\bconfidential\w*|\bshare (?:data|information)\b"),
    ),
)

SETTLEMENT = Pattern(
    id="delegated-settlement",
    name="Delegated settlement (delivery versus payment)",
    when="two legs must move together or not at all",
    reason="Both parties sign the deal beforehand, so its Settle choice has the authority of both and moves both legs "
    "in one transaction.",
    roles=(
        Role("seller", "signatory", "delivers the asset"),
        Role("buyer", "signatory", "pays the cash"),
        Role("actor", "controller", "seller or buyer, whoever settles"),
    ),
    flow=(
        "seller and buyer agree on the Deal (propose and accept)",
        "seller or buyer exercises Settle with both legs; the body compares their owners with the deal",
        "both legs move in one transaction",
    ),
    skeleton="""\
module Settlement where

template Holding
  with
    issuer : Party
    owner : Party
    amount : Decimal
  where
    signatory issuer, owner
    ensure amount > 0.0

    choice Move : ContractId Holding
      with receiver : Party
      controller owner, receiver
      do create this with owner = receiver

template Deal
  with
    seller : Party
    buyer : Party
    deliveryIssuer : Party
    paymentIssuer : Party
    deliveryAmount : Decimal
    paymentAmount : Decimal
  where
    signatory seller, buyer
    ensure seller /= buyer && deliveryAmount > 0.0 && paymentAmount > 0.0

    choice Settle : (ContractId Holding, ContractId Holding)
      with
        actor : Party
        deliveryCid : ContractId Holding
        paymentCid : ContractId Holding
      controller actor
      do
        assertMsg "only seller or buyer settles" (actor `elem` [seller, buyer])
        delivery <- fetch deliveryCid
        payment <- fetch paymentCid
        assertMsg "the seller owns the delivery" (delivery.owner == seller)
        assertMsg "the buyer owns the payment" (payment.owner == buyer)
        assertMsg "the agreed delivery" (delivery.amount == deliveryAmount)
        assertMsg "the agreed payment" (payment.amount == paymentAmount)
        assertMsg "the agreed asset" (delivery.issuer == deliveryIssuer)
        assertMsg "the agreed currency" (payment.issuer == paymentIssuer)
        moved <- exercise deliveryCid Move with receiver = buyer
        paid <- exercise paymentCid Move with receiver = seller
        pure (moved, paid)
""",
    enhanced=(
        "owner, issuer and amount of both legs compared with the deal",
        "a deadline and a way to cancel the deal",
    ),
    high=("both legs locked for the deal before it is signed", "Settle by seller and buyer together"),
    traps=(
        "the legs' owners are never compared with the parties of the deal",
        "the legs are not locked and gone at settlement",
        "the settling party cannot see the other leg",
    ),
    against="no two legs have to move together",
    cues=(
        (5, r"\bdvp\b|\bdelivery[- ]versus[- ]payment\b|\batomic\w*"),
        (4, r"\bsettle\w*"),
        (4, r"\bswap\w*|\bexchang\w+|\bin return\b"),
        (2, r"\bagainst payment\b|\bsimultaneous\w*|\bat the same time\b"),
        (1, r"\btrad(?:e|es|ing)\b|\bpayment\b"),
    ),
)

PATTERNS: tuple[Pattern, ...] = (
    PROPOSE_ACCEPT,
    TRANSFER,
    SETTLEMENT,
    MULTI_PARTY,
    THRESHOLD,
    DELEGATION,
    CREDENTIAL,
    ROLE_CONTRACT,
    LOCKING,
    ANY_OF,
    READ_ACCESS,
)
