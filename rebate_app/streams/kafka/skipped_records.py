"""Records of control topics that a worker skips: logged once with their place, and counted.

Such a record decides nothing. State that cannot be decoded is another matter: it ends the worker
(UnreadableRecordError).
"""

from __future__ import annotations

import logging

from rebate_app.metrics.catalogue import SKIPPED_RECORDS
from rebate_app.metrics.registry import MetricsRegistry
from rebate_app.wire.failure_headers import Place
from rebate_app.wire.unreadable import BadRecord

#: Places remembered, so that reading a topic again counts and logs nothing twice.
PLACES_MAX = 10_000

log = logging.getLogger(__name__)


class SkippedRecords:
    """The records that one worker has skipped (implements Skip)."""

    def __init__(self, metrics: MetricsRegistry) -> None:
        self._metrics = metrics
        self._places: set[Place] = set()

    def __call__(self, bad: BadRecord) -> None:
        """Log and count a record, unless that was done before; beyond PLACES_MAX it is only counted."""
        if bad.place in self._places:
            return
        self._metrics.add(SKIPPED_RECORDS, (bad.place.topic,))
        if len(self._places) < PLACES_MAX:
            self._places.add(bad.place)
            log.warning("%s", bad)
