"""What the engine finds in DAML code: why it is wrong, what it looks like, and the way out."""

from __future__ import annotations

from dataclasses import dataclass

from canton_mcp.daml.findings import Certainty, Severity


@dataclass(frozen=True)
class Rule:
    """One finding, by the id that the validator reports.

    `wrong` raises it and `right` does not; both are whole modules. `patterns` are ids of patterns
    that avoid it. `cues` are (weight, regular expression) pairs over a question or a description.
    """

    id: str
    title: str
    severity: Severity
    certainty: Certainty
    finds: str
    why: str
    wrong: str
    right: str
    fix: str
    patterns: tuple[str, ...] = ()
    cues: tuple[tuple[int, str], ...] = ()


RULES: tuple[Rule, ...] = (
    Rule(
        id="transfer-without-consent",
        title="A transfer without the consent of the new owner",
        severity="critical",
        certainty="conditional",
        finds="A choice re-creates its own contract with another party in a signatory field, but that party neither "
        "signed the old contract nor controls the choice.",
        why="A create needs the authority of every signatory of the new contract. The choice has the authority of the "
        "old contract's signatories and of its controllers, and of nobody else. The submission fails with 'requires "
        "authorizers', and it succeeds only in the one case that nobody meant: a transfer to oneself. That is no "
        "flaw of the ledger. It keeps people from putting obligations into your name.",
        wrong="""\
module Bonds where

template Bond
  with
    issuer : Party
    owner : Party
  where
    signatory issuer, owner

    choice Transfer : ContractId Bond
      with newOwner : Party
      controller owner
      do create this with owner = newOwner
""",
        right="""\
module Bonds where

template Bond
  with
    issuer : Party
    owner : Party
  where
    signatory issuer, owner

    choice OfferTransfer : ContractId BondTransfer
      with newOwner : Party
      controller owner
      do create BondTransfer with bond = this; newOwner

template BondTransfer
  with
    bond : Bond
    newOwner : Party
  where
    signatory bond.issuer, bond.owner
    observer newOwner

    choice AcceptTransfer : ContractId Bond
      controller newOwner
      do create bond with owner = newOwner

    choice DeclineTransfer : ContractId Bond
      controller newOwner
      do create bond

    choice CancelTransfer : ContractId Bond
      controller bond.owner
      do create bond
""",
        fix="Turn the asset into a transfer offer that the new owner accepts. Its control of the accepting choice is "
        "the consent that was missing. Where both submit together anyway, make both controllers of the transfer. Do "
        "not turn the owner into an observer just to silence the error: then the issuer alone can archive the asset.",
        patterns=("transfer-with-consent", "propose-accept"),
        cues=(
            (2, r"\btransfer\w*"),
            (2, r"\bnew ?owner\b|\bchange\w* (?:of )?owner\w*"),
            (2, r"\bconsent\w*"),
            (1, r"\bowner(?:ship)?\b"),
        ),
    ),
    Rule(
        id="create-missing-authority",
        title="A create without the authority of a signatory",
        severity="critical",
        certainty="conditional",
        finds="A choice creates a contract whose signatories are not all among the signatories of the exercised "
        "contract and the controllers of the choice.",
        why="A create needs all signatories of the new contract, and observers need nothing. The authority of a "
        "choice is fixed when it is entered. A party that signed a contract further out does not help, because "
        "authority does not flow from an outer exercise into an inner one.",
        wrong="""\
module Loans where

template LoanRequest
  with
    borrower : Party
    lender : Party
    guarantor : Party
  where
    signatory borrower
    observer lender, guarantor

    choice Grant : ContractId Loan
      controller lender
      do create Loan with borrower; lender; guarantor

template Loan
  with
    borrower : Party
    lender : Party
    guarantor : Party
  where
    signatory borrower, lender, guarantor
""",
        right="""\
module Loans where

template LoanRequest
  with
    borrower : Party
    lender : Party
    guarantor : Party
  where
    signatory borrower
    observer lender, guarantor

    choice Guarantee : ContractId GuaranteedRequest
      controller guarantor
      do create GuaranteedRequest with request = this

template GuaranteedRequest
  with
    request : LoanRequest
  where
    signatory request.borrower, request.guarantor
    observer request.lender

    choice Grant : ContractId Loan
      controller request.lender
      do
        create Loan with
          borrower = request.borrower
          lender = request.lender
          guarantor = request.guarantor

template Loan
  with
    borrower : Party
    lender : Party
    guarantor : Party
  where
    signatory borrower, lender, guarantor
""",
        fix="Collect the missing signature before this step: let the party accept a proposal, which then carries its "
        "authority. Or make it a second controller, if all of them submit together. Make it an observer only if the "
        "contract does not bind it.",
        patterns=("propose-accept", "multi-party-agreement", "role-contract"),
        cues=(
            (3, r"\bcreate\w*\b.{0,60}\b(?:fail\w*|authori[sz]\w*|signator\w*)"),
            (2, r"requires authorizers|missing authori[sz]ation"),
            (1, r"\bsignator\w*"),
        ),
    ),
    Rule(
        id="exercise-missing-authority",
        title="An exercise without the authority of a controller",
        severity="critical",
        certainty="conditional",
        finds="A choice exercises another choice although a controller of that one is neither a signatory of the "
        "enclosing contract nor a controller of the enclosing choice.",
        why="An exercise needs all controllers of the exercised choice. It does not matter who the stakeholders of "
        "the target are, and it does not matter that the controller would surely agree: it has to have said so, by "
        "a signature or by controlling the choice that does it.",
        wrong="""\
module Tickets where

template Ticket
  with
    venue : Party
    guest : Party
  where
    signatory venue
    observer guest

    choice Admit : ()
      controller guest
      do pure ()

template Gate
  with
    venue : Party
    guest : Party
  where
    signatory venue
    observer guest

    nonconsuming choice LetIn : ()
      controller venue
      do
        ticket <- create Ticket with venue; guest
        exercise ticket Admit
""",
        right="""\
module Tickets where

template Ticket
  with
    venue : Party
    guest : Party
  where
    signatory venue
    observer guest

    choice Admit : ()
      controller guest
      do pure ()

template Gate
  with
    venue : Party
    guest : Party
  where
    signatory venue
    observer guest

    nonconsuming choice LetIn : ()
      controller venue, guest
      do
        ticket <- create Ticket with venue; guest
        exercise ticket Admit
""",
        fix="Make the missing party a controller of the enclosing choice, or give the enclosing contract its "
        "signature (a mandate or a role contract that it accepted earlier). Otherwise stop before the exercise and "
        "let the party exercise the choice itself.",
        patterns=("delegation", "role-contract", "delegated-settlement"),
        cues=(
            (3, r"\bexercis\w*\b.{0,60}\b(?:fail\w*|authori[sz]\w*|controller\w*)"),
            (2, r"requires (?:authorizers|controllers)|missing authori[sz]ation"),
            (1, r"\bcontroller\w*"),
        ),
    ),
    Rule(
        id="archive-missing-authority",
        title="An archive without the authority of a signatory",
        severity="critical",
        certainty="conditional",
        finds="A choice archives a contract of which a signatory is not available in the choice. Where the contract comes "
        "in by its id, that depends on its data: the answer is then 'unknown', and no finding.",
        why="'archive' exercises the implicit choice Archive, which all signatories control. A party that may end a "
        "contract does so by a consuming choice of that contract, never by a bare archive: the choice carries the "
        "signatories' authority, the archive does not.",
        wrong="""\
module Seats where

template Hold
  with
    passenger : Party
    seat : Text
  where
    signatory passenger

template Desk
  with
    airline : Party
    passenger : Party
  where
    signatory airline
    observer passenger

    choice Rebook : ()
      with seat : Text
      controller airline
      do
        hold <- create Hold with passenger; seat
        archive hold
""",
        right="""\
module Seats where

template Hold
  with
    airline : Party
    passenger : Party
    seat : Text
  where
    signatory passenger
    observer airline

    choice GiveBack : ()
      controller airline
      do pure ()

template Desk
  with
    airline : Party
    passenger : Party
  where
    signatory airline
    observer passenger

    nonconsuming choice Rebook : ()
      with seat : Text
      controller airline, passenger
      do
        hold <- create Hold with airline; passenger; seat
        exercise hold GiveBack
""",
        fix="Give the contract a consuming choice for whoever may end it and exercise that one. Use archive where "
        "all signatories are at hand.",
        patterns=("role-contract", "locking"),
        cues=(
            (3, r"\barchiv\w*\b.{0,60}\b(?:fail\w*|authori[sz]\w*|signator\w*)"),
            (1, r"\barchiv\w*"),
        ),
    ),
    Rule(
        id="no-signatory",
        title="A template without a signatory",
        severity="critical",
        certainty="definite",
        finds="A template has no signatory clause, or an empty list in it.",
        why="A contract is an agreement, and nobody has agreed to this one. The compiler refuses a template without "
        "the clause; a list that is empty makes every create fail with 'has no signatories'.",
        wrong="""\
module Notes where

template Note
  with
    author : Party
    text : Text
  where
    observer author
""",
        right="""\
module Notes where

template Note
  with
    author : Party
    text : Text
  where
    signatory author
""",
        fix="Ask who is bound by the contract, or vouches for its content: that party signs. Whoever only looks on "
        "is an observer.",
        cues=((3, r"\bno signator\w*|\bwithout (?:a )?signator\w*"), (1, r"\bsignator\w*")),
    ),
    Rule(
        id="no-controller",
        title="A choice without a controller",
        severity="critical",
        certainty="definite",
        finds="A choice does not say who may exercise it.",
        why="Without a controller nobody can exercise the choice, and the compiler refuses it. Nothing is inherited: "
        "neither a signatory nor an observer may exercise anything but what names it as controller.",
        wrong="""\
module Notes where

template Note
  with
    author : Party
    text : Text
  where
    signatory author

    choice Edit : ContractId Note
      with newText : Text
      do create this with text = newText
""",
        right="""\
module Notes where

template Note
  with
    author : Party
    text : Text
  where
    signatory author

    choice Edit : ContractId Note
      with newText : Text
      controller author
      do create this with text = newText
""",
        fix="Name the party that decides on this step between the parameters and 'do'. In current DAML the order is "
        "'with', 'controller', 'do'.",
        cues=((3, r"\bno controller\w*|\bwithout (?:a )?controller\w*"), (1, r"\bcontroller\w*")),
    ),
    Rule(
        id="not-a-party",
        title="Something that is no party in a party clause",
        severity="critical",
        certainty="definite",
        finds="A signatory, observer or controller is a text, a number, or a field of another type.",
        why="Parties are identities that a participant hosts; a text with the name of one is not the party. They "
        "reach a template through fields and arguments of type Party, which the application fills in.",
        wrong="""\
module Notes where

template Note
  with
    author : Text
  where
    signatory author
""",
        right="""\
module Notes where

template Note
  with
    author : Party
    authorName : Text
  where
    signatory author
""",
        fix="Give the field the type Party, and keep a readable name in a field of its own where one is needed.",
        cues=((3, r"\bnot a party\b|\bno party\b"), (2, r"\btype Party\b|\bParty type\b")),
    ),
    Rule(
        id="unknown-party",
        title="A party that is not declared",
        severity="critical",
        certainty="definite",
        finds="A party clause names something that is neither a field of the template nor a parameter of the choice.",
        why="Signatory and observer clauses see the template's fields, controller clauses see the choice's parameters "
        "as well. Names bound in the body come too late: the authority is settled before the body runs.",
        wrong="""\
module Sales where

template Invoice
  with
    seller : Party
  where
    signatory seller

    choice Pay : ()
      controller buyer
      do pure ()
""",
        right="""\
module Sales where

template Invoice
  with
    seller : Party
    buyer : Party
  where
    signatory seller
    observer buyer

    choice Pay : ()
      controller buyer
      do pure ()
""",
        fix="Add the party to the fields, if it is known when the contract is created; add it to the choice's "
        "parameters, and guard it, if it is known only then.",
        cues=((3, r"\bnot in scope\b|\bunknown part(?:y|ies)\b|\bundeclared\b"),),
    ),
    Rule(
        id="maintainer-not-signatory",
        title="A key maintainer that does not sign",
        severity="critical",
        certainty="definite",
        finds="A maintainer of the contract key is not among the signatories.",
        why="Maintainers answer for the key, and nobody can answer for a contract without having signed it. Every "
        "create fails with 'maintainers which are not a subset of the signatories'.",
        wrong="""\
module Members where

template Member
  with
    club : Party
    person : Party
  where
    signatory club
    observer person
    key (club, person) : (Party, Party)
    maintainer key._2
""",
        right="""\
module Members where

template Member
  with
    club : Party
    person : Party
  where
    signatory club
    observer person
    key (club, person) : (Party, Party)
    maintainer key._1
""",
        fix="Choose the maintainer among the signatories, or let it sign the contract.",
        cues=((3, r"\bmaintainer\w*"), (2, r"\bcontract keys?\b")),
    ),
    Rule(
        id="key-without-maintainer",
        title="A key without a maintainer",
        severity="critical",
        certainty="definite",
        finds="A template has a key but no maintainer clause.",
        why="Somebody has to answer for the key. The compiler demands a maintainer that is computed from the key "
        "itself, so that it can be told from the key alone who has to be asked.",
        wrong="""\
module Members where

template Member
  with
    club : Party
    number : Int
  where
    signatory club
    key (club, number) : (Party, Int)
""",
        right="""\
module Members where

template Member
  with
    club : Party
    number : Int
  where
    signatory club
    key (club, number) : (Party, Int)
    maintainer key._1
""",
        fix="Put the responsible party into the key and name it by way of the key, as in 'maintainer key._1'.",
        cues=((2, r"\bmaintainer\w*"), (2, r"\bcontract keys?\b")),
    ),
    Rule(
        id="maintainer-without-key",
        title="A maintainer without a key",
        severity="critical",
        certainty="definite",
        finds="A template names a maintainer but declares no key.",
        why="A maintainer maintains a key. Without one the clause means nothing, and the compiler refuses it. This is "
        "mostly what a removed key leaves behind, for example in a move to a version without keys.",
        wrong="""\
module Members where

template Member
  with
    club : Party
    number : Int
  where
    signatory club
    maintainer club
""",
        right="""\
module Members where

template Member
  with
    club : Party
    number : Int
  where
    signatory club
""",
        fix="Remove the clause, or declare the key that it belongs to.",
        cues=((2, r"\bmaintainer\w*"), (1, r"\bcontract keys?\b")),
    ),
    Rule(
        id="duplicate-name",
        title="A name that is declared twice",
        severity="critical",
        certainty="definite",
        finds="Two templates of a module, or two choices of its templates, have the same name.",
        why="Every choice declares a record of its own name in the module, so two templates of one module cannot "
        "both have a choice Accept.",
        wrong="""\
module Offers where

template Offer
  with
    seller : Party
    buyer : Party
  where
    signatory seller
    observer buyer

    choice Drop : ()
      controller buyer
      do pure ()

template Bid
  with
    buyer : Party
    seller : Party
  where
    signatory buyer
    observer seller

    choice Drop : ()
      controller seller
      do pure ()
""",
        right="""\
module Offers where

template Offer
  with
    seller : Party
    buyer : Party
  where
    signatory seller
    observer buyer

    choice DropOffer : ()
      controller buyer
      do pure ()

template Bid
  with
    buyer : Party
    seller : Party
  where
    signatory buyer
    observer seller

    choice DropBid : ()
      controller seller
      do pure ()
""",
        fix="Put the template's name into the name of the choice, or the template into a module of its own.",
        cues=((2, r"\bduplicate\b|\bdeclared twice\b|\bmultiple declarations\b"),),
    ),
    Rule(
        id="self-after-consumption",
        title="The own contract is used after it was consumed",
        severity="high",
        certainty="definite",
        finds="A consuming choice fetches, exercises or archives 'self'.",
        why="A consuming choice archives its contract before its body runs. What then touches the contract id finds "
        "nothing: CONTRACT_NOT_ACTIVE, or 'exercise a contract that was consumed in same transaction'.",
        wrong="""\
module Vouchers where

template Voucher
  with
    shop : Party
    customer : Party
  where
    signatory shop
    observer customer

    choice Redeem : ()
      controller customer
      do archive self
""",
        right="""\
module Vouchers where

template Voucher
  with
    shop : Party
    customer : Party
  where
    signatory shop
    observer customer

    choice Redeem : ()
      controller customer
      do pure ()
""",
        fix="Read the data from 'this', which stays at hand, and drop the archive: it has happened already. If the "
        "contract is to live on, make the choice nonconsuming.",
        cues=(
            (3, r"CONTRACT_NOT_ACTIVE|consumed in same transaction|\binactive contract\b"),
            (2, r"\bself\b|\bconsum\w+"),
            (1, r"\barchiv\w*"),
        ),
    ),
    Rule(
        id="nonconsuming-double-use",
        title="A nonconsuming choice that can be repeated",
        severity="high",
        certainty="advice",
        finds="A nonconsuming choice creates a changed copy of its own contract, or accepts, settles, pays or mints "
        "something, and archives nothing.",
        why="The old contract stays active, so the step can be taken again and again: one right, many uses. For a "
        "service that takes many requests that is the point; for an acceptance, a payment or a redemption it is "
        "double spending.",
        wrong="""\
module Coupons where

template Coupon
  with
    shop : Party
    customer : Party
  where
    signatory shop
    observer customer

    nonconsuming choice Redeem : ContractId Discount
      controller customer
      do create Discount with shop; customer

template Discount
  with
    shop : Party
    customer : Party
  where
    signatory shop, customer
""",
        right="""\
module Coupons where

template Coupon
  with
    shop : Party
    customer : Party
  where
    signatory shop
    observer customer

    choice Redeem : ContractId Discount
      controller customer
      do create Discount with shop; customer

template Discount
  with
    shop : Party
    customer : Party
  where
    signatory shop, customer
""",
        fix="Remove 'nonconsuming', so that the contract is used up. If it must stay, let each use consume a contract "
        "that limits it, such as a request or an allowance.",
        patterns=("propose-accept", "role-contract"),
        cues=(
            (3, r"\bdouble[- ]spen\w+|\bnon-?consuming\b"),
            (2, r"\btwice\b|\brepeat\w*|\bonly once\b"),
        ),
    ),
    Rule(
        id="amount-without-ensure",
        title="An amount that nothing keeps positive",
        severity="medium",
        certainty="advice",
        finds="A field such as amount, quantity or price is a number that no ensure clause mentions.",
        why="Numbers are signed. A transfer of -100 takes 100 from the receiver, and a split into 150 and -50 creates "
        "value. The ensure clause is checked at every create, so one line guards every choice, including those that "
        "are written later.",
        wrong="""\
module Coins where

template Coin
  with
    owner : Party
    amount : Decimal
  where
    signatory owner
""",
        right="""\
module Coins where

template Coin
  with
    owner : Party
    amount : Decimal
  where
    signatory owner
    ensure amount > 0.0
""",
        fix="Add 'ensure amount > 0.0'. Check amounts that arrive as choice arguments as well, against zero and "
        "against what is there.",
        cues=(
            (3, r"\bnegative\b|\bpositive\b"),
            (2, r"\bensure\b|\bprecondition\w*"),
            (1, r"\bamounts?\b|\bquantit\w+|\bprices?\b|\bbalances?\b"),
        ),
    ),
    Rule(
        id="possibly-no-signatory",
        title="Signatories that may come out empty",
        severity="medium",
        certainty="advice",
        finds="The only signatories are the members of a list or set, and nothing keeps it from being empty.",
        why="The set of signatories is computed when the contract is created. If it is empty, the create fails with "
        "'has no signatories', far from the place that built the list.",
        wrong="""\
module Panels where

template Panel
  with
    judges : [Party]
  where
    signatory judges
""",
        right="""\
module Panels where

template Panel
  with
    judges : [Party]
  where
    signatory judges
    ensure not (null judges)
""",
        fix="Add an ensure clause, or a signatory of type Party that is always there, for example the host.",
        patterns=("multi-party-agreement", "threshold-approval"),
        cues=((3, r"\bhas no (?:signatories|controllers|authorizers)\b|\bempty list\b"),),
    ),
    Rule(
        id="controller-cannot-see",
        title="A controller that cannot see the contract",
        severity="high",
        certainty="advice",
        finds="A field controls a choice but is neither signatory nor observer.",
        why="Authority and visibility are two things. The party may exercise the choice, but its participant never "
        "receives the contract, so the exercise ends in CONTRACT_NOT_FOUND or 'contract not visible'. The old syntax "
        "'controller .. can' made the party an observer by itself; 'choice .. controller' does not, which is the "
        "usual trap of a migration.",
        wrong="""\
module Parcels where

template Parcel
  with
    sender : Party
    courier : Party
  where
    signatory sender

    choice Deliver : ()
      controller courier
      do pure ()
""",
        right="""\
module Parcels where

template Parcel
  with
    sender : Party
    courier : Party
  where
    signatory sender
    observer courier

    choice Deliver : ()
      controller courier
      do pure ()
""",
        fix="Add the party to the observers, or disclose the contract to it explicitly when it submits.",
        patterns=("read-access",),
        cues=(
            (3, r"\bnot visible\b|CONTRACT_NOT_FOUND|\bcannot see\b|\bcan't see\b"),
            (2, r"\bvisib\w+|\bobserv\w+"),
        ),
    ),
    Rule(
        id="parameter-repeats-field",
        title="A choice parameter with the name of a field",
        severity="medium",
        certainty="advice",
        finds="A parameter of a choice has the same name as a field of its template.",
        why="Inside the choice the name stands for two things. The reader takes the caller's value for the agreed "
        "one, and a guard that compares the two compares a value with itself.",
        wrong="""\
module Rents where

template Lease
  with
    landlord : Party
    tenant : Party
    rent : Decimal
  where
    signatory landlord, tenant
    ensure rent > 0.0

    choice Adjust : ContractId Lease
      with rent : Decimal
      controller landlord, tenant
      do create this with rent
""",
        right="""\
module Rents where

template Lease
  with
    landlord : Party
    tenant : Party
    rent : Decimal
  where
    signatory landlord, tenant
    ensure rent > 0.0

    choice Adjust : ContractId Lease
      with newRent : Decimal
      controller landlord, tenant
      do create this with rent = newRent
""",
        fix="Rename the parameter after its part in the step, for example newRent.",
        cues=((2, r"\bshadow\w*|\bsame name\b"),),
    ),
    Rule(
        id="owner-only-observes",
        title="An owner that has not signed",
        severity="medium",
        certainty="advice",
        finds="A contract with an amount names an owner, holder, payee or beneficiary that only observes it.",
        why="Signatories can archive a contract together, whatever its choices say. An asset that the issuer alone "
        "signed can be taken back by the issuer alone. For a balance that the issuer merely reports this may be "
        "meant; for property it is not.",
        wrong="""\
module Shares where

template Share
  with
    company : Party
    owner : Party
    amount : Decimal
  where
    signatory company
    observer owner
    ensure amount > 0.0
""",
        right="""\
module Shares where

template Share
  with
    company : Party
    owner : Party
    amount : Decimal
  where
    signatory company, owner
    ensure amount > 0.0
""",
        fix="Make the owner a signatory, and issue and transfer by proposal.",
        patterns=("transfer-with-consent",),
        cues=(
            (
                2,
                r"\b(?:issuer|admin\w*|operator)\b.{0,60}\b(?:alone|archiv\w*|tak\w+ (?:it )?back|confiscat\w*)",
            ),
            (1, r"\bowner\b|\bholder\b|\bbeneficiar\w+"),
        ),
    ),
    Rule(
        id="proposal-without-reject",
        title="An offer without a way out",
        severity="low",
        certainty="advice",
        finds="A party that has not signed can accept, but it has no consuming choice to refuse, and no other "
        "consuming choice cancels, withdraws or expires the offer.",
        why="Open offers pile up, and each of them can still be accepted years later, at the old price.",
        wrong="""\
module Offers where

template Offer
  with
    seller : Party
    buyer : Party
  where
    signatory seller
    observer buyer

    choice Accept : ContractId Sale
      controller buyer
      do create Sale with seller; buyer

template Sale
  with
    seller : Party
    buyer : Party
  where
    signatory seller, buyer
""",
        right="""\
module Offers where

template Offer
  with
    seller : Party
    buyer : Party
  where
    signatory seller
    observer buyer

    choice Accept : ContractId Sale
      controller buyer
      do create Sale with seller; buyer

    choice Reject : ()
      controller buyer
      do pure ()

    choice Withdraw : ()
      controller seller
      do pure ()

template Sale
  with
    seller : Party
    buyer : Party
  where
    signatory seller, buyer
""",
        fix="Add Reject for the party asked and Withdraw for the party that offers; where prices move, add a time "
        "after which Accept fails.",
        patterns=("propose-accept",),
        cues=(
            (2, r"\breject\w*|\bdeclin\w+|\bwithdraw\w*"),
            (2, r"\bexpir\w+"),
            (1, r"\boffer\w*|\bpropos\w+"),
        ),
    ),
    Rule(
        id="division-unguarded",
        title="A division that nothing guards",
        severity="low",
        certainty="advice",
        finds="A choice divides by a value that it never tests.",
        why="A division by zero aborts the whole transaction with an arithmetic error. Whoever supplies the divisor "
        "can then block the step.",
        wrong="""\
module Dividends where

template Dividend
  with
    company : Party
    total : Decimal
  where
    signatory company

    nonconsuming choice PerShare : Decimal
      with count : Decimal
      controller company
      do pure (total / count)
""",
        right="""\
module Dividends where

template Dividend
  with
    company : Party
    total : Decimal
  where
    signatory company

    nonconsuming choice PerShare : Decimal
      with count : Decimal
      controller company
      do
        assertMsg "there must be shares" (count > 0.0)
        pure (total / count)
""",
        fix="Assert in the choice that the divisor is positive, or ensure it in the template if it is a field.",
        cues=((3, r"\bdivi(?:de\w*|sion)\b|\bArithmeticError\b|\bby zero\b"),),
    ),
    Rule(
        id="partial-function",
        title="A partial function on an input",
        severity="low",
        certainty="advice",
        finds="A choice uses fromSome, head, tail, last, init or a fold without a start value.",
        why="On an empty value these abort the transaction with a message that tells the user nothing. Two lines with "
        "a pattern match say what was missing.",
        wrong="""\
module Queues where

import DA.List (head)

template Queue
  with
    host : Party
    guests : [Party]
  where
    signatory host
    observer guests

    nonconsuming choice Next : Party
      controller host
      do pure (head guests)
""",
        right="""\
module Queues where

template Queue
  with
    host : Party
    guests : [Party]
  where
    signatory host
    observer guests

    nonconsuming choice Next : Optional Party
      controller host
      do
        case guests of
          [] -> pure None
          guest :: _ -> pure (Some guest)
""",
        fix="Match on the value and say what the empty case means: an Optional result, or an assertion with a "
        "message of its own.",
        cues=((3, r"\bfromSome\b|\bpartial functions?\b|\bempty list\b"),),
    ),
    Rule(
        id="constant-assertion",
        title="An assertion that is always true",
        severity="medium",
        certainty="advice",
        finds="'assert True' or 'assertMsg \"..\" True' stands where a condition should.",
        why="It looks like a guard in a review and guards nothing. Mostly it is a condition that was switched off for "
        "a test and never came back.",
        wrong="""\
module Votes where

template Ballot
  with
    host : Party
    voter : Party
  where
    signatory host
    observer voter

    choice Cast : ()
      controller voter
      do assertMsg "the vote is open" True
""",
        right="""\
module Votes where

template Ballot
  with
    host : Party
    voter : Party
    closesAt : Time
  where
    signatory host
    observer voter

    choice Cast : ()
      controller voter
      do
        now <- getTime
        assertMsg "the vote is open" (now < closesAt)
""",
        fix="State the condition that the message promises, or remove the line.",
        cues=((2, r"\bassert\w*"),),
    ),
    Rule(
        id="unguarded-parameter-controller",
        title="A controller that the caller names itself",
        severity="info",
        certainty="advice",
        finds="All controllers of a choice are parameters of it, and the body tests none of them.",
        why="The caller passes itself and is the controller. So everybody who can see the contract, or is given a "
        "disclosure of it, runs the body with the authority of the signatories. A public entrance is built exactly "
        "like that; an approval must not be.",
        wrong="""\
module Desks where

template Desk
  with
    bank : Party
    clerks : [Party]
  where
    signatory bank
    observer clerks

    nonconsuming choice Certify : ContractId Approval
      with clerk : Party
      controller clerk
      do create Approval with bank; reference = "loan"

template Approval
  with
    bank : Party
    reference : Text
  where
    signatory bank
""",
        right="""\
module Desks where

template Desk
  with
    bank : Party
    clerks : [Party]
  where
    signatory bank
    observer clerks

    nonconsuming choice Certify : ContractId Approval
      with clerk : Party
      controller clerk
      do
        assertMsg "only a clerk of this desk" (clerk `elem` clerks)
        create Approval with bank; reference = "loan"

template Approval
  with
    bank : Party
    reference : Text
  where
    signatory bank
""",
        fix="Compare the parameter with the fields that say who may act, as the first statement of the body.",
        patterns=("any-of-control", "threshold-approval"),
        cues=(
            (3, r"\banybody\b|\banyone\b|\bany party\b|\bstranger\w*"),
            (2, r"\bguard\w*"),
            (1, r"\bcontroller\w*"),
        ),
    ),
    Rule(
        id="fetch-missing-authority",
        title="A fetch without a stakeholder",
        severity="medium",
        certainty="conditional",
        finds="A choice fetches a contract of which no stakeholder is a signatory of the enclosing contract or a "
        "controller of the choice, as far as names and tests tell.",
        why="A fetch needs the authority of one stakeholder of the contract; observers count. A disclosure makes the "
        "contract visible and gives no authority. What hangs on data works when the roles are the same party.",
        wrong="""\
module Rates where

template Rate
  with
    publisher : Party
    reader : Party
    rate : Decimal
  where
    signatory publisher
    observer reader
    ensure rate > 0.0

template Loan
  with
    lender : Party
  where
    signatory lender

    nonconsuming choice LookUp : Decimal
      with rateCid : ContractId Rate
      controller lender
      do
        found <- fetch rateCid
        pure found.rate
""",
        right="""\
module Rates where

template Rate
  with
    publisher : Party
    reader : Party
    rate : Decimal
  where
    signatory publisher
    observer reader
    ensure rate > 0.0

template Loan
  with
    lender : Party
  where
    signatory lender

    nonconsuming choice LookUp : Decimal
      with rateCid : ContractId Rate
      controller lender
      do
        found <- fetch rateCid
        assertMsg "published for the lender" (found.reader == lender)
        pure found.rate
""",
        fix="Test that a party at hand is a stakeholder of the contract, make a stakeholder a controller, or pass the "
        "data as an argument.",
        patterns=("credential", "read-access"),
        cues=((3, r"\bfetch\w*\b.{0,60}\b(?:fail\w*|authori[sz]\w*|stakeholder\w*)"), (1, r"\bfetch\w*")),
    ),
    Rule(
        id="lookup-missing-authority",
        title="A lookup by key without the maintainers",
        severity="high",
        certainty="conditional",
        finds="A choice calls lookupByKey or visibleByKey without the authority of every maintainer of the key.",
        why="Only the maintainers can say that a key does not exist. So a lookup needs all of them, for a hit as for a "
        "miss. A fetch by key needs just one stakeholder of the contract that it finds.",
        wrong="""\
module Names where

template Name
  with
    registrar : Party
    name : Text
  where
    signatory registrar
    key (registrar, name) : (Party, Text)
    maintainer key._1

template Applicant
  with
    applicant : Party
    registrar : Party
  where
    signatory applicant
    observer registrar

    nonconsuming choice IsFree : Bool
      with name : Text
      controller applicant
      do
        found <- lookupByKey @Name (registrar, name)
        pure (found == None)
""",
        right="""\
module Names where

template Name
  with
    registrar : Party
    name : Text
  where
    signatory registrar
    key (registrar, name) : (Party, Text)
    maintainer key._1

template Applicant
  with
    applicant : Party
    registrar : Party
  where
    signatory applicant
    observer registrar

    nonconsuming choice IsFree : Bool
      with name : Text
      controller registrar
      do
        found <- lookupByKey @Name (registrar, name)
        pure (found == None)
""",
        fix="Let a maintainer control the choice, ask on a contract that the maintainer signed, or pass the contract id.",
        patterns=("role-contract",),
        cues=((3, r"\blookup\w*\b|\bvisibleByKey\b"), (1, r"\bmaintainer\w*|\bkeys?\b")),
    ),
    Rule(
        id="submission-missing-authority",
        title="A command that its submitter may not give",
        severity="high",
        certainty="conditional",
        finds="A script submits a create or an exercise that needs a party which does not submit it.",
        why="At the top, the authority is that of the parties in actAs and of nobody else. Those in readAs only see.",
        wrong="""\
module Leases where

import Daml.Script

template Lease
  with
    landlord : Party
    tenant : Party
  where
    signatory landlord, tenant

sign : Script ()
sign = do
  landlord <- allocateParty "Landlord"
  tenant <- allocateParty "Tenant"
  submit landlord do createCmd Lease with landlord; tenant
  pure ()
""",
        right="""\
module Leases where

import Daml.Script

template Lease
  with
    landlord : Party
    tenant : Party
  where
    signatory landlord, tenant

sign : Script ()
sign = do
  landlord <- allocateParty "Landlord"
  tenant <- allocateParty "Tenant"
  submitMustFail landlord do createCmd Lease with landlord; tenant
""",
        fix="Submit as all of them where one participant may, start with a proposal, or say submitMustFail if the test "
        "means it.",
        patterns=("propose-accept", "joint-control"),
        cues=((3, r"\bsubmit\w*\b"), (2, r"\bactAs\b"), (1, r"\bscripts?\b")),
    ),
    Rule(
        id="unreachable-template",
        title="A contract of several signatories that nothing creates",
        severity="medium",
        certainty="advice",
        finds="A template has several signatories, and no other choice of the text creates it, while the other templates "
        "are connected by choices.",
        why="Such a contract comes about only when all of its signatories submit one command together. That takes one "
        "participant that hosts them all, which a real network seldom has.",
        wrong="""\
module Insurance where

template Application
  with
    customer : Party
    insurer : Party
  where
    signatory customer
    observer insurer

    choice Quote : ContractId Offer
      controller insurer
      do create Offer with customer; insurer

template Offer
  with
    customer : Party
    insurer : Party
  where
    signatory customer, insurer

template Policy
  with
    customer : Party
    insurer : Party
  where
    signatory customer, insurer
""",
        right="""\
module Insurance where

template Application
  with
    customer : Party
    insurer : Party
  where
    signatory customer
    observer insurer

    choice Quote : ContractId Offer
      controller insurer
      do create Offer with customer; insurer

template Offer
  with
    customer : Party
    insurer : Party
  where
    signatory customer, insurer

    choice Conclude : ContractId Policy
      controller customer
      do create Policy with customer; insurer

template Policy
  with
    customer : Party
    insurer : Party
  where
    signatory customer, insurer
""",
        fix="Add the proposal that one signs and the others accept, and create the contract there.",
        patterns=("propose-accept", "multi-party-agreement"),
        cues=((2, r"\bunreachable\b|\bnever created\b"), (1, r"\bsignator\w*")),
    ),
    Rule(
        id="maintainer-not-in-key",
        title="A maintainer that is not taken from the key",
        severity="critical",
        certainty="definite",
        finds="A maintainer clause names a field of the template instead of a part of the key.",
        why="Whoever looks a key up knows the key and not the contract. So the maintainers are computed from the key "
        "alone, and fields are not in scope there.",
        wrong="""\
module Depots where

template Depot
  with
    bank : Party
    number : Text
  where
    signatory bank
    key number : Text
    maintainer bank
""",
        right="""\
module Depots where

template Depot
  with
    bank : Party
    number : Text
  where
    signatory bank
    key (bank, number) : (Party, Text)
    maintainer key._1
""",
        fix="Put the party into the key and take it from there.",
        cues=((2, r"\bmaintainer\w*"), (1, r"\bkeys?\b")),
    ),
    Rule(
        id="contract-id-in-key",
        title="A contract id in a key",
        severity="medium",
        certainty="advice",
        finds="The type of a key holds a contract id.",
        why="Contract ids are not allowed in keys: every create fails with CONTRACT_ID_IN_CONTRACT_KEY.",
        wrong="""\
module Votes where

template Vote
  with
    host : Party
    ballot : ContractId Vote
  where
    signatory host
    key (host, ballot) : (Party, ContractId Vote)
    maintainer key._1
""",
        right="""\
module Votes where

template Vote
  with
    host : Party
    ballot : Text
  where
    signatory host
    key (host, ballot) : (Party, Text)
    maintainer key._1
""",
        fix="Give the thing a name or number of your own and use that in the key.",
        cues=((3, r"CONTRACT_ID_IN_CONTRACT_KEY"), (1, r"\bkeys?\b|\bcontract ids?\b")),
    ),
    Rule(
        id="keys-of-another-version",
        title="Keys where they are missing or not unique",
        severity="medium",
        certainty="advice",
        finds="A template has a key, and other parts of the text belong to versions that have no keys or no unique ones.",
        why="Daml 1.x and 2.x have unique keys, 3.0 to 3.4 have none, and from 3.5 on several active contracts may "
        "have the same key. Code that takes the key for a lock lets a second contract in.",
        wrong="""\
module Accounts where

import DA.ContractKeys

template Account
  with
    bank : Party
    number : Text
  where
    signatory bank
    key (bank, number) : (Party, Text)
    maintainer key._1
""",
        right="""\
module Accounts where

template Account
  with
    bank : Party
    number : Text
  where
    signatory bank
    key (bank, number) : (Party, Text)
    maintainer key._1
""",
        fix="Pass contract ids, or keep a registry contract whose consuming choice opens accounts one after the other.",
        cues=((2, r"\bunique\w*"), (1, r"\bkeys?\b")),
    ),
    Rule(
        id="value-destroyed-by-other",
        title="Somebody else can make a value vanish",
        severity="high",
        certainty="advice",
        finds="A consuming choice on a contract with an amount and an owner creates nothing, and the owner does not "
        "control it.",
        why="A consuming choice archives the contract with the authority of all its signatories. If nothing takes its "
        "place, the claim is gone, and its owner was not asked.",
        wrong="""\
module Debts where

template Debt
  with
    debtor : Party
    owner : Party
    amount : Decimal
  where
    signatory debtor, owner
    ensure amount > 0.0

    choice Paid : ()
      controller debtor
      do pure ()
""",
        right="""\
module Debts where

template Debt
  with
    debtor : Party
    owner : Party
    amount : Decimal
  where
    signatory debtor, owner
    ensure amount > 0.0

    choice Paid : ()
      controller owner
      do pure ()
""",
        fix="Let the owner control the choice, alone or as well, or create what replaces the value in it.",
        patterns=("joint-control", "delegated-settlement"),
        cues=((2, r"\bdestroy\w*|\bvanish\w*|\bburn\w*"), (1, r"\bowner\b")),
    ),
    Rule(
        id="operator-moves-assets",
        title="One key that moves what belongs to others",
        severity="high",
        certainty="advice",
        finds="An operator is the only signatory of a contract with an amount and an owner, and a choice that it controls "
        "alone changes the owner or the amount.",
        why="Whoever has this one key, or steals it, moves everybody's assets. The ledger cannot object, because the "
        "owner never had a say.",
        wrong="""\
module Custody where

template Balance
  with
    operator : Party
    owner : Party
    amount : Decimal
  where
    signatory operator
    ensure amount > 0.0

    choice Reassign : ContractId Balance
      with newOwner : Party
      controller operator
      do create this with owner = newOwner
""",
        right="""\
module Custody where

template Balance
  with
    operator : Party
    owner : Party
    amount : Decimal
  where
    signatory operator, owner
    ensure amount > 0.0

    choice Reassign : ContractId Balance
      with newOwner : Party
      controller owner, newOwner
      do create this with owner = newOwner
""",
        fix="Make the owner a signatory and a controller of what moves the asset.",
        patterns=("transfer-with-consent", "joint-control", "threshold-approval"),
        cues=((2, r"\boperator\w*|\bcustod\w*"), (2, r"\bgod mode\b|\bsingle key\b|\bone key\b")),
    ),
    Rule(
        id="observers-from-argument",
        title="One signatory decides who sees",
        severity="medium",
        certainty="advice",
        finds="A choice writes the observers of a contract of several signatories from an argument, and not all of them "
        "control it.",
        why="An observer sees the whole contract. Whoever may add observers can show what the others signed to anybody.",
        wrong="""\
module Salaries where

template Salary
  with
    employer : Party
    employee : Party
    viewers : [Party]
  where
    signatory employer, employee
    observer viewers

    choice Show : ContractId Salary
      with others : [Party]
      controller employer
      do create this with viewers = others
""",
        right="""\
module Salaries where

template Salary
  with
    employer : Party
    employee : Party
    viewers : [Party]
  where
    signatory employer, employee
    observer viewers

    choice Show : ContractId Salary
      with others : [Party]
      controller employer, employee
      do create this with viewers = others
""",
        fix="Let the others agree, or test who may be added.",
        patterns=("read-access",),
        cues=((2, r"\bobserver\w*"), (2, r"\bprivacy\b|\bleak\w*"), (1, r"\bvisib\w*")),
    ),
    Rule(
        id="divulged-to-observers",
        title="Private contracts used before an audience",
        severity="medium",
        certainty="advice",
        finds="A consuming choice of a contract with a list of observers fetches or exercises a contract that its caller "
        "picks.",
        why="All stakeholders are told of a consuming exercise together with everything that follows from it. So each "
        "observer learns of the contracts that the choice uses.",
        wrong="""\
module Raffles where

template Ticket
  with
    holder : Party
  where
    signatory holder

template Raffle
  with
    host : Party
    public : [Party]
  where
    signatory host
    observer public

    choice Draw : Party
      with ticketCid : ContractId Ticket
      controller host
      do
        ticket <- fetch ticketCid
        assertMsg "the host's own" (ticket.holder == host)
        pure host
""",
        right="""\
module Raffles where

template Ticket
  with
    holder : Party
  where
    signatory holder

template Raffle
  with
    host : Party
    public : [Party]
  where
    signatory host
    observer public

    postconsuming choice Draw : Party
      with ticketCid : ContractId Ticket
      controller host
      do
        ticket <- fetch ticketCid
        assertMsg "the host's own" (ticket.holder == host)
        pure host
""",
        fix="Make the choice postconsuming, so that observers see the archive alone, or take the step to a contract "
        "between the parties concerned.",
        patterns=("read-access",),
        cues=((3, r"\bdivulg\w*"), (2, r"\bprivacy\b|\bleak\w*"), (1, r"\bobserver\w*")),
    ),
    Rule(
        id="contract-not-compared",
        title="A contract that the caller picks and nobody compares",
        severity="high",
        certainty="advice",
        finds="A choice fetches a contract id from its arguments and uses the data, but no test ties it to this contract or "
        "to other arguments.",
        why="The type of a contract id says which template, and nothing else. The caller may pass any contract of that "
        "template, one of its own making included.",
        wrong="""\
module Sales where

template Price
  with
    shop : Party
    reader : Party
    amount : Decimal
  where
    signatory shop
    observer reader
    ensure amount > 0.0

template Cart
  with
    shop : Party
    buyer : Party
  where
    signatory shop
    observer buyer

    nonconsuming choice Order : ContractId Invoice
      with priceCid : ContractId Price
      controller buyer
      do
        price <- fetch priceCid
        create Invoice with shop; buyer; due = price.amount

template Invoice
  with
    shop : Party
    buyer : Party
    due : Decimal
  where
    signatory shop, buyer
""",
        right="""\
module Sales where

template Price
  with
    shop : Party
    reader : Party
    amount : Decimal
  where
    signatory shop
    observer reader
    ensure amount > 0.0

template Cart
  with
    shop : Party
    buyer : Party
  where
    signatory shop
    observer buyer

    nonconsuming choice Order : ContractId Invoice
      with priceCid : ContractId Price
      controller buyer
      do
        price <- fetch priceCid
        assertMsg "the price of this shop" (price.shop == shop)
        create Invoice with shop; buyer; due = price.amount

template Invoice
  with
    shop : Party
    buyer : Party
    due : Decimal
  where
    signatory shop, buyer
""",
        fix="Compare the parties and the terms of what was fetched with what was agreed, before anything follows from it.",
        patterns=("credential", "delegated-settlement"),
        cues=((2, r"\bcompar\w*|\bswapp\w*|\bforge\w*|\bfake\w*"), (1, r"\bfetch\w*|\bcontract ids?\b")),
    ),
    Rule(
        id="contract-not-checked",
        title="A contract that is taken unseen",
        severity="medium",
        certainty="advice",
        finds="A consuming choice exercises a contract that its caller picks, and creates something in return, without a "
        "look at the contract.",
        why="The caller may hand in a contract of little worth, or one of its own issue, and still gets what the choice "
        "creates.",
        wrong="""\
module Exchange where

template Coin
  with
    mint : Party
    owner : Party
    amount : Decimal
  where
    signatory mint, owner
    ensure amount > 0.0

    choice Give : ContractId Coin
      with receiver : Party
      controller owner, receiver
      do create this with owner = receiver

template Offer
  with
    seller : Party
    buyer : Party
  where
    signatory seller
    observer buyer

    choice Buy : ContractId Title
      with coinCid : ContractId Coin
      controller buyer
      do
        exercise coinCid Give with receiver = seller
        create Title with seller; holder = buyer

template Title
  with
    seller : Party
    holder : Party
  where
    signatory seller, holder
""",
        right="""\
module Exchange where

template Coin
  with
    mint : Party
    owner : Party
    amount : Decimal
  where
    signatory mint, owner
    ensure amount > 0.0

    choice Give : ContractId Coin
      with receiver : Party
      controller owner, receiver
      do create this with owner = receiver

template Offer
  with
    seller : Party
    buyer : Party
    price : Decimal
    mint : Party
  where
    signatory seller
    observer buyer
    ensure price > 0.0

    choice Buy : ContractId Title
      with coinCid : ContractId Coin
      controller buyer
      do
        coin <- fetch coinCid
        assertMsg "what was agreed" (coin.owner == buyer && coin.mint == mint && coin.amount == price)
        exercise coinCid Give with receiver = seller
        create Title with seller; holder = buyer

template Title
  with
    seller : Party
    holder : Party
  where
    signatory seller, holder
""",
        fix="Fetch the contract first and compare its parties, its issuer and its amount.",
        patterns=("delegated-settlement", "credential"),
        cues=((2, r"\bunchecked\b|\bunseen\b|\bfake\w*"), (1, r"\bexercis\w*|\bcontract ids?\b")),
    ),
    Rule(
        id="archive-before-try",
        title="An archive before the try that replaces it",
        severity="high",
        certainty="advice",
        finds="A contract is archived before a 'try' whose body creates what replaces it, and the 'catch' does not create "
        "anything.",
        why="An exception undoes what happened inside of the 'try' and nothing before it. Then the archive stands and the "
        "create is gone. From 3.5 on such a rollback is refused.",
        wrong="""\
module Moves where

import DA.Exception

template Chip
  with
    owner : Party
    count : Int
  where
    signatory owner
    ensure count > 0

    nonconsuming choice Double : ()
      controller owner
      do
        archive self
        try do
          create this with count = count * 2
          pure ()
        catch
          (_ : ArithmeticError) -> pure ()
""",
        right="""\
module Moves where

import DA.Exception

template Chip
  with
    owner : Party
    count : Int
  where
    signatory owner
    ensure count > 0

    nonconsuming choice Double : ()
      controller owner
      do
        try do
          archive self
          create this with count = count * 2
          pure ()
        catch
          (_ : ArithmeticError) -> pure ()
""",
        fix="Move the archive into the 'try', or create the contract again in the 'catch'; better, test first and do "
        "without exceptions.",
        cues=((3, r"\btry\b|\bcatch\w*|\bexceptions?\b"), (2, r"\brollback\w*"), (1, r"\barchiv\w*")),
    ),
    Rule(
        id="commented-out-guard",
        title="A guard that is commented out",
        severity="medium",
        certainty="advice",
        finds="A comment inside of a choice holds an assertion, or one in a template an ensure clause.",
        why="Somebody took a test out, often to get past an error, and it was never put back.",
        wrong="""\
module Doors where

template Door
  with
    guard : Party
    open : Bool
  where
    signatory guard

    choice Shut : ContractId Door
      controller guard
      do
        -- assertMsg "it is open" open
        create this with open = False
""",
        right="""\
module Doors where

template Door
  with
    guard : Party
    open : Bool
  where
    signatory guard

    choice Shut : ContractId Door
      controller guard
      do
        assertMsg "it is open" open
        create this with open = False
""",
        fix="Put the guard back, or remove the line and say in words why there is none.",
        cues=((3, r"\bcommented[- ]out\b"), (1, r"\bguard\w*|\bcomment\w*")),
    ),
    Rule(
        id="unbounded-growth",
        title="A list that grows without end",
        severity="low",
        certainty="advice",
        finds="A choice re-creates its contract with a longer list or text, and nothing bounds the length.",
        why="Each copy of the contract carries the whole list. Transactions grow until a limit refuses them, and all "
        "writers contend for the one contract.",
        wrong="""\
module Logs where

template Log
  with
    host : Party
    entries : [Text]
  where
    signatory host

    choice Append : ContractId Log
      with entry : Text
      controller host
      do create this with entries = entry :: entries
""",
        right="""\
module Logs where

template Log
  with
    host : Party
    entries : [Text]
  where
    signatory host
    ensure length entries <= 100

    choice Append : ContractId Log
      with entry : Text
      controller host
      do create this with entries = entry :: entries
""",
        fix="Cap the length, or keep one contract for each entry.",
        cues=((2, r"\bgrow\w*|\bunbounded\b|\btoo large\b"), (1, r"\blists?\b|\bcontention\b")),
    ),
    Rule(
        id="lock-without-deadline",
        title="A lock without a deadline",
        severity="low",
        certainty="advice",
        finds="A template that holds something fast, by its name a lock or an escrow, has no time in its fields.",
        why="If one side goes silent, what is held stays where it is for ever.",
        wrong="""\
module Pawns where

template PawnLock
  with
    owner : Party
    keeper : Party
  where
    signatory owner
    observer keeper

    choice Release : ()
      controller keeper
      do pure ()
""",
        right="""\
module Pawns where

template PawnLock
  with
    owner : Party
    keeper : Party
    until : Time
  where
    signatory owner
    observer keeper

    choice Release : ()
      controller keeper
      do pure ()

    choice TakeBack : ()
      controller owner
      do
        now <- getTime
        assertMsg "the lock still holds" (now >= until)
""",
        fix="Add a deadline, and a choice for the owner after it.",
        patterns=("locking",),
        cues=((3, r"\block\w*|\bescrow\w*"), (2, r"\bdeadline\w*|\bstuck\b")),
    ),
    Rule(
        id="deadline-wrong-way",
        title="A time compared the wrong way round",
        severity="medium",
        certainty="advice",
        finds="A choice that by its name comes after a deadline works only before it, or one that belongs before it only "
        "after.",
        why="Reclaiming before the deadline takes away what the other side still may accept. Accepting after it makes the "
        "deadline worthless.",
        wrong="""\
module Options where

import DA.Time

template Option
  with
    writer : Party
    buyer : Party
    expiry : Time
  where
    signatory writer
    observer buyer

    choice Expire : ()
      controller writer
      do
        now <- getTime
        assertMsg "not yet" (now < expiry)
""",
        right="""\
module Options where

import DA.Time

template Option
  with
    writer : Party
    buyer : Party
    expiry : Time
  where
    signatory writer
    observer buyer

    choice Expire : ()
      controller writer
      do
        now <- getTime
        assertMsg "not yet" (now >= expiry)
""",
        fix="Turn the comparison round.",
        patterns=("locking",),
        cues=((3, r"\bdeadline\w*|\bexpir\w+"), (1, r"\btimes?\b")),
    ),
    Rule(
        id="tests-act-as-everybody",
        title="Tests that act as everybody at once",
        severity="low",
        certainty="advice",
        finds="All submissions of the scripts act as several parties.",
        why="With every party in actAs nothing can lack authority, so the tests say nothing about it. In production each "
        "party submits from a participant of its own.",
        wrong="""\
module Pacts where

import Daml.Script

template Pact
  with
    one : Party
    other : Party
  where
    signatory one, other

    choice End : ()
      controller one
      do pure ()

play : Script ()
play = do
  one <- allocateParty "One"
  other <- allocateParty "Other"
  pact <- submitMulti [one, other] [] do createCmd Pact with one; other
  submitMulti [one, other] [] do exerciseCmd pact End
""",
        right="""\
module Pacts where

import Daml.Script

template Pact
  with
    one : Party
    other : Party
  where
    signatory one, other

    choice End : ()
      controller one
      do pure ()

play : Script ()
play = do
  one <- allocateParty "One"
  other <- allocateParty "Other"
  pact <- submitMulti [one, other] [] do createCmd Pact with one; other
  submitMustFail other do exerciseCmd pact End
  submit one do exerciseCmd pact End
""",
        fix="Submit each step as the one party that takes it in production.",
        cues=((3, r"\bsubmitMulti\b"), (2, r"\btest\w*|\bscripts?\b")),
    ),
    Rule(
        id="no-negative-test",
        title="Tests that never try what must fail",
        severity="low",
        certainty="advice",
        finds="Scripts exercise choices of a contract with an amount, and none of them has a submission that must fail.",
        why="A test in which everybody may do what they do passes just as well when everybody may do everything.",
        wrong="""\
module Vouchers where

import Daml.Script

template Voucher
  with
    shop : Party
    amount : Decimal
  where
    signatory shop
    ensure amount > 0.0

    choice Cancel : ()
      controller shop
      do pure ()

play : Script ()
play = do
  shop <- allocateParty "Shop"
  voucher <- submit shop do createCmd Voucher with shop; amount = 5.0
  submit shop do exerciseCmd voucher Cancel
""",
        right="""\
module Vouchers where

import Daml.Script

template Voucher
  with
    shop : Party
    amount : Decimal
  where
    signatory shop
    ensure amount > 0.0

    choice Cancel : ()
      controller shop
      do pure ()

play : Script ()
play = do
  shop <- allocateParty "Shop"
  thief <- allocateParty "Thief"
  voucher <- submit shop do createCmd Voucher with shop; amount = 5.0
  submitMustFail thief do exerciseCmd voucher Cancel
  submit shop do exerciseCmd voucher Cancel
""",
        fix="For each step that moves value, add a submission by the wrong party, and one with a wrong amount.",
        cues=((3, r"\bsubmitMustFail\b"), (2, r"\btest\w*")),
    ),
    Rule(
        id="unreadable",
        title="A line that could not be read",
        severity="high",
        certainty="definite",
        finds="A part of the text is no DAML that this reader knows: a misspelt clause, a wrong order, a stray word.",
        why="What was not read was not judged, so nothing is said about it. Mostly the compiler stops at the same "
        "place, with 'parse error on input'.",
        wrong="""\
module Notes where

template Note
  with
    author : Party
    reader : Party
  where
    signatory author
    obsever reader
""",
        right="""\
module Notes where

template Note
  with
    author : Party
    reader : Party
  where
    signatory author
    observer reader
""",
        fix="Look at the spelling and the indentation around the line: 'where', 'with', 'do', 'let' and 'of' open a "
        "block at the column of the next word, and a smaller column closes it. Then build it.",
        cues=((3, r"\bparse error\b|\bsyntax\b|\bindentation\b"), (2, r"\bunreadable\b")),
    ),
    Rule(
        id="no-template",
        title="A text without a template",
        severity="critical",
        certainty="definite",
        finds="The text holds no template; comments and strings do not count.",
        why="Authority is a matter of templates and their choices. Types and functions alone give nothing to judge, "
        "and a judgement of nothing would look like praise.",
        wrong="""\
module Terms where

data Terms = Terms with
  price : Decimal
""",
        right="""\
module Terms where

template Quote
  with
    seller : Party
    price : Decimal
  where
    signatory seller
    ensure price > 0.0
""",
        fix="Send the module that declares the template, whole, together with the templates that its choices create.",
        cues=((2, r"\bno template\w*|\bwithout (?:a )?templates?\b"),),
    ),
)
