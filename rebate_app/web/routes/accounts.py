"""Routes about accounts: a user, and all of them."""

from __future__ import annotations

from rebate_app.auth.scopes import BALANCES_READ, PROFILES_WRITE

from ..answers import accounts, writes
from ..auth.access import Access, own
from ..request_params import AT, LINE_FILTERS, PAGE, USER_IDS, WAIT_MS
from ..resources.account_lists import read_ledger, read_lines
from ..resources.balances import read_balance, read_balances
from ..resources.claims import post_claim
from ..resources.invitees import read_invitees
from ..resources.listings import read_users
from ..resources.profiles import read_profile
from ..resources.totals import read_totals
from ..resources.writes import put_profile
from .route import Method, Route

ACCOUNT_ROUTES = (
    Route(
        "balance",
        "/v1/users/{user_id}/balance",
        "a user's balance",
        {"GET": Method(read_balance, (AT,), own(BALANCES_READ), operation=accounts.BALANCE)},
    ),
    Route(
        "balances",
        "/v1/balances",
        "the balances of up to 100 users",
        {"GET": Method(read_balances, (USER_IDS, AT), Access(BALANCES_READ), operation=accounts.BALANCES)},
    ),
    Route(
        "lines",
        "/v1/users/{user_id}/lines",
        "the lines that are a user's now",
        {"GET": Method(read_lines, (AT, *LINE_FILTERS, *PAGE), own(BALANCES_READ), operation=accounts.LINES)},
    ),
    Route(
        "ledger",
        "/v1/users/{user_id}/ledger",
        "every change of a user's account",
        {"GET": Method(read_ledger, (AT, *PAGE), own(BALANCES_READ), operation=accounts.LEDGER)},
    ),
    Route(
        "profile",
        "/v1/users/{user_id}/profile",
        "level and inviter of a user",
        {
            "GET": Method(read_profile, (AT,), own(BALANCES_READ), operation=accounts.PROFILE),
            "PUT": Method(put_profile, (WAIT_MS,), Access(PROFILES_WRITE), operation=writes.PROFILE_PUT),
        },
    ),
    Route(
        "claims",
        "/v1/users/{user_id}/claims",
        "claim an order line for a user",
        {"POST": Method(post_claim, (WAIT_MS,), own(PROFILES_WRITE), operation=writes.CLAIM)},
    ),
)

USER_LIST_ROUTES = (
    Route(
        "users",
        "/v1/users",
        "every user with a line, a share or a profile",
        {"GET": Method(read_users, PAGE, Access(BALANCES_READ), operation=accounts.USERS)},
    ),
    Route(
        "invitees",
        "/v1/users/{user_id}/invitees",
        "who names a user as inviter",
        {"GET": Method(read_invitees, PAGE, Access(BALANCES_READ), operation=accounts.INVITEES)},
    ),
    Route(
        "totals",
        "/v1/totals",
        "what is owed to all users",
        {"GET": Method(read_totals, (AT,), Access(BALANCES_READ), operation=accounts.TOTALS)},
    ),
)
