"""Reading what people paste: parts of modules, lines with marks around them, code with the usual mistakes."""

from __future__ import annotations

import sys

import pytest
from canton_mcp.daml import tree
from canton_mcp.daml.judged import Judged
from canton_mcp.daml.reader import read
from hypothesis import given, settings
from hypothesis import strategies as st

ASSET = """\
template Asset
  with
    issuer : Party
    owner : Party
    amount : Decimal
  where
    signatory issuer
    observer owner
    ensure amount > 0.0

    choice Transfer : ContractId Asset
      with
        newOwner : Party
      controller owner
      do
        x <- getTime
        create this with owner = newOwner
"""


def drawn(module: tree.Module) -> list[tuple[object, ...]]:
    """The templates of a module with all that stands in them, by name and number."""
    return [
        (
            template.name,
            [field.name for field in template.fields],
            [len(clause.items) for clause in template.signatories],
            [len(clause.items) for clause in template.observers],
            template.ensure is not None,
            [
                (
                    choice.name,
                    [field.name for field in choice.parameters],
                    len(choice.controllers),
                    len(choice.body.statements) if isinstance(choice.body, tree.Do) else None,
                )
                for choice in template.choices
            ],
        )
        for template in module.templates
    ]


WHOLE = drawn(read(ASSET))


def marked(before: str, after: str = "") -> str:
    """The code with something in front of every line, ``{}`` being its number, and perhaps behind it."""
    return "".join(
        f"{before.format(number)}{line}{after}\n" for number, line in enumerate(ASSET.splitlines(), 8)
    )


# What surrounds the code


@pytest.mark.parametrize(
    "text",
    [
        marked("{:3} | "),
        marked("{} | "),
        marked("{}: "),
        marked("{:6}\t"),
        marked("{} "),
        marked("{}. "),
        marked("> "),
        marked(">"),
        "> ```daml\n" + marked("> ") + "> ```\n",
        "Look:\n\n" + "   ```daml\n" + marked("   ") + "   ```\nand so on\n",
        marked("+"),
        marked(" ").replace(" template", "+template"),
        "diff --git a/M.daml b/M.daml\n--- a/M.daml\n+++ b/M.daml\n@@ -1,7 +1,9 @@ module M\n" + marked("+"),
        marked(" ").replace("     observer owner\n", "-    observer issuer, owner\n+    observer owner\n"),
        ASSET.replace("    observer owner\n", "-   observer issuer\n+   observer owner\n"),
        ASSET.replace("    observer owner\n", "-    observer issuer\n+    observer owner\n"),
        ASSET.replace("<-", "&lt;-").replace(" > ", " &gt; "),
        ASSET.replace("  ", "\u00a0\u00a0"),
        ASSET.replace("\n", "\r\n"),
        "\ufeff" + ASSET,
    ],
)
def test_marks_around_lines_are_stepped_over(text: str) -> None:
    module = read(text)
    assert module.problems == ()
    assert drawn(module) == WHOLE
    for field in module.templates[0].fields:
        assert text[field.place.start : field.place.end] == field.name
        assert text.split("\n")[field.place.line - 1][field.place.column - 1 :].startswith(field.name)


@pytest.mark.parametrize(
    "text",
    [
        "f = a\n  + b\n  - c\n",
        "{-\n- a list\n- in a comment\n+ and more\n-}\nf = 1\n",
        "-- a\n--- b\nf = 1\n-- c\n",
        "f = x &y; g = 1\n",
        "f =\n  [ 1\n  , 2 ]\n",
    ],
)
def test_code_that_looks_like_a_mark_stays(text: str) -> None:
    module = read(text)
    assert module.functions[0].name == "f"
    assert "".join(text[p.start : p.end] for p in module.comments).count("a list") == text.count("a list")
    value = module.functions[0].equations[0].value
    assert "x" in text or not isinstance(value, tree.Unread)


@pytest.mark.parametrize("dots", ["...", "…"])
@pytest.mark.parametrize(
    "line",
    [
        "    amount : Decimal\n",
        "    ensure amount > 0.0\n",
        "        x <- getTime\n",
        "      controller owner\n",
        "    observer owner\n",
    ],
)
def test_dots_for_code_that_is_left_out_cost_one_line(line: str, dots: str) -> None:
    indent = line[: len(line) - len(line.lstrip())]
    text = ASSET.replace(line, f"{line}{indent}{dots}\n")
    module = read(text)
    assert [(p.message, text[p.place.start : p.place.end]) for p in module.problems] == [
        (f"'{dots}' stands for code that is left out: what it does is not judged", dots)
    ]
    (template,) = module.templates
    assert len(template.fields) == 3 and template.choices[0].controllers and template.observers


def test_what_is_left_out_is_not_judged() -> None:
    text = ASSET.replace("this with owner = newOwner", "Asset with ...")
    (entry,) = Judged(text).analysis.entries
    assert [action.verdict.status for action in entry.actions] == ["unknown"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hi all, I have the following code and it does not work.\n" + ASSET, [1]),
        (ASSET + "\nThanks for your help with this!\n", [19]),
    ],
)
def test_prose_costs_one_problem_a_line(text: str, said: list[int]) -> None:
    module = read(text)
    assert drawn(module) == WHOLE
    assert [problem.place.line for problem in module.problems] == said
    assert all("prose" in problem.message for problem in module.problems)


# Parts of modules


def test_choices_torn_out_of_their_group() -> None:
    module = read(
        "      Transfer : ContractId Asset\n        with newOwner : Party\n        do create this with owner = newOwner\n"
        "      nonconsuming Look : ()\n        do return ()\n"
    )
    assert [(c.name, c.consumption, [p.name for p in c.parameters]) for c in module.loose_choices] == [
        ("Transfer", "consuming", ["newOwner"]),
        ("Look", "nonconsuming", []),
    ]
    assert all(choice.in_controller_can and choice.body is not None for choice in module.loose_choices)
    assert ["'controller … can'" in problem.message for problem in module.problems] == [True, True]


def test_a_torn_choice_does_not_go_on_with_the_clause_above() -> None:
    text = (
        "template Asset\n  with\n    owner : Party\n  where\n    signatory owner\n"
        "      Transfer : ContractId Asset\n        with newOwner : Party\n        do create this with owner = newOwner\n"
    )
    (template,) = read(text).templates
    assert [len(clause.items) for clause in template.signatories] == [1]
    assert [choice.name for choice in template.choices] == ["Transfer"]
    (entry,) = Judged(text).analysis.entries
    assert entry.actions[0].verdict.status == "unknown"


def test_the_end_of_a_choice() -> None:
    module = read(ASSET[ASSET.index("      controller owner") :])
    (choice,) = module.loose_choices
    assert len(choice.controllers) == 1
    assert isinstance(choice.body, tree.Do) and len(choice.body.statements) == 2
    assert [problem.message[:36] for problem in module.problems] == ["the beginning of this choice is miss"]


def test_the_end_of_a_template() -> None:
    module = read(ASSET[ASSET.index("  with") :])
    assert [row[1:] for row in drawn(module)] == [row[1:] for row in WHOLE]
    assert [problem.message[:38] for problem in module.problems] == ["the beginning of this template is miss"]


# The usual mistakes: one problem each, at its place, and everything else is read


@pytest.mark.parametrize(
    ("change", "at", "message"),
    [
        (("  where\n", ""), (6, 5), "'where' is missing before 'signatory'"),
        (("  where\n", "  whre\n"), (6, 3), "unexpected 'whre': did you mean 'where'?"),
        (("  where\n", "    wher\n"), (6, 5), "unexpected 'wher': did you mean 'where'?"),
        (("  where\n", "were\n"), (6, 1), "unexpected 'were': did you mean 'where'?"),
        (("  with\n    issuer", "    issuer"), (2, 5), "'with' is missing before the field issuer"),
        (("      with\n        new", "        new"), (12, 9), "'with' is missing before the field newOwner"),
        (("    owner : Party", "   owner : Party"), (4, 4), "the field owner starts in another column"),
        (("    owner : Party", "      owner : Party"), (4, 7), "the field owner starts in another column"),
        (("    observer owner", "   observer owner"), (8, 4), "'observer' starts in another column"),
        (("    observer owner", "     observer owner"), (8, 6), "'observer' starts in another column"),
        (("    signatory", "\tsignatory"), (8, 5), "(a tab reaches to the next eighth column: use blanks)"),
        (("      do\n", "    do\n"), (15, 5), "'do' belongs to the choice above"),
        (("      controller", "    controller"), (14, 5), "'controller' belongs to the choice above"),
        (("choice Transfer", "Transfer"), (11, 5), "the word 'choice' is missing before Transfer"),
        (
            ("choice Transfer", "choice transfer"),
            (11, 12),
            "starts with a capital letter, not as in transfer",
        ),
        ((" : ", " :: "), (3, 12), "a type follows ':' in DAML, here and everywhere"),
        (("x <- getTime", "x = 5"), (16, 9), "is defined with 'let': let x = …"),
        (("ensure amount >", "ensure amount ="), (9, 19), "'==' compares"),
        (("signatory issuer", "-- a\n    # b\n    signatory issuer"), (8, 5), "comments start with '--'"),
        (("signatory issuer", "// b\n    signatory issuer"), (7, 5), "comments start with '--'"),
        (("owner = newOwner", "owner : newOwner"), (17, 9), "a field is set by '=': owner = newOwner"),
        (("ensure amount", "ensure (amount"), (9, 12), "'(' is never closed"),
        (("signatory issuer", "signatory [issuer"), (7, 15), "'[' is never closed"),
        (
            ("      controller owner\n", "      controller owner\n      observer issuer\n"),
            (15, 7),
            "'observer' of a choice stands before its 'controller'",
        ),
        (
            (
                "      with\n        newOwner : Party\n      controller owner\n",
                "      controller owner\n      with\n        newOwner : Party\n",
            ),
            (13, 7),
            "the fields of a choice stand before its 'controller'",
        ),
    ],
)
def test_a_mistake_is_one_problem(change: tuple[str, str], at: tuple[int, int], message: str) -> None:
    module = read(ASSET.replace(*change) if change[0] == " : " else ASSET.replace(*change, 1))
    (problem,) = module.problems
    assert message in problem.message
    assert (problem.place.line, problem.place.column) == at
    (template,) = module.templates
    assert ([f.name for f in template.fields], len(template.signatories), len(template.observers)) == (
        ["issuer", "owner", "amount"],
        1,
        1,
    )
    (choice,) = template.choices
    assert ([f.name for f in choice.parameters], len(choice.controllers)) == (["newOwner"], 1)
    assert isinstance(choice.body, tree.Do) and len(choice.body.statements) == 2


@pytest.mark.parametrize(
    ("change", "at", "message"),
    [
        (("      do\n", ""), (11, 12), "the choice Transfer has no body: 'do' is missing"),
        (("      controller owner\n", ""), (11, 12), "the choice Transfer has no controller"),
        (("x <- getTime", "case amount\n          _ -> pure ()"), (16, 9), "a 'case' needs an 'of'"),
        (("x <- getTime", "case amount of\n          _ => pure ()"), (17, 13), "not '=>'"),
        (("x <- getTime", "if amount > 1.0 then pure ()"), (16, 9), "needs a 'then' and an 'else'"),
        (("signatory issuer", "signatory"), (7, 5), "'signatory' names no party"),
        (("    ensure", "    key (issuer, owner)\n    ensure"), (9, 5), "a key needs its type"),
        (
            ("        x <- getTime\n        create this with owner = newOwner\n", "        -- …\n"),
            (15, 7),
            "is empty",
        ),
    ],
)
def test_what_is_missing_is_one_problem(change: tuple[str, str], at: tuple[int, int], message: str) -> None:
    (problem,) = read(ASSET.replace(*change, 1)).problems
    assert message in problem.message
    assert (problem.place.line, problem.place.column) == at


# Whatever becomes of valid code

LINES = (
    ASSET
    + "\nf : Int -> Int\nf x\n  | x > 1 = case x of\n      2 -> 3\n      _ -> g\n  | otherwise = 1\n  where g = 2\n"
).splitlines(True)


def steps(text: str) -> int:
    """How many calls reading takes; every place lies inside the text."""
    count = 0

    def tick(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(tick)
    try:
        module = read(text)
    finally:
        sys.setprofile(None)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for problem in module.problems:
        place = problem.place
        assert 0 <= place.start <= place.end <= len(text)
        assert place.line <= len(lines) and place.column <= len(lines[place.line - 1]) + 2
    return count


MOST = 25
"""Calls for each character, at most; whole modules take about three."""


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_lines_deleted_doubled_and_swapped(data: st.DataObject) -> None:
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["delete", "double", "swap", "indent", "mark"])):
            case "delete" if len(lines) > 1:
                del lines[at]
            case "double":
                lines.insert(at, lines[at])
            case "swap":
                other = data.draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
            case "indent":
                lines[at] = data.draw(st.sampled_from([" ", "\t", "   "])) + lines[at]
            case "mark":
                lines[at] = (
                    data.draw(st.sampled_from(["+", "-", "> ", "1 | ", "...", "# ", "// "])) + lines[at]
                )
    text = "".join(lines)
    assert steps(text) <= MOST * (len(text) + 50)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, sum(map(len, LINES))))
def test_any_beginning(end: int) -> None:
    text = "".join(LINES)[:end]
    assert steps(text) <= MOST * (len(text) + 50)


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=120))
def test_any_characters(text: str) -> None:
    assert steps(text) <= MOST * (len(text) + 50)
    broken = ASSET[:150] + text + ASSET[150:]
    assert steps(broken) <= MOST * (len(broken) + 50)


def test_the_version_of_daml_1_is_stepped_over() -> None:
    module = read("daml 1.2\nmodule Old where\n\nf = 1\n")
    assert (module.name, module.problems, [f.name for f in module.functions]) == ("Old", (), ["f"])


@pytest.mark.parametrize("before", ["", "template T\n  with\n    a : B\n  where\n    signatory a\n"])
def test_an_item_of_which_nothing_was_read(before: str) -> None:
    for line in ("a : B", "observer x", "do", "choice C : ()", "C : ()"):
        steps(f"{before}{'(' * 250}\n  {line}\n    {line}\n {line}\n")
        steps(f"{before}    ;\n    {line}\n   ;{line}\n")
