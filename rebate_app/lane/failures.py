"""How a lane fails: whose fault it is, and with which exit code a worker ends."""

from __future__ import annotations

from rebate_app.settings import EXIT_CONFIGURATION, EXIT_SOFTWARE, EXIT_TRY_AGAIN


class LaneError(Exception):
    """A failure that ends the worker; the message is one sentence for the operator."""

    exit_code = EXIT_TRY_AGAIN


class StateLostError(LaneError):
    """State or input was lost or belongs to another topic: going on would be wrong, so it refuses."""

    exit_code = EXIT_CONFIGURATION


class FencedError(LaneError):
    """Another worker has taken the partition over: nothing of ours can be read any more."""


class LeaseLostError(Exception):
    """The group has not heard of this worker for so long that the partition may be another one's."""


class BugError(LaneError):
    """The stage raised on a record: a bug of ours, the record is named, nothing was committed."""

    exit_code = EXIT_SOFTWARE


class GroupError(LaneError):
    """The broker refuses this member for good: its session time-out, its rights."""

    exit_code = EXIT_CONFIGURATION


class StuckError(LaneError):
    """A partition has work and makes no progress: a restart is the cure that is known."""


class HaltError(LaneError):
    """A limit says stop: what stands before the record that trips it is committed, it and the rest wait.

    `code` is what `/readyz` says until the process ends.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code


class BrokerGoneError(LaneError):
    """The broker has been away for longer than the deadline."""
