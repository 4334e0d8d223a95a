"""Attaches the agents to the app, by explicit imports and given names."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any

from rebate_app.lane.chunk import Chunk
from rebate_app.lane.lane import Lane
from rebate_app.lane.ports import Companion
from rebate_app.lane.topic import lane_topic
from rebate_app.settings import Settings

from . import accounts, order_lines, webhooks


def attach(app: Any, lane: Lane, settings: Settings, beside: Companion) -> None:
    """Attach the agents `order-lines`, `accounts` and `webhooks`: each hands chunks to their partition.

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

    async def take_events(stream: AsyncIterable[Chunk]) -> None:
        """Events go to the platform's own URL."""
        async for chunk in stream:
            beside.submit(chunk)

    orders = lane_topic(app, [by_name[order_lines.NAME]], settings.partitions)
    user_log = lane_topic(app, [by_name[accounts.NAME]], settings.partitions)
    events = lane_topic(app, beside.topics, settings.partitions)
    app.agent(events, name=webhooks.NAME)(take_events)
    app.agent(orders, name=order_lines.NAME)(take_order_lines)
    app.agent(user_log, name=accounts.NAME)(take_accounts)
