"""The folds of a user's account (docs/spec/architecture.md#stage-2).

A fold is `(records, fact, now) -> messages`. The records are a port: a table gives views whose changes stay
invisible until the batch's transaction is committed. A repeated or late target changes nothing.
"""

from __future__ import annotations

from msgspec import UNSET

from ..facts import Profile
from ..faults import Fault
from ..messages import BonusTarget, LineTarget, Message
from ..now import Now
from ..pricing.rules import RuleBook
from .account import HEAD_FORMAT, AccountLine, Head, sender_of, take_profile, take_target
from .account_records import AccountRecords
from .events import PendingEvents, line_events
from .line_change import bonus_messages, post_line_change
from .repricing import keep_for_waiting, price_before_target, profiles_of_waiting
from .share import decide_share, known_share


def fold_profile(records: AccountRecords, fact: Profile) -> Fault | bool:
    """Fold a profile fact; lines whose terms are pinned keep their price."""
    head = records.head()
    inviters = records.profiles().inviters()
    before = profiles_of_waiting(records)
    outcome = take_profile(records.profiles(), fact)
    if outcome is True:
        if before is not None:
            keep_for_waiting(records, before)
        if head.format != HEAD_FORMAT:
            records.upgrade_head()
        head.version += 1
        records.keep_profiles(inviters)
    return outcome


def fold_target(
    user_id: str,
    records: AccountRecords,
    target: LineTarget | BonusTarget,
    now: Now,
    rules: RuleBook,
    pending_events: PendingEvents,
) -> list[Message]:
    """Fold a target: decide the line's new share, post the difference, note events, send bonuses on."""
    head = records.head()
    record = records.line(target.line) or _new_line(records, head, target.line)
    known_before = known_share(user_id, record, rules)
    before = price_before_target(user_id, records, record, known_before, rules, pending_events)
    sender = sender_of(target)
    known = record.senders.get(sender)
    cause = (target.cause, target.modified_at)
    if not take_target(record, target, sender):
        return bonus_messages(record.line, now.offset, cause, known_before.bonus, before.bonus)
    after = decide_share(user_id, record, records.profiles, rules)
    if head.format != HEAD_FORMAT:
        records.upgrade_head()
    head.version += 1
    modified_at = None if target.modified_at is UNSET else target.modified_at
    posting_cause = (now.at, target.cause, modified_at)
    post_line_change(user_id, records, record, (before, after), posting_cause, pending_events)
    if now.at >= pending_events.since:
        pending_events.lines += line_events(user_id, target, known, now.at, before, after)
    if known_before.bonus is None and after.bonus is None:
        return []
    return bonus_messages(record.line, now.offset, cause, known_before.bonus, after.bonus)


def _new_line(records: AccountRecords, head: Head, line: str) -> AccountLine:
    record = AccountLine(1, head.line_count, line)
    head.line_count += 1
    records.add_line(record)
    return record
