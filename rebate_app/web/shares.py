"""Who gets what of a line: asked of each beneficiary's owner in turn, each maybe on another worker.

Law: the shares are those that the accounts hold; an inviter whose owner cannot be asked is listed as
unavailable, and nobody behind them is known then (contracts.md 4). It is separate because it walks from
log to log: line → attribution id → buyer → inviter → inviter.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from rebate_app.domain.account import (
    AccountLine,
    Contribution,
    Pin,
    bonus_for_next,
    chain_of,
    known_pin,
)
from rebate_app.domain.attribution import is_attribution_id
from rebate_app.domain.balance import line_buckets
from rebate_app.domain.rules import INVITER_LEVELS_MAX, RuleBook, RuleVersion
from tables.accounts import ID_LINE, LINE

from .api import Desk
from .owners import ACCOUNTS, PartitionAsked, Question
from .peers import UnreachableError
from .ports import Local
from .problems import not_ready
from .share_words import Priced, reason_of, share_sentences

SUSPENSE = "suspense"


class ShareAsked(PartitionAsked, frozen=True):
    """Ask what this user gets of the line through this chain of inviters, on that day."""

    user_id: str
    line: str
    chain: tuple[str, ...]
    day: int


class ShareTold(Struct, frozen=True):
    """The share; `found` false: the line is not this user's through that chain (any more, or not yet)."""

    found: bool
    line_version: int = -1
    level: str | None = None
    bps: int = 0
    rule: str | None = None
    reason: str | None = None
    estimated: int = 0
    confirmed: int = 0
    available: int = 0
    held: int = 0
    inviter: str | None = None
    says: tuple[str, ...] = ()


class ForwardedAsked(PartitionAsked, frozen=True):
    """Ask to whom this attribution id forwards the line."""

    attribution_id: str
    line: str


class ForwardedTold(Struct, frozen=True):
    """The user and why; None while the line is in suspense."""

    user_id: str | None
    by: str
    line_version: int


def tell_share(desk: Desk, local: Local, asked: ShareAsked) -> ShareTold:
    """Answer from the user's own records."""
    record = LINE.read(local.store, LINE.key(asked.user_id, asked.line))
    effective = None if record is None else record.effective()
    if record is None or effective is None or chain_of(effective[0]) != asked.chain:
        return ShareTold(found=False)
    line_version = effective[1].line_version
    pin = known_pin(record, effective)
    if pin is None:  # never paid, as far as anybody said
        return ShareTold(found=True, line_version=line_version, reason="worthless")
    priced = _priced(desk.rules, record, effective[1], pin, asked)
    following = bonus_for_next(asked.user_id, record, effective, pin, desk.rules)
    return ShareTold(
        found=True,
        line_version=line_version,
        level=pin.level or None,
        bps=priced.bps,
        rule=pin.rule,
        reason=reason_of(priced, asked.day),
        **line_buckets(record.posted, asked.day),
        inviter=None if following is None else following[0],
        says=tuple(share_sentences(priced, asked.day)),
    )


def _priced(
    rules: RuleBook, record: AccountLine, contribution: Contribution, pin: Pin, asked: ShareAsked
) -> Priced:
    rule = None if pin.rule is None else rules.named(pin.rule)
    bps = 0 if rule is None else _bps(rule, pin.level, asked)
    return Priced(asked.user_id, asked.chain, contribution, pin, rule, bps, record.posted)


def _bps(rule: RuleVersion, level: str, asked: ShareAsked) -> int:
    if asked.chain:
        return rule.inviter_share_bps(len(asked.chain), level)
    return rule.level(level).share_bps(asked.line.partition(":")[0])


def tell_forwarded(desk: Desk, local: Local, asked: ForwardedAsked) -> ForwardedTold:
    """Answer from the attribution id's own records."""
    del desk
    record = ID_LINE.read(local.store, ID_LINE.key(asked.attribution_id, asked.line))
    if record is None:
        return ForwardedTold(None, "", -1)
    return ForwardedTold(record.forwarded_to, record.by, record.line_version)


SHARE = Question("share", ACCOUNTS, ShareAsked, ShareTold, tell_share)
FORWARDED = Question("forwarded", ACCOUNTS, ForwardedAsked, ForwardedTold, tell_forwarded)


class Share(Struct, frozen=True):
    """One beneficiary; `told` None: the owner of the account cannot be asked."""

    user_id: str
    depth: int
    told: ShareTold | None

    def members(self) -> dict[str, Any]:
        """Return the share as the answer says it; amounts in fen."""
        told = self.told
        if told is None:
            return {"user_id": self.user_id, "depth": self.depth, "unavailable": True}
        return {
            "user_id": self.user_id,
            "depth": self.depth,
            "level": told.level,
            "bps": told.bps,
            "estimated": told.estimated,
            "confirmed": told.confirmed,
            "available": told.available,
            "held": told.held,
            "reason": told.reason,
        }

    @property
    def total(self) -> int:
        """Return the whole share in fen, whatever bucket it is in."""
        told = self.told
        return 0 if told is None else told.estimated + told.confirmed + told.available + told.held


class Collected(Struct, frozen=True):
    """Whose line it is, and every share of it, buyer first; `visible`: the owner's account holds the line."""

    user_id: str | None
    by: str
    attribution_id: str | None
    shares: list[Share]
    visible: bool


async def collect(desk: Desk, line: str, sent: tuple[str, int, str], day: int, request_id: str) -> Collected:
    """Return all shares of a line that was sent as (log, offset, by); `not-ready` when its owner is away."""
    key, version, by = sent
    attribution_id: str | None = None
    buyer, arrived = key, True
    try:
        if is_attribution_id(key):
            attribution_id = key
            partition = desk.placement.partition_of(key)
            forwarded = await FORWARDED.ask(desk, ForwardedAsked(partition, key, line), request_id)
            arrived = forwarded.line_version >= version
            if forwarded.user_id is None:
                return Collected(None, SUSPENSE, attribution_id, [], visible=arrived)
            buyer, by, version = forwarded.user_id, forwarded.by, forwarded.line_version
        first = await _ask_share(desk, line, buyer, (), day, request_id)
    except UnreachableError as error:
        raise not_ready(f"the owner of the line's account: {error}") from error
    if not first.found:
        return Collected(buyer, by, attribution_id, [], visible=False)
    shares = [Share(buyer, 0, first)]
    await _collect_inviters(desk, line, shares, day, request_id)
    return Collected(buyer, by, attribution_id, shares, arrived and first.line_version >= version)


async def _collect_inviters(desk: Desk, line: str, shares: list[Share], day: int, request_id: str) -> None:
    for depth in range(1, INVITER_LEVELS_MAX + 1):
        told = shares[-1].told
        inviter = None if told is None else told.inviter
        if inviter is None:
            return
        chain = tuple(share.user_id for share in shares)
        try:
            bonus = await _ask_share(desk, line, inviter, chain, day, request_id)
        except UnreachableError:
            shares.append(Share(inviter, depth, None))
            return
        if not bonus.found:  # on its way
            return
        shares.append(Share(inviter, depth, bonus))


async def _ask_share(
    desk: Desk, line: str, user_id: str, chain: tuple[str, ...], day: int, request_id: str
) -> ShareTold:
    asked = ShareAsked(desk.placement.partition_of(user_id), user_id, line, chain, day)
    return await SHARE.ask(desk, asked, request_id)
