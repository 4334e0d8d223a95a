"""Send the records of dead letters again and record the decisions, in one transaction.

An operator whose command is interrupted finds every letter either open or replayed. Repeating is safe:
targets and facts are versioned, and a decided letter is left alone unless it is named by its id.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import ParamSpec, Self, TypeVar
from uuid import uuid4

from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from rebate_app.settings import Settings
from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaProducer, translated
from rebate_app.streams.kafka.clients import discard
from rebate_app.streams.kafka.connection import BrokerAwayError, client_options
from rebate_app.wire.control import SKIPPED_MAX, encode_release
from rebate_app.wire.decisions import DISCARDED, REPLAYED, Decision, encode_decision
from rebate_app.wire.failure_headers import DELIVERED_BY, Header, Place
from rebate_app.wire.moments import format_moment
from rebate_app.wire.topics import Topics

from .dead_letter import DeadLetter, replay_headers

TRANSACTION_SECONDS_MAX = 15.0
#: Most bytes of one request to the broker (its default of socket.request.max.bytes is 100 MiB).
CLIENT_BYTES_MAX = 64 * 1_048_576
TOO_LARGE_ERRORS = (MessageSizeTooLargeError, RecordListTooLargeError)
P = ParamSpec("P")
T = TypeVar("T")


class RecordTooLargeError(Exception):
    """The client or a topic refused a record for its size; nothing of the transaction was committed."""


def _now_us() -> int:
    return time.time_ns() // 1_000


def replay_topic(settings: Settings, source: str) -> str:
    """Return the topic to which a letter of this source is replayed.

    An undelivered event goes to the first retry topic: other consumers of rebate-events have read it.
    """
    topics = Topics.of(settings)
    return topics.events_retry_10s if source == topics.events else source


class DeadLetterSender:
    """A transactional producer for one operator's command. `async with`.

    `trail`: records of the audit trail as (key, value), which go into the first transaction; the list is
    empty once they are committed. BrokerAwayError if the broker does not answer.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], int] = _now_us,
        trail: list[tuple[bytes, bytes]] | None = None,
    ) -> None:
        topics = Topics.of(settings)
        self.replay_id = uuid4().hex[:12]
        self._trail = [] if trail is None else trail
        self._trail_topic = topics.audit_trail
        self._decisions = topics.decisions
        self._events = topics.events
        self._app = settings.app_id
        self._settings = settings
        self._clock = clock
        self._producer = self._new_producer()

    def _new_producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            transactional_id=f"{self._settings.scope}-dlq-{self.replay_id}",
            transaction_timeout_ms=int(TRANSACTION_SECONDS_MAX * 1_000),
            request_timeout_ms=int(TRANSACTION_SECONDS_MAX * 1_000),
            max_request_size=CLIENT_BYTES_MAX,
            **client_options(self._settings),
        )

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def _start(self) -> None:
        try:
            async with asyncio.timeout(TRANSACTION_SECONDS_MAX):
                await self._producer.start()
        except BaseException as error:
            await discard(self._producer)
            if isinstance(error, KafkaError | OSError):  # TimeoutError is an OSError
                raise self._away(error) from error
            raise

    async def __aexit__(self, *_: object) -> None:
        await discard(self._producer)

    async def replay(self, letters: Sequence[DeadLetter], by: str, why: str = "") -> list[Place]:
        """Send records again, and close their letters, in one transaction; return the new place of each.

        RecordTooLargeError: one of them is too large, and none was sent.
        """
        return await self._in_transaction(self._replay, letters, by, why)

    async def _replay(self, letters: Sequence[DeadLetter], by: str, why: str) -> list[Place]:
        now_us = self._clock()
        sent = [
            await self._producer.send(
                replay_topic(self._settings, letter.place.topic),
                letter.value,
                letter.key,
                letter.place.partition,
                letter.replayed_at(now_us // 1_000),
                self._headers(letter, by),
            )
            for letter in letters
        ]
        places = [
            Place(metadata.topic, metadata.partition, metadata.offset)
            for metadata in await asyncio.gather(*sent)
        ]
        await self._decide(
            [
                (letter.place, Decision(REPLAYED, by, format_moment(now_us), why, str(place), self.replay_id))
                for letter, place in zip(letters, places, strict=True)
            ]
        )
        return places

    def _headers(self, letter: DeadLetter, by: str) -> list[Header]:
        headers = replay_headers(letter, self.replay_id, by)
        if letter.place.topic == self._events:
            headers.append((DELIVERED_BY, self._settings.scope.encode()))
        return headers

    async def discard(self, places: Sequence[Place], by: str, why: str) -> None:
        """Close letters without sending their records."""
        decision = Decision(DISCARDED, by, format_moment(self._clock()), why)
        await self._in_transaction(self._decide, [(place, decision) for place in places])

    async def release(self, topic: str, partition: int, key: bytes, by: str, skip: list[int]) -> Place:
        """Send a parked key's owner the message to fold its records, but those at the offsets `skip`."""
        value = encode_release(self._app, by, sorted(skip)[-SKIPPED_MAX:])
        return await self._in_transaction(self._send, topic, partition, key, value)

    async def _send(self, topic: str, partition: int, key: bytes, value: bytes) -> Place:
        metadata = await (await self._producer.send(topic, value, key, partition))
        return Place(metadata.topic, metadata.partition, metadata.offset)

    async def _decide(self, decisions: list[tuple[Place, Decision]]) -> None:
        rows = [encode_decision(place, decision) for place, decision in decisions]
        sent = [await self._producer.send(self._decisions, value, key, 0) for key, value in rows]
        await asyncio.gather(*sent)

    async def _in_transaction(self, work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with translated():
                async with asyncio.timeout(TRANSACTION_SECONDS_MAX), self._producer.transaction():
                    await self._send_trail()
                    found = await work(*args, **kwargs)
        except TOO_LARGE_ERRORS as error:
            await self._renew()
            raise RecordTooLargeError(str(error)) from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise self._away(error) from error
        self._trail.clear()
        return found

    async def _send_trail(self) -> None:
        sent = [await self._producer.send(self._trail_topic, value, key, 0) for key, value in self._trail]
        await asyncio.gather(*sent)

    async def write_trail(self) -> None:
        """Write the records of the trail alone, where no transaction has taken them."""
        if self._trail:
            await self._in_transaction(self._decide, [])

    async def _renew(self) -> None:
        """Replace the producer: the sequence number of the refused record is spent."""
        await discard(self._producer)
        self._producer = self._new_producer()
        await self._start()

    def _away(self, error: BaseException) -> BrokerAwayError:
        reason = str(error) or type(error).__name__
        return BrokerAwayError(f"The broker at {self._settings.broker} cannot be used: {reason}.")
