"""What workers of a group remember of the user log, for one whose data folder is empty.

See docs/spec/money-out.md#channel-states.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

from msgspec import Struct

from rebate_app.payouts.remembered_ends import RememberedEnds

from ..context import RequestContext
from ..routing.peer_client import UnreachableError
from ..routing.peer_rpc import WorkerRpc


class LogEndsResponse(Struct, frozen=True):
    """What this worker remembers, None where it remembers nothing."""

    remembered: RememberedEnds | None


def answer_log_ends(context: RequestContext) -> LogEndsResponse:
    """Answer with what this worker's data folder remembers."""
    return LogEndsResponse(None if context.payouts is None else context.payouts.ends.remembered())


LOG_ENDS: Final = WorkerRpc("log-ends", LogEndsResponse, answer_log_ends)


async def ask_members(context: RequestContext) -> Sequence[RememberedEnds | None]:
    """Return what every other member of the last assignment remembers; None for one that does not answer.

    A member that remembers nothing is left out.
    """
    others = [url for url in context.placement.assignment().members if url != context.own_url]
    answers = await asyncio.gather(*(_ask(context, url) for url in others))
    return [None if each is None else each.remembered for each in answers if each is None or each.remembered]


async def _ask(context: RequestContext, url: str) -> LogEndsResponse | None:
    try:
        return await LOG_ENDS.call(context, url, uuid4().hex, context.peers.rpc_timeout_seconds)
    except (UnreachableError, TimeoutError):
        return None
