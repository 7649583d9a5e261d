"""Signatures and consent: 'with the approval of', 'both must agree', 'neither can alone'."""

from __future__ import annotations

import re

from canton_mcp.daml import tree
from canton_mcp.daml.guards import creates, inside
from canton_mcp.daml.intent.clauses import LIST, MODAL, NOT, all_of, jointly, located, parties_of
from canton_mcp.daml.intent.code import Code, Named, free_list
from canton_mcp.daml.intent.model import Answer, Shortfall, Status
from canton_mcp.daml.words import alike, name_stems, same_meaning, stem, words

__all__ = ["ALONE", "CONSENT", "alone", "consent", "who_must"]

CONSENT = re.compile(
    rf"\b(?:needs?|requires?|requiring|with|without|has|have|subject to|upon|after|get|gets|given"
    rf"|obtain\w*)? ?(?:the |an? )?(?:explicit |prior |written )?"
    rf"(?:consent|approval|agreement|authori[sz]ation|signatures?|sign-off|permission|acceptance|endorsement) (?:of|from"
    rf"|by) (?:both |all )?{LIST}"
    rf"(?:[,.]|$|\s(?:to|before|for|is|are|when|and|in)\b)"
    rf"|\bwithout (?:the |an? )?([\w]+(?: [\w]+)?)(?:'s|s'|') (?:explicit |prior )?(?:consent|approval"
    rf"|agreement|authori[sz]ation|signature|permission|acceptance|endorsement)"
    rf"|\b(?:needs?|requires?) (?:the |an? )?([\w]+(?: [\w]+)?)(?:'s|s'|') (?:explicit |prior )?(?:consent"
    rf"|approval|agreement|authori[sz]ation|signature|permission|acceptance|endorsement)",
    re.I,
)
_JOINT = re.compile(
    rf"\b(?:both |all of |all )?{LIST} (?:{MODAL}|has to|have to|needs? to|both|all|each|jointly"
    rf"|together)(?: (?:both|all|each|jointly|together|first|explicitly))? "
    r"(consent|agree|sign|approve|authori[sz]e|co-?sign|confirm|accept)\w*\b(.*)",
    re.I,
)
_EVERYONE = re.compile(
    r"\b(?:both|all|each|every|jointly|together|everyone|everybody)\b[^.]*\b(?:sign|approv|agree|consent|accept|authori[sz])\w*",
    re.I,
)
_SIGNS = re.compile(
    rf"\b(?:is|are|be|must be|has to be) (?:signed|authori[sz]ed|approved) by (?:both |all )?{LIST}(?:[,.]"
    rf"|$|\s(?:before|to|and|when|in)\b)"
    rf"|\b{LIST} (?:is|are|must be|has to be|shall be) (?:an? |the |both |all )?(?:signator(?:y|ies)|bound"
    rf"|signers?)\b"
    r"|\b(?:the |an? )?(\w+(?: \w+)?) (?:co-?)?signs\b",
    re.I,
)
_NEEDS = re.compile(
    rf"^(?:the |an? |any |each |every )?(\w+)(?: of [\w ]+?)? (?:needs?|requires?|takes) {LIST}(?:[,.]|$)",
    re.I,
)
_ALL_OF_THEM = re.compile(
    r"\b(?:parties|sides|both|all|everyone|everybody|each other|stakeholders|signatories)\b", re.I
)
_WHO_MUST = re.compile(
    r"\b([\w']+(?: [\w']+)?),? (?:who|which) (?:must|has to|have to|needs? to|should|shall) (?:first |also )?"
    r"(agree|accept|consent|approve|confirm|sign)\b",
    re.I,
)
ALONE = re.compile(
    rf"\b(?:neither )?{LIST} (?:{NOT}|{MODAL}) (\w+)\b([^.]*?)\b(?:alone|on (?:its|his|her|their) own"
    rf"|by (?:it|him|her)self|unilaterally|single-?handedly)\b",
    re.I,
)


_NO_SINGLE = re.compile(
    rf"\bno (?:single |one |individual )(?:party|person|side|participant|signatory) {MODAL} (?:ever )?(\w+)(.*)",
    re.I,
)


def alone(clause: str, code: Code) -> list[Answer] | None:
    """'Neither can do it alone', 'each may do it alone'."""
    single = _NO_SINGLE.search(clause)
    found = single or ALONE.search(clause)
    if found is None:
        return None
    who, verb, rest = ("", *found.groups()) if single else found.groups()
    denied = (
        single is not None
        or re.search(rf"{NOT}|\bneither\b|\bnobody\b|\bno one\b|\bno\b", found.group(0), re.I) is not None
    )
    choices = code.doing(verb, rest)
    known, _unknown = parties_of(who, code)
    if not choices:
        return [("not_found", None, f"no choice is named like '{verb}'")]
    for entry in choices:
        by_one = len(set(entry.controllers)) < 2 and free_list(entry) is None
        mine = not known or set(known) & set(entry.controllers)
        if denied and by_one and mine:
            return [("not_met", entry.line, f"{entry.name} is controlled by {jointly(entry.shown)} alone")]
        if not denied and not by_one:
            return [("not_met", entry.line, f"{entry.name} needs {all_of(entry.shown)} together")]
    if denied:
        return [
            (
                "met",
                choices[0].line,
                f"{choices[0].name} needs {all_of(choices[0].shown)}"
                + (" together" if len(choices[0].shown) > 1 else ""),
            )
        ]
    return [("met", choices[0].line, f"{located(choices)}: controlled by {jointly(choices[0].shown)}")]


def consent(clause: str, code: Code) -> list[Answer] | None:
    found = CONSENT.search(clause)
    if found is not None:
        who = next(group for group in found.groups() if group)
        about = clause[: found.start()] + clause[found.end() :]
        if parties_of(who, code)[0]:
            return _agreed(who, about, code)
        if _ALL_OF_THEM.search(who):
            return [_everyone(clause, code)]
        if not code.template(who) and not any(code.doing(word) for word in words(who)):
            return _agreed(who, about, code)
    found = _JOINT.search(clause)
    if found is not None and (
        " and " in found.group(1) or re.search(r"\bmust|has to|have to|needs? to", found.group(0), re.I)
    ):
        who, verb, rest = found.groups()
        known, _ = parties_of(who, code)
        if known:
            return _agreed(who, f"{rest} {clause[: found.start()]}", code, verb)
    found = _NEEDS.search(clause)
    if found is not None and " same " not in clause and code.doing(found.group(1)):
        known, unknown = parties_of(found.group(2), code)
        if known and not unknown:
            return _agreed(found.group(2), found.group(1), code)
    found = _SIGNS.search(clause)
    if found is not None:
        who = next(group for group in found.groups() if group)
        known, unknown = parties_of(who, code)
        if known:
            return [_signs(known, unknown, clause, code)]
    if _EVERYONE.search(clause) and not re.search(r"\b(?:at least|of the|\d+ of)\b", clause, re.I):
        return [_everyone(clause, code)]
    return None


def who_must(clause: str, code: Code) -> list[Answer] | None:
    """'.. to another holder, who must agree': a second demand within a sentence."""
    found = _WHO_MUST.search(clause)
    if found is None:
        return None
    for shortfall in code.lacking:
        if shortfall.kind == "create":
            where = f"in {shortfall.template}.{shortfall.choice} the create of {shortfall.target}"
            return [("not_met", shortfall.line, f"{where} lacks the consent of {all_of(shortfall.missing)}")]
    who, verb = found.groups()
    return _agreed(who, clause[: found.start()], code, verb) if parties_of(who, code)[0] else None


def _agreed(who: str, about: str, code: Code, verb: str = "") -> list[Answer]:
    """Whether each party's authority is part of what the sentence is about."""
    known, unknown = parties_of(who, code)
    if not known:
        return [("not_found", None, f"no party is named like '{all_of(unknown) or who}'")]
    if verb and stem(verb) == "sign" and code.template(about):
        return [_signs(known, unknown, about, code)]
    topic = [
        entry
        for word in words(about)
        for entry in code.doing(word)
        if same_meaning(stem(word), name_stems(entry.own)[0])
    ]
    for shortfall in code.lacking:
        lacking = [path for path in shortfall.missing if path.split(".")[-1] in known]
        if lacking and (not topic or any(_is(entry, shortfall) for entry in topic) or len(code.lacking) == 1):
            what = (
                f"the {shortfall.kind} of {shortfall.target}" if shortfall.target else f"the {shortfall.kind}"
            )
            return [
                (
                    "not_met",
                    shortfall.line,
                    f"in {shortfall.template}.{shortfall.choice} {what} lacks the consent of {all_of(lacking)}",
                )
            ]
    answers: list[Answer] = []
    for name in known:
        involved = [
            entry for entry in topic if name in (*entry.controllers, *code.signed[entry.template.name])
        ]
        controlled = [entry for entry in code.choices if name in entry.controllers]
        signing = [template for template in code.module.templates if name in code.signed[template.name]]
        acting = [entry for entry in topic if name in entry.controllers]
        accepted = [
            entry
            for entry in controlled
            if any(
                any(same_meaning(part, word) for word in ("accept", "sign"))
                for part in name_stems(entry.own)[:1]
            )
            or (verb and stem(verb) in name_stems(entry.choice.name))
        ]
        if acting:
            answers.append(
                ("met", acting[0].line, f"{acting[0].name} is controlled by {all_of(acting[0].shown)}")
            )
        elif accepted:
            answers.append(("met", accepted[0].line, f"{name} gives its consent by {accepted[0].name}"))
        elif involved and (before := _brought_about(name, involved[0], code)) is not None:
            made = f"{before.name}, which creates {involved[0].template.name}, is controlled by {name}"
            answers.append(("met", before.line, made))
        elif involved:
            entry = involved[0]
            answers.append(
                (
                    "not_met",
                    entry.line,
                    f"{name} signed {entry.template.name} before, but {jointly(entry.shown)} exercises "
                    f"{entry.choice.name} without asking {name} again",
                )
            )
        elif signing and not topic:
            answers.append(
                (
                    "met",
                    signing[0].place.line,
                    f"{signing[0].name} is signed by {all_of(code.signed[signing[0].name])}",
                )
            )
        elif topic and not any(name in entry.parties for entry in topic) and not _declared(name, code):
            answers.append(("not_found", topic[0].line, f"{topic[0].name} knows no party {name}"))
        elif topic:
            answers.append(
                (
                    "not_met",
                    topic[0].line,
                    f"{topic[0].name} is controlled by {jointly(topic[0].shown)}; {name} takes no part in it",
                )
            )
        else:
            place = controlled[0].line if controlled else None
            status: Status = "met" if controlled else "not_met"
            detail = (
                f"{name} controls {controlled[0].name}"
                if controlled
                else f"{name} neither signs a template nor controls a choice"
            )
            answers.append((status, place, detail))
    return answers


def _brought_about(name: str, entry: Named, code: Code) -> Named | None:
    """The choice of that party, on a contract of another kind, that the contract of a choice comes from."""
    return next(
        (
            other
            for other in code.choices
            if name in other.controllers
            and other.template is not entry.template
            and any(
                isinstance(node, tree.Name) and node.name == entry.template.name
                for create in creates(other.choice)
                for node in inside(create.arguments)
            )
        ),
        None,
    )


def _declared(name: str, code: Code) -> bool:
    """Whether a template has it as a field; an argument names a role in passing."""
    return any(item.name == name for template in code.module.templates for item in template.fields)


def _is(entry: Named, shortfall: Shortfall) -> bool:
    return (entry.template.name, entry.choice.name) == (shortfall.template, shortfall.choice)


def _signs(known: list[str], unknown: list[str], clause: str, code: Code) -> Answer:
    templates = code.template(clause) or code.module.templates
    for template in templates:
        if set(known) <= set(code.signed[template.name]):
            return (
                "met",
                template.place.line,
                f"{template.name} is signed by {all_of(code.signed[template.name])}",
            )
    choices = [
        entry
        for entry in code.choices
        if "sign" in name_stems(entry.choice.name) and set(known) & set(entry.controllers)
    ]
    if choices:
        return "met", choices[0].line, f"{choices[0].name} is controlled by {jointly(choices[0].shown)}"
    best = max(
        templates, key=lambda template: len(set(known) & set(code.signed[template.name])), default=None
    )
    if best is None:
        return "not_found", None, "there is no template"
    lacking = [name for name in known if name not in code.signed[best.name]]
    for shortfall in code.lacking:
        absent = [name for path in shortfall.missing if (name := path.split(".")[-1]) in lacking]
        if shortfall.kind == "create" and shortfall.target == best.name and absent:
            where = f"in {shortfall.template}.{shortfall.choice} the create of {best.name}"
            return "not_met", shortfall.line, f"{where} lacks the consent of {all_of(absent)}"
    lists = {item.name for item in best.fields if item.type.head in ("[]", "Set", "NonEmpty")}
    if several := [name for name in code.signed[best.name] if name in lists]:
        detail = f"{best.name} is signed by all of {all_of(several)}; who that is shows where it is created"
        return "not_found", best.place.line, detail
    return (
        "not_met",
        best.place.line,
        f"{best.name} is signed by {all_of(code.signed[best.name])}, not by {all_of(lacking)}",
    )


def _everyone(clause: str, code: Code) -> Answer:
    """'Both must agree': no create lacks anybody, and something is signed or controlled by more than one."""
    for shortfall in code.lacking:
        if shortfall.kind == "create" and not code.template(clause):
            return (
                "not_met",
                shortfall.line,
                f"the create of {shortfall.target} lacks the consent of {all_of(shortfall.missing)}",
            )
    lists = {
        item.name
        for template in code.module.templates
        for item in template.fields
        if item.type.head in ("[]", "Set", "NonEmpty")
    }
    spoken = words(clause)
    templates = sorted(
        code.template(clause) or code.module.templates,
        key=lambda template: (
            not any(alike([word], name) >= 2 for word in spoken for name in code.signed[template.name])
        ),
    )
    for template in templates:
        signed = code.signed[template.name]
        if len(signed) > 1 or lists & set(signed):
            return "met", template.place.line, f"{template.name} is signed by {all_of(signed)}"
    for entry in code.choices:
        if len(set(entry.controllers)) > 1:
            return "met", entry.line, f"{entry.name} needs {all_of(entry.shown)} together"
    line = templates[0].place.line if templates else None
    return "not_met", line, "no template has more than one signatory, and no choice more than one controller"
