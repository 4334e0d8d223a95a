"""Routes about payouts: payees, channels, and callbacks of payment services."""

from __future__ import annotations

from rebate_app.auth.scopes import OPERATIONS_WRITE, PAYOUTS_EXPORT, WITHDRAWALS_REVIEW, WITHDRAWALS_WRITE

from ..answers import payouts
from ..auth.access import OPEN, Access, own
from ..resources import channels, manual_payouts, payees
from .route import Method, Route

PAYOUT_ROUTES = (
    Route(
        "payees",
        "/v1/users/{user_id}/payees",
        "to whom a user's withdrawals are paid, masked; keep one",
        {
            "GET": Method(payees.read_payees, (), own(WITHDRAWALS_WRITE), operation=payouts.PAYEES_OF_USER),
            "POST": Method(payees.post_payee, (), own(WITHDRAWALS_WRITE), operation=payouts.PAYEE_KEEP),
        },
    ),
    Route(
        "payee",
        "/v1/users/{user_id}/payees/{payee_id}",
        "forget a payee",
        {"DELETE": Method(payees.delete_payee, (), own(WITHDRAWALS_WRITE), operation=payouts.PAYEE_FORGET)},
    ),
    Route(
        "payees-rotate",
        "/v1/payees/rotate",
        "seal all payees with the first key",
        {
            "POST": Method(
                payees.post_rotate, (), Access(OPERATIONS_WRITE), "payees.rotate", payouts.PAYEES_ROTATE
            )
        },
    ),
    Route(
        "channels",
        "/v1/channels",
        "channels of payouts, and which are open",
        {"GET": Method(channels.read_channels, (), Access(WITHDRAWALS_REVIEW), operation=payouts.CHANNELS)},
    ),
    *(
        Route(
            f"channel-{name}",
            f"/v1/channels/{{name}}/{name}",
            purpose,
            {"POST": Method(handler, (), Access(WITHDRAWALS_REVIEW), f"channel.{name}", payouts.CHANNEL_SET)},
        )
        for name, purpose, handler in (
            ("open", "let payouts be sent through a channel", channels.post_open),
            ("pause", "send nothing through a channel for now", channels.post_pause),
            ("close", "send nothing through a channel", channels.post_close),
        )
    ),
    Route(
        "channel-exports",
        "/v1/channels/{name}/exports",
        "payouts of a manual channel for people to carry out, payees in clear",
        {
            "POST": Method(
                manual_payouts.post_export,
                (),
                Access(PAYOUTS_EXPORT),
                "channel.export",
                payouts.CHANNEL_EXPORT,
            )
        },
    ),
    Route(
        "channel-results",
        "/v1/channels/{name}/results",
        "what became of the payouts of a manual channel",
        {
            "POST": Method(
                manual_payouts.post_results,
                (),
                Access(OPERATIONS_WRITE),
                "channel.results",
                payouts.RESULTS,
            )
        },
    ),
    Route(
        "payout-results",
        "/v1/payouts/results",
        "what became of payouts of any manual channel",
        {
            "POST": Method(
                manual_payouts.post_any_results,
                (),
                Access(OPERATIONS_WRITE),
                "channel.results",
                payouts.RESULTS,
            )
        },
    ),
    Route(
        "payout-notifications",
        "/v1/payout-notifications/{channel}",
        "callbacks of payment services, signed by them",
        {"POST": Method(channels.post_notification, (), OPEN, operation=payouts.PAYOUT_NOTIFICATION)},
    ),
)
