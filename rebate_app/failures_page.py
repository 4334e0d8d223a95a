"""Generate docs/failures.md: reason codes, failures and exit codes; a test proves that the page is current.

The table of failures is here, the reason codes are in `domain.reasons`.

`python -m rebate_app.failures_page > docs/failures.md`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from msgspec import Struct

from rebate_app.domain.reasons import REASONS
from rebate_app.settings import (
    EXIT_CONFIGURATION,
    EXIT_FINDINGS,
    EXIT_OK,
    EXIT_SOFTWARE,
    EXIT_TRY_AGAIN,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
)


class Exit(Struct, frozen=True):
    """One exit code: its meaning, and what to do after it."""

    code: int
    meaning: str
    remedy: str


class EnvironmentFailure(Struct, frozen=True):
    """A failure of the environment: what we do, the exit code, and what an operator does.

    `error` is the exception class; `exit_code` is None where nothing ends.
    """

    error: str
    exit_code: int | None
    when: str
    we: str
    remedy: str


EXITS = (
    Exit(EXIT_OK, "done", "nothing"),
    Exit(
        EXIT_FINDINGS,
        "a command found something: refused rows, differences, failed checks",
        "read its output",
    ),
    Exit(EXIT_USAGE, "the command line is wrong", "see `--help`"),
    Exit(
        EXIT_UNAVAILABLE, "no broker or worker answers, or it refuses us", "start or correct it, then retry"
    ),
    Exit(EXIT_SOFTWARE, "a bug in our code", "report the message; a restart meets it again"),
    Exit(EXIT_TRY_AGAIN, "given up for now, nothing is lost", "restart: a supervisor may do so at once"),
    Exit(
        EXIT_CONFIGURATION,
        "settings, rules, topics or state do not fit",
        "correct them; a restart does not help",
    ),
)

FAILURES = (
    EnvironmentFailure(
        "BrokerUnavailableError",
        EXIT_UNAVAILABLE,
        "at start no broker answers, or it refuses TLS, user or password",
        "nothing is consumed",
        "the message names the setting; see `rebate doctor`",
    ),
    EnvironmentFailure(
        "BrokerGoneError",
        EXIT_TRY_AGAIN,
        "the broker, a leader or enough in-sync replicas are away for longer than REBATE_BROKER_DEADLINE",
        "partitions wait with back-off (0.1 to 10 s, with jitter) until then; reads continue",
        "repair the cluster; restarted workers continue where they were",
    ),
    EnvironmentFailure(
        "FencedError",
        EXIT_TRY_AGAIN,
        "another worker has taken over a partition, twice within a minute",
        "the first time: the open batch is dropped, the group is left and joined again",
        "check for frozen or overloaded workers, or a session time-out that is too short",
    ),
    EnvironmentFailure(
        "GroupError",
        EXIT_CONFIGURATION,
        "the consumer group refuses this worker permanently: its session time-out, its rights",
        "nothing is consumed",
        "set REBATE_SESSION_TIMEOUT within the broker's bounds, or grant the rights (`rebate topics acl`)",
    ),
    EnvironmentFailure(
        "AnnouncedUrlError",
        EXIT_CONFIGURATION,
        "another member of the group announces the same URL, or one of another host beside a loopback URL",
        "nothing is consumed; the other worker goes on",
        "give every worker a REBATE_ADVERTISED_URL under which all others reach it",
    ),
    EnvironmentFailure(
        "StuckError",
        EXIT_TRY_AGAIN,
        "a partition has work and makes no progress for 30 s, or for 90 s while it is being opened; its "
        "task, or a task of the consumer, has ended",
        "the worker ends so that a restart begins anew; a failed attempt to open counts as progress, so the "
        "worker waits for an unavailable broker until REBATE_BROKER_DEADLINE",
        "if it recurs, keep the log: it is a bug in our code or in the client",
    ),
    EnvironmentFailure(
        "TaskEndedError",
        EXIT_TRY_AGAIN,
        "a task that runs as long as the worker has ended by itself, for example because the client "
        "cancelled it",
        "the worker ends, with 70 if the cause is a bug in our code; only whole batches are committed",
        "restart; if it recurs, keep the log",
    ),
    EnvironmentFailure(
        "StateLostError",
        EXIT_CONFIGURATION,
        "state and logs do not match: input cut by retention, a topic that was made anew, has other "
        "partitions or lost its end, another or older cluster; at the start and while running",
        "nothing is consumed any more: continuing would be wrong",
        "the message names what is missing: rebuild everything under a new REBATE_APP_ID",
    ),
    EnvironmentFailure(
        "UnreadableStateError",
        EXIT_CONFIGURATION,
        "a record of a table cannot be read when its key is needed",
        "the batch is dropped and nothing after it is consumed: a fold without that record would be wrong",
        "the message names the key and, if found, topic, partition and offset in the changelog: restore the "
        "topic, or rebuild everything under a new REBATE_APP_ID",
    ),
    EnvironmentFailure(
        "UnreadableRecordError",
        EXIT_CONFIGURATION,
        "a record on which state or input depends cannot be read: a record of a changelog, the app's first "
        "start, or a batch whose codec has no library here",
        "nothing after it is consumed, and it is never skipped; for a batch whose checksum does not fit "
        "the exit code is 75",
        "the message names topic, partition, offset and remedy: install the codecs, restore the topic, or "
        "rebuild everything under a new REBATE_APP_ID. Records that decide nothing are skipped: "
        "rebate_unreadable_records_total counts them",
    ),
    EnvironmentFailure(
        "ConfigurationError",
        EXIT_CONFIGURATION,
        "settings, rule files, used rule versions, topics or another worker's address do not fit",
        "nothing is consumed; all problems are reported at once",
        "the message names what to correct; `rebate doctor` checks more",
    ),
    EnvironmentFailure(
        "HaltError",
        None,
        "too many records of a partition fail, or too much is parked in it",
        "what comes before is committed; that partition is read no further, and answers with `halted`",
        "the message names the most frequent reason and three places: fix the cause, then "
        "`rebate dlq resume`",
    ),
    EnvironmentFailure(
        "BugError",
        EXIT_SOFTWARE,
        "our code raised where no single key can be parked, or REBATE_ON_BUG=stop",
        "the record is named, nothing of its batch is committed, the worker ends",
        "report the message; until it is fixed, every worker that gets the partition ends",
    ),
    EnvironmentFailure(
        "StoreDamagedError",
        None,
        "a store on disk cannot be read",
        "it is rebuilt from its changelog, with a warning; the partition answers 503 meanwhile",
        "check the disk if it recurs",
    ),
    EnvironmentFailure(
        "KafkaError",
        None,
        "a transaction failed or its outcome is unknown",
        "the batch is dropped, and the partition restarts at its fence, which shows what was committed",
        "nothing; rebate_reopened_total counts it",
    ),
)

WHOSE = {"permanent": "the sender's", "bug": "ours", "border": "the sender's", "receiver": "the receiver's"}
WHERE = {
    "permanent": "import, HTTP, dead letter",
    "bug": "dead letter",
    "border": "import, HTTP",
    "receiver": "dead letter",
}

HEAD = """\
<!-- Generated: python -m rebate_app.failures_page > docs/failures.md -->
# What can fail

## Facts that are refused

Imports, HTTP (422) and dead letters share one set of reason codes. A dead letter is the unchanged record on
`order_topic-dlt`, `rebate-user-log-dlt` or `rebate-events-dlt`, in its own partition, with `rebate-error-*`
headers for reason, detail, member and place. `rebate_dead_letters_total` counts it. A refused fact never
blocks its neighbours, and sending it again once it is right is always safe.
"""
NO_FAILURES = """
Not failures, and never refused: a refund, claim or punishment before its order; an attribution id without
binding; a user without profile; a line paid before the first rule version; repeated and late facts. They are
kept as state, and count as soon as they can.
"""


def page() -> str:
    """Return the whole page."""
    reasons = [(f"`{r.code}`", WHOSE[r.failure], WHERE[r.failure], r.meaning, r.cure) for r in REASONS]
    failures = [
        (f"`{f.error}`", "" if f.exit_code is None else str(f.exit_code), f.when, f.we, f.remedy)
        for f in FAILURES
    ]
    exits = [(str(e.code), e.meaning, e.remedy) for e in EXITS]
    return "\n".join(
        [
            HEAD,
            _table(("code", "whose fault", "where", "means", "what to do"), reasons) + NO_FAILURES,
            "## The surroundings\n",
            _table(("error", "exit", "when", "what we do", "what to do"), failures),
            "## Exit codes\n\n[operations/exit-codes.md](operations/exit-codes.md) has the commands.\n",
            _table(("code", "means", "what to do"), exits),
        ]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [_row(head), _row(["---"] * len(head))]
    return "\n".join([*lines, *map(_row, rows)]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    sys.stdout.write(page())
