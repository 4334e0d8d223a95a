"""The life of a withdrawal as a table: (state, what happens) → the next state and the money that moves.

docs/money-out.md draws the table. A pair that is not in it changes nothing. What a row alone cannot say, such
as how many approvals are needed or which attempt a result is about, is in `steps.py`, which looks up the row
only once that holds. Source: docs/spec/money-out.md#states.
"""

from __future__ import annotations

from typing import Final, NamedTuple

REQUESTED: Final = "requested"  # nobody has decided it yet
REFUSED: Final = "refused"
REVIEW: Final = "review"
APPROVED: Final = "approved"
SENDING: Final = "sending"
NEEDS_USER: Final = "needs-user"
STUCK: Final = "stuck"
PAID: Final = "paid"
FAILED: Final = "failed"
RETURNED: Final = "returned"
REJECTED: Final = "rejected"
CANCELLED: Final = "cancelled"

STATES: Final = (
    REQUESTED,
    REFUSED,
    REVIEW,
    APPROVED,
    SENDING,
    NEEDS_USER,
    STUCK,
    PAID,
    FAILED,
    RETURNED,
    REJECTED,
    CANCELLED,
)
#: Accepted and not ended: their amounts are frozen, and they count for `max_open`.
OPEN: Final = frozenset({REVIEW, APPROVED, SENDING, NEEDS_USER, STUCK})
#: Those that wait for somebody: undecided ones, too.
WAITING: Final = (REQUESTED, REVIEW, APPROVED, SENDING, NEEDS_USER, STUCK)
#: Ended before any money went: they count for no limit of their day.
UNCOUNTED: Final = frozenset({REQUESTED, REFUSED, REJECTED, CANCELLED, FAILED})

# What happens to a withdrawal.
REFUSE: Final = "refuse"  # a decision
ASK_REVIEW: Final = "ask-review"  # a decision
ACCEPT: Final = "accept"  # a decision
APPROVE: Final = "approve"  # by as many as are needed
REJECT: Final = "reject"
CANCEL: Final = "cancel"
ATTEMPT: Final = "attempt"
RESULT_PAID: Final = "result-paid"
RESULT_FAILED: Final = "result-failed"
RESULT_PAYER: Final = "result-payer"
RESULT_PENDING: Final = "result-pending"
RESULT_NEEDS_USER: Final = "result-needs-user"
RESULT_RETURNED: Final = "result-returned"
RESULT_STUCK: Final = "result-stuck"
CONFIRM_PAID: Final = "confirm-paid"
CONFIRM_FAILED: Final = "confirm-failed"


class Move(NamedTuple):
    """How often the amount is added to each bucket: 1, 0 or -1."""

    available: int
    frozen: int
    withdrawn: int


FREEZE: Final = Move(-1, 1, 0)
GIVE_BACK: Final = Move(1, -1, 0)
PAY: Final = Move(0, -1, 1)
RETURN: Final = Move(1, 0, -1)
PAY_AFTER_BACK: Final = Move(-1, 0, 1)


class Step(NamedTuple):
    """The next state, the moves of money in order, and whether the service contradicts itself.

    `contradicts`: it is reported, and the channel is closed.
    """

    to: str
    moves: tuple[Move, ...] = ()
    contradicts: bool = False


#: Every pair that changes or confirms something.
TRANSITIONS: Final[dict[tuple[str, str], Step]] = {
    (REQUESTED, REFUSE): Step(REFUSED),
    (REQUESTED, ASK_REVIEW): Step(REVIEW, (FREEZE,)),
    (REQUESTED, ACCEPT): Step(APPROVED, (FREEZE,)),
    (REVIEW, APPROVE): Step(APPROVED),
    (REVIEW, REJECT): Step(REJECTED, (GIVE_BACK,)),
    (REVIEW, CANCEL): Step(CANCELLED, (GIVE_BACK,)),
    (APPROVED, REJECT): Step(REJECTED, (GIVE_BACK,)),
    (APPROVED, CANCEL): Step(CANCELLED, (GIVE_BACK,)),  # while nothing was attempted
    (APPROVED, ATTEMPT): Step(SENDING),
    (APPROVED, RESULT_PAID): Step(PAID, (PAY,)),  # after an attempt
    (SENDING, ATTEMPT): Step(SENDING),
    (SENDING, RESULT_PAID): Step(PAID, (PAY,)),
    (SENDING, RESULT_FAILED): Step(FAILED, (GIVE_BACK,)),
    (SENDING, RESULT_PAYER): Step(APPROVED),
    (SENDING, RESULT_PENDING): Step(SENDING),
    (SENDING, RESULT_NEEDS_USER): Step(NEEDS_USER),
    (SENDING, RESULT_RETURNED): Step(RETURNED, (PAY, RETURN)),
    (SENDING, RESULT_STUCK): Step(STUCK),
    (NEEDS_USER, RESULT_PAID): Step(PAID, (PAY,)),
    (NEEDS_USER, RESULT_FAILED): Step(FAILED, (GIVE_BACK,)),
    (NEEDS_USER, RESULT_PAYER): Step(APPROVED),
    (NEEDS_USER, RESULT_PENDING): Step(NEEDS_USER),
    (NEEDS_USER, RESULT_NEEDS_USER): Step(NEEDS_USER),
    (NEEDS_USER, RESULT_RETURNED): Step(RETURNED, (PAY, RETURN)),
    (NEEDS_USER, RESULT_STUCK): Step(STUCK),
    (STUCK, RESULT_PAID): Step(PAID, (PAY,)),
    (STUCK, RESULT_FAILED): Step(FAILED, (GIVE_BACK,)),
    (STUCK, RESULT_PAYER): Step(STUCK),
    (STUCK, RESULT_PENDING): Step(STUCK),
    (STUCK, RESULT_NEEDS_USER): Step(STUCK),
    (STUCK, RESULT_RETURNED): Step(RETURNED, (PAY, RETURN)),
    (STUCK, CONFIRM_PAID): Step(PAID, (PAY,)),
    (STUCK, CONFIRM_FAILED): Step(FAILED, (GIVE_BACK,)),
    (PAID, RESULT_PAID): Step(PAID),
    (PAID, RESULT_RETURNED): Step(RETURNED, (RETURN,)),
    (FAILED, RESULT_PAID): Step(PAID, (PAY_AFTER_BACK,), contradicts=True),
    (REJECTED, RESULT_PAID): Step(PAID, (PAY_AFTER_BACK,), contradicts=True),  # after an attempt
}
