"""Expressions, statements and bindings: a token stream with layout to trees.

Reading goes on behind whatever cannot be read: that becomes `Unread` and a problem. Nesting is bounded, so no text
takes a deep stack.
"""

from __future__ import annotations

import dataclasses

from canton_mcp.daml import tree
from canton_mcp.daml.chains import DEFAULT_FIXITY, FIXITIES, MAX_CHAIN, Operand, flattened, unqualified
from canton_mcp.daml.cursor import ENDS, MAX_DEPTH
from canton_mcp.daml.layout import OPEN
from canton_mcp.daml.shapes import Shapes
from canton_mcp.daml.tree import Expression, Pattern, Place, Type, placed

__all__ = ["ATOMS", "INFIX", "Terms"]

ATOMS = frozenset(
    ["var", "con", "num", "str", "chr", "(", "[", "(.f", "@T", "do", "if", "case", "let", "try", "\\", "hole"]
)
"""Kinds that an expression or an argument can start with."""
INFIX = frozenset({"op", "`"})
_OPERATOR_NAMES = frozenset({"op", ":", "->", "=>", "..", "|", "="})


class Terms(Shapes):
    """Recursive descent over a stream."""

    # Expressions

    def expression(self) -> Expression:
        """An expression with operators, and its type if it has one."""
        self.depth += 1
        if self.depth > self.deepest:
            self.deepest = self.depth
            if self.depth > MAX_DEPTH:
                self.deepest -= 1
                value = self.too_deep()
                self.depth -= 1
                return value
        first = self.at
        value = self.operand()
        if self.kinds[self.at] in INFIX:
            value = self.chain(value, first)
        if self.kinds[self.at] == ":":
            self.at += 1
            type_ = self.type()
            last = value.arguments[-1] if type(value) is tree.Application else value
            if type(last) is tree.Record and last.fields and type_.head[:1].islower():
                self.problem(first, f"a field is set by '=': {last.fields[-1].path[-1]} = {type_.text}")
            value = tree.Typed(self.since(first), value, type_)
        self.depth -= 1
        return value

    def too_deep(self) -> Expression:
        """Steps over an expression that is nested too deeply."""
        first = self.at
        self.problem(first, "expressions nest too deeply to be read")
        kinds = self.kinds
        while kinds[self.at] not in ENDS:
            self.step()
        return tree.Unread(self.since(first), self.words(first, self.at))

    def operand(self) -> Expression:
        """A function with its arguments, or a negative value."""
        kinds = self.kinds
        first = self.at
        kind = kinds[first]
        if kind not in ATOMS:
            if kind == "op" and self.texts[first] == "-" and kinds[first + 1] in ATOMS:
                self.at += 1
                value = self.operand()
                return tree.Section(self.since(first), "-", None, value)
            self.unexpected(first)
            return tree.Unread(self.place(first, first), self.texts[first])
        function = self.atom()
        if kinds[self.at] not in ATOMS:
            return function
        arguments = [self.atom()]
        while kinds[self.at] in ATOMS:
            arguments.append(self.atom())
        place = self.since(first)
        if type(function) is tree.Application:
            return tree.Application(place, function.function, (*function.arguments, *arguments))
        return tree.Application(place, function, tuple(arguments))

    def atom(self) -> Expression:
        """One argument: a name, a literal, a group, a block; with the fields or the record members after it."""
        first = self.at
        kind = self.kinds[first]
        value: Expression
        if kind == "var" or kind == "con":
            text = self.texts[first]
            self.at = first + 1
            qualifier = ""
            if "." in text:
                qualifier, _, text = text.rpartition(".")
            line = self.lines[first]
            start = self.starts[first]
            place = placed((line, start - self.line_starts[line] + 1, start, self.ends[first]))
            value = tree.Name(place, text, qualifier)
        elif kind == "(":
            value = self.group()
        elif kind == "str" or kind == "num" or kind == "chr":
            self.at = first + 1
            value = tree.Literal_(
                self.place(first, first),
                "text" if kind == "str" else "number" if kind == "num" else "character",
                self.texts[first],
            )
        elif kind == "[":
            value = self.list_of()
        elif kind == "do":
            return self.do()
        elif kind == "@T":
            self.at = first + 1
            type_ = self.type_atom()
            return tree.TypeArgument(self.since(first), type_)
        elif kind == "\\":
            return self.lambda_()
        elif kind == "if":
            return self.if_()
        elif kind == "case":
            return self.case()
        elif kind == "let":
            return self.let()
        elif kind == "try":
            return self.try_()
        elif kind == "hole":
            self.unexpected(first)
            self.at = first + 1
            return tree.Unread(self.place(first, first), self.texts[first])
        else:
            self.at = first + 1
            value = tree.FieldAccess(self.place(first, first), None, self.texts[first][1:])
        kind = self.kinds[self.at]
        if kind == ".f" or kind == "with" or kind == "{":
            return self.suffixes(value, first)
        return value

    def suffixes(self, value: Expression, first: int) -> Expression:
        """Field accesses and record members after a value."""
        kinds = self.kinds
        height = 0
        while True:
            kind = kinds[self.at]
            if kind == ".f":
                self.at += 1
                name = self.texts[self.at - 1][1:]
                value = tree.FieldAccess(self.since(first), value, name)
            elif kind == "with" and kinds[self.at + 1] == OPEN:
                self.at += 1
                value = self.record(value, first)
            elif kind == "{":
                value = self.braces(value, first)
            else:
                break
            height += 1
            if height == MAX_CHAIN and kinds[self.at] in (".f", "{"):
                while kinds[self.at] in (".f", "{"):
                    self.step()
                value = tree.Unread(self.since(first), self.words(first, self.at), (value,))
        if height > self.tallest:
            self.tallest = height
        return value

    def record(self, subject: Expression, first: int) -> Expression:
        """Members in a ``with`` block that opens at the current token."""
        fields: list[tree.FieldValue] = []
        rest = False
        for _, start, end in self.items(self.at):
            self.at = start
            rest = self.members_until(end, fields) or rest
        return tree.Record(self.since(first), subject, tuple(fields), rest)

    def braces(self, subject: Expression, first: int) -> Expression:
        """Members in braces."""
        fields: list[tree.FieldValue] = []
        end = self.jumps[self.at]
        self.at += 1
        rest = self.members_until(end, fields)
        self.at = end + 1
        return tree.Record(self.since(first), subject, tuple(fields), rest)

    def members_until(self, end: int, fields: list[tree.FieldValue]) -> bool:
        """Reads record members up to `end`; whether ``..`` is among them."""
        kinds = self.kinds
        rest = False
        while self.at < end:
            first = self.at
            kind = kinds[first]
            if kind == "var":
                path = [self.texts[first].rpartition(".")[2]]
                self.at += 1
                while kinds[self.at] == ".f":
                    path.append(self.texts[self.at][1:])
                    self.at += 1
                if kinds[self.at] == "=":
                    self.at += 1
                    value = self.expression()
                    pun = False
                else:
                    value = tree.Name(self.place(first, first), path[-1])
                    pun = True
                fields.append(tree.FieldValue(self.since(first), tuple(path), value, pun))
            elif kind == "..":
                rest = True
                self.at += 1
            elif kind == "," or kind == ";":
                self.at += 1
                continue
            if self.at < end and kinds[self.at] not in (",", ";"):
                # Members of several kinds could not be told apart: what is left goes to the last one.
                first = self.at
                value = self.leftover((), first, end)
                fields.append(tree.FieldValue(value.place, ("",), value))
        return rest

    def leftover(self, parts: tuple[Expression, ...], first: int, end: int) -> tree.Unread:
        """All from `first` to `end`, of which `parts` could be read: notes the problem and collects what else can be."""
        kinds = self.kinds
        if not self.problems or self.problems[-1].place.start < self.starts[first]:
            self.unexpected(self.at)  # What follows from a problem in the same item is not told.
        found = list(parts)
        while self.at < end:
            kind = kinds[self.at]
            if kind in ATOMS:
                found.append(self.expression())
            elif kind == OPEN:
                found.append(self.statements(self.at))
            else:
                self.at += 1
        self.at = end
        return tree.Unread(self.place(first, max(end - 1, first)), self.words(first, end), tuple(found))

    def whole(self, end: int) -> Expression:
        """An expression that takes all tokens up to `end`."""
        first = self.at
        value = self.expression()
        if self.at != end:
            return self.leftover((value,), first, end)
        return value

    def group(self) -> Expression:
        """What stands in parentheses."""
        kinds = self.kinds
        first = self.at
        close = self.jumps[first]
        inside = first + 1
        kind = kinds[inside]
        self.at = inside
        value: Expression
        if inside == close:
            value = tree.TupleOf(self.place(first, close), ())
        elif inside + 1 == close and (kind in _OPERATOR_NAMES or kind == "@"):
            value = tree.Name(self.place(first, close), self.texts[inside])
        elif kind == "," and all(other == "," for other in kinds[inside:close]):
            value = tree.Name(self.place(first, close), self.texts[inside] * (close - inside))
        elif kind == "op" and self.texts[inside] != "-":
            self.at += 1
            right = self.expression()
            value = tree.Section(self.place(first, close), unqualified(self.texts[inside]), None, right)
            if self.at != close:
                value = self.leftover((value,), first, close)
        elif kind == "`" and kinds[inside + 2] == "`":
            self.at += 3
            right = self.expression()
            value = tree.Section(
                self.place(first, close), self.texts[inside + 1].rpartition(".")[2], None, right
            )
            if self.at != close:
                value = self.leftover((value,), first, close)
        else:
            if kind == ",":
                self.at += 1
                right = self.expression()
                section = self.at == close
                value = tree.Section(self.place(first, close), ",", None, right) if section else right
            else:
                value = self.expression()
            if kinds[self.at] == "," and self.at + 1 == close:
                value = tree.Section(self.place(first, close), ",", value, None)
            elif kinds[self.at] == "," and self.at < close:
                values = [value]
                while kinds[self.at] == "," and self.at + 1 < close:
                    self.at += 1
                    values.append(self.expression())
                value = tree.TupleOf(self.place(first, close), tuple(values))
                if self.at != close:
                    value = self.leftover(tuple(values), first, close)
            elif self.at != close:
                value = self.leftover((value,), first, close)
        self.at = close + 1
        return value

    def list_of(self) -> Expression:
        """A list; ranges and comprehensions become `Unread` with their parts."""
        kinds = self.kinds
        first = self.at
        close = self.jumps[first]
        self.at = first + 1
        values: list[Expression] = []
        plain = True
        while self.at < close:
            values.append(self.expression())
            kind = kinds[self.at]
            if self.at >= close:
                break
            if kind in ("..", "|", "<-"):
                plain = False
                self.at += 1
            elif kind == "," and self.at + 1 < close:
                self.at += 1
            else:
                unread = self.leftover(tuple(values), first, close)
                self.at = close + 1
                return unread
        self.at = close + 1
        place = self.place(first, close)
        if plain:
            return tree.ListOf(place, tuple(values))
        return tree.Unread(place, self.words(first, close + 1), tuple(values))

    def do(self) -> Expression:
        """A block of statements after ``do``."""
        first = self.at
        self.at += 1
        if self.kinds[self.at] != OPEN:
            self.unexpected(self.at)
            return tree.Do(self.since(first), ())
        return self.statements(first)

    def statements(self, first: int) -> tree.Do:
        """The statements of a block that opens at `first` or right behind it."""
        opened = first if self.kinds[first] == OPEN else first + 1
        if self.depth >= MAX_DEPTH:
            self.problem(first, "blocks nest too deeply to be read")
            self.at = self.block_end(opened) + 1
            return tree.Do(self.since(first), ())
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)
        found = [self.statement(separator, start, end) for separator, start, end in self.items(opened)]
        self.depth -= 1
        if not found:
            self.problem(first, "this 'do' block is empty: it needs a statement, for example: pure ()")
        return tree.Do(self.since(first), tuple(found))

    def statement(self, separator: int, start: int, end: int) -> tree.Statement:
        """The statement from `start` to `end`."""
        kinds = self.kinds
        self.at = start
        if kinds[start] == "let" and kinds[start + 1] == OPEN and self.block_end(start + 1) + 1 == end:
            bindings = self.bindings(start + 1)
            return tree.LetStatement(self.since(start), bindings)
        arrow = self.marks.get(separator)
        if arrow is not None and kinds[arrow] == "<-":
            pattern = self.whole_pattern(arrow)
            self.at = arrow + 1
            value = self.whole(end)
            return tree.Bind(self.since(start), pattern, value)
        if kinds[start] == "var" and kinds[start + 1] == "=":
            self.problem(start, f"a name in a 'do' block is defined with 'let': let {self.texts[start]} = …")
        value = self.whole(end)
        return tree.Run(value.place, value)

    def lambda_(self) -> Expression:
        r"""``\x y -> body`` or ``\case``."""
        kinds = self.kinds
        first = self.at
        self.at += 1
        if kinds[self.at] == "case" and kinds[self.at + 1] == OPEN:
            name = "\\case"
            place = self.place(first, self.at)
            alternatives = self.alternatives(self.at + 1)
            case = tree.Case(self.since(first), tree.Name(place, name), alternatives)
            return tree.Lambda(case.place, (Pattern(place, "name", name),), case)
        parameters: list[Pattern] = []
        while kinds[self.at] != "->" and kinds[self.at] not in ENDS:
            parameters.append(self.pattern_atom())
        if kinds[self.at] != "->":
            self.unexpected(self.at)
            return tree.Unread(self.since(first), self.words(first, self.at))
        self.at += 1
        body = self.expression()
        return tree.Lambda(self.since(first), tuple(parameters), body)

    def if_(self) -> Expression:
        """``if c then a else b``, or with guards."""
        kinds = self.kinds
        first = self.at
        self.at += 1
        if kinds[self.at] == OPEN:
            return self.multiway(first)
        condition = self.expression()
        if kinds[self.at] == "=":
            self.unexpected(self.at)
        if kinds[self.at] != "then":
            self.problem(self.at, "an 'if' needs a 'then' and an 'else'")
            return tree.Unread(self.since(first), self.words(first, self.at), (condition,))
        self.at += 1
        then = self.expression()
        otherwise: Expression | None = None
        if kinds[self.at] == "else":
            self.at += 1
            otherwise = self.expression()
        else:
            self.problem(first, "an 'if' needs a 'then' and an 'else'")
        return tree.If(self.since(first), condition, then, otherwise)

    def multiway(self, first: int) -> Expression:
        """``if | c -> a | d -> b``."""
        kinds = self.kinds
        opened = self.at
        close = self.block_end(opened)
        arms: list[tuple[int, Expression, Expression]] = []
        self.at = opened + 1
        while kinds[self.at] == "|":
            start = self.at
            self.at += 1
            conditions = self.guards()
            if kinds[self.at] == "->":
                self.at += 1
            body = self.expression()
            condition = conditions[0]
            for other in conditions[1:]:
                condition = tree.Operation(self.since(start), "&&", condition, other)
            arms.append((start, condition, body))
        unread = None if self.at == close else self.leftover((), self.at, close)
        self.at = close + 1
        value: Expression | None = unread
        for start, condition, body in reversed(arms[:MAX_DEPTH]):
            always = (
                value is None and isinstance(condition, tree.Name) and condition.name in ("otherwise", "True")
            )
            value = body if always else tree.If(self.place(start, close), condition, body, value)
        self.tallest = max(self.tallest, min(len(arms), MAX_DEPTH))
        if value is None:
            return tree.Unread(self.since(first), self.words(first, self.at))
        return value

    def case(self) -> Expression:
        """``case x of`` with its arms."""
        kinds = self.kinds
        first = self.at
        self.at += 1
        subject = self.expression()
        if kinds[self.at] != "of" or kinds[self.at + 1] != OPEN:
            self.problem(first, "a 'case' needs an 'of' with alternatives")
            return tree.Unread(self.since(first), self.words(first, self.at), (subject,))
        alternatives = self.alternatives(self.at + 1)
        return tree.Case(self.since(first), subject, alternatives)

    def alternatives(self, opened: int) -> tuple[tree.Alternative, ...]:
        """The arms in the block that opens at `opened`."""
        kinds = self.kinds
        found: list[tree.Alternative] = []
        for separator, start, end in self.items(opened):
            self.at = start
            mark = self.marks.get(separator)
            if mark is None:
                if "=>" in kinds[start:end]:
                    self.problem(
                        kinds.index("=>", start), "'->' stands between the pattern and the result, not '=>'"
                    )
                value = self.leftover((), start, end)
                found.append(tree.Alternative(value.place, Pattern(value.place, "unread"), (), value))
                continue
            pattern = self.whole_pattern(mark)
            arms: list[tuple[tuple[Expression, ...], Expression, Place]] = []
            self.at = mark
            while kinds[self.at] == "|":
                at = self.at
                self.at += 1
                guards = self.guards()
                if kinds[self.at] != "->":
                    break
                self.at += 1
                arms.append((guards, self.expression(), self.since(at)))
            if kinds[mark] == "->":
                self.at = mark + 1
                arms.append(((), self.expression(), self.since(start)))
            where = self.where()
            if self.at != end:
                read = tuple(body for _, body, _ in arms[-1:])
                value = self.leftover(read, mark, end)
                arms = [*arms[:-1], (arms[-1][0] if arms else (), value, value.place)]
            for guards, body, place in arms:
                if where:
                    body = tree.Let(body.place, where, body)
                found.append(tree.Alternative(place, pattern, guards, body))
        return tuple(found)

    def guards(self) -> tuple[Expression, ...]:
        """Conditions after ``|``, separated by commas; ``p <- e`` and ``let`` among them."""
        kinds = self.kinds
        found: list[Expression] = []
        while True:
            first = self.at
            value = self.expression()
            if kinds[self.at] == "<-":
                self.at += 1
                right = self.expression()
                value = tree.Operation(self.since(first), "<-", value, right)
            found.append(value)
            if kinds[self.at] != ",":
                return tuple(found)
            self.at += 1

    def where(self) -> tuple[tree.Binding, ...]:
        """Bindings after ``where``, if it stands here."""
        if self.kinds[self.at] == "where" and self.kinds[self.at + 1] == OPEN:
            return self.bindings(self.at + 1)
        return ()

    def let(self) -> Expression:
        """``let .. in body``; in a guard there is no body."""
        kinds = self.kinds
        first = self.at
        self.at += 1
        if kinds[self.at] != OPEN:
            self.unexpected(self.at)
            return tree.Unread(self.since(first), self.words(first, self.at))
        bindings = self.bindings(self.at)
        if kinds[self.at] == "in":
            self.at += 1
            body = self.expression()
            return tree.Let(self.since(first), bindings, body)
        place = self.since(first)
        return tree.Let(place, bindings, tree.TupleOf(place, ()))

    def try_(self) -> Expression:
        """``try body catch arms``."""
        kinds = self.kinds
        first = self.at
        self.at += 1
        body = self.expression()
        alternatives: tuple[tree.Alternative, ...] = ()
        if kinds[self.at] == "catch" and kinds[self.at + 1] == OPEN:
            alternatives = self.alternatives(self.at + 1)
        else:
            self.problem(first, "a 'try' needs a 'catch' with alternatives")
        return tree.Try(self.since(first), body, alternatives)

    # Operators

    def chain(self, value: Expression, first: int) -> Expression:
        """Operands and operators from a first operand that has been read, put together by their fixities."""
        kinds, texts = self.kinds, self.texts
        operands = [Operand(value, first, self.at - 1)]
        pending: list[tuple[str, int, str, int]] = []
        everything = [value]
        made: list[Expression] = []
        while kinds[self.at] in INFIX:
            at = self.at
            backtick = kinds[at] == "`"
            if backtick:
                if kinds[at + 2] != "`":
                    break
                name = texts[at + 1]
                self.at += 3
            else:
                name = unqualified(texts[at])
                self.at += 1
            plain = name.rpartition(".")[2] if backtick else name
            level, side = self.fixities.get(plain) or FIXITIES.get(plain, DEFAULT_FIXITY)
            if kinds[self.at] == ")":
                while pending:
                    self.reduce(operands, pending, made)
                place = self.place(first, self.at - 1)
                return tree.Section(place, plain, self.finished(operands[0], everything, made, first), None)
            while pending and (pending[-1][1] > level or (pending[-1][1] == level and side == "l")):
                self.reduce(operands, pending, made)
            pending.append((name, level, "`" if backtick else "", at))
            start = self.at
            value = self.operand()
            if self.at == start:
                # The operand is missing: the problem is noted.
                self.at = start
                operands.append(Operand(value, start, start))
                everything.append(value)
                break
            operands.append(Operand(value, start, self.at - 1))
            everything.append(value)
        while pending:
            self.reduce(operands, pending, made)
        return self.finished(operands[0], everything, made, first)

    def reduce(
        self, operands: list[Operand], pending: list[tuple[str, int, str, int]], made: list[Expression]
    ) -> None:
        """Applies the operator that is pending last to the last two operands; the result is also added to `made`."""
        name, _, quote, at = pending.pop()
        right = operands.pop()
        left = operands[-1]
        place = self.place(left.first, max(right.last, left.first))
        node: Expression
        if quote:
            qualifier, _, plain = name.rpartition(".")
            function = tree.Name(self.place(at, at + 2), plain, qualifier)
            node = tree.Application(place, function, (left.node, right.node))
        elif name == "$":
            if type(left.node) is tree.Application:
                node = tree.Application(place, left.node.function, (*left.node.arguments, right.node))
            else:
                node = tree.Application(place, left.node, (right.node,))
        else:
            node = tree.Operation(place, name, left.node, right.node)
        made.append(node)
        left.node = node
        left.last = right.last
        left.height = max(left.height, right.height) + 1

    def finished(
        self, operand: Operand, everything: list[Expression], made: list[Expression], first: int
    ) -> Expression:
        """The tree of a chain, made flatter if it is a long one."""
        node = operand.node
        if operand.height <= MAX_CHAIN:
            self.tallest = max(self.tallest, operand.height)
            return node
        flat = flattened(node, {id(part) for part in made})
        self.tallest = max(self.tallest, MAX_CHAIN)
        if flat is not None:
            return flat
        return tree.Unread(node.place, self.words(first, self.at), tuple(everything))

    # Bindings

    def bindings(self, opened: int) -> tuple[tree.Binding, ...]:
        """The bindings in the block that opens at `opened`; signatures go to the names they belong to."""
        found: list[tree.Binding] = []
        signatures: dict[str, Type] = {}
        if self.depth >= MAX_DEPTH:
            self.problem(opened, "definitions nest too deeply to be read")
            self.at = self.block_end(opened) + 1
            return ()
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)
        for separator, start, end in self.items(opened):
            self.at = start
            names = self.signature(end)
            if names is not None:
                signatures.update(names)
                continue
            found += self.binding(separator, start, end)
        self.depth -= 1
        if signatures:
            found = [
                dataclasses.replace(
                    binding,
                    pattern=dataclasses.replace(binding.pattern, type=signatures[binding.pattern.name]),
                )
                if binding.pattern.kind == "name" and binding.pattern.name in signatures
                else binding
                for binding in found
            ]
        return tuple(found)

    def signature(self, end: int) -> dict[str, Type] | None:
        """The names and the type of a signature that ends at `end`; None if none stands here."""
        kinds, texts = self.kinds, self.texts
        at = self.at
        names: list[str] = []
        while True:
            if kinds[at] == "var":
                names.append(texts[at])
                at += 1
            elif kinds[at] == "(" and self.jumps[at] == at + 2:
                names.append(texts[at + 1])
                at += 3
            else:
                return None
            if kinds[at] != ",":
                break
            at += 1
        if kinds[at] == "op" and texts[at] == "::" and "=" not in kinds[at:end]:
            self.double_colon(at)
        elif kinds[at] != ":":
            return None
        start = self.at
        self.at = at + 1
        type_ = self.type()
        if self.at != end:
            if kinds[self.at] == "=":  # x : T = value
                self.at = start
                return None
            self.unexpected(self.at)
            self.at = end
        return dict.fromkeys(names, type_)

    def binding(self, separator: int, start: int, end: int) -> list[tree.Binding]:
        """The binding from `start` to `end`, once for each guarded value."""
        kinds = self.kinds
        mark = self.marks.get(separator)
        self.at = start
        if mark is None or kinds[mark] not in ("=", "|"):
            value: Expression = self.whole(end)
            if type(value) is not tree.Unread:
                self.problem(start, "a definition needs '='")
                value = tree.Unread(value.place, self.words(start, end), (value,))
            return [tree.Binding(value.place, Pattern(value.place, "unread"), (), value)]
        pattern, parameters = self.left_side(mark)
        self.at = mark
        arms: list[tuple[int, tuple[Expression, ...], Expression]] = []
        if kinds[mark] == "=":
            self.at += 1
            arms.append((start, (), self.expression()))
        while kinds[self.at] == "|" and self.at < end:
            first = self.at
            self.at += 1
            guards = self.guards()
            if kinds[self.at] != "=":
                break
            self.at += 1
            arms.append((first, guards, self.expression()))
        where = self.where()
        place = self.place(start, end - 1)
        if self.at != end:
            read = tuple(value for _, _, value in arms[-1:])
            rest = self.leftover(read, mark, end)
            arms = [*arms[:-1], (arms[-1][0] if arms else start, arms[-1][1] if arms else (), rest)]
        return [
            tree.Binding(
                place if first == start else value.place,
                pattern,
                parameters,
                tree.Let(value.place, where, value) if where else value,
                guards,
            )
            for first, guards, value in arms
        ]

    def left_side(self, end: int) -> tuple[Pattern, tuple[Pattern, ...]]:
        """What a binding defines, up to `end`: a pattern, or a function with parameters."""
        kinds, texts = self.kinds, self.texts
        start = self.at
        following = kinds[start + 1]
        if kinds[start] == "var" and (start + 1 == end or (following != "`" and following not in (":", "@"))):
            name = Pattern(self.place(start, start), "name", texts[start])
            if start + 1 == end:
                return name, ()
            if following != "op" or texts[start + 1] in ("!", "~"):
                self.at += 1
                return name, self.parameters(end)
        elif kinds[start] == "(" and self.jumps[start] == start + 2 and kinds[start + 1] == "op":
            name = Pattern(self.place(start, start + 2), "name", texts[start + 1])
            self.at += 3
            return name, self.parameters(end)
        left = self.pattern()
        if self.at < end and kinds[self.at] in INFIX:
            at = self.at + 1 if kinds[self.at] == "`" else self.at
            name = Pattern(self.place(at, at), "name", texts[at])
            self.at = at + 2 if kinds[self.at] == "`" else at + 1
            right = self.whole_pattern(end)
            return name, (left, right)
        if self.at < end and kinds[start] == "(":  # (x `op` y) z = ..
            return Pattern(self.place(start, max(end - 1, start)), "unread"), ()
        if self.at != end:
            self.unexpected(self.at)
            return Pattern(self.place(start, max(end - 1, start)), "unread"), ()
        return left, ()

    def parameters(self, end: int) -> tuple[Pattern, ...]:
        """The patterns up to `end`."""
        found: list[Pattern] = []
        while self.at < end:
            if self.kinds[self.at] == ":":  # The type of the result.
                self.at += 1
                self.type()
                break
            first = self.at
            found.append(self.pattern_atom())
            if self.at == first:
                self.at += 1
        return tuple(found)
