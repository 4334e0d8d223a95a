"""`rebate lag`: how many records the workers have not processed yet, or wait until there are none.

With --wait, exit code 0 guarantees that everything sent before is in the balances; 75 means that the time was
up (docs/spec/cli.md#lag).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import click

from rebate_app.settings import EXIT_TRY_AGAIN, ConfigurationError, Settings, load_settings

from .exits import EXITS, CommandError, guarded, json_option, run_with_broker
from .terminal import print_json, print_table, progress

if TYPE_CHECKING:
    from .lag import PartitionLag
    from .terminal import Progress

OWNERS_SECONDS_MAX = 3.0


@click.command(epilog=EXITS)
@click.option(
    "--wait",
    "seconds",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Return when all that was sent before is in the balances; exit code 75 if it is not by then.",
)
@json_option
@guarded
def lag(seconds: float | None, as_json: bool) -> None:
    """Say what is not processed yet: records by topic and partition, their age, and who has them.

    The table lists the partitions that lag, the one that waits longest first; --json lists all. Owners are
    asked at REBATE_URL.

    With --wait, return once everything that was acknowledged before this command started is in the
    balances: the order lines, and all that follows from them for buyers and their inviters. Records within
    or behind an open transaction (unstable) are waited for, since nobody can read them before it ends.

    \b
    Examples:
      rebate lag --json
      rebate orders import orders.json --network jd && rebate lag --wait 60
    """  # noqa: D301 - click's mark for text that is shown as it is
    settings = load_settings()
    if seconds is not None:
        with progress("Waiting for the workers") as report:
            settled = run_with_broker(settings, wait_until_settled(settings, seconds, report))
        if not settled:
            hint = waiting_hint(settings) or "is a worker running?"
            raise CommandError(
                f"Not everything is in the balances after {seconds:g} s; {hint}", EXIT_TRY_AGAIN
            )
    lags = run_with_broker(settings, read_lags(settings))
    owners = asyncio.run(read_owners(settings.url)) if any(each.is_behind for each in lags) else {}
    rows = [_row(each, owners.get((each.topic, each.partition))) for each in lags]
    total, unstable = sum(each.lag for each in lags), sum(each.unstable for each in lags)
    if as_json:
        print_json({"total": total, "unstable": unstable, "partitions": rows})
    else:
        _print_behind(rows, total)


async def read_owners(url: str) -> dict[tuple[str, int], str]:
    """Return the owners' URLs by partition as the worker at `url` knows them, {} where none answers soon."""
    from .worker_client import WorkerClient

    try:
        async with WorkerClient(url, OWNERS_SECONDS_MAX) as client:
            workers = (await client.get("/v1/workers"))["items"]
    except CommandError:
        return {}
    return {
        (topic, number): worker["url"]
        for worker in workers
        for topic, numbers in worker["partitions"].items()
        for number in numbers
    }


def _row(lag: PartitionLag, owner: str | None) -> dict[str, Any]:
    """Return the JSON members of a partition."""
    age = None if lag.oldest_ms is None else max(0.0, round(time.time() - lag.oldest_ms / 1_000, 1))
    return {
        "topic": lag.topic,
        "partition": lag.partition,
        "lag": lag.lag,
        "unstable": lag.unstable,
        "unfinished": lag.unfinished,
        "oldest_seconds": age,
        "owner": owner,
        "halted": lag.halted or None,
    }


def _print_behind(rows: list[dict[str, Any]], total: int) -> None:
    """Print the partitions that lag, the one that waits longest first, and the total."""
    behind = [row for row in rows if any(row[name] for name in ("lag", "unstable", "unfinished", "halted"))]
    behind.sort(key=lambda row: row["oldest_seconds"] or 0.0, reverse=True)
    cells = [
        (
            row["topic"],
            str(row["partition"]),
            f"{row['lag']:,}",
            "" if row["oldest_seconds"] is None else f"{row['oldest_seconds']:,.0f} s",
            row["owner"] or "unknown",
            _notes(row),
        )
        for row in behind
    ]
    cells.append(("total", "", f"{total:,}", "", "", ""))
    columns = ("topic", "partition", "lag", "oldest", "owner", "held back by")
    shown = len(columns) if behind else columns.index("oldest")
    print_table(columns[:shown], [row[:shown] for row in cells])


def _notes(row: dict[str, Any]) -> str:
    notes = [f"halted: {row['halted']}"] if row["halted"] else []
    if row["unstable"]:
        notes.append(f"an open transaction over {row['unstable']:,} offsets")
    if row["unfinished"]:
        notes.append(f"{row['unfinished']:,} attribution ids that move lines")
    return ", ".join(notes)


def waiting_hint(settings: Settings) -> str:
    """Return in words which partitions are halted, or held back by open transactions, "" when none is."""
    try:
        lags = run_with_broker(settings, read_lags(settings))
    except ConfigurationError:
        return ""
    halted = [f"{each.topic}/{each.partition} ({each.halted})" for each in lags if each.halted]
    if halted:
        return f"halted: {', '.join(halted)}; mend the cause, then `rebate dlq resume`"
    held = [f"{each.topic}/{each.partition} ({each.unstable} offsets)" for each in lags if each.unstable]
    return f"open transactions hold back {', '.join(held)}: see `rebate doctor`" if held else ""


async def wait_until_settled(settings: Settings, seconds: float, report: Progress) -> bool:
    """Return whether everything that was acknowledged before is in the balances within `seconds`."""
    from rebate_app.wire.topics import Topics

    from .kafka_view import KafkaView
    from .lag import LagWatch, OutOfTimeError

    deadline = time.monotonic() + seconds
    topics = Topics.of(settings)
    async with KafkaView(settings) as view:
        watch = LagWatch(
            view,
            topics.sources,
            deadline=deadline,
            on_progress=lambda behind: report(behind, "offsets to go"),
        )
        try:
            await watch.settle()
        except OutOfTimeError:
            return False
    return True


async def read_lags(settings: Settings) -> list[PartitionLag]:
    """Return the lag of every partition of both stages; ConfigurationError where there are no topics."""
    from rebate_app.wire.topics import Topics

    from .kafka_view import KafkaView
    from .lag import lag_of

    topics = Topics.of(settings)
    async with KafkaView(settings) as view:
        lags = [await lag_of(view, topic) for topic in topics.sources]
    if not all(lags):
        raise ConfigurationError(
            f"there is no topic {' or '.join(topics.sources)} on {settings.broker}: "
            "start a worker or run `rebate topics create`, and see REBATE_TOPIC_PREFIX"
        )
    return [each for topic_lags in lags for each in topic_lags]
