"""Log levels of aiokafka and mode: transient conditions are logged at INFO.

aiokafka logs elections and rebalances, which it handles by retrying, as warnings and errors: every start on
new topics and every worker that joins or leaves causes some. mode warns when a commit of offsets takes longer
than its interval; here offsets only mark progress. If a condition lasts, the worker's own stall and deadline
checks report it.
"""

from __future__ import annotations

import logging

from aiokafka.errors import InvalidProducerIdMapping, UnknownProducerId

LOGGERS = (
    "aiokafka.cluster",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.sender",
    "mode.timers",
)
#: Responses during an election or a rebalance; the client refreshes its metadata and retries.
TRANSIENT_ERRORS = frozenset(
    {
        "GroupCoordinatorNotAvailableError",
        "GroupLoadInProgressError",
        "LeaderNotAvailableError",
        "NotCoordinatorForGroupError",
        "NotLeaderForPartitionError",
        "RebalanceInProgressError",
        "UnknownTopicOrPartitionError",
    }
)
#: Messages without an error object. A member learns by its heartbeat that another one joins or leaves; a
#: connection failure that marks a coordinator dead has an ERROR of its own.
TRANSIENT_MESSAGES = frozenset(
    {
        "Heartbeat failed for group %s because it is rebalancing",
        "Marking the coordinator dead (node %s)for group %s.",
        "Timer %s is overlapping (interval=%r runtime=%r)",
        "Topic %s is not available during auto-create initialization",
    }
)


#: What ends a producer's sender when the broker has removed the producer, which a partition mends by itself.
EXPIRED_PRODUCER = (InvalidProducerIdMapping, UnknownProducerId)


class TransientToInfo(logging.Filter):
    """Lowers the level of a record about something transient to INFO; drops nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True, with the record's level lowered if it is about something transient."""
        if record.levelno > logging.INFO and _is_transient(record):
            record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
        return True


def _is_transient(record: logging.LogRecord) -> bool:
    if record.msg in TRANSIENT_MESSAGES:
        return True
    if record.exc_info and isinstance(record.exc_info[1], EXPIRED_PRODUCER):
        return True
    values = record.args if isinstance(record.args, tuple) else ()
    return any(_name(value) in TRANSIENT_ERRORS for value in values)


def _name(value: object) -> str:
    return value.__name__ if isinstance(value, type) else type(value).__name__


_FILTER = TransientToInfo()


def lower_transient() -> None:
    """Attach the filter to these loggers; safe to be called again."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
