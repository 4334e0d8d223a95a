"""`GET /v1/users/{user_id}/profile`: the profile in force, and since when (docs/spec/http.md#resources).

The choice is that of pricing: the greatest `effective_at` up to the moment, else the earliest. Somebody
without a profile has the first level of the rules in force and no inviter, and `effective_at` is null. One
record is read.
"""

from __future__ import annotations

from typing import Any

from rebate_app.domain.account.account import Profiles
from rebate_app.streams.failures.record_kinds import read_parked
from rebate_app.wire.moments import format_moment
from tables.accounts import PROFILES

from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..request_params import moment_of, user_id_of
from ..routing.forwarding import ACCOUNTS, records_or_response
from .formatting import as_of, marks


async def read_profile(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/users/{user_id}/profile`; defaults for a user without one."""
    user_id, at = user_id_of(request), moment_of(context, request)
    local = await records_or_response(context, request, ACCOUNTS, user_id)
    if isinstance(local, HttpResponse):
        return local
    profiles = PROFILES.read(local.store, PROFILES.key(user_id)) or Profiles()
    effective_at, level, inviter = profiles.fact_in_force(at) or (None, _first_level(context, at), None)
    members: dict[str, Any] = {
        "user_id": user_id,
        "level": level,
        "inviter_id": inviter,
        "effective_at": None if effective_at is None else format_moment(effective_at),
        "as_of": as_of(local),
        "at": format_moment(at),
    }
    if not request.caller.is_user:
        members["actor"] = None if effective_at is None else profiles.actors.get(effective_at)
    if read_parked(local.store, user_id) is not None:
        members["under_review"] = True
    return json_response(members | marks(local))


def _first_level(context: RequestContext, at: int) -> str | None:
    """Return the level of somebody without a profile, None before the first rule version."""
    version = context.rules.book.in_force(at)
    return None if version is None else version.levels[0].id
