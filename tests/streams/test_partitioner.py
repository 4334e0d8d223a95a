"""The partition of a key is the one that Kafka's own clients choose."""

from __future__ import annotations

import asyncio
import random
import sys

import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2

from rebate_app.streams.transaction import partitioner
from rebate_app.streams.transaction.partitioner import (
    KEY_BYTES_MAX,
    LANES_MIN,
    hash_ahead,
    is_in_place,
    murmur2,
    murmur2_of_all,
    partition_of,
)

#: From the tests of Kafka's own clients (org.apache.kafka.common.utils.UtilsTest), as signed 32-bit numbers.
KAFKA_HASHES = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "signed"), KAFKA_HASHES.items())
def test_the_hashes_are_kafkas(key: bytes, signed: int) -> None:
    """The values are those of Kafka's own tests."""
    assert murmur2(key) == signed % 2**32


def test_any_key_has_the_partition_of_aiokafka() -> None:
    """Keys of every length up to 80 bytes, of any bytes."""
    rng = random.Random(1)
    for length in range(81):
        for key in (rng.randbytes(length) for _ in range(20)):
            assert murmur2(key) == aiokafka_murmur2(key) & 0xFFFFFFFF
            assert partition_of(key, 7) == (aiokafka_murmur2(key) & 0x7FFFFFFF) % 7


@pytest.mark.skipif(sys.byteorder != "little", reason="keys are hashed one by one on other machines")
@pytest.mark.parametrize("count", [1, 2, 7, 300])
def test_keys_that_are_hashed_together_have_the_same_hashes(count: int) -> None:
    """So many keys of any one length, of any bytes; those with every bit set too."""
    rng = random.Random(count)
    for length in range(70):
        keys = [rng.randbytes(length) for _ in range(count - 1)] + [b"\xff" * length]
        assert list(murmur2_of_all(keys)) == [aiokafka_murmur2(key) & 0xFFFFFFFF for key in keys]


def test_what_was_hashed_ahead_is_used_once_and_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of many lengths, repeated, and none: the partitions are the same, and nothing is left over."""
    monkeypatch.setattr(partitioner, "_ahead", {})
    rng = random.Random(5)
    keys: list[bytes | None] = [b"a:%d" % rng.randrange(10**18) for _ in range(3_000)]
    asyncio.run(partitioner.hash_ahead([*keys, None, b"once", *keys[:9]]))
    assert len(partitioner._ahead) > 2_900
    for key in filter(None, keys):
        assert partition_of(key, 13) == (aiokafka_murmur2(key) & 0x7FFFFFFF) % 13
    assert partitioner._ahead == {}


def test_what_is_never_used_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that are known already leave their hashes behind, up to a bound."""
    monkeypatch.setattr(partitioner, "_ahead", {})
    monkeypatch.setattr(partitioner, "AHEAD_MAX", 100)
    for first in range(0, 2_000, 50):
        asyncio.run(partitioner.hash_ahead(b"%06d" % number for number in range(first, first + 50)))
        assert len(partitioner._ahead) <= 150


def test_a_key_that_nobody_can_mean_is_not_hashed() -> None:
    """It is refused where it stands: 20 MB would hold the event loop for a second, and stay in memory."""
    before = partition_of.cache_info().currsize
    key = b"k" * (KEY_BYTES_MAX + 1)
    asyncio.run(hash_ahead([key] * LANES_MIN))
    assert all(is_in_place(key, partition, 8) for partition in range(8))
    assert is_in_place(None, 3, 8)
    assert partition_of.cache_info().currsize == before
    assert [is_in_place(key[:-1], partition, 8) for partition in range(8)].count(True) == 1
