"""The shares of an order line, from the accounts that posted them (docs/spec/http.md#order-line).

The owner of each beneficiary's account answers for it, in the order line → attribution id → buyer → inviter →
inviter. An inviter whose owner cannot be reached is listed as unavailable, and ends the list.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from rebate_app.domain.account.account import (
    CHAIN_SEPARATOR,
    NOT_REPRICED,
    AccountLine,
    Contribution,
    PricingTerms,
    chain_of,
)
from rebate_app.domain.account.balance import line_buckets
from rebate_app.domain.account.repricing import past_repricing
from rebate_app.domain.account.share import bonus_for_next, known_pricing
from rebate_app.domain.order.attribution import is_attribution_id
from rebate_app.domain.pricing.catalogue import VersionNotReadError
from rebate_app.domain.pricing.rules import INVITER_LEVELS_MAX, RuleBook, RuleVersion
from tables.accounts import ID_LINE, LINE, REPRICINGS

from ..context import RequestContext
from ..problems import not_ready
from ..routing.forwarding import ACCOUNTS
from ..routing.peer_client import UnreachableError
from ..routing.peer_rpc import PartitionRequest, PeerRpc
from ..routing.ports import Local
from .share_explanation import Priced, reason_of, repriced_sentence, share_sentences

SUSPENSE = "suspense"


class ShareRequest(PartitionRequest, frozen=True):
    """What this user gets of the line through this chain of inviters, on that day."""

    user_id: str
    line: str
    chain: tuple[str, ...]
    day: int


class ShareResponse(Struct, frozen=True):
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
    sentences: tuple[str, ...] = field(default=(), name="says")


class ForwardedRequest(PartitionRequest, frozen=True):
    """To which user this attribution id forwards the line."""

    attribution_id: str
    line: str


class ForwardedResponse(Struct, frozen=True):
    """The user and why; None while the line is in suspense."""

    user_id: str | None
    by: str
    line_version: int


def answer_share(context: RequestContext, local: Local, request: ShareRequest) -> ShareResponse:
    """Answer from the user's own records."""
    record = LINE.read(local.store, LINE.key(request.user_id, request.line))
    effective = None if record is None else record.effective()
    if record is None or effective is None or chain_of(effective[0]) != request.chain:
        return ShareResponse(found=False)
    line_version = effective[1].line_version
    pricing = known_pricing(record, effective)
    if pricing is None:  # no fact says that it was paid
        return ShareResponse(found=True, line_version=line_version, reason="worthless")
    book = context.rules.book
    try:
        priced = _priced(book, record, effective[1], pricing, request)
        following = bonus_for_next(request.user_id, record, effective, pricing, book)
    except VersionNotReadError as error:  # a standby may be ahead of what this worker has read of the rules
        raise not_ready(str(error)) from error
    return ShareResponse(
        found=True,
        line_version=line_version,
        level=pricing.level or None,
        bps=priced.bps,
        rule=pricing.rule,
        reason=reason_of(priced, request.day),
        **line_buckets(record.posted, request.day),
        inviter=None if following is None else following[0],
        sentences=(*share_sentences(priced, request.day), *_repricing_sentences(local, record, request)),
    )


def _repricing_sentences(local: Local, record: AccountLine, request: ShareRequest) -> list[str]:
    """Return why the terms of the share are not those of the line's arrival, if it was repriced."""
    chain = CHAIN_SEPARATOR.join(request.chain)
    if record.repriced_at(chain) == NOT_REPRICED:
        return []
    if chain:
        return [repriced_sentence(request.user_id, None)]
    repricings = REPRICINGS.read(local.store, REPRICINGS.key(request.user_id))
    past = None if repricings is None else past_repricing(repricings, record)
    return [repriced_sentence(request.user_id, past)]


def _priced(
    rules: RuleBook,
    record: AccountLine,
    contribution: Contribution,
    pricing: PricingTerms,
    request: ShareRequest,
) -> Priced:
    rule = None if pricing.rule is None else rules.named(pricing.rule)
    bps = 0 if rule is None else _bps(rule, pricing.level, request)
    return Priced(request.user_id, request.chain, contribution, pricing, rule, bps, record.posted)


def _bps(rule: RuleVersion, level: str, request: ShareRequest) -> int:
    if request.chain:
        return rule.inviter_share_bps(len(request.chain), level)
    return rule.level(level).share_bps(request.line.partition(":")[0])


def answer_forwarded(context: RequestContext, local: Local, request: ForwardedRequest) -> ForwardedResponse:
    """Answer from the attribution id's own records."""
    del context
    record = ID_LINE.read(local.store, ID_LINE.key(request.attribution_id, request.line))
    if record is None:
        return ForwardedResponse(None, "", -1)
    return ForwardedResponse(record.forwarded_to, record.by, record.line_version)


SHARE = PeerRpc("share", ACCOUNTS, ShareRequest, ShareResponse, answer_share)
FORWARDED = PeerRpc("forwarded", ACCOUNTS, ForwardedRequest, ForwardedResponse, answer_forwarded)


class Share(Struct, frozen=True):
    """One beneficiary; `response` is None while the owner of the account cannot be reached."""

    user_id: str
    depth: int
    response: ShareResponse | None

    def members(self) -> dict[str, Any]:
        """Return the JSON members of the share; amounts in fen."""
        share = self.response
        if share is None:
            return {"user_id": self.user_id, "depth": self.depth, "unavailable": True}
        return {
            "user_id": self.user_id,
            "depth": self.depth,
            "level": share.level,
            "bps": share.bps,
            "estimated": share.estimated,
            "confirmed": share.confirmed,
            "available": share.available,
            "held": share.held,
            "reason": share.reason,
        }

    @property
    def total(self) -> int:
        """Return the whole share in fen, whatever bucket it is in."""
        share = self.response
        return 0 if share is None else share.estimated + share.confirmed + share.available + share.held


class LineShares(Struct, frozen=True):
    """Whose line it is, and every share of it, buyer first; `visible`: the owner's account holds the line."""

    user_id: str | None
    by: str
    attribution_id: str | None
    shares: list[Share]
    visible: bool


async def collect_shares(
    context: RequestContext, line: str, sent: tuple[str, int, str], day: int, request_id: str
) -> LineShares:
    """Return all shares of a line that was sent as (log, offset, by); `not-ready` when its owner is away."""
    key, version, by = sent
    attribution_id: str | None = None
    buyer, arrived = key, True
    try:
        if is_attribution_id(key):
            attribution_id = key
            partition = context.placement.partition_of(key)
            forwarded = await FORWARDED.call(context, ForwardedRequest(partition, key, line), request_id)
            arrived = forwarded.line_version >= version
            if forwarded.user_id is None:
                return LineShares(None, SUSPENSE, attribution_id, [], visible=arrived)
            buyer, by, version = forwarded.user_id, forwarded.by, forwarded.line_version
        first = await _ask_share(context, line, buyer, (), day, request_id)
    except UnreachableError as error:
        raise not_ready(f"the owner of the line's account: {error}") from error
    if not first.found:
        return LineShares(buyer, by, attribution_id, [], visible=False)
    shares = [Share(buyer, 0, first)]
    await _collect_inviters(context, line, shares, day, request_id)
    return LineShares(buyer, by, attribution_id, shares, arrived and first.line_version >= version)


async def _collect_inviters(
    context: RequestContext, line: str, shares: list[Share], day: int, request_id: str
) -> None:
    for depth in range(1, INVITER_LEVELS_MAX + 1):
        last = shares[-1].response
        inviter = None if last is None else last.inviter
        if inviter is None:
            return
        chain = tuple(share.user_id for share in shares)
        try:
            bonus = await _ask_share(context, line, inviter, chain, day, request_id)
        except UnreachableError:
            shares.append(Share(inviter, depth, None))
            return
        if not bonus.found:  # not there yet
            return
        shares.append(Share(inviter, depth, bonus))


async def _ask_share(
    context: RequestContext, line: str, user_id: str, chain: tuple[str, ...], day: int, request_id: str
) -> ShareResponse:
    request = ShareRequest(context.placement.partition_of(user_id), user_id, line, chain, day)
    return await SHARE.call(context, request, request_id)
