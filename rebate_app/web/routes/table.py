"""The table of routes: path, purpose, and for each method its handler and query parameters.

Registration (`app.py`), docs/http.md (`http_page.py`) and the tests read this table, in its order. Its rows
are in the modules beside it, by subject.
"""

from __future__ import annotations

from .accounts import ACCOUNT_ROUTES, USER_LIST_ROUTES
from .money_out import MONEY_ROUTES
from .operations import OPERATION_ROUTES
from .orders import ORDER_LINE_ROUTES, ORDER_ROUTES
from .payouts import PAYOUT_ROUTES
from .service import CALLER_ROUTES, SERVICE_ROUTES

ROUTES = (
    *ACCOUNT_ROUTES,
    *PAYOUT_ROUTES,
    *MONEY_ROUTES,
    *USER_LIST_ROUTES,
    *ORDER_LINE_ROUTES,
    *CALLER_ROUTES,
    *ORDER_ROUTES,
    *OPERATION_ROUTES,
    *SERVICE_ROUTES,
)
