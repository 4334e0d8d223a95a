"""Changes of a changelog: held back behind a watermark that cannot be read, whatever the fetches cut up."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition

from rebate_app.streams.errors import UnreadableRecordError
from rebate_app.streams.state.changelog import ChangelogRecords
from rebate_app.streams.state.standby import StandbyTask
from rebate_app.streams.state.store import WATERMARK_KEY, MemoryStore
from tests.streams.small_stage import SmallStage
from tests.streams.state.stores import watermark_value
from tests.topology_driver import LogRecord

SPOT = TopicPartition("changelog", 0)


def record(offset: int, key: bytes | None, value: bytes | None) -> LogRecord:
    """Return a record of the changelog."""
    return LogRecord(SPOT.topic, SPOT.partition, offset, 0, key, value)


class TestChangelogRecords:
    """What restoring may give to a store."""

    @pytest.mark.parametrize(
        "junk", [b"junk", None, b'{"offset":-1,"topic":"t","partitions":1}', b"[" * 100_000]
    )
    def test_nothing_is_taken_behind_a_watermark_that_cannot_be_read(self, junk: bytes | None) -> None:
        """The store would hold records newer than its watermark: they wait, and the place is named."""
        records = ChangelogRecords(SPOT)
        assert records.take([record(0, b"a", b"1")]) == {b"a": b"1"}
        assert records.take([record(1, b"a", b"2"), record(2, WATERMARK_KEY, junk)]) == {}
        assert records.take([record(3, b"a", b"3")]) == {}
        with pytest.raises(
            UnreadableRecordError, match="changelog/0/2 cannot be read: this watermark is lost"
        ):
            records.refuse_unreadable()

    def test_a_newer_watermark_makes_up_for_it(self) -> None:
        """It replaces the unreadable one, so all changes are returned in one step."""
        records = ChangelogRecords(SPOT)
        good = watermark_value(7)
        assert records.take([record(0, b"a", b"1"), record(1, WATERMARK_KEY, b"junk")]) == {}
        changes = {b"a": b"1", b"b": b"2", WATERMARK_KEY: good}
        assert records.take([record(2, b"b", b"2"), record(3, WATERMARK_KEY, good)]) == changes
        assert records.take([record(4, b"a", b"3")]) == {b"a": b"3"}
        records.refuse_unreadable()

    def test_a_record_without_a_key(self) -> None:
        """It names no record to change: refused at once, with its place."""
        with pytest.raises(UnreadableRecordError, match="changelog/0/1 cannot be read: it has no key"):
            ChangelogRecords(SPOT).take([record(0, b"a", b"1"), record(1, None, b"1")])

    def test_a_standby_waits_for_a_watermark_that_can_be_read(self) -> None:
        """It shows the state before until then, and keeps its position before what it could not take."""
        standby = StandbyTask(SmallStage("p-"), 0, MemoryStore())
        standby.take([record(0, b"a", b"1"), record(1, WATERMARK_KEY, b"junk")])
        assert (standby.whole, standby.store.get(b"a"), standby.store.position) == (False, None, 0)
        standby.take([record(2, WATERMARK_KEY, watermark_value(7))])
        assert (standby.whole, standby.store.get(b"a"), standby.store.position) == (True, b"1", 3)
        with pytest.raises(UnreadableRecordError):
            standby.take([record(3, None, b"1")])
