"""The walk through choice bodies, helpers and instances in the order of their execution, which yields actions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from canton_mcp.daml import tree
from canton_mcp.daml.actions import (
    ONE_IS_ENOUGH,
    Action,
    ActionKind,
    Call,
    Entry,
    Gap,
    TemplateParties,
    Test,
    Verdict,
)
from canton_mcp.daml.evaluate import (
    ABORTS,
    ACTIONS,
    COMMANDS,
    PARTIES,
    SUBMISSIONS,
    Budget,
    Evaluator,
    kind_of,
    spine,
)
from canton_mcp.daml.facts import (
    AnyOf,
    Differ,
    Equal,
    Fact,
    Facts,
    Member,
    Reader,
    Unfollowed,
)
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
    Tuple_,
    Unknown,
    Value,
)
from canton_mcp.daml.plans import Plan
from canton_mcp.daml.scope import Kind, Owner, Scope, expanded
from canton_mcp.daml.verdicts import Judge, listed, shown

__all__ = ["MAX_ACTIONS", "Walk"]

MAX_ACTIONS = 300
_MAX_INLINED = 2
_MAX_FOLLOWED = 3
_MAX_NESTED = 40
_MAX_UNROLLED = 4
_MAX_LABEL = 60
_KINDS: dict[str, ActionKind] = {
    "create": "create",
    "exercise": "exercise",
    "exerciseByKey": "exerciseByKey",
    "createAndExercise": "createAndExercise",
    "archive": "archive",
    "fetch": "fetch",
    "fetchByKey": "fetchByKey",
    "fetchFromInterface": "fetchFromInterface",
    "lookupByKey": "lookupByKey",
    "visibleByKey": "visibleByKey",
    "lookupNByKey": "lookupNByKey",
    "lookupAllByKey": "lookupAllByKey",
    "fetchNByKey": "fetchNByKey",
    "fetchAllByKey": "fetchAllByKey",
}
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


class Walk:
    """Walks through one body in the order of its execution and collects actions."""

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
        self._pending: dict[int, PartySet] = {}
        """What the fetches need that are not proved yet, by their index among the actions."""

    def template_parties(self, owner: Owner, template: tree.Template) -> TemplateParties:
        """The parties of a template over its own fields."""
        values = self._values
        kind = Kind(tree.Type(owner.name, (), owner.name), owner.scope)
        this = values.terms.make("this", "this", (), kind)
        signatories = values.clause_parties(
            template.signatories, values.template_env(owner, this), "signatory"
        )
        observers = values.observers(this)
        maintainers, maintained = PartySet(), None
        key = values.key(this)
        if key is not None and template.maintainers:
            maintainers = values.maintainers(owner, key)
            self._available = signatories
            self._own = this
            self._ensure(this)
            maintained = self._judge.all_of("create", maintainers)
        return TemplateParties(
            template.name,
            template.place,
            shown(signatories, self._values),
            shown(observers, self._values),
            shown(maintainers, self._values),
            maintained,
        )

    def entry(self, plan: Plan) -> Entry | None:
        """The analysis of one plan; None when there is nothing to say."""
        if plan.kind in ("method", "helper") and any(
            id(binding) in self._reached for binding in plan.bindings
        ):
            return None
        try:
            if plan.kind == "script":
                return self._script(plan)
            return self._choice(plan) if plan.choice is not None else self._unreached(plan)
        except RecursionError:  # nesting is bounded above; this is for stacks that were deep before
            place = plan.choice.place if plan.choice is not None else plan.bindings[0].place
            self._gaps.append(Gap(place, self._module, plan.name, "it nests too deeply to be followed"))
            return self._made(
                plan, plan.choice.name if plan.choice is not None else plan.name, place, PartySet()
            )

    def _choice(self, plan: Plan) -> Entry:
        choice, owner = plan.choice, plan.owner
        assert choice is not None
        values = self._values
        this: Value
        if owner is not None:
            kind = Kind(tree.Type(owner.name, (), owner.name), owner.scope)
            this = values.terms.make("this", "this", (), kind)
        else:
            this = values.terms.make("this", "this")
        self._own = this
        identity = values.terms.make("self", "self")
        values.payloads[identity.number] = this
        arguments = {
            entry.name: values.terms.make("argument", entry.name, (), Kind(entry.type, plan.scope))
            for entry in choice.parameters
        }
        controllers, env = self._enter(plan, this, identity, dict(arguments))
        if owner is not None:
            self._ensure(this)
        if choice.body is not None:
            self._run(choice.body, values.bound(choice.bindings, env) if choice.bindings else env)
        return self._made(plan, choice.name, choice.place, controllers)

    def _enter(
        self, plan: Plan, this: Value, identity: Value, arguments: dict[str, Value | Lazy]
    ) -> tuple[PartySet, Env]:
        """Sets the available authority and gives the names of the body."""
        choice, owner, values = plan.choice, plan.owner, self._values
        assert choice is not None
        env = self._choice_env(choice, owner, plan.interface, plan.scope, this, identity, arguments)
        controllers = values.clause_parties(choice.controllers, env, "controller")
        available = PartySet()
        if choice.authority:
            available = values.clause_parties(choice.authority, env, "authority")
        else:
            if owner is not None:
                signatories = values.signatories(this)
                signatories.atoms = [replace(atom, how="signatory") for atom in signatories.atoms]
                available.join(signatories)
            if plan.bare:
                available.opaque.append(Unknown("the signatories of its template"))
            available.join(controllers)
        self._available = available
        return controllers, env

    def _choice_env(
        self,
        choice: tree.Choice,
        owner: Owner | None,
        interface: Owner | None,
        scope: Scope,
        this: Value,
        identity: Value,
        arguments: dict[str, Value | Lazy],
    ) -> Env:
        values = self._values
        if interface is not None:
            outer = values.template_env(interface, Face(this, interface))
        elif owner is not None:
            outer = values.template_env(owner, this)
        else:
            outer = Env(scope, None, {"this": this})
        made = scope.constructor(choice.name)
        kind = Kind(tree.Type(choice.name, (), choice.name), scope)
        names: dict[str, Value | Lazy] = {
            **arguments,
            "self": identity,
            "arg": Rec(choice.name, dict(arguments), kind=kind, made=made),
        }
        return Env(outer.scope, outer, names)

    def _script(self, plan: Plan) -> Entry | None:
        """A test: its submissions, with the parties it allocates."""
        first = plan.bindings[0]
        self._scripted = True
        self._active = (hash((id(plan.scope), first.place.start)),)
        self._run(first.value, Env(plan.scope))
        return self._made(plan, plan.name, first.place, PartySet()) if self._actions else None

    def _unreached(self, plan: Plan) -> Entry | None:
        """A method or helper that no choice of the text leads to: who calls it is not known."""
        values = self._values
        first = plan.bindings[0]
        env = Env(plan.scope)
        if plan.owner is not None:
            kind = Kind(tree.Type(plan.owner.name, (), plan.owner.name), plan.owner.scope)
            this = values.terms.make("this", "this", (), kind)
            self._own = this
            env = Env(plan.scope, values.template_env(plan.owner, this), {"this": this})
            signatories = values.signatories(this)
            signatories.atoms = [replace(atom, how="signatory") for atom in signatories.atoms]
            self._available.join(signatories)
            self._ensure(this)
            self._available.opaque.append(Unknown("the controllers of the choice that calls this method"))
        else:
            self._available.opaque.append(Unknown("the authority of the choice that calls this function"))
        self._active = (first.place.start,)
        for equation in plan.bindings[:_MAX_NESTED]:
            names: dict[str, Value | Lazy] = {}
            for number, parameter in enumerate(equation.parameters):
                _, inner = values.match(parameter, self._parameter(plan, parameter, number))
                names |= inner
            self._facts = Facts()
            self._run(equation.value, Env(env.scope, env, names))
        if not self._actions:
            return None
        return self._made(plan, plan.name, first.place, PartySet())

    def _parameter(self, plan: Plan, parameter: tree.Pattern, number: int) -> Term:
        """A parameter of a function that is analysed on its own, typed by its signature."""
        kind = None
        declared = plan.scope.functions.get(plan.name) if plan.owner is None else None
        if declared is not None and declared.type is not None:
            arguments = declared.type.arguments if declared.type.head == "->" else ()
            if number < len(arguments) - 1:
                kind = Kind(arguments[number], plan.scope)
        return self._values.terms.fresh(parameter.name or f"argument {number + 1}", kind)

    def _made(self, plan: Plan, name: str, place: tree.Place, controllers: PartySet) -> Entry:
        return Entry(
            owner=plan.owner.name if plan.owner is not None else "",
            name=name,
            kind="script" if any(action.submission for action in self._actions) else plan.kind,
            place=place,
            interface=plan.interface.name if plan.interface is not None else None,
            controllers=shown(controllers, self._values),
            available=shown(self._available, self._values),
            actions=tuple(self._actions),
            gaps=tuple(self._gaps),
            tests=tuple(self._test(fact) for fact in self._tests[:MAX_ACTIONS]),
        )

    # expressions ----------------------------------------------------------------------------

    def _run(self, expression: tree.Expression, env: Env) -> Value:
        """Runs an action and gives its result."""
        if not self._budget.take() or self._nested > _MAX_NESTED:
            self._beyond(expression.place)
            return Unknown("an action beyond the bounds of the analysis")
        self._nested += 1
        module, self._module = self._module, env.scope.module.name
        try:
            return self._run_one(expression, env)
        finally:
            self._nested -= 1
            self._module = module

    def _run_one(self, expression: tree.Expression, env: Env) -> Value:
        values = self._values
        match expression:
            case tree.Do(statements=statements):
                return self._block(statements, Env(env.scope, env, {}))
            case tree.Let(bindings=bindings, body=body):
                return self._run(body, values.bound(bindings, env))
            case tree.Typed(value=inner, type=written):
                return _typed(self._run(inner, env), _result(env.kind(written)))
            case tree.TupleOf(items=(inner,)):
                return self._run(inner, env)
            case tree.If(condition=condition, then=then, otherwise=otherwise):
                text = self._text(condition, env)
                arms: list[_Arm] = [_Arm(f"if {text}", then, env, self._reader.facts(condition, env))]
                refused = self._reader.facts(condition, env, False)
                if otherwise is not None:
                    arms.append(_Arm(f"else of: if {text}", otherwise, env, refused))
                return self._arms(arms, (condition,), env, () if otherwise is not None else refused)
            case tree.Case():
                return self._case(expression, env)
            case tree.Try(body=body, alternatives=alternatives):
                before = self._facts
                with_try = self._arm(_Arm("try", body, env, ()))
                results = [with_try]
                for alternative in alternatives:
                    self._facts = before
                    thrown = values.terms.fresh("exception")
                    _, names = values.match(alternative.pattern, thrown)
                    label = f"catch {self._span(alternative.pattern.place, env)}"
                    results.append(self._arm(_Arm(label, alternative.body, Env(env.scope, env, names), ())))
                self._facts = before
                return values.one_of(results, (), env)
            case tree.Name(name=name, qualifier=qualifier):
                found = env.find(name) if not qualifier else None
                if isinstance(found, Lazy):
                    return self._run(found.expression, found.env)
                if found is None and not expression.is_constructor:
                    declared = env.scope.function(name, qualifier)
                    if declared is not None and declared[0].equations:
                        first = declared[0].equations[0]
                        if not first.parameters:
                            signature = declared[0].type
                            closure = Closure(
                                name,
                                declared[0].equations,
                                Env(declared[1]),
                                signature=Kind(signature, declared[1]) if signature is not None else None,
                                place=declared[0].place,
                            )
                            return self._call(closure, expression.place, env)
                return self._run_value(values.value(expression, env), expression.place, env)
            case tree.Application():
                head, arguments = spine(expression)
                given, kinds = values.arguments(arguments, env)
                return self._apply(values.value(head, env), given, kinds, head.place, env)
            case tree.Operation():
                return self._operation(expression, env)
            case tree.Unread(parts=parts, place=place):
                self._gap(place, self._span(place, env), "this text could not be read")
                for part in parts:
                    self._arm(_Arm("text that could not be read", part, env, ()))
                return Unknown("text that could not be read")
        return self._run_value(values.value(expression, env), expression.place, env)

    def _block(self, statements: Sequence[tree.Statement], env: Env) -> Value:
        values = self._values
        result: Value = UNIT
        pending = len(self._actions)
        for statement in statements:
            match statement:
                case tree.LetStatement(bindings=bindings):
                    env = values.bound(bindings, env)
                    result = UNIT
                case tree.Bind(pattern=pattern, value=value):
                    result = self._run(value, env)
                    if isinstance(result, Bottom):
                        return BOTTOM
                    if pattern.type is not None:
                        result = _typed(result, env.kind(pattern.type))
                    _, names = values.match(pattern, result)
                    for name, bound in names.items():
                        self._name_it(name, bound)
                    env = env.with_names(names)
                case tree.Run(value=value):
                    result = self._run(value, env)
                    if isinstance(result, Bottom):
                        return BOTTOM
        self._settle(pending)
        return result

    def _name_it(self, name: str, value: Value | Lazy) -> None:
        if isinstance(value, Term):
            self._values.terms.call(value, name)

    def _operation(self, expression: tree.Operation, env: Env) -> Value:
        values = self._values
        left, right = expression.left, expression.right
        match expression.operator:
            case ">>=" | "=<<":
                first, then = (left, right) if expression.operator == ">>=" else (right, left)
                result = self._run(first, env)
                if isinstance(result, Bottom):
                    return BOTTOM
                return self._apply(values.value(then, env), (result,), (), then.place, env)
            case ">>" | "*>":
                if isinstance(self._run(left, env), Bottom):
                    return BOTTOM
                return self._run(right, env)
            case "<*":
                result = self._run(left, env)
                return BOTTOM if isinstance(self._run(right, env), Bottom) else result
            case "<*>":
                function = self._run(left, env)
                return values.apply(function, (self._run(right, env),), ())
            case "<$>":
                return values.apply(values.value(left, env), (self._run(right, env),), ())
            case "<&>":
                return values.apply(values.value(right, env), (self._run(left, env),), ())
            case "<$":
                self._run(right, env)
                return values.value(left, env)
            case "$>":
                self._run(left, env)
                return values.value(right, env)
            case "===" | "=/=":
                self._learn(self._reader.facts(expression, env))
                return UNIT
            case "$":
                given, kinds = values.arguments((right,), env)
                return self._apply(values.value(left, env), given, kinds, left.place, env)
            case "<|>":
                return self._arms([_Arm("<|>", left, env, ()), _Arm("<|>", right, env, ())], (), env, ())
        return self._run_value(values.value(expression, env), expression.place, env)

    def _case(self, expression: tree.Case, env: Env) -> Value:
        values = self._values
        subject = values.value(expression.subject, env)
        text = self._text(expression.subject, env)
        arms: list[_Arm] = []
        refused: list[Fact] = []
        for alternative in expression.alternatives:
            outcome, names = values.match(alternative.pattern, subject)
            if outcome == "no":
                continue
            for name, bound in names.items():
                self._name_it(name, bound)
            inner = Env(env.scope, env, names)
            facts: list[Fact] = list(refused)
            for guard in alternative.guards:
                if isinstance(guard, tree.Operation) and guard.operator == "<-":
                    continue
                facts += self._reader.facts(guard, inner)
            pattern = alternative.pattern
            if pattern.kind == "constructor" and pattern.name in ("True", "False") and not pattern.parts:
                facts += self._reader.facts(expression.subject, env, pattern.name == "True")
            elif pattern.kind == "wildcard" and not alternative.guards:
                earlier = {
                    arm.pattern.name for arm in expression.alternatives if arm.pattern.kind == "constructor"
                }
                if earlier in ({"True"}, {"False"}):
                    facts += self._reader.facts(expression.subject, env, earlier == {"False"})
            label = f"case {text} of {self._span(alternative.pattern.place, env)}"
            arms.append(_Arm(label, alternative.body, inner, tuple(facts)))
            if outcome == "yes" and not alternative.guards:
                break
            if outcome == "yes" and len(alternative.guards) == 1:
                refused += self._reader.facts(alternative.guards[0], inner, False)
        return self._arms(arms, (expression.subject,), env, ())

    def _arms(
        self,
        arms: Sequence[_Arm],
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

    def _arm(self, arm: _Arm) -> Value:
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

    # functions ------------------------------------------------------------------------------

    def _run_value(self, value: Value, place: tree.Place, env: Env) -> Value:
        """Runs a value if it is an action."""
        if self._nested > _MAX_NESTED:
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
                    return replace(function, given=every, types=function.types + kinds)
                full = replace(function, given=every[:arity], types=function.types + kinds)
                result = self._call(full, place, env)
                return self._apply(result, every[arity:], (), place, env) if len(every) > arity else result
            case Builtin():
                one = replace(function, given=function.given + given, types=function.types + kinds)
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
            return self._values.terms.fresh(closure.name, _result(_returned(closure)))
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
                    arms.append(_Arm(label, body, inner, tuple(facts)))
                result = self._arms(arms, (), env, ())
        finally:
            self._active = self._active[:-1]
            self._via = via
            if named:
                self._helpers -= 1
        return _typed(result, _result(_returned(closure)))

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
            elif isinstance(value, Closure) and self._nested < _MAX_NESTED:
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
        self._gap(place, name, "it is not in this text")
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

    def _mention(self, given: Iterable[Value | Lazy], place: tree.Place) -> None:
        """What is given to a function that is not followed may be tested there."""
        mentions = self._values._mentions(given)
        if mentions:
            self._learn((Unfollowed(mentions, place.line),))

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
            case ("assert", 1) | ("assertMsg", 2) | ("require", 2):
                return self._assert(given[-1], place)
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
        found.atoms = [replace(atom, how="actAs") for atom in found.atoms]
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
                return values.terms.fresh(function.name, _result(Kind(result, owner.scope)))
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

    def _condition(self, condition: Value | Lazy, positive: bool, place: tree.Place) -> tuple[Fact, ...]:
        if isinstance(condition, Lazy):
            return self._reader.facts(condition.expression, condition.env, positive)
        found = self._reader.holds(condition, (), positive, place.line)
        return found if found is not None else (Unfollowed(self._values._mentions((condition,)), place.line),)

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
        if isinstance(result, Bottom):
            self._facts = before
            return UNIT
        if name.endswith("_"):
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

    # actions --------------------------------------------------------------------------------

    def _action(self, function: Builtin, place: tree.Place, env: Env) -> Value:
        name, given, kinds = function.name, function.given, function.types
        arity = {"exercise": 2, "createAndExercise": 2, "exerciseByKey": 2}.get(name, 1)
        if len(given) < arity:
            return function
        values = self._values
        one = values.force(given[0])
        match name:
            case "create":
                return self._create(one, kinds, place, env)
            case "exercise":
                return self._exercise("exercise", one, values.force(given[1]), kinds, place, env)
            case "archive":
                return self._archive(one, place)
            case "createAndExercise":
                return self._create_and_exercise(one, values.force(given[1]), place, env)
            case "fetch" | "fetchFromInterface":
                return self._fetch(name, one, kinds, place)
        return self._by_key(name, one, given, kinds, place, env)

    def _create(self, payload: Value, kinds: tuple[Kind, ...], place: tree.Place, env: Env) -> Value:
        while isinstance(payload, Face):
            payload = payload.value
        if isinstance(payload, Bottom):
            return BOTTOM
        if kinds and kind_of(payload) is None and isinstance(payload, Term):
            payload = replace(payload, kind=kinds[0])
        owner = self._values.owner_of(payload)
        required, why = self._signatories(payload)
        base = payload.base if isinstance(payload, Rec) else None
        own = isinstance(base, Term) and isinstance(self._own, Term) and base.number == self._own.number
        self._record("create", place, owner, None, payload, required, why, updates_this=own)
        return Contract(payload)

    def _signatories(self, payload: Value) -> tuple[PartySet | None, str]:
        owner = self._values.owner_of(payload)
        if owner is None or owner.template is None:
            return None, self._no_template(payload)
        if not owner.template.signatories:
            return None, f"template {owner.name} names no signatory"
        return self._values.signatories(payload), ""

    def _no_template(self, payload: Value) -> str:
        owner = self._values.owner_of(payload)
        if owner is not None and owner.interface is not None:
            return f"which template implements {owner.name} here is not known"
        name = ""
        if isinstance(payload, Rec):
            name = payload.constructor
        kind = kind_of(payload)
        if not name and kind is not None and kind.type.head[:1].isupper():
            name = kind.type.head
        if name:
            return f"template {name} is not in this text"
        return "which template it is cannot be told from this text"

    def _create_and_exercise(self, payload: Value, argument: Value, place: tree.Place, env: Env) -> Value:
        owner = self._values.owner_of(payload)
        required, why = self._signatories(payload)
        found = self._find_choice(Contract(payload), argument, env)
        name = _constructor(argument)
        if name == "Archive":
            pass  # its controllers are the signatories
        elif required is not None and found is not None:
            controllers, _ = self._controllers(found, Contract(payload), argument)
            required.join(controllers)
        elif required is not None:
            required, why = None, f"choice {name} is not in this text"
        self._record("createAndExercise", place, owner, name, payload, required, why)
        return self._result_of(found, Contract(payload), argument)

    def _find_choice(self, contract: Value, argument: Value, env: Env) -> tuple[Owner, tree.Choice] | None:
        """The choice that an argument belongs to, by the contract's template, else by its name alone."""
        name = _constructor(argument)
        if not name:
            return None
        values = self._values
        owner = values.owner_of(values.payload(contract))
        if owner is not None:
            choice = owner.choice(name)
            if choice is not None:
                return owner, choice
        made = argument.made if isinstance(argument, Rec) else None
        seen: list[tuple[Owner, tree.Choice]] = []
        for scope in [made.scope] if made is not None else []:
            seen += scope.choices.get(name, [])
        if not seen:
            seen = env.scope.choices_named(name)
        if owner is not None and owner.template is not None:
            fitting = [
                (face, choice)
                for face, choice in seen
                if face.interface is not None and values.instance(owner, face) is not None
            ]
            seen = fitting or [pair for pair in seen if pair[0].interface is not None]
        elif owner is not None:
            seen = [pair for pair in seen if pair[0].interface is not None] or seen
        return seen[0] if len(seen) == 1 else None

    def _controllers(
        self, found: tuple[Owner, tree.Choice], contract: Value, argument: Value
    ) -> tuple[PartySet, Env]:
        owner, choice = found
        values = self._values
        payload = values.payload(contract)
        if owner.template is not None and isinstance(payload, Term) and values.owner_of(payload) is None:
            payload = replace(payload, kind=Kind(tree.Type(owner.name, (), owner.name), owner.scope))
        arguments: dict[str, Value | Lazy] = {
            entry.name: values.get(argument, entry.name) for entry in choice.parameters
        }
        face = owner if owner.interface is not None else None
        env = self._choice_env(choice, owner, face, owner.scope, payload, contract, arguments)
        return values.clause_parties(choice.controllers, env), env

    def _exercise(
        self,
        kind: ActionKind,
        contract: Value,
        argument: Value,
        kinds: tuple[Kind, ...],
        place: tree.Place,
        env: Env,
        prefix: str = "",
    ) -> Value:
        if isinstance(contract, Bottom):
            return BOTTOM
        name = _constructor(argument)
        if name == "Archive":
            return self._archive(contract, place, kind)
        found = self._find_choice(contract, argument, env)
        owner = found[0] if found is not None else self._values.owner_of(self._values.payload(contract))
        if found is None:
            if not name:
                why = "which choice is exercised cannot be told from this text"
            elif len(env.scope.choices_named(name)) > 1:
                why = f"several templates have a choice {name}, and which one is meant cannot be told"
            else:
                why = f"choice {name} is not in this text"
            self._record(kind, place, owner, name or None, contract, None, why)
            return self._result_of(None, contract, argument)
        required, _ = self._controllers(found, contract, argument)
        if not found[1].controllers:
            self._record(kind, place, owner, name, contract, None, f"choice {name} names no controller")
        else:
            self._record(kind, place, owner, name, contract, required, "")
        return self._result_of(found, contract, argument)

    def _result_of(self, found: tuple[Owner, tree.Choice] | None, contract: Value, argument: Value) -> Value:
        """What an exercise gives: followed into the choice's body as long as that is in reach."""
        values = self._values
        if found is None:
            return values.terms.fresh(f"result of {_constructor(argument) or 'the exercise'}")
        owner, choice = found
        kind = Kind(choice.result, owner.scope) if choice.result is not None else None
        key = hash((id(choice), "choice"))
        reach = _MAX_FOLLOWED if self._scripted else _MAX_INLINED
        if max(self._silent, self._followed_depth) >= reach or choice.body is None or key in self._active:
            return values.terms.fresh(f"result of {choice.name}", kind)
        _, env = self._controllers(found, contract, argument)
        if self._scripted:
            return self._followed(
                found, contract, argument, _typed(values.terms.fresh(f"result of {choice.name}"), kind)
            )
        kept = (self._facts, self._branch, self._active, self._tests, self._own)
        self._silent += 1
        self._active = (*self._active, key)
        self._tests = []
        try:
            body_env = values.bound(choice.bindings, env) if choice.bindings else env
            result = self._run(choice.body, body_env)
        finally:
            self._silent -= 1
            facts = self._facts
            _, self._branch, self._active, self._tests, self._own = kept
            self._facts = facts
        if isinstance(result, Bottom | Unknown | Deferred | Closure | Builtin):
            return values.terms.fresh(f"result of {choice.name}", kind)
        return _typed(result, kind)

    def _followed(
        self, found: tuple[Owner, tree.Choice], contract: Value, argument: Value, otherwise: Value
    ) -> Value:
        """In a script: walks through the choice with its own authority, and gives its result."""
        _, choice = found
        values = self._values
        controllers, env = self._controllers(found, contract, argument)
        available = PartySet()
        if choice.authority:
            available = values.clause_parties(choice.authority, env, "authority")
        else:
            signatories = values.signatories(values.payload(contract))
            signatories.atoms = [replace(atom, how="signatory") for atom in signatories.atoms]
            available.join(signatories)
            controllers.atoms = [replace(atom, how="controller") for atom in controllers.atoms]
            available.join(controllers)
        kept = (self._available, self._via, self._helpers, self._own, self._active)
        self._available = available
        self._via = (*self._via, Call(choice.name, choice.place))
        self._helpers = 0
        self._own = values.payload(contract)
        self._active = (*self._active, hash((id(choice), "choice")))
        self._followed_depth += 1
        try:
            assert choice.body is not None
            self._ensure(values.payload(contract))
            result = self._run(choice.body, values.bound(choice.bindings, env) if choice.bindings else env)
        finally:
            self._followed_depth -= 1
            self._available, self._via, self._helpers, self._own, self._active = kept
        if isinstance(result, Unknown | Deferred | Closure | Builtin):
            return otherwise
        return result

    def _archive(self, contract: Value, place: tree.Place, kind: ActionKind = "archive") -> Value:
        if isinstance(contract, Bottom):
            return BOTTOM
        payload = self._values.payload(contract)
        required, why = self._signatories(payload)
        self._record(
            "archive" if kind == "exercise" else kind,
            place,
            self._values.owner_of(payload),
            "Archive",
            contract,
            required,
            why,
        )
        return UNIT

    def _fetch(self, name: str, contract: Value, kinds: tuple[Kind, ...], place: tree.Place) -> Value:
        values = self._values
        if isinstance(contract, Bottom):
            return BOTTOM
        payload = values.payload(contract)
        if kinds and values.owner_of(payload) is None and isinstance(payload, Term):
            payload = replace(payload, kind=kinds[-1])
        owner = values.owner_of(payload)
        required, why = self._signatories(payload)
        if required is not None:
            required.join(values.observers(payload))
        self._record(_KINDS[name], place, owner, None, contract, required, why)
        self._ensure(payload)
        if name == "fetchFromInterface":
            return Rec("Some", {"_1": Tuple_((contract, payload))})
        return payload

    def _by_key(
        self,
        name: str,
        key: Value,
        given: tuple[Value | Lazy, ...],
        kinds: tuple[Kind, ...],
        place: tree.Place,
        env: Env,
    ) -> Value:
        """Actions on the contract that is found by a key."""
        values = self._values
        owner = kinds[0].scope.owner(kinds[0].name) if kinds else None
        if owner is None and not kinds and isinstance(key, Rec | Term):
            owner = self._owner_of_key(key, env)
        if owner is None or owner.template is None or owner.template.key is None:
            if kinds:
                why = f"template {kinds[0].type.head} is not in this text"
                if owner is not None:
                    why = f"{owner.name} has no key in this text"
            else:
                why = "which template is meant cannot be told without its type"
            named = _constructor(values.force(given[1])) if len(given) > 1 else None
            self._record(_KINDS[name], place, owner, named, key, None, why)
            return Tuple_((values.terms.fresh("contract"), values.terms.fresh("payload")))
        kind = Kind(tree.Type(owner.name, (), owner.name), owner.scope)
        identity = Kind(tree.Type("ContractId", (kind.type,), f"ContractId {owner.name}"), owner.scope)
        contract = values.terms.make("by_key", owner.name, (values.term(key),), identity)
        payload = values.payload(contract)
        inside = values.key(payload)
        if inside is not None:
            self._facts = self._facts.with_facts(self._reader.equalities(inside, key, place.line))
        if name in ("lookupByKey", "visibleByKey", "lookupNByKey", "lookupAllByKey"):
            required = values.maintainers(owner, key)
            self._record(_KINDS[name], place, owner, None, key, required, "")
            found = Rec("Some", {"_1": contract})
            if name == "lookupByKey":
                return Choices((found, Rec("None", {})))
            return values.terms.fresh(name)
        if name == "exerciseByKey":
            return self._exercise("exerciseByKey", contract, values.force(given[1]), kinds, place, env)
        required_set, why = self._signatories(payload)
        if required_set is not None:
            required_set.join(values.observers(payload))
        self._record(_KINDS[name], place, owner, None, key, required_set, why)
        self._ensure(payload)
        return Tuple_((contract, payload))

    def _owner_of_key(self, key: Value, env: Env) -> Owner | None:
        """The only template whose key has the type of this value."""
        kind = kind_of(key)
        if kind is None:
            return None
        fitting = [
            owner
            for owner in env.scope.owners.values()
            if owner.template is not None
            and owner.template.key is not None
            and owner.template.key.type is not None
            and owner.template.key.type.head == kind.type.head
            and kind.type.head not in ("Party", "Text", "()", "Int")
        ]
        return fitting[0] if len(fitting) == 1 else None

    def _ensure(self, payload: Value) -> None:
        """What ``ensure`` says holds for every contract there is."""
        owner = self._values.owner_of(payload)
        while isinstance(payload, Face):
            payload = payload.value
        if owner is None or owner.template is None or owner.template.ensure is None:
            return
        number = self._values.term(payload).number
        if number in self._ensured:
            return
        self._ensured.add(number)
        env = self._values.template_env(owner, payload)
        self._learn(self._reader.facts(owner.template.ensure, env))

    # verdicts -------------------------------------------------------------------------------

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

    # words ----------------------------------------------------------------------------------

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


@dataclass(frozen=True, slots=True)
class _Arm:
    """A branch: its label, what is run in it, and what holds there."""

    label: str
    body: tree.Expression
    env: Env
    facts: tuple[Fact, ...] = field(default=())


def _constructor(value: Value) -> str:
    if isinstance(value, Rec):
        return value.constructor.rpartition(".")[2]
    if isinstance(value, Builtin) and value.made is not None:
        return value.name
    if isinstance(value, Term) and value.kind is not None and value.kind.type.head[:1].isupper():
        return value.kind.type.head
    return ""


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


def _result(kind: Kind | None) -> Kind | None:
    """The type that an action of this type gives."""
    plain = expanded(kind)
    if plain is None or plain.type.head != "Update" or not plain.type.arguments:
        return None
    return Kind(plain.type.arguments[0], plain.scope)


def _typed(value: Value, kind: Kind | None) -> Value:
    """The value with a type, where none was known."""
    if (
        isinstance(value, Term)
        and value.kind is None
        and kind is not None
        and kind.type.head[:1] in "([" + _CAPITALS
    ):
        return replace(value, kind=kind)
    return value


_PARTY = tree.Type("Party", (), "Party")
_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
