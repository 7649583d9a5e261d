"""Primers: how authority works, and how to read what a ledger says when it refuses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Guide:
    """A primer in Markdown. `cues` are (weight, regular expression) pairs over a question or a description."""

    id: str
    title: str
    summary: str
    text: str
    cues: tuple[tuple[int, str], ...]


AUTHORIZATION = Guide(
    id="authorization",
    title="How authority works in DAML",
    summary="Signatories, controllers and observers, which authority a choice has, and what each ledger action needs.",
    text="""\
# How authority works in DAML

Nobody can be bound without having agreed. The ledger enforces that for every single action, and most
authorization errors are this rule at work. Four questions settle nearly every case.

## Who takes part, and how

| the party … | is a … | and that means |
|---|---|---|
| is bound, or vouches for the content | signatory | every create and every archive needs its authority |
| decides on a step | controller | that one choice needs its authority |
| only looks on | observer | it sees the contract and its archival; it gives and needs no authority |

A controller is neither signatory nor observer by that alone. If it is neither, it cannot see the contract that
it controls.

## Which authority is at hand

- **At the top**, that of the parties in actAs. Parties in readAs see more; they authorize nothing.
- **Inside a choice**, that of the signatories of the exercised contract, together with that of the controllers
  of this choice. Nothing else: the authority of an outer exercise is replaced, not added to.
- Loops, conditions, try and helper functions change nothing.

## What each action needs

| action | needs the authority of |
|---|---|
| create | all signatories of the new contract; the maintainers of its key must be among them |
| exercise | all controllers of the choice; whether they are stakeholders does not matter |
| archive | all signatories: it is the choice Archive, which they control together |
| fetch, fetchByKey | one stakeholder of the contract: a signatory or an observer |
| lookupByKey, visibleByKey | all maintainers of the key, whether there is such a contract or not |

Three consequences that surprise people:

- A consuming choice lets its controller end a contract that it did not sign, since the choice brings the
  signatories' authority along. A bare `archive` does not.
- A consuming choice archives its contract *before* its body runs. Read from `this`; `self` is gone.
- A contract that is disclosed to a party can be seen by it. That does not authorize a fetch.

## How two parties come to one contract

No party can sign for another, so somebody signs first and the other one joins by controlling a choice:

```daml
module Handshake where

template Invitation
  with
    host : Party
    guest : Party
  where
    signatory host
    observer guest

    choice Join : ContractId Membership
      controller guest
      do create Membership with host; guest

    choice Refuse : ()
      controller guest
      do pure ()

    choice CallOff : ()
      controller host
      do pure ()

template Membership
  with
    host : Party
    guest : Party
  where
    signatory host, guest
```

In `Join`, host is at hand by its signature and guest by its control: together they are the signatories of
Membership. Every larger pattern is a variation of this: collect signatures early, in a contract, and use them
later, in its choices.

## Seeing is another matter

Visibility is checked first and apart from authority. A contract can be used by a submission only if one of its
stakeholders is in actAs or readAs, or if it was created in the same transaction, or disclosed to the submitter.
Signatories and observers see a contract; plain observers do not see the nonconsuming exercises on it. Whoever
is informed of an exercise sees all that happens below it.

## Choosing a form

- Two parties, one starts: `canton://patterns/propose-accept`.
- An asset that its owner signed changes hands: `canton://patterns/transfer-with-consent`.
- The same two parties, many operations: `canton://patterns/role-contract`.
- Somebody acts for somebody else: `canton://patterns/delegation`.
- Two things move together or not at all: `canton://patterns/delegated-settlement`.
- m of n must agree: `canton://patterns/threshold-approval`.
- A third party vouches: `canton://patterns/credential`.
- Parties on different participants cannot submit one command together: let them sign one after the other.

## Before it ships

1. For each create: are all signatories of the new contract signatories of this one, or controllers of the choice?
2. For each choice: who can run it, and would every signatory be content if that party ran it at the worst time?
3. Does a parameter control the choice? Then what in the body says who that may be?
4. Is every contract id that comes in fetched, and are its fields compared with what was agreed?
5. Can every signatory leave, and does every offer end?
6. Does a test submit each step as the wrong party and expect it to fail?
""",
    cues=(
        (3, r"\bhow (?:does|do) (?:daml )?authori[sz]ation\b|\bauthori[sz]ation model\b|\bauthority\b"),
        (2, r"\bsignator\w*"),
        (2, r"\bcontroller\w*"),
        (1, r"\bobserver\w*|\bvisib\w+"),
        (2, r"\bauthori[sz]\w+"),
    ),
)

LEDGER_ERRORS = Guide(
    id="ledger-errors",
    title="Reading ledger errors",
    summary="From an error text to its cause: authorization, visibility, contention, keys, assertions, access tokens.",
    text="""\
# Reading ledger errors

The first question is not how to fix it, but what kind of refusal it is. Adding signatories to cure a
visibility problem, or retrying a missing signature, costs a day.

## The frame

`CODE(category,correlation): text`. The category is the family: 8 invalid argument (the transaction can never
work like this), 9 failed precondition (not in this state), 10 already exists, 11 not found, 2 aborted (try
again), 7 permission denied (the access token). Script prints the same text after `Command Submit failed`;
Studio prints the sentence alone, with `at Module:line:column`.

Parties look like `Alice::1220ab…`; what counts is the part before `::`. Templates look like `#package:Module:Name`.

## Which kind is it?

| the text says | kind | look at |
|---|---|---|
| `requires authorizers A,B, but only C were given` | authorization | who is missing: required minus given |
| `failed due to a missing authorization from 'A'` | authorization | the same, from Studio or Script |
| `requires one of the stakeholders A of the fetched contract to be an authorizer, but authorizers were C` | \
authorization of a fetch | no stakeholder acts here |
| `requires authorizers A for lookup by key, but it only has C` | authorization of a lookup | the maintainers do not act here |
| `has maintainers A which are not a subset of the signatories C` | template | the key clause |
| `has no signatories`, `has no controllers` | template | a list of parties that was empty |
| `contract not visible to the reading parties` | visibility | observers, readAs, disclosure |
| `CONTRACT_NOT_FOUND` | archived, wrong id, or not visible | which of the three |
| `CONTRACT_NOT_ACTIVE`, `was consumed in same transaction` | order of steps | a consuming choice that touches `self` |
| `LOCAL_VERDICT_LOCKED_CONTRACTS`, `LOCAL_VERDICT_INACTIVE_CONTRACTS` | contention | retry with fresh contract ids |
| `DUPLICATE_COMMAND`, `SUBMISSION_ALREADY_IN_FLIGHT` | the same command twice | command ids; did the first one work? |
| `CONTRACT_KEY_NOT_FOUND`, `DUPLICATE_CONTRACT_KEY` | keys | is there one such contract, and who sees it? |
| `TEMPLATE_PRECONDITION_VIOLATED` | data | the ensure clause |
| `AssertionFailed`, `UNHANDLED_EXCEPTION`, `DAML_FAILURE` | a business rule | the message in the code |
| `PERMISSION_DENIED`, `UNAUTHENTICATED` | the access token | rights of the user; the code did not run |
| `PACKAGE_NOT_VETTED_BY_RECIPIENTS`, `PACKAGE_SELECTION_FAILED` | packages | uploaded, vetted, compatible |
| `UNKNOWN_INFORMEES`, `UNKNOWN_SUBMITTERS` | topology | where the parties are hosted |
| `parse error on input` | syntax | the line; the ledger is not involved |

Only the first six are about authority. An assertion is no missing authorizer, even if its message says
"not authorized".

## When authority is missing

1. **Subtract.** Missing = required minus given, by the name before `::`.
2. **Find the node.** `NodeId(0)` is the submitted command itself: look at actAs, or the step needs a
   proposal. A higher number was reached inside a choice. The text does not say whether the node is a create,
   an exercise or an archive; the template and the required parties do.
3. **Find the choice.** *given* is the set that the enclosing choice had: its contract's signatories and its
   controllers. Match the names with the roles, and few choices are left.
4. **Choose the way out**, in this order:
   1. let the missing party consent first, by a proposal that it accepts;
   2. make it a controller of the choice, if all of them submit together;
   3. have it sign the enclosing contract earlier (role contract, mandate);
   4. submit with it in actAs, if one participant may act for all of them;
   5. make it an observer instead of a signatory, if the contract does not bind it.
5. If *given* covers what the code requires, message and code disagree: another version of the package is
   on the ledger.

```daml
module Diagnosis where

template Claim
  with
    insurer : Party
    client : Party
  where
    signatory client
    observer insurer

    -- In here: client by signature, insurer by control. A payout that an assessor signs as well would fail
    -- with "requires authorizers assessor,client,insurer, but only client,insurer were given".
    choice Settle : ContractId Payout
      controller insurer
      do create Payout with insurer; client

    choice Refuse : ()
      controller insurer
      do pure ()

template Payout
  with
    insurer : Party
    client : Party
  where
    signatory insurer, client
```

## When it is visibility

Authority is fine, but the submitting participant does not have the contract. Make the party an observer, submit
with a stakeholder in readAs, or pass the contract as a disclosed one. In recent versions this often
shows as CONTRACT_NOT_FOUND, so ask first whether the contract was simply archived.

## What to send when you ask for help

The whole text from the code to the end, what was submitted and with which actAs and readAs, and the template and
choice involved. The tool `debug_authorization_failure` takes exactly these.
""",
    cues=(
        (3, r"\berrors?\b|\bfailure\w*|\bfails?\b|\bfailed\b"),
        (3, r"\b(?-i:[A-Z]{3,}_[A-Z_]{4,})\b|requires authorizers|missing authori[sz]ation"),
        (2, r"\bdebug\w*|\btroubleshoot\w*|\bdiagnos\w+"),
        (2, r"\bnot visible\b|\bpermission denied\b|\bunauthenticated\b"),
    ),
)

GUIDES: tuple[Guide, ...] = (AUTHORIZATION, LEDGER_ERRORS)
