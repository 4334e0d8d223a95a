"""Fetched records of one partition that wait to be processed: contiguous and bounded."""

from __future__ import annotations

from collections import deque

from msgspec.structs import replace

from .batch import RecordBatch
from .stage import Record

BATCH_RECORDS_MAX = 4_000
RECORDS_HIGH = 20_000
RECORDS_LOW = 5_000
#: Uncompressed size of the values of one batch, exceeded by one record at most.
BATCH_VALUE_BYTES_MAX = 16 * 1_048_576
BYTES_HIGH, BYTES_LOW = 3 * BATCH_VALUE_BYTES_MAX, BATCH_VALUE_BYTES_MAX


class BatchQueue:
    """A queue of contiguous batches: every position is covered once, in order.

    `expected`: the position at which the next batch begins, or which it contains.
    """

    def __init__(self) -> None:
        self._batches: deque[RecordBatch] = deque()
        self.records = 0
        self.value_bytes = 0
        self.expected = 0

    def __bool__(self) -> bool:
        return bool(self._batches)

    def reset(self, expected: int) -> None:
        """Drop everything; the next batch begins at `expected`."""
        self._batches.clear()
        self.records = 0
        self.value_bytes = 0
        self.expected = expected

    def add(self, batch: RecordBatch) -> bool:
        """Queue a batch that continues the last one; return False when there is a gap before it.

        Positions that were read already are dropped: a fetch from before a seek may arrive after it.
        """
        if batch.begin > self.expected:
            return False
        if batch.end > self.expected:
            self._batches.append(batch)
            self.records += len(batch.records)
            self.value_bytes += batch.value_bytes
            self.expected = batch.end
        return True

    @property
    def is_high(self) -> bool:
        """Whether no more should be fetched for now."""
        return self.records > RECORDS_HIGH or self.value_bytes > BYTES_HIGH

    @property
    def is_low(self) -> bool:
        """Whether fetching should go on."""
        return self.records < RECORDS_LOW and self.value_bytes < BYTES_LOW

    def take(self, position: int) -> tuple[list[Record], int, int]:
        """Take records up to the bounds of a batch; return (records, position after them, stable end).

        A fetch beyond the bounds is processed in several batches.
        """
        records: list[Record] = []
        end = stable_end = position
        value_bytes = 0
        while self._batches and len(records) < BATCH_RECORDS_MAX and value_bytes < BATCH_VALUE_BYTES_MAX:
            batch = self._batches[0]
            room = BATCH_RECORDS_MAX - len(records)
            stable_end = batch.stable_end
            if len(batch.records) > room:
                part, rest = batch.records[:room], batch.records[room:]
                records += part
                end = part[-1].offset + 1
                taken_bytes = batch.value_bytes * room // len(batch.records)
                left_bytes = batch.value_bytes - taken_bytes
                value_bytes += taken_bytes
                self._batches[0] = replace(batch, begin=end, records=rest, value_bytes=left_bytes)
                break
            records += batch.records
            value_bytes += batch.value_bytes
            end = batch.end
            self._batches.popleft()
        self.records -= len(records)
        self.value_bytes -= value_bytes
        return records, end, stable_end
