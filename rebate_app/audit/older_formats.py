"""Compares records that an older version wrote, in the format in which they were written.

Ledger entries of format 1 and older moments of a line's timeline lack the network's moment (`modified_at`),
and such moments and profile facts the actor: the current fold adds them. Entries of format 2, totals of
format 1 and heads of format 1 have nothing frozen or withdrawn; lines of accounts lack the member for
repricings; older order lines do not keep `order_id`, and are not found under it; older withdrawals do not
keep when they were paid and returned, and while they wait for their user may lack where to confirm, which a
result without it once took away. Everything else has to be what the facts make. A record that cannot be
decoded is not an older one.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from rebate_app.domain.account.account import Head, Profiles
from rebate_app.domain.account.ledger import Entry
from rebate_app.domain.account.totals import Totals
from rebate_app.domain.money_out.states import NEEDS_USER
from rebate_app.domain.money_out.withdrawal import Withdrawal
from rebate_app.domain.order.line import LineState
from rebate_app.streams.errors import UnreadableStateError
from rebate_app.streams.state.store import Readable
from tables import accounts, money_out, order_lines, order_numbers, totals
from tables.kinds import ORDER_NUMBER, TOTALS, WITHDRAWAL, is_order_line, kind_of

from .record_kinds import is_account_line, is_ledger_entry, is_profiles, is_user_head

FORMAT_WITHOUT_MOMENT = 1
ENTRY_FORMAT_WITHOUT_WITHDRAWALS = 2
TOTALS_FORMAT_WITHOUT_WITHDRAWALS = 1
HEAD_FORMAT_WITHOUT_WITHDRAWALS = 1


def is_older_form(table: str, key: bytes, actual: bytes, expected: bytes) -> bool:
    """Return whether a record that differs is what an older version made of the same facts."""
    try:
        if table == order_lines.NAME:
            return is_order_line(key) and _is_older_line(
                order_lines.LINE.decode(actual, key), order_lines.LINE.decode(expected, key)
            )
        if is_account_line(key):
            return accounts.LINE.decode(actual, key) == accounts.LINE.decode(expected, key)
        if is_profiles(key):
            return _are_older_profiles(
                accounts.PROFILES.decode(actual, key), accounts.PROFILES.decode(expected, key)
            )
        if is_user_head(key):
            return _is_older_head(accounts.HEAD.decode(actual, key), accounts.HEAD.decode(expected, key))
        if kind_of(table, key) is TOTALS:
            return _is_older_totals(totals.TOTALS.decode(actual, key), totals.TOTALS.decode(expected, key))
        if kind_of(table, key) is WITHDRAWAL:
            return _is_older_withdrawal(
                money_out.WITHDRAWAL.decode(actual, key), money_out.WITHDRAWAL.decode(expected, key)
            )
        return is_ledger_entry(key) and _is_older_entry(
            accounts.ENTRY.decode(actual, key), accounts.ENTRY.decode(expected, key)
        )
    except UnreadableStateError:
        return False


def is_missing_number(table: str, key: bytes, actual: bytes | None, records: Readable) -> bool:
    """Return whether an index record is missing since its line has an older form without that number.

    Lines that an older version wrote do not keep `order_id`; the line's next fact adds it, and its record.
    """
    if table != order_lines.NAME or actual is not None or kind_of(table, key) is not ORDER_NUMBER:
        return False
    number, _, line = key[len(ORDER_NUMBER.key) :].decode().partition(" ")
    try:
        state = order_lines.read_line(records, line)
    except UnreadableStateError:
        return False
    return state is not None and number not in order_numbers.indexed_numbers(line, state.display)


def _without_order_id(display: str) -> Any:
    fields = msgspec.json.decode(display)
    return {name: value for name, value in fields.items() if name != "order_id"}


def _is_older_entry(actual: Entry, expected: Entry) -> bool:
    if actual == replace(expected, format=ENTRY_FORMAT_WITHOUT_WITHDRAWALS):
        return True
    return actual == replace(expected, format=FORMAT_WITHOUT_MOMENT, modified_at=None)


def _is_older_totals(actual: Totals, expected: Totals) -> bool:
    return actual == replace(expected, format=TOTALS_FORMAT_WITHOUT_WITHDRAWALS)


def _is_older_head(actual: Head, expected: Head) -> bool:
    return actual == replace(expected, format=HEAD_FORMAT_WITHOUT_WITHDRAWALS)


def _is_older_withdrawal(actual: Withdrawal, expected: Withdrawal) -> bool:
    result = expected.result
    if result is not None and expected.state == NEEDS_USER and _lacks_confirm_url(actual):
        result = replace(result, needs_user_url="")
    return actual == replace(
        expected,
        result=result,
        paid_at=actual.paid_at and expected.paid_at,
        returned_at=actual.returned_at and expected.returned_at,
    )


def _lacks_confirm_url(withdrawal: Withdrawal) -> bool:
    return withdrawal.result is not None and not withdrawal.result.needs_user_url


def _are_older_profiles(actual: Profiles, expected: Profiles) -> bool:
    return actual.actors.items() <= expected.actors.items() and actual == replace(
        expected, actors=actual.actors
    )


def _is_older_line(actual: LineState, expected: LineState) -> bool:
    if len(actual.timeline) != len(expected.timeline):
        return False
    timeline = [
        replace(
            folded,
            modified_at=None if stored.modified_at is None else folded.modified_at,
            actor=None if stored.actor is None else folded.actor,
        )
        for stored, folded in zip(actual.timeline, expected.timeline, strict=True)
    ]
    if actual.display != expected.display and _without_order_id(expected.display) == msgspec.json.decode(
        actual.display
    ):
        expected = replace(expected, display=actual.display)
    return actual == replace(expected, timeline=timeline)
