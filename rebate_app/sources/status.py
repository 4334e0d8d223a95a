"""What is seen of accounts: the items of `GET /v1/sources` and `rebate sources status --json`.

See docs/spec/sources.md#commands. Moments are RFC 3339 in +08:00, of the network's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rebate_app.wire.moments import SECOND_US, format_moment

from .account import AccountRun
from .apis.api import load_api
from .configuration import AccountConfiguration, AppConfiguration, SourcesConfiguration
from .cursors import CursorTopic
from .job import ROW_OUTCOMES, JobCursor, JobRun, Stop
from .network_clock import shanghai_day

RUNNING, PAUSED, STOPPED, WAITING = "running", "paused", "stopped", "waiting"
Item = dict[str, Any]


def account_item(run: AccountRun, worker: str | None, mono: float, wall_seconds: float) -> Item:
    """Return an account that is run here."""
    app, now = run.app, run.app.clock.now(mono, wall_seconds)
    stop = app.stopped or run.stopped
    state = PAUSED if run.paused else STOPPED if stop else WAITING if app.closed_until else RUNNING
    return {
        "account": run.configuration.id,
        "app": app.configuration.id,
        "network": app.configuration.network,
        "state": state,
        "stopped": _stopped(stop),
        "worker": worker,
        "clock_skew_s": round(app.clock.skew_seconds, 1) if app.clock.is_known else None,
        "calls_today": sum(job.calls_today for job in run.jobs if job.day == shanghai_day(now)),
        "budget_left": app.calls_left,
        "jobs": [_job_item(job, mono, now) for job in run.jobs],
    }


def _job_item(job: JobRun, mono: float, now: float) -> Item:
    error = job.last_error
    return {
        "job": job.spec.name,
        "state": STOPPED if job.stopped else WAITING if job.retry_at > mono else RUNNING,
        "stopped": _stopped(job.stopped),
        "watermark": _moment(job.watermark),
        "age_seconds": None if job.watermark is None else max(0, int(now) - job.watermark),
        "last_error": None
        if error is None
        else {
            "class": str(error.error),
            "code": error.code,
            "message": error.message,
            "at": _moment(job.last_error_at),
        },
        "rows": dict(job.rows),
        "pages": job.pages,
        "halvings": job.halvings,
        "rescans": {kind: len(state.left) for kind, state in job.rescans.items() if state.left},
    }


def kept_item(
    account: AccountConfiguration, app: AppConfiguration, topic: CursorTopic, wall_seconds: float
) -> Item:
    """Return an account that nobody runs, by its cursors; ages are by the local clock."""
    cursors, decision = topic.cursors(account.id), topic.decision(account.id)
    today = shanghai_day(wall_seconds)
    calls = sum(cursor.calls_today for cursor in cursors.values() if cursor.day == today)
    jobs = [spec.name for spec in load_api(app.network).jobs(account)]
    return {
        "account": account.id,
        "app": app.id,
        "network": app.network,
        "state": PAUSED if decision is not None and decision.paused else WAITING,
        "stopped": None,
        "worker": None,
        "clock_skew_s": None,
        "calls_today": calls,
        "budget_left": max(0, app.per_day - calls),
        "jobs": [_kept_job(name, cursors.get(name), wall_seconds) for name in jobs],
    }


def _kept_job(name: str, cursor: JobCursor | None, wall_seconds: float) -> Item:
    watermark = None if cursor is None else cursor.watermark
    rescans: Mapping[str, Any] = {} if cursor is None else cursor.rescans
    return {
        "job": name,
        "state": WAITING,
        "stopped": None,
        "watermark": _moment(watermark),
        "age_seconds": None if watermark is None else max(0, int(wall_seconds) - watermark),
        "last_error": None,
        "rows": dict.fromkeys(ROW_OUTCOMES, 0),
        "pages": 0,
        "halvings": 0,
        "rescans": {kind: len(state.left) for kind, state in rescans.items() if state.left},
    }


def kept_items(
    configuration: SourcesConfiguration, topic: CursorTopic, wall_seconds: float, *, seen: set[str]
) -> list[Item]:
    """Return the accounts of the file that are not among those `seen`."""
    return [
        kept_item(account, configuration.apps[account.app], topic, wall_seconds)
        for name, account in configuration.accounts.items()
        if name not in seen
    ]


def _stopped(stop: Stop | None) -> Item | None:
    if stop is None:
        return None
    return {"class": stop.error, "code": stop.code, "message": stop.message, "since": _moment(stop.since)}


def _moment(seconds: int | None) -> str | None:
    return None if seconds is None else format_moment(seconds * SECOND_US)
