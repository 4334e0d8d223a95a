"""`GET /v1/order-lines/{platform}/{order_line_id}`: facts, owner and shares of one order line, explained.

`net` at a moment is what is shared then: the net commission before settlement, less refunds from it on, 0
when closed or punished. The platform keeps what the shares leave of it (docs/spec/money.md#shares and
docs/spec/http.md#order-line). One answer may need the order line's owner and three accounts' owners.
"""

from __future__ import annotations

from typing import Any

from rebate_app.domain.account.attribution_account import net_at, net_steps
from rebate_app.domain.money import yuan
from rebate_app.domain.order.attribution import owner_of
from rebate_app.domain.order.line import LineState
from rebate_app.domain.order.value import LineValue, evaluate_line
from rebate_app.domain.pricing.calendar import day_of
from rebate_app.streams.failures.record_kinds import read_parked
from rebate_app.wire.facts.identifiers import match_line
from rebate_app.wire.moments import format_moment
from tables.order_lines import read_line

from ..auth.access import forbidden
from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..problems import ProblemError
from ..request_params import moment_of
from ..routing.forwarding import LINES, records_or_response
from .formatting import as_of, date_or_none, is_settled, marks
from .line_explanation import (
    line_sentences,
    punishment_members,
    snapshot_members,
    suit_members,
    timeline_members,
)
from .shares import SUSPENSE, LineShares, collect_shares


async def read_order_line(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/order-lines/{platform}/{order_line_id}`."""
    at = moment_of(context, request)
    line = f"{request.params['platform']}:{request.params['order_line_id']}"
    if match_line(line) is None:
        raise _unshared() if request.caller.is_user else _unknown(line)
    local = await records_or_response(context, request, LINES, line)
    if isinstance(local, HttpResponse):
        return local
    state = read_line(local.store, line)
    if state is None or state.sent_to is None:
        raise _unshared() if request.caller.is_user else _unknown(line)
    platform = request.params["platform"]
    line_value, day = evaluate_line(state, platform), day_of(at)
    by = owner_of(state, platform, context.user_id_fields).by
    sent = (state.sent_to, state.sent_offset, by)
    line_shares = await collect_shares(context, line, sent, day, request.request_id)
    members = _members(line, state, line_value, line_shares, day)
    if request.caller.is_user:
        members = _for_user(members, request.caller.id, line_shares, line_sentences(state, line_value, day))
    members |= {"as_of": as_of(local), "at": format_moment(at)}
    members |= marks(local)
    if read_parked(local.store, line) is not None:
        members["under_review"] = True
    return json_response(members)


def _unknown(line: str) -> ProblemError:
    return ProblemError("unknown-line", f"no fact of {line[:100]!r} was ever seen")


def _unshared() -> ProblemError:
    return forbidden("a user token reaches the order lines in which its user has a share")


#: Members of a line that name nobody but its buyer.
_SHOWN_TO_USERS = (
    "platform",
    "order_line_id",
    "status",
    "settled_on",
    "release_on",
    "net",
    "rule_version",
    "suits",
    "punishment",
    "visible",
)


def _for_user(
    members: dict[str, Any], user_id: str, line_shares: LineShares, sentences: list[str]
) -> dict[str, Any]:
    """Return what a user may see of a line in which he has a share; ProblemError `forbidden` without one.

    Other people's ids and shares and the platform's share are left out, and with them every sentence and
    member that could name somebody.
    """
    own_share = next((share for share in line_shares.shares if share.user_id == user_id), None)
    if own_share is None:
        raise _unshared()
    is_buyer = own_share.depth == 0
    explanation = list(sentences)
    if is_buyer and own_share.response is not None:
        explanation += own_share.response.sentences
    snapshot = members["snapshot"]
    return {name: members[name] for name in _SHOWN_TO_USERS} | {
        "owner": {"user_id": user_id if is_buyer else None},
        "snapshot": snapshot and {name: value for name, value in snapshot.items() if name != "attribution"},
        "shares": [own_share.members()],
        "timeline": [
            {name: value for name, value in entry.items() if name != "actor"}
            for entry in members["timeline"]
            if entry["kind"] != "claim"
        ],
        "explanation": explanation,
    }


def _members(
    line: str, state: LineState, line_value: LineValue, line_shares: LineShares, day: int
) -> dict[str, Any]:
    platform, _, order_line_id = line.partition(":")
    net = net_at(net_steps(line_value), day)
    settled = is_settled(line_value, day)
    shares = line_shares.shares
    buyer = shares[0].response if shares else None
    kept = None if any(share.response is None for share in shares) else net - sum(s.total for s in shares)
    return {
        "platform": platform,
        "order_line_id": order_line_id,
        "owner": {
            "user_id": line_shares.user_id,
            "by": line_shares.by,
            "attribution_id": line_shares.attribution_id,
        },
        "status": line_value.status,
        "settled_on": date_or_none(line_value.settled_on) if settled else None,
        "release_on": date_or_none(line_value.release_on) if settled else None,
        "net": net,
        "rule_version": None if buyer is None else buyer.rule,
        "snapshot": snapshot_members(state),
        "suits": suit_members(state),
        "punishment": punishment_members(state),
        "shares": [share.members() for share in shares],
        "platform_share": kept,
        "visible": line_shares.visible,
        "timeline": timeline_members(state),
        "explanation": _explanation(state, line_value, line_shares, day, kept),
    }


def _explanation(
    state: LineState, line_value: LineValue, line_shares: LineShares, day: int, kept: int | None
) -> list[str]:
    """Return sentences from the commission over every share to what the platform keeps."""
    sentences = [_whose(line_shares), *line_sentences(state, line_value, day)]
    for share in line_shares.shares:
        if share.response is None:
            sentences.append(
                f"the share of {share.user_id} is unavailable: the worker that owns it cannot be reached"
            )
        else:
            sentences += share.response.sentences
    if not line_shares.visible:
        sentences.append("the newest facts have not reached the accounts yet")
    if kept is not None and line_shares.by != SUSPENSE:
        sentences.append(f"the platform keeps {yuan(kept)}")
    return sentences


def _whose(line_shares: LineShares) -> str:
    attribution_id, user_id = line_shares.attribution_id, line_shares.user_id
    if line_shares.by == SUSPENSE:
        return f"{attribution_id} is bound to nobody and no claim decides: the line waits in suspense"
    if line_shares.by == "binding":
        return f"the line belongs to {user_id}, to whom {attribution_id} is bound"
    if line_shares.by == "claim":
        return f"the line belongs to {user_id}, who claims it while {attribution_id} is bound to nobody"
    return f"the line belongs to {user_id}, named in {line_shares.by}"
