"""Read the fields of one network row by the conventions that all networks share (docs/spec/networks.md#rows).

`"--"`, `""`, 0 and absent are no time and no id. An id keeps all its digits: a number in another notation
(`3.901E18`) and a word for nothing (`null`) are no ids. Codes, Unix seconds and days are integers in any
notation. A field that cannot be read is a fault of the member that it would have become. Moments are
microseconds UTC, amounts are fen.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from rebate_app.domain.faults import Fault, invalid

from ..facts.identifiers import DOT_IDS
from ..facts.members import quoted
from ..facts.order_check import CURRENCY, ORDER_SCHEMA, SNAPSHOT
from ..moments import beijing_to_us, format_moment, unix_to_us
from .adapter import MappedRow
from .integers import integer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .adapter import Row

#: How networks write that there is no time or no id.
NONE_TEXTS = ("", "--", "0")
#: The moment 0 as text: as clients in Beijing write it, and as clients in UTC do.
EPOCH_TEXTS = ("1970-01-01 08:00:00", "1970-01-01 00:00:00")
NO_TIME_TEXTS = NONE_TEXTS + EPOCH_TEXTS
EPOCH_DAY = "19700101"
#: What programs write for an absent value, compared without case.
NULL_WORDS = frozenset({"null", "(null)", "undefined", "none", "nil", "<nil>", "n/a"})
#: Words that are names of people as well: no id of a line or a suit, but an attribution value.
OTHER_WORDS = frozenset({"na", "true", "false", "±"})
#: `fetch_seq` of every fact out of an API's answer that has its own modification time.
API_FETCH_SEQ = 1
#: Longer codes are no codes; the decoder of the topic drops longer display texts anyway.
CODE_CHARACTERS_MAX = 64
DISPLAY_CHARACTERS_MAX = 1_024

#: Numbers that are none, and are not finite.
_NO_NUMBER = r"[+±-]?(?:nan|inf|infinity)"
_match_no_number = re.compile(_NO_NUMBER, re.IGNORECASE).fullmatch
#: A number that is not plain digits: with a point, an exponent, a plus sign or thousands commas.
_OTHER_NOTATION = re.compile(
    r"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][+-]?[0-9]+)?"
    r"|\+[0-9]+"
    r"|[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?"
    rf"|{_NO_NUMBER}",
    re.IGNORECASE,
)
#: Numbers that no line and no suit is named by: hexadecimal or negative.
_HEXADECIMAL_OR_NEGATIVE = re.compile(r"[+-]?0[xX][0-9a-fA-F]*|[-±][0-9]+")


class NetworkRow:
    """One row of a network's answer; `faults` collects what could not be read, by contract member."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self.faults: list[Fault] = []
        self._sources: dict[str, tuple[str, ...]] = {}

    def mapped(self, document: dict[str, Any]) -> MappedRow:
        """Return the row as this fact, with all faults and the fields that were read."""
        return MappedRow(document, self.faults, self._sources)

    def identifier(self, member: str, field: str) -> str | None:
        """Return the id of a line or a suit as text, None for none.

        A number in another notation has lost digits, and zeros and a word for nothing name nothing: they
        are faults, so that two orders never become one line.
        """
        self._sources[member] = (field,)
        value = self._row.get(field)
        if value is None or value in NONE_TEXTS:
            return None
        if isinstance(value, str) and not is_no_line_id(value):
            return value
        if type(value) is int and value >= 0:
            return str(value) if value else None
        self.refuse(member, field, "an id as text in plain digits or as an integer")
        return None

    def attribution(self, member: str, field: str) -> str | None:
        """Return an attribution value as text, None for none.

        A number in another notation, zeros and a word for nothing name nobody. `.` and `..` name nobody
        either (docs/spec/facts.md#order-facts).
        """
        value = self._row.get(field)
        if value is None or value in NONE_TEXTS or isinstance(value, Decimal):
            return None
        if isinstance(value, str):
            return None if _is_zero(value) or is_no_id(value) or value in DOT_IDS else value
        if type(value) is int:
            return str(value) if value else None
        self.refuse(member, field, "an id as text in plain digits or as an integer")
        return None

    def pid(self, *fields: str, separator: str = "_") -> str | None:
        """Return the parts of a pid joined by `_`, None if a part is missing or zero.

        The parts are the fields, or what `separator` joins in the only field.
        """
        values = [self.attribution("attribution.pid", field) or "" for field in fields]
        parts = values[0].split(separator) if len(values) == 1 else values
        return None if any(_is_no_part(part) for part in parts) else "_".join(parts)

    def code(self, member: str, field: str) -> str | None:
        """Return a status code as text, None for none; 0 is a code.

        An integer in any notation is its plain digits: 12.0 is the code 12. Other text, and a number with a
        fraction, are codes that no network has. A word for nothing, true, a list and an object are no codes
        and faults.
        """
        self._sources[member] = (field,)
        value = self._row.get(field)
        if value is None or value in ("", "--"):
            return None
        text = _code_text(value)
        if 0 < len(text) <= CODE_CHARACTERS_MAX and not _is_word_for_nothing(text):
            return text
        self.refuse(member, field, "a code as text or as a number")
        return None

    def moment(self, member: str, *fields: str) -> int | None:
        """Return the time of the first of the fields that has one, in microseconds UTC."""
        self._sources[member] = fields
        for field in fields:
            moment = self._time(member, field)
            if moment is not None:
                return moment
        return None

    def newest(self, member: str, *fields: str) -> int | None:
        """Return the newest time that any of the fields has."""
        self._sources[member] = (*self._sources.get(member, ()), *fields)
        return max((m for field in fields if (m := self._time(member, field)) is not None), default=None)

    def settled(self, paid_at: int | None, field: str) -> int | None:
        """Return the time of settlement; one before the payment is a fault."""
        self._sources["times.settled"] = (field,)
        settled_at = self._time("times.settled", field)
        if settled_at is not None and paid_at is not None and settled_at < paid_at:
            self.refuse("times.settled", field, f"no time before the payment ({format_moment(paid_at)})")
        return settled_at

    def amount(self, member: str, field: str, parse: Callable[[Any], int]) -> int | None:
        """Return an amount in fen, None if absent; what is no amount is a fault."""
        if field not in (known := self._sources.get(member, ())):
            self._sources[member] = (*known, field)
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
        self._sources[member] = (field,)
        value = _plain(self._row.get(field))
        if value is None or value in NONE_TEXTS or _is_not_positive(value):
            return None
        text = str(value)
        if text == EPOCH_DAY:
            return None
        if type(value) in (int, str) and len(text) == len("yyyyMMdd"):
            return f"{text[:4]}-{text[4:6]}-{text[6:]}"
        self.refuse(member, field, "a day yyyyMMdd")
        return None

    def display(self, field: str) -> str | None:
        """Return a field that is kept for display, as text; None for none and for anything else."""
        value = self._row.get(field)
        text = str(value) if type(value) in (int, str) else ""
        return None if text in NONE_TEXTS or len(text) > DISPLAY_CHARACTERS_MAX else text

    def display_id(self, field: str) -> str | None:
        """Return an order number that is kept for display, None for one with lost digits."""
        text = self.display(field)
        return None if text is None or is_no_line_id(text) else text

    def value(self, field: str) -> Any:
        """Return a field as it came."""
        return self._row.get(field)

    def _time(self, member: str, field: str) -> int | None:
        """Return a naive Beijing time or Unix seconds in microseconds UTC, None for none."""
        value = _plain(self._row.get(field))
        if value is None or value in NO_TIME_TEXTS or (type(value) is int and value == 0):
            return None
        try:
            if type(value) is int or (isinstance(value, str) and value.isascii() and value.isdigit()):
                return unix_to_us(int(value))
            if isinstance(value, str):
                return beijing_to_us(value)
        except ValueError:
            pass
        self.refuse(member, field, "a time yyyy-MM-dd HH:mm:ss or Unix seconds")
        return None

    def refuse(self, member: str, field: str, expected: str) -> None:
        """Note that the field cannot become its member."""
        detail = f"{field} has to be {expected}, and is {quoted(self._row.get(field))}"
        self.faults.append(invalid(member, detail))


class OrderRow(Struct, kw_only=True):
    """The fields of an order row by contract member, None for absent; in microseconds UTC and in fen."""

    platform: str
    order_line_id: str | None
    parent_order_id: str | None
    order_id: str | None = None
    fetch_seq: int = API_FETCH_SEQ
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
        """Return the `order.snapshot` of docs/spec/facts.md#order-facts, without absent members."""
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
                "order_id": self.order_id,
                "seq": without_none(
                    {"modified_at": moment_text(self.modified_at), "fetch_seq": self.fetch_seq}
                ),
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
    """Return the members that are present."""
    return {name: value for name, value in members.items() if value is not None}


def moment_text(us: int | None) -> str | None:
    """Return a moment as the contract writes it, None for none."""
    return None if us is None else format_moment(us)


def is_no_id(text: str) -> bool:
    """Return whether a text is a number in another notation or a word for nothing."""
    if text.isdigit():  # nearly all of them
        return False
    return text.lower() in NULL_WORDS or _OTHER_NOTATION.fullmatch(text) is not None


def is_no_line_id(text: str) -> bool:
    """Return whether a text is no id of a line or a suit: zeros, or a number or word that is no id."""
    if text.isdigit():  # nearly all of them
        return _is_zero(text)
    return is_no_id(text) or text.lower() in OTHER_WORDS or bool(_HEXADECIMAL_OR_NEGATIVE.fullmatch(text))


def _plain(value: Any) -> Any:
    """Return an integer in any notation as int, anything else as it is."""
    integer = integer_of(value)
    return value if integer is None else integer


def _code_text(value: Any) -> str:
    """Return the text of a code: an integer's plain digits, another finite number or text; "" for no code."""
    if isinstance(value, str) and value.isdigit():  # nearly all of them
        return value
    plain = _plain(value)
    return str(plain) if type(plain) in (int, str, Decimal) else ""


def _is_word_for_nothing(text: str) -> bool:
    """Return whether a text is what programs write for an absent value or for no number."""
    return text.lower() in NULL_WORDS or _match_no_number(text) is not None


def _is_zero(text: str) -> bool:
    """Return whether a text has nothing but zeros."""
    return not text.strip("0")


def _is_no_part(text: str) -> bool:
    """Return whether a part of a pid is missing or zero."""
    return _is_zero(text) or text in NONE_TEXTS or is_no_id(text)


def _is_not_positive(value: Any) -> bool:
    """Return whether a number, or plain digits as text, is at most 0; no NaN is."""
    if isinstance(value, Decimal):
        return value.is_finite() and value <= 0
    if isinstance(value, str):
        digits = value.removeprefix("-")
        return digits.isascii() and digits.isdigit() and (value != digits or not digits.strip("0"))
    return type(value) is int and value <= 0
