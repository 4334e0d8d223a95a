"""The value of an order line: its whole current state, as accounts need it.

A `LineValue` is sent between the stages as an absolute value, without rule, user or clock. It is a function
of the facts of the line alone; a moment chooses between its parts by the Shanghai day
(docs/spec/money.md#state-of-a-line). Amounts are in fen, moments in µs, days since 1970-01-01.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from ..money import at_least_zero
from ..pricing.calendar import day_of, midnight, release_day
from .snapshot_key import STATUS_OF_RANK, SnapshotKey, moment_or_none

if TYPE_CHECKING:
    from .line import LineState  # the state of a line keeps the last value that was sent

CLOSED = "closed"  # 0 for everybody
OPEN = "open"  # an estimate
DATED = "dated"  # an estimate until `from_day`, settled from its start on
SETTLED_PHASE = "settled"  # settled at every moment

UNPUNISHED = ""
FROZEN = "frozen"
CONFIRMED = "confirmed"

REFUND_OPEN_RANK = 0
REFUND_SUCCESS_RANK = 3
PUNISHMENT_OF_RANK = (FROZEN, UNPUNISHED, CONFIRMED)  # by PUNISH_RANK: frozen, lifted, confirmed


class LineValue(Struct, array_like=True, frozen=True, gc=False):
    """The value of a line. Amounts ≥ 0.

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


def punishment(state: LineState) -> tuple[int, str] | None:
    """Return (since, state) of the newest punishment, None if there is none.

    A punished snapshot that is newer than every counted one means `frozen` from its `modified_at` on; a
    punish fact of the same moment wins.
    """
    fact, snapshot = state.punish, state.punished
    if snapshot is not None and (state.best is None or snapshot > state.best):
        since = snapshot.modified_at
        if fact is None or since > fact[0]:
            return since, FROZEN
    return None if fact is None else (fact[0], PUNISHMENT_OF_RANK[fact[1]])


def effective_day(state: LineState) -> int | None:
    """Return the earliest expected date that takes effect.

    A date takes effect if no counted snapshot newer than the newest received one that carries it
    has `modified_at` before the date begins.
    """
    newest_by_day = [*state.last_of_day.values(), *([state.best] if state.best is not None else [])]
    for day in sorted(state.received):
        carrier = state.received[day]
        if not any(key > carrier and key.modified_at < midnight(day) for key in newest_by_day):
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


def _settlement_day(state: LineState, best: SnapshotKey, dated: int | None) -> int:
    if dated is not None:
        return dated
    settled_at = moment_or_none(best.settled_at)
    if settled_at is None:
        settled_at = state.first_settled_at if state.first_settled_at is not None else best.modified_at
    return day_of(settled_at)


def evaluate_line(state: LineState, platform: str) -> LineValue:
    """Return the value of the line, a function of all its facts."""
    best = state.unknown if state.only_unknown else state.best
    status = None if best is None else STATUS_OF_RANK[best.rank]
    paid_at = None if best is None else moment_or_none(best.paid_at)
    punished = punishment(state)
    punishment_state = UNPUNISHED if punished is None else punished[1]
    if best is None or status not in ("paid", "received", "settled"):
        phase = CLOSED if status != "created" else OPEN
        return LineValue(phase, status, paid_at, punished=punishment_state)
    net = at_least_zero(best.est_commission - best.service_fee)
    dated = effective_day(state) if state.received else None
    if status == "paid" or (status == "received" and dated is None):
        return LineValue(OPEN, status, paid_at, net=net, punished=punishment_state)
    settled_net = at_least_zero(best.settled_commission - best.service_fee)
    succeeded, opened = refunds(state)
    settled_on = _settlement_day(state, best, dated)
    return LineValue(
        SETTLED_PHASE if status == "settled" else DATED,
        status,
        paid_at,
        net=net,
        gross=at_least_zero(settled_net - succeeded),
        rest=at_least_zero(settled_net - succeeded - opened),
        from_day=None if status == "settled" else dated,
        settled_on=settled_on,
        release_on=release_day(platform, settled_on, dated if dated is not None else state.settled_expected),
        punished=punishment_state,
    )
