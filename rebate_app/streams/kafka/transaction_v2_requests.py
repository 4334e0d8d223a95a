"""Kafka's requests for transactions of version 2 (KIP-890), which aiokafka does not have.

Produce (0) in version 12, EndTxn (26) in version 5, and ApiVersions (18) in version 3, by which a broker
names the features that its cluster has finalised. Field names are those of Kafka's message definitions;
`topics` is the name by which aiokafka reads the response to a Produce.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.api import Request, RequestStruct, Response, ResponseHeader_v0
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
    UnsignedVarInt32,
)

_TEXT = CompactString("utf-8")
_TAGS = ("tags", TaggedFields)
_length = UnsignedVarInt32.encode  # of what is compact, one more than it is: 0 is null
NO_TAGS: dict[int, bytes] = {}
NO_TAGS_ENCODED = b"\x00"

FINALIZED_FEATURES_TAG = 2
_FINALIZED_FEATURES = CompactArray(
    ("name", _TEXT), ("max_version_level", Int16), ("min_version_level", Int16), _TAGS
)
CLIENT_NAME, CLIENT_VERSION = "rebate", "1"
ALL_REPLICAS = -1

#: The records of one partition, as they are in the log.
PartitionRecords = tuple[int, bytes | bytearray | memoryview]


class ProduceResponse_v12(Response):  # noqa: N801 - as aiokafka names versions
    """What became of the records of each partition."""

    API_KEY = 0
    API_VERSION = 12
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("name", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("index", Int32),
                        ("error_code", Int16),
                        ("base_offset", Int64),
                        ("log_append_time_ms", Int64),
                        ("log_start_offset", Int64),
                        (
                            "record_errors",
                            CompactArray(("batch_index", Int32), ("batch_index_error_message", _TEXT), _TAGS),
                        ),
                        ("error_message", _TEXT),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        ("throttle_time_ms", Int32),
        _TAGS,
    )


class ProduceRequest_v12(RequestStruct):  # noqa: N801
    """Goes to the leader of the partitions; the first write of a transaction to one adds it."""

    FLEXIBLE_VERSION = True
    API_KEY = 0
    API_VERSION = 12
    RESPONSE_TYPE = ProduceResponse_v12
    SCHEMA = Schema(("encoded", TaggedFields))

    def encode(self) -> bytes:
        """Return the request, which `ProduceRequest` has encoded: a Schema takes 2.5 times as long."""
        encoded: bytes = self.encoded
        return encoded

    def __repr__(self) -> str:
        return f"ProduceRequest_v12({len(self.encoded)} bytes)"


class ProduceRequest(Request[ProduceRequest_v12]):
    """Write records of a transaction, to be acknowledged by all replicas in sync."""

    API_KEY = 0
    required_acks = ALL_REPLICAS

    def __init__(
        self, transactional_id: str, timeout_ms: int, topics: dict[str, list[PartitionRecords]]
    ) -> None:
        self._transactional_id = transactional_id
        self._timeout_ms = timeout_ms
        self._topics = topics

    def build(self, request_struct_class: type[ProduceRequest_v12]) -> ProduceRequest_v12:
        """Return the request of that version."""
        topics = self._topics
        parts: list[bytes | bytearray | memoryview] = [
            _TEXT.encode(self._transactional_id),
            Int16.encode(ALL_REPLICAS),
            Int32.encode(self._timeout_ms),
            _length(len(topics) + 1),
        ]
        for topic, partitions in topics.items():
            parts += (_TEXT.encode(topic), _length(len(partitions) + 1))
            for number, records in partitions:
                parts += (Int32.encode(number), _length(len(records) + 1), records, NO_TAGS_ENCODED)
            parts.append(NO_TAGS_ENCODED)
        parts.append(NO_TAGS_ENCODED)
        return request_struct_class(b"".join(parts))


class EndTxnResponse_v5(Response):  # noqa: N801
    """The producer's id and epoch for its next transaction."""

    API_KEY = 26
    API_VERSION = 5
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        _TAGS,
    )


class EndTxnRequest_v5(RequestStruct):  # noqa: N801
    """Goes to the coordinator of the transactional id."""

    FLEXIBLE_VERSION = True
    API_KEY = 26
    API_VERSION = 5
    RESPONSE_TYPE = EndTxnResponse_v5
    SCHEMA = Schema(
        ("transactional_id", _TEXT),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("committed", Boolean),
        _TAGS,
    )


class EndTxnRequest(Request[EndTxnRequest_v5]):
    """Commit or abort the transaction of that epoch."""

    API_KEY = 26

    def __init__(self, transactional_id: str, producer_id: int, producer_epoch: int, committed: bool) -> None:
        self._fields = (transactional_id, producer_id, producer_epoch, committed)

    def build(self, request_struct_class: type[EndTxnRequest_v5]) -> EndTxnRequest_v5:
        """Return the request of that version."""
        return request_struct_class(*self._fields, NO_TAGS)


class ApiVersionsResponse_v3(Response):  # noqa: N801
    """The versions that a broker speaks, and among the tags the features that its cluster has finalised."""

    API_KEY = 18
    API_VERSION = 3
    SCHEMA = Schema(
        ("error_code", Int16),
        ("api_keys", CompactArray(("api_key", Int16), ("min_version", Int16), ("max_version", Int16), _TAGS)),
        ("throttle_time_ms", Int32),
        _TAGS,
    )


class ApiVersionsRequest_v3(RequestStruct):  # noqa: N801
    """Goes to any broker."""

    FLEXIBLE_VERSION = True
    API_KEY = 18
    API_VERSION = 3
    RESPONSE_TYPE = ApiVersionsResponse_v3
    SCHEMA = Schema(("client_software_name", _TEXT), ("client_software_version", _TEXT), _TAGS)

    def parse_response_header(self, read_buffer: BytesIO | bytes) -> ResponseHeader_v0:
        """Return the header, which has no tags in any version: a client may not know yet what is spoken."""
        return ResponseHeader_v0.decode(read_buffer)


class ApiVersionsRequest(Request[ApiVersionsRequest_v3]):
    """Request the versions and features of a broker."""

    API_KEY = 18

    def build(self, request_struct_class: type[ApiVersionsRequest_v3]) -> ApiVersionsRequest_v3:
        """Return the request of that version."""
        return request_struct_class(CLIENT_NAME, CLIENT_VERSION, NO_TAGS)


async def finalized_level(client: Any, node_id: int, feature: str) -> int:
    """Ask a node at which level the cluster has finalised a feature; 0 where it has not, or knows none.

    `client`: an AIOKafkaClient that has started. KafkaError: no answer.
    """
    try:
        response = await client.send(node_id, ApiVersionsRequest())
    except (IncompatibleBrokerVersion, NotImplementedError):  # aiokafka's for a broker before 2.4
        return 0
    encoded = response.tags.get(FINALIZED_FEATURES_TAG)
    features: Sequence[Any] = () if encoded is None else _FINALIZED_FEATURES.decode(BytesIO(encoded)) or ()
    return next((int(level) for name, level, *_ in features if name == feature), 0)
