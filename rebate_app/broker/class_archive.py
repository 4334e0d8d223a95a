"""The archive of Kafka's classes, which halves the work of a broker's start (class data sharing).

A JVM writes it when it ends, and later ones map it instead of reading and verifying thousands of classes. It
fits one JVM and these very files: a JVM that it does not fit starts as if there were none.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BrokerError
from .jars import silent
from .java import find_java
from .locks import held
from .member import JVM_FLAGS, Member, archive_of, finish, new_cluster_id
from .node import Node
from .ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

START_SECONDS_MAX = 60.0
#: It ends within a second, and writes the archive before that, in about five.
WRITE_SECONDS_MAX = 60.0
CHECK_SECONDS_MAX = 30.0
WAIT_SECONDS_MAX = 2 * (START_SECONDS_MAX + WRITE_SECONDS_MAX)


def ensure_archive(libs: Path, *, progress: Callable[[str], None] = silent) -> bool:
    """Write the archive of the jars in `libs` unless it is there and fits; say whether it now is there.

    It takes one start of a broker. Without it brokers only start more slowly, so that no failure is raised.
    """
    try:
        java = find_java()
        with held(libs.parent / "lock", wait_seconds_max=WAIT_SECONDS_MAX):
            if fits(java, libs):
                return True
            if not can_share(java):
                return False
            progress("Preparing quick starts of Apache Kafka ...")
            return _write(java, libs)
    except (BrokerError, OSError):
        return False


def fits(java: Path, libs: Path) -> bool:
    """Say whether this Java uses the archive of these jars."""
    archive = archive_of(libs)
    shared = (f"-XX:SharedArchiveFile={archive}", "-cp", f"{libs}/*")
    return archive.is_file() and _accepts(java, *shared)


def can_share(java: Path) -> bool:
    """Say whether this Java has the archive of its own classes, on which ours is built."""
    return _accepts(java)


def _accepts(java: Path, *options: str) -> bool:
    command = [str(java), *JVM_FLAGS, "-Xshare:on", *options, "-version"]
    try:
        done = subprocess.run(  # noqa: S603 - the command is ours
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=CHECK_SECONDS_MAX,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _write(java: Path, libs: Path) -> bool:
    """Start a broker and end it; the lock is held."""
    archive = archive_of(libs)
    part = archive.with_suffix(".part")
    part.unlink(missing_ok=True)
    archive.unlink(missing_ok=True)
    with ExitStack() as ends:
        folder = Path(tempfile.mkdtemp(prefix="rebate-classes-"))
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        node = Node(id=1, port=free_port(), controller_port=free_port(), folder=folder)
        cluster_id = new_cluster_id()
        Member(node, java=java, libs=libs).format(cluster_id, [node], {})
        member = Member(node, java=java, libs=libs, archiving=part)
        ends.callback(finish, folder, term_seconds_max=WRITE_SECONDS_MAX)
        running = member.launch([node], {})
        member.await_answer(running, cluster_id=cluster_id, seconds_max=START_SECONDS_MAX)
    if part.is_file():
        part.replace(archive)
    return archive.is_file()
