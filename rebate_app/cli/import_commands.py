"""`rebate orders|profiles|attributions import`: files in, a report out.

Law: exit 1 if anything was refused; all the rest is sent all the same (contracts.md 5).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rebate_app.settings import EXIT_FINDINGS, Settings, load_settings

from .exits import EXITS, guarded, json_option, run_with_broker
from .show import Progress, progress

if TYPE_CHECKING:
    from .importing import Report

FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
#: As in rebate_app.wire.importing, which is not loaded for the sake of --help.
NETWORKS = ("taobao", "jd", "pdd", "canonical")


@click.group()
def orders() -> None:
    """Order lines and what the networks say about them."""


@click.group()
def profiles() -> None:
    """Members: their level and who invited them."""


@click.group()
def attributions() -> None:
    """Attribution ids of the networks, and to whom they belong."""


@orders.command("import", epilog=EXITS)
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option("--network", required=True, type=click.Choice(NETWORKS), help="Whose format the files are in.")
@json_option
@guarded
def import_orders(files: tuple[Path, ...], network: str, as_json: bool) -> None:
    """Send the order lines of FILEs to the topic.

    A file holds responses of the network's API as they came, one or several, or its rows; with
    `--network canonical`, one fact a line. It may be compressed (.gz). Importing again does no harm.

    \b
    Examples:
      rebate orders import orders.json refunds.json --network taobao
      rebate orders import 2026-01.ndjson.gz --network canonical --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import importing

    _import(lambda settings, tell: importing.import_orders(settings, files, network, tell), "orders", as_json)


@profiles.command("import", epilog=EXITS)
@click.argument("file", type=FILE)
@json_option
@guarded
def import_profiles(file: Path, as_json: bool) -> None:
    """Send the member profiles of FILE, one JSON object a line.

    A profile is whole: what it leaves out is gone. Without `effective_at` it holds from now on. It
    prices order lines that come after it.

    \b
    Example line:
      {"user_id": "mei", "level": "basic", "inviter_id": "lin", "effective_at": "2026-01-01T00:00:00+08:00"}
    \b
    Example:
      rebate profiles import profiles.ndjson
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import importing

    _import(lambda settings, tell: importing.import_profiles(settings, file, tell), "profiles", as_json)


@attributions.command("import", epilog=EXITS)
@click.argument("file", type=FILE)
@json_option
@guarded
def import_attributions(file: Path, as_json: bool) -> None:
    """Bind the attribution ids of FILE to members, one JSON object a line.

    The last binding holds, and the id's lines move with it, those already there too. Without
    `user_id` the id belongs to nobody again.

    \b
    Example line:
      {"attribution_id": "taobao:special_id:2880001234", "user_id": "mei"}
    \b
    Example:
      rebate attributions import attributions.ndjson --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    from . import importing

    _import(lambda settings, tell: importing.import_attributions(settings, file, tell), "bindings", as_json)


def _import(work: Callable[[Settings, Progress], Awaitable[Report]], what: str, as_json: bool) -> None:
    """Run an import, print its report, and end with 1 if anything was refused."""
    settings = load_settings()

    async def run(tell: Progress) -> Report:
        return await work(settings, tell)

    with progress(f"Importing {what}") as tell:
        report = run_with_broker(settings, run(tell))
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        _print(report)
    if report.refused:
        sys.exit(EXIT_FINDINGS)


def _print(report: Report) -> None:
    click.echo(
        f"read {report.read}, sent {report.sent}, of unknown status {report.unknown}, "
        f"refused {len(report.refused)}"
    )
    for refusal in report.refused:
        place = f"{click.format_filename(refusal.file)}:{refusal.row}"
        click.echo(f"{place}: {refusal.code}: {refusal.detail}")
        for fault in refusal.more:
            click.echo(f"{place}:   also {fault.code}: {fault.detail}")
