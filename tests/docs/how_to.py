"""Follow a page of docs/how-to: apply its code blocks to a copy of the code, and run a script there.

A block is applied where the sentence before it says: "Create `path`:" makes a file, and "In `path`, before
`line`, add:" (or after) adds to one, at the only line of that text, indentation aside. Fragments that are no
statements are `text` blocks, which the formatter leaves alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
HOW_TO = CHECKOUT / "docs" / "how-to"
#: What the code and the worlds of tests/web need.
COPIED = ("rebate_app", "agents", "tables", "rules", "tests/web")
FILES_MAX = 3
SCRIPT_SECONDS_MAX = 120

_steps = re.compile(
    r"^(?:Create `(?P<new>[^`]+)`|"
    r"In `(?P<path>[^`]+)`, (?P<where>before|after) `(?P<anchor>[^`]+)`, add):\n\n"
    r"```(?:python|text)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
).finditer


def follow(page: str, folder: Path) -> set[str]:
    """Apply the page's steps to a copy of the code in this folder; return the paths that they touch."""
    for name in COPIED:
        shutil.copytree(CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for module in (CHECKOUT / "tests").glob("*.py"):
        shutil.copy(module, folder / "tests" / module.name)
    touched = set()
    for step in _steps((HOW_TO / page).read_text(encoding="utf-8")):
        path = step["new"] or step["path"]
        touched.add(path)
        if step["new"]:
            assert not (folder / path).exists(), f"{page}: {path} exists"
            (folder / path).write_text(step["code"], encoding="utf-8")
        else:
            _add(folder / path, step["anchor"], step["code"], after=step["where"] == "after")
    assert 0 < len(touched) <= FILES_MAX, f"{page} touches {sorted(touched)}"
    return touched


def run(script: str, folder: Path) -> str:
    """Run a script over the changed code, with assertions; return what it prints."""
    checked = f"import rebate_app\nassert rebate_app.__file__.startswith({str(folder)!r})\n{script}"
    done = subprocess.run(
        [sys.executable, "-c", checked],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=SCRIPT_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _add(path: Path, anchor: str, code: str, *, after: bool) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    found = [number for number, line in enumerate(lines) if line.strip() == anchor]
    assert len(found) == 1, f"{path}: {len(found)} lines are {anchor!r}"
    lines.insert(found[0] + after, code)
    path.write_text("".join(lines), encoding="utf-8")
