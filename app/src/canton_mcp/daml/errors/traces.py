"""Where an error text says it failed: action, template, contracts, source locations, and the way there."""

from __future__ import annotations

import re

from canton_mcp.daml.errors.model import Location, Step, short_name
from canton_mcp.daml.errors.named import MAX_READ, parties_in

_MAX_CONTRACTS = 20
_MAX_PLACES = 20
_MAX_TRACE = 50
_MAX_STEPS = 2_000
_MAX_LINE = 600
TEMPLATE_ID = r"(?:#?[\w.-]{1,200}:)?[A-Z][\w.']{0,200}:[A-Z][\w']{0,200}(?:@[0-9a-f]{1,64})?"
_AT = re.compile(
    r"\b([A-Z][\w.]{0,200}):(\d{1,7}):(\d{1,7})\b"
    r"|\bat\s{1,40}(?:[0-9a-f]{8,64}:)?([A-Z][\w.]{0,200}):(\d{1,7})\b(?!:)"
)
_IN_FILE = re.compile(r"(?<![\w./\\-])([\w./\\-]{1,300}\.daml):\(?(\d{1,7})[:,](\d{1,7})")
_RANGE = re.compile(r"\bRange:\s{1,20}(\d{1,7}):(\d{1,7})")
_FILE = re.compile(r"\bFile:\s{1,20}(\S{1,300}\.daml)")
_STUDIO = re.compile(rf"\b(create|fetch|lookup by key) of\s{{1,40}}({TEMPLATE_ID})(?=\s|\.\.|…|\Z)")
_STUDIO_EXERCISE = re.compile(
    rf"\bexercise of\s{{1,40}}([\w.]{{1,200}})\s{{1,40}}in\s{{1,40}}({TEMPLATE_ID})(?=\s|\.\.|…|\Z)"
)
_TRACE = re.compile(
    rf"\bin (choice|(?:create-and-exercise|exercise-by-key|exercise|create) command)\s{{1,20}}({TEMPLATE_ID}(?::[A-Z]\w{{0,200}})?)"
    r"(?:\s{1,20}on contract\s{1,20}([0-9a-zA-Z#:]{1,300}))?"
)
_TREE_LINE = re.compile(
    rf"(?P<actors>\S[^\n]{{0,300}}?\s)?(?P<verb>creates?|exercises?|fetch(?:es)?|lookup by key)\s{{1,20}}"
    rf"(?:(?P<choice>[A-Z]\w{{0,200}})(?::(?P<of>{TEMPLATE_ID}))?\s{{1,20}}on\s{{1,20}}(?P<contract>[#0-9a-f:]{{1,300}})"
    rf"(?:\s{{1,20}}\((?P<on>{TEMPLATE_ID})\))?|(?P<template>{TEMPLATE_ID})|(?P<fetched>[#0-9a-f:]{{1,300}})"
    rf"(?:\s{{1,20}}\((?P<type>{TEMPLATE_ID})\))?)"
)
ON_CONTRACT = re.compile(rf"\bContract:\s{{0,20}}([#0-9a-f:]{{1,300}})(?:\s{{1,20}}\(({TEMPLATE_ID})\))?")
_NAMED_CONTRACT = re.compile(
    r"(?:\bid|\bcontract|\bcontract id|CONTRACT_ID|ContractId)[\"'(:=\s]{1,6}(00[0-9a-f]{2,300})\b"
)
_CONTRACT = re.compile(r"\b00[0-9a-f]{64,300}\b")
TEMPLATE_PLACES = (
    re.compile(
        r"((?:[A-Z][\w.]{0,200})?:[A-Z]\w{0,200})\)?\s{1,40}(?:requires\s{1,40}authorizers|has\s{1,40}(?:no|maintainers)\b)"
    ),
    re.compile(rf"TEMPLATE_ID:\s{{0,5}}({TEMPLATE_ID})"),
    re.compile(rf"precondition violation when creating\s{{1,20}}({TEMPLATE_ID})"),
    re.compile(r"[Tt]emplate pre-?condition violated:\s{1,5}([A-Z]\w{0,200})"),
    re.compile(rf"fetch of an inactive contract[^()]{{0,40}}\([^()]{{1,400}}\)\s{{0,5}}\(({TEMPLATE_ID})\)"),
    re.compile(rf"precondition violated in:?\s{{1,60}}create\s{{1,20}}({TEMPLATE_ID})"),
    re.compile(rf"inactive contract\s{{1,20}}[0-9a-f#:]{{1,300}}\s{{0,20}}\(({TEMPLATE_ID})\)"),
    re.compile(rf"maintainers:?\s{{1,60}}create\s{{1,20}}({TEMPLATE_ID})"),
    re.compile(rf"\bTemplate:\s{{1,20}}({TEMPLATE_ID})"),
    re.compile(rf"Expected contract of type\s{{1,20}}({TEMPLATE_ID})"),
    re.compile(rf"Expected type:\s{{1,20}}({TEMPLATE_ID})"),
    re.compile(rf"contract (?:with )?key [^\n]{{0,500}}\(({TEMPLATE_ID})\)"),
    re.compile(rf"upgrade the contract\s{{1,20}}\S{{1,300}}\s{{1,20}}from\s{{1,20}}({TEMPLATE_ID})"),
)


def place_of(text: str) -> tuple[str | None, str | None, str | None]:
    """Action, template id and choice as Studio and DAML Script name them."""
    if found := _STUDIO_EXERCISE.search(text):
        return ("archive" if found[1] == "Archive" else "exercise"), found[2], found[1]
    if found := _STUDIO.search(text):
        return found[1].removesuffix(" by key"), found[2], None
    return None, None, None


def locations_in(text: str) -> tuple[Location, ...]:
    found: dict[Location, None] = {}
    for place in _AT.finditer(text, 0, MAX_READ):
        module, line, column = (place[1], place[2], place[3]) if place[1] else (place[4], place[5], None)
        if module.endswith(".daml"):
            continue
        found[Location(module, int(line), int(column) if column else None)] = None
        if len(found) >= _MAX_PLACES:
            break
    for place in _IN_FILE.finditer(text, 0, MAX_READ):
        if len(found) >= _MAX_PLACES:
            break
        found[Location(place[1], int(place[2]), int(place[3]))] = None
    if not found and (span := _RANGE.search(text)):
        file = _FILE.search(text)
        found[Location(file[1] if file else "", int(span[1]), int(span[2]))] = None
    return tuple(found)


def contracts_in(text: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for pattern in (ON_CONTRACT, _NAMED_CONTRACT, _CONTRACT):
        for match in pattern.finditer(text, 0, MAX_READ):
            found[match[1 if match.lastindex else 0].rstrip(":")] = None
            if len(found) >= _MAX_CONTRACTS:
                return tuple(found)
    return tuple(found)


def path_in(text: str) -> tuple[Step, ...]:
    """The way from the command to the failure: from trace lines, else from the partial transaction."""
    trace: list[Step] = []
    for found in _TRACE.finditer(text, 0, MAX_READ):
        template, choice = _template_and_choice(
            found[2], with_choice=not found[1].startswith("create command")
        )
        action = "exercise" if found[1] == "choice" else "command"
        contract = found[3].rstrip(".:") if found[3] else None
        trace.append(Step(action, template, choice, contract))
        if len(trace) >= _MAX_TRACE:
            break
    if trace:
        return tuple(reversed(trace))  # printed from the inside out
    return _partial_transaction(text)


def _template_and_choice(identifier: str, with_choice: bool) -> tuple[str, str | None]:
    head, _, last = identifier.rpartition(":")
    if with_choice and head.count(":") >= 1:
        return short_name(head), last
    return short_name(identifier), None


def _partial_transaction(text: str) -> tuple[Step, ...]:
    """The last step of the tree and those above it, by indentation."""
    start = text.find("Partial transaction:")
    if start < 0:
        return ()
    end = text.find("Committed transactions", start)
    part = text[start : end if end >= 0 else start + MAX_READ]
    tree = part.find("Sub-transactions")
    lines = part[tree if tree >= 0 else 0 :].split("\n", _MAX_STEPS)[1:_MAX_STEPS]
    steps: list[tuple[int, Step]] = []
    for line in lines:
        arrow = line.find("└─>")
        if arrow < 0 and "->" not in line:
            continue
        arrow = arrow if arrow >= 0 else line.find("->")
        found = _TREE_LINE.search(line, arrow + 2, arrow + _MAX_LINE)
        if found:
            steps.append((arrow, _tree_step(found)))
    path: list[tuple[int, Step]] = []
    for depth, step in reversed(steps):
        if not path or depth < path[-1][0]:
            path.append((depth, step))
    return tuple(step for _, step in reversed(path))[-_MAX_TRACE:]


def _tree_step(found: re.Match[str]) -> Step:
    verb = found["verb"]
    action = next(name for name in ("create", "exercise", "fetch", "lookup") if verb.startswith(name))
    template = found["of"] or found["on"] or found["template"] or found["type"]
    actors = tuple(
        party.name for party in parties_in((found["actors"] or "").removeprefix(">")) if party.name
    )
    return Step(
        action,
        short_name(template) if template else None,
        found["choice"],
        found["contract"] or found["fetched"],
        actors,
    )
