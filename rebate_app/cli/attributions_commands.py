"""`rebate attributions list|show`: to whom attribution ids belong, read from the workers over HTTP."""

from __future__ import annotations

import click

from .command_group import CommandGroup
from .exits import EXITS, guarded, json_option
from .import_commands import import_attributions
from .lists import ask_worker, at_option, cursor_option, limit_option, print_list, print_page, read_page
from .terminal import money, print_json, print_line


@click.group(cls=CommandGroup)
def attributions() -> None:
    """Attribution ids of the networks, and to whom they belong."""


attributions.add_command(import_attributions)


@attributions.command("list", epilog=EXITS)
@at_option
@limit_option
@cursor_option
@json_option
@guarded
def list_attributions(at: str | None, limit: int, cursor: str | None, as_json: bool) -> None:
    """List the attribution ids that belong to nobody, with the lines and the money that wait there.

    `rebate attributions import` binds them. Amounts of --json are in fen.

    \b
    Examples:
      rebate attributions list
      rebate attributions list --limit 1000 --json
    """  # noqa: D301 - \b is click's mark for preformatted text
    page = read_page("/v1/attributions", limit, cursor, unbound="true", at=at)
    if as_json:
        print_list(page["items"], page["next_cursor"])
        return
    rows = [(item["attribution_id"], f"{item['lines']:,}", money(item["net"])) for item in page["items"]]
    print_page(page, ("attribution id", "lines", "net"), rows, "No lines wait for an owner.")


@attributions.command("show", epilog=EXITS)
@click.argument("attribution_id", metavar="ATTRIBUTION_ID")
@at_option
@json_option
@guarded
def show_attribution(attribution_id: str, at: str | None, as_json: bool) -> None:
    """Show an attribution id: the user it is bound to, its lines, and their net.

    \b
    Examples:
      rebate attributions show taobao:special_id:2880001234
      rebate attributions show jd:none --json
    """  # noqa: D301 - \b is click's mark for preformatted text
    from rebate_app.wire.facts.identifiers import path_segment

    found = ask_worker(lambda client: client.get(f"/v1/attributions/{path_segment(attribution_id)}", at=at))
    if as_json:
        print_json(found)
        return
    print_line(f"attribution id  {found['attribution_id']}")
    print_line(f"bound to        {found['user_id'] or 'nobody'}")
    print_line(f"lines           {found['lines']:,}")
    print_line(f"net             {money(found['net'])}")
