"""What the commands of sources do: calls to the networks, and records of the topic of cursors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Collection
from functools import partial
from importlib.metadata import version
from typing import Any, TypeVar

from aiokafka.errors import KafkaError
from msgspec import Struct

from rebate_app.order_service import OrderService
from rebate_app.settings import (
    EXIT_CONFIGURATION,
    EXIT_FINDINGS,
    EXIT_OK,
    EXIT_SOFTWARE,
    EXIT_TRY_AGAIN,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    Settings,
)
from rebate_app.sources.account import AccountRun, Call
from rebate_app.sources.apis.api import ApiProblem, ErrorClass, load_api, read_answer
from rebate_app.sources.app import AppRun
from rebate_app.sources.configuration import (
    AccountConfiguration,
    SourcesConfiguration,
    SourcesError,
    read_sources,
)
from rebate_app.sources.cursors import (
    AccountDecision,
    CursorTopic,
    NewestCursors,
    decided,
    encode_decision,
    with_backfill,
)
from rebate_app.sources.gateway import Gateway, HttpGateway
from rebate_app.sources.poll import FetcherIdentity, poll_once
from rebate_app.sources.scans import BACKFILL
from rebate_app.sources.status import account_item, kept_items
from rebate_app.streams.failures.dead_letter import WorkerInfo
from rebate_app.streams.kafka.admin import ensure_topics
from rebate_app.streams.kafka.connection import BrokerAwayError, client_options
from rebate_app.wire.audit_trail import encode_trail
from rebate_app.wire.moments import SECOND_US
from rebate_app.wire.topics import Topics

from .command_trail import command_record
from .exits import CommandError
from .terminal import Progress
from .worker_client import WorkerClient

SEND_SECONDS_MAX = 30.0
#: A worker takes a decision within a second or two; nobody did for this long.
TAKEN_SECONDS_MAX = 30.0
POLL_SECONDS = 1.0
CHECK_ATTEMPTS = 3
#: Windows end so many seconds before now.
UP_TO_NOW_SECONDS = 60
#: The rows of so many seconds are asked for in a check.
CHECKED_SECONDS = 60
T = TypeVar("T")
Item = dict[str, Any]


class Polled(Struct, frozen=True):
    """What a poll left: the items of its accounts, and whether rows are left to read.

    `workers`: worker by account, of the accounts that a worker fetches and the command therefore left alone.
    `bugs`: where our own code failed, by account.
    """

    items: list[Item]
    is_behind: bool
    workers: dict[str, str] = {}
    bugs: dict[str, str] = {}

    @property
    def exit_code(self) -> int:
        """Return 70 for a bug of ours, else what the items say."""
        return EXIT_SOFTWARE if self.bugs else exit_of(self.items, is_behind=self.is_behind)


def run(work: Awaitable[T]) -> T:
    """Run a command that needs no broker."""

    async def main() -> T:
        return await work

    return asyncio.run(main())


def configuration_of(settings: Settings) -> SourcesConfiguration:
    """Return the file of REBATE_SOURCES; CommandError with every problem of it."""
    if settings.sources is None:
        raise CommandError("REBATE_SOURCES names no file: see docs/sources.md.", EXIT_CONFIGURATION)
    try:
        return read_sources(settings.sources)
    except SourcesError as error:
        raise CommandError(f"{settings.sources} cannot be used: {error}.", EXIT_CONFIGURATION) from error
    except OSError as error:
        detail = f"{settings.sources} cannot be read: {error.strerror}."
        raise CommandError(detail, EXIT_CONFIGURATION) from error


def account_of(configuration: SourcesConfiguration, name: str) -> AccountConfiguration:
    """Return an account; CommandError if the file has none of that name."""
    if name not in configuration.accounts:
        known = ", ".join(configuration.accounts) or "none"
        raise CommandError(f"The file has no account {name}; it has {known}.", EXIT_USAGE)
    return configuration.accounts[name]


def _chosen(configuration: SourcesConfiguration, name: str | None) -> list[AccountConfiguration]:
    return list(configuration.accounts.values()) if name is None else [account_of(configuration, name)]


# -- check


async def check(configuration: SourcesConfiguration, account: str | None) -> list[Item]:
    """Make one call of each method of each account; return how each ended."""
    apps: dict[str, AppRun] = {}
    async with HttpGateway() as gateway:
        return [
            item
            for each in _chosen(configuration, account)
            for item in await _check_account(
                each,
                apps.setdefault(each.app, AppRun(configuration.apps[each.app], time.monotonic())),
                gateway,
            )
        ]


async def _check_account(account: AccountConfiguration, app: AppRun, gateway: Gateway) -> list[Item]:
    api = load_api(app.configuration.network)
    fetched: list[Item] = []
    for spec in {job.spec.method: job.spec for job in AccountRun(account, app, api).jobs}.values():
        single = AccountRun(account, app, api)
        single.jobs = [job for job in single.jobs if job.spec == spec]
        single.rescans_enabled = False
        single.jobs[0].watermark = None
        outcome = await _one_call(single, gateway)
        fetched.append({"account": account.id, "method": spec.method, **outcome})
    return fetched


async def _one_call(account: AccountRun, gateway: Gateway) -> Item:
    """Make a call that is no learning one, and return how it ended."""
    api = load_api(account.app.configuration.network)
    failure = "no answer"
    for _ in range(CHECK_ATTEMPTS):
        step = await _next_call(account)
        reply = await gateway.post(step.url, step.form)
        failure = reply.failure or failure
        account.answer(step, reply, time.monotonic(), time.time())
        if step.is_learning or step.job.repeats or not reply.status:
            continue
        answer = read_answer(api, step.job.spec, step.query, reply.status, reply.body)
        if isinstance(answer, ApiProblem):
            return {"result": str(answer.error), "code": answer.code, "message": answer.message}
        return {"result": "ok", "code": "", "message": f"{len(answer.rows)} rows on the first page"}
    return {"result": str(ErrorClass.RETRY), "code": "no-answer", "message": failure}


async def _next_call(account: AccountRun) -> Call:
    job = account.jobs[0]
    job.retry_at = float("-inf")
    while True:
        step = account.next(time.monotonic(), time.time())
        if isinstance(step, Call):
            return step
        await asyncio.sleep(min(step, POLL_SECONDS))


def exit_of_checks(found: list[Item]) -> int:
    """Return 1 if anything is stopped, 75 if an error may pass, else 0."""
    results = {each["result"] for each in found}
    if ErrorClass.STOP in results:
        return EXIT_FINDINGS
    return EXIT_OK if results <= {"ok"} else EXIT_TRY_AGAIN


# -- status


async def status(settings: Settings) -> list[Item]:
    """Return what the workers say; of accounts that none runs, what their cursors say."""
    found = await _items_of_workers(settings)
    if found is not None:
        return found
    configuration = configuration_of(settings)
    topic = await _cursors(settings)
    return kept_items(configuration, topic, time.time(), seen=set())


async def _items_of_workers(settings: Settings) -> list[Item] | None:
    """Return what the workers say of all accounts, None where no worker answers."""
    try:
        async with WorkerClient(settings.url) as client:
            found: list[Item] = (await client.get("/v1/sources"))["items"]
            return found
    except CommandError as error:
        if error.exit_code != EXIT_UNAVAILABLE:
            raise
    return None


def exit_of(items: list[Item], *, is_behind: bool = False) -> int:
    """Return 1 if an account or job is stopped, 75 if something is left to read, else 0."""
    stopped = any(item["stopped"] or any(job["stopped"] for job in item["jobs"]) for item in items)
    return EXIT_FINDINGS if stopped else EXIT_TRY_AGAIN if is_behind else EXIT_OK


async def _cursors(settings: Settings) -> CursorTopic:
    """Return the topic of cursors as it is now."""
    topic = CursorTopic(Topics.of(settings).fetch_cursors)
    await _read_on(settings, topic)
    return topic


async def _read_on(settings: Settings, topic: CursorTopic) -> None:
    """Read the topic of cursors to its end."""
    try:
        await topic.read_once(client_options(settings))
    except (KafkaError, OSError) as error:
        raise BrokerAwayError(f"The cursors of sources cannot be read: {error!r}.") from error


# -- poll


async def poll(settings: Settings, configuration: SourcesConfiguration, account: str | None) -> Polled:
    """Fetch what is due of the accounts that no worker fetches, and return what there is of all afterwards.

    A worker does not know of the calls of a command, so both together could exceed the rate of an app: what a
    worker fetches is left to it (docs/spec/sources.md#jobs).
    """
    chosen = _chosen(configuration, account)
    answered = await _items_of_workers(settings) or []
    fetched = {item["account"]: item for item in answered if item["worker"]}
    left = [fetched[each.id] for each in chosen if each.id in fetched]
    free = [each for each in chosen if each.id not in fetched]
    elsewhere = fetched.keys() & configuration.accounts.keys()
    own = await _poll_free(settings, configuration, free, elsewhere) if free else Polled([], False)
    behind = (_is_behind(item, configuration.accounts[item["account"]].hot_seconds) for item in left)
    merged = sorted([*own.items, *left], key=lambda item: str(item["account"]))
    workers = {item["account"]: item["worker"] for item in left}
    return Polled(merged, own.is_behind or any(behind), workers, own.bugs)


async def _poll_free(
    settings: Settings,
    configuration: SourcesConfiguration,
    accounts: list[AccountConfiguration],
    elsewhere: Collection[str],
) -> Polled:
    """Fetch what is due of accounts from here; return what that left."""
    topics = Topics.of(settings)
    await ensure_topics(settings, used=(topics.orders, topics.order_lines.dead_letter, topics.fetch_cursors))
    cursors = await _cursors(settings)
    worker = WorkerInfo(version("taoke-rebate"), "", "", lambda: time.time_ns() // 1_000)
    identity = FetcherIdentity(settings.app_id, settings.partitions, worker)
    async with (
        OrderService(settings, seconds_max=SEND_SECONDS_MAX) as service,
        HttpGateway() as gateway,
    ):
        newest = NewestCursors(cursors, partial(_read_on, settings, cursors))
        fetchers = await poll_once(
            configuration, accounts, cursors, gateway, service, topics, identity, elsewhere, newest
        )
    mono, wall = time.monotonic(), time.time()
    items = [account_item(fetcher.run, None, mono, wall) for fetcher in fetchers]
    bugs = {fetcher.run.configuration.id: fetcher.bug for fetcher in fetchers if fetcher.bug}
    return Polled(items, any(fetcher.run.is_behind for fetcher in fetchers), bugs=bugs)


def _is_behind(item: Item, hot_seconds: int) -> bool:
    """Return whether a worker is behind with an account; with a paused one it is not."""
    ages = [job["age_seconds"] for job in item["jobs"] if not job["stopped"]]
    late_seconds = 2 * (hot_seconds + UP_TO_NOW_SECONDS)
    return item["state"] != "paused" and any(age is None or age > late_seconds for age in ages)


# -- decisions


async def decide(settings: Settings, account: str, by: str, *, paused: bool) -> None:
    """Pause or resume an account on all workers."""
    action = "sources.pause" if paused else "sources.resume"
    known = (await _decisions(settings)).decision(account)
    await _write(settings, account, decided(known, time.time_ns() // 1_000, by, paused=paused), action)


async def backfill(settings: Settings, account: str, start: int, end: int, by: str, report: Progress) -> Item:
    """Ask for an interval to be read again, and wait until it is.

    CommandError if nobody takes the account within a while.
    """
    topic = await _decisions(settings)
    known = topic.decision(account)
    is_same = known is not None and (known.backfill_from, known.backfill_to) == (start, end)
    if known is None or not is_same or _left(topic, account, known.request) == 0:
        known = with_backfill(known, time.time_ns() // 1_000, by, start, end)
        await _write(settings, account, known, "sources.backfill")
    waiting_since = time.monotonic()
    while (left := _left(topic := await _cursors(settings), account, known.request)) != 0:
        newest = topic.decision(account)
        if newest is not None and newest.request != known.request:
            raise CommandError("Another backfill was asked for in place of this one.", EXIT_TRY_AGAIN)
        if left is None and time.monotonic() - waiting_since > TAKEN_SECONDS_MAX:
            detail = (
                "No worker fetches it now: run `rebate sources poll --once`, which goes on with the backfill."
            )
            raise CommandError(detail, EXIT_TRY_AGAIN)
        report(0 if left is None else max(0, (end - start) - left), "seconds read again, of the slowest job")
        await asyncio.sleep(POLL_SECONDS)
    return {"account": account, "from": start * SECOND_US, "to": end * SECOND_US, "done": True}


async def _decisions(settings: Settings) -> CursorTopic:
    """Return the topic of cursors, made if there is none yet: a decision follows the one before it."""
    await ensure_topics(settings, used=(Topics.of(settings).fetch_cursors,))
    return await _cursors(settings)


def _left(topic: CursorTopic, account: str, request: int) -> int | None:
    """Return how many seconds of a backfill are left of the slowest job, None if nobody has taken it."""
    states = [cursor.rescans.get(BACKFILL) for cursor in topic.cursors(account).values()]
    taken = [state for state in states if state is not None and state.at == request]
    if not taken or len(taken) < len(states):
        return None
    return max(sum(end - start for start, end in state.left) for state in taken)


async def _write(settings: Settings, account: str, decision: AccountDecision, action: str) -> None:
    """Write a decision, after its record of the audit trail."""
    topics = Topics.of(settings)
    await ensure_topics(settings, used=(topics.fetch_cursors, topics.audit_trail))
    async with OrderService(settings) as service:
        trail = command_record(action, account, decision.by)
        await service.send(topics.audit_trail, [encode_trail(trail)])
        await service.send(topics.fetch_cursors, [encode_decision(account, decision)])
