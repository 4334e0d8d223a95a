"""`rebate users balance|show|lines|ledger`: members and their money, read from the workers over HTTP.

`users balance --json` prints each balance as the worker gives it, one object a line
(docs/spec/http.md#balance and docs/spec/cli.md#commands).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from rebate_app.settings import load_settings

from .command_group import CommandGroup
from .exits import EXITS, guarded, json_option
from .lists import ask_worker, at_option, cursor_option, limit_option, print_list, print_page, read_page
from .profiles_commands import print_profile, profile_path
from .terminal import money, print_json, print_line, print_table

if TYPE_CHECKING:
    from .worker_client import WorkerClient

AMOUNTS = ("estimated", "confirmed", "held", "available", "debt")
COUNTS = ("open", "settled", "closed")
LINE_AMOUNTS = ("estimated", "confirmed", "available", "held")
ENTRY_AMOUNTS = ("estimated", "settled", "held", "frozen", "withdrawn")
#: What an entry is about that belongs to no line.
OWN_IDS = ("withdrawal_id", "adjustment_id", "opening_id")


@click.group(cls=CommandGroup)
def users() -> None:
    """Members and their money."""


@users.command(epilog=EXITS)
@click.argument("user_ids", nargs=-1, metavar="[USER]...")
@click.option("--all", "everybody", is_flag=True, help="All users that there are.")
@at_option
@json_option
@guarded
def balance(user_ids: tuple[str, ...], everybody: bool, at: str | None, as_json: bool) -> None:
    """Print the balance of each USER, or of --all.

    The table is in yuan, sorted by user, with the totals in the last row; --json is in fen, one object a
    line, as GET /v1/users/USER/balance gives it. --at answers for another moment with what is known now:
    dates take effect, or do not yet.

    \b
    Examples:
      rebate users balance mei tao
      rebate users balance --all --at 2026-02-01T00:00:00+08:00 --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    if bool(user_ids) == everybody:
        raise click.UsageError("Name users, or say --all.")
    settings = load_settings()
    asyncio.run(_print_balances(settings.url, user_ids, at, as_json=as_json))


async def _print_balances(url: str, user_ids: tuple[str, ...], at: str | None, *, as_json: bool) -> None:
    """Print all balances: JSON as it arrives, the table when it is complete."""
    rows: list[Mapping[str, Any]] = []
    async for found in read_balances(url, user_ids, at):
        if as_json:
            print_json(found)
        else:
            rows.append(found)
    if not as_json:
        print_balances(rows)


async def read_balances(url: str, user_ids: tuple[str, ...], at: str | None) -> AsyncIterator[dict[str, Any]]:
    """Yield the balances of the users named, or of all if none is named."""
    from .worker_client import WorkerClient

    async with WorkerClient(url) as client:
        if user_ids:
            async for found in client.balances(user_ids, at):
                yield found
            return
        async for page in client.users():
            async for found in client.balances(page, at):
                yield found


def print_balances(balances: Sequence[Mapping[str, Any]]) -> None:
    """Print balances as a table by user, amounts in yuan, order lines counted, totals last."""
    if not balances:
        print_line("There are no users yet.")
        return
    header = ("user", *AMOUNTS, "lines open", *COUNTS[1:])
    rows = [
        _balance_row(each["user_id"], each, each["lines"])
        for each in sorted(balances, key=itemgetter("user_id"))
    ]
    if len(balances) > 1:
        amounts = {name: sum(each[name] for each in balances) for name in AMOUNTS}
        counts = {name: sum(each["lines"][name] for each in balances) for name in COUNTS}
        rows.append(_balance_row(f"total ({len(balances):,} users)", amounts, counts))
    print_table(header, rows)


def _balance_row(title: str, amounts: Mapping[str, int], counts: Mapping[str, int]) -> tuple[str, ...]:
    return (title, *(money(amounts[name]) for name in AMOUNTS), *(str(counts[name]) for name in COUNTS))


@users.command("show", epilog=EXITS)
@click.argument("user")
@at_option
@json_option
@guarded
def show_user(user: str, at: str | None, as_json: bool) -> None:
    """Show one USER: the profile in force, the balance, and when confirmed money becomes available.

    --json: {"user_id", "profile", "balance"}, the latter two as GET /v1/users/USER/… gives them.

    \b
    Examples:
      rebate users show mei
      rebate users show mei --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    found = ask_worker(lambda client: _read_user(client, user, at))
    if as_json:
        print_json(found)
        return
    print_profile(found["profile"])
    balance = found["balance"]
    for name in AMOUNTS:
        print_line(f"{name:<11} {money(balance[name])}")
    for part in balance["maturing"]:
        print_line(f"            {money(part['amount'])} available from {part['on']} on")
    print_line("lines       " + ", ".join(f"{balance['lines'][name]:,} {name}" for name in COUNTS))
    for name in ("stale", "under_review", "blocked"):
        if balance.get(name):
            print_line(name.replace("_", " "))


async def _read_user(client: WorkerClient, user: str, at: str | None) -> dict[str, Any]:
    profile = await client.get(profile_path(user), at=at)
    balances = [each async for each in client.balances([user], at)]
    return {"user_id": user, "profile": profile, "balance": balances[0]}


@users.command("lines", epilog=EXITS)
@click.argument("user")
@at_option
@limit_option
@cursor_option
@json_option
@guarded
def list_lines(user: str, at: str | None, limit: int, cursor: str | None, as_json: bool) -> None:
    """List the order lines that USER has a share of, newest first.

    \b
    Examples:
      rebate users lines mei
      rebate users lines mei --limit 500 --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    page = read_page(_list_path(user, "lines"), limit, cursor, at=at)
    if as_json:
        print_list(page["items"], page["next_cursor"])
        return
    header = ("line", "role", "status", *LINE_AMOUNTS, "release on", "updated")
    print_page(page, header, [_line_row(item) for item in page["items"]], f"{user} has no lines.")


def _line_row(item: Mapping[str, Any]) -> tuple[str, ...]:
    role = item["role"] if not item["depth"] else f"{item['role']} {item['depth']}"
    amounts = (money(item[name]) for name in LINE_AMOUNTS)
    status = item["status"] or "none"
    return (_line(item), role, status, *amounts, item["release_on"] or "", item["updated_at"])


@users.command("ledger", epilog=EXITS)
@click.argument("user")
@limit_option
@cursor_option
@json_option
@guarded
def list_entries(user: str, limit: int, cursor: str | None, as_json: bool) -> None:
    """List every change of USER's account, newest first; the sum of all of them is the account.

    An entry with a date takes effect on that day.

    \b
    Examples:
      rebate users ledger mei
      rebate users ledger mei --limit 500 --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    page = read_page(_list_path(user, "ledger"), limit, cursor)
    if as_json:
        print_list(page["items"], page["next_cursor"])
        return
    header = ("at", "effective on", "line", "role", "kind", *ENTRY_AMOUNTS, "reason", "rules")
    print_page(page, header, [_entry_row(item) for item in page["items"]], f"{user} has no entries.")


def _entry_row(item: Mapping[str, Any]) -> tuple[str, ...]:
    amounts = (money(item[name]) for name in ENTRY_AMOUNTS)
    texts = (item["reason"], item["rule_version"] or "")
    return (item["at"], item["effective_on"] or "", _line(item), item["role"], item["kind"], *amounts, *texts)


def _line(item: Mapping[str, Any]) -> str:
    if not item["platform"]:
        return next((str(item[name]) for name in OWN_IDS if name in item), "")
    return f"{item['platform']}:{item['order_line_id']}"


def _list_path(user: str, name: str) -> str:
    from rebate_app.wire.facts.identifiers import path_segment

    return f"/v1/users/{path_segment(user)}/{name}"
