"""What an owner notes: in a transaction of its own before the next batch, once, also after a failure."""

from __future__ import annotations

from collections.abc import Sequence

from rebate_app.domain.pricing.catalogue import VersionNotReadError
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.store import Store
from rebate_app.streams.transaction.collector import RecordCollector
from tests.streams.small_stage import Adding, Owner, SmallStage, committed_records, owners
from tests.streams.test_takeover import WHOLE_SECONDS_MAX, run

NOTES = b"notes"


class Places:
    """Notes, for each revision, the place where it became known (implements OwnerNotes)."""

    def __init__(self, sends_to: str) -> None:
        self.revision = 1
        self.found: list[str] = []
        self.opened = 0
        self._sends_to = sends_to

    async def ready(self, store: Store) -> None:
        """Count how often the partition is opened."""
        del store
        self.opened += 1

    async def find(self, version: str) -> None:
        """Note that somebody asks for it."""
        self.found.append(version)

    def note(
        self,
        store: Store,
        partition: int,
        after_offset: int,
        transaction: StateTransaction,
        collector: RecordCollector,
    ) -> None:
        """Append the place, unless it was noted for this revision."""
        del partition
        noted = places_of(store)
        if len(noted) < self.revision:
            noted += [after_offset] * (self.revision - len(noted))
            transaction.put(NOTES, b" ".join(b"%d" % place for place in noted))
            collector.send(self._sends_to, b"k", b"note behind %d" % after_offset, 1_000)


def places_of(store: Store) -> list[int]:
    """Return the places that the store has."""
    return [int(place) for place in (store.get(NOTES) or b"").split()]


async def sent(broker: str, stage: SmallStage) -> Sequence[bytes]:
    """Return the values of all messages that can be read."""
    return [record.value for record in await committed_records(broker, stage.sends_to)]


class Forgetful(SmallStage):
    """Lacks a version the first time that it folds."""

    lacks = True

    def processor(self, transaction: StateTransaction, collector: RecordCollector) -> Adding:
        """Return a processor, but the first time."""
        if self.lacks:
            self.lacks = False
            raise VersionNotReadError("v2")
        return super().processor(transaction, collector)


class TestOwnerNotes:
    """On a real Kafka."""

    def test_a_note_comes_before_the_batch_and_while_nothing_arrives(
        self, kafka: str, topic_prefix: str
    ) -> None:
        """The next owner finds it and does not note it again; a new revision is noted at its own place."""

        async def work() -> None:
            stage = SmallStage(topic_prefix)
            await stage.create(kafka)
            notes = Places(stage.sends_to)
            first, second = Owner(kafka, stage, notes=notes), Owner(kafka, stage, notes=notes)
            async with owners(first, second):
                await first.own()
                await first.until(lambda: "noted" in first.points, WHOLE_SECONDS_MAX)
                assert (places_of(first.stream.store), first.stream.store.watermark) == ([-1], None)
                await first.take(stage.batch(0, b"1", b"2"))
                notes.revision = 2
                await first.take(stage.batch(2, b"3"))
                assert places_of(first.stream.store) == [-1, 1]
                await first.stream.stop()
                await second.own()
                notes.revision = 3
                second.stream.check_notes()
                await second.until(lambda: "noted" in second.points, WHOLE_SECONDS_MAX)
                assert places_of(second.stream.store) == [-1, 1, 2]
                assert second.total == 6
            assert await sent(kafka, stage) == [
                b"note behind -1",
                b"0 ",
                b"1 ",
                b"note behind 1",
                b"2 ",
                b"note behind 2",
            ]

        run(work)

    def test_a_version_that_was_not_read_is_looked_for(self, kafka: str, topic_prefix: str) -> None:
        """The batch is folded again from its beginning, and takes effect once."""

        async def work() -> None:
            stage = Forgetful(topic_prefix)
            await stage.create(kafka)
            notes = Places(stage.sends_to)
            owner = Owner(kafka, stage, notes=notes)
            async with owners(owner):
                await owner.own()
                await owner.take(stage.batch(0, b"1", b"2"))
                assert (owner.total, notes.found, notes.opened) == (3, ["v2"], 1)
            assert await sent(kafka, stage) == [b"note behind -1", b"0 ", b"1 "]

        run(work)
