"""The parties that an error text names, by the sentences of ledgers, Studio and logs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from canton_mcp.daml.errors.kinds import Kind
from canton_mcp.daml.errors.model import Party

MAX_READ = 100_000
_MAX_NAMES = 200
_AS_NAME = re.compile(r"\b(?:act|read)_?[aA]s\b")
_EMPTY = re.compile(r"(?:Seq|Set|List|Vector|TreeSet)\(\s{0,5}\)|\[\s{0,5}\]")
_LIST_NAME = re.compile(r"[^\s,'\"`‘’(){}\[\];]{1,300}")
_OPENING = re.compile(r"[\s'\"`‘\[{(]{0,20}(?:(?:TreeSet|HashSet|Set\d?|List|Seq|Vector|Some)\(\s{0,5})?")
_COMMA = re.compile(r"['\"`’]{0,2}\s{0,5},\s{0,5}['\"`‘]{0,2}")
_GIVEN = re.compile(r"but only(?:\s(?:given|got|had|has)\b)?:?")
_WERE_GIVEN = re.compile(r"\s?(?:were|was) given")
# The beginning of ", but only", where a paste ends there.
_CUT_SHORT = re.compile(r",?\s(?:b|bu|but|but o\w{0,3})?\Z")
_QUOTED = re.compile(r"['‘\"`]([\w-]{1,200}(?: [\w-]{1,200}){1,3})['’\"`]")
_WORDS_OF_A_NAME = re.compile(r"[\w-]+(?: [\w-]+){1,3}")
_COLLECTION = re.compile(r"\b(?:TreeSet|HashSet|Set\d?|List|Seq|Vector)\(")


@dataclass(frozen=True)
class Named:
    kind: Kind
    required: tuple[Party, ...] = ()
    given: tuple[Party, ...] = ()
    missing: tuple[Party, ...] | None = None
    action: str | None = None


def named_parties(flat: str) -> Named | None:
    """The parties an authorization error names, by the sentences that ledgers, Studio and logs print."""
    for read in _SENTENCES:
        if found := read(flat):
            return found
    return None


def _between(flat: str, start: str, *ends: str) -> tuple[str, int] | None:
    """What stands after `start`, up to the nearest of `ends` if one is there, and where it ends."""
    at = flat.find(start)
    if at < 0:
        return None
    at += len(start)
    stops = [stop for end in ends if (stop := flat.find(end, at, at + MAX_READ)) >= 0]
    stop = min(stops, default=min(len(flat), at + MAX_READ))
    return flat[at:stop], stop


def _authorizers(flat: str) -> Named | None:
    for start, action in (("requires authorizers", None), ("requires controllers:", "exercise")):
        required = _between(flat, start, ", but only", " but only", " for lookup by key")
        if required is None:
            continue
        asked = required[0].removeprefix(":")
        rest = flat[required[1] :]
        if rest.startswith(" for lookup by key"):
            has = _between(rest, "but it only has")
            given = leading_list(has[0]) if has else ()
            return Named("lookup_authorization", parties_in(asked), given, action="lookup")
        had = _GIVEN.search(rest, 0, MAX_READ)
        if had is None:
            return Named("missing_authorization", leading_list(_CUT_SHORT.sub("", asked)), action=action)
        end = _WERE_GIVEN.search(rest, had.end(), had.end() + MAX_READ)
        needed = parties_in(asked)
        cut = _last_completed(leading_list(rest[had.end() :]), needed) if end is None else ()
        given = parties_in(rest[had.end() : end.start()]) if end else cut
        return Named("missing_authorization", needed, given, action=action)
    return None


def _last_completed(given: tuple[Party, ...], required: tuple[Party, ...]) -> tuple[Party, ...]:
    """The parties of a list that may be cut off in its last name, completed by a required one where one only fits."""
    fitting = [party for party in required if given and party.id.startswith(given[-1].id.rstrip("….:"))]
    return (*given[:-1], fitting[0]) if len(fitting) == 1 else given


def _fetch(flat: str) -> Named | None:
    # Any one stakeholder would do, so none of them is "the" missing one.
    for start, end, then in (
        ("requires one of the stakeholders ", " of the fetched contract", "authorizers were"),
        ("since none of the stakeholders ", "in the authorizing set", "in the authorizing set"),
    ):
        if required := _between(flat, start, end):
            has = _between(flat[required[1] :], then)
            stakeholders = parties_in(required[0].removesuffix(" is ").removesuffix(" are "))
            return Named(
                "fetch_authorization", stakeholders, leading_list(has[0]) if has else (), (), "fetch"
            )
    return None


def _maintainers(flat: str) -> Named | None:
    if found := _between(flat, "has maintainers ", " which are not a subset"):
        signatories = _between(flat[found[1] :], "of the signatories ")
        given = leading_list(signatories[0]) if signatories else ()
        return Named("maintainers_not_signatories", parties_in(found[0]), given, action="create")
    if found := _between(flat, "some parties are maintainers but not signatories:"):
        missing = leading_list(found[0])
        return Named("maintainers_not_signatories", missing, (), missing, "create")
    return None


def _studio_missing(flat: str) -> Named | None:
    found = _between(flat, "failed due to a missing authorization from ")
    if found is None:
        return None
    missing = leading_list(found[0])
    if re.search(r"lookup by key of [^\n]{0,600}failed due to a missing authorization", flat[:MAX_READ]):
        return Named("lookup_authorization", missing, (), missing, "lookup")
    return Named("missing_authorization", missing, (), missing)


def _log_missing(flat: str) -> Named | None:
    for start, end in (
        ("Missing authorization for ", " through the submitting parties"),
        ("missing the following acting parties:", "."),
    ):
        if (at := flat.find(start)) >= 0 and (start.startswith("missing") or flat.find(end, at) >= 0):
            missing = leading_list(flat[at + len(start) : at + len(start) + MAX_READ])
            return Named("missing_authorization", missing, (), missing)
    return None


def _old_commit(flat: str) -> Named | None:
    at = flat.find(" is not authorized to commit an update")
    if at < 0:
        return None
    # The party that tried, not the one that is missing: the text does not name that one.
    return Named("missing_authorization", (), parties_in(flat[max(0, at - 300) : at].rpartition(" ")[2]))


def _none_at_all(flat: str) -> Named | None:
    if re.search(
        r"\bhas no (?:signatories|controllers|authorizers)\b|failed due (?:to )?missing (?:signatories|controllers)",
        flat,
    ):
        return Named("no_authorizers")
    return None


_SENTENCES: tuple[Callable[[str], Named | None], ...] = (
    _authorizers,
    _fetch,
    _maintainers,
    _studio_missing,
    _log_missing,
    _none_at_all,
    _old_commit,
)


def parties_in(text: str) -> tuple[Party, ...]:
    """The parties of a whole list; blanks inside an id come from broken lines, those inside a plain name are its own."""
    inner = _COLLECTION.sub(" ", text[:MAX_READ]).replace(")", " ").replace(" and ", ",")
    parts = (
        re.sub(r"['\"`‘’\\]", "", part).strip().rstrip(".;]}>").lstrip("[{(<") for part in inner.split(",")
    )
    names = (part if _WORDS_OF_A_NAME.fullmatch(part) else re.sub(r"\s", "", part) for part in parts)
    return tuple(dict.fromkeys(_party(name) for name in names if name))[:_MAX_NAMES]


def leading_list(text: str) -> tuple[Party, ...]:
    """The parties of a list that starts a text and has no end mark: ``A,B``, ``'A', 'B'`` or ``TreeSet(A, B)``."""
    text = text[:MAX_READ]
    opening = _OPENING.match(text)
    at = opening.end() if opening else 0
    found: list[Party] = []
    while len(found) < _MAX_NAMES and (name := _LIST_NAME.match(text, at)):
        quoted = _QUOTED.match(text, at - 1) if at else None
        if quoted:  # a name of several words
            found.append(_party(quoted[1]))
            rest = _COMMA.match(text, quoted.end())
            if rest is None:
                break
            at = rest.end()
            continue
        word = name[0] if "…" in name[0] or "..." in name[0] else name[0].rstrip(".:")
        if word:
            found.append(_party(word))
        rest = _COMMA.match(text, name.end())
        if rest is None or rest.end() == len(text):
            break
        at = rest.end()
    return tuple(dict.fromkeys(found))


def _party(text: str) -> Party:
    name, colons, _ = text.partition("::")
    return Party(name if colons else name.rstrip("….") or name, text)


def minus(required: Iterable[Party], given: tuple[Party, ...]) -> tuple[Party, ...]:
    return tuple(party for party in required if not any(_is_same_party(party, other) for other in given))


def _is_same_party(one: Party, other: Party) -> bool:
    """By name, and by the rest of the id as far as both have it: the same name may live on another participant."""
    short, long = sorted((one, other), key=lambda party: len(party.name))
    cut = "::" not in short.id and short.id.endswith(("…", "..."))
    if one.name != other.name and not (cut and long.name.startswith(short.name)):
        return False
    ids = [party.id.rstrip("….").partition("::")[2] for party in (one, other)]
    return not all(ids) or ids[0].startswith(ids[1]) or ids[1].startswith(ids[0])


def labels(parties: Iterable[Party]) -> Callable[[Party], str]:
    """How to call each party: its name, with some of the id where two share the name."""
    ids: dict[str, list[Party]] = {}
    for party in dict.fromkeys(parties):
        known = ids.setdefault(party.name, [])
        if not any(_is_same_party(party, other) for other in known):
            known.append(party)
    shared = {name for name, known in ids.items() if len(known) > 1}

    def label(party: Party) -> str:
        fingerprint = party.id.partition("::")[2]
        return f"{party.name}::{fingerprint[:12]}…" if party.name in shared and fingerprint else party.name

    return label


def names_in(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    found = pattern.search(text)
    if found is None:
        return ()
    listed = _AS_NAME.split(found[1], maxsplit=1)[0].rstrip("\"', ")
    if _EMPTY.match(listed):
        return ()
    return tuple(dict.fromkeys(party.name for party in leading_list(listed)))
