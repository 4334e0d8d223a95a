"""One typed table of all topics: names, what they carry, how they are configured."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from rebate_app.settings import Settings

from . import stages
from .stages import RECORD_BYTES_MAX, STATE_BYTES_MAX, StageSpec, StageTopics

FOREVER_MS = "-1"
#: A record of the user log with the headers of its failure, or as text within a parked one: a record that
#: a source takes must never be too large for where it goes when it fails.
KEPT_BYTES_MAX = 2 * STATE_BYTES_MAX
COMPACTION_LAG_MS = "60000"
SEGMENT_MS = "86400000"
DAY_MS = 86_400_000
#: What a tombstone erases is gone from the disks after this time.
PAYEES_COMPACTED_WITHIN_MS = 7 * DAY_MS
#: A store on disk that was away for longer is built anew (docs/spec/exactness.md#tombstones).
TOMBSTONES_KEPT_MS = "86400000"


class TopicSpec(Struct, frozen=True):
    """A topic as it has to be: partitions and configuration."""

    name: str
    partitions: int
    config: dict[str, str]
    about: str


class Topics(Struct, frozen=True):
    """The real names, prefix included; `stages` in the order in which records pass through them."""

    stages: tuple[StageTopics, ...]
    rules: str
    rule_versions: str
    active: str
    payees: str
    channels: str
    decisions: str
    events: str
    events_retry_10s: str
    events_retry_1m: str
    events_retry_10m: str
    events_dlt: str
    audit_trail: str
    fetch_cursors: str

    @classmethod
    def of(cls, settings: Settings) -> Topics:
        """Return the names for these settings."""
        return cls.named(settings.topic_prefix, settings.scope)

    @classmethod
    def named(cls, prefix: str, scope: str) -> Topics:
        """Return the names behind a prefix; registry and changelogs belong to the app of that scope."""
        return cls(
            stages=tuple(StageTopics.of(spec, prefix, scope) for spec in stages.STAGES),
            rules=f"{scope}-rules",
            rule_versions=f"{prefix}rebate-rule-versions",
            active=f"{prefix}rebate-active",
            payees=f"{prefix}rebate-payees",
            channels=f"{prefix}rebate-channels",
            decisions=f"{prefix}rebate-dlq-decisions",
            events=f"{prefix}rebate-events",
            events_retry_10s=f"{prefix}rebate-events-retry-10s",
            events_retry_1m=f"{prefix}rebate-events-retry-1m",
            events_retry_10m=f"{prefix}rebate-events-retry-10m",
            events_dlt=f"{prefix}rebate-events-dlt",
            audit_trail=f"{prefix}rebate-audit-trail",
            fetch_cursors=f"{prefix}rebate-fetch-cursors",
        )

    def stage(self, spec: StageSpec) -> StageTopics:
        """Return the topics of a stage; KeyError for one that is no row of the table."""
        return {stage.spec: stage for stage in self.stages}[spec]

    @property
    def order_lines(self) -> StageTopics:
        """Return the topics of the stage that keeps order lines."""
        return self.stage(stages.ORDERS)

    @property
    def accounts(self) -> StageTopics:
        """Return the topics of the stage that keeps accounts."""
        return self.stage(stages.USER_LOG)

    @property
    def orders(self) -> str:
        """Return the topic of the networks' facts."""
        return self.order_lines.source

    @property
    def user_log(self) -> str:
        """Return the topic of everything that concerns a user or an attribution id."""
        return self.accounts.source

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the source topic of every stage."""
        return tuple(stage.source for stage in self.stages)

    @property
    def changelogs(self) -> tuple[str, ...]:
        """Return the changelog of every stage."""
        return tuple(stage.changelog for stage in self.stages)

    @property
    def dead_letters(self) -> dict[str, str]:
        """Return source by dead-letter topic: of every stage, and of the events that webhooks deliver."""
        return {stage.dead_letter: stage.source for stage in self.stages} | {self.events_dlt: self.events}

    @property
    def events_retries(self) -> tuple[str, str, str]:
        """Return the retry topics of webhooks, the shortest delay first."""
        return self.events_retry_10s, self.events_retry_1m, self.events_retry_10m

    @property
    def control(self) -> tuple[str, ...]:
        """Return the topics whose records are skipped when they cannot be decoded."""
        decided = (self.rule_versions, self.active, self.channels, self.decisions)
        return (self.rules, *decided, self.fetch_cursors, *self.dead_letters, *self.events_retries)

    def specs(self, settings: Settings) -> list[TopicSpec]:
        """Return every topic as it has to be."""
        count = settings.partitions
        log = {"cleanup.policy": "delete", "retention.ms": FOREVER_MS, "retention.bytes": "-1"}
        compacted = {
            "cleanup.policy": "compact",
            "min.compaction.lag.ms": COMPACTION_LAG_MS,
            "segment.ms": SEGMENT_MS,
            "delete.retention.ms": TOMBSTONES_KEPT_MS,
        }
        erased = compacted | {"max.compaction.lag.ms": str(PAYEES_COMPACTED_WITHIN_MS)}
        trail = log | {"retention.ms": str(settings.audit_trail_days * DAY_MS)}
        facts = log | _bytes_max(2 * RECORD_BYTES_MAX)
        kept = log | _bytes_max(KEPT_BYTES_MAX)
        return [
            *_source_specs(self.stages, count, log),
            *(TopicSpec(each.dead_letter, count, kept, each.spec.dead_letter_about) for each in self.stages),
            *(TopicSpec(each.parked, count, kept, each.spec.parked_about) for each in self.stages),
            TopicSpec(self.events, count, facts, "events for other systems, keyed by user (docs/events.md)"),
            TopicSpec(self.decisions, 1, compacted, "decisions about dead letters, by their ids"),
            *_changelog_specs(self.stages, count, compacted),
            *(
                TopicSpec(name, count, kept, "events whose delivery waits for its next attempt")
                for name in self.events_retries
            ),
            TopicSpec(self.events_dlt, count, kept, "events that could not be delivered"),
            TopicSpec(self.rules, 1, compacted, "the event epoch, and how user ids are read"),
            TopicSpec(self.rule_versions, 1, facts, "published rule versions, for all apps of a prefix"),
            TopicSpec(self.active, 1, compacted, "which app decides withdrawals and pays them"),
            TopicSpec(self.payees, count, erased, "payees, sealed (docs/payouts.md#payees)"),
            TopicSpec(self.channels, 1, compacted, "which channels of payouts are open"),
            TopicSpec(
                self.audit_trail,
                1,
                trail | _bytes_max(RECORD_BYTES_MAX),
                "who did what (docs/security.md#audit-trail)",
            ),
            TopicSpec(self.fetch_cursors, 1, compacted, "how far each source is read (docs/sources.md)"),
        ]


def _source_specs(stage_topics: Sequence[StageTopics], count: int, log: dict[str, str]) -> list[TopicSpec]:
    return [
        TopicSpec(each.source, count, log | _bytes_max(each.spec.source_bytes_max), each.spec.source_about)
        for each in stage_topics
    ]


def _changelog_specs(
    stage_topics: Sequence[StageTopics], count: int, compacted: dict[str, str]
) -> list[TopicSpec]:
    config = compacted | _bytes_max(KEPT_BYTES_MAX)
    return [TopicSpec(each.changelog, count, config, f"table {each.spec.table}") for each in stage_topics]


def _bytes_max(size: int) -> dict[str, str]:
    return {"max.message.bytes": str(size)}
