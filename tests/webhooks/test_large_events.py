"""An event that no retry topic takes: it is attempted once, and holds nobody up."""

from __future__ import annotations

from rebate_app.streams.transaction.collector import OutgoingRecord
from rebate_app.webhooks.delivery import DEAD, DELIVERED, RETRY, DeliveryAttempt, Forward, Plan, Release
from rebate_app.webhooks.queues import Queues
from rebate_app.webhooks.retry_records import Undelivered, dead_letter_record
from rebate_app.wire.failure_headers import Place, texts_of
from rebate_app.wire.topics import KEPT_BYTES_MAX
from tests.topology_driver import LogRecord
from tests.webhooks.model import APP, EVENTS, GIVE_UP_MS, RETRIES
from tests.webhooks.model import DEAD as DLT

HUGE = b"x" * (20 * 1_048_576)
USER = b"u1"


def event(offset: int, value: bytes) -> LogRecord:
    """Return a record of rebate-events."""
    return LogRecord(EVENTS, 0, offset, 1_000, USER, value)


def size_of(record: OutgoingRecord) -> int:
    """Return the size of key and value."""
    return len(record.key or b"") + len(record.value or b"")


def test_it_is_given_up_after_one_failed_attempt_and_its_user_goes_on() -> None:
    """Though an earlier event of its user waits in a retry topic, and later ones wait behind that one."""
    queues = Queues(Plan(EVENTS, RETRIES, APP, GIVE_UP_MS), lambda: 1_000_000)
    queues.begin(0)
    queues.take(event(0, b"first"))
    (first,) = queues.take_actions()
    assert isinstance(first, DeliveryAttempt)
    queues.attempt_ended(first.delivery, RETRY, "status-500")
    (copy,) = queues.take_actions()
    assert isinstance(copy, Forward)
    queues.forwarded(copy.delivery, Place(RETRIES[0], 0, 0))
    queues.take_actions()
    queues.take(event(1, HUGE))
    (attempt,) = queues.take_actions()
    assert isinstance(attempt, DeliveryAttempt)
    assert attempt.event.value is HUGE
    queues.attempt_ended(attempt.delivery, RETRY, "status-500")
    (given_up,) = queues.take_actions()
    assert isinstance(given_up, Forward)
    assert (given_up.level, given_up.reason) == (DEAD, "webhook-exhausted")
    letter = dead_letter_record(
        given_up.event, given_up.state, Undelivered(given_up.reason, APP, "1", "w"), DLT, 0
    )
    texts = texts_of(letter.headers)
    assert (size_of(letter) < KEPT_BYTES_MAX, texts["rebate-error-truncated"]) == (True, str(len(HUGE)))
    assert (texts["rebate-error-topic"], texts["rebate-error-offset"]) == (EVENTS, "1")
    queues.forwarded(given_up.delivery, Place(DLT, 0, 0))
    assert Release(Place(EVENTS, 0, 1)) in queues.take_actions()
    assert [delivery.state.origin.offset for delivery in queues.waiting()] == [0]


def test_it_is_delivered_like_any_other() -> None:
    """A receiver that takes it is enough."""
    queues = Queues(Plan(EVENTS, RETRIES, APP, GIVE_UP_MS), lambda: 1_000_000)
    queues.begin(0)
    queues.take(event(0, HUGE))
    (attempt,) = queues.take_actions()
    assert isinstance(attempt, DeliveryAttempt)
    queues.attempt_ended(attempt.delivery, DELIVERED, "status-200")
    assert queues.take_actions() == [Release(Place(EVENTS, 0, 0))]
    assert not len(queues)
