"""What telemetry may tell of a call's arguments and of its caller, and what it never does.

Messages may be relayed to anybody. The names of arguments come from the tools, never from the caller, and of the
values nothing leaves that could be a secret, a person or business data: DAML code, intents, parties, contracts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

__all__ = ["POLICIES", "Policy", "Vocabulary", "sanitise", "scrub", "shape"]

Policy = Literal["types", "truncate", "none"]
"""`types`: markers of type and size. `truncate`: also the beginning of texts that look harmless. `none`: nothing."""
POLICIES: Final[tuple[Policy, ...]] = get_args(Policy)

Vocabulary = Mapping[str, Mapping[str, frozenset[str]]]
"""Tool name -> argument name -> the values of that argument that are no secret (its enumeration)."""

REDACTED: Final = "[REDACTED]"
_MAX_ARGS: Final = 10
_CUT: Final = 20
"""Characters; the specification cuts at 32 at the latest, deployed emitters at 20."""
_SMALL_NUMBER: Final = 1_000_000

_SECRET_NAME: Final = re.compile(
    r"""api_?key | auth | authorization | bearer | cookie | credentials? | cvv | email | iban | jwt | keys? | mnemonic
      | otp | passphrase | passwd | password | phone | pin | private | pwd | seed | secrets? | session | signature
      | ssn | tokens? | username | wallet""",
    re.VERBOSE | re.IGNORECASE,
)
_BUSINESS_NAME: Final = re.compile(
    r"""business | choices? | code | constraints? | context | contracts? | daml | description | errors? | intent | logs?
      | messages? | observers? | part(?:y|ies) | patterns? | payload | purpose | query | questions? | requirements?
      | scenario | signator(?:y|ies) | source | template | text | trace | use | workflow""",
    re.VERBOSE | re.IGNORECASE,
)
_WORDS_OF_NAME: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

_CREDENTIAL: Final = re.compile(
    r"""
      -----BEGIN\b.*                                                          # PEM, to the end
    | \beyJ[\w-]{4,}(?:\.[\w-]*){0,4}                                         # JSON Web Token, whole or cut
    | \b(?:bearer|basic|negotiate|digest|apikey)\b[\s:=]+\S+
    | \b(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[\s_-]?key|access[\s_-]?key|credentials?|authorization)\b
      ["']?\s*(?:is\b|[:=])+\s*\S+
    | \b(?:sk|pk|rk|gh[a-z]|github_pat|glpat|glrt|xox[a-z]|xapp|npm|pypi|hf|dop_v1|shp[a-z]{2}|whsec|sq0[a-z]{3}|
        rpa|tvly|pat|key|gsk|nvapi|dckr_pat|eyJ)[-_][\w.-]{6,}
    | \b(?:AKIA|ASIA|AGPA|AROA|ANPA)[A-Z0-9]{8,}
    | \bAIza[\w-]{10,}
    | \bya29\.[\w.-]{6,}
    | \bSG\.[\w-]{6,}(?:\.[\w-]+)?
    | \S+:\S+@\S+                                                             # credentials within a URL
    | \b[0-9a-f]{64,}\b                                                       # a key of 256 bits
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_PRIVATE: Final = re.compile(
    r"""
      \S+@\S+                                                                 # e-mail
    | (?:^|\s)(?:~?/|[A-Za-z]:\\|\\\\)\S+                                     # a path
    | \w+://\S*                                                               # a URL
    | ::                                                                      # a party
    | \d[\d\s-]{6,}\d                                                         # card, account, telephone
    | [0-9a-fA-F]{16,}                                                        # contract, hash, key
    | \S{24,}                                                                 # too long for a word
    | (?=\S*\d)(?=\S*[A-Za-z])\S{7,}                                          # letters among digits
    | \b(?:template|module|signatory|controller|choice|observer)\b            # DAML
    | \b(?:password|passphrase|secret|token|credential|private)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_HARMLESS: Final = re.compile(r"[A-Za-z0-9 .,;:!?()/_-]+")


def sanitise(
    arguments: Mapping[str, Any], known: Mapping[str, frozenset[str]], policy: Policy = "types"
) -> dict[str, Any]:
    """What may be told of the arguments of one call: at most ten, one level deep.

    `known` names the tool's arguments, each with its enumerated values. A caller can put anything into a name,
    too, so no other name is told.
    """
    if policy == "none":
        return {}
    told: dict[str, Any] = {}
    for name, value in arguments.items():
        if name in known and len(told) < _MAX_ARGS:
            told[name] = (
                shape(value, known[name]) if policy == "types" else _shortened(name, value, known[name])
            )
    return told


def shape(value: Any, plain: frozenset[str] = frozenset()) -> Any:
    """The type and size of a value, such as `<text:1832>`, never its content.

    Booleans, null and the values listed in `plain` pass as they are.
    """
    match value:
        case None | bool():
            return value
        case int() | float():
            return "<number>"
        case str():
            return value if value in plain else f"<text:{len(value)}>"
        case list() | tuple():
            return f"<list:{len(value)}>"
        case Mapping():
            return f"<object:{len(value)}>"
        case _:
            return "<value>"


def scrub(text: str) -> str:
    """`text` with everything that looks like a credential replaced; for what callers say of themselves.

    Scrub before cutting: half a token is not recognised any more.
    """
    return _CREDENTIAL.sub(REDACTED, text)


def _shortened(name: str, value: Any, plain: frozenset[str]) -> Any:
    """The beginning of a harmless text, a small number; otherwise a marker."""
    words = [name, *_WORDS_OF_NAME.findall(name)]
    if any(map(_SECRET_NAME.fullmatch, words)):
        return REDACTED
    if isinstance(value, str) and value not in plain:
        # What is none of the words that an argument enumerates was put there for some other reason.
        if plain or any(map(_BUSINESS_NAME.fullmatch, words)):
            return shape(value)
        if _CREDENTIAL.search(value) or _PRIVATE.search(value):
            return REDACTED
        # Other alphabets, invisible characters and markup could spell a secret in a way no pattern knows.
        if not _HARMLESS.fullmatch(value):
            return shape(value)
        return value if len(value) <= _CUT else f"{value[:_CUT]}..."
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value if abs(value) < _SMALL_NUMBER else "<number>"
    return shape(value, plain)
