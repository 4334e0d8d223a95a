"""Who becomes the active app of a prefix, on a real Kafka."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rebate_app.domain.money_out.facts import PayoutResult
from rebate_app.streams.kafka.active_app import ActiveApp
from rebate_app.streams.kafka.connection import client_options
from rebate_app.wire.facts.payouts import Author, encode_payout_fact
from tests.e2e.conftest import RULES
from tests.rig.system import System

LOG_ID = "the-log"
SECONDS_MAX = 120.0


async def watched(system: System, *apps: str) -> list[ActiveApp]:
    """Let apps start at once on a prefix; return what each knows once it follows the topic."""
    user_log = system.topics.user_log, system.settings.partitions
    known = []
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
        tasks = []
        for name in apps:
            active = ActiveApp(system.topics.active, name)
            active.topic_id = LOG_ID
            follows = asyncio.Event()
            watch = active.watch(client_options(system.settings), user_log, follows.set)
            tasks.append((group.create_task(watch), follows))
            known.append(active)
        for _, follows in tasks:
            await follows.wait()
        for task, _ in tasks:
            task.cancel()
    return known


class TestFirst:
    """The first app of a prefix."""

    def test_one_of_two_that_start_at_once(self, kafka: str, topic_prefix: str, tmp_path: Path) -> None:
        """Both agree which one; later ones find it, and it finds itself again."""
        with System(kafka, topic_prefix, tmp_path, [RULES]) as system:
            one, two = asyncio.run(watched(system, "one", "two"))
            assert [one.is_active(), two.is_active()].count(True) == 1
            assert one.record == two.record
            assert one.record is not None
            (again,) = asyncio.run(watched(system, one.record.app))
            assert (again.is_active(), again.record) == (True, one.record)
            assert again.revision > 0

    def test_not_where_somebody_else_has_decided(self, kafka: str, topic_prefix: str, tmp_path: Path) -> None:
        """A log that holds what another app wrote, or the same app in another log, makes nobody active."""
        with System(kafka, topic_prefix, tmp_path, [RULES]) as system:
            fact = PayoutResult("u1", "w1", 1, "paid", 5, "", "", "", 0)
            system.produce(system.topics.user_log, [encode_payout_fact(fact, Author("one", "an-older-log"))])
            (one,) = asyncio.run(watched(system, "one"))
            assert (one.is_active(), one.record) == (False, None)
            assert system.read(system.topics.active) == []

    def test_where_it_has_decided_itself(self, kafka: str, topic_prefix: str, tmp_path: Path) -> None:
        """Its own facts in this log do not hinder it."""
        with System(kafka, topic_prefix, tmp_path, [RULES]) as system:
            fact = PayoutResult("u1", "w1", 1, "paid", 5, "", "", "", 0)
            system.produce(system.topics.user_log, [encode_payout_fact(fact, Author("one", LOG_ID))])
            (one,) = asyncio.run(watched(system, "one"))
            assert one.is_active()
