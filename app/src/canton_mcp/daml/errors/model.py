"""What an error text says, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from canton_mcp.daml.errors.kinds import FAMILIES, Family, Kind

Era = Literal["1.x", "2.x", "3.x"]


@dataclass(frozen=True, slots=True)
class Party:
    """A party as an error prints it: the hint before ``::``, and the whole id (the hint alone if no more is said)."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class Location:
    """Module (or file, from the compiler), and line and column (from 1) where known."""

    module: str
    line: int | None
    column: int | None


@dataclass(frozen=True, slots=True)
class Step:
    """A step on the way to the failure, as a trace or a partial transaction names it.

    `action` is create, exercise, fetch, lookup or command; `actors` only where the text has them.
    """

    action: str
    template: str | None = None
    choice: str | None = None
    contract: str | None = None
    actors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """What an error text says.

    `required`, `given` and `missing` hold names: the part before ``::``, or more of the id where two parties share
    it. `parties` has the whole ids. `path` leads from the submitted command down to the failure.
    """

    kind: Kind
    explanation: str
    code: str | None = None
    category: int | None = None
    node: int | None = None
    template: str | None = None
    choice: str | None = None
    action: str | None = None
    required: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    location: Location | None = None
    grpc: str | None = None
    correlation: str | None = None
    template_id: str | None = None
    parties: tuple[Party, ...] = ()
    act_as: tuple[str, ...] = ()
    read_as: tuple[str, ...] = ()
    stakeholders: tuple[str, ...] = ()
    contracts: tuple[str, ...] = ()
    locations: tuple[Location, ...] = ()
    path: tuple[Step, ...] = ()
    message: str | None = None
    exception: str | None = None
    offending: str | None = None
    era: Era | None = None
    others: tuple[Diagnosis, ...] = field(default=(), repr=False)

    @property
    def family(self) -> Family:
        """What sort of problem it is, coarser than the kind."""
        return FAMILIES[self.kind]

    @property
    def enclosing(self) -> Step | None:
        """The exercise in whose body it failed, where the text has the way there."""
        traced = any(step.action == "command" for step in self.path) or all(
            step.choice and not step.actors for step in self.path
        )
        # A partial transaction ends with the action that lacked authority, a trace with the choice around it.
        whole = traced or self.family != "authorization" or not self._is_failing(self.path[-1])
        steps = self.path if whole else self.path[:-1]
        return next((step for step in reversed(steps) if step.choice), None)

    def _is_failing(self, step: Step) -> bool:
        """Whether a step may be the failing action itself; what was not recorded leaves the exercise around it as the last."""
        if self.action in (None, step.action):
            return self.action not in ("exercise", "archive") or self.choice in (None, step.choice)
        return False

    @property
    def inside_choice(self) -> bool | None:
        """Whether the failing action stands in a choice body (True) or is the submitted command (False).

        A node above 0 is mostly, not always, inside a choice: a submission may hold several commands.
        """
        if self.path:
            return self.enclosing is not None
        return None if self.node is None else self.node > 0


def short_name(identifier: str) -> str:
    """Template name of ``PKG:Mod:T``, ``Mod:T`` or ``Mod:T@PKG``."""
    return identifier.partition("@")[0].rpartition(":")[2]
