"""Branches and tests: what holds inside of an arm, and what still holds after it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import field

from canton_mcp.daml import tree
from canton_mcp.daml.facts import AnyOf, Differ, Equal, Fact, Facts, Unfollowed
from canton_mcp.daml.journal import Journal
from canton_mcp.daml.paths import BOTTOM, UNIT, Bottom, Env, Lazy, Value
from canton_mcp.daml.record import record

__all__ = ["Arm", "Branches"]


@record
class Arm:
    """A branch: its label, what is run in it, and what holds there."""

    label: str
    body: tree.Expression
    env: Env
    facts: tuple[Fact, ...] = field(default=())


class Branches(Journal, ABC):
    """Runs arms under their facts."""

    @abstractmethod
    def _run(self, expression: tree.Expression, env: Env) -> Value:
        """Runs an action and gives its result."""

    def _arms(
        self,
        arms: Sequence[Arm],
        conditions: Sequence[tree.Expression],
        env: Env,
        otherwise: tuple[Fact, ...],
    ) -> Value:
        """Runs each arm under its facts; afterwards only what all arms that go on have in common holds."""
        before = self._facts
        results: list[Value] = []
        after: list[Facts] = []
        for arm in arms:
            self._facts = before
            if self._impossible(arm.facts):
                continue
            self._facts = before.with_facts(arm.facts)
            self._tests += arm.facts
            result = self._arm(arm)
            if not isinstance(result, Bottom):
                results.append(result)
                after.append(self._facts)
        self._facts = before
        if len(arms) == 1 and otherwise and not self._impossible(otherwise):
            after.append(before.with_facts(otherwise))
            results.append(UNIT)
        self._facts = after[0] if len(after) == 1 else before
        if not results:
            return BOTTOM
        return self._values.one_of(results, conditions, env)

    def _arm(self, arm: Arm) -> Value:
        outer = self._branch
        self._branch = (*outer, arm.label)
        result = self._run(arm.body, arm.env)
        self._branch = outer
        return result

    def _impossible(self, facts: Iterable[Fact]) -> bool:
        """Whether facts contradict what is known: parties that a script allocates are different ones."""
        closed = self._facts.closed(self._values)
        for fact in facts:
            if isinstance(fact, Equal | Differ):
                left, right = closed.canonical(fact.left), closed.canonical(fact.right)
                same = left.number == right.number
                if same if isinstance(fact, Differ) else not same and left.head == right.head == "party":
                    return True
            elif isinstance(fact, AnyOf) and all(self._impossible(case) for case in fact.alternatives):
                return True
        return False

    def _learn(self, facts: Iterable[Fact]) -> None:
        facts = tuple(facts)
        self._facts = self._facts.with_facts(facts)
        self._tests += facts

    def _mention(self, given: Iterable[Value | Lazy], place: tree.Place) -> None:
        """What is given to a function that is not followed may be tested there."""
        mentions = self._values._mentions(given)
        if mentions:
            self._learn((Unfollowed(mentions, place.line),))

    def _condition(self, condition: Value | Lazy, positive: bool, place: tree.Place) -> tuple[Fact, ...]:
        if isinstance(condition, Lazy):
            return self._reader.facts(condition.expression, condition.env, positive)
        found = self._reader.holds(condition, (), positive, place.line)
        return found if found is not None else (Unfollowed(self._values._mentions((condition,)), place.line),)
