"""`rebate topics create`: every topic as it has to be, made before anybody needs it."""

from __future__ import annotations

import json

import click

from rebate_app.settings import load_settings

from .exits import EXITS, guarded, json_option, run_with_broker
from .show import table


@click.group()
def topics() -> None:
    """Topics of the app, as they have to be."""


@topics.command(epilog=EXITS)
@json_option
@guarded
def create(as_json: bool) -> None:
    """Create the topics that are missing, and check those that are there.

    Workers and imports do it by themselves; this is for clusters where only you may create topics.

    \b
    Example:
      REBATE_REPLICATION_FACTOR=3 REBATE_MIN_INSYNC_REPLICAS=2 rebate topics create
    """  # noqa: D301 - click's mark for text that is shown as it is
    from rebate_app.lane.admin import ensure_topics
    from rebate_app.wire.topics import Topics

    settings = load_settings()
    run_with_broker(settings, ensure_topics(settings))
    specs = Topics.of(settings).specs(settings)
    if as_json:
        made = [{"topic": spec.name, "partitions": spec.partitions, "config": spec.config} for spec in specs]
        click.echo(json.dumps({"topics": made}))
    else:
        rows = [(spec.name, str(spec.partitions), spec.config["cleanup.policy"]) for spec in specs]
        click.echo(table(("topic", "partitions", "clean-up"), rows))
