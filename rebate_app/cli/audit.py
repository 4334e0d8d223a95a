"""`rebate audit`: whether tables, messages and answers are what the facts make of them."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

import click

from rebate_app.settings import EXIT_FINDINGS, Settings, load_settings

from .exits import EXITS, guarded, json_option, run_with_broker
from .show import Progress, progress

if TYPE_CHECKING:
    from rebate_app.audit.findings import Finding, Report

LISTED = 100
#: Nearly nothing of a fold is cyclic: looking for cycles seldom saves a twentieth of the time.
GC_THRESHOLDS = (100_000, 50, 100)


@click.command(epilog=EXITS)
@click.option("--http/--no-http", default=True, help="Also compare every balance that REBATE_URL answers.")
@click.option("--limit", type=click.IntRange(0), default=LISTED, show_default=True, help="List at most.")
@json_option
@guarded
def audit(http: bool, limit: int, as_json: bool) -> None:
    """Fold all facts once more, and compare with what the system says.

    Reads the topics from the beginning, folds them by the rules alone, and compares every line, account
    and ledger entry, every message that was sent, and every balance that is answered. The system may go
    on meanwhile. Exit 0 when nothing differs, 1 with the list of what does.

    \b
    Examples:
      rebate audit
      rebate audit --no-http --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    settings = load_settings()
    gc.set_threshold(*GC_THRESHOLDS)
    with progress("Auditing") as tell:
        report = run_with_broker(settings, _audit(settings, http, limit, tell))
    _print(report, as_json)
    if report.differences:
        sys.exit(EXIT_FINDINGS)


async def _audit(settings: Settings, http: bool, limit: int, tell: Progress) -> Report:
    """Audit with or without HTTP; BrokerAwayError when nobody can be asked."""
    from contextlib import AsyncExitStack

    from rebate_app.audit.audit import Auditor, audited_stages
    from rebate_app.audit.http import HttpWorkers
    from rebate_app.audit.kafka_logs import KafkaLogs
    from rebate_app.lane.connection import BrokerAwayError
    from rebate_app.lane.first_start import FirstStart, first_in
    from rebate_app.lane.registry import check_registry, read_registry
    from rebate_app.wire.rule_files import load_rules
    from rebate_app.wire.topics import Topics

    rules = load_rules(settings.rules)
    async with AsyncExitStack() as stack:
        logs = await stack.enter_async_context(KafkaLogs(settings))
        topics = Topics.of(settings)
        await check_registry(settings, topics, rules)
        decided = first_in(await read_registry(settings, topics)) or FirstStart()
        workers = await stack.enter_async_context(HttpWorkers(settings.url)) if http else None
        if workers is not None and not await workers.alive():
            raise BrokerAwayError(
                f"No worker answers at {settings.url} (REBATE_URL); --no-http audits topics and tables alone."
            )
        stages = audited_stages(settings, rules)
        auditor = Auditor(
            *stages,
            settings.partitions,
            logs,
            since_ms=decided.since_ms,
            workers=workers,
            tell=tell,
            limit=limit,
        )
        return await auditor.run()


def _print(report: Report, as_json: bool) -> None:
    from msgspec.json import encode

    if as_json:
        click.echo(encode(report))
        return
    for finding in report.items:
        _print_finding(finding)
    if report.differences > len(report.items):
        click.echo(f"… and {report.differences - len(report.items)} more")
    click.echo(
        f"differences {report.differences}: facts {report.facts}, lines {report.lines}, accounts "
        f"{report.accounts}, messages {report.messages}, users compared {report.users_compared}, not "
        f"comparable {report.not_comparable}"
    )


def _print_finding(finding: Finding) -> None:
    from msgspec.json import encode

    click.echo(f"{finding.kind} {finding.where}: {finding.says}")
    has, should = finding.table, finding.fold
    if isinstance(has, dict) and isinstance(should, dict):
        for name in sorted(has.keys() | should.keys()):
            if has.get(name) != should.get(name):
                click.echo(f"  {name}: {encode(has.get(name)).decode()}")
                click.echo(f"  {' ' * len(name)}  should be {encode(should.get(name)).decode()}")
        return
    for word, value in (("has", has), ("should be", should)):
        if value is not None:
            click.echo(f"  {word} {encode(value).decode()}")
