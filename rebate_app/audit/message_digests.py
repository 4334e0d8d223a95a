"""Digests of sent and of present messages, and their comparison: 24 to 26 bytes a message.

Two messages of one partition have the same digest exactly if key, value, timestamp and headers are the
same, except for the network's moment in our own messages and the headers that do not follow from the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from struct import Struct as Layout

from rebate_app.wire.failure_headers import follows_from_log
from rebate_app.wire.internal import is_internal, without_moment

from .logs import Record

DIGEST_BYTES = 16
_SENT = Layout(f"<{DIGEST_BYTES}sHq")
_PRESENT = Layout(f"<{DIGEST_BYTES}sq")

Target = tuple[str, int]  # topic and partition
Headers = Sequence[tuple[str, bytes]]


def digest_of(timestamp_ms: int, key: bytes | None, value: bytes | None, headers: Headers = ()) -> bytes:
    """Return 128 bits that identify a message.

    Left out: headers about which process failed and when, and the network's moment in our own messages,
    which decides nothing and which older messages lack.
    """
    if value is not None and is_internal(value):
        value = without_moment(value)
    whole = b"%d %d %d %b %b" % (
        timestamp_ms,
        -1 if key is None else len(key),
        -1 if value is None else len(value),
        key or b"",
        value or b"",
    )
    if headers:
        whole += repr([(name, text) for name, text in headers if follows_from_log(name)]).encode()
    return blake2b(whole, digest_size=DIGEST_BYTES).digest()


def digest_of_record(record: Record) -> bytes:
    """Return the digest of a message that was read."""
    return digest_of(record.timestamp, record.key, record.value, record.headers)


class SentDigests:
    """What the fold sends, by target partition: digest, number of the sender, offset of the cause."""

    def __init__(self) -> None:
        self._targets: dict[Target, bytearray] = {}

    def add(self, target: Target, digest: bytes, sender: int, offset: int) -> None:
        """Note a message that `sender` sends because of the record at `offset` of its source."""
        entries = self._targets.get(target)
        if entries is None:
            entries = self._targets[target] = bytearray()
        entries += _SENT.pack(digest, sender, offset)

    def targets(self) -> list[Target]:
        """Return the partitions to which the fold sends."""
        return sorted(self._targets)

    def entries(self, target: Target) -> Iterator[tuple[bytes, int, int]]:
        """Iterate over (digest, sender, offset) of the messages to a partition."""
        return _SENT.iter_unpack(self._targets.get(target, b""))


class PresentDigests:
    """The messages that a partition has: digest and offset of each.

    `position`: the next offset of the log to be read.
    """

    def __init__(self) -> None:
        self._entries = bytearray()
        self.position = 0

    def add(self, digest: bytes, offset: int) -> None:
        """Note a message."""
        self._entries += _PRESENT.pack(digest, offset)

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        return _PRESENT.iter_unpack(self._entries)


class DigestComparison:
    """Sent against present messages of one partition.

    `doubled`: offsets of surplus messages. `unknown`: offsets of messages that the fold did not send.
    `lost`: digest of a missing message → how often it is missing. `anybodys`: messages that may be somebody
    else's; they stand for what is missing in `present`, and are neither surplus nor unknown.
    """

    def __init__(
        self,
        sent: Iterator[tuple[bytes, int, int]],
        present: PresentDigests,
        anybodys: Iterable[tuple[bytes, int]] = (),
    ) -> None:
        counts: dict[bytes, int] = {}
        self.sent = 0
        for digest, _, _ in sent:
            counts[digest] = counts.get(digest, 0) + 1
            self.sent += 1
        self.doubled: list[int] = []
        self.unknown: list[int] = []
        for digest, offset in present:
            count = counts.get(digest)
            if count is None:
                self.unknown.append(offset)
                continue
            counts[digest] = count - 1
            if count <= 0:
                self.doubled.append(offset)
        for digest, _ in anybodys:
            if counts.get(digest, 0) > 0:
                counts[digest] -= 1
        self.lost = {digest: count for digest, count in counts.items() if count > 0}
