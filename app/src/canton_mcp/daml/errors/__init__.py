"""Error texts of ledgers, participants, DAML Script, Studio and the compiler to a kind and what they name.

Works on the text alone, in three steps: `wrappers` are taken off (JSON bodies, escapes, colours, quote marks), the
paste is cut into its errors (`pastes`), and each error is read (`reading`). Every step is linear in the length of
the text. The wording of authorization errors is the same in SDK 2.x and 3.x.
"""

from canton_mcp.daml.errors.kinds import FAMILIES, Family, Kind, explanation
from canton_mcp.daml.errors.model import Diagnosis, Era, Location, Party, Step, short_name
from canton_mcp.daml.errors.pastes import classify, diagnoses

__all__ = [
    "FAMILIES",
    "Diagnosis",
    "Era",
    "Family",
    "Kind",
    "Location",
    "Party",
    "Step",
    "classify",
    "diagnoses",
    "explanation",
    "short_name",
]
