"""Does a Kafka broker answer, and which one? Two requests of Kafka's protocol, by hand.

A client library is too slow and hides connection failures behind retries. The answer counts only if it comes
from the right cluster and lists the broker itself: KRaft lists a broker once it is registered, has caught up,
and may serve (before that, topics cannot be created).
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from .ports import HOST

API_VERSIONS, METADATA = 18, 3
#: The oldest versions with the members needed here: they have no tagged fields to parse.
API_VERSIONS_VERSION, METADATA_VERSION = 0, 2
#: Every answer begins with the number that its request had.
ANSWER_BYTES_MIN = 4
ANSWER_BYTES_MAX = 1 << 20


@dataclass(frozen=True)
class ProbeAnswer:
    """A broker's answer: the id of its cluster, and the brokers that serve in it."""

    cluster_id: str
    brokers: tuple[int, ...]


def ask(port: int, *, timeout_seconds: float = 1.0) -> ProbeAnswer | None:
    """Return what the broker at 127.0.0.1:`port` answers, None if nobody answers as a broker does."""
    try:
        with socket.create_connection((HOST, port), timeout=timeout_seconds) as connection:
            if connection.getsockname() == connection.getpeername():
                return None  # TCP let us connect to ourselves
            reply = _call(connection, API_VERSIONS, API_VERSIONS_VERSION, b"")
            if struct.unpack_from(">h", reply)[0] != 0:
                return None
            no_topics = struct.pack(">i", 0)
            return _parse_metadata(_call(connection, METADATA, METADATA_VERSION, no_topics))
    except (OSError, EOFError, struct.error, UnicodeDecodeError):
        return None


def _call(connection: socket.socket, api: int, version: int, body: bytes) -> bytes:
    """Send one request and return the body of its answer."""
    client = b"rebate-probe"
    request = struct.pack(">hhih", api, version, api, len(client)) + client + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    (size,) = struct.unpack(">i", _read(connection, 4))
    if not ANSWER_BYTES_MIN <= size <= ANSWER_BYTES_MAX:
        raise EOFError
    answer = _read(connection, size)
    if struct.unpack_from(">i", answer)[0] != api:
        raise EOFError
    return answer[ANSWER_BYTES_MIN:]


def _read(connection: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def _parse_metadata(reply: bytes) -> ProbeAnswer:
    """Read brokers [id, host, port, rack] and the cluster's id from a Metadata answer of version 2."""
    (count,) = struct.unpack_from(">i", reply)
    position = 4
    brokers = []
    for _ in range(count):
        (broker,) = struct.unpack_from(">i", reply, position)
        brokers.append(broker)
        _, position = _string(reply, position + 4)
        _, position = _string(reply, position + 4)
    cluster_id, _ = _string(reply, position)
    return ProbeAnswer(cluster_id=cluster_id, brokers=tuple(brokers))


def _string(reply: bytes, position: int) -> tuple[str, int]:
    """Return the (nullable) string at `position`, and the position after it."""
    (size,) = struct.unpack_from(">h", reply, position)
    start = position + 2
    end = start + max(size, 0)
    return reply[start:end].decode(), end
