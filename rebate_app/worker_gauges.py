"""Gauges of the worker as a whole: build, readiness, generation, parked keys, and those of Faust's monitor.

Each scrape reads Faust's monitor; Faust's own Prometheus sensors, which take a lock per message and serve a
second page, stay off.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rebate_app.data_folder import free_bytes
from rebate_app.domain.reasons import WEBHOOK_EXHAUSTED, WEBHOOK_REFUSED
from rebate_app.metrics.catalogue import (
    BUILD,
    CLOCK,
    ENGINE_ASSIGNMENTS,
    ENGINE_EVENTS,
    ENGINE_EVENTS_ACTIVE,
    ENGINE_REBALANCE_SECONDS,
    ENGINE_REBALANCES,
    FREE_BYTES,
    GENERATION,
    PARKED_AGE,
    PARKED_KEYS,
    PARKED_RECORDS,
    READY,
)
from rebate_app.metrics.known_labels import KnownLabels
from rebate_app.metrics.registry import Sample
from rebate_app.placement import GroupPlacement
from rebate_app.settings import Settings
from rebate_app.sources.service import SourceService
from rebate_app.streams.failures.record_kinds import list_parked, read_parked_totals
from rebate_app.streams.task.halt import HALT_CODES
from rebate_app.streams.task.manager import TaskManager
from rebate_app.streams.task.stage import Stage
from rebate_app.streams.task.task import RUNNING
from rebate_app.web.auth.authenticator import REFUSALS as AUTH_REFUSALS
from rebate_app.web.server.connections import Closed
from rebate_app.web.server.runner import REFUSALS
from rebate_app.webhooks.meter import DELAYS
from rebate_app.wire.facts.refusals import reasons_of_stage
from rebate_app.wire.topics import Topics

DISTRIBUTION = "taoke-rebate"
SECOND_MS = 1_000


def known_labels(
    topics: Topics, stages: Sequence[Stage], sources: SourceService | None = None
) -> KnownLabels:
    """Return the label values of this worker's counters, which its registry exports as zeros at first."""
    letters = [(each.source, reason) for each in topics.stages for reason in reasons_of_stage(each.spec.name)]
    letters += [(topics.events, reason) for reason in (WEBHOOK_REFUSED, WEBHOOK_EXHAUSTED)]
    return KnownLabels(
        stages=tuple(stage.name for stage in stages),
        sources=topics.sources,
        dead_letters=tuple(letters),
        control_topics=topics.control,
        retries=tuple(zip(topics.events_retries, DELAYS, strict=True)),
        refusals=REFUSALS,
        auth_refusals=AUTH_REFUSALS,
        halts=tuple(HALT_CODES),
        closures=tuple(reason.value for reason in Closed),
        source_jobs=() if sources is None else sources.known_jobs(),
        source_methods=() if sources is None else sources.known_methods(),
    )


def read_worker(app: Any, placement: GroupPlacement, settings: Settings) -> Iterator[Sample]:
    """Yield the current gauges of the worker."""
    yield Sample(BUILD, (app_version(), settings.store, settings.scope), 1)
    yield Sample(READY, (), placement.readiness()[0])
    yield Sample(CLOCK, (), time.time())
    yield Sample(FREE_BYTES, (), free_bytes(settings.datadir))
    yield Sample(GENERATION, (), placement.assignment().generation)
    yield from read_parked(app.tasks)
    yield from read_engine(app.monitor)


def read_parked(tasks: TaskManager) -> Iterator[Sample]:
    """Yield what is parked in the running partitions of this worker."""
    now_ms = time.time() * SECOND_MS
    for topic in tasks.stages:
        keys = records = 0
        oldest_ms = now_ms
        for (source, _), task in tasks.partitions.items():
            if source == topic and task.state == RUNNING:
                tally = read_parked_totals(task.store)
                keys, records = keys + tally.keys, records + tally.records
                oldest_ms = min([oldest_ms, *(at for _, _, at in list_parked(task.store))])
        yield Sample(PARKED_KEYS, (topic,), keys)
        yield Sample(PARKED_RECORDS, (topic,), records)
        yield Sample(PARKED_AGE, (topic,), (now_ms - oldest_ms) / SECOND_MS)


def read_engine(monitor: Any) -> Iterator[Sample]:
    """Yield the counters of Faust's monitor."""
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
