"""What the last chunks of a partition touched, kept decoded, so that what comes again soon costs little.

Law: nothing here changes what is computed. A record is taken out when a chunk touches it and comes back
when that chunk is committed, so it is never anything that the store does not hold, and a chunk that is
dropped leaves nothing behind. Networks are polled every minute for the same twenty minutes (domain.md 1.5):
nearly all facts repeat, byte for byte, one that came a moment ago.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

RECORDS_MAX = 4_000  # decoded records of one partition, 1 to 2 KB each
VALUES_MAX = 16_000  # source values of one partition, about 0.5 KB each

V = TypeVar("V")

#: A source value that was taken → under which key, and the earliest timestamp (ms) at which it was.
Taken = dict[bytes, tuple[bytes, int]]
#: Record key → the decoded record, and the value as it is stored.
Decoded = dict[bytes, tuple[object, bytes]]


class Touched(Protocol):
    """A chunk's overlay, as far as it concerns us."""

    decoded: Decoded
    taken: Taken


class Recent(Generic[V]):
    """A dictionary of what was put in last: at least half of `most` keys, at most `most` and a chunk.

    Two generations instead of an order of age: the older one is let go whole, so nothing is deleted key by
    key, and finding the oldest of a small chunk does not cost a walk over the gaps of those before it.
    """

    __slots__ = ("_half", "_new", "_old")

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._new: dict[bytes, V] = {}
        self._old: dict[bytes, V] = {}

    def get(self, key: bytes) -> V | None:
        """Return what was put in last under the key."""
        found = self._new.get(key)
        return self._old.get(key) if found is None else found

    def pop(self, key: bytes) -> V | None:
        """Return it, and have nothing under the key, however often something was put in."""
        found, older = self._new.pop(key, None), self._old.pop(key, None)
        return older if found is None else found

    def update(self, more: dict[bytes, V]) -> None:
        """Put in what a chunk brings; forget the older generation when the newer one is full."""
        self._new.update(more)
        if len(self._new) > self._half:
            self._new, self._old = {}, self._new

    def clear(self) -> None:
        """Forget everything."""
        self._new, self._old = {}, {}

    def __len__(self) -> int:
        return len(self._new) + len(self._old)


class Warm:
    """The decoded records and the source values of one partition's last chunks."""

    __slots__ = ("records", "taken")

    def __init__(self) -> None:
        self.records: Recent[tuple[object, bytes]] = Recent(RECORDS_MAX)
        self.taken: Recent[tuple[bytes, int]] = Recent(VALUES_MAX)

    def keep(self, chunk: Touched) -> None:
        """Take in what a chunk has touched, now that it is committed and visible."""
        self.records.update(chunk.decoded)
        self.taken.update(chunk.taken)

    def clear(self) -> None:
        """Forget everything: the store is another one now."""
        self.records.clear()
        self.taken.clear()
