"""Turns the records of a changelog partition into changes for a store.

Changes are held back behind a watermark that cannot be read, so a store never holds records newer than its
watermark. A newer readable watermark replaces an unreadable one; without it the state is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition

from rebate_app.wire.failure_headers import Place
from rebate_app.wire.unreadable import BadRecord, UnreadableValueError

from ..errors import UnreadableRecordError, UnreadableStateError
from ..kafka.aiokafka_clients import AIOKafkaConsumer
from ..kafka.clients import started
from ..kafka.log_reader import SPAN_OPTIONS, SpanReader, whole_spans
from .store import WATERMARK_KEY, decode_watermark

REBUILD = "restore the topic from a backup, or build everything anew under a new REBATE_APP_ID"
#: A changelog is read within seconds; the worker ends in any case, with an error that names the key.
LOCATE_SECONDS_MAX = 30.0

log = logging.getLogger(__name__)


def watermark_fault(topic_partition: TopicPartition, record: Any) -> BadRecord | None:
    """Return the fault of a watermark's record, None when it can be read."""
    try:
        decode_watermark(record.value)
    except UnreadableValueError as error:
        place = Place(topic_partition.topic, topic_partition.partition, record.offset)
        return BadRecord(place, f"this watermark is lost: {error}", REBUILD)
    return None


def refuse_keyless(topic_partition: TopicPartition, records: Sequence[Any]) -> None:
    """Raise UnreadableRecordError for a record without a key, which names no record to change."""
    for record in records:
        if record.key is None:
            place = Place(topic_partition.topic, topic_partition.partition, record.offset)
            raise UnreadableRecordError(BadRecord(place, "it has no key", REBUILD))


async def locate_unreadable_state(
    options: Mapping[str, Any], topic_partition: TopicPartition, error: UnreadableStateError
) -> UnreadableRecordError:
    """Return the error with the place of the newest record under its key.

    KafkaError, TimeoutError: the place cannot be found.
    """
    offset = -1
    client = AIOKafkaConsumer(**SPAN_OPTIONS, **options)
    async with asyncio.timeout(LOCATE_SECONDS_MAX), started(client) as consumer:
        reader = SpanReader(consumer, await whole_spans(consumer, [topic_partition]))
        while reader.waiting:
            for record in (await reader.poll()).get(topic_partition, ()):
                offset = record.offset if record.key == error.key else offset
    if offset < 0:
        raise TimeoutError(f"no record has the key {error.key!r}")
    place = Place(topic_partition.topic, topic_partition.partition, offset)
    return UnreadableRecordError(BadRecord(place, f"{error.fault} (key {error.key!r})", REBUILD))


class ChangelogRecords:
    """The records of one partition in order: `take` whatever is read, then `refuse_unreadable`."""

    def __init__(self, topic_partition: TopicPartition) -> None:
        self._topic_partition = topic_partition
        self._held_back: dict[bytes, bytes | None] = {}
        self._bad: BadRecord | None = None

    def take(self, records: Sequence[Any]) -> Mapping[bytes, bytes | None]:
        """Return the changes up to the last record; none while the newest watermark cannot be read.

        UnreadableRecordError for a record without a key.
        """
        changes = {record.key: record.value for record in records}
        if None in changes:
            refuse_keyless(self._topic_partition, records)
        if WATERMARK_KEY in changes:
            self._check_watermarks(records)
        if self._bad is None and not self._held_back:
            return changes
        self._held_back |= changes
        if self._bad is not None:
            return {}
        changes, self._held_back = self._held_back, {}
        return changes

    def refuse_unreadable(self) -> None:
        """Raise UnreadableRecordError when the newest watermark cannot be read."""
        if self._bad is not None:
            raise UnreadableRecordError(self._bad)

    def _check_watermarks(self, records: Sequence[Any]) -> None:
        for record in records:
            if record.key == WATERMARK_KEY:
                self._bad = watermark_fault(self._topic_partition, record)
                if self._bad is not None:
                    log.error("%s; only a newer watermark replaces it", self._bad)
