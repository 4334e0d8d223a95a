"""What the stages tell other systems: which events, to which topic, and since when (docs/events.md).

Law: an event is sent exactly if the record that it tells of has a timestamp that is not before `since_ms`.
It is separate from the stages because both tell of dead letters, and an audit has them tell otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from rebate_app.domain.account import Head
from rebate_app.domain.events import News, balance_event
from rebate_app.lane.outbox import Headers, Outbox, Outgoing
from rebate_app.lane.stage import Record
from rebate_app.wire.events import APP_HEADER, encode_balance, encode_dead_letter, encode_line

from .dead_letters import place_of

MILLISECOND_US = 1_000


class Telling(Struct, frozen=True):
    """Where events go. `since_ms` is asked when a chunk begins: it is known once the worker has started.

    `singly`: a balance is told after every record that posts to it, and not once a chunk, even where that
    changes nothing today; so an audit, which cuts chunks otherwise, sees all that could have been told.
    """

    topic: str = "rebate-events"
    since_ms: Callable[[], int] = lambda: 0
    singly: bool = False


def headers_of(app: str) -> Headers:
    """Return the headers of an event of that app."""
    return ((APP_HEADER, app.encode()),)


def letter_event(record: Record, reason: str, app: str, telling: Telling) -> Outgoing | None:
    """Return the event that a dead letter was opened, None for a record that is too old to be told of.

    Its key and the number of its partition are the record's, like those of the dead letter.
    """
    at_ms = record.timestamp
    if at_ms < telling.since_ms():
        return None
    value = encode_dead_letter(place_of(record), record.key, at_ms * MILLISECOND_US, reason)
    return Outgoing(telling.topic, record.key, value, at_ms, headers_of(app), record.partition)


def tell_lines(news: News, topic: str, headers: Headers, outbox: Outbox) -> None:
    """Send what the lines have to tell."""
    for event in news.lines:
        cause = event.cause
        at_ms = cause.at // MILLISECOND_US
        outbox.send_raw(Outgoing(topic, cause.user_id.encode(), encode_line(event), at_ms, headers))
    news.lines.clear()


def tell_balances(
    news: News, head_of: Callable[[str], Head], telling: Telling, headers: Headers, outbox: Outbox
) -> None:
    """Send what the balances have to tell: one event for each that differs, told singly for each at all."""
    for user_id, change in news.changes.items():
        event = balance_event(user_id, head_of(user_id), change)
        if telling.singly or event.before != event.after:
            at_ms = event.entry.at // MILLISECOND_US
            outbox.send_raw(Outgoing(telling.topic, user_id.encode(), encode_balance(event), at_ms, headers))
    news.changes.clear()
