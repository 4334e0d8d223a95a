"""`/v1/parked-keys`: order lines, users and attribution ids under review, from every owner; their release."""

from __future__ import annotations

from typing import Any

from msgspec import DecodeError, Struct, ValidationError, convert

from rebate_app.dead_letters.dead_letter import text_or_hex
from rebate_app.streams.failures.record_kinds import PARKED, list_parked, parked_key
from rebate_app.wire.moments import MILLISECOND_US, format_moment
from rebate_app.wire.stages import STAGES

from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..cursors import invalid_cursor, make_cursor, read_cursor
from ..problems import ProblemError, broker_away, not_ready
from ..request_params import LIMIT_MAX, limit_of
from ..routing.peer_client import UnreachableError
from ..routing.peer_rpc import PartitionRequest, PeerRpc
from ..routing.ports import BrokerAwayError, Local
from .dead_letters import dead_letter_service
from .writes import body_of, checked_reason, trail_of

OF_LIST = "parked-keys"


class ParkedRequest(PartitionRequest, frozen=True):
    """The keys that were parked after this offset, at most `limit`."""

    after: int
    limit: int


class ParkedItem(Struct, frozen=True):
    """A parked key: since which record, why, how many wait, and whether it is being released."""

    key: bytes
    since: int
    at: int
    reason: str
    waiting: int
    releasing: bool


class ParkedResponse(Struct, frozen=True):
    """Parked keys, and whether there are more; `beyond`: the partition has not come that far."""

    items: list[ParkedItem]
    more: bool
    beyond: bool = False


def answer_parked(context: RequestContext, local: Local, request: ParkedRequest) -> ParkedResponse:
    """Answer from the partition's own list, in the order of parking."""
    del context
    keys = [each for each in list_parked(local.store) if each[1] > request.after]
    limit = min(request.limit, LIMIT_MAX)
    items = []
    for key, since, at in keys[:limit]:
        parked = PARKED.read(local.store, parked_key(key))
        if parked is not None:
            items.append(ParkedItem(key, since, at, parked.reason, parked.count, parked.release >= 0))
    return ParkedResponse(items, len(keys) > limit, request.after > local.offset)


PARKED_RPCS = tuple(
    PeerRpc(f"parked-{spec.records}", spec.records, ParkedRequest, ParkedResponse, answer_parked)
    for spec in STAGES
)


async def read_parked_keys(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/parked-keys`."""
    limit = limit_of(request)
    stage, partition, next_offset = read_cursor(OF_LIST, request.query.get("cursor"), 3) or (0, 0, 0)
    topics = context.topics.sources
    if stage >= len(topics) or partition >= context.placement.partitions:
        raise invalid_cursor()
    items: list[dict[str, Any]] = []
    while stage < len(topics) and len(items) < limit:
        parked_request = ParkedRequest(partition, next_offset - 1, limit - len(items))
        try:
            page = await PARKED_RPCS[stage].call(context, parked_request, request.request_id)
        except UnreachableError as error:
            raise not_ready(f"partition {partition} of {topics[stage]}: {error}") from error
        if page.beyond:
            raise invalid_cursor()
        items += [_members(topics[stage], partition, item) for item in page.items]
        if page.more:
            next_offset = page.items[-1].since + 1
            continue
        partition, next_offset = partition + 1, 0
        if partition == context.placement.partitions:
            stage, partition = stage + 1, 0
    cursor = make_cursor(OF_LIST, stage, partition, next_offset) if stage < len(topics) else None
    return json_response({"items": items, "next_cursor": cursor})


def _members(topic: str, partition: int, item: ParkedItem) -> dict[str, Any]:
    key, key_as = text_or_hex(item.key)
    return {
        "topic": topic,
        "key": key,
        "key_as": key_as,
        "since": f"{topic}/{partition}/{item.since}",
        "at": format_moment(item.at * MILLISECOND_US),
        "reason": item.reason,
        "waiting": item.waiting,
        "releasing": item.releasing,
    }


class ReleaseCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a release. `topic`: where the key is parked, by default where its newest dead letter is."""

    reason: str | None = None
    topic: str | None = None


async def post_release(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `POST /v1/parked-keys/{key}/release`: 200 with the place of the message that releases it.

    Its owner then folds what waits, in order, without the records whose dead letters are discarded.
    """
    try:
        command = convert(await body_of(request), ReleaseCommand)
    except (ValidationError, DecodeError) as error:
        raise ProblemError("invalid-wish", str(error)) from None
    reason = checked_reason(command.reason)
    if not (reason or "").strip():
        raise ProblemError("invalid-wish", "say why, in `reason`: whoever comes after you has nothing else")
    if command.topic not in (None, *context.topics.sources):
        raise ProblemError("invalid-filter", f"topic is {' or '.join(context.topics.sources)}")
    key, trail, service = request.params["key"], trail_of(request), dead_letter_service(context)
    trail.reason = reason
    pending = trail.encoded()
    try:
        place = await service.release(key.encode(), request.caller.actor, command.topic, pending)
    except BrokerAwayError as error:
        raise broker_away(str(error)) from error
    if place is None:
        raise ProblemError("unknown-parked-key", "no record of this key has ever been parked")
    trail.taken(pending)
    return json_response({"key": key, "release": str(place)})
