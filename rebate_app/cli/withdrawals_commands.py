"""`rebate withdrawals`: look at withdrawals, approve, reject, cancel, resolve and confirm them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from .command_group import CommandGroup
from .command_trail import by_option
from .exits import EXITS, guarded, json_option
from .lists import ask_worker, cursor_option, limit_option, print_list, print_page, read_page
from .money_commands import optional_reason_option, print_sent, send, verdict_command
from .terminal import money, print_json, print_line


@click.group(cls=CommandGroup)
def withdrawals() -> None:
    """Withdrawals of members, and who decides about them."""


@withdrawals.command("list", epilog=EXITS)
@click.option("--state", metavar="STATE", help="Only those in this state, such as review or stuck.")
@click.option("--channel", metavar="CHANNEL", help="Only those of this channel.")
@click.option("--older-than", metavar="SECONDS", help="Only those that were requested so long ago.")
@limit_option
@cursor_option
@json_option
@guarded
def list_withdrawals(
    state: str | None,
    channel: str | None,
    older_than: str | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List the withdrawals of all users, oldest first.

    \b
    Examples:
      rebate withdrawals list --state review
      rebate withdrawals list --state stuck --older-than 86400 --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    page = read_page("/v1/withdrawals", limit, cursor, state=state, channel=channel, older_than=older_than)
    if as_json:
        print_list(page["items"], page["next_cursor"])
        return
    header = ("user", "withdrawal", "amount", "channel", "state", "requested at", "reason")
    print_page(page, header, [_row(item) for item in page["items"]], "There are no such withdrawals.")


def _row(item: Mapping[str, Any]) -> tuple[str, ...]:
    ids = (item["user_id"], item["withdrawal_id"])
    rest = (item["channel"], item["state"], item["requested_at"], item["reason"] or "")
    return (*ids, money(item["amount"]), *rest)


@withdrawals.command("show", epilog=EXITS)
@click.argument("user")
@click.argument("withdrawal_id", metavar="ID")
@json_option
@guarded
def show_withdrawal(user: str, withdrawal_id: str, as_json: bool) -> None:
    """Show the withdrawal ID of USER.

    \b
    Examples:
      rebate withdrawals show mei w-2026-03-01
      rebate withdrawals show mei w-2026-03-01 --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    found = ask_worker(lambda client: client.get(_path(user, withdrawal_id)))
    if as_json:
        print_json(found)
        return
    for name in ("withdrawal_id", "state", "reason", "channel", "payout_no", "requested_at", "updated_at"):
        print_line(f"{name:<14} {found[name] or ''}")
    for name in ("amount", "fee", "net"):
        print_line(f"{name:<14} {'' if found[name] is None else money(found[name])}")
    for approval in found["approvals"]:
        print_line(f"approved       {approval['at']} by {approval['actor']}")
    for attempt in found["attempts"]:
        print_line(f"attempt        {attempt['attempt']} at {attempt['at']}")


def _path(user: str, *more: str) -> str:
    from rebate_app.wire.facts.identifiers import path_segment

    return "/".join(("/v1/users", path_segment(user), "withdrawals", *map(path_segment, more)))


_verdict = partial(verdict_command, withdrawals, "withdrawal", _path)
approve = _verdict("approve", "Approve the withdrawal ID of USER; another person than who asked for it.")
reject = _verdict("reject", "Reject the withdrawal ID of USER: its money is available again.")
cancel = _verdict(
    "cancel",
    "Cancel the withdrawal ID of USER, while no payout was attempted.",
    reasoned=optional_reason_option,
)


def _resolution(name: str, about: str) -> click.Command:
    """Return the command that resolves, or confirms."""

    @withdrawals.command(name, epilog=EXITS, help=_resolution_help(name, about))
    @click.argument("user")
    @click.argument("withdrawal_id", metavar="ID")
    @click.option("--outcome", type=click.Choice(["paid", "failed"]), required=True, help="How it ended.")
    @click.option("--channel-ref", metavar="REF", help="The service's reference of what was paid.")
    @optional_reason_option
    @by_option
    @json_option
    @guarded
    def command(user: str, withdrawal_id: str, **options: Any) -> None:
        document = {
            "user_id": user,
            "withdrawal_id": withdrawal_id,
            "outcome": options["outcome"],
            "channel_ref": options["channel_ref"],
            "reason": options["reason"],
        }
        sent = send(f"withdrawal.{name}", document, _path(user, withdrawal_id, name), options["by"])
        print_sent(sent, "state", as_json=options["as_json"])

    return command


def _resolution_help(name: str, about: str) -> str:
    return f"""{about}

    At the earliest 24 h after the last attempt, with the service's reference, or for failed its written word
    as the reason.

    \b
    Example:
      rebate withdrawals {name} mei w1 --outcome paid --channel-ref 20260301-77 --reason "bill" --by lin
    """


resolve = _resolution("resolve", "Say how the stuck withdrawal ID of USER ended.")
confirm = _resolution("confirm", "Confirm, as another person, how the stuck withdrawal ID of USER ended.")
