"""Imports: files of networks, of facts, of profiles and of attributions become records on the topics.

Law: read = sent + refused; what is sent is acknowledged when an import returns; a refused row does not
hold up its neighbours. It is separate from the commands because the demonstration imports too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from rebate_app.domain.facts import Bind, Profile
from rebate_app.domain.faults import Fault, RefusedError
from rebate_app.lane.admin import ensure_topics
from rebate_app.lane.connection import BrokerAwayError
from rebate_app.order_service import OrderService, require_size
from rebate_app.settings import EXIT_USAGE, Settings
from rebate_app.wire.files import read_pieces
from rebate_app.wire.importing import Read, read_facts
from rebate_app.wire.json_values import parse_strict
from rebate_app.wire.order_facts import encode_order
from rebate_app.wire.rule_files import load_rules
from rebate_app.wire.topics import Topics
from rebate_app.wire.user_facts import check_bind, check_profile, encode_bind, encode_profile

from .exits import CommandError
from .show import Progress

#: A broker that is busy with our own thousands of records may take longer than one request should.
SEND_SECONDS_MAX = 30.0
#: How often the producer gets its turn while rows are read.
ROWS_PER_TURN = 200
NANOSECONDS_PER_US = 1_000

Encode = Callable[[Any], tuple[bytes, bytes]]
Check = Callable[[object], Profile | Bind | list[Fault]]


class Refusal(Struct):
    """One row that was not sent: where it is, and the first reason in contract order; `more` has others."""

    file: str
    row: int
    code: str
    member: str
    detail: str
    more: list[Fault] = field(default_factory=list)


class Report(Struct):
    """What became of an import. `unknown`: rows that were sent with a status nobody knows yet."""

    read: int = 0
    sent: int = 0
    unknown: int = 0
    refused: list[Refusal] = field(default_factory=list)

    def refuse(self, path: Path, row: int, faults: list[Fault]) -> None:
        """Note a row that is not sent."""
        first = faults[0]
        self.refused.append(Refusal(str(path), row, first.code, first.member, first.detail, faults[1:]))

    def as_json(self) -> dict[str, Any]:
        """Return the report as contracts.md 5 has it; `more` only where there is more than one reason."""
        return {
            "read": self.read,
            "sent": self.sent,
            "unknown": self.unknown,
            "refused": [_refusal_as_json(refusal) for refusal in self.refused],
        }


async def import_orders(settings: Settings, files: Iterable[Path], network: str, tell: Progress) -> Report:
    """Send the rows of files of one network to `order_topic`.

    BrokerAwayError says how many were acknowledged until then; CommandError if a file cannot be read.
    """
    rows = ((path, row) for path in files for row in read_facts(path, network, _now_us()))
    return await _send(settings, Topics.of(settings).orders, rows, encode_order, tell)


async def import_profiles(settings: Settings, path: Path, tell: Progress) -> Report:
    """Send profiles to the user log; a level that no loaded rule version has is refused."""
    levels, now_us = load_rules(settings.rules).level_ids, _now_us()
    rows = _documents(path, lambda document: check_profile(document, levels=levels, now_us=now_us))
    return await _send(settings, Topics.of(settings).user_log, rows, encode_profile, tell)


async def import_attributions(settings: Settings, path: Path, tell: Progress) -> Report:
    """Send bindings of attribution ids to the user log."""
    return await _send(
        settings, Topics.of(settings).user_log, _documents(path, check_bind), encode_bind, tell
    )


async def _send(
    settings: Settings, topic: str, rows: Iterable[tuple[Path, Read]], encode: Encode, tell: Progress
) -> Report:
    """Send every row that can be used, in order."""
    await ensure_topics(settings, used=(topic,))
    report = Report()
    async with OrderService(settings, seconds_max=SEND_SECONDS_MAX) as service:
        pipeline = service.pipeline(topic)
        try:
            async with pipeline:
                for path, row in rows:
                    report.read += 1
                    record = _record(report, path, row, encode)
                    if record is not None:
                        await pipeline.put(*record)
                    if report.read % ROWS_PER_TURN == 0:
                        tell(report.read, "rows read")
                        await asyncio.sleep(0)
        except BrokerAwayError as error:
            known = f"{pipeline.acknowledged} records were acknowledged before"
            raise BrokerAwayError(f"{error} {known}; import again, repeats do no harm.") from error
        except OSError as error:
            raise CommandError(f"The file cannot be read: {error}.", EXIT_USAGE) from error
    report.sent = pipeline.acknowledged
    return report


def _record(report: Report, path: Path, row: Read, encode: Encode) -> tuple[bytes, bytes] | None:
    """Return the record of a row, or note why there is none."""
    if row.document is None:
        report.refuse(path, row.row, row.faults)
        return None
    record = encode(row.document)
    try:
        require_size(*record)
    except RefusedError as error:
        report.refuse(path, row.row, error.faults)
        return None
    report.unknown += row.document.get("status") == "unknown"
    return record


def _documents(path: Path, check: Check) -> Iterator[tuple[Path, Read]]:
    """Read a file of one document a line."""
    for piece in read_pieces(path, parse_strict):
        row = piece.line or 1
        verdict = [piece.fault] if piece.fault is not None else check(piece.value)
        if isinstance(verdict, list):
            yield path, Read(row, None, verdict)
        else:
            yield path, Read(row, piece.value, [])


def _refusal_as_json(refusal: Refusal) -> dict[str, Any]:
    names = ("file", "row", "code", "member", "detail")
    document: dict[str, Any] = {name: getattr(refusal, name) for name in names}
    if refusal.more:
        more = refusal.more
        document["more"] = [
            {"code": each.code, "member": each.member, "detail": each.detail} for each in more
        ]
    return document


def _now_us() -> int:
    return time.time_ns() // NANOSECONDS_PER_US
