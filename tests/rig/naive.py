"""The naive way: a Faust application as its documentation shows it, to see what our rig looks for.

`faust -A tests.rig.naive worker`; a table of sums by user, changed event by event, at-least-once, with
Faust's own defaults; its topics are there before.
"""

from __future__ import annotations

import os

import faust

PREFIX = os.environ.get("REBATE_TOPIC_PREFIX", "")
APP = f"{PREFIX}naive"
ORDERS = f"{PREFIX}naive-orders"
CHANGELOG = f"{APP}-balances-changelog"


class Order(faust.Record):
    """An order's rebate."""

    user: str
    amount: int


app = faust.App(
    APP,
    broker="kafka://" + os.environ.get("REBATE_BROKER", "127.0.0.1:19092"),
    store="memory://",
    topic_partitions=1,
    topic_disable_leader=True,
    table_standby_replicas=0,
    broker_session_timeout=6.0,
    web_host="127.0.0.1",
    web_port=int(os.environ.get("REBATE_WEB_PORT", "6066")),
    datadir=os.environ.get("REBATE_DATADIR", "."),
)
orders = app.topic(ORDERS, value_type=Order, partitions=1)
balances = app.Table("balances", default=int, partitions=1)


@app.agent(orders)
async def add_up(stream: faust.StreamT[Order]) -> None:
    """Add each order's rebate to its user's balance."""
    async for order in stream:
        balances[order.user] += order.amount


@app.page("/balances/{user}")
async def read_balance(web: faust.web.View, _request: faust.web.Request, user: str) -> faust.web.Response:
    """Answer a user's balance."""
    return web.json({"balance": balances[user]})
