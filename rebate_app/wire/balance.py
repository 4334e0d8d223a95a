"""JSON members of a balance, as the HTTP API answers and the audit expects them (docs/spec/http.md#balance).

Amounts are in fen, days are Shanghai dates. `as_of`, `at` and the marks of an answer are not members of a
balance.
"""

from __future__ import annotations

from typing import Any

from rebate_app.domain.account.balance import Balance

from .moments import format_date


def balance_members(user_id: str, version: int, balance: Balance) -> dict[str, Any]:
    """Return the members of a user's balance; `version` is the account's."""
    return {
        "user_id": user_id,
        "currency": "CNY",
        "unit": "fen",
        "estimated": balance.estimated,
        "confirmed": balance.confirmed,
        "held": balance.held,
        "available": balance.available,
        "frozen": balance.frozen,
        "withdrawn": balance.withdrawn,
        "debt": balance.debt,
        "maturing": [{"on": format_date(day), "amount": amount} for day, amount in balance.maturing],
        "lines": {"open": balance.open, "settled": balance.settled, "closed": balance.closed},
        "version": version,
    }
