"""Well-formed order facts with members replaced by odd values, for properties of whatever reads facts."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from tests.wire.samples import claim, punish, refund, snapshot

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**9, 10**9 + 1, 2**63 - 1, 2**63, 2**64, 10**40, 1.0, 0.5, 1e300]),
    st.sampled_from(
        ["", "0", "1", " ", "a b", "a\x00", "\ud800", "é", "\u3000", "x" * 128, "x" * 129, "u_1"]
    ),
    st.sampled_from(["paid", "created", "settled", "open", "frozen", "CNY", "order.claim", "order-event/1"]),
    st.sampled_from(
        ["2026-01-10T03:22:40Z", "2026-06-02T00:00:01Z", "2026-01-10", "2030-01-01T00:00:00+08:00"]
    ),
    st.sampled_from(["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+08:00", "2026-01-10T03:22:40.5-01:00"]),
    st.text(max_size=4),
    st.just([]),
    st.just({}),
    st.just({"a": [1, {"b": "\ud800"}]}),
    st.just(...),
)
PATHS = [
    *("schema", "kind", "platform", "order_line_id", "seq", "status", "currency", "amounts", "times"),
    *("attribution", "suit_id", "refund_status", "net_refund", "modified_at", "punish_status", "user_id"),
    *("claimed_at", "item", "platform_status", "parent_order_id", "status_reason", "whatever"),
    *("seq__modified_at", "seq__fetch_seq", "amounts__est_commission", "amounts__settled_commission"),
    *("amounts__service_fee", "times__paid", "times__settled", "times__expected_settle"),
    *(f"attribution__{name}" for name in ("user_id", "special_id", "sub_union_id", "custom_uid", "pid")),
]
SAMPLES = [snapshot(), snapshot(status="paid"), snapshot(status="created"), refund(), punish(), claim()]


def spoiled(document: dict[str, Any], members: dict[str, Any]) -> dict[str, Any]:
    """Return a copy with members replaced where their parent still is an object."""
    copy: dict[str, Any] = json.loads(json.dumps(document))
    for path, value in members.items():
        parent, _, name = path.rpartition("__")
        home = copy.get(parent) if parent else copy
        if isinstance(home, dict):
            home.pop(name, None)
            if value is not ...:
                home[name] = deepcopy(value)
    return copy
