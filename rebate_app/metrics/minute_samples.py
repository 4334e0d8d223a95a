"""One sample a minute of what a worker did, for the last hour: counters become figures of their minute.

For people who look at a system without a metrics store. A sample is the difference of counters since the one
before; it is taken in the event loop and costs a pass over the histograms of requests.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from msgspec import Struct

from .catalogue import EVENT_AGE, HTTP_SECONDS, RECORDS
from .registry import MetricsRegistry

SAMPLES_MAX = 60
MINUTE_US = 60_000_000
SECOND_US = 1_000_000
QUANTILE = 0.99


class MinuteSample(Struct, frozen=True):
    """What one minute brought; `at`: its end in µs since 1970.

    `facts`: order facts processed; `messages`: records of the user log processed. `event_age_seconds`: mean
    age of a batch's oldest record when its effect on accounts became visible. `p99_seconds`: upper bound of
    the bucket (docs/metrics.md) in which 99 % of the requests were answered; the greatest bound for slower
    ones. None without a batch or a request.
    """

    at: int
    facts: int
    messages: int
    event_age_seconds: float | None
    requests: int
    p99_seconds: float | None


class _Reading(Struct, frozen=True):
    """The counters at a moment; `buckets`: answered requests by bucket."""

    facts: float
    messages: float
    age_sum: float
    age_count: int
    buckets: tuple[int, ...]


class MinuteSamples:
    """The samples of one worker, oldest first; `facts_stage`, `messages_stage`: whose records they count."""

    def __init__(
        self, metrics: MetricsRegistry, clock: Callable[[], int], facts_stage: str, messages_stage: str
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._facts = (facts_stage,)
        self._messages = (messages_stage,)
        self._samples: deque[MinuteSample] = deque(maxlen=SAMPLES_MAX)
        self._last = self._read()

    def list(self) -> list[MinuteSample]:
        """Return the samples of the last hour."""
        return list(self._samples)

    async def watch(self) -> None:
        """Take a sample at the end of every minute of the clock."""
        while True:
            await asyncio.sleep((MINUTE_US - self._clock() % MINUTE_US) / SECOND_US)
            self.take()

    def take(self) -> None:
        """Take the sample of the time since the last one."""
        last, now = self._last, self._read()
        buckets = [after - before for before, after in zip(last.buckets, now.buckets, strict=True)]
        batches = now.age_count - last.age_count
        self._samples.append(
            MinuteSample(
                self._clock(),
                int(now.facts - last.facts),
                int(now.messages - last.messages),
                round((now.age_sum - last.age_sum) / batches, 3) if batches else None,
                sum(buckets),
                _quantile(buckets),
            )
        )
        self._last = now

    def _read(self) -> _Reading:
        metrics = self._metrics
        age = metrics.histogram(EVENT_AGE, self._messages)
        buckets = [0] * (len(HTTP_SECONDS.buckets) + 1)
        for histogram in metrics.histograms(HTTP_SECONDS):
            for number, count in enumerate(histogram.counts):
                buckets[number] += count
        return _Reading(
            metrics.count(RECORDS, self._facts),
            metrics.count(RECORDS, self._messages),
            age.sum,
            sum(age.counts),
            tuple(buckets),
        )


def _quantile(buckets: list[int]) -> float | None:
    """Return the bound below which QUANTILE of the values lie, None without a value."""
    total, so_far = sum(buckets), 0
    for count, bound in zip(buckets, (*HTTP_SECONDS.buckets, HTTP_SECONDS.buckets[-1]), strict=True):
        so_far += count
        if total and so_far >= QUANTILE * total:
            return bound
    return None
