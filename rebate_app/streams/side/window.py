"""A bounded window of one partition's records that were read and are not done.

Batches join without gaps. Records are released one by one, in any order; `position`, the offset to commit,
never passes a record that is not released.
"""

from __future__ import annotations

from collections import deque

from rebate_app.streams.task.batch import RecordBatch
from rebate_app.streams.task.stage import Record

RECORDS_HIGH, RECORDS_LOW = 2_000, 500
BYTES_HIGH, BYTES_LOW = 2**20, 2**18
RECORD_OVERHEAD_BYTES = 100  # memory of a record beside key and value, at least


class Window:
    """Records of one partition: waiting to be taken, or taken and not released yet."""

    def __init__(self, topic: str, partition: int, start: int) -> None:
        self.topic = topic
        self.partition = partition
        self.expected = start
        self.paused = False
        self.waiting: deque[Record] = deque()
        self._taken: deque[tuple[int, int]] = deque()
        self._done: set[int] = set()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.waiting) + len(self._taken)

    def add(self, batch: RecordBatch) -> bool:
        """Append a batch that continues where the last one ended; return False if there is a gap.

        Records read before are dropped: after a seek, an earlier fetch may still arrive.
        """
        if batch.begin > self.expected:
            return False
        fresh = [record for record in batch.records if record.offset >= self.expected]
        self.waiting.extend(fresh)
        self._bytes += sum(map(_size_bytes, fresh))
        self.expected = max(self.expected, batch.end)
        return True

    def take(self) -> Record:
        """Take the oldest waiting record; the position stays before it until it is released."""
        record = self.waiting.popleft()
        self._taken.append((record.offset, _size_bytes(record)))
        return record

    def release(self, offset: int) -> None:
        """Release a taken record."""
        self._done.add(offset)
        while self._taken and self._taken[0][0] in self._done:
            done, size_bytes = self._taken.popleft()
            self._done.remove(done)
            self._bytes -= size_bytes

    @property
    def position(self) -> int:
        """Return the offset of the oldest record that is not released: where reading continues."""
        if self._taken:
            return self._taken[0][0]
        return self.waiting[0].offset if self.waiting else self.expected

    @property
    def is_high(self) -> bool:
        """Whether fetching should stop for now."""
        return len(self) > RECORDS_HIGH or self._bytes > BYTES_HIGH

    @property
    def is_low(self) -> bool:
        """Whether fetching should continue."""
        return len(self) < RECORDS_LOW and self._bytes < BYTES_LOW


def _size_bytes(record: Record) -> int:
    return RECORD_OVERHEAD_BYTES + len(record.key or b"") + len(record.value or b"")
