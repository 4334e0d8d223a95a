"""What `rebate payouts activate` does: whether the app may be activated, then the move (docs/payouts.md)."""

from __future__ import annotations

import time
from typing import Any

from msgspec.structs import asdict

from rebate_app.payouts.activation import Mover, group_has_members, named_app
from rebate_app.payouts.remembered_ends import why_closed
from rebate_app.settings import EXIT_FINDINGS, EXIT_TRY_AGAIN, EXIT_UNAVAILABLE, Settings
from rebate_app.streams.kafka.admin import ensure_topics
from rebate_app.wire.audit_trail import encode_trail

from .audit_command import audit_once
from .command_trail import command_record, requester_of
from .exits import CommandError
from .lag_command import wait_until_settled
from .terminal import Progress

ACTION = "payouts.activate"


async def activate(
    settings: Settings, seconds: float, by: str, reason: str, *, http: bool, report: Progress
) -> dict[str, Any]:
    """Make the app of the settings active; CommandError where it may not be, or not everything is done.

    `seconds`: for all waiting. What is done is not undone: the same command goes on with it.
    """
    deadline = time.monotonic() + seconds
    await ensure_topics(settings)
    if not await group_has_members(settings):
        raise CommandError(
            f"No worker of the app {settings.app_id} (REBATE_APP_ID) is in its group {settings.scope}: "
            "start it, and let it fold the log, before it is activated.",
            EXIT_UNAVAILABLE,
        )
    if await named_app(settings) != settings.app_id:  # else only its owners are waited for
        await _require_whole(settings, seconds, http=http, report=report)
    trail = encode_trail(command_record(ACTION, settings.app_id, by, reason))
    mover = Mover(settings, deadline, lambda _step, waiting: report(waiting, "partitions to go"))
    async with mover:
        closing = await why_closed(settings)
        move = await mover.move(requester_of(by).actor, trail, closing)
    return asdict(move) | {"partitions": settings.partitions, "why_closed": closing or None}


async def _require_whole(settings: Settings, seconds: float, *, http: bool, report: Progress) -> None:
    """Raise unless all is folded and the audit of the app finds nothing."""
    if not await wait_until_settled(settings, seconds, report):
        raise CommandError(
            f"The app {settings.app_id} has not folded everything after {seconds:g} s: see `rebate lag`. "
            "Nothing is changed.",
            EXIT_TRY_AGAIN,
        )
    found = await audit_once(settings, http=http, limit=0, on_progress=report)
    if found.differences:
        raise CommandError(
            f"The audit of the app {settings.app_id} finds {found.differences:,} differences: "
            "see `rebate audit`. Nothing is changed.",
            EXIT_FINDINGS,
        )
