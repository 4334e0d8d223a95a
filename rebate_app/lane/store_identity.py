"""Which log this is: the cluster's id and the topics' ids, by which a store on disk knows its own.

A changelog that was deleted and created again has the same name and may have the same offsets; its
topic id differs. aiokafka 0.14 speaks Metadata up to version 5, ids come with version 10, so that one
request is written down here. A broker older than 2.8 tells the cluster's id only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any
from uuid import UUID

from aiokafka.client import AIOKafkaClient
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

from .admin import BrokerUnavailableError
from .clients import patiently

NO_ID = UUID(int=0)
ANSWERED_WITHIN_S = 30.0


class LogIds(Struct, frozen=True):
    """Cluster id and topic ids by topic name; a topic without an id is one of an old broker."""

    cluster: str
    topics: dict[str, str]


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
    """Return the ids of the cluster and of these topics. BrokerUnavailableError: it did not answer."""
    client = AIOKafkaClient(**options)
    try:
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            await client.bootstrap()
            return await patiently(client, lambda: _ask(client, topics))
    except (KafkaError, OSError) as error:  # TimeoutError is an OSError
        raise BrokerUnavailableError(f"the broker does not tell its cluster id: {error!r}") from error
    finally:
        await client.close()


async def _ask(client: AIOKafkaClient, topics: Sequence[str]) -> LogIds:
    node = client.get_random_node()
    try:
        told = await client.send(node, _IdsRequest(topics))
    except NotImplementedError:  # a broker before 2.8
        told = await client.send(node, MetadataRequest([]))
        return LogIds(str(told.cluster_id), {})
    ids = {topic[1]: str(topic[2]) for topic in told.topics if not topic[0] and topic[2] != NO_ID}
    return LogIds(str(told.cluster_id), ids)
