"""`GenerationalCache`: bounded, newest value first, and gone once it is taken out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rebate_app.streams.state.cache import GenerationalCache

SIZE_MAX = 8
ALL_KEYS = [b"%d" % number for number in range(12)]
KEYS = st.sampled_from(ALL_KEYS)
BATCHES = st.lists(st.lists(KEYS, max_size=6), max_size=30)


def filled(batches: list[list[bytes]]) -> tuple[GenerationalCache[int], dict[bytes, int]]:
    """Return a cache with the batches, and everything ever added; the values are the batches' numbers."""
    cache: GenerationalCache[int] = GenerationalCache(SIZE_MAX)
    everything: dict[bytes, int] = {}
    for number, keys in enumerate(batches):
        batch = dict.fromkeys(keys, number)
        cache.update(batch)
        for key in keys:
            everything.pop(key, None)  # a dictionary keeps its order: now it is the newest
        everything |= batch
    return cache, everything


class TestGenerationalCache:
    """`GenerationalCache` against a dictionary that forgets nothing."""

    @given(BATCHES)
    def test_it_returns_no_older_value(self, batches: list[list[bytes]]) -> None:
        """A key has its newest value, or none."""
        cache, everything = filled(batches)
        assert all(cache.get(key) in (None, value) for key, value in everything.items())

    @given(BATCHES)
    def test_the_newest_are_there(self, batches: list[list[bytes]]) -> None:
        """The newest half of `size_max` different keys are always there."""
        cache, everything = filled(batches)
        newest = list(everything.items())[-(SIZE_MAX // 2) :]
        assert [cache.get(key) for key, _ in newest] == [value for _, value in newest]

    @given(BATCHES)
    def test_it_is_bounded(self, batches: list[list[bytes]]) -> None:
        """It never holds more than `size_max` and one batch."""
        cache, _ = filled(batches)
        assert len(cache) <= SIZE_MAX + max((len(set(keys)) for keys in batches), default=0)

    @given(BATCHES, KEYS)
    def test_pop_removes_every_generation(self, batches: list[list[bytes]], key: bytes) -> None:
        """`pop` returns the newest value, and leaves no older one behind."""
        cache, _ = filled(batches)
        known = cache.get(key)
        assert cache.pop(key) == known
        assert cache.get(key) is None
        assert cache.pop(key) is None

    @given(BATCHES)
    def test_a_batch_lets_go_of_what_is_in_the_cache_no_longer(self, batches: list[list[bytes]]) -> None:
        """`update` returns each key once that was there before it and is not afterwards."""
        cache: GenerationalCache[int] = GenerationalCache(SIZE_MAX)
        for number, keys in enumerate(batches):
            taken = {key for key in keys if cache.pop(key) is not None}  # as a batch does
            before = {key for key in ALL_KEYS if cache.get(key) is not None}
            dropped = list(cache.update(dict.fromkeys(keys, number)))
            after = {key for key in ALL_KEYS if cache.get(key) is not None}
            assert sorted(dropped) == sorted(before - after)
            assert not taken & set(dropped)

    def test_clearing_forgets_both_generations(self) -> None:
        """After `clear` no key is there."""
        cache, _ = filled([[b"1", b"2", b"3", b"4", b"5"], [b"6"]])
        cache.clear()
        assert len(cache) == 0
        assert cache.get(b"1") is None
        assert cache.get(b"6") is None
