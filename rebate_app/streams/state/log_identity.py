"""Reads the ids of the cluster and of topics, by which a state recognises the logs that it was made from.

A topic that was deleted and created again has the same name and may have the same offsets; its topic id
differs. aiokafka 0.14 knows Metadata up to version 5 and topic ids need version 10, so that request is
defined here. A broker older than 2.8 has a cluster id only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any
from uuid import UUID

from aiokafka.errors import KafkaError
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)
from msgspec import Struct

from ..kafka.admin import BrokerUnavailableError
from ..kafka.aiokafka_clients import AIOKafkaClient
from ..kafka.clients import with_retries

NO_ID = UUID(int=0)
ANSWER_SECONDS_MAX = 30.0


class LogIds(Struct, frozen=True):
    """Cluster id, and topic ids by topic name; an old broker's topics have no id.

    `leaders`: of each topic that exists, the leader of each partition, -1 while it has none.
    """

    cluster: str
    topics: dict[str, str]
    leaders: dict[str, dict[int, int]] = {}


class _Uuid(AbstractType[UUID]):
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


_TAGS = ("tags", TaggedFields)
_BROKER = (
    ("node_id", Int32),
    ("host", CompactString("utf-8")),
    ("port", Int32),
    ("rack", CompactString("utf-8")),
)
_PARTITION = (
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", CompactArray(Int32)),
    ("isr", CompactArray(Int32)),
    ("offline_replicas", CompactArray(Int32)),
)
_TOPIC = (
    ("error_code", Int16),
    ("topic", CompactString("utf-8")),
    ("topic_id", _Uuid),
    ("is_internal", Boolean),
    ("partitions", CompactArray(*_PARTITION, _TAGS)),
    ("topic_authorized_operations", Int32),
)


class _MetadataResponseV10(Response):
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(*_BROKER, _TAGS)),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        ("topics", CompactArray(*_TOPIC, _TAGS)),
        ("cluster_authorized_operations", Int32),
        _TAGS,
    )


class _MetadataRequestV10(RequestStruct):
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponseV10
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        _TAGS,
    )


class _IdsRequest(Request[_MetadataRequestV10]):
    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequestV10]) -> _MetadataRequestV10:
        return request_struct_class([(NO_ID, name, {}) for name in self._topics], False, False, False, {})


async def log_ids(options: Mapping[str, Any], topics: Sequence[str]) -> LogIds:
    """Return the ids of the cluster and of these topics. BrokerUnavailableError: no broker answers."""
    client = AIOKafkaClient(**options)
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await client.bootstrap()
            return await with_retries(client, lambda: request_ids(client, topics))
    except (KafkaError, OSError) as error:  # TimeoutError is an OSError
        raise BrokerUnavailableError(f"the broker does not return its cluster id: {error!r}") from error
    finally:
        await client.close()


async def request_ids(client: AIOKafkaClient, topics: Sequence[str]) -> LogIds:
    """Return the ids of the cluster and of these topics, as any of its nodes knows them now."""
    node = client.get_random_node()
    try:
        response = await client.send(node, _IdsRequest(topics))
    except NotImplementedError:  # a broker before 2.8
        response = await client.send(node, MetadataRequest(list(topics)))
        found = [(code, name, NO_ID, partitions) for code, name, _, partitions in response.topics]
    else:
        found = [(code, name, topic_id, parts) for code, name, topic_id, _, parts, *_ in response.topics]
    return LogIds(
        str(response.cluster_id),
        {name: str(topic_id) for code, name, topic_id, _ in found if not code and topic_id != NO_ID},
        {name: {part[1]: part[2] for part in parts} for code, name, _, parts in found if not code},
    )
