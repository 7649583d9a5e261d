"""Authorization patterns: skeletons that hold at every level, and the choice of a pattern by a description."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from canton_mcp import daml
from canton_mcp.daml.choosing import MAX_READ, choose
from canton_mcp.daml.constraints import consider
from canton_mcp.daml.ledger import analyse
from canton_mcp.daml.likeness import MOST, examples, likeness
from canton_mcp.daml.patterns import LEVELS, PATTERNS, Level, Pattern, pattern
from canton_mcp.daml.reader import read
from canton_mcp.tools import TOOLS
from canton_mcp.tools.base import SILENT

UNSEEN: dict[str, list[str]] = tomllib.loads((Path(__file__).parent / "workflows.toml").read_text())
ENOUGH_OF_THE_UNSEEN = 0.85
CODES = [
    pytest.param(entry, level, id=f"{entry.id}-{level}") for entry in PATTERNS for level in get_args(Level)
]
SUGGEST = next(tool for tool in TOOLS if tool.name == "suggest_authorization_pattern")


def suggest(text: str, **more: Any) -> dict[str, Any]:
    params = SUGGEST.params.model_validate({"workflowDescription": text, **more})
    return SUGGEST.run(params, SILENT).model_dump(by_alias=True, mode="json")


# the catalogue of patterns ----------------------------------------------------------------------


def test_every_pattern_is_there_once() -> None:
    assert [entry.id for entry in PATTERNS] == [
        "propose-accept",
        "transfer-with-consent",
        "delegated-settlement",
        "multi-party-agreement",
        "threshold-approval",
        "delegation",
        "credential",
        "role-contract",
        "locking",
        "joint-control",
        "any-of-control",
        "flexible-controller",
        "read-access",
        "token-standard",
        "admin-pause-upgrade",
        "bot-delegation",
    ]


@pytest.mark.parametrize("entry", PATTERNS, ids=lambda entry: str(entry.id))
def test_a_pattern_is_complete(entry: Pattern) -> None:
    assert entry.flow and entry.enhanced and entry.high and len(entry.traps) >= 2
    assert "signatory" in {role.bound_as for role in entry.roles}
    assert entry.stems and entry.cues
    names = [name for name, _ in entry.alternatives]
    assert names and entry.id not in names and all(pattern(name) for name in names)


@pytest.mark.parametrize(("entry", "level"), CODES)
def test_code_of_every_level_has_the_authority_it_needs(entry: Pattern, level: Level) -> None:
    text = entry.code(level)
    module = read(text)
    assert module.problems == () and module.templates and module.name
    assert "#for" not in text and "#end" not in text and "\t" not in text and "\n\n\n" not in text
    assert text.endswith("\n") and max(map(len, text.splitlines())) <= 120
    analysis = analyse(module)
    statuses = {action.verdict.status for action in analysis.actions()}
    imported = {item.module for item in module.imports}
    # What the token standard brings is not in the text; nothing else may stay open.
    assert statuses <= (
        {"proved", "unknown"} if any(name.startswith("Splice.") for name in imported) else {"proved"}
    )


@pytest.mark.parametrize(("entry", "level"), CODES)
@pytest.mark.parametrize("test", [True, False], ids=["with test", "templates"])
def test_code_of_every_level_has_no_findings(entry: Pattern, level: Level, test: bool) -> None:
    module = daml.read(entry.code(level, test=test))
    assert daml.findings(module, daml.analyse(module)) == []


@pytest.mark.parametrize(("entry", "level"), CODES)
def test_names_in_code_are_declared_once_and_roles_are_used(entry: Pattern, level: Level) -> None:
    module = read(entry.code(level))
    choices = [choice.name for template in module.templates for choice in template.choices]
    templates = [template.name for template in module.templates]
    assert len({*choices, *templates}) == len(choices) + len(templates)
    for template in module.templates:
        fields = {field.name for field in template.fields}
        assert all(
            fields.isdisjoint(field.name for field in choice.parameters) for choice in template.choices
        )
    for role in entry.roles:
        assert re.search(rf"\b{role.name}\b", module.text), role.name


@pytest.mark.parametrize(("entry", "level"), CODES)
def test_scripts_submit_what_succeeds_and_what_fails(entry: Pattern, level: Level) -> None:
    if entry.id == "token-standard":  # needs a registry of the token standard
        return
    module = read(entry.code(level))
    scripts = analyse(module).scripts
    actions = [action for script in scripts for action in script.actions]
    wanted = [action for action in actions if "MustFail" not in action.submission]
    assert wanted and all(action.verdict.status == "proved" for action in wanted)
    assert "MustFail" in module.text
    assert "Daml.Script" in {item.module for item in module.imports}
    assert "Script" not in entry.code(level, test=False)


# What the token standard says of executing an allocation, as far as authority goes.
ALLOCATION = """
data SettlementInfo = SettlementInfo with
  executor : Party
  allocateBefore : Time
  settleBefore : Time
data TransferLeg = TransferLeg with
  sender : Party
  receiver : Party
  amount : Decimal
data AllocationSpecification = AllocationSpecification with
  settlement : SettlementInfo
  transferLegId : Text
  transferLeg : TransferLeg
data AllocationView = AllocationView with
  allocation : AllocationSpecification
needed : AllocationView -> [Party]
needed AllocationView{..} = [allocation.settlement.executor, allocation.transferLeg.sender, allocation.transferLeg.receiver]
interface Allocation where
  viewtype AllocationView
  executeImpl : ContractId Allocation -> Update ()
  choice Allocation_ExecuteTransfer : ()
    with extraArgs : Text
    controller needed (view this)
    do executeImpl this self
"""


@pytest.mark.parametrize("level", LEVELS)
def test_the_token_skeleton_has_the_authority_that_the_standard_asks_for(level: Level) -> None:
    chosen = pattern("token-standard")
    assert chosen is not None
    text = re.sub(r"import Splice\.Api\.Token\..*\n", "", chosen.code(level, test=False)) + ALLOCATION

    def executions(code: str) -> list[str]:
        actions = analyse(read(code)).actions()
        return [action.verdict.status for action in actions if action.choice == "Allocation_ExecuteTransfer"]

    assert executions(text) == ["proved", "proved"]
    unchecked = re.sub(r".*not the agreed payment.*\n", "", text)
    assert executions(unchecked) != ["proved", "proved"]


@pytest.mark.parametrize("entry", PATTERNS, ids=lambda entry: str(entry.id))
def test_a_higher_level_adds_code(entry: Pattern) -> None:
    codes = [entry.code(level, test=False) for level in LEVELS]
    assert len(set(codes)) >= 2 and len(codes[0]) <= len(codes[1]) <= len(codes[2])
    assert codes[0] == entry.skeleton


# choosing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [pytest.param(text, name, id=text[:40]) for name, texts in examples().items() for text in texts],
)
def test_workflows_of_many_styles(text: str, name: str) -> None:
    chosen = choose(text).chosen
    assert chosen is not None and chosen.pattern.id == name
    assert chosen.words or chosen.note


def test_most_workflows_in_words_that_nobody_saw_before() -> None:
    asked = [(text, name) for name, texts in UNSEEN.items() for text in texts]
    assert {name for _, name in asked} == {entry.id for entry in PATTERNS}
    assert {text for text, _ in asked}.isdisjoint(text for texts in examples().values() for text in texts)
    chosen = [(choose(text).chosen, name) for text, name in asked]
    right = sum(found is not None and found.pattern.id == name for found, name in chosen)
    assert right / len(asked) >= ENOUGH_OF_THE_UNSEEN


def test_likeness_weighs_words_that_no_cue_looks_for() -> None:
    found = likeness("the deposit sleeps with the lawyer till the keys are handed back")
    assert max(found.behind, key=lambda name: found.behind[name]) == "locking"
    assert found.known > 5 and found.lead > 0 and found.telling["locking"]
    assert min(found.behind.values()) >= -MOST and max(found.behind.values()) == 0
    assert likeness("deposit xyzzy", without=["deposit"]).known == 0
    assert set(examples()) == {entry.id for entry in PATTERNS}


def test_what_is_chosen_by_likeness_alone_is_asked_about() -> None:
    texts = [text for texts in UNSEEN.values() for text in texts]
    faint = [text for text in texts if (found := choose(text).chosen) and found.points < 2]
    asked = [text for text in faint if choose(text).close]
    assert asked and all(suggest(text)["questions"] for text in asked)
    for text in set(faint) - set(asked):
        first, second, *_ = choose(text).ranked
        assert first.score - second.score >= 3


@pytest.mark.parametrize("text", ["", "blue bananas", "x", "12345", "lorem ipsum dolor sit amet", "¿qué?"])
def test_nothing_is_chosen_for_a_text_that_says_nothing(text: str) -> None:
    assert choose(text).chosen is None


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("A consultant proposes work to a client, who accepts or declines. No escrow is used.", "locking"),
        ("The owner transfers a token to a new owner who accepts. There is no voting.", "threshold-approval"),
        ("An escrow-free offer that the buyer accepts or rejects.", "locking"),
        (
            "The seller makes an offer, the buyer accepts or declines it. A multisig is not needed.",
            "threshold-approval",
        ),
    ],
)
def test_what_is_denied_does_not_count(text: str, denied: str) -> None:
    decision = choose(text)
    assert decision.chosen is not None and decision.chosen.pattern.id != denied
    found = next(entry for entry in decision.ranked if entry.pattern.id == denied)
    assert found.denied
    (told,) = [other for other in suggest(text)["alternatives"] if other["id"] == denied] or [None]
    assert told is None or found.denied[0] in told["reason"]


def test_negation_within_a_demand_is_no_denial() -> None:
    assert (
        choose("No token may be transferred without the receiver's consent.").ranked[0].pattern.id
        == "transfer-with-consent"
    )


@pytest.mark.parametrize(
    ("text", "constraints", "instead"),
    [
        ("Issuer and holder jointly control the redemption.", [], "joint-control"),
        (
            "Issuer and holder jointly control the redemption.",
            ["They are on different participant nodes"],
            "propose-accept",
        ),
        ("Issuer and holder, who live on separate participants, jointly sign off.", [], "propose-accept"),
        (
            "Bank, insurer and shipper jointly release the goods.",
            ["each has its own participant"],
            "multi-party-agreement",
        ),
    ],
)
def test_parties_that_are_apart_never_get_joint_control(
    text: str, constraints: list[str], instead: str
) -> None:
    answer = suggest(text, constraints=constraints)
    assert answer["pattern"]["id"] == instead
    if instead != "joint-control":
        reasons = {other["id"]: other["reason"] for other in answer["alternatives"]}
        assert "cannot submit one command together" in reasons["joint-control"]


def test_those_who_only_look_on_do_not_decide() -> None:
    text = "Two dealers settle bond against cash atomically. The regulator may view all of it as an observer, read-only."
    decision = choose(text)
    assert decision.chosen is not None and decision.chosen.pattern.id == "delegated-settlement"
    assert "read-access" in [entry.pattern.id for entry in decision.also]
    assert [entry["id"] for entry in suggest(text)["combine"]] == ["read-access"]


def test_constraints_decide_where_the_description_does_not() -> None:
    answer = suggest("Treasury.", constraints=["at least two of the five directors approve each payment"])
    assert answer["pattern"]["id"] == "threshold-approval"


def test_reasons_quote_the_words_of_the_caller() -> None:
    text = "Three of five directors approve each payment before the deadline."
    answer = suggest(text)
    quoted = re.findall(r"'([^']+)'", answer["reason"].partition("You say")[2])
    assert quoted and all(quote.removesuffix(" ..") in text for quote in quoted)
    assert all(other["reason"] for other in answer["alternatives"])


@pytest.mark.parametrize("level", LEVELS)
def test_the_skeleton_is_that_of_the_level(level: Level) -> None:
    text = "A broker trades on behalf of its client."
    answer = suggest(text, securityLevel=level)
    chosen = pattern("delegation")
    assert chosen is not None and answer["skeleton"] == chosen.code(level)


@pytest.mark.parametrize(
    "piece",
    [
        "a ",
        "x",
        "the buyer, the seller, and ",
        "either or ",
        "2 of the ",
        "gets and ",
        "no approval without ",
        "\n- ",
        "both ",
    ],
)
def test_long_texts_are_bounded(piece: str) -> None:
    text = (piece * MAX_READ)[:20_000]
    assert choose(text) == choose(text)


# constraints ------------------------------------------------------------------------------------

OFFER = "A supplier offers goods to a buyer, who accepts or rejects the offer."


@pytest.mark.parametrize(
    ("text", "constraint", "status", "told"),
    [
        (OFFER, "An offer expires after 30 days", "addressed", "days 30"),
        (OFFER, "the supplier can withdraw its offer", "addressed", "Withdraw by proposer"),
        (OFFER, "the buyer can refuse", "addressed", "Reject by counterparty"),
        (OFFER, "Parties are on different participants", "addressed", "one party"),
        (OFFER, "A regulator must be able to see every agreement", "yours_to_add", "observer of Agreement"),
        (OFFER, "KYC of the buyer is required", "yours_to_add", "credential"),
        (OFFER, "amounts must be positive", "yours_to_add", "ensure"),
        (OFFER, "not more than 1000 per order", "yours_to_add", "bound"),
        (OFFER, "terms must not be changed", "addressed", "terms"),
        (OFFER, "no contract keys", "addressed", "no contract key"),
        (OFFER, "Be blue", "not_understood", "by hand"),
        ("Three of five directors approve.", "No director approves twice", "addressed", "notElem"),
        (
            "Collateral is locked until repayment.",
            "the two use separate participants",
            "yours_to_add",
            "one submission",
        ),
        (
            "Collateral is locked until repayment.",
            "partial release must be possible",
            "yours_to_add",
            "divides Asset",
        ),
        (
            "A broker trades on behalf of a client.",
            "at most 100 per order",
            "addressed",
            "orderAmount <= limit",
        ),
        ("A broker trades on behalf of a client.", "no trade without consent", "addressed", "consents once"),
        ("A broker trades on behalf of a client.", "it can be revoked", "addressed", "Revoke by principal"),
        ("The safe is opened by both jointly.", "a deadline of 2 hours", "yours_to_add", "Time"),
        (OFFER, "no single admin", "addressed", "signatures of proposer and counterparty"),
        (OFFER, "the operator cannot be trusted", "addressed", "each gives its own"),
        (OFFER, "it must be atomic", "addressed", "as a whole or not at all"),
        (OFFER, "users are not known in advance", "yours_to_add", "flexible controller"),
        (OFFER, "at most 1000 per day", "yours_to_add", "the start of the day"),
        ("The admin pauses the whole platform.", "No single admin may stop it", "yours_to_add", "SetPaused"),
        ("A public faucet: anyone may claim coins.", "users are not known in advance", "addressed", "is for"),
    ],
)
def test_constraints(text: str, constraint: str, status: str, told: str) -> None:
    (item,) = consider([constraint], choose(text), "basic")
    assert (item.status, told in item.detail) == (status, True), item.detail
    if status == "yours_to_add":
        assert item.code
    else:
        assert not item.code


def test_what_a_constraint_asks_for_besides_is_combined() -> None:
    constraints = ["users are not known in advance", "a regulator sees every agreement", "no contract keys"]
    answer = suggest(OFFER, constraints=constraints)
    assert [entry["id"] for entry in answer["combine"]] == ["flexible-controller", "read-access"]
    assert all(text in entry["reason"] for text, entry in zip(constraints, answer["combine"], strict=False))
    assert suggest(OFFER)["combine"] == []


def test_many_constraints_do_not_make_two_parties_several() -> None:
    text = "Issuer and holder jointly approve each redemption."
    answer = suggest(
        text, constraints=["at most 1000 units", "they are on different participants", "7 audits"]
    )
    assert answer["pattern"]["id"] == "propose-accept"


def test_a_limit_over_time_is_daml() -> None:
    (item,) = consider(["at most 500 per week"], choose(OFFER), "basic")
    body = item.code.partition("again\n")[2]
    fields = "    p : Party\n    used, limit : Decimal\n    since : Time\n"
    choice = "    choice Use : ContractId T\n      with amount : Decimal\n      controller p\n      do\n"
    module = f"module M where\ntemplate T\n  with\n{fields}  where\n    signatory p\n{choice}{body}"
    found = read(module)
    assert found.problems == () and "days 7" in body
    assert {action.verdict.status for action in analyse(found).actions()} == {"proved"}


def test_a_constraint_without_a_pattern_is_not_understood() -> None:
    (item,) = consider(["ripe"], choose("blue bananas"), "basic")
    assert item.status == "not_understood"


@pytest.mark.parametrize("entry", PATTERNS, ids=lambda entry: str(entry.id))
def test_every_pattern_answers_every_kind_of_constraint(entry: Pattern) -> None:
    texts = [
        "expires after 2 weeks", "can be cancelled", "can be rejected", "at most 5", "must be positive", "only once",
        "the auditor sees it", "must stay confidential", "on different participants", "both must agree",
        "no contract keys", "no single administrator", "partial amounts", "audit trail",
    ]  # fmt: skip
    decision = choose(examples()[entry.id][0])
    assert decision.chosen is not None
    for level in LEVELS:
        for item in consider(texts, decision, level):
            assert item.detail and item.status in ("addressed", "yours_to_add", "not_understood")
