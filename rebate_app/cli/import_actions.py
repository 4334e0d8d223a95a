"""Import files of networks, facts, profiles and attributions: rows become records on the topics.

Every row that is read is either sent or refused. When an import returns, the records that it sent are
acknowledged. A refused row does not hold up its neighbours.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict

from rebate_app.domain.facts import Bind, Profile
from rebate_app.domain.faults import Fault, RefusedError
from rebate_app.order_service import OrderService, require_size
from rebate_app.settings import EXIT_CONFIGURATION, EXIT_USAGE, Settings
from rebate_app.streams.kafka.admin import ensure_topics
from rebate_app.streams.kafka.connection import BrokerAwayError
from rebate_app.streams.kafka.rule_versions import rules_of
from rebate_app.wire.audit_trail import TrailRecord, encode_trail
from rebate_app.wire.facts.order import encode_order
from rebate_app.wire.facts.order_check import FUTURE_US_MAX
from rebate_app.wire.facts.unknown_members import WARNINGS_MAX
from rebate_app.wire.facts.user import check_bind, check_profile, encode_bind, encode_profile
from rebate_app.wire.failure_headers import Header
from rebate_app.wire.files import read_documents
from rebate_app.wire.json_values import parse_strict
from rebate_app.wire.moments import MILLISECOND_US
from rebate_app.wire.networks.exports.columns import (
    ColumnsError,
    ExportColumns,
    read_columns,
    shipped_columns,
)
from rebate_app.wire.networks.exports.export_reader import read_export
from rebate_app.wire.networks.file_reader import EMPTY_FILE, FileWarning, RowResult, read_facts
from rebate_app.wire.topics import Topics

from .command_trail import BY_DEFAULT, command_record, requester_of
from .exits import CommandError
from .terminal import Progress

#: A broker that is busy with thousands of our records may take longer than for one request.
SEND_SECONDS_MAX = 30.0
#: After so many rows the producer's own task runs.
ROWS_PER_YIELD = 200
NANOSECONDS_PER_US = 1_000
UNKNOWN_STATUS = "unknown"

Encode = Callable[[Any], tuple[bytes, bytes]]
Check = Callable[[object], Profile | Bind | list[Fault]]


class Export(Struct, frozen=True):
    """How exports of a back office are read: with these columns, or with those that the product knows."""

    columns: ExportColumns | None


class Refusal(Struct):
    """One row that was not sent: its place, and the first reason in contract order; `more` has the others.

    `order_line_id`: the order's own id, None where it has none that can be read. `sources`: the fields of
    the network's row by member of the fact.
    """

    file: str
    row: int
    code: str
    member: str
    detail: str
    more: list[Fault] = field(default_factory=list)
    order_line_id: str | None = None
    sources: Mapping[str, tuple[str, ...]] = {}

    def fields_of(self, member: str) -> list[str]:
        """Return the fields of the network's row from which a member is read."""
        return list(self.sources.get(member, ()))


class UnknownStatus(Struct):
    """A status code of a network that this version does not know: how many rows have it, and the first."""

    platform: str
    code: str
    file: str
    row: int
    order_line_id: str
    rows: int = 0


class ReportWarning(Struct, frozen=True):
    """An oddity that stops nothing.

    `file` is "" for the command as a whole, `row` None for a whole file. `pointer` is a JSON pointer
    within the row to a member that was sent and that nothing reads, "" where the warning concerns no member.
    """

    file: str
    code: str
    detail: str
    row: int | None = None
    pointer: str = ""


FETCHED_IN_FUTURE = ReportWarning(
    "",
    "fetched-in-future",
    "the time of the fetch is more than 24 h ahead: rows fetched later will not replace these until then",
)
#: Milliseconds since 1970 below this are before 1973: probably seconds.
FETCHED_MS_MIN = 10**11
FETCHED_LONG_AGO = ReportWarning(
    "",
    "fetched-long-ago",
    "the time of the fetch is before 1973, --fetched-at takes milliseconds since 1970, not seconds: "
    "rows fetched at any later time replace these",
)


class ImportReport(Struct):
    """The counts and findings of an import. `unknown`: rows that were sent with status `unknown`.

    Of the warnings the first WARNINGS_MAX are listed; `warnings_left_off` counts the others.
    """

    read: int = 0
    sent: int = 0
    unknown: int = 0
    unknown_statuses: dict[tuple[str, str], UnknownStatus] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    warnings: list[ReportWarning] = field(default_factory=list)
    warnings_left_off: int = 0

    def warn(self, warning: ReportWarning) -> None:
        """List a warning, or count it once WARNINGS_MAX are listed."""
        if len(self.warnings) < WARNINGS_MAX:
            self.warnings.append(warning)
        else:
            self.warnings_left_off += 1

    def warn_of_file(self, path: Path, warning: FileWarning) -> None:
        """Add a warning about a file."""
        self.warn(ReportWarning(str(path), warning.code, warning.detail))

    def warn_of_row(self, path: Path, result: RowResult) -> None:
        """Add the warnings about members of a row that nothing reads."""
        for warning in result.warnings:
            self.warn(ReportWarning(str(path), warning.code, warning.detail, result.row, warning.pointer))

    def refuse(self, path: Path, result: RowResult, faults: list[Fault]) -> None:
        """Add a row that is not sent."""
        (first, *more), line_id = faults, result.order_line_id
        place, named = (str(path), result.row), (line_id, result.sources)
        self.refused.append(Refusal(*place, first.code, first.member, first.detail, more, *named))

    def count_unknown(self, path: Path, row: int, document: dict[str, Any]) -> None:
        """Count a row whose status code is not known."""
        self.unknown += 1
        name = (str(document["platform"]), str(document.get("platform_status", "")))
        line_id = str(document["order_line_id"])
        status = self.unknown_statuses.setdefault(name, UnknownStatus(*name, str(path), row, line_id))
        status.rows += 1

    def as_json(self) -> dict[str, Any]:
        """Return the report; `more`, `warnings_left_off` and `unknown_statuses` only if there are any.

        See docs/spec/cli.md#import.
        """
        statuses = list(self.unknown_statuses.values())
        return {
            "read": self.read,
            "sent": self.sent,
            "unknown": self.unknown,
            "refused": [_refusal_as_json(refusal) for refusal in self.refused],
            "warnings": [asdict(warning) for warning in self.warnings],
            **({"unknown_statuses": [asdict(each) for each in statuses]} if statuses else {}),
            **({"warnings_left_off": self.warnings_left_off} if self.warnings_left_off else {}),
        }


async def import_orders(
    settings: Settings,
    files: Iterable[Path],
    network: str,
    report_progress: Progress,
    *,
    fetched_at_ms: int | None = None,
    export: Export | None = None,
    by: str = BY_DEFAULT,
) -> ImportReport:
    """Send the rows of files of one network to `order_topic`.

    `fetched_at_ms`, milliseconds since 1970, is when the files were fetched; None: now, each file later
    than the one before it. `export`: the files are exports of the network's back office. BrokerAwayError
    gives the number of records acknowledged until then; CommandError if a file cannot be read.
    """
    report, files = ImportReport(), list(files)
    if fetched_at_ms is not None and fetched_at_ms * MILLISECOND_US > _now_us() + FUTURE_US_MAX:
        report.warn(FETCHED_IN_FUTURE)
    elif fetched_at_ms is not None and fetched_at_ms < FETCHED_MS_MIN:
        report.warn(FETCHED_LONG_AGO)
    if export is None:
        rows = _order_rows(files, network, fetched_at_ms, report)
    else:
        rows = _export_rows(files, network, export, report)
    trail = command_record("orders.import", _named(files), by)
    sending = _Sending(Topics.of(settings).orders, encode_order, requester_of(by).headers, trail)
    return await _send(settings, sending, rows, report_progress, report)


def _order_rows(
    files: Iterable[Path], network: str, fetched_at_ms: int | None, report: ImportReport
) -> Iterator[tuple[Path, RowResult]]:
    """Read the files one after the other, and add their warnings to the report."""
    last_ms = -1
    for path in files:
        now_us = _now_us()
        last_ms = max(now_us // MILLISECOND_US, last_ms + 1) if fetched_at_ms is None else fetched_at_ms
        warn = partial(report.warn_of_file, path)
        for row in read_facts(path, network, now_us, fetched_at_ms=last_ms, warn=warn):
            yield path, row


def _export_rows(
    files: Iterable[Path], network: str, export: Export, report: ImportReport
) -> Iterator[tuple[Path, RowResult]]:
    """Read exports one after the other, and add their warnings to the report."""
    for path in files:
        warn = partial(report.warn_of_file, path)
        for row in read_export(path, network, _now_us(), columns=export.columns, warn=warn):
            yield path, row


def export_of(network: str, columns: Path | None) -> Export:
    """Return how exports of a network are read; CommandError for a mapping that cannot be used."""
    if columns is None:
        if not shipped_columns(network):
            detail = f"No export of {network} is known: say with --columns what its columns mean."
            raise CommandError(detail, EXIT_USAGE)
        return Export(None)
    try:
        return Export(read_columns(columns, network))
    except ColumnsError as error:
        raise CommandError(f"{error}.", EXIT_CONFIGURATION) from error
    except OSError as error:
        raise CommandError(f"The file cannot be read: {error}.", EXIT_USAGE) from error


async def import_profiles(
    settings: Settings, path: Path, report_progress: Progress, *, by: str = BY_DEFAULT
) -> ImportReport:
    """Send profiles to the user log; a level that no loaded rule version has is refused."""
    levels, now_us, report = (await rules_of(settings)).level_ids, _now_us(), ImportReport()
    rows = _documents(path, lambda document: check_profile(document, levels=levels, now_us=now_us), report)
    encode = partial(encode_profile, requester=requester_of(by))
    trail = command_record("profiles.import", _named([path]), by)
    sending = _Sending(Topics.of(settings).user_log, encode, (), trail)
    return await _send(settings, sending, rows, report_progress, report)


async def import_attributions(
    settings: Settings, path: Path, report_progress: Progress, *, by: str = BY_DEFAULT
) -> ImportReport:
    """Send bindings of attribution ids to the user log."""
    report = ImportReport()
    rows = _documents(path, check_bind, report)
    encode = partial(encode_bind, requester=requester_of(by))
    trail = command_record("attributions.import", _named([path]), by)
    sending = _Sending(Topics.of(settings).user_log, encode, (), trail)
    return await _send(settings, sending, rows, report_progress, report)


def _named(files: Iterable[Path]) -> str:
    return ",".join(path.name for path in files)


class _Sending(Struct, frozen=True):
    """Where facts go and how they become records; `headers` of each, and what is in the trail before them."""

    topic: str
    encode: Encode
    headers: tuple[Header, ...]
    trail: TrailRecord


async def _send(
    settings: Settings,
    sending: _Sending,
    rows: Iterable[tuple[Path, RowResult]],
    report_progress: Progress,
    report: ImportReport,
) -> ImportReport:
    """Send every row that is a fact, in order, and complete the report; before them the trail."""
    audit_trail = Topics.of(settings).audit_trail
    await ensure_topics(settings, used=(sending.topic, audit_trail))
    async with OrderService(settings, seconds_max=SEND_SECONDS_MAX) as service:
        await service.send(audit_trail, [encode_trail(sending.trail)])
        pipeline = service.pipeline(sending.topic)
        try:
            async with pipeline:
                for path, row in rows:
                    report.read += 1
                    record = _record(report, path, row, sending.encode)
                    if record is not None:
                        await pipeline.put(*record, sending.headers)
                    if report.read % ROWS_PER_YIELD == 0:
                        report_progress(report.read, "rows read")
                        await asyncio.sleep(0)
        except BrokerAwayError as error:
            known = f"{pipeline.acknowledged} records were acknowledged before"
            raise BrokerAwayError(f"{error} {known}; import again, repeats do no harm.") from error
        except OSError as error:
            raise CommandError(f"The file cannot be read: {error}.", EXIT_USAGE) from error
    report.sent = pipeline.acknowledged
    return report


def _record(report: ImportReport, path: Path, row: RowResult, encode: Encode) -> tuple[bytes, bytes] | None:
    """Return the record of a row, or add its refusal to the report."""
    if row.document is None:
        report.refuse(path, row, row.faults)
        return None
    record = encode(row.document)
    try:
        require_size(*record)
    except RefusedError as error:
        report.refuse(path, row, error.faults)
        return None
    report.warn_of_row(path, row)
    if row.document.get("status") == UNKNOWN_STATUS:
        report.count_unknown(path, row.row, row.document)
    return record


def _documents(path: Path, check: Check, report: ImportReport) -> Iterator[tuple[Path, RowResult]]:
    """Read a file of one document a line."""
    row = 0
    for count, document in enumerate(read_documents(path, parse_strict), 1):
        row = document.line or count
        verdict = [document.fault] if document.fault is not None else check(document.value)
        if isinstance(verdict, list):
            yield path, RowResult(row, None, verdict)
        else:
            yield path, RowResult(row, document.value, [])
    if row == 0:
        report.warn_of_file(path, EMPTY_FILE)


def _refusal_as_json(refusal: Refusal) -> dict[str, Any]:
    names = ("file", "row", "code", "member", "detail")
    document: dict[str, Any] = {name: getattr(refusal, name) for name in names}
    document |= {"order_line_id": refusal.order_line_id, "fields": refusal.fields_of(refusal.member)}
    if refusal.more:
        document["more"] = [
            {
                "code": each.code,
                "member": each.member,
                "detail": each.detail,
                "fields": refusal.fields_of(each.member),
            }
            for each in refusal.more
        ]
    return document


def _now_us() -> int:
    return time.time_ns() // NANOSECONDS_PER_US
