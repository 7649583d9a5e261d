"""Authorization patterns: when each fits, who is bound, a skeleton for every level, and what goes wrong."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

__all__ = ["LEVELS", "PATTERNS", "Bound", "Level", "Pattern", "Role", "pattern"]

Bound = Literal["signatory", "observer", "controller"]
Level = Literal["basic", "enhanced", "high"]
LEVELS: tuple[Level, ...] = ("basic", "enhanced", "high")

_MARK = re.compile(r"#(?:for (?P<tags>[a-z ]+)|end)\n?\Z")


@dataclass(frozen=True)
class Role:
    """A party of a skeleton: how it is bound, and what it does."""

    name: str
    bound_as: Bound
    duty: str


@dataclass(frozen=True)
class Pattern:
    """One pattern; its code is in ``skeletons/ID.daml``, what descriptions of such workflows say in ``cues.toml``.

    `against` says what must be missing from a description for which the pattern is the wrong choice;
    `alternatives` are (id, when) pairs.
    """

    id: str
    name: str
    when: str
    reason: str
    roles: tuple[Role, ...]
    flow: tuple[str, ...]
    enhanced: tuple[str, ...]
    high: tuple[str, ...]
    traps: tuple[str, ...]
    against: str
    alternatives: tuple[tuple[str, str], ...]

    @property
    def skeleton(self) -> str:
        """The templates of the basic level, without the test."""
        return self.code("basic", test=False)

    @property
    def cues(self) -> tuple[tuple[int, str], ...]:
        """(weight, regular expression) pairs over a workflow description."""
        return _wording()[self.id].cues

    @property
    def stems(self) -> frozenset[str]:
        """Beginnings of words that are common in descriptions of such workflows."""
        return _wording()[self.id].stems

    def code(self, level: Level, *, test: bool = True) -> str:
        """A whole module for a level, with a script that tests it."""
        lines: list[str] = []
        wanted = True
        for line in _source(self.id).splitlines(keepends=True):
            mark = _MARK.match(line)
            if mark is None:
                lines += [line] if wanted else []
                continue
            tags = set((mark["tags"] or "").split())
            levels = tags & set(LEVELS)
            wanted = (test or "test" not in tags) and (not levels or level in levels)
        return "".join(lines)

    def matches(self, text: str) -> list[tuple[int, str]]:
        """(weight, matched words) of every cue found in `text`."""
        found = ((weight, re.search(cue, text, re.I)) for weight, cue in self.cues)
        return [(weight, match.group(0)) for weight, match in found if match]


def pattern(name: str) -> Pattern | None:
    """The pattern with this id."""
    return next((entry for entry in PATTERNS if entry.id == name), None)


@dataclass(frozen=True)
class _Wording:
    stems: frozenset[str]
    cues: tuple[tuple[int, str], ...]


@cache
def _source(name: str) -> str:
    """DAML with lines ``#for TAG ..`` to ``#end`` around what belongs to certain levels, or to the test."""
    return (resources.files(__package__) / "skeletons" / f"{name}.daml").read_text("utf-8")


@cache
def _wording() -> dict[str, _Wording]:
    """By pattern, what descriptions say."""
    read = tomllib.loads((resources.files(__package__) / "cues.toml").read_text("utf-8"))
    lists = {name: f"(?:{'|'.join(lines)})" for name, lines in read.pop("words").items()}
    return {
        name: _Wording(
            frozenset(entry["stems"].split()),
            tuple(
                (weight, re.sub(r"<(\w+)>", lambda found: lists[found[1]], "|".join(lines)))
                for weight, *lines in entry["cues"]
            ),
        )
        for name, entry in read.items()
    }


_PROPOSE_ACCEPT = Pattern(
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
    enhanced=(
        "an expiry that Accept checks",
        "Reject for the counterparty and Withdraw for the proposer",
        "Accept names the terms that the counterparty has read, so a swapped proposal fails",
    ),
    high=(
        "an agreed way out of the agreement: one side asks to end it, the other one agrees or lets it stand",
    ),
    traps=(
        "the counterparty is not an observer and never sees the proposal",
        "a nonconsuming Accept can be repeated",
        "no Reject, Withdraw or expiry leaves offers open for ever",
    ),
    against="no single party makes an offer to one other",
    alternatives=(
        ("multi-party-agreement", "three or more parties must sign"),
        ("role-contract", "the two go on to work together and would propose again and again"),
        ("transfer-with-consent", "what is offered is an asset that exists already"),
    ),
)

_TRANSFER = Pattern(
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
    enhanced=("Reject and Cancel that give the asset back", "an expiry of the proposal"),
    high=(
        "a preapproval contract that the receiver signs for one sender and one issuer, for transfers in one step",
    ),
    traps=(
        "re-creating the asset with a new owner under the old owner's authority: the most common failure",
        "the asset stays active while the proposal is open and is spent twice",
        "the receiver is no observer and cannot see the proposal",
    ),
    against="no asset changes hands",
    alternatives=(
        ("delegated-settlement", "something comes back for the asset in the same step"),
        ("locking", "the asset stands still until an event"),
        ("token-standard", "the asset follows the token standard of the Canton Network"),
    ),
)

_SETTLEMENT = Pattern(
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
    enhanced=(
        "owner, issuer and amount of both legs compared with the deal",
        "a deadline, and a way to cancel the deal after it",
    ),
    high=("both legs locked for the other side until a time, so neither can be gone at settlement",),
    traps=(
        "the legs' owners are never compared with the parties of the deal",
        "the legs are not locked and gone at settlement",
        "the settling party cannot see the other leg",
    ),
    against="no two legs have to move together",
    alternatives=(
        ("transfer-with-consent", "only one thing moves"),
        ("token-standard", "the legs are holdings of the token standard on the Canton Network"),
        ("locking", "the second leg comes later, after an event"),
    ),
)

_MULTI_PARTY = Pattern(
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
    enhanced=("a deadline for signing", "a choice to leave before Finalize"),
    high=(
        "a bound on the number of parties; Finalize compares the set of signers with the set of parties, never "
        "their number",
    ),
    traps=(
        "an unguarded signer adds strangers",
        "the order of the two lists decides their equality: sort both",
        "starting with other parties in 'signed' needs their authority and fails",
        "many signers at once contend for the same contract",
    ),
    against="no group of three or more signs together",
    alternatives=(
        ("propose-accept", "only two parties sign"),
        ("threshold-approval", "some of the group are enough"),
        ("joint-control", "two parties act in the same moment"),
    ),
)

_THRESHOLD = Pattern(
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
    enhanced=(
        "a deadline, one approval per member, and a way to abandon",
        "Approve names the action that the member has read",
        "a member may take its approval back before Execute",
    ),
    high=("members and threshold come from a charter that all members sign, not from the host",),
    traps=(
        "approvals as plain data: the host alone vouches for them",
        "the payload can be edited after approvals were given",
        "a member approves twice",
    ),
    against="no number of approvals out of a group is asked for",
    alternatives=(
        ("multi-party-agreement", "every member has to sign"),
        ("joint-control", "two fixed parties act together"),
        ("any-of-control", "one of the group is enough"),
    ),
)

_DELEGATION = Pattern(
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
        "agent exercises PlaceOrder: the body checks limit and expiry, then acts with the principal's authority",
        "principal exercises Revoke when the mandate shall end",
    ),
    enhanced=(
        "scope, limit and expiry checked in every choice",
        "Revoke for the principal, GiveBack for the agent",
    ),
    high=("a total limit that each use lowers (a consuming choice that re-creates the mandate)",),
    traps=(
        "the agent cannot see the contract it shall act on",
        "no scope or expiry: the agent can do everything for ever",
        "the touched contract's owner is never compared with the principal",
    ),
    against="nobody acts in another party's name",
    alternatives=(
        ("bot-delegation", "the agent is the party's own program"),
        ("role-contract", "both sides keep working together and both are bound"),
        ("any-of-control", "the other one may act in its own name"),
    ),
)

_CREDENTIAL = Pattern(
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
    enhanced=(
        "issuer, holder, claim and expiry all compared",
        "Revoke for the issuer",
        "a way out of what the credential opened: Leave for the member, Exclude for the operator",
    ),
    high=(
        "the trusted issuer is a field that two parties sign for, not one administrator",
        "the holder shows the credential to one verifier for one event instead of making it an observer",
    ),
    traps=(
        "the credential is fetched but never compared",
        "the issuer is taken from the credential itself, so anybody can issue one",
        "a Bool field instead of a contract: nobody vouches for it",
    ),
    against="no third party has to vouch for anybody",
    alternatives=(
        ("delegation", "the right is to act in the issuer's name"),
        ("role-contract", "the vouching party works with the holder itself"),
        ("flexible-controller", "anybody may act, without proof"),
    ),
)

_ROLE_CONTRACT = Pattern(
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
        "customer exercises SubmitRequest as often as it likes",
        "either side exercises Terminate",
    ),
    enhanced=(
        "Terminate for both sides, Withdraw for an offer that was not accepted",
        "a limit on what one request may ask for",
    ),
    high=("what moves value takes two steps: the provider delivers, the customer confirms or disputes",),
    traps=(
        "too much power rests on one signature",
        "no termination",
        "growing lists of users in one contract: use one contract per customer",
    ),
    against="the parties meet once, not again and again",
    alternatives=(
        ("propose-accept", "the parties meet once"),
        ("delegation", "one party acts in the other's name and is not bound itself"),
        ("flexible-controller", "the customers are not known in advance"),
    ),
)

_LOCKING = Pattern(
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
    enhanced=(
        "a deadline that lies in the future, and Clawback after it",
        "Release re-creates the very payload that was locked, and only before the deadline",
    ),
    high=("the destination is fixed and signs when the asset is locked, so Release can go nowhere else",),
    traps=(
        "a lock flag, but one choice without the guard",
        "no deadline: the asset is stuck when the locker is gone",
        "the locker can archive the locked form and so destroy the asset",
    ),
    against="nothing has to stand still until an event or a time",
    alternatives=(
        ("delegated-settlement", "both sides deliver in the same step"),
        ("transfer-with-consent", "the asset moves at once"),
        ("delegation", "the other party shall use the asset, not hold it"),
    ),
)

_JOINT_CONTROL = Pattern(
    id="joint-control",
    name="Joint control (both act together)",
    when="two parties must act in the same step, neither alone, and can submit together",
    reason="A choice that names both as controllers needs the authority of both in one submission, so neither acts "
    "alone. Both must be hosted where the command is submitted, or one of them must have signed before.",
    roles=(
        Role("manager", "signatory", "is bound, and acts only together with the cashier"),
        Role("cashier", "signatory", "is bound, and acts only together with the manager"),
    ),
    flow=(
        "manager offers the Safe, cashier exercises AcceptSafe: both have signed it",
        "one command with actAs of both exercises Withdraw; either of them alone is refused",
        "where they cannot submit together: one asks, the other one confirms (level enhanced)",
    ),
    enhanced=(
        "a second way in two steps, for parties that cannot submit together: one asks, the other one confirms",
        "the two must be different parties",
    ),
    high=(
        "exceptions from joint control are contracts that both sign beforehand, with a limit and an expiry",
    ),
    traps=(
        "parties on different participants cannot submit together: use a proposal, a mandate or collected signatures",
        "one user with actAs for both parties: the four eyes are two",
        "one of the two is the same party as the other",
    ),
    against="no two parties have to act in the same step",
    alternatives=(
        ("propose-accept", "the two act one after the other, or from different participants"),
        ("threshold-approval", "some of a larger group are enough"),
        ("any-of-control", "one of the two is enough"),
    ),
)

_ANY_OF = Pattern(
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
    enhanced=(
        "the guard on the actor in every such choice",
        "the contract tells who acted last; the owner can replace the deputy",
    ),
    high=("what cannot be undone takes both together instead of either alone",),
    traps=(
        "the guard is missing: anybody who sees the contract acts with the signatories' authority",
        "a party that may act but is no observer cannot see the contract",
    ),
    against="no two parties may do the same thing each alone",
    alternatives=(
        ("joint-control", "both must act together"),
        ("threshold-approval", "more than one of the group is needed"),
        ("delegation", "the other one acts in the first one's name"),
    ),
)

_FLEXIBLE = Pattern(
    id="flexible-controller",
    name="Open rules contract (flexible controller, explicit disclosure)",
    when="the users are not known when the contract is made",
    reason="One contract of the administrator has a nonconsuming choice whose controller is its argument, so whoever is "
    "shown the contract can act and be bound by its own authority. The guards in the body decide what that may do; a "
    "disclosure makes visible, it never authorizes.",
    roles=(
        Role("admin", "signatory", "stands behind the rules"),
        Role("user", "controller", "anybody who is shown the rules; signs what it gets"),
    ),
    flow=(
        "admin creates Rules and publishes the contract (a disclosure on Daml 3, a reading party before)",
        "user exercises Register with the disclosure, naming itself and the admin that it expects",
        "the Application has the authority of both: the admin's by signature of the rules, the user's by control",
    ),
    enhanced=(
        "the user names the fee and the admin that it expects, so changed or foreign rules fail",
        "the rules can be closed",
    ),
    high=("no unguarded controller: each user shows a permit with an expiry, which the admin issues",),
    traps=(
        "a disclosure is not authority: a fetch in the body still needs a stakeholder among those who act",
        "the user is a free argument: whatever the body does with the admin's signature, everybody can do",
        "the admin is not compared, and the user works with the rules of a stranger",
    ),
    against="everybody who acts is known beforehand",
    alternatives=(
        ("credential", "only those may act for whom somebody vouches"),
        ("role-contract", "each user is taken on first and then works on for long"),
        ("any-of-control", "the few who may act are known"),
    ),
)

_READ_ACCESS = Pattern(
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
    enhanced=("a cap on the readers", "removal of readers (what they have seen stays seen)"),
    high=("a separate report contract for regulators, so that they never see the working contract",),
    traps=(
        "a party other than the data owner sets the observers",
        "nonconsuming exercises are not shown to plain observers: use choice observers",
        "readers cannot be made to forget",
    ),
    against="nobody is to look on without acting",
    alternatives=(
        ("any-of-control", "the others may act as well"),
        ("credential", "the other party vouches for something that others rely on"),
        ("flexible-controller", "the readers are not known in advance"),
    ),
)

_TOKEN_STANDARD = Pattern(
    id="token-standard",
    name="Token standard and featured app (Canton Network)",
    when="an app settles in holdings of the token standard, such as Canton Coin, or records featured app activity",
    reason="The senders allocate their holdings to the app's settlement by their wallets. Executing an allocation takes "
    "executor, sender and receiver, so the settlement choice is controlled by the executor on a trade that both "
    "traders have signed.",
    roles=(
        Role("venue", "controller", "executes the settlement; provider of the featured app right"),
        Role("buyer", "signatory", "agrees to the trade and allocates the payment"),
        Role("seller", "signatory", "agrees to the trade and allocates the delivery"),
    ),
    flow=(
        "seller proposes the Trade, buyer exercises AcceptTrade: both have signed it",
        "the wallets of both see the Trade as an AllocationRequest and allocate their leg to it",
        "venue exercises Settle: it compares both allocations with the trade and executes them in one transaction",
        "with a featured app right the venue, as its provider, records the activity marker in the same choice",
    ),
    enhanced=(
        "the deadline of the settlement is checked, and the trade can be cancelled after it",
        "the activity marker is made with a right whose provider is compared with the venue",
    ),
    high=("the buyer names the whole trade that it has read, and there must be time left to allocate",),
    traps=(
        "the provider is not among the signatories and controllers where the activity marker is made",
        "an allocation is executed without comparing it with the requested leg and settlement",
        "no deadline, or allocateBefore after settleBefore",
        "the senders are no stakeholders of the request, so their wallets never show it",
    ),
    against="nothing says that holdings of the token standard or a featured app are involved",
    alternatives=(
        ("delegated-settlement", "the legs are templates of your own"),
        ("transfer-with-consent", "one asset of your own moves"),
        ("flexible-controller", "unknown users act on one contract of the app"),
    ),
)

_ADMIN = Pattern(
    id="admin-pause-upgrade",
    name="Administration: parameters, pause, upgrade",
    when="one place holds the parameters, operations can be paused, or contracts move on to a new version",
    reason="Every operation fetches the configuration and compares its administrator, so a pause takes effect at once. "
    "Contracts that others have signed are upgraded by their holders: the administrator offers, it cannot decide for them.",
    roles=(
        Role("admin", "signatory", "keeps the configuration, pauses and offers upgrades"),
        Role("holder", "signatory", "works while nothing is paused, and decides on its own upgrade"),
        Role("users", "observer", "see the configuration, which they have to use"),
    ),
    flow=(
        "admin creates Config; each operation takes its id, fetches it, compares the admin and refuses while paused",
        "admin exercises SetPaused to stop and to go on",
        "admin creates an UpgradeOffer; holder exercises Upgrade, and both signatures carry over to the new version",
    ),
    enhanced=(
        "operations name the version of the configuration that they expect",
        "an expiry and a withdrawal of the upgrade offer",
    ),
    high=("stopping takes one party, going on takes two: a guardian agrees to Resume",),
    traps=(
        "a migration by the administrator alone of contracts that others have signed: it lacks their authority",
        "the configuration is fetched, but its administrator is never compared: anybody brings his own",
        "one choice forgets to fetch the configuration and works while paused",
        "the configuration is replaced often, and commands that name the old contract fail: retry with the new one",
    ),
    against="nothing is configured, paused or upgraded centrally",
    alternatives=(
        ("role-contract", "the operator works with each customer on its own"),
        ("threshold-approval", "a group decides on the change"),
        ("locking", "one asset stands still, not the system"),
    ),
)

_BOT = Pattern(
    id="bot-delegation",
    name="Delegation to a bot (trigger, automation)",
    when="a program shall act for a party, and only in one narrow way",
    reason="The party signs a narrow mandate for a bot party of its own. Whoever takes over the machine can do what the "
    "mandate's one choice allows, and nothing else; the party's own key stays away.",
    roles=(
        Role("payer", "signatory", "grants the mandate and may revoke it at any time"),
        Role("bot", "controller", "the program's own party: runs the one choice, signs nothing"),
        Role("supplier", "observer", "sees the payment that results"),
    ),
    flow=(
        "payer creates the BotMandate with everything that matters fixed: supplier, amount, when it is due",
        "bot exercises PayWhenDue: the body checks the time and acts with the payer's authority",
        "payer exercises RevokeBot to end it",
    ),
    enhanced=("an expiry of the mandate", "the bot can give its mandate up"),
    high=("a number of uses that each run lowers",),
    traps=(
        "the bot as a co-signatory or with actAs of the party: whoever has the machine has everything",
        "amount or receiver as arguments of the choice: the bot decides what it should only carry out",
        "a nonconsuming choice without a due time runs twice when the bot restarts",
    ),
    against="no program acts by itself",
    alternatives=(
        ("delegation", "a person or company acts, with judgement of its own"),
        ("role-contract", "both sides are bound and work together"),
        ("locking", "only time has to pass, and the owner can act afterwards"),
    ),
)

PATTERNS: tuple[Pattern, ...] = (
    _PROPOSE_ACCEPT,
    _TRANSFER,
    _SETTLEMENT,
    _MULTI_PARTY,
    _THRESHOLD,
    _DELEGATION,
    _CREDENTIAL,
    _ROLE_CONTRACT,
    _LOCKING,
    _JOINT_CONTROL,
    _ANY_OF,
    _FLEXIBLE,
    _READ_ACCESS,
    _TOKEN_STANDARD,
    _ADMIN,
    _BOT,
)
