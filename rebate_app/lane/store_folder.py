"""All stores of one worker on disk: the folder is one process's, and knows of which log its stores are."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rebate_app.settings import ConfigurationError, Settings

from .stage import Stage
from .store import Store
from .store_identity import LogIds, log_ids
from .store_rocksdb import RocksDBResources, RocksDBStore, StoreIdentity

FOLDER = "rocksdb"
LOCK_FILE = "worker.lock"


class StoreFolder:
    """Gives each partition its RocksDB store below `<datadir>/rocksdb/<table>/<partition>`.

    Law: one process at a time. The lock is the kernel's, so it ends with the process, however that
    ends; it is taken before the worker joins its group, since a worker that finds its stores locked
    only when it is given partitions would have been given them in vain.
    """

    def __init__(self, settings: Settings) -> None:
        self.path = Path(settings.datadir) / FOLDER
        self._partitions = settings.partitions
        self._resources = RocksDBResources()
        self._ids: LogIds | None = None
        self._lock: int | None = None

    async def prepare(self, options: Mapping[str, Any], changelogs: Sequence[str]) -> None:
        """Lock the folder and learn of which cluster and topics its stores have to be.

        ConfigurationError: another process has it, or it cannot be written. BrokerUnavailableError:
        the broker does not answer.
        """
        self._take_lock()
        self._ids = await log_ids(options, changelogs)

    def __call__(self, stage: Stage, partition: int) -> Store:
        """Open the store of a partition."""
        if self._ids is None:
            raise RuntimeError("stores are opened after `prepare`")
        identity = StoreIdentity(
            cluster=self._ids.cluster,
            topic=stage.changelog,
            topic_id=self._ids.topics.get(stage.changelog, ""),
            partitions=self._partitions,
            partition=partition,
        )
        return RocksDBStore(self.path / stage.name / str(partition), identity, self._resources)

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigurationError(f"REBATE_DATADIR cannot be written: {error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise ConfigurationError(
                f"another process uses {self.path}: give every worker its own REBATE_DATADIR"
            ) from error
        self._lock = lock

    def close(self) -> None:
        """Let go of the folder, for whoever is next in this process."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
