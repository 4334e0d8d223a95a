"""Gauges of the engine: lag, lease, restore progress, sizes. Each scrape reads them anew from the tasks."""

from __future__ import annotations

from collections.abc import Iterator

from rebate_app.metrics.catalogue import (
    BATCH_PAUSE,
    COMMIT_BEHIND,
    HALTED,
    LAG,
    LEASE,
    PARTITIONS,
    RECORD_AHEAD,
    RESTORE_REMAINING,
    STORE_RECORDS,
    UNSTABLE,
    UNSTABLE_SECONDS,
)
from rebate_app.metrics.registry import Sample

from .state.store import MemoryStore, Store, StoreClosedError
from .task.halt import HALT_CODES
from .task.manager import TaskManager
from .task.task import RUNNING, StreamTask


def read_tasks(tasks: TaskManager) -> Iterator[Sample]:
    """Yield the current gauges of all tasks."""
    states: dict[tuple[str, str], int] = {}
    records: dict[str, int] = {}
    for (topic, number), partition in tasks.partitions.items():
        state = (topic, partition.state)
        states[state] = states.get(state, 0) + 1
        yield from _read_task(tasks, topic, number, partition)
        count = records_of(partition.store)
        if count is not None:
            table = table_of(partition)
            records[table] = records.get(table, 0) + count
    for topic in tasks.stages:
        ahead = [
            task.record_ahead_seconds for (source, _), task in tasks.partitions.items() if source == topic
        ]
        yield Sample(RECORD_AHEAD, (topic,), max(ahead, default=0.0))
    for labels, count in states.items():
        yield Sample(PARTITIONS, labels, count)
    for name, count in records.items():
        yield Sample(STORE_RECORDS, (name,), count)
    yield Sample(BATCH_PAUSE, (), tasks.pacer.pause_seconds)
    yield Sample(LEASE, (), tasks.lease_remaining_seconds())


def _read_task(tasks: TaskManager, topic: str, number: int, partition: StreamTask) -> Iterator[Sample]:
    behind = max(0, tasks.stable_end(topic, number) - partition.position)
    yield Sample(LAG, (topic, number), behind)
    for code in HALT_CODES:
        is_halted = partition.halt is not None and partition.halt.code == code
        yield Sample(HALTED, (topic, number, code), is_halted)
    held = tasks.held_back.look(topic, number)
    yield Sample(UNSTABLE, (topic, number), held.unstable)
    yield Sample(UNSTABLE_SECONDS, (topic, number), held.seconds)
    remaining = 0 if partition.state == RUNNING else partition.restoring.remaining
    yield Sample(RESTORE_REMAINING, (table_of(partition), number), remaining)
    committed = tasks.committed_offset(topic, number)
    if committed is not None:
        yield Sample(COMMIT_BEHIND, (topic, number), max(0, partition.next_offset - committed))


def records_of(store: Store) -> int | None:
    """Return the number of records in a store, None where counting would read all of them."""
    if not isinstance(store, MemoryStore):
        return None
    try:
        return len(store)
    except StoreClosedError:
        return None


def table_of(partition: StreamTask) -> str:
    """Return the name of the task's table: its agent's, with _ for -."""
    return partition.stage.name.replace("-", "_")
