"""Metrics of batches, by stage.

A record counts once its batch is committed and visible, so a batch that is repeated after a crash counts
once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from rebate_app.metrics.catalogue import (
    BATCH_SECONDS,
    BATCHES,
    DEAD_LETTERS,
    DECISION_SECONDS,
    EVENT_AGE,
    FENCED,
    LIMIT_TRIPS,
    RECORDS,
    REOPENED,
)
from rebate_app.metrics.registry import MetricsRegistry

from ..transaction.collector import RecordCollector
from .stage import Record, Stage

SECOND_MS = 1_000
#: For so long a record dated in the future is shown.
AHEAD_KEPT_SECONDS = 300.0


class StageMeter:
    """Counts for one partition; all partitions of a stage share their metrics."""

    __slots__ = ("_age", "_ahead", "_batch", "_decision", "_metrics", "_source", "_stage")

    def __init__(self, metrics: MetricsRegistry, stage: Stage) -> None:
        self._metrics = metrics
        self._stage = (stage.name,)
        self._source = stage.source
        self._batch = metrics.histogram(BATCH_SECONDS, self._stage)
        self._decision = metrics.histogram(DECISION_SECONDS, self._stage)
        self._age = metrics.histogram(EVENT_AGE, self._stage)
        self._ahead = (0.0, 0.0)

    def committed(
        self, records: Sequence[Record], collector: RecordCollector, began: float, decided: float
    ) -> None:
        """Count a batch that became visible; `began`, `decided`: readings of time.perf_counter."""
        metrics = self._metrics
        metrics.add(RECORDS, self._stage, len(records))
        metrics.add(BATCHES, self._stage)
        self._batch.observe(time.perf_counter() - began)
        self._decision.observe(decided - began)
        now = time.time()
        self._age.observe(max(0.0, now - records[0].timestamp / SECOND_MS))
        self._note_ahead(max(records[0].timestamp, records[-1].timestamp) / SECOND_MS - now, now)
        for (metric, labels), count in collector.counted.items():
            metrics.add(metric, labels, count)
        for reason, count in collector.refused.items():
            metrics.add(DEAD_LETTERS, (self._source, reason), count)

    def record_ahead_seconds(self) -> float:
        """Return how far a batch's first or last record was dated ahead of our clock, within 5 minutes."""
        seconds, at = self._ahead
        return seconds if time.time() - at < AHEAD_KEPT_SECONDS else 0.0

    def _note_ahead(self, seconds: float, now: float) -> None:
        if seconds > 0 and seconds >= self.record_ahead_seconds():
            self._ahead = (seconds, now)

    def halted(self, code: str) -> None:
        """Count a halt of the partition."""
        self._metrics.add(LIMIT_TRIPS, (code,))

    def fenced(self) -> None:
        """Count a takeover by another worker."""
        self._metrics.add(FENCED, self._stage)

    def reopened(self) -> None:
        """Count a task that opens again after a failure."""
        self._metrics.add(REOPENED, self._stage)
