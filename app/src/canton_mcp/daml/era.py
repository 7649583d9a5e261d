"""Which versions of Daml a text was written for, as far as it shows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from canton_mcp.daml import tree

__all__ = ["Era", "era"]

_NAMES = re.compile(
    r"\b(lookupNByKey|lookupAllByKey|fetchNByKey|fetchAllByKey|failWithStatus|scenario|lookupByKey|fetchByKey"
    r"|exerciseByKey|visibleByKey)\b"
)
_HINTS = ("ByKey", "failWithStatus", "scenario")
"""One of these is in every telling name: to look for them is far quicker."""
_SEVERAL = frozenset({"lookupNByKey", "lookupAllByKey", "fetchNByKey", "fetchAllByKey"})


@dataclass(frozen=True, slots=True)
class Era:
    """Versions that the text fits, and what says so."""

    name: str
    because: str
    keys: Literal["unique", "none", "several"]
    """What contract keys are in these versions."""


def era(module: tree.Module) -> Era | None:
    """The era of a module; None when nothing in it tells. The latest feature decides among those of newer versions."""
    imported = {entry.module for entry in module.imports}
    words = _words(module)
    several = sorted(_SEVERAL & words)
    if several or "DA.ContractKeys" in imported:
        return Era(
            "3.5 or later", f"'{several[0]}'" if several else "the import of DA.ContractKeys", "several"
        )
    can = next(
        (choice for template in module.templates for choice in template.choices if choice.in_controller_can),
        None,
    )
    if "scenario" in words:
        return Era("1.x or early 2.x", "'scenario'", "unique")
    if can is not None:
        return Era(
            "1.x or early 2.x", f"'controller .. can' (choice {can.name}, line {can.place.line})", "unique"
        )
    agreement = next((template for template in module.templates if template.agreement is not None), None)
    if agreement is not None:
        return Era("1.x or 2.x", f"'agreement' in template {agreement.name}", "unique")
    if "failWithStatus" in words or "DA.Fail" in imported:
        return Era(
            "3.3 or later",
            "'failWithStatus'" if "failWithStatus" in words else "the import of DA.Fail",
            "none",
        )
    keyed = next((template for template in module.templates if template.key is not None), None)
    if keyed is not None:
        return Era("2.x, or 3.5 and later", f"the key of template {keyed.name}", "unique")
    if any(word.endswith("ByKey") for word in words):
        return Era("2.x, or 3.5 and later", "the use of contract keys", "unique")
    return None


def _words(module: tree.Module) -> frozenset[str]:
    """Telling names that occur in the text, outside of its comments."""
    if not any(hint in module.text for hint in _HINTS):
        return frozenset()
    comments = sorted((place.start, place.end) for place in module.comments)
    found: set[str] = set()
    at = 0
    for match in _NAMES.finditer(module.text):
        while at < len(comments) and comments[at][1] <= match.start():
            at += 1
        if at == len(comments) or comments[at][0] > match.start():
            found.add(match.group(1))
    return frozenset(found)
