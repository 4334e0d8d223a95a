"""The records of one fetch of one partition, and the positions that they cover."""

from __future__ import annotations

from msgspec import Struct

from .stage import Record


class RecordBatch(Struct, frozen=True):
    """Records of one partition in order, with the reader's position before and after them.

    The positions cover what a reader never sees as records (transaction markers, compacted
    offsets), so consecutive batches of a partition join without a gap: `end` of one is `begin` of
    the next. `stable_end` is the last stable offset when it was fetched, for lag figures. `value_bytes`:
    the uncompressed size of the values, 0 if unknown.
    """

    topic: str
    partition: int
    begin: int
    end: int
    stable_end: int
    records: list[Record]
    value_bytes: int = 0
