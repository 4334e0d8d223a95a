"""What a scrape reads from the worker as a whole: readiness, generation, and the engine's own figures.

Law: Faust counts for itself in its monitor; it is read at the scrape, so its own Prometheus sensors, which
cost a lock per message and serve a second page, stay off. It is separate from the lane's readings because
only the outermost layer knows both Faust's app and the placement.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rebate_app.metrics.catalogue import (
    BUILD,
    ENGINE_ASSIGNMENTS,
    ENGINE_EVENTS,
    ENGINE_EVENTS_ACTIVE,
    ENGINE_REBALANCE_SECONDS,
    ENGINE_REBALANCES,
    GENERATION,
    READY,
)
from rebate_app.metrics.figures import Sample
from rebate_app.placement import LanePlacement
from rebate_app.settings import Settings

DISTRIBUTION = "taoke-rebate"


def read_worker(app: Any, placement: LanePlacement, settings: Settings) -> Iterator[Sample]:
    """Yield what is known of the worker now."""
    yield Sample(BUILD, (app_version(), settings.store, settings.scope), 1)
    yield Sample(READY, (), placement.readiness()[0])
    yield Sample(GENERATION, (), placement.assignment().generation)
    yield from read_engine(app.monitor)


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
