"""A worker may open as many files as the system lets it (worker.py)."""

from __future__ import annotations

import subprocess
import sys

import pytest

SHOW = (
    "import logging, resource; from rebate_app.worker import raise_file_limit; "
    "logging.basicConfig(); raise_file_limit(); "
    "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
)


@pytest.mark.parametrize(
    ("soft", "hard", "after", "warns"),
    [(256, 5_000, "5000 5000", False), (256, 512, "512 512", True), (5_000, 5_000, "5000 5000", False)],
)
def test_the_soft_limit_is_raised(soft: int, hard: int, after: str, warns: bool) -> None:
    """To the hard one, which only root can raise; where that is too low, the log says so."""
    limits = f"ulimit -Sn {min(soft, hard)} && ulimit -Hn {hard} && exec {sys.executable} -c '{SHOW}'"
    done = subprocess.run(["bash", "-c", limits], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split("\n")[0] == after
    assert ("files only" in done.stderr) == warns
