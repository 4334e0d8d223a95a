"""What was sent and what is there, as digests: memory in tens of bytes a message.

Law: two messages of one partition have the same digest exactly if key, value, timestamp and headers are
the same. It is separate from the judgement about them because this part sees every message.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from struct import Struct as Layout

from rebate_app.wire.failure_headers import follows_from_log

DIGEST_BYTES = 16
_SENT = Layout(f"<{DIGEST_BYTES}sHq")
_SEEN = Layout(f"<{DIGEST_BYTES}sq")

Target = tuple[str, int]  # topic and partition
Headers = Sequence[tuple[str, bytes]]


def digest_of(timestamp_ms: int, key: bytes | None, value: bytes | None, headers: Headers = ()) -> bytes:
    """Return 128 bits that name a message; who failed on it, and when, is left aside."""
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


class Sent:
    """Everything that the fold sends, by target partition: digest, number of the sender, causing offset."""

    def __init__(self) -> None:
        self._targets: dict[Target, bytearray] = {}

    def add(self, target: Target, digest: bytes, sender: int, offset: int) -> None:
        """Note a message that `sender` sends because of the record at `offset` of its source."""
        entries = self._targets.get(target)
        if entries is None:
            entries = self._targets[target] = bytearray()
        entries += _SENT.pack(digest, sender, offset)

    def targets(self) -> list[Target]:
        """Return the partitions to which anything is sent."""
        return sorted(self._targets)

    def entries(self, target: Target) -> Iterator[tuple[bytes, int, int]]:
        """Iterate over (digest, sender, offset) of what goes to a partition."""
        return _SENT.iter_unpack(self._targets.get(target, b""))


class Seen:
    """The messages that a partition has: digest and offset of each."""

    def __init__(self) -> None:
        self._entries = bytearray()
        self.position = 0  # of the log: where to go on

    def add(self, digest: bytes, offset: int) -> None:
        """Note a message."""
        self._entries += _SEEN.pack(digest, offset)

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        return _SEEN.iter_unpack(self._entries)


class Tally:
    """Sent against seen, of one partition."""

    def __init__(self, sent: Iterator[tuple[bytes, int, int]], seen: Seen) -> None:
        counts: dict[bytes, int] = {}
        self.sent = 0
        for digest, _, _ in sent:
            counts[digest] = counts.get(digest, 0) + 1
            self.sent += 1
        self.doubled: list[int] = []  # offsets of what is there once too often
        self.unknown: list[int] = []  # offsets of what was not sent by the fold
        for digest, offset in seen:
            count = counts.get(digest)
            if count is None:
                self.unknown.append(offset)
                continue
            counts[digest] = count - 1
            if count <= 0:
                self.doubled.append(offset)
        #: What is not there, and how often.
        self.lost = {digest: count for digest, count in counts.items() if count > 0}
