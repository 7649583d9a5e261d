"""What is known to hold at a place: equalities, memberships and tests, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from canton_mcp.daml import tree
from canton_mcp.daml.evaluate import Evaluator
from canton_mcp.daml.expressions import operands, spine
from canton_mcp.daml.paths import (
    Atom,
    Builtin,
    Closure,
    Collection,
    Env,
    Lazy,
    Origin,
    PartySet,
    Rec,
    Term,
    Terms,
    Tuple_,
    Value,
)
from canton_mcp.daml.record import record
from canton_mcp.daml.values import Budget, kind_of

__all__ = [
    "AnyOf",
    "Closed",
    "Differ",
    "Equal",
    "Fact",
    "Facts",
    "Member",
    "Reader",
    "Unfollowed",
    "elements",
    "missing",
    "speaks_of",
]

_MAX_FACTS = 300
_MAX_ALTERNATIVES = 8
_MAX_SPLITS = 6
_MAX_DEPTH = 12
_MAX_CANONICAL_DEPTH = 24
_MAX_SUPERSETS = 4
_MAX_PARTS = 200
_RANK: dict[Origin, int] = {
    "party": 0,
    "field": 1,
    "argument": 2,
    "element": 3,
    "contract": 4,
    "local": 5,
    "expression": 6,
}


@record
class Equal:
    """Two values are the same."""

    left: Term
    right: Term
    line: int


@record
class Differ:
    """Two values are not the same."""

    left: Term
    right: Term
    line: int


@record
class Member:
    """A value is one of a collection's, or (`all_of_it`) all values of a collection are."""

    value: Term
    of: Value
    line: int
    all_of_it: bool = False


@record
class AnyOf:
    """All facts of at least one of the alternatives hold."""

    alternatives: tuple[tuple[Fact, ...], ...]
    line: int


@record
class Unfollowed:
    """Something is tested, but what follows from it is not known: the paths that occur in it."""

    mentions: frozenset[int]
    line: int


Fact = Equal | Differ | Member | AnyOf | Unfollowed


class Facts:
    """Facts in force at a place; adding some leaves those of other places alone."""

    __slots__ = ("_closed", "added", "parent", "size")

    def __init__(self, parent: Facts | None = None, added: tuple[Fact, ...] = ()) -> None:
        self.parent = parent
        self.added = added
        self.size: int = len(added) + (parent.size if parent is not None else 0)
        self._closed: Closed | None = None

    def since(self, earlier: Facts) -> Iterator[Fact]:
        """Those that were added to earlier ones."""
        facts: Facts | None = self
        while facts is not None and facts is not earlier:
            yield from facts.added
            facts = facts.parent

    def with_facts(self, facts: Iterable[Fact]) -> Facts:
        """These facts and more; those beyond a bound are left out, which can only make less provable."""
        added = tuple(facts)[: max(0, _MAX_FACTS - self.size)]
        return Facts(self, added) if added else self

    @property
    def full(self) -> bool:
        """Whether some may have been left out."""
        return self.size >= _MAX_FACTS

    def __iter__(self) -> Iterator[Fact]:
        groups: list[tuple[Fact, ...]] = []
        facts: Facts | None = self
        while facts is not None:
            groups.append(facts.added)
            facts = facts.parent
        for group in reversed(groups):
            yield from group

    def closed(self, values: Evaluator) -> Closed:
        """What the equalities among them come to; it costs as many steps as there are facts."""
        if self._closed is None:
            values.budget.steps -= self.size
            self._closed = Closed(values.terms, tuple(self), values.budget)
        return self._closed


class Closed:
    """Equality classes of paths under facts: equal values have equal fields."""

    def __init__(self, terms: Terms, facts: Sequence[Fact], budget: Budget) -> None:
        self.facts = facts
        self._terms = terms
        self._budget = budget
        self._parent: dict[int, Term] = {}
        self._members: dict[int, list[Term]] = {}
        self._known: dict[int, Term] = {}
        equalities = [fact for fact in facts if isinstance(fact, Equal)]
        for _ in range(2 if len(equalities) > 1 else 1):  # a later equality may make an earlier one say more
            for fact in equalities:
                self._unite(fact.left, fact.right)

    def canonical(self, term: Term, depth: int = 0) -> Term:
        """The one term that stands for all that are equal to this one."""
        if not self._parent:
            return term
        known = self._known.get(term.number)
        if known is not None:
            return known
        if not term.parts:
            return self._root(term)
        if depth > _MAX_CANONICAL_DEPTH or not self._budget.take():
            return term
        inner = self._terms.canonical(term, lambda part: self.canonical(part, depth + 1))
        found = self._root(inner)
        self._known[term.number] = found
        return found

    def same(self, term: Term) -> list[Term]:
        """The terms known to equal this one, itself first."""
        root = self.canonical(term)
        return [
            term,
            *(one for one in (root, *self._members.get(root.number, ())) if one.number != term.number),
        ]

    def _root(self, term: Term) -> Term:
        while term.number in self._parent:
            term = self._parent[term.number]
        return term

    def _unite(self, left: Term, right: Term) -> None:
        one, other = self.canonical(left), self.canonical(right)
        if one.number == other.number:
            return
        if (_RANK[one.origin], one.number) > (_RANK[other.origin], other.number):
            one, other = other, one
        self._parent[other.number] = one
        group = self._members.setdefault(one.number, [])
        group += [other, *self._members.pop(other.number, [])]
        group += [term for term in (left, right) if term.number not in (one.number, other.number)]
        self._known.clear()


class Reader:
    """Turns conditions into facts."""

    def __init__(self, values: Evaluator) -> None:
        self._values = values

    def facts(
        self, condition: tree.Expression, env: Env, positive: bool = True, depth: int = 0
    ) -> tuple[Fact, ...]:
        """What follows when the condition holds, or (not `positive`) when it does not."""
        if depth > _MAX_DEPTH or not self._values.budget.take():
            return (Unfollowed(frozenset(), condition.place.line),)
        match condition:
            case tree.Typed(value=inner):
                return self.facts(inner, env, positive, depth + 1)
            case tree.TupleOf(items=(inner,)):
                return self.facts(inner, env, positive, depth + 1)
            case tree.Name():
                return self._name(condition, env, positive, depth)
            case tree.Operation(operator="&&" | "||" as operator):
                parts = [
                    self.facts(part, env, positive, depth + 1)
                    for part in operands(condition, frozenset({operator}))[:64]
                ]
                if (operator == "&&") == positive:
                    return tuple(fact for part in parts for fact in part)
                return _any(parts, condition.place.line)
            case tree.Operation(operator="==" | "/=" | "===" | "=/=" as operator, left=left, right=right):
                equal = (operator in ("==", "===")) == positive
                return self._equal(Lazy(left, env), Lazy(right, env), equal, condition.place.line)
            case tree.Operation(operator="<" | ">" | "<=" | ">="):
                return ()
            case tree.Operation(operator="<-", left=_, right=_):
                return ()
            case tree.Application():
                head, arguments = spine(condition)
                function = self._values.value(head, env)
                given, _ = self._values.arguments(arguments, env)
                found = self.holds(function, given, positive, condition.place.line, depth + 1)
                if found is not None:
                    return found
            case tree.If(condition=test, then=then, otherwise=otherwise) if otherwise is not None:
                return _any(
                    [
                        (
                            *self.facts(test, env, True, depth + 1),
                            *self.facts(then, env, positive, depth + 1),
                        ),
                        (
                            *self.facts(test, env, False, depth + 1),
                            *self.facts(otherwise, env, positive, depth + 1),
                        ),
                    ],
                    condition.place.line,
                )
            case tree.Case(subject=subject, alternatives=alternatives):
                value = self._values.value(subject, env)
                arms: list[tuple[Fact, ...]] = []
                for arm in alternatives[:_MAX_ALTERNATIVES]:
                    outcome, names = self._values.match(arm.pattern, value)
                    refuted = isinstance(arm.body, tree.Name) and arm.body.name == (
                        "False" if positive else "True"
                    )
                    if outcome != "no" and not refuted:
                        inner_env = Env(env.scope, env, names)
                        tests = [
                            fact
                            for guard in arm.guards
                            for fact in self.facts(guard, inner_env, True, depth + 1)
                        ]
                        arms.append((*tests, *self.facts(arm.body, inner_env, positive, depth + 1)))
                return _any(arms, condition.place.line)
            case tree.Let(bindings=bindings, body=body):
                return self.facts(body, self._values.bound(bindings, env), positive, depth + 1)
        return (Unfollowed(self._values.mentions(condition, env), condition.place.line),)

    def _name(self, name: tree.Name, env: Env, positive: bool, depth: int) -> tuple[Fact, ...]:
        if name.name in ("True", "otherwise", "False"):
            return ()
        found = env.find(name.name) if not name.qualifier else None
        if isinstance(found, Lazy):
            return self.facts(found.expression, found.env, positive, depth + 1)
        if found is None:
            declared = env.scope.function(name.name, name.qualifier)
            if declared is not None and len(declared[0].equations) == 1:
                equation = declared[0].equations[0]
                if not equation.parameters and not equation.guards:
                    return self.facts(equation.value, Env(declared[1]), positive, depth + 1)
        return (Unfollowed(self._values.mentions(name, env), name.place.line),)

    def holds(
        self, function: Value, given: tuple[Value | Lazy, ...], positive: bool, line: int, depth: int = 0
    ) -> tuple[Fact, ...] | None:
        """What follows when a function of these arguments is true; None when it is not followed."""
        if depth > _MAX_DEPTH:
            return None
        if isinstance(function, Closure):
            return self._closure(function, given, positive, line, depth)
        if not isinstance(function, Builtin):
            return None
        name = function.name
        sides = [one for one in (function.left, *function.given, *given, function.right) if one is not None]
        if function.left is not None or function.right is not None or name in ("==", "/="):
            if name in ("==", "/=") and len(sides) == 2:
                return self._equal(sides[0], sides[1], (name == "==") == positive, line)
            if name in ("<", ">", "<=", ">="):
                return ()
        match name, sides:
            case "not", [one]:
                return self._of(one, not positive, line, depth)
            case ".", [outer, inner, value]:
                applied = self._values.apply(self._values.force(inner), (value,), ())
                return self.holds(self._values.force(outer), (applied,), positive, line, depth + 1)
            case (("elem" | "member"), [one, many]):
                return self._member(one, many, positive, line)
            case (("notElem" | "notMember"), [one, many]):
                return self._member(one, many, not positive, line)
            case "isSubsetOf", [small, large]:
                return tuple(self._subset(small, self._values.force(large), line)) if positive else ()
            case (("all" | "any"), [test, over]):
                return self._quantified(name == "all", test, over, positive, line, depth)
            case (("and" | "or"), [over]):
                return self._listed(name == "and", over, positive, line, depth)
            case (("optional" | "maybe"), [default, test, over]):
                word = self._values.force(default)
                refuted = "False" if positive else "True"
                if isinstance(word, Rec) and word.constructor == refuted:
                    inner_value = self._values.some(self._values.force(over))
                    return self.holds(self._values.force(test), (inner_value,), positive, line, depth + 1)
                return None
            case (("null" | "isSome" | "isNone" | "allUnique"), [_]):
                return ()
        return None

    def _of(self, value: Value | Lazy, positive: bool, line: int, depth: int) -> tuple[Fact, ...] | None:
        if isinstance(value, Lazy):
            return self.facts(value.expression, value.env, positive, depth + 1)
        return self.holds(value, (), positive, line, depth + 1)

    def _closure(
        self, closure: Closure, given: tuple[Value | Lazy, ...], positive: bool, line: int, depth: int
    ) -> tuple[Fact, ...] | None:
        every = closure.given + given
        if len(every) != len(closure.equations[0].parameters):
            return None
        full = Closure(
            closure.name,
            closure.equations,
            closure.env,
            every,
            closure.types,
            closure.signature,
            closure.place,
        )
        arms: list[tuple[Fact, ...]] = []
        for body, env, (guards, refused) in self._values.entered(full):
            tests = [fact for guard in guards for fact in self.facts(guard, env, True, depth + 2)]
            tests += [fact for guard in refused for fact in self.facts(guard, env, False, depth + 2)]
            refuted = isinstance(body, tree.Name) and body.name == ("False" if positive else "True")
            if not refuted:
                arms.append((*tests, *self.facts(body, env, positive, depth + 2)))
        return _any(arms, line)

    def _equal(self, left: Value | Lazy, right: Value | Lazy, equal: bool, line: int) -> tuple[Fact, ...]:
        one, other = self._values.force(left), self._values.force(right)
        if not equal:
            return (Differ(self._values.term(one), self._values.term(other), line),)
        return tuple(self._equalities(one, other, line, 0))

    def equalities(self, left: Value, right: Value, line: int) -> tuple[Fact, ...]:
        """What follows when two values are the same."""
        return tuple(self._equalities(left, right, line, 0))

    def _equalities(self, left: Value, right: Value, line: int, depth: int) -> Iterator[Fact]:
        values = self._values
        for one, other in ((left, right), (right, left)):
            if depth > 3:
                break
            if isinstance(one, Rec) and one.constructor == "Some":
                yield from self._equalities(values.some(one), values.some(other), line, depth + 1)
                return
            if isinstance(one, Rec) and one.constructor and one.made and isinstance(other, Rec | Term):
                for entry in one.made.fields[:40]:
                    sides = values.get(one, entry.name), values.get(other, entry.name)
                    yield from self._equalities(*sides, line, depth + 1)
                return
            if isinstance(one, Rec) and one.base is not None and isinstance(other, Rec | Term):
                kind = kind_of(one) or kind_of(other)
                fields = values.fields_of(kind)[0] if kind is not None else ()
                for entry in fields[:40]:
                    sides = values.get(one, entry.name), values.get(other, entry.name)
                    yield from self._equalities(*sides, line, depth + 1)
                if fields:
                    return
            if isinstance(one, Tuple_):
                for number in range(1, len(one.items) + 1):
                    inner = values.get(other, f"_{number}")
                    yield from self._equalities(values.force(one.items[number - 1]), inner, line, depth + 1)
                return
            if isinstance(one, Collection):
                small, large = values.term(other), values.term(one)
                yield Member(small, one, line, True)
                yield Member(large, other, line, True)
                yield from self._subset(one, other, line)
                parts = one.parts
                if isinstance(other, Collection) and len(parts) == len(other.parts):
                    for mine, theirs in zip(parts, other.parts, strict=True):
                        if not mine.many and not theirs.many:
                            yield from self._equalities(
                                values.force(mine.value), values.force(theirs.value), line, depth + 1
                            )
                break
        yield Equal(values.term(left), values.term(right), line)

    def _member(self, one: Value | Lazy, many: Value | Lazy, positive: bool, line: int) -> tuple[Fact, ...]:
        value, over = self._values.force(one), self._values.force(many)
        if not positive:
            return ()
        if isinstance(value, Rec) and value.constructor == "Some":
            return (Member(self._values.term(self._values.some(value)), over, line),)
        return (Member(self._values.term(value), over, line),)

    def _subset(self, small: Value | Lazy, large: Value, line: int) -> Iterator[Fact]:
        """Everything in one collection is in another one."""
        inside = self._values.force(small)
        yield Member(self._values.term(inside), large, line, True)
        for part in inside.parts[:64] if isinstance(inside, Collection) else ():
            yield Member(self._values.term(self._values.force(part.value)), large, line, part.many)

    def _quantified(
        self, every: bool, test: Value | Lazy, over: Value | Lazy, positive: bool, line: int, depth: int
    ) -> tuple[Fact, ...] | None:
        function, whole = self._values.force(test), self._values.force(over)
        if isinstance(whole, Collection) and not any(part.many for part in whole.parts):
            arms = [
                self.holds(function, (part.value,), positive, line, depth + 1)
                for part in whole.parts[:_MAX_ALTERNATIVES]
            ]
            if any(arm is None for arm in arms) or len(whole.parts) > _MAX_ALTERNATIVES:
                return None
            facts = [arm for arm in arms if arm is not None]
            return tuple(fact for arm in facts for fact in arm) if every == positive else _any(facts, line)
        if every == positive and isinstance(whole, Collection) and len(whole.parts) > 1:
            if len(whole.parts) > _MAX_ALTERNATIVES:
                return None
            split = [
                self._quantified(every, test, part.value, positive, line, depth + 1)
                if part.many
                else self.holds(function, (part.value,), positive, line, depth + 1)
                for part in whole.parts
            ]
            known = [arm for arm in split if arm is not None]
            return tuple(fact for arm in known for fact in arm) if len(known) == len(split) else None
        if every == positive:  # every element passes, so any one of them does
            element = self._values.element(whole)
            found = self.holds(function, (element,), positive, line, depth + 1)
            if found is None:
                return None
            lifted: list[Fact] = []
            numbers = elements(self._values.term(element))
            for fact in found:
                if not speaks_of(fact, numbers):
                    continue  # it need not hold: there may be no element
                lifted.append(fact)
                if (
                    isinstance(fact, Member) and fact.value.number == element.number
                    if isinstance(element, Term)
                    else False
                ):
                    assert isinstance(fact, Member)
                    lifted.append(Member(self._values.term(whole), fact.of, line, True))
                if isinstance(fact, Equal) and isinstance(element, Term):
                    both = (fact.left, fact.right)
                    if any(side.number == element.number for side in both):
                        other = both[0] if both[1].number == element.number else both[1]
                        lifted.append(Member(self._values.term(whole), other, line, True))
            return tuple(lifted)
        witness = self._values.terms.make("apply", "one of", (self._values.term(whole),), None, within=whole)
        found = self.holds(function, (witness,), positive, line, depth + 1)
        if found is None:
            return None
        return (Member(witness, whole, line), *found)

    def _listed(
        self, every: bool, over: Value | Lazy, positive: bool, line: int, depth: int
    ) -> tuple[Fact, ...] | None:
        whole = self._values.force(over)
        if not isinstance(whole, Collection) or any(part.many for part in whole.parts):
            return None
        arms = [self._of(part.value, positive, line, depth) or () for part in whole.parts[:64]]
        if every == positive:
            return tuple(fact for arm in arms for fact in arm)
        return _any(arms, line)


def _any(alternatives: Sequence[tuple[Fact, ...]], line: int) -> tuple[Fact, ...]:
    """At least one of the alternatives: nothing follows if one of them says nothing."""
    if len(alternatives) == 1:
        return alternatives[0]
    if not alternatives:
        return ()
    if len(alternatives) > _MAX_ALTERNATIVES:
        mentions = {number for facts in alternatives for fact in facts for number in mentioned(fact)}
        return (Unfollowed(frozenset(mentions), line),)
    return (AnyOf(tuple(alternatives), line),)


def speaks_of(fact: Fact, numbers: set[int]) -> bool:
    """Whether a path of a fact leads through one of these values."""
    match fact:
        case Equal(left=left, right=right) | Differ(left=left, right=right):
            return _leads(left, numbers) or _leads(right, numbers)
        case Member(value=value):
            return _leads(value, numbers)
        case AnyOf(alternatives=alternatives):
            return all(any(speaks_of(one, numbers) for one in facts) for facts in alternatives)
        case Unfollowed():
            return True


def elements(term: Term) -> set[int]:
    """The numbers of an element of a collection, or of those that it is put together from."""
    found, waiting = {term.number}, [term]
    while waiting and len(found) < _MAX_PARTS:
        one = waiting.pop()
        if one.head == "made":
            waiting += one.parts
        elif one.head == "element":
            found.add(one.number)
    return found


def _leads(term: Term, numbers: set[int]) -> bool:
    waiting, seen = [term], 0
    while waiting and seen < _MAX_PARTS:
        one = waiting.pop()
        seen += 1
        if one.number in numbers:
            return True
        waiting += one.parts
    return False


def mentioned(fact: Fact) -> Iterator[int]:
    """The numbers of the paths that a fact speaks of."""
    match fact:
        case Equal(left=left, right=right) | Differ(left=left, right=right):
            yield left.number
            yield right.number
        case Member(value=value):
            yield value.number
        case AnyOf(alternatives=alternatives):
            for facts in alternatives:
                for inner in facts:
                    yield from mentioned(inner)
        case Unfollowed(mentions=mentions):
            yield from mentions


def missing(required: PartySet, available: PartySet, facts: Facts, values: Evaluator) -> list[Atom]:
    """The required parties that do not follow to be among the available ones."""
    closed = facts.closed(values)
    left = _uncovered(required, available, closed, values)
    if not left:
        return []
    splits = [fact for fact in closed.facts if isinstance(fact, AnyOf)][-_MAX_SPLITS:]
    splits += _conditional([*left, *available.atoms], values)
    rest = PartySet(left)
    for number, split in enumerate(splits[:_MAX_SPLITS]):
        if _in_all_cases(rest, available, facts, split, splits[:number] + splits[number + 1 :], values):
            return []
    return left


def _in_all_cases(
    required: PartySet,
    available: PartySet,
    facts: Facts,
    split: AnyOf,
    further: Sequence[AnyOf],
    values: Evaluator,
) -> bool:
    """Whether nothing is missing in any case of a test with alternatives; cases that cannot be do not count."""
    for alternative in split.alternatives:
        case = facts.with_facts(alternative)
        closed = case.closed(values)
        if _contradictory(closed):
            continue
        left = _uncovered(required, available, closed, values)
        if left and not any(
            _in_all_cases(PartySet(left), available, case, other, (), values)
            for other in further[:_MAX_SPLITS]
        ):
            return False
    return True


def _contradictory(closed: Closed) -> bool:
    return any(
        isinstance(fact, Differ) and closed.canonical(fact.left).number == closed.canonical(fact.right).number
        for fact in closed.facts
    )


def _conditional(atoms: Iterable[Atom], values: Evaluator) -> list[AnyOf]:
    """For parties that depend on a condition: what holds in either case."""
    found: list[AnyOf] = []
    reader = Reader(values)
    for atom in atoms:
        condition = values.conditions.get(atom.term.number)
        if condition is not None and len(found) < _MAX_SPLITS:
            test, env, then, otherwise = condition
            line = test.place.line
            found.append(
                AnyOf(
                    (
                        (*reader.facts(test, env), Equal(atom.term, values.term(then), line)),
                        (*reader.facts(test, env, False), Equal(atom.term, values.term(otherwise), line)),
                    ),
                    line,
                )
            )
    return found


def _uncovered(required: PartySet, available: PartySet, closed: Closed, values: Evaluator) -> list[Atom]:
    values.budget.steps -= len(required.atoms) + len(available.atoms)
    have = {closed.canonical(atom.term).number for atom in available.atoms}
    for atom in available.atoms:  # what one of several sets has in all cases is there
        cases = [
            {closed.canonical(one.term).number for one in case.atoms}
            for case in values.alternatives.get(atom.term.number, ())
        ]
        if cases:
            have |= set.intersection(*cases)
    for atom in available.atoms:  # of 'map (.party) shares' the party of any one of them is there
        match atom.term:
            case Term(head="apply", name="map", parts=(over, image)) if _of_element(image, over):
                have.add(closed.canonical(image).number)
    return [atom for atom in required.atoms if not _covered(atom, have, closed, values, 0)]


def _of_element(image: Term, over: Term) -> bool:
    """Whether it is made of any one element of a collection; what is not may belong to no element at all."""
    while over.head == "apply" and over.name == "map" and len(over.parts) == 2:
        over = over.parts[0]
    waiting, seen = [image], 0
    while waiting and seen < _MAX_PARTS:
        one, seen = waiting.pop(), seen + 1
        if one.head == "element" and one.parts[:1] and one.parts[0].number == over.number:
            return True
        waiting += one.parts
    return False


def _covered(atom: Atom, have: set[int], closed: Closed, values: Evaluator, depth: int) -> bool:
    root = closed.canonical(atom.term)
    if root.number in have:
        return True
    if depth >= _MAX_SUPERSETS or not values.budget.take():
        return False
    sets = values.alternatives.get(atom.term.number)
    if sets is not None and all(
        not one.opaque and all(_covered(inner, have, closed, values, depth + 1) for inner in one.atoms)
        for one in sets
    ):
        return True
    larger: list[Value] = [one.within for one in closed.same(atom.term) if one.within is not None]
    for fact in closed.facts:
        if (
            isinstance(fact, Member)
            and (atom.many is not True or fact.all_of_it)
            and closed.canonical(fact.value).number == root.number
        ):
            larger.append(fact.of)
    for whole in larger[:_MAX_FACTS]:
        inside = values.parties(whole)
        nothing = isinstance(whole, Collection) and not whole.parts
        if (inside.atoms or nothing) and not inside.opaque:
            inner = (one for one in inside.atoms if one.term.number != atom.term.number)
            known = len(inside.atoms) - sum(_covered(one, have, closed, values, depth + 1) for one in inner)
            if not known:
                return True
    return False
