"""The layout algorithm: columns become explicit blocks, and every bracket gets its mate.

The result is properly nested whatever the text: brackets that are never closed are closed where their block ends,
closing ones that fit nothing are dropped, each with a problem. The rule that an implicit block also ends before a
token that cannot continue it is kept as a table of the tokens for which this happens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import SequenceMatcher

from canton_mcp.daml.lexer import MAX_PROBLEMS, Columns, Tokens
from canton_mcp.daml.tree import Place, Problem

__all__ = ["CLOSE", "END", "OPEN", "SEPARATOR", "Stream", "arrange"]

OPEN, SEPARATOR, CLOSE, END = "v{", "v;", "v}", "end"
"""Kinds of the tokens that stand for layout: start of a block, between items, end of a block, end of the text."""

_MAX_STACK = 200
_MATES = {"(": ")", "[": "]", "{": "}"}
_CLOSERS = frozenset(_MATES.values())
_OPENERS = frozenset({"where", "of", "do", "let", "with", "can", "catch"})
_MARKERS = frozenset({"if?", "then?", "case?", "try?", "let?", "controller?", "lambda?"})
_CONTINUES = {"then": "if?", "else": "then?", "of": "case?", "catch": "try?", "in": "let?"}
"""Keywords that end blocks opened since the marker that waits for them."""
_NEW_DECLARATION = frozenset({"template", "data", "newtype", "import"})
"""Keywords that start a declaration wherever they are the first of a line."""
_WITH_FIELDS = frozenset({"template", "interface", "exception", "data", "newtype", "choice"})
"""What a declaration with fields starts with."""
_CONSUMPTIONS = frozenset({"nonconsuming", "preconsuming", "postconsuming"})
_CLAUSES = frozenset({"signatory", "observer", "maintainer", "ensure", "agreement"})
_MEMBERS = _CLAUSES | _CONSUMPTIONS | {"choice"}
"""Words that start a member of a template, and nothing else at the start of a line before an argument."""
_SOFT = frozenset({"observer", "authority"})
"""Words that start a clause behind the controllers of a choice."""
_OUT_OF_LINE = frozenset({"var", "do", "with", "controller"})
_ARGUMENTS = frozenset({"var", "con", "(", "[", "str", "num"})
_OPERAND_ENDS = frozenset({"var", "con", ")", "]", ".f", "num", "str"})
_NEAR = 60
_ALIKE = 0.75
"""How like ``where`` a name must be, of 1, to be taken for it."""
_MAX_WHERE = 7
_GUARDED = frozenset({"of", "catch", "let", "where", "top", "mif"})
"""Blocks whose items may have guards."""
_SPECIAL = frozenset(
    {"(", ")", "[", "]", "{", "}", ",", ";", "=", "->", "<-", "|", ":", "\\"}
    | {"where", "of", "do", "let", "with", "can", "catch"}
    | {"if", "then", "else", "case", "try", "in", "controller", "deriving"}
)
"""Kinds that can start, end or divide something; all others are passed on."""


@dataclass(slots=True)
class Stream:
    """Tokens with layout made explicit, in parallel lists.

    `jumps` leads from a bracket to its mate, and from `OPEN` or `SEPARATOR` to the next `SEPARATOR` or `CLOSE` of
    the same block. `marks` leads from the same to what divides that item: ``<-`` of a statement, ``=`` or ``|`` of a
    binding, ``->`` or ``|`` of an alternative.
    """

    text: str
    kinds: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    jumps: dict[int, int] = field(default_factory=dict)
    marks: dict[int, int] = field(default_factory=dict)
    header: int = 0
    """How many tokens of the module header stand in front."""
    incomplete: str = ""
    """Why not all of the text was read; empty if it was."""
    line_starts: list[int] = field(default_factory=list)
    comments: list[Place] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class _Context:
    """A block, a bracket group or a marker on the stack."""

    __slots__ = ("column", "enclosing", "item", "kind", "owner", "state")

    def __init__(self, kind: str, column: int, enclosing: int, item: int, owner: str = "") -> None:
        self.kind = kind
        """An opener for a block, "top", "mif" (multi-way if), "{;" (explicit), a bracket, or a marker."""
        self.column = column
        """Of a block: its column; 0 for all others."""
        self.enclosing = enclosing
        """Column of the innermost implicit block around it."""
        self.item = item
        """Index of the `OPEN`, `SEPARATOR` or bracket that started what is being read."""
        self.owner = owner
        """What a block belongs to: "template", "interface" or "can" if it holds members, "fields"."""
        self.state = ""
        """How far the item is: "|" in guards, "=" or "->" after that."""


def arrange(tokens: Tokens) -> Stream:
    """Tokens with explicit layout; never raises."""
    return _Layout(tokens).run()


class _Layout:
    """One pass over the tokens with a stack of contexts."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.columns = Columns(tokens.text)
        self.out = Stream(
            tokens.text,
            incomplete=tokens.incomplete,
            line_starts=tokens.line_starts,
            comments=tokens.comments,
            problems=tokens.problems,
        )
        out = self.out
        self._add = (out.kinds.append, out.texts.append, out.starts.append, out.ends.append, out.lines.append)
        """What writes a token: looked up once, for it is done for each one."""
        self.stack: list[_Context] = []
        self.overflow = 0
        """Open brackets beyond the depth that is followed."""
        self.open_brackets = {"(": 0, "[": 0, "{": 0}

    def run(self) -> Stream:
        """The whole text."""
        tokens, out = self.tokens, self.out
        kinds, texts, starts, lines, indents = (
            tokens.kinds,
            tokens.texts,
            tokens.starts,
            tokens.lines,
            tokens.indents,
        )
        count = len(kinds)
        index = out.header = self._header()
        for kept in range(index):
            self._copy(kept)
        self._virtual(OPEN)
        base = self.columns.at(tokens.code_starts[lines[index]], starts[index]) if index < count else 1
        self.stack.append(_Context("top", base, 0, len(out.kinds) - 1))
        add_kind, add_text, add_start, add_end, add_line = self._add
        fresh = True  # The token is the first of the text, or stands right after an opener: no separator before it.
        special = _SPECIAL
        while index < count:
            kind = kinds[index]
            if indents[index] and not fresh:
                if kind == "var" and indents[index + 1 : index + 2] != [0] and self._misspelt_where(index):
                    kind = "where"
                self._line_start(index, indents[index], kind)
            fresh = False
            if kind in special:
                fresh = self._opener(index, kind) if kind in _OPENERS else self._token(index, kind)
            else:
                text = texts[index]
                if kind == "var":
                    if text in _SOFT and self.stack[-1].kind == "controller?" and indents[index]:
                        kind = text
                elif kind == "op" or kind == "`":
                    # A member without a value ends before an operator: `C with a >>= f`.
                    while (
                        self.stack[-1].kind == "with"
                        and not self.stack[-1].state
                        and not self.stack[-1].owner
                    ):
                        self._pop()
                start = starts[index]
                add_kind(kind)
                add_text(text)
                add_start(start)
                add_end(start + len(text))
                add_line(lines[index])
            index += 1
        while self.stack:
            self._pop()
        for _ in range(4):  # Some, so that looking ahead needs no care.
            self._virtual(END)
        return out

    # Writing

    def _copy(self, index: int, kind: str = "") -> None:
        tokens = self.tokens
        text, start = tokens.texts[index], tokens.starts[index]
        add_kind, add_text, add_start, add_end, add_line = self._add
        add_kind(kind or tokens.kinds[index])
        add_text(text)
        add_start(start)
        add_end(start + len(text))
        add_line(tokens.lines[index])

    def _virtual(self, kind: str) -> None:
        """A token without text, right behind what was written last."""
        out = self.out
        end, line = (out.ends[-1], out.lines[-1]) if out.ends else (0, 1)
        add_kind, add_text, add_start, add_end, add_line = self._add
        add_kind(kind)
        add_text("")
        add_start(end)
        add_end(end)
        add_line(line)

    def _problem(self, index: int, message: str) -> None:
        """Notes a problem at the input token `index`."""
        if len(self.out.problems) < MAX_PROBLEMS:
            start = self.tokens.starts[index]
            self.tokens.problem(start, start + len(self.tokens.texts[index]), message)

    # The stack

    def _pop(self) -> None:
        """Ends the innermost context: writes the end of a block, or a closing bracket that is missing."""
        context = self.stack.pop()
        kind = context.kind
        if kind in _MARKERS:
            return
        out = self.out
        if kind in _MATES:
            self.open_brackets[kind] -= 1
            opened = context.item
            if len(out.problems) < MAX_PROBLEMS:
                place = self.tokens.place(out.starts[opened], out.ends[opened])
                out.problems.append(Problem(place, f"'{kind}' is never closed"))
            self._virtual(_MATES[kind])
            out.jumps[opened] = len(out.kinds) - 1
            return
        self._virtual(CLOSE)
        out.jumps[context.item] = len(out.kinds) - 1

    def _push(self, kind: str, column: int, item: int, owner: str = "") -> bool:
        """Starts a context, unless the nesting is too deep to be followed."""
        if len(self.stack) >= _MAX_STACK:
            return False
        above = self.stack[-1]
        enclosing = above.column if above.column else above.enclosing
        if kind == "{;":
            enclosing = 0
        self.stack.append(_Context(kind, column, enclosing, item, owner))
        return True

    def _separate(self) -> None:
        """Starts a new item in the innermost block, whose markers go."""
        stack = self.stack
        while stack[-1].kind in _MARKERS:
            stack.pop()
        context = stack[-1]
        self._virtual(SEPARATOR)
        here = len(self.out.kinds) - 1
        self.out.jumps[context.item] = here
        context.item = here
        context.state = ""

    def _close_until(self, depth: int) -> None:
        """Ends contexts until `depth` are left; a let that ends leaves no marker here."""
        stack = self.stack
        while len(stack) > depth:
            self._pop()

    def _find(self, marker: str) -> int:
        """Depth of the innermost `marker` that the token can see: not through brackets and explicit blocks. -1 if none."""
        stack = self.stack
        for depth in range(len(stack) - 1, -1, -1):
            kind = stack[depth].kind
            if kind == marker or (marker == "let?" and kind == "let"):
                return depth
            if kind in _MATES or kind == "{;":
                return -1
        return -1

    # Lines

    def _line_start(self, index: int, column: int, kind: str) -> None:
        """What a token does by being the first of its line."""
        stack = self.stack
        if self._declares(index, kind):
            while len(stack) > 1:
                self._pop()
            if stack[0].column > column:
                stack[0].column = column
            self._separate()
            return
        if kind in _OUT_OF_LINE and self._out_of_line(index, column, kind):
            return
        while True:
            depth = len(stack) - 1
            while stack[depth].kind in _MARKERS:
                depth -= 1
            context = stack[depth]
            if context.kind == "{;":
                return
            if context.kind in _MATES:
                if column > context.enclosing or kind in _CLOSERS or kind in ",)]}|" or kind == "op":
                    return
                self._close_until(depth)
                continue
            if column > context.column:
                break
            if kind == "where":
                # No item starts like this: it ends the block, and goes on with a declaration.
                if depth == 0:
                    return
                self._close_until(depth)
                continue
            if column == context.column and context.owner == "fields" and self._is_clause(index):
                self._close_until(depth)
                continue
            if column == context.column or depth == 0:
                if kind in _CONTINUES and self._find(_CONTINUES[kind]) > depth:
                    return
                if context.kind == "mif":
                    return
                if kind == "do" and depth == 0 and self._find("controller?") > 0:
                    return  # The end of a choice whose beginning was not pasted.
                if depth == 0 and column < context.column:
                    context.column = column
                self._separate()
                return
            self._close_until(depth)
            if context.kind == "let":
                self._push("let?", 0, 0)  # Its `in` may follow.
        if kind == "var" or kind == "con":
            self._misplaced_choice(index)

    def _first_of(self, context: _Context) -> str:
        """The first word of the item that is being read; empty if nothing of it has been."""
        texts = self.out.texts
        return texts[context.item + 1] if context.item + 1 < len(texts) else ""

    def _out_of_line(self, index: int, column: int, kind: str) -> bool:
        """Takes a field, a clause or a part of a choice in a column that it cannot have for what it is, with a problem."""
        stack, texts, kinds = self.stack, self.tokens.texts, self.tokens.kinds
        depth = len(stack) - 1
        while stack[depth].kind in _MARKERS:
            depth -= 1
        context = stack[depth]
        text, following = texts[index], kinds[index + 1 : index + 2]
        if kind != "var":
            while depth and (stack[depth].kind in _MARKERS or stack[depth].column > column):
                depth -= 1
            context = stack[depth]
            starts = self._first_of(context)
            if column != context.column or context.owner not in ("template", "interface"):
                return False
            if not (starts == "choice" or starts in _CONSUMPTIONS) or self._find_on(index, "can"):
                return False
            self._problem(
                index, f"'{text}' belongs to the choice above: it stands to the right of the word 'choice'"
            )
            while stack[-1] is not context and stack[-1].kind not in _MARKERS:
                self._pop()
            return True
        if following in ([":"], [","]):
            return self._field_out_of_line(index, depth, column)
        if text not in _MEMBERS or not following or following[0] not in _ARGUMENTS:
            return False
        if context.owner == "fields" and self._first_of(stack[depth - 1]) == "template":
            self._problem(index, f"'where' is missing before '{text}': it ends the fields of a template")
            self._close_until(depth)
            self._supply("where", column, "template")
            return True
        if context.owner == "template" and column > context.column and text not in _CONSUMPTIONS:
            last = len(self.out.kinds) - 1
            if (
                text == "choice"
                or self._first_of(context) not in _CLAUSES
                or last == context.item + 1
                or self.out.kinds[last] not in _OPERAND_ENDS
            ):
                return False
        else:
            while depth > 0 and stack[depth].owner not in ("template", "interface"):
                depth -= 1
            if not (depth and stack[0].column < column < stack[depth].column):
                return False
            if any(above.column == column for above in stack):
                return False
            self._adopt(stack[depth], index, column)
        tab = " (a tab reaches to the next eighth column: use blanks)" if "\t" in self.tokens.text else ""
        self._problem(
            index, f"'{text}' starts in another column than the members of the template above it{tab}"
        )
        self._close_until(depth + 1)
        self._separate()
        return True

    def _misspelt_where(self, index: int) -> bool:
        """Whether a name alone on its line, between the fields of a template and a member, is meant to be ``where``."""
        tokens, stack = self.tokens, self.stack
        text = tokens.texts[index]
        if len(text) > _MAX_WHERE or index + 1 >= len(tokens.texts):
            return False
        if tokens.texts[index + 1] not in _MEMBERS and tokens.texts[index + 1] not in ("key", "interface"):
            return False
        depth = len(stack) - 1
        while depth and (stack[depth].kind in _MARKERS or stack[depth].owner == "fields"):
            depth -= 1
        item = stack[depth].item
        if self._first_of(stack[depth]) != "template" or "where" in self.out.kinds[item:]:
            return False
        if SequenceMatcher(None, text.lower(), "where").ratio() < _ALIKE:
            return False
        self._problem(index, f"unexpected '{text}': did you mean 'where'? It ends the fields of a template")
        tokens.kinds[index] = "where"
        return True

    def _field_out_of_line(self, index: int, depth: int, column: int) -> bool:
        """``name : Type`` in a column of its own, or without the word ``with`` before it."""
        stack, text = self.stack, self.tokens.texts[index]
        context = stack[depth]
        if context.owner == "fields":
            if column == context.column or column <= context.enclosing:
                return False
            self._problem(index, f"the field {text} starts in another column than the fields above it")
            self._adopt(context, index, column)
            self._close_until(depth + 1)
            self._separate()
            return True
        first = self._first_of(context)
        of_template = depth == 0 and first == "template"
        of_choice = context.owner == "template" and (first == "choice" or first in _CONSUMPTIONS)
        if column <= context.column or not (of_template or of_choice) or depth != len(stack) - 1:
            return False
        if "with" in self.out.kinds[context.item : context.item + _NEAR]:
            return False
        self._problem(index, f"'with' is missing before the field {text}")
        self._supply("with", column, "fields")
        return True

    def _adopt(self, context: _Context, index: int, column: int) -> None:
        """Gives a block the column of its second item if the third has it too: then the first one is out of line."""
        if self.out.kinds[context.item] != OPEN:
            return
        kinds, texts, indents = self.tokens.kinds, self.tokens.texts, self.tokens.indents
        for at in range(index + 1, min(index + _NEAR, len(kinds) - 1)):
            if indents[at] and (
                texts[at] in _MEMBERS or (kinds[at] == "var" and kinds[at + 1] in (":", ","))
            ):
                if indents[at] == column:
                    context.column = column
                return

    def _supply(self, opener: str, column: int, owner: str) -> None:
        """Starts a block whose opener is missing in the text."""
        self._virtual(opener)
        self._virtual(OPEN)
        self._push(opener, column, len(self.out.kinds) - 1, owner)

    def _find_on(self, index: int, kind: str) -> bool:
        """Whether a token of that kind follows before the next ``do``, ``with`` or ``choice``, not far away."""
        kinds, texts = self.tokens.kinds, self.tokens.texts
        for at in range(index + 1, min(index + _NEAR, len(kinds))):
            if kinds[at] == kind:
                return True
            if kinds[at] in ("do", "with") or texts[at] == "choice":
                return False
        return False

    def _declares(self, index: int, kind: str) -> bool:
        """Whether a declaration must start here, whatever is still open."""
        texts, kinds = self.tokens.texts, self.tokens.kinds
        if kind in _NEW_DECLARATION:
            following = kinds[index + 1] if index + 1 < len(kinds) else ""
            return following == "con" or texts[index + 1 : index + 2] in (["qualified"], ["instance"])
        if kind == "var" and index + 2 < len(kinds):
            text = texts[index]
            if text in ("interface", "exception") and kinds[index + 1] == "con":
                return kinds[index + 2] in ("where", "with") or texts[index + 2] == "requires"
            # A name in the first column, with brackets open that were never closed.
            if self.tokens.indents[index] <= self.stack[0].column and self.stack[-1].kind in _MATES:
                return kinds[index + 1] in ("=", ":")
        return False

    def _is_clause(self, index: int) -> bool:
        """Whether ``observer`` or ``authority`` stands here with parties, and not as the name of a field."""
        tokens = self.tokens
        return tokens.texts[index] in ("observer", "authority") and tokens.kinds[
            index + 1 : index + 2
        ] not in (
            [":"],
            [","],
        )

    def _misplaced_choice(self, index: int) -> None:
        """A choice in the wrong column is still a member of its template."""
        texts, kinds = self.tokens.texts, self.tokens.kinds
        at = index + 1 if texts[index] in _CONSUMPTIONS else index
        if kinds[at : at + 2] == ["con", ":"]:
            self._torn_choice()
            return
        if not (texts[at : at + 1] == ["choice"] and kinds[at + 1 : at + 3] == ["con", ":"]):
            return
        if at == index and index and texts[index - 1] in _CONSUMPTIONS:
            return
        for depth in range(len(self.stack) - 1, -1, -1):
            if self.stack[depth].owner in ("template", "interface", "can") or depth == 0:
                if depth:
                    self._problem(
                        index,
                        f"'{texts[index]}' starts in another column than the members of the template above it",
                    )
                self._close_until(depth + 1)
                self._separate()
                return

    def _torn_choice(self) -> None:
        """A choice of a ``controller .. can`` that was not pasted does not go on with the clause above it."""
        for depth in range(len(self.stack) - 1, -1, -1):
            context = self.stack[depth]
            if context.owner == "template":
                if self._first_of(context) in _CLAUSES:
                    self._close_until(depth + 1)
                    self._separate()
                return
            if context.kind not in _MARKERS:
                return

    # Tokens

    def _opener(self, index: int, kind: str) -> bool:
        """A token after which a block may start; whether the next token stands right after an opener."""
        stack = self.stack
        if kind == "do":
            if self.tokens.indents[index] and stack[-1].kind in _MATES:
                self._leave_parties()
            self._leave_fields(index, hard=False)
            if stack[-1].kind == "controller?":
                stack.pop()
                self._copy(index, "body")
                return self._open(index, "do")
        elif kind == "with":
            if self.tokens.indents[index] and stack[-1].kind == "controller?":
                self._problem(index, "the fields of a choice stand before its 'controller'")
                stack.pop()
                self._copy(index, "fields")
                return self._open(index, kind)
        elif kind == "where":
            while stack[-1].kind in _MARKERS or stack[-1].kind in ("do", "with", "mif"):
                self._pop()
        elif kind == "can":
            depth = self._find("controller?")
            if depth < 0:
                self._copy(index, "var")
                return False
            self._close_until(depth)
        elif kind in ("of", "catch"):
            depth = self._find(_CONTINUES[kind])
            if depth < 0:
                self._copy(index, "var" if kind == "catch" else kind)
                return False
            self._close_until(depth)
        self._copy(index)
        return self._open(index, kind)

    def _open(self, index: int, kind: str) -> bool:
        """Starts the block behind the opener at `index`, with the column of the next token."""
        tokens, out, stack = self.tokens, self.out, self.stack
        following = index + 1
        if following < len(tokens.kinds) and tokens.kinds[following] == "{":
            return True
        owner = "can" if kind == "can" else self._owner(kind)
        self._virtual(OPEN)
        item = len(out.kinds) - 1
        top = stack[-1]
        enclosing = top.column or top.enclosing
        column = 0
        if following < len(tokens.kinds):
            column = self.columns.at(tokens.code_starts[tokens.lines[following]], tokens.starts[following])
        relaxed = kind == "do" and column == enclosing and self._takes_same_column()
        if (column > enclosing or relaxed) and self._push(kind, column, item, owner):
            return True
        self._virtual(CLOSE)
        out.jumps[item] = len(out.kinds) - 1
        return False

    def _takes_same_column(self) -> bool:
        """Whether a ``do`` may open in the column of the block around it: not where that one has declarations."""
        for context in reversed(self.stack):
            if context.kind not in _MARKERS and context.kind not in _MATES:
                return context.kind not in ("top", "{;") and not context.owner
        return False

    def _owner(self, opener: str) -> str:
        """What a block belongs to that opens here, where that matters.

        Of ``where``: "template" or "interface"; of ``with`` in a declaration: "fields".
        """
        context = self.stack[-1]
        if context.kind not in ("top", "where", "can", "{;"):
            return ""
        first = context.item + 1
        if first >= len(self.out.texts):
            return ""
        text = self.out.texts[first]
        if opener == "with":
            torn = self.out.kinds[first] == "con" and self.out.kinds[first + 1 : first + 2] == [":"]
            headless = text == "with" and context.kind == "top"
            declares = text in _WITH_FIELDS or text in _CONSUMPTIONS or context.kind == "can"
            return "fields" if declares or torn or headless else ""
        if opener == "where":
            return text if text in ("template", "interface") else ""
        return ""

    def _token(self, index: int, kind: str) -> bool:
        """A token that ends, divides or marks something."""
        stack, out = self.stack, self.out
        if kind in _MATES:
            previous = self.tokens.kinds[index - 1] if index else ""
            if kind == "{" and previous in _OPENERS:
                self._copy(index, OPEN)
                if not self._push("{;", 0, len(out.kinds) - 1, self._owner(previous)):
                    self._virtual(CLOSE)
                    out.jumps[len(out.kinds) - 2] = len(out.kinds) - 1
                return True
            if len(stack) >= _MAX_STACK:
                self.overflow += 1
                if self.overflow == 1:
                    self._problem(index, "brackets and blocks nest too deeply to be read")
                return False
            self._copy(index)
            self._push(kind, 0, len(out.kinds) - 1)
            self.open_brackets[kind] += 1
        elif kind in _CLOSERS:
            self._closer(index, kind)
        elif kind == ",":
            self._comma(index)
            self._copy(index)
        elif kind == ";":
            self._semicolon(index)
        elif kind == "controller":
            self._leave_fields(index, hard=True)
            self._copy(index)
            self._push("controller?", 0, 0)
        elif kind == "deriving":
            while stack[-1].kind == "with":
                self._pop()
            self._copy(index)
        elif kind == "if":
            self._copy(index)
            if self.tokens.kinds[index + 1 : index + 2] == ["|"]:
                return self._open_multiway(index)
            self._push("if?", 0, 0)
        elif kind == "case":
            if out.kinds[-1] == "\\":
                while stack[-1].kind == "lambda?":
                    stack.pop()
                self._copy(index)
                return self._open(index, "of")
            self._copy(index)
            self._push("case?", 0, 0)
        elif kind == "try":
            self._copy(index)
            self._push("try?", 0, 0)
        elif kind in ("then", "else", "in"):
            depth = self._find(_CONTINUES[kind])
            if depth >= 0:
                self._close_until(depth)
                if kind == "then":
                    self._push("then?", 0, 0)
            self._copy(index)
        elif kind == "\\":
            self._copy(index)
            self._push("lambda?", 0, 0)
        else:
            self._divider(index, kind)
            self._copy(index)
        return False

    def _open_multiway(self, index: int) -> bool:
        following = index + 1
        self._virtual(OPEN)
        item = len(self.out.kinds) - 1
        column = self.columns.at(
            self.tokens.code_starts[self.tokens.lines[following]], self.tokens.starts[following]
        )
        if self._push("mif", column, item):
            return True
        self._virtual(CLOSE)
        self.out.jumps[item] = len(self.out.kinds) - 1
        return False

    def _closer(self, index: int, kind: str) -> None:
        stack, out = self.stack, self.out
        if self.overflow:
            self.overflow -= 1
            return
        opener = {")": "(", "]": "[", "}": "{"}[kind]
        if kind == "}":
            for depth in range(len(stack) - 1, -1, -1):
                if stack[depth].kind == "{;":
                    self._close_until(depth + 1)
                    context = stack.pop()
                    self._copy(index, CLOSE)
                    out.jumps[context.item] = len(out.kinds) - 1
                    return
                if stack[depth].kind == "{":
                    break
        if not self.open_brackets[opener]:
            self._problem(index, f"'{kind}' closes nothing")
            return
        while stack[-1].kind != opener:
            self._pop()
        context = stack.pop()
        self.open_brackets[opener] -= 1
        self._copy(index)
        here = len(out.kinds) - 1
        out.jumps[context.item] = here

    def _semicolon(self, index: int) -> None:
        stack = self.stack
        depth = len(stack) - 1
        while stack[depth].kind in _MARKERS:
            depth -= 1
        if stack[depth].kind in _MATES:
            self._copy(index)
            return
        following = self.tokens.kinds[index + 1 : index + 2]
        if following and following[0] in ("then", "else") and self._find(_CONTINUES[following[0]]) > depth:
            return
        self._separate()

    def _comma(self, index: int) -> None:
        """Ends the blocks that a comma of the bracket group around them cannot belong to."""
        stack = self.stack
        depth = len(stack) - 1
        while stack[depth].kind not in _MATES:
            context = stack[depth]
            if depth == 0 or context.kind == "{;":
                return
            if context.kind == "with" and self._field_follows(index + 1):
                return
            if context.kind in _GUARDED and context.state == "|":
                return
            depth -= 1
        self._close_until(depth + 1)

    def _field_follows(self, index: int) -> bool:
        """Whether a member of a record expression stands at `index`."""
        kinds = self.tokens.kinds
        if kinds[index : index + 1] == [".."]:
            return True
        if kinds[index : index + 1] != ["var"]:
            return False
        index += 1
        while kinds[index : index + 1] == [".f"]:
            index += 1
        following = kinds[index] if index < len(kinds) else ""
        return following in ("=", ",", ";", ":") or following in _CLOSERS

    def _leave_fields(self, index: int, *, hard: bool) -> None:
        """Ends a ``with`` block before ``do`` and ``controller``, which cannot stand in it."""
        stack = self.stack
        while stack[-1].kind == "with":
            at_start = self.out.kinds[-1] in (OPEN, SEPARATOR)
            if not (hard or at_start or stack[-1].owner == "fields"):
                return
            self._pop()

    def _leave_parties(self) -> None:
        """Ends brackets that a ``controller`` clause left open, before the body of the choice."""
        stack = self.stack
        for depth in range(len(stack) - 1, 0, -1):
            kind = stack[depth].kind
            if kind == "controller?":
                self._close_until(depth + 1)
                return
            if kind not in _MATES and kind not in _MARKERS:
                return

    def _divider(self, index: int, kind: str) -> None:
        """Notes what divides an item, and ends the ``with`` block of a pattern or a constructor before it."""
        stack = self.stack
        top = stack[-1]
        if top.kind == "{;" and kind != ":":
            self.out.marks.setdefault(top.item, len(self.out.kinds))
        if kind == "->":
            if top.kind == "lambda?":
                stack.pop()
                return
            top = self._leave_pattern("->")
            if top.kind == "lambda?":
                stack.pop()
                return
            if top.kind in ("of", "catch") and top.state in ("", "|"):
                if not top.state:
                    self.out.marks[top.item] = len(self.out.kinds)
                top.state = "->"
            elif top.kind == "mif":
                top.state = "->"
        elif kind == "<-":
            top = self._leave_pattern("<-")
            if top.kind in ("do", "top"):
                self.out.marks.setdefault(top.item, len(self.out.kinds))
        elif kind == "|":
            while stack[-1].kind == "with":
                self._pop()
            top = stack[-1]
            if top.kind in _GUARDED and top.state in ("", "|", "->", "="):
                self.out.marks.setdefault(top.item, len(self.out.kinds))
                top.state = "|"
        elif kind == "=":
            if top.kind in ("let", "where", "top"):
                self.out.marks.setdefault(top.item, len(self.out.kinds))
            if top.kind in _GUARDED or top.kind == "with":
                top.state = "="
        elif kind == ":":
            # The type of a whole record: `key K with a; b : K`.
            while stack[-1].kind == "with" and not stack[-1].owner and not stack[-1].state:
                self._pop()

    def _leave_pattern(self, arrow: str) -> _Context:
        """The context an arrow belongs to; ``with`` blocks of the pattern before it are ended."""
        stack = self.stack
        depth = len(stack) - 1
        while depth and stack[depth].kind == "with":
            depth -= 1
        context = stack[depth]
        takes = (
            (context.kind == "lambda?" or (context.kind in ("of", "catch") and context.state != "->"))
            if arrow == "->"
            else context.kind in ("do", "top") and context.item not in self.out.marks
        )
        if takes:
            self._close_until(depth + 1)
        return stack[-1]

    # The module header

    def _header(self) -> int:
        """How many tokens belong to ``module M (..) where``; 0 without a header."""
        kinds, indents = self.tokens.kinds, self.tokens.indents
        if kinds[:1] != ["module"]:
            return 0
        depth = 0
        for index in range(1, len(kinds)):
            kind = kinds[index]
            if kind in _MATES:
                depth += 1
            elif kind in _CLOSERS:
                depth -= 1
            elif kind == "where":
                return index + 1
            elif (
                indents[index]
                and index > 1
                and (kind in _NEW_DECLARATION or (depth <= 0 and kind != "where"))
            ):
                self._problem(0, "the module header has no 'where'")
                return index
        if len(kinds) > 2:
            self._problem(0, "the module header has no 'where'")
        return min(2, len(kinds))
