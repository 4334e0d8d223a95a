"""The write buffer of one batch: `StateTransaction` for raw records, `TransactionRecords` for typed ones.

A batch reads through its buffer and writes into it alone. Nothing is visible in the store before the batch is
committed, and dropping the buffer undoes everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TypeVar

from msgspec.json import Encoder

from .cache import CachedRecord, CachedSource, RecordCache
from .packing import exact_copy
from .record_kind import RecordKind
from .store import Readable

R = TypeVar("R")

encode = Encoder().encode


class StateTransaction:
    """A batch's changes over a store.

    `changes`: what is applied to the store and sent to the changelog; None deletes. `records`: the decoded
    records that the batch uses, each taken out of the cache, so that a dropped batch leaves none of them
    behind; `changed`: those that were changed and are not written yet, in the order of the first change.
    `sources`: the source values that it took. The cache keeps records and sources of a committed batch.
    `kept`: what must stay the same when records are folded again after `roll_back`, such as a clock's time.
    """

    __slots__ = ("_read", "cache", "changed", "changes", "kept", "records", "sources")

    def __init__(self, base: Readable, cache: RecordCache | None = None) -> None:
        self._read = base.get
        self.cache = RecordCache() if cache is None else cache
        self.changes: dict[bytes, bytes | None] = {}
        self.records: dict[bytes, CachedRecord] = {}
        self.changed: dict[bytes, CachedRecord] = {}
        self.sources: dict[bytes, CachedSource] = {}
        self.kept: dict[int, int | None] = {}

    def roll_back(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Return to these changes; decoded records are read again, since a fold changes them in place."""
        self.changes = dict(changes)
        self.records.clear()
        self.changed.clear()
        self.sources.clear()

    def get(self, key: bytes) -> bytes | None:
        """Return the record's value within the batch."""
        if key in self.changes:
            return self.changes[key]
        return self._read(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set a record within the batch."""
        self.changes[key] = value

    def delete(self, key: bytes) -> None:
        """Delete a record within the batch."""
        self.changes[key] = None

    def load(self, kind: RecordKind[R], key: bytes) -> CachedRecord | None:
        """Return the decoded record, None when there is none; UnreadableStateError as `RecordKind.decode`."""
        found = self.cache.records.pop(key)
        if found is None:
            value = self.get(key)
            if value is None:
                return None
            found = CachedRecord(kind.decode(value, key), value)
        self.records[key] = found
        return found

    def write_changed(self, records_max: int) -> bool:
        """Write the first changed records whose encoding differs from what is stored; return whether all are.

        A record may be changed again afterwards; it is then written again.
        """
        changed, changes = self.changed, self.changes
        for key in list(islice(changed, records_max)):
            found = changed.pop(key)
            value = encode(found.record)
            if value != found.stored:
                changes[key] = value
                found.stored = value
        return not changed


class TransactionRecords:
    """Typed access to a transaction's records: decoded once, encoded at `flush`, written only if changed."""

    __slots__ = ("_changed", "_records", "_transaction")

    def __init__(self, transaction: StateTransaction) -> None:
        self._transaction = transaction
        self._records = transaction.records
        self._changed = transaction.changed

    def get(self, kind: RecordKind[R], key: bytes) -> R | None:
        """Return the record to change it in place, None when there is none."""
        found = self._records.get(key) or self._transaction.load(kind, key)
        if found is None:
            return None
        self._changed[key] = found
        record: R = found.record
        return record

    def peek(self, kind: RecordKind[R], key: bytes) -> R | None:
        """Return the record, None when there is none; whoever changes it calls `add`."""
        found = self._records.get(key) or self._transaction.load(kind, key)
        return None if found is None else found.record

    def add(self, key: bytes, record: object) -> None:
        """Keep a record that is new in this batch, or was changed after `peek`."""
        found = self._records.get(key)
        if found is None:
            found = self._records[key] = CachedRecord(record)
        else:
            found.record = record
        self._changed[key] = found

    def put(self, key: bytes, record: object) -> None:
        """Write a record that this batch neither reads nor changes again."""
        self._transaction.put(key, exact_copy(encode(record)))  # it rests from here on

    def delete(self, key: bytes) -> None:
        """Delete a record."""
        self._transaction.delete(key)
        self._transaction.cache.records.pop(key)
        self._records.pop(key, None)
        self._changed.pop(key, None)

    def flush(self) -> None:
        """Write every changed record whose encoding differs from what is stored."""
        self._transaction.write_changed(len(self._changed))
