"""What a key may be allowed to do (docs/spec/api-security.md#scopes); the route table says which it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

BALANCES_READ: Final = "balances:read"
ORDERS_WRITE: Final = "orders:write"
PROFILES_WRITE: Final = "profiles:write"
WITHDRAWALS_WRITE: Final = "withdrawals:write"
WITHDRAWALS_REVIEW: Final = "withdrawals:review"
ADJUSTMENTS_WRITE: Final = "adjustments:write"
ADJUSTMENTS_APPROVE: Final = "adjustments:approve"
PAYOUTS_EXPORT: Final = "payouts:export"
OPERATIONS_READ: Final = "operations:read"
OPERATIONS_WRITE: Final = "operations:write"
METRICS_READ: Final = "metrics:read"
ADMIN: Final = "admin"

SCOPES: Final[Mapping[str, str]] = {
    BALANCES_READ: "read balances, lines, ledgers, profiles, users, attributions, order lines and rules",
    ORDERS_WRITE: "write order facts",
    PROFILES_WRITE: "write profiles, bindings and claims",
    WITHDRAWALS_WRITE: "request and cancel withdrawals, keep payees",
    WITHDRAWALS_REVIEW: "approve, reject and resolve withdrawals; open and close channels",
    ADJUSTMENTS_WRITE: "propose adjustments, reprice lines",
    ADJUSTMENTS_APPROVE: "approve and reject adjustments, reprice released lines, block users",
    PAYOUTS_EXPORT: "export unmasked payees of the manual channel",
    OPERATIONS_READ: "read workers, dead letters, parked keys, sources and the audit trail",
    OPERATIONS_WRITE: "replay, discard, release, resume",
    METRICS_READ: "read /metrics",
    ADMIN: "everything",
}
