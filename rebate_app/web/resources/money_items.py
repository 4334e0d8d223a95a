"""How withdrawals, adjustments and openings are shown (docs/money-out.md#over-http)."""

from __future__ import annotations

from typing import Any

from rebate_app.domain.account.ledger import ADJUSTMENT, OPENING, Entry
from rebate_app.domain.money_out.money_records import Adjustment, OpeningRecord
from rebate_app.domain.money_out.states import NEEDS_USER
from rebate_app.domain.money_out.withdrawal import Approval, Resolved, Result, Withdrawal
from rebate_app.wire.moments import format_date, format_moment

from ..routing.ports import MaskedPayee


def withdrawal_item(user_id: str, withdrawal: Withdrawal, payee: MaskedPayee | None) -> dict[str, Any]:
    """Return the members of a withdrawal; the figures of a decision are null until it is accepted."""
    accepted = bool(withdrawal.payout_no)
    decided = withdrawal.decided_at != 0
    shown = {"payee_id": withdrawal.payee_id, "account": None, "name": None}
    if payee is not None:
        shown |= {"account": payee.account, "name": payee.name}
    return {
        "user_id": user_id,
        "withdrawal_id": withdrawal.withdrawal_id,
        "payout_no": withdrawal.payout_no or None,
        "amount": withdrawal.amount,
        "fee": withdrawal.fee if accepted else None,
        "net": withdrawal.net if accepted else None,
        "channel": withdrawal.channel,
        "payee": shown,
        "state": withdrawal.state,
        "reason": withdrawal.reason or None,
        "review": withdrawal.review if accepted else None,
        "approvals_needed": withdrawal.approvals_needed if accepted else None,
        "approvals": [_approval(each) for each in withdrawal.approvals],
        "attempts": [{"attempt": each.attempt, "at": format_moment(each.at)} for each in withdrawal.attempts],
        "result": None if withdrawal.result is None else _result(withdrawal.result),
        "resolution": None if withdrawal.resolved is None else _resolution(withdrawal.resolved),
        "needs_user_url": _needs_user_url(withdrawal),
        "requested_at": format_moment(withdrawal.requested_at),
        "decided_at": format_moment(withdrawal.decided_at) if decided else None,
        "updated_at": format_moment(withdrawal.updated_at),
        "paid_at": _moment_or_none(withdrawal.payment_at),
        "returned_at": _moment_or_none(withdrawal.return_at),
        "rule_version": withdrawal.rule_version or None,
        "memo": withdrawal.memo or None,
    }


def _moment_or_none(moment_us: int | None) -> str | None:
    return None if moment_us is None else format_moment(moment_us)


def _approval(approval: Approval) -> dict[str, Any]:
    return {"actor": approval.actor, "at": format_moment(approval.at)}


def _result(result: Result) -> dict[str, Any]:
    return {
        "attempt": result.attempt,
        "status": result.status,
        "amount": result.amount,
        "code": result.code or None,
        "channel_ref": result.channel_ref or None,
        "at": format_moment(result.at),
    }


def _resolution(resolved: Resolved) -> dict[str, Any]:
    """Return what one person stated about a stuck withdrawal, which another one confirms."""
    return {
        "outcome": resolved.outcome,
        "channel_ref": resolved.channel_ref or None,
        "actor": resolved.actor,
        "at": format_moment(resolved.at),
    }


def _needs_user_url(withdrawal: Withdrawal) -> str | None:
    """Return where the user has to confirm, None unless that is what it waits for."""
    if withdrawal.state != NEEDS_USER or withdrawal.result is None:
        return None
    return withdrawal.result.needs_user_url or None


def adjustment_item(user_id: str, adjustment: Adjustment) -> dict[str, Any]:
    """Return the members of an adjustment; `verdict` is who approved or rejected it."""
    verdict = adjustment.verdict
    return {
        "user_id": user_id,
        "adjustment_id": adjustment.adjustment_id,
        "amount": adjustment.amount,
        "reason_code": adjustment.reason_code,
        "reason": adjustment.reason,
        "ref": adjustment.ref or None,
        "state": adjustment.state,
        "proposed_by": adjustment.actor,
        "proposed_at": format_moment(adjustment.proposed_at),
        "verdict": None if verdict is None else _approval(verdict) | {"reason": adjustment.why},
        "updated_at": format_moment(adjustment.updated_at),
    }


def opening_item(user_id: str, opening: OpeningRecord) -> dict[str, Any]:
    """Return the members of an opening."""
    return {
        "user_id": user_id,
        "opening_id": opening.opening_id,
        "batch": opening.batch,
        "source": opening.source,
        "as_of": format_moment(opening.as_of),
        "available": opening.available,
        "confirmed": [{"on": format_date(day), "amount": amount} for day, amount in opening.confirmed],
        "withdrawn": opening.withdrawn,
        "state": opening.state,
        "proposed_by": opening.actor,
        "proposed_at": format_moment(opening.proposed_at),
        "approved": None if opening.verdict is None else _approval(opening.verdict),
    }


def entry_money(entry: Entry) -> dict[str, Any]:
    """Return what a ledger entry has because of money out: buckets, and the id of what it is about."""
    members: dict[str, Any] = {"frozen": entry.frozen, "withdrawn": entry.withdrawn}
    if not entry.own_id:
        return members
    named = {ADJUSTMENT.name: "adjustment_id", OPENING.name: "opening_id"}
    return members | {named.get(entry.kind, "withdrawal_id"): entry.own_id}
