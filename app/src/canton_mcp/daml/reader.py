"""Source text to a tree: the declarations of all eras, in whole modules and in pasted parts of them.

Reading goes on behind whatever cannot be read: that becomes `Unread` and a problem. The length of a text, its nesting
and the number of problems are bounded, so any text takes linear time.
"""

from __future__ import annotations

import dataclasses

from canton_mcp.daml import tree
from canton_mcp.daml.cursor import HOLES
from canton_mcp.daml.drafts import ChoiceHead, Found, Members, lowered
from canton_mcp.daml.layout import CLOSE, END, OPEN, SEPARATOR, arrange
from canton_mcp.daml.lexer import KEYWORDS, scan
from canton_mcp.daml.pause import LONG, uncollected
from canton_mcp.daml.shapes import TYPE_ATOMS
from canton_mcp.daml.terms import ATOMS, Terms
from canton_mcp.daml.tree import Expression, Place

__all__ = ["MAX_TEXT", "read"]

MAX_TEXT = 2_000_000
"""Characters of a text that are read."""
_CHARS_PER_TOKEN = 5
"""At least, in code as people write it."""
_MAX_HEIGHT = 200
"""How high the tree of one declaration may be."""

_CONSUMPTIONS: dict[str, tree.Consumption] = {
    "nonconsuming": "nonconsuming",
    "preconsuming": "preconsuming",
    "postconsuming": "postconsuming",
}
_PARTY_CLAUSES = frozenset({"signatory", "observer", "maintainer"})
_CLAUSE_ENDS = frozenset(
    ["body", "do", "controller", "where", "with", "can", "observer", "authority", "elided", "fields"]
)
"""Kinds before which the parties of a clause end."""
_PROSE_WORDS = 12
_ENGLISH = (
    frozenset(
        {
            "the",
            "a",
            "an",
            "is",
            "are",
            "my",
            "it",
            "i",
            "you",
            "your",
            "have",
            "has",
            "does",
            "not",
            "and",
            "but",
            "why",
        }
        | {
            "please",
            "thanks",
            "here",
            "for",
            "following",
            "when",
            "get",
            "error",
            "code",
            "what",
            "how",
            "can",
            "with",
        }
        | {"to", "want", "help", "hi", "hello", "all"}
    )
    - KEYWORDS
)


def read(text: str) -> tree.Module:
    """The tree of a DAML text, of a part of one, or of what is left of one; never raises."""
    incomplete = ""
    source = text
    if len(text) > MAX_TEXT:
        source = text[:MAX_TEXT]
        incomplete = f"the text has {len(text)} characters: only the first {MAX_TEXT} were read"
    with uncollected(len(source) > _CHARS_PER_TOKEN * LONG):
        return _Reader(arrange(scan(source))).module(text, incomplete)


class _Reader(Terms):
    """Declarations, from the top of a stream."""

    # Declarations

    def module(self, text: str, incomplete: str) -> tree.Module:
        """The whole stream."""
        kinds, texts = self.kinds, self.texts
        header = self.stream.header
        name = texts[1] if header > 1 and kinds[1] == "con" else ""
        self.read_fixities()
        found = Found()
        for separator, start, end in self.items(header):
            self.depth = 0
            self.in_choice_head = False
            self.at = start
            try:
                self.declaration(found, separator, start, end)
            except RecursionError:
                self.problem(start, "this declaration nests too deeply to be read")
        if found.members.clauses:
            found.members.place = self.place(header, header)
            found.templates.append(found.members)
        else:
            found.loose_choices += found.members.choices
        module = tree.Module(
            text=text,
            name=name,
            imports=tuple(found.imports),
            templates=tuple(members.template() for members in found.templates),
            interfaces=tuple(found.interfaces),
            exceptions=tuple(found.exceptions),
            types=tuple(found.types),
            functions=tuple(found.functions()),
            loose_choices=tuple(found.loose_choices),
            loose_statements=tuple(found.statements),
            problems=tuple(sorted(self.problems, key=lambda problem: problem.place.start)),
            comments=tuple(self.stream.comments),
            tokens=len(kinds),
            incomplete=incomplete or self.stream.incomplete,
        )
        if self.deepest * (3 + self.tallest) > _MAX_HEIGHT:
            low = lowered(module, _MAX_HEIGHT, self.text)
            assert isinstance(low, tree.Module)
            return low
        return module

    def read_fixities(self) -> None:
        """Takes the fixities that the text declares."""
        kinds, texts = self.kinds, self.texts
        if "infix" not in self.text:
            return
        for at, text in enumerate(texts):
            if text not in ("infixl", "infixr", "infix") or kinds[at] != "var":
                continue
            level = 9
            at += 1
            if kinds[at] == "num" and texts[at].isascii() and texts[at].isdigit():
                level = min(int(texts[at][:3]), 9)
                at += 1
            while kinds[at] in ("op", "`", ",", "var"):
                if kinds[at] in ("op", "var"):
                    self.fixities[texts[at]] = (level, "r" if text == "infixr" else "l")
                at += 1

    def declaration(self, found: Found, separator: int, start: int, end: int) -> None:
        """One item of the top level."""
        kinds, texts = self.kinds, self.texts
        kind, text = kinds[start], texts[start]
        following = kinds[start + 1]
        if kind == "import":
            found.imports.append(self.import_(end))
        elif kind == "template":
            if following != "instance":
                found.template = self.template(start, end)
                found.templates.append(found.template)
            return
        elif kind in ("data", "newtype", "type"):
            found.types.append(self.data(start, end))
        elif kind in ("class", "instance"):
            self.class_(found, start, end)
        elif kind == "deriving" or text in ("infixl", "infixr", "infix"):
            return
        elif kind == "var" and text == "interface" and following == "con":
            found.interfaces.append(self.interface(start, end))
        elif kind == "var" and text == "interface" and following == "instance":
            self.loose_member(found, separator, start, end)
            return
        elif kind == "var" and text == "exception" and following == "con":
            found.exceptions.append(self.exception(start, end))
        elif kind == "controller" and "body" in kinds[start:end]:
            found.loose_choices.append(self.headless_choice(start, end))
        elif kind == "con" and following == ":":
            found.members.choices.append(self.choice(start, end))
        elif kind == "with" and following == OPEN and found.template is None:
            found.templates.append(self.headless_template(start, end))
        elif kind == "controller" or (kind == "var" and self.is_member(separator, start)):
            self.loose_member(found, separator, start, end)
            return
        elif kind == "elided":
            self.unexpected(start)
            return
        elif kind == "module":
            self.problem(start, "a second module header: one text holds one module")
        else:
            self.function(found, separator, start, end)
        found.template = None

    def loose_member(self, found: Found, separator: int, start: int, end: int) -> None:
        """A clause or a choice outside a template: part of the one right before it, or of one that was not pasted."""
        members = found.template
        if members is None:
            members = found.members
        else:
            self.problem(
                start,
                f"'{self.texts[start]}' stands outside the template {members.name}: the members of a template start "
                "in one column, to the right of the word 'template'",
            )
            members.extent = members.extent._replace(end=self.ends[end - 1])
        self.member(members, separator, start, end)

    def is_member(self, separator: int, start: int) -> bool:
        """Whether a clause or a choice of a template stands here, outside of one."""
        kinds, texts = self.kinds, self.texts
        text = texts[start]
        following = kinds[start + 1]
        if text == "choice" or text in _CONSUMPTIONS:
            at = start + 1 if text in _CONSUMPTIONS and texts[start + 1] == "choice" else start
            return kinds[at + 1] == "con" and kinds[at + 2] == ":"
        if text in _PARTY_CLAUSES or text in ("ensure", "key", "agreement"):
            return separator not in self.marks and following not in (":", "op", "`", SEPARATOR, CLOSE, END)
        return False

    def import_(self, end: int) -> tree.Import:
        """``import qualified A.B as C``; the list of names is left aside."""
        kinds, texts = self.kinds, self.texts
        first = self.at
        module, alias, qualified = "", "", False
        self.at += 1
        while self.at < end and kinds[self.at] != "(":
            text = texts[self.at]
            if text == "qualified":
                qualified = True
            elif text == "as" and kinds[self.at + 1] == "con":
                alias = texts[self.at + 1]
                self.at += 1
            elif kinds[self.at] == "con" and not module:
                module = text
            self.at += 1
        if not module:
            self.problem(first, "an import needs the name of a module")
        return tree.Import(self.place(first, end - 1), module, alias, qualified)

    def template(self, start: int, end: int) -> Members:
        """The members of a template."""
        kinds, texts = self.kinds, self.texts
        members = Members()
        self.at = start + 1
        named = start
        while self.at < end and kinds[self.at] not in ("with", "where"):
            if kinds[self.at] == "con" and named == start:
                named = self.at
            self.step()
        if named == start:
            self.problem(start, "a template needs a name that starts with a capital letter")
        name = texts[named] if named != start else ""
        members.name = name
        if kinds[self.at] == "with" and self.at < end:
            self.at += 1
            members.fields += self.fields()
        if kinds[self.at] == "where" and kinds[self.at + 1] == OPEN and self.at < end:
            for separator, first, last in self.items(self.at + 1):
                self.member(members, separator, first, last)
        elif self.at < end and kinds[self.at] in ("var", "con"):
            # Named where it stands: that there is no 'where' only follows from it.
            self.problem(
                self.at,
                f"unexpected '{texts[self.at][:40]}': the fields of the template {name or '?'} end with 'where'",
            )
            self.at = end
        else:
            self.problem(named, f"the template {name or '?'} has no 'where' with its signatories and choices")
        self.rest(end)
        members.place = self.place(named, named)
        members.extent = self.place(start, end - 1)
        return members

    def headless_template(self, start: int, end: int) -> Members:
        """What follows the name of a template that was not pasted."""
        members = Members()
        self.at = start + 1
        members.fields += self.fields()
        if self.at < end and self.kinds[self.at] == "where" and self.kinds[self.at + 1] == OPEN:
            for separator, first, last in self.items(self.at + 1):
                self.member(members, separator, first, last)
        self.rest(end)
        self.problem(start, "the beginning of this template is missing: 'template Name' stands before 'with'")
        members.place = self.place(start, start)
        return members

    def headless_choice(self, start: int, end: int) -> tree.Choice:
        """The end of a choice whose first lines were not pasted."""
        self.at = start
        head = ChoiceHead()
        self.choice_parts(head, end)
        self.problem(
            start, "the beginning of this choice is missing: 'choice Name : Type' stands before 'controller'"
        )
        return self.choice_of(head, self.place(start, start), "", "consuming", self.place(start, end - 1))

    def rest(self, end: int) -> None:
        """Notes what stands behind a declaration that has been read."""
        if self.at < end:
            self.unexpected(self.at)
        self.at = end

    def fields(self) -> list[tree.Field]:
        """The fields in the block that opens at the current token."""
        if self.kinds[self.at] != OPEN:
            self.unexpected(self.at)
            return []
        found: list[tree.Field] = []
        for _, start, end in self.items(self.at):
            self.at = start
            self.fields_until(end, found)
        return found

    def fields_until(self, end: int, found: list[tree.Field]) -> None:
        """Reads ``a, b : T``, perhaps several with commas between, up to `end`."""
        kinds, texts = self.kinds, self.texts
        names: list[int] = []
        while self.at < end:
            kind = kinds[self.at]
            if kind == "var" or (kind in KEYWORDS and kinds[self.at + 1] in (":", ",")):
                if kind != "var":
                    self.problem(self.at, f"'{kind}' is a keyword: it cannot name a field")
                names.append(self.at)
                self.at += 1
            elif kind == ":" or (kind == "op" and texts[self.at] == "::"):
                if kind == "op":
                    self.double_colon(self.at)
                self.at += 1
                type_ = self.type()
                found += [tree.Field(self.place(name, name), texts[name], type_) for name in names]
                names = []
            elif kind == "," or kind == ";":
                self.at += 1
            elif kind in HOLES:
                self.unexpected(self.at)
                self.at += 1
            else:
                self.unexpected(self.at)
                self.at = end
        if names:
            self.problem(names[0], f"the field {texts[names[0]]} has no type")

    # Members of templates and interfaces

    def member(self, members: Members, separator: int, start: int, end: int) -> None:
        """One item in the body of a template or an interface."""
        kinds, texts = self.kinds, self.texts
        self.at = start
        kind, text = kinds[start], texts[start]
        if kind == "controller":
            self.controller_can(members, start, end)
        elif kind == "let":
            self.at += 1
            if kinds[self.at] == OPEN:
                members.bindings += self.bindings(self.at)
            self.rest(end)
        elif kind in HOLES:
            self.unexpected(start)
        elif kind == "con" and kinds[start + 1] == ":":
            members.choices.append(self.choice(start, end))
        elif kind != "var":
            self.problem(start, self.not_a_member(text, kind))
        elif text in _PARTY_CLAUSES:
            self.at += 1
            clause = self.clause(start, end)
            {
                "signatory": members.signatories,
                "observer": members.observers,
                "maintainer": members.maintainers,
            }[text].append(clause)
            members.clauses += 1
        elif text == "choice" or text in _CONSUMPTIONS:
            members.choices.append(self.choice(start, end))
        elif text == "ensure" or text == "agreement":
            self.at += 1
            value = self.whole(end)
            if text == "ensure":
                before = members.ensure
                members.ensure = (
                    tree.Operation(self.since(start), "&&", before, value) if before is not None else value
                )
            else:
                members.agreement = value
            members.clauses += 1
        elif text == "key":
            self.at += 1
            self.depth += 1
            keyed = self.expression()
            self.depth -= 1
            if not isinstance(keyed, tree.Typed):
                self.problem(start, "a key needs its type: key value : Type")
            self.rest(end)
            place = self.place(start, end - 1)
            members.key = (
                tree.Key(place, keyed.value, keyed.type)
                if isinstance(keyed, tree.Typed)
                else tree.Key(place, keyed, None)
            )
            members.clauses += 1
        elif text == "interface" or text == "implements":
            instance = self.instance(members.name, start, end)
            members.instances.append(instance)
        elif text == "viewtype":
            members.view = self.words(start + 1, end)
        else:
            self.at = start
            names = self.signature(end)
            if names is None:
                self.problem(start, self.not_a_member(text, kind))
                return
            for name, type_ in names.items():
                members.methods.append(tree.Method(self.place(start, start), name, type_))

    def not_a_member(self, text: str, kind: str) -> str:
        """What to say about an item that does not belong into the body of a template."""
        if kind == "do":
            return "a 'do' that belongs to no choice: it must stand to the right of the choice's first word"
        if text[:2] == "//" or text == "#":
            return f"unexpected '{text[:40]}': comments start with '--'"
        if kind in ("with", "where"):
            return f"a '{kind}' that belongs to nothing: it must stand to the right of the word it continues"
        return (
            f"unexpected '{text[:40]}': a template holds signatory, observer, ensure, key, maintainer, choice and "
            "interface instance"
        )

    def clause(self, start: int, end: int) -> tree.Clause:
        """Parties, separated by commas, up to the end of the clause or to what follows it in a choice."""
        kinds = self.kinds
        found: list[Expression] = []
        while self.at < end:
            kind = kinds[self.at]
            if kind == ",":
                self.at += 1
            elif kind in _CLAUSE_ENDS:
                break
            else:
                first = self.at
                found.append(self.expression())
                if self.at == first:
                    self.at += 1
                elif self.at < end and kinds[self.at] != "," and kinds[self.at] not in _CLAUSE_ENDS:
                    found[-1] = self.leftover((found[-1],), first, end)
        if not found:
            self.problem(start, f"'{self.texts[start]}' names no party")
        return tree.Clause(self.since(start), tuple(found))

    def controller_can(self, members: Members, start: int, end: int) -> None:
        """``controller p can`` with its choices, as in Daml 1.x."""
        kinds = self.kinds
        self.at = start + 1
        clause = self.clause(start, end)
        if kinds[self.at] != "can" or kinds[self.at + 1] != OPEN:
            self.problem(start, "a 'controller' outside a choice needs 'can' and choices")
            self.at = end
            return
        for _, first, last in self.items(self.at + 1):
            self.at = first
            members.choices.append(self.choice(first, last, clause))
        self.rest(end)

    def choice(self, start: int, end: int, controllers: tree.Clause | None = None) -> tree.Choice:
        """A choice; with `controllers` one of a ``controller p can``."""
        kinds, texts = self.kinds, self.texts
        self.at = start
        consumption: tree.Consumption = "consuming"
        if texts[self.at] in _CONSUMPTIONS:
            consumption = _CONSUMPTIONS[texts[self.at]]
            self.at += 1
        said = texts[self.at] == "choice"
        self.at += said
        named = self.at
        if kinds[named] == "con":
            name = texts[named]
            self.at += 1
        elif kinds[named] == "var" and kinds[named + 1] == ":":
            name = texts[named]
            self.at += 1
            self.problem(named, f"the name of a choice starts with a capital letter, not as in {name}")
        else:
            name = ""
            named = start
            self.problem(
                start, "a choice needs a name that starts with a capital letter, and its type: choice C : T"
            )
        before = len(self.problems)
        head = ChoiceHead()
        if controllers is not None:
            head.clauses["controller"].append(controllers)
        self.in_choice_head = True
        if kinds[self.at] == ":" or (kinds[self.at] == "op" and texts[self.at] == "::"):
            if kinds[self.at] != ":":
                self.double_colon(self.at)
            self.at += 1
            head.result = self.type()
        elif name:
            self.problem(named, f"the choice {name} has no type: choice {name} : ()")
        self.choice_parts(head, end)
        self.in_choice_head = False
        torn = not said and not head.clauses["controller"]
        if torn and name:
            self.problem(
                named,
                f"{name} stands outside its 'controller … can': who may exercise it is not known; "
                f"today this is 'choice {name} : …' with 'controller' before 'do'",
            )
        elif name and not said and controllers is None:
            self.problem(named, f"the word 'choice' is missing before {name}")
        elif name and not head.clauses["controller"]:
            self.problem(named, f"the choice {name} has no controller")
        if name and head.body is None:
            del self.problems[before:]  # Statements were read as parties.
            self.problem(named, f"the choice {name} has no body: 'do' is missing")
        return self.choice_of(
            head,
            self.place(named, named),
            name,
            consumption,
            self.place(start, end - 1),
            in_can=torn or controllers is not None,
        )

    def choice_of(
        self,
        head: ChoiceHead,
        place: Place,
        name: str,
        consumption: tree.Consumption,
        extent: Place,
        *,
        in_can: bool = False,
    ) -> tree.Choice:
        """The choice with what has been read of it."""
        return tree.Choice(
            place=place,
            name=name,
            consumption=consumption,
            parameters=tuple(head.parameters),
            result=head.result,
            controllers=tuple(head.clauses["controller"]),
            observers=tuple(head.clauses["observer"]),
            authority=tuple(head.clauses["authority"]),
            body=head.body,
            bindings=tuple(head.bindings),
            in_controller_can=in_can,
            extent=extent,
        )

    def choice_parts(self, head: ChoiceHead, end: int) -> None:
        """What follows the type of a choice, up to `end`."""
        kinds, texts = self.kinds, self.texts
        while self.at < end:
            kind, first = kinds[self.at], self.at
            if kind == "with" or kind == "fields":
                self.at += 1
                head.parameters += self.fields()
            elif kind == "body" or kind == "do":
                self.in_choice_head = False
                if head.body is not None:
                    self.problem(first, "a choice has one body")
                head.body = self.do()
            elif kind == "controller" or (
                kind in ("var", "observer", "authority") and texts[first] in head.clauses
            ):
                if kind != "controller" and head.clauses["controller"]:
                    self.problem(first, f"'{texts[first]}' of a choice stands before its 'controller'")
                self.at += 1
                head.clauses[texts[first]].append(self.clause(first, end))
            elif kind in HOLES:
                self.unexpected(first)
                self.at += 1
            elif kind == "where" and kinds[first + 1] == OPEN:
                self.choice_where(head)
            elif kind == "let" and kinds[first + 1] == OPEN:
                head.bindings += self.bindings(first + 1)
            elif kind == "=" or head.body is not None or kind not in ATOMS:
                self.leftover((), first, end)
            else:
                self.in_choice_head = False
                self.problem(first, "the body of a choice needs a 'do' before it")
                head.body = self.whole(end)

    def choice_where(self, head: ChoiceHead) -> None:
        """``where`` of a choice: parties in any order, or bindings for the body."""
        kinds, texts = self.kinds, self.texts
        for separator, first, last in self.items(self.at + 1):
            self.at = first
            if texts[first] in head.clauses and kinds[first + 1] not in ("=", ":"):
                self.at += 1
                head.clauses[texts[first]].append(self.clause(first, last))
                if self.at < last:
                    self.choice_parts(head, last)
            elif kinds[first] in ("do", "body"):
                head.body = self.do()
                self.rest(last)
            else:
                names = self.signature(last)
                if names is None:
                    head.bindings += self.binding(separator, first, last)

    def instance(self, template: str, start: int, end: int) -> tree.Instance:
        """``interface instance I for T where`` or ``implements I where``."""
        kinds, texts = self.kinds, self.texts
        names: list[str] = []
        place = self.place(start, start)
        self.at = start + 1
        while self.at < end and kinds[self.at] != "where":
            if kinds[self.at] == "con":
                if not names:
                    place = self.place(self.at, self.at)
                names.append(texts[self.at])
            self.at += 1
        if not names:
            self.problem(start, "an interface instance needs its names: interface instance I for T where")
        methods: dict[str, tuple[Place, list[tree.Binding]]] = {}
        if self.at < end and kinds[self.at + 1] == OPEN:
            for separator, first, last in self.items(self.at + 1):
                self.at = first
                if kinds[first] == "let" and kinds[first + 1] == OPEN:
                    self.bindings(first + 1)
                    continue
                if self.signature(last) is not None:
                    continue
                for binding in self.binding(separator, first, last):
                    methods.setdefault(binding.pattern.name, (binding.pattern.place, []))[1].append(binding)
        self.rest(end)
        return tree.Instance(
            place,
            names[0] if names else "",
            names[1] if len(names) > 1 else template,
            tuple(tree.Method(at, name, None, tuple(found)) for name, (at, found) in methods.items()),
        )

    def interface(self, start: int, end: int) -> tree.Interface:
        """An interface."""
        kinds, texts = self.kinds, self.texts
        members = Members()
        named = start + 1
        members.name = texts[named]
        requires: list[str] = []
        self.at = start + 2
        while self.at < end and kinds[self.at] not in ("where", "with"):
            if kinds[self.at] == "con":
                requires.append(texts[self.at])
            self.at += 1
        if kinds[self.at] == "where" and kinds[self.at + 1] == OPEN:
            for separator, first, last in self.items(self.at + 1):
                self.member(members, separator, first, last)
        self.rest(end)
        return tree.Interface(
            self.place(named, named),
            texts[named],
            tuple(requires),
            members.view,
            tuple(members.methods),
            tuple(members.choices),
            tuple(members.instances),
            self.place(start, end - 1),
        )

    def exception(self, start: int, end: int) -> tree.Exception_:
        """An exception type."""
        kinds, texts = self.kinds, self.texts
        fields: list[tree.Field] = []
        message: Expression | None = None
        self.at = start + 2
        if kinds[self.at] == "with":
            self.at += 1
            fields = self.fields()
        if kinds[self.at] == "where" and kinds[self.at + 1] == OPEN:
            for _, first, last in self.items(self.at + 1):
                self.at = first
                if texts[first] == "message":
                    self.at += 1
                    message = self.whole(last)
                else:
                    self.unexpected(first)
        self.rest(end)
        return tree.Exception_(self.place(start + 1, start + 1), texts[start + 1], tuple(fields), message)

    # Other declarations

    def data(self, start: int, end: int) -> tree.DataType:
        """``data``, ``newtype`` and ``type``."""
        kinds, texts = self.kinds, self.texts
        at = start + 1
        while at < end and kinds[at] != "con":
            at += 1
        named = at if at < end else start
        name = texts[named] if named != start else ""
        while at < end and kinds[at] not in ("=", "where"):
            at += 1
        self.at = at + 1
        place = self.place(named, named)
        if at >= end or kinds[at] == "where":
            return tree.DataType(place, name)
        if kinds[start] == "type":
            synonym = self.type()
            self.rest(end)
            return tree.DataType(place, name, (), synonym)
        constructors: list[tuple[str, tuple[tree.Field, ...]]] = []
        while self.at < end and kinds[self.at] != "deriving":
            if kinds[self.at] == "|":
                self.at += 1
                continue
            if kinds[self.at] != "con":
                self.unexpected(self.at)
                break
            constructors.append(self.constructor(end))
        self.at = end
        return tree.DataType(place, name, tuple(constructors))

    def constructor(self, end: int) -> tuple[str, tuple[tree.Field, ...]]:
        """A constructor with its fields."""
        kinds = self.kinds
        name = self.texts[self.at]
        self.at += 1
        fields: list[tree.Field] = []
        if kinds[self.at] == "with" and kinds[self.at + 1] == OPEN:
            self.at += 1
            fields = self.fields()
        elif kinds[self.at] == "{":
            close = self.jumps[self.at]
            self.at += 1
            self.fields_until(close, fields)
            self.at = close + 1
        else:
            while self.at < end and (kinds[self.at] in TYPE_ATOMS or self.is_strict()):
                first = self.at
                type_ = self.type_atom()
                fields.append(tree.Field(self.since(first), f"_{len(fields) + 1}", type_))
        return name, tuple(fields)

    def class_(self, found: Found, start: int, end: int) -> None:
        """A class or an instance of one: its methods are functions."""
        kinds = self.kinds
        at = start
        while at < end and kinds[at] != "where":
            at += 1
        if at >= end or kinds[at + 1] != OPEN:
            return
        self.at = start + 1
        of = self.type()
        inside = Found()
        for separator, first, last in self.items(at + 1):
            if kinds[first] not in ("type", "data", "deriving") and kinds[first] != "{":
                self.function(inside, separator, first, last)
        found.finished += [dataclasses.replace(function, of=of) for function in inside.functions()]
        found.statements += inside.statements

    def function(self, found: Found, separator: int, start: int, end: int) -> None:
        """A signature, an equation, or, in a fragment, a statement."""
        kinds = self.kinds
        self.at = start
        names = self.signature(end)
        if names is not None:
            for name, type_ in names.items():
                found.signature(name, type_, self.place(start, start))
            return
        mark = self.marks.get(separator)
        if mark is not None and kinds[mark] in ("=", "|") and kinds[start] != "let":
            for binding in self.binding(separator, start, end):
                found.equation(binding)
            return
        before = len(self.problems)
        statement = self.statement(separator, start, end)
        if self.is_prose(start, end):
            del self.problems[before:]
            self.problem(
                start,
                "this stands outside any declaration and reads as prose: make it a comment ('-- …'), or leave it out",
            )
            return
        if len(self.problems) == before and not found.statements:
            self.problem(start, "this stands outside any declaration: a definition needs '='")
        found.statements.append(statement)

    def is_prose(self, start: int, end: int) -> bool:
        """Whether a line reads as a sentence: two words of English in the first few."""
        words = [word.lower() for word in self.texts[start : min(end, start + _PROSE_WORDS)]]
        return sum(word in _ENGLISH for word in words) >= 2
