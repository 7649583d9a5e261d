"""Reading DAML: tokens, layout and trees of all eras, of fragments, of broken and of hostile text."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator

import pytest
from canton_mcp.daml import lexer, tree
from canton_mcp.daml.reader import MAX_TEXT, read
from hypothesis import given, settings
from hypothesis import strategies as st

IOU = """\
module Finance.Iou where

import qualified DA.Set as Set
import Daml.Script

-- | What is owed.
template Iou
  with
    issuer, owner : Party -- ^ both sign
    amount : Decimal
    watchers : [Party]
  where
    signatory issuer, owner
    observer watchers
    ensure amount > 0.0 && issuer /= owner
    key (issuer, owner) : (Party, Party)
    maintainer key._1

    choice Transfer : ContractId Iou
      with
        newOwner : Party
      controller owner, newOwner
      do
        now <- getTime
        let fee = amount * 0.01
            rest = amount - fee
        assertMsg "late" (now < deadline)
        create this with owner = newOwner; amount = rest

    nonconsuming choice Look : Iou
      with viewer : Party
      observer viewer
      controller viewer
      do pure this

    interface instance Asset for Iou where
      view = AssetView with owner; amount
      getOwner = owner
      move to cid = do
        archive cid
        toInterfaceContractId @Asset <$> create this with owner = to

interface Asset requires Base.Token, Lockable where
  viewtype AssetView
  getOwner : Party
  move : Party -> ContractId Asset -> Update (ContractId Asset)

  choice Move : ContractId Asset
    with to : Party
    controller (view this).owner, to
    do move this to self

exception Refused with
    reason : Text
  where
    message "refused: " <> reason

data View = View with
    a : Int
    b : Optional (ContractId Iou)
  deriving (Eq, Show)

data Kind = Plain | Named Text Int | Full { x : Int, y : Int }
newtype Wrap = Wrap Int
type Pair = (Party, Party)

class Priced a where
  price : a -> Decimal

instance Priced Iou where
  price iou = iou.amount

total : [Iou] -> Decimal
total [] = 0.0
total (x :: xs)
  | x.amount > cap = cap
  | otherwise = x.amount + total xs
  where cap = 100.0
"""


def walk(node: object) -> Iterator[object]:
    """All nodes of a tree, their places among them."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        if isinstance(found, tuple) and not isinstance(found, tree.Place):
            waiting += found
        elif isinstance(found, tree.Place):
            yield found
        elif dataclasses.is_dataclass(found):
            yield found
            waiting += (getattr(found, part.name) for part in dataclasses.fields(found))


def unread(module: tree.Module) -> list[tree.Unread]:
    return [node for node in walk(module) if isinstance(node, tree.Unread)]


def expression(text: str) -> tree.Expression:
    """The value of a definition."""
    module = read(f"x = {text}\n")
    assert module.problems == ()
    return module.functions[0].equations[0].value


def statements(text: str) -> tuple[tree.Statement, ...]:
    module = read("x = do\n" + "".join(f"  {line}\n" for line in text.splitlines()))
    assert module.problems == ()
    value = module.functions[0].equations[0].value
    assert isinstance(value, tree.Do)
    return value.statements


def sketch(node: tree.Expression | None) -> str:
    """An expression as text with all its groups."""
    match node:
        case tree.Name():
            return f"{node.qualifier}.{node.name}" if node.qualifier else node.name
        case tree.Literal_():
            return node.text
        case tree.FieldAccess():
            return f"{sketch(node.value) if node.value else ''}.{node.field}"
        case tree.TypeArgument():
            return f"@{node.type.text}"
        case tree.Typed():
            return f"({sketch(node.value)} : {node.type.text})"
        case tree.Application():
            return f"({' '.join(map(sketch, (node.function, *node.arguments)))})"
        case tree.Operation():
            return f"({sketch(node.left)} {node.operator} {sketch(node.right)})"
        case tree.Section():
            return f"<{sketch(node.left)}{node.operator}{sketch(node.right)}>"
        case tree.Record():
            fields = [
                ".".join(field.path) + ("" if field.pun else f"={sketch(field.value)}")
                for field in node.fields
            ]
            return f"{sketch(node.subject)}{{{','.join([*fields, '..'] if node.rest else fields)}}}"
        case tree.TupleOf():
            return f"({', '.join(map(sketch, node.items))})"
        case tree.ListOf():
            return f"[{', '.join(map(sketch, node.items))}]"
        case tree.Lambda():
            return (
                f"(\\{' '.join(part.name or part.kind for part in node.parameters)} -> {sketch(node.body)})"
            )
        case tree.If():
            return f"if({sketch(node.condition)}, {sketch(node.then)}, {sketch(node.otherwise)})"
        case tree.Case():
            arms = [
                f"{arm.pattern.name or arm.pattern.kind}"
                + "".join(f" | {sketch(guard)}" for guard in arm.guards)
                + f" -> {sketch(arm.body)}"
                for arm in node.alternatives
            ]
            return f"case({sketch(node.subject)}: {'; '.join(arms)})"
        case tree.Let():
            names = [binding.pattern.name or binding.pattern.kind for binding in node.bindings]
            return f"let({', '.join(names)} in {sketch(node.body)})"
        case tree.Do():
            return f"do({'; '.join(map(step, node.statements))})"
        case tree.Try():
            return f"try({sketch(node.body)}, {len(node.alternatives)})"
        case tree.Unread():
            return f"?{node.text}?"
        case None:
            return ""


def step(node: tree.Statement) -> str:
    match node:
        case tree.Bind():
            return f"{node.pattern.name or node.pattern.kind} <- {sketch(node.value)}"
        case tree.LetStatement():
            return f"let {', '.join(f'{b.pattern.name} = {sketch(b.value)}' for b in node.bindings)}"
        case tree.Run():
            return sketch(node.value)


# Tokens


def kinds(text: str) -> list[str]:
    tokens = lexer.scan(text)
    assert all(
        tokens.text.startswith(part, start) for part, start in zip(tokens.texts, tokens.starts, strict=True)
    )
    return tokens.kinds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a : B", ["var", ":", "con"]),
        ("a :: b", ["var", "op", "var"]),
        ("x' create' _", ["var", "var", "var"]),
        ("A.B.C A.b A.B.!", ["con", "var", "op"]),
        ("foo.bar f . g (.f) key._1", ["var", ".f", "var", "op", "var", "(", "(.f", ")", "var", ".f"]),
        ("(f x).y xs[0]", ["(", "var", "var", ")", ".f", "var", "[", "num", "]"]),
        ("f @T @A.B x@y", ["var", "@T", "con", "@T", "con", "var", "@", "var"]),
        ("a -- b\nc --> d --| e", ["var", "var", "op", "var", "op", "var"]),
        ("a {- b {- c -} d -} e {-# PRAGMA #-} f", ["var", "var", "var"]),
        ("{-{-{-{-{-{-{- deep -}-}-}-}-}-}-} a", ["var"]),
        ('"a \\" -- {- b" c', ["str", "var"]),
        ('"gap \\\n   \\ here" c', ["str", "var"]),
        ("'a' '\\n' '\\''", ["chr", "chr", "chr"]),
        ("1_000 0.5 1e5 0xFF [1..2]", ["num", "num", "num", "num", "[", "num", "..", "num", "]"]),
        ("\\x -> x \\case", ["\\", "var", "->", "var", "\\", "case"]),
        ("#if X\na\n#else\nb\n#endif\n", ["var", "var"]),
        ("signatory choice interface exception", ["var"] * 4),
    ],
)
def test_tokens(text: str, expected: list[str]) -> None:
    assert kinds(text) == expected


def test_lines_and_columns_are_those_of_the_text_as_sent() -> None:
    text = '\ufeffmodule M where\r\n\r\n{- a\r\n b -}\r\nx = "é\\\r\n  \\"\r\n  where\r\n\ty = 1\rz = 2\n'
    module = read(text)
    assert module.text == text
    places = {
        node.name: (node.place.line, node.place.column)
        for node in walk(module)
        if isinstance(node, tree.Pattern) and text[node.place.start : node.place.end] == node.name
    }
    assert places == {"x": (5, 1), "y": (8, 2), "z": (9, 1)}
    assert [text[c.start : c.end].split() for c in module.comments] == [["{-", "a", "b", "-}"]]


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ('x = "abc\ny = 1\n', "the text that starts here is never closed", '"'),
        ("x = 1 {- abc\ny = 1\n", "the comment that starts here is never closed", "{-"),
        ("x = \u201cabc\u201d\n", "typographic quote", "\u201c"),
        ("x = (1\ny = 2\n", "'(' is never closed", "("),
        ("x = 1)\ny = 2\n", "')' closes nothing", ")"),
        ("x :: Int\nx = 1\n", "a type follows ':'", "::"),
        (
            "template T with p : Party where\n  signatory p\n  choice C : ()\n    do pure ()\n",
            "no controller",
            "C",
        ),
        (
            "template T with p : Party where\n  signatory p\n  choice C : ()\n    controller p\n",
            "'do' is missing",
            "C",
        ),
        ("template T\n  with\n    data : Party\n  where\n    signatory data\n", "is a keyword", "data"),
        ("template T\n  with\n    p\n  where\n    signatory p\n", "the field p has no type", "p"),
        ("template T with p : Party\n", "has no 'where'", "T"),
        ("x = if a then b\ny = 1\n", "needs a 'then' and an 'else'", "if"),
        ("x = do\n  if a = b then c else d\n", "'==' compares", "="),
        ("x = f (a, then)\n", "no 'if' that it belongs to", "then"),
        ("create this\n", "outside any declaration", "create"),
        ("module M\n\nimport A\n", "the module header has no 'where'", "module"),
    ],
)
def test_problems_say_what_and_where(text: str, message: str, at: str) -> None:
    problem = read(text).problems[0]
    assert message in problem.message
    assert text[problem.place.start : problem.place.end].startswith(at)


# Declarations


def test_a_module_of_today() -> None:
    module = read(IOU)
    assert module.problems == ()
    assert unread(module) == []
    assert module.name == "Finance.Iou"
    assert [(i.module, i.alias, i.qualified) for i in module.imports] == [
        ("DA.Set", "Set", True),
        ("Daml.Script", "", False),
    ]
    (iou,) = module.templates
    assert [(f.name, f.type.text) for f in iou.fields] == [
        ("issuer", "Party"),
        ("owner", "Party"),
        ("amount", "Decimal"),
        ("watchers", "[Party]"),
    ]
    assert [[sketch(item) for item in clause.items] for clause in iou.signatories] == [["issuer", "owner"]]
    assert [[sketch(item) for item in clause.items] for clause in iou.observers] == [["watchers"]]
    assert sketch(iou.ensure) == "((amount > 0.0) && (issuer /= owner))"
    assert iou.key is not None
    assert (sketch(iou.key.value), iou.key.type and iou.key.type.text) == (
        "(issuer, owner)",
        "(Party, Party)",
    )
    assert [sketch(item) for item in iou.maintainers[0].items] == ["key._1"]
    transfer, look = iou.choices
    assert (transfer.name, transfer.consumption, transfer.place.line) == ("Transfer", "consuming", 19)
    assert transfer.result is not None
    assert (transfer.result.head, transfer.result.arguments[0].text) == ("ContractId", "Iou")
    assert [sketch(item) for item in transfer.controllers[0].items] == ["owner", "newOwner"]
    assert isinstance(transfer.body, tree.Do)
    assert [step(statement) for statement in transfer.body.statements] == [
        "now <- getTime",
        "let fee = (amount * 0.01), rest = (amount - fee)",
        '(assertMsg "late" (now < deadline))',
        "(create this{owner=newOwner,amount=rest})",
    ]
    assert (look.consumption, [p.name for p in look.parameters]) == ("nonconsuming", ["viewer"])
    assert [sketch(item) for item in look.observers[0].items] == ["viewer"]
    (instance,) = iou.instances
    assert (instance.interface, instance.template) == ("Asset", "Iou")
    assert [method.name for method in instance.methods] == ["view", "getOwner", "move"]
    move = instance.methods[2].bindings[0]
    assert [parameter.name for parameter in move.parameters] == ["to", "cid"]
    assert sketch(move.value) == (
        "do((archive cid); ((toInterfaceContractId @Asset) <$> (create this{owner=to})))"
    )
    (asset,) = module.interfaces
    assert (asset.name, asset.requires, asset.view) == ("Asset", ("Base.Token", "Lockable"), "AssetView")
    assert [(m.name, m.type and m.type.head) for m in asset.methods] == [
        ("getOwner", "Party"),
        ("move", "->"),
    ]
    assert [sketch(item) for item in asset.choices[0].controllers[0].items] == [
        "(view this).owner".replace("(view this)", "(view this)"),
        "to",
    ]
    (refused,) = module.exceptions
    assert (refused.name, sketch(refused.message)) == ("Refused", '("refused: " <> reason)')
    view, kind, wrap, pair = module.types
    assert [f.type.text for f in view.constructors[0][1]] == ["Int", "Optional (ContractId Iou)"]
    assert [(name, [f.name for f in fields]) for name, fields in kind.constructors] == [
        ("Plain", []),
        ("Named", ["_1", "_2"]),
        ("Full", ["x", "y"]),
    ]
    assert wrap.constructors[0][0] == "Wrap"
    assert pair.synonym is not None and pair.synonym.head == "()"
    functions = {function.name: function for function in module.functions}
    assert set(functions) == {"price", "total"}
    total = functions["total"]
    assert total.type is not None and [t.text for t in total.type.arguments] == ["[Iou]", "Decimal"]
    assert [len(equation.guards) for equation in total.equations] == [0, 1, 1]
    assert sketch(total.equations[2].value) == "let(cap in (x.amount + (total xs)))"


def test_daml_1_controller_can() -> None:
    module = read(
        ["daml 1.2", "module Old where\n"][1]
        + "template Old\n  with\n    bank : Party\n    owner : Party\n  where\n"
        + '    signatory bank\n    agreement show bank <> " owes"\n    let half = 1 / 2\n        both = [bank, owner]\n'
        + "    controller owner, bank can\n      Take : ContractId Old\n        with n : Int\n        do\n        create this\n"
        + "      nonconsuming Look : ()\n        do pure ()\n    controller bank can { Stop : () do return () }\n"
    )
    assert module.problems == ()
    (old,) = module.templates
    assert [(c.name, c.consumption, c.in_controller_can, len(c.parameters)) for c in old.choices] == [
        ("Take", "consuming", True, 1),
        ("Look", "nonconsuming", True, 0),
        ("Stop", "consuming", True, 0),
    ]
    assert [[sketch(i) for i in c.controllers[0].items] for c in old.choices] == [
        ["owner", "bank"],
        ["owner", "bank"],
        ["bank"],
    ]
    assert sketch(old.agreement) == '((show bank) <> " owes")'
    assert [binding.pattern.name for binding in old.bindings] == ["half", "both"]
    assert sketch(old.choices[0].body) == "do((create this))"


@pytest.mark.parametrize(
    "head",
    [
        "    choice C : ()\n      with\n        a : Int\n      observer o\n      controller p, q\n      do pure ()\n",
        "    choice C : () with a : Int where controller p, q; observer o\n      do pure ()\n",
        "    choice C : ()\n      with a : Int\n      where\n        observer o\n        controller p, q\n      do\n        pure ()\n",
        "    choice C : () with { a : Int } where { controller p, q; observer o } do { pure () }\n",
        "    choice C : ()\n      with\n      a : Int\n      observer o\n      controller\n        p, q,\n      do\n      pure ()\n",
    ],
)
def test_forms_of_a_choice(head: str) -> None:
    module = read(
        "template T\n  with\n    p, q, o : Party\n  where\n    signatory p\n"
        f"{head}    choice D : ()\n      controller p\n      do pure ()\n"
    )
    assert module.problems == ()
    choice, following = module.templates[0].choices
    assert (choice.name, following.name) == ("C", "D")
    assert [f.name for f in choice.parameters] == ["a"]
    assert [sketch(i) for clause in choice.controllers for i in clause.items] == ["p", "q"]
    assert [sketch(i) for clause in choice.observers for i in clause.items] == ["o"]
    assert sketch(choice.body) == "do((pure ()))"


@pytest.mark.parametrize("word", ["nonconsuming", "preconsuming", "postconsuming"])
def test_consumption(word: str) -> None:
    text = f"template T with p : Party where\n  signatory p\n  {word} choice C : Int\n    controller p\n    do pure 1\n"
    assert read(text).templates[0].choices[0].consumption == word


def test_ensure_clauses_are_united() -> None:
    text = "template T with p : Party where\n  signatory p\n  ensure a\n  signatory q\n  ensure b\n"
    (template,) = read(text).templates
    assert sketch(template.ensure) == "(a && b)"
    assert len(template.signatories) == 2


# Expressions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b * c - d", "((a + (b * c)) - d)"),
        ("a :: b :: c ++ d", "(a :: (b :: (c ++ d)))"),
        ("f . g $ h x", "((f . g) (h x))"),
        ("f a $ g b $ h", "(f a (g b h))"),
        ("a == b && c || d /= e", "(((a == b) && c) || (d /= e))"),
        ("x `elem` xs && y", "((elem x xs) && y)"),
        ("k `Map.lookup` m", "(Map.lookup k m)"),
        ("(,) <$> a <*> b", "((, <$> a) <*> b)"),
        ("a >>= \\x -> b >>= c", "(a >>= (\\x -> (b >>= c)))"),
        ("(+ 1) <> (1 +) <> (- 1)", "(<+1> <> (<1+> <> <-1>))"),
        ("(`f` x) (x `f`)", "(<fx> <xf>)"),
        ("(x,) <> (, y)", "(<x,> <> <,y>)"),
        ("map (.owner) xs", "(map .owner xs)"),
        ("(view this).owner.x", "(view this).owner.x"),
        ("exercise cid Go with a = 1; b", "(exercise cid Go{a=1,b})"),
        ("exercise cid $ Go 1 b", "(exercise cid (Go 1 b))"),
        ("exercise cid Go with a >>= f", "((exercise cid Go{a}) >>= f)"),
        ("create @T T {a = 1, b, ..}", "(create @T T{a=1,b,..})"),
        ("create T with ..", "(create T{..})"),
        ("this with a.b = c, d = e", "this{a.b=c,d=e}"),
        ("[T with a = 1, T with a = 2]", "[T{a=1}, T{a=2}]"),
        ("(T with a = 1, b = 2)", "T{a=1,b=2}"),
        ("(T with a = f 1, g 2)", "(T{a=(f 1)}, (g 2))"),
        ("if a then b else if c then d else e", "if(a, b, if(c, d, e))"),
        ("if | a -> b | c, d -> e | otherwise -> f", "if(a, b, if((c && d), e, f))"),
        (
            "case x of Some y | y > 1 -> a | y < 0, z -> b; None -> c",
            "case(x: Some | (y > 1) -> a; Some | (y < 0) | z -> b; None -> c)",
        ),
        ("\\case Some y -> y; None -> z", "(\\\\case -> case(\\case: Some -> y; None -> z))"),
        ("case p of T with a, b -> a", "case(p: T -> a)"),
        ("let a = 1; b = 2 in a + b", "let(a, b in (a + b))"),
        ("(x : ContractId T)", "(x : ContractId T)"),
        ("forA_ xs \\x -> do f x; g", "(forA_ xs (\\x -> do((f x); g)))"),
        ("submit p do createCmd T with a = 1", "(submit p do((createCmd T{a=1})))"),
        ("p `submit` do f x", "(submit p do((f x)))"),
        ("try do f x catch (E m) -> g m", "try(do((f x)), 1)"),
        ("a.b - -c", "(a.b - <-c>)"),
        ("f (-1) [] ()", "(f <-1> [] ())"),
        ("Map.fromList [(a, b)] Map.! c", "((Map.fromList [(a, b)]) ! c)"),
    ],
)  # fmt: skip
def test_expressions(text: str, expected: str) -> None:
    assert sketch(expression(text)) == expected


def test_fixities_of_the_text() -> None:
    module = read("infixr 1 +++\ninfixl 8 `on`\na = x +++ y +++ z * w `on` v\n")
    assert sketch(module.functions[0].equations[0].value) == "(x +++ (y +++ (z * (on w v))))"


@pytest.mark.parametrize("text", ["[a .. b]", "[f x | x <- xs, x > 1]"])
def test_ranges_and_comprehensions_keep_their_parts(text: str) -> None:
    module = read(f"x = {text}\n")
    assert module.problems == ()
    (gap,) = unread(module)
    assert gap.text == text
    assert len(gap.parts) >= 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Some x <- f\n(a, b) <- g", ["Some <- f", "tuple <- g"]),
        ("T{..} <- fetch c\nT with a; b <- fetch c", ["T <- (fetch c)", "T <- (fetch c)"]),
        ("x : Int <- f", ["x <- f"]),
        ("if a\n  then b\n  else c\nd", ["if(a, b, c)", "d"]),
        ("if a\nthen do\n  b\nelse do\n  c\nd", ["if(a, do(b), do(c))", "d"]),
        ("let a = 1\n    b = 2\nc", ["let a = 1, b = 2", "c"]),
        ("let a = 1\n    f x = x\n  in a\nb", ["let(a, f in a)", "b"]),
        ("when a do\n  b\n  c\nd", ["(when a do(b; c))", "d"]),
        ("x <-\n  f\n    a\n    b\ny", ["x <- (f a b)", "y"]),
        ("try do\n  a\ncatch\n  E m -> b\n  F -> c\nd", ["try(do(a), 2)", "d"]),
        ("f $\n  a\n  <> b\nc", ["(f (a <> b))", "c"]),
        ("create T with\n  a = 1\n  b = g\n    x\nc", ["(create T{a=1,b=(g x)})", "c"]),
        ("case x of\n  A -> do\n    a\n    b\n  _ -> c\nd", ["case(x: A -> do(a; b); wildcard -> c)", "d"]),
        ("mapA (\\x -> do\n  a\n  b) xs\nc", ["(mapA (\\x -> do(a; b)) xs)", "c"]),
        ("f\n  [ a\n  , b\n  ]\nc", ["(f [a, b])", "c"]),
        ("f [\n  a,\n  b\n]\nc", ["(f [a, b])", "c"]),
        ("forA xs $ \\case\n  A -> a\n  B -> b\nc", ["(forA xs (\\\\case -> case(\\case: A -> a; B -> b)))", "c"]),
    ],
)  # fmt: skip
def test_statements_and_layout(text: str, expected: list[str]) -> None:
    assert [step(statement) for statement in statements(text)] == expected


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("f x = a\n  where a = 1\n        b = 2\ng = 1\n", ["f", "g"]),
        ("f x = case x of\n  A -> a\n  B -> b\n  where\n    a = 1\n    b = 2\ng = 1\n", ["f", "g"]),
        ("x <+> y = f x\n(<->) x y = g\na `on` b = c\n", ["<+>", "<->", "on"]),
        ("f (x : Int) (Some y) : Int = x\n(a, b) = c\n", ["f", ""]),
        ("f\n  : Int\n  -> Int\nf 1 = 2\nf _ = 3\n", ["f"]),
    ],
)
def test_functions(text: str, names: list[str]) -> None:
    module = read(text)
    assert module.problems == ()
    assert [function.name for function in module.functions] == names


def test_types_of_local_names() -> None:
    (let, bind) = statements("let f : Int -> Int\n    f x = x\ncid : ContractId T <- g")
    assert isinstance(let, tree.LetStatement) and isinstance(bind, tree.Bind)
    assert let.bindings[0].pattern.type is not None and let.bindings[0].pattern.type.head == "->"
    assert bind.pattern.type is not None and bind.pattern.type.text == "ContractId T"


# Fragments and broken text


def test_a_bare_choice() -> None:
    module = read(
        "    choice Go : ()\n      controller p\n      do pure ()\n\n"
        "    nonconsuming choice Stay : ()\n      controller p\n      do pure ()\n"
    )
    assert module.problems == ()
    assert [choice.name for choice in module.loose_choices] == ["Go", "Stay"]


def test_a_choice_whose_first_line_lost_its_indentation() -> None:
    module = read(
        "choice Go : ()\n      controller p\n      do pure ()\n    choice Stay : ()\n      controller p\n      do pure ()\n"
    )
    assert [(c.name, c.body is not None) for c in module.loose_choices] == [("Go", True), ("Stay", True)]


def test_the_body_of_a_template_without_its_head() -> None:
    module = read(
        "    signatory a\n    observer b\n    choice Go : ()\n      controller b\n      do pure ()\n"
    )
    (template,) = module.templates
    assert (template.name, len(template.signatories), len(template.observers)) == ("", 1, 1)
    assert [choice.name for choice in template.choices] == ["Go"]


def test_statements_alone() -> None:
    module = read("  x <- fetch cid\n  create this with owner = p\n")
    assert [step(s) for s in module.loose_statements] == ["x <- (fetch cid)", "(create this{owner=p})"]


@pytest.mark.parametrize(
    "text",
    [
        "Look:\n\n```daml\n{}```\nIt fails, why? I (really) wonder.\n",
        "```\n{}```\n```bash\ndaml build (\n```\n",
        "~~~daml\n{}",
        "\ufeff{}",
        "\t{}",
    ],
)
def test_what_stands_around_pasted_code(text: str) -> None:
    code = "template T\n  with\n    p : Party\n  where\n    signatory p\n"
    if text.startswith("\t"):
        code = code.replace("\n", "\n\t").rstrip("\t")
    module = read(text.format(code))
    assert module.problems == ()
    (template,) = module.templates
    place = template.place
    assert module.text[place.start : place.end] == "T"
    assert module.text.splitlines()[place.line - 1][place.column - 1] == "T"


def test_a_backtick_fence_inside_a_comment_is_no_fence() -> None:
    assert [f.name for f in read("{- like\n```\nx = 1\n```\n-}\ny = 2\n").functions] == ["y"]


def test_unclosed_brackets_do_not_swallow_what_follows() -> None:
    module = read(
        "template A with p : Party where\n  signatory (p\n  choice C : ()\n    controller [p\n    do pure (\n"
        "  choice D : ()\n    controller p\n    do pure ()\n\ntemplate B with q : Party where\n  signatory q\n\nf = [1\ng = 2\n"
    )
    assert [(t.name, [c.name for c in t.choices]) for t in module.templates] == [("A", ["C", "D"]), ("B", [])]
    assert all(choice.body is not None for choice in module.templates[0].choices)
    assert [function.name for function in module.functions] == ["f", "g"]
    assert [p.message for p in module.problems if "never closed" in p.message] == [
        "'(' is never closed",
        "'[' is never closed",
        "'(' is never closed",
        "'[' is never closed",
    ]


@pytest.mark.parametrize("indent", ["  ", "   ", "      "])
def test_a_choice_in_the_wrong_column_stays_with_its_template(indent: str) -> None:
    module = read(
        "template T\n  with p : Party\n  where\n    signatory p\n"
        f"{indent}choice C : ()\n{indent}  controller p\n{indent}  do pure ()\n"
    )
    assert [choice.name for choice in module.templates[0].choices] == ["C"]


def test_preprocessor_lines_keep_both_branches() -> None:
    module = read("module M where\n#ifdef X\nf = 1\n#else\nf = 2\n#endif\ng = 3\n")
    assert module.problems == ()
    assert [(f.name, len(f.equations)) for f in module.functions] == [("f", 2), ("g", 1)]


def test_what_cannot_be_read_keeps_what_can() -> None:
    module = read("x = do\n  f = create T\n  exercise c D\n")
    names = {node.name for node in walk(module) if isinstance(node, tree.Name)}
    assert {"create", "T", "exercise", "D"} <= names
    assert len(unread(module)) == 1


# Bounds


def height(node: object) -> int:
    waiting, highest = [(node, 0)], 0
    while waiting:
        found, level = waiting.pop()
        highest = max(highest, level)
        if isinstance(found, tuple) and not isinstance(found, tree.Place):
            waiting += ((part, level) for part in found)
        elif dataclasses.is_dataclass(found):
            waiting += ((getattr(found, part.name), level + 1) for part in dataclasses.fields(found))
    return highest


def check(text: str) -> tree.Module:
    """Reads a text; every place lies inside it, and the tree is not too high to be walked by recursion."""
    module = read(text)
    assert module.text == text
    lines = len(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    for node in walk(module):
        if isinstance(node, tree.Place):
            assert 0 <= node.start <= node.end <= len(text)
            assert 1 <= node.line <= lines
            assert node.column >= 1
    assert height(module) < 230
    return module


@pytest.mark.parametrize(
    "piece",
    [
        *("(", ")", "[a, ", "{", "do ", " do\n", "if ", "if a then ", "if a then b else ", "then ", "\\a -> "),
        *("case a of b -> ", "let a = 1 in ", "let a = ", "T with a = ", "(T with a = ", "a + ", "a :: ", "f $ "),
        *("a - b == c && ", "a `f` ", ".b", "{-", "{- -} ", "{- {- ", '"', '"\\ \n', "A.", "A.A. ", "`", "a@", "! "),
        *("- ", "\tdo", "\t", "\n", "\r", "\0", "| a = b ", "| a -> b ", "where y = ", "controller p can ", ",", "T{"),
        *("try ", "try a catch b -> ", "(a +)", "A -> ", "infixl 6 +\n", "x, ", "#if x\n", "```daml\nx = 1\n```\n"),
        *("{-{-{-{-{-{-{-{-x-}-}-}-}-}-}-}-} ", "template T where\n", "    choice C : ()\n      controller p\n"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "before", ["", "x = ", "x : ", "x ", "template T with p : Party where\n  signatory "]
)
def test_repetition_without_end(piece: str, before: str) -> None:
    limit = sys.getrecursionlimit()
    check(before + piece * 3000)
    assert sys.getrecursionlimit() == limit


def test_a_long_text_is_read_up_to_a_bound() -> None:
    text = "{- much -} " * (MAX_TEXT // 11 + 1000)
    module = read(text)
    assert str(len(text)) in module.incomplete
    assert module.text == text
    assert read("x = 1\n").incomplete == ""


def test_reading_ends_where_comments_nest_beyond_reason() -> None:
    module = check("x = 1\n" + "{-" * 9 + "-}" * 9 + "\ny = 2\n")
    assert ([f.name for f in module.functions], module.incomplete) == (["x", "y"], "")
    module = check("x = 1\n" + ("{-" * 9 + "-}" * 9 + "\n") * 100 + "y = 2\n")
    assert [f.name for f in module.functions] == ["x"]
    assert "read up to line" in module.incomplete


@pytest.mark.parametrize(
    ("operator", "operands"), [("<>", 5000), ("&&", 5000), ("::", 5000), ("+", 5000), ("++", 40)]
)
def test_long_chains_are_read_flat(operator: str, operands: int) -> None:
    module = check("x = " + f" {operator} ".join(f"a{number}" for number in range(operands)) + "\n")
    assert module.problems == ()
    assert unread(module) == []
    assert sum(isinstance(node, tree.Name) for node in walk(module)) == operands


def test_long_chains_of_other_operators_keep_their_operands() -> None:
    module = check("x = " + " - ".join(["a"] * 500) + "\n")
    (gap,) = unread(module)
    assert len(gap.parts) == 500


def test_no_more_than_a_hundred_problems() -> None:
    assert len(read(") = \n" * 1000).problems) == lexer.MAX_PROBLEMS


def test_work_grows_with_the_text_and_no_faster() -> None:
    """Counts calls, not seconds: ten times the text makes about ten times as many."""

    def calls(text: str) -> int:
        count = 0

        def tick(frame: object, event: str, argument: object) -> None:
            nonlocal count
            count += event == "call"

        sys.setprofile(tick)
        try:
            read(text)
        finally:
            sys.setprofile(None)
        return count

    body = IOU.split("\n", 1)[1]
    once, often = calls(body * 2), calls(body * 20)
    assert often < 11 * once


WORDS = st.sampled_from(
    [
        *("module", "where", "with", "do", "let", "in", "if", "then", "else", "case", "of", "try", "catch"),
        *(
            "template",
            "choice",
            "controller",
            "can",
            "signatory",
            "observer",
            "key",
            "maintainer",
            "interface",
        ),
        *("instance", "for", "exception", "data", "type", "deriving", "infixl", "create", "this", "x", "Foo"),
        *(
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            ",",
            ";",
            "=",
            "->",
            "<-",
            "|",
            ":",
            "::",
            "..",
            "=>",
            "\\",
            "@",
            "`",
        ),
        *("'", '"', "{-", "-}", "--", ".f", "(.f)", "$", "+", "<>", "!", "~", "-", "_", "1", "'a'", '"s"'),
        *("\n", "\n  ", "\n    ", "\n      ", " ", "\t", "\r\n", "\n```\n", "\n#if\n", "\ufeff", "\0"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=80))
def test_any_words(words: list[str]) -> None:
    check(" ".join(words))
    check("".join(words))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    check(text)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(IOU)), st.integers(0, 60), WORDS | st.just(""))
def test_any_change_of_valid_code(at: int, cut: int, word: str) -> None:
    check(IOU[:at] + word + IOU[at + cut :])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(IOU)))
def test_any_part_of_valid_code(at: int) -> None:
    check(IOU[:at])
    check(IOU[at:])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_indentation_and_line_ends_change_nothing(indent: int, newline: str, tabs: bool) -> None:
    plain = read(IOU)
    moved = newline.join((" " * indent + line if line else line) for line in IOU.split("\n"))
    if tabs:
        moved = newline.join(
            line if len(line) - len(line.lstrip()) < 8 else "\t" + line[8:] for line in moved.split(newline)
        )
    module = check(moved)
    assert module.problems == ()
    assert shape(module) == shape(plain)


def shape(module: tree.Module) -> list[object]:
    """What a module declares, without places."""
    return [
        [(t.name, len(t.fields), len(t.signatories), sketch(t.ensure)) for t in module.templates],
        [[(c.name, sketch(c.body)) for c in t.choices] for t in module.templates],
        [(i.name, len(i.methods), [sketch(c.body) for c in i.choices]) for i in module.interfaces],
        [(f.name, [sketch(e.value) for e in f.equations]) for f in module.functions],
    ]  # fmt: skip
