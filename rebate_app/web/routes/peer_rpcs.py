"""What workers ask one another: requests to the owner of a partition, and commands that it carries out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..context import HttpRequest, HttpResponse, RequestContext
from ..problems import ProblemError
from ..resources import channels, manual_payouts, payees
from ..resources.balances import BALANCES
from ..resources.dry_run import DRY_RUN_ACCOUNT, DRY_RUN_LINE
from ..resources.invitees import INVITEES
from ..resources.line_display import LINE_DISPLAY
from ..resources.listings import UNBOUND, USERS
from ..resources.log_ends import LOG_ENDS
from ..resources.money_lists import MONEY_LIST
from ..resources.money_requests import MONEY
from ..resources.order_search import SEARCH
from ..resources.parked_keys import PARKED_RPCS
from ..resources.shares import FORWARDED, SHARE
from ..resources.totals import TOTALS
from ..resources.workers import ABOUT
from ..routing.log_progress import FACT_PROCESSED, LINES_MOVED, LINES_POSTED, LINES_REPRICED, LINES_SENT
from ..routing.owner_command import OwnerCommand
from ..routing.peer_rpc import PeerRpc, WorkerRpc

PEER_RPCS: Mapping[str, PeerRpc[Any, Any] | WorkerRpc[Any]] = {
    rpc.name: rpc
    for rpc in (
        BALANCES,
        TOTALS,
        INVITEES,
        SEARCH,
        SHARE,
        FORWARDED,
        USERS,
        UNBOUND,
        LINES_SENT,
        LINES_POSTED,
        FACT_PROCESSED,
        LINES_MOVED,
        LINES_REPRICED,
        DRY_RUN_LINE,
        DRY_RUN_ACCOUNT,
        LINE_DISPLAY,
        MONEY,
        MONEY_LIST,
        ABOUT,
        channels.CHANNELS,
        LOG_ENDS,
        channels.PROMPT,
        manual_payouts.SUMMARY,
    )
} | {rpc.name: rpc for rpc in PARKED_RPCS}


OWNER_COMMANDS: Mapping[str, OwnerCommand[Any, Any]] = {
    command.name: command for command in (payees.PAYEES, manual_payouts.EXPORT, manual_payouts.RESULTS)
}


async def serve_peer_rpc(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer another worker; everybody else gets 404."""
    name = request.params["rpc"]
    if name in OWNER_COMMANDS:
        return HttpResponse(200, await OWNER_COMMANDS[name].serve(context, await request.read_body()))
    rpc = PEER_RPCS.get(name)
    if rpc is None:
        raise ProblemError("not-found", "nothing is served under this path")
    return HttpResponse(200, rpc.serve(context, await request.read_body()))
