"""What is next for an open withdrawal: attempt, query, or wait; and what an answer of its service means.

The rules under which money leaves at most once (docs/payouts.md#rules). Everything here is a function
of the withdrawal's record, of what this worker has seen since it took the partition over, and of the time.
Moments named `*_mono_us` are of the worker's own monotonic clock, since no other may be trusted: a clock that
is wrong must not make "not found" believable. Others are µs since 1970.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from . import answers, states
from .answers import ChannelAnswer
from .withdrawal import Withdrawal

SECOND_US: Final = 1_000_000
HOUR_US: Final = 3_600 * SECOND_US
DAY_US: Final = 24 * HOUR_US
#: After the call, or after this worker took over; then hourly.
QUERIES_AFTER_US: Final = tuple(seconds * SECOND_US for seconds in (1, 5, 30, 120, 600))
#: Paid and failed ones are queried once a day, for so long: services take payouts back.
SETTLED_FOR_US: Final = 7 * DAY_US
#: A call is made within so long of its attempt's `at`, or not at all.
SEND_WITHIN_US: Final = 10 * SECOND_US

SENT_STATES: Final = frozenset({states.SENDING, states.NEEDS_USER})
SETTLED_STATES: Final = frozenset({states.PAID, states.FAILED})
#: States in which the service is queried.
QUERIED_STATES: Final = SENT_STATES | SETTLED_STATES | {states.STUCK}

# Why no attempt is written now.
BLOCKED: Final = "blocked"
PARKED: Final = "parked"
CHANNEL_MISSING: Final = "channel-missing"
CHANNEL_NOT_OPEN: Final = "channel-not-open"
COVERS_NOT: Final = "covers-not"
PAYEE_MISSING: Final = "payee-missing"
NOT_APPROVED: Final = "not-approved"
HOLD_REASONS: Final = (
    BLOCKED,
    PARKED,
    CHANNEL_MISSING,
    CHANNEL_NOT_OPEN,
    COVERS_NOT,
    PAYEE_MISSING,
    NOT_APPROVED,
)


class ChannelTerms(Struct, frozen=True):
    """What holds of a channel now: its `identity` (port.py), and how far its memory may be trusted."""

    identity: str
    not_found_after_us: int
    remembers_us: int


class Conditions(Struct, frozen=True):
    """What an attempt depends on beside the withdrawal; `terms` None: the channel is not configured."""

    terms: ChannelTerms | None
    is_open: bool
    blocked: bool
    parked: bool
    available: int
    has_payee: bool


class Watched(Struct):
    """What this worker has seen of one withdrawal since it took the partition over.

    `since_mono_us`: it sent, or folded the newest attempt, or took over, whatever came last. `queries` counts
    those since then; `last_query_mono_us` is the last one. `prompted`: a callback came.
    """

    since_mono_us: int
    queries: int = 0
    last_query_mono_us: int | None = None
    prompted: bool = False


class Verdict(Struct, frozen=True):
    """What an answer means: the result to write, and what else follows from it.

    `status` "" writes nothing. `sends_again`: the same number is sent as the next attempt. `pauses`: the
    channel stops sending. `is_unclear`: it has to be queried again.
    """

    status: str = ""
    code: str = ""
    channel_ref: str = ""
    needs_user_url: str = ""
    sends_again: bool = False
    pauses: bool = False
    is_unclear: bool = False


NOTHING: Final = Verdict()
REMAINS_UNCLEAR: Final = Verdict(is_unclear=True)


def next_attempt(withdrawal: Withdrawal) -> int:
    """Return the number of the next legal attempt."""
    last = withdrawal.last_attempt
    return 1 if last is None else last.attempt + 1


def hold(withdrawal: Withdrawal, conditions: Conditions, *, sends_again: bool = False) -> str:
    """Return why no attempt may be written now, "" if one may.

    An attempt is legal while the withdrawal is approved or, after a "not found" that is believed, sending.
    """
    legal = {states.APPROVED} | (SENT_STATES if sends_again else set())
    reasons = (
        (withdrawal.state not in legal, NOT_APPROVED),
        (conditions.terms is None, CHANNEL_MISSING),
        (conditions.blocked, BLOCKED),
        (conditions.parked, PARKED),
        (not conditions.is_open, CHANNEL_NOT_OPEN),
        (conditions.available < 0, COVERS_NOT),
        (not conditions.has_payee, PAYEE_MISSING),
    )
    return next((reason for applies, reason in reasons if applies), "")


def may_send(attempt_at_us: int, now_us: int) -> bool:
    """Whether a call may still be made for an attempt; its signature is as old as the attempt."""
    return -SECOND_US <= now_us - attempt_at_us <= SEND_WITHIN_US


def query_due(withdrawal: Withdrawal, watched: Watched, now_us: int, now_mono_us: int) -> int | None:
    """Return when the service is to be queried next, on the monotonic clock; None: never."""
    if withdrawal.state not in QUERIED_STATES or not withdrawal.attempts:
        return now_mono_us if watched.prompted and withdrawal.attempts else None
    if watched.prompted:
        return now_mono_us
    if withdrawal.state in SETTLED_STATES:
        return _settled_due(withdrawal, watched, now_us, now_mono_us)
    every_us = DAY_US if withdrawal.state == states.STUCK else HOUR_US
    first = QUERIES_AFTER_US[:1] if withdrawal.state == states.STUCK else QUERIES_AFTER_US
    if watched.queries < len(first):
        return watched.since_mono_us + first[watched.queries]
    return (watched.last_query_mono_us or watched.since_mono_us) + every_us


def _settled_due(withdrawal: Withdrawal, watched: Watched, now_us: int, now_mono_us: int) -> int | None:
    settled_at = withdrawal.updated_at
    if now_us > settled_at + SETTLED_FOR_US:
        return None
    if watched.last_query_mono_us is not None and watched.last_query_mono_us >= watched.since_mono_us:
        return watched.last_query_mono_us + DAY_US
    return now_mono_us + max(0, settled_at + DAY_US - now_us)


def judge(
    withdrawal: Withdrawal,
    answer: ChannelAnswer,
    terms: ChannelTerms,
    watched: Watched,
    now_us: int,
    now_mono_us: int,
    *,
    is_query: bool,
) -> Verdict:
    """Return what an answer about the newest attempt means; `is_query`: to a query, not to the call itself.

    `now_*` is when the query or the call was made.
    """
    outcome = answer.outcome
    if outcome == answers.MISMATCH:
        return _mismatch(withdrawal)
    if outcome == answers.NOT_FOUND:
        return _not_found(withdrawal, terms, watched, now_us, now_mono_us)
    if outcome == answers.UNCLEAR:
        return REMAINS_UNCLEAR
    if outcome == answers.PAYER and is_query:
        return REMAINS_UNCLEAR
    waited = now_mono_us - watched.since_mono_us > terms.not_found_after_us
    if outcome == answers.FAILED and not _may_fail(withdrawal, is_query=is_query, waited=waited):
        return REMAINS_UNCLEAR
    if _repeats(withdrawal, answer):
        return Verdict(pauses=outcome == answers.PAYER)
    return Verdict(
        status=outcome,
        code=answer.code or "",
        channel_ref=answer.channel_ref or "",
        needs_user_url=answer.needs_user_url or "",
        pauses=outcome == answers.PAYER,
    )


def _mismatch(withdrawal: Withdrawal) -> Verdict:
    """Nothing is booked; what was sent is stuck until people have looked."""
    status = "stuck" if withdrawal.state in SENT_STATES else ""
    return Verdict(status=status, code=answers.MISMATCH if status else "", pauses=True)


def _not_found(
    withdrawal: Withdrawal, terms: ChannelTerms, watched: Watched, now_us: int, now_mono_us: int
) -> Verdict:
    """Believe "not found" only where the service cannot have forgotten and nothing can be on its way."""
    if withdrawal.state not in SENT_STATES:
        return REMAINS_UNCLEAR
    first_at = withdrawal.attempts[0].at
    forgotten = withdrawal.answered or now_us - first_at >= terms.remembers_us
    elsewhere = any(attempt.channel_identity != terms.identity for attempt in withdrawal.attempts)
    if forgotten or elsewhere:
        return Verdict(status="stuck", code=answers.NOT_FOUND)
    if now_mono_us - watched.since_mono_us <= terms.not_found_after_us:
        return REMAINS_UNCLEAR
    return Verdict(sends_again=True)


def _may_fail(withdrawal: Withdrawal, *, is_query: bool, waited: bool) -> bool:
    """Whether `failed` may be written: no earlier attempt can still pay."""
    earlier = all(attempt.status for attempt in withdrawal.attempts[:-1])
    return earlier or (is_query and waited)


def _repeats(withdrawal: Withdrawal, answer: ChannelAnswer) -> bool:
    """Whether the answer states what the last result stated; an absent URL takes none away."""
    last = withdrawal.result
    newest = withdrawal.last_attempt
    if last is None or newest is None or last.attempt != newest.attempt:
        return False
    same = (last.status, last.code) == (answer.outcome, answer.code or "")
    ref, url = answer.channel_ref or last.channel_ref, answer.needs_user_url or last.needs_user_url
    return same and (ref, url) == (last.channel_ref, last.needs_user_url)
