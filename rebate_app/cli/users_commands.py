"""`rebate users balance`: what members have, asked of the workers over HTTP.

Law: --json prints each balance as the worker gives it, one object a line (contracts.md 4 and 5).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import click

from rebate_app.settings import load_settings

from .exits import EXITS, guarded, json_option
from .show import table, yuan

AMOUNTS = ("estimated", "confirmed", "held", "available", "debt")
COUNTS = ("open", "settled", "closed")


@click.group()
def users() -> None:
    """Members and their money."""


@users.command(epilog=EXITS)
@click.argument("user_ids", nargs=-1, metavar="[USER]...")
@click.option("--all", "everybody", is_flag=True, help="All users that there are.")
@click.option("--at", metavar="TIME", help="The moment to answer for, with offset; default: now.")
@json_option
@guarded
def balance(user_ids: tuple[str, ...], everybody: bool, at: str | None, as_json: bool) -> None:
    """Print the balance of each USER, or of --all.

    The table is in yuan; --json is in fen, one object a line, as GET /v1/users/USER/balance gives it.
    --at answers for another moment with what is known now: dates take effect, or do not yet.

    \b
    Examples:
      rebate users balance mei tao
      rebate users balance --all --at 2026-02-01T00:00:00+08:00 --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    if bool(user_ids) == everybody:
        raise click.UsageError("Name users, or say --all.")
    settings = load_settings()
    asyncio.run(_print(settings.url, user_ids, at, as_json=as_json))


async def _print(url: str, user_ids: tuple[str, ...], at: str | None, *, as_json: bool) -> None:
    """Ask for all of them; JSON is printed as it comes, the table when it is complete."""
    import orjson

    rows: list[Mapping[str, Any]] = []
    async for found in read_balances(url, user_ids, at):
        if as_json:
            click.echo(orjson.dumps(found))
        else:
            rows.append(found)
    if not as_json:
        click.echo(balance_table(rows) if rows else "There are no users yet.")


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


def balance_table(balances: list[Mapping[str, Any]]) -> str:
    """Return balances as a table, amounts in yuan, order lines counted."""
    header = ("user", *AMOUNTS, "lines open", *COUNTS[1:])
    rows = [
        (
            balance["user_id"],
            *(yuan(balance[name]) for name in AMOUNTS),
            *(str(balance["lines"][name]) for name in COUNTS),
        )
        for balance in balances
    ]
    return table(header, rows)
