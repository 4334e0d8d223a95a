"""Integers as networks write them: codes, Unix seconds, days, flags and counts.

A number counts by its value, whatever its notation: some writers of JSON have doubles only, and write 12 as
`12.0` and 1767571262 as `1.767571262E9`. Ids are read elsewhere, by their digits
(docs/spec/networks.md#identifiers).
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

#: More digits than any code, moment, day or count has.
INTEGER_DIGITS_MAX = 40

#: A JSON number; its exponent is short, so that it is cheap to work out.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,63})(?:\.[0-9]{1,63})?(?:[eE][+-]?[0-9]{1,3})?")


def integer_of(value: Any) -> int | None:
    """Return the integer that a JSON value is, None for anything else.

    A JSON number, or its text, with an integral value: 12, 12.0, "12", "1.2E1". true, NaN, 12.5, and more
    than `INTEGER_DIGITS_MAX` digits with a point or an exponent are none.
    """
    if type(value) is int:
        return value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = Decimal(value)
    return _integral(value) if isinstance(value, Decimal) and value.is_finite() else None


def _integral(number: Decimal) -> int | None:
    """Return a finite number as an integer, None where it has a fraction or too many digits."""
    if not number:
        return 0
    if number.adjusted() >= INTEGER_DIGITS_MAX:
        return None
    integer = int(number)
    return integer if integer == number else None
