"""Arithmetic of money: the only place where amounts are divided; function names give the rounding.

Amounts are integers in fen, rates are integers in basis points. There are no floats.
"""

from __future__ import annotations

BPS = 10_000


def floor_share(amount_fen: int, rate_bps: int) -> int:
    """Return amount × rate, rounded down to whole fen.

    See docs/spec/money.md#rounding: floor per beneficiary.
    """
    return amount_fen * rate_bps // BPS


def at_least_zero(amount_fen: int) -> int:
    """Return the amount, or 0 where it is negative: an order never costs its user money."""
    return max(amount_fen, 0)


def yuan(amount_fen: int) -> str:
    """Return fen as yuan with two decimals, for sentences."""
    sign = "-" if amount_fen < 0 else ""
    return f"{sign}{abs(amount_fen) // 100}.{abs(amount_fen) % 100:02d}"


def percent(rate_bps: int) -> str:
    """Return basis points as per cent without trailing zeros, for sentences."""
    whole, rest = divmod(rate_bps, 100)
    return f"{whole} %" if not rest else f"{whole}.{rest:02d}".rstrip("0") + " %"
