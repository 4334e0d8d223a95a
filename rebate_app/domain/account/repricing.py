"""Repricing: a user's own lines get rule version, level and inviter anew (docs/spec/rules.md#repricing).

Every line is priced as if it happened at the fact's place in the user's log, whatever the size of the
account: one record looks at MOVES_MAX lines, and messages of the account to itself continue. Until then a
line is repriced before anything else happens to it (`price_before_target`), with the profile facts as they
were (`keep_for_waiting`). Inviters follow by bonus targets that name the repricing.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET

from .. import faults
from ..facts import Reprice
from ..messages import Cursor, Message
from ..now import Now
from ..order.value import LineValue
from ..pricing.calendar import day_of
from ..pricing.rules import RuleBook
from .account import (
    HEAD_FORMAT,
    NOT_REPRICED,
    PASSED_OVER,
    AccountLine,
    Profiles,
    Repricing,
    Repricings,
)
from .account_records import AccountRecords
from .attribution_account import MOVES_MAX
from .events import REPRICED, PendingEvents, repricing_events
from .line_change import bonus_messages, post_line_change
from .share import BUYER_CHAIN, LineShare, choose_terms, decide_share, known_share

#: Under way at once for one user; more are refused.
REPRICINGS_MAX = 32
#: Past ones of which moment and reason are kept, for explanations.
PAST_MAX = 20


class Repricer:
    """Prices lines of one user within one record; the account's version grows once if any line matches."""

    def __init__(
        self, user_id: str, records: AccountRecords, rules: RuleBook, pending_events: PendingEvents
    ) -> None:
        self._user_id = user_id
        self._records = records
        self._rules = rules
        self._pending_events = pending_events
        self._books: dict[int, RuleBook] = {}
        self._has_changed = False

    def go_on(self, repricings: Repricings, repricing: Repricing, offset: int) -> list[Message]:
        """Price the next lines of a repricing; `offset` is that of the record that leads to it."""
        messages: list[Message] = []
        start, end = repricing.position, min(repricing.position + MOVES_MAX, repricing.end)
        for record in self._lines(repricing, start, end):
            before = known_share(self._user_id, record, self._rules)
            after = self.price(record, before, repricings, in_passing=False)
            cause = (REPRICED, UNSET)
            messages += bonus_messages(record.line, offset, cause, before.bonus, after.bonus)
        repricing.position = end
        if end < repricing.end:
            messages.append(Cursor(self._user_id, repricing.offset, end))
        else:
            self._finish(repricings, repricing)
        return messages

    def _lines(self, repricing: Repricing, start: int, end: int) -> Iterator[AccountLine]:
        if repricing.lines is None:
            yield from map(self._records.line_at, range(start, end))
            return
        for line in repricing.lines[start:end]:
            record = self._records.line(line)
            if record is not None:
                yield record

    def price(
        self,
        record: AccountLine,
        share: LineShare,
        repricings: Repricings,
        *,
        in_passing: bool,
    ) -> LineShare:
        """Apply those under way that still concern the line, in order; return the share that they lead to.

        `in_passing`: before their own turn, so that the line has to know those that it does not match.
        """
        for repricing in repricings.under_way:
            if not repricing.concerns(record):
                continue
            line_value = _matching_value(record, repricing)
            if line_value is not None:
                share = self._price(record, share, line_value, repricings, repricing)
            elif in_passing or repricing.lines is not None or len(repricings.under_way) > 1:
                record.mark_repriced(PASSED_OVER, repricing.offset)
        return share

    def _price(
        self,
        record: AccountLine,
        before: LineShare,
        line_value: LineValue,
        repricings: Repricings,
        repricing: Repricing,
    ) -> LineShare:
        records, pending_events = self._records, self._pending_events
        paid_at = line_value.paid_at or 0
        self._change_version()
        rule = self._rules_at(repricing.offset).in_force(paid_at)
        record.pricing[BUYER_CHAIN] = choose_terms(
            paid_at, rule, lambda: self._profiles(repricings, repricing)
        )
        record.mark_repriced(BUYER_CHAIN, repricing.offset)
        after = decide_share(self._user_id, record, records.profiles, self._rules)
        cause = (repricing.at, REPRICED, None)
        post_line_change(self._user_id, records, record, (before, after), cause, pending_events)
        if repricing.at >= pending_events.since:
            pending_events.lines += repricing_events(
                self._user_id, record.line, repricing.at, repricing.offset, before, after
            )
        return after

    def _change_version(self) -> None:
        if self._has_changed:
            return
        head = self._records.head()
        if head.format != HEAD_FORMAT:
            self._records.upgrade_head()
        head.version += 1
        self._has_changed = True

    def _rules_at(self, offset: int) -> RuleBook:
        """Return the rules that were known at the repricing: more may be known when it is a line's turn."""
        book = self._books.get(offset)
        if book is None:
            book = self._books[offset] = self._rules.known_at(offset)
        return book

    def _profiles(self, repricings: Repricings, repricing: Repricing) -> Profiles:
        """Return the profile facts as they were at the repricing: those kept for it or for a later one."""
        for each in repricings.under_way:
            if each.offset >= repricing.offset and each.has_profiles:
                return self._records.profiles_at(each.offset)
        return self._records.profiles()

    def _finish(self, repricings: Repricings, repricing: Repricing) -> None:
        """Take the repricing out; the profiles that were kept for it still hold for the one before it."""
        place = repricings.under_way.index(repricing)
        del repricings.under_way[place]
        if not repricing.has_profiles:
            return
        before = repricings.under_way[place - 1] if place else None
        if before is not None and not before.has_profiles:
            self._records.keep_profiles_at(before.offset, self._records.profiles_at(repricing.offset))
            before.has_profiles = True
        self._records.drop_profiles_at(repricing.offset)


def fold_reprice(
    records: AccountRecords, fact: Reprice, now: Now, rules: RuleBook, pending_events: PendingEvents
) -> faults.Fault | list[Message]:
    """Fold a repricing of a user who has an account: price the first lines, and continue by a cursor."""
    repricings = records.repricings()
    if len(repricings.under_way) >= REPRICINGS_MAX:
        return faults.limit("lines", f"a user has at most {REPRICINGS_MAX} repricings under way")
    repricing = Repricing(
        now.offset,
        now.at,
        fact.lines,
        fact.paid_from,
        fact.paid_to,
        fact.released,
        records.head().line_count,
    )
    repricings.under_way.append(repricing)
    repricings.past.append((now.offset, now.at, fact.reason))
    del repricings.past[:-PAST_MAX]
    return Repricer(fact.user_id, records, rules, pending_events).go_on(repricings, repricing, now.offset)


def fold_repricing_cursor(
    records: AccountRecords, cursor: Cursor, now: Now, rules: RuleBook, pending_events: PendingEvents
) -> list[Message]:
    """Fold a cursor: continue the repricing that it names, unless that is done or elsewhere."""
    repricings = records.repricings()
    for repricing in repricings.under_way:
        if (repricing.offset, repricing.position) == (cursor.binding, cursor.position):
            repricer = Repricer(cursor.to, records, rules, pending_events)
            return repricer.go_on(repricings, repricing, now.offset)
    return []


def price_before_target(
    user_id: str,
    records: AccountRecords,
    record: AccountLine,
    share: LineShare,
    rules: RuleBook,
    pending_events: PendingEvents,
) -> LineShare:
    """Apply what is under way to a line before its next target; return the share that this leads to."""
    repricings = records.repricings_under_way()
    if repricings is None:
        return share
    repricer = Repricer(user_id, records, rules, pending_events)
    return repricer.price(record, share, repricings, in_passing=True)


def profiles_of_waiting(records: AccountRecords) -> Profiles | None:
    """Return a copy of the profile facts if a repricing under way needs them as they are now, else None."""
    repricings = records.repricings_under_way()
    if repricings is None or repricings.under_way[-1].has_profiles:
        return None
    return Profiles(facts=list(records.profiles().facts))


def keep_for_waiting(records: AccountRecords, profiles: Profiles) -> None:
    """Keep the profile facts as they were for the repricings that are under way."""
    newest = records.repricings().under_way[-1]
    records.keep_profiles_at(newest.offset, profiles)
    newest.has_profiles = True


def past_repricing(repricings: Repricings, record: AccountLine) -> tuple[int, str] | None:
    """Return (moment, reason) of the last repricing of the user's own line, None without one or unknown."""
    offset = record.repriced_at(BUYER_CHAIN)
    if offset == NOT_REPRICED:
        return None
    return next(((at, reason) for past, at, reason in repricings.past if past == offset), None)


def _matching_value(record: AccountLine, repricing: Repricing) -> LineValue | None:
    """Return the value of a line that the user bought and that the repricing is about, else None."""
    effective = record.effective()
    if effective is None:
        return None
    line_value = effective[1].line_value
    if effective[1].terms is not None or line_value is None or line_value.paid_at is None:
        return None
    if repricing.paid_from is not None and line_value.paid_at < repricing.paid_from:
        return None
    if repricing.paid_to is not None and line_value.paid_at >= repricing.paid_to:
        return None
    release_on = line_value.release_on
    if not repricing.released and release_on is not None and release_on <= day_of(repricing.at):
        return None
    return line_value
