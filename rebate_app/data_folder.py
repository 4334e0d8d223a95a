"""Folders that only this user can enter: worker stores, the local broker's records, logs and pid files.

They hold orders, balances and user ids. Files in a folder of mode 0700 need no mode of their own.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

PRIVATE_MODE = 0o700
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private(folder: Path) -> None:
    """Make a folder, and every missing parent, with mode 0700; one that exists keeps its mode. OSError."""
    for missing in reversed([folder, *folder.parents]):
        if not missing.exists():
            missing.mkdir(PRIVATE_MODE, exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(20, "Not a directory", str(folder))


def tighten(folder: Path) -> str:
    """Make a folder private if it is ours; return a sentence about one that stays open to others, else "".

    A home folder, the root and a folder with the sticky bit (`/tmp`) are shared with other programs and stay
    as they are; so does what belongs to another user, such as a volume of a container platform.
    """
    found = folder.stat()
    if not found.st_mode & OTHERS:
        return ""
    shared = found.st_mode & stat.S_ISVTX or folder.absolute() in (Path.home(), Path("/"))
    if found.st_uid == os.geteuid() and not shared:
        folder.chmod(PRIVATE_MODE)
        return ""
    return open_to_others(folder)


def open_to_others(folder: Path) -> str:
    """Return a sentence about a folder that other users can enter, "" if they cannot."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not mode & OTHERS:
        return ""
    return f"other users can enter the data folder {folder}: its mode is {mode:04o}, not 0700"


def free_bytes(folder: Path) -> int:
    """Return the bytes that are left for a folder, which need not exist yet. OSError."""
    existing = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir())
    return shutil.disk_usage(existing).free
