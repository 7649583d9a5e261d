"""The walk through choice bodies, helpers and instances in the order of their execution, which yields actions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from canton_mcp.daml import tree
from canton_mcp.daml.acting import typed
from canton_mcp.daml.actions import Entry, Gap, TemplateParties
from canton_mcp.daml.branches import Arm
from canton_mcp.daml.calls import MAX_NESTED, Calls, result_type
from canton_mcp.daml.expressions import spine
from canton_mcp.daml.facts import Fact, Facts, Member
from canton_mcp.daml.journal import MAX_ACTIONS
from canton_mcp.daml.paths import (
    BOTTOM,
    UNIT,
    Bottom,
    Closure,
    Collection,
    Env,
    Lazy,
    Part,
    PartySet,
    Term,
    Unknown,
    Value,
)
from canton_mcp.daml.plans import Plan
from canton_mcp.daml.scope import Kind, Owner
from canton_mcp.daml.verdicts import shown

__all__ = ["Walk"]


class Walk(Calls):
    """Walks through one body in the order of its execution and collects actions."""

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
                signatories.name("signatory")
                available.join(signatories)
            if plan.bare:
                available.opaque.append(Unknown("the signatories of its template"))
            if choice.in_controller_can and not choice.controllers:
                available.opaque.append(Unknown("the controllers that stood above it"))
            available.join(controllers)
        self._available = available
        return controllers, env

    def _script(self, plan: Plan) -> Entry | None:
        """A test: its submissions, with the parties it allocates."""
        first = plan.bindings[0]
        self._scripted = True
        self._active = (hash((id(plan.scope), first.place.start)),)
        head, given = spine(first.value)
        named = isinstance(head, tree.Name) and head.name in ("script", "scenario")
        body = given[0] if named and len(given) == 1 else first.value  # whatever the text makes of `script`
        self._run(body, Env(plan.scope))
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
            signatories.name("signatory")
            self._available.join(signatories)
            self._ensure(this)
            self._available.opaque.append(Unknown("the controllers of the choice that calls this method"))
        else:
            self._available.opaque.append(Unknown("the authority of the choice that calls this function"))
        self._active = (first.place.start,)
        for equation in plan.bindings[:MAX_NESTED]:
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

    def _run(self, expression: tree.Expression, env: Env) -> Value:
        """Runs an action and gives its result."""
        if not self._budget.take() or self._nested > MAX_NESTED:
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
                return typed(self._run(inner, env), result_type(env.kind(written)))
            case tree.TupleOf(items=(inner,)):
                return self._run(inner, env)
            case tree.If(condition=condition, then=then, otherwise=otherwise):
                holds = values.decided(condition, env)
                if holds is not None and (holds or otherwise is not None):
                    return self._run(then if holds or otherwise is None else otherwise, env)
                text = self._text(condition, env)
                arms: list[Arm] = [Arm(f"if {text}", then, env, self._reader.facts(condition, env))]
                refused = self._reader.facts(condition, env, False)
                if otherwise is not None:
                    arms.append(Arm(f"else of: if {text}", otherwise, env, refused))
                return self._arms(arms, (condition,), env, () if otherwise is not None else refused)
            case tree.Case():
                return self._case(expression, env)
            case tree.Try(body=body, alternatives=alternatives):
                before = self._facts
                with_try = self._arm(Arm("try", body, env, ()))
                results = [with_try]
                for alternative in alternatives:
                    self._facts = before
                    thrown = values.terms.fresh("exception")
                    _, names = values.match(alternative.pattern, thrown)
                    label = f"catch {self._span(alternative.pattern.place, env)}"
                    results.append(self._arm(Arm(label, alternative.body, Env(env.scope, env, names), ())))
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
                    self._arm(Arm("text that could not be read", part, env, ()))
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
                        result = typed(result, env.kind(pattern.type))
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
                return self._arms([Arm("<|>", left, env, ()), Arm("<|>", right, env, ())], (), env, ())
        return self._run_value(values.value(expression, env), expression.place, env)

    def _case(self, expression: tree.Case, env: Env) -> Value:
        values = self._values
        subject = values.value(expression.subject, env)
        text = self._text(expression.subject, env)
        arms: list[Arm] = []
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
            facts += self._held(pattern, subject)
            label = f"case {text} of {self._span(alternative.pattern.place, env)}"
            arms.append(Arm(label, alternative.body, inner, tuple(facts)))
            if outcome == "yes" and not alternative.guards:
                break
            if outcome == "yes" and len(alternative.guards) == 1:
                refused += self._reader.facts(alternative.guards[0], inner, False)
        return self._arms(arms, (expression.subject,), env, ())

    def _held(self, pattern: tree.Pattern, subject: Value) -> Iterator[Fact]:
        """What an optional holds where a pattern fits it: all of it is that one value, or nothing."""
        if not isinstance(subject, Term) or pattern.kind != "constructor" or pattern.fields:
            return
        if pattern.name == "Some" and len(pattern.parts) == 1:
            one = Collection((Part(self._values.some(subject), False),))
            yield Member(subject, one, pattern.place.line, True)
        elif pattern.name == "None":
            yield Member(subject, Collection(()), pattern.place.line, True)
