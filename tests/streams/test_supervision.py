"""A long-lived task that ends by itself ends the worker, and every task of ours is one or has a reason."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from rebate_app.settings import EXIT_CONFIGURATION, EXIT_SOFTWARE, EXIT_TRY_AGAIN
from rebate_app.streams.errors import StateLostError, StreamsError, TaskEndedError
from rebate_app.streams.supervision import supervise
from tests.streams.kafka.test_client_border import cancelled_by_nobody, modules, run

MAKES_TASKS = {"create_task", "ensure_future", "add_future", "run_coroutine_threadsafe"}
#: Modules that make tasks by other means than `supervise`, and who sees such a task's end.
AWAITED = {
    "rebate_app/streams/supervision.py": "supervise itself",
    "rebate_app/streams/kafka/aiokafka_clients.py": "stops raise nothing; the caller shields them",
    "rebate_app/streams/transaction/producers.py": "starts and the commit, awaited by the partition",
    "rebate_app/streams/faust/offset_commit.py": "the commit, whose outcome is looked at before the next one",
    "rebate_app/streams/faust/consumer_thread.py": "the first heartbeat; another one follows by itself",
    "rebate_app/streams/faust/recovery.py": "a task of Faust's service, under `watched`",
    "rebate_app/worker.py": "services of the app under `watched`, and the end, which leaves in any case",
    "rebate_app/order_service.py": "discards, which raise nothing",
    "rebate_app/audit_trail/writer.py": "the commit of a group, whose failure each waiting request is told",
    "rebate_app/webhooks/retry_sender.py": "discards, which raise nothing",
    "rebate_app/streams/side/service.py": "services of partitions, gathered by `_serve`, which is supervised",
    "rebate_app/sources/service.py": "accounts, which log their failure; `_adjust` looks at their end",
    "rebate_app/payouts/desk.py": "the watch of the channels file, whose end `watch` looks at each second",
    "rebate_app/payouts/service.py": "followers and partitions, whose ends `watch` and `_look` look at",
    "rebate_app/payouts/executor.py": "calls, whose failure `_guarded` logs; they are asked about later",
    "rebate_app/webhooks/partition_deliverer.py": "attempts, whose end `_ended` looks at",
}


def makes_tasks(tree: ast.Module) -> bool:
    """Whether the module makes a task, or has Faust make one."""
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}
    services = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return bool(names & MAKES_TASKS) or any(
        node.attr in ("task", "timer") and ast.unparse(node.value) == "Service" for node in services
    )


def test_every_task_is_supervised_or_awaited() -> None:
    """A module that begins to make tasks has to use `supervise`, or to say here who sees their end."""
    assert {name for name, tree in modules() if makes_tasks(tree)} == set(AWAITED)


async def returns() -> None:
    """Come to an end."""


def raises(error: Exception) -> Callable[[], Awaitable[None]]:
    """Return work that fails."""

    async def work() -> None:
        raise error

    return work


class TestSupervise:
    """Which ends are reported, and with which exit code."""

    @pytest.mark.parametrize(
        ("work", "code", "words"),
        [
            (returns, EXIT_SOFTWARE, "without a reason"),
            (cancelled_by_nobody, EXIT_TRY_AGAIN, "CancelledError"),
            (raises(KafkaError("away")), EXIT_TRY_AGAIN, "away"),
            (raises(ValueError("bug")), EXIT_SOFTWARE, "bug"),
        ],
    )
    def test_an_end_of_its_own_is_fatal(self, work: Any, code: int, words: str) -> None:
        """Returned, cancelled by nobody of ours, or failed."""
        (error,) = self._errors_of(work)
        assert isinstance(error, TaskEndedError)
        assert error.exit_code == code
        assert words in str(error)
        assert "the task example ended by itself" in str(error)

    def test_an_error_that_says_how_to_end_is_handed_on(self) -> None:
        """Its own exit code and its own sentence."""
        (error,) = self._errors_of(raises(StateLostError("lost")))
        assert (str(error).partition(";")[0], error.exit_code) == ("lost", EXIT_CONFIGURATION)

    def test_our_own_stop_is_no_error(self) -> None:
        """`cancel`, before and after it has begun to run; and a return that is allowed."""
        errors: list[StreamsError] = []

        async def work() -> None:
            for turns in (0, 1):
                task = supervise(asyncio.Event().wait, "example", errors.append)  # type: ignore[arg-type]
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                assert task.cancelled()
            await supervise(returns, "example", errors.append, may_return=True)

        run(work)
        assert errors == []

    def _errors_of(self, work: Any) -> list[StreamsError]:
        errors: list[StreamsError] = []

        async def whole() -> None:
            await supervise(work, "example", errors.append)

        run(whole)
        return errors
