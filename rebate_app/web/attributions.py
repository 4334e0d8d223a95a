"""One attribution id: to whom it is bound, and how much waits for them (contracts.md 4).

It is separate from the list of unbound ids because any worker's answer comes from one owner.
"""

from __future__ import annotations

from rebate_app.domain.calendar import day_of
from rebate_app.domain.suspense import IdHead, net_at
from rebate_app.wire.moments import format_moment
from tables.accounts import ID_HEAD
from tables.parking import read_parked

from .api import Answer, Call, Desk, json_answer
from .asked import attribution_id_of, moment_of
from .balances import as_of
from .owners import ACCOUNTS, answer_at_owner
from .ports import Local


async def read_attribution(desk: Desk, call: Call) -> Answer:
    """Answer `GET /v1/attributions/{attribution_id}`; zeros when it was never seen."""
    attribution_id, at = attribution_id_of(call), moment_of(desk, call)

    def answer(local: Local) -> Answer:
        head = ID_HEAD.read(local.store, ID_HEAD.key(attribution_id)) or IdHead()
        said = {
            "attribution_id": attribution_id,
            "user_id": head.bound,
            "lines": head.lines,
            "net": net_at(head.net, day_of(at)),
            "version": head.version,
            "as_of": as_of(local),
            "at": format_moment(at),
        }
        if read_parked(local.store, attribution_id) is not None:
            said["under_review"] = True
        return json_answer(said | {"stale": True} if local.stale else said)

    return await answer_at_owner(desk, call, ACCOUNTS, attribution_id, answer)
