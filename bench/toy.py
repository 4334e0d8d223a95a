"""The toy fold that every contender does: an order becomes a line's state, a message, and an account.

A version at or below the line's is ignored; else the line holds the order's rebate, and the user's
account changes by the difference. Encodings are JSON with exactly these members, for all contenders.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.json import Decoder

from bench.orders import rebate_of


class Order(Struct, gc=False):
    """An order as it stands in `order_topic`; all 15 members are decoded and checked."""

    platform: str
    order_line_id: str
    user_id: str
    version: int
    status: str
    gross: int
    commission: int
    quantity: int
    paid_at: str
    modified_at: str
    shop_id: str
    shop_title: str
    item_id: str
    item_title: str
    pid: str


class Line(Struct, gc=False):
    """What the table of lines keeps, under `platform:order_line_id`."""

    version: int
    status: str
    user_id: str
    gross: int
    commission: int
    rebate: int
    paid_at: str
    modified_at: str


class Change(Struct, gc=False):
    """The message to the user's log; `lines` is 1 for a line that was not seen before."""

    line: str
    version: int
    status: str
    lines: int
    rebate: int


class Account(Struct, gc=False):
    """What the table of accounts keeps, under the user's id."""

    events: int = 0
    lines: int = 0
    rebate: int = 0


decode_order = Decoder(Order).decode
decode_line = Decoder(Line).decode
decode_change = Decoder(Change).decode
decode_account = Decoder(Account).decode


def fold_order(state: Line | None, order: Order) -> tuple[Line, Change] | None:
    """Return the line's new state and the message to its user, None for an old version."""
    if state is not None and order.version <= state.version:
        return None
    rebate = rebate_of(order.commission)
    line = Line(
        order.version,
        order.status,
        order.user_id,
        order.gross,
        order.commission,
        rebate,
        order.paid_at,
        order.modified_at,
    )
    seen = 0 if state is None else state.rebate
    name = f"{order.platform}:{order.order_line_id}"
    return line, Change(name, order.version, order.status, int(state is None), rebate - seen)


def fold_change(account: Account, change: Change) -> None:
    """Apply a message to an account."""
    account.events += 1
    account.lines += change.lines
    account.rebate += change.rebate
