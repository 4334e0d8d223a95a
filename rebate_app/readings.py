"""What a scrape reads from the worker as a whole: readiness, generation, and the engine's own figures.

Law: Faust counts for itself in its monitor; it is read at the scrape, so its own Prometheus sensors, which
cost a lock per message and serve a second page, stay off. It is separate from the lane's readings because
only the outermost layer knows both Faust's app and the placement.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rebate_app.lane.lane import Lane
from rebate_app.lane.partition import RUNNING
from rebate_app.metrics.catalogue import (
    BUILD,
    ENGINE_ASSIGNMENTS,
    ENGINE_EVENTS,
    ENGINE_EVENTS_ACTIVE,
    ENGINE_REBALANCE_SECONDS,
    ENGINE_REBALANCES,
    GENERATION,
    PARKED_AGE,
    PARKED_KEYS,
    PARKED_RECORDS,
    READY,
)
from rebate_app.metrics.figures import Sample
from rebate_app.placement import LanePlacement
from rebate_app.settings import Settings
from tables.parking import list_parked, read_tally

DISTRIBUTION = "taoke-rebate"


def read_worker(app: Any, placement: LanePlacement, settings: Settings) -> Iterator[Sample]:
    """Yield what is known of the worker now."""
    yield Sample(BUILD, (app_version(), settings.store, settings.scope), 1)
    yield Sample(READY, (), placement.readiness()[0])
    yield Sample(GENERATION, (), placement.assignment().generation)
    yield from read_parked(app.lane)
    yield from read_engine(app.monitor)


def read_parked(lane: Lane) -> Iterator[Sample]:
    """Yield what is parked in the partitions that are owned and open here."""
    now_ms = time.time() * 1_000
    for topic in lane.stages:
        keys = records = 0
        oldest = now_ms
        for (source, _), partition in lane.partitions.items():
            if source == topic and partition.state == RUNNING:
                tally = read_tally(partition.store)
                keys, records = keys + tally.keys, records + tally.records
                oldest = min([oldest, *(at for _, _, at in list_parked(partition.store))])
        yield Sample(PARKED_KEYS, (topic,), keys)
        yield Sample(PARKED_RECORDS, (topic,), records)
        yield Sample(PARKED_AGE, (topic,), (now_ms - oldest) / 1_000)


def read_engine(monitor: Any) -> Iterator[Sample]:
    """Yield what Faust's monitor has counted."""
    yield Sample(ENGINE_EVENTS, (), monitor.events_total)
    yield Sample(ENGINE_EVENTS_ACTIVE, (), monitor.events_active)
    yield Sample(ENGINE_REBALANCES, (), monitor.rebalances)
    yield Sample(ENGINE_REBALANCE_SECONDS, (), monitor.rebalance_end_avg)
    yield Sample(ENGINE_ASSIGNMENTS, ("completed",), monitor.assignments_completed)
    yield Sample(ENGINE_ASSIGNMENTS, ("failed",), monitor.assignments_failed)


def app_version() -> str:
    """Return the installed version, "unknown" where the checkout runs uninstalled."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
