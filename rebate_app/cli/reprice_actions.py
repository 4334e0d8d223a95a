"""Send repricings, or try them on copies of the accounts' tables (docs/spec/rules.md#repricing)."""

from __future__ import annotations

import time
from typing import Any

from msgspec import Struct

from rebate_app.audit.audit import audited_stages
from rebate_app.audit.kafka_logs import KafkaLogs
from rebate_app.audit.reprice_trial import BUCKETS, RepriceTrial, Trial, UserChange, read_buyers
from rebate_app.order_service import OrderService
from rebate_app.settings import Settings
from rebate_app.streams.kafka.admin import ensure_topics
from rebate_app.streams.kafka.connection import BrokerAwayError
from rebate_app.streams.kafka.rule_versions import rules_of
from rebate_app.streams.kafka.used_rules import check_used_rules
from rebate_app.wire.audit_trail import encode_trail
from rebate_app.wire.facts.user import encode_reprice
from rebate_app.wire.topics import Topics

from .command_trail import command_record
from .terminal import Progress

#: A broker that is busy with thousands of our records may take longer than for one request.
SEND_SECONDS_MAX = 30.0
PROGRESS_USERS = 100
NANOSECONDS_PER_MS = 1_000_000


class RepriceRequest(Struct, frozen=True):
    """What is to be repriced: `document` has the fact's members, `user_id` None for everybody."""

    document: dict[str, Any]
    actor: str


async def send_reprice(settings: Settings, request: RepriceRequest, report_progress: Progress) -> int:
    """Send the facts; return how many are acknowledged. BrokerAwayError gives that number too."""
    user_id, topics = request.document["user_id"], Topics.of(settings)
    topic = topics.user_log
    if user_id is None:
        users = await _buyers(settings, report_progress)
    else:
        await ensure_topics(settings, used=(topic, topics.audit_trail))
        users = [user_id]
    async with OrderService(settings, seconds_max=SEND_SECONDS_MAX) as service:
        record = command_record(
            "lines.reprice", user_id, request.actor.removeprefix("cli:"), request.document["reason"]
        )
        await service.send(topics.audit_trail, [encode_trail(record)])
        pipeline = service.pipeline(topic)
        try:
            async with pipeline:
                for number, each in enumerate(users, start=1):
                    await pipeline.put(*encode_reprice({**request.document, "user_id": each}, request.actor))
                    if number % PROGRESS_USERS == 0:
                        report_progress(number, "users sent")
        except BrokerAwayError as error:
            known = f"{pipeline.acknowledged} of {len(users)} users were acknowledged before"
            raise BrokerAwayError(f"{error} {known}; do it again, repeats do no harm.") from error
    return pipeline.acknowledged


async def _buyers(settings: Settings, report_progress: Progress) -> list[str]:
    _, stage = audited_stages(settings, await rules_of(settings))
    async with KafkaLogs(settings) as logs:
        return await read_buyers(settings.partitions, stage, logs, report_progress)


async def try_reprice(settings: Settings, request: RepriceRequest, report_progress: Progress) -> Trial:
    """Return what the facts would change; nothing is written."""
    rules = await rules_of(settings)
    await check_used_rules(settings, Topics.of(settings), rules.versions)
    _, stage = audited_stages(settings, rules)
    async with KafkaLogs(settings) as logs:
        trial = RepriceTrial(
            stage,
            settings.partitions,
            logs,
            document=request.document,
            now_ms=time.time_ns() // NANOSECONDS_PER_MS,
            on_progress=report_progress,
        )
        return await trial.run()


def trial_members(trial: Trial) -> dict[str, Any]:
    """Return a trial as JSON members; amounts in fen."""
    return {
        "items": [_change_members(change) for change in trial.changes],
        "next_cursor": None,
        "total": dict(zip(BUCKETS, trial.total(), strict=True)),
        "users": trial.users,
        "lines": trial.lines,
    }


def _change_members(change: UserChange) -> dict[str, Any]:
    return {
        "user_id": change.user_id,
        "before": dict(zip(BUCKETS, change.before, strict=True)),
        "after": dict(zip(BUCKETS, change.after, strict=True)),
        "difference": dict(zip(BUCKETS, change.difference, strict=True)),
    }
