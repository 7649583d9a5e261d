"""What an analysis of authority consists of: entries, their actions, and what each one needs and has."""

from __future__ import annotations

from typing import Literal

from canton_mcp.daml import tree
from canton_mcp.daml.paths import Origin
from canton_mcp.daml.prelude import ActionKind
from canton_mcp.daml.record import record

__all__ = [
    "ONE_IS_ENOUGH",
    "Action",
    "ActionKind",
    "Analysis",
    "Call",
    "Entry",
    "Gap",
    "Party",
    "Status",
    "TemplateParties",
    "Test",
    "Verdict",
]

Status = Literal["proved", "fails_unless", "unknown"]
ONE_IS_ENOUGH: frozenset[ActionKind] = frozenset(
    {"fetch", "fetchByKey", "fetchFromInterface", "fetchNByKey", "fetchAllByKey"}
)
"""Actions that one stakeholder may take; all others need every required party."""


@record
class Party:
    """A party, or the parties of a collection, by the path that leads to it in the user's own names."""

    path: str
    origin: Origin
    many: bool | None = False
    how: str = ""
    """Of an available party: ``signatory``, ``controller``, ``authority``."""


@record
class Verdict:
    """Whether the authority is there.

    `fails_unless` names the `missing` parties and the `condition` under which it works all the same; it is
    `definite` when nothing but arguments and fields of the own contract is involved, else it hangs on the data
    of other contracts. `unknown` gives the `reason`.
    """

    status: Status
    reason: str
    missing: tuple[Party, ...] = ()
    condition: str = ""
    definite: bool = False


@record
class Call:
    """A helper function or method that an action is reached through."""

    name: str
    place: tree.Place
    """Of the call."""


@record
class Action:
    """A ledger action with what it needs, what it has, and the verdict."""

    kind: ActionKind
    place: tree.Place
    module: str
    """The module that the place is in."""
    template: str | None
    """The template or interface of the contract, when this text tells."""
    choice: str | None
    """The choice that is exercised."""
    contract: str
    """The contract id, or what is created, in the words of the text."""
    required: tuple[Party, ...]
    available: tuple[Party, ...]
    verdict: Verdict
    branch: tuple[str, ...] = ()
    """Conditions and loops around it, outermost first."""
    via: tuple[Call, ...] = ()
    own_contract: bool = False
    """Whether its target is the contract of the choice itself."""
    updates_this: bool = False
    """Whether it creates ``this with ..``."""
    submission: str = ""
    """In a script: the function that submits it, such as ``submitMustFail``."""


@record
class Gap:
    """Something that may act on the ledger and is not followed."""

    place: tree.Place
    module: str
    name: str
    reason: str
    branch: tuple[str, ...] = ()
    via: tuple[Call, ...] = ()


@record
class Test:
    """A condition that the text tests: what it says of which paths."""

    __test__ = False

    kind: Literal["equal", "differ", "member", "subset", "any", "unfollowed"]
    line: int
    paths: tuple[str, ...]


@record
class Entry:
    """The analysis of one choice, or of a method or helper that no choice of the text leads to."""

    owner: str
    """Template whose contract is exercised; the interface when no instance is known; empty for helpers."""
    name: str
    kind: Literal["choice", "method", "helper", "script"]
    place: tree.Place
    interface: str | None
    """The interface that declares the choice or method."""
    controllers: tuple[Party, ...]
    available: tuple[Party, ...]
    actions: tuple[Action, ...]
    gaps: tuple[Gap, ...]
    tests: tuple[Test, ...]
    """Everything that the body tests, wherever it stands, and what ``ensure`` says."""


@record
class TemplateParties:
    """The parties of a template over its own fields."""

    template: str
    place: tree.Place
    signatories: tuple[Party, ...]
    observers: tuple[Party, ...]
    maintainers: tuple[Party, ...]
    maintained: Verdict | None
    """Whether all maintainers are signatories; None without a key."""


@record
class Analysis:
    """What is known of the authority of a module's choices."""

    templates: tuple[TemplateParties, ...]
    entries: tuple[Entry, ...]
    scripts: tuple[Entry, ...] = ()
    """What scripts submit, with what follows from it, in terms of the parties they allocate."""
    incomplete: str = ""
    """Why some choices were left out, for example bounds; empty when none was."""
    steps: int = 0
    """How much work it was."""

    def actions(self) -> tuple[Action, ...]:
        """The actions of all entries."""
        return tuple(action for entry in self.entries for action in entry.actions)

    def entry(self, owner: str, name: str) -> Entry | None:
        """The entry of a choice of a template or interface."""
        return next((entry for entry in self.entries if entry.owner == owner and entry.name == name), None)
