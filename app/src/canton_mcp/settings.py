"""Everything the environment decides, read once and checked before anything starts.

A server takes its identity from ``/etc/canton-mcp/servers/PORT.env`` and what all servers share from
``/etc/canton-mcp/fleet.env``; both arrive as environment variables, and nothing else configures a server.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from canton_mcp.dcap.privacy import POLICIES, Policy

__all__ = ["Settings", "SettingsError", "TesterSettings", "fleet_secrets", "release_id"]

T = TypeVar("T")

_TRUE = frozenset({"true", "1", "yes", "y", "on"})
_FALSE = frozenset({"false", "0", "no", "n", "off"})
_SERVER_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_SERVER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_USUAL_SERVER_ID = (8, 12)
_DEFAULT_PORT = 7284
_SECRET_FILE = "fleet-secret"
_MIN_SECRET = 32


class SettingsError(ValueError):
    """One or more variables cannot be used.

    ``problems`` holds one line for each: the variable with its value, the reason, the remedy.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Refused(ValueError):
    """A value was refused; the text is "reason. Remedy." without the variable's name."""


class _Reader:
    """Reads variables one by one and keeps every complaint, so that an operator sees all of them at once."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.problems: list[str] = []

    def get(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        """The parsed value of `name`; `default` when it is unset, blank or refused."""
        raw = self._env.get(name, "").strip()
        if not raw:
            return default
        try:
            return parse(raw)
        except _Refused as refusal:
            self.problems.append(f"{name}={_short(raw)}: {refusal}")
            return default

    def finish(self) -> None:
        """Raise `SettingsError` if anything was refused."""
        if self.problems:
            raise SettingsError(*self.problems)


@dataclass(frozen=True)
class Settings:
    """What one server was told to be. Build it with `from_env`."""

    server_id: str
    server_name: str
    server_url: str
    public_url: str
    mcp_name: str
    bind: str
    port: int
    threads: int
    streams: int
    """How many streams may be open at a time; each holds a thread."""
    dcap_enabled: bool
    dcap_host: str
    dcap_port: int
    dcap_discover_interval_sec: int
    dcap_default_caller: str
    dcap_arguments: Policy
    dcap_multicast_ttl: int
    hot_reload: bool
    drain_dir: str
    rollout_file: str
    """Says which release the whole fleet runs; written when a rollout is over."""
    unit_digest: str
    """Opaque: changes when something else than these settings makes a restart necessary."""
    own_digest: str
    """The same for what concerns this server alone."""
    allowed_origins: tuple[str, ...]
    allowed_hosts: tuple[str, ...]
    """Host names, without ports, that requests may be addressed to; empty for any."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read the variables of one server.

        Unset and blank variables take their defaults; variables of other programs are ignored.

        Raises:
            SettingsError: with one line for each variable that cannot be used.
        """
        read = _Reader(env)
        port = read.get("CANTON_MCP_PORT", _DEFAULT_PORT, _port)
        public_url = read.get("MCP_SERVER_URL", f"http://localhost:{port}", _base_url)
        read.get("X402_ENABLED", False, _payments)
        threads = read.get("CANTON_MCP_THREADS", 16, _whole_number(1, 512, 16))
        settings = cls(
            server_id=read.get("DCAP_SERVER_ID", "canton-mcp-1", _server_id),
            server_name=read.get("DCAP_SERVER_NAME", "Canton MCP Server 1", _display_name),
            server_url=read.get("DCAP_SERVER_URL", f"{public_url}/mcp", _http_url),
            public_url=public_url,
            mcp_name=read.get("CANTON_MCP_NAME", "canton-mcp-server", _mcp_name),
            bind=read.get("CANTON_MCP_BIND", "0.0.0.0", _address),
            port=port,
            threads=threads,
            streams=read.get("CANTON_MCP_STREAMS", threads // 2, _whole_number(0, threads - 1, threads // 2)),
            dcap_enabled=read.get("DCAP_ENABLED", True, _boolean),
            dcap_host=read.get("DCAP_MULTICAST_IP", "", _host),
            dcap_port=read.get("DCAP_PORT", 10191, _port),
            dcap_discover_interval_sec=read.get(
                "DCAP_DISCOVER_INTERVAL_SEC", 300, _whole_number(1, 86400, 300)
            ),
            dcap_default_caller=read.get("DCAP_DEFAULT_CALLER", "", _display_name),
            dcap_arguments=read.get("DCAP_ARGUMENTS", "types", _policy),
            dcap_multicast_ttl=read.get("DCAP_MULTICAST_TTL", 1, _whole_number(0, 255, 1)),
            hot_reload=read.get("CANTON_HOT_RELOAD", False, _boolean),
            drain_dir=read.get("CANTON_MCP_DRAIN_DIR", "/run/canton-mcp", _path),
            rollout_file=read.get("CANTON_MCP_ROLLOUT_FILE", "/etc/canton-mcp/rollout", _path),
            unit_digest=read.get("CANTON_MCP_UNIT_DIGEST", "", str),
            own_digest=read.get("CANTON_MCP_OWN_DIGEST", "", str),
            allowed_origins=read.get("CANTON_MCP_ALLOWED_ORIGINS", (), _origins),
            allowed_hosts=read.get("CANTON_MCP_ALLOWED_HOSTS", (), _hosts),
        )
        read.finish()
        return settings

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change when, and only when, an effective setting changes."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Lines worth logging about values that work but are unwise."""
        length, (least, most) = len(self.server_id), _USUAL_SERVER_ID
        unwise = []
        if not least <= length <= most:
            unwise.append(
                f"DCAP_SERVER_ID={self.server_id}: has {length} characters. DCAP asks for {least} to {most}; hubs take "
                "it all the same, and flag it."
            )
        own = urlsplit(self.server_url).hostname
        if self.dcap_enabled and self.dcap_host and _is_loopback(own) and not _is_loopback(self.dcap_host):
            unwise.append(
                f"DCAP_SERVER_URL={self.server_url}: is announced to {self.dcap_host}, and leads nowhere from there. "
                "Set it to an address that callers reach."
            )
        return tuple(unwise)

    @property
    def listen_address(self) -> str:
        """Address and port in the form ``host:port``, IPv6 addresses in brackets."""
        return f"{_bracketed(self.bind)}:{self.port}"

    @property
    def local_url(self) -> str:
        """Where a process on the same machine reaches this server; no trailing slash."""
        address = ipaddress.ip_address(self.bind)
        if address.is_unspecified:
            return f"http://{'127.0.0.1' if address.version == 4 else '[::1]'}:{self.port}"
        return f"http://{self.listen_address}"

    @property
    def draining(self) -> bool:
        """Whether this server, or its whole node, was asked to leave the balancer's rotation."""
        flags = Path(self.drain_dir)
        return (flags / "drain").exists() or (flags / f"drain-{self.port}").exists()


@dataclass(frozen=True)
class TesterSettings:
    """What the tester calls and how often. Build it with `from_env`."""

    urls: tuple[str, ...]
    min_interval: float
    max_interval: float

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> TesterSettings:
        """Read MCP_SERVER_URLS (comma list), MIN_INTERVAL and MAX_INTERVAL (seconds).

        Raises:
            SettingsError: with one line for each variable that cannot be used.
        """
        read = _Reader(env)
        none: tuple[str, ...] = ()
        urls = read.get("MCP_SERVER_URLS", none, _urls)
        low = read.get("MIN_INTERVAL", 1.0, _seconds)
        high = read.get("MAX_INTERVAL", max(5.0, low), _seconds)
        if high < low:
            read.problems.append(
                f"MAX_INTERVAL={high:g}: is below MIN_INTERVAL={low:g}. Raise it, or lower MIN_INTERVAL."
            )
        read.finish()
        return cls(urls=urls, min_interval=low, max_interval=high)


def fleet_secrets(env: Mapping[str, str]) -> tuple[str, ...]:
    """The secrets that all servers of the fleet share, newest first; none when there is no credential.

    They come as a file, since an environment is read too easily (systemd.exec(5), LoadCredential=).

    Raises:
        SettingsError: the file cannot be read, or holds a secret that is easy to guess.
    """
    directory = env.get("CREDENTIALS_DIRECTORY", "")
    path = Path(directory) / _SECRET_FILE
    if not directory or not path.exists():
        return ()
    try:
        secrets = tuple(filter(None, map(str.strip, path.read_text(encoding="ascii").splitlines())))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path}: cannot be read as ASCII text ({error}). Write the fleet secret anew."
        ) from None
    weak = [number for number, secret in enumerate(secrets, 1) if len(secret) < _MIN_SECRET]
    if weak or not secrets:
        reason = f"line {weak[0]} is shorter than {_MIN_SECRET} characters" if weak else "it is empty"
        raise SettingsError(f"{path}: {reason}. Use for example the output of: openssl rand -hex 32")
    return secrets


def release_id(prefix: str | Path | None = None) -> str:
    """The release installed in the virtual environment `prefix` (by default our own), else ``dev``."""
    try:
        return (Path(prefix or sys.prefix) / "RELEASE").read_text(encoding="utf-8").strip() or "dev"
    except OSError:
        return "dev"


def _short(raw: str) -> str:
    return raw if len(raw) <= 80 else f"{raw[:77]}..."


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _boolean(raw: str) -> bool:
    word = raw.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise _Refused("is not a yes or a no. Use true or false.")


def _payments(raw: str) -> bool:
    if _boolean(raw):
        raise _Refused("payments are not available yet. Set X402_ENABLED=false or remove it.")
    return False


def _whole_number(low: int, high: int, example: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not raw.isascii() or not raw.isdigit() or len(raw) > 9 or not low <= int(raw) <= high:
            raise _Refused(f"is not a whole number from {low} to {high}. Use for example {example}.")
        return int(raw)

    return parse


def _port(raw: str) -> int:
    if not raw.isascii() or not raw.isdigit() or len(raw) > 5 or not 1 <= int(raw) <= 65535:
        raise _Refused("is not a port. Use a whole number from 1 to 65535.")
    return int(raw)


def _seconds(raw: str) -> float:
    try:
        value = float(raw)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86400:
        raise _Refused("is not a number of seconds from 0 to 86400. Use for example 1 or 0.5.")
    return value


def _server_id(raw: str) -> str:
    if not _SERVER_ID.fullmatch(raw):
        raise _Refused("is not a DCAP server id. Use 1 to 64 of letters, digits and . _ : - only.")
    return raw


def _mcp_name(raw: str) -> str:
    if not _SERVER_NAME.fullmatch(raw):
        raise _Refused("is not a server name. Use 1 to 64 of letters, digits and . _ - only.")
    return raw


def _display_name(raw: str) -> str:
    if len(raw) > 128 or not raw.isprintable():
        raise _Refused("is too long or holds control characters. Use at most 128 printable characters.")
    return raw


def _address(raw: str) -> str:
    try:
        return str(ipaddress.ip_address(raw.strip("[]")))
    except ValueError:
        raise _Refused("is not an IP address. Use 0.0.0.0, or an address of this machine.") from None


def _host(raw: str) -> str:
    try:
        return str(ipaddress.ip_address(raw))
    except ValueError:
        pass
    labels = raw.removesuffix(".").split(".")
    numeric = all(label.isdigit() for label in labels)  # 10.0.0.256 is a broken address, not a name
    if numeric or len(raw) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        raise _Refused("is neither an IP address nor a host name. Use for example 192.0.2.10 or hub.example.")
    return raw


def _policy(raw: str) -> Policy:
    for policy in POLICIES:
        if raw.lower() == policy:
            return policy
    raise _Refused("is no way to tell of arguments. Use types, truncate or none.")


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _path(raw: str) -> str:
    if not Path(raw).is_absolute():
        raise _Refused("is not an absolute path. Use for example /run/canton-mcp.")
    return raw


def _http_url(raw: str) -> str:
    try:
        parts = urlsplit(raw)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or any(character.isspace() for character in raw):
        raise _Refused("is not an http or https URL. Use for example http://192.0.2.10:7284/mcp.")
    return raw


def _base_url(raw: str) -> str:
    url = _http_url(raw).rstrip("/")
    parts = urlsplit(url)
    if parts.path or parts.query or parts.fragment:
        raise _Refused("has more than a host and a port. Use for example http://192.0.2.10:7284.")
    return url


def _urls(raw: str) -> tuple[str, ...]:
    return tuple(_http_url(item.strip()) for item in raw.split(",") if item.strip())


def _origins(raw: str) -> tuple[str, ...]:
    return tuple(_origin(item.strip()) for item in raw.split(",") if item.strip())


def _hosts(raw: str) -> tuple[str, ...]:
    return tuple(_host(item.strip().strip("[]")).lower() for item in raw.split(",") if item.strip())


def _origin(raw: str) -> str:
    try:
        return _base_url(raw).lower()
    except _Refused:
        raise _Refused(f"{raw!r} is not an origin. Use for example https://tools.example.net.") from None
