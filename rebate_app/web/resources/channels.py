"""Channels of payouts over HTTP: which there are, opening, pausing and closing, and callbacks of services.

See docs/payouts.md#states.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from typing import Any, Final

from msgspec import Struct

from rebate_app.domain.money_out.answers import KNOWN_NUMBER, REFUSED_CALLBACK, UNCLEAR, UNKNOWN_NUMBER
from rebate_app.metrics.catalogue import PAYOUT_CALLBACKS
from rebate_app.payouts.channels.port import NotificationRefusedError
from rebate_app.wire.channel_states import CLOSED, OPEN, PAUSED, ChannelState, encode_state
from rebate_app.wire.moments import MILLISECOND_US, SECOND_US, format_moment

from ..context import Handler, HttpRequest, HttpResponse, RequestContext, json_response
from ..problems import ProblemError, broker_away
from ..routing.forwarding import ACCOUNTS
from ..routing.peer_client import UnreachableError
from ..routing.peer_rpc import PartitionRequest, PeerRpc, WorkerRpc, call_all
from ..routing.ports import BrokerAwayError, Local
from .manual_payouts import SUMMARY, ChannelSummary, SummaryRequest
from .writes import members_of, trail_of

log = logging.getLogger(__name__)

ACCEPTED: Final = 202
CONFIRM_POLL_SECONDS: Final = 0.2
#: Beyond the channel's time-out: a worker that has read nothing for so long treats all channels as paused.
CONFIRM_SECONDS_MAX: Final = 10.0
PROMPT_SECONDS_MAX: Final = 5.0


class ChannelsResponse(Struct, frozen=True):
    """What a worker knows of channels: by name, the state by which it acts, and whether it sends nothing."""

    states: dict[str, str]
    idle: dict[str, bool]


def answer_channels(context: RequestContext) -> ChannelsResponse:
    """Answer with what this worker would do now."""
    if context.payouts is None:
        return ChannelsResponse({}, {})
    desk = context.payouts.desk
    names = {*desk.channels, *desk.states.entries}
    return ChannelsResponse(
        {name: desk.states.effective(name) for name in names},
        {name: desk.sends_nothing(name) for name in names},
    )


CHANNELS: Final = WorkerRpc("channels", ChannelsResponse, answer_channels)


class PromptRequest(PartitionRequest, frozen=True):
    """A service has called back about this number; `searches`: no partition watches it, look for it."""

    payout_no: str
    searches: bool = False


class PromptResponse(Struct, frozen=True):
    """Whether the partition watches the number."""

    known: bool


def answer_prompt(context: RequestContext, local: Local, request: PromptRequest) -> PromptResponse:
    """Have the partition's executor ask about the number soon."""
    payouts = context.payouts
    return PromptResponse(
        payouts is not None and payouts.prompt(local.partition, request.payout_no, searches=request.searches)
    )


PROMPT: Final = PeerRpc("payout-prompt", ACCOUNTS, PromptRequest, PromptResponse, answer_prompt)


async def read_channels(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/channels`: those of the file, and those that have a state."""
    if context.payouts is None:
        return json_response({"items": [], "unavailable": [], "active": None})
    desk = context.payouts.desk
    names = sorted({*desk.channels, *desk.states.entries})
    wanted = [SummaryRequest(partition) for partition in range(context.placement.partitions)]
    found = await call_all(SUMMARY, context, wanted, request.request_id, PROMPT_SECONDS_MAX)
    missing = [number for number, response in enumerate(found) if response is None]
    parts = [response.channels for response in found if response is not None]
    items = [_item(context, name) | _open_members(context, name, parts) for name in names]
    return json_response({"items": items, "unavailable": missing, "active": context.payouts.active})


def _open_members(
    context: RequestContext, name: str, parts: list[dict[str, ChannelSummary]]
) -> dict[str, Any]:
    """Return the members about a channel's open withdrawals, over the partitions that answered."""
    summaries = [part[name] for part in parts if name in part]
    oldest = min((each.oldest_us for each in summaries if each.oldest_us is not None), default=None)
    exports: Counter[str] = Counter()
    for each in summaries:
        exports.update(each.exports)
    return {
        "open": sum(each.open for each in summaries),
        "unknown": sum(each.unknown for each in summaries),
        "stuck": sum(each.stuck for each in summaries),
        "oldest_s": None if oldest is None else max(0, context.clock() - oldest) // SECOND_US,
        "exports": [{"export_id": export_id, "open": count} for export_id, count in sorted(exports.items())],
    }


def _item(context: RequestContext, name: str) -> dict[str, Any]:
    if context.payouts is None:
        raise ProblemError("unknown-channel", "no channel of this name is configured")
    desk = context.payouts.desk
    spec, state = desk.channels.get(name), desk.states.state(name)
    return {
        "name": name,
        "kind": None if spec is None else spec.kind,
        "configured": spec is not None,
        "state": desk.states.effective(name),
        "by": state.by or None,
        "why": state.why or None,
        "since": format_moment(state.at * MILLISECOND_US) if state.at else None,
        "identity": None if spec is None else spec.channel.identity,
        "per_second": None if spec is None else spec.per_second,
    }


def _setter(state: str) -> Handler:
    async def post(context: RequestContext, request: HttpRequest) -> HttpResponse:
        """Answer the opening, pausing or closing of a channel."""
        name = request.params["name"]
        payouts = context.payouts
        if payouts is None or (name not in payouts.desk.channels and name not in payouts.states.entries):
            raise ProblemError("unknown-channel", "no channel of this name is configured")
        await members_of(request)
        trail = trail_of(request)
        why = trail.reason or ""
        at_ms = context.clock() // MILLISECOND_US
        decided = ChannelState(state, request.caller.actor, why, at_ms)  # type: ignore[arg-type] # one of three

        async def write() -> None:
            await trail.write(payouts.states.topic, [encode_state(name, decided)])

        try:
            await payouts.desk.set_by_person(name, decided, write)
        except BrokerAwayError as error:
            raise broker_away("the state of the channel may not be written; send the same again") from error
        spec = payouts.desk.channels.get(name)
        timeout = 0.0 if spec is None else spec.timeout_seconds
        confirmed = await _confirmed(context, request, name, state, timeout)
        return json_response(_item(context, name) | {"confirmed": confirmed})

    return post


post_open, post_pause, post_close = _setter(OPEN), _setter(PAUSED), _setter(CLOSED)


async def _confirmed(
    context: RequestContext, request: HttpRequest, name: str, state: str, timeout_seconds: float
) -> bool:
    """Wait until every live worker acts by the state; False when some had not within the time.

    A worker that does not answer within the time has either ended, or has not read the topic for so long that
    it sends nothing.
    """
    until = time.monotonic() + CONFIRM_SECONDS_MAX + (0.0 if state == OPEN else timeout_seconds)
    while True:
        if await _all_act_by(context, request, name, state):
            return True
        if time.monotonic() >= until:
            return False
        await asyncio.sleep(CONFIRM_POLL_SECONDS)


async def _all_act_by(context: RequestContext, request: HttpRequest, name: str, state: str) -> bool:
    urls = {context.own_url, *context.placement.assignment().members}
    answers = await asyncio.gather(*(_state_at(context, request, url, name) for url in urls))
    if state == OPEN:
        return all(answer is not None and answer[0] == OPEN for answer in answers)
    return all(answer is not None and answer[0] != OPEN and answer[1] for answer in answers)


async def _state_at(
    context: RequestContext, request: HttpRequest, url: str, name: str
) -> tuple[str, bool] | None:
    """Return (state, whether nothing is sent) of a worker, None where it does not answer."""
    try:
        channels = await CHANNELS.call(context, url, request.request_id, context.peers.rpc_timeout_seconds)
    except (UnreachableError, TimeoutError):
        return None
    return channels.states.get(name, CLOSED), channels.idle.get(name, True)


async def post_notification(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `POST /v1/payout-notifications/{channel}`: 202 for whatever the service has signed.

    It leads to one question about the number, wherever that is, and books nothing. What names no number is
    as one that nobody knows.
    """
    if request.trail is not None:
        request.trail.skip()
    name = request.params["channel"]
    spec = None if context.payouts is None else context.payouts.desk.spec(name)
    if spec is None:
        raise ProblemError("unknown-channel", "no channel of this name is configured")
    body = await request.read_body()
    now_seconds = context.clock() // (MILLISECOND_US * 1_000)
    try:
        number = spec.channel.verify_notification(request.target, request.headers, body, now_seconds)
    except NotificationRefusedError as error:
        context.metrics.add(PAYOUT_CALLBACKS, (REFUSED_CALLBACK,))
        raise ProblemError("invalid-signature", str(error)) from error
    outcome = UNKNOWN_NUMBER
    if number is None:
        log.warning("a signed callback of channel %s names no payout", name)
    else:
        outcome = await _prompted(context, request, number, searches=False)
        if outcome != KNOWN_NUMBER:
            await _prompted(context, request, number, searches=True)
    context.metrics.add(PAYOUT_CALLBACKS, (outcome,))
    return json_response({"accepted": True}, ACCEPTED)


async def _prompted(context: RequestContext, request: HttpRequest, number: str, *, searches: bool) -> str:
    """Have the owners of all partitions query the number if it is theirs; return the callback's outcome."""
    partitions = range(context.placement.partitions)
    wanted = [PromptRequest(partition, number, searches) for partition in partitions]
    return _outcome_of(await call_all(PROMPT, context, wanted, request.request_id, PROMPT_SECONDS_MAX))


def _outcome_of(answers: list[PromptResponse | None]) -> str:
    """Return whether a partition knows the number; unclear where one that may know it did not answer."""
    if any(answer is not None and answer.known for answer in answers):
        return KNOWN_NUMBER
    return UNKNOWN_NUMBER if None not in answers else UNCLEAR
