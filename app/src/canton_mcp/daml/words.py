"""Words of plain English and names of code, made comparable: stems, parts of names, words of like meaning."""

from __future__ import annotations

import re
from functools import cache

__all__ = ["alike", "name_parts", "name_stems", "same_meaning", "stem", "stems", "words"]

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_']*")
_SUFFIXES = (
    "ations", "ation", "ments", "ment", "ances", "ance", "ings", "ing", "ions", "ion", "ors", "ers", "ees", "als",
    "or", "er", "ee", "al", "ied", "ies", "ed", "es", "s", "y", "e",
)  # fmt: skip
_IRREGULAR = {
    "paid": "pay", "payee": "payee", "payer": "payer", "bought": "buy", "sold": "sell", "sale": "sell", "sales": "sell",
    "spent": "spend", "withdrawn": "withdraw", "withdrew": "withdraw", "given": "giv", "gave": "giv", "gives": "giv",
    "revocation": "revok", "redemption": "redeem", "redemptions": "redeem", "signatory": "sign", "signatories": "sign",
    "signature": "sign", "signatures": "sign", "frozen": "freez", "froze": "freez", "held": "hold", "kept": "keep",
    "sent": "send", "made": "mak", "took": "tak", "taken": "tak", "chosen": "choos", "written": "writ", "read": "read",
    "expiry": "expir", "expiration": "expir", "expires": "expir", "closure": "clos", "removal": "remov", "lent": "lend",
    "decision": "decid", "receipt": "receiv", "receiver": "receiver", "recipient": "recipient", "owner": "owner",
    "owners": "owner", "holder": "holder", "holders": "holder", "issuer": "issuer", "issuers": "issuer",
    "lender": "lender", "borrower": "borrower", "buyer": "buyer", "seller": "seller", "user": "user", "users": "user",
    "member": "member", "members": "member", "order": "order", "orders": "order", "number": "number", "offer": "offer",
    "offers": "offer", "agent": "agent", "agents": "agent", "fee": "fee", "fees": "fee", "trustee": "trustee",
    "employee": "employee", "licensee": "licensee", "customer": "customer", "customers": "customer", "operator": "operator",
    "manager": "manager", "managers": "manager", "approver": "approver", "approvers": "approver", "auditor": "auditor",
    "auditors": "auditor", "regulator": "regulator", "proposer": "proposer", "locker": "locker", "transfer": "transfer",
    "transfers": "transfer", "transferred": "transfer", "transferring": "transfer", "cancellation": "cancel",
    "broker": "broker", "dealer": "dealer", "trader": "trader", "traders": "trader", "investor": "investor",
    "supplier": "supplier", "insurer": "insurer", "provider": "provider", "carrier": "carrier", "actor": "actor",
    "creditor": "creditor", "debtor": "debtor", "director": "director", "directors": "director", "minter": "minter",
    "executor": "executor", "voter": "voter", "voters": "voter", "bidder": "bidder", "sender": "sender", "verifier": "verifier",
    "balance": "balance", "balances": "balance", "party": "party", "parties": "party", "currency": "currency",
}  # fmt: skip
"""Words whose stem the endings do not give; agents keep their ending, or 'owner' and 'own' would be one."""
_DOUBLED = re.compile(r"(?<=[a-z])([bdgklmnprtvz])\1\Z")
_MEANINGS = (
    "accept agree approve confirm consent endorse countersign",
    "reject decline refuse deny dismiss turndown",
    "revoke cancel withdraw terminate rescind recall annul void abandon drop pullback takeback",
    "transfer send move assign give convey hand pass",
    "create issue mint establish",
    "redeem burn retire",
    "pay settle",
    "change modify update amend edit alter adjust",
    "delete remove archive destroy",
    "split divide",
    "merge join combine",
    "claim collect",
    "release unlock free unfreeze",
    "lock freeze block hold",
    "see view observe read look inspect",
    "end close finish terminate",
    "reclaim clawback recover",
    "receiver recipient beneficiary payee transferee newowner",
    "customer client",
    "admin administrator operator",
    "seller vendor supplier merchant",
    "buyer purchaser",
    "owner holder",
    "issuer bank registrar minter",
    "bank lender",
    "auditor regulator supervisor inspector",
    "employee worker staff",
    "amount quantity sum value volume units",
    "price cost",
    "deadline expiry expiresat duedate maturity validuntil until",
    "limit maximum max cap ceiling bound",
    "minimum min floor",
)


def words(text: str) -> list[str]:
    """The words of a text, in order."""
    return _WORD.findall(text)


def stem(word: str) -> str:
    """What the forms of a word have in common: 'transferring' and 'Transfer', 'approval' and 'approve'."""
    plain = word.lower().removesuffix("'s").strip("'")
    known = _IRREGULAR.get(plain)
    if known is not None:
        return known
    for suffix in _SUFFIXES:
        if plain.endswith(suffix) and len(plain) - len(suffix) >= 3:
            plain = plain[: -len(suffix)]
            break
    return _DOUBLED.sub(r"\1", plain).removesuffix("e") if len(plain) > 3 else plain


def stems(text: str) -> frozenset[str]:
    """The stems of the words of a text."""
    return frozenset(map(stem, text.split()))


def name_parts(name: str) -> list[str]:
    """The words that a name is made of: 'newOwner' is 'new' and 'Owner'."""
    return _PART.findall(name)


def name_stems(name: str) -> tuple[str, ...]:
    """The stems of a name's parts."""
    return tuple(stem(part) for part in name_parts(name))


def same_meaning(one: str, other: str) -> bool:
    """Whether two stems are one, or mean much the same."""
    return one == other or bool(_groups().get(one, frozenset()) & _groups().get(other, frozenset()))


@cache
def _groups() -> dict[str, frozenset[int]]:
    """By stem, the numbers of the groups of like meaning that it is in."""
    found: dict[str, set[int]] = {}
    for number, group in enumerate(_MEANINGS):
        for word in group.split():
            found.setdefault(stem(word), set()).add(number)
    return {word: frozenset(numbers) for word, numbers in found.items()}


def alike(spoken: list[str], name: str) -> int:
    """How well words name a name of code: 3 all its parts, 2 its last part, 1 by meaning, 0 not.

    'owner' names `owner` and `bondOwner`, but `newOwner` only together with 'new'.
    """
    said = [stem(word) for word in spoken]
    parts = name_stems(name)
    if not said or not parts:
        return 0
    changed = stems("new next proposed future")
    if changed & set(parts) and not changed & set(said):
        return 0
    if changed & set(said) and not changed & set(parts):
        taking = stems("receiver recipient beneficiary payee transferee buyer")
        return 1 if parts[-1] in taking else 0
    if tuple(said[-len(parts) :]) == parts or "".join(said) == "".join(parts) or stem(name) == said[-1]:
        return 3
    if parts[-1] == said[-1] or (len(name) > 4 and said[-1].endswith(name.lower())):
        return 2
    return 1 if same_meaning(parts[-1], said[-1]) else 0
