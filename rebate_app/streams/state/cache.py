"""Decoded records and source values of a partition's last batches.

Networks are polled every minute for the same twenty minutes (docs/spec/networks.md#polling), so nearly every
fact repeats an earlier one byte for byte, and most records are used again soon. The cache never changes a
result: a batch takes a record out and gives it back only once it is committed, so the cache holds nothing
that differs from the store, and a dropped batch leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct

RECORDS_MAX = 4_000  # decoded records of one partition, 1 to 2 KB each
SOURCES_MAX = 16_000  # source values of one partition, about 0.5 KB each

V = TypeVar("V")


class CachedRecord(Struct, gc=False, eq=False):
    """A decoded record and the value under which it is stored, None while it is new in its batch."""

    record: Any
    stored: bytes | None = None


#: Of a source value that was taken: the key, and the earliest timestamp (ms) at which it was taken.
CachedSource = tuple[bytes, int]


class BatchRecords(Protocol):
    """What a committed batch gives to the cache."""

    records: dict[bytes, CachedRecord]
    sources: dict[bytes, CachedSource]


class GenerationalCache(Generic[V]):
    """A dictionary of the newest keys: at least half of `size_max`, at most `size_max` and one batch.

    Two generations take the place of an order of age: the older one is dropped whole, so no key is deleted
    by itself and `update` costs the same however large the cache is.
    """

    __slots__ = ("_half", "_new", "_old")

    def __init__(self, size_max: int) -> None:
        self._half = size_max // 2
        self._new: dict[bytes, V] = {}
        self._old: dict[bytes, V] = {}

    def get(self, key: bytes) -> V | None:
        """Return the newest value of the key, None when there is none."""
        found = self._new.get(key)
        return self._old.get(key) if found is None else found

    def pop(self, key: bytes) -> V | None:
        """Remove the key from both generations; return its newest value."""
        found, older = self._new.pop(key, None), self._old.pop(key, None)
        return older if found is None else found

    def update(self, values: dict[bytes, V]) -> Collection[bytes]:
        """Add a batch; once the newer generation is full, drop the older one and return its keys."""
        self._new.update(values)
        if len(self._new) <= self._half:
            return ()
        dropped = list(self._old)
        self._new, self._old = {}, self._new
        return dropped

    def clear(self) -> None:
        """Remove everything."""
        self._new, self._old = {}, {}

    def __len__(self) -> int:
        return len(self._new) + len(self._old)


class RecordCache:
    """The decoded records and the source values of one partition's last batches."""

    __slots__ = ("records", "sources")

    def __init__(self) -> None:
        self.records: GenerationalCache[CachedRecord] = GenerationalCache(RECORDS_MAX)
        self.sources: GenerationalCache[CachedSource] = GenerationalCache(SOURCES_MAX)

    def keep(self, batch: BatchRecords) -> Collection[bytes]:
        """Add what a batch used, once it is committed and visible; return the keys of records let go."""
        self.sources.update(batch.sources)
        return self.records.update(batch.records)

    def clear(self) -> None:
        """Remove everything: the store is another one."""
        self.records.clear()
        self.sources.clear()
