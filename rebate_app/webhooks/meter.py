"""What webhooks count, and what a scrape reads of them.

Law: an event counts as done once: when it was delivered, or when its dead letter is acknowledged.
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
from rebate_app.metrics.figures import Figures, Sample

from .deliveries import DELIVERED, Copy, Plan
from .gate import Gate
from .post import Answered
from .queues import Queues

DELAYS = ("10s", "1m", "10m")


class WebhookMeter:
    """Counts for one worker."""

    def __init__(self, figures: Figures, plan: Plan) -> None:
        self._figures = figures
        self._plan = plan
        self._seconds = figures.histogram(WEBHOOK_SECONDS)
        figures.add(WEBHOOK_DELIVERIES, (DELIVERED,), 0)  # a rate needs the zero before the first one

    def attempted(self, answered: Answered) -> None:
        """Count an attempt."""
        self._figures.add(WEBHOOK_ATTEMPTS, (answered.code,))
        self._seconds.observe(answered.seconds)
        if answered.outcome == DELIVERED:
            self._figures.add(WEBHOOK_DELIVERIES, (DELIVERED,))

    def copied(self, copy: Copy) -> None:
        """Count a copy or dead letter that is acknowledged."""
        if copy.reason:
            self._figures.add(WEBHOOK_DELIVERIES, (copy.reason,))
            self._figures.add(DEAD_LETTERS, (self._plan.events, copy.reason))
        else:
            self._figures.add(RETRIES, (self._plan.retries[copy.level], DELAYS[copy.level]))


def read_webhooks(queues: Iterable[Queues], gate: Gate, plan: Plan, now_ms: int) -> Iterator[Sample]:
    """Yield what the partitions' state says now."""
    waiting: Counter[int] = Counter()
    oldest = now_ms
    for each in queues:
        waiting.update(delivery.level for delivery in each.waiting())
        oldest = min([oldest, *(head.travel.event_at for head in each.heads())])
    for level, topic in enumerate(plan.retries):
        yield Sample(RETRY_BACKLOG, (topic,), waiting[level])
    yield Sample(WEBHOOK_OLDEST, (), (now_ms - oldest) / 1_000)
    yield Sample(WEBHOOK_CIRCUIT, (), gate.circuit.is_open)
    yield Sample(WEBHOOK_PAUSED, (), gate.paused)
