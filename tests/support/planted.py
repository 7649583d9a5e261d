"""Secrets of many kinds, planted where a caller can put text, and what must never be found of them again."""

from __future__ import annotations

import base64
import random
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass

_LETTERS = string.ascii_letters
_SAFE = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"


@dataclass(frozen=True)
class Planted:
    """A secret, and pieces of it that would give it away."""

    text: str
    traces: tuple[str, ...]

    def found_in(self, datagram: str) -> bool:
        """Whether any piece of it is there."""
        return any(trace in datagram for trace in self.traces)


def plant(count: int, seed: int = 7) -> list[Planted]:
    """`count` different secrets, of all kinds in turn."""
    chance = random.Random(seed)
    return [_planted(_KINDS[index % len(_KINDS)](chance)) for index in range(count)]


def _planted(text: str) -> Planted:
    """Eight characters of a secret are enough to be told from anything else that is sent."""
    body = text.removeprefix("-----BEGIN PRIVATE KEY-----\n")
    pieces = {body[start : start + 8] for start in range(0, max(1, len(body) - 7), 4)}
    return Planted(text, tuple(sorted(piece for piece in pieces if len(piece) >= 8 or piece == text)))


def _run(chance: random.Random, alphabet: str, length: int) -> str:
    return "".join(chance.choices(alphabet, k=length))


def _base64(chance: random.Random, length: int) -> str:
    return base64.urlsafe_b64encode(chance.randbytes(length)).decode().rstrip("=")


_KINDS: tuple[Callable[[random.Random], str], ...] = (
    lambda chance: "sk_live_" + _run(chance, _SAFE, 24),
    lambda chance: "ghp_" + _run(chance, _SAFE, 36),
    lambda chance: "AKIA" + _run(chance, string.ascii_uppercase + string.digits, 16),
    lambda chance: ".".join(["eyJ" + _base64(chance, 20), _base64(chance, 40), _base64(chance, 32)]),
    lambda chance: "-----BEGIN PRIVATE KEY-----\n" + _base64(chance, 90) + "\n-----END PRIVATE KEY-----",
    lambda chance: _run(chance, _LETTERS, 12),  # a password of letters only
    lambda chance: _run(chance, _SAFE + "!$%&?", 16),
    lambda chance: _run(chance, _HEX, 64),
    lambda chance: "0x" + _run(chance, _HEX, 64),
    lambda chance: f"{_run(chance, _LETTERS, 8)}::1220{_run(chance, _HEX, 60)}",  # a party
    lambda chance: "00" + _run(chance, _HEX, 66),  # a contract
    lambda chance: (
        f"{_run(chance, string.ascii_lowercase, 9)}@{_run(chance, string.ascii_lowercase, 8)}.example"
    ),
    lambda chance: f"postgres://{_run(chance, _LETTERS, 8)}:{_run(chance, _SAFE, 12)}@db.example/x",
    lambda chance: _base64(chance, 33),
    lambda chance: _run(chance, "äöüßéèñçøåłđ", 14),
    lambda chance: "\u200b".join(_run(chance, _SAFE, 20)),  # split by characters that nobody sees
    lambda chance: str(uuid.UUID(bytes=chance.randbytes(16))),
    lambda chance: _run(chance, string.digits, 16),
    lambda chance: f"/home/{_run(chance, _LETTERS, 9)}/.ssh/{_run(chance, _LETTERS, 9)}",
    lambda chance: "hvs." + _run(chance, _SAFE, 24),
)
