"""The partition of a key: murmur2, as Kafka's default partitioner.

In plain Python the hash of a key takes 3 µs. So what was hashed lately is remembered, and `hash_ahead` hashes
the keys of a fetched batch together, at a tenth of that: every key has a lane of 64 bits in one large
integer, and one operation works on all lanes (tests/streams/test_partitioner.py holds both against aiokafka).
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from struct import iter_unpack
from sys import byteorder

SEED = 0x9747B28C
MULTIPLIER = 0x5BD1E995
WORD_BYTES, LANE_BYTES = 4, 8
LOW_32_BITS = 0xFFFFFFFF
POSITIVE = 0x7FFFFFFF

#: The longest key that can be well-formed, with room to spare. Hashing 20 MB in Python would take a second.
KEY_BYTES_MAX = 4_096
#: Keys hashed at once: 0.3 ms; fewer cost as much one by one.
LANES_MIN, LANES_MAX = 8, 1_000
#: Hashes of fetched keys that were not used yet; beyond them keys are hashed one by one again.
AHEAD_MAX = 100_000
_ahead: dict[bytes, int] = {}


def murmur2(key: bytes) -> int:
    """Return the unsigned 32-bit MurmurHash2 of a key, with the seed of Kafka's clients."""
    length = len(key)
    rest = length % WORD_BYTES
    value = SEED ^ length
    for (word,) in iter_unpack("<I", key[: length - rest] if rest else key):
        word = word * MULTIPLIER & LOW_32_BITS  # noqa: PLW2901 - the word is mixed in place
        mixed = (word ^ word >> 24) * MULTIPLIER & LOW_32_BITS
        value = value * MULTIPLIER & LOW_32_BITS ^ mixed
    if rest:
        value = (value ^ int.from_bytes(key[length - rest :], "little")) * MULTIPLIER & LOW_32_BITS
    value = (value ^ value >> 13) * MULTIPLIER & LOW_32_BITS
    return value ^ value >> 15


def murmur2_of_all(keys: Sequence[bytes]) -> Sequence[int]:
    """Return the murmur2 of each key, in order; all keys have one length. For little-endian machines."""
    length = len(keys[0])
    words, rest = divmod(length, WORD_BYTES)
    padding = bytes(-length % WORD_BYTES)
    stride = words + (rest > 0)
    matrix = memoryview(padding.join(keys) + padding).cast("I")
    ones, low = _lanes(len(keys))
    value = ones * (SEED ^ length)
    for number in range(words):
        word = _column(matrix, number, stride) * MULTIPLIER & low
        mixed = (word ^ word >> 24 & low) * MULTIPLIER & low
        value = value * MULTIPLIER & low ^ mixed
    if rest:
        value = (value ^ _column(matrix, words, stride)) * MULTIPLIER & low
    value = (value ^ value >> 13 & low) * MULTIPLIER & low
    value ^= value >> 15 & low
    return array("Q", value.to_bytes(LANE_BYTES * len(keys), "little"))


@lru_cache(maxsize=16)
def _lanes(count: int) -> tuple[int, int]:
    """Return a number with a 1 in each of so many lanes, and one with the low 32 bits of each set."""
    ones = int.from_bytes((1).to_bytes(LANE_BYTES, "little") * count, "little")
    return ones, ones * LOW_32_BITS


def _column(matrix: memoryview, number: int, stride: int) -> int:
    """Return the word of that number of each key, in its lane."""
    return int.from_bytes(array("Q", matrix[number::stride].tolist()).tobytes(), "little")


async def hash_ahead(keys: Iterable[bytes | None]) -> None:
    """Hash keys for `partition_of`, which will be called for them soon; others run in between."""
    by_length: dict[int, list[bytes]] = {}
    for key in keys:
        if key is not None and len(key) <= KEY_BYTES_MAX:
            by_length.setdefault(len(key), []).append(key)
    if len(_ahead) > AHEAD_MAX:
        _ahead.clear()
    for same in by_length.values():
        for start in range(0, len(same), LANES_MAX):
            some = same[start : start + LANES_MAX]
            if len(some) >= LANES_MIN and byteorder == "little":
                _ahead.update(zip(some, murmur2_of_all(some), strict=True))
                await asyncio.sleep(0)


@lru_cache(maxsize=200_000)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key among so many."""
    value = _ahead.pop(key, None)
    return ((murmur2(key) if value is None else value) & POSITIVE) % partitions


def is_in_place(key: bytes | None, partition: int, partitions: int) -> bool:
    """Return whether a record with that key may be looked at in that partition.

    A record without a key, or with one that is longer than any well-formed key, belongs nowhere else: it is
    refused where it stands, and its key is not hashed.
    """
    if key is None or len(key) > KEY_BYTES_MAX:
        return True
    return partition_of(key, partitions) == partition


def key_in(partition: int, partitions: int, prefix: str) -> bytes:
    """Return the first key of the form `prefix` and a number that belongs to the partition."""
    number = 0
    while partition_of(key := f"{prefix}{number}".encode(), partitions) != partition:
        number += 1
    return key
