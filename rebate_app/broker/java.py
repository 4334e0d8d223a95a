"""Find Java and Maven, or install them where that is ours to do, or say in one sentence what is missing.

The search covers JAVA_HOME and the PATH only, so that the result is the `java` of the user.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BrokerSetupError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Kafka 4 servers are compiled for Java 17.
JAVA_VERSION_MIN = 17
APT_PACKAGES = ("maven", "default-jre-headless")
APT_SECONDS_MAX = 900
VERSION_SECONDS_MAX = 30

JAVA_MISSING = (
    f"The local Apache Kafka needs Java {JAVA_VERSION_MIN} or newer, and {{found}}: install it "
    "(on Debian: apt-get install default-jre-headless), or set REBATE_BROKER to a Kafka that is there."
)
MAVEN_MISSING = (
    "Maven is needed to download the local Apache Kafka, and there is no mvn on the PATH: install it "
    "(on Debian: apt-get install maven), or set REBATE_BROKER to a Kafka that is there."
)


def find_java() -> Path:
    """Return a Java of version 17 or newer: JAVA_HOME's, else the PATH's, else one just installed.

    Raises BrokerSetupError, whose text names what to install.
    """
    path, found = _search_java()
    if path is None and _install_with_apt():
        path, found = _search_java()
    if path is None:
        raise BrokerSetupError(JAVA_MISSING.format(found=found))
    return path


def find_maven() -> Path:
    """Return `mvn` from the PATH, else one just installed, else raise BrokerSetupError."""
    maven = shutil.which("mvn")
    if maven is None and _install_with_apt():
        maven = shutil.which("mvn")
    if maven is None:
        raise BrokerSetupError(MAVEN_MISSING)
    return Path(maven)


def java_version(java: Path) -> int | None:
    """Return the major version that `java -version` prints (8 for "1.8"), None if it prints none."""
    try:
        done = subprocess.run(  # noqa: S603 - the command is the user's own Java
            [java, "-version"],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=VERSION_SECONDS_MAX,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(match[1]) if match and done.returncode == 0 else None


def _search_java() -> tuple[Path | None, str]:
    """Return the first Java that is new enough, and what was found if there is none."""
    found = "there is no java in JAVA_HOME or on the PATH"
    for java in _java_candidates():
        version = java_version(java)
        if version is not None and version >= JAVA_VERSION_MIN:
            return java, ""
        found = f"{java} is of version {version}" if version else f"{java} does not work"
    return None, found


def _java_candidates() -> Iterator[Path]:
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").is_file():
        yield Path(home) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)


def _install_with_apt() -> bool:
    """Install Debian's packages if we are root and there is apt-get; say whether that was done."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return False
    print(f"Installing {' and '.join(APT_PACKAGES)} ...", file=sys.stderr)  # noqa: T201 - progress
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    commands = ([apt, "update", "-q"], [apt, "install", "-q", "-y", "--no-install-recommends", *APT_PACKAGES])
    for command in commands:
        try:
            done = subprocess.run(  # noqa: S603 - fixed arguments
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                check=False,
                timeout=APT_SECONDS_MAX,
            )
        except subprocess.TimeoutExpired:
            return False
        if done.returncode != 0:
            return False
    return True
