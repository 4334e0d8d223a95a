"""`rebate lag`: how many records the workers have not processed yet, or wait until there are none.

Law: with --wait, 0 is a promise about everything sent before; 75 says that time was up (contracts.md 5).
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from rebate_app.settings import EXIT_TRY_AGAIN, ConfigurationError, Settings, load_settings

from .exits import EXITS, CommandError, guarded, json_option, run_with_broker
from .show import progress, table

if TYPE_CHECKING:
    from .lag import PartitionLag
    from .show import Progress


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
    """Say how many records are not processed yet, by topic and partition.

    With --wait, return once everything that was acknowledged before this command started is in the
    balances: the order lines, and all that follows from them for buyers and their inviters.

    \b
    Examples:
      rebate lag --json
      rebate orders import orders.json --network jd && rebate lag --wait 60
    """  # noqa: D301 - click's mark for text that is shown as it is
    settings = load_settings()
    if seconds is not None:
        with progress("Waiting for the workers") as tell:
            settled = run_with_broker(settings, wait_until_settled(settings, seconds, tell))
        if not settled:
            raise CommandError(
                f"Not everything is in the balances after {seconds:g} s; is a worker running?", EXIT_TRY_AGAIN
            )
    lags = run_with_broker(settings, read_lags(settings))
    total = sum(each.lag for each in lags)
    if as_json:
        partitions = [{"topic": each.topic, "partition": each.partition, "lag": each.lag} for each in lags]
        click.echo(json.dumps({"total": total, "partitions": partitions}))
    else:
        rows = [(each.topic, str(each.partition), f"{each.lag:,}") for each in lags]
        click.echo(table(("topic", "partition", "lag"), [*rows, ("total", "", f"{total:,}")]))


async def wait_until_settled(settings: Settings, seconds: float, tell: Progress) -> bool:
    """Return whether everything that was acknowledged before is in the balances within `seconds`."""
    from rebate_app.wire.topics import Topics

    from .kafka_view import KafkaView
    from .lag import LagWatch, OutOfTimeError

    deadline = time.monotonic() + seconds
    topics = Topics.of(settings)
    async with KafkaView(settings) as view:
        watch = LagWatch(
            view,
            topics.orders,
            topics.user_log,
            deadline=deadline,
            tell=lambda behind: tell(behind, "offsets to go"),
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
        lags = [await lag_of(view, topic) for topic in (topics.orders, topics.user_log)]
    if not all(lags):
        raise ConfigurationError(
            f"there is no topic {topics.orders} or {topics.user_log} on {settings.broker}: "
            "start a worker or run `rebate topics create`, and see REBATE_TOPIC_PREFIX"
        )
    return [each for topic_lags in lags for each in topic_lags]
