"""What a scrape reads from the lane: lag, lease, restoring, sizes.

Law: what is a state of the lane is read when somebody asks and never kept twice; reading changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from rebate_app.metrics.catalogue import (
    COMMIT_BEHIND,
    LAG,
    LEASE,
    PARTITIONS,
    RESTORE_REMAINING,
    STORE_RECORDS,
)
from rebate_app.metrics.figures import Sample

from .lane import Lane
from .partition import RUNNING, PartitionLane
from .store import MemoryStore, Store, StoreClosedError


def read_lane(lane: Lane) -> Iterator[Sample]:
    """Yield what the lane's state says now: lag, lease, restoring, sizes."""
    states: dict[tuple[str, str], int] = {}
    records: dict[str, int] = {}
    for (topic, number), partition in lane.partitions.items():
        state = (topic, partition.state)
        states[state] = states.get(state, 0) + 1
        yield from _read_partition(lane, topic, number, partition)
        count = records_of(partition.store)
        if count is not None:
            table = table_of(partition)
            records[table] = records.get(table, 0) + count
    for labels, count in states.items():
        yield Sample(PARTITIONS, labels, count)
    for name, count in records.items():
        yield Sample(STORE_RECORDS, (name,), count)
    yield Sample(LEASE, (), lane.lease_remaining_s())


def _read_partition(lane: Lane, topic: str, number: int, partition: PartitionLane) -> Iterator[Sample]:
    behind = max(0, lane.stable_end(topic, number) - partition.position)
    yield Sample(LAG, (topic, number), behind)
    remaining = 0 if partition.state == RUNNING else partition.restoring.remaining
    yield Sample(RESTORE_REMAINING, (table_of(partition), number), remaining)
    committed = lane.committed_offset(topic, number)
    if committed is not None:
        yield Sample(COMMIT_BEHIND, (topic, number), max(0, partition.next_offset - committed))


def records_of(store: Store) -> int | None:
    """Return how many records a store holds, None where counting would read everything."""
    if not isinstance(store, MemoryStore):
        return None
    try:
        return len(store)
    except StoreClosedError:
        return None


def table_of(partition: PartitionLane) -> str:
    """Return the table that the partition is of: named as its agent, with _ for -."""
    return partition.stage.name.replace("-", "_")
