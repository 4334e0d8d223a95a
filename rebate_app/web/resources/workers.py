"""`GET /v1/workers`: which worker owns which partitions by the group's last assignment, and which are alive.

It answers from what this worker knows, also before it has joined and while it restores. A worker that does
not answer is listed with `"alive": false`, never left out.
"""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from rebate_app.metrics.minute_samples import MinuteSample
from rebate_app.wire.moments import format_moment

from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..routing.forwarding import peer_headers
from ..routing.identity import identify
from ..routing.peer_client import UnreachableError
from ..routing.peer_rpc import WorkerRpc
from .formatting import halted_members
from .rules import rule_items


async def read_workers(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/workers`."""
    assignment = context.placement.assignment()
    items = await asyncio.gather(
        *(_item(context, url, owned, request.request_id) for url, owned in sorted(assignment.members.items()))
    )
    return json_response(
        {
            "items": items,
            "generation": assignment.generation,
            "restoring": [
                {"topic": part.topic, "partition": part.partition, "position": part.position, "end": part.end}
                for part in assignment.restoring
            ],
            "unstable": [
                {
                    "topic": part.topic,
                    "partition": part.partition,
                    "unstable": part.unstable,
                    "seconds": round(part.seconds, 1),
                }
                for part in assignment.unstable
            ],
        }
    )


class AboutResponse(Struct, frozen=True):
    """What a worker knows of itself: halted partitions, samples of the last hour, rule versions."""

    halted: list[dict[str, Any]]
    samples: list[MinuteSample]
    rules: list[dict[str, Any]]


RULE_MEMBERS = ("version", "content_hash", "activated")


def answer_about(context: RequestContext) -> AboutResponse:
    """Answer with what this worker knows of itself."""
    return AboutResponse(
        [halted_members(each) for each in context.placement.halted()],
        [] if context.samples is None else context.samples.list(),
        [{member: item[member] for member in RULE_MEMBERS} for item in rule_items(context)],
    )


ABOUT = WorkerRpc("about", AboutResponse, answer_about)


async def _item(context: RequestContext, url: str, owned: Any, request_id: str) -> dict[str, Any]:
    """Return one worker as the list shows it; `samples` and `rules` are null where it does not answer."""
    alive, ready = await _state(context, url, request_id)
    about = await _about(context, url, request_id) if alive else None
    return {
        "url": url,
        "self": url == context.own_url,
        "alive": alive,
        "ready": ready,
        "partitions": owned,
        "halted": [] if about is None else about.halted,
        "samples": None if about is None else [_sample(sample) for sample in about.samples],
        "rules": None if about is None else about.rules,
    }


async def _state(context: RequestContext, url: str, request_id: str) -> tuple[bool, bool]:
    """Return (alive, ready) of a worker: it, and nobody else, answers at its URL within a peer's time-out."""
    if url == context.own_url:
        return True, context.placement.readiness()[0]
    instance = context.placement.assignment().instances.get(url, "")
    found = await identify(context.peers, url, peer_headers(request_id), instance)
    return found.outcome == "itself", found.outcome == "itself" and found.ready


async def _about(context: RequestContext, url: str, request_id: str) -> AboutResponse | None:
    try:
        return await ABOUT.call(context, url, request_id, context.peers.rpc_timeout_seconds)
    except (UnreachableError, TimeoutError):
        return None


def _sample(sample: MinuteSample) -> dict[str, Any]:
    members = {name: value for name, value in asdict(sample).items() if name != "at"}
    return members | {"at": format_moment(sample.at)}
