"""Programs of others that tests need, which a script `scripts/<name>.sh` finds or fetches."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
FETCH_SECONDS_MAX = 300


@cache
def _found(name: str) -> tuple[str | None, str]:
    """Return (path, "") or (None, why it is not there)."""
    done = subprocess.run(
        [CHECKOUT / "scripts" / f"{name}.sh"],
        capture_output=True,
        text=True,
        timeout=FETCH_SECONDS_MAX,
        check=False,
    )
    if done.returncode == 0:
        return done.stdout.strip(), ""
    return None, done.stderr.strip().splitlines()[-1]


def tool_or_none(name: str) -> str | None:
    """Return the path of a program, None without it; in continuous integration that fails the test."""
    path, why = _found(name)
    if path is None and os.environ.get("CI"):
        pytest.fail(f"{name} is needed here: {why}")
    return path


def tool(name: str) -> str:
    """Return the path of a program. Without it the test is skipped; in continuous integration it fails."""
    path = tool_or_none(name)
    if path is None:
        pytest.skip(f"NOT tested: {_found(name)[1]}")
    return path
