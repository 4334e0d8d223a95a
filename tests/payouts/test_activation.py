"""Moving the turn on a real Kafka where no worker runs: what is written, and who may go on."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from aiokafka import TopicPartition

from rebate_app.payouts.activation import ActivationError, Mover, group_has_members, named_app
from rebate_app.settings import load_settings
from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaConsumer
from rebate_app.streams.kafka.clients import started
from rebate_app.streams.kafka.connection import client_options
from rebate_app.streams.state.log_identity import log_ids
from rebate_app.wire.active_app import ActiveRecord, encode_active
from rebate_app.wire.channel_states import ChannelState, encode_state
from tests.e2e.conftest import RULES
from tests.rig.system import System

pytestmark = pytest.mark.kafka
TRAIL = b"", b"{}"
WHY = "the log ends before its remembered end"


async def name_first(system: System) -> None:
    """Let the app `one` be the active one, which has no worker any more."""
    ids = await log_ids(client_options(system.settings), [system.topics.user_log])
    record = ActiveRecord("one", ids.topics[system.topics.user_log], "2026-03-01T00:00:00+08:00", "")
    system_records = [(system.topics.active, encode_active(record))]
    for name in ("open", "paused", "closed"):
        state = ChannelState(name, "key:ops", "why", 1)
        system_records.append((system.topics.channels, encode_state(name, state)))
    for topic, pair in system_records:
        await asyncio.to_thread(system.produce, topic, [pair])


async def two_movers(system: System) -> None:
    """Let one begin, then another; the first is fenced, and the second does everything up to the owners."""
    settings = load_settings(system._environment | {"REBATE_APP_ID": "two"})
    assert not await group_has_members(settings)
    async with Mover(settings, time.monotonic()) as first, Mover(settings, time.monotonic()) as second:
        with pytest.raises(ActivationError, match="another activation has begun"):
            await first.move("cli:lin", TRAIL)
        waited: list[tuple[str, int]] = []
        second._report = lambda step, waiting: waited.append((step, waiting))
        with pytest.raises(ActivationError, match="in 4 of 4 partitions; repeat the command"):
            await second.move("cli:lin", TRAIL, WHY)
        assert waited[-1] == ("the app two is named, and not all of its owners have begun", 4)
    assert await named_app(settings) == "two"


def test_what_is_written(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """One end in each partition, channels closed with the name, one record of the trail, by one mover."""
    with System(kafka, topic_prefix, tmp_path, [RULES]) as system:
        asyncio.run(name_first(system))
        asyncio.run(two_movers(system))
        ends = [(each.partition, json.loads(each.value)) for each in system.read(system.topics.user_log)]
        assert [(n, fact["kind"], fact["app"], fact["turn"]) for n, fact in ends] == [
            (number, "payouts.ended", "one", "2026-03-01T00:00:00+08:00") for number in range(4)
        ]
        states = {each.key: json.loads(each.value) for each in system.read(system.topics.channels)}
        assert {key.decode(): (state["state"], state["why"]) for key, state in states.items()} == {
            "open": ("closed", WHY),
            "paused": ("closed", WHY),
            "closed": ("closed", "why"),
        }
        assert len(system.read(system.topics.audit_trail)) == 1


async def waits_for(system: System) -> None:
    """Let the group of the app before have a member, which folds the ends only after a while."""
    topic = system.topics.user_log
    settings = load_settings(system._environment | {"REBATE_APP_ID": "two"})
    group = f"{system.settings.topic_prefix}one"
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=system.settings.broker, group_id=group, enable_auto_commit=False
    )
    async with started(consumer):
        for _ in range(2):  # the second one finds the ends of the first
            async with Mover(settings, time.monotonic()) as mover:
                with pytest.raises(ActivationError, match="one has not folded the end of its turn in 4"):
                    await mover.move("cli:lin", TRAIL)
            assert await named_app(settings) == "one"
        spots = [TopicPartition(topic, number) for number in range(4)]
        await consumer.commit({spot: 0 if spot.partition == 3 else 1 for spot in spots})
        async with Mover(settings, time.monotonic()) as mover:
            with pytest.raises(ActivationError, match="in 1 of 4"):
                await mover.move("cli:lin", TRAIL)
        await consumer.commit(dict.fromkeys(spots, 1))
        async with Mover(settings, time.monotonic()) as mover:
            with pytest.raises(ActivationError, match="not all of its owners have begun"):
                await mover.move("cli:lin", TRAIL)
    assert await named_app(settings) == "two"


def test_the_app_before_has_to_fold_its_end(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """In every partition, as long as its group has a member; the ends are written once."""
    with System(kafka, topic_prefix, tmp_path, [RULES]) as system:
        asyncio.run(name_first(system))
        asyncio.run(waits_for(system))
        assert len(system.read(system.topics.user_log)) == 4
