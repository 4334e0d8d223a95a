"""`make run`: a broker, one worker and the sample orders, and a table of what everybody has.

Law: it stays up until Ctrl-C or SIGTERM, and then ends all that it started, the worker first; what it
found running it leaves running. A second run shows the same balances and imports nothing twice
(contracts.md 7).
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
from operator import itemgetter
from types import FrameType
from typing import Any, NoReturn

import click

from rebate_app.broker import LocalKafka
from rebate_app.broker.local import DEFAULT_PORT
from rebate_app.broker.ports import HOST, is_free
from rebate_app.settings import EXIT_CONFIGURATION, EXIT_OK, EXIT_TRY_AGAIN, Settings, load_settings

from .exits import EXITS, CommandError, guarded, run_with_broker
from .guardian import Guardian
from .lag_command import wait_until_settled
from .show import progress, yuan
from .users_commands import balance_table, read_balances
from .worker_process import WorkerProcess

#: The lag is waited for in slices, so that a worker that dies is noticed.
SLICE_SECONDS = 5.0
SETTLED_SECONDS_MAX = 120.0
POLL_SECONDS = 0.5


class Stopped(KeyboardInterrupt):
    """SIGINT, SIGTERM or SIGHUP came. A KeyboardInterrupt, as only that leaves an event loop at once."""


@click.command(epilog=EXITS)
@click.option(
    "--broker-port",
    type=click.IntRange(1, 65_535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port of 127.0.0.1 for the local Apache Kafka, which is not started if REBATE_BROKER is set.",
)
@guarded
def main(broker_port: int) -> None:
    """Run a broker, a worker and the sample orders until Ctrl-C."""
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    _on_signals(_stop)
    with (
        contextlib.suppress(Stopped),
        _guardian() as guardian,
        _broker(load_settings(), broker_port, guardian) as settings,
        _worker(settings, guardian) as worker,
    ):
        _show(settings, worker)
    sys.exit(EXIT_OK)


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    """Begin to end, once: what comes after the first signal finds us at it."""
    _on_signals(signal.SIG_IGN)
    raise Stopped


def _on_signals(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a signal wait until what was started is also known to us."""
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
    """Give settings with a broker: REBATE_BROKER, else a local one, ended here if it was started here."""
    if not is_free(settings.web_port):
        raise CommandError(
            f"Port {settings.web_port} of {HOST} is taken: end what uses it, or set REBATE_WEB_PORT.",
            EXIT_CONFIGURATION,
        )
    if os.environ.get("REBATE_BROKER"):
        yield settings
        return
    kafka = LocalKafka(settings.datadir / "broker", port, progress=_say)
    ours = not kafka.status().running
    if ours:
        guardian.watch_broker(kafka.data_dir)
    try:
        kafka.start()
        yield settings.model_copy(update={"broker": kafka.address})
    finally:
        _on_signals(signal.SIG_IGN)
        if ours:
            _say("Ending Apache Kafka ...")
            kafka.stop()


@contextlib.contextmanager
def _worker(settings: Settings, guardian: Guardian) -> Iterator[WorkerProcess]:
    """Give a worker that is ready."""
    log = settings.datadir / "worker.log"
    _say(f"Starting a worker, its log is {log} ...")
    with contextlib.ExitStack() as ending:
        with _undisturbed():
            worker = WorkerProcess(settings, log)
            ending.callback(_end_worker, worker)
            guardian.watch_process(worker.pid)
        worker.wait_ready()
        yield worker


def _end_worker(worker: WorkerProcess) -> None:
    _on_signals(signal.SIG_IGN)
    _say("Ending the worker ...")
    worker.stop()


def _show(settings: Settings, worker: WorkerProcess) -> None:
    """Import the samples, wait until they are in the balances, print these, and stay."""
    from .samples import import_samples

    with progress("Importing the samples") as tell:
        report = run_with_broker(settings, import_samples(settings, tell))
    if report is None:
        _say("The samples are there already: nothing is imported.")
    else:
        _say(
            f"Imported the samples: {report.sent} records sent, {report.unknown} of unknown status, "
            f"{len(report.refused)} refused."
        )
    _wait_until_settled(settings, worker)
    url = f"http://{settings.web_host}:{settings.web_port}"
    click.echo(asyncio.run(_balances(url)))
    click.echo(f"\nThe worker answers on {url}, for example {url}/v1/users/tao/balance; Ctrl-C ends it.")
    sys.stdout.flush()
    while True:
        worker.check_alive()
        time.sleep(POLL_SECONDS)


def _wait_until_settled(settings: Settings, worker: WorkerProcess) -> None:
    deadline = time.monotonic() + SETTLED_SECONDS_MAX
    with progress("Waiting for the worker") as tell:
        while not run_with_broker(settings, wait_until_settled(settings, SLICE_SECONDS, tell)):
            worker.check_alive()
            if time.monotonic() >= deadline:
                raise CommandError(
                    f"The samples are not in the balances after {SETTLED_SECONDS_MAX:g} s; see {worker.log}.",
                    EXIT_TRY_AGAIN,
                )


async def _balances(url: str) -> str:
    """Return the table of everybody's balance, and a line for each id that belongs to nobody."""
    from .worker_client import WorkerClient

    balances: list[Any] = [found async for found in read_balances(url, (), None)]
    balances.sort(key=itemgetter("user_id"))
    async with WorkerClient(url) as client:
        waiting = await client.suspense()
    lines = ["Balances in yuan:", "", balance_table(balances)]
    lines += [
        f"\nBound to nobody yet: {item['attribution_id']}, lines {item['lines']}, net {yuan(item['net'])}"
        for item in waiting
    ]
    return "\n".join(lines)


def _say(message: str) -> None:
    click.echo(message, err=True)


if __name__ == "__main__":
    main()
