"""The fold of stage 1: an order fact into the state of its line (docs/spec/architecture.md#stage-1).

It merges the fact, evaluates the line, and sends an absolute target to the account that the line goes to, if
that differs from the last target sent. Equal facts in any order end in the same state.
"""

from __future__ import annotations

from msgspec import UNSET

from ..compact_moment import compact_moment
from ..facts import Claim, OrderFact
from ..faults import Fault
from ..messages import LineTarget, Message
from ..now import Now
from .attribution import deciding_claim, owner_of
from .line import LineState, SentTarget, merge
from .value import evaluate_line


def fold_order(
    state: LineState, fact: OrderFact, now: Now, user_id_fields: dict[str, tuple[str, ...]]
) -> tuple[Fault | bool, list[Message]]:
    """Fold an order fact; return (whether the state changed, or the limit exceeded; targets to send).

    The account that the line goes to gets the whole value; an account that it leaves gets a target without
    one.
    """
    outcome = merge(state, fact, now.at, now.actor)
    if outcome is not True:
        return outcome, []
    line = fact.line
    platform = line.partition(":")[0]
    owner = owner_of(state, platform, user_id_fields)
    target = SentTarget(owner.by, evaluate_line(state, platform), deciding_claim(state))
    before = state.sent_to
    if owner.key == before and target == state.sent:
        return True, []
    modified_at = UNSET if isinstance(fact, Claim) else compact_moment(fact.modified_at)
    place = (line, "", now.offset, now.offset)
    messages: list[Message] = []
    if before is not None and before != owner.key:
        messages.append(LineTarget(before, *place, None, "", None, "reassigned", modified_at))
    messages.append(
        LineTarget(owner.key, *place, target.line_value, target.by, target.claim, cause_of(fact), modified_at)
    )
    state.sent_to, state.sent_offset, state.sent = owner.key, now.offset, target
    return True, messages


def cause_of(fact: OrderFact) -> str:
    """Return the fact's kind and status as one word for ledger reasons, such as `snapshot-settled`."""
    kind = type(fact).__name__.lower()
    return kind if kind == "claim" else f"{kind}-{fact.status}"  # type: ignore[union-attr]
