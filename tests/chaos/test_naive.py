"""The rig sees what it looks for: the same kill makes a Faust application as documented count twice."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from rebate_app.broker import LocalKafka, free_port
from tests.rig.system import CHECKOUT
from tests.rig.waiting import wait_for

ORDERS = 400
AMOUNT = 1
KILLED_AFTER = 100  # sums in the changelog, long before Faust commits its first offset

pytestmark = pytest.mark.chaos


async def _send(broker: str, topic: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker, acks="all")
    await producer.start()
    try:
        for _ in range(ORDERS):
            await producer.send(topic, json.dumps({"user": "u", "amount": AMOUNT}).encode(), key=b"u")
    finally:
        await producer.stop()


async def _last_sum(broker: str, topic: str) -> int:
    """Return the balance that the changelog ends with, 0 while there is none."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, auto_offset_reset="earliest")
    await consumer.start()
    tp = TopicPartition(topic, 0)
    last = 0
    try:
        if not consumer.partitions_for_topic(topic):
            return 0
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        consumer.seek(tp, 0)
        while await consumer.position(tp) < end:
            for record in (await consumer.getmany(tp, timeout_ms=200)).get(tp, []):
                last = int(json.loads(record.value))
    finally:
        await consumer.stop()
    return last


def _start(broker: str, prefix: str, folder: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "REBATE_BROKER": broker,
        "REBATE_TOPIC_PREFIX": prefix,
        "REBATE_WEB_PORT": str(free_port()),
        "REBATE_DATADIR": str(folder),
    }
    with (folder / "naive.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "faust", "-A", "tests.rig.naive", "worker", "-l", "warning"],
            cwd=CHECKOUT,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def test_the_naive_way_counts_twice(chaos_kafka: LocalKafka, topic_prefix: str, tmp_path: Path) -> None:
    """Killed between the table's write and the offset's commit, it adds orders again after its restart."""
    broker = chaos_kafka.address
    changelog = f"{topic_prefix}naive-{topic_prefix}naive-balances-changelog"

    def total() -> int:
        return asyncio.run(_last_sum(broker, changelog))

    worker = _start(broker, topic_prefix, tmp_path)
    try:
        wait_for(lambda: "naive-orders" in _topics(broker), 60, "the naive app has made its topics")
        asyncio.run(_send(broker, f"{topic_prefix}naive-orders"))
        wait_for(lambda: total() >= KILLED_AFTER, 90, "some orders are counted")
        worker.kill()
        worker.wait(10)
        worker = _start(broker, topic_prefix, tmp_path)
        wait_for(lambda: total() >= ORDERS * AMOUNT + 1, 120, "more is counted than was ordered")
    finally:
        worker.kill()
        worker.wait(10)


def _topics(broker: str) -> str:
    async def ask() -> str:
        consumer = AIOKafkaConsumer(bootstrap_servers=broker)
        await consumer.start()
        try:
            return " ".join(await consumer.topics())
        finally:
            await consumer.stop()

    return asyncio.run(ask())
