"""Patterns and types: a token stream with layout to trees."""

from __future__ import annotations

import dataclasses

from canton_mcp.daml.cursor import ENDS, HOLES, MAX_DEPTH, Cursor
from canton_mcp.daml.layout import OPEN
from canton_mcp.daml.tree import Pattern, Type

__all__ = ["TYPE_ATOMS", "Shapes"]

TYPE_ATOMS = frozenset({"con", "var", "(", "[", "num", "str"})
_NO_TYPE = Type("", (), "")


class Shapes(Cursor):
    """Reads what values are taken apart with, and what they are."""

    # Patterns

    def whole_pattern(self, end: int) -> Pattern:
        """A pattern that takes all tokens up to `end`."""
        first = self.at
        pattern = self.pattern()
        if self.at != end:
            self.unexpected(self.at)
            self.at = end
            return Pattern(self.place(first, max(end - 1, first)), "unread")
        return pattern

    def pattern(self) -> Pattern:
        """A pattern with ``::`` and a type, or one that applies a constructor."""
        self.depth += 1
        first = self.at
        if self.depth > MAX_DEPTH:
            while self.kinds[self.at] not in ENDS:
                self.step()
            self.depth -= 1
            return Pattern(self.since(first), "unread")
        left = self.pattern_application()
        if self.kinds[self.at] == "op" and self.texts[self.at] == "::":
            self.at += 1
            right = self.pattern()
            left = Pattern(self.since(first), "cons", parts=(left, right))
        if self.kinds[self.at] == ":":
            self.at += 1
            left = dataclasses.replace(left, type=self.type())
        self.depth -= 1
        return left

    def pattern_application(self) -> Pattern:
        """A constructor with its parts, or a single pattern."""
        first = self.at
        head = self.pattern_atom()
        if head.kind != "constructor" or head.fields or head.rest:
            return head
        parts: list[Pattern] = []
        while self.kinds[self.at] in ("var", "con", "(", "[", "num", "str", "chr") or self.is_strict():
            parts.append(self.pattern_atom())
        if not parts:
            return head
        return Pattern(self.since(first), "constructor", head.name, tuple(parts))

    def is_strict(self) -> bool:
        """Whether ``!`` or ``~`` stands before a pattern."""
        return self.kinds[self.at] == "op" and self.texts[self.at] in ("!", "~")

    def pattern_atom(self) -> Pattern:
        """A single pattern."""
        kinds = self.kinds
        first = self.at
        kind, text = kinds[first], self.texts[first]
        if kind in ENDS:
            return Pattern(self.place(first, first), "unread")
        self.at += 1
        if kind == "var":
            if kinds[self.at] == "@":
                self.at += 1
                inner = self.pattern_part()
                return Pattern(self.since(first), "as", text, (inner,))
            if text == "_":
                return Pattern(self.place(first, first), "wildcard")
            return Pattern(self.place(first, first), "name", text)
        if kind == "con":
            return self.pattern_constructor(first)
        if kind == "num" or kind == "str" or kind == "chr":
            return Pattern(self.place(first, first), "literal", text)
        if kind == "op" and text == "-" and kinds[self.at] == "num":
            self.at += 1
            return Pattern(self.since(first), "literal", "-" + self.texts[first + 1])
        if kind == "op" and text in ("!", "~"):
            return self.pattern_part()
        if kind == "(" or kind == "[":
            return self.pattern_group(first)
        self.at = first
        self.step()
        return Pattern(self.since(first), "unread")

    def pattern_part(self) -> Pattern:
        """The single pattern behind ``x@`` or ``!``."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            first = self.at
            while self.kinds[self.at] not in ENDS:
                self.step()
            part = Pattern(self.since(first), "unread")
        else:
            part = self.pattern_atom()
        self.depth -= 1
        return part

    def pattern_group(self, first: int) -> Pattern:
        """Patterns in parentheses or brackets."""
        kinds = self.kinds
        close = self.jumps[first]
        parts: list[Pattern] = []
        while self.at < close:
            parts.append(self.pattern())
            if kinds[self.at] != ",":
                break
            self.at += 1
        complete = self.at == close
        self.at = close + 1
        place = self.place(first, close)
        if not complete:
            return Pattern(place, "unread", parts=tuple(parts))
        if kinds[first] == "[":
            return Pattern(place, "list", parts=tuple(parts))
        if len(parts) == 1:
            return parts[0]
        return Pattern(place, "tuple", parts=tuple(parts))

    def pattern_constructor(self, first: int) -> Pattern:
        """A constructor, with its fields if they stand in braces or after ``with``."""
        kinds = self.kinds
        name = self.texts[first].rpartition(".")[2]
        fields: list[tuple[str, Pattern]] = []
        rest = False
        if kinds[self.at] == "{":
            end = self.jumps[self.at]
            self.at += 1
            rest = self.pattern_fields(end, fields)
            self.at = end + 1
        elif kinds[self.at] == "with" and kinds[self.at + 1] == OPEN:
            for _, start, end in self.items(self.at + 1):
                self.at = start
                rest = self.pattern_fields(end, fields) or rest
        else:
            return Pattern(self.place(first, first), "constructor", name)
        return Pattern(self.since(first), "constructor", name, fields=tuple(fields), rest=rest)

    def pattern_fields(self, end: int, fields: list[tuple[str, Pattern]]) -> bool:
        """Reads field patterns up to `end`; whether ``..`` is among them."""
        kinds = self.kinds
        rest = False
        while self.at < end:
            first = self.at
            if kinds[first] == "..":
                rest = True
                self.at += 1
            elif kinds[first] == "var":
                name = self.texts[first].rpartition(".")[2]
                self.at += 1
                if kinds[self.at] == "=":
                    self.at += 1
                    fields.append((name, self.pattern()))
                else:
                    fields.append((name, Pattern(self.place(first, first), "name", name)))
            else:
                self.step()
        self.at = end
        return rest

    # Types

    def type(self) -> Type:
        """A type; a context before ``=>`` and ``forall`` are dropped."""
        self.depth += 1
        try:
            kinds = self.kinds
            first = self.at
            if self.depth > MAX_DEPTH:
                while kinds[self.at] not in ENDS:
                    self.step()
                return Type("", (), self.words(first, self.at))
            if kinds[first] == "var" and self.texts[first] == "forall":
                while kinds[self.at] == "var" or kinds[self.at] == "(":
                    self.step()
                if kinds[self.at] == "op" and self.texts[self.at] == ".":
                    self.at += 1
                first = self.at
            left = self.type_application()
            while kinds[self.at] == "=>":
                self.at += 1
                first = self.at
                left = self.type_application()
            if kinds[self.at] != "->":
                return left
            parts = [left]
            while kinds[self.at] == "->":
                self.at += 1
                parts.append(self.type_application())
            return Type("->", tuple(parts), self.words(first, self.at))
        finally:
            self.depth -= 1

    def type_application(self) -> Type:
        """A type with its arguments."""
        first = self.at
        head = self.type_atom()
        kinds = self.kinds
        arguments: list[Type] = []
        while kinds[self.at] in TYPE_ATOMS:
            if self.in_choice_head and self.texts[self.at] in ("observer", "authority"):
                break
            arguments.append(self.type_atom())
        if not arguments:
            return head
        return Type(head.head, (*head.arguments, *arguments), self.words(first, self.at))

    def type_atom(self) -> Type:
        """One type: a name, a list, a tuple, or what stands in parentheses."""
        kinds = self.kinds
        first = self.at
        kind = kinds[first]
        if kind == "con":
            self.at += 1
            text = self.texts[first]
            return Type(text.rpartition(".")[2], (), text)
        if kind == "var" or kind == "num" or kind == "str":
            self.at += 1
            return Type(self.texts[first], (), self.texts[first])
        if kind == "op" and self.texts[first] in ("!", "~", "*"):
            self.at += 1
            return self.type_atom() if kinds[self.at] in TYPE_ATOMS else Type("*", (), "*")
        if kind != "(" and kind != "[":
            self.unexpected(first)
            self.at += kind in HOLES
            return _NO_TYPE
        close = self.jumps[first]
        self.at += 1
        parts: list[Type] = []
        if kinds[self.at] == "->" or kinds[self.at] == ",":
            self.at = close
        in_choice_head, self.in_choice_head = self.in_choice_head, False
        while self.at < close:
            parts.append(self.type())
            if kinds[self.at] == ":":  # A kind: (a : Type).
                self.at += 1
                self.type()
            if kinds[self.at] != ",":
                break
            self.at += 1
        self.in_choice_head = in_choice_head
        if self.at != close:
            self.unexpected(self.at)
        self.at = close + 1
        if kind == "(" and len(parts) == 1:
            return parts[0]
        return Type("[]" if kind == "[" else "()", tuple(parts), self.words(first, self.at))
