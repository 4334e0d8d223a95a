"""Control topics: small topics that every worker reads from the beginning and may follow (ADR 17).

A control topic has one partition. Its decoder is total: it returns an entry, or None for a record of
somebody else, or raises UnreadableValueError. A record that cannot be decoded decides nothing and goes to
`skip`, unless the topic overrides `unreadable`. A null value is a tombstone. Of several records under one key
the first or the last one holds (`Precedence`). Reading is `read_committed`, up to the last stable offset.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from enum import Enum
from typing import Any, Generic, TypeVar

from aiokafka import TopicPartition

from rebate_app.wire.failure_headers import Place
from rebate_app.wire.unreadable import SKIPPED_REMEDY, BadRecord, Skip, UnreadableValueError, ignore_skipped

from .aiokafka_clients import AIOKafkaConsumer
from .clients import started
from .log_reader import SPAN_OPTIONS, SpanReader, fetch, whole_spans

FOLLOW_POLL_MS = 500
#: A record that comes ends the wait at once: with the 10 ms of a span, each topic that is followed would cost
#: the worker and the broker a hundred requests a second for nothing.
FOLLOW_OPTIONS: Mapping[str, Any] = {**SPAN_OPTIONS, "fetch_max_wait_ms": FOLLOW_POLL_MS}

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
#: (key, value) of a record -> (key, entry, None for a tombstone); None: the record belongs to somebody else.
Decode = Callable[[bytes | None, bytes | None], tuple[K, V | None] | None]


class Precedence(Enum):
    """Which of several records under one key holds."""

    FIRST_RECORD_WINS = "first"
    LAST_RECORD_HOLDS = "last"


class ControlTopic(Generic[K, V]):
    """What a control topic holds: `entries` in the order of the log, up to and without `position`."""

    def __init__(
        self,
        topic: str,
        decode: Decode[K, V],
        skip: Skip = ignore_skipped,
        precedence: Precedence = Precedence.LAST_RECORD_HOLDS,
    ) -> None:
        self.entries: dict[K, V] = {}
        self.position = 0
        self._topic_partition = TopicPartition(topic, 0)
        self._decode = decode
        self._skip = skip
        self._precedence = precedence

    def take(self, record: Any) -> bool:
        """Take one record, whatever it is; return whether the entries may have changed."""
        self.position = record.offset + 1
        try:
            decoded = self._decode(record.key, record.value)
        except UnreadableValueError as error:
            place = Place(record.topic, record.partition, record.offset)
            return self.unreadable(record.key, BadRecord(place, str(error), SKIPPED_REMEDY))
        if decoded is None:
            return False
        key, entry = decoded
        if self._precedence is Precedence.FIRST_RECORD_WINS:
            if entry is None or key in self.entries:
                return False
            self.entries[key] = entry
        elif entry is None:
            self.entries.pop(key, None)
        else:
            self.entries[key] = entry
        return True

    def unreadable(self, key: bytes | None, bad: BadRecord) -> bool:
        """Take a record that cannot be decoded: skip it; return whether the entries changed."""
        del key
        self._skip(bad)
        return False

    async def read(self, consumer: AIOKafkaConsumer) -> Mapping[K, V]:
        """Read on to the end of now with a connected consumer; return what the topic holds.

        KafkaError, LogStalledError among them: try again; what was read so far is kept and joins.
        """
        begin, end = (await whole_spans(consumer, [self._topic_partition]))[self._topic_partition]
        if self.position > end:  # the topic was made anew
            self.position = 0
            self.entries.clear()
        start = max(self.position, begin)
        reader = SpanReader(consumer, {self._topic_partition: (start, end)})
        while reader.waiting:
            for records in (await reader.poll()).values():
                for record in records:
                    self.take(record)
        self.position = max(start, end)
        return self.entries

    async def read_once(self, options: Mapping[str, Any]) -> Mapping[K, V]:
        """Read on to the end of now with a consumer of its own; return what the topic holds."""
        async with started(AIOKafkaConsumer(**SPAN_OPTIONS, **options)) as consumer:
            return await self.read(consumer)

    async def follow(self, options: Mapping[str, Any], changed: Callable[[], None]) -> None:
        """Read to the end of now, call `changed`, then call it again after each change, until cancelled.

        KafkaError: call it again; what was read so far is kept and joins.
        """
        async with started(AIOKafkaConsumer(**FOLLOW_OPTIONS, **options)) as consumer:
            await self.read(consumer)
            changed()
            consumer.assign([self._topic_partition])
            consumer.seek(self._topic_partition, self.position)
            while True:
                fetched = await fetch(consumer, self._topic_partition, timeout_ms=FOLLOW_POLL_MS)
                for records in fetched.values():
                    took = [self.take(record) for record in records]
                    if any(took):
                        changed()
