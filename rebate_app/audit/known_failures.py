"""The records on which our own code once failed, read from the dead letters.

A past failure of our code is part of history: corrected code does not raise again, but the dead letter and
the parked key that followed are there. The audit replays the failure at the same offset and compares
everything else.
"""

from __future__ import annotations

from rebate_app.domain.reasons import INTERNAL_ERROR
from rebate_app.wire import failure_headers as names
from rebate_app.wire.failure_headers import parse_place, place_in, texts_of

from .logs import Logs, Record


class KnownFailures:
    """The failures of one source partition.

    `offsets`: offset at which the fold failed → offset of the record on which it failed; they differ for a
    failure during a release.
    """

    def __init__(self, app: str, source: str, dead_letter_topic: str, partition: int) -> None:
        self.offsets: dict[int, int] = {}
        self._app = app
        self._source = source
        self._dead_letter_topic = dead_letter_topic
        self._partition = partition
        self._read_to: int | None = None

    async def read(self, logs: Logs) -> None:
        """Read to the current end, before which all failures of committed batches are."""
        start = self._read_to
        if start is None:
            start = await logs.begin(self._dead_letter_topic, self._partition)
        end = await logs.end(self._dead_letter_topic, self._partition)
        async for records in logs.read(self._dead_letter_topic, self._partition, start, end):
            for record in records:
                self._take(record)
        self._read_to = max(start, end)

    def _take(self, record: Record) -> None:
        headers = texts_of(record.headers)
        is_own_failure = headers.get(names.REASON) == INTERNAL_ERROR or names.TRACE in headers
        if not is_own_failure or headers.get(names.APP) != self._app:
            return
        try:
            place = place_in(headers)
            at = parse_place(headers[names.RELEASE]) if names.RELEASE in headers else place
        except ValueError:
            return
        if place[:2] == at[:2] == (self._source, self._partition):
            self.offsets[at.offset] = place.offset
