"""Two transactional producers per partition, used in turn: the fence and the commit.

See docs/spec/exactness.md#two-producers.

aiokafka waits 20 ms when one producer begins a transaction right after its last one; with two in
turn a batch costs 3 ms. Both are initialised at takeover, which makes the broker abort what an
older owner left open, finish what it was committing, and refuse every later write of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from aiokafka.errors import (
    IllegalOperation,
    InvalidProducerIdMapping,
    KafkaError,
    ProducerFenced,
    UnknownProducerId,
)
from aiokafka.structs import RecordMetadata

from rebate_app.wire.stages import STATE_BYTES_MAX

from ..errors import FencedError, ProducersExpiredError
from ..kafka.aiokafka_clients import translated
from ..kafka.clients import discard
from .batches import changelog_batches, outgoing_batches
from .collector import OutgoingRecord
from .transactional_producer import TransactionalProducer

IN_TURN = 2
FENCE_SECONDS_MAX = 10.0
BATCH_BYTES_MAX = 512 * 1_024
EXPIRED = (InvalidProducerIdMapping, UnknownProducerId)
FaultPoint = Callable[[str], None]
Sent = asyncio.Future[Any]


def _no_fault(point: str) -> None:
    """Do nothing; the fault rig of the tests passes another function."""
    del point


class PartitionProducers:
    """The producers of one source partition. Only the process that initialised them last can write."""

    def __init__(
        self,
        transactional_id: str,
        options: Mapping[str, Any],
        *,
        transaction_timeout: float,
        partitions: int,
    ) -> None:
        self._ids = [f"{transactional_id}-{number}" for number in range(IN_TURN)]
        self._options = dict(options)
        self._timeout_ms = int(transaction_timeout * 1_000)
        self._partitions = partitions
        self._producers: list[TransactionalProducer] = []
        self._next = 0

    async def fence(self, fault: FaultPoint = _no_fault) -> None:
        """Initialise every id: when this returns, older owners are fenced and their transactions ended.

        TimeoutError: try again. aiokafka itself retries for ever, for example while too few replicas are in
        sync to end a transaction that an older owner left open.
        """
        await self.close()
        self._producers = [self._new_producer(name) for name in self._ids]

        async def initialise(producer: TransactionalProducer) -> None:
            await producer.start()
            fault("initialised-one")

        starts = [asyncio.ensure_future(initialise(producer)) for producer in self._producers]
        try:
            async with asyncio.timeout(FENCE_SECONDS_MAX):
                await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)  # no start goes on in the background
            await self.close()
            raise

    def _new_producer(self, name: str) -> TransactionalProducer:
        return TransactionalProducer(
            transactional_id=name,
            transaction_timeout_ms=self._timeout_ms,
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=STATE_BYTES_MAX,
            linger_ms=0,
            **self._options,
        )

    async def commit(
        self,
        outgoing: Sequence[OutgoingRecord],
        changelog: str,
        partition: int,
        changes: Mapping[bytes, bytes | None],
        fault: FaultPoint = _no_fault,
    ) -> int:
        """Send everything in one transaction; return the changelog offset of the last change, if any.

        Every send is awaited before the commit, since aiokafka's commit does not notice a failed
        one. FencedError: another owner has taken over. ProducersExpiredError: `fence` anew, nothing was
        written. Any other error: the outcome is unknown.
        """
        producer = self._producers[self._next]
        self._next = (self._next + 1) % IN_TURN
        batches = await outgoing_batches(producer, outgoing, self._partitions)
        if changes:
            batches += await changelog_batches(producer, changelog, partition, changes)
        sent: list[Sent] = []
        try:
            with translated():
                await producer.begin_transaction()
                for batch in batches:
                    sent.append(await _send(producer, *batch))  # noqa: PERF401 - kept when a later one fails
                fault("sent")
                acknowledged: list[RecordMetadata] = await asyncio.gather(*map(asyncio.shield, sent))
                fault("acknowledged")
                commit = asyncio.ensure_future(producer.commit_transaction())
                sent.append(commit)
                fault("commit-sent")
                await commit
        except (KafkaError, IllegalOperation) as error:
            meaning = _meaning(producer, error, f"{changelog}/{partition}")
            if meaning is None:
                raise
            raise meaning from error
        finally:
            for future in sent:
                future.add_done_callback(_seen)  # one failure is reported; these outlive a time-out
        return int(acknowledged[-1].offset) + int(batches[-1][0].record_count()) - 1

    async def close(self) -> None:
        """Close the producers; the next owner's fence ends an open transaction."""
        producers, self._producers = self._producers, []
        await asyncio.gather(*(discard(producer) for producer in producers))


async def _send(producer: TransactionalProducer, batch: Any, topic: str, partition: int) -> Sent:
    sent: Sent = await producer.send_batch(batch, topic, partition=partition)
    return sent


def _meaning(producer: TransactionalProducer, error: Exception, where: str) -> Exception | None:
    """Return what to raise in place of a commit's error, by what ended the producer; None for the same."""
    transaction = producer._txn_manager.wait_for_transaction_end()  # noqa: SLF001 - pinned aiokafka
    if transaction is not None:
        transaction.add_done_callback(_seen)
    causes = list(_causes(error))
    sender = producer._sender.sender_task  # noqa: SLF001
    if sender is not None and sender.done() and not sender.cancelled():
        causes += _causes(sender.exception())
    if any(isinstance(cause, EXPIRED) for cause in causes):
        return ProducersExpiredError(f"the producers of {where} have expired")
    if any(isinstance(cause, ProducerFenced) for cause in causes):
        return FencedError(f"another worker has taken {where} over")
    ended: Exception = KafkaError(f"the transaction of {where} ended between two sends: {causes[-1]!r}")
    return ended if isinstance(error, IllegalOperation) else None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _seen(future: Sent) -> None:
    """Retrieve a future's exception, so that asyncio does not log it."""
    if not future.cancelled():
        future.exception()
