"""A halted partition: it is owned and answers, and its source is not read beyond one record.

A stage halts its partition by raising HaltError with a reason code. Nothing of a halt is stored: whatever
trips it depends on state and log, so a restart or another owner halts at the same record again, until an
operator resumes the partition (`rebate dlq resume`, streams/kafka/resumptions.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from ..kafka.resumptions import Resumption

DLQ_LIMIT = "dlq-limit"
PARKED_LIMIT = "parked-limit"
UNREADABLE_FACT = "unreadable-fact"
#: Every reason for which a stage halts, with its meaning; metrics have a series for each.
HALT_CODES: Mapping[str, str] = {
    DLQ_LIMIT: "too many of its records become dead letters",
    PARKED_LIMIT: "too many of its keys or records are parked",
    UNREADABLE_FACT: "a fact of its owner cannot be read, and must not be passed over",
}


class Halt(Struct, frozen=True):
    """Why reading is halted (`code`, and `reason` as a sentence), and before which source offset.

    `resumed_by`: the resumption that was in force when the record was refused, None for none. It did not
    help, so only another one ends the halt.
    """

    code: str
    reason: str
    offset: int
    resumed_by: Resumption | None = None

    def is_ended_by(self, resumption: Resumption | None) -> bool:
        """Whether reading goes on under this resumption."""
        return resumption is not None and resumption.through >= self.offset and resumption != self.resumed_by
