"""Watches that the logs are still those that the states were made from (docs/adr/0021-lost-logs.md).

At the start, before a topic may be created, the cluster is compared with what the data folder remembers.
While the worker runs, every few seconds also with what its tasks and standbys hold. A loss that lasts ends
the worker with 78; a topic that is missing only makes it not ready, since metadata may lack one for a moment.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaConnectionError, KafkaError

from rebate_app.settings import ConfigurationError, Settings
from rebate_app.wire.topics import Topics

from ..errors import StateLostError
from ..kafka.admin import BrokerUnavailableError
from ..kafka.connection import client_options, why_unreachable
from ..state.log_look import LogLooker, look_once
from ..state.log_losses import Loss, Need, SeenLogs, doubt_about, incomplete, losses, missing_topics
from ..state.log_memory import LogMemory, memories
from ..state.loss_confirmation import AGAIN_SECONDS, LossConfirmation, Suspicions
from .source_check import LogIdentity
from .task import RUNNING

if TYPE_CHECKING:
    from .manager import TaskManager

LOOK_EVERY_SECONDS = 4.0
#: An identity for a takeover may be as old as this.
IDENTITY_SECONDS_MAX = 10.0
#: At a start, each with a pause after it.
LOOKS_MAX = 3

log = logging.getLogger(__name__)


class LogWatch:
    """The logs of one worker. `incomplete`: in words, the stage topics that lack partitions now."""

    def __init__(self, tasks: TaskManager) -> None:
        settings = tasks.settings
        topics = Topics.of(settings)
        self.incomplete: list[str] = []
        self._tasks = tasks
        self._settings = settings
        self._logs = (*topics.sources, *topics.changelogs)
        self._stage_topics = (
            *self._logs,
            *(name for stage in topics.stages for name in (stage.dead_letter, stage.parked)),
        )
        self._looker = LogLooker(tasks.client_options)
        self._seen: tuple[float, SeenLogs] | None = None
        self._suspicions = Suspicions()
        self.memory: LogMemory | None = None  # from when the watch runs

    async def identity(self, topic: str) -> LogIdentity:
        """Return the identity of a log, at most some seconds old. KafkaError, OSError: not known now."""
        if self._seen is None or time.monotonic() - self._seen[0] > IDENTITY_SECONDS_MAX:
            self._seen = time.monotonic(), await self._looker.look(self._stage_topics)
        ids = self._seen[1].ids
        return LogIdentity(ids.cluster, ids.topics.get(topic, ""))

    async def watch(self) -> None:
        """Look every few seconds until cancelled; a confirmed loss ends the worker."""
        memory = self.memory = LogMemory(self._settings.datadir, self._settings.scope)
        try:
            while True:
                try:
                    await self._look(memory)
                except (KafkaError, OSError) as error:  # TimeoutError too
                    log.info("the logs cannot be looked at now: %r", error)
                await asyncio.sleep(LOOK_EVERY_SECONDS)
        finally:
            await self._looker.close()

    async def _look(self, memory: LogMemory) -> None:
        needs = self._needs()
        seen = await self._looker.look(self._stage_topics)
        self._seen = time.monotonic(), seen
        self.incomplete = incomplete(seen, self._stage_topics, self._settings.partitions)
        found = [
            *losses(seen, memory.remembered, needs, self._settings.partitions),
            *self._cut_sources(seen),
        ]
        confirmed = self._suspicions.note(found)
        if confirmed:
            self._tasks.fatal(lost(confirmed))
        elif not found:
            self._remember(memory, seen)

    def _remember(self, memory: LogMemory, seen: SeenLogs) -> None:
        try:
            memory.remember(seen.ids, {spot: end for spot, end in seen.ends.items() if spot[0] in self._logs})
        except OSError as error:
            log.warning("the data folder does not take the ends of the logs: %s", error)

    def _needs(self) -> list[Need]:
        """Return where the logs have to end at least, by what this worker holds now."""
        needs = []
        for (source, number), task in self._tasks.partitions.items():
            needs.append(Need(source, number, task.next_offset, f"the state of {task.name} holds"))
            needs.append(
                Need(task.stage.changelog, number, task.store.position, f"the store of {task.name} holds")
            )
        for (_, number), standby in self._tasks.standbys.followed.items():
            holder = f"the standby of {standby.stage.name}/{number} holds"
            needs.append(Need(standby.stage.changelog, number, standby.store.position, holder))
        return needs

    def _cut_sources(self, seen: SeenLogs) -> list[Loss]:
        """Return the owned sources whose beginning was deleted beyond what is processed."""
        return [
            Loss(
                f"{source}/{number} begin",
                f"{source}/{number} begins at {begin}, {task.position} is needed: input was lost",
            )
            for (source, number), task in self._tasks.partitions.items()
            if task.state == RUNNING and (begin := seen.begins.get((source, number), 0)) > task.position
        ]


async def check_remembered(settings: Settings) -> None:
    """Compare the cluster with what the data folder remembers, before a missing topic may be made anew.

    StateLostError: something is lost, and stays so. BrokerUnavailableError: no broker answers.
    ConfigurationError: the folder cannot be read.
    """
    try:
        memory = LogMemory(settings.datadir, settings.scope)
    except OSError as error:
        raise ConfigurationError(f"REBATE_DATADIR cannot be read: {error}") from error
    if memory.remembered is None:
        await _begin(settings, memory)
        return
    confirmation = LossConfirmation()
    while True:
        seen = await _look_at_start(settings, list(memory.remembered.topics))
        found = losses(seen, memory.remembered, (), None)  # ensure_topics compares the partitions
        found += [] if found else missing_topics(seen, memory.remembered)
        if not found:
            return
        await confirmation.wait(lost(found))


async def _begin(settings: Settings, memory: LogMemory) -> None:
    """Begin a memory of the user log as it is before this worker writes to it."""
    user_log = Topics.of(settings).user_log
    seen = await _look_at_start(settings, [user_log])
    try:
        doubt = doubt_about(user_log, seen, memories(settings.datadir))
        memory.begin(seen.ids, seen.ends, doubt)
    except OSError as error:
        log.warning("the data folder does not take the ends of the logs: %s", error)


async def _look_at_start(settings: Settings, topics: list[str]) -> SeenLogs:
    """Look; again, while a node may be gone. BrokerUnavailableError: no broker answers."""
    options = client_options(settings)
    for _ in range(LOOKS_MAX - 1):
        try:
            return await look_once(options, topics)
        except KafkaConnectionError as error:
            raise BrokerUnavailableError(await why_unreachable(settings, error)) from error
        except (KafkaError, OSError) as error:
            log.info("the logs cannot be looked at now: %r", error)
            await asyncio.sleep(AGAIN_SECONDS)
    try:
        return await look_once(options, topics)
    except (KafkaError, OSError) as error:
        raise BrokerUnavailableError(await why_unreachable(settings, error)) from error


def lost(found: list[Loss]) -> StateLostError:
    """Return the error that names everything that is lost."""
    return StateLostError("; ".join(loss.sentence for loss in found))
