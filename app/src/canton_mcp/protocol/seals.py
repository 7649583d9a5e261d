"""Texts that clients carry for the fleet: any server can read back what another one wrote, nobody else can forge it.

They are signed, not encrypted: a client can read what it carries, so nothing secret goes in.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any, Final

from itsdangerous import BadData, URLSafeSerializer
from itsdangerous.encoding import base64_decode, base64_encode

__all__ = ["BrokenSeal", "Seals"]

CLOCK_SKEW_SEC: Final = 60
"""How far the clocks of two servers may differ."""


class BrokenSeal(ValueError):
    """A text was not sealed here, was changed, belongs to another purpose, or is too old."""


class Seals:
    """Seals and opens with the fleet's secrets: the first one seals, all of them open, so that they can rotate."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = list(reversed(secrets))  # the library wants the newest last

    def seal(self, purpose: str, claims: Any, lifetime: float | None = None) -> str:
        """`claims` (any JSON) as URL-safe ASCII text, good for `lifetime` seconds, by default for ever."""
        expires = None if lifetime is None else int(time.time() + lifetime)
        sealed = self._serializer(purpose).dumps([expires, claims])
        return sealed if isinstance(sealed, str) else sealed.decode("ascii")

    def open(self, purpose: str, text: str) -> Any:
        """The claims of a sealed text.

        Raises:
            BrokenSeal: it cannot be trusted; the reason stays here, since it would only help a forger.
        """
        if not text.isascii() or not _canonical(text.rpartition(".")[2]):
            raise BrokenSeal
        try:
            expires, claims = self._serializer(purpose).loads(text)
        except BadData:
            raise BrokenSeal from None
        if expires is not None and time.time() > expires + CLOCK_SKEW_SEC:
            raise BrokenSeal
        return claims

    def _serializer(self, purpose: str) -> URLSafeSerializer:
        return URLSafeSerializer(
            self._keys,
            salt=f"canton-mcp {purpose}",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )


def _canonical(signature: str) -> bool:
    """Whether base64 has only one way to write these bytes: the last character has bits to spare."""
    try:
        return base64_encode(base64_decode(signature)).decode("ascii") == signature
    except BadData:
        return False
