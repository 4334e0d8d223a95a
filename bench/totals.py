"""How long `GET /v1/totals` takes for a million users: real stages and web server in one process, no broker.

Each user has one settled line, released on a day of a year, folded by stage 2; the figure is the time of a
request over HTTP to a worker that owns all partitions. A second figure: how long the scan takes that builds
totals of one of eight partitions after an update.

    python -m bench.totals [--users 1000000] [--store memory|rocksdb]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from agents.accounts import AccountsStage
from agents.rule_activation import note_activations
from rebate_app.domain.messages import LineTarget
from rebate_app.domain.order.value import SETTLED_PHASE, LineValue
from rebate_app.streams.kafka.records import KafkaRecord
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.build import PROGRESS, BuildStep
from rebate_app.streams.state.rocksdb import RocksDBResources, RocksDBStore, StoreIdentity
from rebate_app.streams.state.store import WATERMARK_KEY, Store, Watermark, encode_watermark
from rebate_app.streams.transaction.collector import RecordCollector
from rebate_app.streams.transaction.partitioner import partition_of
from rebate_app.wire.internal import encode_message
from tables.accounts import TOTALS_NAME
from tables.builds import TotalsBuild
from tables.kinds import BUILT_KINDS, kind_of
from tests.topology_driver import ACCOUNTS, APP
from tests.web.worlds import World

BATCH_RECORDS = 2_000
REQUESTS = 50
FIRST_DAY = 20_454  # 2026-01-01
PAID_AT = FIRST_DAY * 86_400_000_000


def target(number: int, rng: random.Random) -> LineTarget:
    """Return the target that stage 1 sends for a settled line of a user of its own."""
    settled_on = FIRST_DAY + rng.randrange(300)
    value = LineValue(
        SETTLED_PHASE, "settled", PAID_AT, 1_000, 1_000, 1_000, None, settled_on, settled_on + 30
    )
    line = f"{rng.choice(['taobao', 'jd', 'pdd'])}:{number}"
    return LineTarget(f"user-{number}", line, "", number, number, value, "user_id", None, "snapshot-settled")


def fill(world: World, users: int) -> None:
    """Give every user a line through stage 2, batch by batch."""
    rng, stream = random.Random(1), world.stream
    stage, at_ms = stream.stages[ACCOUNTS], world.clock() // 1_000
    assert isinstance(stage, AccountsStage)
    for number in range(stream.partitions):  # without rules no share would have any money
        store = stream.stores[ACCOUNTS, number]
        transaction = StateTransaction(store)
        note_activations(stage, store, (number, stream.partitions), -1, transaction, RecordCollector())
        store.apply(transaction.changes, store.position + len(transaction.changes))
    waiting: dict[int, list[KafkaRecord]] = {number: [] for number in range(stream.partitions)}
    offsets = dict.fromkeys(waiting, 0)
    for number in range(users):
        key, value = encode_message(target(number, rng), APP)
        partition = partition_of(key, stream.partitions)
        batch = waiting[partition]
        batch.append(KafkaRecord(stage.source, partition, offsets[partition], at_ms, key, value))
        offsets[partition] += 1
        if len(batch) == BATCH_RECORDS:
            _fold(stage, stream.stores[ACCOUNTS, partition], batch, stream.partitions)
            batch.clear()
    for partition, batch in waiting.items():
        if batch:
            _fold(stage, stream.stores[ACCOUNTS, partition], batch, stream.partitions)


def _fold(stage: Any, store: Store, batch: list[KafkaRecord], partitions: int) -> None:
    transaction, collector = StateTransaction(store), RecordCollector()
    processor = stage.processor(transaction, collector)
    for record in batch:
        processor.take(record)
    processor.finish()
    watermark = encode_watermark(Watermark(batch[-1].offset, stage.source, partitions))
    store.apply(transaction.changes | {WATERMARK_KEY: watermark}, store.position + len(transaction.changes))


async def measure(world: World) -> dict[str, Any]:
    """Return the times of requests in ms, each for another moment, and of balances meanwhile."""
    async with world:
        seconds = []
        answer: Any = {}
        processor_began = time.process_time()
        for number in range(REQUESTS):
            day = date(2026, 1, 1) + timedelta(days=9 * number)
            began = time.perf_counter()
            answer = await world.read(f"/v1/totals?at={day.isoformat()}T00:00:00Z")
            seconds.append(time.perf_counter() - began)
        processor_ms = 1_000 * (time.process_time() - processor_began) / REQUESTS
        money = sum(answer[name] for name in ("estimated", "confirmed", "available", "held"))
    if not money:
        raise RuntimeError("the totals hold no money: nothing was measured")
    ms = sorted(1_000 * each for each in seconds)
    return {
        "users": answer["users"],
        "fen": money,
        "median_ms": round(statistics.median(ms), 2),
        "max_ms": round(ms[-1], 2),
        "processor_ms": round(processor_ms, 2),
    }


def scan(store: Store) -> dict[str, Any]:
    """Take a store's totals away and build them again; return the time, and the longest slice."""
    gone = [key for key, _ in store.items() if kind_of("accounts", key) in BUILT_KINDS[TOTALS_NAME]]
    before = {key: store.get(key) for key in gone}
    store.apply({**dict.fromkeys(gone), PROGRESS.key(TOTALS_NAME): None}, store.position)
    began, slices, steps = time.perf_counter(), [], 0
    done = False
    while not done:
        step = BuildStep(TotalsBuild(), store)
        while True:
            slice_began = time.perf_counter()
            full = step.run(0.001)
            slices.append(time.perf_counter() - slice_began)
            if full:
                break
        done = step.finish().done
        steps += 1
        store.apply(step.transaction.changes, store.position)
    assert before == {key: store.get(key) for key in gone}
    return {
        "scan_seconds": round(time.perf_counter() - began, 2),
        "transactions": steps,
        "longest_slice_ms": round(1_000 * max(slices), 1),
    }


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--store", choices=("memory", "rocksdb"), default="memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = World(partitions=8)
        if options.store == "rocksdb":
            resources = RocksDBResources()
            for stage, number in list(world.stream.stores):
                identity = StoreIdentity("bench", stage, "", 8, number)
                store = RocksDBStore(Path(folder) / stage / str(number), identity, resources)
                world.stream.stores[stage, number] = store  # type: ignore[assignment]
        fill(world, options.users)
        print(json.dumps(asyncio.run(measure(world)) | scan(world.stream.stores[ACCOUNTS, 0])))


if __name__ == "__main__":
    main()
