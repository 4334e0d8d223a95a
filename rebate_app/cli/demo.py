"""`make run`: a broker, one worker, the sample orders, and a table of all balances.

It runs until Ctrl-C or SIGTERM, then ends everything that it started, the worker first; a broker that was
running already keeps running. A second run shows the same balances and imports nothing twice
(docs/spec/running.md#set-up).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

import click

from rebate_app.broker import LocalKafka
from rebate_app.broker.local import DEFAULT_PORT
from rebate_app.broker.ports import HOST, is_free
from rebate_app.settings import EXIT_CONFIGURATION, EXIT_OK, EXIT_TRY_AGAIN, Settings, load_settings

from .demo_simulators import Tour, show_orders, show_withdrawal, simulators
from .exits import EXITS, CommandError, guarded, run_with_broker
from .guardian import Guardian
from .lag_command import wait_until_settled
from .terminal import money, print_line, print_note, progress
from .users_commands import print_balances, read_balances
from .worker_client import WorkerClient
from .worker_process import WorkerProcess

#: Waiting for the lag is sliced, so that a worker that dies is noticed.
SLICE_SECONDS = 5.0
SETTLED_SECONDS_MAX = 120.0
POLL_SECONDS = 0.5
#: What the tour sets for its worker.
TOUR_SETTINGS = ("REBATE_SOURCES", "REBATE_CHANNELS", "REBATE_PAYEE_KEYS", "REBATE_PAYEE_ID_KEY")


class Stopped(KeyboardInterrupt):
    """SIGINT, SIGTERM or SIGHUP arrived. A KeyboardInterrupt: only that leaves an event loop at once."""


@click.command(epilog=EXITS)
@click.option(
    "--broker-port",
    type=click.IntRange(1, 65_535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port of 127.0.0.1 for the local Apache Kafka, which is not started if REBATE_BROKER is set.",
)
@click.option(
    "--tour", is_flag=True, help="Fetch orders from a simulated network, and pay one withdrawal, too."
)
@guarded
def main(broker_port: int, *, tour: bool) -> None:
    """Run a broker, a worker and the sample orders until Ctrl-C."""
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    _on_signals(_stop)
    with (
        contextlib.suppress(Stopped),
        _guardian() as guardian,
        _broker(load_settings(), broker_port, guardian) as settings,
        _simulated(settings, guardian, wanted=tour) as simulated,
        _worker(settings, guardian, simulated) as worker,
    ):
        _show(settings, worker, simulated)
    sys.exit(EXIT_OK)


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    """Begin to end, once: later signals are ignored."""
    _on_signals(signal.SIG_IGN)
    raise Stopped


def _on_signals(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


@contextlib.contextmanager
def _signals_deferred() -> Iterator[None]:
    """Defer signals until a process that is being started is registered for its end."""
    came: list[int] = []
    _on_signals(lambda number, _frame: came.append(number))
    yield
    _on_signals(_stop)
    if came:
        _stop(came[0], None)


@contextlib.contextmanager
def _guardian() -> Iterator[Guardian]:
    guardian = Guardian()
    try:
        yield guardian
    finally:
        _on_signals(signal.SIG_IGN)
        guardian.dismiss()


@contextlib.contextmanager
def _broker(settings: Settings, port: int, guardian: Guardian) -> Iterator[Settings]:
    """Return settings with a broker: REBATE_BROKER, else a local one, ended here if it was started here."""
    if not is_free(settings.web_port):
        raise CommandError(
            f"Port {settings.web_port} of {HOST} is taken: end what uses it, or set REBATE_WEB_PORT.",
            EXIT_CONFIGURATION,
        )
    if os.environ.get("REBATE_BROKER"):
        yield settings
        return
    kafka = LocalKafka(settings.datadir / "broker", port, progress=print_note)
    ours = not kafka.status().running
    if ours:
        guardian.watch_broker(kafka.data_dir)
    try:
        kafka.start()
        yield settings.model_copy(update={"broker": kafka.address})
    finally:
        _on_signals(signal.SIG_IGN)
        if ours:
            print_note("Ending Apache Kafka ...")
            kafka.stop()


@contextlib.contextmanager
def _simulated(settings: Settings, guardian: Guardian, *, wanted: bool) -> Iterator[Tour | None]:
    """Run the simulated services of the tour, if it is wanted and nothing of the user's stands in its way."""
    own = [name for name in TOUR_SETTINGS if os.environ.get(name)]
    if wanted and own:
        print_note(f"{own[0]} is set: without the simulated network and payment service.")
    if not wanted or own:
        yield None
        return
    print_note("Starting a simulated network and a simulated payment service ...")
    with simulators(settings, guardian) as tour:
        yield tour


@contextlib.contextmanager
def _worker(settings: Settings, guardian: Guardian, tour: Tour | None) -> Iterator[WorkerProcess]:
    """Start a worker and wait until it is ready."""
    log = settings.datadir / "worker.log"
    print_note(f"Starting a worker, its log is {log} ...")
    with contextlib.ExitStack() as ending:
        with _signals_deferred():
            worker = WorkerProcess(settings, log, None if tour is None else tour.environment)
            ending.callback(_end_worker, worker)
            guardian.watch_process(worker.pid)
        worker.wait_ready()
        yield worker


def _end_worker(worker: WorkerProcess) -> None:
    _on_signals(signal.SIG_IGN)
    print_note("Ending the worker ...")
    worker.stop()


def _show(settings: Settings, worker: WorkerProcess, tour: Tour | None) -> None:
    """Import the samples, wait until they are in the balances, print these, and wait for a signal."""
    from .samples import import_samples

    with progress("Importing the samples") as report_progress:
        report = run_with_broker(settings, import_samples(settings, report_progress))
    if report is None:
        print_note("The samples are there already: nothing is imported.")
    else:
        print_note(
            f"Imported the samples: {report.sent} records sent, {report.unknown} of unknown status, "
            f"{len(report.refused)} refused."
        )
    _wait_until_settled(settings, worker)
    url = f"http://{settings.web_host}:{settings.web_port}"
    asyncio.run(_print_balances(url))
    if tour is not None:
        show_orders(settings, tour)
        asyncio.run(show_withdrawal(url))
    print_line()
    print_line(f"The worker answers on {url}, for example {url}/v1/users/tao/balance; Ctrl-C ends it.")
    sys.stdout.flush()
    while True:
        worker.check_alive()
        time.sleep(POLL_SECONDS)


def _wait_until_settled(settings: Settings, worker: WorkerProcess) -> None:
    deadline = time.monotonic() + SETTLED_SECONDS_MAX
    with progress("Waiting for the worker") as report_progress:
        while not run_with_broker(settings, wait_until_settled(settings, SLICE_SECONDS, report_progress)):
            worker.check_alive()
            if time.monotonic() >= deadline:
                raise CommandError(
                    f"The samples are not in the balances after {SETTLED_SECONDS_MAX:g} s; see {worker.log}.",
                    EXIT_TRY_AGAIN,
                )


async def _print_balances(url: str) -> None:
    """Print the table of all balances, and a line for each attribution id that is bound to nobody."""
    balances = [found async for found in read_balances(url, (), None)]
    async with WorkerClient(url) as client:
        waiting = await client.unbound_attributions()
    print_line("Balances in yuan:")
    print_line()
    print_balances(balances)
    for item in waiting:
        print_line()
        print_line(
            f"Bound to nobody yet: {item['attribution_id']}, lines {item['lines']}, net {money(item['net'])}"
        )


if __name__ == "__main__":
    main()
