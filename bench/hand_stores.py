"""What the hand-written loop keeps its state in: a dict, or RocksDB by rocksdict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from rocksdict import Options, Rdict, WriteBatch


class HandStore(Protocol):
    """Bytes by bytes."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value, None when there is none."""
        ...

    def apply(self, changes: Mapping[bytes, bytes]) -> None:
        """Take a batch's changes."""
        ...


class DictStore:
    """In memory."""

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}
        self.get = self._rows.get
        self.apply = self._rows.update


class RocksStore:
    """On disk: RocksDB with its defaults, one WriteBatch a batch, write-ahead log on and not synced."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        self._rows = Rdict(str(folder), options)
        self.get = self._rows.get

    def apply(self, changes: Mapping[bytes, bytes]) -> None:
        """Take a batch's changes."""
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            batch.put(key, value)
        self._rows.write(batch)


def hand_store(kind: str, folder: Path) -> HandStore:
    """Return a store of that kind."""
    return RocksStore(folder) if kind == "rocksdb" else DictStore()
