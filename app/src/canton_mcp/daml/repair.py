"""From a diagnosed error to the ways out, the best first.

What helps depends on where the error arose: a command has the authority of actAs; the body of a choice has that
of its contract's signatories and its controllers, whatever actAs holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from canton_mcp.daml.errors import Diagnosis, Kind
from canton_mcp.daml.places import Site, sentence
from canton_mcp.daml.survey import Code, Role

FixKind = Literal[
    "submit",
    "consent",
    "controller",
    "signatory",
    "delegation",
    "observer",
    "contract",
    "code",
    "retry",
    "operate",
    "look",
]


@dataclass(frozen=True)
class Fix:
    """A way out: what to do, what it takes, a sketch in DAML where that helps, and why it stands at this rank."""

    kind: FixKind
    title: str
    detail: str
    reason: str
    code: str | None = None


def fixes(
    diagnosis: Diagnosis, sites: Sequence[Site], code: Code | None, disagreement: str | None = None
) -> tuple[Fix, ...]:
    """The ways out of an error, the best first; `disagreement` says why `code` is not what ran."""
    ways = _ways(diagnosis, sites, code)
    if disagreement is None:
        return ways
    compare = Fix(
        "look",
        "Compare the package on the ledger with this code",
        "take the package id from the error (or from the template id of a contract) and look which build it is; the fixes "
        "below hold for the code that ran",
        f"this code cannot have raised the error: {disagreement}",
    )
    return (compare, *ways)


def _ways(diagnosis: Diagnosis, sites: Sequence[Site], code: Code | None) -> tuple[Fix, ...]:
    if diagnosis.kind == "missing_authorization":
        if not (diagnosis.missing or diagnosis.required) and not sites:
            return tuple(_generic(diagnosis))
        script = next((site for site in sites[:1] if site.body == "script"), None)
        best = next((site for site in sites if site.body != "script"), None)
        inside = script is None and (
            diagnosis.inside_choice
            if best is None or diagnosis.inside_choice is not None
            else not best.command
        )
        return tuple(_inside(diagnosis, best, code) if inside else _command(diagnosis, best, script))
    return tuple(_generic(diagnosis, sites))


def _inside(diagnosis: Diagnosis, site: Site | None, code: Code | None) -> Iterator[Fix]:
    who = sentence(diagnosis.missing) or "the missing party"
    if site is None or site.command or site.body == "function":
        yield from _inside_unseen(diagnosis, who)
        return
    roles = [site.role(name) or name for name in diagnosis.missing] or list(site.missing)
    role = sentence(site.missing) or sentence(roles)
    lacking = [entry for entry in site.required if entry.path in site.missing]
    # Of several parties of a contract that may lack, the error names those that did.
    played = dict(site.parties)
    if absent := [entry for entry in lacking if played.get(entry.path) in diagnosis.missing]:
        lacking, role = absent, sentence(entry.path for entry in absent)
    from_contract = any(entry.contract or not entry.known for entry in lacking)
    if site.kind == "archive" and from_contract:
        target = site.target or diagnosis.template or "the contract"
        acting = sentence(entry.path for entry in site.available)
        yield Fix(
            "controller",
            f"Give {target} a consuming choice for {acting}, and exercise it in place of the archive",
            f"an archive needs every signatory of {target}; a consuming choice needs its controllers alone and has the "
            f"signatories' authority, which {who} gave by signing",
            "the usual way to end a contract that others signed as well",
        )
    plain = bool(lacking) and all(entry.known and not entry.contract and not entry.many for entry in lacking)
    if from_contract:
        subject = sentence(entry.contract for entry in lacking if entry.contract) or "the contract"
        yield Fix(
            "contract",
            f"Check which contract was passed as {subject}",
            f"line {site.line} works only if {role} is one of {sentence(entry.path for entry in site.available)}. "
            f"Here it was {who}: if that is another contract than meant, compare the contract's parties before going on",
            "the party comes from the data of another contract, so the cheapest explanation is another contract than meant",
            _comparison(lacking[0], site),
        )
    if site.kind == "create":
        yield _proposal(site, who, role, code)
    if plain:
        choice = _choice(site, code)
        clause = (
            ", ".join(dict.fromkeys([*(entry.path for entry in choice), *site.missing])) if choice else role
        )
        yield Fix(
            "controller",
            f"Make {role} {_noun(site.missing, 'controller')} of {site.choice}",
            f"all controllers then submit together: {who} has to be in actAs of the same command, on a participant that "
            "may act for all of them",
            f"the smallest change, but {who} must act at the same moment; actAs alone does not reach into the choice",
            f"controller {clause}",
        )
    becomes = (
        f"; {role} is an argument of {site.choice}, so it has to become a field first"
        if any(entry.argument for entry in lacking)
        else ""
    )
    signs = role if plain else "that party, as a field of its own,"
    yield Fix(
        "signatory",
        f"Have {who} sign {site.template} beforehand",
        f"with {signs} among its signatories, {site.template} lends that authority to each of its choices{becomes}",
        f"right when {who} is bound by {site.template} in any case; needs a proposal that {who} accepts",
    )
    yield Fix(
        "delegation",
        f"Use a contract that {who} signed earlier",
        f"a mandate or preapproval signed by {who}, with a choice controlled by "
        f"{sentence(entry.path for entry in site.available[:2]) or 'the acting party'}, exercised at line {site.line} in place of "
        f"the {site.kind}; compare its parties and limits with the contract at hand",
        f"right when it happens often and {who} should not have to act each time",
    )
    if site.kind == "create":
        yield Fix(
            "observer",
            f"Make that party an observer of {site.target or diagnosis.template or 'the new contract'}",
            f"right only if the contract does not bind {who}: an observer sees it and signs nothing",
            "changes what the contract means, so it comes last",
        )


def _comparison(lacking: Role, site: Site) -> str | None:
    """The check that a contract is the one meant, fetched first where the code has only its id."""
    own = next(
        (role.path for role in site.available if role.known and not role.many and role.name == lacking.name),
        next((role.path for role in site.available if role.known and not role.many), None),
    )
    if own is None or not re.fullmatch(r"[a-z]\w*(\.[a-z]\w*)*", lacking.contract):
        return None
    if " of " not in lacking.path:
        return f'assertMsg "wrong contract" ({lacking.path} == {own})'
    variable = f"{re.split(r'[.]', lacking.contract)[-1]}Data"
    return f'{variable} <- fetch {lacking.contract}\nassertMsg "wrong contract" ({variable}.{lacking.name} == {own})'


def _proposal(site: Site, who: str, role: str, code: Code | None) -> Fix:
    target = site.target or "the contract"
    sketch: str | None = None
    update = re.fullmatch(r"create \(?\$? ?this with (.{1,100}?)\)?", site.source)
    one = site.missing[0] if len(site.missing) == 1 else ""
    if update and site.target == site.template and re.fullmatch(r"[a-z]\w*", one):
        name = site.template[:1].lower() + site.template[1:]
        changes = "; ".join(part.strip() for part in re.split(r"[;,]", update[1]))
        if re.fullmatch(rf"(?:\w+ = {one}|{one})", changes):
            sketch = (
                f"template {site.template}Proposal\n  with\n    {name} : {site.template}\n    {one} : Party\n  where\n"
                f"    signatory {_signers(name, site.template, code)}\n    observer {one}\n\n"
                f"    choice {site.template}Proposal_Accept : ContractId {site.template}\n"
                f"      controller {one}\n      do create {name} with {changes}\n\n"
                f"    choice {site.template}Proposal_Reject : ContractId {site.template}\n"
                f"      controller {one}\n      do create {name}\n"
            )
    return Fix(
        "consent",
        f"Let {who} accept: propose in {site.choice}, create in Accept",
        f"{site.choice} creates a proposal in place of {target}, signed by those who sign now, with {role} as observer; its "
        f"Accept, controlled by {role}, creates {target} with everybody's authority",
        f"{who} becomes bound, and nobody else can decide that; works across participants and at different times",
        sketch,
    )


def _signers(variable: str, template: str, code: Code | None) -> str:
    """Those who sign a contract that a field holds."""
    known = code.template(template) if code else None
    paths = [role.path for role in known.signatories] if known else []
    if paths and all(re.fullmatch(r"[a-z]\w*", path) for path in paths):
        return ", ".join(f"{variable}.{path}" for path in paths)
    return f"(signatory {variable})"


def _choice(site: Site, code: Code | None) -> tuple[Role, ...]:
    template = code.template(site.template) if code else None
    choice = template.choice(site.choice) if template else None
    return choice.controllers if choice else ()


def _inside_unseen(diagnosis: Diagnosis, who: str) -> Iterator[Fix]:
    enclosing = diagnosis.enclosing
    choice = f"{enclosing.template}.{enclosing.choice}" if enclosing else "the enclosing choice"
    of = f" of {diagnosis.template}" if diagnosis.template else ""
    yield Fix(
        "consent",
        f"Let {who} accept first",
        f"if the failing action is the create{of}: create a proposal instead, and let {who} control its Accept, which creates "
        "the contract",
        f"{who} becomes bound, and nobody else can decide that; works across participants",
        "choice Accept : ContractId Agreement\n  controller counterparty\n"
        "  do create Agreement with proposer; counterparty; terms",
    )
    yield Fix(
        "controller",
        f"Make {who} {_noun(diagnosis.missing, 'controller')} of {choice}",
        f"that authority is then available in the body; all controllers submit together, so {who} must be in actAs too",
        "the smallest change, but everybody must act at the same moment; actAs alone does not reach into the choice",
    )
    yield Fix(
        "signatory",
        f"Have {who} sign the enclosing contract beforehand",
        "its signatories' authority is available in each of its choices",
        "right when the party is bound by that contract in any case",
    )
    yield Fix(
        "delegation",
        f"Use a contract that {who} signed earlier",
        "a mandate or preapproval whose choice the acting party controls, exercised in place of the failing action",
        "right when it happens often",
    )
    yield Fix(
        "observer",
        "Turn that signatory into an observer",
        f"right only if the contract does not bind {who}: an observer sees it and signs nothing",
        "changes what the contract means, so it comes last",
    )


def _command(diagnosis: Diagnosis, site: Site | None, script: Site | None = None) -> Iterator[Fix]:
    """Ways out for a submitted command; `script` is the one in the code that submits it."""
    who = sentence(diagnosis.missing) or "the missing party"
    given = sentence(diagnosis.given)
    kind = diagnosis.action or (site.kind if site else None)
    common = [name for name in diagnosis.required if name in diagnosis.given]
    of = diagnosis.template or "the contract"
    twins = [name for name in diagnosis.missing if "::" in name]
    if twins:
        yield Fix(
            "submit",
            "Use the right one of two parties with the same name",
            f"{who} was required, {given} was given: the same name before '::', but parties of different participants. "
            "Take the whole id from the contract or from the list of parties",
            "the ids differ only after '::'",
        )
    if diagnosis.given and not common and kind != "create":
        title, detail = (
            f"Submit as {who}, not as {given}",
            f"actAs held {given}, who has no part in this step",
        )
    else:
        title, detail = (
            f"Submit with {who} in actAs{' as well' if diagnosis.given else ''}",
            f"actAs then holds {sentence(diagnosis.required) or who}",
        )
    # In a script the variables are known, elsewhere they are likely to be named like the parties.
    acting = (
        [role.path for role in script.required]
        if script and all(role.known for role in script.required)
        else [*map(_variable, diagnosis.required)]
    )
    place = f" (line {script.line})" if script else ""
    submit = Fix(
        "submit",
        f"{title}{place}",
        f"{detail}; the participant must host {'them all' if len(diagnosis.required) > 1 else who} and the token must allow it. "
        "readAs gives no authority",
        f"{'it' if script or diagnosis.node is None else f'node {diagnosis.node}'} is the command itself, so actAs is all the "
        "authority there is",
        f"submit (actAs [{', '.join(acting)}]) do ..." if len(acting) > 1 or script else None,
    )
    consent = Fix(
        "consent",
        f"Propose to {who}, who accepts",
        f"{given or 'the first party'} creates a proposal signed alone, with {who} as observer; Accept, controlled by {who}, "
        f"creates {of} with the authority of both",
        "the way when the parties act on different participants or at different times",
        _proposed(diagnosis, site),
    )
    delegate = Fix(
        "delegation",
        f"Act under a contract that {who} signed",
        f"a role contract or mandate signed by {who} with a choice that {given or 'the submitter'} controls",
        "the way when it happens often",
    )
    yield submit
    if kind in ("create", None):
        yield consent
    yield delegate
    if kind in ("exercise", None) and not common:
        choice = diagnosis.choice or (site.choice if site else None) or "the choice"
        yield Fix(
            "controller",
            f"Let {given or 'the submitter'} control {choice}",
            f"right only if {given or 'the submitter'} is meant to decide this alone; {who} then loses that say",
            "gives power away, so it comes late",
        )
    if kind in ("create", None):
        yield Fix(
            "observer",
            f"Make {who} an observer of {of}",
            f"right only if the contract does not bind {who}",
            "changes what the contract means, so it comes last",
        )


def _proposed(diagnosis: Diagnosis, site: Site | None) -> str | None:
    """A proposal of the contract that the command was to create, if the roles of all parties are known."""
    if site is None or site.kind != "create" or len(site.parties) != len(site.required):
        return None
    asked = [path for path, name in site.parties if name in diagnosis.missing]
    offers = [path for path, name in site.parties if name not in diagnosis.missing]
    if not asked or not offers or not all(re.fullmatch(r"[a-z]\w*", path) for path in (*asked, *offers)):
        return None
    name = site.template[:1].lower() + site.template[1:]
    whole = {
        "asked": ", ".join(f"{name}.{path}" for path in asked),
        "offers": ", ".join(f"{name}.{path}" for path in offers),
    }
    return (
        f"template {site.template}Proposal\n  with\n    {name} : {site.template}\n  where\n"
        f"    signatory {whole['offers']}\n    observer {whole['asked']}\n\n"
        f"    choice {site.template}Proposal_Accept : ContractId {site.template}\n"
        f"      controller {whole['asked']}\n      do create {name}\n\n"
        f"    choice {site.template}Proposal_Reject : ()\n"
        f"      controller {whole['asked']}\n      do pure ()\n"
    )


def _noun(names: Sequence[str], noun: str) -> str:
    return f"{noun}s" if len(names) > 1 else f"a {noun}"


def _variable(name: str) -> str:
    plain = re.sub(r"\W.*", "", name)
    return plain[:1].lower() + plain[1:]


def _generic(diagnosis: Diagnosis, sites: Sequence[Site] = ()) -> Iterator[Fix]:
    """Ways out by kind, in the names that the error and the code give."""
    if diagnosis.kind == "syntax":
        yield from _syntax(diagnosis)
        return
    keepers = sentence(sites[0].missing) if sites else ""
    several = len(diagnosis.required) > 1
    words = {
        "of": f" of {diagnosis.template}" if diagnosis.template else "",
        "template": diagnosis.template or "the template that the code expects",
        "submitter": sentence((*diagnosis.act_as, *diagnosis.read_as)) or "the submitting party",
        "stakeholders": sentence(diagnosis.stakeholders) or "the signatories and observers",
        "required": _or(diagnosis.required) or "a party that the contract names",
        "one": "one of them" if several else sentence(diagnosis.required) or "that party",
        "given": sentence(diagnosis.given) or "the acting party",
        "lacking": keepers or sentence(diagnosis.missing) or "the maintainer",
        "place": f"line {sites[0].line} of the code: " if sites else "",
        "said": f' "{diagnosis.message}"' if diagnosis.message and not sites else "",
    }
    ways = _WAYS.get(diagnosis.kind, ())
    if (diagnosis.code or "").startswith("INTERPRETATION_UPGRADE_ERROR"):
        ways = ways[::-1]  # here the packages are there, and what they compute differs
    for fix in ways:
        yield replace(
            fix,
            title=fix.title.format(**words),
            detail=fix.detail.format(**words),
            reason=fix.reason.format(**words),
        )


_WAYS: dict[Kind, tuple[Fix, ...]] = {
    "missing_authorization": (
        Fix(
            "submit",
            "Find the command and its actAs",
            "compare actAs with the controllers of the choice, or with the signatories of the create",
            "the text does not name the missing party",
        ),
        Fix(
            "consent",
            "Let the party consent first",
            "nobody can bind another party: create a proposal that it accepts",
            "the usual cause of this message",
        ),
    ),
    "fetch_authorization": (
        Fix(
            "controller",
            "Fetch where {required} acts",
            "make {one} a controller of the choice, or fetch in a choice of a contract that a "
            "stakeholder signed",
            "one stakeholder is enough, and this changes nobody's rights to the contract",
        ),
        Fix(
            "observer",
            "Make {given} an observer{of}",
            "an observer is a stakeholder, so its authority satisfies the fetch",
            "shows the contract to one more party",
        ),
        Fix(
            "contract",
            "Pass the data instead of the contract id",
            "if only a value is needed, give it as an argument and compare it where a stakeholder acts",
            "no fetch, no authority",
        ),
    ),
    "lookup_authorization": (
        Fix(
            "controller",
            "Look up where {required} acts",
            "move the lookup to a choice that the maintainers control, or to a contract they signed",
            "a lookup needs all maintainers, also when it finds nothing",
        ),
        Fix(
            "contract",
            "Pass the contract id",
            "a fetch needs one stakeholder only",
            "avoids the maintainers' authority",
        ),
    ),
    "maintainers_not_signatories": (
        Fix(
            "signatory",
            "Add {lacking} to the signatories{of}",
            "every maintainer of the key must sign the contract",
            "no submission can get past this: it is the template",
        ),
        Fix(
            "code",
            "Let a signatory maintain the key",
            "take the maintainer from the part of the key that holds a signatory",
            "right if {lacking} is not to sign",
        ),
    ),
    "no_authorizers": (
        Fix(
            "code",
            "Keep the collection from being empty",
            "add 'ensure not (null parties)', or a signatory of type Party beside it",
            "an empty set can authorize nothing",
        ),
    ),
    "not_visible": (
        Fix(
            "observer",
            "Make {submitter} an observer{of}",
            "stakeholders see the contract; so far these are {stakeholders}",
            "right when {submitter} is meant to work with such contracts",
        ),
        Fix(
            "submit",
            "Submit with a stakeholder in readAs",
            "add {stakeholders} to readAs, if the token allows it",
            "no change of the model, but the reader must be hosted here",
        ),
        Fix(
            "contract",
            "Disclose the contract",
            "pass it as a disclosed contract with the command (late 2.x and 3.x); that makes it "
            "visible, but does not authorize a fetch",
            "right for parties that are not known in advance",
        ),
    ),
    "contract_not_found": (
        Fix(
            "look",
            "Find out what happened to the contract",
            "was it archived? then use the id of its successor; a stakeholder's updates tell",
            "the most frequent cause: a consuming choice ran in between",
        ),
        Fix(
            "observer",
            "Check that the submitter sees it",
            "a party of actAs or readAs must be a stakeholder, or the contract be disclosed with the command",
            "on 3.x a contract that is merely not visible is reported like this too",
        ),
        Fix(
            "operate",
            "Check participant and synchronizer",
            "the id must come from the same ledger",
            "rare outside tests and restarts",
        ),
    ),
    "contract_consumed": (
        Fix(
            "code",
            "Use the data, not the contract",
            "inside a consuming choice read 'this' in place of fetching self, and do not archive self again",
            "a consuming choice archives its contract first",
        ),
        Fix(
            "code",
            "Make the choice nonconsuming",
            "if the contract is to stay active; or archive self yourself at the end",
            "right if the choice is not meant to end the contract",
        ),
        Fix(
            "contract",
            "Go on with the new contract id",
            "after an archive and create, use the id that the create returned",
            "the old id is dead for the rest of the transaction",
        ),
    ),
    "contention": (
        Fix(
            "retry",
            "Read again, then retry",
            "take the active contract ids again and submit with a new command id, a bounded number of times",
            "another transaction was faster; nothing is wrong with the model",
        ),
        Fix(
            "look",
            "Was it the same command twice?",
            "for DUPLICATE_COMMAND and SUBMISSION_ALREADY_IN_FLIGHT look up whether the first one succeeded",
            "then there is nothing to repeat",
        ),
        Fix(
            "code",
            "Spread the load",
            "split the contract that many commands consume, or make reads nonconsuming",
            "right if it happens often",
        ),
    ),
    "contract_key": (
        Fix(
            "look",
            "Check the key and its maintainers",
            "is there one active contract with exactly this key, visible to the submitter?",
            "most keys that are not found differ in one part, or belong to an archived contract",
        ),
        Fix(
            "code",
            "Check what the release guarantees",
            "keys are unique on 2.x, absent on 3.0 to 3.4, and not unique from 3.5 on",
            "code that relies on it fails after an upgrade",
        ),
    ),
    "precondition": (
        Fix(
            "code",
            "Compare the arguments with the ensure clause{of}",
            "{place}the values in the error made it false",
            "the ledger evaluated it with exactly these values",
        ),
    ),
    "assertion": (
        Fix(
            "code",
            "Satisfy the condition, or change the rule",
            "{place}look at the condition beside the text{said}",
            "the code refused on purpose; no party is missing",
        ),
    ),
    "effectful_rollback": (
        Fix(
            "code",
            "Check before you act",
            "test the condition before the create or exercise, and keep ledger actions out of try",
            "from 3.5 on effects in a caught block are refused",
        ),
    ),
    "unexpected_success": (
        Fix(
            "code",
            "Check the test",
            "submit as the one party that must not be able to do it, without the others in actAs",
            "a test that acts as everybody proves nothing",
        ),
        Fix(
            "code",
            "Check the choice",
            "is there a guard on a controller that comes from an argument?",
            "such a controller lets anybody in who sees the contract",
        ),
    ),
    "access_token": (
        Fix(
            "operate",
            "Grant the user the right to act as the party",
            "CanActAs to submit, CanReadAs to read, on this participant; or use another token",
            "the code did not even run, so nothing in it can help",
        ),
        Fix(
            "operate",
            "Check audience, scope and expiry of the token",
            "the participant log names the claim that is missing; clients are not told",
            "the second most frequent cause",
        ),
    ),
    "topology": (
        Fix(
            "operate",
            "Check where the parties are hosted",
            "every submitter needs a participant that may submit for it, every informee one that "
            "is connected to the same synchronizer; external parties sign on their own",
            "no change of the model can help",
        ),
    ),
    "package": (
        Fix(
            "operate",
            "Upload and vet the package on every participant involved",
            "then submit again",
            "each stakeholder's participant must accept it",
        ),
        Fix(
            "code",
            "Check the upgrade",
            "signatories, observers, key and maintainers of old contracts must come out the same "
            "under the new version",
            "right if the code is INTERPRETATION_UPGRADE_ERROR",
        ),
    ),
    "wrong_contract_type": (
        Fix(
            "contract",
            "Check the contract id",
            "it must belong to {template}, or to a template that implements the interface",
            "a contract id carries no type at run time",
        ),
    ),
    "invalid_command": (
        Fix(
            "code",
            "Compare the command with the package",
            "template id, choice name, and the type of every argument, in the version that is on the ledger",
            "it fails before any authority is looked at",
        ),
    ),
    "ledger_time": (
        Fix(
            "retry",
            "Submit again, without a minimum ledger time",
            "look at the clocks of participant and synchronizer if it stays",
            "mostly a delay",
        ),
    ),
    "system": (
        Fix(
            "look",
            "Look up the command before you repeat it",
            "it may have succeeded: search the completions for its command id, then retry with the same id",
            "the error does not say what became of it",
        ),
    ),
}

_SYNTAX: dict[str, str] = {
    "controller": "in a choice the order is: parameters after 'with', then 'controller', then 'do'. The form 'controller p can' "
    "is gone in 3.x: write 'choice C : T' with 'controller p', and add p as observer",
    "can": "'controller p can' is gone in 3.x: write 'choice C : T … controller p … do', and add p as observer of the template",
    "observer": "in a choice 'observer' comes before 'controller'; in a template it stands beside 'signatory', after 'where'",
    "do": "'do' follows 'controller', on its own line or behind it; an empty 'with' or a missing controller comes before this",
    "choice": "the choice must stand in the column of 'signatory', inside 'where'; 'nonconsuming' stands before it",
    "with": "'with' opens a block: its fields start on the next line, deeper, one 'name : Type' a line",
    "where": "'where' follows the fields of the template; nothing else may come between",
    "=": "a record field is 'field = value' inside 'with'; a statement in 'do' needs 'let' before 'name = value'",
    "<-": "'name <- action' stands only as a statement of a 'do' block; look for a 'let' or a bracket that is still open",
    "->": "arms of 'case' are deeper than 'case'; types are written 'name : A -> B' with one colon",
    "::": "DAML writes types with one colon: 'name : Type'; '::' joins an element to a list",
    ":": "one colon is for types; to join an element to a list write 'x :: xs'",
    "agreement": "'agreement' is gone in 3.x: leave it out",
    "scenario": "scenarios are gone: write 'Script ()' with 'script do', 'submit' and 'createCmd'",
    "key": "contract keys do not exist in 3.0 to 3.4; from 3.5 on they need the language version that has them",
    "lookupByKey": "contract keys do not exist in 3.0 to 3.4, and DA.ContractKeys is new from 3.5 on",
    "fetchByKey": "contract keys do not exist in 3.0 to 3.4, and DA.ContractKeys is new from 3.5 on",
    "maintainer": "'maintainer' follows 'key', and keys do not exist in 3.0 to 3.4",
}


def _syntax(diagnosis: Diagnosis) -> Iterator[Fix]:
    known = _SYNTAX.get(diagnosis.offending or "")
    place = diagnosis.location
    where = f"line {place.line}, column {place.column}" if place else "the place named"
    if known:
        title = f"Look at '{diagnosis.offending}' ({where})"
        yield Fix("code", title, known, "this is what the compiler stumbled over")
    yield Fix(
        "code",
        f"Look at the indentation around {where}",
        "blocks open after where, with, do, of and let, and end at the first line that starts further left; the "
        "cause is often the line before",
        "the compiler reports where it gave up, not where it went wrong",
    )


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else "".join(names)
