"""The answer about sources: accounts whose orders are fetched (docs/spec/sources.md#commands)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from rebate_app.domain.faults import UNDECODABLE, UNKNOWN_MEMBER

from ..operation import Operation, RequestBody
from .common import Count, Cursor, Moment, one_of
from .payouts import StaffBody


class SourceStop(Struct, kw_only=True):
    """Why nothing more is fetched, with the network's own code and message."""

    error: Annotated[str, one_of(("stop",))] = field(name="class")
    code: str
    message: str
    since: Moment


class SourceError(Struct, kw_only=True):
    """The last error of a job."""

    error: Annotated[str, one_of(("retry", "wait", "tomorrow", "halve", "stop"))] = field(name="class")
    code: str
    message: str
    at: Moment


class SourceRows(Struct, kw_only=True):
    """Rows by what became of them, since the worker began; `read` counts all."""

    read: Count
    new: Count
    changed: Count
    repeated: Count
    refused: Count


class SourceJob(Struct, kw_only=True):
    """One job of an account. `rescans`: intervals that are left of each kind of re-scan."""

    job: str
    state: Annotated[str, one_of(("running", "stopped", "waiting"))]
    stopped: SourceStop | None
    watermark: Annotated[
        Moment | None, Meta(description="everything before it is read; by the network's clock")
    ]
    age_seconds: Count | None
    last_error: SourceError | None
    rows: SourceRows
    pages: Count
    halvings: Count
    rescans: dict[str, Count]


class SourceItem(Struct, kw_only=True):
    """One account; `worker` is null where no worker fetches it."""

    account: str
    app: str
    network: str
    state: Annotated[str, one_of(("running", "paused", "stopped", "waiting"))]
    stopped: SourceStop | None
    worker: str | None
    clock_skew_s: Annotated[float | None, Meta(description="local clock minus the network's")]
    calls_today: Count
    budget_left: Count
    jobs: list[SourceJob]


class Sources(Struct, kw_only=True):
    """How far the orders of each account are fetched, by whom, and what holds them back."""

    items: list[SourceItem]
    next_cursor: Cursor


class SourceDecision(Struct, kw_only=True):
    """What was decided about an account; the worker that fetches it acts by it within a second."""

    account: str
    paused: bool
    by: str
    at: Moment


SOURCES = Operation(Sources)
SOURCE_SET = Operation(
    SourceDecision,
    codes=("unknown-source",),
    body=RequestBody(StaffBody, (UNDECODABLE, UNKNOWN_MEMBER, "invalid-reason")),
)
