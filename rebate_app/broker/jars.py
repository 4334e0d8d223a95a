"""Download Apache Kafka's jars once, by Maven, and verify each against its pinned SHA-256.

The hashes are part of the source (jars.properties), as those of our Python packages are (requirements.lock),
so that a compromised mirror cannot change what runs.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BrokerBusyError, BrokerSetupError
from .java import find_maven
from .locks import held

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KAFKA_VERSION = "4.1.2"
DEFAULT_JARS_HOME = Path(".rebate/kafka")
#: 43 MB; ten minutes are for slow lines, ten seconds are usual.
DOWNLOAD_SECONDS_MAX = 600.0
_HERE = Path(__file__).parent


def silent(_message: str) -> None:
    """Ignore the message: the default for `progress`."""


@cache
def pinned_hashes() -> Mapping[str, str]:
    """Return the SHA-256 that each jar must have, by file name."""
    lines = (_HERE / "jars.properties").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def ensure_jars(home: Path, *, progress: Callable[[str], None] = silent) -> Path:
    """Return the folder that holds exactly the pinned jars; download them if they are not there.

    Idempotent, and whole or not at all: the download goes to a temporary folder beside the result
    and is renamed when every hash is right. What was broken is replaced. Processes take turns.

    Raises BrokerSetupError without Maven, BrokerBusyError if the download fails or is not what it
    should be; the output of Maven is then in `home`/download.log.
    """
    home = home.absolute()
    libs = home / KAFKA_VERSION / "libs"
    if fault(libs) is None:
        return libs
    with held(home / "lock", wait_seconds_max=DOWNLOAD_SECONDS_MAX):
        if fault(libs) is not None:
            progress(f"Downloading Apache Kafka {KAFKA_VERSION} ...")
            _replace(home, libs)
    return libs


def fault(libs: Path) -> str | None:
    """Say what is wrong with the folder of jars, None if it holds the pinned files and no others."""
    if not libs.is_dir():
        return "it is missing"
    pinned = pinned_hashes()
    strangers = {path.name for path in libs.iterdir()} - pinned.keys()
    if strangers:
        return f"{min(strangers)} does not belong there"
    for name, expected in pinned.items():
        path = libs / name
        if not path.is_file():
            return f"{name} is missing"
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                return f"{name} is not the file that it should be"
    return None


def _replace(home: Path, libs: Path) -> None:
    """Download into a temporary folder and put it in the place of `libs`; the lock is held."""
    for leftover in home.glob("part-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix="part-", dir=home))
    try:
        _download(part / "libs", home / "download.log")
        libs.parent.mkdir(exist_ok=True)
        if libs.exists():
            libs.rename(part / "broken")
        (part / "libs").rename(libs)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _download(target: Path, log: Path) -> None:
    """Let Maven copy the jars into `target` and check them, or raise with one sentence."""
    # Strict checksums; a working folder of its own keeps a .mvn folder of the caller's out of it.
    command = [str(find_maven()), "-B", "-C", "-ntp", "-f", str(_HERE / "pom.xml")]
    options = ["dependency:copy-dependencies", f"-DoutputDirectory={target}", "-DincludeScope=runtime"]
    with log.open("w", encoding="utf-8") as output:
        try:
            done = subprocess.run(  # noqa: S603 - fixed arguments
                [*command, *options],
                cwd=target.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=DOWNLOAD_SECONDS_MAX,
            )
        except subprocess.TimeoutExpired:
            raise BrokerBusyError(
                f"Downloading Apache Kafka took more than {DOWNLOAD_SECONDS_MAX:.0f} s; try again. See {log}."
            ) from None
        except OSError as error:
            raise BrokerSetupError(f"Maven could not be run: {error}.") from error
    if done.returncode != 0:
        raise BrokerBusyError(f"Downloading Apache Kafka failed: {_complaint(log)} See {log}.")
    problem = fault(target)
    if problem is not None:
        raise BrokerBusyError(
            f"The download of Apache Kafka is broken, {problem}: delete it from Maven's own cache "
            f"(usually ~/.m2/repository) and try again. See {log}."
        )


def _complaint(log: Path) -> str:
    """Return the first error that Maven printed, as the start of a sentence."""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        match = re.match(r"\[ERROR\]\s+(.+)", line)
        if match:
            return match[1].split(" -> [Help", 1)[0].rstrip(".") + "."
    return "Maven says nothing."
