"""Keys in byte order: the same from a dictionary and from RocksDB, whatever changes in between."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rebate_app.streams.state import key_order
from rebate_app.streams.state.rocksdb import RocksDBResources, RocksDBStore, StoreIdentity
from rebate_app.streams.state.store import WATERMARK_KEY, MemoryStore, Store, Watermark, encode_watermark

WORDS = [b"", b"h ", b"h u1", b"h u", b"H ", b"taobao:", b"t", b"O 12 ", b"O 1", b"z"]


@pytest.fixture(params=["memory", "rocksdb"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Give either kind of store."""
    if request.param == "memory":
        return MemoryStore
    identity = StoreIdentity("cluster", "topic", "", 1, 0)
    return lambda: RocksDBStore(tmp_path / "store", identity, RocksDBResources())


def random_key(rng: random.Random) -> bytes:
    """Return a key of some kind."""
    kind = rng.choice([b"h u", b"H taobao:pid:", b"O ", b"taobao:", b"parked/\xff", b""])
    return kind + b"%d" % rng.randrange(60) + rng.choice([b"", b" taobao:1", b"\xff"])


@pytest.mark.parametrize("singly", [0, 64])
@pytest.mark.parametrize("seed", range(3))
def test_they_are_those_of_a_sorted_list(
    seed: int, singly: int, new_store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages of any size, after any key, with keys that come and go between them; never the watermark."""
    monkeypatch.setattr(key_order, "CHANGES_MAX", 20)
    monkeypatch.setattr(key_order, "SINGLE_DELETES_MAX", singly)
    rng, store, known = random.Random(seed), new_store(), set[bytes]()
    watermark = encode_watermark(Watermark(1, "topic", 1))
    for _ in range(60):
        changes: dict[bytes, bytes | None] = dict.fromkeys(
            [random_key(rng) for _ in range(rng.randrange(12))], b"1"
        )
        changes |= dict.fromkeys(rng.sample(sorted(known), min(len(known), rng.randrange(3))))
        changes |= {random_key(rng): None}
        store.apply(changes | {WATERMARK_KEY: watermark}, 1)
        known = (known | {key for key, value in changes.items() if value}) - {
            key for key, value in changes.items() if value is None
        }
        for prefix in WORDS:
            after, limit = rng.choice([b"", prefix, random_key(rng)]), rng.choice([1, 3, 100])
            expected = sorted(key for key in known if key.startswith(prefix) and key > after)[:limit]
            assert store.keys_after(prefix, after, limit) == expected, (prefix, after)
    store.close()


class ListedOnce(dict[bytes, bytes]):
    """Keys that can be looked up, and iterated over once only."""

    iterated = 0

    def __iter__(self) -> Iterator[bytes]:
        self.iterated += 1
        return super().__iter__()


@pytest.mark.parametrize("deleted", [1, 200])
def test_a_listing_costs_what_has_changed(deleted: int) -> None:
    """A kind whose keys come and go is not sorted out of the whole store again."""
    keys, order = ListedOnce({b"W a %03d" % number: b"" for number in range(500)}), key_order.KeyOrder()
    assert len(order.after(keys, b"W ", b"", 1_000)) == 500
    for number in range(deleted):
        changes: dict[bytes, bytes | None] = {b"W a %03d" % number: None, b"W b %03d" % number: b""}
        order.note(changes, keys)
        del keys[b"W a %03d" % number]
        keys[b"W b %03d" % number] = b""
    assert order.after(keys, b"W a ", b"", 1) == [b"W a %03d" % deleted]
    assert len(order.after(keys, b"W b ", b"", 1_000)) == deleted
    assert keys.iterated == 1
