"""L1 and L1x: the same fold in a loop written by hand on aiokafka, without Faust and without our engine.

L1 has plain producers and awaits every acknowledgement. L1x has two transactional producers for each
source partition, used in turn, and the watermark in the transaction: the guarantees of our engine, with
nothing around it: no group, no rebalancing, no HTTP, no dead letters, no metrics. It is the bound.

    python -m bench.by_hand --broker B --prefix P [--exactly-once] [--store memory|rocksdb] [--fold toy|real]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.gate import filled
from bench.hand_folds import Fold, OutgoingRecord, folds
from bench.hand_stores import HandStore, hand_store
from bench.orders import PARTITIONS

BATCH_BYTES = 512 * 1_024
BATCH_RECORDS_MAX = 1_200
FETCH_MAX_WAIT_MS = 10
WATERMARK_KEY = b"!"


class HandPartition:
    """One source partition: fetch, fold, send, await, keep."""

    def __init__(self, fold: Fold, number: int, store: HandStore, given: argparse.Namespace) -> None:
        self.tp = TopicPartition(fold.source, number)
        self._fold = fold
        self._store = store
        self._exactly_once = given.exactly_once
        self._producers = [
            AIOKafkaProducer(
                bootstrap_servers=given.broker,
                acks="all",
                linger_ms=0,
                max_batch_size=BATCH_BYTES,
                max_request_size=2 * BATCH_BYTES,
                transactional_id=f"{fold.source}-{number}-{turn}" if given.exactly_once else None,
            )
            for turn in range(2 if given.exactly_once else 1)
        ]
        self._turn = 0

    async def start(self) -> None:
        """Connect, and fence whoever had the partition before."""
        for producer in self._producers:
            await producer.start()

    async def stop(self) -> None:
        """Disconnect."""
        for producer in self._producers:
            await producer.stop()

    async def work(self, records: Sequence[Any]) -> None:
        """Do one batch, to the end."""
        changes: dict[bytes, bytes] = {}
        outgoing = self._fold(records, self._store.get, changes)
        changes[WATERMARK_KEY] = b'{"offset":%d}' % records[-1].offset
        producer = self._producers[self._turn]
        self._turn = (self._turn + 1) % len(self._producers)
        if self._exactly_once:
            await producer.begin_transaction()
        sent = [
            await producer.send_batch(batch, topic, partition=number)
            for (topic, number), rows in _by_target(outgoing).items()
            for batch in filled(producer, rows)
        ]
        sent += [
            await producer.send_batch(batch, self._fold.changelog, partition=self.tp.partition)
            for batch in filled(producer, changes.items())
        ]
        await asyncio.gather(*sent)
        if self._exactly_once:
            await producer.commit_transaction()
        self._store.apply(changes)


def _by_target(outgoing: Sequence[OutgoingRecord]) -> dict[tuple[str, int], list[tuple[bytes, bytes]]]:
    targets: dict[tuple[str, int], list[tuple[bytes, bytes]]] = {}
    for topic, partition, key, value in outgoing:
        targets.setdefault((topic, partition), []).append((key, value))
    return targets


async def run(given: argparse.Namespace) -> None:
    """Work until told to stop."""
    parts = {}
    for fold in folds(given.fold, given.prefix, given.rules):
        for number in range(PARTITIONS):
            store = hand_store(given.store, given.folder / fold.changelog / str(number))
            part = HandPartition(fold, number, store, given)
            parts[part.tp] = part
    await asyncio.gather(*(part.start() for part in parts.values()))
    consumer = AIOKafkaConsumer(
        bootstrap_servers=given.broker,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
        max_partition_fetch_bytes=4 * 1_048_576,
    )
    await consumer.start()
    consumer.assign(list(parts))
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    loops = [asyncio.create_task(_loop(consumer, part)) for part in parts.values()]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    waiting = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([*loops, waiting], return_when=asyncio.FIRST_COMPLETED)
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
    await asyncio.gather(*(part.stop() for part in parts.values()))
    await consumer.stop()
    for task in done:
        task.result()


async def _loop(consumer: AIOKafkaConsumer, part: HandPartition) -> None:
    """Do the partition's batches one by one; the partitions' loops overlap."""
    while True:
        fetched = await consumer.getmany(part.tp, timeout_ms=200, max_records=BATCH_RECORDS_MAX)
        for records in fetched.values():
            await part.work(records)


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description="the hand-written loop")
    parser.add_argument("--broker", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--exactly-once", action="store_true")
    parser.add_argument("--store", choices=("memory", "rocksdb"), default="memory")
    parser.add_argument("--fold", choices=("toy", "real"), default="toy")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rules", type=Path, required=True)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
