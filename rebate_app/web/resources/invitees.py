"""`GET /v1/users/{user_id}/invitees`: who names the user as inviter in the profile that is in force now.

An index in each invitee's partition has everybody whose profile facts name the user; those whose profile in
force names somebody else are left out when it is read, so a profile takes effect at its moment. The list is
in the order of partition and user id, and a cursor holds the last user that was looked at.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from rebate_app.streams.state.build import read_progress
from rebate_app.wire.facts.identifiers import match_user_id
from tables import accounts
from tables.accounts import INVITEE, INVITEES_NAME, PROFILES

from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..cursors import invalid_cursor, make_key_cursor, read_key_cursor
from ..problems import building, not_ready
from ..request_params import LIMIT_MAX, limit_of, user_id_of
from ..routing.forwarding import ACCOUNTS
from ..routing.peer_client import UnreachableError
from ..routing.peer_rpc import PartitionRequest, PeerRpc
from ..routing.ports import Local
from .account_lists import READS_MAX


class InviteesRequest(PartitionRequest, frozen=True):
    """Invitees of the user after that one, at most `limit`, by the profiles in force at `at` (µs)."""

    inviter: str
    after: str
    limit: int
    at: int


class InviteesResponse(Struct, frozen=True):
    """(user, level) of each; `next_after`: go on after this user, None at the end. `visited`: not built."""

    items: list[tuple[str, str | None]]
    next_after: str | None = field(default=None, name="next")
    visited: int | None = None


def answer_invitees(context: RequestContext, local: Local, request: InviteesRequest) -> InviteesResponse:
    """Answer from the partition's index."""
    del context
    store = local.store
    progress = read_progress(INVITEES_NAME, accounts.is_fresh, store)
    if not progress.done:
        return InviteesResponse([], None, progress.visited)
    prefix = INVITEE.key(request.inviter, "")
    limit = min(request.limit, LIMIT_MAX)
    keys = store.keys_after(prefix, prefix + request.after.encode(), READS_MAX + 1)
    items: list[tuple[str, str | None]] = []
    for number, key in enumerate(keys):
        if len(items) == limit or number == READS_MAX:
            return InviteesResponse(items, keys[number - 1][len(prefix) :].decode())
        user_id = key[len(prefix) :].decode()
        profiles = PROFILES.read(store, PROFILES.key(user_id))
        level, inviter = (None, None) if profiles is None else profiles.in_force(request.at)
        if inviter == request.inviter:
            items.append((user_id, level))
    return InviteesResponse(items)


INVITEES = PeerRpc("invitees", ACCOUNTS, InviteesRequest, InviteesResponse, answer_invitees)


async def read_invitees(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/users/{user_id}/invitees`; ProblemError `not-ready` when a partition is away."""
    user_id, limit, at = user_id_of(request), limit_of(request), context.clock()
    of_list, partitions = f"invitees {user_id}", context.placement.partitions
    partition, after = read_key_cursor(of_list, request.query.get("cursor")) or (0, "")
    if partition >= partitions or (after and match_user_id(after) is None):
        raise invalid_cursor()
    items: list[dict[str, Any]] = []
    while partition < partitions and len(items) < limit:
        page = await _page(
            context, request, InviteesRequest(partition, user_id, after, limit - len(items), at)
        )
        items += [{"user_id": invitee, "level": level} for invitee, level in page.items]
        partition, after = (partition + 1, "") if page.next_after is None else (partition, page.next_after)
        if not page.items and page.next_after is not None:
            break  # an empty page with a cursor: the client decides whether to go on
    cursor = make_key_cursor(of_list, partition, after) if partition < partitions else None
    return json_response({"items": items, "next_cursor": cursor})


async def _page(context: RequestContext, request: HttpRequest, wanted: InviteesRequest) -> InviteesResponse:
    try:
        page = await INVITEES.call(context, wanted, request.request_id)
    except UnreachableError as error:
        raise not_ready(f"partition {wanted.partition}: {error}") from error
    if page.visited is not None:
        raise building(INVITEES_NAME, wanted.partition, page.visited)
    return page
