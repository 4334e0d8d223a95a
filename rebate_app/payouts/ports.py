"""What the executor of a partition needs of the rest of the worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from msgspec import Struct

from rebate_app.domain.money_out.facts import PayoutAttempt, PayoutResult
from rebate_app.domain.money_out.withdrawal import Withdrawal

from .channels.channel_file import ChannelSpec


class Clocks(Struct, frozen=True):
    """The wall clock and the monotonic one, both in µs."""

    now_us: Callable[[], int] = lambda: time.time_ns() // 1_000
    mono_us: Callable[[], int] = lambda: time.monotonic_ns() // 1_000


class Payee(Struct, frozen=True):
    """A payee in clear."""

    channel: str
    account: str
    name: str


#: User id and withdrawal id.
Place = tuple[str, str]


class Standing(Struct, frozen=True):
    """What an attempt depends on of the user: blocked, parked, and `available` in fen at this moment."""

    blocked: bool
    parked: bool
    available: int


class Accounts(Protocol):
    """The partition's table of accounts, as it is folded."""

    def position(self) -> int:
        """Return a number that grows with every record folded."""
        ...

    def open_places(self) -> Iterator[Place]:
        """Yield those whose amount is frozen, review aside."""
        ...

    def settled_places(self) -> Iterator[Place]:
        """Yield those that were paid or failed, whenever that was."""
        ...

    def ended_places(self) -> Iterator[Place]:
        """Yield all of which no more is asked by itself and that may have been attempted."""
        ...

    def withdrawal(self, user_id: str, withdrawal_id: str) -> Withdrawal | None:
        """Return a withdrawal as it is now."""
        ...

    def standing(self, user_id: str) -> Standing:
        """Return what an attempt depends on."""
        ...


class Journal(Protocol):
    """The user log, through the partition's fenced producer."""

    async def append(self, fact: PayoutAttempt | PayoutResult) -> None:
        """Write a fact; return once it is acknowledged. Any error: whether it was written is not known."""
        ...


class PartitionPayees(Protocol):
    """The partition's payees."""

    def find(self, user_id: str, payee_id: str) -> Payee | None:
        """Return a payee in clear, None for one that is not there."""
        ...


class ChannelDesk(Protocol):
    """The channels of the file, and which of them may send now."""

    def spec(self, channel: str) -> ChannelSpec | None:
        """Return what the file has about a channel."""
        ...

    def is_open(self, channel: str) -> bool:
        """Whether payouts may be sent through it."""
        ...

    def begin_call(self, channel: str) -> None:
        """Note that a payout is on its way to the service."""
        ...

    def end_call(self, channel: str) -> None:
        """Note that its call has ended."""
        ...

    async def pause(self, channel: str, reason: str, known_since_us: int) -> None:
        """Stop sending, unless the channel was opened after that moment."""
        ...

    async def admit(self, spec: ChannelSpec) -> None:
        """Wait for the channel's rate."""
        ...


class CallAuthority(Protocol):
    """Whether this worker may call for the partition."""

    def may_call(self) -> bool:
        """Whether lease, membership of the group, running partition and active app all hold now."""
        ...
