"""Events on `rebate-events`, as JSON (docs/events.md).

Value and id of an event follow from the log alone: equal facts give equal bytes, so a receiver that remembers
ids never acts twice. The JSON Schema of these Structs is docs/schemas/rebate-event-1.json.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Any, Literal

from msgspec import UNSET, DecodeError, Meta, Struct, UnsetType, ValidationError, field
from msgspec.json import Decoder, Encoder, schema_components

from rebate_app.domain.account.events import (
    ATTRIBUTED,
    CLAWED_BACK,
    LINE_CLOSED,
    SETTLED,
    BalanceBuckets,
    BalanceEvent,
    LineEvent,
)
from rebate_app.domain.money_out.money_events import AdjustmentChanged, MoneyEvent

from .facts.identifiers import user_id_ok
from .failure_headers import Place
from .moments import format_date, format_moment

SchemaName = Literal["rebate-event/1"]
SCHEMA: SchemaName = "rebate-event/1"
SCHEMA_ID = "urn:taoke-rebate:rebate-event:1"
#: Header of an event: the app that sent it. The value has no app id, so that a rebuild sends equal bytes.
APP_HEADER = "rebate-app"

BALANCE_CHANGED = "balance.changed"
DEAD_LETTER_OPENED = "dead-letter.opened"

EventId = Annotated[
    str, Meta(pattern="^[0-9a-f]{32}$", description="names the event; the same when sent again")
]
UserId = Annotated[str, Meta(min_length=1, max_length=128)]
Moment = Annotated[
    str,
    Meta(
        pattern=r"^\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+08:00$",
        description="timestamp of the causing record",
    ),
]
Day = Annotated[str, Meta(pattern=r"^\d{4,}-\d\d-\d\d$", description="a day in Asia/Shanghai")]
NotNegative = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(gt=0)]


class Buckets(Struct, frozen=True, gc=False):
    """A user's money in fen as of the event's moment (docs/spec/http.md#balance); `available` is signed."""

    estimated: int
    confirmed: int
    held: int
    available: int
    frozen: int
    withdrawn: int
    debt: NotNegative


class BalanceCause(Struct, frozen=True, gc=False):
    """The newest ledger entry behind the change: `kind`, `role` and `reason` as the ledger has them."""

    kind: str
    platform: str
    order_line_id: str
    role: str
    reason: str


class BalanceChanged(Struct, frozen=True, gc=False, tag_field="kind", tag=BALANCE_CHANGED):
    """A balance has changed; `version` is the account's, after that change."""

    schema: SchemaName
    event_id: EventId
    user_id: UserId
    at: Moment
    version: Positive
    before: Buckets
    after: Buckets
    cause: BalanceCause


class LineAttributed(Struct, frozen=True, gc=False, tag_field="kind", tag=ATTRIBUTED):
    """A line became this user's, as its buyer; `by` is what decided, as in `owner.by` of a line."""

    schema: SchemaName
    event_id: EventId
    user_id: UserId
    at: Moment
    platform: str
    order_line_id: str
    role: Literal["buyer"]
    by: str


class LineSettled(Struct, frozen=True, gc=False, tag_field="kind", tag=SETTLED):
    """A line that the user bought is settled, or will be on a day that is known (`effective_on`).

    `settled` and `held` are the user's share from then on, in fen; `release_on` is when it is available.
    """

    schema: SchemaName
    event_id: EventId
    user_id: UserId
    at: Moment
    platform: str
    order_line_id: str
    role: Literal["buyer"]
    effective_on: Day | None
    settled: int
    held: int
    release_on: Day | None


class LineClosed(Struct, frozen=True, gc=False, tag_field="kind", tag=LINE_CLOSED):
    """A line that the user bought is closed: its value is 0."""

    schema: SchemaName
    event_id: EventId
    user_id: UserId
    at: Moment
    platform: str
    order_line_id: str
    role: Literal["buyer"]
    why: Literal["closed", "superseded", "punished"]


class LineClawedBack(Struct, frozen=True, gc=False, tag_field="kind", tag=CLAWED_BACK):
    """Settled or held money of a line was taken back: `amount` in fen. `depth` for inviters only."""

    schema: SchemaName
    event_id: EventId
    user_id: UserId
    at: Moment
    platform: str
    order_line_id: str
    role: Literal["buyer", "inviter"]
    amount: Positive
    reason: str
    depth: Annotated[int, Meta(ge=1, le=2)] | UnsetType = UNSET


class WithdrawalChangedEvent(Struct, frozen=True, gc=False, tag_field="kind", tag="withdrawal.changed"):
    """A withdrawal went from one state to another (docs/money-out.md#states); amounts in fen.

    `payout_no` and `net` are null while it is not accepted; `reason` says why it was refused, rejected or
    cancelled.
    """

    schema: SchemaName
    event_id: EventId
    user_id: UserId
    at: Moment
    withdrawal_id: str
    payout_no: str | None
    amount: Positive
    net: int | None
    before: str = field(name="from")
    after: str = field(name="to")
    reason: str | None
    needs_user_url: str | None


class AdjustmentChangedEvent(Struct, frozen=True, gc=False, tag_field="kind", tag="adjustment.changed"):
    """An adjustment was proposed (`from` is null), approved or rejected; `amount` is signed, in fen."""

    schema: SchemaName
    event_id: EventId
    user_id: UserId
    at: Moment
    adjustment_id: str
    amount: int
    reason_code: str
    before: str | None = field(name="from")
    after: str = field(name="to")


class DeadLetterOpened(Struct, frozen=True, gc=False, tag_field="kind", tag=DEAD_LETTER_OPENED):
    """A record could not be used; `id` is the dead letter's, its place (docs/dead-letters.md)."""

    schema: SchemaName
    event_id: EventId
    user_id: UserId | None
    at: Moment
    id: str
    topic: str
    partition: NotNegative
    offset: NotNegative
    reason: str


AnyBuckets = Buckets | BalanceBuckets
Event = (
    BalanceChanged
    | LineAttributed
    | LineSettled
    | LineClosed
    | LineClawedBack
    | WithdrawalChangedEvent
    | AdjustmentChangedEvent
    | DeadLetterOpened
)

_encode = Encoder().encode
_decoder: Decoder[Event] = Decoder(Event)
_PERSON = SCHEMA.encode()  # sets ids of events apart from other hashes


class NoEventError(ValueError):
    """The value is no event that this version knows."""


def decode_event(value: bytes | None) -> Event:
    """Return the event; NoEventError for everything else."""
    try:
        return _decoder.decode(value or b"")
    except (DecodeError, ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise NoEventError(str(error)) from error


def _id_of(name: str) -> str:
    """Return the id that belongs to a name; parts of names contain no line break, so ids are unambiguous."""
    return blake2b(name.encode(), digest_size=16, person=_PERSON).hexdigest()


def encode_balance(event: BalanceEvent) -> bytes:
    """Return the value of a `balance.changed`."""
    user_id, version, entry = event.user_id, event.version, event.entry
    at = format_moment(entry.at)
    platform, _, order_line_id = entry.line.partition(":")
    return _encode(
        BalanceChanged(
            SCHEMA,
            balance_id(user_id, at, version, event.before, event.after),
            user_id,
            at,
            version,
            _buckets(event.before),
            _buckets(event.after),
            BalanceCause(entry.kind, platform, order_line_id, entry.role, entry.cause),
        )
    )


def balance_id(user_id: str, at: str, version: int, before: AnyBuckets, after: AnyBuckets) -> str:
    """Return the id of a `balance.changed` with these buckets."""
    name = (
        f"{BALANCE_CHANGED}\n{user_id}\n{at}\n{version}\n"
        f"{before.estimated} {before.confirmed} {before.held} {before.available}\n"
        f"{after.estimated} {after.confirmed} {after.held} {after.available}"
    )
    return _id_of(name)


def _buckets(sums: BalanceBuckets) -> Buckets:
    available = sums.available
    return Buckets(
        sums.estimated,
        sums.confirmed,
        sums.held,
        available,
        sums.frozen,
        sums.withdrawn,
        max(0, -available),
    )


def encode_line(event: LineEvent) -> bytes:
    """Return the value of a line's event."""
    cause = event.cause
    name = (
        f"{event.kind}\n{cause.user_id}\n{cause.at}\n{cause.line}\n{cause.sender}\n"
        f"{cause.line_version}\n{cause.repeat_version}"
    )
    platform, _, order_line_id = cause.line.partition(":")
    head: tuple[SchemaName, str, str, str, str, str]
    head = (SCHEMA, _id_of(name), cause.user_id, format_moment(cause.at), platform, order_line_id)
    if event.kind == ATTRIBUTED:
        return _encode(LineAttributed(*head, "buyer", event.by))
    if event.kind == SETTLED:
        effective_on, release_on = _day(event.effective_on), _day(event.release_on)
        return _encode(LineSettled(*head, "buyer", effective_on, event.settled, event.held, release_on))
    if event.kind == LINE_CLOSED:
        return _encode(LineClosed(*head, "buyer", event.why))  # type: ignore[arg-type]
    depth = event.depth or UNSET
    return _encode(LineClawedBack(*head, event.role, event.amount, cause.reason, depth))  # type: ignore[arg-type]


def encode_money(event: MoneyEvent) -> bytes:
    """Return the value of a `withdrawal.changed` or `adjustment.changed`."""
    user_id, at = event.user_id, format_moment(event.at)
    if isinstance(event, AdjustmentChanged):
        name = f"adjustment.changed\n{user_id}\n{event.adjustment_id}\n{event.before}\n{event.after}"
        return _encode(
            AdjustmentChangedEvent(
                SCHEMA,
                _id_of(name),
                user_id,
                at,
                event.adjustment_id,
                event.amount,
                event.reason_code,
                event.before or None,
                event.after,
            )
        )
    own_id, before, after = event.withdrawal_id, event.before, event.after
    name = f"withdrawal.changed\n{user_id}\n{own_id}\n{event.at}\n{event.attempts}\n{before}\n{after}"
    accepted = bool(event.payout_no)
    return _encode(
        WithdrawalChangedEvent(
            SCHEMA,
            _id_of(name),
            user_id,
            at,
            own_id,
            event.payout_no or None,
            event.amount,
            event.net if accepted else None,
            before,
            after,
            event.reason or None,
            event.needs_user_url or None,
        )
    )


def _day(day: int | None) -> str | None:
    return None if day is None else format_date(day)


def encode_dead_letter(place: Place, key: bytes | None, at: int, reason: str) -> bytes:
    """Return the value of a `dead-letter.opened`: of the record's content only its user, if any."""
    event_id = _id_of(f"{DEAD_LETTER_OPENED}\n{place.topic}\n{place.partition}\n{place.offset}")
    return _encode(
        DeadLetterOpened(SCHEMA, event_id, _user_of(key), format_moment(at), str(place), *place, reason)
    )


def _user_of(key: bytes | None) -> str | None:
    try:
        text = (key or b"").decode()
    except UnicodeDecodeError:
        return None
    return text if user_id_ok(text) else None


def event_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of an event."""
    (schema,), components = schema_components([Event], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "An event on rebate-events",
        **schema,
        "$defs": components,
    }
