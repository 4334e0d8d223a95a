"""`rebate trail`: who did what, read from a worker."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from rebate_app.settings import load_settings

from .exits import EXITS, guarded, json_option
from .lists import print_list
from .terminal import print_line, print_table

LIMIT_DEFAULT = 50
PAGE_ITEMS = 200


@click.command(epilog=EXITS)
@click.option("--subject", help="About this user, attribution id, dead letter or file only.")
@click.option("--actor", help="By this actor only: key:<id>, user:<id>, cli:<name> or anonymous.")
@click.option("--action", help="This action only, such as profile.put.")
@click.option("--since", metavar="TIME", help="From this moment on, with offset.")
@click.option("--limit", type=click.IntRange(1), default=LIMIT_DEFAULT, show_default=True, help="At most.")
@json_option
@guarded
def trail(limit: int, as_json: bool, **filters: str | None) -> None:
    """Print the audit trail, newest first: requests and commands that changed something, or were refused.

    \b
    Examples:
      rebate trail --subject mei
      rebate trail --actor key:crm --since 2026-02-01T00:00:00+08:00 --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    items = asyncio.run(_read(load_settings().url, limit, filters))
    if as_json:
        print_list(items)
    elif not items:
        print_line("There is nothing of it in the audit trail.")
    else:
        names = ("at", "actor", "action", "subject", "status", "reason")
        print_table(names, [tuple(_cell(item, name) for name in names) for item in items])


async def _read(url: str, limit: int, filters: dict[str, str | None]) -> list[dict[str, Any]]:
    """Return at most `limit` records; a page may be empty and have a next one."""
    from .worker_client import WorkerClient

    items: list[dict[str, Any]] = []
    cursor: str | None = None
    async with WorkerClient(url) as client:
        while True:
            size = str(min(PAGE_ITEMS, limit - len(items)))
            page = await client.get("/v1/audit-trail", limit=size, cursor=cursor, **filters)
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None or len(items) >= limit:
                return items


def _cell(item: dict[str, Any], name: str) -> str:
    value = item[name]
    if name == "subject" and value is None and "facts" in item:
        return f"{item['requests']} requests, {item['facts']} facts"
    return "" if value is None else str(value)
