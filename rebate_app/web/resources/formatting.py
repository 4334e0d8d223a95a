"""Members that several resources write: dates and moments that may be missing, `as_of`, settlement."""

from __future__ import annotations

from typing import Any

from rebate_app.domain.compact_moment import full_moment
from rebate_app.domain.order.value import DATED, SETTLED_PHASE, LineValue
from rebate_app.wire.moments import format_date, format_moment

from ..routing.ports import Halted, Local


def as_of(local: Local) -> dict[str, Any]:
    """Return up to where the answer holds: the last offset in it, and how many records may follow.

    `unstable` is there only while an open transaction holds records back.
    """
    members = {"topic": local.topic, "partition": local.partition, "offset": local.offset, "lag": local.lag}
    return members | {"unstable": local.unstable} if local.unstable else members


def marks(local: Local) -> dict[str, Any]:
    """Return the members that an answer has only while its records are stale, or its partition is halted."""
    members: dict[str, Any] = {"stale": True} if local.stale else {}
    return members | {"halted": local.halted} if local.halted else members


def halted_members(halted: Halted) -> dict[str, Any]:
    """Return a halted partition as `/readyz` and `/v1/workers` list it."""
    return {
        "topic": halted.topic,
        "partition": halted.partition,
        "halted": halted.code,
        "offset": halted.offset,
        "lag": halted.lag,
        "reason": halted.reason,
    }


def is_settled(line_value: LineValue, day: int) -> bool:
    """Return whether the line is settled on that day (docs/spec/money.md#state-of-a-line)."""
    if line_value.phase == DATED and line_value.from_day is not None:
        return day >= line_value.from_day
    return line_value.phase == SETTLED_PHASE


def date_or_none(day: int | None) -> str | None:
    """Return a day as a date, None where there is none."""
    return None if day is None else format_date(day)


def compact_or_none(moment: int | None) -> str | None:
    """Return a compact moment as RFC 3339, None where there is none."""
    return None if moment is None else format_moment(full_moment(moment))
