"""What the lane counts per chunk.

Law: a record counts once its chunk is committed and visible, so a chunk that is done again after a crash
counts once. Per chunk this is a handful of additions. It is separate so that the lane's own modules say
one line each.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from rebate_app.metrics.catalogue import (
    CHUNK_SECONDS,
    CHUNKS,
    DEAD_LETTERS,
    DECISION_SECONDS,
    EVENT_AGE,
    FENCED,
    RECORDS,
    REOPENED,
)
from rebate_app.metrics.figures import Figures

from .outbox import Outbox
from .stage import Record, Stage

MILLISECONDS = 1_000


class StageMeter:
    """Counts for one partition of a stage; all partitions of a stage share their figures."""

    __slots__ = ("_age", "_chunk", "_decision", "_figures", "_source", "_stage")

    def __init__(self, figures: Figures, stage: Stage) -> None:
        self._figures = figures
        self._stage = (stage.name,)
        self._source = stage.source
        self._chunk = figures.histogram(CHUNK_SECONDS, self._stage)
        self._decision = figures.histogram(DECISION_SECONDS, self._stage)
        self._age = figures.histogram(EVENT_AGE, self._stage)
        for metric in (RECORDS, CHUNKS, FENCED, REOPENED):
            figures.add(metric, self._stage, 0)  # a rate needs the zero before the first one

    def committed(self, records: Sequence[Record], outbox: Outbox, began: float, decided: float) -> None:
        """Count a chunk that is visible now; `began` and `decided` are moments of time.perf_counter."""
        figures = self._figures
        figures.add(RECORDS, self._stage, len(records))
        figures.add(CHUNKS, self._stage)
        self._chunk.observe(time.perf_counter() - began)
        self._decision.observe(decided - began)
        self._age.observe(max(0.0, time.time() - records[0].timestamp / MILLISECONDS))
        for (metric, labels), count in outbox.counted.items():
            figures.add(metric, labels, count)
        for reason, count in outbox.refused.items():
            figures.add(DEAD_LETTERS, (self._source, reason), count)

    def fenced(self) -> None:
        """Count that another worker took the partition over."""
        self._figures.add(FENCED, self._stage)

    def reopened(self) -> None:
        """Count that the partition begins again at its fence."""
        self._figures.add(REOPENED, self._stage)
