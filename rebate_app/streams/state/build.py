"""Builds records of a new kind in stores of an older version: a scan in ordinary transactions (ADR 13).

Whoever owns a partition whose store was written before the kind existed walks over the records that the kind
is made from, in the order of their keys, and writes what is missing, at most RECORDS_MAX records a
transaction. The progress record `B NAME` is in the same transaction, so a scan that is cut off goes on where
the last committed step ended. Batches are processed between two steps, and maintain what lies before the
progress.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from msgspec import Struct
from msgspec.json import encode

from .buffer import StateTransaction
from .record_kind import RecordKind
from .store import Readable, Store

RECORDS_MAX = 2_000  # written by one transaction, the watermark and the progress not counted
VISITS_MAX = 2_000  # parts that one transaction reads
KEYS_AT_ONCE = 256
CLOCK_EVERY_VISITS = 16


class BuildProgress(Struct, array_like=True, frozen=True):
    """How far a kind is built (format 1).

    Everything of keys before `key` is built; of `key` itself the first `parts` parts, all of them if that is
    -1. `visited` counts parts, for people. A `done` kind is maintained whole.
    """

    format: int = 1
    done: bool = False
    key: str = ""
    parts: int = -1
    visited: int = 0

    def covers(self, key: str, part: int = -1) -> bool:
        """Return whether that part of a key is built already; -1: whether the key is built whole."""
        if self.done or key < self.key:
            return True
        if key > self.key or not self.key:
            return False
        return self.parts == -1 or -1 < part < self.parts


DONE = BuildProgress(done=True)
PROGRESS = RecordKind("B", BuildProgress)
#: Whether a table's records hold nothing yet that a kind could be made from.
IsFresh = Callable[[Readable], bool]


class BuildView(Protocol):
    """One step's view of a state transaction."""

    @property
    def size(self) -> int:
        """Return how many records `flush` writes, at most."""
        ...

    def visit(self, key: bytes, part: int) -> int | None:
        """Add one part of the record under the key; return the next part's number, None after the last."""
        ...

    def flush(self) -> None:
        """Write what was added to the transaction."""
        ...


class Build(Protocol):
    """One kind of record, and what it is made from."""

    @property
    def name(self) -> str:
        """Return the kind's name, as progress records and answers show it."""
        ...

    @property
    def prefixes(self) -> tuple[bytes, ...]:
        """Return the beginnings of the keys that it is made from, in byte order."""
        ...

    def wants(self, key: bytes) -> bool:
        """Return whether the record under the key is one that it is made from; such keys are UTF-8."""
        ...

    def is_fresh(self, records: Readable) -> bool:
        """Return whether there is nothing that it could be made from yet."""
        ...

    def view(self, transaction: StateTransaction) -> BuildView:
        """Return the view for one step."""
        ...


def read_progress(name: str, is_fresh: IsFresh, records: Readable) -> BuildProgress:
    """Return how far a kind is built; whole where there is nothing that it could be made from yet."""
    found = PROGRESS.read(records, PROGRESS.key(name))
    if found is not None:
        return found
    return DONE if is_fresh(records) else BuildProgress()


def note_fresh(name: str, is_fresh: IsFresh, transaction: StateTransaction) -> None:
    """Note in a store's first batch, before anything else is written, that a kind needs no scan."""
    key = PROGRESS.key(name)
    if transaction.get(key) is None and is_fresh(transaction):
        transaction.put(key, encode(DONE))


class BuildStep:
    """One transaction of a scan. Call `run` until it returns True, then `finish`."""

    def __init__(self, build: Build, store: Store) -> None:
        self.transaction = StateTransaction(store)
        self._build = build
        self._view = build.view(self.transaction)
        self._progress = progress = read_progress(build.name, build.is_fresh, store)
        self._keys = _keys_after(store, build.prefixes, progress.key.encode())
        self._within = progress.key.encode() if progress.key and progress.parts != -1 else None
        self._visits = 0

    def run(self, seconds: float) -> bool:
        """Go on for about so long; return whether the step is full, or the kind is built."""
        end_at = time.perf_counter() + seconds
        while self._visits < VISITS_MAX and self._view.size < RECORDS_MAX:
            key = next(self._keys, None) if self._within is None else self._within
            if key is None:
                self._progress = DONE
                return True
            self._visits += 1
            if self._build.wants(key):
                self._visit(key)
            if self._visits % CLOCK_EVERY_VISITS == 0 and time.perf_counter() >= end_at:
                return False
        return True

    def _visit(self, key: bytes) -> None:
        part = 0 if self._within is None else self._progress.parts
        following = self._view.visit(key, part)
        self._within = None if following is None else key
        parts = -1 if following is None else following
        self._progress = BuildProgress(1, False, key.decode(), parts, self._progress.visited + 1)

    def finish(self) -> BuildProgress:
        """Write everything and the progress to the transaction; return the progress."""
        self._view.flush()
        self.transaction.put(PROGRESS.key(self._build.name), encode(self._progress))
        return self._progress


def _keys_after(store: Store, prefixes: Iterable[bytes], after: bytes) -> Iterator[bytes]:
    """Yield the keys with these beginnings that come after `after`."""
    for prefix in prefixes:
        while keys := store.keys_after(prefix, after, KEYS_AT_ONCE):
            yield from keys
            after = keys[-1]


def next_build(builds: Sequence[Build], store: Store) -> Build | None:
    """Return the first kind that is not built yet, None when all are."""
    return next(
        (build for build in builds if not read_progress(build.name, build.is_fresh, store).done), None
    )
