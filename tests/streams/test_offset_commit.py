"""Commits of offsets: one at a time, each waited for within a bound."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import CommitFailedError, KafkaError

from rebate_app.streams.faust import offset_commit as module
from rebate_app.streams.faust.offset_commit import OffsetCommits
from tests.streams.kafka.test_client_border import run


class Consumer:
    """A consumer whose commits are answered when the test says so."""

    def __init__(self) -> None:
        self.commits: list[int] = []
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def commit(self, offsets: dict[str, int]) -> None:
        """Wait for the answer."""
        self.commits.append(offsets["p"])
        await self.answer


def test_a_coordinator_that_hangs_has_one_commit_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one is not sent before the first is answered, whose outcome is not taken for its own."""
    monkeypatch.setattr(module, "COMMIT_SECONDS_MAX", 0.05)

    async def work() -> None:
        consumer: Any = Consumer()
        commits = OffsetCommits()
        for offset in (1, 2):
            with pytest.raises(TimeoutError):
                await commits.commit(consumer, {"p": offset})
        assert consumer.commits == [1]
        consumer.answer.set_exception(CommitFailedError("rebalanced"))
        await asyncio.sleep(0)
        consumer.answer = asyncio.get_running_loop().create_future()
        consumer.answer.set_result(None)
        await commits.commit(consumer, {"p": 3})
        assert consumer.commits == [1, 3]

    run(work)


def test_what_the_broker_says_is_raised() -> None:
    """An error of its own, and a cancellation that nobody of ours caused."""

    async def work() -> None:
        consumer: Any = Consumer()
        consumer.answer.set_exception(CommitFailedError("rebalanced"))
        with pytest.raises(CommitFailedError):
            await OffsetCommits().commit(consumer, {"p": 1})
        cancelled: Any = Consumer()
        cancelled.answer.cancel()
        with pytest.raises(KafkaError):
            await OffsetCommits().commit(cancelled, {"p": 1})

    run(work)
