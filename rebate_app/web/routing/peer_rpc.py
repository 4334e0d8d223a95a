"""Requests between workers about the records of one partition.

An `XRequest` goes to the owner of its partition, which answers with an `XResponse` from committed records,
or is answered here when this worker is the owner. A request is never sent on, and changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from ..context import RequestContext
from ..problems import not_ready
from .forwarding import OK, peer_headers, place_of
from .peer_client import UnreachableError
from .ports import Local, Nobody

INTERNAL_PATH = "/internal/"
TIMEOUT_SECONDS = 60.0


class PartitionRequest(msgspec.Struct, frozen=True):
    """The member that all requests have: the partition whose owner answers."""

    partition: int


Q = TypeVar("Q", bound=PartitionRequest)
S = TypeVar("S")


class OwnerRequests(Generic[Q, S]):
    """One kind of request to the owner of a partition, by its name on the wire: both ends of it."""

    def __init__(self, name: str, table: str, request_type: type[Q], response_type: type[S]) -> None:
        self.name = name
        self.table = table
        self.request_type = request_type
        self.response_type = response_type
        self._decode_request = msgspec.json.Decoder(request_type).decode
        self._decode_response = msgspec.json.Decoder(response_type).decode

    async def _post(
        self, context: RequestContext, url: str, request: Q, request_id: str, timeout_seconds: float
    ) -> S:
        """Return the response of the owner at the URL; UnreachableError without one."""
        headers = {"Content-Type": "application/json", **peer_headers(request_id)}
        target = INTERNAL_PATH + self.name
        body = msgspec.json.encode(request)
        response = await context.peers.post(url.rstrip("/"), target, headers, body, timeout_seconds)
        if response.status != OK:
            raise UnreachableError(f"the owner answered {response.status}")
        try:
            return self._decode_response(response.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnreachableError("the owner speaks another version") from error

    def _taken(self, context: RequestContext, body: bytes) -> tuple[Local, Q]:
        """Return another worker's request and its partition; ProblemError `not-ready` unless we own it."""
        try:
            request = self._decode_request(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise not_ready(f"the requesting worker speaks another version: {error}") from error
        place = place_of(context, self.table, request.partition)
        if not isinstance(place, Local):
            raise not_ready("the owner has just changed")
        return place, request


class PeerRpc(OwnerRequests[Q, S]):
    """A request that reads; `answer` reads local records only."""

    def __init__(
        self,
        name: str,
        table: str,
        request_type: type[Q],
        response_type: type[S],
        answer: Callable[[RequestContext, Local, Q], S],
    ) -> None:
        super().__init__(name, table, request_type, response_type)
        self._answer = answer

    async def call(
        self, context: RequestContext, request: Q, request_id: str, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> S:
        """Return the response of the partition's owner; UnreachableError without one."""
        place = place_of(context, self.table, request.partition)
        if isinstance(place, Local):
            return self._answer(context, place, request)
        if isinstance(place, Nobody):
            raise UnreachableError(place.reason)
        return await self._post(context, place.url, request, request_id, timeout_seconds)

    def serve(self, context: RequestContext, body: bytes) -> bytes:
        """Return the response to another worker's request; ProblemError `not-ready` unless we own it."""
        place, request = self._taken(context, body)
        return msgspec.json.encode(self._answer(context, place, request))


class WorkerRequest(msgspec.Struct, frozen=True):
    """A request without members."""


class WorkerRpc(Generic[S]):
    """One kind of request to a worker about itself, whatever it owns; `answer` reads its own state."""

    def __init__(self, name: str, response_type: type[S], answer: Callable[[RequestContext], S]) -> None:
        self.name = name
        self.request_type = WorkerRequest
        self.response_type = response_type
        self._answer = answer
        self._decode_response = msgspec.json.Decoder(response_type).decode

    async def call(self, context: RequestContext, url: str, request_id: str, timeout_seconds: float) -> S:
        """Return the response of the worker at the URL; UnreachableError without one."""
        if url.rstrip("/") == context.own_url:
            return self._answer(context)
        headers = {"Content-Type": "application/json", **peer_headers(request_id)}
        target = INTERNAL_PATH + self.name
        response = await context.peers.post(url.rstrip("/"), target, headers, b"{}", timeout_seconds)
        if response.status != OK:
            raise UnreachableError(f"the worker answered {response.status}")
        try:
            return self._decode_response(response.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnreachableError("the worker speaks another version") from error

    def serve(self, context: RequestContext, body: bytes) -> bytes:
        """Return the response to another worker's request, which has no members."""
        del body
        return msgspec.json.encode(self._answer(context))


async def call_all(
    rpc: PeerRpc[Q, S], context: RequestContext, requests: list[Q], request_id: str, timeout_seconds: float
) -> list[S | None]:
    """Send all requests at once; return each response, None where the owner cannot be reached."""

    async def call(request: Q) -> S | None:
        try:
            return await rpc.call(context, request, request_id, timeout_seconds)
        except UnreachableError:
            return None

    return list(await asyncio.gather(*map(call, requests)))
