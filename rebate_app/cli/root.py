"""`rebate`: the group of all commands.

Law: what is listed works. The commands themselves import what they need when they run, so that
`--help` is quick and a mistyped option costs nothing.
"""

from __future__ import annotations

import logging

import click

from rebate_app.broker.commands import broker

from .audit import audit
from .dlq_commands import dlq
from .doctor import doctor
from .exits import EXITS
from .import_commands import attributions, orders, profiles
from .lag_command import lag
from .topics_command import topics
from .users_commands import users
from .webhooks_commands import webhooks


@click.group(epilog=EXITS, context_settings={"help_option_names": ["-h", "--help"]})
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
    # What the Kafka client has to say goes into our one sentence; its own lines would drown it.
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


for command in (orders, profiles, attributions, lag, users, dlq, webhooks, audit, doctor, topics, broker):
    rebate.add_command(command)


def main() -> None:
    """Run the command that the arguments name, and end the process with its exit code."""
    rebate.main(prog_name="rebate")
