"""Gauges of sources: ages of watermarks and credentials, budgets, stops, clocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rebate_app.metrics.catalogue import (
    SOURCE_BUDGET,
    SOURCE_BUDGET_LEFT,
    SOURCE_CLOCK_SKEW,
    SOURCE_CREDENTIAL_AGE,
    SOURCE_STOPPED,
    SOURCE_UNKNOWN,
    SOURCE_WATERMARK_AGE,
)
from rebate_app.metrics.registry import Sample

from .account import AccountRun


def read_fetchers(runs: Iterable[AccountRun], mono: float, wall_seconds: float) -> Iterator[Sample]:
    """Yield the gauges of accounts, and of each of their apps once."""
    apps = {}
    for run in runs:
        account, app = run.configuration, run.app
        apps[app.configuration.id] = app
        now = app.clock.now(mono, wall_seconds)
        yield Sample(SOURCE_STOPPED, (account.id,), bool(run.stops()) and not run.paused)
        yield Sample(
            SOURCE_CREDENTIAL_AGE,
            (account.id,),
            max(0.0, wall_seconds - (account.credential_at or app.configuration.credential_at)),
        )
        for job in run.jobs:
            labels = (account.id, job.spec.name)
            yield Sample(SOURCE_UNKNOWN, labels, job.unknown_codes)
            if not run.paused:
                yield Sample(SOURCE_WATERMARK_AGE, labels, max(0.0, now - run.read_until(job, now)))
    for name, app in apps.items():
        yield Sample(SOURCE_BUDGET_LEFT, (name,), app.calls_left)
        yield Sample(SOURCE_BUDGET, (name,), app.budget.per_day)
        if app.clock.is_known:
            yield Sample(SOURCE_CLOCK_SKEW, (name,), app.clock.skew_seconds)
