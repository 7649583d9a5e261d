"""What the standard library calls the functions that act, submit, or pass parties through."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = [
    "ABORTS",
    "ACTIONS",
    "ARITY",
    "CAST",
    "COMMANDS",
    "EFFECTS",
    "EFFECT_ARITY",
    "EMPTY",
    "FEWER",
    "FEWER_FIRST",
    "JOIN",
    "KNOWN",
    "LOOPS",
    "ONE_OF",
    "PARTIES",
    "SAME",
    "SUBMISSIONS",
    "SUBMITTERS",
    "ActionKind",
]

ActionKind = Literal[
    "create",
    "exercise",
    "exerciseByKey",
    "createAndExercise",
    "archive",
    "fetch",
    "fetchByKey",
    "fetchFromInterface",
    "lookupByKey",
    "visibleByKey",
    "lookupNByKey",
    "lookupAllByKey",
    "fetchNByKey",
    "fetchAllByKey",
]
ACTIONS: frozenset[ActionKind] = frozenset(get_args(ActionKind))

COMMANDS = {
    "createCmd": "create",
    "createExactCmd": "create",
    "exerciseCmd": "exercise",
    "exerciseExactCmd": "exercise",
    "exerciseByKeyCmd": "exerciseByKey",
    "createAndExerciseCmd": "createAndExercise",
    "archiveCmd": "archive",
}
"""Commands of scripts, with the action that each one is."""

SUBMISSIONS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("submit", "submitMustFail", "trySubmit", "submitTree", "submitUser"), (0, 2)),
    **dict.fromkeys(("submitMulti", "submitMultiMustFail", "trySubmitMulti", "submitTreeMulti"), (0, 3)),
    **dict.fromkeys(("submitWithDisclosures", "submitWithDisclosuresMustFail"), (0, 3)),
    **dict.fromkeys(("submitWithError", "trySubmitTree", "submitWithOptions"), (0, 2)),
}
"""Functions of scripts that submit commands: the position of who acts, and how many arguments there are."""

PARTIES = frozenset(
    {"allocateParty", "allocatePartyWithHint", "allocatePartyOn", "allocatePartyByHint", "getParty"}
    | {"allocatePartyWithHintOn", "allocatePartyByHintOn"}
)

ABORTS = frozenset(
    {"abort", "error", "assertFail", "fail", "throw", "throwPure", "failWithStatus", "undefined"}
)

LOOPS = frozenset(
    {
        "forA",
        "forA_",
        "forM",
        "forM_",
        "mapA",
        "mapA_",
        "mapM",
        "mapM_",
        "traverse",
        "traverse_",
        "for",
        "for_",
    }
)

EFFECTS = (
    ACTIONS
    | frozenset(COMMANDS)
    | frozenset(SUBMISSIONS)
    | PARTIES
    | LOOPS
    | frozenset({"when", "unless", "void", "foldlA", "foldrA", "foldlM", "foldM", "filterA", "zipWithA"})
    | frozenset({"zipWithA_", "sequence", "sequence_", "whenSome", "forOptional", "assert", "assertMsg"})
    | frozenset(
        {
            "require",
            "pure",
            "return",
            "join",
            "replicateA",
            "replicateA_",
            "discard",
            "getTime",
            "script",
            "scenario",
        }
    )
)

SAME = frozenset(
    {
        "fromList",
        "toList",
        "dedup",
        "sort",
        "unique",
        "nub",
        "reverse",
        "optionalToList",
        "dedupSort",
        "elems",
        "toNonEmpty",
        "id",
        "identity",
        "force",
    }
)
"""Functions whose result has the same elements as their last argument."""

FEWER = frozenset(
    {"delete", "filter", "take", "drop", "takeWhile", "dropWhile", "tail", "init", "difference"}
)

FEWER_FIRST = frozenset({"difference", "intersection", "\\\\", "intersect"})

ONE_OF = frozenset({"head", "last", "find", "foldl1", "foldr1", "maximum", "minimum"})

CAST = frozenset(
    {
        "toInterfaceContractId",
        "fromInterfaceContractId",
        "coerceContractId",
        "coerceInterfaceContractId",
        "fromInterface",
    }
)

SUBMITTERS = frozenset({"actAs", "readAs", "disclose", "discloseMany"})

KNOWN = (
    EFFECTS
    | ABORTS
    | SAME
    | FEWER
    | FEWER_FIRST
    | ONE_OF
    | CAST
    | frozenset(
        {"signatory", "observer", "view", "toInterface", "key", "fst", "snd", "map", "fmap", "concat"}
    )
    | frozenset({"singleton", "insert", "union", "unions", "mconcat", "fromSome", "fromSomeNote", "optional"})
    | frozenset({"maybe", "const", "concatMap", "catOptionals", "mapOptional", "append", "show", "flip"})
    | frozenset({"fromOptional", "fromMaybe", "cons", "elem", "member", "Some", "None", "concatSet"})
    | frozenset({"not", "notElem", "notMember", "isSubsetOf", "all", "any", "null", "and", "or", "either"})
    | frozenset({"isSome", "isNone", "allUnique", "zip"})
    | SUBMITTERS
)

ARITY: dict[str, int] = {
    **dict.fromkeys(("map", "fmap", "filter", "delete", "insert", "union", "append", "elem", "notElem"), 2),
    **dict.fromkeys(
        ("member", "notMember", "isSubsetOf", "all", "any", "find", "take", "drop", "takeWhile"), 2
    ),
    **dict.fromkeys(("dropWhile", "const", "difference", "intersection", "intersect", "fromOptional"), 2),
    **dict.fromkeys(("fromMaybe", "concatMap", "mapOptional", "fromSomeNote", "cons", "zip"), 2),
    **dict.fromkeys(("optional", "maybe", "either", "flip"), 3),
}

EFFECT_ARITY: dict[str, int] = {
    **dict.fromkeys(("exercise", "exerciseByKey", "createAndExercise", "when", "unless", "assertMsg"), 2),
    **dict.fromkeys(("require", "forOptional", "whenSome", "filterA", "replicateA", "replicateA_"), 2),
    **dict.fromkeys(("foldlA", "foldrA", "foldlM", "foldM", "zipWithA", "zipWithA_"), 3),
    **dict.fromkeys(LOOPS, 2),
    **dict.fromkeys(("exerciseCmd", "exerciseExactCmd", "exerciseByKeyCmd", "createAndExerciseCmd"), 2),
    **{name: count for name, (_, count) in SUBMISSIONS.items()},
    "getTime": 0,
}

EMPTY = frozenset({"mempty", "empty"})

JOIN = frozenset({"<>", "++"})
