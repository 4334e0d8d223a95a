"""The RocksDB stores of one worker below its data folder, locked for one process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rebate_app.data_folder import make_private
from rebate_app.settings import ConfigurationError, Settings

from .log_identity import LogIds, log_ids
from .rocksdb import RocksDBResources, RocksDBStore, StoreIdentity
from .store import Store

if TYPE_CHECKING:
    from ..task.stage import Stage

FOLDER = "rocksdb"
LOCK_FILE = "worker.lock"


class StoreFolder:
    """Gives each partition its RocksDB store below `<datadir>/rocksdb/<table>/<partition>`.

    One process at a time uses the folder. The kernel holds the lock, so it ends with the process in any case.
    It is taken before the worker joins its group: a worker without stores must not get partitions.
    """

    def __init__(self, settings: Settings) -> None:
        self.path = Path(settings.datadir) / FOLDER
        self._partitions = settings.partitions
        self._resources = RocksDBResources()
        self._ids: LogIds | None = None
        self._lock: int | None = None

    async def prepare(self, options: Mapping[str, Any], changelogs: Sequence[str]) -> None:
        """Lock the folder and read the ids of cluster and changelogs, by which stores know their log.

        ConfigurationError: another process uses the folder, or it cannot be written.
        BrokerUnavailableError: the broker does not answer.
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
            make_private(self.path)
            lock = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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
        """Release the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
