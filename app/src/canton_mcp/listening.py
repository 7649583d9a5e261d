"""Why an address cannot be listened on, for servers and hub alike."""

from __future__ import annotations

import errno

__all__ = ["why_not"]


def why_not(error: OSError, host: str, port: int, *, prefix: str, usual: str) -> str:
    """The reason and the remedy in a line; ``prefix`` begins the names of the variables, ``usual`` is a host that works."""
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken by another process. "
            f"See which with: ss -ltnp 'sport = :{port}'. Stop it, or set another {prefix}_PORT."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"{host} is no address of this machine (port {port}). Set {prefix}_BIND={usual} or one that is."
        )
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs privileges. Set {prefix}_PORT to 1024 or more."
    reason = error.strerror or str(error)
    return f"port {port} on {host} cannot be opened: {reason}. Check {prefix}_BIND and {prefix}_PORT."
