"""Checks for open transactions that block readers: who opened them, and how to end them.

Workers read committed records only, so nothing behind the first record of an open transaction is read, even
if it is committed. Our own transactions last for milliseconds and the broker ends them at their time-out;
they are reported only when they are older than that.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from aiokafka.errors import IncompatibleBrokerVersion

from rebate_app.settings import Settings
from rebate_app.streams.kafka.open_transactions import ONGOING, OpenTransaction, open_transactions
from rebate_app.wire.moments import MILLISECOND_US, format_moment
from rebate_app.wire.topics import Topics

from .check_spec import CheckSpec, Context, failure, warning
from .result import CheckResult, fail, ok, shortened_list, skip, warn

NAME = "transactions"
#: Other apps commit transactions on the user log all the time; younger ones are not reported.
FRESH_SECONDS = 2.0
#: The broker checks for transactions past their time-out every 10 s.
TIMEOUT_GRACE_SECONDS = 30.0
SECOND_MS = 1_000


async def check_transactions(context: Context) -> list[CheckResult]:
    """Report every producer whose transaction blocks readers of our sources."""
    sources = [name for name in context.topics.sources if name in context.found]
    if not sources:
        return [skip(NAME, "the topics are not there")]
    try:
        open_now = await open_transactions(context.client, sources)
    except (IncompatibleBrokerVersion, NotImplementedError):
        return [skip(NAME, "this broker does not list open transactions")]
    return results_of(context.settings, open_now, time.time_ns() // 1_000_000)


def results_of(settings: Settings, open_now: Sequence[OpenTransaction], now_ms: int) -> list[CheckResult]:
    """Return a result for each transaction that is reported, or one that there is none."""
    reported = [each for each in open_now if _is_reported(settings, each, now_ms)]
    if not reported:
        brief = f", {len(open_now)} are open for a moment" if open_now else ""
        return [ok(NAME, f"no open transaction holds the reading back{brief}")]
    return [_result(settings, each, now_ms) for each in reported]


def is_ours(settings: Settings, transactional_id: str | None) -> bool:
    """Return whether a transactional id is that of a worker or a replay of this app."""
    scope = settings.scope
    own = tuple(f"{scope}-{each}-" for each in (*Topics.of(settings).sources, "dlq", "web"))
    return transactional_id is not None and transactional_id.startswith(own)


def _is_reported(settings: Settings, each: OpenTransaction, now_ms: int) -> bool:
    bound = FRESH_SECONDS
    if is_ours(settings, each.transactional_id):
        bound = settings.transaction_timeout + TIMEOUT_GRACE_SECONDS
    return _age_seconds(each, now_ms) >= bound


def _age_seconds(each: OpenTransaction, now_ms: int) -> float:
    return (now_ms - (each.started_ms or each.last_write_ms)) / SECOND_MS


def _result(settings: Settings, each: OpenTransaction, now_ms: int) -> CheckResult:
    age = _age_seconds(each, now_ms)
    name = (
        f"transactional id {each.transactional_id}" if each.transactional_id else "no transactional id known"
    )
    whose = "our own " if is_ours(settings, each.transactional_id) else ""
    began = "its last write was at" if each.started_ms is None else "open since"
    at = format_moment((each.started_ms or each.last_write_ms) * MILLISECOND_US)
    places = [
        f"{topic}/{number} from {start}" for (topic, number), start in sorted(each.first_offsets.items())
    ]
    text = (
        f"{whose}producer {each.producer_id} ({name}) has a transaction, {began} {at} ({age:.0f} s ago), "
        f"last write {format_moment(each.last_write_ms * MILLISECOND_US)}: nothing behind it is read in "
        f"{shortened_list(places)}"
    )
    remedy = (
        f"restart that program, which ends it; if it is gone for good: {'; '.join(_commands(settings, each))}"
    )
    return (fail if _hangs(each, age) else warn)(NAME, text, remedy)


def _hangs(each: OpenTransaction, age_seconds: float) -> bool:
    """Return whether the broker will not end it: no coordinator has it open, or its time-out is over."""
    if each.state != ONGOING:
        return True
    return each.timeout_ms is not None and age_seconds > each.timeout_ms / SECOND_MS + TIMEOUT_GRACE_SECONDS


def _commands(settings: Settings, each: OpenTransaction) -> list[str]:
    return [
        f"kafka-transactions.sh --bootstrap-server {settings.broker} abort --topic {topic} "
        f"--partition {number} --start-offset {start}"
        for (topic, number), start in sorted(each.first_offsets.items())
    ]


CHECKS = (
    CheckSpec(
        "transactions",
        "open transactions on the sources, which block their readers",
        "topics",
        (
            warning(
                "a transaction is open for more than 2 s, or our own beyond its time-out",
                "restart the named program ([open transactions](open-transactions.md))",
            ),
            failure(
                "a transaction hangs: the broker will not end it",
                "abort it with the `kafka-transactions.sh` command of the result",
            ),
        ),
        check_transactions,
    ),
)
