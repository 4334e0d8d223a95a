"""The worker process: checks before it joins the group, and its end, always with the right exit code."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import resource
import secrets
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import faust
from aiokafka.errors import KafkaError
from yarl import URL

from rebate_app.audit_trail.service import AuditTrailService
from rebate_app.data_folder import make_private, tighten
from rebate_app.dead_letters.open_dead_letters import OpenDeadLetters
from rebate_app.metrics.minute_samples import MinuteSamples
from rebate_app.order_service import OrderService
from rebate_app.own_url import ProvenUrlBoot, UrlProof, refuse_announced, refuse_taken
from rebate_app.payouts.service import PayoutService
from rebate_app.process_memory import release_freed_memory, tune_garbage_collection
from rebate_app.settings import (
    EXIT_CONFIGURATION,
    EXIT_TRY_AGAIN,
    EXIT_UNAVAILABLE,
    ConfigurationError,
    Settings,
    shown_settings,
)
from rebate_app.sources.service import SourceService
from rebate_app.streams.errors import StreamsError, exit_code_of
from rebate_app.streams.kafka.active_app import ActiveApp
from rebate_app.streams.kafka.admin import BrokerUnavailableError, ensure_topics
from rebate_app.streams.kafka.connection import client_options
from rebate_app.streams.kafka.event_epoch import EventEpoch, event_epoch
from rebate_app.streams.kafka.rule_start import start_with_rules
from rebate_app.streams.kafka.rule_versions import PublishedRules
from rebate_app.streams.state.folder import StoreFolder
from rebate_app.streams.state.log_identity import log_ids
from rebate_app.streams.supervision import watched
from rebate_app.streams.task.log_watch import check_remembered
from rebate_app.streams.task.manager import TaskManager
from rebate_app.web.auth.credential_files import CredentialFiles
from rebate_app.webhooks.service import NoWebhooks, WebhookService
from rebate_app.wire.rules.files import RuleFile
from rebate_app.wire.topics import Topics

STOP_SECONDS_MAX = 9.0  # SIGTERM drains and ends within 10 s, whatever hangs
FATAL_SECONDS_MAX = 5.0
LAST_SECONDS_MAX = 1.0
#: 1,000 client connections, those that are refused, and what stores, broker and webhooks need.
FILES_NEEDED = 4_096
FILES_WANTED = 65_536

log = logging.getLogger(__name__)


def raise_file_limit() -> None:
    """Raise the limit of open files as far as the system allows, for clients, stores and broker."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if wanted > soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < FILES_NEEDED and soft < FILES_NEEDED:
        log.warning("the worker may open %d files only, %d are advised (ulimit -n)", wanted, FILES_NEEDED)


def leave(code: int) -> None:
    """End the process at once with that exit code, after flushing its log."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class RebateWorker(faust.Worker):
    """Faust's worker, which closes its event loop when nothing is left in it."""

    async def _sentinel_task(self) -> None:
        """Wait for what was cancelled; Faust's waits for a second, whatever is left."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            await asyncio.wait(left, timeout=LAST_SECONDS_MAX)
        await asyncio.sleep(0)  # connections that were closed are told in the next round


class RebateWorkerApp(faust.App):
    """A Faust app that checks its surroundings before it joins, and ends within a bounded time."""

    tasks: TaskManager
    order_service: OrderService
    open_dead_letters: OpenDeadLetters
    rules: PublishedRules
    active_app: ActiveApp
    stores: StoreFolder | None
    webhooks: WebhookService | NoWebhooks
    payouts: PayoutService
    credential_files: CredentialFiles
    audit_trail: AuditTrailService
    samples: MinuteSamples
    sources: SourceService

    BootStrategy = ProvenUrlBoot

    def __init__(self, *args: Any, settings: Settings, rule_files: Sequence[RuleFile], **kwargs: Any) -> None:
        self.settings = settings
        self.instance = secrets.token_hex(16)
        self.url_proof = UrlProof(self)
        self.rule_files = rule_files
        self.event_epoch = EventEpoch()
        self._ending = False
        super().__init__(*args, **kwargs)

    async def start(self) -> None:
        """Start; a failure that `on_start` does not handle ends the process with its own exit code."""
        try:
            await super().start()
        except ConfigurationError as error:
            log.critical("%s", error)
            leave(EXIT_CONFIGURATION)
        except Exception as error:
            log.exception("the worker cannot start")
            leave(EXIT_TRY_AGAIN if self.should_stop else exit_code_of(error))

    def _crash(self, reason: BaseException) -> None:
        """End the worker when a part of Faust crashes, which otherwise exits with 1, or hangs."""
        super()._crash(reason)
        if isinstance(reason, StreamsError):
            self.fatal(reason)
            return
        crash = StreamsError(f"the worker has crashed: {reason!r}")
        crash.exit_code = EXIT_TRY_AGAIN if self.should_stop else exit_code_of(reason)
        self.fatal(crash)

    async def on_first_start(self) -> None:
        """Create the worker's data folder, accessible to its user only."""
        try:
            make_private(self.conf.datadir)
            warning = tighten(self.settings.datadir)
        except OSError as error:
            log.critical("REBATE_DATADIR cannot be used: %s", error)
            leave(EXIT_CONFIGURATION)
        if warning:
            log.warning("%s", warning)
        await super().on_first_start()

    async def on_start(self) -> None:
        """Check URL, topics and rules; a fault of them is one sentence in the log and an exit code."""
        shown = " ".join(f"{name}={value}" for name, value in shown_settings(self.settings).items())
        log.info("settings: %s", shown)
        raise_file_limit()
        if self.settings.advertised_url:
            self.conf.canonical_url = URL(self.settings.own_url)
        try:
            await self._check_surroundings()
        except ConfigurationError as error:
            log.critical("%s", error)
            leave(EXIT_CONFIGURATION)
        except StreamsError as error:
            log.critical("%s", error)
            leave(error.exit_code)
        except BrokerUnavailableError as error:
            log.critical("%s", error)
            leave(EXIT_UNAVAILABLE)
        # On SIGUSR2 Faust opens a debugger, which waits for ever without a terminal.
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, log.info, "SIGUSR2 is ignored")
        await super().on_start()
        tune_garbage_collection()
        for name, watch in (
            ("watchdog", self.tasks.watch),
            ("held-back partitions", self.tasks.held_back.watch),
            ("halted partitions", self.tasks.halts.watch),
            ("lost logs", self.tasks.logs.watch),
            ("open dead letters", self.open_dead_letters.watch),
            ("webhooks", self.webhooks.watch),
            ("payouts", self.payouts.watch),
            ("audit trail", self.audit_trail.watch),
            ("samples", self.samples.watch),
            ("rule versions", self._follow_rules),
            ("active app", self._follow_active_app),
            ("freed memory", release_freed_memory),
            *((("sources", self.sources.watch),) if self.sources.is_configured else ()),
            *(("credentials", file.watch) for file in self.credential_files.files),
        ):
            self.add_future(watched(watch, name, self.fatal))

    async def _check_surroundings(self) -> None:
        bound_url = self.settings.url_at(self.conf.web_port)  # which `faust worker -p` sets
        await asyncio.get_running_loop().run_in_executor(None, refuse_taken, bound_url)
        await check_remembered(self.settings)
        await ensure_topics(self.settings)
        await refuse_announced(self.settings, self.assignor.own())
        topics = Topics.of(self.settings)
        skip = self.tasks.skipped
        await start_with_rules(self.settings, self.rule_files, self.rules, skip)
        await self._read_active_app(topics)
        self.event_epoch = await event_epoch(self.settings, topics, time.time_ns() // 1_000_000, skip)
        log.info("events are emitted for records since %d ms", self.event_epoch.since_ms)
        if self.stores is not None:
            await self.stores.prepare(client_options(self.settings), list(topics.changelogs))

    async def _read_active_app(self, topics: Topics) -> None:
        """Read which app is active before any request is folded, since that decides whether it is decided."""
        options = client_options(self.settings)
        ids = await log_ids(options, [topics.user_log])
        self.active_app.topic_id = ids.topics.get(topics.user_log, "")
        try:
            await self.active_app.read_once(options)
        except KafkaError as error:
            broker = self.settings.broker
            raise BrokerUnavailableError(f"the broker at {broker} failed: {error!r}") from error

    async def _follow_active_app(self) -> None:
        """Become the active app of a new prefix, and follow which one is."""
        user_log = Topics.of(self.settings).user_log, self.settings.partitions
        await self.active_app.watch(client_options(self.settings), user_log, self.tasks.check_notes)

    async def _follow_rules(self) -> None:
        """Take versions that are published while this worker runs."""
        await self.rules.watch(client_options(self.settings), self.tasks.check_notes)

    def events_from(self) -> dict[int, int]:
        """Return the end of the events topic at the app's first start, by partition (0: added later)."""
        return dict(enumerate(self.event_epoch.begin))

    def fatal(self, error: StreamsError) -> None:
        """End the worker with the error's exit code: drop what is open, leave the group, go."""
        if self._ending:
            return
        self._ending = True
        log.critical("%s", error)
        _leave_after(FATAL_SECONDS_MAX, error.exit_code)
        self._fatal_task = asyncio.ensure_future(self._end(error.exit_code))

    async def _end(self, code: int) -> None:
        try:
            await asyncio.wait_for(self.tasks.suspend(), FATAL_SECONDS_MAX / 2)
            await asyncio.wait_for(
                self.tasks.thread.run_with_consumer(lambda consumer: consumer.stop()), FATAL_SECONDS_MAX / 2
            )
        except Exception as error:  # noqa: BLE001 - the process ends in any case
            log.warning("not everything ended in order: %r", error)
        finally:
            leave(code)  # also if Faust, without its consumer, cancels this and would exit with 1

    async def stop(self) -> None:
        """Stop in order within STOP_SECONDS_MAX; after that, and on a second signal, exit with 75."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, leave, EXIT_TRY_AGAIN)
        _leave_after(STOP_SECONDS_MAX, EXIT_TRY_AGAIN)
        try:
            await super().stop()
        except Exception:
            log.exception("the worker cannot stop in order")
            leave(EXIT_TRY_AGAIN)

    async def on_stop(self) -> None:
        """Close the producer of HTTP writes."""
        await self.order_service.close()
        await super().on_stop()


def _leave_after(seconds: float, code: int) -> None:
    """Exit with that code if the process still lives then, and say what has not ended."""
    loop = asyncio.get_running_loop()
    timer = threading.Timer(seconds, _leave_late, args=(loop, seconds, code))
    timer.daemon = True
    timer.start()


def _leave_late(loop: asyncio.AbstractEventLoop, seconds: float, code: int) -> None:
    try:
        waiting = sorted(task.get_name() + " in " + str(task.get_coro()) for task in asyncio.all_tasks(loop))
    except RuntimeError:  # tasks began or ended meanwhile: the loop is busy, and no task stands out
        waiting = ["its event loop is busy"]
    log.error("the worker did not end within %g s; not ended: %s", seconds, "; ".join(waiting))
    try:
        faulthandler.dump_traceback(sys.__stderr__ or 2)
    finally:
        leave(code)  # also if standard error takes nothing any more
