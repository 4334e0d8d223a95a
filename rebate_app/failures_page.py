"""docs/failures.md: what is refused and why, and with which exit code what ends; a test proves it fresh.

The failures of the surroundings stand here as one typed table, since each room knows only its own.

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
    """One exit code, and what whoever started the process should do."""

    code: int
    means: str
    do: str


class Failure(Struct, frozen=True):
    """Something around us that fails: what we do by ourselves, how it ends, what a person does.

    `error` is the class that says it, `exit_code` None where nothing ends.
    """

    error: str
    exit_code: int | None
    when: str
    we: str
    do: str


EXITS = (
    Exit(EXIT_OK, "done", "nothing"),
    Exit(
        EXIT_FINDINGS,
        "a command found something: refused rows, differences, failed checks",
        "read its output",
    ),
    Exit(EXIT_USAGE, "the command line is wrong", "see `--help`"),
    Exit(
        EXIT_UNAVAILABLE, "no broker or worker answers, or it refuses us", "start or correct it, then again"
    ),
    Exit(EXIT_SOFTWARE, "a bug of ours", "report the sentence; restarting meets it again"),
    Exit(EXIT_TRY_AGAIN, "given up for now, nothing is lost", "restart: a supervisor may do it at once"),
    Exit(
        EXIT_CONFIGURATION,
        "settings, rules, topics or state do not fit",
        "correct them; restarting is no use",
    ),
)

FAILURES = (
    Failure(
        "BrokerUnavailableError",
        EXIT_UNAVAILABLE,
        "at start no broker answers, or it refuses TLS, user or password",
        "nothing is consumed",
        "the sentence names the setting; `rebate doctor`",
    ),
    Failure(
        "BrokerGoneError",
        EXIT_TRY_AGAIN,
        "the broker, a leader or enough in-sync replicas are away for longer than REBATE_BROKER_DEADLINE",
        "partitions wait with back-off (0.1 to 10 s, with jitter) until then; reads go on",
        "repair the cluster; restarted workers go on where they were",
    ),
    Failure(
        "FencedError",
        EXIT_TRY_AGAIN,
        "another worker has taken a partition over, twice within a minute",
        "the first time: what was open is dropped, the group is left and joined again",
        "look for frozen or overloaded workers, or a session time-out that is too short",
    ),
    Failure(
        "GroupError",
        EXIT_CONFIGURATION,
        "the consumer group refuses this worker for good: its session time-out, its rights",
        "nothing is consumed",
        "set REBATE_SESSION_TIMEOUT within the broker's bounds, or give the rights (`rebate topics acl`)",
    ),
    Failure(
        "StuckError",
        EXIT_TRY_AGAIN,
        "a partition has work and makes no progress for 30 s",
        "the worker ends so that a restart fetches anew; the clock stands still while the broker is away",
        "if it comes again, keep the log: that is a bug of ours or of the client",
    ),
    Failure(
        "StateLostError",
        EXIT_CONFIGURATION,
        "state and input do not belong together: input cut by retention, a topic made anew, fewer partitions",
        "nothing is consumed: going on would be wrong",
        "restore the topics, or build everything anew under a new REBATE_APP_ID while the input is whole",
    ),
    Failure(
        "ConfigurationError",
        EXIT_CONFIGURATION,
        "settings, rule files, used rule versions, topics or another worker's address do not fit",
        "nothing is consumed; every problem is told at once",
        "the sentence says what to correct; `rebate doctor` looks further",
    ),
    Failure(
        "HaltError",
        EXIT_TRY_AGAIN,
        "too many records of a partition fail, or too much is parked in it",
        "what stands before is committed; /readyz says `dlq-limit` or `parked-limit` for 5 s, then it ends",
        "the sentence names the commonest reason and three places: mend the cause, or set "
        "REBATE_DLQ_LIMIT_OVERRIDE_UNTIL for one run",
    ),
    Failure(
        "BugError",
        EXIT_SOFTWARE,
        "our code raised where no single key can be parked, or REBATE_ON_BUG=stop",
        "the record is named, nothing of its chunk is committed, the worker ends",
        "report the sentence; until it is repaired, every worker that gets the partition ends",
    ),
    Failure(
        "StoreDamagedError",
        None,
        "a store on disk cannot be read",
        "it is built anew from its changelog, with a warning; the partition answers 503 meanwhile",
        "look at the disk if it comes again",
    ),
    Failure(
        "KafkaError",
        None,
        "a transaction failed or its outcome is unknown",
        "the chunk is dropped, the partition begins again at its fence, and what was committed is seen there",
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

One set of reason codes for imports, HTTP (422) and dead letters. A dead letter is the record as it came, on
`order_topic-dlt`, `rebate-user-log-dlt` or `rebate-events-dlt`, in its own partition, with `rebate-error-*`
headers that say reason, detail, member and where it was. It counts in `rebate_dead_letters_total`. A refused
fact never holds up its neighbours, and sending it again once it is right is always safe.
"""
NO_FAILURES = """
Not failures, and never refused: a refund, claim or punishment before its order; an attribution id that is
bound to nobody; a user without profile; a line paid before the first rule version; repeated and late facts.
They are kept as state, and count as soon as they can.
"""


def page() -> str:
    """Return the whole page."""
    reasons = [(f"`{r.code}`", WHOSE[r.failure], WHERE[r.failure], r.says, r.cure) for r in REASONS]
    failures = [
        (f"`{f.error}`", "" if f.exit_code is None else str(f.exit_code), f.when, f.we, f.do)
        for f in FAILURES
    ]
    exits = [(str(e.code), e.means, e.do) for e in EXITS]
    return "\n".join(
        [
            HEAD,
            _table(("code", "whose fault", "where", "means", "what to do"), reasons) + NO_FAILURES,
            "## The surroundings\n",
            _table(("error", "exit", "when", "what we do", "what to do"), failures),
            "## Exit codes\n",
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
