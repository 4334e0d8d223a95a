"""What a request asks for besides its path: moment, page, time to wait; and ids in the path.

It is separate so that every resource refuses the same mistake with the same code.
"""

from __future__ import annotations

import re

from rebate_app.wire.identifiers import match_attribution_id, match_user_id
from rebate_app.wire.moments import parse_at

from .api import Call, Desk
from .problems import ProblemError

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
WAIT_MS_MAX = 2_000

_match_integer = re.compile(r"[0-9]{1,6}", re.ASCII).fullmatch


def user_id_of(call: Call) -> str:
    """Return the user id of the path; ProblemError `invalid-user_id`."""
    user_id = call.params["user_id"]
    if match_user_id(user_id) is None:
        raise ProblemError("invalid-user_id", "a user id is 1-128 of A-Za-z0-9._@-")
    return user_id


def attribution_id_of(call: Call) -> str:
    """Return the attribution id of the path; ProblemError `invalid-attribution_id`."""
    attribution_id = call.params["attribution_id"]
    if match_attribution_id(attribution_id) is None:
        raise ProblemError(
            "invalid-attribution_id",
            "an attribution id is platform:field:value with a known field, or platform:none",
        )
    return attribution_id


def moment_of(desk: Desk, call: Call) -> int:
    """Return the moment asked for in µs, without one the wall clock; ProblemError `invalid-at`."""
    text = call.query.get("at")
    if text is None:
        return desk.clock()
    try:
        return parse_at(text)
    except ValueError as error:
        raise ProblemError("invalid-at", f"at: {error}, such as 2026-02-01T00:00:00+08:00") from None


def limit_of(call: Call) -> int:
    """Return how many items are asked for, 50 without a word; ProblemError `invalid-limit`."""
    return _integer(call, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT)


def wait_ms_of(call: Call) -> int | None:
    """Return how long a write may wait for itself, None when it shall not; `invalid-wait_ms`."""
    if "wait_ms" not in call.query:
        return None
    return _integer(call, "wait_ms", 0, WAIT_MS_MAX, 0)


def _integer(call: Call, name: str, least: int, most: int, default: int) -> int:
    text = call.query.get(name)
    if text is None:
        return default
    if _match_integer(text) and least <= int(text) <= most:
        return int(text)
    raise ProblemError(f"invalid-{name}", f"{name} has to be an integer from {least} to {most}")
