"""Routes about orders: order lines, order facts, and attribution ids."""

from __future__ import annotations

from rebate_app.auth.scopes import BALANCES_READ, ORDERS_WRITE, PROFILES_WRITE

from ..answers import accounts, order_lines, writes
from ..auth.access import Access, shared
from ..request_params import AT, ORDER_ID, PAGE, PLATFORM, UNBOUND_ONLY, WAIT_MS
from ..resources.attributions import read_attribution
from ..resources.listings import read_unbound
from ..resources.order_lines import read_order_line
from ..resources.order_search import search_order_lines
from ..resources.writes import post_orders, put_attribution
from .route import Method, Route

ORDER_LINE_ROUTES = (
    Route(
        "order-lines",
        "/v1/order-lines",
        "order lines by their id or the buyer's order number",
        {
            "GET": Method(
                search_order_lines,
                (ORDER_ID, PLATFORM),
                Access(BALANCES_READ),
                operation=order_lines.ORDER_LINES,
            )
        },
    ),
    Route(
        "order-line",
        "/v1/order-lines/{platform}/{order_line_id}",
        "one order line, explained",
        {"GET": Method(read_order_line, (AT,), shared(BALANCES_READ), operation=order_lines.ORDER_LINE)},
    ),
)

ORDER_ROUTES = (
    Route(
        "orders",
        "/v1/orders",
        "write order facts",
        {"POST": Method(post_orders, (WAIT_MS,), Access(ORDERS_WRITE), operation=writes.ORDERS)},
    ),
    Route(
        "attribution",
        "/v1/attributions/{attribution_id}",
        "an attribution id: its lines, and to whom it is bound",
        {
            "GET": Method(read_attribution, (AT,), Access(BALANCES_READ), operation=accounts.ATTRIBUTION),
            "PUT": Method(
                put_attribution, (WAIT_MS,), Access(PROFILES_WRITE), operation=writes.ATTRIBUTION_PUT
            ),
        },
    ),
    Route(
        "attributions",
        "/v1/attributions",
        "ids whose lines wait in suspense",
        {
            "GET": Method(
                read_unbound,
                (UNBOUND_ONLY, AT, *PAGE),
                Access(BALANCES_READ),
                operation=accounts.ATTRIBUTIONS,
            )
        },
    ),
)
