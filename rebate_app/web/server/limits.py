"""Bounds on what one client can hold of a worker's web server: sizes, times, connections."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

#: The field lines of a request together, and the name and value of one of them: 431.
HEADERS_BYTES_MAX: Final = 16_384
HEADER_BYTES_MAX: Final = 8_192
#: The request target: 414. It differs from HEADER_BYTES_MAX, by which the parser's errors are told apart.
TARGET_BYTES_MAX: Final = 16_384
HEADER_COUNT_MAX: Final = 128
#: Name and value are separated by a colon and a space, and followed by CR and LF.
FIELD_LINE_OVERHEAD_BYTES: Final = 4
#: While a head is incomplete nothing else is known of it; request line and fields together are less.
HEAD_BYTES_MAX: Final = TARGET_BYTES_MAX + HEADERS_BYTES_MAX + 1_024


class Limits(Struct, frozen=True):
    """Bounds of one worker; the defaults are those of production."""

    #: From the first byte of a request to the last byte of its body.
    read_timeout_seconds: float = 15.0
    #: How long sent bytes may wait for a client that does not read.
    write_timeout_seconds: float = 15.0
    #: From the last response, or from the beginning of a connection, to the first byte of a request.
    idle_timeout_seconds: float = 75.0
    #: How long input is discarded after a final answer, so that the client can read that answer: closing
    #: a socket with unread input resets the connection, and the client loses what it has not read yet.
    linger_timeout_seconds: float = 2.0
    linger_bytes_max: int = 16 * 1_048_576
    #: Requests that are being answered may end before the worker stops.
    shutdown_timeout_seconds: float = 2.0
    connections_max: int = 1_000
    #: Connections beyond `connections_max` that wait for their 503 to be read; more are reset at once.
    turned_away_max: int = 100
    #: Writes that wait to become visible at the same time.
    waits_max: int = 200


LIMITS: Final = Limits()
