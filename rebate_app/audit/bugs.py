"""Where the fold is known to have failed: our bugs, as their dead letters tell of them.

Law: that our fold raised on a record is a fact like those of the networks: no code that was mended since
would raise again, but what followed from it, a dead letter and a parked key, stays true. So the audit
takes it from the dead letters, fails where it says, and holds everything else against the topics.
"""

from __future__ import annotations

from rebate_app.domain.reasons import INTERNAL_ERROR
from rebate_app.wire import failure_headers as names
from rebate_app.wire.failure_headers import Place, parse_place, texts_of

from .logs import Logs, Record


class KnownBugs:
    """The failures of one source partition; `offsets`: where the fold failed → the record that failed."""

    def __init__(self, app: str, source: str, dlt: str, partition: int) -> None:
        self.offsets: dict[int, int] = {}
        self._app = app
        self._source = source
        self._dlt = dlt
        self._partition = partition
        self._read_to: int | None = None

    async def read(self, logs: Logs) -> None:
        """Read on to the end: there stand the failures of everything that is committed by now."""
        start = self._read_to
        if start is None:
            start = await logs.begin(self._dlt, self._partition)
        end = await logs.end(self._dlt, self._partition)
        async for records in logs.read(self._dlt, self._partition, start, end):
            for record in records:
                self._take(record)
        self._read_to = max(start, end)

    def _take(self, record: Record) -> None:
        told = texts_of(record.headers)
        if told.get(names.REASON) != INTERNAL_ERROR or told.get(names.APP) != self._app:
            return
        try:
            place = Place(told[names.TOPIC], int(told[names.PARTITION]), int(told[names.OFFSET]))
            at = parse_place(told[names.RELEASE]) if names.RELEASE in told else place
        except (KeyError, ValueError):
            return
        if place[:2] == at[:2] == (self._source, self._partition):
            self.offsets[at.offset] = place.offset
