"""A producer that speaks transactions of version 2 (KIP-890) where the cluster has them (ADR 29).

aiokafka speaks version 1: it adds each partition to a transaction by a request of its own and then writes to
it, and keeps its epoch for as long as it lives. In version 2 the first write to a partition adds it, and the
end of a transaction raises the producer's epoch: a request less for each transaction, and a delayed write of
one transaction is refused in the next. Which of them is spoken is decided when the producer starts, by the
level of `transaction.version` that the cluster has finalised. It overrides private parts of aiokafka 0.14,
which the lock file pins.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from aiokafka.client import CoordinationType
from aiokafka.errors import ConcurrentTransactions, InvalidProducerEpoch, NoError, for_code
from aiokafka.producer.sender import EndTxnHandler, Sender, SendProduceReqHandler
from aiokafka.producer.transaction_manager import PidAndEpoch, TransactionManager
from aiokafka.structs import TopicPartition

from ..kafka.aiokafka_clients import AIOKafkaProducer
from ..kafka.transaction_v2_requests import (
    ALL_REPLICAS,
    EndTxnRequest,
    EndTxnResponse_v5,
    PartitionRecords,
    ProduceRequest,
    ProduceResponse_v12,
    finalized_level,
)

FEATURE = "transaction.version"
VERSION_2 = 2
#: PRODUCER_FENCED, which aiokafka does not know: a newer epoch exists, as with INVALID_PRODUCER_EPOCH.
FENCED_CODE = 90
RETRY_BACKOFF_MS = 100  # aiokafka's own

log = logging.getLogger(__name__)


class VersionedTransactions(TransactionManager):
    """The transactions of one producer, of either version."""

    version = 1

    def maybe_add_partition_to_txn(self, tp: TopicPartition) -> None:
        """Have the partition added by a request of its own, or note that its first write adds it."""
        if self.version < VERSION_2:
            super().maybe_add_partition_to_txn(tp)
            return
        if not self.is_in_transaction():
            raise RuntimeError(f"{self.transactional_id} writes to {tp} outside of a transaction")
        self._txn_partitions.add(tp)

    def begin_epoch(self, producer_id: int, epoch: int) -> None:
        """Take what the end of a transaction gave for the next one; its numbers of records begin at 0."""
        self._pid_and_epoch = PidAndEpoch(producer_id, epoch)
        self._sequence_numbers.clear()


class VersionedSender(Sender):
    """aiokafka's sender, with the writes and ends of either version."""

    async def start(self) -> None:
        """Initialise the producer's id, and find out which version the cluster has finalised."""
        await super().start()
        manager = self._txn_manager
        coordinator = await self._find_coordinator(CoordinationType.TRANSACTION, manager.transactional_id)
        level = await finalized_level(self.client, coordinator, FEATURE)
        manager.version = min(max(level, 1), VERSION_2)
        log.debug("%s uses transactions of version %d", manager.transactional_id, manager.version)

    async def _send_produce_req(self, node_id: int, batches: Mapping[TopicPartition, Any]) -> None:
        if self._txn_manager.version < VERSION_2:
            await super()._send_produce_req(node_id, batches)
            return
        await ProduceHandler(self, batches).do(node_id)
        self._in_flight.remove(node_id)
        self._muted_partitions.difference_update(batches)

    async def _do_txn_commit(self, commit_result: int) -> None:
        manager = self._txn_manager
        if manager.version < VERSION_2:
            await super()._do_txn_commit(commit_result)
            return
        await self._message_accumulator.flush_for_commit()
        if manager.is_empty_transaction():
            manager.complete_transaction()
            return
        coordinator = await self._find_coordinator(CoordinationType.TRANSACTION, manager.transactional_id)
        await EndHandler(self, commit_result).do(coordinator)


class ProduceHandler(SendProduceReqHandler):
    """Writes batches of a transaction of version 2."""

    def create_request(self) -> ProduceRequest:
        """Return the request for these batches."""
        topics: dict[str, list[PartitionRecords]] = {}
        for spot, batch in self._batches.items():
            topics.setdefault(spot.topic, []).append((spot.partition, batch.get_data_buffer()))
        sender = self._sender
        return ProduceRequest(sender._txn_manager.transactional_id, sender._request_timeout_ms, topics)  # noqa: SLF001

    def handle_response(self, response: ProduceResponse_v12) -> None:
        """Settle each batch, or have it sent again."""
        response.topics = [  # as aiokafka reads them: without tags
            (topic, [(number, _known(code), *others) for number, code, *others, _ in partitions])
            for topic, partitions, _ in response.topics
        ]
        super().handle_response(response)

    def _can_retry(self, error: Exception, batch: Any) -> bool:
        """Also while the end of the producer's last transaction is not written everywhere."""
        return isinstance(error, ConcurrentTransactions) or bool(super()._can_retry(error, batch))


class EndHandler(EndTxnHandler):
    """Ends a transaction of version 2."""

    def create_request(self) -> EndTxnRequest:
        """Return the request for the current epoch."""
        manager = self._sender._txn_manager  # noqa: SLF001
        committed = bool(self._commit_result)
        return EndTxnRequest(manager.transactional_id, manager.producer_id, manager.producer_epoch, committed)

    def handle_response(self, response: EndTxnResponse_v5) -> float | None:
        """Begin the next epoch once the transaction has ended; return the seconds until another attempt."""
        response.error_code = _known(response.error_code)
        if for_code(response.error_code) is NoError:
            self._sender._txn_manager.begin_epoch(response.producer_id, response.producer_epoch)  # noqa: SLF001
        backoff: float | None = super().handle_response(response)
        return backoff


def _known(code: int) -> int:
    return int(InvalidProducerEpoch.errno) if code == FENCED_CODE else code


class TransactionalProducer(AIOKafkaProducer):
    """A producer of transactions of the newest version that the cluster has finalised."""

    def __init__(self, *, transactional_id: str, transaction_timeout_ms: int, **options: Any) -> None:
        super().__init__(
            transactional_id=transactional_id, transaction_timeout_ms=transaction_timeout_ms, **options
        )
        manager = VersionedTransactions(transactional_id, transaction_timeout_ms)
        self._txn_manager = self._message_accumulator._txn_manager = manager  # noqa: SLF001
        self._sender = VersionedSender(
            self.client,
            acks=ALL_REPLICAS,
            txn_manager=manager,
            retry_backoff_ms=options.get("retry_backoff_ms", RETRY_BACKOFF_MS),
            message_accumulator=self._message_accumulator,
            request_timeout_ms=self._request_timeout_ms,
        )
