"""Answers about workers, rules, webhooks and probes, and pages that are no JSON of ours."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from ..operation import HTML, JSON, Operation
from .common import Count, Cursor, HaltCode, Moment, one_of

Url = Annotated[str, Meta(description="advertised URL")]
Activated = Annotated[
    dict[str, int], Meta(description="partition → offset behind which it knows the version")
]


class HaltedPartition(Struct, kw_only=True):
    """A partition that a limit has halted."""

    topic: str
    partition: Count
    halted: HaltCode
    offset: Annotated[int, Meta(ge=-1)]
    lag: Count
    reason: str


class RestoringPartition(Struct, kw_only=True):
    """A partition that is being opened."""

    topic: str
    partition: Count
    position: int
    end: int


class UnstablePartition(Struct, kw_only=True):
    """A partition whose reading an open transaction holds back."""

    topic: str
    partition: Count
    unstable: Count
    seconds: float


class Sample(Struct, kw_only=True):
    """What one minute brought."""

    at: Moment
    facts: Count
    messages: Count
    event_age_seconds: float | None
    requests: Count
    p99_seconds: float | None


class WorkerRule(Struct, kw_only=True):
    """A rule version as a worker knows it."""

    version: str
    content_hash: str
    activated: Activated


class WorkerItem(Struct, kw_only=True):
    """One worker; `samples` and `rules` are null where it does not answer."""

    url: Url
    self: bool
    alive: bool
    ready: bool
    partitions: Annotated[dict[str, list[Count]], Meta(description="by topic")]
    halted: list[HaltedPartition]
    samples: list[Sample] | None
    rules: list[WorkerRule] | None


class Workers(Struct, kw_only=True):
    """Which worker owns which partitions, by the group's last assignment."""

    items: list[WorkerItem]
    generation: int
    restoring: list[RestoringPartition]
    unstable: list[UnstablePartition]


class Reach(Struct, kw_only=True):
    """What one worker finds at the URL of another."""

    source: Annotated[str, Meta(description="advertised URL")] = field(name="from")
    to: Url
    answered: Annotated[str, one_of(("itself", "another", "stranger", "silent", "unreachable", "unknown"))]
    detail: str


class Reaches(Struct, kw_only=True):
    """Every pair of workers."""

    items: list[Reach]
    next_cursor: Cursor


class WebhookItem(Struct, kw_only=True):
    """What one worker delivers; of one that does not answer only `worker` and `alive`."""

    worker: Url
    alive: bool
    target: str | UnsetType | None = UNSET
    paused: bool | UnsetType = UNSET
    is_down: bool | UnsetType = UNSET
    partitions: list[Count] | UnsetType = UNSET
    waiting: Count | UnsetType = UNSET
    oldest_undelivered_seconds: float | UnsetType | None = UNSET


class Webhooks(Struct, kw_only=True):
    """What each worker delivers, to where, and what holds it back."""

    items: list[WebhookItem]
    next_cursor: Cursor


Bps = Annotated[int, Meta(ge=0, le=10_000, description="ten-thousandths")]


class RuleLevel(Struct, kw_only=True):
    """A level's share by platform; `default` on those that are not named."""

    id: str
    share_bps: dict[str, Bps]


class RuleInviter(Struct, kw_only=True):
    """What inviters get: depth → level → share of `base`."""

    max_levels: Count
    base: str
    bps: dict[str, dict[str, Bps]]


class RuleItem(Struct, kw_only=True):
    """A published rule version."""

    version: str
    effective_from: Moment
    content_hash: str
    replaces: str | None
    in_force: bool
    activated: Activated
    levels: list[RuleLevel]
    inviter: RuleInviter
    min_net_commission_fen: Count
    min_rebate_fen: Count
    max_payout_bps: Bps


class Rules(Struct, kw_only=True):
    """Rule versions in the order in which they were published."""

    items: list[RuleItem]
    next_cursor: Cursor


class Alive(Struct, kw_only=True):
    """The event loop runs."""

    status: Literal["alive"]


class Ready(Struct, kw_only=True):
    """The worker has joined, and all its partitions are processed or halted."""

    status: Literal["ready"]
    ready: bool
    reason: str
    halted: list[HaltedPartition]


WORKERS = Operation(Workers)
REACH = Operation(Reaches)
WEBHOOKS = Operation(Webhooks)
RULES = Operation(Rules)
RULE = Operation(media_type="application/toml", headers=("ETag",), codes=("unknown-rule-version",))
METRICS = Operation(media_type="text/plain")
LIVE = Operation(Alive)
READY = Operation(Ready, codes=("not-ready",))
OPENAPI = Operation(dict[str, Any], media_type=JSON, headers=("ETag",))
DOCS = Operation(media_type=HTML)
