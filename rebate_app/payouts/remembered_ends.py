"""Whether this worker may pay by the user log as it is: somebody remembers where it ended.

A log that was restored from a backup lacks attempts that were made: paying by it could pay twice. Where the
worker's memory began in doubt (streams/state/log_memory.py), the members of the group are asked what they
remember; where nobody remembers the log, or it ends before what somebody remembers, all channels are closed
until people have compared and opened them. Nothing is paid before that is settled. See
docs/spec/money-out.md#channel-states.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiokafka.errors import KafkaError
from msgspec import Struct

from rebate_app.settings import Settings
from rebate_app.streams.kafka.connection import client_options
from rebate_app.streams.kafka.lease_clock import lease_clock
from rebate_app.streams.state.log_look import look_once
from rebate_app.streams.state.log_losses import doubt_about
from rebate_app.streams.state.log_memory import ENDS_BEFORE, NOBODY_REMEMBERS, LogMemory, memories
from rebate_app.wire.topics import Topics

LOOK_SECONDS: Final = 0.5
#: Members that do not answer are asked again for so long; then they count as such that remember nothing.
ANSWER_SECONDS_MAX: Final = 15.0
WHY_CLOSED: Final = {
    NOBODY_REMEMBERS: "no worker remembers where the user log ended: compare with the bills, then open",
    ENDS_BEFORE: "the user log ends before its remembered end: compare with the bills, then open",
}

log = logging.getLogger(__name__)


class RememberedEnds(Struct, frozen=True):
    """What a worker remembers of the user log: its cluster, topic id, and highest end by partition.

    `settled`: nothing about it is in doubt.
    """

    cluster: str
    topic_id: str
    ends: dict[int, int]
    settled: bool


#: What the other members of the group remember, None for one that does not answer.
AskMembers = Callable[[], Awaitable[Sequence[RememberedEnds | None]]]
#: Close every channel that is not closed, for the reason. Any error: not all of them are.
CloseAll = Callable[[str], Awaitable[None]]


async def _nobody() -> Sequence[RememberedEnds | None]:
    """Return what a group without other members remembers."""
    return ()


class EndsKeeper:
    """Settles the doubts of one worker's memory of the user log, once its app is active."""

    def __init__(
        self,
        user_log: str,
        memory: Callable[[], LogMemory | None],
        close_all: CloseAll,
        clock: Callable[[], float] = lease_clock,
    ) -> None:
        self.ask_members: AskMembers = _nobody  # set once there is somebody who can ask
        self._user_log = user_log
        self._memory = memory
        self._close_all = close_all
        self._clock = clock
        self._waiting_since: float | None = None

    @property
    def is_settled(self) -> bool:
        """Whether payouts may be sent by the log as it is."""
        memory = self._memory()
        return memory is not None and memory.remembered is not None and not memory.remembered.unsettled

    def remembered(self) -> RememberedEnds | None:
        """Return what this worker remembers, None while it remembers nothing."""
        memory = self._memory()
        if memory is None or memory.remembered is None:
            return None
        topic = memory.remembered.topics.get(self._user_log)
        if topic is None:
            return None
        settled = not memory.remembered.unsettled
        return RememberedEnds(memory.remembered.cluster, topic.id, topic.ends, settled)

    async def watch(self, is_ready: Callable[[], bool]) -> None:
        """Settle what is in doubt, once `is_ready`; return when nothing is."""
        while not self.is_settled:
            if is_ready():
                try:
                    await self.settle()
                except (KafkaError, OSError, TimeoutError) as error:
                    log.warning("channels cannot be closed for now: %r", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def settle(self) -> None:
        """Take what members remember, or close all channels; KafkaError, OSError: try again."""
        memory, own = self._memory(), self.remembered()
        if memory is None or memory.remembered is None or own is None:
            return
        doubt = memory.remembered.unsettled
        if doubt == NOBODY_REMEMBERS:
            answers = await self.ask_members()
            known = [each for each in answers if each is not None and _same_log(each, own)]
            if known:
                ends = {n: max(each.ends.get(n, 0) for each in known) for each in known for n in each.ends}
                log.info("another worker remembers the ends of the user log: %s", ends)
                memory.settle(self._user_log, ends)
                return
            if None in answers and not self._is_late():
                return
        reason = WHY_CLOSED.get(doubt, doubt)
        log.warning("all channels are closed: %s", reason)
        await self._close_all(reason)
        memory.settle(self._user_log, {})

    def _is_late(self) -> bool:
        if self._waiting_since is None:
            self._waiting_since = self._clock()
        return self._clock() - self._waiting_since > ANSWER_SECONDS_MAX


def _same_log(each: RememberedEnds, own: RememberedEnds) -> bool:
    return each.settled and (each.cluster, each.topic_id) == (own.cluster, own.topic_id)


async def why_closed(settings: Settings) -> str:
    """Return why channels are to be closed before another app pays, by what this machine's data folder knows.

    "": nothing speaks against it. KafkaError, OSError: the log or the folder cannot be read.
    """
    user_log = Topics.of(settings).user_log
    seen = await look_once(client_options(settings), [user_log])
    doubt = doubt_about(user_log, seen, memories(settings.datadir))
    return WHY_CLOSED[ENDS_BEFORE] if doubt == ENDS_BEFORE else ""
