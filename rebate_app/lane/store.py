"""Where one partition's records live: a port, its memory store, and the overlay of a chunk.

A chunk is computed on an overlay, so nothing is visible before its transaction is committed, and
dropping the overlay is all that undoing takes. The store on disk is apart, in store_rocksdb.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, cast

from msgspec import Struct
from msgspec.json import Decoder, encode

from .warm import Decoded, Taken, Warm

WATERMARK_KEY = b"!"


class Watermark(Struct, frozen=True):
    """The source offset up to which a partition's state holds, and of which topic (format 1).

    `partitions` and `topic_id` name the topic's identity, since an offset means nothing elsewhere.
    """

    offset: int
    topic: str
    partitions: int
    topic_id: str = ""
    format: int = 1


decode_watermark = Decoder(Watermark).decode


def watermark_after(changes: Mapping[bytes, bytes | None], before: Watermark | None) -> Watermark | None:
    """Return the watermark that holds once the changes are taken."""
    if WATERMARK_KEY not in changes:
        return before
    value = changes[WATERMARK_KEY]
    return None if value is None else decode_watermark(value)


def encode_watermark(watermark: Watermark) -> bytes:
    """Return the changelog value of a watermark."""
    return encode(watermark)


class StoreClosedError(Exception):
    """The store was closed, its partition is somebody else's: ask the owner, there is no answer here."""


class StoreDamagedError(Exception):
    """The store cannot be read; it answers nothing more until it was cleared and restored."""


class Readable(Protocol):
    """What a table view needs of the records below it."""

    def get(self, key: bytes) -> bytes | None:
        """Return the record's value, None when there is none."""
        ...


class Store(Readable, Protocol):
    """One partition's records, the watermark they hold for, and how far the changelog was read.

    Law: what a store holds is what the changelog said up to `position`, never more. Data, watermark
    and position change together or not at all, also when the process is killed in between. The key of
    one zero byte is the store's own. Closed, it raises StoreClosedError; damaged, StoreDamagedError.
    """

    @property
    def position(self) -> int:
        """Return the changelog offset to read next."""
        ...

    @property
    def complete_at(self) -> float:
        """Return when the records were last known to be all that the changelog had, in Unix seconds.

        A store that was away for longer than tombstones are kept may miss one (engine.md 2). 0 for
        a store never written.
        """
        ...

    @property
    def watermark(self) -> Watermark | None:
        """Return the watermark of the records, None for a store never written."""
        ...

    @property
    def damage(self) -> str | None:
        """Return what is wrong with the records, None while nothing is known to be."""
        ...

    def on_damage(self, call: Callable[[], None]) -> None:
        """Have this called when damage is found, by whichever read."""
        ...

    def apply(
        self, changes: Mapping[bytes, bytes | None], position: int, complete_at: float | None = None
    ) -> None:
        """Take changes, None deletes, and the changelog position reached, in one step.

        `complete_at` only when this brings the store to the changelog's end: a moment, not after
        the end was known. Without it the store's age stays what it was.
        """
        ...

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over all records, the watermark's excepted, in no promised order.

        To be consumed without awaiting: a chunk may be applied meanwhile.
        """
        ...

    def __len__(self) -> int:
        """Count what `items` gives; on disk that reads everything, so it is not for metrics."""
        ...

    def clear(self) -> None:
        """Forget everything, damage included."""
        ...

    def close(self) -> None:
        """Let go of what the store holds: memory forgets, a disk keeps. Closing twice is closing once."""
        ...


class MemoryStore:
    """A store in a dictionary: encoded values, since they take a fifth of the decoded ones' memory."""

    def __init__(self) -> None:
        self._records: dict[bytes, bytes] | None = {}
        self._watermark: Watermark | None = None
        self.position = 0
        self.complete_at = 0.0
        self.damage = None

    def _open(self) -> dict[bytes, bytes]:
        if self._records is None:
            raise StoreClosedError("this partition's records were given up")
        return self._records

    @property
    def watermark(self) -> Watermark | None:
        """Return the watermark of the records, None for a store never written."""
        return self._watermark

    def on_damage(self, call: Callable[[], None]) -> None:
        """Memory does not wear out."""

    def get(self, key: bytes) -> bytes | None:
        """Return the record's value, None when there is none."""
        records = self._records
        return self._open().get(key) if records is None else records.get(key)

    def apply(
        self, changes: Mapping[bytes, bytes | None], position: int, complete_at: float | None = None
    ) -> None:
        """Take changes, None deletes, and the changelog position reached."""
        records = self._open()
        watermark = watermark_after(changes, self._watermark)
        if None in changes.values():
            for key, value in changes.items():
                if value is None:
                    records.pop(key, None)
                else:
                    records[key] = value
        else:
            records.update(cast("Mapping[bytes, bytes]", changes))
        self._watermark = watermark
        self.position = position
        self.complete_at = self.complete_at if complete_at is None else complete_at

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over all records, the watermark's excepted."""
        return ((key, value) for key, value in self._open().items() if key != WATERMARK_KEY)

    def __len__(self) -> int:
        records = self._open()
        return len(records) - (WATERMARK_KEY in records)

    def clear(self) -> None:
        """Forget everything."""
        self._open()
        self._records = {}
        self._watermark = None
        self.position = 0
        self.complete_at = 0.0

    def close(self) -> None:
        """Forget everything, and answer nothing more."""
        self._records = None


class Overlay:
    """A chunk's changes over a store: read through, written here only.

    `decoded`: the records that the chunk touched, as they stand after it; `taken`: the source values that
    it took. Both are for `warm`, once the chunk is committed.
    """

    __slots__ = ("_read", "changes", "decoded", "taken", "warm")

    def __init__(self, base: Readable, warm: Warm | None = None) -> None:
        self._read = base.get
        self.warm = Warm() if warm is None else warm
        self.changes: dict[bytes, bytes | None] = {}
        self.decoded: Decoded = {}
        self.taken: Taken = {}

    def go_back(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Have these changes and nothing else: what was touched since is read anew."""
        self.changes = dict(changes)
        self.decoded.clear()
        self.taken.clear()

    def get(self, key: bytes) -> bytes | None:
        """Return the record as the chunk has it so far."""
        if key in self.changes:
            return self.changes[key]
        return self._read(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set a record within the chunk."""
        self.changes[key] = value

    def delete(self, key: bytes) -> None:
        """Delete a record within the chunk."""
        self.changes[key] = None
