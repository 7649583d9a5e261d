"""Sealed texts: read back by every server of a fleet, and believed from nobody else."""

from __future__ import annotations

import string
import time
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import pytest
from canton_mcp.protocol import seals as module
from canton_mcp.protocol.seals import CLOCK_SKEW_SEC, BrokenSeal, Seals

OLD, NEW, OTHER = (character * 40 for character in "onx")
PURPOSES = ("session", "cursor", "requestState")
CLAIMS = [None, 0, "", "ü😀", [1, [2, {"a": None}]], {"nested": {"list": [True, 1.5]}}, "long " * 50_000]


def clock(monkeypatch: pytest.MonkeyPatch, later: float) -> None:
    """Let the seals believe that it is `later` seconds later."""
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: time.time() + later))


@pytest.mark.parametrize("claims", CLAIMS, ids=lambda claims: repr(claims)[:20])
def test_what_is_sealed_can_be_opened_elsewhere(claims: Any) -> None:
    text = Seals([OLD]).seal("cursor", claims)
    assert Seals([OLD]).open("cursor", text) == claims
    assert set(text) <= set(string.ascii_letters + string.digits + "-_.")


@pytest.mark.parametrize(("made_for", "used_as"), list(permutations(PURPOSES, 2)))
def test_a_text_serves_one_purpose(made_for: str, used_as: str) -> None:
    seals = Seals([OLD])
    text = seals.seal(made_for, ["tools/list", 50], 600)
    assert seals.open(made_for, text)
    with pytest.raises(BrokenSeal):
        seals.open(used_as, text)


def test_secrets_rotate() -> None:
    """First all servers accept the new one, then they use it, then the old one goes."""
    before, between, after = Seals([OLD]), Seals([NEW, OLD]), Seals([NEW])
    old, new = before.seal("session", 1), between.seal("session", 2)
    assert (between.open("session", old), between.open("session", new), after.open("session", new)) == (
        1,
        2,
        2,
    )
    assert Seals([OLD, NEW]).open("session", new) == 2
    for seals, text in ((before, new), (after, old), (Seals([OTHER]), old)):
        with pytest.raises(BrokenSeal):
            seals.open("session", text)


@pytest.mark.parametrize("claims", ["short", "long " * 100], ids=["plain", "compressed"])
def test_no_character_can_be_changed(claims: str) -> None:
    seals = Seals([OLD])
    text = seals.seal("session", claims, 600)
    for place, found in enumerate(text):
        for other in {"A", "B", "z", "9", "-", "_", ".", "="} - {found}:
            with pytest.raises(BrokenSeal):
                seals.open("session", text[:place] + other + text[place + 1 :])
        with pytest.raises(BrokenSeal):
            seals.open("session", text[:place] + text[place + 1 :])


def test_the_last_character_has_one_form() -> None:
    """It has bits to spare, so base64 alone would take several characters for the same."""
    seals = Seals([OLD])
    text = seals.seal("session", 1)
    accepted = [text[:-1] + last for last in string.printable if _opens(seals, text[:-1] + last)]
    assert accepted == [text]


@pytest.mark.parametrize(
    "change", ["{0}A", "A{0}", "{0}=", "{0} ", " {0}", "{0}\n", "{0}.", "{0}.{0}", "{0}-TAMPERED"]
)
def test_nothing_can_be_added(change: str) -> None:
    seals = Seals([OLD])
    with pytest.raises(BrokenSeal):
        seals.open("session", change.format(seals.seal("session", 1)))


@pytest.mark.parametrize("text", ["", ".", "..", "a.b", "ü", "\x00", "e30.e30", ".eJw.AAAA", "A" * 100_000])
def test_what_was_never_sealed_is_refused(text: str) -> None:
    with pytest.raises(BrokenSeal):
        Seals([OLD]).open("session", text)


def test_a_text_expires_after_its_lifetime_and_what_clocks_may_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seals = Seals([OLD])
    limited, unlimited = seals.seal("cursor", 1, 600), seals.seal("cursor", 2)
    clock(monkeypatch, 600 + CLOCK_SKEW_SEC - 5)
    assert _opens(seals, limited, "cursor")
    clock(monkeypatch, 600 + CLOCK_SKEW_SEC + 5)
    assert not _opens(seals, limited, "cursor")
    clock(monkeypatch, 10 * 365 * 24 * 3600)
    assert _opens(seals, unlimited, "cursor")


def _opens(seals: Seals, text: str, purpose: str = "session") -> bool:
    try:
        seals.open(purpose, text)
    except BrokenSeal:
        return False
    return True
