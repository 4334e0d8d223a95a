"""The port through which folds read and change one user's records.

A table implements it with views whose changes stay invisible until the batch's transaction is committed.
"""

from __future__ import annotations

from typing import Protocol

from .account import AccountLine, Head, Profiles, Repricings
from .ledger import Amounts, Entry
from .share import LineShare


class AccountRecords(Protocol):
    """One user's records, as the folds need them; getting a record allows changing it in place."""

    def head(self) -> Head:
        """Return the head, a fresh one for a new user; `upgrade_head` precedes a change of an old one."""
        ...

    def upgrade_head(self) -> None:
        """Bring a head of an older format to the newest one, and keep it."""
        ...

    def line(self, line: str) -> AccountLine | None:
        """Return what the line contributes, None for a new line."""
        ...

    def line_at(self, sequence: int) -> AccountLine:
        """Return the line that came as number `sequence`; KeyError if there is none."""
        ...

    def add_line(self, record: AccountLine) -> None:
        """Keep a new line."""
        ...

    def profiles(self) -> Profiles:
        """Return the profile facts; `keep_profiles` follows a change."""
        ...

    def keep_profiles(self, inviters_before: frozenset[str]) -> None:
        """Keep the profile facts, which changed, and whom they name as inviters."""
        ...

    def move_share(self, record: AccountLine, before: LineShare, after: LineShare) -> None:
        """Move a line's share in the totals over accounts; called before the head changes."""
        ...

    def move_amounts(self, amounts: Amounts) -> None:
        """Add amounts that belong to no line to the totals over accounts; called before the head changes."""
        ...

    def repricings_under_way(self) -> Repricings | None:
        """Return the repricings if any is under way; they may be changed in place."""
        ...

    def repricings(self) -> Repricings:
        """Return the repricings, under way and past; they may be changed in place."""
        ...

    def profiles_at(self, offset: int) -> Profiles:
        """Return the profile facts that were kept for the repricing at that offset; KeyError without any."""
        ...

    def keep_profiles_at(self, offset: int, profiles: Profiles) -> None:
        """Keep the profile facts of a repricing, which are about to change."""
        ...

    def drop_profiles_at(self, offset: int) -> None:
        """Delete the profile facts that were kept for a repricing."""
        ...

    def append(self, entry: Entry, number: int) -> None:
        """Keep the user's ledger entry of that number."""
        ...
