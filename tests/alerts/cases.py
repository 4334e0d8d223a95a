"""What each recording shows: which alerts fire when, in minutes after the last recorded scrape.

`tests.alerts.record` makes the recordings, one by each case's name.
"""

from __future__ import annotations

from msgspec import Struct

HOUR, DAY = 60, 1_440
#: What does not end by itself.
PAYOUTS_LEFT_ALONE = {
    "RebateChannelNotOpen",
    "RebatePayoutsFail",
    "RebatePayoutsHeld",
    "RebateWithdrawalStuck",
}


class Case(Struct, frozen=True):
    """A recorded fault. `fires`: all firing alerts by minute; `grows`: gauges that go on growing.

    `begins`: the worker is new at the first scrape, so nothing is known of the time before. `recording`: the
    name of its recording, if that is another case's. `step`: minutes between evaluations, for long times.
    """

    name: str
    fires: dict[int, set[str]]
    grows: tuple[str, ...] = ()
    begins: bool = False
    recording: str = ""
    step: int = 1

    @property
    def file(self) -> str:
        """Return the name of the recording."""
        return self.recording or self.name


CASES = (
    Case("worker-killed", {-2: set(), 5: {"RebateWorkerGone"}}),
    Case("restart-loop", {1: {"RebateWorkerRestarts"}}),
    Case(
        "broker-frozen",
        {
            5: {"RebateNobodyReady", "RebateStuckPartition"},
            15: {"RebateNobodyReady", "RebateNotReady", "RebateStuckPartition"},
        },
    ),
    Case("import-flood", {1: set(), 30: {"RebateLagGrows"}}, ("rebate_consumer_lag_records",)),
    Case("hanging-transaction", {1: set(), 10: {"RebateReadingHeldBack"}}),
    Case("orders-stop", {10: set(), 13 * HOUR: {"RebateNoOrders"}}, step=5),
    Case(
        "sources-in-trouble",
        {
            1: {"RebateSourceBudgetLow", "RebateSourceStopped", "RebateSourceUnknownAnswers"},
            10: {
                "RebateSourceBehind",
                "RebateSourceBudgetLow",
                "RebateSourceClockWrong",
                "RebateSourceStopped",
                "RebateSourceUnknownAnswers",
            },
        },
        ("rebate_source_unknown_answers",),
    ),
    Case(
        "payouts-in-trouble",
        {
            1: {"RebatePayoutContradicted", "RebatePayoutsFail", "RebateWithdrawalStuck"},
            10: {"RebatePayoutContradicted", *PAYOUTS_LEFT_ALONE},
            30: PAYOUTS_LEFT_ALONE,
        },
    ),
    Case(
        "payouts-left-alone",
        {
            3 * HOUR: {"RebatePayoutUnknown", *PAYOUTS_LEFT_ALONE},
            DAY + HOUR: {
                "RebatePayoutUnknown",
                "RebatePayoutUnknownForADay",
                "RebateReviewWaits",
                *PAYOUTS_LEFT_ALONE,
            },
        },
        recording="payouts-in-trouble",
        step=5,
    ),
    Case("old-events", {30: {"RebateEventsAreOld"}}),
    Case("sender-ahead", {5: {"RebateRecordsFromTheFuture"}}),
    Case("worker-ahead", {5: {"RebateWorkerClockWrong"}}),
    Case("disk-almost-full", {10: {"RebateDiskAlmostFull"}}),
    Case("one-dead-letter", {1: {"RebateDeadLetters"}, 30: set()}),
    Case(
        "dead-letter-unattended",
        {DAY + 10: {"RebateDeadLettersUnattended"}},
        recording="one-dead-letter",
        step=5,
    ),
    Case("first-record-dead", {1: {"RebateDeadLetters"}, 30: set()}, begins=True),
    Case(
        "dead-letters-pour-in",
        {30: {"RebateDeadLetters", "RebateOpenDeadLettersGrow"}},
        ("rebate_dead_letters_open",),
    ),
    Case("parked", {1: {"RebateDeadLetters", "RebateParkedForLong"}}),
    Case(
        "dead-letter-limit",
        {
            5: {"RebateDeadLetters", "RebateDeadLetterLimit", "RebatePartitionHalted"},
            30: {"RebatePartitionHalted"},
        },
    ),
    Case("unreadable-record", {1: {"RebateUnreadableRecords"}}),
    Case("unknown-activation", {1: {"RebateUnknownActivation"}}),
    Case("fenced", {1: {"RebateFenced"}}),
    Case("broker-fails", {1: {"RebateBrokerFails", "RebateNobodyReady", "RebateStuckPartition"}}),
    Case(
        "webhook-receiver-down",
        {10: {"RebateWebhookReceiverDown"}, 30: {"RebateWebhookReceiverDown", "RebateWebhooksAreLate"}},
    ),
    Case("webhooks-paused", {HOUR: set(), 7 * HOUR: {"RebateWebhooksPaused"}}),
    Case("webhooks-given-up", {1: {"RebateDeadLetters", "RebateWebhooksGivenUp"}}),
    Case("webhook-address-refused", {1: {"RebateWebhookAddressRefused"}}),
    Case("request-fails", {1: {"RebateHttpFails"}}),
    Case("connections-exhausted", {1: {"RebateHttpConnectionsExhausted"}}),
    Case("forged-requests", {1: {"RebateForgedWorkerRequests"}}),
    Case("wrong-credentials", {1: {"RebateWrongCredentials"}}),
    Case("group-offset-behind", {30: {"RebateGroupOffsetBehind"}}),
    Case("wrong-partitioner", {5: {"RebateRecordsRerouted"}}),
    Case("trail-not-written", {1: {"RebateAuditTrailNotWritten"}}),
    Case("misdirected", {1: {"RebateHttpMisdirected"}}),
    Case("watched-file-refused", {5: {"RebateWatchedFileRefused"}}),
)
HEALTHY = "healthy-day"
