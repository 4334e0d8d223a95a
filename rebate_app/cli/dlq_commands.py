"""`rebate dlq …`: list, show, replay and discard dead letters (docs/spec/failures.md#commands).

Listing and showing change nothing. Commands that change something state how much and ask first, unless
--yes is given. Every command may be repeated.
"""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rebate_app.settings import EXIT_FINDINGS, Settings, load_settings

from .command_group import CommandGroup
from .exits import EXITS, confirm, fail, guarded, json_option, run_with_broker
from .lists import cursor_option, print_list
from .resume_command import resume
from .terminal import print_json, print_line, print_table, print_text, progress

if TYPE_CHECKING:
    from .dlq_actions import LetterList, Selection

T = TypeVar("T")
LIST_LIMIT = 100
topic_option = click.option("--topic", metavar="TOPIC", help="Of one of the sources only.")
by_option = click.option("--by", envvar="USER", default="operator", show_envvar=True, help="Who decides.")


@click.group(cls=CommandGroup)
def dlq() -> None:
    """See what failed: dead letters and parked keys; decide about it."""


@dlq.command("list", epilog=EXITS)
@topic_option
@click.option("--reason", help="With this reason code only.")
@click.option("--key", help="Of this line, user or attribution id only; hex:… for other bytes.")
@click.option("--since", metavar="TIME", help="Records from this moment on, with offset.")
@click.option(
    "--open/--all", "open_only", default=True, show_default=True, help="Decided ones too with --all."
)
@click.option("--limit", type=click.IntRange(1), default=LIST_LIMIT, show_default=True, help="At most.")
@cursor_option
@json_option
@guarded
def list_letters(limit: int, cursor: str | None, as_json: bool, **options: Any) -> None:
    """List open dead letters, newest first, by the place where each record failed, which is its ID.

    The list ends with what it leaves off: letters beyond --limit, and decided ones without --all.

    \b
    Examples:
      rebate dlq list
      rebate dlq list --all --reason implausible-time --since 2026-02-01T00:00:00+08:00 --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import dlq_actions

    settings = load_settings()
    wanted = dlq_actions.filter_of(
        settings,
        options["topic"],
        options["reason"],
        options["key"],
        options["since"],
        open_only=options["open_only"],
    )
    found = _run(settings, dlq_actions.list_letters(settings, wanted, limit, cursor))
    if as_json:
        left_off = {"before": found.before, "beyond": found.beyond, "decided": found.decided}
        print_list(found.rows, found.next_cursor, left_off=left_off)
    else:
        _print_letters(found)


def _print_letters(found: LetterList) -> None:
    if found.rows:
        cells = [
            (r["id"], r["reason"], r["key"] or "", r["timestamp"], r["at"], r["decision"] or "open")
            for r in found.rows
        ]
        print_table(("id", "reason", "key", "record of", "failed at", "decision"), cells)
    else:
        print_line("There are no such dead letters.")
    left_off = []
    if found.next_cursor is not None:
        left_off.append(f"{found.beyond:,} older ones (--limit, or --cursor {found.next_cursor})")
    if found.decided:
        left_off.append(f"{found.decided:,} decided ones (--all)")
    if left_off:
        print_line(f"Left off: {', '.join(left_off)}.")


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
    from . import dlq_actions

    settings = load_settings()
    shown = _run(settings, dlq_actions.show_letter(settings, letter))
    if as_json:
        print_json(shown)
        return
    for header in shown["headers"]:
        print_text(header["name"], header["value"])
    print_line(f"key ({shown['key_as']}): {shown['key']}")
    print_text(f"value ({shown['value_as']}, {shown['value_bytes']} bytes)", str(shown["value"]))
    whole = shown["whole_record"]
    if whole is not None:
        print_line(
            f"cut: the whole record stands at {whole['stands_at']}: value {whole['value_bytes']} bytes, "
            f"SHA-256 {whole['value_sha256']}, key {whole['key_bytes']} bytes"
        )
    print_line(f"decision: {shown['decision'] or 'open'}")
    print_line(f"today: {_json(shown['today'])}")
    print_line(f"state: {_json(shown['state'])}")


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
    from . import dlq_actions

    settings = load_settings()
    selection = _selected(settings, letters, options, again=again)
    if dry_run:
        outcomes = _run(settings, dlq_actions.dry_run_letters(settings, selection))
        _print_outcomes(outcomes, as_json)
        if any(row["outcome"] not in dlq_actions.GOOD for row in outcomes):
            sys.exit(EXIT_FINDINGS)
        return
    count = len(selection.replayable)
    confirm(f"Send {count} records again?", yes=options["yes"] or not count)
    by, why, rate = options["by"], options["why"], options["rate"]
    with progress("Replaying") as report:
        outcomes = _run(settings, dlq_actions.replay_letters(settings, selection, by, why, rate, report))
    _print_outcomes(outcomes, as_json)
    if any(row["outcome"] in dlq_actions.NOT_REPLAYED for row in outcomes):
        sys.exit(EXIT_FINDINGS)


@dlq.command(epilog=EXITS)
@click.argument("letters", nargs=-1, metavar="[ID]...")
@topic_option
@click.option("--reason", help="All open ones with this reason code.")
@click.option("--key", help="All open ones of this line, user or attribution id.")
@click.option("--all", "everything", is_flag=True, help="All open ones.")
@click.option("--why", required=True, help="For whoever comes after you.")
@by_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@guarded
def discard(letters: tuple[str, ...], why: str, by: str, as_json: bool, **options: Any) -> None:
    """Close dead letters for good; a parked key that is released then goes on without their records.

    \b
    Examples:
      rebate dlq discard order_topic/3/41 --why "test data"
      rebate dlq discard --reason unknown-schema --topic orders --why "another system's" --yes
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import dlq_actions

    settings = load_settings()
    selection = _selected(settings, letters, options, again=False)
    count = len(selection.letters)
    confirm(f"Discard {count} dead letters?", yes=options["yes"] or not count)
    outcomes = _run(settings, dlq_actions.discard_letters(settings, selection, by, why))
    _print_outcomes(outcomes, as_json)
    if any(row["outcome"] == "unknown" for row in outcomes):
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
    from . import dlq_actions

    settings = load_settings()
    rows = _run(settings, dlq_actions.count_letters(settings))
    if as_json:
        print_list(rows)
    elif not rows:
        print_line("There are no dead letters.")
    else:
        names = ("topic", "reason", "open", "replayed", "discarded", "oldest_open")
        print_table(names, [tuple(str(row[name] or "") for name in names) for row in rows])


@dlq.command(epilog=EXITS)
@json_option
@guarded
def parked(as_json: bool) -> None:
    """List parked keys: lines and accounts under review since our fold failed on one of their records.

    \b
    Example:
      rebate dlq parked
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import dlq_actions

    settings = load_settings()
    rows = _run(settings, dlq_actions.list_parked_keys(settings))
    if as_json:
        print_list(rows)
    elif not rows:
        print_line("Nothing is parked.")
    else:
        cells = [
            (r["key"], r["since"], r["at"], str(r["waiting"]), "yes" if r["releasing"] else "") for r in rows
        ]
        print_table(("key", "since", "at", "waiting", "releasing"), cells)


@dlq.command(epilog=EXITS)
@click.argument("key")
@topic_option
@by_option
@click.option("--why", default="", help="For whoever comes after you.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@guarded
def release(key: str, topic: str | None, by: str, why: str, yes: bool, as_json: bool) -> None:
    """Have what waits for a parked KEY folded, in order; what fails again goes on waiting.

    Mend the bug and update the workers first. Records whose dead letters were discarded are left out.
    `rebate lag --wait` says when it is done.

    \b
    Example:
      rebate dlq release mei
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import dlq_actions

    settings = load_settings()
    confirm(f"Release {key}?", yes=yes)
    place = _run(settings, dlq_actions.release_key(settings, key, topic, by, why))
    if place is None:
        fail(f"{key} was never parked: no dead letter says so.", EXIT_FINDINGS)
    if as_json:
        print_json({"key": key, "release": str(place)})
    else:
        print_line(f"{key} is being released by the message at {place}.")


def _selected(
    settings: Settings, letters: tuple[str, ...], options: dict[str, Any], *, again: bool
) -> Selection:
    """Return the letters that are named by ID, or the open ones that the filters select."""
    from . import dlq_actions

    topic, reason, key = options["topic"], options["reason"], options["key"]
    filters = [name for name in ("topic", "reason", "key", "everything") if options[name]]
    if letters and filters:
        raise click.UsageError("Name dead letters by ID, or select them by options, not both.")
    if not letters and filters in ([], ["topic"]):
        raise click.UsageError("Name dead letters, or say --reason, --key or --all.")
    wanted = dlq_actions.filter_of(settings, topic, reason, key, None, open_only=not again)
    return _run(settings, dlq_actions.select_letters(settings, letters, wanted, again=again))


dlq.add_command(resume)


def _run(settings: Settings, work: Coroutine[Any, Any, T]) -> T:
    return run_with_broker(settings, work)


def _print_outcomes(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_list(rows)
        return
    for row in rows:
        why = ", ".join(text for name in ("reason", "detail") if (text := row.get(name)))
        print_line(f"{row['id']}: {row['outcome']}" + (f" ({why})" if why else ""))
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["outcome"]] = counts.get(row["outcome"], 0) + 1
    print_line(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "nothing")


def _json(value: Any) -> str:
    import orjson

    return orjson.dumps(value).decode()
