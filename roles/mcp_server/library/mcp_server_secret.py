#!/usr/bin/python
"""Ansible module: the secret that the servers of a fleet share is on the node, and nobody else reads it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: mcp_server_secret
short_description: Keep the secret of the servers
description:
  - Writes the secret atomically, readable by root alone. systemd hands it to the servers.
  - Without C(secret) it keeps what the node has, and makes one where there is none that can be used.
  - Never returns or shows the secret.
options:
  secret:
    description: One secret a line; the first signs, all are accepted. Empty keeps what is there.
    type: str
    default: ""
  path:
    description: The file.
    type: path
    required: true
author: Canton MCP Fleet
"""

RETURN = r"""
digest:
  description: Twelve hexadecimal digits that change with the secret; empty where it would be made, but was not in check mode.
  type: str
  returned: always
"""

# The filters of the role have the same.
LINE = re.compile(r"[!-~](?:[ -~]{30,}[!-~])")
MODE = 0o600
ROUNDS = 100_000


def read(path: str) -> str:
    """The secret in a file; empty where there is none that servers accept."""
    try:
        with open(path, encoding="latin-1", newline="") as file:
            text = file.read().strip("\n")
    except FileNotFoundError:
        return ""
    return text if all(LINE.fullmatch(line) for line in text.split("\n")) else ""


def guarded(path: str) -> bool:
    """Whether root owns a file and nobody else may read it."""
    status = os.stat(path)
    return (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (MODE, os.geteuid(), os.getegid())


def write(path: str, text: str) -> None:
    """Replace the file in one step; at no time can another account read it."""
    directory, name = os.path.split(path)
    os.makedirs(directory, mode=0o755, exist_ok=True)
    draft = os.path.join(directory, f".{name}.new")
    with contextlib.suppress(FileNotFoundError):  # left by a run that died
        os.unlink(draft)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    with open(descriptor, "w", encoding="ascii", newline="") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(descriptor)
    os.replace(draft, path)


def digest(text: str) -> str:
    """A name for the secret. It stands where everyone may read it, so guessing by it is made slow."""
    return hashlib.pbkdf2_hmac("sha256", text.encode(), b"canton-mcp fleet secret", ROUNDS).hex()[:12]


def keep(module: AnsibleModule) -> dict[str, Any]:
    """Bring the file to what is wanted, unless in check mode."""
    path, given = module.params["path"], module.params["secret"].strip("\n")
    kept = read(path)
    wanted = given or kept
    if wanted and wanted == kept and guarded(path):
        return {"changed": False, "digest": digest(kept)}
    if not module.check_mode:
        wanted = wanted or secrets.token_urlsafe(48)
        write(path, wanted)
    return {"changed": True, "digest": digest(wanted) if wanted else ""}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "secret": {"type": "str", "default": "", "no_log": True},
            "path": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    os.umask(0o022)
    try:
        module.exit_json(**keep(module))
    except OSError as error:
        module.fail_json(
            msg=f"{error.filename or module.params['path']}: {error.strerror}; mend that and run again"
        )


if __name__ == "__main__":
    main()
