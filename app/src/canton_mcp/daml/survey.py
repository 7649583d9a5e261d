"""What a text of DAML source holds, as far as errors speak of it: templates, actions, and what scripts submit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from canton_mcp.daml import reader, tree
from canton_mcp.daml.ledger import Action, ActionKind, Analysis, Entry, Party, analyse

_MAX_SOURCE = 160
_MAX_MORE_LINES = 6


@dataclass(frozen=True, slots=True)
class Role:
    """A party or a group of parties in the code, by the path that leads to it; `known` is False if none does.

    `contract` is the other contract whose data it is, in the words of the code; `hint` is what a script allocates the
    party as.
    """

    path: str
    many: bool = False
    known: bool = True
    argument: bool = False
    contract: str = ""
    hint: str = ""

    @property
    def name(self) -> str:
        """What the party is called where it is declared: ``holder`` for ``holder of asset`` and for ``c.holder``."""
        return self.hint or re.split(r"[. ]", self.path.partition(" of ")[0])[-1]


@dataclass(frozen=True)
class CodeChoice:
    """A choice and who controls it; `clause` is the line that says so."""

    name: str
    line: int
    controllers: tuple[Role, ...]
    consuming: bool
    clause: int


@dataclass(frozen=True)
class CodeTemplate:
    """A template, its parties, and the clauses that errors speak of, as text.

    `choices` has those of its interfaces as well; `open` says that there may be more, in an interface elsewhere.
    An interface is one of these too, with `interface` set and without parties of its own. `clause` is the line that
    says who signs.
    """

    name: str
    line: int
    signatories: tuple[Role, ...]
    observers: tuple[Role, ...]
    maintainers: tuple[Role, ...]
    choices: tuple[CodeChoice, ...]
    ensure: tuple[int, str] | None = None
    key: tuple[int, str] | None = None
    interface: bool = False
    open: bool = False
    clause: int = 0

    def choice(self, name: str | None) -> CodeChoice | None:
        """The choice of this name."""
        return next((entry for entry in self.choices if entry.name == name), None)


Body = Literal["choice", "method", "function", "script"]
_Act = Literal["create", "exercise", "archive", "fetch", "lookup"]


@dataclass(frozen=True)
class CodeAction:
    """A ledger action. `choice` is the choice that takes it, or the method or function when no choice leads there.

    `on` is the template it works on, `target` the same or the choice of an exercise, `interface` the one that
    declares the choice. `calls` are the lines of the calls of helpers and methods that lead to it. `combined` is a
    create and an exercise in one: `required` has the parties of both.
    """

    template: str
    choice: str
    line: int
    kind: _Act
    target: str | None
    required: tuple[Role, ...]
    available: tuple[Role, ...]
    proved: bool
    decided: bool
    reason: str
    source: str
    own_contract: bool = False
    body: Body = "choice"
    on: str | None = None
    interface: str | None = None
    calls: tuple[int, ...] = ()
    combined: bool = False


@dataclass(frozen=True)
class Code:
    """What a text of DAML source holds, for comparing it with an error.

    `submissions` are the commands of its scripts, with the parties that the script allocates; those that must fail
    are left out, as nobody sees their errors.
    """

    text: str
    templates: tuple[CodeTemplate, ...] = ()
    actions: tuple[CodeAction, ...] = ()
    submissions: tuple[CodeAction, ...] = ()
    problems: tuple[tuple[int, str], ...] = ()
    strings: tuple[tuple[int, str], ...] = field(default=(), repr=False)

    def template(self, name: str | None) -> CodeTemplate | None:
        """The template or interface of this name."""
        return next((entry for entry in self.templates if entry.name == name), None)

    def at(self, line: int) -> tuple[CodeTemplate | None, CodeChoice | None]:
        """Template and choice that a line stands in, by where they start."""
        template = max(
            (entry for entry in self.templates if entry.line <= line),
            key=lambda entry: entry.line,
            default=None,
        )
        choices = (
            [entry for entry in template.choices if template.line <= entry.line <= line] if template else []
        )
        return template, max(choices, key=lambda entry: entry.line, default=None)


_STRING = re.compile(r"\"((?:[^\"\\\n]|\\.){1,500})\"")
_COMMENT = re.compile(r"(?:^|\s)--(?:\s.*)?$")
_ALLOCATED = re.compile(r"^\s*(\w+)\s*<-\s*allocateParty\w*\s[^\"\n]{0,80}\"([^\"\n]{1,255})\"")
_ACTS: dict[ActionKind, tuple[_Act, ...]] = {
    "create": ("create",),
    "exercise": ("exercise",),
    "exerciseByKey": ("exercise",),
    "createAndExercise": ("create", "exercise"),
    "archive": ("archive",),
    "fetch": ("fetch",),
    "fetchByKey": ("fetch",),
    "fetchFromInterface": ("fetch",),
    "fetchNByKey": ("fetch",),
    "fetchAllByKey": ("fetch",),
    "lookupByKey": ("lookup",),
    "visibleByKey": ("lookup",),
    "lookupNByKey": ("lookup",),
    "lookupAllByKey": ("lookup",),
}


def survey(text: str) -> Code:
    """Reads DAML source for `places` and `fixes`; the only function here that knows how it is analysed."""
    module = reader.read(text)
    analysis = analyse(module)
    lines = text.split("\n")
    return Code(
        text,
        (*_templates(module, analysis), *_interfaces(module, analysis)),
        tuple(
            _action(entry, action, act, lines)
            for entry in analysis.entries
            for action in entry.actions
            for act in _ACTS[action.kind]
        ),
        tuple(_submissions(module, analysis, lines)),
        tuple((problem.place.line, problem.message) for problem in module.problems),
        tuple((number, found[1]) for number, line in enumerate(lines, 1) for found in _STRING.finditer(line)),
    )


def _templates(module: tree.Module, analysis: Analysis) -> Iterator[CodeTemplate]:
    parties = {entry.place: entry for entry in analysis.templates}
    local = {interface.name: interface for interface in module.interfaces}
    entries = {(entry.owner, entry.name): entry for entry in analysis.entries if entry.kind == "choice"}
    implemented = _implemented(module)
    for template in module.templates:
        found = parties.get(template.place)
        faces = implemented.get(template.name, ())
        choices = [*template.choices]
        choices += [choice for face in faces if face in local for choice in local[face].choices]
        yield CodeTemplate(
            template.name,
            template.place.line,
            _roles(found.signatories) if found else (),
            _roles(found.observers) if found else (),
            _roles(found.maintainers) if found else (),
            tuple(_choice(choice, entries.get((template.name, choice.name))) for choice in choices),
            _clause(module.text, template.ensure),
            _clause(module.text, template.key.value if template.key else None),
            open=any(face not in local for face in faces),
            clause=_first_line(template.signatories, template.place.line),
        )


def _implemented(module: tree.Module) -> dict[str, list[str]]:
    """The interfaces of each template of the module, wherever the instance stands."""
    found: dict[str, list[str]] = {}
    for template in module.templates:
        for instance in template.instances:
            found.setdefault(template.name, []).append(instance.interface.rpartition(".")[2])
    for interface in module.interfaces:
        for instance in interface.instances:
            found.setdefault(instance.template.rpartition(".")[2], []).append(interface.name)
    return found


def _interfaces(module: tree.Module, analysis: Analysis) -> Iterator[CodeTemplate]:
    entries = {(entry.interface, entry.name): entry for entry in analysis.entries if entry.kind == "choice"}
    for interface in module.interfaces:
        yield CodeTemplate(
            interface.name,
            interface.place.line,
            (),
            (),
            (),
            tuple(
                _choice(choice, entries.get((interface.name, choice.name))) for choice in interface.choices
            ),
            interface=True,
            open=bool(interface.requires),
            clause=interface.place.line,
        )


def _choice(choice: tree.Choice, entry: Entry | None) -> CodeChoice:
    return CodeChoice(
        choice.name,
        choice.place.line,
        _roles(entry.controllers) if entry else (),
        choice.consumption in ("consuming", "preconsuming"),
        _first_line(choice.controllers, choice.place.line),
    )


def _first_line(clauses: Sequence[tree.Clause], default: int) -> int:
    return clauses[0].place.line if clauses else default


def _clause(text: str, value: tree.Expression | None) -> tuple[int, str] | None:
    return (value.place.line, _shortened([text[value.place.start : value.place.end]])) if value else None


def _action(entry: Entry, action: Action, act: _Act, lines: Sequence[str]) -> CodeAction:
    via = f" (reached through {' and '.join(_call(call.name, call.place.line) for call in action.via)})"
    return CodeAction(
        entry.owner,
        entry.name,
        action.place.line,
        act,
        action.choice if act == "exercise" else action.template,
        _needed(action),
        _roles(action.available),
        action.verdict.status == "proved",
        action.verdict.status != "unknown",
        action.verdict.reason + (via if action.via else ""),
        _statement(lines, action.place.line, action.place.column),
        action.own_contract,
        "choice" if entry.kind == "choice" else "method" if entry.kind == "method" else "function",
        action.template,
        entry.interface,
        tuple(call.place.line for call in action.via),
        action.kind == "createAndExercise",
    )


def _needed(action: Action) -> tuple[Role, ...]:
    """Who is needed, by the paths that the verdict goes by: a contract found by key has the parties of its key."""
    required, missing = _roles(action.required), _roles(action.verdict.missing)
    held = {role.name: role for role in _roles(action.available)}
    absent = {role.path for role in missing}
    if absent <= {role.path for role in required}:
        # What is not missing was proved to be one of those at hand, mostly the one of the same name.
        proved = bool(absent) and action.verdict.status == "fails_unless"
        return tuple(
            held.get(role.name, role) if proved and role.path not in absent and role.contract else role
            for role in required
        )
    lacking = {role.name for role in missing}
    return (*missing, *(held.get(role.name, role) for role in required if role.name not in lacking))


def _submissions(module: tree.Module, analysis: Analysis, lines: Sequence[str]) -> Iterator[CodeAction]:
    """What scripts submit, without what follows from it inside choices."""
    choices = {choice.name for template in module.templates for choice in template.choices}
    choices |= {choice.name for interface in module.interfaces for choice in interface.choices}
    allocated = [
        (number, found[1], found[2])
        for number, line in enumerate(lines, 1)
        if analysis.scripts and (found := _ALLOCATED.search(line))
    ]
    for script in analysis.scripts:
        for action in script.actions:
            if "MustFail" in action.submission or any(call.name in choices for call in action.via):
                continue
            hints = _hints(allocated, action.place.line)
            for act in _ACTS[action.kind]:
                made = _action(script, action, act, lines)
                yield replace(
                    made,
                    template="",
                    body="script",
                    required=_hinted(made.required, hints),
                    available=_hinted(made.available, hints),
                )


def _hints(allocated: Sequence[tuple[int, str, str]], line: int) -> dict[str, str]:
    """By variable, the names under which a script allocates parties: the last one above a line, else the first."""
    found: dict[str, str] = {}
    for number, variable, hint in allocated:
        if number < line or variable not in found:
            found[variable] = hint
    return found


def _hinted(roles: Iterable[Role], hints: Mapping[str, str]) -> tuple[Role, ...]:
    return tuple(replace(role, hint=hints.get(role.path, "")) for role in roles)


def _call(name: str, line: int) -> str:
    return f"{name}, called in line {line}"


def _roles(parties: Iterable[Party]) -> tuple[Role, ...]:
    return tuple(
        Role(
            party.path,
            bool(party.many),
            party.origin not in ("expression", "local") and party.many is not None,
            party.origin == "argument",
            _contract(party),
        )
        for party in parties
    )


def _contract(party: Party) -> str:
    """The contract in ``holder of asset`` and in ``c.holder``."""
    if party.origin != "contract":
        return ""
    return party.path.partition(" of ")[2] or party.path.rpartition(".")[0]


def _statement(lines: Sequence[str], line: int, column: int) -> str:
    """The text of an action: the rest of its line, and the lines below that are indented deeper."""
    if not 0 < line <= len(lines):
        return ""
    first = lines[line - 1]
    parts = [_COMMENT.sub("", first[column - 1 :])]
    depth = len(first) - len(first.lstrip())
    for below in lines[line : line + _MAX_MORE_LINES]:
        if not below.strip() or len(below) - len(below.lstrip()) <= depth:
            break
        parts.append(_COMMENT.sub("", below))
    return _shortened(parts)


def _shortened(parts: Iterable[str]) -> str:
    words = " ".join(word for part in parts for word in part[: 4 * _MAX_SOURCE].split())
    return words if len(words) <= _MAX_SOURCE else words[:_MAX_SOURCE] + " …"
