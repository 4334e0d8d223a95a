"""Writing: facts checked at the door, sent through the log, and read back when asked to (contracts.md 5).

Law: all or nothing: any bad fact is 422 naming each bad member, and nothing is sent; 202 means that all
in-sync replicas have the facts. It is separate from reading because a write needs no owner: any worker
sends, and the log decides who computes.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from rebate_app.domain.faults import UNDECODABLE, Fault, missing
from rebate_app.wire.json_values import parse_strict
from rebate_app.wire.order_facts import check_order, encode_order
from rebate_app.wire.topics import RECORD_BYTES_MAX
from rebate_app.wire.user_facts import check_bind, check_profile, encode_bind, encode_profile

from .api import JSON_HEADERS, Answer, Call, Desk, json_answer
from .asked import attribution_id_of, user_id_of, wait_ms_of
from .ports import BrokerAwayError
from .problems import ProblemError, refused
from .waiting import Wait

EVENTS_MAX: Final = 500
BODY_BYTES_MAX: Final = 1_048_576
ACCEPTED = 202
RETRY_AFTER_S = 2
JSON_TYPE = "application/json"

Record = tuple[bytes, bytes]


async def post_orders(desk: Desk, call: Call) -> Answer:
    """Answer `POST /v1/orders`: one fact, or `{"events": […]}`."""
    wait_ms = wait_ms_of(call)
    records = check_orders(await body_of(call), desk.clock())
    sent = await _send(desk, desk.topics.orders, records)
    newest: dict[str, int] = {}
    for (key, _), (_, offset) in zip(records, sent, strict=True):
        newest[key.decode()] = max(offset, newest.get(key.decode(), -1))
    said: dict[str, Any] = {"accepted": len(records), "lines": list(newest)}
    if wait_ms is not None:
        said["visible"] = await Wait(desk, wait_ms, call.request_id).lines(newest)
    headers = dict(JSON_HEADERS)
    if len(newest) == 1:
        headers["Location"] = "/v1/order-lines/" + next(iter(newest)).replace(":", "/", 1)
    return json_answer(said, ACCEPTED, headers)


def check_orders(document: Any, now_us: int) -> list[Record]:
    """Return the records of all facts; ProblemError with every fault of every fact."""
    facts, at = [document], ""
    # A fact may carry an `events` of its own, which decides nothing; a batch has no kind.
    if isinstance(document, dict) and "events" in document and document.get("kind") is None:
        facts, at = document["events"], "/events"
        if not isinstance(facts, list):
            raise refused([("", Fault("invalid-events", "events", "events has to be a list of facts"))])
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


async def put_profile(desk: Desk, call: Call) -> Answer:
    """Answer `PUT /v1/users/{user_id}/profile`: the whole profile from a moment on."""
    user_id, wait_ms = user_id_of(call), wait_ms_of(call)
    document = _owned(await body_of(call), "user_id", user_id)
    verdict = check_profile(document, levels=desk.rules.level_ids, now_us=desk.clock())
    if isinstance(verdict, list):
        raise refused([("", fault) for fault in verdict])
    ((_, offset),) = await _send(desk, desk.topics.user_log, [encode_profile(document)])
    said: dict[str, Any] = {"accepted": 1, "user_id": user_id}
    if wait_ms is not None:
        said["visible"] = await Wait(desk, wait_ms, call.request_id).profile(user_id, offset)
    return json_answer(said, ACCEPTED, JSON_HEADERS | {"Location": f"/v1/users/{user_id}/balance"})


async def put_attribution(desk: Desk, call: Call) -> Answer:
    """Answer `PUT /v1/attributions/{attribution_id}`: bind it to a user, or to nobody with null."""
    attribution_id, wait_ms = attribution_id_of(call), wait_ms_of(call)
    document = _owned(await body_of(call), "attribution_id", attribution_id)
    if "user_id" not in document:  # null unbinds; a slip of the pen must not
        raise refused([("", missing("user_id"))])
    verdict = check_bind(document)
    if isinstance(verdict, list):
        raise refused([("", fault) for fault in verdict])
    ((_, offset),) = await _send(desk, desk.topics.user_log, [encode_bind(document)])
    said: dict[str, Any] = {"accepted": 1, "attribution_id": attribution_id}
    if wait_ms is not None:
        wait = Wait(desk, wait_ms, call.request_id)
        said["visible"] = await wait.bind(attribution_id, verdict.user_id, offset)
    location = f"/v1/attributions/{quote(attribution_id, safe=':')}"
    return json_answer(said, ACCEPTED, JSON_HEADERS | {"Location": location})


def _owned(document: Any, member: str, owner: str) -> dict[str, Any]:
    """Return the body with the owner that the path names; the body may repeat it, not contradict it."""
    if not isinstance(document, dict):
        raise refused([("", Fault(UNDECODABLE, "", "the body has to be a JSON object"))])
    if document.get(member) not in (None, owner):
        raise refused([("", Fault(f"invalid-{member}", member, f"the path says {owner}"))])
    return {**document, member: owner}


async def body_of(call: Call) -> Any:
    """Return the body's JSON value; ProblemError for another type, a large body, or what is no JSON."""
    content_type = call.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type != JSON_TYPE:
        raise ProblemError("unsupported-media-type", f"Content-Type has to be {JSON_TYPE}")
    body = await call.read_body()
    try:
        return parse_strict(body)
    except ValueError as error:
        raise ProblemError("invalid-json", str(error)) from None


async def _send(desk: Desk, topic: str, records: list[Record]) -> list[tuple[int, int]]:
    if not records:
        return []
    try:
        return await desk.sender.send(topic, records)
    except BrokerAwayError as error:
        detail = "the broker is away; send the same again later, repeating does no harm"
        raise ProblemError("broker-away", detail, headers={"Retry-After": str(RETRY_AFTER_S)}) from error
