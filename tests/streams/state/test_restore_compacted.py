"""Restoring while Kafka's cleaner is at work: batches without records, keys that vanish meanwhile."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rebate_app.streams.state import restore as module
from rebate_app.streams.state.restore import Restored, restore
from rebate_app.streams.state.store import WATERMARK_KEY
from tests.kafka_fixture import guarded, start_on_a_free_port
from tests.rig.waiting import until
from tests.streams.state.changelogs import Changelog
from tests.streams.state.stores import KINDS, open_store, watermark, watermark_value

pytestmark = [pytest.mark.asyncio, pytest.mark.kafka]

CLEAN_SECONDS_MAX = 30.0
SEGMENT_SECONDS = 0.5  # segment.ms: a later record opens the next segment; nothing shows when
CLEANED_AT_ONCE = {
    "segment.ms": "200",
    "min.cleanable.dirty.ratio": "0",
    "min.compaction.lag.ms": "0",
    "delete.retention.ms": "0",
}


@pytest.fixture(scope="module")
def cleaning_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give a Kafka of our own whose cleaner looks for work all the time instead of every 15 seconds."""
    data_dir = tmp_path_factory.mktemp("cleaning-kafka")
    with guarded(data_dir):
        broker = start_on_a_free_port(data_dir, {"log.cleaner.backoff.ms": "100"})
        try:
            yield broker.address
        finally:
            broker.stop()
    shutil.rmtree(data_dir / "data", ignore_errors=True)


async def until_cleaned(log: Changelog, offsets: set[int]) -> None:
    """Wait until the records at these offsets are gone."""

    async def cleaned() -> bool:
        return not offsets & {offset for offset, _, _ in await log.records()}

    await until(cleaned, CLEAN_SECONDS_MAX, f"the cleaner has taken {sorted(offsets)[:10]} away")


@asynccontextmanager
async def transaction(
    log: Changelog, changes: dict[bytes, bytes | None], *, abort: bool = False
) -> AsyncIterator[None]:
    """Write changes before the block, and commit or abort after it."""
    async with log.writer("owner") as producer:
        await producer.begin_transaction()
        await log.write(changes, producer)
        yield
        await (producer.abort_transaction() if abort else producer.commit_transaction())


@pytest.mark.parametrize("kind", KINDS)
async def test_a_log_that_ends_in_an_empty_batch(
    cleaning_kafka: str, topic_prefix: str, kind: str, tmp_path: Path
) -> None:
    """Its last records were taken away by the cleaner: only an empty batch and a marker are left."""
    log = Changelog(cleaning_kafka, f"{topic_prefix}changelog")
    await log.create(**CLEANED_AT_ONCE)
    await log.commit({b"a": b"1", b"b": b"1"})
    async with transaction(log, {b"a": None}):
        await asyncio.sleep(
            SEGMENT_SECONDS
        )  # the marker alone is in the next segment, so the rest can be cleaned
    await until_cleaned(log, {0})  # a tombstone goes when it is met for the second time
    async with transaction(log, {b"c": b"never"}, abort=True):
        await asyncio.sleep(SEGMENT_SECONDS)
    await until_cleaned(log, {3, 5})
    assert [(offset, key) for offset, key, _ in await log.records()] == [(1, b"b")]
    end = await log.end()
    assert end == 7
    store = open_store(kind, tmp_path)
    assert await asyncio.wait_for(restore(log.options, log.topic, 0, store, _ignore), 30) == Restored(
        1, 0, end
    )
    assert dict(store.items()) == {b"b": b"1"}
    store.close()
    behind = open_store(kind, tmp_path / "behind")
    behind.apply({b"b": b"1"}, 4, time.time())
    await asyncio.wait_for(restore(log.options, log.topic, 0, behind, _ignore), 30)
    assert behind.position == end
    behind.close()


def _ignore(position: int, end: int) -> None:
    """Take no notice of progress."""


@pytest.mark.parametrize("kind", KINDS)
async def test_cleaned_while_it_is_written_and_read(
    cleaning_kafka: str, topic_prefix: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is compacted and restored on the way, at each end the store is the log's state."""
    monkeypatch.setattr(module, "SLICE_RECORDS_MAX", 20)
    log = Changelog(cleaning_kafka, f"{topic_prefix}changelog")
    await log.create(**(CLEANED_AT_ONCE | {"delete.retention.ms": "86400000"}))
    draw = random.Random(topic_prefix)
    model: dict[bytes, bytes] = {}
    store = open_store(kind, tmp_path)
    begins: list[int] = []
    for number in range(12):
        changes: dict[bytes, bytes | None] = {
            b"key %d" % draw.randrange(200): draw.choice([None, draw.randbytes(300)]) for _ in range(150)
        }
        changes[WATERMARK_KEY] = watermark_value(number)
        await log.commit(changes)
        for key, value in changes.items():
            if value is None:
                model.pop(key, None)
            elif key != WATERMARK_KEY:
                model[key] = value
        await asyncio.sleep(draw.uniform(0, 0.5))
        restored = await asyncio.wait_for(restore(log.options, log.topic, 0, store, _ignore), 30)
        begins.append(restored.begin)
        assert dict(store.items()) == model
        assert store.watermark == watermark(number)
    assert begins == sorted(set(begins)), "it began anew"
    anew = open_store(kind, tmp_path / "anew")
    whole = await asyncio.wait_for(restore(log.options, log.topic, 0, anew, _ignore), 30)
    assert whole.records < 12 * 130, "nothing was compacted"
    assert dict(anew.items()) == model
    store.close()
    anew.close()
