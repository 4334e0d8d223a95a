"""The toy fold on Pathway, at least once: see bench/toy.py for the fold, bench/README.md for settings.

It runs in a virtual environment of its own, so nothing of the product is imported. Pathway is
incremental: a line's newer version takes back what the older one had added, so `events` of an account
counts lines with their last versions. In this feed every order has one.
"""

from __future__ import annotations

import sys

import pathway as pw

COMMIT_MS = 100
SNAPSHOT_MS = 1_000


class Order(pw.Schema):
    """An order as it stands in `order_topic`."""

    platform: str
    order_line_id: str
    user_id: str
    version: int
    status: str
    gross: int
    commission: int
    quantity: int
    paid_at: str
    modified_at: str
    shop_id: str
    shop_title: str
    item_id: str
    item_title: str
    pid: str


def main() -> None:
    """Run until told to stop."""
    broker, group, orders_name, user_log_name, accounts_name, folder = sys.argv[1:]
    reading = {
        "bootstrap.servers": broker,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": "10",
    }
    writing = {"bootstrap.servers": broker, "linger.ms": "20", "batch.num.messages": "10000"}
    orders = pw.io.kafka.read(
        reading,
        topic=orders_name,
        schema=Order,
        format="json",
        autocommit_duration_ms=COMMIT_MS,
        name="orders",
    )
    named = orders.with_columns(line=pw.this.platform + ":" + pw.this.order_line_id)
    latest = named.deduplicate(
        value=pw.this.version, instance=pw.this.line, acceptor=lambda new, old: new > old, name="lines"
    )
    lines = latest.with_columns(rebate=pw.this.commission * 4_400 // 10_000)
    messages = lines.select(
        pw.this.user_id, pw.this.line, pw.this.version, pw.this.status, pw.this.rebate, lines=1
    )
    pw.io.kafka.write(messages, writing, user_log_name, format="json", key=messages.user_id)
    accounts = lines.groupby(pw.this.user_id).reduce(
        pw.this.user_id,
        events=pw.reducers.count(),
        lines=pw.reducers.count(),
        rebate=pw.reducers.sum(pw.this.rebate),
    )
    pw.io.kafka.write(accounts, writing, accounts_name, format="json", key=accounts.user_id)
    kept = pw.persistence.Config(pw.persistence.Backend.filesystem(folder), snapshot_interval_ms=SNAPSHOT_MS)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE, persistence_config=kept)


if __name__ == "__main__":
    main()
