"""The toy fold on Quix Streams, exactly once: see bench/toy.py for the fold, bench/README.md for settings.

It runs in a virtual environment of its own, so nothing of the product is imported.
"""

from __future__ import annotations

import sys
from typing import Any

from quixstreams import Application, State

Document = dict[str, Any]


def fold_order(order: Document, state: State) -> Document | None:
    """Keep the order's line, and return the message to its user, None for an old version."""
    before = state.get("line")
    if before is not None and order["version"] <= before["version"]:
        return None
    rebate = order["commission"] * 4_400 // 10_000
    state.set(
        "line",
        {
            "version": order["version"],
            "status": order["status"],
            "user_id": order["user_id"],
            "gross": order["gross"],
            "commission": order["commission"],
            "rebate": rebate,
            "paid_at": order["paid_at"],
            "modified_at": order["modified_at"],
        },
    )
    return {
        "user_id": order["user_id"],  # to_topic takes the key from the value, so it travels along
        "line": f"{order['platform']}:{order['order_line_id']}",
        "version": order["version"],
        "status": order["status"],
        "lines": int(before is None),
        "rebate": rebate - (0 if before is None else before["rebate"]),
    }


def fold_change(change: Document, state: State) -> None:
    """Apply a message to its user's account."""
    account = state.get("account") or {"events": 0, "lines": 0, "rebate": 0}
    account["events"] += 1
    account["lines"] += change["lines"]
    account["rebate"] += change["rebate"]
    state.set("account", account)


def main() -> None:
    """Run until told to stop."""
    broker, group, orders_name, user_log_name, folder = sys.argv[1:]
    app = Application(
        broker_address=broker,
        consumer_group=group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=1.0,
        state_dir=folder,
        loglevel="WARNING",
        consumer_extra_config={"fetch.wait.max.ms": 10},
        producer_extra_config={"linger.ms": 20, "batch.num.messages": 10_000},
    )
    orders = app.topic(orders_name, key_deserializer="str", value_deserializer="json")
    user_log = app.topic(
        user_log_name,
        key_deserializer="str",
        value_deserializer="json",
        key_serializer="str",
        value_serializer="json",
    )
    changes = app.dataframe(orders).apply(fold_order, stateful=True).filter(lambda change: change is not None)
    changes.to_topic(user_log, key=lambda change: change["user_id"])
    app.dataframe(user_log).update(fold_change, stateful=True)
    app.run()


if __name__ == "__main__":
    main()
