"""Limits on failures: they halt a partition before a whole topic ends in its dead letters.

The dead-letter limit trips at more than 5 % of the last 10,000 records and at least 50, or at 100 in a row;
among a partition's first 1,000 records only those in a row count (docs/spec/failures.md#limits). It depends
on the partition's log alone, so a restart halts at the same offset. A resumption (streams/task/halt.py) lifts
the limits up to an offset, and counting begins anew there.
"""

from __future__ import annotations

from collections import Counter

from ..errors import HaltError
from ..task.halt import DLQ_LIMIT, PARKED_LIMIT
from ..task.stage import Record
from .record_kinds import DeadLetterWindow, ParkedTotals

WINDOW_RECORDS = 10_000
LETTERS_MIN = 50
LETTERS_ONE_IN = 20  # 5 %
CONSECUTIVE_MAX = 100
WARM_UP_RECORDS = 1_000
#: Of the dead letters in the window; with so many the limit is exceeded whatever comes.
WINDOW_LETTERS_MAX = WINDOW_RECORDS // LETTERS_ONE_IN + 1
SAMPLES = 3

PARKED_KEYS_MAX = 1_000
PARKED_RECORDS_MAX = 100_000


def count_good(window: DeadLetterWindow, count: int) -> None:
    """Count records that did not fail."""
    if count:
        window.seen += count
        window.consecutive = 0


def forget_resumed(window: DeadLetterWindow, through: int) -> None:
    """Forget the dead letters up to that offset: an operator knows them, and counting begins anew."""
    if through >= 0:
        window.letters = [letter for letter in window.letters if letter[1] > through]
        window.consecutive = min(window.consecutive, len(window.letters))


def count_dead_letter(window: DeadLetterWindow, record: Record, reason: str) -> None:
    """Count a dead letter."""
    window.seen += 1
    window.consecutive += 1
    forgotten = window.seen - WINDOW_RECORDS
    kept = [letter for letter in window.letters if letter[0] > forgotten]
    window.letters = [*kept[-(WINDOW_LETTERS_MAX - 1) :], (window.seen, record.offset, reason)]


def refuse_too_many(window: DeadLetterWindow, record: Record, reason: str) -> None:
    """Raise HaltError `dlq-limit` when this dead letter, not yet counted, would be one too many."""
    after = DeadLetterWindow(1, window.seen, window.consecutive, list(window.letters))
    count_dead_letter(after, record, reason)
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


def _sentence(window: DeadLetterWindow, record: Record, what: str) -> str:
    """Return what trips the limit: the commonest reason of the window, and samples of it."""
    reason, count = Counter(letter[2] for letter in window.letters).most_common(1)[0]
    places = [offset for _, offset, other in window.letters if other == reason][-SAMPLES:]
    where = f"{record.topic}/{record.partition}"
    samples = ", ".join(f"{where}/{offset}" for offset in places)
    return (
        f"too many dead letters in {where}: with {record.offset} it would be {what}, most often {reason} "
        f"({count}), such as {samples}; mend the cause, then `rebate dlq resume`"
    )


def refuse_too_much_parked(totals: ParkedTotals, record: Record, *, new_key: bool) -> None:
    """Raise HaltError `parked-limit` when one key or record more would be parked than allowed."""
    if new_key and totals.keys >= PARKED_KEYS_MAX:
        what = f"{totals.keys:,} keys"
    elif totals.records >= PARKED_RECORDS_MAX:
        what = f"{totals.records:,} records"
    else:
        return
    raise HaltError(
        PARKED_LIMIT,
        f"{record.topic}/{record.partition} has {what} parked, which is as much as it may, and "
        f"{record.offset} would be parked too: mend the cause, then `rebate dlq release` and "
        "`rebate dlq resume --waiting`",
    )
