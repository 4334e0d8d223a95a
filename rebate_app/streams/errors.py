"""Failures of the streams engine, and the exit codes with which they end a worker."""

from __future__ import annotations

from aiokafka.errors import KafkaError

from rebate_app.settings import EXIT_CONFIGURATION, EXIT_SOFTWARE, EXIT_TRY_AGAIN, ConfigurationError
from rebate_app.wire.unreadable import BadRecord


class StreamsError(Exception):
    """Ends the worker; the message is one sentence for the operator."""

    exit_code = EXIT_TRY_AGAIN


WAY_ON = (
    "offsets are versions here, so nothing goes on with a log that has lost its end: build everything anew "
    "under a new REBATE_APP_ID (docs/operations/kafka-restored.md)"
)


class StateLostError(StreamsError):
    """State or input was lost or belongs to another log: continuing would give wrong balances.

    `missing` is one sentence about what is missing; the message adds the way on.
    """

    exit_code = EXIT_CONFIGURATION

    def __init__(self, missing: str) -> None:
        super().__init__(f"{missing}; {WAY_ON}")
        self.missing = missing


class UnreadableRecordError(StreamsError):
    """A record of a source or table cannot be read, and skipping it would give wrong balances."""

    exit_code = EXIT_CONFIGURATION

    def __init__(self, bad: BadRecord) -> None:
        super().__init__(str(bad))
        self.bad = bad


class UnreadableStateError(StreamsError):
    """A record of a table cannot be read, and without it the state would be wrong.

    `StreamTask`, which knows the changelog, adds the place of the record.
    """

    exit_code = EXIT_CONFIGURATION

    def __init__(self, key: bytes, fault: str) -> None:
        super().__init__(f"the record under {key!r} cannot be read: {fault}")
        self.key = key
        self.fault = fault


class FencedError(StreamsError):
    """Another worker has taken the partition over; nothing that this one writes becomes visible."""


class LeaseLostError(Exception):
    """The last accepted heartbeat is so old that another worker may own the partition."""


class ProducersExpiredError(Exception):
    """The broker has removed the producers of a partition that was idle: initialising them again is enough.

    Kafka forgets a transactional id after 7 days without a transaction and a producer id after one, by
    default. No transaction was open, and nothing of the failed one is visible.
    """


class BugError(StreamsError):
    """A stage raised on a record, which the message names; nothing of its batch is committed."""

    exit_code = EXIT_SOFTWARE


class GroupError(StreamsError):
    """The broker refuses this group member for good: its session time-out or its rights."""

    exit_code = EXIT_CONFIGURATION


class AnnouncedUrlError(StreamsError):
    """Another member of the group announces a URL beside which this worker's cannot be used."""

    exit_code = EXIT_CONFIGURATION


class StuckError(StreamsError):
    """A partition, or a task that it depends on, makes no progress; a restart is the remedy."""


class TaskEndedError(StreamsError):
    """An asyncio task that has to run as long as the worker ended by itself.

    Exit code 75 if a restart mends the cause (a client's cancellation, the broker), 70 if it is a bug.
    """

    def __init__(self, name: str, cause: BaseException | None, exit_code: int = EXIT_TRY_AGAIN) -> None:
        how = "without a reason" if cause is None else f"with {cause!r}"
        super().__init__(f"the task {name} ended by itself, {how}")
        self.exit_code = EXIT_SOFTWARE if cause is None else exit_code


class HaltError(Exception):
    """A stage refuses to go beyond a record: its partition is halted there, not the worker.

    Records before it are committed; the rest waits for `rebate dlq resume`. `code` is the reason that
    answers, metrics and commands show; `offset` is the record's, set by the engine.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code
        self.offset = -1


class BrokerGoneError(StreamsError):
    """The broker was unavailable for longer than REBATE_BROKER_DEADLINE."""


def exit_code_of(error: BaseException) -> int:
    """Return the exit code: 70 for a bug of ours, 78 for the configuration, 75 for the surroundings."""
    if isinstance(error, StreamsError):
        return error.exit_code
    if isinstance(error, ConfigurationError):
        return EXIT_CONFIGURATION
    return EXIT_TRY_AGAIN if isinstance(error, KafkaError | OSError) else EXIT_SOFTWARE
