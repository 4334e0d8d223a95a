"""`rebate dlq …`: what failed, why, and what is to become of it (failures.md 3).

Law: listing and showing change nothing; what changes something says first how much, and asks unless it is
told --yes; every command may be repeated.
"""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import click

from rebate_app.settings import EXIT_FINDINGS, EXIT_USAGE, Settings, load_settings

from .exits import EXITS, CommandError, fail, guarded, json_option, run_with_broker
from .show import progress, table

T = TypeVar("T")
LISTED = 100
topic_option = click.option("--topic", metavar="TOPIC", help="Of one of the sources only.")
by_option = click.option("--by", envvar="USER", default="operator", show_envvar=True, help="Who decides.")


@click.group()
def dlq() -> None:
    """See what failed: dead letters and parked keys; decide about it."""


@dlq.command("list", epilog=EXITS)
@topic_option
@click.option("--reason", help="With this reason code only.")
@click.option("--key", help="Of this line, user or attribution id only; hex:… for other bytes.")
@click.option("--since", metavar="TIME", help="Records from this moment on, with offset.")
@click.option("--open", "open_only", is_flag=True, help="Neither replayed nor discarded yet.")
@click.option("--limit", type=click.IntRange(1), default=LISTED, show_default=True, help="At most.")
@json_option
@guarded
def list_letters(
    topic: str | None,
    reason: str | None,
    key: str | None,
    since: str | None,
    open_only: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List dead letters, by the place where each record failed, which is its ID.

    \b
    Examples:
      rebate dlq list --open
      rebate dlq list --reason implausible-time --since 2026-02-01T00:00:00+08:00 --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import dlq_work

    settings = load_settings()
    wanted = dlq_work.filter_of(settings, topic, reason, key, since, open_only=open_only)
    rows = _run(settings, dlq_work.listed(settings, wanted, limit))
    if as_json:
        _print_json({"items": rows})
    elif not rows:
        click.echo("There are no such dead letters.")
    else:
        cells = [
            (r["id"], r["reason"], r["key"] or "", r["timestamp"], r["decision"] or "open") for r in rows
        ]
        click.echo(table(("id", "reason", "key", "record of", "decision"), cells))


@dlq.command(epilog=EXITS)
@click.argument("letter", metavar="ID")
@json_option
@guarded
def show(letter: str, as_json: bool) -> None:
    """Show one dead letter: headers, value, what today's code would make of it, and the state it is about.

    \b
    Example:
      rebate dlq show order_topic/3/41
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import dlq_work

    settings = load_settings()
    shown = _run(settings, dlq_work.shown(settings, letter))
    if as_json:
        _print_json(shown)
        return
    for header in shown["headers"]:
        click.echo(f"{header['name']}: {header['value']}")
    click.echo(f"key ({shown['key_as']}): {shown['key']}")
    click.echo(f"value ({shown['value_as']}, {shown['value_bytes']} bytes): {shown['value']}")
    click.echo(f"decision: {shown['decision'] or 'open'}")
    click.echo(f"today: {shown['today']}")
    click.echo(f"state: {shown['state']}")


@dlq.command(epilog=EXITS)
@click.argument("letters", nargs=-1, metavar="[ID]...")
@topic_option
@click.option("--reason", help="All open ones with this reason code.")
@click.option("--key", help="All open ones of this line, user or attribution id.")
@click.option("--all", "everything", is_flag=True, help="All open ones.")
@click.option("--again", is_flag=True, help="Also what was replayed or discarded already.")
@click.option("--dry-run", is_flag=True, help="Only say what today's code would make of each.")
@click.option("--rate", type=click.IntRange(1), default=200, show_default=True, help="Records a second.")
@by_option
@click.option("--why", default="", help="For whoever comes after you.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@guarded
def replay(letters: tuple[str, ...], again: bool, dry_run: bool, as_json: bool, **options: Any) -> None:
    """Send the records of dead letters again: same key, same value, with headers that say so.

    Facts and targets are versioned, so repeating changes nothing. --dry-run asks the workers (REBATE_URL),
    and ends with 1 if some would still fail.

    \b
    Examples:
      rebate dlq replay --reason implausible-time --dry-run
      rebate dlq replay order_topic/3/41 --by ann --why "clock was wrong"
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import dlq_work

    topic, reason, key = options["topic"], options["reason"], options["key"]
    if not (letters or reason or key or options["everything"]):
        raise click.UsageError("Name dead letters, or say --reason, --key or --all.")
    settings = load_settings()
    wanted = dlq_work.filter_of(settings, topic, reason, key, None, open_only=not again)
    chosen = _run(settings, dlq_work.chosen(settings, letters, wanted, again=again))
    if dry_run:
        said = _run(settings, dlq_work.rehearsed(settings, chosen))
        _print_outcomes(said, as_json)
        if any(row["outcome"] not in dlq_work.GOOD for row in said):
            sys.exit(EXIT_FINDINGS)
        return
    count = len(chosen.replayable)
    _confirm(f"Send {count} records again?", yes=options["yes"] or not count)
    by, why, rate = options["by"], options["why"], options["rate"]
    with progress("Replaying") as tell:
        said = _run(settings, dlq_work.replayed(settings, chosen, by, why, rate, tell))
    _print_outcomes(said, as_json)
    if any(row["outcome"] == "unknown" for row in said):
        sys.exit(EXIT_FINDINGS)


@dlq.command(epilog=EXITS)
@click.argument("letters", nargs=-1, required=True, metavar="ID...")
@click.option("--why", required=True, help="For whoever comes after you.")
@by_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@guarded
def discard(letters: tuple[str, ...], why: str, by: str, yes: bool, as_json: bool) -> None:
    """Close dead letters for good; a parked key that is released then goes on without their records.

    \b
    Example:
      rebate dlq discard order_topic/3/41 --why "test data"
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import dlq_work

    settings = load_settings()
    _confirm(f"Discard {len(letters)} dead letters?", yes=yes)
    said = _run(settings, dlq_work.discarded(settings, letters, by, why))
    _print_outcomes(said, as_json)
    if any(row["outcome"] == "unknown" for row in said):
        sys.exit(EXIT_FINDINGS)


@dlq.command(epilog=EXITS)
@json_option
@guarded
def stats(as_json: bool) -> None:
    """Count dead letters by source and reason, open and decided, and say how old the oldest open one is.

    \b
    Example:
      rebate dlq stats --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import dlq_work

    settings = load_settings()
    rows = _run(settings, dlq_work.counted(settings))
    if as_json:
        _print_json({"items": rows})
    elif not rows:
        click.echo("There are no dead letters.")
    else:
        names = ("topic", "reason", "open", "replayed", "discarded", "oldest_open")
        click.echo(table(names, [tuple(str(row[name] or "") for name in names) for row in rows]))


@dlq.command(epilog=EXITS)
@json_option
@guarded
def parked(as_json: bool) -> None:
    """List parked keys: lines and accounts under review since our fold failed on one of their records.

    \b
    Example:
      rebate dlq parked
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import dlq_work

    settings = load_settings()
    rows = _run(settings, dlq_work.parked(settings))
    if as_json:
        _print_json({"items": rows})
    elif not rows:
        click.echo("Nothing is parked.")
    else:
        cells = [
            (r["key"], r["since"], r["at"], str(r["waiting"]), "yes" if r["releasing"] else "") for r in rows
        ]
        click.echo(table(("key", "since", "at", "waiting", "releasing"), cells))


@dlq.command(epilog=EXITS)
@click.argument("key")
@topic_option
@by_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@guarded
def release(key: str, topic: str | None, by: str, yes: bool, as_json: bool) -> None:
    """Have what waits for a parked KEY folded, in order; what fails again goes on waiting.

    Mend the bug and update the workers first. Records whose dead letters were discarded are left out.
    `rebate lag --wait` says when it is done.

    \b
    Example:
      rebate dlq release mei
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import dlq_work

    settings = load_settings()
    _confirm(f"Release {key}?", yes=yes)
    place = _run(settings, dlq_work.released(settings, key, topic, by))
    if place is None:
        fail(f"{key} was never parked: no dead letter says so.", EXIT_FINDINGS)
    if as_json:
        _print_json({"key": key, "release": str(place)})
    else:
        click.echo(f"{key} is being released by the message at {place}.")


def _run(settings: Settings, work: Coroutine[Any, Any, T]) -> T:
    return run_with_broker(settings, work)


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{question} Say --yes where nobody can be asked.", EXIT_USAGE)
    click.confirm(question, abort=True, err=True)


def _print_outcomes(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        _print_json({"items": rows})
        return
    for row in rows:
        why = ", ".join(text for name in ("reason", "detail") if (text := row.get(name)))
        click.echo(f"{row['id']}: {row['outcome']}" + (f" ({why})" if why else ""))
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["outcome"]] = counts.get(row["outcome"], 0) + 1
    click.echo(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "nothing")


def _print_json(document: Any) -> None:
    import orjson

    click.echo(orjson.dumps(document))
