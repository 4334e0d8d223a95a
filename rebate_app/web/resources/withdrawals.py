"""Withdrawals over HTTP: request, look, approve, reject, cancel, resolve, confirm.

See docs/money-out.md#over-http. A request is checked, sent to the user's log, and decided there; the answer
waits for the decision. A repeat is answered from the records, whatever became of the first one.
"""

from __future__ import annotations

from typing import Any, Final

from rebate_app.domain.faults import Fault
from rebate_app.domain.money_out.states import REFUSED, REQUESTED
from rebate_app.wire.facts.money import (
    OWN_ID_RULE,
    WITHDRAWAL_APPROVE,
    WITHDRAWAL_CANCEL,
    WITHDRAWAL_CONFIRM,
    WITHDRAWAL_REJECT,
    WITHDRAWAL_REQUEST,
    WITHDRAWAL_RESOLVE,
    match_own_id,
)
from rebate_app.wire.facts.user import check_money
from tables.money_out import SUMMARY, WITHDRAWAL, WITHDRAWAL_ID

from ..context import Handler, HttpRequest, HttpResponse, RequestContext, json_response
from ..problems import ProblemError, ProblemKind, refused
from ..request_params import user_id_of, written_user_id_of
from ..routing.forwarding import ACCOUNTS, records_or_response
from .account_lists import list_page
from .money_items import withdrawal_item
from .money_requests import (
    WITHDRAWAL_KIND,
    MoneyRequest,
    MoneyResponse,
    Written,
    accepted,
    place_of_withdrawal,
    request_money,
    unknown,
    write_and_wait,
)
from .writes import body_of, note_reason, owned

CREATED: Final = 201
OK: Final = 200
UNPROCESSABLE: Final = 422
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
DECIDED_AGAINST: Final = ProblemKind(UNPROCESSABLE, "The withdrawal is refused")


async def post_withdrawal(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `POST /v1/users/{user_id}/withdrawals`.

    201 with the withdrawal; 200 for a repeat; 422 with the reason of a refusal as `code`, and the withdrawal;
    202 when the time was up; 409 `id-reused`, `under-review`; 422 `unknown-payee`; 429 `too-many-requests`.
    """
    user_id = written_user_id_of(request)
    document = _with_id(request, owned(await body_of(request), "user_id", user_id))
    verdict = check_money(WITHDRAWAL_REQUEST, document, request.caller.actor)
    if isinstance(verdict, list):
        raise refused([("", fault) for fault in verdict])
    own_id, payee_id = document["withdrawal_id"], document["payee_id"]
    partition = context.placement.partition_of(user_id)
    wanted = MoneyRequest(partition, user_id, WITHDRAWAL_KIND, own_id, payee_id=payee_id)
    before = await request_money(context, request, wanted)
    if before.item is not None:
        return _repeated(document, before.item)
    if before.parked:
        raise ProblemError("under-review", "the account is under review; try again later")
    if before.payee_channel is None or before.payee_channel != document["channel"]:
        raise ProblemError("unknown-payee", "the user has no such payee of that channel")
    written = await write_and_wait(context, request, WITHDRAWAL_REQUEST, document, wanted)
    return _decided(user_id, own_id, written)


def _with_id(request: HttpRequest, document: dict[str, Any]) -> dict[str, Any]:
    """Return the body with its id; Idempotency-Key stands for an absent one."""
    key = request.headers.get(IDEMPOTENCY_KEY)
    if document.get("withdrawal_id") is not None or key is None:
        return document
    if match_own_id(key) is None:
        detail = f"{IDEMPOTENCY_KEY} stands for withdrawal_id, which has to be {OWN_ID_RULE}"
        raise refused([("", Fault("invalid-withdrawal_id", "withdrawal_id", detail))])
    return document | {"withdrawal_id": key}


def _repeated(document: dict[str, Any], item: dict[str, Any]) -> HttpResponse:
    known = (item["amount"], item["channel"], item["payee"]["payee_id"], item["memo"])
    content = (document["amount"], document["channel"], document["payee_id"], document.get("memo") or None)
    if known != content:
        raise ProblemError("id-reused", "the id is known with another content")
    return json_response(item, OK)


def _decided(user_id: str, own_id: str, written: Written) -> HttpResponse:
    response: MoneyResponse = written.response
    item = response.item
    if not written.in_time or item is None:
        members = {"user_id": user_id, "withdrawal_id": own_id, "state": REQUESTED}
        return accepted(members if item is None else item, place_of_withdrawal(user_id, own_id))
    if response.request_offset != written.offset:
        return json_response(item, OK)  # another request with the same id came before
    if item["state"] == REFUSED:
        code = item["reason"]
        detail = f"the withdrawal is refused: {code}"
        raise ProblemError(code, detail, kind=DECIDED_AGAINST, withdrawal=item)
    return json_response(item, CREATED)


async def read_withdrawals(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/users/{user_id}/withdrawals`, newest first."""

    def item_of(local: Any, user_id: str, number: int) -> dict[str, Any] | None:
        own_id = WITHDRAWAL_ID.read(local.store, WITHDRAWAL_ID.key(user_id, number))
        if own_id is None:
            return None
        withdrawal = WITHDRAWAL.read(local.store, WITHDRAWAL.key(user_id, own_id))
        if withdrawal is None:
            return None
        payee = context.payees.find(local.partition, user_id, withdrawal.payee_id)
        return withdrawal_item(user_id, withdrawal, payee)

    def count_of(local: Any, user_id: str) -> int:
        summary = SUMMARY.read(local.store, SUMMARY.key(user_id))
        return 0 if summary is None else summary.withdrawals

    return await list_page(context, request, "withdrawals", count_of, item_of)


async def read_withdrawal(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/users/{user_id}/withdrawals/{withdrawal_id}`; 404 `unknown-withdrawal`."""
    user_id, own_id = user_id_of(request), request.params["withdrawal_id"]
    local = await records_or_response(context, request, ACCOUNTS, user_id)
    if isinstance(local, HttpResponse):
        return local
    withdrawal = WITHDRAWAL.read(local.store, WITHDRAWAL.key(user_id, own_id))
    if withdrawal is None:
        raise unknown(WITHDRAWAL_KIND)
    payee = context.payees.find(local.partition, user_id, withdrawal.payee_id)
    return json_response(withdrawal_item(user_id, withdrawal, payee))


def _judge(kind: str) -> Handler:
    async def post(context: RequestContext, request: HttpRequest) -> HttpResponse:
        """Answer a verdict: 200 with the withdrawal once it is folded, 202 when the time was up, 404, 409."""
        user_id, own_id = written_user_id_of(request), request.params["withdrawal_id"]
        document = owned(await body_of(request), "user_id", user_id)
        document = owned(document, "withdrawal_id", own_id)
        note_reason(request, document.get("reason"))
        wanted = MoneyRequest(context.placement.partition_of(user_id), user_id, WITHDRAWAL_KIND, own_id)
        if (await request_money(context, request, wanted)).item is None:
            raise unknown(WITHDRAWAL_KIND)
        written = await write_and_wait(context, request, kind, document, wanted)
        item = written.response.item
        if not written.in_time or item is None:
            members = {"user_id": user_id, "withdrawal_id": own_id}
            return accepted(members if item is None else item, place_of_withdrawal(user_id, own_id))
        return json_response(item)

    return post


post_approve = _judge(WITHDRAWAL_APPROVE)
post_reject = _judge(WITHDRAWAL_REJECT)
post_cancel = _judge(WITHDRAWAL_CANCEL)
post_resolve = _judge(WITHDRAWAL_RESOLVE)
post_confirm = _judge(WITHDRAWAL_CONFIRM)
