"""Emits the events of a batch for other systems (docs/events.md).

An event is emitted if and only if the record that causes it has a timestamp at or after the event epoch.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from rebate_app.domain.account.account import Head
from rebate_app.domain.account.events import PendingEvents, balance_event
from rebate_app.wire.events import (
    APP_HEADER,
    encode_balance,
    encode_dead_letter,
    encode_line,
    encode_money,
)
from rebate_app.wire.moments import MILLISECOND_US
from rebate_app.wire.truncation import event_key

from .task.stage import Record, place_of
from .transaction.collector import Headers, OutgoingRecord, RecordCollector


class EventPolicy(Struct, frozen=True):
    """The topic of events and their epoch, which is known only once the worker has started.

    `singly`: emit a balance event after every record that posts to the balance, instead of one per batch,
    even if it changes nothing. An audit, which cannot see batch boundaries, gets all events that may have
    been sent.
    """

    topic: str = "rebate-events"
    since_ms: Callable[[], int] = lambda: 0
    singly: bool = False


def headers_of(app: str) -> Headers:
    """Return the headers of an event of that app."""
    return ((APP_HEADER, app.encode()),)


def dead_letter_event(
    record: Record, reason: str, app: str, event_policy: EventPolicy
) -> OutgoingRecord | None:
    """Return the event of a new dead letter, None for a record from before the event epoch.

    It has the key and the partition number of the record, as the dead letter has.
    """
    at_ms = record.timestamp
    if at_ms < event_policy.since_ms():
        return None
    key = event_key(record.key)
    value = encode_dead_letter(place_of(record), key, at_ms * MILLISECOND_US, reason)
    return OutgoingRecord(event_policy.topic, key, value, at_ms, headers_of(app), record.partition)


def emit_line_events(
    pending_events: PendingEvents, topic: str, headers: Headers, collector: RecordCollector
) -> None:
    """Send the pending events of order lines."""
    for event in pending_events.lines:
        cause = event.cause
        at_ms = cause.at // MILLISECOND_US
        collector.send_raw(OutgoingRecord(topic, cause.user_id.encode(), encode_line(event), at_ms, headers))
    pending_events.lines.clear()


def emit_money_events(
    pending_events: PendingEvents, topic: str, headers: Headers, collector: RecordCollector
) -> None:
    """Send the pending events of withdrawals and adjustments."""
    for event in pending_events.money:
        at_ms = event.at // MILLISECOND_US
        collector.send_raw(OutgoingRecord(topic, event.user_id.encode(), encode_money(event), at_ms, headers))
    pending_events.money.clear()


def emit_balance_events(
    pending_events: PendingEvents,
    head_of: Callable[[str], Head],
    event_policy: EventPolicy,
    headers: Headers,
    collector: RecordCollector,
) -> None:
    """Send the pending events of balances: one for each that differs, or for each at all if `singly`."""
    for user_id, change in pending_events.changes.items():
        event = balance_event(user_id, head_of(user_id), change)
        if event_policy.singly or event.before != event.after:
            at_ms = event.entry.at // MILLISECOND_US
            collector.send_raw(
                OutgoingRecord(event_policy.topic, user_id.encode(), encode_balance(event), at_ms, headers)
            )
    pending_events.changes.clear()
