"""`rebate sources …`: check, status, poll, backfill, pause and resume (docs/sources.md).

0 good, 1 something is stopped, 75 try again, 78 the file of REBATE_SOURCES cannot be used.
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import click

from rebate_app.settings import load_settings

from .command_group import CommandGroup
from .command_trail import by_option
from .exits import EXITS, guarded, json_option, run_with_broker
from .terminal import print_error, print_json, print_line, print_note, print_table, progress

account_option = click.option("--account", metavar="ACCOUNT", help="One account; default: all of the file.")


@click.group(cls=CommandGroup)
def sources() -> None:
    """Fetch orders from the networks, and see how far they are fetched.

    The file of REBATE_SOURCES names apps and accounts. Workers fetch by themselves.
    """


def _moment(context: click.Context, parameter: click.Parameter, text: str) -> int:
    """Return a moment with offset in Unix seconds."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        detail = f"{text!r} is no time with offset, such as 2026-02-01T00:00:00+08:00."
        raise click.BadParameter(detail, ctx=context, param=parameter)
    return int(moment.timestamp())


@sources.command(epilog=EXITS)
@account_option
@json_option
@guarded
def check(account: str | None, *, as_json: bool) -> None:
    """Check the file, and signature and permission of each account with one call for each of its methods.

    Nothing is sent to the topics. The first call to an app only asks what time it is there.

    \b
    Example:
      rebate sources check
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import sources_actions as actions

    settings = load_settings()
    found = actions.run(actions.check(actions.configuration_of(settings), account))
    _report(found, as_json=as_json, header=("account", "method", "result", "code", "message"))
    sys.exit(actions.exit_of_checks(found))


@sources.command(epilog=EXITS)
@json_option
@guarded
def status(*, as_json: bool) -> None:
    """Say how far each account is fetched, by whom, and what holds it back.

    The workers (REBATE_URL) answer; without one, the kept cursors do.

    \b
    Example:
      rebate sources status --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import sources_actions as actions

    settings = load_settings()
    found = run_with_broker(settings, actions.status(settings))
    _print_items(found, as_json=as_json)
    sys.exit(actions.exit_of(found))


@sources.command(epilog=EXITS)
@click.option("--once", is_flag=True, required=True, help="Fetch what is due, and end.")
@account_option
@json_option
@guarded
def poll(account: str | None, *, once: bool, as_json: bool) -> None:
    """Fetch what is due from here, without a worker.

    Accounts that a worker (REBATE_URL) fetches are left to it: both together could exceed the app's rate.

    \b
    Example:
      rebate sources poll --once --account mm-1188
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import sources_actions as actions

    del once
    settings = load_settings()
    configuration = actions.configuration_of(settings)
    found = run_with_broker(settings, actions.poll(settings, configuration, account))
    for name, worker in found.workers.items():
        print_note(f"{name} is fetched by {worker} and left to it.")
    for name, place in found.bugs.items():
        print_error(f"{name} met a bug of ours: {place}.")
    _print_items(found.items, as_json=as_json)
    sys.exit(found.exit_code)


@sources.command(epilog=EXITS)
@click.option("--account", required=True, metavar="ACCOUNT", help="Whose rows are read again.")
@click.option("--from", "start", required=True, metavar="TIME", callback=_moment, help="With offset.")
@click.option("--to", "end", required=True, metavar="TIME", callback=_moment, help="With offset.")
@by_option
@json_option
@guarded
def backfill(account: str, start: int, end: int, by: str, *, as_json: bool) -> None:
    """Read an interval of the past again, beside the hot jobs and at low priority.

    The worker that fetches the account reads it, or the next `poll --once`. The command waits and shows how
    much is left; ended early, the backfill goes on, and the same command again waits for it.

    \b
    Example:
      rebate sources backfill --account mm-1188 --from 2026-01-01T00:00:00+08:00 \\
        --to 2026-02-01T00:00:00+08:00
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import sources_actions as actions

    if end <= start:
        raise click.UsageError("--to has to be after --from.")
    settings = load_settings()
    actions.account_of(actions.configuration_of(settings), account)
    with progress(f"Reading {account} again") as report:
        found = run_with_broker(settings, actions.backfill(settings, account, start, end, by, report))
    if as_json:
        print_json(found)
    else:
        print_line(f"{account}: everything between --from and --to is read again")


@sources.command(epilog=EXITS)
@click.argument("account")
@by_option
@json_option
@guarded
def pause(account: str, by: str, *, as_json: bool) -> None:
    """Make no more calls for ACCOUNT, on any worker and through restarts, until `resume`.

    \b
    Example:
      rebate sources pause mm-1188
    """  # noqa: D301 - click's mark for text that is shown as it is
    _decide(account, by, as_json=as_json, paused=True)


@sources.command(epilog=EXITS)
@click.argument("account")
@by_option
@json_option
@guarded
def resume(account: str, by: str, *, as_json: bool) -> None:
    """Fetch ACCOUNT again, after a pause or after what stopped it is put right.

    \b
    Example:
      rebate sources resume mm-1188
    """  # noqa: D301 - click's mark for text that is shown as it is
    _decide(account, by, as_json=as_json, paused=False)


def _decide(account: str, by: str, *, as_json: bool, paused: bool) -> None:
    from . import sources_actions as actions

    settings = load_settings()
    actions.account_of(actions.configuration_of(settings), account)
    run_with_broker(settings, actions.decide(settings, account, by, paused=paused))
    if as_json:
        print_json({"account": account, "paused": paused})
    else:
        print_line(f"{account} is {'paused' if paused else 'fetched again'}")


def _print_items(items: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print accounts and their jobs."""
    if as_json:
        print_json({"items": items, "next_cursor": None})
        return
    rows = [
        (
            item["account"],
            job["job"],
            item["state"] if item["state"] != "running" else job["state"],
            job["watermark"] or "never",
            "" if job["age_seconds"] is None else f"{job['age_seconds']:,} s",
            f"{job['rows']['read']:,}",
            f"{job['rows']['new'] + job['rows']['changed']:,}",
            f"{job['rows']['refused']:,}",
        )
        for item in items
        for job in item["jobs"]
    ]
    print_table(("account", "job", "state", "read until", "age", "rows", "sent", "refused"), rows)
    for item in items:
        stops = [("", item["stopped"]), *((job["job"], job["stopped"]) for job in item["jobs"])]
        for name, stop in stops:
            if stop is not None:
                print_line(f"{item['account']} {name} is stopped: {stop['code']}: {stop['message']}")


def _report(found: list[dict[str, Any]], *, as_json: bool, header: tuple[str, ...]) -> None:
    if as_json:
        print_json({"items": found, "next_cursor": None})
        return
    print_table(header, [tuple(str(each[name]) for name in header) for each in found])
    if not found:
        print_note("The file has no accounts.")
