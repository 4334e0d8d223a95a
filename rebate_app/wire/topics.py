"""One typed table of all topics: names, what they carry, how they are configured."""

from __future__ import annotations

from msgspec import Struct

from rebate_app.settings import Settings

FOREVER_MS = "-1"
RECORD_BYTES_MAX = 1_048_576  # what one fact may weigh on the wire
STATE_BYTES_MAX = 8 * 1_048_576  # a line with every limit reached
#: A record of the user log with the headers of its failure, or as text within a parked one: a record that
#: a source takes must never be too large for where it goes when it fails.
KEPT_BYTES_MAX = 2 * STATE_BYTES_MAX
COMPACTION_LAG_MS = "60000"
VERSION_PREFIX = "version "  # keys of the registry of used rules
USER_ID_FIELDS_KEY = "user_id_fields"
#: Followed by something that no other start has: compaction must leave the first of them in the log.
FIRST_START_PREFIX = "first-start "
SEGMENT_MS = "86400000"
TOMBSTONES_KEPT_MS = "86400000"  # a store on disk that was away for longer is built anew (engine.md 2)


class TopicSpec(Struct, frozen=True):
    """A topic as it has to be: partitions and configuration."""

    name: str
    partitions: int
    config: dict[str, str]
    about: str


class Topics(Struct, frozen=True):
    """The real names, prefix included."""

    orders: str
    user_log: str
    orders_dlt: str
    user_log_dlt: str
    lines_changelog: str
    accounts_changelog: str
    rules: str
    orders_parked: str
    user_log_parked: str
    decisions: str
    events: str
    events_retry_10s: str
    events_retry_1m: str
    events_retry_10m: str
    events_dlt: str

    @property
    def events_retries(self) -> tuple[str, str, str]:
        """Return the retry topics of webhooks, the shortest delay first."""
        return self.events_retry_10s, self.events_retry_1m, self.events_retry_10m

    @classmethod
    def of(cls, settings: Settings) -> Topics:
        """Return the names for these settings."""
        prefix, scope = settings.topic_prefix, settings.scope
        return cls(
            orders=f"{prefix}order_topic",
            user_log=f"{prefix}rebate-user-log",
            orders_dlt=f"{prefix}order_topic-dlt",
            user_log_dlt=f"{prefix}rebate-user-log-dlt",
            lines_changelog=f"{scope}-order_lines-changelog",
            accounts_changelog=f"{scope}-accounts-changelog",
            rules=f"{scope}-rules",
            orders_parked=f"{prefix}order_topic-parked",
            user_log_parked=f"{prefix}rebate-user-log-parked",
            decisions=f"{prefix}rebate-dlq-decisions",
            events=f"{prefix}rebate-events",
            events_retry_10s=f"{prefix}rebate-events-retry-10s",
            events_retry_1m=f"{prefix}rebate-events-retry-1m",
            events_retry_10m=f"{prefix}rebate-events-retry-10m",
            events_dlt=f"{prefix}rebate-events-dlt",
        )

    def specs(self, settings: Settings) -> list[TopicSpec]:
        """Return every topic as it has to be."""
        count = settings.partitions
        isr = {"min.insync.replicas": str(settings.min_insync_replicas)}
        log = {"cleanup.policy": "delete", "retention.ms": FOREVER_MS, "retention.bytes": "-1"} | isr
        compacted = {
            "cleanup.policy": "compact",
            "min.compaction.lag.ms": COMPACTION_LAG_MS,
            "segment.ms": SEGMENT_MS,
            "delete.retention.ms": TOMBSTONES_KEPT_MS,
        } | isr
        facts = log | {"max.message.bytes": str(2 * RECORD_BYTES_MAX)}
        states = {"max.message.bytes": str(STATE_BYTES_MAX)}
        kept = {"max.message.bytes": str(KEPT_BYTES_MAX)}
        return [
            TopicSpec(self.orders, count, facts, "facts about order lines, keyed platform:order_line_id"),
            TopicSpec(self.user_log, count, log | states, "all that concerns a user or an attribution id"),
            TopicSpec(self.orders_dlt, count, log | kept, "records of order_topic that cannot be used"),
            TopicSpec(self.user_log_dlt, count, log | kept, "records of the user log that cannot be used"),
            TopicSpec(self.orders_parked, count, log | kept, "copies of what waits for a parked order line"),
            TopicSpec(self.user_log_parked, count, log | kept, "copies of what waits for a parked account"),
            TopicSpec(self.events, count, facts, "what other systems hear, keyed by user (docs/events.md)"),
            TopicSpec(self.decisions, 1, compacted, "what became of dead letters, by their ids"),
            TopicSpec(self.lines_changelog, count, compacted | kept, "table order_lines"),
            TopicSpec(self.accounts_changelog, count, compacted | kept, "table accounts"),
            *(
                TopicSpec(name, count, log | kept, "events whose delivery waits for its next attempt")
                for name in self.events_retries
            ),
            TopicSpec(self.events_dlt, count, log | kept, "events that could not be delivered"),
            TopicSpec(
                self.rules, 1, compacted, "rule versions that were used, and since when events are told"
            ),
        ]
