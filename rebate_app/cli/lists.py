"""What commands that list something share: options, the shape of `--json`, and what is left off.

`--json` is one object, `{"items": […], "next_cursor": null}`; the cursor continues the list with `--cursor`
(docs/spec/cli.md#lists).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import click

from rebate_app.settings import load_settings

from .terminal import print_json, print_line, print_note, print_table

if TYPE_CHECKING:
    from .worker_client import WorkerClient

LIMIT_DEFAULT = 50

at_option = click.option("--at", metavar="TIME", help="The moment to answer for, with offset; default: now.")
limit_option = click.option(
    "--limit", type=click.IntRange(1), default=LIMIT_DEFAULT, show_default=True, help="At most."
)
cursor_option = click.option(
    "--cursor", metavar="CURSOR", help="Continue a list: what it gave as `next_cursor`."
)


def ask_worker(
    ask: Callable[[WorkerClient], Coroutine[Any, Any, dict[str, Any]]], seconds_max: float | None = None
) -> dict[str, Any]:
    """Return what the worker at REBATE_URL answers; CommandError without an answer."""
    import asyncio

    from .worker_client import RESPONSE_SECONDS_MAX, WorkerClient

    async def run() -> dict[str, Any]:
        async with WorkerClient(load_settings().url, seconds_max or RESPONSE_SECONDS_MAX) as client:
            return await ask(client)

    return asyncio.run(run())


def read_page(path: str, limit: int, cursor: str | None, **query: str | None) -> dict[str, Any]:
    """Return up to `limit` items of a list and its next cursor."""
    return ask_worker(lambda client: client.page(path, limit, cursor, **query))


def print_list(items: Sequence[Any], next_cursor: str | None = None, **more: Any) -> None:
    """Print a list as JSON."""
    print_json({"items": items, "next_cursor": next_cursor, **more})


def print_page(page: dict[str, Any], header: Sequence[str], rows: Sequence[Sequence[str]], none: str) -> None:
    """Print a page of a list as a table, or the sentence `none` for an empty list."""
    if rows:
        print_table(header, rows)
    elif page["next_cursor"] is None:
        print_line(none)
    if page["next_cursor"] is not None:
        print_note(f"There are more: --limit, or --cursor {page['next_cursor']}")
