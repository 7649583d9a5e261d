"""Whether required parties are among the available ones: proved, failing unless, or unknown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from canton_mcp.daml import tree
from canton_mcp.daml.actions import ActionKind, Party, Verdict
from canton_mcp.daml.evaluate import Evaluator
from canton_mcp.daml.facts import AnyOf, Facts, Unfollowed, mentioned, missing, speaks_of
from canton_mcp.daml.paths import Atom, Origin, PartySet, Term
from canton_mcp.daml.record import record
from canton_mcp.daml.scope import Kind, expanded, is_party

__all__ = ["Judge", "listed", "shown"]

_MAX_LABEL = 60
_PLAIN = frozenset(
    {"Text", "Int", "Decimal", "Numeric", "Bool", "Date", "Time", "RelTime", "ContractId", "()", "BigNumeric"}
)
"""Types that hold no party."""
_EXHAUSTED = "the analysis has reached its bounds here"


@record
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

        A party inside of a record is compared only with parties of the same record, unless it is the only one
        there; and an argument that picks a key or a controller is the caller's business: such
        code works when roles coincide.
        """
        best = self._best(atom)
        if atom.many is not False or self._split(atom):
            return False
        if best.origin == "party":
            return all(other.term.origin == "party" for other in self._available.atoms)
        if best.origin == "argument" and kind not in ("create", "createAndExercise"):
            return False
        if best.head == "element" and kind in (
            "create",
            "createAndExercise",
        ):  # every one of a list of one's own
            whole = best.parts[0]
            if any(speaks_of(fact, {whole.number}) for fact in self._facts):
                return False
            return whole.head == "argument" or (whole.head == "get" and whole.parts[0].head == "this")
        if best.origin not in ("field", "argument") or best.head not in ("get", "argument"):
            return False
        if best.head == "argument" or best.parts[0].head == "this":
            return True
        if best.parts[0].head == "argument":
            return self._alone(best)
        return any(
            other.term.head == "get" and other.term.parts[0].number == best.parts[0].number
            for other in self._available.atoms
        )

    def _alone(self, path: Term) -> bool:
        """Whether a field of an argument is the only party of a record that is nobody's contract."""
        kind = expanded(path.parts[0].kind)
        if kind is None or kind.scope.owner(kind.name) is not None:
            return False
        if kind.type.head == "()":
            inside = [Kind(one, kind.scope) for one in kind.type.arguments]
        else:
            fields, scope = self._values.fields_of(kind)
            inside = [Kind(one.type, scope) for one in fields]
        parties = [one for one in inside if is_party(one)]
        return len(parties) == 1 and all(one in parties or not _bears_parties(one) for one in inside)

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
                if atom.many is None or atom.term.origin in ("expression", "local")
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
        every = len(left) > 1 or left[0].many
        condition = f"{names} {'are all' if every else 'is'} {_among(have)}"
        several = any(atom.many and not _optional(atom) for atom in self._available.atoms)
        definite = not several and any(self._definite(kind, atom) for atom in left)
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
            atom.many is None or atom.term.origin == "expression" for atom in self._available.atoms
        ):
            return Verdict("unknown", "whether a stakeholder is available hangs on data", named)
        if any(atom.term.origin in ("expression", "local") for atom in required.atoms):
            return Verdict(
                "unknown", "the stakeholders of the contract cannot all be told from this text", named
            )
        line = self._tested(required.atoms)
        if line is not None:
            return Verdict("unknown", f"line {line} tests it in a way that is not followed here", named)
        condition = f"one of {listed(named)} is {_among(have)}"
        definite = not any(atom.many for atom in self._available.atoms) and all(
            atom.many is False and _plain(self._best(atom)) for atom in required.atoms
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


def _among(have: tuple[Party, ...]) -> str:
    """That parties are there: ``owner`` where there is just that one."""
    if len(have) == 1 and have[0].many is False:
        return have[0].path
    return f"among {listed(have) or 'nobody'}"


def _optional(atom: Atom) -> bool:
    """Whether it is an optional party of the own contract."""
    kind, term = expanded(atom.term.kind), atom.term
    return (
        kind is not None
        and kind.type.head == "Optional"
        and term.head == "get"
        and term.parts[0].head == "this"
    )


def _plain(path: Term) -> bool:
    """Whether it is a field of the own contract, an argument, or a party that a script allocates."""
    return path.origin in ("field", "party") or path.head == "argument"


def _bears_parties(kind: Kind) -> bool:
    """Whether a field holds several parties, or a record of its own, which may."""
    plain = expanded(kind)
    if plain is None or plain.type.head in _PLAIN:
        return False
    return not (plain.type.arguments and not _mentions_party(plain.type))


def _mentions_party(written: tree.Type) -> bool:
    return written.head == "Party" or any(_mentions_party(one) for one in written.arguments)


def shown(parties: PartySet, values: Evaluator) -> tuple[Party, ...]:
    """Parties in the words of the source text."""
    show = values.terms.show
    named = [Party(show(atom.term), atom.term.origin, atom.many, atom.how) for atom in parties.atoms]
    named += [Party(unknown.text[:_MAX_LABEL], "expression", None) for unknown in parties.opaque]
    return tuple(named)


def listed(parties: Iterable[Party]) -> str:
    """The paths in a row, as a sentence has them."""
    words = [party.path for party in parties]
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
