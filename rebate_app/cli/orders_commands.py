"""`rebate orders show`: one order line with its shares and the reasons, read from the workers over HTTP."""

from __future__ import annotations

from typing import Any

import click

from .command_group import CommandGroup
from .exits import EXITS, guarded, json_option
from .import_commands import import_orders
from .lists import ask_worker, at_option
from .terminal import money, print_json, print_line, print_table

SHARE_AMOUNTS = ("estimated", "confirmed", "available", "held")


@click.group(cls=CommandGroup)
def orders() -> None:
    """Order lines as the networks report them."""


orders.add_command(import_orders)


@orders.command("show", epilog=EXITS)
@click.argument("line", metavar="PLATFORM:ORDER_LINE_ID")
@at_option
@json_option
@guarded
def show_order(line: str, at: str | None, as_json: bool) -> None:
    """Show one order line: owner, shares, what happened to it, and why each share is what it is.

    Exit code 1 if no fact of the line was ever seen. --json is in fen, as
    GET /v1/order-lines/PLATFORM/ORDER_LINE_ID gives it.

    \b
    Examples:
      rebate orders show taobao:4000000000000000011
      rebate orders show jd:280000000001 --at 2026-02-21T00:00:00+08:00 --json
    """  # noqa: D301 - \b is click's mark for preformatted text
    from rebate_app.wire.facts.identifiers import match_line, path_segment

    if match_line(line) is None:
        detail = f"{line!r} is no order line: PLATFORM:ORDER_LINE_ID, such as taobao:4000000000000000011."
        raise click.UsageError(detail)
    platform, _, order_line_id = line.partition(":")
    path = f"/v1/order-lines/{platform}/{path_segment(order_line_id)}"
    found = ask_worker(lambda client: client.get(path, at=at))
    if as_json:
        print_json(found)
    else:
        _print(line, found)


def _print(line: str, found: dict[str, Any]) -> None:
    owner = found["owner"]
    print_line(f"order line   {line}")
    print_line(f"status       {found['status'] or 'none that counts'}")
    print_line(f"owner        {owner['user_id'] or 'nobody yet'} ({owner['by']})")
    if owner.get("attribution_id"):
        print_line(f"attribution  {owner['attribution_id']}")
    print_line(f"net          {money(found['net'])}")
    for name, title in (
        ("settled_on", "settled on"),
        ("release_on", "release on"),
        ("rule_version", "rules"),
    ):
        if found.get(name):
            print_line(f"{title:<12} {found[name]}")
    if found["shares"]:
        print_line()
        print_table(
            ("user", "depth", "level", "rate", *SHARE_AMOUNTS), [_share_row(each) for each in found["shares"]]
        )
    print_line()
    for moment in found["timeline"]:
        print_line(f"{moment['at']}  {moment['kind']}: {moment['says']}")
    print_line()
    for sentence in found["explanation"]:
        print_line(sentence)


def _share_row(share: dict[str, Any]) -> tuple[str, ...]:
    if share.get("unavailable"):
        return (share["user_id"], str(share["depth"]), *("unavailable" for _ in range(6)))
    rate = f"{share['bps'] / 100:.2f} %"
    amounts = (money(share[name]) for name in SHARE_AMOUNTS)
    return (share["user_id"], str(share["depth"]), share["level"] or "", rate, *amounts)
