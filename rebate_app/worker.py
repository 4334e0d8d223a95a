"""The worker's life: what is checked before it joins, and how it ends, always with the right exit code."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import faust
from aiokafka.errors import KafkaError
from yarl import URL

from rebate_app.dead_letters.open_letters import OpenLetters
from rebate_app.domain.rules import RuleBook
from rebate_app.lane.admin import BrokerUnavailableError, ensure_topics
from rebate_app.lane.connection import client_options
from rebate_app.lane.failures import HaltError, LaneError
from rebate_app.lane.first_start import FirstStart, first_start
from rebate_app.lane.lane import Lane
from rebate_app.lane.registry import check_registry
from rebate_app.lane.store_folder import StoreFolder
from rebate_app.order_service import OrderService
from rebate_app.settings import (
    EXIT_CONFIGURATION,
    EXIT_SOFTWARE,
    EXIT_TRY_AGAIN,
    EXIT_UNAVAILABLE,
    ConfigurationError,
    Settings,
    shown_settings,
)
from rebate_app.webhooks.courier import Courier, Passing
from rebate_app.wire.topics import Topics

STOP_WITHIN_S = 9.0  # SIGTERM drains and ends within 10 s, whatever hangs
FATAL_WITHIN_S = 5.0
#: A limit is told for so long before the worker goes: /readyz and /metrics are how somebody learns of it.
HALTED_S = 5.0
#: What a chunk makes is mostly no garbage in cycles, and what a worker keeps is no garbage at all: the
#: default (after 700 objects) looks at everything again and again.
COLLECT_AFTER = (100_000, 50, 50)
CONNECT_S = 1.0

log = logging.getLogger(__name__)


def collect_seldom() -> None:
    """Have the cycle collector leave alone what is there already, and look seldom at what comes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def leave(code: int) -> None:
    """End the process at once with that exit code, its log written."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def exit_code_of(error: BaseException) -> int:
    """Return whose fault a failure is: ours (70), the configuration's (78), or the surroundings' (75)."""
    if isinstance(error, LaneError):
        return error.exit_code
    if isinstance(error, ConfigurationError):
        return EXIT_CONFIGURATION
    return EXIT_TRY_AGAIN if isinstance(error, KafkaError | OSError) else EXIT_SOFTWARE


class RebateWorkerApp(faust.App):
    """A Faust app that verifies its surroundings before it joins and never hangs at its end."""

    lane: Lane
    order_service: OrderService
    open_letters: OpenLetters
    stores: StoreFolder | None
    webhooks: Courier | Passing

    def __init__(self, *args: Any, settings: Settings, rules: RuleBook, **kwargs: Any) -> None:
        self.settings = settings
        self.rules = rules
        self.first_start = FirstStart()
        self._ending = False
        super().__init__(*args, **kwargs)

    async def start(self) -> None:
        """Start; whatever else fails than what `on_start` knows ends the process, with its own code."""
        try:
            await super().start()
        except Exception as error:
            log.exception("the worker cannot start")
            leave(EXIT_TRY_AGAIN if self.should_stop else exit_code_of(error))

    def _crash(self, reason: BaseException) -> None:
        """End the worker when a part of Faust has crashed, which else ends with 1, or hangs."""
        super()._crash(reason)
        crash = LaneError(f"the worker has crashed: {reason!r}")
        crash.exit_code = EXIT_TRY_AGAIN if self.should_stop else exit_code_of(reason)
        self.fatal(crash)

    async def on_first_start(self) -> None:
        """Make the folder for this worker's files, parents included."""
        self.conf.datadir.mkdir(parents=True, exist_ok=True)
        await super().on_first_start()

    async def on_start(self) -> None:
        """Check URL, topics and rules; a fault of the surroundings is one sentence and an exit code."""
        shown = " ".join(f"{name}={value}" for name, value in shown_settings(self.settings).items())
        log.info("settings: %s", shown)
        try:
            await self._check_surroundings()
        except ConfigurationError as error:
            log.critical("%s", error)
            leave(EXIT_CONFIGURATION)
        except BrokerUnavailableError as error:
            log.critical("%s", error)
            leave(EXIT_UNAVAILABLE)
        # Faust opens a debugger on SIGUSR2, which waits for ever where there is no terminal.
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, log.info, "SIGUSR2 is ignored")
        if self.settings.advertised_url:
            self.conf.canonical_url = URL(self.settings.own_url)
        await super().on_start()
        collect_seldom()
        self.add_future(self.lane.watch())
        self.add_future(self.open_letters.watch())
        self.add_future(self.webhooks.watch())

    async def _check_surroundings(self) -> None:
        for url in {self.settings.own_url, str(self.conf.canonical_url)}:
            await asyncio.get_running_loop().run_in_executor(None, _refuse_taken, url)
        await ensure_topics(self.settings)
        topics = Topics.of(self.settings)
        await check_registry(self.settings, topics, self.rules)
        self.first_start = await first_start(self.settings, topics, time.time_ns() // 1_000_000)
        log.info("events tell of records since %d ms", self.first_start.since_ms)
        if self.stores is not None:
            changelogs = [topics.lines_changelog, topics.accounts_changelog]
            await self.stores.prepare(client_options(self.settings), changelogs)

    def events_from(self) -> dict[int, int]:
        """Return where events ended when the app was new, by partition; a later one ended at 0."""
        return dict(enumerate(self.first_start.begin))

    def fatal(self, error: LaneError) -> None:
        """End the worker with the error's exit code: drop what is open, leave the group, go."""
        if self._ending:
            return
        self._ending = True
        log.critical("%s", error)
        shown_s = HALTED_S if isinstance(error, HaltError) else 0.0
        _leave_after(FATAL_WITHIN_S + shown_s, error.exit_code)
        self._fatal_task = asyncio.ensure_future(self._end(error.exit_code, shown_s))

    async def _end(self, code: int, shown_s: float) -> None:
        try:
            await asyncio.wait_for(self.lane.suspend(), FATAL_WITHIN_S / 2)
            await asyncio.sleep(shown_s)  # before the consumer ends, which Faust would take for a crash
            await asyncio.wait_for(self.lane.thread.ask(lambda consumer: consumer.stop()), FATAL_WITHIN_S / 2)
        except Exception as error:  # noqa: BLE001 - it ends in any case
            log.warning("not everything ended in order: %r", error)
        finally:
            leave(code)  # also when Faust, whose consumer is gone, cancels this and would end with 1

    async def stop(self) -> None:
        """Stop in order, within the bound: what hangs, and a second signal, ends it with exit code 75."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, leave, EXIT_TRY_AGAIN)
        _leave_after(STOP_WITHIN_S, EXIT_TRY_AGAIN)
        try:
            await super().stop()
        except Exception:
            log.exception("the worker cannot stop in order")
            leave(EXIT_TRY_AGAIN)

    async def on_stop(self) -> None:
        """Close the producer for writes over HTTP."""
        await self.order_service.close()
        await super().on_stop()


def _leave_after(seconds: float, code: int) -> None:
    timer = threading.Timer(seconds, leave, args=(code,))
    timer.daemon = True
    timer.start()


def _refuse_taken(url: str) -> None:
    """Refuse to start when somebody answers at this worker's own address already."""
    parts = urlsplit(url)
    try:
        connection = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 80), CONNECT_S)
    except OSError:
        return
    connection.close()
    raise ConfigurationError(
        f"somebody answers at {url} already: give every worker its own REBATE_WEB_PORT, "
        "REBATE_ADVERTISED_URL and REBATE_DATADIR"
    )
