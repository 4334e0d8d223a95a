"""What is too large to wait behind a parked key, or to move at once when the key is released."""

from __future__ import annotations

import pytest

from rebate_app.streams.failures.guard import FailurePolicy
from rebate_app.streams.failures.parking import MOVED_BYTES_MAX
from rebate_app.wire.failure_headers import texts_of
from rebate_app.wire.topics import KEPT_BYTES_MAX
from tests.streams.failures.small_stream import DECISIONS, DLT, PARKED, SmallStream

KEY = b"u1"
HUGE = b"x" * (20 * 1_048_576)
#: As text in the changelog it is four thirds of that, which fits.
LARGE = b"x" * (8 * 1_048_576)


@pytest.fixture
def stream() -> SmallStream:
    """Return a stream in which the fold fails on one key."""
    stream = SmallStream(FailurePolicy(decisions=DECISIONS))
    stream.broken = {KEY}
    return stream


def reasons(stream: SmallStream) -> list[str]:
    """Return the reasons of all dead letters."""
    return [texts_of(letter.headers)["rebate-error-reason"] for letter in stream.to(DLT)]


def sizes(stream: SmallStream) -> list[int]:
    """Return the sizes of everything that would be sent or written for a batch."""
    sent = [len(each.key or b"") + len(each.value or b"") for each in stream.sent]
    return sent + [len(key) + len(value) for key, value in stream.store.items()]


def test_a_huge_record_of_a_parked_key_is_refused_and_the_others_wait(stream: SmallStream) -> None:
    """It has a cut letter with a reason of its own; nothing that is written exceeds its topic."""
    stream.send(KEY)
    stream.send(KEY, HUGE)
    stream.send(KEY, LARGE)
    stream.run()
    assert reasons(stream) == ["internal-error", "limit-record"]
    assert texts_of(stream.to(DLT)[1].headers)["rebate-error-truncated"] == str(len(HUGE))
    assert stream.totals.records == 2
    assert max(sizes(stream)) < KEPT_BYTES_MAX
    stream.broken = set()
    stream.release(KEY)
    stream.run()
    assert stream.folded("u1") == [0, 2]


def test_our_bug_on_a_huge_record_parks_nothing_and_keeps_its_trace(stream: SmallStream) -> None:
    """Later records of the key are not held up by a record that cannot wait."""
    stream.send(KEY, HUGE)
    stream.broken = {KEY}
    stream.run()
    stream.broken = set()
    later = stream.send(KEY)
    stream.run()
    (letter,) = stream.to(DLT)
    headers = texts_of(letter.headers)
    assert headers["rebate-error-reason"] == "limit-record"
    assert "ZeroDivisionError" in headers["rebate-error-detail"]
    assert "ZeroDivisionError" in headers["rebate-error-trace"]
    assert (stream.totals.keys, stream.folded("u1")) == (0, [later])


def test_a_release_moves_large_records_in_several_steps(stream: SmallStream) -> None:
    """One transaction never carries more than some of them; in the end all are folded, in order."""
    count = MOVED_BYTES_MAX // len(LARGE) + 3
    for _ in range(count):
        stream.send(KEY, LARGE)
    stream.run()
    assert len(stream.to(PARKED)) == count
    stream.broken = set()
    stream.release(KEY)
    stream.run()
    assert stream.folded("u1") == list(range(count))
    cursors = [record for record in stream.log if b"control.cursor" in (record.value or b"")]
    assert len(cursors) == 1
    assert stream.totals.keys == 0
