"""Sending records again, and writing down what was decided: together, or not at all.

Law: a replay and the decision that says so are in one transaction, so an operator who is cut off half-way
sees every letter as either open or replayed. Repeating is safe: targets and facts are versioned, and what
was decided is left alone unless it is asked for by its id.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import ParamSpec, Self, TypeVar
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from rebate_app.lane.clients import discard
from rebate_app.lane.connection import BrokerAwayError, client_options
from rebate_app.settings import Settings
from rebate_app.wire.control import SKIPPED_MAX, encode_release
from rebate_app.wire.decisions import DISCARDED, REPLAYED, Decision, encode_decision
from rebate_app.wire.failure_headers import DELIVERED_BY, Header, Place
from rebate_app.wire.moments import format_moment
from rebate_app.wire.topics import KEPT_BYTES_MAX, Topics

from .letters import Letter, replay_headers

BATCH_LETTERS_MAX = 50
SECONDS_MAX = 15.0
P = ParamSpec("P")
T = TypeVar("T")


def _now_us() -> int:
    return time.time_ns() // 1_000


class DeadLetterSender:
    """One operator's session with the broker. Use it as `async with`; BrokerAwayError without an answer."""

    def __init__(self, settings: Settings, clock: Callable[[], int] = _now_us) -> None:
        topics = Topics.of(settings)
        self.replay_id = uuid4().hex[:12]
        self._decisions = topics.decisions
        #: An event that was not delivered goes back to where deliveries wait: others have heard it already.
        self._targets = {topics.events: topics.events_retries[0]}
        self._app = settings.app_id
        self._settings = settings
        self._clock = clock
        self._producer = AIOKafkaProducer(
            transactional_id=f"{settings.scope}-dlq-{self.replay_id}",
            transaction_timeout_ms=int(SECONDS_MAX * 1_000),
            request_timeout_ms=int(SECONDS_MAX * 1_000),
            max_request_size=KEPT_BYTES_MAX,
            **client_options(settings),
        )

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(SECONDS_MAX):
                await self._producer.start()
        except BaseException as error:
            await discard(self._producer)
            if isinstance(error, KafkaError | OSError):  # TimeoutError is an OSError
                raise self._away(error) from error
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await discard(self._producer)

    async def replay(self, letters: Sequence[Letter], by: str, why: str = "") -> list[Place]:
        """Send records again, and close their letters; return where each stands now."""
        places: list[Place] = []
        for begin in range(0, len(letters), BATCH_LETTERS_MAX):
            some = letters[begin : begin + BATCH_LETTERS_MAX]
            places += await self._in_transaction(self._replay, some, by, why)
        return places

    async def _replay(self, letters: Sequence[Letter], by: str, why: str) -> list[Place]:
        now_us = self._clock()
        sent = [
            await self._producer.send(
                self._targets.get(letter.place.topic, letter.place.topic),
                letter.value,
                letter.key,
                letter.place.partition,
                letter.replayed_at(now_us // 1_000),
                self._headers(letter, by),
            )
            for letter in letters
        ]
        places = [Place(told.topic, told.partition, told.offset) for told in await asyncio.gather(*sent)]
        await self._decide(
            [
                (letter.place, Decision(REPLAYED, by, format_moment(now_us), why, str(place), self.replay_id))
                for letter, place in zip(letters, places, strict=True)
            ]
        )
        return places

    def _headers(self, letter: Letter, by: str) -> list[Header]:
        headers = replay_headers(letter, self.replay_id, by)
        if letter.place.topic in self._targets:
            headers.append((DELIVERED_BY, self._settings.scope.encode()))
        return headers

    async def discard(self, places: Sequence[Place], by: str, why: str) -> None:
        """Close letters whose records nobody wants."""
        decision = Decision(DISCARDED, by, format_moment(self._clock()), why)
        await self._in_transaction(self._decide, [(place, decision) for place in places])

    async def release(self, topic: str, partition: int, key: bytes, by: str, skip: list[int]) -> Place:
        """Ask the owner of a parked key to fold what waits for it, but not what is at the offsets `skip`."""
        value = encode_release(self._app, by, sorted(skip)[-SKIPPED_MAX:])
        return await self._in_transaction(self._send, topic, partition, key, value)

    async def _send(self, topic: str, partition: int, key: bytes, value: bytes) -> Place:
        told = await (await self._producer.send(topic, value, key, partition))
        return Place(told.topic, told.partition, told.offset)

    async def _decide(self, decisions: list[tuple[Place, Decision]]) -> None:
        rows = [encode_decision(place, decision) for place, decision in decisions]
        sent = [await self._producer.send(self._decisions, value, key, 0) for key, value in rows]
        await asyncio.gather(*sent)

    async def _in_transaction(self, work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            async with asyncio.timeout(SECONDS_MAX), self._producer.transaction():
                return await work(*args, **kwargs)
        except (KafkaError, OSError, TimeoutError) as error:
            raise self._away(error) from error

    def _away(self, error: BaseException) -> BrokerAwayError:
        said = str(error) or type(error).__name__
        return BrokerAwayError(f"The broker at {self._settings.broker} cannot be used: {said}.")
