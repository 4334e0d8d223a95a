"""Write facts and the records of the audit trail that name their author, in one transaction.

A worker has one transactional producer for the writes of its web server. While a transaction is under way
further writes wait, and the next one takes them all, so that many writers share its cost. The transactional
id belongs to the worker's URL: a worker that starts at the URL of one that was killed aborts what that one
left open, which otherwise blocks readers of the topics until it times out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from aiokafka.errors import IllegalOperation, KafkaError
from msgspec import Struct

from rebate_app.settings import Settings
from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaProducer, translated
from rebate_app.streams.kafka.clients import discard
from rebate_app.streams.kafka.connection import BrokerAwayError, client_options
from rebate_app.wire.audit_trail import TrailRecord, encode_trail
from rebate_app.wire.failure_headers import Header
from rebate_app.wire.stages import RECORD_BYTES_MAX
from rebate_app.wire.topics import Topics

#: Writes that share a transaction. Each has at most 500 facts, and a worker at most 1,000 connections.
GROUP_WRITES_MAX = 200
REQUEST_BYTES_MAX = 2 * RECORD_BYTES_MAX
START_SECONDS_MAX = 10.0
#: Beyond the time-out of a transaction, for its abort.
ABORT_SECONDS_MAX = 2.0

_FAILURES = (KafkaError, IllegalOperation, OSError, TimeoutError)


log = logging.getLogger(__name__)


class _Write(Struct, eq=False):
    """Facts of one request for one topic, its records of the trail, and the places of the facts to come."""

    topic: str
    records: Sequence[tuple[bytes, bytes]]
    headers: Sequence[Header]
    trail: Sequence[TrailRecord]
    places: asyncio.Future[list[tuple[int, int]]]


class TrailWriter:
    """Writes with one producer, opened at first use or by `start`. Safe for any number of tasks of one loop.

    `count(outcome, records)` is called with "written" or "failed" for records of the trail.
    """

    def __init__(self, settings: Settings, count: Callable[[str, int], None]) -> None:
        self._settings = settings
        self._topic = Topics.of(settings).audit_trail
        self._count = count
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._waiting: list[_Write] = []
        self._committing: asyncio.Task[None] | None = None

    @property
    def transactional_id(self) -> str:
        """Return the producer's transactional id: one for each worker URL."""
        return f"{self._settings.scope}-web-{self._settings.own_url.partition('://')[2]}"

    async def start(self) -> None:
        """Open the producer, which aborts what an older one of this URL left open; BrokerAwayError."""
        await self._ready()

    async def write(
        self,
        trail: Sequence[TrailRecord],
        topic: str = "",
        records: Sequence[tuple[bytes, bytes]] = (),
        headers: Sequence[Header] = (),
    ) -> list[tuple[int, int]]:
        """Write (key, value) pairs to a topic together with their trail; return (partition, offset) of each.

        All or nothing. BrokerAwayError after a bounded time: nothing is to be seen, unless the very end of
        the commit was lost; repeating is right, repeats of facts do no harm.
        """
        write = _Write(topic, records, headers, trail, asyncio.get_running_loop().create_future())
        self._waiting.append(write)
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit_waiting())
        return await write.places

    async def _commit_waiting(self) -> None:
        """Commit what waits, group by group, until nothing does."""
        while self._waiting:
            group, self._waiting = self._waiting[:GROUP_WRITES_MAX], self._waiting[GROUP_WRITES_MAX:]
            records = sum(len(write.trail) for write in group)
            try:
                places = await self._commit(group)
            except BaseException as error:
                self._count("failed", records)
                log.warning("%d records of the audit trail could not be written: %r", records, error)
                for write in group:
                    _fail(write.places, error)
                if not isinstance(error, Exception):  # cancelled: nobody commits what still waits
                    for write in self._waiting:
                        _fail(write.places, error)
                    self._waiting = []
                    raise
            else:
                self._count("written", records)
                for write, found in zip(group, places, strict=True):
                    if not write.places.done():  # nobody waits any more
                        write.places.set_result(found)

    async def _commit(self, group: Sequence[_Write]) -> list[list[tuple[int, int]]]:
        producer = await self._ready()
        bound = self._settings.transaction_timeout
        try:
            with translated():
                async with asyncio.timeout(bound + ABORT_SECONDS_MAX), producer.transaction():
                    async with asyncio.timeout(bound):
                        return await self._send(producer, group)
        except _FAILURES as error:
            await self._renew(producer)
            raise self._away(error) from error
        except BaseException:
            self._producer = None
            await discard(producer)
            raise

    async def _send(self, producer: AIOKafkaProducer, group: Sequence[_Write]) -> list[list[tuple[int, int]]]:
        """Send everything and wait for every acknowledgement, since a commit overlooks a failed send."""
        sent: list[asyncio.Future[Any]] = []
        try:
            for write in group:
                for record in write.trail:
                    key, value = encode_trail(record)
                    sent.append(await producer.send(self._topic, value, key, 0))
                for key, value in write.records:
                    sent.append(
                        await producer.send(write.topic, value, key, headers=list(write.headers) or None)
                    )
            metadata = iter(await asyncio.gather(*map(asyncio.shield, sent)))
        finally:
            for future in sent:
                future.add_done_callback(_seen)
        places = []
        for write in group:
            for _ in write.trail:
                next(metadata)
            found = [next(metadata) for _ in write.records]
            if any(each.offset < 0 for each in found):
                raise KafkaError("the broker took a record and cannot say where it is")
            places.append([(each.partition, each.offset) for each in found])
        return places

    async def _ready(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = self._new_producer()
                try:
                    async with asyncio.timeout(START_SECONDS_MAX):
                        await producer.start()
                except BaseException as error:
                    await discard(producer)
                    if isinstance(error, _FAILURES):
                        raise self._away(error) from error
                    raise
                self._producer = producer
            return self._producer

    async def _renew(self, producer: AIOKafkaProducer) -> None:
        """Replace a producer that failed; the new one aborts the transaction that it may have left open."""
        self._producer = None
        await discard(producer)
        with suppress(BrokerAwayError):
            await self._ready()

    def _new_producer(self) -> AIOKafkaProducer:
        bound_ms = int(self._settings.transaction_timeout * 1_000)
        return AIOKafkaProducer(
            transactional_id=self.transactional_id,
            transaction_timeout_ms=bound_ms,
            request_timeout_ms=bound_ms,
            linger_ms=0,
            max_request_size=REQUEST_BYTES_MAX,
            **client_options(self._settings),
        )

    def _away(self, error: BaseException) -> BrokerAwayError:
        reason = str(error) or type(error).__name__
        if isinstance(error, TimeoutError):
            reason = "no answer in time"
        return BrokerAwayError(f"The broker at {self._settings.broker} cannot be used: {reason}.")

    async def close(self) -> None:
        """Finish what is being committed, and close the producer."""
        if self._committing is not None:
            await asyncio.wait([self._committing], timeout=ABORT_SECONDS_MAX)
        producer, self._producer = self._producer, None
        if producer is not None:
            await discard(producer)


def _fail(places: asyncio.Future[list[tuple[int, int]]], error: BaseException) -> None:
    """Let whoever waits for a write see its failure; each gets an exception of its own."""
    if places.done():
        return
    if isinstance(error, asyncio.CancelledError):
        places.cancel()
    else:
        places.set_exception(BrokerAwayError(str(error)) if isinstance(error, BrokerAwayError) else error)


def _seen(future: asyncio.Future[Any]) -> None:
    """Retrieve a future's exception, so that asyncio does not log it."""
    if not future.cancelled():
        future.exception()
