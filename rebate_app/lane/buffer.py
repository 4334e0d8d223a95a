"""What was fetched for one partition and not yet worked on: joined without gaps, bounded."""

from __future__ import annotations

from collections import deque

from msgspec.structs import replace

from .chunk import Chunk
from .stage import Record

CHUNK_RECORDS_MAX = 4_000
RECORDS_HIGH = 20_000
RECORDS_LOW = 5_000


class ChunkBuffer:
    """A queue of chunks that join: every position is covered once, in order.

    `expected` is the position at which the next chunk has to begin, or which it has to cover.
    """

    def __init__(self) -> None:
        self._chunks: deque[Chunk] = deque()
        self.records = 0
        self.expected = 0

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def reset(self, expected: int) -> None:
        """Drop everything; the next chunk begins at `expected`."""
        self._chunks.clear()
        self.records = 0
        self.expected = expected

    def add(self, chunk: Chunk) -> bool:
        """Queue a chunk that goes on where the last one ended; return False when there is a gap before it.

        What was read already is dropped: after a seek, a fetch from before it may still arrive.
        """
        if chunk.begin > self.expected:
            return False
        if chunk.end > self.expected:
            self._chunks.append(chunk)
            self.records += len(chunk.records)
            self.expected = chunk.end
        return True

    @property
    def is_high(self) -> bool:
        """Whether no more should be fetched for now."""
        return self.records > RECORDS_HIGH

    @property
    def is_low(self) -> bool:
        """Whether fetching should go on."""
        return self.records < RECORDS_LOW

    def take(self, position: int) -> tuple[list[Record], int, int]:
        """Take what waits, up to a chunk's bound; return (records, position after them, stable end).

        A fetch that is larger than the bound is worked on in several chunks.
        """
        records: list[Record] = []
        end = stable_end = position
        while self._chunks and len(records) < CHUNK_RECORDS_MAX:
            chunk = self._chunks[0]
            room = CHUNK_RECORDS_MAX - len(records)
            stable_end = chunk.stable_end
            if len(chunk.records) > room:
                part, rest = chunk.records[:room], chunk.records[room:]
                records += part
                end = part[-1].offset + 1
                self._chunks[0] = replace(chunk, begin=end, records=rest)
                break
            records += chunk.records
            end = chunk.end
            self._chunks.popleft()
        self.records -= len(records)
        return records, end, stable_end
