"""A copy of one partition of a table, read from its changelog.

Compaction keeps records of the last 60 s (wire.topics.COMPACTION_LAG_MS). A read that finishes within half of
that after its end was determined has seen every record that was current at that end.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic

from .logs import Logs

READ_SECONDS_MAX = 30.0


class StoredRecords(dict[bytes, bytes]):
    """The records of a partition, undecoded, so that damaged ones can be compared."""

    def apply(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply changes; a value of None deletes."""
        for key, value in changes.items():
            if value is None:
                self.pop(key, None)
            else:
                self[key] = value


class TableCopy:
    """The records of one partition as of the last `read`."""

    def __init__(self, logs: Logs, changelog: str, partition: int) -> None:
        self.records = StoredRecords()
        self._logs = logs
        self._place = (changelog, partition)
        self._read_to: int | None = None

    async def read(self) -> None:
        """Read the changelog to its current end, and again when compaction may have run meanwhile."""
        topic, number = self._place
        position = self._read_to
        if position is None:
            position = await self._logs.begin(topic, number)
        while True:
            began = monotonic()
            end = await self._logs.stable_end(topic, number)
            async for records in self._logs.read(topic, number, position, end):
                self.records.apply({record.key or b"": record.value for record in records})
            self._read_to = position = max(position, end)
            if monotonic() - began < READ_SECONDS_MAX:
                return
