"""`rebate audit`: compares tables, messages, events and balances with what the facts make."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

import click

from rebate_app.settings import EXIT_FINDINGS, Settings, load_settings

from .exits import EXITS, guarded, json_option, run_with_broker
from .terminal import Progress, print_json, print_line, progress

if TYPE_CHECKING:
    from rebate_app.audit.findings import Finding, Report

LISTED_DEFAULT = 100
#: A fold makes almost no reference cycles: a rare collection saves a twentieth of the time.
GC_THRESHOLDS = (100_000, 50, 100)


@click.command(epilog=EXITS)
@click.option("--http/--no-http", default=True, help="Also compare every balance that REBATE_URL answers.")
@click.option(
    "--limit", type=click.IntRange(0), default=LISTED_DEFAULT, show_default=True, help="List at most."
)
@json_option
@guarded
def audit(http: bool, limit: int, as_json: bool) -> None:
    """Fold all facts again and compare the system with the result.

    Reads the topics from the beginning, folds them by the rules alone, and compares every line, account
    and ledger entry, every message and event, and every balance that a worker answers. The system may
    keep running. Exit 0 when nothing differs, 1 with a list of the differences.

    \b
    Examples:
      rebate audit
      rebate audit --no-http --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    settings = load_settings()
    gc.set_threshold(*GC_THRESHOLDS)
    with progress("Auditing") as on_progress:
        report = run_with_broker(
            settings, audit_once(settings, http=http, limit=limit, on_progress=on_progress)
        )
    _print(report, as_json)
    if report.differences:
        sys.exit(EXIT_FINDINGS)


async def audit_once(settings: Settings, *, http: bool, limit: int, on_progress: Progress) -> Report:
    """Audit with or without HTTP; BrokerAwayError when broker or worker does not answer."""
    from contextlib import AsyncExitStack

    from rebate_app.audit.audit import Auditor, audited_stages
    from rebate_app.audit.kafka_logs import KafkaLogs
    from rebate_app.audit.worker_http import HttpWorkers
    from rebate_app.streams.kafka.connection import BrokerAwayError
    from rebate_app.streams.kafka.event_epoch import EventEpoch, first_epoch
    from rebate_app.streams.kafka.rule_versions import rules_to_audit
    from rebate_app.streams.kafka.used_rules import check_used_rules, read_used_rules
    from rebate_app.wire.topics import Topics

    rules, read_rules = await rules_to_audit(settings)
    async with AsyncExitStack() as stack:
        logs = await stack.enter_async_context(KafkaLogs(settings))
        topics = Topics.of(settings)
        await check_used_rules(settings, topics, rules.versions)
        event_epoch = first_epoch(await read_used_rules(settings, topics)) or EventEpoch()
        workers = await stack.enter_async_context(HttpWorkers(settings)) if http else None
        if workers is not None and not await workers.alive():
            raise BrokerAwayError(
                f"No worker answers at {settings.url} (REBATE_URL); --no-http audits topics and tables alone."
            )
        stages = audited_stages(settings, rules)
        auditor = Auditor(
            *stages,
            settings.partitions,
            logs,
            since_ms=event_epoch.since_ms,
            workers=workers,
            on_progress=on_progress,
            limit=limit,
            read_rules=read_rules,
        )
        return await auditor.run()


def _print(report: Report, as_json: bool) -> None:
    from msgspec.json import encode

    if as_json:
        print_json(encode(report))
        return
    for finding in report.items:
        _print_finding(finding)
    if report.differences > len(report.items):
        print_line(f"… and {report.differences - len(report.items)} more")
    for kind in report.building:
        print_line(f"not compared, since it is still being built: {kind}")
    print_line(
        f"differences {report.differences}: facts {report.facts}, lines {report.lines}, accounts "
        f"{report.accounts}, messages {report.messages}, users compared {report.users_compared}, not "
        f"comparable {report.not_comparable}"
    )


def _print_finding(finding: Finding) -> None:
    from msgspec.json import encode

    print_line(f"{finding.kind} {finding.where}: {finding.summary}")
    actual, expected = finding.table, finding.fold
    if isinstance(actual, dict) and isinstance(expected, dict):
        for name in sorted(actual.keys() | expected.keys()):
            if actual.get(name) != expected.get(name):
                print_line(f"  {name}: {encode(actual.get(name)).decode()}")
                print_line(f"  {' ' * len(name)}  should be {encode(expected.get(name)).decode()}")
        return
    for label, value in (("has", actual), ("should be", expected)):
        if value is not None:
            print_line(f"  {label} {encode(value).decode()}")
