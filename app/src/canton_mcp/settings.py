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
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from canton_mcp import environment as parse
from canton_mcp.dcap.privacy import POLICIES, Policy
from canton_mcp.environment import Reader, Refused, SettingsError

__all__ = ["Settings", "SettingsError", "TesterSettings", "fleet_secrets", "release_id"]


_SERVER_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_SERVER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_USUAL_SERVER_ID = (8, 12)
_DEFAULT_PORT = 7284
_SECRET_FILE = "fleet-secret"
_MIN_SECRET = 32


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
        read = Reader(env)
        port = read.get("CANTON_MCP_PORT", _DEFAULT_PORT, parse.port_number)
        public_url = read.get("MCP_SERVER_URL", f"http://localhost:{port}", parse.base_url)
        read.get("X402_ENABLED", False, _payments)
        threads = read.get("CANTON_MCP_THREADS", 16, parse.whole_number(1, 512, 16))
        settings = cls(
            server_id=read.get("DCAP_SERVER_ID", "canton-mcp-1", _server_id),
            server_name=read.get("DCAP_SERVER_NAME", "Canton MCP Server 1", parse.display_name),
            server_url=read.get("DCAP_SERVER_URL", f"{public_url}/mcp", parse.http_url),
            public_url=public_url,
            mcp_name=read.get("CANTON_MCP_NAME", "canton-mcp-server", _mcp_name),
            bind=read.get("CANTON_MCP_BIND", "0.0.0.0", parse.address),
            port=port,
            threads=threads,
            streams=read.get(
                "CANTON_MCP_STREAMS", threads // 2, parse.whole_number(0, threads - 1, threads // 2)
            ),
            dcap_enabled=read.get("DCAP_ENABLED", True, parse.boolean),
            dcap_host=read.get("DCAP_MULTICAST_IP", "", parse.host_name),
            dcap_port=read.get("DCAP_PORT", 10191, parse.port_number),
            dcap_discover_interval_sec=read.get(
                "DCAP_DISCOVER_INTERVAL_SEC", 300, parse.whole_number(1, 86400, 300)
            ),
            dcap_default_caller=read.get("DCAP_DEFAULT_CALLER", "", parse.display_name),
            dcap_arguments=read.get("DCAP_ARGUMENTS", "types", _policy),
            dcap_multicast_ttl=read.get("DCAP_MULTICAST_TTL", 1, parse.whole_number(0, 255, 1)),
            hot_reload=read.get("CANTON_HOT_RELOAD", False, parse.boolean),
            drain_dir=read.get("CANTON_MCP_DRAIN_DIR", "/run/canton-mcp", parse.path),
            rollout_file=read.get("CANTON_MCP_ROLLOUT_FILE", "/etc/canton-mcp/rollout", parse.path),
            unit_digest=read.get("CANTON_MCP_UNIT_DIGEST", "", str),
            own_digest=read.get("CANTON_MCP_OWN_DIGEST", "", str),
            allowed_origins=read.get("CANTON_MCP_ALLOWED_ORIGINS", (), parse.origins),
            allowed_hosts=read.get("CANTON_MCP_ALLOWED_HOSTS", (), parse.host_names),
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
        read = Reader(env)
        none: tuple[str, ...] = ()
        urls = read.get("MCP_SERVER_URLS", none, parse.urls)
        low = read.get("MIN_INTERVAL", 1.0, parse.seconds)
        high = read.get("MAX_INTERVAL", max(5.0, low), parse.seconds)
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


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _payments(raw: str) -> bool:
    if parse.boolean(raw):
        raise Refused("payments are not available yet. Set X402_ENABLED=false or remove it.")
    return False


def _server_id(raw: str) -> str:
    if not _SERVER_ID.fullmatch(raw):
        raise Refused("is not a DCAP server id. Use 1 to 64 of letters, digits and . _ : - only.")
    return raw


def _mcp_name(raw: str) -> str:
    if not _SERVER_NAME.fullmatch(raw):
        raise Refused("is not a server name. Use 1 to 64 of letters, digits and . _ - only.")
    return raw


def _policy(raw: str) -> Policy:
    for policy in POLICIES:
        if raw.lower() == policy:
            return policy
    raise Refused("is no way to tell of arguments. Use types, truncate or none.")


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
