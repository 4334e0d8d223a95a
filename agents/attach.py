"""Attaches the agents to the app, by explicit imports and given names."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any

from rebate_app.lane.chunk import Chunk
from rebate_app.lane.lane import Lane
from rebate_app.lane.topic import lane_topic
from rebate_app.settings import Settings

from . import accounts, order_lines


def attach(app: Any, lane: Lane, settings: Settings) -> None:
    """Attach agents `order-lines` and `accounts`: each hands its chunks to the partition that they are of.

    A partition works on one chunk at a time in a task of its own, so partitions overlap while each
    of them stays in order.
    """
    by_name = {stage.name: source for source, stage in lane.stages.items()}

    async def take_order_lines(stream: AsyncIterable[Chunk]) -> None:
        """Facts of the networks become the state of each order line."""
        async for chunk in stream:
            lane.submit(chunk)

    async def take_accounts(stream: AsyncIterable[Chunk]) -> None:
        """One user's log becomes that user's account."""
        async for chunk in stream:
            lane.submit(chunk)

    orders = lane_topic(app, by_name[order_lines.NAME], settings.partitions)
    user_log = lane_topic(app, by_name[accounts.NAME], settings.partitions)
    app.agent(orders, name=order_lines.NAME)(take_order_lines)
    app.agent(user_log, name=accounts.NAME)(take_accounts)
