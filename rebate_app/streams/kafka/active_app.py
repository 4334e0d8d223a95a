"""Which app is active, from the topic `rebate-active`: read before the start, then followed.

See docs/spec/money-out.md#active-app. The first app of a prefix makes itself active if the user log holds no
decision, attempt or result of another app or another log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError

from rebate_app.wire.active_app import KEY, ActiveRecord, decode_active, encode_active
from rebate_app.wire.facts.owner import payout_author
from rebate_app.wire.facts.payouts import Author
from rebate_app.wire.moments import format_moment
from rebate_app.wire.unreadable import BadRecord, Skip, ignore_skipped

from .aiokafka_clients import AIOKafkaConsumer, AIOKafkaProducer, translated
from .clients import discard, started
from .control_topic import ControlTopic
from .log_reader import SPAN_OPTIONS, SpanReader, whole_spans

FIRST_APP = "the first app of the prefix"
AGAIN_SECONDS = 1.0
SEND_SECONDS_MAX = 10.0
TRANSACTION_MS = 30_000

log = logging.getLogger(__name__)


class ActiveApp(ControlTopic[bytes, ActiveRecord]):
    """What `rebate-active` says; `topic_id` is the id of the user log, set before the start."""

    def __init__(self, topic: str, app: str) -> None:
        super().__init__(topic, decode_active, self._skip_bad)
        self.topic_id = ""
        self.skip: Skip = ignore_skipped  # set before the start, for records that cannot be read
        self.revision = 0
        self._topic = topic
        self._app = app

    def _skip_bad(self, bad: BadRecord) -> None:
        self.skip(bad)

    @property
    def record(self) -> ActiveRecord | None:
        """Return the record that holds, None without one or when it is about another log."""
        found = self.entries.get(KEY)
        return found if found is not None and found.topic_id == self.topic_id else None

    def is_active(self) -> bool:
        """Return whether this app decides and pays."""
        record = self.record
        return record is not None and record.app == self._app

    def activation(self) -> str:
        """Return what names the activation that holds, "" without one."""
        record = self.record
        return "" if record is None else record.at

    async def watch(
        self, options: Mapping[str, Any], user_log: tuple[str, int], changed: Callable[[], None]
    ) -> None:
        """Become active if no app is and this one may; then follow the topic until cancelled.

        `user_log`: topic and number of partitions. The broker's failures are waited for.
        """

        def note() -> None:
            self.revision += 1
            changed()

        while True:
            try:
                if self.record is None:
                    await self._become_first(options, user_log)
                await self.follow(options, note)
            except (KafkaError, IllegalOperation, OSError) as error:
                log.warning("%s cannot be followed for now: %r", self._topic, error)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _become_first(self, options: Mapping[str, Any], user_log: tuple[str, int]) -> None:
        """Make this app active unless another one is, or the log knows of other decisions.

        All who do so share one transactional id, so one that begins ends the others, which read again.
        """
        await self.read_once(options)
        if self.record is not None:
            return
        author = await _foreign_author(options, user_log, Author(self._app, self.topic_id))
        if author is not None:
            log.warning(
                "no app is active, and no withdrawal is decided: the user log has payouts of %s in log %s",
                author.app,
                author.topic_id,
            )
            return
        producer = AIOKafkaProducer(
            transactional_id=self._topic, transaction_timeout_ms=TRANSACTION_MS, **options
        )
        try:
            async with asyncio.timeout(SEND_SECONDS_MAX):
                await producer.start()
            await self.read_once(options)
            if self.record is None:
                await self._send(producer)
        finally:
            await discard(producer)
        await self.read_once(options)

    async def _send(self, producer: AIOKafkaProducer) -> None:
        at = format_moment(time.time_ns() // 1_000)
        key, value = encode_active(ActiveRecord(self._app, self.topic_id, at, FIRST_APP))
        with translated():
            async with asyncio.timeout(SEND_SECONDS_MAX), producer.transaction():
                await producer.send_and_wait(self._topic, value, key=key, partition=0)
        log.info("%s is active: it decides withdrawals and pays them", self._app)


async def _foreign_author(
    options: Mapping[str, Any], user_log: tuple[str, int], own: Author
) -> Author | None:
    """Return another author of decisions, attempts or results in the log, None when there is none."""
    topic, partitions = user_log
    spots = [TopicPartition(topic, number) for number in range(partitions)]
    async with started(AIOKafkaConsumer(**SPAN_OPTIONS, **options)) as consumer:
        reader = SpanReader(consumer, await whole_spans(consumer, spots))
        while reader.waiting:
            for records in (await reader.poll()).values():
                for record in records:
                    author = payout_author(record.value)
                    if author is not None and author != own:
                        return author
    return None
