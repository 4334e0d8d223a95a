"""LocalKafka: one Apache Kafka in a folder and on a port of this machine.

Start returns when it answers and not before, and the same folder started again has the same data,
however the last one ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from .errors import BrokerError
from .jars import DEFAULT_JARS_HOME, ensure_jars, silent
from .java import find_java
from .locks import held
from .member import Member, answers, finish, live, new_cluster_id
from .node import Node
from .ports import HOST, free_port, is_free, require_free

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from types import TracebackType

    from .process import Running

DEFAULT_PORT = 19_092
DEFAULT_DATA_DIR = Path(".rebate/broker")
#: Two to three seconds are usual; a loaded machine that recovers many partitions takes longer.
START_SECONDS_MAX = 60.0
#: One second is usual. Killed, it recovers at the next start: that only takes longer.
STOP_SECONDS_MAX = 20.0
#: Somebody else can take the controller's port between our look at it and Kafka's.
LAUNCHES_MAX = 3
NODE_ID = 1


@dataclass(frozen=True)
class BrokerStatus:
    """What is known of the broker of a folder. `running`: its process is there; `answering`: it serves."""

    running: bool
    answering: bool
    address: str
    pid: int | None
    data_dir: Path
    log: Path


class LocalKafka:
    """Apache Kafka on 127.0.0.1:`port` with all its files, log included, in `data_dir`.

    Whoever starts it ends it: it is a process of its own that goes on when we end. Several may run
    at once on different ports and folders. Every method may be called by any number of processes
    and threads: they take turns. All raise BrokerError, whose text names the remedy.

    `overrides` are lines of server.properties; `jars_home` is where the download is kept.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int = DEFAULT_PORT,
        *,
        jars_home: Path = DEFAULT_JARS_HOME,
        overrides: Mapping[str, str] | None = None,
        progress: Callable[[str], None] = silent,
        start_seconds_max: float = START_SECONDS_MAX,
        stop_seconds_max: float = STOP_SECONDS_MAX,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self._jars_home = jars_home
        self._overrides = dict(overrides or {})
        self._progress = progress
        self._start_seconds_max = start_seconds_max
        self._stop_seconds_max = stop_seconds_max

    @property
    def address(self) -> str:
        """The bootstrap address, for `REBATE_BROKER`."""
        return f"{HOST}:{self.port}"

    def start(self) -> bool:
        """Return when the broker answers; True if it had to be started, False if it ran already.

        Raises BrokerError if the port is taken, if it ends while it starts, or does not answer
        in time: then nothing of it is left running.
        """
        with self._lock():
            running = live(self.data_dir)
            if running is not None:
                self._join(running)
                return False
            require_free(self.port)
            java = find_java()
            libs = ensure_jars(self._jars_home, progress=self._progress)
            self._progress(f"Starting Apache Kafka on {self.address} ...")
            for attempt in range(1, LAUNCHES_MAX + 1):
                if self._launch(java, libs, last=attempt == LAUNCHES_MAX):
                    break
            return True

    def stop(self) -> bool:
        """End the broker: in order, or by force if it takes too long. False if none ran."""
        if not self.data_dir.is_dir():
            return False
        with self._lock():
            return finish(self.data_dir, term_seconds_max=self._stop_seconds_max)

    def status(self) -> BrokerStatus:
        """Look, and change nothing; the address is the one at which it runs, if it does."""
        running = live(self.data_dir)
        port = running.port if running else self.port
        return BrokerStatus(
            running=running is not None,
            answering=running is not None and answers(port, NODE_ID, None),
            address=f"{HOST}:{port}",
            pid=running.pid if running else None,
            data_dir=self.data_dir,
            log=self.data_dir / "logs" / "server.log",
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _lock(self) -> AbstractContextManager[None]:
        seconds_max = self._start_seconds_max + self._stop_seconds_max
        return held(self.data_dir / "lock", wait_seconds_max=seconds_max)

    def _join(self, running: Running) -> None:
        """Wait until the broker that runs on this folder already answers at our port."""
        if running.port != self.port:
            raise BrokerError(
                f"The Kafka of {self.data_dir} runs already, on {HOST}:{running.port}: "
                f"use that, or stop it before you start it on port {self.port}."
            )
        member = self._member(java=Path(), libs=Path(), controller_port=0)
        member.await_answer(running, cluster_id=None, seconds_max=self._start_seconds_max)

    def _launch(self, java: Path, libs: Path, *, last: bool) -> bool:
        """Try once; False if it was worth another try. Nothing is left running unless it answers."""
        require_free(self.port)
        controller_port = free_port(but=frozenset({self.port}))
        member = self._member(java=java, libs=libs, controller_port=controller_port)
        cluster_id = member.cluster_id()
        if cluster_id is None:
            cluster_id = new_cluster_id()
            member.format(cluster_id, [member.node], self._overrides)
        try:
            running = member.launch([member.node], self._overrides)
            member.await_answer(running, cluster_id=cluster_id, seconds_max=self._start_seconds_max)
        except BaseException as error:
            finish(self.data_dir, term_seconds_max=self._stop_seconds_max)
            if isinstance(error, BrokerError) and not last and not is_free(controller_port):
                return False
            raise
        return True

    def _member(self, *, java: Path, libs: Path, controller_port: int) -> Member:
        node = Node(id=NODE_ID, port=self.port, controller_port=controller_port, folder=self.data_dir)
        return Member(node, java=java, libs=libs)
