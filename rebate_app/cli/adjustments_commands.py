"""`rebate adjustments` and `rebate openings`: change balances by two people, bring balances along."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rebate_app.settings import load_settings

from .command_group import CommandGroup
from .command_trail import by_option
from .exits import EXITS, confirm, guarded, json_option, run_with_broker
from .lists import cursor_option, limit_option, print_list, print_page, read_page
from .money_commands import print_sent, reason_option, send, verdict_command
from .terminal import money, print_json, print_line, print_note

if TYPE_CHECKING:
    from .money_actions import MoneyCommand, OpeningSums


@click.group(cls=CommandGroup)
def adjustments() -> None:
    """Change available money, by two people who agree."""


@adjustments.command("list", epilog=EXITS)
@click.option("--state", metavar="STATE", help="Only proposed, approved or rejected ones.")
@limit_option
@cursor_option
@json_option
@guarded
def list_adjustments(state: str | None, limit: int, cursor: str | None, as_json: bool) -> None:
    """List the adjustments of all users, oldest first.

    \b
    Examples:
      rebate adjustments list --state proposed
      rebate adjustments list --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    page = read_page("/v1/adjustments", limit, cursor, state=state)
    if as_json:
        print_list(page["items"], page["next_cursor"])
        return
    header = ("user", "adjustment", "amount", "why", "state", "proposed by", "reason")
    print_page(page, header, [_row(item) for item in page["items"]], "There are no such adjustments.")


def _row(item: Mapping[str, Any]) -> tuple[str, ...]:
    rest = (item["reason_code"], item["state"], item["proposed_by"], item["reason"])
    return (item["user_id"], item["adjustment_id"], money(item["amount"]), *rest)


@adjustments.command(epilog=EXITS)
@click.argument("user")
@click.argument("adjustment_id", metavar="ID")
@click.option("--amount", type=int, required=True, metavar="FEN", help="Signed, in fen.")
@click.option("--reason-code", required=True, help="Such as restore, goodwill or write-off.")
@click.option("--ref", metavar="REF", help="What it refers to elsewhere.")
@reason_option
@by_option
@json_option
@guarded
def propose(user: str, adjustment_id: str, **options: Any) -> None:
    """Propose an adjustment ID of USER's available money; it counts once somebody else approves it.

    \b
    Example:
      rebate adjustments propose mei a1 --amount -500 --reason-code write-off --reason "paid twice" --by lin
    """  # noqa: D301 - click's mark for text that is shown as it is
    document = {
        "user_id": user,
        "adjustment_id": adjustment_id,
        "amount": options["amount"],
        "reason_code": options["reason_code"],
        "reason": options["reason"],
        "ref": options["ref"],
    }
    sent = send("adjustment.propose", document, _path(user), options["by"])
    print_sent(sent, "state", as_json=options["as_json"])


def _path(user: str, *more: str) -> str:
    from rebate_app.wire.facts.identifiers import path_segment

    return "/".join(("/v1/users", path_segment(user), "adjustments", *map(path_segment, more)))


_verdict = partial(verdict_command, adjustments, "adjustment", _path)
approve = _verdict("approve", "Approve the adjustment ID of USER; another person than who proposed it.")
reject = _verdict("reject", "Reject the adjustment ID of USER.")


@click.group(cls=CommandGroup)
def openings() -> None:
    """Balances that members bring along from another system."""


batch_option = click.option("--batch", required=True, metavar="BATCH", help="Names the import.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@openings.command("import", epilog=EXITS)
@click.argument("file", type=click.Path(path_type=Path))
@batch_option
@yes_option
@by_option
@json_option
@guarded
def import_openings(file: Path, batch: str, yes: bool, by: str, as_json: bool) -> None:
    """Import openings from an NDJSON FILE.

    Members: user_id, opening_id, source, as_of, available, confirmed, withdrawn.

    Every line is checked before anything is sent, and count and sums are shown. They count once somebody
    else has approved the batch. Repeats change nothing.

    \b
    Example:
      rebate openings import old-shop.ndjson --batch 2026-03 --yes --by lin
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import money_actions as actions

    commands, sums = actions.read_openings(file, batch, by)
    _carry_out(commands, sums, ("Import", batch, by), yes=yes, as_json=as_json)


@openings.command("approve", epilog=EXITS)
@batch_option
@click.option("--reason", metavar="TEXT", help="Why; by default a sentence that names the batch.")
@yes_option
@by_option
@json_option
@guarded
def approve_openings(batch: str, reason: str | None, yes: bool, by: str, as_json: bool) -> None:
    """Approve the openings of a batch that are proposed, as another person than who imported them.

    \b
    Example:
      rebate openings approve --batch 2026-03 --yes --by wang
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import money_actions as actions

    settings = load_settings()
    why = reason or f"batch {batch} approved"
    found = run_with_broker(settings, actions.proposed_openings(settings, batch))
    commands, sums = actions.approvals(found, why)
    _carry_out(commands, sums, ("Approve", batch, by), why, yes=yes, as_json=as_json)


def _carry_out(
    commands: list[MoneyCommand],
    sums: OpeningSums,
    what: tuple[str, str, str],
    reason: str = "",
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Show what it adds up to, ask, and send; `reason` is for the audit trail."""
    from . import money_actions as actions

    verb, batch, by = what
    print_note(
        f"{sums.count:,} openings: {money(sums.available)} available, {money(sums.confirmed)} confirmed, "
        f"{money(sums.withdrawn)} withdrawn"
    )
    if commands:
        confirm(f"{verb} {sums.count:,} openings of batch {batch}?", yes=yes)
        settings = load_settings()
        run_with_broker(settings, actions.send_all(settings, commands, by, batch, reason))
    if as_json:
        print_json(
            {
                "batch": batch,
                "sent": sums.count,
                "available": sums.available,
                "confirmed": sums.confirmed,
                "withdrawn": sums.withdrawn,
            }
        )
    else:
        print_line(f"sent {sums.count:,}")
