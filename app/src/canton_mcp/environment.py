"""Reading environment variables: one value at a time, all complaints at once, each with reason and remedy."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
_TRUE = frozenset({"true", "1", "yes", "y", "on"})
_FALSE = frozenset({"false", "0", "no", "n", "off"})
_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


class SettingsError(ValueError):
    """One or more variables cannot be used.

    ``problems`` holds one line for each: the variable with its value, the reason, the remedy.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Refused(ValueError):
    """A value was refused; the text is "reason. Remedy." without the variable's name."""


class Reader:
    """Reads variables one by one and keeps every complaint, so that an operator sees all of them at once."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._asked: set[str] = set()
        self.problems: list[str] = []

    def get(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        """The parsed value of `name`; `default` when it is unset, blank or refused."""
        self._asked.add(name)
        raw = self._env.get(name, "").strip()
        if not raw:
            return default
        try:
            return parse(raw)
        except Refused as refusal:
            self.problems.append(f"{name}={_short(raw)}: {refusal}")
            return default

    def refuse_others(self, prefix: str, *known: str) -> None:
        """Complain of variables with `prefix` that nobody has asked for and that are not `known` either."""
        names = self._asked | set(known)
        for name in sorted(name for name in self._env if name.startswith(prefix) and name not in names):
            near = difflib.get_close_matches(name, names, 1)
            self.problems.append(
                f"{name}: nothing reads it. {f'Did you mean {near[0]}?' if near else 'Remove it.'}"
            )

    def finish(self) -> None:
        """Raise `SettingsError` if anything was refused."""
        if self.problems:
            raise SettingsError(*self.problems)


def _short(raw: str) -> str:
    return raw if len(raw) <= 80 else f"{raw[:77]}..."


def boolean(raw: str) -> bool:
    word = raw.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise Refused("is not a yes or a no. Use true or false.")


def whole_number(low: int, high: int, example: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not raw.isascii() or not raw.isdigit() or len(raw) > 9 or not low <= int(raw) <= high:
            raise Refused(f"is not a whole number from {low} to {high}. Use for example {example}.")
        return int(raw)

    return parse


def port_number(raw: str) -> int:
    if not raw.isascii() or not raw.isdigit() or len(raw) > 5 or not 1 <= int(raw) <= 65535:
        raise Refused("is not a port. Use a whole number from 1 to 65535.")
    return int(raw)


def seconds(raw: str) -> float:
    try:
        value = float(raw)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86400:
        raise Refused("is not a number of seconds from 0 to 86400. Use for example 1 or 0.5.")
    return value


def display_name(raw: str) -> str:
    if len(raw) > 128 or not raw.isprintable():
        raise Refused("is too long or holds control characters. Use at most 128 printable characters.")
    return raw


def address(raw: str) -> str:
    try:
        return str(ipaddress.ip_address(raw.strip("[]")))
    except ValueError:
        raise Refused("is not an IP address. Use 0.0.0.0, or an address of this machine.") from None


def host_name(raw: str) -> str:
    try:
        return str(ipaddress.ip_address(raw))
    except ValueError:
        pass
    labels = raw.removesuffix(".").split(".")
    numeric = all(label.isdigit() for label in labels)  # 10.0.0.256 is a broken address, not a name
    if numeric or len(raw) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        raise Refused("is neither an IP address nor a host name. Use for example 192.0.2.10 or hub.example.")
    return raw


def path(raw: str) -> str:
    if not Path(raw).is_absolute():
        raise Refused("is not an absolute path. Use for example /run/canton-mcp.")
    return raw


def http_url(raw: str) -> str:
    try:
        parts = urlsplit(raw)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or any(character.isspace() for character in raw):
        raise Refused("is not an http or https URL. Use for example http://192.0.2.10:7284/mcp.")
    return raw


def base_url(raw: str) -> str:
    url = http_url(raw).rstrip("/")
    parts = urlsplit(url)
    if parts.path or parts.query or parts.fragment:
        raise Refused("has more than a host and a port. Use for example http://192.0.2.10:7284.")
    return url


def urls(raw: str) -> tuple[str, ...]:
    return tuple(http_url(item.strip()) for item in raw.split(",") if item.strip())


def origins(raw: str) -> tuple[str, ...]:
    return tuple(_origin(item.strip()) for item in raw.split(",") if item.strip())


def host_names(raw: str) -> tuple[str, ...]:
    return tuple(host_name(item.strip().strip("[]")).lower() for item in raw.split(",") if item.strip())


def _origin(raw: str) -> str:
    try:
        return base_url(raw).lower()
    except Refused:
        raise Refused(f"{raw!r} is not an origin. Use for example https://tools.example.net.") from None
