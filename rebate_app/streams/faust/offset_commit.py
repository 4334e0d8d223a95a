"""Commits group offsets: one request at a time, with a bounded wait.

aiokafka retries a commit for ever while its coordinator hangs. Such a commit goes on in the background: to
cancel it would leave its request behind, and to start another would pile them up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ..kafka.aiokafka_clients import AIOKafkaConsumer, translated

COMMIT_SECONDS_MAX = 5.0  # group offsets are for tools only, and rebalances wait


class OffsetCommits:
    """The commits of one consumer; used in the loop that the consumer lives in."""

    def __init__(self) -> None:
        self._pending: asyncio.Future[Any] | None = None

    async def commit(self, consumer: AIOKafkaConsumer, offsets: Mapping[Any, Any]) -> None:
        """Commit; TimeoutError if this commit, or the one before it, gets no answer in time."""
        if self._pending is not None:
            await asyncio.wait([self._pending], timeout=COMMIT_SECONDS_MAX)
            if not self._pending.done():
                raise TimeoutError("the last commit is not answered yet")
        self._pending = asyncio.ensure_future(consumer.commit(offsets))
        self._pending.add_done_callback(_retrieve)
        await asyncio.wait([self._pending], timeout=COMMIT_SECONDS_MAX)
        if not self._pending.done():
            raise TimeoutError("the commit is not answered yet")
        with translated():
            self._pending.result()


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Retrieve a failure that nobody waits for any more, so that asyncio does not log it."""
    if not future.cancelled():
        future.exception()
