"""Counters and gauges of payouts.

A scrape reads figures that are kept as withdrawals change (tables/withdrawal_counts.py): its cost does not
depend on how many are open.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct, field

from rebate_app.domain.money_out import paying, states
from rebate_app.metrics.catalogue import (
    CHANNEL_OPEN,
    PAYOUT_ANSWERS,
    PAYOUT_DROPPED,
    PAYOUTS_HELD,
    PAYOUTS_RECENT,
    PAYOUTS_RECENT_FAILED,
    PAYOUTS_UNKNOWN,
    WITHDRAWALS_OLDEST,
    WITHDRAWALS_OPEN,
    WITHDRAWALS_OPEN_FEN,
)
from rebate_app.metrics.registry import MetricsRegistry, Sample
from tables.withdrawal_counts import ENDS_MAX

from .desk import PayoutDesk
from .executor import PartitionExecutor
from .partition import PartitionTable

log = logging.getLogger(__name__)

SECOND_US: Final = paying.SECOND_US
#: Older ends say nothing about how a channel does now.
RECENT_US: Final = 7 * paying.DAY_US


class PayoutMeter:
    """The counters of one worker."""

    def __init__(self, metrics: MetricsRegistry) -> None:
        self._metrics = metrics
        self._named: set[tuple[str, str]] = set()

    def count(self, channel: str, kind: str, outcome: str) -> None:
        """Count an answer; `kind`: `call` or `question`."""
        del channel
        self._metrics.add(PAYOUT_ANSWERS, (kind, outcome))

    def drop(self, channel: str, member: str) -> None:
        """Count a member of an answer that is left out; the log names each of a channel once."""
        self._metrics.add(PAYOUT_DROPPED, (member,))
        if (channel, member) not in self._named:
            self._named.add((channel, member))
            log.warning("channel %s gives a %s in a form that is not kept (docs/payouts.md)", channel, member)


class _Figures(Struct):
    """Sums over partitions; moments in µs, the earliest of each state and of unanswered payouts."""

    count: Counter[str] = field(default_factory=Counter)
    amount: Counter[str] = field(default_factory=Counter)
    oldest: dict[str, int] = field(default_factory=dict)
    unanswered: int | None = None

    def add(self, table: PartitionTable) -> None:
        """Add those of a partition."""
        for state, count, amount in table.waiting():
            self.count[state] += count
            self.amount[state] += amount
            since = table.oldest_request_us(state)
            if since is not None:
                self.oldest[state] = min(since, self.oldest.get(state, since))
        since = table.oldest_unanswered_us()
        if since is not None:
            self.unanswered = since if self.unanswered is None else min(since, self.unanswered)


def read_payouts(
    served: Iterable[tuple[PartitionTable, PartitionExecutor | None]], desk: PayoutDesk
) -> Iterator[Sample]:
    """Yield the gauges of the partitions that are served, and of the channels."""
    now_us = time.time_ns() // 1_000
    figures, held = _Figures(), Counter[str]()
    tables = []
    for table, executor in served:
        tables.append(table)
        figures.add(table)
        if executor is not None:
            held.update(executor.held.values())
    for state in states.WAITING:
        since = figures.oldest.get(state)
        yield Sample(WITHDRAWALS_OPEN, (state,), figures.count[state])
        yield Sample(WITHDRAWALS_OPEN_FEN, (state,), figures.amount[state])
        yield Sample(WITHDRAWALS_OLDEST, (state,), _age_seconds(since, now_us))
    for reason in paying.HOLD_REASONS:
        yield Sample(PAYOUTS_HELD, (reason,), held[reason])
    yield Sample(PAYOUTS_UNKNOWN, (), _age_seconds(figures.unanswered, now_us))
    for name in sorted(desk.channels):
        yield Sample(CHANNEL_OPEN, (name,), desk.is_open(name))
        recent = recent_ends([table.payout_ends(name) for table in tables], now_us)
        yield Sample(PAYOUTS_RECENT, (name,), len(recent))
        yield Sample(PAYOUTS_RECENT_FAILED, (name,), sum(recent))


def _age_seconds(since_us: int | None, now_us: int) -> float:
    return 0.0 if since_us is None else max(0, now_us - since_us) / SECOND_US


def recent_ends(parts: Iterable[list[tuple[int, bool]]], now_us: int) -> list[bool]:
    """Return whether each of a channel's last ENDS_MAX payouts of RECENT_US failed, over all partitions."""
    ends = sorted(end for part in parts for end in part if end[0] > now_us - RECENT_US)
    return [failed for _, failed in ends[-ENDS_MAX:]]
