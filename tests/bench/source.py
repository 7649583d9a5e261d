"""DAML modules of any size, the same ones every time: what people write, with its scripts."""

from __future__ import annotations

__all__ = ["module"]

_HEADER = """\
module Bench.Desk where

import Daml.Script
import DA.Action (when, unless)
import DA.Foldable (forA_)
import DA.List (dedup, sort)
import DA.Optional (isSome, fromOptional)
import DA.Time (addRelTime, days)
"""

# About 190 lines: an asset with offers, a lock, a role, a delegation, an interface, an agreement of many, scripts.
_PART = """\

-- | What a bond of desk @ pays, and when.
data Terms@ = Terms@
  with
    currency : Text
    rate : Decimal
    maturity : Time
  deriving (Eq, Show)

data Leg@ = Leg@ with
    sender : Party
    receiver : Party
    quantity : Decimal

require@ : CanAssert m => Text -> Bool -> m ()
require@ message condition = assertMsg ("desk @: " <> message) condition

coupon@ : Terms@ -> Decimal -> Decimal
coupon@ terms quantity
  | terms.rate <= 0.0 = 0.0
  | otherwise = quantity * terms.rate / 100.0

interface Holding@ where
  viewtype Leg@
  getOwner@ : Party
  setOwner@ : Party -> Holding@

  nonconsuming choice Show@ : Leg@
    with
      reader : Party
    controller reader
    do
      require@ "only the owner reads" (reader == getOwner@ this)
      pure (view this)

template Bond@
  with
    issuer : Party
    owner : Party
    quantity : Decimal
    terms : Terms@
    watchers : [Party]
  where
    signatory issuer, owner
    observer watchers
    ensure quantity > 0.0 && terms.rate >= 0.0

    -- The owner proposes, the receiver accepts.
    choice Offer@ : ContractId Transfer@
      with
        receiver : Party
        deadline : Time
      controller owner
      do
        now <- getTime
        require@ "the offer ends before the bond does" (deadline > now && deadline < terms.maturity)
        require@ "nobody offers to himself" (receiver /= owner)
        create Transfer@ with bond = this; receiver; deadline

    choice Split@ : (ContractId Bond@, ContractId Bond@)
      with
        part : Decimal
      controller owner
      do
        require@ "a part is smaller than the whole" (part > 0.0 && part < quantity)
        first <- create this with quantity = part
        rest <- create this with quantity = quantity - part
        pure (first, rest)

    choice Merge@ : ContractId Bond@
      with
        others : [ContractId Bond@]
      controller owner
      do
        sums <- forA others \\cid -> do
          other <- fetch cid
          require@ "same owner" (other.owner == owner)
          require@ "same issuer" (other.issuer == issuer && other.terms == terms)
          archive cid
          pure other.quantity
        create this with quantity = foldl (+) quantity sums

    nonconsuming choice Pay@ : Decimal
      with
        today : Time
      controller issuer
      do
        let due = coupon@ terms quantity
            late = today > terms.maturity
        when late do
          abort "the bond has matured"
        pure (if due > 0.0 then due else 0.0)

    choice Redeem@ : ()
      controller issuer, owner
      do
        now <- getTime
        unless (now >= terms.maturity) $ abort "too early"

    interface instance Holding@ for Bond@ where
      view = Leg@ with sender = issuer; receiver = owner; quantity
      getOwner@ = owner
      setOwner@ party = toInterface @Holding@ (this with owner = party)

template Transfer@
  with
    bond : Bond@
    receiver : Party
    deadline : Time
  where
    signatory (signatory bond)
    observer receiver

    choice Accept@ : ContractId Bond@
      controller receiver
      do
        now <- getTime
        require@ "in time" (now <= deadline)
        create bond with owner = receiver; watchers = []

    choice Reject@ : ContractId Bond@
      controller receiver
      do create bond

    choice Withdraw@ : ContractId Bond@
      controller bond.owner
      do
        create bond with
          watchers = dedup (receiver :: bond.watchers)

template Service@
  with
    operator : Party
    customer : Party
    limit : Optional Decimal
  where
    signatory operator, customer

    nonconsuming choice Issue@ : ContractId Bond@
      with
        quantity : Decimal
        terms : Terms@
      controller operator, customer
      do
        case limit of
          Some most -> require@ "within the limit" (quantity <= most)
          None -> pure ()
        create Bond@ with issuer = operator; owner = customer; watchers = []; ..

    nonconsuming choice Swap@ : (ContractId Bond@, ContractId Transfer@)
      with
        mine : ContractId Bond@
        part : Decimal
        receiver : Party
      controller customer
      do
        now <- getTime
        bond <- fetch mine
        require@ "the customer's own" (bond.owner == customer && bond.issuer == operator)
        (first, rest) <- exercise mine Split@ with part
        offer <- exercise first Offer@ with
          receiver
          deadline = addRelTime now (days 2)
        pure (rest, offer)

    choice End@ : () with
        actor : Party
      controller actor
      do require@ "a party to it" (actor `elem` [operator, customer])

template Pending@
  with
    parties : [Party]
    signed : [Party]
    text : Text
  where
    signatory signed
    observer parties
    ensure not (null signed)

    choice Sign@ : ContractId Pending@
      with signer : Party
      controller signer
      do
        require@ "asked to sign" (signer `elem` parties)
        require@ "not twice" (signer `notElem` signed)
        create this with signed = signer :: signed

setup@ : Script ()
setup@ = script do
  [bank, alice, bob] <- forA ["Bank@", "Alice@", "Bob@"] allocateParty
  now <- getTime
  let terms = Terms@ with currency = "USD"; rate = 2.5; maturity = addRelTime now (days 365)
  service <- submit (actAs bank <> actAs alice) do
    createCmd Service@ with operator = bank; customer = alice; limit = Some 1000.0
  bond <- submitMulti [bank, alice] [] do
    exerciseCmd service Issue@ with quantity = 100.0; terms
  offer <- submit alice do
    exerciseCmd bond Offer@ with receiver = bob; deadline = addRelTime now (days 1)
  submitMustFail alice $ exerciseCmd offer Accept@
  taken <- submit bob $ exerciseCmd offer Accept@
  Some found <- queryContractId bob taken
  found.owner === bob
  forA_ [bank, alice] \\party ->
    submitMustFail party $ archiveCmd taken
"""


def module(parts: int) -> str:
    """A module of `parts` times about 200 lines: the names differ, what is done is alike."""
    return _HEADER + "".join(_PART.replace("@", str(number)) for number in range(1, parts + 1))
