"""The toy fold on Bytewax, at least once: see bench/toy.py for the fold, bench/README.md for settings.

It runs in a virtual environment of its own, so nothing of the product is imported:
`python -m bytewax.run bench/bytewax/toy_bytewax.py:flow -r FOLDER`.
"""

from __future__ import annotations

import os
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kafka
from bytewax.dataflow import Dataflow

Document = dict[str, Any]

BROKERS = [os.environ["BENCH_BROKER"]]
READ_AT_ONCE = 5_000


def decoded(message: Any) -> tuple[str, Document]:
    """Return an order under its line's name."""
    return message.key.decode(), orjson.loads(message.value)


def fold_order(line: Document | None, order: Document) -> tuple[Document, tuple[str, Document] | None]:
    """Return the line's state and (user, message to the user), None for an old version."""
    if line is not None and order["version"] <= line["version"]:
        return line, None
    rebate = order["commission"] * 4_400 // 10_000
    change = {
        "line": f"{order['platform']}:{order['order_line_id']}",
        "version": order["version"],
        "status": order["status"],
        "lines": int(line is None),
        "rebate": rebate - (0 if line is None else line["rebate"]),
    }
    kept = {
        "version": order["version"],
        "status": order["status"],
        "user_id": order["user_id"],
        "gross": order["gross"],
        "commission": order["commission"],
        "rebate": rebate,
        "paid_at": order["paid_at"],
        "modified_at": order["modified_at"],
    }
    return kept, (order["user_id"], change)


class AccountOf(op.StatefulBatchLogic):
    """One user's account; it is written once a batch, after all of the batch's messages."""

    def __init__(self, account: Document | None) -> None:
        self.account = account or {"events": 0, "lines": 0, "rebate": 0}

    def on_batch(self, changes: list[Document]) -> tuple[list[Document], bool]:
        """Apply messages; return the account, and that it is kept."""
        account = self.account
        for change in changes:
            account["events"] += 1
            account["lines"] += change["lines"]
            account["rebate"] += change["rebate"]
        return [dict(account)], False

    def snapshot(self) -> Document:
        """Return what the recovery store keeps."""
        return dict(self.account)


def encoded(pair: tuple[str, Document]) -> Any:
    """Return a record under its user's id."""
    return KafkaSinkMessage(pair[0].encode(), orjson.dumps(pair[1]))


def built() -> Dataflow:
    """Return the dataflow."""
    producer = {"linger.ms": "5", "batch.num.messages": "10000"}
    flow = Dataflow("toy")
    source = kafka.input(
        "orders",
        flow,
        brokers=BROKERS,
        topics=[os.environ["BENCH_ORDERS"]],
        add_config={"fetch.wait.max.ms": "10"},
        batch_size=READ_AT_ONCE,
    )
    orders = op.map("decode", source.oks, decoded)
    folded = op.stateful_map("lines", orders, fold_order)
    changes = op.filter_map("changed", folded, lambda pair: pair[1])
    messages = op.map("encode-messages", changes, encoded)
    kafka.output(
        "user-log", messages, brokers=BROKERS, topic=os.environ["BENCH_USER_LOG"], add_config=producer
    )
    accounts = op.stateful_batch("accounts", changes, AccountOf)
    states = op.map("encode-accounts", accounts, encoded)
    kafka.output(
        "account-states", states, brokers=BROKERS, topic=os.environ["BENCH_ACCOUNTS"], add_config=producer
    )
    return flow


flow = built()
