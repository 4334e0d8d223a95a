"""Requests to the owner of an account about money out, and waiting until a fact was folded.

The owner answers from committed records. The answer to a write is the state that came of it, or the business
refusal, which the account keeps for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec import Struct

from rebate_app.domain.money_out.money_records import MoneySummary
from rebate_app.domain.money_out.refusals import TOO_MANY_REQUESTS
from rebate_app.domain.money_out.states import REQUESTED
from rebate_app.domain.money_out.withdrawal_fold import REQUESTS_OF_DAY_MAX
from rebate_app.domain.pricing.calendar import day_of, midnight
from rebate_app.streams.failures.record_kinds import read_parked
from rebate_app.wire.facts.identifiers import path_segment
from rebate_app.wire.facts.money import with_reason
from rebate_app.wire.facts.user import check_money, encode_money
from tables.money_out import ADJUSTMENT, OPENING, SUMMARY, WITHDRAWAL

from ..context import JSON_HEADERS, HttpRequest, HttpResponse, RequestContext, json_response
from ..problems import ProblemError, not_ready, refused
from ..request_params import WAIT_MS_MAX, wait_ms_of
from ..routing.forwarding import ACCOUNTS
from ..routing.peer_client import UnreachableError
from ..routing.peer_rpc import PartitionRequest, PeerRpc
from ..routing.ports import Local
from .money_items import adjustment_item, opening_item, withdrawal_item
from .writes import ACCEPTED, send_facts

POLL_SECONDS: Final = 0.005
DAY_SECONDS: Final = 86_400
LAST_CHECK_SECONDS: Final = 0.05
WITHDRAWAL_KIND, ADJUSTMENT_KIND, OPENING_KIND, USER_KIND = "withdrawal", "adjustment", "opening", "user"
_DETAILS: Final = {
    "unknown-withdrawal": "the user has no such withdrawal",
    "unknown-adjustment": "the user has no such adjustment",
    "unknown-opening": "the user has no such opening",
    "id-reused": "the id is known with another content",
    "wrong-state": "its state does not allow that, or not yet",
    "same-actor": "another person than the one before has to do this",
    TOO_MANY_REQUESTS: "the user has as many new requests as a day allows",
}


class MoneyRequest(PartitionRequest, frozen=True):
    """How something of a user is now; `offset`: whether the log is folded up to there, -1 for no matter.

    `kind`: which kind of thing `own_id` names. `payee_id`: whether the user has this payee, "" where
    that does not matter.
    """

    user_id: str
    kind: str
    own_id: str = ""
    offset: int = -1
    payee_id: str = ""


class MoneyResponse(Struct, frozen=True):
    """The answer; `item` None: there is no such thing.

    `refusal`: the code for which the fact at the offset changed nothing. `request_offset`: of the fact that
    made a withdrawal. `payee_channel` None: the user has no such payee.
    """

    processed: bool
    parked: bool = False
    item: dict[str, Any] | None = None
    request_offset: int = -1
    refusal: str = ""
    payee_channel: str | None = None


def answer_money(context: RequestContext, local: Local, request: MoneyRequest) -> MoneyResponse:
    """Answer from the user's records."""
    store, user_id = local.store, request.user_id
    summary = SUMMARY.read(store, SUMMARY.key(user_id)) or MoneySummary()
    item, request_offset = _item(context, local, request)
    payee = context.payees.find(local.partition, user_id, request.payee_id) if request.payee_id else None
    return MoneyResponse(
        request.offset <= local.offset,
        read_parked(store, user_id) is not None,
        item,
        request_offset,
        dict(summary.refusals).get(request.offset, ""),
        None if payee is None else payee.channel,
    )


def _item(context: RequestContext, local: Local, request: MoneyRequest) -> tuple[dict[str, Any] | None, int]:
    store, user_id = local.store, request.user_id
    if request.kind == WITHDRAWAL_KIND:
        withdrawal = WITHDRAWAL.read(store, WITHDRAWAL.key(user_id, request.own_id))
        if withdrawal is None:
            return None, -1
        payee = context.payees.find(local.partition, user_id, withdrawal.payee_id)
        return withdrawal_item(user_id, withdrawal, payee), withdrawal.request_offset
    if request.kind == ADJUSTMENT_KIND:
        adjustment = ADJUSTMENT.read(store, ADJUSTMENT.key(user_id, request.own_id))
        return (None if adjustment is None else adjustment_item(user_id, adjustment)), -1
    if request.kind == OPENING_KIND:
        opening = OPENING.read(store, OPENING.key(user_id, request.own_id))
        return (None if opening is None else opening_item(user_id, opening)), -1
    summary = SUMMARY.read(store, SUMMARY.key(user_id)) or MoneySummary()
    return {"user_id": user_id, "blocked": summary.blocked}, -1


MONEY = PeerRpc("money", ACCOUNTS, MoneyRequest, MoneyResponse, answer_money)


async def request_money(context: RequestContext, request: HttpRequest, wanted: MoneyRequest) -> MoneyResponse:
    """Return the owner's answer; ProblemError `not-ready`."""
    try:
        return await MONEY.call(context, wanted, request.request_id)
    except UnreachableError as error:
        raise not_ready(str(error)) from error


class Written(Struct, frozen=True):
    """What came of a fact: the last answer about it, and whether that is final."""

    response: MoneyResponse
    offset: int
    in_time: bool


async def write_and_wait(
    context: RequestContext, request: HttpRequest, kind: str, document: dict[str, Any], wanted: MoneyRequest
) -> Written:
    """Check a fact, send it, and wait until the owner has folded it, and decided a request.

    One that needs no reason may lack it.
    ProblemError with every fault of the body, with the business refusal, or `broker-away`.
    """
    wait_ms = wait_ms_of(request)
    document = with_reason(kind, document)
    check_body(request, kind, document)
    record = encode_money(kind, document, request.requester)
    ((partition, offset),) = await send_facts(context, request, context.topics.user_log, [record])
    folded_request = MoneyRequest(partition, wanted.user_id, wanted.kind, wanted.own_id, offset)
    last = MoneyResponse(processed=False)

    async def look() -> bool:
        nonlocal last
        try:
            last = await MONEY.call(context, folded_request, request.request_id, LAST_CHECK_SECONDS * 10)
        except UnreachableError:
            return False
        undecided = last.item is not None and last.item.get("state") == REQUESTED
        return last.processed and (bool(last.refusal) or not undecided)

    wait_seconds = (WAIT_MS_MAX if wait_ms is None else wait_ms) / 1_000
    in_time = await context.wait_slots.visible(lambda: _until(look, wait_seconds))
    if in_time and last.refusal:
        raise _refusal(context, last.refusal)
    return Written(last, offset, in_time)


def _refusal(context: RequestContext, code: str) -> ProblemError:
    """Return the problem of a business refusal; a day's limit ends at midnight in Shanghai."""
    if code != TOO_MANY_REQUESTS:
        return ProblemError(code, _DETAILS[code])
    now = context.clock()
    seconds = (midnight(day_of(now) + 1) - now) // 1_000_000 + 1
    headers = {
        "Retry-After": str(seconds),
        "RateLimit": f'"withdrawals";r=0;t={seconds}',
        "RateLimit-Policy": f'"withdrawals";q={REQUESTS_OF_DAY_MAX};w={DAY_SECONDS}',
    }
    return ProblemError(code, _DETAILS[code], headers=headers)


async def _until(look: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Look again and again, at least once; return whether it was so within the time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not await look():
        left = deadline - loop.time()
        if left <= 0:
            return False
        await asyncio.sleep(min(left, POLL_SECONDS))
    return True


def check_body(request: HttpRequest, kind: str, document: dict[str, Any]) -> None:
    """Check a fact as it will be sent; ProblemError with every fault."""
    verdict = check_money(kind, document, request.caller.actor)
    if isinstance(verdict, list):
        raise refused([("", fault) for fault in verdict])


def accepted(members: dict[str, Any], location: str) -> HttpResponse:
    """Return the 202: the fact is in the log, and what comes of it will be found at the location."""
    return json_response(members, ACCEPTED, JSON_HEADERS | {"Location": location})


def place_of_withdrawal(user_id: str, own_id: str) -> str:
    """Return the path of a withdrawal."""
    return f"/v1/users/{path_segment(user_id)}/withdrawals/{path_segment(own_id)}"


def unknown(kind: str) -> ProblemError:
    """Return the 404."""
    code = f"unknown-{kind}"
    return ProblemError(code, _DETAILS[code])
