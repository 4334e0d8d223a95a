"""The two folds: order facts into lines, a user's log into that user's account (design.md 2).

Both are `(records, fact, now) -> messages`. The records are a port: the tables give views whose
changes stay invisible until the chunk's transaction is committed, tests give plain dictionaries.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from .account import (
    AccountLine,
    Head,
    Outgoing,
    Profiles,
    amounts_of,
    bonus_for_next,
    known_pin,
    pin_line,
    sender_of,
    take_profile,
    take_target,
)
from .attribution import deciding_claim, owner_of
from .events import News, line_was
from .facts import OrderFact, Profile
from .faults import Fault
from .ledger import Entry
from .messages import BonusTarget, LineTarget, Message
from .order_line import LineState, Sent, merge
from .posting import count_line, post, role_of
from .rules import RuleBook
from .worth import line_worth


class Now(Struct, frozen=True, gc=False):
    """Where in the log the fact stands: its offset and its record's timestamp in µs; the only clock."""

    offset: int
    at: int


class AccountRecords(Protocol):
    """One user's records, as the fold needs them. Getting a record allows changing it in place."""

    def head(self) -> Head:
        """Return the head, a fresh one for somebody never seen."""
        ...

    def line(self, line: str) -> AccountLine | None:
        """Return what the line contributes, None when it never came."""
        ...

    def add_line(self, record: AccountLine) -> None:
        """Keep a line that came for the first time."""
        ...

    def profiles(self) -> Profiles:
        """Return the profile facts."""
        ...

    def keep_profiles(self) -> None:
        """Note that the profile facts changed."""
        ...

    def append(self, entry: Entry, number: int) -> None:
        """Keep the user's ledger entry of that number."""
        ...


def fold_order(
    state: LineState, fact: OrderFact, now: Now, user_id_fields: dict[str, tuple[str, ...]]
) -> tuple[Fault | bool, list[Message]]:
    """Take an order fact; return (changed or the limit exceeded, targets for the logs that get the line).

    The line's owner gets its whole worth; an owner that it left gets a target without one.
    """
    outcome = merge(state, fact, now.at)
    if outcome is not True:
        return outcome, []
    line = fact.line
    platform = line.partition(":")[0]
    owner = owner_of(state, platform, user_id_fields)
    sent = Sent(owner.by, line_worth(state, platform), deciding_claim(state))
    before = state.sent_to
    if owner.key == before and sent == state.sent:
        return True, []
    messages: list[Message] = []
    if before is not None and before != owner.key:
        messages.append(LineTarget(before, line, "", now.offset, now.offset, None, cause="reassigned"))
    messages.append(
        LineTarget(
            owner.key, line, "", now.offset, now.offset, sent.worth, sent.by, sent.claim, cause_of(fact)
        )
    )
    state.sent_to, state.sent_offset, state.sent = owner.key, now.offset, sent
    return True, messages


def cause_of(fact: OrderFact) -> str:
    """Return the fact's kind and status as one word for ledger reasons, such as `snapshot-settled`."""
    kind = type(fact).__name__.lower()
    return kind if kind == "claim" else f"{kind}-{fact.status}"  # type: ignore[union-attr]


def fold_profile(records: AccountRecords, fact: Profile) -> Fault | bool:
    """Take a profile fact; lines that are pinned already keep their price."""
    head = records.head()
    outcome = take_profile(records.profiles(), fact)
    if outcome is True:
        head.version += 1
        records.keep_profiles()
    return outcome


def fold_target(
    user_id: str,
    records: AccountRecords,
    target: LineTarget | BonusTarget,
    now: Now,
    rules: RuleBook,
    news: News,
) -> list[Message]:
    """Take a target into the account: post the difference, tell the next inviter, and note the news."""
    head = records.head()
    record = records.line(target.line)
    if record is None:
        record = AccountLine(1, head.line_count, target.line)
        head.line_count += 1
        records.add_line(record)
    sender = sender_of(target)
    known, was = record.senders.get(sender), record.effective()
    before = bonus_for_next(user_id, record, was, known_pin(record, was), rules)
    if not take_target(record, target, sender):
        return []
    untold = line_was(record, was)
    held = record.effective()
    pin = pin_line(record, held, records.profiles, rules)
    head.version += 1
    record.updated_at = now.at
    rule = pin.rule if pin is not None else None
    share = amounts_of(record, held, pin, rules)
    entries = post(head, record, role_of(held), share, at=now.at, cause=target.cause, rule=rule)
    for entry in entries:
        records.append(entry, head.entry_count)
        head.entry_count += 1
    count_line(head, record, held)
    if entries:
        news.changed(user_id, head.version, untold.posted, share, entries[-1])
    news.turned(user_id, target, known, now.at, untold, record, held)
    after = bonus_for_next(user_id, record, held, pin, rules)
    if before is None and after is None:
        return []
    return _bonus_messages(record.line, before, after, now, target.cause)


def _bonus_messages(
    line: str, before: Outgoing | None, after: Outgoing | None, now: Now, cause: str
) -> list[Message]:
    messages: list[Message] = []
    if before is not None and (after is None or before[:2] != after[:2]):
        to, chain, _, line_version = before
        messages.append(BonusTarget(to, line, chain, now.offset, line_version, None, cause))
    if after is not None and (before is None or before[:3] != after[:3]):
        to, chain, terms, line_version = after
        messages.append(BonusTarget(to, line, chain, now.offset, line_version, terms, cause))
    return messages
