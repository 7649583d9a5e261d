"""Starting a server: its listening socket, then gunicorn in place of this process.

The socket is opened here rather than by gunicorn so that a port that is taken ends the start at once with one
clear line, and so that a socket that systemd kept across a restart (sd_listen_fds(3)) is checked before use.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import socket
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import canton_mcp
from canton_mcp.listening import why_not
from canton_mcp.settings import Settings, SettingsError

__all__ = ["StartError", "check", "one_line", "run"]

_PACKAGE = Path(canton_mcp.__file__).parent
_FIRST_PASSED_FD = 3
_BACKLOG = 2048


class StartError(Exception):
    """The server cannot start; the text says why and what to do, on one screen."""


def run(settings: Settings) -> NoReturn:
    """Replace this process by gunicorn, serving on the configured address.

    Raises:
        StartError: the address cannot be listened on.
    """
    listener = _inherited(settings.bind, settings.port) or _listen(settings)
    os.dup2(listener.detach(), _FIRST_PASSED_FD)
    os.set_inheritable(_FIRST_PASSED_FD, True)  # dup2 changes nothing when the descriptor is this one already
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
    os.environ.pop("LISTEN_FDNAMES", None)
    os.environ["CANTON_HOT_RELOAD"] = "true" if settings.hot_reload else "false"
    command = [
        *(sys.executable, "-m", "gunicorn"),
        *("--config", str(_PACKAGE / "gunicorn.conf.py")),
        *("--bind", settings.listen_address),
        *("--threads", str(settings.threads)),
        "canton_mcp.web:create_app()",
    ]
    sys.stdout.flush()
    os.execv(sys.executable, command)


def check(settings: Settings) -> None:
    """Import every part and build the application, without listening.

    Raises:
        StartError: something does not load.
    """
    try:
        for module in pkgutil.walk_packages([str(_PACKAGE)], "canton_mcp.", onerror=_reraise):
            if module.name != "canton_mcp.gunicorn":  # gunicorn.conf.py is configuration, not a module
                importlib.import_module(module.name)
        importlib.import_module("canton_mcp.web").create_app(settings)
    except Exception as error:
        raise StartError(f"the application does not load. {one_line(error)}") from None


def one_line(error: BaseException) -> str:
    """An exception and the place in this package that it came from; settings problems in full."""
    if isinstance(error, SettingsError):
        return str(error)
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__} in {error.filename}, line {error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)]
    place = f" ({ours[-1].filename}, line {ours[-1].lineno})" if ours else ""
    return f"{type(error).__name__}: {error}{place}"


def _reraise(name: str) -> None:
    raise  # pkgutil calls this while it handles the exception of an import


def _inherited(host: str, port: int) -> socket.socket | None:
    """The socket passed to this process that listens on the wanted address; any other is closed."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    count = int(os.environ.get("LISTEN_FDS") or 0)
    kept: socket.socket | None = None
    for descriptor in range(_FIRST_PASSED_FD, _FIRST_PASSED_FD + count):
        try:
            passed = socket.socket(fileno=descriptor)
        except OSError:  # not a socket
            continue
        if kept is None and _is_at(passed, host, port):
            kept = passed
        else:
            passed.close()
    return kept


def _is_at(passed: socket.socket, host: str, port: int) -> bool:
    name = passed.getsockname()
    listening = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return bool(listening) and isinstance(name, tuple) and name[:2] == (host, port)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.bind else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.bind, settings.port))
        listener.listen(_BACKLOG)  # only listening proves that nobody else does
    except OSError as error:
        raise StartError(
            why_not(error, settings.bind, settings.port, prefix="CANTON_MCP", usual="0.0.0.0")
        ) from None
    return listener
