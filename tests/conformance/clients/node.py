"""Where Node and the packages that run on it are."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final

__all__ = ["MODULES", "program"]

MODULES: Final = Path(__file__).resolve().parents[2] / "node_modules"


def program() -> Path:
    """Node itself.

    Raises:
        FileNotFoundError: it is not installed.
    """
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    node = MODULES / f"node-linux-{machine}" / "bin" / "node"
    if not node.exists():
        raise FileNotFoundError(f"{node} is missing; `make conformance` installs it (on x86_64 and aarch64)")
    return node
