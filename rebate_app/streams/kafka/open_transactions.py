"""Open transactions on some partitions, and their owners.

A reader with `read_committed` stops at the first record of the oldest open transaction. The leader of a
partition knows the producer id of each, the coordinator its transactional id, when it began and its time-out.
A transaction that no coordinator knows hangs: nobody but an operator ends it. Times are in ms since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.client import CoordinationType
from aiokafka.errors import KafkaError, for_code
from msgspec import Struct
from msgspec.structs import replace

from .aiokafka_clients import AIOKafkaAdminClient
from .clients import with_retries
from .transaction_requests import (
    DescribeProducersRequest,
    DescribeTransactionsRequest,
    ListTransactionsRequest,
)

NOTHING_OPEN = -1
ONGOING = "Ongoing"


class OpenTransaction(Struct, frozen=True):
    """What one producer has open on some partitions: (topic, partition) -> its first offset.

    `transactional_id` None: no coordinator names it. `started_ms`, `timeout_ms`: None where unknown.
    """

    producer_id: int
    first_offsets: Mapping[tuple[str, int], int]
    last_write_ms: int
    transactional_id: str | None = None
    state: str | None = None
    started_ms: int | None = None
    timeout_ms: int | None = None


async def open_transactions(admin: AIOKafkaAdminClient, topics: Iterable[str]) -> list[OpenTransaction]:
    """Return the open transactions of all partitions of the topics, the oldest first.

    KafkaError when a leader cannot be reached or refuses; IncompatibleBrokerVersion before Kafka 2.8.
    """
    names = list(topics)
    return await with_retries(admin._client, lambda: _open_transactions(admin, names))  # noqa: SLF001


async def _open_transactions(admin: AIOKafkaAdminClient, topics: list[str]) -> list[OpenTransaction]:
    found: dict[int, OpenTransaction] = {}
    for node, partitions in (await _by_leader(admin, topics)).items():
        response = await admin._send_request(DescribeProducersRequest(partitions), node)  # noqa: SLF001
        for topic, answers, *_ in response.topics:
            for number, code, _message, producers, *_rest in answers:
                if code:
                    raise for_code(code)(f"{topic}/{number}")
                for producer in producers:
                    _note(found, (topic, number), producer)
    if found:
        await _name(admin, found)
    return sorted(found.values(), key=lambda each: each.started_ms or each.last_write_ms)


async def _by_leader(admin: AIOKafkaAdminClient, topics: list[str]) -> dict[int, dict[str, list[int]]]:
    """Return the topics' partitions by the node that leads them; those without a leader are left out."""
    leaders: dict[int, dict[str, list[int]]] = {}
    for topic in await admin.describe_topics(topics):
        for partition in topic["partitions"]:
            if partition["leader"] >= 0:
                led = leaders.setdefault(partition["leader"], {})
                led.setdefault(topic["topic"], []).append(partition["partition"])
    return leaders


def _note(found: dict[int, OpenTransaction], place: tuple[str, int], producer: Any) -> None:
    producer_id, _epoch, _sequence, last_write_ms, _coordinator_epoch, start, *_ = producer
    if start == NOTHING_OPEN:
        return
    known = found.get(producer_id) or OpenTransaction(producer_id, {}, last_write_ms)
    found[producer_id] = replace(
        known,
        first_offsets={**known.first_offsets, place: start},
        last_write_ms=max(known.last_write_ms, last_write_ms),
    )


async def _name(admin: AIOKafkaAdminClient, found: dict[int, OpenTransaction]) -> None:
    """Add what the coordinators know of these producers; an id that may not be described keeps its name."""
    cluster = await admin.describe_cluster()
    request = ListTransactionsRequest(sorted(found))
    for broker in cluster["brokers"]:
        response = await admin._send_request(request, broker["node_id"])  # noqa: SLF001
        if response.error_code:
            raise for_code(response.error_code)("ListTransactions")
        for transactional_id, producer_id, state, *_ in response.transaction_states:
            named = replace(found[producer_id], transactional_id=transactional_id, state=state)
            found[producer_id] = await _described(admin, named)


async def _described(admin: AIOKafkaAdminClient, named: OpenTransaction) -> OpenTransaction:
    client = admin._client  # noqa: SLF001 - pinned aiokafka
    names = [named.transactional_id or ""]
    try:
        node = await client.coordinator_lookup(CoordinationType.TRANSACTION, names[0])
        response = await admin._send_request(DescribeTransactionsRequest(names), node)  # noqa: SLF001
    except KafkaError:
        return named
    for code, _id, state, timeout_ms, started_ms, *_ in response.transaction_states:
        if not code:
            return replace(
                named, state=state, timeout_ms=timeout_ms, started_ms=started_ms if started_ms >= 0 else None
            )
    return named
