"""One order line with everything about it: facts, owner, shares, and why each is what it is.

Law: `net` at T is what is shared then (net before settlement, net₀ − R from it on, 0 when closed or
punished), and the platform keeps what the shares leave of it (contracts.md 3 and 4). It is separate
because it joins both tables, and up to four workers.
"""

from __future__ import annotations

from typing import Any

from rebate_app.domain.attribution import owner_of
from rebate_app.domain.calendar import day_of
from rebate_app.domain.money import yuan
from rebate_app.domain.order_line import LineState
from rebate_app.domain.suspense import net_at, net_steps
from rebate_app.domain.worth import Worth, line_worth
from rebate_app.wire.identifiers import match_line
from rebate_app.wire.moments import format_moment
from tables.order_lines import read_line
from tables.parking import read_parked

from .account_lists import date_or_none, settled_at
from .api import Answer, Call, Desk, json_answer
from .asked import moment_of
from .balances import as_of
from .line_words import (
    line_sentences,
    punishment_members,
    snapshot_members,
    suit_members,
    timeline_members,
)
from .owners import LINES, records_or_answer
from .problems import ProblemError
from .shares import SUSPENSE, Collected, collect


async def read_order_line(desk: Desk, call: Call) -> Answer:
    """Answer `GET /v1/order-lines/{platform}/{order_line_id}`."""
    at = moment_of(desk, call)
    line = f"{call.params['platform']}:{call.params['order_line_id']}"
    if match_line(line) is None:
        raise _unknown(line)
    place = await records_or_answer(desk, call, LINES, line)
    if isinstance(place, Answer):
        return place
    state = read_line(place.store, line)
    if state is None or state.sent_to is None:
        raise _unknown(line)
    platform = call.params["platform"]
    worth, day = line_worth(state, platform), day_of(at)
    by = owner_of(state, platform, desk.user_id_fields).by
    sent = (state.sent_to, state.sent_offset, by)
    collected = await collect(desk, line, sent, day, call.request_id)
    said = _members(line, state, worth, collected, day)
    said |= {"as_of": as_of(place), "at": format_moment(at)}
    if place.stale:
        said["stale"] = True
    if read_parked(place.store, line) is not None:
        said["under_review"] = True
    return json_answer(said)


def _unknown(line: str) -> ProblemError:
    return ProblemError("unknown-line", f"no fact of {line[:100]!r} was ever seen")


def _members(line: str, state: LineState, worth: Worth, collected: Collected, day: int) -> dict[str, Any]:
    platform, _, order_line_id = line.partition(":")
    net = net_at(net_steps(worth), day)
    settled = settled_at(worth, day)
    shares = collected.shares
    told = shares[0].told if shares else None
    kept = None if any(share.told is None for share in shares) else net - sum(s.total for s in shares)
    return {
        "platform": platform,
        "order_line_id": order_line_id,
        "owner": {
            "user_id": collected.user_id,
            "by": collected.by,
            "attribution_id": collected.attribution_id,
        },
        "status": worth.status,
        "settled_on": date_or_none(worth.settled_on) if settled else None,
        "release_on": date_or_none(worth.release_on) if settled else None,
        "net": net,
        "rule_version": None if told is None else told.rule,
        "snapshot": snapshot_members(state),
        "suits": suit_members(state),
        "punishment": punishment_members(state),
        "shares": [share.members() for share in shares],
        "platform_share": kept,
        "visible": collected.visible,
        "timeline": timeline_members(state),
        "explanation": _explanation(state, worth, collected, day, kept),
    }


def _explanation(
    state: LineState, worth: Worth, collected: Collected, day: int, kept: int | None
) -> list[str]:
    """Return sentences from the commission over every share to what the platform keeps."""
    sentences = [_whose(collected), *line_sentences(state, worth, day)]
    for share in collected.shares:
        if share.told is None:
            sentences.append(f"the share of {share.user_id} is unavailable: its owner cannot be asked")
        else:
            sentences += share.told.says
    if not collected.visible:
        sentences.append("the newest facts are on their way to the accounts")
    if kept is not None and collected.by != SUSPENSE:
        sentences.append(f"the platform keeps {yuan(kept)}")
    return sentences


def _whose(collected: Collected) -> str:
    attribution_id, user_id = collected.attribution_id, collected.user_id
    if collected.by == SUSPENSE:
        return f"{attribution_id} is bound to nobody and nobody's claim decides: the line waits in suspense"
    if collected.by == "binding":
        return f"the line is of {user_id}, to whom {attribution_id} is bound"
    if collected.by == "claim":
        return f"the line is of {user_id}, whose claim decides while {attribution_id} is bound to nobody"
    return f"the line is of {user_id}, named by {collected.by}"
