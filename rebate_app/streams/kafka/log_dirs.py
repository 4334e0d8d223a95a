"""The folders in which brokers keep their logs, with the room on their disks.

DescribeLogDirs (35) in version 4, the first that has sizes of disks (KIP-827, Kafka 3.3); aiokafka has none.
Field names are those of Kafka's message definitions.
"""

from __future__ import annotations

from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)
from msgspec import Struct

from .aiokafka_clients import AIOKafkaAdminClient

_TEXT = CompactString("utf-8")
_TAGS = ("tags", TaggedFields)
NO_TAGS: dict[int, bytes] = {}


class LogDir(Struct, frozen=True):
    """One folder of a broker; `error` is Kafka's name of what is wrong with it, "" if it is online."""

    broker: int
    folder: str
    total_bytes: int
    usable_bytes: int
    error: str = ""


class DescribeLogDirsResponse_v4(Response):  # noqa: N801 - as aiokafka names versions
    """The folders of one broker."""

    API_KEY = 35
    API_VERSION = 4
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "results",
            CompactArray(
                ("error_code", Int16),
                ("log_dir", _TEXT),
                (
                    "topics",
                    CompactArray(
                        ("name", _TEXT),
                        (
                            "partitions",
                            CompactArray(
                                ("partition_index", Int32),
                                ("partition_size", Int64),
                                ("offset_lag", Int64),
                                ("is_future_key", Boolean),
                                _TAGS,
                            ),
                        ),
                        _TAGS,
                    ),
                ),
                ("total_bytes", Int64),
                ("usable_bytes", Int64),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class DescribeLogDirsRequest_v4(RequestStruct):  # noqa: N801
    """Goes to every broker."""

    FLEXIBLE_VERSION = True
    API_KEY = 35
    API_VERSION = 4
    RESPONSE_TYPE = DescribeLogDirsResponse_v4
    SCHEMA = Schema(
        ("topics", CompactArray(("topic", _TEXT), ("partitions", CompactArray(Int32)), _TAGS)), _TAGS
    )


class DescribeLogDirsRequest(Request[DescribeLogDirsRequest_v4]):
    """Request from a broker its folders, without any topic in them."""

    API_KEY = 35

    def build(self, request_struct_class: type[DescribeLogDirsRequest_v4]) -> DescribeLogDirsRequest_v4:
        """Return the request of that version."""
        return request_struct_class([], NO_TAGS)


async def log_dirs(admin: AIOKafkaAdminClient) -> list[LogDir]:
    """Return the folders of all brokers that answer.

    KafkaError when one refuses; IncompatibleBrokerVersion before Kafka 3.3.
    """
    found = []
    for broker in (await admin.describe_cluster())["brokers"]:
        node = broker["node_id"]
        response = await admin._send_request(DescribeLogDirsRequest(), node)  # noqa: SLF001 - pinned aiokafka
        if response.error_code:
            raise for_code(response.error_code)(f"DescribeLogDirs of broker {node}")
        for code, folder, _topics, total, usable, *_ in response.results:
            error = for_code(code).__name__ if code else ""
            found.append(LogDir(node, folder, total, usable, error))
    return found
