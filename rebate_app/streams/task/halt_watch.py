"""Ends halts that an operator ended, and measures the lag of halted partitions, which nobody fetches from.

While a partition is halted, the topic of decisions is followed; otherwise nothing is read.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiokafka.errors import ConsumerStoppedError, KafkaError

from ..kafka.resumptions import Resumptions
from ..supervision import supervise

if TYPE_CHECKING:
    from .manager import TaskManager
    from .task import StreamTask

LOOK_EVERY_SECONDS = 0.5
READ_AGAIN_SECONDS = 2.0
#: Ends of halted partitions, for their lag.
MEASURE_EVERY_SECONDS = 2.0

log = logging.getLogger(__name__)


class HaltWatch:
    """Watches the halted partitions of one worker."""

    def __init__(self, tasks: TaskManager, resumptions: Resumptions) -> None:
        self.resumptions = resumptions
        resumptions.skip = tasks.skipped
        self._tasks = tasks

    def halted(self) -> list[StreamTask]:
        """Return the tasks whose partition is halted, in order."""
        return [task for _, task in sorted(self._tasks.partitions.items()) if task.halt is not None]

    async def watch(self) -> None:
        """Follow the resumptions while a partition is halted; until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            if not self.halted():
                continue
            following = supervise(self._follow, "resumptions", self._tasks.fatal)
            try:
                while self.halted():
                    await self._measure()
                    await asyncio.sleep(MEASURE_EVERY_SECONDS)
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            try:
                await self.resumptions.follow(self._tasks.client_options, self.resume)
            except (KafkaError, OSError, TimeoutError) as error:
                log.info("resumptions of halted partitions cannot be read now: %r", error)
            await asyncio.sleep(READ_AGAIN_SECONDS)

    def resume(self) -> None:
        """Go on reading the partitions that are resumed by what is known now."""
        for task in self.halted():
            resumption = self.resumptions.of(task.stage.source, task.partition)
            if task.halt is not None and task.halt.is_ended_by(resumption):
                log.info("%s is resumed: %s", task.name, resumption)
                task.resume()

    async def _measure(self) -> None:
        """Read the ends of the halted partitions, so that their lag grows with what arrives."""
        wanted = {(task.stage.source, task.partition): task for task in self.halted()}
        try:
            ends = await self._tasks.group_offsets(set(wanted), committed=False)
        except (KafkaError, OSError, ConsumerStoppedError) as error:
            log.info("the lag of halted partitions is not known now: %r", error)
            return
        for key, (_, end, _) in ends.items():
            wanted[key].stable_end = max(wanted[key].stable_end, end)
