"""Run promtool, which `scripts/promtool.sh` finds or fetches."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.rig.tools import tool

RUN_SECONDS_MAX = 300


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool and return what it printed and its exit code."""
    return subprocess.run(
        [tool("promtool"), *arguments],
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )
