"""`ValuePacker`, and what a store in memory weighs once its records are at rest."""

from __future__ import annotations

import random
import sys
import tracemalloc
from collections.abc import Callable

import orjson
import pytest
import zstandard
from msgspec.json import Encoder

from rebate_app.streams.state import packing as packing_module
from rebate_app.streams.state.packing import (
    MAGIC,
    PACKED_FROM_BYTES,
    SAMPLES,
    Packing,
    ValuePacker,
    exact_copy,
)
from rebate_app.streams.state.store import MemoryStore, StoreClosedError

SEED = 20_261_130
encode = Encoder().encode


def value(number: int) -> bytes:
    """Return a record of about 400 bytes that resembles the others."""
    rng = random.Random(SEED + number)
    return orjson.dumps(
        [
            {"order_line_id": f"taobao:{number:019}", "title": "".join(rng.choices("abcdefgh ", k=40))},
            [rng.randrange(10**12) for _ in range(8)],
            {"status": "paid", "amounts": {"est_commission": rng.randrange(10**5), "service_fee": 0}},
            "estimate, settled, reversed, forfeited, withdrawn, frozen: the same in all of them",
        ]
    )


class TestValuePacker:
    """Shorter, and exactly the same again."""

    def test_values_that_resemble_the_first_ones_shrink_and_come_back(self) -> None:
        """The first are the dictionary and stay; all others are packed, and unpacked to the byte."""
        packer = ValuePacker()
        values = [value(number) for number in range(500)]
        packed = packed_by(packer, values)
        assert packed[:SAMPLES] == values[:SAMPLES]
        later = list(zip(values, packed, strict=True))[SAMPLES:]
        assert all(each.startswith(MAGIC) and packer.unpack(each) == before for before, each in later)
        assert sum(len(each) for _, each in later) < sum(len(before) for before, _ in later) / 2

    def test_what_does_not_shrink_stays(self) -> None:
        """Small values, and those that are as good as random."""
        packer = ValuePacker()
        packed_by(packer, [value(number) for number in range(SAMPLES)])
        small = value(1)[: PACKED_FROM_BYTES - 1]
        noise = random.Random(SEED).randbytes(1_000)
        assert packed_by(packer, [small, noise]) == [small, noise]

    def test_what_begins_like_a_packed_value_is_left_alone(self) -> None:
        """It is neither packed nor, unless it is a whole frame, unpacked."""
        packer = ValuePacker()
        alike = MAGIC + b"x" * 1_000
        assert (packed_by(packer, [alike]), packer.unpack(alike)) == ([alike], alike)
        foreign = zstandard.compress(value(1), 3)
        assert packed_by(packer, [foreign]) == [foreign]


class TestExactCopy:
    """What an encoder gives, in as much memory as it needs."""

    def test_it_keeps_no_more_than_its_length(self) -> None:
        """Encoded as they are, such values keep a third more."""
        records = [{"entry": number, "text": "x" * 100} for number in range(2_000)]
        encoded, copied = (
            held(each, records) for each in (encode, lambda record: exact_copy(encode(record)))
        )
        assert copied < sum(sys.getsizeof(encode(record)) + 16 for record in records)
        assert copied < encoded * 0.8


class TestMemoryStore:
    """A store whose records rest."""

    def test_records_at_rest_take_less_than_half(self) -> None:
        """What the dictionary's values weigh; what is read, listed and counted is the same."""
        store = MemoryStore()
        records = {b"line %06d" % number: value(number) for number in range(2_000)}
        store.apply({**records}, 2_000)
        before = weight(store)
        store.rest([*records, b"line of nobody"])
        assert weight(store) < before * 0.55
        assert dict(store.items()) == records
        assert all(store.get(key) == each for key, each in records.items())
        store.rest(records)  # again: nothing is packed twice
        assert dict(store.items()) == records
        store.apply({b"line 000700": b"new", b"line 000701": None}, 2_001)
        assert (store.get(b"line 000700"), store.get(b"line 000701"), len(store)) == (b"new", None, 1_999)

    def test_packing_in_steps_does_the_same(self) -> None:
        """Prepared, packed and put back: each value is as `rest` would leave it."""
        records = {b"line %06d" % number: value(number) for number in range(2_000)} | {b"small": b"s"}
        at_once, in_steps = MemoryStore(), MemoryStore()
        for store in (at_once, in_steps):
            store.apply({**records}, 2_000)
        at_once.rest(records)
        packing = in_steps.packing([*records, b"line of nobody"])
        assert packing is not None
        packing.run()
        packing.finish()
        assert in_steps._open() == at_once._open()
        assert in_steps.packing([b"small", b"line 001999", b"line of nobody"]) is None

    def test_many_calls_pack_what_one_would(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the values are more than one call may take."""
        monkeypatch.setattr(packing_module, "CALL_BYTES_MAX", 1_500)
        self.test_packing_in_steps_does_the_same()

    def test_what_changes_meanwhile_stays(self) -> None:
        """A value that was written, deleted or packed since is not overwritten by the older one."""
        store, records, packing = packed_meanwhile()
        newer = value(900)
        store.apply({b"line 000100": newer, b"line 000101": None}, 201)
        store.rest([b"line 000102"])
        packing.finish()
        del records[b"line 000101"]
        assert dict(store.items()) == records | {b"line 000100": newer}

    @pytest.mark.parametrize("end", [MemoryStore.clear, MemoryStore.close])
    def test_a_store_that_ends_meanwhile_stays_empty(self, end: Callable[[MemoryStore], None]) -> None:
        """Nothing of what was packed comes back."""
        store, _, packing = packed_meanwhile()
        end(store)
        packing.finish()
        if end is MemoryStore.clear:
            assert len(store) == 0
        else:
            with pytest.raises(StoreClosedError):
                store.get(b"line 000100")


def packed_by(packer: ValuePacker, values: list[bytes]) -> list[bytes]:
    """Return what becomes of the values."""
    records = {b"%d" % number: each for number, each in enumerate(values)}
    packing = Packing(records, packer, [*records])
    if packing:
        packing.run()
        packing.finish()
    return list(records.values())


def packed_meanwhile() -> tuple[MemoryStore, dict[bytes, bytes], Packing]:
    """Return a store, its records, and their values packed and not yet put back."""
    store = MemoryStore()
    records = {b"line %06d" % number: value(number) for number in range(200)}
    store.apply({**records}, 200)
    packing = store.packing(records)
    assert packing is not None
    packing.run()
    return store, records, packing


def held(make: Callable[[object], bytes], records: list[dict[str, object]]) -> int:
    """Return the bytes of memory that the values hold, as they were allocated."""
    tracemalloc.start()
    try:
        values = [make(record) for record in records]
        return tracemalloc.get_traced_memory()[0] - sys.getsizeof(values)
    finally:
        tracemalloc.stop()


def weight(store: MemoryStore) -> int:
    """Return the bytes of the values."""
    return sum(map(sys.getsizeof, store._open().values()))
