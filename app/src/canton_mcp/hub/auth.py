"""Who may ask the hub: Host and Origin for every request, a token where one is set.

A page of a stranger can reach the hub through the browser of somebody who may: by a name that suddenly means this
machine (DNS rebinding), or by a WebSocket, which browsers open to any site. Host and Origin tell these apart.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from collections import OrderedDict
from urllib.parse import urlsplit

__all__ = ["SECURITY_HEADERS", "Attempts", "Gate"]

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Server": "canton-mcp",
}
COOKIE_SEC = 7 * 24 * 3600
_ATTEMPTS = 10
_ATTEMPTS_SEC = 60.0
_MAX_ADDRESSES = 4096


class Gate:
    """Decides on Host, Origin and token. An empty token opens the hub to whoever can reach it."""

    def __init__(
        self,
        token: str,
        port: int,
        allowed_hosts: tuple[str, ...] = (),
        allowed_origins: tuple[str, ...] = (),
    ) -> None:
        self.cookie = f"canton-mcp-hub-{port}"  # cookies do not tell ports apart
        self._digest = _digest(token) if token else None
        self._hosts = frozenset({"localhost", *own_names(), *(host.lower() for host in allowed_hosts)})
        self._origins = frozenset(origin.lower().rstrip("/") for origin in allowed_origins)

    @property
    def wants_token(self) -> bool:
        """Whether a token is asked for."""
        return self._digest is not None

    def host_allowed(self, host: str) -> bool:
        """Whether a Host header names this hub.

        An address always does: rebinding needs a name. Any port does: it may have been forwarded.
        """
        name = _host_name(host)
        return name is not None and (name in self._hosts or _is_address(name))

    def origin_allowed(self, origin: str | None, host: str) -> bool:
        """Whether a request from a page of `origin` is welcome; None is no page, or one of our own."""
        if origin is None:
            return True
        if origin.lower().rstrip("/") in self._origins:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return (
            parts.scheme in ("http", "https") and bool(parts.netloc) and parts.netloc.lower() == host.lower()
        )

    def token_matches(self, token: str) -> bool:
        """Compare in constant time; always true where no token is asked for."""
        return self._digest is None or hmac.compare_digest(self._digest, _digest(token))

    def bearer_matches(self, authorization: str) -> bool:
        """The same for an Authorization header."""
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and self.token_matches(token.strip())

    def session(self, now: float) -> str:
        """A cookie's value, good for a week from `now` (Unix time); it proves the token and does not hold it."""
        until = str(int(now) + COOKIE_SEC)
        return f"{until}.{self._seal(until)}"

    def session_valid(self, cookie: str, now: float) -> bool:
        """Whether `session` made this value, not too long ago."""
        until, _, seal = cookie.partition(".")
        if self._digest is None:
            return True
        if not until.isascii() or not until.isdigit() or len(until) > 12:
            return False
        right = hmac.compare_digest(self._seal(until).encode(), seal.encode(errors="replace"))
        return right and now < int(until)

    def _seal(self, until: str) -> str:
        return hmac.new(
            self._digest or b"", f"hub session until {until}".encode(), hashlib.sha256
        ).hexdigest()


class Attempts:
    """How often an address may try to sign in: ten times a minute."""

    def __init__(self, limit: int = _ATTEMPTS, seconds: float = _ATTEMPTS_SEC) -> None:
        self._limit = limit
        self._seconds = seconds
        self._tried: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait(self, address: str, now: float) -> int:
        """Count an attempt; 0 when it is allowed, else the seconds until the next one is."""
        until, count = self._tried.get(address, (0.0, 0))
        if now >= until:
            until, count = now + self._seconds, 0
        self._tried[address] = (until, count + 1)
        self._tried.move_to_end(address)
        if len(self._tried) > _MAX_ADDRESSES:
            self._tried.popitem(last=False)
        return 0 if count < self._limit else max(1, int(until - now) + 1)


def own_names() -> frozenset[str]:
    """The names that this machine calls itself by, without asking the network."""
    name = socket.gethostname().lower()
    return frozenset({name, name.partition(".")[0]} - {""})


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", errors="surrogatepass")).digest()


def _host_name(host: str) -> str | None:
    """The name or address in a Host header, None when it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises for what is no port
    except ValueError:
        return None
    if (
        not parts.hostname
        or parts.netloc != host
        or "@" in host
        or parts.path
        or parts.query
        or parts.fragment
    ):
        return None
    return parts.hostname.rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
