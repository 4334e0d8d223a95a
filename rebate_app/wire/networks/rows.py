"""The fields of one network row, read by the customs all three networks share.

Law: `"--"`, `""`, 0 and absent are no time and no id; an id may be a number, but never one with a
point; a field that cannot be read is a fault of the member it would have become (contracts.md 8).
It is separate so that an adapter is a table of fields and codes, without a single try.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from rebate_app.domain.faults import Fault, invalid

from ..members import shown
from ..moments import MOMENT_US_MAX, SECOND_US, beijing_to_us, format_moment
from ..order_check import CURRENCY, ORDER_SCHEMA, SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import Callable

#: How networks write that there is no time or no id.
NONE_TEXTS = ("", "--", "0")
#: Longer codes are no codes; longer texts for show would be dropped by the reader of the topic anyway.
CODE_CHARACTERS_MAX = 64
SHOWN_CHARACTERS_MAX = 1_024

Row = dict[str, Any]


class NetworkRow:
    """One row of a network's answer; `faults` collects what could not be read, by contract member."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self.faults: list[Fault] = []

    def identifier(self, member: str, field: str) -> str | None:
        """Return an id as text, None for none; a number keeps all its digits, a float is a fault."""
        value = self._row.get(field)
        if value is None or value in NONE_TEXTS:
            return None
        if isinstance(value, str):
            return value
        if type(value) is int:
            return str(value) if value else None
        self.refuse(member, field, "an id as text or as an integer")
        return None

    def code(self, member: str, field: str) -> str | None:
        """Return a status code as text, None for none; 0 is a code."""
        value = self._row.get(field)
        if value is None or value in ("", "--"):
            return None
        text = str(value) if type(value) in (int, str) else ""
        if 0 < len(text) <= CODE_CHARACTERS_MAX:
            return text
        self.refuse(member, field, "a code as text or as an integer")
        return None

    def moment(self, member: str, *fields: str) -> int | None:
        """Return the time of the first of the fields that has one, in microseconds UTC."""
        for field in fields:
            moment = self._time(member, field)
            if moment is not None:
                return moment
        return None

    def newest(self, member: str, *fields: str) -> int | None:
        """Return the newest time that any of the fields has."""
        return max((m for field in fields if (m := self._time(member, field)) is not None), default=None)

    def amount(self, member: str, field: str, parse: Callable[[Any], int]) -> int | None:
        """Return an amount in fen, None if absent; what is no amount is a fault."""
        value = self._row.get(field)
        if value is None:
            return None
        try:
            return parse(value)
        except ValueError:
            self.refuse(member, field, "an amount within ±10⁹ fen")
            return None

    def day(self, member: str, field: str) -> str | None:
        """Return a `yyyyMMdd` greater than 0 as `YYYY-MM-DD`, None for none (jd `payMonth`)."""
        value = self._row.get(field)
        if value is None or value in NONE_TEXTS or _is_no_number(value):
            return None
        text = str(value)
        if type(value) in (int, str) and len(text) == len("yyyyMMdd"):
            return f"{text[:4]}-{text[4:6]}-{text[6:]}"
        self.refuse(member, field, "a day yyyyMMdd")
        return None

    def shown(self, field: str) -> str | None:
        """Return a field that is kept for people, as text; None for none and for anything else."""
        value = self._row.get(field)
        text = str(value) if type(value) in (int, str) else ""
        return None if text in NONE_TEXTS or len(text) > SHOWN_CHARACTERS_MAX else text

    def value(self, field: str) -> Any:
        """Return a field as it came."""
        return self._row.get(field)

    def _time(self, member: str, field: str) -> int | None:
        """Return a naive Beijing time or Unix seconds in microseconds UTC, None for none."""
        value = self._row.get(field)
        if value is None or value in NONE_TEXTS or (type(value) in (int, Decimal) and value == 0):
            return None
        try:
            if type(value) is int or (isinstance(value, str) and value.isascii() and value.isdigit()):
                return _unix_us(int(value))
            if isinstance(value, str):
                return beijing_to_us(value)
        except ValueError:
            pass
        self.refuse(member, field, "a time yyyy-MM-dd HH:mm:ss or Unix seconds")
        return None

    def refuse(self, member: str, field: str, says: str) -> None:
        """Note that the field cannot become its member."""
        self.faults.append(invalid(member, f"{field} has to be {says}, and is {shown(self._row.get(field))}"))


class Order(Struct, kw_only=True):
    """What an adapter found in an order row, None for nothing; in microseconds UTC and in fen."""

    platform: str
    order_line_id: str | None
    parent_order_id: str | None
    modified_at: int | None
    status: str | None
    platform_status: str | None
    status_reason: str | None = None
    est_commission: int | None
    settled_commission: int | None
    service_fee: int | None = 0
    paid_at: int | None
    settled_at: int | None = None
    expected_settle: str | None = None
    attribution: dict[str, str | None]
    item: dict[str, str | None]

    def document(self) -> dict[str, Any]:
        """Return the `order.snapshot` of contracts.md 1, without what is not there."""
        amounts = {
            "est_commission": self.est_commission,
            "settled_commission": self.settled_commission,
            "service_fee": self.service_fee,
        }
        times = {
            "paid": moment_text(self.paid_at),
            "settled": moment_text(self.settled_at),
            "expected_settle": self.expected_settle,
        }
        return without_none(
            {
                "schema": ORDER_SCHEMA,
                "kind": SNAPSHOT,
                "platform": self.platform,
                "order_line_id": self.order_line_id,
                "parent_order_id": self.parent_order_id,
                "seq": without_none({"modified_at": moment_text(self.modified_at)}),
                "status": self.status,
                "platform_status": self.platform_status,
                "status_reason": self.status_reason,
                "attribution": without_none(self.attribution) or None,
                "currency": CURRENCY,
                "amounts": without_none(amounts),
                "times": without_none(times),
                "item": without_none(self.item) or None,
            }
        )


def without_none(members: dict[str, Any]) -> dict[str, Any]:
    """Return the members that are there."""
    return {name: value for name, value in members.items() if value is not None}


def moment_text(us: int | None) -> str | None:
    """Return a moment as the contract writes it, None for none."""
    return None if us is None else format_moment(us)


def _is_no_number(value: Any) -> bool:
    """Return whether a number is at most 0, written with a point or without one; no NaN is."""
    if isinstance(value, Decimal):
        return value.is_finite() and value <= 0
    return type(value) is int and value <= 0


def _unix_us(seconds: int) -> int:
    """Return Unix seconds as microseconds; ValueError for a time before 1970 or after the year 9999."""
    us = seconds * SECOND_US
    if 0 < us <= MOMENT_US_MAX:
        return us
    raise ValueError("not a time in seconds")
