"""Functions that act: helpers, methods, loops, and the library's ways to run actions."""

from __future__ import annotations

from dataclasses import replace

from canton_mcp.daml import tree
from canton_mcp.daml.acting import Acting, typed
from canton_mcp.daml.actions import Call
from canton_mcp.daml.branches import Arm
from canton_mcp.daml.facts import Facts, elements, speaks_of
from canton_mcp.daml.paths import (
    BOTTOM,
    UNIT,
    Bottom,
    Builtin,
    Choices,
    Closure,
    Collection,
    Contract,
    Deferred,
    Env,
    Face,
    Lazy,
    Part,
    PartySet,
    Rec,
    Term,
    Unknown,
    Value,
)
from canton_mcp.daml.prelude import ABORTS, ACTIONS, COMMANDS, EFFECTS, PARTIES, SUBMISSIONS
from canton_mcp.daml.scope import Kind, expanded
from canton_mcp.daml.values import kind_of
from canton_mcp.daml.verdicts import listed, shown

__all__ = ["MAX_NESTED", "Calls", "result_type"]

_MAX_INLINED = 5
MAX_NESTED = 40
_MAX_UNROLLED = 4
_QUIET = (
    frozenset(
        {
            "passTime",
            "setTime",
            "createUser",
            "createUserIn",
            "validateUserId",
            "grantUserRights",
            "listKnownParties",
        }
    )
    | frozenset(
        {
            "getTime",
            "debug",
            "debugRaw",
            "trace",
            "traceRaw",
            "assertDeadlineExceeded",
            "assertWithinDeadline",
        }
    )
    | frozenset(
        {"isLedgerTimeLT", "isLedgerTimeLE", "isLedgerTimeGT", "isLedgerTimeGE", "cantonTime", "liftA2"}
    )
)
_PARTY = tree.Type("Party", (), "Party")


class Calls(Acting):
    """Runs functions with their arguments."""

    def _run_value(self, value: Value, place: tree.Place, env: Env) -> Value:
        """Runs a value if it is an action."""
        if self._nested > MAX_NESTED:
            return Unknown("an action beyond the bounds of the analysis")
        match value:
            case Deferred(expression=expression, env=inner) if expression is not None and inner is not None:
                return self._run(expression, inner)
            case Deferred(function=function, given=given) if function is not None:
                self._nested += 1
                if isinstance(function, Deferred):
                    function = self._run_value(function, place, env)
                result = self._apply(function, given, (), place, env)
                self._nested -= 1
                return result
            case Choices(values=several) if any(isinstance(one, Deferred | Closure) for one in several):
                before, results = self._facts, []
                for one in several:
                    self._facts = before
                    results.append(self._run_value(one, place, env))
                self._facts = before
                return self._values.one_of(results, (), env)
            case Closure() if not value.equations[0].parameters:
                return self._call(value, place, env)
            case Builtin(name=name) if not value.given and name in ("getTime",):
                return self._values.terms.fresh("time")
        return value

    def _apply(
        self,
        function: Value,
        given: tuple[Value | Lazy, ...],
        kinds: tuple[Kind, ...],
        place: tree.Place,
        env: Env,
    ) -> Value:
        """Runs a function with arguments."""
        values = self._values
        match function:
            case Closure():
                arity = len(function.equations[0].parameters)
                every = function.given + given
                if len(every) < arity:
                    return function.with_given(every, function.types + kinds)
                full = function.with_given(every[:arity], function.types + kinds)
                result = self._call(full, place, env)
                return self._apply(result, every[arity:], (), place, env) if len(every) > arity else result
            case Builtin():
                one = function.with_given(function.given + given, function.types + kinds)
                if one.methods:
                    method = values.dispatched(one)
                    if method is not None:
                        return self._apply(method, one.given, (), place, env)
                    if one.name not in EFFECTS:
                        return self._foreign(values.terms.make("apply", one.name), one.given, place, env)
                return self._builtin(one, function.place or place, env)
            case Choices(values=several) if any(
                isinstance(one, Deferred | Closure | Builtin) for one in several
            ):
                before, results = self._facts, []
                for choice in several:
                    self._facts = before
                    results.append(self._apply(choice, given, kinds, place, env))
                self._facts = before
                return values.one_of(results, (), env)
            case Term(head="apply"):
                return self._foreign(function, given, place, env)
            case Rec() | Bottom():
                return self._run_value(values.apply(function, given, kinds), place, env)
        return self._foreign(function, given, place, env)

    def _call(self, closure: Closure, place: tree.Place, env: Env) -> Value:
        """Runs a function that is declared in the text."""
        values = self._values
        start = closure.equations[0].place.start
        for equation in closure.equations:
            self._reached.add(id(equation))
        named = closure.place is not None
        key = hash((id(closure.env.scope), start))
        reason = ""
        if key in self._active and (
            named or self._active.count(key) > _MAX_UNROLLED or closure.name != "a function"
        ):
            reason = "it calls itself"
        elif named and self._helpers >= _MAX_INLINED and self._acts(closure):
            reason = f"it is reached through more than {_MAX_INLINED} functions"
        if reason:
            if self._acts(closure):
                self._gap(place, closure.name, reason)
            self._mention(closure.given, place)
            return self._values.terms.fresh(closure.name, result_type(_returned(closure)))
        self._active = (*self._active, key)
        via = self._via
        if named:
            self._helpers += 1
            self._via = (*via, Call(closure.name, place))
        bodies = values.entered(closure)
        try:
            if len(bodies) == 1 and not bodies[0][2][0]:
                result = self._run(bodies[0][0], bodies[0][1])
            else:
                arms = []
                for body, inner, (guards, refused) in bodies:
                    facts = [fact for guard in guards for fact in self._reader.facts(guard, inner)]
                    facts += [fact for guard in refused for fact in self._reader.facts(guard, inner, False)]
                    text = " | ".join(self._text(guard, inner) for guard in guards)
                    label = f"{closure.name} | {text}" if text else f"an equation of {closure.name}"
                    arms.append(Arm(label, body, inner, tuple(facts)))
                result = self._arms(arms, (), env, ())
        finally:
            self._active = self._active[:-1]
            self._via = via
            if named:
                self._helpers -= 1
        return typed(result, result_type(_returned(closure)))

    def _acts(self, closure: Closure) -> bool:
        """Whether a function may act on the ledger, by the type it declares."""
        result = _returned(closure)
        if result is None:
            return True
        head = result.type.head
        return head in ("Update", "m", "f", "Action") or not head[:1].isupper()

    def _foreign(
        self, function: Value, given: tuple[Value | Lazy, ...], place: tree.Place, env: Env
    ) -> Value:
        """A function that the text does not have: what is given to it may be run by it, or tested."""
        name = function.name if isinstance(function, Term) else "a function"
        if isinstance(function, Deferred):  # an action that gives a function
            result = self._run_value(function, place, env)
            return self._apply(result, given, (), place, env) if not isinstance(result, Deferred) else result
        if name == "either" and len(given) == 3:
            return self._either(given, place, env)
        inner_result: Value | None = None
        for one in given:
            value = self._values.force(one)
            label = f"given to {name}"
            if isinstance(value, Deferred):
                outer, self._branch = self._branch, (*self._branch, label)
                inner_result = self._run_value(value, place, env)
                self._branch = outer
            elif isinstance(value, Closure) and self._nested < MAX_NESTED:
                missing_count = len(value.equations[0].parameters) - len(value.given)
                blank = tuple(self._values.terms.fresh("value") for _ in range(max(missing_count, 0)))
                outer, self._branch = self._branch, (*self._branch, label)
                before = self._facts
                self._apply(value, blank, (), place, env)
                self._facts = before
                self._branch = outer
        if name in ("queryContractId", "queryInterfaceContractId") and len(given) == 2:
            return Rec("Some", {"_1": self._values.payload(self._values.force(given[1]))})
        if name in _QUIET or name.startswith(("debug", "query")):
            return inner_result if inner_result is not None else self._values.terms.fresh(name)
        self._mention(given, place)
        if isinstance(function, Term) and function.head == "apply" and not name[:1].isalpha():
            return self._values.terms.fresh(name)
        several = name in env.scope.class_methods
        self._gap(
            place, name, "which instance is meant cannot be told" if several else "it is not in this text"
        )
        return self._checked_fetch(name, given, place)

    def _checked_fetch(self, name: str, given: tuple[Value | Lazy, ...], place: tree.Place) -> Value:
        """The result of a function that is not in the text: that of a fetch, if it is called so."""
        values = self._values
        if not name.startswith("fetch") or not given:
            return values.terms.fresh(name)
        contract = next(
            (
                one
                for one in (values.force(value) for value in reversed(given))
                if isinstance(one, Term) and one.kind is not None and one.kind.type.head == "ContractId"
            ),
            None,
        )
        if contract is None:
            return values.terms.fresh(name)
        return values.payload(contract)

    def _either(self, given: tuple[Value | Lazy, ...], place: tree.Place, env: Env) -> Value:
        values = self._values
        subject = values.force(given[2])
        before, results = self._facts, []
        for one, side in ((given[0], "Left"), (given[1], "Right")):
            self._facts = before
            outer, self._branch = self._branch, (*self._branch, f"either: {side}")
            inner = values.get(subject, f"{side}1")
            results.append(self._apply(values.force(one), (inner,), (), place, env))
            self._branch = outer
        self._facts = before
        return values.one_of([one for one in results if not isinstance(one, Bottom)], (), env)

    def _builtin(self, function: Builtin, place: tree.Place, env: Env) -> Value:
        name, given = function.name, function.given
        values = self._values
        if name in COMMANDS:
            return self._action(replace(function, name=COMMANDS[name]), place, env)
        if name in PARTIES:
            return self._values.terms.party(self._hint(given), Kind(_PARTY, env.scope))
        if name in SUBMISSIONS:
            return self._submit(function, place, env)
        sections = function.left is not None or function.right is not None
        if name in ACTIONS and not sections:
            return self._action(function, place, env)
        if name == ".":
            if len(given) < 3:
                return function
            passed = values.apply(values.force(given[1]), (given[2],), ())  # an action is passed on, not run
            return self._apply(values.force(given[0]), (passed, *given[3:]), (), place, env)
        if sections:
            both = [one for one in (function.left, *given, function.right) if one is not None]
            if len(both) == 2 and name in (">>=", "=<<"):
                first, then = both if name == ">>=" else reversed(both)
                result = self._run_lazy(first, place, env)
                return self._apply(values.force(then), (result,), (), place, env)
            if len(both) == 2 and name == "$":
                return self._apply(values.force(both[0]), (both[1],), (), place, env)
            if name[:1].isalpha() and len(both) == 2:
                word = tree.Name(place, name.rpartition(".")[2], name.rpartition(".")[0])
                return self._apply(values.value(word, env), tuple(both), (), place, env)
            return self._run_value(values.apply(function, (), ()), place, env)
        if name in ABORTS:
            return BOTTOM
        match name, len(given):
            case ("assert", 1) | ("assertMsg", 2) | ("require", 2):
                return self._assert(given[-1], place)
            case (("pure" | "return"), 1):
                return values.force(given[0])
            case (("void" | "discard"), 1):
                result = self._run_lazy(given[0], place, env)
                return BOTTOM if isinstance(result, Bottom) else UNIT
            case ("script" | "scenario", 1):
                return self._run_lazy(given[0], place, env)
            case ("join", 1):
                return self._run_value(self._run_lazy(given[0], place, env), place, env)
            case (("when" | "unless"), 2):
                return self._when(name == "when", given[0], given[1], place, env)
            case (("forA" | "forA_" | "forM" | "forM_" | "for" | "for_" | "whenSome" | "forOptional"), 2):
                return self._loop(given[1], given[0], name, place, env)
            case (("mapA" | "mapA_" | "mapM" | "mapM_" | "traverse" | "traverse_" | "filterA"), 2):
                return self._loop(given[0], given[1], name, place, env)
            case (("sequence" | "sequence_"), 1):
                whole = values.force(given[0])
                if isinstance(whole, Collection) and not any(part.many for part in whole.parts):
                    for part in whole.parts:
                        self._run_lazy(part.value, place, env)
                    return values.terms.fresh(name)
                return self._foreign(values.terms.make("apply", name), given, place, env)
            case (("foldlA" | "foldlM" | "foldM" | "foldrA"), 3):
                return self._fold(name, given, place, env)
            case (("zipWithA" | "zipWithA_"), 3):
                parts = tuple(values.element(values.force(one)) for one in given[1:])
                result = self._apply(values.force(given[0]), parts, (), place, env)
                return values.terms.make(
                    "apply", "map", (values.term(values.force(given[1])), values.term(result))
                )
            case (("replicateA" | "replicateA_"), 2):
                return self._run_lazy(given[1], place, env)
            case (("optional" | "maybe"), 3):
                return self._optional(given, place, env)
            case (("fmap" | "map"), 2):
                inner = values.force(given[1])
                if isinstance(inner, Deferred):
                    return values.apply(values.force(given[0]), (self._run_value(inner, place, env),), ())
            case (("either"), 3):
                return self._either(given, place, env)
        if len(given) == 0:
            return self._run_value(function, place, env)
        interface = values.face(name, given[0]) if given else None
        if interface is not None or env.scope.method(name) is not None:
            return self._method(function, interface, place, env)
        result = values.apply(replace(function, given=()), given, ())
        return self._run_value(result, place, env) if not _same_call(result, function) else result

    def _hint(self, given: tuple[Value | Lazy, ...]) -> str:
        value = self._values.force(given[0]) if given else None
        return value.name.strip('"') if isinstance(value, Term) and value.head == "literal" else "party"

    def _submit(self, function: Builtin, place: tree.Place, env: Env) -> Value:
        """Commands of a script: the authority is that of the parties who act, readers have none."""
        who, count = SUBMISSIONS[function.name]
        if len(function.given) < count:
            return function
        available = self._acting(self._values.force(function.given[who]))
        kept = (self._available, self._facts, self._branch, self._submission)
        self._available, self._submission = available, function.name
        names = listed(shown(available, self._values))
        self._branch = (*self._branch, f"{function.name} {names}")
        result = self._run_lazy(function.given[-1], place, env)
        self._available, self._facts, self._branch, self._submission = kept
        if "MustFail" in function.name or function.name.startswith("try") or isinstance(result, Bottom):
            return self._values.terms.fresh(f"result of {function.name}")
        return result

    def _acting(self, value: Value) -> PartySet:
        """The parties who act: all, or those of ``actAs`` among submission options."""
        found = PartySet()
        parts = (
            [self._values.force(part.value) for part in value.parts] if isinstance(value, Collection) else []
        )
        if isinstance(value, Rec):
            if value.constructor == "actAs":
                found = self._values.parties(value.fields["_1"])
        elif any(isinstance(part, Rec) for part in parts):
            for part in parts:
                found.join(self._acting(part))
        else:
            found = self._values.parties(value)
        found.name("actAs")
        return found

    def _run_lazy(self, value: Value | Lazy, place: tree.Place, env: Env) -> Value:
        if isinstance(value, Lazy):
            return self._run(value.expression, value.env)
        return self._run_value(value, place, env)

    def _method(self, function: Builtin, face: Face | None, place: tree.Place, env: Env) -> Value:
        """An interface method: that of the instance, if the template is known."""
        values = self._values
        found = values.implementation(face, function.name) if face is not None else None
        if found is None:
            self._mention(function.given[1:], place)
            owner = env.scope.method(function.name)
            declared = owner.interface.methods if owner is not None and owner.interface is not None else ()
            kind = next((entry.type for entry in declared if entry.name == function.name), None)
            result = kind
            while result is not None and result.head == "->" and result.arguments:
                result = result.arguments[-1]
            if result is None or result.head == "Update" or not result.head[:1].isupper():
                self._gap(place, function.name, "each template implements this method its own way")
            made = values.apply(replace(function, given=()), function.given, ())
            if result is not None and result.head == "Update" and owner is not None:
                return values.terms.fresh(function.name, result_type(Kind(result, owner.scope)))
            return made
        closure, _ = found
        given = function.given[1:]
        arity = len(closure.equations[0].parameters)
        if len(given) < arity:
            return replace(closure, given=given)
        self._helpers -= 1  # dispatch is no level of its own
        try:
            result_value = self._call(replace(closure, given=given[:arity]), place, env)
        finally:
            self._helpers += 1
        rest = given[arity:]
        return self._apply(result_value, rest, (), place, env) if rest else result_value

    def _when(
        self, positive: bool, condition: Value | Lazy, body: Value | Lazy, place: tree.Place, env: Env
    ) -> Value:
        holds = self._condition(condition, positive, place)
        fails = self._condition(condition, not positive, place)
        text = self._lazy_text(condition)
        before = self._facts
        if self._impossible(holds):
            return UNIT
        self._facts = before.with_facts(holds)
        self._tests += holds
        outer, self._branch = self._branch, (*self._branch, f"{'when' if positive else 'unless'} {text}")
        result = self._run_lazy(body, place, env)
        self._branch = outer
        if isinstance(result, Bottom):
            self._facts = before
            self._learn(fails)
        else:
            self._facts = before
        return UNIT

    def _assert(self, condition: Value | Lazy, place: tree.Place) -> Value:
        if isinstance(condition, Lazy):
            expression = condition.expression
            if isinstance(expression, tree.Name) and expression.name == "False":
                return BOTTOM
        facts = self._condition(condition, True, place)
        if self._scripted and self._impossible(facts):
            return BOTTOM
        self._learn(facts)
        return UNIT

    def _loop(
        self, function: Value | Lazy, over: Value | Lazy, name: str, place: tree.Place, env: Env
    ) -> Value:
        """Runs a function for any one element; what holds after it then holds for every element."""
        values = self._values
        whole = values.force(over)
        step = values.force(function)
        if isinstance(whole, Rec) and whole.constructor == "None":
            return UNIT
        if isinstance(whole, Rec) and whole.constructor == "Some":
            return self._apply(step, (values.some(whole),), (), place, env)
        few = isinstance(whole, Collection) and len(whole.parts) <= _MAX_UNROLLED
        if few and isinstance(whole, Collection) and not any(part.many for part in whole.parts):
            results = [self._apply(step, (part.value,), (), place, env) for part in whole.parts]
            return UNIT if name.endswith("_") else Collection(tuple(Part(one, False) for one in results))
        kind = expanded(kind_of(whole))
        optional = kind is not None and kind.type.head == "Optional"
        element = values.some(whole) if optional else values.element(whole)
        outer, self._branch = self._branch, (*self._branch, f"for each of {self._lazy_text(over)}")
        values.looping(whole, 1)
        before = self._facts
        result = self._apply(step, (element,), (), place, env)
        values.looping(whole, -1)
        self._branch = outer
        held = () if isinstance(result, Bottom) else tuple(self._facts.since(before))
        numbers = elements(values.term(element))  # what does not speak of it need not hold: there may be none
        self._facts = before.with_facts(fact for fact in reversed(held) if speaks_of(fact, numbers))
        if isinstance(result, Bottom) or name.endswith("_"):
            return UNIT
        return values.terms.make("apply", "map", (values.term(whole), values.term(result)))

    def _fold(self, name: str, given: tuple[Value | Lazy, ...], place: tree.Place, env: Env) -> Value:
        values = self._values
        start, whole = values.force(given[1]), values.force(given[2])
        element = values.element(whole)
        kind = kind_of(start)
        if isinstance(start, Contract):
            inner = kind_of(start.payload)
            if inner is not None:
                kind = Kind(
                    tree.Type("ContractId", (inner.type,), f"ContractId {inner.type.text}"), inner.scope
                )
        so_far = values.terms.fresh("accumulated", kind)
        outer, self._branch = self._branch, (*self._branch, f"for each of {self._lazy_text(given[2])}")
        before = self._facts
        values.looping(whole, 1)
        both = (element, so_far) if name == "foldrA" else (so_far, element)
        self._apply(values.force(given[0]), both, (), place, env)
        values.looping(whole, -1)
        self._facts = before
        self._branch = outer
        return values.terms.fresh("accumulated", kind)

    def _optional(self, given: tuple[Value | Lazy, ...], place: tree.Place, env: Env) -> Value:
        values = self._values
        subject = values.force(given[2])
        text = self._lazy_text(given[2])
        results: list[Value] = []
        before = self._facts
        after: list[Facts] = []
        known = subject.constructor if isinstance(subject, Rec) else ""
        outer = self._branch
        if known != "Some":
            self._branch = (*outer, f"{text} is None")
            results.append(self._run_lazy(given[0], place, env))
            after.append(self._facts)
        if known != "None":
            self._facts = before
            self._branch = (*outer, f"{text} is Some")
            results.append(self._apply(values.force(given[1]), (values.some(subject),), (), place, env))
            after.append(self._facts)
        self._branch = outer
        going = [facts for facts, one in zip(after, results, strict=True) if not isinstance(one, Bottom)]
        self._facts = going[0] if len(going) == 1 else before
        return values.one_of(results, (), env)


def _same_call(result: Value, function: Builtin) -> bool:
    return isinstance(result, Builtin) and result.name == function.name


def _returned(closure: Closure) -> Kind | None:
    """What a function gives when all its arguments are there, by its signature."""
    if closure.signature is None:
        return None
    result = closure.signature.type
    while result.head == "->" and result.arguments:
        result = result.arguments[-1]
    return Kind(result, closure.signature.scope)


def result_type(kind: Kind | None) -> Kind | None:
    """The type that an action of this type gives."""
    plain = expanded(kind)
    if plain is None or plain.type.head != "Update" or not plain.type.arguments:
        return None
    return Kind(plain.type.arguments[0], plain.scope)
