"""DAML files and whole projects, read and checked: what is wrong in them, where, and how to put it right."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path

from canton_mcp import daml
from canton_mcp.daml import tree
from canton_mcp.daml.findings import KINDS, Finding
from canton_mcp.daml.findings.model import ORDER, Kind

__all__ = [
    "STDIN",
    "SYNTAX",
    "SYNTAX_KIND",
    "Checked",
    "Note",
    "Source",
    "UsageError",
    "Verdicts",
    "check",
    "chosen",
    "collect",
    "reaches",
]

STDIN = "<stdin>"
SYNTAX = "syntax"
"""The rule of what cannot be parsed. It is applied whatever ``--rule`` names, for nothing else was looked for there."""
SYNTAX_KIND = Kind("critical", "definite")
_NO_SYNTAX = ("too deeply to be read", "is not judged", "has no controller")
"""How problems end that are bounds of this reader, code left out on purpose, or said by a rule."""
_MAX_BYTES = 8_000_000
_MAX_DEPTH = 2
_MAX_OTHERS = 200
_WORTH_PROCESSES = 1_000_000

Progress = Callable[[str, int, int], None]
"""Called with the stage, the files that are done, and all of them."""


class UsageError(ValueError):
    """Wrong usage: what was given, why it is of no use, and what to do."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that kept a file, or a part of it, from being checked; line and column from 1, 0 for the whole.

    `told` if a finding says it, too.
    """

    line: int
    column: int
    message: str
    told: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A file: its path as it was reached, its text (None if it could not be read), and what was wrong with it."""

    path: str
    text: str | None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdicts:
    """How many ledger actions are proved to have their authority, fail unless .., and are unknown."""

    proved: int = 0
    fails_unless: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """A file with its findings in the order of their places; `notes` are what was not checked."""

    source: Source
    findings: tuple[Finding, ...] = ()
    notes: tuple[Note, ...] = ()
    templates: int = 0
    choices: int = 0
    verdicts: Verdicts = field(default_factory=Verdicts)


# what to read -------------------------------------------------------------------------------------------


def collect(
    paths: Sequence[str], stdin: Callable[[], bytes], progress: Progress | None = None
) -> list[Source]:
    """The files that the paths name, each once; directories give their ``*.daml``, ``-`` gives the input.

    Raises UsageError for a path that does not exist, and when there is nothing to read at all.
    """
    missing = [path for path in paths if path != "-" and not Path(path).exists()]
    if missing:
        raise UsageError(
            f"{', '.join(missing[:5])}: no such file or directory. Name DAML files, directories, or -."
        )
    denied: list[OSError] = []
    files = list(dict.fromkeys(file for path in paths for file in _files(path, denied)))
    seen: set[Path | None] = set()
    found: list[Source] = []
    for number, path in enumerate(files, 1):
        identity = path.resolve() if path is not None else None
        if identity not in seen:
            seen.add(identity)
            found.append(_source(path) if path is not None else _decoded(STDIN, stdin()))
        if progress:
            progress("reading", number, len(files))
    for error in denied:
        note = Note(0, 0, f"the directory could not be read: {error.strerror}")
        found.append(Source(str(error.filename), None, (note,)))
    if not any(source.text is not None for source in found):
        raise UsageError("\n".join(_nothing(paths, found)))
    return found


def _nothing(paths: Sequence[str], found: Iterable[Source]) -> Iterator[str]:
    for source in found:
        yield from (f"{source.path}: {note.message}" for note in source.notes)
    yield f"nothing to read: no DAML file could be read from {', '.join(paths[:5])}."


def _files(path: str, denied: list[OSError]) -> Iterator[Path | None]:
    """The files of one path, sorted; None is the input. Directories that cannot be entered are added to `denied`."""
    if path == "-":
        yield None
    elif not Path(path).is_dir():
        yield Path(path)
    else:
        for folder, folders, names in os.walk(path, onerror=denied.append):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if name.endswith(".daml") and not name.startswith("."):
                    yield Path(folder, name)


def _source(path: Path) -> Source:
    try:
        if not path.is_file():
            raise UsageError("it is no file")
        if path.suffix in (".yaml", ".yml"):
            raise UsageError("it is no DAML text: name the directory of the project instead")
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise UsageError(f"it has {size} bytes; more than {_MAX_BYTES} are not read: split it")
        return _decoded(str(path), path.read_bytes())
    except OSError as error:
        return Source(str(path), None, (Note(0, 0, f"it could not be read: {error.strerror or error}"),))
    except UsageError as error:
        return Source(str(path), None, (Note(0, 0, str(error)),))


def _decoded(path: str, data: bytes) -> Source:
    """The text of a file. DAML is UTF-8; what is not is replaced and told."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        return Source(
            path, None, (Note(0, 0, "it is no UTF-8 text: save it as UTF-8, as the compiler wants it"),)
        )
    try:
        return Source(path, data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        start = data.rfind(b"\n", 0, error.start) + 1
        column = len(data[start : error.start].decode()) + 1
        message = (
            f"byte 0x{data[error.start]:02x} is not UTF-8: save the file as UTF-8, the compiler refuses it"
        )
        return Source(path, data.decode(errors="replace"), (Note(line, column, message),))


# what to look for ---------------------------------------------------------------------------------------


def chosen(rules: Iterable[str], ignored: Iterable[str]) -> frozenset[str]:
    """The ids of the rules to apply: those named, or all, without the ignored ones; raises UsageError for unknown ids.

    `SYNTAX` is among them unless it is ignored: what cannot be parsed is not checked by any rule.
    """
    wanted, unwanted = (
        [word for text in texts for word in text.replace(",", " ").split()] for texts in (rules, ignored)
    )
    for name in (*wanted, *unwanted):
        if name not in KINDS and name != SYNTAX:
            near = get_close_matches(name, [*KINDS, SYNTAX], 3, 0.4)
            hint = (
                f"did you mean {' or '.join(near)}?"
                if near
                else f"known are {', '.join(sorted([*KINDS, SYNTAX]))}."
            )
            raise UsageError(f"{name}: no such rule; {hint}")
    left = frozenset(wanted or KINDS) - frozenset(unwanted)
    if not left:
        raise UsageError("no rule is left: --ignore names everything that --rule does.")
    return left | ({SYNTAX} - set(unwanted))


# checking -----------------------------------------------------------------------------------------------


def check(
    sources: Sequence[Source], rules: frozenset[str], processes: int = 0, progress: Progress | None = None
) -> list[Checked]:
    """The findings of every file. Modules see each other; large projects are shared among `processes` (0: as many as fit)."""
    modules: list[tree.Module | None] = []
    for number, source in enumerate(sources, 1):
        modules.append(daml.read(source.text) if source.text is not None else None)
        if progress:
            progress("parsing", number, len(sources))
    project = Project(sources, modules)
    fitting = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    workers = processes or fitting
    large = sum(len(source.text or "") for source in sources) > _WORTH_PROCESSES
    results = (
        _in_processes(project, rules, workers)
        if workers > 1 and (processes or large)
        else ((number, checked_one(project, number, rules)) for number in range(len(sources)))
    )
    found: dict[int, _Result] = {}
    for number, result in results:
        found[number] = result
        if progress:
            progress("checking", len(found), len(sources))
    created = {name for _, names in found.values() for name in names}
    return [_without_made(found[number][0], created) for number in range(len(sources))]


_Result = tuple[Checked, frozenset[str]]


def _in_processes(project: Project, rules: frozenset[str], workers: int) -> Iterator[tuple[int, _Result]]:
    """The results of all files as they come. Forked workers have the trees in their memory, so only results travel."""
    context = get_context("fork")
    total = len(project.sources)
    missing = set(range(total))
    readers: list[Connection] = []
    started = []
    for worker in range(workers):
        reader, writer = context.Pipe(duplex=False)
        process = context.Process(
            target=_work, args=(project, range(worker, total, workers), rules, writer), daemon=True
        )
        process.start()
        writer.close()
        readers.append(reader)
        started.append(process)
    while readers:
        for ready in wait(readers):
            assert isinstance(ready, Connection)
            try:
                number, result = ready.recv()
            except EOFError:
                readers.remove(ready)
                continue
            missing.discard(number)
            yield number, result
    for process in started:
        process.join()
    for number in sorted(missing):  # of a worker that was killed
        yield number, checked_one(project, number, rules)


def _work(project: Project, numbers: Iterable[int], rules: frozenset[str], results: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told as well, and ends its workers
    for number in numbers:
        results.send((number, checked_one(project, number, rules)))
    results.close()


class Project:
    """Files and their trees, and which of them a module sees."""

    def __init__(self, sources: Sequence[Source], modules: Sequence[tree.Module | None]) -> None:
        self.sources = sources
        self.modules = modules
        self._named: dict[str, list[int]] = {}
        self._instances: dict[str, list[int]] = {}
        for number, module in enumerate(modules):
            if module is None:
                continue
            if module.name:
                self._named.setdefault(module.name, []).append(number)
            for face in dict.fromkeys(_instances(module)):
                self._instances.setdefault(face, []).append(number)

    def seen_by(self, number: int) -> list[tree.Module]:
        """What a module imports and the modules with instances of its interfaces.

        Modules with choices see two steps deep, tests and helpers one: it takes them longer and tells no more.
        """
        module = self.modules[number]
        if module is None:
            return []
        found: dict[int, None] = {}
        layer = [number]
        for _ in range(_MAX_DEPTH if module.templates or module.interfaces else 1):
            layer = [
                other
                for importer in layer
                for name in self._imports(importer)
                if (other := self._nearest(name, importer)) is not None
                and other != number
                and found.setdefault(other, None) is None
            ]
            layer = list(dict.fromkeys(layer))
        for interface in module.interfaces:
            for other in self._instances.get(interface.name, ()):
                if other != number and module.name in self._imports(other):
                    found.setdefault(other, None)
        return [seen for other in list(found)[:_MAX_OTHERS] if (seen := self.modules[other]) is not None]

    def _imports(self, number: int) -> list[str]:
        module = self.modules[number]
        return [entry.module for entry in module.imports] if module is not None else []

    def _nearest(self, name: str, importer: int) -> int | None:
        """The module of that name which is the nearest in the file tree: projects may have names in common."""
        candidates = self._named.get(name, ())
        here = Path(self.sources[importer].path).parts
        return max(
            candidates,
            key=lambda number: _shared(here, Path(self.sources[number].path).parts),
            default=None,
        )


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts two paths share from the top."""
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _instances(module: tree.Module) -> Iterator[str]:
    owned = [owner.instances for owner in module.templates] + [owner.instances for owner in module.interfaces]
    for instance in (instance for instances in owned for instance in instances):
        yield instance.interface.rpartition(".")[2]


def checked_one(project: Project, number: int, rules: frozenset[str]) -> _Result:
    """The findings of one file, and the names of the templates that its choices can create."""
    try:
        return _findings(project, number, rules)
    except Exception as error:  # one file never takes the others' findings away
        source = project.sources[number]
        fault = Note(0, 0, f"a fault of this linter, please report it: {type(error).__name__}: {error}")
        return Checked(source, notes=(*source.notes, fault)), frozenset()


def _findings(project: Project, number: int, rules: frozenset[str]) -> _Result:
    source, module = project.sources[number], project.modules[number]
    if module is None:
        return Checked(source, notes=source.notes), frozenset()
    analysis = daml.analyse(module, project.seen_by(number))
    found = [finding for finding in daml.findings(module, analysis) if finding.rule in rules]
    stumbled = [_syntax(problem) for problem in module.problems if SYNTAX in rules and _is_syntax(problem)]
    actions = analysis.actions()
    statuses = [action.verdict.status for action in actions]
    checked = Checked(
        source,
        tuple(sorted([*stumbled, *found], key=lambda finding: (finding.line, finding.column))),
        (*source.notes, *_notes(module, analysis.incomplete, rules)),
        len(module.templates),
        sum(len(template.choices) for template in module.templates)
        + sum(len(interface.choices) for interface in module.interfaces)
        + len(module.loose_choices),
        Verdicts(statuses.count("proved"), statuses.count("fails_unless"), statuses.count("unknown")),
    )
    made = (action for action in actions if action.kind in ("create", "createAndExercise"))
    return checked, frozenset(
        action.template for action in made if action.template and action.verdict.status != "fails_unless"
    )


def _is_syntax(problem: tree.Problem) -> bool:
    """Whether the text is wrong there, rather than beyond what is followed."""
    return not problem.message.endswith(_NO_SYNTAX)


def _syntax(problem: tree.Problem) -> Finding:
    return Finding(
        SYNTAX,
        SYNTAX_KIND.severity,
        SYNTAX_KIND.certainty,
        problem.place.line,
        problem.place.column,
        None,
        None,
        problem.message,
        "correct it and check again: what stands here could not be checked",
    )


def _notes(module: tree.Module, incomplete: str, rules: frozenset[str]) -> Iterator[Note]:
    for problem in module.problems:
        told = SYNTAX in rules and _is_syntax(problem)
        yield Note(problem.place.line, problem.place.column, problem.message, told)
    if module.incomplete:
        yield Note(0, 0, module.incomplete)
    if incomplete:
        yield Note(
            0,
            0,
            "the authority of some choices: the module is larger than what is analysed at once, split it",
        )


def _without_made(checked: Checked, created: frozenset[str] | set[str]) -> Checked:
    """Without the findings that no choice creates a template which a choice of another file does create."""
    left = tuple(
        finding
        for finding in checked.findings
        if finding.rule != "unreachable-template" or finding.template not in created
    )
    return checked if len(left) == len(checked.findings) else replace(checked, findings=left)


def reaches(checked: Iterable[Checked], severity: str) -> bool:
    """Whether there is a finding of that severity or a graver one; never for ``never``."""
    limit = next((rank for name, rank in ORDER.items() if name == severity), -1)
    return any(ORDER[finding.severity] <= limit for entry in checked for finding in entry.findings)
