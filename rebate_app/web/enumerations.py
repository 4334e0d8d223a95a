"""Values of members of answers, each with its meaning; docs/http.md and /openapi.json list them."""

from __future__ import annotations

from rebate_app.domain.account.events import REPRICED
from rebate_app.domain.facts import ATTRIBUTION_FIELDS, PUNISH_RANK, REFUND_RANK, STATUS_RANK

from .resources.shares import SUSPENSE

LEDGER_REASONS = {
    **{f"snapshot-{status}": f"a snapshot has status {status}" for status in STATUS_RANK},
    **{f"refund-{status}": f"a dispute is {status}" for status in REFUND_RANK},
    **{f"punish-{status}": f"a punishment is {status}" for status in PUNISH_RANK},
    "claim": "a claim decides, or no longer does",
    "binding": "the attribution id was bound, and the line came along",
    "reassigned": "the line now belongs to another user",
    REPRICED: "rules, level and inviters of the line were chosen anew",
    "withdrawal.decided": "a request of a withdrawal is accepted",
    "withdrawal.reject": "a withdrawal is rejected",
    "withdrawal.cancel": "a withdrawal is cancelled",
    "payout.result": "a payment service has answered",
    "withdrawal.confirm": "two people say how a stuck withdrawal ended",
    "adjustment.approve": "an adjustment is approved",
    "account.opening.approve": "an opening is approved",
}
OWNER_BY = {
    "user_id": "a snapshot named the user outright",
    **{name: f"its {name} is a user id (`REBATE_USER_ID_FIELDS`)" for name in ATTRIBUTION_FIELDS},
    "binding": "its attribution id is bound to the user",
    "claim": "its attribution id is bound to nobody, and the user's claim decides",
    SUSPENSE: "its attribution id is bound to nobody, and nobody claimed it",
}
TIMELINE_KINDS = {
    "snapshot": "a network's snapshot of the line",
    "refund": "a dispute or its outcome",
    "punish": "a punishment by the network",
    "claim": "a user claims the line",
}
ROLES = {"buyer": "bought the line", "inviter": "invited the buyer, or the buyer's inviter (`depth` 1, 2)"}
PUNISHMENTS = {
    "frozen": "every share is held",
    "confirmed": "worth 0 to everybody",
    "lifted": "as if there had been none",
}
