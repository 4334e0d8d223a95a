"""The naive way: a Faust application as its documentation shows it, to see what our rig looks for.

`faust -A tests.rig.naive worker`; a table of sums by user, updated per event, at-least-once.
"""

from __future__ import annotations

import os

import faust

PREFIX = os.environ.get("REBATE_TOPIC_PREFIX", "")


class Order(faust.Record):
    """An order's rebate."""

    user: str
    amount: int


app = faust.App(
    f"{PREFIX}naive",
    broker="kafka://" + os.environ.get("REBATE_BROKER", "127.0.0.1:19092"),
    store="memory://",
    topic_partitions=1,
    topic_disable_leader=True,
    broker_session_timeout=6.0,
    web_port=int(os.environ.get("REBATE_WEB_PORT", "6066")),
    datadir=os.environ.get("REBATE_DATADIR", "."),
)
orders = app.topic(f"{PREFIX}naive-orders", value_type=Order, partitions=1)
balances = app.Table(f"{PREFIX}naive-balances", default=int, partitions=1)


@app.agent(orders)
async def add_up(stream: faust.StreamT) -> None:
    """Add each order's rebate to its user's balance."""
    async for order in stream:
        balances[order.user] += order.amount
