"""Send facts about money out: over HTTP with the token, or to the user log (docs/money-out.md#commands).

With a token the worker says who acts, and `--by` is a note in the reason. Without one, where authentication
is off, the fact goes to the log as `cli:<by>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from rebate_app.domain.faults import Fault
from rebate_app.domain.money_out.facts import REASON_CHARACTERS_MAX
from rebate_app.http_transport import bearer_headers
from rebate_app.order_service import OrderService
from rebate_app.settings import EXIT_USAGE, Settings
from rebate_app.streams.kafka.admin import ensure_topics
from rebate_app.wire.audit_trail import encode_trail
from rebate_app.wire.facts.money import OPENING, OPENING_APPROVE, with_reason
from rebate_app.wire.facts.user import check_money, encode_money
from rebate_app.wire.files import read_documents
from rebate_app.wire.json_values import parse_strict
from rebate_app.wire.topics import Topics

from .command_trail import command_record, requester_of
from .exits import CommandError
from .worker_client import WorkerClient

SEND_SECONDS_MAX = 30.0
PROBLEMS_SHOWN_MAX = 20


class MoneyCommand(Struct, frozen=True):
    """One fact to send: its kind and members, the path of its HTTP request, and how the trail calls it."""

    kind: str
    document: dict[str, Any]
    path: str
    action: str


def goes_over_http(settings: Settings) -> bool:
    """Return whether commands act as the holder of a token."""
    return bool(bearer_headers(settings)) or settings.auth_required


async def send_all(
    settings: Settings, commands: Sequence[MoneyCommand], by: str, subject: str, reason: str
) -> list[dict[str, Any]]:
    """Send the facts; return what the workers answered, nothing where they were sent to the log.

    CommandError for what a worker refuses; BrokerAwayError. All facts were checked before.
    """
    if goes_over_http(settings):
        async with WorkerClient(settings.url) as client:
            return [await client.post(each.path, _with_note(each.document, by)) for each in commands]
    topics = Topics.of(settings)
    await ensure_topics(settings, used=(topics.user_log, topics.audit_trail))
    requester = requester_of(by)
    records = [encode_money(each.kind, each.document, requester) for each in commands]
    async with OrderService(settings, seconds_max=SEND_SECONDS_MAX) as service:
        trail = command_record(commands[0].action, subject, by, reason) if commands else None
        if trail is not None:
            await service.send(topics.audit_trail, [encode_trail(trail)])
        await service.send(topics.user_log, records)
    return []


def _with_note(document: dict[str, Any], by: str) -> dict[str, Any]:
    """Return a body without what the path says; who acts is the holder of the token, so `by` is a note."""
    body = {name: value for name, value in document.items() if name != "user_id"}
    if "reason" in body:
        body["reason"] = f"{body['reason']} (by {by})"[:REASON_CHARACTERS_MAX]
    return body


def checked(command: MoneyCommand, by: str) -> MoneyCommand:
    """Return the command, with a reason in any case; CommandError with every fault of its fact."""
    document = with_reason(command.kind, command.document)
    verdict = check_money(command.kind, document, requester_of(by).actor)
    if isinstance(verdict, list):
        raise CommandError(_sentence(verdict), EXIT_USAGE)
    return replace(command, document=document)


def _sentence(faults: Iterable[Fault]) -> str:
    return " ".join(f"{fault.code}: {fault.detail}." for fault in faults)


class OpeningSums(Struct):
    """What a file or batch of openings adds up to, in fen."""

    count: int = 0
    available: int = 0
    confirmed: int = 0
    withdrawn: int = 0

    def add(self, opening: Mapping[str, Any]) -> None:
        """Add an opening."""
        self.count += 1
        self.available += opening["available"]
        self.confirmed += sum(part["amount"] for part in opening.get("confirmed") or ())
        self.withdrawn += opening["withdrawn"]


def read_openings(path: Path, batch: str, by: str) -> tuple[list[MoneyCommand], OpeningSums]:
    """Return the openings of an NDJSON file, all checked; CommandError with the first problems of it."""
    commands: list[MoneyCommand] = []
    sums, problems = OpeningSums(), []
    for number, row in enumerate(read_documents(path, parse_strict), start=1):
        whole = {**row.value, "batch": batch} if isinstance(row.value, dict) else row.value
        verdict = check_money(OPENING, whole, requester_of(by).actor) if row.fault is None else [row.fault]
        if isinstance(verdict, list):
            problems.append(f"line {number}: {_sentence(verdict)}")
        else:
            sums.add(whole)
            path_of = f"/v1/users/{verdict.user_id}/openings"
            commands.append(MoneyCommand(OPENING, whole, path_of, "opening.import"))
    if problems:
        shown = " ".join(problems[:PROBLEMS_SHOWN_MAX])
        raise CommandError(f"{len(problems)} openings cannot be used. {shown}", EXIT_USAGE)
    if not commands:
        raise CommandError(f"{path} has no openings.", EXIT_USAGE)
    return commands, sums


async def proposed_openings(settings: Settings, batch: str) -> list[dict[str, Any]]:
    """Return the openings of a batch that nobody has approved."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    async with WorkerClient(settings.url) as client:
        while True:
            page = await client.get("/v1/openings", batch=batch, cursor=cursor, limit="200")
            found += [item for item in page["items"] if item["state"] == "proposed"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found


def approvals(openings: Sequence[Mapping[str, Any]], reason: str) -> tuple[list[MoneyCommand], OpeningSums]:
    """Return what approves these openings."""
    sums = OpeningSums()
    commands = []
    for each in openings:
        sums.add(each)
        user_id, own_id = each["user_id"], each["opening_id"]
        document = {"user_id": user_id, "opening_id": own_id, "reason": reason}
        path = f"/v1/users/{user_id}/openings/{own_id}/approve"
        commands.append(MoneyCommand(OPENING_APPROVE, document, path, "opening.approve"))
    return commands, sums
