"""What a line is worth, as a value that travels and is kept.

Separate from worth.py, which computes it from the line's state, because the state keeps the last one.
"""

from __future__ import annotations

from msgspec import Struct

CLOSED = "closed"  # worth 0 to everybody
OPEN = "open"  # an estimate
DATED = "dated"  # an estimate until `from_day`, settled from its start on
SETTLED_PHASE = "settled"  # whatever the moment

UNPUNISHED = ""
FROZEN = "frozen"
CONFIRMED = "confirmed"


class Worth(Struct, array_like=True, frozen=True, gc=False):
    """The worth of a line. Amounts in fen ≥ 0, moments in µs, days as days since 1970-01-01.

    `net` counts before settlement, `gross` (net₀ − R) and `rest` (net₀ − R − O) from it on.
    """

    phase: str
    status: str | None
    paid_at: int | None
    net: int = 0
    gross: int = 0
    rest: int = 0
    from_day: int | None = None
    settled_on: int | None = None
    release_on: int | None = None
    punished: str = UNPUNISHED
