"""What was read of one topic's partition and is not done: joined without gaps, bounded, and where to go on.

Law: `position` never passes a record that was not released, so what is committed is done. It is separate from
the lane's buffer because there a chunk is done as a whole, and here each record by itself.
"""

from __future__ import annotations

from collections import deque

from rebate_app.lane.chunk import Chunk
from rebate_app.lane.stage import Record

RECORDS_HIGH, RECORDS_LOW = 2_000, 500
BYTES_HIGH, BYTES_LOW = 2**20, 2**18
RECORD_BYTES = 100  # what a record weighs besides key and value, at least


class Window:
    """Records of one partition: waiting to be taken, or taken and held until they are released."""

    def __init__(self, topic: str, partition: int, start: int) -> None:
        self.topic = topic
        self.partition = partition
        self.expected = start
        self.paused = False
        self.waiting: deque[Record] = deque()
        self._held: deque[tuple[int, int]] = deque()
        self._done: set[int] = set()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.waiting) + len(self._held)

    def add(self, chunk: Chunk) -> bool:
        """Queue a chunk that goes on where the last one ended; return False when there is a gap before it.

        What was read already is dropped: after a seek, a fetch from before it may still arrive.
        """
        if chunk.begin > self.expected:
            return False
        fresh = [record for record in chunk.records if record.offset >= self.expected]
        self.waiting.extend(fresh)
        self._bytes += sum(map(_weight, fresh))
        self.expected = max(self.expected, chunk.end)
        return True

    def take(self) -> Record:
        """Take the oldest record that waits; it is held until it is released."""
        record = self.waiting.popleft()
        self._held.append((record.offset, _weight(record)))
        return record

    def release(self, offset: int) -> None:
        """Be done with a record that was taken."""
        self._done.add(offset)
        while self._held and self._held[0][0] in self._done:
            done, weight = self._held.popleft()
            self._done.remove(done)
            self._bytes -= weight

    @property
    def position(self) -> int:
        """Return the offset of the oldest record that is not done: where reading has to go on."""
        if self._held:
            return self._held[0][0]
        return self.waiting[0].offset if self.waiting else self.expected

    @property
    def is_high(self) -> bool:
        """Whether no more should be fetched for now."""
        return len(self) > RECORDS_HIGH or self._bytes > BYTES_HIGH

    @property
    def is_low(self) -> bool:
        """Whether fetching should go on."""
        return len(self) < RECORDS_LOW and self._bytes < BYTES_LOW


def _weight(record: Record) -> int:
    return RECORD_BYTES + len(record.key or b"") + len(record.value or b"")
