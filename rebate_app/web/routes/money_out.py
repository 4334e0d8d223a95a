"""Routes by which people change accounts: repricings, withdrawals, adjustments, blocks and openings."""

from __future__ import annotations

from rebate_app.auth.scopes import (
    ADJUSTMENTS_APPROVE,
    ADJUSTMENTS_WRITE,
    BALANCES_READ,
    WITHDRAWALS_REVIEW,
    WITHDRAWALS_WRITE,
)

from ..answers import writes
from ..answers.adjustments import (
    ADJUSTMENT,
    ADJUSTMENT_PROPOSAL,
    ADJUSTMENT_VERDICTS,
    ADJUSTMENTS_OF_USER,
    ALL_ADJUSTMENTS,
    BLOCKS,
    OPENING_APPROVAL,
    OPENING_PROPOSAL,
    OPENINGS_OF_BATCH,
)
from ..answers.withdrawals import (
    ALL_WITHDRAWALS,
    WITHDRAWAL,
    WITHDRAWAL_REQUEST,
    WITHDRAWAL_VERDICTS,
    WITHDRAWALS_OF_USER,
)
from ..auth.access import Access, own
from ..request_params import PAGE, WAIT_MS
from ..resources import adjustments, withdrawals
from ..resources.money_lists import (
    ADJUSTMENT_STATE,
    BATCH,
    CHANNEL,
    OLDER_THAN,
    STATE,
    read_all_adjustments,
    read_all_withdrawals,
    read_openings,
)
from ..resources.repricings import post_reprice
from ..resources.withdrawals import post_withdrawal, read_withdrawal, read_withdrawals
from .route import Method, Route

MONEY_ROUTES = (
    Route(
        "reprice",
        "/v1/users/{user_id}/reprice",
        "choose rules, level and inviters of a user's lines anew",
        {
            "POST": Method(
                post_reprice,
                (WAIT_MS,),
                Access(ADJUSTMENTS_WRITE, or_scope=ADJUSTMENTS_APPROVE),
                operation=writes.REPRICE,
            )
        },
    ),
    Route(
        "withdrawals",
        "/v1/users/{user_id}/withdrawals",
        "a user's withdrawals; request one",
        {
            "GET": Method(read_withdrawals, PAGE, own(BALANCES_READ), operation=WITHDRAWALS_OF_USER),
            "POST": Method(
                post_withdrawal,
                (WAIT_MS,),
                own(WITHDRAWALS_WRITE),
                "withdrawal.request",
                WITHDRAWAL_REQUEST,
            ),
        },
    ),
    Route(
        "withdrawal",
        "/v1/users/{user_id}/withdrawals/{withdrawal_id}",
        "one withdrawal",
        {"GET": Method(read_withdrawal, (), own(BALANCES_READ), operation=WITHDRAWAL)},
    ),
    *(
        Route(
            f"withdrawal-{name}",
            f"/v1/users/{{user_id}}/withdrawals/{{withdrawal_id}}/{name}",
            purpose,
            {
                "POST": Method(
                    handler,
                    (WAIT_MS,),
                    Access(scope),
                    f"withdrawal.{name}",
                    WITHDRAWAL_VERDICTS[name],
                )
            },
        )
        for name, purpose, handler, scope in (
            ("approve", "approve a withdrawal", withdrawals.post_approve, WITHDRAWALS_REVIEW),
            ("reject", "reject a withdrawal", withdrawals.post_reject, WITHDRAWALS_REVIEW),
            ("cancel", "cancel a withdrawal", withdrawals.post_cancel, WITHDRAWALS_WRITE),
            ("resolve", "say how a stuck withdrawal ended", withdrawals.post_resolve, WITHDRAWALS_REVIEW),
            ("confirm", "confirm how it ended", withdrawals.post_confirm, WITHDRAWALS_REVIEW),
        )
    ),
    Route(
        "all-withdrawals",
        "/v1/withdrawals",
        "withdrawals of all users, oldest first",
        {
            "GET": Method(
                read_all_withdrawals,
                (STATE, CHANNEL, OLDER_THAN, *PAGE),
                Access(WITHDRAWALS_REVIEW),
                operation=ALL_WITHDRAWALS,
            )
        },
    ),
    Route(
        "adjustments",
        "/v1/users/{user_id}/adjustments",
        "a user's adjustments; propose one",
        {
            "GET": Method(
                adjustments.read_adjustments,
                PAGE,
                Access(BALANCES_READ),
                operation=ADJUSTMENTS_OF_USER,
            ),
            "POST": Method(
                adjustments.post_adjustment,
                (WAIT_MS,),
                Access(ADJUSTMENTS_WRITE),
                "adjustment.propose",
                ADJUSTMENT_PROPOSAL,
            ),
        },
    ),
    Route(
        "adjustment",
        "/v1/users/{user_id}/adjustments/{adjustment_id}",
        "one adjustment",
        {"GET": Method(adjustments.read_adjustment, (), Access(BALANCES_READ), operation=ADJUSTMENT)},
    ),
    *(
        Route(
            f"adjustment-{name}",
            f"/v1/users/{{user_id}}/adjustments/{{adjustment_id}}/{name}",
            f"{name} an adjustment",
            {
                "POST": Method(
                    handler,
                    (WAIT_MS,),
                    Access(ADJUSTMENTS_APPROVE),
                    f"adjustment.{name}",
                    ADJUSTMENT_VERDICTS[name],
                )
            },
        )
        for name, handler in (("approve", adjustments.post_approve), ("reject", adjustments.post_reject))
    ),
    Route(
        "all-adjustments",
        "/v1/adjustments",
        "adjustments of all users, oldest first",
        {
            "GET": Method(
                read_all_adjustments,
                (ADJUSTMENT_STATE, *PAGE),
                Access(ADJUSTMENTS_APPROVE),
                operation=ALL_ADJUSTMENTS,
            )
        },
    ),
    *(
        Route(
            name,
            f"/v1/users/{{user_id}}/{name}",
            f"{name} a user's withdrawals",
            {
                "POST": Method(
                    handler,
                    (WAIT_MS,),
                    Access(ADJUSTMENTS_APPROVE),
                    f"user.{name}",
                    BLOCKS[name],
                )
            },
        )
        for name, handler in (("block", adjustments.post_block), ("unblock", adjustments.post_unblock))
    ),
    Route(
        "openings",
        "/v1/users/{user_id}/openings",
        "what a user brings along from another system",
        {
            "POST": Method(
                adjustments.post_opening,
                (WAIT_MS,),
                Access(ADJUSTMENTS_WRITE),
                "opening.propose",
                OPENING_PROPOSAL,
            )
        },
    ),
    Route(
        "opening-approve",
        "/v1/users/{user_id}/openings/{opening_id}/approve",
        "approve an opening",
        {
            "POST": Method(
                adjustments.post_opening_approve,
                (WAIT_MS,),
                Access(ADJUSTMENTS_APPROVE),
                "opening.approve",
                OPENING_APPROVAL,
            )
        },
    ),
    Route(
        "all-openings",
        "/v1/openings",
        "the openings of a batch",
        {
            "GET": Method(
                read_openings,
                (BATCH, *PAGE),
                Access(ADJUSTMENTS_WRITE, or_scope=ADJUSTMENTS_APPROVE),
                operation=OPENINGS_OF_BATCH,
            )
        },
    ),
)
