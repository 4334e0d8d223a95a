"""When too much fails: limits that stop the worker instead of draining a topic into its dead letters.

Law: whether a dead letter trips the limit depends on the partition's log alone, so a restart stops at the
same offset. More than 5 % of the last 10,000 records and at least 50, or 100 in a row; of a partition's
first 1,000 records only those in a row count (failures.md 3).
"""

from __future__ import annotations

from collections import Counter

from rebate_app.lane.failures import HaltError
from rebate_app.lane.stage import Record
from tables.parking import Tally, Watch

WINDOW_RECORDS = 10_000
LETTERS_MIN = 50
LETTERS_ONE_IN = 20  # 5 %
CONSECUTIVE_MAX = 100
WARM_UP_RECORDS = 1_000
#: More of them are beyond the limit whatever comes; so many are enough to know that.
LETTERS_KEPT = WINDOW_RECORDS // LETTERS_ONE_IN + 1
SAMPLES = 3

PARKED_KEYS_MAX = 1_000
PARKED_RECORDS_MAX = 100_000

DLQ_LIMIT = "dlq-limit"
PARKED_LIMIT = "parked-limit"


def see_good(watch: Watch, count: int) -> None:
    """Count records that did not fail."""
    if count:
        watch.seen += count
        watch.consecutive = 0


def see_letter(watch: Watch, record: Record, reason: str) -> None:
    """Count a dead letter."""
    watch.seen += 1
    watch.consecutive += 1
    forgotten = watch.seen - WINDOW_RECORDS
    kept = [letter for letter in watch.letters if letter[0] > forgotten]
    watch.letters = [*kept[-(LETTERS_KEPT - 1) :], (watch.seen, record.offset, reason)]


def refuse_too_many(watch: Watch, record: Record, reason: str) -> None:
    """Raise HaltError `dlq-limit` when this dead letter, not yet counted, would be one too many."""
    after = Watch(1, watch.seen, watch.consecutive, list(watch.letters))
    see_letter(after, record, reason)
    count, seen = len(after.letters), after.seen
    if after.consecutive >= CONSECUTIVE_MAX:
        what = f"{after.consecutive} in a row"
    elif seen > WARM_UP_RECORDS and count >= LETTERS_MIN:
        of_last = min(seen, WINDOW_RECORDS)
        if count * LETTERS_ONE_IN <= of_last:
            return
        what = f"{count} of the last {of_last:,} records"
    else:
        return
    raise HaltError(DLQ_LIMIT, _sentence(after, record, what))


def _sentence(watch: Watch, record: Record, what: str) -> str:
    """Say what trips the limit: the commonest reason of the window, and where to look."""
    reason, count = Counter(letter[2] for letter in watch.letters).most_common(1)[0]
    places = [offset for _, offset, said in watch.letters if said == reason][-SAMPLES:]
    where = f"{record.topic}/{record.partition}"
    samples = ", ".join(f"{where}/{offset}" for offset in places)
    return (
        f"too many dead letters in {where}: with {record.offset} it would be {what}, most often {reason} "
        f"({count}), such as {samples}; mend the cause, or set REBATE_DLQ_LIMIT_OVERRIDE_UNTIL for one run"
    )


def refuse_too_much_parked(tally: Tally, record: Record, *, new_key: bool) -> None:
    """Raise HaltError `parked-limit` when one more key or record would be parked than a partition bears."""
    if new_key and tally.keys >= PARKED_KEYS_MAX:
        what = f"{tally.keys:,} keys"
    elif tally.records >= PARKED_RECORDS_MAX:
        what = f"{tally.records:,} records"
    else:
        return
    raise HaltError(
        PARKED_LIMIT,
        f"{record.topic}/{record.partition} has {what} parked, which is as much as it may, and "
        f"{record.offset} would be parked too: mend the cause, then `rebate dlq release`",
    )
