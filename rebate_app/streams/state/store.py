"""The records of one partition of a table: the port `Store`, its implementation in memory, the watermark.

The implementation on disk is `rocksdb.RocksDBStore`; a batch writes through `buffer.StateTransaction`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol, cast

from msgspec import Struct
from msgspec.json import Decoder, encode

from rebate_app.wire.unreadable import INT64_MAX, UnreadableValueError, decode_with, shortened

from .key_order import KeyOrder
from .packing import MAGIC, Packing, ValuePacker

WATERMARK_KEY = b"!"
WATERMARK_FORMAT = 1


class Watermark(Struct, frozen=True):
    """The source offset up to which a partition's state holds, and of which topic (format 1).

    `partitions`, `topic_id` and `cluster` name the topic's identity, since an offset means nothing elsewhere.
    A watermark of an earlier version, and one of a broker without topic ids, has "".
    """

    offset: int
    topic: str
    partitions: int
    topic_id: str = ""
    format: int = WATERMARK_FORMAT
    cluster: str = ""


_decode = Decoder(Watermark).decode


def decode_watermark(value: bytes | None) -> Watermark:
    """Return the watermark; UnreadableValueError for null and for what this version does not read."""
    watermark = decode_with(_decode, value)
    if watermark.format != WATERMARK_FORMAT:
        raise UnreadableValueError(f"its format {shortened(watermark.format)} is not known here")
    if not 0 <= watermark.offset < INT64_MAX:
        raise UnreadableValueError(f"its offset {shortened(watermark.offset)} is none of a log")
    return watermark


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
    """The store is closed: its partition belongs to another worker, which can answer."""


class StoreDamagedError(Exception):
    """The store cannot be read until it is cleared and restored."""


class Readable(Protocol):
    """What a table view needs of the records below it."""

    def get(self, key: bytes) -> bytes | None:
        """Return the record's value, None when there is none."""
        ...


class Listable(Readable, Protocol):
    """Records whose keys can be listed in order."""

    def keys_after(self, prefix: bytes, after: bytes, limit: int) -> list[bytes]:
        """Return the first keys with this beginning that come after `after`, in byte order."""
        ...


class Store(Listable, Protocol):
    """One partition's records, the watermark they hold for, and how far the changelog was read.

    A store holds exactly the changelog's records up to `position`. Data, watermark and position change
    together or not at all, also when the process is killed in between. The key of one zero byte is the
    store's own. Every method raises StoreClosedError once it is closed, StoreDamagedError once it is damaged.
    """

    @property
    def position(self) -> int:
        """Return the changelog offset to read next."""
        ...

    @property
    def complete_at(self) -> float:
        """Return when the store last held the whole changelog, in Unix seconds; 0 for a store never written.

        A store that did not follow for longer than tombstones are kept may miss one
        (docs/spec/exactness.md#tombstones).
        """
        ...

    @property
    def watermark(self) -> Watermark | None:
        """Return the watermark of the records, None for a store never written."""
        ...

    @property
    def damage(self) -> str | None:
        """Return what is wrong with the records, None while no fault is known."""
        ...

    def on_damage(self, call: Callable[[], None]) -> None:
        """Call this when any read or write finds damage."""
        ...

    def apply(
        self, changes: Mapping[bytes, bytes | None], position: int, complete_at: float | None = None
    ) -> None:
        """Take changes, None deletes, and the changelog position reached, in one step.

        `complete_at` (Unix seconds) is given when this brings the store to the changelog's end: a moment not
        after the end was read. Without it the store's age stays unchanged.
        """
        ...

    def rest(self, keys: Iterable[bytes]) -> None:
        """Take note that these records are not likely to be used soon; what they hold stays the same."""
        ...

    def packing(self, keys: Iterable[bytes]) -> Packing | None:
        """Return what is left to do for `rest`, in another thread; None when nothing is."""
        ...

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over all records but the watermark, in no particular order.

        The caller does not await in between: a batch may be applied meanwhile.
        """
        ...

    def __len__(self) -> int:
        """Count what `items` yields; on disk this reads everything, so metrics do not use it."""
        ...

    def clear(self) -> None:
        """Remove everything, damage included."""
        ...

    def close(self) -> None:
        """Release the store: memory is freed, a disk keeps its files. A second call does nothing."""
        ...


class MemoryStore:
    """A store in a dictionary of encoded values, which take a fifth of the memory of decoded ones.

    Values at rest are packed (packing.py): a value of the dictionary is as it was written, or packed.
    """

    def __init__(self) -> None:
        self._records: dict[bytes, bytes] | None = {}
        self._packer = ValuePacker()
        self._order = KeyOrder()
        self._watermark: Watermark | None = None
        self.position = 0
        self.complete_at = 0.0
        self.damage = None

    def _open(self) -> dict[bytes, bytes]:
        if self._records is None:
            raise StoreClosedError("the store of this partition is closed")
        return self._records

    @property
    def watermark(self) -> Watermark | None:
        """Return the watermark of the records, None for a store never written."""
        return self._watermark

    def on_damage(self, call: Callable[[], None]) -> None:
        """Do nothing: memory is never damaged."""

    def get(self, key: bytes) -> bytes | None:
        """Return the record's value, None when there is none."""
        records = self._records
        value = self._open().get(key) if records is None else records.get(key)
        return self._packer.unpack(value) if value is not None and value[:4] == MAGIC else value

    def apply(
        self, changes: Mapping[bytes, bytes | None], position: int, complete_at: float | None = None
    ) -> None:
        """Take changes, None deletes, and the changelog position reached."""
        records = self._open()
        watermark = watermark_after(changes, self._watermark)
        self._order.note(changes, records)
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

    def rest(self, keys: Iterable[bytes]) -> None:
        """Pack these records' values."""
        packing = self.packing(keys)
        if packing is not None:
            packing.run()
            packing.finish()

    def packing(self, keys: Iterable[bytes]) -> Packing | None:
        """Return the records' values on their way to be packed, None when there is nothing to pack."""
        return Packing(self._open(), self._packer, keys) or None

    def keys_after(self, prefix: bytes, after: bytes, limit: int) -> list[bytes]:
        """Return the first keys with this beginning that come after `after`, in byte order."""
        found = self._order.after(self._open(), prefix, after, limit + 1)
        return [key for key in found if key != WATERMARK_KEY][:limit]

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over all records, the watermark's excepted."""
        unpack = self._packer.unpack
        return (
            (key, unpack(value) if value[:4] == MAGIC else value)
            for key, value in self._open().items()
            if key != WATERMARK_KEY
        )

    def __len__(self) -> int:
        records = self._open()
        return len(records) - (WATERMARK_KEY in records)

    def clear(self) -> None:
        """Remove everything."""
        self._open()
        self._records = {}
        self._packer = ValuePacker()  # what replaces the records need not resemble them
        self._order.clear()
        self._watermark = None
        self.position = 0
        self.complete_at = 0.0

    def close(self) -> None:
        """Remove everything; from here on every call raises StoreClosedError."""
        self._records = None
        self._order.clear()
