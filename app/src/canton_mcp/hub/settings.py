"""Everything the environment decides about the hub, read once and checked before anything starts."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from canton_mcp import environment as parse
from canton_mcp.dcap.message import DEFAULT_PORT, HARD_LIMIT
from canton_mcp.environment import Reader, Refused

__all__ = ["HubSettings", "Network"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_TOKEN_FILE = "hub-token"
_MIN_TOKEN = 16
_OTHERS = ("DCAP_HUB_TOKEN_FILE", "DCAP_HUB_URL", "DCAP_HUB_DIGEST")
"""Read elsewhere, or by whoever runs the hub."""
_MAX_TOKEN = 512
_LINK_SCOPE = 2
_LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


@dataclass(frozen=True)
class HubSettings:
    """What the hub was told to be. Build it with `from_env`; the defaults are those of an empty environment."""

    bind: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    udp_bind: str = "0.0.0.0"
    udp_port: int = DEFAULT_PORT
    multicast_group: str = ""
    token: str = field(default="", repr=False)
    """What the page and the interfaces ask for; empty for nothing."""
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    servers_file: str = ""
    """JSON list of the servers that the inventory knows; it may change while the hub runs."""
    state_dir: str = ""
    """Where the history is kept; empty for none."""
    trusted_networks: tuple[Network, ...] = _LOOPBACK
    """Senders in them get `trusted_rate`; all others get `rate`."""
    rate: int = 100
    """Messages per minute for each address and sid."""
    trusted_rate: int = 600_000
    max_datagram: int = HARD_LIMIT
    """Bytes; a longer datagram is rejected."""
    retention_days: int = 90
    upstreams: tuple[tuple[str, int], ...] = ()
    """Where valid messages are sent on to, as they came; nowhere by default."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> HubSettings:
        """Read the DCAP_HUB_* variables; unset and blank ones take their defaults.

        Raises:
            SettingsError: with one line for each variable that cannot be used.
        """
        read = Reader(env)
        none: tuple[str, ...] = ()
        default = cls()
        state_dir = env.get("STATE_DIRECTORY", "").partition(":")[0]  # systemd.exec(5), StateDirectory=
        settings = cls(
            bind=read.get("DCAP_HUB_BIND", default.bind, parse.address),
            port=read.get("DCAP_HUB_PORT", default.port, parse.port_number),
            udp_bind=read.get("DCAP_HUB_UDP_BIND", default.udp_bind, parse.address),
            udp_port=read.get("DCAP_HUB_UDP_PORT", default.udp_port, parse.port_number),
            multicast_group=read.get("DCAP_HUB_MULTICAST_GROUP", default.multicast_group, _group),
            allowed_hosts=read.get("DCAP_HUB_ALLOWED_HOSTS", none, parse.host_names),
            allowed_origins=read.get("DCAP_HUB_ALLOWED_ORIGINS", none, parse.origins),
            servers_file=read.get("DCAP_HUB_SERVERS_FILE", default.servers_file, parse.path),
            state_dir=read.get("DCAP_HUB_STATE_DIR", state_dir, parse.path),
            trusted_networks=read.get("DCAP_HUB_TRUSTED_NETWORKS", default.trusted_networks, _networks),
            rate=read.get("DCAP_HUB_RATE", default.rate, parse.whole_number(1, 100_000_000, 100)),
            trusted_rate=read.get(
                "DCAP_HUB_TRUSTED_RATE", default.trusted_rate, parse.whole_number(1, 100_000_000, 600_000)
            ),
            max_datagram=read.get(
                "DCAP_HUB_MAX_DATAGRAM", default.max_datagram, parse.whole_number(128, 65_507, HARD_LIMIT)
            ),
            retention_days=read.get(
                "DCAP_HUB_RETENTION_DAYS", default.retention_days, parse.whole_number(1, 3650, 90)
            ),
            upstreams=read.get("DCAP_HUB_UPSTREAMS", default.upstreams, _targets),
            token=_token(env, read.problems),
        )
        read.refuse_others("DCAP_HUB_", *_OTHERS)
        read.finish()
        return settings


def _token(env: Mapping[str, str], problems: list[str]) -> str:
    """The token from its file: a systemd credential, or the file named by DCAP_HUB_TOKEN_FILE."""
    named = env.get("DCAP_HUB_TOKEN_FILE", "").strip()
    directory = env.get("CREDENTIALS_DIRECTORY", "")
    path = Path(named) if named else Path(directory) / _TOKEN_FILE
    if not named and (not directory or not path.exists()):
        return ""
    try:
        with path.open(encoding="ascii") as file:
            token = file.read(_MAX_TOKEN + 2).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not ASCII text"
        problems.append(f"{path}: the hub's token cannot be read ({reason}). Write it anew.")
        return ""
    if not _MIN_TOKEN <= len(token) <= _MAX_TOKEN or not token.isprintable() or " " in token:
        problems.append(
            f"{path}: the hub's token needs {_MIN_TOKEN} to {_MAX_TOKEN} characters on one line. "
            "Use for example the output of: openssl rand -hex 24"
        )
        return ""
    return token


def _networks(raw: str) -> tuple[Network, ...]:
    networks = []
    for item in filter(None, map(str.strip, raw.split(","))):
        try:
            networks.append(ipaddress.ip_network(item, strict=False))
        except ValueError:
            raise Refused(f"{item!r} is not a network. Use for example 10.0.0.0/24,127.0.0.0/8.") from None
    return tuple(networks)


def _targets(raw: str) -> tuple[tuple[str, int], ...]:
    return tuple(_target(item) for item in filter(None, map(str.strip, raw.split(","))))


def _target(item: str) -> tuple[str, int]:
    host, colon, port = item.rpartition(":")
    if not colon or not host:
        raise Refused(f"{item!r} has no port. Use for example hub.example:10191 or [2001:db8::1]:10191.")
    return parse.host_name(host.strip("[]")), parse.port_number(port)


def _group(raw: str) -> str:
    try:
        group = ipaddress.ip_address(raw.strip("[]"))
    except ValueError:
        group = None
    if group is None or not group.is_multicast:
        raise Refused("is not a multicast address. Use for example 239.255.0.1, or remove it.")
    if (
        isinstance(group, ipaddress.IPv6Address)
        and group.packed[1] & 0xF <= _LINK_SCOPE
        and not group.scope_id
    ):
        raise Refused(f"does not leave its network. Name the interface to it: {group}%eth0.")
    return str(group)
