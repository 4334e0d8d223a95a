"""The kinds of records that stores of an older version get by a scan, and what each is made from (ADR 13)."""

from __future__ import annotations

from rebate_app.domain.account.account import Head
from rebate_app.domain.account.totals import TotalsChange, debt_steps, suspense_steps
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.build import Build

from . import accounts, order_lines, order_numbers
from .accounts import HEAD, ID_HEAD, INVITEE, LINE, LINE_NAME, PROFILES
from .kinds import is_order_line
from .totals import write_change

_NOTHING = b'""'
_RECORDS_OF_DAY = 2  # of the day itself, and of its block
INVITERS_AT_ONCE = 100  # of one user's profile facts


class TotalsBuild:
    """Totals: from the heads of attribution ids, the heads of users, and the lines of users as parts."""

    name = accounts.TOTALS_NAME
    prefixes = (ID_HEAD.prefix, HEAD.prefix)
    is_fresh = staticmethod(accounts.is_fresh)

    def wants(self, key: bytes) -> bool:
        """Return True: both kinds of heads count."""
        del key
        return True

    def view(self, transaction: StateTransaction) -> TotalsBuildView:
        """Return the view for one step."""
        return TotalsBuildView(transaction)


class TotalsBuildView:
    """One step of TotalsBuild (implements BuildView)."""

    def __init__(self, transaction: StateTransaction) -> None:
        self._transaction = transaction
        self._change = TotalsChange()

    @property
    def size(self) -> int:
        """Return how many records `flush` writes, at most."""
        return _RECORDS_OF_DAY * len(self._change.days) + 1

    def visit(self, key: bytes, part: int) -> int | None:
        """Add an attribution id, or the user's line of number `part`, with the last one what he owes."""
        if key.startswith(ID_HEAD.prefix):
            id_head = ID_HEAD.read(self._transaction, key)
            if id_head is not None:
                self._change.add_suspense(suspense_steps(id_head), +1)
            return None
        head = HEAD.read(self._transaction, key) or Head()
        if part < head.line_count:
            self._add_line(key[len(HEAD.prefix) :].decode(), part)
            part += 1
        if part < head.line_count:
            return part
        self._change.add_debt(debt_steps(head), +1)
        return None

    def _add_line(self, user_id: str, number: int) -> None:
        name = LINE_NAME.read(self._transaction, LINE_NAME.key(user_id, number))
        record = None if name is None else LINE.read(self._transaction, LINE.key(user_id, name))
        if record is not None:
            self._change.add_amounts(record.line.partition(":")[0], record.posted)
            self._change.count_line(record.counted, record.counted_day, +1)

    def flush(self) -> None:
        """Write the totals of the step to the transaction."""
        write_change(self._transaction, self._change)


class InviteesBuild:
    """Invitees: from the profile facts of users."""

    name = accounts.INVITEES_NAME
    prefixes = (PROFILES.prefix,)
    is_fresh = staticmethod(accounts.is_fresh)

    def wants(self, key: bytes) -> bool:
        """Return True: all profile facts count."""
        del key
        return True

    def view(self, transaction: StateTransaction) -> InviteesBuildView:
        """Return the view for one step."""
        return InviteesBuildView(transaction)


class _IndexView:
    """A step that puts records into the transaction at once."""

    def __init__(self, transaction: StateTransaction) -> None:
        self._transaction = transaction

    @property
    def size(self) -> int:
        """Return how many records the transaction has."""
        return len(self._transaction.changes)

    def flush(self) -> None:
        """Do nothing: everything is written."""


class InviteesBuildView(_IndexView):
    """One step of InviteesBuild (implements BuildView)."""

    def visit(self, key: bytes, part: int) -> int | None:
        """Add those that a user's profile facts name as inviters, INVITERS_AT_ONCE a part."""
        profiles = PROFILES.read(self._transaction, key)
        inviters = [] if profiles is None else sorted(profiles.inviters())
        user_id = key[len(PROFILES.prefix) :].decode()
        end = part + INVITERS_AT_ONCE
        for inviter in inviters[part:end]:
            self._transaction.put(INVITEE.key(inviter, user_id), _NOTHING)
        return end if end < len(inviters) else None


class OrderNumbersBuild:
    """Order numbers: from the lines."""

    name = order_numbers.ORDER_NUMBERS_NAME
    prefixes = tuple(character.encode() for character in "0123456789abcdefghijklmnopqrstuvwxyz")
    is_fresh = staticmethod(order_lines.is_fresh)

    def wants(self, key: bytes) -> bool:
        """Return whether the key is a line's."""
        return is_order_line(key)

    def view(self, transaction: StateTransaction) -> OrderNumbersBuildView:
        """Return the view for one step."""
        return OrderNumbersBuildView(transaction)


class OrderNumbersBuildView(_IndexView):
    """One step of OrderNumbersBuild (implements BuildView)."""

    def visit(self, key: bytes, part: int) -> int | None:
        """Add a line under its numbers."""
        del part
        state = order_lines.LINE.read(self._transaction, key)
        if state is not None:
            order_numbers.index_numbers(self._transaction, key.decode(), None, state.display)
        return None


ACCOUNTS_BUILDS: tuple[Build, ...] = (InviteesBuild(), TotalsBuild())
ORDER_LINES_BUILDS: tuple[Build, ...] = (OrderNumbersBuild(),)
