"""Order facts on `order_topic`: decode and check a record, or encode a fact.

`decode_order` returns exactly what the reference in order_check.py returns. A typed decode handles the
facts that are beyond doubt, which are nearly all; every other value takes the reference's path. Amounts are
fen, moments are microseconds UTC; a refused record raises RefusedError with every fault in contract order.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import orjson
from msgspec import Meta, Struct

from rebate_app.domain.facts import (
    AMOUNT_FEN_MAX,
    ATTRIBUTION_FIELDS,
    Attribution,
    Claim,
    OrderFact,
    Punish,
    Refund,
    Snapshot,
)
from rebate_app.domain.faults import UNDECODABLE, Fault, RefusedError

from ..json_values import encode_any, is_shallow
from ..large_values import WHOLE_BYTES_MAX, parse_fact
from ..moments import parse_date, parse_moment
from .display_fields import encode_display_fields
from .identifiers import (
    NO_VALUES,
    VALUE_CHARACTERS_MAX,
    match_line,
    match_suit_id,
    match_user_id,
    match_value,
)
from .order_check import (
    FETCH_SEQ_MAX,
    FUTURE_US_MAX,
    NO_KEY,
    PRICED_STATUSES,
    SETTLED,
    check_keyed_order,
    dot_members,
)
from .text_types import DayText, LineIdText, MomentText, PlatformText, SuitIdText, UserIdText

__all__ = ["check_order", "decode_order", "decode_order_by_reference", "encode_order", "key_text"]


_Amount = Annotated[int, Meta(ge=-AMOUNT_FEN_MAX, le=AMOUNT_FEN_MAX, description="fen")]
_Charge = Annotated[int, Meta(ge=0, le=AMOUNT_FEN_MAX, description="fen")]
_FetchSeq = Annotated[
    int, Meta(ge=0, le=FETCH_SEQ_MAX, description="the later of two equal reports; 0 if absent")
]
_Status = Literal["created", "paid", "received", "settled", "punished", "closed", "superseded", "unknown"]


class _Seq(Struct, gc=False):
    """The place of a snapshot in the version order of its line."""

    modified_at: MomentText
    fetch_seq: _FetchSeq | None = None


class _Amounts(Struct, gc=False):
    """Commission of the line in fen; an absent settled_commission or service_fee is 0."""

    est_commission: _Amount | None = None
    settled_commission: _Amount | None = None
    service_fee: _Charge | None = None


class _Times(Struct, gc=False):
    """What happened when; expected_settle is the day on which the network says that it will settle."""

    paid: MomentText | None = None
    settled: MomentText | None = None
    expected_settle: DayText | None = None


class _Wire(Struct, gc=False, tag_field="kind"):
    schema: Literal["order-event/1"]
    platform: PlatformText
    order_line_id: LineIdText


class _WireSnapshot(_Wire, gc=False, tag="order.snapshot"):
    """The state of one order line at its network, whole."""

    seq: _Seq
    status: _Status
    currency: Literal["CNY"]
    amounts: _Amounts | None = None
    times: _Times | None = None
    attribution: Attribution | None = None
    parent_order_id: Any = None
    platform_status: Any = None
    status_reason: Any = None
    item: Any = None
    order_id: Any = None


class _WireRefund(_Wire, gc=False, tag="order.refund"):
    """The state of one dispute about a line; net_refund is the commission that goes back."""

    suit_id: SuitIdText
    refund_status: Literal["open", "restored", "failed", "success"]
    net_refund: _Charge
    modified_at: MomentText


class _WirePunish(_Wire, gc=False, tag="order.punish"):
    """The network freezes, confirms or lifts a punishment of the line."""

    punish_status: Literal["frozen", "lifted", "confirmed"]
    modified_at: MomentText


class _WireClaim(_Wire, gc=False, tag="order.claim"):
    """A user claims the line."""

    user_id: UserIdText
    claimed_at: MomentText


_NO_AMOUNTS = _Amounts()
_NO_TIMES = _Times()
_AnyWire = _WireSnapshot | _WireRefund | _WirePunish | _WireClaim
#: What the typed decode takes; the JSON Schema is made of it (schemas.py).
ORDER_TYPES = _AnyWire
_decode = msgspec.json.Decoder(_AnyWire).decode


def decode_order(value: bytes | None, key: bytes | None, record_us: int) -> OrderFact:
    """Return the fact of one record of `order_topic`.

    `record_us` is the record's own timestamp in microseconds UTC. RefusedError with every fault in the
    order of docs/spec/facts.md#reason-codes if it is to be refused.
    """
    try:
        if value is not None and key is not None and len(value) <= WHOLE_BYTES_MAX and is_shallow(value):
            fact = _fast(value, key, record_us)
            if fact is not None:
                return fact
    except (ValueError, TypeError, RecursionError):
        # The reference names the faults of what the typed decode refuses, or accepts it after all.
        pass
    return decode_order_by_reference(value, key, record_us)


def decode_order_by_reference(value: bytes | None, key: bytes | None, record_us: int) -> OrderFact:
    """Return what `decode_order` returns, without the fast path: the reference in its tests."""
    if value is None:
        raise RefusedError([Fault(UNDECODABLE, "", "the record has no value")])
    try:
        document = parse_fact(value)
        text = key_text(key)
    except ValueError as error:
        raise RefusedError([Fault(UNDECODABLE, "", str(error))]) from None
    verdict = check_keyed_order(document, text, record_us)
    if isinstance(verdict, list):
        raise RefusedError(verdict)
    return verdict


def key_text(key: bytes | None) -> str | None:
    """Return the text of a record's key, None for none; ValueError if it is not UTF-8."""
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        raise ValueError("the key is not UTF-8") from None


def check_order(document: object, now_us: int) -> OrderFact | list[Fault]:
    """Return the fact that a parsed JSON value is, or all its faults in contract order, at least one.

    `now_us` is the moment after which a `modified_at` is too far in the future by 24 hours. There is no
    key to compare with; whoever sends the fact derives the key from it.
    """
    try:
        wire: _AnyWire = msgspec.convert(document, type=_AnyWire)
        fact = _checked(wire, f"{wire.platform}:{wire.order_line_id}", now_us)
        if fact is not None and not dot_members(fact):
            return fact
    except (ValueError, TypeError, RecursionError):
        # As in `decode_order`.
        pass
    return check_keyed_order(document, NO_KEY, now_us)


def encode_order(document: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return the record (key, value) of a fact that `check_order` took, as compact JSON."""
    key = f"{document['platform']}:{document['order_line_id']}".encode()
    try:
        return key, orjson.dumps(document)
    except (TypeError, ValueError):
        # An integer beyond 64 bits or half a surrogate pair, in a member that decides nothing.
        return key, encode_any(document)


def _fast(value: bytes, key: bytes, record_us: int) -> OrderFact | None:
    """Return the fact if it is beyond doubt, else None or an exception; never a fault."""
    if not value.isascii():
        value.decode()  # the typed decode does not check the bytes of members it skips
    wire = _decode(value)
    line = f"{wire.platform}:{wire.order_line_id}"
    return _checked(wire, line, record_us) if key == line.encode() else None


def _checked(wire: _AnyWire, line: str, record_us: int) -> OrderFact | None:
    """Return the fact of a typed value if it is beyond doubt, else None or an exception.

    Types, enumerations and bounds are checked by its type; left are texts, needs and the time.
    """
    if match_line(line) is None:
        return None
    if isinstance(wire, _WireSnapshot):
        fact: Snapshot | Refund | Punish | None = _fast_snapshot(wire, line)
    elif isinstance(wire, _WireRefund):
        modified_at = parse_moment(wire.modified_at)
        known = match_suit_id(wire.suit_id)
        fact = Refund(line, wire.suit_id, wire.refund_status, wire.net_refund, modified_at) if known else None
    elif isinstance(wire, _WirePunish):
        fact = Punish(line, wire.punish_status, parse_moment(wire.modified_at))
    else:
        claimed_at = parse_moment(wire.claimed_at)
        return Claim(line, wire.user_id, claimed_at) if match_user_id(wire.user_id) else None
    return fact if fact is not None and fact.modified_at - record_us <= FUTURE_US_MAX else None


def _fast_snapshot(wire: _WireSnapshot, line: str) -> Snapshot | None:
    """Return the snapshot if nothing that its status needs is absent."""
    status, attribution = wire.status, wire.attribution
    amounts, times = wire.amounts or _NO_AMOUNTS, wire.times or _NO_TIMES
    est_commission, settled_commission = amounts.est_commission, amounts.settled_commission
    paid, settled, expected = times.paid, times.settled, times.expected_settle
    if (est_commission is None or paid is None) and status in PRICED_STATUSES:
        return None
    if settled_commission is None and (expected is not None or status == SETTLED):
        return None
    return Snapshot(
        line,
        parse_moment(wire.seq.modified_at),
        wire.seq.fetch_seq or 0,
        status,
        est_commission,
        settled_commission or 0,
        amounts.service_fee or 0,
        None if paid is None else parse_moment(paid),
        None if settled is None else parse_moment(settled),
        None if expected is None else parse_date(expected),
        None if attribution is None else _fast_attribution(attribution),
        encode_display_fields(
            wire.parent_order_id, wire.platform_status, wire.status_reason, wire.item, wire.order_id
        ),
    )


def _fast_attribution(attribution: Attribution) -> Attribution:
    """Return the attribution without the texts that stand for no value; ValueError if one is in doubt."""
    if (
        (
            attribution.user_id is None
            or (attribution.user_id not in NO_VALUES and match_user_id(attribution.user_id))
        )
        and (attribution.special_id is None or _is_plain(attribution.special_id))
        and (attribution.sub_union_id is None or _is_plain(attribution.sub_union_id))
        and (attribution.custom_uid is None or _is_plain(attribution.custom_uid))
        and (attribution.relation_id is None or _is_plain(attribution.relation_id))
        and (attribution.pid is None or _is_plain(attribution.pid))
    ):
        return attribution
    fields = ("user_id", *ATTRIBUTION_FIELDS)
    values = {name: text for name in fields if (text := getattr(attribution, name)) not in NO_VALUES}
    for name, text in values.items():
        accepts = match_user_id if name == "user_id" else match_value
        if text is not None and accepts(text) is None:
            raise ValueError(f"{name} is in doubt")
    return Attribution(**values)


def _is_plain(text: str) -> bool:
    """Return whether an attribution value certainly is one: letters, digits and `_`, of any script."""
    return len(text) <= VALUE_CHARACTERS_MAX and text not in NO_VALUES and text.replace("_", "a").isalnum()
