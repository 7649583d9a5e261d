"""Ledger actions: what each needs, and what it gives."""

from __future__ import annotations

from dataclasses import replace

from canton_mcp.daml import tree
from canton_mcp.daml.actions import ActionKind, Call
from canton_mcp.daml.branches import Branches
from canton_mcp.daml.paths import (
    BOTTOM,
    UNIT,
    Bottom,
    Builtin,
    Choices,
    Closure,
    Contract,
    Deferred,
    Env,
    Face,
    Lazy,
    PartySet,
    Rec,
    Term,
    Tuple_,
    Unknown,
    Value,
)
from canton_mcp.daml.scope import Kind, Owner, Scope, expanded
from canton_mcp.daml.values import kind_of

__all__ = ["Acting", "constructor_of", "typed"]

_MAX_FOLLOWED = 3
_MAX_PEEKED = 2
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
_COMMON_KEYS = frozenset({"Party", "Text", "()", "Int"})
_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Acting(Branches):
    """Takes actions one by one."""

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
        return self._keyed(owner, Contract(payload))

    def _keyed(self, owner: Owner | None, contract: Contract) -> Contract:
        """Remembers a contract that was created under its key."""
        if owner is not None and owner.template is not None and owner.template.key is not None:
            key = self._values.key(contract.payload)
            if key is not None:
                self._by_keys[(id(owner.declaration), self._values.term(key).number)] = contract
        return contract

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
        name = constructor_of(argument)
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
        name = constructor_of(argument)
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
        name = constructor_of(argument)
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
            return values.terms.fresh(f"result of {constructor_of(argument) or 'the exercise'}")
        owner, choice = found
        kind = Kind(choice.result, owner.scope) if choice.result is not None else None
        key = hash((id(choice), "choice"))
        reach = _MAX_FOLLOWED if self._scripted else _MAX_PEEKED
        if max(self._silent, self._followed_depth) >= reach or choice.body is None or key in self._active:
            return values.terms.fresh(f"result of {choice.name}", kind)
        if self._scripted:
            return self._followed(
                found, contract, argument, typed(values.terms.fresh(f"result of {choice.name}"), kind)
            )
        _, env = self._controllers(found, contract, argument)
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
        return typed(result, kind)

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
            signatories.name("signatory")
            available.join(signatories)
            controllers.name("controller")
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
        if not kinds and name == "exerciseByKey":
            owner = self._owner_of_choice(constructor_of(values.force(given[1])), env)
        if owner is None and not kinds and isinstance(key, Rec | Term | Tuple_):
            owner = self._owner_of_key(key, env)
        if owner is None or owner.template is None or owner.template.key is None:
            if kinds:
                why = f"template {kinds[0].type.head} is not in this text"
                if owner is not None:
                    why = f"{owner.name} has no key in this text"
            else:
                why = "which template is meant cannot be told without its type"
            named = constructor_of(values.force(given[1])) if len(given) > 1 else None
            self._record(_KINDS[name], place, owner, named, key, None, why)
            return Tuple_((values.terms.fresh("contract"), values.terms.fresh("payload")))
        kind = Kind(tree.Type(owner.name, (), owner.name), owner.scope)
        identity = Kind(tree.Type("ContractId", (kind.type,), f"ContractId {owner.name}"), owner.scope)
        number = values.term(key).number
        contract: Value = values.terms.make("by_key", owner.name, (values.term(key),), identity)
        contract = self._by_keys.get((id(owner.declaration), number), contract)
        payload = values.payload(contract)
        inside = values.key(payload)
        if inside is not None and not isinstance(contract, Contract):
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

    def _owner_of_choice(self, name: str, env: Env) -> Owner | None:
        """The only template with a key that has a choice of this name."""
        named = [owner for owner, _ in env.scope.choices_named(name)] if name else []
        keyed = [owner for owner in named if owner.template is not None and owner.template.key is not None]
        return keyed[0] if len(keyed) == 1 else None

    def _owner_of_key(self, key: Value, env: Env) -> Owner | None:
        """The only template in sight whose key has the type of this value."""
        if isinstance(key, Term) and key.head != "literal" and key.kind is None:
            return None
        seen = [env.scope, *(scope for _, scope in env.scope.imports)]
        fitting = [
            owner
            for scope in seen
            for owner in scope.owners.values()
            if owner.template is not None
            and owner.template.key is not None
            and owner.template.key.type is not None
            and self._key_fits(key, Kind(owner.template.key.type, owner.scope))
        ]
        kind = kind_of(key)
        told = kind is not None and kind.type.head not in _COMMON_KEYS
        return fitting[0] if len(fitting) == 1 and (told or not env.scope.foreign) else None

    def _key_fits(self, key: Value, kind: Kind) -> bool:
        """Whether a value may be of the type of a key."""
        plain, known = expanded(kind), expanded(kind_of(key))
        if plain is None:
            return False
        if isinstance(key, Tuple_):
            return len(key.items) == len(plain.type.arguments) and all(
                self._key_fits(self._values.force(item), Kind(written, plain.scope))
                for item, written in zip(key.items, plain.type.arguments, strict=True)
            )
        if isinstance(key, Term) and key.head == "literal":
            return plain.type.head == ("Text" if key.name.startswith('"') else plain.type.head)
        return known is None or known.type.head == plain.type.head

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


def constructor_of(value: Value) -> str:
    if isinstance(value, Rec):
        return value.constructor.rpartition(".")[2]
    if isinstance(value, Builtin) and value.made is not None:
        return value.name
    if isinstance(value, Term) and value.kind is not None and value.kind.type.head[:1].isupper():
        return value.kind.type.head
    return ""


def typed(value: Value, kind: Kind | None) -> Value:
    """The value with a type, where none was known."""
    if (
        isinstance(value, Term)
        and value.kind is None
        and kind is not None
        and kind.type.head[:1] in "([" + _CAPITALS
    ):
        return replace(value, kind=kind)
    return value
