"""Attaches the agents to the app: one per stage, and the one that delivers events."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any

from rebate_app.settings import Settings
from rebate_app.streams.faust.topic import batch_topic
from rebate_app.streams.task.batch import RecordBatch
from rebate_app.streams.task.manager import TaskManager
from rebate_app.streams.task.ports import SideConsumer
from rebate_app.streams.transaction.partitioner import hash_ahead

from . import webhooks
from .order_lines import OrderLinesStage

Submit = Callable[[RecordBatch], None]
AgentFunction = Callable[[AsyncIterable[RecordBatch]], Awaitable[None]]


def attach(app: Any, tasks: TaskManager, settings: Settings, beside: SideConsumer) -> None:
    """Attach an agent for each stage and the agent `webhooks`: each hands batches to their partition.

    A partition works on one batch at a time in a task of its own, so partitions overlap while each
    of them stays in order.
    """
    events = batch_topic(app, beside.topics, settings.partitions)
    app.agent(events, name=webhooks.NAME)(_agent(beside.submit))
    for source, stage in tasks.stages.items():
        submit = _agent_of_new_keys if isinstance(stage, OrderLinesStage) else _agent
        app.agent(batch_topic(app, [source], settings.partitions), name=stage.name)(submit(tasks.submit))


def _agent_of_new_keys(submit: Submit) -> AgentFunction:
    """Return an agent function that also hashes the batch's keys, most of which come for the first time."""

    async def submit_batches(stream: AsyncIterable[RecordBatch]) -> None:
        """Hash the keys of each batch together, and hand it over to the task of its partition."""
        async for batch in stream:
            await hash_ahead(record.key for record in batch.records)
            submit(batch)

    return submit_batches


def _agent(submit: Submit) -> AgentFunction:
    """Return an agent function that hands over every batch."""

    async def submit_batches(stream: AsyncIterable[RecordBatch]) -> None:
        """Hand over each batch to the task of its partition."""
        async for batch in stream:
            submit(batch)

    return submit_batches
