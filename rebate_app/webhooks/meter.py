"""Counters and gauges of webhooks.

An event counts as done once: when it is delivered, or when its dead letter is acknowledged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from rebate_app.metrics.catalogue import (
    DEAD_LETTERS,
    RETRIES,
    RETRY_BACKLOG,
    WEBHOOK_ATTEMPTS,
    WEBHOOK_CIRCUIT,
    WEBHOOK_DELIVERIES,
    WEBHOOK_OLDEST,
    WEBHOOK_PAUSED,
    WEBHOOK_SECONDS,
)
from rebate_app.metrics.registry import MetricsRegistry, Sample
from rebate_app.streams.side.gate import Gate

from .delivery import DELIVERED, Forward, Plan
from .poster import AttemptResult
from .queues import Queues

DELAYS = ("10s", "1m", "10m")


class WebhookMeter:
    """The counters of one worker."""

    def __init__(self, metrics: MetricsRegistry, plan: Plan) -> None:
        self._metrics = metrics
        self._plan = plan
        self._seconds = metrics.histogram(WEBHOOK_SECONDS)

    def count_attempt(self, result: AttemptResult) -> None:
        """Count an attempt."""
        self._metrics.add(WEBHOOK_ATTEMPTS, (result.code,))
        self._seconds.observe(result.seconds)
        if result.outcome == DELIVERED:
            self._metrics.add(WEBHOOK_DELIVERIES, (DELIVERED,))

    def count_forward(self, forward: Forward) -> None:
        """Count an acknowledged retry record or dead letter."""
        if forward.reason:
            self._metrics.add(WEBHOOK_DELIVERIES, (forward.reason,))
            self._metrics.add(DEAD_LETTERS, (self._plan.events, forward.reason))
        else:
            self._metrics.add(RETRIES, (self._plan.retries[forward.level], DELAYS[forward.level]))


def read_webhooks(queues: Iterable[Queues], gate: Gate, plan: Plan, now_ms: int) -> Iterator[Sample]:
    """Yield the gauges of the partitions' present state."""
    waiting: Counter[int] = Counter()
    oldest = now_ms
    for each in queues:
        waiting.update(delivery.level for delivery in each.waiting())
        oldest = min([oldest, *(head.state.event_at for head in each.heads())])
    for level, topic in enumerate(plan.retries):
        yield Sample(RETRY_BACKLOG, (topic,), waiting[level])
    yield Sample(WEBHOOK_OLDEST, (), (now_ms - oldest) / 1_000)
    yield Sample(WEBHOOK_CIRCUIT, (), gate.circuit.is_open)
    yield Sample(WEBHOOK_PAUSED, (), gate.paused)
