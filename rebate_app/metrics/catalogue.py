"""The typed table of all metrics; docs are generated from it, dashboard and alerts are tested against it.

One prefix, base units, `_total` on counters, no user id, order id or free text in a label. `MetricsRegistry`
takes entries of this table, never names.

`python -m rebate_app.metrics.page > docs/metrics.md` writes the page anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from rebate_app.domain.money_out.refusals import BUSINESS_REFUSALS as BUSINESS_REFUSAL_CODES

from .known_labels import (
    KnownLabels,
    LabelSets,
    attempt_outcomes,
    by_stage,
    hold_reasons,
    order_outcomes,
    payout_answers,
    payout_attempts,
    payout_callbacks,
    payout_dropped,
    reroutes,
    single,
    source_calls,
    source_rows,
    webhook_outcomes,
    withdrawal_states,
)

PREFIX = "rebate_"
#: Prefix of the metrics that Faust counts itself.
ENGINE_PREFIX = "faust_"

#: A batch commits in 3 ms on an idle broker; the transaction's time-out ends what takes 8 s.
BATCH_BUCKETS_SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: From a record that is processed at once to an import that waits for a day.
AGE_BUCKETS_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3_600.0, 86_400.0)
#: From a balance in memory to a read that waits for itself (2 s) and a peer's time-out (5 s).
HTTP_BUCKETS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metric(Struct, frozen=True, eq=False):
    """One metric: its scraped `name`, `help` of one sentence, `buckets` of a histogram.

    `known`: the label sets of a counter that exist before anything is counted, exported as 0 from the first
    scrape on. Every counter with labels that this code counts has them, and a gauge whose source yields them
    all at every scrape may.

    Compared and hashed by identity: metrics are created in this table only.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    known: Callable[[KnownLabels], LabelSets] | None = None


RECORDS = Metric(
    "rebate_records_processed_total",
    "counter",
    "records",
    "Records whose effect is committed, refused ones too; each counts once, whatever crashed.",
    ("stage",),
    known=by_stage,
)
ORDERS = Metric(
    "rebate_orders_processed_total",
    "counter",
    "records",
    "Order facts by network and outcome: applied (the line changed) or ignored (repeated, older).",
    ("network", "outcome"),
    known=order_outcomes,
)
BATCHES = Metric(
    "rebate_chunks_committed_total",
    "counter",
    "batches",
    "Transactions that were committed.",
    ("stage",),
    known=by_stage,
)
BATCH_PAUSE = Metric(
    "rebate_batch_pause_seconds",
    "gauge",
    "seconds",
    "How long a partition gathers records between two small batches, since the worker's core is busy;"
    " 0 while there is room.",
)
BATCH_SECONDS = Metric(
    "rebate_chunk_seconds",
    "histogram",
    "seconds",
    "From taking a batch to its visible effect: computing, sending, committing, applying.",
    ("stage",),
    BATCH_BUCKETS_SECONDS,
)
DECISION_SECONDS = Metric(
    "rebate_decision_seconds",
    "histogram",
    "seconds",
    "The part of a batch's time in which its records were folded, including pauses for other tasks.",
    ("stage",),
    BATCH_BUCKETS_SECONDS,
)
EVENT_AGE = Metric(
    "rebate_event_age_seconds",
    "histogram",
    "seconds",
    "Age of a batch's oldest record by its own timestamp when its effect became visible.",
    ("stage",),
    AGE_BUCKETS_SECONDS,
)
DEAD_LETTERS = Metric(
    "rebate_dead_letters_total",
    "counter",
    "records",
    "Records of the topic that could not be used and went to its dead letters, by reason code.",
    ("topic", "reason"),
    known=lambda known: known.dead_letters,
)
OPEN_LETTERS = Metric(
    "rebate_dead_letters_open",
    "gauge",
    "records",
    "Dead letters of the topic that were neither replayed nor discarded; every worker reports all of them.",
    ("topic",),
)
OLDEST_LETTER = Metric(
    "rebate_dead_letter_oldest_age_seconds",
    "gauge",
    "seconds",
    "Time since the failure of the topic's oldest open dead letter; 0 without any.",
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
REROUTED = Metric(
    "rebate_rerouted_records_total",
    "counter",
    "records",
    "Records in another partition than their key's: rerouted (sent on), or copies skipped as repeats.",
    ("topic", "outcome"),
    known=reroutes,
)
SKIPPED_RECORDS = Metric(
    "rebate_unreadable_records_total",
    "counter",
    "records",
    "Records that cannot be read and decide nothing, passed over: each once a worker, with its place logged.",
    ("topic",),
    known=lambda known: single(known.control_topics),
)
UNKNOWN_ACTIVATIONS = Metric(
    "rebate_unknown_activations_total",
    "counter",
    "records",
    "Records in the user log that state an activation of a rule version and were not noted by the owner.",
)
BUSINESS_REFUSALS = Metric(
    "rebate_business_refusals_total",
    "counter",
    "facts",
    "Facts about money out that changed nothing for a business reason, by its code.",
    ("reason",),
    known=lambda _: single(tuple(BUSINESS_REFUSAL_CODES)),
)
PAYOUT_FACTS_IGNORED = Metric(
    "rebate_payout_facts_ignored_total",
    "counter",
    "facts",
    "Decisions, attempts and results of payouts that do not fit the withdrawal where they stand in the log.",
    ("kind",),
    known=lambda _: single(("decision", "attempt", "result")),
)
IGNORED_REPRICES = Metric(
    "rebate_reprices_ignored_total",
    "counter",
    "records",
    "Repricings of users of whom nothing is known: they have no lines, so nothing is priced anew.",
)
LIMIT_TRIPS = Metric(
    "rebate_dlq_limit_trips_total",
    "counter",
    "times",
    "Times that a limit halted a partition of this worker: dlq-limit, parked-limit or unreadable-fact.",
    ("limit",),
    known=lambda known: single(known.halts),
)
HALTED = Metric(
    "rebate_partition_halted",
    "gauge",
    "1 or 0",
    "Whether an owned partition is halted for the reason: it answers, and is read no further.",
    ("topic", "partition", "reason"),
)
LAG = Metric(
    "rebate_consumer_lag_records",
    "gauge",
    "offsets",
    "Offsets from the watermark to the last stable offset of an owned partition, as last fetched.",
    ("topic", "partition"),
)
UNSTABLE = Metric(
    "rebate_unstable_records",
    "gauge",
    "offsets",
    "Offsets from the last stable offset to the high watermark: within or behind open transactions.",
    ("topic", "partition"),
)
UNSTABLE_SECONDS = Metric(
    "rebate_unstable_seconds",
    "gauge",
    "seconds",
    "For how long an open transaction has held the reading of an owned partition back; 0 when none does.",
    ("topic", "partition"),
)
FENCED = Metric(
    "rebate_fenced_total",
    "counter",
    "times",
    "Times that another worker had taken a partition over while this one still wrote to it.",
    ("stage",),
    known=by_stage,
)
REOPENED = Metric(
    "rebate_reopened_total",
    "counter",
    "times",
    "Times that a partition began again at its fence after a failure whose outcome was unknown.",
    ("stage",),
    known=by_stage,
)
RECORD_AHEAD = Metric(
    "rebate_record_ahead_seconds",
    "gauge",
    "seconds",
    "How far records of the last 5 minutes were dated in this worker's future at most; 0 if none was.",
    ("topic",),
)
CLOCK = Metric(
    "rebate_clock_seconds",
    "gauge",
    "seconds",
    "This worker's clock, in seconds since 1970: subtract `timestamp()` of the sample to compare it.",
)
FREE_BYTES = Metric(
    "rebate_data_folder_free_bytes",
    "gauge",
    "bytes",
    "Bytes that the file system of REBATE_DATADIR has left.",
)
READY = Metric("rebate_ready", "gauge", "0 or 1", "Whether /readyz answers 200.")
HTTP_SECONDS = Metric(
    "rebate_http_request_seconds",
    "histogram",
    "seconds",
    "Time to answer a request, by resource (`none`: no such path), method and status.",
    ("route", "method", "status"),
    HTTP_BUCKETS_SECONDS,
)
HTTP_FAILED = Metric(
    "rebate_http_failed_total", "counter", "requests", "Requests that a bug of ours answered with 500."
)
HTTP_REFUSED = Metric(
    "rebate_http_refused_total",
    "counter",
    "requests",
    "Requests refused before they reached a resource, by problem code.",
    ("reason",),
    known=lambda known: single(known.refusals),
)
AUTH_REFUSED = Metric(
    "rebate_auth_refused_total",
    "counter",
    "requests",
    "Requests refused for who sends them, by problem code; `signature`: not signed by a worker of ours.",
    ("reason",),
    known=lambda known: single(known.auth_refusals),
)
AUDIT_TRAIL_RECORDS = Metric(
    "rebate_audit_trail_records_total",
    "counter",
    "records",
    "Records of the audit trail by outcome: written, or failed, each of which refused its request with 503.",
    ("outcome",),
    known=lambda _: (("written",), ("failed",)),
)
HTTP_CONNECTIONS = Metric(
    "rebate_http_connections",
    "gauge",
    "connections",
    "Open connections of clients: idle, or busy with a request.",
    ("state",),
)
HTTP_CLOSED = Metric(
    "rebate_http_connections_closed_total",
    "counter",
    "connections",
    "Connections that the worker closed on its own account, by the limit that they reached.",
    ("reason",),
    known=lambda known: single(known.closures),
)
HTTP_WAITS = Metric("rebate_http_waits", "gauge", "requests", "Writes that wait to become visible (wait_ms).")
HTTP_WAITS_REFUSED = Metric(
    "rebate_http_waits_refused_total",
    "counter",
    "requests",
    "Writes answered without waiting, because as many as may wait were waiting already.",
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
    "Partitions assigned to this worker, by state of their task.",
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
    known=attempt_outcomes,
)
WEBHOOK_DELIVERIES = Metric(
    "rebate_webhook_deliveries_total",
    "counter",
    "events",
    "Events that are done with: delivered, or dead letters: webhook-refused, webhook-exhausted.",
    ("outcome",),
    known=webhook_outcomes,
)
WEBHOOK_SECONDS = Metric(
    "rebate_webhook_seconds", "histogram", "seconds", "Time of an attempt.", (), HTTP_BUCKETS_SECONDS
)
RETRIES = Metric(
    "rebate_retries_total",
    "counter",
    "records",
    "Copies written into retry topics, of events that failed and of those that wait behind them.",
    ("topic", "delay"),
    known=lambda known: known.retries,
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
WEBHOOK_PAUSED = Metric("rebate_webhook_paused", "gauge", "0 or 1", "Whether an operator paused webhooks.")
GENERATION = Metric(
    "rebate_group_generation", "gauge", "number", "Generation of the consumer group that this worker is in."
)
WATCHED_FILE_OK = Metric(
    "rebate_watched_file_ok",
    "gauge",
    "0 or 1",
    "Whether the file as it is now is in force; 0: it is refused, and the value before it is in force.",
    ("file",),
)
BUILD = Metric(
    "rebate_build_info", "gauge", "1", "Version, local store and app id.", ("version", "store", "app_id")
)

ENGINE_EVENTS = Metric(
    "faust_events_total", "counter", "events", "Events passed to agents; one of ours is a whole batch."
)
ENGINE_EVENTS_ACTIVE = Metric("faust_events_active", "gauge", "events", "Events that agents are processing.")
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

SOURCE_WATERMARK_AGE = Metric(
    "rebate_source_watermark_age_seconds",
    "gauge",
    "seconds",
    "How far the rows of a source are read: the network's time minus the watermark of the job.",
    ("account", "job"),
)
SOURCE_ROWS = Metric(
    "rebate_source_rows_total",
    "counter",
    "rows",
    "Fetched rows by what became of them: read, new, changed, repeated, refused (read counts all).",
    ("account", "job", "outcome"),
    known=source_rows,
)
SOURCE_CALLS = Metric(
    "rebate_source_calls_total",
    "counter",
    "calls",
    "Calls of a network's API by how they ended: ok, or the class of the error.",
    ("app", "method", "outcome"),
    known=source_calls,
)
SOURCE_BUDGET_LEFT = Metric(
    "rebate_source_budget_left",
    "gauge",
    "calls",
    "Calls that this worker's share of an app's day still allows.",
    ("app",),
)
SOURCE_BUDGET = Metric(
    "rebate_source_budget_calls",
    "gauge",
    "calls",
    "Calls that an app's day allows on this worker: its share of `per_day`.",
    ("app",),
)
SOURCE_UNKNOWN = Metric(
    "rebate_source_unknown_answers",
    "gauge",
    "calls",
    "Answers in a row of a job with a code that this version does not know.",
    ("account", "job"),
)
SOURCE_STOPPED = Metric(
    "rebate_source_stopped",
    "gauge",
    "",
    "1: an account, its app or one of its jobs is stopped until somebody acts.",
    ("account",),
)
SOURCE_CLOCK_SKEW = Metric(
    "rebate_source_clock_skew_seconds",
    "gauge",
    "seconds",
    "The local wall clock minus the network's, by the last answer. Nothing depends on the local clock.",
    ("app",),
)
SOURCE_CREDENTIAL_AGE = Metric(
    "rebate_source_credential_age_seconds",
    "gauge",
    "seconds",
    "Time since the file of an account's session, or of its app's secret, was changed.",
    ("account",),
)
PAYOUT_ANSWERS = Metric(
    "rebate_payout_answers_total",
    "counter",
    "answers",
    "What payment services answered, to calls that pay and to questions, by outcome.",
    ("kind", "outcome"),
    known=payout_answers,
)
PAYOUT_DROPPED = Metric(
    "rebate_payout_members_dropped_total",
    "counter",
    "members",
    "What payment services gave in a form that is not kept, and is left out of the result: references, and "
    "where the user confirms.",
    ("kind",),
    known=payout_dropped,
)
PAYOUT_CALLBACKS = Metric(
    "rebate_payout_callbacks_total",
    "counter",
    "callbacks",
    "Callbacks of payment services: about a number that a partition asks about (`known`), about any other, "
    "which is looked for, or none (`unknown`), of which an owner did not answer (`unclear`), and those whose "
    "signature does not verify (`refused`).",
    ("outcome",),
    known=payout_callbacks,
)
PAYOUT_ATTEMPTS = Metric(
    "rebate_payout_attempts_total",
    "counter",
    "attempts",
    "Attempts to pay that were begun (`begun`), and results of attempts, by status.",
    ("outcome",),
    known=payout_attempts,
)
WITHDRAWALS_OPEN = Metric(
    "rebate_withdrawals_open",
    "gauge",
    "withdrawals",
    "Undecided and open withdrawals of this worker's partitions, by state.",
    ("state",),
    known=withdrawal_states,
)
WITHDRAWALS_OPEN_FEN = Metric(
    "rebate_withdrawals_open_fen",
    "gauge",
    "fen",
    "Their amounts, by state.",
    ("state",),
    known=withdrawal_states,
)
WITHDRAWALS_OLDEST = Metric(
    "rebate_withdrawals_oldest_seconds",
    "gauge",
    "seconds",
    "Age of the oldest of them since its request, by state; 0 without one.",
    ("state",),
    known=withdrawal_states,
)
PAYOUTS_RECENT = Metric(
    "rebate_payouts_recent",
    "gauge",
    "payouts",
    "The last payouts of a channel in this worker's partitions that ended: 100 at most, of 7 days.",
    ("channel",),
)
PAYOUTS_RECENT_FAILED = Metric(
    "rebate_payouts_recent_failed",
    "gauge",
    "payouts",
    "How many of `rebate_payouts_recent` failed.",
    ("channel",),
)
PAYOUTS_UNKNOWN = Metric(
    "rebate_payouts_unknown_seconds",
    "gauge",
    "seconds",
    "Age of the oldest attempt to pay of which the payment service has not said what became; 0 without one.",
)
PAYOUTS_HELD = Metric(
    "rebate_payouts_held",
    "gauge",
    "withdrawals",
    "Withdrawals that are ready to be paid or asked about and wait, by reason.",
    ("reason",),
    known=hold_reasons,
)
CHANNEL_OPEN = Metric(
    "rebate_payout_channel_open",
    "gauge",
    "",
    "1 while payouts may be sent through the channel, 0 while it is paused or closed.",
    ("channel",),
)

CATALOGUE: tuple[Metric, ...] = (
    SOURCE_WATERMARK_AGE,
    SOURCE_ROWS,
    SOURCE_CALLS,
    SOURCE_BUDGET_LEFT,
    SOURCE_BUDGET,
    SOURCE_UNKNOWN,
    SOURCE_STOPPED,
    SOURCE_CLOCK_SKEW,
    SOURCE_CREDENTIAL_AGE,
    RECORDS,
    ORDERS,
    BATCHES,
    BATCH_SECONDS,
    DECISION_SECONDS,
    EVENT_AGE,
    DEAD_LETTERS,
    OPEN_LETTERS,
    OLDEST_LETTER,
    PARKED_KEYS,
    PARKED_RECORDS,
    PARKED_AGE,
    REROUTED,
    SKIPPED_RECORDS,
    UNKNOWN_ACTIVATIONS,
    BUSINESS_REFUSALS,
    PAYOUT_FACTS_IGNORED,
    PAYOUT_ATTEMPTS,
    PAYOUT_ANSWERS,
    PAYOUT_DROPPED,
    PAYOUT_CALLBACKS,
    WITHDRAWALS_OPEN,
    WITHDRAWALS_OPEN_FEN,
    WITHDRAWALS_OLDEST,
    PAYOUTS_RECENT,
    PAYOUTS_RECENT_FAILED,
    PAYOUTS_UNKNOWN,
    PAYOUTS_HELD,
    CHANNEL_OPEN,
    IGNORED_REPRICES,
    LIMIT_TRIPS,
    HALTED,
    LAG,
    UNSTABLE,
    UNSTABLE_SECONDS,
    FENCED,
    REOPENED,
    RECORD_AHEAD,
    CLOCK,
    FREE_BYTES,
    READY,
    HTTP_SECONDS,
    HTTP_FAILED,
    HTTP_REFUSED,
    AUTH_REFUSED,
    AUDIT_TRAIL_RECORDS,
    HTTP_CONNECTIONS,
    HTTP_CLOSED,
    HTTP_WAITS,
    HTTP_WAITS_REFUSED,
    RESTORE_REMAINING,
    LEASE,
    BATCH_PAUSE,
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
    WATCHED_FILE_OK,
    BUILD,
    ENGINE_EVENTS,
    ENGINE_EVENTS_ACTIVE,
    ENGINE_REBALANCES,
    ENGINE_REBALANCE_SECONDS,
    ENGINE_ASSIGNMENTS,
)
