"""Order facts on `order_topic`: bytes in, a checked fact out, or every reason why not.

Law: `decode_order` answers exactly what the careful reading of order_check.py answers. It is separate
because it is fast: a typed decode takes the facts that are beyond doubt, which is nearly all of them,
and whatever is not beyond doubt goes the careful way.
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

from .identifiers import (
    NO_VALUES,
    VALUE_CHARACTERS_MAX,
    match_line,
    match_suit_id,
    match_user_id,
    match_value,
)
from .json_values import encode_any, is_shallow, parse_strict
from .moments import parse_date, parse_moment
from .order_check import (
    FETCH_SEQ_MAX,
    FUTURE_US_MAX,
    NO_KEY,
    PRICED_STATUSES,
    SETTLED,
    check_keyed_order,
)
from .show import encode_show

__all__ = ["check_order", "decode_order", "decode_order_carefully", "encode_order", "key_text"]


_Amount = Annotated[int, Meta(ge=-AMOUNT_FEN_MAX, le=AMOUNT_FEN_MAX)]
_Charge = Annotated[int, Meta(ge=0, le=AMOUNT_FEN_MAX)]
_FetchSeq = Annotated[int, Meta(ge=0, le=FETCH_SEQ_MAX)]
_Status = Literal["created", "paid", "received", "settled", "punished", "closed", "superseded", "unknown"]


class _Seq(Struct, gc=False):
    modified_at: str
    fetch_seq: _FetchSeq | None = None


class _Amounts(Struct, gc=False):
    est_commission: _Amount | None = None
    settled_commission: _Amount | None = None
    service_fee: _Charge | None = None


class _Times(Struct, gc=False):
    paid: str | None = None
    settled: str | None = None
    expected_settle: str | None = None


class _Wire(Struct, gc=False, tag_field="kind"):
    schema: Literal["order-event/1"]
    platform: str
    order_line_id: str


class _WireSnapshot(_Wire, gc=False, tag="order.snapshot"):
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


class _WireRefund(_Wire, gc=False, tag="order.refund"):
    suit_id: str
    refund_status: Literal["open", "restored", "failed", "success"]
    net_refund: _Charge
    modified_at: str


class _WirePunish(_Wire, gc=False, tag="order.punish"):
    punish_status: Literal["frozen", "lifted", "confirmed"]
    modified_at: str


class _WireClaim(_Wire, gc=False, tag="order.claim"):
    user_id: str
    claimed_at: str


_NO_AMOUNTS = _Amounts()
_NO_TIMES = _Times()
_AnyWire = _WireSnapshot | _WireRefund | _WirePunish | _WireClaim
_decode = msgspec.json.Decoder(_AnyWire).decode


def decode_order(value: bytes | None, key: bytes | None, record_us: int) -> OrderFact:
    """Return the fact of one record of `order_topic`.

    `record_us` is the record's own timestamp in microseconds UTC. RefusedError with every fault in the
    order of contracts.md 5 if it is to be refused.
    """
    try:
        if value is not None and key is not None and is_shallow(value):
            fact = _fast(value, key, record_us)
            if fact is not None:
                return fact
    except (ValueError, TypeError, RecursionError):
        # Whatever the typed decode dislikes, the careful reading says why, or takes it after all.
        pass
    return decode_order_carefully(value, key, record_us)


def decode_order_carefully(value: bytes | None, key: bytes | None, record_us: int) -> OrderFact:
    """Return what `decode_order` returns, without the fast path: the reference that it is tested against."""
    if value is None:
        raise RefusedError([Fault(UNDECODABLE, "", "the record has no value")])
    try:
        document = parse_strict(value)
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
        if fact is not None:
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
        value.decode()  # the typed decode does not look at the bytes of members it skips
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
        encode_show(wire.parent_order_id, wire.platform_status, wire.status_reason, wire.item),
    )


def _fast_attribution(told: Attribution) -> Attribution:
    """Return the attribution without the texts that stand for no value; ValueError if one is in doubt."""
    if (
        (told.user_id is None or (told.user_id not in NO_VALUES and match_user_id(told.user_id)))
        and (told.special_id is None or _is_plain(told.special_id))
        and (told.sub_union_id is None or _is_plain(told.sub_union_id))
        and (told.custom_uid is None or _is_plain(told.custom_uid))
        and (told.relation_id is None or _is_plain(told.relation_id))
        and (told.pid is None or _is_plain(told.pid))
    ):
        return told
    fields = ("user_id", *ATTRIBUTION_FIELDS)
    values = {name: text for name in fields if (text := getattr(told, name)) not in NO_VALUES}
    for name, text in values.items():
        accepts = match_user_id if name == "user_id" else match_value
        if text is not None and accepts(text) is None:
            raise ValueError(f"{name} is in doubt")
    return Attribution(**values)


def _is_plain(text: str) -> bool:
    """Return whether an attribution value certainly is one: letters, digits and `_`, of any script."""
    return len(text) <= VALUE_CHARACTERS_MAX and text not in NO_VALUES and text.replace("_", "a").isalnum()
