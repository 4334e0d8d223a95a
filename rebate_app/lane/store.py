"""Where one partition's records live: a port, its memory store, and the overlay of a chunk.

A chunk is computed on an overlay, so nothing is visible before its transaction is committed, and
dropping the overlay is all that undoing takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from msgspec import Struct
from msgspec.json import Decoder, encode

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


_decode_watermark = Decoder(Watermark).decode


def encode_watermark(watermark: Watermark) -> bytes:
    """Return the changelog value of a watermark."""
    return encode(watermark)


class Readable(Protocol):
    """What a table view needs of the records below it."""

    def get(self, key: bytes) -> bytes | None:
        """Return the record's value, None when there is none."""
        ...


class Store(Readable, Protocol):
    """One partition's records, the watermark they hold for, and how far the changelog was read.

    `position` is the changelog offset to read next. Data, position and watermark change together.
    """

    position: int

    @property
    def watermark(self) -> Watermark | None:
        """Return the watermark of the records, None for a store never written."""
        ...

    def apply(self, changes: Mapping[bytes, bytes | None], position: int) -> None:
        """Take changes, None deletes, and the changelog position reached, in one step."""
        ...

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over all records, the watermark's excepted."""
        ...

    def __len__(self) -> int: ...

    def clear(self) -> None:
        """Forget everything."""
        ...

    def close(self) -> None:
        """Release what the store holds open."""
        ...


class MemoryStore:
    """A store in a dictionary: encoded values, since they take a fifth of the decoded ones' memory."""

    def __init__(self) -> None:
        self._records: dict[bytes, bytes] = {}
        self.position = 0

    @property
    def watermark(self) -> Watermark | None:
        """Return the watermark of the records, None for a store never written."""
        value = self._records.get(WATERMARK_KEY)
        return None if value is None else _decode_watermark(value)

    def get(self, key: bytes) -> bytes | None:
        """Return the record's value, None when there is none."""
        return self._records.get(key)

    def apply(self, changes: Mapping[bytes, bytes | None], position: int) -> None:
        """Take changes, None deletes, and the changelog position reached."""
        records = self._records
        for key, value in changes.items():
            if value is None:
                records.pop(key, None)
            else:
                records[key] = value
        self.position = position

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over all records, the watermark's excepted."""
        return ((key, value) for key, value in self._records.items() if key != WATERMARK_KEY)

    def __len__(self) -> int:
        return len(self._records)

    def clear(self) -> None:
        """Forget everything."""
        self._records = {}
        self.position = 0

    def close(self) -> None:
        """Memory needs no closing."""


class Overlay:
    """A chunk's changes over a store: read through, written here only."""

    def __init__(self, base: Readable) -> None:
        self._base = base
        self.changes: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """Return the record as the chunk has it so far."""
        if key in self.changes:
            return self.changes[key]
        return self._base.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set a record within the chunk."""
        self.changes[key] = value

    def delete(self, key: bytes) -> None:
        """Delete a record within the chunk."""
        self.changes[key] = None
