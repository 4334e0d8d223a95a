"""Dead letters over HTTP: list, show, replay, discard (docs/spec/failures.md#commands).

The same `DeadLetterService` serves the `dlq` commands, so both can do the same. Any worker answers, from the
broker.
"""

from __future__ import annotations

from typing import Any

from msgspec import DecodeError, Struct, ValidationError, convert
from msgspec.structs import replace

from rebate_app.dead_letters.dead_letter import full_document
from rebate_app.dead_letters.outcomes import DryRunOutcome
from rebate_app.dead_letters.replayer import size_limits
from rebate_app.dead_letters.service import UNKNOWN, DeadLetterService, Filter
from rebate_app.streams.kafka.log_reader import NoSuchPlaceError
from rebate_app.wire.failure_headers import Place, parse_place
from rebate_app.wire.moments import MILLISECOND_US, parse_at

from ..auth.access import ANONYMOUS
from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..cursors import invalid_cursor, make_cursor, read_cursor
from ..problems import ProblemError, broker_away, not_ready
from ..request_params import limit_of
from ..routing.ports import BrokerAwayError
from .dry_run import dry_run_all
from .writes import REASON_CHARACTERS_MAX, body_of, checked_reason, trail_of

IDS_MAX = 25  # of the longest topic names, as many as a request's first line can hold
TEXT_CHARACTERS_MAX = 500
OF_LIST = "dead-letters"


class DeadLetterCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a replay or discard; the path names the dead letters, separated by commas.

    `by`: who decides; the caller where authentication knows him. `reason` or `why`: for whoever comes after.
    """

    by: str = ""
    why: str = ""
    reason: str | None = None
    again: bool = False
    dry_run: bool = False


async def read_dead_letters(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/dead-letters`: oldest first within a partition, one topic after the other."""
    wanted, limit = _filter_of(context, request), limit_of(request)
    topic, partition, offset = read_cursor(OF_LIST, request.query.get("cursor"), 3) or (0, 0, 0)
    try:
        page = await dead_letter_service(context).page(wanted, (topic, partition, offset), limit)
    except NoSuchPlaceError:
        raise invalid_cursor() from None
    except BrokerAwayError as error:
        raise broker_away(str(error)) from error
    cursor = None if page.next is None else make_cursor(OF_LIST, *page.next)
    return json_response({"items": page.items, "next_cursor": cursor})


async def read_dead_letter(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/dead-letters/{id}`: one in full, with the outcome of a dry run."""
    place, service = _place_of(request.params["id"]), dead_letter_service(context)
    try:
        found = await service.show(place)
        if found is None:
            raise ProblemError("unknown-dead-letter", f"nothing that failed at {place} is kept")
        (dry_run,) = await dry_run_all(context, service, [found[0]], request.request_id, {})
    except BrokerAwayError as error:
        raise broker_away(str(error)) from error
    return json_response(full_document(*found) | {"today": _members(dry_run)})


async def post_replay(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `POST /v1/dead-letters/{id}/replay`: send records again, or fold them in a dry run."""
    command, places = await _command_of(request)
    service, trail = dead_letter_service(context), trail_of(request)
    try:
        if command.dry_run:
            trail.skip()
            return json_response({"items": await _dry_run(context, request, service, places)})
        pending = trail.encoded()
        outcomes = await service.replay(places, command.by, command.why, again=command.again, trail=pending)
    except BrokerAwayError as error:
        raise broker_away(str(error)) from error
    trail.taken(pending)
    return json_response(
        {
            "items": [
                {"id": str(place), "outcome": each.outcome} | ({"detail": each.detail} if each.detail else {})
                for place, each in outcomes.items()
            ]
        }
    )


async def post_discard(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `POST /v1/dead-letters/{id}/discard`: close letters whose records nobody wants."""
    command, places = await _command_of(request)
    if not command.why:
        raise ProblemError("invalid-wish", "say why: whoever comes after you has nothing else")
    trail = trail_of(request)
    pending = trail.encoded()
    try:
        outcomes = await dead_letter_service(context).discard(places, command.by, command.why, pending)
    except BrokerAwayError as error:
        raise broker_away(str(error)) from error
    trail.taken(pending)
    return json_response(
        {"items": [{"id": str(place), "outcome": outcome} for place, outcome in outcomes.items()]}
    )


async def _dry_run(
    context: RequestContext, request: HttpRequest, service: DeadLetterService, places: list[Place]
) -> list[dict[str, Any]]:
    found = await service.reader.find(places)
    letters = [found[place] for place in places if place in found]
    limits = await size_limits(service.settings, {letter.place.topic for letter in letters})
    dry_runs = await dry_run_all(context, service, letters, request.request_id, limits)
    by_place = {letter.place: dry_run for letter, dry_run in zip(letters, dry_runs, strict=True)}
    return [
        {"id": str(place)} | (_members(by_place[place]) if place in by_place else {"outcome": UNKNOWN})
        for place in places
    ]


def _members(dry_run: DryRunOutcome) -> dict[str, str]:
    return {"outcome": dry_run.outcome, "reason": dry_run.reason, "detail": dry_run.detail}


def dead_letter_service(context: RequestContext) -> DeadLetterService:
    """Return this worker's service; ProblemError `not-ready` without one."""
    if context.dead_letters is None:
        raise not_ready("this worker has no dead letters to show")
    return context.dead_letters


def _place_of(text: str) -> Place:
    try:
        return parse_place(text)
    except ValueError as error:
        raise ProblemError("invalid-id", str(error)) from None


async def _command_of(request: HttpRequest) -> tuple[DeadLetterCommand, list[Place]]:
    try:
        command = convert(await body_of(request), DeadLetterCommand)
    except (ValidationError, DecodeError) as error:
        raise ProblemError("invalid-wish", str(error)) from None
    ids = list(dict.fromkeys(request.params["id"].split(",")))
    if len(ids) > IDS_MAX:
        raise ProblemError("invalid-id", f"name 1 to {IDS_MAX} dead letters")
    command = replace(command, by=_decider(request, command.by), why=_reason(request, command))
    if not command.by.strip() or max(len(command.by), len(command.why)) > TEXT_CHARACTERS_MAX:
        raise ProblemError("invalid-wish", f"say who you are, in at most {TEXT_CHARACTERS_MAX} characters")
    return command, [_place_of(text) for text in ids]


def _decider(request: HttpRequest, by: str) -> str:
    """Return who decides: an authenticated caller, with the name that he gives in brackets."""
    if request.caller.kind == ANONYMOUS:
        return by
    return f"{request.caller.actor} ({by})" if by.strip() else request.caller.actor


def _reason(request: HttpRequest, command: DeadLetterCommand) -> str:
    """Return why; the audit trail gets as much of it as it holds."""
    reason = checked_reason(command.reason) or command.why
    trail_of(request).reason = reason[:REASON_CHARACTERS_MAX] or None
    return reason


def _filter_of(context: RequestContext, request: HttpRequest) -> Filter:
    query = request.query
    topic = query.get("topic")
    if topic is not None and topic not in context.topics.sources:
        raise ProblemError("invalid-filter", f"topic is {' or '.join(context.topics.sources)}")
    if query.get("open", "false") not in ("true", "false"):
        raise ProblemError("invalid-filter", "open is true or false")
    try:
        since = parse_at(query["since"]) // MILLISECOND_US if "since" in query else None
    except ValueError as error:
        raise ProblemError("invalid-filter", f"since: {error}") from None
    key = query["key"].encode() if "key" in query else None
    return Filter(topic, query.get("reason"), key, since, query.get("open") == "true")
