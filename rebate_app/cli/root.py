"""`rebate`: the group of all commands.

Commands import what they need when they run, so that `--help` is quick.
"""

from __future__ import annotations

import logging

import click

from .adjustments_commands import adjustments, openings
from .attributions_commands import attributions
from .audit_command import audit
from .broker_commands import broker
from .command_group import RootGroup
from .dlq_commands import dlq
from .doctor_command import doctor
from .exits import EXITS
from .keys_commands import keys
from .lag_command import lag
from .orders_commands import orders
from .payouts_commands import payees, payouts
from .profiles_commands import profiles
from .reprice_command import reprice
from .rules_commands import rules
from .sources_commands import sources
from .topics_command import topics
from .trail_command import trail
from .users_commands import users
from .webhooks_commands import webhooks
from .withdrawals_commands import withdrawals


@click.group(cls=RootGroup, epilog=EXITS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="taoke-rebate", prog_name="rebate", message="%(prog)s %(version)s")
def rebate() -> None:
    """Rebates of order lines, on Faust and Kafka: import, wait, and read balances.

    Settings come from the environment: REBATE_BROKER (127.0.0.1:19092), REBATE_URL
    (http://127.0.0.1:6066), REBATE_TOPIC_PREFIX, and so on.

    \b
    Examples:
      rebate broker start
      rebate orders import examples/taobao/*.json --network taobao
      rebate lag --wait 60
      rebate users balance --all
    """  # noqa: D301 - click's mark for text that is shown as it is
    # Errors of the Kafka client are in our one sentence; its own log lines would hide it.
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


for command in (
    orders,
    profiles,
    sources,
    attributions,
    payouts,
    payees,
    reprice,
    keys,
    lag,
    users,
    withdrawals,
    adjustments,
    openings,
    dlq,
    webhooks,
    trail,
    rules,
    audit,
    doctor,
    topics,
    broker,
):
    rebate.add_command(command)


def main() -> None:
    """Run the command that the arguments name, and end the process with its exit code."""
    rebate.main(prog_name="rebate")
