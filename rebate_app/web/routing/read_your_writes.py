"""`?wait_ms=`: wait until the accounts include what was written, or the time is up.

See docs/spec/http.md#read-your-writes. A write is visible when the account of the line's owner (or of the
named user) has posted it, over every hop: line, attribution id, user. A fact that changes nothing is visible
as soon as it is processed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Final, TypeVar

from ..context import RequestContext
from .log_progress import (
    FACT_PROCESSED,
    LINES_MOVED,
    LINES_POSTED,
    LINES_REPRICED,
    LINES_SENT,
    FactRequest,
    FactResponse,
    LinesRequest,
    MovedRequest,
    PostedLine,
    PostedRequest,
)
from .peer_rpc import PeerRpc, call_all

POLL_SECONDS: Final = 0.005
LAST_CHECK_SECONDS: Final = 0.05  # even with `wait_ms=0` the owners are asked once

T = TypeVar("T")


class Wait:
    """One wait with its deadline; `request_id` goes along with every request."""

    def __init__(self, context: RequestContext, wait_ms: int, request_id: str) -> None:
        self._context = context
        self._request_id = request_id
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + wait_ms / 1_000

    async def lines(self, facts: Mapping[str, int]) -> bool:
        """Wait for order facts: line → offset of its last fact; return whether all are visible."""
        unprocessed = dict(facts)
        expected: list[PostedLine] = []
        while True:
            expected += await self._take_sent(unprocessed)
            if any(not line.account for line in expected):
                return False  # refused by the line, a dead letter: no account will ever post it
            expected = await self._not_posted(expected)
            if not unprocessed and not expected:
                return True
            if not await self._may_check_again():
                return False

    async def profile(self, user_id: str, offset: int) -> bool:
        """Wait for a fact in the user's own log."""
        return await self._fact(FACT_PROCESSED, user_id, offset)

    async def reprice(self, user_id: str, offset: int) -> bool:
        """Wait until a repricing has priced all lines of the user; inviters may follow later."""
        return await self._fact(LINES_REPRICED, user_id, offset)

    async def _fact(self, rpc: PeerRpc[FactRequest, FactResponse], user_id: str, offset: int) -> bool:
        partition = self._context.placement.partition_of(user_id)
        while True:
            (response,) = await call_all(
                rpc,
                self._context,
                [FactRequest(partition, offset, user_id)],
                self._request_id,
                self._left_seconds(),
            )
            if response is not None and response.processed:
                return True
            if not await self._may_check_again():
                return False

    async def bind(self, attribution_id: str, user_id: str | None, offset: int) -> bool:
        """Wait until the binding has moved all lines, and the user's account has posted them."""
        partition = self._context.placement.partition_of(attribution_id)
        start = 0
        while True:
            (response,) = await call_all(
                LINES_MOVED,
                self._context,
                [MovedRequest(partition, attribution_id, user_id, offset, start)],
                self._request_id,
                self._left_seconds(),
            )
            missing = [] if response is None else await self._not_posted(response.lines)
            if response is not None and response.done and not missing:
                if response.next_start is None:
                    return True
                start = response.next_start
            elif not await self._may_check_again():
                return False

    async def _take_sent(self, unprocessed: dict[str, int]) -> list[PostedLine]:
        """Take the processed lines out of `unprocessed`; return what their accounts should have posted."""
        requests = [
            LinesRequest(partition, [(line, unprocessed[line]) for line in lines])
            for partition, lines in self._by_partition((line, line) for line in unprocessed)
        ]
        responses = await call_all(
            LINES_SENT, self._context, requests, self._request_id, self._left_seconds()
        )
        expected: list[PostedLine] = []
        for request, response in zip(requests, responses, strict=True):
            if response is None:
                continue
            for (line, _), (processed, account, version) in zip(request.facts, response.lines, strict=True):
                if processed:
                    del unprocessed[line]
                    expected.append(PostedLine(account or "", line, "", version))
        return expected

    async def _not_posted(self, expected: list[PostedLine]) -> list[PostedLine]:
        """Return what is not posted yet; a line that an attribution id forwards has to reach the user."""
        requests = [
            PostedRequest(partition, lines)
            for partition, lines in self._by_partition((line.account, line) for line in expected)
        ]
        responses = await call_all(
            LINES_POSTED, self._context, requests, self._request_id, self._left_seconds()
        )
        missing: list[PostedLine] = []
        forwarded: list[PostedLine] = []
        for request, response in zip(requests, responses, strict=True):
            found = [(False, None)] * len(request.lines) if response is None else response.lines
            for line, (is_posted, user_id) in zip(request.lines, found, strict=True):
                if not is_posted:
                    missing.append(line)
                elif user_id is not None:
                    forwarded.append(PostedLine(user_id, line.line, line.account, line.line_version))
        return missing + (await self._not_posted(forwarded) if forwarded else [])

    def _by_partition(self, items: Iterable[tuple[str, T]]) -> list[tuple[int, list[T]]]:
        placed = [(self._context.placement.partition_of(key), item) for key, item in items]
        placed.sort(key=itemgetter(0))
        return [(number, [item for _, item in group]) for number, group in groupby(placed, itemgetter(0))]

    def _left_seconds(self) -> float:
        return max(self._deadline - self._loop.time(), LAST_CHECK_SECONDS)

    async def _may_check_again(self) -> bool:
        """Sleep a little; return whether there is time for another check."""
        left = self._deadline - self._loop.time()
        if left <= 0:
            return False
        await asyncio.sleep(min(left, POLL_SECONDS))
        return True
