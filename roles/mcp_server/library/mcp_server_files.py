#!/usr/bin/python
"""Ansible module: keep a set of small text files exactly as declared, however many, in one task."""

from __future__ import annotations

import contextlib
import glob
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: mcp_server_files
short_description: Write many small files and remove those no longer declared
description:
  - Writes every file atomically, owned by root, and creates missing parent directories.
  - Removes what matches C(prune) and is not declared, and parent directories that this leaves empty.
  - Supports check mode and diff mode.
options:
  files:
    description: Content by absolute path.
    type: dict
    required: true
  prune:
    description: Glob patterns of files that belong to the caller.
    type: list
    elements: str
    default: []
  prune_only:
    description: Whether C(files) only tells what to keep, and nothing is written.
    type: bool
    default: false
  mode:
    description: Permissions of every file.
    type: str
    default: "0644"
author: Canton MCP Fleet
"""

RETURN = r"""
written: {description: Paths that were or would be written., type: list, returned: always}
removed: {description: Paths that were or would be removed., type: list, returned: always}
"""


def read(path: str) -> str | None:
    """The text of a file, or None when there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None


def write(path: str, text: str, mode: int) -> None:
    """Replace a file in one step, so that a reader sees the old text or the new one."""
    directory, name = os.path.split(path)
    os.makedirs(directory, mode=0o755, exist_ok=True)
    draft = os.path.join(directory, f".{name}.new")
    with open(draft, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    os.chmod(draft, mode)
    os.replace(draft, path)


def remove(path: str) -> None:
    """Remove a file, and its directory when nothing else is in it."""
    os.unlink(path)
    with contextlib.suppress(OSError):  # other files live there
        os.rmdir(os.path.dirname(path))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "dict", "required": True},
            "prune": {"type": "list", "elements": "str", "default": []},
            "prune_only": {"type": "bool", "default": False},
            "mode": {"type": "str", "default": "0644"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**keep(module))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'files'}: {error.strerror}; mend that and run again")


def keep(module: AnsibleModule) -> dict[str, Any]:
    """Bring the files to what is declared, unless in check mode; tells what that took."""
    wanted: dict[str, str] = module.params["files"]
    mode = int(module.params["mode"], 8)
    present = {path: read(path) for path in wanted}
    modes_differ = {
        path
        for path, text in present.items()
        if text is not None and (os.stat(path).st_mode & 0o7777) != mode
    }
    stale = sorted(path for path, text in wanted.items() if present[path] != text or path in modes_differ)
    written = [] if module.params["prune_only"] else stale
    owned = {path for pattern in module.params["prune"] for path in glob.glob(pattern)}
    removed = sorted(owned - set(wanted))
    diff = [
        {
            "before_header": path,
            "after_header": path,
            "before": present.get(path, read(path)) or "",
            "after": wanted.get(path, ""),
        }
        for path in (*written, *removed)
    ]
    if not module.check_mode:
        for path in written:
            write(path, wanted[path], mode)
        for path in removed:
            remove(path)
    return {"changed": bool(written or removed), "written": written, "removed": removed, "diff": diff}


if __name__ == "__main__":
    main()
