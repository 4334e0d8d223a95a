"""A world for the order of webhooks: logs made of lists, a receiver, time, and crashes at any moment.

Only what a broker and a receiver promise is modelled: what is acknowledged stands in the log; what was not
may stand there too, also after somebody else has taken over; a request that was sent may arrive, answered or
not.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from rebate_app.streams.side.window import Window
from rebate_app.streams.task.batch import RecordBatch
from rebate_app.streams.task.stage import Record
from rebate_app.streams.transaction.collector import OutgoingRecord
from rebate_app.webhooks.delivery import (
    DELIVERED,
    NEEDED,
    RETRY,
    UNCLEAR,
    DeliveryAttempt,
    Forward,
    Plan,
    Release,
)
from rebate_app.webhooks.queues import Queues
from rebate_app.webhooks.retry_records import (
    DeliveryState,
    Event,
    ProgressMarker,
    Undelivered,
    dead_letter_record,
    progress_record,
    read_retry_record,
    retry_record,
)
from rebate_app.wire.failure_headers import Place, texts_of
from tests.topology_driver import LogRecord

APP = "app"
EVENTS, RETRIES, DEAD = "events", ("retry-10s", "retry-1m", "retry-10m"), "dlt"
DELAYS_MS = (10_000, 60_000, 600_000)
GIVE_UP_MS = 3_000_000


class Sent(Struct):
    """A record that is under way; `place`: where it stands, once it does, acknowledged or not."""

    action: Forward | ProgressMarker
    place: Place | None = None


class Session(Struct):
    """One owner of the partition, and what it knows of events by their numbers, whatever its queues say."""

    queues: Queues
    windows: dict[str, Window]
    failed: dict[int, int]  # how many attempts had failed, as the copies said that it began with
    attempts: list[DeliveryAttempt] = []
    copies: list[Sent] = []
    done: set[int] = set()
    not_before: dict[int, int] = {}  # when an event that has failed may be attempted again


class World:
    """One partition. Every method is one thing that may happen next."""

    def __init__(self, kept_bytes_max: int = 4_000) -> None:
        self.now = 1_000_000
        self.logs: dict[str, list[LogRecord]] = {name: [] for name in (EVENTS, *RETRIES, DEAD)}
        self.committed = dict.fromkeys((EVENTS, *RETRIES), 0)
        self.received: list[tuple[bytes, int]] = []  # (user, number of the event), as they arrive
        self.plan = Plan(EVENTS, RETRIES, APP, GIVE_UP_MS, kept_bytes_max)
        self.late: list[OutgoingRecord] = []  # copies that a dead worker has sent and that may still arrive
        self.session = self.take_over()

    # -- the log

    def append(self, out: OutgoingRecord) -> Place:
        """Write a record."""
        log = self.logs[out.topic]
        log.append(LogRecord(out.topic, 0, len(log), out.timestamp_ms, out.key, out.value, out.headers))
        return Place(out.topic, 0, len(log) - 1)

    def happen(self, user: bytes) -> None:
        """Something happens to a user."""
        number = len(self.logs[EVENTS])
        self.append(OutgoingRecord(EVENTS, user, str(number).encode(), self.now))

    # -- the worker

    def take_over(self, restored: Sequence[str] = RETRIES) -> Session:
        """Begin as a new owner does: restore what waits from the committed offsets on, then read on.

        `restored`: the retry topics in the order in which their records happen to be fetched.
        """
        queues = Queues(self.plan, lambda: self.now)
        failed: dict[int, int] = {}
        for topic in restored:
            for record in self.logs[topic][self.committed[topic] :]:
                queues.restore(record)
                copy = read_retry_record(record, APP)
                if isinstance(copy, DeliveryState):
                    number = copy.origin.offset
                    failed[number] = max(copy.attempts, failed.get(number, 0))
        windows = {topic: Window(topic, 0, offset) for topic, offset in self.committed.items()}
        self.session = Session(queues, windows, failed)
        queues.begin(self.committed[EVENTS])
        self.act()
        return self.session

    def act(self) -> None:
        """Do at once what needs nobody else."""
        for action in self.session.queues.take_actions():
            if isinstance(action, Release):
                self.session.windows[action.place.topic].release(action.place.offset)
            elif isinstance(action, DeliveryAttempt):
                self.check_attempt(action)
                self.session.attempts.append(action)
            else:
                self.session.copies.append(Sent(action))

    def read(self, topic: str) -> bool:
        """Take the next record of a topic, if there is one and it is due."""
        window = self.session.windows[topic]
        log = self.logs[topic]
        if window.expected < len(log):
            end = window.expected + 1
            window.add(RecordBatch(topic, 0, window.expected, end, end, [log[window.expected]]))
        if not window.waiting:
            return False
        record = window.waiting[0]
        if topic in RETRIES:
            judged = self.session.queues.classify(record)
            if judged == UNCLEAR or (judged == NEEDED and self.due_at(record) > self.now):
                return False
        self.session.queues.take(window.take())
        self.act()
        return True

    def due_at(self, record: Record) -> int:
        """Return when a copy is due."""
        return record.timestamp + DELAYS_MS[RETRIES.index(record.topic)]

    def answer(self, index: int, outcome: str) -> None:
        """Let the receiver answer a request that is under way."""
        attempt = self.session.attempts.pop(index % len(self.session.attempts))
        number = int(attempt.event.value)
        if outcome == DELIVERED:
            self.receive(attempt)
        if outcome == RETRY:
            delay_ms = DELAYS_MS[min(attempt.delivery.state.attempts, len(DELAYS_MS) - 1)]
            self.session.not_before[number] = self.now + delay_ms
        else:
            self.session.done.add(number)
        self.session.queues.attempt_ended(attempt.delivery, outcome, "status-500")
        self.act()

    def receive(self, attempt: DeliveryAttempt) -> None:
        """Let a request arrive."""
        assert attempt.event.key is not None
        self.received.append((attempt.event.key, int(attempt.event.value)))

    def acknowledge(self, index: int) -> None:
        """Let a copy that is under way arrive, or if it has, let the broker acknowledge it."""
        index %= len(self.session.copies)
        sent = self.session.copies[index]
        if sent.place is None:
            sent.place = self.append(self.written(sent.action))
            return
        del self.session.copies[index]
        if isinstance(sent.action, Forward):
            self.session.queues.forwarded(sent.action.delivery, sent.place)
        self.act()

    def written(self, action: Forward | ProgressMarker) -> OutgoingRecord:
        """Return the record of an action."""
        if isinstance(action, ProgressMarker):
            return progress_record(action, RETRIES[-1], 0, APP, self.now)
        if action.reason:
            why = Undelivered(action.reason, APP, "1", "w")
            return dead_letter_record(action.event, action.state, why, DEAD, self.now)
        return retry_record(action.event, action.state, RETRIES[action.level], APP, self.now)

    def commit(self) -> None:
        """Commit where the worker is."""
        self.committed = {topic: window.position for topic, window in self.session.windows.items()}

    def crash(self, arrived: Sequence[bool]) -> None:
        """End the worker; of what is under way some arrives at once, some later, some never."""
        outcomes = iter([*arrived, *([False] * 1_000)])
        for attempt in self.session.attempts:
            if next(outcomes):
                self.receive(attempt)
        for sent in self.session.copies:
            if sent.place is None and next(outcomes):
                self.append(self.written(sent.action))
            elif sent.place is None and next(outcomes):
                self.late.append(self.written(sent.action))
        self.take_over(RETRIES if len(arrived) % 2 else RETRIES[::-1])

    def arrive_late(self) -> None:
        """Let a copy of a dead worker arrive, long after its successor has begun."""
        if self.late:
            self.append(self.late.pop())

    def drain(self) -> None:
        """Let everything succeed until nothing is left to do; AssertionError if it never ends."""
        for _ in range(20_000):
            while self.session.attempts:
                self.answer(0, DELIVERED)
            while self.session.copies:
                self.acknowledge(0)
            read = [self.read(topic) for topic in (*RETRIES, EVENTS)]
            if any(read) or self.session.attempts or self.session.copies:
                continue
            heads = [w.waiting[0] for t, w in self.session.windows.items() if t in RETRIES and w.waiting]
            if not heads:
                break
            self.now = max(self.now, min(map(self.due_at, heads)))
        assert not len(self.session.queues), "something is left"
        self.commit()
        assert self.committed == {topic: len(self.logs[topic]) for topic in self.committed}

    # -- what has to hold

    def check_attempt(self, attempt: DeliveryAttempt) -> None:
        """One owner is done with an event once, waits after a failure, and goes on where the last one was."""
        session, number, state = self.session, int(attempt.event.value), attempt.delivery.state
        assert number not in session.done, "attempted again, though it was answered"
        assert self.now >= session.not_before.get(number, 0), "attempted again before its time"
        assert state.attempts >= session.failed.get(number, 0), "attempts were forgotten"
        if state.attempts:
            stands = attempt.delivery.stored_at
            assert self.now >= self.due_at(self.logs[stands.topic][stands.offset]), "its copy is not due yet"

    def given_up(self) -> set[int]:
        """Return the numbers of the events that are dead letters."""
        return {int(texts_of(r.headers)["rebate-error-offset"]) for r in self.logs[DEAD]}

    def check(self) -> None:
        """Every event has arrived or is a dead letter, and first arrivals are in order per user."""
        given_up = self.given_up()
        users: dict[bytes, list[int]] = {}
        for user, number in self.received:
            seen = users.setdefault(user, [])
            if number not in seen and number not in given_up:
                seen.append(number)
        for record in self.logs[EVENTS]:
            assert record.key is not None
            assert record.offset in given_up or record.offset in users[record.key]
        for seen in users.values():
            assert seen == sorted(seen), seen


def event(text: bytes = b"{}") -> tuple[Event, DeliveryState]:
    """Return an event and its state, for tests of formats."""
    return Event(b"u1", text, (("theirs", b"1"),)), DeliveryState(Place(EVENTS, 0, 7), 5, 2, 3, "status-500")
