"""Dead letters over HTTP: list, show, replay, discard (failures.md 3).

Law: the same office decides as for the commands, so neither can do what the other may not. It is separate
from the rest of the resources because it asks the broker and no owner.
"""

from __future__ import annotations

from typing import Any

from msgspec import DecodeError, Struct, ValidationError, convert

from rebate_app.dead_letters.letters import in_full
from rebate_app.dead_letters.office import UNKNOWN, Filter, Office
from rebate_app.dead_letters.rehearsal import Rehearsal
from rebate_app.wire.failure_headers import Place, parse_place
from rebate_app.wire.moments import parse_at

from .api import Answer, Call, Desk, json_answer
from .asked import limit_of
from .cursors import make_cursor, read_cursor
from .ports import BrokerAwayError
from .problems import ProblemError, not_ready
from .rehearsing import rehearse_all
from .writes import body_of

IDS_MAX = 25  # of the longest topic names, as many as a request's first line can hold
TEXT_CHARACTERS_MAX = 500
OF_LIST = "dead-letters"
MILLISECOND_US = 1_000
RETRY_AFTER_S = 2
FILTERS = ("topic", "reason", "key", "since", "open")


class Wish(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a replay or discard; the path names the dead letters, separated by commas."""

    by: str
    why: str = ""
    again: bool = False
    dry_run: bool = False


async def read_dead_letters(desk: Desk, call: Call) -> Answer:
    """Answer `GET /v1/dead-letters`: oldest first within a partition, one topic after the other."""
    wanted, limit = _filter_of(desk, call), limit_of(call)
    topic, partition, offset = read_cursor(OF_LIST, call.query.get("cursor"), 3) or (0, 0, 0)
    try:
        page = await _office(desk).page(wanted, (topic, partition, offset), limit)
    except BrokerAwayError as error:
        raise _away(error) from error
    cursor = None if page.next is None else make_cursor(OF_LIST, *page.next)
    return json_answer({"items": page.items, "next_cursor": cursor})


async def read_dead_letter(desk: Desk, call: Call) -> Answer:
    """Answer `GET /v1/dead-letters/{id}`: everything about one, and what today's code would make of it."""
    place = _place_of(call.params["id"])
    try:
        found = await _office(desk).show(place)
    except BrokerAwayError as error:
        raise _away(error) from error
    if found is None:
        raise ProblemError("unknown-dead-letter", f"nothing that failed at {place} is kept")
    (rehearsal,) = await rehearse_all(desk, [found[0]], call.request_id)
    return json_answer(in_full(*found) | {"today": _in_words(rehearsal)})


async def post_replay(desk: Desk, call: Call) -> Answer:
    """Answer `POST /v1/dead-letters/{id}/replay`: send records again, or say what would become of them."""
    wish, places = await _wish_of(call)
    office = _office(desk)
    try:
        if wish.dry_run:
            return json_answer({"items": await _dry_run(desk, call, office, places)})
        outcomes = await office.replay(places, wish.by, wish.why, again=wish.again)
    except BrokerAwayError as error:
        raise _away(error) from error
    return json_answer({"items": [{"id": str(place), "outcome": said} for place, said in outcomes.items()]})


async def post_discard(desk: Desk, call: Call) -> Answer:
    """Answer `POST /v1/dead-letters/{id}/discard`: close letters whose records nobody wants."""
    wish, places = await _wish_of(call)
    if not wish.why:
        raise ProblemError("invalid-wish", "say why: whoever comes after you has nothing else")
    try:
        outcomes = await _office(desk).discard(places, wish.by, wish.why)
    except BrokerAwayError as error:
        raise _away(error) from error
    return json_answer({"items": [{"id": str(place), "outcome": said} for place, said in outcomes.items()]})


async def _dry_run(desk: Desk, call: Call, office: Office, places: list[Place]) -> list[dict[str, Any]]:
    found = await office.reader.find(places)
    letters = [found[place] for place in places if place in found]
    said = await rehearse_all(desk, letters, call.request_id)
    by_place = {letter.place: rehearsal for letter, rehearsal in zip(letters, said, strict=True)}
    return [
        {"id": str(place)} | (_in_words(by_place[place]) if place in by_place else {"outcome": UNKNOWN})
        for place in places
    ]


def _in_words(rehearsal: Rehearsal) -> dict[str, str]:
    return {"outcome": rehearsal.outcome, "reason": rehearsal.reason, "detail": rehearsal.detail}


def _office(desk: Desk) -> Office:
    if desk.office is None:
        raise not_ready("this worker has no dead letters to show")
    return desk.office


def _place_of(text: str) -> Place:
    try:
        return parse_place(text)
    except ValueError as error:
        raise ProblemError("invalid-id", str(error)) from None


async def _wish_of(call: Call) -> tuple[Wish, list[Place]]:
    try:
        wish = convert(await body_of(call), Wish)
    except (ValidationError, DecodeError) as error:
        raise ProblemError("invalid-wish", str(error)) from None
    ids = list(dict.fromkeys(call.params["id"].split(",")))
    if len(ids) > IDS_MAX:
        raise ProblemError("invalid-id", f"name 1 to {IDS_MAX} dead letters")
    if not wish.by.strip() or max(len(wish.by), len(wish.why)) > TEXT_CHARACTERS_MAX:
        raise ProblemError("invalid-wish", f"say who you are, in at most {TEXT_CHARACTERS_MAX} characters")
    return wish, [_place_of(text) for text in ids]


def _filter_of(desk: Desk, call: Call) -> Filter:
    query = call.query
    unknown = sorted(set(query) - {*FILTERS, "limit", "cursor"})
    if unknown:
        raise ProblemError("invalid-filter", f"there is no filter {unknown[0]}, but {', '.join(FILTERS)}")
    topic = query.get("topic")
    if topic not in (None, desk.topics.orders, desk.topics.user_log):
        raise ProblemError("invalid-filter", f"topic is {desk.topics.orders} or {desk.topics.user_log}")
    if query.get("open", "false") not in ("true", "false"):
        raise ProblemError("invalid-filter", "open is true or false")
    try:
        since = parse_at(query["since"]) // MILLISECOND_US if "since" in query else None
    except ValueError as error:
        raise ProblemError("invalid-filter", f"since: {error}") from None
    key = query["key"].encode() if "key" in query else None
    return Filter(topic, query.get("reason"), key, since, query.get("open") == "true")


def _away(error: BrokerAwayError) -> ProblemError:
    return ProblemError("broker-away", str(error), headers={"Retry-After": str(RETRY_AFTER_S)})
