"""Long-lived asyncio tasks whose unexpected end ends the worker, with an exit code and a line in the log.

A supervisor restarts a worker that ends, but nobody restarts a task. Every task that is not awaited runs
under `supervise` or, where Faust creates the task, under `watched` (tests/streams/test_supervision.py lists
them).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from .errors import StreamsError, TaskEndedError, exit_code_of
from .kafka.aiokafka_clients import is_cancelled_by_us

Fatal = Callable[[StreamsError], None]

log = logging.getLogger(__name__)


def supervise(
    work: Callable[[], Awaitable[None]], name: str, fatal: Fatal, *, may_return: bool = False
) -> asyncio.Task[None]:
    """Run the work in a task of its own, which only `cancel` may end.

    Any other end is passed to `fatal`: an exception, a CancelledError although nobody cancelled the task, and
    a return, unless `may_return`.
    """
    return asyncio.create_task(watched(work, name, fatal, may_return=may_return), name=name)


async def watched(
    work: Callable[[], Awaitable[None]], name: str, fatal: Fatal, *, may_return: bool = False
) -> None:
    """Run the work in the current task, and report an unexpected end (see `supervise`)."""
    try:
        await work()
    except asyncio.CancelledError as error:
        if is_cancelled_by_us():
            raise
        fatal(TaskEndedError(name, error))
    except StreamsError as error:
        fatal(error)
    except Exception as error:
        log.exception("the task %s failed", name)
        fatal(TaskEndedError(name, error, exit_code_of(error)))
    else:
        if not may_return:
            fatal(TaskEndedError(name, None))
