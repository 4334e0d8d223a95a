"""The folds of what staff does to a balance: adjustments, opening balances and blocks.

See docs/spec/money-out.md. A fold changes the records and returns "" or the code of a business refusal, which
changed nothing. An adjustment or opening counts once another person has approved it.
"""

from __future__ import annotations

from ..account.events import PendingEvents
from ..account.ledger import ADJUSTMENT, ALWAYS, OPENING
from ..now import Now
from .booking import Booking, book, grown_head
from .facts import AdjustmentProposal, AdjustmentVerdict, Block, Opening, OpeningApproval
from .money_events import AdjustmentChanged
from .money_records import APPROVED, PROPOSED, REJECTED, Adjustment, MoneyRecords, OpeningRecord
from .refusals import (
    ID_REUSED,
    SAME_ACTOR,
    UNKNOWN_ADJUSTMENT,
    UNKNOWN_OPENING,
    WRONG_STATE,
    is_same_person,
)
from .withdrawal import Approval


class StaffFold:
    """Folds one record of staff about one user."""

    def __init__(self, user_id: str, records: MoneyRecords, now: Now, pending_events: PendingEvents) -> None:
        self._user_id = user_id
        self._records = records
        self._now = now
        self._pending_events = pending_events

    def block(self, fact: Block) -> str:
        """Fold a block, which makes approved withdrawals wait, or its end."""
        summary = self._records.summary()
        if summary.blocked != fact.blocked:
            summary.blocked = fact.blocked
            grown_head(self._records)
        return ""

    def proposal(self, fact: AdjustmentProposal) -> str:
        """Fold a proposed adjustment; a repeat changes nothing."""
        records, at = self._records, self._now.at
        known = records.adjustment(fact.adjustment_id)
        if known is not None:
            content = (known.amount, known.reason_code, known.reason, known.ref)
            same = content == (fact.amount, fact.reason_code, fact.reason, fact.ref)
            return "" if same else ID_REUSED
        summary = records.summary()
        adjustment = Adjustment(
            1,
            fact.adjustment_id,
            summary.adjustments,
            fact.amount,
            fact.reason_code,
            fact.reason,
            fact.ref,
            fact.actor,
            at,
            at,
        )
        summary.adjustments += 1
        grown_head(records)
        records.add_adjustment(adjustment)
        self._add_event(adjustment, "")
        return ""

    def verdict(self, fact: AdjustmentVerdict) -> str:
        """Fold the approval or rejection of an adjustment; an approval books it."""
        adjustment = self._records.adjustment(fact.adjustment_id)
        if adjustment is None:
            return UNKNOWN_ADJUSTMENT
        if adjustment.state != PROPOSED:
            return WRONG_STATE
        approves = fact.verdict == "approve"
        if approves and is_same_person(fact.actor, adjustment.actor):
            return SAME_ACTOR
        at = self._now.at
        adjustment.verdict, adjustment.why = Approval(fact.actor, at), fact.reason
        adjustment.updated_at, adjustment.state = at, APPROVED if approves else REJECTED
        if approves:
            amount = adjustment.amount
            booking = Booking(
                ADJUSTMENT,
                adjustment.adjustment_id,
                "adjustment.approve",
                at,
                ((ALWAYS, amount),),
                adjustments=amount,
            )
            book(self._user_id, self._records, booking, self._pending_events)
        else:
            grown_head(self._records)
        self._records.move_adjustment(adjustment, PROPOSED)
        self._add_event(adjustment, PROPOSED)
        return ""

    def _add_event(self, adjustment: Adjustment, before: str) -> None:
        if self._now.at < self._pending_events.since:
            return
        self._pending_events.money.append(
            AdjustmentChanged(
                self._user_id,
                self._now.at,
                adjustment.adjustment_id,
                adjustment.amount,
                before,
                adjustment.state,
                adjustment.reason_code,
            )
        )

    def opening(self, fact: Opening) -> str:
        """Fold what a user brings along; it counts from its approval on. A repeat changes nothing."""
        records, at = self._records, self._now.at
        known = records.opening(fact.opening_id)
        confirmed = list(fact.confirmed)
        if known is not None:
            content = (known.batch, known.source, known.as_of, known.available, known.confirmed)
            same = content == (fact.batch, fact.source, fact.as_of, fact.available, confirmed)
            return "" if same and known.withdrawn == fact.withdrawn else ID_REUSED
        summary = records.summary()
        opening = OpeningRecord(
            1,
            fact.opening_id,
            summary.openings,
            fact.batch,
            fact.source,
            fact.as_of,
            fact.available,
            confirmed,
            fact.withdrawn,
            fact.actor,
            at,
            at,
        )
        summary.openings += 1
        grown_head(records)
        records.add_opening(opening)
        return ""

    def opening_approval(self, fact: OpeningApproval) -> str:
        """Fold the approval of an opening, which books it."""
        opening = self._records.opening(fact.opening_id)
        if opening is None:
            return UNKNOWN_OPENING
        if opening.state != PROPOSED:
            return WRONG_STATE
        if is_same_person(fact.actor, opening.actor):
            return SAME_ACTOR
        at = self._now.at
        opening.state, opening.updated_at, opening.verdict = APPROVED, at, Approval(fact.actor, at)
        parts = ((ALWAYS, opening.available), *opening.confirmed)
        booking = Booking(
            OPENING,
            opening.opening_id,
            "account.opening.approve",
            at,
            parts,
            withdrawn=opening.withdrawn,
            openings=sum(amount for _, amount in parts) + opening.withdrawn,
        )
        book(self._user_id, self._records, booking, self._pending_events)
        return ""
