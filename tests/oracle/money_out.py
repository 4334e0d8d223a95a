"""The law of money out a second time, for one user, without the product's code (docs/spec/money-out.md).

Plain and slow: every figure is summed anew from the lists of withdrawals, adjustments and openings. Money is
in fen, moments in seconds since 1970, days in Shanghai.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

OPEN = ("review", "approved", "sending", "needs-user", "stuck")
DAY_SECONDS = 86_400
RESOLVE_SECONDS = DAY_SECONDS
NEW_OF_A_DAY = 50
DEFAULTS: dict[str, Any] = {
    "min_fen": 100,
    "max_fen": 500_000,
    "multiple_fen": 1,
    "days_of_month": (1, 31),
    "max_per_day": 1,
    "day_max_fen": 500_000,
    "max_open": 3,
    "fee_bps": 0,
    "fee_min_fen": 0,
    "fee_max_fen": 1_000_000_000,
    "review_over_fen": 0,
    "review_first": True,
    "review_new_payee": True,
    "approvals": 1,
    "approvals_over": (),
}


def shanghai(at: float) -> datetime:
    """Return the moment in Shanghai."""
    return datetime.fromtimestamp(at, UTC) + timedelta(hours=8)


class Law:
    """One user's money out; `rules` is the section of the rule file, None for none."""

    def __init__(self, user_id: str, rules: dict[str, Any] | None) -> None:
        self.user_id = user_id
        self.rules = None if rules is None else DEFAULTS | rules
        self.withdrawals: dict[str, dict[str, Any]] = {}
        self.adjustments: dict[str, dict[str, Any]] = {}
        self.openings: dict[str, dict[str, Any]] = {}
        self.blocked = False

    # -- the figures

    def frozen(self) -> int:
        """Sum what is accepted and has not ended."""
        return sum(int(w["amount"]) for w in self.withdrawals.values() if w["state"] in OPEN)

    def withdrawn(self) -> int:
        """Sum what was paid and did not come back, and what openings say."""
        paid = sum(w["amount"] for w in self.withdrawals.values() if w["state"] == "paid")
        return int(paid + sum(o["withdrawn"] for o in self.openings.values() if o["approved"]))

    def granted(self, at: float) -> int:
        """Sum all that came in by that moment: adjustments, openings, and their confirmed parts."""
        today = shanghai(at).date()
        total = sum(a["amount"] for a in self.adjustments.values() if a["state"] == "approved")
        for opening in self.openings.values():
            if opening["approved"]:
                total += opening["available"]
                total += sum(amount for on, amount in opening["confirmed"] if on <= today.isoformat())
        return int(total)

    def available(self, at: float) -> int:
        """Return what is left: what came in, less what is frozen and what was paid."""
        paid = sum(w["amount"] for w in self.withdrawals.values() if w["state"] == "paid")
        return int(self.granted(at) - self.frozen() - paid)

    # -- requests

    def request(self, own_id: str, amount: int, channel: str, payee: str, actor: str, at: float) -> None:
        """Decide a new request, by a clock that shows its own moment."""
        same_day = [w for w in self.withdrawals.values() if shanghai(w["at"]).date() == shanghai(at).date()]
        if own_id in self.withdrawals or len(same_day) >= NEW_OF_A_DAY:
            return
        reason = self._refusal(amount, channel, same_day, at)
        fresh = {"amount": amount, "at": at, "payee": payee, "channel": channel}
        fresh |= {"actor": actor, "approved_by": [], "state": "refused", "reason": reason}
        fresh |= {"attempts": 0, "attempt_at": at, "resolved": None}
        if not reason:
            review = self._reviewed(amount, payee)
            fee = self._fee(amount)
            needed = self._approvals(amount) if review else 0
            fresh |= {"state": "review" if review else "approved", "needed": needed, "net": amount - fee}
            number = hashlib.sha256((self.user_id + "\n" + own_id).encode()).hexdigest()[:32]
            fresh["payout_no"] = number
        self.withdrawals[own_id] = fresh

    def _fee(self, amount: int) -> int:
        assert self.rules is not None
        fee = amount * self.rules["fee_bps"] // 10_000
        fee = max(fee, self.rules["fee_min_fen"])
        return int(min(fee, self.rules["fee_max_fen"]))

    def _refusal(  # noqa: PLR0911 - one reason after the other, as the page has them
        self, amount: int, channel: str, same_day: list[dict[str, Any]], at: float
    ) -> str:
        if self.blocked:
            return "blocked"
        if self.rules is None:
            return "withdrawals-off"
        rules = self.rules
        if channel not in rules["channels"]:
            return "channel-not-allowed"
        if amount < rules["min_fen"]:
            return "below-minimum"
        if amount > rules["max_fen"]:
            return "above-maximum"
        if amount % rules["multiple_fen"]:
            return "not-a-multiple"
        if not rules["days_of_month"][0] <= shanghai(at).day <= rules["days_of_month"][1]:
            return "not-today"
        counted = [w for w in same_day if w["state"] not in ("refused", "rejected", "cancelled", "failed")]
        if len(counted) >= rules["max_per_day"]:
            return "too-many-today"
        if sum(w["amount"] for w in counted) + amount > rules["day_max_fen"]:
            return "day-limit"
        if sum(w["state"] in OPEN for w in self.withdrawals.values()) >= rules["max_open"]:
            return "too-many-open"
        if amount - self._fee(amount) < 1:
            return "fee-too-high"
        return "insufficient" if amount > self.available(at) else ""

    def _reviewed(self, amount: int, payee: str) -> bool:
        assert self.rules is not None
        once_paid = [w for w in self.withdrawals.values() if w.get("once_paid")]
        if amount > self.rules["review_over_fen"]:
            return True
        if self.rules["review_first"] and not once_paid:
            return True
        return bool(self.rules["review_new_payee"] and payee not in [w["payee"] for w in once_paid])

    def _approvals(self, amount: int) -> int:
        assert self.rules is not None
        above = [needed for fen, needed in self.rules["approvals_over"] if fen < amount]
        return int(max([self.rules["approvals"], *above]))

    # -- what people do

    def judge(self, verdict: str, own_id: str, actor: str) -> None:
        """Approve, reject or cancel."""
        w = self.withdrawals.get(own_id)
        if w is None:
            return
        if verdict == "approve" and w["state"] == "review":
            others = [w["actor"], *w["approved_by"]]
            if actor == "anonymous" or actor not in others:
                w["approved_by"].append(actor)
                if len(w["approved_by"]) >= w["needed"]:
                    w["state"] = "approved"
        if verdict == "reject" and w["state"] in ("review", "approved"):
            w["state"] = "rejected"
        if verdict == "cancel" and w["state"] in ("review", "approved") and not w["attempts"]:
            w["state"] = "cancelled"

    def resolve(self, own_id: str, outcome: str, ref: str, actor: str, at: float) -> None:
        """Say how a stuck one ended, 24 h after its last attempt."""
        w = self.withdrawals.get(own_id)
        if w and w["state"] == "stuck" and at >= w["attempt_at"] + RESOLVE_SECONDS:
            w["resolved"] = (outcome, ref, actor)

    def confirm(self, own_id: str, outcome: str, ref: str, actor: str) -> None:
        """Confirm the newest resolution as another person."""
        w = self.withdrawals.get(own_id)
        if not w or w["state"] != "stuck" or w["resolved"] is None:
            return
        known_outcome, known_ref, by = w["resolved"]
        if (outcome, ref) == (known_outcome, known_ref) and (actor != by or actor == "anonymous"):
            w["state"] = outcome
            w["once_paid"] = w.get("once_paid") or outcome == "paid"

    # -- what owners write

    def attempt(self, own_id: str, number: int, channel: str, at: float) -> None:
        """Attempt to pay over a channel, if that is legal here."""
        w = self.withdrawals.get(own_id)
        legal = w is not None and w["state"] in ("approved", "sending") and number == w["attempts"] + 1
        if w is not None and legal and channel == w["channel"] and not self.blocked:
            w |= {"attempts": number, "state": "sending", "attempt_at": at}

    def result(self, own_id: str, number: int, status: str) -> None:
        """Take what the service said about an attempt."""
        w = self.withdrawals.get(own_id)
        if w is None or not w["attempts"]:
            return
        state, newest = w["state"], number == w["attempts"]
        under_way = state in ("sending", "needs-user", "stuck")
        if status == "paid" and (under_way or state in ("approved", "failed", "rejected")):
            w |= {"state": "paid", "once_paid": True}
        if status == "returned" and (under_way or state == "paid"):
            w |= {"state": "returned", "once_paid": True}
        if status == "failed" and under_way and newest:
            w["state"] = "failed"
        if status == "payer" and state in ("sending", "needs-user") and newest:
            w["state"] = "approved"
        if status == "needs-user" and state == "sending":
            w["state"] = "needs-user"
        if status == "stuck" and state in ("sending", "needs-user"):
            w["state"] = "stuck"

    # -- staff

    def propose(self, own_id: str, amount: int, actor: str) -> None:
        """Propose an adjustment."""
        self.adjustments.setdefault(own_id, {"amount": amount, "actor": actor, "state": "proposed"})

    def judge_adjustment(self, verdict: str, own_id: str, actor: str) -> None:
        """Approve an adjustment as another person, or reject it."""
        a = self.adjustments.get(own_id)
        if a is None or a["state"] != "proposed":
            return
        if verdict == "reject":
            a["state"] = "rejected"
        elif actor != a["actor"] or actor == "anonymous":
            a["state"] = "approved"

    def open(
        self, own_id: str, available: int, confirmed: list[tuple[str, int]], withdrawn: int, actor: str
    ) -> None:
        """Bring something along."""
        fresh = {"available": available, "confirmed": confirmed, "withdrawn": withdrawn}
        self.openings.setdefault(own_id, fresh | {"actor": actor, "approved": False})

    def approve_opening(self, own_id: str, actor: str) -> None:
        """Approve an opening as another person."""
        opening = self.openings.get(own_id)
        if opening and (actor != opening["actor"] or actor == "anonymous"):
            opening["approved"] = True
