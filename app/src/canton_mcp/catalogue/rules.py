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
  where
    signatory venue

    nonconsuming choice LetIn : ()
      with guest : Party
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
  where
    signatory venue

    nonconsuming choice LetIn : ()
      with guest : Party
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
    signatory airline, passenger

    nonconsuming choice Rebook : ()
      with seat : Text
      controller airline
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
        severity="medium",
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
        severity="low",
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
        severity="low",
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
