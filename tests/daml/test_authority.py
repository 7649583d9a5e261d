"""Authority: which parties an action needs, which it has, and the verdict."""

from __future__ import annotations

import pytest
from canton_mcp.daml import ledger, reader
from canton_mcp.daml.ledger import Action, Analysis, Entry
from hypothesis import given, settings
from hypothesis import strategies as st

ASSET = """
template Asset
  with
    issuer : Party
    owner : Party
    amount : Decimal
  where
    signatory issuer, owner
    ensure amount > 0.0

    choice Give : ContractId Asset
      with
        newOwner : Party
      controller owner, newOwner
      do create this with owner = newOwner

    nonconsuming choice Look : Asset
      with
        viewer : Party
      controller viewer
      do pure this
"""

CASH = """
template Cash
  with
    bank, holder : Party
  where
    signatory bank
    observer holder
    key (bank, holder) : (Party, Party)
    maintainer key._1

    choice Pay : ContractId Cash
      with
        to : Party
      controller holder
      do create this with holder = to
"""


def analyse(text: str) -> Analysis:
    module = reader.read("module M where\n" + text)
    assert not module.problems, module.problems
    return ledger.analyse(module)


def entry_of(text: str, name: str = "Go") -> Entry:
    (entry,) = [entry for entry in analyse(text).entries if entry.name == name]
    return entry


def choice(
    body: str,
    fields: str = "a, b, c : Party",
    signatories: str = "a",
    controllers: str = "b",
    parameters: str = "",
    members: str = "",
    rest: str = "",
) -> str:
    """A template T with a choice Go, and more declarations after it."""
    given_with = f"      with\n        {parameters}\n" if parameters else ""
    lines = "".join(f"        {line}\n" for line in body.strip("\n").splitlines())
    return (
        f"template T\n  with\n    {fields}\n  where\n    signatory {signatories}\n{members}"
        f"    choice Go : ()\n{given_with}      controller {controllers}\n      do\n{lines}{rest}"
    )


def action(body: str, rest: str = "", index: int = -1, **more: str) -> Action:
    """The last (or another) action of the choice Go."""
    return entry_of(choice(body, rest=rest, **more)).actions[index]


def missing(found: Action) -> list[str]:
    return [party.path for party in found.verdict.missing]


SINGLE = "\ntemplate S\n  with\n    p : Party\n    q : Party\n  where\n    signatory p\n    observer q\n"
"""S p q is signed by p and observed by q."""


# The labelled cases


def test_transfer_that_creates_under_the_old_owners_authority() -> None:
    text = """
template Iou
  with
    issuer, owner : Party
  where
    signatory issuer, owner
    choice Transfer : ContractId Iou
      with newOwner : Party
      controller owner
      do
        assertMsg "newOwner cannot be equal to owner." (owner /= newOwner)
        create this with
          owner = newOwner
    choice Mutual_Transfer : ContractId Iou
      with newOwner : Party
      controller owner, newOwner
      do create this with owner = newOwner
"""
    (found,) = entry_of(text, "Transfer").actions
    assert (found.kind, found.template, found.updates_this) == ("create", "Iou", True)
    assert [party.path for party in found.required] == ["issuer", "newOwner"]
    assert [(party.path, party.how) for party in found.available] == [
        ("issuer", "signatory"),
        ("owner", "signatory"),
    ]
    assert found.verdict.status == "fails_unless" and found.verdict.definite
    assert missing(found) == ["newOwner"]
    assert found.verdict.condition == "newOwner is among issuer and owner"
    (mutual,) = entry_of(text, "Mutual_Transfer").actions
    assert mutual.verdict.status == "proved"


def test_authority_of_the_outer_contract_does_not_flow_in() -> None:
    text = """
template NonTransitive
  with
    partyA, partyB : Party
  where
    signatory partyA
    observer partyB
    choice TryA : ContractId NonTransitive
      controller partyA
      do
        create NonTransitive with
          partyA = partyB
          partyB = partyA
    choice TryB : ContractId NonTransitive
      with other : ContractId NonTransitive
      controller partyB
      do exercise other TryA
"""
    (found,) = entry_of(text, "TryA").actions
    assert found.verdict.definite and missing(found) == ["partyB"]
    (outer,) = entry_of(text, "TryB").actions
    assert outer.verdict.status == "fails_unless" and not outer.verdict.definite
    assert missing(outer) == ["partyA of other"]


def test_settlement_needs_the_owners_of_the_assets() -> None:
    text = """
template SimpleAsset
  with issuer, owner : Party
  where
    signatory issuer
    observer owner
    choice Transfer : ContractId SimpleAsset
      with newOwner : Party
      controller owner
      do create this with owner = newOwner

template SimpleDvP with
    party1 : Party
    party2 : Party
    asset1 : ContractId SimpleAsset
    asset2 : ContractId SimpleAsset
  where
    signatory party1
    signatory party2
    choice Settle : (ContractId SimpleAsset, ContractId SimpleAsset)
      with actor : Party
      controller actor
      do
        assert $ actor == party1 || actor == party2
        new1 <- exercise asset1 Transfer with newOwner = party2
        new2 <- exercise asset2 Transfer with newOwner = party1
        pure (new1, new2)
"""
    first, second = entry_of(text, "Settle").actions
    assert (first.kind, first.template, first.choice) == ("exercise", "SimpleAsset", "Transfer")
    assert first.verdict.status == "fails_unless" and not first.verdict.definite
    assert (missing(first), missing(second)) == (["owner of asset1"], ["owner of asset2"])
    (transfer,) = entry_of(text, "Transfer").actions
    assert transfer.verdict.status == "proved"


def test_notification_signed_by_a_party_that_only_observes() -> None:
    text = """
template PaymentProposal
  with alice, bob, carol : Party
  where
    signatory alice
    observer bob, carol
    choice Approve : (ContractId Approved, ContractId CarolNotification)
      controller bob
      do
        archive self
        approvedCid <- create Approved
          with
            alice
            bob
            carol
        notifyCid <- create CarolNotification
          with
            carol
            message = "Payment approved"
        return (approvedCid, notifyCid)

template Approved
  with alice, bob, carol : Party
  where
    signatory alice, bob
    observer carol

template CarolNotification
  with
    carol : Party
    message : Text
  where
    signatory carol
"""
    archive, approved, notification = entry_of(text, "Approve").actions
    assert archive.own_contract and archive.verdict.status == "proved"
    assert approved.verdict.status == "proved"
    assert notification.verdict.definite and missing(notification) == ["carol"]


# Creates: ways to write the contract


@pytest.mark.parametrize(
    "created",
    [
        "create S with p = a; q = b",
        "create S with p = b, q = c",
        "create (S a b)",
        "create $ S a b",
        "create S {p = a, q = c}",
        "create (S with p = a; ..)",
        "void $ create S with p = a; q = b",
        "fmap Some (create S with p = a; q = b)",
        "Some <$> create S with p = a; q = b",
        "(,) <$> create (S a b) <*> create (S b a)",
        "let s = S with p = a; q = c\ncreate s",
        "let make x = create S with p = x; q = x\nmake b",
        "let x = this.a\ncreate S with p = x; q = x",
        "let (x, y) = (b, c)\ncreate S with p = x; q = y",
        "p <- pure a\nq <- pure b\ncreate S with ..",
        "create =<< pure (S a b)",
        "pure (S a b) >>= create",
        "pure (S a b) >>= \\s -> create s with q = c",
        "forA_ [a, b] \\x -> create S with p = x; q = c",
        "mapA_ (\\x -> create S with p = x; q = c) [a, b]",
        'case Some b of\n  Some x -> create S with p = x; q = x\n  None -> error ""',
        "if a == b then create (S a a) else create (S b b)",
        "try create (S a b) catch\n  (e : AnyException) -> create (S b a)",
    ],
)
def test_create_within_authority_is_proved(created: str) -> None:
    entry = entry_of(choice(created, rest=SINGLE))
    assert entry.actions and entry.gaps == ()
    assert {found.verdict.status for found in entry.actions} == {"proved"}


@pytest.mark.parametrize(
    "created",
    [
        "create S with p = c; q = b",
        "create S with p = b, q = c, p = c",
        "create (S c b)",
        "create $ S c b",
        "let s = S with p = a; q = c\ncreate s with p = c",
        "let make x = create S with p = x; q = x\nmake c",
        "p <- pure c\nq <- pure b\ncreate S with ..",
        "pure (S a b) >>= \\s -> create s with p = c",
        "mapA_ (\\x -> create S with p = x; q = c) [a, c]",
        "if a == b then create (S a a) else create (S c b)",
        "when (b == c) (pure ())\ncreate (S c c)",
        "try assert (a == c) catch\n  (e : AnyException) -> pure ()\ncreate (S c c)",
        "if a == c then pure () else pure ()\ncreate (S c c)",
        "create (S c c)\nassert (c == a)",
    ],
)
def test_create_beyond_authority_fails(created: str) -> None:
    found = action(created, SINGLE)
    last = [one for one in entry_of(choice(created, rest=SINGLE)).actions if one.verdict.status != "proved"]
    assert len(last) == 1 and last[0].verdict.definite, found.verdict
    assert missing(last[0]) == ["c"]


def test_swapped_roles_are_fine() -> None:
    found = action("create this with a = b; b = a")
    assert found.verdict.status == "proved" and found.updates_this


def test_nested_update_and_record_in_a_field() -> None:
    rest = """
data Terms = Terms with
  buyer : Party
  seller : Party

template Deal
  with
    terms : Terms
  where
    signatory terms.buyer, terms.seller
    choice Assign : ContractId Deal
      with newBuyer : Party
      controller terms.buyer, newBuyer
      do create this with terms.buyer = newBuyer
    choice Steal : ContractId Deal
      with newBuyer : Party
      controller terms.buyer
      do create this with terms = terms with buyer = newBuyer
"""
    analysis = analyse(rest)
    assign, steal = analysis.entry("Deal", "Assign"), analysis.entry("Deal", "Steal")
    assert assign is not None and assign.actions[0].verdict.status == "proved"
    assert steal is not None and steal.actions[0].verdict.definite
    assert missing(steal.actions[0]) == ["newBuyer"]


def test_signatories_by_functions_of_this() -> None:
    text = """
signers : Offer -> [Party]
signers o = [o.maker, o.taker]

template Offer
  with
    maker, taker : Party
  where
    signatory signers this
    choice Renew : ContractId Offer
      controller signatory this
      do create this
    choice Move : ContractId Offer
      with next : Party
      controller taker
      do create this with taker = next
"""
    analysis = analyse(text)
    assert [party.path for party in analysis.templates[0].signatories] == ["maker", "taker"]
    renew, move = analysis.entry("Offer", "Renew"), analysis.entry("Offer", "Move")
    assert renew is not None and renew.actions[0].verdict.status == "proved"
    assert move is not None and missing(move.actions[0]) == ["next"]


@pytest.mark.parametrize(
    ("signatories", "status"),
    [
        ("ps", "proved"),
        ("a :: ps", "proved"),
        ("ps <> [a]", "proved"),
        ("Set.toList (Set.insert a (Set.fromList ps))", "proved"),
        ("Set.union ps [b]", "proved"),
        ("dedup (a :: ps)", "proved"),
        ("filter (/= a) ps", "proved"),
        ("Set.delete a ps", "proved"),
        ("qs", "fails_unless"),
        ("qs <> ps", "fails_unless"),
        ("map partyOf ps", "unknown"),
    ],
)
def test_collections_on_the_required_side(signatories: str, status: str) -> None:
    rest = f"\ntemplate L\n  with\n    ps, qs : [Party]\n    a, b : Party\n  where\n    signatory {signatories}\n"
    found = action(
        "create L with ..",
        rest,
        fields="a, b : Party\n    ps, qs : [Party]",
        signatories="ps, a",
        controllers="b",
    )
    assert found.verdict.status == status, found.verdict


# Facts


@pytest.mark.parametrize(
    "test",
    [
        "assert (c == a)",
        'assertMsg "same" (a == c)',
        "assert $ c == b && a /= b",
        "c === a",
        'require "same" (c == a)',
        'when (a /= c) (abort "no")',
        'when (a /= c) do abort "no"',
        'unless (a == c) $ abort "no"',
        'if a == c then pure () else abort "no"',
        'case a == c of\n  False -> abort "no"\n  True -> pure ()',
        "assert (c `elem` [a, b])",
        "assert (elem c [a, b])",
        "assert (c == a || c == b)",
        "assert (not (c /= a))",
        "assert (not (c /= a && c /= b))",
        "assert (any (== c) [a, b])",
        "assert (all (== a) [c])",
        "let same = c == a\nassert same",
        "assert (matches c a)",
        "checked c a",
        "assert (Set.member c (Set.fromList [a, b]))",
        "assert (isSubsetOf [c] [a, b])",
        "assert ((c, c) == (a, b))",
        "assert (Some c == Some a)",
        "assert (S a b == S c c)",
    ],
)
def test_facts_that_settle_it(test: str) -> None:
    helpers = """
matches : Party -> Party -> Bool
matches x y = x == y

checked : Party -> Party -> Update ()
checked x y = do
  now <- getTime
  assertMsg "not the same" (x == y)
"""
    found = action(f"{test}\ncreate (S c c)", SINGLE + helpers)
    assert found.verdict.status == "proved", found.verdict


@pytest.mark.parametrize(
    "test",
    [
        "assert (c /= a)",
        "assert (c == a || c == d)",
        'when (a == c) (abort "no")',
        'unless (a /= c) $ abort "no"',
        "assert (c `notElem` [a, b])",
        "assert (c `elem` [a, d])",
        "assert (not (c == a))",
        "assert (any (/= c) [a, b])",
        "assert (all (/= c) [a, b])",
        'case a == c of\n  True -> abort "no"\n  False -> pure ()',
    ],
)
def test_facts_that_do_not_settle_it(test: str) -> None:
    found = action(f"{test}\ncreate (S c c)", SINGLE, fields="a, b, c, d : Party")
    assert found.verdict.status == "fails_unless", found.verdict
    assert missing(found) == ["c"]


def test_a_fact_holds_in_its_arm_only() -> None:
    body = "if c == a\n  then create (S c c)\n  else create (S c a)"
    first, second = entry_of(choice(body, rest=SINGLE)).actions
    assert first.verdict.status == "proved" and first.branch == ("if c == a",)
    assert second.verdict.definite and second.branch == ("else of: if c == a",)


def test_ensure_counts_for_the_own_contract_and_for_fetched_ones() -> None:
    found = action("create (S c c)", SINGLE, members="    ensure c == a\n")
    assert found.verdict.status == "proved"
    rest = SINGLE + "\ntemplate R\n  with\n    x, y : Party\n  where\n    signatory x\n    ensure x == y\n"
    found = action(
        "r <- fetch rid\nassert (r.x == a)\ncreate S with p = r.y; q = a",
        rest,
        parameters="rid : ContractId R",
    )
    assert found.verdict.status == "proved"


def test_a_test_that_is_not_followed_makes_it_unknown_and_says_so() -> None:
    found = action("assert (isTrusted c)\ncreate (S c c)", SINGLE)
    assert found.verdict.status == "unknown" and "line 10 tests c" in found.verdict.reason
    found = action("checkElsewhere c\ncreate (S c c)", SINGLE)
    assert found.verdict.status == "unknown"
    assert [gap.name for gap in entry_of(choice("checkElsewhere c", rest=SINGLE)).gaps] == ["checkElsewhere"]


def test_elements_of_an_available_list_are_available() -> None:
    members = {
        "fields": "host : Party\n    members : [Party]",
        "signatories": "host, members",
        "controllers": "host",
    }
    rest = SINGLE
    loop = action("forA_ members \\m -> create S with p = m; q = host", rest, **members)
    assert loop.verdict.status == "proved" and loop.branch == ("for each of members",)
    guarded = action(
        "assert (x `elem` members)\ncreate S with p = x; q = host", rest, parameters="x : Party", **members
    )
    assert guarded.verdict.status == "proved"
    first = action("create S with p = head members; q = host", rest, **members)
    assert first.verdict.status == "proved"
    bare = action("create S with p = x; q = host", rest, parameters="x : Party", **members)
    assert bare.verdict.status == "fails_unless" and not bare.verdict.definite
    assert bare.verdict.condition == "x is among host and members"


def test_two_loops_over_one_list_have_two_elements() -> None:
    body = "forA_ xs \\x -> forA_ xs \\y -> do\n  assert (x == a)\n  create S with p = y; q = a"
    found = action(body, SINGLE, parameters="xs : [Party]")
    assert found.verdict.status == "fails_unless" and not found.verdict.definite


def test_a_party_that_hangs_on_a_condition() -> None:
    body = "let other = if b == a then c else a\ncreate S with p = other; q = b"
    found = action(body, SINGLE)
    assert found.verdict.status == "fails_unless" and missing(found) == ["c"]
    assert not found.verdict.definite
    found = action("assert (b /= a)\n" + body, SINGLE)
    assert found.verdict.status == "proved"


# Contracts of others


def test_fetched_fields_are_paths_under_the_variable() -> None:
    body = "asset <- fetch cid\nassert (asset.owner == b)\nexercise cid Give with newOwner = a"
    fetch, give = entry_of(choice(body, parameters="cid : ContractId Asset", rest=ASSET)).actions
    assert fetch.verdict.status == "proved"
    assert give.verdict.status == "proved"
    body = "asset <- fetch cid\nexercise cid Give with newOwner = c"
    fetch, give = entry_of(choice(body, parameters="cid : ContractId Asset", rest=ASSET)).actions
    assert fetch.verdict.status == "fails_unless" and not fetch.verdict.definite
    assert missing(give) == ["asset.owner", "c"] and give.verdict.definite, "c is a field and not there"


@pytest.mark.parametrize(
    "pattern",
    [
        "Asset{..} <- fetch cid",
        "Asset{owner} <- fetch cid",
        "Asset{owner = owner} <- fetch cid",
        "Asset _ owner _ <- fetch cid",
        "asset <- fetch cid\nlet owner = asset.owner",
        "owner <- (.owner) <$> fetch cid",
    ],
)
def test_patterns_take_fetched_contracts_apart(pattern: str) -> None:
    body = f"{pattern}\nassert (owner == a)\nexercise cid Give with newOwner = b"
    found = action(body, ASSET, parameters="cid : ContractId Asset")
    assert found.verdict.status == "proved", found.verdict


def test_comparing_a_whole_record_compares_its_fields() -> None:
    body = "asset <- fetch cid\nassert (asset == expected with amount = asset.amount)\narchive cid"
    found = action(
        body,
        ASSET,
        fields="a, b : Party\n    expected : Asset",
        signatories="expected.issuer, a",
        controllers="expected.owner",
        parameters="cid : ContractId Asset",
    )
    assert found.kind == "archive" and found.verdict.status == "proved"


def test_checked_fetch_by_a_helper() -> None:
    rest = (
        ASSET
        + """
fetchOwned : Party -> ContractId Asset -> Update Asset
fetchOwned who cid = do
  asset <- fetch cid
  assertMsg "not the owner" (asset.owner == who)
  pure asset
"""
    )
    entry = entry_of(
        choice(
            "asset <- fetchOwned b cid\nexercise cid Look with viewer = asset.owner",
            parameters="cid : ContractId Asset",
            rest=rest,
        )
    )
    fetch, look = entry.actions
    assert fetch.verdict.status == look.verdict.status == "proved"
    assert [call.name for call in fetch.via] == ["fetchOwned"] and look.via == ()


def test_contract_that_was_created_in_sight() -> None:
    body = "cid <- create S with p = b; q = c\narchive cid\ncid2 <- create S with p = a; q = c\nfetch cid2"
    entry = entry_of(choice(body, rest=SINGLE))
    assert [found.verdict.status for found in entry.actions] == ["proved"] * 4


def test_result_of_an_exercise_is_followed() -> None:
    rest = """
template Token
  with owner : Party
  where
    signatory owner
    choice Split : (ContractId Token, ContractId Token)
      controller owner
      do (,) <$> create this <*> create this
"""
    body = "(one, two) <- exercise cid Split\nt <- fetch one\nassert (t.owner == a)\narchive two"
    found = action(body, rest, parameters="cid : ContractId Token")
    assert found.kind == "archive" and found.verdict.status == "proved"


def test_observer_suffices_for_a_fetch() -> None:
    body = "s <- fetch cid\nassert (s.q == b)"
    found = action(body, SINGLE, parameters="cid : ContractId S")
    assert found.verdict.status == "proved"


def test_fetch_of_the_own_contract_and_exercise_of_it() -> None:
    members = "    nonconsuming choice Other : ()\n      controller a\n      do pure ()\n"
    entry = entry_of(choice("me <- fetch self\nexercise self Other\narchive self", members=members))
    assert [found.verdict.status for found in entry.actions] == ["proved"] * 3
    assert all(found.own_contract for found in entry.actions)


def test_observer_of_controller_can_is_a_stakeholder() -> None:
    text = """
template Old
  with owner, friend : Party
  where
    signatory owner
    controller friend can
      nonconsuming Peek : ()
        do pure ()

template Reader_
  with me : Party
  where
    signatory me
    choice Go : Old
      with
        cid : ContractId Old
      controller me
      do
        old <- fetch cid
        assert (old.friend == me)
        pure old
"""
    assert entry_of(text).actions[0].verdict.status == "proved"
    assert [party.path for party in analyse(text).templates[0].observers] == ["friend"]


# Keys


def test_by_key() -> None:
    body = """
(cid, cash) <- fetchByKey @Cash (a, b)
exercise cid Pay with to = c
exerciseByKey @Cash (a, b) Pay with to = c
lookupByKey @Cash (a, c)
visibleByKey @Cash (a, c)
"""
    fetch, pay, by_key, lookup, visible = entry_of(choice(body, rest=CASH)).actions
    assert [one.verdict.status for one in (fetch, pay, by_key, lookup, visible)] == ["proved"] * 5
    assert by_key.kind == "exerciseByKey" and by_key.choice == "Pay"


def test_lookup_needs_the_maintainers_even_on_a_miss() -> None:
    found = action("lookupByKey @Cash (c, a)", CASH)
    assert found.verdict.status == "fails_unless" and missing(found) == ["c"] and found.verdict.definite
    asked = action("visibleByKey @Cash (who, a)", CASH, parameters="who : Party")
    assert missing(asked) == ["who"] and not asked.verdict.definite, "the caller may name itself"


def test_key_written_as_a_record() -> None:
    text = """
data K = K with
  bank : Party
  name : Text
  deriving (Eq, Show)

template Account
  with
    bank, owner : Party
    name : Text
  where
    signatory bank
    key K with bank; name : K
    maintainer key.bank
    choice Go : ()
      controller owner
      do
        lookupByKey @Account (K with bank = bank; name = "x")
        lookupByKey @Account (K owner "x")
        lookupByKey @Account (key this)
        pure ()
"""
    one, two, three = entry_of(text).actions
    assert [one.verdict.status for one in (one, two, three)] == ["proved"] * 3


def test_maintainers_have_to_sign() -> None:
    text = "template A\n  with x, y : Party\n  where\n    signatory x\n    key (x, y) : (Party, Party)\n    maintainer key._{}\n"
    first = analyse(text.format(1)).templates[0]
    assert first.maintained is not None and first.maintained.status == "proved"
    second = analyse(text.format(2)).templates[0]
    assert [party.path for party in second.maintainers] == ["y"]
    assert second.maintained is not None and second.maintained.definite


# Other actions


def test_create_and_exercise_needs_both() -> None:
    found = action(
        "createAndExercise (S a b) Use",
        SINGLE + "    choice Use : ()\n      controller q\n      do pure ()\n",
    )
    assert found.kind == "createAndExercise" and found.verdict.status == "proved"
    found = action(
        "createAndExercise (S a c) Use",
        SINGLE + "    choice Use : ()\n      controller q\n      do pure ()\n",
    )
    assert missing(found) == ["c"]


def test_authority_clause_replaces_the_authority() -> None:
    text = choice("create (S a a)\ncreate (S c c)", rest=SINGLE).replace(
        "controller b\n", "authority c\n      controller b\n"
    )
    first, second = entry_of(text).actions
    assert missing(first) == ["a"] and second.verdict.status == "proved"
    assert [party.how for party in second.available] == ["authority"]


def test_infix_and_composed_actions() -> None:
    use = SINGLE + "    choice Use : ()\n      controller q\n      do pure ()\n"
    for body in (
        "cid `exercise` Use",
        "mapA_ (`exercise` Use) [cid]",
        "exercise cid $ Use",
        "(flip exercise Use) cid",
    ):
        entry = entry_of(
            choice(f"s <- fetch cid\nassert (s.q == b)\n{body}", parameters="cid : ContractId S", rest=use)
        )
        assert [one.kind for one in entry.actions] == ["fetch", "exercise"], body
        assert entry.actions[1].verdict.status == "proved", body
    entry = entry_of(choice("mapA (fmap (.p) . fetch) cids", parameters="cids : [ContractId S]", rest=use))
    assert [one.kind for one in entry.actions] == ["fetch"] and entry.gaps == ()


def test_a_choice_is_found_by_its_name_when_the_type_is_not_known() -> None:
    found = action("cid <- unknownSource\nexercise cid Give with newOwner = a", ASSET)
    assert found.template == "Asset" and found.verdict.status == "unknown"
    found = action("exercise cid Elsewhere", parameters="cid : ContractId Other")
    assert (
        found.verdict.status == "unknown" and found.verdict.reason == "choice Elsewhere is not in this text"
    )
    found = action("create Other with x = a")
    assert found.verdict.status == "unknown" and found.verdict.reason == "template Other is not in this text"


# Helpers, interfaces


def test_helpers_are_inlined_five_levels_and_then_said_to_be_left_out() -> None:
    levels = "".join(f"\nh{level} : Party -> Update ()\nh{level} x = h{level + 1} x\n" for level in range(6))
    helpers = (
        SINGLE
        + levels
        + """
h6 : Party -> Update ()
h6 x = do
  create (S x x)
  pure ()

again : Int -> Party -> Update ()
again n x = again (n - 1) x
"""
    )
    near = entry_of(choice("h2 c", rest=helpers))
    assert missing(near.actions[0]) == ["c"]
    assert [call.name for call in near.actions[0].via] == ["h2", "h3", "h4", "h5", "h6"]
    far = entry_of(choice("h1 c", rest=helpers))
    assert far.actions == () and [gap.name for gap in far.gaps] == ["h6"]
    assert "more than 5 functions" in far.gaps[0].reason
    loop = entry_of(choice("again 3 c", rest=helpers))
    assert [gap.reason for gap in loop.gaps] == ["it calls itself"]


def test_helper_that_no_choice_calls_depends_on_its_caller() -> None:
    entry = entry_of(SINGLE + "\nmake : Party -> Update (ContractId S)\nmake x = create (S x x)\n", "make")
    assert entry.kind == "helper" and entry.actions[0].verdict.status == "unknown"


INTERFACE = """
data V = V with holder : Party

interface Holding where
  viewtype V
  move : Party -> Update (ContractId Holding)
  choice Move : ContractId Holding
    with to : Party
    controller (view this).holder, to
    do move this to

template Coin
  with issuer, owner : Party
  where
    signatory issuer, owner
    interface instance Holding for Coin where
      view = V with holder = owner
      move to = do
        cid <- create this with owner = to
        pure (toInterfaceContractId @Holding cid)

template Stub
  with issuer, owner : Party
  where
    signatory issuer
    interface instance Holding for Stub where
      view = V issuer
      move to = toInterfaceContractId <$> create Coin with issuer; owner
"""


def test_interface_choices_run_with_the_templates_signatories() -> None:
    entries = [entry for entry in analyse(INTERFACE).entries if entry.name == "Move"]
    coin, stub = entries
    assert (coin.owner, coin.interface) == ("Coin", "Holding")
    assert [party.path for party in coin.controllers] == ["owner", "to"]
    assert coin.actions[0].verdict.status == "proved"
    assert [party.path for party in stub.available] == ["issuer", "to"]
    assert missing(stub.actions[0]) == ["owner"]
    assert all(entry.kind == "choice" for entry in analyse(INTERFACE).entries), (
        "methods are reached by choices"
    )


def test_exercise_through_an_interface() -> None:
    rest = INTERFACE
    found = action(
        "coin <- fetch cid\nassert (coin.owner == a)\nexercise (toInterfaceContractId @Holding cid) Move with to = b",
        rest,
        parameters="cid : ContractId Coin",
    )
    assert found.template == "Holding" and found.verdict.status == "proved"
    found = action("exercise cid Move with to = b", rest, parameters="cid : ContractId Holding")
    assert missing(found) == ["(view cid).holder"] and not found.verdict.definite


def test_interface_without_instance_in_the_text() -> None:
    text = INTERFACE.partition("template Coin")[0]
    (entry,) = analyse(text).entries
    assert entry.owner == "Holding" and [gap.name for gap in entry.gaps] == ["move"]


def test_other_modules_are_seen_through_imports() -> None:
    library = reader.read(
        "module Lib where\n" + SINGLE + "\nmake : Party -> Update ()\nmake x = void $ create (S x x)\n"
    )
    module = reader.read(
        "module M where\nimport Lib\nimport qualified Lib as L\n" + choice("make b\ncreate (L.S c c)")
    )
    first, second = ledger.analyse(module, [library]).entries[0].actions
    assert (first.module, first.verdict.status) == ("Lib", "proved")
    assert missing(second) == ["c"]
    alone = ledger.analyse(module).entries[0]
    assert [one.verdict.status for one in alone.actions] == ["unknown"] and [
        gap.name for gap in alone.gaps
    ] == ["make"]


# Scripts


SCRIPT = (
    SINGLE
    + """
template Pair
  with x, y : Party
  where
    signatory x, y

test = script do
  [alice, bob] <- mapA allocateParty ["Alice", "Bob"]
  carol <- allocateParty "Carol"
  s <- submit alice do createCmd S with p = alice; q = bob
  BODY
"""
)


@pytest.mark.parametrize(
    ("body", "status", "lacking"),
    [
        ("submit alice do createCmd Pair with x = alice; y = alice", "proved", []),
        ("submitMustFail alice do createCmd Pair with x = alice; y = bob", "fails_unless", ["bob"]),
        ("submitMulti [alice, bob] [] do createCmd (Pair alice bob)", "proved", []),
        ("submitMulti [alice] [bob] do createCmd (Pair alice bob)", "fails_unless", ["bob"]),
        ("submit (actAs alice <> readAs bob) do createCmd (Pair alice bob)", "fails_unless", ["bob"]),
        ("submit (actAs alice <> actAs bob) do createCmd (Pair alice bob)", "proved", []),
        ("submit (actAs [alice, bob]) do createCmd (Pair alice bob)", "proved", []),
        ("alice `submit` archiveCmd s", "proved", []),
        ("submit bob do archiveCmd s", "fails_unless", ["alice"]),
        ("submit carol do createAndExerciseCmd (S carol bob) Archive", "proved", []),
    ],
)
def test_scripts_have_the_authority_of_who_acts(body: str, status: str, lacking: list[str]) -> None:
    analysis = analyse(SCRIPT.replace("BODY", body))
    assert analysis.entries == ()
    (script,) = analysis.scripts
    first, found = script.actions
    assert first.verdict.status == "proved" and first.submission == "submit"
    assert found.verdict.status == status and missing(found) == lacking
    assert found.verdict.definite == bool(lacking)


def test_scripts_follow_choices_with_the_authority_inside() -> None:
    text = """
template NonTransitive
  with partyA, partyB : Party
  where
    signatory partyA
    observer partyB
    choice TryA : ContractId NonTransitive
      controller partyA
      do create NonTransitive with partyA = partyB; partyB = partyA
    choice TryB : ContractId NonTransitive
      with other : ContractId NonTransitive
      controller partyB
      do exercise other TryA

test = script do
  alice <- allocateParty "Alice"
  bob <- allocateParty "Bob"
  nt1 <- submit alice do createCmd NonTransitive with partyA = alice; partyB = bob
  nt2 <- submit alice do createCmd NonTransitive with partyA = alice; partyB = bob
  submitMustFail bob do exerciseCmd nt1 TryB with other = nt2
"""
    (script,) = analyse(text).scripts
    assert [found.verdict.status for found in script.actions] == ["proved"] * 4 + ["fails_unless"]
    inner = script.actions[-1]
    assert (inner.kind, inner.submission, [call.name for call in inner.via]) == (
        "create",
        "submitMustFail",
        ["TryB", "TryA"],
    )
    assert missing(inner) == ["bob"] and [party.path for party in inner.available] == ["alice"]


def test_scripts_hand_contracts_and_parties_on() -> None:
    text = (
        SINGLE
        + """
setup = script do
  alice <- allocateParty "Alice"
  bob <- allocateParty "Bob"
  s <- submit alice do createCmd S with p = alice; q = bob
  pure (alice, bob, s)

test = script do
  (alice, bob, s) <- setup
  submitMustFail bob do archiveCmd s
  submit alice do archiveCmd s
"""
    )
    test = next(script for script in analyse(text).scripts if script.name == "test")
    assert [found.verdict.status for found in test.actions] == ["proved", "fails_unless", "proved"]
    assert missing(test.actions[1]) == ["alice"]


def test_scripts_leave_arms_out_that_their_parties_rule_out() -> None:
    text = (
        SINGLE
        + """
template Router
  with host, guest : Party
  where
    signatory host
    observer guest
    choice Route : ()
      with who : Party
      controller who
      do
        assertMsg "stranger" (who == host || who == guest)
        if who == host then void $ create (S host guest) else void $ create (S guest host)

test = script do
  alice <- allocateParty "Alice"
  bob <- allocateParty "Bob"
  submit bob do createAndExerciseCmd (Router bob alice) (Route bob)
"""
    )
    (script,) = analyse(text).scripts
    assert [found.verdict.status for found in script.actions] == ["proved"] * 2


# Bounds


def test_choice_without_its_template() -> None:
    module = reader.read("choice Go : ()\n  controller a\n  do\n    create S with p = a; q = a\n" + SINGLE)
    entries = ledger.analyse(module).entries
    assert [entry.name for entry in entries] == ["Go"]


@pytest.mark.parametrize("levels", [50, 2000])
def test_deep_nesting_is_no_error(levels: int) -> None:
    bodies = (
        "create (S a " + "(" * levels + "b" + ")" * levels + ")",
        "assert (" + "not (" * levels + "a == b" + ")" * levels + ")",
        "create (S a b) " + ">> create (S a b) " * levels,
        "assert (" + " && ".join(["a == b"] * levels) + ")",
        "let x0 = a\n"
        + "\n".join(f"let x{n + 1} = x{n}" for n in range(levels))
        + f"\ncreate (S x{levels} b)",
        "if a == b then pure () else " * levels + "pure ()",
    )
    for body in bodies:
        module = reader.read("module M where\n" + choice(body, rest=SINGLE))
        ledger.analyse(module)


def test_definitions_in_a_circle_are_no_error() -> None:
    rest = SINGLE + "\nf : Party\nf = g\n\ng : Party\ng = f\n"
    assert action("create (S f f)", rest).verdict.status == "unknown"
    assert action("let x = y\n    y = x\ncreate (S x x)", SINGLE).verdict.status == "unknown"
    looping = """
template R
  with a : Party
  where
    signatory signatory this
    choice Go : ()
      controller a
      do archive self
"""
    assert entry_of(looping).actions[0].verdict.status == "proved"


def test_work_grows_linearly() -> None:
    def module(number: int) -> str:
        parts = []
        for index in range(number):
            part = choice(
                "s <- fetch cid\nassert (s.p == a)\nexercise cid Use",
                parameters="cid : ContractId S0",
            )
            parts.append(part.replace("template T", f"template T{index}"))
        use = (
            SINGLE.replace("template S", "template S0")
            + "    choice Use : ()\n      controller p\n      do pure ()\n"
        )
        return "module M where\n" + use + "\n".join(parts)

    small, large = (ledger.analyse(reader.read(module(number))).steps for number in (10, 100))
    assert 0 < small < large < 12 * small


WORDS = st.sampled_from(
    [
        *(
            "create",
            "exercise",
            "fetch",
            "archive",
            "cid",
            "a",
            "b",
            "self",
            "this",
            "S",
            "T",
            "Use",
            "with",
            "..",
            "p",
        ),
        *(
            "=",
            "==",
            "$",
            "<$>",
            ">>=",
            "do",
            "if",
            "then",
            "else",
            "case",
            "of",
            "->",
            "\\x",
            "x",
            "(",
            ")",
            "[",
            "]",
        ),
        *(
            "assert",
            "when",
            "forA_",
            "let",
            "in",
            "<-",
            "\n        ",
            "\n          ",
            ",",
            ";",
            "lookupByKey",
            "@T",
            "::",
        ),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=40))
def test_any_words_as_a_body_give_an_analysis(words: list[str]) -> None:
    module = reader.read("module M where\n" + choice(" ".join(words), rest=SINGLE))
    analysis = ledger.analyse(module)
    for found in analysis.actions():
        assert found.verdict.status in ("proved", "fails_unless", "unknown")
        assert found.verdict.reason
