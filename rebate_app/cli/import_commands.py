"""`rebate orders|profiles|attributions import`: send the rows of files to the topics and print a report.

Exit 1 if a row was refused; all others are sent (docs/spec/cli.md#import).
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rebate_app.networks import CANONICAL, file_formats
from rebate_app.settings import EXIT_FINDINGS, Settings, load_settings
from rebate_app.wire.files import STANDARD_INPUT

from .command_trail import by_option
from .exits import EXITS, guarded, json_option, run_with_broker
from .terminal import Progress, print_json, print_line, print_note, progress

if TYPE_CHECKING:
    from .import_actions import ImportReport, Refusal

API, EXPORT = FORMATS = ("api", "export")
COLUMNS_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True, path_type=Path)


def _read_fetched_at(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Return the time of a fetch in milliseconds since 1970; None without the option."""
    from rebate_app.wire.moments import MILLISECOND_US, MOMENT_US_MAX, parse_at

    if text is None:
        return None
    try:
        # int() takes signs, spaces, underscores and digits of other scripts: none of them is meant.
        milliseconds = int(text) if text.isascii() and text.isdigit() else parse_at(text) // MILLISECOND_US
    except ValueError:
        milliseconds = -1
    if 0 <= milliseconds <= MOMENT_US_MAX // MILLISECOND_US:
        return milliseconds
    detail = f"{text!r} is no time with offset, such as 2026-02-01T00:00:00+08:00, and no ms since 1970."
    raise click.BadParameter(detail, ctx=context, param=parameter)


@click.command("import", epilog=EXITS)
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option(
    "--network", required=True, type=click.Choice(file_formats()), help="Whose format the files are in."
)
@click.option(
    "--fetched-at",
    "fetched_at_ms",
    metavar="TIME",
    callback=_read_fetched_at,
    help="When the files were fetched, with offset or in ms since 1970; default: now.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default=API,
    show_default=True,
    help="Responses of the network's API, or an export of its back office.",
)
@click.option("--columns", type=COLUMNS_FILE, metavar="MAP.toml", help="What the columns of an export mean.")
@by_option
@json_option
@guarded
def import_orders(
    files: tuple[Path, ...],
    network: str,
    fetched_at_ms: int | None,
    format_: str,
    columns: Path | None,
    by: str,
    as_json: bool,
) -> None:
    """Send the order lines of FILEs to the topic.

    A file holds responses of the network's API as they came, one or several, or its rows; with
    `--network canonical`, one fact a line. It may be compressed. Importing again does no harm. - is
    standard input.

    Of taobao rows without `modified_time`, those fetched later replace those fetched earlier: name the
    time of the fetch when files are imported later or in another order.

    With `--format export` a file is a table of the network's back office, CSV or XLSX. Its rows lose
    against those of the API with the same modification time.

    \b
    Examples:
      rebate orders import orders.json refunds.json --network taobao
      rebate orders import old.json --network taobao --fetched-at 2026-01-05T03:00:00+08:00
      rebate orders import 2026-01.ndjson.gz --network canonical --json
      rebate orders import 订单明细.xlsx --network taobao --format export
      fetch-orders | rebate orders import - --network jd
    """  # noqa: D301 - \b is click's mark for preformatted text
    from . import import_actions as actions

    _check_options(files, format_, network, columns, fetched_at_ms)
    export = actions.export_of(network, columns) if format_ == EXPORT else None
    _import(
        lambda settings, report_progress: actions.import_orders(
            settings, files, network, report_progress, fetched_at_ms=fetched_at_ms, export=export, by=by
        ),
        "orders",
        as_json,
    )


def _check_options(
    files: tuple[Path, ...], format_: str, network: str, columns: Path | None, fetched_at_ms: int | None
) -> None:
    """Raise UsageError for files and options that do not go together."""
    if files.count(STANDARD_INPUT) > 1:
        raise click.UsageError("- is standard input and can be read only once.")
    if format_ != EXPORT and columns is not None:
        raise click.UsageError("--columns is for --format export.")
    if format_ == EXPORT and network == CANONICAL:
        raise click.UsageError("Canonical facts have no exports: --format export needs a network.")
    if format_ == EXPORT and fetched_at_ms is not None:
        raise click.UsageError(
            "--fetched-at is for responses of an API: exports lose every tie against them."
        )


@click.command("import", epilog=EXITS)
@click.argument("file", type=FILE)
@by_option
@json_option
@guarded
def import_profiles(file: Path, by: str, as_json: bool) -> None:
    """Send the member profiles of FILE, one JSON object a line; - is standard input.

    A profile is whole: `inviter_id` has to be there, null for none. Without `effective_at` it holds from
    now on. It prices order lines that come after it.

    \b
    Example line:
      {"user_id": "mei", "level": "basic", "inviter_id": "lin", "effective_at": "2026-01-01T00:00:00+08:00"}
    \b
    Example:
      rebate profiles import profiles.ndjson
    """  # noqa: D301 - \b is click's mark for preformatted text
    from . import import_actions as actions

    _import(
        lambda settings, report_progress: actions.import_profiles(settings, file, report_progress, by=by),
        "profiles",
        as_json,
    )


@click.command("import", epilog=EXITS)
@click.argument("file", type=FILE)
@by_option
@json_option
@guarded
def import_attributions(file: Path, by: str, as_json: bool) -> None:
    """Bind the attribution ids of FILE to members, one JSON object a line; - is standard input.

    The last binding holds, and the id's lines move with it, those already there too. With `user_id`
    null the id belongs to nobody again.

    \b
    Example line:
      {"attribution_id": "taobao:special_id:2880001234", "user_id": "mei"}
    \b
    Example:
      rebate attributions import attributions.ndjson --json
    """  # noqa: D301 - \b is click's mark for preformatted text
    from . import import_actions as actions

    _import(
        lambda settings, report_progress: actions.import_attributions(settings, file, report_progress, by=by),
        "bindings",
        as_json,
    )


def _import(
    action: Callable[[Settings, Progress], Awaitable[ImportReport]], what: str, as_json: bool
) -> None:
    """Run an import, print its report, and end with 1 if anything was refused."""
    settings = load_settings()

    async def run(report_progress: Progress) -> ImportReport:
        return await action(settings, report_progress)

    with progress(f"Importing {what}") as report_progress:
        report = run_with_broker(settings, run(report_progress))
    _warn(report)
    if as_json:
        print_json(report.as_json())
    else:
        _print(report)
    if report.refused:
        sys.exit(EXIT_FINDINGS)


def _warn(report: ImportReport) -> None:
    """Print the warnings about files and rows that were sent on stderr."""
    for warning in report.warnings:
        place = warning.file
        if warning.row is not None:
            place += f":{warning.row}"
        member = f" {warning.pointer}" if warning.pointer else ""
        print_note(f"Warning: {place}{': ' if place else ''}{warning.detail} ({warning.code}{member})")
    if report.warnings_left_off:
        print_note(f"{report.warnings_left_off} more warnings are not listed")


def _print(report: ImportReport) -> None:
    print_line(
        f"read {report.read}, sent {report.sent}, of unknown status {report.unknown}, "
        f"refused {len(report.refused)}"
    )
    for status in report.unknown_statuses.values():
        example = f"order {status.order_line_id} ({status.file}:{status.row})"
        code = f"{status.code or 'without a code'} of {status.platform}"
        print_line(f"unknown status {code}: {status.rows} rows, worth nothing for now; for example {example}")
    for refusal in report.refused:
        place = f"{refusal.file}:{refusal.row}:"
        order = f" order {refusal.order_line_id}:" if refusal.order_line_id else ""
        print_line(f"{place}{order} {_reason(refusal, refusal.code, refusal.member, refusal.detail)}")
        for fault in refusal.more:
            print_line(f"{place}   also {_reason(refusal, fault.code, fault.member, fault.detail)}")


def _reason(refusal: Refusal, code: str, member: str, detail: str) -> str:
    """Return a reason in words, with the network's own name of the member."""
    fields = refusal.fields_of(member)
    named = f" ({' or '.join(fields)})" if fields and not any(each in detail for each in fields) else ""
    return f"{code}{named}: {detail}"
