"""Every metric of ours in one typed table; docs, dashboard and alerts are generated from it or proved by it.

Law: one prefix, base units, `_total` on counters, no user id, order id or free text in a label. What is not
here cannot be counted: `Figures` takes entries of this table, never names.

`python -m rebate_app.metrics.page > docs/metrics.md` writes the page anew.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

PREFIX = "rebate_"
#: What the engine (Faust) counts itself; told under its own name, so nobody takes it for ours.
ENGINE_PREFIX = "faust_"

#: A chunk commits in 3 ms on an idle broker; the transaction's time-out ends what takes 8 s.
CHUNK_BUCKETS_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: From a record that is seen at once to an import that waits for a day.
AGE_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3_600.0, 86_400.0)
#: From a balance in memory to a read that waits for itself (2 s) and a peer's time-out (5 s).
HTTP_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metric(Struct, frozen=True, eq=False):
    """One metric as it is scraped: `name` whole, `help` one sentence, `buckets` of a histogram.

    Compared and hashed by identity: the table is the only place where metrics are made.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


RECORDS = Metric(
    "rebate_records_processed_total",
    "counter",
    "records",
    "Records whose effect is committed, refused ones too; each counts once, whatever crashed.",
    ("stage",),
)
ORDERS = Metric(
    "rebate_orders_processed_total",
    "counter",
    "records",
    "Order facts by network and outcome: applied (the line changed) or ignored (repeated, older).",
    ("network", "outcome"),
)
CHUNKS = Metric(
    "rebate_chunks_committed_total", "counter", "chunks", "Transactions that were committed.", ("stage",)
)
CHUNK_SECONDS = Metric(
    "rebate_chunk_seconds",
    "histogram",
    "seconds",
    "From taking a chunk to having it visible: computing, sending, committing, applying.",
    ("stage",),
    CHUNK_BUCKETS_S,
)
DECISION_SECONDS = Metric(
    "rebate_decision_seconds",
    "histogram",
    "seconds",
    "The part of a chunk's time in which its records were folded, turns given to others included.",
    ("stage",),
    CHUNK_BUCKETS_S,
)
EVENT_AGE = Metric(
    "rebate_event_age_seconds",
    "histogram",
    "seconds",
    "Age of a chunk's oldest record by its own timestamp when its effect became visible.",
    ("stage",),
    AGE_BUCKETS_S,
)
DEAD_LETTERS = Metric(
    "rebate_dead_letters_total",
    "counter",
    "records",
    "Records of the topic that could not be used and went to its dead letters, by reason code.",
    ("topic", "reason"),
)
OPEN_LETTERS = Metric(
    "rebate_dead_letters_open",
    "gauge",
    "records",
    "Dead letters of the topic that were neither replayed nor discarded; every worker says the whole.",
    ("topic",),
)
OLDEST_LETTER = Metric(
    "rebate_dead_letter_oldest_age_seconds",
    "gauge",
    "seconds",
    "Since when the oldest open dead letter of the topic has been one; 0 without any.",
    ("topic",),
)
PARKED_KEYS = Metric(
    "rebate_parked_keys",
    "gauge",
    "keys",
    "Parked keys in owned partitions: order lines, users and attribution ids under review.",
    ("topic",),
)
PARKED_RECORDS = Metric(
    "rebate_parked_records", "gauge", "records", "Records that wait for a parked key.", ("topic",)
)
PARKED_AGE = Metric(
    "rebate_parked_oldest_age_seconds",
    "gauge",
    "seconds",
    "Age of the oldest record at which a key was parked, by its own timestamp; 0 without any.",
    ("topic",),
)
LIMIT_TRIPS = Metric(
    "rebate_dlq_limit_trips_total",
    "counter",
    "times",
    "Times that a limit stopped this worker: dlq-limit or parked-limit.",
    ("limit",),
)
LAG = Metric(
    "rebate_consumer_lag_records",
    "gauge",
    "offsets",
    "Offsets from the watermark to the last stable offset of an owned partition, as last fetched.",
    ("topic", "partition"),
)
FENCED = Metric(
    "rebate_fenced_total",
    "counter",
    "times",
    "Times that another worker had taken a partition over while this one still wrote to it.",
    ("stage",),
)
REOPENED = Metric(
    "rebate_reopened_total",
    "counter",
    "times",
    "Times that a partition began again at its fence after a failure whose outcome was unknown.",
    ("stage",),
)
READY = Metric("rebate_ready", "gauge", "0 or 1", "What /readyz says.")
HTTP_SECONDS = Metric(
    "rebate_http_request_seconds",
    "histogram",
    "seconds",
    "Time to answer a request, by resource (`none`: no such path), method and status.",
    ("route", "method", "status"),
    HTTP_BUCKETS_S,
)
RESTORE_REMAINING = Metric(
    "rebate_table_restore_remaining",
    "gauge",
    "offsets",
    "Offsets of the changelog still to be read before the partition is taken up; 0 when running.",
    ("table", "partition"),
)
LEASE = Metric(
    "rebate_lease_remaining_seconds",
    "gauge",
    "seconds",
    "For how long this worker may answer as owner unless another heartbeat succeeds; 0 when run out.",
)
STORE_RECORDS = Metric(
    "rebate_store_records",
    "gauge",
    "records",
    "Records of the table in owned partitions, with REBATE_STORE=memory: on disk, counting reads them all.",
    ("table",),
)
PARTITIONS = Metric(
    "rebate_partitions_owned",
    "gauge",
    "partitions",
    "Partitions assigned to this worker, by state of their lane.",
    ("topic", "state"),
)
COMMIT_BEHIND = Metric(
    "rebate_group_commit_behind_records",
    "gauge",
    "offsets",
    "How far the group's offset, kept for tools, is behind the watermark.",
    ("topic", "partition"),
)
WEBHOOK_ATTEMPTS = Metric(
    "rebate_webhook_attempts_total",
    "counter",
    "attempts",
    "Attempts to deliver an event: status-NNN, timeout, connect or address-refused.",
    ("outcome",),
)
WEBHOOK_DELIVERIES = Metric(
    "rebate_webhook_deliveries_total",
    "counter",
    "events",
    "Events that are done with: delivered, or dead letters: webhook-refused, webhook-exhausted.",
    ("outcome",),
)
WEBHOOK_SECONDS = Metric(
    "rebate_webhook_seconds", "histogram", "seconds", "Time of an attempt.", (), HTTP_BUCKETS_S
)
RETRIES = Metric(
    "rebate_retries_total",
    "counter",
    "records",
    "Copies written into retry topics, of events that failed and of those that wait behind them.",
    ("topic", "delay"),
)
RETRY_BACKLOG = Metric(
    "rebate_retry_backlog_records", "gauge", "records", "Events that wait in the retry topic.", ("topic",)
)
WEBHOOK_OLDEST = Metric(
    "rebate_webhook_oldest_undelivered_seconds",
    "gauge",
    "seconds",
    "Age of the oldest event that was read and is not done, of owned partitions; 0 without any.",
)
WEBHOOK_CIRCUIT = Metric(
    "rebate_webhook_circuit_open", "gauge", "0 or 1", "Whether the receiver seems to be down."
)
WEBHOOK_PAUSED = Metric("rebate_webhook_paused", "gauge", "0 or 1", "Whether somebody holds all webhooks.")
GENERATION = Metric(
    "rebate_group_generation", "gauge", "number", "Generation of the consumer group that this worker is in."
)
BUILD = Metric(
    "rebate_build_info", "gauge", "1", "Version, local store and app id.", ("version", "store", "app_id")
)

ENGINE_EVENTS = Metric(
    "faust_events_total", "counter", "events", "Events that agents were given; one of ours is a whole chunk."
)
ENGINE_EVENTS_ACTIVE = Metric("faust_events_active", "gauge", "events", "Events that agents are at work on.")
ENGINE_REBALANCES = Metric(
    "faust_rebalances_total", "counter", "times", "Rebalances that this worker went through."
)
ENGINE_REBALANCE_SECONDS = Metric(
    "faust_rebalance_end_seconds",
    "gauge",
    "seconds",
    "Mean time of the last rebalances, to the end of restoring.",
)
ENGINE_ASSIGNMENTS = Metric(
    "faust_assignments_total",
    "counter",
    "times",
    "Assignments that this worker computed as the group's leader, by outcome.",
    ("outcome",),
)

CATALOGUE: tuple[Metric, ...] = (
    RECORDS,
    ORDERS,
    CHUNKS,
    CHUNK_SECONDS,
    DECISION_SECONDS,
    EVENT_AGE,
    DEAD_LETTERS,
    OPEN_LETTERS,
    OLDEST_LETTER,
    PARKED_KEYS,
    PARKED_RECORDS,
    PARKED_AGE,
    LIMIT_TRIPS,
    LAG,
    FENCED,
    REOPENED,
    READY,
    HTTP_SECONDS,
    RESTORE_REMAINING,
    LEASE,
    STORE_RECORDS,
    PARTITIONS,
    COMMIT_BEHIND,
    WEBHOOK_DELIVERIES,
    WEBHOOK_ATTEMPTS,
    WEBHOOK_SECONDS,
    RETRIES,
    RETRY_BACKLOG,
    WEBHOOK_OLDEST,
    WEBHOOK_CIRCUIT,
    WEBHOOK_PAUSED,
    GENERATION,
    BUILD,
    ENGINE_EVENTS,
    ENGINE_EVENTS_ACTIVE,
    ENGINE_REBALANCES,
    ENGINE_REBALANCE_SECONDS,
    ENGINE_ASSIGNMENTS,
)
