"""Title and order number of a user's lines, joined from the order lines at each read.

See docs/spec/http.md#resources.

Accounts do not store them, since they may change with every snapshot of the line. One request goes to the
owner of each partition of `order_topic` that the page concerns, all at once and with one time-out; without a
response the members are null, and the item has `"unavailable": true`.
"""

from __future__ import annotations

import asyncio
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import orjson
from msgspec import Struct

from rebate_app.domain.order.line import LineState
from rebate_app.streams.state.store import StoreClosedError, StoreDamagedError
from tables.order_lines import read_line

from ..context import RequestContext
from ..routing.forwarding import LINES
from ..routing.peer_client import UnreachableError
from ..routing.peer_rpc import PartitionRequest, PeerRpc
from ..routing.ports import Local

TIMEOUT_SECONDS: Final = 0.5

Item = dict[str, Any]


class DisplayRequest(PartitionRequest, frozen=True):
    """The display fields of these lines."""

    lines: list[str]


class Display(Struct, frozen=True, array_like=True):
    """A line's display fields: texts of the snapshot that counts, None where it has none."""

    title: str | None = None
    parent_order_id: str | None = None


class DisplayResponse(Struct, frozen=True):
    """The display fields of each line, in the order of the request."""

    lines: list[Display]


def answer_display(context: RequestContext, local: Local, request: DisplayRequest) -> DisplayResponse:
    """Answer from the lines' own records."""
    del context
    return DisplayResponse([display_of(read_line(local.store, line)) for line in request.lines])


LINE_DISPLAY = PeerRpc("line-display", LINES, DisplayRequest, DisplayResponse, answer_display)


def display_of(state: LineState | None) -> Display:
    """Return a line's display fields; members that are no texts are None, since clients may send anything."""
    if state is None:
        return Display()
    fields = orjson.loads(state.display)
    item = fields.get("item")
    title = item.get("title") if isinstance(item, dict) else None
    number = fields.get("parent_order_id")
    return Display(
        title if isinstance(title, str) else None,
        str(number) if isinstance(number, str) or type(number) is int else None,
    )


async def add_display(context: RequestContext, items: list[Item], request_id: str) -> None:
    """Set `title` and `parent_order_id` of items of the lines resource."""
    by_line = [(f"{item['platform']}:{item['order_line_id']}", item) for item in items]
    placed = [(context.placement.partition_of(line), line, item) for line, item in by_line]
    placed.sort(key=itemgetter(0))
    groups = [(partition, list(group)) for partition, group in groupby(placed, itemgetter(0))]

    async def read_display(partition: int, lines: list[str]) -> list[Display] | None:
        request = DisplayRequest(partition, lines)
        try:
            return (await LINE_DISPLAY.call(context, request, request_id, TIMEOUT_SECONDS)).lines
        except (UnreachableError, StoreClosedError, StoreDamagedError):
            return None

    responses = await asyncio.gather(
        *(read_display(partition, [line for _, line, _ in group]) for partition, group in groups)
    )
    for (_, group), response in zip(groups, responses, strict=True):
        for number, (_, _, item) in enumerate(group):
            display = Display() if response is None else response[number]
            item["title"], item["parent_order_id"] = display.title, display.parent_order_id
            if response is None:
                item["unavailable"] = True
