"""Fetch the accounts whose partition this worker owns, beside the engine (docs/spec/sources.md#jobs).

An account belongs to the worker that owns the partition of the key `source:<account id>` of `order_topic`.
Nothing here delays a stage or ends the worker: a failure of an account is logged, and it begins again from
its cursors. Two workers that fetch one account for a moment do no harm.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from aiokafka.errors import KafkaError
from msgspec import Struct

from rebate_app.metrics.catalogue import SOURCE_CALLS, SOURCE_ROWS, WATCHED_FILE_OK
from rebate_app.metrics.registry import Sample
from rebate_app.order_service import OrderService
from rebate_app.settings import ConfigurationError, Settings
from rebate_app.streams.failures.dead_letter import WorkerInfo
from rebate_app.streams.task.manager import TaskManager
from rebate_app.streams.task.task import RUNNING
from rebate_app.streams.transaction.partitioner import partition_of
from rebate_app.wire.topics import Topics

from .account import Call
from .apis.api import load_api
from .app import AppRun
from .configuration import AccountConfiguration, AppConfiguration, SourcesConfiguration, read_sources
from .cursors import AccountDecision, CursorTopic
from .fetcher import Fetcher
from .gateway import HttpGateway
from .gauges import read_fetchers
from .poll import FetcherIdentity, make_fetcher
from .status import Item, account_item, kept_items

#: The content of the file and of its secrets is in force within 5 s.
REFRESH_SECONDS = 1.0
READ_FILE_SECONDS = 2.0
RETRY_SECONDS = 5.0
KEY_PREFIX = "source:"

log = logging.getLogger(__name__)


class _Running(Struct):
    """An account that is fetched here, with what it was configured as."""

    configuration: tuple[AccountConfiguration, AppConfiguration]
    fetcher: Fetcher
    task: asyncio.Task[None]
    counted: dict[str, dict[str, int]] = {}


class SourceService:
    """Fetches accounts of one worker. `watch` runs until cancelled."""

    def __init__(
        self, settings: Settings, topics: Topics, tasks: TaskManager, sender: OrderService, worker: WorkerInfo
    ) -> None:
        self._path: Path | None = settings.sources
        self._settings = settings
        self._topics = topics
        self._tasks = tasks
        self._sender = sender
        self._identity = FetcherIdentity(settings.app_id, settings.partitions, worker)
        self._cursors = CursorTopic(topics.fetch_cursors, tasks.skipped)
        self._running: dict[str, _Running] = {}
        self._apps: dict[str, AppRun] = {}
        self._problem = ""
        self._read_at = time.monotonic()
        self.configuration = self._first_configuration()

    def _first_configuration(self) -> SourcesConfiguration:
        """Read the file at the start of a worker; ConfigurationError with all its problems."""
        if self._path is None:
            return SourcesConfiguration()
        try:
            return read_sources(self._path)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"REBATE_SOURCES {self._path} cannot be used: {error}") from error

    @property
    def is_configured(self) -> bool:
        """Return whether there is a file of sources."""
        return self._path is not None

    async def watch(self) -> None:
        """Follow file, decisions and partitions, and fetch, until cancelled."""
        async with HttpGateway() as gateway:
            following = asyncio.create_task(self._follow_cursors())
            try:
                while True:
                    try:
                        await self._read_file()
                        await self._adjust(gateway)
                    except Exception:
                        log.exception("sources: what runs here could not be adjusted")
                    await asyncio.sleep(REFRESH_SECONDS)
            finally:
                following.cancel()
                await self._stop(list(self._running))

    # -- what is known

    async def _read_file(self) -> None:
        """Take a changed file, or changed secrets, into force."""
        if self._path is None or time.monotonic() - self._read_at < READ_FILE_SECONDS:
            return
        self._read_at = time.monotonic()
        before = self.configuration.content
        try:
            self.configuration = await asyncio.to_thread(read_sources, self._path)
        except (OSError, ValueError) as error:
            if str(error) != self._problem:
                log.warning("sources: %s cannot be used: %s; the file before holds", self._path, error)
            self._problem = str(error)
        else:
            self._problem = ""
            if self.configuration.content != before:
                log.info("sources: the changed file %s is in force", self._path)
                for running in self._running.values():
                    running.fetcher.run.resume()

    async def _follow_cursors(self) -> None:
        """Follow cursors and decisions."""
        while True:
            try:
                await self._cursors.follow(self._tasks.client_options, self._decide)
            except (KafkaError, OSError, TimeoutError) as error:
                log.info("cursors of sources cannot be read now: %r", error)
            except Exception:
                log.exception("sources: the cursors cannot be followed")
            await asyncio.sleep(RETRY_SECONDS)

    def _decide(self) -> None:
        for name, running in self._running.items():
            running.fetcher.decide(self._cursors.decision(name), self._cursors.place(name), resumes=True)

    def _owns(self, account: str) -> bool:
        """Return whether this worker owns the account's partition, and its lease holds."""
        partition = partition_of(f"{KEY_PREFIX}{account}".encode(), self._settings.partitions)
        task = self._tasks.partitions.get((self._topics.orders, partition))
        return task is not None and task.state == RUNNING and self._tasks.lease_holds()

    # -- what runs

    async def _adjust(self, gateway: HttpGateway) -> None:
        """Begin and end accounts, as file and partitions say."""
        wanted = {
            name: (account, self.configuration.apps[account.app])
            for name, account in self.configuration.accounts.items()
            if self._owns(name)
        }
        ended = [
            name
            for name, running in self._running.items()
            if wanted.get(name) != running.configuration or running.task.done()
        ]
        await self._stop(ended)
        new = {name: pair for name, pair in wanted.items() if name not in self._running}
        if new:
            await self._begin(new, gateway)
        if new or ended:
            self._share_out(wanted)

    async def _begin(
        self, new: dict[str, tuple[AccountConfiguration, AppConfiguration]], gateway: HttpGateway
    ) -> None:
        """Begin accounts behind their newest cursors."""
        cursors = CursorTopic(self._topics.fetch_cursors)
        try:
            await cursors.read_once(self._tasks.client_options)
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("sources wait for the broker: %r", error)
            return
        for name, pair in new.items():
            account, app = pair
            if app.id not in self._apps or self._apps[app.id].configuration != app:
                self._apps[app.id] = AppRun(app, time.monotonic())
            fetcher = make_fetcher(
                account,
                self._apps[app.id],
                gateway,
                self._sender,
                self._topics,
                self._identity,
                may_write=partial(self._owns, name),
                observe=partial(self._count_call, app.id),
            )
            fetcher.restore(dict(cursors.cursors(name)))
            fetcher.decide(cursors.decision(name), cursors.place(name), resumes=False)
            task = asyncio.create_task(self._work(name, fetcher))
            self._running[name] = _Running(pair, fetcher, task)
            log.info("source %s is fetched by this worker", name)

    async def _work(self, name: str, fetcher: Fetcher) -> None:
        """Fetch one account; our own failure ends it, and it begins again."""
        try:
            await fetcher.work()
        except Exception:
            log.exception("source %s failed, and begins again", name)
            await asyncio.sleep(RETRY_SECONDS)

    async def _stop(self, names: list[str]) -> None:
        """End accounts."""
        ended = [self._running.pop(name) for name in names]
        for running in ended:
            running.task.cancel()
        await asyncio.gather(*(running.task for running in ended), return_exceptions=True)

    def known_jobs(self) -> tuple[tuple[str, str], ...]:
        """Return every account with each of its jobs, for counters that begin at 0."""
        configuration = self.configuration
        return tuple(
            (account.id, spec.name)
            for account in configuration.accounts.values()
            for spec in load_api(configuration.apps[account.app].network).jobs(account)
        )

    def known_methods(self) -> tuple[tuple[str, str], ...]:
        """Return every app with each method that it calls."""
        configuration = self.configuration
        return tuple(
            sorted(
                {
                    (account.app, spec.method)
                    for account in configuration.accounts.values()
                    for spec in load_api(configuration.apps[account.app].network).jobs(account)
                }
            )
        )

    def _share_out(self, mine: dict[str, tuple[AccountConfiguration, AppConfiguration]]) -> None:
        """Give each app the part of its budget that belongs to the accounts that run here."""
        for name, app in self._apps.items():
            own = sum(account.app == name for account, _ in mine.values())
            app.share(own / max(1, len(self.configuration.accounts_of(name))), time.monotonic())
            app.budget.recount(
                [
                    (job.day, job.calls_today, job.rescan_calls_today)
                    for running in self._running.values()
                    if running.configuration[1].id == name
                    for job in running.fetcher.run.jobs
                ]
            )

    # -- what is seen

    def decision(self, account: str) -> AccountDecision | None:
        """Return the newest decision about an account."""
        return self._cursors.decision(account)

    def _count_call(self, app: str, call: Call, outcome: str) -> None:
        self._tasks.metrics.add(SOURCE_CALLS, (app, call.job.spec.method, outcome))
        running = next((each for each in self._running.values() if call.job in each.fetcher.run.jobs), None)
        if running is not None:
            self._count_rows(running)

    def _count_rows(self, running: _Running) -> None:
        """Count the rows of an account since the last time."""
        for job in running.fetcher.run.jobs:
            before = running.counted.get(job.spec.name, {})
            for outcome, count in job.rows.items():
                grown = count - before.get(outcome, 0)
                if grown:
                    labels = (running.configuration[0].id, job.spec.name, outcome)
                    self._tasks.metrics.add(SOURCE_ROWS, labels, grown)
            running.counted = {**running.counted, job.spec.name: dict(job.rows)}

    def items(self, seen: set[str] | None = None) -> list[Item]:
        """Return the accounts that run here; with `seen`, those of other workers, also those of nobody."""
        mono, wall = time.monotonic(), time.time()
        own = [
            account_item(running.fetcher.run, self._settings.own_url, mono, wall)
            for running in self._running.values()
        ]
        if seen is None:
            return own
        known = {item["account"] for item in own} | seen
        return own + kept_items(self.configuration, self._cursors, wall, seen=known)

    def gauges(self) -> Iterator[Sample]:
        """Yield the gauges of accounts and apps that run here."""
        if self._path is None:
            return
        yield Sample(WATCHED_FILE_OK, ("sources",), not self._problem)
        runs = [running.fetcher.run for running in self._running.values()]
        yield from read_fetchers(runs, time.monotonic(), time.time())
