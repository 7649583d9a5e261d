"""What a suggested skeleton does about a stated constraint: addressed, yours to add (with code), or not understood."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from canton_mcp.daml import tree
from canton_mcp.daml.choosing import Decision, choose
from canton_mcp.daml.guards import CLOCK, Guard, guards, said
from canton_mcp.daml.intent import read_intent
from canton_mcp.daml.patterns import PATTERNS, Level, Pattern
from canton_mcp.daml.reader import read
from canton_mcp.daml.words import name_stems, stem, stems, words

__all__ = ["Considered", "consider"]

Fate = Literal["addressed", "yours_to_add", "not_understood"]


@dataclass(frozen=True)
class Considered:
    """A constraint, what the skeleton does about it, and code to add where it does nothing yet.

    `besides` is the id of another pattern that the constraint asks for.
    """

    constraint: str
    status: Fate
    detail: str
    code: str = ""
    besides: str = ""


@dataclass(frozen=True)
class _Skeleton:
    pattern: Pattern
    module: tree.Module
    guards: tuple[Guard, ...]

    @property
    def choices(self) -> list[tuple[tree.Template, tree.Choice]]:
        return [(template, choice) for template in self.module.templates for choice in template.choices]

    def bound(self, how: str, default: str) -> str:
        """The first role that takes part in this way."""
        return next((role.name for role in self.pattern.roles if role.bound_as == how), default)


def consider(constraints: Sequence[str], decision: Decision, level: Level) -> list[Considered]:
    """Each constraint compared with the skeleton of the chosen pattern at a level."""
    if decision.chosen is None:
        return [
            Considered(text, "not_understood", "no pattern was chosen to compare it with")
            for text in constraints
        ]
    module = read(decision.chosen.pattern.code(level, test=False))
    skeleton = _Skeleton(decision.chosen.pattern, module, guards(module))
    return [
        Considered(
            text, *(fate := _fate(text, skeleton, decision)), besides=_besides(text, fate[0], skeleton)
        )
        for text in constraints
    ]


def _besides(text: str, status: Fate, skeleton: _Skeleton) -> str:
    """The pattern that an open constraint asks for by itself, when it is another one."""
    own = choose(text).chosen if status == "yours_to_add" else None
    return own.pattern.id if own and own.points >= _CLEAR and own.pattern.id != skeleton.pattern.id else ""


_CLEAR = 3
"""Points from which on a constraint asks for a pattern by itself."""
_ADMINS = frozenset({"admin", "operator", "host", "venue", "provider", "issuer"})
_ENDING = stems(
    "revoke withdraw cancel terminate abandon unshare leave exclude close drop clawback end discard"
)
_REFUSING = stems("reject refuse let dispute")
_WATCHER = re.compile(
    r"regulators?|auditors?|supervisors?|authority|inspectors?|ministry|bank|insurer|operator|public", re.I
)
_DENIES = re.compile(r"\b(?:no|not|never|nobody|cannot|without)\b|n't\b", re.I)
_Fate = tuple[Fate, str, str]
_Rule = tuple[str, Callable[[str, _Skeleton], "_Fate | None"]]


def _fate(text: str, skeleton: _Skeleton, decision: Decision) -> _Fate:
    for cue, rule in _RULES:
        if re.search(cue, text, re.I):
            fate = rule(text, skeleton)
            if fate is not None:
                return fate
    return _by_intent(text, skeleton) or _by_pattern(text, skeleton, decision)


def _by_intent(text: str, skeleton: _Skeleton) -> _Fate | None:
    """A sentence about the skeleton's own parties and choices."""
    items = read_intent(text, skeleton.module).requirements
    found = [item for item in items if item.status != "not_found"]
    if not found:
        named = next(
            (item for item in items if item.line is not None and " is controlled by " in item.detail), None
        )
        if named is None:
            return None
        told = named.detail.rsplit("; ", 1)[-1]
        return "addressed", f"{told} alone; give that party the name it has with you", ""
    open_items = [item for item in found if item.status == "not_met"]
    if open_items:
        return "yours_to_add", f"the skeleton does otherwise: {open_items[0].detail}", ""
    return (
        "addressed",
        f"in the skeleton, line {found[0].line}: {found[0].detail}" if found[0].line else found[0].detail,
        "",
    )


def _by_pattern(text: str, skeleton: _Skeleton, decision: Decision) -> _Fate:
    """What the constraint asks for by itself may be another pattern's business."""
    own = choose(text)
    if own.chosen is None or own.chosen.points < _CLEAR:
        return "not_understood", "compare the skeleton with this constraint by hand", ""
    denied = _DENIES.search(text) and not _DENIES.search(own.chosen.words[0])
    if own.chosen.pattern.id == skeleton.pattern.id and denied:
        return (
            "not_understood",
            f"compare '{own.chosen.words[0]}' in the skeleton with this constraint by hand",
            "",
        )
    if own.chosen.pattern.id == skeleton.pattern.id:
        return "addressed", f"it is what '{skeleton.pattern.name}' is for ('{own.chosen.words[0]}')", ""
    other = own.chosen.pattern
    return (
        "yours_to_add",
        f"'{own.chosen.words[0]}' asks for the pattern '{other.name}' besides: for when {other.when}",
        _templates_of(other),
    )


def _templates_of(pattern: Pattern) -> str:
    return pattern.code("basic", test=False)


# rules ------------------------------------------------------------------------------------------


def _deadline(text: str, skeleton: _Skeleton) -> _Fate:
    tests = [guard for guard in skeleton.guards if CLOCK in (guard.left, guard.right) and guard.choice]
    amount = re.search(r"(\d+) ?(minute|hour|day|week|month)s?\b", text, re.I)
    unit, number = (amount[2].lower(), int(amount[1])) if amount else ("day", 30)
    unit, number = {"week": ("day", number * 7), "month": ("day", number * 30)}.get(unit, (unit, number))
    ahead = f"addRelTime now ({unit}s {number})"
    field = next((guard.right for guard in tests if guard.left == CLOCK and guard.right), "expiresAt")
    if tests:
        where = ", ".join(dict.fromkeys(f"{guard.choice} tests {guard.text}" for guard in tests[:3]))
        given = f"; for {amount[0]} set {field} = {ahead} when you create it" if amount else ""
        return "addressed", f"the skeleton tests the ledger time: {where}{given}", ""
    code = (
        "import DA.Time (addRelTime, days)\n\n    expiresAt : Time  -- a field of the template\n\n"
        '        -- first in the body of the choice\n        now <- getTime\n        assertMsg "expired" (now < expiresAt)\n\n'
        f"  -- where it is created: expiresAt = {ahead}\n"
    )
    return "yours_to_add", "add a field of type Time and assert in the choice that now is before it", code


def _ending(text: str, skeleton: _Skeleton) -> _Fate:
    found = [
        (template, choice) for template, choice in skeleton.choices if name_stems(choice.name)[0] in _ENDING
    ]
    spoken = {stem(word) for word in words(text)}
    exact = [entry for entry in found if name_stems(entry[1].name)[0] in spoken] or found
    who = [role.name for role in skeleton.pattern.roles if stem(role.name) in spoken]
    mine = [entry for entry in exact if not who or set(who) & set(_controllers(entry[1]))]
    if mine:
        told = ", ".join(f"{choice.name} by {' and '.join(_controllers(choice))}" for _, choice in mine[:3])
        return "addressed", f"the skeleton has a choice for it: {told}", ""
    party = (who or [skeleton.bound("signatory", "owner")])[0]
    verb = next(
        (word.capitalize() for word in ("revoke", "withdraw", "cancel", "terminate") if stem(word) in spoken),
        "Cancel",
    )
    code = f"    choice {verb}By{party[:1].upper()}{party[1:]} : ()\n      controller {party}\n      do pure ()\n"
    return "yours_to_add", f"add a consuming choice for {party}, who may end it", code


def _controllers(choice: tree.Choice) -> list[str]:
    return [said(item) or "?" for clause in choice.controllers for item in clause.items]


def _rejecting(text: str, skeleton: _Skeleton) -> _Fate:
    found = [choice for _, choice in skeleton.choices if name_stems(choice.name)[0] in _REFUSING]
    if found:
        told = ", ".join(f"{choice.name} by {' and '.join(_controllers(choice))}" for choice in found[:2])
        return "addressed", f"the skeleton has a choice for it: {told}", ""
    party = skeleton.bound("controller", "counterparty")
    return (
        "yours_to_add",
        "add a consuming choice for the party asked",
        f"    choice Reject : ()\n      controller {party}\n      do pure ()\n",
    )


_PERIOD = re.compile(
    r"\b(?:per|each|every|an?) (hour|day|week|month|year)\b|\b(dai|week|month|year)ly\b", re.I
)


def _per_period(text: str, skeleton: _Skeleton) -> _Fate | None:
    """A limit over time needs a contract that remembers what was used."""
    period = _PERIOD.search(text)
    if period is None:
        return None
    unit = (period[1] or {"dai": "day"}.get(period[2], period[2])).lower()
    length = {"week": "days 7", "month": "days 30", "year": "days 365"}.get(unit, f"{unit}s 1")
    number = re.search(r"\d[\d_,.]*", text)
    code = (
        f"    limit : Decimal{f'  -- {number[0]}' if number else ''}\n    used : Decimal\n    since : Time\n\n"
        "        -- in the body of the choice, which is consuming and creates the contract again\n"
        f"        now <- getTime\n        let fresh = now >= addRelTime since ({length})\n"
        "        let total = (if fresh then 0.0 else used) + amount\n"
        '        assertMsg "beyond the limit" (amount > 0.0 && total <= limit)\n'
        "        create this with used = total; since = if fresh then now else since\n"
    )
    return (
        "yours_to_add",
        f"a limit for a {unit} needs a contract that remembers what was used: keep the sum and the start of the {unit} as fields",
        code,
    )


def _atomic(text: str, skeleton: _Skeleton) -> _Fate:
    if skeleton.pattern.id in ("delegated-settlement", "token-standard"):
        return "addressed", "both legs are exercised in one choice: they happen together or not at all", ""
    return (
        "addressed",
        "whatever a choice does happens as a whole or not at all; if assets of two owners have to move together, "
        "move both in one choice, as 'Delegated settlement' does",
        "",
    )


def _limited(text: str, skeleton: _Skeleton) -> _Fate:
    found = [
        guard
        for guard in skeleton.guards
        if guard.operator in ("<", "<=") and CLOCK not in (guard.left, guard.right)
    ]
    found = [guard for guard in found if not guard.left.startswith("length") and guard.left != "threshold"]
    if found:
        return (
            "addressed",
            f"the skeleton compares with a bound: {found[0].choice or found[0].template} tests {found[0].text}",
            "",
        )
    number = re.search(r"\d[\d_,.]*", text)
    bound = f"  -- {number[0]}" if number else ""
    return (
        "yours_to_add",
        "add a bound as a field and assert it in the choice",
        f"    limit : Decimal{bound}\n\n        -- in the body of the choice\n"
        '        assertMsg "beyond the limit" (amount <= limit)\n',
    )


def _positive(text: str, skeleton: _Skeleton) -> _Fate:
    found = [
        guard
        for guard in skeleton.guards
        if guard.operator in (">", ">=") and re.fullmatch(r"0(?:\.0)?", guard.right)
    ]
    found = [guard for guard in found if not guard.left.startswith("length")]
    if found:
        return "addressed", f"the skeleton ensures it: {found[0].text} in {found[0].template}", ""
    return "yours_to_add", "add an ensure clause", "    ensure amount > 0.0\n"


def _twice(text: str, skeleton: _Skeleton) -> _Fate | None:
    found = [guard for name in ("notElem", "unique") for guard in skeleton.guards if guard.operator == name]
    if found:
        return "addressed", f"the skeleton tests it: {found[0].text}", ""
    spoken = {stem(word) for word in words(text)}
    named = [choice for _, choice in skeleton.choices if set(name_stems(choice.name)) & spoken]
    repeated = [choice for choice in named if choice.consumption == "nonconsuming"]
    if repeated:
        return (
            "yours_to_add",
            f"{repeated[0].name} is nonconsuming, so it can be repeated: make it consuming, or keep who has "
            f"used it",
            f"    choice {repeated[0].name} : ..  -- without 'nonconsuming': the contract is archived by "
            f"its first use\n",
        )
    acting = named or [choice for _, choice in skeleton.choices if choice.consumption == "consuming"]
    if acting:
        return "addressed", f"{acting[0].name} is consuming: the contract is gone after its first use", ""
    return None


def _watching(text: str, skeleton: _Skeleton) -> _Fate:
    spoken = words(text)
    name = next(
        (word.lower() for word in spoken if _WATCHER.fullmatch(word)),
        "regulator",
    ).removesuffix("s")
    roles = [role.name for role in skeleton.pattern.roles if role.bound_as == "observer"]
    if skeleton.pattern.id == "read-access":
        return "addressed", f"{' and '.join(roles)} observe the contract without signing or acting", ""
    templates = [template.name for template in skeleton.module.templates]
    return (
        "yours_to_add",
        f"add {name} as a field and as an observer of {', '.join(templates[:3])}; an observer neither signs "
        f"nor acts",
        f"    {name} : Party  -- a field\n\n    observer {name}\n",
    )


def _hidden(text: str, skeleton: _Skeleton) -> _Fate:
    told = [
        f"{template.name} is seen by {', '.join(_stakeholders(template))}"
        for template in skeleton.module.templates[:3]
    ]
    return (
        "addressed",
        f"nobody but the stakeholders sees a contract: {'; '.join(told)}; whoever takes part in a "
        f"transaction sees its "
        "consequences",
        "",
    )


def _stakeholders(template: tree.Template) -> list[str]:
    clauses = (*template.signatories, *template.observers)
    return list(dict.fromkeys(said(item) or "others" for clause in clauses for item in clause.items))


def _apart(text: str, skeleton: _Skeleton) -> _Fate:
    joint = [
        (choice, _controllers(choice))
        for _, choice in skeleton.choices
        if len(_controllers(choice)) > 1 and not _called(choice, skeleton)
    ]
    if not joint:
        return (
            "addressed",
            "every choice of the skeleton is submitted by one party, so no two have to share a participant",
            "",
        )
    choice, parties = joint[0]
    rest = " and ".join(parties[1:])
    if len(parties) > 2 and skeleton.pattern.id == "locking":
        rest = "the others"
    name = choice.name
    code = (
        f"    nonconsuming choice AskTo{name} : ContractId {name}Request\n"
        f"      controller {parties[0]}\n"
        f"      do create {name}Request with ..\n\n"
        f"-- {name}Request: signatory {parties[0]}; its choice Agree, controlled by {parties[1]}, has the "
        f"authority of both\n"
    )
    return (
        "yours_to_add",
        f"{choice.name} needs {' and '.join(parties)} in one submission, which works on one participant "
        f"only: let {parties[0]} ask "
        f"by a request contract, on which {rest} exercises the choice",
        code,
    )


def _called(choice: tree.Choice, skeleton: _Skeleton) -> bool:
    """Whether the choice is exercised inside another one of the skeleton."""
    return f" {choice.name}" in "".join(
        skeleton.module.text[other.extent.start : other.extent.end]
        for _, other in skeleton.choices
        if other is not choice and other.extent is not None
    )


def _agreed(text: str, skeleton: _Skeleton) -> _Fate | None:
    if skeleton.pattern.id in ("delegation", "bot-delegation"):
        signer = skeleton.bound("signatory", "principal")
        return (
            "addressed",
            f"{signer} consents once, by signing the mandate, and can revoke it; to ask {signer} each time use the pattern "
            "'Propose and accept' instead",
            "",
        )
    for template in skeleton.module.templates:
        signed = [said(item) for clause in template.signatories for item in clause.items]
        if len(signed) > 1:
            return (
                "addressed",
                f"{template.name} carries the signatures of {' and '.join(filter(None, signed))}",
                "",
            )
    return (
        "yours_to_add",
        "make both parties signatories of the resulting contract",
        f"    signatory {skeleton.bound('signatory', 'owner')},"
        f" {skeleton.bound('controller', 'counterparty')}\n",
    )


def _keyless(text: str, skeleton: _Skeleton) -> _Fate:
    if re.search(r"\b(?:no|not|without|avoid|n't)\b", text, re.I):
        return "addressed", "the skeleton uses no contract key", ""
    signer = skeleton.bound("signatory", "owner")
    return (
        "yours_to_add",
        "the skeleton has no contract key; a maintainer has to be a signatory, and whoever looks up needs "
        "the maintainers' authority",
        f"    key ({signer}, reference) : (Party, Text)\n    maintainer key._1\n",
    )


def _alone(text: str, skeleton: _Skeleton) -> _Fate | None:
    """No single administrator: nothing that concerns others hangs on one signature."""
    ruled = [
        (template, choice)
        for template, choice in skeleton.choices
        if _lone(template) in _ADMINS and _controllers(choice) == [_lone(template)] and template.observers
    ]
    grouped = next(
        (guard for guard in skeleton.guards if guard.left.startswith("length ") and guard.choice), None
    )
    if grouped:
        return "addressed", f"{grouped.choice} needs several signatures: it tests {grouped.text}", ""
    if ruled:
        template, choice = ruled[0]
        group = next(entry for entry in PATTERNS if entry.id == "threshold-approval")
        return (
            "yours_to_add",
            f"{choice.name} of {template.name} is decided by {_lone(template)} alone: let a group decide it by "
            f"'{group.name}', or make {_lone(template)} a party that several participants host with a threshold",
            _templates_of(group),
        )
    valued = [
        template
        for template in skeleton.module.templates
        if any(field.name in ("amount", "balance") for field in template.fields)
    ]
    lone = [template.name for template in valued if _lone(template)]
    if lone:
        return (
            "yours_to_add",
            f"{lone[0]} is signed by one party alone: add the party whose value it is as a signatory",
            "",
        )
    if valued:
        return (
            "addressed",
            "every template that holds a value is signed by more than one party, so none moves it alone",
            "",
        )
    shared = next((template for template in skeleton.module.templates if not _lone(template)), None)
    if shared is None:
        return None
    return (
        "addressed",
        f"nobody decides for others: {shared.name} needs the signatures of {' and '.join(_signers(shared))}, and each gives "
        "its own",
        "",
    )


def _signers(template: tree.Template) -> list[str]:
    return [said(item) or "others" for clause in template.signatories for item in clause.items]


def _lone(template: tree.Template) -> str:
    """The only signatory of a template, if it is one party."""
    signers = _signers(template)
    kind = next((field.type.head for field in template.fields if [field.name] == signers), "Party")
    return signers[0] if len(signers) == 1 and kind == "Party" else ""


def _documented(text: str, skeleton: _Skeleton) -> _Fate:
    return (
        "addressed",
        "every create and choice stays on the participants of its stakeholders, with who submitted it; add "
        "the party to be "
        "shown as an observer if somebody else is to keep the trail",
        "",
    )


def _partial(text: str, skeleton: _Skeleton) -> _Fate:
    if any(name_stems(choice.name)[0] in stems("split merge") for _, choice in skeleton.choices):
        return "addressed", "the skeleton has a choice for it", ""
    holder = next(
        (
            template
            for template in skeleton.module.templates
            if any(field.name == "amount" for field in template.fields)
        ),
        None,
    )
    if holder is None:
        return "not_understood", "the skeleton holds no amount that could be divided", ""
    owner = (
        "owner"
        if any(field.name == "owner" for field in holder.fields)
        else skeleton.bound("signatory", "owner")
    )
    code = (
        f"    choice Split : (ContractId {holder.name}, ContractId {holder.name})\n"
        f"      with part : Decimal\n      controller {owner}\n      do\n"
        '        assertMsg "a part of the whole" (part > 0.0 && part < amount)\n        one <- create this with amount = part\n'
        "        other <- create this with amount = amount - part\n        pure (one, other)\n"
    )
    return "yours_to_add", f"add a choice that divides {holder.name}", code


# (words of a constraint, what answers it); the first that answers wins.
_RULES: tuple[_Rule, ...] = (
    (
        r"\b(?:different|separate|several|distinct|own|other) (?:\w+ )?(?:participants?|nodes?"
        r"|validators?)\b|\bsame participant\b|\basynchron\w+|\bcan(?:not|'t| not) submit together\b"
        r"|\bonline at the same time\b",
        _apart,
    ),
    (
        r"\bcontract keys?\b|\bkeys? (?:lookup|on the contract)\b",
        _keyless,
    ),
    (
        r"\bexpir|\bdeadline|\btime-?outs?\b|\bwithin (?:\d|an?\b|one|two|three)|\b\d+ ?(?:days?|hours?"
        r"|minutes?|weeks?|months?)\b|\blapses?\b|\btime[- ]limit",
        _deadline,
    ),
    (
        r"\btwice\b|\bonly once\b|\bmore than once\b|\bduplicat|\bdouble[- ]|\bone[- ]time\b|\brepeat"
        r"|\breplay|\bsingle use\b",
        _twice,
    ),
    (
        r"\bregulator|\bauditors?\b|\bsupervis\w+|\boversight\b|\b(?:see|view|monitor|observe"
        r"|inspect)s? (?:all|the|every|it|them|each)\b|\bread-?only\b",
        _watching,
    ),
    (
        r"\bprivate\b|\bprivacy\b|\bconfidential|\bnot (?:be )?(?:see|seen|visible|shown|disclosed)\b"
        r"|\bhidden\b|\bsecret\b|\bneed[- ]to[- ]know\b",
        _hidden,
    ),
    (
        r"\baudit trail\b|\bhistory\b|\btraceab|\bnon-?repudiation\b|\blogged\b|\bevidence\b",
        _documented,
    ),
    (
        r"\bsplit|\bpartial|\bdivisib|\bfraction|\bin parts\b",
        _partial,
    ),
    (
        r"\batomic\w*|\ball[- ]or[- ]nothing\b|\bin one (?:single )?transaction\b",
        _atomic,
    ),
    (
        r"\b(?:operators?|admin\w*|platform|provider|issuer|host|owner)\b.{0,30}\b(?:not|n't|never|cannot|no longer)\b.{0,20}\btrust"
        r"|\b(?:no|not|without|never|n't)\b.{0,20}\btrust(?:ed|ing)? (?:the |an? |any )?(?:\w+ )?"
        r"(?:operator|admin\w*|party|third|middle\w*)"
        r"|\b(?:no|without)\b.{0,12}\b(?:central|trusted|lone) (?:\w+ )?(?:operator|admin\w*|party|authority|intermediary)"
        r"|\bdecentrali[sz]|\bmiddle-?m[ae]n\b",
        _alone,
    ),
    (
        r"\b(?:no|not|without|never)\b.{0,30}\b(?:single|lone|one)\b.{0,20}\b(?:admin|operator|party|point"
        r"|person|signature)|\bno god\b|\bno (?:central )?admin\w*\b|\bcustod",
        _alone,
    ),
    (
        r"\bnon-?negative|\bpositive\b|\bzero\b|\bnegative\b",
        _positive,
    ),
    (
        r"\blimit|\bmaxim|\bat most\b|\bcap(?:ped)?\b|\bexceed|\bno more than\b|\bnot more than\b|\bup to \d",
        _per_period,
    ),
    (
        r"\blimit|\bmaxim|\bat most\b|\bcap(?:ped)?\b|\bexceed|\bno more than\b|\bnot more than\b|\bup to \d",
        _limited,
    ),
    (
        r"\breject|\bdeclin|\brefus|\bturn(?:ed)? down\b|\bsay no\b",
        _rejecting,
    ),
    (
        r"\brevo[ck]|\bwithdraw|\bcancel|\bterminat|\bopt[- ]out\b|\bway out\b|\bexit\b|\btak(?:e"
        r"|en) (?:it )?back\b",
        _ending,
    ),
    (
        r"\bconsent\b|\bboth\b|\bagree|\bmutual|\bnobody\b.*\bwithout\b",
        _agreed,
    ),
)
