"""`rebate dlq resume`: read halted partitions on (docs/dead-letters.md#halted-partitions)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rebate_app.settings import EXIT_FINDINGS, Settings, load_settings

from .command_trail import command_record
from .exits import EXITS, CommandError, confirm, guarded, json_option, run_with_broker
from .lists import print_list
from .terminal import print_line, print_note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rebate_app.streams.kafka.group_halts import HaltedPartition


@click.command("resume", epilog=EXITS)
@click.argument("partitions", nargs=-1, metavar="[TOPIC/PARTITION]…")
@click.option(
    "--waiting", is_flag=True, help="Let everything pass that waits there now, not only one record."
)
@click.option("--why", default="", help="What was mended.")
@click.option("--by", envvar="USER", default="operator", show_envvar=True, help="Who decides.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@guarded
def resume(partitions: tuple[str, ...], waiting: bool, why: str, by: str, yes: bool, as_json: bool) -> None:
    """Read halted partitions on: those named, or all of them.

    Mend the cause first. The record that tripped the limit passes, as a dead letter if it still fails, and
    counting begins anew: a hundred more failures in a row halt the partition again. With --waiting, limits
    hold again only for records that are sent from now on. A fact that cannot be read (unreadable-fact) is
    never passed over: run the release that wrote it.

    \b
    Examples:
      rebate dlq resume
      rebate dlq resume order_topic/3 --waiting --why "the importer is mended"
    """  # noqa: D301 - click's mark for text that is shown as it is
    settings = load_settings()
    halted = _chosen(settings, partitions)
    if halted:
        names = ", ".join(
            f"{each.topic}/{each.partition} ({each.halted} at {each.offset})" for each in halted
        )
        confirm(f"Resume {names}?", yes=yes)
    rows = _write(settings, halted, by, why, waiting=waiting)
    if as_json:
        print_list(rows)
        return
    from rebate_app.streams.task.halt import UNREADABLE_FACT

    for row in rows:
        print_line(f"{row['topic']}/{row['partition']} is resumed through {row['through']}.")
        if row["halted"] == UNREADABLE_FACT:
            print_note("It halts there again unless a release that can read the fact runs.")
    if not rows:
        print_line("No partition is halted.")


def _chosen(settings: Settings, names: Sequence[str]) -> list[HaltedPartition]:
    """Return the halted partitions of these names, all without any; CommandError if one is not halted."""
    from rebate_app.dead_letters.resume import halted_partitions

    halted = run_with_broker(settings, halted_partitions(settings))
    if not names:
        return halted
    by_name = {f"{each.topic}/{each.partition}": each for each in halted}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise CommandError(f"Not halted: {', '.join(missing)}; see `rebate lag`.", EXIT_FINDINGS)
    return [by_name[name] for name in dict.fromkeys(names)]


def _write(
    settings: Settings, halted: list[HaltedPartition], by: str, why: str, *, waiting: bool
) -> list[dict[str, Any]]:
    from rebate_app.dead_letters.resume import resume as write

    if not halted:
        return []
    names = ",".join(f"{each.topic}/{each.partition}" for each in halted)
    trail = command_record("partitions.resume", names, by, why)
    written = run_with_broker(settings, write(settings, halted, by, why, waiting=waiting, trail=trail))
    return [
        {
            "topic": each.topic,
            "partition": each.partition,
            "halted": each.halted,
            "through": resumption.through,
        }
        for each, resumption in written
    ]
