"""What the last chunks touched (lane/warm.py): bounded, newest first, and gone when it is taken out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rebate_app.lane.warm import Recent

MOST = 8
KEYS = st.sampled_from([b"%d" % number for number in range(12)])
CHUNKS = st.lists(st.lists(KEYS, max_size=6), max_size=30)


def put_in(chunks: list[list[bytes]]) -> tuple[Recent[int], dict[bytes, int]]:
    """Return what keeps the chunks, and all that was ever put in; each chunk has a number of its own."""
    recent: Recent[int] = Recent(MOST)
    everything: dict[bytes, int] = {}
    for number, keys in enumerate(chunks):
        chunk = dict.fromkeys(keys, number)
        recent.update(chunk)
        for key in keys:
            everything.pop(key, None)  # a dictionary keeps its order: now it is the newest
        everything |= chunk
    return recent, everything


class TestRecent:
    """`Recent` against a dictionary that forgets nothing."""

    @given(CHUNKS)
    def test_it_says_nothing_old(self, chunks: list[list[bytes]]) -> None:
        """Under a key stands what was put in last, or nothing."""
        recent, everything = put_in(chunks)
        assert all(recent.get(key) in (None, value) for key, value in everything.items())

    @given(CHUNKS)
    def test_the_newest_are_there(self, chunks: list[list[bytes]]) -> None:
        """The last half of `most` different keys are always known."""
        recent, everything = put_in(chunks)
        newest = list(everything.items())[-(MOST // 2) :]
        assert [recent.get(key) for key, _ in newest] == [value for _, value in newest]

    @given(CHUNKS)
    def test_it_is_bounded(self, chunks: list[list[bytes]]) -> None:
        """It never holds more than `most` and a chunk."""
        recent, _ = put_in(chunks)
        assert len(recent) <= MOST + max((len(set(keys)) for keys in chunks), default=0)

    @given(CHUNKS, KEYS)
    def test_what_is_taken_out_is_gone(self, chunks: list[list[bytes]], key: bytes) -> None:
        """Taking out gives what stands there, and leaves nothing older behind."""
        recent, _ = put_in(chunks)
        known = recent.get(key)
        assert recent.pop(key) == known
        assert recent.get(key) is None
        assert recent.pop(key) is None

    def test_clearing_forgets_both_generations(self) -> None:
        """After `clear` nothing is known."""
        recent, _ = put_in([[b"1", b"2", b"3", b"4", b"5"], [b"6"]])
        recent.clear()
        assert len(recent) == 0
        assert recent.get(b"1") is None
        assert recent.get(b"6") is None
