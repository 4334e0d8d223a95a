"""Fetch once without a worker: every due scan of every account, then end (`rebate sources poll --once`)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping

from msgspec import Struct

from rebate_app.streams.failures.dead_letter import WorkerInfo, failure_of
from rebate_app.wire.networks.adapter import load_adapter
from rebate_app.wire.topics import Topics

from .account import AccountRun, Call
from .apis.api import load_api
from .app import AppRun
from .configuration import AccountConfiguration, AppConfiguration, SourcesConfiguration
from .cursors import CursorTopic, NewestCursors
from .facts import Destination, FactMaker
from .fetcher import IDLE_SECONDS_MAX, Fetcher, FetchTopics, Sender
from .gateway import Gateway

log = logging.getLogger(__name__)

#: So many errors of a job in a row, and its account is left for the next time.
FAILURES_MAX = 5


class FetcherIdentity(Struct, frozen=True):
    """Who fetches, for dead letters; `partitions` of the orders topic."""

    app: str
    partitions: int
    worker: WorkerInfo


def make_fetcher(
    account: AccountConfiguration,
    app: AppRun,
    gateway: Gateway,
    sender: Sender,
    topics: Topics,
    identity: FetcherIdentity,
    *,
    may_write: Callable[[], bool] = lambda: True,
    newest: NewestCursors | None = None,
    observe: Callable[[Call, str], None] = lambda _call, _outcome: None,
) -> Fetcher:
    """Return the fetcher of one account."""
    network = app.configuration.network
    api = load_api(network)
    dead_letters = topics.order_lines.dead_letter
    destination = Destination(topics.orders, dead_letters, identity.partitions, identity.app, identity.worker)
    return Fetcher(
        AccountRun(account, app, api),
        FactMaker(network, load_adapter(network), api, destination),
        gateway,
        sender,
        FetchTopics(topics.orders, dead_letters, topics.fetch_cursors),
        may_write=may_write,
        newest=newest,
        observe=observe,
    )


def app_runs(apps: Mapping[str, AppConfiguration]) -> dict[str, AppRun]:
    """Return a run of each app."""
    return {name: AppRun(app, time.monotonic()) for name, app in apps.items()}


async def poll_once(
    configuration: SourcesConfiguration,
    accounts: list[AccountConfiguration],
    cursors: CursorTopic,
    gateway: Gateway,
    sender: Sender,
    topics: Topics,
    identity: FetcherIdentity,
    elsewhere: Collection[str] = (),
    newest: NewestCursors | None = None,
) -> list[Fetcher]:
    """Run accounts until nothing is due, all at once; return them with what they read.

    `elsewhere`: ids of accounts that workers run, whose part of an app's rate and day is theirs. `newest`:
    how far other polls have come meanwhile.
    """
    apps = app_runs(configuration.apps)
    for name, app in apps.items():
        total = len(configuration.accounts_of(name))
        theirs = sum(configuration.accounts[each].app == name for each in elsewhere)
        app.share((total - theirs) / max(1, total), time.monotonic())
    own = [each for each in configuration.accounts.values() if each.id not in elsewhere]
    for account in own:
        for cursor in cursors.cursors(account.id).values():
            apps[account.app].budget.restore(cursor.day, cursor.calls_today, cursor.rescan_calls_today)
    fetchers = []
    for account in accounts:
        fetcher = make_fetcher(account, apps[account.app], gateway, sender, topics, identity, newest=newest)
        fetcher.restore(dict(cursors.cursors(account.id)))
        fetcher.decide(cursors.decision(account.id), cursors.place(account.id), resumes=False)
        fetchers.append(fetcher)
    await asyncio.gather(*(_until_idle_or_bug(fetcher) for fetcher in fetchers))
    return fetchers


async def until_idle(fetcher: Fetcher) -> None:
    """Fetch until nothing is due, or an error does not pass."""
    while not fetcher.run.is_idle(time.monotonic(), time.time()) and not is_delayed(fetcher):
        wait = await fetcher.step()
        await asyncio.sleep(min(IDLE_SECONDS_MAX, wait))
    await fetcher.save()


async def _until_idle_or_bug(fetcher: Fetcher) -> None:
    """Fetch until nothing is due; our own bug ends this account's poll and no other's."""
    try:
        await until_idle(fetcher)
    except Exception as error:
        log.exception("source %s failed", fetcher.run.configuration.id)
        fetcher.bug = failure_of(error).fault.detail


def is_delayed(fetcher: Fetcher) -> bool:
    """Return whether the account has to wait for longer than a command does."""
    run = fetcher.run
    return run.app.closed_until is not None or any(job.failures >= FAILURES_MAX for job in run.jobs)
