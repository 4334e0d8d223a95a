"""Amounts as networks write them, as integers in fen.

An amount is the decimal number of its text, rounded half away from zero to whole fen; no binary float takes
part (docs/spec/domain.md#known-bugs, bug 11: 0.29 yuan are 29 fen). No fraction of a fen leaves this module.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

from rebate_app.domain.facts import AMOUNT_FEN_MAX

AMOUNT_CHARACTERS_MAX = 1_000
#: Powers of ten from fen to the unit that a network counts in.
YUAN_DIGITS = 2
FEN_DIGITS = 0

_TEXT = re.compile(r"-?(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]+)?")
#: Wide enough for the largest amount in any unit with its fraction cut off; never the thread's context.
_CONTEXT = Context(prec=40, rounding=ROUND_HALF_UP)
#: Wide enough for the digits of any sum of amounts within `fen_of_yuan`.
_EXACT = Context(prec=2 * AMOUNT_CHARACTERS_MAX)
_LARGEST = Decimal(AMOUNT_FEN_MAX + 1)


def fen_of_yuan(value: Any) -> int:
    """Return an amount in yuan (text, int, or Decimal of a JSON number) in fen.

    More than two decimals round half away from zero. ValueError for everything else: other text, NaN,
    Infinity, true, and amounts beyond ±10⁹ fen (docs/spec/facts.md#values and docs/spec/networks.md#amounts).
    """
    return _fen(value, YUAN_DIGITS)


def fen_of_yuan_sum(values: list[Any]) -> int:
    """Return the sum of amounts in yuan in fen: added exactly, rounded once; errors as in `fen_of_yuan`."""
    numbers = [_number(value) for value in values]
    if not all(number.is_finite() for number in numbers):
        raise ValueError("the amount is not finite")
    total = Decimal(0)
    for number in numbers:
        total = _EXACT.add(total, number)
    return _fen(total, YUAN_DIGITS)


def fen_of_fen(value: Any) -> int:
    """Return an amount that a network counts in fen; fractions and errors as in `fen_of_yuan`."""
    return _fen(value, FEN_DIGITS)


def _fen(value: Any, digits: int) -> int:
    """Return the amount of a unit of 10^digits fen in whole fen."""
    number = _number(value)
    if not number.is_finite():
        raise ValueError("the amount is not finite")
    try:
        fen = number.quantize(Decimal(1).scaleb(-digits), context=_CONTEXT).scaleb(digits, _CONTEXT)
    except InvalidOperation:
        raise ValueError("the amount is out of range") from None
    if abs(fen) >= _LARGEST:
        raise ValueError("the amount is out of range")
    return int(fen)


def _number(value: Any) -> Decimal:
    """Return the exact decimal number of a JSON value."""
    if isinstance(value, Decimal):
        return value
    if type(value) is int:
        return Decimal(value)
    if isinstance(value, str) and len(value) <= AMOUNT_CHARACTERS_MAX and _TEXT.fullmatch(value):
        return Decimal(value.replace(",", ""))
    raise ValueError("not an amount")
