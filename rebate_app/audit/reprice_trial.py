"""What a repricing would change: a trial run over copies of the accounts' tables, which writes nothing.

The stage's own fold prices the users' lines, and the bonuses of their inviters, on the tables as they are; so
the result is exactly what the workers do with the same state (docs/spec/rules.md#repricing). One partition's
table is in memory at a time, everything that changes is in a temporary file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from agents.accounts import AccountsFold, AccountsStage
from agents.rule_activation import note_activations
from rebate_app.domain.account.account import Head
from rebate_app.domain.account.balance import sums_on
from rebate_app.domain.messages import Cursor
from rebate_app.domain.pricing.calendar import day_of
from rebate_app.streams.event_emission import EventPolicy
from rebate_app.streams.kafka.records import KafkaRecord
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.store import WATERMARK_KEY, decode_watermark
from rebate_app.streams.transaction.collector import OutgoingRecord, RecordCollector
from rebate_app.streams.transaction.partitioner import partition_of
from rebate_app.wire.facts.user import encode_reprice
from rebate_app.wire.internal import decode_message
from rebate_app.wire.moments import MILLISECOND_US
from tables.accounts import HEAD, LINE

from .logs import Logs
from .record_kinds import is_account_line, is_user_head, users_of
from .table_copy import StoredRecords, TableCopy
from .table_overlay import TableOverlay, TrialState

#: After every record of now; no event is due before it, and a trial emits none.
NEVER_MS = 1 << 60
MESSAGES_PER_STEP = 2_000

OnProgress = Callable[[int, str], None]
BUCKETS = ("estimated", "confirmed", "held", "available")
#: A user's money in the order of BUCKETS.
Sums = tuple[int, int, int, int]


class UserChange(Struct):
    """A user's money before and after, in fen, in the order of BUCKETS."""

    user_id: str
    before: Sums
    after: Sums

    @property
    def difference(self) -> tuple[int, ...]:
        """Return after minus before, bucket by bucket."""
        return tuple(after - before for before, after in zip(self.before, self.after, strict=True))


class Trial(Struct):
    """The users whose money would change; how many users would be repriced, and how many of their lines."""

    changes: list[UserChange]
    users: int
    lines: int

    def total(self) -> tuple[int, ...]:
        """Return the differences of all users together, bucket by bucket."""
        return tuple(sum(change.difference[n] for change in self.changes) for n in range(len(BUCKETS)))


class RepriceTrial:
    """Tries a repricing. `document`: the members of the fact, `user_id` None for everybody who bought a line.

    `now_ms`: the timestamp that the facts would have, and the day for which money is compared.
    """

    def __init__(
        self,
        stage: AccountsStage,
        partitions: int,
        logs: Logs,
        *,
        document: dict[str, Any],
        now_ms: int,
        on_progress: OnProgress = lambda _done, _note: None,
    ) -> None:
        silent = EventPolicy(stage.event_policy.topic, lambda: NEVER_MS)
        self._stage = replace(stage, event_policy=silent)
        self._partitions = partitions
        self._logs = logs
        self._document = document
        self._now_ms = now_ms
        self._on_progress = on_progress
        self._day = day_of(now_ms * MILLISECOND_US)
        self._sums: dict[str, tuple[Sums, Sums]] = {}
        self._ends: dict[int, int] = {}
        self._users = self._lines = 0

    async def run(self) -> Trial:
        """Try it; BrokerAwayError when a table cannot be read."""
        with TrialState.temporary() as state:
            for partition in self._partitions_of_users():
                place, records = await self._opened(state, partition)
                for user_id in self._users_in(records):
                    self._reprice(state, place, user_id)
                self._ends[partition] = place.end
            while waiting := state.waiting():
                for partition in waiting:
                    place, _ = await self._opened(state, partition)
                    self._deliver(state, place)
                    self._ends[partition] = place.end
        changes = [UserChange(user_id, *sums) for user_id, sums in sorted(self._sums.items())]
        return Trial([each for each in changes if any(each.difference)], self._users, self._lines)

    def _partitions_of_users(self) -> Iterable[int]:
        user_id = self._document["user_id"]
        return (
            range(self._partitions) if user_id is None else [partition_of(user_id.encode(), self._partitions)]
        )

    def _users_in(self, records: StoredRecords) -> list[str]:
        user_id = self._document["user_id"]
        return list(buyers_of(records)) if user_id is None else [user_id]

    async def _opened(self, state: TrialState, partition: int) -> tuple[_Partition, StoredRecords]:
        copy = TableCopy(self._logs, self._stage.changelog, partition)
        await copy.read()
        end = max(_end_of(copy.records), self._ends.get(partition, 0))
        overlay = state.overlay(partition, copy.records)
        self._note_rules(partition, overlay, end - 1)
        return _Partition(partition, overlay, end), copy.records

    def _note_rules(self, partition: int, overlay: TableOverlay, after_offset: int) -> None:
        """Activate what is published and not known there, as the owner does before its next batch."""
        transaction, place = StateTransaction(overlay), (partition, self._partitions)
        note_activations(self._stage, overlay, place, after_offset, transaction, RecordCollector())
        overlay.apply(transaction.changes)

    def _reprice(self, state: TrialState, place: _Partition, user_id: str) -> None:
        """Reprice one user's lines, all of them at once."""
        step = _Step(self._stage, place)
        key, value = encode_reprice({**self._document, "user_id": user_id})
        offset = place.end
        step.take(self._record(place, key, value))
        for message in self._followed(step, place):
            state.send(partition_of(message[0], self._partitions), *message)
        self._users += 1
        self._lines += step.lines_repriced(offset)
        self._take_sums(step)
        self._on_progress(self._users, "users")

    def _followed(self, step: _Step, place: _Partition) -> Iterator[tuple[bytes, bytes]]:
        """Yield the bonuses that a step sends; take the cursors that it sends to itself."""
        waiting = step.sent()
        while waiting:
            key, value = waiting.pop(0)
            if isinstance(decode_message(value, self._stage.app), Cursor):
                step.take(self._record(place, key, value))
                waiting += step.sent()
            else:
                yield key, value

    def _deliver(self, state: TrialState, place: _Partition) -> None:
        """Bring bonuses to the inviters of a partition."""
        while messages := state.take(place.number, MESSAGES_PER_STEP):
            step = _Step(self._stage, place)
            for key, value in messages:
                step.take(self._record(place, key, value))
            for key, value in step.sent():
                state.send(partition_of(key, self._partitions), key, value)
            self._take_sums(step)
            self._on_progress(self._users, "users; bonuses of inviters")

    def _record(self, place: _Partition, key: bytes, value: bytes) -> KafkaRecord:
        place.end += 1
        return KafkaRecord(self._stage.source, place.number, place.end - 1, self._now_ms, key, value)

    def _take_sums(self, step: _Step) -> None:
        for user_id, before, after in step.commit():
            first, _ = self._sums.get(user_id, (_line_sums(before, self._day), None))
            self._sums[user_id] = first, _line_sums(after, self._day)


def _line_sums(head: Head, day: int) -> Sums:
    """Return the buckets that a repricing can change."""
    estimated, confirmed, held, available, _, _ = sums_on(head, day)
    return estimated, confirmed, held, available


class _Partition(Struct):
    """A partition of the user log in the trial: its table, and the offset of its next record."""

    number: int
    overlay: TableOverlay
    end: int


class _Step:
    """Some records of a partition, folded together and then committed to the overlay."""

    def __init__(self, stage: AccountsStage, place: _Partition) -> None:
        self._source = stage.source
        self._overlay = place.overlay
        self._transaction = StateTransaction(place.overlay)
        self._collector = RecordCollector()
        self._fold: AccountsFold = stage.fold(self._transaction, self._collector)
        self._is_finished = False

    def take(self, record: KafkaRecord) -> None:
        """Fold a record."""
        self._fold.take(record)

    def sent(self) -> list[tuple[bytes, bytes]]:
        """Return the messages to accounts since the last call."""
        sent: list[OutgoingRecord] = list(self._collector.records)
        self._collector.records.clear()
        return [(each.key or b"", each.value or b"") for each in sent if each.topic == self._source]

    def _changes(self) -> dict[bytes, bytes | None]:
        if not self._is_finished:
            self._fold.finish()
            self._is_finished = True
        return self._transaction.changes

    def lines_repriced(self, offset: int) -> int:
        """Return how many lines the repricing at that offset priced."""
        count = 0
        for key, value in self._changes().items():
            if value is not None and is_account_line(key):
                count += LINE.decode(value, key).repriced_at("") == offset
        return count

    def commit(self) -> Iterator[tuple[str, Head, Head]]:
        """Apply the changes; yield (user, head before, head after) of every account that changed."""
        changes = self._changes()
        for key, value in changes.items():
            if value is not None and is_user_head(key):
                (user_id,) = users_of([key])
                yield user_id, HEAD.read(self._overlay, key) or Head(), HEAD.decode(value, key)
        self._overlay.apply(changes)


def _end_of(records: StoredRecords) -> int:
    """Return the offset after the last record that the table holds."""
    if WATERMARK_KEY not in records:
        return 0
    return decode_watermark(records[WATERMARK_KEY]).offset + 1


def buyers_of(records: StoredRecords) -> Iterator[str]:
    """Yield the users of a table who have lines that they bought."""
    for key in list(records):
        if is_user_head(key):
            head = HEAD.decode(records[key], key)
            if head.open or head.settled_lines or head.closed:
                yield from users_of([key])


async def read_buyers(
    partitions: int, stage: AccountsStage, logs: Logs, on_progress: OnProgress
) -> list[str]:
    """Return everybody who bought a line, from the tables as they are."""
    found: list[str] = []
    for partition in range(partitions):
        copy = TableCopy(logs, stage.changelog, partition)
        await copy.read()
        found += buyers_of(copy.records)
        on_progress(len(found), "users found")
    return found
