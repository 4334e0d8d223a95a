"""`rebate reprice`: choose rules, level and inviters of order lines anew, or show what that would change."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

import click

from rebate_app.settings import EXIT_USAGE, load_settings

from .exits import EXITS, CommandError, guarded, json_option, run_with_broker
from .terminal import money, print_json, print_line, print_table, progress

if TYPE_CHECKING:
    from rebate_app.audit.reprice_trial import Trial


@click.command(epilog=EXITS)
@click.option("--user", "user_id", metavar="USER", help="Whose lines.")
@click.option("--all", "everybody", is_flag=True, help="The lines of all users.")
@click.option(
    "--lines", multiple=True, metavar="LINE,...", help="Only these, as platform:order_line_id; with --user."
)
@click.option("--paid-from", metavar="TIME", help="Only lines paid at or after it, with offset.")
@click.option("--paid-to", metavar="TIME", help="Only lines paid before it, with offset.")
@click.option("--released", is_flag=True, help="Also lines whose release day has begun.")
@click.option("--reason", metavar="TEXT", help="Why; it is shown with each line. Default: who asks for it.")
@click.option("--by", metavar="NAME", help="Who asks for it; default: the user of this system.")
@click.option("--dry-run", is_flag=True, help="Only show whose money would change; nothing is written.")
@json_option
@guarded
def reprice(**options: Any) -> None:
    """Choose rule version, level and inviters of lines anew, with what is known now.

    For profiles that came after the lines, wrong inviters, and rule versions that were replaced. Old
    inviters lose their shares, new ones get theirs. Released lines stay as they are without --released.
    The dry run reads the tables as they are now: wait for `rebate lag --wait 60` first.

    \b
    Examples:
      rebate reprice --user mei --dry-run
      rebate reprice --user mei --lines taobao:2890001 --reason "wrong inviter" --by lin
      rebate reprice --all --paid-from 2026-01-01T00:00:00+08:00 --paid-to 2026-02-01T00:00:00+08:00 \\
        --reason "profiles imported late" --by lin
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import reprice_actions as actions

    by = options["by"] or getpass.getuser()
    request = actions.RepriceRequest(_document(options, by), f"cli:{by}")
    settings, as_json = load_settings(), options["as_json"]
    if options["dry_run"]:
        with progress("Trying") as report_progress:
            trial = run_with_broker(settings, actions.try_reprice(settings, request, report_progress))
        if as_json:
            print_json(actions.trial_members(trial))
        else:
            print_trial(trial)
        return
    with progress("Sending") as report_progress:
        sent = run_with_broker(settings, actions.send_reprice(settings, request, report_progress))
    if as_json:
        print_json({"sent": sent})
    else:
        print_line(f"sent {sent}; rebate lag --wait 60 waits for it")


def _document(options: dict[str, Any], by: str) -> dict[str, Any]:
    """Return the members of the fact, checked; UsageError or CommandError for what cannot be used."""
    from rebate_app.wire.facts.reprice import with_reason
    from rebate_app.wire.facts.user import check_reprice

    user_id, lines = options["user_id"], [name for text in options["lines"] for name in text.split(",")]
    if (user_id is None) == (not options["everybody"]):
        raise click.UsageError("Name a --user, or say --all.")
    if lines and user_id is None:
        raise click.UsageError("--lines belong to one --user.")
    members = {
        "user_id": user_id,
        "lines": lines or None,
        "paid_from": options["paid_from"],
        "paid_to": options["paid_to"],
        "released": options["released"],
        "reason": options["reason"],
    }
    document = with_reason(members, by)
    verdict = check_reprice(document if user_id is not None else {**document, "user_id": "everybody"})
    if isinstance(verdict, list):
        raise CommandError(" ".join(f"{fault.code}: {fault.detail}." for fault in verdict), EXIT_USAGE)
    return document


def print_trial(trial: Trial) -> None:
    """Print whose money would change: a table in yuan, the total last, and how many lines are concerned."""
    counts = f"{trial.lines} lines of {trial.users} users would be repriced"
    if not trial.changes:
        print_line(f"{counts}; nobody's money changes")
        return
    rows = [(change.user_id, *map(money, change.difference)) for change in trial.changes]
    header = ("difference of", "estimated", "confirmed", "held", "available")
    print_table(header, [*rows, ("total", *map(money, trial.total()))])
    print_line(counts)
