"""The life of a task: which changes of state are legal, and that nothing else is possible."""

from __future__ import annotations

import asyncio
from itertools import product

import pytest

from rebate_app.streams.task.task import CLOSED, OPENING, RUNNING, TRANSITIONS
from tests.streams.small_stage import Owner, SmallStage

LEGAL = {
    (OPENING, OPENING),
    (OPENING, RUNNING),
    (OPENING, CLOSED),
    (RUNNING, OPENING),
    (RUNNING, CLOSED),
    (CLOSED, OPENING),
    (CLOSED, CLOSED),
}
#: How each state is reached from the beginning, which is OPENING.
WAY_TO = {OPENING: [], RUNNING: [RUNNING], CLOSED: [CLOSED]}


@pytest.mark.parametrize(("before", "after"), list(product(WAY_TO, repeat=2)))
def test_only_what_the_table_has_is_possible(before: str, after: str) -> None:
    """An illegal change raises and leaves the state as it is."""
    assert ((before, after) in LEGAL) == (after in TRANSITIONS[before])

    async def work() -> str:
        task = Owner("127.0.0.1:9", SmallStage("p-")).stream
        for state in WAY_TO[before]:
            task._become(state)
        if (before, after) in LEGAL:
            task._become(after)
        else:
            with pytest.raises(RuntimeError, match=f"adding/0 cannot become {after} while it is {before}"):
                task._become(after)
            after_failure = task.state
            assert after_failure == before
        return task.state

    assert asyncio.run(work()) == (after if (before, after) in LEGAL else before)


def test_a_task_that_was_stopped_runs_only_after_it_is_opened() -> None:
    """Whoever starts it without the fence gets an error, and no batch is taken."""

    async def work() -> None:
        owner = Owner("127.0.0.1:9", SmallStage("p-"))
        await owner.stream.stop()
        with pytest.raises(RuntimeError, match="cannot become running while it is closed"):
            owner.stream.start()
        owner.stream.submit(SmallStage("p-").batch(0, b"1"))
        assert owner.stream.state == CLOSED
        assert await owner.stream.drain(1.0), "it has nothing to do"

    asyncio.run(work())
