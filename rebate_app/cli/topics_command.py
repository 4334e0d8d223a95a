"""`rebate topics create | verify | acl`: every topic as it has to be, and who may use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rebate_app.settings import Settings, load_settings

from .command_group import CommandGroup
from .exits import EXITS, guarded, json_option, run_with_broker
from .terminal import print_json, print_line, print_table

if TYPE_CHECKING:
    from rebate_app.streams.kafka.replication import Replication


@click.group(cls=CommandGroup)
def topics() -> None:
    """Topics of the app, as they have to be."""


@topics.command(epilog=EXITS)
@json_option
@guarded
def create(as_json: bool) -> None:
    """Create the topics that are missing, and check those that are there.

    Workers and imports do it by themselves; with REBATE_TOPICS=verify they never create any, and this
    is how they come to be, by somebody who may create topics.

    \b
    Example:
      REBATE_REPLICATION_FACTOR=5 REBATE_MIN_INSYNC_REPLICAS=3 rebate topics create
    """  # noqa: D301 - click's mark for text that is shown as it is
    from rebate_app.streams.kafka.admin import ensure_topics

    settings = load_settings()
    replication = run_with_broker(settings, ensure_topics(settings, create=True))
    _print_topics(settings, replication, as_json)


@topics.command(epilog=EXITS)
@json_option
@guarded
def verify(as_json: bool) -> None:
    """Check the topics and create nothing: exit code 78 with a list of all that is missing or wrong.

    \b
    Example:
      rebate topics verify && faust -A rebate_app worker
    """  # noqa: D301 - click's mark for text that is shown as it is
    from rebate_app.streams.kafka.admin import ensure_topics

    settings = load_settings()
    replication = run_with_broker(settings, ensure_topics(settings, create=False))
    _print_topics(settings, replication, as_json)


@topics.command(epilog=EXITS)
@click.option(
    "--role",
    "roles",
    type=click.Choice(["worker", "importer", "operator"]),
    multiple=True,
    help="Only this role; may be given again. Without it: all three.",
)
@click.option(
    "--principal",
    default="User:rebate-{role}",
    show_default=True,
    help="Who gets the rights; {role} is replaced by the role.",
)
@click.option("--command-config", metavar="FILE", help="Passed on to kafka-acls, for its own connection.")
@json_option
@guarded
def acl(roles: tuple[str, ...], principal: str, command_config: str | None, as_json: bool) -> None:
    """Print the kafka-acls commands that give each role what it needs, and nothing more.

    Nothing is sent to the broker. Workers with these rights need REBATE_TOPICS=verify.

    \b
    Examples:
      rebate topics acl --role worker --principal User:rebate | sh
      rebate topics acl --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    from rebate_app.wire.topics import Topics

    from .acls import ROLES, command, grants, script

    settings = load_settings()
    names = Topics.of(settings)
    listed = [
        (role, [(grant, principal.replace("{role}", role)) for grant in grants(role, names, settings.scope)])
        for role in (roles or ROLES)
    ]
    if as_json:
        rows = [
            {
                "role": role,
                "principal": who,
                "kind": grant.kind,
                "names": grant.names,
                "pattern": "prefixed" if grant.prefixed else "literal",
                "operations": grant.operations,
            }
            for role, given in listed
            for grant, who in given
        ]
        print_json({"items": rows, "next_cursor": None})
        return
    commands = [
        (role, [command(grant, who, settings.broker, command_config) for grant, who in given])
        for role, given in listed
    ]
    _print_script(script(commands))


def _print_script(text: str) -> None:
    for line in text.split("\n"):
        print_line(line, cut=False)


def _print_topics(settings: Settings, replication: Replication, as_json: bool) -> None:
    from rebate_app.wire.topics import Topics

    specs = Topics.of(settings).specs(settings)
    if as_json:
        made = [
            {"topic": spec.name, "partitions": spec.partitions, "config": spec.config | replication.config}
            for spec in specs
        ]
        print_json({"items": made, "next_cursor": None})
    else:
        rows = [(spec.name, str(spec.partitions), spec.config["cleanup.policy"]) for spec in specs]
        print_table(("topic", "partitions", "clean-up"), rows)
