"""Programs in the place of java, mvn, apt-get and ps, for what the real ones do too rarely to test."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_SECONDS_MAX = 60.0

#: A java that tells version 17, formats a folder, and as Kafka does what `{kafka}` says.
JAVA = """
import pathlib, signal, socket, sys, time
words = sys.argv[1:]
if "-version" in words:
    print('openjdk version "{version}" 2024-01-01', file=sys.stderr)
    sys.exit(0)
settings = dict(l.split("=", 1) for l in pathlib.Path(words[-1]).read_text().splitlines())
data = pathlib.Path(settings["log.dirs"])
if "format" in words:
    {format}
    data.mkdir()
    (data / "meta.properties").write_text("version=1\\ncluster.id=" + words[words.index("-t") + 1] + "\\n")
    sys.exit(0)
log = data.parent / "logs" / "server.log"
{kafka}
"""
SLEEPS = "time.sleep(120)"
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN); log.write_text('deaf'); time.sleep(120)"
DIES = "log.write_text('x INFO fine\\nx ERROR Disk is full (Storage)\\n'); sys.exit(1)"
DIES_SILENTLY = "sys.exit(1)"


def program(folder: Path, name: str, body: str) -> Path:
    """Write an executable `name` in Python into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def java(folder: Path, *, version: str = "17.0.1", kafka: str = SLEEPS, format: str = "pass") -> Path:  # noqa: A002
    """Write a JAVA_HOME whose java behaves as told, and return it."""
    program(folder / "bin", "java", JAVA.format(version=version, kafka=kafka, format=format))
    return folder


def eventually(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail if it does not within a minute."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Say whether the process is there and no zombie, without the code that is under test."""
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        return state != "Z" or len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    return False
