"""Requests between workers that change something of a partition: its owner carries them out.

Unlike a PeerRpc, whose answer reads committed records only, the answer waits for the broker.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from ..context import RequestContext
from ..problems import not_ready
from .forwarding import place_of
from .peer_client import UnreachableError
from .peer_rpc import OwnerRequests, Q, S
from .ports import Local, Nobody

TIMEOUT_SECONDS = 15.0


class OwnerCommand(OwnerRequests[Q, S]):
    """One kind of command to the owner of a partition."""

    def __init__(
        self,
        name: str,
        table: str,
        request_type: type[Q],
        response_type: type[S],
        carry_out: Callable[[RequestContext, Local, Q], Awaitable[S]],
    ) -> None:
        super().__init__(name, table, request_type, response_type)
        self._carry_out = carry_out

    async def call(self, context: RequestContext, request: Q, request_id: str) -> S:
        """Return the owner's response; ProblemError `not-ready`: whether it acted is not known."""
        place = place_of(context, self.table, request.partition)
        if isinstance(place, Local):
            return await self._carry_out(context, place, request)
        if isinstance(place, Nobody):
            raise not_ready(place.reason, place.retry_after_seconds)
        try:
            return await self._post(context, place.url, request, request_id, TIMEOUT_SECONDS)
        except UnreachableError as error:
            raise not_ready(str(error)) from error

    async def serve(self, context: RequestContext, body: bytes) -> bytes:
        """Carry out another worker's command; ProblemError `not-ready` unless the partition is ours."""
        place, request = self._taken(context, body)
        return msgspec.json.encode(await self._carry_out(context, place, request))
