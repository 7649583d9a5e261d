"""Whether required parties are among the available ones: proved, failing unless, or unknown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from canton_mcp.daml.actions import ActionKind, Party, Verdict
from canton_mcp.daml.evaluate import Evaluator
from canton_mcp.daml.facts import AnyOf, Facts, Unfollowed, mentioned, missing
from canton_mcp.daml.paths import Atom, Origin, PartySet, Term

__all__ = ["Judge", "listed", "shown"]

_MAX_LABEL = 60
_EXHAUSTED = "the analysis has reached its bounds here"


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges at one place: what is available there, and what is known to hold."""

    _values: Evaluator
    _available: PartySet
    _facts: Facts

    def all_of(self, kind: ActionKind, required: PartySet) -> Verdict:
        if not required.atoms and not required.opaque:
            return Verdict("unknown", "the parties it needs could not be read")
        left = missing(required, self._available, self._facts, self._values)
        if not left and not required.opaque:
            return Verdict("proved", "every party it needs is available")
        if self._exhausted:
            return Verdict("unknown", _EXHAUSTED)
        left = self._alternatives(left)
        named = self._parties(left)
        if required.opaque:
            text = required.opaque[0].text
            return Verdict("unknown", f"the parties of '{text}' cannot be told from this text", named)
        return self._failing(kind, left, named)

    @property
    def _exhausted(self) -> bool:
        """Whether bounds keep something from being seen that may settle it."""
        return self._values.budget.steps <= 0 or self._facts.full

    def _alternatives(self, left: list[Atom]) -> list[Atom]:
        """Missing parties, with those that depend on a condition replaced by what they may be."""
        found: dict[int, Atom] = {}
        for atom in left:
            sets = self._values.alternatives.get(atom.term.number)
            if sets is None or any(one.opaque for one in sets):
                found.setdefault(atom.term.number, atom)
                continue
            for one in sets:
                for inner in missing(one, self._available, self._facts, self._values):
                    found.setdefault(inner.term.number, replace(inner, many=None))
        return list(found.values())

    def _definite(self, kind: ActionKind, atom: Atom) -> bool:
        """Whether a missing party is none of the available ones whatever the data, as far as names can tell.

        A party inside of a record is compared only with parties of the same record, and an argument that picks
        a key or a controller is the caller's business: such code works when roles coincide.
        """
        best = self._best(atom)
        if atom.many is not False or self._split(atom):
            return False
        if best.origin == "party":
            return all(other.term.origin == "party" for other in self._available.atoms)
        if best.origin == "argument" and kind not in ("create", "createAndExercise"):
            return False
        if best.origin not in ("field", "argument") or best.head not in ("get", "argument"):
            return False
        if best.head == "argument" or best.parts[0].head == "this":
            return True
        return any(
            other.term.head == "get" and other.term.parts[0].number == best.parts[0].number
            for other in self._available.atoms
        )

    def _failing(self, kind: ActionKind, left: list[Atom], named: tuple[Party, ...]) -> Verdict:
        names = listed(named)
        have = shown(self._available, self._values)
        if self._available.opaque:
            text = self._available.opaque[0].text
            return Verdict("unknown", f"whether {names} is among {text} cannot be told from this text", named)
        vague = next(
            (
                atom
                for atom in self._available.atoms
                if atom.many is not False or atom.term.origin in ("expression", "local")
            ),
            None,
        )
        if vague is not None:
            text = self._values.terms.show(vague.term)
            return Verdict(
                "unknown", f"whether {names} is among the parties of '{text}' hangs on data", named
            )
        line = self._tested(left)
        if line is not None:
            return Verdict("unknown", f"line {line} tests {names} in a way that is not followed here", named)
        opaque = next((atom for atom in left if self._best(atom).origin in ("expression", "local")), None)
        if opaque is not None:
            text = self._values.terms.show(opaque.term)
            return Verdict("unknown", f"the parties of '{text}' cannot be told from this text", named)
        condition = f"{names} {'are all' if len(left) > 1 else 'is'} among {listed(have) or 'nobody'}"
        definite = any(self._definite(kind, atom) for atom in left)
        first = f"needs the authority of {names}, has that of {listed(have) or 'nobody'}"
        return Verdict("fails_unless", f"{first}: fails unless {condition}", named, condition, definite)

    def one_of(self, required: PartySet) -> Verdict:
        for atom in required.atoms:
            if atom.many is not True or not missing(
                PartySet([replace(atom, many=True)]), self._available, self._facts, self._values
            ):
                one = PartySet([atom])
                if not missing(one, self._available, self._facts, self._values):
                    return Verdict("proved", "a stakeholder of the contract is available")
        if self._exhausted:
            return Verdict("unknown", _EXHAUSTED)
        named = self._parties(required.atoms)
        have = shown(self._available, self._values)
        if required.opaque or not required.atoms:
            return Verdict(
                "unknown", "the stakeholders of the contract cannot all be told from this text", named
            )
        if self._available.opaque or any(
            atom.many is not False or atom.term.origin == "expression" for atom in self._available.atoms
        ):
            return Verdict("unknown", "whether a stakeholder is available hangs on data", named)
        if any(atom.term.origin in ("expression", "local") for atom in required.atoms):
            return Verdict(
                "unknown", "the stakeholders of the contract cannot all be told from this text", named
            )
        line = self._tested(required.atoms)
        if line is not None:
            return Verdict("unknown", f"line {line} tests it in a way that is not followed here", named)
        condition = f"one of {listed(named)} is among {listed(have) or 'nobody'}"
        definite = all(
            atom.many is False and self._best(atom).origin in ("field", "argument", "party")
            for atom in required.atoms
        )
        return Verdict("fails_unless", f"fails unless {condition}", named, condition, definite)

    def _best(self, atom: Atom) -> Term:
        """The most telling of the paths that equal this one."""
        order: dict[Origin, int] = {"field": 0, "argument": 0, "party": 0, "element": 1, "contract": 2}
        same = self._facts.closed(self._values).same(atom.term)
        return min(same, key=lambda term: order.get(term.origin, 3))

    def _split(self, atom: Atom) -> bool:
        """Whether a test with alternatives speaks of it, so that it may be one of several."""
        numbers = {term.number for term in self._facts.closed(self._values).same(atom.term)}
        return any(isinstance(fact, AnyOf) and numbers & set(mentioned(fact)) for fact in self._facts)

    def _tested(self, left: Iterable[Atom]) -> int | None:
        """The line of a test that speaks of a missing party and was not followed."""
        closed = self._facts.closed(self._values)
        numbers = {
            root.number
            for atom in left
            for term in closed.same(atom.term)
            for root in self._values.terms.roots(term)
            if root.head not in ("this",)
        }
        for fact in self._facts:
            if isinstance(fact, Unfollowed) and numbers & fact.mentions:
                return fact.line
        return None

    def _parties(self, atoms: Iterable[Atom]) -> tuple[Party, ...]:
        show = self._values.terms.show
        return tuple(
            Party(show(best), best.origin, atom.many, atom.how)
            for atom in atoms
            for best in [self._best(atom)]
        )


def shown(parties: PartySet, values: Evaluator) -> tuple[Party, ...]:
    """Parties in the words of the source text."""
    show = values.terms.show
    return (
        *(Party(show(atom.term), atom.term.origin, atom.many, atom.how) for atom in parties.atoms),
        *(Party(unknown.text[:_MAX_LABEL], "expression", None) for unknown in parties.opaque),
    )


def listed(parties: Iterable[Party]) -> str:
    """The paths in a row, as a sentence has them."""
    words = [party.path for party in parties]
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
