"""What one order line is worth: its whole current state as other accounts need it.

This is what travels between the stages: absolute, without any rule, user or clock in it. A
moment T chooses between its parts only by day (contracts.md 3, "State of a line at a moment T").
"""

from __future__ import annotations

from .calendar import day_of, midnight, release_day
from .money import at_least_zero
from .order_line import (
    EST_COMMISSION,
    MODIFIED,
    PAID,
    SERVICE_FEE,
    SETTLED,
    SETTLED_COMMISSION,
    LineState,
    Version,
    moment_or_none,
    status_of,
)
from .worth_value import (
    CLOSED,
    CONFIRMED,
    DATED,
    FROZEN,
    OPEN,
    SETTLED_PHASE,
    UNPUNISHED,
    Worth,
)

__all__ = [
    "CLOSED",
    "CONFIRMED",
    "DATED",
    "FROZEN",
    "OPEN",
    "SETTLED_PHASE",
    "UNPUNISHED",
    "Worth",
    "effective_day",
    "line_worth",
    "punishment",
    "refunds",
]

REFUND_OPEN_RANK = 0
REFUND_SUCCESS_RANK = 3
PUNISH_WORD = (FROZEN, UNPUNISHED, CONFIRMED)  # by PUNISH_RANK: frozen, lifted, confirmed


def punishment(state: LineState) -> tuple[int, str] | None:
    """Return (since, word) of the newest punishment said, None if there is none.

    A punished snapshot that is the best of all says `frozen` at its `modified_at`; a punish fact
    of the same moment wins.
    """
    said = state.punish
    snapshot = state.punished
    if snapshot is not None and (state.best is None or snapshot > state.best):
        moment = snapshot[MODIFIED]
        if said is None or moment > said[0]:
            return moment, FROZEN
    return None if said is None else (said[0], PUNISH_WORD[said[1]])


def effective_day(state: LineState) -> int | None:
    """Return the earliest expected date that takes effect.

    A date takes effect if no counted snapshot newer than the newest received one that carries it
    has `modified_at` before the date begins.
    """
    lasts = [*state.last_of_day.values(), *([state.best] if state.best is not None else [])]
    for day in sorted(state.received):
        carrier = state.received[day]
        if not any(newer > carrier and newer[MODIFIED] < midnight(day) for newer in lasts):
            return day
    return None


def refunds(state: LineState) -> tuple[int, int]:
    """Return (R, O): the sums of `net_refund` of the suits that succeeded and that are open."""
    succeeded = opened = 0
    for _, rank, net_refund in state.suits.values():
        if rank == REFUND_SUCCESS_RANK:
            succeeded += net_refund
        elif rank == REFUND_OPEN_RANK:
            opened += net_refund
    return succeeded, opened


def _settlement_day(state: LineState, best: Version, dated: int | None) -> int:
    if dated is not None:
        return dated
    settled_at = moment_or_none(best[SETTLED])
    if settled_at is None:
        settled_at = state.first_settled_at if state.first_settled_at is not None else best[MODIFIED]
    return day_of(settled_at)


def line_worth(state: LineState, platform: str) -> Worth:
    """Return what the line is worth now, as a function of all its facts."""
    best = state.unknown if state.only_unknown else state.best
    status = status_of(best)
    paid_at = None if best is None else moment_or_none(best[PAID])
    punished = punishment(state)
    word = UNPUNISHED if punished is None else punished[1]
    if best is None or status not in ("paid", "received", "settled"):
        return Worth(CLOSED if status != "created" else OPEN, status, paid_at, punished=word)
    net = at_least_zero(best[EST_COMMISSION] - best[SERVICE_FEE])
    dated = effective_day(state) if state.received else None
    if status == "paid" or (status == "received" and dated is None):
        return Worth(OPEN, status, paid_at, net=net, punished=word)
    after = at_least_zero(best[SETTLED_COMMISSION] - best[SERVICE_FEE])
    succeeded, opened = refunds(state)
    settled_on = _settlement_day(state, best, dated)
    return Worth(
        SETTLED_PHASE if status == "settled" else DATED,
        status,
        paid_at,
        net=net,
        gross=at_least_zero(after - succeeded),
        rest=at_least_zero(after - succeeded - opened),
        from_day=None if status == "settled" else dated,
        settled_on=settled_on,
        release_on=release_day(platform, settled_on, dated if dated is not None else state.settled_expected),
        punished=word,
    )
