"""Files that a TOML file names: which there are, and which of them other users can read."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rebate_app.data_folder import OTHERS

from .result import CheckResult, shortened_list, warn


def named_files(path: Path, *members: str) -> Iterator[tuple[str, Path]]:
    """Yield (member, file) for each of these members of all tables of a file that parses."""
    document = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    for tables in document.values():
        for table in tables if isinstance(tables, list) else []:
            for member in members:
                value: Any = table.get(member)
                if isinstance(value, str) and value:
                    yield member, path.parent / value


def exposed(check: str, files: Iterator[tuple[str, Path]]) -> list[CheckResult]:
    """Return a warning if other users can use some of these files of secrets, which are this user's."""
    found = []
    for _, file in files:
        status = file.stat()
        if status.st_uid == os.geteuid() and status.st_mode & OTHERS:
            found.append(f"{file} ({stat.S_IMODE(status.st_mode):04o})")
    if not found:
        return []
    names = sorted(set(found))
    return [warn(check, f"other users can use {shortened_list(names)}", "chmod 600, for each of them")]
