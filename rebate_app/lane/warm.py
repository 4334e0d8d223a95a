"""What the last chunks of a partition touched, kept decoded, so that what comes again soon costs little.

Law: nothing here changes what is computed. A record is taken out when a chunk touches it and comes back
when that chunk is committed, so it is never anything that the store does not hold, and a chunk that is
dropped leaves nothing behind. Networks are polled every minute for the same twenty minutes (domain.md 1.5):
nearly all facts repeat, byte for byte, one that came a moment ago.
"""

from __future__ import annotations

from itertools import islice
from typing import Protocol

RECORDS_MAX = 4_000  # decoded records of one partition, 1 to 2 KB each
VALUES_MAX = 16_000  # source values of one partition, about 0.5 KB each

#: A source value that was taken → under which key, and the earliest timestamp (ms) at which it was.
Taken = dict[bytes, tuple[bytes, int]]
#: Record key → the decoded record, and the value as it is stored.
Decoded = dict[bytes, tuple[object, bytes]]


class Touched(Protocol):
    """A chunk's overlay, as far as it concerns us."""

    decoded: Decoded
    taken: Taken


class Warm:
    """The decoded records and the source values of one partition's last chunks."""

    __slots__ = ("records", "taken")

    def __init__(self) -> None:
        self.records: Decoded = {}
        self.taken: Taken = {}

    def keep(self, chunk: Touched) -> None:
        """Take in what a chunk has touched, now that it is committed and visible; forget what is oldest."""
        self.records.update(chunk.decoded)
        self.taken.update(chunk.taken)
        _shorten(self.records, RECORDS_MAX)
        _shorten(self.taken, VALUES_MAX)

    def clear(self) -> None:
        """Forget everything: the store is another one now."""
        self.records.clear()
        self.taken.clear()


def _shorten(kept: Decoded | Taken, most: int) -> None:
    """Drop the oldest ones: a dictionary keeps the order in which keys came."""
    for key in list(islice(kept, max(len(kept) - most, 0))):
        del kept[key]
