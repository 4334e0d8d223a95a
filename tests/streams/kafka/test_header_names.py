"""Header names that are not UTF-8: escaped and marked; all else in a fetch is read as aiokafka reads it."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.codec import gzip_encode
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaProducer
from rebate_app.streams.kafka.clients import PatientAdmin, started
from rebate_app.streams.kafka.header_names import (
    EscapingPartitionRecords,
    RetainedRecords,
    UndecodableName,
    plain_headers,
    undecodable_name,
)
from rebate_app.streams.kafka.records import record_of
from tests.rig.header_names import CHECKED_FROM, CRC_AT, ESCAPED_NAME, PLACEHOLDER, with_raw_names

SPOT = TopicPartition("t", 0)
HEADER_BYTES, LENGTH_AT, ATTRIBUTES_AT = 61, 8, 21
GOOD, BAD = "näme", PLACEHOLDER
PRODUCER_ID = 7


def batch_of(base: int, *names: str, compressed: bool = False, producer_id: int = -1) -> bytes:
    """Return a batch with a record per header name, at offsets from `base` on."""
    transactional = int(producer_id >= 0)
    builder = DefaultRecordBatchBuilder(2, 0, transactional, producer_id, 0, 0, 1_000_000)
    for number, name in enumerate(names):
        builder.append(
            number, 1_000 + number, b"k", b"value-%d" % (base + number), [(name, b"1"), ("x", None)]
        )
    raw = bytearray(with_raw_names(bytes(builder.build())))
    struct.pack_into(">q", raw, 0, base)
    return as_gzip(raw) if compressed else bytes(raw)


def as_gzip(raw: bytearray) -> bytes:
    """Return the batch with its records compressed."""
    whole = raw[:HEADER_BYTES] + gzip_encode(bytes(raw[HEADER_BYTES:]))
    struct.pack_into(">i", whole, LENGTH_AT, len(whole) - 12)
    struct.pack_into(">h", whole, ATTRIBUTES_AT, 1)
    return checked(whole)


def checked(whole: bytearray) -> bytes:
    """Return the batch with the right checksum."""
    struct.pack_into(">I", whole, CRC_AT, calc_crc32c(bytes(whole[CHECKED_FROM:])))
    return bytes(whole)


def fetched(
    data: bytes, offset: int = 0, aborted: list[tuple[int, int]] | None = None
) -> EscapingPartitionRecords:
    """Return the records of a fetch as aiokafka's fetcher makes them."""
    records = RetainedRecords(data)
    return EscapingPartitionRecords(SPOT, records, aborted, offset, None, None, True, READ_COMMITTED)


def names_of(records: Any) -> list[tuple[int, str]]:
    """Return offset and first header name of each."""
    return [(record.offset, record.headers[0][0]) for record in records]


class TestReading:
    """What a fetch has in it."""

    @pytest.mark.parametrize("compressed", [False, True])
    def test_every_record_arrives_once_and_in_order(self, compressed: bool) -> None:
        """Bad names in the first, a middle and the last place, and in two batches of one fetch."""
        data = (
            batch_of(0, GOOD, BAD, GOOD, compressed=compressed)
            + batch_of(3, GOOD, GOOD)
            + batch_of(5, BAD, GOOD, BAD, compressed=compressed)
        )
        records = fetched(data)
        found = list(records)
        escaped = [offset for offset, name in names_of(found) if name == ESCAPED_NAME]
        assert [record.offset for record in found] == list(range(8))
        assert escaped == [1, 5, 7]
        assert {name for offset, name in names_of(found) if offset not in escaped} == {GOOD}
        assert [record.value for record in found] == [b"value-%d" % offset for offset in range(8)]
        assert [record.timestamp for record in found] == [
            1_000,
            1_001,
            1_002,
            1_000,
            1_001,
            1_000,
            1_001,
            1_002,
        ]
        assert {record.headers[1] for record in found} == {("x", None)}
        assert records.next_fetch_offset == 8

    def test_a_fetch_from_the_middle_of_a_batch(self) -> None:
        """Nothing before the position is read again."""
        data = batch_of(2, BAD, GOOD, BAD) + batch_of(5, BAD)
        assert names_of(fetched(data, 3)) == [(3, GOOD), (4, ESCAPED_NAME), (5, ESCAPED_NAME)]

    def test_what_was_aborted_stays_unread(self) -> None:
        """The transactions of a fetch that is read again are known."""
        data = (
            batch_of(0, BAD)
            + batch_of(1, BAD, producer_id=PRODUCER_ID)
            + batch_of(2, BAD, producer_id=PRODUCER_ID + 1)
        )
        assert names_of(fetched(data, 0, [(PRODUCER_ID, 1)])) == [(0, ESCAPED_NAME), (2, ESCAPED_NAME)]

    def test_the_engines_records_are_marked(self) -> None:
        """Whichever class the records are made of."""
        records = fetched(batch_of(0, BAD, GOOD))
        records._consumer_record = record_of
        bad, good = list(records)
        assert undecodable_name(bad.headers) == ESCAPED_NAME
        assert undecodable_name(good.headers) is None
        assert type(bad.headers[0][0]) is UndecodableName
        assert type(plain_headers(bad.headers)[0][0]) is str

    def test_damage_is_still_damage(self) -> None:
        """A batch whose checksum does not fit, behind one with a bad name."""
        damaged = bytearray(batch_of(1, GOOD))
        damaged[-3] ^= 0xFF
        records = fetched(batch_of(0, BAD) + bytes(damaged))
        assert next(records).offset == 0
        with pytest.raises(CorruptRecordException):
            next(records)

    def test_a_record_cut_short_is_damage(self) -> None:
        """Its length does not fit, in the batch that is read again."""
        whole = bytearray(batch_of(0, BAD))
        whole[HEADER_BYTES] += 2
        with pytest.raises(CorruptRecordException):
            list(fetched(checked(whole)))


def test_a_producer_takes_escaped_names(kafka: str, topic_prefix: str) -> None:
    """Whoever sends a copy of such a record can."""

    async def work() -> None:
        topic = f"{topic_prefix}t"
        async with started(PatientAdmin(bootstrap_servers=kafka)) as admin:
            await admin.create_topics([NewTopic(topic, 1, 1)])
        async with started(AIOKafkaProducer(bootstrap_servers=kafka)) as producer:
            await producer.send_and_wait(topic, b"v", headers=[(UndecodableName("x\\xff"), b"1")])

    asyncio.run(work())
