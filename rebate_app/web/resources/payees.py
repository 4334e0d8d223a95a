"""Payees over HTTP: sealed by the owner of the user's partition, shown masked (docs/payouts.md#payees)."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from aiokafka.errors import KafkaError
from msgspec import Struct

from rebate_app.domain.faults import UNKNOWN_MEMBER, Fault
from rebate_app.domain.money_out.money_records import MoneySummary
from rebate_app.metrics.catalogue import AUDIT_TRAIL_RECORDS
from rebate_app.payouts.payees.book import (
    PAYEES_MAX,
    FollowedPayeesError,
    PayeeBook,
    TooManyPayeesError,
)
from rebate_app.payouts.payees.masking import mask_account, mask_name
from rebate_app.payouts.ports import Payee
from rebate_app.streams.errors import StreamsError
from rebate_app.streams.task.owner_writes import WriteDroppedError
from rebate_app.streams.transaction.collector import OutgoingRecord
from rebate_app.wire.moments import MILLISECOND_US
from tables.money_out import SUMMARY, WITHDRAWAL

from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..problems import ProblemError, broker_away, not_ready, refused
from ..request_params import user_id_of, written_user_id_of
from ..routing.forwarding import ACCOUNTS
from ..routing.owner_command import OwnerCommand
from ..routing.peer_rpc import PartitionRequest
from ..routing.ports import Local, MaskedPayee
from .writes import body_of, members_of, owned, trail_of

CREATED: Final = 201
TRAIL_PARTITION: Final = 0
ACCOUNT_CHARACTERS_MAX: Final = 128
NAME_CHARACTERS_MAX: Final = 64
MEMBERS: Final = ("user_id", "channel", "account", "name")
ADD, LIST, FORGET, ROTATE = "add", "list", "forget", "rotate"
READ_SECONDS_MAX: Final = 3.0
READ_POLL_SECONDS: Final = 0.05
FOLLOWED: Final = "another app has the turn, and keeps the payees (rebate payouts status names it)"


class PayeesRequest(PartitionRequest, frozen=True):
    """What is to be done with payees of a partition; `payee` for `add`, `payee_id` for `forget`.

    `trail`: the request's record of the audit trail, for the transaction that changes a payee.
    """

    action: str
    user_id: str = ""
    payee_id: str = ""
    payee: Payee | None = None
    trail: tuple[tuple[bytes, bytes], ...] = ()


class PayeesResponse(Struct, frozen=True):
    """The payees that the user has now, masked; `refusal`: the code for which nothing was done.

    `recorded`: a payee was changed, and the trail has its record.
    """

    items: list[dict[str, str]] = []
    refusal: str = ""
    forgotten: bool = False
    rotated: int = 0
    unreadable: int = 0
    recorded: bool = False


async def do_payees(context: RequestContext, local: Local, request: PayeesRequest) -> PayeesResponse:
    """Carry out what is asked of the owner."""
    book = await _book_soon(context, local.partition)
    at_ms = context.clock() // MILLISECOND_US
    trail = [
        OutgoingRecord(context.topics.audit_trail, key, value, at_ms, (), TRAIL_PARTITION)
        for key, value in request.trail
    ]
    try:
        if request.action == ROTATE:
            rotated, unreadable = await book.rotate()
            return PayeesResponse(rotated=rotated, unreadable=unreadable)
        if request.action == ADD and request.payee is not None:
            payee_id = await book.add(request.user_id, request.payee, trail)
            return PayeesResponse([_item(payee_id, request.payee)], recorded=not trail)
        if request.action == FORGET:
            if _is_in_use(local, request.user_id, request.payee_id):
                return PayeesResponse(refusal="payee-in-use")
            forgotten = await book.forget(request.user_id, request.payee_id, trail)
            return PayeesResponse(forgotten=forgotten, recorded=not trail)
    except TooManyPayeesError:
        return PayeesResponse(refusal="too-many-payees")
    except WriteDroppedError as error:
        raise not_ready(str(error)) from error
    except FollowedPayeesError as error:
        raise not_ready(FOLLOWED) from error
    except (KafkaError, StreamsError, OSError, TimeoutError) as error:
        raise broker_away("whether the payee was written is not known; send the same again") from error
    return PayeesResponse([_item(*each) for each in book.list(request.user_id)])


PAYEES: Final = OwnerCommand("payees", ACCOUNTS, PayeesRequest, PayeesResponse, do_payees)


async def post_payee(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `POST /v1/users/{user_id}/payees`: 201 with the payee, masked; again, with the same id."""
    user_id = written_user_id_of(request)
    payee = _checked(context, owned(await body_of(request), "user_id", user_id))
    partition = context.placement.partition_of(user_id)
    trail = tuple(trail_of(request).encoded())
    wanted = PayeesRequest(partition, ADD, user_id, payee=payee, trail=trail)
    response = await _changed(context, request, wanted)
    if response.refusal:
        raise ProblemError(response.refusal, f"a user has at most {PAYEES_MAX} payees")
    return json_response(response.items[0], CREATED)


async def read_payees(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/users/{user_id}/payees`; 404 `unknown-channel` where no channel is configured."""
    user_id = user_id_of(request)
    _check_configured(context)
    wanted = PayeesRequest(context.placement.partition_of(user_id), LIST, user_id)
    response = await PAYEES.call(context, wanted, request.request_id)
    return json_response({"items": response.items})


async def delete_payee(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `DELETE /v1/users/{user_id}/payees/{payee_id}`: 200 also for one that is not there; 404, 409."""
    user_id = written_user_id_of(request)
    _check_configured(context)
    partition = context.placement.partition_of(user_id)
    trail = tuple(trail_of(request).encoded())
    wanted = PayeesRequest(partition, FORGET, user_id, request.params["payee_id"], trail=trail)
    response = await _changed(context, request, wanted)
    if response.refusal:
        raise ProblemError(response.refusal, "an open withdrawal of the user names it")
    return json_response({"payee_id": request.params["payee_id"], "forgotten": response.forgotten})


async def post_rotate(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `POST /v1/payees/rotate`: every owner seals its payees with the first key.

    Each partition is a transaction of its own, so the request is recorded before the first of them.
    """
    await members_of(request)
    _check_configured(context)
    await trail_of(request).begin()
    rotated = unreadable = 0
    for partition in range(context.placement.partitions):
        response = await PAYEES.call(context, PayeesRequest(partition, ROTATE), request.request_id)
        rotated += response.rotated
        unreadable += response.unreadable
    return json_response({"rotated": rotated, "unreadable": unreadable})


async def _changed(context: RequestContext, request: HttpRequest, wanted: PayeesRequest) -> PayeesResponse:
    """Have the owner change a payee, and record the request, in one transaction."""
    response = await PAYEES.call(context, wanted, request.request_id)
    if response.recorded:
        trail_of(request).taken([])
        context.metrics.add(AUDIT_TRAIL_RECORDS, ("written",))
    return response


class HeldPayees:
    """The payees of the partitions that this worker owns (implements the port Payees)."""

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    def find(self, partition: int, user_id: str, payee_id: str) -> MaskedPayee | None:
        """Return a user's payee, masked; ProblemError `not-ready` while they are being read."""
        if self._context.payouts is None or not self._context.payouts.desk.channels:
            return None
        book = self._context.payouts.readable_book(partition)
        if book is None:
            raise not_ready("the payees of the partition are being read")
        payee = book.find(user_id, payee_id)
        return None if payee is None else MaskedPayee(payee.channel, *_masked(payee))


def _check_configured(context: RequestContext) -> None:
    """Raise ProblemError on a worker without channels, which keeps no payees."""
    if context.payouts is None or not context.payouts.desk.channels:
        raise ProblemError("unknown-channel", "this worker keeps no payees: REBATE_CHANNELS names no channel")


async def _book_soon(context: RequestContext, partition: int) -> PayeeBook:
    """Return the payees of a partition, which are read when it is taken over or the turn begins."""
    until = time.monotonic() + READ_SECONDS_MAX
    while True:
        try:
            return _book(context, partition)
        except ProblemError:
            if context.payouts is None or time.monotonic() >= until:
                raise
        await asyncio.sleep(READ_POLL_SECONDS)


def _book(context: RequestContext, partition: int) -> PayeeBook:
    if context.payouts is None:
        raise not_ready("this worker keeps no payees: REBATE_CHANNELS is not set")
    book = context.payouts.books().get(partition)
    if book is None:
        raise not_ready("the payees of the partition are being read")
    return book


def _is_in_use(local: Local, user_id: str, payee_id: str) -> bool:
    """Whether an open withdrawal names the payee."""
    summary = SUMMARY.read(local.store, SUMMARY.key(user_id)) or MoneySummary()
    named = (WITHDRAWAL.read(local.store, WITHDRAWAL.key(user_id, own_id)) for own_id in summary.open)
    return any(each is not None and each.payee_id == payee_id for each in named)


def _masked(payee: Payee) -> tuple[str, str]:
    return mask_account(payee.account), mask_name(payee.name)


def _item(payee_id: str, payee: Payee) -> dict[str, str]:
    account, name = _masked(payee)
    return {"payee_id": payee_id, "channel": payee.channel, "account": account, "name": name}


def _checked(context: RequestContext, document: dict[str, Any]) -> Payee:
    """Return the payee of a body; ProblemError 422 that names each bad member and repeats none."""
    channel, account, name = document.get("channel"), document.get("account"), document.get("name", "")
    known = {} if context.payouts is None else context.payouts.desk.channels
    faults = [Fault(UNKNOWN_MEMBER, each, "no such member") for each in document if each not in MEMBERS]
    if not isinstance(channel, str) or channel not in known:
        faults.append(Fault("unknown-channel", "channel", "no channel of this name is configured"))
    if not _is_text(account, 1, ACCOUNT_CHARACTERS_MAX):
        detail = f"account is printable text of 1-{ACCOUNT_CHARACTERS_MAX} characters"
        faults.append(Fault("invalid-account", "account", detail))
    if not _is_text(name, 0, NAME_CHARACTERS_MAX):
        detail = f"name is printable text of at most {NAME_CHARACTERS_MAX} characters"
        faults.append(Fault("invalid-name", "name", detail))
    if faults:
        raise refused([("", fault) for fault in faults])
    return Payee(str(channel), str(account), str(name))


def _is_text(value: object, least: int, most: int) -> bool:
    return isinstance(value, str) and least <= len(value) <= most and value.isprintable()
