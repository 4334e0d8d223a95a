"""One node of a local Kafka: format its folder, launch it, wait until it answers, end it.

Shared by LocalKafka and LocalCluster, which take the locks.
"""

from __future__ import annotations

import shutil
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rebate_app.data_folder import make_private, tighten

from .errors import BrokerError, BrokerSetupError
from .node import Node, server_properties
from .probe import ask
from .process import Running, end, read_pid_file, spawn, write_pid_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POLL_SECONDS = 0.05
FORMAT_SECONDS_MAX = 60
LOG_TAIL_BYTES = 1 << 18
#: Measured on two cores: smaller and under load faster than the JVM's defaults
#: (docs/spec/running.md#local-broker).
JVM_FLAGS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
)
_LOG4J = Path(__file__).parent / "log4j2.xml"


def new_cluster_id() -> str:
    """Return an id for a new cluster in Kafka's form: a UUID in 22 characters of base64.

    One in 64 would begin with a dash, and Kafka's tools would take it for an option.
    """
    while True:
        name = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not name.startswith("-"):
            return name


def archive_of(libs: Path) -> Path:
    """Return where the archive of the classes of these jars is, if there is one (class_archive)."""
    return libs.parent / "classes.jsa"


class Member:
    """A node with the Java and the jars that run it.

    `archiving`: its JVM, which then uses no archive of classes, writes one there when it ends.
    """

    def __init__(self, node: Node, *, java: Path, libs: Path, archiving: Path | None = None) -> None:
        self.node = node
        system: tuple[str, ...] = (f"-Drebate.logs={node.logs}", f"-Dlog4j2.configurationFile={_LOG4J}")
        if archiving is not None:
            system += (f"-XX:ArchiveClassesAtExit={archiving}",)
        elif archive_of(libs).is_file():
            system += (f"-XX:SharedArchiveFile={archive_of(libs)}",)
        self._jvm = (str(java), *JVM_FLAGS, *system, "-cp", f"{libs}/*")
        self._log_start = 0

    def cluster_id(self) -> str | None:
        """Return the id that the formatted folder bears, None if it was never formatted."""
        with suppress(OSError):
            for line in (self.node.data / "meta.properties").read_text(encoding="utf-8").splitlines():
                name, _, value = line.partition("=")
                if name == "cluster.id":
                    return value
        return None

    def format(self, cluster_id: str, voters: Sequence[Node], overrides: Mapping[str, str]) -> None:
        """Make a folder that has no data yet the storage of this node; whole or not at all."""
        node = self.node
        forming = node.folder / "data.forming"
        shutil.rmtree(forming, ignore_errors=True)
        self._write_properties(server_properties(node, voters, overrides, forming))
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(node.properties)]
        done = subprocess.run(  # noqa: S603 - the command is ours
            [*self._jvm, *tool],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=FORMAT_SECONDS_MAX,
        )
        if done.returncode != 0:
            lines = (done.stdout + done.stderr).strip().splitlines() or ["it says nothing"]
            raise BrokerSetupError(f"Kafka cannot use the folder {node.folder}: {lines[-1]}")
        forming.rename(node.data)

    def launch(self, voters: Sequence[Node], overrides: Mapping[str, str]) -> Running:
        """Start the process and write its pid file; it does not answer yet."""
        node = self.node
        self._write_properties(server_properties(node, voters, overrides, node.data))
        with suppress(OSError):
            self._log_start = (node.logs / "server.log").stat().st_size
        command = [*self._jvm, "kafka.Kafka", str(node.properties)]
        running = spawn(command, output=node.logs / "console.log", port=node.port)
        write_pid_file(pid_file(node.folder), running)
        return running

    def await_answer(self, running: Running, *, cluster_id: str | None, seconds_max: float) -> None:
        """Return when this very broker serves; raise BrokerError if it dies or takes too long."""
        deadline = time.monotonic() + seconds_max
        while not answers(running.port, self.node.id, cluster_id):
            if not running.alive():
                raise BrokerError(f"Kafka ended while it started: {self.complaint()}")
            if time.monotonic() >= deadline:
                raise BrokerError(
                    f"Kafka did not answer on {self.node.address} within {seconds_max:.0f} s: "
                    f"{self.complaint()}"
                )
            time.sleep(POLL_SECONDS)

    def complaint(self) -> str:
        """Return the last error that the broker logged since its launch, and where the log is."""
        log = self.node.logs / "server.log"
        last = "it logged no error."
        with suppress(OSError), log.open("rb") as file:
            size = log.stat().st_size
            start = self._log_start if size >= self._log_start else 0  # the log was rolled
            file.seek(max(start, size - LOG_TAIL_BYTES))
            for line in file.read().decode(errors="replace").splitlines():
                if " ERROR " in line or " FATAL " in line or line.startswith("Caused by"):
                    last = line.split("ERROR", 1)[-1].split("FATAL", 1)[-1].strip()
        return f"{last} See {log}."

    def _write_properties(self, text: str) -> None:
        try:
            make_private(self.node.logs)
            tighten(self.node.folder)
            self.node.properties.write_text(text, encoding="utf-8")
        except OSError as error:
            raise BrokerSetupError(
                f"The folder {self.node.folder} cannot be written: {error.strerror}."
            ) from error


def answers(port: int, node_id: int, cluster_id: str | None) -> bool:
    """Say whether the broker `node_id` of the cluster (None: any) serves at `port`."""
    answer = ask(port)
    if answer is None or node_id not in answer.brokers:
        return False
    return cluster_id is None or answer.cluster_id == cluster_id


def pid_file(folder: Path) -> Path:
    """Return where the folder keeps the pid of its broker."""
    return folder / "broker.pid"


def live(folder: Path) -> Running | None:
    """Return the process that runs on this folder, None if none does."""
    return read_pid_file(pid_file(folder))


def finish(folder: Path, *, term_seconds_max: float) -> bool:
    """End what runs on this folder and forget it; say whether there was anything to end."""
    running = live(folder)
    if running is not None:
        end(running, term_seconds_max=term_seconds_max)
    pid_file(folder).unlink(missing_ok=True)
    return running is not None
