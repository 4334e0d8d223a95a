"""What the web room needs from the worker around it: ports, implemented by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from rebate_app.audit_trail.reader import TrailFilter, TrailPage
from rebate_app.dead_letters.outcomes import DryRunOutcome
from rebate_app.payouts.channel_states import ChannelStates
from rebate_app.payouts.desk import PayoutDesk
from rebate_app.payouts.manual_payouts import ManualPayouts
from rebate_app.payouts.payees.book import PayeeBook
from rebate_app.payouts.remembered_ends import EndsKeeper
from rebate_app.streams.kafka.connection import BrokerAwayError  # raised by FactSender: 503 + Retry-After
from rebate_app.streams.state.store import Listable, Readable
from rebate_app.streams.task.stage import Record
from rebate_app.wire.audit_trail import TrailRecord
from rebate_app.wire.failure_headers import Header

__all__ = [
    "Assignment",
    "AuditTrail",
    "BrokerAwayError",
    "Clock",
    "DryRunFold",
    "FactSender",
    "Halted",
    "Local",
    "MaskedPayee",
    "NoPayees",
    "Nobody",
    "Payees",
    "PayoutRoom",
    "Place",
    "Placement",
    "Remote",
    "Restoring",
]


class Local(Struct, frozen=True):
    """The case that this worker may answer: the partition's committed records and up to where they hold.

    `offset` is the last source offset that they hold (-1: none yet), `lag` 0 when a read_committed
    reader would find nothing after it. `stale`: a standby's or kept store's records. `unstable`: records that
    nobody can read for now, since an open transaction holds them back; 0 while none does for over a second.
    `halted`: the reason for which the partition is halted, "" while it is not.
    """

    store: Listable
    topic: str
    partition: int
    offset: int
    lag: int
    stale: bool = False
    unstable: int = 0
    halted: str = ""


class Remote(Struct, frozen=True):
    """Another worker owns it."""

    url: str


class Nobody(Struct, frozen=True):
    """Nobody who may answer can, for now: 503 `not-ready` with Retry-After."""

    reason: str
    retry_after_seconds: int = 1


Place = Local | Remote | Nobody


class Restoring(Struct, frozen=True):
    """A partition of ours that is being opened: its changelog was read up to `position` of `end`."""

    topic: str
    partition: int
    position: int
    end: int


class Unstable(Struct, frozen=True):
    """A partition of ours whose reading an open transaction holds back: so many offsets, for so long."""

    topic: str
    partition: int
    unstable: int
    seconds: float


class Halted(Struct, frozen=True):
    """A partition of ours that is halted before the record at `offset`; `reason` is a sentence."""

    topic: str
    partition: int
    code: str
    offset: int
    lag: int
    reason: str


class Assignment(Struct, frozen=True):
    """The group's last assignment as this worker knows it: source partitions by worker's URL and topic.

    `instances`: the ids that the members announced, by URL.
    """

    generation: int
    members: Mapping[str, Mapping[str, list[int]]]
    restoring: list[Restoring]
    unstable: list[Unstable] = []
    instances: Mapping[str, str] = {}


class Placement(Protocol):
    """Who owns which partition, as the consumer group's last assignment says."""

    partitions: int

    def partition_of(self, key: str) -> int:
        """Return the partition of a log key: murmur2, as Kafka's default partitioner."""
        ...

    def place(self, records: str, partition: int) -> Place:
        """Return who owns that partition of a stage (named by its `StageSpec.records`)."""
        ...

    def kept_place(self, records: str, partition: int) -> Local | None:
        """Return records that may be old (a standby's, or kept over a rebalance), None without any."""
        ...

    def readiness(self) -> tuple[bool, str]:
        """Return (ready, reason): joined, and every assigned partition restored and being processed."""
        ...

    def halted(self) -> list[Halted]:
        """Return this worker's halted partitions; they are owned and answer."""
        ...

    def assignment(self) -> Assignment:
        """Return the group's last assignment, empty before this worker has joined."""
        ...


class MaskedPayee(Struct, frozen=True):
    """A payee as it is shown: account and name masked."""

    channel: str
    account: str
    name: str


class Payees(Protocol):
    """The payees that this worker has read, of the partitions that it owns."""

    def find(self, partition: int, user_id: str, payee_id: str) -> MaskedPayee | None:
        """Return a user's payee, None for an unknown one."""
        ...


class PayoutRoom(Protocol):
    """What this worker pays: its channels, and the payees of the partitions that it owns."""

    @property
    def active(self) -> str | None:
        """Return which app decides and pays, None while none does."""
        ...

    @property
    def desk(self) -> PayoutDesk:
        """Return the channels."""
        ...

    @property
    def states(self) -> ChannelStates:
        """Return the states of channels."""
        ...

    @property
    def ends(self) -> EndsKeeper:
        """Return what this worker remembers of the ends of the user log."""
        ...

    def books(self) -> Mapping[int, PayeeBook]:
        """Return the payees of the partitions that are owned and read."""
        ...

    def readable_book(self, partition: int) -> PayeeBook | None:
        """Return the payees of a partition to read; for a moment they may be those from before a turn."""
        ...

    def manual(self, partition: int) -> ManualPayouts | None:
        """Return the payouts by hand of a partition that may be paid for here now, else None."""
        ...

    def prompt(self, partition: int, payout_no: str, *, searches: bool = False) -> bool:
        """Query a payout soon; return whether the partition watches it; `searches`: look for ended ones."""
        ...


class NoPayees:
    """Nobody keeps payees here, so all are unknown (implements Payees)."""

    def find(self, partition: int, user_id: str, payee_id: str) -> MaskedPayee | None:
        """Return None."""
        del partition, user_id, payee_id
        return None


class FactSender(Protocol):
    """Sends records that are acknowledged by all in-sync replicas before it returns."""

    async def send(
        self, topic: str, records: Sequence[tuple[bytes, bytes]], headers: Sequence[Header] = ()
    ) -> list[tuple[int, int]]:
        """Send (key, value) pairs, each with the headers; return (partition, offset) of each.

        BrokerAwayError when it cannot.
        """
        ...


class AuditTrail(Protocol):
    """Writes and reads who did what."""

    async def write(
        self,
        trail: Sequence[TrailRecord],
        topic: str = "",
        records: Sequence[tuple[bytes, bytes]] = (),
        headers: Sequence[Header] = (),
    ) -> list[tuple[int, int]]:
        """Write facts and their trail, all or nothing; return (partition, offset) of each fact.

        BrokerAwayError when it cannot.
        """
        ...

    def note_orders(self, actor: str, facts: int) -> None:
        """Count accepted order facts for the summary of the minute."""
        ...

    async def page(self, wanted: TrailFilter, before: int | None, limit: int) -> TrailPage:
        """Return at most `limit` records before an offset; NoSuchPlaceError, BrokerAwayError."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


Clock = Callable[[], int]  # microseconds since 1970-01-01T00:00:00Z
#: Folds a record of a source over committed records without writing anything, for a dry run.
DryRunFold = Callable[[str, Readable, Record], DryRunOutcome]
