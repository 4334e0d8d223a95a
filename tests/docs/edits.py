"""Make the edits of a how-to page to a copy of the code.

An edit is a fenced `diff` block: `--- path`, then hunks that begin with `@@` and have no line numbers. The
old lines of a hunk (context and removed) have to occur exactly once in the file.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("rebate_app", "agents", "tables")
RUN_SECONDS_MAX = 60

_BLOCK = re.compile(r"^( *)```diff\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_FILE = "--- "
_HUNK = "@@\n"


def copy_of_the_code(folder: Path) -> Path:
    """Copy the packages into a folder; return the folder."""
    for package in PACKAGES:
        shutil.copytree(CHECKOUT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def edit(folder: Path, page: str) -> list[str]:
    """Make every edit of a page in docs/how-to; return the paths of the files that it touches."""
    text = (CHECKOUT / "docs" / "how-to" / page).read_text(encoding="utf-8")
    touched = []
    for _, block in _BLOCK.findall(text):
        head, *hunks = dedent(block).split(_HUNK)
        path = head.removeprefix(_FILE).strip()
        file = folder / path
        content = file.read_text(encoding="utf-8")
        for hunk in hunks:
            content = _replace(content, hunk, path)
        file.write_text(content, encoding="utf-8")
        touched.append(path)
    return touched


def _replace(content: str, hunk: str, path: str) -> str:
    lines = hunk.splitlines()
    old = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    new = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    assert content.count(old) == 1, f"{path} has not exactly once:\n{old}"
    return content.replace(old, new)


def run(folder: Path, code: str) -> str:
    """Run Python code on the packages of a folder; return its output. A failure fails the test."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
