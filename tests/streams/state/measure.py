"""Measure stores and restoring: `python -m tests.streams.state.measure 127.0.0.1:19092 [records]`.

Not a test: figures are of a machine and a moment. Records are as long as those of the tables, about
40 bytes of key and 550 of JSON; the order of keys is random.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from msgspec.structs import replace

from rebate_app.streams.state.restore import restore
from rebate_app.streams.state.rocksdb import RocksDBResources, RocksDBStore
from rebate_app.streams.state.store import WATERMARK_KEY, MemoryStore, Store
from tests.streams.state.changelogs import Changelog
from tests.streams.state.stores import IDENTITY, watermark_value

BATCH_RECORDS = 2_000
VALUE = (
    b'{"platform":"jd","order_line_id":"%016d","version":[1767225600000000,3],"status":"paid","gross":12900,'
    b'"commission":1290,"paid_at":1767225600000000,"user_id":"user-%06d","rule":"2026-01","level":"basic",'
    b'"postings":[[%d,"%032x",650],[%d,"%032x",-65]],"attribution":{"special_id":"%020d","pid":"mm_%018d"},'
    b'"refunds":[],"punished":0,"settled_at":null,"note":"%0100x"}'
)


def rows(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Give so many records, the same each time."""
    draw = random.Random(1)
    for number in range(count):
        big = draw.getrandbits(100)
        key = b"line user-%06d jd:%016d" % (draw.randrange(5_000), draw.randrange(10**15))
        yield (
            key,
            VALUE % (number, draw.randrange(5_000), big & 0xFFFF, big, 7, big + 1, big & 0xFFFFF, 9, big),
        )


async def fill(log: Changelog, count: int) -> None:
    """Write records as a stream task does: a transaction for each batch, its watermark last."""
    await log.create()
    producer = AIOKafkaProducer(
        transactional_id=log.topic, max_batch_size=512 * 1_024, linger_ms=0, **log.options
    )
    await producer.start()
    batch: list[tuple[bytes, bytes]] = []
    for number, row in enumerate(rows(count), 1):
        batch.append(row)
        if len(batch) == BATCH_RECORDS or number == count:
            await producer.begin_transaction()
            for kafka_batch in batches(producer, [*batch, (WATERMARK_KEY, watermark_value(number))]):
                await (await producer.send_batch(kafka_batch, log.topic, partition=0))
            await producer.commit_transaction()
            batch.clear()
    await producer.stop()


def batches(producer: AIOKafkaProducer, records: list[tuple[bytes, bytes]]) -> Iterator[BatchBuilder]:
    """Give closed batches that hold the records."""
    batch = producer.create_batch()
    for key, value in records:
        if batch.append(key=key, value=value, timestamp=None) is None:
            batch.close()
            yield batch
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None)
    batch.close()
    yield batch


async def restore_rate(name: str, log: Changelog, stores: list[Store]) -> None:
    """Print how fast the stores are brought to the end, all at once, and who else had to wait how long."""
    waits: list[float] = []

    async def somebody_else() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            waits.append(time.perf_counter() - began - 0.001)

    other = asyncio.create_task(somebody_else())
    began, cpu, own = time.perf_counter(), time.process_time(), time.thread_time()
    done = await asyncio.gather(
        *(restore(log.options, log.topic, 0, store, lambda *_: None) for store in stores)
    )
    seconds, cpu, own = time.perf_counter() - began, time.process_time() - cpu, time.thread_time() - own
    other.cancel()
    waits.sort()
    count = sum(restored.records for restored in done)
    print(
        f"restore into {len(stores)} {name}: {count:,} records in {seconds:.2f} s = "
        f"{count / seconds:,.0f}/s; "
        f"CPU {cpu / count * 1e6:.1f} us each, {own / count * 1e6:.1f} of them in the event loop "
        f"({count / own:,.0f}/s of its own core); others waited p50 {waits[len(waits) // 2] * 1e3:.1f} ms, "
        f"p99 {waits[int(len(waits) * 0.99)] * 1e3:.1f} ms, at most {waits[-1] * 1e3:.1f} ms"
    )


def apply_cost(name: str, store: Store, count: int, batch: int) -> None:
    """Print what one batch costs."""
    records = list(rows(count))
    took = []
    for start in range(0, count, batch):
        changes: dict[bytes, bytes | None] = dict(records[start : start + batch])
        changes[WATERMARK_KEY] = watermark_value(start)
        began = time.perf_counter()
        store.apply(changes, start + batch, 1.0)
        took.append(time.perf_counter() - began)
    took.sort()
    print(
        f"apply {batch} to {name}: p50 {took[len(took) // 2] * 1e3:.2f} ms, "
        f"p99 {took[int(len(took) * 0.99)] * 1e3:.2f} ms, {sum(took) / count * 1e6:.2f} us a record"
    )


def open_times(make: Callable[[int], Store], count: int) -> None:
    """Print how long it takes to open so many stores, empty, then filled."""
    for state in ("new", "closed", "closed"):
        began = time.perf_counter()
        stores = [make(number) for number in range(count)]
        seconds = time.perf_counter() - began
        print(f"open {count} stores ({state}): {seconds * 1e3:.0f} ms")
        for store in stores:
            if store.position == 0:
                store.apply(dict(rows(5_000)), 5_000, 1.0)
            store.close()


async def main(address: str, count: int) -> None:
    """Measure everything."""
    folder = Path(tempfile.mkdtemp())
    resources = RocksDBResources()

    def on_disk(name: str) -> Store:
        return RocksDBStore(folder / name, replace(IDENTITY, topic=name), resources)

    log = Changelog(address, f"measure-{uuid4().hex[:8]}")
    await fill(log, count)
    await restore_rate("memory", log, [MemoryStore()])
    await restore_rate("RocksDB", log, [on_disk("one")])
    await restore_rate("memory", log, [MemoryStore() for _ in range(4)])
    await restore_rate("RocksDB", log, [on_disk(f"four-{number}") for number in range(4)])
    again = on_disk("again")
    await restore(log.options, log.topic, 0, again, lambda *_: None)
    began = time.perf_counter()
    await restore(log.options, log.topic, 0, again, lambda *_: None)
    print(f"restore of nothing missed: {(time.perf_counter() - began) * 1e3:.0f} ms")
    for batch in (100, 1_000, 4_000):
        apply_cost("memory", MemoryStore(), 100_000, batch)
        apply_cost("RocksDB", on_disk(f"apply-{batch}"), 100_000, batch)
    open_times(lambda number: on_disk(f"open-{number}"), 16)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200_000))
