"""What a walk writes down: actions with their verdicts, tests, and what it could not follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from canton_mcp.daml import tree
from canton_mcp.daml.actions import ONE_IS_ENOUGH, Action, ActionKind, Call, Gap, Test, Verdict
from canton_mcp.daml.evaluate import Evaluator
from canton_mcp.daml.facts import AnyOf, Differ, Equal, Fact, Facts, Member, Reader, Unfollowed
from canton_mcp.daml.paths import Contract, Env, Lazy, PartySet, Rec, Term, Value
from canton_mcp.daml.scope import Owner, Scope
from canton_mcp.daml.values import Budget, kind_of
from canton_mcp.daml.verdicts import Judge, shown

__all__ = ["MAX_ACTIONS", "Journal"]

MAX_ACTIONS = 300
_MAX_LABEL = 60


class Journal:
    """Where the walk has come to, and what it has seen so far."""

    def __init__(self, every: Sequence[Scope], budget: Budget, reached: set[int]) -> None:
        self._values = Evaluator(every, budget)
        self._reader = Reader(self._values)
        self._budget = budget
        self._reached = reached
        self._available = PartySet()
        self._facts = Facts()
        self._tests: list[Fact] = []
        self._branch: tuple[str, ...] = ()
        self._via: tuple[Call, ...] = ()
        self._active: tuple[int, ...] = ()
        self._actions: list[Action] = []
        self._gaps: list[Gap] = []
        self._silent = 0
        self._nested = 0
        self._helpers = 0
        self._scripted = False
        self._followed_depth = 0
        self._left_out = False
        self._submission = ""
        self._own: Value | None = None
        self._module = every[0].module.name if every else ""
        self._ensured: set[int] = set()
        self._by_keys: dict[tuple[int, int], Contract] = {}
        """Contracts that were created in sight, by template and key: the last one of each."""
        self._pending: dict[int, PartySet] = {}
        """What the fetches need that are not proved yet, by their index among the actions."""

    def _record(
        self,
        kind: ActionKind,
        place: tree.Place,
        owner: Owner | None,
        choice: str | None,
        contract: Value,
        required: PartySet | None,
        why: str,
        updates_this: bool = False,
    ) -> None:
        if self._silent:
            return
        if len(self._actions) >= MAX_ACTIONS:
            self._beyond(place)
            return
        one_is_enough = kind in ONE_IS_ENOUGH
        verdict = (
            Verdict("unknown", why)
            if required is None
            else self._judge.one_of(required)
            if one_is_enough
            else self._judge.all_of(kind, required)
        )
        own = isinstance(contract, Term) and contract.head == "self"
        name = owner.name if owner is not None else None
        if name is None and isinstance(contract, Rec) and contract.constructor:
            name = contract.constructor
        if name is None:
            named = kind_of(contract if kind == "create" else self._values.payload(contract))
            name = named.type.head if named is not None and named.type.head[:1].isupper() else None
        action = Action(
            kind,
            place,
            self._module,
            name,
            choice,
            self._contract_text(contract),
            shown(required, self._values) if required is not None else (),
            shown(self._available, self._values),
            verdict,
            self._branch,
            self._via,
            own,
            updates_this,
            self._submission,
        )
        if one_is_enough and required is not None and verdict.status != "proved":
            self._pending[len(self._actions)] = required
        self._actions.append(action)

    def _settle(self, start: int) -> None:
        """Judges fetches of a block again with what is tested after them: fetched data can be tested no earlier."""
        if self._silent:
            return
        for index in [index for index in self._pending if index >= start]:
            verdict = self._judge.one_of(self._pending[index])
            if verdict.status == "proved":
                del self._pending[index]
                reason = "a stakeholder has to be available for the tests after it to pass"
                self._actions[index] = replace(self._actions[index], verdict=replace(verdict, reason=reason))

    @property
    def _judge(self) -> Judge:
        """For verdicts at the place that the walk has come to."""
        return Judge(self._values, self._available, self._facts)

    def _beyond(self, place: tree.Place) -> None:
        """Says once that the rest is left out."""
        if not self._left_out and not self._silent:
            self._left_out = True
            self._gap(place, "…", "from here on it is beyond the bounds of the analysis")

    def _gap(self, place: tree.Place, name: str, reason: str) -> None:
        if not self._silent and len(self._gaps) < MAX_ACTIONS:
            self._gaps.append(Gap(place, self._module, name, reason, self._branch, self._via))

    def _contract_text(self, contract: Value) -> str:
        if isinstance(contract, Rec):
            return contract.constructor or "this with .."
        if isinstance(contract, Contract):
            return "a contract created here"
        if isinstance(contract, Term):
            return self._values.terms.show(contract)
        return "a contract"

    def _text(self, expression: tree.Expression, env: Env) -> str:
        return self._span(expression.place, env)

    def _lazy_text(self, value: Value | Lazy) -> str:
        if isinstance(value, Lazy):
            return self._text(value.expression, value.env)
        return self._values.terms.show(self._values.term(value))

    def _span(self, place: tree.Place, env: Env) -> str:
        text = " ".join(
            env.scope.module.text[place.start : min(place.end, place.start + 4 * _MAX_LABEL)].split()
        )
        return text if len(text) <= _MAX_LABEL else text[: _MAX_LABEL - 1] + "…"

    def _test(self, fact: Fact) -> Test:
        show = self._values.terms.show
        match fact:
            case Equal(left=left, right=right, line=line):
                return Test("equal", line, (show(left), show(right)))
            case Differ(left=left, right=right, line=line):
                return Test("differ", line, (show(left), show(right)))
            case Member(value=value, of=whole, line=line, all_of_it=every):
                inside = tuple(show(atom.term) for atom in self._values.parties(whole).atoms)
                return Test("subset" if every else "member", line, (show(value), *inside))
            case AnyOf(alternatives=alternatives, line=line):
                paths = [
                    path for facts in alternatives for inner in facts for path in self._test(inner).paths
                ]
                return Test("any", line, tuple(dict.fromkeys(paths)))
            case Unfollowed(mentions=mentions, line=line):
                return Test("unfollowed", line, tuple(self._values.terms.shown(mentions)))
