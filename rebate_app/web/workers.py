"""`GET /v1/workers`: who owns which partition, by the group's last assignment, and who answers.

Law: it answers from this worker's own knowledge, also before it has joined and while it restores; a worker
that does not answer is listed with `"alive": false`, never left out. It is separate because it is about the
workers and not about anybody's money.
"""

from __future__ import annotations

import asyncio
from typing import Any

from .api import GUARD_HEADER, REQUEST_ID_HEADER, Answer, Call, Desk, json_answer
from .peers import UnreachableError

READY_PATH = "/readyz"
OK = 200


async def read_workers(desk: Desk, call: Call) -> Answer:
    """Answer `GET /v1/workers`."""
    assignment = desk.placement.assignment()
    members = sorted(assignment.members.items())
    states = await asyncio.gather(*(_state(desk, url, call.request_id) for url, _ in members))
    items: list[dict[str, Any]] = [
        {"url": url, "self": url == desk.own_url, "alive": alive, "ready": ready, "partitions": owned}
        for (url, owned), (alive, ready) in zip(members, states, strict=True)
    ]
    return json_answer(
        {
            "items": items,
            "generation": assignment.generation,
            "restoring": [
                {"topic": part.topic, "partition": part.partition, "position": part.position, "end": part.end}
                for part in assignment.restoring
            ],
        }
    )


async def _state(desk: Desk, url: str, request_id: str) -> tuple[bool, bool]:
    """Return (alive, ready) of a worker, as it says itself within the time that peers have."""
    if url == desk.own_url:
        return True, desk.placement.readiness()[0]
    headers = {GUARD_HEADER: desk.own_url, REQUEST_ID_HEADER: request_id}
    try:
        async with asyncio.timeout(desk.peers.ask_timeout_s):
            response = await desk.peers.get(url, READY_PATH, headers)
    except (UnreachableError, TimeoutError):
        return False, False
    return True, response.status == OK
