"""Two transactional producers per partition, used in turn: the fence and the commit (design.md 3).

aiokafka waits 20 ms when one producer begins a transaction right after its last one; with two in
turn a chunk costs 3 ms. Both are initialised at takeover, which makes the broker abort what an
older owner left open, finish what it had committed, and refuse every later write of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, ProducerFenced
from aiokafka.structs import RecordMetadata

from rebate_app.wire.topics import STATE_BYTES_MAX

from .batches import changelog_batches, outgoing_batches
from .clients import discard
from .failures import FencedError
from .outbox import Outgoing

IN_TURN = 2
FENCE_SECONDS_MAX = 10.0
BATCH_BYTES_MAX = 512 * 1_024
FaultPoint = Callable[[str], None]
Sent = asyncio.Future[Any]


def _no_fault(point: str) -> None:
    """Do nothing: the fault rig of the tests puts its own in this place."""
    del point


class PartitionProducers:
    """The producers of one source partition. Whoever has initialised them last is the only writer."""

    def __init__(
        self,
        transactional_id: str,
        options: Mapping[str, Any],
        *,
        transaction_timeout: float,
        partitions: int,
    ) -> None:
        self._ids = [f"{transactional_id}-{turn}" for turn in range(IN_TURN)]
        self._options = dict(options)
        self._timeout_ms = int(transaction_timeout * 1_000)
        self._partitions = partitions
        self._producers: list[AIOKafkaProducer] = []
        self._turn = 0

    async def fence(self, fault: FaultPoint = _no_fault) -> None:
        """Initialise every id: older owners are fenced and their transactions ended when this returns.

        TimeoutError: it may be tried again. aiokafka asks for ever, for example while too few replicas
        are in sync for the end of what an older owner left open.
        """
        await self.close()
        self._producers = [self._new_producer(name) for name in self._ids]

        async def initialise(producer: AIOKafkaProducer) -> None:
            await producer.start()
            fault("initialised-one")

        starts = [asyncio.ensure_future(initialise(producer)) for producer in self._producers]
        try:
            async with asyncio.timeout(FENCE_SECONDS_MAX):
                await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)  # nothing starts behind our back
            await self.close()
            raise

    def _new_producer(self, name: str) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            transactional_id=name,
            transaction_timeout_ms=self._timeout_ms,
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=STATE_BYTES_MAX,
            linger_ms=0,
            **self._options,
        )

    async def commit(
        self,
        outgoing: Sequence[Outgoing],
        changelog: str,
        partition: int,
        changes: Mapping[bytes, bytes | None],
        fault: FaultPoint = _no_fault,
    ) -> int:
        """Send everything in one transaction; return the changelog offset of the last change.

        Every send is awaited before the commit, since aiokafka's commit does not notice a failed
        one. FencedError: another owner has taken over. Any other error: the outcome is unknown.
        """
        producer = self._producers[self._turn]
        self._turn = (self._turn + 1) % IN_TURN
        batches = await outgoing_batches(producer, outgoing, self._partitions)
        batches += await changelog_batches(producer, changelog, partition, changes)
        sent: list[Sent] = []
        try:
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
        except (ProducerFenced, IllegalOperation) as error:
            # A fence that is noticed between two sends ends the transaction under the second one's feet.
            raise FencedError(f"another worker has taken {changelog}/{partition} over") from error
        finally:
            for future in sent:
                future.add_done_callback(_seen)  # one failure tells enough, and these outlive a time-out
        return int(acknowledged[-1].offset) + int(batches[-1][0].record_count()) - 1

    async def close(self) -> None:
        """End the producers; an open transaction is left to the next owner's fence."""
        producers, self._producers = self._producers, []
        await asyncio.gather(*(discard(producer) for producer in producers))


async def _send(producer: AIOKafkaProducer, batch: Any, topic: str, partition: int) -> Sent:
    sent: Sent = await producer.send_batch(batch, topic, partition=partition)
    return sent


def _seen(future: Sent) -> None:
    """Take note of a future's exception, so that nobody is told that it was never retrieved."""
    if not future.cancelled():
        future.exception()
