"""The toy fold on Faust as its documentation writes it: Records, tables, one send and one write an event.

`faust -A bench.faust_plain worker`; see bench/toy.py for the fold, bench/README.md for settings.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import faust

from bench.orders import PARTITIONS, rebate_of

app = faust.App(
    os.environ.get("BENCH_APP", "faust"),
    broker=f"kafka://{os.environ.get('BENCH_BROKER', '127.0.0.1:9092')}",
    datadir=os.environ.get("BENCH_DATADIR"),
    processing_guarantee=os.environ.get("BENCH_GUARANTEE", "at_least_once"),
    topic_partitions=PARTITIONS,
    topic_replication_factor=1,
    topic_disable_leader=True,
    topic_allow_declare=False,
    table_standby_replicas=0,
    store="memory://",
)
logging.getLogger("aiokafka").setLevel(logging.WARNING)


class Order(faust.Record, serializer="json"):
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


class Line(faust.Record, serializer="json"):
    """What the table of lines keeps."""

    version: int
    status: str
    user_id: str
    gross: int
    commission: int
    rebate: int
    paid_at: str
    modified_at: str


class Change(faust.Record, serializer="json"):
    """The message to the user's log."""

    line: str
    version: int
    status: str
    lines: int
    rebate: int


class Account(faust.Record, serializer="json"):
    """What the table of accounts keeps."""

    events: int = 0
    lines: int = 0
    rebate: int = 0


orders_topic = app.topic(os.environ.get("BENCH_ORDERS", "orders"), key_type=str, value_type=Order)
user_log = app.topic(os.environ.get("BENCH_USER_LOG", "user-log"), key_type=str, value_type=Change)
lines: Any = app.Table("lines", key_type=str, value_type=Line, partitions=PARTITIONS)
accounts: Any = app.Table("accounts", key_type=str, value_type=Account, partitions=PARTITIONS)


@app.agent(orders_topic, name="order-lines")
async def take_orders(stream: Any) -> None:
    """Orders become lines, and messages to users."""
    async for key, order in stream.items():
        before = lines.get(key)
        if before is not None and order.version <= before.version:
            continue
        rebate = rebate_of(order.commission)
        lines[key] = Line(
            order.version,
            order.status,
            order.user_id,
            order.gross,
            order.commission,
            rebate,
            order.paid_at,
            order.modified_at,
        )
        seen = 0 if before is None else before.rebate
        name = f"{order.platform}:{order.order_line_id}"
        change = Change(name, order.version, order.status, int(before is None), rebate - seen)
        await user_log.send(key=order.user_id, value=change)


@app.agent(user_log, name="accounts")
async def take_changes(stream: Any) -> None:
    """Messages become accounts."""
    async for user_id, change in stream.items():
        account = accounts.get(user_id) or Account()
        accounts[user_id] = Account(
            account.events + 1, account.lines + change.lines, account.rebate + change.rebate
        )
