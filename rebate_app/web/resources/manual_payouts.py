"""The manual channel over HTTP: exports for people who pay, and the results that they bring back.

See docs/payouts.md#manual.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from aiokafka.errors import KafkaError
from msgspec import Struct

from rebate_app.domain.facts import AMOUNT_FEN_MAX
from rebate_app.domain.faults import Fault
from rebate_app.domain.money_out import states
from rebate_app.payouts.manual_payouts import ExportRow, ManualPayouts, ResultRow, RowVerdict
from rebate_app.payouts.partition import EXECUTED_STATES, WithdrawalLists
from rebate_app.streams.errors import StreamsError
from rebate_app.streams.task.owner_writes import WriteDroppedError
from rebate_app.wire.facts.money import match_channel_ref, match_own_id
from rebate_app.wire.moments import parse_moment
from tables.withdrawal_counts import is_unanswered

from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..problems import ProblemError, broker_away, not_ready, refused
from ..routing.forwarding import ACCOUNTS
from ..routing.owner_command import OwnerCommand
from ..routing.peer_rpc import PartitionRequest, PeerRpc
from ..routing.ports import Local
from .writes import members_of, trail_of

ROWS_MAX: Final = 5_000
ROW_MEMBERS: Final = frozenset({"payout_no", "status", "amount", "channel_ref", "code", "at"})
TEXT_CHARACTERS_MAX: Final = 64
UNKNOWN: Final = "unknown-payout"
_FAILED: Final = (KafkaError, StreamsError, OSError, TimeoutError)


class ExportRequest(PartitionRequest, frozen=True):
    """Attempt what is ready in a partition under an export."""

    channel: str
    export_id: str


class ExportResponse(Struct, frozen=True):
    """The rows of the export in the partition."""

    rows: list[ExportRow]


class ResultsRequest(PartitionRequest, frozen=True):
    """Rows about payouts of any partition; `write` False: only say what would become of them."""

    channels: list[str]
    rows: list[ResultRow]
    write: bool


class ResultsResponse(Struct, frozen=True):
    """What became of the rows about payouts of the partition."""

    verdicts: list[RowVerdict]


async def do_export(context: RequestContext, local: Local, request: ExportRequest) -> ExportResponse:
    """Carry an export out as the owner."""
    manual = _manual(context, local)
    desk = None if context.payouts is None else context.payouts.desk
    spec = None if desk is None else desk.spec(request.channel)
    if spec is None or desk is None:
        return ExportResponse([])
    try:
        rows = await manual.export(spec, request.export_id, is_open=desk.is_open(request.channel))
    except WriteDroppedError as error:
        raise not_ready(str(error)) from error
    except _FAILED as error:
        raise broker_away("the export may be incomplete; ask for the same one again") from error
    return ExportResponse(rows)


async def do_results(context: RequestContext, local: Local, request: ResultsRequest) -> ResultsResponse:
    """Check or write results as the owner."""
    manual = _manual(context, local)
    if not request.write:
        return ResultsResponse(manual.check(request.channels, request.rows))
    try:
        return ResultsResponse(await manual.take(request.channels, request.rows))
    except WriteDroppedError as error:
        raise not_ready(str(error)) from error
    except _FAILED as error:
        raise broker_away("some results may not be written; send the same again") from error


EXPORT: Final = OwnerCommand("payout-export", ACCOUNTS, ExportRequest, ExportResponse, do_export)
RESULTS: Final = OwnerCommand("payout-results", ACCOUNTS, ResultsRequest, ResultsResponse, do_results)


def _manual(context: RequestContext, local: Local) -> ManualPayouts:
    manual = None if context.payouts is None else context.payouts.manual(local.partition)
    if manual is None:
        raise not_ready("the owner does not pay for the partition now")
    return manual


async def post_export(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `POST /v1/channels/{name}/exports` `{"export_id","reason"}`: all rows of that export."""
    name = _manual_channel(context, request)
    document = await members_of(request, "export_id")
    export_id = document.get("export_id")
    if not isinstance(export_id, str) or match_own_id(export_id) is None:
        raise refused([("", Fault("invalid-export_id", "export_id", "an id is 1-64 of A-Za-z0-9._-"))])
    await trail_of(request).begin()  # its attempts are written by many owners
    rows: list[ExportRow] = []
    for partition in range(context.placement.partitions):
        wanted = ExportRequest(partition, name, export_id)
        rows += (await EXPORT.call(context, wanted, request.request_id)).rows
    items = [{member: getattr(row, member) for member in ExportRow.__struct_fields__} for row in rows]
    return json_response({"export_id": export_id, "rows": sorted(items, key=lambda each: each["payout_no"])})


async def post_results(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `POST /v1/channels/{name}/results` `{"rows","strict","dry_run","reason"}`.

    `strict`: nothing is written if any row is refused; `dry_run`: nothing is written at all.
    """
    return await _results(context, request, [_manual_channel(context, request)])


async def post_any_results(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `POST /v1/payouts/results`, the same for the payouts of all manual channels."""
    specs = {} if context.payouts is None else context.payouts.desk.channels
    names = [name for name, spec in specs.items() if not spec.channel.is_automatic]
    if not names:
        raise ProblemError("unknown-channel", "no manual channel is configured")
    return await _results(context, request, names)


async def _results(context: RequestContext, request: HttpRequest, channels: list[str]) -> HttpResponse:
    document = await members_of(request, "rows", "strict", "dry_run")
    rows, strict, dry_run = _rows_of(document), _flag(document, "strict"), _flag(document, "dry_run")
    verdicts = await _verdicts(context, request, channels, rows, write=False)
    refusals = {row: verdict for row, verdict in verdicts.items() if verdict not in ("", "unchanged")}
    writes = not dry_run and not (strict and refusals)
    if writes:
        taken = [row for row in rows if verdicts[row.row] == ""]
        if taken:
            await trail_of(request).begin()  # results are written by many owners
        verdicts |= await _verdicts(context, request, channels, taken, write=True)
    accepted = sum(verdict == "" for verdict in verdicts.values()) if writes else 0
    unchanged = sum(verdict == "unchanged" for verdict in verdicts.values())
    listed = [{"row": row, "code": code} for row, code in sorted(verdicts.items()) if row in refusals]
    return json_response({"accepted": accepted, "unchanged": unchanged, "refused": listed})


async def _verdicts(
    context: RequestContext,
    request: HttpRequest,
    channels: list[str],
    rows: Sequence[ResultRow],
    *,
    write: bool,
) -> dict[int, str]:
    """Return what becomes of each row; `unknown-payout` for one that no partition knows."""
    found = {row.row: UNKNOWN for row in rows}
    if rows:
        for partition in range(context.placement.partitions):
            wanted = ResultsRequest(partition, channels, list(rows), write)
            response = await RESULTS.call(context, wanted, request.request_id)
            found |= {each.row: each.verdict for each in response.verdicts}
    return found


def _manual_channel(context: RequestContext, request: HttpRequest) -> str:
    name = request.params["name"]
    spec = None if context.payouts is None else context.payouts.desk.spec(name)
    if spec is None or spec.channel.is_automatic:
        raise ProblemError("unknown-channel", "no manual channel of this name is configured")
    return name


def _flag(document: dict[str, Any], name: str) -> bool:
    flag = document.get(name, False)
    if not isinstance(flag, bool):
        raise refused([("", Fault(f"invalid-{name}", name, f"{name} is true or false"))])
    return flag


def _rows_of(document: dict[str, Any]) -> list[ResultRow]:
    rows = document.get("rows")
    if not isinstance(rows, list) or len(rows) > ROWS_MAX:
        raise refused([("", Fault("invalid-rows", "rows", f"rows is a list of at most {ROWS_MAX}"))])
    return [_row_of(number, row) for number, row in enumerate(rows, start=1)]


def _row_of(number: int, row: Any) -> ResultRow:
    members = row if isinstance(row, dict) else {}
    needed = [members.get(name) for name in ("payout_no", "status")]
    optional = ["" if (text := members.get(name)) is None else text for name in ("channel_ref", "code")]
    amount = members.get("amount")
    words = all(isinstance(each, str) and _is_word(each) for each in (*needed, optional[1]))
    words = words and isinstance(optional[0], str) and _is_reference(optional[0])
    if type(amount) is not int or abs(amount) > AMOUNT_FEN_MAX or not words or members.keys() - ROW_MEMBERS:
        detail = "a row has payout_no, status, amount in fen, and may have channel_ref, code and at"
        raise refused([("", Fault("invalid-rows", f"rows.{number - 1}", detail))])
    payout_no, status, channel_ref, code = (*map(str, needed), *map(str, optional))
    at = _moment_of(number, members.get("at"))
    return ResultRow(number, payout_no, status, amount, channel_ref, code, at)


def _moment_of(number: int, text: object) -> int | None:
    if text is None:
        return None
    try:
        return parse_moment(text if isinstance(text, str) else "")
    except ValueError:
        detail = "at is RFC 3339 with an offset"
        raise refused([("", Fault("invalid-rows", f"rows.{number - 1}.at", detail))]) from None


def _is_word(text: str) -> bool:
    return not text or match_own_id(text) is not None


def _is_reference(text: str) -> bool:
    return not text or match_channel_ref(text) is not None


class SummaryRequest(PartitionRequest, frozen=True):
    """The open payouts of a partition, by channel."""


class ChannelSummary(Struct):
    """Open withdrawals of a channel; `oldest_us`: when the oldest of them last changed."""

    open: int = 0
    unknown: int = 0
    stuck: int = 0
    oldest_us: int | None = None
    exports: dict[str, int] = {}


class SummaryResponse(Struct, frozen=True):
    """By channel."""

    channels: dict[str, ChannelSummary]


def answer_summary(context: RequestContext, local: Local, request: SummaryRequest) -> SummaryResponse:
    """Answer from the partition's withdrawals."""
    del context, request
    found: dict[str, ChannelSummary] = {}
    table = WithdrawalLists(local.store)
    for state in (states.REVIEW, *EXECUTED_STATES):
        for _, withdrawal in table.in_state(state):
            summary = found.setdefault(withdrawal.channel, ChannelSummary(exports={}))
            summary.open += 1
            summary.stuck += state == states.STUCK
            summary.unknown += is_unanswered(withdrawal)
            summary.oldest_us = min(withdrawal.updated_at, summary.oldest_us or withdrawal.updated_at)
            newest = withdrawal.last_attempt
            if newest is not None and newest.export_id and state != states.APPROVED:
                summary.exports[newest.export_id] = summary.exports.get(newest.export_id, 0) + 1
    return SummaryResponse(found)


SUMMARY: Final = PeerRpc("payout-summary", ACCOUNTS, SummaryRequest, SummaryResponse, answer_summary)
