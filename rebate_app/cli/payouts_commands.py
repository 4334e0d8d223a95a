"""`rebate payouts …` and `rebate payees …`: channels, payouts by hand, bills, keys (docs/payouts.md)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from rebate_app.settings import EXIT_FINDINGS, EXIT_TRY_AGAIN, EXIT_USAGE, load_settings

from .command_group import CommandGroup
from .command_trail import by_option
from .exits import EXITS, CommandError, confirm, guarded, json_option, run_with_broker
from .lists import ask_worker
from .terminal import money, print_json, print_line, print_note, print_table, progress

#: Workers confirm a closed channel within 10 s and its time-out; owners write what is exported.
ANSWER_SECONDS_MAX = 120.0

reason_option = click.option("--reason", metavar="TEXT", help="Why; it is kept in the trail.")


@click.group(cls=CommandGroup)
def payouts() -> None:
    """Money that leaves: channels, payouts by hand, and the services' bills."""


@payouts.command(epilog=EXITS)
@json_option
@guarded
def status(as_json: bool) -> None:
    """Show every channel: whether it is open, why, and what waits there.

    \b
    Example:
      rebate payouts status --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import payouts_actions

    found = ask_worker(payouts_actions.read_status)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            item["name"],
            item["state"],
            f"{item['open']:,}",
            f"{item['unknown']:,}",
            f"{item['stuck']:,}",
            "" if item["oldest_s"] is None else f"{item['oldest_s']:,} s",
            item["why"] or "",
        )
        for item in found["channels"]
    ]
    print_table(("channel", "state", "open", "unknown", "stuck", "oldest", "why"), rows)
    for export in found["exports"]:
        print_line(f"export {export['export_id']} of {export['channel']}: {export['open']:,} open")


def _set(names: tuple[str, ...], verb: str, reason: str | None, *, every: bool, as_json: bool) -> None:
    from . import payouts_actions

    if every is bool(names):
        raise CommandError("Name channels, or say --all.", EXIT_USAGE)
    rows = ask_worker(
        lambda client: payouts_actions.set_channels(client, names, verb, reason), ANSWER_SECONDS_MAX
    )
    if as_json:
        print_json(rows)
    else:
        for row in rows["items"]:
            print_line(f"{row['name']} is {row['state']}")
    waiting = [row["name"] for row in rows["items"] if not row["confirmed"]]
    if waiting:
        print_note(f"Not every worker has confirmed it in time: {', '.join(waiting)}.")
        sys.exit(EXIT_TRY_AGAIN)


@payouts.command("open", epilog=EXITS)
@click.argument("names", nargs=-1, required=True, metavar="CHANNEL…")
@reason_option
@json_option
@guarded
def open_channel(names: tuple[str, ...], reason: str | None, as_json: bool) -> None:
    """Let payouts be sent through a channel.

    \b
    Example:
      rebate payouts open bank --reason "compared with the bill of yesterday"
    """  # noqa: D301 - click's mark for text that is shown as it is
    _set(names, "open", reason, every=False, as_json=as_json)


@payouts.command("pause", epilog=EXITS)
@click.argument("names", nargs=-1, required=True, metavar="CHANNEL…")
@reason_option
@json_option
@guarded
def pause_channel(names: tuple[str, ...], reason: str | None, as_json: bool) -> None:
    """Send nothing through a channel for now; asking goes on.

    \b
    Example:
      rebate payouts pause bank --reason "the balance is being topped up"
    """  # noqa: D301 - click's mark for text that is shown as it is
    _set(names, "pause", reason, every=False, as_json=as_json)


@payouts.command("close", epilog=EXITS)
@click.argument("names", nargs=-1, metavar="[CHANNEL…]")
@click.option("--all", "every", is_flag=True, help="Every channel.")
@reason_option
@json_option
@guarded
def close_channel(names: tuple[str, ...], every: bool, reason: str | None, as_json: bool) -> None:
    """Send nothing through a channel, until somebody opens it; ends once every worker has confirmed.

    \b
    Examples:
      rebate payouts close bank --reason "a payout was paid twice"
      rebate payouts close --all --reason "the cluster was restored"
    """  # noqa: D301 - click's mark for text that is shown as it is
    _set(names, "close", reason, every=every, as_json=as_json)


@payouts.command(epilog=EXITS)
@by_option
@reason_option
@click.option("--yes", is_flag=True, help="Do not ask; without a terminal nobody is asked.")
@click.option(
    "--wait",
    "seconds",
    type=click.FloatRange(min=1),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="For everything that is waited for.",
)
@click.option("--http/--no-http", default=True, help="Also audit what REBATE_URL answers.")
@json_option
@guarded
def activate(by: str, reason: str | None, yes: bool, seconds: float, http: bool, as_json: bool) -> None:
    """Let the app REBATE_APP_ID decide and pay, instead of the one that does now.

    Its workers have to run and to have folded everything, and its audit has to find nothing. Then the turn
    of the app before ends in every partition, and once its workers have folded that, or none is left, the
    new one is named and begins. Do not start workers of the app before meanwhile. When the time is up,
    or the command is interrupted, repeat it: it goes on. After a restored backup all channels are closed.

    \b
    Example:
      REBATE_APP_ID=rebate-2 rebate payouts activate --reason "moved to new machines" --yes
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import payouts_activation

    settings = load_settings()
    confirm(f"Let the app {settings.app_id} decide and pay?", yes=yes or not sys.stdin.isatty())
    with progress("Activating") as report:
        found = run_with_broker(
            settings,
            payouts_activation.activate(settings, seconds, by, reason or "", http=http, report=report),
        )
    if as_json:
        print_json(found)
        return
    how = f"; before: {found['before'] or 'no app'}" if found["changed"] else " already"
    print_line(f"{found['active']} is active{how}")
    if found["closed"]:
        print_note(f"Closed: {', '.join(found['closed'])}; {found['why_closed']}.")


@payouts.command("export", epilog=EXITS)
@click.option("--channel", required=True, help="A manual channel.")
@click.option("--export-id", required=True, help="The same id gives the same rows again.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="CSV; mode 0600.")
@json_option
@guarded
def export(channel: str, export_id: str, out: Path, as_json: bool) -> None:
    """Write the payouts of a manual channel to a file, payees in clear, for people to carry out.

    \b
    Example:
      rebate payouts export --channel bank --export-id 2026-03-02 --out bank.csv
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import payouts_actions

    found = ask_worker(
        lambda client: payouts_actions.export(client, channel, export_id, out), ANSWER_SECONDS_MAX
    )
    if as_json:
        print_json(found)
    else:
        print_line(f"{found['rows']:,} payouts of {money(found['amount'])} yuan in {out}")


@payouts.command("import-results", epilog=EXITS)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--channel", help="Take only payouts of this manual channel.")
@click.option("--strict", is_flag=True, help="Take nothing if any row is refused.")
@json_option
@guarded
def import_results(file: Path, channel: str | None, strict: bool, as_json: bool) -> None:
    """Take what became of exported payouts from a file (payout_no,status,amount_yuan,channel_ref,code,at).

    Rows that are refused are listed with why, and the others are taken. Rows count from 1, below the header.

    \b
    Examples:
      rebate payouts import-results bank-results.csv
      rebate payouts import-results bank-results.csv --channel bank --strict
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import payouts_actions

    found = ask_worker(
        lambda client: payouts_actions.import_results(client, channel, file, strict=strict),
        ANSWER_SECONDS_MAX,
    )
    if as_json:
        print_json(found)
    else:
        print_line(f"accepted {found['accepted']:,}, unchanged {found['unchanged']:,}")
        for refusal in found["refused"]:
            print_line(f"row {refusal['row']}: {refusal['code']}")
    if found["refused"]:
        sys.exit(EXIT_FINDINGS)


@payouts.command(epilog=EXITS)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--channel", required=True, help="The channel whose bill it is.")
@json_option
@guarded
def reconcile(file: Path, channel: str, as_json: bool) -> None:
    """Compare a service's bill (payout_no,amount_yuan,status,channel_ref,at) with the withdrawals.

    A payout that was paid there and not here closes the channel. Ends with 1 on any difference. Rows that are
    neither paid nor returned are counted, and their payouts are not paid there.

    \b
    Example:
      rebate payouts reconcile bill.csv --channel alipay --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import payouts_actions

    found = ask_worker(lambda client: payouts_actions.reconcile(client, channel, file), ANSWER_SECONDS_MAX)
    if as_json:
        print_json(found)
    else:
        for each in found["differences"]:
            print_line(f"{each['kind']:<26} {each['payout_no']} here {each['here']} there {each['there']}")
        print_line(f"{len(found['differences']):,} differences in {found['rows']:,} rows")
        for status_there, count in found["ignored"].items():
            print_line(f"{count:,} rows are neither paid nor returned: {status_there or 'no status'}")
    if found["closed"]:
        print_note(f"The channel {channel} is closed.")
    if found["differences"]:
        sys.exit(EXIT_FINDINGS)


@click.group(cls=CommandGroup)
def payees() -> None:
    """To whom withdrawals are paid."""


@payees.command(epilog=EXITS)
@click.option("--yes", is_flag=True, help="Not needed: nobody is asked.")
@json_option
@guarded
def rotate(yes: bool, as_json: bool) -> None:
    """Seal all payees with the first key of REBATE_PAYEE_KEYS.

    \b
    Example:
      rebate payees rotate
    """  # noqa: D301 - click's mark for text that is shown as it is
    del yes
    found: dict[str, Any] = ask_worker(
        lambda client: client.post("/v1/payees/rotate", {}), ANSWER_SECONDS_MAX
    )
    if as_json:
        print_json(found)
    else:
        print_line(f"rotated {found['rotated']:,}, unreadable {found['unreadable']:,}")
    if found["unreadable"]:
        sys.exit(EXIT_FINDINGS)
