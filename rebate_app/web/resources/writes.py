"""Writes: facts are checked, sent to their topic, and waited for with `wait_ms`.

See docs/spec/http.md#writes. Any bad fact is 422, which names each bad member, and nothing is sent; 202
means that all in-sync replicas have the facts. Any worker sends them; their partition's owner processes
them.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from rebate_app.domain.faults import UNDECODABLE, UNKNOWN_MEMBER, Fault
from rebate_app.wire.audit_trail import AUTHOR_MEMBERS
from rebate_app.wire.facts.identifiers import path_segment
from rebate_app.wire.facts.order import check_order, encode_order
from rebate_app.wire.facts.unknown_members import WARNINGS_MAX, MemberCheck, MemberWarning
from rebate_app.wire.facts.user import (
    check_bind,
    check_profile,
    encode_bind,
    encode_profile,
)
from rebate_app.wire.json_values import parse_strict
from rebate_app.wire.stages import RECORD_BYTES_MAX

from ..context import JSON_HEADERS, HttpRequest, HttpResponse, RequestContext, json_response
from ..problems import ProblemError, broker_away, refused
from ..request_params import attribution_id_of, wait_ms_of, written_user_id_of
from ..routing.ports import BrokerAwayError
from ..routing.read_your_writes import Wait
from ..trail import RequestTrail

EVENTS_MAX: Final = 500
BODY_BYTES_MAX: Final = 1_048_576
#: Members that make a body one fact: with a list of events beside them, one of both would be lost.
FACT_ONLY: Final = ("kind", "order_line_id")
ACCEPTED = 202
REASON_CHARACTERS_MAX: Final = 200
INVALID_REASON: Final = "invalid-reason"
SET_BY_SERVER: Final = "set-by-server"
JSON_TYPE = "application/json"

Record = tuple[bytes, bytes]


async def post_orders(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `POST /v1/orders`: one fact, or `{"events": […]}`."""
    wait_ms = wait_ms_of(request)
    return await send_orders(context, request, await body_of(request), wait_ms, summarised=True)


async def send_orders(
    context: RequestContext,
    request: HttpRequest,
    document: Any,
    wait_ms: int | None,
    *,
    summarised: bool = False,
) -> HttpResponse:
    """Check and send one fact or a batch; return the 202, or ProblemError with every fault.

    `summarised`: the audit trail gets a summary a minute in place of a record with the facts.
    """
    records = check_orders(document, context.clock())
    sent = await send_facts(context, request, context.topics.orders, records, summarised=summarised)
    newest: dict[str, int] = {}
    for (key, _), (_, offset) in zip(records, sent, strict=True):
        newest[key.decode()] = max(offset, newest.get(key.decode(), -1))
    members: dict[str, Any] = {"accepted": len(records), "lines": list(newest)} | member_warnings(document)
    if wait_ms is not None:
        wait = Wait(context, wait_ms, request.request_id)
        members["visible"] = await context.wait_slots.visible(lambda: wait.lines(newest))
    headers = dict(JSON_HEADERS)
    if len(newest) == 1:
        platform, _, order_line_id = next(iter(newest)).partition(":")
        headers["Location"] = f"/v1/order-lines/{platform}/{path_segment(order_line_id)}"
    return json_response(members, ACCEPTED, headers)


def check_orders(document: Any, now_us: int) -> list[Record]:
    """Return the records of all facts; ProblemError with every fault of every fact."""
    facts, at = [document], ""
    if is_batch(document):
        facts, at = document["events"], "/events"
        if not isinstance(facts, list):
            raise _invalid_events("events has to be a list of facts")
        for name in FACT_ONLY:
            if document.get(name) is not None:
                raise _invalid_events(f"a body with {name} is one fact and has no list of events beside it")
        if len(facts) > EVENTS_MAX:
            raise ProblemError("too-large", f"at most {EVENTS_MAX} facts at once, and these are {len(facts)}")
    errors: list[tuple[str, Fault]] = []
    for number, fact in enumerate(facts):
        verdict = check_order(fact, now_us)
        if isinstance(verdict, list):
            errors += [(f"{at}/{number}" if at else "", fault) for fault in verdict]
    if errors:
        raise refused(errors)
    records = [encode_order(fact) for fact in facts]
    if any(len(key) + len(value) > RECORD_BYTES_MAX for key, value in records):
        raise ProblemError("too-large", f"a fact is at most {RECORD_BYTES_MAX} bytes on the wire")
    return records


def is_batch(document: Any) -> bool:
    """Return whether a body is read as a batch; an `events` that is no list is any member of a fact."""
    if not isinstance(document, dict) or "events" not in document:
        return False
    return isinstance(document["events"], list) or document.get("kind") is None


def _invalid_events(detail: str) -> ProblemError:
    return refused([("", Fault("invalid-events", "events", detail))])


def member_warnings(document: Any) -> dict[str, Any]:
    """Return `warnings` about members that nothing reads, in a body that `check_orders` accepted."""
    check = MemberCheck()
    if is_batch(document):
        found = check.envelope_warnings(document)
        for number, fact in enumerate(document["events"]):
            found += [
                MemberWarning(f"/events/{number}{each.pointer}", each.detail) for each in check.warnings(fact)
            ]
    else:
        found = check.warnings(document)
    listed = [{"pointer": w.pointer, "code": w.code, "detail": w.detail} for w in found[:WARNINGS_MAX]]
    left_off = len(found) - len(listed)
    return {"warnings": listed} | ({"warnings_left_off": left_off} if left_off else {})


async def put_profile(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `PUT /v1/users/{user_id}/profile`: the whole profile from a moment on."""
    user_id, wait_ms = written_user_id_of(request), wait_ms_of(request)
    document = owned(await staff_body_of(request), "user_id", user_id)
    verdict = check_profile(document, levels=context.rules.level_ids, now_us=context.clock())
    if isinstance(verdict, list):
        raise refused([("", fault) for fault in verdict])
    records = [encode_profile(document, request.requester)]
    ((_, offset),) = await send_facts(context, request, context.topics.user_log, records)
    members: dict[str, Any] = {"accepted": 1, "user_id": user_id} | author_warnings(document)
    if wait_ms is not None:
        wait = Wait(context, wait_ms, request.request_id)
        members["visible"] = await context.wait_slots.visible(lambda: wait.profile(user_id, offset))
    location = f"/v1/users/{path_segment(user_id)}/balance"
    return json_response(members, ACCEPTED, JSON_HEADERS | {"Location": location})


async def put_attribution(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `PUT /v1/attributions/{attribution_id}`: bind it to a user, or to nobody with null."""
    attribution_id, wait_ms = attribution_id_of(request), wait_ms_of(request)
    document = owned(await staff_body_of(request), "attribution_id", attribution_id)
    verdict = check_bind(document)
    if isinstance(verdict, list):
        raise refused([("", fault) for fault in verdict])
    records = [encode_bind(document, request.requester)]
    ((_, offset),) = await send_facts(context, request, context.topics.user_log, records)
    members: dict[str, Any] = {"accepted": 1, "attribution_id": attribution_id} | author_warnings(document)
    if wait_ms is not None:
        wait = Wait(context, wait_ms, request.request_id)
        user_id = verdict.user_id
        members["visible"] = await context.wait_slots.visible(
            lambda: wait.bind(attribution_id, user_id, offset)
        )
    location = f"/v1/attributions/{quote(attribution_id, safe=':')}"
    return json_response(members, ACCEPTED, JSON_HEADERS | {"Location": location})


def owned(document: Any, member: str, owner: str) -> dict[str, Any]:
    """Return the body with the owner that the path names; the body may repeat it, not contradict it."""
    if not isinstance(document, dict):
        raise refused([("", Fault(UNDECODABLE, "", "the body has to be a JSON object"))])
    if document.get(member) not in (None, owner):
        raise refused([("", Fault(f"invalid-{member}", member, f"the path says {owner}"))])
    return {**document, member: owner}


async def body_of(request: HttpRequest) -> Any:
    """Return the body's JSON value; ProblemError for another type, a large body, or what is no JSON."""
    content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type != JSON_TYPE:
        raise ProblemError("unsupported-media-type", f"Content-Type has to be {JSON_TYPE}")
    body = await request.read_body()
    try:
        return parse_strict(body)
    except ValueError as error:
        raise ProblemError("invalid-json", str(error)) from None


async def staff_body_of(request: HttpRequest) -> Any:
    """Return the body of a write of staff, without its `reason`, which goes to the audit trail.

    ProblemError `invalid-reason` unless it is text of at most REASON_CHARACTERS_MAX characters.
    """
    document = await body_of(request)
    if not isinstance(document, dict) or "reason" not in document:
        return document
    reason = checked_reason(document["reason"])
    if request.trail is not None:
        request.trail.reason = reason
    return {name: value for name, value in document.items() if name != "reason"}


async def members_of(request: HttpRequest, *known: str) -> dict[str, Any]:
    """Return the members of a write of staff, its `reason` aside; ProblemError for any but the known ones."""
    document = await staff_body_of(request)
    if not isinstance(document, dict):
        raise refused([("", Fault(UNDECODABLE, "", "the body has to be a JSON object"))])
    unknown = [name for name in document if name not in known]
    if unknown:
        raise refused([("", Fault(UNKNOWN_MEMBER, name, "no such member")) for name in unknown])
    return document


def note_reason(request: HttpRequest, reason: object) -> None:
    """Give the trail the reason of a fact that has one of its own, as much as it holds."""
    if request.trail is not None and isinstance(reason, str) and is_unicode(reason):
        request.trail.reason = reason[:REASON_CHARACTERS_MAX] or None


def checked_reason(value: object) -> str | None:
    """Return a caller's reason, None for null; ProblemError `invalid-reason`."""
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > REASON_CHARACTERS_MAX or not is_unicode(value):
        detail = f"a reason is text of at most {REASON_CHARACTERS_MAX} characters"
        raise refused([("", Fault(INVALID_REASON, "reason", detail))])
    return value or None


def is_unicode(text: str) -> bool:
    """Return whether a text can be written as UTF-8: it has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def author_warnings(document: dict[str, Any]) -> dict[str, Any]:
    """Return `warnings` about members that only the server sets, where a body names them."""
    listed = [
        {"pointer": f"/{name}", "code": SET_BY_SERVER, "detail": f"{name} is what the server knows of you"}
        for name in AUTHOR_MEMBERS
        if document.get(name) is not None
    ]
    return {"warnings": listed} if listed else {}


def trail_of(request: HttpRequest) -> RequestTrail:
    """Return the trail of a request; TypeError for a method that has none."""
    if request.trail is None:
        raise TypeError("only a method that the audit trail records may change something")
    return request.trail


async def send_facts(
    context: RequestContext,
    request: HttpRequest,
    topic: str,
    records: list[Record],
    *,
    summarised: bool = False,
) -> list[tuple[int, int]]:
    """Send the facts of an accepted request with its author, and its trail in the same transaction.

    `summarised`: without a transaction, and the trail gets a summary a minute. Return (partition, offset) of
    each. ProblemError `broker-away`: nothing is in the trail, and nothing of what has one.
    """
    trail = trail_of(request)
    try:
        if not summarised:
            return await trail.write(topic, records)
        sent = await context.sender.send(topic, records, request.requester.headers) if records else []
    except BrokerAwayError as error:
        detail = "the broker is away; send the same again later, repeating does no harm"
        raise broker_away(detail) from error
    trail.count_orders(len(records))
    return sent
